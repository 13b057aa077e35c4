//! The headers of a message: an ordered list that is looked up by name, and typed views of the values.
//!
//! Values are the bytes between the colon and the line end, unfolded and trimmed, and otherwise exactly as
//! they came. A typed view reads one value on demand; what it does not know stays in its parameters.

mod address;
mod event;
mod fields;
mod name;
mod params;
mod replaces;
mod session_timer;
mod via;

use bytes::{Bytes, BytesMut};

use crate::sip::scan;

pub use address::NameAddr;
pub use event::{Event, SubscriptionState};
pub use fields::{CSeq, CallId, ContentType, MaxForwards, RAck, Reason, RetryAfter};
pub use name::{Name, OtherName};
pub use params::{Param, Params};
pub use replaces::{Join, Replaces, TargetDialog};
pub use scan::{quote, unquote};
pub use session_timer::{MinSe, Refresher, SessionExpires};
pub use via::Via;

/// An ordered list of headers.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Headers(Vec<Header>);

/// One header line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    /// Its name.
    pub name: Name,
    /// Its value: unfolded, trimmed, without line ends.
    value: Bytes,
}

/// Why a header cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FieldError {
    /// It is not there.
    #[error("expected a {0} header, found none")]
    Missing(Name),
    /// It is there and is not what its RFC says.
    #[error("expected {expected}, found '{found}'")]
    Invalid {
        /// What should be there.
        expected: &'static str,
        /// The start of what is there.
        found: String,
    },
}

impl Header {
    /// The value.
    pub fn value(&self) -> &Bytes {
        &self.value
    }
}

impl Headers {
    /// An empty list.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many header lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All headers in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Header> {
        self.0.iter()
    }

    /// The value of the first header of this name.
    pub fn first(&self, name: &Name) -> Option<&Bytes> {
        self.all(name).next()
    }

    /// The values of all headers of this name, one per line.
    pub fn all(&self, name: &Name) -> impl Iterator<Item = &Bytes> {
        self.0.iter().filter(move |header| header.name == *name).map(|header| &header.value)
    }

    /// True if there is a header of this name.
    pub fn contains(&self, name: &Name) -> bool {
        self.first(name).is_some()
    }

    /// The elements of a comma-separated header, over all its lines; empty ones are left out.
    pub fn items(&self, name: &Name) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| scan::split(value, b','))
    }

    /// True if a comma-separated header such as `Supported` has this token, whatever its case.
    pub fn has_token(&self, name: &Name, token: &str) -> bool {
        self.items(name).any(|item| item.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// Adds a header at the end. Line ends within the value become blanks: a value cannot end its header.
    pub fn push(&mut self, name: Name, value: impl Into<Bytes>) {
        self.0.push(Header { name, value: one_line(&value.into()) });
    }

    /// Adds a header before all others.
    pub fn insert_first(&mut self, name: Name, value: impl Into<Bytes>) {
        self.0.insert(0, Header { name, value: one_line(&value.into()) });
    }

    /// Removes all headers of this name; tells how many there were.
    pub fn remove(&mut self, name: &Name) -> usize {
        let before = self.0.len();
        self.0.retain(|header| header.name != *name);
        before - self.0.len()
    }

    /// Makes this the only header of its name, in the place of the first one or at the end.
    pub fn replace(&mut self, name: Name, value: impl Into<Bytes>) {
        let Some(first) = self.0.iter().position(|header| header.name == name) else {
            return self.push(name, value);
        };
        let mut at = 0;
        self.0.retain(|header| {
            at += 1;
            at - 1 <= first || header.name != name
        });
        self.0[first].value = one_line(&value.into());
    }

    /// Copies all headers of this name, in order, from another list.
    pub fn copy(&mut self, name: &Name, from: &Self) {
        self.0.extend(from.0.iter().filter(|header| header.name == *name).cloned());
    }

    /// Puts `item` in the place of the first element of a comma-separated header.
    pub(crate) fn replace_first_item(&mut self, name: &Name, item: &str) {
        let holder = self.0.iter_mut().filter(|header| header.name == *name).find_map(|header| {
            let first = scan::split(&header.value, b',').next()?;
            let first = header.value.slice_ref(first);
            Some((header, first))
        });
        let Some((header, first)) = holder else { return };
        let start = first.as_ptr().addr() - header.value.as_ptr().addr();
        let mut value = BytesMut::from(&header.value[..start]);
        value.extend_from_slice(item.as_bytes());
        value.extend_from_slice(&header.value[start + first.len()..]);
        header.value = one_line(&value.freeze());
    }

    /// Adds a header whose value is known to be one trimmed line.
    pub(crate) fn push_parsed(&mut self, name: Name, value: Bytes) {
        self.0.push(Header { name, value });
    }

    pub(crate) fn reserve(&mut self, additional: usize) {
        self.0.reserve(additional);
    }

    fn required(&self, name: &Name) -> Result<&Bytes, FieldError> {
        self.first(name).ok_or_else(|| FieldError::Missing(name.clone()))
    }
}

/// Typed views of the headers that every endpoint reads.
impl Headers {
    /// The top Via.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn via(&self) -> Result<Via, FieldError> {
        self.vias().next().unwrap_or(Err(FieldError::Missing(Name::Via)))
    }

    /// All Vias, top first.
    pub fn vias(&self) -> impl Iterator<Item = Result<Via, FieldError>> {
        self.items(&Name::Via).map(Via::parse)
    }

    /// From.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn from(&self) -> Result<NameAddr, FieldError> {
        NameAddr::parse(self.required(&Name::From)?)
    }

    /// To.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn to(&self) -> Result<NameAddr, FieldError> {
        NameAddr::parse(self.required(&Name::To)?)
    }

    /// Call-ID.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn call_id(&self) -> Result<CallId, FieldError> {
        CallId::new(self.required(&Name::CallId)?.clone())
    }

    /// CSeq.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn cseq(&self) -> Result<CSeq, FieldError> {
        CSeq::parse(self.required(&Name::CSeq)?)
    }

    /// The first Contact that is an address; a `*` is none.
    ///
    /// # Errors
    /// If there is none or it is malformed.
    pub fn contact(&self) -> Result<NameAddr, FieldError> {
        self.addresses(&Name::Contact).next().unwrap_or(Err(FieldError::Missing(Name::Contact)))
    }

    /// The addresses of a list header: Contact, Route, Record-Route, Path, P-Asserted-Identity, Diversion.
    pub fn addresses(&self, name: &Name) -> impl Iterator<Item = Result<NameAddr, FieldError>> {
        self.items(name).map(NameAddr::parse)
    }

    /// Max-Forwards; `None` if the peer sent none, as RFC 2543 clients do.
    ///
    /// # Errors
    /// If it is no number from 0 to 255.
    pub fn max_forwards(&self) -> Result<Option<MaxForwards>, FieldError> {
        self.first(&Name::MaxForwards).map(|value| MaxForwards::parse(value)).transpose()
    }

    /// Content-Type, if there is one.
    ///
    /// # Errors
    /// If it is malformed.
    pub fn content_type(&self) -> Result<Option<ContentType>, FieldError> {
        self.first(&Name::ContentType).map(|value| ContentType::parse(value)).transpose()
    }

    /// RSeq (RFC 3262 §7.1), if there is one that can be read.
    pub fn rseq(&self) -> Option<u32> {
        let number = scan::number(scan::trim(self.first(&Name::RSeq)?))?;
        u32::try_from(number).ok().filter(|number| *number > 0)
    }

    /// Session-Expires, if there is one that can be read.
    pub fn session_expires(&self) -> Option<SessionExpires> {
        SessionExpires::parse(self.first(&Name::SessionExpires)?).ok()
    }

    /// Min-SE, if there is one that can be read.
    pub fn min_se(&self) -> Option<MinSe> {
        MinSe::parse(self.first(&Name::MinSe)?).ok()
    }

    /// Checks what [`Self::via`], [`Self::from`] and the like would refuse: RFC 3261 §8.1.1, in its order.
    pub(crate) fn check_required(&self) -> Result<CSeq, FieldError> {
        let mut vias = self.items(&Name::Via).peekable();
        if vias.peek().is_none() {
            return Err(FieldError::Missing(Name::Via));
        }
        vias.try_for_each(Via::check)?;
        NameAddr::check(self.required(&Name::From)?)?;
        NameAddr::check(self.required(&Name::To)?)?;
        self.call_id()?;
        self.max_forwards()?;
        self.cseq()
    }

    /// Adds a tag to To unless it has one; the rest of the value stays as it is.
    pub fn add_to_tag(&mut self, tag: &str) {
        let Some(header) = self.0.iter_mut().find(|header| header.name == Name::To) else { return };
        if NameAddr::parse(&header.value).is_ok_and(|to| to.tag().is_some()) {
            return;
        }
        // First, where no open quote and no empty tag of the peer's can hide it.
        let (address, params) = header.value.split_at(NameAddr::params_start(&header.value));
        let mut value = BytesMut::from(address);
        value.extend_from_slice(b";tag=");
        value.extend_from_slice(tag.as_bytes());
        value.extend_from_slice(params);
        header.value = one_line(&value.freeze());
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = &'a Header;
    type IntoIter = std::slice::Iter<'a, Header>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FieldError {
    pub(crate) fn invalid(expected: &'static str, found: &[u8]) -> Self {
        let found = &found[..found.len().min(SHOWN)];
        Self::Invalid { expected, found: scan::text(found).escape_debug().to_string() }
    }
}

/// Unfolds (RFC 3261 §7.3.1: a line end and the blanks around it are one blank), drops lone CRs, trims.
pub(crate) fn one_line(value: &Bytes) -> Bytes {
    line_of(value, value)
}

/// [`one_line`] of a slice of `whole`, whose memory it shares if nothing is to change.
pub(crate) fn line_of(value: &[u8], whole: &Bytes) -> Bytes {
    let trimmed = scan::trim(value);
    if memchr::memchr2(b'\r', b'\n', trimmed).is_none() {
        return whole.slice_ref(trimmed);
    }
    let mut line = BytesMut::with_capacity(trimmed.len());
    for piece in trimmed.split(|byte| matches!(byte, b'\r' | b'\n')).map(scan::trim) {
        if piece.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.extend_from_slice(b" ");
        }
        line.extend_from_slice(piece);
    }
    line.freeze()
}

/// How much of a bad value an error shows, in bytes.
const SHOWN: usize = 64;

#[cfg(test)]
mod tests;
