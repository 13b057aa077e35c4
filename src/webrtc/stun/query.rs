//! Requests of ours, and their answers.

use super::{
    BINDING_ERROR, BINDING_REQUEST, BINDING_SUCCESS, Control, ERROR_CODE, ICE_CONTROLLED,
    ICE_CONTROLLING, Message, PRIORITY, ParseError, Transaction, USE_CANDIDATE, USERNAME, begin,
    push, push_fingerprint, push_integrity,
};

/// A check that is to be sent (RFC 8445 §7.2.2).
#[derive(Clone, Copy, Debug)]
pub(in crate::webrtc) struct Query<'a> {
    pub(in crate::webrtc) transaction: Transaction,
    /// Their user fragment, a colon and ours.
    pub(in crate::webrtc) username: &'a [u8],
    /// Theirs.
    pub(in crate::webrtc) password: &'a [u8],
    /// Ours, with our tie-breaker.
    pub(in crate::webrtc) control: (Control, u64),
    /// With USE-CANDIDATE.
    pub(in crate::webrtc) nominates: bool,
}

impl Query<'_> {
    pub(in crate::webrtc) fn write(&self, message: &mut Vec<u8>) {
        let (control, tie_breaker) = self.control;
        let kind = match control {
            Control::Controlling => ICE_CONTROLLING,
            Control::Controlled => ICE_CONTROLLED,
        };
        begin(BINDING_REQUEST, self.transaction, message);
        push(USERNAME, &[self.username], message);
        push(PRIORITY, &[&PEER_REFLEXIVE.to_be_bytes()], message);
        push(kind, &[&tie_breaker.to_be_bytes()], message);
        if self.nominates {
            push(USE_CANDIDATE, &[], message);
        }
        push_integrity(self.password, message);
        push_fingerprint(message);
    }
}

/// A Binding response whose FINGERPRINT is right.
///
/// What XOR-MAPPED-ADDRESS says is not read: there is one socket to send from, wherever it was seen (RFC 8445 §7.2.5.3.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::webrtc) struct Response<'a> {
    message: Message<'a>,
    pub(in crate::webrtc) verdict: Verdict,
}

/// What a response says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::webrtc) enum Verdict {
    Success,
    /// 487.
    RoleConflict,
    /// Any other error.
    Refused,
}

impl<'a> Response<'a> {
    /// Reads a datagram.
    pub(in crate::webrtc) fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let is_success = bytes.starts_with(&BINDING_SUCCESS);
        let mut verdict = if is_success { Verdict::Success } else { Verdict::Refused };
        let message = Message::parse(bytes, &[BINDING_SUCCESS, BINDING_ERROR], |kind, value| {
            // RFC 8489 §14.8: the hundreds, then the rest.
            if kind == ERROR_CODE && !is_success && value.get(2..4) == Some(&[4, 87]) {
                verdict = Verdict::RoleConflict;
            }
        })?;
        Ok(Self { message, verdict })
    }

    pub(in crate::webrtc) fn transaction(&self) -> Transaction {
        self.message.transaction()
    }

    /// Whether it was made by somebody who knows `password`.
    pub(in crate::webrtc) fn is_made_with(&self, password: &[u8]) -> bool {
        self.message.is_made_with(password)
    }
}

/// RFC 8445 §7.1.1: the priority of a peer-reflexive candidate that a check of ours may make (§5.1.2.1: 110, the one
/// address that we have, component 1).
const PEER_REFLEXIVE: u32 = (110 << 24) | (0xffff << 8) | 255;

#[cfg(test)]
mod tests {
    use super::super::{HEADER, Request, tests::*};
    use super::*;

    /// RFC 5769 §2.2, then §2.3.
    const RESPONSES: [&[u8]; 2] = [
        b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0btest vector\x20\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
        \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
        \x80\x28\x00\x04\xc0\x7d\x4c\x96",
        b"\x01\x01\x00\x48\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
        \x80\x22\x00\x0btest vector\x20\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9\
        \x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c\x82\x92\xc2\x75\xbf\xe3\xed\x41\
        \x80\x28\x00\x04\xc8\xfb\x0b\x4c",
    ];

    fn query(nominates: bool) -> Query<'static> {
        Query {
            transaction: Transaction(*b"transaction!"),
            username: b"theirs:ours",
            password: PASSWORD,
            control: (Control::Controlling, 0x0102_0304_0506_0708),
            nominates,
        }
    }

    #[test]
    fn the_sample_responses_of_rfc_5769_are_read_and_believed() {
        for sample in RESPONSES {
            let response = Response::parse(sample).unwrap();

            assert_eq!(response.verdict, Verdict::Success);
            assert_eq!(response.transaction().0, sample[8..HEADER]);
            assert!(response.is_made_with(PASSWORD) && !response.is_made_with(b"another"));
        }
    }

    #[test]
    fn a_check_of_ours_says_what_an_agent_needs_to_know() {
        let mut message = Vec::new();
        for nominates in [false, true] {
            query(nominates).write(&mut message);

            let request = Request::parse(&message).unwrap();

            assert_eq!(request.username, Some(&b"theirs:ours"[..]));
            assert_eq!((request.priority, request.nominates), (1_862_270_975, nominates));
            assert_eq!(request.control, Some((Control::Controlling, 0x0102_0304_0506_0708)));
            assert_eq!(request.authenticate(PASSWORD), Ok(()));
            assert!(request.is_understood());
        }
    }

    #[test]
    fn an_answer_belongs_to_its_check_and_tells_a_conflict_of_roles_from_other_errors() {
        use super::super::Refusal;
        let (mut message, mut answer) = (Vec::new(), Vec::new());
        query(false).write(&mut message);
        let request = Request::parse(&message).unwrap();
        for (why, verdict) in [
            (Refusal::RoleConflict, Verdict::RoleConflict),
            (Refusal::UnknownAttribute, Verdict::Refused),
            (Refusal::BadRequest, Verdict::Refused),
        ] {
            request.refuse(why, Some(PASSWORD), &mut answer);

            let response = Response::parse(&answer).unwrap();

            assert_eq!(
                (response.verdict, response.transaction()),
                (verdict, query(false).transaction)
            );
            assert!(response.is_made_with(PASSWORD));
        }
    }

    #[test]
    fn no_octet_of_an_answer_may_be_another() {
        let right = RESPONSES[0];
        for at in 0..right.len() {
            let mut wrong = right.to_vec();
            wrong[at] ^= 1;
            assert!(Response::parse(&wrong).is_err(), "octet {at}");
        }
        for len in 0..right.len() {
            assert!(Response::parse(&right[..len]).is_err(), "{len} octets");
        }
    }

    #[test]
    fn an_answer_without_integrity_is_nobodys() {
        let mut bare = Vec::new();
        begin(BINDING_SUCCESS, Transaction::default(), &mut bare);
        push_fingerprint(&mut bare);

        assert!(!Response::parse(&bare).unwrap().is_made_with(b""));
    }
}
