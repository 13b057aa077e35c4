//! Whose pages may use the API from a browser: our own, and those that the settings name.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::error::ApiError;

/// The origins that are named; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Origins(Arc<[String]>);

impl Origins {
    pub(crate) fn new(named: &[String]) -> Self {
        Self(named.into())
    }

    /// Answers what browsers ask for the pages of others (CORS): keys are in a header, so no credentials of a browser's own go along.
    pub(crate) fn cors(&self) -> CorsLayer {
        let origins = self.clone();
        let is_named = move |origin: &HeaderValue, _: &Parts| origins.name(origin);
        CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(is_named))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers(ASKED)
            .expose_headers(TOLD)
            .max_age(std::time::Duration::from_hours(1))
    }

    /// Refuses a WebSocket to a page of another host that is not named: CORS does not reach there, and a browser would carry
    /// its script in here. Programs say no origin.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        if self.name(origin) {
            return Ok(());
        }
        let ours = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let theirs: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
        let theirs = theirs.as_ref().and_then(Uri::authority);
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if theirs.as_str().eq_ignore_ascii_case(ours) => Ok(()),
            _ => Err(ApiError::WrongOrigin),
        }
    }

    fn name(&self, origin: &HeaderValue) -> bool {
        self.0.iter().any(|named| named == "*" || named.as_bytes() == origin.as_bytes())
    }
}

/// What a page may say beside what any page may.
const ASKED: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-request-id"),
];
/// What a page may read beside the body.
const TOLD: [HeaderName; 9] = [
    header::ETAG,
    header::LOCATION,
    header::RETRY_AFTER,
    HeaderName::from_static("expect-events"),
    HeaderName::from_static("idempotent-replayed"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("x-request-id"),
];
