//! One leg: a SIP dialog, its media, and how it takes part.
//!
//! ```text
//!  inbound:   Opening ──ports──▶ (answered) ─────────▶ Up ──▶ gone
//!                                └ no offer ▶ Confirming ─ACK┘
//!             and if a route takes it: Opening ──ports──▶ Waiting ─callee answers─▶ (answered)
//!  outbound:  Resolving ─▶ Opening ──▶ Dialing ─180─▶ Ringing ─200─▶ Up ──▶ gone
//! ```

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use api::model::{
    self, CallId, Direction, EarlyMedia, HeldBy, LegId, LegState, MutedBy, ParticipantState, Role,
    Supervision,
};
use bytes::Bytes;
use jiff::Timestamp;
use mixer::codec::Format;

use crate::media::command::{EchoPath, MediaKey, Seat, Statistics};
use crate::sdp::{self, Negotiation};
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::{ReferId, SessionId};
use crate::sip::headers::Name;
use crate::sip::locate::Locator;
use crate::sip::uri::Uri;
use crate::sip::{Message, Method};

use super::early::Early;
use super::excursion::Excursion;
use super::gate::Gate;
use super::groups::{Circle, Coached, supervision_of};
use super::identity::Identity;
use super::menu::Keys;
use super::policy::Infos;
use super::{MediaRules, Place, Settings, quality};

/// A live leg. It is dropped when it ends; [`super::history`] keeps what can be read afterwards.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) id: LegId,
    pub(super) call: Option<CallId>,
    pub(super) place: Place,
    pub(super) direction: Direction,
    pub(super) stage: Stage,
    pub(super) session: Option<SessionId>,
    /// Its dialog, once it takes part.
    pub(super) dialog: Option<DialogId>,
    /// The user that its caller proved to be.
    pub(super) user: Option<String>,
    /// The user whose phone it leads to.
    pub(super) owner: Option<String>,
    pub(super) media: MediaKey,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) display_name: Option<String>,
    /// Whether its phone takes messages.
    pub(super) texts: Texts,
    /// Whether subscribers learn who it is.
    pub(super) privacy: Privacy,
    pub(super) named_by: NamedBy,
    pub(super) transport: &'static str,
    pub(super) sip_call_id: String,
    pub(super) negotiation: Option<Negotiation>,
    /// Whether its phone takes digits by INFO.
    pub(super) infos: Infos,
    /// Media with whoever it is.
    pub(super) media_rules: MediaRules,
    pub(super) controls: Controls,
    /// By how much all but what is played to it is lowered, dB.
    pub(super) duck_db: f32,
    /// Among whom it sits, if that is not all who are there.
    pub(super) circle: Option<Box<Circle>>,
    pub(super) hold: Hold,
    /// What it waits for before it joins its room.
    pub(super) gate: Option<Gate>,
    /// Keys that do nothing yet.
    pub(super) keys: Keys,
    /// Since when it asks to speak.
    pub(super) hand: Option<Timestamp>,
    /// They were moved here for a while.
    pub(super) excursion: Option<Excursion>,
    /// From where its caller's messages come.
    pub(super) peer: Option<IpAddr>,
    /// What came before the 200.
    pub(super) early: Option<Box<Early>>,
    /// Whether the other party of its call hears that.
    pub(super) early_media: EarlyMedia,
    /// The same for those whom the INVITE offered otherwise: a user's browsers beside its phones.
    pub(super) alternative: Option<Box<Negotiation>>,
    /// Until when it may ring, if we call it.
    pub(super) rings_until: Option<Instant>,
    /// Which of those that we called has answered.
    pub(super) answered_by: Option<String>,
    /// An offer of ours waits for its answer.
    pub(super) offering: bool,
    /// We want to offer and must wait for another exchange to end.
    pub(super) reoffer: bool,
    pub(super) talking: bool,
    pub(super) level: Option<i8>,
    /// It returns what it is sent.
    pub(super) echo: Option<EchoPath>,
    pub(super) codec: Option<Format>,
    /// How its media is encrypted; not before DTLS has made the keys, where it is to.
    pub(super) srtp: Option<&'static str>,
    pub(super) statistics: Statistics,
    pub(super) created_at: Timestamp,
    pub(super) answered_at: Option<Timestamp>,
    /// Rises with each change of what can be set of a participant.
    pub(super) revision: u64,
    pub(super) joined_at: Option<Timestamp>,
    pub(super) transfer: Option<model::TransferState>,
    /// The phone's REFER that this leg carries out.
    pub(super) carries: Option<ReferId>,
    /// The leg whose seat it takes when it is answered.
    pub(super) replaces: Option<LegId>,
    /// The leg whose seat it took.
    pub(super) replaced: Option<LegId>,
    /// The leg that took its seat.
    pub(super) replaced_by: Option<LegId>,
    pub(super) last_key: Option<Key>,
}

/// Where a leg is in its life, with what only that state needs.
#[derive(Debug)]
pub(super) enum Stage {
    /// We look for the servers of the host to call.
    Resolving { dial: Dial, locator: Box<Locator> },
    /// Ports are being bound for somebody who calls us and sees us at this address.
    Answering { offer: Option<Bytes>, address: IpAddr },
    /// A caller whose call a route takes.
    Waiting(Answer),
    /// Ports are being bound for somebody we call.
    Opening { dial: Dial, address: IpAddr },
    /// INVITE sent.
    Dialing,
    /// Their phone rings.
    Ringing,
    /// We answered with an offer; their answer comes with the ACK.
    Confirming,
    /// Answered both ways.
    Up,
}

/// What a caller gets once somebody has answered it.
#[derive(Debug)]
pub(super) enum Answer {
    /// An offer, since it made none.
    Offer,
    /// This answer to its offer.
    Kept(Bytes),
    /// The same; early media has made us tell it already, and it cannot change (RFC 3264 §4).
    Told(Bytes),
}

impl Answer {
    /// What to tell before anybody has answered, and whether for the first time.
    pub(super) fn tell(&mut self) -> Option<(Bytes, bool)> {
        let (answer, is_first) = match self {
            Self::Offer => return None,
            Self::Kept(answer) => (answer.clone(), true),
            Self::Told(answer) => (answer.clone(), false),
        };
        *self = Self::Told(answer.clone());
        Some((answer, is_first))
    }
}

/// Whether a phone takes MESSAGE, as its Allow says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Texts {
    Taken,
    Refused,
}

impl Texts {
    pub(super) fn of(message: &Message) -> Self {
        let takes = message.headers.has_token(&Name::Allow, Method::Message.as_str());
        if takes { Self::Taken } else { Self::Refused }
    }
}

/// Whether our offer is for a browser: with DTLS and ICE.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Web {
    Offered,
    NotOffered,
}

/// Whether others may learn who a caller is (RFC 3323).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Privacy {
    /// They may.
    Shown,
    /// It asked that they do not.
    Hidden,
}

/// Whom to call and how.
#[derive(Clone, Debug)]
pub(super) struct Dial {
    pub(super) target: Uri,
    pub(super) from: Caller,
    pub(super) codecs: Vec<Format>,
    /// The trunk that it goes through.
    pub(super) trunk: Option<usize>,
    /// More headers of the INVITE.
    pub(super) headers: Vec<(String, String)>,
}

/// Whom we say we are.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// This URI.
    Uri(Uri),
    /// This user at our address.
    User(String),
    /// Nobody said: this name at our address, or whoever a trunk knows us as.
    Unsaid(String),
    /// Who called us, and goes on by a route.
    Routed(Box<Identity>),
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => uri.fmt(f),
            Self::User(user) | Self::Unsaid(user) => f.write_str(user),
            Self::Routed(identity) => identity.shown().uri.fmt(f),
        }
    }
}

/// Where a display name comes from: one that the API gave is that of the seat, not of who sits there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NamedBy {
    /// The far side, or nobody.
    Phone,
    /// The API.
    Api,
}

impl NamedBy {
    pub(super) fn api(is_named: bool) -> Self {
        if is_named { Self::Api } else { Self::Phone }
    }
}

/// What the API set.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings of a resource")]
pub(super) struct Controls {
    pub(super) muted: bool,
    /// While it is.
    pub(super) muted_by: Option<MutedBy>,
    /// It was asked to speak: its own key unmutes it, whoever has muted it.
    pub(super) is_asked: bool,
    pub(super) deaf: bool,
    pub(super) role: Role,
    pub(super) gain_in_db: f32,
    pub(super) gain_out_db: f32,
    pub(super) agc: bool,
    pub(super) noise_suppression: bool,
    pub(super) echo_suppression: bool,
    /// `None`: main.
    pub(super) group: Option<String>,
    /// Whom it coaches.
    pub(super) coaching: Option<Coached>,
    /// As the API asked for, if it is a coach.
    pub(super) supervision: Option<Supervision>,
}

impl Controls {
    /// Of a leg about which the API said nothing.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            muted: false,
            muted_by: None,
            is_asked: false,
            deaf: false,
            role: Role::default(),
            gain_in_db: 0.0,
            gain_out_db: 0.0,
            agc: settings.agc,
            noise_suppression: settings.noise_suppression,
            echo_suppression: settings.echo_suppression,
            group: None,
            coaching: None,
            supervision: None,
        }
    }
}

/// Who holds the leg.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Hold {
    pub(super) local: bool,
    pub(super) remote: bool,
}

impl Hold {
    pub(super) fn by(self) -> Option<HeldBy> {
        match (self.local, self.remote) {
            (false, false) => None,
            (true, false) => Some(HeldBy::Local),
            (false, true) => Some(HeldBy::Remote),
            (true, true) => Some(HeldBy::Both),
        }
    }
}

/// A key press, kept to count a digit once that a phone sends both ways.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) digit: char,
    pub(super) source: KeySource,
    pub(super) at: Instant,
}

/// How a digit came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum KeySource {
    /// RFC 4733.
    Rtp,
    /// RFC 2976 INFO.
    Info,
}

impl KeySource {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Rtp => "rfc4733",
            Self::Info => "info",
        }
    }
}

impl Leg {
    /// Answered and not ended.
    pub(super) fn is_up(&self) -> bool {
        matches!(self.stage, Stage::Up)
    }

    /// Whether it takes digits by RFC 4733.
    pub(super) fn takes_events(&self) -> bool {
        let plan = self.negotiation.as_ref().and_then(Negotiation::plan);
        plan.is_some_and(|plan| plan.send_events.is_some())
    }

    /// Whether our INVITE has no final response yet.
    pub(super) fn is_dialing(&self) -> bool {
        matches!(self.stage, Stage::Dialing | Stage::Ringing)
    }

    /// What it is to be offered, should its INVITE have no offer.
    pub(super) fn web(&self) -> Web {
        if self.transport.starts_with("ws") { Web::Offered } else { Web::NotOffered }
    }

    /// The most that our side wants to send and hear: a held leg could be played music, so we keep sending.
    pub(super) fn wish(&self) -> sdp::Direction {
        if self.hold.local { sdp::Direction::SendOnly } else { sdp::Direction::SendRecv }
    }

    /// How it takes part in the mix. A held phone may send its own music, which a room must not hear.
    pub(super) fn seat(&self) -> Seat {
        let held = self.hold.by().is_some();
        let circle = self.circle.as_deref().filter(|_| self.gate.is_none());
        let Circle { group, hearing, is_silent } = circle.copied().unwrap_or_default();
        Seat {
            muted: held
                || is_silent
                || self.gate.is_some()
                || self.controls.muted
                || self.controls.role == Role::Listener,
            deaf: held || self.controls.deaf,
            gain_in_db: self.controls.gain_in_db,
            gain_out_db: self.controls.gain_out_db - self.duck_db,
            agc: self.controls.agc,
            noise_suppression: self.controls.noise_suppression,
            echo_suppression: self.controls.echo_suppression,
            group,
            hearing,
        }
    }

    /// The far party's address.
    pub(super) fn remote(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.from,
            Direction::Outbound => &self.to,
        }
    }

    /// Our address in this leg.
    pub(super) fn local(&self) -> &str {
        match self.direction {
            Direction::Inbound => &self.to,
            Direction::Outbound => &self.from,
        }
    }

    /// As the API shows a leg.
    pub(super) fn view(&self) -> model::Leg {
        model::Leg {
            id: self.id,
            call: self.call,
            room: self.place.room(),
            direction: self.direction,
            state: self.state(),
            from: self.from.clone(),
            to: self.to.clone(),
            answered_by: self.answered_by.clone(),
            display_name: self.display_name.clone(),
            transport: self.transport.to_owned(),
            sip_call_id: self.sip_call_id.clone(),
            codec: self.codec.map(|codec| codec.to_string()),
            srtp: self.srtp.map(str::to_owned),
            held: self.hold.by().is_some(),
            held_by: self.hold.by(),
            muted: self.controls.muted,
            transfer: self.transfer,
            quality: quality::in_short(&self.statistics.vitals),
            echo: self.echo.map(|path| model::LegEcho {
                delay_ms: quality::ms(path.delay),
                level_db: path.level_db,
            }),
            created_at: self.created_at,
            answered_at: self.answered_at,
            ended_at: None,
            end_reason: None,
            sip: None,
        }
    }

    fn state(&self) -> LegState {
        match self.stage {
            Stage::Resolving { .. }
            | Stage::Opening { .. }
            | Stage::Answering { .. }
            | Stage::Dialing => LegState::Dialing,
            Stage::Ringing | Stage::Waiting(_) => LegState::Ringing,
            Stage::Confirming | Stage::Up => LegState::Answered,
        }
    }

    /// As the API shows a participant of `room`.
    pub(super) fn participant(&self, room: model::RoomId) -> model::Participant {
        model::Participant {
            leg: self.id,
            room,
            state: match self.state() {
                LegState::Dialing => ParticipantState::Dialing,
                LegState::Ringing => ParticipantState::Ringing,
                LegState::Answered if self.gate.is_some() => ParticipantState::Waiting,
                LegState::Answered => ParticipantState::Joined,
                LegState::Ended => ParticipantState::Left,
            },
            direction: self.direction,
            uri: self.remote().to_owned(),
            display_name: self.display_name.clone(),
            role: self.controls.role,
            muted: self.controls.muted,
            muted_by: self.controls.muted_by.filter(|_| self.controls.muted),
            hand_raised_at: self.hand,
            returns_at: self.excursion.map(|excursion| excursion.returns_at),
            waiting_for: self.gate.as_ref().map(Gate::waits_for),
            deaf: self.controls.deaf,
            held: self.hold.by().is_some(),
            held_by: self.hold.by(),
            gain_in_db: self.controls.gain_in_db,
            gain_out_db: self.controls.gain_out_db,
            agc: self.controls.agc,
            noise_suppression: self.controls.noise_suppression,
            echo_suppression: self.controls.echo_suppression,
            group: self.controls.group.clone(),
            coaching: self.controls.coaching.as_ref().map(Coached::to_string),
            supervision: supervision_of(&self.controls),
            talking: self.talking,
            level_dbov: self.level,
            codec: self.codec.map(|codec| codec.to_string()),
            revision: self.revision,
            joined_at: self.joined_at,
            left_at: None,
            left_reason: None,
            sip: None,
        }
    }
}
