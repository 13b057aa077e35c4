//! Mix-minus: everyone hears everyone but themselves (the RFC 4353 §2 "mixer").
//!
//! ```text
//!  slot ─▶ listen ─▶ choose the loudest ─▶ speak ─▶ Σ (i32) ─┬─▶ limit ─▶ one encoder a group ─▶ listeners
//!                                                            └─ − own ─▶ limit ─▶ own encoder ─▶ contributor
//! ```
//! The room mixes at the highest rate that is of use: what the best source has and the best
//! listener can take. A room of telephones never resamples. When that rate changes, one tick fades
//! out and the next fades in.

mod groups;
mod outlets;
mod parts;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::time::{Duration, Instant};

use groups::{Farewell, Groups, Way, WayId, add_to_group, say_farewell};
pub use groups::{GROUPS, GroupId, Hearing};
use outlets::{Entry, OutletId, Outlets};
pub use parts::{GroupMemory, PartId, Share};
use parts::{GroupShare, Parts, Rival};

use crate::echo::Envelope;
use crate::floor::{Activity, Floor};
use crate::gain::Gain;
use crate::level;
use crate::limiter::Limiter;
use crate::outlet::Outlet;
use crate::play::{Play, PlayId, Players, Steer};
use crate::rtcp::{Contributors, Names};
use crate::rtp::{AudioLevel, MAX_SOURCES, Sources};
use crate::slot::{Attention, Bar, DECAY, Event, Receiver, Slot};

/// The mixer's period.
pub const TICK: Duration = Duration::from_millis(20);
/// Samples of a tick at the highest rate.
pub(crate) const MAX_FRAME: usize = 960;
/// A contributor may pause for so many ticks and stay one.
const HOLD: u32 = 15;
/// Ticks for which a private stream has to be like the group's before it becomes the group's
/// again: until then predictive codecs have forgotten how they differed.
const REJOIN: u32 = 25;
/// By how much somebody has to be louder to take a contributor's place, dB.
const ADVANTAGE: f32 = 6.0;
/// In a room with more seats than places, who has not talked for so many ticks is not mixed …
const NOISE_AFTER: u32 = 100;
/// … unless this loud, dBov.
const NOT_NOISE: f32 = -45.0;
/// The longest packet, in ticks: who was heard at its beginning is named in it.
const LONGEST_PACKET: u8 = 3;
/// Between two looks at the loss that listeners report.
const LOSS_TICKS: u64 = 50;
/// The rate falls only after so many ticks.
const RATE_HOLD: u32 = 100;

/// Names a seat in a room; chosen by the caller, for instance an index into its own table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SlotId(pub u64);

/// Where a tick's packets go.
pub trait Sink {
    /// Takes one RTP packet in two parts; the payload may be shared by many slots.
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]);

    /// Takes 20 ms of what is to be recorded. Silence is not given.
    fn record(&mut self, _take: Take<'_>) {}
}

/// [`TICK`] of something that is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// Which tick.
    pub tick: Instant,
    /// Whose voice it is; `None` is what everybody hears who says nothing.
    pub slot: Option<SlotId>,
    /// Samples in a second, Hz.
    pub rate: u32,
    /// A fiftieth of that.
    pub pcm: &'a [i16],
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
    /// In order of id.
    seats: Vec<Seated>,
    outlets: Outlets,
    /// At what rate is mixed, Hz.
    rate: u32,
    /// The next tick moves to this rate.
    next_rate: u32,
    fade: Fade,
    ticks_above_need: u32,
    ticks: u64,
    /// Who wants to be heard.
    candidates: Vec<Candidate>,
    /// The others, if this is only a part of a room.
    parts: Option<Box<Parts>>,
    /// Highest rate among what is said here, Hz.
    source: Option<u32>,
    floor: Floor,
    /// Of what everybody is sent who says nothing.
    common: Envelope,
    /// What a newcomer has to reach, dBov.
    bar: f32,
    mix: Mix,
    /// Who does not hear all.
    groups: Groups,
    /// What everybody hears beside each other.
    players: Players,
    /// The factor of every voice while something else is to be understood.
    duck: f32,
    /// Somebody takes what everybody hears.
    is_recorded: bool,
    /// Who is heard in this tick's packets.
    sources: Sources,
    names: Names,
    /// Whose slots have events.
    news: Vec<SlotId>,
}

/// Whether this tick's voices lead into or out of a change of rate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fade {
    None,
    In,
    Out,
}

impl Fade {
    fn apply(self, voice: &mut [i16]) {
        match self {
            Self::None => {}
            Self::In => fade_in(voice),
            Self::Out => fade_out(voice),
        }
    }
}

/// Somebody who wants to be heard, at a seat or in another part of the room.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    rival: Rival,
    /// By what it is compared, dBov: its weight in this tick, or what all parts of the room know of it.
    weight: f32,
    /// Decides between equals.
    part: PartId,
    seat: Option<usize>,
}

impl Candidate {
    /// The loudest comes first.
    fn order(&self, other: &Self) -> Ordering {
        other.weight.total_cmp(&self.weight).then(self.part.cmp(&other.part))
    }
}

/// A seat and its slot.
#[derive(Debug)]
struct Seated {
    id: SlotId,
    /// Apart: it is 3 KB, and whoever comes or goes moves all seats behind.
    slot: Box<Slot>,
    role: Role,
    outlet: Option<OutletId>,
    /// Where its voice in this tick's mix is.
    voice: Option<Voice>,
    group: GroupId,
    way: WayId,
    /// In the last tick it faded out for those whom it leaves.
    fades: bool,
    /// Ticks since it had one.
    ticks_without_voice: u8,
    /// Its place among the sources.
    source: Option<usize>,
    audible: bool,
    was_audible: bool,
    pause: u32,
    alike: u32,
    /// Its weight when it was chosen in the last tick.
    chosen: Option<f32>,
    activity: Activity,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    /// Not in the mix.
    Listener,
    /// In the mix.
    Contributor,
    /// In the mix for one more tick, to fade out.
    Leaving,
}

/// Where one voice of a mix is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Voice {
    /// Among [`Mix::voices`].
    Made(usize),
    /// In its slot, where it was decoded: most need nothing, and to copy them would cost memory that is not in the caches.
    Plain,
}

/// The sum of one tick and its parts. Everything is as long as a tick is at the present rate: many rooms share the caches.
#[derive(Debug)]
struct Mix {
    /// One after the other, but for those in their slots.
    voices: Vec<i16>,
    made: usize,
    count: usize,
    /// Voices of other parts of the room; there is only the sum of them.
    others: usize,
    sum: Vec<i32>,
    common: Vec<i16>,
    limiter: Limiter,
    /// What one hears.
    own: Vec<i16>,
    /// Samples of a tick.
    frame: usize,
    /// Last words of who has left since the last tick, as a voice of the next.
    farewell: Farewell,
}

impl Room {
    /// An empty room.
    pub fn new(options: RoomOptions) -> Self {
        Self {
            options,
            seats: Vec::new(),
            outlets: Outlets::default(),
            rate: 8_000,
            next_rate: 8_000,
            fade: Fade::None,
            ticks_above_need: 0,
            ticks: 0,
            candidates: Vec::new(),
            parts: None,
            source: None,
            floor: Floor::default(),
            common: Envelope::SILENCE,
            bar: level::SILENCE,
            sources: Sources::default(),
            names: Names::default(),
            news: Vec::new(),
            mix: Mix::new(8_000),
            groups: Groups::default(),
            players: Players::default(),
            duck: 1.0,
            is_recorded: false,
        }
    }

    /// Gives what everybody hears to [`Sink::record`], or does so no more.
    pub fn set_recorded(&mut self, recorded: bool) {
        self.is_recorded = recorded;
    }

    /// Changes every voice by so many dB, but not what is played; it moves by a ramp of one tick.
    pub fn set_duck(&mut self, db: f32) {
        self.duck = Gain::factor(db);
    }

    /// Plays something to everybody; it is a voice of nobody's, beside those who have a place. Allocates.
    pub fn play(&mut self, id: PlayId, play: Play) {
        self.players.start(id, play);
    }

    /// Does something to what is played to everybody; takes effect from the next tick on.
    pub fn steer(&mut self, id: PlayId, steer: Steer) {
        self.players.steer(id, steer);
    }

    /// Something that was played to everybody and is over, by its end or because it was stopped.
    pub fn poll_played(&mut self) -> Option<PlayId> {
        self.players.poll_over()
    }

    /// Something that is or was played to everybody, which it is no more: nobody is left to hear it.
    pub fn cut(&mut self) -> Option<PlayId> {
        self.players.cut()
    }

    /// True while something is played, to everybody or to somebody. O(n).
    pub fn is_playing(&self) -> bool {
        self.players.are_running() || self.seats.iter().any(|seat| seat.slot.is_played_to())
    }

    /// How many are mixed at once from now on.
    pub fn set_contributors(&mut self, contributors: usize) {
        self.options.contributors = contributors;
    }

    /// Seats `slot` under `id`; gives back who sat there before.
    pub fn seat(&mut self, id: SlotId, slot: impl Into<Box<Slot>>) -> Option<Box<Slot>> {
        let before = self.unseat(id);
        let at = self.seats.partition_point(|seat| seat.id < id);
        self.seats.insert(at, Seated::new(id, slot.into()));
        self.news.reserve(self.seats.len());
        self.names.reserve(self.seats.len());
        before
    }

    /// Takes a slot out of the room.
    pub fn unseat(&mut self, id: SlotId) -> Option<Box<Slot>> {
        let seat = self.seats.remove(self.position(id)?);
        if let Some(outlet) = seat.outlet {
            self.outlets.leave(outlet);
        }
        self.floor.leave(id);
        self.groups.leave(seat.way);
        let mut slot = seat.slot;
        if seat.role != Role::Listener {
            let farewell = self.groups.farewell_in(seat.group, &mut self.mix.farewell);
            say_farewell(farewell, &mut slot.receiver, self.rate);
        }
        if self.seats.is_empty() {
            self.forget_farewells();
        }
        slot.leave_room();
        slot.receiver.gain.jump(0.0);
        Some(slot)
    }

    /// The slot under `id`, to look at it.
    pub fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.position(id).map(|at| &*self.seats[at].slot)
    }

    /// The slot under `id`, to configure it and to give it packets.
    pub fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.position(id).map(|at| &mut *self.seats[at].slot)
    }

    /// Every slot, in order of id.
    pub fn slots_mut(&mut self) -> impl Iterator<Item = (SlotId, &mut Slot)> {
        self.seats.iter_mut().map(|seat| (seat.id, &mut *seat.slot))
    }

    /// Each `step`th slot from place `first` on, with those whom it hears, for its reports. The others are not touched.
    pub fn slots_heard_mut(
        &mut self,
        first: usize,
        step: usize,
    ) -> impl Iterator<Item = (SlotId, &mut Slot, Contributors<'_>)> {
        let names = &self.names;
        self.seats.iter_mut().skip(first).step_by(step).map(|seat| {
            let heard = seat.contributors(names);
            (seat.id, &mut *seat.slot, heard)
        })
    }

    /// Somebody whose slot had an event at the end of a tick; each is named once for each such tick.
    pub fn take_news(&mut self) -> Option<SlotId> {
        self.news.pop()
    }

    /// Who sits here, in order of id.
    pub fn ids(&self) -> impl Iterator<Item = SlotId> {
        self.seats.iter().map(|seat| seat.id)
    }

    /// How many are seated.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// True when nobody is seated.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// True while a tick would do nothing: nobody is sent to and nobody is listened to. O(n).
    pub fn idle(&self) -> bool {
        self.seats.iter().all(|seat| !seat.slot.is_active())
    }

    /// At what rate is mixed, Hz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Mixes [`TICK`] of audio and hands each slot's packets to `sink`.
    ///
    /// Call it each [`TICK`] of `now`. Allocates nothing unless who sits here, or how, has changed. It passes the seats three
    /// times: those of a large room do not fit the caches.
    pub fn tick(&mut self, now: Instant, sink: &mut impl Sink) {
        self.begin_tick(now);
        self.end_tick(now, sink);
    }

    /// The first half of [`Self::tick`]: sums what is said at these seats.
    pub fn begin_tick(&mut self, now: Instant) {
        self.move_rate();
        self.listen(now);
        self.choose(now);
        self.plan_rate();
        self.speak();
    }

    /// The second half: sends everybody what they are to hear.
    pub fn end_tick(&mut self, now: Instant, sink: &mut impl Sink) {
        self.add_parts();
        self.names.keep(&self.sources);
        self.mix.finish();
        self.groups.finish((&self.mix.sum, self.mix.count + self.mix.others));
        self.follow_loss();
        self.feed();
        self.send(now, sink);
        self.ticks += 1;
    }

    /// Writes what the other parts of the room have to know, between the halves of the tick of `now`.
    pub fn share(&self, now: Instant, share: &mut Share) {
        share.tick = now;
        share.rate = self.rate;
        share.next_rate =
            self.parts.as_ref().and_then(|parts| parts.next_rate).unwrap_or(self.next_rate);
        share.source = self.source;
        share.listener = self.outlets.rate();
        share.seats = self.seats.len();
        share.rivals.clear();
        for candidate in self.candidates.iter().filter(|candidate| candidate.seat.is_some()) {
            share.rivals.push(candidate.rival);
        }
        share.sources.clone_from(&self.sources);
        share.named =
            self.names.take_turns(self.ticks).filter(|named| self.sources.contains(named.ssrc()));
        share.held = self.floor.held_here();
        share.voices = self.mix.count;
        share.sum[..self.mix.frame].copy_from_slice(&self.mix.sum[..self.mix.frame]);
        share.groups.clear();
        share.groups.extend(self.groups.told().map(GroupShare::of));
    }

    /// Takes what the part `from` tells of its tick, while this one, `own`, is between the halves of the tick of `now`.
    ///
    /// What it says is heard only if both ticks are the same.
    pub fn hear_part(&mut self, (own, from): (PartId, PartId), now: Instant, share: &Share) {
        let parts = self.parts.get_or_insert_with(|| Box::new(Parts::new(own)));
        self.names.reserve(MAX_SOURCES);
        parts.hear(from, share, (now, self.rate));
    }

    /// The part `from` has ended.
    pub fn forget_part(&mut self, from: PartId) {
        if let Some(parts) = &mut self.parts {
            parts.forget(from);
        }
    }

    fn forget_farewells(&mut self) {
        self.mix.farewell = None;
        self.groups.forget_farewells();
    }

    fn position(&self, id: SlotId) -> Option<usize> {
        self.seats.binary_search_by_key(&id, |seat| seat.id).ok()
    }

    fn move_rate(&mut self) {
        self.fade = Fade::None;
        let planned = self.parts.as_mut().and_then(|parts| parts.next_rate.take());
        if let Some(rate) = planned.filter(|_| self.next_rate == self.rate)
            && rate != self.rate
        {
            self.fade_to(rate);
        } else if self.next_rate != self.rate {
            self.rate = self.next_rate;
            self.mix.set_rate(self.rate);
            self.forget_farewells();
            self.outlets.set_rate(self.rate);
            self.fade = Fade::In;
        }
    }

    /// Takes what everybody says, and notes who wants to be heard, and the highest rate among them.
    fn listen(&mut self, now: Instant) {
        let crowded = self.is_crowded();
        let part = self.parts.as_ref().map(|parts| parts.own);
        self.source = self.players.rate();
        self.candidates.clear();
        for (at, seat) in self.seats.iter_mut().enumerate() {
            seat.listen(now, crowded, self.bar);
            self.source = self.source.max(seat.slot.source_rate());
            let chosen = seat.chosen.take().filter(|_| part.is_some());
            if let Some(rival) = seat.weigh(crowded) {
                let weight = chosen.unwrap_or(rival.weight);
                let part = part.unwrap_or(PartId(0));
                self.candidates.push(Candidate { rival, weight, part, seat: Some(at) });
            }
            seat.step_down();
            let has_floor = seat.group == GroupId::MAIN;
            let activity = if has_floor { seat.activity } else { Activity::default() };
            self.floor.consider(seat.id, activity);
        }
        if let Some(parts) = &self.parts {
            let elsewhere = |(part, rival): (_, Rival)| Candidate {
                rival,
                weight: rival.weight,
                part,
                seat: None,
            };
            self.candidates.extend(parts.rivals().map(elsewhere));
            self.floor.look_elsewhere(parts.held());
        }
    }

    /// Gives the places in the mix to the loudest.
    fn choose(&mut self, now: Instant) {
        self.give_floor(now);
        let places = self.options.contributors;
        let is_one_group = self.groups.are_none();
        if !is_one_group {
            self.choose_by_group(places);
        } else if self.candidates.len() > places {
            self.candidates.select_nth_unstable_by(places, Candidate::order);
            self.candidates.truncate(places);
        }
        self.bar = level::SILENCE;
        for candidate in &self.candidates {
            if let Some(seat) = candidate.seat.map(|at| &mut self.seats[at]) {
                seat.chosen = Some(candidate.rival.weight);
                seat.step_up(self.duck);
            }
        }
        if self.candidates.len() == places && is_one_group {
            let loudness = self.candidates.iter().map(|candidate| candidate.rival.loudness);
            self.bar = loudness.fold(0.0, f32::min) + ADVANTAGE - DECAY;
        }
    }

    /// Each group has as many places.
    fn choose_by_group(&mut self, places: usize) {
        self.candidates.sort_unstable_by(|one, other| {
            one.rival.group.cmp(&other.rival.group).then(one.order(other))
        });
        let mut taken = [0; GROUPS];
        self.candidates.retain(|candidate| {
            let taken = &mut taken[candidate.rival.group.index()];
            *taken += 1;
            *taken <= places
        });
    }

    fn is_crowded(&self) -> bool {
        let elsewhere = self.parts.as_ref().map_or(0, |parts| parts.seats());
        self.seats.len() + elsewhere > self.options.contributors
    }

    /// Tells who takes the floor in this tick.
    fn give_floor(&mut self, now: Instant) {
        let taken = self.floor.decide(now).and_then(|id| self.slot_mut(id));
        if let Some(slot) = taken {
            slot.note(Event::TookFloor);
        }
    }

    /// Finds the rate that is of use, and fades out if the next tick moves there; all parts of a room do so one tick later.
    fn plan_rate(&mut self) {
        let (mut source, mut listener) = (self.source, self.outlets.rate());
        if let Some(parts) = &self.parts {
            let elsewhere = parts.rates();
            (source, listener) = (source.max(elsewhere.0), listener.max(elsewhere.1));
        }
        let (Some(source), Some(listener)) = (source, listener) else { return };
        let needed = match source.min(listener) {
            ..=8_000 => 8_000,
            8_001..=16_000 => 16_000,
            16_001.. => 48_000,
        };
        self.ticks_above_need = if needed < self.rate { self.ticks_above_need + 1 } else { 0 };
        let due = needed > self.rate || self.ticks_above_need > RATE_HOLD;
        if !due || self.fade != Fade::None {
            return;
        }
        match &mut self.parts {
            None => self.fade_to(needed),
            Some(parts) if parts.leads() => parts.next_rate = Some(needed),
            Some(_) => {}
        }
    }

    /// Fades out in this tick, and mixes at another rate in the next.
    fn fade_to(&mut self, rate: u32) {
        self.next_rate = rate;
        self.ticks_above_need = 0;
        self.fade = Fade::Out;
    }

    /// Sums the voices of this tick, notes whose they are, and sees to it that everyone who is sent to has an outlet.
    fn speak(&mut self) {
        self.mix.begin();
        self.groups.begin(self.mix.frame);
        self.sources.clear();
        // Between the halves of a tick that other parts have to hear of, a slot may change.
        let is_plain = self.fade == Fade::None && self.parts.is_none();
        for seat in &mut self.seats {
            seat.voice = None;
            if seat.slot.is_regrouped() {
                seat.regroup(&mut self.groups);
            }
            if seat.role == Role::Listener {
                seat.name(&mut self.sources, &mut self.names);
                seat.assign(&mut self.outlets, (self.rate, self.ticks), &self.mix.limiter);
                continue;
            }
            if is_plain && let Some(voice) = seat.slot.receiver.plain(self.mix.frame) {
                add_to_group(&mut self.mix, &mut self.groups, seat.group, voice);
                seat.voice = Some(Voice::Plain);
            } else {
                let shape = (self.rate, self.fade);
                let company = (&mut self.groups, seat.group);
                seat.voice = self.mix.make(&mut seat.slot.receiver, shape, company);
            }
            seat.name(&mut self.sources, &mut self.names);
            seat.assign(&mut self.outlets, (self.rate, self.ticks), &self.mix.limiter);
        }
        if !self.players.is_empty() {
            let (mix, groups, fade) = (&mut self.mix, &mut self.groups, self.fade);
            self.players.speak(self.rate, |heard| {
                fade.apply(heard);
                mix.add(heard);
                groups.add_played(heard);
            });
        }
    }

    /// Adds what is said in the other parts of the room.
    fn add_parts(&mut self) {
        if let Some(parts) = &mut self.parts
            && !parts.add_to(
                (&mut self.mix, &mut self.groups),
                (&mut self.sources, &mut self.names),
                self.rate,
            )
        {
            self.parts = None;
        }
    }

    /// Once a second, lets the encoders know what their listeners lose (RFC 3550 §6.4.1 reports).
    fn follow_loss(&mut self) {
        if self.ticks.is_multiple_of(LOSS_TICKS) {
            let reported = self.seats.iter().filter_map(|seat| {
                seat.outlet.map(|outlet| (outlet, seat.slot.far_loss_percent()))
            });
            self.outlets.expect_loss(reported);
        }
    }

    /// Encodes the common mix once for each group.
    fn feed(&mut self) {
        let main = self.mix.common();
        for entry in self.outlets.used().filter(|entry| entry.shared) {
            entry.outlet.feed(self.groups.way(entry.way).map_or(main, Way::common));
        }
    }

    /// Encodes each private mix, lets who makes a sound compare it with what they are sent, and sends.
    fn send(&mut self, now: Instant, sink: &mut impl Sink) {
        if let Some(pcm) = self.mix.common().filter(|_| self.is_recorded) {
            sink.record(Take { tick: now, slot: None, rate: self.rate, pcm });
        }
        let common = self.mix.common().map_or(0.0, root);
        for seat in &mut self.seats {
            if let Some((rate, pcm)) = seat.slot.recorded() {
                sink.record(Take { tick: now, slot: Some(seat.id), rate, pcm });
            }
            let mut sent = 0.0;
            if let Some(id) = seat.outlet {
                let entry = self.outlets.get_mut(id);
                let shape = (self.rate, self.fade);
                sent = if entry.shared {
                    let way = self.groups.way(entry.way).filter(|_| seat.slot.echo.is_awake());
                    way.map_or(common, |way| way.common().map_or(0.0, root))
                } else {
                    seat.feed(entry, (&mut self.mix, &self.groups), shape)
                };
                seat.send(now, &entry.outlet, &self.sources, sink);
            }
            if seat.slot.echo.is_awake() {
                seat.slot.follow_echo(sent, &self.common);
            }
            // There is room for all; who finds none is named in the next tick.
            if seat.slot.has_events() && self.news.len() < self.news.capacity() {
                self.news.push(seat.id);
            }
        }
        self.common.push(common);
    }
}

impl Seated {
    fn new(id: SlotId, slot: Box<Slot>) -> Self {
        Self {
            id,
            slot,
            role: Role::Listener,
            outlet: None,
            voice: None,
            group: GroupId::MAIN,
            way: 0,
            fades: false,
            ticks_without_voice: LONGEST_PACKET,
            source: None,
            audible: true, // Who comes in the middle of a word is faded in.
            was_audible: true,
            pause: HOLD,
            alike: 0,
            chosen: None,
            activity: Activity::default(),
        }
    }

    /// Takes what the leg says in this tick.
    fn listen(&mut self, now: Instant, crowded: bool, bar: f32) {
        let attention = match self.role {
            Role::Listener if self.slot.is_recorded() => Attention::Above(Bar::AUDIBLE),
            Role::Listener => {
                let noise = crowded && self.is_quiet();
                let sound = if noise { NOT_NOISE } else { level::AUDIBLE };
                Attention::Above(Bar { sound, loudness: bar })
            }
            Role::Contributor | Role::Leaving => Attention::Full,
        };
        self.was_audible = self.audible;
        self.audible = self.slot.listen(now, attention);
        let audible = self.audible; // neither muted nor held back
        self.activity.note(self.slot.receiver.speech().filter(|_| audible));
    }

    /// How loud it is for the choice of contributors; `None` if it does not want to be heard.
    fn weigh(&mut self, crowded: bool) -> Option<Rival> {
        let receiver = &self.slot.receiver;
        let noise = crowded && receiver.dbov() < NOT_NOISE && self.is_quiet();
        self.pause = if self.audible && !noise { 0 } else { self.pause.saturating_add(1) };
        let holds = self.role == Role::Contributor;
        let advantage = if holds { ADVANTAGE } else { 0.0 };
        let wants = self.pause == 0 || (holds && self.pause < HOLD);
        let loudness = receiver.loudness();
        wants.then_some(Rival { weight: loudness + advantage, loudness, group: self.group })
    }

    /// Sees to it that it has an outlet if it is sent to: the group's, or one of its own. `limiter` is that of the common
    /// mix.
    fn assign(&mut self, outlets: &mut Outlets, (rate, ticks): (u32, u64), limiter: &Limiter) {
        let wanted = self.slot.sender.encoding();
        if let Some(id) = self.outlet
            && wanted != Some(outlets.get(id).outlet.encoding())
        {
            outlets.leave(id);
            self.outlet = None;
        }
        let Some(wanted) = wanted else { return };
        let Some(id) = self.outlet.or_else(|| outlets.join(wanted, self.way, (rate, ticks))) else {
            return;
        };
        let id = outlets.follow(id, self.way, limiter);
        let own_mix = self.role != Role::Listener
            || !self.slot.gain_out.is_unity()
            || self.slot.has_players();
        let shared = outlets.get(id).shared;
        self.alike = if own_mix || shared { 0 } else { self.alike + 1 };
        self.outlet = Some(if own_mix && shared {
            outlets.split(id, limiter)
        } else if self.alike > REJOIN {
            outlets.rejoin(id)
        } else {
            id
        });
    }

    /// Encodes its private mix; gives the √amplitude of that, if somebody wants to know.
    fn feed(
        &mut self,
        entry: &mut Entry,
        (mix, groups): (&mut Mix, &Groups),
        (rate, fade): (u32, Fade),
    ) -> f32 {
        let Slot { receiver, gain_out: gain, players, echo, .. } = &mut *self.slot;
        let mut is_heard = !gain.is_zero()
            && if let Some(way) = groups.way(self.way) {
                let own = (self.voice, &*receiver, self.group);
                mix.make_own_way(own, way, &mut entry.limiter)
            } else {
                let voice = self.voice.filter(|_| self.group == GroupId::MAIN);
                mix.make_own(voice, receiver, &mut entry.limiter)
            };
        if is_heard {
            gain.apply(&mut mix.own);
        } else {
            gain.settle();
        }
        for players in players.iter_mut() {
            players.speak(rate, |heard| {
                fade.apply(heard);
                mix.add_to_own(heard, is_heard);
                is_heard = true;
            });
        }
        let own = is_heard.then_some(&mix.own[..]);
        entry.outlet.feed(own);
        let level = own.filter(|_| echo.is_awake()).map_or(0.0, root);
        self.slot.note_played();
        level
    }

    fn send(&mut self, now: Instant, outlet: &Outlet, sources: &Sources, sink: &mut impl Sink) {
        let is_deaf = self.slot.gain_out.is_zero();
        let heard =
            (!is_deaf && self.slot.hears(GroupId::MAIN)).then(|| sources.without(self.source));
        for payload in outlet.packets() {
            let to = self.id;
            let send = |header: &[u8], payload: &[u8]| sink.send(to, header, payload);
            if outlet.is_settled() {
                self.slot.sender.send_silence(now, payload, send);
            } else {
                self.slot.sender.send(now, (payload, heard), send);
            }
        }
    }

    /// Puts it among the sources if it is heard in a packet that ends in this tick.
    fn name(&mut self, sources: &mut Sources, names: &mut Names) {
        self.source = None;
        match self.voice {
            Some(_) => self.ticks_without_voice = 0,
            None if self.ticks_without_voice >= LONGEST_PACKET => return,
            None => self.ticks_without_voice += 1,
        }
        if self.ticks_without_voice < LONGEST_PACKET
            && self.group == GroupId::MAIN
            && let Some((ssrc, level)) = self.slot.source()
        {
            let level = if self.voice.is_some() { level } else { AudioLevel::SILENCE };
            self.source = sources.push(ssrc, level);
            self.slot.source_name().into_iter().for_each(|named| names.note(named));
        }
    }

    /// Of those who are named in the room, whom it is told of.
    fn contributors<'a>(&self, names: &'a Names) -> Contributors<'a> {
        let is_told = self.slot.sender.names()
            && !self.slot.gain_out.is_zero()
            && self.slot.hears(GroupId::MAIN);
        if is_told {
            names.to(self.slot.source().map(|(ssrc, _)| ssrc))
        } else {
            Contributors::default()
        }
    }

    /// Nobody has talked here for a while.
    fn is_quiet(&self) -> bool {
        self.slot.receiver.ticks_without_talk() > NOISE_AFTER
    }

    /// Speaks to others, or hears others. Who is heard fades out for those whom they leave in this tick, and comes in by a
    /// ramp to the others in the next.
    fn regroup(&mut self, groups: &mut Groups) {
        let (group, hearing) = self.slot.company();
        let moves = self.group != group;
        if moves && self.role != Role::Listener && !self.fades {
            self.fades = true;
            self.slot.receiver.gain.aim(0.0);
            return;
        }
        self.slot.note_regrouped();
        groups.leave(self.way);
        self.way = groups.join(&hearing);
        self.group = group;
        if std::mem::take(&mut self.fades) {
            self.slot.receiver.gain.restart();
        }
    }

    /// Leaves the mix, unless [`Self::step_up`] follows.
    fn step_down(&mut self) {
        match self.role {
            Role::Listener => {}
            Role::Contributor => {
                self.role = Role::Leaving;
                self.slot.receiver.gain.aim(0.0);
            }
            Role::Leaving => {
                self.role = Role::Listener;
                self.slot.receiver.rest();
            }
        }
    }

    fn step_up(&mut self, duck: f32) {
        let factor = self.slot.factor_in() * duck;
        if self.role == Role::Listener && !self.was_audible {
            // The beginning of a sound needs no ramp, and a lone talker has to stay bit-exact.
            self.slot.receiver.gain.jump(factor);
        }
        self.slot.receiver.gain.aim(factor);
        self.role = Role::Contributor;
    }
}

impl Mix {
    fn new(rate: u32) -> Self {
        let mut mix = Self {
            voices: Vec::new(),
            made: 0,
            count: 0,
            others: 0,
            sum: Vec::new(),
            common: Vec::new(),
            limiter: Limiter::default(),
            own: Vec::new(),
            frame: 0,
            farewell: None,
        };
        mix.set_rate(rate);
        mix
    }

    /// Is at `rate` Hz from the next tick on.
    fn set_rate(&mut self, rate: u32) {
        self.frame = rate as usize / 50;
        self.sum.resize(self.frame, 0);
        self.common.resize(self.frame, 0);
        self.own.resize(self.frame, 0);
    }

    fn begin(&mut self) {
        (self.made, self.count, self.others) = (0, 0, 0);
        self.sum.fill(0);
        if let Some(farewell) = self.farewell.take() {
            self.add(&farewell[..self.frame]);
        }
    }

    /// Makes the voice of a receiver and adds it; `None` if that is silent.
    fn make(
        &mut self,
        receiver: &mut Receiver,
        (rate, fade): (u32, Fade),
        (groups, group): (&mut Groups, GroupId),
    ) -> Option<Voice> {
        let from = self.made * self.frame;
        if self.voices.len() < from + self.frame {
            self.voices.resize(from + self.frame, 0);
        }
        let voice = &mut self.voices[from..from + self.frame];
        if !receiver.speak(rate, voice) {
            receiver.gain.settle();
            return None;
        }
        fade.apply(voice);
        if group == GroupId::MAIN {
            add_to(&mut self.sum, voice);
            self.count += 1;
        } else {
            groups.add(group, voice);
        }
        self.made += 1;
        Some(Voice::Made(self.made - 1))
    }

    /// Adds a voice that is kept elsewhere.
    fn add(&mut self, voice: &[i16]) {
        add_to(&mut self.sum, voice);
        self.count += 1;
    }

    /// Adds a sum of so many voices from elsewhere.
    fn add_sum(&mut self, sum: &[i32], voices: usize) {
        for (own, &sample) in self.sum.iter_mut().zip(sum) {
            *own += sample;
        }
        self.others += voices;
    }

    fn finish(&mut self) {
        if self.count + self.others > 0 {
            self.limiter.narrow(&self.sum, &mut self.common);
        }
    }

    /// What everybody hears who says nothing; `None` is silence.
    fn common(&self) -> Option<&[i16]> {
        (self.count + self.others > 0).then_some(&self.common[..])
    }

    /// Makes the mix without one voice, that of `receiver`, in [`Self::own`]; false if that is silence.
    ///
    /// The sum is narrowed after the own voice is taken out: narrowing earlier would leave an echo
    /// of whatever was limited.
    fn make_own(
        &mut self,
        voice: Option<Voice>,
        receiver: &Receiver,
        limiter: &mut Limiter,
    ) -> bool {
        if self.count + self.others <= usize::from(voice.is_some()) {
            return false;
        }
        let voice = match voice {
            Some(Voice::Made(at)) => Some(&self.voices[at * self.frame..][..self.frame]),
            Some(Voice::Plain) => receiver.plain(self.frame),
            None => None,
        };
        match voice {
            Some(voice) => limiter.narrow_without(&self.sum, voice, &mut self.own),
            None => self.own.copy_from_slice(&self.common),
        }
        true
    }

    /// The same for who hears otherwise than most.
    fn make_own_way(
        &mut self,
        (voice, receiver, group): (Option<Voice>, &Receiver, GroupId),
        way: &Way,
        limiter: &mut Limiter,
    ) -> bool {
        let voice = match voice {
            Some(Voice::Made(at)) => Some(&self.voices[at * self.frame..][..self.frame]),
            Some(Voice::Plain) => receiver.plain(self.frame),
            None => None,
        };
        way.make_own(voice, group, &mut self.own, limiter)
    }

    /// Adds what only one hears to [`Self::own`], if there is something in that.
    fn add_to_own(&mut self, heard: &[i16], is_heard: bool) {
        if !is_heard {
            self.own.fill(0);
        }
        for (own, &sample) in self.own.iter_mut().zip(heard) {
            *own = own.saturating_add(sample);
        }
    }
}

fn add_to(sum: &mut [i32], voice: &[i16]) {
    for (sum, &sample) in sum.iter_mut().zip(voice) {
        *sum += i32::from(sample);
    }
}

/// √amplitude: loud syllables count more than pauses, but not so much more that they alone count.
fn root(pcm: &[i16]) -> f32 {
    level::power(pcm).sqrt().sqrt()
}

/// Over the second quarter of a tick: in the first the resamplers fill.
fn fade_in(voice: &mut [i16]) {
    let quarter = voice.len() / 4;
    let mut gain = Gain::ZERO;
    gain.aim(1.0);
    voice[..quarter].fill(0);
    gain.apply(&mut voice[quarter..2 * quarter]);
}

/// Over the second quarter of a tick: in the rest the listeners' resamplers run empty.
fn fade_out(voice: &mut [i16]) {
    let quarter = voice.len() / 4;
    let mut gain = Gain::UNITY;
    gain.aim(0.0);
    gain.apply(&mut voice[quarter..2 * quarter]);
    voice[2 * quarter..].fill(0);
}
