//! The headers that every request must have, read once: RFC 3261 §8.1.1.

use crate::sip::headers::{CallId, Via};
use crate::sip::{Message, Method};

/// What identifies a request.
#[derive(Clone, Debug)]
pub(in crate::sip) struct Head {
    pub(in crate::sip) via: Via,
    /// Empty if an RFC 2543 peer sent none.
    pub(in crate::sip) from_tag: String,
    pub(in crate::sip) to_tag: Option<String>,
    pub(in crate::sip) call_id: CallId,
    pub(in crate::sip) sequence: u32,
    pub(in crate::sip) method: Method,
}

impl Head {
    /// `None` if one of the headers is missing or malformed, or CSeq names another method.
    pub(in crate::sip) fn of(request: &Message) -> Option<Self> {
        let headers = &request.headers;
        let cseq = headers.cseq().ok()?;
        if request.method() != Some(&cseq.method) {
            return None;
        }
        Some(Self {
            via: headers.via().ok()?,
            from_tag: headers.from().ok()?.tag().unwrap_or_default().to_owned(),
            to_tag: headers.to().ok()?.tag().map(ToOwned::to_owned),
            call_id: headers.call_id().ok()?,
            sequence: cseq.number,
            method: cseq.method,
        })
    }

    /// Host and port of the top Via: part of what makes an RFC 3261 branch unique.
    pub(in crate::sip) fn sent_by(&self) -> String {
        format!("{}:{}", self.via.host, self.via.port.unwrap_or(5060)).to_ascii_lowercase()
    }
}
