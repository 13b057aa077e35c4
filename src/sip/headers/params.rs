//! Header parameters: `;name=value` (RFC 3261 §7.3.1).

use std::borrow::Cow;
use std::fmt;

use super::FieldError;
use crate::sip::scan;

/// Parameters in order; names compare without case.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Params(Vec<Param>);

/// One parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Param {
    /// Its name, as written.
    pub name: String,
    /// Its value, as written: a quoted string keeps its quotes.
    pub value: Option<String>,
}

impl Params {
    /// Reads what follows the first `;`. Empty parameters, as in `;;`, are left out.
    ///
    /// # Errors
    /// If a parameter has no name.
    pub fn parse(bytes: &[u8]) -> Result<Self, FieldError> {
        scan::split(bytes, b';').map(Param::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Finds the errors of [`Self::parse`] without keeping anything.
    pub(super) fn check(bytes: &[u8]) -> Result<(), FieldError> {
        scan::split(bytes, b';').try_for_each(|param| Param::cut(param).map(drop))
    }

    /// All parameters in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Param> {
        self.0.iter()
    }

    /// The value as written, `""` if it has none; `None` if there is no such parameter.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name).map(|param| param.value.as_deref().unwrap_or(""))
    }

    /// The value without its quotes.
    pub fn unquoted(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(scan::unquote)
    }

    /// True if there is such a parameter.
    pub fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Sets a parameter, in place if it is there. A value that is no token must come quoted.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(ToOwned::to_owned);
        match self.0.iter_mut().find(|param| param.name.eq_ignore_ascii_case(name)) {
            Some(param) => param.value = value,
            None => self.0.push(Param { name: name.to_owned(), value }),
        }
    }

    /// Removes a parameter.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|param| !param.name.eq_ignore_ascii_case(name));
    }

    fn find(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }
}

impl Param {
    /// Reads `name` or `name=value`.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, FieldError> {
        let (name, value) = Self::cut(bytes)?;
        let value = value.map(|value| scan::text(scan::trim(value)).into_owned());
        Ok(Self { name: scan::text(name).into_owned(), value })
    }

    fn cut(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>), FieldError> {
        let (name, value) = scan::cut(bytes, b'=');
        let name = scan::trim(name);
        if name.is_empty() || name.contains(&b'"') {
            return Err(FieldError::invalid("a parameter name", bytes));
        }
        Ok((name, value))
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a Param;
    type IntoIter = std::slice::Iter<'a, Param>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|param| write!(f, ";{param}"))
    }
}

impl fmt::Display for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.value {
            Some(value) => write!(f, "={value}"),
            None => Ok(()),
        }
    }
}
