//! Many sockets in one system call, by `io_uring`: for each a datagram is received, or sent.
//!
//! Nothing is ever left under way: every request is of the kind that does not wait (`MSG_DONTWAIT`), and each call returns
//! when all of them are done. So memory is the kernel's only while a method of this file runs.
//!
//! Where the kernel has no `io_uring`, or forbids it (containers often do), a ring cannot be made; `super::backend` knows.
#![expect(unsafe_code, reason = "the kernel reads and writes memory that requests point to")]

use std::fmt;
use std::io;
use std::mem;
use std::os::fd::RawFd;
use std::ptr;

use io_uring::squeue::Entry;
use io_uring::types::{Fd, Fixed};
use io_uring::{IoUring, Probe, opcode};

use super::socket::{CONTROL_WORDS, DATAGRAM_MAX, RawAddress, Received};

/// Sockets that are asked at once: their datagrams fit the second-level cache.
pub(super) const ARRIVALS_MAX: usize = 64;
/// Places in a ring's table; the kernel takes 8 octets for each.
const KNOWN_MAX: u32 = 8_192;
/// No socket.
const NOBODY: RawFd = -1;

/// A socket, and its place in the table of a ring if it is known there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) place: usize,
    pub(super) socket: RawFd,
}

/// Requests and their answers.
struct Ring {
    inner: IoUring,
    /// Requests without an answer.
    open: usize,
    /// Sockets by their places, or [`NOBODY`]: to look one up by its number costs the kernel 0.1 µs.
    known: Vec<RawFd>,
}

impl Ring {
    /// A ring for so many requests at once, for this thread alone.
    ///
    /// # Errors
    /// The kernel has none, forbids it, or lacks what we ask of it.
    fn new(requests: usize) -> io::Result<Self> {
        let entries = u32::try_from(requests).map_err(|_| io::ErrorKind::InvalidInput)?;
        // Linux 6.1: answers are written by our own call instead of by interrupting us.
        let mut tuned = IoUring::builder();
        tuned.setup_single_issuer().setup_defer_taskrun();
        let inner = tuned.build(entries).or_else(|_| IoUring::new(entries))?;
        let mut probe = Probe::new();
        inner.submitter().register_probe(&mut probe)?;
        if !probe.is_supported(opcode::RecvMsg::CODE) || !probe.is_supported(opcode::Send::CODE) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        // Linux 5.19, and no more than the process may open; without it all goes by number.
        let has_table = inner.submitter().register_files_sparse(KNOWN_MAX).is_ok();
        let known = if has_table { vec![NOBODY; KNOWN_MAX as usize] } else { Vec::new() };
        Ok(Self { inner, open: 0, known })
    }

    /// From now on the socket at this place is this one. One that is to be closed has to be taken out before: until then
    /// its port is in use.
    fn know(&mut self, place: usize, socket: Option<RawFd>) {
        let socket = socket.unwrap_or(NOBODY);
        let Some(known) = self.known.get_mut(place).filter(|known| **known != socket) else {
            return;
        };
        let offset = u32::try_from(place).unwrap_or(u32::MAX);
        let updated = self.inner.submitter().register_files_update(offset, &[socket]);
        *known = if updated.is_ok() { socket } else { NOBODY };
    }

    /// The place of a target in the table, if it is there.
    fn place(&self, target: Target) -> Option<Fixed> {
        let known = self.known.get(target.place).filter(|&&known| known == target.socket)?;
        (*known != NOBODY).then_some(Fixed(u32::try_from(target.place).ok()?))
    }

    /// Adds a request; false if there is no room.
    ///
    /// # Safety
    /// What the entry points to has to stay until [`Self::run`] has returned.
    unsafe fn push(&mut self, entry: &Entry) -> bool {
        // SAFETY: as promised by the caller.
        let pushed = unsafe { self.inner.submission().push(entry) }.is_ok();
        self.open += usize::from(pushed);
        pushed
    }

    /// Has all requests done, and hands their number and result (negative: `errno`) to `done`.
    ///
    /// # Errors
    /// The kernel does not take them. The ring must not be used again.
    fn run(&mut self, mut done: impl FnMut(u64, i32)) -> io::Result<()> {
        while self.open > 0 {
            if let Err(error) = self.inner.submit_and_wait(self.open)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            for answer in self.inner.completion() {
                self.open -= 1;
                done(answer.user_data(), answer.result());
            }
        }
        Ok(())
    }
}

/// Receives the first datagram of each of many sockets.
pub(super) struct Arrivals {
    /// Gone after an error.
    ring: Option<Ring>,
    cells: Box<[Cell]>,
}

/// Room for one datagram and what the kernel says of it.
struct Cell {
    bytes: [u8; DATAGRAM_MAX],
    control: [u64; CONTROL_WORDS],
    from: RawAddress,
    part: libc::iovec,
    message: libc::msghdr,
    result: i32,
}

impl Arrivals {
    /// Room for [`ARRIVALS_MAX`] datagrams.
    ///
    /// # Errors
    /// As of `io_uring_setup(2)`.
    pub(super) fn new() -> io::Result<Self> {
        let ring = Some(Ring::new(ARRIVALS_MAX)?);
        let mut cells: Box<[Cell]> = (0..ARRIVALS_MAX).map(|_| Cell::new()).collect();
        for cell in &mut *cells {
            cell.point();
        }
        Ok(Self { ring, cells })
    }

    /// Has the socket at a place known, or forgotten before it is closed.
    pub(super) fn know(&mut self, place: usize, socket: Option<RawFd>) {
        if let Some(ring) = &mut self.ring {
            ring.know(place, socket);
        }
    }

    /// Asks up to [`ARRIVALS_MAX`] sockets. False if that cannot be done any more.
    pub(super) fn fetch(&mut self, targets: &[Target]) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        for (cell, (&target, number)) in self.cells.iter_mut().zip(targets.iter().zip(0..)) {
            cell.message.msg_namelen = RawAddress::CAPACITY;
            cell.message.msg_controllen = size_of_val(&cell.control);
            cell.result = -libc::EAGAIN;
            let message = &raw mut cell.message;
            let request = match ring.place(target) {
                Some(place) => opcode::RecvMsg::new(place, message),
                None => opcode::RecvMsg::new(Fd(target.socket), message),
            };
            let flags = libc::MSG_DONTWAIT.cast_unsigned();
            // SAFETY: the cells are boxed and not touched before `run` returns.
            unsafe { ring.push(&request.flags(flags).build().user_data(number)) };
        }
        let cells = &mut self.cells;
        let result = ring.run(|number, result| {
            if let Some(cell) = usize::try_from(number).ok().and_then(|at| cells.get_mut(at)) {
                cell.result = result;
            }
        });
        if result.is_err() {
            // The cells stay: they may still be written to.
            self.ring = None;
        }
        result.is_ok()
    }

    /// An earlier packet was refused at this place in [`Self::fetch`]; it has to be asked again.
    pub(super) fn was_refused(&self, at: usize) -> bool {
        self.cells[at].result == -libc::ECONNREFUSED
    }

    /// What the socket at this place in [`Self::fetch`] had.
    pub(super) fn get(&self, at: usize) -> Option<Received> {
        let cell = &self.cells[at];
        let len = usize::try_from(cell.result).ok()?;
        // SAFETY: the kernel filled the message, and all it points to is in the cell.
        Some(unsafe { Received::read(&cell.message, &cell.from, len) })
    }

    /// The octets that came with it.
    pub(super) fn bytes(&mut self, at: usize) -> &mut [u8] {
        &mut self.cells[at].bytes
    }
}

impl Cell {
    fn new() -> Self {
        Self {
            bytes: [0; DATAGRAM_MAX],
            control: [0; CONTROL_WORDS],
            from: RawAddress::unspecified(),
            part: libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
            // SAFETY: all-zero is a valid `msghdr`: null pointers with zero lengths.
            message: unsafe { mem::zeroed() },
            result: 0,
        }
    }

    /// Lets the message point to its parts; they must not move afterwards.
    fn point(&mut self) {
        self.part = libc::iovec { iov_base: self.bytes.as_mut_ptr().cast(), iov_len: DATAGRAM_MAX };
        self.message.msg_iov = &raw mut self.part;
        self.message.msg_iovlen = 1;
        self.message.msg_name = self.from.as_mut_ptr();
        self.message.msg_control = self.control.as_mut_ptr().cast();
    }
}

impl fmt::Debug for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrivals").field("works", &self.ring.is_some()).finish_non_exhaustive()
    }
}

/// Sends datagrams through connected sockets.
pub(super) struct Departures {
    /// Gone after an error.
    ring: Option<Ring>,
    unsent: Vec<usize>,
}

impl Departures {
    /// Room for so many datagrams at once.
    ///
    /// # Errors
    /// As of `io_uring_setup(2)`.
    pub(super) fn new(most: usize) -> io::Result<Self> {
        Ok(Self { ring: Some(Ring::new(most)?), unsent: Vec::with_capacity(most) })
    }

    /// Has the socket at a place known, or forgotten before it is closed.
    pub(super) fn know(&mut self, place: usize, socket: Option<RawFd>) {
        if let Some(ring) = &mut self.ring {
            ring.know(place, socket);
        }
    }

    /// Sends datagrams, each under a number through a socket; returns the numbers of those to be sent another way: after an
    /// ICMP error of an earlier one (which is cleared now), or for want of room.
    #[expect(single_use_lifetimes, reason = "an anonymous one is unstable here")]
    pub(super) fn send<'a>(
        &mut self,
        datagrams: impl Iterator<Item = (usize, Target, &'a [u8])>,
    ) -> &[usize] {
        let Self { ring, unsent } = self;
        unsent.clear();
        for (number, target, bytes) in datagrams {
            let pushed = ring.as_mut().is_some_and(|ring| {
                let (start, len) = (bytes.as_ptr(), u32::try_from(bytes.len()).unwrap_or(0));
                let request = match ring.place(target) {
                    Some(place) => opcode::Send::new(place, start, len),
                    None => opcode::Send::new(Fd(target.socket), start, len),
                };
                let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                // SAFETY: the octets are borrowed until this function returns, which is after `run` has.
                unsafe { ring.push(&request.flags(flags).build().user_data(number as u64)) }
            });
            if !pushed {
                unsent.push(number);
            }
        }
        let sent = ring.as_mut().map(|ring| {
            ring.run(|number, result| {
                if result == -libc::ECONNREFUSED {
                    unsent.extend(usize::try_from(number));
                }
            })
        });
        if sent.is_some_and(|sent| sent.is_err()) {
            self.ring = None;
        }
        &self.unsent
    }
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departures").field("works", &self.ring.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::{Instant, SystemTime};

    use super::*;
    use crate::media::socket::{Clock, Inbox, Socket};

    fn bound() -> (Socket, SocketAddr) {
        let socket = Socket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_address().unwrap();
        (socket, address)
    }

    /// An inbox that receives many at once; `None` where the kernel has no `io_uring`.
    #[expect(clippy::disallowed_methods, reason = "loopback packets carry real times")]
    fn inbox() -> Option<Inbox> {
        let mut inbox = Inbox::new(Clock { now: Instant::now(), wall: SystemTime::now() });
        inbox.set_arrivals(Arrivals::new().ok()?);
        Some(inbox)
    }

    fn target(socket: &Socket) -> Target {
        Target { place: 0, socket: socket.raw() }
    }

    fn targets(sockets: &[&Socket]) -> impl Iterator<Item = Target> {
        let sockets = sockets.iter().enumerate();
        sockets.map(|(place, socket)| Target { place, socket: socket.raw() })
    }

    #[test]
    fn a_known_socket_is_used_until_it_is_forgotten_and_its_port_is_free_then() {
        let (Some(mut inbox), Ok(mut departures)) = (inbox(), Departures::new(4)) else { return };
        let ((mut alice, _), (bob, to)) = (bound(), bound());
        alice.connect(Some(to));
        inbox.know(3, Some(&bob));
        departures.know(5, Some(alice.raw()));
        let from = Target { place: 5, socket: alice.raw() };

        assert!(departures.send([(0, from, &b"known"[..])].into_iter()).is_empty());

        let bob_at = Target { place: 3, socket: bob.raw() };
        inbox.expect([bob_at].into_iter());
        assert_eq!(inbox.receive(&bob).unwrap().bytes, b"known");
        inbox.know(3, None);
        drop(bob);
        assert!(Socket::bind(to).is_ok());
        departures.know(5, None);
        assert!(departures.send([(0, from, &b"by number"[..])].into_iter()).is_empty());
    }

    #[test]
    fn many_sockets_are_read_in_order_and_then_each_to_its_end() {
        let Some(mut inbox) = inbox() else { return };
        let (alice, from) = bound();
        let sockets: Vec<_> = (0..2 * ARRIVALS_MAX + 5).map(|_| bound()).collect();
        for (number, (_, to)) in sockets.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
            alice.send(*to, number.to_string().as_bytes()).unwrap();
            alice.send(*to, b"more").unwrap();
        }

        for (place, (socket, _)) in sockets.iter().enumerate().filter(|(place, _)| place % 2 == 0) {
            inbox.know(place, Some(socket));
        }

        let all: Vec<_> = sockets.iter().map(|(socket, _)| socket).collect();
        inbox.expect(targets(&all));

        for (number, (socket, _)) in sockets.iter().enumerate() {
            let mut read = || {
                let datagram = inbox.receive(socket)?;
                assert_eq!(datagram.from, from);
                Some(String::from_utf8_lossy(datagram.bytes).into_owned())
            };
            let waits = number % 3 != 0;
            assert_eq!(read(), waits.then(|| number.to_string()));
            if waits {
                assert_eq!(read().as_deref(), Some("more"));
            }
            assert_eq!(read(), None);
        }
    }

    #[test]
    fn a_datagram_that_is_too_long_comes_empty() {
        let Some(mut inbox) = inbox() else { return };
        let ((alice, _), (bob, to)) = (bound(), bound());
        alice.send(to, &[1; 3_000]).unwrap();

        inbox.expect(targets(&[&bob]));

        assert_eq!(inbox.receive(&bob).unwrap().bytes, b"");
    }

    #[test]
    fn what_was_refused_is_asked_and_sent_again() {
        let (Some(mut inbox), Ok(mut departures)) = (inbox(), Departures::new(4)) else { return };
        let ((mut alice, at), (gone, to)) = (bound(), bound());
        alice.connect(Some(to));
        drop(gone);
        alice.send(to, b"1").unwrap();

        let unsent = departures.send([(7, target(&alice), &b"2"[..])].into_iter()).to_vec();

        assert_eq!(unsent, [7], "the error of the first belongs to nobody");
        let bob = Socket::bind(to).unwrap();
        assert!(departures.send([(8, target(&alice), &b"3"[..])].into_iter()).is_empty());
        bob.send(at, b"back").unwrap();
        inbox.expect(targets(&[&alice, &bob]));
        assert_eq!(inbox.receive(&alice).unwrap().bytes, b"back");
        assert_eq!(inbox.receive(&bob).unwrap().bytes, b"3");
    }

    #[test]
    fn more_than_fit_are_given_back() {
        let Ok(mut departures) = Departures::new(2) else { return };
        let ((mut alice, _), (bob, to)) = (bound(), bound());
        alice.connect(Some(to));
        let datagrams = (0..5).map(|number| (number, target(&alice), &b"x"[..]));

        let unsent = departures.send(datagrams).to_vec();

        assert_eq!(unsent, [2, 3, 4]);
        drop(bob);
    }
}
