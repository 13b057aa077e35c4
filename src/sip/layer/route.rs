//! Where messages go: RFC 3261 §8.1.2, §18.1, §18.2.2 and RFC 3263, with the look-up left to the caller.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use bytes::Bytes;

use super::client::{Client, Failure, SentAck};
use super::flow::{Flow, Nat};
use super::{Layer, RequestId};
use crate::sip::dialog::Identity;
use crate::sip::endpoint::{Output, Packet, Resolve, ResolveId, Transmit};
use crate::sip::headers::{Name, NameAddr, Via};
use crate::sip::locate::{self, Answer, Choice, Locator, Question, Wanted};
use crate::sip::message::Start;
use crate::sip::transaction::Reliability;
use crate::sip::transport::Transport;
use crate::sip::uri::Scheme;
use crate::sip::{Host, Message, Uri};

/// Where a message goes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Destination {
    /// How.
    pub transport: Transport,
    /// To whom.
    pub peer: SocketAddr,
}

/// How a message came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::sip) struct Source {
    pub(in crate::sip) transport: Transport,
    pub(in crate::sip) peer: SocketAddr,
    pub(in crate::sip) local: SocketAddr,
}

/// One way to try a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Hop {
    /// As the URI says; over TCP if the request is too large for a datagram.
    Preferred(Destination),
    /// In a datagram whatever its size, because TCP failed.
    OverUdp(SocketAddr),
    /// To the next hop, because the flow that was to lead there is gone.
    AsRouted,
}

/// The servers of a name are being looked up.
#[derive(Debug)]
pub(super) struct Lookup {
    locator: Locator,
    /// Whom the dialog was last heard from: it is asked again if it is one of them.
    heard: Option<Destination>,
    waiting: Waiting,
}

/// What waits for a name.
#[derive(Debug)]
enum Waiting {
    Request(RequestId),
    Ack { request: RequestId, domain: String, tag: String, ack: Box<Message> },
}

/// The next hop of a request, before its name is looked up.
#[derive(Debug)]
pub(super) struct NextHop {
    pub(super) host: Host,
    pub(super) port: Option<u16>,
    pub(super) transport: Transport,
    pub(super) choice: Choice,
    /// Over TLS, whom its certificate must name: who was asked for, not what DNS made of it (RFC 5922 §7.2).
    pub(super) domain: String,
    /// True if a proxy wants to be on the way.
    pub(super) is_route: bool,
    /// True for a GRUU (RFC 5627 §3.1): it names a phone, and its domain is that of who knows where the phone is.
    pub(super) is_gruu: bool,
}

impl NextHop {
    pub(super) fn port(&self) -> u16 {
        self.port.unwrap_or_else(|| self.transport.default_port())
    }

    fn at(&self, address: IpAddr) -> Destination {
        Destination { transport: self.transport, peer: SocketAddr::new(address, self.port()) }
    }

    fn wanted(&self) -> Wanted {
        let Self { host, port, transport, choice, .. } = self;
        Wanted { host: host.clone(), port: *port, transport: *transport, choice: *choice }
    }
}

impl Destination {
    /// A message that no new connection is worth, unless it needs no certificate.
    pub(super) fn carry(self, bytes: Bytes) -> Transmit {
        Transmit { transport: self.transport, peer: self.peer, domain: None, bytes }
    }

    /// A message that a connection may be opened for, inside TLS to who has a certificate of this domain.
    pub(super) fn carry_to(self, domain: Option<String>, bytes: Bytes) -> Transmit {
        let domain = domain.filter(|_| self.transport == Transport::Tls);
        Transmit { domain, ..self.carry(bytes) }
    }

    pub(super) fn reliability(self) -> Reliability {
        reliability(self.transport)
    }
}

impl Source {
    pub(super) fn of(packet: &Packet) -> Self {
        Self { transport: packet.transport, peer: packet.peer, local: packet.local }
    }

    pub(super) fn destination(self) -> Destination {
        Destination { transport: self.transport, peer: self.peer }
    }
}

impl Transmit {
    pub(super) fn destination(&self) -> Destination {
        Destination { transport: self.transport, peer: self.peer }
    }
}

impl Layer {
    /// Finds the addresses of a request's next hop and tries the first, now or when it is resolved.
    pub(super) fn route_request(&mut self, now: Instant, id: RequestId) {
        let Some(hop) = self.request_sent(id).and_then(next_hop) else {
            return self.next_attempt(now, id, Failure::Unresolved);
        };
        let flow = self.take_flow(id);
        if let Some(to) = flow.and_then(|flow| flow.instead_of(&hop, self.nat())) {
            // No connection can be opened to a datagram's source, nor can its Contact be reached.
            let hops = match to.transport {
                Transport::Udp => VecDeque::from([Hop::OverUdp(to.peer)]),
                Transport::Tcp | Transport::Tls => {
                    VecDeque::from([Hop::Preferred(to), Hop::AsRouted])
                }
                Transport::Ws | Transport::Wss => VecDeque::from([Hop::Preferred(to)]),
            };
            self.set_way(id, hops, None);
            return self.next_attempt(now, id, Failure::Unresolved);
        }
        match &hop.host {
            Host::Address(address) => {
                let first = Hop::Preferred(hop.at(*address));
                self.set_way(id, VecDeque::from([first]), Some(hop.domain));
                self.next_attempt(now, id, Failure::Unresolved);
            }
            // RFC 7118 §5: it is at the end of a connection that it opened, or nowhere.
            Host::Name(_) if hop.transport.is_websocket() => {
                self.next_attempt(now, id, Failure::Unresolved);
            }
            Host::Name(_) => {
                let wanted = hop.wanted();
                self.set_way(id, VecDeque::new(), Some(hop.domain));
                let heard = flow.map(Flow::destination);
                self.look_up(wanted, heard, Waiting::Request(id));
            }
        }
    }

    /// Sends an ACK for a 2xx to its next hop, which need not be that of the INVITE.
    pub(super) fn route_ack(
        &mut self,
        id: RequestId,
        tag: String,
        ack: Message,
        flow: Option<Flow>,
    ) {
        let Some(hop) = next_hop(&ack) else { return };
        if let Some(to) = flow.and_then(|flow| flow.instead_of(&hop, self.nat())) {
            let detour = to.transport.is_reliable().then(|| Box::new(ack.clone()));
            return self.send_ack(id, tag, (ack, detour), (to, None));
        }
        match hop.host.clone() {
            Host::Address(address) => {
                let to = hop.at(address);
                self.send_ack(id, tag, (ack, None), (to, Some(hop.domain)));
            }
            Host::Name(_) => {
                let wanted = hop.wanted();
                let heard = flow.map(Flow::destination);
                let (domain, ack) = (hop.domain, Box::new(ack));
                let waiting = Waiting::Ack { request: id, domain, tag, ack };
                self.look_up(wanted, heard, waiting);
            }
        }
    }

    /// Goes on with what waits for a name.
    pub(in crate::sip) fn handle_resolved(
        &mut self,
        now: Instant,
        id: ResolveId,
        (question, answer): (&Question, Answer),
    ) {
        let Some(lookup) = self.lookups.get_mut(&id) else { return };
        lookup.locator.handle_answer(question, answer);
        if let Some(found) = self.ask(id)
            && let Some(lookup) = self.lookups.remove(&id)
        {
            self.end_look_up(now, lookup, found);
        }
    }

    /// Adds the Via of ours that a response comes back by.
    pub(super) fn add_via(&self, message: &mut Message, destination: Destination, branch: &str) {
        let sent_by = self.local_towards(destination);
        let via = Via::new(destination.transport.as_str(), sent_by, branch);
        message.headers.insert_first(Name::Via, via.to_string());
    }

    /// The Contact at which this peer reaches us: `sips` if `target` is and the way is (RFC 3261 §12.1.1).
    pub(super) fn contact(
        &self,
        destination: Destination,
        identity: &Identity,
        target: Option<&Uri>,
    ) -> String {
        let local = self.local_towards(destination);
        let Identity { user, is_focus } = identity;
        let user = if user.is_empty() { &self.settings.user } else { user };
        let user = Some(user.as_str()).filter(|user| !user.is_empty());
        let uri = Uri::sip(user, &Host::Address(local.ip()), Some(local.port()));
        let transport = destination.transport;
        let is_sips =
            transport.is_secure() && target.is_some_and(|uri| uri.scheme() == Scheme::Sips);
        let scheme = if is_sips { "sips" } else { "sip" };
        let parameter = match transport {
            Transport::Udp => "",
            Transport::Tcp => ";transport=tcp",
            Transport::Tls if is_sips => "",
            Transport::Tls => ";transport=tls",
            Transport::Ws | Transport::Wss => ";transport=ws",
        };
        let feature = if *is_focus { ";isfocus" } else { "" };
        format!("<{scheme}:{}{parameter}>{feature}", uri.after_scheme())
    }

    fn local_towards(&self, destination: Destination) -> SocketAddr {
        let ports = self.settings.ports(destination.transport);
        let local = self.local.towards(destination.peer.ip());
        SocketAddr::new(local, ports.of(local))
    }

    fn nat(&self) -> Nat {
        if self.settings.nat { Nat::Followed } else { Nat::Ignored }
    }

    fn send_ack(
        &mut self,
        id: RequestId,
        tag: String,
        (mut ack, detour): (Message, Option<Box<Message>>),
        (to, domain): (Destination, Option<String>),
    ) {
        let branch = format!("{}{}", super::key::COOKIE, self.new_tag());
        obey_strict_router(&mut ack);
        self.add_via(&mut ack, to, &branch);
        let transmit = to.carry_to(domain, ack.print());
        self.keep_ack(id, tag, SentAck { transmit: transmit.clone(), detour });
        self.transmit(transmit);
    }

    /// Begins to look for a name's servers, which no name has before DNS was asked.
    fn look_up(&mut self, wanted: Wanted, heard: Option<Destination>, waiting: Waiting) {
        let id = ResolveId(self.next_id());
        let locator = Locator::new(wanted, self.settings.reach(), self.random_u64());
        self.lookups.insert(id, Lookup { locator, heard, waiting });
        self.ask(id);
    }

    /// Asks what is to be asked; gives the servers once they are known.
    fn ask(&mut self, id: ResolveId) -> Option<Vec<Destination>> {
        let lookup = self.lookups.get_mut(&id)?;
        if lookup.waiting.is_gone(&self.clients) {
            return Some(Vec::new());
        }
        loop {
            match lookup.locator.poll_output() {
                locate::Output::Ask(question) => {
                    self.outputs.push_back(Output::Resolve(Resolve { id, question }));
                }
                locate::Output::Waiting => return None,
                locate::Output::Found(found) => return Some(found),
            }
        }
    }

    fn end_look_up(&mut self, now: Instant, lookup: Lookup, mut found: Vec<Destination>) {
        self.outages.sort(now, &mut found);
        if let Some(heard) = lookup.heard {
            found.sort_by_key(|to| *to != heard);
        }
        match lookup.waiting {
            Waiting::Request(request) => {
                self.set_hops(request, found.into_iter().map(Hop::Preferred).collect());
                self.next_attempt(now, request, Failure::Unresolved);
            }
            Waiting::Ack { request, domain, tag, ack } => {
                // The peer keeps resending its 2xx and then ends the call if no address is found.
                if let Some(to) = found.first() {
                    self.send_ack(request, tag, (*ack, None), (*to, Some(domain)));
                }
            }
        }
    }
}

impl Waiting {
    /// True if nobody cares any more: the request was cancelled before it was sent.
    fn is_gone(&self, clients: &BTreeMap<RequestId, Client>) -> bool {
        match self {
            Self::Request(request) => !clients.contains_key(request),
            Self::Ack { .. } => false,
        }
    }
}

/// RFC 3261 §8.1.2: the top Route if there is one, else the request-URI. `None` if we cannot go there.
fn next_hop(request: &Message) -> Option<NextHop> {
    let route = request.headers.addresses(&Name::Route).next();
    let uri = match &route {
        Some(route) => &route.as_ref().ok()?.uri,
        None => request.uri()?,
    };
    let Wanted { host, port, transport, choice } = Wanted::of_uri(uri)?;
    // RFC 3261 §8.1.2: a SIPS target is not sent to a route that is none.
    if request.uri()?.scheme() == Scheme::Sips && !transport.is_secure() {
        return None;
    }
    let domain = match uri.host()? {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => name.to_string(),
    };
    let is_route = route.is_some();
    let is_gruu = !is_route && uri.param("gr").is_some();
    Some(NextHop { host, port, transport, choice, domain, is_route, is_gruu })
}

/// RFC 3261 §12.2.1.1: a strict router wants itself in the request-URI, and the target as the last Route.
///
/// It is done when the next hop is known, which until then is the top Route (§8.1.2).
pub(super) fn obey_strict_router(request: &mut Message) {
    let routes: Result<Vec<_>, _> = request.headers.addresses(&Name::Route).collect();
    let Ok([first, rest @ ..]) = routes.as_deref() else { return };
    let Start::Request { uri, .. } = &mut request.start else { return };
    if first.uri.param("lr").is_some() {
        return;
    }
    let target = NameAddr::new(std::mem::replace(uri, first.uri.without_headers()));
    request.headers.remove(&Name::Route);
    for route in rest.iter().chain([&target]) {
        request.headers.push(Name::Route, route.to_string());
    }
}

pub(super) fn reliability(transport: Transport) -> Reliability {
    if transport.is_reliable() { Reliability::Reliable } else { Reliability::Unreliable }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Method;

    #[test]
    fn a_strict_router_becomes_the_target_and_the_target_the_last_route() {
        let cases: [(&[&str], &str, &[&str]); 4] = [
            (&[], "sip:bob@b", &[]),
            (&["<sip:p1;lr>, <sip:p2>"], "sip:bob@b", &["<sip:p1;lr>", "<sip:p2>"]),
            (&["<sip:p1>"], "sip:p1", &["<sip:bob@b>"]),
            (
                &["<sip:p1>, <sip:p2;lr>", "<sip:p3>"],
                "sip:p1",
                &["<sip:p2;lr>", "<sip:p3>", "<sip:bob@b>"],
            ),
        ];
        for (given, target, routes) in cases {
            let mut bye = Message::request(Method::Bye, Uri::parse(b"sip:bob@b").unwrap());
            for route in given {
                bye.headers.push(Name::Route, *route);
            }

            obey_strict_router(&mut bye);

            assert_eq!(bye.uri().unwrap().as_str(), target);
            let found = bye.headers.addresses(&Name::Route).map(|route| route.unwrap().to_string());
            assert_eq!(found.collect::<Vec<_>>(), routes);
        }
    }
}
