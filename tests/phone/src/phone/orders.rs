//! What the test orders.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rsip::Method;
use serde_json::json;

use super::{Line, Measurement, Outcome, Phone, Timer, codecs_named, events_for, tell};

use crate::Input;
use crate::call::{ALLOW, Call, Cancel, Stage};
use crate::command::{
    Behaviour, Command, DEFAULT_LEVEL_DB, Dial, DigitPath, HoldStyle, OfferMethod, Transport,
    Trouble,
};
use crate::media::{Media, intrude};
use crate::sdp::{Direction, Local};
use crate::sip::{self, Parts};
use crate::transactions::{Client, Purpose, Retry, T2};
use crate::transport::{Flow, Sockets};

impl Phone {
    /// `Ok(false)`: the answer comes later, under the same id.
    pub(super) fn obey(&mut self, id: u64, command: Command) -> Result<bool, String> {
        let now = Instant::now();
        match command {
            Command::Open { line, bind, behaviour } => self.open(id, line, bind, behaviour)?,
            Command::Behave { line, behaviour } => self.line(&line)?.behaviour = behaviour,
            Command::Trouble { line, trouble } => self.line(&line)?.trouble = trouble,
            Command::Call(dial) => self.dial(dial, None)?,
            Command::Answer { call } => self.answer(&call)?,
            Command::Reject { call, status } => self.reject(&call, status, Parts::default())?,
            Command::Hangup { call } => self.hang_up(&call)?,
            Command::Play { call, tones_hz, level_db, babble, noise_db } => {
                let media = &self.call(&call)?.media;
                media.play(&tones_hz, level_db);
                media.babble(babble);
                media.noise(noise_db);
            }
            Command::Echo { call, delay_ms, level_db } => {
                self.call(&call)?.media.echo(level_db.map(|level_db| (delay_ms, level_db)));
            }
            Command::Media { call, send } => self.call(&call)?.media.send(send),
            Command::Impair { call, impairments } => self.call(&call)?.media.impair(impairments),
            Command::SourcePort { call } => self.move_source(&call)?,
            Command::Intrude { call, tone_hz, duration_ms } => {
                let call = self.call(&call)?;
                let plan = call.media.plan().ok_or("no media yet")?;
                let duration = Duration::from_millis(duration_ms);
                intrude(plan, call.contact.ip(), tone_hz, duration);
            }
            Command::Hold { call, how, method } => self.hold(&call, how, method)?,
            Command::Resume { call, method } => {
                let session = &mut self.begin_offer(&call)?.session;
                session.direction = Direction::Sendrecv;
                session.zero = false;
                self.offer(&call, method, false)?;
            }
            Command::Reinvite { call, new_port, codecs, late_offer, method } => {
                self.reinvite(&call, new_port, codecs.as_deref(), late_offer, method)?;
            }
            Command::Dtmf { call, digits, via, duration_ms } => {
                self.dial_digits(&call, &digits, via, duration_ms)?;
            }
            Command::Refer { call, to, replaces, reports } => {
                let referrer = sip::uri(&self.call(&call)?.local).unwrap_or_default();
                let to = match (to, replaces) {
                    (to, Some(other)) => {
                        let other = self.call(&other)?;
                        let to = to.unwrap_or_else(|| other.target.clone());
                        format!("{to}?Replaces={}", sip::escaped(&other.named()))
                    }
                    (Some(to), None) => to,
                    (None, None) => return Err("to or replaces".to_owned()),
                };
                let mut parts = vec![
                    ("Refer-To".to_owned(), format!("<{to}>")),
                    ("Referred-By".to_owned(), format!("<{referrer}>")),
                ];
                if !reports {
                    parts.push(("Refer-Sub".to_owned(), "false".to_owned()));
                }
                self.request_in_dialog(&call, Method::Refer, Purpose::Refer, parts, None)?;
            }
            Command::Request { call, method, content_type, body } => {
                let method = method.parse().map_err(|error| format!("{method}: {error}"))?;
                let body = content_type.map(|content_type| (content_type, body));
                self.request_in_dialog(&call, method, Purpose::Other, Vec::new(), body)?;
            }
            Command::Options { line, to, transport } => self.options(&line, &to, transport)?,
            Command::Hear(hear) => {
                self.call(&hear.call)?;
                let from = now + Duration::from_millis(hear.skip_ms);
                let until = from + Duration::from_millis(hear.window_ms);
                self.timers.push((until, Timer::Hear { id, from, hear }));
                return Ok(false);
            }
            Command::ListenFor(listen) => {
                self.call(&listen.call)?;
                let until = now + Duration::from_millis(listen.timeout_ms);
                self.timers.push((now, Timer::Listen { id, until, listen }));
                return Ok(false);
            }
            Command::Delay { from, to, bursts } => {
                self.call(&from)?;
                self.call(&to)?;
                let (bursts_left, delays_ms, missed) = (bursts, Vec::new(), 0);
                let measurement = Measurement { id, from, to, bursts_left, delays_ms, missed };
                self.timers.push((now, Timer::Delay(measurement)));
                return Ok(false);
            }
            Command::Statistics { call } => {
                let statistics = self.call(&call)?.media.statistics();
                tell(
                    json!({"event": "statistics", "id": id, "call": call, "statistics": statistics}),
                );
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn open(
        &mut self,
        id: u64,
        line: String,
        bind: SocketAddr,
        behaviour: Behaviour,
    ) -> Outcome {
        let sockets =
            Sockets::open(&line, bind, self.inputs.clone()).map_err(|error| error.to_string())?;
        let address = sockets.address().to_string();
        let uri = format!("sip:{line}@{address}");
        tell(json!({"event": "opened", "id": id, "line": line, "address": address, "uri": uri}));
        self.lines
            .insert(line, Line { sockets, behaviour, trouble: Trouble::default(), incoming: 0 });
        Ok(())
    }

    pub(super) fn dial(&mut self, dial: Dial, referred_by: Option<String>) -> Outcome {
        if self.calls.contains_key(&dial.call) {
            return Err(format!("there is a call {} already", dial.call));
        }
        let (peer, asks_tcp) = sip::address(&dial.to).ok_or("the URI has no literal address")?;
        let transport = if asks_tcp { Transport::Tcp } else { dial.transport };
        let line = self.line(&dial.line)?;
        let (contact, behaviour) = (line.sockets.address(), line.behaviour.clone());
        let codecs = dial.codecs.as_ref().unwrap_or(&behaviour.codecs).clone();
        let (media, session) = self.media(&dial.call, contact, &codecs, behaviour.ptime_ms)?;
        let branch = self.branch();
        let mut headers = dial.headers.clone();
        for (name, call) in [("Replaces", &dial.replaces), ("Join", &dial.join)] {
            if let Some(call) = call {
                headers.push((name.to_owned(), self.call(call)?.named()));
            }
        }
        let mut call = Call {
            name: dial.call.clone(),
            line: dial.line.clone(),
            contact,
            unwanted: false,
            stage: Stage::Calling {
                branch: branch.clone(),
                provisional: false,
                cancel: Cancel::No,
            },
            sip_call_id: format!("{}@phone", self.random.token()),
            local: format!("<sip:{}@{contact}>;tag={}", dial.line, self.random.token()),
            remote: format!("<{}>", dial.to),
            target: dial.to,
            routes: Vec::new(),
            cseq: 0,
            remote_cseq: 0,
            flow: Flow { transport, peer },
            media,
            session,
            before_offer: None,
            offering: false,
            behaviour,
            tones_hz: dial.tones_hz,
            referred_by,
            replaces: None,
        };
        let mut parts = call.parts(Method::Invite, &branch);
        for (name, value) in &headers {
            parts = parts.with(name, value);
        }
        if !dial.late_offer {
            parts = parts.sdp(call.offer());
        }
        let bytes = sip::request(Method::Invite, &call.target, parts)?;
        self.launch(&call, Method::Invite, Purpose::Invite, branch, bytes);
        self.calls.insert(dial.call, call);
        Ok(())
    }

    pub(super) fn media(
        &mut self,
        call: &str,
        contact: SocketAddr,
        codecs: &[String],
        ptime_ms: u32,
    ) -> Result<(Media, Local), String> {
        let codecs = codecs_named(codecs)?;
        let (inputs, name) = (self.inputs.clone(), call.to_owned());
        let on_digit = Box::new(move |digit| {
            drop(inputs.send(Input::Digit { call: name.clone(), digit }));
        });
        let media = Media::start(contact.ip(), self.random.next(), on_digit)
            .map_err(|error| error.to_string())?;
        let session = Local {
            session_id: self.random.next() >> 16,
            version: 0,
            address: media.address(),
            events: events_for(&codecs),
            codecs,
            ptime_ms,
            direction: Direction::Sendrecv,
            zero: false,
        };
        Ok((media, session))
    }

    pub(super) fn answer(&mut self, name: &str) -> Outcome {
        let call = self.call(name)?;
        let Stage::Ringing { invite, flow } = std::mem::replace(&mut call.stage, Stage::Up) else {
            return Err(format!("{name} does not ring"));
        };
        let body =
            if invite.body.is_empty() { Ok(call.offer()) } else { call.answer(&invite.body) };
        let contact = call.contact_value();
        let (tag, tones) = (call.local_tag(), call.tones_hz.clone());
        match body {
            Ok(sdp) => {
                call.media.play(&tones, DEFAULT_LEVEL_DB);
                let codec = call.media.plan().map(|plan| plan.send.to_string());
                let (line, replaced) = (call.line.clone(), call.replaces.take());
                let parts = Parts::default().with("Contact", contact).with("Allow", ALLOW).sdp(sdp);
                self.respond(&line, flow, &invite, 200, &tag, parts);
                tell(json!({"event": "answered", "call": name, "line": line, "codec": codec}));
                if let Some(replaced) = replaced.filter(|name| self.calls.contains_key(name)) {
                    self.hang_up(&replaced)?;
                }
            }
            Err(error) => {
                let line = call.line.clone();
                self.respond(&line, flow, &invite, 488, &tag, Parts::default());
                self.calls.remove(name);
                tell(json!({"event": "failed", "call": name, "status": 488, "error": error}));
            }
        }
        Ok(())
    }

    pub(super) fn reject(&mut self, name: &str, status: u16, parts: Parts) -> Outcome {
        let call = self.call(name)?;
        let Stage::Ringing { invite, flow } = std::mem::replace(&mut call.stage, Stage::Up) else {
            return Err(format!("{name} does not ring"));
        };
        let (line, tag) = (call.line.clone(), call.local_tag());
        self.respond(&line, flow, &invite, status, &tag, parts);
        self.calls.remove(name);
        Ok(())
    }

    pub(super) fn hang_up(&mut self, name: &str) -> Outcome {
        match &mut self.call(name)?.stage {
            Stage::Ringing { .. } => self.reject(name, 603, Parts::default()),
            Stage::Calling { cancel, provisional, .. } => {
                *cancel = Cancel::Wanted;
                let now = *provisional;
                if now { self.cancel(name) } else { Ok(()) }
            }
            Stage::Up => {
                self.request_in_dialog(name, Method::Bye, Purpose::Bye, Vec::new(), None)?;
                self.calls.remove(name);
                tell(json!({"event": "ended", "call": name, "by": "us"}));
                Ok(())
            }
        }
    }

    /// RFC 3261 §9.1: same Request-URI, Via branch and `CSeq` number as the INVITE.
    pub(super) fn cancel(&mut self, name: &str) -> Outcome {
        let call = self.call(name)?;
        let Stage::Calling { branch, cancel, .. } = &mut call.stage else { return Ok(()) };
        *cancel = Cancel::Sent;
        let branch = branch.clone();
        let parts = call.parts(Method::Cancel, &branch);
        let bytes = sip::request(Method::Cancel, &call.target, parts)?;
        self.launch_for(name, Method::Cancel, Purpose::Cancel, branch, bytes);
        Ok(())
    }

    pub(super) fn move_source(&mut self, name: &str) -> Outcome {
        self.call(name)?.media.move_source().map_err(|error| error.to_string())
    }

    pub(super) fn hold(&mut self, name: &str, how: HoldStyle, method: OfferMethod) -> Outcome {
        let session = &mut self.begin_offer(name)?.session;
        match how {
            HoldStyle::Sendonly => session.direction = Direction::Sendonly,
            HoldStyle::Inactive => session.direction = Direction::Inactive,
            HoldStyle::Zero => session.zero = true,
        }
        self.offer(name, method, false)
    }

    pub(super) fn reinvite(
        &mut self,
        name: &str,
        new_port: bool,
        codecs: Option<&[String]>,
        late_offer: bool,
        method: OfferMethod,
    ) -> Outcome {
        let codecs = codecs.map(codecs_named).transpose()?;
        let call = self.begin_offer(name)?;
        if let Some(codecs) = codecs {
            call.session.events = events_for(&codecs);
            call.session.codecs = codecs;
        }
        if new_port {
            call.media.move_port().map_err(|error| error.to_string())?;
        }
        self.offer(name, method, late_offer)
    }

    /// Keeps the session to return to, before a change that is then offered.
    pub(super) fn begin_offer(&mut self, name: &str) -> Result<&mut Call, String> {
        let call = self.call(name)?;
        if call.offering {
            return Err("an offer is out already".to_owned());
        }
        call.before_offer = Some(call.session.clone());
        Ok(call)
    }

    pub(super) fn offer(&mut self, name: &str, method: OfferMethod, late: bool) -> Outcome {
        let call = self.call(name)?;
        let body = if late { None } else { Some(("application/sdp".to_owned(), call.offer())) };
        let method = match method {
            OfferMethod::Invite => Method::Invite,
            OfferMethod::Update => Method::Update,
        };
        self.request_in_dialog(name, method, Purpose::Offer, Vec::new(), body)
    }

    pub(super) fn dial_digits(
        &mut self,
        name: &str,
        digits: &str,
        via: DigitPath,
        ms: u32,
    ) -> Outcome {
        for digit in digits.chars() {
            match via {
                DigitPath::Rtp => {
                    if !self.call(name)?.media.digit(digit, ms) {
                        return Err(format!("{digit} cannot be sent as an event"));
                    }
                }
                DigitPath::Info => {
                    let body = format!("Signal={digit}\r\nDuration={ms}\r\n");
                    let body = Some(("application/dtmf-relay".to_owned(), body));
                    self.request_in_dialog(name, Method::Info, Purpose::Other, Vec::new(), body)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn options(&mut self, line: &str, to: &str, transport: Transport) -> Outcome {
        let (peer, asks_tcp) = sip::address(to).ok_or("the URI has no literal address")?;
        let transport = if asks_tcp { Transport::Tcp } else { transport };
        let flow = Flow { transport, peer };
        let (branch, tag, call_id) = (self.branch(), self.random.token(), self.random.token());
        let contact = self.line(line)?.sockets.address();
        let protocol = if transport == Transport::Tcp { "TCP" } else { "UDP" };
        let parts = Parts::default()
            .with("Via", format!("SIP/2.0/{protocol} {contact};branch={branch};rport"))
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:{line}@{contact}>;tag={tag}"))
            .with("To", format!("<{to}>"))
            .with("Call-ID", call_id)
            .with("CSeq", "1 OPTIONS");
        let bytes = sip::request(Method::Options, to, parts)?;
        self.transact(Client {
            line: line.to_owned(),
            call: None,
            branch,
            method: Method::Options,
            purpose: Purpose::Other,
            flow,
            bytes,
            retry: Retry::new(Instant::now(), transport == Transport::Udp, Some(T2)),
            answered: false,
            ack: None,
        });
        Ok(())
    }
}
