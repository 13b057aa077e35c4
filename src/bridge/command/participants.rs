//! `/v1/rooms/{room}/participants`.

use std::time::Duration;

use api::control::IfMatch;
use api::event::EventType;
use api::model::{
    Invite, KickQuery, LeftReason, LegId, MutedBy, Page, Participant, ParticipantQuery,
    ParticipantState, Role, RoomId, RoomOrigin, UpdateParticipant, Whom,
};
use mixer::codec::{Codec, Format};
use serde_json::json;

use crate::bridge::dial::Outbound;
use crate::bridge::groups::Wish;
use crate::bridge::leg::{Caller, Controls, Dial, NamedBy};
use crate::bridge::playing::{Hearer, Then};
use crate::bridge::room::Refusal;
use crate::bridge::signal::is_room_name;
use crate::bridge::{Bridge, Place};
use crate::sip::uri::Uri;

use super::page::{Wanted, page};
use super::{Answer, conflict, expect_revision, invalid, no_such, refused, within};

impl Bridge {
    pub(super) fn api_list_participants(
        &self,
        room: &str,
        query: &ParticipantQuery,
    ) -> Answer<Page<Participant>> {
        let asked = query.page();
        let wanted = Wanted::of(&asked, &["dialing", "ringing", "waiting", "joined", "left"])?;
        let mut all = self.participants(room)?;
        all.retain(|one| {
            wanted.takes(one.state != ParticipantState::Left, &one.state) && query.matches(one)
        });
        all.sort_by_key(|one| one.leg);
        page(&asked, all.into_iter(), |one| one.leg)
    }

    /// All that are or were in a room, open or ended.
    fn participants(&self, room: &str) -> Answer<Vec<Participant>> {
        if let Ok(id) = self.open_room(room) {
            let Some(found) = self.rooms.get(&id) else { return Err(no_such("room", room)) };
            let live = found.legs.iter().filter_map(|leg| self.live_participant(id, *leg));
            return Ok(found.left.iter().cloned().chain(live).collect());
        }
        let ended = room.parse().ok().or_else(|| self.history.room_named(room));
        let found = ended.and_then(|id| self.history.rooms.get(&id));
        found.map(|(_, left)| left.clone()).ok_or_else(|| no_such("room", room))
    }

    /// A leg of the room, unless it is a caller that was not let in yet.
    pub(super) fn live_participant(&self, room: RoomId, leg: LegId) -> Option<Participant> {
        let leg = self.legs.get(&leg)?;
        leg.is_announced().then(|| leg.participant(room))
    }

    pub(super) fn api_participant(&self, room: &str, leg: LegId) -> Answer<Participant> {
        let found = self.participants(room)?.into_iter().rev().find(|one| one.leg == leg);
        found.ok_or_else(|| no_such("participant", leg))
    }

    /// Dials out. An unknown name makes a room as a call to it would.
    pub(super) fn api_invite(&mut self, room: &str, body: Invite) -> Answer<Participant> {
        let (trunk, target) = self.callee_of("/to", &body.to, body.trunk.as_deref())?;
        let from = body.from.as_deref().map(caller).transpose()?;
        let codecs = self.codecs(body.codecs.as_deref())?;
        let timeout = self.ring_time(body.timeout_s)?;
        self.has_line_for_api()?;
        let id = match self.open_room(room) {
            Ok(id) => id,
            Err(unknown) => self.make_room_for(room).ok_or(unknown)??,
        };
        let Some(found) = self.rooms.get(&id) else { return Err(no_such("room", room)) };
        if found.ending {
            return Err(refused(Refusal::Ending));
        }
        found.has_seat().map_err(refused)?;
        let name = found.name.clone();
        let wish = Wish::of_invite(&body);
        self.check_circle((id, None), &wish)?;
        self.has_room(1).map_err(refused)?;
        let from = from.unwrap_or(Caller::Unsaid(name));
        let usual = Controls::new(&self.settings);
        let controls = Controls {
            muted: body.muted,
            muted_by: body.muted.then_some(MutedBy::Api),
            role: body.role,
            group: None,
            coaching: None,
            supervision: None,
            agc: body.agc.unwrap_or(usual.agc),
            noise_suppression: body.noise_suppression.unwrap_or(usual.noise_suppression),
            echo_suppression: body.echo_suppression.unwrap_or(usual.echo_suppression),
            ..usual
        };
        let leg = self.dial(Outbound {
            dial: Dial { target, from, codecs, trunk, headers: Vec::new() },
            place: Place::Room(id),
            call: None,
            display_name: body.display_name,
            controls,
            timeout,
        });
        self.take_circle(leg, &wish);
        self.api_participant(&id.to_string(), leg)
    }

    /// Whom to call: a URI, or what a trunk makes of a number.
    pub(super) fn callee_of(
        &mut self,
        pointer: &str,
        to: &str,
        trunk: Option<&str>,
    ) -> Answer<(Option<usize>, Uri)> {
        let Some(trunk) = trunk else { return Ok((None, sip_uri(pointer, to)?)) };
        let (index, target) = self.trunk_target(trunk, (pointer, to))?;
        Ok((Some(index), target))
    }

    /// The ad-hoc room that dialling out into `name` makes, if names like it may be made.
    fn make_room_for(&mut self, name: &str) -> Option<Answer<RoomId>> {
        if !is_room_name(name) || !self.settings.auto_create.matches(name) {
            return None;
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Some(Err(refused(Refusal::Overloaded)));
        }
        if let Err(refusal) = self.has_room(1) {
            return Some(Err(refused(refusal)));
        }
        Some(Ok(self.make_ad_hoc(name, RoomOrigin::DialOut)))
    }

    pub(super) fn ring_time(&self, seconds: Option<u32>) -> Answer<Duration> {
        let Some(seconds) = seconds else { return Ok(self.settings.ring_timeout) };
        within("/timeout_s", seconds, 1..=600).map(|s| Duration::from_secs(s.into()))
    }

    /// The configured codecs, or those named, in the order named.
    fn codecs(&self, names: Option<&[String]>) -> Answer<Vec<Format>> {
        let Some(names) = names else { return Ok(self.settings.codecs.clone()) };
        let mut chosen = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let pointer = format!("/codecs/{index}");
            let codec = codec_named(name)
                .ok_or_else(|| invalid(&pointer, "expected PCMU, PCMA, G722, opus or L16"))?;
            let formats = self.settings.codecs.iter().filter(|format| format.codec == codec);
            let before = chosen.len();
            chosen.extend(formats.copied());
            if chosen.len() == before {
                return Err(invalid(
                    &pointer,
                    format!("{name} is not among the configured codecs"),
                ));
            }
        }
        if chosen.is_empty() {
            return Err(invalid("/codecs", "expected at least one codec"));
        }
        Ok(chosen)
    }

    fn joined_leg(&self, room: &str, leg: LegId) -> Answer<RoomId> {
        let id = self.open_room(room)?;
        let found = self.legs.get(&leg).filter(|leg| leg.place == Place::Room(id));
        found.map(|_| id).ok_or_else(|| no_such("participant", leg))
    }

    pub(super) fn api_update_participant(
        &mut self,
        room: &str,
        leg: LegId,
        (body, condition): (&UpdateParticipant, &IfMatch),
    ) -> Answer<Participant> {
        let id = self.joined_leg(room, leg)?;
        let revision = self.legs.get(&leg).map_or(0, |leg| leg.revision);
        expect_revision(condition, ("participant", revision))?;
        let to = self.check_update(leg, body)?;
        let wish = Wish::of_update(body);
        self.check_circle((to.unwrap_or(id), Some(leg)), &wish)?;
        let to = to.filter(|to| *to != id);
        self.update(leg, body, &if to.is_some() { Wish::default() } else { wish.clone() });
        if let Some(to) = to {
            self.move_leg(leg, to);
            if self.take_circle(leg, &wish) {
                self.participant_happened(EventType::ParticipantUpdated, leg, json!({}));
            }
            if let Some(after) = body.return_after_s {
                self.set_excursion(leg, id, Duration::from_secs(after.into()));
            }
        }
        self.api_participant(&to.unwrap_or(id).to_string(), leg)
    }

    /// All checks come before the first change, so that a refused update changes nothing.
    fn check_update(&self, leg: LegId, body: &UpdateParticipant) -> Answer<Option<RoomId>> {
        for (pointer, gain) in
            [("/gain_in_db", body.gain_in_db), ("/gain_out_db", body.gain_out_db)]
        {
            if let Some(gain) = gain {
                within(pointer, gain, -60.0..=30.0)?;
            }
        }
        let up = self.legs.get(&leg).is_some_and(crate::bridge::leg::Leg::is_up);
        if !up && (body.held.is_some() || body.room.is_some()) {
            return Err(conflict(
                "not_answered",
                "the participant has not answered yet; wait for participant.joined",
            ));
        }
        let Some(room) = &body.room else { return Ok(None) };
        let to = self.open_room(room).map_err(|_| invalid("/room", "no such room is open"))?;
        let found = self.rooms.get(&to).ok_or_else(|| no_such("room", room))?;
        if !found.legs.contains(&leg) {
            if found.ending {
                return Err(refused(Refusal::Ending));
            }
            found.has_seat().map_err(refused)?;
        }
        Ok(Some(to))
    }

    fn update(&mut self, id: LegId, body: &UpdateParticipant, wish: &Wish) {
        if let Some(muted) = body.muted {
            self.set_muted(id, muted);
        }
        if let Some(held) = body.held {
            self.set_held(id, held);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let before = (leg.controls.clone(), leg.display_name.clone());
        let becomes_moderator = body.role == Some(Role::Moderator)
            && before.0.role != Role::Moderator
            && leg.joined_at.is_some();
        let room = leg.place.room();
        let controls = &mut leg.controls;
        controls.deaf = body.deaf.unwrap_or(controls.deaf);
        controls.role = body.role.unwrap_or(controls.role);
        controls.gain_in_db = body.gain_in_db.unwrap_or(controls.gain_in_db);
        controls.gain_out_db = body.gain_out_db.unwrap_or(controls.gain_out_db);
        controls.agc = body.agc.unwrap_or(controls.agc);
        let noise_suppression = body.noise_suppression;
        controls.noise_suppression = noise_suppression.unwrap_or(controls.noise_suppression);
        controls.echo_suppression = body.echo_suppression.unwrap_or(controls.echo_suppression);
        if let Some(name) = &body.display_name {
            leg.named_by = NamedBy::api(!name.is_empty());
            leg.display_name = Some(name.clone()).filter(|name| !name.is_empty());
        }
        let is_regrouped = self.take_circle(id, wish);
        let Some(leg) = self.legs.get(&id) else { return };
        if is_regrouped || before != (leg.controls.clone(), leg.display_name.clone()) {
            if leg.seat().muted {
                self.stop_talking(id);
            }
            self.apply_seat(id);
            self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
        }
        if let Some(raised) = body.hand_raised {
            self.set_hand(id, raised);
        }
        if let Some(room) = room.filter(|_| becomes_moderator) {
            self.moderator_is_there(room);
        }
    }

    pub(super) fn set_muted(&mut self, id: LegId, muted: bool) {
        self.mute(id, muted.then_some(MutedBy::Api));
    }

    /// Mutes somebody, or unmutes them.
    pub(in crate::bridge) fn mute(&mut self, id: LegId, by: Option<MutedBy>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let muted = by.is_some();
        let is_by_another = leg.controls.muted_by != by;
        leg.controls.muted_by = by;
        leg.controls.is_asked = false;
        if leg.controls.muted == muted {
            if is_by_another {
                self.participant_happened(EventType::ParticipantUpdated, id, json!({}));
            }
            return;
        }
        leg.controls.muted = muted;
        if muted {
            self.stop_talking(id);
        }
        self.apply_seat(id);
        let kind = if muted { EventType::ParticipantMuted } else { EventType::ParticipantUnmuted };
        self.participant_happened(kind, id, json!({}));
    }

    /// Holds or resumes at once on our side, and tells the phone by re-INVITE.
    pub(super) fn set_held(&mut self, id: LegId, held: bool) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let before = leg.hold;
        if before.local == held {
            return;
        }
        leg.hold.local = held;
        self.apply_seat(id);
        self.tell_hold(id, before);
        self.reoffer(id);
        self.play_to_held(id, held);
    }

    /// Each for itself: one that cannot be changed does not keep the others from it.
    pub(super) fn api_update_participants(
        &mut self,
        room: &str,
        whom: &Whom,
        body: &UpdateParticipant,
    ) -> Answer<Vec<(LegId, Answer<Participant>)>> {
        let id = self.open_room(room)?;
        let Some(found) = self.rooms.get(&id) else { return Err(no_such("room", room)) };
        let is_meant = |leg: &&LegId| {
            let leg = self.legs.get(leg).filter(|leg| leg.is_up());
            leg.is_some_and(|leg| whom.means(&leg.participant(id)))
        };
        let legs: Vec<LegId> = found.legs.iter().filter(is_meant).copied().collect();
        let absent = whom.legs.iter().filter(|leg| !found.legs.contains(leg)).copied();
        let absent: Vec<_> = absent.map(|leg| (leg, Err(no_such("participant", leg)))).collect();
        let change =
            |leg| (leg, self.api_update_participant(room, leg, (body, &IfMatch::default())));
        Ok(legs.into_iter().map(change).chain(absent).collect())
    }

    pub(super) fn api_admit(&mut self, room: &str, leg: LegId) -> Answer<Participant> {
        let id = self.joined_leg(room, leg)?;
        if !self.admit_leg(leg) {
            return Err(conflict("not_waiting", "the participant does not wait to be let in"));
        }
        self.api_participant(&id.to_string(), leg)
    }

    /// A key of theirs unmutes them from now on.
    pub(super) fn api_ask_to_speak(&mut self, room: &str, leg: LegId) -> Answer<Participant> {
        let id = self.joined_leg(room, leg)?;
        let muted = self.legs.get_mut(&leg).filter(|leg| leg.controls.muted && leg.is_up());
        let Some(asked) = muted else {
            return Err(conflict("not_muted", "the participant is not muted, and may speak"));
        };
        asked.controls.is_asked = true;
        self.tell_leg(leg, &["asked-to-speak"], Then::Nothing);
        self.api_participant(&id.to_string(), leg)
    }

    pub(super) fn api_kick(&mut self, room: &str, leg: LegId, query: KickQuery) -> Answer<()> {
        self.joined_leg(room, leg)?;
        let Some(prompt) = query.prompt else {
            self.end_leg(leg, LeftReason::Kicked, None);
            return Ok(());
        };
        if !self.has_media(&prompt) {
            return Err(invalid("/prompt", format!("there is no media of the name {prompt}")));
        }
        if self.is_joined(leg) {
            self.prompt(Hearer::Leg(leg), vec![prompt], Then::HangUp(LeftReason::Kicked));
        } else {
            self.end_leg(leg, LeftReason::Kicked, None);
        }
        Ok(())
    }
}

/// A URI that can be called.
pub(super) fn sip_uri(pointer: &str, text: &str) -> Answer<Uri> {
    let expected = "expected a URI such as sip:alice@example.com";
    let uri = Uri::parse(text.as_bytes()).map_err(|_| invalid(pointer, expected))?;
    if !uri.is_sip() {
        return Err(invalid(pointer, format!("{expected}, found {text}")));
    }
    Ok(uri)
}

/// A `from` of the API: a URI, or the user part of one.
pub(super) fn caller(text: &str) -> Answer<Caller> {
    if text.contains(':') {
        return sip_uri("/from", text).map(Caller::Uri);
    }
    if !is_room_name(text) {
        return Err(invalid("/from", "expected a sip: URI, or 1 to 64 of A-Z a-z 0-9 - _ . + ~"));
    }
    Ok(Caller::User(text.to_owned()))
}

fn codec_named(name: &str) -> Option<Codec> {
    [
        ("PCMU", Codec::Pcmu),
        ("PCMA", Codec::Pcma),
        ("G722", Codec::G722),
        ("opus", Codec::Opus),
        ("L16", Codec::L16),
    ]
    .into_iter()
    .find(|(known, _)| known.eq_ignore_ascii_case(name))
    .map(|(_, codec)| codec)
}
