//! What every request under `/v1` passes: its key or token, its rate, its scope and its rooms, and the audit.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::archive::{Desk, Record};
use crate::auth::{Bounds, Scope};
use crate::buckets::{Buckets, Left, Rate, Spent};
use crate::control::{Command, Control};
use crate::envelope::RequestName;
use crate::error::ApiError;
use crate::id::AuditId;
use crate::keys::{Entry, KeyDigest, Keys, digest};
use crate::model::{Audience, AuditEntry, RoomState};
use crate::serve::network;
use crate::tokens::{Claims, SessionClaims, Signer, is_session, is_token};

/// What is asked before a request goes on.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) keys: Keys,
    /// Knows which room has which name, and who is in it.
    pub(crate) control: Control,
    /// Where the audit goes.
    pub(crate) desk: Desk,
    /// Signs tokens for rooms.
    pub(crate) signer: Signer,
    /// How often a key may ask; `None`: as often as it likes.
    rates: Option<Arc<Mutex<Buckets<KeyDigest>>>>,
    /// How often a refused login is remembered, so that who knocks cannot fill the store.
    knocks: Arc<Mutex<Knocks>>,
}

impl Gate {
    /// A gate that lets a key ask so often a second; 0: as often as it likes.
    pub(crate) fn new(
        (keys, signer): (Keys, Signer),
        (control, desk): (Control, Desk),
        requests_per_second: u32,
    ) -> Self {
        let per_second = f64::from(requests_per_second);
        let rate = Rate { per_second, burst: 2.0 * per_second };
        let rates = (requests_per_second > 0)
            .then(|| Arc::new(Mutex::new(Buckets::new(rate, MAX_PRINCIPALS))));
        let knocks = Knocks {
            of_source: Buckets::new(KNOCKS_OF_SOURCE, MAX_SOURCES),
            of_all: Buckets::new(KNOCKS_OF_ALL, 1),
        };
        let knocks = Arc::new(Mutex::new(knocks));
        Self { keys, control, desk, signer, rates, knocks }
    }

    /// Whose request it is, and what they may.
    async fn know(&self, shown: Result<String, ApiError>) -> Result<Pass, ApiError> {
        let shown = shown?;
        let digest = digest(&shown);
        let (entry, proof) = if is_token(&shown) {
            let claims = self.signer.open(&shown).ok_or(UNKNOWN_TOKEN)?;
            (self.vouched(&claims).await?, Proof::Token(claims))
        } else if is_session(&shown) {
            let claims = self.signer.open_session(&shown).ok_or(UNKNOWN_TOKEN)?;
            (Arc::new(Entry::of(&claims)), Proof::Session)
        } else {
            let known = self.keys.find(&digest);
            (known.ok_or(ApiError::Unauthorized("this key is not known"))?, Proof::Key)
        };
        if entry.has_expired() {
            return Err(ApiError::Unauthorized("this key has expired"));
        }
        Ok(Pass { gate: self.clone(), digest, entry, proof })
    }

    /// What a token may: what it says, as far as who made it may that still, while the room is open.
    async fn vouched(&self, claims: &Claims) -> Result<Arc<Entry>, ApiError> {
        let entry = self.keys.vouch(claims).ok_or(ApiError::Unauthorized(MAKER_GONE))?;
        let room = claims.room.to_string();
        let found = self.control.ask(|reply| Command::Room { room, reply }).await;
        match found {
            Ok(room) if room.state == RoomState::Open => {
                let maker = self.keys.maker_of(claims).ok_or(ApiError::Unauthorized(MAKER_GONE))?;
                let bounds = Bounds(Arc::clone(&maker.rooms));
                bounds.admit(&self.control, &room.id.to_string()).await?;
                Ok(entry)
            }
            Ok(_) => Err(ApiError::Unauthorized("the room of this token has ended")),
            Err(crate::control::ControlError::NotFound { .. }) => {
                Err(ApiError::Unauthorized("the room of this token has ended"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes one from the rate of a key; `None` where there is none.
    fn take(&self, digest: &KeyDigest) -> Result<Option<Left>, Spent> {
        let Some(rates) = &self.rates else { return Ok(None) };
        // Nothing panics while it is held; if something did, the buckets are whole all the same.
        let taken =
            rates.lock().unwrap_or_else(PoisonError::into_inner).take(digest, Instant::now());
        taken.map(Some)
    }

    /// Has a refused login remembered, without what was shown, unless too many came from there or at all.
    pub(crate) fn note_refused(&self, request: &Asked, error: &ApiError) {
        let mut knocks = self.knocks.lock().unwrap_or_else(PoisonError::into_inner);
        let is_few = knocks.take(network(request.source), Instant::now());
        drop(knocks);
        if is_few {
            self.note(request, None, error.status().as_u16());
        }
    }

    /// Has it remembered who has logged in.
    pub(crate) fn note_login(&self, request: &Asked, claims: &SessionClaims, status: u16) {
        self.note(request, Some(&Entry::of(claims)), status);
    }

    fn note(&self, request: &Asked, entry: Option<&Entry>, status: u16) {
        let now = Timestamp::now();
        let id = AuditId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), random());
        let Asked { method, path, request_id, source } = request.clone();
        let entry = AuditEntry {
            id,
            time: now,
            key: entry.and_then(|entry| entry.id),
            key_name: entry.map(|entry| entry.name.clone()).unwrap_or_default(),
            method,
            path,
            status,
            request_id,
            source: Some(source.to_string()).filter(|_| !source.is_unspecified()),
        };
        self.desk.note(Record::Audit(Box::new(entry)));
    }
}

/// Refused logins, by where they came from, and all together.
#[derive(Debug)]
struct Knocks {
    of_source: Buckets<IpAddr>,
    of_all: Buckets<()>,
}

impl Knocks {
    /// Whether one more is to be remembered.
    fn take(&mut self, source: IpAddr, now: Instant) -> bool {
        self.of_source.take(&source, now).is_ok() && self.of_all.take(&(), now).is_ok()
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// What is remembered of a request, but for its answer.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    method: String,
    path: String,
    request_id: String,
    source: IpAddr,
}

impl Asked {
    fn of(request: &Request) -> Self {
        Self::new((request.method(), request.uri()), request.extensions())
    }

    fn new((method, uri): (&Method, &Uri), extensions: &Extensions) -> Self {
        let name = extensions.get::<RequestName>();
        let peer = extensions.get::<Peer>();
        Self {
            method: method.to_string(),
            path: uri.path().chars().take(LONGEST_PATH).collect(),
            request_id: name.map(|name| name.0.clone()).unwrap_or_default(),
            source: peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0),
        }
    }

    /// Where it comes from: of IPv6, one /64.
    pub(crate) fn network(&self) -> IpAddr {
        network(self.source)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::new((&parts.method, &parts.uri), &parts.extensions))
    }
}

/// Digest of the key that a request came with: whose request it is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Principal(pub(crate) KeyDigest);

/// The key or token of a request, also for what goes on after its answer.
#[derive(Clone, Debug)]
pub(crate) struct Pass {
    gate: Gate,
    digest: KeyDigest,
    entry: Arc<Entry>,
    proof: Proof,
}

/// What somebody has shown.
#[derive(Clone, Debug)]
enum Proof {
    Key,
    /// One for a room, and what it says.
    Token(Claims),
    /// That they have logged in by their password.
    Session,
}

impl Pass {
    /// Whether its key has this right.
    pub(crate) fn may(&self, scope: Scope) -> Result<(), ApiError> {
        if self.entry.may(scope) { Ok(()) } else { Err(ApiError::Forbidden(scope)) }
    }

    /// Counts something that is asked without a request of its own.
    pub(crate) fn take(&self) -> Result<(), ApiError> {
        let taken = self.gate.take(&self.digest);
        taken.map(drop).map_err(|spent| ApiError::TooManyRequests(spent.wait))
    }

    /// Whose it is.
    pub(crate) fn principal(&self) -> Principal {
        Principal(self.digest)
    }

    /// The key, for a token to be made by it: tokens make no tokens.
    pub(crate) fn maker(&self) -> Result<&Entry, ApiError> {
        match self.proof {
            Proof::Key => Ok(&self.entry),
            Proof::Token(_) | Proof::Session => Err(ApiError::TokenOfToken),
        }
    }

    /// Waits until the key is no longer what it was: expired, changed or deleted.
    pub(crate) async fn over(self) {
        let mut changes = self.gate.keys.changes();
        while self.is_good() {
            tokio::select! {
                told = changes.changed() => if told.is_err() { return },
                () = until(self.entry.expires_at) => {}
            }
        }
    }

    fn is_good(&self) -> bool {
        let now = match &self.proof {
            Proof::Token(claims) => self.gate.keys.vouch(claims),
            Proof::Session => Some(Arc::clone(&self.entry)),
            Proof::Key => self.gate.keys.find(&self.digest),
        };
        let was = &self.entry;
        now.is_some_and(|now| {
            (&now.scopes, &now.rooms) == (&was.scopes, &was.rooms) && !now.has_expired()
        })
    }
}

/// Waits for that time, or for a day.
async fn until(expires_at: Option<Timestamp>) {
    let left = expires_at.map(|at| at.duration_since(Timestamp::now()));
    let left = left.map_or(LONGEST_WAIT, |left| Duration::try_from(left).unwrap_or_default());
    // The timer counts in milliseconds.
    sleep(left.min(LONGEST_WAIT) + Duration::from_millis(1)).await;
}

impl<S: Send + Sync> FromRequestParts<S> for Pass {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or(MISSING)
    }
}

/// Lets a request through when its key may do what it asks, and has remembered who commanded what, and who was not let in.
pub(crate) async fn authorise(
    State(gate): State<Gate>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let asked = Asked::of(&request);
    let pass = gate.know(shown(&request)).await.inspect_err(|error| {
        if matches!(error, ApiError::Unauthorized(_)) {
            gate.note_refused(&asked, error);
        }
    })?;
    let is_command = !request.method().is_safe();
    let entry = Arc::clone(&pass.entry);
    let answer = in_rate(request, next, pass).await;
    let status = answer.as_ref().map_or_else(ApiError::status, Response::status);
    if is_command && status != StatusCode::TOO_MANY_REQUESTS {
        gate.note(&asked, Some(&entry), status.as_u16());
    }
    answer
}

/// Lets a request through when its key has not asked too often, and says how often it still may.
async fn in_rate(request: Request, next: Next, pass: Pass) -> Result<Response, ApiError> {
    let (answer, left) = match pass.gate.take(&pass.digest) {
        Ok(None) => return go_on(request, next, pass).await,
        Ok(Some(left)) => (go_on(request, next, pass).await, left),
        Err(spent) => (Err(ApiError::TooManyRequests(spent.wait)), spent.left),
    };
    let mut answer = answer.unwrap_or_else(ApiError::into_response);
    let full_in_s = left.full_in.as_secs_f64().ceil();
    let headers = answer.headers_mut();
    headers.insert(RATE_LIMIT, HeaderValue::from(left.limit));
    headers.insert(RATE_REMAINING, HeaderValue::from(left.count));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 2 s")]
    headers.insert(RATE_RESET, HeaderValue::from(full_in_s as u32));
    Ok(answer)
}

async fn go_on(mut request: Request, next: Next, pass: Pass) -> Result<Response, ApiError> {
    pass.may(Scope::needed_for(request.method(), request.uri().path()))?;
    let bounds = Bounds(Arc::clone(&pass.entry.rooms));
    if !bounds.0.is_empty() {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        stay_within(&pass.gate.control, &bounds, (method, uri)).await?;
    }
    let extensions = request.extensions_mut();
    extensions.insert(pass.principal());
    extensions.insert(bounds);
    extensions.insert(pass);
    Ok(next.run(request).await)
}

fn random() -> u128 {
    let mut random = [0; 16];
    // Without randomness ids are only as unique as the clock, which is good enough to go on.
    getrandom::fill(&mut random).map_or(0, |()| u128::from_ne_bytes(random))
}

/// A key that is bound to rooms sees these rooms, the legs in them, what is played to either, and their events.
async fn stay_within(
    control: &Control,
    bounds: &Bounds,
    (method, uri): (Method, Uri),
) -> Result<(), ApiError> {
    let path = uri.path().strip_prefix("/v1/").unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let hearer = match parts.as_slice() {
        ["rooms", room, ..] => Some(Audience::Room((*room).to_owned())),
        ["rooms" | "legs" | "playbacks"] if method.is_safe() => return Ok(()),
        // Events tell of these rooms alone, whatever they are asked for. To whom something is to be played, or what is to be recorded, is in
        // the body; what a recording is of, it says itself.
        ["events" | "recordings", ..] | ["ws" | "playbacks"] => return Ok(()),
        ["playbacks", playback] => hearer_of(control, playback).await,
        // A transfer leads out of the room.
        ["legs", leg, rest @ ..] if rest != ["transfer"] => leg.parse().ok().map(Audience::Leg),
        _ => None,
    };
    bounds.admit_hearer(control, &hearer.ok_or_else(|| bounds.exceeded())?).await
}

async fn hearer_of(control: &Control, playback: &str) -> Option<Audience> {
    let playback = playback.parse().ok()?;
    control.ask(|reply| Command::Playback { playback, reply }).await.ok()?.hearer()
}

/// The key or token of a request. A browser, which cannot set the header of a WebSocket or of an event stream, offers it as a
/// sub-protocol, or has a token in the query: that is written down in too many places for what is good for longer.
fn shown(request: &Request) -> Result<String, ApiError> {
    let (headers, uri) = (request.headers(), request.uri());
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        let by_protocol = || offered(headers).filter(|_| uri.path() == SOCKET_PATH);
        let by_query = || queried(uri).filter(|_| [SOCKET_PATH, STREAM_PATH].contains(&uri.path()));
        return by_protocol().or_else(by_query).ok_or(MISSING);
    };
    let (scheme, key) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or(MISSING)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(key.trim().to_owned()) } else { Err(MISSING) }
}

fn offered(headers: &HeaderMap) -> Option<String> {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    let offers = lines.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let shown = offers.map(str::trim).find_map(|offer| offer.strip_prefix(BEARER_PROTOCOL));
    shown.map(str::to_owned)
}

/// A token, not a key.
fn queried(uri: &Uri) -> Option<String> {
    #[derive(Deserialize)]
    struct Query {
        token: Option<String>,
    }

    let query = axum::extract::Query::<Query>::try_from_uri(uri).ok()?;
    query.0.token.filter(|token| is_token(token))
}

const MISSING: ApiError =
    ApiError::Unauthorized("send the key as a header: Authorization: Bearer KEY");
const UNKNOWN_TOKEN: ApiError =
    ApiError::Unauthorized("this token was not made here since the start");
const MAKER_GONE: &str = "the key that made this token is gone";
/// Where a WebSocket is opened.
const SOCKET_PATH: &str = "/v1/ws";
const STREAM_PATH: &str = "/v1/events/stream";
/// A sub-protocol that carries a key.
const BEARER_PROTOCOL: &str = "plenary.bearer.";
/// Longest that a timer is set for.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// Most of a path that is remembered, characters.
const LONGEST_PATH: usize = 256;
/// Keys and tokens whose rates are counted at once.
const MAX_PRINCIPALS: usize = 20_000;
/// Refused logins of a source that are remembered.
const KNOCKS_OF_SOURCE: Rate = Rate { per_second: 0.2, burst: 10.0 };
/// And of all sources together.
const KNOCKS_OF_ALL: Rate = Rate { per_second: 1.0, burst: 100.0 };
/// Sources whose refused logins are counted at once.
const MAX_SOURCES: usize = 1024;
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const RATE_REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RATE_RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
