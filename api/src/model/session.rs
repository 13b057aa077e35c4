//! Logging in by name and password, and looking people up: what a directory is asked for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::auth::Scope;

/// `POST /v1/sessions`.
#[derive(Clone, Deserialize, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSession {
    /// As the directory knows them.
    pub user: String,
    /// Theirs in the directory.
    pub password: String,
}

/// The password is in no log.
impl std::fmt::Debug for CreateSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateSession").finish_non_exhaustive()
    }
}

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Session {
    /// To be used as a key: it cannot be had again.
    pub token: String,
    /// As the directory writes it, and as the audit names them.
    pub user: String,
    /// What they may do: what their groups may.
    pub scopes: Vec<Scope>,
    /// From when on the token is not good any more.
    pub expires_at: Timestamp,
}

/// How somebody may log in.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct SignIn {
    /// Whether `POST /v1/sessions` takes a user and a password; else only keys are let in.
    pub by_password: bool,
}

/// Somebody in the directory.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct DirectoryEntry {
    /// What they are called.
    pub name: String,
    /// Their number, as the directory writes it.
    pub number: Option<String>,
    /// Their mail address.
    pub mail: Option<String>,
}

/// `GET /v1/directory`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, PartialEq)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DirectoryQuery {
    /// A part of a name, or a number: 2 to 100 characters.
    #[param(min_length = 2, max_length = 100, required = true)]
    pub q: String,
    /// Items, 1 to 50.
    #[param(default = 20, minimum = 1, maximum = 50)]
    pub limit: Option<u32>,
}
