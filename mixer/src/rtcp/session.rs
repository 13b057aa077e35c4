//! RTCP of one leg: when to report (RFC 3550 §6.2, §6.3), what to say, and what the far side says of us.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Contributors, ExtendedBlock, ExtendedReport, LastReference, Named, NtpTime, Packet, Reception,
    ReportBlock, SenderInfo, VoipMetrics, low_half, parse, print_bye, print_cnames, print_extended,
    print_report,
};
use crate::rtp::{RtpTimestamp, Ssrc};

/// What we have sent so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// The present instant on the clock of what we send.
    pub timestamp: RtpTimestamp,
    /// RTP packets.
    pub packets: u64,
    /// Payload octets.
    pub octets: u64,
}

/// How the far side receives us, by its last report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FarReport {
    /// Share of our packets lost in its last interval, 0 to 1.
    pub loss: f32,
    /// Packets of ours lost in all; below zero with duplicates.
    pub lost: i32,
    /// Its jitter in units of our clock.
    pub jitter: u32,
    /// When it came.
    pub arrived: Instant,
}

/// One leg's RTCP: two members, no bandwidth to divide, so the interval is the minimum, randomised.
#[derive(Debug)]
pub struct Session {
    ssrc: Ssrc,
    cname: String,
    random: u64,
    next: Option<Instant>,
    /// [`Sent::packets`] at the last two reports; who sent none in between is not a sender (§6.3.8).
    sent_before: [u64; 2],
    far_sender: Option<FarSender>,
    far_report: Option<FarReport>,
    far_metrics: Option<VoipMetrics>,
    far_name: Option<Named>,
    /// The far side's last reference time (RFC 3611 §4.4).
    far_reference: Option<FarSender>,
    /// What the next report says of how we receive.
    metrics: Option<VoipMetrics>,
    round_trip: Option<Duration>,
    said_bye: bool,
}

/// The last sender report that came, or the last reference time.
#[derive(Clone, Copy, Debug)]
struct FarSender {
    ssrc: Ssrc,
    report: u32,
    arrived: Instant,
}

impl FarSender {
    /// Time since it came, in 1/65,536 s.
    fn age(&self, now: Instant) -> u32 {
        let units = now.saturating_duration_since(self.arrived).as_micros() * 65_536 / 1_000_000;
        u32::try_from(units).unwrap_or(u32::MAX)
    }
}

impl Session {
    /// Begins at the first [`Self::poll_report`]; `seed` spreads the reports of many legs.
    pub fn new(ssrc: Ssrc, cname: String, seed: u64) -> Self {
        Self {
            ssrc,
            cname,
            random: seed,
            next: None,
            sent_before: [0; 2],
            far_sender: None,
            far_report: None,
            far_metrics: None,
            far_name: None,
            far_reference: None,
            metrics: None,
            round_trip: None,
            said_bye: false,
        }
    }

    /// Takes in one RTCP datagram; `wall` is the clock that our own reports quote.
    pub fn handle_rtcp(&mut self, now: Instant, wall: SystemTime, datagram: &[u8]) {
        for packet in parse(datagram) {
            match packet {
                Packet::SenderReport { ssrc, info, blocks } => {
                    self.far_sender =
                        Some(FarSender { ssrc, report: info.ntp.middle(), arrived: now });
                    blocks.for_each(|block| self.note_block(now, wall, &block));
                }
                Packet::ReceiverReport { blocks, .. } => {
                    blocks.for_each(|block| self.note_block(now, wall, &block));
                }
                Packet::Extended { ssrc, blocks } => {
                    blocks.for_each(|block| self.note_extended(now, wall, ssrc, block));
                }
                Packet::Bye { .. } => self.said_bye = true,
                Packet::Description { mut chunks } => {
                    self.far_name = chunks.next().and_then(Named::of).or(self.far_name);
                }
                Packet::Other { .. } => {}
            }
        }
    }

    fn note_block(&mut self, now: Instant, wall: SystemTime, block: &ReportBlock) {
        if block.ssrc != self.ssrc {
            return;
        }
        let loss = f32::from(block.fraction_lost) / 256.0;
        self.far_report = Some(FarReport {
            loss,
            lost: block.cumulative_lost,
            jitter: block.jitter,
            arrived: now,
        });
        self.note_round_trip(wall, (block.last_report, block.delay_since_report));
    }

    fn note_extended(
        &mut self,
        now: Instant,
        wall: SystemTime,
        ssrc: Ssrc,
        block: ExtendedBlock<'_>,
    ) {
        match block {
            ExtendedBlock::ReferenceTime(time) => {
                self.far_reference = Some(FarSender { ssrc, report: time.middle(), arrived: now });
            }
            ExtendedBlock::LastReferences(references) => {
                let own = self.ssrc;
                for found in references.filter(|found| found.ssrc == own) {
                    self.note_round_trip(wall, (found.last, found.delay));
                }
            }
            ExtendedBlock::VoipMetrics(metrics) if metrics.ssrc == self.ssrc => {
                self.far_metrics = Some(metrics);
            }
            ExtendedBlock::VoipMetrics(_) | ExtendedBlock::Other { .. } => {}
        }
    }

    /// §6.4.1: arrival − LSR − DLSR, in 1/65,536 s. A far side with a wrong DLSR can make it negative.
    fn note_round_trip(&mut self, wall: SystemTime, (last, delay): (u32, u32)) {
        if last == 0 {
            return;
        }
        let arrival = NtpTime::from_wall(wall).middle();
        let elapsed = arrival.wrapping_sub(last);
        let units = elapsed.wrapping_sub(delay);
        if units.cast_signed() >= 0 {
            self.round_trip = Some(Duration::from_secs_f64(f64::from(units) / 65_536.0));
        }
    }

    /// Appends the compound that is due and plans the next; false if none is due.
    pub fn poll_report(
        &mut self,
        now: Instant,
        wall: SystemTime,
        contents: (&Sent, &mut Reception, Contributors<'_>),
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(next) = self.next else {
            self.next = Some(now + self.interval() / 2); // §6.2: the first one comes sooner.
            return false;
        };
        if now < next {
            return false;
        }
        self.next = Some(now + self.interval());
        self.print(now, wall, contents, out);
        true
    }

    /// Appends the compound that ends the session: report, CNAME, BYE.
    pub fn goodbye(
        &mut self,
        now: Instant,
        wall: SystemTime,
        contents: (&Sent, &mut Reception),
        out: &mut Vec<u8>,
    ) {
        let (sent, reception) = contents;
        self.print(now, wall, (sent, reception, Contributors::default()), out);
        print_bye(out, self.ssrc);
    }

    fn print(
        &mut self,
        now: Instant,
        wall: SystemTime,
        (sent, reception, heard): (&Sent, &mut Reception, Contributors<'_>),
        out: &mut Vec<u8>,
    ) {
        let info = (sent.packets > self.sent_before[0]).then(|| SenderInfo {
            ntp: NtpTime::from_wall(wall),
            timestamp: sent.timestamp,
            packets: low_half(sent.packets),
            octets: low_half(sent.octets),
        });
        self.sent_before = [self.sent_before[1], sent.packets];
        let block = reception.report().map(|block| self.with_last_report(now, block));
        print_report(out, self.ssrc, info.as_ref(), block.as_ref());
        let turn = usize::from(self.random().to_be_bytes()[0]);
        print_cnames(out, (self.ssrc, &self.cname), heard.chunks(turn));
        let reference_time = info.is_none().then(|| NtpTime::from_wall(wall));
        let last_reference = self.far_reference.map(|far| LastReference {
            ssrc: far.ssrc,
            last: far.report,
            delay: far.age(now),
        });
        let metrics = self.metrics;
        print_extended(out, self.ssrc, &ExtendedReport { reference_time, last_reference, metrics });
    }

    fn with_last_report(&self, now: Instant, block: ReportBlock) -> ReportBlock {
        let Some(far) = self.far_sender.filter(|far| far.ssrc == block.ssrc) else { return block };
        ReportBlock { last_report: far.report, delay_since_report: far.age(now), ..block }
    }

    /// §6.3.1: the minimum times 0.5 to 1.5, over e − 3/2 to make up for reconsideration.
    fn interval(&mut self) -> Duration {
        let spread = f64::from(low_half(self.random() >> 32)) / f64::from(u32::MAX);
        MINIMUM.mul_f64((0.5 + spread) / (std::f64::consts::E - 1.5))
    }

    /// `SplitMix64`: enough to spread reports.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// How the far side receives us; `None` until it says.
    pub fn far_report(&self) -> Option<FarReport> {
        self.far_report
    }

    /// How the far side receives us, by its last extended report; `None` until it says.
    pub fn far_metrics(&self) -> Option<VoipMetrics> {
        self.far_metrics
    }

    /// The CNAME that the far side gave its stream `ssrc`.
    pub(crate) fn far_name(&self, ssrc: Ssrc) -> Option<&Named> {
        self.far_name.as_ref().filter(|named| named.ssrc() == ssrc)
    }

    /// What the reports from now on say of how we receive (RFC 3611 §4.7).
    pub fn set_metrics(&mut self, metrics: Option<VoipMetrics>) {
        self.metrics = metrics;
    }

    /// Time to the far side and back; `None` until it is known.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The far side ended its stream. It may go on with another SSRC.
    pub fn said_bye(&self) -> bool {
        self.said_bye
    }
}

/// RFC 3550 §6.2: the least interval between reports.
const MINIMUM: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::rtp::{Header, Sequence};

    /// Two sessions that report to each other.
    struct Pair {
        now: Instant,
        wall: SystemTime,
        alice: Session,
        bob: Session,
    }

    impl Pair {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
            let now = Instant::now();
            Self {
                now,
                wall: UNIX_EPOCH + Duration::from_secs(2_000_000_000),
                alice: Session::new(Ssrc::new(1), "alice".into(), 1),
                bob: Session::new(Ssrc::new(2), "bob".into(), 2),
            }
        }

        fn pass(&mut self, duration: Duration) {
            self.now += duration;
            self.wall += duration;
        }
    }

    fn received(ssrc: u32) -> Reception {
        let mut reception = Reception::new(8_000);
        for sequence in [1, 2, 4, 5] {
            let sequence = Sequence::new(sequence);
            reception.receive_untimed(&Header {
                sequence,
                ssrc: Ssrc::new(ssrc),
                ..Header::default()
            });
        }
        reception
    }

    #[test]
    fn round_trip_is_measured_through_the_far_sides_report() {
        let mut pair = Pair::new();
        let sent = Sent { packets: 5, ..Sent::default() };
        let (mut from_alice, mut from_bob) = (Vec::new(), Vec::new());
        let nothing = &mut Reception::new(8_000);
        pair.alice.goodbye(pair.now, pair.wall, (&sent, nothing), &mut from_alice);
        pair.pass(Duration::from_millis(30));
        pair.bob.handle_rtcp(pair.now, pair.wall, &from_alice);
        pair.pass(Duration::from_secs(2));
        let heard = &mut received(1);
        pair.bob.goodbye(pair.now, pair.wall, (&Sent::default(), heard), &mut from_bob);
        pair.pass(Duration::from_millis(30));

        pair.alice.handle_rtcp(pair.now, pair.wall, &from_bob);

        let round_trip = pair.alice.round_trip().unwrap().as_secs_f64();
        assert!((round_trip - 0.060).abs() < 0.000_1, "{round_trip}");
        let loss = pair.alice.far_report().unwrap().loss;
        assert!((loss - 0.2).abs() < 0.01, "{loss}");
        assert!(pair.bob.said_bye());
    }

    #[test]
    fn who_only_listens_learns_the_round_trip_by_reference_times() {
        let mut pair = Pair::new();
        let (mut from_alice, mut from_bob) = (Vec::new(), Vec::new());
        let (sent, nothing) = (Sent::default(), &mut Reception::new(8_000));
        pair.alice.goodbye(pair.now, pair.wall, (&sent, nothing), &mut from_alice);
        pair.pass(Duration::from_millis(20));
        pair.bob.handle_rtcp(pair.now, pair.wall, &from_alice);
        pair.pass(Duration::from_secs(3));
        pair.bob.goodbye(pair.now, pair.wall, (&sent, nothing), &mut from_bob);
        pair.pass(Duration::from_millis(20));

        pair.alice.handle_rtcp(pair.now, pair.wall, &from_bob);

        let round_trip = pair.alice.round_trip().unwrap().as_secs_f64();
        assert!((round_trip - 0.040).abs() < 0.000_1, "{round_trip}");
    }

    #[test]
    fn metrics_are_taken_only_of_our_own_stream() {
        let mut pair = Pair::new();
        for (of, taken) in [(9, false), (1, true)] {
            let metrics =
                VoipMetrics { ssrc: Ssrc::new(of), r_factor: Some(80), ..VoipMetrics::default() };
            let mut from_bob = Vec::new();
            pair.bob.set_metrics(Some(metrics));
            let contents = (&Sent::default(), &mut Reception::new(8_000));
            pair.bob.goodbye(pair.now, pair.wall, contents, &mut from_bob);

            pair.alice.handle_rtcp(pair.now, pair.wall, &from_bob);

            assert_eq!(pair.alice.far_metrics(), taken.then_some(metrics), "of {of}");
        }
    }

    #[test]
    fn reports_come_about_every_five_seconds_but_never_in_step() {
        let mut pair = Pair::new();
        let mut times = Vec::new();
        let mut out = Vec::new();
        let start = pair.now;
        for _ in 0..10_000 {
            let nobody = Contributors::default();
            let contents = (&Sent::default(), &mut Reception::new(8_000), nobody);
            if pair.alice.poll_report(pair.now, pair.wall, contents, &mut out) {
                times.push((pair.now - start).as_secs_f64());
            }
            pair.pass(Duration::from_millis(100));
        }

        let gaps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        assert!(gaps.iter().all(|gap| (2.0..6.3).contains(gap)), "{gaps:?}");
        assert!(times.len() > 200 && gaps.iter().any(|gap| (gap - gaps[0]).abs() > 1.0));
    }

    #[test]
    fn who_sends_nothing_sends_receiver_reports() {
        let mut pair = Pair::new();
        let mut kinds = Vec::new();
        for packets in [10, 10, 10] {
            let mut out = Vec::new();
            let sent = Sent { packets, ..Sent::default() };
            let contents = (&sent, &mut Reception::new(8_000));
            pair.alice.goodbye(pair.now, pair.wall, contents, &mut out);
            kinds.push(matches!(parse(&out).next(), Some(Packet::SenderReport { .. })));
        }

        assert_eq!(kinds, [true, true, false]);
    }
}
