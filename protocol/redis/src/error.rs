//! Errors in words that help.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use rustls::{AlertDescription, CertificateError};

/// Why Redis cannot be used; the text is for people, and holds no password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "`{url}` is not the URL of a Redis: {reason}. \
         Write redis://HOST:PORT, rediss://HOST:PORT, unix:///PATH/TO/SOCKET, redis-cluster://HOST:PORT,HOST:PORT or \
         redis-sentinel://HOST:PORT,HOST:PORT/?sentinelServiceName=NAME"
    )]
    Url { url: String, reason: String },
    #[error("Cannot use `{}` for TLS: {reason}", file.display())]
    Tls { file: PathBuf, reason: String },
    #[error("Cannot connect to Redis at {url}: {cause}")]
    Connect { url: String, cause: String },
    #[error("Redis at {url} refuses: {cause}")]
    Refused { url: String, cause: String },
    #[error("Cannot start the threads that talk to Redis: {0}")]
    Runtime(String),
}

impl Error {
    /// Whether it is a setting that is wrong, not the world.
    pub fn is_setting(&self) -> bool {
        matches!(self, Self::Url { .. } | Self::Tls { .. })
    }
}

/// Whether an error means that the connection is of no use any more, or that this Redis is not for now: a new
/// connection finds out.
pub fn is_lost(error: &RedisError) -> bool {
    use ServerErrorKind as Kind;
    match error.kind() {
        ErrorKind::Server(
            Kind::BusyLoading
            | Kind::ReadOnly
            | Kind::MasterDown
            | Kind::ClusterDown
            | Kind::TryAgain
            | Kind::Moved
            | Kind::Ask,
        ) => true,
        ErrorKind::Server(_) | ErrorKind::Extension => matches!(error.code(), Some("MISCONF" | "NOREPLICAS")),
        _ => true,
    }
}

/// An error's cause, and what to do about it where that is clear.
pub fn describe(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        return "connection refused: is Redis running there?".into();
    }
    if let Some(error) = tls(error) {
        return describe_tls(error);
    }
    match error.kind() {
        ErrorKind::AuthenticationFailed => return "it does not take this user name and password".into(),
        ErrorKind::Parse => {
            return "what answers there is not a Redis; one that speaks TLS needs a URL with rediss://"
                .into();
        }
        _ => {}
    }
    match error.code() {
        Some("NOAUTH") => "it asks for a password: put it into the URL, redis://:PASSWORD@HOST:PORT".into(),
        Some("NOPERM") => format!(
            "NOPERM {}: give it to the user with ACL SETUSER",
            error.detail().unwrap_or_default()
        ),
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default())
            .trim()
            .to_owned(),
        None => error.to_string().replace(" - InvalidClientConfig", ""),
    }
}

/// redis hands out its source in an `Arc`.
fn tls(error: &RedisError) -> Option<&rustls::Error> {
    let source = error
        .source()?
        .downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>()?;
    source
        .downcast_ref::<rustls::Error>()
        .or_else(|| source.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref())
}

fn describe_tls(error: &rustls::Error) -> String {
    use rustls::Error as Tls;
    let hint = match error {
        Tls::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "no authority that is trusted here has signed it: name the one that has by the property \
             `tls-ca-file` or the environment's SSL_CERT_FILE"
        }
        Tls::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "the URL must name the host as the certificate does",
        Tls::InvalidMessage(_) => "it does not speak TLS: write redis:// for a Redis without",
        Tls::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::HandshakeFailure
            | AlertDescription::UnknownCA,
        ) => "it asks for a client certificate of an authority it trusts: `tls-cert-file` and `tls-key-file`",
        _ => return format!("TLS: {error}"),
    };
    format!("TLS: {error}: {hint}")
}
