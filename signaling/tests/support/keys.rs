//! Tokens, good and bad.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde_json::json;
use signaling::auth::token::{MAX_LIFE, Verifier, mint};
use signaling::auth::{Access, Scope};
use signaling::config::Config;

const AUDIENCE: &str = "sightline";
const SECRET: &[u8] = b"a secret of tests that is long enough";

/// Has the server ask for tokens.
pub(crate) fn guard(config: &mut Config) {
    let verifier = Verifier::new(Algorithm::HS256, DecodingKey::from_secret(SECRET), AUDIENCE);
    config.access = Access::Tokens(Arc::new(verifier));
}

pub(crate) fn token(tenant: &str, scope: Scope) -> String {
    made(SECRET, AUDIENCE, tenant, scope)
}

pub(crate) fn of_another_key(tenant: &str) -> String {
    made(&[7; 32], AUDIENCE, tenant, Scope::Admin)
}

pub(crate) fn for_audience(tenant: &str, audience: &str) -> String {
    made(SECRET, audience, tenant, Scope::Admin)
}

/// One that ends so many seconds from now.
pub(crate) fn until(tenant: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let exp = now.checked_add_signed(seconds).unwrap();
    let claims = json!({"aud": AUDIENCE, "exp": exp, "tenant": tenant, "scope": "admin"});
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

/// One that says itself that it needs no signature.
pub(crate) fn unsigned(tenant: &str) -> String {
    let good = token(tenant, Scope::Admin);
    let payload = good.split('.').nth(1).unwrap();
    // {"alg":"none"}
    format!("eyJhbGciOiJub25lIn0.{payload}.")
}

fn made(secret: &[u8], audience: &str, tenant: &str, scope: Scope) -> String {
    let key = EncodingKey::from_secret(secret);
    let key = (Algorithm::HS256, &key);
    mint(key, audience, tenant, scope, MAX_LIFE, SystemTime::now()).unwrap()
}
