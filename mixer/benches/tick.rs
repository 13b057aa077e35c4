//! What a tick costs: every leg sends a packet and is sent one; three talk, the others send silence. In many small rooms
//! all talk: these do not fit the caches.
//!
//! `cargo bench -p mixer --bench tick`; divide by the legs to compare with a UDP packet's price.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use mixer::codec::{Codec, Encoder, Encoding};
use mixer::room::{Room, RoomOptions, Sink, SlotId, TICK};
use mixer::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
use mixer::slot::{Slot, SlotOptions, StreamPlan};

const TALKERS: usize = 3;
/// Packets prepared for each voice; they repeat.
const PACKETS: usize = 100;

fn ticks(criterion: &mut Criterion) {
    for (name, codecs) in [
        ("pcmu", &[Codec::Pcmu][..]),
        ("g722", &[Codec::G722]),
        ("opus", &[Codec::Opus]),
        ("l16", &[Codec::L16]),
        ("mixed", &[Codec::Pcmu, Codec::G722, Codec::Opus]),
    ] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(10).warm_up_time(Duration::from_millis(500));
        group.measurement_time(Duration::from_secs(1));
        for legs in [2, 10, 100, 1_000] {
            group.throughput(Throughput::Elements(legs as u64));
            let mut hall = Hall::new(legs, TALKERS, codecs);
            group.bench_function(BenchmarkId::from_parameter(legs), |b| b.iter(|| hall.tick()));
        }
        group.finish();
    }
}

/// Rooms of four, all of whom talk.
fn small_rooms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rooms of four");
    group.sample_size(10).measurement_time(Duration::from_secs(2));
    for rooms in [1, 100_u32] {
        group.throughput(Throughput::Elements(4 * u64::from(rooms)));
        let mut halls: Vec<_> = (0..rooms).map(|_| Hall::new(4, 4, &[Codec::Pcmu])).collect();
        group.bench_function(BenchmarkId::from_parameter(rooms), |b| {
            b.iter(|| halls.iter_mut().for_each(Hall::tick));
        });
    }
    group.finish();
}

/// What it costs that somebody leaves a room and another takes the seat.
fn come_and_go(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("come and go");
    for legs in [10, 1_000, 4_000] {
        let mut hall = Hall::new(legs, TALKERS, &[Codec::Pcmu]);
        let id = SlotId(legs as u64 / 2);
        group.bench_function(BenchmarkId::from_parameter(legs), |b| {
            b.iter(|| {
                if let Some(slot) = hall.room.unseat(id) {
                    hall.room.seat(id, slot);
                }
            });
        });
    }
    group.finish();
}

/// A room and what its legs send.
struct Hall {
    room: Room,
    legs: Vec<usize>,
    voices: Vec<Vec<Vec<u8>>>,
    clocks: Vec<u32>,
    tick: usize,
    start: Instant,
}

impl Hall {
    fn new(legs: usize, talkers: usize, codecs: &[Codec]) -> Self {
        let mut room = Room::new(RoomOptions { contributors: 8 });
        #[expect(clippy::disallowed_methods, reason = "benches start virtual time")]
        let start = Instant::now();
        for leg in 0..legs {
            room.seat(SlotId(leg as u64), slot(start, leg, codecs[leg % codecs.len()]));
        }
        // For each codec what a talker sends, then what a listener sends.
        let voices = codecs.iter().flat_map(|&c| [speech(c, 8_000.0), speech(c, 0.0)]).collect();
        let legs =
            (0..legs).map(|leg| 2 * (leg % codecs.len()) + usize::from(leg >= talkers)).collect();
        let clocks = codecs.iter().map(|&c| Encoding::usual(c).format.clock_rate / 50).collect();
        let mut hall = Self { room, legs, voices, clocks, tick: 0, start };
        for _ in 0..100 {
            hall.tick();
        }
        hall
    }

    fn tick(&mut self) {
        let now = self.start + TICK * u32::try_from(self.tick).unwrap_or(0);
        let mut datagram = [0; 2_000];
        for (leg, &voice) in self.legs.iter().enumerate() {
            let payload = &self.voices[voice][self.tick % PACKETS];
            let number = u32::try_from(self.tick).unwrap_or(0);
            let header = Header {
                marker: false,
                payload_type: 96,
                sequence: Sequence::new(u16::try_from(number & 0xFFFF).unwrap_or(0)),
                timestamp: RtpTimestamp::new(number.wrapping_mul(self.clocks[voice / 2])),
                ssrc: Ssrc::new(u32::try_from(leg).unwrap_or(0)),
            };
            datagram[..12].copy_from_slice(&header.print());
            datagram[12..12 + payload.len()].copy_from_slice(payload);
            if let Some(slot) = self.room.slot_mut(SlotId(leg as u64)) {
                slot.receive(now, &datagram[..12 + payload.len()]).ok();
            }
        }
        self.room.tick(now, &mut Void);
        self.tick += 1;
    }
}

/// Swallows packets.
struct Void;

impl Sink for Void {
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]) {
        black_box((slot, header, payload));
    }
}

fn slot(now: Instant, leg: usize, codec: Codec) -> Slot {
    let mut slot = Slot::new(SlotOptions { seed: leg as u64, ..SlotOptions::default() });
    slot.configure(now, &StreamPlan::both_ways(96, Encoding::usual(codec)));
    slot
}

/// Packets of a pulse train that swells and fades like speech.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
fn speech(codec: Codec, level: f64) -> Vec<Vec<u8>> {
    let encoding = Encoding::usual(codec);
    let rate = encoding.format.sample_rate();
    let frame = rate as usize / 50;
    let mut encoder = Encoder::new(&encoding).expect("the codecs above are supported");
    let sample = |i: usize| {
        let seconds = i as f64 / f64::from(rate);
        let pulse = (1.0 - (seconds * 120.0).fract() * 2.0).powi(3);
        (level * pulse * (1.0 + (seconds * 20.0).sin()) / 2.0) as i16
    };
    (0..PACKETS)
        .map(|packet| {
            let pcm: Vec<i16> = (packet * frame..(packet + 1) * frame).map(sample).collect();
            let mut payload = vec![0; 2_000];
            let octets = encoder.encode(&pcm, &mut payload);
            payload.truncate(octets);
            payload
        })
        .collect()
}

criterion_group!(benches, ticks, small_rooms, come_and_go);
criterion_main!(benches);
