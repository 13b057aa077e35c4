//! Who hears whom in a room: audio groups, and coaches who whisper.
//!
//! A voice is said to one group, and each participant hears groups, so no relation costs anything for a pair. Where nobody
//! asked for groups there is only `main`, and nothing of this is looked at.
//!
//! ```text
//!  group ──────────▶ to whom it speaks, whom it hears ─┐
//!  coaches of it,  ▶ a group each that only they hear ─┼─▶ circle of a leg ─▶ its seat in the mix
//!  or of the leg                                       │
//!  supervision ────▶ of a coach: hears as they do ─────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use api::event::EventType;
use api::model::{
    AudioGroup, Edit, GroupChanges, GroupSettings, HeardGroup, Invite, LegId, Relation, Role,
    RoomId, Supervision, UpdateParticipant,
};
use serde_json::json;

use super::command::{Answer, conflict, invalid};
use super::leg::{Controls, Leg};
use super::{Bridge, Place};
use crate::media::command::{GROUPS, GroupId, Hearing};

/// The groups of a room beside those who hear all.
#[derive(Clone, Debug, Default)]
pub(super) struct Groups {
    named: BTreeMap<String, AudioGroup>,
    /// As the mixer knows them. One keeps its number, or its members would change groups.
    numbers: BTreeMap<Bus, GroupId>,
    pub(super) coaches: BTreeSet<LegId>,
}

/// What voices are said to.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Bus {
    /// A group.
    Group(String),
    /// Only those who are coached.
    Coached(Coached),
}

/// Whom a coach coaches.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Coached {
    /// One.
    Leg(LegId),
    /// All of a group.
    Group(String),
}

impl fmt::Display for Coached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leg(leg) => leg.fmt(f),
            Self::Group(group) => f.write_str(group),
        }
    }
}

/// Among whom a leg sits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Circle {
    pub(super) group: GroupId,
    pub(super) hearing: Hearing,
    /// Nobody hears it.
    pub(super) is_silent: bool,
}

/// What somebody asks for a participant.
#[derive(Clone, Debug, Default)]
pub(super) struct Wish {
    role: Option<Role>,
    group: Option<String>,
    coaching: Option<String>,
    supervision: Option<Supervision>,
}

impl Wish {
    pub(super) fn of_invite(body: &Invite) -> Self {
        Self {
            role: Some(body.role),
            group: body.group.clone(),
            coaching: body.coaching.clone(),
            supervision: body.supervision,
        }
    }

    pub(super) fn of_update(body: &UpdateParticipant) -> Self {
        Self {
            role: body.role,
            group: body.group.clone(),
            coaching: body.coaching.clone(),
            supervision: body.supervision,
        }
    }

    /// The group; `None` if they stay.
    fn group(&self) -> Option<&str> {
        self.group.as_deref().map(|group| if group.is_empty() { MAIN } else { group })
    }
}

/// How somebody takes part, if they are a coach.
pub(super) fn supervision_of(controls: &Controls) -> Option<Supervision> {
    let asked = controls.supervision;
    (controls.role == Role::Coach).then_some(match (asked, &controls.coaching) {
        (Some(Supervision::Whisper) | None, None) => Supervision::Monitor,
        (asked, _) => asked.unwrap_or(Supervision::Whisper),
    })
}

fn is_main(group: &str) -> bool {
    group.is_empty() || group == MAIN
}

impl Groups {
    /// As the API shows them.
    pub(super) fn view(&self) -> BTreeMap<String, AudioGroup> {
        self.named.clone()
    }

    fn has(&self, group: &str) -> bool {
        is_main(group) || self.named.contains_key(group)
    }

    /// What becomes of them by a change; `most` counts main.
    pub(super) fn changed(&self, changes: &GroupChanges, most: usize) -> Answer<Self> {
        let mut named = self.named.clone();
        for (name, change) in changes {
            match change {
                Some(settings) => named.insert(name.clone(), group(name, settings)?),
                None => named.remove(name),
            };
        }
        let known = |name: &String| name == MAIN || named.contains_key(name);
        for (name, group) in &named {
            if let Some((at, other)) = references(group).find(|(_, other)| !known(other)) {
                let detail = format!("there is no group {other} in the room");
                return Err(invalid(&format!("/groups/{name}/{at}"), detail));
            }
        }
        let count = named.keys().filter(|name| *name != MAIN).count();
        if count >= most {
            return Err(too_many(&format!("may have {most} groups (limits.groups_per_room)")));
        }
        let mut groups = Self { named, ..self.clone() };
        groups.renumber(None)?;
        Ok(groups)
    }

    /// Gives each group a number, and those who are whispered to; `None`: to the same as before.
    fn renumber(&mut self, whispered: Option<&BTreeSet<Coached>>) -> Answer<()> {
        let Self { named, numbers, .. } = self;
        numbers.retain(|bus, _| match bus {
            Bus::Group(name) => named.contains_key(name),
            Bus::Coached(coached) => whispered.is_none_or(|all| all.contains(coached)),
        });
        let groups = named.keys().filter(|name| *name != MAIN).cloned().map(Bus::Group);
        let whispered = whispered.into_iter().flatten().cloned().map(Bus::Coached);
        for bus in groups.chain(whispered) {
            if numbers.contains_key(&bus) {
                continue;
            }
            let is_free = |id: &GroupId| !numbers.values().any(|taken| taken == id);
            let number = (1..GROUPS).filter_map(GroupId::new).find(is_free);
            let Some(number) = number else { return Err(full()) };
            numbers.insert(bus, number);
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.numbers.len() + 1 >= GROUPS
    }

    fn number(&self, group: &str) -> Option<GroupId> {
        if group == MAIN {
            return Some(GroupId::MAIN);
        }
        self.numbers.get(&Bus::Group(group.to_owned())).copied()
    }

    fn whispers_to(&self, coached: Coached) -> Option<GroupId> {
        self.numbers.get(&Bus::Coached(coached)).copied()
    }

    /// Of a member of a group, coaches left aside.
    fn base(&self, group: Option<&str>) -> Circle {
        let Some(group) = self.named.get(group.unwrap_or(MAIN)) else { return Circle::default() };
        let heard = group.hears.iter().filter_map(|heard| {
            let number = self.number(&heard.group)?;
            Some((number, heard.gain_db))
        });
        let hearing = heard.fold(Hearing::NOTHING, |all, (number, db)| all.with(number, db));
        let ducked_by = group.ducked_by.as_deref().and_then(|by| self.number(by));
        let speaks_to = group.speaks_to.as_deref().and_then(|to| self.number(to));
        Circle {
            group: speaks_to.unwrap_or_default(),
            hearing: match ducked_by {
                Some(by) => hearing.ducked_by(by, group.duck_db),
                None => hearing,
            },
            is_silent: speaks_to.is_none(),
        }
    }

    /// Of somebody who is no coach: hears whoever whispers to them.
    fn member(&self, leg: LegId, group: Option<&str>) -> Circle {
        let base = self.base(group);
        let all = Coached::Group(group.unwrap_or(MAIN).to_owned());
        let coaches = [Coached::Leg(leg), all].into_iter().filter_map(|one| self.whispers_to(one));
        let hearing = coaches.fold(base.hearing, |all, coach| all.with(coach, 0.0));
        Circle { hearing, ..base }
    }

    /// Of a coach of these, who are in `group`: hears what they hear, themselves, and other coaches of theirs.
    fn coach(
        &self,
        (coached, group): (Option<&Coached>, Option<&str>),
        supervision: Supervision,
    ) -> Circle {
        let base = self.base(group);
        let own = coached.and_then(|coached| self.whispers_to(coached.clone()));
        let mut hearing = base.hearing;
        if matches!(coached, Some(Coached::Leg(_))) && !base.is_silent && !hearing.hears(base.group)
        {
            hearing = hearing.with(base.group, 0.0);
        }
        if let Some(own) = own {
            hearing = hearing.with(own, 0.0);
        }
        let (group, is_silent) = match (supervision, own) {
            (Supervision::Barge, _) => (base.group, base.is_silent),
            (Supervision::Whisper, Some(own)) => (own, false),
            (Supervision::Whisper, None) | (Supervision::Monitor, _) => (GroupId::MAIN, true),
        };
        Circle { group, hearing, is_silent }
    }
}

/// A group as it is asked for. Names of others are not looked at.
fn group(name: &str, settings: &GroupSettings) -> Answer<AudioGroup> {
    let fault = |field: &str, detail: &str| invalid(&format!("/groups/{name}/{field}"), detail);
    let GroupSettings { relation, of, speaks_to, hears, ducked_by, duck_db } = settings;
    let mut group = related(name, *relation, of.as_deref())?;
    match speaks_to {
        Edit::Keep => {}
        Edit::Clear => group.speaks_to = None,
        Edit::Set(to) => group.speaks_to = Some(to.clone()),
    }
    if let Some(hears) = hears {
        group.hears.clone_from(hears);
    }
    if let Some(by) = ducked_by {
        (group.ducked_by, group.duck_db) = (Some(by.clone()), DUCK_DB);
    }
    match (duck_db, &group.ducked_by) {
        (Some(_), None) => return Err(fault("duck_db", "expected ducked_by with it")),
        (Some(db), Some(_)) => group.duck_db = *db,
        (None, _) => {}
    }
    let again = |(at, heard): &(usize, &HeardGroup)| {
        group.hears[..*at].iter().any(|other| other.group == heard.group)
    };
    if let Some((at, _)) = group.hears.iter().enumerate().find(again) {
        return Err(fault(&format!("hears/{at}/group"), "expected each group once"));
    }
    if name == MAIN && (relation.is_some() || group.speaks_to.as_deref() != Some(MAIN)) {
        let field = if relation.is_some() { "relation" } else { "speaks_to" };
        return Err(fault(field, "main is where everybody is; only whom it hears can be changed"));
    }
    Ok(group)
}

/// A group that stands so to another.
fn related(name: &str, relation: Option<Relation>, of: Option<&str>) -> Answer<AudioGroup> {
    let fault = |detail: &str| invalid(&format!("/groups/{name}/of"), detail);
    let heard = |group: &str, gain_db| HeardGroup { group: group.to_owned(), gain_db };
    let other = of.unwrap_or(MAIN);
    let apart = AudioGroup {
        relation,
        speaks_to: Some(name.to_owned()),
        hears: vec![heard(name, 0.0)],
        ducked_by: None,
        duck_db: 0.0,
    };
    if of == Some(name) {
        return Err(fault("expected another group"));
    }
    Ok(match (relation, of) {
        (None, None) => apart,
        (None, Some(_)) => return Err(fault("expected relation with it")),
        (Some(Relation::Audience), None) => {
            return Err(fault("expected the group of the interpreter"));
        }
        (Some(Relation::Monitor), _) => {
            AudioGroup { speaks_to: None, hears: vec![heard(other, 0.0)], ..apart }
        }
        (Some(Relation::Sidebar), _) => {
            AudioGroup { hears: vec![heard(name, 0.0), heard(other, ASIDE_DB)], ..apart }
        }
        (Some(Relation::Interpreter), _) => AudioGroup { hears: vec![heard(other, 0.0)], ..apart },
        (Some(Relation::Audience), Some(_)) => AudioGroup {
            speaks_to: Some(MAIN.to_owned()),
            hears: vec![heard(MAIN, 0.0), heard(other, 0.0)],
            ducked_by: Some(other.to_owned()),
            duck_db: DUCK_DB,
            ..apart
        },
    })
}

/// The other groups that a group names, and where.
fn references(group: &AudioGroup) -> impl Iterator<Item = (String, &String)> {
    let heard = group.hears.iter().enumerate();
    let heard = heard.map(|(at, heard)| (format!("hears/{at}/group"), &heard.group));
    let to = group.speaks_to.iter().map(|to| ("speaks_to".to_owned(), to));
    heard.chain(to).chain(group.ducked_by.iter().map(|by| ("ducked_by".to_owned(), by)))
}

fn too_many(what: &str) -> api::control::ControlError {
    conflict("too_many_groups", format!("the room {what}"))
}

fn full() -> api::control::ControlError {
    too_many(&format!("has {GROUPS} groups, with those whom coaches whisper to; end one of them"))
}

impl Bridge {
    /// What becomes of the groups of a room by a change; `None`: there is none.
    pub(super) fn regrouped(
        &self,
        id: RoomId,
        changes: Option<&GroupChanges>,
    ) -> Answer<Option<Groups>> {
        let (Some(room), Some(changes)) = (self.rooms.get(&id), changes) else { return Ok(None) };
        for name in changes.iter().filter(|(_, change)| change.is_none()).map(|(name, _)| name) {
            let coached = Coached::Group(name.clone());
            let is_needed = |leg: &Leg| {
                leg.controls.group.as_ref() == Some(name)
                    || leg.controls.coaching.as_ref() == Some(&coached)
            };
            if room.legs.iter().filter_map(|leg| self.legs.get(leg)).any(is_needed) {
                let detail = format!("{name} has participants or coaches; move them first");
                return Err(conflict("group_in_use", detail));
            }
        }
        room.groups.changed(changes, self.settings.groups_per_room).map(Some)
    }

    /// Whether a participant of `room`, or one who is to become one, can have what is wished.
    pub(super) fn check_circle(
        &self,
        (id, leg): (RoomId, Option<LegId>),
        wish: &Wish,
    ) -> Answer<()> {
        let Some(room) = self.rooms.get(&id) else { return Ok(()) };
        let before = leg.and_then(|leg| self.legs.get(&leg));
        let role = wish.role.or_else(|| before.map(|leg| leg.controls.role)).unwrap_or_default();
        if let Some(group) = wish.group()
            && !room.groups.has(group)
        {
            room.groups.changed(&apart(group), self.settings.groups_per_room)?;
        }
        let coached = wish.coaching.as_deref().filter(|name| !name.is_empty());
        if role != Role::Coach {
            let asks_how = wish.supervision.map(|_| "/supervision");
            let field = coached.map(|_| "/coaching").or(asks_how);
            let only = "only a coach can have it: expected the role coach with it";
            return field.map_or(Ok(()), |field| Err(invalid(field, only)));
        }
        let here = before.filter(|leg| leg.place == Place::Room(id));
        let (kept, asked) = here
            .map_or((None, None), |leg| (leg.controls.coaching.clone(), leg.controls.supervision));
        let coaching = match coached {
            Some(name) => Some(self.coached(id, leg, name)?),
            None => kept.filter(|_| wish.coaching.is_none()),
        };
        let Some(coaching) = coaching else {
            let needs = "expected coaching with it: the leg or group to whisper to";
            let is_missing = wish.supervision == Some(Supervision::Whisper);
            return if is_missing { Err(invalid("/supervision", needs)) } else { Ok(()) };
        };
        let whispers = wish.supervision.or(asked).is_none_or(|how| how == Supervision::Whisper);
        let is_new = room.groups.whispers_to(coaching).is_none();
        if whispers && is_new && room.groups.is_full() { Err(full()) } else { Ok(()) }
    }

    /// Whom `name` names in a room, so that `by` can coach them.
    fn coached(&self, id: RoomId, by: Option<LegId>, name: &str) -> Answer<Coached> {
        let fault = |detail: &str| Err(invalid("/coaching", detail));
        let Some(room) = self.rooms.get(&id) else { return fault("the room has ended") };
        let Ok(leg) = name.parse::<LegId>() else {
            if room.groups.has(name) {
                return Ok(Coached::Group(name.to_owned()));
            }
            return fault("expected a leg or a group of the room");
        };
        if by == Some(leg) {
            return fault("nobody can coach themselves");
        }
        let Some(found) = self.legs.get(&leg).filter(|leg| leg.place == Place::Room(id)) else {
            return fault("expected a leg of the same room");
        };
        if found.controls.role == Role::Coach {
            return fault("a coach cannot be coached");
        }
        Ok(Coached::Leg(leg))
    }

    /// Gives a participant what was wished and has been checked; tells whether that changed anything.
    pub(super) fn take_circle(&mut self, id: LegId, wish: &Wish) -> bool {
        let Some(room) = self.legs.get(&id).and_then(|leg| leg.place.room()) else { return false };
        if let Some(group) = wish.group() {
            self.make_group(room, group);
        }
        let whom = wish.coaching.as_deref().filter(|name| !name.is_empty());
        let whom = whom.and_then(|name| self.coached(room, Some(id), name).ok());
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let (before, had_joined) = (leg.controls.clone(), leg.joined_at.is_some());
        let controls = &mut leg.controls;
        if let Some(group) = wish.group() {
            controls.group = Some(group.to_owned()).filter(|group| !is_main(group));
        }
        if wish.coaching.is_some() {
            controls.coaching = whom;
        }
        controls.supervision = wish.supervision.or(controls.supervision);
        if controls.role != Role::Coach {
            (controls.coaching, controls.supervision) = (None, None);
        }
        let (is_coach, has_changed) = (controls.role == Role::Coach, before != *controls);
        let Some(found) = self.rooms.get_mut(&room) else { return has_changed };
        let coaches = &mut found.groups.coaches;
        let concerns_others = is_coach || !coaches.is_empty();
        let becomes_coach = is_coach && coaches.insert(id);
        if !is_coach {
            coaches.remove(&id);
        }
        if becomes_coach && had_joined {
            self.roster_hides(id);
        }
        if concerns_others {
            self.follow_groups(room);
        } else if self.find_circle(id) {
            self.sit_in_circle(id);
        }
        has_changed
    }

    /// Makes a group, apart from the others, unless the room has one of this name.
    fn make_group(&mut self, id: RoomId, name: &str) {
        let most = self.settings.groups_per_room;
        let Some(room) = self.rooms.get_mut(&id).filter(|room| !room.groups.has(name)) else {
            return;
        };
        if let Ok(groups) = room.groups.changed(&apart(name), most) {
            room.groups = groups;
            self.room_happened(EventType::RoomUpdated, id);
        }
    }

    /// Who hears whom in this room may have changed for anybody.
    pub(super) fn follow_groups(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get(&id) else { return };
        let coaches = room.groups.coaches.iter().filter_map(|coach| self.legs.get(coach));
        let whispers = coaches.filter(|coach| {
            coach.place == Place::Room(id)
                && supervision_of(&coach.controls) == Some(Supervision::Whisper)
        });
        let whispered = whispers.filter_map(|coach| coach.controls.coaching.clone()).collect();
        let legs = room.legs.clone();
        if let Some(room) = self.rooms.get_mut(&id) {
            // Who finds no group of their own is heard by nobody: that was checked before.
            let _full = room.groups.renumber(Some(&whispered));
        }
        for leg in legs {
            if self.find_circle(leg) {
                self.sit_in_circle(leg);
            }
        }
    }

    fn sit_in_circle(&mut self, id: LegId) {
        let Some(leg) = self.legs.get(&id).filter(|leg| leg.is_up()) else { return };
        if leg.seat().muted {
            self.stop_talking(id);
        }
        self.apply_seat(id);
    }

    /// Finds among whom a leg sits now; tells whether that is new.
    pub(super) fn find_circle(&mut self, id: LegId) -> bool {
        let circle = self.circle_of(id).filter(|circle| *circle != Circle::default());
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let is_new = leg.circle.as_deref() != circle.as_ref();
        if is_new {
            leg.circle = circle.map(Box::new);
        }
        is_new
    }

    fn circle_of(&self, id: LegId) -> Option<Circle> {
        let leg = self.legs.get(&id)?;
        let groups = &self.rooms.get(&leg.place.room()?)?.groups;
        let Controls { group, coaching, .. } = &leg.controls;
        let Some(supervision) = supervision_of(&leg.controls) else {
            let is_plain = groups.named.is_empty() && groups.numbers.is_empty();
            return (!is_plain).then(|| groups.member(id, group.as_deref()));
        };
        let of_whom = match coaching {
            None => group.as_deref(),
            Some(Coached::Group(group)) => Some(group.as_str()),
            Some(Coached::Leg(leg)) => self.legs.get(leg)?.controls.group.as_deref(),
        };
        Some(groups.coach((coaching.as_ref(), of_whom), supervision))
    }

    /// A leg has come from elsewhere: groups and those whom it coached are of where it was. Tells whether it sits among others.
    pub(super) fn leave_circle(&mut self, id: LegId) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else { return false };
        let controls = &mut leg.controls;
        (controls.group, controls.coaching, controls.supervision) = (None, None, None);
        let is_coach = controls.role == Role::Coach;
        if let Some(room) = leg.place.room().and_then(|room| self.rooms.get_mut(&room))
            && is_coach
        {
            room.groups.coaches.insert(id);
        }
        self.find_circle(id)
    }

    /// A leg is not in a room any more: who coached it listens on.
    pub(super) fn circle_lost(&mut self, id: RoomId, gone: LegId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let was_coach = room.groups.coaches.remove(&gone);
        let coaches: Vec<LegId> = room.groups.coaches.iter().copied().collect();
        let whom = Some(Coached::Leg(gone));
        let mut orphans = Vec::new();
        for coach in coaches {
            let leg = self.legs.get_mut(&coach);
            if let Some(leg) = leg.filter(|leg| leg.controls.coaching == whom) {
                (leg.controls.coaching, leg.controls.supervision) = (None, None);
                orphans.push(coach);
            }
        }
        if was_coach || !orphans.is_empty() {
            self.follow_groups(id);
        }
        for coach in orphans {
            let kind = EventType::ParticipantUpdated;
            self.participant_happened(kind, coach, json!({ "previous_coaching": gone }));
        }
    }

    /// A leg has the seat of another: those who coached that one coach this one.
    pub(super) fn circle_inherited(&mut self, old: LegId, new: LegId) {
        let Some(leg) = self.legs.get(&new) else { return };
        let is_coach = leg.controls.role == Role::Coach;
        let Some(id) = leg.place.room() else { return };
        let Some(room) = self.rooms.get_mut(&id) else { return };
        if is_coach {
            room.groups.coaches.insert(new);
        }
        if let Some(number) = room.groups.numbers.remove(&Bus::Coached(Coached::Leg(old))) {
            room.groups.numbers.insert(Bus::Coached(Coached::Leg(new)), number);
        }
        let coaches: Vec<LegId> = room.groups.coaches.iter().copied().collect();
        for coach in coaches {
            let leg = self.legs.get_mut(&coach);
            let whom = Some(Coached::Leg(old));
            if let Some(leg) = leg.filter(|leg| leg.controls.coaching == whom) {
                leg.controls.coaching = Some(Coached::Leg(new));
                let kind = EventType::ParticipantUpdated;
                self.participant_happened(kind, coach, json!({ "previous_coaching": old }));
            }
        }
    }
}

/// A group of this name, apart from the others.
fn apart(name: &str) -> GroupChanges {
    [(name.to_owned(), Some(GroupSettings::default()))].into()
}

/// Where everybody is who was put nowhere else.
const MAIN: &str = "main";
/// How loud a sidebar hears the others.
const ASIDE_DB: f32 = -20.0;
/// By how much others are lowered where nobody says.
const DUCK_DB: f32 = 18.0;

#[cfg(test)]
mod tests;
