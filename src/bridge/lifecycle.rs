//! How legs come and go, and what their going does to rooms and calls.
//!
//! Order of events: what is open is closed first (`talk_ended`), then `participant.left`, `leg.ended`, and last
//! `room.ended` or `call.ended`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use api::event::{Data, EventType};
use api::model::{
    CallId, CallState, Direction, EarlyMedia, LeftReason, LegId, LegState, MarkKind,
    ParticipantState, RoomEndReason, RoomId, RoomOrigin, SipFailure,
};
use mixer::codec::Format;
use rand_core::Rng;
use serde_json::json;

use crate::media::command::{Command, MediaKey, Naming, Statistics, Stream, StreamPlan};
use crate::sdp::{self, DtlsPolicy, MediaPlan, Negotiation};

use super::company::Company;
use super::conference_info::entity_of;
use super::followers::Roster;
use super::groups::Groups;
use super::lasting::Lasting;
use super::leg::{Controls, Hold, Leg, NamedBy, Privacy, Stage, Texts, Web};
use super::manners::Manners;
use super::menu::Keys;
use super::metrics::name_of;
use super::policy::Infos;
use super::room::{Book, Room};
use super::{Bridge, Draining, Hearer, MediaRules, Place, Subject, Timer, quality, with};

impl Bridge {
    /// A leg without a session, in nobody's list yet.
    pub(super) fn new_leg(&mut self, direction: Direction, place: Place, stage: Stage) -> Leg {
        Leg {
            id: LegId::new(self.unix_ms(), self.random()),
            call: None,
            place,
            direction,
            stage,
            session: None,
            dialog: None,
            user: None,
            owner: None,
            media: MediaKey(self.next_key()),
            from: String::new(),
            to: String::new(),
            display_name: None,
            texts: Texts::Refused,
            privacy: Privacy::Shown,
            named_by: NamedBy::Phone,
            transport: "udp",
            sip_call_id: String::new(),
            negotiation: None,
            infos: Infos::Refused,
            media_rules: MediaRules::default(),
            controls: Controls::new(&self.settings),
            duck_db: 0.0,
            circle: None,
            gate: None,
            keys: Keys::default(),
            hand: None,
            excursion: None,
            peer: None,
            hold: Hold::default(),
            early: None,
            early_media: EarlyMedia::Off,
            alternative: None,
            rings_until: None,
            answered_by: None,
            offering: false,
            reoffer: false,
            talking: false,
            level: None,
            echo: None,
            codec: None,
            srtp: None,
            statistics: Statistics::default(),
            created_at: self.wall(),
            answered_at: None,
            revision: 1,
            joined_at: None,
            transfer: None,
            carries: None,
            replaces: None,
            replaced: None,
            replaced_by: None,
            last_key: None,
        }
    }

    /// Puts a new leg into the tables and into the list of its place.
    pub(super) fn add_leg(&mut self, leg: Leg) {
        self.counters.legs_total += 1;
        self.media.insert(leg.media, leg.id);
        self.list(leg.id, leg.place);
        let id = leg.id;
        self.legs.insert(id, leg);
        self.line_changed(id);
    }

    /// Who else has this place, answered or not.
    pub(super) fn others_in(&self, place: Place, than: LegId) -> Vec<LegId> {
        let listed = match place {
            Place::Room(room) => self.rooms.get(&room).map(|room| &room.legs),
            Place::Call(call) => self.calls.get(&call).map(|call| &call.legs),
        };
        let is_here = |leg: &&LegId| {
            **leg != than && self.legs.get(leg).is_some_and(|leg| leg.place == place)
        };
        listed.into_iter().flatten().filter(is_here).copied().collect()
    }

    pub(super) fn list(&mut self, leg: LegId, place: Place) {
        match place {
            Place::Room(room) => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.legs.push(leg);
                    room.book.first_leg.get_or_insert(leg);
                }
            }
            Place::Call(call) => {
                if let Some(call) = self.calls.get_mut(&call)
                    && !call.legs.contains(&leg)
                {
                    call.legs.push(leg);
                }
            }
        }
    }

    pub(super) fn negotiation(
        &mut self,
        rules: &MediaRules,
        (address, rtp_port): (IpAddr, u16),
        codecs: &[Format],
        web: Web,
    ) -> Negotiation {
        // What was asked for this one call counts more than what is usual with whoever it is.
        let is_usual = codecs == self.settings.codecs && !rules.codecs.is_empty();
        let codecs = if is_usual { &rules.codecs[..] } else { codecs };
        let mut key_seed = sdp::KeySeed::default();
        self.dice.fill_bytes(&mut key_seed.0);
        Negotiation::new(sdp::Local {
            session_id: self.unix_ms(),
            address,
            rtp_port,
            codecs: codecs.to_vec(),
            ptime: self.settings.ptime,
            opus: self.settings.opus,
            csrc: self.settings.csrc,
            comfort_noise: self.settings.comfort_noise,
            srtp: rules.srtp.unwrap_or(self.settings.srtp),
            dtls: self
                .settings
                .fingerprint
                .clone()
                .map(|fingerprint| DtlsPolicy { fingerprint, offers: web == Web::Offered }),
            key_seed,
        })
    }

    /// Where to bind the media of a leg that sees us at `advertised`: behind NAT that address is not ours.
    pub(super) fn bind_address(&self, advertised: IpAddr) -> IpAddr {
        let same_family = |address: &&IpAddr| address.is_ipv4() == advertised.is_ipv4();
        let any = if advertised.is_ipv4() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        } else {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        };
        self.settings.media_addresses.iter().find(same_family).copied().unwrap_or(any)
    }

    /// Puts what offer/answer agreed into effect.
    pub(super) fn apply_plan(&mut self, id: LegId, plan: &MediaPlan) {
        self.find_circle(id);
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.codec = Some(plan.send.1.format);
        leg.hold.remote = plan.remote_holds;
        if plan.dtls.is_none() {
            leg.srtp = plan.srtp.as_ref().map(|keys| keys.send.suite().name());
        }
        let streams = StreamPlan {
            send: plan.send,
            receive: plan.receive.clone(),
            receive_events: plan.receive_events.clone(),
            send_events: plan.send_events,
            receive_noise: plan.receive_noise.clone(),
            send_noise: plan.send_noise,
            level_id: plan.level_id,
            naming: match plan.levels_id {
                _ if !self.settings.csrc => Naming::Nobody,
                Some(id) => Naming::Levels(id),
                None => Naming::Sources,
            },
            sends: plan.direction.sends(),
            receives: plan.direction.receives(),
        };
        let stream = Stream {
            remote: plan.remote,
            remote_rtcp: plan.remote_rtcp,
            plan: streams,
            srtp: plan.srtp.clone().map(Box::new),
            dtls: plan.dtls.clone(),
        };
        let configure = Command::Configure { leg: leg.media, stream };
        let seat = Command::Seat { leg: leg.media, seat: leg.seat() };
        self.tell_media(configure);
        self.tell_media(seat);
    }

    /// Tells the media thread how the leg takes part now.
    pub(super) fn apply_seat(&mut self, id: LegId) {
        self.find_circle(id);
        let has_ports = |leg: &&Leg| !matches!(leg.stage, Stage::Resolving { .. });
        let Some(leg) = self.legs.get(&id).filter(has_ports) else { return };
        let seat = Command::Seat { leg: leg.media, seat: leg.seat() };
        self.tell_media(seat);
    }

    /// The leg is answered both ways: it takes its seat.
    pub(super) fn join(&mut self, id: LegId) {
        let wall = self.wall();
        let Some(leg) = self.legs.get_mut(&id) else { return };
        leg.stage = Stage::Up;
        leg.answered_at.get_or_insert(wall);
        leg.dialog = leg.session.and_then(|session| self.endpoint.dialog_of(session));
        let replaced = self.take_seat(id);
        let gate = match replaced {
            Some(old) => self.legs.get(&old).and_then(|old| old.gate.clone()),
            None => self.first_gate(id),
        };
        let Some(leg) = self.legs.get(&id) else { return };
        let (call, carries) = (leg.call, leg.carries);
        self.counters.answered += 1;
        self.trunk_answered(id);
        self.watch_duration(id);
        self.toll_answered(id);
        self.line_changed(id);
        self.leg_happened(EventType::LegAnswered, id, json!({}));
        match gate {
            Some(gate) => self.stop_at(id, gate),
            None => self.come_in(id),
        }
        match (replaced, call) {
            (Some(replaced), _) => self.give_way(replaced, id),
            (None, Some(call)) => self.call_gained(call),
            (None, None) => {}
        }
        if let Some(refer) = carries {
            self.carried_answered(refer);
        }
    }

    /// Seats the leg's media in the mix of `place`.
    pub(super) fn seat(&mut self, id: LegId, place: Place) {
        let contributors = match place {
            Place::Room(room) => self.rooms.get(&room).map_or(2, |room| room.contributors),
            Place::Call(_) => self.settings.contributors,
        };
        let (Some(leg), Some(mix)) = (self.legs.get(&id), self.mix_of(place)) else { return };
        let contributors = usize::try_from(contributors).unwrap_or(usize::MAX);
        let join = Command::Join { leg: leg.media, mix, contributors };
        self.tell_media(join);
        self.record_seated(id, place);
        self.play_on(place.into());
        self.play_on(Hearer::Leg(id));
    }

    /// Moves a seated leg into another room. Its phone is told by re-INVITE which conference it is in now.
    pub(super) fn move_leg(&mut self, id: LegId, to: RoomId) {
        let Some(from) = self.legs.get(&id).map(|leg| leg.place) else { return };
        if from == Place::Room(to) {
            return;
        }
        self.move_to(id, Place::Room(to));
        if let Place::Call(call) = from {
            self.call_lost(call, id, LeftReason::Moved, None);
        }
    }

    /// Moves a leg. Its phone is told only who it talks to now. A call that it leaves is left to the caller to end.
    pub(super) fn move_to(&mut self, id: LegId, to: Place) {
        self.stop_talking(id);
        self.end_excursion(id);
        let wall = self.wall();
        if let Some(from) = self.legs.get(&id).map(|leg| leg.place) {
            self.record_left(id, from);
        }
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let from = std::mem::replace(&mut leg.place, to);
        // Whoever is moved is let in.
        let had_joined = leg.joined_at.is_some();
        let waited = leg.gate.take().is_some();
        if waited {
            leg.joined_at = Some(wall);
        }
        let role = leg.controls.role;
        let (is_up, is_announced) = (leg.is_up(), leg.is_announced());
        self.list(id, to);
        if is_up {
            if self.leave_circle(id) || waited {
                self.apply_seat(id);
            }
            self.seat(id, to);
            if had_joined {
                self.keep_book(from, Book::went);
            }
            self.keep_book(to, Book::came);
            let data = json!({ "from_room": from.room(), "to_room": to.room() });
            self.participant_happened(EventType::ParticipantMoved, id, data);
        } else if is_announced {
            self.participant_happened(EventType::ParticipantDialing, id, json!({}));
        }
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.call = match to {
                Place::Room(_) => None,
                Place::Call(call) => Some(call),
            };
        }
        self.tell_focus(id, to);
        if let (Place::Room(room), true) = (to, is_up) {
            self.somebody_came(room, id);
        }
        if let Place::Room(room) = from {
            self.left_room(room, id);
            match (had_joined, waited) {
                (true, _) => self.somebody_left(room, role),
                (false, true) => self.left_lobby(room),
                (false, false) => {}
            }
            if is_announced {
                let user = self.legs.get(&id).map(entity_of).unwrap_or_default();
                self.roster_lost(room, id, (user, LeftReason::Moved));
            }
            self.circle_lost(room, id);
        }
    }

    /// Ends the leg whatever its state: BYE, CANCEL or a refusal goes out if the dialog is alive.
    pub(super) fn end_leg(&mut self, id: LegId, reason: LeftReason, sip: Option<SipFailure>) {
        self.stop_talking(id);
        self.end_excursion(id);
        let Some(mut leg) = self.legs.remove(&id) else { return };
        if leg.joined_at.is_some() {
            self.record_left(id, leg.place);
        }
        self.hearer_gone(Hearer::Leg(id));
        if let Some(dialog) = &leg.dialog {
            self.past.remember(dialog);
        }
        self.line_lost(&leg, reason, sip.as_ref());
        if let Some(session) = leg.session.take() {
            self.sessions.remove(&session);
            self.endpoint.hang_up(self.now, session, bye_reason(reason));
        }
        if matches!(leg.stage, Stage::Resolving { .. }) {
            self.media.remove(&leg.media); // no port was ever asked for
        } else {
            self.tell_media(Command::Close { leg: leg.media });
        }
        self.counters.ended(reason);
        self.toll_ended(id);
        self.transfers_lose(&leg, reason, sip.as_ref());
        self.tell_gone(&leg, reason, sip.clone());
        self.trunk_lost(&leg, reason);
        if leg.joined_at.is_some() && leg.replaced_by.is_none() {
            self.keep_book(leg.place, Book::went);
        }
        match leg.place {
            Place::Room(room) => {
                self.left_room(room, id);
                if leg.joined_at.is_some() {
                    self.somebody_left(room, leg.controls.role);
                } else if leg.gate.is_some() {
                    self.left_lobby(room);
                }
                if leg.is_announced() {
                    self.roster_lost(room, id, (entity_of(&leg), reason));
                }
                self.circle_lost(room, id);
            }
            Place::Call(call) => self.call_lost(call, id, reason, sip),
        }
    }

    /// Events and history of a leg that has gone.
    fn tell_gone(&mut self, leg: &Leg, reason: LeftReason, sip: Option<SipFailure>) {
        let wall = self.wall();
        if let Place::Room(room) = leg.place {
            let mut left = leg.participant(room);
            left.state = ParticipantState::Left;
            left.left_at = Some(wall);
            left.left_reason = Some(reason);
            left.sip.clone_from(&sip);
            if leg.is_announced() {
                self.happened(EventType::ParticipantLeft, Subject::of(leg), Data::of(&left));
                let keep = self.settings.history;
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.remember(left, keep);
                }
            } else {
                let data = Data::of(&json!({ "reason": reason, "from": leg.from, "sip": sip }));
                self.keep_book(leg.place, |book| book.refused(&name_of(reason)));
                self.happened(EventType::RoomJoinRejected, Subject::of(leg), data);
            }
        }
        let mut view = leg.view();
        view.state = LegState::Ended;
        view.ended_at = Some(wall);
        view.end_reason = Some(reason);
        view.sip = sip;
        let mut detail = view.end_reason.map(|reason| format!("{reason:?}")).unwrap_or_default();
        if let Some(sip) = &view.sip {
            detail = format!("{detail} {} {}", sip.status, sip.reason);
        }
        self.trace_mark(&view.sip_call_id, EventType::LegEnded, detail);
        self.happened(EventType::LegEnded, Subject::of(leg), Data::of(&view));
        self.remember_leg(leg, &view);
        self.history.leg(view, quality::stats(&leg.statistics));
    }

    /// The SIP session is over already: nothing more is to be sent for it.
    pub(super) fn forget_session(&mut self, id: LegId) {
        if let Some(session) = self.legs.get_mut(&id).and_then(|leg| leg.session.take()) {
            self.sessions.remove(&session);
        }
    }

    pub(super) fn stop_talking(&mut self, id: LegId) {
        let Some(leg) = self.legs.get_mut(&id) else { return };
        if leg.talking {
            leg.talking = false;
            self.participant_happened(EventType::ParticipantTalkEnded, id, json!({}));
            self.mark_leg(id, MarkKind::TalkEnded, None);
        }
    }

    // ---- rooms ----

    /// Makes an open room. The caller has seen to it that the name is free and the limit not reached.
    pub(super) fn create_room(&mut self, new: NewRoom) -> RoomId {
        let id = RoomId::new(self.unix_ms(), self.random());
        let room = self.new_room(id, new);
        self.open(room);
        self.counters.rooms_total += 1;
        self.room_happened(EventType::RoomCreated, id);
        id
    }

    /// Callers find it from now on.
    pub(super) fn open(&mut self, room: Room) {
        let id = room.id;
        self.names.insert(room.name.clone(), id);
        self.rooms.insert(id, room);
        self.follow_hours(id);
    }

    /// A room that nobody knows of yet.
    pub(super) fn new_room(&mut self, id: RoomId, new: NewRoom) -> Room {
        Room {
            id,
            name: new.name,
            mix: crate::media::command::MixKey(self.next_key()),
            locked: new.locked,
            ad_hoc: new.ad_hoc,
            end_when_empty: new.end_when_empty,
            max_participants: new.max_participants.unwrap_or(self.settings.max_participants),
            contributors: new.contributors.unwrap_or(self.settings.contributors),
            manners: new.manners,
            groups: new.groups,
            lobby: crate::media::command::MixKey(self.next_key()),
            company: Company::default(),
            legs: Vec::new(),
            left: std::collections::VecDeque::new(),
            ending: false,
            roster: Roster::default(),
            floor: None,
            revision: 1,
            created_at: self.wall(),
            created_by: new.origin,
            book: Book::default(),
            lasting: Lasting::default(),
        }
    }

    /// Notes who speaks to the room now, and tells if that has changed.
    pub(super) fn give_floor(&mut self, id: RoomId, holder: Option<LegId>) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.floor != holder) else {
            return;
        };
        let previous = std::mem::replace(&mut room.floor, holder);
        let Some(view) = self.room_view(id) else { return };
        let subject = Subject { room: Some(id), leg: holder, ..Subject::default() };
        let data = with(&view, json!({ "previous": previous }));
        self.happened(EventType::RoomFloorChanged, subject, data);
    }

    /// Notes something in the book of the room that this place is, if it is one.
    pub(super) fn keep_book(&mut self, place: Place, note: impl FnOnce(&mut Book)) {
        if let Some(room) = place.room().and_then(|room| self.rooms.get_mut(&room)) {
            note(&mut room.book);
        }
    }

    fn left_room(&mut self, id: RoomId, leg: LegId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.legs.retain(|other| *other != leg);
        if room.floor == Some(leg) {
            self.give_floor(id, None);
        }
        let Some(room) = self.rooms.get(&id) else { return };
        if room.legs.is_empty() && room.end_when_empty && !room.ending {
            self.close_room(id, RoomEndReason::Empty);
        }
    }

    // ---- calls ----

    /// A party of the call was answered: dial the next, or they hear each other.
    pub(super) fn call_gained(&mut self, id: CallId) {
        let wall = self.wall();
        let Some(call) = self.calls.get_mut(&id) else { return };
        if let Some(routed) = call.routed.take() {
            self.answer_routed(routed.caller());
        } else if let Some(next) = call.next.take() {
            let early_media = self.early_media_of(next.dial.trunk);
            let leg = self.dial(super::dial::Outbound {
                dial: next.dial,
                place: Place::Call(id),
                call: Some(id),
                display_name: None,
                controls: Controls::new(&self.settings),
                timeout: next.timeout,
            });
            if let Some(leg) = self.legs.get_mut(&leg) {
                leg.early_media = early_media;
            }
        } else if call.connected_at.is_none() {
            call.connected_at = Some(wall);
            self.call_happened(EventType::CallConnected, id);
        } else {
            self.call_happened(EventType::CallUpdated, id);
        }
    }

    /// A leg of the call has gone: the call lives on while two are left, counting one that is being dialled, or while one
    /// that is on its way elsewhere has not left.
    pub(super) fn call_lost(
        &mut self,
        id: CallId,
        leg: LegId,
        reason: LeftReason,
        sip: Option<SipFailure>,
    ) {
        if self.routed_lost(id, leg, (reason, sip.as_ref())) {
            return;
        }
        let others = self.others_in(Place::Call(id), leg);
        let waits = |other: &&LegId| {
            let replaces = self.legs.get(other).and_then(|leg| leg.replaces);
            replaces.is_some_and(|replaced| self.legs.contains_key(&replaced))
        };
        let is_on_its_way = others.iter().any(|other| self.is_on_its_way(*other));
        if others.len() - others.iter().filter(waits).count() < 2 && !is_on_its_way {
            self.end_call(id, LeftReason::PeerLeft, (reason, sip));
        }
    }

    /// Ends the call for `why`; its legs are told `to_legs`.
    pub(super) fn end_call(
        &mut self,
        id: CallId,
        to_legs: LeftReason,
        why: (LeftReason, Option<SipFailure>),
    ) {
        let Some(call) = self.calls.remove(&id) else { return };
        self.hearer_gone(Hearer::Call(id));
        for leg in &call.legs {
            if self.legs.get(leg).is_some_and(|leg| leg.place == Place::Call(id)) {
                self.end_leg(*leg, to_legs, None);
            }
        }
        let mut view = call.view();
        view.state = CallState::Ended;
        view.ended_at = Some(self.wall());
        (view.end_reason, view.sip) = (Some(why.0), why.1);
        let subject = Subject { call: Some(id), ..Subject::default() };
        self.happened(EventType::CallEnded, subject, Data::of(&view));
        self.remember_call(&view);
        self.history.call(view);
    }

    // ---- the end ----

    /// No more calls from now on; what is left is hung up after the grace time.
    pub(super) fn drain(&mut self) {
        match self.draining {
            Draining::No => {
                self.draining = Draining::Grace;
                let grace = self.settings.drain_grace;
                let data = json!({ "grace_s": grace.as_secs(), "legs": self.legs.len() });
                let data = Data::of(&data);
                self.happened(EventType::NodeDraining, Subject::default(), data);
                if self.legs.is_empty() {
                    self.hang_up_all();
                } else {
                    self.set_timer(grace, Timer::Drain);
                }
            }
            Draining::Grace => self.hang_up_all(), // asked twice: somebody is in a hurry
            Draining::HangingUp | Draining::Done => {}
        }
    }
}

/// A room to be made; what is absent comes from the settings.
#[derive(Debug)]
pub(super) struct NewRoom {
    pub(super) name: String,
    pub(super) locked: bool,
    pub(super) ad_hoc: bool,
    pub(super) end_when_empty: bool,
    pub(super) max_participants: Option<u32>,
    pub(super) contributors: Option<u32>,
    pub(super) origin: RoomOrigin,
    pub(super) manners: Manners,
    pub(super) groups: Groups,
}

impl NewRoom {
    /// The room that somebody makes by calling its name, or by having it called.
    pub(super) fn ad_hoc(name: String, origin: RoomOrigin) -> Self {
        Self {
            name,
            origin,
            locked: false,
            ad_hoc: true,
            end_when_empty: true,
            max_participants: None,
            contributors: None,
            manners: Manners::default(),
            groups: Groups::default(),
        }
    }
}

/// What the Reason header (RFC 3326) of our BYE or CANCEL says.
fn bye_reason(reason: LeftReason) -> Option<String> {
    let text = match reason {
        LeftReason::PinRefused => "Too many wrong PINs",
        LeftReason::Kicked => "Removed from the conference",
        LeftReason::RoomEnded => "The conference has ended",
        LeftReason::PeerLeft => "The other party hung up",
        LeftReason::NoAnswer => "No answer",
        LeftReason::MediaTimeout => "No media received",
        LeftReason::HandshakeFailed => "Media could not be encrypted",
        LeftReason::LimitReached => "The call lasted as long as it may",
        LeftReason::Shutdown => "The server is stopping",
        LeftReason::Transferred => "Transferred",
        LeftReason::Replaced => "Replaced by another call",
        LeftReason::Incompatible => "No usable audio in the answer",
        LeftReason::Overloaded => "Out of resources",
        LeftReason::HungUp
        | LeftReason::Moved
        | LeftReason::Cancelled
        | LeftReason::Busy
        | LeftReason::Declined
        | LeftReason::NotFound
        | LeftReason::Unreachable
        | LeftReason::DialogLost
        | LeftReason::SessionExpired
        | LeftReason::Failed => return None,
    };
    Some(format!("SIP;cause=200;text=\"{text}\""))
}
