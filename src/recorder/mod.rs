//! Recordings on their way to the disk: one thread that takes sound from the media threads and writes files, and one that
//! finishes them.
//!
//! ```text
//!  bridge ─ Order ─▶ ┐              ┌─▶ files, as it goes
//!  media ── Reel ──▶ ┴─ recorder ───┴─▶ finisher (check-sums) ─ Report ─▶ bridge
//! ```
//! Each recording has a folder with a file for each track, all of which begin with the recording, and `recording.json`, which
//! describes it. A name in the folder `unfinished` says that a crash would leave one to be mended at the next start.
//! Nothing waits for this: a disk that is slow loses sound, which is counted; one that is full ends recordings.

mod finish;
mod opus;
pub mod order;
#[cfg(test)]
mod tests;
mod track;
mod wave;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use api::id::RecordingId;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use self::finish::Closed;
use self::order::{Failure, Order, Report, Shape};
use self::track::Track;
use crate::media::Reel;
use crate::media::command::TapeKey;

/// Where and how recordings are kept.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Of all recordings.
    pub(crate) folder: PathBuf,
    /// Octets of the disk that are left to others.
    pub(crate) keep_free: u64,
    /// For how many days they are kept; 0: for good.
    pub(crate) keep_days: u32,
}

/// The handle of both threads. Dropping it closes what is open and waits for them.
#[derive(Debug)]
pub(crate) struct Recorder {
    orders: Option<SyncSender<Order>>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Makes the folder (mode 0700) if there is none, starts the threads and finishes what an earlier run did not. Sound comes by
    /// `reels`, reports go to `reports`.
    ///
    /// # Errors
    /// The folder cannot be used, or there are no threads.
    pub(crate) fn start(
        options: Options,
        reels: Receiver<Reel>,
        reports: mpsc::Sender<Report>,
    ) -> io::Result<Self> {
        let unfinished = options.folder.join(UNFINISHED);
        DirBuilder::new().recursive(true).mode(0o700).create(&unfinished)?;
        let left: Vec<String> = fs::read_dir(&unfinished)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let (orders, taken) = sync_channel(QUEUE);
        let (closed, to_finish) = sync_channel(QUEUE);
        let finisher = Finisher { options: options.clone(), left, closed: to_finish };
        let told = reports.clone();
        let finishing = thread::Builder::new()
            .name("recorder-finish".to_owned())
            .spawn(move || finisher.run(&told))?;
        let desk = Desk {
            options,
            orders: taken,
            reels,
            reports,
            closed,
            sessions: BTreeMap::new(),
            tapes: BTreeMap::new(),
            early: Vec::new(),
            settled: Vec::new(),
            space_due: read_clock(),
        };
        let thread = thread::Builder::new().name("recorder".to_owned()).spawn(move || {
            desk.run();
            if finishing.join().is_err() {
                tracing::error!("the thread that finishes recordings has panicked");
            }
        })?;
        Ok(Self { orders: Some(orders), thread: Some(thread) })
    }

    /// Has something done. Never waits.
    pub(crate) fn order(&self, order: Order) {
        let Some(orders) = &self.orders else { return };
        match orders.try_send(order) {
            Ok(()) => {}
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                tracing::error!(?order, "the recorder does not keep up: an order is lost");
            }
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the recorder has panicked");
        }
    }
}

/// What the recorder's thread owns.
struct Desk {
    options: Options,
    orders: Receiver<Order>,
    reels: Receiver<Reel>,
    reports: mpsc::Sender<Report>,
    closed: SyncSender<Closed>,
    sessions: BTreeMap<RecordingId, Session>,
    /// Whose tracks come by which name.
    tapes: BTreeMap<TapeKey, RecordingId>,
    /// Reels that came before their tracks, and until when these are waited for.
    early: Vec<(Instant, Reel)>,
    /// Those that are finished, and when that is surely known to the store.
    settled: Vec<(Instant, RecordingId)>,
    /// When to look how full the disk is.
    space_due: Instant,
}

/// A recording that goes on, or ends.
struct Session {
    folder: PathBuf,
    since: Instant,
    tracks: Vec<Track>,
    flush_due: Instant,
    /// At which tick it ends, and until when what comes late is waited for.
    end: Option<(u32, Instant)>,
    has_failed: bool,
}

impl Desk {
    fn run(mut self) {
        let mut due = read_clock();
        loop {
            let is_idle =
                self.sessions.is_empty() && self.settled.is_empty() && self.early.is_empty();
            let wait = due.saturating_duration_since(read_clock());
            match self.orders.recv_timeout(if is_idle { IDLE } else { wait }) {
                Ok(order) => self.handle(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            let now = read_clock();
            if now >= due {
                self.look(now);
                due = read_clock() + EVERY;
            }
        }
        self.look(read_clock());
        for session in self.sessions.values_mut() {
            for track in &mut session.tracks {
                if let Err(error) = track.finish() {
                    tracing::error!(%error, path = %track.path.display(), "a recording is cut off");
                }
            }
        }
    }

    fn handle(&mut self, order: Order) {
        match order {
            Order::Begin { recording, since, body } => {
                if let Err(error) = self.begin(recording, since, &body) {
                    self.fail(recording, &error);
                }
            }
            Order::Track { recording, name, tape, shape } => {
                let begun = self.begin_track((recording, tape), &name, shape);
                if let Err(error) = begun {
                    self.fail(recording, &error);
                }
            }
            Order::Describe { recording, body } => self.describe(recording, &body),
            Order::Finish { recording, ticks, body } => {
                self.describe(recording, &body);
                let now = read_clock();
                match self.sessions.get_mut(&recording) {
                    Some(session) => session.end = Some((ticks, now + LATE)),
                    // It never began.
                    None => self.tell(Report::Finished { recording, tracks: Vec::new() }),
                }
            }
            Order::Discard(recording) => self.discard(recording),
        }
    }

    fn begin(&mut self, recording: RecordingId, since: Instant, body: &str) -> io::Result<()> {
        let folder = self.folder(recording);
        DirBuilder::new().mode(0o700).create(&folder)?;
        fs::write(self.marker(recording), "")?;
        let session = Session {
            folder,
            since,
            tracks: Vec::new(),
            flush_due: since + FLUSH_EVERY,
            end: None,
            has_failed: false,
        };
        self.sessions.insert(recording, session);
        write_whole(&self.folder(recording), body)?;
        free(&self.options)
    }

    fn begin_track(
        &mut self,
        (recording, tape): (RecordingId, TapeKey),
        name: &str,
        shape: Shape,
    ) -> io::Result<()> {
        let Some(session) = self.sessions.get_mut(&recording).filter(|session| !session.has_failed)
        else {
            return Ok(());
        };
        session.tracks.push(Track::create(&session.folder, name, tape, shape)?);
        self.tapes.insert(tape, recording);
        Ok(())
    }

    fn describe(&mut self, recording: RecordingId, body: &str) {
        let folder = self.folder(recording);
        if !folder.exists() {
            return; // It has failed to begin, or was deleted.
        }
        if let Err(error) = write_whole(&folder, body) {
            self.fail(recording, &error);
        }
    }

    fn discard(&mut self, recording: RecordingId) {
        self.sessions.remove(&recording);
        self.settle(recording);
        match fs::remove_dir_all(self.folder(recording)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::error!(%recording, %error, "the files of a recording cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// Writes what has come, and closes what is over.
    fn look(&mut self, now: Instant) {
        self.sort_reels(now);
        let mut failed = Vec::new();
        for (&recording, session) in &mut self.sessions {
            if let Err(error) = session.drain(now)
                && !session.has_failed
            {
                failed.push((recording, error));
            }
        }
        if now >= self.space_due && !self.sessions.is_empty() {
            self.space_due = now + SPACE_EVERY;
            if let Err(error) = free(&self.options) {
                let going_on = self.sessions.iter().filter(|(_, session)| !session.has_failed);
                failed.extend(going_on.map(|(&recording, _)| {
                    (recording, io::Error::new(error.kind(), error.to_string()))
                }));
            }
        }
        for (recording, error) in failed {
            self.fail(recording, &error);
        }
        self.close(now);
        let (over, kept) = self.settled.drain(..).partition(|(due, _)| *due <= now);
        self.settled = kept;
        let over: Vec<(Instant, RecordingId)> = over;
        for (_, recording) in over {
            self.settle(recording);
        }
    }

    /// Gives each reel to its track. One that comes before its track waits; there are few.
    fn sort_reels(&mut self, now: Instant) {
        let mut early = std::mem::take(&mut self.early);
        early.extend(self.reels.try_iter().map(|reel| (now + LATE, reel)));
        for (until, reel) in early {
            let recording = self.tapes.get(&reel.key);
            let session = recording.and_then(|recording| self.sessions.get_mut(recording));
            let mut tracks = session.into_iter().flat_map(|session| &mut session.tracks);
            match tracks.find(|track| track.tape == reel.key) {
                Some(track) => track.take_reel(reel),
                None if now < until => self.early.push((until, reel)),
                None => {}
            }
        }
    }

    /// Hands those whose last sound is written to the finisher.
    fn close(&mut self, now: Instant) {
        let over = |(&recording, session): (&RecordingId, &Session)| {
            let (_, patience) = session.end?;
            let is_all = session.tracks.iter().all(Track::is_cut);
            (is_all || now >= patience).then_some(recording)
        };
        let over: Vec<RecordingId> = self.sessions.iter().filter_map(over).collect();
        for recording in over {
            let Some(mut session) = self.sessions.remove(&recording) else { continue };
            self.tapes.retain(|_, of| *of != recording);
            if let Err(error) = session.finish()
                && !session.has_failed
            {
                self.tell(Report::Failed { recording, failure: failure(&error) });
            }
            let lost_ms = |track: &Track| u64::from(track.lost) * 20;
            let tracks = session.tracks.iter().map(|track| (track.path.clone(), lost_ms(track)));
            self.settled.push((now + SETTLED_AFTER, recording));
            if self.closed.send(Closed { recording, tracks: tracks.collect() }).is_err() {
                tracing::error!(%recording, "nobody finishes recordings any more");
            }
        }
    }

    fn fail(&mut self, recording: RecordingId, error: &io::Error) {
        tracing::error!(%recording, %error, "a recording cannot go on");
        if let Some(session) = self.sessions.get_mut(&recording) {
            session.has_failed = true;
        }
        self.tell(Report::Failed { recording, failure: failure(error) });
    }

    fn tell(&self, report: Report) {
        // Without a bridge we are stopping.
        drop(self.reports.blocking_send(report));
    }

    /// It needs no mending any more.
    fn settle(&self, recording: RecordingId) {
        drop(fs::remove_file(self.marker(recording)));
    }

    fn folder(&self, recording: RecordingId) -> PathBuf {
        self.options.folder.join(recording.to_string())
    }

    fn marker(&self, recording: RecordingId) -> PathBuf {
        self.options.folder.join(UNFINISHED).join(recording.to_string())
    }
}

impl Session {
    fn drain(&mut self, now: Instant) -> io::Result<()> {
        if self.has_failed {
            return Ok(());
        }
        let end = self.end.map_or(u32::MAX, |(end, _)| end);
        let is_flushed = now >= self.flush_due;
        let past = ticks_since(self.since, now).saturating_sub(BEHIND).min(end);
        for track in &mut self.tracks {
            track.drain(end)?;
            track.advance(past)?;
            if is_flushed {
                track.flush()?;
            }
        }
        if is_flushed {
            self.flush_due = now + FLUSH_EVERY;
        }
        Ok(())
    }

    /// Makes all of its files whole, as far as that can be.
    fn finish(&mut self) -> io::Result<()> {
        let end = self.end.map_or(0, |(end, _)| end);
        let mut result = Ok(());
        for track in &mut self.tracks {
            let silence = if self.has_failed { Ok(()) } else { track.advance(end) };
            let finished = track.finish();
            result = result.and(silence).and(finished);
        }
        result
    }
}

/// What the other thread owns.
struct Finisher {
    options: Options,
    /// Names of what an earlier run did not finish.
    left: Vec<String>,
    closed: Receiver<Closed>,
}

impl Finisher {
    fn run(self, reports: &mpsc::Sender<Report>) {
        for name in &self.left {
            match finish::recover(&self.options.folder.join(name)) {
                Ok(report) => drop(reports.blocking_send(report)),
                Err(error) => {
                    tracing::error!(recording = name, %error, "a recording that was cut off cannot be mended");
                }
            }
            drop(fs::remove_file(self.options.folder.join(UNFINISHED).join(name)));
        }
        loop {
            match self.closed.recv_timeout(CLEAN_EVERY) {
                Ok(closed) => drop(reports.blocking_send(closed.report())),
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(error) = self.clean() {
                        tracing::warn!(%error, "old recordings cannot be deleted now");
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Deletes what has been kept for long enough.
    fn clean(&self) -> io::Result<()> {
        let Options { folder, keep_days, .. } = &self.options;
        let kept_for = SignedDuration::from_hours(24 * i64::from(*keep_days));
        let Some(before) = Timestamp::now().checked_sub(kept_for).ok().filter(|_| *keep_days > 0)
        else {
            return Ok(());
        };
        let before = RecordingId::new(u64::try_from(before.as_millisecond()).unwrap_or(0), 0);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<RecordingId>().ok());
            if id.is_some_and(|id| id < before) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Refuses to go on where the disk is nearly full.
fn free(options: &Options) -> io::Result<()> {
    let disk = rustix::fs::statvfs(&options.folder)?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= options.keep_free {
        return Ok(());
    }
    let why = format!(
        "the disk of recordings has {} MB left and recordings.keep_free is {} MB: delete some, or move the folder `data`",
        free >> 20,
        options.keep_free >> 20
    );
    Err(io::Error::new(ErrorKind::StorageFull, why))
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other kinds of errors are all the same here"
)]
fn failure(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::DiskFull(error.to_string()),
        ErrorKind::FileTooLarge => Failure::TooLong,
        _ => Failure::Disk(error.to_string()),
    }
}

/// A description is there whole or not at all.
fn write_whole(folder: &Path, body: &str) -> io::Result<()> {
    let new = folder.join("recording.json.new");
    fs::write(&new, body)?;
    fs::rename(&new, folder.join(DESCRIPTION))
}

fn ticks_since(since: Instant, now: Instant) -> u32 {
    let ticks = now.saturating_duration_since(since).as_millis() / 20;
    u32::try_from(ticks).unwrap_or(u32::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the recorder is a shell around files")]
fn read_clock() -> Instant {
    Instant::now()
}

/// Describes a recording, in its folder.
const DESCRIPTION: &str = "recording.json";
/// The folder that names those that would have to be mended.
const UNFINISHED: &str = "unfinished";
/// Orders, and recordings to be finished, that may wait.
const QUEUE: usize = 4_096;
/// Between two looks at what has come.
const EVERY: Duration = Duration::from_millis(100);
/// How long a kill may lose.
const FLUSH_EVERY: Duration = Duration::from_secs(1);
/// Between two looks at how full the disk is.
const SPACE_EVERY: Duration = Duration::from_secs(1);
/// How long sound of the end may come late.
const LATE: Duration = Duration::from_secs(1);
/// After so long the store surely knows what was told.
const SETTLED_AFTER: Duration = Duration::from_mins(1);
/// Without sound, so many ticks behind the clock silence is written.
const BEHIND: u32 = 100;
/// Between two looks for what is too old.
const CLEAN_EVERY: Duration = Duration::from_hours(1);
/// Nothing is to be done but what is ordered.
const IDLE: Duration = Duration::from_hours(1);
