//! What is said over SIP, copied to a collector such as Homer or sngrep: HEP3 (EEP), one datagram a message.
//!
//! ```text
//!  HEP3 │ length │ chunk │ chunk │ …      chunk: vendor 0 │ type │ length │ value      all in network order
//! ```
//! Secrets are overwritten as in the traces of calls. A collector that is slow, or gone, delays nobody.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;

use super::trace::redacted;
use crate::sip::message::peek;
use crate::sip::transport::Transport;

/// How a collector knows us.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HepSettings {
    /// The number of this node among all that send there.
    pub capture_id: u32,
    /// What the collector asks for; may be empty.
    pub password: String,
}

/// A SIP message on its way, either way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Captured<'a> {
    pub(super) at: Timestamp,
    pub(super) transport: Transport,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) text: &'a [u8],
}

/// Tells whom it is copied to, and how often that was.
#[derive(Debug)]
pub(super) struct Capture {
    settings: HepSettings,
    pub(super) sent: u64,
    pub(super) lost: u64,
}

impl Capture {
    pub(super) fn new(settings: HepSettings) -> Self {
        Self { settings, sent: 0, lost: 0 }
    }

    /// The datagram that tells of a message; `None` for keep-alives and what is no message.
    pub(super) fn copy(&mut self, captured: Captured<'_>) -> Option<Bytes> {
        peek::call_id(captured.text)?;
        self.sent += 1;
        Some(encode(&self.settings, captured))
    }
}

/// A datagram of HEP3.
fn encode(settings: &HepSettings, captured: Captured<'_>) -> Bytes {
    let Captured { at, transport, from, to, text } = captured;
    let text = redacted(&text[..text.len().min(LONGEST)]);
    let mut packet = BytesMut::with_capacity(HEAD + text.len());
    packet.put_slice(b"HEP3");
    packet.put_u16(0); // its length, once it is known
    let protocol = if transport == Transport::Udp { UDP } else { TCP };
    put_addresses(&mut packet, (from.ip().to_canonical(), to.ip().to_canonical()), protocol);
    put(&mut packet, SOURCE_PORT, &from.port().to_be_bytes());
    put(&mut packet, DESTINATION_PORT, &to.port().to_be_bytes());
    let (seconds, rest) = (at.as_second(), at.subsec_microsecond());
    put(&mut packet, SECONDS, &u32::try_from(seconds).unwrap_or_default().to_be_bytes());
    put(&mut packet, MICROSECONDS, &u32::try_from(rest).unwrap_or_default().to_be_bytes());
    put(&mut packet, PROTOCOL_TYPE, &[SIP]);
    put(&mut packet, CAPTURE_ID, &settings.capture_id.to_be_bytes());
    if !settings.password.is_empty() {
        put(&mut packet, PASSWORD, settings.password.as_bytes());
    }
    if let Some(call_id) = peek::call_id(&text) {
        put(&mut packet, CORRELATION_ID, &call_id[..call_id.len().min(LONGEST_ID)]);
    }
    put(&mut packet, PAYLOAD, &text);
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    packet[4..6].copy_from_slice(&length.to_be_bytes());
    packet.freeze()
}

/// Both of one family: what cannot be is never sent.
fn put_addresses(packet: &mut BytesMut, (from, to): (IpAddr, IpAddr), protocol: u8) {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            put(packet, FAMILY, &[INET]);
            put(packet, PROTOCOL, &[protocol]);
            put(packet, SOURCE_V4, &from.octets());
            put(packet, DESTINATION_V4, &to.octets());
        }
        (from, to) => {
            let wide = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            put(packet, FAMILY, &[INET6]);
            put(packet, PROTOCOL, &[protocol]);
            put(packet, SOURCE_V6, &wide(from));
            put(packet, DESTINATION_V6, &wide(to));
        }
    }
}

/// Values are far shorter than 65,535 octets: [`LONGEST`] is the longest.
fn put(packet: &mut BytesMut, kind: u16, value: &[u8]) {
    packet.put_u16(0); // the vendor: none
    packet.put_u16(kind);
    packet.put_u16(u16::try_from(CHUNK_HEAD + value.len()).unwrap_or(u16::MAX));
    packet.put_slice(value);
}

const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const SOURCE_V4: u16 = 3;
const DESTINATION_V4: u16 = 4;
const SOURCE_V6: u16 = 5;
const DESTINATION_V6: u16 = 6;
const SOURCE_PORT: u16 = 7;
const DESTINATION_PORT: u16 = 8;
const SECONDS: u16 = 9;
const MICROSECONDS: u16 = 10;
const PROTOCOL_TYPE: u16 = 11;
const CAPTURE_ID: u16 = 12;
const PASSWORD: u16 = 14;
const PAYLOAD: u16 = 15;
const CORRELATION_ID: u16 = 17;

/// `AF_INET` and `AF_INET6` of Linux, where the first collectors were written.
const INET: u8 = 2;
const INET6: u8 = 10;
/// Numbers of IP.
const UDP: u8 = 17;
const TCP: u8 = 6;
/// What is captured, as HEP3 numbers it.
const SIP: u8 = 1;
/// Vendor, type and length.
const CHUNK_HEAD: usize = 6;
/// About what a datagram needs beside the message.
const HEAD: usize = 256;
/// Octets of a message that a datagram takes.
const LONGEST: usize = 60_000;
/// Octets of a Call-ID that are told.
const LONGEST_ID: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_what_the_format_says_octet_by_octet() {
        let text = b"BYE sip:a SIP/2.0\r\nCall-ID: one@a\r\n\r\n";
        let settings = HepSettings { capture_id: 2001, password: "secret".into() };
        let captured = Captured {
            at: Timestamp::new(1_700_000_000, 123_456_789).unwrap(),
            transport: Transport::Tls,
            from: "192.0.2.1:5061".parse().unwrap(),
            to: "198.51.100.2:40000".parse().unwrap(),
            text,
        };

        let packet = encode(&settings, captured);

        let expected: [&[u8]; 15] = [
            b"HEP3\x00\x9f",
            b"\0\0\0\x01\0\x07\x02",
            b"\0\0\0\x02\0\x07\x06",
            b"\0\0\0\x03\0\x0a\xc0\x00\x02\x01",
            b"\0\0\0\x04\0\x0a\xc6\x33\x64\x02",
            b"\0\0\0\x07\0\x08\x13\xc5",
            b"\0\0\0\x08\0\x08\x9c\x40",
            b"\0\0\0\x09\0\x0a\x65\x53\xf1\x00",
            b"\0\0\0\x0a\0\x0a\x00\x01\xe2\x40",
            b"\0\0\0\x0b\0\x07\x01",
            b"\0\0\0\x0c\0\x0a\x00\x00\x07\xd1",
            b"\0\0\0\x0e\0\x0csecret",
            b"\0\0\0\x11\0\x0bone@a",
            b"\0\0\0\x0f\0\x2b",
            &text[..],
        ];
        assert_eq!(packet, expected.concat());
    }

    #[test]
    fn addresses_of_ipv6_are_told_and_secrets_are_not() {
        let mut capture = Capture::new(HepSettings { capture_id: 1, password: String::new() });
        let captured = Captured {
            at: Timestamp::UNIX_EPOCH,
            transport: Transport::Udp,
            from: "[2001:db8::1]:5060".parse().unwrap(),
            to: "[2001:db8::2]:5060".parse().unwrap(),
            text: b"INVITE sip:a SIP/2.0\r\nCall-ID: x\r\nAuthorization: Digest response=\"abc\"\r\n\r\n",
        };

        let packet = capture.copy(captured).unwrap();
        let nothing = capture.copy(Captured { text: b"\r\n\r\n", ..captured });

        let holds = |wanted: &[u8]| packet.windows(wanted.len()).any(|found| found == wanted);
        assert!(holds(b"\0\0\0\x01\0\x07\x0a") && holds(b"\0\0\0\x05\0\x16\x20\x01\x0d\xb8"));
        assert!(holds(b"response=\"***\"") && !holds(b"abc"));
        assert!(nothing.is_none());
        assert_eq!((capture.sent, capture.lost), (1, 0));
    }
}
