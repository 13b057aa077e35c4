//! Routes: where calls that come in go.
//!
//! ```text
//!  INVITE ─▶ takes a seat by Replaces, Join? there
//!          ─▶ the first route that fits ─▶ room     as if its name had been dialled
//!          │                             ─▶ reject
//!          │                             ─▶ user, trunk, forward: a call of two (`calls`), then the next step
//!          │                             ─▶ ask: an HTTP endpoint says which steps come next (`ask`)
//!          ─▶ none fits: the room of the trunk, or that which was dialled
//! ```

mod ask;
mod calls;
mod past;
mod rule;

pub(super) use ask::Questions;
pub use ask::{AskFault, AskSettings, AskUrl, Question, QuestionId};
pub(super) use calls::{Routed, Taken};
pub use rule::{RouteFault, Rule};

use std::fmt;
use std::str::FromStr;

use api::archive::{Change, Document, DocumentKind};
use api::control::{IfMatch, Reply};
use api::model::{
    Page, PageQuery, Provisioned, ReplaceRoute, Route, RouteAsk, RouteLook, RouteStep, RouteTrace,
    RouteTrunk, TestRoutes,
};
use jiff::Timestamp;

use super::Bridge;
use super::command::{Answer, conflict, invalid, no_such, page};
use super::keeping::{Deed, Later, may_change, source, unusable};
use crate::sip::uri::Uri;
use rule::Inquiry;

/// A call as routes see it, before they are asked.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    pub(super) dialled: &'a str,
    pub(super) from: &'a str,
    pub(super) trunk: Option<usize>,
    pub(super) user: Option<&'a str>,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) at: Timestamp,
}

impl Bridge {
    /// Takes up the routes of the settings, and those that are kept.
    pub(super) fn open_routes(&mut self) {
        self.routes.clone_from(&self.settings.routes);
        for (revision, route) in self.kept::<Route>(DocumentKind::Route) {
            let name = route.name.clone();
            match Rule::new(route) {
                Ok(_) if self.rule(&name).is_ok() => {
                    unusable(DocumentKind::Route, &name, &"the settings have one of this name");
                }
                Ok(rule) => self.routes.push(rule.kept(revision)),
                Err(fault) => unusable(DocumentKind::Route, &name, &fault),
            }
        }
        self.sort_routes();
    }

    fn sort_routes(&mut self) {
        self.routes.sort_by(|one, other| one.turn().cmp(&other.turn()));
    }

    /// Asks each route in turn until one fits; `look` is told of every one.
    fn ask_routes(
        &self,
        asking: &Asking<'_>,
        mut look: impl FnMut(&Rule, &Result<String, String>),
    ) -> Option<&Rule> {
        let inquiry = Inquiry {
            dialled: asking.dialled,
            from: asking.from,
            trunk: asking.trunk.and_then(|trunk| self.trunk_name(trunk)),
            user: asking.user,
            address: asking.address,
            at: asking.at,
        };
        self.routes.iter().find(|rule| {
            let verdict = rule.judge(&inquiry);
            look(rule, &verdict);
            verdict.is_ok()
        })
    }

    /// The name of the route that takes this call, and where it goes.
    pub(super) fn route_of(&self, asking: &Asking<'_>) -> Option<(String, Vec<RouteStep>)> {
        let rule = self.ask_routes(asking, |_, _| {})?;
        Some((rule.route().name.clone(), rule.steps(asking.dialled)))
    }

    pub(super) fn api_test_routes(&self, body: &TestRoutes) -> Answer<RouteTrace> {
        let trunk = match (&body.source.trunk, body.source.address) {
            (Some(name), _) => {
                let known = self.trunk_named(name);
                Some(known.ok_or_else(|| invalid("/source/trunk", "expected a trunk there is"))?)
            }
            (None, Some(address)) => self.trunk_at(address.to_canonical()),
            (None, None) => None,
        };
        let rules = trunk.and_then(|trunk| self.trunk_rules(trunk));
        let normal =
            |text| rules.map_or_else(|| String::clone(&text), |rules| rules.numbers.normal(&text));
        let dialled = named("/to", &body.to).map(normal)?;
        let from = body.from.as_deref().map(|from| named("/from", from).map(normal)).transpose()?;
        let asking = Asking {
            dialled: &dialled,
            from: from.as_deref().unwrap_or_default(),
            trunk,
            user: body.source.user.as_deref(),
            address: body.source.address.map(|address| address.to_canonical()),
            at: body.at.unwrap_or_else(|| self.wall()),
        };
        let mut looked_at = Vec::new();
        let rule = self.ask_routes(&asking, |rule, verdict| {
            let (fits, why) = match verdict {
                Ok(why) => (true, why.clone()),
                Err(why) => (false, why.clone()),
            };
            looked_at.push(RouteLook { route: rule.route().name.clone(), fits, why });
        });
        let route = rule.map(|rule| rule.route().name.clone());
        let steps = rule.map(|rule| rule.steps(&dialled)).unwrap_or_default();
        let ask = steps.iter().find_map(|step| step.ask.as_ref());
        let asks = ask.map(|RouteAsk { url, deadline_s, .. }| {
            format!("{url} would be asked for {deadline_s} s; a test asks nobody")
        });
        let trunks = self.sent_as(from.as_deref(), &steps);
        Ok(RouteTrace { route, dialled, from, looked_at, steps, asks, trunks })
    }

    /// What trunks are told of a call that comes to them.
    fn sent_as(&self, from: Option<&str>, steps: &[RouteStep]) -> Vec<RouteTrunk> {
        let sent = |(step, RouteStep { trunk, number, .. }): (usize, &RouteStep)| {
            let (trunk, number) = (trunk.as_deref()?, number.as_deref()?);
            let says =
                self.trunk_says(self.trunk_named(trunk)?, number, from.unwrap_or_default())?;
            let (number, dialled, from) = says;
            Some(RouteTrunk { step, trunk: trunk.to_owned(), number, dialled, from })
        };
        steps.iter().enumerate().filter_map(sent).collect()
    }

    pub(super) fn api_list_routes(&self, query: &PageQuery) -> Answer<Page<Provisioned<Route>>> {
        let routes = self.routes.iter().rev().map(view);
        page::page(query, routes, |route| Turn(route.item.order, route.item.name.clone()))
    }

    pub(super) fn api_route(&self, name: &str) -> Answer<Provisioned<Route>> {
        self.rule(name).map(view)
    }

    fn rule(&self, name: &str) -> Answer<&Rule> {
        let found = self.routes.iter().find(|rule| rule.route().name == name);
        found.ok_or_else(|| no_such("route", name))
    }

    pub(super) fn api_create_route(&mut self, route: Route, reply: Reply<Provisioned<Route>>) {
        match self.may_create(&route).and_then(|()| self.checked(route)) {
            Ok(rule) => self.keep_route(rule, reply),
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_create(&self, route: &Route) -> Answer<()> {
        if self.rule(&route.name).is_ok() {
            let detail = format!("there is a route {}; PUT replaces it", route.name);
            return Err(conflict("route_name_taken", detail));
        }
        if self.routes.len() + self.changes_under_way(DocumentKind::Route) >= MAX_ROUTES {
            let detail = format!("there are {MAX_ROUTES} routes, as many as there may be");
            return Err(conflict("too_many_routes", detail));
        }
        Ok(())
    }

    pub(super) fn api_replace_route(
        &mut self,
        (name, condition): (String, &IfMatch),
        body: ReplaceRoute,
        reply: Reply<Provisioned<Route>>,
    ) {
        let may = self.may_change_route(&name, condition);
        match may.and_then(|()| self.checked(body.named(name))) {
            Ok(rule) => self.keep_route(rule, reply),
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(super) fn api_delete_route(&mut self, name: String, condition: &IfMatch, reply: Reply<()>) {
        match self.may_change_route(&name, condition) {
            Ok(()) => {
                let change = Change::Remove(DocumentKind::Route, name);
                self.store(change, Deed::Remove(Later::new(reply)));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    fn may_change_route(&self, name: &str, condition: &IfMatch) -> Answer<()> {
        let revision = self.rule(name)?.revision();
        may_change(("route", name), revision, condition)
    }

    fn keep_route(&mut self, rule: Rule, reply: Reply<Provisioned<Route>>) {
        let rule = rule.kept(self.next_revision());
        let change = Change::Put(Document {
            kind: DocumentKind::Route,
            name: rule.route().name.clone(),
            revision: rule.revision(),
            body: serde_json::to_string(rule.route()).unwrap_or_default(),
        });
        self.store(change, Deed::PutRoute(Box::new(rule), Later::new(reply)));
    }

    /// A route that is stored.
    pub(super) fn put_route(&mut self, rule: Rule) -> Provisioned<Route> {
        let view = view(&rule);
        self.remove_route(&rule.route().name);
        self.routes.push(rule);
        self.sort_routes();
        view
    }

    /// A route that the store has no more.
    pub(super) fn remove_route(&mut self, name: &str) {
        self.routes.retain(|rule| rule.route().name != name);
    }

    /// A route whose fields can be, and whose trunks there are.
    fn checked(&self, route: Route) -> Answer<Rule> {
        let rule = Rule::new(route).map_err(|fault| invalid(&fault.pointer, fault.detail))?;
        for (pointer, trunk) in rule.trunks() {
            if self.trunk_named(trunk).is_none() {
                return Err(invalid(&pointer, format!("expected a trunk there is, found {trunk}")));
            }
        }
        Ok(rule)
    }
}

fn view(rule: &Rule) -> Provisioned<Route> {
    let (item, revision) = (rule.route().clone(), rule.revision());
    Provisioned { item, source: source(revision), revision }
}

/// The user part of a URI, or the text itself: what routes look at.
fn named(pointer: &str, text: &str) -> Answer<String> {
    if !text.contains(':') {
        return Ok(text.to_owned());
    }
    let uri = Uri::parse(text.as_bytes()).ok();
    let name = uri.as_ref().and_then(user_or_number);
    name.ok_or_else(|| invalid(pointer, "expected a number, a name or a URI that has one"))
}

/// Whom a `sip:` or `tel:` URI names.
pub(super) fn user_or_number(uri: &Uri) -> Option<String> {
    if uri.is_sip() {
        return uri.user_plain().map(std::borrow::Cow::into_owned);
    }
    let number = uri.after_scheme().split(';').next()?;
    (uri.scheme() == crate::sip::uri::Scheme::Tel).then(|| number.to_owned())
}

/// A route's place in the list, which shows the highest of these first.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Turn(u32, String);

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (other.0, &other.1).cmp(&(self.0, &self.1))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Turn {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (order, name) = text.split_once('-').ok_or(())?;
        Ok(Self(order.parse().map_err(|_| ())?, name.to_owned()))
    }
}

/// Routes at once: each may cost every call two regular expressions.
pub const MAX_ROUTES: usize = 1000;

#[cfg(test)]
mod tests;
