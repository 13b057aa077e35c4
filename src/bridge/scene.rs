//! The whole bridge in virtual time for tests: phones are lines of text, the media threads exist in name only.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use api::control::{self, ControlError, Reply};
use api::event::Happened;

use super::{Bridge, Clock, Input, Output, Settings};
use crate::media::command::{Command, Event};
use crate::sip::endpoint::{self, Packet};
use crate::sip::transport::Transport;

/// A bridge, its media threads in name only, and what it sent since the last input.
pub(super) struct Scene {
    pub(super) now: Instant,
    bridge: Bridge,
    pub(super) sent: Vec<String>,
    pub(super) happened: Vec<Happened>,
    pub(super) deadline: Option<Instant>,
    pub(super) has_drained: bool,
    /// Where media was sent to last.
    pub(super) remote: Option<SocketAddr>,
    ports: u16,
    pub(super) calls: u32,
    /// Where requests come from.
    pub(super) peer: SocketAddr,
    /// More header lines of the next requests, each with its end.
    pub(super) headers: String,
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
            deadline: None,
            has_drained: false,
            remote: None,
            ports: 10_000,
            calls: 0,
            peer: SocketAddr::from(([10, 0, 0, 1], 5060)),
            headers: String::new(),
        };
        scene.drain();
        scene
    }

    pub(super) fn input(&mut self, input: Input) {
        self.sent.clear();
        self.happened.clear();
        self.bridge.handle_input(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(sent) => {
                    self.sent.push(String::from_utf8_lossy(&sent.bytes).into_owned());
                }
                Output::Media(command) => self.obey(&command),
                Output::Happened(happened) => self.happened.push(happened),
                Output::Drained => self.has_drained = true,
                Output::WaitUntil(at) => {
                    self.deadline = at;
                    return;
                }
                Output::Levels(_) | Output::Resolve { .. } => {}
            }
        }
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

    pub(super) fn request(&mut self, method: &str, name: &str, call: u32, to_tag: &str) -> String {
        let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0\r\n";
        let body = if method == "INVITE" { sdp } else { "" };
        let (length, headers) = (body.len(), &self.headers);
        let number = if method == "ACK" || to_tag.is_empty() { 1 } else { 2 };
        let text = format!(
            "{method} sip:{name}@10.0.0.254 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}{number}\r\n\
             From: <sip:phone@10.0.0.1>;tag=f{call}\r\nTo: <sip:{name}@10.0.0.254>{to_tag}\r\n\
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
