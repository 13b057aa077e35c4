//! Tokio sockets for SIP: bytes in, bytes out; nothing here understands a message beyond where it ends, but for the log.

mod listen;
mod route;
mod tcp;
mod trace;
mod udp;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::sip::Limits;
use crate::sip::endpoint::{Packet, Transmit};
use crate::sip::transport::Transport;

pub use route::RoutingTable;
use tcp::Connection;
use trace::Direction;

/// What the sockets report.
#[derive(Debug)]
pub enum Event {
    /// A datagram, or one whole message of a stream.
    Packet(Packet),
    /// Nothing can be sent to this peer.
    Failed(Transport, SocketAddr),
    /// A stream is up, opened by either side.
    Connected(SocketAddr, Connection),
    /// A stream is gone.
    Closed(SocketAddr, u64),
}

/// What the sockets may be told at start.
#[derive(Clone, Debug)]
pub struct Options {
    /// UDP listeners.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners.
    pub tcp: Vec<SocketAddr>,
    /// Limits on a message of a stream.
    pub message: Limits,
    /// TCP connections at once; a further one is closed at once.
    pub connections: usize,
    /// How long a silent connection stays.
    pub idle: std::time::Duration,
    /// How long opening a connection may take.
    pub connect: std::time::Duration,
    /// Packets that may wait for the bridge; further datagrams are dropped (SIP sends them again), streams are not read.
    pub queue: usize,
}

/// All SIP sockets.
#[derive(Debug)]
pub struct Net {
    options: Arc<Options>,
    udp: Vec<Arc<UdpSocket>>,
    tcp: Vec<SocketAddr>,
    connections: BTreeMap<SocketAddr, Connection>,
    events: mpsc::Sender<Event>,
    tasks: JoinSet<()>,
    opened: u64,
}

impl Net {
    /// Binds every listener and starts to read.
    ///
    /// # Errors
    /// The first address that cannot be bound, with the reason.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(options: Options) -> io::Result<(Self, mpsc::Receiver<Event>)> {
        let options = Arc::new(options);
        let (events, received) = mpsc::channel(options.queue);
        let mut net = Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            connections: BTreeMap::new(),
            events,
            tasks: JoinSet::new(),
            opened: 0,
            options: Arc::clone(&options),
        };
        for address in &options.udp {
            let socket = listen::udp(*address).map_err(|e| named(&e, "UDP", *address))?;
            let socket = Arc::new(socket);
            let local = socket.local_addr()?;
            net.tasks.spawn(udp::read(Arc::clone(&socket), local, net.events.clone()));
            net.udp.push(socket);
        }
        for address in &options.tcp {
            let listener = listen::tcp(*address).map_err(|e| named(&e, "TCP", *address))?;
            net.tcp.push(listener.local_addr()?);
            net.tasks.spawn(tcp::accept(listener, net.events.clone(), Arc::clone(&options)));
        }
        Ok((net, received))
    }

    /// Where UDP is really bound (port 0 has become a number).
    pub fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }

    /// Where TCP is really bound.
    pub fn tcp_addresses(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Keeps the table of connections; gives what the bridge should know.
    pub fn handle_event(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Connected(peer, connection) => {
                self.connections.insert(peer, connection);
                None
            }
            Event::Closed(peer, id) => {
                if self.connections.get(&peer).is_some_and(|connection| connection.id == id) {
                    self.connections.remove(&peer);
                }
                None
            }
            Event::Packet(ref packet) => {
                let from = (packet.transport, packet.peer);
                trace::message(Direction::Received, from, &packet.bytes, &self.options.message);
                Some(event)
            }
            Event::Failed(..) => Some(event),
        }
    }

    /// Sends without waiting; what cannot be sent is told by [`Event::Failed`] or, on UDP, sent again by SIP.
    pub fn send(&mut self, transmit: Transmit) {
        let to = (transmit.transport, transmit.peer);
        trace::message(Direction::Sent, to, &transmit.bytes, &self.options.message);
        match transmit.transport {
            Transport::Udp => self.send_datagram(&transmit),
            Transport::Tcp => self.send_stream(transmit),
            Transport::Tls | Transport::Ws | Transport::Wss => {
                self.fail(transmit.transport, transmit.peer);
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
        let peer = transmit.peer;
        let bytes = match self.connections.get(&peer) {
            Some(connection) => match connection.send(transmit.bytes) {
                Ok(()) => return,
                Err(bytes) => bytes,
            },
            None => transmit.bytes,
        };
        if self.connections.len() >= self.options.connections {
            return self.fail(Transport::Tcp, peer);
        }
        self.opened += 1;
        let (connection, writes) = Connection::outgoing(self.opened);
        drop(connection.send(bytes)); // a new queue has room
        self.connections.insert(peer, connection.clone());
        let task =
            tcp::open(peer, connection, writes, self.events.clone(), Arc::clone(&self.options));
        self.tasks.spawn(task);
    }

    /// The queue may be full: then the transaction's own timer finds out.
    fn fail(&self, transport: Transport, peer: SocketAddr) {
        drop(self.events.try_send(Event::Failed(transport, peer)));
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
