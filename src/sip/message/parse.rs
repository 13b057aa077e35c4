//! The reader: one pass over the lines, then the checks of RFC 3261 §8.2 and RFC 4475.

use bytes::Bytes;

use super::error::{ParseError, Problem};
use super::{Limits, Message, Start};
use crate::sip::headers::{Headers, Name, line_of};
use crate::sip::method::Method;
use crate::sip::scan;
use crate::sip::status::StatusCode;
use crate::sip::uri::Uri;

pub(super) fn parse(bytes: &Bytes, limits: &Limits) -> Result<Message, ParseError> {
    let reader = Reader::read(bytes, limits);
    let body = reader.body(limits);
    reader.finish(None, body)
}

/// The error for a message that cannot even be cut from its stream, given what came of it.
pub(crate) fn refuse(bytes: &Bytes, limits: &Limits, problem: Problem) -> ParseError {
    match Reader::read(bytes, limits).finish(Some(problem.clone()), Ok(Bytes::new())) {
        Err(error) => error,
        Ok(_) => ParseError::silent(problem),
    }
}

/// The `Content-Length` of a head, for a stream: RFC 3261 §18.3.
pub(crate) fn content_length(head: &Bytes, limits: &Limits) -> Result<Option<usize>, Problem> {
    let reader = Reader::read(head, limits);
    match reader.problem {
        Some(problem @ (Problem::Repeated(Name::ContentLength) | Problem::ContentLength)) => {
            Err(problem)
        }
        _ => reader.length,
    }
}

/// What one pass over the lines finds.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
    start: Result<Start, Problem>,
    /// The method, even if the rest of the request line is bad; `None` for responses too.
    method: Option<Method>,
    kind: Kind,
    headers: Headers,
    /// As `Content-Length` says.
    length: Result<Option<usize>, Problem>,
    /// The first thing wrong with the header lines.
    problem: Option<Problem>,
    seen: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Request,
    /// A response, or not SIP: nothing to answer.
    Other,
}

impl<'a> Reader<'a> {
    fn read(bytes: &'a Bytes, limits: &Limits) -> Self {
        let at = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let mut reader = Self {
            bytes,
            at,
            start: Err(Problem::Empty),
            method: None,
            kind: Kind::Other,
            headers: Headers::new(),
            length: Ok(None),
            problem: None,
            seen: 0,
        };
        if bytes.len() - at > limits.message {
            reader.problem = Some(Problem::TooLarge);
        }
        let line = reader.line(at);
        if !line.is_empty() {
            reader.read_start(line, limits);
        }
        if !matches!(reader.start, Err(Problem::Empty | Problem::NotSip)) {
            reader.headers.reserve(USUAL_HEADERS);
            reader.read_headers(at, limits);
        }
        reader
    }

    /// The line at `from`, without its end; moves behind it.
    fn line(&mut self, from: usize) -> &'a [u8] {
        let rest = &self.bytes[from..];
        let end = memchr::memchr(b'\n', rest);
        self.at = end.map_or(self.bytes.len(), |end| from + end + 1);
        let line = &rest[..end.unwrap_or(rest.len())];
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    fn read_start(&mut self, line: &[u8], limits: &Limits) {
        if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
            self.start = response(line, self.bytes);
            return;
        }
        let line = scan::trim(line);
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let words = line.iter().position(blank).zip(line.iter().rposition(blank));
        let Some((method_end, version_start)) = words else {
            self.start = Err(Problem::NotSip);
            return;
        };
        let version = &line[version_start + 1..];
        if !version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/")) {
            self.start = Err(Problem::NotSip);
            return;
        }
        self.kind = Kind::Request;
        self.method = Method::parse(&line[..method_end]);
        self.start = check_version(version)
            .and_then(|()| self.method.clone().ok_or(Problem::StartLine("a method")))
            .and_then(|method| {
                let uri = scan::trim(&line[method_end..=version_start]);
                Ok(Start::Request { method, uri: request_uri(uri, limits)? })
            });
    }

    fn read_headers(&mut self, start: usize, limits: &Limits) {
        let mut count = 0;
        while self.at < self.bytes.len() {
            let from = self.at;
            let line = self.line(from);
            if line.is_empty() {
                return;
            }
            while matches!(self.bytes.get(self.at), Some(b' ' | b'\t')) {
                self.line(self.at);
            }
            count += 1;
            let too_large = self.at - start > limits.head
                || self.at - from > limits.line
                || count > limits.headers;
            if too_large {
                return self.note(Problem::TooLarge);
            }
            if let Err(problem) = self.read_header(from) {
                self.note(problem);
            }
        }
    }

    /// Reads the header between `from` and `self.at`.
    fn read_header(&mut self, from: usize) -> Result<(), Problem> {
        let line = &self.bytes[from..self.at];
        let colon = memchr::memchr(b':', line).ok_or(Problem::HeaderLine)?;
        let name = line[..colon].trim_ascii_end();
        if !scan::is_token(name) {
            return Err(Problem::HeaderLine);
        }
        let name = Name::read(name, self.bytes);
        let value = line_of(&line[colon + 1..], self.bytes);
        self.once(&name)?;
        if name == Name::ContentLength {
            self.length = scan::number(&value)
                .and_then(|length| usize::try_from(length).ok())
                .map(Some)
                .ok_or(Problem::ContentLength);
            return Ok(());
        }
        self.headers.push_parsed(name, value);
        Ok(())
    }

    /// RFC 4475 §3.3.9: these stand once.
    fn once(&mut self, name: &Name) -> Result<(), Problem> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others may stand again")]
        let bit = match name {
            Name::From => 1,
            Name::To => 1 << 1,
            Name::CallId => 1 << 2,
            Name::CSeq => 1 << 3,
            Name::MaxForwards => 1 << 4,
            Name::ContentLength => 1 << 5,
            Name::ContentType => 1 << 6,
            _ => 0,
        };
        if self.seen & bit != 0 {
            return Err(Problem::Repeated(name.clone()));
        }
        self.seen |= bit;
        Ok(())
    }

    fn note(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    fn body(&self, limits: &Limits) -> Result<Bytes, Problem> {
        let rest = self.bytes.slice(self.at..);
        let body = match self.length.clone()? {
            Some(length) if length > rest.len() => return Err(Problem::ContentLength),
            Some(length) => rest.slice(..length),
            None => rest,
        };
        if body.len() > limits.body { Err(Problem::BodyTooLarge) } else { Ok(body) }
    }

    fn finish(
        self,
        problem: Option<Problem>,
        body: Result<Bytes, Problem>,
    ) -> Result<Message, ParseError> {
        let Self { start, method, kind, headers, problem: found, .. } = self;
        let message = match problem.or(found) {
            Some(problem) => start.and(Err(problem)),
            None => start.and_then(|start| {
                check(&headers, method.as_ref())?;
                Ok((start, body?))
            }),
        };
        match message {
            Ok((start, body)) => Ok(Message { start, headers, body }),
            Err(problem) if kind == Kind::Request => {
                Err(ParseError::request(problem, method.as_ref(), &headers))
            }
            Err(problem) => Err(ParseError::silent(problem)),
        }
    }
}

/// Reads a status line. The reason phrase may be missing, and so may the blank before it.
fn response(line: &[u8], message: &Bytes) -> Result<Start, Problem> {
    let invalid = Problem::StartLine("a status");
    let Some(blank) = line.iter().position(|byte| matches!(byte, b' ' | b'\t')) else {
        return Err(invalid);
    };
    check_version(&line[..blank])?;
    let rest = line[blank..].trim_ascii_start();
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (code, rest) = rest.split_at(digits);
    let status = scan::number(code)
        .and_then(|code| u16::try_from(code).ok())
        .and_then(StatusCode::new)
        .filter(|_| code.len() == 3);
    let reason = match rest {
        [] => rest,
        [b' ' | b'\t', reason @ ..] => reason,
        _ => return Err(invalid),
    };
    let reason = line_of(reason, message);
    status.map(|status| Start::Response { status, reason }).ok_or(invalid)
}

fn check_version(version: &[u8]) -> Result<(), Problem> {
    match &version[4..] {
        b"2.0" => Ok(()),
        other => {
            let mut numbers = other.splitn(2, |&byte| byte == b'.');
            let are_two = (0..2).all(|_| numbers.next().and_then(scan::number).is_some());
            Err(if are_two { Problem::Version } else { Problem::StartLine("a version") })
        }
    }
}

fn request_uri(bytes: &[u8], limits: &Limits) -> Result<Uri, Problem> {
    if bytes.len() > limits.uri {
        return Err(Problem::UriTooLong);
    }
    let uri = Uri::parse(bytes)?;
    if uri.has_headers() { Err(Problem::UriHeaders) } else { Ok(uri) }
}

/// What every message has. Max-Forwards may be missing: RFC 2543 clients send none.
fn check(headers: &Headers, method: Option<&Method>) -> Result<(), Problem> {
    let cseq = headers.check_required()?;
    if method.is_some_and(|method| *method != cseq.method) {
        return Err(Problem::CSeqMethod);
    }
    Ok(())
}

/// Room for the headers of a usual message.
const USUAL_HEADERS: usize = 20;
