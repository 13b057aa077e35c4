//! `[[trunks]]`: carriers and PBXs.

use std::fmt;
use std::time::Duration;

use api::model::EarlyMedia;
use serde::{Deserialize, Serialize, Serializer};

use super::wire::{duration, list};
use crate::bridge::Network;
use crate::sip::Uri;
use crate::sip::uri::Scheme;

/// One trunk.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trunk {
    /// What the API calls it.
    pub name: String,
    /// SIP URIs, those to be tried first standing first.
    pub gateways: Vec<String>,
    /// What it knows us by; empty: nothing.
    #[serde(default)]
    pub username: String,
    /// Our password there.
    #[serde(default, serialize_with = "hidden")]
    pub password: String,
    /// Whether we register there.
    #[serde(default)]
    pub register: bool,
    /// How long a registration is to last.
    #[serde(default = "hour", with = "duration")]
    pub expires: Duration,
    /// SIP URI of who calls, where the API does not say; empty: our name at the gateway.
    #[serde(default)]
    pub from: String,
    /// From where it calls us, beside the addresses of its gateways.
    #[serde(default, with = "list")]
    pub networks: Vec<Network>,
    /// The room that its calls go to; empty: that which they name.
    #[serde(default)]
    pub room: String,
    /// How often the gateways are asked for a sign of life; zero: never.
    #[serde(default = "half_a_minute", with = "duration")]
    pub check: Duration,
    /// Calls at once, both ways.
    #[serde(default = "most_calls")]
    pub max_calls: usize,
    /// What may be called begins with one of these; none: everything.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Whether callers hear what comes before the answer: `pass` or `off`.
    #[serde(default)]
    pub early_media: EarlyMedia,
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Trunk {
    /// What is wrong with it: the field and what was expected.
    pub(super) fn complaint(&self) -> Option<&'static str> {
        let is_sip = |text: &String| {
            Uri::parse(text.as_bytes())
                .is_ok_and(|uri| uri.scheme() == Scheme::Sip && uri.host().is_some())
        };
        let has_password = !self.password.is_empty();
        [
            (!self.name.is_empty(), "expected a name"),
            (
                !self.gateways.is_empty() && self.gateways.iter().all(is_sip),
                "expected gateways as in \"sip:sip.carrier.example\"",
            ),
            (
                self.username.is_empty() != has_password,
                "expected username and password, or neither",
            ),
            (!self.register || has_password, "expected a username, since it is to register"),
            (self.expires >= Duration::from_mins(1), "expected expires of at least 1m"),
            (self.from.is_empty() || is_sip(&self.from), "expected from to be a sip: URI"),
            (self.max_calls >= 1, "expected max_calls of at least 1"),
        ]
        .into_iter()
        .find_map(|(holds, expected)| (!holds).then_some(expected))
    }

    /// The gateways as URIs.
    pub fn gateway_uris(&self) -> Vec<Uri> {
        self.gateways.iter().filter_map(|text| Uri::parse(text.as_bytes()).ok()).collect()
    }
}

/// A password is never written back.
#[expect(clippy::ptr_arg, reason = "serde wants it so")]
fn hidden<S: Serializer>(password: &String, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if password.is_empty() { "" } else { "…" })
}

fn hour() -> Duration {
    Duration::from_hours(1)
}

fn half_a_minute() -> Duration {
    Duration::from_secs(30)
}

fn most_calls() -> usize {
    1000
}
