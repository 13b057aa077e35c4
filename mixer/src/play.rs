//! Recorded sound in a mix: prompts, announcements and music.
//!
//! ```text
//!            pause                    stop, or the end
//!  Playing ───────▶ Paused      * ───────────────────▶ over
//!     ▲     resume    │
//!     └───────────────┘    each way by a ramp of one tick, as a seek is by two
//! ```

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::gain::Gain;
use crate::resample::Resampler;
use crate::room::MAX_FRAME;

/// A recorded sound: mono, 16 bits, at a rate that the mixer knows. Cheap to clone.
#[derive(Clone, Eq, PartialEq)]
pub struct Clip {
    rate: u32,
    pcm: Arc<[i16]>,
}

impl Clip {
    /// A clip of samples at 8, 16 or 48 kHz; `None` at any other rate.
    pub fn new(rate: u32, pcm: impl Into<Arc<[i16]>>) -> Option<Self> {
        matches!(rate, 8_000 | 16_000 | 48_000).then(|| Self { rate, pcm: pcm.into() })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// Its samples.
    pub fn pcm(&self) -> &[i16] {
        &self.pcm
    }

    /// Its samples, to be kept by somebody else too.
    pub fn shared(&self) -> Arc<[i16]> {
        Arc::clone(&self.pcm)
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        duration(self.pcm.len(), self.rate)
    }
}

impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?} at {} Hz)", self.duration(), self.rate)
    }
}

/// Names what is played; chosen by the caller.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PlayId(pub u64);

/// What is to be played, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Play {
    /// One after the other, without a pause.
    pub clips: Vec<Clip>,
    /// How often all of them; `None` is for ever.
    pub times: Option<u32>,
    /// dB.
    pub gain_db: f32,
    /// Where in the first round it begins.
    pub from: Duration,
}

impl Play {
    /// A clip from beginning to end, once.
    pub fn once(clip: Clip) -> Self {
        Self { clips: vec![clip], times: Some(1), gain_db: 0.0, from: Duration::ZERO }
    }

    /// How long one round lasts.
    pub fn round(&self) -> Duration {
        self.clips.iter().map(Clip::duration).sum()
    }
}

/// What may be done to something that is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Steer {
    /// Nothing is heard of it, and it does not go on.
    Pause,
    /// It goes on where it was.
    Resume,
    /// It is over.
    Stop,
    /// It goes on from there, counted from the beginning of a round; beyond that, it is the end of the round.
    Seek(Duration),
    /// dB.
    Gain(f32),
}

/// Everything that is played at one place; it forgets what is over.
#[derive(Debug, Default)]
pub(crate) struct Players {
    all: Vec<Player>,
    over: VecDeque<PlayId>,
}

/// One thing that is played.
#[derive(Debug)]
struct Player {
    id: PlayId,
    play: Play,
    state: State,
    place: Place,
    rounds_left: Option<u32>,
    /// Where to, once nothing is heard.
    seek: Option<Duration>,
    gain: Gain,
    factor: f32,
    /// From the clip's rate to the mix's; `None` where they are the same.
    resampler: Option<Resampler>,
    /// Of the clip and of the mix, Hz.
    rates: (u32, u32),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Playing,
    Paused,
    /// Over once it has faded out.
    Stopping,
    Over,
}

/// The next sample.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    clip: usize,
    sample: usize,
}

impl Players {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True while some of it is to be heard or goes on.
    pub(crate) fn are_running(&self) -> bool {
        self.all.iter().any(|player| player.state != State::Paused || !player.gain.is_zero())
    }

    /// The highest rate among what is heard, Hz.
    pub(crate) fn rate(&self) -> Option<u32> {
        let heard = self.all.iter().filter(|player| player.state == State::Playing);
        heard.filter_map(|player| player.clip()).map(Clip::rate).max()
    }

    /// Begins to play; what was played under this name is over at once. Allocates.
    pub(crate) fn start(&mut self, id: PlayId, play: Play) {
        self.all.retain(|player| player.id != id);
        self.all.push(Player::new(id, play));
        self.over.reserve(self.all.len());
    }

    /// Takes effect from the next tick on; what is not played any more is not concerned.
    pub(crate) fn steer(&mut self, id: PlayId, steer: Steer) {
        if let Some(player) = self.all.iter_mut().find(|player| player.id == id) {
            player.steer(steer);
        }
    }

    /// Calls `heard` with one tick of everything that sounds, at `rate`; notes what is over.
    pub(crate) fn speak(&mut self, rate: u32, mut heard: impl FnMut(&mut [i16])) {
        let mut scratch = [0; MAX_FRAME];
        let frame = &mut scratch[..rate as usize / 50];
        for player in &mut self.all {
            if player.speak(rate, frame) {
                heard(frame);
            }
        }
        let over = &mut self.over;
        for player in self.all.extract_if(.., |player| player.state == State::Over) {
            over.push_back(player.id);
        }
    }

    /// Takes away something that is not over, or was not said to be.
    pub(crate) fn cut(&mut self) -> Option<PlayId> {
        self.over.pop_front().or_else(|| self.all.pop().map(|player| player.id))
    }

    /// What is over, by its end or because it was stopped.
    pub(crate) fn poll_over(&mut self) -> Option<PlayId> {
        self.over.pop_front()
    }
}

impl Player {
    fn new(id: PlayId, mut play: Play) -> Self {
        play.clips.retain(|clip| !clip.pcm.is_empty());
        let is_nothing = play.clips.is_empty() || play.times == Some(0);
        let factor = Gain::factor(play.gain_db);
        let from = play.from;
        let mut player = Self {
            id,
            state: if is_nothing { State::Over } else { State::Playing },
            place: Place::default(),
            rounds_left: play.times,
            play,
            seek: None,
            gain: Gain::at(factor), // The beginning of a sound needs no ramp.
            factor,
            resampler: None,
            rates: (0, 0),
        };
        if !from.is_zero() {
            player.jump(from);
        }
        player
    }

    fn clip(&self) -> Option<&Clip> {
        self.play.clips.get(self.place.clip)
    }

    fn steer(&mut self, steer: Steer) {
        if matches!(self.state, State::Stopping | State::Over) {
            return;
        }
        match steer {
            Steer::Pause => self.state = State::Paused,
            Steer::Resume => self.state = State::Playing,
            Steer::Stop if self.gain.is_zero() => self.state = State::Over,
            Steer::Stop => self.state = State::Stopping,
            Steer::Seek(to) => self.seek = Some(to),
            Steer::Gain(db) => self.factor = Gain::factor(db),
        }
    }

    /// Writes one tick; false if that is silent.
    fn speak(&mut self, rate: u32, out: &mut [i16]) -> bool {
        let sounds = self.state == State::Playing && self.seek.is_none();
        self.gain.aim(if sounds { self.factor } else { 0.0 });
        if self.gain.is_zero() && !sounds {
            self.rest();
            return false;
        }
        if self.has_ended() {
            self.state = State::Over;
            return false;
        }
        self.follow_rates(rate);
        self.fill(out);
        self.gain.apply(out);
        if self.gain.is_zero() {
            self.rest();
        }
        true
    }

    /// There is nothing more, not even in the filter.
    fn has_ended(&self) -> bool {
        let is_drained = self.resampler.as_ref().is_none_or(Resampler::is_silent);
        self.state == State::Over || (self.clip().is_none() && is_drained)
    }

    fn follow_rates(&mut self, rate: u32) {
        let rates = (self.clip().map_or(self.rates.0, Clip::rate), rate);
        if rates != self.rates {
            self.rates = rates;
            self.resampler = Resampler::new(rates.0, rates.1);
        }
    }

    /// Nothing is heard of it: what was waiting for that is done.
    fn rest(&mut self) {
        if self.state == State::Stopping {
            self.state = State::Over;
        }
        if let Some(to) = self.seek.take() {
            self.jump(to);
        }
    }

    fn jump(&mut self, to: Duration) {
        self.place = self.play.place_of(to);
        self.gain.jump(0.0);
        if let Some(resampler) = &mut self.resampler {
            resampler.reset();
        }
    }

    /// Takes the next tick of the clips, at the mix's rate.
    fn fill(&mut self, out: &mut [i16]) {
        let Some(resampler) = &mut self.resampler else {
            return self.play.read(&mut self.place, &mut self.rounds_left, out);
        };
        let mut scratch = [0; MAX_FRAME];
        let input = &mut scratch[..self.rates.0 as usize / 50];
        self.play.read(&mut self.place, &mut self.rounds_left, input);
        resampler.run(input, out);
    }
}

impl Play {
    /// Fills `out` with what comes next, and silence behind the end.
    ///
    /// A clip of another rate than the one before begins with a tick of its own.
    fn read(&self, place: &mut Place, rounds_left: &mut Option<u32>, out: &mut [i16]) {
        let mut filled = 0;
        let rate = self.clips.get(place.clip).map(Clip::rate);
        while filled < out.len() {
            let Some(clip) = self.clips.get(place.clip).filter(|clip| Some(clip.rate) == rate)
            else {
                break;
            };
            let rest = clip.pcm.get(place.sample..).unwrap_or_default();
            let count = rest.len().min(out.len() - filled);
            out[filled..filled + count].copy_from_slice(&rest[..count]);
            filled += count;
            place.sample += count;
            if place.sample >= clip.pcm.len() {
                self.advance(place, rounds_left);
            }
        }
        out[filled..].fill(0);
    }

    /// To the next clip, or to the next round.
    fn advance(&self, place: &mut Place, rounds_left: &mut Option<u32>) {
        *place = Place { clip: place.clip + 1, sample: 0 };
        if place.clip < self.clips.len() {
            return;
        }
        if let Some(left) = rounds_left {
            *left = left.saturating_sub(1);
        }
        if *rounds_left != Some(0) {
            place.clip = 0;
        }
    }

    /// The sample at this time of a round; behind its end, the last one.
    fn place_of(&self, mut to: Duration) -> Place {
        for (at, clip) in self.clips.iter().enumerate() {
            if to < clip.duration() {
                let micros = to.as_micros() * u128::from(clip.rate) / 1_000_000;
                return Place { clip: at, sample: usize::try_from(micros).unwrap_or(0) };
            }
            to -= clip.duration();
        }
        let clip = self.clips.len().saturating_sub(1);
        let samples = self.clips.last().map_or(0, |clip| clip.pcm.len());
        Place { clip, sample: samples.saturating_sub(1) }
    }
}

fn duration(samples: usize, rate: u32) -> Duration {
    let micros = samples as u64 * 1_000_000 / u64::from(rate);
    Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: PlayId = PlayId(7);

    fn ramp(rate: u32, samples: i16) -> Clip {
        Clip::new(rate, (1..=samples).collect::<Vec<_>>()).unwrap()
    }

    fn steady(rate: u32, samples: usize) -> Clip {
        Clip::new(rate, vec![10_000; samples]).unwrap()
    }

    fn players(play: Play) -> Players {
        let mut players = Players::default();
        players.start(ID, play);
        players
    }

    /// What is heard in so many ticks; a tick in which nothing sounds is silence.
    fn run(players: &mut Players, rate: u32, ticks: usize) -> Vec<i16> {
        let mut all = Vec::new();
        for _ in 0..ticks {
            let mut tick = vec![0; rate as usize / 50];
            players.speak(rate, |heard| tick.copy_from_slice(heard));
            all.extend(tick);
        }
        all
    }

    fn steepest(pcm: &[i16]) -> i32 {
        pcm.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    #[test]
    fn a_clip_is_heard_sample_by_sample_and_is_over() {
        let clip = ramp(8_000, 400);
        let mut players = players(Play::once(clip.clone()));

        let heard = run(&mut players, 8_000, 3);

        assert_eq!(heard[..400], *clip.pcm());
        assert_eq!(heard[400..], [0; 80]);
        assert_eq!(players.poll_over(), None);
        run(&mut players, 8_000, 1);
        assert_eq!(players.poll_over(), Some(ID));
        assert!(players.is_empty());
    }

    #[test]
    fn clips_and_rounds_follow_each_other_without_a_gap() {
        let clips = vec![ramp(8_000, 100), ramp(8_000, 61)];
        let mut players = players(Play {
            clips: clips.clone(),
            times: Some(2),
            gain_db: 0.0,
            from: Duration::ZERO,
        });

        let heard = run(&mut players, 8_000, 4);

        let round: Vec<i16> = clips.iter().flat_map(|clip| clip.pcm().to_vec()).collect();
        assert_eq!(heard[..322], [round.clone(), round].concat());
        assert_eq!(players.poll_over(), Some(ID));
    }

    #[test]
    fn a_clip_of_another_rate_is_heard_whole() {
        for (from, to) in [(48_000, 8_000), (8_000, 48_000), (16_000, 8_000)] {
            let mut players = players(Play::once(steady(from, from as usize / 5)));

            let heard = run(&mut players, to, 12);

            let loud = heard.iter().filter(|&&sample| sample > 9_000).count();
            let expected = to as usize / 5;
            assert!(loud.abs_diff(expected) < to as usize / 500, "{from} {to}: {loud}");
            assert_eq!(players.poll_over(), Some(ID));
        }
    }

    #[test]
    fn a_pause_and_its_end_are_ramps_and_lose_nothing_but_the_ramp() {
        let mut players = players(Play { times: None, ..Play::once(steady(8_000, 1_600)) });
        run(&mut players, 8_000, 2);

        players.steer(ID, Steer::Pause);
        let out = run(&mut players, 8_000, 2);
        players.steer(ID, Steer::Resume);
        let back = run(&mut players, 8_000, 2);

        assert!(steepest(&out) < 100 && steepest(&back) < 100);
        assert_eq!(out[160..], [0; 160]);
        assert_eq!(back[160..], [10_000; 160]);
    }

    #[test]
    fn what_is_stopped_fades_and_is_over() {
        let mut players = players(Play { times: None, ..Play::once(steady(8_000, 1_600)) });
        run(&mut players, 8_000, 1);

        players.steer(ID, Steer::Stop);
        let heard = run(&mut players, 8_000, 2);

        assert!(steepest(&heard) < 100);
        assert_eq!(players.poll_over(), Some(ID));
        assert!(!players.are_running());
    }

    #[test]
    fn a_seek_goes_on_from_there() {
        let mut pcm = vec![0; 8_000];
        pcm[4_000..].fill(10_000);
        let clip = Clip::new(8_000, pcm).unwrap();
        let mut players = players(Play { times: None, ..Play::once(clip) });
        run(&mut players, 8_000, 1);

        players.steer(ID, Steer::Seek(Duration::from_millis(600)));
        let heard = run(&mut players, 8_000, 3);

        assert_eq!(heard[160..320][0], 0);
        assert_eq!(heard[320..], [10_000; 160]);
    }

    #[test]
    fn what_begins_in_the_middle_fades_in() {
        let play = Play { from: Duration::from_millis(100), ..Play::once(steady(8_000, 1_600)) };
        let mut players = players(play);

        let heard = run(&mut players, 8_000, 5);

        assert!(steepest(&heard) < 100);
        run(&mut players, 8_000, 1);
        assert_eq!(players.poll_over(), Some(ID));
    }

    #[test]
    fn silence_for_ever_or_nothing_at_all_is_over_at_once() {
        for play in [
            Play { clips: Vec::new(), times: None, gain_db: 0.0, from: Duration::ZERO },
            Play { times: None, ..Play::once(Clip::new(8_000, Vec::new()).unwrap()) },
            Play { times: Some(0), ..Play::once(steady(8_000, 100)) },
        ] {
            let mut players = players(play);

            run(&mut players, 8_000, 1);

            assert_eq!(players.poll_over(), Some(ID));
        }
    }

    #[test]
    fn what_is_paused_can_be_stopped_and_moved() {
        let mut players = players(Play { times: None, ..Play::once(steady(8_000, 1_600)) });
        players.steer(ID, Steer::Pause);
        run(&mut players, 8_000, 2);
        players.steer(ID, Steer::Seek(Duration::from_millis(50)));
        run(&mut players, 8_000, 1);
        assert_eq!(players.all[0].place.sample, 400);

        players.steer(ID, Steer::Stop);
        run(&mut players, 8_000, 1);

        assert_eq!(players.poll_over(), Some(ID));
    }
}
