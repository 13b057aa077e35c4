//! Where calls that come in go.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::object::{kept_objects, objects};

/// A rule for calls that come in: which ones, and where they go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What it is called: 1 to 64 of A-Z a-z 0-9 - _ . + ~.
    pub name: String,
    /// Routes are tried by this number, the lowest first; equal ones by name.
    #[serde(default = "usual_order")]
    pub order: u32,
    /// Whose calls; all that is given must fit.
    #[serde(default)]
    pub source: RouteSource,
    /// To what number or name.
    #[serde(default)]
    pub destination: RouteDestination,
    /// When; within any of these, or always if there are none.
    #[serde(default)]
    pub times: Vec<RouteTime>,
    /// Where such calls go: the first of these, and where that comes to nothing the next one that takes it up.
    pub steps: Vec<RouteStep>,
}

kept_objects! { RouteSource RouteDestination RouteTime RouteStep RouteAsk RouteReject }
objects! { TestSource }

/// Whose calls a route is for. What is absent fits everybody.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct RouteSource {
    /// Calls that come from this trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Calls of this user, who has given its password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Calls from this network, as in `10.0.0.0/8`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// Callers whose number or name fits this pattern as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
}

/// What was dialled: the user part of the request-URI. At most one of these; none fits everything.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct RouteDestination {
    /// This and nothing else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// What begins so; `$1` is what follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What fits this regular expression as a whole; `$1` and `${name}` are its groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// A time of the week.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RouteTime {
    /// The days on which it begins; none: every day.
    #[serde(default)]
    pub days: Vec<Weekday>,
    /// When it begins, as in `08:00`.
    #[serde(default = "midnight")]
    pub from: String,
    /// When it has ended, as in `17:30`; not after `from`: on the next day.
    #[serde(default = "midnight")]
    pub to: String,
    /// As in `Europe/Berlin`; default UTC.
    #[serde(default = "utc")]
    pub timezone: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// One place where a call may go: exactly one of `room`, `user`, `forward`, `reject`, `ask`, or `trunk`, which may have a
/// `number`.
///
/// In a name, number or address `$0` is what was dialled, `$1` and `${name}` are groups of what the destination fitted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct RouteStep {
    /// A conference room; one that does not exist is made as if its name had been dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// The phones of a user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// A trunk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// What is dialled there; default `$0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// A `sip:` URI.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    /// Nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reject: Option<RouteReject>,
    /// Where an HTTP endpoint says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ask: Option<RouteAsk>,
    /// What the step before must have come to for this one to be taken; default: any of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<RouteOutcome>,
    /// Seconds to let it ring (1 to 600); default `sip.ring_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u32>,
    /// Those of 603, 607 and 608 after which the next step is tried all the same; otherwise they end the call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub continue_on: Vec<u16>,
    /// Whether the caller hears what comes before the answer: announcements, the carrier's ringing. Default: as the trunk
    /// has it, which is `pass` unless it says otherwise; `pass` for users and addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub early_media: Option<EarlyMedia>,
}

/// Whether a caller hears the media that comes before the answer.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EarlyMedia {
    /// It does, both ways; it is told 183 with SDP.
    #[default]
    Pass,
    /// It hears its own phone's ringing, by 180.
    Off,
}

/// An HTTP endpoint that says where a call goes: it is sent a POST as of Standard Webhooks 1.0, and answers 2xx with a
/// `RouteAnswer`, whose steps come next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RouteAsk {
    /// `http:` or `https:`, without user and password. Redirections are not followed; of addresses that are not public only
    /// those in `ask.private_networks` are asked.
    pub url: String,
    /// Seconds that looking up, connecting and answering may take in all (1 to 30).
    #[serde(default = "usual_deadline")]
    pub deadline_s: u32,
    /// Headers of the INVITE that the endpoint is told, at most 16; not those with passwords.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// What requests are signed with: `whsec_` and 24 to 64 octets in base64. It is not shown again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// What comes next where there is no answer of use: no connection, too late, not 2xx, no steps that can be. None: 503.
    /// These steps may not ask.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub fallback: Vec<RouteStep>,
}

/// What an endpoint answers. Its steps may not ask, and nothing is put into them for `$`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteAnswer {
    /// As in a route. A step with a `trunk` has a `number`.
    pub steps: Vec<RouteStep>,
}

/// How a call is refused.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub struct RouteReject {
    /// 400 to 699.
    pub status: u16,
    /// Reason phrase; default: the usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What trying a step came to.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteOutcome {
    /// 486 or 600.
    Busy,
    /// It rang for too long, or 408.
    NoAnswer,
    /// Any other refusal but 603, 607 and 608.
    Unreachable,
    /// 603, 607 or 608, where the step says to `continue_on` it.
    Declined,
}

/// `PUT /v1/routes/{route}`: a route without its name.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplaceRoute {
    /// As in a route.
    #[serde(default = "usual_order")]
    pub order: u32,
    /// As in a route.
    #[serde(default)]
    pub source: RouteSource,
    /// As in a route.
    #[serde(default)]
    pub destination: RouteDestination,
    /// As in a route.
    #[serde(default)]
    pub times: Vec<RouteTime>,
    /// As in a route.
    pub steps: Vec<RouteStep>,
}

impl Route {
    /// As it is shown: without the secrets.
    #[must_use]
    pub fn shown(mut self) -> Self {
        hide_secrets(&mut self.steps);
        self
    }
}

impl RouteTrace {
    /// As it is shown: without the secrets.
    #[must_use]
    pub fn shown(mut self) -> Self {
        hide_secrets(&mut self.steps);
        self
    }
}

fn hide_secrets(steps: &mut [RouteStep]) {
    let asks = steps.iter_mut().filter_map(|step| step.ask.as_mut());
    for secret in asks.filter_map(|ask| ask.secret.as_mut()) {
        "…".clone_into(secret);
    }
}

impl ReplaceRoute {
    /// The route of this name.
    pub fn named(self, name: String) -> Route {
        let Self { order, source, destination, times, steps } = self;
        Route { name, order, source, destination, times, steps }
    }
}

/// `POST /v1/routes/test`: a call that is not placed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestRoutes {
    /// What is dialled: a number, a name or a `sip:` URI.
    pub to: String,
    /// Who calls: a number, a name or a `sip:` URI.
    #[serde(default)]
    pub from: Option<String>,
    /// Where the call comes from.
    #[serde(default)]
    pub source: TestSource,
    /// When; default: now.
    #[serde(default)]
    pub at: Option<Timestamp>,
}

/// Where a call comes from.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, ToSchema)]
#[serde(remote = "Self", deny_unknown_fields, default)]
pub struct TestSource {
    /// From this trunk; default: the one that has this address.
    pub trunk: Option<String>,
    /// From a phone of this user.
    pub user: Option<String>,
    /// From this address.
    #[schema(value_type = Option<String>)]
    pub address: Option<IpAddr>,
}

/// What the routes make of a call.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct RouteTrace {
    /// The route that takes it; none: it goes to the room of the trunk or of the name that was dialled.
    pub route: Option<String>,
    /// What was dialled, as routes see it.
    pub dialled: String,
    /// Who calls, as routes see it.
    pub from: Option<String>,
    /// Every route that was looked at, in order.
    pub looked_at: Vec<RouteLook>,
    /// Where the call goes, one after the other, with what was dialled put in.
    pub steps: Vec<RouteStep>,
    /// That an endpoint would be asked, and which: a test asks nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// What each trunk among them is told.
    pub trunks: Vec<RouteTrunk>,
}

/// What a trunk is told of a call.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct RouteTrunk {
    /// Of which step, from 0.
    pub step: usize,
    /// Which trunk.
    pub trunk: String,
    /// Who is called, in E.164 if that can be told.
    pub number: String,
    /// The same as the trunk is told.
    pub dialled: String,
    /// Who it is told calls: From.
    pub from: String,
}

/// One route that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, ToSchema)]
pub struct RouteLook {
    /// Which.
    pub route: String,
    /// Whether it fits.
    pub fits: bool,
    /// What fits, or the first that does not.
    pub why: String,
}

fn usual_order() -> u32 {
    100
}

fn usual_deadline() -> u32 {
    2
}

fn midnight() -> String {
    "00:00".to_owned()
}

fn utc() -> String {
    "UTC".to_owned()
}
