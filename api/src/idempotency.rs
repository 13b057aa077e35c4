//! `Idempotency-Key`: a POST that comes again gets the answer of the first time, for 24 hours.
//!
//! The first request is carried out in a task of its own, so that a client that gives up waiting and repeats
//! itself gets the answer to what was really done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::MAX_BODY;
use crate::control::ControlError;
use crate::error::{ApiError, Problem};
use crate::extract::in_time;
use crate::gate::Principal;

/// The answers kept; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Answers(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    entries: BTreeMap<Name, Entry>,
    /// Oldest first; what is forgotten first.
    order: VecDeque<(Instant, Name)>,
    running: JoinSet<()>,
    capacity: usize,
}

/// Whose key, and the key.
type Name = (Principal, String);
type Fingerprint = [u8; 32];

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    begun: Instant,
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    problem: Option<Problem>,
    body: Bytes,
}

impl Answers {
    /// Keeps up to `capacity` answers, the oldest making way.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Kept { capacity: capacity.max(1), ..Kept::default() })))
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held; if something did, the table is whole all the same.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries a POST with an `Idempotency-Key` out once, and answers its repeats from what is kept.
pub(crate) async fn replay(
    State(answers): State<Answers>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let key = request.headers().get(IDEMPOTENCY_KEY).cloned();
    let principal = request.extensions().get::<Principal>().copied();
    let (Some(key), Some(principal), &Method::POST) = (key, principal, request.method()) else {
        return Ok(next.run(request).await);
    };
    let name = (principal, checked(&key)?);
    let (parts, body) = request.into_parts();
    let body = in_time(to_bytes(body, MAX_BODY)).await?;
    let body = body.map_err(|_| ApiError::TooLarge(MAX_BODY))?;
    let fingerprint = fingerprint(&parts.uri.to_string(), &body);
    if let Some(answer) = answers.kept().begin(&name, fingerprint, Instant::now())? {
        return Ok(answer.replayed());
    }
    let request = Request::from_parts(parts, Body::from(body));
    let done = answers.carry_out(name.clone(), request, next).await;
    done.map_err(|_| {
        answers.kept().entries.remove(&name); // it will never be answered: let it be tried again
        ApiError::Control(ControlError::Stopping)
    })
}

fn checked(key: &HeaderValue) -> Result<String, ApiError> {
    let text = key.to_str().map_err(|_| ApiError::BadIdempotencyKey)?;
    if (1..=255).contains(&text.len()) {
        Ok(text.to_owned())
    } else {
        Err(ApiError::BadIdempotencyKey)
    }
}

fn fingerprint(uri: &str, body: &[u8]) -> Fingerprint {
    Sha256::new().chain_update(uri).chain_update([0]).chain_update(body).finalize().into()
}

impl Answers {
    /// Runs the request to its end, whether or not somebody still waits, and keeps the answer.
    fn carry_out(&self, name: Name, request: Request, next: Next) -> oneshot::Receiver<Response> {
        let (sender, receiver) = oneshot::channel();
        let answers = self.clone();
        let work = async move {
            let response = next.run(request).await;
            let response = answers.keep(&name, response).await;
            drop(sender.send(response)); // a client that went away is normal
        };
        let mut kept = self.kept();
        while kept.running.try_join_next().is_some() {}
        kept.running.spawn(work);
        receiver
    }

    /// Keeps what was decided; a failure of ours is forgotten, so that it can be tried again.
    async fn keep(&self, name: &Name, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, MAX_ANSWER).await;
        let mut kept = self.kept();
        let body = match body {
            Ok(body) if !parts.status.is_server_error() => {
                let answer = Answer {
                    status: parts.status,
                    headers: parts.headers.clone(),
                    problem: parts.extensions.get().cloned(),
                    body: body.clone(),
                };
                if let Some(entry) = kept.entries.get_mut(name) {
                    entry.answer = Some(answer);
                }
                body
            }
            failed => {
                kept.entries.remove(name);
                failed.unwrap_or_default()
            }
        };
        Response::from_parts(parts, Body::from(body))
    }
}

impl Kept {
    /// The answer of the first time, or `None` when this is the first time and is now under way.
    fn begin(
        &mut self,
        name: &Name,
        fingerprint: Fingerprint,
        now: Instant,
    ) -> Result<Option<Answer>, ApiError> {
        self.forget(now);
        match self.entries.get(name) {
            Some(entry) if entry.fingerprint != fingerprint => Err(ApiError::IdempotencyKeyReused),
            Some(Entry { answer: None, .. }) => Err(ApiError::IdempotencyKeyInUse),
            Some(Entry { answer, .. }) => Ok(answer.clone()),
            None => {
                self.order.push_back((now, name.clone()));
                self.entries.insert(name.clone(), Entry { fingerprint, begun: now, answer: None });
                Ok(None)
            }
        }
    }

    /// Drops what is past its time, and the oldest when there is no room for one more.
    fn forget(&mut self, now: Instant) {
        while let Some((begun, name)) = self.order.front() {
            if now - *begun < KEPT_FOR && self.order.len() < self.capacity {
                return;
            }
            // A name that failed and was used again stands in the order twice: only its own entry goes.
            if self.entries.get(name).is_some_and(|entry| entry.begun == *begun) {
                self.entries.remove(name);
            }
            self.order.pop_front();
        }
    }
}

impl Answer {
    fn replayed(self) -> Response {
        let mut response = (self.status, self.body).into_response();
        *response.headers_mut() = self.headers;
        response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        if let Some(problem) = self.problem {
            response.extensions_mut().insert(problem);
        }
        response
    }
}

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// Largest answer that is kept, bytes; no POST of ours answers with more.
const MAX_ANSWER: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(key: &str) -> Name {
        (Principal([0; 32]), key.to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_free_again_after_a_day() {
        let answers = Answers::new(10);
        assert!(answers.kept().begin(&name("a"), [1; 32], Instant::now()).unwrap().is_none());

        tokio::time::advance(KEPT_FOR).await;

        assert!(answers.kept().begin(&name("a"), [2; 32], Instant::now()).unwrap().is_none());
    }

    #[test]
    fn the_oldest_makes_way() {
        let answers = Answers::new(2);
        let now = Instant::now();

        for key in ["a", "b", "c"] {
            answers.kept().begin(&name(key), [1; 32], now).unwrap();
        }

        let kept = answers.kept();
        assert_eq!(
            kept.entries.keys().map(|(_, key)| key.as_str()).collect::<Vec<_>>(),
            ["b", "c"]
        );
        assert_eq!(kept.order.len(), 2);
    }
}
