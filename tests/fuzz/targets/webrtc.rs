//! Any datagrams at a port with ICE and DTLS: no panic, nobody believed without the password, no answer longer than what it
//! answers by more than a header, and no keys.
//!
//! A list of datagrams, each behind two octets: the sender and the length. What is not told apart as DTLS goes to the agent.
//! A fingerprint is read from all of it, and printed as it was read.

#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use plenary::webrtc::{
    Association, Check, Credentials, Dtls, Fingerprint, Identity, Kind, Lite, Output, Role,
};

fuzz_target!(|data: &[u8]| {
    if let Some(read) = str::from_utf8(data).ok().and_then(Fingerprint::parse) {
        assert_eq!(Fingerprint::parse(&read.to_string()), Some(read));
    }
    let password = "a password of 22 signs".to_owned();
    let mut agent = Lite::new(Credentials { ufrag: "ours".to_owned(), password });
    let now = START.with(|start| *start);
    let role = if data.len().is_multiple_of(2) { Role::Client } else { Role::Server };
    let mut dtls = Dtls::new(now, Arc::clone(&IDENTITY), association(role));
    let (mut answer, mut rest) = (Vec::new(), data);
    while let [sender, len, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let from = SocketAddr::from(([192, 0, 2, *sender], 4_000));
        if Kind::of(datagram) == Kind::Dtls {
            dtls.handle_packet(now, datagram);
            drain(&mut dtls);
        } else {
            let check = agent.handle_check(from, datagram, &mut answer);
            assert!(matches!(check, Check::Ignored(_) | Check::Refused));
            assert_eq!(answer.is_empty(), matches!(check, Check::Ignored(_)));
            assert!(answer.len() <= datagram.len() + 64);
        }
        assert!(!agent.knows(from) && agent.remote().is_none());
    }
});

fn drain(dtls: &mut Dtls) {
    ROOM.with_borrow_mut(|room| {
        loop {
            match dtls.poll_output(room) {
                Output::Packet => assert!(room.len() <= 1_200),
                Output::Failed(_) => {}
                Output::Keys(_) => panic!("keys with nobody"),
                Output::WaitUntil(_) => return,
            }
        }
    });
}

fn association(role: Role) -> Association {
    let fingerprints = vec![Fingerprint::of(b"theirs")];
    Association { number: 1, role, fingerprints, ice: None }
}

/// Made once: it costs more than an input.
static IDENTITY: LazyLock<Arc<Identity>> = LazyLock::new(|| {
    let key = rcgen::KeyPair::generate().expect("randomness");
    let parameters = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    let certificate = parameters.self_signed(&key).expect("a key that signs").der().to_vec();
    let identity = Identity::new(certificate, key.serialize_der(), Duration::from_secs(20));
    Arc::new(identity.expect("a timeout above zero"))
});

thread_local! {
    static START: Instant = start();
    static ROOM: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

#[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
fn start() -> Instant {
    Instant::now()
}
