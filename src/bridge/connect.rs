//! Attended transfer within the bridge (RFC 5589 §7): the transferor has two legs here, so those it talks to are put together
//! directly, without a call to ourselves.
//!
//! | first leg | second leg | then |
//! |---|---|---|
//! | call | call | the first's far party is in the second's call |
//! | call | room | the far party is in the room |
//! | room | call | the far party is in the room |
//! | room | room | refused: nobody may join two conferences together by hanging up |
//!
//! Whoever moves keeps its own settings, and its phone is told nothing. All is checked before anything is done.

use api::event::EventType;
use api::model::{LegId, TransferFailure};

use super::{Bridge, Place};

/// Who moves where when two legs of a transferor are connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Junction {
    movers: Vec<LegId>,
    to: Place,
}

impl Bridge {
    /// What connecting these two legs of one transferor means, or why it cannot be.
    pub(super) fn junction(&self, one: LegId, other: LegId) -> Result<Junction, TransferFailure> {
        let place = |id| {
            let leg = self.legs.get(&id).filter(|leg| leg.is_up());
            leg.map(|leg| leg.place).ok_or(TransferFailure::NoDialog)
        };
        let (first, second) = (place(one)?, place(other)?);
        if first == second {
            return Err(TransferFailure::SamePlace);
        }
        if [one, other].iter().any(|leg| self.is_transferring(*leg)) {
            return Err(TransferFailure::Pending);
        }
        let (movers, to) = match (first, second) {
            (Place::Room(_), Place::Room(_)) => return Err(TransferFailure::TwoRooms),
            (Place::Room(_), Place::Call(_)) => (self.others_in(second, other), first),
            (Place::Call(_), Place::Room(_) | Place::Call(_)) => {
                (self.others_in(first, one), second)
            }
        };
        let waits = matches!(to, Place::Call(_)) && self.others_in(second, other).is_empty();
        if movers.is_empty() || waits {
            return Err(TransferFailure::NobodyThere);
        }
        if let Place::Room(room) = to {
            self.takes_in(room, movers.len())?;
        }
        Ok(Junction { movers, to })
    }

    /// Whether a room has seats for these, one of which the transferor leaves.
    fn takes_in(&self, room: api::model::RoomId, movers: usize) -> Result<(), TransferFailure> {
        let room = self.rooms.get(&room).filter(|room| !room.ending);
        let room = room.ok_or(TransferFailure::NoDialog)?;
        let most = usize::try_from(room.max_participants).unwrap_or(usize::MAX);
        let will_be = room.legs.len() + movers - 1;
        if will_be <= most { Ok(()) } else { Err(TransferFailure::NoSeat) }
    }

    /// Puts together whom the junction names. The transferor's legs are still there.
    pub(super) fn connect(&mut self, junction: &Junction) {
        for mover in &junction.movers {
            self.move_to(*mover, junction.to);
        }
        if let Place::Call(call) = junction.to {
            self.call_happened(EventType::CallUpdated, call);
        }
    }

    /// A transfer of this leg is under way, asked by us or by it.
    pub(super) fn is_transferring(&self, leg: LegId) -> bool {
        self.refers_sent.values().any(|sent| sent.concerns(leg))
            || self.refers_carried.values().any(|carried| carried.by == Some(leg))
    }
}
