//! What an endpoint is told once, with every limit that keeps it bounded.

use std::net::IpAddr;
use std::time::Duration;

use crate::sip::Limits;
use crate::sip::locate::Reach;
use crate::sip::session::RELIABLE;
use crate::sip::transport::Transport;

/// Identity and limits of an endpoint.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `User-Agent` and `Server` value, such as `plenary/0.1.0`.
    pub product: String,
    /// UDP ports advertised in `Via` and `Contact`.
    pub udp_ports: Ports,
    /// TCP ports advertised in `Via` and `Contact`.
    pub tcp_ports: Ports,
    /// TLS ports advertised in `Via` and `Contact`.
    pub tls_ports: Ports,
    /// WebSocket ports advertised in `Via` and `Contact`.
    pub ws_ports: Ports,
    /// Ports of secure WebSockets advertised in `Via` and `Contact`.
    pub wss_ports: Ports,
    /// User part of our `Contact` where neither the request-URI nor `From` gives one; may be empty.
    pub user: String,
    /// Extensions that we offer in `Supported` and accept in `Require`, beside that of [`Self::prack`].
    pub supported: Vec<String>,
    /// Limits on what is parsed; a larger message is refused with 513.
    pub message: Limits,
    /// Largest request sent over UDP, in bytes; a larger one tries TCP first (RFC 3261 §18.1.1).
    pub datagram: usize,
    /// Transactions in each direction; above it new requests get 503.
    pub transactions: usize,
    /// Sessions in both directions; above it INVITE gets 503.
    pub sessions: usize,
    /// Implicit REFER subscriptions in both directions; above it REFER gets 503.
    pub refers: usize,
    /// Subscriptions that peers ask for; above it SUBSCRIBE gets 503.
    pub subscriptions: usize,
    /// Those of them that one address may hold.
    pub subscriptions_per_source: usize,
    /// The shortest time that a subscription may be asked for; a shorter one gets 423.
    pub subscribe_min: Duration,
    /// The longest that it gets, and what it gets that asks for none.
    pub subscribe_max: Duration,
    /// The time from one NOTIFY of a subscription to the next, at least.
    pub notify_interval: Duration,
    /// Octets that a MESSAGE may say; a longer one gets 413.
    pub text: usize,
    /// Dialogs that one of our INVITEs may fork into; responses from more branches are ignored.
    pub forks: usize,
    /// Redirections (3xx) that one of our invitations follows.
    pub redirects: usize,
    /// Transports that DNS may choose for a `sip` URI, that which we like best first (RFC 3263 §4.1).
    pub transports: Vec<Transport>,
    /// Servers of a name that are tried for one request (RFC 3263 §4.3).
    pub servers: usize,
    /// How long a server may say nothing at all before another one is asked, if there is one; timers B and F otherwise.
    pub silence: Duration,
    /// How long a server that failed is tried after those that did not; a 503 may ask for longer.
    pub down_time: Duration,
    /// How long a peer that no connection led to gets large requests in a datagram at once (RFC 3261 §18.1.1).
    pub udp_only_time: Duration,
    /// Whether a UDP peer is answered where its messages come from if its Contact is a private address
    /// (RFC 1918, 4193, 6598, loopback, link-local) other than that: it is behind a NAT.
    pub nat: bool,
    /// How long an invitation may ring, in either direction, before it is given up.
    pub ring: Duration,
    /// How long an implicit REFER subscription lasts (RFC 3515 §2.4.7).
    pub subscription: Duration,
    /// Whether provisional responses arrive for sure (RFC 3262).
    pub prack: Prack,
    /// How long a session stands without a refresh (RFC 4028), where the peer does not want it shorter.
    pub session_expires: Duration,
    /// The shortest such interval that is accepted; 90 s at least (RFC 4028 §4).
    pub min_se: Duration,
    /// `Retry-After` of a 503.
    pub retry_after: Duration,
}

/// Reliable provisional responses: RFC 3262.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Prack {
    /// None are asked for or sent; who requires them is refused.
    Off,
    /// Asked for; sent where the caller requires them, or takes them and there is a session description.
    Supported,
    /// Required of everybody.
    Required,
}

impl Settings {
    /// How servers are looked for.
    pub fn reach(&self) -> Reach {
        Reach { transports: self.transports.clone(), limit: self.servers }
    }

    /// All extensions that we offer in `Supported` and accept in `Require`.
    pub(in crate::sip) fn extensions(&self) -> Vec<&str> {
        let reliable = (self.prack != Prack::Off).then_some(RELIABLE);
        reliable.into_iter().chain(self.supported.iter().map(String::as_str)).collect()
    }
}

/// The port of one transport in each family of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ports {
    /// At our addresses of IPv4.
    pub v4: u16,
    /// At our addresses of IPv6.
    pub v6: u16,
}

impl Ports {
    /// The one that belongs to an address of ours.
    pub fn of(self, local: IpAddr) -> u16 {
        if local.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            product: concat!("plenary/", env!("CARGO_PKG_VERSION")).into(),
            udp_ports: Ports { v4: 5060, v6: 5060 },
            tcp_ports: Ports { v4: 5060, v6: 5060 },
            tls_ports: Ports { v4: 5061, v6: 5061 },
            ws_ports: Ports { v4: 80, v6: 80 },
            wss_ports: Ports { v4: 443, v6: 443 },
            user: "plenary".into(),
            supported: [
                "norefersub",
                "timer",
                "path",
                "outbound",
                "gruu",
                "replaces",
                "join",
                "tdialog",
            ]
            .map(String::from)
            .into(),
            message: Limits::default(),
            datagram: 1300,
            transactions: 20_000,
            sessions: 10_000,
            refers: 2_000,
            subscriptions: 2_000,
            text: 8_192,
            subscriptions_per_source: 500,
            subscribe_min: Duration::from_mins(1),
            subscribe_max: Duration::from_hours(1),
            notify_interval: Duration::from_millis(500),
            forks: 16,
            redirects: 5,
            transports: vec![Transport::Udp, Transport::Tcp],
            servers: 8,
            silence: Duration::from_secs(4),
            down_time: Duration::from_mins(1),
            udp_only_time: Duration::from_mins(10),
            nat: true,
            ring: Duration::from_mins(3),
            subscription: Duration::from_mins(3),
            prack: Prack::Supported,
            session_expires: Duration::from_mins(30),
            min_se: Duration::from_secs(90),
            retry_after: Duration::from_secs(10),
        }
    }
}

impl Settings {
    /// The ports of this transport.
    pub fn ports(&self, transport: Transport) -> Ports {
        match transport {
            Transport::Udp => self.udp_ports,
            Transport::Tcp => self.tcp_ports,
            Transport::Tls => self.tls_ports,
            Transport::Ws => self.ws_ports,
            Transport::Wss => self.wss_ports,
        }
    }
}

/// Tells which of our addresses a peer reaches us at.
pub trait LocalAddress {
    /// The address to advertise in `Via` and `Contact` towards `peer`.
    fn towards(&self, peer: IpAddr) -> IpAddr;
}

/// One address for everybody, for machines with a single interface and for tests.
impl LocalAddress for IpAddr {
    fn towards(&self, _peer: IpAddr) -> IpAddr {
        *self
    }
}
