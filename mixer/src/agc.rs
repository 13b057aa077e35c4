//! Automatic gain control: brings everybody to the same loudness, slowly, and only by what is speech.
//!
//! The level is the mean power of speech over about a second. The gain follows it by at most [`RISE`] and [`FALL`] a
//! tick and stands still in pauses, so that what lies between the words is not pumped up. A peak that would not fit
//! takes the gain down at once; what is left of it is the limiter's.

use crate::level;
use crate::limiter::Limiter;

/// Loudness of speech aimed at, dBov.
const TARGET: f32 = -20.0;
/// Gain goes this far up and down, dB.
const MOST: f32 = 15.0;
/// Most that the gain rises in a tick, dB: 5 dB in a second of speech.
const RISE: f32 = 0.1;
/// Most that it falls, dB.
const FALL: f32 = 0.3;
/// Share of the newest tick in the mean power.
const NEWEST: f32 = 0.02;
/// No peak is raised above this: 1 dB below full scale.
const PEAK: f32 = 29_204.0;

/// The gain of one voice.
#[derive(Debug)]
pub(crate) struct Agc {
    /// Mean power of speech; 1 is full scale.
    power: f32,
    /// Gain that speech asks for, dB.
    gain: f32,
    /// Factor at the end of the last frame.
    factor: f32,
    limiter: Limiter,
}

impl Agc {
    /// At 0 dB.
    pub(crate) fn new() -> Self {
        let power = power(TARGET);
        Self { power, gain: 0.0, factor: 1.0, limiter: Limiter::default() }
    }

    /// Applies the gain to one tick; `speech` says whether it is speech and not a pause.
    pub(crate) fn run(&mut self, pcm: &mut [i16], speech: bool) {
        if speech {
            self.power += (power(level::dbov(pcm)) - self.power) * NEWEST;
            let wanted = (TARGET - 10.0 * self.power.log10()).clamp(-MOST, MOST);
            self.gain += (wanted - self.gain).clamp(-FALL, RISE);
        }
        let room = 20.0 * (PEAK / f32::from(level::peak(pcm).max(1))).log10();
        self.gain = self.gain.min(room.max(-MOST));
        self.ramp(pcm, amplitude(self.gain));
    }

    /// Moves to 0 dB within one tick, for the last time.
    pub(crate) fn finish(&mut self, pcm: &mut [i16]) {
        self.ramp(pcm, 1.0);
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "at most 960 samples, at most six times 16 bits"
    )]
    fn ramp(&mut self, pcm: &mut [i16], target: f32) {
        let step = (target - self.factor) / pcm.len().max(1) as f32;
        let mut wide = [0; 960];
        let wide = &mut wide[..pcm.len()];
        for (i, (wide, &sample)) in wide.iter_mut().zip(&*pcm).enumerate() {
            *wide = (f32::from(sample) * (self.factor + step * i as f32)) as i32;
        }
        self.limiter.narrow(wide, pcm);
        self.factor = target;
    }
}

fn power(db: f32) -> f32 {
    10.0_f32.powf(db / 10.0)
}

fn amplitude(db: f32) -> f32 {
    10.0_f32.powf(db / 20.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::tone;

    /// Seconds of words of 400 ms at `dbov`, with pauses of 200 ms filled with noise at −60 dBov.
    fn converse(agc: &mut Agc, seconds: usize, dbov: f32) -> Vec<Vec<i16>> {
        // `tone` is at −12 dBov − 3 dB for the sine.
        let factor = amplitude(dbov + 15.05);
        (0..seconds * 50)
            .map(|tick| {
                let speech = tick % 30 < 20;
                let factor = if speech { factor } else { amplitude(-60.0 + 15.05) };
                #[expect(clippy::cast_possible_truncation, reason = "scaled down")]
                let scale = |sample: i16| (f32::from(sample) * factor).round() as i16;
                let mut pcm: Vec<i16> = tone(437.0, 8_000, tick * 160, 160);
                for sample in &mut pcm {
                    *sample = scale(*sample);
                }
                agc.run(&mut pcm, speech);
                pcm
            })
            .collect()
    }

    #[test]
    fn quiet_and_loud_talkers_meet_at_the_target() {
        for dbov in [-33.0, -26.0, -20.0, -12.0] {
            let mut agc = Agc::new();

            let said = converse(&mut agc, 12, dbov);

            let level = level::dbov(&said[said.len() - 25]);
            assert!((level - TARGET).abs() < 1.0, "{dbov} became {level}");
        }
    }

    #[test]
    fn pauses_are_not_pumped_up() {
        let mut agc = Agc::new();
        converse(&mut agc, 12, -28.0);
        let before = agc.gain;

        for tick in 0..500 {
            let mut noise: Vec<i16> = tone(911.0, 8_000, tick * 160, 160);
            for sample in &mut noise {
                *sample /= 128;
            }
            agc.run(&mut noise, false);
        }

        assert!((agc.gain - before).abs() < 0.01, "{before} became {}", agc.gain);
    }

    #[test]
    fn a_shout_after_whispers_does_not_clip() {
        let mut agc = Agc::new();
        converse(&mut agc, 12, -34.0);
        let loud = |from: usize| -> Vec<i16> {
            tone(437.0, 8_000, from, 160).into_iter().map(|sample| sample * 3).collect()
        };
        let (mut first, mut second) = (loud(0), loud(160));

        agc.run(&mut first, true);
        agc.run(&mut second, true);

        let flat =
            |pcm: &[i16]| pcm.windows(2).filter(|w| w[0] == w[1] && w[0].abs() > 32_000).count();
        assert!(flat(&first) <= 8, "{first:?}");
        assert!(level::peak(&second) < 32_000, "{}", level::peak(&second));
    }

    #[test]
    fn it_takes_hold_slowly_and_lets_go_without_a_step() {
        let mut agc = Agc::new();
        let said = converse(&mut agc, 1, -32.0);
        assert!(level::dbov(&said[15]) < -28.0, "{}", level::dbov(&said[15]));
        converse(&mut agc, 12, -32.0);

        let mut pcm = [100; 160];
        agc.finish(&mut pcm);
        assert!(pcm.windows(2).all(|pair| (pair[0] - pair[1]).abs() <= 4), "{pcm:?}");
        let mut after = [100; 160];
        agc.finish(&mut after);

        assert_eq!(after, [100; 160]);
    }
}
