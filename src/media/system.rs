//! What a media thread asks of the operating system: wake-ups, precedence, descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Ends a worker's sleep from another thread.
#[derive(Debug)]
pub(super) struct Waker {
    descriptor: OwnedFd,
    /// A wake-up is under way, so that another need not be written.
    pending: AtomicBool,
}

impl Waker {
    /// Makes one.
    ///
    /// # Errors
    /// Descriptors ran out.
    pub(super) fn new() -> io::Result<Self> {
        let descriptor = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Self { descriptor, pending: AtomicBool::new(false) })
    }

    /// Ends the current sleep, or the next.
    pub(super) fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // It fails only when the counter is full, and then the sleep ends anyway.
            let _full = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
        }
    }

    /// Sleeps until [`Self::wake`] or `at_most`; `None` sleeps for ever.
    pub(super) fn sleep(&self, at_most: Option<Duration>) {
        let timeout = at_most.and_then(|duration| Timespec::try_from(duration).ok());
        let mut descriptors = [PollFd::new(&self.descriptor, PollFlags::IN)];
        // An interrupted sleep is a short one.
        let woken = poll(&mut descriptors, timeout.as_ref()).unwrap_or(0);
        if woken > 0 {
            let _empty = rustix::io::read(&self.descriptor, &mut [0; 8]);
        }
        self.pending.store(false, Ordering::Release);
    }
}

/// How a thread takes precedence over others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Precedence {
    /// A better nice value: gets its time soon, but cannot starve the rest of the machine.
    Nice,
    /// None is permitted.
    Usual,
}

/// Gives the calling thread what precedence is permitted.
///
/// Not `SCHED_FIFO`: on a small machine an overloaded mixer would then stop the signalling that could refuse calls.
pub(super) fn take_precedence() -> Precedence {
    let thread = rustix::thread::gettid();
    // On Linux the nice value belongs to the thread.
    match rustix::process::setpriority_process(Some(thread), MEDIA_NICE) {
        Ok(()) => Precedence::Nice,
        Err(_) => Precedence::Usual,
    }
}

/// What became of the limit of open descriptors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DescriptorLimit {
    /// What was asked for.
    pub needed: u64,
    /// What holds now.
    pub allowed: u64,
}

impl DescriptorLimit {
    /// Whether the limit covers the need.
    pub fn is_enough(&self) -> bool {
        self.allowed >= self.needed
    }
}

/// Raises the limit of open descriptors to `needed`, as far as is permitted.
///
/// A leg takes two; signalling, the API and the store need some more.
///
/// # Errors
/// The system refuses a value that it says is permitted.
pub fn raise_descriptor_limit(needed: u64) -> io::Result<DescriptorLimit> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let unlimited = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    if unlimited(current) >= needed {
        return Ok(DescriptorLimit { needed, allowed: unlimited(current) });
    }
    // The superuser may raise the hard limit too.
    let raised = Rlimit { current: Some(needed), maximum: maximum.map(|most| most.max(needed)) };
    if setrlimit(Resource::Nofile, raised).is_ok() {
        return Ok(DescriptorLimit { needed, allowed: needed });
    }
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(DescriptorLimit { needed, allowed: unlimited(maximum) })
}

/// Better than everything usual, worse than what keeps the machine alive.
const MEDIA_NICE: i32 = -11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_sleep_ends_it_at_once() {
        let waker = Waker::new().unwrap();
        waker.wake();
        waker.wake();

        waker.sleep(None);

        waker.sleep(Some(Duration::ZERO)); // One sleep took both.
    }

    #[test]
    fn what_is_allowed_already_is_enough() {
        let limit = raise_descriptor_limit(16).unwrap();

        assert!(limit.is_enough());
    }
}
