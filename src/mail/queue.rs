//! Which mail is tried when. No IO, no clock.
//!
//! A mail that the server does not take yet (4xx, as greylisting does) waits on its own; a server that cannot be reached, or does not let
//! us in, is left alone for a while with all that waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::letter::{Letter, LetterId};

/// Mails that wait.
#[derive(Debug)]
pub(super) struct Queue {
    letters: BTreeMap<LetterId, Waiting>,
    capacity: usize,
    give_up_after: Duration,
    /// Failures of the server in a row.
    failures: u32,
    /// Until then nothing is tried.
    closed_until: Option<Timestamp>,
    jitter: ChaCha8Rng,
}

#[derive(Debug)]
struct Waiting {
    letter: Letter,
    tries: u32,
    due: Timestamp,
    is_under_way: bool,
}

/// What became of a mail.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    Sent,
    /// Not yet, as the server says.
    Later(String),
    /// Never, as the server says.
    Refused(String),
}

/// What is to be said of an attempt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    Sent,
    Retried,
    GivenUp,
}

/// Why a server takes nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Closed {
    /// It cannot be reached, or does not speak as expected.
    Unreachable,
    /// It does not let us in by this user and password: asked often, it may lock the user out.
    Unauthorised,
}

impl Queue {
    pub(super) fn new(capacity: usize, give_up_after: Duration, seed: u64) -> Self {
        Self {
            letters: BTreeMap::new(),
            capacity,
            give_up_after,
            failures: 0,
            closed_until: None,
            jitter: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// How many more may wait.
    pub(super) fn space(&self) -> usize {
        self.capacity.saturating_sub(self.letters.len())
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }

    /// Takes up a mail, to be sent at once.
    pub(super) fn put(&mut self, now: Timestamp, letter: Letter) {
        let waiting = Waiting { letter, tries: 0, due: now, is_under_way: false };
        self.letters.insert(waiting.letter.id, waiting);
    }

    /// Those to be tried now, oldest first, over one connection.
    pub(super) fn poll(&mut self, now: Timestamp) -> Vec<Letter> {
        if self.closed_until.is_some_and(|until| now < until)
            || self.letters.values().any(|waiting| waiting.is_under_way)
        {
            return Vec::new();
        }
        let due = self.letters.values_mut().filter(|waiting| waiting.due <= now).take(AT_ONCE);
        due.map(|waiting| {
            waiting.is_under_way = true;
            waiting.letter.clone()
        })
        .collect()
    }

    /// When to poll next; none while something is under way.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        if self.letters.values().any(|waiting| waiting.is_under_way) {
            return None;
        }
        let due = self.letters.values().map(|waiting| waiting.due).min()?;
        Some(self.closed_until.map_or(due, |until| due.max(until)))
    }

    /// The server was spoken to.
    pub(super) fn handle_open(&mut self) {
        (self.failures, self.closed_until) = (0, None);
    }

    /// The server took nothing. Gives the time that it is left alone, and those mails that are too old to be tried again.
    pub(super) fn handle_closed(
        &mut self,
        now: Timestamp,
        why: Closed,
    ) -> (Duration, Vec<LetterId>) {
        self.failures += 1;
        let pause = match why {
            Closed::Unreachable => FIRST_PAUSE * 2_u32.pow(self.failures.min(10) - 1),
            Closed::Unauthorised => LONGEST_PAUSE,
        };
        let pause = self.about(pause.min(LONGEST_PAUSE));
        self.closed_until = Some(after(now, pause));
        self.letters.values_mut().for_each(|waiting| waiting.is_under_way = false);
        let too_old = |waiting: &&Waiting| is_too_old(waiting, now, self.give_up_after);
        let old: Vec<_> = self.letters.values().filter(too_old).map(|it| it.letter.id).collect();
        self.letters.retain(|id, _| !old.contains(id));
        (pause, old)
    }

    /// What became of a mail that was tried.
    pub(super) fn handle_outcome(
        &mut self,
        now: Timestamp,
        id: LetterId,
        outcome: &Outcome,
    ) -> Verdict {
        let pause = match self.letters.get(&id) {
            Some(waiting) => PAUSES[usize::try_from(waiting.tries).unwrap_or(0).min(4)],
            None => return Verdict::GivenUp,
        };
        let pause = self.about(pause);
        let limit = self.give_up_after;
        let Some(waiting) = self.letters.get_mut(&id) else { return Verdict::GivenUp };
        waiting.is_under_way = false;
        let verdict = match outcome {
            Outcome::Sent => Verdict::Sent,
            Outcome::Refused(_) => Verdict::GivenUp,
            Outcome::Later(_) if is_too_old(waiting, now, limit) => Verdict::GivenUp,
            Outcome::Later(_) => {
                waiting.tries += 1;
                waiting.due = after(now, pause);
                return Verdict::Retried;
            }
        };
        self.letters.remove(&id);
        verdict
    }

    /// Nothing was learnt of what was under way.
    pub(super) fn handle_nothing(&mut self) {
        self.letters.values_mut().for_each(|waiting| waiting.is_under_way = false);
    }

    /// A fifth more or less, so that not all who found a server down come back in the same moment.
    fn about(&mut self, time: Duration) -> Duration {
        let part = f64::from(self.jitter.next_u32()) / f64::from(u32::MAX);
        time.mul_f64(0.8 + 0.4 * part)
    }
}

fn is_too_old(waiting: &Waiting, now: Timestamp, limit: Duration) -> bool {
    after(waiting.letter.made_at, limit) <= now
}

fn after(at: Timestamp, time: Duration) -> Timestamp {
    let time = SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
    at.checked_add(time).unwrap_or(Timestamp::MAX)
}

/// Mails over one connection.
const AT_ONCE: usize = 20;
/// Until a mail that the server does not take yet is tried again; the last is the pause from then on.
const PAUSES: [Duration; 5] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_hours(1),
    Duration::from_hours(2),
];
/// For how long a server that took nothing is left alone; twice as long after each failure.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    const A_DAY: Duration = Duration::from_hours(24);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_780_000_000 + second).unwrap()
    }

    fn letter(number: u64) -> Letter {
        Letter {
            id: LetterId::new(number, 0),
            made_at: at(0),
            from: "bridge@a.test".to_owned(),
            to: "ada@b.test".to_owned(),
            text: String::new(),
        }
    }

    fn queue(letters: u64) -> Queue {
        let mut queue = Queue::new(100, A_DAY, 7);
        (0..letters).for_each(|number| queue.put(at(0), letter(number)));
        queue
    }

    fn seconds(from: Timestamp, to: Option<Timestamp>) -> i64 {
        to.unwrap().as_second() - from.as_second()
    }

    #[test]
    fn what_is_sent_is_forgotten_and_the_next_goes() {
        let mut queue = queue(25);

        let first = queue.poll(at(0));
        let meanwhile = queue.poll(at(0));
        for letter in &first {
            queue.handle_outcome(at(1), letter.id, &Outcome::Sent);
        }

        assert_eq!((first.len(), meanwhile.len(), queue.len()), (20, 0, 5));
        assert_eq!(queue.poll(at(1)).len(), 5);
    }

    #[test]
    fn a_mail_that_is_not_taken_yet_waits_longer_and_longer_for_a_day() {
        let mut queue = queue(1);
        let (mut now, mut pauses) = (at(0), Vec::new());

        loop {
            let tried = queue.poll(now);
            let verdict =
                queue.handle_outcome(now, tried[0].id, &Outcome::Later("greylisted".to_owned()));
            if verdict == Verdict::GivenUp {
                break;
            }
            let wake = queue.wake();
            pauses.push(seconds(now, wake));
            now = wake.unwrap();
        }

        assert!((48..=72).contains(&pauses[0]) && (240..=360).contains(&pauses[1]), "{pauses:?}");
        assert!((13..=18).contains(&pauses.len()), "{pauses:?}");
        assert!(seconds(at(0), Some(now)) >= 86_400);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn a_mail_that_is_refused_is_not_tried_again() {
        let mut queue = queue(1);
        let tried = queue.poll(at(0));

        let refused = Outcome::Refused("no such user".to_owned());
        let verdict = queue.handle_outcome(at(0), tried[0].id, &refused);

        assert_eq!((verdict, queue.len(), queue.wake()), (Verdict::GivenUp, 0, None));
    }

    #[test]
    fn a_server_that_is_gone_is_left_alone_for_longer_and_longer() {
        let mut queue = queue(3);
        let (mut now, mut pauses) = (at(0), Vec::new());

        for _ in 0..10 {
            assert_eq!(queue.poll(now).len(), 3);
            queue.handle_closed(now, Closed::Unreachable);
            pauses.push(seconds(now, queue.wake()));
            assert!(queue.poll(now).is_empty());
            now = queue.wake().unwrap();
        }
        queue.handle_open();

        assert!((3..=6).contains(&pauses[0]) && (7..=12).contains(&pauses[1]), "{pauses:?}");
        assert!(pauses[9] >= 720 && pauses.iter().all(|pause| *pause <= 1_080), "{pauses:?}");
        assert_eq!(queue.poll(now).len(), 3);
    }

    #[test]
    fn who_is_not_let_in_does_not_knock_again_at_once() {
        let mut queue = queue(1);
        queue.poll(at(0));

        queue.handle_closed(at(0), Closed::Unauthorised);

        assert!((720..=1_080).contains(&seconds(at(0), queue.wake())));
    }

    #[test]
    fn what_is_a_day_old_is_given_up_while_the_server_is_gone() {
        let mut queue = queue(2);
        queue.poll(at(90_000));

        let (_, given_up) = queue.handle_closed(at(90_000), Closed::Unreachable);

        assert_eq!((given_up.len(), queue.len()), (2, 0));
    }
}
