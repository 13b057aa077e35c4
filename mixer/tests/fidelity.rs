//! What the bridge does to sound: nothing that the codecs do not do, and no click whatever happens.
//!
//! Virtual time, tones, and measurement of what a phone decodes. Levels are stated in dB against the tone.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::f64::consts::TAU;
use std::time::Instant;

use mixer::codec::{Codec, Decoder, Encoder, Encoding, Format, OpusOptions};
use mixer::resample::Resampler;
use mixer::room::{Room, RoomOptions, Sink, SlotId, TICK};
use mixer::rtp::{Header, Naming, RtpTimestamp, Sequence, Ssrc};
use mixer::slot::{Seat, Slot, SlotOptions, StreamPlan};

/// Everything a leg may speak.
const ALL: [(Codec, u32); 7] = [
    (Codec::Pcmu, 8_000),
    (Codec::Pcma, 8_000),
    (Codec::G722, 8_000),
    (Codec::Opus, 48_000),
    (Codec::L16, 8_000),
    (Codec::L16, 16_000),
    (Codec::L16, 48_000),
];
const PCMU: (Codec, u32) = ALL[0];
const PCMA: (Codec, u32) = ALL[1];
const G722: (Codec, u32) = ALL[2];
const OPUS: (Codec, u32) = ALL[3];
const L16: (Codec, u32) = ALL[4];
const L16_WIDE: (Codec, u32) = ALL[5];
const L16_FULL: (Codec, u32) = ALL[6];

/// Peak of a usual tone: −12 dBov.
const LOUD: f64 = 8_192.0;
/// The tone of 1 kHz; at exactly 1 kHz the same eight steps of G.711 would be measured again and again.
const ONE_KHZ: f64 = 1_004.0;

/// What a ramp of 5 ms leaves beside a tone, dB. A cut leaves −15, a codec in the steady state −31 (two tones in
/// µ-law) to −88 (L16).
const CLICK: f64 = -33.0;
/// Those whose next packet depends on the ones before.
const REMEMBERING: [(Codec, u32); 2] = [G722, OPUS];
/// What there may be beside a tone of theirs where nothing of that is lost, dB: a ramp of theirs leaves -44.
const IN_PLACE: f64 = -40.0;

#[test]
fn a_lone_g711_talker_is_heard_bit_exactly() {
    for codec in [PCMU, PCMA] {
        let mut hall = Hall::new(3);
        hall.admit(codec, |time| {
            (1.0 + (TAU * 3.0 * time).sin()) * 6_000.0 * (TAU * 311.7 * time).sin()
        });
        for _ in 0..3 {
            hall.admit(codec, silence);
        }

        hall.run(2_500);

        for listener in 1..4 {
            let heard = hall.phones[listener].last(2_000);
            let said = &hall.phones[0].said;
            let at = said.windows(heard.len()).position(|said| said == heard);
            assert!(at.is_some(), "{codec:?}: listener {listener}");
        }
    }
}

#[test]
fn one_khz_passes_as_if_there_were_no_bridge() {
    for codec in ALL {
        let alone = Fit::of(&coded(&[codec]), rate(codec), ONE_KHZ);
        let twice = Fit::of(&coded(&[codec, codec]), rate(codec), ONE_KHZ);
        let bridge = through(codec, codec);

        assert!(bridge.level.abs() < 0.1, "{codec:?}: {bridge:?}");
        assert!((bridge.level - alone.level).abs() < 0.1, "{codec:?}: {bridge:?}, not {alone:?}");
        assert!(bridge.sinad > twice.sinad - 1.0, "{codec:?}: {bridge:?}, not {twice:?}");
    }
}

#[test]
fn one_khz_passes_from_every_codec_to_every_other() {
    for from in ALL {
        for to in ALL.into_iter().filter(|&to| to != from) {
            let reference = Fit::of(&coded(&[from, to]), rate(to), ONE_KHZ);
            let bridge = through(from, to);

            // From law to law 1 kHz gains up to 0.17 dB by the recommendation's own steps.
            let level = bridge.level - reference.level;
            assert!(
                level.abs() < 0.1 && bridge.level.abs() < 0.2,
                "{from:?} to {to:?}: {bridge:?}"
            );
            assert!(
                bridge.sinad > reference.sinad - 1.0,
                "{from:?} to {to:?}: {bridge:?}, not {reference:?}"
            );
        }
    }
}

#[test]
fn nobody_hears_an_echo_of_themselves_even_while_the_limiter_works() {
    let voices = [437.0, 911.0, 1_303.0];
    for amplitude in [LOUD, 28_000.0] {
        for codec in ALL {
            let mut hall = Hall::new(3);
            for hz in voices {
                hall.admit(codec, move |time| amplitude * (TAU * hz * time).sin());
            }
            hall.run(2_500);

            for (phone, own) in hall.phones.iter().zip(voices) {
                let heard = phone.last(1_000);
                let echo = 20.0 * (amplitude_of(heard, own, phone.rate()) / amplitude).log10();
                assert!(echo < -60.0, "{codec:?} at {amplitude}: {own} Hz comes back at {echo} dB");
            }
        }
    }
}

#[test]
fn joining_and_leaving_do_not_click() {
    for codec in ALL {
        for sound in [silence as fn(f64) -> f64, tone_911] {
            let mut hall = Hall::new(3);
            hall.admit(codec, tone_400);
            hall.admit(codec, silence);
            hall.run(800);

            hall.expect_quiet(1, "joining", |hall| hall.admit(codec, sound));
            hall.expect_tones(1, if sound(0.1) == 0.0 { &[400.0] } else { &[400.0, 911.0] });
            hall.expect_quiet(1, "leaving", |hall| hall.leave(2));
            hall.expect_tones(1, &[400.0]);
        }
    }
}

#[test]
fn moving_to_another_room_does_not_click() {
    for codec in ALL {
        let mut halls = [Hall::new(3), Hall::new(3)];
        halls[1].now = halls[0].now;
        for hall in &mut halls {
            hall.admit(codec, tone_400);
            hall.admit(codec, silence);
        }
        halls[0].admit(codec, tone_911);
        for hall in &mut halls {
            hall.run(800);
        }

        let [from, to] = &mut halls;
        let slot = from.room.unseat(SlotId(2)).unwrap();
        to.phones.push(from.phones.pop().unwrap());
        from.expect_quiet(1, "moving away", |_| ());
        to.expect_quiet(1, "moving in", |hall| {
            hall.room.seat(SlotId(2), slot);
        });

        from.expect_tones(1, &[400.0]);
        to.expect_tones(1, &[400.0, 911.0]);
    }
}

#[test]
fn mute_and_deafness_do_not_click() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(codec, tone_400);
        hall.admit(codec, silence);
        hall.admit(codec, tone_911);
        hall.run(800);

        for muted in [true, false] {
            let seat = Seat { muted, ..Seat::default() };
            hall.expect_quiet(1, "mute", |hall| hall.slot(2).set_seat(seat));
            hall.expect_tones(1, if muted { &[400.0] } else { &[400.0, 911.0] });
        }
        for deaf in [true, false] {
            let seat = Seat { deaf, ..Seat::default() };
            hall.expect_quiet(1, "deafness", |hall| hall.slot(1).set_seat(seat));
            hall.expect_tones(1, if deaf { &[] } else { &[400.0, 911.0] });
        }
        for gain_in_db in [6.0, -20.0, 0.0] {
            let seat = Seat { gain_in_db, ..Seat::default() };
            hall.expect_quiet(1, "gain", |hall| hall.slot(0).set_seat(seat));
        }
    }
}

#[test]
fn hold_and_resume_do_not_click() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(codec, tone_400);
        hall.admit(codec, silence);
        hall.admit(codec, tone_911);
        hall.run(800);

        for receives in [false, true] {
            let what = if receives { "the end of a talker's hold" } else { "a talker's hold" };
            hall.expect_quiet(1, what, |hall| hall.direct(2, true, receives));
            hall.expect_tones(1, if receives { &[400.0, 911.0] } else { &[400.0] });
        }
        for sends in [false, true] {
            hall.expect_quiet(1, "a listener's hold", |hall| hall.direct(2, sends, true));
        }
        for held in [true, false] {
            hall.expect_quiet(1, "hold", |hall| hall.direct(2, !held, !held));
            hall.expect_tones(1, if held { &[400.0] } else { &[400.0, 911.0] });
            assert_eq!(hall.slot(2).is_talking(), !held, "{codec:?}");
        }
    }
}

#[test]
fn a_change_of_the_rooms_rate_does_not_click() {
    for wide in [G722, OPUS, L16_WIDE, L16_FULL] {
        for narrow in [PCMU, L16] {
            let mut hall = Hall::new(3);
            hall.admit(narrow, tone_400);
            hall.admit(narrow, silence);
            hall.run(800);

            hall.expect_quiet(1, "a wider codec", |hall| hall.admit(wide, silence));
            assert_ne!(hall.room.rate(), 8_000);
            hall.leave(2);
            hall.expect_quiet(1, "a narrower room", |_| ());
            for _ in 0..4 {
                hall.expect_quiet(1, "a narrower room", |_| ());
            }
            assert_eq!(hall.room.rate(), 8_000);
            hall.expect_tones(1, &[400.0]);
        }
    }
}

#[test]
fn another_codec_of_a_leg_does_not_click() {
    for listener in [PCMU, G722, OPUS, L16_FULL] {
        for codecs in [[PCMU, PCMA], [PCMU, G722], [G722, OPUS], [L16, L16_FULL]] {
            let mut hall = Hall::new(3);
            hall.admit(listener, silence);
            hall.admit(codecs[0], tone_400);
            hall.run(800);

            for codec in [codecs[1], codecs[0]] {
                hall.expect_quiet(0, "another codec", |hall| hall.recode(1, codec));
                hall.expect_tones(0, &[400.0]);
            }
        }
    }
}

#[test]
fn another_law_goes_on_where_the_first_was() {
    let mut hall = Hall::new(3);
    hall.admit(L16, tone_400);
    hall.admit(PCMU, silence);
    hall.run(800);

    for codec in [PCMA, PCMU] {
        hall.expect_quiet(1, "another law", |hall| hall.recode(1, codec));
    }
}

#[test]
fn another_contributor_does_not_click() {
    for codec in ALL {
        let mut hall = Hall::new(1);
        hall.admit(codec, |time| 0.3 * tone_400(time));
        hall.admit(codec, silence);
        hall.admit(codec, silence);
        hall.run(800);

        hall.expect_quiet(1, "a louder talker", |hall| {
            hall.phones[2].sound = Box::new(swelling_911);
        });
        hall.expect_quiet(1, "the end of a louder talker", |hall| {
            hall.phones[2].sound = Box::new(silence);
        });
    }
}

#[test]
fn who_was_not_decoded_comes_back_in_the_middle_of_a_tone() {
    for codec in REMEMBERING {
        for away in [320, 500, 700, 1_300] {
            let mut hall = Hall::new(3);
            hall.admit(L16_FULL, silence);
            hall.admit(codec, |time| tone_911(time) * (20.0 * (time - 0.3)).clamp(0.0, 1.0));
            hall.run(200);
            hall.slot(1).set_seat(Seat { muted: true, ..Seat::default() });
            hall.run(away);

            hall.slot(1).set_seat(Seat::default());
            hall.run(800);

            let rest = hall.phones[0].beside(800);
            assert!(rest < IN_PLACE, "{codec:?} after {away} ms: {rest:.1} dB beside the tone");
            hall.expect_tones(0, &[911.0]);
        }
    }
}

#[test]
fn a_listener_who_talks_and_stops_hears_no_click() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(L16_WIDE, tone_400);
        for _ in 0..3 {
            hall.admit(codec, silence);
        }
        hall.run(800);

        for _ in 0..2 {
            hall.phones[1].sound = Box::new(swelling_911);
            hall.expect_quiet(1, "an encoder of one's own", |_| ());
            hall.phones[1].sound = Box::new(silence);
            hall.expect_quiet(1, "back in the group", |_| ());
            hall.expect_quiet(1, "back in the group", |_| ());
            hall.expect_tones(1, &[400.0]);
        }
    }
}

#[test]
fn a_shared_encoder_that_splits_and_rejoins_is_not_heard_to_do_so() {
    for codec in REMEMBERING {
        let mut hall = Hall::new(3);
        hall.admit(L16_WIDE, tone_400);
        for _ in 0..3 {
            hall.admit(codec, silence);
        }
        hall.run(1_600);

        for sound in [swelling_911, silence, silence, swelling_911, silence, silence] {
            hall.phones[1].sound = Box::new(sound);
            hall.run(800);

            let rest = hall.phones[1].beside(1_000);
            assert!(rest < IN_PLACE, "{codec:?}: {rest:.1} dB beside the tone");
            hall.expect_tones(1, &[400.0]);
        }
    }
}

fn silence(_: f64) -> f64 {
    0.0
}

/// Swells: libopus settles at one of several rates of noise by how a tone begins, and a bridge begins with a ramp.
fn one_khz(time: f64) -> f64 {
    (10.0 * time).min(1.0) * LOUD * (TAU * ONE_KHZ * time).sin()
}

fn tone_400(time: f64) -> f64 {
    LOUD * (TAU * 400.0 * time).sin()
}

fn tone_911(time: f64) -> f64 {
    LOUD * (TAU * 911.0 * time).sin()
}

/// Swells and fades each 0.8 s, so that it neither begins nor ends with a step of its own.
fn swelling_911(time: f64) -> f64 {
    (TAU * time / 1.6).sin().abs() * tone_911(time)
}

/// A room and its phones in virtual time.
struct Hall {
    room: Room,
    phones: Vec<Phone>,
    ears: Ears,
    now: Instant,
}

impl Hall {
    fn new(contributors: usize) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
        let now = Instant::now();
        let room = Room::new(RoomOptions { contributors });
        Self { room, phones: Vec::new(), ears: Ears::default(), now }
    }

    fn admit(&mut self, codec: (Codec, u32), sound: impl Fn(f64) -> f64 + 'static) {
        let id = self.phones.len();
        let mut slot = Slot::new(SlotOptions { seed: id as u64, ..SlotOptions::default() });
        let phone = Phone::new(id, codec, Box::new(sound));
        slot.configure(self.now, &phone.plan(true, true));
        self.room.seat(SlotId(id as u64), slot);
        self.phones.push(phone);
    }

    /// Lets the last phone leave.
    fn leave(&mut self, index: usize) {
        self.room.unseat(SlotId(index as u64));
        self.phones.truncate(index);
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        self.room.slot_mut(SlotId(index as u64)).unwrap()
    }

    fn direct(&mut self, index: usize, sends: bool, receives: bool) {
        let plan = self.phones[index].plan(sends, receives);
        let now = self.now;
        self.slot(index).configure(now, &plan);
    }

    fn recode(&mut self, index: usize, codec: (Codec, u32)) {
        self.phones[index].recode(codec);
        self.direct(index, true, true);
    }

    fn run(&mut self, ms: usize) {
        for _ in 0..ms.div_ceil(20) {
            for phone in &mut self.phones {
                phone.say(&mut self.room, self.now);
            }
            self.room.tick(self.now, &mut self.ears);
            for (id, payload) in self.ears.0.drain(..) {
                if let Some(phone) = self.phones.iter_mut().find(|phone| phone.id == id) {
                    phone.hear(&payload);
                }
            }
            self.now += TICK;
        }
    }

    /// Asserts which tones a listener has heard lately.
    fn expect_tones(&self, listener: usize, present: &[f64]) {
        let phone = &self.phones[listener];
        for hz in [400.0, 911.0] {
            let level = 20.0 * (amplitude_of(phone.last(300), hz, phone.rate()) / LOUD).log10();
            let fits = if present.contains(&hz) { level.abs() < 0.5 } else { level < -50.0 };
            assert!(fits, "{:?}: {hz} Hz at {level} dB", phone.codec);
        }
    }

    /// Lets something happen and asserts that a listener hears nothing beside the tones in the second around it.
    fn expect_quiet(&mut self, listener: usize, what: &str, happens: impl FnOnce(&mut Self)) {
        let before = self.phones[listener].beside(300);
        happens(self);
        self.run(800);
        let phone = &self.phones[listener];
        let (worst, usual) = (phone.beside(1_000), before.max(phone.beside(300)));
        assert!(
            worst < (usual + 3.0).max(CLICK),
            "{what}, {:?}: {worst:.1} dB beside the tones, {usual:.1} usually",
            phone.codec
        );
    }
}

/// What was sent in a tick.
#[derive(Default)]
struct Ears(Vec<(usize, Vec<u8>)>);

impl Sink for Ears {
    fn send(&mut self, slot: SlotId, _: &[u8], payload: &[u8]) {
        self.0.push((usize::try_from(slot.0).unwrap(), payload.to_vec()));
    }
}

/// Says one sound and keeps what it hears.
struct Phone {
    id: usize,
    codec: (Codec, u32),
    encoder: Encoder,
    decoder: Decoder,
    sound: Box<dyn Fn(f64) -> f64>,
    ticks: u32,
    sequence: Sequence,
    timestamp: RtpTimestamp,
    /// As a decoder hears it.
    said: Vec<i16>,
    ear: Decoder,
    heard: Vec<i16>,
}

impl Phone {
    fn new(id: usize, codec: (Codec, u32), sound: Box<dyn Fn(f64) -> f64>) -> Self {
        Self {
            id,
            codec,
            encoder: Encoder::new(&encoding(codec)).unwrap(),
            decoder: Decoder::new(encoding(codec).format).unwrap(),
            sound,
            ticks: 0,
            sequence: Sequence::new(0),
            timestamp: RtpTimestamp::new(0),
            said: Vec::new(),
            ear: Decoder::new(encoding(codec).format).unwrap(),
            heard: Vec::new(),
        }
    }

    fn rate(&self) -> u32 {
        rate(self.codec)
    }

    fn payload_type(&self) -> u8 {
        let at = ALL.iter().position(|&codec| codec == self.codec).unwrap();
        96 + u8::try_from(at).unwrap()
    }

    fn plan(&self, sends: bool, receives: bool) -> StreamPlan {
        StreamPlan {
            receive: (96..).zip(ALL.map(|codec| encoding(codec).format)).collect(),
            naming: Naming::Nobody,
            sends,
            receives,
            ..StreamPlan::both_ways(self.payload_type(), encoding(self.codec))
        }
    }

    fn recode(&mut self, codec: (Codec, u32)) {
        self.codec = codec;
        self.encoder = Encoder::new(&encoding(codec)).unwrap();
        self.decoder = Decoder::new(encoding(codec).format).unwrap();
    }

    fn say(&mut self, room: &mut Room, now: Instant) {
        let frame = self.rate() / 50;
        let pcm = sampled(&self.sound, self.rate(), self.ticks * frame..(self.ticks + 1) * frame);
        let interval = encoding(self.codec).ptime;
        let units = RtpTimestamp::units_of(interval, encoding(self.codec).format.clock_rate);
        for pcm in pcm.chunks_exact(samples_of(self.codec)) {
            let mut payload = [0; 2_000];
            let octets = self.encoder.encode(pcm, &mut payload);
            let payload = &payload[..octets];
            let header = Header {
                marker: false,
                payload_type: self.payload_type(),
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: Ssrc::new(1),
            };
            let datagram = [&header.print()[..], payload].concat();
            // Refused while on hold.
            room.slot_mut(SlotId(self.id as u64)).unwrap().receive(now, &datagram).ok();
            self.sequence = self.sequence.next();
            self.timestamp = self.timestamp.plus(units);
            self.said.extend(decoded(&mut self.ear, payload));
        }
        self.ticks += 1;
    }

    fn hear(&mut self, payload: &[u8]) {
        self.heard.extend(decoded(&mut self.decoder, payload));
    }

    /// See [`beside`]; of so many of the last milliseconds.
    fn beside(&self, ms: usize) -> f64 {
        beside(self.last(ms), self.rate())
    }

    fn last(&self, ms: usize) -> &[i16] {
        &self.heard[self.heard.len() - ms * self.rate() as usize / 1_000..]
    }
}

/// A sine that was found in what was heard.
#[derive(Clone, Copy, Debug)]
struct Fit {
    /// Against what was said, dB.
    level: f64,
    /// Against everything else, dB.
    sinad: f64,
}

impl Fit {
    /// Fits the last second.
    fn of(pcm: &[i16], rate: u32, hz: f64) -> Self {
        let pcm = &pcm[pcm.len() - rate as usize..];
        let amplitude = amplitude_of(pcm, hz, rate);
        let signal = amplitude * amplitude / 2.0;
        let energy: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
        let rest = (energy / number(pcm.len()) - signal).max(1e-3);
        Self { level: 20.0 * (amplitude / LOUD).log10(), sinad: 10.0 * (signal / rest).log10() }
    }
}

/// 1 kHz from one phone through a room to another.
fn through(from: (Codec, u32), to: (Codec, u32)) -> Fit {
    let mut hall = Hall::new(3);
    hall.admit(from, one_khz);
    hall.admit(to, silence);
    hall.run(2_500);
    Fit::of(hall.phones[1].last(1_000), rate(to), ONE_KHZ)
}

/// 1 kHz coded and decoded by one codec after the other, without a bridge.
fn coded(codecs: &[(Codec, u32)]) -> Vec<i16> {
    let mut pcm = Vec::new();
    let mut before = None;
    for &codec in codecs {
        let rate = rate(codec);
        pcm = match before {
            None => sampled(&one_khz, rate, 0..5 * rate / 2),
            Some(before) => resampled(&pcm, before, rate),
        };
        before = Some(rate);
        let mut encoder = Encoder::new(&encoding(codec)).unwrap();
        let mut decoder = Decoder::new(encoding(codec).format).unwrap();
        pcm = pcm
            .chunks_exact(samples_of(codec))
            .flat_map(|frame| {
                let mut payload = [0; 2_000];
                let octets = encoder.encode(frame, &mut payload);
                decoded(&mut decoder, &payload[..octets])
            })
            .collect();
    }
    pcm
}

fn decoded(decoder: &mut Decoder, payload: &[u8]) -> Vec<i16> {
    let mut pcm = vec![0; 5_760];
    let samples = decoder.decode(payload, &mut pcm).unwrap();
    pcm.truncate(samples);
    pcm
}

fn resampled(pcm: &[i16], from: u32, to: u32) -> Vec<i16> {
    let Some(mut resampler) = Resampler::new(from, to) else { return pcm.to_vec() };
    pcm.chunks_exact(from as usize / 50)
        .flat_map(|frame| {
            let mut out = [0; 960];
            let samples = resampler.run(frame, &mut out);
            out[..samples].to_vec()
        })
        .collect()
}

fn amplitude_of(pcm: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (i, &sample) in pcm.iter().enumerate() {
        let angle = TAU * hz * number(i) / f64::from(rate);
        real += f64::from(sample) * angle.cos();
        imaginary += f64::from(sample) * angle.sin();
    }
    2.0 * real.hypot(imaginary) / number(pcm.len())
}

/// The most energy in any 20 ms more than 250 Hz away from 400 and 911 Hz, dB below a usual tone's.
fn beside(pcm: &[i16], rate: u32) -> f64 {
    let length = rate as usize / 50;
    let window: Vec<f64> =
        (0..length).map(|i| blackman_harris(number(i) / number(length))).collect();
    let gain: f64 = window.iter().map(|w| w * w).sum();
    let bins: Vec<f64> = (0..25)
        .map(|bin| 50.0 * f64::from(bin))
        .filter(|hz| (hz - 400.0).abs() <= 250.0 || (hz - 911.0).abs() <= 250.0)
        .collect();
    let worst = (0..=pcm.len() - length)
        .step_by(length / 4)
        .map(|at| {
            let block: Vec<f64> =
                pcm[at..at + length].iter().zip(&window).map(|(&s, w)| f64::from(s) * w).collect();
            let all: f64 = block.iter().map(|x| x * x).sum();
            let near: f64 = bins.iter().map(|&hz| 2.0 * bin(&block, hz, rate)).sum();
            (all - near / number(length)) / gain
        })
        .fold(0.0, f64::max);
    10.0 * (worst / (LOUD * LOUD / 2.0) + 1e-12).log10()
}

fn bin(block: &[f64], hz: f64, rate: u32) -> f64 {
    let step = TAU * hz / f64::from(rate);
    // Goertzel.
    let double = 2.0 * step.cos();
    let (mut last, mut before) = (0.0, 0.0);
    for &sample in block {
        (last, before) = (sample + double * last - before, last);
    }
    last * last + before * before - double * last * before
}

/// Nothing of a tone is further than four bins away from it.
fn blackman_harris(place: f64) -> f64 {
    let cosine = |n: f64| (TAU * n * place).cos();
    0.358_75 - 0.488_29 * cosine(1.0) + 0.141_28 * cosine(2.0) - 0.011_68 * cosine(3.0)
}

#[expect(clippy::cast_possible_truncation, reason = "sounds stay within 16 bits")]
fn sampled(sound: &dyn Fn(f64) -> f64, rate: u32, samples: std::ops::Range<u32>) -> Vec<i16> {
    samples.map(|i| sound(f64::from(i) / f64::from(rate)).round() as i16).collect()
}

/// Samples of a packet.
fn samples_of(codec: (Codec, u32)) -> usize {
    rate(codec) as usize * usize::try_from(encoding(codec).ptime.as_millis()).unwrap() / 1_000
}

fn rate((codec, clock_rate): (Codec, u32)) -> u32 {
    encoding((codec, clock_rate)).format.sample_rate()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn encoding((codec, clock_rate): (Codec, u32)) -> Encoding {
    let opus = OpusOptions { bitrate: 64_000, fec: true, ..OpusOptions::USUAL };
    let channels = if codec == Codec::Opus { 2 } else { 1 };
    // 20 ms of L16 at 48 kHz do not fit into a packet.
    let ptime = if (codec, clock_rate) == L16_FULL { TICK / 2 } else { TICK };
    Encoding { format: Format { codec, clock_rate, channels }, ptime, opus }
}
