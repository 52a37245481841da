//! What a client's SDP must be like, before anybody acts on it. The launcher knows its pipeline and is stricter.

use sightline_protocol::Failure;
use sightline_protocol::rpc::IceCandidate;
use sightline_sdp::{Audio, Fragment, Offer, Policy};

pub(crate) use sightline_sdp::{Flow, MAX_FRAGMENT_BYTES, MAX_SDP_BYTES};

/// What some pipeline may take or send.
const VIDEO_CODECS: [&str; 4] = ["VP8", "H264", "VP9", "AV1"];

/// What must be remembered of an offer, to understand what comes after it.
#[derive(Debug, Clone)]
pub(crate) struct Ice {
    ufrag: String,
    pwd: String,
    /// Of each section, in its order.
    mids: Vec<String>,
}

/// The offer, made plain.
pub(crate) fn offer(text: &str, flow: Flow) -> Result<(String, Ice), Failure> {
    let codecs = VIDEO_CODECS.map(str::to_owned).to_vec();
    let policy = Policy {
        flow,
        audio: Audio::Accept,
        video_codecs: codecs.clone(),
        sent_codecs: codecs,
    };
    let offer = Offer::parse(text, &policy)?;
    let ice = Ice {
        ufrag: offer.ice_ufrag().to_owned(),
        pwd: offer.ice_pwd().to_owned(),
        mids: offer.media().iter().map(|media| media.mid.clone()).collect(),
    };
    Ok((offer.text().to_owned(), ice))
}

/// What a fragment asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To try these too; what cannot be used is left out.
    Candidates(Vec<IceCandidate>),
    IceRestart,
}

pub(crate) fn fragment(text: &str, ice: &Ice) -> Result<Asked, Failure> {
    let fragment = Fragment::parse(text)?;
    if fragment.restarts(&ice.ufrag, &ice.pwd) {
        return Ok(Asked::IceRestart);
    }
    let line_of = |mid: &Option<String>| {
        let found = ice.mids.iter().position(|known| Some(known) == mid.as_ref());
        // All sections share the first one's transport.
        found.and_then(|line| u32::try_from(line).ok()).unwrap_or(0)
    };
    let mut candidates: Vec<_> = fragment
        .candidates
        .into_iter()
        .map(|trickled| IceCandidate {
            sdp_m_line_index: Some(line_of(&trickled.mid)),
            candidate: trickled.candidate,
            sdp_mid: trickled.mid,
        })
        .collect();
    if fragment.end_of_candidates {
        candidates.push(IceCandidate {
            candidate: String::new(),
            sdp_m_line_index: Some(0),
            sdp_mid: None,
        });
    }
    Ok(Asked::Candidates(candidates))
}
