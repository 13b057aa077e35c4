//! Bytes ⇄ message: RFC 3261 §7.
//!
//! Parsing unfolds headers and takes compact names for what they mean; all else is kept byte for byte, in order,
//! also what this code has never heard of. `Content-Length` is framing: parsing obeys and drops it, printing
//! writes the true one.

mod error;
mod parse;
pub mod peek;

use bytes::{Bytes, BytesMut};

use super::headers::{Headers, Name, one_line};
use super::method::Method;
use super::status::StatusCode;
use super::uri::Uri;

pub use error::{ParseError, Problem};
pub(crate) use parse::{content_length, refuse};

/// A request or a response.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Message {
    /// The first line.
    pub start: Start,
    /// The headers without `Content-Length`.
    pub headers: Headers,
    /// The body, any bytes.
    pub body: Bytes,
}

/// The first line of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Start {
    /// Request-Line: RFC 3261 §7.1.
    Request {
        /// What is asked.
        method: Method,
        /// The Request-URI.
        uri: Uri,
    },
    /// Status-Line: RFC 3261 §7.2.
    Response {
        /// The status.
        status: StatusCode,
        /// The reason phrase, any bytes but line ends.
        reason: Bytes,
    },
}

/// What a peer may send at most. Sizes are in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The whole message; more is refused with 513.
    pub message: usize,
    /// Start line and headers; more is refused with 513.
    pub head: usize,
    /// Header lines; more is refused with 513.
    pub headers: usize,
    /// One header line with its folds; more is refused with 513.
    pub line: usize,
    /// The Request-URI; more is refused with 414.
    pub uri: usize,
    /// The body; more is refused with 413.
    pub body: usize,
}

impl Default for Limits {
    /// A full UDP datagram, half of it headers.
    fn default() -> Self {
        Self { message: 65_535, head: 32_768, headers: 512, line: 16_384, uri: 4_096, body: 65_535 }
    }
}

impl Message {
    /// Reads one message: a datagram, or what [`crate::sip::transport::Framer`] cut from a stream.
    ///
    /// CRLFs before the message are skipped; bytes after its `Content-Length` are cut off (RFC 3261 §18.3).
    /// On success Via, From, To, Call-ID and CSeq are there and well-formed, and there are not two of them.
    /// Costs time and memory linear in the size; names and values share the memory of `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] tells what is wrong and holds the response to it, where one is due.
    pub fn parse(bytes: &Bytes, limits: &Limits) -> Result<Self, ParseError> {
        parse::parse(bytes, limits)
    }

    /// Starts a request without headers.
    pub fn request(method: Method, uri: Uri) -> Self {
        Self { start: Start::Request { method, uri }, headers: Headers::new(), body: Bytes::new() }
    }

    /// Starts the response to a request: Via, From, To, Call-ID and CSeq are copied (RFC 3261 §8.2.6),
    /// Record-Route too where a dialog may begin (§12.1.1), and Timestamp into a 100.
    ///
    /// To gets no tag: see [`Headers::add_to_tag`]. No `reason` means the registered phrase.
    pub fn response_to(request: &Self, status: StatusCode, reason: Option<&str>) -> Self {
        let mut headers = Headers::new();
        headers.copy(&Name::Via, &request.headers);
        if status.code() > 100 && (status.is_provisional() || status.is_success()) {
            headers.copy(&Name::RecordRoute, &request.headers);
        }
        for name in [Name::From, Name::To, Name::CallId, Name::CSeq] {
            headers.copy(&name, &request.headers);
        }
        if status == StatusCode::TRYING {
            headers.copy(&Name::Timestamp, &request.headers);
        }
        let reason = reason.unwrap_or_else(|| status.reason()).as_bytes();
        let reason = one_line(&Bytes::copy_from_slice(reason));
        Self { start: Start::Response { status, reason }, headers, body: Bytes::new() }
    }

    /// Writes the message with full header names and the true `Content-Length`.
    pub fn print(&self) -> Bytes {
        let head: usize = self.headers.iter().map(|header| header.value().len() + NAME_ROOM).sum();
        let mut out = BytesMut::with_capacity(head + self.body.len() + START_ROOM);
        self.start.print(&mut out);
        for header in self.headers.iter().filter(|header| header.name != Name::ContentLength) {
            out.extend_from_slice(header.name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(header.value());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"Content-Length: ");
        out.extend_from_slice(self.body.len().to_string().as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(&self.body);
        out.freeze()
    }

    /// The method of a request; `None` for a response.
    pub fn method(&self) -> Option<&Method> {
        match &self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => None,
        }
    }

    /// The Request-URI; `None` for a response.
    pub fn uri(&self) -> Option<&Uri> {
        match &self.start {
            Start::Request { uri, .. } => Some(uri),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response; `None` for a request.
    pub fn status(&self) -> Option<StatusCode> {
        match &self.start {
            Start::Response { status, .. } => Some(*status),
            Start::Request { .. } => None,
        }
    }

    /// True for a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request { .. })
    }
}

impl Start {
    fn print(&self, out: &mut BytesMut) {
        match self {
            Self::Request { method, uri } => {
                out.extend_from_slice(method.as_str().as_bytes());
                out.extend_from_slice(b" ");
                out.extend_from_slice(uri.as_str().as_bytes());
                out.extend_from_slice(b" SIP/2.0\r\n");
            }
            Self::Response { status, reason } => {
                out.extend_from_slice(b"SIP/2.0 ");
                out.extend_from_slice(status.to_string().as_bytes());
                out.extend_from_slice(b" ");
                out.extend_from_slice(reason);
                out.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// Room for an average header name, the colon and the line end.
const NAME_ROOM: usize = 20;

/// Room for the start line and Content-Length.
const START_ROOM: usize = 128;

#[cfg(test)]
mod tests;
