//! The phones that INVITEs of ours ring at: an early dialog each, with its own RSeq space (RFC 3262 §4) and its own
//! offers and answers (RFC 6337 §3.1.1).

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use bytes::Bytes;

use super::early::{Early, Offerer};
use super::reliable::{complete_prack, rack_of};
use super::{Refusal, Within, sdp_of};
use crate::sip::dialog::{Dialog, DialogId};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{Busy, SessionId};
use crate::sip::headers::RAck;
use crate::sip::layer::{Owner, RequestId};
use crate::sip::{Message, Method, StatusCode};

/// Names an INVITE of a call by the target that it goes to, however often it is sent there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct BranchId(pub(super) u32);

/// All early dialogs of one call.
#[derive(Debug, Default)]
pub(super) struct Forks {
    early: BTreeMap<DialogId, Fork>,
    /// Reliable offers that wait for the user's answer, in the order in which they were told; one a dialog.
    owed: VecDeque<(DialogId, RAck)>,
}

/// An early dialog.
#[derive(Debug)]
pub(super) struct Fork {
    branch: BranchId,
    /// The last RSeq in order.
    last: Option<u32>,
    pub(super) exchange: Early,
    /// The answer that came for sure, until an UPDATE replaces it.
    pub(super) answer: Option<Bytes>,
    /// The answer that came, if it did not come for sure: good where the 2xx has none.
    pub(super) told: Option<Bytes>,
    /// Our session description, once there is an agreement.
    pub(super) description: Option<Bytes>,
}

/// Whether a reliable response comes in its order, once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Order {
    Kept,
    Broken,
}

impl Forks {
    /// Notes the early dialog that a provisional response makes or belongs to.
    pub(super) fn note(
        &mut self,
        core: &mut Core,
        (id, branch): (SessionId, BranchId),
        dialog: Dialog,
        response: &Message,
    ) {
        let own = dialog.id.clone();
        if let Some(entry) = core.dialogs.get_mut(&own) {
            entry.dialog.refresh_target(response);
        } else if self.early.len() < core.layer.settings.forks {
            core.dialogs.insert_for_session(dialog, id);
            self.early.insert(own.clone(), Fork::new(branch));
        }
        if let Some(fork) = self.early.get_mut(&own)
            && let Some(sdp) = sdp_of(response).filter(|_| rack_of(response).is_none())
        {
            fork.told = Some(sdp);
        }
    }

    /// One of the early dialogs.
    pub(super) fn first(&self) -> Option<&DialogId> {
        self.early.keys().next()
    }

    /// Takes a phone out, because it answered.
    pub(super) fn take(&mut self, dialog: &DialogId) -> Fork {
        self.early.remove(dialog).unwrap_or_else(|| Fork::new(BranchId::default()))
    }

    /// Forgets a phone that said BYE.
    pub(super) fn leave(&mut self, now: Instant, core: &mut Core, dialog: &DialogId) {
        if let Some(fork) = self.early.remove(dialog) {
            fork.exchange.close(now, core);
            core.dialogs.leave_session(dialog);
        }
    }

    /// Forgets the phones that one INVITE rang at.
    pub(super) fn leave_branch(&mut self, now: Instant, core: &mut Core, branch: BranchId) {
        let of_branch = self.early.iter().filter(|(_, fork)| fork.branch == branch);
        for dialog in of_branch.map(|(dialog, _)| dialog.clone()).collect::<Vec<_>>() {
            self.leave(now, core, &dialog);
        }
    }

    pub(super) fn leave_all(&mut self, now: Instant, core: &mut Core) {
        let Self { early, .. } = std::mem::take(self);
        for (dialog, fork) in early {
            fork.exchange.close(now, core);
            core.dialogs.leave_session(&dialog);
        }
    }

    /// Sends the PRACK of a reliable response to our INVITE with this offer, unless the response is out of order (§4).
    pub(super) fn acknowledge_reliable(
        &mut self,
        now: Instant,
        core: &mut Core,
        (response, rack): (&Message, RAck),
        offer: Option<&Bytes>,
    ) -> Order {
        let Some(dialog) = DialogId::of_response(response) else { return Order::Broken };
        let Some(fork) = self.early.get_mut(&dialog) else { return Order::Broken };
        // §3: nothing may come before the PRACK that we owe.
        let is_owed = self.owed.iter().any(|(owing, _)| *owing == dialog);
        if is_owed || fork.last.is_some_and(|last| rack.response != last.wrapping_add(1)) {
            return Order::Broken;
        }
        fork.last = Some(rack.response);
        let sdp = sdp_of(response).filter(|_| fork.exchange.is_open());
        match (offer, sdp) {
            (Some(offer), Some(answer)) => {
                fork.exchange = Early::Settled;
                fork.description = Some(offer.clone());
                fork.answer = Some(answer);
            }
            (None, Some(_)) => {
                self.owed.push_back((dialog, rack));
                return Order::Kept;
            }
            (_, None) => {}
        }
        send_prack(now, core, &dialog, (rack, None));
        Order::Kept
    }

    /// Answers the oldest reliable offer, in its PRACK (§5).
    pub(super) fn acknowledge(&mut self, now: Instant, core: &mut Core, sdp: Bytes) {
        let Some((dialog, rack)) = self.owed.pop_front() else { return };
        let Some(fork) = self.early.get_mut(&dialog) else { return };
        fork.exchange = Early::Settled;
        fork.description = Some(sdp.clone());
        send_prack(now, core, &dialog, (rack, Some(sdp)));
    }

    /// Offers a change where the first offer is settled: to the only phone for which it is.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        offer: Bytes,
    ) -> Result<(), Busy> {
        let mut settled = self.early.iter_mut().filter(|(_, fork)| !fork.exchange.is_open());
        let (Some((dialog, fork)), None) = (settled.next(), settled.next()) else {
            return Err(Busy);
        };
        fork.exchange.offer(now, core, (id, dialog), offer)
    }

    pub(super) fn answer_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        answer: Result<Bytes, StatusCode>,
    ) {
        let theirs = self.early.iter_mut().find(|(_, fork)| fork.exchange.is_theirs());
        let Some((dialog, fork)) = theirs else { return };
        if let Some(sdp) = fork.exchange.answer(now, core, dialog, answer) {
            fork.change(sdp);
        }
    }

    /// Notes that an UPDATE of ours went out again under another name.
    pub(super) fn note_sent_again(&mut self, request: RequestId, again: RequestId) {
        self.early.values_mut().for_each(|fork| fork.exchange.note_sent_again(request, again));
    }

    /// True if this request is an UPDATE of ours in an early dialog.
    pub(super) fn has_update(&self, id: RequestId) -> bool {
        self.early.values().any(|fork| fork.exchange.is_ours(id))
    }

    pub(super) fn handle_update_response(
        &mut self,
        core: &mut Core,
        id: SessionId,
        (request, response): (RequestId, &Message),
    ) {
        let ours = self.early.iter_mut().find(|(_, fork)| fork.exchange.is_ours(request));
        let Some((dialog, fork)) = ours else { return };
        if let Some(offer) = fork.exchange.handle_response(core, (id, dialog), response) {
            fork.change(offer);
        }
    }

    pub(super) fn handle_update_refusal(
        &mut self,
        core: &mut Core,
        id: SessionId,
        (request, refusal): (RequestId, Refusal),
    ) {
        let ours = self.early.values_mut().find(|fork| fork.exchange.is_ours(request));
        if let Some(fork) = ours {
            fork.exchange.fail(core, id, refusal);
        }
    }

    /// An UPDATE with an offer. The user knows one session: while one phone has changed it, others have to wait.
    pub(super) fn handle_offer(
        &mut self,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) {
        let elsewhere =
            self.early.iter().any(|(dialog, fork)| dialog != within.dialog && fork.occupies_user());
        match self.early.get_mut(within.dialog) {
            Some(fork) if !elsewhere => fork.exchange.handle_offer(now, core, id, within),
            Some(_) | None => core.reply_later(now, within.server),
        }
    }
}

impl Fork {
    fn new(branch: BranchId) -> Self {
        let exchange = Early::Open(Offerer::Us);
        Self { branch, last: None, exchange, answer: None, told: None, description: None }
    }

    /// Notes our description after an UPDATE.
    fn change(&mut self, description: Bytes) {
        self.description = Some(description);
        self.answer = None;
    }

    /// True if it has changed the session, or wants to.
    fn occupies_user(&self) -> bool {
        let is_changed = self.description.is_some() && self.answer.is_none();
        is_changed || self.exchange.is_theirs()
    }
}

fn send_prack(
    now: Instant,
    core: &mut Core,
    dialog: &DialogId,
    (rack, sdp): (RAck, Option<Bytes>),
) {
    core.send_within(now, dialog, (Method::Prack, Owner::Nobody), |prack| {
        complete_prack(prack, &rack, sdp);
    });
}
