//! Tokio sockets for SIP: bytes in, bytes out; nothing here understands a message beyond where it ends, but for the log.

mod accept;
mod connection;
mod gate;
mod hep;
mod listen;
mod resolve;
mod route;
mod seats;
mod stream;
mod tls;
mod trace;
mod udp;
mod websocket;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sip::Limits;
use crate::sip::endpoint::{Packet, Transmit};
use crate::sip::transport::{Refusal, Transport};

use accept::Acceptor;
use connection::{Connection, Context, Key};
use seats::Seats;
use trace::Direction;

pub use hep::Collector;
pub use resolve::{Family, Resolver, ResolverOptions};
pub use route::RoutingTable;
pub(crate) use tls::roots_only;
pub use tls::{Files, Tls};

/// What the sockets report.
#[derive(Debug)]
pub enum Event {
    /// A datagram, or one whole message of a stream.
    Packet(Packet),
    /// Nothing can be sent to this peer.
    Failed(Transport, SocketAddr),
    /// A connection was not taken, or not kept.
    Refused(Transport, Refusal),
    /// A connection is up that a peer opened.
    Connected(Key, Connection),
    /// A connection is gone.
    Closed(Key, u64),
}

/// What the sockets may be told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// UDP listeners.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners.
    pub tls: Vec<SocketAddr>,
    /// WebSocket listeners.
    pub ws: Vec<SocketAddr>,
    /// Listeners for WebSockets inside TLS.
    pub wss: Vec<SocketAddr>,
    /// Certificates.
    pub files: Files,
    /// Pages that may open a WebSocket: origins, `*` for all, `self` for those of the host that is asked.
    pub origins: Vec<String>,
    /// Limits on a message of a connection.
    pub message: Limits,
    /// Connections at once; a further one is closed at once.
    pub connections: usize,
    /// Those of them that one network may have.
    pub connections_per_source: usize,
    /// How long a silent connection stays.
    pub idle: Duration,
    /// How long opening a connection may take.
    pub connect: Duration,
    /// How long TLS may take before SIP, and the request for a WebSocket.
    pub handshake: Duration,
    /// How long a message on a stream may take from its first octet to its last.
    pub message_time: Duration,
    /// How often the far side of a WebSocket is asked for a sign of life.
    pub ping: Duration,
    /// Packets that may wait for the bridge; further datagrams are dropped (SIP sends them again), streams are not read.
    pub queue: usize,
}

/// All SIP sockets.
#[derive(Debug)]
pub struct Net {
    context: Context,
    udp: Vec<Arc<UdpSocket>>,
    streams: Vec<(Transport, SocketAddr)>,
    connections: BTreeMap<Key, Connection>,
    tasks: JoinSet<()>,
    opened: u64,
}

impl Net {
    /// Binds every listener and starts to read.
    ///
    /// # Errors
    /// The first address that cannot be bound or certificate that cannot be used, with the reason.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(options: Options) -> io::Result<(Self, mpsc::Receiver<Event>)> {
        let options = Arc::new(options);
        let (events, received) = mpsc::channel(options.queue);
        let tls = Tls::load(options.files.clone())?;
        let mut net = Self {
            context: Context { events, options: Arc::clone(&options), tls },
            udp: Vec::new(),
            streams: Vec::new(),
            connections: BTreeMap::new(),
            tasks: JoinSet::new(),
            opened: 0,
        };
        for address in &options.udp {
            let socket = listen::udp(*address).map_err(|e| named(&e, "UDP", *address))?;
            let socket = Arc::new(socket);
            let local = socket.local_addr()?;
            net.tasks.spawn(udp::read(Arc::clone(&socket), local, net.context.events.clone()));
            net.udp.push(socket);
        }
        let seats = Seats::new(options.connections, options.connections_per_source);
        for (transport, addresses) in [
            (Transport::Tcp, &options.tcp),
            (Transport::Tls, &options.tls),
            (Transport::Ws, &options.ws),
            (Transport::Wss, &options.wss),
        ] {
            let acceptor =
                Acceptor { transport, seats: seats.clone(), context: net.context.clone() };
            for address in addresses {
                let listener = listen::tcp(*address)
                    .map_err(|error| named(&error, transport.as_str(), *address))?;
                net.streams.push((transport, listener.local_addr()?));
                net.tasks.spawn(acceptor.clone().run(listener));
            }
        }
        Ok((net, received))
    }

    /// Where UDP is really bound (port 0 has become a number).
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Where listeners for connections are really bound.
    pub fn stream_addresses(&self) -> &[(Transport, SocketAddr)] {
        &self.streams
    }

    /// The certificates, to have them read again.
    pub fn tls(&self) -> &Tls {
        &self.context.tls
    }

    /// Keeps the table of connections; gives what the bridge should know.
    pub fn handle_event(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Connected(key, connection) => {
                self.connections.insert(key, connection);
                None
            }
            Event::Closed(key, id) => {
                if self.connections.get(&key).is_none_or(|connection| connection.id != id) {
                    return None;
                }
                self.connections.remove(&key);
                Some(Event::Closed(key, id))
            }
            Event::Packet(ref packet) => {
                let from = (packet.transport, packet.peer);
                trace::message(
                    Direction::Received,
                    from,
                    &packet.bytes,
                    &self.context.options.message,
                );
                Some(event)
            }
            Event::Failed(..) | Event::Refused(..) => Some(event),
        }
    }

    /// Sends without waiting; what cannot be sent is told by [`Event::Failed`] or, on UDP, sent again by SIP.
    pub fn send(&mut self, transmit: Transmit) {
        let to = (transmit.transport, transmit.peer);
        trace::message(Direction::Sent, to, &transmit.bytes, &self.context.options.message);
        match transmit.transport {
            Transport::Udp => self.send_datagram(&transmit),
            Transport::Tcp | Transport::Tls | Transport::Ws | Transport::Wss => {
                self.send_stream(transmit);
            }
        }
    }

    fn send_datagram(&self, transmit: &Transmit) {
        let same_family = |socket: &&Arc<UdpSocket>| {
            socket.local_addr().is_ok_and(|local| local.is_ipv4() == transmit.peer.is_ipv4())
        };
        let sent = match self.udp.iter().find(same_family) {
            Some(socket) => socket.try_send_to(&transmit.bytes, transmit.peer),
            None => Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        match sent {
            Ok(_) => {}
            // A full socket buffer is a lost datagram: the transaction sends it again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::debug!(peer = %transmit.peer, %error, "datagram not sent");
                self.fail(Transport::Udp, transmit.peer);
            }
        }
    }

    fn send_stream(&mut self, transmit: Transmit) {
        let Transmit { transport, peer, domain, bytes } = transmit;
        let bytes = match self.standing(transport, peer, domain.as_deref()) {
            Some(connection) => match connection.send(bytes) {
                Ok(()) => return,
                Err(bytes) => bytes,
            },
            None => bytes,
        };
        let may_open = match transport {
            Transport::Tcp => true,
            Transport::Tls => domain.is_some(),
            Transport::Udp | Transport::Ws | Transport::Wss => false,
        };
        if !may_open || self.connections.len() >= self.context.options.connections {
            return self.fail(transport, peer);
        }
        self.opened += 1;
        let key = (transport, peer, domain);
        let (connection, writes) = Connection::new(self.opened);
        drop(connection.send(bytes)); // a new queue has room
        self.connections.insert(key.clone(), connection);
        self.tasks.spawn(connection::open(key, self.opened, writes, self.context.clone()));
    }

    /// A connection that leads there (RFC 5923): who was asked for a domain's certificate has shown it, unless the domain
    /// is the very address that a peer has connected from.
    fn standing(
        &self,
        transport: Transport,
        peer: SocketAddr,
        domain: Option<&str>,
    ) -> Option<&Connection> {
        let Some(domain) = domain else {
            let from = (transport, peer, None);
            let next = self.connections.range(from..).next();
            return next
                .filter(|(key, _)| (key.0, key.1) == (transport, peer))
                .map(|(_, found)| found);
        };
        let proven = self.connections.get(&(transport, peer, Some(domain.to_owned())));
        let is_address = || domain.parse() == Ok(peer.ip());
        proven.or_else(|| self.connections.get(&(transport, peer, None)).filter(|_| is_address()))
    }

    /// The queue may be full: then the transaction's own timer finds out.
    fn fail(&self, transport: Transport, peer: SocketAddr) {
        drop(self.context.events.try_send(Event::Failed(transport, peer)));
    }
}

fn named(error: &io::Error, transport: &str, address: SocketAddr) -> io::Error {
    let hints = [
        (
            io::ErrorKind::AddrInUse,
            ": another program listens there, stop it or choose another port",
        ),
        (io::ErrorKind::PermissionDenied, ": ports below 1024 need CAP_NET_BIND_SERVICE"),
        (io::ErrorKind::AddrNotAvailable, ": this machine has no such address"),
    ];
    let hint = hints.iter().find(|(kind, _)| *kind == error.kind()).map_or("", |(_, hint)| hint);
    io::Error::new(error.kind(), format!("SIP over {transport} on {address}: {error}{hint}"))
}
