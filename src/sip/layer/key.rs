//! How a request finds its server transaction: RFC 3261 §17.2.3 and §8.2.2.2.

use crate::sip::headers::CallId;
use crate::sip::layer::Head;
use crate::sip::{Message, Method};

/// Equal for a request, its retransmissions, and its ACK if it failed.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum ServerKey {
    /// The branch is unique: it starts with the magic cookie.
    Rfc3261 { branch: String, sent_by: String, method: Method },
    /// The peer follows RFC 2543. The To tag is left out: an ACK carries one, its INVITE does not.
    Rfc2543 {
        call_id: CallId,
        sequence: u32,
        method: Method,
        from_tag: String,
        uri: String,
        via: String,
    },
}

impl ServerKey {
    /// The key of `request`; an ACK has that of its INVITE.
    pub(super) fn of(request: &Message, head: &Head) -> Self {
        let is_ack = head.method == Method::Ack;
        let method = if is_ack { Method::Invite } else { head.method.clone() };
        match head.via.unique_branch() {
            Some(branch) => {
                Self::Rfc3261 { branch: branch.to_owned(), sent_by: head.sent_by(), method }
            }
            None => Self::Rfc2543 {
                call_id: head.call_id.clone(),
                sequence: head.sequence,
                method,
                from_tag: head.from_tag.clone(),
                uri: request.uri().map(|uri| uri.as_str().to_owned()).unwrap_or_default(),
                via: format!("{};{}", head.sent_by(), head.via.branch().unwrap_or_default()),
            },
        }
    }

    /// The key of the INVITE that a CANCEL with this key is about.
    pub(super) fn of_cancelled(&self) -> Self {
        let mut key = self.clone();
        match &mut key {
            Self::Rfc3261 { method, .. } | Self::Rfc2543 { method, .. } => *method = Method::Invite,
        }
        key
    }
}

/// Equal for requests that are one and the same but came by different paths.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct MergeKey {
    call_id: CallId,
    from_tag: String,
    sequence: u32,
    method: Method,
}

impl MergeKey {
    /// The key of a request outside any dialog; others cannot be merged.
    pub(super) fn of(head: &Head) -> Option<Self> {
        head.to_tag.is_none().then(|| Self {
            call_id: head.call_id.clone(),
            from_tag: head.from_tag.clone(),
            sequence: head.sequence,
            method: head.method.clone(),
        })
    }
}

/// What every branch of ours starts with (RFC 3261 §8.1.1.7).
pub(super) const COOKIE: &str = "z9hG4bK";
