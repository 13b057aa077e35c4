//! Session-Expires and Min-SE: RFC 4028 §4 and §5.

use std::fmt;
use std::time::Duration;

use super::fields::delta_seconds;
use super::{FieldError, Params};
use crate::sip::scan;

/// Session-Expires: how long a session stands without a refresh, in whole seconds on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SessionExpires {
    /// From the 2xx on; a value too large for 32 bits of seconds is cut there.
    pub interval: Duration,
    /// `refresher` and others.
    pub params: Params,
}

/// Min-SE: the shortest interval that everybody on the way bears, in whole seconds on the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MinSe {
    /// A value too large for 32 bits of seconds is cut there.
    pub interval: Duration,
    /// Extensions.
    pub params: Params,
}

/// Who refreshes a session, by its part in the request that Session-Expires belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl SessionExpires {
    /// An interval, and who keeps it up if that is settled.
    pub fn new(interval: Duration, refresher: Option<Refresher>) -> Self {
        let mut params = Params::default();
        if let Some(refresher) = refresher {
            params.set("refresher", Some(refresher.as_str()));
        }
        Self { interval, params }
    }

    /// Reads interval and parameters.
    ///
    /// # Errors
    /// If it does not start with a number.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (interval, params) = seconds_and_params(value)?;
        Ok(Self { interval, params })
    }

    /// Who refreshes, if it says so in words that we know.
    pub fn refresher(&self) -> Option<Refresher> {
        let value = self.params.value("refresher")?;
        [Refresher::Uac, Refresher::Uas]
            .into_iter()
            .find(|r| value.eq_ignore_ascii_case(r.as_str()))
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.interval.as_secs(), self.params)
    }
}

impl MinSe {
    /// An interval.
    pub fn new(interval: Duration) -> Self {
        Self { interval, params: Params::default() }
    }

    /// Reads interval and parameters.
    ///
    /// # Errors
    /// If it does not start with a number.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (interval, params) = seconds_and_params(value)?;
        Ok(Self { interval, params })
    }
}

impl fmt::Display for MinSe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.interval.as_secs(), self.params)
    }
}

impl Refresher {
    fn as_str(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

fn seconds_and_params(value: &[u8]) -> Result<(Duration, Params), FieldError> {
    let (seconds, params) = scan::cut(value, b';');
    Ok((delta_seconds(seconds)?, Params::parse(params.unwrap_or_default())?))
}
