//! Whether a trunk is there: its registration and its gateways.

use std::time::Duration;

use rand_core::Rng as _;

use super::{Bridge, Reach, Stand, Trunk};
use crate::bridge::Timer;
use crate::sip::endpoint::{Query, QueryId, Target};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::{Message, Method, StatusCode, Uri};

impl Bridge {
    /// Registers with a trunk that wants it, or again.
    pub(in crate::bridge) fn register_trunk(&mut self, index: usize) {
        let Some(trunk) = self.trunks.get_mut(&index) else { return };
        if trunk.registration.stand == Stand::Off || trunk.registration.asking.is_some() {
            return;
        }
        let query = trunk.register_query();
        trunk.registration.asking = Some(self.endpoint.ask(self.now, query));
    }

    /// Takes our registration with a trunk back. Nobody waits for the answer.
    pub(super) fn unregister(&mut self, mut trunk: Trunk) {
        if trunk.registration.stand == Stand::Off {
            return;
        }
        let mut query = trunk.register_query();
        query.headers = vec![(Name::Expires.to_string(), "0".to_owned())];
        self.endpoint.ask(self.now, query);
    }

    /// Asks every gateway of a trunk for a sign of life.
    pub(in crate::bridge) fn check_trunk(&mut self, index: usize) {
        let now = self.now;
        let Some(trunk) = self.trunks.get_mut(&index) else { return };
        let check = trunk.settings.check;
        if check.is_zero() {
            return;
        }
        for at in 0..trunk.gateways.len() {
            if trunk.gateways[at].asking.is_none() {
                let query = trunk.options_query(at);
                trunk.gateways[at].asking = Some((self.endpoint.ask(now, query), now));
            }
        }
        self.set_timer(check, Timer::TrunkCheck(index));
    }

    /// What a request of ours outside of calls came to.
    pub(in crate::bridge) fn query_answered(
        &mut self,
        query: QueryId,
        status: StatusCode,
        response: Option<&Message>,
    ) {
        let asks = |trunk: &Trunk| {
            let by_gateway = |own: Option<(QueryId, _)>| own.is_some_and(|(own, _)| own == query);
            trunk.registration.asking == Some(query)
                || trunk.gateways.iter().any(|gateway| by_gateway(gateway.asking))
        };
        let Some(index) = self.trunk_where(asks) else { return };
        let Some(trunk) = self.trunks.get_mut(&index) else { return };
        if let (Some(peer), Some(_)) = (self.heard_from, response) {
            trunk.learn(self.now, peer);
        }
        if trunk.registration.asking == Some(query) {
            self.trunk_registered(index, status, response);
        } else {
            trunk.checked(self.now, query, status);
        }
        self.tell_trunk(index);
    }

    fn trunk_registered(&mut self, index: usize, status: StatusCode, response: Option<&Message>) {
        let (now, dice) = (self.now, self.dice.next_u32());
        let Some(trunk) = self.trunks.get_mut(&index) else { return };
        let registration = &mut trunk.registration;
        registration.asking = None;
        if let Some(cseq) = response.and_then(|response| response.headers.cseq().ok()) {
            // Answers to challenges have been counted too.
            registration.sequence = registration.sequence.max(cseq.number);
        }
        let after = if status.is_success() {
            let lasts = granted(response).unwrap_or(registration.expires).max(SHORTEST);
            registration.failures = 0;
            registration.stand = Stand::Until(now + lasts);
            // Between three and four fifths of it, so that many trunks do not register at once.
            lasts * (600 + dice % 200) / 1000
        } else if status == StatusCode::INTERVAL_TOO_BRIEF
            && let Some(min) = response.and_then(min_expires)
            && min > registration.expires
        {
            registration.expires = min.min(LONGEST);
            Duration::ZERO
        } else {
            registration.stand = Stand::Refused(status.code());
            let tries = registration.failures.min(6);
            registration.failures += 1;
            // RFC 5626 §4.5: twice as long each time, half of it by chance.
            (RETRY * 2_u32.pow(tries)).min(LONGEST_RETRY) * (500 + dice % 500) / 1000
        };
        self.set_timer(after, Timer::TrunkRegister(index));
    }
}

impl Trunk {
    /// To the gateway whose turn it is: after a failure the next one.
    fn register_query(&mut self) -> Query {
        let turn = usize::try_from(self.registration.failures).unwrap_or(0) % self.gateways.len();
        let gateway = &self.gateways[turn].uri;
        let us = NameAddr::new(self.identity(gateway));
        self.registration.sequence += 1;
        let expires = self.registration.expires.as_secs().to_string();
        Query {
            method: Method::Register,
            target: Target::from(gateway.clone()),
            from: us.clone(),
            to: us,
            call: Some((self.registration.call_id.clone(), self.registration.sequence)),
            contact: self.settings.account.as_ref().map(|account| account.username.clone()),
            headers: vec![(Name::Expires.to_string(), expires)],
            body: None,
            account: self.settings.account.clone(),
        }
    }

    fn options_query(&self, at: usize) -> Query {
        let gateway = &self.gateways[at].uri;
        Query {
            method: Method::Options,
            target: Target::from(gateway.clone()),
            from: NameAddr::new(self.identity(gateway)),
            to: NameAddr::new(gateway.clone()),
            call: None,
            contact: None,
            headers: Vec::new(),
            body: None,
            account: None,
        }
    }

    /// Whom this trunk knows us as.
    fn identity(&self, gateway: &Uri) -> Uri {
        let user = self.settings.account.as_ref().map(|account| account.username.as_str());
        match (gateway.host(), &self.settings.from) {
            (Some(host), _) => Uri::sip(user, host, None),
            (None, from) => from.clone().unwrap_or_else(|| gateway.clone()),
        }
    }

    /// Whoever answers is there, a refusal of OPTIONS included.
    fn checked(&mut self, now: std::time::Instant, query: QueryId, status: StatusCode) {
        for gateway in &mut self.gateways {
            let Some((_, since)) = gateway.asking.filter(|(own, _)| *own == query) else {
                continue;
            };
            gateway.asking = None;
            let is_there = !matches!(status.code(), 408 | 503);
            gateway.reach = if is_there { Reach::Yes } else { Reach::No(status.code()) };
            gateway.round_trip = is_there.then(|| now.saturating_duration_since(since));
        }
    }
}

/// How long a registrar says that we are registered: of the one Contact that we gave, else of the response.
fn granted(response: Option<&Message>) -> Option<Duration> {
    let headers = &response?.headers;
    let mut contacts = headers.addresses(&Name::Contact).filter_map(Result::ok);
    let contact = contacts.next().filter(|_| contacts.next().is_none());
    let own = contact.and_then(|contact| contact.params.value("expires")?.parse().ok());
    own.or_else(|| seconds(headers.first(&Name::Expires)?)).map(Duration::from_secs)
}

fn min_expires(response: &Message) -> Option<Duration> {
    seconds(response.headers.first(&Name::MinExpires)?).map(Duration::from_secs)
}

fn seconds(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse::<u32>().ok().map(u64::from)
}

/// A registrar that grants less would be asked without end.
const SHORTEST: Duration = Duration::from_secs(20);
/// The longest that a Min-Expires may demand.
const LONGEST: Duration = Duration::from_hours(24);
/// After the first failure to register; then twice as long each time, up to the other.
const RETRY: Duration = Duration::from_secs(30);
const LONGEST_RETRY: Duration = Duration::from_mins(30);
