//! Any body of a PUBLISH: no panic, and what is kept of it is bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plenary::sip::pidf::Pidf;

fuzz_target!(|data: &[u8]| {
    if let Ok(Pidf { activities, note, .. }) = Pidf::parse(data) {
        assert!(activities.len() <= 25);
        assert!(note.is_none_or(|note| note.chars().count() <= 256));
    }
});
