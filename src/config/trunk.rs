//! `[[trunks]]`: carriers and PBXs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use api::model::EarlyMedia;
use serde::{Deserialize, Serialize, Serializer};

use super::units::{CodecName, MediaSrtp};
use super::wire::{duration, list};
use crate::bridge::{CallerId, Dtmf, HeaderRules, Network, NumberFormat, Pattern, TrunkGateway};
use crate::sip::Uri;
use crate::sip::uri::Scheme;

/// One trunk.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Trunk {
    /// What the API calls it.
    pub name: String,
    /// Where it is reached.
    pub gateways: Vec<Gateway>,
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
    /// New calls a second, both ways; 0: any number.
    #[serde(default)]
    pub calls_per_second: u32,
    /// How long a call may last; zero: for ever.
    #[serde(default, with = "duration")]
    pub max_duration: Duration,
    /// What may be called begins with one of these; none: everything.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// Whether callers hear what comes before the answer: `pass` or `off`.
    #[serde(default)]
    pub early_media: EarlyMedia,
    /// Whether it is believed who calls, and told.
    #[serde(default)]
    pub trusted: bool,
    /// Whose number it is told calls: ours or the caller's.
    #[serde(default)]
    pub caller_id: CallerId,
    /// The numbers that it may be told; none: all.
    #[serde(default, with = "list")]
    pub caller_ids: Vec<Pattern>,
    /// Whether the name of who calls is passed on.
    #[serde(default = "yes")]
    pub caller_name: bool,
    /// More headers of its calls, and fewer.
    #[serde(default)]
    pub headers: Headers,
    /// Its country, by which numbers are known as E.164; empty: they are not.
    #[serde(default)]
    pub country_code: String,
    /// What it writes before a number of its country.
    #[serde(default = "national_prefix")]
    pub national_prefix: String,
    /// What it writes before a number of another country.
    #[serde(default = "international_prefix")]
    pub international_prefix: String,
    /// How it wants numbers.
    #[serde(default)]
    pub number_format: NumberFormat,
    /// Whether addresses of numbers say `user=phone` to it.
    #[serde(default)]
    pub user_phone: bool,
    /// Codecs, best first; none: those of `media.codecs`.
    #[serde(default, with = "list")]
    pub codecs: Vec<CodecName>,
    /// Whether media is encrypted; as `media.srtp` if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub srtp: Option<MediaSrtp>,
    /// How digits are sent.
    #[serde(default)]
    pub dtmf: Dtmf,
}

/// One address of a trunk: a SIP URI, or a table.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "WrittenGateway", into = "WrittenGateway")]
pub struct Gateway {
    /// A SIP URI.
    pub uri: String,
    /// Those of the lowest are tried first; otherwise as they stand.
    pub priority: Option<u16>,
    /// How often it is the first among those of its priority, relative to the others.
    pub weight: u16,
}

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum WrittenGateway {
    Uri(String),
    Table(GatewayTable),
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GatewayTable {
    uri: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    #[serde(default = "one")]
    weight: u16,
}

impl From<WrittenGateway> for Gateway {
    fn from(written: WrittenGateway) -> Self {
        match written {
            WrittenGateway::Uri(uri) => Self { uri, priority: None, weight: one() },
            WrittenGateway::Table(GatewayTable { uri, priority, weight }) => {
                Self { uri, priority, weight }
            }
        }
    }
}

impl From<Gateway> for WrittenGateway {
    fn from(Gateway { uri, priority, weight }: Gateway) -> Self {
        if priority.is_none() && weight == one() {
            Self::Uri(uri)
        } else {
            Self::Table(GatewayTable { uri, priority, weight })
        }
    }
}

/// Headers of the INVITEs through a trunk.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Headers {
    /// Those that every call has.
    pub add: BTreeMap<String, String>,
    /// Those that are left out.
    pub remove: Vec<String>,
    /// Those that the caller's INVITE may bring, as in `X-*`.
    #[serde(with = "list")]
    pub pass: Vec<Pattern>,
}

impl Headers {
    /// As the bridge knows them.
    pub fn rules(&self) -> HeaderRules {
        let Self { add, remove, pass } = self.clone();
        HeaderRules { add: add.into_iter().collect(), remove, pass }
    }
}

impl fmt::Debug for Trunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trunk").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Trunk {
    /// What is wrong with it: the field and what was expected.
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        let expected = self.expected().map(|(field, expected)| (field, expected.to_owned()));
        let fault = || self.headers.rules().fault();
        expected.or_else(|| fault().map(|fault| ("headers", format!("{fault} in headers"))))
    }

    fn expected(&self) -> Option<(&'static str, &'static str)> {
        let is_digits = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_sip = |text: &String| {
            Uri::parse(text.as_bytes())
                .is_ok_and(|uri| uri.scheme() == Scheme::Sip && uri.host().is_some())
        };
        let has_password = !self.password.is_empty();
        [
            (!self.name.is_empty(), "name", "expected a name"),
            (
                !self.gateways.is_empty() && self.gateways.iter().all(|one| is_sip(&one.uri)),
                "gateways",
                "expected gateways as in \"sip:sip.carrier.example\"",
            ),
            (
                self.username.is_empty() != has_password,
                "password",
                "expected username and password, or neither",
            ),
            (
                self.password != HIDDEN,
                "password",
                "expected the password itself: … is what is shown in its place",
            ),
            (
                !self.register || has_password,
                "username",
                "expected a username, since it is to register",
            ),
            (self.expires >= Duration::from_mins(1), "expires", "expected expires of at least 1m"),
            (self.from.is_empty() || is_sip(&self.from), "from", "expected from to be a sip: URI"),
            (self.max_calls >= 1, "max_calls", "expected max_calls of at least 1"),
            (
                is_digits(&self.country_code)
                    && self.country_code.len() <= 3
                    && !self.country_code.starts_with('0'),
                "country_code",
                "expected a country_code as in \"49\"",
            ),
            (
                [&self.national_prefix, &self.international_prefix]
                    .iter()
                    .all(|prefix| is_digits(prefix) && prefix.len() <= 8),
                "national_prefix",
                "expected digits as national_prefix and international_prefix",
            ),
        ]
        .into_iter()
        .find_map(|(holds, field, expected)| (!holds).then_some((field, expected)))
    }

    /// The gateways as the bridge knows them.
    pub fn gateways(&self) -> Vec<TrunkGateway> {
        let known = |(at, gateway): (usize, &Gateway)| {
            let uri = Uri::parse(gateway.uri.as_bytes()).ok()?;
            let place = u16::try_from(at).unwrap_or(u16::MAX);
            let priority = gateway.priority.unwrap_or(place);
            Some(TrunkGateway { uri, priority, weight: gateway.weight })
        };
        self.gateways.iter().enumerate().filter_map(known).collect()
    }
}

/// A password is never written back.
#[expect(clippy::ptr_arg, reason = "serde wants it so")]
fn hidden<S: Serializer>(password: &String, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if password.is_empty() { "" } else { HIDDEN })
}

/// What is shown in place of a password.
const HIDDEN: &str = "…";

fn one() -> u16 {
    1
}

fn yes() -> bool {
    true
}

fn national_prefix() -> String {
    "0".to_owned()
}

fn international_prefix() -> String {
    "00".to_owned()
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
