//! Jitter buffer: takes encoded packets as the network brings them, gives them back when it is their turn.
//!
//! There is one timeline. A packet's media time plus the transit of the fastest recent packet is when it could be
//! played at the earliest; how much later it *is* played is the delay. The delay is steered towards a target that
//! covers the jitter seen lately (its `delay` module), by what is decoded: whoever pulls asks [`JitterBuffer::stretch`]
//! whether to play it longer or shorter (its `corridor` module), and so pulls the next packet later or sooner.
//!
//! ```text
//!   insert ──▶ cells ──▶ pull ──▶ decode ──▶ stretch ──▶ heard
//!                │         ▲                    │
//!                └ ceiling: drop                └── longer or shorter ── corridor ◀── delay, target
//! ```
//! Drift of the sender's clock needs no care of its own: it shows as a delay that leaves its corridor. A missing
//! packet's turn is over when as much as it held has been made up.

mod clock;
mod corridor;
mod delay;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use self::clock::MediaClock;
use self::corridor::{Corridor, Standing};
use self::delay::DelayEstimator;
use crate::rtp::{AudioLevel, RtpTimestamp, Sequence, Ssrc};

/// Limits of a [`JitterBuffer`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct JitterOptions {
    /// The target never falls below.
    pub min: Duration,
    /// The delay never stays above: what would be later is dropped.
    pub max: Duration,
    /// Packets held, and the largest gap in sequence numbers that is waited for.
    pub max_packets: usize,
    /// Payload octets held.
    pub max_octets: usize,
}

impl Default for JitterOptions {
    /// 0 to 200 ms, 128 packets, 64 KiB.
    fn default() -> Self {
        Self {
            min: Duration::ZERO,
            max: Duration::from_millis(200),
            max_packets: 128,
            max_octets: 64 * 1024,
        }
    }
}

/// One packet for [`JitterBuffer::insert`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Incoming<'a> {
    /// Who sends; a new one starts the buffer afresh.
    pub ssrc: Ssrc,
    /// From the header.
    pub sequence: Sequence,
    /// From the header.
    pub timestamp: RtpTimestamp,
    /// From the header.
    pub marker: bool,
    /// From the header.
    pub payload_type: u8,
    /// How loud it says it is.
    pub level: Option<AudioLevel>,
    /// Encoded audio; copied. Empty where there is nothing to hear.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Inserted {
    /// It waits for its turn.
    Kept,
    /// It waits, and the first of a new stream: what was held before is gone.
    Restarted,
    /// It came twice.
    Duplicate,
    /// Its turn is over.
    Late,
    /// Its sequence number is far off and nothing confirms it yet, or a limit is reached.
    Refused,
}

/// What to play next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pulled<'a> {
    /// Decode this.
    Packet {
        /// From the header.
        payload_type: u8,
        /// From the header.
        marker: bool,
        /// From the header.
        timestamp: RtpTimestamp,
        /// How loud it says it is.
        level: Option<AudioLevel>,
        /// Encoded audio.
        payload: &'a [u8],
        /// Packets that were dropped right before this one to shorten the delay; a cross-fade hides the seam.
        cut: u16,
    },
    /// Make something up.
    Lost {
        /// Payload of the packet right behind the lost one, if it is there: it may carry FEC.
        next: Option<&'a [u8]>,
        /// For so long.
        length: Duration,
    },
    /// Nothing to play: not started, a pause of the sender, or a starvation that concealment cannot hide.
    Empty,
}

/// How to change what is decoded, for [`JitterBuffer::stretch`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stretch {
    /// Not at all.
    Keep,
    /// Leave out so much, at most.
    Shorter(Duration),
    /// Add something.
    Longer {
        /// So much where anything can be added.
        by: Duration,
        /// No more than this where only whole periods can.
        most: Duration,
    },
}

/// What happened to the packets of one buffer since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct JitterCounters {
    /// Given out.
    pub played: u64,
    /// Came after their turn.
    pub late: u64,
    /// Came twice.
    pub duplicate: u64,
    /// Dropped to shorten the delay, or flushed by a restart.
    pub dropped: u64,
    /// Turns that passed without their packet.
    pub missed: u64,
    /// Refused by a limit, or off in sequence.
    pub refused: u64,
    /// [`Pulled::Lost`] given out.
    pub concealed: u64,
}

/// Holds the packets of one received stream. Bounded in packets and octets; allocates only while it grows.
#[derive(Debug)]
pub struct JitterBuffer {
    options: Limits,
    /// Zero of the microseconds below.
    epoch: Option<Instant>,
    /// The last instant that was asked for, in them: a tick asks for one several times.
    known: Option<(Instant, i64)>,
    clock: MediaClock,
    ssrc: Option<Ssrc>,
    /// Sequence number of the first cell.
    next: Sequence,
    cells: VecDeque<Cell>,
    octets: usize,
    /// Emptied payloads for the next packets.
    spare: Vec<Vec<u8>>,
    current: Vec<u8>,
    /// What the next packet must be numbered to confirm a jump (RFC 3550 A.1).
    suspect: Option<Sequence>,
    delay: DelayEstimator,
    playout: Playout,
    corridor: Corridor,
    wants_next: bool,
    counters: JitterCounters,
}

impl JitterBuffer {
    /// Makes an empty buffer for a stream with this RTP clock, in Hz.
    pub fn new(options: JitterOptions, clock_rate: u32) -> Self {
        Self {
            options: Limits::new(options),
            epoch: None,
            known: None,
            clock: MediaClock::new(clock_rate),
            ssrc: None,
            next: Sequence::default(),
            cells: VecDeque::new(),
            octets: 0,
            spare: Vec::new(),
            current: Vec::new(),
            suspect: None,
            delay: DelayEstimator::new(),
            playout: Playout::default(),
            corridor: Corridor::default(),
            wants_next: false,
            counters: JitterCounters::default(),
        }
    }

    /// Changes the RTP clock, in Hz. A changed one empties the buffer; the same one does nothing.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        if !self.clock.is_at(clock_rate) {
            self.reset();
            self.clock = MediaClock::new(clock_rate);
        }
    }

    /// Says whether a lost packet can be rebuilt from the one behind it (Opus in-band FEC). While packets
    /// get lost the target is then one packet higher, so that the one behind has come.
    pub fn set_wants_next(&mut self, wants_next: bool) {
        self.wants_next = wants_next;
    }

    /// Forgets the stream and what is held, but not the counters.
    pub fn reset(&mut self) {
        self.flush();
        self.ssrc = None;
        self.suspect = None;
        self.delay.reset();
        self.clock.reset();
        self.corridor.reset();
        self.playout = Playout::default();
    }

    /// Takes a packet that arrived at `now` (kernel time where there is one).
    pub fn insert(&mut self, now: Instant, incoming: Incoming<'_>) -> Inserted {
        if incoming.payload.len() > MAX_PAYLOAD {
            self.counters.refused += 1;
            return Inserted::Refused;
        }
        let now = self.micros(now);
        let place = self.place(incoming.ssrc, incoming.sequence);
        let inserted = match place {
            Place::Cell(index) => self.keep(now, index, &incoming),
            Place::Restart => {
                self.restart_at(incoming.sequence);
                let kept = self.keep(now, 0, &incoming);
                if kept == Inserted::Kept { Inserted::Restarted } else { kept }
            }
            Place::Late => Inserted::Late,
            Place::Nowhere => Inserted::Refused,
        };
        self.count(inserted);
        inserted
    }

    /// Marks a sequence number as used by something that is not audio (RFC 4733): it is not missing.
    pub fn skip(&mut self, ssrc: Ssrc, sequence: Sequence) {
        self.mark(ssrc, sequence, Cell::Other);
    }

    /// Marks a sequence number as used to say that a pause begins or goes on (RFC 3389): what does not come is not lost.
    pub fn pause(&mut self, ssrc: Ssrc, sequence: Sequence) {
        self.mark(ssrc, sequence, Cell::Pause);
    }

    fn mark(&mut self, ssrc: Ssrc, sequence: Sequence, mark: Cell) {
        match self.place(ssrc, sequence) {
            Place::Cell(index) if matches!(self.cells[index], Cell::Missing) => {
                self.cells[index] = mark;
            }
            Place::Restart => self.restart_at(sequence.next()),
            Place::Cell(_) | Place::Late | Place::Nowhere => {}
        }
    }

    /// Gives what to play from `now` on. Called when the slot needs another packet's worth of audio.
    pub fn pull(&mut self, now: Instant) -> Pulled<'_> {
        let now = self.micros(now);
        self.playout.now = now;
        self.pop_others();
        let cut = self.enforce_ceiling(now);
        let Some((gap, media)) = self.head() else { return self.starve(now) };

        let delay = self.delay_at(now, media);
        let early = delay + self.clock.interval() / SLACK < self.target_at(now);
        if !self.playout.playing {
            return if early && !self.overfull() {
                Pulled::Empty
            } else {
                self.play(gap, delay, cut)
            };
        }
        let hole = media - self.playout.end - self.playout.made;
        let is_open = hole > self.clock.interval() / 2;
        let waits = match gap {
            0 => early, // A pause of the sender.
            _ => delay < self.target_at(now) + HOLE_EXCESS,
        };
        if is_open && waits && !self.overfull() {
            return self.conceal(now, gap, hole);
        }
        self.play(gap, delay, cut + u16::from(is_open && gap > 0))
    }

    /// Says how what was pulled should change in length, with `held` of it not heard before `now`.
    ///
    /// Ask when enough for the tick is decoded; changes with each pull and with `held`.
    pub fn stretch(&mut self, now: Instant, held: Duration) -> Stretch {
        let now = self.micros(now);
        if !self.playout.playing || self.playout.made > 0 {
            return Stretch::Keep; // What was made up may stand for what is still to come.
        }
        let held = micros_of(held);
        self.playout.delay = self.delay_at(now + held, self.playout.end);
        let wish = self.corridor.stretch(Standing {
            delay: self.playout.delay,
            target: self.target_at(now),
            held,
            interval: self.clock.interval(),
        });
        match wish {
            // Whatever the figures say: what has not come cannot be played sooner.
            Stretch::Shorter(by) if self.audio_cells() == 0 => {
                let beyond = duration(held - TICK);
                if beyond.is_zero() { Stretch::Keep } else { Stretch::Shorter(by.min(beyond)) }
            }
            Stretch::Shorter(_) | Stretch::Longer { .. } | Stretch::Keep => wish,
        }
    }

    /// How late what is played is after the earliest it could have been.
    pub fn delay(&self) -> Duration {
        duration(self.playout.delay)
    }

    /// What the delay is steered to.
    pub fn target(&self) -> Duration {
        duration(self.target_at(self.playout.now))
    }

    /// Audio held.
    pub fn held(&self) -> Duration {
        let packets = i64::try_from(self.audio_cells()).unwrap_or(i64::MAX);
        duration(packets.saturating_mul(self.clock.interval()))
    }

    /// Spacing of packets as learned from their timestamps; 20 ms until then.
    pub fn interval(&self) -> Duration {
        duration(self.clock.interval())
    }

    /// What happened so far.
    pub fn counters(&self) -> JitterCounters {
        self.counters
    }

    fn restart_at(&mut self, sequence: Sequence) {
        self.flush();
        self.next = sequence;
        self.playout.playing = false;
        self.playout.started = false;
    }

    fn micros(&mut self, now: Instant) -> i64 {
        if let Some((known, micros)) = self.known
            && known == now
        {
            return micros;
        }
        let epoch = *self.epoch.get_or_insert(now);
        let micros = now
            .checked_duration_since(epoch)
            .map_or_else(|| -micros_of(epoch.saturating_duration_since(now)), micros_of);
        self.known = Some((now, micros));
        micros
    }

    /// Finds the cell of a sequence number and makes room for it.
    fn place(&mut self, ssrc: Ssrc, sequence: Sequence) -> Place {
        if self.ssrc != Some(ssrc) {
            self.reset();
            self.ssrc = Some(ssrc);
            return Place::Restart;
        }
        let ahead = i32::from(sequence.distance_from(self.next));
        let room = i32::try_from(self.options.packets).unwrap_or(i32::MAX);
        match ahead {
            0.. if ahead < room => {
                self.suspect = None;
                let index = ahead.unsigned_abs() as usize; // Below the room, a usize.
                while self.cells.len() <= index {
                    self.cells.push_back(Cell::Missing);
                }
                Place::Cell(index)
            }
            0..MAX_DROPOUT => {
                self.counters.missed += u64::from(ahead.unsigned_abs());
                Place::Restart
            }
            NOT_MISORDERED..0 if !self.playout.started => self.place_before_start(ahead),
            NOT_MISORDERED..0 => Place::Late,
            _ => self.place_jump(sequence),
        }
    }

    /// Before anything was played a reordered packet still has its turn.
    fn place_before_start(&mut self, ahead: i32) -> Place {
        let more = ahead.unsigned_abs() as usize; // At most NOT_MISORDERED.
        if self.cells.len() + more > self.options.packets {
            return Place::Late;
        }
        for _ in 0..more {
            self.cells.push_front(Cell::Missing);
            self.next = Sequence::new(self.next.number().wrapping_sub(1));
        }
        Place::Cell(0)
    }

    /// RFC 3550 A.1: a large jump counts only when the next packet follows it.
    fn place_jump(&mut self, sequence: Sequence) -> Place {
        if self.suspect == Some(sequence) {
            self.suspect = None;
            return Place::Restart;
        }
        self.suspect = Some(sequence.next());
        Place::Nowhere
    }

    fn keep(&mut self, now: i64, index: usize, incoming: &Incoming<'_>) -> Inserted {
        if self.cells.is_empty() {
            self.cells.push_back(Cell::Missing);
        }
        if !matches!(self.cells[index], Cell::Missing) {
            return Inserted::Duplicate;
        }
        if self.octets + incoming.payload.len() > self.options.octets {
            return Inserted::Refused;
        }
        let media = self.time(now, incoming);
        let payload = self.stored(incoming.payload);
        self.octets += payload.len();
        self.cells[index] = Cell::Audio(Held {
            media,
            timestamp: incoming.timestamp,
            marker: incoming.marker,
            payload_type: incoming.payload_type,
            level: incoming.level,
            payload,
        });
        Inserted::Kept
    }

    /// A copy in memory that was used before; nothing takes none.
    fn stored(&mut self, octets: &[u8]) -> Vec<u8> {
        if octets.is_empty() {
            return Vec::new();
        }
        // What was played last is the nearest at hand.
        let mut payload = std::mem::take(&mut self.current);
        if payload.capacity() == 0 {
            payload = self.spare.pop().unwrap_or_default();
        }
        payload.clear();
        // Of a codec with a variable rate the first packets are seldom the longest.
        payload.reserve(octets.len().next_multiple_of(USUAL_PAYLOAD));
        payload.extend_from_slice(octets);
        payload
    }

    /// Keeps the memory of a payload for another.
    fn recycle(&mut self, payload: Vec<u8>) {
        if payload.capacity() > 0 {
            self.spare.push(payload);
        }
    }

    /// Places a timestamp on the timeline and learns from its arrival.
    fn time(&mut self, now: i64, incoming: &Incoming<'_>) -> i64 {
        let mut media = self.clock.media(incoming.sequence, incoming.timestamp);
        let delay = self.delay.delay_of(now - media);
        if !(-JUMP_AHEAD..=JUMP_BEHIND).contains(&delay) {
            self.clock.shift(delay); // The timestamps jumped: this one is on time by definition.
            media += delay;
        }
        self.delay.observe(now, now - media, self.clock.interval());
        media
    }

    fn count(&mut self, inserted: Inserted) {
        match inserted {
            Inserted::Kept | Inserted::Restarted => {}
            Inserted::Duplicate => self.counters.duplicate += 1,
            Inserted::Late => self.counters.late += 1,
            Inserted::Refused => self.counters.refused += 1,
        }
    }

    fn delay_at(&self, now: i64, media: i64) -> i64 {
        now - media - self.delay.base()
    }

    fn target_at(&self, now: i64) -> i64 {
        let for_next = if self.wants_next && now < self.playout.lossy_until {
            self.clock.interval()
        } else {
            0
        };
        let most = (self.options.max - self.clock.interval()).max(self.options.min);
        (self.delay.target(now) + for_next).clamp(self.options.min, most)
    }

    /// Cells in front of the first packet, and its media time.
    fn head(&self) -> Option<(usize, i64)> {
        self.cells.iter().enumerate().find_map(|(gap, cell)| match cell {
            Cell::Audio(held) => Some((gap, held.media)),
            Cell::Missing | Cell::Other | Cell::Pause => None,
        })
    }

    fn audio_cells(&self) -> usize {
        self.cells.iter().filter(|cell| matches!(cell, Cell::Audio(_))).count()
    }

    /// More is held than the ceiling allows, whatever the timestamps say.
    fn overfull(&self) -> bool {
        let packets = i64::try_from(self.audio_cells()).unwrap_or(i64::MAX);
        packets.saturating_mul(self.clock.interval()) > self.options.max + self.clock.interval()
    }

    /// Drops packets while the delay is above the ceiling; returns how many.
    fn enforce_ceiling(&mut self, now: i64) -> u16 {
        let mut cut = 0;
        while let Some((gap, media)) = self.head()
            && self.cells.len() > gap + 1 // A lone packet is played however late: there is nothing better.
            && self.delay_at(now, media) > self.options.max
        {
            self.discard(gap + 1);
            self.corridor.moved();
            cut += 1;
        }
        cut
    }

    fn pop_others(&mut self) {
        while let Some(cell @ (Cell::Other | Cell::Pause)) = self.cells.front() {
            self.playout.playing &= matches!(cell, Cell::Other);
            self.cells.pop_front();
            self.next = self.next.next();
        }
    }

    /// Removes the first `count` cells unheard.
    fn discard(&mut self, count: usize) {
        for _ in 0..count {
            match self.pop() {
                Some(Cell::Audio(held)) => {
                    self.recycle(held.payload);
                    self.counters.dropped += 1;
                }
                Some(Cell::Missing) => self.counters.missed += 1,
                Some(Cell::Other | Cell::Pause) | None => {}
            }
        }
    }

    fn pop(&mut self) -> Option<Cell> {
        let cell = self.cells.pop_front()?;
        self.next = self.next.next();
        if let Cell::Audio(held) = &cell {
            self.octets -= held.payload.len();
        }
        Some(cell)
    }

    fn flush(&mut self) {
        self.discard(self.cells.len());
    }

    fn starve(&mut self, now: i64) -> Pulled<'_> {
        let most = self.clock.interval().min(TICK);
        if self.make_up(now, most) { lost(None, most) } else { Pulled::Empty }
    }

    /// Accounts for something made up; false if it is a pause by now.
    fn make_up(&mut self, now: i64, length: i64) -> bool {
        let since = *self.playout.starved_since.get_or_insert(now);
        self.playout.playing &= now - since < CONCEAL_MOST;
        if self.playout.playing {
            self.corridor.moved();
            self.playout.made += length;
            self.counters.concealed += 1;
        }
        self.playout.playing
    }

    /// Waits for the turn of the packet behind `gap` missing ones, which comes in `hole` microseconds.
    fn conceal(&mut self, now: i64, gap: usize, hole: i64) -> Pulled<'_> {
        let whole = self.clock.interval();
        let is_last = gap > 0 && hole < whole * 3 / 2;
        let length = if is_last { whole } else { whole.min(TICK) };
        if !self.make_up(now, length) {
            return Pulled::Empty;
        }
        match self.cells.get(gap) {
            Some(Cell::Audio(held)) if is_last => lost(Some(&held.payload), length),
            _ => lost(None, length),
        }
    }

    fn play(&mut self, gap: usize, delay: i64, cut: u16) -> Pulled<'_> {
        let missed = self.counters.missed;
        self.discard(gap);
        if self.counters.missed > missed {
            self.playout.lossy_until = self.playout.now + LOSS_MEMORY;
        }
        let Some(Cell::Audio(held)) = self.pop() else { return Pulled::Empty };
        self.counters.played += 1;
        self.playout.playing = true;
        self.playout.started = true;
        self.playout.starved_since = None;
        self.playout.made = 0;
        self.playout.delay = delay;
        self.playout.end = held.media + self.clock.interval();
        let before = std::mem::replace(&mut self.current, held.payload);
        self.recycle(before);
        Pulled::Packet {
            payload_type: held.payload_type,
            marker: held.marker,
            timestamp: held.timestamp,
            level: held.level,
            payload: &self.current,
            cut,
        }
    }
}

/// Where a sequence number belongs.
enum Place {
    Cell(usize),
    Restart,
    Late,
    Nowhere,
}

#[derive(Debug)]
enum Cell {
    Missing,
    /// Came, but is not audio.
    Other,
    /// Says that there is none.
    Pause,
    Audio(Held),
}

#[derive(Debug)]
struct Held {
    /// On the buffer's timeline, microseconds.
    media: i64,
    timestamp: RtpTimestamp,
    marker: bool,
    payload_type: u8,
    level: Option<AudioLevel>,
    payload: Vec<u8>,
}

/// What was played last; times in microseconds.
#[derive(Debug, Default)]
struct Playout {
    /// Time of the last pull.
    now: i64,
    /// Something was played since the last restart of the stream.
    started: bool,
    /// In the middle of a talk spurt.
    playing: bool,
    /// Media time where the last packet ended.
    end: i64,
    delay: i64,
    starved_since: Option<i64>,
    /// Made up since then.
    made: i64,
    /// Losses were seen lately.
    lossy_until: i64,
}

/// [`JitterOptions`] in the units of the inside.
#[derive(Debug)]
struct Limits {
    min: i64,
    max: i64,
    packets: usize,
    octets: usize,
}

impl Limits {
    fn new(options: JitterOptions) -> Self {
        Self {
            min: micros_of(options.min),
            max: micros_of(options.max.max(options.min)),
            packets: options.max_packets.clamp(4, 1_024),
            octets: options.max_octets,
        }
    }
}

fn lost(next: Option<&[u8]>, micros: i64) -> Pulled<'_> {
    Pulled::Lost { next, length: duration(micros) }
}

fn micros_of(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds.saturating_mul(1_000_000).saturating_add(duration.subsec_micros().into())
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.max(0).unsigned_abs())
}

/// Larger payloads do not come in one Ethernet frame.
const MAX_PAYLOAD: usize = 1_500;
/// A turn has come when the delay is within this part of an interval of the target: 2.5 ms at 20 ms.
const SLACK: i64 = 8;
/// RFC 3550 A.1 `MAX_DROPOUT`: a gap up to this is loss, beyond it a restart that must be confirmed.
const MAX_DROPOUT: i32 = 3_000;
/// RFC 3550 A.1 `MAX_MISORDER`, negated.
const NOT_MISORDERED: i32 = -100;
/// Memory for a payload comes in so many octets: 20 ms of G.711, or most packets of Opus.
const USUAL_PAYLOAD: usize = 160;
/// A packet this much too early or late for its timestamp shows that the timestamps jumped.
const JUMP_AHEAD: i64 = 500_000;
const JUMP_BEHIND: i64 = 1_500_000;
/// Starvation longer than this is a pause.
const CONCEAL_MOST: i64 = 100_000;
/// After a loss the target leaves room for FEC for this long.
const LOSS_MEMORY: i64 = 5_000_000;
/// What is lost is not even made up if the delay is this much above the target.
const HOLE_EXCESS: i64 = 40_000;
/// What is made up at once while nothing comes.
const TICK: i64 = 20_000;

#[cfg(test)]
mod tests;
