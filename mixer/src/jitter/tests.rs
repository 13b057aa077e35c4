//! The buffer in virtual time: a sender, a network that delays, a slot that pulls each 20 ms.

use proptest::prelude::*;

use super::*;

const SSRC: Ssrc = Ssrc::new(7);

/// A sender and a receiver that share virtual time.
struct Line {
    buffer: JitterBuffer,
    start: Instant,
    /// Arrival (µs), sequence, timestamp; sorted by arrival when run.
    wire: Vec<(u64, u16, u32)>,
    sent: u32,
    /// First numbers of the sender.
    first: (u16, u32),
    interval: u64,
    /// Sender's clock against ours, parts per million.
    ppm: i64,
    /// Time of the next tick, µs.
    next_pull: u64,
    /// Pulled and not heard yet, µs.
    held: u64,
    /// Left out and added in speech, µs.
    stretched: (u64, u64),
    heard: Vec<Heard>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Heard {
    Packet { sequence: u16, age: u64 },
    Lost { with_next: bool },
    Nothing,
}

impl Line {
    fn new(options: JitterOptions) -> Self {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
        let start = Instant::now();
        Self {
            buffer: JitterBuffer::new(options, 8_000),
            start,
            wire: Vec::new(),
            sent: 0,
            first: (65_500, u32::MAX - 4_000),
            interval: 20_000,
            ppm: 0,
            next_pull: 7_000,
            held: 0,
            stretched: (0, 0),
            heard: Vec::new(),
        }
    }

    fn clean() -> Self {
        Self::new(JitterOptions::default())
    }

    /// Sends one packet that takes `delay` µs; `None` loses it.
    fn send(&mut self, delay: Option<u64>) {
        let sequence = self.first.0.wrapping_add(u16::try_from(self.sent % 65_536).unwrap());
        let units = u32::try_from(u64::from(self.sent) * self.interval * 8 / 1_000).unwrap();
        let nominal = u64::from(self.sent) * self.interval;
        let skew = i64::try_from(nominal).unwrap() * self.ppm / 1_000_000;
        let at = nominal.saturating_add_signed(-skew);
        self.sent += 1;
        if let Some(delay) = delay {
            self.wire.push((at + delay, sequence, self.first.1.wrapping_add(units)));
        }
    }

    fn send_all(&mut self, delays: impl IntoIterator<Item = Option<u64>>) {
        for delay in delays {
            self.send(delay);
        }
    }

    /// Lets everything on the wire arrive, pulling each 20 ms until `end`.
    fn run_until(&mut self, end: u64) {
        self.wire.sort_by_key(|&(at, ..)| at);
        let mut wire = std::mem::take(&mut self.wire).into_iter().peekable();
        while self.next_pull < end {
            while let Some((at, sequence, timestamp)) = wire.next_if(|p| p.0 <= self.next_pull) {
                self.insert(at, sequence, timestamp);
            }
            self.pull();
        }
        self.wire = wire.collect();
    }

    fn insert(&mut self, at: u64, sequence: u16, timestamp: u32) -> Inserted {
        let payload = [sequence.to_be_bytes(), [0; 2]].concat();
        let incoming = Incoming {
            ssrc: SSRC,
            sequence: Sequence::new(sequence),
            timestamp: RtpTimestamp::new(timestamp),
            marker: false,
            payload_type: 0,
            level: None,
            payload: &payload,
        };
        self.buffer.insert(self.start + Duration::from_micros(at), incoming)
    }

    /// A tick of a receiver that can leave out or add up to 10 ms each time.
    fn pull(&mut self) {
        let now = self.next_pull;
        self.next_pull += 20 * MS;
        while self.held < 20 * MS {
            let at = self.start + Duration::from_micros(now);
            let mut length = self.buffer.interval();
            let heard = match self.buffer.pull(at) {
                Pulled::Packet { payload, timestamp, .. } => {
                    let sequence = u16::from_be_bytes([payload[0], payload[1]]);
                    let units = timestamp.distance_from(RtpTimestamp::new(self.first.1));
                    let media = u64::from(units.unsigned_abs()) * 1_000 / 8;
                    let skew = i64::try_from(media).unwrap() * self.ppm / 1_000_000;
                    let age = (now + self.held).saturating_sub(media.saturating_add_signed(-skew));
                    Heard::Packet { sequence, age }
                }
                Pulled::Lost { next, length: made } => {
                    length = made;
                    Heard::Lost { with_next: next.is_some() }
                }
                Pulled::Empty => Heard::Nothing,
            };
            self.heard.push(heard);
            if heard == Heard::Nothing {
                self.held = 20 * MS;
                break;
            }
            self.held += micros(length);
            if self.held >= 20 * MS {
                self.stretch(at);
            }
        }
        self.held -= 20 * MS;
    }

    fn stretch(&mut self, at: Instant) {
        match self.buffer.stretch(at, Duration::from_micros(self.held)) {
            Stretch::Keep => {}
            Stretch::Shorter(by) => {
                let by = micros(by).min(10 * MS);
                self.held -= by;
                self.stretched.0 += by;
            }
            Stretch::Longer { by, .. } => {
                let by = micros(by).min(10 * MS);
                self.held += by;
                self.stretched.1 += by;
            }
        }
    }

    fn sequences(&self) -> Vec<u16> {
        self.heard
            .iter()
            .filter_map(|heard| match heard {
                Heard::Packet { sequence, .. } => Some(*sequence),
                Heard::Lost { .. } | Heard::Nothing => None,
            })
            .collect()
    }

    /// How old the last packet was when it was played, µs after it was sent.
    fn last_age(&self) -> u64 {
        let ages = self.heard.iter().rev().find_map(|heard| match heard {
            Heard::Packet { age, .. } => Some(*age),
            Heard::Lost { .. } | Heard::Nothing => None,
        });
        ages.unwrap()
    }

    fn lost(&self) -> usize {
        self.heard.iter().filter(|heard| matches!(heard, Heard::Lost { .. })).count()
    }
}

const MS: u64 = 1_000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

/// A small generator, so that a failing seed can be run again.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn numbers(first: u16, count: u16) -> Vec<u16> {
    (0..count).map(|i| first.wrapping_add(i)).collect()
}

#[test]
fn a_clean_stream_is_played_whole_and_within_one_tick() {
    let mut line = Line::clean();
    line.send_all((0..500).map(|i| Some(1_000 + i % 3 * 100)));

    line.run_until(10_000 * MS);

    assert_eq!(line.sequences(), numbers(65_500, 500));
    assert_eq!(line.lost(), 0);
    assert!(line.last_age() <= 21 * MS, "{} µs", line.last_age());
}

#[test]
fn a_lost_packet_is_concealed_once_and_the_next_is_in_time() {
    let mut line = Line::clean();
    line.send_all((0..100).map(|i| (i != 50).then_some(MS)));

    line.run_until(2_000 * MS);

    let expected: Vec<u16> =
        numbers(65_500, 100).into_iter().filter(|&n| n != 65_500_u16.wrapping_add(50)).collect();
    assert_eq!(line.sequences(), expected);
    assert_eq!(line.lost(), 1);
    assert_eq!(line.buffer.counters().missed, 1);
}

#[test]
fn duplicates_are_counted_and_played_once() {
    let mut line = Line::clean();
    for _ in 0..100 {
        line.send(Some(MS));
        let copy = *line.wire.last().unwrap();
        line.wire.push(copy);
    }

    line.run_until(2_000 * MS);

    assert_eq!(line.sequences(), numbers(65_500, 100));
    let counters = line.buffer.counters();
    assert_eq!(counters.duplicate + counters.late, 100);
}

#[test]
fn swapped_packets_are_played_in_order_once_the_target_covers_the_swap() {
    let mut line = Line::clean();
    line.send_all((0..500).map(|i| Some(if i % 5 == 0 { 26 * MS } else { MS })));

    line.run_until(10_000 * MS);

    let heard = line.sequences();
    assert!(heard.is_sorted_by_key(|n| n.wrapping_sub(65_500)));
    assert!(heard.len() >= 498, "{}", heard.len());
    assert!(line.last_age() <= 47 * MS);
}

#[test]
fn after_a_burst_the_delay_is_back_within_two_seconds() {
    for seed in 1..=20 {
        let mut line = Line::clean();
        let mut random_state = seed;
        line.send_all((0..250).map(|_| Some(MS)));
        line.run_until(5_000 * MS);
        let before = line.last_age();
        line.send_all((0..100).map(|_| Some(MS + random(&mut random_state) % (300 * MS))));
        line.send_all((0..100).map(|_| Some(MS)));

        line.run_until(7_000 * MS);
        let worst = line.last_age();
        line.run_until(9_000 * MS);

        assert!(worst > before + 60 * MS, "the burst must be felt: {worst}");
        assert!(worst <= before + 220 * MS, "the ceiling must hold: {worst}");
        assert!(line.last_age() <= before + 10 * MS, "{before} → {} µs", line.last_age());
    }
}

#[test]
fn the_ceiling_holds_in_the_worst_jitter() {
    let mut line = Line::clean();
    let mut seed = 3;
    line.send_all((0..2_000).map(|_| Some(random(&mut seed) % (600 * MS))));

    line.run_until(40_000 * MS);

    assert!(line.buffer.target() <= Duration::from_millis(200));
    assert!(line.buffer.held() <= Duration::from_millis(620));
    let heard = line.sequences().len();
    assert!(heard > 400, "{heard} of 2000 played");
}

#[test]
fn steady_jitter_of_50_ms_loses_next_to_nothing() {
    let mut line = Line::clean();
    let mut seed = 11;
    line.send_all((0..3_000).map(|_| Some(random(&mut seed) % (50 * MS))));

    line.run_until(60_000 * MS);

    let heard = line.sequences().len();
    assert!(heard >= 2_940, "{heard} of 3000 played");
    assert!(line.last_age() <= 75 * MS, "{}", line.last_age());
}

#[test]
fn drift_is_stretched_away_before_a_packet_is_missed() {
    for (ppm, seconds) in [(-200, 3_600), (200, 3_600), (-1_000, 60), (1_000, 60)] {
        let mut line = Line::clean();
        line.ppm = ppm;
        let mut seed = 5;
        let mut start = None;
        for second in 1..=seconds {
            while u64::from(line.sent) * 20_000 < second * 1_001 * MS {
                line.send(Some(MS + random(&mut seed) % MS / 4));
            }
            line.run_until(second * 1_000 * MS);
            assert!(line.last_age() <= 26 * MS, "{ppm} ppm, {second} s: {} µs", line.last_age());
            start.get_or_insert_with(|| line.last_age());
        }

        let (start, end) = (start.unwrap(), line.last_age());
        assert!(end.abs_diff(start) <= 10 * MS, "{ppm} ppm: {start} → {end}");
        assert_eq!((line.lost(), line.buffer.counters().dropped), (0, 0), "{ppm} ppm");
        let drift = seconds * 1_000 * MS * ppm.unsigned_abs() / 1_000_000;
        let (less, more) = line.stretched;
        assert!(less.max(more) <= drift + 40 * MS, "{ppm} ppm: {less} left out, {more} added");
    }
}

#[test]
fn a_steady_path_is_left_alone_wherever_its_packets_fall_between_ticks() {
    for phase in 0..40 {
        let mut line = Line::clean();
        line.next_pull = 1_400 + phase * 500;
        let mut seed = phase + 1;
        line.send_all((0..1_000).map(|_| Some(MS + random(&mut seed) % 300)));

        line.run_until(20_000 * MS);

        assert_eq!(line.lost(), 0, "{phase}");
        assert_eq!(line.stretched, (0, 0), "{phase}");
        assert!(line.last_age() <= 22 * MS);
    }
}

#[test]
fn after_a_bad_spell_the_delay_is_the_one_before_wherever_packets_fall_between_ticks() {
    for phase in 0..20 {
        let mut line = Line::clean();
        line.next_pull = 1_300 + phase * 1_000;
        let mut seed = phase + 1;
        let mut spell = |n: u32| match n {
            150..250 => MS + random(&mut seed) % (300 * MS),
            _ => MS + random(&mut seed) % 300,
        };
        line.send_all((0..500).map(|n| Some(spell(n))));
        line.run_until(2_900 * MS);
        let before = line.last_age();

        line.run_until(7_200 * MS);

        let after = line.last_age();
        assert!(after.abs_diff(before) <= 10 * MS, "{phase}: {before} before, {after} after");
    }
}

#[test]
fn a_pause_without_a_gap_in_sequence_is_not_loss() {
    let mut line = Line::clean();
    line.send_all((0..50).map(|_| Some(MS)));
    line.run_until(1_000 * MS);
    // 600 ms of DTX: timestamps go on, sequence numbers do not.
    let wire: Vec<_> = (0..50_u16)
        .map(|i| {
            let at = 1_600 * MS + u64::from(i) * 20 * MS + MS;
            let units = (80 + u32::from(i)) * 160;
            (at, 65_500_u16.wrapping_add(50 + i), line.first.1.wrapping_add(units))
        })
        .collect();
    line.wire = wire;

    line.run_until(2_600 * MS);

    assert_eq!(line.sequences(), numbers(65_500, 100));
    assert_eq!(line.buffer.counters().missed, 0);
    assert!(line.lost() <= 5, "concealment fades out in a pause: {}", line.lost());
    assert!(line.last_age() <= 22 * MS);
}

#[test]
fn a_new_ssrc_starts_afresh() {
    let mut line = Line::clean();
    line.send_all((0..50).map(|_| Some(MS)));
    line.run_until(1_000 * MS);

    let incoming = Incoming {
        ssrc: Ssrc::new(8),
        sequence: Sequence::new(1),
        timestamp: RtpTimestamp::new(123_456),
        marker: true,
        payload_type: 8,
        level: None,
        payload: b"new",
    };
    let inserted = line.buffer.insert(line.start + Duration::from_secs(1), incoming);

    assert_eq!(inserted, Inserted::Restarted);
    let pulled = line.buffer.pull(line.start + Duration::from_millis(1_007));
    assert!(matches!(pulled, Pulled::Packet { payload: b"new", .. }), "{pulled:?}");
}

#[test]
fn jumping_timestamps_do_not_stop_the_sound() {
    for jump in [80_000_000_u32, 80_000_000_u32.wrapping_neg()] {
        let mut line = Line::clean();
        line.send_all((0..50).map(|_| Some(MS)));
        line.run_until(1_000 * MS);
        line.first.1 = line.first.1.wrapping_add(jump);
        line.send_all((0..50).map(|_| Some(MS)));

        line.run_until(2_000 * MS);

        assert_eq!(line.sequences(), numbers(65_500, 100), "jump by {jump}");
    }
}

#[test]
fn a_sequence_jump_needs_a_second_packet() {
    let mut line = Line::clean();
    line.send_all((0..50).map(|_| Some(MS)));
    line.run_until(1_000 * MS);
    let next = 65_500_u16.wrapping_add(50);

    let stray = line.insert(1_001 * MS, next.wrapping_add(10_000), 5);
    let first = line.insert(1_002 * MS, next.wrapping_add(20_000), 50_000);
    let second = line.insert(1_022 * MS, next.wrapping_add(20_001), 50_160);

    assert_eq!([stray, first, second], [Inserted::Refused, Inserted::Refused, Inserted::Restarted]);
}

#[test]
fn other_packets_in_the_sequence_are_not_missed() {
    let mut line = Line::clean();
    line.send_all((0..10).map(|_| Some(MS)));
    line.send_all((0..5).map(|_| None));
    line.run_until(200 * MS);
    for i in 10..15 {
        line.buffer.skip(SSRC, Sequence::new(65_500_u16.wrapping_add(i)));
    }
    line.send_all((0..10).map(|_| Some(MS)));

    line.run_until(500 * MS);

    assert_eq!(line.sequences().len(), 20);
    assert_eq!(line.buffer.counters().missed, 0);
}

#[test]
fn nothing_is_made_up_in_a_pause_that_is_told() {
    for is_told in [true, false] {
        let mut line = Line::clean();
        line.send_all((0..10).map(|_| Some(MS)));
        line.run_until(195 * MS);
        if is_told {
            line.buffer.pause(SSRC, Sequence::new(65_510));
        }

        line.run_until(400 * MS);

        let lost = line.heard.iter().filter(|heard| matches!(heard, Heard::Lost { .. })).count();
        assert_eq!(lost == 0, is_told, "{lost}");
        assert_eq!((line.sequences().len(), line.buffer.counters().missed), (10, 0));
    }
}

#[test]
fn a_changed_packet_interval_is_learned() {
    let mut line = Line::clean();
    line.interval = 60_000;
    line.send_all((0..20).map(|_| Some(MS)));

    line.run_until(1_200 * MS);

    assert_eq!(line.buffer.interval(), Duration::from_millis(60));
    assert_eq!(line.sequences(), numbers(65_500, 20));
}

#[test]
fn with_fec_a_loss_offers_the_packet_behind_it() {
    let mut line = Line::clean();
    line.buffer.set_wants_next(true);
    line.send_all((0..400).map(|i| (i % 20 != 10).then_some(MS)));

    line.run_until(8_000 * MS);

    let rebuilt =
        line.heard.iter().filter(|h| matches!(h, Heard::Lost { with_next: true })).count();
    assert!(rebuilt >= 18, "{rebuilt} of 20");
}

#[test]
fn limits_hold_against_a_flood() {
    let mut line = Line::new(JitterOptions { max_octets: 2_000, ..JitterOptions::default() });

    for i in 0..10_000_u32 {
        let sequence = u16::try_from(i % 120).unwrap();
        line.insert(u64::from(i), sequence, u32::from(sequence) * 160);
    }

    assert!(line.buffer.octets <= 2_000);
    assert!(line.buffer.cells.len() <= 128);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_comes_is_played_in_order_and_once(
        packets in prop::collection::vec((0_u64..400_000, 0_u8..100), 20..300),
    ) {
        let mut line = Line::clean();
        line.send_all(packets.iter().map(|&(delay, fate)| (fate >= 5).then_some(delay)));

        line.run_until(packets.len() as u64 * 20_000 + 1_000_000);

        let heard = line.sequences();
        prop_assert!(heard.windows(2).all(|w| Sequence::new(w[1]).distance_from(Sequence::new(w[0])) > 0));
        prop_assert_eq!(line.buffer.octets, 0);
        let counters = line.buffer.counters();
        let sent = packets.iter().filter(|&&(_, fate)| fate >= 5).count() as u64;
        let accounted = counters.played + counters.late + counters.duplicate + counters.dropped + counters.refused;
        prop_assert_eq!(accounted, sent);
    }

    #[test]
    fn any_packets_at_any_time_keep_the_limits(
        packets in prop::collection::vec((any::<u16>(), any::<u32>(), 0_u64..10_000_000, 0_u32..3), 0..300),
    ) {
        let mut line = Line::clean();
        for (sequence, timestamp, at, ssrc) in packets {
            let incoming = Incoming {
                ssrc: Ssrc::new(ssrc),
                sequence: Sequence::new(sequence),
                timestamp: RtpTimestamp::new(timestamp),
                marker: false,
                payload_type: 0,
            level: None,
                payload: &[0; 160],
            };
            line.buffer.insert(line.start + Duration::from_micros(at), incoming);
            line.buffer.pull(line.start + Duration::from_micros(at));

            prop_assert!(line.buffer.cells.len() <= 128);
            prop_assert!(line.buffer.octets <= 65_536);
        }
    }
}
