//! What a media thread asks of the operating system: wake-ups, precedence, descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

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

    /// Takes note of [`Self::wake`]: the next one ends a sleep again. What it told of has to be looked at afterwards.
    pub(super) fn reset(&self) {
        let _empty = rustix::io::read(&self.descriptor, &mut [0; 8]);
        self.pending.store(false, Ordering::Release);
    }

    /// Sleeps until [`Self::wake`], until `other` can be read, or `at_most`; `None` sleeps for ever.
    /// True if `other` can be read.
    pub(super) fn sleep(&self, other: &impl AsFd, at_most: Option<Duration>) -> bool {
        let timeout = at_most.and_then(|duration| Timespec::try_from(duration).ok());
        let mut descriptors =
            [PollFd::new(&self.descriptor, PollFlags::IN), PollFd::new(other, PollFlags::IN)];
        // An interrupted sleep is a short one.
        let _interrupted = poll(&mut descriptors, timeout.as_ref());
        if descriptors[0].revents().is_empty() {
            self.pending.store(false, Ordering::Release);
        } else {
            self.reset();
        }
        !descriptors[1].revents().is_empty()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// How the calling thread takes precedence over others.
///
/// A mixer must run within milliseconds of its deadline whatever else the machine does, and a nice value does not see to
/// that: with autogroups it counts only within one session. So it asks for `SCHED_FIFO` at the lowest priority, which other
/// real-time threads still come before. A worker that is overloaded would then starve the signalling that could refuse
/// calls, so it steps back to the usual scheduling while it is busier than [`BUSIEST`].
#[derive(Debug, Default)]
pub(super) struct Precedence {
    is_taken: bool,
    is_refused: bool,
    /// When it was last looked at, and how long the thread had run by then.
    last: Option<(Instant, Duration)>,
}

impl Precedence {
    /// Takes or gives up precedence for the calling thread, by how busy it was since the last call: about a second.
    pub(super) fn follow(&mut self, now: Instant) {
        let ran = thread_time();
        let busy = self.last.replace((now, ran)).map_or(0.0, |(then, before)| {
            let elapsed = now.saturating_duration_since(then).max(Duration::from_millis(1));
            ran.saturating_sub(before).as_secs_f32() / elapsed.as_secs_f32()
        });
        let wanted = busy <= if self.is_taken { BUSIEST } else { BUSIEST - 0.2 };
        if self.is_refused || wanted == self.is_taken {
            return;
        }
        match set_real_time(wanted) {
            Ok(()) => self.is_taken = wanted,
            Err(_) => self.is_refused = true,
        }
    }

    /// False where the operating system permits no precedence.
    pub(super) fn is_permitted(&self) -> bool {
        !self.is_refused
    }
}

/// Processor time of the calling thread so far.
pub(super) fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// `SCHED_FIFO` at priority 1, or the usual scheduling, for the calling thread; threads it makes have the usual one.
#[expect(unsafe_code, reason = "sched_setscheduler has no safe wrapper")]
fn set_real_time(on: bool) -> io::Result<()> {
    let (policy, priority) =
        if on { (libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1) } else { (libc::SCHED_OTHER, 0) };
    let parameters = libc::sched_param { sched_priority: priority };
    // SAFETY: the pointer is to `parameters`, which lives over the call and is only read; 0 is the calling thread.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
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

/// Share of its time a worker may be busy and still come before everything usual.
const BUSIEST: f32 = 0.85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_before_the_sleep_ends_it_at_once() {
        let waker = Waker::new().unwrap();
        let other = eventfd(0, EventfdFlags::NONBLOCK).unwrap();
        waker.wake();
        waker.wake();

        waker.sleep(&other, None);

        waker.sleep(&other, Some(Duration::ZERO)); // One sleep took both.
    }

    #[test]
    fn what_is_allowed_already_is_enough() {
        let limit = raise_descriptor_limit(16).unwrap();

        assert!(limit.is_enough());
    }
}
