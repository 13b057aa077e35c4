//! Requests of theirs and how they are answered.

use std::time::{Duration, Instant};

use rsip::{Method, Request};
use serde_json::json;

use super::{Phone, Timer, tell};
use crate::call::{ALLOW, Call, Stage};
use crate::command::{Behaviour, DEFAULT_LEVEL_DB, Dial, OnInvite, OnRefer, Transport};
use crate::sip::{self, Parts};
use crate::transactions::{Retry, Served, T2};
use crate::transport::Flow;

impl Phone {
    pub(super) fn handle_request(
        &mut self,
        line: &str,
        flow: Flow,
        request: &Request,
    ) -> Option<()> {
        let branch = sip::branch(&request.headers)?;
        let call_id = sip::value(&request.headers, "Call-ID")?;
        let (number, _) = sip::cseq(&request.headers)?;
        let to = sip::value(&request.headers, "To")?;
        if request.method == Method::Ack {
            self.handle_ack(line, &call_id, number, &request.body);
            return Some(());
        }
        if let Some(index) = self.served.iter().position(|served| {
            served.line == line && served.branch == branch && served.method == request.method
        }) {
            let (flow, bytes) = (self.served[index].flow, self.served[index].response.clone());
            self.send(line, flow, &bytes);
            return Some(());
        }
        let call = self
            .calls
            .values()
            .find(|call| call.line == line && call.sip_call_id == call_id)
            .map(|call| call.name.clone());
        match (request.method, sip::tag(&to), call) {
            (Method::Cancel, _, call) => self.handle_cancel(line, flow, request, call),
            (_, Some(_), Some(call)) => self.handle_in_dialog(&call, flow, request, number),
            (Method::Invite, None, None) => self.handle_invite(line, flow, request)?,
            (Method::Invite, None, Some(_)) => {} // A repetition that was ignored once already.
            (Method::Options, None, _) => {
                let tag = self.random.token();
                let parts = Parts::default().with("Allow", ALLOW);
                self.respond(line, flow, request, 200, &tag, parts);
            }
            _ => {
                let tag = self.random.token();
                self.respond(line, flow, request, 481, &tag, Parts::default());
            }
        }
        Some(())
    }

    pub(super) fn handle_ack(&mut self, line: &str, call_id: &str, number: u32, body: &[u8]) {
        for served in &mut self.served {
            let same = served.call_id == call_id && served.cseq == number;
            if served.line == line && served.method == Method::Invite && same {
                served.retry = None;
            }
        }
        let call =
            self.calls.values_mut().find(|call| call.line == line && call.sip_call_id == call_id);
        if let Some(call) = call
            && call.offering
            && !body.is_empty()
        {
            let name = call.name.clone();
            match call.conclude(body) {
                Ok(()) => {
                    let codec = call.media.plan().map(|plan| plan.send.to_string());
                    tell(json!({"event": "late_answer", "call": name, "codec": codec}));
                }
                Err(error) => tell(json!({"event": "sdp_error", "call": name, "error": error})),
            }
        }
    }

    pub(super) fn handle_invite(
        &mut self,
        line: &str,
        flow: Flow,
        request: &Request,
    ) -> Option<()> {
        let replaces = sip::value(&request.headers, "Replaces");
        let old = replaces.as_ref().map(|replaces| {
            let found = self.calls.values().find(|call| call.is_named_by(replaces));
            found.map(|call| call.name.clone())
        });
        if old == Some(None) {
            let tag = self.random.token();
            self.respond(line, flow, request, 481, &tag, Parts::default());
            return Some(());
        }
        let known = self.lines.get_mut(line)?;
        known.incoming += 1;
        let name = format!("{line}-{}", known.incoming);
        let (contact, behaviour) = (known.sockets.address(), known.behaviour.clone());
        let (from, to) =
            (sip::value(&request.headers, "From")?, sip::value(&request.headers, "To")?);
        let (media, session) =
            self.media(&name, contact, &behaviour.codecs, behaviour.ptime_ms).ok()?;
        let mut call = Call {
            name: name.clone(),
            line: line.to_owned(),
            contact,
            unwanted: false,
            stage: Stage::Ringing { invite: Box::new(request.clone()), flow },
            sip_call_id: sip::value(&request.headers, "Call-ID")?,
            local: format!("{to};tag={}", self.random.token()),
            remote: from.clone(),
            target: String::new(),
            routes: Vec::new(),
            cseq: 0,
            remote_cseq: sip::cseq(&request.headers)?.0,
            flow,
            media,
            session,
            before_offer: None,
            offering: false,
            tones_hz: behaviour.tones_hz.clone(),
            behaviour: behaviour.clone(),
            referred_by: None,
            replaces: old.flatten(),
        };
        call.learn(&request.headers, false);
        self.calls.insert(name.clone(), call);
        let transport = if flow.transport == Transport::Tcp { "tcp" } else { "udp" };
        tell(json!({"event": "incoming", "line": line, "call": name, "from": from, "to": to,
            "uri": request.uri.to_string(), "offer": !request.body.is_empty(), "transport": transport,
            "replaces": replaces,
            "referred_by": sip::value(&request.headers, "Referred-By")}));
        self.react(line, flow, request, &name, &behaviour);
        Some(())
    }

    pub(super) fn react(
        &mut self,
        line: &str,
        flow: Flow,
        request: &Request,
        name: &str,
        behaviour: &Behaviour,
    ) {
        let tag = self.calls.get(name).map(Call::local_tag).unwrap_or_default();
        if behaviour.on_invite == OnInvite::Ignore {
            return;
        }
        let contact = self.calls.get(name).map(Call::contact_value).unwrap_or_default();
        if behaviour.on_invite == OnInvite::EarlyMedia {
            self.early_media(name, &contact);
        } else if behaviour.ring {
            let parts = Parts::default().with("Contact", contact);
            self.respond(line, flow, request, 180, &tag, parts);
        }
        let refusal = match behaviour.on_invite {
            OnInvite::Busy => 486,
            OnInvite::Decline => 603,
            OnInvite::Reject => behaviour.status,
            OnInvite::Redirect => 302,
            OnInvite::Ring => return,
            OnInvite::Answer | OnInvite::EarlyMedia | OnInvite::Ignore => {
                let at = Instant::now() + Duration::from_millis(behaviour.delay_ms);
                self.timers.push((at, Timer::Answer { call: name.to_owned() }));
                return;
            }
        };
        let parts = match refusal {
            302 => Parts::default().with("Contact", format!("<{}>", behaviour.contact)),
            503 => Parts::default().with("Retry-After", "5"),
            _ => Parts::default(),
        };
        drop(self.reject(name, refusal, parts));
    }

    pub(super) fn early_media(&mut self, name: &str, contact: &str) {
        let Some(call) = self.calls.get_mut(name) else { return };
        let Stage::Ringing { invite, flow } = &call.stage else { return };
        let (invite, flow) = (invite.clone(), *flow);
        let (line, tag, tones) = (call.line.clone(), call.local_tag(), call.tones_hz.clone());
        match call.answer(&invite.body) {
            Ok(sdp) => {
                // The final answer repeats this one, with the same version.
                call.session.version -= 1;
                call.media.play(&tones, DEFAULT_LEVEL_DB);
                let parts = Parts::default().with("Contact", contact).sdp(sdp);
                self.respond(&line, flow, &invite, 183, &tag, parts);
            }
            Err(error) => tell(json!({"event": "sdp_error", "call": name, "error": error})),
        }
    }

    pub(super) fn handle_cancel(
        &mut self,
        line: &str,
        flow: Flow,
        request: &Request,
        call: Option<String>,
    ) {
        let Some(call) = call else {
            let tag = self.random.token();
            self.respond(line, flow, request, 481, &tag, Parts::default());
            return;
        };
        let known = self.calls.get(&call).expect("it was just found");
        let (tag, race) = (known.local_tag(), known.behaviour.answer_on_cancel);
        let ringing = matches!(known.stage, Stage::Ringing { .. });
        self.respond(line, flow, request, 200, &tag, Parts::default());
        tell(json!({"event": "cancelled", "call": call,
            "reason": sip::value(&request.headers, "Reason")}));
        if ringing {
            let outcome =
                if race { self.answer(&call) } else { self.reject(&call, 487, Parts::default()) };
            drop(outcome);
        }
    }

    pub(super) fn handle_in_dialog(
        &mut self,
        name: &str,
        flow: Flow,
        request: &Request,
        number: u32,
    ) {
        let Some(call) = self.calls.get_mut(name) else { return };
        let (line, tag) = (call.line.clone(), call.local_tag());
        if number <= call.remote_cseq {
            self.respond(&line, flow, request, 500, &tag, Parts::default());
            return;
        }
        call.remote_cseq = number;
        let answer = |phone: &mut Self, status| {
            phone.respond(&line, flow, request, status, &tag, Parts::default());
        };
        match request.method {
            Method::Invite | Method::Update => self.handle_offer(name, flow, request),
            Method::Bye => {
                answer(self, 200);
                self.calls.remove(name);
                tell(json!({"event": "ended", "call": name, "by": "them",
                    "reason": sip::value(&request.headers, "Reason")}));
            }
            Method::Refer => self.handle_refer(name, flow, request),
            Method::Notify => {
                answer(self, 200);
                let state = sip::value(&request.headers, "Subscription-State");
                tell(json!({"event": "notify", "call": name, "state": state,
                    "status": sip::fragment_status(&request.body)}));
            }
            Method::Info => {
                answer(self, 200);
                tell(json!({"event": "info", "call": name,
                    "content_type": sip::value(&request.headers, "Content-Type"),
                    "body": String::from_utf8_lossy(&request.body)}));
            }
            Method::Options => answer(self, 200),
            _ => answer(self, 501),
        }
    }

    /// A re-INVITE or UPDATE.
    pub(super) fn handle_offer(&mut self, name: &str, flow: Flow, request: &Request) {
        let Some(call) = self.calls.get_mut(name) else { return };
        let (line, tag) = (call.line.clone(), call.local_tag());
        let refuse = call.behaviour.refuse_offers;
        let glare = call.offering;
        let has_offer = !request.body.is_empty();
        if refuse != 0 || glare {
            let status = if glare { 491 } else { refuse };
            self.respond(&line, flow, request, status, &tag, Parts::default());
            tell(json!({"event": "reinvited", "call": name, "status": status}));
            return;
        }
        call.learn(&request.headers, false);
        let contact = call.contact_value();
        let sdp = match (request.method, has_offer) {
            (_, true) => call.answer(&request.body).map(Some),
            (Method::Invite, false) => Ok(Some(call.offer())),
            _ => Ok(None),
        };
        let parts = Parts::default().with("Contact", contact);
        let (status, parts, error) = match sdp {
            Ok(Some(sdp)) => (200, parts.sdp(sdp), None),
            Ok(None) => (200, parts, None),
            Err(error) => (488, Parts::default(), Some(error)),
        };
        let theirs = crate::sdp::Remote::parse(&request.body).ok();
        let plan = call.media.plan();
        let direction = call.direction();
        self.respond(&line, flow, request, status, &tag, parts);
        tell(json!({"event": "reinvited", "call": name, "status": status, "error": error,
            "method": request.method.to_string(), "offer": has_offer, "our_direction": direction,
            "direction": theirs.as_ref().map(|remote| remote.direction),
            "version": theirs.map(|remote| remote.version),
            "codec": plan.map(|plan| plan.send.to_string())}));
    }

    pub(super) fn handle_refer(&mut self, name: &str, flow: Flow, request: &Request) {
        let Some(call) = self.calls.get(name) else { return };
        let (line, tag) = (call.line.clone(), call.local_tag());
        let (choice, tones_hz) = (call.behaviour.on_refer, call.tones_hz.clone());
        let target = sip::value(&request.headers, "Refer-To");
        let (target, headers) = target.map(|value| sip::refer_to(&value)).unwrap_or_default();
        tell(json!({"event": "referred", "call": name, "to": target,
            "referred_by": sip::value(&request.headers, "Referred-By")}));
        let Some(to) = target else {
            self.respond(&line, flow, request, 400, &tag, Parts::default());
            return;
        };
        let status = if choice == OnRefer::Refuse { 603 } else { 202 };
        self.respond(&line, flow, request, status, &tag, Parts::default());
        match choice {
            OnRefer::Refuse => {}
            OnRefer::Fail => {
                self.notify(name, 100, false);
                self.notify(name, 486, true);
            }
            OnRefer::Accept => {
                self.notify(name, 100, false);
                let dial = Dial {
                    line,
                    call: format!("{name}-transferred"),
                    to,
                    transport: Transport::Udp,
                    codecs: None,
                    tones_hz,
                    late_offer: false,
                    headers,
                    replaces: None,
                    join: None,
                };
                if let Err(error) = self.dial(dial, Some(name.to_owned())) {
                    tell(json!({"event": "failed", "call": name, "error": error}));
                    self.notify(name, 503, true);
                }
            }
        }
    }

    pub(super) fn respond(
        &mut self,
        line: &str,
        flow: Flow,
        request: &Request,
        status: u16,
        tag: &str,
        parts: Parts,
    ) {
        let bytes = sip::response(request, status, tag, parts);
        let branch = sip::branch(&request.headers).unwrap_or_default();
        self.served.retain(|served| served.branch != branch || served.method != request.method);
        let unreliable = flow.transport == Transport::Udp;
        let repeat =
            request.method == Method::Invite && status >= 200 && (unreliable || status < 300);
        let now = Instant::now();
        self.served.push(Served {
            line: line.to_owned(),
            branch,
            method: request.method,
            call_id: sip::value(&request.headers, "Call-ID").unwrap_or_default(),
            cseq: sip::cseq(&request.headers).map(|cseq| cseq.0).unwrap_or_default(),
            flow,
            response: bytes.clone(),
            retry: repeat.then(|| Retry::new(now, true, Some(T2))),
            since: now,
        });
        self.send(line, flow, &bytes);
    }
}
