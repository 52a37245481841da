//! Anybody who can write to Redis can write any entry: it is pushed, expires or is buried, and nothing else happens.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| gstredisstream::fuzz_entry(bytes));
