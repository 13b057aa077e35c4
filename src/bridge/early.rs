//! Early media: what two parties hear of each other before an answer (RFC 3960 §3, our own media in between).
//!
//! ```text
//!  callee ─18x with SDP─▶ nobody waits for it, or it is not wanted: told, and no more
//!                         ─▶ the caller is told our answer by 18x (reliably where it knows 100rel), both are seated
//!  another phone of a fork ─18x with SDP─▶ kept for its 200: the first one is heard
//!                          ─UPDATE, 200──▶ the media goes over to it
//!  callee fails ─▶ the caller is taken out of the mix until the next one is heard; its answer stands (RFC 3264: one)
//! ```
//! A room never hears it: nobody in there called, and an announcement of a carrier must not be played to a conference.
//! A caller without an offer never hears it either: what it would be told is an offer, and its answer may never come.

use api::event::EventType;
use api::model::{CallId, EarlyMedia, LegId};
use bytes::Bytes;
use serde_json::json;

use super::leg::{Answer, Stage};
use super::signal::status_code;
use super::{Bridge, Place};
use crate::media::command::Command;
use crate::sdp::{MediaPlan, Negotiation};
use crate::sip::dialog::DialogId;
use crate::sip::endpoint::SessionId;

/// What the phones of an INVITE of ours said of their media before one of them answered.
#[derive(Debug)]
pub(super) struct Early {
    /// The negotiation as the INVITE left it, which is all that another phone of a fork knows of.
    invited: Negotiation,
    said: Said,
    /// Whose media is in the mix.
    heard: Option<DialogId>,
}

/// What was said last.
#[derive(Debug)]
enum Said {
    /// An answer, which the 200 may not repeat (RFC 6337 §3.1.1).
    Answer(Bytes),
    /// An UPDATE: what else came is out of date, or another phone's.
    Update,
}

impl Bridge {
    /// A phone that we call has said how it sends before it answers.
    pub(super) fn early_media(
        &mut self,
        id: LegId,
        (status, dialog): (u16, Option<&DialogId>),
        sdp: &Bytes,
    ) {
        self.leg_happened(EventType::LegEarlyMedia, id, json!({ "status": status }));
        let is_wanted = self.listener_of(id).is_some();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let answer = || Said::Answer(sdp.clone());
        let early = leg.early.get_or_insert_with(|| Early::new(negotiation, answer()));
        // The INVITE went on to another target: the one before says no more.
        let is_gone = |heard: &DialogId| self.endpoint.session_of(heard).is_none();
        if early.heard.as_ref().is_some_and(|heard| dialog != Some(heard) && is_gone(heard)) {
            *early = Early::new(&early.invited, answer());
        }
        if matches!(early.said, Said::Update) {
            return;
        }
        early.said = answer();
        let is_heard = early.heard.is_some();
        let Some(dialog) = dialog.filter(|_| is_wanted) else { return };
        if early.heard.as_ref().is_some_and(|heard| heard != dialog) {
            return;
        }
        let mut agreed = early.invited.clone();
        let Ok(plan) = agreed.conclude(sdp) else { return };
        if is_heard && negotiation.plan() == Some(&plan) {
            return;
        }
        early.heard = Some(dialog.clone());
        *negotiation = agreed;
        self.hear_early(id, &plan);
        if !is_heard {
            self.let_listen(id, status);
        }
    }

    /// Whether its early media is heard.
    pub(super) fn is_heard_early(&self, id: LegId) -> bool {
        let early = self.legs.get(&id).and_then(|leg| leg.early.as_ref());
        early.is_some_and(|early| early.heard.is_some())
    }

    /// Who is to hear the early media of a leg that we call.
    fn listener_of(&self, id: LegId) -> Option<(CallId, LegId)> {
        let leg = self.legs.get(&id).filter(|leg| leg.early_media == EarlyMedia::Pass)?;
        let Place::Call(place) = leg.place else { return None };
        let call = self.calls.get(&place)?;
        let Some(routed) = &call.routed else {
            let others = self.others_in(leg.place, id).into_iter();
            let first = others.into_iter().find(|other| self.legs[other].is_up())?;
            return Some((place, first));
        };
        let caller = routed.caller();
        let waits = matches!(
            self.legs.get(&caller)?.stage,
            Stage::Waiting(Answer::Kept(_) | Answer::Told(_))
        );
        let is_free = routed.heard().is_none_or(|heard| heard == id);
        (waits && is_free).then_some((place, caller))
    }

    /// Puts the early media of a leg into its call. That it only sends is no hold yet: nobody has answered.
    fn hear_early(&mut self, id: LegId, plan: &MediaPlan) {
        self.apply_plan(id, plan);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.hold.remote = false;
        let place = leg.place;
        self.apply_seat(id);
        self.seat(id, place);
    }

    /// Tells the caller that there is something to hear, and seats it.
    fn let_listen(&mut self, callee: LegId, status: u16) {
        let Some((call, listener)) = self.listener_of(callee) else { return };
        let Some(leg) = self.legs.get_mut(&listener) else { return };
        let (Stage::Waiting(waiting), Some(session)) = (&mut leg.stage, leg.session) else {
            return; // it has been answered: it sits there already
        };
        let Some((answer, is_first)) = waiting.tell() else { return };
        // 180 with SDP says that it rings too; all else is progress.
        let status = if status == 180 { 180 } else { 183 };
        let plan = leg.negotiation.as_ref().and_then(Negotiation::plan).cloned();
        self.endpoint.ring(self.now, session, status_code(status), Some(answer));
        if let Some(plan) = plan.filter(|_| is_first) {
            self.apply_plan(listener, &plan);
        }
        self.seat(listener, Place::Call(call));
        if let Some(routed) = self.calls.get_mut(&call).and_then(|call| call.routed.as_mut()) {
            routed.note_heard(callee);
        }
    }

    /// The callee that the caller heard has gone: silence, until somebody else is heard. Not a packet goes to the
    /// caller meanwhile, so that its phone makes the ringing itself when it is told 180 (RFC 3960 §3.2).
    pub(super) fn early_media_ends(&mut self, caller: LegId) {
        if let Some(leg) = self.legs.get(&caller) {
            let leave = Command::Leave { leg: leg.media };
            self.tell_media(leave);
        }
    }

    /// An UPDATE or PRACK with an offer, before the answer to our INVITE.
    pub(super) fn reoffered_early(
        &mut self,
        id: LegId,
        (session, dialog): (SessionId, DialogId),
        offer: &Bytes,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let wish = leg.wish();
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let other = leg
            .early
            .as_ref()
            .filter(|early| early.heard.as_ref().is_some_and(|heard| *heard != dialog));
        let mut agreed = other.map_or_else(|| negotiation.clone(), |early| early.invited.clone());
        match agreed.answer(offer, wish) {
            Ok((answer, plan)) => {
                let early = leg.early.get_or_insert_with(|| Early::new(negotiation, Said::Update));
                early.said = Said::Update;
                *negotiation = agreed;
                let heard = early.heard.as_mut().map(|heard| *heard = dialog);
                self.endpoint.answer_offer(self.now, session, Ok(answer));
                if heard.is_some() {
                    self.hear_early(id, &plan);
                }
            }
            Err(refusal) => {
                let status = status_code(refusal.status());
                self.endpoint.answer_offer(self.now, session, Err(status));
            }
        }
    }
}

impl Early {
    fn new(invited: &Negotiation, said: Said) -> Box<Self> {
        Box::new(Self { invited: invited.clone(), said, heard: None })
    }

    /// What the 200 of one of the phones makes of the negotiation; `None` if that has no usable audio.
    pub(super) fn conclude(
        self,
        negotiation: &mut Negotiation,
        sdp: Option<&Bytes>,
    ) -> Option<MediaPlan> {
        let Self { invited, said, .. } = self;
        let early = match &said {
            Said::Answer(sdp) => Some(sdp),
            Said::Update => None,
        };
        match sdp.or(early) {
            // It knows our first offer only, whatever another phone has agreed since.
            Some(sdp) => {
                *negotiation = invited;
                negotiation.conclude(sdp).ok()
            }
            None => negotiation.plan().cloned(),
        }
    }
}

#[cfg(test)]
mod tests;
