//! Cuts messages out of a byte stream: RFC 3261 §18.3, keep-alives of RFC 5626 §4.4.1.

use bytes::{Buf, Bytes, BytesMut};

use crate::sip::message::{Limits, ParseError, Problem, content_length, refuse};

/// Bytes in, whole messages out.
///
/// After [`Framer::push`], call [`Framer::poll`] until it yields `None`. Memory stays below one message of
/// the largest size and one push. Each byte is looked at a fixed number of times, however small the pieces.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
    state: State,
}

/// What the stream holds next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Frame {
    /// One message, ready for `Message::parse`.
    Message(Bytes),
    /// The peer asks for a sign of life: answer with one CRLF.
    Ping,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// Before a message; `line_ends` are CRLFs since the last message or ping.
    Between { line_ends: u8 },
    /// Within start line and headers; up to `scanned` there is no empty line.
    Head { scanned: usize },
    /// The head is whole; the message has this many bytes.
    Body { total: usize },
    /// The stream can no longer be followed.
    Broken,
}

impl Framer {
    /// A stream from its start.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new(), state: State::Between { line_ends: 0 } }
    }

    /// Takes what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// Returns the next frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the end of the message cannot be found, or is too far away. Send the error's response, if it has
    /// one, and close the connection: nothing more will come of it.
    pub fn poll(&mut self) -> Option<Result<Frame, ParseError>> {
        loop {
            match self.state {
                State::Between { line_ends } => {
                    if let Some(ping) = self.skip_line_end(line_ends)? {
                        return Some(Ok(ping));
                    }
                }
                State::Head { scanned } => {
                    if let Err(problem) = self.read_head(scanned)? {
                        return Some(Err(self.give_up(problem)));
                    }
                }
                State::Body { total } => {
                    if self.buffer.len() < total {
                        return None;
                    }
                    self.state = State::Between { line_ends: 0 };
                    return Some(Ok(Frame::Message(self.buffer.split_to(total).freeze())));
                }
                State::Broken => return None,
            }
        }
    }

    /// True while part of a message has come and the rest has not: a peer that stays here is up to no good.
    pub fn is_within_message(&self) -> bool {
        matches!(self.state, State::Head { .. } | State::Body { .. })
    }

    /// Takes one line end off the start, or sees that a message starts. `None`: more bytes are needed.
    #[expect(clippy::option_option, reason = "the outer one is for `?`")]
    fn skip_line_end(&mut self, line_ends: u8) -> Option<Option<Frame>> {
        let len = match self.buffer[..] {
            [] | [b'\r'] => return None,
            [b'\r', b'\n', ..] => 2,
            [b'\n' | b'\r', ..] => 1,
            [..] => {
                self.state = State::Head { scanned: 0 };
                return Some(None);
            }
        };
        self.buffer.advance(len);
        let is_ping = line_ends == 1;
        self.state = State::Between { line_ends: u8::from(!is_ping) };
        Some(is_ping.then_some(Frame::Ping))
    }

    /// Looks for the empty line, then for Content-Length. `None`: more bytes are needed.
    fn read_head(&mut self, scanned: usize) -> Option<Result<(), Problem>> {
        let head_end = match find_empty_line(&self.buffer, scanned) {
            Ok(end) if end > self.limits.head => return Some(Err(Problem::TooLarge)),
            Err(scanned) if scanned > self.limits.head => return Some(Err(Problem::TooLarge)),
            Ok(end) => end,
            Err(scanned) => {
                self.state = State::Head { scanned };
                return None;
            }
        };
        let head = Bytes::copy_from_slice(&self.buffer[..head_end]);
        Some(self.message_len(&head).map(|total| self.state = State::Body { total }))
    }

    fn message_len(&self, head: &Bytes) -> Result<usize, Problem> {
        let length = content_length(head, &self.limits)?.ok_or(Problem::NoContentLength)?;
        if length > self.limits.body {
            return Err(Problem::BodyTooLarge);
        }
        let total = head.len() + length;
        if total > self.limits.message { Err(Problem::TooLarge) } else { Ok(total) }
    }

    fn give_up(&mut self, problem: Problem) -> ParseError {
        self.state = State::Broken;
        let mut rest = std::mem::take(&mut self.buffer);
        rest.truncate(self.limits.head);
        refuse(&rest.freeze(), &self.limits, problem)
    }
}

/// Where the empty line that ends a head ends; or from where to look again when more has come.
fn find_empty_line(bytes: &[u8], scanned: usize) -> Result<usize, usize> {
    for at in memchr::memchr_iter(b'\n', &bytes[scanned..]).map(|at| scanned + at) {
        match bytes[at + 1..] {
            [b'\n', ..] => return Ok(at + 2),
            [b'\r', b'\n', ..] => return Ok(at + 3),
            [] | [b'\r'] => return Err(at),
            [..] => {}
        }
    }
    Err(bytes.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sip::status::StatusCode;

    const HEAD: &str =
        "OPTIONS sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nTo: <sip:h>\r\n";

    #[test]
    fn messages_and_pings_come_in_order() {
        let stream =
            format!("\r\n\r\n{}\r\n{}\r\n\r\n", message("l: 3", "abc"), message("l: 0", ""));

        let frames = frames(stream.as_bytes(), 1);

        assert_eq!(frames.len(), 4);
        assert_eq!(frames[0], Frame::Ping);
        assert_eq!(frames[1], Frame::Message(message("l: 3", "abc").into()));
        assert_eq!(frames[2], Frame::Message(message("l: 0", "").into()));
        assert_eq!(frames[3], Frame::Ping);
    }

    #[test]
    fn a_stream_without_true_length_is_answered_and_given_up() {
        for line in
            ["X: y", "Content-Length: -9", "l: 1\r\nl: 2", "l: x", "l: 99999999999999999999"]
        {
            let mut framer = Framer::new(Limits::default());
            framer.push(message(line, "").as_bytes());

            let error = framer.poll().unwrap().unwrap_err();

            assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST), "{line}");
            framer.push(message("l: 0", "").as_bytes());
            assert!(framer.poll().is_none());
        }
    }

    #[test]
    fn what_never_ends_is_given_up_at_the_limit() {
        let mut framer = Framer::new(Limits { head: 4_096, ..Limits::default() });
        framer.push(HEAD.as_bytes());

        let error = (0..4_096).find_map(|_| {
            framer.push(b"x: y\r\n");
            framer.poll()
        });

        assert_eq!(error.unwrap().unwrap_err().status(), Some(StatusCode::MESSAGE_TOO_LARGE));
        assert_eq!(framer.buffer.capacity(), 0);
    }

    #[test]
    fn a_huge_body_is_refused_before_it_comes() {
        let mut framer = Framer::new(Limits::default());
        framer.push(message("l: 1000000", "").as_bytes());

        let error = framer.poll().unwrap().unwrap_err();

        assert_eq!(error.status(), Some(StatusCode::REQUEST_ENTITY_TOO_LARGE));
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(bodies in prop::collection::vec("[a-z\r\n]{0,9}", 1..5), size in 1_usize..64) {
            let messages: Vec<_> = bodies.iter().map(|body| message(&format!("l: {}", body.len()), body)).collect();

            let cut = frames(messages.concat().as_bytes(), size);

            let whole: Vec<_> = messages.into_iter().map(|message| Frame::Message(message.into())).collect();
            prop_assert_eq!(cut, whole);
        }
    }

    fn message(line: &str, body: &str) -> String {
        format!("{HEAD}{line}\r\n\r\n{body}")
    }

    fn frames(stream: &[u8], size: usize) -> Vec<Frame> {
        let mut framer = Framer::new(Limits::default());
        let mut found = Vec::new();
        for piece in stream.chunks(size) {
            framer.push(piece);
            found.extend(std::iter::from_fn(|| framer.poll()).map(Result::unwrap));
        }
        found
    }
}
