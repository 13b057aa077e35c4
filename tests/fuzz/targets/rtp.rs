//! Any RTP packets in any order: no panic in header, header extension, jitter buffer, digits and comfort noise; memory stays bounded.
//!
//! The input is a list of packets, each behind one byte of length and one byte of time in milliseconds.

#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use mixer::comfort::ComfortNoise;
use mixer::dtmf::Receiver;
use mixer::jitter::{Incoming, JitterBuffer, JitterOptions};
use mixer::rtp::{Header, Packet};

fuzz_target!(|data: &[u8]| {
    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    let mut now = Instant::now();
    let mut jitter = JitterBuffer::new(JitterOptions::default(), 8_000);
    let mut digits = Receiver::new();
    let mut noise = ComfortNoise::new();
    let mut pcm = [0; 160];
    let mut rest = data;
    while let [len, wait, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        now += Duration::from_millis(u64::from(*wait));
        if let Ok(packet) = Packet::parse(datagram) {
            check_header(&packet.header);
            digits.handle_packet(now, 8_000, &packet.header, packet.payload);
            if packet.header.payload_type == 13 {
                jitter.pause(packet.header.ssrc, packet.header.sequence);
            } else {
                jitter.insert(now, incoming(&packet));
            }
            noise.describe(packet.payload);
            noise.fill(&mut pcm);
        }
        let _ = jitter.pull(now);
        digits.handle_timeout(now);
        while digits.poll_digit().is_some() {}
        assert!(jitter.held() <= Duration::from_secs(60));
    }
});

fn check_header(header: &Header) {
    let printed = header.print();
    assert_eq!(Packet::parse(&printed).map(|packet| packet.header), Ok(*header));
}

fn incoming<'a>(packet: &Packet<'a>) -> Incoming<'a> {
    let Header { marker, payload_type, sequence, timestamp, ssrc } = packet.header;
    let level = packet.extension.level(1);
    Incoming { ssrc, sequence, timestamp, marker, payload_type, level, payload: packet.payload }
}
