//! Any session description: no panic, stable when printed, and never in the way of the next offer.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mixer::codec::{Codec, Format, OpusOptions};
use plenary::sdp::{Direction, DtlsPolicy, KeySeed, Local, Negotiation, Session, SrtpPolicy};
use plenary::webrtc::Fingerprint;

fuzz_target!(|data: &[u8]| {
    if let Ok(session) = Session::parse(data) {
        let printed = session.print();
        let again = Session::parse(&printed).expect("what we print is a session");
        assert_eq!(again.print(), printed);
    }

    let mut called = Negotiation::new(local());
    if let Ok((answer, plan)) = called.answer(data, Direction::SendRecv) {
        Session::parse(&answer).expect("our answer is a session");
        assert_eq!(called.plan(), Some(&plan));
    }
    let _ = called.offer(Direction::SendRecv);

    let mut calling = Negotiation::new(local());
    let _ = calling.offer(Direction::SendRecv);
    if calling.conclude(data).is_err() {
        calling.abandon();
    }
});

fn local() -> Local {
    Local {
        session_id: 1,
        address: [192, 0, 2, 1].into(),
        rtp_port: 40_000,
        codecs: vec![
            Format::usual(Codec::Opus),
            Format::usual(Codec::G722),
            Format::usual(Codec::Pcmu),
        ],
        ptime: Duration::from_millis(20),
        opus: OpusOptions { bitrate: 32_000, fec: true, ..OpusOptions::USUAL },
        comfort_noise: true,
        csrc: true,
        srtp: SrtpPolicy::Offer,
        dtls: Some(DtlsPolicy { fingerprint: Fingerprint::of(b"ours"), offers: false }),
        key_seed: KeySeed([1; 32]),
    }
}
