//! Every route, one file a resource. Handlers ask the bridge and say what it answered; nothing is decided here.

mod api_keys;
mod bans;
mod calls;
#[expect(unused_qualifications, reason = "utoipa spells out the types of parameters")]
mod events;
mod invitations;
mod legs;
mod media;
mod messages;
mod node;
mod page;
mod participants;
mod playbacks;
mod presence;
mod recordings;
mod records;
mod registrations;
mod rooms;
mod routing;
mod sessions;
mod socket;
mod templates;
mod tokens;
mod trunks;
mod users;
mod webhooks;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRef};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use utoipa_axum::router::OpenApiRouter;

use crate::archive::Desk;
use crate::auth::Keys;
use crate::control::{Control, ControlError};
use crate::directory::Directory;
use crate::envelope::envelop;
use crate::event::EventType;
use crate::events::EventLog;
use crate::extract::{Json, MaxUpload};
use crate::gate::{Gate, authorise};
use crate::idempotency::{Answers, replay};
use crate::mail::Mailroom;
use crate::model::Trace;
use crate::origins::Origins;
use crate::streams::Streams;
use crate::tokens::Signer;
use crate::webhooks::Webhooks;
use crate::{openapi, pcapng};

pub(crate) use self::events::{kinds_like, room_id};

/// What the API stands on.
#[derive(Clone, Debug)]
pub struct Api {
    /// The door to the bridge.
    pub control: Control,
    /// The log that the driver writes.
    pub log: EventLog,
    /// Who is let in.
    pub keys: Keys,
    /// Where what must survive a restart is handed in.
    pub desk: Desk,
    /// Who is told of events by HTTP.
    pub webhooks: Webhooks,
    /// Who sends mail.
    pub mailroom: Mailroom,
    /// Who knows people and their passwords.
    pub directory: Directory,
    /// Limits.
    pub settings: Settings,
}

/// Limits of the API.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Event streams and WebSockets open at once; one more is refused with 503. Default 256.
    pub max_streams: usize,
    /// Those of them that one key may have open; one more is refused with 429. Default 64.
    pub max_streams_of_key: usize,
    /// Requests a second of one key, twice as many at once; one more is refused with 429. 0: as many as it likes. Default 200.
    pub requests_per_second: u32,
    /// Connections from one address (of IPv6: one /64); a further one is closed. Default 256.
    pub connections_per_source: usize,
    /// Origins such as `https://example.com` whose pages may use the API from a browser; `*` is any. Default none but our own.
    pub cors: Vec<String>,
    /// Answers kept for `Idempotency-Key`; the oldest makes way. Default 10 000.
    pub idempotency_keys: usize,
    /// Whether `/metrics` is open to all who reach the listener; else it needs an admin key. Default false.
    pub open_metrics: bool,
    /// Octets of a sound that is uploaded. Default 20 MiB.
    pub max_upload: usize,
    /// The folder of recordings; each has one of its own in it.
    pub recordings: PathBuf,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_streams: 256,
            max_streams_of_key: 64,
            requests_per_second: 200,
            connections_per_source: 256,
            cors: Vec::new(),
            idempotency_keys: 10_000,
            open_metrics: false,
            max_upload: 20 * 1024 * 1024,
            recordings: PathBuf::from("recordings"),
        }
    }
}

/// What handlers may take by `State`.
#[derive(Clone, Debug, FromRef)]
pub(crate) struct Shared {
    control: Control,
    log: EventLog,
    keys: Keys,
    desk: Desk,
    webhooks: Webhooks,
    mailroom: Mailroom,
    directory: Directory,
    gate: Gate,
    signer: Signer,
    streams: Streams,
    max_upload: MaxUpload,
    recordings: Recordings,
    origins: Origins,
}

/// The folder of recordings.
#[derive(Clone, Debug)]
pub(crate) struct Recordings(Arc<Path>);

/// Every route of the API and the operator page, ready to serve or to call in a test.
pub fn router(api: Api) -> Router {
    let Api { control, log, keys, desk, webhooks, mailroom, directory, settings } = api;
    let signer = Signer::new();
    let gate = Gate::new(
        (keys.clone(), signer.clone()),
        (control.clone(), desk.clone()),
        settings.requests_per_second,
    );
    let streams = Streams::new(settings.max_streams, settings.max_streams_of_key);
    let origins = Origins::new(&settings.cors);
    let max_upload = MaxUpload(settings.max_upload);
    let shared = Shared {
        control,
        log,
        keys,
        desk,
        webhooks,
        mailroom,
        directory,
        gate: gate.clone(),
        signer,
        streams,
        max_upload,
        recordings: Recordings(settings.recordings.as_path().into()),
        origins: origins.clone(),
    };
    let answers = Answers::new(settings.idempotency_keys);
    let (v1, metrics) = (v1(&settings), OpenApiRouter::new().merge(node::metrics()));
    let document = openapi::document(
        v1.get_openapi().clone(),
        node::open().merge(sessions::open()).into_openapi(),
        metrics.get_openapi().clone(),
    );

    let locked = || from_fn_with_state(gate.clone(), authorise);
    let v1 = Router::from(v1).layer(from_fn_with_state(answers, replay)).layer(locked());
    let metrics = Router::from(metrics);
    let metrics = if settings.open_metrics { metrics } else { metrics.layer(locked()) };
    Router::new()
        .merge(v1)
        .merge(metrics)
        .merge(Router::from(node::open()))
        .merge(Router::from(sessions::open()))
        .merge(page::assets())
        .with_state(shared)
        .merge(openapi::route(&document))
        .layer(DefaultBodyLimit::max(crate::MAX_BODY))
        .layer(from_fn(envelop))
        .layer(compression())
        .layer(origins.cors())
}

/// What is worth it and can be waited for: not sound, and not events, which must leave at once.
fn compression() -> CompressionLayer<impl Predicate> {
    let is_worth_it = SizeAbove::new(SMALLEST_COMPRESSED)
        .and(NotForContentType::SSE)
        .and(NotForContentType::const_new("audio/"));
    CompressionLayer::new().gzip(true).compress_when(is_worth_it)
}

fn v1(settings: &Settings) -> OpenApiRouter<Shared> {
    let resources = OpenApiRouter::new()
        .merge(rooms::routes())
        .merge(invitations::routes())
        .merge(participants::routes())
        .merge(calls::routes())
        .merge(legs::routes())
        .merge(node::nodes())
        .merge(bans::routes())
        .merge(registrations::routes())
        .merge(presence::routes())
        .merge(messages::routes())
        .merge(playbacks::routes())
        .merge(media::routes(settings.max_upload))
        .merge(recordings::routes())
        .merge(records::routes())
        .merge(api_keys::routes())
        .merge(users::routes())
        .merge(trunks::routes())
        .merge(routing::routes())
        .merge(events::routes())
        .merge(webhooks::routes())
        .merge(sessions::routes())
        .merge(socket::routes())
        .merge(templates::routes())
        .merge(tokens::routes());
    OpenApiRouter::new().nest("/v1", resources)
}

fn no_secret() -> ControlError {
    let detail = "there was no randomness at the start for the secret that signs tokens".to_owned();
    ControlError::Busy { detail, retry_after_s: 60 }
}

/// 201 with where the new resource is.
fn created<T: Serialize>(location: &str, body: T) -> Response {
    (StatusCode::CREATED, [(header::LOCATION, path(location))], Json(body)).into_response()
}

/// 201 with where the new resource is, and its `ETag`.
fn made<T: Serialize>(location: &str, revision: u64, body: T) -> Response {
    ([(header::ETAG, etag(revision))], created(location, body)).into_response()
}

/// 200 with the `ETag`.
fn tagged<T: Serialize>(revision: u64, body: T) -> Response {
    ([(header::ETAG, etag(revision))], Json(body)).into_response()
}

/// 200 with an `ETag` of the revision, which `If-Match` asks for, and a digest of what is shown, which may change without it;
/// 304 to who has just that (`If-None-Match`).
fn shown<T: Serialize>(headers: &HeaderMap, revision: u64, body: &T) -> Response {
    // Our own shapes have string keys only: they always serialise.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let digest = Sha256::digest(&text);
    let digest = digest[..6].iter().fold(0, |digest, octet| digest << 8 | u64::from(*octet));
    let etag = path(&format!("\"{revision}-{digest:012x}\""));
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let mut known = known.filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
    let has_it = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    if known.any(|tag| has_it(tag.trim())) {
        return (StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response();
    }
    let kind = HeaderValue::from_static("application/json");
    ([(header::ETAG, etag), (header::CONTENT_TYPE, kind)], text).into_response()
}

fn etag(revision: u64) -> HeaderValue {
    path(&format!("\"{revision}\""))
}

/// 202 with the resource in its new state, where it is, and the types of the events to expect.
fn accepted<T: Serialize>(location: &str, expect: &[EventType], body: T) -> Response {
    let expect = expect.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
    let headers = [(header::LOCATION, path(location)), (EXPECT_EVENTS, path(&expect))];
    (StatusCode::ACCEPTED, headers, Json(body)).into_response()
}

/// A trace as JSON, or as the capture file that somebody prefers.
fn traced(headers: &HeaderMap, name: &str, trace: &Trace) -> Response {
    let wanted = headers.get_all(header::ACCEPT).iter();
    let is_capture = |accept: &HeaderValue| {
        accept.to_str().is_ok_and(|accept| accept.contains(pcapng::MEDIA_TYPE))
    };
    if !wanted.into_iter().any(is_capture) {
        return Json(trace).into_response();
    }
    let file = format!("attachment; filename=\"{name}.pcapng\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(pcapng::MEDIA_TYPE)),
        (header::CONTENT_DISPOSITION, path(&file)),
    ];
    (headers, pcapng::write(trace)).into_response()
}

fn path(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("/"))
}

/// Smallest answer that is compressed, bytes: it fits into one packet all the same.
const SMALLEST_COMPRESSED: u64 = 1024;
/// Types of the events that tell how accepted work goes on.
const EXPECT_EVENTS: HeaderName = HeaderName::from_static("expect-events");
