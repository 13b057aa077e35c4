//! The encoders of a room: one for each encoding that silent listeners share, one for each who talks.

use super::groups::WayId;
use crate::codec::Encoding;
use crate::limiter::Limiter;
use crate::outlet::Outlet;

/// Names an outlet of a room.
pub(super) type OutletId = usize;

/// Every outlet of a room; unused ones keep their memory for the next who needs it.
#[derive(Debug, Default)]
pub(super) struct Outlets(Vec<Entry>);

/// An outlet and who uses it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) outlet: Outlet,
    /// Of a mix of its own; the common mix has one in the room.
    pub(super) limiter: Limiter,
    pub(super) members: usize,
    /// The worst loss a member reported, percent.
    pub(super) loss: u8,
    pub(super) shared: bool,
    /// How its members hear.
    pub(super) way: WayId,
}

impl Outlets {
    pub(super) fn get(&self, id: OutletId) -> &Entry {
        &self.0[id]
    }

    pub(super) fn get_mut(&mut self, id: OutletId) -> &mut Entry {
        &mut self.0[id]
    }

    /// Those with members.
    pub(super) fn used(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().filter(|entry| entry.members > 0)
    }

    /// The highest rate that any of them can use, Hz.
    pub(super) fn rate(&self) -> Option<u32> {
        let used = self.0.iter().filter(|entry| entry.members > 0);
        used.map(|entry| entry.outlet.encoding().format.sample_rate()).max()
    }

    /// Tells each encoder the worst loss that its members `reported`, so that it protects what it sends.
    pub(super) fn expect_loss(&mut self, reported: impl Iterator<Item = (OutletId, u8)>) {
        for entry in &mut self.0 {
            entry.loss = 0;
        }
        for (id, percent) in reported {
            self.0[id].loss = self.0[id].loss.max(percent);
        }
        for entry in self.used() {
            entry.outlet.expect_loss(entry.loss);
        }
    }

    pub(super) fn set_rate(&mut self, rate: u32) {
        for entry in &mut self.0 {
            entry.outlet.set_rate(rate);
        }
    }

    /// Joins the group of an encoding, or begins it; `None` if there is no such encoder.
    pub(super) fn join(
        &mut self,
        encoding: &Encoding,
        way: WayId,
        (rate, ticks): (u32, u64),
    ) -> Option<OutletId> {
        if let Some(id) = self.find_shared(encoding, way) {
            self.0[id].members += 1;
            return Some(id);
        }
        let outlet = Outlet::new(*encoding, rate, ticks).ok()?;
        let entry =
            Entry { outlet, limiter: Limiter::default(), members: 1, loss: 0, shared: true, way };
        Some(self.place(entry))
    }

    /// Leaves; an outlet without members makes nothing.
    pub(super) fn leave(&mut self, id: OutletId) {
        self.0[id].members -= 1;
    }

    /// Sees to it that a member is sent what it hears now: it leaves those who hear as it did, and their stream goes on for it.
    pub(super) fn follow(&mut self, id: OutletId, way: WayId, limiter: &Limiter) -> OutletId {
        if self.0[id].way == way {
            return id;
        }
        let id = if self.0[id].shared { self.split(id, limiter) } else { id };
        self.0[id].way = way;
        id
    }

    /// Takes a member out of its group together with a copy of the group's stream.
    pub(super) fn split(&mut self, id: OutletId, limiter: &Limiter) -> OutletId {
        let entry = &mut self.0[id];
        entry.limiter = limiter.clone();
        if entry.members == 1 {
            entry.shared = false;
            return id;
        }
        entry.members -= 1;
        let (encoding, way) = (*entry.outlet.encoding(), entry.way);
        if let Some(spare) = self.spare(&encoding)
            && let Ok([spare_entry, entry]) = self.0.get_disjoint_mut([spare, id])
        {
            spare_entry.outlet.clone_from(&entry.outlet);
            spare_entry.limiter = limiter.clone();
            (spare_entry.members, spare_entry.shared, spare_entry.way) = (1, false, way);
            return spare;
        }
        let outlet = self.0[id].outlet.clone();
        let limiter = limiter.clone();
        self.place(Entry { outlet, limiter, members: 1, loss: 0, shared: false, way })
    }

    /// Puts a member that hears the common mix again back into its group, or makes it one.
    pub(super) fn rejoin(&mut self, id: OutletId) -> OutletId {
        let (encoding, way) = (*self.0[id].outlet.encoding(), self.0[id].way);
        let Some(group) = self.find_shared(&encoding, way) else {
            self.0[id].shared = true;
            return id;
        };
        self.leave(id);
        self.0[group].members += 1;
        group
    }

    fn find_shared(&self, encoding: &Encoding, way: WayId) -> Option<OutletId> {
        self.0.iter().position(|entry| {
            entry.members > 0
                && entry.shared
                && entry.way == way
                && entry.outlet.encoding() == encoding
        })
    }

    /// An unused outlet of the same codec, whose memory fits.
    fn spare(&self, encoding: &Encoding) -> Option<OutletId> {
        self.0.iter().position(|entry| entry.members == 0 && entry.outlet.encoding() == encoding)
    }

    fn place(&mut self, entry: Entry) -> OutletId {
        let unused = self.0.iter().filter(|entry| entry.members == 0).count();
        if unused > MAX_SPARES
            && let Some(id) = self.0.iter().position(|entry| entry.members == 0)
        {
            self.0[id] = entry;
            return id;
        }
        self.0.push(entry);
        self.0.len() - 1
    }
}

/// Unused outlets kept for reuse.
const MAX_SPARES: usize = 8;
