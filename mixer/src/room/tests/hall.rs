//! A room and its phones in virtual time; each phone has real codecs and knows what it said and heard.

use std::time::{Instant, SystemTime};

use proptest::prelude::*;

use super::super::*;
use crate::codec::tests::tone;
use crate::codec::{Codec, Decoder, Encoder, Encoding, Format};
use crate::rtcp::{self, Chunk};
use crate::rtp::{AudioLevel, Header, Naming, Packet, RtpTimestamp, Sequence, Ssrc};
use crate::slot::{SlotOptions, StreamPlan};

pub(super) const AUDIO: u8 = 96;
pub(super) const EVENTS: u8 = 101;
pub(super) const NOISE: u8 = 13;
/// Header extensions of RFC 6464 and RFC 6465.
pub(super) const LEVEL: u8 = 3;
pub(super) const LEVELS: u8 = 5;

/// What the clock on the wall shows.
const WALL: SystemTime = SystemTime::UNIX_EPOCH;

/// A room and the phones in it.
pub(super) struct Hall {
    pub(super) room: Room,
    pub(super) phones: Vec<Phone>,
    pub(super) now: Instant,
    ticks: usize,
    /// Each so many packets one is lost; 0 for none.
    pub(super) loss: usize,
    /// What phone 0 is sent as telephone-event, phone 1 says.
    pub(super) relay_events: bool,
    /// What was recorded: whose, at which rate, and the samples.
    pub(super) takes: Vec<(Option<SlotId>, u32, Vec<i16>)>,
}

impl Hall {
    pub(super) fn new(contributors: usize) -> Self {
        let room = Room::new(RoomOptions { contributors });
        let (phones, takes) = (Vec::new(), Vec::new());
        Self { room, phones, now: start(), ticks: 0, loss: 0, relay_events: false, takes }
    }

    pub(super) fn admit(&mut self, encoding: Encoding, voice: Voice) {
        let id = self.phones.len() as u64;
        let mut slot = slot(id);
        slot.configure(self.now, &plan(encoding));
        self.room.seat(SlotId(id), slot);
        self.phones.push(Phone::new(id, encoding, voice));
    }

    pub(super) fn recode(&mut self, index: usize, encoding: Encoding) {
        let now = self.now;
        self.slot_mut(index as u64).configure(now, &plan(encoding));
        let voice = self.phones[index].voice;
        let old =
            std::mem::replace(&mut self.phones[index], Phone::new(index as u64, encoding, voice));
        let phone = &mut self.phones[index];
        (phone.sequence, phone.timestamp) = (old.sequence, old.timestamp);
        (phone.expected, phone.markers, phone.packets) = (old.expected, old.markers, old.packets);
    }

    /// A phone tells its CNAME by RTCP.
    pub(super) fn introduce(&mut self, index: usize, name: &str) {
        let Phone { id, ssrc, .. } = self.phones[index];
        let mut report = Vec::new();
        rtcp::print_report(&mut report, Ssrc::new(ssrc), None, None);
        rtcp::print_cnames(&mut report, (Ssrc::new(ssrc), name), []);
        let now = self.now;
        self.slot_mut(id).receive_rtcp(now, WALL, &report);
    }

    /// Whom the next report to a phone describes beside its sender.
    pub(super) fn described_to(&mut self, index: usize) -> Vec<(u32, String)> {
        let (mut now, mut report) = (self.now, Vec::new());
        while report.is_empty() {
            let (_, slot, heard) = self.room.slots_heard_mut(index, 1).next().unwrap();
            slot.poll_rtcp(now, WALL, heard, &mut report);
            now += TICK;
        }
        let description = rtcp::parse(&report).nth(1);
        let Some(rtcp::Packet::Description { chunks }) = description else {
            panic!("{description:?}")
        };
        let text = |cname: &[u8]| String::from_utf8(cname.to_vec()).unwrap();
        let named = |chunk: Chunk<'_>| (chunk.ssrc.number(), text(chunk.cname.unwrap()));
        let mut described: Vec<_> = chunks.skip(1).map(named).collect();
        described.sort();
        described
    }

    pub(super) fn slot(&self, id: u64) -> &Slot {
        self.room.slot(SlotId(id)).unwrap()
    }

    pub(super) fn slot_mut(&mut self, id: u64) -> &mut Slot {
        self.room.slot_mut(SlotId(id)).unwrap()
    }

    pub(super) fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            self.begin_tick();
            self.end_tick();
        }
    }

    pub(super) fn begin_tick(&mut self) {
        for phone in &mut self.phones {
            phone.say(&mut self.room, self.now, self.loss);
        }
        self.room.begin_tick(self.now);
    }

    pub(super) fn end_tick(&mut self) {
        let mut sent = Sent(Vec::new(), &mut self.takes);
        self.room.end_tick(self.now, &mut sent);
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

struct Sent<'a>(Vec<(SlotId, Vec<u8>)>, &'a mut Vec<(Option<SlotId>, u32, Vec<i16>)>);

impl Sink for Sent<'_> {
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]) {
        self.0.push((slot, [header, payload].concat()));
    }

    fn record(&mut self, take: Take<'_>) {
        self.1.push((take.slot, take.rate, take.pcm.to_vec()));
    }
}

#[derive(Clone, Copy)]
pub(super) enum Voice {
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
pub(super) enum Told {
    Nothing,
    Truth,
    Always(u8),
}

/// The far side of one leg.
pub(super) struct Phone {
    id: u64,
    pub(super) ssrc: u32,
    encoder: Encoder,
    decoder: Decoder,
    encoding: Encoding,
    pub(super) voice: Voice,
    pub(super) told: Told,
    noise: u32,
    unsent: Vec<i16>,
    made: usize,
    pub(super) said: Vec<i16>,
    pub(super) heard: Vec<i16>,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    expected: Option<Sequence>,
    pub(super) gaps: usize,
    pub(super) markers: usize,
    pub(super) packets: usize,
    /// CSRC list and levels of the last packet.
    pub(super) named: Vec<(u32, u8)>,
    /// Comfort noise that came.
    pub(super) noises: Vec<(RtpTimestamp, Vec<u8>)>,
    /// Ticks since it began to pause.
    paused: usize,
    /// It sends no more.
    pub(super) is_gone: bool,
}

impl Phone {
    pub(super) fn new(id: u64, encoding: Encoding, voice: Voice) -> Self {
        Self {
            id,
            ssrc: u32::try_from(id).unwrap(),
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
                ssrc: Ssrc::new(self.ssrc),
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
            let ssrc = Ssrc::new(self.ssrc);
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
    pub(super) fn level_of(&self, hz: f32) -> f64 {
        let rate = self.encoding.format.sample_rate();
        level(&self.heard[self.heard.len() - rate as usize / 2..], rate, hz)
    }

    /// The most that a notch at `hz` lets through: a click is wide, the tone is not.
    pub(super) fn worst_click(&self, hz: f32) -> f64 {
        let step = std::f64::consts::TAU * f64::from(hz / 8_000.0);
        let notch =
            |w: &[i16]| f64::from(w[0]) - 2.0 * step.cos() * f64::from(w[1]) + f64::from(w[2]);
        self.heard.windows(3).map(|w| notch(w).abs()).fold(0.0, f64::max)
    }
}

pub(super) fn plan(encoding: Encoding) -> StreamPlan {
    StreamPlan {
        receive_events: vec![(EVENTS, encoding.format.clock_rate)],
        send_events: Some((EVENTS, encoding.format.clock_rate)),
        level_id: Some(LEVEL),
        naming: Naming::Levels(LEVELS),
        ..StreamPlan::both_ways(AUDIO, encoding)
    }
}

pub(super) fn slot(id: u64) -> Slot {
    Slot::new(SlotOptions { seed: id, ..SlotOptions::default() })
}

/// With enough bits that Opus keeps levels.
pub(super) fn fine(codec: Codec) -> Encoding {
    let mut encoding = Encoding::usual(codec);
    encoding.opus.bitrate = 96_000;
    encoding
}

pub(super) fn linear(rate: u32) -> Encoding {
    let format = Format { codec: Codec::L16, clock_rate: rate, channels: 1 };
    Encoding { format, ..Encoding::usual(Codec::L16) }
}

/// How loud a tone is, dB; 0 is as loud as the phones say theirs.
#[expect(clippy::cast_precision_loss, reason = "seconds of samples")]
pub(super) fn level(heard: &[i16], rate: u32, hz: f32) -> f64 {
    let (mut real, mut imaginary, mut weights) = (0.0, 0.0, 0.0);
    for (i, &sample) in heard.iter().enumerate() {
        let position = std::f64::consts::TAU * i as f64;
        let window = 0.5 - 0.5 * (position / heard.len() as f64).cos();
        let angle = position * f64::from(hz) / f64::from(rate);
        real += window * f64::from(sample) * angle.cos();
        imaginary += window * f64::from(sample) * angle.sin();
        weights += window;
    }
    20.0 * (2.0 * real.hypot(imaginary) / weights / 8192.0 + 1e-9).log10()
}

pub(super) fn contains(heard: &[i16], expected: &[i16]) -> bool {
    heard.windows(expected.len()).any(|window| window == expected)
}

/// Anything, but often with a header that passes.
pub(super) fn hostile() -> impl Strategy<Value = Vec<u8>> {
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
pub(super) fn start() -> Instant {
    Instant::now()
}
