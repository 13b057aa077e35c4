//! Telephone-events (RFC 4733): digits in and out as RTP packets.
//!
//! An event is one key press. It is told by its timestamp, which all its packets share; they repeat with a growing
//! duration, and the last comes three times with the end bit. So one press is counted once whatever is lost of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::rtp::{Header, RtpTimestamp, Ssrc};

/// A key that was pressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digit {
    /// `0-9 * # A-D`.
    pub key: char,
    /// How long.
    pub duration: Duration,
}

/// Makes digits of the event packets of one stream.
#[derive(Debug, Default)]
pub struct Receiver {
    press: Option<Press>,
    /// Source and timestamp of the last event that was counted.
    counted: Option<(Ssrc, RtpTimestamp)>,
    digits: VecDeque<Digit>,
}

/// A key that is down.
#[derive(Debug)]
struct Press {
    ssrc: Ssrc,
    timestamp: RtpTimestamp,
    event: u8,
    /// Clock units of this segment; longer events come in several (§2.5.1.3).
    units: u16,
    before: Duration,
    clock_rate: u32,
    heard: Instant,
    /// Held so long that it was reported before its end.
    reported: bool,
}

impl Press {
    fn digit(&self) -> Option<Digit> {
        let key = char::from(*KEYS.get(usize::from(self.event))?);
        Some(Digit { key, duration: self.duration() })
    }

    fn duration(&self) -> Duration {
        self.before + Duration::from_secs(u64::from(self.units)) / self.clock_rate
    }

    /// The same press in a new segment: the one before ran up to the largest duration.
    fn goes_on_with(&self, header: &Header, event: u8) -> bool {
        let step = header.timestamp.distance_from(self.timestamp);
        event == self.event && !header.marker && (SEGMENT_MIN..=SEGMENT_MAX).contains(&step)
    }
}

impl Receiver {
    /// Nothing is pressed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one event packet; `clock_rate` is that of its payload type, in Hz.
    ///
    /// Ask [`Self::poll_digit`] afterwards. Payloads that hold no event, and events that are not keys, are ignored.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        clock_rate: u32,
        header: &Header,
        payload: &[u8],
    ) {
        let &[event, flags, high, low, ..] = payload else { return };
        if usize::from(event) >= KEYS.len() || self.is_old(header) {
            return;
        }
        let units = u16::from_be_bytes([high, low]);
        self.press_or_go_on(now, clock_rate, header, event);
        if let Some(press) = &mut self.press {
            press.heard = now;
            press.units = press.units.max(units); // An older update may come late.
            if flags & END != 0 {
                self.count();
            } else if press.duration() >= LONGEST {
                self.report();
            }
        }
    }

    /// Of an event that is counted, or of one before the event that goes on.
    fn is_old(&self, header: &Header) -> bool {
        let going = self.press.as_ref().map(|press| (press.ssrc, press.timestamp));
        let is_before = |(ssrc, timestamp)| {
            ssrc == header.ssrc && header.timestamp.distance_from(timestamp) < 0
        };
        self.counted == Some((header.ssrc, header.timestamp))
            || going.or(self.counted).is_some_and(is_before)
    }

    fn press_or_go_on(&mut self, now: Instant, clock_rate: u32, header: &Header, event: u8) {
        let (ssrc, timestamp) = (header.ssrc, header.timestamp);
        let (mut before, mut reported) = (Duration::ZERO, false);
        match &self.press {
            Some(press) if (press.ssrc, press.timestamp) == (ssrc, timestamp) => return,
            Some(press) if press.goes_on_with(header, event) => {
                before = press.before + Duration::from_secs(0xffff) / clock_rate.max(1);
                reported = press.reported;
            }
            Some(_) => self.count(), // Its end packets were lost.
            None => {}
        }
        let clock_rate = clock_rate.max(1);
        let press =
            Press { ssrc, timestamp, event, units: 0, before, clock_rate, heard: now, reported };
        self.press = Some(press);
    }

    /// Ends the press that goes on.
    fn count(&mut self) {
        self.report();
        self.counted = self.press.take().map(|press| (press.ssrc, press.timestamp));
    }

    fn report(&mut self) {
        let Some(press) = &mut self.press else { return };
        let digit = if press.reported { None } else { press.digit() };
        press.reported = true;
        if self.digits.len() < QUEUE_MAX {
            self.digits.extend(digit);
        }
    }

    /// Counts a press whose packets stopped without an end. Ask a few times a second while [`Self::is_pressed`].
    pub fn handle_timeout(&mut self, now: Instant) {
        let gone = self
            .press
            .as_ref()
            .is_some_and(|press| now.saturating_duration_since(press.heard) >= RELEASED_AFTER);
        if gone {
            self.count();
        }
    }

    /// A key is down.
    pub fn is_pressed(&self) -> bool {
        self.press.is_some()
    }

    /// Returns the next digit. Changes after `handle_packet` and `handle_timeout`.
    pub fn poll_digit(&mut self) -> Option<Digit> {
        self.digits.pop_front()
    }
}

/// One event packet to send in place of audio.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventPacket {
    /// Set on the first packet of an event.
    pub marker: bool,
    /// When the event began; equal for all its packets.
    pub timestamp: RtpTimestamp,
    /// Event, end bit and volume, duration.
    pub payload: [u8; 4],
}

/// Sends queued digits, one packet each tick.
#[derive(Debug, Default)]
pub struct Sender {
    queue: VecDeque<(u8, Duration)>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Idle,
    /// The key is down since `start`.
    Down { event: u8, start: RtpTimestamp, sent: u16, total: u16 },
    /// The end is repeated.
    Ending { event: u8, start: RtpTimestamp, total: u16, left: u8 },
    /// Audio may pass for some ticks before the next digit.
    Pause { ticks: u8 },
}

impl Sender {
    /// Nothing is queued.
    pub fn new() -> Self {
        Self::default()
    }

    /// Queues digits that last `duration` each (40 ms at least). All or none.
    ///
    /// False if one is not in `0-9 * # A-D`, or too many would wait.
    pub fn send(&mut self, digits: &str, duration: Duration) -> bool {
        let event = |key: u8| KEYS.iter().position(|&k| k == key.to_ascii_uppercase());
        let known = digits.bytes().all(|key| event(key).is_some());
        if !known || self.queue.len() + digits.len() > SEND_MAX {
            return false;
        }
        let events = digits.bytes().filter_map(event).filter_map(|e| u8::try_from(e).ok());
        self.queue.extend(events.map(|event| (event, duration.max(SHORTEST))));
        true
    }

    /// True until everything queued is sent.
    pub fn is_busy(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.state, State::Idle)
    }

    /// Drops what is queued; an event that has begun is ended properly.
    pub fn clear(&mut self) {
        self.queue.clear();
    }

    /// Gives the packet for the tick that begins at `timestamp` and lasts `tick` units; `None` leaves it to audio.
    ///
    /// `clock_rate` in Hz. An event lasts 65,535 units at most.
    pub fn tick(
        &mut self,
        timestamp: RtpTimestamp,
        tick: u16,
        clock_rate: u32,
    ) -> Option<EventPacket> {
        match self.state {
            State::Idle => self.start(timestamp, tick, clock_rate),
            State::Pause { ticks: 0 } => {
                self.state = State::Idle;
                self.start(timestamp, tick, clock_rate)
            }
            State::Pause { ticks } => {
                self.state = State::Pause { ticks: ticks - 1 };
                None
            }
            State::Down { event, start, sent, total } => {
                Some(self.hold(tick, (event, start, sent, total)))
            }
            State::Ending { event, start, total, left } => {
                self.state = match left {
                    0..=1 => State::Pause { ticks: PAUSE_TICKS },
                    _ => State::Ending { event, start, total, left: left - 1 },
                };
                Some(packet(event, start, total, END))
            }
        }
    }

    fn start(
        &mut self,
        timestamp: RtpTimestamp,
        tick: u16,
        clock_rate: u32,
    ) -> Option<EventPacket> {
        let (event, duration) = self.queue.pop_front()?;
        let units = duration.as_micros() * u128::from(clock_rate) / 1_000_000;
        let total = u16::try_from(units).unwrap_or(u16::MAX);
        let first = self.hold(tick, (event, timestamp, 0, total));
        Some(EventPacket { marker: true, ..first })
    }

    fn hold(&mut self, tick: u16, held: (u8, RtpTimestamp, u16, u16)) -> EventPacket {
        let (event, start, sent, total) = held;
        let sent = sent.saturating_add(tick).min(total);
        if sent == total {
            self.state = State::Ending { event, start, total, left: END_REPEATS };
            return packet(event, start, total, END);
        }
        self.state = State::Down { event, start, sent, total };
        packet(event, start, sent, 0)
    }
}

fn packet(event: u8, timestamp: RtpTimestamp, units: u16, flags: u8) -> EventPacket {
    let [high, low] = units.to_be_bytes();
    EventPacket { marker: false, timestamp, payload: [event, flags | VOLUME, high, low] }
}

/// Keys by event code (RFC 4733 §3.2).
const KEYS: &[u8; 16] = b"0123456789*#ABCD";
const END: u8 = 0x80;
/// −10 dBm0, what phones send.
const VOLUME: u8 = 10;
/// The end packet is sent this often again (§2.5.1.4).
const END_REPEATS: u8 = 2;
/// Ticks of silence between digits after the last end packet: with the repeats, 100 ms.
const PAUSE_TICKS: u8 = 3;
/// Shorter tones are missed by gateways that play them.
const SHORTEST: Duration = Duration::from_millis(40);
/// A key held longer is counted without its end.
const LONGEST: Duration = Duration::from_secs(10);
/// Updates come each 20 to 50 ms; after this silence the key counts as released.
const RELEASED_AFTER: Duration = Duration::from_millis(250);
/// How far the timestamp moves to the next segment of a long event; some of the last updates may be lost.
const SEGMENT_MIN: i32 = 0xf000;
const SEGMENT_MAX: i32 = 0x1_0000;
/// Digits that nobody reads.
const QUEUE_MAX: usize = 32;
/// Digits that wait to be sent.
const SEND_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Sends digits through a line that loses packets; returns what was received, in order.
    fn transfer(
        digits: &str,
        duration: Duration,
        mut lost: impl FnMut(usize) -> bool,
    ) -> Vec<Digit> {
        let (mut sender, mut receiver) = (Sender::new(), Receiver::new());
        assert!(sender.send(digits, duration));
        let (mut now, mut timestamp) = (start(), RtpTimestamp::new(u32::MAX - 500));
        let mut sent = 0;
        let mut heard = Vec::new();
        let mut idle = 0;
        while idle < 20 {
            idle = if sender.is_busy() { 0 } else { idle + 1 };
            if let Some(packet) = sender.tick(timestamp, 160, 8_000) {
                let header = Header {
                    marker: packet.marker,
                    timestamp: packet.timestamp,
                    ..Header::default()
                };
                if !lost(sent) {
                    receiver.handle_packet(now, 8_000, &header, &packet.payload);
                }
                sent += 1;
            }
            receiver.handle_timeout(now);
            heard.extend(receiver.poll_digit());
            now += TICK;
            timestamp = timestamp.plus(160);
        }
        heard
    }

    fn keys(digits: &[Digit]) -> String {
        digits.iter().map(|digit| digit.key).collect()
    }

    #[test]
    fn every_key_arrives_once_with_its_duration() {
        let heard = transfer("0123456789*#ABCD", Duration::from_millis(100), |_| false);

        assert_eq!(keys(&heard), "0123456789*#ABCD");
        assert!(heard.iter().all(|digit| digit.duration == Duration::from_millis(100)));
    }

    #[test]
    fn a_press_without_its_end_is_counted_when_it_falls_silent() {
        let heard = transfer("5", Duration::from_millis(100), |packet| packet >= 3);

        assert_eq!(heard, [Digit { key: '5', duration: Duration::from_millis(60) }]);
    }

    #[test]
    fn a_press_of_which_only_an_end_arrives_is_counted() {
        let heard = transfer("9", Duration::from_millis(100), |packet| packet != 6);

        assert_eq!(heard, [Digit { key: '9', duration: Duration::from_millis(100) }]);
    }

    #[test]
    fn a_key_held_for_ever_is_counted_once() {
        let (mut receiver, mut now) = (Receiver::new(), start());
        let mut heard = Vec::new();
        for tick in 0..2_000_u32 {
            let units = (tick + 1) * 160;
            let (segment, rest) = (units / 0xffff, units % 0xffff);
            let timestamp = RtpTimestamp::new(7).plus(segment * 0xffff);
            let header = Header { marker: tick == 0, timestamp, ..Header::default() };
            let [_, _, high, low] = rest.to_be_bytes();
            receiver.handle_packet(now, 8_000, &header, &[1, 10, high, low]);
            heard.extend(receiver.poll_digit());
            now += TICK;
        }

        assert_eq!(heard, [Digit { key: '1', duration: Duration::from_secs(10) }]);
    }

    #[test]
    fn unknown_keys_are_not_sent() {
        let mut sender = Sender::new();

        assert!(!sender.send("12x", Duration::from_millis(100)));
        assert!(!sender.send(&"1".repeat(65), Duration::from_millis(100)));
        assert!(!sender.is_busy());
    }

    #[test]
    fn the_end_is_sent_three_times_and_only_the_first_packet_is_marked() {
        let mut sender = Sender::new();
        sender.send("1", Duration::from_millis(60));
        let packets: Vec<EventPacket> =
            (0..10).filter_map(|i| sender.tick(RtpTimestamp::new(i * 160), 160, 8_000)).collect();

        let ends = packets.iter().filter(|packet| packet.payload[1] & END != 0).count();

        assert_eq!((packets.len(), ends), (5, 3));
        assert!(packets[0].marker && packets[1..].iter().all(|packet| !packet.marker));
        assert!(packets.iter().all(|packet| packet.timestamp == RtpTimestamp::new(0)));
    }

    proptest! {
        #[test]
        fn no_digit_is_counted_twice_and_order_is_kept(
            digits in "[0-9*#A-D]{1,12}", losses in prop::collection::vec(0_u8..10, 200),
        ) {
            let heard = transfer(&digits, Duration::from_millis(100), |packet| losses[packet % 200] == 0);

            // Seven packets a digit, of which one in ten is lost: all arrive unless seven in a row are gone.
            prop_assert_eq!(keys(&heard), digits);
        }

        #[test]
        fn any_packets_are_taken_without_panic(
            packets in prop::collection::vec((any::<u32>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..8)), 0..100),
        ) {
            let (mut receiver, now) = (Receiver::new(), start());
            for (timestamp, marker, payload) in packets {
                let header = Header { marker, timestamp: RtpTimestamp::new(timestamp), ..Header::default() };
                receiver.handle_packet(now, 8_000, &header, &payload);
            }
            prop_assert!(receiver.digits.len() <= QUEUE_MAX);
        }
    }
}
