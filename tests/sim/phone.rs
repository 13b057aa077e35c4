//! A phone: an endpoint with a will of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mixer::codec::{Codec, Format, OpusOptions};
use plenary::sdp::{Direction, KeySeed, Local, Negotiation, SrtpPolicy};
use plenary::sip::Method;
use plenary::sip::dialog::DialogId;
use plenary::sip::digest::Account;
use plenary::sip::endpoint::{
    Endpoint, Event, Hunt, Invitation, Output, Packet, Query, ReferId, Rejection, SessionId,
    Settings, Text, Texted, Transmit,
};
use plenary::sip::headers::NameAddr;
use plenary::sip::status::StatusCode;
use plenary::sip::uri::Uri;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// One phone with any number of calls.
#[derive(Debug)]
pub struct Phone {
    pub address: SocketAddr,
    pub endpoint: Endpoint,
    calls: BTreeMap<SessionId, Negotiation>,
    /// Calls it will answer, at their time.
    ringing: BTreeMap<SessionId, Ringing>,
    /// Sessions with an offer of ours under way.
    offering: BTreeSet<SessionId>,
    /// It says so to who asks by OPTIONS.
    pub is_there: bool,
    /// Set by the endpoint's last drain.
    wake: Option<Instant>,
}

/// A call that is not answered yet.
#[derive(Debug)]
struct Ringing {
    until: Instant,
    negotiation: Negotiation,
    offer: Option<bytes::Bytes>,
    /// What was answered already, for early media.
    early: Option<bytes::Bytes>,
}

impl Phone {
    pub fn new(number: u8, seed: u64) -> Self {
        let ip = IpAddr::from([10, 0, 0, number]);
        Self {
            address: SocketAddr::new(ip, 5060),
            endpoint: Endpoint::new(sip(), seed, Box::new(ip)),
            calls: BTreeMap::new(),
            ringing: BTreeMap::new(),
            offering: BTreeSet::new(),
            is_there: true,
            wake: None,
        }
    }

    pub fn uri(&self) -> String {
        format!("sip:phone@{}", self.address)
    }

    /// Registers for ten minutes as one of the phones of a user.
    pub fn register(&mut self, now: Instant, (user, password): (&str, &str), q: &str) {
        let registrar = Uri::parse(b"sip:10.0.0.254").unwrap();
        let us = NameAddr::new(Uri::parse(format!("sip:{user}@10.0.0.254").as_bytes()).unwrap());
        let contact = format!("<{}>;q={q}", self.uri());
        let account = Account { username: user.to_owned(), password: password.to_owned() };
        let query = Query {
            method: Method::Register,
            target: registrar.into(),
            from: us.clone(),
            to: us,
            call: None,
            contact: None,
            headers: vec![("Contact".into(), contact), ("Expires".into(), "600".into())],
            body: None,
            account: Some(Arc::new(account)),
        };
        self.endpoint.ask(now, query);
    }

    /// Says something to a room, a user or a phone (RFC 3428).
    pub fn say(&mut self, now: Instant, target: &str) {
        let target = Uri::parse(target.as_bytes()).unwrap();
        let query = Query {
            method: Method::Message,
            target: target.clone().into(),
            from: NameAddr::new(Uri::parse(self.uri().as_bytes()).unwrap()),
            to: NameAddr::new(target),
            call: None,
            contact: None,
            headers: Vec::new(),
            body: Some(("text/plain".into(), WORDS)),
            account: None,
        };
        self.endpoint.ask(now, query);
    }

    /// A dialog of one of its calls, as the value of Replaces or Join to its far end.
    pub fn some_dialog(&self, dice: &mut ChaCha8Rng) -> Option<String> {
        let up = |session: &SessionId| self.endpoint.dialog_of(*session);
        let dialogs: Vec<_> = self.calls.keys().filter_map(up).collect();
        let picked = pick(dice, &dialogs.iter().collect::<Vec<_>>())?;
        let DialogId { call_id, local_tag, remote_tag } = picked;
        Some(format!("{call_id};to-tag={remote_tag};from-tag={local_tag}"))
    }

    /// Calls `target`, with an offer or asking for one.
    pub fn call(
        &mut self,
        now: Instant,
        (target, headers): (&str, Vec<(String, String)>),
        dice: &mut ChaCha8Rng,
    ) {
        let target = Uri::parse(target.as_bytes()).unwrap();
        let mut negotiation = self.negotiation(dice);
        let offer = (!one_in(dice, 8)).then(|| negotiation.offer(Direction::SendRecv));
        let from = NameAddr::new(Uri::parse(self.uri().as_bytes()).unwrap());
        let invitation = Invitation {
            to: NameAddr::new(target.clone()),
            targets: vec![vec![target.into()]],
            patience: None,
            from,
            offer,
            hunt: Hunt::Refused,
            account: None,
            headers,
            identity: None,
        };
        let session = self.endpoint.invite(now, invitation);
        self.calls.insert(session, negotiation);
    }

    /// Does something to one of its calls.
    pub fn fidget(&mut self, now: Instant, other: &str, dice: &mut ChaCha8Rng) {
        if one_in(dice, 3) {
            return self.update_early(now, dice);
        }
        let sessions: Vec<SessionId> = self.calls.keys().copied().collect();
        let Some(session) = pick(dice, &sessions) else { return };
        match dice.next_u32() % 8 {
            0 | 1 => self.hang_up(now, session),
            7 => {
                let content_type = "text/plain".to_owned();
                let text = Text { author: None, content_type, body: WORDS };
                self.endpoint.text(now, session, text);
            }
            6 => self.transfer_attended(now, session, dice),
            2 => self.offer(now, session, Direction::SendOnly),
            3 => self.offer(now, session, Direction::SendRecv),
            4 => {
                let target = Uri::parse(other.as_bytes()).unwrap();
                self.endpoint.refer(now, session, target, None);
            }
            _ => {
                let body = bytes::Bytes::from_static(b"Signal=5\r\nDuration=160\r\n");
                self.endpoint.info(now, session, "application/dtmf-relay", body);
            }
        }
    }

    /// Has two of its calls connected, or, as it happens, one with itself.
    fn transfer_attended(&mut self, now: Instant, session: SessionId, dice: &mut ChaCha8Rng) {
        let Some(dialog) = self.some_dialog(dice) else { return };
        let early_only = if one_in(dice, 8) { ";early-only" } else { "" };
        let target = Uri::parse(b"sip:us@10.0.0.254").unwrap();
        let target = target.with_header("Replaces", &format!("{dialog}{early_only}"));
        self.endpoint.refer(now, session, target, None);
    }

    /// Changes its mind before it answers, where its early media has arrived (RFC 3311).
    fn update_early(&mut self, now: Instant, dice: &mut ChaCha8Rng) {
        let sessions: Vec<SessionId> = self.ringing.keys().copied().collect();
        let Some(session) = pick(dice, &sessions) else { return };
        let Some(negotiation) = self.negotiation_of(session) else { return };
        let before = negotiation.clone();
        let offer = negotiation.offer(Direction::SendOnly);
        if self.endpoint.update(now, session, offer).is_err()
            && let Some(negotiation) = self.negotiation_of(session)
        {
            *negotiation = before;
        }
    }

    fn negotiation_of(&mut self, session: SessionId) -> Option<&mut Negotiation> {
        let ringing = self.ringing.get_mut(&session).map(|ringing| &mut ringing.negotiation);
        self.calls.get_mut(&session).or(ringing)
    }

    fn offer(&mut self, now: Instant, session: SessionId, direction: Direction) {
        let Some(negotiation) = self.calls.get_mut(&session) else { return };
        if !self.offering.contains(&session) {
            let offer = negotiation.offer(direction);
            if self.endpoint.reinvite(now, session, Some(offer)).is_ok() {
                self.offering.insert(session);
            } else {
                negotiation.abandon();
            }
        }
    }

    fn hang_up(&mut self, now: Instant, session: SessionId) {
        self.calls.remove(&session);
        self.endpoint.hang_up(now, session, None);
    }

    pub fn hang_up_all(&mut self, now: Instant) {
        let ringing = std::mem::take(&mut self.ringing);
        for session in self.calls.keys().copied().chain(ringing.into_keys()).collect::<Vec<_>>() {
            self.hang_up(now, session);
        }
    }

    pub fn receive(&mut self, now: Instant, packet: Packet) {
        self.endpoint.handle_packet(now, packet);
    }

    /// When it wants to act or be woken.
    pub fn deadline(&self) -> Option<Instant> {
        let answer = self.ringing.values().map(|ringing| ringing.until).min();
        answer.into_iter().chain(self.wake).min()
    }

    pub fn wake(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        let due = |(_, ringing): &(&SessionId, &Ringing)| ringing.until <= now;
        let due: Vec<SessionId> = self.ringing.iter().filter(due).map(|(id, _)| *id).collect();
        for session in due {
            let Some(Ringing { mut negotiation, offer, early, .. }) = self.ringing.remove(&session)
            else {
                continue;
            };
            if let Some(early) = early {
                self.endpoint.answer(now, session, early);
                self.calls.insert(session, negotiation);
                continue;
            }
            let sdp = match offer.map(|offer| negotiation.answer(&offer, Direction::SendRecv)) {
                Some(Ok((answer, _))) => answer,
                Some(Err(_)) => {
                    let status = StatusCode::new(488).unwrap();
                    self.endpoint.reject(now, session, Rejection::new(status));
                    continue;
                }
                None => negotiation.offer(Direction::SendRecv),
            };
            self.endpoint.answer(now, session, sdp);
            self.calls.insert(session, negotiation);
        }
    }

    /// What it sends after its last input.
    pub fn drain(&mut self, now: Instant, dice: &mut ChaCha8Rng) -> Vec<Transmit> {
        let mut sent = Vec::new();
        loop {
            match self.endpoint.poll_output() {
                Output::Transmit(transmit) => sent.push(transmit),
                Output::Event(event) => self.hear(now, event, dice),
                Output::Resolve(_) => {}
                Output::WaitUntil(at) => {
                    self.wake = at;
                    return sent;
                }
            }
        }
    }

    fn hear(&mut self, now: Instant, event: Event, dice: &mut ChaCha8Rng) {
        match event {
            Event::Invited(invited) => self.rung(now, invited.session, invited.offer, dice),
            Event::Answered { session, sdp, .. } => {
                let Some(negotiation) = self.calls.get_mut(&session) else { return };
                let Some(sdp) = sdp else { return };
                if negotiation.conclude(&sdp).is_err() {
                    // We asked for an offer: this is it.
                    match negotiation.answer(&sdp, Direction::SendRecv) {
                        Ok((answer, _)) => self.endpoint.acknowledge(now, session, answer),
                        Err(_) => self.hang_up(now, session),
                    }
                }
            }
            Event::Reoffered { session, sdp, .. } => {
                let Some(negotiation) = self.negotiation_of(session) else { return };
                let answer = match sdp {
                    Some(sdp) => negotiation.answer(&sdp, Direction::SendRecv).map(|(sdp, _)| sdp),
                    None => Ok(negotiation.offer(Direction::SendRecv)),
                };
                let answer = answer.map_err(|_| StatusCode::new(488).unwrap());
                self.endpoint.answer_offer(now, session, answer);
            }
            Event::ReofferAnswered { session, sdp } => {
                self.offering.remove(&session);
                if let (Some(negotiation), Some(sdp)) = (self.negotiation_of(session), sdp) {
                    let _plan = negotiation.conclude(&sdp);
                }
            }
            Event::ReofferFailed { session, .. } | Event::ReofferCancelled { session } => {
                self.offering.remove(&session);
                if let Some(negotiation) = self.negotiation_of(session) {
                    negotiation.abandon();
                }
            }
            Event::Acknowledged { session, sdp } => {
                if let (Some(negotiation), Some(sdp)) = (self.calls.get_mut(&session), sdp) {
                    let _plan = negotiation.conclude(&sdp);
                }
            }
            Event::Referred(referred) => self.referred(now, referred.refer, dice),
            Event::Cancelled { session }
            | Event::Failed { session, .. }
            | Event::Ended { session, .. } => {
                self.calls.remove(&session);
                self.ringing.remove(&session);
                self.offering.remove(&session);
            }
            Event::Options(options) if self.is_there => {
                self.endpoint.answer_options(now, options.options, Ok(None));
            }
            Event::Texted(texted) => self.told(now, &texted, dice),
            Event::Progress { .. }
            | Event::Refreshed { .. }
            | Event::ReferAnswered { .. }
            | Event::ReferProgress { .. }
            | Event::Registering(_)
            | Event::Publishing(_)
            | Event::Options(_)
            | Event::TextAnswered { .. }
            | Event::Subscribing(_)
            | Event::NotifyDue { .. }
            | Event::Unsubscribed { .. }
            | Event::Replied { .. }
            | Event::Info { .. } => {}
        }
    }

    /// Somebody calls: busy, decline, never answer, or ring and answer.
    fn rung(
        &mut self,
        now: Instant,
        session: SessionId,
        offer: Option<bytes::Bytes>,
        dice: &mut ChaCha8Rng,
    ) {
        match dice.next_u32() % 8 {
            0 => self.reject(now, session, 486),
            1 => self.reject(now, session, 603),
            2 => {} // rings for ever
            _ => {
                self.endpoint.ring(now, session, StatusCode::new(180).unwrap(), None);
                let until = now + Duration::from_millis(u64::from(dice.next_u32() % 6000));
                let mut negotiation = self.negotiation(dice);
                let early = match &offer {
                    Some(offer) if one_in(dice, 2) => negotiation
                        .answer(offer, Direction::SendRecv)
                        .ok()
                        .map(|(answer, _)| answer),
                    _ => None,
                };
                if early.is_some() {
                    let status = StatusCode::new(183).unwrap();
                    self.endpoint.ring(now, session, status, early.clone());
                }
                self.ringing.insert(session, Ringing { until, negotiation, offer, early });
            }
        }
    }

    /// Somebody says something: it is shown, or nobody wants to hear it.
    fn told(&mut self, now: Instant, texted: &Texted, dice: &mut ChaCha8Rng) {
        let refusal = StatusCode::new(480).unwrap();
        let answer = if one_in(dice, 4) { Err(refusal.into()) } else { Ok(StatusCode::OK) };
        self.endpoint.answer_text(now, texted.text, answer);
    }

    fn reject(&mut self, now: Instant, session: SessionId, status: u16) {
        let status = StatusCode::new(status).unwrap();
        self.endpoint.reject(now, session, Rejection::new(status));
    }

    /// Asked to call somebody: refuses, fails, succeeds, or says nothing more.
    fn referred(&mut self, now: Instant, refer: ReferId, dice: &mut ChaCha8Rng) {
        let status = |code: u16| StatusCode::new(code).unwrap();
        let (answer, outcome) = match dice.next_u32() % 4 {
            0 => (603, None),
            1 => (202, Some(486)),
            2 => (202, Some(200)),
            _ => (202, None),
        };
        self.endpoint.answer_refer(now, refer, status(answer));
        if answer == 202 {
            self.endpoint.notify_refer(now, refer, status(100), None);
        }
        if let Some(outcome) = outcome {
            self.endpoint.notify_refer(now, refer, status(outcome), None);
        }
    }

    fn negotiation(&self, dice: &mut ChaCha8Rng) -> Negotiation {
        let all =
            [Format::usual(Codec::Pcmu), Format::usual(Codec::Opus), Format::usual(Codec::G722)];
        let mut key_seed = KeySeed::default();
        dice.fill_bytes(&mut key_seed.0);
        let srtp = [SrtpPolicy::Off, SrtpPolicy::Offer][(dice.next_u32() % 2) as usize];
        Negotiation::new(Local {
            session_id: dice.next_u64(),
            address: self.address.ip(),
            rtp_port: 4000,
            codecs: vec![all[(dice.next_u32() % 3) as usize]],
            ptime: Duration::from_millis(20),
            csrc: true,
            comfort_noise: true,
            srtp,
            dtls: None,
            key_seed,
            opus: OpusOptions::USUAL,
        })
    }
}

const WORDS: bytes::Bytes = bytes::Bytes::from_static(b"hello");

/// Calls are refreshed each quarter of a minute, so that worlds of minutes have refreshes.
pub fn sip() -> Settings {
    let interval = Duration::from_secs(30);
    Settings { session_expires: interval, min_se: interval, ..Settings::default() }
}

pub fn one_in(dice: &mut ChaCha8Rng, n: u32) -> bool {
    dice.next_u32().is_multiple_of(n)
}

pub fn pick<T: Copy>(dice: &mut ChaCha8Rng, from: &[T]) -> Option<T> {
    let count = u32::try_from(from.len()).unwrap();
    (count > 0).then(|| from[(dice.next_u32() % count) as usize])
}
