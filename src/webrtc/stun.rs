//! STUN (RFC 8489), as far as ICE needs it: Binding requests are read, answered and made, and their answers are read.
//!
//! ```text
//!  0 type 2 length 4 cookie 8 transaction 20 attributes …  MESSAGE-INTEGRITY  FINGERPRINT
//! ```
//! A message without FINGERPRINT is none (RFC 8445 §7.1.1 has every agent add it), so nothing else is taken for STUN.
//! Reading allocates nothing, and neither does writing into a buffer that has room.

mod query;
mod request;

use hmac::{Hmac, KeyInit, Mac};
use rand_core::Rng;
use sha1::Sha1;

pub(super) use query::{Query, Response, Verdict};
pub(super) use request::Refusal;
pub use request::Request;

/// Why a datagram is not what it is read as.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Its header is not that of STUN, or its lengths contradict each other.
    #[error("not a STUN message")]
    Malformed,
    /// Another method than Binding, or a class that was not asked for.
    #[error("another STUN message than the expected one")]
    Unexpected,
    /// FINGERPRINT is missing or wrong.
    #[error("no FINGERPRINT, or not that of the message")]
    Fingerprint,
}

/// Which of the two decides on a pair (RFC 8445 §6.1.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Control {
    /// It does.
    Controlling,
    /// The other does.
    Controlled,
}

impl Control {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Controlling => Self::Controlled,
            Self::Controlled => Self::Controlling,
        }
    }
}

/// What an answer and its request have in common.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Transaction(pub(super) [u8; HEADER - 8]);

impl Transaction {
    /// One that nobody can foresee (RFC 8489 §5).
    pub(super) fn draw(dice: &mut impl Rng) -> Self {
        let mut new = Self::default();
        dice.fill_bytes(&mut new.0);
        new
    }
}

/// A message whose lengths and FINGERPRINT are right.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Message<'a> {
    bytes: &'a [u8],
    /// Where MESSAGE-INTEGRITY begins.
    integrity: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads one of these types; `note` gets the attributes that count: what stands behind MESSAGE-INTEGRITY does not
    /// (RFC 8489 §14.5).
    fn parse(
        bytes: &'a [u8],
        kinds: &[[u8; 2]],
        mut note: impl FnMut(u16, &'a [u8]),
    ) -> Result<Self, ParseError> {
        let header = bytes.first_chunk::<HEADER>().ok_or(ParseError::Malformed)?;
        let body = bytes.len() - HEADER;
        if header[0] & 0xc0 != 0
            || usize::from(u16::from_be_bytes([header[2], header[3]])) != body
            || !body.is_multiple_of(4)
            || header[4..8] != COOKIE
            || bytes.len() > MESSAGE_MAX
        {
            return Err(ParseError::Malformed);
        }
        if !kinds.contains(&[header[0], header[1]]) {
            return Err(ParseError::Unexpected);
        }
        let mut message = Self { bytes, integrity: None };
        let mut at = HEADER;
        while at < bytes.len() {
            let (kind, value) = attribute(bytes, at)?;
            match kind {
                FINGERPRINT => {
                    let is_last = at + 8 == bytes.len();
                    let is_right = value == fingerprint(&bytes[..at]).to_be_bytes();
                    let is_fine = is_last && is_right;
                    return if is_fine { Ok(message) } else { Err(ParseError::Fingerprint) };
                }
                _ if message.integrity.is_some() => {}
                MESSAGE_INTEGRITY if value.len() == TAG => message.integrity = Some(at),
                kind => note(kind, value),
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        Err(ParseError::Fingerprint)
    }

    /// Whether it was made by somebody who knows `password`.
    fn is_made_with(&self, password: &[u8]) -> bool {
        let (Some(at), Some(mut mac)) = (self.integrity, mac(password)) else { return false };
        // RFC 8489 §14.5: the length is that of the message up to and with this attribute.
        let mut head = [0; HEADER];
        head.copy_from_slice(&self.bytes[..HEADER]);
        head[2..4].copy_from_slice(&length(at + 4 + TAG));
        mac.update(&head);
        mac.update(&self.bytes[HEADER..at]);
        mac.verify_slice(&self.bytes[at + 4..at + 4 + TAG]).is_ok()
    }

    fn transaction(&self) -> Transaction {
        let mut octets = Transaction::default();
        octets.0.copy_from_slice(&self.bytes[8..HEADER]);
        octets
    }
}

/// Begins a message.
fn begin(kind: [u8; 2], Transaction(transaction): Transaction, message: &mut Vec<u8>) {
    message.clear();
    message.extend_from_slice(&kind);
    message.extend_from_slice(&[0, 0]);
    message.extend_from_slice(&COOKIE);
    message.extend_from_slice(&transaction);
}

/// Kind and value of the attribute that begins at `at`.
fn attribute(bytes: &[u8], at: usize) -> Result<(u16, &[u8]), ParseError> {
    let head = bytes.get(at..at + 4).ok_or(ParseError::Malformed)?;
    let kind = u16::from_be_bytes([head[0], head[1]]);
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let padded = len.next_multiple_of(4);
    let value = bytes.get(at + 4..at + 4 + padded).ok_or(ParseError::Malformed)?;
    Ok((kind, &value[..len]))
}

/// Appends an attribute of these parts with its padding.
fn push(kind: u16, parts: &[&[u8]], message: &mut Vec<u8>) {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&u16::try_from(len).unwrap_or(0).to_be_bytes());
    for part in parts {
        message.extend_from_slice(part);
    }
    message.resize(message.len().next_multiple_of(4), 0);
    let length = length(message.len());
    message[2..4].copy_from_slice(&length);
}

fn push_integrity(password: &[u8], message: &mut Vec<u8>) {
    let end = message.len();
    push(MESSAGE_INTEGRITY, &[&[0; TAG]], message);
    let Some(mut mac) = mac(password) else { return };
    mac.update(&message[..end]);
    let tag = mac.finalize().into_bytes();
    message[end + 4..].copy_from_slice(&tag);
}

fn push_fingerprint(message: &mut Vec<u8>) {
    let end = message.len();
    push(FINGERPRINT, &[&[0; 4]], message);
    let value = fingerprint(&message[..end]).to_be_bytes();
    message[end + 4..].copy_from_slice(&value);
}

fn mac(password: &[u8]) -> Option<Hmac<Sha1>> {
    Hmac::new_from_slice(password).ok()
}

/// The length field of a message that has so many octets with its header.
fn length(octets: usize) -> [u8; 2] {
    u16::try_from(octets - HEADER).unwrap_or(u16::MAX).to_be_bytes()
}

/// RFC 8489 §14.7: CRC-32 of ITU-T V.42, exclusive-or "STUN".
fn fingerprint(message: &[u8]) -> u32 {
    let step = |crc: u32, octet: &u8| CRC[usize::from(crc.to_le_bytes()[0] ^ octet)] ^ (crc >> 8);
    !message.iter().fold(u32::MAX, step) ^ 0x5354_554e
}

const CRC: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

const HEADER: usize = 20;
/// Octets of an HMAC-SHA1.
const TAG: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000a;
const MESSAGE_INTEGRITY_SHA256: u16 = 0x001c;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
const PRIORITY: u16 = 0x0024;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
const ICE_CONTROLLING: u16 = 0x802a;
/// Attributes with this bit may be skipped.
const OPTIONAL: u16 = 0x8000;
/// A check has some 100 octets.
const MESSAGE_MAX: usize = 1_024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 5769 §2.1.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    pub(crate) const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    /// A check as a browser sends it.
    pub(crate) fn check(username: &str, password: &str, more: &[(u16, &[u8])]) -> Vec<u8> {
        let mut message = [&BINDING_REQUEST[..], &[0, 0], &COOKIE, b"transaction!"].concat();
        push(USERNAME, &[username.as_bytes()], &mut message);
        for (kind, value) in more {
            push(*kind, &[value], &mut message);
        }
        push_integrity(password.as_bytes(), &mut message);
        push_fingerprint(&mut message);
        message
    }

    pub(crate) const NOMINATES: (u16, &[u8]) = (USE_CANDIDATE, b"");
    pub(crate) const CONTROLLED: (u16, &[u8]) = (ICE_CONTROLLED, b"tiebreak");
    pub(crate) const STRANGE: (u16, &[u8]) = (0x7abc, b"?");

    pub(crate) fn priority(value: &[u8; 4]) -> (u16, &[u8]) {
        (PRIORITY, value)
    }

    #[test]
    fn the_sample_request_of_rfc_5769_is_read_and_believed() {
        let request = Request::parse(SAMPLE).unwrap();

        assert_eq!(request.username, Some(&b"evtj:h6vY"[..]));
        let control = (Control::Controlled, 0x932f_f9b1_5126_3b36);
        assert_eq!((request.priority, request.control), (0x6e00_01ff, Some(control)));
        assert!(!request.nominates && request.is_understood());
        assert_eq!(request.authenticate(PASSWORD), Ok(()));
        assert_eq!(request.authenticate(b"another"), Err(Refusal::Unauthenticated));
    }

    #[test]
    fn an_answer_to_the_sample_is_that_of_rfc_5769_but_for_its_software() {
        let mut answer = Vec::new();
        let from = "192.0.2.1:32853".parse().unwrap();

        Request::parse(SAMPLE).unwrap().accept(from, PASSWORD, &mut answer);

        let mapped = b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43";
        assert_eq!(answer[..2], BINDING_SUCCESS);
        assert_eq!(answer[4..HEADER], SAMPLE[4..HEADER]);
        assert_eq!(answer[HEADER..HEADER + 12], *mapped);
        assert_eq!(usize::from(u16::from_be_bytes([answer[2], answer[3]])), answer.len() - HEADER);
        let end = answer.len() - 8;
        assert_eq!(answer[end + 4..], fingerprint(&answer[..end]).to_be_bytes());
    }

    #[test]
    fn ipv6_is_masked_by_cookie_and_transaction() {
        let mut answer = Vec::new();
        let from = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();

        Request::parse(SAMPLE).unwrap().accept(from, PASSWORD, &mut answer);

        // RFC 5769 §2.3.
        let mapped = b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9";
        assert_eq!(answer[HEADER..HEADER + 24], *mapped);
    }

    #[test]
    fn no_octet_of_a_check_may_be_another() {
        let right = check("ours:theirs", "password", &[NOMINATES]);
        for at in 0..right.len() {
            let mut wrong = right.clone();
            wrong[at] ^= 1;
            assert!(Request::parse(&wrong).is_err(), "octet {at}");
        }
        for len in 0..right.len() {
            assert!(Request::parse(&right[..len]).is_err(), "{len} octets");
        }
    }

    #[test]
    fn what_is_no_binding_request_is_not_answered() {
        let mut response = check("a:b", "c", &[]);
        response.truncate(response.len() - 8);
        response[..2].copy_from_slice(&BINDING_SUCCESS);
        push_fingerprint(&mut response);
        let mut long = check("a:b", "c", &[(0x8022, &[b'x'; MESSAGE_MAX])]);

        assert_eq!(Request::parse(&response), Err(ParseError::Unexpected));
        assert_eq!(Request::parse(&long), Err(ParseError::Malformed));
        long.clear();
        assert_eq!(Request::parse(&long), Err(ParseError::Malformed));
    }

    #[test]
    fn what_stands_behind_the_integrity_does_not_count() {
        let mut forged = check("a:b", "c", &[]);
        forged.truncate(forged.len() - 8);
        push(USE_CANDIDATE, &[], &mut forged);
        push_fingerprint(&mut forged);

        let request = Request::parse(&forged).unwrap();

        assert!(!request.nominates);
        assert_eq!(request.authenticate(b"c"), Ok(()));
    }

    #[test]
    fn a_request_without_a_user_or_integrity_is_a_bad_one() {
        let mut bare = [&BINDING_REQUEST[..], &[0, 0], &COOKIE, b"transaction!"].concat();
        push_fingerprint(&mut bare);
        let request = Request::parse(&bare).unwrap();
        let mut answer = Vec::new();

        let refusal = request.authenticate(b"c").unwrap_err();
        request.refuse(refusal, None, &mut answer);

        assert_eq!(refusal, Refusal::BadRequest);
        assert_eq!(answer[..2], BINDING_ERROR);
        assert_eq!(answer[HEADER..HEADER + 8], *b"\x00\x09\x00\x0f\x00\x00\x04\x00");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        let bytes = check("a:b", "c", &[STRANGE]);
        let request = Request::parse(&bytes).unwrap();
        let mut answer = Vec::new();

        request.refuse(Refusal::UnknownAttribute, Some(b"c"), &mut answer);

        assert!(!request.is_understood());
        assert!(answer.windows(6).any(|window| window == b"\x00\x0a\x00\x02\x7a\xbc"));
    }
}
