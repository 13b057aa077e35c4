//! How loud a packet is before it is decoded: believed only to leave packets undecoded, and checked now and then.
//!
//! The peer may tell (RFC 6464), else the codec may show it.

use crate::level;
use crate::rtp::AudioLevel;

/// What a leg has to reach to be heard, dBov.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bar {
    /// What it says in this tick.
    pub(crate) sound: f32,
    /// The loudness it is chosen by.
    pub(crate) loudness: f32,
}

impl Bar {
    /// Everything that makes a sound.
    pub(crate) const AUDIBLE: Self = Self { sound: level::AUDIBLE, loudness: level::SILENCE };

    /// True if a packet may be heard, sent by somebody who was as loud as `memory`.
    pub(super) fn lets_in(self, hint: Hint, memory: f32) -> bool {
        let most = hint.dbov + hint.margin;
        most >= self.sound && most.max(memory) >= self.loudness
    }
}

/// How loud a packet is by what can be known without decoding it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hint {
    pub(super) dbov: f32,
    /// By how much that may be too low, dB.
    margin: f32,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    Peer,
    Codec,
}

impl Hint {
    /// Of what is made here.
    pub(super) fn exact(level: AudioLevel) -> Self {
        Self { dbov: level.dbov(), margin: 0.0, source: Source::Codec }
    }
}

/// What is thought of the hints of one stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    /// Packets left out since one was measured.
    unchecked: u8,
    /// Contradictions in a row.
    doubts: u8,
    /// How much louder than the codec shows what it carries is, dB.
    offset: f32,
}

impl Hints {
    /// The first packet is checked.
    pub(super) fn new() -> Self {
        Self { unchecked: CHECK_EVERY, doubts: 0, offset: 0.0 }
    }

    /// The better of what is there.
    pub(super) fn hint(
        self,
        told: Option<AudioLevel>,
        estimate: impl FnOnce() -> Option<f32>,
    ) -> Option<Hint> {
        match told.filter(|_| self.doubts < DOUBTS_MOST) {
            Some(told) => Some(Hint { dbov: told.dbov(), margin: MARGIN, source: Source::Peer }),
            None => estimate().map(|estimate| Hint {
                dbov: estimate + self.offset,
                margin: ESTIMATE_MARGIN,
                source: Source::Codec,
            }),
        }
    }

    /// Asked for a packet that would be left out: true if it is to be decoded and [`Self::check`]ed.
    pub(super) fn is_check_due(&mut self) -> bool {
        let due = self.unchecked >= CHECK_EVERY;
        self.unchecked += u8::from(!due);
        due
    }

    /// Compares a hint with what was decoded. After a peer's contradiction the next packet is checked too.
    pub(super) fn check(&mut self, hint: Hint, dbov: f32) {
        match hint.source {
            Source::Codec => {
                self.offset = (self.offset + dbov - hint.dbov).clamp(OFFSET_LEAST, OFFSET_MOST);
                self.unchecked = 0;
            }
            Source::Peer
                if (hint.dbov.max(INDIFFERENT) - dbov.max(INDIFFERENT)).abs() > TOLERANCE =>
            {
                self.doubts += 1;
            }
            Source::Peer => {
                self.doubts = 0;
                self.unchecked = 0;
            }
        }
    }
}

/// By how much a level may be told too low, dB: it is rounded, and taken before the codec.
const MARGIN: f32 = 3.0;
/// By how much an estimate may be too low for a voice, dB.
const ESTIMATE_MARGIN: f32 = 6.0;
/// What is learned of estimates, dB: noise is softer than it seems, steady tones are louder.
const OFFSET_LEAST: f32 = -6.0;
const OFFSET_MOST: f32 = 30.0;
/// Packets left out between two that are measured: a second, mostly.
const CHECK_EVERY: u8 = 50;
/// Contradictions in a row after which nothing is believed any more.
const DOUBTS_MOST: u8 = 3;
/// By how much what was told and what is decoded may differ, dB …
const TOLERANCE: f32 = 12.0;
/// … where one of them is above this, dBov: below it codecs themselves make silence of noise.
const INDIFFERENT: f32 = -55.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(hints: Hints, dbov: f32) -> Option<Hint> {
        hints.hint(Some(AudioLevel::of_dbov(dbov)), || None)
    }

    #[test]
    fn who_contradicts_himself_is_not_believed() {
        for (level, measured, believed) in [
            (-127.0, -20.0, false),
            (-10.0, -127.0, false),
            (-30.0, -36.0, true),
            (-127.0, -58.0, true),
        ] {
            let mut hints = Hints::new();
            let mut decoded = 0;
            for _ in 0..200 {
                if let Some(hint) = told(hints, level)
                    && hints.is_check_due()
                {
                    decoded += 1;
                    hints.check(hint, measured);
                }
            }

            assert_eq!(told(hints, level).is_some(), believed, "{level} {measured}");
            assert_eq!(decoded, if believed { 4 } else { 3 }, "{level} {measured}");
        }
    }

    #[test]
    fn the_bar_lets_in_who_is_or_was_loud_enough() {
        let bar = Bar { sound: -45.0, loudness: -30.0 };

        for (dbov, memory, lets_in) in [
            (-30.0, -127.0, true),
            (-33.0, -127.0, true),
            (-40.0, -127.0, false),
            (-40.0, -29.0, true),
            (-60.0, -29.0, false),
        ] {
            let hint = told(Hints::new(), dbov).expect("believed at first");
            assert_eq!(bar.lets_in(hint, memory), lets_in, "{dbov} {memory}");
        }
    }

    #[test]
    fn estimates_learn_from_what_is_decoded() {
        let mut hints = Hints::new();
        for (estimate, measured, then) in
            [(-60.0, -40.0, -40.0), (-50.0, -30.0, -30.0), (-60.0, -90.0, -66.0)]
        {
            let hint = hints.hint(None, || Some(estimate)).expect("there is an estimate");
            assert!(hints.is_check_due());
            hints.check(hint, measured);

            assert_eq!(hints.hint(None, || Some(estimate)).map(|hint| hint.dbov), Some(then));
            hints.unchecked = CHECK_EVERY;
        }
    }
}
