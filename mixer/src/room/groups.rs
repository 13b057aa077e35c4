//! Who hears whom: voices are summed by group, and a listener hears groups, each so loud, not people. So a relation costs
//! nothing for each pair: a sum for a group, and a mix for each way of hearing.
//!
//! ```text
//!  voices of group 0 ─▶ Σ ──┬────────────────────────────▶ the main way: who hears group 0 alone
//!  voices of group 1 ─▶ Σ ──┼─▶ × gains ─▶ Σ ─▶ limit ───▶ another way: one encoder for each encoding
//!  voices of group 2 ─▶ Σ ──┘
//! ```
//! A room where all hear all has one group and one way, and pays for no more.

use super::{MAX_FRAME, Mix};
use crate::gain::Gain;
use crate::limiter::Limiter;
use crate::slot::Receiver;

/// Groups of a room.
pub const GROUPS: usize = 32;

/// Names a group: 0 is where everybody is unless told otherwise; below [`GROUPS`].
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct GroupId(u8);

impl GroupId {
    /// Where everybody is.
    pub const MAIN: Self = Self(0);

    /// The group of this number, if there is one.
    pub fn new(number: usize) -> Option<Self> {
        u8::try_from(number).ok().filter(|_| number < GROUPS).map(Self)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Which groups one hears, and how loud.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hearing {
    /// Factors; 0: not at all.
    gains: [f32; GROUPS],
    duck: Option<Duck>,
}

/// While this group speaks, all others are lowered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Duck {
    by: GroupId,
    factor: f32,
}

impl Default for Hearing {
    fn default() -> Self {
        Self::MAIN
    }
}

impl Hearing {
    /// Everybody who is where everybody is.
    pub const MAIN: Self = {
        let mut gains = [0.0; GROUPS];
        gains[0] = 1.0;
        Self { gains, duck: None }
    };
    /// Nobody.
    pub const NOTHING: Self = Self { gains: [0.0; GROUPS], duck: None };

    /// Hears this group too, changed by so many dB.
    #[must_use]
    pub fn with(mut self, group: GroupId, gain_db: f32) -> Self {
        self.gains[group.index()] = Gain::factor(gain_db);
        self
    }

    /// Hears all others lowered by so many dB while this group speaks.
    #[must_use]
    pub fn ducked_by(mut self, by: GroupId, by_db: f32) -> Self {
        self.duck = Some(Duck { by, factor: Gain::factor(-by_db.abs()) });
        self
    }

    /// Whether it hears this group at all.
    pub fn hears(&self, group: GroupId) -> bool {
        self.gains[group.index()] > 0.0
    }
}

/// Names a way of hearing in a room; 0 is the main one.
pub(super) type WayId = usize;

/// The groups beside the main one, and the ways of hearing beside the main one.
#[derive(Debug, Default)]
pub(super) struct Groups {
    /// Of the groups from 1 on, as far as there were voices.
    sums: Vec<Sum>,
    /// What is played to everybody, which is in the sum of the main group too.
    played: Sum,
    ways: Vec<Way>,
    frame: usize,
}

#[derive(Debug, Default)]
struct Sum {
    samples: Vec<i32>,
    voices: usize,
    farewell: Farewell,
}

/// Last words to a group of who has left since the last tick, as a voice of the next.
pub(super) type Farewell = Option<Box<[i16; MAX_FRAME]>>;

/// Lets who leaves in the middle of a word fade out.
pub(super) fn say_farewell(farewell: &mut Farewell, receiver: &mut Receiver, rate: u32) {
    let mut words = [0; MAX_FRAME];
    if receiver.say_farewell(rate, &mut words[..rate as usize / 50]) {
        let farewell = farewell.get_or_insert_with(|| Box::new([0; MAX_FRAME]));
        for (sum, word) in farewell.iter_mut().zip(words) {
            *sum = sum.saturating_add(word);
        }
    }
}

impl Sum {
    fn begin(&mut self, frame: usize) {
        self.voices = 0;
        self.samples.clear();
        self.samples.resize(frame, 0);
        if let Some(words) = self.farewell.take() {
            self.add(&words[..frame]);
        }
    }

    fn add(&mut self, voice: &[i16]) {
        self.voices += 1;
        for (sum, &sample) in self.samples.iter_mut().zip(voice) {
            *sum += i32::from(sample);
        }
    }

    fn add_sum(&mut self, samples: &[i32], voices: usize) {
        self.voices += voices;
        for (sum, &sample) in self.samples.iter_mut().zip(samples) {
            *sum += sample;
        }
    }
}

/// What those hear who hear alike.
#[derive(Debug)]
pub(super) struct Way {
    hearing: Hearing,
    members: usize,
    sum: Vec<i32>,
    voices: usize,
    common: Vec<i16>,
    limiter: Limiter,
    /// The factor of what is lowered, at the beginning and at the end of this tick.
    ducked: (f32, f32),
    /// Ticks since the group spoke that lowers the others.
    pause: u32,
}

impl Groups {
    /// True in a room where all hear all.
    pub(super) fn are_none(&self) -> bool {
        self.ways.is_empty() && self.sums.is_empty()
    }

    /// The way of who hears so, which counts one more.
    pub(super) fn join(&mut self, hearing: &Hearing) -> WayId {
        if *hearing == Hearing::MAIN {
            return 0;
        }
        let found = self.ways.iter().position(|way| way.members > 0 && way.hearing == *hearing);
        let at = found.or_else(|| self.ways.iter().position(|way| way.members == 0));
        let at = at.unwrap_or_else(|| {
            self.ways.push(Way::new(*hearing));
            self.ways.len() - 1
        });
        if self.ways[at].members == 0 {
            self.ways[at] = Way::new(*hearing);
        }
        self.ways[at].members += 1;
        at + 1
    }

    /// One less hears so.
    pub(super) fn leave(&mut self, way: WayId) {
        if let Some(way) = way.checked_sub(1).and_then(|at| self.ways.get_mut(at)) {
            way.members -= 1;
        }
    }

    /// Where last words to a group go; `main` is where those to the main one do.
    pub(super) fn farewell_in<'a>(
        &'a mut self,
        group: GroupId,
        main: &'a mut Farewell,
    ) -> &'a mut Farewell {
        if group == GroupId::MAIN { main } else { &mut self.sum_of(group).farewell }
    }

    pub(super) fn forget_farewells(&mut self) {
        self.sums.iter_mut().for_each(|sum| sum.farewell = None);
    }

    pub(super) fn begin(&mut self, frame: usize) {
        self.frame = frame;
        if self.are_none() {
            return;
        }
        self.played.begin(frame);
        self.sums.iter_mut().for_each(|sum| sum.begin(frame));
    }

    /// Adds a voice of a group that is not the main one. The first of a group allocates.
    pub(super) fn add(&mut self, group: GroupId, voice: &[i16]) {
        self.sum_of(group).add(voice);
    }

    fn sum_of(&mut self, group: GroupId) -> &mut Sum {
        let at = group.index() - 1;
        while self.sums.len() <= at {
            let mut sum = Sum::default();
            sum.begin(self.frame);
            self.sums.push(sum);
        }
        &mut self.sums[at]
    }

    /// Adds what is played to everybody, whatever they hear.
    pub(super) fn add_played(&mut self, heard: &[i16]) {
        if !self.ways.is_empty() {
            self.played.add(heard);
        }
    }

    /// The sums of this tick, for the other parts of the room.
    pub(super) fn told(&self) -> impl Iterator<Item = (GroupId, &[i32], usize)> {
        let spoken = self.sums.iter().zip(1..).filter(|(sum, _)| sum.voices > 0);
        spoken.map(|(sum, number)| (GroupId(number), &sum.samples[..], sum.voices))
    }

    /// Adds what another part of the room says in a group.
    pub(super) fn add_told(&mut self, group: GroupId, samples: &[i32], voices: usize) {
        if group != GroupId::MAIN {
            self.sum_of(group).add_sum(samples, voices);
        }
    }

    /// Mixes for each way that somebody hears by.
    pub(super) fn finish(&mut self, main: (&[i32], usize)) {
        let Self { sums, played, ways, .. } = self;
        for way in ways.iter_mut().filter(|way| way.members > 0) {
            way.mix(main, sums, played);
        }
    }

    pub(super) fn way(&self, way: WayId) -> Option<&Way> {
        way.checked_sub(1).and_then(|at| self.ways.get(at))
    }
}

impl Way {
    fn new(hearing: Hearing) -> Self {
        Self {
            hearing,
            members: 0,
            sum: Vec::new(),
            voices: 0,
            common: Vec::new(),
            limiter: Limiter::default(),
            ducked: (1.0, 1.0),
            pause: u32::MAX,
        }
    }

    fn mix(&mut self, (main, voices): (&[i32], usize), sums: &[Sum], played: &Sum) {
        let frame = main.len();
        self.sum.clear();
        self.sum.resize(frame, 0);
        self.common.resize(frame, 0);
        let voices_of = |group: usize| match group.checked_sub(1) {
            None => voices,
            Some(at) => sums.get(at).map_or(0, |sum| sum.voices),
        };
        self.duck(voices_of(self.hearing.duck.map_or(0, |duck| duck.by.index())) > 0);
        self.voices = played.voices;
        for group in 0..GROUPS {
            let count = voices_of(group);
            if self.hearing.gains[group] > 0.0 && count > 0 {
                let samples = group.checked_sub(1).map_or(main, |at| &sums[at].samples[..]);
                let (from, to) = self.factors(group);
                add_scaled(&mut self.sum, samples, (from, to));
                self.voices += count;
            }
        }
        if played.voices > 0 {
            // In the sum of the main group it is as loud as that is.
            let (from, to) = self.factors(0);
            add_scaled(&mut self.sum, &played.samples, (1.0 - from, 1.0 - to));
        }
        if self.voices > 0 {
            self.limiter.narrow(&self.sum, &mut self.common);
        }
    }

    /// The others are lowered while a group speaks, and a little longer.
    fn duck(&mut self, speaks: bool) {
        let Some(duck) = self.hearing.duck else { return };
        self.pause = if speaks { 0 } else { self.pause.saturating_add(1) };
        let target = if self.pause < DUCK_HOLD { duck.factor } else { 1.0 };
        let (_, now) = self.ducked;
        let step = if target < now { DUCK_FALL } else { DUCK_RISE };
        self.ducked = (now, now + (target - now).clamp(-step, step));
    }

    /// The factors of a group at the beginning and at the end of this tick.
    fn factors(&self, group: usize) -> (f32, f32) {
        let gain = self.hearing.gains[group];
        match self.hearing.duck {
            Some(duck) if duck.by.index() != group => (gain * self.ducked.0, gain * self.ducked.1),
            Some(_) | None => (gain, gain),
        }
    }

    /// What all hear who say nothing; `None` is silence.
    pub(super) fn common(&self) -> Option<&[i16]> {
        (self.voices > 0).then_some(&self.common[..])
    }

    /// Makes the mix without one voice, of somebody in `group`; false if that is silence.
    pub(super) fn make_own(
        &self,
        voice: Option<&[i16]>,
        group: GroupId,
        own: &mut [i16],
        limiter: &mut Limiter,
    ) -> bool {
        let voice = voice.filter(|_| self.hearing.hears(group));
        if self.voices <= usize::from(voice.is_some()) {
            return false;
        }
        let Some(voice) = voice else {
            own.copy_from_slice(&self.common);
            return true;
        };
        let mut wide = [0; MAX_FRAME];
        let mut rest = [0; MAX_FRAME];
        let frame = self.sum.len();
        wide[..frame].copy_from_slice(&self.sum);
        for (rest, &sample) in rest.iter_mut().zip(voice) {
            *rest = -i32::from(sample);
        }
        add_scaled(&mut wide[..frame], &rest[..frame], self.factors(group.index()));
        limiter.narrow(&wide[..frame], own);
        true
    }
}

/// Adds samples that go from one factor to another; bit-exactly where both are 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "sums of few voices and at most 960 samples are exact in a float; a float to integer cast saturates"
)]
fn add_scaled(sum: &mut [i32], samples: &[i32], (from, to): (f32, f32)) {
    if (from, to) == (1.0, 1.0) {
        for (sum, &sample) in sum.iter_mut().zip(samples) {
            *sum += sample;
        }
        return;
    }
    let step = (to - from) / samples.len().max(1) as f32;
    for (at, (sum, &sample)) in sum.iter_mut().zip(samples).enumerate() {
        *sum += (sample as f32 * (from + step * at as f32)) as i32;
    }
}

/// Adds a voice to the sum of its group.
pub(super) fn add_to_group(mix: &mut Mix, groups: &mut Groups, group: GroupId, voice: &[i16]) {
    if group == GroupId::MAIN {
        mix.add(voice);
    } else {
        groups.add(group, voice);
    }
}

/// Ticks for which the others stay lowered in a pause: longer than one between two sentences.
const DUCK_HOLD: u32 = 50;
/// By how much a factor changes in a tick: down within 100 ms, up within half a second.
const DUCK_FALL: f32 = 0.2;
const DUCK_RISE: f32 = 0.04;
