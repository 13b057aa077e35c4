//! Levels told by phones (RFC 6464) and to phones (RFC 6465), and who is decoded at all.

use super::*;

/// 1,000 ms.
const SECOND: usize = 50;

#[test]
fn a_listener_that_tells_of_its_noise_is_not_decoded() {
    for codec in ALL {
        for (told, most) in [(Told::Truth, 8), (Told::Nothing, 202)] {
            let mut hall = Hall::new(1);
            hall.admit(linear(8_000), Voice::Tone(400.0));
            hall.admit(Encoding::usual(codec), Voice::Noise(40));
            hall.phones[1].told = told;
            hall.run(3 * SECOND);
            let before = hall.decoded(1);

            hall.run(4 * SECOND);

            let decoded = hall.decoded(1) - before;
            let most = if codec == Codec::G722 { 8 } else { most }; // The codec itself shows it.
            assert!(decoded <= most, "{codec:?}: {decoded}");
            assert!(!hall.slot(1).is_talking(), "{codec:?}");
        }
    }
}

#[test]
fn of_many_who_talk_only_the_loudest_are_decoded() {
    for codec in ALL {
        let mut hall = Hall::new(2);
        let levels = [(300.0, 1.0), (500.0, 0.9), (700.0, 0.2), (900.0, 0.1), (1_100.0, 0.15)];
        for (hz, level) in levels {
            hall.admit(fine(codec), Voice::Scaled(hz, level));
        }
        for phone in &mut hall.phones {
            phone.told = Told::Truth;
        }
        hall.admit(linear(16_000), Voice::Silence);
        hall.run(2 * SECOND);
        let before: Vec<u64> = (0..5).map(|id| hall.decoded(id)).collect();

        hall.run(4 * SECOND);

        for (id, before) in (0..5).zip(before) {
            let decoded = hall.decoded(id) - before;
            let slot = hall.slot(id);
            assert_eq!(decoded > 190, id < 2, "{codec:?} {id}: {decoded}");
            assert!(id < 2 || decoded < 12, "{codec:?} {id}: {decoded}");
            assert!(slot.is_talking(), "{codec:?} {id}");
            let hz = levels[usize::try_from(id).unwrap()].0;
            let heard = hall.phones[5].level_of(hz);
            assert_eq!(heard > -3.0, id < 2, "{codec:?} {id}: {heard}");
            assert!(id < 2 || heard < -45.0, "{codec:?} {id}: {heard}");
        }
    }
}

#[test]
fn who_tells_lies_is_judged_by_what_he_says() {
    for codec in ALL {
        let mut hall = Hall::new(1);
        hall.admit(fine(codec), Voice::Tone(400.0));
        hall.admit(linear(16_000), Voice::Silence);
        hall.phones[0].told = Told::Always(127);
        hall.phones[1].told = Told::Always(0);

        hall.run(2 * SECOND);

        let heard = hall.phones[1].level_of(400.0);
        assert!(heard.abs() < 0.5, "{codec:?}: {heard}");
        assert!(hall.slot(0).is_talking() && !hall.slot(1).is_talking(), "{codec:?}");
        assert!(hall.slot(1).level_dbov() < -90);
    }
}

/// The louder of two who talk holds the only place; when he is done the other comes in, in the middle of a tone.
#[test]
fn who_was_left_out_comes_in_soon_and_without_a_click() {
    for codec in ALL {
        let mut onsets = Vec::new();
        for told in [Told::Nothing, Told::Truth] {
            let mut hall = Hall::new(1);
            hall.admit(linear(8_000), Voice::Tone(400.0));
            hall.admit(fine(codec), Voice::Scaled(400.0, 0.2));
            hall.admit(linear(8_000), Voice::Silence);
            hall.phones[1].told = told;
            hall.run(SECOND);
            let before = hall.decoded(1);
            hall.run(SECOND);
            let is_decoded = hall.decoded(1) - before > 45;
            // The codec shows it, though a steady tone only since it was checked.
            let is_shown = matches!(told, Told::Truth) || codec == Codec::G722;
            assert_eq!(is_decoded, !is_shown, "{codec:?}");
            hall.phones[0].voice = Voice::Silence;
            hall.run(3);
            hall.phones[2].heard.clear();

            hall.run(SECOND);

            let heard = &hall.phones[2].heard;
            let onset = heard.chunks(160).position(|tick| level::dbov(tick) > -31.0);
            onsets.push(onset.expect("the other is never heard"));
            let click = hall.phones[2].worst_click(400.0);
            assert!(click < 100.0, "{codec:?}: {click}");
        }
        assert!(onsets[1] <= onsets[0] + 1, "{codec:?}: {onsets:?}");
    }
}

/// From silence that was not decoded into a word.
#[test]
fn the_beginning_of_a_word_is_not_lost() {
    for codec in ALL {
        for told in [Told::Nothing, Told::Truth] {
            let mut hall = Hall::new(3);
            hall.admit(fine(codec), Voice::Silence);
            hall.admit(linear(16_000), Voice::Silence);
            hall.phones[0].told = told;
            hall.run(2 * SECOND);
            hall.phones[1].heard.clear();

            hall.phones[0].voice = Voice::Tone(400.0);
            hall.run(20);

            let heard = &hall.phones[1].heard;
            let loud = heard.chunks(320).position(|tick| level::dbov(tick) > -21.0);
            assert!(loud.is_some_and(|ticks| ticks <= 2), "{codec:?}: {loud:?}");
        }
    }
}

#[test]
fn each_is_told_whom_it_hears_and_how_loud() {
    let mut hall = Hall::new(3);
    for level in [1.0, 0.5, 0.25, 0.0] {
        hall.admit(Encoding::usual(Codec::Pcmu), Voice::Scaled(400.0, level));
    }

    hall.run(SECOND);

    let (loud, middle, soft) = ((0, 15), (1, 21), (2, 27));
    assert_eq!(hall.phones[0].named, [middle, soft]);
    assert_eq!(hall.phones[1].named, [loud, soft]);
    assert_eq!(hall.phones[2].named, [loud, middle]);
    assert_eq!(hall.phones[3].named, [loud, middle, soft]);
}

#[test]
fn who_is_deaf_or_alone_is_told_of_nobody() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Tone(400.0));
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Tone(500.0));
    hall.run(10);
    assert_eq!(hall.phones[1].named.len(), 1);

    hall.slot_mut(1).set_seat(Seat { deaf: true, ..Seat::default() });
    hall.run(10);
    assert_eq!(hall.phones[1].named, []);

    hall.slot_mut(1).set_seat(Seat { muted: true, ..Seat::default() });
    hall.run(10);
    assert_eq!((&hall.phones[0].named[..], hall.phones[1].named.len()), (&[][..], 1));
}

#[test]
fn of_more_than_fifteen_fifteen_are_named() {
    let mut hall = Hall::new(20);
    for _ in 0..18 {
        hall.admit(linear(8_000), Voice::Scaled(400.0, 0.05));
    }

    hall.run(10);

    assert_eq!(hall.phones[17].named.len(), 15);
    assert_eq!(hall.phones[0].named.len(), 14);
}

impl Hall {
    fn decoded(&self, id: u64) -> u64 {
        self.slot(id).statistics(self.now).packets_decoded
    }
}
