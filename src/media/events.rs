//! The bridge's end of the workers' events.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::command::Event;
use super::system::Waker;

/// An event on its way, with its place among those of all workers.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) number: u64,
    pub(super) event: Event,
}

/// What the media threads report, in order. Dropping it lets them report to nobody.
#[derive(Debug)]
pub struct Events {
    queues: Vec<rtrb::Consumer<Posted>>,
    waker: Woken,
    /// Made by the first [`Self::recv`], which runs inside a runtime.
    readiness: Option<AsyncFd<Woken>>,
}

/// [`Waker`] as tokio wants to watch it.
#[derive(Clone, Debug)]
struct Woken(Arc<Waker>);

impl AsRawFd for Woken {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Events {
    pub(super) fn new(queues: Vec<rtrb::Consumer<Posted>>, waker: Arc<Waker>) -> Self {
        Self { queues, waker: Woken(waker), readiness: None }
    }

    /// The next event; waits for it, for ever once all workers have ended. Cancel safe.
    ///
    /// # Errors
    /// Descriptors ran out at the first call.
    pub async fn recv(&mut self) -> io::Result<Event> {
        loop {
            if let Some(event) = self.try_recv() {
                return Ok(event);
            }
            // What is posted from here on wakes us again.
            self.waker.0.reset();
            if let Some(event) = self.try_recv() {
                return Ok(event);
            }
            self.ready().await?;
        }
    }

    /// The oldest event, if there is one.
    pub fn try_recv(&mut self) -> Option<Event> {
        let heads = self.queues.iter_mut().filter_map(|queue| {
            let number = queue.peek().ok()?.number;
            Some((number, queue))
        });
        let (_, oldest) = heads.min_by_key(|&(number, _)| number)?;
        oldest.pop().ok().map(|posted| posted.event)
    }

    async fn ready(&mut self) -> io::Result<()> {
        if self.readiness.is_none() {
            self.readiness = Some(watch(self.waker.clone())?);
        }
        let Some(readiness) = &self.readiness else { return Ok(()) };
        poll_fn(|context| readiness.poll_read_ready(context)).await?.clear_ready();
        Ok(())
    }
}

#[expect(unsafe_code, reason = "tokio leaves it to us that the descriptor stays open")]
fn watch(waker: Woken) -> io::Result<AsyncFd<Woken>> {
    // SAFETY: the descriptor stays the waker's own until the last of its owners is gone, and `AsyncFd` is one of them.
    unsafe { AsyncFd::register_with_interest(waker, Interest::READABLE).map_err(io::Error::from) }
}
