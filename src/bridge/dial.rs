//! Calling out: from "dial this" to the INVITE, and what its answers mean.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::event::EventType;
use api::model::{CallId, Direction, LeftReason, LegId, SipFailure};
use bytes::Bytes;
use rand_core::Rng as _;
use serde_json::json;

use crate::media::command::Command;
use crate::sip::Message;
use crate::sip::dialog::DialogId;
use crate::sip::digest::Account;
use crate::sip::endpoint::{Hunt, Invitation, Target};
use crate::sip::headers::NameAddr;
use crate::sip::locate::{self, Answer, Locator, Question, Wanted};
use crate::sip::transport::Transport;
use crate::sip::uri::Uri;

use super::gate::Gate;
use super::leg::{Caller, Controls, Dial, Leg, NamedBy, Stage, Texts, Web};
use super::policy::Infos;
use super::registrations::{Callee, Phone};
use super::room::reason_of;
use super::signal::{user_of, wire_name};
use super::trunks::Passage;
use super::{Bridge, MediaRules, Output, Place, ResolveId, SIP_PORT, Timer};
use crate::sip::endpoint::LocalAddress as _;

/// A leg to be made towards somebody.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) dial: Dial,
    pub(super) place: Place,
    pub(super) call: Option<CallId>,
    pub(super) display_name: Option<String>,
    pub(super) controls: Controls,
    pub(super) timeout: Duration,
}

/// Where a call goes, and as whom.
struct Way {
    /// All of a group at once.
    targets: Vec<Vec<Target>>,
    hunt: Hunt,
    from: NameAddr,
    account: Option<Arc<Account>>,
    headers: Vec<(String, String)>,
}

impl Bridge {
    /// Starts to call; the leg exists from now on, whatever becomes of it.
    pub(super) fn dial(&mut self, outbound: Outbound) -> LegId {
        let Outbound { dial, place, call, display_name, controls, timeout } = outbound;
        let wanted = Wanted::of_uri(&dial.target).unwrap_or_else(Wanted::nobody);
        let locator = Locator::new(wanted, self.endpoint.reach(), self.dice.next_u64());
        let stage = Stage::Resolving { dial: dial.clone(), locator: Box::new(locator) };
        let mut leg = self.new_leg(Direction::Outbound, place, stage);
        let id = leg.id;
        leg.call = call;
        leg.from = dial.from.to_string();
        leg.to = dial.target.to_string();
        leg.named_by = NamedBy::api(display_name.is_some());
        leg.display_name = display_name;
        leg.controls = controls;
        leg.media_rules = self.media_with(&dial);
        leg.rings_until = Some(self.now + timeout);
        let phones = match self.callee(&dial.target) {
            Callee::User(phones) if dial.trunk.is_none() => Some(phones),
            Callee::User(_) | Callee::Elsewhere => None,
        };
        leg.owner = phones.as_ref().and_then(|_| Some(dial.target.user_plain()?.into_owned()));
        self.add_leg(leg);
        self.set_timer(timeout, Timer::Ring(id));
        self.participant_happened(EventType::ParticipantDialing, id, json!({}));
        if let Some(trunk) = dial.trunk {
            self.note_trunk_leg(trunk, id, Direction::Outbound);
        }
        if let Some(phones) = phones {
            // Without a phone it comes to nothing once it is there: a leg never ends before it is told of.
            let us = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), SIP_PORT);
            self.resolved(id, Some(phones.first().map_or(us, |phone| phone.peer)));
        } else {
            self.look_up(id);
        }
        id
    }

    /// Media with whom a call goes to.
    fn media_with(&self, dial: &Dial) -> MediaRules {
        let rules = match dial.trunk {
            Some(trunk) => self.trunk_rules(trunk).map(|rules| &rules.media),
            None => match self.callee(&dial.target) {
                Callee::User(_) => self.user_media(&user_of(&dial.target)),
                Callee::Elsewhere => None,
            },
        };
        rules.cloned().unwrap_or_default()
    }

    /// Takes what DNS says of the host to call.
    pub(super) fn dns_answered(&mut self, id: LegId, question: &Question, answer: Answer) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Resolving { locator, .. } = &mut leg.stage else { return };
        locator.handle_answer(question, answer);
        self.look_up(id);
    }

    /// Asks for the servers of the host to call, or goes on when they are known.
    fn look_up(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Resolving { locator, .. } = &mut leg.stage else { return };
        let found = loop {
            match locator.poll_output() {
                locate::Output::Ask(question) => {
                    self.outputs.push_back(Output::Resolve { id: ResolveId::Leg(id), question });
                }
                locate::Output::Waiting => return,
                locate::Output::Found(found) => break found,
            }
        };
        self.resolved(id, found.first().map(|first| first.peer));
    }

    /// The host to call has an address, so we know which of ours it will see: open the ports.
    fn resolved(&mut self, id: LegId, peer: Option<SocketAddr>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Stage::Resolving { dial, .. } = &leg.stage else { return };
        let Some(peer) = peer else {
            let sip = SipFailure { status: 503, reason: "Host not found".to_owned() };
            return self.end_leg(id, LeftReason::Unreachable, Some(sip));
        };
        let address = self.local.towards(peer.ip());
        leg.stage = Stage::Opening { dial: dial.clone(), address };
        let command = Command::Open { leg: leg.media, local: self.bind_address(address) };
        self.tell_media(command);
    }

    /// The ports are open: the INVITE goes out.
    pub(super) fn send_invite(&mut self, id: LegId, dial: &Dial, address: IpAddr, rtp_port: u16) {
        let Some(way) = self.way(dial, address) else {
            let reason = "No phone of this user is registered".to_owned();
            let sip = SipFailure { status: 480, reason };
            return self.end_leg(id, LeftReason::Unreachable, Some(sip));
        };
        let Way { targets, hunt, from, account, headers } = way;
        let room = self.legs.get(&id).and_then(|leg| leg.place.room());
        let identity = room.and_then(|room| self.focus(room));
        let (targets, offer) = self.offers(id, dial, (address, rtp_port), targets);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.from = from.uri.to_string();
        leg.stage = Stage::Dialing;
        let left = leg.rings_until.map(|until| until.saturating_duration_since(self.now));
        let groups = u32::try_from(targets.len()).unwrap_or(u32::MAX).max(1);
        let invitation = Invitation {
            targets,
            patience: left.filter(|_| hunt == Hunt::Refused).map(|left| left / groups),
            from,
            to: NameAddr::new(dial.target.clone()),
            offer,
            hunt,
            account,
            headers,
            identity,
        };
        let session = self.endpoint.invite(self.now, invitation);
        leg.session = Some(session);
        leg.sip_call_id = self.endpoint.call_id_of(session).unwrap_or_default();
        self.sessions.insert(session, id);
    }

    /// What the places that a call goes to are offered. Phones and browsers of one user are not offered the same, but on
    /// the same port: only one of them will answer.
    fn offers(
        &mut self,
        id: LegId,
        dial: &Dial,
        (address, rtp_port): (IpAddr, u16),
        mut targets: Vec<Vec<Target>>,
    ) -> (Vec<Vec<Target>>, Option<Bytes>) {
        let Some(web) = targets.iter().flatten().next().map(web_of) else { return (targets, None) };
        let wish = self.legs.get(&id).map(Leg::wish).unwrap_or_default();
        let rules = self.media_rules_of(id);
        let port = (address, rtp_port);
        let mut negotiation = self.negotiation(&rules, port, &dial.codecs, web);
        let offer = negotiation.offer(wish);
        let mut rest = targets.iter_mut().flatten().filter(|target| web_of(target) != web);
        let mut alternative = None;
        if let Some(first) = rest.next() {
            let mut other = self.negotiation(&rules, port, &dial.codecs, web_of(first));
            let offer = Some(other.offer(wish));
            first.offer.clone_from(&offer);
            rest.for_each(|target| target.offer.clone_from(&offer));
            alternative = Some(Box::new(other));
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            (leg.negotiation, leg.alternative) = (Some(negotiation), alternative);
        }
        (targets, Some(offer))
    }

    /// Where the call goes; `None` if nowhere: a user without a phone.
    fn way(&mut self, dial: &Dial, address: IpAddr) -> Option<Way> {
        if let Some(trunk) = dial.trunk {
            let Passage { targets, from, account, headers } = self.passage(trunk, dial)?;
            let targets = targets.into_iter().map(|gateway| vec![gateway]).collect();
            return Some(Way { targets, hunt: Hunt::Unreachable, from, account, headers });
        }
        let targets = match self.callee(&dial.target) {
            Callee::Elsewhere => vec![vec![dial.target.clone().into()]],
            Callee::User(phones) => groups_of(phones),
        };
        let from = caller(&dial.from, address);
        let hunt = Hunt::Refused;
        let headers = dial.headers.clone();
        (!targets.is_empty()).then_some(Way { targets, hunt, from, account: None, headers })
    }

    /// A provisional answer: their phone rings, or there is media before the answer.
    pub(super) fn progressed(
        &mut self,
        id: LegId,
        (status, dialog): (u16, Option<&DialogId>),
        sdp: Option<&Bytes>,
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let rings = matches!(leg.stage, Stage::Dialing) && matches!(status, 180 | 183);
        if rings {
            leg.stage = Stage::Ringing;
            self.rings(id, status);
        }
        if let Some(sdp) = sdp {
            self.early_media(id, (status, dialog), sdp);
        }
        let call = self.legs.get(&id).and_then(|leg| leg.call);
        if let Some(call) = call.filter(|_| rings && !self.is_heard_early(id)) {
            self.relay_ringing(call);
        }
    }

    fn rings(&mut self, id: LegId, status: u16) {
        self.line_changed(id);
        self.participant_happened(EventType::ParticipantRinging, id, json!({}));
        let Some(leg) = self.legs.get(&id) else { return };
        let (call, carries) = (leg.call, leg.carries);
        if let Some(refer) = carries {
            self.carried_progress(refer, status);
        } else if let Some(call) = call {
            self.call_happened(EventType::CallRinging, call);
        }
    }

    /// One of those we called answered our INVITE with this SDP.
    pub(super) fn answered(
        &mut self,
        id: LegId,
        sdp: Option<&Bytes>,
        (response, target): (&Message, &Target),
    ) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.texts = Texts::of(response);
        leg.infos = Infos::of(response);
        leg.answered_by = Some(target.uri.to_string());
        // The Via that comes back is ours: it says how the request that was answered went out.
        if let Ok(via) = response.headers.via()
            && let Some(transport) = Transport::parse(&via.transport)
        {
            leg.transport = wire_name(transport);
        }
        let early = leg.early.take();
        let alternative = leg.alternative.take();
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let plan = match (alternative, early) {
            // Who was offered otherwise knows nothing of the first offer, nor of what became of it.
            (Some(alternative), _) if target.offer.is_some() => {
                *negotiation = *alternative;
                sdp.and_then(|sdp| negotiation.conclude(sdp).ok())
            }
            (_, Some(early)) => early.conclude(negotiation, sdp),
            (_, None) => match sdp {
                Some(sdp) => negotiation.conclude(sdp).ok(),
                None => negotiation.plan().cloned(),
            },
        };
        if let Some(plan) = plan {
            self.apply_plan(id, &plan);
            self.join(id);
        } else {
            let reason = "The answer has no usable audio".to_owned();
            let sip = SipFailure { status: 488, reason };
            self.end_leg(id, LeftReason::Incompatible, Some(sip));
        }
    }

    /// They refused our INVITE, or nobody did anything with it.
    pub(super) fn refused(&mut self, id: LegId, status: u16, reason: String) {
        self.forget_session(id);
        self.end_leg(id, reason_of(status), Some(SipFailure { status, reason }));
    }

    pub(super) fn rang_too_long(&mut self, id: LegId) {
        let waits = self.legs.get(&id).is_some_and(|leg| match leg.stage {
            Stage::Resolving { .. } | Stage::Opening { .. } | Stage::Dialing | Stage::Ringing => {
                true
            }
            Stage::Answering { .. } | Stage::Waiting(_) | Stage::Confirming | Stage::Up => false,
        });
        if waits {
            self.end_leg(id, LeftReason::NoAnswer, None);
        }
    }
}

/// Phones that are called at once: those of equal `q` (RFC 3261 §16.6). One that keeps several ways open is called by the
/// one that it refreshed last (RFC 5626 §5.1).
fn groups_of(mut phones: Vec<Phone>) -> Vec<Vec<Target>> {
    let mut called = BTreeSet::new();
    phones.retain(|phone| {
        phone.instance.as_ref().is_none_or(|instance| called.insert(instance.clone()))
    });
    let of_equals = phones.chunk_by(|one, other| one.quality == other.quality);
    of_equals.map(|phones| phones.iter().map(|phone| phone.target.clone()).collect()).collect()
}

/// A phone that is reached by WebSocket is a browser, and takes no other offer (RFC 7118 §5).
fn web_of(target: &Target) -> Web {
    let transport = target.uri.param("transport").and_then(Transport::parse);
    let is_browser = transport.is_some_and(Transport::is_websocket);
    if is_browser { Web::Offered } else { Web::NotOffered }
}

/// The From of our INVITE: a full URI, or a user at the address the peer sees.
fn caller(from: &Caller, address: IpAddr) -> NameAddr {
    match from {
        Caller::Uri(uri) => NameAddr::new(uri.clone()),
        Caller::User(user) | Caller::Unsaid(user) => {
            NameAddr::new(Uri::sip(Some(user), &address.into(), None))
        }
        Caller::Routed(identity) => identity.shown(),
    }
}

impl Leg {
    /// Whether a caller may still be refused.
    pub(super) fn is_inbound_pending(&self) -> bool {
        matches!(self.stage, Stage::Answering { .. })
    }

    /// Whether events have told of it as a participant: a caller is told of when it joins.
    pub(super) fn is_announced(&self) -> bool {
        self.joined_at.is_some()
            || self.direction == Direction::Outbound
            || self.gate.as_ref().is_some_and(Gate::is_announced)
    }
}

#[cfg(test)]
mod tests {
    use api::control::Command as Ask;
    use api::model::Invite;

    use super::{Uri, Web, web_of};
    use crate::bridge::scene::Scene;
    use crate::bridge_settings;
    use crate::config::Config;

    #[test]
    fn the_phone_that_answers_is_heard_where_it_said_last() {
        for (fork, port) in [("a", 5002), ("b", 6000)] {
            let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
            let invite = dial(&mut scene);

            scene.say(response(&invite, (183, "a"), RELIABLE, &sdp(5000)));
            scene.say(response(&invite, (183, "b"), RELIABLE, &sdp(6000)));
            scene.say(update(&invite, "a", &sdp(5002)));
            let updated = scene.sent.concat();
            scene.say(response(&invite, (183, "b"), "Require: 100rel\r\nRSeq: 2\r\n", &sdp(6000)));
            scene.say(response(&invite, (200, fork), "", ""));

            assert!(updated.starts_with("SIP/2.0 200 "), "{updated}");
            assert_eq!(scene.remote.map(|remote| remote.port()), Some(port), "{fork}");
        }
    }

    #[test]
    fn a_phone_that_is_reached_by_websocket_is_offered_what_a_browser_takes() {
        for (uri, web) in [
            ("sip:x@abc.invalid;transport=ws", Web::Offered),
            ("sip:x@abc.invalid;transport=WSS", Web::Offered),
            ("sip:x@10.0.0.1;transport=tls", Web::NotOffered),
            ("sip:x@10.0.0.1", Web::NotOffered),
        ] {
            assert_eq!(web_of(&Uri::parse(uri.as_bytes()).unwrap().into()), web, "{uri}");
        }
    }

    const RELIABLE: &str = "Require: 100rel\r\nRSeq: 1\r\n";

    /// Calls a phone from a room; gives the INVITE.
    fn dial(scene: &mut Scene) -> String {
        let body = r#"{"to": "sip:anna@10.0.0.1"}"#;
        let body: Invite = serde_json::from_str(body).unwrap();
        scene.ask(|reply| Ask::Invite { room: "hall".to_owned(), body, reply }).unwrap();
        scene.sent.iter().find(|sent| sent.starts_with("INVITE ")).unwrap().clone()
    }

    fn header<'a>(message: &'a str, name: &str) -> &'a str {
        let value = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap()
    }

    fn response(invite: &str, (status, tag): (u16, &str), more: &str, body: &str) -> String {
        let [via, from, to, call_id, cseq] =
            ["Via", "From", "To", "Call-ID", "CSeq"].map(|name| header(invite, name));
        let length = body.len();
        format!(
            "SIP/2.0 {status} Fine\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to};tag={tag}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq}\r\nContact: <sip:{tag}@10.0.0.1>\r\n{more}\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    fn update(invite: &str, tag: &str, body: &str) -> String {
        let [from, to, call_id] = ["From", "To", "Call-ID"].map(|name| header(invite, name));
        let length = body.len();
        format!(
            "UPDATE sip:us@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKu\r\n\
             From: {to};tag={tag}\r\nTo: {from}\r\nCall-ID: {call_id}\r\nCSeq: 1 UPDATE\r\n\
             Contact: <sip:{tag}@10.0.0.1>\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
        )
    }

    fn sdp(port: u16) -> String {
        format!(
            "v=0\r\no=- 1 {port} IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n"
        )
    }
}
