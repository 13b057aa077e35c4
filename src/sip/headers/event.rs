//! Event and Subscription-State: RFC 6665 §8.2.

use std::fmt;

use super::{FieldError, Params};
use crate::sip::scan;

/// Event: the package and its `id`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Such as `refer` or `conference`, as written.
    pub package: String,
    /// `id` and others.
    pub params: Params,
}

/// Subscription-State.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SubscriptionState {
    /// `active`, `pending`, `terminated` or an extension, as written.
    pub state: String,
    /// `expires` (seconds), `reason`, `retry-after` and others.
    pub params: Params,
}

impl Event {
    /// Reads package and parameters.
    ///
    /// # Errors
    /// If the package is no token.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (package, params) = token_and_params(value)?;
        Ok(Self { package, params })
    }

    /// The `id` parameter.
    pub fn id(&self) -> Option<&str> {
        self.params.value("id")
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.package, self.params)
    }
}

impl SubscriptionState {
    /// Reads state and parameters.
    ///
    /// # Errors
    /// If the state is no token.
    pub fn parse(value: &[u8]) -> Result<Self, FieldError> {
        let (state, params) = token_and_params(value)?;
        Ok(Self { state, params })
    }

    /// True if no more NOTIFY will come.
    pub fn is_terminated(&self) -> bool {
        self.state.eq_ignore_ascii_case("terminated")
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.state, self.params)
    }
}

fn token_and_params(value: &[u8]) -> Result<(String, Params), FieldError> {
    let (token, params) = scan::cut(value, b';');
    let token = scan::trim(token);
    if !scan::is_token(token) {
        return Err(FieldError::invalid("a token", value));
    }
    Ok((scan::text(token).into_owned(), Params::parse(params.unwrap_or_default())?))
}
