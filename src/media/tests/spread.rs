//! A mix that spreads over two workers is one mix to its phones.

use std::collections::BTreeSet;

use super::*;

/// Workers that spread every mix.
fn bench(ports: std::ops::RangeInclusive<u16>, workers: usize) -> Bench {
    Bench::new(&Options {
        ports,
        workers: workers.try_into().ok(),
        spread_above: 0,
        seed: 1,
        asleep_after: Duration::from_millis(400),
        ..Options::default()
    })
}

/// The workers that tick legs, once there are as many as `count`.
fn wait_for_workers(bench: &mut Bench, count: usize) {
    let mut busy = BTreeSet::new();
    bench.wait(|event| {
        let report = report(event).filter(|report| report.active_legs > 0.3)?;
        busy.insert(report.worker);
        (busy.len() == count).then_some(())
    });
}

#[test]
fn a_mix_on_some_workers_is_one_mix() {
    for (workers, first_port) in [(2, 32_000), (4, 32_500)] {
        one_mix(&mut bench(first_port..=first_port + 99, workers), workers);
    }
}

fn one_mix(bench: &mut Bench, workers: usize) {
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let mut carol = bench.phone(3, Some(1)).saying(1_500.0);
    let mut dave = bench.phone(4, Some(1));

    converse(&mut [&mut alice, &mut bob, &mut carol, &mut dave], 80);

    assert!(alice.hears(1_000.0) && alice.hears(1_500.0) && !alice.hears(440.0));
    assert!(bob.hears(440.0) && bob.hears(1_500.0) && !bob.hears(1_000.0));
    assert!(carol.hears(440.0) && carol.hears(1_000.0) && !carol.hears(1_500.0));
    assert!(dave.hears(440.0) && dave.hears(1_000.0) && dave.hears(1_500.0));
    wait_for_workers(bench, workers);
}

#[test]
fn parts_end_and_begin_again_while_the_others_go_on() {
    let mut bench = bench(32_100..=32_199, 2);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let mut carol = bench.phone(3, Some(1));
    converse(&mut [&mut alice, &mut bob, &mut carol], 40);
    assert!(carol.hears(440.0) && carol.hears(1_000.0));

    for _ in 0..3 {
        bench.send(Command::Leave { leg: MediaKey(2) });
        converse(&mut [&mut alice, &mut bob, &mut carol], 30);
        assert!(carol.hears(440.0) && !carol.hears(1_000.0));
        bench.join(2, 7); // somewhere else
        bench.join(2, 1);
        bench.join(2, 1); // where it is
        converse(&mut [&mut alice, &mut bob, &mut carol], 30);
        assert!(carol.hears(440.0) && carol.hears(1_000.0) && bob.hears(440.0));
    }
    bench.send(Command::Close { leg: MediaKey(1) });
    bench.send(Command::Close { leg: MediaKey(3) });
    let mut dave = bench.phone(4, Some(1)).saying(700.0);
    converse(&mut [&mut bob, &mut dave], 40);

    assert!(bob.hears(700.0) && dave.hears(1_000.0));
}

#[test]
fn parts_that_sleep_wake_one_another() {
    let mut bench = bench(32_200..=32_299, 2);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1));
    converse(&mut [&mut alice, &mut bob], 20);
    let before = bob.heard.len();
    bob.listen(now() + Duration::from_millis(1_500));
    alice.listen(now() + Duration::from_millis(1));
    assert!(bob.heard.len() - before < 160 * 60, "it fell asleep");

    // Bob only listens, as somebody does whose phone sends nothing while muted.
    let start = now();
    for tick in 1..=60 {
        alice.talk();
        bob.listen(start + TICK * tick);
    }

    assert!(bob.hears(440.0));
}

#[test]
fn the_number_of_places_is_that_of_all_parts() {
    let mut bench = bench(32_300..=32_399, 2);
    let mut phones: Vec<_> = (0..6_u32)
        .map(|n| bench.phone(u64::from(n) + 1, Some(1)).saying(400.0 + 300.0 * f64::from(n)))
        .collect();
    bench.send(Command::Contributors { mix: MixKey(1), contributors: 2 });
    let mut all: Vec<_> = phones.iter_mut().collect();

    converse(&mut all, 100);

    for (own, phone) in phones.iter().enumerate() {
        let heard = (0..6_u32).filter(|&n| phone.hears(400.0 + 300.0 * f64::from(n))).count();
        // As loud as each other, two may have begun at the same time; and nobody hears themselves.
        assert!((1..=4).contains(&heard), "{own} hears {heard}");
    }
}
