//! Watches a slot: once a second both directions are rated, and RTCP learns how we receive (RFC 3611 §4.7).

use std::time::{Duration, Instant};

use crate::codec::Format;
use crate::quality::{
    AlarmOptions, BurstFigures, DelayBudget, Fates, GAP_MIN, Meter, Path, Quality, Sample,
    look_ahead,
};
use crate::rtcp::{RECEIVER_CONFIGURATION, Session, VoipMetrics};
use crate::slot::receiver::Receiver;
use crate::slot::sender::Sender;

/// How a slot fares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Vitals {
    /// What it sends to us.
    pub received: Quality,
    /// What we send to it, as far as its reports tell.
    pub sent: Quality,
    /// What became of the packets whose turn has come.
    pub fates: Fates,
    /// Bursts of loss in what we receive.
    pub bursts: BurstFigures,
    /// Where the time goes.
    pub delay: DelayBudget,
    /// The jitter buffer is, or was a moment ago, as long as it may be: what comes later is lost.
    pub at_ceiling: bool,
    /// What we send.
    pub sent_codec: Option<Format>,
    /// Packets of ours that the far side missed in all; `None` until it reports.
    pub far_lost: Option<i32>,
    /// The far side's own figures, if it sends any.
    pub far: Option<VoipMetrics>,
}

/// Rates both directions once a second.
#[derive(Debug)]
pub(crate) struct Watch {
    due: Option<Instant>,
    /// Totals of the last seconds; the oldest at `oldest`.
    past: [Fates; WINDOW],
    oldest: usize,
    received: Meter,
    sent: Meter,
    /// The ceiling of the jitter buffer.
    ceiling: Duration,
    patience: Duration,
    touched: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(options: AlarmOptions, ceiling: Duration) -> Self {
        Self {
            due: None,
            past: [Fates::default(); WINDOW],
            oldest: 0,
            received: Meter::new(options),
            sent: Meter::new(options),
            ceiling,
            patience: options.patience,
            touched: None,
        }
    }

    /// Looks at the slot if a second has passed; true if an alarm changed.
    pub(crate) fn look(
        &mut self,
        now: Instant,
        (receiver, sender): (&Receiver, &Sender),
        session: &mut Session,
    ) -> bool {
        let due = *self.due.get_or_insert(now + SECOND);
        if now < due {
            return false;
        }
        let next = due + SECOND;
        self.due = Some(if next < now { now } else { next });
        let budget = budget(receiver, sender, session);
        let sample = self.sample_received(receiver, &budget);
        let mut changed = self.received.note(now, sample);
        let sample = sample_sent(now, sender, session, &budget);
        changed |= self.sent.note(now, sample);
        changed |= self.look_at_ceiling(now, receiver);
        session.set_metrics(self.metrics(receiver, &budget, session.round_trip()));
        changed
    }

    /// Rates the last seconds; `None` if nothing was due in the very last one.
    fn sample_received(&mut self, receiver: &Receiver, budget: &DelayBudget) -> Option<Sample> {
        let fates = receiver.fates();
        let newest = (self.oldest + WINDOW - 1) % WINDOW;
        let is_idle = fates.since(&self.past[newest]).is_empty();
        let window = fates.since(&self.past[self.oldest]);
        self.past[self.oldest] = fates;
        self.oldest = (self.oldest + 1) % WINDOW;
        let codec = receiver.format()?.codec;
        let far_end = receiver.jitter.interval() + look_ahead(codec);
        let delay = far_end + budget.network.unwrap_or_default() + budget.buffer + budget.mix;
        (!is_idle).then(|| Sample::of(codec, &window, delay))
    }

    fn look_at_ceiling(&mut self, now: Instant, receiver: &Receiver) -> bool {
        let was_touched = self.touched.is_some();
        if receiver.wants_all_of(self.ceiling) {
            self.touched = Some(now);
        } else if self.touched.is_some_and(|at| now.saturating_duration_since(at) >= self.patience)
        {
            self.touched = None;
        }
        was_touched != self.touched.is_some()
    }

    fn metrics(
        &self,
        receiver: &Receiver,
        budget: &DelayBudget,
        round_trip: Option<Duration>,
    ) -> Option<VoipMetrics> {
        let ssrc = receiver.reception.ssrc()?;
        let codec = receiver.format()?.codec;
        let (r, mos) = self.received.quality().mean?;
        let fates = receiver.fates();
        let bursts = receiver.bursts.figures(receiver.jitter.interval());
        let listening = Sample::of(codec, &fates, Duration::ZERO).rating.mos();
        Some(VoipMetrics {
            ssrc,
            loss_rate: fraction(fates.lost()),
            discard_rate: fraction(fates.late()),
            burst_density: fraction(bursts.burst_density),
            gap_density: fraction(bursts.gap_density),
            burst_duration: bursts.burst_duration,
            gap_duration: bursts.gap_duration,
            round_trip: round_trip.unwrap_or_default(),
            end_system_delay: budget.buffer + budget.mix + budget.packet,
            gap_min: GAP_MIN,
            r_factor: Some(rounded(r)),
            mos_listening: Some(rounded(listening * 10.0)),
            mos_conversational: Some(rounded(mos * 10.0)),
            receiver: RECEIVER_CONFIGURATION,
            buffer: receiver.jitter.delay(),
            buffer_maximum: receiver.jitter.target() + receiver.jitter.interval(),
            buffer_ceiling: self.ceiling,
            ..VoipMetrics::default()
        })
    }

    /// What was found so far.
    pub(crate) fn vitals(
        &self,
        (receiver, sender): (&Receiver, &Sender),
        session: &Session,
    ) -> Vitals {
        Vitals {
            received: self.received.quality(),
            sent: self.sent.quality(),
            fates: receiver.fates(),
            bursts: receiver.bursts.figures(receiver.jitter.interval()),
            delay: budget(receiver, sender, session),
            at_ceiling: self.touched.is_some(),
            sent_codec: sender.encoding().map(|encoding| encoding.format),
            far_lost: session.far_report().map(|far| far.lost),
            far: session.far_metrics(),
        }
    }
}

/// Rates what we send by the far side's last report, unless that is old.
fn sample_sent(
    now: Instant,
    sender: &Sender,
    session: &Session,
    budget: &DelayBudget,
) -> Option<Sample> {
    let encoding = sender.encoding()?;
    let far = session.far_report()?;
    if now.saturating_duration_since(far.arrived) > REPORT_AGE {
        return None;
    }
    let jitter = Duration::from_secs(1) * far.jitter / sender.clock_rate();
    // Where it does not say, its buffer is taken to hold a packet and twice the jitter.
    let usual = encoding.interval() + jitter.min(JITTER_MOST) * 2;
    let buffer = session.far_metrics().map(|metrics| metrics.buffer).filter(|b| !b.is_zero());
    let delay = budget.packet + budget.network.unwrap_or_default() + buffer.unwrap_or(usual);
    let path = Path { codec: encoding.format.codec, loss: far.loss, burst_ratio: 1.0, delay };
    Some(Sample::rate(&path, 0.0))
}

fn budget(receiver: &Receiver, sender: &Sender, session: &Session) -> DelayBudget {
    let packet = sender.encoding().map(|e| e.interval() + look_ahead(e.format.codec));
    DelayBudget {
        network: session.round_trip().map(|round_trip| round_trip / 2),
        buffer: receiver.jitter.delay(),
        mix: receiver.waiting() + receiver.polish_delay(),
        packet: packet.unwrap_or_default(),
    }
}

/// A share in 1/256.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn fraction(share: f32) -> u8 {
    (share * 256.0) as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
fn rounded(value: f32) -> u8 {
    value.round() as u8
}

const SECOND: Duration = Duration::from_secs(1);
/// Seconds that a rating looks back: one alone has 50 packets, of which each is 2 %.
const WINDOW: usize = 5;
/// Three intervals of RTCP.
const REPORT_AGE: Duration = Duration::from_secs(15);
/// More jitter than any buffer follows.
const JITTER_MOST: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::codec::{Codec, Encoding};
    use crate::quality::Cause;
    use crate::room::{Room, RoomOptions, Sink, SlotId, TICK};
    use crate::rtcp::{ExtendedBlock, Packet, Session, parse};
    use crate::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
    use crate::slot::{Slot, SlotOptions, StreamPlan};

    /// A telephone in a room of its own.
    struct Call {
        now: Instant,
        room: Room,
        sequence: u16,
        /// Seconds after which an alarm changed.
        changes: Vec<u16>,
    }

    impl Call {
        #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
        fn new() -> Self {
            let mut slot = Slot::new(SlotOptions { seed: 1, ..SlotOptions::default() });
            let plan = StreamPlan::both_ways(0, Encoding::usual(Codec::Pcmu));
            let now = Instant::now();
            slot.configure(now, &plan);
            let mut room = Room::new(RoomOptions { contributors: 3 });
            room.seat(SlotId(1), slot);
            Self { now, room, sequence: 0, changes: Vec::new() }
        }

        /// Speaks for so many seconds; `delay` says how late a packet comes, `None` that it never does.
        fn speak(&mut self, seconds: u16, delay: impl Fn(u16) -> Option<u64>) {
            for _ in 0..seconds * 50 {
                if let Some(ms) = delay(self.sequence) {
                    let arrived = self.now + Duration::from_millis(ms);
                    let sequence = Sequence::new(self.sequence);
                    let timestamp = RtpTimestamp::new(u32::from(self.sequence) * 160);
                    let ssrc = Ssrc::new(7);
                    let header = Header { sequence, timestamp, ssrc, ..Header::default() };
                    let datagram = [&header.print()[..], &[0x55; 160]].concat();
                    self.slot().receive(arrived, &datagram).unwrap();
                }
                self.sequence += 1;
                self.room.tick(self.now, &mut Nobody);
                let now = self.now;
                if self.slot().watch(now) {
                    self.changes.push(self.sequence / 50);
                }
                self.now += TICK;
            }
        }

        fn slot(&mut self) -> &mut Slot {
            self.room.slot_mut(SlotId(1)).unwrap()
        }

        fn vitals(&mut self) -> Vitals {
            let now = self.now;
            self.slot().statistics(now).vitals
        }
    }

    struct Nobody;

    impl Sink for Nobody {
        fn send(&mut self, _: SlotId, _: &[u8], _: &[u8]) {}
    }

    #[test]
    fn a_clean_path_is_rated_near_the_best() {
        let mut call = Call::new();

        call.speak(8, |_| Some(0));

        let received = call.vitals().received;
        let now = received.now.unwrap();
        assert!(now.rating.mos() > 4.35 && now.lost == 0.0, "{now:?}");
        assert!(received.worst.unwrap().mos() > 4.35 && received.degraded.is_none());
        assert_eq!(call.changes, [0; 0]);
    }

    #[test]
    fn loss_raises_the_alarm_and_its_end_clears_it() {
        let mut call = Call::new();
        call.speak(6, |_| Some(0));
        call.speak(14, |n| (n % 8 != 0).then_some(0));
        let during = call.vitals();
        call.speak(16, |_| Some(0));

        let after = call.vitals().received;

        assert_eq!(during.received.degraded, Some(Cause::Loss));
        let lost = during.received.now.unwrap().lost;
        assert!((lost - 0.125).abs() < 0.02, "{lost}");
        assert_eq!(after.degraded, None);
        assert!(after.worst.unwrap() < after.now.unwrap().rating);
        assert!(call.changes.len() == 2 && call.changes[0] < 16, "{:?}", call.changes);
    }

    #[test]
    fn our_reports_tell_how_we_receive() {
        let mut call = Call::new();
        call.speak(10, |n| (n % 10 != 0).then_some(0));
        let (now, wall) = (call.now, SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000));
        let mut report = Vec::new();

        call.slot().goodbye(now, wall, &mut report);

        let mut found = parse(&report).filter_map(|packet| {
            let Packet::Extended { mut blocks, .. } = packet else { return None };
            blocks.find_map(|block| {
                let ExtendedBlock::VoipMetrics(metrics) = block else { return None };
                Some(metrics)
            })
        });
        let metrics = found.next().expect("VoIP metrics");
        assert_eq!(metrics.ssrc, Ssrc::new(7));
        assert!(metrics.loss_rate.abs_diff(25) <= 2, "{metrics:?}");
        assert!(metrics.burst_density.abs_diff(27) <= 4, "{metrics:?}");
        assert!((60..75).contains(&metrics.r_factor.unwrap()), "{metrics:?}");
        assert!((30..40).contains(&metrics.mos_conversational.unwrap()), "{metrics:?}");
    }

    #[test]
    fn the_far_sides_reports_rate_what_we_send() {
        let mut call = Call::new();
        call.speak(2, |_| Some(0));
        let (now, wall) = (call.now, SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000));
        let own = call.slot().sender.ssrc();
        let mut reception = crate::rtcp::Reception::new(8_000);
        for sequence in (0..100).filter(|n| n % 5 != 1) {
            let sequence = Sequence::new(sequence);
            reception.receive_untimed(&Header { sequence, ssrc: own, ..Header::default() });
        }
        let mut report = Vec::new();
        let mut far = Session::new(Ssrc::new(7), "far".to_owned(), 1);
        let contents = (&crate::rtcp::Sent::default(), &mut reception);
        far.goodbye(now, wall, contents, &mut report);

        call.slot().receive_rtcp(now, wall, &report);
        call.speak(2, |_| Some(0));

        let vitals = call.vitals();
        let sent = vitals.sent.now.unwrap();
        assert!((sent.lost - 0.2).abs() < 0.01 && sent.rating.mos() < 3.0, "{sent:?}");
        assert_eq!(vitals.far_lost, Some(20));
    }

    #[test]
    fn the_ceiling_of_the_buffer_is_noticed() {
        let mut call = Call::new();
        call.speak(3, |_| Some(0));
        assert!(!call.vitals().at_ceiling);

        call.speak(4, |n| Some(if n % 4 == 0 { 400 } else { 0 }));

        assert!(call.vitals().at_ceiling);
    }
}
