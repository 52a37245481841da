//! Any client's answer to our offer: refused, or made into one that stays the same when it is normalised again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sightline_sdp::Answer;

const OFFER: &str = include_str!("../../protocol/sdp/tests/clients/our-offer.sdp");

fuzz_target!(|text: &str| {
    if let Ok(answer) = Answer::parse(text, OFFER) {
        let again = Answer::parse(answer.text(), OFFER).expect("a normalised answer is taken");
        assert_eq!(answer.text(), again.text());
        assert_eq!(answer.fingerprints(), again.fingerprints());
    }
});
