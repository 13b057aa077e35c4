//! STUN (RFC 8489), as far as a lite ICE agent needs it: Binding requests are read, and answered.
//!
//! ```text
//!  0 type 2 length 4 cookie 8 transaction 20 attributes …  MESSAGE-INTEGRITY  FINGERPRINT
//! ```
//! A check without FINGERPRINT is none (RFC 8445 §7.1.1 has every agent add it), so nothing else is taken for STUN.
//! Reading allocates nothing, and neither does answering into a buffer that has room.

use std::net::{IpAddr, SocketAddr};

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Why a datagram is not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Its header is not that of STUN, or its lengths contradict each other.
    #[error("not a STUN message")]
    Malformed,
    /// A response, an indication, or another method than Binding.
    #[error("not a Binding request")]
    NotARequest,
    /// FINGERPRINT is missing or wrong.
    #[error("no FINGERPRINT, or not that of the message")]
    Fingerprint,
}

/// A Binding request whose FINGERPRINT is right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request<'a> {
    bytes: &'a [u8],
    /// What USERNAME says.
    pub(super) username: Option<&'a [u8]>,
    /// Where MESSAGE-INTEGRITY begins.
    integrity: Option<usize>,
    /// What PRIORITY says.
    pub(super) priority: u32,
    /// USE-CANDIDATE is there.
    pub(super) nominates: bool,
    /// ICE-CONTROLLED is there: they think that we are to decide.
    pub(super) is_controlled: bool,
    /// Attributes that must be understood and are not.
    unknown: [u16; UNKNOWN_MAX],
    unknown_count: usize,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// 400: USERNAME or MESSAGE-INTEGRITY is missing (RFC 8489 §9.1.3).
    BadRequest,
    /// 401: they are wrong.
    Unauthenticated,
    /// 420.
    UnknownAttribute,
    /// 487 (RFC 8445 §7.3.1.1).
    RoleConflict,
}

impl<'a> Request<'a> {
    /// Reads a datagram.
    ///
    /// # Errors
    ///
    /// [`ParseError`]: then it is not to be answered at all.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let header = bytes.first_chunk::<HEADER>().ok_or(ParseError::Malformed)?;
        let body = bytes.len() - HEADER;
        if header[0] & 0xc0 != 0
            || usize::from(u16::from_be_bytes([header[2], header[3]])) != body
            || !body.is_multiple_of(4)
            || header[4..8] != COOKIE
            || bytes.len() > REQUEST_MAX
        {
            return Err(ParseError::Malformed);
        }
        if header[..2] != BINDING_REQUEST {
            return Err(ParseError::NotARequest);
        }
        let mut request = Self {
            bytes,
            username: None,
            integrity: None,
            priority: 0,
            nominates: false,
            is_controlled: false,
            unknown: [0; UNKNOWN_MAX],
            unknown_count: 0,
        };
        let mut at = HEADER;
        while at < bytes.len() {
            let (kind, value) = attribute(bytes, at)?;
            if kind == FINGERPRINT {
                let is_last = at + 8 == bytes.len();
                let is_right = value == fingerprint(&bytes[..at]).to_be_bytes();
                return if is_last && is_right {
                    Ok(request)
                } else {
                    Err(ParseError::Fingerprint)
                };
            }
            request.note(at, kind, value);
            at += 4 + value.len().next_multiple_of(4);
        }
        Err(ParseError::Fingerprint)
    }

    /// What stands behind MESSAGE-INTEGRITY does not count (RFC 8489 §14.5); of two alike the first does (§14).
    fn note(&mut self, at: usize, kind: u16, value: &'a [u8]) {
        if self.integrity.is_some() {
            return;
        }
        match kind {
            USERNAME => self.username = self.username.or(Some(value)),
            MESSAGE_INTEGRITY if value.len() == TAG => self.integrity = Some(at),
            PRIORITY => {
                let value = value.try_into().map(u32::from_be_bytes);
                self.priority = value.unwrap_or(self.priority);
            }
            USE_CANDIDATE => self.nominates = true,
            ICE_CONTROLLED => self.is_controlled = true,
            MESSAGE_INTEGRITY_SHA256 => {} // Behind MESSAGE-INTEGRITY, which is the one that ICE has.
            kind if kind & OPTIONAL == 0 => {
                if let Some(place) = self.unknown.get_mut(self.unknown_count) {
                    *place = kind;
                    self.unknown_count += 1;
                }
            }
            _ => {}
        }
    }

    /// Whether it was made by somebody who knows `password`; an error if it does not even say so.
    pub(super) fn authenticate(&self, password: &[u8]) -> Result<(), Refusal> {
        let (Some(at), Some(_)) = (self.integrity, self.username) else {
            return Err(Refusal::BadRequest);
        };
        // RFC 8489 §14.5: the length is that of the message up to and with this attribute.
        let mut head = [0; HEADER];
        head.copy_from_slice(&self.bytes[..HEADER]);
        head[2..4].copy_from_slice(&length(at + 4 + TAG));
        let Some(mut mac) = mac(password) else { return Err(Refusal::Unauthenticated) };
        mac.update(&head);
        mac.update(&self.bytes[HEADER..at]);
        let tag = &self.bytes[at + 4..at + 4 + TAG];
        mac.verify_slice(tag).map_err(|_| Refusal::Unauthenticated)
    }

    /// Whether all of it was understood that must be.
    pub(super) fn is_understood(&self) -> bool {
        self.unknown_count == 0
    }

    /// Writes the success response: where the request came from, protected by the same password.
    pub(super) fn accept(&self, from: SocketAddr, password: &[u8], answer: &mut Vec<u8>) {
        self.begin(BINDING_SUCCESS, answer);
        self.push_mapped(from, answer);
        push_integrity(password, answer);
        push_fingerprint(answer);
    }

    /// Writes an error response; protected where the request was authentic.
    pub(super) fn refuse(&self, why: Refusal, password: Option<&[u8]>, answer: &mut Vec<u8>) {
        let (code, reason): (u16, &[u8]) = match why {
            Refusal::BadRequest => (400, b"Bad Request"),
            Refusal::Unauthenticated => (401, b"Unauthenticated"),
            Refusal::UnknownAttribute => (420, b"Unknown Attribute"),
            Refusal::RoleConflict => (487, b"Role Conflict"),
        };
        self.begin(BINDING_ERROR, answer);
        let [class, number] = [code / 100, code % 100].map(|part| u8::try_from(part).unwrap_or(0));
        push(ERROR_CODE, &[&[0, 0, class, number], reason], answer);
        if why == Refusal::UnknownAttribute {
            let mut kinds = [0; 2 * UNKNOWN_MAX];
            let unknown = &self.unknown[..self.unknown_count];
            for (place, kind) in kinds.chunks_exact_mut(2).zip(unknown) {
                place.copy_from_slice(&kind.to_be_bytes());
            }
            push(UNKNOWN_ATTRIBUTES, &[&kinds[..2 * self.unknown_count]], answer);
        }
        if let Some(password) = password {
            push_integrity(password, answer);
        }
        push_fingerprint(answer);
    }

    fn transaction(&self) -> &'a [u8] {
        &self.bytes[8..HEADER]
    }

    fn begin(&self, kind: [u8; 2], answer: &mut Vec<u8>) {
        answer.clear();
        answer.extend_from_slice(&kind);
        answer.extend_from_slice(&[0, 0]);
        answer.extend_from_slice(&COOKIE);
        answer.extend_from_slice(self.transaction());
    }

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    fn push_mapped(&self, from: SocketAddr, answer: &mut Vec<u8>) {
        let mask = || COOKIE.iter().chain(self.transaction());
        let mut octets = [0; 16];
        let (family, len) = match from.ip().to_canonical() {
            IpAddr::V4(ip) => {
                octets[..4].copy_from_slice(&ip.octets());
                (1, 4)
            }
            IpAddr::V6(ip) => {
                octets = ip.octets();
                (2, 16)
            }
        };
        for (octet, mask) in octets.iter_mut().zip(mask()) {
            *octet ^= mask;
        }
        let mut port = from.port().to_be_bytes();
        for (octet, mask) in port.iter_mut().zip(mask()) {
            *octet ^= mask;
        }
        push(XOR_MAPPED_ADDRESS, &[&[0, family], &port, &octets[..len]], answer);
    }
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
/// Attributes with this bit may be skipped.
const OPTIONAL: u16 = 0x8000;
/// Unknown attributes that are named in an answer.
const UNKNOWN_MAX: usize = 4;
/// A check has some 100 octets.
const REQUEST_MAX: usize = 1_024;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 5769 §2.1.
    const SAMPLE: &[u8] = b"\x00\x01\x00\x58\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x10STUN test client\x00\x24\x00\x04\x6e\x00\x01\xff\
        \x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20\
        \x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2\
        \x80\x28\x00\x04\xe5\x7a\x3b\xcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

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
        assert_eq!((request.priority, request.is_controlled), (0x6e00_01ff, true));
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
        let mut long = check("a:b", "c", &[(0x8022, &[b'x'; REQUEST_MAX])]);

        assert_eq!(Request::parse(&response), Err(ParseError::NotARequest));
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
