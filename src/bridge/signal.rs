//! What the SIP endpoint reports, and what it does to legs.

use std::borrow::Cow;
use std::net::IpAddr;

use api::event::{Data, EventType};
use api::model::{Direction, LeftReason, LegId, RoomId, RoomOrigin, SipFailure};
use bytes::Bytes;
use serde_json::json;

use crate::media::command::Command;
use crate::sdp;
use crate::sip::endpoint::{EndCause, Event, Invited, LocalAddress as _, Rejection, SessionId};
use crate::sip::status::StatusCode;
use crate::sip::transport::Transport;
use crate::sip::uri::Uri;

use super::arrival::Arrival;
use super::leg::{KeySource, Leg, Stage, Texts, Web};
use super::policy::Infos;
use super::room::Refusal;
use super::routes::{Asking, Taken, user_or_number};
use super::takeover::Entry;
use super::{Bridge, Place, Subject};

impl Bridge {
    pub(super) fn handle_signal(&mut self, event: Event) {
        match event {
            Event::Invited(invited) => self.invited(*invited),
            Event::Options(options) => {
                let answer = self.would_answer(&options);
                self.endpoint.answer_options(self.now, options.options, answer);
            }
            Event::Registering(registering) => self.registering(&registering),
            Event::Publishing(publishing) => self.publishing(&publishing),
            Event::Texted(texted) => self.texted(&texted),
            Event::TextAnswered { text, status } => self.text_answered(text, status),
            Event::Subscribing(subscribing) => self.subscribing(&subscribing),
            Event::NotifyDue { subscription, whole } => self.notify_due(subscription, whole),
            Event::Unsubscribed { subscription } => self.unsubscribed(subscription),
            Event::Replied { query, status, response } => {
                if !self.text_replied(query, status) {
                    self.query_answered(query, status, response.as_deref());
                }
            }
            Event::Referred(referred) => self.referred(&referred),
            Event::ReferAnswered { refer, status, reason } => {
                self.refer_answered(refer, status.code(), reason);
            }
            Event::ReferProgress { refer, status, reason, terminated } => {
                self.refer_progress(refer, status.code(), reason, terminated);
            }
            Event::Cancelled { session } => self.over(session, LeftReason::Cancelled, None),
            Event::Ended { session, cause } => {
                let (reason, sip) = end_reason(&cause);
                self.over(session, reason, sip);
            }
            Event::Acknowledged { session, sdp } => self.with(session, |bridge, leg| {
                bridge.acknowledged(leg, sdp.as_ref());
            }),
            Event::Progress { session, status, sdp, dialog, .. } => {
                self.with(session, |bridge, leg| {
                    bridge.progressed(leg, (status.code(), dialog.as_ref()), sdp.as_ref());
                });
            }
            Event::Answered { session, sdp, response, target } => {
                self.with(session, |bridge, leg| {
                    bridge.answered(leg, sdp.as_ref(), (&response, &target));
                });
            }
            Event::Failed { session, status, reason, .. } => self.with(session, |bridge, leg| {
                bridge.refused(leg, status.code(), reason);
            }),
            Event::Reoffered { session, dialog, sdp } => {
                self.with(session, |bridge, leg| match sdp {
                    Some(offer) if bridge.legs.get(&leg).is_some_and(Leg::is_dialing) => {
                        bridge.reoffered_early(leg, (session, dialog), &offer);
                    }
                    sdp => bridge.reoffered(leg, session, sdp.as_ref()),
                });
            }
            Event::ReofferAnswered { session, sdp } => self.with(session, |bridge, leg| {
                bridge.reoffer_answered(leg, sdp.as_ref());
            }),
            Event::ReofferCancelled { session } => self.with(session, |bridge, leg| {
                bridge.reoffer_failed(leg);
            }),
            Event::ReofferFailed { session, .. } => self.with(session, |bridge, leg| {
                bridge.reoffer_failed(leg);
            }),
            Event::Refreshed { session, sdp } => self.with(session, |bridge, leg| {
                bridge.refreshed(leg, sdp.as_ref());
            }),
            Event::Info { session, content_type, body } => self.with(session, |bridge, leg| {
                if let Some((digit, duration)) = info_digit(&content_type, &body) {
                    bridge.pressed(leg, digit, duration, KeySource::Info);
                }
            }),
        }
    }

    /// Runs `act` with the leg of `session`, if it still has one.
    fn with(&mut self, session: SessionId, act: impl FnOnce(&mut Self, LegId)) {
        if let Some(leg) = self.sessions.get(&session).copied() {
            act(self, leg);
        }
    }

    fn over(&mut self, session: SessionId, reason: LeftReason, sip: Option<SipFailure>) {
        self.with(session, |bridge, leg| {
            bridge.forget_session(leg);
            bridge.end_leg(leg, reason, sip);
        });
    }

    // ---- somebody calls ----

    fn invited(&mut self, invited: Invited) {
        self.counters.invited += 1;
        let trunk = self.trunk_at(invited.peer.ip().to_canonical());
        let user = match trunk {
            Some(_) => None,
            None => match self.identify(&invited.request, invited.peer.ip()) {
                Ok(user) => user,
                Err(rejection) => {
                    return self.endpoint.reject(self.now, invited.session, rejection);
                }
            },
        };
        let arrival = self.arrival(&invited, trunk, user);
        match self.entry_of(&invited, &arrival) {
            Ok(Some(entry)) => self.let_in(invited, arrival, entry),
            Ok(None) => {} // a route has refused it
            Err((name, refusal)) => {
                if let Some(trunk) = trunk {
                    self.trunk_refused(trunk, refusal.code());
                }
                self.turn_away(&invited, &name, refusal);
            }
        }
    }

    /// Where somebody comes in: where it says, where a route says, or into the room of its trunk or of the dialled name.
    fn entry_of(
        &mut self,
        invited: &Invited,
        arrival: &Arrival,
    ) -> Result<Option<Entry>, (String, Refusal)> {
        let Arrival { trunk, user, .. } = arrival;
        let dialled = arrival.dialled.clone();
        if let Some(trunk) = *trunk
            && let Err(refusal) = self.trunk_has_line(trunk)
        {
            return Err((dialled, refusal));
        }
        if let Some(takes) = &invited.takes {
            let entry = self.admit_to(takes, invited, user.as_deref());
            return entry.map(Some).map_err(|refusal| (dialled, refusal));
        }
        if let Err(reached) = self.may_come(&arrival.payers) {
            return Err((dialled, Refusal::Limited(reached.limit, reached.scope)));
        }
        let mut room = trunk.and_then(|trunk| self.trunk_room(trunk)).map(ToOwned::to_owned);
        let asking = Asking {
            dialled: &dialled,
            from: &user_or_number(&arrival.caller.known().uri).unwrap_or_default(),
            trunk: *trunk,
            user: user.as_deref(),
            address: Some(invited.peer.ip().to_canonical()),
            at: self.wall(),
        };
        if let Some((name, steps)) = self.route_of(&asking) {
            match self.take_route(invited, arrival, (&name, steps), &asking) {
                Ok(Taken::Room(named)) => room = Some(named),
                Ok(Taken::Call(call)) => return Ok(Some(Entry::call(call))),
                Ok(Taken::Refused) => return Ok(None),
                Err(refusal) => return Err((dialled, refusal)),
            }
        }
        let name = room.unwrap_or(dialled);
        match self.admit(&name, invited.peer.ip()) {
            Ok(room) => Ok(Some(Entry::room(room))),
            Err(refusal) => Err((name, refusal)),
        }
    }

    fn let_in(&mut self, invited: Invited, arrival: Arrival, entry: Entry) {
        let Arrival { id, trunk, user, caller, payers, .. } = arrival;
        self.caller_came(id, payers);
        if let Some(focus) = entry.place.room().and_then(|room| self.focus(room)) {
            self.endpoint.identify(invited.session, focus);
        }
        let owner = self.owner_of(&invited, user.as_ref()).filter(|_| trunk.is_none());
        let address = self.media_address(&invited);
        let stage = Stage::Answering { offer: invited.offer, address };
        let mut leg = self.new_leg(Direction::Inbound, entry.place, stage);
        leg.owner = owner;
        (leg.id, leg.user) = (id, user);
        leg.session = Some(invited.session);
        leg.peer = Some(invited.peer.ip().to_canonical());
        leg.from = caller.known().uri.to_string();
        leg.display_name = caller.display().cloned();
        let rules = match (trunk, &leg.user) {
            (Some(trunk), _) => self.trunk_rules(trunk).map(|rules| &rules.media),
            (None, Some(user)) => self.user_media(user),
            (None, None) => None,
        };
        leg.media_rules = rules.cloned().unwrap_or_default();
        leg.texts = Texts::of(&invited.request);
        leg.infos = Infos::of(&invited.request);
        leg.privacy = caller.privacy();
        leg.to = invited.to.uri.to_string();
        leg.transport = wire_name(invited.transport);
        leg.sip_call_id =
            invited.request.headers.call_id().map(|id| id.to_string()).unwrap_or_default();
        self.sessions.insert(invited.session, leg.id);
        if let Some(trunk) = trunk {
            self.note_trunk_leg(trunk, leg.id, Direction::Inbound);
            self.ask_name(leg.id, &caller);
        }
        self.enter(&mut leg, entry);
        self.counters.legs_inbound += 1;
        let local = self.bind_address(address);
        self.tell_media(Command::Open { leg: leg.media, local });
        self.add_leg(leg);
    }

    /// Where a caller is told to send its sound: a phone with both families may call over one and offer the other.
    fn media_address(&self, invited: &Invited) -> IpAddr {
        let address = self.local.towards(invited.peer.ip());
        let offer = invited.offer.as_ref().and_then(|offer| sdp::Session::parse(offer).ok());
        let wanted = offer.and_then(|offer| offer.audio_address());
        let Some(wanted) = wanted.filter(|wanted| wanted.is_ipv4() != address.is_ipv4()) else {
            return address;
        };
        let other = self.local.towards(wanted);
        // A loopback address is what there is without a way to get there.
        let is_reachable =
            other.is_ipv4() == wanted.is_ipv4() && (wanted.is_loopback() || !other.is_loopback());
        if is_reachable { other } else { address }
    }

    /// Finds or makes the room that a caller from `peer` asks for.
    pub(super) fn admit(&mut self, name: &str, peer: IpAddr) -> Result<RoomId, Refusal> {
        self.has_line()?;
        if !self.rate.take(self.now) {
            return Err(Refusal::TooFast);
        }
        if let Some(room) = self.names.get(name).copied() {
            self.rooms[&room].admit()?;
            if self.is_closed(room) {
                return Err(Refusal::NotOpen);
            }
            return self.has_room(1).map(|()| room);
        }
        if self.is_factory(name) {
            return self.make_conference(peer);
        }
        let may_create = is_room_name(name)
            && self.settings.auto_create.matches(name)
            && self.may_create_from(peer);
        if !may_create {
            return Err(Refusal::NotFound);
        }
        if self.rooms.len() >= self.settings.max_rooms {
            return Err(Refusal::Overloaded);
        }
        self.has_room(1)?;
        Ok(self.make_ad_hoc(name, RoomOrigin::Caller))
    }

    fn turn_away(&mut self, invited: &Invited, name: &str, refusal: Refusal) {
        let (status, reason, _) = refusal.answer();
        self.endpoint.reject(self.now, invited.session, rejection(refusal));
        self.counters.refused += 1;
        let room = self.names.get(name).copied();
        if let Some(room) = room {
            self.keep_book(Place::Room(room), |book| book.refused(refusal.code()));
        }
        let subject = Subject { room, ..Subject::default() };
        let from = invited.from.uri.to_string();
        let data = json!({
            "reason": refusal.code(), "name": name, "from": from,
            "sip": { "status": status, "reason": reason },
        });
        self.happened(EventType::RoomJoinRejected, subject, Data::of(&data));
    }

    /// The ports of a caller are open: answer.
    pub(super) fn answer_caller(
        &mut self,
        id: LegId,
        offer: Option<&Bytes>,
        address: IpAddr,
        rtp_port: u16,
    ) {
        if let Err(refusal) = self.may_still_enter(id) {
            let (status, reason, _) = refusal.answer();
            return self.refuse_caller(id, status, reason);
        }
        let codecs = self.settings.codecs.clone();
        let web = self.legs.get(&id).map_or(Web::NotOffered, Leg::web);
        let rules = self.media_rules_of(id);
        let mut negotiation = self.negotiation(&rules, (address, rtp_port), &codecs, web);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(session) = leg.session else { return };
        let wish = leg.wish();
        match offer.map(|offer| negotiation.answer(offer, wish)) {
            Some(Ok((answer, plan))) => {
                leg.negotiation = Some(negotiation);
                self.endpoint.answer(self.now, session, answer);
                self.apply_plan(id, &plan);
                self.join(id);
            }
            Some(Err(refusal)) => self.refuse_caller(id, refusal.status(), &refusal.to_string()),
            None => {
                let offer = negotiation.offer(wish);
                leg.negotiation = Some(negotiation);
                leg.stage = Stage::Confirming;
                self.endpoint.answer(self.now, session, offer);
            }
        }
    }

    /// Refuses a caller whose INVITE we had taken up.
    pub(super) fn refuse_caller(&mut self, id: LegId, status: u16, reason: &str) {
        let Some(session) = self.legs.get(&id).and_then(|leg| leg.session) else { return };
        let mut headers =
            vec![("Warning".to_owned(), format!("399 plenary \"{}\"", quoted(reason)))];
        if status == 503 {
            headers.push(("Retry-After".to_owned(), self.soon().to_string()));
        }
        let rejection = Rejection { status: status_code(status), reason: None, headers };
        self.endpoint.reject(self.now, session, rejection);
        self.forget_session(id);
        self.counters.refused += 1;
        let sip = SipFailure { status, reason: reason.to_owned() };
        self.end_leg(id, super::room::reason_of(status), Some(sip));
    }

    /// The ACK of our 200 came, with their answer if the 200 carried our offer.
    fn acknowledged(&mut self, id: LegId, sdp: Option<&Bytes>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let first = matches!(leg.stage, Stage::Confirming);
        leg.offering = false;
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let before = negotiation.plan().cloned();
        match sdp.map(|sdp| negotiation.conclude(sdp)) {
            Some(Ok(plan)) => self.replan(id, &plan, before.as_ref()),
            Some(Err(_)) | None if first => {
                let reason = "The ACK has no usable answer".to_owned();
                let sip = SipFailure { status: 488, reason };
                self.end_leg(id, LeftReason::Incompatible, Some(sip));
            }
            Some(Err(_)) => negotiation.abandon(),
            None => {}
        }
        self.reoffer_if_wanted(id);
    }

    // ---- the session changes ----

    /// A re-INVITE or UPDATE came; without SDP it asks us to offer.
    fn reoffered(&mut self, id: LegId, session: SessionId, sdp: Option<&Bytes>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let wish = leg.wish();
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let before = negotiation.plan().cloned();
        match sdp.map(|sdp| negotiation.answer(sdp, wish)) {
            Some(Ok((answer, plan))) => {
                self.endpoint.answer_offer(self.now, session, Ok(answer));
                self.replan(id, &plan, before.as_ref());
            }
            Some(Err(refusal)) => {
                let status = status_code(refusal.status());
                self.endpoint.answer_offer(self.now, session, Err(status));
            }
            None => {
                let offer = negotiation.offer(wish);
                leg.offering = true;
                self.endpoint.answer_offer(self.now, session, Ok(offer));
            }
        }
    }

    fn reoffer_answered(&mut self, id: LegId, sdp: Option<&Bytes>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.offering = false;
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let before = negotiation.plan().cloned();
        match sdp.map(|sdp| negotiation.conclude(sdp)) {
            Some(Ok(plan)) => self.replan(id, &plan, before.as_ref()),
            Some(Err(_)) | None => negotiation.abandon(),
        }
        self.reoffer_if_wanted(id);
    }

    /// A refresh of ours is over. Their answer to what stood may still move the media.
    fn refreshed(&mut self, id: LegId, sdp: Option<&Bytes>) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        let before = negotiation.plan().cloned();
        if let Some(Ok(plan)) = sdp.map(|sdp| negotiation.conclude(sdp)) {
            self.replan(id, &plan, before.as_ref());
        }
        self.reoffer_if_wanted(id);
    }

    fn reoffer_failed(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.offering = false;
        if let Some(negotiation) = leg.negotiation.as_mut() {
            negotiation.abandon();
        }
        self.reoffer_if_wanted(id);
    }

    fn reoffer_if_wanted(&mut self, id: LegId) {
        if self.legs.get(&id).is_some_and(|leg| leg.reoffer) {
            self.reoffer(id);
        }
    }

    /// Tells the phone by re-INVITE what we now want; later, if an exchange is under way.
    pub(super) fn reoffer(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let (Some(session), true) = (leg.session, leg.is_up()) else { return };
        let wish = leg.wish();
        let Some(negotiation) = leg.negotiation.as_mut() else { return };
        leg.reoffer = leg.offering;
        if leg.offering {
            return;
        }
        let offer = negotiation.offer(wish);
        leg.offering = self.endpoint.reinvite(self.now, session, Some(offer)).is_ok();
        if !leg.offering {
            negotiation.abandon();
            leg.reoffer = true; // an ACK is still to come
        }
    }

    /// A new agreement: applies it and says what changed since `before`. The first one lets the leg join; the same one
    /// again, as in a refresh of the session, is nothing.
    fn replan(&mut self, id: LegId, plan: &sdp::MediaPlan, before: Option<&sdp::MediaPlan>) {
        if before == Some(plan) {
            return;
        }
        let hold = self.legs.get(&id).map(|leg| leg.hold);
        self.apply_plan(id, plan);
        if before.is_none() {
            return self.join(id);
        }
        self.leg_happened(EventType::LegReinvited, id, json!({}));
        self.tell_hold(id, hold.unwrap_or_default());
    }

    /// Says that the leg is held or resumed, if that changed since `before`.
    pub(super) fn tell_hold(&mut self, id: LegId, before: super::leg::Hold) {
        let Some(leg) = self.legs.get(&id) else { return };
        let (was, is) = (before.by().is_some(), leg.hold.by().is_some());
        if before.remote != leg.hold.remote {
            self.line_changed(id);
        }
        if is && !was {
            self.stop_talking(id);
            self.participant_happened(EventType::ParticipantHeld, id, json!({}));
        } else if was && !is {
            self.participant_happened(EventType::ParticipantResumed, id, json!({}));
        }
    }
}

/// What a refused caller is told.
pub(super) fn rejection(refusal: Refusal) -> Rejection {
    let (status, reason, retry_after) = refusal.answer();
    let headers = retry_after.map(|seconds| ("Retry-After".to_owned(), seconds.to_string()));
    Rejection {
        status: status_code(status),
        reason: Some(reason.to_owned()),
        headers: headers.into_iter().collect(),
    }
}

/// A transport as the API names it.
pub(super) fn wire_name(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
        Transport::Tls => "tls",
        Transport::Ws => "ws",
        Transport::Wss => "wss",
    }
}

/// A status of ours; what is none is 500.
pub(super) fn status_code(status: u16) -> StatusCode {
    StatusCode::new(status).unwrap_or(StatusCode::SERVER_INTERNAL_ERROR)
}

/// The user part of what was dialled, unescaped; empty when there is none.
pub(super) fn user_of(uri: &Uri) -> String {
    uri.user_plain().map(Cow::into_owned).unwrap_or_default()
}

/// Whether a dialled user part may name a room.
pub(super) fn is_room_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

/// The digit of an INFO body: `application/dtmf-relay` (`Signal=5`, `Duration=160`) or `application/dtmf` (just `5`).
fn info_digit(content_type: &str, body: &[u8]) -> Option<(char, std::time::Duration)> {
    let text = std::str::from_utf8(body).ok()?;
    let kind = content_type.split(';').next()?.trim().to_ascii_lowercase();
    let field = |name: &str| {
        text.lines().filter_map(|line| line.split_once('=')).find_map(|(key, value)| {
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let (signal, duration) = match kind.as_str() {
        "application/dtmf-relay" => (field("signal")?, field("duration")),
        "application/dtmf" => (text.trim().to_owned(), None),
        _ => return None,
    };
    let digit = match signal.as_str() {
        "10" => '*',
        "11" => '#',
        one => one.chars().next().filter(|_| one.chars().count() == 1)?.to_ascii_uppercase(),
    };
    let ms = duration.and_then(|ms| ms.parse().ok()).unwrap_or(100_u64).min(60_000);
    let known = digit.is_ascii_digit() || "*#ABCD".contains(digit);
    known.then(|| (digit, std::time::Duration::from_millis(ms)))
}

fn quoted(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, '"' | '\\') && !c.is_control()).collect()
}

/// What the end of a dialog means.
fn end_reason(cause: &EndCause) -> (LeftReason, Option<SipFailure>) {
    let sip = |status, reason: &str| Some(SipFailure { status, reason: reason.to_owned() });
    match cause {
        EndCause::Bye { .. } => (LeftReason::HungUp, None),
        EndCause::AckMissing => (LeftReason::DialogLost, sip(408, "No ACK for our 200")),
        EndCause::RequestTimeout => (LeftReason::DialogLost, sip(408, "Request Timeout")),
        EndCause::DialogMissing => {
            (LeftReason::DialogLost, sip(481, "Call/Transaction Does Not Exist"))
        }
        EndCause::TransportFailed => (LeftReason::DialogLost, sip(503, "Transport failed")),
        EndCause::Expired => (LeftReason::SessionExpired, None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bridge::scene::Scene;
    use crate::bridge_settings;
    use crate::config::Config;

    #[test]
    fn a_reinvite_that_changes_nothing_is_answered_and_not_told() {
        let mut scene = Scene::new(bridge_settings(&Config::default(), 1));
        let answer = scene.call("standup");
        let tag = to_tag(&answer);
        scene.request("ACK", "standup", 1, &tag);

        let refreshed = scene.request("INVITE", "standup", 1, &tag);

        assert!(refreshed.starts_with("SIP/2.0 200 "), "{refreshed}");
        assert_eq!(sdp_of(&refreshed), sdp_of(&answer), "o-line and all");
        assert!(scene.happened.is_empty(), "{:?}", scene.happened);
    }

    fn to_tag(message: &str) -> String {
        let to = message.lines().find(|line| line.starts_with("To:")).unwrap();
        to[to.find(";tag=").unwrap()..].to_owned()
    }

    fn sdp_of(message: &str) -> Option<&str> {
        message.split_once("\r\n\r\n").map(|(_, sdp)| sdp)
    }

    #[test]
    fn info_bodies_of_both_kinds_give_the_digit() {
        let relay = info_digit("application/dtmf-relay", b"Signal=5\r\nDuration=160\r\n");
        let star = info_digit("Application/DTMF-Relay; x=y", b"Signal= *\nDuration=bad");
        let plain = info_digit("application/dtmf", b" d ");

        assert_eq!(relay, Some(('5', Duration::from_millis(160))));
        assert_eq!(star, Some(('*', Duration::from_millis(100))));
        assert_eq!(plain, Some(('D', Duration::from_millis(100))));
        assert_eq!(info_digit("application/dtmf", b"55"), None);
        assert_eq!(info_digit("text/plain", b"5"), None);
        assert_eq!(info_digit("application/dtmf", b"\xff"), None);
    }
}
