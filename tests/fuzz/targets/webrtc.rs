//! Any datagrams at a port with ICE and DTLS: no panic, nobody believed without the password, no answer longer than what it
//! answers by more than a header, and no keys.
//!
//! A list of datagrams, each behind two octets: the sender and the length. What is not told apart as DTLS goes to both
//! agents. Of a sender with an odd number they are made to be STUN, as an answer to the last check if they are one: no chance
//! finds a FINGERPRINT. A fingerprint of a certificate is read from all of it, and printed as it was read.

#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use plenary::webrtc::{
    Association, Candidate, Check, Credentials, Dtls, Fingerprint, Full, IceOutput, Identity, Kind,
    Lite, Output, Remote, Role,
};

fuzz_target!(|data: &[u8]| {
    if let Some(read) = str::from_utf8(data).ok().and_then(Fingerprint::parse) {
        assert_eq!(Fingerprint::parse(&read.to_string()), Some(read));
    }
    let mut now = START.with(|start| *start);
    let mut agent = Lite::new(credentials("ours"));
    let mut full = Full::new(now, &credentials("ours"), &remote(), [1; 32]);
    let role = if data.len().is_multiple_of(2) { Role::Client } else { Role::Server };
    let mut dtls = Dtls::new(now, Arc::clone(&IDENTITY), association(role));
    let (mut answer, mut check, mut rest) = (Vec::new(), Vec::new(), data);
    while let [sender, len, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let from = SocketAddr::from(([192, 0, 2, *sender], 4_000));
        if Kind::of(datagram) == Kind::Dtls {
            dtls.handle_packet(now, datagram);
            drain(&mut dtls);
        } else {
            now += Duration::from_millis(u64::from(*sender));
            while let IceOutput::Check(_) = full.poll_output(now, &mut check) {}
            let repaired = (*sender & 1 == 1).then(|| repaired(datagram, &check));
            let datagram = repaired.as_deref().unwrap_or(datagram);
            let result = agent.handle_check(from, datagram, &mut answer);
            assert!(matches!(result, Check::Ignored(_) | Check::Refused));
            assert_eq!(answer.is_empty(), matches!(result, Check::Ignored(_)));
            assert!(answer.len() <= datagram.len() + 64);
            full.handle_packet(now, (from, datagram), &mut answer);
            assert_eq!(answer.is_empty(), matches!(result, Check::Ignored(_)));
        }
        assert!(!agent.knows(from) && agent.remote().is_none());
        assert!(!full.knows(from) && full.remote().is_none());
    }
});

/// The same with the head and the end of a STUN message, named like `check` if there is one.
fn repaired(datagram: &[u8], check: &[u8]) -> Vec<u8> {
    let mut message = datagram.to_vec();
    message.resize(datagram.len().next_multiple_of(4).max(20), 0);
    let length = u16::try_from(message.len() - 20 + 8).expect("short").to_be_bytes();
    message[2..4].copy_from_slice(&length);
    message[4..8].copy_from_slice(b"\x21\x12\xa4\x42");
    if let Some(name) = check.get(8..20) {
        message[8..20].copy_from_slice(name);
    }
    let fingerprint = crc(&message) ^ 0x5354_554e;
    message.extend([0x80, 0x28, 0, 4]);
    message.extend(fingerprint.to_be_bytes());
    message
}

/// CRC-32 of ITU-T V.42.
fn crc(message: &[u8]) -> u32 {
    !message.iter().fold(u32::MAX, |crc, octet| {
        (0..8).fold(crc ^ u32::from(*octet), |crc, _| {
            if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 }
        })
    })
}

fn credentials(ufrag: &str) -> Credentials {
    Credentials { ufrag: ufrag.to_owned(), password: "a password of 22 signs".to_owned() }
}

fn remote() -> Remote {
    let candidate = |sender| {
        let address = SocketAddr::from(([192, 0, 2, sender], 4_000));
        Candidate { address, priority: sender.into() }
    };
    let candidates = (1..=4).map(candidate).collect();
    Remote { credentials: credentials("theirs"), candidates, is_lite: false }
}

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
