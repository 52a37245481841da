//! What is in a token (RFC 7519), and how one is read and made.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, ensure};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sightline_protocol::Failure;

use super::{Caller, Scope, crypto, unauthenticated};

/// No token may be good for longer: one that was stolen, or whose owner must go, ends soon.
pub const MAX_LIFE: Duration = Duration::from_secs(600);
/// How far the clocks of who makes tokens and who reads them may be apart.
const LEEWAY: Duration = Duration::from_secs(5);
const MAX_TOKEN_BYTES: usize = 4096;
const MAX_TENANT_BYTES: usize = 128;

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    /// Read by the library: it may be one text, or several.
    #[serde(skip_deserializing)]
    aud: String,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nbf: Option<u64>,
    tenant: String,
    scope: Scope,
}

/// Reads tokens of one algorithm, key and audience.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
}

impl Verifier {
    pub fn new(algorithm: Algorithm, key: DecodingKey, audience: &str) -> Self {
        crypto::install();
        // The algorithm is ours to say, never the token's.
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["aud", "exp"]);
        validation.set_audience(&[audience]);
        // Times are compared below, against a clock that is given.
        validation.validate_exp = false;
        Self { key, validation }
    }

    pub(super) fn check(&self, token: &str, now: SystemTime) -> Result<Caller, Failure> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(unauthenticated(
                "this token is longer than a token of ours can be",
            ));
        }
        let read = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        let read = read.map_err(|error| unauthenticated(why(error.kind())))?;
        // RFC 7515 §4.1.11: an extension that must be understood, and is not.
        if read.header.crit.is_some() {
            return Err(unauthenticated(
                "this token asks for extensions that are not known here",
            ));
        }
        let claims = read.claims;
        let expires = time(claims.exp)?;
        if now >= expires + LEEWAY {
            return Err(unauthenticated("this token has expired: get a new one"));
        }
        if expires > now + MAX_LIFE + LEEWAY {
            return Err(unauthenticated(
                "this token is good for too long: at most 10 minutes",
            ));
        }
        if let Some(begins) = claims.nbf
            && time(begins)? > now + LEEWAY
        {
            return Err(unauthenticated(
                "this token is not good yet: compare the clocks of both machines",
            ));
        }
        if claims.tenant.is_empty() || claims.tenant.len() > MAX_TENANT_BYTES {
            return Err(unauthenticated("this token names no tenant that there can be"));
        }
        Ok(Caller {
            tenant: claims.tenant.into(),
            scope: claims.scope,
            expires: Some(expires + LEEWAY),
        })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

/// Makes a token that is good from `now` on for `life`.
pub fn mint(
    (algorithm, key): (Algorithm, &EncodingKey),
    audience: &str,
    tenant: &str,
    scope: Scope,
    life: Duration,
    now: SystemTime,
) -> anyhow::Result<String> {
    crypto::install();
    ensure!(
        life > Duration::ZERO && life <= MAX_LIFE,
        "a token is good for 1 to {} seconds",
        MAX_LIFE.as_secs()
    );
    ensure!(
        !tenant.is_empty() && tenant.len() <= MAX_TENANT_BYTES,
        "a tenant's id has 1 to {MAX_TENANT_BYTES} bytes"
    );
    let expires = now + life;
    let claims = Claims {
        aud: audience.to_owned(),
        exp: expires.duration_since(UNIX_EPOCH)?.as_secs(),
        nbf: None,
        tenant: tenant.to_owned(),
        scope,
    };
    jsonwebtoken::encode(&Header::new(algorithm), &claims, key).context("the token cannot be signed")
}

fn time(seconds: u64) -> Result<SystemTime, Failure> {
    UNIX_EPOCH
        .checked_add(Duration::from_secs(seconds))
        .filter(|time| time.checked_add(MAX_LIFE).is_some())
        .ok_or_else(|| unauthenticated("this token names a time that there is not"))
}

/// In words that say nothing of the token or the key.
fn why(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => "this token was not signed with this server's key",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            "this token is signed by another algorithm than this server takes"
        }
        ErrorKind::InvalidAudience => "this token is for another audience than this server",
        ErrorKind::MissingRequiredClaim(_) => "this token must have `aud`, `exp`, `tenant` and `scope`",
        _ => "this is no token that can be read: a JSON Web Token with `aud`, `exp`, `tenant` and `scope`",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use sightline_protocol::ErrorId;

    use super::super::key::tests::{ed25519, hs256};
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(NOW)
    }

    fn claims() -> Value {
        json!({"aud": "sightline", "exp": NOW + 60, "tenant": "a", "scope": "publish"})
    }

    fn signed(algorithm: Algorithm, key: &EncodingKey, claims: &Value) -> String {
        crypto::install();
        jsonwebtoken::encode(&Header::new(algorithm), claims, key).unwrap()
    }

    fn refused(verifier: &Verifier, token: &str) -> String {
        let failure = verifier.check(token, now()).unwrap_err();
        assert_eq!(failure.id, ErrorId::Unauthenticated);
        failure.message
    }

    #[test]
    fn both_algorithms_say_who_calls() {
        for (algorithm, signing, reading) in [hs256(), ed25519()] {
            let verifier = Verifier::new(algorithm, reading, "sightline");
            let key = (algorithm, &signing);
            let token = mint(key, "sightline", "a", Scope::View, MAX_LIFE, now()).unwrap();
            let caller = verifier.check(&token, now()).unwrap();
            assert!(caller.sees("a") && !caller.sees("b"));
            assert!(caller.require(Scope::View).is_ok() && caller.require(Scope::Publish).is_err());
            assert!(caller.is_fresh(now()) && !caller.is_fresh(now() + 2 * MAX_LIFE));
            let mut wrong = token.into_bytes();
            let last = wrong.len() - 2;
            wrong[last] = if wrong[last] == b'A' { b'B' } else { b'A' };
            let words = refused(&verifier, &String::from_utf8(wrong).unwrap());
            assert!(words.contains("not signed with this server's key"), "{words}");
        }
    }

    #[test]
    fn each_claim_is_checked() {
        let (algorithm, signing, reading) = hs256();
        let verifier = Verifier::new(algorithm, reading, "sightline");
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            signed(algorithm, &signing, &claims)
        };
        for good in [
            claims_of(&signing, &claims()),
            with("aud", json!(["else", "sightline"])),
            with("exp", json!(NOW - 4)),
            with("nbf", json!(NOW + 4)),
            with("exp", json!(NOW + 600)),
        ] {
            assert!(verifier.check(&good, now()).is_ok());
        }
        for (token, words) in [
            (with("aud", json!("else")), "another audience"),
            (with("aud", Value::Null), "`aud`, `exp`, `tenant` and `scope`"),
            (with("exp", json!(NOW - 5)), "expired"),
            (with("exp", json!(NOW + 606)), "too long"),
            (with("exp", json!(u64::MAX)), "a time that there is not"),
            (with("exp", json!(i64::MAX)), "a time that there is not"),
            (with("exp", json!("soon")), "`aud`, `exp`, `tenant` and `scope`"),
            (with("nbf", json!(NOW + 6)), "not good yet"),
            (with("tenant", json!("")), "no tenant"),
            (with("tenant", json!("x".repeat(129))), "no tenant"),
            (with("scope", json!("root")), "no token that can be read"),
            ("x".repeat(4097), "longer"),
            ("a.b.c".into(), "no token that can be read"),
            (String::new(), "no token that can be read"),
        ] {
            let said = refused(&verifier, &token);
            assert!(said.contains(words), "{said} for {words}");
        }
        for name in ["aud", "exp", "tenant", "scope"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(name);
            refused(&verifier, &signed(algorithm, &signing, &claims));
        }
    }

    fn claims_of(signing: &EncodingKey, claims: &Value) -> String {
        signed(Algorithm::HS256, signing, claims)
    }

    #[test]
    fn the_algorithm_is_never_the_tokens_to_say() {
        let (algorithm, signing, reading) = ed25519();
        let public = reading.try_get_as_bytes().unwrap().to_vec();
        let verifier = Verifier::new(algorithm, reading, "sightline");
        let good = signed(algorithm, &signing, &claims());
        let (_, payload) = good.split_once('.').unwrap();
        let (payload, signature) = payload.split_once('.').unwrap();
        // {"alg":"none"}, with and without a signature; the public key as the secret of an HMAC.
        for token in [
            format!("eyJhbGciOiJub25lIn0.{payload}."),
            format!("eyJhbGciOiJub25lIn0.{payload}.{signature}"),
            signed(Algorithm::HS256, &EncodingKey::from_secret(&public), &claims()),
            format!("{payload}.{signature}"),
        ] {
            refused(&verifier, &token);
        }
        let mut header = Header::new(algorithm);
        header.crit = Some(vec!["exp".into()]);
        let token = jsonwebtoken::encode(&header, &claims(), &signing).unwrap();
        assert!(refused(&verifier, &token).contains("extensions"));
    }

    #[test]
    fn tokens_are_not_made_for_longer_than_they_may_be_good() {
        let (algorithm, signing, _) = hs256();
        for (tenant, life) in [
            ("a", MAX_LIFE + Duration::from_secs(1)),
            ("a", Duration::ZERO),
            ("", MAX_LIFE),
        ] {
            assert!(
                mint(
                    (algorithm, &signing),
                    "sightline",
                    tenant,
                    Scope::View,
                    life,
                    now()
                )
                .is_err()
            );
        }
    }
}
