//! Transfers, both ways (RFC 3515, RFC 5589, RFC 7647).
//!
//! *Ours*: the API makes us send REFER on a leg, to an address or in the place of another leg (`Replaces`); its NOTIFYs are
//! progress; a final 2xx ends the leg, anything else leaves it as it was. *Theirs*: a phone sends REFER; we accept, call the
//! target into the same room or call, and report by NOTIFY. In a two-party call the transferor goes once the target has
//! answered; in a room it stays until it hangs up (RFC 4579 §5.5: REFER to a focus adds a party).
//!
//! *Attended*: a REFER that names a dialog (`Refer-To: <sip:x?Replaces=…>`) is about a second call of that phone. If we have
//! that too, those it talks to are put together (`connect`), and both its legs go; else the target is called with `Replaces`.
//! A REFER outside of any dialog must name one of ours (`Target-Dialog`, RFC 4538).

use std::time::Duration;

use api::event::{Data, EventType};
use api::model::{CallId, LeftReason, LegId, SipFailure, TransferFailure, TransferState};
use serde_json::json;

use crate::sip::dialog::DialogId;
use crate::sip::endpoint::{ReferId, Referred, Rejection};
use crate::sip::headers::{Name, NameAddr, Replaces, TargetDialog};
use crate::sip::status::StatusCode;
use crate::sip::uri::Uri;

use super::connect::Junction;
use super::dial::Outbound;
use super::leg::{Caller, Controls, Dial, Leg};
use super::room::Refusal;
use super::signal::status_code;
use super::takeover::{Asker, may_take};
use super::{Bridge, Place, Subject, Timer};

/// A REFER that we sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// Whose phone is asked.
    leg: LegId,
    /// The leg whose far end it is to call in our place.
    instead_of: Option<LegId>,
}

impl Sent {
    pub(super) fn concerns(self, leg: LegId) -> bool {
        self.leg == leg || self.instead_of == Some(leg)
    }
}

/// A phone's REFER that we carry out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// Who asked, if it is a leg; it may have gone meanwhile.
    pub(super) by: Option<LegId>,
    /// Where it sat, or what it asked.
    pub(super) place: Place,
}

/// What a phone's REFER comes to.
#[derive(Debug)]
enum Errand {
    /// To call somebody, with these headers.
    Call(Vec<(String, String)>),
    /// To connect the others of two of its own calls.
    Connect(LegId, Junction),
}

/// How long a transferor of a two-party call may take to hang up by itself (RFC 5589 §6.1 leaves the BYE to it).
const TRANSFEROR_LINGERS: Duration = Duration::from_secs(2);

/// How long a target waits for a phone that hung up in order to call it.
const TARGET_WAITS: Duration = Duration::from_secs(10);

impl Leg {
    /// Its transfer is done, and it is only given the time to leave.
    fn has_been_transferred(&self) -> bool {
        self.transfer == Some(TransferState::Completed)
    }
}

impl Bridge {
    // ---- ours ----

    /// Asks the phone of a leg that is up to call `to`.
    pub(super) fn refer(&mut self, id: LegId, to: Uri) {
        self.send_refer(id, to, (None, None));
    }

    /// Asks the phone of a leg to call the far end of another in our place; `None` if either is not up.
    pub(super) fn refer_instead_of(&mut self, id: LegId, other: LegId) -> Option<()> {
        let session = self.legs.get(&other).filter(|leg| leg.is_up())?.session?;
        let target = self.endpoint.target_of(session)?;
        let DialogId { call_id, local_tag, remote_tag } = self.endpoint.dialog_of(session)?;
        let to_tag = if remote_tag.is_empty() { "0".to_owned() } else { remote_tag };
        let replaces = Replaces { call_id, to_tag, from_tag: local_tag, early_only: false };
        let leg = self.legs.get(&id).filter(|leg| leg.is_up())?;
        let referrer = Uri::parse(leg.local().as_bytes()).ok().map(NameAddr::new);
        let to = target.with_header("Replaces", &replaces.to_string());
        self.send_refer(id, to, (referrer, Some(other)));
        Some(())
    }

    fn send_refer(
        &mut self,
        id: LegId,
        to: Uri,
        (referrer, instead_of): (Option<NameAddr>, Option<LegId>),
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        leg.transfer = Some(TransferState::Requested);
        let target = to.to_string();
        let refer = self.endpoint.refer(self.now, session, to, referrer);
        self.refers_sent.insert(refer, Sent { leg: id, instead_of });
        self.counters.transfers += 1;
        self.set_timer(self.settings.transfer_timeout, Timer::Refer(refer));
        let data = json!({ "target": target, "by": "api", "with": instead_of });
        self.leg_happened(EventType::LegTransferRequested, id, data);
    }

    pub(super) fn refer_answered(&mut self, refer: ReferId, status: u16, reason: String) {
        if status >= 300 {
            let sip = SipFailure { status, reason };
            self.refer_failed(refer, TransferFailure::Refused, Some(&sip));
        }
    }

    pub(super) fn refer_progress(
        &mut self,
        refer: ReferId,
        status: u16,
        reason: String,
        terminated: bool,
    ) {
        let Some(Sent { leg: id, instead_of }) = self.refers_sent.get(&refer).copied() else {
            return;
        };
        match status {
            200..=299 => {
                self.refers_sent.remove(&refer);
                self.transfer_moves(id, TransferState::Completed, json!({ "status": status }));
                if let Some(other) = instead_of {
                    self.let_go(other, TRANSFEROR_LINGERS);
                }
                self.end_leg(id, LeftReason::Transferred, None);
            }
            300.. => {
                let sip = SipFailure { status, reason };
                self.refer_failed(refer, TransferFailure::TargetFailed, Some(&sip));
            }
            // A subscription that ends without a final answer leaves us not knowing: the call stays.
            _ if terminated => self.refer_failed(refer, TransferFailure::NoNews, None),
            _ => {
                let data = json!({ "status": status, "reason": reason });
                self.transfer_moves(id, TransferState::Progressing, data);
            }
        }
    }

    pub(super) fn refer_timed_out(&mut self, refer: ReferId) {
        let reason = "No final NOTIFY in time".to_owned();
        let sip = SipFailure { status: 408, reason };
        self.refer_failed(refer, TransferFailure::NoNews, Some(&sip));
    }

    fn refer_failed(&mut self, refer: ReferId, why: TransferFailure, sip: Option<&SipFailure>) {
        let Some(Sent { leg, instead_of }) = self.refers_sent.remove(&refer) else { return };
        self.transfer_moves(leg, TransferState::Failed, json!({ "reason": why, "sip": sip }));
        let gone = instead_of.filter(|other| !self.legs.contains_key(other));
        let place = self.legs.get(&leg).map(|leg| leg.place);
        if let (Some(gone), Some(Place::Call(call))) = (gone, place) {
            self.call_lost(call, gone, LeftReason::HungUp, None);
        }
    }

    /// Whether a leg is about to leave for the far end of another, or has done so: it needs no other party any more.
    pub(super) fn is_on_its_way(&self, leg: LegId) -> bool {
        self.refers_sent.values().any(|sent| sent.leg == leg && sent.instead_of.is_some())
            || self.legs.get(&leg).is_some_and(Leg::has_been_transferred)
    }

    /// Sets the state of the leg's transfer and says so.
    pub(super) fn transfer_moves(&mut self, id: LegId, to: TransferState, data: serde_json::Value) {
        let kind = match to {
            TransferState::Requested => EventType::LegTransferRequested,
            TransferState::Progressing => EventType::LegTransferProgress,
            TransferState::Completed => EventType::LegTransferCompleted,
            TransferState::Failed => EventType::LegTransferFailed,
        };
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.transfer = Some(to);
            self.leg_happened(kind, id, data);
        } else {
            let subject = Subject { leg: Some(id), ..Subject::default() };
            self.happened(kind, subject, Data::of(&data));
        }
    }

    // ---- theirs ----

    pub(super) fn referred(&mut self, referred: &Referred) {
        let refer = referred.refer;
        if let Some(room) = self.conference_of(referred) {
            return self.referred_to_focus(referred, room);
        }
        let by = match self.referrer(referred) {
            Ok(by) => by,
            Err(rejection) => return self.endpoint.refuse_refer(self.now, refer, rejection),
        };
        match self.errand(by, referred) {
            Ok(Errand::Call(headers)) => self.carry_out(refer, by, (&referred.target, headers)),
            Ok(Errand::Connect(other, junction)) => {
                self.connect_for_phone(refer, (by, other), &junction, &referred.target);
            }
            Err((status, why)) => {
                self.endpoint.answer_refer(self.now, refer, status_code(status));
                self.refused_to_phone(by, status, why);
            }
        }
    }

    /// Tells of a REFER that was not taken up; a leg that was transferred already goes all the same.
    fn refused_to_phone(&mut self, by: LegId, status: u16, why: TransferFailure) {
        if self.legs.get(&by).is_none_or(Leg::has_been_transferred) {
            return;
        }
        let sip = SipFailure { status, reason: status_code(status).reason().to_owned() };
        let data = json!({ "reason": why, "by": "phone", "sip": sip });
        self.transfer_moves(by, TransferState::Failed, data);
    }

    /// On whose behalf a REFER comes: that of the leg it comes in, or whose dialog it names and may (RFC 4538).
    fn referrer(&mut self, referred: &Referred) -> Result<LegId, Rejection> {
        let forbidden = || Rejection::new(StatusCode::FORBIDDEN);
        if let Some(session) = referred.session {
            return self.sessions.get(&session).copied().ok_or_else(forbidden);
        }
        let target = referred.request.headers.first(&Name::TargetDialog);
        let target = target.and_then(|value| TargetDialog::parse(value).ok());
        let target = target.ok_or_else(forbidden)?;
        let user = self.identify(&referred.request, referred.peer.ip())?;
        let leg = self.leg_of_dialog(&DialogId::from(&target)).map_err(|_| forbidden())?;
        let asker = Asker { user: user.as_deref(), request: &referred.request };
        if may_take(leg, asker) { Ok(leg.id) } else { Err(forbidden()) }
    }

    /// What a REFER of a leg comes to: a leg that is up, towards a `sip:` URI we can call, or another call of its own.
    fn errand(&mut self, by: LegId, referred: &Referred) -> Result<Errand, (u16, TransferFailure)> {
        let target = &referred.target;
        let leg = self.legs.get(&by).ok_or((403, TransferFailure::NotAllowed))?;
        let (place, user) = (leg.place, leg.user.clone());
        if !self.settings.transfer_by_phones || !leg.is_up() {
            return Err((403, TransferFailure::NotAllowed));
        }
        if !target.is_sip() {
            return Err((416, TransferFailure::BadTarget));
        }
        let replaces = replaces_of(target).map_err(|()| (400, TransferFailure::BadTarget))?;
        if let Some(replaces) = &replaces {
            let asker = Asker { user: user.as_deref(), request: &referred.request };
            if let Some(other) = self.own_call(replaces, asker)? {
                let junction = self.junction(by, other).map_err(|why| (status_of(why), why))?;
                return Ok(Errand::Connect(other, junction));
            }
        }
        self.may_call_into(place)
            .map_err(|refusal| (refusal.answer().0, TransferFailure::NoCapacity))?;
        Ok(Errand::Call(headers_for(target, replaces.as_ref(), referred)))
    }

    /// The leg whose dialog a REFER wants replaced, if we have it and who asks may; none if it is a dialog of others.
    fn own_call(
        &self,
        replaces: &Replaces,
        asker: Asker<'_>,
    ) -> Result<Option<LegId>, (u16, TransferFailure)> {
        match self.leg_of_dialog(&DialogId::from(replaces)) {
            Ok(leg) if !may_take(leg, asker) => Err((403, TransferFailure::NotAllowed)),
            Ok(_) if replaces.early_only => Err((486, TransferFailure::NoDialog)),
            Ok(leg) => Ok(Some(leg.id)),
            Err(Refusal::DialogEnded) => Err((603, TransferFailure::NoDialog)),
            Err(_) => Ok(None),
        }
    }

    pub(super) fn may_call_into(&mut self, place: Place) -> Result<(), Refusal> {
        self.has_line()?;
        if let Place::Room(room) = place {
            self.rooms.get(&room).map_or(Ok(()), super::room::Room::has_seat)?;
        }
        self.has_room(1)
    }

    /// Connects the others of two calls of a phone; its first leg goes when it has read the outcome.
    fn connect_for_phone(
        &mut self,
        refer: ReferId,
        (by, other): (LegId, LegId),
        junction: &Junction,
        target: &Uri,
    ) {
        self.counters.transfers += 1;
        self.endpoint.answer_refer(self.now, refer, status_code(202));
        let data = json!({ "target": target.to_string(), "by": "phone", "with": other });
        self.transfer_moves(by, TransferState::Requested, data);
        self.connect(junction);
        self.end_leg(other, LeftReason::Transferred, None);
        self.endpoint.notify_refer(self.now, refer, status_code(200), Some("OK".to_owned()));
        self.transfer_moves(by, TransferState::Completed, json!({ "status": 200, "with": other }));
        self.set_timer(TRANSFEROR_LINGERS, Timer::Transferor(by));
    }

    fn carry_out(
        &mut self,
        refer: ReferId,
        by: LegId,
        (target, headers): (&Uri, Vec<(String, String)>),
    ) {
        let Some(leg) = self.legs.get(&by) else { return };
        let (place, call) = (leg.place, leg.call);
        let from = Uri::parse(leg.remote().as_bytes())
            .map_or_else(|_| Caller::User("plenary".to_owned()), Caller::Uri);
        let data = json!({ "target": target.to_string(), "by": "phone" });
        let codecs = self.settings.codecs.clone();
        let target = target.without_headers().without_param("method");
        let dial = Dial { target, from, codecs, trunk: None, headers };
        self.call_for(refer, (Carried { by: Some(by), place }, call), dial);
        self.transfer_moves(by, TransferState::Requested, data);
    }

    /// Calls whom a REFER names.
    pub(super) fn call_for(
        &mut self,
        refer: ReferId,
        (carried, call): (Carried, Option<CallId>),
        dial: Dial,
    ) {
        self.counters.transfers += 1;
        self.endpoint.answer_refer(self.now, refer, status_code(202));
        self.refers_carried.insert(refer, carried);
        let new = self.dial(Outbound {
            dial,
            place: carried.place,
            call,
            display_name: None,
            controls: Controls::new(&self.settings),
            timeout: self.settings.ring_timeout,
        });
        if let Some(leg) = self.legs.get_mut(&new) {
            leg.carries = Some(refer);
        } else {
            let sip = SipFailure { status: 503, reason: "Host not found".to_owned() };
            self.carried_failed(refer, &sip);
        }
    }

    /// The target rings.
    pub(super) fn carried_progress(&mut self, refer: ReferId, status: u16) {
        let Some(carried) = self.refers_carried.get(&refer).copied() else { return };
        self.endpoint.notify_refer(
            self.now,
            refer,
            status_code(status),
            Some("Ringing".to_owned()),
        );
        self.carried_moves(carried, TransferState::Progressing, json!({ "status": status }));
    }

    /// The target answered.
    pub(super) fn carried_answered(&mut self, refer: ReferId) {
        let Some(carried) = self.refers_carried.remove(&refer) else { return };
        self.endpoint.notify_refer(self.now, refer, status_code(200), Some("OK".to_owned()));
        self.carried_moves(carried, TransferState::Completed, json!({ "status": 200 }));
        if let (Place::Call(_), Some(by)) = (carried.place, carried.by) {
            self.set_timer(TRANSFEROR_LINGERS, Timer::Transferor(by));
        }
    }

    fn carried_failed(&mut self, refer: ReferId, sip: &SipFailure) {
        let Some(carried) = self.refers_carried.remove(&refer) else { return };
        self.endpoint.notify_refer(
            self.now,
            refer,
            status_code(sip.status),
            Some(sip.reason.clone()),
        );
        let data = json!({ "reason": TransferFailure::TargetFailed, "sip": sip });
        self.carried_moves(carried, TransferState::Failed, data);
    }

    /// Tells of a transfer that a leg asked for; one from outside shows in its participant.
    fn carried_moves(&mut self, carried: Carried, to: TransferState, data: serde_json::Value) {
        if let Some(by) = carried.by {
            self.transfer_moves(by, to, data);
        }
    }

    /// Gives a leg whose transfer is done the time to hang up by itself.
    fn let_go(&mut self, id: LegId, time: Duration) {
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.transfer = Some(TransferState::Completed);
            self.set_timer(time, Timer::Transferor(id));
        }
    }

    pub(super) fn transferor_lingers(&mut self, id: LegId) {
        if self.legs.get(&id).is_some_and(Leg::has_been_transferred) {
            self.end_leg(id, LeftReason::Transferred, None);
        }
    }

    /// A leg has gone: what it carried out has failed, and what it was asked to do is over.
    pub(super) fn transfers_lose(
        &mut self,
        leg: &Leg,
        reason: LeftReason,
        sip: Option<&SipFailure>,
    ) {
        if let Some(refer) = leg.carries {
            let fallback = SipFailure { status: 480, reason: "Temporarily Unavailable".to_owned() };
            self.carried_failed(refer, sip.unwrap_or(&fallback));
        }
        let sent = self.refers_sent.iter().find(|(_, sent)| sent.leg == leg.id);
        if let Some((refer, sent)) = sent.map(|(refer, sent)| (*refer, *sent)) {
            self.refers_sent.remove(&refer);
            // Many phones hang up as soon as they have accepted: they are on their way to the target.
            let left = reason == LeftReason::HungUp;
            if let Some(other) = sent.instead_of.filter(|_| left) {
                self.let_go(other, TARGET_WAITS);
            }
            let to = if left { TransferState::Completed } else { TransferState::Failed };
            let why = (!left).then_some(TransferFailure::LegEnded);
            let data = json!({ "confirmed": false, "reason": why, "sip": sip });
            self.transfer_moves(leg.id, to, data);
        }
    }
}

/// The dialog that a Refer-To wants replaced; an error if it is none, or one too many.
fn replaces_of(target: &Uri) -> Result<Option<Replaces>, ()> {
    let mut values = target.headers().filter(|(name, _)| Name::new(name) == Name::Replaces);
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some((_, value)), None) => Replaces::parse(value.as_bytes()).map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// What the INVITE to the target carries of the REFER (RFC 3261 §19.1.5, RFC 3891 §4, RFC 3892 §2.2, RFC 5589 §7).
fn headers_for(
    target: &Uri,
    replaces: Option<&Replaces>,
    referred: &Referred,
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    if let Some(by) = referred.request.headers.first(&Name::ReferredBy) {
        headers.push(("Referred-By".to_owned(), String::from_utf8_lossy(by).into_owned()));
    }
    if let Some(replaces) = replaces {
        headers.push(("Replaces".to_owned(), replaces.to_string()));
        let is_required = target.headers().any(|(name, value)| {
            Name::new(&name) == Name::Require && value.eq_ignore_ascii_case("replaces")
        });
        if is_required {
            headers.push(("Require".to_owned(), "replaces".to_owned()));
        }
    }
    headers
}

/// What a phone is told that cannot have its two calls connected.
fn status_of(why: TransferFailure) -> u16 {
    match why {
        TransferFailure::NoDialog => 481,
        TransferFailure::Pending => 491,
        TransferFailure::NoSeat => 486,
        TransferFailure::NobodyThere => 480,
        TransferFailure::NoCapacity => 503,
        TransferFailure::BadTarget => 400,
        TransferFailure::SamePlace
        | TransferFailure::TwoRooms
        | TransferFailure::NotAllowed
        | TransferFailure::Refused
        | TransferFailure::TargetFailed
        | TransferFailure::NoNews
        | TransferFailure::LegEnded => 403,
    }
}

#[cfg(test)]
mod tests;
