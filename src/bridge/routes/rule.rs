//! A route made ready: patterns compiled, times in their zone, every field checked once.

use std::net::IpAddr;

use api::model::{Route, RouteAsk, RouteDestination, RouteReject, RouteStep, RouteTime, Weekday};
use api::webhooks::key_of;
use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::ask::AskUrl;
use crate::bridge::Network;
use crate::sip::headers::Name;
use crate::sip::uri::Uri;

/// A route that can be tried. Costs a regular expression or two a call.
#[derive(Clone, Debug)]
pub struct Rule {
    route: Route,
    /// 0: of the settings.
    revision: u64,
    network: Option<Network>,
    from: Option<Regex>,
    destination: Regex,
    times: Vec<Window>,
}

/// A field of a route that cannot be.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{detail}")]
pub struct RouteFault {
    /// JSON Pointer to it.
    pub pointer: String,
    /// What was expected and what was found.
    pub detail: String,
}

/// What routes are asked about a call.
#[derive(Clone, Copy, Debug)]
pub(in crate::bridge) struct Inquiry<'a> {
    pub(in crate::bridge) dialled: &'a str,
    pub(in crate::bridge) from: &'a str,
    pub(in crate::bridge) trunk: Option<&'a str>,
    pub(in crate::bridge) user: Option<&'a str>,
    pub(in crate::bridge) address: Option<IpAddr>,
    pub(in crate::bridge) at: Timestamp,
}

/// A time of the week in its zone.
#[derive(Clone, Debug)]
struct Window {
    days: Vec<Weekday>,
    from: Time,
    to: Time,
    zone: TimeZone,
}

impl Rule {
    /// Checks and compiles a route.
    ///
    /// # Errors
    /// The first field that cannot be.
    pub fn new(route: Route) -> Result<Self, RouteFault> {
        if route.steps.is_empty() || route.steps.len() > MAX_STEPS {
            return Err(fault("/steps", format!("expected 1 to {MAX_STEPS} steps")));
        }
        if route.times.len() > MAX_TIMES {
            return Err(fault("/times", format!("expected at most {MAX_TIMES}")));
        }
        for (index, step) in route.steps.iter().enumerate() {
            check_step(&format!("/steps/{index}"), step)?;
        }
        let network = route.source.network.as_deref().map(str::parse).transpose();
        let network = network.map_err(|detail: String| fault("/source/network", detail))?;
        let from = route.source.from.as_deref();
        let from = from.map(|text| pattern("/source/from", text)).transpose()?;
        let destination = destination(&route.destination)?;
        check_templates(&route.steps, &destination)?;
        let window = |(index, time)| Window::new(&format!("/times/{index}"), time);
        let times = route.times.iter().enumerate().map(window).collect::<Result<_, _>>()?;
        Ok(Self { route, revision: 0, network, from, destination, times })
    }

    /// The route as it was given.
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The trunks that it names, and where.
    pub fn trunks(&self) -> impl Iterator<Item = (String, &str)> {
        let steps = self.route.steps.iter().enumerate().flat_map(|(at, step)| {
            let fallback = step.ask.iter().flat_map(|ask| &ask.fallback).enumerate();
            let fallback = fallback.map(move |(nth, step)| {
                (format!("/steps/{at}/ask/fallback/{nth}/trunk"), step.trunk.as_deref())
            });
            std::iter::once((format!("/steps/{at}/trunk"), step.trunk.as_deref())).chain(fallback)
        });
        let source = ("/source/trunk".to_owned(), self.route.source.trunk.as_deref());
        steps.chain([source]).filter_map(|(pointer, trunk)| Some((pointer, trunk?)))
    }

    /// As it is kept in the store.
    #[must_use]
    pub(in crate::bridge) fn kept(self, revision: u64) -> Self {
        Self { revision, ..self }
    }

    /// Rises with each change; 0: it is of the settings.
    pub(in crate::bridge) fn revision(&self) -> u64 {
        self.revision
    }

    /// Routes are tried in this order.
    pub(in crate::bridge) fn turn(&self) -> (u32, &str) {
        (self.route.order, &self.route.name)
    }

    /// What of a call fits, or the first that does not.
    pub(in crate::bridge) fn judge(&self, call: &Inquiry<'_>) -> Result<String, String> {
        let mut fits = Vec::new();
        let source = &self.route.source;
        equal("trunk", source.trunk.as_deref(), call.trunk, &mut fits)?;
        equal("user", source.user.as_deref(), call.user, &mut fits)?;
        if let Some(network) = &self.network {
            let found = call.address.map_or_else(|| "no address".to_owned(), |ip| ip.to_string());
            if !call.address.is_some_and(|address| network.contains(address)) {
                return Err(format!("source.network is {network}, the call comes from {found}"));
            }
            fits.push(format!("source.network has {found}"));
        }
        if let (Some(from), Some(text)) = (&self.from, &source.from) {
            if !from.is_match(call.from) {
                return Err(format!("source.from is {text}, the caller is {}", call.from));
            }
            fits.push(format!("source.from fits {}", call.from));
        }
        if !self.destination.is_match(call.dialled) {
            let wanted = wanted(&self.route.destination);
            return Err(format!("destination is {wanted}, {} was dialled", call.dialled));
        }
        fits.push(format!("destination fits {}", call.dialled));
        if !self.times.is_empty() {
            let within = self.times.iter().position(|window| window.contains(call.at));
            let within = within.ok_or_else(|| format!("{} is in none of its times", call.at))?;
            fits.push(format!("within times[{within}]"));
        }
        Ok(fits.join("; "))
    }

    /// Where such a call goes, with what was dialled put in.
    pub(in crate::bridge) fn steps(&self, dialled: &str) -> Vec<RouteStep> {
        let Some(groups) = self.destination.captures(dialled) else { return Vec::new() };
        let put_in = |template: &Option<String>| {
            template.as_ref().map(|template| {
                let mut text = String::new();
                groups.expand(template, &mut text);
                text
            })
        };
        let filled = |step: &RouteStep| RouteStep {
            room: put_in(&step.room),
            user: put_in(&step.user),
            number: step
                .trunk
                .as_ref()
                .map(|_| put_in(&step.number).unwrap_or_else(|| dialled.to_owned())),
            forward: put_in(&step.forward),
            ..step.clone()
        };
        let whole = |step: &RouteStep| {
            let mut step = filled(step);
            if let Some(ask) = &mut step.ask {
                ask.fallback = ask.fallback.iter().map(filled).collect();
            }
            step
        };
        self.route.steps.iter().map(whole).collect()
    }
}

impl Window {
    fn new(pointer: &str, time: &RouteTime) -> Result<Self, RouteFault> {
        let clock = |field: &str, text: &str| {
            Time::strptime("%H:%M", text).map_err(|_| {
                fault(
                    format!("{pointer}/{field}"),
                    format!("expected a time as in 08:00, found {text}"),
                )
            })
        };
        let zone = TimeZone::get(&time.timezone).map_err(|_| {
            let found = &time.timezone;
            let detail = format!("expected a time zone as in Europe/Berlin, found {found}");
            fault(format!("{pointer}/timezone"), detail)
        })?;
        let (from, to) = (clock("from", &time.from)?, clock("to", &time.to)?);
        Ok(Self { days: time.days.clone(), from, to, zone })
    }

    /// One that does not end after it begins goes on past midnight, and belongs to the day on which it began.
    fn contains(&self, at: Timestamp) -> bool {
        let local = at.to_zoned(self.zone.clone());
        let (time, today) = (local.time(), local.weekday());
        let on = |day| self.days.is_empty() || self.days.contains(&weekday(day));
        if self.from < self.to {
            return on(today) && (self.from..self.to).contains(&time);
        }
        (time >= self.from && on(today)) || (time < self.to && on(today.previous()))
    }
}

fn weekday(day: jiff::civil::Weekday) -> Weekday {
    match day {
        jiff::civil::Weekday::Monday => Weekday::Mon,
        jiff::civil::Weekday::Tuesday => Weekday::Tue,
        jiff::civil::Weekday::Wednesday => Weekday::Wed,
        jiff::civil::Weekday::Thursday => Weekday::Thu,
        jiff::civil::Weekday::Friday => Weekday::Fri,
        jiff::civil::Weekday::Saturday => Weekday::Sat,
        jiff::civil::Weekday::Sunday => Weekday::Sun,
    }
}

fn equal(
    field: &str,
    wanted: Option<&str>,
    found: Option<&str>,
    fits: &mut Vec<String>,
) -> Result<(), String> {
    let Some(wanted) = wanted else { return Ok(()) };
    if found != Some(wanted) {
        let found = found.map_or_else(|| format!("no {field}"), |found| format!("{field} {found}"));
        return Err(format!("source.{field} is {wanted}, the call comes from {found}"));
    }
    fits.push(format!("source.{field} is {wanted}"));
    Ok(())
}

fn wanted(destination: &RouteDestination) -> String {
    let RouteDestination { exact, prefix, regex } = destination;
    match (exact, prefix, regex) {
        (Some(exact), ..) => exact.clone(),
        (_, Some(prefix), _) => format!("{prefix} and more"),
        (.., Some(regex)) => regex.clone(),
        (None, None, None) => "anything".to_owned(),
    }
}

/// Every form of a destination as a pattern of the whole, so that all have their groups.
fn destination(destination: &RouteDestination) -> Result<Regex, RouteFault> {
    match destination {
        RouteDestination { exact: None, prefix: None, regex: None } => {
            pattern("/destination", "(?s).*")
        }
        RouteDestination { exact: Some(exact), prefix: None, regex: None } => {
            pattern("/destination/exact", &regex::escape(exact))
        }
        RouteDestination { exact: None, prefix: Some(prefix), regex: None } => {
            pattern("/destination/prefix", &format!("{}(.*)", regex::escape(prefix)))
        }
        RouteDestination { exact: None, prefix: None, regex: Some(regex) } => {
            pattern("/destination/regex", regex)
        }
        RouteDestination { .. } => {
            Err(fault("/destination", "expected at most one of exact, prefix and regex"))
        }
    }
}

/// A regular expression for the whole of a text. Its time is linear in the text, its size is bounded.
fn pattern(pointer: &str, text: &str) -> Result<Regex, RouteFault> {
    if text.len() > MAX_PATTERN {
        return Err(fault(pointer, format!("expected at most {MAX_PATTERN} characters")));
    }
    let whole = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(PATTERN_SIZE).build();
    whole.map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default();
        fault(pointer, format!("expected a regular expression: {why}"))
    })
}

pub(super) fn check_step(at: &str, step: &RouteStep) -> Result<(), RouteFault> {
    let RouteStep { room, user, trunk, number, forward, reject, ask, timeout_s, .. } = step;
    let given = [room, user, trunk, forward].into_iter().filter(|given| given.is_some()).count();
    if given + usize::from(reject.is_some()) + usize::from(ask.is_some()) != 1 {
        let expected = "expected exactly one of room, user, trunk, forward, reject and ask";
        return Err(fault(at, expected));
    }
    if let Some(ask) = ask {
        check_ask(&format!("{at}/ask"), ask)?;
    }
    if number.is_some() && trunk.is_none() {
        return Err(fault(format!("{at}/number"), "expected a trunk with it"));
    }
    if timeout_s.is_some_and(|seconds| !(1..=600).contains(&seconds)) {
        return Err(fault(format!("{at}/timeout_s"), "expected 1 to 600"));
    }
    if let Some(status) = step.continue_on.iter().find(|status| !DECLINED.contains(status)) {
        let detail = format!("expected 603, 607 or 608, found {status}");
        return Err(fault(format!("{at}/continue_on"), detail));
    }
    if let Some(RouteReject { status, .. }) = reject
        && !(400..=699).contains(status)
    {
        let detail = format!("expected 400 to 699, found {status}");
        return Err(fault(format!("{at}/reject/status"), detail));
    }
    if let Some(text) = forward.as_ref().filter(|text| !text.contains('$'))
        && forward_uri(text).is_none()
    {
        let detail = format!("expected a URI such as sip:anna@example.com, found {text}");
        return Err(fault(format!("{at}/forward"), detail));
    }
    Ok(())
}

fn check_ask(at: &str, ask: &RouteAsk) -> Result<(), RouteFault> {
    let RouteAsk { url, deadline_s, headers, secret, fallback } = ask;
    if AskUrl::parse(url).is_none() {
        let detail = "expected an http: or https: URL without user, password and fragment";
        return Err(fault(format!("{at}/url"), detail));
    }
    if !(1..=30).contains(deadline_s) {
        return Err(fault(format!("{at}/deadline_s"), "expected 1 to 30"));
    }
    let may_be_told = |name: &String| {
        let is_token = |b: u8| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b);
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_token);
        is_name && ![Name::Authorization, Name::ProxyAuthorization].contains(&Name::new(name))
    };
    if headers.len() > MAX_HEADERS || !headers.iter().all(may_be_told) {
        let detail = format!("expected at most {MAX_HEADERS} names of headers, without passwords");
        return Err(fault(format!("{at}/headers"), detail));
    }
    if secret.as_deref().is_some_and(|secret| key_of(secret).is_none()) {
        let detail = "expected whsec_ and 24 to 64 octets in base64";
        return Err(fault(format!("{at}/secret"), detail));
    }
    if fallback.len() > MAX_STEPS {
        return Err(fault(format!("{at}/fallback"), format!("expected at most {MAX_STEPS} steps")));
    }
    for (index, step) in fallback.iter().enumerate() {
        let at = format!("{at}/fallback/{index}");
        if step.ask.is_some() {
            return Err(fault(format!("{at}/ask"), "expected no step that asks again"));
        }
        check_step(&at, step)?;
    }
    Ok(())
}

/// Whether every group that a step puts in is one of the destination.
fn check_templates(steps: &[RouteStep], destination: &Regex) -> Result<(), RouteFault> {
    for (index, step) in steps.iter().enumerate() {
        let RouteStep { room, user, number, forward, .. } = step;
        let fields = [("room", room), ("user", user), ("number", number), ("forward", forward)];
        for (field, template) in fields {
            let template = template.as_deref().unwrap_or_default();
            if let Some(group) = groups(template).find(|group| !has_group(destination, group)) {
                let detail = format!("expected a group of the destination, found ${{{group}}}");
                return Err(fault(format!("/steps/{index}/{field}"), detail));
            }
        }
    }
    Ok(())
}

fn has_group(destination: &Regex, group: &str) -> bool {
    match group.parse::<usize>() {
        Ok(number) => number < destination.captures_len(),
        Err(_) => destination.capture_names().flatten().any(|name| name == group),
    }
}

/// The groups that a template names, as [`regex::Captures::expand`] reads it: `$1a` is the group `1a`, `$$` is none.
fn groups(template: &str) -> impl Iterator<Item = &str> {
    let mut rest = template;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            if let Some(after) = after.strip_prefix('$') {
                rest = after;
                continue;
            }
            if let Some((group, after)) =
                after.strip_prefix('{').and_then(|in_| in_.split_once('}'))
            {
                rest = after;
                return Some(group);
            }
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            let end = after.find(|letter| !is_name(letter)).unwrap_or(after.len());
            let (group, after) = after.split_at(end);
            rest = after;
            if !group.is_empty() {
                return Some(group);
            }
        }
    })
}

/// A `sip:` or `sips:` URI with a host, that a call can be forwarded to.
pub(super) fn forward_uri(text: &str) -> Option<Uri> {
    let uri = Uri::parse(text.as_bytes()).ok()?;
    (uri.is_sip() && uri.host().is_some()).then_some(uri)
}

fn fault(pointer: impl Into<String>, detail: impl Into<String>) -> RouteFault {
    RouteFault { pointer: pointer.into(), detail: detail.into() }
}

/// By these somebody declines (RFC 3261 §21.6.2, RFC 8197, RFC 8688): they end a call unless its step says otherwise.
pub(super) const DECLINED: [u16; 3] = [603, 607, 608];
/// Steps of a route.
const MAX_STEPS: usize = 10;
const MAX_HEADERS: usize = 16;
/// Times of a route.
const MAX_TIMES: usize = 50;
/// Characters of a pattern.
const MAX_PATTERN: usize = 1000;
/// Octets of a compiled pattern.
const PATTERN_SIZE: usize = 1 << 18;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn given(mut route: Value) -> Route {
        route["name"] = json!("r");
        serde_json::from_value(route).unwrap()
    }

    fn rule(route: Value) -> Result<Rule, RouteFault> {
        Rule::new(given(route))
    }

    fn call<'a>(dialled: &'a str, at: &str) -> Inquiry<'a> {
        let at = at.parse().unwrap();
        let address = Some("10.0.0.7".parse().unwrap());
        Inquiry { dialled, from: "+4930", trunk: Some("carrier"), user: None, address, at }
    }

    const NOON: &str = "2026-01-05T11:00:00Z"; // a Monday, 12:00 in Berlin

    #[test]
    fn numbers_are_rewritten_by_what_was_dialled() {
        for (destination, dialled, number, becomes) in [
            (json!({"prefix": "00"}), "00441", json!("+$1"), Some("+441")),
            (json!({"exact": "112"}), "112", json!("${0}1"), Some("1121")),
            (json!({"regex": "0([1-9][0-9]*)"}), "0301", json!("+49$1"), Some("+49301")),
            (json!({"regex": "(?P<area>..)(?P<rest>.*)"}), "3012", json!("$rest"), Some("12")),
            (json!({}), "anna", json!("$0"), Some("anna")),
            (json!({}), "anna", Value::Null, Some("anna")),
            (json!({"regex": "30"}), "301", json!("$0"), None),
            (json!({"exact": "3.1"}), "301", json!("$0"), None),
        ] {
            let step = json!({"trunk": "carrier", "number": number});
            let rule = rule(json!({"destination": destination, "steps": [step]})).unwrap();

            let fits = rule.judge(&call(dialled, NOON)).is_ok();
            let steps = rule.steps(dialled);

            assert_eq!(fits, becomes.is_some(), "{destination}");
            let number = steps.first().and_then(|step| step.number.as_deref());
            assert_eq!(number, becomes, "{destination}");
        }
    }

    #[test]
    fn all_of_a_source_must_fit_and_what_does_not_is_said() {
        for (source, why) in [
            (json!({"trunk": "carrier", "network": "10.0.0.0/8", "from": "\\+49.*"}), None),
            (json!({"trunk": "other"}), Some("source.trunk is other")),
            (json!({"user": "anna"}), Some("the call comes from no user")),
            (json!({"network": "192.0.2.0/24"}), Some("source.network is 192.0.2.0/24")),
            (json!({"from": "\\+1.*"}), Some("the caller is +4930")),
        ] {
            let rule = rule(json!({"source": source, "steps": [{"room": "a"}]})).unwrap();

            let verdict = rule.judge(&call("1", NOON));

            assert_eq!(verdict.is_ok(), why.is_none(), "{source} {verdict:?}");
            assert!(why.is_none_or(|why| verdict.unwrap_err().contains(why)), "{source}");
        }
    }

    #[test]
    fn times_hold_in_their_zone_and_past_midnight() {
        let week = json!(["mon", "tue", "wed", "thu", "fri"]);
        for (from, to, at, fits) in [
            ("08:00", "12:30", NOON, true),
            ("08:00", "12:00", NOON, false),
            ("12:00", "17:00", NOON, true),
            ("00:00", "00:00", NOON, true),
            ("18:00", "08:00", "2026-01-05T17:00:00Z", true), // Monday, 18:00
            ("18:00", "08:00", "2026-01-10T06:59:00Z", true), // Saturday, 07:59: Friday's night
            ("18:00", "08:00", "2026-01-05T06:00:00Z", false), // Monday, 07:00: Sunday's night
            ("18:00", "08:00", "2026-01-10T17:00:00Z", false), // Saturday, 18:00
            ("08:00", "17:00", "2026-07-06T06:30:00Z", true), // summer: 08:30
        ] {
            let time = json!({"days": week, "from": from, "to": to, "timezone": "Europe/Berlin"});
            let rule = rule(json!({"times": [time], "steps": [{"room": "a"}]})).unwrap();

            assert_eq!(rule.judge(&call("1", at)).is_ok(), fits, "{from} {to} {at}");
        }
    }

    #[test]
    fn a_dollar_that_names_no_group_is_a_dollar() {
        for template in ["a$$1", "a$", "a$-", "a${", "$0-${1}-$1"] {
            let step = json!({"room": template});
            let route = json!({"destination": {"prefix": "0"}, "steps": [step]});

            assert!(rule(route).is_ok(), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_is_pointed_at() {
        let good = json!([{"room": "a"}]);
        let day = |field: &str, value: &str| json!([{field: value}]);
        for (route, pointer) in [
            (json!({"steps": []}), "/steps"),
            (json!({"steps": [{}]}), "/steps/0"),
            (json!({"steps": [{"room": "a", "user": "b"}]}), "/steps/0"),
            (json!({"steps": [{"room": "a", "number": "1"}]}), "/steps/0/number"),
            (json!({"steps": [{"forward": "tel:1"}]}), "/steps/0/forward"),
            (json!({"steps": [{"user": "a", "timeout_s": 0}]}), "/steps/0/timeout_s"),
            (json!({"steps": [{"reject": {"status": 200}}]}), "/steps/0/reject/status"),
            (json!({"steps": [{"room": "a", "continue_on": [486]}]}), "/steps/0/continue_on"),
            (json!({"steps": [{"room": "a-$1"}]}), "/steps/0/room"),
            (json!({"destination": {"regex": "0(.)"}, "steps": [{"user": "$2"}]}), "/steps/0/user"),
            (
                json!({"destination": {"prefix": "0"}, "steps": [{"forward": "sip:${rest}@x"}]}),
                "/steps/0/forward",
            ),
            (
                json!({"destination": {"prefix": "0"}, "steps": [{"trunk": "t", "number": "$1a"}]}),
                "/steps/0/number",
            ),
            (json!({"steps": good, "source": {"network": "10.0.0.0"}}), "/source/network"),
            (json!({"steps": good, "source": {"from": "("}}), "/source/from"),
            (
                json!({"steps": good, "destination": {"regex": "a{1000}{1000}"}}),
                "/destination/regex",
            ),
            (json!({"steps": good, "destination": {"exact": "1", "prefix": "1"}}), "/destination"),
            (json!({"steps": good, "times": day("from", "8")}), "/times/0/from"),
            (json!({"steps": good, "times": day("to", "24:00")}), "/times/0/to"),
            (json!({"steps": good, "times": day("timezone", "Berlin")}), "/times/0/timezone"),
        ] {
            assert_eq!(rule(route.clone()).unwrap_err().pointer, pointer, "{route}");
        }
    }
}
