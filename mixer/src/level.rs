//! How loud a frame is, and whether somebody talks (levels in dBov, RFC 6464 §3).

/// Where talking starts, dBov.
const START: f32 = -42.0;
/// Below this it may end, dBov.
const STOP: f32 = -48.0;
/// Frames above [`START`] that make talking: one alone may be a click.
const ATTACK: u8 = 2;
/// Frames below [`STOP`] that end it: pauses between words are shorter.
const HANGOVER: u8 = 30;
/// What is never louder than this is not worth mixing: the smallest step of A-law, its idle value.
pub const INAUDIBLE_PEAK: u16 = 8;
/// Nothing with a larger peak is quieter than this by much: a sine of that peak, dBov.
pub const AUDIBLE: f32 = -75.0;
/// The level of digital silence, dBov.
pub const SILENCE: f32 = -127.0;

/// Power of a frame in dBov, [`SILENCE`] at least, 0 for a full-scale square wave.
pub fn dbov(pcm: &[i16]) -> f32 {
    let power = power(pcm);
    if power > 0.0 { (10.0 * power.log10()).clamp(SILENCE, 0.0) } else { SILENCE }
}

/// Power of a frame, 1 for a full-scale square wave.
#[expect(clippy::cast_precision_loss, reason = "energy of a frame; 24 bits are a tenth of a dB")]
pub fn power(pcm: &[i16]) -> f32 {
    let square = |sample: i16| (i32::from(sample) * i32::from(sample)).cast_unsigned();
    // Two squares fit an u32, and 64 of them shifted by 6: the loop stays in 32-bit lanes.
    let sum = |chunk: &[i16]| -> u32 {
        chunk.as_chunks().0.iter().map(|&[a, b]| (square(a) + square(b)) >> 6).sum()
    };
    let energy: u64 = pcm.chunks(64).map(|chunk| u64::from(sum(chunk))).sum();
    let mean = energy as f32 * 64.0 / pcm.len().max(1) as f32;
    mean / (32_768.0 * 32_768.0)
}

/// The largest magnitude in a frame.
pub fn peak(pcm: &[i16]) -> u16 {
    let (low, high) = pcm.iter().fold((0, 0), |(low, high), &s| (s.min(low), s.max(high)));
    low.unsigned_abs().max(high.unsigned_abs())
}

/// Decides frame by frame whether somebody talks, with hysteresis in level and time.
#[derive(Clone, Debug, Default)]
pub struct TalkDetector {
    talking: bool,
    /// Frames in a row that speak for a change.
    against: u8,
}

impl TalkDetector {
    /// Takes the level of the next 20 ms; returns the new state if it changed.
    pub fn handle_level(&mut self, dbov: f32) -> Option<bool> {
        let (contradicts, patience) =
            if self.talking { (dbov < STOP, HANGOVER) } else { (dbov >= START, ATTACK) };
        self.against = if contradicts { self.against + 1 } else { 0 };
        if self.against < patience {
            return None;
        }
        self.against = 0;
        self.talking = !self.talking;
        Some(self.talking)
    }

    /// True for the level of a frame that is part of talking, not a pause in it.
    pub fn is_speech(&self, dbov: f32) -> bool {
        self.talking && dbov >= STOP
    }

    /// True while somebody talks.
    pub fn is_talking(&self) -> bool {
        self.talking
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Syllables of 60 ms and more with pauses of up to half a second, in the noise of a quiet office.
        #[test]
        fn an_utterance_starts_once_soon_and_ends_once(
            syllables in prop::collection::vec((-36.0_f32..-8.0, 3_usize..16, 0_usize..26), 1..40),
            noise in -80.0_f32..-52.0,
        ) {
            let mut detector = TalkDetector::default();
            let mut changes = Vec::new();
            let silence = std::iter::repeat_n(noise, 100);
            let said = syllables.iter().flat_map(|&(level, ticks, pause)| {
                std::iter::repeat_n(level, ticks).chain(std::iter::repeat_n(noise, pause))
            });

            for (tick, level) in silence.clone().chain(said).chain(silence).enumerate() {
                changes.extend(detector.handle_level(level).map(|talking| (tick, talking)));
            }

            prop_assert_eq!(changes.len(), 2, "{:?}", changes);
            let (start, talking) = changes[0];
            prop_assert!(talking && (100..=104).contains(&start), "started at tick {}", start);
        }

        #[test]
        fn steady_noise_is_not_talking(levels in prop::collection::vec(-54.0_f32..-46.0, 1..2_000)) {
            let mut detector = TalkDetector::default();

            prop_assert!(levels.iter().all(|&level| detector.handle_level(level).is_none()));
        }

        /// Whatever happens, who starts to talk stops 600 ms later at the earliest.
        #[test]
        fn nothing_makes_it_flutter(levels in prop::collection::vec(-127.0_f32..0.0, 1..2_000)) {
            let mut detector = TalkDetector::default();
            let mut started = 0;

            for (tick, &level) in levels.iter().enumerate() {
                match detector.handle_level(level) {
                    Some(true) => started = tick,
                    Some(false) => prop_assert!(tick - started >= usize::from(HANGOVER)),
                    None => {}
                }
            }
        }
    }

    #[test]
    fn full_scale_square_is_0_and_silence_the_least() {
        assert!(dbov(&[i16::MIN; 160]).abs() < 0.1);
        assert!(dbov(&[0; 160]) <= SILENCE);
        assert!((dbov(&[3277; 160]) + 20.0).abs() < 0.1);
    }

    #[test]
    fn peak_holds_the_most_negative_sample() {
        assert_eq!(peak(&[1, -5, 3]), 5);
        assert_eq!(peak(&[i16::MIN]), 32_768);
    }

    #[test]
    fn a_click_is_not_talking_and_a_pause_is_not_the_end() {
        let mut detector = TalkDetector::default();

        assert_eq!(detector.handle_level(-20.0), None);
        assert_eq!(detector.handle_level(-90.0), None);
        assert_eq!(detector.handle_level(-20.0), None);
        assert_eq!(detector.handle_level(-20.0), Some(true));
        for _ in 0..29 {
            assert_eq!(detector.handle_level(-60.0), None);
        }
        assert_eq!(detector.handle_level(-45.0), None);
        assert!(detector.is_talking());
        let changes: Vec<bool> = (0..60).filter_map(|_| detector.handle_level(-60.0)).collect();
        assert_eq!(changes, [false]);
    }
}
