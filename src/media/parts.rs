//! How the parts of a mix, each on a worker of its own, hear each other.
//!
//! ```text
//!            begin_tick ─▶ tell ──┐                      ┌──▶ end_tick    worker 0
//!   due ─────────────────────────▶│ shares both ways ───▶│
//!            begin_tick ─▶ tell ──┘   (at most PATIENCE) └──▶ end_tick    worker 1
//! ```
//! Who is done first goes on with other work and is woken by the last. Between two parts is a ring each way; one that
//! nobody empties is not filled.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mixer::room::{GroupMemory, PartId, Room, Share, TICK};
use rtrb::PushError;

use super::command::MixKey;
use super::mix::next_deadline;
use super::worker::Peer;

/// What a part tells another in a tick.
#[derive(Debug)]
struct Told {
    share: Share,
    /// Nobody there sent RTP lately: nobody needs to wait for it.
    rests: bool,
    /// That of the last share which the peer told.
    memory: GroupMemory,
}

/// A part's end of the way to another.
pub(super) struct Link {
    pub(super) mix: MixKey,
    pub(super) own: PartId,
    peer: PartId,
    /// The worker of the peer.
    worker: usize,
    outgoing: rtrb::Producer<Told>,
    incoming: rtrb::Consumer<Told>,
    /// The peer wants to be woken by what it is told next.
    peer_waits: Arc<AtomicBool>,
    waits: Arc<AtomicBool>,
    /// Ticks for which we waited in vain, or did not wait.
    missed: u8,
    rests: bool,
    /// Tick of the last share.
    tick: Option<Instant>,
    /// For the next share that is told.
    spare: GroupMemory,
    /// Of the last share that was heard.
    used: GroupMemory,
}

/// The way between two parts of `mix`, each with its worker.
pub(super) fn link(mix: MixKey, first: (PartId, usize), second: (PartId, usize)) -> [Link; 2] {
    let (to_second, from_first) = rtrb::RingBuffer::new(RING);
    let (to_first, from_second) = rtrb::RingBuffer::new(RING);
    let first_waits = Arc::new(AtomicBool::new(false));
    let second_waits = Arc::new(AtomicBool::new(false));
    let end = |own: PartId, (peer, worker), outgoing, incoming, peer_waits, waits| Link {
        mix,
        own,
        peer,
        worker,
        outgoing,
        incoming,
        peer_waits,
        waits,
        missed: MOST_MISSED,
        rests: true,
        tick: None,
        spare: GroupMemory::default(),
        used: GroupMemory::default(),
    };
    let waits = (Arc::clone(&first_waits), Arc::clone(&second_waits));
    [
        end(first.0, second, to_second, from_second, second_waits, first_waits),
        end(second.0, first, to_first, from_first, waits.0, waits.1),
    ]
}

impl Link {
    fn note(&mut self, told: &Told) {
        (self.tick, self.rests, self.missed) = (Some(told.share.tick), told.rests, 0);
    }

    /// Has the peer wake us; true if that is not needed any more.
    fn wait(&self, tick: Instant) -> bool {
        self.waits.store(true, Ordering::SeqCst);
        self.is_there(tick)
    }

    /// False for one whose part has ended or stalled, or says nothing anyway.
    fn is_awaited(&self) -> bool {
        self.missed < MOST_MISSED && !self.rests
    }

    /// What the peer told of a tick not before `tick` is here.
    fn is_there(&self, tick: Instant) -> bool {
        self.tick.is_some_and(|told| told >= tick)
            || self.incoming.peek().is_ok_and(|told| told.share.tick >= tick)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("mix", &self.mix)
            .field("own", &self.own)
            .field("peer", &self.peer)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Link {
    /// Of the same parts.
    fn eq(&self, other: &Self) -> bool {
        (self.mix, self.own, self.peer, self.worker)
            == (other.mix, other.own, other.peer, other.worker)
    }
}

/// The ways to all other parts of a mix; none if it is whole.
#[derive(Debug, Default)]
pub(super) struct Links {
    all: Vec<Link>,
    scratch: Option<Box<Share>>,
    /// The tick of the last share from a part that does not rest.
    pub(super) heard: Option<Instant>,
}

impl Links {
    /// Adds a way. With another name the own part begins a new life: the ways of the old one are closed.
    pub(super) fn add(&mut self, now: Instant, link: Link, room: &mut Room) {
        for old in self.all.extract_if(.., |old| old.own != link.own) {
            room.forget_part(old.peer);
        }
        self.scratch.get_or_insert_with(|| Box::new(Share::new(now)));
        self.all.push(link);
    }

    /// Tells the others what is said here in the tick that has begun, and wakes those who wait for it.
    pub(super) fn tell(&mut self, room: &Room, tick: Instant, rests: bool, peers: &[Peer]) {
        let Some(share) = &mut self.scratch else { return };
        room.share(tick, share);
        for link in &mut self.all {
            let memory = std::mem::take(&mut link.used);
            let share = share.copy_with(std::mem::take(&mut link.spare));
            // One that does not listen is not told.
            if let Err(PushError::Full(told)) = link.outgoing.push(Told { share, rests, memory }) {
                (link.spare, link.used) = (told.share.into_memory(), told.memory);
            }
            if link.peer_waits.swap(false, Ordering::SeqCst)
                && let Some(peer) = peers.get(link.worker)
            {
                peer.waker.wake();
            }
        }
    }

    /// Hears what the others told. False while one is missing whom it is worth to wait for, and who will wake us.
    pub(super) fn hear(&mut self, room: &mut Room, tick: Instant) -> bool {
        self.prune(room);
        for link in &mut self.all {
            while link.incoming.peek().is_ok_and(|told| told.share.tick <= tick)
                && let Ok(told) = link.incoming.pop()
            {
                link.note(&told);
                if !told.rests {
                    self.heard = self.heard.max(link.tick);
                }
                room.hear_part((link.own, link.peer), tick, &told.share);
                (link.used, link.spare) = (told.share.into_memory(), told.memory);
            }
        }
        let is_ready = |link: &Link| !link.is_awaited() || link.is_there(tick) || link.wait(tick);
        // Each of them is asked: all who are missing have to wake us.
        self.all.iter().filter(|link| !is_ready(link)).count() == 0
    }

    /// The tick is over, whoever was missing.
    pub(super) fn end_tick(&mut self, tick: Instant) {
        for link in &mut self.all {
            link.waits.store(false, Ordering::Relaxed);
            if link.tick != Some(tick) {
                link.missed = link.missed.saturating_add(1);
            }
        }
    }

    /// True once the parts that a tick waits for are there.
    pub(super) fn are_there(&self, tick: Instant) -> bool {
        self.all.iter().all(|link| !link.is_awaited() || link.is_there(tick))
    }

    /// Has a part that does not rest any more wake us.
    pub(super) fn sleep(&self) {
        self.all.iter().for_each(|link| link.waits.store(true, Ordering::SeqCst));
    }

    /// True if somebody told of a part that does not rest, while we do.
    pub(super) fn are_awake(&mut self) -> bool {
        self.all.iter_mut().any(|link| {
            while link.incoming.peek().is_ok_and(|told| told.rests) {
                let _resting = link.incoming.pop();
            }
            !link.incoming.is_empty()
        })
    }

    /// When this part ticks next, after `tick`: when the first part does.
    pub(super) fn next(&self, tick: Instant) -> Instant {
        let first =
            self.all.iter().min_by_key(|link| link.peer).filter(|link| link.peer < link.own);
        let lead = first.and_then(|link| link.tick);
        lead.map_or(tick + TICK, |lead| next_deadline(lead, tick + TICK))
    }

    /// Closes the ways to parts that have ended.
    fn prune(&mut self, room: &mut Room) {
        let has_ended = |link: &mut Link| link.incoming.is_abandoned() && link.incoming.is_empty();
        for gone in self.all.extract_if(.., has_ended) {
            room.forget_part(gone.peer);
        }
    }
}

/// For how long the first half of a tick waits for the others at most; then they are left out of it.
pub(super) const PATIENCE: Duration = Duration::from_millis(8);
/// Ticks in a row that a part may miss until nobody waits for it.
const MOST_MISSED: u8 = 3;
/// Shares that wait for a part.
const RING: usize = 4;
