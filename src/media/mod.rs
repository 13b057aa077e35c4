//! OS threads for RTP: a worker owns its rooms' sockets, slots and mix.
//!
//! [`Media::start`] makes the threads; [`Command`]s go in through the handle and [`command::Event`]s come out of a queue. The
//! handle decides which worker serves a leg (`router`); a worker (`worker`) ticks its mixes on absolute deadlines and
//! does all input and output of its legs (`leg`, `socket`). Whose packets count is the rule of `latch`.

mod backend;
pub mod command;
mod events;
mod latch;
mod leg;
mod legs;
mod mix;
mod outbox;
mod outgoing;
mod pace;
mod parts;
mod pool;
mod ring;
mod router;
mod secure;
mod socket;
mod system;
mod tally;
mod tape;
#[cfg(test)]
mod tests;
mod watch;
mod web;
mod worker;

use std::io;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mixer::quality::AlarmOptions;
use thiserror::Error;

use self::backend::Backend;
pub use self::backend::Io;
use self::command::{Command, MediaKey};
pub use self::events::Events;
use self::outbox::Outbox;
use self::pool::PortPool;
use self::router::{Order, Router};
use self::system::Waker;
pub use self::system::{DescriptorLimit, raise_descriptor_limit};
use self::tally::Load;
pub use self::tape::Reel;
#[cfg(test)]
pub(crate) use self::tape::TapeEnd;
use self::watch::Watch;
use self::worker::{Arrival, Links, Peer, Settings, Worker};
use crate::webrtc::Identity;

/// What the media threads are made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// UDP ports for RTP and RTCP, two a leg.
    pub ports: RangeInclusive<u16>,
    /// Media threads; `None` makes one for each processor.
    pub workers: Option<NonZeroUsize>,
    /// Legs of a media thread, or as much work as theirs, beyond which who joins its mixes may be seated on another.
    pub spread_above: usize,
    /// Seeds SSRCs, sequence numbers and the order of ports: give it true randomness.
    pub seed: u64,
    /// The least delay of the jitter buffers.
    pub min_delay: Duration,
    /// The ceiling of the jitter buffers.
    pub max_delay: Duration,
    /// When a direction of a leg counts as bad, and when as good again.
    pub alarm: AlarmOptions,
    /// A leg that should be heard and sends no RTP for so long is reported by [`command::Event::Silent`].
    pub silence_after: Duration,
    /// A mix from whose legs no RTP came for so long sends a packet now and then instead of a stream.
    pub asleep_after: Duration,
    /// How packets are sent and received.
    pub io: Io,
    /// Who we are in DTLS; without it a leg that is to have it stays silent.
    pub identity: Option<Arc<Identity>>,
    /// Commands that may wait at each worker; beyond, [`Media::try_send`] refuses.
    pub command_queue: usize,
    /// Events of each worker that may wait for the bridge; beyond, levels and statistics are dropped and the rest is kept back.
    pub event_queue: usize,
}

impl Default for Options {
    /// Ports 16384–32767, a worker for each processor that has 2,000 legs before its mixes spread, 0 to 200 ms of delay, 30 s of silence, 5 s to sleep,
    /// 4,096 commands and 2,048 events.
    fn default() -> Self {
        Self {
            ports: 16_384..=32_767,
            workers: None,
            spread_above: 2_000,
            seed: 0,
            min_delay: Duration::ZERO,
            max_delay: Duration::from_millis(200),
            alarm: AlarmOptions::default(),
            silence_after: Duration::from_secs(30),
            asleep_after: Duration::from_secs(5),
            io: Io::Auto,
            identity: None,
            command_queue: 4_096,
            event_queue: 2_048,
        }
    }
}

/// The handle of the media threads. Dropping it ends them.
#[derive(Debug)]
pub struct Media {
    router: Router,
    workers: Vec<Handle>,
    failed: Receiver<MediaKey>,
    reels: Option<SyncSender<Reel>>,
    stop: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Handle {
    orders: rtrb::Producer<Order>,
    waker: Arc<Waker>,
    load: Arc<Load>,
    thread: Option<JoinHandle<()>>,
}

/// A worker has no room for another command; nothing of it took effect.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("the media threads are too busy to take a command")]
pub struct QueueFull(
    /// What was not sent.
    pub Box<Command>,
);

impl Media {
    /// Starts the threads; events come out of the receiver in order for each leg.
    ///
    /// # Errors
    /// Descriptors or threads ran out, the port range holds no pair, or `io_uring` is demanded and cannot be had.
    pub fn start(options: &Options) -> io::Result<(Self, Events)> {
        let backend = backend::choose(options.io)?;
        let pool = Arc::new(PortPool::new(&options.ports, options.seed));
        if pool.capacity() == 0 {
            let (first, last) = (options.ports.start(), options.ports.end());
            let message =
                format!("the media range {first}-{last} holds no even port with the next");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let count = options.workers.or_else(|| thread::available_parallelism().ok());
        let count = count.map_or(1, NonZeroUsize::get);
        let numbers = Arc::new(AtomicU64::new(0));
        let reader = Arc::new(Waker::new()?);
        let mut queues = Vec::with_capacity(count);
        let (failed_sender, failed) = sync_channel(options.command_queue.max(1));
        let router = Router::new(count, options.spread_above);
        let (workers, stop) = (Vec::new(), Arc::default());
        let mut media = Self { router, workers, failed, reels: None, stop };
        let (peers, arrivals) = peers(count, options.command_queue)?;
        for (index, arrivals) in arrivals.into_iter().enumerate() {
            let (orders, taken) =
                rtrb::RingBuffer::new(options.command_queue.max(ORDERS_OF_ONE + count));
            let waker = Arc::clone(&peers[index].waker);
            let (queue, posted) = rtrb::RingBuffer::new(options.event_queue.max(1));
            queues.push(posted);
            let load = Arc::new(Load::default());
            let links = Links {
                orders: taken,
                arrivals,
                peers: peers.clone(),
                failed: failed_sender.clone(),
                outbox: Outbox::new(queue, Arc::clone(&numbers), Arc::clone(&reader)),
                waker: Arc::clone(&waker),
                watch: Watch::new()?,
                load: Arc::clone(&load),
                stop: Arc::clone(&media.stop),
            };
            let settings = Settings { backend, ..options.into() };
            let thread = spawn(index, settings, Arc::clone(&pool), links)?;
            media.workers.push(Handle { orders, waker, load, thread: Some(thread) });
        }
        Ok((media, Events::new(queues, reader)))
    }

    /// Sends a command; never waits. Commands for one leg take effect in order, those for an unknown leg not at all.
    ///
    /// # Errors
    /// [`QueueFull`] gives the command back.
    pub fn try_send(&mut self, command: Command) -> Result<(), QueueFull> {
        while let Ok(leg) = self.failed.try_recv() {
            self.router.forget(leg);
        }
        for (worker, handle) in self.workers.iter().enumerate() {
            self.router.note_load(worker, handle.load.get());
        }
        let orders = self.router.plan(&command);
        let most = ORDERS_OF_ONE + self.workers.len();
        let has_room = |&(worker, _): &(usize, Order)| self.workers[worker].orders.slots() >= most;
        if !orders.iter().all(has_room) {
            return Err(QueueFull(Box::new(command)));
        }
        self.router.apply(&command);
        for (worker, mut order) in orders {
            if let Order::Tape { reel, .. } = &mut order {
                self.give_reel(reel.take());
            }
            let handle = &mut self.workers[worker];
            // There was room, and nobody else sends.
            if handle.orders.push(order).is_ok() {
                handle.waker.wake();
            }
        }
        Ok(())
    }

    /// Has what is recorded read by whoever takes from the other end; without one, [`Command::Record`] leads nowhere.
    pub fn give_reels_to(&mut self, reels: SyncSender<Reel>) {
        self.reels = Some(reels);
    }

    fn give_reel(&self, reel: Option<Reel>) {
        if let (Some(reels), Some(reel)) = (&self.reels, reel)
            && let Err(error) = reels.try_send(reel)
        {
            tracing::error!(%error, "a track is not recorded: the recorder does not keep up");
        }
    }

    /// How many workers there are.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }
}

impl Drop for Media {
    /// Ends the threads and waits for them: some milliseconds. Legs that are still open end without a BYE.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for worker in &mut self.workers {
            worker.waker.wake();
        }
        for thread in self.workers.iter_mut().filter_map(|worker| worker.thread.take()) {
            // A worker that panicked has said so.
            let _panicked = thread.join();
        }
    }
}

impl From<&Options> for Settings {
    fn from(options: &Options) -> Self {
        Self {
            seed: options.seed,
            min_delay: options.min_delay,
            max_delay: options.max_delay,
            alarm: options.alarm,
            silence_after: options.silence_after,
            asleep_after: options.asleep_after,
            backend: Backend::Plain,
            identity: options.identity.clone(),
        }
    }
}

/// The doors between workers.
fn peers(count: usize, queue: usize) -> io::Result<(Vec<Peer>, Vec<Receiver<Arrival>>)> {
    let doors: io::Result<Vec<_>> = (0..count)
        .map(|_| {
            let (arrivals, taken): (SyncSender<Arrival>, _) = sync_channel(queue.max(1));
            Ok((Peer { arrivals, waker: Arc::new(Waker::new()?) }, taken))
        })
        .collect();
    Ok(doors?.into_iter().unzip())
}

fn spawn(
    index: usize,
    settings: Settings,
    pool: Arc<PortPool>,
    links: Links,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(format!("media-{index}"))
        .spawn(move || Worker::new(index, settings, pool, links).run())
}

/// Orders that one command can make for one worker, beside those that link it with every other: a move, and the tapes of a mix.
const ORDERS_OF_ONE: usize = 2 + command::MAX_TAPES;
