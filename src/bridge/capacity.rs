//! How many more legs the media threads can take, by what they report each second.
//!
//! ```text
//!   cost of a leg = (time busy + PRIOR_COST × PRIOR_LEGS) ÷ (legs that tick + PRIOR_LEGS)
//!   load          = the greatest of: time busy · legs × cost · lateness
//!   room          = (most − load) ÷ cost − legs that no report tells of yet
//! ```
//! All of it is in shares of a worker's time. Legs that sleep count with the cost of a leg that ticks, since all may wake
//! at once. Lateness is how near ticks came to being late: the least of the last reports, so that one stall does not
//! count but a room that takes long does. It counts only for a worker that is busy: what holds up one that is not is the
//! machine, which fewer calls of ours do not help.
//!
//! A worker is full once it has no room, and until its load has fallen by a twentieth. It is also full while it is
//! silent, and while it is busy and its ticks are late report after report.
//!
//! A room may spread over the workers, so who comes is measured by the worker with the most room.

use std::time::{Duration, Instant};

use crate::media::command::WorkerReport;

/// What is known of every worker.
#[derive(Debug)]
pub(super) struct Capacity {
    /// Share of its time that a worker may be busy.
    most: f32,
    workers: Vec<Worker>,
}

/// The last reports of a worker, smoothed. One that never reported has no legs.
#[derive(Clone, Debug, Default)]
struct Worker {
    reported: Option<Instant>,
    legs: usize,
    /// Legs that tick.
    active: f32,
    busy: f32,
    /// Of the last reports.
    lateness: [f32; 4],
    /// Rises with each report of late ticks, falls with each other.
    alarm: u8,
    is_full: bool,
}

impl Capacity {
    /// `workers` idle ones, each of which may be busy for `most` of its time.
    pub(super) fn new(workers: usize, most: f32) -> Self {
        Self { most, workers: vec![Worker::default(); workers] }
    }

    /// Takes the news of a second.
    pub(super) fn handle_report(&mut self, now: Instant, report: &WorkerReport) {
        if let Some(worker) = self.workers.get_mut(report.worker) {
            worker.take(now, report, self.most);
        }
    }

    /// Legs that the workers together can take, when the bridge holds `legs` now.
    pub(super) fn room(&self, now: Instant, legs: usize) -> usize {
        self.rooms(now).sum::<usize>().saturating_sub(self.unreported(legs))
    }

    /// Legs that can be added to one mix, when the bridge holds `legs` now.
    pub(super) fn room_in_mix(&self, now: Instant, legs: usize) -> usize {
        self.rooms(now).max().unwrap_or(0).saturating_sub(self.unreported(legs))
    }

    /// Legs that each worker can take by its last report.
    pub(super) fn rooms(&self, now: Instant) -> impl Iterator<Item = usize> {
        self.workers.iter().map(move |worker| worker.room(now, self.most))
    }

    /// Legs of the bridge that are in no report: any worker may have got them.
    fn unreported(&self, legs: usize) -> usize {
        legs.saturating_sub(self.workers.iter().map(|worker| worker.legs).sum())
    }
}

impl Worker {
    fn take(&mut self, now: Instant, report: &WorkerReport, most: f32) {
        if report.legs == 0 {
            // Nothing is left, and nothing more is said until legs come.
            *self = Self::default();
            return;
        }
        self.reported = Some(now);
        self.legs = report.legs;
        self.active += (report.active_legs - self.active) * NEWS;
        self.busy += (report.busy - self.busy) * NEWS;
        self.lateness.rotate_right(1);
        self.lateness[0] = report.lateness();
        let is_late =
            report.late_ticks > LATE_TICKS.max(report.ticks / LATE_SHARE) && self.is_busy(most);
        self.alarm =
            if is_late { (self.alarm + 1).min(ALARM_MOST) } else { self.alarm.saturating_sub(1) };
        self.is_full = if self.is_full {
            self.alarm > 0 || self.load(most) > most * REOPEN
        } else {
            self.alarm >= ALARM || self.load(most) + self.cost() > most
        };
    }

    fn cost(&self) -> f32 {
        (self.busy + PRIOR_COST * PRIOR_LEGS) / (self.active + PRIOR_LEGS)
    }

    #[expect(clippy::cast_precision_loss, reason = "legs of a worker: thousands")]
    fn load(&self, most: f32) -> f32 {
        let load = self.busy.max(self.legs as f32 * self.cost());
        let lateness = self.lateness.iter().copied().fold(f32::INFINITY, f32::min);
        if self.is_busy(most) { load.max(lateness) } else { load }
    }

    fn is_busy(&self, most: f32) -> bool {
        self.busy > most / 2.0
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` rounds towards zero and keeps to the range, which is what is wanted"
    )]
    fn room(&self, now: Instant, most: f32) -> usize {
        if self.is_full || self.is_silent(now) {
            return 0;
        }
        // A little more, so that a whole number is not missed by a rounding error.
        ((most - self.load(most)) / self.cost() + 1e-3) as usize
    }

    fn is_silent(&self, now: Instant) -> bool {
        let quiet = |since: Instant| now.saturating_duration_since(since) > SILENT_AFTER;
        self.reported.is_some_and(quiet)
    }
}

/// What a leg is taken to cost before there is a measurement, in time of a worker: G.711 in small rooms costs 0.22 to
/// 0.35 ms a second (README, "Measured").
const PRIOR_COST: f32 = 0.000_3;
/// Legs that weigh as much as this assumption: a wake-up for two legs costs far more a leg than one for a hundred.
const PRIOR_LEGS: f32 = 50.0;
/// How much of a smoothed figure comes from the last report.
const NEWS: f32 = 0.5;
/// Of the load a worker may have, what it must have come down to before it is no longer full.
const REOPEN: f32 = 0.95;
/// A report tells of late ticks beyond this many…
const LATE_TICKS: u64 = 5;
/// …and beyond one in this many.
const LATE_SHARE: u64 = 100;
/// So many such reports running make the worker full.
const ALARM: u8 = 2;
/// At most so many others clear it again.
const ALARM_MOST: u8 = 3;
/// A worker that has legs and has not reported for so long is stuck, or we are.
const SILENT_AFTER: Duration = Duration::from_secs(3);

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
mod tests {
    use super::*;

    /// The capacity of workers, with a second between their reports.
    struct Watch {
        now: Instant,
        capacity: Capacity,
    }

    impl Watch {
        fn new(workers: usize) -> Self {
            Self { now: Instant::now(), capacity: Capacity::new(workers, 0.75) }
        }

        fn hear(&mut self, seconds: usize, report: &WorkerReport) {
            for _ in 0..seconds {
                self.now += Duration::from_secs(1);
                self.capacity.handle_report(self.now, report);
            }
        }

        /// Room by the reports alone.
        fn room(&self) -> usize {
            self.capacity.rooms(self.now).sum()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn report(legs: usize, busy: f32) -> WorkerReport {
        let active_legs = legs as f32;
        WorkerReport { legs, active_legs, busy, ticks: 500, mixes: 10, ..WorkerReport::default() }
    }

    fn late(late_ticks: u64) -> WorkerReport {
        WorkerReport { late_ticks, ..report(1_000, 0.4) }
    }

    #[test]
    fn an_idle_bridge_has_room_by_the_assumed_cost() {
        let watch = Watch::new(2);

        assert_eq!(watch.capacity.room(watch.now, 0), 5000);
        assert_eq!(watch.capacity.room_in_mix(watch.now, 0), 2500);
    }

    #[test]
    fn a_few_legs_that_cost_much_each_say_little() {
        let mut watch = Watch::new(1);

        watch.hear(10, &report(2, 0.005)); // 2.5 ms a leg: most of it is the wake-up

        assert!((1_800..2_400).contains(&watch.room()), "{}", watch.room());
    }

    #[test]
    fn many_legs_tell_what_a_leg_costs() {
        let mut watch = Watch::new(1);

        watch.hear(10, &report(200, 0.36)); // Opus: 1.8 ms a leg

        // 216 by the measurement alone; the assumption still weighs a little.
        assert!((216..280).contains(&watch.room()), "{}", watch.room());
    }

    #[test]
    fn room_and_legs_add_up_to_the_same_while_legs_come() {
        for legs in [500, 1_000, 1_500, 2_000] {
            let mut watch = Watch::new(1);

            watch.hear(10, &report(legs, 0.000_3 * f32::from(u16::try_from(legs).unwrap())));

            assert_eq!(watch.room() + legs, 2_500);
        }
    }

    #[test]
    fn legs_that_sleep_keep_their_share() {
        let mut watch = Watch::new(1);

        watch.hear(10, &WorkerReport { active_legs: 0.0, ..report(2_000, 0.01) });

        assert!(watch.room() < 500, "{}", watch.room());
    }

    #[test]
    fn legs_that_no_report_tells_of_take_room_at_once() {
        let mut watch = Watch::new(2);
        watch.hear(10, &report(100, 0.03));
        let before = watch.capacity.room(watch.now, 100);

        let after = watch.capacity.room(watch.now, 700);
        let in_a_room = watch.capacity.room_in_mix(watch.now, 2_700);

        assert_eq!(before - after, 600);
        assert_eq!(in_a_room, 0);
    }

    #[test]
    fn a_full_worker_has_room_again_only_when_its_load_has_fallen() {
        let mut watch = Watch::new(1);
        watch.hear(10, &report(1_000, 0.76));
        assert_eq!(watch.room(), 0);

        watch.hear(10, &report(950, 0.73));
        assert_eq!(watch.room(), 0, "a little less than full is still full");

        watch.hear(10, &report(900, 0.69));
        let room = watch.room();
        watch.hear(10, &report(950, 0.73));
        assert!(room > 50 && watch.room() > 0, "{room}, {}: and then it takes them", watch.room());
    }

    #[test]
    fn a_worker_whose_legs_have_gone_is_as_new() {
        let mut watch = Watch::new(1);
        watch.hear(10, &report(1_000, 0.9));

        watch.hear(1, &report(0, 0.4));

        assert_eq!(watch.room(), 2_500);
        watch.now += Duration::from_hours(1);
        assert_eq!(watch.room(), 2_500, "it need not say so again");
    }

    #[test]
    fn a_worker_that_says_nothing_has_no_room() {
        let mut watch = Watch::new(1);
        watch.hear(1, &report(10, 0.01));

        watch.now += Duration::from_secs(3);
        assert!(watch.room() > 0);
        watch.now += Duration::from_millis(1);
        assert_eq!(watch.room(), 0);

        watch.hear(1, &report(10, 0.01));
        assert!(watch.room() > 0);
    }

    #[test]
    fn lateness_counts_once_it_lasts() {
        let mut watch = Watch::new(1);
        let late =
            |ms| WorkerReport { latest_end: Duration::from_millis(ms), ..report(1_000, 0.4) };
        watch.hear(10, &late(1));
        let usual = watch.room();

        watch.hear(3, &late(16));
        assert!(watch.room().abs_diff(usual) <= 2, "stalls of some seconds");

        watch.hear(1, &late(16));
        assert_eq!(watch.room(), 0, "16 of 20 ms are taken each time");
    }

    #[test]
    fn what_holds_up_an_idle_worker_is_not_its_legs() {
        let mut watch = Watch::new(1);
        let held_up = WorkerReport {
            late_ticks: 400,
            latest_end: Duration::from_millis(60),
            ..report(100, 0.1)
        };

        watch.hear(10, &held_up);

        assert!(watch.room() > 500, "{}", watch.room());
    }

    #[test]
    fn late_ticks_stop_the_admission_of_a_busy_worker() {
        let mut watch = Watch::new(1);
        watch.hear(10, &late(0));

        watch.hear(1, &late(50));
        assert!(watch.room() > 0, "one bad second");
        watch.hear(1, &late(50));
        assert_eq!(watch.room(), 0, "two");
        watch.hear(1, &late(0));
        assert_eq!(watch.room(), 0, "not over yet");
        watch.hear(1, &late(0));
        assert!(watch.room() > 0, "over");
    }

    #[test]
    fn a_room_is_measured_by_the_worker_with_the_most_room() {
        let mut watch = Watch::new(2);
        watch.hear(4, &report(2_000, 0.8));

        assert_eq!(watch.capacity.room_in_mix(watch.now, 2_000), 2_500);
        watch.hear(4, &WorkerReport { worker: 1, ..report(2_000, 0.8) });
        assert_eq!(watch.capacity.room_in_mix(watch.now, 4_000), 0);
    }
}
