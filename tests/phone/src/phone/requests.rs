//! Requests of ours and what their responses mean.

use std::time::Instant;

use rsip::{Method, Response, SipMessage};
use serde_json::json;

use super::{Outcome, Phone, next_hop, tell};
use crate::call::{Call, Cancel, Stage};
use crate::command::{DEFAULT_LEVEL_DB, Transport};
use crate::sip;
use crate::transactions::{Client, LINGER, Purpose, Retry, T2};
use crate::transport::Flow;

impl Phone {
    pub(super) fn request_in_dialog(
        &mut self,
        name: &str,
        method: Method,
        purpose: Purpose,
        fields: Vec<(String, String)>,
        body: Option<(String, String)>,
    ) -> Outcome {
        let branch = self.branch();
        let call = self.call(name)?;
        let mut parts = call.parts(method, &branch);
        parts.fields.extend(fields);
        parts.body = body;
        let bytes = sip::request(method, &call.target, parts)?;
        self.launch_for(name, method, purpose, branch, bytes);
        Ok(())
    }

    pub(super) fn launch_for(
        &mut self,
        name: &str,
        method: Method,
        purpose: Purpose,
        branch: String,
        bytes: Vec<u8>,
    ) {
        if let Some(call) = self.calls.remove(name) {
            self.launch(&call, method, purpose, branch, bytes);
            self.calls.insert(name.to_owned(), call);
        }
    }

    pub(super) fn launch(
        &mut self,
        call: &Call,
        method: Method,
        purpose: Purpose,
        branch: String,
        bytes: Vec<u8>,
    ) {
        let ceiling = (method != Method::Invite).then_some(T2);
        let flow = next_hop(call);
        let repeats = flow.transport == Transport::Udp;
        self.transact(Client {
            line: call.line.clone(),
            call: Some(call.name.clone()),
            branch,
            method,
            purpose,
            flow,
            bytes,
            retry: Retry::new(Instant::now(), repeats, ceiling),
            answered: false,
            ack: None,
        });
    }

    pub(super) fn transact(&mut self, client: Client) {
        let (line, flow, bytes) = (client.line.clone(), client.flow, client.bytes.clone());
        self.clients.push(client);
        self.send(&line, flow, &bytes);
    }

    pub(super) fn send(&mut self, line: &str, flow: Flow, bytes: &[u8]) {
        let Some(line) = self.lines.get(line) else { return };
        for _ in 0..=line.trouble.repeat {
            if let Err(error) = line.sockets.send(flow, bytes) {
                tell(
                    json!({"event": "transport_error", "peer": flow.peer.to_string(), "error": error.to_string()}),
                );
            }
        }
    }

    pub(super) fn handle_message(&mut self, line: &str, flow: Flow, bytes: &[u8]) {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        let Some(known) = self.lines.get_mut(line) else { return };
        if known.trouble.lose_incoming > 0 {
            known.trouble.lose_incoming -= 1;
            return;
        }
        match SipMessage::try_from(bytes) {
            Ok(SipMessage::Request(request)) => {
                if self.handle_request(line, flow, &request).is_none() {
                    Self::object("a header field is missing or unreadable", bytes);
                }
            }
            Ok(SipMessage::Response(response)) => {
                if self.handle_response(&response).is_none() {
                    Self::object("a header field is missing or unreadable", bytes);
                }
            }
            Err(error) => Self::object(&error.to_string(), bytes),
        }
    }

    /// Our SIP library dislikes what came: the test should know.
    pub(super) fn object(error: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        tell(json!({"event": "sip_error", "error": error, "message": text}));
    }

    pub(super) fn handle_response(&mut self, response: &Response) -> Option<()> {
        let status = response.status_code.code();
        let branch = sip::branch(&response.headers)?;
        let (_, method) = sip::cseq(&response.headers)?;
        let found = self
            .clients
            .iter()
            .position(|client| client.branch == branch && client.method == method);
        let Some(index) = found else {
            tell(json!({"event": "stray_response", "status": status}));
            return Some(());
        };
        let client = &mut self.clients[index];
        client.retry.stop_repeating();
        if status < 200 {
            let purpose = client.purpose;
            let call = client.call.clone();
            if let (Purpose::Invite, Some(call)) = (purpose, call) {
                self.progress(&call, response);
            }
            return Some(());
        }
        if client.answered {
            let again = client.ack.clone().map(|ack| (client.line.clone(), client.flow, ack));
            if let Some((line, flow, ack)) = again {
                self.acknowledge(&line, flow, &ack, status);
            }
            return Some(());
        }
        client.answered = true;
        client.retry.deadline = Instant::now() + LINGER;
        let client = self.clients.remove(index);
        let ack = self.conclude_request(&client, status, Some(response));
        if let Some(ack) = &ack {
            let flow = client.flow;
            self.acknowledge(&client.line, flow, ack, status);
        }
        let name = client.call.clone().unwrap_or_default();
        self.clients.push(Client { ack, ..client });
        if self.calls.get(&name).is_some_and(|call| call.unwanted) {
            drop(self.hang_up(&name));
        }
        Some(())
    }

    pub(super) fn acknowledge(&mut self, line: &str, flow: Flow, ack: &[u8], status: u16) {
        if let Some(line) = self.lines.get_mut(line)
            && status < 300
            && line.trouble.lose_acks > 0
        {
            line.trouble.lose_acks -= 1;
            return;
        }
        self.send(line, flow, ack);
    }

    pub(super) fn progress(&mut self, name: &str, response: &Response) {
        let status = response.status_code.code();
        let Some(call) = self.calls.get_mut(name) else { return };
        if status > 100 && !response.body.is_empty() && call.offering {
            if let Err(error) = call.conclude(&response.body) {
                tell(json!({"event": "sdp_error", "call": name, "error": error}));
            }
            // The answer in the 200 is the one that counts; it may come again there.
            call.offering = true;
        }
        let parent = call.referred_by.clone();
        let Stage::Calling { provisional, cancel, .. } = &mut call.stage else { return };
        *provisional = true;
        let cancel = *cancel;
        if status > 100 {
            let early_media = !response.body.is_empty();
            tell(
                json!({"event": "progress", "call": name, "status": status, "early_media": early_media}),
            );
            if let Some(parent) = parent {
                self.notify(&parent, status, false);
            }
        }
        if cancel == Cancel::Wanted {
            drop(self.cancel(name));
        }
    }

    /// What a final response means. Answers the ACK that an INVITE needs.
    pub(super) fn conclude_request(
        &mut self,
        client: &Client,
        status: u16,
        response: Option<&Response>,
    ) -> Option<Vec<u8>> {
        let name = client.call.clone().unwrap_or_default();
        let success = (200..300).contains(&status);
        let response_reason = response.and_then(|response| sip::value(&response.headers, "Reason"));
        let ack = response.and_then(|response| self.make_ack(client, &name, response, success));
        match client.purpose {
            Purpose::Invite if success => self.connected(&name),
            Purpose::Invite => {
                let parent = self.calls.remove(&name).and_then(|call| call.referred_by);
                tell(
                    json!({"event": "failed", "call": name, "status": status, "reason": response_reason,
                    "retry_after": response.and_then(|r| sip::value(&r.headers, "Retry-After"))}),
                );
                if let Some(parent) = parent {
                    self.notify(&parent, status, true);
                }
            }
            Purpose::Offer => {
                if !success && let Some(call) = self.calls.get_mut(&name) {
                    call.abandon_offer();
                }
                self.tell_offer(client, &name, status, response);
            }
            Purpose::Refer => {
                tell(json!({"event": "refer_answered", "call": name, "status": status}));
            }
            Purpose::Bye | Purpose::Cancel | Purpose::Notify if success => {}
            Purpose::Bye | Purpose::Cancel | Purpose::Notify | Purpose::Other => {
                tell(json!({"event": "response", "call": client.call, "line": client.line,
                    "method": client.method.to_string(), "status": status}));
            }
        }
        ack
    }

    pub(super) fn tell_offer(
        &mut self,
        client: &Client,
        name: &str,
        status: u16,
        response: Option<&Response>,
    ) {
        let mut error = None;
        if let Some(call) = self.calls.get_mut(name)
            && client.method == Method::Update
            && let Some(response) = response.filter(|_| status < 300)
        {
            error = call.conclude(&response.body).err();
        }
        let plan = self.calls.get(name).and_then(|call| call.media.plan());
        let codec = plan.map(|plan| plan.send.to_string());
        tell(
            json!({"event": "reinvite_answered", "call": name, "status": status, "codec": codec, "error": error}),
        );
    }

    /// The ACK of a final response to INVITE, with our answer when the response carried the offer.
    pub(super) fn make_ack(
        &mut self,
        client: &Client,
        name: &str,
        response: &Response,
        success: bool,
    ) -> Option<Vec<u8>> {
        if client.method != Method::Invite {
            return None;
        }
        let (number, _) = sip::cseq(&response.headers)?;
        let fresh = self.branch();
        let call = self.calls.get_mut(name)?;
        let branch = if success { fresh } else { client.branch.clone() };
        if success {
            call.learn(&response.headers, client.purpose == Purpose::Invite);
        } else if client.purpose == Purpose::Invite {
            call.remote = sip::value(&response.headers, "To").unwrap_or_default();
        }
        let mut parts = call.parts(Method::Ack, &branch);
        for (field, value) in &mut parts.fields {
            if field == "CSeq" {
                *value = format!("{number} ACK");
            }
        }
        if success {
            let outcome = if call.offering {
                call.conclude(&response.body).map(|()| None)
            } else {
                call.answer(&response.body).map(Some)
            };
            match outcome {
                Ok(Some(answer)) => parts = parts.sdp(answer),
                Ok(None) => {}
                Err(error) => tell(json!({"event": "sdp_error", "call": name, "error": error})),
            }
        }
        sip::request(Method::Ack, &call.target, parts).ok()
    }

    pub(super) fn connected(&mut self, name: &str) {
        let Some(call) = self.calls.get_mut(name) else { return };
        call.unwanted =
            matches!(call.stage, Stage::Calling { cancel: Cancel::Wanted | Cancel::Sent, .. });
        call.stage = Stage::Up;
        call.media.play(&call.tones_hz, DEFAULT_LEVEL_DB);
        let codec = call.media.plan().map(|plan| plan.send.to_string());
        let parent = call.referred_by.clone();
        tell(json!({"event": "answered", "call": name, "line": call.line, "codec": codec}));
        if let Some(parent) = parent {
            self.notify(&parent, 200, true);
        }
    }

    /// Tells the referrer how its transfer goes (RFC 3515 §2.4.4).
    pub(super) fn notify(&mut self, name: &str, status: u16, last: bool) {
        let state = if last { "terminated;reason=noresource" } else { "active;expires=60" };
        let fields = vec![
            ("Event".to_owned(), "refer".to_owned()),
            ("Subscription-State".to_owned(), state.to_owned()),
        ];
        let body = format!("SIP/2.0 {status} Status\r\n");
        let body = Some(("message/sipfrag;version=2.0".to_owned(), body));
        drop(self.request_in_dialog(name, Method::Notify, Purpose::Notify, fields, body));
    }
}
