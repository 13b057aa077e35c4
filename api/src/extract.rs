//! Extractors that refuse in our own words: bodies with a JSON Pointer to the fault, queries with the parameter, paths with 404.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRef, FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use crate::MAX_BODY;
use crate::control::{ControlError, IfMatch};
use crate::error::{ApiError, FieldError};
use crate::validate::{Faults, Validate};

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(10);
/// How long a file may take.
const UPLOAD_TIME: Duration = Duration::from_mins(5);

/// A JSON body in either direction. An absent body reads as `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned + Validate, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).cloned();
        let body = in_time(Bytes::from_request(request, state)).await?;
        let body = body.map_err(|e| unreadable(&e))?;
        if body.is_empty() {
            return parse(b"{}").map(Self);
        }
        let kind = kind.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or("none");
        if !is_json(kind) {
            return Err(ApiError::NotJson(kind.to_owned()));
        }
        parse(&body).map(Self)
    }
}

/// A file of any kind.
#[derive(Debug)]
pub(crate) struct Upload(pub(crate) Bytes);

/// Octets that a file may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MaxUpload(pub(crate) usize);

impl<S: Send + Sync> FromRequest<S> for Upload
where
    MaxUpload: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let MaxUpload(most) = MaxUpload::from_ref(state);
        let body = within(UPLOAD_TIME, Bytes::from_request(request, state)).await?;
        body.map(Self).map_err(|_| ApiError::TooLarge(most))
    }
}

/// Waits for a body, but not for one that trickles in: it would hold a connection for nothing.
pub(crate) async fn in_time<T>(reading: impl Future<Output = T>) -> Result<T, ApiError> {
    within(BODY_TIME, reading).await
}

async fn within<T>(time: Duration, reading: impl Future<Output = T>) -> Result<T, ApiError> {
    tokio::time::timeout(time, reading).await.map_err(|_| {
        let detail = format!("the body took longer than {} s", time.as_secs());
        ApiError::Http { status: StatusCode::REQUEST_TIMEOUT, detail }
    })
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

pub(crate) fn unreadable(rejection: &BytesRejection) -> ApiError {
    let status = rejection.status();
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::TooLarge(MAX_BODY);
    }
    ApiError::Http { status, detail: rejection.body_text() }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

pub(crate) fn parse<T: DeserializeOwned + Validate>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii_start().starts_with(b"[") {
        // serde would read the fields of a struct from an array, in their order.
        return Err(ApiError::Content(vec![FieldError::at(
            "",
            "expected an object, found an array",
        )]));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        match inner.classify() {
            Category::Data => ApiError::Content(vec![field_error(error.path(), inner)]),
            Category::Io | Category::Syntax | Category::Eof => {
                ApiError::MalformedJson(inner.to_string())
            }
        }
    })?;
    deserializer.end().map_err(|error| ApiError::MalformedJson(error.to_string()))?;
    let mut faults = Faults::default();
    value.validate(&mut faults);
    faults.into_result()?;
    Ok(value)
}

/// Points to the field, also to one that is missing or should not be there.
fn field_error(path: &serde_path_to_error::Path, error: &serde_json::Error) -> FieldError {
    let words = error.to_string();
    let detail = words.split(" at line ").next().unwrap_or(&words).to_owned();
    let mut pointer: String = path.iter().map(pointer_segment).collect();
    let named = |start: &str| detail.strip_prefix(start)?.split('`').next().map(escape);
    if let Some(field) = named("missing field `").or_else(|| named("unknown field `")) {
        let last = format!("/{field}");
        if !pointer.ends_with(&last) {
            pointer += &last;
        }
    }
    FieldError::at(pointer, detail)
}

fn pointer_segment(segment: &Segment) -> String {
    match segment {
        Segment::Seq { index } => format!("/{index}"),
        Segment::Map { key } => format!("/{}", escape(key)),
        Segment::Enum { variant } => format!("/{}", escape(variant)),
        Segment::Unknown => String::new(),
    }
}

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The parts of a path. One that is not an id of the wanted kind names nothing: 404.
#[derive(Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(names_nothing(parts, state, &rejection).await),
        }
    }
}

/// The last part of every path of ours that can be wrong is an id.
async fn names_nothing<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
    rejection: &PathRejection,
) -> ApiError {
    let raw = RawPathParams::from_request_parts(parts, state).await.ok();
    let id = raw.as_ref().and_then(|raw| raw.iter().last());
    let kind = id.and_then(|(key, _)| {
        [
            "room",
            "leg",
            "call",
            "message",
            "registration",
            "key",
            "webhook",
            "delivery",
            "playback",
            "recording",
            "address",
        ]
        .into_iter()
        .find(|kind| *kind == key)
    });
    match (id, kind) {
        (Some((_, value)), Some(what)) => {
            let what = match what {
                "key" => "api_key",
                "address" => "ban",
                what => what,
            };
            ControlError::NotFound { what, name: value.chars().take(80).collect() }.into()
        }
        _ => ApiError::Http { status: rejection.status(), detail: rejection.body_text() },
    }
}

/// The revisions that `If-Match` names (RFC 9110 §13.1.1): `*` is any, and a tag that was never ours is none. What follows a
/// revision in a tag says what else was shown with it, which a change need not be for.
impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let lines = parts.headers.get_all(header::IF_MATCH).iter();
        let lines: Vec<&str> = lines.map(|line| line.to_str().unwrap_or_default()).collect();
        let tags: Vec<&str> =
            lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
        if tags.is_empty() || tags.contains(&"*") {
            return Ok(Self(None));
        }
        let revision = |tag: &&str| {
            let tag = tag.strip_prefix('"')?.strip_suffix('"')?;
            tag.split('-').next()?.parse().ok()
        };
        Ok(Self(Some(tags.iter().filter_map(revision).collect())))
    }
}

/// The query. A parameter of the wrong shape is 422, as a field of a body would be.
#[derive(Debug)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = axum::extract::Query::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|error| {
            let words = std::error::Error::source(&error)
                .map_or_else(|| error.body_text(), ToString::to_string);
            ApiError::Content(vec![query_error(&words)])
        })
    }
}

/// `limit: invalid digit found in string`, or `unknown field `x`, expected …`.
fn query_error(words: &str) -> FieldError {
    let words = words.rsplit("query string: ").next().unwrap_or(words);
    let unknown = words.split_once("unknown field `").and_then(|(_, rest)| rest.split('`').next());
    if let Some(parameter) = unknown {
        return FieldError::in_query(parameter, words);
    }
    match words.split_once(": ") {
        Some((parameter, detail)) => FieldError::in_query(parameter, detail),
        None => FieldError { detail: words.to_owned(), ..FieldError::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CreateCall, CreateRoom, Invite, ReplaceRoute};

    fn fault<T: DeserializeOwned + Validate + std::fmt::Debug>(body: &str) -> ApiError {
        parse::<T>(body.as_bytes()).unwrap_err()
    }

    fn pointer(error: &ApiError) -> &str {
        let ApiError::Content(errors) = error else { panic!("not a content error: {error:?}") };
        errors[0].pointer.as_deref().unwrap()
    }

    #[test]
    fn faults_are_pointed_at() {
        let sip = "sip:a@b";
        let deep = format!(r#"{{"legs":[{{"to":"{sip}"}},{{"to":5}}]}}"#);
        let missing = format!(r#"{{"legs":[{{"to":"{sip}"}},{{"from":"{sip}"}}]}}"#);
        let unknown = format!(r#"{{"legs":[{{"to":"{sip}","a/b":1}}]}}"#);

        assert_eq!(pointer(&fault::<CreateRoom>(r#"{"locked":"yes"}"#)), "/locked");
        assert_eq!(pointer(&fault::<CreateRoom>(r#"{"naem":"x"}"#)), "/naem");
        assert_eq!(pointer(&fault::<CreateRoom>("[]")), "");
        assert_eq!(pointer(&fault::<CreateRoom>(r#"{"settings":["1"]}"#)), "/settings");
        assert_eq!(pointer(&fault::<CreateCall>(r#"{"legs":[["sip:a@b"]]}"#)), "/legs/0");
        let route = r#"{"steps":[{"room":"a"}],"source":[null,null]}"#;
        assert_eq!(pointer(&fault::<ReplaceRoute>(route)), "/source");
        assert_eq!(pointer(&fault::<Invite>("{}")), "/to");
        assert_eq!(pointer(&fault::<CreateCall>(&deep)), "/legs/1/to");
        assert_eq!(pointer(&fault::<CreateCall>(&missing)), "/legs/1/to");
        assert_eq!(pointer(&fault::<CreateCall>(&unknown)), "/legs/0/a~1b");
    }

    #[test]
    fn what_is_not_json_is_malformed() {
        for body in ["{", "{} {}", "{\"name\":}", "\u{feff}{}"] {
            assert!(matches!(fault::<CreateRoom>(body), ApiError::MalformedJson(_)), "{body}");
        }
    }
}
