//! What is played to rooms, calls and legs: announcements, music and prompts.
//!
//! ```text
//!            somebody hears it, and none before it is heard
//!   Queued ─────────────────────────────────────────────────▶ Playing ◀──▶ Paused
//!     ▲              nobody left, and it is music                │           │
//!     └──────────────────────────────────────────────────────────┤           │
//!                                  the end, a stop, nobody left  └──▶ over ◀─┘
//! ```
//! Announcements and prompts of one hearer follow each other; music goes on beside them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::control::ControlError;
use api::event::{Data, EventType};
use api::model::{
    self, CallId, LeftReason, LegId, Page, PlayMode, PlaybackEnd, PlaybackId, PlaybackPurpose,
    PlaybackQuery, PlaybackState, RoomId, UpdatePlayback,
};
use jiff::Timestamp;

use super::command::page::{self, Wanted};
use super::command::{Answer, conflict, invalid, no_such};
use super::gate::Gate;
use super::{Bridge, Place, Subject};
use crate::media::command::{Audience, Clip, Command, Play, PlayId, Steer};
use crate::sounds::prompts::MUSIC;

/// Who hears something.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Hearer {
    Room(RoomId),
    /// Those who wait before a room.
    Lobby(RoomId),
    Call(CallId),
    Leg(LegId),
}

/// What follows something that was played, however it ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Then {
    Nothing,
    /// Who has heard it is hung up.
    HangUp(LeftReason),
}

impl From<Place> for Hearer {
    fn from(place: Place) -> Self {
        match place {
            Place::Room(room) => Self::Room(room),
            Place::Call(call) => Self::Call(call),
        }
    }
}

/// Whether something waits for what was asked for before it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Turn {
    Waits,
    Beside,
}

/// Something to be played.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) purpose: PlaybackPurpose,
    pub(super) turn: Turn,
    pub(super) media: Vec<String>,
    pub(super) clips: Vec<Clip>,
    /// How often; `None` until it is stopped.
    pub(super) times: Option<u32>,
    pub(super) gain_db: f32,
    /// By how much all else is lowered meanwhile, dB.
    pub(super) duck_db: f32,
    /// Where the first round begins.
    pub(super) from: Duration,
    pub(super) then: Then,
}

/// Everything that is played or waits.
#[derive(Debug, Default)]
pub(super) struct Playings {
    /// In the order in which they were asked for.
    by_hearer: BTreeMap<Hearer, Vec<Playback>>,
    hearers: BTreeMap<PlaybackId, Hearer>,
    /// What the media threads play.
    running: BTreeMap<PlayId, PlaybackId>,
    /// By how much all else is lowered, dB; of the others by nothing.
    ducked: BTreeMap<Hearer, f32>,
}

#[derive(Debug)]
struct Playback {
    id: PlaybackId,
    order: Order,
    round: Duration,
    state: State,
    /// What the media threads know it by, while they do.
    play: Option<PlayId>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
}

/// With how much was heard of it, all rounds together.
#[derive(Clone, Copy, Debug)]
enum State {
    Queued(Duration),
    Playing { since: Instant, heard: Duration },
    Paused(Duration),
}

impl State {
    fn set_heard(&mut self, now: Instant, to: Duration) {
        match self {
            Self::Queued(heard) | Self::Paused(heard) => *heard = to,
            Self::Playing { since, heard } => (*since, *heard) = (now, to),
        }
    }
}

impl Order {
    /// Goes on until it is stopped.
    pub(super) fn music(media: Vec<String>, clips: Vec<Clip>, gain_db: f32) -> Self {
        Self {
            purpose: PlaybackPurpose::Music,
            turn: Turn::Beside,
            media,
            clips,
            times: None,
            gain_db,
            duck_db: 0.0,
            from: Duration::ZERO,
            then: Then::Nothing,
        }
    }

    /// Tells something, once; the others are heard below it.
    pub(super) fn prompt(media: Vec<String>, clips: Vec<Clip>, then: Then) -> Self {
        Self {
            purpose: PlaybackPurpose::Prompt,
            turn: Turn::Waits,
            times: Some(1),
            duck_db: PROMPT_DUCK_DB,
            then,
            ..Self::music(media, clips, 0.0)
        }
    }
}

impl Playback {
    fn heard(&self, now: Instant) -> Duration {
        match self.state {
            State::Queued(heard) | State::Paused(heard) => heard,
            State::Playing { since, heard } => {
                let most = self.order.times.map_or(Duration::MAX, |times| self.round * times);
                (heard + now.saturating_duration_since(since)).min(most)
            }
        }
    }

    /// Whole rounds that were heard, and how much of the present one.
    fn position(&self, now: Instant) -> (u32, Duration) {
        let (heard, round) = (self.heard(now).as_micros(), self.round.as_micros().max(1));
        let rounds = u32::try_from(heard / round).unwrap_or(u32::MAX);
        (rounds, Duration::from_micros(u64::try_from(heard % round).unwrap_or(0)))
    }

    fn is_running(&self) -> bool {
        !matches!(self.state, State::Queued(_))
    }

    /// Makes a change, and says what the media threads are to be told.
    fn change(&mut self, now: Instant, body: &UpdatePlayback, to: Option<Duration>) -> Vec<Steer> {
        let mut steers = Vec::new();
        if let Some(to) = to {
            let (rounds, _) = self.position(now);
            self.state.set_heard(now, self.round * rounds + to);
            steers.push(Steer::Seek(to));
        }
        if let Some(gain_db) = body.gain_db {
            self.order.gain_db = gain_db;
            steers.push(Steer::Gain(gain_db));
        }
        match (body.paused, self.state) {
            (Some(true), State::Playing { .. }) => {
                self.state = State::Paused(self.heard(now));
                steers.push(Steer::Pause);
            }
            (Some(false), State::Paused(heard)) => {
                self.state = State::Playing { since: now, heard };
                steers.push(Steer::Resume);
            }
            (Some(_) | None, State::Queued(_) | State::Playing { .. } | State::Paused(_)) => {}
        }
        steers
    }

    /// What is left to be played.
    fn rest(&self, now: Instant) -> Play {
        let (rounds, from) = self.position(now);
        Play {
            clips: self.order.clips.clone(),
            times: self.order.times.map(|times| times.saturating_sub(rounds)),
            gain_db: self.order.gain_db,
            from,
        }
    }

    fn view(&self, hearer: Hearer, now: Instant) -> model::Playback {
        let (room, call, leg) = match hearer {
            Hearer::Room(room) | Hearer::Lobby(room) => (Some(room), None, None),
            Hearer::Call(call) => (None, Some(call), None),
            Hearer::Leg(leg) => (None, None, Some(leg)),
        };
        model::Playback {
            id: self.id,
            room,
            call,
            leg,
            purpose: self.order.purpose,
            state: match self.state {
                State::Queued(_) => PlaybackState::Queued,
                State::Playing { .. } => PlaybackState::Playing,
                State::Paused(_) => PlaybackState::Paused,
            },
            media: self.order.media.clone(),
            repeat: self.order.times.unwrap_or(0),
            gain_db: self.order.gain_db,
            duck_db: self.order.duck_db,
            position_ms: in_ms(self.position(now).1),
            duration_ms: in_ms(self.round),
            created_at: self.created_at,
            started_at: self.started_at,
            ended_at: None,
            end_reason: None,
        }
    }
}

impl Playings {
    /// What somebody hears or will.
    fn of(&self, hearer: Hearer) -> &[Playback] {
        self.by_hearer.get(&hearer).map_or(&[], Vec::as_slice)
    }

    fn find_mut(&mut self, id: PlaybackId) -> Option<(Hearer, &mut Playback)> {
        let hearer = *self.hearers.get(&id)?;
        let all = self.by_hearer.get_mut(&hearer)?;
        all.iter_mut().find(|one| one.id == id).map(|one| (hearer, one))
    }

    fn remove(&mut self, id: PlaybackId) -> Option<(Hearer, Playback)> {
        let hearer = self.hearers.remove(&id)?;
        let all = self.by_hearer.get_mut(&hearer)?;
        let at = all.iter().position(|one| one.id == id)?;
        let playback = all.remove(at);
        if all.is_empty() {
            self.by_hearer.remove(&hearer);
        }
        if let Some(play) = playback.play {
            self.running.remove(&play);
        }
        Some((hearer, playback))
    }

    /// True if that is not as it was.
    fn note_duck(&mut self, hearer: Hearer, duck_db: f32) -> bool {
        let before = if duck_db > 0.0 {
            self.ducked.insert(hearer, duck_db)
        } else {
            self.ducked.remove(&hearer)
        };
        (before.unwrap_or(0.0) - duck_db).abs() > 0.01
    }

    /// What may begin now: music, and of the others the first that waits if none is heard.
    fn ready(&self, hearer: Hearer) -> Vec<PlaybackId> {
        let all = self.of(hearer);
        let waits = |one: &&Playback| one.order.turn == Turn::Waits;
        let is_busy = all.iter().filter(waits).any(Playback::is_running);
        let next = all.iter().find(waits).filter(|_| !is_busy).map(|one| one.id);
        let beside = all.iter().filter(|one| !waits(one) && !one.is_running()).map(|one| one.id);
        beside.chain(next).collect()
    }
}

impl Bridge {
    /// Has something played, now or once it can be heard.
    pub(super) fn play(&mut self, hearer: Hearer, order: Order) -> PlaybackId {
        let id = PlaybackId::new(self.unix_ms(), self.random());
        let playback = Playback {
            id,
            round: order.clips.iter().map(Clip::duration).sum(),
            state: State::Queued(order.from),
            order,
            play: None,
            created_at: self.wall(),
            started_at: None,
        };
        self.playings.hearers.insert(id, hearer);
        self.playings.by_hearer.entry(hearer).or_default().push(playback);
        self.play_on(hearer);
        id
    }

    /// Begins what waits and can be heard now.
    pub(super) fn play_on(&mut self, hearer: Hearer) {
        if let Some(audience) = self.reached(hearer) {
            for id in self.playings.ready(hearer) {
                self.begin(id, audience);
            }
        }
        self.duck(hearer);
    }

    fn begin(&mut self, id: PlaybackId, to: Audience) {
        let (now, wall, play) = (self.now, self.wall(), PlayId(self.next_key()));
        let Some((hearer, playback)) = self.playings.find_mut(id) else { return };
        let rest = playback.rest(now);
        playback.state = State::Playing { since: now, heard: playback.heard(now) };
        playback.play = Some(play);
        let is_first = playback.started_at.is_none();
        playback.started_at.get_or_insert(wall);
        let view = playback.view(hearer, now);
        self.playings.running.insert(play, id);
        self.tell_media(Command::Play { to, id: play, play: Box::new(rest) });
        if is_first {
            self.playback_happened(EventType::PlaybackStarted, hearer, &view);
        }
    }

    /// Where the media threads are to play, if somebody hears it there.
    fn reached(&self, hearer: Hearer) -> Option<Audience> {
        let is_seated = |leg: &LegId, place| {
            self.legs.get(leg).is_some_and(|leg| leg.joined_at.is_some() && leg.place == place)
        };
        match hearer {
            Hearer::Room(id) => {
                let room = self.rooms.get(&id)?;
                let is_here = room.legs.iter().any(|leg| is_seated(leg, Place::Room(id)));
                is_here.then_some(Audience::Mix(room.mix))
            }
            Hearer::Lobby(id) => {
                let room = self.rooms.get(&id)?;
                let mut gates =
                    room.legs.iter().filter_map(|leg| self.legs.get(leg)?.gate.as_ref());
                gates.any(Gate::is_announced).then_some(Audience::Mix(room.lobby))
            }
            Hearer::Call(id) => {
                let call = self.calls.get(&id)?;
                let is_here = call.legs.iter().any(|leg| is_seated(leg, Place::Call(id)));
                is_here.then_some(Audience::Mix(call.mix))
            }
            Hearer::Leg(leg) => {
                let leg = self.legs.get(&leg).filter(|leg| leg.is_up())?;
                Some(Audience::Leg(leg.media))
            }
        }
    }

    /// The media threads have come to the end of something, or have nobody left to play it to.
    pub(super) fn played(&mut self, play: PlayId, cut: bool) {
        let Some(id) = self.playings.running.remove(&play) else { return };
        let now = self.now;
        let Some((hearer, playback)) = self.playings.find_mut(id) else { return };
        playback.play = None;
        if !cut {
            return self.end_playback(id, PlaybackEnd::Completed);
        }
        playback.state = State::Queued(playback.heard(now));
        let is_music = playback.order.purpose == PlaybackPurpose::Music;
        if is_music || self.reached(hearer).is_some() {
            self.play_on(hearer);
        } else {
            self.end_playback(id, PlaybackEnd::NobodyLeft);
        }
    }

    /// Ends what is played or waits.
    pub(super) fn end_playback(&mut self, id: PlaybackId, why: PlaybackEnd) {
        let now = self.now;
        let Some((hearer, playback)) = self.playings.remove(id) else { return };
        if let (Some(play), Some(to)) = (playback.play, self.reached(hearer)) {
            self.tell_media(Command::Steer { to, id: play, steer: Steer::Stop });
        }
        let mut view = playback.view(hearer, now);
        view.state = PlaybackState::Ended;
        view.ended_at = Some(self.wall());
        view.end_reason = Some(why);
        if why == PlaybackEnd::Completed {
            view.position_ms = view.duration_ms;
        }
        self.playback_happened(EventType::PlaybackEnded, hearer, &view);
        self.history.playback(view);
        if let (Then::HangUp(reason), Hearer::Leg(leg)) = (playback.order.then, hearer) {
            self.end_leg(leg, reason, None);
        }
        self.play_on(hearer);
    }

    /// Whether this is not over.
    pub(super) fn is_live(&self, playback: PlaybackId) -> bool {
        self.playings.hearers.contains_key(&playback)
    }

    /// Whether something is played to somebody, or waits.
    pub(super) fn is_played(&self, hearer: Hearer) -> bool {
        !self.playings.of(hearer).is_empty()
    }

    /// What for somebody hears something, or will.
    #[cfg(test)]
    pub(super) fn purposes(&self, hearer: Hearer) -> Vec<PlaybackPurpose> {
        self.playings.of(hearer).iter().map(|one| one.order.purpose).collect()
    }

    /// How long what somebody hears, and what waits for its turn, lasts; music does not count.
    pub(super) fn heard_for(&self, hearer: Hearer) -> Duration {
        let spoken = self.playings.of(hearer).iter();
        let spoken = spoken.filter(|one| one.order.turn == Turn::Waits);
        let rest = |one: &Playback| {
            let all = one.round * one.order.times.unwrap_or(1);
            all.saturating_sub(one.heard(self.now))
        };
        spoken.map(rest).sum()
    }

    /// The sound of this name.
    pub(super) fn clip(&mut self, name: &str) -> Option<Clip> {
        self.library.clip(name)
    }

    /// Ends all that somebody hears and that is played for one of these purposes.
    pub(super) fn end_playbacks(
        &mut self,
        hearer: Hearer,
        purposes: &[PlaybackPurpose],
        why: PlaybackEnd,
    ) {
        let concerned = |one: &&Playback| purposes.contains(&one.order.purpose);
        let ids = self.playings.of(hearer).iter().filter(concerned).map(|one| one.id);
        // The last first: none begins because one before it has ended.
        for id in ids.rev().collect::<Vec<_>>() {
            self.end_playback(id, why);
        }
    }

    /// Nobody hears any more what was played to this one: it has gone.
    pub(super) fn hearer_gone(&mut self, hearer: Hearer) {
        self.recorded_gone(hearer);
        self.end_playbacks(hearer, &ALL, PlaybackEnd::NobodyLeft);
    }

    /// Lowers everything else while something is played that asks for it.
    fn duck(&mut self, hearer: Hearer) {
        let heard = self.playings.of(hearer).iter();
        let heard = heard.filter(|one| matches!(one.state, State::Playing { .. }));
        let duck_db = heard.map(|one| one.order.duck_db).fold(0.0, f32::max);
        if !self.playings.note_duck(hearer, duck_db) {
            return;
        }
        match (hearer, self.reached(hearer)) {
            (Hearer::Leg(id), _) => {
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.duck_db = duck_db;
                    self.apply_seat(id);
                }
            }
            (Hearer::Room(_) | Hearer::Lobby(_) | Hearer::Call(_), Some(Audience::Mix(mix))) => {
                self.tell_media(Command::Duck { mix, gain_db: -duck_db });
            }
            (
                Hearer::Room(_) | Hearer::Lobby(_) | Hearer::Call(_),
                Some(Audience::Leg(_)) | None,
            ) => {}
        }
    }

    // ---- what the API asks ----

    pub(super) fn api_play(
        &mut self,
        audience: &model::Audience,
        body: model::Play,
    ) -> Answer<model::Playback> {
        let hearer = self.hearer(audience)?;
        let clips = self.clips(&body.media)?;
        let from = Duration::from_millis(body.position_ms);
        let round: Duration = clips.iter().map(Clip::duration).sum();
        if from >= round {
            let found = body.position_ms;
            let detail = format!("expected less than {} ms, found {found}", in_ms(round));
            return Err(invalid("/position_ms", detail));
        }
        if self.playings.of(hearer).len() >= MOST {
            let detail = format!("{MOST} playbacks wait or are played there already; stop some");
            return Err(conflict("too_many_playbacks", detail));
        }
        if body.mode == PlayMode::Replace {
            let spoken = [PlaybackPurpose::Announcement];
            self.end_playbacks(hearer, &spoken, PlaybackEnd::Replaced);
        }
        let turn = if body.mode == PlayMode::Overlay { Turn::Beside } else { Turn::Waits };
        let order = Order {
            purpose: PlaybackPurpose::Announcement,
            turn,
            media: body.media,
            clips,
            times: (body.repeat > 0).then_some(body.repeat),
            gain_db: body.gain_db,
            duck_db: body.duck_db,
            from,
            then: Then::Nothing,
        };
        let id = self.play(hearer, order);
        self.api_playback(id)
    }

    /// Who may hear something: a room or call that is not over, or a leg that is up.
    pub(super) fn hearer(&self, audience: &model::Audience) -> Answer<Hearer> {
        match audience {
            model::Audience::Room(room) => self.open_room(room).map(Hearer::Room),
            model::Audience::Call(call) if self.calls.contains_key(call) => Ok(Hearer::Call(*call)),
            model::Audience::Call(call) if self.history.calls.contains_key(call) => {
                Err(conflict("call_ended", "the call has ended"))
            }
            model::Audience::Call(call) => Err(no_such("call", call)),
            model::Audience::Leg(leg) => self.up(*leg).map(|leg| Hearer::Leg(leg.id)),
        }
    }

    /// Plays music to a room instead of any that it hears.
    pub(super) fn api_play_music(
        &mut self,
        room: &str,
        body: model::PlayMusic,
    ) -> Answer<model::Playback> {
        let hearer = self.open_room(room).map(Hearer::Room)?;
        let is_default = body.media.is_empty();
        let media = if is_default { vec![MUSIC.to_owned()] } else { body.media };
        let clips = self.clips(&media)?;
        self.end_playbacks(hearer, &[PlaybackPurpose::Music], PlaybackEnd::Replaced);
        let id = self.play(hearer, Order::music(media, clips, body.gain_db));
        self.api_playback(id)
    }

    pub(super) fn api_stop_music(&mut self, room: &str) -> Answer<()> {
        let hearer = self.open_room(room).map(Hearer::Room)?;
        self.end_playbacks(hearer, &[PlaybackPurpose::Music], PlaybackEnd::Stopped);
        Ok(())
    }

    pub(super) fn api_playback(&self, id: PlaybackId) -> Answer<model::Playback> {
        let live = self.playings.hearers.get(&id).and_then(|hearer| {
            let mut all = self.playings.of(*hearer).iter();
            all.find(|one| one.id == id).map(|one| one.view(*hearer, self.now))
        });
        let ended = || self.history.playbacks.get(&id).cloned();
        live.or_else(ended).ok_or_else(|| no_such("playback", id))
    }

    pub(super) fn api_list_playbacks(
        &self,
        query: &PlaybackQuery,
    ) -> Answer<Page<model::Playback>> {
        let page = query.page();
        let wanted = Wanted::of(&page, &["queued", "playing", "paused", "ended"])?;
        let room = match &query.room {
            Some(room) => Some(self.api_room(room)?.id),
            None => None,
        };
        let ended = self.history.playbacks.values().cloned().map(|one| (false, one));
        let live = self.live_playbacks();
        let mut all: Vec<_> = ended.chain(live.map(|one| (true, one))).collect();
        all.retain(|(is_live, one)| {
            wanted.takes(*is_live, &one.state)
                && (room.is_none() || one.room == room)
                && (query.call.is_none() || one.call == query.call)
                && (query.leg.is_none() || one.leg == query.leg)
                && self.is_heard_in(one, &query.within)
        });
        all.sort_by_key(|(_, one)| one.id);
        page::page(&page, all.into_iter().map(|(_, one)| one), |one| one.id)
    }

    /// What is played or waits, oldest first.
    pub(super) fn live_playbacks(&self) -> impl Iterator<Item = model::Playback> {
        self.playings.hearers.keys().filter_map(|id| self.api_playback(*id).ok())
    }

    /// Whether one of these rooms hears it, or a leg that sits in one, or did; where none is named, whoever does.
    pub(super) fn is_heard_in(&self, playback: &model::Playback, rooms: &[RoomId]) -> bool {
        let room_of = |leg: LegId| match self.legs.get(&leg) {
            Some(leg) => leg.place.room(),
            None => self.history.legs.get(&leg)?.0.room,
        };
        let room = playback.room.or_else(|| playback.leg.and_then(room_of));
        rooms.is_empty() || room.is_some_and(|room| rooms.contains(&room))
    }

    pub(super) fn api_update_playback(
        &mut self,
        id: PlaybackId,
        body: &UpdatePlayback,
    ) -> Answer<model::Playback> {
        let now = self.now;
        let is_over = self.history.playbacks.contains_key(&id);
        let Some((hearer, playback)) = self.playings.find_mut(id) else {
            return Err(if is_over { playback_ended() } else { no_such("playback", id) });
        };
        let to = body.position_ms.map(Duration::from_millis);
        if to.is_some_and(|to| to >= playback.round) {
            let detail = format!("expected less than {} ms", in_ms(playback.round));
            return Err(invalid("/position_ms", detail));
        }
        if body.paused.is_some() && !playback.is_running() {
            let detail = "it waits for others before it, or for somebody who hears it";
            return Err(conflict("playback_queued", detail));
        }
        let steers = playback.change(now, body, to);
        let play = playback.play;
        if let (Some(play), Some(to)) = (play, self.reached(hearer)) {
            for steer in steers {
                self.tell_media(Command::Steer { to, id: play, steer });
            }
        }
        self.duck(hearer);
        self.api_playback(id)
    }

    /// Stops what is played or waits; what is over already stays so.
    pub(super) fn api_stop_playback(&mut self, id: PlaybackId) -> Answer<()> {
        if self.playings.hearers.contains_key(&id) {
            self.end_playback(id, PlaybackEnd::Stopped);
            return Ok(());
        }
        let is_over = self.history.playbacks.contains_key(&id);
        Err(if is_over { playback_ended() } else { no_such("playback", id) })
    }

    fn playback_happened(&mut self, kind: EventType, hearer: Hearer, view: &model::Playback) {
        let subject = match hearer {
            Hearer::Room(room) | Hearer::Lobby(room) => {
                Subject { room: Some(room), ..Subject::default() }
            }
            Hearer::Call(call) => Subject { call: Some(call), ..Subject::default() },
            Hearer::Leg(leg) => {
                let gone = Subject { leg: Some(leg), ..Subject::default() };
                self.legs.get(&leg).map_or(gone, Subject::of)
            }
        };
        self.happened(kind, subject, Data::of(view));
    }
}

/// Every purpose.
const ALL: [PlaybackPurpose; 3] =
    [PlaybackPurpose::Announcement, PlaybackPurpose::Music, PlaybackPurpose::Prompt];

fn playback_ended() -> ControlError {
    conflict("playback_ended", "the playback is over")
}

/// What is told is to be understood.
const PROMPT_DUCK_DB: f32 = 15.0;
/// At one hearer, at once.
const MOST: usize = 64;

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
