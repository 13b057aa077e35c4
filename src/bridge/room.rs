//! Conference rooms: names, settings, who may come in, and when they end.

use std::collections::{BTreeMap, VecDeque};

use api::model::{self, LeftReason, LegId, RoomId, RoomOrigin, RoomState};
use jiff::Timestamp;

use super::company::Company;
use super::followers::Roster;
use super::groups::Groups;
use super::lasting::Lasting;
use super::limits::{Limit, Scope};
use super::manners::Manners;
use crate::media::command::MixKey;

/// An open room. Its legs are those whose place it is; they are not listed twice.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings of a resource")]
pub(super) struct Room {
    pub(super) id: RoomId,
    pub(super) name: String,
    pub(super) mix: MixKey,
    pub(super) locked: bool,
    pub(super) ad_hoc: bool,
    pub(super) end_when_empty: bool,
    pub(super) max_participants: u32,
    pub(super) contributors: u32,
    pub(super) manners: Manners,
    /// Who hears whom.
    pub(super) groups: Groups,
    /// Where those sit who wait before it.
    pub(super) lobby: MixKey,
    /// What it does by itself.
    pub(super) company: Company,
    pub(super) legs: Vec<LegId>,
    pub(super) left: VecDeque<model::Participant>,
    pub(super) ending: bool,
    /// Who is told of it by SIP.
    pub(super) roster: Roster,
    /// Who speaks, or spoke last.
    pub(super) floor: Option<LegId>,
    /// Rises with each change of a setting.
    pub(super) revision: u64,
    pub(super) created_at: Timestamp,
    pub(super) created_by: RoomOrigin,
    pub(super) book: Book,
    pub(super) lasting: Lasting,
}

/// What will be remembered of a room.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) first_leg: Option<LegId>,
    present: u32,
    pub(super) peak: u32,
    pub(super) joined: u32,
    /// By the `reason` of `room.join_rejected`, of which there are a few dozen.
    pub(super) refused: BTreeMap<String, u32>,
}

impl Book {
    /// Somebody has joined.
    pub(super) fn came(&mut self) {
        self.joined += 1;
        self.present += 1;
        self.peak = self.peak.max(self.present);
    }

    /// Somebody has joined in the place of another.
    pub(super) fn took_over(&mut self) {
        self.joined += 1;
    }

    /// Somebody who had joined has left.
    pub(super) fn went(&mut self) {
        self.present = self.present.saturating_sub(1);
    }

    pub(super) fn refused(&mut self, reason: &str) {
        *self.refused.entry(reason.to_owned()).or_default() += 1;
    }
}

impl Room {
    /// As the API shows it; `joined` is how many of its legs are answered.
    pub(super) fn view(&self, joined: u32) -> model::Room {
        model::Room {
            id: self.id,
            name: self.name.clone(),
            state: RoomState::Open,
            locked: self.locked,
            ad_hoc: self.ad_hoc,
            end_when_empty: self.end_when_empty,
            max_participants: self.max_participants,
            contributors: self.contributors,
            participants: joined,
            floor: self.floor,
            settings: self.manners.view(),
            groups: self.groups.view(),
            kept: self.is_kept(),
            revision: self.revision,
            created_at: self.created_at,
            ended_at: None,
        }
    }

    /// Whether one more caller may come in.
    pub(super) fn admit(&self) -> Result<(), Refusal> {
        self.is_open()?;
        self.has_seat()
    }

    /// Whether callers may come in, were there seats.
    pub(super) fn is_open(&self) -> Result<(), Refusal> {
        if self.ending {
            return Err(Refusal::Ending);
        }
        if self.locked {
            return Err(Refusal::Locked);
        }
        Ok(())
    }

    /// Whether a seat is free, lock or not.
    pub(super) fn has_seat(&self) -> Result<(), Refusal> {
        let taken = u32::try_from(self.legs.len()).unwrap_or(u32::MAX);
        if taken < self.max_participants { Ok(()) } else { Err(Refusal::Full) }
    }

    /// Remembers somebody who left, dropping the oldest beyond `keep`.
    pub(super) fn remember(&mut self, participant: model::Participant, keep: usize) {
        if self.left.len() >= keep {
            self.left.pop_front();
        }
        self.left.push_back(participant);
    }
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// No such room, and none may be made.
    NotFound,
    /// Locked.
    Locked,
    /// No seat left.
    Full,
    /// About to end.
    Ending,
    /// It opens later.
    NotOpen,
    /// The bridge has all the rooms or legs it may have.
    Overloaded,
    /// The media threads would be late with one more leg.
    Saturated {
        /// When to come again; not the same for all.
        retry_after_s: u32,
    },
    /// More new calls a second than allowed.
    TooFast,
    /// The bridge is stopping.
    Draining,
    /// The dialog to take over or to join is none of ours, or not one that can be.
    NoDialog,
    /// It was one of ours.
    DialogEnded,
    /// It is confirmed, and was to be taken over only if it is not.
    NotEarly,
    /// Another call is about to take it over.
    Contended,
    /// It is somebody else's, or none may be taken over.
    NotAllowed,
    /// A limit of calls.
    Limited(Limit, Scope),
}

impl Refusal {
    /// What the caller is told: status, and Retry-After in seconds where it helps.
    pub(super) fn answer(self) -> (u16, &'static str, Option<u32>) {
        match self {
            Self::NotFound => (404, "No such room", None),
            Self::Locked => (403, "The room is locked", None),
            Self::Full => (486, "The room is full", None),
            Self::Ending => (480, "The room is ending", None),
            Self::NotOpen => (480, "The room is not open yet", Some(60)),
            Self::Overloaded => (503, "All lines are busy", Some(10)),
            Self::Saturated { retry_after_s } => (503, "No media capacity", Some(retry_after_s)),
            Self::TooFast => (503, "Too many calls at once", Some(1)),
            Self::Draining => (503, "Stopping", Some(60)),
            Self::NoDialog => (481, "No such dialog", None),
            Self::DialogEnded => (603, "The dialog has ended", None),
            Self::NotEarly => (486, "The dialog is confirmed", None),
            Self::Contended => (491, "Another call takes it over", None),
            Self::NotAllowed => (403, "Not your dialog", None),
            Self::Limited(limit, scope) => limit.answer(scope),
        }
    }

    /// The `reason` of `room.join_rejected`.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Locked => "locked",
            Self::Full => "full",
            Self::Ending => "ending",
            Self::NotOpen => "not_open",
            Self::Overloaded => "overloaded",
            Self::Saturated { .. } => "no_capacity",
            Self::TooFast => "too_many_calls",
            Self::Draining => "draining",
            Self::NoDialog => "no_dialog",
            Self::DialogEnded => "dialog_ended",
            Self::NotEarly => "not_early",
            Self::Contended => "contended",
            Self::NotAllowed => "not_allowed",
            Self::Limited(limit, _) => limit.name(),
        }
    }
}

/// What a failed dial-out or a broken dialog means, from the SIP status.
pub(super) fn reason_of(status: u16) -> LeftReason {
    match status {
        486 | 600 => LeftReason::Busy,
        408 | 480 => LeftReason::NoAnswer,
        404 | 410 | 484 | 485 | 604 => LeftReason::NotFound,
        415 | 488 | 606 => LeftReason::Incompatible,
        401 | 403 | 407 | 603 | 607 | 608 => LeftReason::Declined,
        487 => LeftReason::Cancelled,
        500..=599 => LeftReason::Unreachable,
        _ => LeftReason::Failed,
    }
}
