//! The whole bridge with simulated phones over a network that loses, repeats and reorders, in virtual time.
//!
//! Each world is made from one seed: the same seed gives the same calls, packets and instants. A failure prints it;
//! `PLENARY_SIM_SEED=N cargo test --test sim one_world` runs that world alone.
#![allow(
    unreachable_pub,
    clippy::wildcard_enum_match_arm,
    clippy::struct_excessive_bools,
    clippy::unwrap_in_result,
    clippy::panic,
    reason = "a test program of its own"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test harness: a broken invariant must stop it"
)]

mod ledger;
mod media;
mod phone;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use api::event::EventType;

use world::{Weather, World};

/// Random calls a world tries to make.
const FLOWS: usize = 25;

#[test]
fn ten_thousand_flows_leave_nothing_behind() {
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let worlds = 400;
    let seen = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let seen = &seen;
            scope.spawn(move || {
                for seed in (0..worlds).filter(|seed| seed % threads == thread) {
                    for (kind, count) in run(u64::try_from(seed).unwrap()) {
                        *seen.lock().unwrap().entry(kind).or_insert(0) += count;
                    }
                }
            });
        }
    });
    let seen = seen.into_inner().unwrap();
    let never: Vec<_> = EventType::ALL.iter().filter(|kind| !seen.contains_key(kind)).collect();
    assert!(never.is_empty(), "{never:?} of {seen:?}");
    assert!(seen[&EventType::LegEnded] > 7_000, "too little happened: {seen:?}");
}

#[test]
fn one_world() {
    let seed = std::env::var("PLENARY_SIM_SEED").ok().and_then(|seed| seed.parse().ok());
    run(seed.unwrap_or(7));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let history = || {
        let mut world = World::new(42, Weather::of(42));
        world.play(FLOWS);
        world.finish();
        world.ledger.history().to_owned()
    };

    assert_eq!(history(), history());
}

/// Plays one world to its end and checks every invariant on the way.
fn run(seed: u64) -> BTreeMap<EventType, usize> {
    let guard = Seed(seed);
    let weather = Weather::of(seed);
    let mut world = World::new(seed, weather);
    world.play(FLOWS);
    world.finish();
    world.assert_nothing_left();
    assert!(!weather.is_calm() || world.ledger.expired() == 0, "refreshes went missing");
    world.drain(Duration::from_mins(2));
    drop(guard);
    world.ledger.kinds().clone()
}

/// Names the seed when an invariant breaks.
struct Seed(u64);

impl Drop for Seed {
    #[expect(clippy::print_stderr, reason = "tells which world to look at")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "world {} broke: PLENARY_SIM_SEED={0} cargo test --test sim one_world",
                self.0
            );
        }
    }
}
