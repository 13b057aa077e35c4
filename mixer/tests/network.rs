//! What a listener hears of a talker behind a bad network, in virtual time.
#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use mixer::codec::{Codec, Decoder, Encoder, Encoding, Format, OpusOptions};
use mixer::room::{Room, RoomOptions, Sink, SlotId, TICK};
use mixer::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
use mixer::slot::{Seat, Slot, SlotOptions, StreamPlan};

/// When the first tick is, after the first packet was sent.
const PHASE: Duration = Duration::from_millis(13);
const MS: u64 = 1_000;

#[test]
fn after_a_burst_of_jitter_the_delay_is_what_it_was() {
    for seed in 1..=5 {
        let mut line = Line::new(linear(16_000), voice);
        let mut random = Random(seed);
        line.run(5_000, |_| Some(MS));
        let before = line.delay_ms();
        line.run(2_000, |_| Some(MS + random.below(300 * MS)));
        let worst = line.room.slot(SlotId(0)).unwrap().statistics(line.now).buffer;
        line.run(2_000, |_| Some(MS));
        line.run(300, |_| Some(MS)); // What is measured was heard before.

        let after = line.delay_ms();
        assert!((after - before).abs() < 10.0, "seed {seed}: {before} → {after} ms");
        assert!(worst.as_millis() > 60 && worst.as_millis() < 225, "seed {seed}: {worst:?}");
    }
}

#[test]
fn drift_moves_neither_delay_nor_pitch_of_a_tone_and_does_not_click() {
    for (ppm, seconds) in [(1_000, 60), (-1_000, 60), (200, 150), (-200, 150)] {
        for encoding in [linear(8_000), encoding(Codec::Pcmu), encoding(Codec::G722)] {
            let tone = |time: f64| 8_000.0 * (TAU * 437.0 * time).sin();
            let mut clean = Line::new(encoding, tone);
            clean.run(5_000, |_| Some(MS));
            let mut line = Line::new(encoding, tone);
            line.ppm = ppm;

            line.run(seconds * 1_000, |_| Some(MS));

            let heard = line.settled();
            let pitch = heard.pitch();
            assert!((pitch / 437.0 - 1.0).abs() < 0.002, "{ppm} {encoding:?}: {pitch} Hz");
            let codec = encoding.format;
            let (click, usual) = (heard.worst_notched(437.0), clean.settled().worst_notched(437.0));
            assert!(
                click < usual.max(-36.0) + 6.0,
                "{ppm} {codec}: {click} dB beside the tone, not {usual}"
            );
            let statistics = line.room.slot(SlotId(0)).unwrap().statistics(line.now);
            assert_eq!(statistics.frames_concealed, 0, "{ppm} {encoding:?}");
        }
    }
}

#[test]
fn a_wrong_clock_for_a_minute_does_not_move_the_delay_and_does_not_slip() {
    for ppm in [1_000, -1_000] {
        // With less than 13 ms in the beginning it would have to be heard before it came.
        for phase in [14, 18] {
            expect_no_slip(ppm, Duration::from_millis(phase), (60, 2));
        }
    }
}

#[test]
fn a_fast_clock_for_an_hour_does_not_move_the_delay_and_does_not_slip() {
    expect_no_slip(200, PHASE, (3_600, 15));
}

#[test]
fn a_slow_clock_for_an_hour_does_not_move_the_delay_and_does_not_slip() {
    expect_no_slip(-200, PHASE, (3_600, 15));
}

#[test]
fn a_clean_path_is_neither_stretched_nor_delayed() {
    let mut line = Line::new(linear(16_000), voice);
    let mut random = Random(3);

    line.run(10_000, |_| Some(MS + random.below(300)));

    let delay = line.delay_ms();
    let heard = &line.listener.heard[line.listener.heard.len() - 16_000..];
    let at = line.said.windows(16_000).position(|said| said == heard);
    assert!(at.is_some(), "bit-exact over a second");
    assert!(delay < 20.0, "{delay} ms");
}

#[test]
fn a_tone_goes_on_through_loss() {
    for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16] {
        expect_continuity(codec, Forewarned::No, 437.0);
        expect_continuity(codec, Forewarned::No, 1_000.0);
    }
}

#[test]
fn a_tone_goes_on_through_loss_in_both_coders_of_opus() {
    for warned in [Forewarned::Yes, Forewarned::No] {
        expect_continuity(Codec::Opus, warned, 437.0);
        expect_continuity(Codec::Opus, warned, 1_000.0);
    }
}

/// The decoder missed what the encoder learned. Begun from silence it swells to what is said; begun from what it knew before, it
/// would burst by 20 dB where the voice has become quieter.
#[test]
fn after_an_outage_g722_neither_bursts_nor_clicks_and_is_itself_after_160_ms() {
    for gap in [140, 200, 400, 1_000] {
        for case in 0..8 {
            let shift = 2.37 * f64::from(case);
            let heard = |loses: bool| {
                let mut line =
                    Line::new(encoding(Codec::G722), move |time| 2.0 * voice(time + shift));
                line.run(2_000, |_| Some(MS));
                line.run(gap, |_| (!loses).then_some(MS));
                line.run(600, |_| Some(MS));
                line.listener.heard.split_off(line.listener.heard.len() - 9_600)
            };
            let (whole, back) = (heard(false), heard(true));

            for (whole, back) in whole.chunks(160).zip(back.chunks(160)) {
                let more = decibels(mean_square(back) + 1_000.0, 1.0)
                    - decibels(mean_square(whole) + 1_000.0, 1.0);
                assert!(more < 8.0, "{gap} ms, {case}: a burst of {more} dB");
            }
            let click = Heard { pcm: &back, rate: 16_000 }.above_voice();
            assert!(click < -40.0, "{gap} ms, {case}: {click} dB above the voice");
            let error: Vec<i16> =
                whole.iter().zip(&back).map(|(a, b)| a.wrapping_sub(*b)).collect();
            let late = 160 * 16;
            let share =
                (mean_square(&error[late..]) + 1_000.0) / (mean_square(&whole[late..]) + 1_000.0);
            assert!(share < 0.2, "{gap} ms, {case}: {share} of it is wrong");
        }
    }
}

#[test]
fn who_was_muted_comes_back_without_a_click() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let mut line = Line::new(encoding(codec), |time| 8_000.0 * (TAU * 437.0 * time).sin());
        for turn in 0..12 {
            let seat = Seat { muted: turn % 2 == 1, ..Seat::default() };
            line.room.slot_mut(SlotId(0)).unwrap().set_seat(seat);
            line.run(990 + 20 * turn, |_| Some(MS));
        }

        let click = line.settled().worst_notched(437.0);
        assert!(click < -24.0, "{codec:?}: {click} dB beside the tone");
    }
}

#[test]
fn who_paused_comes_back_without_a_click() {
    for codec in [Codec::Pcmu, Codec::G722, Codec::Opus] {
        let swell = |time: f64| (4.0 * (TAU * time / 3.0).sin()).clamp(0.0, 1.0);
        let mut line = Line::new(encoding(codec), move |time| {
            swell(time) * 8_000.0 * (TAU * 437.0 * time).sin()
        });

        line.run(15_000, |_| Some(MS));

        let click = line.settled().worst_notched(437.0);
        assert!(click < -24.0, "{codec:?}: {click} dB beside the tone");
    }
}

/// Whether an encoder knows of the loss: Opus then sends what its speech coder makes, with FEC.
#[derive(Clone, Copy, Debug)]
enum Forewarned {
    Yes,
    No,
}

/// Asserts how much of a tone is heard at 5, 10 and 20 % of loss.
fn expect_continuity(codec: Codec, warned: Forewarned, hz: f64) {
    for (percent, least) in [(5, 0.99), (10, 0.99), (20, 0.97)] {
        for seed in [7, 8] {
            let mut line =
                Line::new(encoding(codec), move |time| 8_000.0 * (TAU * hz * time).sin());
            if matches!(warned, Forewarned::Yes) {
                line.encoder.expect_loss(percent);
            }
            let mut random = Random(seed);
            line.run(30_000, |_| (random.below(100) >= u64::from(percent)).then_some(MS));

            let continuity = line.settled().continuity(hz);
            assert!(
                continuity >= least,
                "{codec:?}, warned: {warned:?}, {hz} Hz, {percent} %, seed {seed}: {continuity}"
            );
        }
    }
}

/// Asserts that a voice from a clock that is wrong by `ppm` is heard as late all the time as in the beginning, and without a
/// slip.
fn expect_no_slip(ppm: i64, phase: Duration, (seconds, every): (u64, u64)) {
    let mut line = Line::new(linear(16_000), recorded(voice));
    (line.ppm, line.phase) = (ppm, phase);
    line.now = line.start + phase;
    line.run(1_500, |_| Some(MS));
    let start = line.delay_ms();
    for second in (every..=seconds).step_by(usize::try_from(every).unwrap()) {
        line.run(1_000 * every, |_| Some(MS));

        let mut moved = line.delay_ms() - start;
        if moved.abs() >= 10.0 && every > 2 {
            line.run(1_000, |_| Some(MS)); // A splice in what is compared, and periods are alike.
            moved = line.delay_ms() - start;
        }
        let case = format!("{ppm} ppm, {phase:?}, {second} s");
        assert!(moved.abs() < 10.0, "{case}: {start} ms moved by {moved}");
        let slip = line.settled().above_voice();
        assert!(slip < -60.0, "{case}: {slip} dB above the voice");
        line.forget();
    }
}

/// The same over and over from a table of 100 s, the period of [`voice`].
fn recorded(sound: fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    let table: Vec<f64> = (0..1_600_000).map(|i| sound(f64::from(i) / 16_000.0)).collect();
    move |time| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an hour")]
        let at = (time * 16_000.0).round() as usize;
        table[at % table.len()]
    }
}

/// A talker, a network, a room, and somebody who listens.
struct Line {
    room: Room,
    encoding: Encoding,
    encoder: Encoder,
    sound: Box<dyn Fn(f64) -> f64>,
    said: Vec<i16>,
    sent: u32,
    /// Samples said and heard before what is still known.
    forgotten: (usize, usize),
    /// Of the talker's clock against ours.
    ppm: i64,
    wire: VecDeque<(Instant, Vec<u8>)>,
    start: Instant,
    phase: Duration,
    now: Instant,
    listener: Listener,
}

impl Line {
    fn new(encoding: Encoding, sound: impl Fn(f64) -> f64 + 'static) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
        let start = Instant::now();
        let mut room = Room::new(RoomOptions { contributors: 3 });
        for id in 0..2 {
            room.seat(SlotId(id), slot(id, encoding, start));
        }
        Self {
            room,
            encoding,
            encoder: Encoder::new(&encoding).unwrap(),
            sound: Box::new(sound),
            said: Vec::new(),
            sent: 0,
            forgotten: (0, 0),
            ppm: 0,
            wire: VecDeque::new(),
            start,
            phase: PHASE,
            now: start + PHASE,
            listener: Listener {
                decoder: Decoder::new(encoding.format).unwrap(),
                heard: Vec::new(),
            },
        }
    }

    /// Lets `ms` pass on a network that takes so many microseconds, or loses the packet.
    fn run(&mut self, ms: u64, mut transit: impl FnMut(u32) -> Option<u64>) {
        let end = self.now + Duration::from_millis(ms);
        while self.now < end {
            while self.sent_at() <= self.now {
                let at = self.sent_at();
                let transit = transit(self.sent);
                let datagram = self.say();
                if let Some(transit) = transit {
                    self.wire.push_back((at + Duration::from_micros(transit), datagram));
                }
            }
            self.wire.make_contiguous().sort_by_key(|&(at, _)| at);
            while let Some((at, datagram)) = self.wire.pop_front_if(|(at, _)| *at <= self.now) {
                self.room.slot_mut(SlotId(0)).unwrap().receive(at, &datagram).unwrap();
            }
            self.room.tick(self.now, &mut self.listener);
            self.now += TICK;
        }
    }

    fn sent_at(&self) -> Instant {
        let nominal = i64::from(self.sent) * 20_000;
        self.start
            + Duration::from_micros((nominal - nominal * self.ppm / 1_000_000).unsigned_abs())
    }

    fn say(&mut self) -> Vec<u8> {
        let rate = self.encoding.format.sample_rate();
        let frame = rate / 50;
        #[expect(clippy::cast_possible_truncation, reason = "sounds stay within 16 bits")]
        let sample = |i| (self.sound)(f64::from(i) / f64::from(rate)) as i16;
        let pcm: Vec<i16> = (self.sent * frame..(self.sent + 1) * frame).map(sample).collect();
        let units = RtpTimestamp::units_of(TICK, self.encoding.format.clock_rate);
        let header = Header {
            marker: false,
            payload_type: 96,
            sequence: Sequence::new(u16::try_from(self.sent & 0xFFFF).unwrap()),
            timestamp: RtpTimestamp::new(self.sent.wrapping_mul(units)),
            ssrc: Ssrc::new(1),
        };
        let mut payload = [0; 2_000];
        let octets = self.encoder.encode(&pcm, &mut payload);
        self.said.extend(pcm);
        self.sent += 1;
        [&header.print()[..], &payload[..octets]].concat()
    }

    /// From the sending of a packet to its being heard, by where the last half second of what was heard was said.
    fn delay_ms(&self) -> f64 {
        let rate = f64::from(self.encoding.format.sample_rate());
        let length = self.encoding.format.sample_rate() as usize / 2;
        let heard = &self.listener.heard[self.listener.heard.len() - length..];
        let latest = self.said.len() - length;
        let place = (latest.saturating_sub(length)..=latest)
            .max_by(|&a, &b| {
                likeness(heard, &self.said[a..]).total_cmp(&likeness(heard, &self.said[b..]))
            })
            .unwrap();
        let said = number(self.forgotten.0 + place) / rate * (1.0 - number_of(self.ppm) * 1e-6);
        let heard = self.forgotten.1 + self.listener.heard.len() - length;
        1_000.0 * (self.phase.as_secs_f64() + number(heard) / rate - said)
    }

    /// Forgets what was said and heard more than a second ago.
    fn forget(&mut self) {
        let second = self.encoding.format.sample_rate() as usize;
        let (said, heard) = (self.said.len() - second, self.listener.heard.len() - second);
        self.said.drain(..said);
        self.listener.heard.drain(..heard);
        self.forgotten = (self.forgotten.0 + said, self.forgotten.1 + heard);
    }

    /// What was heard but for the first second.
    fn settled(&self) -> Heard<'_> {
        let rate = self.encoding.format.sample_rate();
        Heard { pcm: &self.listener.heard[rate as usize..], rate }
    }
}

struct Listener {
    decoder: Decoder,
    heard: Vec<i16>,
}

impl Sink for Listener {
    fn send(&mut self, slot: SlotId, _: &[u8], payload: &[u8]) {
        if slot == SlotId(1) {
            let mut pcm = [0; 5_760];
            let samples = self.decoder.decode(payload, &mut pcm).unwrap();
            self.heard.extend(&pcm[..samples]);
        }
    }
}

/// What was heard, to be measured.
struct Heard<'a> {
    pcm: &'a [i16],
    rate: u32,
}

impl Heard<'_> {
    /// Mean frequency, Hz, by the zeros that are crossed.
    fn pitch(&self) -> f64 {
        let crossed = self.pcm.windows(2).filter(|pair| pair[0] < 0 && pair[1] >= 0).count();
        number(crossed) * f64::from(self.rate) / number(self.pcm.len())
    }

    /// What a notch lets through.
    fn without(&self, hz: f64) -> impl Iterator<Item = f64> {
        let double = 2.0 * (TAU * hz / f64::from(self.rate)).cos();
        self.pcm
            .windows(3)
            .map(move |w| f64::from(w[0]) - double * f64::from(w[1]) + f64::from(w[2]))
    }

    /// Energy beside a tone of `hz` in the worst 10 ms, dB below the tone's.
    fn worst_notched(&self, hz: f64) -> f64 {
        let notched: Vec<f64> = self.without(hz).collect();
        let energy = |block: &[f64]| block.iter().map(|x| x * x).sum::<f64>() / number(block.len());
        let block = self.rate as usize / 100;
        decibels(notched.chunks(block).map(energy).fold(0.0, f64::max), 8_000.0)
    }

    /// Energy in the worst 20 ms above 5 kHz, where [`voice`] has nothing, dB below a voice of full swing.
    fn above_voice(&self) -> f64 {
        let cut = 5_000.0 / f64::from(self.rate);
        let taps: Vec<f64> = (-20..=20_i32)
            .map(|i| {
                let x = f64::from(i);
                let window =
                    0.42 + 0.5 * (TAU * x / 42.0).cos() + 0.08 * (2.0 * TAU * x / 42.0).cos();
                let low = if i == 0 { 2.0 * cut } else { (TAU * cut * x).sin() / (TAU / 2.0 * x) };
                window * if i == 0 { 1.0 - low } else { -low }
            })
            .collect();
        let high: Vec<f64> = self
            .pcm
            .windows(taps.len())
            .map(|w| w.iter().zip(&taps).map(|(&s, tap)| f64::from(s) * tap).sum())
            .collect();
        let energy = |block: &[f64]| block.iter().map(|x| x * x).sum::<f64>() / number(block.len());
        decibels(high.chunks(320).map(energy).fold(0.0, f64::max), 8_000.0)
    }

    /// Share of 20 ms in which a tone is within 10 dB of its median.
    fn continuity(&self, hz: f64) -> f64 {
        let block = self.rate as usize / 50;
        let mut powers: Vec<f64> =
            self.pcm.chunks_exact(block).map(|b| power(b, hz, self.rate)).collect();
        powers.sort_by(f64::total_cmp);
        let median = powers[powers.len() / 2];
        number(powers.iter().filter(|&&power| power >= median / 10.0).count())
            / number(powers.len())
    }
}

/// A gliding pitch with harmonics up to 3 kHz in syllables and words, with a floor of −54 dBov below.
fn voice(time: f64) -> f64 {
    let phase = 120.0 * time + 6.0 * (TAU * time * 0.43).sin() + 1.3 * (TAU * time * 1.7).sin();
    let word = (2.0 * (TAU * time * 0.31).sin() + 1.5).clamp(0.0, 1.0);
    let syllable = 0.6 - 0.4 * (TAU * time * 3.1).cos();
    let colour = 700.0 + 300.0 * (TAU * time * 0.9).sin();
    let harmonics: f64 = (1..18)
        .map(|n| {
            let hz = 120.0 * f64::from(n);
            (TAU * phase * f64::from(n)).sin() / (1.0 + ((hz - colour) / 400.0).powi(2))
        })
        .sum();
    let floor: f64 = (1..12)
        .map(|n| (TAU * time * (171.0 + 233.7 * f64::from(n)) + f64::from(n * n)).sin())
        .sum();
    1_500.0 * word * syllable * harmonics + 15.0 * floor
}

fn likeness(heard: &[i16], said: &[i16]) -> f64 {
    let (mut product, mut energy) = (0.0, 1.0);
    for (&a, &b) in heard.iter().zip(said).step_by(5) {
        product += f64::from(a) * f64::from(b);
        energy += f64::from(b) * f64::from(b);
    }
    product / energy.sqrt()
}

fn power(block: &[i16], hz: f64, rate: u32) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (i, &sample) in block.iter().enumerate() {
        let angle = TAU * hz * number(i) / f64::from(rate);
        real += f64::from(sample) * angle.cos();
        imaginary += f64::from(sample) * angle.sin();
    }
    real * real + imaginary * imaginary
}

fn mean_square(pcm: &[i16]) -> f64 {
    pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>() / number(pcm.len())
}

/// Mean power against a sine of this amplitude.
fn decibels(power: f64, amplitude: f64) -> f64 {
    10.0 * (power / (amplitude * amplitude / 2.0) + 1e-12).log10()
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

fn number_of(ppm: i64) -> f64 {
    f64::from(i32::try_from(ppm).unwrap())
}

/// A small generator, so that a failing seed can be run again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn encoding(codec: Codec) -> Encoding {
    Encoding { opus: OpusOptions { fec: true, ..OpusOptions::USUAL }, ..Encoding::usual(codec) }
}

fn linear(rate: u32) -> Encoding {
    let format = Format { codec: Codec::L16, clock_rate: rate, channels: 1 };
    Encoding { format, ..encoding(Codec::L16) }
}

fn slot(id: u64, encoding: Encoding, now: Instant) -> Slot {
    let mut slot = Slot::new(SlotOptions { seed: id, ..SlotOptions::default() });
    let plan = StreamPlan::both_ways(96, encoding);
    slot.configure(now, &plan);
    slot
}
