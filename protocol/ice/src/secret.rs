//! Credentials from a shared secret: draft-uberti-behave-turn-rest-00, section 2.2.

use std::fmt;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::Login;

/// What the TURN server and we know, and nobody else.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// A login for `name` until `expiry`: user `<Unix seconds>:<name>`, password `base64(HMAC-SHA1(secret, user))`.
    pub fn login(&self, name: &str, expiry: SystemTime) -> Login {
        let seconds = expiry
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        let user = format!("{seconds}:{name}");
        let password = STANDARD.encode(self.mac(&user));
        Login { user, password }
    }

    fn mac(&self, text: &str) -> Vec<u8> {
        // HMAC takes keys of any length (RFC 2104); the type only cannot say so.
        Hmac::<Sha1>::new_from_slice(self.0.as_bytes())
            .map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_login_is_what_openssl_computes() {
        // printf 1700000000:s1 | openssl dgst -sha1 -hmac north -binary | base64
        let login =
            Secret::new("north").login("s1", SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        assert_eq!(login.user, "1700000000:s1");
        assert_eq!(login.password, "QvP5NTCoHOiDw4o+Ut4C0xnk7uk=");
    }

    #[test]
    fn hmac_is_as_in_rfc_2202() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mac = Secret::new("Jefe").mac("what do ya want for nothing?");
        assert_eq!(hex(mac), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        let long = Secret::new("\u{2a}".repeat(100)).mac("a key longer than a block");
        assert_eq!(long.len(), 20);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::new("hunter2");
        let login = secret.login("s1", SystemTime::UNIX_EPOCH);
        let shown = format!("{secret:?} {login:?}");
        assert!(
            !shown.contains("hunter2") && !shown.contains(&login.password),
            "{shown}"
        );
    }
}
