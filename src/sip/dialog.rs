//! Dialogs: RFC 3261 §12.

use crate::sip::headers::CallId;

/// What identifies a dialog on our side (RFC 3261 §12).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DialogId {
    /// Its Call-ID.
    pub call_id: CallId,
    /// Our tag.
    pub local_tag: String,
    /// The peer's tag; empty if it follows RFC 2543 and sent none.
    pub remote_tag: String,
}
