//! All lines and calls, and the one thread's worth of logic that moves them.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rsip::{Method, Request, Response, SipMessage};
use serde_json::{Value, json};

use crate::Input;
use crate::call::{ALLOW, BURST_PAUSE, Call, Cancel, Stage};
use crate::codec::Codec;
use crate::command::{
    Behaviour, Command, DEFAULT_LEVEL_DB, Dial, DigitPath, Hear, HoldStyle, ListenFor, OfferMethod,
    OnInvite, OnRefer, Order, Transport, Trouble,
};
use crate::hearing::Heard;
use crate::media::{Media, intrude};
use crate::random::Random;
use crate::sdp::{Direction, Local};
use crate::sip::{self, Parts};
use crate::transactions::{Client, Due, LINGER, Purpose, Retry, Served, T2};
use crate::transport::{Flow, Sockets};

pub struct Phone {
    inputs: Sender<Input>,
    random: Random,
    lines: BTreeMap<String, Line>,
    calls: BTreeMap<String, Call>,
    clients: Vec<Client>,
    served: Vec<Served>,
    timers: Vec<(Instant, Timer)>,
}

struct Line {
    sockets: Sockets,
    behaviour: Behaviour,
    trouble: Trouble,
    incoming: u32,
}

enum Timer {
    Answer { call: String },
    Hear { id: u64, from: Instant, hear: Hear },
    Listen { id: u64, until: Instant, listen: ListenFor },
    Delay(Measurement),
}

/// A delay measurement under way.
struct Measurement {
    id: u64,
    from: String,
    to: String,
    bursts_left: u32,
    delays_ms: Vec<f64>,
    missed: u32,
}

type Outcome = Result<(), String>;

impl Phone {
    pub fn new(inputs: Sender<Input>) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = clock.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32);
        Self {
            inputs,
            random: Random::new(seed),
            lines: BTreeMap::new(),
            calls: BTreeMap::new(),
            clients: Vec::new(),
            served: Vec::new(),
            timers: Vec::new(),
        }
    }

    pub fn next_deadline(&self) -> Instant {
        let retries = self.clients.iter().map(|client| &client.retry);
        let retries = retries.chain(self.served.iter().filter_map(|served| served.retry.as_ref()));
        let retries = retries.map(|retry| retry.next.unwrap_or(retry.deadline));
        let timers = self.timers.iter().map(|(at, _)| *at);
        retries.chain(timers).min().unwrap_or_else(|| Instant::now() + Duration::from_secs(1))
    }

    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Order(Ok(Order { id, command })) => match self.obey(id, command) {
                Ok(true) => tell(json!({"event": "done", "id": id})),
                Ok(false) => {}
                Err(error) => tell(json!({"event": "error", "id": id, "error": error})),
            },
            Input::Order(Err(error)) => tell(json!({"event": "error", "id": 0, "error": error})),
            Input::Message { line, flow, bytes } => self.handle_message(&line, flow, &bytes),
            Input::Digit { call, digit } => {
                tell(json!({"event": "digit", "call": call, "digit": digit, "via": "rtp"}));
            }
            Input::Leave => {}
        }
    }

    /// Hangs up what is left, without waiting for answers.
    pub fn leave(&mut self) {
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            drop(self.hang_up(&call));
        }
    }

    // ---- time ----

    pub fn handle_time(&mut self, now: Instant) {
        self.repeat_requests(now);
        self.repeat_answers(now);
        let (due, later) = self.timers.drain(..).partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Timer)> = due;
        for (_, timer) in due {
            self.fire(now, timer);
        }
    }

    fn repeat_requests(&mut self, now: Instant) {
        let mut lost = Vec::new();
        let mut index = 0;
        while index < self.clients.len() {
            let client = &mut self.clients[index];
            match client.retry.due(now) {
                Due::Nothing => index += 1,
                Due::SendAgain => {
                    let (line, flow, bytes) =
                        (client.line.clone(), client.flow, client.bytes.clone());
                    self.send(&line, flow, &bytes);
                    index += 1;
                }
                Due::GiveUp => lost.push(self.clients.remove(index)),
            }
        }
        for client in lost.into_iter().filter(|client| !client.answered) {
            self.conclude_request(&client, 408, None);
        }
    }

    fn repeat_answers(&mut self, now: Instant) {
        let mut again = Vec::new();
        for served in &mut self.served {
            match served.retry.as_mut().map(|retry| retry.due(now)) {
                Some(Due::SendAgain) => {
                    again.push((served.line.clone(), served.flow, served.response.clone()));
                }
                Some(Due::GiveUp) => {
                    served.retry = None;
                    tell(
                        json!({"event": "ack_missing", "line": served.line, "sip_call_id": served.call_id}),
                    );
                }
                Some(Due::Nothing) | None => {}
            }
        }
        for (line, flow, bytes) in again {
            self.send(&line, flow, &bytes);
        }
        self.served.retain(|served| served.retry.is_some() || now < served.since + LINGER);
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Answer { call } => drop(self.answer(&call)),
            Timer::Hear { id, from, hear } => {
                let window = Duration::from_millis(hear.window_ms);
                match self.calls.get(&hear.call) {
                    Some(call) => {
                        let heard = call.media.heard(from, window, &hear.tones_hz);
                        tell(
                            json!({"event": "heard", "id": id, "call": hear.call, "heard": heard}),
                        );
                    }
                    None => tell(
                        json!({"event": "error", "id": id, "error": "the call ended while listening"}),
                    ),
                }
            }
            Timer::Listen { id, until, listen } => self.listen(now, id, until, listen),
            Timer::Delay(measurement) => self.measure(now, measurement),
        }
    }

    fn listen(&mut self, now: Instant, id: u64, until: Instant, listen: ListenFor) {
        let Some(call) = self.calls.get(&listen.call) else {
            tell(json!({"event": "error", "id": id, "error": "the call ended while listening"}));
            return;
        };
        let window = Duration::from_millis(listen.window_ms);
        let tones: Vec<f64> = listen.present_hz.iter().chain(&listen.absent_hz).copied().collect();
        let heard = call.media.heard(now.checked_sub(window).unwrap_or(now), window, &tones);
        let matched = matches(&heard, listen.present_hz.len());
        if matched || now >= until {
            let event = json!({"event": "heard", "id": id, "call": listen.call, "matched": matched, "heard": heard});
            tell(event);
        } else {
            let again = now + Duration::from_millis(50);
            self.timers.push((again, Timer::Listen { id, until, listen }));
        }
    }

    /// One step: takes the result of the last burst and starts the next.
    fn measure(&mut self, now: Instant, mut measurement: Measurement) {
        let (Some(from), Some(to)) =
            (self.calls.get(&measurement.from), self.calls.get(&measurement.to))
        else {
            let id = measurement.id;
            tell(json!({"event": "error", "id": id, "error": "a call ended while measuring"}));
            return;
        };
        if let Some(started) = from.media.burst_started() {
            match to.media.onset(started) {
                Some(heard) => {
                    measurement.delays_ms.push((heard - started).as_secs_f64() * 1000.0);
                }
                None => measurement.missed += 1,
            }
        }
        if measurement.bursts_left == 0 {
            measurement.delays_ms.sort_by(f64::total_cmp);
            let delays = &measurement.delays_ms;
            let median = delays.get(delays.len() / 2);
            tell(json!({
                "event": "delay", "id": measurement.id, "median_ms": median,
                "max_ms": delays.last(), "delays_ms": delays, "missed": measurement.missed,
            }));
            return;
        }
        measurement.bursts_left -= 1;
        from.media.burst();
        self.timers.push((now + BURST_PAUSE, Timer::Delay(measurement)));
    }

    // ---- orders ----

    /// `Ok(false)`: the answer comes later, under the same id.
    fn obey(&mut self, id: u64, command: Command) -> Result<bool, String> {
        let now = Instant::now();
        match command {
            Command::Open { line, bind, behaviour } => self.open(id, line, bind, behaviour)?,
            Command::Behave { line, behaviour } => self.line(&line)?.behaviour = behaviour,
            Command::Trouble { line, trouble } => self.line(&line)?.trouble = trouble,
            Command::Call(dial) => self.dial(dial, None)?,
            Command::Answer { call } => self.answer(&call)?,
            Command::Reject { call, status } => self.reject(&call, status, Parts::default())?,
            Command::Hangup { call } => self.hang_up(&call)?,
            Command::Play { call, tones_hz, level_db } => {
                self.call(&call)?.media.play(&tones_hz, level_db);
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
            Command::Refer { call, to } => {
                let referrer = sip::uri(&self.call(&call)?.local).unwrap_or_default();
                let parts = vec![
                    ("Refer-To".to_owned(), format!("<{to}>")),
                    ("Referred-By".to_owned(), format!("<{referrer}>")),
                ];
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

    fn open(&mut self, id: u64, line: String, bind: SocketAddr, behaviour: Behaviour) -> Outcome {
        let sockets =
            Sockets::open(&line, bind, self.inputs.clone()).map_err(|error| error.to_string())?;
        let address = sockets.address().to_string();
        let uri = format!("sip:{line}@{address}");
        tell(json!({"event": "opened", "id": id, "line": line, "address": address, "uri": uri}));
        self.lines
            .insert(line, Line { sockets, behaviour, trouble: Trouble::default(), incoming: 0 });
        Ok(())
    }

    fn dial(&mut self, dial: Dial, referred_by: Option<String>) -> Outcome {
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
        };
        let mut parts = call.parts(Method::Invite, &branch);
        for (name, value) in &dial.headers {
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

    fn media(
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

    fn answer(&mut self, name: &str) -> Outcome {
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
                let line = call.line.clone();
                let parts = Parts::default().with("Contact", contact).with("Allow", ALLOW).sdp(sdp);
                self.respond(&line, flow, &invite, 200, &tag, parts);
                tell(json!({"event": "answered", "call": name, "line": line, "codec": codec}));
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

    fn reject(&mut self, name: &str, status: u16, parts: Parts) -> Outcome {
        let call = self.call(name)?;
        let Stage::Ringing { invite, flow } = std::mem::replace(&mut call.stage, Stage::Up) else {
            return Err(format!("{name} does not ring"));
        };
        let (line, tag) = (call.line.clone(), call.local_tag());
        self.respond(&line, flow, &invite, status, &tag, parts);
        self.calls.remove(name);
        Ok(())
    }

    fn hang_up(&mut self, name: &str) -> Outcome {
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
    fn cancel(&mut self, name: &str) -> Outcome {
        let call = self.call(name)?;
        let Stage::Calling { branch, cancel, .. } = &mut call.stage else { return Ok(()) };
        *cancel = Cancel::Sent;
        let branch = branch.clone();
        let parts = call.parts(Method::Cancel, &branch);
        let bytes = sip::request(Method::Cancel, &call.target, parts)?;
        self.launch_for(name, Method::Cancel, Purpose::Cancel, branch, bytes);
        Ok(())
    }

    fn move_source(&mut self, name: &str) -> Outcome {
        self.call(name)?.media.move_source().map_err(|error| error.to_string())
    }

    fn hold(&mut self, name: &str, how: HoldStyle, method: OfferMethod) -> Outcome {
        let session = &mut self.begin_offer(name)?.session;
        match how {
            HoldStyle::Sendonly => session.direction = Direction::Sendonly,
            HoldStyle::Inactive => session.direction = Direction::Inactive,
            HoldStyle::Zero => session.zero = true,
        }
        self.offer(name, method, false)
    }

    fn reinvite(
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
    fn begin_offer(&mut self, name: &str) -> Result<&mut Call, String> {
        let call = self.call(name)?;
        if call.offering {
            return Err("an offer is out already".to_owned());
        }
        call.before_offer = Some(call.session.clone());
        Ok(call)
    }

    fn offer(&mut self, name: &str, method: OfferMethod, late: bool) -> Outcome {
        let call = self.call(name)?;
        let body = if late { None } else { Some(("application/sdp".to_owned(), call.offer())) };
        let method = match method {
            OfferMethod::Invite => Method::Invite,
            OfferMethod::Update => Method::Update,
        };
        self.request_in_dialog(name, method, Purpose::Offer, Vec::new(), body)
    }

    fn dial_digits(&mut self, name: &str, digits: &str, via: DigitPath, ms: u32) -> Outcome {
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

    fn options(&mut self, line: &str, to: &str, transport: Transport) -> Outcome {
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

    // ---- requests of ours ----

    fn request_in_dialog(
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

    fn launch_for(
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

    fn launch(
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

    fn transact(&mut self, client: Client) {
        let (line, flow, bytes) = (client.line.clone(), client.flow, client.bytes.clone());
        self.clients.push(client);
        self.send(&line, flow, &bytes);
    }

    fn send(&mut self, line: &str, flow: Flow, bytes: &[u8]) {
        let Some(line) = self.lines.get(line) else { return };
        for _ in 0..=line.trouble.repeat {
            if let Err(error) = line.sockets.send(flow, bytes) {
                tell(
                    json!({"event": "transport_error", "peer": flow.peer.to_string(), "error": error.to_string()}),
                );
            }
        }
    }

    // ---- messages of theirs ----

    fn handle_message(&mut self, line: &str, flow: Flow, bytes: &[u8]) {
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
    fn object(error: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        tell(json!({"event": "sip_error", "error": error, "message": text}));
    }

    fn handle_response(&mut self, response: &Response) -> Option<()> {
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

    fn acknowledge(&mut self, line: &str, flow: Flow, ack: &[u8], status: u16) {
        if let Some(line) = self.lines.get_mut(line)
            && status < 300
            && line.trouble.lose_acks > 0
        {
            line.trouble.lose_acks -= 1;
            return;
        }
        self.send(line, flow, ack);
    }

    fn progress(&mut self, name: &str, response: &Response) {
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
    fn conclude_request(
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

    fn tell_offer(
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
    fn make_ack(
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

    fn connected(&mut self, name: &str) {
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
    fn notify(&mut self, name: &str, status: u16, last: bool) {
        let state = if last { "terminated;reason=noresource" } else { "active;expires=60" };
        let fields = vec![
            ("Event".to_owned(), "refer".to_owned()),
            ("Subscription-State".to_owned(), state.to_owned()),
        ];
        let body = format!("SIP/2.0 {status} Status\r\n");
        let body = Some(("message/sipfrag;version=2.0".to_owned(), body));
        drop(self.request_in_dialog(name, Method::Notify, Purpose::Notify, fields, body));
    }

    // ---- requests of theirs ----

    fn handle_request(&mut self, line: &str, flow: Flow, request: &Request) -> Option<()> {
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

    fn handle_ack(&mut self, line: &str, call_id: &str, number: u32, body: &[u8]) {
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

    fn handle_invite(&mut self, line: &str, flow: Flow, request: &Request) -> Option<()> {
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
        };
        call.learn(&request.headers, false);
        self.calls.insert(name.clone(), call);
        tell(json!({"event": "incoming", "line": line, "call": name, "from": from, "to": to,
            "uri": request.uri.to_string(), "offer": !request.body.is_empty(),
            "referred_by": sip::value(&request.headers, "Referred-By")}));
        self.react(line, flow, request, &name, &behaviour);
        Some(())
    }

    fn react(
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

    fn early_media(&mut self, name: &str, contact: &str) {
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

    fn handle_cancel(&mut self, line: &str, flow: Flow, request: &Request, call: Option<String>) {
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

    fn handle_in_dialog(&mut self, name: &str, flow: Flow, request: &Request, number: u32) {
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
    fn handle_offer(&mut self, name: &str, flow: Flow, request: &Request) {
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

    fn handle_refer(&mut self, name: &str, flow: Flow, request: &Request) {
        let Some(call) = self.calls.get(name) else { return };
        let (line, tag) = (call.line.clone(), call.local_tag());
        let (choice, tones_hz) = (call.behaviour.on_refer, call.tones_hz.clone());
        let target = sip::value(&request.headers, "Refer-To").and_then(|value| sip::uri(&value));
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
                    headers: Vec::new(),
                };
                if let Err(error) = self.dial(dial, Some(name.to_owned())) {
                    tell(json!({"event": "failed", "call": name, "error": error}));
                    self.notify(name, 503, true);
                }
            }
        }
    }

    fn respond(
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

    // ---- small things ----

    fn line(&mut self, name: &str) -> Result<&mut Line, String> {
        self.lines.get_mut(name).ok_or_else(|| format!("no line {name}"))
    }

    fn call(&mut self, name: &str) -> Result<&mut Call, String> {
        self.calls.get_mut(name).ok_or_else(|| format!("no call {name}"))
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.random.token())
    }
}

/// Where a request of this dialog goes: the first route, else the target, else where it came from.
fn next_hop(call: &Call) -> Flow {
    if call.flow.transport == Transport::Tcp {
        return call.flow;
    }
    let hop = call.routes.first().and_then(|route| sip::uri(route));
    let hop = hop.as_deref().unwrap_or(&call.target);
    match sip::address(hop) {
        Some((peer, true)) => Flow { transport: Transport::Tcp, peer },
        Some((peer, false)) => Flow { transport: Transport::Udp, peer },
        None => call.flow,
    }
}

/// The first `present` tones must be there, the others not.
fn matches(heard: &Heard, present: usize) -> bool {
    heard.tones.iter().enumerate().all(|(index, tone)| tone.present == (index < present))
}

fn codecs_named(names: &[String]) -> Result<Vec<Codec>, String> {
    names.iter().map(|name| Codec::named(name).ok_or_else(|| format!("no codec {name}"))).collect()
}

/// One telephone-event for each RTP clock (RFC 4733 §2.6).
fn events_for(codecs: &[Codec]) -> Vec<(u8, u32)> {
    let mut rates: Vec<u32> = codecs.iter().map(|codec| codec.clock_rate).collect();
    rates.sort_unstable();
    rates.dedup();
    rates.into_iter().zip(101..).map(|(rate, number)| (number, rate)).collect()
}

/// One event to standard output.
fn tell(event: Value) {
    let mut output = std::io::stdout().lock();
    // A reader that went away is no reason to stop; standard input tells that soon.
    drop(writeln!(output, "{event}").and_then(|()| output.flush()));
}
