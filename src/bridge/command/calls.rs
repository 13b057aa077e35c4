//! `/v1/calls`.

use api::event::EventType;
use api::model::{Call, CallId, CallQuery, CreateCall, LeftReason, Page};

use crate::bridge::call::{self, Next};
use crate::bridge::dial::Outbound;
use crate::bridge::leg::{Caller, Controls, Dial};
use crate::bridge::{Bridge, Place};
use crate::media::command::MixKey;

use super::page::{Wanted, page};
use super::participants::caller;
use super::{Answer, invalid, no_such, refused};

impl Bridge {
    /// Dials the first party; the second follows once the first has answered.
    pub(super) fn api_create_call(&mut self, body: &CreateCall) -> Answer<Call> {
        let [first, second] = &body.legs[..] else {
            let found = body.legs.len();
            return Err(invalid("/legs", format!("expected two parties, found {found}")));
        };
        let (first_trunk, first_target) =
            self.callee_of("/legs/0/to", &first.to, first.trunk.as_deref())?;
        let (second_trunk, second_target) =
            self.callee_of("/legs/1/to", &second.to, second.trunk.as_deref())?;
        let targets = (first_target, second_target);
        let from = |party: &api::model::CallParty, other: &crate::sip::uri::Uri| {
            party.from.as_deref().map_or_else(|| Ok(Caller::Uri(other.clone())), caller)
        };
        let (to_first, to_second) = (from(first, &targets.1)?, from(second, &targets.0)?);
        let timeout = self.ring_time(body.timeout_s)?;
        self.has_line_for_api()?;
        self.has_room(2).map_err(refused)?;
        let codecs = self.settings.codecs.clone();
        let id = CallId::new(self.unix_ms(), self.random());
        let dial = |target, from, trunk| Dial {
            target,
            from,
            codecs: codecs.clone(),
            trunk,
            headers: Vec::new(),
        };
        let second = dial(targets.1, to_second, second_trunk);
        let call = call::Call {
            id,
            mix: MixKey(self.next_key()),
            legs: Vec::new(),
            next: Some(Next { dial: second, timeout }),
            routed: None,
            created_at: self.wall(),
            connected_at: None,
        };
        self.calls.insert(id, call);
        self.counters.calls_total += 1;
        self.call_happened(EventType::CallCreated, id);
        self.dial(Outbound {
            dial: dial(targets.0, to_first, first_trunk),
            place: Place::Call(id),
            call: Some(id),
            display_name: None,
            controls: Controls::new(&self.settings),
            timeout,
        });
        self.api_call(id)
    }

    pub(super) fn api_list_calls(&self, query: &CallQuery) -> Answer<Page<Call>> {
        let asked = query.page();
        let wanted = Wanted::of(&asked, &["dialing", "connected", "ended"])?;
        let ended = self.history.calls.values().map(|call| (false, call.clone()));
        let live = self.calls.values().map(|call| (true, call.view()));
        let mut all: Vec<(bool, Call)> = ended.chain(live).collect();
        all.retain(|(live, call)| wanted.takes(*live, &call.state) && query.matches(call));
        all.sort_by_key(|(_, call)| call.id);
        page(&asked, all.into_iter().map(|(_, call)| call), |call| call.id)
    }

    pub(super) fn api_call(&self, call: CallId) -> Answer<Call> {
        let live = self.calls.get(&call).map(call::Call::view);
        live.or_else(|| self.history.calls.get(&call).cloned()).ok_or_else(|| no_such("call", call))
    }

    pub(super) fn api_hang_up_call(&mut self, call: CallId) -> Answer<()> {
        if !self.calls.contains_key(&call) {
            return Err(no_such("call", call));
        }
        self.end_call(call, LeftReason::Kicked, (LeftReason::Kicked, None));
        Ok(())
    }
}
