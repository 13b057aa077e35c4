//! The end of many legs, a few a turn, so that what else is asked meanwhile is served between.
//!
//! ```text
//!  end of a room, shutdown ─▶ hang up some ─▶ legs left? ─no─▶ room.ended, answer who waits
//!                                  ▲               └─yes─▶ after PAUSE ─┐
//!                                  └────────────────────────────────────┘
//! ```
//! Nobody joins a room that is being ended. Who asked for it is answered once it has ended.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use api::control::Reply;
use api::event::{Data, EventType};
use api::model::{self, LeftReason, LegId, RoomEndReason, RoomId, RoomState};

use super::{Bridge, Draining, Hearer, Subject};

/// Rooms that are being ended, and when to go on.
#[derive(Debug, Default)]
pub(super) struct Endings {
    rooms: VecDeque<Ending>,
    pub(super) due: Option<Instant>,
}

impl Endings {
    pub(super) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

/// A room that is being ended.
#[derive(Debug)]
struct Ending {
    room: RoomId,
    /// No more than commands come until it has ended.
    waiting: Vec<Waiting>,
}

/// Somebody who asked for the end of a room.
#[derive(Debug)]
pub(super) enum Waiting {
    /// Wants to see it as it ended.
    ToSee(Reply<model::Room>),
    /// Wants it forgotten.
    ToForget(Reply<()>),
}

impl Bridge {
    /// Begins to hang up everybody and to close the room; a small one has ended at the end of this turn.
    pub(super) fn end_room(&mut self, id: RoomId, waiting: Option<Waiting>) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.ending = true;
        self.endings.due = Some(self.now);
        let rooms = &mut self.endings.rooms;
        match rooms.iter_mut().find(|ending| ending.room == id) {
            Some(ending) => ending.waiting.extend(waiting),
            // Ahead of those that take longer.
            None => rooms.push_front(Ending { room: id, waiting: waiting.into_iter().collect() }),
        }
    }

    /// Hangs up all legs there are.
    pub(super) fn hang_up_all(&mut self) {
        self.draining = Draining::HangingUp;
        self.endings.due = Some(self.now);
    }

    /// Hangs up as many as one turn may, if that is due.
    pub(super) fn hang_up_some(&mut self) {
        if self.endings.due.is_none_or(|due| due > self.now) {
            return;
        }
        let mut left = SLICE;
        while left > 0
            && let Some(ending) = self.endings.rooms.pop_front()
        {
            left -= self.end_some(ending, left);
        }
        if self.draining == Draining::HangingUp {
            for leg in self.legs.keys().take(left).copied().collect::<Vec<_>>() {
                self.end_leg(leg, LeftReason::Shutdown, None);
            }
        }
        let goes_on = !self.endings.is_empty()
            || (self.draining == Draining::HangingUp && !self.legs.is_empty());
        self.endings.due = goes_on.then(|| self.now + PAUSE);
    }

    /// Ends up to `most` legs of a room, and the room after its last; says how much of a turn that took.
    fn end_some(&mut self, ending: Ending, most: usize) -> usize {
        let Some(room) = self.rooms.get(&ending.room) else { return 0 };
        let legs: Vec<LegId> = room.legs.iter().take(most).copied().collect();
        let is_last = legs.len() == room.legs.len();
        for leg in &legs {
            if !self.bring_back(*leg) {
                self.end_leg(*leg, LeftReason::RoomEnded, None);
            }
        }
        if is_last {
            self.close_room(ending.room, RoomEndReason::Ended);
            self.answer_ended(ending.room, ending.waiting);
        } else {
            self.endings.rooms.push_back(ending);
        }
        legs.len().max(1) // to close a room takes time, too
    }

    /// Closes a room in which nobody is left.
    pub(super) fn close_room(&mut self, id: RoomId, reason: RoomEndReason) {
        let Some(mut room) = self.rooms.remove(&id) else { return };
        self.room_gone(&mut room);
        self.hearer_gone(Hearer::Room(id));
        self.hearer_gone(Hearer::Lobby(id));
        self.names.remove(&room.name);
        self.leave_followers(&room);
        let mut view = room.view(0);
        view.state = RoomState::Ended;
        view.ended_at = Some(self.wall());
        let subject = Subject { room: Some(id), ..Subject::default() };
        self.happened(EventType::RoomEnded, subject, Data::of(&view));
        self.remember_room(&room, reason);
        self.history.room(view, room.left.into());
    }

    pub(super) fn answer_waiting(&mut self, room: RoomId, waiting: Vec<Waiting>) {
        for waiting in waiting {
            match waiting {
                Waiting::ToSee(reply) => reply.send(self.api_room(&room.to_string())),
                Waiting::ToForget(reply) => {
                    self.history.rooms.remove(&room);
                    reply.send(Ok(()));
                }
            }
        }
    }
}

/// Legs that one turn ends: 3 to 5 ms of work, with their events written and their packets sent.
const SLICE: usize = 64;
/// From the beginning of one such turn to the next; the rest of it is for everybody else.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
