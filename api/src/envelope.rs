//! What every answer has: an `X-Request-Id`, and a problem document if it is a failure, whoever refused the request.

use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::response;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use tracing::{Instrument as _, debug, info_span};

use crate::error::{ApiError, Problem};
use crate::id::RequestId;

/// Passes the client's `X-Request-Id` on, or makes one, and writes out the problem of a failure.
pub(crate) async fn envelop(mut request: Request, next: Next) -> Response {
    let id = request.headers().get(X_REQUEST_ID).filter(|id| acceptable(id)).cloned();
    let id = id.unwrap_or_else(new_id);
    let text = id.to_str().unwrap_or_default().to_owned();
    let span = info_span!("http", request_id = text, method = %request.method(), path = request.uri().path());
    request.extensions_mut().insert(RequestName(text.clone()));
    let mut response = async {
        let response = next.run(request).await;
        debug!(status = response.status().as_u16(), "answered");
        with_problem(response, text.clone()).await
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(X_REQUEST_ID, id);
    response
}

/// The id of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestName(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for RequestName {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(|| Self(String::new())))
    }
}

fn acceptable(id: &HeaderValue) -> bool {
    (1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

#[expect(
    clippy::disallowed_methods,
    reason = "ids of requests carry the wall clock; the API is a shell"
)]
fn new_id() -> HeaderValue {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let unix_ms = since_1970.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(0));
    let mut random = [0; 16];
    // Without randomness ids are only as unique as the clock, which is good enough to go on.
    let random = getrandom::fill(&mut random).map_or(0, |()| u128::from_ne_bytes(random));
    let id = RequestId::new(unix_ms, random).to_string();
    HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("req"))
}

/// Writes out the problem that a handler left as an extension, or makes one of a plain refusal by the router.
async fn with_problem(mut response: Response, request_id: String) -> Response {
    let status = response.status();
    let problem = response.extensions_mut().remove::<Problem>();
    if problem.is_none() && (status.as_u16() < 400 || has_content(&response)) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let problem = if let Some(problem) = problem { problem } else { refusal(&parts, body).await };
    let problem = Problem { request_id, ..problem };
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, PROBLEM_JSON);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    Response::from_parts(parts, body.into())
}

/// The problem for a refusal in plain words, such as the router's own.
async fn refusal(parts: &response::Parts, body: Body) -> Problem {
    let words = to_bytes(body, MAX_WORDS).await.unwrap_or_default();
    let detail = match String::from_utf8_lossy(&words).trim() {
        "" => plain_words(&parts.headers, parts.status.canonical_reason()),
        words => words.to_owned(),
    };
    ApiError::Http { status: parts.status, detail }.problem()
}

fn plain_words(headers: &HeaderMap, reason: Option<&str>) -> String {
    match headers.get(header::ALLOW).and_then(|allow| allow.to_str().ok()) {
        Some(allow) => format!("this path takes {allow}"),
        None => reason.unwrap_or("failed").to_lowercase(),
    }
}

/// Whether a failure already has a body that says why, such as that of `/readyz`.
fn has_content(response: &Response) -> bool {
    response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain"))
}

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// Most of a plain refusal that is quoted, bytes.
const MAX_WORDS: usize = 1024;
