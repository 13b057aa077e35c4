//! `/v1/legs`.

use std::time::Duration;

use api::model::{
    LeftReason, Leg, LegId, LegStats, Page, PageQuery, SendDtmf, Transfer, TransferState,
};

use crate::bridge::quality::stats;
use crate::bridge::{Bridge, leg};
use crate::media::command::Command;

use super::page::{Wanted, page};
use super::participants::sip_uri;
use super::{Answer, conflict, invalid, no_such, refused, within};

/// How long a digit lasts where the request does not say.
const DIGIT_MS: u32 = 100;

impl Bridge {
    pub(super) fn api_list_legs(&self, query: &PageQuery) -> Answer<Page<Leg>> {
        let wanted = Wanted::of(query, &["dialing", "ringing", "answered", "ended"])?;
        let ended = self.history.legs.values().map(|(leg, _)| (false, leg.clone()));
        let live = self.legs.values().map(|leg| (true, leg.view()));
        let mut all: Vec<(bool, Leg)> = ended.chain(live).collect();
        all.retain(|(live, leg)| wanted.takes(*live, &leg.state));
        all.sort_by_key(|(_, leg)| leg.id);
        page(query, all.into_iter().map(|(_, leg)| leg), |leg| leg.id)
    }

    pub(super) fn api_leg(&self, id: LegId) -> Answer<Leg> {
        let live = self.legs.get(&id).map(leg::Leg::view);
        let ended = || self.history.legs.get(&id).map(|(leg, _)| leg.clone());
        live.or_else(ended).ok_or_else(|| no_such("leg", id))
    }

    /// A leg that is answered; what it is not is said.
    fn up(&self, id: LegId) -> Answer<&leg::Leg> {
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

    pub(super) fn api_hold_leg(&mut self, id: LegId, held: bool) -> Answer<Leg> {
        self.up(id)?;
        self.set_held(id, held);
        self.api_leg(id)
    }

    pub(super) fn api_mute_leg(&mut self, id: LegId, muted: bool) -> Answer<Leg> {
        if !self.legs.contains_key(&id) {
            return Err(no_such("leg", id));
        }
        self.set_muted(id, muted);
        self.api_leg(id)
    }

    pub(super) fn api_transfer(&mut self, id: LegId, body: &Transfer) -> Answer<Leg> {
        match (&body.to, &body.leg, &body.room) {
            (Some(to), None, None) => self.transfer_blind(id, to),
            (None, None, Some(room)) => self.transfer_to_room(id, room),
            (None, Some(_), None) => {
                Err(invalid("/leg", "attended transfer is not there yet; use to or room"))
            }
            _ => Err(invalid("", "expected exactly one of to, leg and room")),
        }
    }

    fn transfer_blind(&mut self, id: LegId, to: &str) -> Answer<Leg> {
        let target = sip_uri("/to", to)?;
        let leg = self.up(id)?;
        let under_way = self.refers_sent.values().any(|other| *other == id);
        if under_way {
            let detail = "a transfer of this leg is under way; wait for its outcome";
            return Err(conflict("transfer_pending", detail));
        }
        debug_assert!(leg.session.is_some(), "a leg that is up has a session");
        self.refer(id, target);
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
        let events = leg.negotiation.as_ref().and_then(|negotiation| negotiation.plan());
        if events.is_none_or(|plan| plan.send_events.is_none()) {
            let detail = "the phone did not agree to telephone-event; digits cannot be sent";
            return Err(conflict("no_telephone_event", detail));
        }
        let duration = Duration::from_millis(ms.into());
        let send = Command::SendDigits { leg: leg.media, digits, duration };
        self.tell_media(send);
        Ok(())
    }

    pub(super) fn api_leg_stats(&self, id: LegId) -> Answer<LegStats> {
        let live = self.legs.get(&id).map(|leg| stats(&leg.statistics));
        let ended = || self.history.legs.get(&id).map(|(_, stats)| stats.clone());
        live.or_else(ended).ok_or_else(|| no_such("leg", id))
    }
}
