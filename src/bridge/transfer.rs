//! Blind transfers, both ways (RFC 3515, RFC 5589 §6).
//!
//! *Ours*: the API makes us send REFER on a leg; its NOTIFYs are progress; a final 2xx ends the leg, anything else leaves it
//! as it was. *Theirs*: a phone sends REFER; we accept, call the target into the same room or call, and report by NOTIFY.
//! In a two-party call the transferor goes once the target has answered; in a room it stays until it hangs up
//! (RFC 4579 §5.5: REFER to a focus adds a party).

use std::time::Duration;

use api::event::{Data, EventType};
use api::model::{LeftReason, LegId, SipFailure, TransferState};
use serde_json::json;

use crate::sip::endpoint::{ReferId, Referred};
use crate::sip::uri::{Scheme, Uri};

use super::dial::Outbound;
use super::leg::{Caller, Controls, Dial, Leg};
use super::signal::status_code;
use super::{Bridge, Place, Subject, Timer};

/// A phone's REFER that we carry out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Carried {
    /// Who asked; it may have gone meanwhile.
    by: LegId,
    /// Where it sat.
    place: Place,
}

/// How long a transferor of a two-party call may take to hang up by itself (RFC 5589 §6.1 leaves the BYE to it).
const TRANSFEROR_LINGERS: Duration = Duration::from_secs(2);

impl Bridge {
    // ---- ours ----

    /// Asks the phone of a leg that is up to call `to`.
    pub(super) fn refer(&mut self, id: LegId, to: Uri) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        leg.transfer = Some(TransferState::Requested);
        let target = to.to_string();
        let refer = self.endpoint.refer(self.now, session, to, None);
        self.refers_sent.insert(refer, id);
        self.counters.transfers += 1;
        self.set_timer(self.settings.transfer_timeout, Timer::Refer(refer));
        let data = json!({ "target": target, "by": "api" });
        self.leg_happened(EventType::LegTransferRequested, id, data);
    }

    pub(super) fn refer_answered(&mut self, refer: ReferId, status: u16, reason: String) {
        if status >= 300 {
            self.refer_failed(refer, Some(&SipFailure { status, reason }));
        }
    }

    pub(super) fn refer_progress(
        &mut self,
        refer: ReferId,
        status: u16,
        reason: String,
        terminated: bool,
    ) {
        let Some(id) = self.refers_sent.get(&refer).copied() else { return };
        match status {
            200..=299 => {
                self.refers_sent.remove(&refer);
                self.transfer_moves(id, TransferState::Completed, json!({ "status": status }));
                self.end_leg(id, LeftReason::Transferred, None);
            }
            300.. => self.refer_failed(refer, Some(&SipFailure { status, reason })),
            // A subscription that ends without a final answer leaves us not knowing: the call stays.
            _ if terminated => self.refer_failed(refer, None),
            _ => {
                let data = json!({ "status": status, "reason": reason });
                self.transfer_moves(id, TransferState::Progressing, data);
            }
        }
    }

    pub(super) fn refer_timed_out(&mut self, refer: ReferId) {
        let reason = "No final NOTIFY in time".to_owned();
        self.refer_failed(refer, Some(&SipFailure { status: 408, reason }));
    }

    fn refer_failed(&mut self, refer: ReferId, sip: Option<&SipFailure>) {
        let Some(id) = self.refers_sent.remove(&refer) else { return };
        self.transfer_moves(id, TransferState::Failed, json!({ "sip": sip }));
    }

    /// Sets the state of the leg's transfer and says so.
    fn transfer_moves(&mut self, id: LegId, to: TransferState, data: serde_json::Value) {
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
        let leg = referred.session.and_then(|session| self.sessions.get(&session)).copied();
        match self.may_refer(leg, &referred.target) {
            Ok(by) => self.carry_out(refer, by, &referred.target),
            Err(status) => {
                self.endpoint.answer_refer(self.now, refer, status_code(status));
            }
        }
    }

    /// Who may have a REFER carried out: a leg that is up, towards a `sip:` URI we can call.
    fn may_refer(&mut self, leg: Option<LegId>, target: &Uri) -> Result<LegId, u16> {
        let leg = leg.and_then(|leg| self.legs.get(&leg)).ok_or(403_u16)?;
        let (id, place) = (leg.id, leg.place);
        if !self.settings.transfer_by_phones || !leg.is_up() {
            return Err(403);
        }
        if target.headers().any(|(name, _)| name.eq_ignore_ascii_case("Replaces")) {
            return Err(501); // attended transfer
        }
        if target.scheme() != Scheme::Sip {
            return Err(416);
        }
        self.has_line().map_err(|refusal| refusal.answer().0)?;
        if let Place::Room(room) = place {
            let seat = self.rooms.get(&room).map_or(Ok(()), super::room::Room::has_seat);
            seat.map_err(|refusal| refusal.answer().0)?;
        }
        self.has_room(1).map_err(|refusal| refusal.answer().0)?;
        Ok(id)
    }

    fn carry_out(&mut self, refer: ReferId, by: LegId, target: &Uri) {
        let Some(leg) = self.legs.get(&by) else { return };
        let (place, call) = (leg.place, leg.call);
        let from = Uri::parse(leg.remote().as_bytes())
            .map_or_else(|_| Caller::User("plenary".to_owned()), Caller::Uri);
        self.counters.transfers += 1;
        self.endpoint.answer_refer(self.now, refer, status_code(202));
        self.endpoint.notify_refer(self.now, refer, status_code(100), Some("Trying".to_owned()));
        self.refers_carried.insert(refer, Carried { by, place });
        let data = json!({ "target": target.to_string(), "by": "phone" });
        self.transfer_moves(by, TransferState::Requested, data);
        let codecs = self.settings.codecs.clone();
        let new = self.dial(Outbound {
            dial: Dial { target: target.without_headers(), from, codecs, headers: Vec::new() },
            place,
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
        self.transfer_moves(carried.by, TransferState::Progressing, json!({ "status": status }));
    }

    /// The target answered.
    pub(super) fn carried_answered(&mut self, refer: ReferId) {
        let Some(carried) = self.refers_carried.remove(&refer) else { return };
        self.endpoint.notify_refer(self.now, refer, status_code(200), Some("OK".to_owned()));
        self.transfer_moves(carried.by, TransferState::Completed, json!({ "status": 200 }));
        if matches!(carried.place, Place::Call(_)) {
            self.set_timer(TRANSFEROR_LINGERS, Timer::Transferor(carried.by));
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
        self.transfer_moves(carried.by, TransferState::Failed, json!({ "sip": sip }));
    }

    pub(super) fn transferor_lingers(&mut self, id: LegId) {
        if self.legs.get(&id).is_some_and(|leg| leg.transfer == Some(TransferState::Completed)) {
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
        let sent = self.refers_sent.iter().find(|(_, by)| **by == leg.id).map(|(refer, _)| *refer);
        if let Some(refer) = sent {
            self.refers_sent.remove(&refer);
            // Many phones hang up as soon as they have accepted: they are on their way to the target.
            let left = reason == LeftReason::HungUp;
            let to = if left { TransferState::Completed } else { TransferState::Failed };
            self.transfer_moves(leg.id, to, json!({ "confirmed": false, "sip": sip }));
        }
    }
}
