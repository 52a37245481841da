//! Any ICE fragment, and our own candidates as they are told.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sightline_sdp::Fragment;
use sightline_sdp::candidate::{MAX_CANDIDATES, advertise_description, is_usable};

fuzz_target!(|text: &str| {
    if let Ok(fragment) = Fragment::parse(text) {
        assert!(fragment.candidates.len() <= MAX_CANDIDATES);
        assert!(fragment.candidates.iter().all(|trickled| is_usable(&trickled.candidate)));
    }
    let public: [IpAddr; 2] = [[203, 0, 113, 9].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 9].into()];
    let told = advertise_description(text, &public);
    assert_eq!(told, advertise_description(&told, &public));
});
