//! `/v1/sessions`: logging in by name and password, where there is a directory; and `/v1/directory`: who is called what.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Shared, no_secret};
use crate::directory::{Credentials, Directory, Operator};
use crate::error::{ApiError, FieldError};
use crate::extract::{Json, Params};
use crate::gate::{Asked, Gate};
use crate::model::{CreateSession, DirectoryEntry, DirectoryQuery, Page, Session, SignIn};
use crate::tokens::SessionClaims;

/// What anybody may ask.
pub(super) fn open() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(ways, create))
}

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(search))
}

/// Tell how to log in
#[utoipa::path(get, path = "/v1/sessions", tag = "sessions", operation_id = "getSignIn", security(()),
    responses((status = OK, body = SignIn)))]
async fn ways(State(directory): State<Directory>) -> Json<SignIn> {
    Json(SignIn { by_password: directory.is_there() })
}

/// Log in
///
/// By name and password of the directory (LDAP). The token is used as a key, for `directory.session`, and may what the groups of its
/// user may (`directory.groups`); the audit names them. It ends with its time, and when the bridge starts anew. 401: wrong; 403: no
/// group of theirs may use the API; 429: too many logins from there, or of this user; 503: the directory does not answer in time.
#[utoipa::path(post, path = "/v1/sessions", tag = "sessions", operation_id = "createSession", security(()),
    request_body(content = CreateSession, example = json!({"user": "ada", "password": "correct-horse"})),
    responses((status = CREATED, body = Session)))]
async fn create(
    State(directory): State<Directory>,
    State(gate): State<Gate>,
    asked: Asked,
    Json(body): Json<CreateSession>,
) -> Result<Response, ApiError> {
    let CreateSession { user, password } = body;
    let answer = directory.log_in(asked.network(), Credentials { user, password }).await;
    let operator = answer.inspect_err(|error| gate.note_refused(&asked, error))?;
    let Operator { name, scopes } = operator;
    let now = Timestamp::now();
    let expires = now.as_second() + i64::from(directory.session_s());
    let claims = SessionClaims { user: name, scopes, expires };
    let token = gate.signer.sign_session(&claims).ok_or_else(no_secret)?;
    gate.note_login(&asked, &claims, StatusCode::CREATED.as_u16());
    let SessionClaims { user, scopes, .. } = claims;
    let expires_at = Timestamp::from_second(expires).unwrap_or(Timestamp::MAX);
    let made = Session { token, user, scopes, expires_at };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(made)).into_response())
}

/// Look somebody up
///
/// In the directory, by a part of a name or by a number. 409 `no_directory` where there is none; 503 where it does not answer in time.
#[utoipa::path(get, path = "/directory", tag = "directory", operation_id = "searchDirectory",
    params(DirectoryQuery), responses((status = OK, body = Page<DirectoryEntry>)))]
async fn search(
    State(directory): State<Directory>,
    Params(query): Params<DirectoryQuery>,
) -> Result<Json<Page<DirectoryEntry>>, ApiError> {
    let DirectoryQuery { q, limit } = query;
    let mut faults = Vec::new();
    if !(2..=100).contains(&q.chars().count()) || q.chars().any(char::is_control) {
        faults.push(FieldError::in_query("q", "expected 2 to 100 characters"));
    }
    let limit = limit.unwrap_or(20);
    if !(1..=50).contains(&limit) {
        faults.push(FieldError::in_query("limit", format!("expected 1 to 50, found {limit}")));
    }
    if !faults.is_empty() {
        return Err(ApiError::Content(faults));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let items = directory.search(q, limit).await?;
    Ok(Json(Page { items, next: None }))
}
