//! A leg inside the mixer: what it says comes in, what it hears goes out.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use crate::codec::{Encoding, Format};

/// What a slot is made with.
#[derive(Clone, Debug)]
pub struct SlotOptions {
    /// Seeds SSRC, first sequence number and first timestamp (RFC 3550 §5.1 wants them random).
    pub seed: u64,
    /// RTCP CNAME (RFC 7022).
    pub cname: String,
    /// The least delay of the jitter buffer.
    pub min_delay: Duration,
    /// The ceiling of the jitter buffer.
    pub max_delay: Duration,
}

/// What offer/answer agreed for one stream, without the addresses.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamPlan {
    /// Payload type and encoding of what we send.
    pub send: (u8, Encoding),
    /// Payload types we accept, and what they mean.
    pub receive: Vec<(u8, Format)>,
    /// telephone-event payload types we accept, with their clocks in Hz.
    pub receive_events: Vec<(u8, u32)>,
    /// telephone-event payload type and clock for what we send.
    pub send_events: Option<(u8, u32)>,
    /// The direction allows the leg to be sent to.
    pub sends: bool,
    /// The direction allows the leg to be heard.
    pub receives: bool,
}

/// How a leg takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seat {
    /// Not heard by the others.
    pub muted: bool,
    /// Hears nobody (is sent silence).
    pub deaf: bool,
    /// Gain of what it says, dB.
    pub gain_in_db: f32,
    /// Gain of what it hears, dB.
    pub gain_out_db: f32,
}

impl Default for Seat {
    /// Heard and hearing, at 0 dB.
    fn default() -> Self {
        Self { muted: false, deaf: false, gain_in_db: 0.0, gain_out_db: 0.0 }
    }
}

/// What a slot noticed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A digit ended (or lasted too long); counted once in spite of repeats.
    Digit {
        /// `0-9 * # A-D`.
        digit: char,
        /// How long it was pressed.
        duration: Duration,
    },
    /// Talking started or ended, with hysteresis.
    Talking(bool),
}

/// Why a datagram was not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Rejected {
    /// Not RTP version 2, or cut short.
    #[error("not an RTP packet")]
    NotRtp,
    /// A payload type that was not agreed.
    #[error("payload type {0} was not agreed")]
    PayloadType(u8),
    /// Nothing is agreed yet, or the direction forbids it.
    #[error("the stream does not receive")]
    NotReceiving,
}

/// Totals since the slot was made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// What is received now.
    pub codec: Option<Format>,
    /// RTP packets kept.
    pub packets_received: u64,
    /// Payload octets kept.
    pub octets_received: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Payload octets sent.
    pub octets_sent: u64,
    /// RFC 3550 A.3; below zero with duplicates.
    pub packets_lost: i64,
    /// Came after their turn.
    pub packets_late: u64,
    /// Came twice.
    pub packets_duplicate: u64,
    /// Not RTP, or of the wrong payload type.
    pub packets_rejected: u64,
    /// RFC 3550 §6.4.1.
    pub jitter: Duration,
    /// Frames made up for lost ones.
    pub frames_concealed: u64,
    /// What the jitter buffer holds.
    pub buffer: Duration,
    /// What it aims at.
    pub buffer_target: Duration,
    /// Fraction of our packets lost at the far side, by its last report.
    pub far_loss: Option<f32>,
    /// The far side's jitter.
    pub far_jitter: Option<Duration>,
    /// RFC 3550 §6.4.1, from LSR and DLSR.
    pub round_trip: Option<Duration>,
    /// dBov of what it says.
    pub level_dbov: Option<i8>,
}

/// One leg's receive and send side. It moves between rooms and threads.
#[derive(Debug)]
pub struct Slot {
    options: SlotOptions,
    plan: Option<StreamPlan>,
    seat: Seat,
    statistics: Statistics,
    events: VecDeque<Event>,
}

impl Slot {
    /// A slot that neither sends nor receives until [`Self::configure`].
    pub fn new(options: SlotOptions) -> Self {
        Self {
            options,
            plan: None,
            seat: Seat::default(),
            statistics: Statistics::default(),
            events: VecDeque::new(),
        }
    }

    /// Takes what offer/answer agreed; again at each re-INVITE. Costs allocations.
    pub fn configure(&mut self, _now: Instant, plan: &StreamPlan) {
        self.plan = Some(plan.clone());
    }

    /// Changes how the leg takes part; mute, deaf and gains move by a short ramp.
    pub fn set_seat(&mut self, seat: Seat) {
        self.seat = seat;
    }

    /// Takes one RTP datagram.
    ///
    /// # Errors
    /// Says why the datagram was not kept; it is counted.
    pub fn receive(&mut self, _now: Instant, _datagram: &[u8]) -> Result<(), Rejected> {
        self.statistics.packets_rejected += 1;
        Err(Rejected::NotReceiving)
    }

    /// Takes one RTCP datagram; what is not RTCP is ignored.
    pub fn receive_rtcp(&mut self, _now: Instant, _wall: SystemTime, _datagram: &[u8]) {}

    /// Puts the RTCP report that is due into `out`; false if none is. Ask about ten times a second.
    pub fn poll_rtcp(&mut self, _now: Instant, _wall: SystemTime, _out: &mut Vec<u8>) -> bool {
        let _ = &self.options;
        false
    }

    /// Puts an RTCP BYE into `out`.
    pub fn goodbye(&mut self, _now: Instant, _wall: SystemTime, _out: &mut Vec<u8>) {}

    /// Queues digits to be sent by RFC 4733; false if no telephone-event is agreed or the queue is full.
    pub fn send_digits(&mut self, _digits: &str, _duration: Duration) -> bool {
        false
    }

    /// Returns what was noticed, oldest first. Changes after `receive` and after a room's tick.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Totals as of `now`.
    pub fn statistics(&self, _now: Instant) -> Statistics {
        self.statistics.clone()
    }

    /// Level of what it says, dBov (0 to −127), silence if it says nothing.
    pub fn level_dbov(&self) -> i8 {
        self.statistics.level_dbov.unwrap_or(-127)
    }
}
