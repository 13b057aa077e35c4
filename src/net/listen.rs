//! Listening sockets.
//!
//! One on an address of IPv6 takes IPv6 alone, whatever the system's default is: so `0.0.0.0` and `[::]` can be
//! listened on side by side, and a peer has one address, not a second one of IPv4 inside IPv6.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use tokio::net::{TcpListener, UdpSocket};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A datagram socket at this address.
///
/// # Errors
/// As the operating system says.
pub(super) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address, SocketType::DGRAM)?;
    bind(&socket, &address)?;
    UdpSocket::from_std(socket.into())
}

/// A listener at this address, also while connections of a former one linger.
///
/// # Errors
/// As the operating system says.
pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, SocketType::STREAM)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn open(address: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, kind, flags, None)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    Ok(socket)
}
