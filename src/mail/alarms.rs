//! When a person is told that a trunk is down: once it has been for a while, and not again and again while it comes and goes. No IO.
//!
//! ```text
//!  as told ──it changes──▶ unsettled ──after `patience`, and not before the quiet is over──▶ told ──▶ quiet for `interval`
//!     ▲                        │
//!     └──it is as told again───┘  and has changed seldom
//! ```
//! Those that are unsettled and down are told together with the first that is due: when a line is cut, many trunks go within seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// What there is to say of trunks.
#[derive(Debug)]
pub(super) struct Alarms {
    patience: Duration,
    interval: Duration,
    trunks: BTreeMap<String, Trunk>,
}

#[derive(Debug)]
struct Trunk {
    is_up: bool,
    told_up: bool,
    since: Timestamp,
    /// Since when it has been otherwise than told, if only for a moment.
    unsettled: Option<Timestamp>,
    quiet_until: Option<Timestamp>,
    /// Since it was told of.
    changes: u32,
    refused: Option<u16>,
}

/// How a trunk is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Alarm {
    pub(super) trunk: String,
    pub(super) state: State,
    pub(super) since: Timestamp,
    /// How often it has come or gone since it was last told of.
    pub(super) changes: u32,
    /// The status by which our registration was refused.
    pub(super) refused: Option<u16>,
}

/// What is said of a trunk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Down,
    /// After it was told to be down.
    Up,
    /// It comes and goes, and is there now.
    Unstable,
}

impl Alarms {
    pub(super) fn new(patience: Duration, interval: Duration) -> Self {
        Self { patience, interval, trunks: BTreeMap::new() }
    }

    /// A trunk has come or gone; nothing is known of it before.
    pub(super) fn handle_change(
        &mut self,
        now: Timestamp,
        name: &str,
        is_up: bool,
        refused: Option<u16>,
    ) {
        if self.trunks.len() >= MOST && !self.trunks.contains_key(name) {
            return;
        }
        let trunk = self.trunks.entry(name.to_owned()).or_insert(Trunk {
            is_up: true,
            told_up: true,
            since: now,
            unsettled: None,
            quiet_until: None,
            changes: 0,
            refused: None,
        });
        trunk.refused = refused;
        if trunk.is_up == is_up {
            return;
        }
        (trunk.is_up, trunk.since) = (is_up, now);
        trunk.changes += 1;
        trunk.unsettled.get_or_insert(now);
    }

    /// What is to be told now, in one mail.
    pub(super) fn poll(&mut self, now: Timestamp) -> Vec<Alarm> {
        let patience = self.patience;
        let mut alarms = Vec::new();
        let is_due = |trunk: &Trunk| trunk.due(patience).is_some_and(|due| due <= now);
        let has_news = self.trunks.values().any(|trunk| is_due(trunk) && trunk.news().is_some());
        for (name, trunk) in &mut self.trunks {
            let goes_along = has_news && !trunk.is_up && !trunk.is_quiet(now);
            if trunk.unsettled.is_none() || !(is_due(trunk) || goes_along) {
                continue;
            }
            if let Some(state) = trunk.news() {
                let Trunk { since, changes, refused, .. } = *trunk;
                alarms.push(Alarm { trunk: name.clone(), state, since, changes, refused });
                trunk.told_up = trunk.is_up;
                trunk.quiet_until = Some(after(now, self.interval));
            }
            (trunk.unsettled, trunk.changes) = (None, 0);
        }
        alarms
    }

    /// When to poll next.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        self.trunks.values().filter_map(|trunk| trunk.due(self.patience)).min()
    }
}

impl Trunk {
    fn due(&self, patience: Duration) -> Option<Timestamp> {
        let due = after(self.unsettled?, patience);
        Some(self.quiet_until.map_or(due, |until| due.max(until)))
    }

    fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet_until.is_some_and(|until| now < until)
    }

    fn news(&self) -> Option<State> {
        match (self.is_up, self.told_up) {
            (false, true) => Some(State::Down),
            (true, false) => Some(State::Up),
            // Still down, or there again, after it has come and gone often.
            (false, false) if self.changes >= OFTEN => Some(State::Down),
            (true, true) if self.changes >= OFTEN => Some(State::Unstable),
            (false, false) | (true, true) => None,
        }
    }
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// Trunks that are watched.
const MOST: usize = 10_000;
/// Changes that are worth a mail even if all is as it was.
const OFTEN: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);
    const INTERVAL: Duration = Duration::from_mins(15);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn alarms() -> Alarms {
        Alarms::new(PATIENCE, INTERVAL)
    }

    /// What is told, and when: polled whenever it wants to be.
    fn told(alarms: &mut Alarms, until: i64) -> Vec<(i64, String, State, u32)> {
        let mut told = Vec::new();
        while let Some(wake) = alarms.wake().filter(|wake| *wake <= at(until)) {
            let second = wake.as_second() - at(0).as_second();
            let found = alarms.poll(wake).into_iter();
            told.extend(found.map(|alarm| (second, alarm.trunk, alarm.state, alarm.changes)));
        }
        told
    }

    #[test]
    fn a_trunk_is_told_to_be_down_after_a_minute_and_to_be_up_again() {
        let mut alarms = alarms();

        alarms.handle_change(at(0), "a", false, Some(403));
        let down = told(&mut alarms, 2_000);
        alarms.handle_change(at(2_000), "a", true, None);
        let up = told(&mut alarms, 9_000);

        assert_eq!(down, [(60, "a".to_owned(), State::Down, 1)]);
        assert_eq!(up, [(2_060, "a".to_owned(), State::Up, 1)]);
    }

    #[test]
    fn a_moment_without_a_trunk_is_not_worth_a_mail() {
        let mut alarms = alarms();

        alarms.handle_change(at(0), "a", false, None);
        alarms.handle_change(at(30), "a", true, None);

        assert_eq!(told(&mut alarms, 9_000), []);
    }

    #[test]
    fn a_trunk_that_comes_and_goes_is_told_four_times_an_hour() {
        let mut alarms = alarms();
        let mut mails = Vec::new();

        for turn in 0..720 {
            alarms.handle_change(at(5 * turn), "a", turn % 2 == 1, None);
            mails.extend(told(&mut alarms, 5 * turn + 4));
        }

        let times: Vec<i64> = mails.iter().map(|mail| mail.0).collect();
        assert_eq!(times, [60, 960, 1_860, 2_760]);
        assert!(mails[1].3 > 100, "{mails:?}");
    }

    #[test]
    fn what_goes_together_is_told_together() {
        let mut alarms = alarms();

        for (second, name) in [(0, "a"), (20, "b"), (25, "c")] {
            alarms.handle_change(at(second), name, false, None);
        }
        alarms.handle_change(at(30), "d", false, None);
        alarms.handle_change(at(40), "d", true, None);
        let told = alarms.poll(at(60));

        assert_eq!(told.iter().map(|alarm| &alarm.trunk[..]).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(alarms.poll(at(3_000)), []);
    }

    #[test]
    fn a_trunk_that_was_never_down_is_not_told_to_be_up() {
        let mut alarms = alarms();

        alarms.handle_change(at(0), "a", true, None);

        assert_eq!((alarms.poll(at(100)), alarms.wake()), (Vec::new(), None));
    }
}
