//! UDP sockets for media: one cheap system call a packet, each way, or one for many sockets ([`super::ring`]).
//!
//! `recvmmsg` and `sendmmsg` save nothing here: every leg has a socket of its own, and the call that finds it
//! empty costs as much as the one that brings a packet. [`super::pace`] knows when to stop asking.
//!
//! Arrival times are the kernel's, because sockets are read once a tick. A socket whose far side is known is
//! connected: the kernel then skips the route look-up, some 0.5 of 2.7 µs a packet. Connected or not, every source
//! address is looked at by [`super::latch`].
//!
//! The calls go to the kernel without the C library, whose wrappers are cancellation points: that costs 3 % of a leg.
//!
//! `recvmsg` with control messages has no safe wrapper.
#![expect(unsafe_code, reason = "receiving with control messages has no safe wrapper")]

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant, SystemTime};

use rustix::io::Errno;
use rustix::net::{self, SendFlags, sockopt};

use super::ring::{ARRIVALS_MAX, Arrivals, Target};

/// One bound, non-blocking socket.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: UdpSocket,
    is_v6: bool,
    connected: Option<SocketAddr>,
}

impl Socket {
    /// Binds a local address; port 0 lets the kernel choose.
    ///
    /// # Errors
    /// The port is in use, the address is not ours, or descriptors ran out.
    pub(super) fn bind(local: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(local)?;
        socket.set_nonblocking(true)?;
        sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER)?;
        set_kernel_timestamps(&socket)?;
        let is_v6 = local.is_ipv6();
        // A host that forbids marking still carries the call.
        let _unmarked = if is_v6 {
            sockopt::set_ipv6_tclass(&socket, EXPEDITED.into())
        } else {
            sockopt::set_ip_tos(&socket, EXPEDITED)
        };
        Ok(Self { descriptor: socket, is_v6, connected: None })
    }

    /// Connects to `peer`, or dissolves the connection; a failure leaves the socket usable for any peer.
    pub(super) fn connect(&mut self, peer: Option<SocketAddr>) {
        if self.connected == peer {
            return;
        }
        let result = match peer {
            Some(peer) => net::connect(&self.descriptor, &self.own_family(peer)),
            None => net::connect_unspec(&self.descriptor),
        };
        self.connected = peer.filter(|_| result.is_ok());
    }

    /// Sends one datagram; never blocks.
    ///
    /// # Errors
    /// The send buffer is full, or the network refuses; the datagram is gone.
    pub(super) fn send(&self, to: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        match self.send_once(to, bytes) {
            // The error belongs to an earlier packet, and is cleared now.
            Err(Errno::CONNREFUSED) => self.send_once(to, bytes)?,
            result => result?,
        };
        Ok(())
    }

    /// The descriptor, for [`Inbox::expect`].
    pub(super) fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// As of `getsockname(2)`.
    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.descriptor.local_addr()
    }

    /// The descriptor, if a datagram to `to` needs no address.
    pub(super) fn connected_to(&self, to: SocketAddr) -> Option<RawFd> {
        (self.connected == Some(to)).then(|| self.descriptor.as_raw_fd())
    }

    fn send_once(&self, to: SocketAddr, bytes: &[u8]) -> Result<usize, Errno> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        if self.connected == Some(to) {
            net::send(&self.descriptor, bytes, flags)
        } else {
            net::sendto(&self.descriptor, bytes, flags, &self.own_family(to))
        }
    }

    /// Translates an address to the socket's family: IPv4 is mapped on an IPv6 socket.
    fn own_family(&self, address: SocketAddr) -> SocketAddr {
        match address {
            SocketAddr::V4(v4) if self.is_v6 => {
                SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port())
            }
            SocketAddr::V4(_) | SocketAddr::V6(_) => address,
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// One received datagram.
#[derive(Debug)]
pub(super) struct Datagram<'a> {
    /// Its source; IPv4 even if it came through an IPv6 socket.
    pub(super) from: SocketAddr,
    /// When the kernel had it.
    pub(super) arrived: Instant,
    /// What it holds, to be decrypted where it is; empty if it was longer than [`DATAGRAM_MAX`].
    pub(super) bytes: &'a mut [u8],
}

/// Room for one datagram; a worker has one for all its sockets.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Box<[u8; DATAGRAM_MAX]>,
    control: [u64; CONTROL_WORDS],
    from: RawAddress,
    clock: Clock,
    ahead: Option<Ahead>,
}

/// The same instant on both clocks, to translate the kernel's times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Monotonic.
    pub(super) now: Instant,
    /// Wall.
    pub(super) wall: SystemTime,
}

impl Clock {
    /// When the wall clock showed `stamp`; not in the future and at most ten seconds ago.
    fn instant(&self, stamp: SystemTime) -> Instant {
        let age = self.wall.duration_since(stamp).unwrap_or_default();
        self.now.checked_sub(age.min(OLDEST)).unwrap_or(self.now)
    }
}

/// What one `recvmsg` brought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// `None` if the family is none of ours.
    from: Option<SocketAddr>,
    /// When the kernel had it.
    stamp: Option<SystemTime>,
    /// Octets; 0 if it was longer than [`DATAGRAM_MAX`].
    len: usize,
}

impl Received {
    /// Reads what the kernel says of a datagram of `len` octets.
    ///
    /// # Safety
    /// The kernel filled `message`, whose control buffer is still there.
    pub(super) unsafe fn read(message: &libc::msghdr, from: &RawAddress, len: usize) -> Self {
        let is_whole = message.msg_flags & libc::MSG_TRUNC == 0;
        Self {
            from: from.address(message.msg_namelen),
            // SAFETY: as promised by the caller.
            stamp: unsafe { timestamp(message) },
            len: if is_whole { len } else { 0 },
        }
    }
}

/// Datagrams received before they are asked for, many by one call.
#[derive(Debug)]
struct Ahead {
    arrivals: Arrivals,
    /// In the order in which they will be asked for.
    targets: Vec<Target>,
    next: usize,
    fetched: usize,
}

impl Ahead {
    /// What came for `socket` and its place among the arrivals, if it is next and need not be asked again.
    fn take(&mut self, socket: &Socket) -> Option<(Option<Received>, usize)> {
        let target = self.targets.get(self.next)?;
        if target.socket != socket.descriptor.as_raw_fd() {
            return None;
        }
        if self.next == self.fetched {
            let until = self.targets.len().min(self.fetched + ARRIVALS_MAX);
            if !self.arrivals.fetch(&self.targets[self.fetched..until]) {
                self.targets.clear();
                return None;
            }
            self.fetched = until;
        }
        let at = self.next % ARRIVALS_MAX;
        self.next += 1;
        (!self.arrivals.was_refused(at)).then(|| (self.arrivals.get(at), at))
    }
}

impl Inbox {
    /// An empty inbox.
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            bytes: Box::new([0; DATAGRAM_MAX]),
            control: [0; CONTROL_WORDS],
            from: RawAddress::unspecified(),
            clock,
            ahead: None,
        }
    }

    /// From now on [`Self::expect`] receives many at once.
    pub(super) fn set_arrivals(&mut self, arrivals: Arrivals) {
        self.ahead = Some(Ahead { arrivals, targets: Vec::new(), next: 0, fetched: 0 });
    }

    /// Has the socket at a place known, for [`Self::expect`], or forgotten before it is closed.
    pub(super) fn know(&mut self, place: usize, socket: Option<&Socket>) {
        if let Some(ahead) = &mut self.ahead {
            ahead.arrivals.know(place, socket.map(Socket::raw));
        }
    }

    /// Sets the instant that arrival times are counted from.
    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// These sockets will be asked next, in this order, each at least once.
    pub(super) fn expect(&mut self, targets: impl Iterator<Item = Target>) {
        if let Some(ahead) = &mut self.ahead {
            ahead.targets.clear();
            ahead.targets.extend(targets);
            (ahead.next, ahead.fetched) = (0, 0);
        }
    }

    /// Receives the next datagram that waits, if one does. Never blocks.
    pub(super) fn receive(&mut self, socket: &Socket) -> Option<Datagram<'_>> {
        let ahead = self.ahead.as_mut().and_then(|ahead| ahead.take(socket));
        let (received, at) = match ahead {
            Some((received, at)) => (received?, Some(at)),
            None => (self.receive_now(socket)?, None),
        };
        let bytes = match (at, &mut self.ahead) {
            (Some(at), Some(ahead)) => ahead.arrivals.bytes(at),
            _ => &mut self.bytes[..],
        };
        let arrived = received.stamp.map_or(self.clock.now, |stamp| self.clock.instant(stamp));
        Some(Datagram { from: received.from?, arrived, bytes: bytes.get_mut(..received.len)? })
    }

    fn receive_now(&mut self, socket: &Socket) -> Option<Received> {
        match self.receive_message(socket) {
            // An ICMP error of an earlier send: it is cleared now, and packets may wait behind it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.receive_message(socket).ok()
            }
            result => result.ok(),
        }
    }

    fn receive_message(&mut self, socket: &Socket) -> io::Result<Received> {
        let mut part =
            libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX };
        // SAFETY: all-zero is a valid `msghdr`: null pointers with zero lengths.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_name = self.from.as_mut_ptr();
        message.msg_namelen = RawAddress::CAPACITY;
        message.msg_control = self.control.as_mut_ptr().cast();
        message.msg_controllen = size_of_val(&self.control);
        let descriptor = socket.descriptor.as_raw_fd();
        // SAFETY: the message points to buffers of `self` and to `part`, which are borrowed mutably until the call
        // returns, with their true lengths; `msghdr` is the kernel's own structure.
        let len = unsafe {
            libc::syscall(libc::SYS_recvmsg, descriptor, &raw mut message, libc::MSG_DONTWAIT)
        };
        let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the kernel has filled the message.
        Ok(unsafe { Received::read(&message, &self.from, len) })
    }
}

/// An address as the kernel writes it.
#[derive(Clone, Copy)]
pub(super) struct RawAddress(libc::sockaddr_storage);

impl std::fmt::Debug for RawAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RawAddress").field(&self.0.ss_family).finish()
    }
}

impl RawAddress {
    pub(super) const CAPACITY: libc::socklen_t = length_of::<libc::sockaddr_storage>();

    /// `AF_UNSPEC`: no address.
    pub(super) const fn unspecified() -> Self {
        // SAFETY: all-zero is a valid `sockaddr_storage`; `AF_UNSPEC` is 0.
        Self(unsafe { mem::zeroed() })
    }

    /// Where the kernel writes it.
    pub(super) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        (&raw mut self.0).cast()
    }

    /// Reads it back, of so many octets; IPv4-mapped addresses become IPv4.
    fn address(&self, len: libc::socklen_t) -> Option<SocketAddr> {
        match self.0.ss_family {
            FAMILY_V4 if len >= length_of::<libc::sockaddr_in>() => {
                // SAFETY: the family says what the storage holds, and it is large and aligned enough.
                let v4: libc::sockaddr_in =
                    unsafe { (&raw const self.0).cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Some(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
            }
            FAMILY_V6 if len >= length_of::<libc::sockaddr_in6>() => {
                // SAFETY: the family says what the storage holds, and it is large and aligned enough.
                let v6: libc::sockaddr_in6 =
                    unsafe { (&raw const self.0).cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
                Some(SocketAddr::new(ip, u16::from_be(v6.sin6_port)))
            }
            _ => None,
        }
    }
}

/// Asks for the kernel's receive times (`SO_TIMESTAMPNS`).
fn set_kernel_timestamps(socket: &UdpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer and length describe `on`, which lives over the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast(),
            length_of::<libc::c_int>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Finds the receive time among the control messages.
///
/// # Safety
/// The kernel filled `header`, whose control buffer is still there.
unsafe fn timestamp(header: &libc::msghdr) -> Option<SystemTime> {
    // SAFETY: the control buffer is aligned for `cmsghdr`; the CMSG macros stay within its length, and a
    // `SCM_TIMESTAMPNS` message holds one `timespec`.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        let first = message.as_ref()?;
        if (first.cmsg_level, first.cmsg_type) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            return None;
        }
        let stamp = libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned();
        let seconds = u64::try_from(stamp.tv_sec).ok()?;
        let nanos = u32::try_from(stamp.tv_nsec).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
    }
}

/// `size_of` in the kernel's type.
const fn length_of<T>() -> libc::socklen_t {
    #[expect(clippy::cast_possible_truncation, reason = "socket structures are below 256 octets")]
    {
        size_of::<T>() as libc::socklen_t
    }
}

/// No datagram is taken to be older.
const OLDEST: Duration = Duration::from_secs(10);
/// Longer datagrams are no audio that we know.
pub(super) const DATAGRAM_MAX: usize = 2_048;
/// Room for one `timespec` with its header, and to spare.
pub(super) const CONTROL_WORDS: usize = 8;
/// Asked for; the kernel doubles it. Holds some hundred packets, and bounds what a flood can pin.
const RECEIVE_BUFFER: usize = 64 * 1024;
/// DSCP EF (RFC 3246, RFC 4594 §4.1) in the traffic class octet.
const EXPEDITED: u8 = 46 << 2;
#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const FAMILY_V4: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;
#[expect(clippy::cast_possible_truncation, reason = "2 and 10")]
const FAMILY_V6: libc::sa_family_t = libc::AF_INET6 as libc::sa_family_t;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "loopback packets carry real times")]
    fn clock() -> Clock {
        Clock { now: Instant::now(), wall: SystemTime::now() }
    }

    fn bound(address: &str) -> (Socket, SocketAddr) {
        let socket = Socket::bind(address.parse().unwrap()).unwrap();
        let local = socket.descriptor.local_addr().unwrap();
        (socket, local)
    }

    /// Loopback delivers within the send call, so what was sent waits already.
    fn received(socket: &Socket) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut inbox = Inbox::new(clock());
        let mut found = Vec::new();
        while let Some(datagram) = inbox.receive(socket) {
            found.push((datagram.from, datagram.bytes.to_vec()));
        }
        found
    }

    #[test]
    fn a_batch_arrives_in_order_with_its_sources() {
        let (alice, from) = bound("127.0.0.1:0");
        let (bob, to) = bound("127.0.0.1:0");
        alice.send(to, b"hello").unwrap();
        alice.send(to, b"again").unwrap();

        let heard = received(&bob);

        assert_eq!(heard, [(from, b"hello".to_vec()), (from, b"again".to_vec())]);
    }

    #[test]
    fn ipv4_passes_through_an_ipv6_socket() {
        let Ok(dual) = Socket::bind("[::]:0".parse().unwrap()) else { return };
        let to = SocketAddr::from(([127, 0, 0, 1], dual.descriptor.local_addr().unwrap().port()));
        let (alice, from) = bound("127.0.0.1:0");
        alice.send(to, b"hi").unwrap();

        let heard = received(&dual);
        dual.send(from, b"yo").unwrap();

        assert_eq!(heard, [(from, b"hi".to_vec())]);
        assert_eq!(received(&alice)[0].1, b"yo");
    }

    #[test]
    fn a_connection_can_be_dissolved_and_keeps_the_port() {
        let (chosen, at) = bound("127.0.0.1:0");
        drop(chosen);
        let mut alice = Socket::bind(at).unwrap(); // Only a port that was asked for is kept.
        let (bob, to) = bound("127.0.0.1:0");
        let (carol, other) = bound("127.0.0.1:0");

        alice.connect(Some(to));
        alice.send(to, b"1").unwrap();
        carol.send(at, b"stranger").unwrap();
        let while_connected = received(&alice);
        alice.connect(None);
        alice.send(other, b"2").unwrap();
        carol.send(at, b"now").unwrap();

        assert!(while_connected.is_empty());
        assert_eq!(received(&bob), [(at, b"1".to_vec())]);
        assert_eq!(received(&carol), [(at, b"2".to_vec())]);
        assert_eq!(received(&alice), [(other, b"now".to_vec())]);
    }

    #[test]
    fn a_refused_packet_does_not_cost_the_next() {
        let (mut alice, at) = bound("127.0.0.1:0");
        let (gone, to) = bound("127.0.0.1:0");
        alice.connect(Some(to));
        drop(gone);
        alice.send(to, b"1").unwrap();

        let result = alice.send(to, b"2");
        let bob = Socket::bind(to).unwrap();
        bob.send(at, b"back").unwrap();

        assert!(result.is_ok());
        assert_eq!(received(&alice), [(to, b"back".to_vec())]);
    }

    #[test]
    fn arrival_is_when_the_kernel_had_it() {
        let (alice, _) = bound("127.0.0.1:0");
        let (bob, to) = bound("127.0.0.1:0");
        let before = clock();
        alice.send(to, b"1").unwrap();
        let after = clock();
        let later = Clock {
            now: after.now + Duration::from_millis(15),
            wall: after.wall + Duration::from_millis(15),
        };
        let mut inbox = Inbox::new(later);

        let arrived = inbox.receive(&bob).unwrap().arrived;

        let slack = Duration::from_millis(1);
        assert!(arrived + slack >= before.now && arrived <= after.now + slack);
    }

    #[test]
    fn an_oversized_datagram_comes_empty() {
        let (alice, _) = bound("127.0.0.1:0");
        let (bob, to) = bound("127.0.0.1:0");

        alice.send(to, &[1; 3_000]).unwrap();

        assert_eq!(received(&bob)[0].1, b"");
    }
}
