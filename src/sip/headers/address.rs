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
        let Slices { display, uri, params } = Slices::read(value)?;
        Ok(Self {
            display: display_name(display),
            uri: Uri::parse(uri).map_err(|_| FieldError::invalid("a URI", value))?,
            params: Params::parse(params)?,
        })
    }

    /// Finds the errors of [`Self::parse`] without keeping anything.
    pub(crate) fn check(value: &[u8]) -> Result<(), FieldError> {
        let Slices { uri, params, .. } = Slices::read(value)?;
        Uri::check(uri).map_err(|_| FieldError::invalid("a URI", value))?;
        Params::check(params)
    }

    /// Where the parameters of a well-formed value start.
    pub(super) fn params_start(value: &[u8]) -> usize {
        let open = scan::find(value, b'<').unwrap_or_default();
        let end = if value.get(open) == Some(&b'<') { b'>' } else { b';' };
        let at = memchr::memchr(end, &value[open..]).map_or(value.len(), |at| open + at);
        if end == b'>' { (at + 1).min(value.len()) } else { at }
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

/// Where the parts of an address stand, trimmed.
struct Slices<'a> {
    display: &'a [u8],
    uri: &'a [u8],
    params: &'a [u8],
}

impl<'a> Slices<'a> {
    fn read(value: &'a [u8]) -> Result<Self, FieldError> {
        let invalid = |expected| FieldError::invalid(expected, value);
        let (display, uri, params) = match scan::find(value, b'<') {
            Some(open) => {
                let close = memchr::memchr(b'>', &value[open..])
                    .ok_or_else(|| invalid("an address in closed brackets"))?
                    + open;
                (&value[..open], &value[open + 1..close], &value[close + 1..])
            }
            None => bare(value).ok_or_else(|| invalid("an address"))?,
        };
        let [display, uri, params] = [display, uri, params].map(scan::trim);
        if !is_display_name(display) {
            return Err(invalid("a display name"));
        }
        match params {
            [] => Ok(Self { display, uri, params }),
            [b';', params @ ..] => Ok(Self { display, uri, params }),
            _ => Err(invalid("parameters after the address")),
        }
    }
}

/// RFC 3261 §20.10: without brackets, what follows the first semicolon is the header's.
fn bare(value: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (uri, params) = value.split_at(end);
    let needs_brackets = uri.iter().any(|byte| matches!(byte, b'?' | b',' | b'"'));
    (!needs_brackets).then_some((&[][..], uri, params))
}

/// A quoted string, or words without any quote.
fn is_display_name(bytes: &[u8]) -> bool {
    match bytes {
        [b'"', ..] => scan::quoted_len(bytes) == Some(bytes.len()),
        _ => !bytes.contains(&b'"'),
    }
}

fn display_name(bytes: &[u8]) -> Option<String> {
    let text = scan::text(bytes);
    let name = scan::unquote(&text);
    (!name.is_empty()).then(|| name.into_owned())
}
