//! Any headers: of proxies, origins, tokens, preconditions.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| signaling::fuzz::headers(text));
