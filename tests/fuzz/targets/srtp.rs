//! Any packets in place of SRTP and SRTCP: no panic, nobody believed without the key, and what is sent comes out again.
//!
//! The first byte chooses the suite; then comes a list of packets, each behind one byte of length. They are given to the
//! receiver as they are, and once more as the sender protects them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixer::srtp::{Error, MasterKey, OVERHEAD_MAX, Receiver, Sender, Suite};

fuzz_target!(|data: &[u8]| {
    let [suite, rest @ ..] = data else { return };
    let mut rest: &[u8] = rest;
    let suite = Suite::ALL[usize::from(*suite) % Suite::ALL.len()];
    let key = MasterKey::new(suite, &[7; MasterKey::MAX_LEN][..suite.master_len()]);
    let key = key.expect("of the suite's length");
    let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key));
    while let [len, tail @ ..] = rest {
        let (packet, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        assert!(receiver.unprotect(&mut packet.to_vec()).is_err());
        assert!(receiver.unprotect_rtcp(&mut packet.to_vec()).is_err());
        let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
        if let Ok(len) = sender.protect(&mut buffer, packet.len()) {
            // A stream that begins in the upper half and goes on in the lower is taken for an old one.
            let opened = receiver.unprotect(&mut buffer[..len]);
            assert!(matches!(opened, Ok(_) | Err(Error::Replayed)));
            assert!(opened != Ok(packet.len()) || buffer.starts_with(packet));
        }
        let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
        if let Ok(len) = sender.protect_rtcp(&mut buffer, packet.len()) {
            assert_eq!(receiver.unprotect_rtcp(&mut buffer[..len]), Ok(packet.len()));
            assert!(buffer.starts_with(packet));
        }
    }
});
