//! Every way a request fails, and the RFC 9457 problem document that tells of it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;

use crate::auth::Scope;
use crate::control::ControlError;
use crate::directory::LoginFault;
use crate::events::{Gone, Unread};

/// A problem document (RFC 9457), sent as `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Names the kind of problem: `urn:plenary:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words; the same for every problem of this kind.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// The kind as a stable name to switch on.
    pub code: String,
    /// What was expected and what was found this time.
    pub detail: String,
    /// As in `X-Request-Id`: find it in the logs by this.
    pub request_id: String,
    /// The fields at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// One field at fault.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON Pointer (RFC 6901) into the body, such as `/legs/0/to`; an empty one is the whole body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The query parameter at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What was expected and what was found.
    pub detail: String,
}

impl FieldError {
    /// At `pointer` of the body.
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), parameter: None, detail: detail.into() }
    }

    /// In query parameter `parameter`.
    pub(crate) fn in_query(parameter: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: None, parameter: Some(parameter.into()), detail: detail.into() }
    }
}

/// Why a request was not carried out.
#[derive(Clone, Debug, Error, PartialEq)]
pub(crate) enum ApiError {
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error("{0}; read the resources again and follow the log from now on")]
    EventsGone(#[from] Gone),
    #[error("{0}")]
    Unauthorized(&'static str),
    #[error("this key lacks the scope {}", .0.as_str())]
    Forbidden(Scope),
    #[error("this key is bound to the rooms {0}")]
    OutOfBounds(String),
    #[error("the body is not JSON: {0}")]
    MalformedJson(String),
    #[error("expected content type application/json, found {0}")]
    NotJson(String),
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    #[error("{}", summary(.0))]
    Content(Vec<FieldError>),
    #[error("Idempotency-Key must be 1 to 255 printable ASCII characters")]
    BadIdempotencyKey,
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyKeyReused,
    #[error("the first request with this Idempotency-Key is still being carried out")]
    IdempotencyKeyInUse,
    #[error("all {0} event streams are taken")]
    TooManyStreams(usize),
    #[error("this key asks too often; ask again in {:.1} s", .0.as_secs_f64())]
    TooManyRequests(Duration),
    #[error("too many logins; try again in {} s", .0.as_secs() + 1)]
    TooManyLogins(Duration),
    #[error(transparent)]
    Login(LoginFault),
    #[error("this key has had as many mails sent as it may; ask again in {} s", .0.as_secs() + 1)]
    TooManyMails(Duration),
    #[error("this key has {0} event streams and WebSockets open, as many as it may")]
    TooManyStreamsOfKey(usize),
    #[error("a token makes no tokens; a key does")]
    TokenOfToken,
    #[error("expected a request for a WebSocket: {0}")]
    NoWebSocket(String),
    #[error("this page is not of this host")]
    WrongOrigin,
    /// What the router itself refuses: no such path, wrong method, a path that is not UTF-8.
    #[error("{detail}")]
    Http { status: StatusCode, detail: String },
}

impl From<Unread> for ApiError {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Gone(gone) => Self::EventsGone(gone),
            Unread::Store(error) => Self::Control(error),
        }
    }
}

fn summary(errors: &[FieldError]) -> String {
    match errors {
        [] => "the content is not acceptable".to_owned(),
        [only] => match only.pointer.as_ref().or(only.parameter.as_ref()) {
            Some(place) if !place.is_empty() => format!("{place}: {}", only.detail),
            _ => only.detail.clone(),
        },
        several => format!("{} fields are not acceptable", several.len()),
    }
}

impl ApiError {
    /// The one map from error to HTTP status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Control(ControlError::NotFound { .. }) => StatusCode::NOT_FOUND,
            Self::Control(ControlError::Conflict { .. }) | Self::IdempotencyKeyInUse => {
                StatusCode::CONFLICT
            }
            Self::Control(ControlError::Invalid { .. })
            | Self::Content(_)
            | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Control(ControlError::Stale { .. }) => StatusCode::PRECONDITION_FAILED,
            Self::Control(
                ControlError::Busy { .. }
                | ControlError::Saturated { .. }
                | ControlError::Unstored { .. }
                | ControlError::Stopping,
            )
            | Self::Login(LoginFault::Unavailable(_))
            | Self::TooManyStreams(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::EventsGone(_) => StatusCode::GONE,
            Self::Unauthorized(_) | Self::Login(LoginFault::Refused) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_)
            | Self::OutOfBounds(_)
            | Self::WrongOrigin
            | Self::TokenOfToken
            | Self::Login(LoginFault::NoScopes) => StatusCode::FORBIDDEN,
            Self::TooManyRequests(_)
            | Self::TooManyMails(_)
            | Self::TooManyLogins(_)
            | Self::TooManyStreamsOfKey(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::NoWebSocket(_) => StatusCode::UPGRADE_REQUIRED,
            Self::MalformedJson(_) | Self::BadIdempotencyKey => StatusCode::BAD_REQUEST,
            Self::NotJson(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Http { status, .. } => *status,
        }
    }

    /// The stable name and the title of this kind.
    fn code_and_title(&self) -> (String, &'static str) {
        let (code, title) = match self {
            Self::Control(ControlError::NotFound { what, .. }) => {
                return (format!("{what}_not_found"), "Not found");
            }
            Self::Control(ControlError::Conflict { code, .. }) => {
                (*code, "Not possible in this state")
            }
            Self::Control(ControlError::Invalid { .. }) | Self::Content(_) => {
                ("invalid_content", "Content not acceptable")
            }
            Self::Control(ControlError::Busy { .. }) => ("busy", "A limit is reached"),
            Self::Control(ControlError::Saturated { .. }) => {
                ("no_capacity", "No media capacity for more legs")
            }
            Self::Control(ControlError::Stale { .. }) => ("stale", "Changed since it was read"),
            Self::Control(ControlError::Unstored { .. }) => {
                ("store_unavailable", "It could not be stored")
            }
            Self::Control(ControlError::Stopping) => ("stopping", "The bridge is stopping"),
            Self::EventsGone(_) => ("events_gone", "These events can no longer be read"),
            Self::Unauthorized(_) => ("unauthorized", "A valid key is needed"),
            Self::Login(LoginFault::Refused) => ("login_refused", "User or password is wrong"),
            Self::Login(LoginFault::NoScopes) => ("no_scopes", "This user may do nothing here"),
            Self::Login(LoginFault::Unavailable(_)) => {
                ("directory_unavailable", "The directory does not answer")
            }
            Self::Forbidden(_) | Self::OutOfBounds(_) | Self::TokenOfToken => {
                ("forbidden", "This key may not do that")
            }
            Self::TooManyRequests(_) | Self::TooManyMails(_) | Self::TooManyLogins(_) => {
                ("too_many_requests", "Too many requests")
            }
            Self::MalformedJson(_) => ("malformed_json", "Body is not JSON"),
            Self::NotJson(_) => ("unsupported_media_type", "Wrong content type"),
            Self::TooLarge(_) => ("body_too_large", "Body too large"),
            Self::BadIdempotencyKey => ("bad_idempotency_key", "Bad Idempotency-Key"),
            Self::IdempotencyKeyReused => ("idempotency_key_reused", "Idempotency-Key reused"),
            Self::IdempotencyKeyInUse => ("idempotency_key_in_use", "Idempotency-Key in use"),
            Self::TooManyStreams(_) | Self::TooManyStreamsOfKey(_) => {
                ("too_many_streams", "Too many event streams")
            }
            Self::NoWebSocket(_) => ("websocket_required", "A WebSocket is needed"),
            Self::WrongOrigin => ("wrong_origin", "Not from this page"),
            Self::Http { status, .. } => return http_code_and_title(*status),
        };
        (code.to_owned(), title)
    }

    /// Seconds after which to try again, where that makes sense.
    fn retry_after_s(&self) -> Option<u32> {
        if let Self::Control(
            ControlError::Busy { retry_after_s, .. }
            | ControlError::Saturated { retry_after_s, .. },
        ) = self
        {
            return Some(*retry_after_s);
        }
        if let Self::TooManyRequests(wait) | Self::TooManyMails(wait) | Self::TooManyLogins(wait) =
            self
        {
            return u32::try_from(wait.as_secs() + 1).ok();
        }
        if matches!(self, Self::TooManyStreamsOfKey(_)) {
            return Some(RETRY_AFTER_S);
        }
        let soon = matches!(self, Self::IdempotencyKeyInUse).then_some(1);
        let later = (self.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S);
        soon.or(later)
    }

    fn fields(&self) -> Vec<FieldError> {
        if let Self::Control(ControlError::Invalid { pointer, detail }) = self {
            return vec![FieldError::at(pointer, detail)];
        }
        if let Self::Content(errors) = self { errors.clone() } else { Vec::new() }
    }

    /// The document, still without the id of its request.
    pub(crate) fn problem(&self) -> Problem {
        let (code, title) = self.code_and_title();
        Problem {
            kind: format!("urn:plenary:problem:{code}"),
            title: title.to_owned(),
            status: self.status().as_u16(),
            code,
            detail: self.to_string(),
            request_id: String::new(),
            errors: self.fields(),
        }
    }
}

fn http_code_and_title(status: StatusCode) -> (String, &'static str) {
    let title = status.canonical_reason().unwrap_or("Failed");
    (title.to_ascii_lowercase().replace([' ', '-'], "_"), title)
}

/// The problem goes along as an extension; [`crate::envelope`] writes it out with the id of the request.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if matches!(self, Self::Unauthorized(_) | Self::Login(LoginFault::Refused)) {
            let challenge = HeaderValue::from_static("Bearer realm=\"plenary\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        if matches!(self, Self::NoWebSocket(_)) {
            let websocket = HeaderValue::from_static("websocket");
            response.headers_mut().insert(header::UPGRADE, websocket);
        }
        response.extensions_mut().insert(self.problem());
        response
    }
}

/// Seconds to stay away when the bridge stops or is full.
const RETRY_AFTER_S: u32 = 5;
