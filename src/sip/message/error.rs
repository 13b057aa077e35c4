//! What is wrong with a message, and what to answer.

use bytes::Bytes;

use super::{Message, Start};
use crate::sip::headers::{FieldError, Headers, Name};
use crate::sip::method::Method;
use crate::sip::status::StatusCode;
use crate::sip::uri::UriError;

/// A message that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{problem}")]
pub struct ParseError {
    problem: Problem,
    response: Option<Box<Message>>,
}

/// What is wrong with a message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// No bytes but blanks: a keep-alive.
    #[error("expected a message, found nothing")]
    Empty,
    /// The first line is not one of SIP.
    #[error("expected a SIP start line")]
    NotSip,
    /// Method, version or status are malformed.
    #[error("expected {0} in the start line")]
    StartLine(&'static str),
    /// Another version than 2.0.
    #[error("expected SIP/2.0, found another version")]
    Version,
    /// The Request-URI is none.
    #[error("in the Request-URI: {0}")]
    RequestUri(#[from] UriError),
    /// The Request-URI has headers, which RFC 3261 §19.1.1 forbids.
    #[error("expected no headers in the Request-URI")]
    UriHeaders,
    /// A line without colon, or with a name that is no token.
    #[error("expected a header name and a colon")]
    HeaderLine,
    /// A header that every message has is missing or malformed.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// A header that may stand once stands twice.
    #[error("expected one {0} header, found more")]
    Repeated(Name),
    /// The CSeq names another method than the request line.
    #[error("expected the request's method in CSeq")]
    CSeqMethod,
    /// `Content-Length` is no number or more than what came.
    #[error("expected a Content-Length that is true")]
    ContentLength,
    /// `Content-Length` is missing in a stream.
    #[error("expected a Content-Length, found none")]
    NoContentLength,
    /// The Request-URI is longer than the limit.
    #[error("expected a shorter Request-URI")]
    UriTooLong,
    /// The body is longer than the limit.
    #[error("expected a shorter body")]
    BodyTooLarge,
    /// Another limit is exceeded.
    #[error("expected a shorter message")]
    TooLarge,
}

impl ParseError {
    /// What is wrong.
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The status to answer with; `None` if silence is due: the message is a response, an ACK, no SIP at all,
    /// or does not say how to answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.response.as_deref().and_then(Message::status)
    }

    /// The response, if one is due; To has a tag. Its Via is the request's:
    /// [`crate::sip::transport::note_source`] still has to see it.
    pub fn response(&self) -> Option<&Message> {
        self.response.as_deref()
    }

    /// A problem of a response, or of bytes that are no SIP: nothing is answered.
    pub(super) fn silent(problem: Problem) -> Self {
        Self { problem, response: None }
    }

    /// A problem of a request, of whose headers these could be read.
    pub(super) fn request(problem: Problem, method: Option<&Method>, headers: &Headers) -> Self {
        if method == Some(&Method::Ack) || headers.via().is_err() {
            return Self::silent(problem);
        }
        let status = problem.status();
        let reason = Bytes::from_static(status.reason().as_bytes());
        let headers = answer(headers);
        let message =
            Message { start: Start::Response { status, reason }, headers, body: Bytes::new() };
        Self { problem, response: Some(Box::new(message)) }
    }
}

impl Problem {
    fn status(&self) -> StatusCode {
        match self {
            Self::Version => StatusCode::VERSION_NOT_SUPPORTED,
            Self::UriTooLong => StatusCode::REQUEST_URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::REQUEST_ENTITY_TOO_LARGE,
            Self::TooLarge => StatusCode::MESSAGE_TOO_LARGE,
            Self::Empty
            | Self::NotSip
            | Self::StartLine(_)
            | Self::RequestUri(_)
            | Self::UriHeaders
            | Self::HeaderLine
            | Self::Field(_)
            | Self::Repeated(_)
            | Self::CSeqMethod
            | Self::ContentLength
            | Self::NoContentLength => StatusCode::BAD_REQUEST,
        }
    }
}

/// All Vias, and of From, To, Call-ID and CSeq the first, as far as they are there.
fn answer(request: &Headers) -> Headers {
    let mut headers = Headers::new();
    headers.copy(&Name::Via, request);
    for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
        if let Some(value) = request.first(&name) {
            headers.push_parsed(name, value.clone());
        }
    }
    if headers.to().is_ok() {
        headers.add_to_tag(&format!("{:016x}", fingerprint(&headers)));
    }
    headers
}

/// RFC 3261 §8.2.7: a stateless answer gives the same tag to a retransmission. FNV-1a serves.
fn fingerprint(headers: &Headers) -> u64 {
    headers
        .iter()
        .flat_map(|header| header.value().iter())
        .fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}
