//! Where the servers of a URI are: RFC 3263 §4, with DNS left to the caller.
//!
//! ```text
//!  sip:h ─▶ Services (NAPTR) ─▶ Servers (SRV), service by service ─▶ Addresses, all at once ─▶ Found
//!               └── none ─▶ SRV of each transport that we have ──┘          ▲
//!  with a transport ─▶ SRV of that transport ─── none ──────────────────────┤
//!  with a port ─────────────────────────────────────────────────────────────┘
//!  an address ─▶ Found
//! ```
//! What is found stands in the order in which it is tried; one after the other, as they fail (§4.3).

mod record;
mod weight;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng as _;

use super::layer::Destination;
use super::transport::Transport;
use super::uri::{Host, Scheme, Uri};

pub use record::{Answer, Naptr, Question, Srv};
use weight::by_weight;

/// What is wanted of a server.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The host of the URI, or its `maddr`: RFC 3263 calls it TARGET.
    pub host: Host,
    /// The port, if the URI has one: then there is neither NAPTR nor SRV.
    pub port: Option<u16>,
    /// As the URI says, or what is meant where it does not.
    pub transport: Transport,
    /// Whether it does.
    pub choice: Choice,
}

/// Who chooses the transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// The URI has.
    Made,
    /// DNS may, among those that we have.
    Open,
    /// DNS may, but it has to be TLS.
    Secure,
}

impl Wanted {
    /// What a request to this URI wants; `None` if we cannot go there.
    pub fn of_uri(uri: &Uri) -> Option<Self> {
        let transport = Transport::of_uri(uri)?;
        let choice = match (uri.param("transport"), uri.scheme()) {
            (Some(_), _) => Choice::Made,
            (None, Scheme::Sips) => Choice::Secure,
            (None, Scheme::Sip | Scheme::Tel | Scheme::Other) => Choice::Open,
        };
        let maddr = uri.param("maddr").and_then(|maddr| Host::parse(maddr.as_bytes()));
        let host = maddr.or_else(|| uri.host().cloned())?;
        Some(Self { host, port: uri.port(), transport, choice })
    }

    /// What has no server: what is asked for it has no answer.
    pub fn nobody() -> Self {
        let (host, port) = (Host::Name("".into()), Some(Transport::Udp.default_port()));
        Self { host, port, transport: Transport::Udp, choice: Choice::Made }
    }
}

/// What there is to choose from, and how much is taken.
#[derive(Clone, Debug)]
pub struct Reach {
    /// Transports that DNS may choose for a `sip` URI, that which we like best first.
    pub transports: Vec<Transport>,
    /// Destinations that are found at most, and hosts whose addresses are asked for.
    pub limit: usize,
}

/// The search for the servers of one URI.
#[derive(Debug)]
pub struct Locator {
    wanted: Wanted,
    reach: Reach,
    random: ChaCha12Rng,
    questions: VecDeque<Question>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for NAPTR.
    Services,
    /// Waits for SRV, or is about to ask for it.
    Servers {
        asked: Service,
        then: VecDeque<Service>,
        /// Whether DNS has said of one service that it is not to be had.
        denied: bool,
    },
    /// Waits for A and AAAA.
    Addresses(Vec<Slot>),
}

/// A way to be tried.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Service {
    name: String,
    leads_to: LeadsTo,
    transport: Transport,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum LeadsTo {
    Servers,
    Host,
}

/// A host and what is known of its addresses.
#[derive(Debug)]
struct Slot {
    host: String,
    port: u16,
    transport: Transport,
    /// `None` until it is answered.
    addresses: Option<Vec<IpAddr>>,
}

/// What is next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Ask DNS; answer with [`Locator::handle_answer`].
    Ask(Question),
    /// Nothing before an answer comes.
    Waiting,
    /// The servers, the first to be tried first; none: there are none.
    Found(Vec<Destination>),
}

impl Locator {
    /// Begins to search. The same `seed` makes the same choice among equals.
    pub fn new(wanted: Wanted, reach: Reach, seed: u64) -> Self {
        let random = ChaCha12Rng::seed_from_u64(seed);
        let state = State::Addresses(Vec::new());
        let mut locator = Self { wanted, reach, random, questions: VecDeque::new(), state };
        locator.begin();
        locator
    }

    fn begin(&mut self) {
        let Wanted { host, port, transport, choice } = &self.wanted;
        let (transport, port) = (*transport, *port);
        match (host, choice) {
            (Host::Address(address), _) => {
                let port = port.unwrap_or_else(|| transport.default_port());
                let addresses = Some(vec![*address]);
                let slot = Slot { host: String::new(), port, transport, addresses };
                self.state = State::Addresses(vec![slot]);
            }
            // Nobody publishes how browsers are reached.
            (Host::Name(_), _) if port.is_some() || transport.is_websocket() => self.ask_target(),
            (Host::Name(name), Choice::Made) => {
                let services = [server_of(name, transport)].into();
                self.ask_services(services, false);
            }
            (Host::Name(name), Choice::Open | Choice::Secure) => {
                self.questions.push_back(Question::Services(name.to_string()));
                self.state = State::Services;
            }
        }
    }

    /// Takes the answer to a question of [`Output::Ask`]. Call [`Self::poll_output`] until it waits or has found.
    pub fn handle_answer(&mut self, question: &Question, answer: Answer) {
        match (&mut self.state, question) {
            (State::Services, Question::Services(_)) => self.take_services(answer),
            (State::Servers { asked, then, denied }, Question::Servers(name))
                if asked.name == *name =>
            {
                let (transport, then, denied) = (asked.transport, std::mem::take(then), *denied);
                self.take_servers(transport, (then, denied), answer);
            }
            (State::Addresses(slots), Question::Addresses(host)) => {
                let found = if let Answer::Addresses(found) = answer { found } else { Vec::new() };
                for slot in slots.iter_mut().filter(|slot| slot.host == *host) {
                    slot.addresses.get_or_insert_with(|| found.clone());
                }
            }
            // An answer that comes twice, or late.
            (
                State::Services | State::Servers { .. } | State::Addresses(_),
                Question::Services(_) | Question::Servers(_) | Question::Addresses(_),
            ) => {}
        }
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Output {
        if let Some(question) = self.questions.pop_front() {
            return Output::Ask(question);
        }
        let State::Addresses(slots) = &self.state else { return Output::Waiting };
        if slots.iter().any(|slot| slot.addresses.is_none()) {
            return Output::Waiting;
        }
        let mut found = Vec::new();
        for slot in slots {
            for address in slot.addresses.iter().flatten() {
                let peer = SocketAddr::new(*address, slot.port);
                let to = Destination { transport: slot.transport, peer };
                if !found.contains(&to) {
                    found.push(to);
                }
            }
        }
        found.truncate(self.reach.limit);
        Output::Found(found)
    }

    /// RFC 3263 §4.1: of the services that we speak, by order and preference; without any, those of each transport.
    fn take_services(&mut self, answer: Answer) {
        let mut records = if let Answer::Services(records) = answer { records } else { Vec::new() };
        records.sort_by_key(|record| (record.order, record.preference));
        let transports = self.transports();
        let services = records.iter().filter_map(Service::of_record);
        let services = services.filter(|service| transports.contains(&service.transport));
        let mut services: VecDeque<_> = services.take(self.reach.limit).collect();
        if services.is_empty() {
            let name = self.wanted.host.to_string();
            services = transports.iter().map(|transport| server_of(&name, *transport)).collect();
        }
        self.ask_services(services, false);
    }

    /// RFC 2782: by priority and weight. A single target of `.` says that there is no such service.
    fn take_servers(
        &mut self,
        transport: Transport,
        (then, denied): (VecDeque<Service>, bool),
        answer: Answer,
    ) {
        let records = match answer {
            Answer::Servers(records) => records,
            // Who is silent here will be silent to the rest.
            Answer::Silence => return self.ask_services(VecDeque::new(), denied),
            Answer::Nothing | Answer::Services(_) | Answer::Addresses(_) => Vec::new(),
        };
        let has_records = !records.is_empty();
        let usable = records.into_iter().filter(|record| !record.target.is_empty());
        let usable =
            by_weight(usable.filter(|record| record.target != ".").collect(), &mut self.random);
        if usable.is_empty() {
            return self.ask_services(then, denied || has_records);
        }
        let hosts = usable.into_iter().take(self.reach.limit);
        let slots = hosts.map(|Srv { port, target, .. }| Slot {
            host: target,
            port,
            transport,
            addresses: None,
        });
        self.ask_hosts(slots.collect());
    }

    /// Asks for the servers of the next service; after the last for the addresses of the target itself.
    fn ask_services(&mut self, mut services: VecDeque<Service>, denied: bool) {
        match services.pop_front() {
            Some(asked) if asked.leads_to == LeadsTo::Servers => {
                self.questions.push_back(Question::Servers(asked.name.clone()));
                self.state = State::Servers { asked, then: services, denied };
            }
            Some(Service { name: host, transport, .. }) => {
                let port = transport.default_port();
                self.ask_hosts(vec![Slot { host, port, transport, addresses: None }]);
            }
            None if denied => self.state = State::Addresses(Vec::new()),
            None => self.ask_target(),
        }
    }

    fn ask_target(&mut self) {
        let transport = match self.wanted.choice {
            Choice::Open => self.reach.transports.first().copied(),
            Choice::Made | Choice::Secure => None,
        };
        let transport = transport.filter(|_| self.wanted.port.is_none());
        let transport = transport.unwrap_or(self.wanted.transport);
        let port = self.wanted.port.unwrap_or_else(|| transport.default_port());
        let host = self.wanted.host.to_string();
        self.ask_hosts(vec![Slot { host, port, transport, addresses: None }]);
    }

    fn ask_hosts(&mut self, slots: Vec<Slot>) {
        for slot in &slots {
            let question = Question::Addresses(slot.host.clone());
            if !self.questions.contains(&question) {
                self.questions.push_back(question);
            }
        }
        self.state = State::Addresses(slots);
    }

    /// What a service may be reached by, best first.
    fn transports(&self) -> Vec<Transport> {
        match self.wanted.choice {
            Choice::Open => self.reach.transports.clone(),
            Choice::Secure => vec![Transport::Tls],
            Choice::Made => vec![self.wanted.transport],
        }
    }
}

impl Service {
    /// `None` for what is no SIP service, or leads elsewhere by rules (RFC 3263 §4.1: no regular expressions).
    fn of_record(record: &Naptr) -> Option<Self> {
        let services = [
            ("SIP+D2U", Transport::Udp),
            ("SIP+D2T", Transport::Tcp),
            ("SIPS+D2T", Transport::Tls),
        ];
        let known = services.iter().find(|(name, _)| record.service.eq_ignore_ascii_case(name));
        let leads_to = match record.flags.as_str() {
            "s" | "S" => LeadsTo::Servers,
            "a" | "A" => LeadsTo::Host,
            _ => return None,
        };
        let name = record.replacement.clone();
        let is_name = !matches!(name.as_str(), "" | ".");
        known.filter(|_| is_name).map(|&(_, transport)| Self { name, leads_to, transport })
    }
}

/// The service of a transport by its usual name (RFC 3263 §4.1).
fn server_of(domain: &str, transport: Transport) -> Service {
    let service = match transport {
        Transport::Udp => "_sip._udp",
        Transport::Tcp | Transport::Ws => "_sip._tcp",
        Transport::Tls | Transport::Wss => "_sips._tcp",
    };
    let name = format!("{service}.{domain}");
    Service { name, leads_to: LeadsTo::Servers, transport }
}

#[cfg(test)]
mod tests;
