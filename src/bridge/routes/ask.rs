//! Routes that ask an HTTP endpoint where a call goes (Standard Webhooks 1.0 for who asks).
//!
//! ```text
//!  step `ask` ─▶ Output::Ask ─▶ 2xx with steps that can be ─▶ these come next
//!                    │            └ all else, or its time is over ─▶ what the route has as `fallback` comes next
//!                    └ as many are asked as may be: the fallback at once
//! ```
//! Whoever calls waits with 100 meanwhile. What is asked, how it is signed and what an answer means is decided here; the
//! shell carries it. An answer is checked like the body of a request to our API, and may not have us ask again.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use api::event::{Data, EventType};
use api::model::{CallId, RouteAnswer, RouteAsk, RouteReject, RouteStep};
use api::webhooks::key_of;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::Asking;
use super::calls::Tried;
use crate::bridge::{Bridge, Output, Subject, Timer};
use crate::signature::signed;
use crate::sip::Message;
use crate::sip::endpoint::Invited;
use crate::sip::headers::Name;

/// What an endpoint is asked. Answered by [`crate::bridge::Input::Told`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    /// To be given back.
    pub id: QuestionId,
    /// Where to POST it.
    pub url: AskUrl,
    /// Beside what HTTP itself needs; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: Bytes,
    /// How long from now an answer is of use.
    pub deadline: Duration,
    /// The longest answer that is of use, octets.
    pub answer_size: usize,
}

/// Names a question; never reused.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct QuestionId(u64);

/// Where a question goes: an `http:` or `https:` URL without user, password and fragment.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AskUrl {
    /// Whether it is `https:`.
    pub is_secure: bool,
    /// Name or address; that of IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// What the Host header says.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Why there is no answer of use.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum AskFault {
    /// As many questions are open as may be.
    #[error("as many questions are open as may be")]
    TooMany,
    /// The host has no address.
    #[error("the host has no address")]
    HostNotFound,
    /// The host has only addresses that may not be asked.
    #[error("{0} is a private address, and not in ask.private_networks")]
    NotAllowed(std::net::IpAddr),
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// A certificate that proves nothing, or no TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// Its time is over.
    #[error("no answer in time")]
    Timeout,
    /// Anything but 2xx; redirections are not followed.
    #[error("status {0}")]
    Status(u16),
    /// More octets than are read.
    #[error("the answer is longer than ask.answer_size")]
    TooLong,
    /// No HTTP, or one that ends early.
    #[error("no whole answer: {0}")]
    Broken(String),
    /// No steps, or none that can be.
    #[error("{0}")]
    Invalid(String),
}

impl AskFault {
    /// As events and metrics name it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::HostNotFound => "host_not_found",
            Self::NotAllowed(_) => "not_allowed",
            Self::Unreachable(_) => "unreachable",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::TooLong => "too_long",
            Self::Broken(_) => "broken",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// How endpoints are asked.
#[derive(Clone, Copy, Debug)]
pub struct AskSettings {
    /// Questions open at once.
    pub at_once: usize,
    /// Octets of an answer.
    pub answer_size: usize,
}

/// A question whose answer is to come.
#[derive(Debug)]
struct Open {
    call: CallId,
    ask: RouteAsk,
    since: Instant,
}

/// The open questions.
#[derive(Debug, Default)]
pub(in crate::bridge) struct Questions {
    open: BTreeMap<QuestionId, Open>,
}

/// What an endpoint may learn of a call. Kept only where a route asks.
#[derive(Debug)]
pub(super) struct Facts {
    route: String,
    told: Map<String, Value>,
    /// Those that the route chose, as they came.
    headers: Vec<(Name, String)>,
}

impl Facts {
    /// `None` if none of these steps asks.
    pub(super) fn of(
        invited: &Invited,
        (route, steps): (&str, &[RouteStep]),
        asking: &Asking<'_>,
        trunk: Option<&str>,
    ) -> Option<Box<Self>> {
        let asks = || steps.iter().filter_map(|step| step.ask.as_ref());
        asks().next()?;
        let Invited { request, from, target, .. } = invited;
        let mut chosen: Vec<Name> = Vec::new();
        for name in asks().flat_map(|ask| &ask.headers).map(|name| Name::new(name)) {
            if !chosen.contains(&name) {
                chosen.push(name);
            }
        }
        let mut told = Map::new();
        told.insert(
            "caller".to_owned(),
            json!({ "uri": from.uri.to_string(), "name": asking.from, "display_name": from.display }),
        );
        told.insert(
            "callee".to_owned(),
            json!({ "uri": target.to_string(), "name": asking.dialled }),
        );
        told.insert(
            "source".to_owned(),
            json!({ "trunk": trunk, "user": asking.user, "address": asking.address }),
        );
        let call_id = request.headers.call_id().ok().map(|id| id.to_string());
        told.insert("sip_call_id".to_owned(), json!(call_id));
        let headers = chosen.iter().flat_map(|name| values(request, name)).collect();
        Some(Box::new(Self { route: route.to_owned(), told, headers }))
    }

    fn data(&self, ask: &RouteAsk) -> Map<String, Value> {
        let mut data = self.told.clone();
        data.insert("route".to_owned(), json!(self.route));
        let mut headers = Map::new();
        for name in &ask.headers {
            let same = Name::new(name);
            let of_it = self.headers.iter().filter(|(known, _)| *known == same);
            let values: Vec<&str> = of_it.map(|(_, value)| value.as_str()).collect();
            headers.insert(name.clone(), json!(values));
        }
        data.insert("headers".to_owned(), Value::Object(headers));
        data
    }
}

fn values(request: &Message, name: &Name) -> Vec<(Name, String)> {
    let text = |value: &Bytes| String::from_utf8_lossy(value).into_owned();
    request.headers.all(name).map(|value| (name.clone(), text(value))).collect()
}

impl Bridge {
    /// Asks where a call goes on, or takes the fallback at once.
    pub(super) fn ask_step(&mut self, call: CallId, ask: &RouteAsk) -> Tried {
        self.counters.asked += 1;
        if self.questions.open.len() >= self.settings.ask.at_once {
            self.ask_failed(call, ask, &AskFault::TooMany);
            return Tried::Passed;
        }
        let wall = self.wall();
        let id = QuestionId(self.next_key());
        let Some(routed) = self.calls.get(&call).and_then(|call| call.routed.as_ref()) else {
            return Tried::UnderWay;
        };
        let (Some(facts), Some(url)) = (routed.facts(), AskUrl::parse(&ask.url)) else {
            return Tried::Passed; // never: a route that asks has both
        };
        let mut data = facts.data(ask);
        data.insert("call".to_owned(), json!(call));
        data.insert("leg".to_owned(), json!(routed.caller()));
        data.insert("failure".to_owned(), routed.last_failure());
        let body = json!({ "type": "route.asked", "timestamp": wall, "data": data });
        let body = Bytes::from(body.to_string());
        let message = format!("ask_{:032x}", self.random());
        let keys: Vec<_> = ask.secret.as_deref().and_then(key_of).into_iter().collect();
        let headers = signed(&keys, (&message, wall.as_second()), &body);
        let (deadline, answer_size) = (deadline_of(ask), self.settings.ask.answer_size);
        let open = Open { call, ask: ask.clone(), since: self.now };
        self.questions.open.insert(id, open);
        self.set_timer(deadline, Timer::Question(id));
        let question = Question { id, url, headers, body, deadline, answer_size };
        self.outputs.push_back(Output::Ask(Box::new(question)));
        Tried::UnderWay
    }

    /// An endpoint has answered, or did not in its time.
    pub(in crate::bridge) fn told(&mut self, id: QuestionId, answer: Result<Bytes, AskFault>) {
        let Some(Open { call, ask, since }) = self.questions.open.remove(&id) else { return };
        self.counters.answer_took(self.now.saturating_duration_since(since));
        let steps = answer.and_then(|body| self.steps_of(&body));
        if self.calls.get(&call).is_none_or(|call| call.routed.is_none()) {
            return; // the caller has given up
        }
        match steps {
            Ok(steps) => self.go_on_with(call, steps),
            Err(fault) => self.ask_failed(call, &ask, &fault),
        }
        self.next_step(call);
    }

    /// What an answer has us do.
    fn steps_of(&self, body: &[u8]) -> Result<Vec<RouteStep>, AskFault> {
        let RouteAnswer { mut steps } = RouteAnswer::parse(body).map_err(AskFault::Invalid)?;
        let faults = steps.iter().enumerate().find_map(|(index, step)| {
            super::rule::check_step(&format!("/steps/{index}"), step).err()
        });
        if let Some(fault) = faults {
            return Err(AskFault::Invalid(format!("{fault} at {}", fault.pointer)));
        }
        for step in &mut steps {
            if let Some(trunk) =
                step.trunk.as_deref().filter(|name| self.trunk_named(name).is_none())
            {
                return Err(AskFault::Invalid(format!("there is no trunk {trunk}")));
            }
            if step.trunk.is_some() && step.number.is_none() {
                return Err(AskFault::Invalid("a trunk without a number".to_owned()));
            }
        }
        Ok(steps)
    }

    /// The fallback comes next.
    fn ask_failed(&mut self, call: CallId, ask: &RouteAsk, fault: &AskFault) {
        self.counters.ask_failed(fault.code());
        let routed = self.calls.get(&call).and_then(|call| call.routed.as_ref());
        let route = routed.and_then(|routed| routed.facts()).map(|facts| facts.route.clone());
        let leg = routed.map(|routed| routed.caller());
        let data = json!({
            "route": route, "url": ask.url, "reason": fault.code(), "detail": fault.to_string(),
        });
        let subject = Subject { leg, call: Some(call), ..Subject::default() };
        self.happened(EventType::RouteAskFailed, subject, Data::of(&data));
        let mut steps = ask.fallback.clone();
        if steps.is_empty() {
            steps.push(unavailable());
        }
        self.go_on_with(call, steps);
    }

    fn go_on_with(&mut self, call: CallId, steps: Vec<RouteStep>) {
        if let Some(routed) = self.calls.get_mut(&call).and_then(|call| call.routed.as_mut()) {
            routed.put_first(steps);
        }
    }
}

/// What is done where a route does not say.
fn unavailable() -> RouteStep {
    let reject = RouteReject { status: 503, reason: None };
    RouteStep { reject: Some(reject), ..RouteStep::default() }
}

fn deadline_of(ask: &RouteAsk) -> Duration {
    Duration::from_secs(ask.deadline_s.into())
}

impl AskUrl {
    /// `None` if it is no such URL, or longer than 2,000 octets.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: http::Uri = text.parse().ok().filter(|_| text.len() <= MAX_URL)?;
        let is_secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || text.contains('#') {
            return None;
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let authority = authority.to_string();
        (!host.is_empty() && port != 0).then_some(Self { is_secure, host, port, authority, path })
    }
}

impl fmt::Display for QuestionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

const MAX_URL: usize = 2_000;

#[cfg(test)]
mod tests;
