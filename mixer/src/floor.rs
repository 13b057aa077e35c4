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

use std::time::Instant;

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

/// Since when somebody has the floor, and how much they spoke lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) since: Instant,
    activity: Activity,
}

/// The floor of one room, or of a part of it. Each tick everybody is considered once, and then it is decided.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    holder: Option<Holder>,
    held: Option<Held>,
    /// Who claims the floor in this tick, and with what.
    claimant: Option<(SlotId, Activity)>,
    /// Another part gave it away in the same tick, and gives in: it has to be said again who has it.
    is_contested: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Holder {
    Seat(SlotId),
    /// Somebody in another part of the room.
    Elsewhere,
}

impl Floor {
    /// Looks at one seat.
    pub(crate) fn consider(&mut self, seat: SlotId, activity: Activity) {
        if self.holder == Some(Holder::Seat(seat)) {
            self.held = self.held.map(|held| Held { activity, ..held });
        } else if activity.claims()
            && self.claimant.is_none_or(|(_, other)| {
                (activity.spoke(), activity.level) > (other.spoke(), other.level)
            })
        {
            self.claimant = Some((seat, activity));
        }
    }

    /// Looks at who has it in the other parts: who took it last has it, of two at once that of the part that `comes first`.
    pub(crate) fn look_elsewhere(&mut self, elsewhere: Option<(Held, bool)>) {
        match (elsewhere, self.held_here()) {
            (None, Some(_)) => {}
            (None, None) => (self.holder, self.held) = (None, None),
            (Some((theirs, comes_first)), ours) => {
                if ours.is_none_or(|ours| (theirs.since, comes_first) > (ours.since, false)) {
                    (self.holder, self.held) = (Some(Holder::Elsewhere), Some(theirs));
                } else {
                    self.is_contested = ours.is_some_and(|ours| ours.since == theirs.since);
                }
            }
        }
    }

    /// Who takes the floor in this tick, if anybody does.
    pub(crate) fn decide(&mut self, now: Instant) -> Option<SlotId> {
        let is_contested = std::mem::take(&mut self.is_contested);
        let again = match self.holder {
            Some(Holder::Seat(seat)) if is_contested => Some(seat),
            Some(Holder::Seat(_) | Holder::Elsewhere) | None => None,
        };
        self.claim(now).or(again)
    }

    fn claim(&mut self, now: Instant) -> Option<SlotId> {
        let (seat, activity) = self.claimant.take()?;
        if self.held.is_some_and(|held| !activity.outdoes(held.activity)) {
            return None;
        }
        self.holder = Some(Holder::Seat(seat));
        self.held = Some(Held { since: now, activity });
        Some(seat)
    }

    /// That of who has it, if they sit here.
    pub(crate) fn held_here(&self) -> Option<Held> {
        self.held.filter(|_| matches!(self.holder, Some(Holder::Seat(_))))
    }

    /// Nobody has it any more if `seat` had it.
    pub(crate) fn leave(&mut self, seat: SlotId) {
        if self.holder == Some(Holder::Seat(seat)) {
            (self.holder, self.held) = (None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ANNA: SlotId = SlotId(1);
    const BERT: SlotId = SlotId(2);

    /// Two people who speak at these levels for so many milliseconds; answers who took the floor, and when.
    struct Script {
        floor: Floor,
        seats: [(SlotId, Activity); 2],
        start: Instant,
        ms: u32,
        taken: Vec<(SlotId, u32)>,
    }

    impl Script {
        fn new() -> Self {
            let seats = [(ANNA, Activity::default()), (BERT, Activity::default())];
            #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
            let start = Instant::now();
            Self { floor: Floor::default(), seats, start, ms: 0, taken: Vec::new() }
        }

        fn now(&self) -> Instant {
            self.start + Duration::from_millis(self.ms.into())
        }

        fn play(&mut self, ms: u32, levels: [Option<f32>; 2]) {
            for _ in 0..ms / 20 {
                self.ms += 20;
                for ((seat, activity), level) in self.seats.iter_mut().zip(levels) {
                    activity.note(level);
                    self.floor.consider(*seat, *activity);
                }
                self.taken.extend(self.floor.decide(self.now()).map(|seat| (seat, self.ms)));
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
        assert_eq!(script.floor.holder, Some(Holder::Seat(ANNA)));
        script.floor.leave(ANNA);
        script.seats[0].1 = Activity::default();
        script.play(600, [None, Some(-20.0)]);

        assert_eq!(script.taken, [(ANNA, 300), (BERT, 1_300)]);
    }
}
