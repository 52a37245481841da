//! TLS at the real server.

// The helpers here belong to tests.
#![allow(clippy::unwrap_used, dead_code)]

mod support;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use signaling::tls::{TlsArgs, TlsMode};
use support::{SECOND, Scene, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A request by somebody who trusts that certificate only; the answer, and the certificate that was shown.
async fn get(scene: &Scene, trusted: &CertificateDer<'static>) -> Result<(String, Vec<u8>), std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(scene.address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    Ok((answer, shown))
}

/// Writes a new certificate of its own making, and its key.
fn renew(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

#[tokio::test]
async fn a_new_certificate_is_served_and_a_bad_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let first = renew(folder.path());
    let args = TlsArgs {
        tls_cert: Some(folder.path().join("cert.pem")),
        tls_key: Some(folder.path().join("key.pem")),
        ..TlsArgs::default()
    };
    let tls = args.certificate([127, 0, 0, 1].into()).unwrap();
    let scene = Scene::with_tls(tls).await;
    let (answer, shown) = get(&scene, &first).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age="), "{answer}");
    assert_eq!(shown, first.as_ref());

    let second = renew(folder.path());
    eventually("the new one", async || get(&scene, &second).await.is_ok()).await;
    assert!(get(&scene, &first).await.is_err());
    std::fs::write(folder.path().join("cert.pem"), "nonsense").unwrap();
    tokio::time::sleep(6 * SECOND).await;
    assert_eq!(get(&scene, &second).await.unwrap().1, second.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_can_ask_whether_it_is_well() {
    use sightline_service::healthcheck::{Question, Scheme, ask};

    let args = TlsArgs {
        tls: Some(TlsMode::SelfSigned),
        ..TlsArgs::default()
    };
    assert!(args.is_on() && !TlsArgs::default().is_on());
    let tls = args.certificate([127, 0, 0, 1].into()).unwrap();
    let scene = Scene::with_tls(tls).await;
    let address = scene.address;
    let ask = async |scheme| {
        let asked = move || ask(scheme, address.ip(), address.port(), &Question { ready: false });
        tokio::task::spawn_blocking(asked).await.unwrap()
    };
    ask(Scheme::Https).await.unwrap();
    assert!(ask(Scheme::Http).await.is_err());
}

#[tokio::test]
async fn a_server_with_tls_says_nothing_without() {
    let args = TlsArgs {
        tls: Some(TlsMode::SelfSigned),
        ..TlsArgs::default()
    };
    let tls = args.certificate([127, 0, 0, 1].into()).unwrap();
    let scene = Scene::with_tls(tls).await;
    let mut plain = TcpStream::connect(scene.address).await.unwrap();
    plain
        .write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    // Who never speaks does not hold its place.
    let mut silent = TcpStream::connect(scene.address).await.unwrap();
    let ended = tokio::time::timeout(8 * SECOND, silent.read_to_end(&mut answer)).await;
    assert!(ended.is_ok());
}
