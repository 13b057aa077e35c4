//! What can be told of a request without asking the bridge: ranges, names, the shape of addresses.

use crate::auth::Scope;
use crate::error::{ApiError, FieldError};
use crate::event::EventType;
use crate::id::{DeliveryId, LegId, RecordingId, RoomId};
use crate::model::{
    CallParty, CreateApiKey, CreateCall, CreateInvitation, CreateMark, CreatePlayback,
    CreateRecording, CreateRoom, CreateRoomToken, CreateSession, CreateUser, CreateWebhook,
    DeliveryQuery, EndRoom, GroupChanges, Hold, Invite, PageQuery, Play, PlayMusic,
    PutRoomTemplate, RecordFormat, RecordQuery, RecordingFormat, RecordingOptions, RecordingQuery,
    ReplaceRoute, RoomSettings, RotateSecret, Route, RouteAnswer, RouteAsk, RouteStep, SendDtmf,
    SendMessage, SetPresence, TestRoutes, Transfer, TrunkConfig, UpdateApiKey, UpdateParticipant,
    UpdatePlayback, UpdateRecording, UpdateRoom, UpdateUser, UpdateWebhook,
};
use crate::webhooks::key_of;

/// Content that can be checked on its own.
pub(crate) trait Validate {
    /// Reports every field that is out of range.
    fn validate(&self, faults: &mut Faults);
}

/// The fields found at fault.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        self.0.push(FieldError::at(pointer, detail));
    }

    pub(crate) fn expect(&mut self, holds: bool, pointer: &str, detail: &str) {
        if !holds {
            self.add(pointer, detail);
        }
    }

    fn range<T: PartialOrd + std::fmt::Display>(
        &mut self,
        at: &str,
        value: Option<T>,
        range: (T, T),
    ) {
        let Some(value) = value else { return };
        let (low, high) = range;
        if !(value >= low && value <= high) {
            self.add(at, format!("expected {low} to {high}, found {value}"));
        }
    }

    pub(crate) fn into_result(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(ApiError::Content(self.0)) }
    }
}

impl Validate for CreateRoom {
    fn validate(&self, faults: &mut Faults) {
        if let Some(name) = &self.name {
            faults.expect(is_room_name(name), "/name", ROOM_NAME);
        }
        faults.range("/max_participants", self.max_participants, (1, u32::MAX));
        faults.range("/contributors", self.contributors, CONTRIBUTORS);
        manners(&self.settings, faults);
        groups(&self.groups, faults);
    }
}

impl Validate for PutRoomTemplate {
    fn validate(&self, faults: &mut Faults) {
        faults.range("/max_participants", self.max_participants, (1, u32::MAX));
        faults.range("/contributors", self.contributors, CONTRIBUTORS);
        manners(&self.settings, faults);
        groups(&self.groups, faults);
    }
}

impl Validate for UpdateRoom {
    fn validate(&self, faults: &mut Faults) {
        faults.range("/max_participants", self.max_participants, (1, u32::MAX));
        faults.range("/contributors", self.contributors, CONTRIBUTORS);
        self.settings.iter().for_each(|settings| manners(settings, faults));
        self.groups.iter().for_each(|changes| groups(changes, faults));
    }
}

impl Validate for CreateInvitation {
    fn validate(&self, faults: &mut Faults) {
        let found = format!("expected 1 to {MAX_LIST} addresses, found {}", self.to.len());
        faults.expect((1..=MAX_LIST).contains(&self.to.len()), "/to", &found);
        for (index, address) in self.to.iter().enumerate().take(MAX_LIST) {
            faults.expect(is_mail_address(address), &format!("/to/{index}"), MAIL_ADDRESS);
        }
        faults.range("/duration_min", Some(self.duration_min), (1, A_DAY_S / 60));
        let subject = self.subject.as_deref().unwrap_or("-");
        let fits = (1..=200).contains(&subject.chars().count());
        let is_line = fits && !subject.chars().any(char::is_control) && !subject.trim().is_empty();
        faults.expect(is_line, "/subject", "expected 1 to 200 characters in one line");
        let message = self.message.as_deref().unwrap_or_default();
        let is_text = message.chars().all(|c| matches!(c, '\n' | '\t') || !c.is_control());
        let fits = message.chars().count() <= 4_000;
        let expected = "expected at most 4000 characters, no control characters but new lines";
        faults.expect(is_text && fits, "/message", expected);
        let year = self.starts_at.map(|at| at.to_zoned(jiff::tz::TimeZone::UTC).year());
        faults.range("/starts_at", year.map(i32::from), (2000, 9998));
    }
}

impl Validate for CreateSession {
    fn validate(&self, faults: &mut Faults) {
        let fits = |text: &str| {
            (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let expected = "expected 1 to 256 characters, none of them control characters";
        faults.expect(fits(&self.user), "/user", expected);
        faults.expect(fits(&self.password), "/password", expected);
    }
}

impl Validate for EndRoom {
    fn validate(&self, faults: &mut Faults) {
        faults.range("/grace_s", Some(self.grace_s), (0, 3600));
    }
}

impl Validate for Play {
    fn validate(&self, faults: &mut Faults) {
        playing((&self.media, self.repeat), (self.gain_db, self.duck_db), faults);
    }
}

impl Validate for CreatePlayback {
    fn validate(&self, faults: &mut Faults) {
        playing((&self.media, self.repeat), (self.gain_db, self.duck_db), faults);
        room(self.room.as_deref(), faults);
    }
}

impl Validate for CreateRecording {
    fn validate(&self, faults: &mut Faults) {
        room(self.room.as_deref(), faults);
        recording(&self.options(), "", faults);
    }
}

impl Validate for UpdateRecording {
    fn validate(&self, _: &mut Faults) {}
}

impl Validate for CreateMark {
    fn validate(&self, faults: &mut Faults) {
        let length = self.label.chars().count();
        let detail = format!("expected 1 to {MAX_LABEL} characters, found {length}");
        faults.expect((1..=MAX_LABEL).contains(&length), "/label", &detail);
    }
}

impl Validate for Hold {
    fn validate(&self, _: &mut Faults) {}
}

impl Validate for PlayMusic {
    fn validate(&self, faults: &mut Faults) {
        let found = format!("expected at most {MAX_MEDIA} names, found {}", self.media.len());
        faults.expect(self.media.len() <= MAX_MEDIA, "/media", &found);
        faults.range("/gain_db", Some(self.gain_db), PLAY_DB);
    }
}

impl Validate for UpdatePlayback {
    fn validate(&self, faults: &mut Faults) {
        faults.range("/gain_db", self.gain_db, PLAY_DB);
    }
}

impl Validate for Invite {
    fn validate(&self, faults: &mut Faults) {
        callee(&self.to, self.trunk.as_deref(), ("/to", faults));
        caller(self.from.as_deref(), "/from", faults);
        text(self.display_name.as_deref(), "/display_name", faults);
        group(self.group.as_deref(), faults);
        coached(self.coaching.as_deref(), faults);
        faults.range("/timeout_s", self.timeout_s, RING_S);
        let Some(codecs) = &self.codecs else { return };
        faults.expect(!codecs.is_empty(), "/codecs", "expected at least one codec");
        for (index, codec) in codecs.iter().enumerate() {
            let known = CODECS.iter().any(|known| known.eq_ignore_ascii_case(codec));
            let again = codecs[..index].iter().any(|other| other.eq_ignore_ascii_case(codec));
            let at = format!("/codecs/{index}");
            faults.expect(known, &at, "expected one of PCMU PCMA G722 opus L16");
            faults.expect(!again, &at, "expected each codec once");
        }
    }
}

impl Validate for UpdateParticipant {
    fn validate(&self, faults: &mut Faults) {
        faults.range("/gain_in_db", self.gain_in_db, GAIN_DB);
        faults.range("/gain_out_db", self.gain_out_db, GAIN_DB);
        text(self.display_name.as_deref(), "/display_name", faults);
        group(self.group.as_deref(), faults);
        coached(self.coaching.as_deref(), faults);
        room(self.room.as_deref(), faults);
        faults.range("/return_after_s", self.return_after_s, (1, A_DAY_S));
        let has_way = self.return_after_s.is_none() || self.room.is_some();
        faults.expect(has_way, "/return_after_s", "expected only together with room");
    }
}

impl Validate for Transfer {
    fn validate(&self, faults: &mut Faults) {
        let given = [self.to.is_some(), self.leg.is_some(), self.room.is_some()];
        let one = given.into_iter().filter(|given| *given).count() == 1;
        faults.expect(one, "", "expected exactly one of to, leg and room");
        if let Some(to) = &self.to {
            target(to, "/to", faults);
        }
        room(self.room.as_deref(), faults);
    }
}

impl Validate for SendDtmf {
    fn validate(&self, faults: &mut Faults) {
        let digits =
            self.digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D'));
        let fits = (1..=64).contains(&self.digits.len());
        faults.expect(digits && fits, "/digits", "expected 1 to 64 of 0-9 * # A-D");
        faults.range("/duration_ms", self.duration_ms, (40, 2000));
    }
}

impl Validate for SendMessage {
    fn validate(&self, faults: &mut Faults) {
        let is_one = self.text.is_some() != self.body.is_some();
        faults.expect(is_one, "/text", "expected either text or body");
        let typed = self.content_type.is_none() || self.body.is_some();
        faults.expect(typed, "/content_type", "expected body beside it");
        faults.expect(!self.to.is_empty(), "/to", "expected a room, a user or a sip: URI");
        caller(self.from.as_deref(), "/from", faults);
    }
}

impl Validate for SetPresence {
    fn validate(&self, faults: &mut Faults) {
        let length = self.note.as_ref().map_or(0, |note| note.chars().count());
        faults.expect(length <= 256, "/note", "expected at most 256 characters");
    }
}

impl Validate for CreateCall {
    fn validate(&self, faults: &mut Faults) {
        let found = format!("expected exactly two parties, found {}", self.legs.len());
        faults.expect(self.legs.len() == 2, "/legs", &found);
        for (index, CallParty { to, from, trunk }) in self.legs.iter().take(2).enumerate() {
            callee(to, trunk.as_deref(), (&format!("/legs/{index}/to"), faults));
            caller(from.as_deref(), &format!("/legs/{index}/from"), faults);
        }
        faults.range("/timeout_s", self.timeout_s, RING_S);
    }
}

impl Validate for Route {
    fn validate(&self, faults: &mut Faults) {
        let may_be = is_room_name(&self.name) && self.name != "test";
        faults.expect(may_be, "/name", "expected 1 to 64 of A-Z a-z 0-9 - _ . + ~, and not test");
        steps("/steps", &self.steps, faults);
    }
}

impl Validate for ReplaceRoute {
    fn validate(&self, faults: &mut Faults) {
        steps("/steps", &self.steps, faults);
    }
}

impl Validate for RouteAnswer {
    fn validate(&self, faults: &mut Faults) {
        steps("/steps", &self.steps, faults);
        no_asking("/steps", &self.steps, faults);
    }
}

impl RouteAnswer {
    /// Reads the answer of an endpoint, as strictly as the body of a request to us.
    ///
    /// # Errors
    /// The first fault, for people, with a JSON Pointer.
    pub fn parse(body: &[u8]) -> Result<Self, String> {
        crate::extract::parse(body).map_err(|error| {
            let ApiError::Content(faults) = &error else { return error.to_string() };
            let Some(FieldError { detail, pointer, .. }) = faults.first() else {
                return error.to_string();
            };
            format!("{detail} at {}", pointer.as_deref().unwrap_or_default())
        })
    }
}

/// Its keys are those of the settings, which the bridge reads.
impl Validate for TrunkConfig {
    fn validate(&self, faults: &mut Faults) {
        let is_named = self.text("name").is_none_or(|name| !name.is_empty());
        faults.expect(is_named, "/name", "expected 1 to 64 characters, none of them a slash");
    }
}

impl Validate for CreateApiKey {
    fn validate(&self, faults: &mut Faults) {
        key(Some(&self.name), Some(&self.scopes), (Some(&self.rooms), faults));
    }
}

impl Validate for CreateRoomToken {
    fn validate(&self, faults: &mut Faults) {
        faults.expect(!self.scopes.is_empty(), "/scopes", "expected at least one scope");
        let allowed = [Scope::RoomsRead, Scope::RoomsControl, Scope::EventsRead];
        for (index, _) in self.scopes.iter().enumerate().filter(|(_, it)| !allowed.contains(it)) {
            let expected = "expected rooms:read, rooms:control or events:read";
            faults.expect(false, &format!("/scopes/{index}"), expected);
        }
        faults.range("/expires_in_s", Some(self.expires_in_s), (1, A_DAY_S));
    }
}

impl Validate for UpdateApiKey {
    fn validate(&self, faults: &mut Faults) {
        key(self.name.as_deref(), self.scopes.as_deref(), (self.rooms.as_deref(), faults));
    }
}

fn key(
    name: Option<&str>,
    scopes: Option<&[Scope]>,
    (rooms, faults): (Option<&[String]>, &mut Faults),
) {
    text(name, "/name", faults);
    faults.expect(name.is_none_or(|name| !name.is_empty()), "/name", "expected a name");
    let has_one = scopes.is_none_or(|scopes| !scopes.is_empty());
    faults.expect(has_one, "/scopes", "expected at least one scope");
    rooms_at(rooms.unwrap_or_default(), faults);
}

fn rooms_at(rooms: &[String], faults: &mut Faults) {
    let found = format!("expected at most {MAX_LIST}, found {}", rooms.len());
    faults.expect(rooms.len() <= MAX_LIST, "/rooms", &found);
    for (index, room) in rooms.iter().enumerate() {
        let is_one = is_room_name(room) || room.parse::<RoomId>().is_ok();
        faults.expect(is_one, &format!("/rooms/{index}"), "expected a room's id or name");
    }
}

impl Validate for CreateUser {
    fn validate(&self, faults: &mut Faults) {
        faults.expect(is_user_name(&self.name), "/name", USER_NAME);
        password(Some(&self.password), faults);
        text(self.display_name.as_deref(), "/display_name", faults);
    }
}

impl Validate for UpdateUser {
    fn validate(&self, faults: &mut Faults) {
        password(self.password.as_deref(), faults);
        text(self.display_name.as_deref(), "/display_name", faults);
    }
}

impl Validate for TestRoutes {
    fn validate(&self, faults: &mut Faults) {
        let dialable =
            |text: &str| (1..=128).contains(&text.len()) && !text.chars().any(char::is_control);
        let expected = "expected a number, a name or a SIP URI of at most 128 characters";
        faults.expect(dialable(&self.to), "/to", expected);
        faults.expect(self.from.as_deref().is_none_or(dialable), "/from", expected);
    }
}

/// The bridge checks PINs, names of media and menus.
fn manners(settings: &RoomSettings, faults: &mut Faults) {
    faults.range("/settings/pin_attempts", settings.pin_attempts, (1, 10));
    faults.range("/settings/moderator_grace_s", settings.moderator_grace_s, (0, 3600));
    if let Some(room) = &settings.recording {
        recording(&room.options(), "/settings/recording", faults);
    }
}

fn groups(changes: &GroupChanges, faults: &mut Faults) {
    for (name, change) in changes {
        let at = format!("/groups/{}", name.replace('~', "~0").replace('/', "~1"));
        faults.expect(is_group_name(name), &at, GROUP_NAME);
        let Some(group) = change else { continue };
        faults.range(&format!("{at}/duck_db"), group.duck_db, (0.0, 60.0));
        for (index, heard) in group.hears.iter().flatten().enumerate() {
            faults.range(&format!("{at}/hears/{index}/gain_db"), Some(heard.gain_db), PLAY_DB);
        }
    }
}

/// A group; nothing is main.
fn group(name: Option<&str>, faults: &mut Faults) {
    let Some(name) = name else { return };
    faults.expect(name.is_empty() || is_group_name(name), "/group", GROUP_NAME);
}

/// A leg or a group.
fn coached(name: Option<&str>, faults: &mut Faults) {
    let Some(name) = name else { return };
    let is_one = name.is_empty() || is_group_name(name) || name.parse::<LegId>().is_ok();
    faults.expect(is_one, "/coaching", "expected a leg, or the name of a group");
}

/// What cannot pass for a leg, and can stand in a JSON Pointer as it is.
fn is_group_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with("leg_")
}

fn playing((media, repeat): (&[String], u32), (gain_db, duck_db): (f32, f32), faults: &mut Faults) {
    let found = format!("expected 1 to {MAX_MEDIA} names, found {}", media.len());
    faults.expect((1..=MAX_MEDIA).contains(&media.len()), "/media", &found);
    faults.range("/repeat", Some(repeat), (0, 1_000));
    faults.range("/gain_db", Some(gain_db), PLAY_DB);
    faults.range("/duck_db", Some(duck_db), (0.0, 60.0));
}

/// What the bridge cannot say better: each step goes to exactly one place.
fn steps(pointer: &str, steps: &[RouteStep], faults: &mut Faults) {
    let found = format!("expected 1 to {MAX_STEPS} steps, found {}", steps.len());
    faults.expect((1..=MAX_STEPS).contains(&steps.len()), pointer, &found);
    for (index, step) in steps.iter().take(MAX_STEPS).enumerate() {
        let RouteStep { room, user, trunk, number, forward, reject, ask, timeout_s, .. } = step;
        let given = [room, user, trunk, forward].into_iter().filter(|given| given.is_some());
        let count = given.count() + usize::from(reject.is_some()) + usize::from(ask.is_some());
        let at = format!("{pointer}/{index}");
        faults.expect(
            count == 1,
            &at,
            "expected exactly one of room, user, trunk, forward, reject and ask",
        );
        if let Some(ask) = ask {
            asking(&format!("{at}/ask"), ask, faults);
        }
        faults.expect(
            number.is_none() || trunk.is_some(),
            &format!("{at}/number"),
            "expected a trunk with it",
        );
        faults.range(&format!("{at}/timeout_s"), *timeout_s, RING_S);
        let status = reject.as_ref().map(|reject| reject.status);
        faults.range(&format!("{at}/reject/status"), status, (400, 699));
        let reason = reject.as_ref().and_then(|reject| reject.reason.as_deref());
        text(reason, &format!("{at}/reject/reason"), faults);
    }
}

impl Validate for CreateWebhook {
    fn validate(&self, faults: &mut Faults) {
        url(&self.url, faults);
        text(Some(&self.description), "/description", faults);
        wanted(&self.events, &self.rooms, faults);
        secret(self.secret.as_deref(), faults);
    }
}

impl Validate for UpdateWebhook {
    fn validate(&self, faults: &mut Faults) {
        if let Some(given) = &self.url {
            url(given, faults);
        }
        text(self.description.as_deref(), "/description", faults);
        let events = self.events.as_deref().unwrap_or_default();
        wanted(events, self.rooms.as_deref().unwrap_or_default(), faults);
    }
}

impl Validate for RotateSecret {
    fn validate(&self, faults: &mut Faults) {
        secret(self.secret.as_deref(), faults);
        faults.range("/overlap_s", Some(self.overlap_s), (0, 604_800));
    }
}

impl DeliveryQuery {
    /// Checks the limit and the cursor.
    pub(crate) fn checked(self) -> Result<Self, ApiError> {
        let (limit, cursor) = (self.limit, self.cursor.clone());
        RecordQuery { limit, cursor, ..RecordQuery::default() }.checked::<DeliveryId>(&[])?;
        Ok(self)
    }
}

/// Where events are sent by POST.
fn url(url: &str, faults: &mut Faults) {
    let parsed = url.parse::<axum::http::Uri>().ok().filter(|_| url.len() <= MAX_URL);
    let is_url = parsed.is_some_and(|parsed| {
        let is_http = matches!(parsed.scheme_str(), Some("http" | "https"));
        let host = parsed.authority().filter(|authority| !authority.as_str().contains('@'));
        is_http && host.is_some_and(|authority| !authority.host().is_empty()) && !url.contains('#')
    });
    let expected = "expected an http: or https: URL without user, password and fragment";
    faults.expect(is_url, "/url", expected);
}

/// What a webhook wants.
fn wanted(events: &[String], rooms: &[String], faults: &mut Faults) {
    for (index, pattern) in events.iter().enumerate() {
        let is_one = EventType::ALL.iter().any(|kind| kind.is_like(pattern));
        let found = format!("no event type is like {pattern:?}");
        faults.expect(is_one, &format!("/events/{index}"), &found);
    }
    let most = format!("expected at most {MAX_LIST}");
    faults.expect(events.len() <= MAX_LIST, "/events", &most);
    rooms_at(rooms, faults);
}

fn secret(secret: Option<&str>, faults: &mut Faults) {
    let is_one = secret.is_none_or(|secret| key_of(secret).is_some());
    faults.expect(is_one, "/secret", "expected whsec_ and 24 to 64 octets in base64");
}

/// The bridge checks the URL, the headers and the secret.
fn asking(at: &str, ask: &RouteAsk, faults: &mut Faults) {
    faults.range(&format!("{at}/deadline_s"), Some(ask.deadline_s), DEADLINE_S);
    if !ask.fallback.is_empty() {
        let fallback = format!("{at}/fallback");
        no_asking(&fallback, &ask.fallback, faults);
        if ask.fallback.iter().all(|step| step.ask.is_none()) {
            steps(&fallback, &ask.fallback, faults);
        }
    }
}

fn no_asking(pointer: &str, steps: &[RouteStep], faults: &mut Faults) {
    for (index, step) in steps.iter().enumerate().take(MAX_STEPS) {
        let at = format!("{pointer}/{index}/ask");
        faults.expect(step.ask.is_none(), &at, "expected no step that asks again");
    }
}

impl PageQuery {
    /// Checks the range of `limit` and that `state` is `all` or one of `states`.
    pub(crate) fn checked(self, states: &[&str]) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        if let Some(limit) = self.limit.filter(|limit| !(1..=MAX_PAGE).contains(limit)) {
            let detail = format!("expected 1 to {MAX_PAGE}, found {limit}");
            errors.push(FieldError::in_query("limit", detail));
        }
        let known = |state: &&String| *state == "all" || states.contains(&state.as_str());
        if let Some(state) = self.state.as_ref().filter(|state| !known(state)) {
            let detail = format!("expected all or one of {}, found {state:?}", states.join(", "));
            errors.push(FieldError::in_query("state", detail));
        }
        if errors.is_empty() { Ok(self) } else { Err(ApiError::Content(errors)) }
    }
}

impl RecordingQuery {
    /// Checks the limit, the cursor and the state.
    pub(crate) fn checked(self) -> Result<Self, ApiError> {
        let (limit, cursor) = (self.limit, self.cursor.clone());
        RecordQuery { limit, cursor, ..RecordQuery::default() }.checked::<RecordingId>(&[])?;
        let states = ["recording", "paused", "finishing", "completed", "failed"];
        let is_state = |state: &String| states.contains(&state.as_str());
        let Some(state) = self.state.as_ref().filter(|state| !is_state(state)) else {
            return Ok(self);
        };
        let detail = format!("expected one of {}, found {state:?}", states.join(", "));
        Err(ApiError::Content(vec![FieldError::in_query("state", detail)]))
    }
}

impl RecordQuery {
    /// Checks the limit, the cursor, and that only filters of these names are given.
    pub(crate) fn checked<I: std::str::FromStr>(self, filters: &[&str]) -> Result<Self, ApiError> {
        let mut errors = Vec::new();
        let is_page = self.format.unwrap_or_default() == RecordFormat::Json;
        let most = if is_page { MAX_PAGE } else { u32::MAX };
        if let Some(limit) = self.limit.filter(|limit| !(1..=most).contains(limit)) {
            let detail = format!("expected 1 to {most}, found {limit}");
            errors.push(FieldError::in_query("limit", detail));
        }
        if self.cursor.as_ref().is_some_and(|cursor| cursor.parse::<I>().is_err()) {
            errors.push(FieldError::in_query("cursor", NO_CURSOR));
        }
        let given = [
            ("call", self.call.is_some()),
            ("room", self.room.is_some()),
            ("name", self.name.is_some()),
            ("user", self.user.is_some()),
            ("trunk", self.trunk.is_some()),
            ("key", self.key.is_some()),
        ];
        for (name, _) in given.iter().filter(|(name, given)| *given && !filters.contains(name)) {
            errors.push(FieldError::in_query(*name, "these records are not filtered by it"));
        }
        if errors.is_empty() { Ok(self) } else { Err(ApiError::Content(errors)) }
    }
}

/// The id that a list goes on after.
pub(crate) fn page_after<I: std::str::FromStr>(query: &PageQuery) -> Result<Option<I>, ApiError> {
    let Some(cursor) = &query.cursor else { return Ok(None) };
    let id = cursor.parse().map_err(|_| vec![FieldError::in_query("cursor", NO_CURSOR)]);
    id.map(Some).map_err(ApiError::Content)
}

/// Whether callers can dial it, and it cannot be mistaken for an id.
fn is_room_name(name: &str) -> bool {
    let dialable = |b: u8| b.is_ascii_alphanumeric() || b"-_.+~".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(dialable) && name.parse::<RoomId>().is_err()
}

/// What can stand in a SIP URI and in a path as it is.
fn is_user_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.+~".contains(&b);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

fn password(password: Option<&str>, faults: &mut Faults) {
    let fits = |password: &str| {
        (1..=128).contains(&password.chars().count()) && !password.chars().any(char::is_control)
    };
    let expected = "expected 1 to 128 characters, none of them control characters";
    faults.expect(password.is_none_or(fits), "/password", expected);
}

fn room(room: Option<&str>, faults: &mut Faults) {
    let Some(room) = room else { return };
    faults.expect(
        is_room_name(room) || room.parse::<RoomId>().is_ok(),
        "/room",
        "expected a room's id or name",
    );
}

/// An address to call, or through a trunk a number.
fn callee(to: &str, trunk: Option<&str>, (pointer, faults): (&str, &mut Faults)) {
    if trunk.is_none() {
        return target(to, pointer, faults);
    }
    let is_number = (1..=64).contains(&to.len())
        && to.bytes().all(|b| b.is_ascii_digit() || b"+-.() *#".contains(&b));
    faults.expect(
        is_number || to.starts_with("tel:") || is_sip_uri(to),
        pointer,
        "expected a number such as +4930123456, a tel: URI or a SIP URI",
    );
}

/// An address to call.
fn target(uri: &str, pointer: &str, faults: &mut Faults) {
    faults.expect(is_sip_uri(uri), pointer, "expected a SIP URI such as sip:alice@example.com");
}

/// An address, or only its user part, to show as the caller.
fn caller(from: Option<&str>, pointer: &str, faults: &mut Faults) {
    let Some(from) = from else { return };
    let user = |b: u8| b.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/%#".contains(&b);
    let is_user = (1..=64).contains(&from.len()) && from.bytes().all(user);
    faults.expect(is_user || is_sip_uri(from), pointer, "expected a SIP URI or its user part");
}

/// The shape only (RFC 3261 §25.1): scheme, a host, nothing that could end a header. The bridge parses it for good.
fn is_sip_uri(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let sip = scheme.eq_ignore_ascii_case("sip") || scheme.eq_ignore_ascii_case("sips");
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let plain = |b: u8| b.is_ascii_graphic() && !b"<>\"`^|\\{}".contains(&b);
    sip && uri.len() <= 512
        && uri.bytes().all(plain)
        && host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
}

/// What a mail can be sent to (RFC 5321 §4.1.2), but for quoted names, literal addresses and what is not ASCII, which servers
/// seldom take. Nothing of it can end a line or begin another address.
fn is_mail_address(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let is_atom = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
    let is_of_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let has_parts = |text: &str| text.split('.').all(|part| !part.is_empty());
    address.len() <= 254
        && (1..=64).contains(&local.len())
        && local.bytes().all(is_atom)
        && domain.bytes().all(is_of_host)
        && has_parts(local)
        && has_parts(domain)
        && domain.split('.').all(|label| !label.starts_with('-') && !label.ends_with('-'))
}

fn text(text: Option<&str>, pointer: &str, faults: &mut Faults) {
    let Some(text) = text else { return };
    let fits = text.chars().count() <= 128 && !text.chars().any(char::is_control);
    faults.expect(
        fits,
        pointer,
        "expected at most 128 characters, none of them control characters",
    );
}

const ROOM_NAME: &str = "expected 1 to 64 of A-Z a-z 0-9 - _ . + ~, and not an id";
const USER_NAME: &str = "expected 1 to 64 of A-Z a-z 0-9 - _ . + ~";
const MAIL_ADDRESS: &str = "expected a mail address such as ada@example.com";
const NO_CURSOR: &str = "expected the `next` of a page before, found something else";
const GROUP_NAME: &str = "expected 1 to 64 of A-Z a-z 0-9 - _ . +, and not an id";
const CODECS: [&str; 5] = ["PCMU", "PCMA", "G722", "opus", "L16"];
const CONTRIBUTORS: (u32, u32) = (1, 64);
/// How long a phone may ring, seconds.
const RING_S: (u32, u32) = (1, 600);
const A_DAY_S: u32 = 86_400;
/// Rooms of a key.
const MAX_LIST: usize = 100;
const MAX_URL: usize = 2_000;
/// Steps of a route.
const MAX_STEPS: usize = 10;
const DEADLINE_S: (u32, u32) = (1, 30);
const GAIN_DB: (f32, f32) = (-60.0, 30.0);
const PLAY_DB: (f32, f32) = (-60.0, 12.0);
/// What a recording may be like; `at` is where it is said.
fn recording(options: &RecordingOptions, at: &str, faults: &mut Faults) {
    let is_something = options.mix || options.tracks;
    faults.expect(is_something, &format!("{at}/mix"), "expected a mix, tracks, or both");
    let is_rate = options.rate_hz.is_none_or(|rate| matches!(rate, 8_000 | 16_000 | 48_000));
    faults.expect(is_rate, &format!("{at}/rate_hz"), "expected 8000, 16000 or 48000");
    let is_wav = options.format == RecordingFormat::Wav;
    let fits = is_wav || options.rate_hz.is_none_or(|rate| rate == 48_000);
    faults.expect(fits, &format!("{at}/rate_hz"), "expected none: Opus has 48000");
}

/// Characters of a mark.
const MAX_LABEL: usize = 256;
/// Sounds of a playback.
const MAX_MEDIA: usize = 64;
/// Most items on a page.
pub(crate) const MAX_PAGE: u32 = 500;
/// Items on a page where nobody says.
pub(crate) const DEFAULT_PAGE: u32 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(value: &impl Validate) -> Vec<String> {
        let mut faults = Faults::default();
        value.validate(&mut faults);
        faults.0.into_iter().filter_map(|fault| fault.pointer).collect()
    }

    #[test]
    fn sip_uris_are_told_by_their_shape() {
        let good =
            ["sip:a@b", "sips:a@b:5061;transport=tcp", "SIP:192.0.2.1", "sip:+1;x=y@[::1]:5060"];
        let bad =
            ["", "a@b", "tel:1", "sip:", "sip:a@", "sip:a b@c", "sip:a@b\r\nX: y", "sip:<a@b>"];

        assert!(good.into_iter().all(is_sip_uri));
        assert_eq!(bad.into_iter().filter(|uri| is_sip_uri(uri)).count(), 0);
    }

    #[test]
    fn every_field_out_of_range_is_named() {
        let invite = Invite {
            trunk: None,
            to: "bob".to_owned(),
            from: Some("a b".to_owned()),
            display_name: Some("x\n".to_owned()),
            role: crate::model::Role::Speaker,
            group: Some("leg_1".to_owned()),
            coaching: Some("a b".to_owned()),
            supervision: None,
            muted: false,
            agc: None,
            noise_suppression: None,
            echo_suppression: None,
            timeout_s: Some(0),
            codecs: Some(vec!["PCMU".to_owned(), "pcmu".to_owned(), "GSM".to_owned()]),
        };
        let update = UpdateParticipant { gain_in_db: Some(f32::NAN), ..Default::default() };

        let groups = serde_json::from_value(serde_json::json!({
            "a/b": null, "c": { "duck_db": -1.0, "hears": [{ "group": "c", "gain_db": 40.0 }] },
        }));
        let room = CreateRoom { groups: groups.unwrap(), ..CreateRoom::default() };

        let expected = [
            "/to",
            "/from",
            "/display_name",
            "/group",
            "/coaching",
            "/timeout_s",
            "/codecs/1",
            "/codecs/2",
        ];
        assert_eq!(pointers(&invite), expected);
        let expected = ["/groups/a~1b", "/groups/c/duck_db", "/groups/c/hears/0/gain_db"];
        assert_eq!(pointers(&room), expected);
        assert_eq!(pointers(&update), ["/gain_in_db"]);
        assert_eq!(pointers(&Transfer::default()), [""]);
    }

    #[test]
    fn a_room_name_cannot_pass_for_an_id() {
        assert!(is_room_name("board-room.1"));
        assert!(!is_room_name("room_01JDC5E0000000000000000000"));
        assert!(!is_room_name("a/b") && !is_room_name(""));
    }
}
