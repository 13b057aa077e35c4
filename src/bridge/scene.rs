//! The whole bridge in virtual time for tests: phones are lines of text, the media threads exist in name only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::archive::{Change, Record, StoreFailure};
use api::control::{self, ControlError, Reply};
use api::event::{EventType, Happened};
use api::model::{CallParty, CreateCall, EarlyMedia, Leg, LegId};

use super::{
    Bridge, ChangeId, Clock, ConversionId, Input, Output, Settings, TrunkGateway, TrunkLimits,
    TrunkRules, TrunkSettings,
};
use crate::media::command::{Command, Event};
use crate::sip::Uri;
use crate::sip::endpoint::{self, Packet};
use crate::sip::transport::Transport;

/// A bridge, its media threads in name only, and what it sent since the last input.
pub(super) struct Scene {
    pub(super) now: Instant,
    bridge: Bridge,
    pub(super) sent: Vec<String>,
    pub(super) happened: Vec<Happened>,
    /// What endpoints were asked since the last input.
    /// Callers whose names were asked for.
    pub(super) looked_up: Vec<(LegId, String)>,
    pub(super) asked: Vec<super::Question>,
    pub(super) deadline: Option<Instant>,
    pub(super) has_drained: bool,
    /// What the media threads were told since the last input.
    pub(super) told: Vec<Command>,
    /// Where media was sent to last.
    pub(super) remote: Option<SocketAddr>,
    ports: u16,
    pub(super) calls: u32,
    /// Where requests come from.
    pub(super) peer: SocketAddr,
    /// More header lines of the next requests, each with its end.
    pub(super) headers: String,
    /// What the store was told.
    pub(super) stored: Vec<Change>,
    pub(super) store: Disk,
    /// Uploads that are to be converted, and their files.
    pub(super) conversions: Vec<(ConversionId, String)>,
    /// Files that are to be removed.
    pub(super) discarded: Vec<String>,
    /// What is to be remembered.
    pub(super) records: Vec<Record>,
    /// Changes that the store has not answered.
    hanging: Vec<ChangeId>,
    /// What the recorder was told since the last input.
    pub(super) recorder: Vec<crate::recorder::order::Order>,
    /// From of requests outside of dialogs, without its tag.
    pub(super) from: &'static str,
}

/// How the store fares.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Disk {
    Works,
    Fails,
    /// It does not answer.
    Hangs,
}

impl Scene {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    pub(super) fn new(settings: Settings) -> Self {
        let now = Instant::now();
        let clock = Clock { instant: now, wall: "2026-01-01T00:00:00Z".parse().unwrap() };
        let ip = IpAddr::from([10, 0, 0, 254]);
        let endpoint = endpoint::Settings::default();
        let bridge = Bridge::new(settings, endpoint, clock, [1; 32], Arc::new(ip));
        let mut scene = Self {
            now,
            bridge,
            sent: Vec::new(),
            happened: Vec::new(),
            asked: Vec::new(),
            looked_up: Vec::new(),
            deadline: None,
            has_drained: false,
            told: Vec::new(),
            remote: None,
            ports: 10_000,
            calls: 0,
            peer: SocketAddr::from(([10, 0, 0, 1], 5060)),
            headers: String::new(),
            stored: Vec::new(),
            store: Disk::Works,
            conversions: Vec::new(),
            discarded: Vec::new(),
            records: Vec::new(),
            recorder: Vec::new(),
            hanging: Vec::new(),
            from: "<sip:phone@10.0.0.1>",
        };
        scene.drain();
        scene
    }

    pub(super) fn input(&mut self, input: Input) {
        self.sent.clear();
        self.happened.clear();
        self.asked.clear();
        self.looked_up.clear();
        self.told.clear();
        self.recorder.clear();
        self.bridge.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(sent) => {
                    self.sent.push(String::from_utf8_lossy(&sent.bytes).into_owned());
                }
                Output::Media(command) => {
                    self.obey(&command);
                    self.told.push(command);
                }
                Output::Happened(happened) => self.happened.push(happened),
                Output::Store(id, change) => self.write(id, change),
                Output::Record(record) => self.records.push(record),
                Output::Drained => self.has_drained = true,
                Output::WaitUntil(at) => {
                    self.deadline = at;
                    return;
                }
                Output::Ask(question) => self.asked.push(*question),
                Output::LookUp { leg, number } => self.looked_up.push((leg, number)),
                Output::Convert { id, file, .. } => self.conversions.push((id, file)),
                Output::Discard(file) => self.discarded.push(file),
                Output::Recorder(order) => self.recorder.push(order),
                Output::Levels(_) | Output::Capture(_) | Output::Resolve { .. } => {}
            }
        }
    }

    fn write(&mut self, id: ChangeId, change: Change) {
        let answer = match self.store {
            Disk::Works => {
                self.stored.push(change);
                Ok(())
            }
            Disk::Fails => Err(StoreFailure::Unavailable("no space left".to_owned())),
            Disk::Hangs => {
                self.hanging.push(id);
                return self.stored.push(change);
            }
        };
        self.bridge.handle_input(self.now, Input::Stored(id, answer));
    }

    /// Ports are bound at once, and closed at once.
    fn obey(&mut self, command: &Command) {
        if let Command::Open { leg, .. } = *command {
            self.ports += 2;
            self.media(Event::Opened { leg, rtp_port: self.ports });
        } else if let Command::Close { leg } = *command {
            self.media(Event::Closed { leg });
        } else if let Command::Configure { stream, .. } = command {
            self.remote = Some(stream.remote);
        }
    }

    fn media(&mut self, event: Event) {
        self.bridge.handle_input(self.now, Input::Media(event));
    }

    /// The answer to a call to this name.
    pub(super) fn call(&mut self, name: &str) -> String {
        self.calls += 1;
        self.request("INVITE", name, self.calls, "")
    }

    /// The answer to a call with this offer.
    pub(super) fn invite(&mut self, name: &str, offer: &str) -> String {
        self.calls += 1;
        self.request_with("INVITE", name, (self.calls, ""), offer)
    }

    pub(super) fn request(&mut self, method: &str, name: &str, call: u32, to_tag: &str) -> String {
        let body = if method == "INVITE" { SDP } else { "" };
        self.request_with(method, name, (call, to_tag), body)
    }

    fn request_with(
        &mut self,
        method: &str,
        name: &str,
        (call, to_tag): (u32, &str),
        body: &str,
    ) -> String {
        let (length, headers, from) = (body.len(), &self.headers, self.from);
        let number = if method == "ACK" || to_tag.is_empty() { 1 } else { 2 };
        let text = format!(
            "{method} sip:{name}@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}{number}\r\n\
             From: {from};tag=f{call}\r\nTo: <sip:{name}@10.0.0.254>{to_tag}\r\n\
             Call-ID: call{call}@10.0.0.1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:phone@10.0.0.1:5060>\r\n{headers}Content-Type: application/sdp\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        self.say(text);
        self.sent.last().cloned().unwrap_or_default()
    }

    /// Takes a message from the phone.
    pub(super) fn say(&mut self, text: String) {
        self.input(Input::Packet(Packet {
            transport: Transport::Udp,
            peer: self.peer,
            local: "10.0.0.254:5060".parse().unwrap(),
            bytes: text.into_bytes().into(),
        }));
    }

    pub(super) fn ask<T>(
        &mut self,
        command: impl FnOnce(Reply<T>) -> control::Command,
    ) -> Result<T, ControlError> {
        let (reply, mut answer) = Reply::channel();
        self.input(Input::Command(command(reply)));
        answer.try_recv().unwrap_or(Err(ControlError::Stopping))
    }
}

impl Scene {
    /// The store says that it has what it hung on.
    pub(super) fn answer_store(&mut self) {
        for id in std::mem::take(&mut self.hanging) {
            self.input(Input::Stored(id, Ok(())));
        }
    }
}

/// What scripted phones of transfers need.
impl Scene {
    /// Of what was sent since the last input, the first message that starts so.
    pub(super) fn sent(&self, start: &str) -> &str {
        let found = self.sent.iter().find(|sent| sent.starts_with(start));
        found.unwrap_or_else(|| panic!("expected {start}, found {:#?}", self.sent))
    }

    pub(super) fn has_sent(&self, start: &str) -> bool {
        self.sent.iter().any(|sent| sent.starts_with(start))
    }

    /// The names of what happened since the last input.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.happened.iter().map(|event| event.kind.as_str()).collect()
    }

    /// What the first event of this name since the last input tells.
    pub(super) fn told(&self, name: &str) -> serde_json::Value {
        let event = self.happened.iter().find(|event| event.kind.as_str() == name);
        let event = event.unwrap_or_else(|| panic!("no {name} among {:?}", self.names()));
        event.data.read().unwrap()
    }

    /// A phone calls, is answered and acknowledges; gives its dialog as we hold it, and its leg.
    pub(super) fn joined(&mut self, name: &str) -> Talk {
        let answer = self.call(name);
        self.acknowledged(&answer)
    }

    /// The phone that called last acknowledges this answer; gives its dialog as we hold it, and its leg.
    pub(super) fn acknowledged(&mut self, answer: &str) -> Talk {
        let number = self.calls;
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let leg = self.happened.iter().find_map(|event| event.leg).unwrap();
        let talk = Talk {
            call_id: format!("call{number}@10.0.0.1"),
            ours: tag(header(answer, "To")).to_owned(),
            theirs: format!("f{number}"),
            leg,
        };
        self.request("ACK", "us", number, &format!(";tag={}", talk.ours));
        talk
    }

    /// We are asked for a call of two phones, which both answer.
    pub(super) fn connected(&mut self, [first, second]: [&str; 2]) -> [Talk; 2] {
        let to =
            |user: &str| CallParty { to: format!("sip:{user}@10.0.0.1"), from: None, trunk: None };
        let body = CreateCall { legs: vec![to(first), to(second)], timeout_s: None };
        self.ask(|reply| control::Command::CreateCall { body, reply }).unwrap();
        [first, second].map(|user| self.answered(user))
    }

    /// The phone of this user answers the INVITE that was just sent to it.
    pub(super) fn answered(&mut self, user: &str) -> Talk {
        let invite = self.sent(&format!("INVITE sip:{user}@")).to_owned();
        self.say(response(&invite, (200, user), SDP));
        let leg = self.happened.iter().find(|event| event.kind == EventType::LegAnswered);
        Talk {
            call_id: header(&invite, "Call-ID").to_owned(),
            ours: tag(header(&invite, "From")).to_owned(),
            theirs: user.to_owned(),
            leg: leg.and_then(|event| event.leg).unwrap(),
        }
    }

    /// A phone sends a request within its dialog.
    pub(super) fn within(&mut self, talk: &Talk, request: (&str, u32), headers: &str) {
        self.within_with(talk, request, headers, "");
    }

    fn within_with(
        &mut self,
        talk: &Talk,
        (method, number): (&str, u32),
        headers: &str,
        body: &str,
    ) {
        let length = body.len();
        let Talk { call_id, ours, theirs, .. } = talk;
        self.say(format!(
            "{method} sip:us@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{theirs}{number}\r\n\
             From: <sip:{theirs}@10.0.0.1>;tag={theirs}\r\nTo: <sip:us@10.0.0.254>;tag={ours}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
             Contact: <sip:{theirs}@10.0.0.1:5060>\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
    }

    /// A phone offers something else by re-INVITE.
    pub(super) fn reinvite(&mut self, talk: &Talk, offer: &str) {
        self.within_with(talk, ("INVITE", 20), "Content-Type: application/sdp\r\n", offer);
        self.within(talk, ("ACK", 20), "");
    }

    /// A phone sends INFO of a key.
    pub(super) fn pressed(&mut self, talk: &Talk, body: &str) {
        self.within_with(talk, ("INFO", 30), "Content-Type: application/dtmf-relay\r\n", body);
    }

    pub(super) fn bridge(&mut self) -> &mut Bridge {
        &mut self.bridge
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.input(Input::Timeout);
    }

    pub(super) fn bridge_leg(&mut self, leg: LegId) -> &mut super::leg::Leg {
        self.bridge.legs.get_mut(&leg).unwrap()
    }

    pub(super) fn leg(&mut self, leg: LegId) -> Leg {
        self.ask(|reply| control::Command::Leg { leg, reply }).unwrap()
    }
}

/// A dialog between a phone and us.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    pub(super) call_id: String,
    pub(super) ours: String,
    pub(super) theirs: String,
    pub(super) leg: LegId,
}

impl Talk {
    /// As the value of Replaces or Join to us.
    pub(super) fn named(&self) -> String {
        let Self { call_id, ours, theirs, .. } = self;
        format!("{call_id};to-tag={ours};from-tag={theirs}")
    }
}

/// A trunk that is not watched, and neither limits nor changes anything.
pub(super) fn trunk(name: &str, gateway: &str) -> TrunkSettings {
    let uri = Uri::parse(gateway.as_bytes()).unwrap();
    TrunkSettings {
        name: name.to_owned(),
        gateways: vec![TrunkGateway { uri, priority: 0, weight: 1 }],
        account: None,
        registers: false,
        expires: Duration::from_hours(1),
        from: Some(Uri::parse(b"sip:+4930@us.example").unwrap()),
        networks: Vec::new(),
        room: None,
        check: Duration::ZERO,
        max_calls: 10,
        prefixes: Vec::new(),
        early_media: EarlyMedia::default(),
        rules: TrunkRules::default(),
        limits: TrunkLimits::default(),
    }
}

/// What a phone answers to a request of ours.
pub(super) fn response(request: &str, (status, tag): (u16, &str), body: &str) -> String {
    let [via, from, to, call_id, cseq] =
        ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(request, name));
    let tag = if to.contains(";tag=") { String::new() } else { format!(";tag={tag}") };
    let length = body.len();
    format!(
        "SIP/2.0 {status} Said\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}{tag}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq}\r\nContact: <sip:phone@10.0.0.1>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

pub(super) fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn tag(address: &str) -> &str {
    address.split_once(";tag=").map(|(_, tag)| tag).unwrap()
}

pub(super) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                              m=audio 4000 RTP/AVP 0\r\n";
