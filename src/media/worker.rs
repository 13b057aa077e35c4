//! One media thread: its legs, its mixes, and the loop that serves them.
//!
//! ```text
//!   orders ─┐                       ┌─▶ events
//!  arrivals ┼─▶ wake ─▶ due mixes ──┼─▶ packets
//!   (tick) ─┘   receive, mix, send  └─▶ legs that move
//! ```
//!
//! Ticks fall on absolute deadlines. Each mix has its own phase within the 20 ms, so that the packets of many rooms do
//! not leave in one burst. An order ends the sleep at once; without mixes to tick nothing else does.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError};
use std::time::{Duration, Instant, SystemTime};

use mixer::quality::AlarmOptions;
use mixer::room::{Room, RoomOptions, TICK};
use mixer::rtcp::Contributors;
use mixer::slot::{Slot, SlotOptions};

use super::backend::Backend;
use super::command::{
    Audience, Command, Event, MediaKey, MixKey, Play, PlayId, Steer, WorkerReport,
};
use super::leg::{Leg, Ports, Upkeep};
use super::legs::{Legs, place_of};
use super::mix::{Mix, next_deadline};
use super::outbox::Outbox;
use super::outgoing::{Outgoing, PACKETS_MAX};
use super::parts::Link;
use super::pool::{PortPool, Quarantine};
use super::ring::{Arrivals, Departures, Target};
use super::router::Order;
use super::socket::{Clock, Inbox};
use super::system::{Precedence, Waker};
use super::tally::{Load, Tally};
use super::tape::Tape;
use super::watch::Watch;
use super::web::Means;
use crate::webrtc::Identity;

/// What every worker is made with.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) seed: u64,
    pub(super) min_delay: Duration,
    pub(super) max_delay: Duration,
    pub(super) alarm: AlarmOptions,
    pub(super) silence_after: Duration,
    /// A mix from whose legs no RTP came for so long sleeps.
    pub(super) asleep_after: Duration,
    pub(super) backend: Backend,
    pub(super) identity: Option<Arc<Identity>>,
}

/// What comes from another worker: a leg, or word that there is none of that name.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) key: MediaKey,
    pub(super) leg: Option<Box<Leg>>,
}

/// How to reach another worker.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) arrivals: SyncSender<Arrival>,
    pub(super) waker: Arc<Waker>,
}

/// The ends that a worker holds.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) orders: rtrb::Consumer<Order>,
    pub(super) arrivals: Receiver<Arrival>,
    pub(super) peers: Vec<Peer>,
    /// Legs that could not be opened, for the router to forget.
    pub(super) failed: SyncSender<MediaKey>,
    pub(super) outbox: Outbox,
    pub(super) waker: Arc<Waker>,
    pub(super) watch: Watch,
    /// How busy this worker is, for the router to see.
    pub(super) load: Arc<Load>,
    pub(super) stop: Arc<AtomicBool>,
}

#[derive(Debug)]
pub(super) struct Worker {
    index: usize,
    settings: Settings,
    pool: Arc<PortPool>,
    quarantine: Quarantine,
    links: Links,
    legs: Legs,
    mixes: BTreeMap<MixKey, Mix>,
    /// The mixes of this wake-up.
    due: Vec<MixKey>,
    outgoing: Outgoing,
    /// Legs under way to us, with the orders that wait for them.
    expected: BTreeMap<MediaKey, Vec<Order>>,
    /// Arrivals that overtook their [`Order::Expect`].
    early: BTreeMap<MediaKey, Arrival>,
    /// Legs that the router should forget, or that another worker had no room for.
    unsent: Unsent,
    meters: bool,
    clock: Clock,
    start: Instant,
    inbox: Inbox,
    report: Vec<u8>,
    /// When legs in no mix are looked after next.
    lobby_due: Instant,
    precedence: Precedence,
    tally: Tally,
}

#[derive(Debug, Default)]
struct Unsent {
    failed: Vec<MediaKey>,
    moves: Vec<(usize, Arrival)>,
}

impl Worker {
    pub(super) fn new(index: usize, settings: Settings, pool: Arc<PortPool>, links: Links) -> Self {
        let clock = read_clock();
        let (inbox, outgoing) = io(settings.backend, clock);
        Self {
            index,
            settings,
            pool,
            quarantine: Quarantine::default(),
            links,
            legs: Legs::default(),
            mixes: BTreeMap::new(),
            due: Vec::new(),
            outgoing,
            expected: BTreeMap::new(),
            early: BTreeMap::new(),
            unsent: Unsent::default(),
            meters: false,
            clock,
            start: clock.now,
            inbox,
            report: Vec::with_capacity(REPORT_MAX),
            lobby_due: clock.now,
            tally: Tally::new(clock.now, false),
            precedence: Precedence::default(),
        }
    }

    /// Serves until told to stop.
    pub(super) fn run(mut self) {
        let worker = self.index;
        self.precedence.follow(self.clock.now);
        if !self.precedence.is_permitted() {
            tracing::info!(
                worker,
                "media threads run without real-time priority: on a busy machine sound may suffer; \
                 allow CAP_SYS_NICE or LimitRTPRIO=1"
            );
        }
        while !self.links.stop.load(Ordering::Acquire) {
            self.read_clock();
            let woke = self.clock.now;
            let has_more = self.handle_orders();
            self.read_clock();
            self.settle();
            let due = self.run_due_mixes();
            self.look_after_lobby();
            self.links.outbox.flush(self.clock.now);
            self.read_clock();
            self.tally.note_wake_up(woke, self.clock.now, due);
            self.report_tally();
            if !has_more && self.links.waker.sleep(&self.links.watch, self.pause()) {
                self.note_packets();
            }
        }
        self.quarantine.release_all(&self.pool);
    }

    fn read_clock(&mut self) {
        self.clock = read_clock();
        self.inbox.set_clock(self.clock);
    }

    /// How long until something is due; `None` when only an order can bring work.
    fn pause(&self) -> Option<Duration> {
        let ticks = self.mixes.values().map(|mix| mix.due);
        let lobby = (!self.legs.is_lobby_empty()).then_some(self.lobby_due);
        let tally = (!self.legs.is_empty() || self.tally.owed).then_some(self.tally.due);
        let retry = self.has_unsent().then_some(self.clock.now + RETRY_AFTER);
        let rest = [lobby, tally, retry, self.links.outbox.due(), self.quarantine.deadline()];
        let due = ticks.chain(rest.into_iter().flatten()).min();
        due.map(|due| due.saturating_duration_since(self.clock.now))
    }

    fn has_unsent(&self) -> bool {
        self.links.outbox.is_waiting()
            || !self.unsent.moves.is_empty()
            || !self.unsent.failed.is_empty()
    }

    /// Takes orders until a tick is due, and a few even then; true if more may wait.
    fn handle_orders(&mut self) -> bool {
        self.tally.queued_commands = self.tally.queued_commands.max(self.links.orders.slots());
        let orders = self.take(|links| links.orders.pop().ok(), Self::handle_order);
        let arrivals = self.take(|links| links.arrivals.try_recv().ok(), Self::handle_arrival);
        orders || arrivals
    }

    /// Handles what comes from one queue; true if it had no time for more.
    fn take<T>(
        &mut self,
        next: impl Fn(&mut Links) -> Option<T>,
        handle: impl Fn(&mut Self, T),
    ) -> bool {
        for taken in 0..ORDERS_AT_ONCE {
            if !self.has_time(taken) {
                return true;
            }
            let Some(taken) = next(&mut self.links) else { return false };
            handle(self, taken);
        }
        true
    }

    /// Whether another order may be taken after so many.
    fn has_time(&self, taken: usize) -> bool {
        if taken < ORDERS_AT_LEAST {
            return true;
        }
        let now = read_clock().now;
        self.mixes.values().all(|mix| mix.due > now)
    }

    fn handle_order(&mut self, order: Order) {
        if let Some(waiting) = order.leg().and_then(|leg| self.expected.get_mut(&leg)) {
            if waiting.len() < WAITING_MAX {
                waiting.push(order);
            }
            return;
        }
        match order {
            Order::Command(command) => self.handle_command(command),
            Order::Expect(leg) => {
                self.expected.insert(leg, Vec::new());
                if let Some(arrival) = self.early.remove(&leg) {
                    self.handle_arrival(arrival);
                }
            }
            Order::Move { leg, to } => self.hand_over(leg, to),
            Order::Link(link) => self.link(*link),
            Order::Tape { of, tape, .. } => self.record(of, tape),
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Open { leg, local } => self.open(leg, local),
            Command::Configure { leg, stream } => {
                let now = self.clock.now;
                self.with_slot(leg, |leg, slot| leg.configure(now, stream, slot));
                self.hurry(leg);
            }
            Command::Join { leg, mix, contributors } => self.join(leg, mix, contributors),
            Command::Leave { leg } => self.leave(leg),
            Command::Seat { leg, seat } => {
                self.with_slot(leg, |_, slot| slot.set_seat(seat));
                self.hurry(leg);
            }
            Command::SendDigits { leg, digits, duration } => {
                let sent = self.with_slot(leg, |_, slot| slot.send_digits(&digits, duration));
                if sent == Some(false) {
                    tracing::debug!(leg = leg.0, "digits dropped: no telephone-event or too many");
                }
            }
            Command::Play { to, id, play } => self.play(to, id, *play),
            Command::Steer { to, id, steer } => self.steer(to, id, steer),
            Command::Duck { mix, gain_db } => {
                if let Some(mix) = self.mixes.get_mut(&mix) {
                    mix.room.set_duck(gain_db);
                }
            }
            Command::Contributors { mix, contributors } => {
                if let Some(mix) = self.mixes.get_mut(&mix) {
                    mix.room.set_contributors(contributors);
                }
            }
            Command::Unrecord { of: Audience::Leg(leg), tape } => {
                self.with_slot(leg, |leg, slot| leg.end_track(tape, slot));
            }
            Command::Unrecord { of: Audience::Mix(mix), tape } => {
                if let Some(mix) = self.mixes.get_mut(&mix) {
                    mix.unrecord(tape);
                }
            }
            Command::Record { .. } => {} // It comes as an order of its own.
            Command::Close { leg } => self.close(leg),
            Command::Meters { on } => self.meters = on,
        }
    }

    fn open(&mut self, key: MediaKey, local: IpAddr) {
        match self.bind_pair(local) {
            Ok(ports) => {
                let rtp_port = ports.pair().rtp();
                let slot = Slot::new(self.slot_options(key));
                let seed = scramble(self.settings.seed ^ scramble(!key.0));
                let identity = self.settings.identity.clone();
                let means = identity.map(|identity| Means { identity, seed });
                let leg = Leg::new(self.clock.now, key, (ports, slot), means);
                self.take_in(Box::new(leg));
                self.links.outbox.push(Event::Opened { leg: key, rtp_port });
            }
            Err(reason) => {
                self.unsent.failed.push(key);
                self.links.outbox.push(Event::OpenFailed { leg: key, reason });
            }
        }
    }

    fn take_in(&mut self, leg: Box<Leg>) {
        let id = self.legs.insert(leg);
        let socket = self.legs.at(id).map(Leg::rtp_socket);
        self.inbox.know(place_of(id), socket);
        self.outgoing.know(id, socket);
    }

    fn let_go(&mut self, key: MediaKey) -> Option<Box<Leg>> {
        let id = self.legs.id(key)?;
        self.inbox.know(place_of(id), None);
        self.outgoing.know(id, None);
        self.legs.remove(key)
    }

    /// Binds both ports of a free pair; a pair that others occupy is skipped and rests.
    fn bind_pair(&mut self, local: IpAddr) -> Result<Ports, String> {
        for _ in 0..BIND_ATTEMPTS {
            let Some(pair) = self.pool.take() else {
                return Err("every port pair of the media range is in use: widen the range".into());
            };
            match Ports::bind(local, pair) {
                Ok(ports) => return Ok(ports),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    self.quarantine.add(self.clock.now, pair);
                }
                Err(error) => {
                    self.pool.put(pair);
                    return Err(format!("cannot bind media ports on {local}: {error}"));
                }
            }
        }
        Err("other programs occupy the media range: choose another".into())
    }

    fn slot_options(&self, key: MediaKey) -> SlotOptions {
        let seed = scramble(self.settings.seed ^ scramble(key.0));
        SlotOptions {
            seed,
            // RFC 7022 §4.2: short-term persistent, random.
            cname: format!("{:016x}", scramble(seed)),
            min_delay: self.settings.min_delay,
            max_delay: self.settings.max_delay,
            alarm: self.settings.alarm,
        }
    }

    fn join(&mut self, key: MediaKey, mix_key: MixKey, contributors: usize) {
        let leg = self.legs.id(key).and_then(|id| self.legs.at(id));
        if leg.is_none_or(|leg| leg.mix != Some(mix_key)) {
            self.leave(key);
        }
        let Some(id) = self.legs.id(key) else { return self.end_if_empty(mix_key) };
        self.mix(mix_key).room.set_contributors(contributors);
        if let (Some(leg), Some(mix)) = (self.legs.at_mut(id), self.mixes.get_mut(&mix_key))
            && let Some(slot) = leg.slot.take()
        {
            leg.mix = Some(mix_key);
            mix.room.seat(id, slot);
        }
        self.hurry(key);
    }

    fn leave(&mut self, key: MediaKey) {
        let Some(id) = self.legs.id(key) else { return };
        let Some(leg) = self.legs.at_mut(id) else { return };
        let Some(mix_key) = leg.mix.take() else { return };
        if let Some(mix) = self.mixes.get_mut(&mix_key) {
            leg.slot = mix.room.unseat(id);
            self.links.watch.remove(leg.rtp_socket());
        }
        self.legs.note_lobby(id);
        self.end_if_empty(mix_key);
    }

    fn play(&mut self, to: Audience, id: PlayId, play: Play) {
        match to {
            Audience::Leg(leg) => {
                self.with_slot(leg, |_, slot| slot.play(id, play));
                self.hurry(leg);
            }
            Audience::Mix(key) if self.mixes.contains_key(&key) || self.is_expected(key) => {
                let now = self.clock.now;
                let mix = self.mix(key);
                mix.room.play(id, play);
                mix.wake(now);
            }
            Audience::Mix(_) => self.links.outbox.push(Event::Played { id, cut: true }),
        }
    }

    fn steer(&mut self, to: Audience, id: PlayId, steer: Steer) {
        match to {
            Audience::Leg(leg) => {
                self.with_slot(leg, |_, slot| slot.steer(id, steer));
                self.hurry(leg);
            }
            Audience::Mix(key) => {
                let now = self.clock.now;
                if let Some(mix) = self.mixes.get_mut(&key) {
                    mix.room.steer(id, steer);
                    mix.wake(now);
                }
            }
        }
    }

    fn record(&mut self, of: Audience, tape: Tape) {
        match of {
            Audience::Leg(leg) => {
                self.with_slot(leg, |leg, slot| leg.begin_track(tape, slot));
            }
            Audience::Mix(key) if self.mixes.contains_key(&key) || self.is_expected(key) => {
                self.mix(key).record(tape);
            }
            Audience::Mix(_) => {} // Its next beginning brings another.
        }
    }

    /// The mix of this name, which begins if there is none; who joins says how many are heard.
    fn mix(&mut self, key: MixKey) -> &mut Mix {
        let phase = self.best_phase();
        let room = || Room::new(RoomOptions { contributors: 1 });
        self.mixes.entry(key).or_insert_with(|| Mix::new(room(), phase))
    }

    /// A way from a mix, which may have to begin for it, to the part of it on another worker.
    fn link(&mut self, link: Link) {
        let now = self.clock.now;
        self.mix(link.mix).link(now, link);
    }

    /// Ends a mix in which nobody sits and which no leg under way is to join.
    fn end_if_empty(&mut self, key: MixKey) {
        let is_empty = |mix: &Mix| mix.room.is_empty();
        if self.mixes.get(&key).is_some_and(is_empty)
            && !self.is_expected(key)
            && let Some(mut mix) = self.mixes.remove(&key)
        {
            while let Some(id) = mix.room.cut() {
                self.links.outbox.push(Event::Played { id, cut: true });
            }
        }
    }

    /// True if a leg under way is to join this mix.
    fn is_expected(&self, key: MixKey) -> bool {
        let joins = |order: &Order| matches!(order, Order::Command(Command::Join { mix, .. }) if *mix == key);
        self.expected.values().flatten().any(joins)
    }

    /// The next deadline in the part of the period where a mix goes best.
    ///
    /// A wake-up costs as much as some packets, so parts are filled before another is begun; only what would delay
    /// the last packets of a part by a millisecond is spread. A mix counts with the legs it is likely to get: it begins
    /// with one.
    fn best_phase(&self) -> Instant {
        let mut loads = [0; PHASES];
        for mix in self.mixes.values() {
            loads[self.phase_of(mix.due)] += mix.room.len().max(LEGS_LIKELY);
        }
        let unfilled = (0..PHASES).filter(|&phase| loads[phase] < PHASE_FULL);
        let best = unfilled
            .max_by_key(|&phase| (loads[phase], Reverse(phase)))
            .or_else(|| (0..PHASES).min_by_key(|&phase| loads[phase]));
        let phase = best.and_then(|phase| u32::try_from(phase).ok()).unwrap_or(0);
        let start = self.start + TICK * phase / PHASES_U32;
        next_deadline(start, self.clock.now)
    }

    fn phase_of(&self, due: Instant) -> usize {
        let into = due.saturating_duration_since(self.start).as_micros() % TICK.as_micros();
        usize::try_from(into * PHASES as u128 / TICK.as_micros()).unwrap_or(0).min(PHASES - 1)
    }

    /// Brings the mix of a leg back to its ticks: it may have been idle, and looked at rarely.
    fn hurry(&mut self, key: MediaKey) {
        let Some(id) = self.legs.id(key) else { return };
        self.legs.note_lobby(id);
        let mix = self.legs.at(id).and_then(|leg| leg.mix);
        if let Some(mix) = mix.and_then(|mix| self.mixes.get_mut(&mix)) {
            mix.wake(self.clock.now);
        }
    }

    fn close(&mut self, key: MediaKey) {
        self.leave(key);
        let Some(mut leg) = self.let_go(key) else { return };
        if let Some(mut slot) = leg.slot.take() {
            leg.close(&mut slot, &mut self.upkeep());
        }
        self.quarantine.add(self.clock.now, leg.pair());
        drop(leg);
        self.links.outbox.push(Event::Closed { leg: key });
    }

    fn hand_over(&mut self, key: MediaKey, to: usize) {
        self.leave(key);
        let leg = self.let_go(key);
        self.unsent.moves.push((to, Arrival { key, leg }));
        self.settle();
    }

    fn handle_arrival(&mut self, arrival: Arrival) {
        let Some(waiting) = self.expected.remove(&arrival.key) else {
            self.early.insert(arrival.key, arrival);
            return;
        };
        if let Some(leg) = arrival.leg {
            self.take_in(leg);
        }
        for order in waiting {
            self.handle_order(order);
        }
    }

    /// Sends what could not be sent before, in order, and lets rested ports go.
    fn settle(&mut self) {
        let mut kept = Vec::new();
        for (to, arrival) in self.unsent.moves.drain(..) {
            let Some(peer) = self.links.peers.get(to) else { continue };
            match peer.arrivals.try_send(arrival) {
                Ok(()) => peer.waker.wake(),
                Err(TrySendError::Full(arrival)) => kept.push((to, arrival)),
                Err(TrySendError::Disconnected(_)) => {} // We are stopping.
            }
        }
        self.unsent.moves = kept;
        let failed = &self.links.failed;
        self.unsent
            .failed
            .retain(|&leg| matches!(failed.try_send(leg), Err(TrySendError::Full(_))));
        self.quarantine.release(self.clock.now, &self.pool);
    }

    /// Has the mixes that sleep look at the packets that came for them.
    fn note_packets(&mut self) {
        for slot in self.links.watch.poll() {
            let mix = self.legs.at(slot).and_then(|leg| leg.mix);
            if let Some(mix) = mix.and_then(|mix| self.mixes.get_mut(&mix)) {
                mix.look(self.clock.now);
            }
        }
    }

    /// Receives for every mix that is due, then mixes them all, then sends; tells when the first of them was due.
    fn run_due_mixes(&mut self) -> Option<Instant> {
        let Self { mixes, due, legs, inbox, report, links, .. } = self;
        let now = self.clock.now;
        due.clear();
        for (&key, mix) in mixes.iter_mut() {
            mix.look_elsewhere(now);
            if mix.is_due(now) {
                due.push(key);
            }
        }
        let fresh = |mix: &&Mix| !mix.has_begun();
        let first_due =
            due.iter().filter_map(|key| mixes.get(key)).filter(fresh).map(|mix| mix.due).min();
        let Settings { silence_after, asleep_after, .. } = self.settings;
        let of_due = due
            .iter()
            .filter_map(|key| mixes.get(key))
            .filter(fresh)
            .flat_map(|mix| mix.room.ids());
        inbox.expect(of_due.filter_map(|id| {
            let socket = legs.at(id)?.rtp_socket().raw();
            Some(Target { place: place_of(id), socket })
        }));
        let outbox = &mut links.outbox;
        let mut upkeep = Upkeep { clock: self.clock, silence_after, inbox, report, outbox };
        for key in &*due {
            if let Some(mix) = mixes.get_mut(key).filter(|mix| !mix.has_begun()) {
                mix.receive(legs, &mut upkeep);
            }
        }
        for key in &*due {
            if let Some(mix) = mixes.get_mut(key) {
                let sink = &mut self.outgoing.sink(legs);
                let others = (asleep_after, &*links.peers);
                mix.tick(read_clock().now, others, sink, &mut self.tally);
            }
        }
        self.outgoing.flush(legs);
        for key in &*due {
            if let Some(mix) = mixes.get_mut(key).filter(|mix| !mix.has_begun()) {
                mix.report(legs, &mut upkeep, self.meters);
                mix.keep_watch(legs, &links.watch);
            }
        }
        first_due
    }

    fn look_after_lobby(&mut self) {
        if self.clock.now < self.lobby_due || self.legs.is_lobby_empty() {
            return;
        }
        self.lobby_due = self.clock.now + LOBBY_EVERY;
        let Self { legs, inbox, report, links, settings, clock, .. } = self;
        let silence_after = settings.silence_after;
        let outbox = &mut links.outbox;
        let mut upkeep = Upkeep { clock: *clock, silence_after, inbox, report, outbox };
        for leg in legs.lobby_mut() {
            if let Some(mut slot) = leg.slot.take() {
                leg.receive(&mut slot, &mut upkeep);
                leg.report_events(&mut slot, upkeep.outbox);
                leg.keep_up(&mut slot, Contributors::default(), &mut upkeep);
                leg.slot = Some(slot);
            }
        }
    }

    fn report_tally(&mut self) {
        let now = self.clock.now;
        if now < self.tally.due {
            return;
        }
        let tally = std::mem::replace(&mut self.tally, Tally::new(now, !self.legs.is_empty()));
        let report = WorkerReport {
            worker: self.index,
            ticks: tally.ticks,
            late_ticks: tally.late_ticks,
            legs: self.legs.len(),
            mixes: self.mixes.len(),
            active_legs: tally.active_legs(now),
            busy: tally.share_busy(now),
            latest_start: tally.latest_start,
            latest_end: tally.latest_end,
            queued_commands: tally.queued_commands,
            dropped_events: self.links.outbox.take_dropped(),
        };
        self.links.load.set(if report.legs == 0 { 0.0 } else { report.busy });
        self.links.outbox.push(Event::Worker(report));
        self.precedence.follow(now);
    }

    fn upkeep(&mut self) -> Upkeep<'_> {
        Upkeep {
            clock: self.clock,
            silence_after: self.settings.silence_after,
            inbox: &mut self.inbox,
            report: &mut self.report,
            outbox: &mut self.links.outbox,
        }
    }

    /// Runs `act` on a leg and its slot, wherever that sits; `None` for an unknown leg.
    fn with_slot<T>(
        &mut self,
        key: MediaKey,
        act: impl FnOnce(&mut Leg, &mut Slot) -> T,
    ) -> Option<T> {
        let id = self.legs.id(key)?;
        let leg = self.legs.at_mut(id)?;
        if let Some(mix) = leg.mix {
            let slot = self.mixes.get_mut(&mix)?.room.slot_mut(id)?;
            return Some(act(leg, slot));
        }
        let mut slot = leg.slot.take()?;
        let result = act(leg, &mut slot);
        leg.slot = Some(slot);
        Some(result)
    }
}

impl Order {
    /// The leg it is about, if it must wait for one that is under way.
    fn leg(&self) -> Option<MediaKey> {
        match self {
            Self::Expect(leg)
            | Self::Move { leg, .. }
            | Self::Command(
                Command::Configure { leg, .. }
                | Command::Join { leg, .. }
                | Command::Leave { leg }
                | Command::Seat { leg, .. }
                | Command::SendDigits { leg, .. }
                | Command::Play { to: Audience::Leg(leg), .. }
                | Command::Steer { to: Audience::Leg(leg), .. }
                | Command::Record { of: Audience::Leg(leg), .. }
                | Command::Unrecord { of: Audience::Leg(leg), .. }
                | Command::Close { leg },
            )
            | Self::Tape { of: Audience::Leg(leg), .. } => Some(*leg),
            Self::Command(
                Command::Open { .. }
                | Command::Contributors { .. }
                | Command::Duck { .. }
                | Command::Meters { .. }
                | Command::Play { to: Audience::Mix(_), .. }
                | Command::Steer { to: Audience::Mix(_), .. }
                | Command::Record { of: Audience::Mix(_), .. }
                | Command::Unrecord { of: Audience::Mix(_), .. },
            )
            | Self::Tape { of: Audience::Mix(_), .. }
            | Self::Link(_) => None,
        }
    }
}

/// Where packets come in and go out.
fn io(backend: Backend, clock: Clock) -> (Inbox, Outgoing) {
    let (mut inbox, mut outgoing) = (Inbox::new(clock), Outgoing::default());
    if backend == Backend::Uring {
        match (Arrivals::new(), Departures::new(PACKETS_MAX)) {
            (Ok(arrivals), Ok(departures)) => {
                inbox.set_arrivals(arrivals);
                outgoing.set_departures(departures);
            }
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "no io_uring for this media thread: a system call for each packet");
            }
        }
    }
    (inbox, outgoing)
}

#[expect(clippy::disallowed_methods, reason = "the worker is the shell around the mixer")]
fn read_clock() -> Clock {
    Clock { now: Instant::now(), wall: SystemTime::now() }
}

/// `SplitMix64`: spreads seeds that differ in few bits.
fn scramble(seed: u64) -> u64 {
    let mut mixed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Parts of the period that mixes are spread over.
const PHASES: usize = 10;
const PHASES_U32: u32 = 10;
/// Legs in one part before another is begun: their packets take a millisecond.
const PHASE_FULL: usize = 160;
/// Legs that a mix is taken to get.
const LEGS_LIKELY: usize = 8;
/// Orders taken though a tick is due: a worker that cannot keep up has to hear of the legs that end. One costs up to 50 µs
/// (two sockets to open or to close), so these delay the tick by 0.4 ms.
const ORDERS_AT_LEAST: usize = 8;
/// Orders between two looks at everything else.
const ORDERS_AT_ONCE: usize = 64;
/// Octets of an RTCP compound: what describes who is heard, and a kilobyte of reports.
const REPORT_MAX: usize = 2_048;
/// Orders that wait for one leg; it is under way for some milliseconds.
const WAITING_MAX: usize = 64;
/// Pairs tried before an open fails.
const BIND_ATTEMPTS: usize = 64;
/// How often legs in no mix are looked after.
const LOBBY_EVERY: Duration = Duration::from_millis(200);
/// When a full queue is tried again.
const RETRY_AFTER: Duration = Duration::from_millis(5);
