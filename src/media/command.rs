//! The whole vocabulary between the bridge and the media threads: data only.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mixer::codec::Format;
pub use mixer::play::{Clip, Play, PlayId, Steer};
pub use mixer::quality::{Cause, Quality};
use mixer::room::TICK;
pub use mixer::room::{GROUPS, GroupId, Hearing};
pub use mixer::rtp::Naming;
pub use mixer::slot::{EchoPath, Seat, StreamPlan, Vitals};
pub use mixer::srtp::{Keys as SrtpKeys, Suite};

pub use crate::webrtc::{Association, Fault};

/// A leg's media, named by the bridge; never reused.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MediaKey(pub u64);

/// A mix (a room, or a two-party call), named by the bridge; never reused. It exists while a leg sits in it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct MixKey(pub u64);

/// A track of a recording, named by the bridge; never reused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct TapeKey(pub u64);

/// Tapes of one mix at a time, at most.
pub const MAX_TAPES: usize = 8;

/// What the bridge asks. Commands for one leg take effect in order; those for an unknown leg are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Binds a port pair on this local address: [`Event::Opened`] or [`Event::OpenFailed`] follows.
    Open {
        /// The leg.
        leg: MediaKey,
        /// Local address to bind; unspecified binds all of its family.
        local: IpAddr,
    },
    /// What offer/answer agreed; again at each re-INVITE. A changed codec, port or address takes effect without a click.
    Configure {
        /// The leg.
        leg: MediaKey,
        /// Where to and how.
        stream: Stream,
    },
    /// Seats the leg in a mix, leaving the one it was in. The first leg makes the mix.
    Join {
        /// The leg.
        leg: MediaKey,
        /// The mix.
        mix: MixKey,
        /// How many are mixed at once, loudest first.
        contributors: usize,
    },
    /// Takes the leg out of its mix; its ports stay.
    Leave {
        /// The leg.
        leg: MediaKey,
    },
    /// Changes how the leg takes part.
    Seat {
        /// The leg.
        leg: MediaKey,
        /// The whole new state.
        seat: Seat,
    },
    /// Sends digits by RFC 4733, one after the other; without an agreed telephone-event they are dropped.
    SendDigits {
        /// The leg.
        leg: MediaKey,
        /// `0-9 * # A-D`.
        digits: String,
        /// How long each lasts.
        duration: Duration,
    },
    /// Plays something to a leg alone, or to all of a mix; [`Event::Played`] follows. It goes on while somebody is sent to.
    Play {
        /// Who hears it.
        to: Audience,
        /// Its name, never used before.
        id: PlayId,
        /// What is played.
        play: Box<Play>,
    },
    /// Does something to what is played.
    Steer {
        /// Who hears it.
        to: Audience,
        /// Its name.
        id: PlayId,
        /// What is done.
        steer: Steer,
    },
    /// Changes every voice of this mix, but not what is played.
    Duck {
        /// The mix.
        mix: MixKey,
        /// dB.
        gain_db: f32,
    },
    /// Gives what a leg says, or what who says nothing in a mix hears, to whoever takes reels ([`super::Media::give_reels_to`]); again
    /// after [`Self::Unrecord`] it goes on in the same track.
    Record {
        /// Whose voice. A mix is recorded whenever there is one.
        of: Audience,
        /// Its name.
        tape: TapeKey,
        /// The beginning of the track.
        since: Instant,
    },
    /// Does so no more.
    Unrecord {
        /// Whose voice.
        of: Audience,
        /// Its name.
        tape: TapeKey,
    },
    /// How many are mixed at once in this mix from now on.
    Contributors {
        /// The mix.
        mix: MixKey,
        /// Loudest first.
        contributors: usize,
    },
    /// Frees the ports and forgets the leg; an RTCP BYE goes out.
    Close {
        /// The leg.
        leg: MediaKey,
    },
    /// Whether [`Event::Levels`] is wanted (somebody watches meters).
    Meters {
        /// On or off.
        on: bool,
    },
}

/// Who hears what is played, or whose voice is recorded.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Audience {
    /// A leg, wherever it sits.
    Leg(MediaKey),
    /// All who sit in a mix.
    Mix(MixKey),
}

/// The agreed stream of a leg.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Where the far side's SDP says it receives; a symmetric peer may turn out to be elsewhere.
    pub remote: SocketAddr,
    /// Where its RTCP goes; `None` where rtcp-mux is agreed.
    pub remote_rtcp: Option<SocketAddr>,
    /// What is sent and received.
    pub plan: StreamPlan,
    /// The keys, if RTP and RTCP are encrypted and the SDP had them.
    pub srtp: Option<Box<SrtpKeys>>,
    /// What is to make the keys, if they are encrypted so. Until then nothing is sent, and nothing is heard.
    pub dtls: Option<Box<Association>>,
}

/// What the media threads report.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a box would be allocated on the tick")]
pub enum Event {
    /// The ports are bound.
    Opened {
        /// The leg.
        leg: MediaKey,
        /// Even RTP port; RTCP is the next one.
        rtp_port: u16,
    },
    /// No ports: the range is used up, or the address is not ours.
    OpenFailed {
        /// The leg.
        leg: MediaKey,
        /// What to do about it.
        reason: String,
    },
    /// The first packet that counts arrived.
    Started {
        /// The leg.
        leg: MediaKey,
        /// Where its media really comes from.
        from: SocketAddr,
    },
    /// The DTLS handshake made keys of this suite: media flows.
    Secured {
        /// The leg.
        leg: MediaKey,
        /// How packets are encrypted.
        suite: Suite,
    },
    /// The DTLS handshake came to nothing: media never flows.
    HandshakeFailed {
        /// The leg.
        leg: MediaKey,
        /// Why.
        fault: Fault,
    },
    /// A digit ended (or lasted too long); counted once in spite of repeats.
    Digit {
        /// The leg.
        leg: MediaKey,
        /// `0-9 * # A-D`.
        digit: char,
        /// How long it was pressed.
        duration: Duration,
    },
    /// Talking started or ended, with hysteresis.
    Talking {
        /// The leg.
        leg: MediaKey,
        /// Which of the two.
        talking: bool,
    },
    /// The leg has the floor of its mix from now on, until another has it or it leaves.
    TookFloor {
        /// The leg.
        leg: MediaKey,
        /// Of which mix.
        mix: MixKey,
    },
    /// The leg returns what it is sent, or does so no more: others hear their own voices.
    Echo {
        /// The leg: where the echo is made.
        leg: MediaKey,
        /// How it comes back; `None` is no more.
        path: Option<EchoPath>,
    },
    /// What was played is over, by its end or because it was stopped. Of what a leg is played that is closed nothing is told.
    Played {
        /// Its name.
        id: PlayId,
        /// Not of itself: the thread had nobody left to play it to. Others of the mix may sit elsewhere.
        cut: bool,
    },
    /// No RTP for the configured time while the direction allows some, or no consent to ours (RFC 7675); once per pause.
    Silent {
        /// The leg.
        leg: MediaKey,
        /// For how long.
        since: Duration,
    },
    /// Statistics, each few seconds, when an alarm of [`Vitals`] changed, and at the end (before [`Event::Closed`]).
    Statistics {
        /// The leg.
        leg: MediaKey,
        /// Totals since it was opened.
        statistics: Statistics,
    },
    /// Levels of some legs that were heard lately, about ten times a second; dropped when the queue is full.
    Levels(Levels),
    /// The ports are free again.
    Closed {
        /// The leg.
        leg: MediaKey,
    },
    /// How a worker fares, each second.
    Worker(WorkerReport),
}

/// Leg and dBov of up to 16 legs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levels {
    count: usize,
    levels: [(MediaKey, i8); 16],
}

impl Levels {
    /// Adds one; false if there is no room.
    pub fn push(&mut self, leg: MediaKey, dbov: i8) -> bool {
        let room = self.levels.get_mut(self.count);
        self.count += usize::from(room.is_some());
        room.map(|cell| *cell = (leg, dbov)).is_some()
    }

    /// Those added, in order.
    pub fn as_slice(&self) -> &[(MediaKey, i8)] {
        &self.levels[..self.count]
    }
}

/// Totals of one leg since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    /// What is received now.
    pub codec: Option<Format>,
    /// Where from.
    pub remote: Option<SocketAddr>,
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
    /// Not RTP, or of the wrong payload type or source.
    pub packets_rejected: u64,
    /// Encrypted packets, RTP or RTCP, that were not what the far side made or came again.
    pub packets_unauthentic: u64,
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
    /// How both directions fare, rated each second.
    pub vitals: Vitals,
}

/// How a worker fared in the last second. A worker without legs sends one that says so, and no more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerReport {
    /// Which worker.
    pub worker: usize,
    /// Ticks run.
    pub ticks: u64,
    /// Ticks that started over half a period late.
    pub late_ticks: u64,
    /// Legs it owns.
    pub legs: usize,
    /// Mixes it owns.
    pub mixes: usize,
    /// Legs of mixes that tick steadily, on average over the second; those of mixes that sleep cost next to nothing.
    pub active_legs: f32,
    /// Share of the second spent working, by the wall: being preempted counts. 0 to 1.
    pub busy: f32,
    /// The longest after a tick was due that it began.
    pub latest_start: Duration,
    /// The longest after the ticks of a wake-up were due that they were done.
    pub latest_end: Duration,
    /// Commands that waited when it last looked.
    pub queued_commands: usize,
    /// Events dropped because the bridge did not read them.
    pub dropped_events: u64,
}

impl WorkerReport {
    /// Deadline slack: the share of the time for ticks that is left when they are done, at the worst. 0 to 1.
    pub fn slack(&self) -> f32 {
        (1.0 - self.busy.max(self.lateness())).clamp(0.0, 1.0)
    }

    /// How late ticks were at the worst: 1 is half a period for a start, which counts as a late tick, or a whole one for
    /// the end.
    pub fn lateness(&self) -> f32 {
        let (start, end) = (self.latest_start * 2, self.latest_end);
        start.max(end).div_duration_f32(TICK)
    }
}
