//! `/v1/legs`.

use std::time::Duration;

use api::control::ControlError;
use api::model::{
    Hold, LeftReason, Leg, LegId, LegQuery, LegStats, Page, PlaybackEnd, PlaybackPurpose, SendDtmf,
    Transfer, TransferFailure, TransferMode, TransferState,
};
use serde_json::json;

use crate::bridge::playing::{Hearer, Order};
use crate::bridge::quality::stats;
use crate::bridge::room::Refusal;
use crate::bridge::{Bridge, Dtmf, leg};

use super::page::{Wanted, page};
use super::participants::sip_uri;
use super::{Answer, conflict, invalid, no_such, refused, within};

/// How long a digit lasts where the request does not say.
const DIGIT_MS: u32 = 100;

impl Bridge {
    pub(super) fn api_list_legs(&self, query: &LegQuery) -> Answer<Page<Leg>> {
        let asked = query.page();
        let wanted = Wanted::of(&asked, &["dialing", "ringing", "answered", "ended"])?;
        let ended = self.history.legs.values().map(|(leg, _)| (false, leg.clone()));
        let live = self.legs.values().map(|leg| (true, leg.view()));
        let mut all: Vec<(bool, Leg)> = ended.chain(live).collect();
        all.retain(|(live, leg)| wanted.takes(*live, &leg.state) && query.matches(leg));
        all.sort_by_key(|(_, leg)| leg.id);
        page(&asked, all.into_iter().map(|(_, leg)| leg), |leg| leg.id)
    }

    pub(super) fn api_leg(&self, id: LegId) -> Answer<Leg> {
        let live = self.legs.get(&id).map(leg::Leg::view);
        let ended = || self.history.legs.get(&id).map(|(leg, _)| leg.clone());
        live.or_else(ended).ok_or_else(|| no_such("leg", id))
    }

    /// A leg that is answered; what it is not is said.
    pub(in crate::bridge) fn up(&self, id: LegId) -> Answer<&leg::Leg> {
        let Some(leg) = self.legs.get(&id) else {
            return Err(if self.history.legs.contains_key(&id) {
                conflict("leg_ended", "the leg has ended")
            } else {
                no_such("leg", id)
            });
        };
        if leg.is_up() {
            return Ok(leg);
        }
        Err(conflict("not_answered", "the leg has not been answered yet; wait for leg.answered"))
    }

    pub(super) fn api_hang_up_leg(&mut self, id: LegId) -> Answer<()> {
        if !self.legs.contains_key(&id) {
            return Err(no_such("leg", id));
        }
        self.end_leg(id, LeftReason::Kicked, None);
        Ok(())
    }

    pub(super) fn api_hold_leg(&mut self, id: LegId, held: bool, body: Hold) -> Answer<Leg> {
        self.up(id)?;
        let music = body.music.map(|name| self.named_music("/music", name)).transpose()?;
        self.set_held(id, held);
        if let Some(music) = music {
            let of = [PlaybackPurpose::Music];
            self.end_playbacks(Hearer::Leg(id), &of, PlaybackEnd::Replaced);
            self.play(Hearer::Leg(id), music);
        }
        self.api_leg(id)
    }

    fn named_music(&mut self, pointer: &str, name: String) -> Answer<Order> {
        let missing = format!("there is no media of the name {name}");
        self.music(name).ok_or_else(|| invalid(pointer, missing))
    }

    pub(super) fn api_mute_leg(&mut self, id: LegId, muted: bool) -> Answer<Leg> {
        if !self.legs.contains_key(&id) {
            return Err(no_such("leg", id));
        }
        self.set_muted(id, muted);
        self.api_leg(id)
    }

    pub(super) fn api_transfer(&mut self, id: LegId, body: &Transfer) -> Answer<Leg> {
        if body.mode.is_some() && body.leg.is_none() {
            return Err(invalid("/mode", "expected only together with leg"));
        }
        match (&body.to, body.leg, &body.room) {
            (Some(to), None, None) => self.transfer_blind(id, to),
            (None, None, Some(room)) => self.transfer_to_room(id, room),
            (None, Some(other), None) => {
                self.may_transfer_with(id, other)?;
                match body.mode.unwrap_or_default() {
                    TransferMode::Connect => self.transfer_connect(id, other),
                    TransferMode::Refer => self.transfer_instead_of(id, other),
                }
            }
            _ => Err(invalid("", "expected exactly one of to, leg and room")),
        }
    }

    fn transfer_blind(&mut self, id: LegId, to: &str) -> Answer<Leg> {
        let target = sip_uri("/to", to)?;
        let leg = self.up(id)?;
        if self.refers_sent.values().any(|sent| sent.concerns(id)) {
            return Err(pending());
        }
        debug_assert!(leg.session.is_some(), "a leg that is up has a session");
        self.refer(id, target);
        self.api_leg(id)
    }

    /// Two legs that are up, and not one.
    fn may_transfer_with(&self, id: LegId, other: LegId) -> Answer<()> {
        self.up(id)?;
        if id == other {
            return Err(invalid("/leg", "expected another leg than the one of the path"));
        }
        match self.up(other) {
            Ok(_) if self.is_transferring(id) || self.is_transferring(other) => Err(pending()),
            Ok(_) => Ok(()),
            Err(ControlError::NotFound { .. }) => Err(invalid("/leg", "there is no such leg")),
            Err(error) => Err(error),
        }
    }

    /// Connects the others of two legs, and hangs both up.
    fn transfer_connect(&mut self, id: LegId, other: LegId) -> Answer<Leg> {
        let junction = self.junction(id, other).map_err(unconnectable)?;
        self.counters.transfers += 1;
        let data = json!({ "by": "api", "with": other });
        self.transfer_moves(id, TransferState::Requested, data);
        self.connect(&junction);
        self.transfer_moves(id, TransferState::Completed, json!({ "with": other }));
        let as_it_was = self.api_leg(id);
        self.end_leg(other, LeftReason::Transferred, None);
        self.end_leg(id, LeftReason::Transferred, None);
        self.api_leg(id).or(as_it_was)
    }

    /// Asks the phone of a leg to take our place in a call with the far end of another.
    fn transfer_instead_of(&mut self, id: LegId, other: LegId) -> Answer<Leg> {
        let detail = "the leg has not been answered yet; wait for leg.answered";
        self.refer_instead_of(id, other).ok_or_else(|| conflict("not_answered", detail))?;
        self.api_leg(id)
    }

    fn transfer_to_room(&mut self, id: LegId, room: &str) -> Answer<Leg> {
        self.up(id)?;
        let to = self.open_room(room)?;
        if let Some(found) = self.rooms.get(&to)
            && !found.legs.contains(&id)
        {
            found.has_seat().map_err(refused)?;
        }
        self.move_leg(id, to);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.transfer = Some(TransferState::Completed);
        }
        self.api_leg(id)
    }

    pub(super) fn api_send_dtmf(&mut self, id: LegId, body: &SendDtmf) -> Answer<()> {
        let digits = body.digits.to_ascii_uppercase();
        let known = |digit: char| digit.is_ascii_digit() || "*#ABCD".contains(digit);
        if !(1..=64).contains(&digits.len()) || !digits.chars().all(known) {
            return Err(invalid("/digits", "expected 1 to 64 of 0-9 * # A-D"));
        }
        let ms = within("/duration_ms", body.duration_ms.unwrap_or(DIGIT_MS), 40..=2000)?;
        let leg = self.up(id)?;
        let duration = Duration::from_millis(ms.into());
        if leg.media_rules.dtmf == Dtmf::Info {
            self.send_infos(id, &digits, duration);
            return Ok(());
        }
        if !leg.takes_events() {
            let detail = "the phone did not agree to telephone-event; digits cannot be sent";
            return Err(conflict("no_telephone_event", detail));
        }
        self.send_events(id, digits, duration);
        Ok(())
    }

    pub(super) fn api_leg_stats(&self, id: LegId) -> Answer<LegStats> {
        let live = self.legs.get(&id).map(|leg| stats(&leg.statistics));
        let ended = || self.history.legs.get(&id).map(|(_, stats)| stats.clone());
        live.or_else(ended).ok_or_else(|| no_such("leg", id))
    }
}

fn pending() -> ControlError {
    conflict("transfer_pending", "a transfer of this leg is under way; wait for its outcome")
}

/// Why two legs cannot be connected.
fn unconnectable(why: TransferFailure) -> ControlError {
    match why {
        TransferFailure::TwoRooms => {
            conflict("two_rooms", "both legs sit in rooms; move participants instead")
        }
        TransferFailure::SamePlace => conflict("same_place", "both legs are in the same place"),
        TransferFailure::NoSeat => refused(Refusal::Full),
        TransferFailure::Pending => pending(),
        TransferFailure::NobodyThere => {
            conflict("nobody_there", "there is nobody to connect on the far side of a leg")
        }
        TransferFailure::Refused
        | TransferFailure::TargetFailed
        | TransferFailure::NoNews
        | TransferFailure::LegEnded
        | TransferFailure::NoDialog
        | TransferFailure::NotAllowed
        | TransferFailure::BadTarget
        | TransferFailure::NoCapacity => {
            conflict("not_connectable", "the legs cannot be connected")
        }
    }
}
