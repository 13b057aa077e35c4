//! Which leg returns what it is sent: the culprit is not who hears the echo.
//!
//! Sound and its echo have the same envelope, so the loudness of what a leg says is correlated with that of what it was
//! sent, tick by tick, for each delay up to a second:
//!
//! ```text
//!  sent ─▶ √amplitude − its mean of 320 ms ─▶ delay by 1 … 52 ticks ─┐
//!                                                                      ├─▶ Σ xy / √(Σ xx · Σ yy) ─▶ best delay, stable? ─▶ echo
//!  said ─▶ √amplitude − its mean of 320 ms ────────────────────────────┘
//! ```
//! Taking the mean out leaves the rhythm of syllables, which two people do not share even when they speak in turns; only
//! ticks in which something was sent count. Recorded speech returned at any delay and level is correlated by 0.95 (0.87
//! in a room with reverberation), other speech and music by 0.3 to 0.65; short answers in a fixed rhythm touch 0.8.
//! An echo is what stays above [`FOUND`] for a second at the same delay. A voice that another microphone of the same
//! room picks up comes before or with what is sent, so delays below 30 ms do not count. What cannot be told apart is
//! the same music, or music of the same tempo, on both sides.
//!
//! It costs nothing for a leg that is silent. For one that is not a tick notes two levels, and every tenth takes them into
//! the sums: those of many legs do not fit the caches.

use std::time::Duration;

use crate::level;
use crate::room::TICK;
use crate::slot::Event;

/// Delays looked at, ticks: a second.
const LAGS: usize = 52;
/// Ticks of level that are remembered: a second behind the longest delay.
const PAST: usize = 2 * LAGS;
/// Ticks of the mean that is taken out.
const MEAN: usize = 16;
/// What is sent louder than this can come back: −50 dBov, as √amplitude.
const SENT: f32 = 0.056_234;
/// For so many ticks: syllables end softly.
const SENT_TICKS: usize = 4;
/// Share of the newest tick in the sums: three seconds of sound count.
const NEWEST: f32 = 1.0 / 150.0;
/// Ticks of sound before anything is said of it.
const EVIDENCE: f32 = 60.0;
/// Between two looks, ticks.
const LOOK: usize = 10;
/// Ticks of what was sent that the ticks between two looks are compared with.
const SPAN: usize = LAGS + LOOK - 1;
/// Correlation above which it is an echo …
const FOUND: f32 = 0.8;
/// … for so many looks.
const FOUND_LOOKS: u8 = 5;
/// Correlation below which it is none any more …
const LOST: f32 = 0.5;
/// … for so many looks.
const LOST_LOOKS: u8 = 10;
/// Rhythm is at least this share of the loudest level: the ripple of a steady tone is none.
const RHYTHM: f32 = 0.05;
/// An echo at least so many ticks late; earlier is the same voice by another microphone.
const EARLIEST: usize = 2;
/// An echo weaker than this is not heard, dB.
const FAINT: f32 = -45.0;
/// Silent ticks after which it sleeps.
const ASLEEP_AFTER: u8 = 50;
/// What is at most so much louder than the echo to be expected is echo: 6 dB, as √amplitude.
const MARGIN: f32 = 1.414;
/// An echo may linger for so many ticks.
const LINGER: usize = 8;
/// The gain of a voice that is only echo: −30 dB.
const HELD_BACK: f32 = 0.032;

/// How a leg returns what it is sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EchoPath {
    /// From our sending to our hearing it.
    pub delay: Duration,
    /// Level relative to what was sent, dB: the echo return loss, negated.
    pub level_db: i8,
}

/// The envelope of a signal: √amplitude of the last [`PAST`] ticks.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// The newest is at `newest`, older ones behind it; what is before it is free.
    levels: [f32; 128],
    newest: usize,
}

impl Envelope {
    /// Of silence.
    pub(crate) const SILENCE: Self = Self { levels: [0.0; 128], newest: 0 };

    /// Takes the √amplitude of the next tick.
    pub(crate) fn push(&mut self, level: f32) {
        if self.newest == 0 {
            self.newest = self.levels.len() - PAST;
            self.levels.copy_within(..PAST, self.newest);
        }
        self.newest -= 1;
        self.levels[self.newest] = level;
    }

    fn newest_first(&self) -> &[f32] {
        &self.levels[self.newest..self.newest + PAST]
    }

    /// How far each of the last levels is above the mean of those before it, itself among them; newest first.
    fn beats<const TICKS: usize>(&self) -> [f32; TICKS] {
        let levels = self.newest_first();
        let mut sums = [0.0; TICKS];
        for back in 0..MEAN {
            for (sum, level) in sums.iter_mut().zip(&levels[back..]) {
                *sum += level;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "16")]
        std::array::from_fn(|at| levels[at] - sums[at] / MEAN as f32)
    }

    /// 1 for each of the last ticks in which something was sent that can come back, otherwise 0; newest first.
    fn counts(&self) -> [f32; SPAN] {
        let levels = self.newest_first();
        let loudest = |at: usize| levels[at..at + SENT_TICKS].iter().copied().fold(0.0, f32::max);
        std::array::from_fn(|at| if loudest(at) > SENT { 1.0 } else { 0.0 })
    }
}

/// Watches one leg.
#[derive(Debug)]
pub(crate) struct Echo {
    awake: bool,
    suppresses: bool,
    /// Of this tick: the voice is echo and nothing else.
    held_back: bool,
    /// Silent ticks in a row.
    silent: u8,
    said: f32,
    path: Option<(usize, EchoPath)>,
    meter: Box<Meter>,
}

/// The sums of one leg.
#[derive(Debug)]
struct Meter {
    sent: Envelope,
    said: Envelope,
    xx: [f32; LAGS],
    yy: [f32; LAGS],
    xy: [f32; LAGS],
    /// Ticks that counted.
    evidence: [f32; LAGS],
    /// Ticks that the sums do not hold yet.
    ticks: usize,
    /// Delay that the last looks agree on, and their number.
    candidate: (usize, u8),
    lost: u8,
}

impl Echo {
    /// Asleep.
    pub(crate) fn new() -> Self {
        let zeros = [0.0; LAGS];
        let meter = Meter {
            sent: Envelope::SILENCE,
            said: Envelope::SILENCE,
            xx: zeros,
            yy: zeros,
            xy: zeros,
            evidence: zeros,
            ticks: 0,
            candidate: (0, 0),
            lost: 0,
        };
        Self {
            awake: false,
            suppresses: false,
            held_back: false,
            silent: 0,
            said: 0.0,
            path: None,
            meter: Box::new(meter),
        }
    }

    /// Whether a voice that is only echo is held back.
    pub(crate) fn set_suppression(&mut self, on: bool) {
        self.suppresses = on;
    }

    /// Begins anew, for another mix; true if an echo was known.
    pub(crate) fn restart(&mut self) -> bool {
        let had_path = self.path.is_some();
        if self.awake {
            *self = Self { suppresses: self.suppresses, ..Self::new() };
        }
        had_path
    }

    /// Takes the level of what the leg says in this tick, dBov, before it is mixed.
    pub(crate) fn hear(&mut self, dbov: f32) {
        let is_silent = dbov <= level::SILENCE;
        if is_silent && !self.awake {
            return;
        }
        self.silent = if is_silent { self.silent.saturating_add(1) } else { 0 };
        self.said = if is_silent { 0.0 } else { 10.0_f32.powf(dbov / 40.0) };
        self.held_back = self.suppresses && !is_silent && self.is_expected();
    }

    /// True if what the leg says in this tick is held back.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back
    }

    /// The gain of what the leg says in this tick.
    pub(crate) fn factor(&self) -> f32 {
        if self.held_back { HELD_BACK } else { 1.0 }
    }

    /// True if [`Self::follow`] wants to know what this leg was sent.
    pub(crate) fn is_awake(&self) -> bool {
        self.awake || self.said > 0.0
    }

    /// Takes the √amplitude of what the leg was sent in this tick; `common` is what everybody was sent before.
    ///
    /// Returns the news: [`Event::Echo`].
    pub(crate) fn follow(&mut self, sent: f32, common: &Envelope) -> Option<Event> {
        if !self.awake {
            self.awake = true;
            self.meter.sent.clone_from(common);
        }
        self.meter.sent.push(sent);
        self.meter.said.push(std::mem::take(&mut self.said));
        // A leg that has stopped to return an echo says nothing: that has to be seen.
        if self.silent >= ASLEEP_AFTER && self.path.is_none() {
            self.awake = false;
            self.meter.forget();
            return None;
        }
        self.meter.ticks = (self.meter.ticks + 1) % LOOK;
        if self.meter.ticks > 0 {
            return None;
        }
        self.meter.add();
        let had_path = self.path.is_some();
        self.path = match self.path {
            None => self.meter.find(),
            Some((lag, _)) if self.meter.has_lost(lag) => None,
            Some(known) => Some(known),
        };
        let path = self.path.map(|(_, path)| path);
        (had_path != path.is_some()).then_some(Event::Echo(path))
    }

    /// True if so much echo is to be expected in this tick as the leg says.
    fn is_expected(&self) -> bool {
        let Some((lag, path)) = self.path else { return false };
        // The newest level is of the tick before.
        let near = lag.saturating_sub(3)..(lag + LINGER).min(LAGS);
        let sent = self.meter.sent.newest_first()[near].iter().copied().fold(0.0, f32::max);
        let returned = 10.0_f32.powf(f32::from(path.level_db) / 40.0);
        self.said <= sent * returned * MARGIN
    }
}

impl Meter {
    /// Takes the ticks since the last look into the sums.
    fn add(&mut self) {
        let counts = self.sent.counts();
        if counts.iter().all(|&counts| counts <= 0.0) {
            return;
        }
        let (sent, said) = (self.sent.beats::<SPAN>(), self.said.beats::<LOOK>());
        let x: [f32; SPAN] = std::array::from_fn(|at| sent[at] * counts[at]);
        let x_squared: [f32; SPAN] = std::array::from_fn(|at| sent[at] * x[at]);
        let (counted, x_squared) = (over_look(&counts), over_look(&x_squared));
        let Self { xx, yy, xy, evidence, .. } = self;
        for lag in 0..LAGS {
            // As good as a power: the ticks of one look are equally new.
            let keep = 1.0 - counted[lag] * NEWEST;
            xx[lag] = xx[lag] * keep + x_squared[lag];
            yy[lag] *= keep;
            xy[lag] *= keep;
            evidence[lag] = evidence[lag] * keep + counted[lag];
        }
        for (ago, y) in said.into_iter().enumerate() {
            for ((yy, xy), (counts, x)) in
                yy.iter_mut().zip(&mut *xy).zip(counts[ago..].iter().zip(&x[ago..]))
            {
                *yy += counts * (y * y);
                *xy += x * y;
            }
        }
    }

    fn correlation(&self, lag: usize) -> f32 {
        let power = self.xx[lag] * self.yy[lag];
        if self.evidence[lag] < EVIDENCE || power <= f32::MIN_POSITIVE {
            return 0.0;
        }
        self.xy[lag] / power.sqrt()
    }

    /// Looks for an echo that the last looks saw too.
    fn find(&mut self) -> Option<(usize, EchoPath)> {
        let best = |a: &(usize, f32), b: &(usize, f32)| a.1.total_cmp(&b.1);
        let (lag, alike) = (0..LAGS).map(|lag| (lag, self.correlation(lag))).max_by(best)?;
        let level = self.level(lag);
        if alike < FOUND || lag < EARLIEST || level < FAINT || !self.has_rhythm(lag) {
            self.candidate.1 = 0;
            return None;
        }
        let agrees = self.candidate.1 > 0 && lag.abs_diff(self.candidate.0) <= 1;
        self.candidate = (lag, if agrees { self.candidate.1 + 1 } else { 1 });
        if self.candidate.1 < FOUND_LOOKS {
            return None;
        }
        (self.candidate.1, self.lost) = (0, 0);
        #[expect(clippy::cast_possible_truncation, reason = "a float to integer cast saturates")]
        let level_db = level.round() as i8;
        Some((lag, EchoPath { delay: self.delay(lag), level_db }))
    }

    /// True unless either side is as steady as a tone.
    fn has_rhythm(&self, lag: usize) -> bool {
        let loudest = |levels: &[f32]| levels.iter().copied().fold(0.0, f32::max);
        [
            (self.xx[lag], loudest(self.sent.newest_first())),
            (self.yy[lag], loudest(self.said.newest_first())),
        ]
        .iter()
        .all(|(sum, loudest)| sum / self.evidence[lag] > (RHYTHM * loudest).powi(2))
    }

    /// How much weaker than what was sent, dB: by the power of the last second, but not much more than the rhythm
    /// shows, should the culprit have spoken in it.
    fn level(&self, lag: usize) -> f32 {
        let power = |levels: &[f32]| levels.iter().map(|level| level.powi(4)).sum::<f32>();
        let sent = power(&self.sent.newest_first()[lag..]);
        let said = power(&self.said.newest_first()[..PAST - lag]);
        let by_rhythm = 20.0 * decade(self.yy[lag] / self.xx[lag].max(f32::MIN_POSITIVE));
        (10.0 * decade(said / sent.max(f32::MIN_POSITIVE))).min(by_rhythm + 6.0)
    }

    /// Between ticks, by the parabola through the best delay and its neighbours.
    fn delay(&self, lag: usize) -> Duration {
        let [before, best, after] =
            [lag - 1, lag, (lag + 1).min(LAGS - 1)].map(|lag| self.correlation(lag));
        let bend = 2.0 * best - before - after;
        let off = if bend > 0.0 { ((after - before) / (2.0 * bend)).clamp(-0.5, 0.5) } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "at most 52")]
        let ticks = lag as f32 + off;
        TICK.mul_f32(ticks)
    }

    /// True once the echo at `lag` was missed for a while.
    fn has_lost(&mut self, lag: usize) -> bool {
        let near = lag - 1..(lag + 2).min(LAGS);
        let alike = near.map(|lag| self.correlation(lag)).fold(0.0, f32::max);
        self.lost = if alike < LOST { self.lost + 1 } else { 0 };
        self.lost >= LOST_LOOKS
    }

    fn forget(&mut self) {
        for sums in [&mut self.xx, &mut self.yy, &mut self.xy, &mut self.evidence] {
            sums.fill(0.0);
        }
        self.said = Envelope::SILENCE;
        (self.ticks, self.candidate.1) = (0, 0);
    }
}

/// Of each lag, the sum over the ticks of a look.
fn over_look(values: &[f32; SPAN]) -> [f32; LAGS] {
    let mut sums = [0.0; LAGS];
    for ago in 0..LOOK {
        for (sum, value) in sums.iter_mut().zip(&values[ago..]) {
            *sum += value;
        }
    }
    sums
}

fn decade(ratio: f32) -> f32 {
    ratio.max(f32::MIN_POSITIVE).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Syllables of 80 to 260 ms in groups of 3 to 11, with pauses between; levels in dBov, one a tick.
    struct Voice {
        random: u32,
        syllables: u32,
        left: u32,
        level: f32,
    }

    impl Voice {
        fn new(seed: u32) -> Self {
            Self { random: seed.wrapping_mul(2_654_435_761), syllables: 0, left: 0, level: -99.0 }
        }

        fn random(&mut self, below: u32) -> u32 {
            self.random = self.random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.random >> 8) % below
        }

        /// From −32 to −14 dBov, with what the ticks of one syllable differ by.
        fn speak(&mut self) -> f32 {
            if self.left == 0 {
                let pause = self.syllables == 0;
                self.syllables = if pause { 3 + self.random(9) } else { self.syllables - 1 };
                self.left = if pause { 10 + self.random(35) } else { 4 + self.random(10) };
                #[expect(clippy::cast_precision_loss, reason = "small")]
                let level = -32.0 + self.random(18) as f32;
                self.level = if pause { -70.0 } else { level };
            }
            self.left -= 1;
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let ripple = self.random(6) as f32;
            if self.level < -60.0 { -70.0 } else { self.level - ripple }
        }
    }

    /// A leg, what it was sent, and what was found.
    struct Scene {
        echo: Echo,
        sent: Vec<f32>,
        news: Vec<(usize, Option<EchoPath>)>,
        held_back: usize,
    }

    impl Scene {
        fn new() -> Self {
            Self { echo: Echo::new(), sent: Vec::new(), news: Vec::new(), held_back: 0 }
        }

        /// One tick: it is sent `sent` and says `said` and an echo.
        fn tick(&mut self, sent: f32, said: f32, echo: Option<(usize, f32)>) {
            let at = self.sent.len();
            let returned = echo.and_then(|(delay_ms, level)| {
                // Between two ticks it is of both.
                let (whole, part) = (delay_ms / 20, delay_ms % 20);
                let tick = |back: usize| at.checked_sub(back).map(|at| self.sent[at]);
                let (new, old) = (tick(whole)?, tick(whole + usize::from(part > 0))?);
                #[expect(clippy::cast_precision_loss, reason = "below 20")]
                let share = part as f32 / 20.0;
                Some(decibels(power(new) * (1.0 - share) + power(old) * share) + level)
            });
            self.sent.push(sent);
            let said = decibels(power(said) + returned.map_or(0.0, power) + power(-75.0));
            self.echo.hear(said);
            self.held_back += usize::from(self.echo.is_held_back());
            let root = power(sent).sqrt().sqrt();
            if let Some(Event::Echo(path)) = self.echo.follow(root, &Envelope::SILENCE) {
                self.news.push((at, path));
            }
        }
    }

    fn power(db: f32) -> f32 {
        10.0_f32.powf(db / 10.0)
    }

    fn decibels(power: f32) -> f32 {
        10.0 * power.log10()
    }

    #[test]
    fn an_echo_is_found_within_five_seconds_with_its_delay_and_level() {
        for delay_ms in [40, 70, 130, 250, 333, 480, 600, 900] {
            for level in [-6.0, -20.0, -30.0] {
                let mut scene = Scene::new();
                let mut voice = Voice::new(7);

                for _ in 0..500 {
                    scene.tick(voice.speak(), -80.0, Some((delay_ms, level)));
                }

                let [(at, Some(found))] = scene.news[..] else {
                    panic!("{delay_ms} {level}: {:?}", scene.news)
                };
                assert!(at < 250, "{delay_ms} {level}: after {at} ticks");
                let off = found.delay.as_millis().abs_diff(delay_ms as u128);
                assert!(off <= 12, "{delay_ms}: {:?}", found.delay);
                assert!((f32::from(found.level_db) - level).abs() <= 3.0, "{level}: {found:?}");
            }
        }
    }

    #[test]
    fn an_echo_is_found_although_the_culprit_speaks_too() {
        let mut scene = Scene::new();
        let (mut one, mut other) = (Voice::new(1), Voice::new(2));

        for tick in 0..1_500 {
            let turn = tick / 150 % 3;
            let sent = if turn == 2 { -80.0 } else { one.speak() };
            let said = if turn == 2 { other.speak() } else { -80.0 };
            scene.tick(sent, said, Some((220, -20.0)));
        }

        assert!(matches!(scene.news[..], [(_, Some(_))]), "{:?}", scene.news);
    }

    #[test]
    fn people_who_speak_at_once_or_in_turns_make_no_echo() {
        for seed in 0..12 {
            let mut at_once = Scene::new();
            let mut turns = Scene::new();
            let (mut one, mut other) = (Voice::new(seed), Voice::new(seed + 100));
            let (mut left, mut speaker) = (0, 0);

            for _ in 0..6_000 {
                let (a, b) = (one.speak(), other.speak());
                at_once.tick(a, b, None);
                if left == 0 {
                    speaker += 1; // one, a breath, the other, a breath
                    left = if speaker % 2 == 0 { 8 + one.random(20) } else { 20 + one.random(100) };
                }
                left -= 1;
                let quiet = |speaks: bool, level: f32| if speaks { level } else { -80.0 };
                turns.tick(quiet(speaker % 4 == 1, a), quiet(speaker % 4 == 3, b), None);
            }

            assert!(at_once.news.is_empty(), "{seed}: {:?}", at_once.news);
            assert!(turns.news.is_empty(), "{seed}: {:?}", turns.news);
        }
    }

    #[test]
    fn music_is_no_echo_of_a_voice_nor_a_voice_of_music() {
        let (mut back, mut forth) = (Scene::new(), Scene::new());
        let mut voice = Voice::new(3);

        for tick in 0_u16..6_000 {
            let beat = f32::from(tick % 12) * 1.5 + f32::from(tick / 12 % 4) * 2.0;
            let (music, speech) = (-16.0 - beat, voice.speak());
            back.tick(speech, music, None);
            forth.tick(music, speech, None);
        }

        assert!(back.news.is_empty() && forth.news.is_empty(), "{:?} {:?}", back.news, forth.news);
    }

    #[test]
    fn tones_are_no_echo_of_each_other() {
        let mut scene = Scene::new();

        for tick in 0..3_000 {
            // What a tone of 880 or 1320 Hz differs by from tick to tick.
            let ripple = [0.0, 0.06, 0.1, 0.06, 0.0][tick % 5];
            scene.tick(-20.0 + ripple, -24.0 + [0.1, 0.06, 0.0, 0.0, 0.06][tick % 5], None);
        }

        assert!(scene.news.is_empty(), "{:?}", scene.news);
    }

    #[test]
    fn another_microphone_in_the_same_room_makes_no_echo() {
        for lead in [0, 1, 3, 6] {
            let mut scene = Scene::new();
            let mut voice = Voice::new(5);
            let said: Vec<f32> = (0..3_000).map(|_| voice.speak()).collect();

            for tick in lead..3_000 {
                scene.tick(said[tick - lead], said[tick] - 10.0, None);
            }

            assert!(scene.news.is_empty(), "{lead} ticks earlier: {:?}", scene.news);
        }
    }

    #[test]
    fn an_echo_that_ends_is_cleared() {
        let mut scene = Scene::new();
        let (mut voice, mut own) = (Voice::new(11), Voice::new(12));
        for _ in 0..500 {
            scene.tick(voice.speak(), -80.0, Some((180, -18.0)));
        }

        for tick in 0..1_000 {
            scene.tick(voice.speak(), if tick % 300 < 100 { own.speak() } else { -80.0 }, None);
        }

        let [(_, Some(_)), (cleared, None)] = scene.news[..] else { panic!("{:?}", scene.news) };
        assert!(cleared < 500 + 600, "after {cleared} ticks");
    }

    #[test]
    fn suppression_holds_the_echo_back_and_lets_the_voice_through() {
        let mut scene = Scene::new();
        scene.echo.set_suppression(true);
        let (mut voice, mut own) = (Voice::new(21), Voice::new(22));
        for _ in 0..400 {
            scene.tick(voice.speak(), -80.0, Some((180, -18.0)));
        }

        let before = scene.held_back;
        let (mut echoes, mut words) = (0, 0);
        for _ in 0..400 {
            scene.tick(voice.speak(), -80.0, Some((180, -18.0)));
            echoes += usize::from(scene.sent[scene.sent.len() - 10] > -40.0);
        }
        let held_back = scene.held_back - before;
        let before = scene.held_back;
        for _ in 0..400 {
            let said = own.speak();
            words += usize::from(said > -40.0);
            scene.tick(-80.0, said, Some((180, -18.0)));
        }

        assert!(held_back >= echoes, "{held_back} of {echoes} ticks of echo");
        assert!(
            scene.held_back - before < words / 20 + 20,
            "{} of {words} words",
            scene.held_back - before
        );
    }
}
