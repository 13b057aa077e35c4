//! How speech sounds after a lossy network and a room, beside what the codec could do at best.
//!
//! `cargo run --release -p mixer --example quality -- OUT [pcmu|pcma|g722|opus …] [WAV …]` sends speech (16 kHz, mono, 16 bits; made up
//! if no file is given) through each codec and pattern of loss, and writes into `OUT`, for each seed:
//! - `bridge`: sender ─▶ network ─▶ slot ─▶ room ─▶ slot ─▶ listener,
//! - `receiver`: sender ─▶ network ─▶ decoder with ITU-T G.711 Appendix I or what libopus makes up,
//! - `tandem`: the same, coded and decoded once more, as a mixing bridge must.
//!
//! `tests/quality/run` does this and scores the files by PESQ.
#![expect(clippy::print_stdout, reason = "a command")]

mod appendix_one;
mod network;
mod speech;
mod wave;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use appendix_one::AppendixOne;
use mixer::codec::{Codec, Decoder, Encoder, Encoding, Format, OpusOptions};
use mixer::room::{Room, RoomOptions, Sink, SlotId, TICK};
use mixer::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
use mixer::slot::{Slot, SlotOptions, StreamPlan};
use network::Pattern;

/// Patterns of loss that are drawn for each codec and rate.
const SEEDS: u64 = 4;
const CODECS: [(Codec, &str); 4] =
    [(Codec::Pcmu, "pcmu"), (Codec::Pcma, "pcma"), (Codec::G722, "g722"), (Codec::Opus, "opus")];
/// Room for one decoded packet: 120 ms at 48 kHz.
const MAX_SAMPLES: usize = 5_760;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments.next().context("usage: quality OUT [pcmu|pcma|g722|opus …] [WAV …]")?;
    let (names, files): (Vec<_>, Vec<_>) = arguments
        .partition(|argument| CODECS.iter().any(|(_, name)| argument.as_os_str() == *name));
    std::fs::create_dir_all(&out)?;
    let speech = if files.is_empty() { speech::made_up() } else { speech::read(&files)? };
    for (codec, name) in CODECS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted.as_os_str() == name) {
            continue;
        }
        let rate = encoding(codec).format.sample_rate();
        let said = speech::at_rate(&speech, rate);
        save(&out, &format!("{name}-said"), rate, &said)?;
        for pattern in Pattern::ALL {
            let seeds = if pattern.percent == 0 { 1 } else { SEEDS };
            for seed in 1..=seeds {
                let packets = send(codec, &said, pattern, seed);
                let received = receive(codec, &packets);
                let file = |way: &str| format!("{name}-{}-{seed}-{way}", pattern.name);
                save(&out, &file("bridge"), rate, &bridge(codec, &packets))?;
                save(&out, &file("tandem"), rate, &code_again(codec, &received))?;
                save(&out, &file("receiver"), rate, &received)?;
            }
            println!("{name} {}", pattern.name);
        }
    }
    Ok(())
}

/// Encodes all of `said`; what the network loses is `None`.
fn send(codec: Codec, said: &[i16], pattern: Pattern, seed: u64) -> Vec<Option<Vec<u8>>> {
    let encoding = encoding(codec);
    let frame = encoding.format.sample_rate() as usize / 50;
    let mut encoder = Encoder::new(&encoding).expect("the codecs above are supported");
    encoder.expect_loss(pattern.percent);
    let mut lost = pattern.losses(seed);
    said.chunks_exact(frame)
        .map(|pcm| {
            let mut payload = vec![0; 1_500];
            let octets = encoder.encode(pcm, &mut payload);
            payload.truncate(octets);
            (!lost()).then_some(payload)
        })
        .collect()
}

/// What a good phone makes of the packets.
fn receive(codec: Codec, packets: &[Option<Vec<u8>>]) -> Vec<i16> {
    let format = encoding(codec).format;
    let frame = format.sample_rate() as usize / 50;
    let mut decoder = Decoder::new(format).expect("the codecs above are supported");
    let mut concealer = AppendixOne::new(format.sample_rate());
    let mut heard = Vec::new();
    for (i, packet) in packets.iter().enumerate() {
        let mut pcm = [0; MAX_SAMPLES];
        let pcm = &mut pcm[..];
        let next = packets.get(i + 1).and_then(Option::as_deref);
        match packet {
            Some(payload) => {
                decoder.decode(payload, pcm).expect("as encoded");
                if !decoder.conceals() {
                    concealer.heard(&mut pcm[..frame]);
                }
            }
            None if decoder.recover(next, &mut pcm[..frame]) => {}
            None if decoder.conceal(&mut pcm[..frame]) => {}
            None => concealer.conceal(&mut pcm[..frame]),
        }
        heard.extend_from_slice(&pcm[..frame]);
    }
    heard
}

fn code_again(codec: Codec, pcm: &[i16]) -> Vec<i16> {
    receive(codec, &send(codec, pcm, Pattern::NONE, 1))
}

/// What a listener in a room hears of a talker whose packets come or not.
fn bridge(codec: Codec, packets: &[Option<Vec<u8>>]) -> Vec<i16> {
    let encoding = encoding(codec);
    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    let mut now = Instant::now();
    let mut room = Room::new(RoomOptions { contributors: 3 });
    for id in 0..2 {
        room.seat(SlotId(id), slot(id, encoding, now));
    }
    let mut listener = Listener::new(encoding.format);
    for (i, packet) in packets.iter().enumerate() {
        let number = u32::try_from(i).expect("less than a day of speech");
        let header = Header {
            marker: i == 0,
            payload_type: 96,
            sequence: Sequence::new(u16::try_from(number & 0xFFFF).expect("masked")),
            timestamp: RtpTimestamp::new(number.wrapping_mul(encoding.format.clock_rate / 50)),
            ssrc: Ssrc::new(1),
        };
        if let (Some(payload), Some(slot)) = (packet, room.slot_mut(SlotId(0))) {
            // Up to half a millisecond of jitter, in time for a tick that comes 7 ms later.
            let jitter = Duration::from_micros(u64::from(number.wrapping_mul(2_654_435_761) >> 23));
            let datagram = [&header.print()[..], payload].concat();
            slot.receive(now + jitter, &datagram).expect("as agreed");
        }
        room.tick(now + Duration::from_millis(7), &mut listener);
        now += TICK;
    }
    listener.heard
}

/// Decodes what slot 1 is sent.
struct Listener {
    decoder: Decoder,
    heard: Vec<i16>,
}

impl Listener {
    fn new(format: Format) -> Self {
        let decoder = Decoder::new(format).expect("the codecs above are supported");
        Self { decoder, heard: Vec::new() }
    }
}

impl Sink for Listener {
    fn send(&mut self, slot: SlotId, _: &[u8], payload: &[u8]) {
        if slot == SlotId(1) {
            let mut pcm = [0; MAX_SAMPLES];
            let samples = self.decoder.decode(payload, &mut pcm).expect("as encoded");
            self.heard.extend_from_slice(&pcm[..samples]);
        }
    }
}

fn slot(id: u64, encoding: Encoding, now: Instant) -> Slot {
    let mut slot = Slot::new(SlotOptions { seed: id, ..SlotOptions::default() });
    let plan = StreamPlan::both_ways(96, encoding);
    slot.configure(now, &plan);
    slot
}

/// Opus with in-band FEC.
fn encoding(codec: Codec) -> Encoding {
    Encoding { opus: OpusOptions { fec: true, ..OpusOptions::USUAL }, ..Encoding::usual(codec) }
}

/// Saves at 8 or 16 kHz, as PESQ wants it.
fn save(out: &Path, name: &str, rate: u32, pcm: &[i16]) -> Result<()> {
    let (rate, pcm) = match rate {
        48_000 => (16_000, speech::convert(pcm, 48_000, 16_000)),
        rate => (rate, pcm.to_vec()),
    };
    wave::write(&out.join(format!("{name}.wav")), rate, &pcm)
}
