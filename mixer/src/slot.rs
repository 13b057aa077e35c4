//! A leg inside the mixer: what it says comes in, what it hears goes out.

mod hint;
mod polish;
mod receiver;
mod sender;
mod stash;
mod voice;
mod watch;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

pub(crate) use hint::Bar;
pub(crate) use receiver::{Attention, DECAY, Receiver};
use sender::Sender;
pub use watch::Vitals;
use watch::Watch;

use crate::codec::{Encoding, Format};
pub use crate::echo::EchoPath;
use crate::echo::{Echo, Envelope};
use crate::gain::Gain;
use crate::jitter::JitterOptions;
use crate::play::{Play, PlayId, Players, Steer};
use crate::quality::AlarmOptions;
use crate::room::{GroupId, Hearing};
use crate::rtcp::{Contributors, Named, Session};
use crate::rtp::{AudioLevel, Naming, RtpTimestamp, Sequence, Ssrc};

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
    /// When a direction counts as bad.
    pub alarm: AlarmOptions,
}

impl Default for SlotOptions {
    /// No name, and a jitter buffer of 0 to 200 ms.
    fn default() -> Self {
        Self {
            seed: 0,
            cname: String::new(),
            min_delay: Duration::ZERO,
            max_delay: Duration::from_millis(200),
            alarm: AlarmOptions::default(),
        }
    }
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
    /// Comfort noise payload types we accept (RFC 3389) beside the fixed one, 13.
    pub receive_noise: Vec<u8>,
    /// Comfort noise payload type that may be sent instead of silence.
    pub send_noise: Option<u8>,
    /// Id of the header extension that tells the level of what we receive (RFC 6464).
    pub level_id: Option<u8>,
    /// Whether the leg is told whom it hears.
    pub naming: Naming,
    /// The direction allows the leg to be sent to.
    pub sends: bool,
    /// The direction allows the leg to be heard.
    pub receives: bool,
}

impl StreamPlan {
    /// Sound in one encoding both ways, and nothing beside it.
    pub fn both_ways(payload_type: u8, encoding: Encoding) -> Self {
        Self {
            send: (payload_type, encoding),
            receive: vec![(payload_type, encoding.format)],
            receive_events: Vec::new(),
            send_events: None,
            receive_noise: Vec::new(),
            send_noise: None,
            level_id: None,
            naming: Naming::Sources,
            sends: true,
            receives: true,
        }
    }
}

/// How a leg takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Seat {
    /// Not heard by the others.
    pub muted: bool,
    /// Hears nobody (is sent silence).
    pub deaf: bool,
    /// Gain of what it says, dB.
    pub gain_in_db: f32,
    /// Gain of what it hears, dB.
    pub gain_out_db: f32,
    /// What it says is brought to the loudness of the others.
    pub agc: bool,
    /// What it says is freed from noise, which makes it late by 10 to 16 ms.
    pub noise_suppression: bool,
    /// What it says is held back while it is only the echo of what it hears.
    pub echo_suppression: bool,
    /// To whom it speaks.
    pub group: GroupId,
    /// Whom it hears.
    pub hearing: Hearing,
}

impl Default for Seat {
    /// Heard and hearing, as it comes.
    fn default() -> Self {
        Self {
            muted: false,
            deaf: false,
            gain_in_db: 0.0,
            gain_out_db: 0.0,
            agc: false,
            noise_suppression: false,
            echo_suppression: false,
            group: GroupId::MAIN,
            hearing: Hearing::MAIN,
        }
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
    /// It has the floor of its room from now on.
    TookFloor,
    /// It returns what it is sent, or does so no more.
    Echo(Option<EchoPath>),
    /// What was played to it alone is over, by its end or because it was stopped.
    Played(PlayId),
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
    /// Packets that were decoded; those of whom nobody hears are not.
    pub packets_decoded: u64,
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
    /// How both directions fare.
    pub vitals: Vitals,
}

/// One leg's receive and send side. It moves between rooms and threads.
#[derive(Debug)]
pub struct Slot {
    pub(crate) receiver: Receiver,
    pub(crate) sender: Sender,
    /// Of what the leg hears.
    pub(crate) gain_out: Gain,
    pub(crate) echo: Echo,
    /// Here once something was played to it alone.
    pub(crate) players: Option<Box<Players>>,
    session: Session,
    watch: Watch,
    seat: Seat,
    is_recorded: bool,
    /// Its group or whom it hears is not what its room knows.
    is_regrouped: bool,
    /// Of what the leg says, unless muted.
    factor_in: f32,
    events: VecDeque<Event>,
}

impl Slot {
    /// A slot that neither sends nor receives until [`Self::configure`].
    pub fn new(options: SlotOptions) -> Self {
        let mut seed = options.seed;
        let mut random = || {
            seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15); // SplitMix64
            let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        };
        let mut random_u32 = || u32::try_from(random() >> 32).unwrap_or_default();
        let ssrc = Ssrc::new(random_u32());
        // Below 2^15, so that the first wrap does not come with the first packets (RFC 3711 §3.3.1).
        let sequence = Sequence::new(u16::try_from(random_u32() >> 17).unwrap_or_default());
        let timestamp = RtpTimestamp::new(random_u32());
        let jitter = JitterOptions {
            min: options.min_delay,
            max: options.max_delay,
            ..JitterOptions::default()
        };
        Self {
            receiver: Receiver::new(jitter),
            sender: Sender::new(ssrc, sequence, timestamp),
            gain_out: Gain::UNITY,
            echo: Echo::new(),
            players: None,
            session: Session::new(ssrc, options.cname, random()),
            watch: Watch::new(options.alarm, options.max_delay),
            seat: Seat::default(),
            is_recorded: false,
            is_regrouped: false,
            factor_in: 1.0,
            events: VecDeque::with_capacity(8),
        }
    }

    /// Takes what offer/answer agreed; again at each re-INVITE.
    ///
    /// SSRC, sequence and timestamp go on; another codec begins with a marker.
    pub fn configure(&mut self, _now: Instant, plan: &StreamPlan) {
        self.receiver.configure(plan);
        self.sender.configure(plan);
    }

    /// Changes how the leg takes part; everything moves by a ramp of one tick. Allocates what `seat` turns on.
    pub fn set_seat(&mut self, seat: Seat) {
        let company = |seat: &Seat| (seat.group, seat.hearing);
        self.is_regrouped |= company(&seat) != company(&self.seat);
        self.seat = seat;
        self.receiver.set_polish(seat.agc, seat.noise_suppression);
        self.echo.set_suppression(seat.echo_suppression);
        self.factor_in = Gain::factor(seat.gain_in_db);
        self.gain_out.aim(if seat.deaf { 0.0 } else { Gain::factor(seat.gain_out_db) });
    }

    /// Plays something to it alone, beside what it hears. It goes on only in a room, while it is sent to. Allocates.
    pub fn play(&mut self, id: PlayId, play: Play) {
        self.players.get_or_insert_default().start(id, play);
    }

    /// Does something to what is played to it alone; takes effect from the next tick on.
    pub fn steer(&mut self, id: PlayId, steer: Steer) {
        if let Some(players) = &mut self.players {
            players.steer(id, steer);
        }
    }

    /// Has a room give what it says to [`crate::room::Sink::record`], or does so no more.
    pub fn set_recorded(&mut self, recorded: bool) {
        self.is_recorded = recorded;
    }

    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// What it said in the last tick, and at what rate, if that is to be recorded: as it came, unless it is not to be heard.
    pub(crate) fn recorded(&self) -> Option<(u32, &[i16])> {
        let is_heard = self.is_recorded && !self.seat.muted && !self.echo.is_held_back();
        self.receiver.said().filter(|_| is_heard)
    }

    /// True while something is played to it alone, or will be.
    pub(crate) fn has_players(&self) -> bool {
        self.players.as_ref().is_some_and(|players| !players.is_empty())
    }

    /// True while something of that is to be heard.
    pub(crate) fn is_played_to(&self) -> bool {
        self.players.as_ref().is_some_and(|players| players.are_running())
    }

    /// Notes what was played to it alone and is over.
    pub(crate) fn note_played(&mut self) {
        while let Some(id) = self.players.as_mut().and_then(|players| players.poll_over()) {
            self.note(Event::Played(id));
        }
    }

    /// The highest rate of what it says and of what is played to it, Hz.
    pub(crate) fn source_rate(&self) -> Option<u32> {
        self.receiver.rate().max(self.players.as_ref().and_then(|players| players.rate()))
    }

    /// Takes one RTP datagram that arrived at `now`.
    ///
    /// # Errors
    /// Says why the datagram was not kept; it is counted.
    pub fn receive(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Rejected> {
        let result = self.receiver.receive(now, datagram);
        self.note_digits();
        result
    }

    /// Takes one RTCP datagram; what is not RTCP is ignored.
    pub fn receive_rtcp(&mut self, now: Instant, wall: SystemTime, datagram: &[u8]) {
        self.session.handle_rtcp(now, wall, datagram);
    }

    /// Rates both directions once a second; true if an alarm of [`Vitals`] changed. Ask a few times a second.
    pub fn watch(&mut self, now: Instant) -> bool {
        self.watch.look(now, (&self.receiver, &self.sender), &mut self.session)
    }

    /// Appends the RTCP report that is due to `out`; false if none is. Ask about ten times a second.
    ///
    /// It gives the names of those who are `heard`, as the room tells.
    pub fn poll_rtcp(
        &mut self,
        now: Instant,
        wall: SystemTime,
        heard: Contributors<'_>,
        out: &mut Vec<u8>,
    ) -> bool {
        let sent = self.sender.sent(now);
        let contents = (&sent, &mut self.receiver.reception, heard);
        self.session.poll_report(now, wall, contents, out)
    }

    /// Appends a last report with a BYE to `out`.
    pub fn goodbye(&mut self, now: Instant, wall: SystemTime, out: &mut Vec<u8>) {
        let sent = self.sender.sent(now);
        self.session.goodbye(now, wall, (&sent, &mut self.receiver.reception), out);
    }

    /// Queues digits to be sent by RFC 4733, all or none.
    ///
    /// False if no telephone-event is agreed, one is not a digit, or too many would wait.
    pub fn send_digits(&mut self, digits: &str, duration: Duration) -> bool {
        self.sender.send_digits(digits, duration)
    }

    /// True while digits are sent or wait to be.
    pub fn is_sending_digits(&self) -> bool {
        self.sender.digits.is_busy()
    }

    pub(crate) fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Returns what was noticed, oldest first. Changes after `receive` and after a room's tick.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// How many of 100 packets the far side said it lost in its last interval, rounded up; 0 until it says.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float to integer cast saturates, and 0 to 100 fits"
    )]
    pub(crate) fn far_loss_percent(&self) -> u8 {
        self.session.far_report().map_or(0, |far| (far.loss * 100.0).ceil() as u8)
    }

    /// Totals since it was made.
    pub fn statistics(&self, _now: Instant) -> Statistics {
        let receiver = &self.receiver;
        let jitter = receiver.jitter.counters();
        let sent = self.sender.totals();
        let far = self.session.far_report();
        let far_jitter = |units: u32| Duration::from_secs(1) * units / self.sender.clock_rate();
        Statistics {
            codec: receiver.format(),
            packets_received: receiver.counters.packets,
            octets_received: receiver.counters.octets,
            packets_sent: sent.0,
            octets_sent: sent.1,
            packets_lost: receiver.reception.lost(),
            packets_late: jitter.late,
            packets_duplicate: jitter.duplicate,
            packets_rejected: receiver.counters.rejected + jitter.refused,
            jitter: receiver.reception.jitter(),
            packets_decoded: receiver.decoded(),
            frames_concealed: receiver.counters.concealed,
            buffer: receiver.jitter.delay(),
            buffer_target: receiver.jitter.target(),
            far_loss: far.map(|far| far.loss),
            far_jitter: far.map(|far| far_jitter(far.jitter)),
            round_trip: self.session.round_trip(),
            level_dbov: receiver.format().map(|_| self.level_dbov()),
            vitals: self.watch.vitals((receiver, &self.sender), &self.session),
        }
    }

    /// Level of what it said in the last tick, dBov (0 to −127).
    #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
    pub fn level_dbov(&self) -> i8 {
        self.receiver.dbov() as i8
    }

    /// Whose stream it is, and how loud it comes into the mix; `None` if nothing came yet.
    pub(crate) fn source(&self) -> Option<(Ssrc, AudioLevel)> {
        let dbov = self.receiver.dbov() + self.seat.gain_in_db;
        Some((self.receiver.reception.ssrc()?, AudioLevel::of_dbov(dbov)))
    }

    /// The CNAME of that stream, if it was told.
    pub(crate) fn source_name(&self) -> Option<&Named> {
        self.session.far_name(self.receiver.reception.ssrc()?)
    }

    /// True while somebody talks here, with hysteresis.
    pub fn is_talking(&self) -> bool {
        self.receiver.talk.is_talking()
    }

    /// True if a tick has something to do here: it is sent to or listened to.
    pub fn is_active(&self) -> bool {
        self.receiver.receives() || self.sender.encoding().is_some()
    }

    /// The gain of what it says.
    pub(crate) fn factor_in(&self) -> f32 {
        if self.seat.muted { 0.0 } else { self.factor_in * self.echo.factor() }
    }

    /// Moves the receive side on by one tick; true if there is something audible to mix.
    pub(crate) fn listen(&mut self, now: Instant, attention: Attention) -> bool {
        let muted = self.seat.muted && self.receiver.gain.is_zero();
        let attention = if muted { Attention::None } else { attention };
        let audible = self.receiver.listen(now, attention);
        self.echo.hear(self.receiver.dbov());
        let held_back = self.echo.is_held_back();
        if let Some(talking) = self.receiver.detect_talk(self.seat.muted || held_back) {
            self.note(Event::Talking(talking));
        }
        self.note_digits();
        audible && !muted && !held_back
    }

    /// What it is sent from now on has nothing to do with what it was sent.
    pub(crate) fn leave_room(&mut self) {
        self.is_regrouped = true;
        if self.echo.restart() {
            self.note(Event::Echo(None));
        }
    }

    /// To whom it speaks, and whom it hears.
    pub(crate) fn company(&self) -> (GroupId, Hearing) {
        (self.seat.group, self.seat.hearing)
    }

    /// Whether it hears this group.
    pub(crate) fn hears(&self, group: GroupId) -> bool {
        self.seat.hearing.hears(group)
    }

    /// Whether that is not what its room knows.
    pub(crate) fn is_regrouped(&self) -> bool {
        self.is_regrouped
    }

    /// Its room knows it.
    pub(crate) fn note_regrouped(&mut self) {
        self.is_regrouped = false;
    }

    /// Takes the √amplitude of what it was sent in this tick, if [`Echo::is_awake`]; `common` is what everybody was sent before.
    pub(crate) fn follow_echo(&mut self, sent: f32, common: &Envelope) {
        if let Some(news) = self.echo.follow(sent, common) {
            self.note(news);
        }
    }

    fn note_digits(&mut self) {
        while let Some(digit) = self.receiver.digits.poll_digit() {
            self.note(Event::Digit { digit: digit.key, duration: digit.duration });
        }
    }

    pub(crate) fn note(&mut self, event: Event) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(event);
        }
    }
}

/// Events that wait at most; more are dropped.
const MAX_EVENTS: usize = 64;
