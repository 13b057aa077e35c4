//! Who has the floor of a room: the one who speaks, and between two words the one who spoke last.
//!
//! After Volfin and Cohen, "Dominant Speaker Identification for Multipoint Videoconferencing" (2012): speech is looked
//! at over a short and a medium time, so that a transient counts for nothing and a pause for little.
//!
//! ```text
//!             speaks now (60 of 100 ms), spoke for 300 of the last 500 ms,
//!   nobody ──▶ and spoke 100 ms more than the holder or is 9 dB louder ──▶ holder ──▶ nobody
//!                                                            ▲    │            (left the room)
//!                                                            └────┘ (somebody else does)
//! ```

use crate::room::SlotId;

/// Ticks of the medium time.
const MEDIUM: u32 = (1 << 25) - 1;
/// Ticks of the short time.
const SHORT: u32 = (1 << 5) - 1;
/// Ticks of speech in the short time that are speaking, not clicking.
const SPEAKS_NOW: u32 = 3;
/// Ticks of speech in the medium time that no cough lasts.
const SPOKE: u32 = 15;
/// Ticks by which a claimant must have spoken more than the holder …
const LEAD: u32 = 5;
/// … unless louder by this, dB.
const LOUDER: f32 = 9.0;
/// Share of the newest tick in the mean level: about half a second counts.
const NEWEST: f32 = 0.04;

/// How much somebody spoke lately.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Activity {
    /// A bit for each tick, newest lowest: whether it was speech.
    past: u32,
    /// Mean level of the speech, dBov.
    level: f32,
}

impl Activity {
    /// Takes the level of the next tick, if it is speech.
    pub(crate) fn note(&mut self, speech: Option<f32>) {
        if let Some(level) = speech {
            let first = self.past == 0;
            self.level = if first { level } else { self.level + (level - self.level) * NEWEST };
        }
        self.past = self.past << 1 | u32::from(speech.is_some());
    }

    /// Ticks of speech in the medium time.
    fn spoke(self) -> u32 {
        (self.past & MEDIUM).count_ones()
    }

    /// Has spoken long enough to be listened to.
    fn claims(self) -> bool {
        self.spoke() >= SPOKE && (self.past & SHORT).count_ones() >= SPEAKS_NOW
    }

    /// Says clearly more than somebody else.
    fn outdoes(self, other: Self) -> bool {
        self.spoke() >= other.spoke() + LEAD || self.level >= other.level + LOUDER
    }
}

/// The floor of one room. Each tick everybody is considered once, and then it is decided.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    holder: Option<SlotId>,
    /// Of the holder in this tick.
    held: Activity,
    /// Who claims the floor in this tick, and with what.
    claimant: Option<(SlotId, Activity)>,
}

impl Floor {
    /// Looks at one seat.
    pub(crate) fn consider(&mut self, seat: SlotId, activity: Activity) {
        if self.holder == Some(seat) {
            self.held = activity;
        } else if activity.claims()
            && self.claimant.is_none_or(|(_, other)| {
                (activity.spoke(), activity.level) > (other.spoke(), other.level)
            })
        {
            self.claimant = Some((seat, activity));
        }
    }

    /// Who takes the floor in this tick, if anybody does.
    pub(crate) fn decide(&mut self) -> Option<SlotId> {
        let (seat, activity) = self.claimant.take()?;
        if self.holder.is_some() && !activity.outdoes(self.held) {
            return None;
        }
        (self.holder, self.held) = (Some(seat), activity);
        Some(seat)
    }

    /// Nobody has it any more if `seat` had it.
    pub(crate) fn leave(&mut self, seat: SlotId) {
        if self.holder == Some(seat) {
            self.holder = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: SlotId = SlotId(1);
    const BERT: SlotId = SlotId(2);

    /// Two people who speak at these levels for so many milliseconds; answers who took the floor, and when.
    struct Script {
        floor: Floor,
        seats: [(SlotId, Activity); 2],
        ms: u32,
        taken: Vec<(SlotId, u32)>,
    }

    impl Script {
        fn new() -> Self {
            let seats = [(ANNA, Activity::default()), (BERT, Activity::default())];
            Self { floor: Floor::default(), seats, ms: 0, taken: Vec::new() }
        }

        fn play(&mut self, ms: u32, levels: [Option<f32>; 2]) {
            for _ in 0..ms / 20 {
                self.ms += 20;
                for ((seat, activity), level) in self.seats.iter_mut().zip(levels) {
                    activity.note(level);
                    self.floor.consider(*seat, *activity);
                }
                self.taken.extend(self.floor.decide().map(|seat| (seat, self.ms)));
            }
        }
    }

    #[test]
    fn who_speaks_has_the_floor_after_300_milliseconds_and_keeps_it_in_silence() {
        let mut script = Script::new();

        script.play(2_000, [Some(-20.0), None]);
        script.play(60_000, [None, None]);
        script.play(2_000, [Some(-20.0), None]);

        assert_eq!(script.taken, [(ANNA, 300)]);
    }

    #[test]
    fn a_cough_takes_nothing() {
        let mut script = Script::new();

        script.play(280, [None, Some(-6.0)]);
        script.play(1_000, [None, None]);
        script.play(1_000, [Some(-25.0), None]);
        script.play(280, [None, Some(-6.0)]);
        script.play(400, [Some(-25.0), None]);
        script.play(280, [Some(-25.0), Some(-6.0)]);
        script.play(1_000, [Some(-25.0), None]);

        assert_eq!(script.taken, [(ANNA, 1_580)]);
    }

    #[test]
    fn an_answer_takes_it_in_less_than_half_a_second() {
        let mut script = Script::new();

        script.play(3_000, [Some(-20.0), None]);
        script.play(3_000, [None, Some(-26.0)]);
        script.play(3_000, [Some(-20.0), None]);

        assert_eq!(script.taken, [(ANNA, 300), (BERT, 3_300), (ANNA, 6_300)]);
    }

    #[test]
    fn agreeing_between_words_leaves_it_where_it_is() {
        let mut script = Script::new();

        for _ in 0..20 {
            script.play(240, [Some(-20.0), None]);
            script.play(120, [None, Some(-20.0)]);
            script.play(240, [Some(-20.0), Some(-20.0)]);
            script.play(60, [None, None]);
        }

        assert_eq!(script.taken.len(), 1, "{:?}", script.taken);
        assert_eq!(script.taken[0].0, ANNA);
    }

    #[test]
    fn of_two_at_once_the_first_has_it_unless_the_other_is_much_louder() {
        let mut script = Script::new();

        script.play(1_000, [Some(-30.0), None]);
        script.play(5_000, [Some(-30.0), Some(-24.0)]);
        assert_eq!(script.taken, [(ANNA, 300)]);
        script.play(5_000, [Some(-30.0), Some(-14.0)]);

        assert_eq!(script.taken.len(), 2, "{:?}", script.taken);
        assert_eq!(script.taken[1].0, BERT);
    }

    #[test]
    fn who_leaves_leaves_the_floor() {
        let mut script = Script::new();
        script.play(1_000, [Some(-20.0), None]);

        script.floor.leave(BERT);
        assert_eq!(script.floor.holder, Some(ANNA));
        script.floor.leave(ANNA);
        script.seats[0].1 = Activity::default();
        script.play(600, [None, Some(-20.0)]);

        assert_eq!(script.taken, [(ANNA, 300), (BERT, 1_300)]);
    }
}
