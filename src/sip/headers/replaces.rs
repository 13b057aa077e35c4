//! Headers that name a dialog of their recipient: Replaces (RFC 3891 §6.1), Join (RFC 3911 §7.1), Target-Dialog (RFC 4538 §7).

use std::fmt;

use super::{CallId, FieldError, Params};
use crate::sip::scan;

/// The dialog that an INVITE takes over, as its holder sees it.
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

/// The dialog whose conversation an INVITE joins, as its holder sees it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Join {
    /// Its Call-ID.
    pub call_id: CallId,
    /// The local tag at the recipient.
    pub to_tag: String,
    /// The remote tag at the recipient.
    pub from_tag: String,
}

/// A dialog that the sender of a request knows, and by that has a right to ask.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TargetDialog {
    /// Its Call-ID.
    pub call_id: CallId,
    /// The local tag at the recipient.
    pub local_tag: String,
    /// The remote tag at the recipient.
    pub remote_tag: String,
}

impl Replaces {
    /// Reads the value of a Replaces header; that of a `Refer-To` URI is unescaped before.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (call_id, [to_tag, from_tag], params) = parts(value, ["to-tag", "from-tag"])?;
        Ok(Self { call_id, to_tag, from_tag, early_only: params.contains("early-only") })
    }
}

impl Join {
    /// Reads the value of a Join header.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (call_id, [to_tag, from_tag], _) = parts(value, ["to-tag", "from-tag"])?;
        Ok(Self { call_id, to_tag, from_tag })
    }
}

impl TargetDialog {
    /// Reads the value of a Target-Dialog header.
    ///
    /// # Errors
    /// If the Call-ID or one of the tags is missing.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (call_id, [local_tag, remote_tag], _) = parts(value, ["local-tag", "remote-tag"])?;
        Ok(Self { call_id, local_tag, remote_tag })
    }
}

/// The Call-ID, the tags under these names, and all parameters.
fn parts(value: &[u8], names: [&str; 2]) -> Result<(CallId, [String; 2], Params), FieldError> {
    let invalid = || FieldError::invalid("a Call-ID and both tags", value);
    let (call_id, params) = scan::cut(value, b';');
    let params = Params::parse(params.ok_or_else(invalid)?)?;
    let tag = |name| {
        let tag = params.value(name).filter(|tag| !tag.is_empty());
        tag.map(ToOwned::to_owned).ok_or_else(invalid)
    };
    let tags = [tag(names[0])?, tag(names[1])?];
    Ok((CallId::parse(call_id)?, tags, params))
}

impl fmt::Display for Replaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, to_tag, from_tag, early_only } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}")?;
        if *early_only { f.write_str(";early-only") } else { Ok(()) }
    }
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, to_tag, from_tag } = self;
        write!(f, "{call_id};to-tag={to_tag};from-tag={from_tag}")
    }
}

impl fmt::Display for TargetDialog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call_id, local_tag, remote_tag } = self;
        write!(f, "{call_id};local-tag={local_tag};remote-tag={remote_tag}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_header_names_call_and_tags_in_any_order_and_prints_them() {
        let replaces = b" 12adf2f34@h ; from-tag=5 ;early-only;x=y; to-tag=\t7 ";
        let replaces = Replaces::parse(replaces).unwrap();
        let join = Join::parse(b"a@b;to-tag=1;from-tag=2").unwrap();
        let target = TargetDialog::parse(b"a@b;remote-tag=r;local-tag=l").unwrap();

        assert_eq!(replaces.to_string(), "12adf2f34@h;to-tag=7;from-tag=5;early-only");
        assert_eq!(join.to_string(), "a@b;to-tag=1;from-tag=2");
        assert_eq!(target.to_string(), "a@b;local-tag=l;remote-tag=r");
    }

    #[test]
    fn without_call_id_or_a_tag_there_is_no_dialog() {
        for value in [
            &b""[..],
            b"a@b",
            b";to-tag=1;from-tag=2",
            b"a@b;to-tag=1",
            b"a@b;to-tag=1;from-tag",
            b"a b;to-tag=1;from-tag=2",
            b"a@b;to-tag=;from-tag=2",
        ] {
            assert!(Replaces::parse(value).is_err(), "{}", scan::text(value));
            assert!(Join::parse(value).is_err(), "{}", scan::text(value));
        }
        assert!(TargetDialog::parse(b"a@b;to-tag=1;from-tag=2").is_err());
    }
}
