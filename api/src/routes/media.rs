//! `/v1/media`: sounds that can be played.

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, path, tagged};
use crate::control::{Command, Control, IfMatch};
use crate::error::ApiError;
use crate::extract::{Json, Params, Path, Upload};
use crate::model::{Media, Page, PageQuery};
use crate::wav;

/// An upload may have `max_upload` octets.
pub(super) fn routes(max_upload: usize) -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(read, put, delete))
        .layer(DefaultBodyLimit::max(max_upload))
        .routes(routes!(content))
}

/// List media
///
/// What is shipped and what was uploaded, by name. Of what is shipped, length and rate are told once it was asked for.
#[utoipa::path(get, path = "/media", tag = "media", operation_id = "listMedia", params(PageQuery),
    responses((status = OK, body = Page<Media>)))]
async fn list(
    State(control): State<Control>,
    Params(query): Params<PageQuery>,
) -> Result<Json<Page<Media>>, ApiError> {
    let query = query.checked(&[])?;
    Ok(Json(control.ask(|reply| Command::ListMedia { query, reply }).await?))
}

/// Show media
#[utoipa::path(get, path = "/media/{media}", tag = "media", operation_id = "getMedia",
    params(("media" = String, Path, description = "name")),
    responses((status = OK, body = Media, headers(("ETag" = String)))))]
async fn read(
    State(control): State<Control>,
    Path(media): Path<String>,
) -> Result<Response, ApiError> {
    let media = control.ask(|reply| Command::Media { media, reply }).await?;
    Ok(tagged(media.revision, media))
}

/// Upload media
///
/// WAV, Ogg Opus, Ogg Vorbis, FLAC or MP3, which is told by what is in it. It is converted once, and takes the place of what was
/// there, even of what is shipped; whoever plays that goes on with it. Answered once it is stored.
#[utoipa::path(put, path = "/media/{media}", tag = "media", operation_id = "putMedia",
    params(("media" = String, Path, description = "1 to 64 of `A-Z a-z 0-9 - _ .`"),
        ("If-Match" = Option<String>, Header)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = OK, body = Media, headers(("ETag" = String)))))]
async fn put(
    State(control): State<Control>,
    Path(media): Path<String>,
    condition: IfMatch,
    Upload(sound): Upload,
) -> Result<Response, ApiError> {
    let media = control.ask(|reply| Command::PutMedia { media, sound, condition, reply }).await?;
    Ok(tagged(media.revision, media))
}

/// Delete media
///
/// Whoever plays it goes on with it. 409 for what is shipped.
#[utoipa::path(delete, path = "/media/{media}", tag = "media", operation_id = "deleteMedia",
    params(("media" = String, Path, description = "name"), ("If-Match" = Option<String>, Header)),
    responses((status = NO_CONTENT)))]
async fn delete(
    State(control): State<Control>,
    Path(media): Path<String>,
    condition: IfMatch,
) -> Result<StatusCode, ApiError> {
    control.ask(|reply| Command::DeleteMedia { media, condition, reply }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Hear media
///
/// As it is played: WAV, mono, 16 bits.
#[utoipa::path(get, path = "/media/{media}/content", tag = "media", operation_id = "getMediaContent",
    params(("media" = String, Path, description = "name")),
    responses((status = OK, content_type = "audio/wav", body = Vec<u8>)))]
async fn content(
    State(control): State<Control>,
    Path(media): Path<String>,
) -> Result<Response, ApiError> {
    let name = media.clone();
    let sound = control.ask(|reply| Command::MediaContent { media, reply }).await?;
    let file = format!("inline; filename=\"{name}.wav\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("audio/wav")),
        (header::CONTENT_DISPOSITION, path(&file)),
    ];
    Ok((headers, wav::print(sound.rate, &sound.samples)).into_response())
}
