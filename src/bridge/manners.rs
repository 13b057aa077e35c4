//! How a room treats those who come, are there and leave: the settings, checked.

use std::time::Duration;

use api::model::{MenuAction, Role, RoomManners, RoomMenu, RoomRecording, RoomSettings};
use jiff::Timestamp;

use super::Bridge;
use super::command::{Answer, invalid};
use crate::sounds::prompts::{Language, MUSIC};

/// The manners of a room.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings of a resource")]
pub(super) struct Manners {
    /// Nothing: none is asked.
    pub(super) pin: String,
    pub(super) moderator_pin: String,
    pub(super) pin_attempts: u32,
    pub(super) language: Language,
    pub(super) wait_for_moderator: bool,
    pub(super) end_with_moderator: bool,
    pub(super) moderator_grace: Duration,
    pub(super) waiting_room: bool,
    pub(super) start_muted: bool,
    pub(super) enter_sound: String,
    pub(super) leave_sound: String,
    pub(super) announce_count: bool,
    pub(super) music_alone: String,
    pub(super) music_waiting: String,
    pub(super) music_held: String,
    pub(super) opens_at: Option<Timestamp>,
    pub(super) closes_at: Option<Timestamp>,
    pub(super) recording: RoomRecording,
    pub(super) menu: RoomMenu,
}

impl Default for Manners {
    /// Everybody comes in at once and hears nothing but the others.
    fn default() -> Self {
        Self {
            pin: String::new(),
            moderator_pin: String::new(),
            pin_attempts: 3,
            language: Language::default(),
            wait_for_moderator: false,
            end_with_moderator: false,
            moderator_grace: Duration::ZERO,
            waiting_room: false,
            start_muted: false,
            enter_sound: String::new(),
            leave_sound: String::new(),
            announce_count: false,
            music_alone: String::new(),
            music_waiting: MUSIC.to_owned(),
            music_held: String::new(),
            opens_at: None,
            closes_at: None,
            recording: RoomRecording::default(),
            menu: RoomMenu::default(),
        }
    }
}

impl Manners {
    /// As the API shows them.
    pub(super) fn view(&self) -> RoomManners {
        RoomManners {
            has_pin: !self.pin.is_empty(),
            has_moderator_pin: !self.moderator_pin.is_empty(),
            pin_attempts: self.pin_attempts,
            language: self.language.code().to_owned(),
            wait_for_moderator: self.wait_for_moderator,
            end_with_moderator: self.end_with_moderator,
            moderator_grace_s: u32::try_from(self.moderator_grace.as_secs()).unwrap_or(u32::MAX),
            waiting_room: self.waiting_room,
            start_muted: self.start_muted,
            enter_sound: self.enter_sound.clone(),
            leave_sound: self.leave_sound.clone(),
            announce_count: self.announce_count,
            music_alone: self.music_alone.clone(),
            music_waiting: self.music_waiting.clone(),
            music_held: self.music_held.clone(),
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            recording: self.recording.clone(),
            menu: self.menu.clone(),
        }
    }

    /// Whether a PIN is asked of callers.
    pub(super) fn asks_pin(&self) -> bool {
        !self.pin.is_empty() || !self.moderator_pin.is_empty()
    }

    /// Whom a PIN makes of a caller; `None`: it is wrong. Where only moderators have one, others enter none.
    pub(super) fn role_of(&self, pin: &str) -> Option<Role> {
        if !pin.is_empty() && pin == self.moderator_pin {
            Some(Role::Moderator)
        } else if pin == self.pin {
            Some(Role::Speaker)
        } else {
            None
        }
    }

    /// The PIN that somebody shall enter, if any: who shall be a moderator that of moderators, where there is one.
    pub(super) fn pin_for(&self, moderator: bool) -> Option<&str> {
        let own = if moderator { [&self.moderator_pin, &self.pin] } else { [&self.pin; 2] };
        own.into_iter().map(String::as_str).find(|pin| !pin.is_empty())
    }

    /// Digits of the longest PIN.
    pub(super) fn longest_pin(&self) -> usize {
        self.pin.len().max(self.moderator_pin.len())
    }

    /// What keys do for somebody of this role.
    pub(super) fn actions(&self, role: Role) -> impl Iterator<Item = (&str, MenuAction)> {
        let RoomMenu { participant, moderator } = &self.menu;
        let own = moderator.iter().filter(move |_| role == Role::Moderator);
        own.chain(participant).map(|(key, action)| (key.as_str(), *action))
    }
}

impl Bridge {
    /// What becomes of manners by a change; nothing is changed if it cannot be.
    pub(super) fn mannered(&mut self, before: &Manners, body: &RoomSettings) -> Answer<Manners> {
        let mut manners = before.clone();
        for (pin, field, at) in [
            (&body.pin, &mut manners.pin, "/settings/pin"),
            (&body.moderator_pin, &mut manners.moderator_pin, "/settings/moderator_pin"),
        ] {
            if let Some(pin) = pin {
                field.clone_from(pin);
            }
            if field.len() > MAX_PIN || !field.bytes().all(|octet| octet.is_ascii_digit()) {
                return Err(invalid(at, "expected 1 to 16 digits, or nothing for none"));
            }
        }
        if !manners.pin.is_empty() && manners.pin == manners.moderator_pin {
            return Err(invalid("/settings/moderator_pin", "expected another PIN than pin"));
        }
        if let Some(code) = &body.language {
            let language = Language::of(code);
            manners.language =
                language.ok_or_else(|| invalid("/settings/language", "expected en or tr"))?;
        }
        for (name, field, at) in [
            (&body.enter_sound, &mut manners.enter_sound, "enter_sound"),
            (&body.leave_sound, &mut manners.leave_sound, "leave_sound"),
            (&body.music_alone, &mut manners.music_alone, "music_alone"),
            (&body.music_waiting, &mut manners.music_waiting, "music_waiting"),
            (&body.music_held, &mut manners.music_held, "music_held"),
        ] {
            let Some(name) = name else { continue };
            if !name.is_empty() && !self.has_media(name) {
                let detail = format!("there is no media of the name {name}");
                return Err(invalid(&format!("/settings/{at}"), detail));
            }
            field.clone_from(name);
        }
        if let Some(menu) = &body.menu {
            check_menu(menu)?;
            manners.menu = menu.clone();
        }
        if let Some(recording) = &body.recording {
            manners.recording = recording.clone();
        }
        manners.take_plain(body);
        if let (Some(opens), Some(closes)) = (manners.opens_at, manners.closes_at)
            && closes <= opens
        {
            return Err(invalid("/settings/closes_at", "expected a time after opens_at"));
        }
        let is_past = manners.closes_at != before.closes_at
            && manners.closes_at.is_some_and(|closes| closes <= self.wall());
        if is_past {
            return Err(invalid("/settings/closes_at", "expected a time to come"));
        }
        Ok(manners)
    }
}

impl Manners {
    /// Takes what cannot be wrong.
    fn take_plain(&mut self, body: &RoomSettings) {
        fn take<T: Copy>(field: &mut T, given: Option<T>) {
            *field = given.unwrap_or(*field);
        }
        take(&mut self.pin_attempts, body.pin_attempts);
        take(&mut self.wait_for_moderator, body.wait_for_moderator);
        take(&mut self.end_with_moderator, body.end_with_moderator);
        let grace = body.moderator_grace_s.map(|grace| Duration::from_secs(grace.into()));
        take(&mut self.moderator_grace, grace);
        take(&mut self.waiting_room, body.waiting_room);
        take(&mut self.start_muted, body.start_muted);
        take(&mut self.announce_count, body.announce_count);
        self.opens_at = body.opens_at.apply(self.opens_at);
        self.closes_at = body.closes_at.apply(self.closes_at);
    }
}

/// Whoever presses keys must know when one is complete.
fn check_menu(menu: &RoomMenu) -> Answer<()> {
    let RoomMenu { participant, moderator } = menu;
    for (part, keys) in [("participant", participant), ("moderator", moderator)] {
        for key in keys.keys() {
            let known = |octet: u8| octet.is_ascii_digit() || b"*#".contains(&octet);
            if !(1..=MAX_KEYS).contains(&key.len()) || !key.bytes().all(known) {
                let at = format!("/settings/menu/{part}/{key}");
                return Err(invalid(&at, "expected 1 to 4 of 0-9 * #"));
            }
            let mut others = participant.keys().chain(moderator.keys());
            if let Some(other) = others.find(|other| *other != key && other.starts_with(key)) {
                let at = format!("/settings/menu/{part}/{key}");
                return Err(invalid(&at, format!("{other} begins with it, and is never reached")));
            }
        }
    }
    Ok(())
}

/// Digits of a PIN.
const MAX_PIN: usize = 16;
/// Keys of a menu entry.
const MAX_KEYS: usize = 4;
