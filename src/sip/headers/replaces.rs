//! Replaces: the dialog that an INVITE takes over (RFC 3891 §6.1).

use std::fmt;

use super::{CallId, FieldError, Params};
use crate::sip::scan;

/// The dialog to replace, as its holder sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replaces {
    /// Its Call-ID.
    pub call_id: CallId,
    /// The local tag at the recipient.
    pub to_tag: String,
    /// The remote tag at the recipient.
    pub from_tag: String,
    /// Only if the dialog is not yet confirmed.
    pub early_only: bool,
}

impl Replaces {
    /// Reads the value of a Replaces header; that of a `Refer-To` URI is unescaped before.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let invalid = || FieldError::invalid("a Call-ID, a to-tag and a from-tag", value);
        let (call_id, params) = scan::cut(value, b';');
        let params = Params::parse(params.ok_or_else(invalid)?)?;
        let tag = |name| params.value(name).map(ToOwned::to_owned).ok_or_else(invalid);
        Ok(Self {
            call_id: CallId::parse(call_id)?,
            to_tag: tag("to-tag")?,
            from_tag: tag("from-tag")?,
            early_only: params.contains("early-only"),
        })
    }
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, to_tag, from_tag, early_only } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}")?;
        if *early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}
