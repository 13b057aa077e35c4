//! Who waits before a room: for a PIN, for a moderator, or to be let in.
//!
//! ```text
//!             a PIN is asked      a moderator is awaited    somebody must let in
//!  answered ──▶ Pin ──right──▶ Moderator ──one comes──▶ Admission ──admitted──▶ joined
//!                │ wrong too often, or nothing said                               ▲
//!                ▼                            each is left out where the room does not ask for it
//!              hung up
//! ```
//! Who enters a PIN sits in a mix alone; the others who wait sit in the lobby, a mix in which nobody is heard but the music, which
//! is encoded once for all of them.

use std::time::Duration;

use api::event::{Data, EventType};
use api::model::{
    Direction, LeftReason, LegId, MutedBy, PlaybackEnd, PlaybackPurpose, Role, RoomId, WaitingFor,
};
use serde_json::json;

use super::playing::{Hearer, Order, Then};
use super::room::Book;
use super::{Bridge, Place, Subject, Timer};
use crate::media::command::{Command, MixKey};

/// What somebody who was answered waits for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Gate {
    /// The right digits.
    Pin {
        /// Entered so far.
        digits: String,
        tries_left: u32,
    },
    /// That a moderator comes.
    Moderator,
    /// That somebody lets them in.
    Admission,
    /// They were told that they may not come in, and are hung up.
    Refused,
}

impl Gate {
    /// As the API shows it.
    pub(super) fn waits_for(&self) -> WaitingFor {
        match self {
            Self::Pin { .. } | Self::Refused => WaitingFor::Pin,
            Self::Moderator => WaitingFor::Moderator,
            Self::Admission => WaitingFor::Admission,
        }
    }

    /// Whether others are told that somebody waits: not before they have shown that they may.
    pub(super) fn is_announced(&self) -> bool {
        matches!(self, Self::Moderator | Self::Admission)
    }
}

impl Bridge {
    /// What somebody who has just been answered waits for before they join their room.
    pub(super) fn first_gate(&self, id: LegId) -> Option<Gate> {
        let leg = self.legs.get(&id)?;
        let room = self.rooms.get(&leg.place.room()?)?;
        if leg.direction == Direction::Inbound && room.manners.asks_pin() {
            let tries_left = room.manners.pin_attempts;
            return Some(Gate::Pin { digits: String::new(), tries_left });
        }
        self.gate_behind_pin(id)
    }

    fn gate_behind_pin(&self, id: LegId) -> Option<Gate> {
        let leg = self.legs.get(&id)?;
        let room = leg.place.room()?;
        let awaits = self.rooms.get(&room)?.manners.wait_for_moderator;
        if leg.controls.role == Role::Moderator {
            return None;
        }
        if awaits && !self.has_moderator(room) {
            return Some(Gate::Moderator);
        }
        self.last_gate(id)
    }

    /// Whom we have called is welcome.
    fn last_gate(&self, id: LegId) -> Option<Gate> {
        let leg = self.legs.get(&id)?;
        let room = self.rooms.get(&leg.place.room()?)?;
        let is_caller = leg.direction == Direction::Inbound;
        (is_caller && room.manners.waiting_room && leg.controls.role != Role::Moderator)
            .then_some(Gate::Admission)
    }

    pub(super) fn has_moderator(&self, room: RoomId) -> bool {
        let Some(room) = self.rooms.get(&room) else { return false };
        room.legs
            .iter()
            .filter_map(|leg| self.legs.get(leg))
            .any(|leg| leg.joined_at.is_some() && leg.controls.role == Role::Moderator)
    }

    /// Somebody waits here from now on.
    pub(super) fn stop_at(&mut self, id: LegId, gate: Gate) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(room) = leg.place.room() else { return };
        let is_announced = gate.is_announced();
        let prompt = match gate {
            Gate::Moderator => Some("wait-moderator"),
            Gate::Admission => Some("wait-admission"),
            Gate::Pin { .. } | Gate::Refused => None,
        };
        let asks_pin = matches!(gate, Gate::Pin { .. });
        leg.gate = Some(gate);
        self.apply_seat(id);
        let lobby = self.rooms.get(&room).map(|room| room.lobby);
        self.seat_apart(id, lobby.filter(|_| is_announced));
        if asks_pin {
            self.ask_pin(id, &["enter-pin"]);
        }
        if let Some(prompt) = prompt {
            self.tell_leg(id, &[prompt], Then::Nothing);
            self.waits(id, room);
            self.play_in_lobby(room);
        }
    }

    /// In the mix of those who wait, or in one of their own.
    fn seat_apart(&mut self, id: LegId, mix: Option<MixKey>) {
        let mix = mix.unwrap_or_else(|| MixKey(self.next_key()));
        let Some(leg) = self.legs.get(&id) else { return };
        self.tell_media(Command::Join { leg: leg.media, mix, contributors: 1 });
    }

    fn waits(&mut self, id: LegId, room: RoomId) {
        let Some(leg) = self.legs.get(&id) else { return };
        let data = Data::of(&leg.participant(room));
        self.happened(EventType::ParticipantWaiting, Subject::of(leg), data);
    }

    /// Those who wait hear music, once somebody does.
    fn play_in_lobby(&mut self, room: RoomId) {
        let lobby = Hearer::Lobby(room);
        let Some(name) = self.rooms.get(&room).map(|room| room.manners.music_waiting.clone())
        else {
            return;
        };
        if !name.is_empty()
            && !self.is_played(lobby)
            && let Some(order) = self.music(name)
        {
            self.play(lobby, order);
        } else {
            self.play_on(lobby);
        }
    }

    /// Somebody does not wait any more.
    pub(super) fn left_lobby(&mut self, room: RoomId) {
        let waits = |leg: &LegId| {
            let gate = self.legs.get(leg).and_then(|leg| leg.gate.as_ref());
            gate.is_some_and(Gate::is_announced)
        };
        if !self.rooms.get(&room).is_some_and(|room| room.legs.iter().any(waits)) {
            self.hearer_gone(Hearer::Lobby(room));
        }
    }

    // ---- PINs ----

    /// Says something, and waits for digits.
    fn ask_pin(&mut self, id: LegId, prompts: &[&str]) {
        self.tell_leg(id, prompts, Then::Nothing);
        let said = self.heard_for(Hearer::Leg(id));
        self.wait_for_key(id, said + SILENCE);
    }

    fn wait_for_key(&mut self, id: LegId, time: Duration) {
        self.timers.retain(|(_, timer)| *timer != Timer::Gate(id));
        self.set_timer(time, Timer::Gate(id));
    }

    /// A key of somebody who waits; true if that is what it was for.
    pub(super) fn gate_key(&mut self, id: LegId, digit: char) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let (Some(gate), Some(room)) = (&mut leg.gate, leg.place.room()) else { return false };
        let Gate::Pin { digits, .. } = gate else { return true };
        let Some(room) = self.rooms.get(&room) else { return true };
        match digit {
            '#' => {}
            '*' => digits.clear(),
            digit => digits.push(digit),
        }
        let entered = digits.clone();
        let is_right = !entered.is_empty() && room.manners.role_of(&entered).is_some();
        let is_long = entered.len() >= room.manners.longest_pin();
        if digit == '#' || is_right || is_long {
            self.enter_pin(id);
        } else {
            self.end_playbacks(Hearer::Leg(id), &[PlaybackPurpose::Prompt], PlaybackEnd::Stopped);
            self.wait_for_key(id, BETWEEN_KEYS);
        }
        true
    }

    /// No key came: what was entered is all, or nobody listens.
    pub(super) fn gate_waited(&mut self, id: LegId) {
        if self.legs.get(&id).is_some_and(|leg| matches!(leg.gate, Some(Gate::Pin { .. }))) {
            self.enter_pin(id);
        }
    }

    fn enter_pin(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (Some(Gate::Pin { digits, tries_left }), Some(room)) =
            (&mut leg.gate, leg.place.room())
        else {
            return;
        };
        let entered = std::mem::take(digits);
        *tries_left = tries_left.saturating_sub(1);
        let is_last = *tries_left == 0;
        let role = self.rooms.get(&room).and_then(|room| room.manners.role_of(&entered));
        self.timers.retain(|(_, timer)| *timer != Timer::Gate(id));
        self.end_playbacks(Hearer::Leg(id), &[PlaybackPurpose::Prompt], PlaybackEnd::Stopped);
        match role {
            Some(role) => {
                if let Some(leg) = self.legs.get_mut(&id) {
                    leg.controls.role = role;
                }
                self.pass(id, self.gate_behind_pin(id));
            }
            None if is_last => {
                self.counters.pins_refused += 1;
                self.guessed_pin(id);
                self.stop_at(id, Gate::Refused);
                self.tell_leg(id, &["too-many-tries"], Then::HangUp(LeftReason::PinRefused));
            }
            None => self.ask_pin(id, &["wrong-pin", "enter-pin"]),
        }
    }

    // ---- in ----

    /// Goes on to the next gate, or into the room.
    fn pass(&mut self, id: LegId, next: Option<Gate>) {
        match next {
            Some(gate) => self.stop_at(id, gate),
            None => self.come_in(id),
        }
    }

    /// Somebody joins their room.
    pub(super) fn come_in(&mut self, id: LegId) {
        let wall = self.wall();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let waited = leg.gate.take().is_some();
        let (place, replaced) = (leg.place, leg.replaced);
        leg.joined_at = Some(wall);
        leg.revision += u64::from(waited);
        let has_joined =
            |old: LegId| self.legs.get(&old).is_some_and(|old| old.joined_at.is_some());
        let takes_over = replaced.is_some_and(has_joined);
        self.keep_book(place, if takes_over { Book::took_over } else { Book::came });
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let mutes = place.room().and_then(|room| self.rooms.get(&room));
        let mutes = mutes.is_some_and(|room| room.manners.start_muted);
        let is_exempt = matches!(leg.controls.role, Role::Moderator | Role::Coach);
        if mutes && !is_exempt && !leg.controls.muted {
            leg.controls.muted = true;
            leg.controls.muted_by = Some(MutedBy::Room);
            leg.revision += 1;
        }
        if waited || mutes {
            self.end_playbacks(Hearer::Leg(id), &[PlaybackPurpose::Prompt], PlaybackEnd::Stopped);
            self.apply_seat(id);
        }
        self.seat(id, place);
        self.participant_happened(EventType::ParticipantJoined, id, json!({}));
        if let Some(room) = place.room() {
            if waited {
                self.left_lobby(room);
            }
            self.somebody_came(room, id);
        }
    }

    /// Those who waited for a moderator go on.
    pub(super) fn moderator_came(&mut self, room: RoomId) {
        for id in self.waiting(room, &Gate::Moderator) {
            self.pass(id, self.last_gate(id));
        }
    }

    /// Those before a room who wait for the same.
    fn waiting(&self, room: RoomId, gate: &Gate) -> Vec<LegId> {
        let Some(room) = self.rooms.get(&room) else { return Vec::new() };
        let waits =
            |leg: &LegId| self.legs.get(leg).is_some_and(|leg| leg.gate.as_ref() == Some(gate));
        room.legs.iter().copied().filter(waits).collect()
    }

    /// Lets somebody in, whatever they wait for; false if they do not wait.
    pub(super) fn admit_leg(&mut self, id: LegId) -> bool {
        let waits = self.legs.get(&id).is_some_and(|leg| {
            leg.place.room().is_some()
                && leg.gate.as_ref().is_some_and(|gate| *gate != Gate::Refused)
        });
        if waits {
            self.timers.retain(|(_, timer)| *timer != Timer::Gate(id));
            self.come_in(id);
        }
        waits
    }

    /// Lets all in who wait for it, or for a moderator; answers how many.
    pub(super) fn admit_all(&mut self, room: RoomId) -> usize {
        let mut waiting = self.waiting(room, &Gate::Moderator);
        waiting.extend(self.waiting(room, &Gate::Admission));
        waiting.into_iter().filter(|id| self.admit_leg(*id)).count()
    }

    // ---- what is said ----

    /// Says something to somebody alone, in the language of their room.
    pub(super) fn tell_leg(&mut self, id: LegId, prompts: &[&str], then: Then) {
        let room = self.legs.get(&id).and_then(|leg| leg.place.room());
        let room = room.and_then(|room| self.rooms.get(&room));
        let language = room.map(|room| room.manners.language).unwrap_or_default();
        let media = prompts.iter().map(|prompt| language.named(prompt)).collect();
        self.prompt(Hearer::Leg(id), media, then);
    }

    /// Says something to everybody in a room.
    pub(super) fn tell_room(&mut self, room: RoomId, prompts: &[&str]) {
        let Some(found) = self.rooms.get(&room) else { return };
        let language = found.manners.language;
        let media = prompts.iter().map(|prompt| language.named(prompt)).collect();
        self.prompt(Hearer::Room(room), media, Then::Nothing);
    }

    /// Plays prompts by their names; one that there is not is left out.
    pub(super) fn prompt(&mut self, hearer: Hearer, media: Vec<String>, then: Then) {
        let found = media.into_iter().filter_map(|name| Some((self.clip(&name)?, name)));
        let (clips, media): (Vec<_>, Vec<_>) = found.unzip();
        self.play(hearer, Order::prompt(media, clips, then));
    }

    /// Somebody has guessed too often: their address is treated as if it had guessed passwords.
    fn guessed_pin(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id) else { return };
        if !matches!(leg.place, Place::Room(_)) || self.trunk_of(id).is_some() {
            return; // a carrier brings many callers
        }
        if let Some(peer) = leg.peer {
            self.note_guess(peer);
        }
    }
}

/// Without a key, after a prompt.
const SILENCE: Duration = Duration::from_secs(10);
/// Between two digits.
const BETWEEN_KEYS: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests;
