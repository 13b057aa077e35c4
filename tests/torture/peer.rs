//! A peer of the bridge that may say anything, and reads only as much of the answers as it must.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plenary::sip::transport::Transport;

/// One socket towards the bridge.
#[derive(Debug)]
pub(crate) struct Peer {
    wire: Wire,
    local: SocketAddr,
    /// The final statuses that came for anything but requests of its own, in order.
    pub(crate) finals: Vec<u16>,
}

#[derive(Debug)]
enum Wire {
    Udp(UdpSocket),
    Tcp(BufReader<TcpStream>),
}

/// What became of a well-formed request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Probed {
    Answered,
    /// The bridge closed the connection instead, or said nothing.
    Unanswered,
}

impl Peer {
    pub(crate) fn new(bridge: SocketAddr, transport: Transport) -> Self {
        let (wire, local) = if transport.is_reliable() {
            let stream = TcpStream::connect(bridge).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let local = stream.local_addr().unwrap();
            (Wire::Tcp(BufReader::new(stream)), local)
        } else {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(bridge).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let local = socket.local_addr().unwrap();
            (Wire::Udp(socket), local)
        };
        Self { wire, local, finals: Vec::new() }
    }

    /// Sends a message whose answers come back here; see [`with_rport`].
    pub(crate) fn send(&mut self, message: &[u8]) {
        self.write(&with_rport(message));
    }

    /// Waits for a final answer.
    pub(crate) fn wait_final(&mut self) {
        while self.finals.is_empty() {
            let Some(answer) = self.read() else { return };
            self.take(&answer);
        }
    }

    /// Sends OPTIONS and takes whatever comes before its answer.
    ///
    /// Both transports keep the order, so what was not answered by then never will be.
    pub(crate) fn probe(&mut self) -> Probed {
        let from = "From: <sip:probe@phones.test>;tag=p";
        let call = format!("Call-ID: probe-{}@phones.test", next());
        let dialog = [from, "To: <sip:standup@bridge.test>", &call];
        self.write(self.request("OPTIONS", 1, &dialog).as_bytes());
        loop {
            match self.read() {
                None => return Probed::Unanswered,
                Some(answer) if answer.lines().any(|line| line == call) => return Probed::Answered,
                Some(answer) => self.take(&answer),
            }
        }
    }

    /// Says that no more is to come, and takes what the bridge says until it closes, too.
    pub(crate) fn end(&mut self) {
        if let Wire::Tcp(stream) = &self.wire {
            drop(stream.get_ref().shutdown(Shutdown::Write)); // the bridge may have been faster
            while let Some(answer) = self.read() {
                self.take(&answer);
            }
        }
    }

    /// Notes a final answer; one to an INVITE is acknowledged, and a call it made is ended.
    fn take(&mut self, answer: &str) {
        let status = status(answer);
        if status < 200 || header(answer, "Via").is_some_and(|via| via.contains(OWN_BRANCH)) {
            return;
        }
        self.finals.push(status);
        let cseq = header(answer, "CSeq").and_then(|line| line["CSeq: ".len()..].split_once(' '));
        let Some((number, "INVITE")) = cseq else { return };
        let number = number.parse().unwrap_or_default();
        let dialog: Vec<&str> =
            ["From", "To", "Call-ID"].iter().filter_map(|name| header(answer, name)).collect();
        if status < 300 {
            self.write(self.request("ACK", number, &dialog).as_bytes());
            self.write(self.request("BYE", number + 1, &dialog).as_bytes());
        } else if let Some(via) = header(answer, "Via") {
            self.write(request("ACK", via, number, &dialog).as_bytes());
        }
    }

    /// A request with a transaction of its own.
    fn request(&self, method: &str, number: u32, dialog: &[&str]) -> String {
        let transport = match self.wire {
            Wire::Udp(_) => Transport::Udp,
            Wire::Tcp(_) => Transport::Tcp,
        };
        let via =
            format!("Via: SIP/2.0/{transport} {};branch={OWN_BRANCH}{};rport", self.local, next());
        request(method, &via, number, dialog)
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.wire {
            Wire::Udp(socket) => assert_eq!(socket.send(bytes).unwrap(), bytes.len()),
            // If the bridge has closed the connection, reading tells.
            Wire::Tcp(stream) => drop(stream.get_mut().write_all(bytes)),
        }
    }

    /// The next message from the bridge; `None` if it closed the connection, or none comes in time.
    fn read(&mut self) -> Option<String> {
        let bytes = match &mut self.wire {
            Wire::Udp(socket) => {
                let mut buffer = vec![0; 65_535];
                let length = socket.recv(&mut buffer).ok()?;
                buffer.truncate(length);
                buffer
            }
            Wire::Tcp(stream) => read_message(stream)?,
        };
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Has the top Via ask that answers come back to the port of its sender (RFC 3581).
///
/// Without that they would go to the port in the Via, which is not ours. Nothing else is touched, nor is a
/// message that asks already or has no Via.
pub(crate) fn with_rport(message: &[u8]) -> Vec<u8> {
    let mut message = message.to_vec();
    let Some((start, value)) = top_via(&message) else { return message };
    let first = value.split(|byte| *byte == b',').next().unwrap_or_default().trim_ascii_end();
    if first.is_empty() || first.windows(6).any(|window| window == b";rport") {
        return message;
    }
    let sent_by = first.iter().position(|byte| *byte == b';').unwrap_or(first.len());
    message.splice(start + sent_by..start + sent_by, *b";rport");
    message
}

/// Where the value of the first Via begins, and that value with its folds.
fn top_via(message: &[u8]) -> Option<(usize, &[u8])> {
    let mut at = 0;
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        let name = line[..colon].trim_ascii();
        if name.eq_ignore_ascii_case(b"via") || name.eq_ignore_ascii_case(b"v") {
            let value = &message[at + colon + 1..];
            let is_last = |pair: &[u8]| pair[0] == b'\n' && !matches!(pair[1], b' ' | b'\t');
            let length = value.windows(2).position(is_last).unwrap_or(value.len());
            return Some((at + colon + 1, &value[..length]));
        }
        at += line.len();
    }
    None
}

/// Reads one message from a stream, passing over the answers to keep-alives.
fn read_message(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    while !message.ends_with(b"\r\n\r\n") {
        let length = stream.read_until(b'\n', &mut message).ok()?;
        assert!(length > 0 || message.is_empty(), "the bridge closed amid a message");
        if length == 0 {
            return None;
        }
        if message == b"\r\n" {
            message.clear();
        }
    }
    let head = String::from_utf8_lossy(&message);
    let length = header(&head, "Content-Length")?["Content-Length: ".len()..].parse().ok()?;
    stream.take(length).read_to_end(&mut message).ok()?;
    Some(message)
}

fn request(method: &str, via: &str, number: u32, dialog: &[&str]) -> String {
    let mut text = format!("{method} sip:standup@bridge.test SIP/2.0\r\n{via}\r\n");
    for line in dialog {
        write!(text, "{line}\r\n").unwrap();
    }
    write!(text, "CSeq: {number} {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    text
}

fn status(answer: &str) -> u16 {
    let code = answer.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("not an answer: {answer}"))
}

/// The first line with this name, whole.
fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = answer.lines();
    lines.find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(": ")))
}

/// A number that this process has not used.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What the branches of a peer's own requests begin with.
const OWN_BRANCH: &str = "z9hG4bK-own-";
/// How long an answer may take: it does not leave this machine, but that may be busy.
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rport_goes_behind_the_first_sent_by() {
        let cases = [
            ("Via: SIP/2.0/UDP h\r\nTo: b\r\n", "Via: SIP/2.0/UDP h;rport\r\nTo: b\r\n"),
            (
                "v : SIP/2.0/UDP\r\n  h;x, o;y\r\nTo: b",
                "v : SIP/2.0/UDP\r\n  h;rport;x, o;y\r\nTo: b",
            ),
            ("Via: SIP/2.0/UDP h;x;rport\r\n\r\n", "Via: SIP/2.0/UDP h;x;rport\r\n\r\n"),
            ("Via: \r\nTo: b\r\n", "Via: \r\nTo: b\r\n"),
            ("To: b\r\n", "To: b\r\n"),
        ];

        for (message, sent) in cases {
            assert_eq!(String::from_utf8(with_rport(message.as_bytes())).unwrap(), sent);
        }
    }
}
