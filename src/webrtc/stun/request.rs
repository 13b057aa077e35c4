//! Requests of theirs, and our answers.

use std::net::{IpAddr, SocketAddr};

use super::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, COOKIE, Control, ERROR_CODE, ICE_CONTROLLED,
    ICE_CONTROLLING, MESSAGE_INTEGRITY_SHA256, Message, OPTIONAL, PRIORITY, ParseError,
    UNKNOWN_ATTRIBUTES, USE_CANDIDATE, USERNAME, XOR_MAPPED_ADDRESS, begin, push, push_fingerprint,
    push_integrity,
};

/// A Binding request whose FINGERPRINT is right.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request<'a> {
    message: Message<'a>,
    /// What USERNAME says.
    pub(in crate::webrtc) username: Option<&'a [u8]>,
    /// What PRIORITY says.
    pub(in crate::webrtc) priority: u32,
    /// USE-CANDIDATE is there.
    pub(in crate::webrtc) nominates: bool,
    /// What they take themselves for, with their tie-breaker.
    pub(in crate::webrtc) control: Option<(Control, u64)>,
    /// Attributes that must be understood and are not.
    unknown: [u16; UNKNOWN_MAX],
    unknown_count: usize,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::webrtc) enum Refusal {
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
        let mut request = Self {
            message: Message { bytes, integrity: None },
            username: None,
            priority: 0,
            nominates: false,
            control: None,
            unknown: [0; UNKNOWN_MAX],
            unknown_count: 0,
        };
        let note = |kind, value| request.note(kind, value);
        let message = Message::parse(bytes, &[BINDING_REQUEST], note)?;
        Ok(Self { message, ..request })
    }

    /// Of two attributes alike the first counts (RFC 8489 §14).
    fn note(&mut self, kind: u16, value: &'a [u8]) {
        match kind {
            USERNAME => self.username = self.username.or(Some(value)),
            PRIORITY => {
                let value = value.try_into().map(u32::from_be_bytes);
                self.priority = value.unwrap_or(self.priority);
            }
            USE_CANDIDATE => self.nominates = true,
            ICE_CONTROLLING => self.note_control(Control::Controlling, value),
            ICE_CONTROLLED => self.note_control(Control::Controlled, value),
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

    fn note_control(&mut self, control: Control, value: &[u8]) {
        if let (None, Ok(tie_breaker)) = (self.control, value.try_into()) {
            self.control = Some((control, u64::from_be_bytes(tie_breaker)));
        }
    }

    /// Whether it was made by somebody who knows `password`; an error if it does not even say so.
    pub(in crate::webrtc) fn authenticate(&self, password: &[u8]) -> Result<(), Refusal> {
        if self.message.integrity.is_none() || self.username.is_none() {
            return Err(Refusal::BadRequest);
        }
        let is_right = self.message.is_made_with(password);
        is_right.then_some(()).ok_or(Refusal::Unauthenticated)
    }

    /// Whether all of it was understood that must be.
    pub(in crate::webrtc) fn is_understood(&self) -> bool {
        self.unknown_count == 0
    }

    /// Writes the success response: where the request came from, protected by the same password.
    pub(in crate::webrtc) fn accept(
        &self,
        from: SocketAddr,
        password: &[u8],
        answer: &mut Vec<u8>,
    ) {
        begin(BINDING_SUCCESS, self.message.transaction(), answer);
        self.push_mapped(from, answer);
        push_integrity(password, answer);
        push_fingerprint(answer);
    }

    /// Writes an error response; protected where the request was authentic.
    pub(in crate::webrtc) fn refuse(
        &self,
        why: Refusal,
        password: Option<&[u8]>,
        answer: &mut Vec<u8>,
    ) {
        let (code, reason): (u16, &[u8]) = match why {
            Refusal::BadRequest => (400, b"Bad Request"),
            Refusal::Unauthenticated => (401, b"Unauthenticated"),
            Refusal::UnknownAttribute => (420, b"Unknown Attribute"),
            Refusal::RoleConflict => (487, b"Role Conflict"),
        };
        begin(BINDING_ERROR, self.message.transaction(), answer);
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

    /// XOR-MAPPED-ADDRESS (RFC 8489 §14.2).
    fn push_mapped(&self, from: SocketAddr, answer: &mut Vec<u8>) {
        let transaction = self.message.transaction().0;
        let mask = || COOKIE.iter().chain(&transaction);
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

/// Unknown attributes that are named in an answer.
const UNKNOWN_MAX: usize = 4;
