//! What is heard in a room, asserted at the far side of real codecs.

mod comfort;
mod groups;
mod hall;
mod levels;
mod parts;
mod play;
mod record;

use std::time::Duration;

use proptest::prelude::*;

use self::hall::{Hall, Told, Voice, contains, fine, hostile, linear, plan, slot, start};
use super::*;
use crate::codec::{Codec, Encoding};
use crate::slot::{Event, Seat};

const ALL: [Codec; 5] = [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16];

#[test]
fn each_hears_the_others_and_not_themselves_whatever_they_speak() {
    for first in ALL {
        for second in ALL {
            let mut hall = Hall::new(4);
            hall.admit(fine(first), Voice::Tone(437.0));
            hall.admit(fine(second), Voice::Tone(911.0));
            hall.admit(Encoding::usual(Codec::L16), Voice::Tone(1_523.0));

            hall.run(100);

            for (i, phone) in hall.phones.iter().enumerate() {
                for (j, hz) in [437.0, 911.0, 1_523.0].into_iter().enumerate() {
                    let level = phone.level_of(hz);
                    if i == j {
                        // Quantising to eight bits leaves a little of everything.
                        let coarse = [Codec::Pcmu, Codec::Pcma];
                        let floor = if coarse.iter().any(|c| [first, second].contains(c)) {
                            -50.0
                        } else {
                            -60.0
                        };
                        assert!(level < floor, "{first:?} {second:?}: {i} echoes at {level} dB");
                    } else {
                        assert!(
                            level.abs() < 0.5,
                            "{first:?} {second:?}: {i} hears {j} at {level} dB"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_lone_g711_talker_is_heard_bit_exactly() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut hall = Hall::new(3);
        hall.admit(Encoding::usual(codec), Voice::Noise(12_000));
        hall.admit(Encoding::usual(codec), Voice::Silence);
        hall.admit(Encoding::usual(codec), Voice::Silence);

        hall.run(50);

        let said: Vec<i16> = hall.phones[0].said.clone();
        for listener in &hall.phones[1..] {
            assert!(contains(&said, &listener.heard[320..4_000]), "{codec:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn each_hears_the_sum_of_the_others(levels in prop::collection::vec(100_i16..3_000, 2..9)) {
        let mut hall = Hall::new(16);
        for &level in &levels {
            hall.admit(linear(8_000), Voice::Noise(level));
        }

        hall.run(12);

        for (i, phone) in hall.phones.iter().enumerate() {
            let others = |n: usize| -> i16 {
                hall.phones.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other.said[n]).sum()
            };
            // The first ticks are faded in.
            let expected: Vec<i16> = (3 * 160..10 * 160).map(others).collect();
            prop_assert!(contains(&phone.heard, &expected), "{i}");
        }
    }

    #[test]
    fn no_datagram_stops_the_others(datagrams in prop::collection::vec(hostile(), 1..60)) {
        let mut hall = Hall::new(3);
        for codec in ALL {
            hall.admit(Encoding::usual(codec), Voice::Tone(437.0));
        }
        for datagram in &datagrams {
            for id in 0..5 {
                let now = hall.now;
                hall.room.slot_mut(SlotId(id)).unwrap().receive(now, datagram).ok();
            }
            hall.run(1);
        }
        hall.run(10);

        prop_assert!(hall.phones.iter().all(|phone| phone.packets >= datagrams.len()));
    }
}

#[test]
fn every_packet_interval_comes_in_and_goes_out() {
    for codec in ALL {
        for ms in [10, 20, 30, 40, 60] {
            if codec == Codec::L16 && ms > 40 {
                continue; // More than a datagram holds.
            }
            let odd = Encoding { ptime: Duration::from_millis(ms), ..Encoding::usual(codec) };
            let mut hall = Hall::new(3);
            hall.admit(odd, Voice::Tone(437.0));
            hall.admit(linear(16_000), Voice::Tone(911.0));

            hall.run(150);

            let there = hall.phones[1].level_of(437.0);
            let back = hall.phones[0].level_of(911.0);
            assert!(there.abs() < 0.5 && back.abs() < 0.5, "{codec:?} {ms}: {there} {back}");
            assert_eq!(hall.slot(0).statistics(hall.now).frames_concealed, 0, "{codec:?} {ms}");
        }
    }
}

#[test]
fn levels_pass_within_a_tenth_of_a_decibel() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(fine(codec), Voice::Tone(1_004.0));
        hall.admit(linear(48_000), Voice::Silence);

        hall.run(150);

        let level = hall.phones[1].level_of(1_004.0);
        assert!(level.abs() < 0.1, "{codec:?}: {level} dB");
    }
}

#[test]
fn a_wider_codec_comes_and_goes_without_a_click() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    hall.run(50);

    hall.admit(Encoding::usual(Codec::Opus), Voice::Silence);
    hall.run(50);
    assert_eq!(hall.room.rate(), 48_000);
    hall.room.unseat(SlotId(2));
    hall.phones.truncate(2);
    hall.run(150);

    assert_eq!(hall.room.rate(), 8_000);
    let click = hall.phones[1].worst_click(400.0);
    assert!(click < 400.0, "{click}");
}

#[test]
fn mute_deaf_and_gain_move_without_a_click() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    hall.run(30);

    for (talker, listener) in [
        (Seat { muted: true, ..Seat::default() }, Seat::default()),
        (Seat::default(), Seat::default()),
        (
            Seat { gain_in_db: -6.0, ..Seat::default() },
            Seat { gain_out_db: 6.0, ..Seat::default() },
        ),
        (Seat::default(), Seat { deaf: true, ..Seat::default() }),
        (Seat::default(), Seat::default()),
    ] {
        hall.slot_mut(0).set_seat(talker);
        hall.slot_mut(1).set_seat(listener);
        hall.run(20);
        let level = level::dbov(&hall.phones[1].heard[hall.phones[1].heard.len() - 160..]);
        let silent = talker.muted || listener.deaf;
        assert_eq!(level < -60.0, silent, "{talker:?} {listener:?}: {level}");
    }

    let click = hall.phones[1].worst_click(400.0);
    assert!(click < 400.0, "{click}");
}

#[test]
fn a_listener_who_talks_and_stops_keeps_one_stream() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(linear(16_000), Voice::Tone(400.0));
        for _ in 0..3 {
            hall.admit(Encoding::usual(codec), Voice::Silence);
        }
        for voice in [Voice::Silence, Voice::Tone(911.0), Voice::Silence, Voice::Tone(911.0)] {
            hall.phones[1].voice = voice;
            hall.run(100);
        }

        for phone in &hall.phones {
            assert_eq!(phone.gaps, 0, "{codec:?}");
            assert_eq!(phone.markers, 1, "{codec:?}");
        }
        let level = hall.phones[1].level_of(400.0);
        assert!(level.abs() < 0.5, "{codec:?}: {level}");
    }
}

#[test]
fn only_the_loudest_are_mixed() {
    let mut hall = Hall::new(2);
    for (hz, level) in [(300.0, 0.05), (500.0, 1.0), (700.0, 0.1), (1_100.0, 0.8)] {
        hall.admit(linear(8_000), Voice::Scaled(hz, level));
    }
    hall.admit(linear(8_000), Voice::Silence);

    hall.run(100);

    let listener = &hall.phones[4];
    assert!(listener.level_of(500.0) > -1.0 && listener.level_of(1_100.0) > -3.0);
    assert!(listener.level_of(300.0) < -60.0 && listener.level_of(700.0) < -60.0);
}

#[test]
fn digits_come_in_and_go_out() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Silence);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Silence);
    hall.run(5);

    assert!(hall.slot_mut(0).send_digits("5", Duration::from_millis(100)));
    hall.relay_events = true;
    hall.run(30);

    assert_eq!(hall.phones[0].gaps, 0);
    let digit = std::iter::from_fn(|| hall.slot_mut(1).poll_event())
        .find(|event| matches!(event, Event::Digit { digit: '5', .. }));
    assert!(digit.is_some());
}

#[test]
fn talking_is_told() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Tone(437.0));
    hall.run(10);
    assert_eq!(hall.slot_mut(0).poll_event(), Some(Event::Talking(true)));

    hall.phones[0].voice = Voice::Silence;
    hall.run(60);

    assert_eq!(hall.slot_mut(0).poll_event(), Some(Event::Talking(false)));
}

#[test]
fn the_floor_goes_from_talker_to_talker() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Tone(400.0));
    hall.admit(linear(8_000), Voice::Silence);
    let mut took = Vec::new();

    for (first, second) in [
        (Voice::Tone(400.0), Voice::Silence),
        (Voice::Silence, Voice::Silence),
        (Voice::Silence, Voice::Tone(900.0)),
    ] {
        (hall.phones[0].voice, hall.phones[1].voice) = (first, second);
        hall.run(75);
        for id in 0..2 {
            while let Some(event) = hall.slot_mut(id).poll_event() {
                took.extend((event == Event::TookFloor).then_some(id));
            }
        }
    }

    assert_eq!(took, [0, 1]);
}

#[test]
fn who_returns_what_it_is_sent_is_named_and_held_back() {
    let mut hall = Hall::new(3);
    hall.admit(linear(8_000), Voice::Babble(437.0));
    hall.admit(linear(8_000), Voice::Echo(1_200, 0.1));
    hall.admit(linear(8_000), Voice::Silence);

    hall.run(350);
    let echoes = |hall: &mut Hall, id: u64| -> Vec<Event> {
        let slot = hall.slot_mut(id);
        let events = std::iter::from_fn(|| slot.poll_event());
        events.filter(|event| matches!(event, Event::Echo(_))).collect()
    };
    assert_eq!([echoes(&mut hall, 0), echoes(&mut hall, 2)], [vec![], vec![]]);
    let [Event::Echo(Some(path))] = echoes(&mut hall, 1)[..] else { panic!("no echo was found") };
    // 150 ms, the packet on its way and the jitter buffer.
    assert!((150..=210).contains(&path.delay.as_millis()), "{path:?}");
    assert!((-22..=-18).contains(&path.level_db), "{path:?}");

    // Everybody else hears the talker; the talker hears himself come back.
    let returned =
        |hall: &Hall| level::dbov(&hall.phones[0].heard[hall.phones[0].heard.len() - 16_000..]);
    let before = returned(&hall);
    hall.slot_mut(1).set_seat(Seat { echo_suppression: true, ..Seat::default() });
    hall.run(150);
    let after = returned(&hall);

    assert!(before > -60.0 && after < before - 20.0, "{before} dBov became {after}");
}

#[test]
fn a_new_codec_goes_on_with_the_same_stream() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Tone(437.0));
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Tone(911.0));
    hall.run(50);

    hall.recode(0, Encoding::usual(Codec::G722));
    hall.run(100);

    let phone = &hall.phones[0];
    assert_eq!((phone.gaps, phone.markers), (0, 2));
    assert!(phone.level_of(911.0).abs() < 0.5 && hall.phones[1].level_of(437.0).abs() < 0.5);
}

#[test]
fn lost_packets_are_made_up() {
    for codec in ALL {
        let mut hall = Hall::new(3);
        hall.admit(Encoding::usual(codec), Voice::Tone(437.0));
        hall.admit(linear(16_000), Voice::Silence);
        hall.loss = 10;

        hall.run(200);

        let level = hall.phones[1].level_of(437.0);
        assert!(level > -2.5, "{codec:?}: {level}");
        assert!(hall.slot(0).statistics(hall.now).frames_concealed >= 15, "{codec:?}");
    }
}

#[test]
fn nobody_to_send_to_is_idle() {
    let mut room = Room::new(RoomOptions { contributors: 3 });
    assert!(room.idle());

    room.seat(SlotId(7), slot(7));
    assert!(room.idle());
    room.slot_mut(SlotId(7)).unwrap().configure(start(), &plan(Encoding::usual(Codec::Pcmu)));
    assert!(!room.idle());

    assert!(room.unseat(SlotId(7)).is_some());
    assert!(room.idle() && room.is_empty());
}
