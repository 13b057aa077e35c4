//! `/v1/recordings`: what was said in rooms, calls and legs, as files.
//!
//! The bridge has those that go on, the store all of them; the files lie in a folder, and are served from there.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tower::ServiceExt as _;
use tower_http::services::ServeFile;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Recordings, Shared, accepted, path};
use crate::archive::{Desk, Read};
use crate::auth::{Bounds, Scope};
use crate::control::{Command, Control, ControlError};
use crate::error::{ApiError, FieldError};
use crate::event::EventType;
use crate::extract::{Json, Params, Path};
use crate::gate::Pass;
use crate::id::{LegId, RecordingId};
use crate::model::{
    Audience, CreateMark, CreateRecording, Page, Recording, RecordingFormat, RecordingQuery, Track,
    UpdateRecording,
};
use crate::validate::DEFAULT_PAGE;

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, update, delete))
        .routes(routes!(mark))
        .routes(routes!(stop))
        .routes(routes!(content))
}

/// List recordings
///
/// Newest first, without their marks, for as long as `recordings.keep_days` says.
#[utoipa::path(get, path = "/recordings", tag = "recordings", operation_id = "listRecordings",
    params(RecordingQuery), responses((status = OK, body = Page<Recording>)))]
async fn list(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Params(query): Params<RecordingQuery>,
    bounds: Bounds,
) -> Result<Json<Page<Recording>>, ApiError> {
    let query = query.checked()?;
    match &query.room {
        Some(room) => bounds.admit(&control, room).await?,
        // Which rooms a recording may be of is asked for one by one.
        None if !bounds.0.is_empty() => return Err(bounds.exceeded()),
        None => {}
    }
    let live = control.ask(|reply| Command::LiveRecordings { reply }).await?;
    let stored = desk.read(|reply| Read::Recordings(query.clone(), reply)).await?;
    Ok(Json(merge(&query, &live, stored)))
}

/// A page of what is stored, in which what goes on is as it is now: the store hears of that a little later.
fn merge(query: &RecordingQuery, live: &[Recording], stored: Page<Recording>) -> Page<Recording> {
    let limit = usize::try_from(query.limit.unwrap_or(DEFAULT_PAGE)).unwrap_or(usize::MAX);
    let before: Option<RecordingId> = query.cursor.as_ref().and_then(|id| id.parse().ok());
    // What the page after this one begins with is its own.
    let last = stored.next.as_ref().and_then(|id| id.parse().ok());
    let is_here = |recording: &Recording| {
        before.is_none_or(|before| recording.id < before)
            && last.is_none_or(|last| recording.id >= last)
    };
    let mut items: Vec<Recording> = live
        .iter()
        .filter(|recording| query.wants(recording) && is_here(recording))
        .cloned()
        .collect();
    let is_live = |id| live.iter().any(|recording| recording.id == id);
    items.extend(stored.items.into_iter().filter(|recording| !is_live(recording.id)));
    items.sort_by_key(|recording| std::cmp::Reverse(recording.id));
    let has_more = items.len() > limit || stored.next.is_some();
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|recording| recording.id.to_string());
    Page { items, next: next.or_else(|| stored.next.filter(|_| has_more)) }
}

/// Record something
///
/// A room or a call, all of it as one track (`mix`), each who is in it as a track of their own (`tracks`), or both; or what a leg
/// says. Expect `recording.started`, and `recording.completed` once it is over and its files are on the disk. What a call or a leg
/// says needs `calls:write` too.
#[utoipa::path(post, path = "/recordings", tag = "recordings", operation_id = "createRecording",
    request_body(content = CreateRecording, example = json!({"room": "board", "tracks": true, "notice": true})),
    responses((status = ACCEPTED, body = Recording, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn create(
    State(control): State<Control>,
    pass: Pass,
    bounds: Bounds,
    Json(body): Json<CreateRecording>,
) -> Result<Response, ApiError> {
    let of = body.audience().ok_or_else(|| {
        ApiError::Content(vec![FieldError::at("", "expected exactly one of room, call and leg")])
    })?;
    if !matches!(of, Audience::Room(_)) {
        pass.may(Scope::CallsWrite)?;
    }
    bounds.admit_hearer(&control, &of).await?;
    let options = body.options();
    let recording = control.ask(|reply| Command::CreateRecording { of, options, reply }).await?;
    let expect =
        [EventType::RecordingStarted, EventType::RecordingCompleted, EventType::RecordingFailed];
    Ok(accepted(&format!("/v1/recordings/{}", recording.id), &expect, recording))
}

/// Show a recording
///
/// With its marks: who talked when, which keys were pressed, where it was paused, and notes.
#[utoipa::path(get, path = "/recordings/{recording}", tag = "recordings", operation_id = "getRecording",
    params(("recording" = RecordingId, Path)), responses((status = OK, body = Recording)))]
async fn read(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Path(recording): Path<RecordingId>,
    bounds: Bounds,
) -> Result<Json<Recording>, ApiError> {
    Ok(Json(find(&control, &desk, &bounds, recording).await?))
}

/// Pause a recording, or let it go on
///
/// Its files are silent meanwhile, so that all that follows keeps its place. Expect `recording.paused` or `recording.resumed`.
#[utoipa::path(patch, path = "/recordings/{recording}", tag = "recordings", operation_id = "updateRecording",
    params(("recording" = RecordingId, Path)),
    request_body(content = UpdateRecording, example = json!({"paused": true})),
    responses((status = OK, body = Recording)))]
async fn update(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Path(recording): Path<RecordingId>,
    bounds: Bounds,
    Json(body): Json<UpdateRecording>,
) -> Result<Json<Recording>, ApiError> {
    going_on(find(&control, &desk, &bounds, recording).await?)?;
    Ok(Json(control.ask(|reply| Command::UpdateRecording { recording, body, reply }).await?))
}

/// Put a mark into a recording
///
/// A note at the present place.
#[utoipa::path(post, path = "/recordings/{recording}/marks", tag = "recordings", operation_id = "markRecording",
    params(("recording" = RecordingId, Path)),
    request_body(content = CreateMark, example = json!({"label": "vote on the budget"})),
    responses((status = OK, body = Recording)))]
async fn mark(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Path(recording): Path<RecordingId>,
    bounds: Bounds,
    Json(body): Json<CreateMark>,
) -> Result<Json<Recording>, ApiError> {
    going_on(find(&control, &desk, &bounds, recording).await?)?;
    Ok(Json(control.ask(|reply| Command::MarkRecording { recording, body, reply }).await?))
}

/// Stop a recording
///
/// Expect `recording.completed` once its files are on the disk.
#[utoipa::path(post, path = "/recordings/{recording}/stop", tag = "recordings", operation_id = "stopRecording",
    params(("recording" = RecordingId, Path)),
    responses((status = ACCEPTED, body = Recording, headers(("Location" = String), ("Expect-Events" = String)))))]
async fn stop(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Path(recording): Path<RecordingId>,
    bounds: Bounds,
) -> Result<Response, ApiError> {
    going_on(find(&control, &desk, &bounds, recording).await?)?;
    let recording = control.ask(|reply| Command::StopRecording { recording, reply }).await?;
    let expect = [EventType::RecordingCompleted, EventType::RecordingFailed];
    Ok(accepted(&format!("/v1/recordings/{}", recording.id), &expect, recording))
}

/// Delete a recording
///
/// With its files. 409 for one that goes on: stop it first.
#[utoipa::path(delete, path = "/recordings/{recording}", tag = "recordings", operation_id = "deleteRecording",
    params(("recording" = RecordingId, Path)), responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    State(desk): State<Desk>,
    Path(recording): Path<RecordingId>,
    bounds: Bounds,
) -> Result<StatusCode, ApiError> {
    over(&find(&control, &desk, &bounds, recording).await?)?;
    let unstored = |failure: &dyn std::fmt::Display| ControlError::Unstored {
        detail: format!("the recording is not deleted: {failure}"),
    };
    let stored = desk.forget(recording).map_err(|failure| unstored(&failure))?;
    let stored = stored.await.map_err(|_| ControlError::Stopping)?;
    stored.map_err(|failure| unstored(&failure))?;
    control.ask(|reply| Command::DiscardRecording { recording, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Fetch a file of a recording
///
/// All of it, or parts of it (`Range`).
#[utoipa::path(get, path = "/recordings/{recording}/content", tag = "recordings", operation_id = "getRecordingContent",
    params(("recording" = RecordingId, Path),
        ("track" = Option<String>, Query, description = "`mix` or the id of a leg; the first track when absent"),
        ("Range" = Option<String>, Header)),
    responses((status = OK, content_type = "audio/wav", body = Vec<u8>),
        (status = PARTIAL_CONTENT, content_type = "audio/wav", body = Vec<u8>)))]
#[expect(clippy::too_many_arguments, reason = "axum hands in the parts of a request one by one")]
async fn content(
    State(control): State<Control>,
    State(desk): State<Desk>,
    State(folder): State<Recordings>,
    Path(recording): Path<RecordingId>,
    Params(wanted): Params<WantedTrack>,
    bounds: Bounds,
    request: Request,
) -> Result<Response, ApiError> {
    let recording = find(&control, &desk, &bounds, recording).await?;
    over(&recording)?;
    let named = |track: &&Track| wanted.track.as_ref().is_none_or(|name| track.name == *name);
    let file = recording.tracks.iter().find(named).and_then(|track| track.file.as_ref());
    let file = file.ok_or_else(|| ControlError::NotFound {
        what: "track",
        name: wanted.track.unwrap_or_else(|| "mix".to_owned()),
    })?;
    let at = folder.0.join(recording.id.to_string()).join(&file.name);
    // The file system answers, or the reading breaks off: there is no error to be had.
    let Ok(answer) = ServeFile::new(at).oneshot(request).await;
    if answer.status() == StatusCode::NOT_FOUND {
        let name = format!("{}/{}", recording.id, file.name);
        return Err(ControlError::NotFound { what: "file", name }.into());
    }
    let mut answer = answer.map(Body::new).into_response();
    let shown = format!("inline; filename=\"{}-{}\"", recording.id, file.name);
    let kind = match recording.format {
        RecordingFormat::Wav => "audio/wav",
        RecordingFormat::Opus => "audio/ogg",
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_DISPOSITION, path(&shown));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::ETAG, path(&format!("\"{}\"", file.sha256)));
    Ok(answer)
}

/// Which file of a recording.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WantedTrack {
    track: Option<String>,
}

/// The recording, as it is now, if the key may see it.
async fn find(
    control: &Control,
    desk: &Desk,
    bounds: &Bounds,
    id: RecordingId,
) -> Result<Recording, ApiError> {
    let live = control.ask(|reply| Command::Recording { recording: id, reply }).await;
    let recording = match live {
        Err(ControlError::NotFound { .. }) => desk.read(|reply| Read::Recording(id, reply)).await?,
        live => live?,
    };
    let names = recording.room.map(|room| room.to_string()).into_iter();
    if bounds.name_one_of(names.chain(recording.room_name.clone())) {
        return Ok(recording);
    }
    // A leg is seen from a room while it sits there.
    let leg: LegId = recording.leg.ok_or_else(|| bounds.exceeded())?;
    bounds.admit_hearer(control, &Audience::Leg(leg)).await?;
    Ok(recording)
}

fn going_on(recording: Recording) -> Result<Recording, ApiError> {
    if !recording.is_over() {
        return Ok(recording);
    }
    let detail = format!("the recording is {}", recording.state.as_str());
    Err(ControlError::Conflict { code: "recording_over", detail }.into())
}

fn over(recording: &Recording) -> Result<(), ApiError> {
    if recording.is_over() {
        return Ok(());
    }
    let detail =
        "the recording goes on; stop it first, and wait for recording.completed".to_owned();
    Err(ControlError::Conflict { code: "recording_goes_on", detail }.into())
}
