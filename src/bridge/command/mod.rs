//! What the API asks, answered at once: work that goes on shows in the state answered and in events. Only the end of a
//! room is answered when it has come, for which nobody else is waited (`ending`).

mod calls;
mod legs;
mod nodes;
pub(super) mod page;
mod participants;
mod rooms;
mod snapshot;

use api::control::{Command, ControlError, IfMatch};
use api::model::{Readiness, RoomId};

use super::room::Refusal;
use super::{Bridge, Draining};

pub(super) type Answer<T> = Result<T, ControlError>;

impl Bridge {
    #[expect(clippy::too_many_lines, reason = "an arm for each command, and most have one line")]
    pub(super) fn handle_command(&mut self, command: Command) {
        self.counters.commands += 1;
        match command {
            Command::CreateRoom { body, reply } => match self.api_create_room(body) {
                Ok(room) => self.answer_kept(room.id, reply),
                refused @ Err(_) => reply.send(refused),
            },
            Command::ListRooms { query, reply } => reply.send(self.api_list_rooms(&query)),
            Command::Room { room, reply } => reply.send(self.api_room(&room)),
            Command::UpdateRoom { room, body, condition, reply } => {
                match self.api_update_room(&room, &body, &condition) {
                    Ok(room) => self.answer_kept(room.id, reply),
                    refused @ Err(_) => reply.send(refused),
                }
            }
            Command::DialIn { room, moderator, reply } => {
                reply.send(self.api_dial_in(&room, moderator));
            }
            Command::DeleteRoom { room, reply } => self.api_delete_room(&room, reply),
            Command::LockRoom { room, locked, condition, reply } => {
                match self.api_lock_room(&room, locked, &condition) {
                    Ok(room) => self.answer_kept(room.id, reply),
                    refused @ Err(_) => reply.send(refused),
                }
            }
            Command::EndRoom { room, body, reply } => self.api_end_room(&room, &body, reply),
            Command::ListParticipants { room, query, reply } => {
                reply.send(self.api_list_participants(&room, &query));
            }
            Command::Invite { room, body, reply } => reply.send(self.api_invite(&room, body)),
            Command::Participant { room, leg, reply } => {
                reply.send(self.api_participant(&room, leg));
            }
            Command::UpdateParticipant { room, leg, body, condition, reply } => {
                reply.send(self.api_update_participant(&room, leg, (&body, &condition)));
            }
            Command::UpdateParticipants { room, whom, body, reply } => {
                reply.send(self.api_update_participants(&room, &whom, &body));
            }
            Command::Admit { room, leg, reply } => reply.send(self.api_admit(&room, leg)),
            Command::AdmitAll { room, reply } => reply.send(self.api_admit_all(&room)),
            Command::AskToSpeak { room, leg, reply } => {
                reply.send(self.api_ask_to_speak(&room, leg));
            }
            Command::Kick { room, leg, query, reply } => {
                reply.send(self.api_kick(&room, leg, query));
            }
            Command::CreateCall { body, reply } => reply.send(self.api_create_call(&body)),
            Command::ListCalls { query, reply } => reply.send(self.api_list_calls(&query)),
            Command::Call { call, reply } => reply.send(self.api_call(call)),
            Command::HangUpCall { call, reply } => reply.send(self.api_hang_up_call(call)),
            Command::ListLegs { query, reply } => reply.send(self.api_list_legs(&query)),
            Command::Leg { leg, reply } => reply.send(self.api_leg(leg)),
            Command::HangUpLeg { leg, reply } => reply.send(self.api_hang_up_leg(leg)),
            Command::HoldLeg { leg, held, body, reply } => {
                reply.send(self.api_hold_leg(leg, held, body));
            }
            Command::MuteLeg { leg, muted, reply } => reply.send(self.api_mute_leg(leg, muted)),
            Command::Transfer { leg, body, reply } => reply.send(self.api_transfer(leg, &body)),
            Command::SendDtmf { leg, body, reply } => reply.send(self.api_send_dtmf(leg, &body)),
            Command::LegStats { leg, reply } => reply.send(self.api_leg_stats(leg)),
            Command::Snapshot { rooms, reply } => reply.send(Ok(self.api_snapshot(&rooms))),
            Command::ListNodes { query, reply } => reply.send(self.api_list_nodes(&query)),
            Command::Node { node, reply } => reply.send(self.api_node(&node)),
            Command::SendMessage { body, reply } => reply.send(self.api_send_message(&body)),
            Command::ListMessages { query, reply } => reply.send(self.api_list_messages(&query)),
            Command::Message { message, reply } => reply.send(self.api_message(message)),
            Command::ListBans { query, reply } => reply.send(self.api_list_bans(&query)),
            Command::LiftBan { address, reply } => reply.send(self.api_lift_ban(address)),
            Command::ListRegistrations { query, reply } => {
                reply.send(self.api_list_registrations(&query));
            }
            Command::Registration { registration, reply } => {
                reply.send(self.api_registration(registration));
            }
            Command::RemoveRegistration { registration, reply } => {
                reply.send(self.api_remove_registration(registration));
            }
            Command::ListPresence { query, reply } => reply.send(self.api_list_presence(&query)),
            Command::Presence { user, reply } => reply.send(self.api_presence(&user)),
            Command::SetPresence { user, body, reply } => {
                reply.send(self.api_set_presence(&user, body));
            }
            Command::LegTrace { leg, reply } => reply.send(self.api_leg_trace(leg)),
            Command::CallTrace { call, reply } => reply.send(self.api_call_trace(call)),
            Command::ListTrunks { query, reply } => reply.send(self.api_list_trunks(&query)),
            Command::Trunk { trunk, reply } => reply.send(self.api_trunk(&trunk)),
            Command::CreateTrunk { body, reply } => self.api_create_trunk(body, reply),
            Command::ReplaceTrunk { trunk, body, condition, reply } => {
                self.api_replace_trunk((&trunk, &condition), body, reply);
            }
            Command::DeleteTrunk { trunk, condition, reply } => {
                self.api_delete_trunk(trunk, &condition, reply);
            }
            Command::ListUsers { query, reply } => reply.send(self.api_list_users(&query)),
            Command::CreateUser { body, reply } => self.api_create_user(&body, reply),
            Command::User { user, reply } => reply.send(self.api_user(&user)),
            Command::UpdateUser { user, body, condition, reply } => {
                self.api_update_user((&user, &condition), body, reply);
            }
            Command::DeleteUser { user, condition, reply } => {
                self.api_delete_user(user, &condition, reply);
            }
            Command::ListRoutes { query, reply } => reply.send(self.api_list_routes(&query)),
            Command::CreateRoute { body, reply } => self.api_create_route(body, reply),
            Command::Route { route, reply } => reply.send(self.api_route(&route)),
            Command::ReplaceRoute { route, body, condition, reply } => {
                self.api_replace_route((route, &condition), body, reply);
            }
            Command::DeleteRoute { route, condition, reply } => {
                self.api_delete_route(route, &condition, reply);
            }
            Command::Play { to, body, reply } => reply.send(self.api_play(&to, body)),
            Command::PlayMusic { room, body, reply } => {
                reply.send(self.api_play_music(&room, body));
            }
            Command::StopMusic { room, reply } => reply.send(self.api_stop_music(&room)),
            Command::ListPlaybacks { query, reply } => {
                reply.send(self.api_list_playbacks(&query));
            }
            Command::Playback { playback, reply } => reply.send(self.api_playback(playback)),
            Command::UpdatePlayback { playback, body, reply } => {
                reply.send(self.api_update_playback(playback, &body));
            }
            Command::StopPlayback { playback, reply } => {
                reply.send(self.api_stop_playback(playback));
            }
            Command::CreateRecording { of, options, reply } => {
                reply.send(self.api_create_recording(&of, options));
            }
            Command::LiveRecordings { reply } => reply.send(Ok(self.api_live_recordings())),
            Command::Recording { recording, reply } => reply.send(self.api_recording(recording)),
            Command::UpdateRecording { recording, body, reply } => {
                reply.send(self.api_update_recording(recording, body));
            }
            Command::MarkRecording { recording, body, reply } => {
                reply.send(self.api_mark_recording(recording, body));
            }
            Command::StopRecording { recording, reply } => {
                reply.send(self.api_stop_recording(recording));
            }
            Command::DiscardRecording { recording, reply } => {
                reply.send(self.api_discard_recording(recording));
            }
            Command::ListTemplates { query, reply } => {
                reply.send(self.api_list_templates(&query));
            }
            Command::Template { template, reply } => reply.send(self.api_template(&template)),
            Command::PutTemplate { template, body, condition, reply } => {
                self.api_put_template((template, &condition), body, reply);
            }
            Command::DeleteTemplate { template, condition, reply } => {
                self.api_delete_template(template, &condition, reply);
            }
            Command::ListMedia { query, reply } => reply.send(self.api_list_media(&query)),
            Command::Media { media, reply } => reply.send(self.api_media(&media)),
            Command::MediaContent { media, reply } => reply.send(self.api_media_content(&media)),
            Command::PutMedia { media, sound, condition, reply } => {
                self.api_put_media((media, condition), sound, reply);
            }
            Command::DeleteMedia { media, condition, reply } => {
                self.api_delete_media(media, &condition, reply);
            }
            Command::TestRoutes { body, reply } => reply.send(self.api_test_routes(&body)),
            Command::Readiness { reply } => reply.send(Ok(self.readiness())),
            Command::Metrics { reply } => reply.send(Ok(self.metrics())),
        }
    }

    fn readiness(&self) -> Readiness {
        let reason = if self.draining != Draining::No {
            Some("the bridge is draining")
        } else if self.room_for_legs() == 0 {
            Some("there is no room for more legs")
        } else {
            None
        };
        Readiness { ready: reason.is_none(), reason: reason.map(str::to_owned) }
    }

    /// Refuses work that would add legs while that cannot be.
    fn has_line_for_api(&self) -> Answer<()> {
        self.has_line().map_err(refused)
    }

    /// The open room with this id or name.
    pub(super) fn open_room(&self, room: &str) -> Answer<RoomId> {
        let by_id = room.parse().ok().filter(|id| self.rooms.contains_key(id));
        by_id.or_else(|| self.names.get(room).copied()).ok_or_else(|| no_such("room", room))
    }
}

/// Refuses a change that is for another revision.
fn expect_revision(condition: &IfMatch, (what, revision): (&'static str, u64)) -> Answer<()> {
    if condition.allows(revision) { Ok(()) } else { Err(ControlError::Stale { what, revision }) }
}

pub(super) fn no_such(what: &'static str, name: impl std::fmt::Display) -> ControlError {
    ControlError::NotFound { what, name: name.to_string() }
}

pub(super) fn invalid(pointer: &str, detail: impl Into<String>) -> ControlError {
    ControlError::Invalid { pointer: pointer.to_owned(), detail: detail.into() }
}

pub(super) fn conflict(code: &'static str, detail: impl Into<String>) -> ControlError {
    ControlError::Conflict { code, detail: detail.into() }
}

/// How a refusal that a caller would get by SIP looks over HTTP.
fn refused(refusal: Refusal) -> ControlError {
    match refusal {
        Refusal::Draining => ControlError::Stopping,
        Refusal::Overloaded | Refusal::TooFast => ControlError::Busy {
            detail: "the limit of legs or rooms is reached; raise limits.legs or limits.rooms, or widen rtp_ports"
                .to_owned(),
            retry_after_s: 10,
        },
        Refusal::Saturated { retry_after_s } => ControlError::Saturated {
            detail: "the media threads have no time for more legs; try again, or see /v1/nodes and limits.media_load"
                .to_owned(),
            retry_after_s,
        },
        Refusal::Full => conflict("room_full", "the room has no seat left; raise max_participants"),
        Refusal::Locked => conflict("room_locked", "the room is locked; unlock it first"),
        Refusal::Ending => conflict("room_ending", "the room is about to end"),
        Refusal::NotOpen => conflict("room_not_open", "the room is not open yet; see settings.opens_at"),
        Refusal::NotFound => no_such("room", ""),
        Refusal::NoDialog
        | Refusal::DialogEnded
        | Refusal::NotEarly
        | Refusal::Contended
        | Refusal::NotAllowed
        | Refusal::Limited(..) => conflict(refusal.code(), refusal.answer().1),
    }
}

/// Checks a number against its range, which the detail names.
fn within<T: PartialOrd + std::fmt::Display + Copy>(
    pointer: &str,
    value: T,
    range: std::ops::RangeInclusive<T>,
) -> Answer<T> {
    if range.contains(&value) {
        return Ok(value);
    }
    let (low, high) = (range.start(), range.end());
    Err(invalid(pointer, format!("expected {low} to {high}, found {value}")))
}
