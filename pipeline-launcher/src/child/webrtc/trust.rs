//! Whether the peer is the one that its SDP names.
//!
//! webrtcbin (before 1.28.5) takes any DTLS certificate: whoever is on the path could send pictures in somebody's name.
//! So nothing that was received goes on before the certificate is compared with the fingerprints of the SDP
//! (RFC 8122 §5, RFC 8827 §6.5).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gst::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256, Sha384, Sha512};
use sightline_sdp::{Fingerprint, Hash};

use super::setup::transceivers;

/// Holds back what webrtcbin receives until the peer is trusted.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate(Arc<AtomicBool>);

impl Gate {
    /// To be told of each element that is added to the pipeline. Every RTP packet passes an `rtpptdemux`, after it is
    /// decrypted and before it leaves webrtcbin.
    pub(super) fn guard(&self, element: &gst::Element) {
        let is_way_out = element
            .factory()
            .is_some_and(|factory| factory.name() == "rtpptdemux");
        let Some(pad) = element.static_pad("sink").filter(|_| is_way_out) else {
            return;
        };
        let trusted = Arc::clone(&self.0);
        let packets = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(packets, move |_, _| {
            if trusted.load(Ordering::Acquire) {
                // From now on it costs nothing.
                gst::PadProbeReturn::Remove
            } else {
                // Not Drop: of a sink pad's data, bindings and GStreamer 1.22 disagree about who frees it then.
                gst::PadProbeReturn::Handled
            }
        });
    }

    pub(super) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Compares the certificate of the connected peer with what its SDP said.
pub(super) fn verify(webrtc: &gst::Element, named: &[Fingerprint]) -> Result<(), String> {
    let pem = certificate(webrtc).ok_or("the peer is connected without a certificate")?;
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| format!("the peer's certificate cannot be read: {error}"))?;
    if named.iter().any(|fingerprint| fits(fingerprint, &der)) {
        Ok(())
    } else {
        Err("the peer's certificate is not the one that its SDP names (`a=fingerprint`): somebody else may have \
             answered in its place"
            .into())
    }
}

fn fits(fingerprint: &Fingerprint, der: &[u8]) -> bool {
    let digest = match fingerprint.hash {
        Hash::Sha256 => Sha256::digest(der).to_vec(),
        Hash::Sha384 => Sha384::digest(der).to_vec(),
        Hash::Sha512 => Sha512::digest(der).to_vec(),
    };
    digest == fingerprint.bytes
}

/// The peer's certificate (PEM), of the one transport under all sections.
fn certificate(webrtc: &gst::Element) -> Option<String> {
    transceivers(webrtc)
        .filter_map(|transceiver| {
            let receiving = transceiver.receiver().and_then(|receiver| receiver.transport());
            receiving.or_else(|| transceiver.sender()?.transport())
        })
        .find_map(|transport| transport.remote_certificate())
        .map(String::from)
        .filter(|pem| !pem.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_fits_its_fingerprint_and_no_other() {
        let der = b"a certificate";
        let fingerprint = |hash, bytes: &[u8]| Fingerprint {
            hash,
            bytes: bytes.to_vec(),
        };
        assert!(fits(&fingerprint(Hash::Sha256, &Sha256::digest(der)), der));
        assert!(fits(&fingerprint(Hash::Sha512, &Sha512::digest(der)), der));
        assert!(!fits(
            &fingerprint(Hash::Sha384, &Sha384::digest(b"another")),
            der
        ));
        assert!(!fits(&fingerprint(Hash::Sha256, &Sha512::digest(der)[..32]), der));
    }
}
