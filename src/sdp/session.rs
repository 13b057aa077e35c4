//! A session description as lines: RFC 8866 §5, read tolerantly and kept verbatim.

use std::fmt;
use std::str;

use bytes::Bytes;

/// Longest description that is read, in octets. A browser's offer with simulcast is about 10 kB.
pub const MAX_BYTES: usize = 64 * 1024;
/// Most lines of a description.
pub const MAX_LINES: usize = 2_000;
/// Most m-lines of a description.
pub const MAX_MEDIA: usize = 64;

/// Why a text is not a session description.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`MAX_BYTES`].
    #[error("session description of {0} octets, at most {MAX_BYTES} are read")]
    TooLong(usize),
    /// More lines than [`MAX_LINES`].
    #[error("session description of more than {MAX_LINES} lines")]
    TooManyLines,
    /// More m-lines than [`MAX_MEDIA`].
    #[error("session description of more than {MAX_MEDIA} m-lines")]
    TooManyMedia,
    /// The first line is not `v=0`.
    #[error("expected a session description to begin with v=0")]
    NoVersion,
    /// An m-line from which no media, port and protocol can be read.
    #[error("expected m=<media> <port> <protocol> <formats>, found \"{0}\"")]
    MediaLine(String),
}

/// One line as it came, without its end.
#[derive(Clone, Eq, PartialEq)]
pub struct Line(Bytes);

impl fmt::Debug for Line {
    /// A line with a secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.attribute() {
            Some((name, _)) if name.eq_ignore_ascii_case("crypto") => f.write_str("a=crypto:…"),
            Some((name, _)) if name.eq_ignore_ascii_case("ice-pwd") => f.write_str("a=ice-pwd:…"),
            _ => self.0.fmt(f),
        }
    }
}

impl Line {
    /// The type letter, if the line has the form `x=…`.
    pub fn kind(&self) -> Option<char> {
        match self.0.as_ref() {
            [kind, b'=', ..] if kind.is_ascii_alphabetic() => Some(char::from(*kind)),
            _ => None,
        }
    }

    /// What follows `x=`, without blanks at either end; `None` where it is not UTF-8 or there is no `x=`.
    pub fn value(&self) -> Option<&str> {
        self.kind()?;
        str::from_utf8(&self.0[2..]).ok().map(str::trim)
    }

    /// The octets of the whole line.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Name and value of an attribute line; the value of a flag is empty.
    pub(super) fn attribute(&self) -> Option<(&str, &str)> {
        if self.kind() != Some('a') {
            return None;
        }
        let value = self.value()?;
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        Some((name.trim(), value.trim()))
    }
}

/// A parsed session description: the lines before the first m-line, then one [`Media`] for each m-line.
///
/// Printing gives back every line octet by octet, each ended by CRLF.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    lines: Vec<Line>,
    media: Vec<Media>,
}

/// An m-line and the lines that belong to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Media {
    kind: String,
    port: u16,
    protocol: String,
    formats: Vec<String>,
    line: Line,
    lines: Vec<Line>,
}

impl Session {
    /// Reads a description. Line ends may be CRLF, LF or CR; empty lines are skipped; unknown lines are kept.
    ///
    /// # Errors
    ///
    /// [`ParseError`] when a limit is exceeded, when it does not begin with `v=0`, or when an m-line is unreadable.
    pub fn parse(text: &[u8]) -> Result<Self, ParseError> {
        if text.len() > MAX_BYTES {
            return Err(ParseError::TooLong(text.len()));
        }
        let mut session = Self { lines: Vec::new(), media: Vec::new() };
        for (count, line) in lines(&Bytes::copy_from_slice(text)).enumerate() {
            if count == MAX_LINES {
                return Err(ParseError::TooManyLines);
            }
            if count == 0 && (line.kind(), line.value()) != (Some('v'), Some("0")) {
                return Err(ParseError::NoVersion);
            }
            session.push(line)?;
        }
        if session.lines.is_empty() {
            return Err(ParseError::NoVersion);
        }
        Ok(session)
    }

    /// The m-lines in order.
    pub fn media(&self) -> &[Media] {
        &self.media
    }

    /// The lines before the first m-line.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The value of the first session-level line of this type.
    pub fn value(&self, kind: char) -> Option<&str> {
        value(&self.lines, kind)
    }

    /// The values of every session-level attribute of this name, in order; flags have an empty value.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        attributes(&self.lines, name)
    }

    fn push(&mut self, line: Line) -> Result<(), ParseError> {
        if line.kind() == Some('m') {
            if self.media.len() == MAX_MEDIA {
                return Err(ParseError::TooManyMedia);
            }
            self.media.push(Media::parse(line)?);
        } else {
            self.media.last_mut().map_or(&mut self.lines, |media| &mut media.lines).push(line);
        }
        Ok(())
    }

    /// The description as it goes on the wire.
    pub fn print(&self) -> Bytes {
        let mut text = Vec::new();
        let media =
            self.media.iter().flat_map(|media| [&media.line].into_iter().chain(&media.lines));
        for line in self.lines.iter().chain(media) {
            text.extend_from_slice(line.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
        text.into()
    }
}

impl fmt::Display for Session {
    /// As [`Session::print`], with whatever is not UTF-8 replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.print()))
    }
}

impl Media {
    /// `audio`, `video`, … as written.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Where the media is received; 0 is refused, ended, or bundled with another m-line.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `RTP/AVP`, … as written.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The formats as written: payload types for RTP.
    pub fn formats(&self) -> &[String] {
        &self.formats
    }

    /// The lines after the m-line.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The value of the first line of this type below the m-line.
    pub fn value(&self, kind: char) -> Option<&str> {
        value(&self.lines, kind)
    }

    /// The values of every attribute of this name below the m-line, in order; flags have an empty value.
    pub fn attributes<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        attributes(&self.lines, name)
    }

    /// Needs printable ASCII, since what is refused is sent back as it came. A port count (`5000/2`) is read over.
    fn parse(line: Line) -> Result<Self, ParseError> {
        let malformed = || ParseError::MediaLine(String::from_utf8_lossy(line.as_bytes()).into());
        let value =
            line.value().filter(|value| value.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')));
        let mut words = value.ok_or_else(malformed)?.split_ascii_whitespace().map(str::to_owned);
        let (Some(kind), Some(port), Some(protocol)) = (words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let port =
            port.split('/').next().and_then(|port| port.parse().ok()).ok_or_else(malformed)?;
        let formats = words.collect();
        Ok(Self { kind, port, protocol, formats, line, lines: Vec::new() })
    }
}

fn lines(text: &Bytes) -> impl Iterator<Item = Line> {
    text.split(|octet| matches!(octet, b'\r' | b'\n'))
        .filter(|line| !line.is_empty())
        .map(|line| Line(text.slice_ref(line)))
}

fn value(lines: &[Line], kind: char) -> Option<&str> {
    lines.iter().find(|line| line.kind() == Some(kind))?.value()
}

/// Names are compared without case: RFC 8866 §6 wants them exact, phones do not always agree.
fn attributes<'a>(lines: &'a [Line], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines
        .iter()
        .filter_map(Line::attribute)
        .filter(move |(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
