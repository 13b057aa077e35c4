//! A call that a route takes: the caller waits while one step after the other is tried.
//!
//! ```text
//!  INVITE ─▶ ports open, offer answerable ─▶ step ─rings─▶ 180 to the caller
//!               ▲ not: 488, 503               │ ─200──▶ 200 to the caller: a call of two
//!               │                             │ ─fails─▶ the next step that takes it up
//!               └── CANCEL: all is over       └─ none ─▶ the last refusal to the caller
//! ```

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use api::control::ControlError;
use api::event::{Data, EventType};
use api::model::{CallId, LeftReason, LegId, RouteOutcome, RouteReject, RouteStep, SipFailure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::Asking;
use super::ask::Facts;
use super::past::{Past, Why};
use super::rule::{DECLINED, forward_uri};
use crate::bridge::arrival::Arrival;
use crate::bridge::call::Call;
use crate::bridge::dial::Outbound;
use crate::bridge::identity::Identity;
use crate::bridge::leg::{Answer, Caller, Controls, Dial, Leg, Stage, Web};
use crate::bridge::room::{Refusal, reason_of};
use crate::bridge::signal::status_code;
use crate::bridge::tolls::Payers;
use crate::bridge::trunks::passable;
use crate::bridge::{Bridge, Place, Subject};
use crate::media::command::MixKey;
use crate::sip::endpoint::{Invited, Rejection};
use crate::sip::uri::{Host, Uri};

/// What a call that a route took still has before it.
#[derive(Debug)]
pub(in crate::bridge) struct Routed {
    caller: LegId,
    /// Where that is.
    peer: IpAddr,
    /// Whom it rings now.
    callee: Option<LegId>,
    /// Whose early media the caller hears.
    heard: Option<LegId>,
    steps: VecDeque<RouteStep>,
    /// Who calls.
    from: Identity,
    /// Who pays.
    payers: Payers,
    /// Headers of its INVITE that a trunk may be passed.
    told: Vec<(String, String)>,
    /// Whom it is for: what was dialled, then where it went.
    to: Uri,
    past: Past,
    /// Refusals of the step under way that do not end the call, though somebody declines by them.
    continue_on: Vec<u16>,
    /// What the step before came to.
    failure: Option<Failure>,
    /// What is told to whom the route asks.
    facts: Option<Box<Facts>>,
}

/// What became of a step that has not failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tried {
    /// Its news is to come, or the call has its end.
    UnderWay,
    /// It has put others in its place.
    Passed,
}

/// What trying a step came to.
#[derive(Clone, Debug)]
struct Failure {
    status: u16,
    reason: String,
    /// `None` ends the call whatever the route says.
    outcome: Option<RouteOutcome>,
}

/// What becomes of a caller whose call a route takes.
#[derive(Debug)]
pub(in crate::bridge) enum Taken {
    /// It goes to the room of this name.
    Room(String),
    /// It has its call.
    Call(CallId),
    /// It was refused.
    Refused,
}

impl Bridge {
    /// The first step of a route. For a call the caller's leg is still to be made.
    pub(in crate::bridge) fn take_route(
        &mut self,
        invited: &Invited,
        arrival: &Arrival,
        (name, steps): (&str, Vec<RouteStep>),
        asking: &Asking<'_>,
    ) -> Result<Taken, Refusal> {
        let Some(first) = steps.first() else { return Err(Refusal::NotFound) };
        if let Some(room) = &first.room {
            return Ok(Taken::Room(room.clone()));
        }
        if let Some(RouteReject { status, reason }) = &first.reject {
            self.reject_by_route(invited, name, (*status, reason.clone()));
            return Ok(Taken::Refused);
        }
        let past = match Past::of(&invited.request) {
            Ok(past) => past,
            Err(status) => {
                self.reject_by_route(invited, name, (status, None));
                return Ok(Taken::Refused);
            }
        };
        self.has_line()?;
        if !self.rate.take(self.now) {
            return Err(Refusal::TooFast);
        }
        self.has_room(2)?;
        let trunk = asking.trunk.and_then(|trunk| self.trunk_name(trunk));
        let facts = Facts::of(invited, (name, &steps), asking, trunk);
        let routed = Routed {
            caller: arrival.id,
            peer: invited.peer.ip(),
            callee: None,
            heard: None,
            steps: steps.into(),
            from: arrival.caller.clone(),
            payers: arrival.payers.clone(),
            told: passable(&invited.request),
            to: invited.target.without_headers(),
            past,
            continue_on: Vec::new(),
            failure: None,
            facts,
        };
        Ok(Taken::Call(self.routed_call(routed)))
    }

    fn routed_call(&mut self, routed: Routed) -> CallId {
        let id = CallId::new(self.unix_ms(), self.random());
        let call = Call {
            id,
            mix: MixKey(self.next_key()),
            legs: Vec::new(),
            next: None,
            routed: Some(Box::new(routed)),
            created_at: self.wall(),
            connected_at: None,
        };
        self.calls.insert(id, call);
        self.counters.calls_total += 1;
        self.call_happened(EventType::CallCreated, id);
        id
    }

    fn reject_by_route(
        &mut self,
        invited: &Invited,
        route: &str,
        (status, reason): (u16, Option<String>),
    ) {
        let status = status_code(status);
        let words = reason.clone().unwrap_or_else(|| status.reason().to_owned());
        let rejection = Rejection { status, reason, headers: Vec::new() };
        self.endpoint.reject(self.now, invited.session, rejection);
        self.counters.refused += 1;
        let data = json!({
            "reason": "route", "route": route, "from": invited.from.uri.to_string(),
            "sip": { "status": status.code(), "reason": words },
        });
        self.happened(EventType::RoomJoinRejected, Subject::default(), Data::of(&data));
    }

    /// The call in which this leg waits to be answered.
    pub(in crate::bridge) fn waits_in(&self, leg: LegId) -> Option<CallId> {
        let call = self.legs.get(&leg)?.call?;
        let routed = self.calls.get(&call)?.routed.as_ref()?;
        (routed.caller == leg).then_some(call)
    }

    /// The ports of the caller are open: what it would be answered is settled before anybody's phone rings.
    pub(in crate::bridge) fn caller_waits(
        &mut self,
        id: LegId,
        offer: Option<&Bytes>,
        (address, rtp_port): (IpAddr, u16),
    ) {
        let codecs = self.settings.codecs.clone();
        let web = self.legs.get(&id).map_or(Web::NotOffered, Leg::web);
        let rules = self.media_rules_of(id);
        let mut negotiation = self.negotiation(&rules, (address, rtp_port), &codecs, web);
        let Some(call) = self.waits_in(id) else { return };
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let answer = offer.map(|offer| negotiation.answer(offer, leg.wish())).transpose();
        match answer {
            Ok(answer) => {
                leg.negotiation = Some(negotiation);
                let answer = answer.map(|(answer, _)| answer);
                leg.stage = Stage::Waiting(answer.map_or(Answer::Offer, Answer::Kept));
                self.next_step(call);
            }
            Err(refusal) => self.refuse_caller(id, refusal.status(), &refusal.to_string()),
        }
    }

    /// The callee has answered: so do we.
    pub(in crate::bridge) fn answer_routed(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        let wish = leg.wish();
        let (Stage::Waiting(answer), Some(negotiation)) = (&leg.stage, leg.negotiation.as_mut())
        else {
            return;
        };
        let (Answer::Kept(answer) | Answer::Told(answer)) = answer else {
            let offer = negotiation.offer(wish);
            leg.stage = Stage::Confirming;
            return self.endpoint.answer(self.now, session, offer);
        };
        self.endpoint.answer(self.now, session, answer.clone());
        // What stands may be newer than that: early media lets the caller change it by UPDATE.
        if let Some(plan) = negotiation.plan().cloned() {
            self.apply_plan(id, &plan);
            self.join(id);
        }
    }

    /// A callee rings and is not heard: so it sounds to the caller.
    pub(in crate::bridge) fn relay_ringing(&mut self, call: CallId) {
        let routed = self.calls.get(&call).and_then(|call| call.routed.as_ref());
        let caller = routed.and_then(|routed| self.legs.get(&routed.caller));
        if let Some(session) = caller.and_then(|caller| caller.session) {
            self.endpoint.ring(self.now, session, status_code(180), None);
        }
        let routed = self.calls.get(&call).and_then(|call| call.routed.as_ref());
        if let Some(caller) = routed.map(|routed| routed.caller) {
            self.line_changed(caller);
        }
    }

    /// A leg of a routed call has gone. True if the call goes on without it.
    pub(in crate::bridge) fn routed_lost(
        &mut self,
        id: CallId,
        leg: LegId,
        (reason, sip): (LeftReason, Option<&SipFailure>),
    ) -> bool {
        let Some(call) = self.calls.get_mut(&id) else { return false };
        let Some(routed) = call.routed.as_mut() else { return false };
        if routed.callee == Some(leg) && reason == LeftReason::Replaced {
            let caller = routed.caller;
            call.routed = None;
            self.answer_routed(caller); // by whoever picked the call up
            return true;
        }
        let failure = Failure::of(reason, sip).filter(|_| routed.callee == Some(leg));
        let Some(mut failure) = failure else {
            call.routed = None; // the caller gave up, or somebody ended it
            return false;
        };
        if routed.continue_on.contains(&failure.status) {
            failure.outcome = Some(failure.outcome.unwrap_or(RouteOutcome::Declined));
        }
        routed.callee = None;
        routed.failure = Some(failure);
        if routed.heard.take_if(|heard| *heard == leg).is_some() {
            let caller = routed.caller;
            self.early_media_ends(caller);
        }
        self.next_step(id);
        true
    }

    /// Tries steps until one is under way, or the caller has its answer.
    pub(super) fn next_step(&mut self, id: CallId) {
        loop {
            let Some(call) = self.calls.get_mut(&id) else { return };
            let Some(routed) = call.routed.as_mut() else { return };
            let Some(step) = routed.take_step() else { return self.give_up(id) };
            match self.try_step(id, &step) {
                Ok(Tried::UnderWay) => return,
                Ok(Tried::Passed) => {}
                Err(failure) => {
                    let call = self.calls.get_mut(&id);
                    let Some(routed) = call.and_then(|call| call.routed.as_mut()) else { return };
                    routed.failure = Some(failure);
                }
            }
        }
    }

    /// Nothing is left to try.
    fn give_up(&mut self, id: CallId) {
        let routed = self.calls.get_mut(&id).and_then(|call| call.routed.take());
        let Some(routed) = routed else { return };
        let Failure { status, reason, .. } = routed.failure.unwrap_or_else(Failure::unknown);
        self.refuse_waiting(routed.caller, status, reason);
    }

    fn refuse_waiting(&mut self, caller: LegId, status: u16, reason: String) {
        let Some(session) = self.legs.get(&caller).and_then(|leg| leg.session) else { return };
        let mut rejection = Rejection::new(status_code(status));
        rejection.reason = Some(reason.clone());
        self.endpoint.reject(self.now, session, rejection);
        self.forget_session(caller);
        self.counters.refused += 1;
        self.end_leg(caller, reason_of(status), Some(SipFailure { status, reason }));
    }

    fn try_step(&mut self, id: CallId, step: &RouteStep) -> Result<Tried, Failure> {
        if let Some(room) = &step.room {
            return self.enter_room(id, room).map(|()| Tried::UnderWay);
        }
        if let Some(ask) = &step.ask {
            return Ok(self.ask_step(id, ask));
        }
        if let Some(RouteReject { status, reason }) = &step.reject {
            let routed = self.calls.get_mut(&id).and_then(|call| call.routed.take());
            let reason = reason.clone();
            let reason = reason.unwrap_or_else(|| status_code(*status).reason().to_owned());
            if let Some(routed) = routed {
                self.refuse_waiting(routed.caller, *status, reason);
            }
            return Ok(Tried::UnderWay);
        }
        self.has_line().map_err(Failure::of_refusal)?;
        let paid = self.paid_number(id, step)?;
        let (trunk, target) = self.step_target(step)?;
        let callee = self.call_step(id, step, (trunk, target));
        let callee = callee.filter(|callee| self.legs.contains_key(callee));
        if let (Some(callee), Some((payers, number))) = (callee, paid) {
            self.calls_for(callee, payers, number);
        }
        Ok(Tried::UnderWay)
    }

    /// What a step calls that somebody pays for, unless who pays may not call it: not users of ours.
    fn paid_number(
        &mut self,
        id: CallId,
        step: &RouteStep,
    ) -> Result<Option<(Payers, String)>, Failure> {
        let routed = self.calls.get(&id).and_then(|call| call.routed.as_ref());
        let number = match (&step.trunk, &step.forward) {
            (Some(trunk), _) => {
                let number = step.number.clone().unwrap_or_default();
                let rules = self.trunk_named(trunk).and_then(|trunk| self.trunk_rules(trunk));
                rules.map_or_else(|| number.clone(), |rules| rules.numbers.normal(&number))
            }
            (None, Some(forward)) => {
                let uri = forward_uri(forward);
                uri.as_ref().and_then(super::user_or_number).unwrap_or_default()
            }
            (None, None) => return Ok(None),
        };
        let Some(payers) = routed.map(|routed| routed.payers.clone()) else { return Ok(None) };
        self.may_call(&payers, &number).map_err(|reached| {
            let (status, reason, _) = reached.limit.answer(reached.scope);
            Failure::new(status, reason, RouteOutcome::Unreachable)
        })?;
        Ok(Some((payers, number)))
    }

    /// Whom a step calls.
    fn step_target(&mut self, step: &RouteStep) -> Result<(Option<usize>, Uri), Failure> {
        if let Some(user) = &step.user {
            if !self.is_user(user) {
                return Err(Failure::new(404, "No such user", RouteOutcome::Unreachable));
            }
            return Ok((None, self.realm_uri(user)));
        }
        if let Some(trunk) = &step.trunk {
            let number = step.number.as_deref().unwrap_or_default();
            let target = self.trunk_target(trunk, ("/number", number));
            let (trunk, target) = target.map_err(|error| Failure::of_trunk(&error))?;
            return Ok((Some(trunk), target));
        }
        let target = step.forward.as_deref().and_then(forward_uri);
        let target = target
            .ok_or_else(|| Failure::new(484, "Address Incomplete", RouteOutcome::Unreachable))?;
        Ok((None, target))
    }

    fn call_step(
        &mut self,
        id: CallId,
        step: &RouteStep,
        (trunk, target): (Option<usize>, Uri),
    ) -> Option<LegId> {
        let timeout = step.timeout_s.map(|seconds| Duration::from_secs(seconds.into()));
        let timeout = timeout.unwrap_or(self.settings.ring_timeout);
        let codecs = self.settings.codecs.clone();
        let early_media = step.early_media.unwrap_or_else(|| self.early_media_of(trunk));
        let call = self.calls.get_mut(&id);
        let routed = call.and_then(|call| call.routed.as_mut())?;
        routed.move_on(step, &target);
        routed.continue_on.clone_from(&step.continue_on);
        let from = Caller::Routed(Box::new(routed.from.clone()));
        let (mut headers, told) = (routed.past.headers(), routed.told.clone());
        if let Some(rules) = trunk.and_then(|trunk| self.trunk_rules(trunk)) {
            headers.extend(rules.headers.passed(&told));
        }
        let callee = self.dial(Outbound {
            dial: Dial { target, from, codecs, trunk, headers },
            place: Place::Call(id),
            call: Some(id),
            display_name: None,
            controls: Controls::new(&self.settings),
            timeout,
        });
        if let Some(callee) = self.legs.get_mut(&callee) {
            callee.early_media = early_media;
        }
        let call = self.calls.get_mut(&id);
        if let Some(routed) = call.and_then(|call| call.routed.as_mut()) {
            routed.callee = Some(callee);
        }
        Some(callee)
    }

    /// The caller goes into a room after all.
    fn enter_room(&mut self, id: CallId, room: &str) -> Result<(), Failure> {
        let call = self.calls.get(&id);
        let routed = call.and_then(|call| call.routed.as_ref());
        let Some((caller, peer)) = routed.map(|routed| (routed.caller, routed.peer)) else {
            return Ok(());
        };
        let room = self.admit(room, peer).map_err(Failure::of_refusal)?;
        if let Some(call) = self.calls.get_mut(&id) {
            call.routed = None;
        }
        self.move_to(caller, Place::Room(room));
        self.answer_routed(caller);
        self.end_call(id, LeftReason::Moved, (LeftReason::Moved, None));
        Ok(())
    }

    /// How a user of ours is addressed.
    fn realm_uri(&self, user: &str) -> Uri {
        Uri::sip(Some(user), &Host::Name(self.settings.access.realm.as_str().into()), None)
    }
}

impl Routed {
    /// Who waits to be answered.
    pub(in crate::bridge) fn caller(&self) -> LegId {
        self.caller
    }

    /// What is told to whom the route asks.
    pub(super) fn facts(&self) -> Option<&Facts> {
        self.facts.as_deref()
    }

    /// What the step before came to, for whom the route asks.
    pub(super) fn last_failure(&self) -> Value {
        let Some(Failure { status, reason, outcome }) = &self.failure else { return Value::Null };
        json!({ "outcome": outcome, "sip": { "status": status, "reason": reason } })
    }

    /// Has these come next.
    pub(super) fn put_first(&mut self, steps: Vec<RouteStep>) {
        for step in steps.into_iter().rev() {
            self.steps.push_front(step);
        }
    }

    /// Whom it hears already.
    pub(in crate::bridge) fn heard(&self) -> Option<LegId> {
        self.heard
    }

    /// Notes whom it hears.
    pub(in crate::bridge) fn note_heard(&mut self, callee: LegId) {
        self.heard = Some(callee);
    }

    /// The next step that takes up what the one before came to.
    fn take_step(&mut self) -> Option<RouteStep> {
        let Some(failure) = &self.failure else { return self.steps.pop_front() };
        let outcome = failure.outcome?;
        while let Some(step) = self.steps.pop_front() {
            if step.on.is_empty() || step.on.contains(&outcome) {
                return Some(step);
            }
        }
        None
    }

    /// A call that goes on to somebody else than it was for says so.
    fn move_on(&mut self, step: &RouteStep, target: &Uri) {
        let why = match &self.failure {
            Some(Failure { outcome: Some(RouteOutcome::NoAnswer), .. }) => Why::NoAnswer,
            Some(Failure { status, .. }) => Why::Refused(*status),
            None => Why::Unconditional,
        };
        if self.failure.is_some() || step.forward.is_some() {
            self.past.divert(&self.to, target, why);
            self.to = target.without_headers();
        } else if step.user.is_some() {
            self.to = target.without_headers();
        }
    }
}

impl Failure {
    fn new(status: u16, reason: &str, outcome: RouteOutcome) -> Self {
        Self { status, reason: reason.to_owned(), outcome: Some(outcome) }
    }

    fn unknown() -> Self {
        Self::new(480, "Temporarily Unavailable", RouteOutcome::Unreachable)
    }

    /// `None` if it is no failure of the callee's: somebody ended it.
    fn of(reason: LeftReason, sip: Option<&SipFailure>) -> Option<Self> {
        if reason == LeftReason::NoAnswer && sip.is_none() {
            return Some(Self::new(480, "No answer", RouteOutcome::NoAnswer));
        }
        let is_failure = matches!(
            reason,
            LeftReason::Busy
                | LeftReason::NoAnswer
                | LeftReason::NotFound
                | LeftReason::Incompatible
                | LeftReason::Declined
                | LeftReason::Unreachable
                | LeftReason::Overloaded
                | LeftReason::Failed
        );
        let sip = sip.cloned().filter(|_| is_failure)?;
        let outcome = match sip.status {
            486 | 600 => Some(RouteOutcome::Busy),
            408 => Some(RouteOutcome::NoAnswer),
            status if DECLINED.contains(&status) => None,
            _ => Some(RouteOutcome::Unreachable),
        };
        // What they want of us they do not want of the caller: our password, another address.
        let (status, reason) = match sip.status {
            401 | 407 => (500, "Not authorised by the next hop".to_owned()),
            300..=399 => (480, "Temporarily Unavailable".to_owned()),
            _ => (sip.status, sip.reason),
        };
        Some(Self { status, reason, outcome })
    }

    fn of_refusal(refusal: Refusal) -> Self {
        let (status, reason, _) = refusal.answer();
        let is_busy = refusal == Refusal::Full;
        let outcome = if is_busy { RouteOutcome::Busy } else { RouteOutcome::Unreachable };
        Self::new(status, reason, outcome)
    }

    fn of_trunk(error: &ControlError) -> Self {
        let (status, reason) = match error {
            ControlError::Invalid { .. } => (403, "This trunk may not call that"),
            ControlError::Busy { .. } | ControlError::Saturated { .. } => {
                (503, "The trunk has as many calls as it may")
            }
            ControlError::NotFound { .. }
            | ControlError::Conflict { .. }
            | ControlError::Stale { .. }
            | ControlError::Unstored { .. }
            | ControlError::Stopping => (404, "No such trunk"),
        };
        Self::new(status, reason, RouteOutcome::Unreachable)
    }
}
