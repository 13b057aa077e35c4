//! Instant messages (RFC 3428): from a phone or the API to everybody in a room, or to the phones of a user.
//!
//! ```text
//!  MESSAGE, POST ─▶ whom for? ─▶ Sending ──a phone took it──▶ Delivered
//!                      │            └──none did──────────────▶ Failed
//!                      └ a user without a phone ─▶ Waiting ──registered──▶ Sending
//!                                                     └──too long─────────▶ Failed
//! ```
//! A long room is told some a turn, so that a message holds nobody else up. What was said is kept in memory, and only the last of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use api::control::ControlError;
use api::event::{Data, EventType};
use api::model::{
    Direction, LegId, Message, MessageId, MessageState, Page, PageQuery, RoomId, SendMessage,
    SipFailure,
};
use bytes::Bytes;

use super::command::{Answer, conflict, invalid, no_such, page};
use super::leg::{Leg, Texts};
use super::registrations::Callee;
use super::signal::{rejection, user_of};
use super::{Bridge, Place, Subject, Timer};
use crate::sip::endpoint::{
    LocalAddress as _, Query, QueryId, Rejection, Target, Text, TextId, Texted,
};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::{Host, Message as Request, Method, StatusCode, Uri};

/// Every message that is remembered, and those that are on their way.
#[derive(Debug, Default)]
pub(super) struct Messages {
    kept: BTreeMap<MessageId, Kept>,
    /// To be sent, in this order.
    outbox: VecDeque<(MessageId, Recipient)>,
    within: BTreeMap<TextId, MessageId>,
    outside: BTreeMap<QueryId, MessageId>,
    /// What waits for a phone, by user.
    waiting: BTreeMap<String, BTreeSet<MessageId>>,
}

/// A message and what becomes of it.
#[derive(Debug)]
struct Kept {
    view: Message,
    from: NameAddr,
    body: Bytes,
    /// Phones that have not answered.
    open: u32,
}

/// One phone.
#[derive(Clone, Debug)]
enum Recipient {
    /// Within the dialog of this leg.
    Leg(LegId),
    /// Outside of any.
    Phone(Target),
}

/// Whom a message is for.
#[derive(Debug)]
enum Audience {
    Room(RoomId),
    User(String),
    Elsewhere(Uri),
}

/// A message that begins.
#[derive(Debug)]
struct Words {
    direction: Direction,
    from: NameAddr,
    to: String,
    content_type: String,
    body: Bytes,
}

impl Bridge {
    // ---- from phones ----

    /// A phone says something.
    pub(super) fn texted(&mut self, texted: &Texted) {
        let answer = self.take_text(texted);
        self.endpoint.answer_text(self.now, texted.text, answer);
    }

    fn take_text(&mut self, texted: &Texted) -> Result<StatusCode, Rejection> {
        if let Some(session) = texted.session {
            let leg = self.sessions.get(&session).and_then(|leg| self.legs.get(leg));
            let leg = leg.ok_or(StatusCode::CALL_DOES_NOT_EXIST)?;
            let (leg, place) = (leg.id, leg.place);
            self.may_say()?;
            let others = self.listeners(place, Some(leg));
            self.keep(words_of(&texted.request)?, place.room(), others);
            return Ok(StatusCode::OK);
        }
        let peer = texted.peer.ip();
        let user = self.identify(&texted.request, peer)?;
        let audience = self.audience(&texted.target)?;
        self.may_say()?;
        let mut words = words_of(&texted.request)?;
        if let Some(user) = user {
            words.from.uri = self.user_uri(&user, peer);
        }
        self.deliver(words, audience).map(|(_, status)| status)
    }

    /// Whether phones may say more now.
    fn may_say(&mut self) -> Result<(), Rejection> {
        if self.messages.outbox.len() < OUTBOX && self.texts.take(self.now) {
            return Ok(());
        }
        let mut busy = Rejection::new(StatusCode::SERVICE_UNAVAILABLE);
        busy.headers.push(("Retry-After".to_owned(), "1".to_owned()));
        Err(busy)
    }

    /// Whom a message from outside any session is for.
    fn audience(&self, target: &Uri) -> Result<Audience, Rejection> {
        let name = user_of(target);
        if let Some(room) = self.names.get(&name) {
            self.rooms[room].is_open().map_err(rejection)?;
            return Ok(Audience::Room(*room));
        }
        match self.callee(target) {
            Callee::User(_) => Ok(Audience::User(name)),
            // We carry nothing on to others for phones.
            Callee::Elsewhere => Err(StatusCode::NOT_FOUND.into()),
        }
    }

    /// The legs of a place whose phones take messages.
    fn listeners(&self, place: Place, but: Option<LegId>) -> Vec<Recipient> {
        let legs = match place {
            Place::Room(room) => self.rooms.get(&room).map(|room| &room.legs),
            Place::Call(call) => self.calls.get(&call).map(|call| &call.legs),
        };
        let takes = |leg: &&Leg| leg.is_up() && leg.texts == Texts::Taken;
        let legs = legs.into_iter().flatten().filter(|leg| Some(**leg) != but);
        let there = legs.filter_map(|leg| self.legs.get(leg)).filter(|leg| leg.place == place);
        there.filter(takes).map(|leg| Recipient::Leg(leg.id)).collect()
    }

    fn deliver(
        &mut self,
        words: Words,
        audience: Audience,
    ) -> Result<(MessageId, StatusCode), Rejection> {
        match audience {
            Audience::Room(room) => {
                let recipients = self.listeners(Place::Room(room), None);
                Ok((self.keep(words, Some(room), recipients), StatusCode::OK))
            }
            Audience::User(user) => {
                let phones = self.phones_of(&user);
                if phones.is_empty() && self.settings.message_wait.is_zero() {
                    return Err(StatusCode::TEMPORARILY_UNAVAILABLE.into());
                }
                let waits = phones.is_empty();
                let id = self.keep(words, None, phones);
                if waits {
                    self.wait_for_phone(id, user);
                }
                Ok((id, StatusCode::ACCEPTED))
            }
            Audience::Elsewhere(uri) => {
                let to = vec![Recipient::Phone(uri.into())];
                Ok((self.keep(words, None, to), StatusCode::ACCEPTED))
            }
        }
    }

    fn phones_of(&self, user: &str) -> Vec<Recipient> {
        let phones = self.registrar.bindings(user).into_iter();
        phones.map(|binding| Recipient::Phone(binding.target())).collect()
    }

    // ---- on their way ----

    /// Remembers a message, tells of it, and sends it to these.
    fn keep(&mut self, words: Words, room: Option<RoomId>, to: Vec<Recipient>) -> MessageId {
        let Words { direction, from, to: addressee, content_type, body } = words;
        let id = MessageId::new(self.unix_ms(), self.random());
        let recipients = u32::try_from(to.len()).unwrap_or(u32::MAX);
        let view = Message {
            id,
            direction,
            state: if to.is_empty() { MessageState::Failed } else { MessageState::Sending },
            from: from.uri.to_string(),
            to: addressee,
            room,
            content_type,
            body: String::from_utf8(body.to_vec()).ok(),
            recipients,
            delivered: 0,
            created_at: self.wall(),
            sip: None,
        };
        while self.messages.kept.len() >= self.settings.messages.max(1) {
            self.messages.kept.pop_first();
        }
        self.messages.kept.insert(id, Kept { view, from, body, open: 0 });
        if direction == Direction::Inbound {
            self.message_happened(EventType::MessageReceived, id);
        }
        self.post(id, to);
        id
    }

    fn post(&mut self, id: MessageId, to: Vec<Recipient>) {
        let Some(kept) = self.messages.kept.get_mut(&id) else { return };
        kept.open = u32::try_from(to.len()).unwrap_or(u32::MAX);
        if to.is_empty() {
            return;
        }
        kept.view.state = MessageState::Sending;
        kept.view.recipients = kept.open;
        self.messages.outbox.extend(to.into_iter().map(|to| (id, to)));
        self.send_some_texts();
    }

    /// Sends as many as one turn may.
    pub(super) fn send_some_texts(&mut self) {
        for _ in 0..SLICE {
            let Some((id, to)) = self.messages.outbox.pop_front() else { return };
            self.send_text(id, to);
        }
        if !self.messages.outbox.is_empty() {
            self.set_timer(PAUSE, Timer::Texts);
        }
    }

    fn send_text(&mut self, id: MessageId, to: Recipient) {
        let Some(kept) = self.messages.kept.get(&id) else { return };
        let (content_type, body) = (kept.view.content_type.clone(), kept.body.clone());
        match to {
            Recipient::Leg(leg) => {
                let author = kept.from.display.clone();
                let author = author.or_else(|| kept.from.uri.user_plain().map(Into::into));
                let session = self.legs.get(&leg).and_then(|leg| leg.session);
                let text = Text { author, content_type, body };
                match session.and_then(|session| self.endpoint.text(self.now, session, text)) {
                    Some(text) => drop(self.messages.within.insert(text, id)),
                    None => self.text_done(id, StatusCode::CALL_DOES_NOT_EXIST),
                }
            }
            Recipient::Phone(target) => {
                let to = Uri::parse(kept.view.to.as_bytes()).unwrap_or_else(|_| target.uri.clone());
                let query = Query {
                    method: Method::Message,
                    target,
                    from: kept.from.clone(),
                    to: NameAddr::new(to),
                    call: None,
                    contact: None,
                    headers: Vec::new(),
                    body: Some((content_type, body)),
                    account: None,
                };
                let query = self.endpoint.ask(self.now, query);
                self.messages.outside.insert(query, id);
            }
        }
    }

    /// What became of a message within a session.
    pub(super) fn text_answered(&mut self, text: TextId, status: StatusCode) {
        if let Some(id) = self.messages.within.remove(&text) {
            self.text_done(id, status);
        }
    }

    /// What became of a message outside; false if the query was none.
    pub(super) fn text_replied(&mut self, query: QueryId, status: StatusCode) -> bool {
        let Some(id) = self.messages.outside.remove(&query) else { return false };
        self.text_done(id, status);
        true
    }

    fn text_done(&mut self, id: MessageId, status: StatusCode) {
        let Some(kept) = self.messages.kept.get_mut(&id) else { return };
        kept.open = kept.open.saturating_sub(1);
        if status.is_success() {
            kept.view.delivered += 1;
        } else {
            let reason = status.reason().to_owned();
            kept.view.sip = Some(SipFailure { status: status.code(), reason });
        }
        let is_first = status.is_success() && kept.view.delivered == 1;
        let is_lost = kept.open == 0 && kept.view.delivered == 0;
        if is_first {
            kept.view.state = MessageState::Delivered;
            self.message_happened(EventType::MessageDelivered, id);
        } else if is_lost {
            kept.view.state = MessageState::Failed;
            self.message_happened(EventType::MessageFailed, id);
        }
    }

    fn message_happened(&mut self, kind: EventType, id: MessageId) {
        let Some(kept) = self.messages.kept.get(&id) else { return };
        let subject = Subject { room: kept.view.room, ..Subject::default() };
        let data = Data::of(&kept.view);
        self.happened(kind, subject, data);
    }

    // ---- users without a phone ----

    fn wait_for_phone(&mut self, id: MessageId, user: String) {
        if let Some(kept) = self.messages.kept.get_mut(&id) {
            kept.view.state = MessageState::Waiting;
        }
        self.messages.waiting.entry(user).or_default().insert(id);
        self.set_timer(self.settings.message_wait, Timer::Message(id));
    }

    /// A phone of this user can be reached: it gets what waited.
    pub(super) fn send_waiting(&mut self, user: &str) {
        let Some(waiting) = self.messages.waiting.remove(user) else { return };
        let phones = self.phones_of(user);
        for id in waiting {
            self.post(id, phones.clone());
        }
    }

    /// A message has waited long enough.
    pub(super) fn waited_too_long(&mut self, id: MessageId) {
        let mut waited = false;
        self.messages.waiting.retain(|_, waiting| {
            waited |= waiting.remove(&id);
            !waiting.is_empty()
        });
        if let Some(kept) = self.messages.kept.get_mut(&id).filter(|_| waited) {
            kept.view.state = MessageState::Failed;
            let status = StatusCode::TEMPORARILY_UNAVAILABLE;
            let reason = status.reason().to_owned();
            kept.view.sip = Some(SipFailure { status: status.code(), reason });
            self.message_happened(EventType::MessageFailed, id);
        }
    }

    // ---- the API ----

    pub(super) fn api_send_message(&mut self, body: &SendMessage) -> Answer<Message> {
        let (content_type, text) = content(body)?;
        if text.len() > self.settings.message_size {
            let most = self.settings.message_size;
            return Err(invalid("/body", format!("expected at most {most} octets")));
        }
        if self.messages.outbox.len() >= OUTBOX {
            let detail = "too many messages are on their way; try again".to_owned();
            return Err(ControlError::Busy { detail, retry_after_s: 1 });
        }
        let audience = self.audience_of(&body.to)?;
        let to = match &audience {
            Audience::Elsewhere(uri) => uri.clone(),
            Audience::Room(room) => {
                let name = self.rooms.get(room).map(|room| room.name.clone());
                self.user_uri(&name.unwrap_or_default(), US)
            }
            Audience::User(user) => self.user_uri(user, US),
        };
        let words = Words {
            direction: Direction::Outbound,
            from: NameAddr::new(self.author(body.from.as_deref().unwrap_or("plenary"))?),
            to: to.to_string(),
            content_type,
            body: text.into(),
        };
        let (id, _) = self.deliver(words, audience).map_err(|_| {
            conflict("no_phone", "no phone of this user is registered; see sip.message_wait")
        })?;
        self.api_message(id)
    }

    fn author(&self, from: &str) -> Answer<Uri> {
        if !from.contains(':') {
            return Ok(self.user_uri(from, US));
        }
        let uri = Uri::parse(from.as_bytes()).ok().filter(Uri::is_sip);
        uri.ok_or_else(|| invalid("/from", format!("expected a sip: URI or a user, found {from}")))
    }

    fn audience_of(&self, to: &str) -> Answer<Audience> {
        if let Ok(room) = self.open_room(to) {
            return Ok(Audience::Room(room));
        }
        if self.is_user(to) {
            return Ok(Audience::User(to.to_owned()));
        }
        let uri = Uri::parse(to.as_bytes()).ok().filter(Uri::is_sip);
        let uri = uri.ok_or_else(|| {
            invalid("/to", format!("expected a room, a user, a sip: or a sips: URI, found {to}"))
        })?;
        match self.callee(&uri) {
            Callee::User(_) => Ok(Audience::User(user_of(&uri))),
            Callee::Elsewhere => Ok(Audience::Elsewhere(uri)),
        }
    }

    pub(super) fn api_list_messages(&mut self, query: &PageQuery) -> Answer<Page<Message>> {
        let kept = self.messages.kept.values().map(|kept| kept.view.clone());
        page::page(query, kept, |message| message.id)
    }

    pub(super) fn api_message(&self, id: MessageId) -> Answer<Message> {
        let kept = self.messages.kept.get(&id).map(|kept| kept.view.clone());
        kept.ok_or_else(|| no_such("message", id))
    }

    /// A user at our realm, or at the address that `peer` sees where the realm is no host.
    fn user_uri(&self, user: &str, peer: IpAddr) -> Uri {
        let realm = Host::parse(self.settings.access.realm.as_bytes());
        let host = realm.unwrap_or_else(|| self.local.towards(peer).into());
        Uri::sip(Some(user), &host, None)
    }
}

/// What a phone says.
fn words_of(request: &Request) -> Result<Words, Rejection> {
    let headers = &request.headers;
    let mut from = headers.from().map_err(|_| StatusCode::BAD_REQUEST)?;
    from.params.remove("tag");
    let content_type = headers.first(&Name::ContentType);
    let content_type = content_type.map(|value| String::from_utf8_lossy(value).into_owned());
    Ok(Words {
        direction: Direction::Inbound,
        from,
        to: headers.to().map(|to| to.uri.to_string()).unwrap_or_default(),
        content_type: content_type.unwrap_or_else(|| PLAIN.to_owned()),
        body: request.body.clone(),
    })
}

/// Type and text of what the API says.
fn content(body: &SendMessage) -> Answer<(String, String)> {
    match (&body.text, &body.body, &body.content_type) {
        (Some(text), None, None) => Ok((PLAIN.to_owned(), text.clone())),
        (None, Some(text), content_type) => {
            let content_type = content_type.clone().unwrap_or_else(|| PLAIN.to_owned());
            let is_header = !content_type.chars().any(char::is_control);
            if is_header && content_type.contains('/') {
                return Ok((content_type, text.clone()));
            }
            let detail = format!("expected a type as in text/html, found {content_type:?}");
            Err(invalid("/content_type", detail))
        }
        _ => Err(invalid("/text", "expected text, or body with its content_type")),
    }
}

const PLAIN: &str = "text/plain;charset=UTF-8";

/// Whom the API speaks to while nobody is known yet.
const US: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Messages, each to one phone, that may be on their way; beyond them nobody says more.
const OUTBOX: usize = 20_000;
/// Those that one turn sends.
const SLICE: usize = 64;
/// From the beginning of one such turn to the next.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests;
