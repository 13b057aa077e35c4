//! What is heard in a room, asserted at the far side of real codecs.

mod comfort;
mod levels;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::codec::tests::{encoding, tone};
use crate::codec::{Codec, Decoder, Encoder, Encoding, Format};

use crate::quality::AlarmOptions;
use crate::rtp::{AudioLevel, Header, Naming, Packet, RtpTimestamp, Sequence, Ssrc};
use crate::slot::{Event, Seat, SlotOptions, StreamPlan};

const ALL: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16];

#[test]
fn each_hears_the_others_and_not_themselves_whatever_they_speak() {
    for first in ALL {
        for second in ALL {
            let mut hall = Hall::new(4);
            hall.admit(fine(first), Voice::Tone(437.0));
            hall.admit(fine(second), Voice::Tone(911.0));
            hall.admit(encoding(Codec::L16), Voice::Tone(1_523.0));

            hall.run(100);

            for (i, phone) in hall.phones.iter().enumerate() {
                for (j, hz) in [437.0, 911.0, 1_523.0].into_iter().enumerate() {
                    let level = phone.level_of(hz);
                    if i == j {
                        // Quantising to eight bits leaves a little of everything.
                        let coarse = [Codec::Pcmu, Codec::Pcma];
                        let floor = if coarse.iter().any(|c| [first, second].contains(c)) {
                            -50.0
                        } else {
                            -60.0
                        };
                        assert!(level < floor, "{first:?} {second:?}: {i} echoes at {level} dB");
                    } else {
                        assert!(
                            level.abs() < 0.5,
                            "{first:?} {second:?}: {i} hears {j} at {level} dB"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_lone_g711_talker_is_heard_bit_exactly() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut hall = Hall::new(3);
        hall.admit(encoding(codec), Voice::Noise(12_000));
        hall.admit(encoding(codec), Voice::Silence);
        hall.admit(encoding(codec), Voice::Silence);

        hall.run(50);

        let said: Vec<i16> = hall.phones[0].said.clone();
        for listener in &hall.phones[1..] {
            assert!(contains(&said, &listener.heard[320..4_000]), "{codec:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_hears_the_sum_of_the_others(levels in prop::collection::vec(100_i16..3_000, 2..9)) {
        let mut hall = Hall::new(16);
        for &level in &levels {
            hall.admit(linear(8_000), Voice::Noise(level));
        }

        hall.run(12);

        for (i, phone) in hall.phones.iter().enumerate() {
            let others = |n: usize| -> i16 {
                hall.phones.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other.said[n]).sum()
            };
            // The first ticks are faded in.
            let expected: Vec<i16> = (3 * 160..10 * 160).map(others).collect();
            prop_assert!(contains(&phone.heard, &expected), "{i}");
        }
    }

    #[test]
    fn no_datagram_stops_the_others(datagrams in prop::collection::vec(hostile(), 1..60)) {
        let mut hall = Hall::new(3);
        for codec in ALL {
            hall.admit(encoding(codec), Voice::Tone(437.0));
        }
        for datagram in &datagrams {
            for id in 0..5 {
                let now = hall.now;
                hall.room.slot_mut(SlotId(id)).unwrap().receive(now, datagram).ok();
            }
            hall.run(1);
        }
        hall.run(10);

        prop_assert!(hall.phones.iter().all(|phone| phone.packets >= datagrams.len()));
    }
}

#[test]
fn every_packet_interval_comes_in_and_goes_out() {
    for codec in ALL {
        for ms in [10, 20, 30, 40, 60] {
            if codec == Codec::L16 && ms > 40 {
                continue; // More than a datagram holds.
            }
            let odd = Encoding { ptime: Duration::from_millis(ms), ..encoding(codec) };
            let mut hall = Hall::new(3);
            hall.admit(odd, Voice::Tone(437.0));
            hall.admit(linear(16_000), Voice::Tone(911.0));

            hall.run(150);

            let there = hall.phones[1].level_of(437.0);
            let back = hall.phones[0].level_of(911.0);
            assert!(there.abs() < 0.5 && back.abs() < 0.5, "{codec:?} {ms}: {there} {back}");
            assert_eq!(hall.slot(0).statistics(hall.now).frames_concealed, 0, "{codec:?} {ms}");
        }
    }
}

#[test]
fn levels_pass_within_a_tenth_of_a_decibel() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(fine(codec), Voice::Tone(1_004.0));
        hall.admit(linear(48_000), Voice::Silence);

        hall.run(150);

        let level = hall.phones[1].level_of(1_004.0);
        assert!(level.abs() < 0.1, "{codec:?}: {level} dB");
    }
}

#[test]
fn a_wider_codec_comes_and_goes_without_a_click() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    hall.run(50);

    hall.admit(encoding(Codec::Opus), Voice::Silence);
    hall.run(50);
    assert_eq!(hall.room.rate(), 48_000);
    hall.room.unseat(SlotId(2));
    hall.phones.truncate(2);
    hall.run(150);

    assert_eq!(hall.room.rate(), 8_000);
    let click = hall.phones[1].worst_click(400.0);
    assert!(click < 400.0, "{click}");
}

#[test]
fn mute_deaf_and_gain_move_without_a_click() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    hall.run(30);

    for (talker, listener) in [
        (Seat { muted: true, ..Seat::default() }, Seat::default()),
        (Seat::default(), Seat::default()),
        (
            Seat { gain_in_db: -6.0, ..Seat::default() },
            Seat { gain_out_db: 6.0, ..Seat::default() },
        ),
        (Seat::default(), Seat { deaf: true, ..Seat::default() }),
        (Seat::default(), Seat::default()),
    ] {
        hall.slot_mut(0).set_seat(talker);
        hall.slot_mut(1).set_seat(listener);
        hall.run(20);
        let level = level::dbov(&hall.phones[1].heard[hall.phones[1].heard.len() - 160..]);
        let silent = talker.muted || listener.deaf;
        assert_eq!(level < -60.0, silent, "{talker:?} {listener:?}: {level}");
    }

    let click = hall.phones[1].worst_click(400.0);
    assert!(click < 400.0, "{click}");
}

#[test]
fn a_listener_who_talks_and_stops_keeps_one_stream() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(linear(16_000), Voice::Tone(400.0));
        for _ in 0..3 {
            hall.admit(encoding(codec), Voice::Silence);
        }
        for voice in [Voice::Silence, Voice::Tone(911.0), Voice::Silence, Voice::Tone(911.0)] {
            hall.phones[1].voice = voice;
            hall.run(100);
        }

        for phone in &hall.phones {
            assert_eq!(phone.gaps, 0, "{codec:?}");
            assert_eq!(phone.markers, 1, "{codec:?}");
        }
        let level = hall.phones[1].level_of(400.0);
        assert!(level.abs() < 0.5, "{codec:?}: {level}");
    }
}

#[test]
fn only_the_loudest_are_mixed() {
    let mut hall = Hall::new(2);
    for (hz, level) in [(300.0, 0.05), (500.0, 1.0), (700.0, 0.1), (1_100.0, 0.8)] {
        hall.admit(linear(8_000), Voice::Scaled(hz, level));
    }
    hall.admit(linear(8_000), Voice::Silence);

    hall.run(100);

    let listener = &hall.phones[4];
    assert!(listener.level_of(500.0) > -1.0 && listener.level_of(1_100.0) > -3.0);
    assert!(listener.level_of(300.0) < -60.0 && listener.level_of(700.0) < -60.0);
}

#[test]
fn digits_come_in_and_go_out() {
    let mut hall = Hall::new(3);
    hall.admit(encoding(Codec::Pcmu), Voice::Silence);
    hall.admit(encoding(Codec::Pcmu), Voice::Silence);
    hall.run(5);

    assert!(hall.slot_mut(0).send_digits("5", Duration::from_millis(100)));
    hall.relay_events = true;
    hall.run(30);

    assert_eq!(hall.phones[0].gaps, 0);
    let digit = std::iter::from_fn(|| hall.slot_mut(1).poll_event())
        .find(|event| matches!(event, Event::Digit { digit: '5', .. }));
    assert!(digit.is_some());
}

#[test]
fn talking_is_told() {
    let mut hall = Hall::new(3);
    hall.admit(encoding(Codec::Pcmu), Voice::Tone(437.0));
    hall.run(10);
    assert_eq!(hall.slot_mut(0).poll_event(), Some(Event::Talking(true)));

    hall.phones[0].voice = Voice::Silence;
    hall.run(60);

    assert_eq!(hall.slot_mut(0).poll_event(), Some(Event::Talking(false)));
}

#[test]
fn the_floor_goes_from_talker_to_talker() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    let mut took = Vec::new();

    for (first, second) in [
        (Voice::Tone(400.0), Voice::Silence),
        (Voice::Silence, Voice::Silence),
        (Voice::Silence, Voice::Tone(900.0)),
    ] {
        (hall.phones[0].voice, hall.phones[1].voice) = (first, second);
        hall.run(75);
        for id in 0..2 {
            while let Some(event) = hall.slot_mut(id).poll_event() {
                took.extend((event == Event::TookFloor).then_some(id));
            }
        }
    }

    assert_eq!(took, [0, 1]);
}

#[test]
fn who_returns_what_it_is_sent_is_named_and_held_back() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Babble(437.0));
    hall.admit(linear(8_000), Voice::Echo(1_200, 0.1));
    hall.admit(linear(8_000), Voice::Silence);

    hall.run(350);
    let echoes = |hall: &mut Hall, id: u64| -> Vec<Event> {
        let slot = hall.slot_mut(id);
        let events = std::iter::from_fn(|| slot.poll_event());
        events.filter(|event| matches!(event, Event::Echo(_))).collect()
    };
    assert_eq!([echoes(&mut hall, 0), echoes(&mut hall, 2)], [vec![], vec![]]);
    let [Event::Echo(Some(path))] = echoes(&mut hall, 1)[..] else { panic!("no echo was found") };
    // 150 ms, the packet on its way and the jitter buffer.
    assert!((150..=210).contains(&path.delay.as_millis()), "{path:?}");
    assert!((-22..=-18).contains(&path.level_db), "{path:?}");

    // Everybody else hears the talker; the talker hears himself come back.
    let returned =
        |hall: &Hall| level::dbov(&hall.phones[0].heard[hall.phones[0].heard.len() - 16_000..]);
    let before = returned(&hall);
    hall.slot_mut(1).set_seat(Seat { echo_suppression: true, ..Seat::default() });
    hall.run(150);
    let after = returned(&hall);

    assert!(before > -60.0 && after < before - 20.0, "{before} dBov became {after}");
}

#[test]
fn a_new_codec_goes_on_with_the_same_stream() {
    let mut hall = Hall::new(3);
    hall.admit(encoding(Codec::Pcmu), Voice::Tone(437.0));
    hall.admit(encoding(Codec::Pcmu), Voice::Tone(911.0));
    hall.run(50);

    hall.recode(0, encoding(Codec::G722));
    hall.run(100);

    let phone = &hall.phones[0];
    assert_eq!((phone.gaps, phone.markers), (0, 2));
    assert!(phone.level_of(911.0).abs() < 0.5 && hall.phones[1].level_of(437.0).abs() < 0.5);
}

#[test]
fn lost_packets_are_made_up() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(encoding(codec), Voice::Tone(437.0));
        hall.admit(linear(16_000), Voice::Silence);
        hall.loss = 10;

        hall.run(200);

        let level = hall.phones[1].level_of(437.0);
        assert!(level > -2.5, "{codec:?}: {level}");
        assert!(hall.slot(0).statistics(hall.now).frames_concealed >= 15, "{codec:?}");
    }
}

#[test]
fn nobody_to_send_to_is_idle() {
    let mut room = Room::new(RoomOptions { contributors: 3 });
    assert!(room.idle());

    room.seat(SlotId(7), slot(7));
    assert!(room.idle());
    room.slot_mut(SlotId(7)).unwrap().configure(start(), &plan(encoding(Codec::Pcmu)));
    assert!(!room.idle());

    assert!(room.unseat(SlotId(7)).is_some());
    assert!(room.idle() && room.is_empty());
}

/// A room and the phones in it.
struct Hall {
    room: Room,
    phones: Vec<Phone>,
    now: Instant,
    ticks: usize,
    /// Each so many packets one is lost; 0 for none.
    loss: usize,
    /// What phone 0 is sent as telephone-event, phone 1 says.
    relay_events: bool,
}

impl Hall {
    fn new(contributors: usize) -> Self {
        let room = Room::new(RoomOptions { contributors });
        Self { room, phones: Vec::new(), now: start(), ticks: 0, loss: 0, relay_events: false }
    }

    fn admit(&mut self, encoding: Encoding, voice: Voice) {
        let id = self.phones.len() as u64;
        let mut slot = slot(id);
        slot.configure(self.now, &plan(encoding));
        self.room.seat(SlotId(id), slot);
        self.phones.push(Phone::new(id, encoding, voice));
    }

    fn recode(&mut self, index: usize, encoding: Encoding) {
        let now = self.now;
        self.slot_mut(index as u64).configure(now, &plan(encoding));
        let voice = self.phones[index].voice;
        let old =
            std::mem::replace(&mut self.phones[index], Phone::new(index as u64, encoding, voice));
        let phone = &mut self.phones[index];
        (phone.sequence, phone.timestamp) = (old.sequence, old.timestamp);
        (phone.expected, phone.markers, phone.packets) = (old.expected, old.markers, old.packets);
    }

    fn slot(&self, id: u64) -> &Slot {
        self.room.slot(SlotId(id)).unwrap()
    }

    fn slot_mut(&mut self, id: u64) -> &mut Slot {
        self.room.slot_mut(SlotId(id)).unwrap()
    }

    fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            for phone in &mut self.phones {
                phone.say(&mut self.room, self.now, self.loss);
            }
            let mut sent = Sent(Vec::new());
            self.room.tick(self.now, &mut sent);
            for (id, datagram) in sent.0 {
                if self.relay_events && id == SlotId(0) && datagram[1] & 0x7F == EVENTS {
                    self.room.slot_mut(SlotId(1)).unwrap().receive(self.now, &datagram).unwrap();
                }
                if let Some(phone) = self.phones.get_mut(usize::try_from(id.0).unwrap()) {
                    phone.hear(&datagram);
                }
            }
            self.ticks += 1;
            self.now += TICK;
        }
    }
}

struct Sent(Vec<(SlotId, Vec<u8>)>);

impl Sink for Sent {
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]) {
        self.0.push((slot, [header, payload].concat()));
    }
}

#[derive(Clone, Copy)]
enum Voice {
    Silence,
    Tone(f32),
    Scaled(f32, f32),
    Noise(i16),
    /// A tone in the rhythm of speech.
    Babble(f32),
    /// What it hears, so many samples later and at this factor.
    Echo(usize, f32),
    /// Comfort noise of this level instead of packets of sound.
    Pause(u8),
}

/// What a phone says of the level of its packets (RFC 6464).
#[derive(Clone, Copy)]
enum Told {
    Nothing,
    Truth,
    Always(u8),
}

/// The far side of one leg.
struct Phone {
    id: u64,
    encoder: Encoder,
    decoder: Decoder,
    encoding: Encoding,
    voice: Voice,
    told: Told,
    noise: u32,
    unsent: Vec<i16>,
    made: usize,
    said: Vec<i16>,
    heard: Vec<i16>,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    expected: Option<Sequence>,
    gaps: usize,
    markers: usize,
    packets: usize,
    /// CSRC list and levels of the last packet.
    named: Vec<(u32, u8)>,
    /// Comfort noise that came.
    noises: Vec<(RtpTimestamp, Vec<u8>)>,
    /// Ticks since it began to pause.
    paused: usize,
    /// It sends no more.
    is_gone: bool,
}

impl Phone {
    fn new(id: u64, encoding: Encoding, voice: Voice) -> Self {
        Self {
            id,
            encoder: Encoder::new(&encoding).unwrap(),
            decoder: Decoder::new(encoding.format).unwrap(),
            encoding,
            voice,
            told: Told::Nothing,
            noise: 77 + u32::try_from(id).unwrap(),
            unsent: Vec::new(),
            made: 0,
            said: Vec::new(),
            heard: Vec::new(),
            sequence: Sequence::new(65_500),
            timestamp: RtpTimestamp::new(u32::MAX - 1_000),
            expected: None,
            gaps: 0,
            markers: 0,
            packets: 0,
            named: Vec::new(),
            noises: Vec::new(),
            paused: 0,
            is_gone: false,
        }
    }

    fn say(&mut self, room: &mut Room, now: Instant, loss: usize) {
        let rate = self.encoding.format.sample_rate();
        let frame = rate as usize / 50;
        if self.is_gone {
            return;
        }
        if let Voice::Pause(level) = self.voice {
            return self.pause(room, now, level);
        }
        self.paused = 0;
        let pcm = self.frame(rate, frame);
        self.made += frame;
        self.unsent.extend(pcm);
        let samples = usize::try_from(self.encoding.interval().as_millis()).unwrap() * frame / 20;
        while self.unsent.len() >= samples {
            let mut payload = [0; 12_000];
            let octets = self.encoder.encode(&self.unsent[..samples], &mut payload);
            let level = match self.told {
                Told::Nothing => None,
                Told::Truth => {
                    Some(AudioLevel::of_dbov(level::dbov(&self.unsent[..samples])).below_overload())
                }
                Told::Always(level) => Some(level),
            };
            let mut said = vec![0; 120 * frame / 20];
            if self.encoding.format.codec != Codec::Opus
                && self.encoding.format.codec != Codec::G722
            {
                let count = self.decoder.decode(&payload[..octets], &mut said).unwrap();
                self.said.extend(&said[..count]);
            }
            self.unsent.drain(..samples);
            let header = Header {
                marker: false,
                payload_type: AUDIO,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: Ssrc::new(u32::try_from(self.id).unwrap()),
            };
            self.sequence = self.sequence.next();
            let clock_rate = self.encoding.format.clock_rate;
            self.timestamp =
                self.timestamp.plus(RtpTimestamp::units_of(self.encoding.interval(), clock_rate));
            if loss != 0 && usize::from(self.sequence.number()) % loss == 0 {
                continue;
            }
            let mut datagram = header.print().to_vec();
            if let Some(level) = level {
                datagram[0] |= 0x10;
                datagram.extend([0xBE, 0xDE, 0, 1, LEVEL << 4, 0x80 | level, 0, 0]);
            }
            datagram.extend(&payload[..octets]);
            room.slot_mut(SlotId(self.id)).unwrap().receive(now, &datagram).unwrap();
        }
    }

    /// Describes its pause ten times in two seconds.
    fn pause(&mut self, room: &mut Room, now: Instant, level: u8) {
        if self.paused.is_multiple_of(10) {
            let (sequence, timestamp) = (self.sequence, self.timestamp);
            let ssrc = Ssrc::new(u32::try_from(self.id).unwrap());
            let header = Header { marker: false, payload_type: NOISE, sequence, timestamp, ssrc };
            let datagram = [&header.print()[..], &[level]].concat();
            room.slot_mut(SlotId(self.id)).unwrap().receive(now, &datagram).unwrap();
            self.sequence = self.sequence.next();
        }
        self.timestamp = self.timestamp.plus(self.encoding.format.clock_rate / 50);
        self.paused += 1;
    }

    fn frame(&mut self, rate: u32, frame: usize) -> Vec<i16> {
        match self.voice {
            Voice::Silence => vec![0; frame],
            Voice::Tone(hz) => tone(hz, rate, self.made, frame),
            Voice::Scaled(hz, by) => {
                #[expect(clippy::cast_possible_truncation, reason = "scaled down")]
                let scale = |s: i16| (f32::from(s) * by) as i16;
                tone(hz, rate, self.made, frame).into_iter().map(scale).collect()
            }
            Voice::Pause(_) => Vec::new(),
            Voice::Noise(level) => (0..frame).map(|_| self.random(level)).collect(),
            Voice::Babble(hz) => {
                let syllable = u32::try_from(self.made / (6 * frame)).unwrap();
                let dice = syllable.wrapping_mul(2_654_435_761) >> 16;
                let divisor =
                    if dice % 6 == 0 { 8192 } else { 1 + i16::try_from(dice % 12).unwrap() };
                tone(hz, rate, self.made, frame).into_iter().map(|s| s / divisor).collect()
            }
            Voice::Echo(delay, by) => {
                #[expect(clippy::cast_possible_truncation, reason = "scaled down")]
                let scale = |s: i16| (f32::from(s) * by) as i16;
                let from = self.made.checked_sub(delay);
                let heard = from.and_then(|from| self.heard.get(from..from + frame));
                heard.map_or_else(
                    || vec![0; frame],
                    |heard| heard.iter().copied().map(scale).collect(),
                )
            }
        }
    }

    fn random(&mut self, level: i16) -> i16 {
        self.noise = self.noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let span = 2 * u32::from(level.unsigned_abs());
        i16::try_from((self.noise >> 8) % span).unwrap() - level
    }

    fn hear(&mut self, datagram: &[u8]) {
        let Packet { header, extension, payload } = Packet::parse(datagram).unwrap();
        let sources = rtp_rs::RtpReader::new(datagram).unwrap().csrc().collect::<Vec<u32>>();
        let levels = extension.element(LEVELS).unwrap_or_default();
        assert_eq!(sources.len(), levels.len());
        self.named = sources.into_iter().zip(levels.iter().copied()).collect();
        self.packets += 1;
        self.markers += usize::from(header.marker);
        if self.expected.is_some_and(|expected| expected != header.sequence) {
            self.gaps += 1;
        }
        self.expected = Some(header.sequence.next());
        if header.payload_type == AUDIO {
            let mut pcm = [0; 5_760];
            let samples = self.decoder.decode(payload, &mut pcm).unwrap();
            self.heard.extend(&pcm[..samples]);
        }
        if header.payload_type == NOISE {
            self.noises.push((header.timestamp, payload.to_vec()));
        }
    }

    /// Level of a tone in the last half second, dB relative to what [`tone`] makes.
    #[expect(clippy::cast_precision_loss, reason = "half a second of samples")]
    fn level_of(&self, hz: f32) -> f64 {
        let rate = f64::from(self.encoding.format.sample_rate());
        let tail =
            &self.heard[self.heard.len() - self.encoding.format.sample_rate() as usize / 2..];
        let (mut real, mut imaginary, mut weights) = (0.0, 0.0, 0.0);
        for (i, &sample) in tail.iter().enumerate() {
            let position = std::f64::consts::TAU * i as f64;
            let window = 0.5 - 0.5 * (position / tail.len() as f64).cos();
            let angle = position * f64::from(hz) / rate;
            real += window * f64::from(sample) * angle.cos();
            imaginary += window * f64::from(sample) * angle.sin();
            weights += window;
        }
        20.0 * (2.0 * real.hypot(imaginary) / weights / 8192.0 + 1e-9).log10()
    }

    /// The most that a notch at `hz` lets through: a click is wide, the tone is not.
    fn worst_click(&self, hz: f32) -> f64 {
        let step = std::f64::consts::TAU * f64::from(hz / 8_000.0);
        let notch =
            |w: &[i16]| f64::from(w[0]) - 2.0 * step.cos() * f64::from(w[1]) + f64::from(w[2]);
        self.heard.windows(3).map(|w| notch(w).abs()).fold(0.0, f64::max)
    }
}

const AUDIO: u8 = 96;
const EVENTS: u8 = 101;
const NOISE: u8 = 13;
/// Header extensions of RFC 6464 and RFC 6465.
const LEVEL: u8 = 3;
const LEVELS: u8 = 5;

fn plan(encoding: Encoding) -> StreamPlan {
    StreamPlan {
        send: (AUDIO, encoding),
        receive: vec![(AUDIO, encoding.format)],
        receive_events: vec![(EVENTS, encoding.format.clock_rate)],
        send_events: Some((EVENTS, encoding.format.clock_rate)),
        receive_noise: Vec::new(),
        send_noise: None,
        level_id: Some(LEVEL),
        naming: Naming::Levels(LEVELS),
        sends: true,
        receives: true,
    }
}

fn slot(id: u64) -> Slot {
    Slot::new(SlotOptions {
        seed: id,
        cname: format!("slot{id}"),
        min_delay: Duration::ZERO,
        max_delay: Duration::from_millis(200),
        alarm: AlarmOptions::default(),
    })
}

/// With enough bits that Opus keeps levels.
fn fine(codec: Codec) -> Encoding {
    let mut encoding = encoding(codec);
    encoding.opus.bitrate = 96_000;
    encoding
}

fn linear(rate: u32) -> Encoding {
    let format = Format { codec: Codec::L16, clock_rate: rate, channels: 1 };
    Encoding { format, ..encoding(Codec::L16) }
}

fn contains(heard: &[i16], expected: &[i16]) -> bool {
    heard.windows(expected.len()).any(|window| window == expected)
}

/// Anything, but often with a header that passes.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    (any::<bool>(), 0_u8..4, prop::collection::vec(any::<u8>(), 0..200)).prop_map(
        |(valid, kind, mut octets)| {
            if valid && octets.len() >= 12 {
                octets[0] = 0x80;
                octets[1] = [AUDIO, EVENTS, 13, 0][usize::from(kind)];
            }
            octets
        },
    )
}

#[expect(clippy::disallowed_methods, reason = "tests start virtual time")]
fn start() -> Instant {
    Instant::now()
}
