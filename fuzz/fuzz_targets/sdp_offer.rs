//! Any client's offer: refused, or made into one that stays the same when it is normalised again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_sdp::{Audio, Flow, Offer, Policy};

fuzz_target!(|text: &str| {
    for flow in [Flow::ClientSends, Flow::ClientReceives] {
        let policy = Policy {
            flow,
            audio: Audio::Accept,
            video_codecs: ["VP8", "H264", "VP9", "AV1"].map(str::to_owned).into(),
            sent_codecs: vec!["VP8".to_owned()],
        };
        if let Ok(offer) = Offer::parse(text, &policy) {
            let again = Offer::parse(offer.text(), &policy).expect("a normalised offer is taken");
            assert_eq!(offer.text(), again.text());
            assert_eq!(offer.fingerprints(), again.fingerprints());
        }
    }
});
