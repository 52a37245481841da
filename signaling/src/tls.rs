//! TLS: the operator's certificate, read anew when its files change, or one made at the start.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use rustls::ServerConfig;
use rustls::crypto::ring::{default_provider, sign::any_supported_type};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How soon a new certificate is seen.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TlsMode {
    /// Plain http, for this machine or behind a proxy.
    Off,
    /// A certificate made at each start: browsers ask whether it is to be trusted.
    SelfSigned,
    /// The operator's, in --tls-cert and --tls-key.
    Files,
}

#[derive(Debug, Clone, Default, Args)]
pub struct TlsArgs {
    /// TLS: off, self-signed, or files; without it, files if there are any
    #[arg(long, env = "SIGHTLINE_TLS")]
    pub tls: Option<TlsMode>,

    /// The certificate, and those it depends on, as PEM; read anew when it changes
    #[arg(long, env = "SIGHTLINE_TLS_CERT")]
    pub tls_cert: Option<PathBuf>,

    /// The certificate's key, as PEM
    #[arg(long, env = "SIGHTLINE_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
}

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub struct Tls {
    served: Arc<Served>,
    files: Option<(PathBuf, PathBuf)>,
    /// SHA-256 of the certificate, by which a self-made one can be known.
    pub fingerprint: String,
}

impl TlsArgs {
    /// Whether the server speaks TLS, if all that it needs is there.
    pub fn is_on(&self) -> bool {
        let has_file = self
            .tls_cert
            .as_ref()
            .is_some_and(|path| !path.as_os_str().is_empty());
        self.tls.map_or(has_file, |mode| mode != TlsMode::Off)
    }

    /// A certificate that cannot be used is an error: there is no going on without.
    pub fn certificate(&self, bind: IpAddr) -> anyhow::Result<Option<Tls>> {
        let given = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
        let files = (given(&self.tls_cert), given(&self.tls_key));
        match (self.tls, files) {
            (None | Some(TlsMode::Off), (None, None)) => Ok(None),
            (Some(TlsMode::SelfSigned), (None, None)) => self_signed(bind).map(Some),
            (None | Some(TlsMode::Files), (Some(cert), Some(key))) => from_files(cert, key).map(Some),
            (Some(mode @ (TlsMode::Off | TlsMode::SelfSigned)), _) => bail!(
                "--tls {} and the files of a certificate are both set: leave one of them out",
                mode.to_possible_value()
                    .map_or_else(String::new, |value| value.get_name().to_owned())
            ),
            _ => bail!("TLS needs both --tls-cert and --tls-key (SIGHTLINE_TLS_CERT, SIGHTLINE_TLS_KEY)"),
        }
    }
}

impl Tls {
    /// The operator's, which lasts.
    pub(crate) fn is_from_files(&self) -> bool {
        self.files.is_some()
    }

    pub(crate) fn acceptor(&self) -> anyhow::Result<TlsAcceptor> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .context("TLS cannot be set up")?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.served) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Serves a new certificate as soon as its files hold one; a bad one is reported, and the old one stays.
    pub(crate) async fn keep_fresh(self) {
        let Some((cert, key)) = self.files else { return };
        let mut seen = read(&cert, &key).ok();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = read(&cert, &key);
            if now.as_ref().ok() == seen.as_ref() {
                continue;
            }
            let parsed = match &now {
                Ok((cert, key)) => parse(cert, key),
                Err(error) => Err(anyhow!("{error:#}")),
            };
            match parsed {
                Ok(new) => {
                    tracing::info!(fingerprint = fingerprint(&new), "a new certificate is served");
                    *self.served.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                }
                Err(error) => {
                    tracing::warn!("the new certificate cannot be used, the old one stays: {error:#}");
                }
            }
            seen = now.ok();
        }
    }

    fn new(certified: CertifiedKey, files: Option<(PathBuf, PathBuf)>) -> Self {
        Self {
            fingerprint: fingerprint(&certified),
            served: Arc::new(Served(RwLock::new(Arc::new(certified)))),
            files,
        }
    }
}

#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn self_signed(bind: IpAddr) -> anyhow::Result<Tls> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.push(sightline_service::host());
    if !bind.is_unspecified() {
        names.push(bind.to_string());
    }
    names.retain(|name| !name.is_empty());
    let made = rcgen::generate_simple_self_signed(names).context("no certificate could be made")?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der());
    let key = key.map_err(|error| anyhow!("no key could be made: {error}"))?;
    Ok(Tls::new(certified(vec![made.cert.der().clone()], &key)?, None))
}

fn from_files(cert: PathBuf, key: PathBuf) -> anyhow::Result<Tls> {
    let (cert_pem, key_pem) = read(&cert, &key)?;
    let parsed = parse(&cert_pem, &key_pem)
        .with_context(|| format!("{} and {} cannot be used", cert.display(), key.display()))?;
    Ok(Tls::new(parsed, Some((cert, key))))
}

fn read(cert: &Path, key: &Path) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    Ok((read(cert)?, read(key)?))
}

fn parse(cert: &[u8], key: &[u8]) -> anyhow::Result<CertifiedKey> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(cert).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.context("there is no certificate in PEM form in the one file")?;
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|_| anyhow!("there is no private key in PEM form in the other file"))?;
    certified(chain, &key)
}

fn certified(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> anyhow::Result<CertifiedKey> {
    let key = any_supported_type(key).context("the key is of a kind that is not known here")?;
    let certified = CertifiedKey::new(chain, key);
    ensure!(
        certified.keys_match().is_ok(),
        "the key is not that of the certificate"
    );
    Ok(certified)
}

/// As browsers and `openssl x509 -fingerprint -sha256` show it.
fn fingerprint(certified: &CertifiedKey) -> String {
    let der: &[u8] = certified.cert.first().map_or(&[], |cert| cert.as_ref());
    let hash = ring::digest::digest(&ring::digest::SHA256, der);
    let bytes: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn error(args: &TlsArgs) -> String {
        format!("{:#}", args.certificate(HERE).unwrap_err())
    }

    #[test]
    fn what_cannot_be_used_is_an_error_and_never_plain_http() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let (one, two) = (
            rcgen::generate_simple_self_signed(["a".to_owned()]).unwrap(),
            rcgen::generate_simple_self_signed(["b".to_owned()]).unwrap(),
        );
        fs::write(folder.path().join("cert"), one.cert.pem()).unwrap();
        fs::write(folder.path().join("key"), one.signing_key.serialize_pem()).unwrap();
        fs::write(folder.path().join("other"), two.signing_key.serialize_pem()).unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        let args = |tls, cert: &str, key: &str| TlsArgs {
            tls,
            tls_cert: path(cert),
            tls_key: path(key),
        };
        assert!(args(None, "cert", "key").certificate(HERE).unwrap().is_some());
        for (args, words) in [
            (args(None, "cert", "other"), "not that of the certificate"),
            (args(None, "empty", "key"), "no certificate"),
            (args(None, "cert", "empty"), "no private key"),
            (args(None, "cert", "missing"), "cannot read"),
            (args(Some(TlsMode::Off), "cert", "key"), "both set"),
            (
                args(Some(TlsMode::SelfSigned), "cert", "key"),
                "--tls self-signed",
            ),
            (
                TlsArgs {
                    tls_key: None,
                    ..args(None, "cert", "key")
                },
                "both --tls-cert and --tls-key",
            ),
            (
                TlsArgs {
                    tls: Some(TlsMode::Files),
                    ..TlsArgs::default()
                },
                "both --tls-cert and --tls-key",
            ),
        ] {
            assert!(error(&args).contains(words), "{} for {words}", error(&args));
        }
        assert!(TlsArgs::default().certificate(HERE).unwrap().is_none());
        let made = TlsArgs {
            tls: Some(TlsMode::SelfSigned),
            ..TlsArgs::default()
        };
        assert_eq!(made.certificate(HERE).unwrap().unwrap().fingerprint.len(), 95);
    }
}
