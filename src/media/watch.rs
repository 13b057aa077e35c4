//! The sockets of mixes that sleep: a packet on one of them ends the worker's sleep.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use mixer::room::SlotId;
use rustix::event::{Timespec, epoll};

/// Whom a worker wakes for.
#[derive(Debug)]
pub(super) struct Watch {
    descriptor: OwnedFd,
    slots: Vec<SlotId>,
}

impl Watch {
    /// Watches nobody.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { descriptor, slots: Vec::with_capacity(EVENTS_MAX) })
    }

    /// Tells each packet that comes to `socket` from now on, and the one that waits; one that cannot be watched is read
    /// when its mix next looks.
    pub(super) fn add(&self, socket: impl AsFd, slot: SlotId) {
        let data = epoll::EventData::new_u64(slot.0);
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        let _unwatched = epoll::add(&self.descriptor, socket, data, flags);
    }

    /// Forgets `socket`; it need not have been watched.
    pub(super) fn remove(&self, socket: impl AsFd) {
        let _unknown = epoll::delete(&self.descriptor, socket);
    }

    /// Whose sockets packets came to since the last call; at most some, the rest next time.
    pub(super) fn poll(&mut self) -> impl Iterator<Item = SlotId> {
        self.slots.clear();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut events = [const { MaybeUninit::uninit() }; EVENTS_MAX];
        if let Ok((events, _)) = epoll::wait(&self.descriptor, &mut events, Some(&at_once)) {
            self.slots.extend(events.iter().map(|event| SlotId(event.data.u64())));
        }
        self.slots.iter().copied()
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Sockets told of at once.
const EVENTS_MAX: usize = 64;
