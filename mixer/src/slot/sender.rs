//! The send side: numbers and times packets, and puts digits in their place.

use std::time::{Duration, Instant};

use crate::codec::Encoding;
use crate::dtmf;
use crate::rtcp::Sent;
use crate::rtp::{Header, Heard, Naming, RtpTimestamp, Sequence, Ssrc};
use crate::slot::StreamPlan;

/// A packet this late begins a new talk spurt: the timestamp takes up the time that passed.
const GAP: Duration = Duration::from_millis(60);

/// Between two packets of comfort noise: the far side has to know that we are there.
const NOISE_EVERY: Duration = Duration::from_millis(400);
/// The level of what we make of silence: none.
const SILENT_NOISE: [u8; 1] = [127];

/// SSRC, sequence and timestamp of one leg, whatever its payload.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) digits: dtmf::Sender,
    header: Header,
    encoding: Option<Encoding>,
    /// RTP units and time of a packet.
    units: u32,
    interval: Duration,
    events: Option<(u8, u32)>,
    naming: Naming,
    /// Comfort noise payload type.
    noise: Option<u8>,
    /// When it is sent again, while there is silence.
    noise_due: Option<Instant>,
    sends: bool,
    /// When the next packet is due; `None` before the first.
    due: Option<Instant>,
    packets: u64,
    octets: u64,
}

impl Sender {
    pub(crate) fn new(ssrc: Ssrc, sequence: Sequence, timestamp: RtpTimestamp) -> Self {
        let header = Header { marker: true, payload_type: 0, sequence, timestamp, ssrc };
        Self {
            digits: dtmf::Sender::new(),
            header,
            encoding: None,
            units: 160,
            interval: Duration::from_millis(20),
            events: None,
            naming: Naming::Nobody,
            noise: None,
            noise_due: None,
            sends: false,
            due: None,
            packets: 0,
            octets: 0,
        }
    }

    pub(crate) fn configure(&mut self, plan: &StreamPlan) {
        let (payload_type, encoding) = plan.send;
        if self.encoding != Some(encoding) || self.sends != plan.sends {
            self.header.marker = true;
        }
        self.header.payload_type = payload_type;
        self.interval = encoding.interval();
        self.units = RtpTimestamp::units_of(self.interval, encoding.format.clock_rate);
        self.encoding = Some(encoding);
        self.events = plan.send_events;
        self.naming = plan.naming;
        self.noise = plan.send_noise;
        self.sends = plan.sends;
        if self.events.is_none() {
            self.digits.clear();
        }
    }

    /// What to encode for this leg; `None` if it is not sent to.
    pub(crate) fn encoding(&self) -> Option<&Encoding> {
        self.encoding.as_ref().filter(|_| self.sends)
    }

    /// True if it says who is heard.
    pub(crate) fn names(&self) -> bool {
        self.naming != Naming::Nobody
    }

    /// Queues digits; false if no telephone-event is agreed or the queue is full.
    pub(crate) fn send_digits(&mut self, digits: &str, duration: Duration) -> bool {
        self.events.is_some() && self.digits.send(digits, duration)
    }

    /// Sends one packet of the stream, in which these are heard, or a digit in its place; an empty payload is a pause.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        (payload, heard): (&[u8], Option<Heard<'_>>),
        send: impl FnOnce(&[u8], &[u8]),
    ) {
        self.noise_due = None;
        self.catch_up(now);
        let event = self.events.and_then(|(payload_type, clock_rate)| {
            if !self.digits.is_busy() {
                return None;
            }
            let tick = RtpTimestamp::units_of(self.interval, clock_rate);
            let tick = u16::try_from(tick).unwrap_or(u16::MAX);
            Some((payload_type, self.digits.tick(self.header.timestamp, tick, clock_rate)?))
        });
        if let Some((payload_type, event)) = event {
            let header = Header {
                marker: event.marker,
                payload_type,
                timestamp: event.timestamp,
                ..self.header
            };
            self.count(4);
            send(&header.print(), &event.payload);
            self.header.sequence = self.header.sequence.next();
            self.header.marker = true; // The audio after it is a new talk spurt.
        } else if payload.is_empty() {
            self.header.marker = true;
        } else {
            self.count(payload.len());
            match heard {
                Some(heard) => send(&self.header.print_mixed(self.naming, heard), payload),
                None => send(&self.header.print(), payload),
            }
            self.header.sequence = self.header.sequence.next();
            self.header.marker = false;
        }
        self.step(now);
    }

    /// Sends one packet of a long silence: comfort noise (RFC 3389) now and then where it is agreed, else `payload`.
    pub(crate) fn send_silence(
        &mut self,
        now: Instant,
        payload: &[u8],
        send: impl FnOnce(&[u8], &[u8]),
    ) {
        let Some(payload_type) = self.noise.filter(|_| !self.digits.is_busy()) else {
            return self.send(now, (payload, None), send);
        };
        self.catch_up(now);
        if self.noise_due.is_none_or(|due| now >= due) {
            let header = Header { payload_type, marker: false, ..self.header };
            self.count(SILENT_NOISE.len());
            send(&header.print(), &SILENT_NOISE);
            self.header.sequence = self.header.sequence.next();
            self.noise_due = Some(now + NOISE_EVERY);
        }
        self.header.marker = true; // What comes after it is a new talk spurt.
        self.step(now);
    }

    /// Lets the timestamp take up a pause in which nothing was sent.
    fn catch_up(&mut self, now: Instant) {
        let Some(due) = self.due else { return };
        let late = now.saturating_duration_since(due);
        if late >= GAP {
            let clock_rate = self.clock_rate();
            let passed = RtpTimestamp::units_of(late, clock_rate);
            self.header.timestamp = self.header.timestamp.plus(passed);
            self.header.marker = true;
            self.due = None;
        }
    }

    fn step(&mut self, now: Instant) {
        self.header.timestamp = self.header.timestamp.plus(self.units);
        self.due = Some(self.due.unwrap_or(now) + self.interval);
    }

    fn count(&mut self, octets: usize) {
        self.packets += 1;
        self.octets += octets as u64;
    }

    /// Whose stream it is.
    #[cfg(test)]
    pub(crate) fn ssrc(&self) -> Ssrc {
        self.header.ssrc
    }

    /// Packets and payload octets.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.packets, self.octets)
    }

    /// RTP clock, Hz.
    pub(crate) fn clock_rate(&self) -> u32 {
        self.encoding.map_or(8_000, |encoding| encoding.format.clock_rate).max(1)
    }

    /// What RTCP says of it at `now`.
    pub(crate) fn sent(&self, now: Instant) -> Sent {
        let clock_rate = self.clock_rate();
        let since = self.due.map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        let timestamp = self.header.timestamp.plus(RtpTimestamp::units_of(since, clock_rate));
        Sent { timestamp, packets: self.packets, octets: self.octets }
    }
}
