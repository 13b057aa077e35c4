//! The way to a collector of HEP3: datagrams that are sent at once or not at all.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use tokio::net::UdpSocket;

/// Where copies of SIP messages go.
#[derive(Debug)]
pub struct Collector {
    socket: UdpSocket,
}

impl Collector {
    /// Takes a port of its own towards `collector`.
    ///
    /// # Errors
    /// If there is no way there.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn connect(collector: SocketAddr) -> io::Result<Self> {
        let any: IpAddr = match collector {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.connect(collector)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)? })
    }

    /// False if it was not sent: the socket's buffer is full.
    pub fn send(&self, packet: &Bytes) -> bool {
        // The first error may be that nobody took an earlier one (ICMP): that says nothing of this one.
        self.socket.try_send(packet).or_else(|_| self.socket.try_send(packet)).is_ok()
    }
}
