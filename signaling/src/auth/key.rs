//! The key of the tokens, as an operator gives it: a secret that makes and reads them (HS256), or a pair of keys of
//! which this server has only the one that reads (EdDSA).

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};

use super::Access;
use super::token::Verifier;

/// As long as the hash, as RFC 7518 §3.2 asks.
const MIN_SECRET_BYTES: usize = 32;
/// What stands before the 32 bytes of an Ed25519 key (RFC 8410): the sequence, the algorithm, the bit string.
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TokenAlgorithm {
    #[value(name = "HS256")]
    Hs256,
    #[value(name = "EdDSA")]
    EdDsa,
}

#[derive(Debug, Clone, Default, Args)]
pub struct AuthArgs {
    /// How tokens are signed: HS256 (one secret) or EdDSA (a pair of keys, of which this server needs the public one)
    #[arg(long, env = "SIGHTLINE_AUTH_ALGORITHM", ignore_case = true)]
    pub auth_algorithm: Option<TokenAlgorithm>,

    /// The key: for HS256 a secret of 32 bytes or more, for EdDSA the public key as PEM. Without one, anybody may do anything
    #[arg(long, env = "SIGHTLINE_AUTH_KEY", hide_env_values = true)]
    pub auth_key: Option<String>,

    /// A file with the key
    #[arg(long, env = "SIGHTLINE_AUTH_KEY_FILE")]
    pub auth_key_file: Option<PathBuf>,

    /// Who tokens must be for (`aud`)
    #[arg(long, env = "SIGHTLINE_AUTH_AUDIENCE", default_value = "sightline")]
    pub auth_audience: String,
}

impl AuthArgs {
    pub fn access(&self) -> anyhow::Result<Access> {
        let Some((algorithm, key)) = self.given()? else {
            return Ok(Access::Open);
        };
        let (algorithm, key) = match algorithm {
            TokenAlgorithm::Hs256 => (Algorithm::HS256, DecodingKey::from_secret(secret(&key)?)),
            TokenAlgorithm::EdDsa => (Algorithm::EdDSA, public(&key)?),
        };
        let verifier = Verifier::new(algorithm, key, &self.auth_audience);
        Ok(Access::Tokens(Arc::new(verifier)))
    }

    /// The key that makes tokens.
    pub fn signing(&self) -> anyhow::Result<(Algorithm, EncodingKey)> {
        let (algorithm, key) = self.given()?.context(
            "give the key that signs tokens: --auth-algorithm with --auth-key-file (or SIGHTLINE_AUTH_ALGORITHM with \
             SIGHTLINE_AUTH_KEY_FILE); `signaling keys FOLDER` makes a pair",
        )?;
        Ok(match algorithm {
            TokenAlgorithm::Hs256 => (Algorithm::HS256, EncodingKey::from_secret(secret(&key)?)),
            TokenAlgorithm::EdDsa => (Algorithm::EdDSA, private(&key)?),
        })
    }

    fn given(&self) -> anyhow::Result<Option<(TokenAlgorithm, Vec<u8>)>> {
        // An empty variable is what compose files make of an unset one.
        let text = self.auth_key.as_deref().filter(|text| !text.is_empty());
        let file = self
            .auth_key_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty());
        let key = match (text, file) {
            (Some(_), Some(_)) => bail!("--auth-key and --auth-key-file are both set: one is enough"),
            (Some(text), None) => Some(text.trim().as_bytes().to_vec()),
            (None, Some(path)) => {
                let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                Some(bytes.trim_ascii().to_vec())
            }
            (None, None) => None,
        };
        match (self.auth_algorithm, key) {
            (Some(algorithm), Some(key)) => Ok(Some((algorithm, key))),
            (None, None) => Ok(None),
            (None, Some(_)) => {
                bail!("there is a key for tokens, but no algorithm: say --auth-algorithm HS256 or EdDSA")
            }
            (Some(_), None) => {
                bail!("there is an algorithm for tokens, but no key: give --auth-key-file too")
            }
        }
    }
}

fn secret(key: &[u8]) -> anyhow::Result<&[u8]> {
    ensure!(
        !key.starts_with(b"-----BEGIN"),
        "the key is a PEM file, and HS256 takes a secret: say --auth-algorithm EdDSA, or give another file"
    );
    ensure!(
        key.len() >= MIN_SECRET_BYTES,
        "the secret for tokens has {} bytes, too few: make one of {MIN_SECRET_BYTES} or more (`openssl rand -hex 32`)",
        key.len()
    );
    Ok(key)
}

fn public(key: &[u8]) -> anyhow::Result<DecodingKey> {
    ensure!(
        PrivatePkcs8KeyDer::from_pem_slice(key).is_err(),
        "this is the private key, which makes tokens: give the server the public one only"
    );
    let der = SubjectPublicKeyInfoDer::from_pem_slice(key);
    let der = der.map_err(|_| not_a_key("public", "openssl pkey -in KEY -pubout"))?;
    let raw = der.strip_prefix(&SPKI_PREFIX).filter(|raw| raw.len() == 32);
    let raw = raw.ok_or_else(|| not_a_key("public", "signaling keys FOLDER"))?;
    Ok(DecodingKey::from_ed_der(raw))
}

fn private(key: &[u8]) -> anyhow::Result<EncodingKey> {
    let der = PrivatePkcs8KeyDer::from_pem_slice(key);
    let der = der.map_err(|_| not_a_key("private", "signaling keys FOLDER"))?;
    Ok(EncodingKey::from_ed_der(der.secret_pkcs8_der()))
}

fn not_a_key(which: &str, command: &str) -> anyhow::Error {
    anyhow!("the key for EdDSA is not a {which} Ed25519 key as PEM: `{command}` gives one")
}

/// Writes a new pair of keys into a folder, and says where; files that are there are kept.
pub fn make(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let pair = KeyPair::generate_for(&PKCS_ED25519).context("no key could be made")?;
    let (private, public) = (folder.join("token.key"), folder.join("token.pub"));
    for (path, text, mode) in [
        (&private, pair.serialize_pem(), 0o600),
        (&public, pair.public_key_pem(), 0o644),
    ] {
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(path);
        let mut file = file.with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok((private, public))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    type Keys = (Algorithm, EncodingKey, DecodingKey);

    const SECRET: &[u8] = b"a secret of tests that is long enough";

    pub(in super::super) fn hs256() -> Keys {
        let keys = (EncodingKey::from_secret(SECRET), DecodingKey::from_secret(SECRET));
        (Algorithm::HS256, keys.0, keys.1)
    }

    pub(in super::super) fn ed25519() -> Keys {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let keys = (
            private(pair.serialize_pem().as_bytes()).unwrap(),
            public(pair.public_key_pem().as_bytes()).unwrap(),
        );
        (Algorithm::EdDSA, keys.0, keys.1)
    }

    fn args(algorithm: Option<TokenAlgorithm>, key: &str) -> AuthArgs {
        AuthArgs {
            auth_algorithm: algorithm,
            auth_key: Some(key.into()),
            auth_audience: "sightline".into(),
            ..AuthArgs::default()
        }
    }

    #[test]
    fn without_a_key_all_is_open_and_half_a_setting_is_none() {
        assert!(args(None, "").access().unwrap().is_open());
        let long = "hunter2".repeat(8);
        for (algorithm, key, words) in [
            (None, &*long, "no algorithm"),
            (Some(TokenAlgorithm::Hs256), "", "no key"),
            (Some(TokenAlgorithm::Hs256), "hunter2", "too few"),
            (Some(TokenAlgorithm::EdDsa), &*long, "not a public Ed25519 key"),
        ] {
            let error = format!("{:#}", args(algorithm, key).access().unwrap_err());
            assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
        }
        assert!(
            !args(Some(TokenAlgorithm::Hs256), &long)
                .access()
                .unwrap()
                .is_open()
        );
    }

    #[test]
    fn a_pair_is_made_once_and_each_half_has_its_place() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let (private, public) = make(folder.path()).unwrap();
        assert_eq!(
            fs::metadata(&private).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(format!("{:#}", make(folder.path()).unwrap_err()).contains("token.key"));
        let with = |file: &Path| AuthArgs {
            auth_algorithm: Some(TokenAlgorithm::EdDsa),
            auth_key_file: Some(file.to_owned()),
            auth_audience: "sightline".into(),
            ..AuthArgs::default()
        };
        assert!(with(&public).access().is_ok() && with(&private).signing().is_ok());
        let error = format!("{:#}", with(&private).access().unwrap_err());
        assert!(error.contains("the public one only"), "{error}");
        assert!(with(&public).signing().is_err());
        let secret = AuthArgs {
            auth_algorithm: Some(TokenAlgorithm::Hs256),
            ..with(&public)
        };
        assert!(format!("{:#}", secret.access().unwrap_err()).contains("PEM"));
    }
}
