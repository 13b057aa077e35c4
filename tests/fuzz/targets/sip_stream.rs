//! Any stream in any pieces: no panic, and the pieces make no difference.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plenary::sip::transport::{Frame, Framer};
use plenary::sip::{Limits, Message};

fuzz_target!(|data: &[u8]| {
    let Some((&size, stream)) = data.split_first() else { return };

    let whole = frames(stream, stream.len().max(1));

    assert_eq!(frames(stream, usize::from(size).max(1)), whole);
    for frame in whole.iter().flatten() {
        if let Frame::Message(bytes) = frame {
            let _ = Message::parse(bytes, &Limits::default());
        }
    }
});

/// The frames, and at the end an error if the stream cannot be followed.
fn frames(stream: &[u8], size: usize) -> Vec<Result<Frame, String>> {
    let mut framer = Framer::new(Limits::default());
    let mut found = Vec::new();
    for piece in stream.chunks(size) {
        framer.push(piece);
        while let Some(frame) = framer.poll() {
            found.push(frame.map_err(|error| error.problem().to_string()));
        }
    }
    found
}
