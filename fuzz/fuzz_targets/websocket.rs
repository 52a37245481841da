//! Anything that a client says on its WebSocket, while launchers answer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| signaling::fuzz::messages(text));
