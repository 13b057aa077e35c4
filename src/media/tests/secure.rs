//! Legs whose media is encrypted.

use mixer::srtp::{self, MasterKey, Suite};

use super::*;
use crate::media::command::{SrtpKeys, Statistics};

#[test]
fn an_encrypted_leg_and_a_plain_one_hear_each_other() {
    let ways = [(Io::Plain, 33_000), (Io::Uring, 33_100)];
    for (io, first_port) in ways.into_iter().filter(|&(io, _)| backend::choose(io).is_ok()) {
        for (suite, port) in Suite::ALL.into_iter().zip((first_port..).step_by(10)) {
            let mut bench =
                Bench::new(&Options { ports: port..=port + 9, io, ..Options::default() });
            let mut alice = secured(&mut bench, 1, suite).saying(440.0);
            let mut bob = bench.phone(2, Some(1)).saying(1_000.0);

            let meet = (0..5).any(|_| {
                converse(&mut [&mut alice, &mut bob], 25);
                alice.hears(1_000.0) && bob.hears(440.0)
            });

            assert!(meet, "{suite}");
            assert!(!alice.hears(440.0) && !bob.hears(1_000.0), "{suite}");
            assert_eq!(end(&mut bench, 1).packets_unauthentic, 0, "{suite}");
        }
    }
}

#[test]
fn what_is_forged_is_counted_and_teaches_the_latch_nothing() {
    let mut bench = Bench::with_workers(33_200..=33_299, 1);
    let mut alice = secured(&mut bench, 1, Suite::Aes128CmSha1_80).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let mut thief = Phone::new(1, alice.bridge.port()).saying(2_000.0);
    thief.header = alice.header;

    // He is there first, and would be latched were he believed.
    converse(&mut [&mut thief], 10);
    converse(&mut [&mut alice, &mut bob, &mut thief], 50);

    assert!(thief.heard.is_empty());
    assert!(bob.hears(440.0) && !bob.hears(2_000.0));
    assert!(alice.hears(1_000.0));
    // Once the socket is connected to Alice, the kernel drops his packets.
    assert!(end(&mut bench, 1).packets_unauthentic >= 10);
}

#[test]
fn keys_that_stay_go_on_and_new_ones_begin() {
    let mut bench = Bench::with_workers(33_300..=33_399, 1);
    let mut alice = secured(&mut bench, 1, Suite::Aes128Gcm).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    converse(&mut [&mut alice, &mut bob], 30);

    bench
        .send(Command::Configure { leg: MediaKey(1), stream: stream(&alice, 1, Suite::Aes128Gcm) });
    converse(&mut [&mut alice, &mut bob], 30);
    let kept = (alice.hears(1_000.0), bob.hears(440.0));
    bench
        .send(Command::Configure { leg: MediaKey(1), stream: stream(&alice, 2, Suite::Aes256Gcm) });
    alice.secure = Some(contexts(2, Suite::Aes256Gcm));
    converse(&mut [&mut alice, &mut bob], 40);

    assert_eq!(kept, (true, true));
    assert!(alice.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn reports_are_encrypted_both_ways() {
    let mut bench = Bench::with_workers(33_400..=33_499, 1);
    let mut alice = secured(&mut bench, 1, Suite::Aes128CmSha1_32).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let to = SocketAddr::new(LOOPBACK, alice.bridge.port() + 1);
    let plain = [0x80, 201, 0, 1, 0, 0, 0, 1];
    let mut report = [&plain[..], &[0; srtp::OVERHEAD_MAX]].concat();
    converse(&mut [&mut alice, &mut bob], 10);

    let (sender, receiver) = alice.secure.as_mut().unwrap();
    let len = sender.protect_rtcp(&mut report, plain.len()).unwrap();
    alice.rtcp.send_to(&report[..len], to).unwrap();
    alice.rtcp.send_to(&plain, to).unwrap();
    let mut datagram = [0; 2_048];
    let len = receive_until(&alice.rtcp, now() + PATIENCE, &mut datagram).unwrap();

    let len = receiver.unprotect_rtcp(&mut datagram[..len]).unwrap();
    assert!(rtcp::parse(&datagram[..len]).next().is_some());
    converse(&mut [&mut alice, &mut bob], 20);
    assert_eq!(end(&mut bench, 1).packets_unauthentic, 1);
}

/// A phone in mix 1 whose leg has keys, and which has them too.
fn secured(bench: &mut Bench, leg: u64, suite: Suite) -> Phone {
    let port = bench.open(leg).unwrap();
    let mut phone = Phone::new(leg, port);
    phone.secure = Some(contexts(1, suite));
    bench.send(Command::Configure { leg: MediaKey(leg), stream: stream(&phone, 1, suite) });
    bench.join(leg, 1);
    phone
}

/// What a leg with keys of this number is told.
fn stream(phone: &Phone, number: u8, suite: Suite) -> Stream {
    let [send, receive] = keys(number, suite);
    Stream { srtp: Some(Box::new(SrtpKeys { send, receive })), ..phone.stream() }
}

/// What a phone does with the same.
fn contexts(number: u8, suite: Suite) -> (srtp::Sender, srtp::Receiver) {
    let [receive, send] = keys(number, suite);
    (srtp::Sender::new(&send), srtp::Receiver::new(&receive))
}

fn keys(number: u8, suite: Suite) -> [MasterKey; 2] {
    [number, number + 100].map(|octet| {
        MasterKey::new(suite, &[octet; MasterKey::MAX_LEN][..suite.master_len()]).unwrap()
    })
}

/// Closes a leg; its last figures.
pub(super) fn end(bench: &mut Bench, leg: u64) -> Statistics {
    bench.so_far();
    bench.seen.clear();
    bench.send(Command::Close { leg: MediaKey(leg) });
    let mut last = None;
    bench.wait(|event| {
        if let Event::Statistics { leg: of, statistics } = event
            && *of == MediaKey(leg)
        {
            last = Some(statistics.clone());
        }
        if *event == (Event::Closed { leg: MediaKey(leg) }) { last.take() } else { None }
    })
}
