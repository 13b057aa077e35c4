//! Who may register and call.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Source;

/// Somebody with a password, who may register phones and call.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct User {
    /// What it registers as and is called by.
    pub name: String,
    /// For people.
    pub display_name: Option<String>,
    /// Whether its phones may register.
    pub may_register: bool,
    /// Whether it may call, write and subscribe.
    pub may_call: bool,
    /// Phones that are registered now.
    pub phones: u32,
    /// The realm has changed since the password was given: it has to be given again before the user can do anything.
    pub needs_password: bool,
    /// Who made it.
    pub source: Source,
    /// Rises with each change; also the `ETag`. 0 where it comes from the settings.
    pub revision: u64,
}

/// `POST /v1/users`.
#[derive(Clone, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateUser {
    /// 1 to 64 of A-Z a-z 0-9 - _ . + ~.
    pub name: String,
    /// 1 to 128 characters. Kept as digests for the realm, and never shown.
    #[schema(write_only)]
    pub password: String,
    /// For people; default: none.
    #[serde(default)]
    pub display_name: Option<String>,
    /// Whether its phones may register.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub may_register: bool,
    /// Whether it may call, write and subscribe.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub may_call: bool,
}

/// `PATCH /v1/users/{user}`: what is absent stays.
#[derive(Clone, Default, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateUser {
    /// A new one takes effect at once: phones that registered with the old one are called no more.
    #[schema(write_only)]
    pub password: Option<String>,
    /// For people; empty: none.
    pub display_name: Option<String>,
    /// Whether its phones may register.
    pub may_register: Option<bool>,
    /// Whether it may call, write and subscribe.
    pub may_call: Option<bool>,
}

/// The password stays out of it.
impl fmt::Debug for CreateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateUser").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The password stays out of it.
impl fmt::Debug for UpdateUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpdateUser")
            .field("display_name", &self.display_name)
            .finish_non_exhaustive()
    }
}

fn yes() -> bool {
    true
}
