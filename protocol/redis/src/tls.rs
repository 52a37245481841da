//! Certificates for `rediss://`.

use std::path::{Path, PathBuf};

use redis::{ClientTlsConfig, TlsCertificates};

use crate::Error;

/// PEM files, as `redis-cli` takes them. Without a `ca_file` the system's authorities are trusted, or those of the
/// environment's `SSL_CERT_FILE` and `SSL_CERT_DIR`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The only authorities to trust.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, with those it depends on, for a Redis that asks for one.
    pub cert_file: Option<PathBuf>,
    /// The key of our own certificate.
    pub key_file: Option<PathBuf>,
}

impl Tls {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads the files.
    pub(crate) fn certificates(&self) -> Result<TlsCertificates, Error> {
        let client_tls = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => Some(ClientTlsConfig {
                client_cert: read(cert)?,
                client_key: read(key)?,
            }),
            (None, None) => None,
            (Some(file), None) | (None, Some(file)) => {
                return Err(Error::Tls {
                    file: file.clone(),
                    reason: "a client certificate needs its key, and a key its certificate: give both files"
                        .into(),
                });
            }
        };
        let root_cert = self.ca_file.as_deref().map(read).transpose()?;
        Ok(TlsCertificates {
            client_tls,
            root_cert,
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    let failed = |reason: String| Error::Tls {
        file: file.to_owned(),
        reason,
    };
    let text = std::fs::read(file).map_err(|error| failed(error.to_string()))?;
    // Without any certificate in it, a file would be taken and trust nobody.
    let is_pem = text.windows(11).any(|window| window == b"-----BEGIN ");
    if is_pem {
        Ok(text)
    } else {
        Err(failed("it is not in PEM format".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let (none, text) = (dir.path().join("none.pem"), dir.path().join("text.pem"));
        std::fs::write(&text, "hello").unwrap();
        let one = |file: &Path| Tls {
            ca_file: Some(file.to_owned()),
            ..Default::default()
        };
        let half = Tls {
            key_file: Some(text.clone()),
            ..Default::default()
        };
        for (tls, file, reason) in [
            (one(&none), &none, "No such file"),
            (one(&text), &text, "not in PEM format"),
            (half, &text, "give both"),
        ] {
            let error = tls.certificates().unwrap_err().to_string();
            assert!(error.contains(&file.display().to_string()), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }
}
