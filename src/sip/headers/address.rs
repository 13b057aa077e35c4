//! `name-addr` and `addr-spec` with parameters: From, To, Contact, Route, Refer-To … (RFC 3261 §20.10, §25.1).

use std::fmt;

use super::{FieldError, Params};
use crate::sip::scan;
use crate::sip::uri::Uri;

/// An address with the name to show for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NameAddr {
    /// The display name in plain letters, without quotes; `None` if there is none or it is empty.
    pub display: Option<String>,
    /// The address.
    pub uri: Uri,
    /// The header parameters, such as `tag`; those of the URI are in the URI.
    pub params: Params,
}

impl NameAddr {
    /// An address without display name and parameters.
    pub fn new(uri: Uri) -> Self {
        Self { display: None, uri, params: Params::default() }
    }

    /// Reads one address. Blanks inside `<…>` and unquoted commas in names, which some phones send, are let pass.
    ///
    /// # Errors
    /// If quotes or brackets are not closed, or the URI is none, or a URI with `?` or `,` has no brackets.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let invalid = |expected| FieldError::invalid(expected, value);
        let (display, uri, params) = match scan::find(value, b'<') {
            Some(open) => {
                let close = memchr::memchr(b'>', &value[open..])
                    .ok_or_else(|| invalid("an address in closed brackets"))?
                    + open;
                (&value[..open], &value[open + 1..close], scan::trim(&value[close + 1..]))
            }
            None => bare(value).ok_or_else(|| invalid("an address"))?,
        };
        let params = match params {
            [] => Params::default(),
            [b';', params @ ..] => Params::parse(params)?,
            _ => return Err(invalid("parameters after the address")),
        };
        let display = display_name(scan::trim(display)).ok_or_else(|| invalid("a display name"))?;
        let uri = Uri::parse(scan::trim(uri)).map_err(|_| invalid("a URI"))?;
        Ok(Self { display, uri, params })
    }

    /// The `tag` parameter, unless it is empty.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag").filter(|tag| !tag.is_empty())
    }

    /// The same address with this tag.
    #[must_use]
    pub fn with_tag(mut self, tag: &str) -> Self {
        self.params.set("tag", Some(tag));
        self
    }

    /// The same address with this display name.
    #[must_use]
    pub fn with_display(mut self, display: impl Into<String>) -> Self {
        self.display = Some(display.into());
        self
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", scan::quote(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}

/// RFC 3261 §20.10: without brackets, what follows the first semicolon is the header's.
fn bare(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (uri, params) = value.split_at(end);
    let needs_brackets = uri.iter().any(|byte| matches!(byte, b'?' | b',' | b'"'));
    (!needs_brackets).then_some((&[][..], uri, params))
}

/// Reads a quoted string or loose words. `None` if a quote stands where it may not.
#[expect(clippy::option_option, reason = "the inner one is the field's own")]
fn display_name(bytes: &[u8]) -> Option<Option<String>> {
    let name = match bytes {
        [] => return Some(None),
        [b'"', ..] => {
            if scan::quoted_len(bytes) != Some(bytes.len()) {
                return None;
            }
            scan::unquote(&scan::text(bytes)).into_owned()
        }
        _ if bytes.contains(&b'"') => return None,
        _ => scan::text(bytes).into_owned(),
    };
    Some(Some(name).filter(|name| !name.is_empty()))
}
