//! A room in several parts, each on a thread of its own.
//!
//! ```text
//!  its seats ─▶ listen ─▶ choose ─▶ Σ own ─┬─▶ Share ─▶ the other parts
//!     the shares of the other parts ─▶ Σ ─ + ─▶ limit, encode, send ─▶ its seats
//! ```
//! A tick has two halves. In the first a part sums what is said at its own seats; the sum and who wants to be heard is its
//! [`Share`]. In the second it adds the shares of the others: only their sums, because one's own voice, which has to be
//! taken out, is always at hand.
//!
//! A part decides about its own seats only, and nobody waits for a decision. Those who were heard a tick ago are compared by
//! what was told of them then, which all parts know, and of two alike the older part's comes first: so all come to the same
//! order, and keep the same of them. Only who begins to be heard may be a voice more than there are places, for one tick.
//! The oldest part decides at what rate all mix.

use std::time::Instant;

use super::groups::Groups;
use super::{GroupId, MAX_FRAME, Mix};
use crate::floor::Held;
use crate::rtcp::{Named, Names};
use crate::rtp::Sources;

/// Names a part of a room, in the order in which they began: the first leads.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct PartId(pub u64);

/// What a part tells the others of one tick.
#[derive(Debug)]
pub struct Share {
    /// When the tick was due.
    pub tick: Instant,
    pub(super) rate: u32,
    /// Of the next tick but one, if this part leads.
    pub(super) next_rate: u32,
    /// Of its seats, what is of use at most, Hz.
    pub(super) source: Option<u32>,
    pub(super) listener: Option<u32>,
    pub(super) seats: usize,
    pub(super) rivals: Rivals,
    pub(super) sources: Sources,
    /// The name of one of them, another each tick: soon enough for reports each 5 s.
    pub(super) named: Option<Named>,
    pub(super) held: Option<Held>,
    /// How many voices `sum` is made of.
    pub(super) voices: usize,
    pub(super) sum: [i32; MAX_FRAME],
    /// The same for the groups beside the main one in which somebody speaks; most rooms have none.
    pub(super) groups: Vec<GroupShare>,
}

/// Memory for what is said in groups, to be used again: who hears of a tick gives it back.
#[derive(Debug, Default)]
pub struct GroupMemory(Vec<GroupShare>);

impl Share {
    /// A copy, made with memory that was used before.
    #[must_use]
    pub fn copy_with(&self, memory: GroupMemory) -> Self {
        let mut copy = Self { groups: memory.0, ..Self::new(self.tick) };
        copy.clone_from(self);
        copy
    }

    /// What is left of it when it was heard.
    #[must_use]
    pub fn into_memory(self) -> GroupMemory {
        GroupMemory(self.groups)
    }
}

impl Clone for Share {
    fn clone(&self) -> Self {
        self.copy_with(GroupMemory::default())
    }

    /// Allocates only where more groups speak than ever did.
    fn clone_from(&mut self, other: &Self) {
        let mut groups = std::mem::take(&mut self.groups);
        groups.clone_from(&other.groups);
        *self =
            Self { groups, rivals: other.rivals.clone(), sources: other.sources.clone(), ..*other };
    }
}

/// What is said in a group of a part.
#[derive(Clone, Copy, Debug)]
pub(super) struct GroupShare {
    group: GroupId,
    voices: usize,
    sum: [i32; MAX_FRAME],
}

impl GroupShare {
    pub(super) fn of((group, samples, voices): (GroupId, &[i32], usize)) -> Self {
        let mut sum = [0; MAX_FRAME];
        sum[..samples.len()].copy_from_slice(samples);
        Self { group, voices, sum }
    }
}

/// Somebody who is heard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    /// With the advantage of those who are heard already, dBov.
    pub(super) weight: f32,
    /// dBov.
    pub(super) loudness: f32,
    /// Whom it has to be louder than.
    pub(super) group: GroupId,
}

/// Those who are heard at a part; beyond [`Self::MOST`] nobody counts them.
#[derive(Clone, Debug)]
pub(super) struct Rivals {
    all: [Rival; Self::MOST],
    count: usize,
}

impl Rivals {
    const MOST: usize = 64;

    const NONE: Self = Self {
        all: [Rival { weight: 0.0, loudness: 0.0, group: GroupId::MAIN }; Self::MOST],
        count: 0,
    };

    pub(super) fn clear(&mut self) {
        self.count = 0;
    }

    pub(super) fn push(&mut self, rival: Rival) {
        if let Some(cell) = self.all.get_mut(self.count) {
            *cell = rival;
            self.count += 1;
        }
    }

    pub(super) fn as_slice(&self) -> &[Rival] {
        &self.all[..self.count]
    }
}

impl Share {
    /// Of a part that is silent and empty.
    pub fn new(tick: Instant) -> Self {
        Self {
            tick,
            rate: 8_000,
            next_rate: 8_000,
            source: None,
            listener: None,
            seats: 0,
            rivals: Rivals::NONE,
            sources: Sources::default(),
            named: None,
            held: None,
            voices: 0,
            sum: [0; MAX_FRAME],
            groups: Vec::new(),
        }
    }
}

/// What a part knows of the others.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) own: PartId,
    others: Vec<Other>,
    /// Decided by the part that leads, for the next tick to begin.
    pub(super) next_rate: Option<u32>,
}

/// Another part.
#[derive(Debug)]
struct Other {
    id: PartId,
    told: Share,
    /// `told` is of this tick.
    is_new: bool,
    /// In the tick before.
    before: Before,
    has_gone: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Before {
    Missing,
    Silent,
    Heard,
}

impl Parts {
    /// Of a room of which this is the part `own`.
    pub(super) fn new(own: PartId) -> Self {
        Self { own, others: Vec::new(), next_rate: None }
    }

    pub(super) fn leads(&self) -> bool {
        self.others.iter().all(|other| other.has_gone || self.own < other.id)
    }

    /// Seats at the other parts.
    pub(super) fn seats(&self) -> usize {
        self.others.iter().map(|other| other.told.seats).sum()
    }

    /// The highest rates of use to the other parts: what their sources have, and what their listeners can take.
    pub(super) fn rates(&self) -> (Option<u32>, Option<u32>) {
        let source = self.others.iter().filter_map(|other| other.told.source).max();
        (source, self.others.iter().filter_map(|other| other.told.listener).max())
    }

    /// Who was heard at the other parts, to be compared with own seats, and where.
    pub(super) fn rivals(&self) -> impl Iterator<Item = (PartId, Rival)> {
        self.others
            .iter()
            .flat_map(|other| other.told.rivals.as_slice().iter().map(|rival| (other.id, *rival)))
    }

    /// Who has the floor by what the other parts say, and whether that part comes before this one.
    pub(super) fn held(&self) -> Option<(Held, bool)> {
        let held = self.others.iter().filter_map(|other| Some((other.told.held?, other.id)));
        let newest = held.max_by_key(|&(held, id)| (held.since, std::cmp::Reverse(id)));
        newest.map(|(held, id)| (held, id < self.own))
    }

    /// Takes what a part tells; `rate` is the own one.
    pub(super) fn hear(&mut self, from: PartId, share: &Share, (now, rate): (Instant, u32)) {
        let at = self.others.iter().position(|other| other.id == from).unwrap_or_else(|| {
            self.others.push(Other::new(from, share.tick));
            self.others.len() - 1
        });
        let first = self.others.iter().map(|other| other.id).min();
        let other = &mut self.others[at];
        other.told.clone_from(share);
        other.has_gone = false;
        other.is_new = share.tick == now;
        if first == Some(from) && from < self.own && share.next_rate != rate {
            self.next_rate = Some(share.next_rate);
        }
    }

    /// A part has ended.
    pub(super) fn forget(&mut self, id: PartId) {
        if let Some(other) = self.others.iter_mut().find(|other| other.id == id) {
            other.has_gone = true;
            other.told = Share { sum: other.told.sum, ..Share::new(other.told.tick) };
        }
    }

    /// Adds what the others say in this tick; who is missed ends by a ramp. False once there are no others.
    pub(super) fn add_to(
        &mut self,
        (mix, groups): (&mut Mix, &mut Groups),
        (sources, names): (&mut Sources, &mut Names),
        rate: u32,
    ) -> bool {
        for other in &mut self.others {
            let is_new = std::mem::take(&mut other.is_new) && other.told.rate == rate;
            let sum = &mut other.told.sum[..mix.frame];
            let before = std::mem::replace(&mut other.before, Before::Missing);
            if is_new {
                let told_groups = &mut other.told.groups;
                if before == Before::Missing {
                    lead_in(sum);
                    for share in told_groups.iter_mut() {
                        lead_in(&mut share.sum[..mix.frame]);
                    }
                }
                let is_heard = other.told.voices > 0 || !told_groups.is_empty();
                other.before = if is_heard { Before::Heard } else { Before::Silent };
                sources.append(&other.told.sources);
                other.told.named.iter().for_each(|named| names.note(named));
                mix.add_sum(sum, other.told.voices);
                for share in &other.told.groups {
                    groups.add_told(share.group, &share.sum[..mix.frame], share.voices);
                }
            } else if before == Before::Heard && other.told.rate == rate {
                lead_out(sum);
                mix.add_sum(sum, 1);
                for share in &mut other.told.groups {
                    lead_out(&mut share.sum[..mix.frame]);
                    groups.add_told(share.group, &share.sum[..mix.frame], 1);
                }
            }
        }
        self.others.retain(|other| !other.has_gone);
        !self.others.is_empty()
    }
}

impl Other {
    fn new(id: PartId, tick: Instant) -> Self {
        Self { id, told: Share::new(tick), is_new: false, before: Before::Missing, has_gone: false }
    }
}

/// Begins in the middle of a sound.
fn lead_in(sum: &mut [i32]) {
    let half = sum.len() / 2;
    for (sample, at) in sum[..half].iter_mut().zip(0..) {
        *sample = scale(*sample, at, half);
    }
}

/// Makes of what was heard last what leads to silence: the same backwards and turned about its end, where neither value
/// nor slope jumps.
fn lead_out(sum: &mut [i32]) {
    let length = sum.len();
    let Some(&end) = sum.last() else { return };
    sum.reverse();
    sum.rotate_left(1);
    for (sample, at) in sum.iter_mut().zip(0..) {
        *sample = scale(2 * end - *sample, length - at, length);
    }
}

/// `part` of `whole`; a sum of few voices of 16 bits is exact in a float.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "at most 960 samples; a float to integer cast saturates"
)]
fn scale(sample: i32, part: usize, whole: usize) -> i32 {
    (sample as f32 * (part as f32 / whole as f32)) as i32
}
