//! Reception statistics of one source: RFC 3550 A.1 (sequence), A.3 (loss), A.8 (jitter).

use std::time::{Duration, Instant};

use super::ReportBlock;
use crate::rtp::{Header, RtpTimestamp, Sequence, Ssrc};

/// Counts what arrives of a stream. A new SSRC or a restart of the sequence begins a new count; totals go on.
#[derive(Clone, Debug)]
pub struct Reception {
    source: Option<Source>,
    /// Lost and received in the counts that ended.
    past_lost: i64,
    past_received: u64,
    clock_rate: u32,
    /// Clock units, of the current count.
    jitter: f64,
    transit: Option<Transit>,
}

/// RFC 3550 A.1 `source`.
#[derive(Clone, Debug)]
struct Source {
    ssrc: Ssrc,
    base: u32,
    highest: Sequence,
    cycles: u32,
    /// What confirms a jump.
    suspect: Option<Sequence>,
    received: u64,
    expected_before: u64,
    received_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Transit {
    arrival: Instant,
    timestamp: RtpTimestamp,
}

impl Reception {
    /// Counts nothing yet; the clock is in Hz.
    pub fn new(clock_rate: u32) -> Self {
        Self {
            source: None,
            past_lost: 0,
            past_received: 0,
            clock_rate: clock_rate.max(1),
            jitter: 0.0,
            transit: None,
        }
    }

    /// Changes the clock in which jitter is counted, Hz.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        let clock_rate = clock_rate.max(1);
        if clock_rate != self.clock_rate {
            self.jitter *= f64::from(clock_rate) / f64::from(self.clock_rate);
            self.clock_rate = clock_rate;
            self.transit = None;
        }
    }

    /// Takes in a packet whose timestamp says when it was made.
    pub fn receive(&mut self, now: Instant, header: &Header) {
        self.receive_untimed(header);
        self.note_transit(Transit { arrival: now, timestamp: header.timestamp });
    }

    /// Takes in a packet whose timestamp says something else, like a telephone-event update (RFC 4733 §2.3.1).
    pub fn receive_untimed(&mut self, header: &Header) {
        let same = self.source.as_mut().filter(|source| source.ssrc == header.ssrc);
        if !same.is_some_and(|source| source.receive(header.sequence)) {
            self.begin(header);
        }
    }

    fn begin(&mut self, header: &Header) {
        self.past_lost = self.lost();
        self.past_received = self.received();
        self.source = Some(Source::new(header));
        self.transit = None;
        self.jitter = 0.0;
    }

    /// A.8: a running mean of how much the spacing changed on the way.
    fn note_transit(&mut self, next: Transit) {
        let Some(last) = self.transit.replace(next) else { return };
        let spacing = if next.arrival >= last.arrival {
            (next.arrival - last.arrival).as_secs_f64()
        } else {
            -(last.arrival - next.arrival).as_secs_f64()
        };
        let sent = f64::from(next.timestamp.distance_from(last.timestamp));
        let change = (spacing * f64::from(self.clock_rate) - sent).abs();
        // A pause or a jump of timestamps is not jitter.
        if change < f64::from(self.clock_rate) {
            self.jitter += (change - self.jitter) / 16.0;
        }
    }

    /// Who is received.
    pub fn ssrc(&self) -> Option<Ssrc> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// Packets that arrived, duplicates included, over all counts.
    pub fn received(&self) -> u64 {
        self.past_received + self.source.as_ref().map_or(0, |source| source.received)
    }

    /// Expected minus received, over all counts; below zero with duplicates.
    pub fn lost(&self) -> i64 {
        let now = self.source.as_ref().map_or(0, Source::lost);
        self.past_lost.saturating_add(now)
    }

    /// Interarrival jitter.
    pub fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / f64::from(self.clock_rate))
    }

    /// Makes the block for the next report and begins a new interval for the fraction lost.
    ///
    /// `last_report` and `delay_since_report` are the caller's to fill in.
    pub fn report(&mut self) -> Option<ReportBlock> {
        let jitter = self.jitter;
        let source = self.source.as_mut()?;
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: source.fraction_lost(),
            cumulative_lost: clamp_lost(source.lost()),
            highest_sequence: source.extended_highest(),
            #[expect(clippy::cast_possible_truncation, reason = "saturates; jitter is under 1 s")]
            #[expect(clippy::cast_sign_loss, reason = "a mean of absolute values")]
            jitter: jitter as u32,
            last_report: 0,
            delay_since_report: 0,
        })
    }
}

impl Source {
    fn new(header: &Header) -> Self {
        Self {
            ssrc: header.ssrc,
            base: u32::from(header.sequence.number()),
            highest: header.sequence,
            cycles: 0,
            suspect: None,
            received: 1,
            expected_before: 0,
            received_before: 0,
        }
    }

    /// A.1 `update_seq`; false when the sender began a new sequence.
    fn receive(&mut self, sequence: Sequence) -> bool {
        match sequence.distance_from(self.highest) {
            ahead @ 0..MAX_DROPOUT => {
                if ahead > 0 && sequence.number() < self.highest.number() {
                    self.cycles = self.cycles.wrapping_add(1);
                }
                self.highest = sequence;
            }
            NOT_MISORDERED..0 => {}
            _ if self.suspect == Some(sequence) => return false,
            _ => {
                self.suspect = Some(sequence.next());
                return true;
            }
        }
        self.suspect = None;
        self.received += 1;
        true
    }

    fn extended_highest(&self) -> u32 {
        (self.cycles << 16) | u32::from(self.highest.number())
    }

    fn expected(&self) -> u64 {
        u64::from(self.extended_highest().wrapping_sub(self.base)) + 1
    }

    fn lost(&self) -> i64 {
        self.expected().cast_signed() - self.received.cast_signed()
    }

    /// A.3: of the packets expected since the last report, in 1/256.
    fn fraction_lost(&mut self) -> u8 {
        let expected = self.expected().saturating_sub(self.expected_before);
        let received = self.received - self.received_before;
        self.expected_before = self.expected();
        self.received_before = self.received;
        let lost = expected.saturating_sub(received);
        (lost * 256).checked_div(expected).map_or(0, |f| u8::try_from(f).unwrap_or(u8::MAX))
    }
}

fn clamp_lost(lost: i64) -> i32 {
    i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0)
}

/// RFC 3550 A.1.
const MAX_DROPOUT: i16 = 3_000;
/// RFC 3550 A.1 `MAX_MISORDER`, negated.
const NOT_MISORDERED: i16 = -100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(sequence: u16) -> Header {
        Header {
            sequence: Sequence::new(sequence),
            timestamp: RtpTimestamp::new(u32::from(sequence) * 160),
            ssrc: Ssrc::new(9),
            ..Header::default()
        }
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    proptest! {
        #[test]
        fn loss_is_what_was_not_delivered(first: u16, fates in prop::collection::vec(0_u8..10, 2..5_000)) {
            let mut reception = Reception::new(8_000);
            let mut delivered = 0;
            let last = fates.len() - 1;
            for (i, &fate) in fates.iter().enumerate() {
                if fate > 0 || i == 0 || i == last {
                    let step = u16::try_from(i).unwrap();
                    reception.receive_untimed(&header(first.wrapping_add(step)));
                    delivered += 1;
                }
            }

            prop_assert_eq!(reception.received(), delivered);
            prop_assert_eq!(reception.lost(), i64::try_from(fates.len() as u64 - delivered).unwrap());
        }
    }

    #[test]
    fn highest_sequence_counts_wraps() {
        let mut reception = Reception::new(8_000);
        for sequence in (0..=u16::MAX).chain(0..4_464) {
            reception.receive_untimed(&header(sequence));
        }

        let block = reception.report().unwrap();

        assert_eq!(block.highest_sequence, 69_999);
        assert_eq!(block.cumulative_lost, 0);
    }

    #[test]
    fn fraction_is_of_the_last_interval() {
        let mut reception = Reception::new(8_000);
        for sequence in 0..100 {
            reception.receive_untimed(&header(sequence));
        }
        let clean = reception.report().unwrap();
        for sequence in (100..200).filter(|n| n % 4 != 1) {
            reception.receive_untimed(&header(sequence));
        }

        let lossy = reception.report().unwrap();

        assert_eq!((clean.fraction_lost, lossy.fraction_lost), (0, 64));
        assert_eq!(lossy.cumulative_lost, 25);
    }

    #[test]
    fn duplicates_make_loss_negative() {
        let mut reception = Reception::new(8_000);
        for sequence in [1, 1, 1, 2] {
            reception.receive_untimed(&header(sequence));
        }

        assert_eq!(reception.lost(), -2);
    }

    #[test]
    fn jitter_settles_at_the_mean_change_of_spacing() {
        let mut reception = Reception::new(8_000);
        let start = start();
        for i in 0..500_u16 {
            let wobble = if i % 2 == 0 { 0 } else { 8 };
            let arrival = start + Duration::from_millis(u64::from(i) * 20 + wobble);
            reception.receive(arrival, &header(i));
        }

        let jitter = reception.jitter().as_secs_f64();

        assert!((jitter - 0.008).abs() < 0.000_1, "{jitter}");
    }

    #[test]
    fn a_new_ssrc_keeps_the_totals() {
        let mut reception = Reception::new(8_000);
        for sequence in [10, 12] {
            reception.receive_untimed(&header(sequence));
        }
        reception.receive_untimed(&Header { ssrc: Ssrc::new(1), ..header(40_000) });

        assert_eq!((reception.received(), reception.lost()), (3, 1));
    }
}
