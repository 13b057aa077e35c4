//! A room in two or three parts is one room to those who sit in it.

use super::hall::Phone;
use super::*;

/// The parts of one room, whose ticks are at the same times.
struct Parts {
    halls: Vec<Hall>,
    ids: Vec<PartId>,
    /// Parts whose shares do not arrive in time.
    late: Vec<usize>,
}

impl Parts {
    fn new(count: usize, contributors: usize) -> Self {
        let now = start();
        let halls = (0..count).map(|_| hall(contributors, now)).collect();
        Self { halls, ids: (0..count as u64).map(PartId).collect(), late: Vec::new() }
    }

    fn run(&mut self, ticks: usize) {
        for _ in 0..ticks {
            let shares: Vec<Share> = self.halls.iter_mut().map(begin).collect();
            for (at, hall) in self.halls.iter_mut().enumerate() {
                for (from, share) in shares.iter().enumerate() {
                    if from != at && !self.late.contains(&from) {
                        hall.room.hear_part((self.ids[at], self.ids[from]), hall.now, share);
                    }
                }
                hall.end_tick();
            }
        }
    }

    /// How many had a place in each of so many ticks.
    fn count_heard(&mut self, ticks: usize) -> Vec<usize> {
        let count = |_| {
            self.run(1);
            let seats = self.halls.iter().flat_map(|hall| &hall.room.seats);
            seats.filter(|seat| seat.role == Role::Contributor).count()
        };
        (0..ticks).map(count).collect()
    }

    /// The last of a part's seats has left.
    fn end(&mut self, at: usize) {
        self.halls.remove(at);
        let gone = self.ids.remove(at);
        self.halls.iter_mut().for_each(|hall| hall.room.forget_part(gone));
    }

    fn phones(&self) -> impl Iterator<Item = &Phone> {
        self.halls.iter().flat_map(|hall| &hall.phones)
    }
}

fn hall(contributors: usize, now: Instant) -> Hall {
    let mut hall = Hall::new(contributors);
    hall.now = now;
    hall
}

fn begin(hall: &mut Hall) -> Share {
    hall.begin_tick();
    let mut share = Share::new(hall.now);
    hall.room.share(hall.now, &mut share);
    share
}

#[test]
fn each_hears_everybody_but_themselves_whatever_they_speak() {
    let mut parts = Parts::new(3, 8);
    let voices =
        [(Codec::Pcmu, 437.0), (Codec::Opus, 911.0), (Codec::G722, 1_523.0), (Codec::L16, 2_003.0)];
    for (at, (codec, hz)) in voices.into_iter().enumerate() {
        parts.halls[at % 3].admit(fine(codec), Voice::Tone(hz));
    }

    parts.run(150);

    let order = [0, 3, 1, 2]; // as they are seated
    for (&own, phone) in order.iter().zip(parts.phones()) {
        for (voice, (codec, hz)) in voices.into_iter().enumerate() {
            let level = phone.level_of(hz);
            if voice == own {
                assert!(level < -50.0, "{codec:?} echoes at {level} dB");
            } else {
                assert!(level.abs() < 0.5, "{own} hears {codec:?} at {level} dB");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn each_hears_the_exact_sum_of_the_others(levels in prop::collection::vec((100_i16..3_000, 0_usize..3), 2..9)) {
        let mut parts = Parts::new(3, 16);
        for &(level, at) in &levels {
            parts.halls[at].admit(linear(8_000), Voice::Noise(level));
        }

        parts.run(12);

        let said: Vec<_> = parts.phones().map(|phone| phone.said.clone()).collect();
        for (own, phone) in parts.phones().enumerate() {
            let others = |n: usize| -> i16 {
                said.iter().enumerate().filter(|(other, _)| *other != own).map(|(_, said)| said[n]).sum()
            };
            let expected: Vec<i16> = (3 * 160..10 * 160).map(others).collect();
            prop_assert!(contains(&phone.heard, &expected), "{own}");
        }
    }
}

#[test]
fn a_lone_talker_is_heard_bit_exactly_in_the_other_part() {
    let mut parts = Parts::new(2, 3);
    parts.halls[0].admit(Encoding::usual(Codec::Pcmu), Voice::Silence);
    parts.halls[1].admit(Encoding::usual(Codec::Pcmu), Voice::Silence);
    parts.run(50);
    parts.halls[0].phones[0].voice = Voice::Noise(12_000);

    parts.run(50);

    let said = parts.halls[0].phones[0].said[50 * 160..].to_vec();
    let heard = &parts.halls[1].phones[0].heard;
    assert!(contains(heard, &said[..6_000]), "from its first sample on");
}

#[test]
fn the_places_go_to_the_loudest_wherever_they_sit() {
    let mut parts = Parts::new(2, 3);
    let voices = [
        (0, 400.0, 0.9),
        (0, 700.0, 0.1),
        (1, 1_000.0, 0.5),
        (1, 1_300.0, 0.05),
        (1, 1_600.0, 0.3),
    ];
    for (at, hz, by) in voices {
        parts.halls[at].admit(linear(8_000), Voice::Scaled(hz, by));
    }
    parts.halls[0].admit(linear(8_000), Voice::Silence);
    parts.halls[1].admit(linear(8_000), Voice::Silence);

    parts.run(100);

    for hall in &parts.halls {
        let listener = hall.phones.last().unwrap();
        for (_, hz, by) in voices {
            let level = listener.level_of(hz);
            assert_eq!(level > -40.0, by >= 0.3, "{hz} Hz at {level} dB");
        }
    }
}

#[test]
fn of_two_as_loud_as_each_other_one_is_heard_all_the_time() {
    for (first, second) in [(0.5, 0.5), (0.5, 0.51), (0.51, 0.5)] {
        let mut parts = Parts::new(2, 1);
        parts.halls[0].admit(linear(8_000), Voice::Scaled(400.0, first));
        parts.halls[1].admit(linear(8_000), Voice::Scaled(400.0, second));
        parts.halls[0].admit(linear(8_000), Voice::Silence);
        parts.halls[1].admit(linear(8_000), Voice::Silence);

        parts.run(100);

        for hall in &parts.halls {
            let heard = &hall.phones[1].heard;
            let quietest = heard[8_000..].chunks(160).map(level::dbov).fold(0.0, f32::min);
            assert!(quietest > -23.0, "{first} {second}: {quietest}");
        }
    }
}

#[test]
fn a_voice_too_many_is_heard_for_one_tick_whoever_began_at_once() {
    let close = [
        [0.5, 0.5, 0.5],
        [0.5, 0.53, 0.5],
        [0.53, 0.5, 0.56],
        [0.5, 0.53, 0.56],
        [0.56, 0.53, 0.5],
    ];
    for (places, levels) in [1, 2].into_iter().flat_map(|n| close.map(|levels| (n, levels))) {
        let mut parts = Parts::new(3, places);
        (0..3).for_each(|at| parts.halls[at].admit(linear(8_000), Voice::Silence));
        parts.run(50);
        for (hall, level) in parts.halls.iter_mut().zip(levels) {
            hall.phones[0].voice = Voice::Scaled(400.0, level);
        }

        let heard = parts.count_heard(100);

        let began = heard.iter().position(|heard| *heard > 0).unwrap();
        let settled = heard[began + 1..].iter().all(|heard| *heard == places);
        assert!(began < 5 && settled, "{places} of {levels:?}: {heard:?}");
    }
}

#[test]
fn there_is_rarely_a_voice_too_many_while_all_speak_at_once() {
    let mut parts = Parts::new(3, 2);
    for (at, hz) in [300.0, 350.0, 400.0, 450.0, 500.0, 550.0].into_iter().enumerate() {
        parts.halls[at % 3].admit(linear(8_000), Voice::Silence);
        parts.run(7); // Nobody's syllables are the next one's.
        parts.halls[at % 3].phones[at / 3].voice = Voice::Babble(hz);
    }

    let heard = parts.count_heard(500);

    // Somebody else may begin in the tick after.
    let in_a_row = heard.windows(3).map(|ticks| ticks.iter().min());
    assert!(in_a_row.max().unwrap() == Some(&2), "{heard:?}");
    let share = |count: usize| heard.iter().filter(|heard| **heard == count).count();
    assert!(share(2) > 440 && share(2) + share(3) == 500, "{heard:?}");
}

#[test]
fn a_share_that_comes_too_late_makes_no_click() {
    let mut parts = Parts::new(2, 3);
    parts.halls[0].admit(linear(8_000), Voice::Tone(400.0));
    parts.halls[1].admit(linear(8_000), Voice::Silence);
    parts.run(50);

    for late in [1, 2, 5] {
        parts.late = vec![0];
        parts.run(late);
        parts.late.clear();
        parts.run(20);
    }

    let phone = &parts.halls[1].phones[0];
    let click = phone.worst_click(400.0);
    assert!(click < 600.0, "{click}");
    assert!(phone.level_of(400.0).abs() < 3.0);
}

#[test]
fn all_parts_change_their_rate_together() {
    for wide in [0, 1] {
        let mut parts = Parts::new(2, 3);
        parts.halls[0].admit(linear(8_000), Voice::Tone(400.0));
        parts.halls[1].admit(linear(8_000), Voice::Silence);
        parts.run(50);

        parts.halls[wide].admit(Encoding::usual(Codec::Opus), Voice::Silence);
        parts.run(50);
        assert!(parts.halls.iter().all(|hall| hall.room.rate() == 48_000));
        parts.halls[wide].room.unseat(SlotId(1));
        parts.halls[wide].phones.truncate(1);
        parts.run(150);

        assert!(parts.halls.iter().all(|hall| hall.room.rate() == 8_000));
        let phone = &parts.halls[1].phones[0];
        assert!(phone.level_of(400.0).abs() < 0.1);
        let click = phone.worst_click(400.0);
        assert!(click < 600.0, "{click}");
    }
}

#[test]
fn a_part_that_begins_later_mixes_at_the_rate_of_the_first() {
    let mut parts = Parts::new(1, 3);
    parts.halls[0].admit(fine(Codec::Opus), Voice::Tone(400.0));
    parts.run(20);
    let now = parts.halls[0].now;
    parts.halls.push(hall(3, now));
    parts.ids.push(PartId(7));
    parts.halls[1].admit(linear(48_000), Voice::Silence);

    parts.run(50);

    let level = parts.halls[1].phones[0].level_of(400.0);
    assert!(level.abs() < 0.1, "{level}");
    assert_eq!(parts.halls[0].room.rate(), 48_000);
}

#[test]
fn who_takes_the_floor_takes_it_from_the_other_part() {
    let mut parts = Parts::new(2, 3);
    parts.halls[0].admit(linear(8_000), Voice::Silence);
    parts.halls[1].admit(linear(8_000), Voice::Silence);
    let mut taken = Vec::new();
    let mut speak = |parts: &mut Parts, speaker: usize| {
        for _ in 0..100 {
            for at in 0..2 {
                let hz = 300.0;
                let voice = if at == speaker { Voice::Babble(hz) } else { Voice::Silence };
                parts.halls[at].phones[0].voice = voice;
            }
            parts.run(1);
            for (at, hall) in parts.halls.iter_mut().enumerate() {
                while let Some(event) = hall.slot_mut(0).poll_event() {
                    taken.extend((event == Event::TookFloor).then_some(at));
                }
            }
        }
    };

    for speaker in [0, 1, 0, 1] {
        speak(&mut parts, speaker);
    }

    assert_eq!(taken, [0, 1, 0, 1]);
}

#[test]
fn of_two_who_take_the_floor_at_once_the_first_part_has_the_last_word() {
    let mut parts = Parts::new(2, 3);
    for at in [0, 1] {
        parts.halls[at].admit(linear(8_000), Voice::Babble(300.0));
    }
    let mut taken = Vec::new();

    for _ in 0..100 {
        parts.run(1);
        for at in [0, 1] {
            while let Some(event) = parts.halls[at].slot_mut(0).poll_event() {
                taken.extend((event == Event::TookFloor).then_some(at));
            }
        }
    }

    assert_eq!(taken, [0, 1, 0]);
}

#[test]
fn who_is_heard_is_named_in_every_part() {
    let mut parts = Parts::new(2, 3);
    parts.halls[0].admit(linear(8_000), Voice::Tone(400.0));
    parts.halls[1].admit(linear(8_000), Voice::Silence);
    parts.halls[1].admit(linear(8_000), Voice::Tone(700.0));

    parts.run(20);

    let named = |hall: usize, phone: usize| -> Vec<u32> {
        parts.halls[hall].phones[phone].named.iter().map(|&(ssrc, _)| ssrc).collect()
    };
    assert_eq!(named(1, 0), [1, 0]);
    assert_eq!(named(1, 1), [0]);
    assert_eq!(named(0, 0), [1]);
}

#[test]
fn who_is_heard_is_described_to_all_others_by_the_name_their_own_end_gave() {
    let mut parts = Parts::new(2, 3);
    for (at, first) in [0, 10].into_iter().enumerate() {
        parts.halls[at].admit(linear(8_000), Voice::Tone(400.0));
        parts.halls[at].admit(linear(8_000), Voice::Silence);
        // Sources of the second part are not those of the first.
        parts.halls[at].phones.iter_mut().for_each(|phone| phone.ssrc += first);
        parts.halls[at].introduce(0, &format!("talker {at}"));
        parts.halls[at].introduce(1, &format!("listener {at}"));
    }

    parts.run(20);

    for at in [0, 1] {
        let hall = &mut parts.halls[at];
        let all = [(0, "talker 0".to_owned()), (10, "talker 1".to_owned())];
        assert_eq!(hall.described_to(0), all[1 - at..2 - at], "not themselves");
        assert_eq!(hall.described_to(1), all);
    }
    parts.halls[0].phones[0].voice = Voice::Silence;
    parts.run(100);
    assert_eq!(parts.halls[1].described_to(1), [(10, "talker 1".to_owned())]);
}

#[test]
fn a_part_that_ends_in_the_middle_of_a_word_fades_out() {
    let mut parts = Parts::new(2, 3);
    parts.halls[0].admit(linear(8_000), Voice::Tone(400.0));
    parts.halls[1].admit(linear(8_000), Voice::Silence);
    parts.halls[1].admit(linear(8_000), Voice::Silence);
    parts.run(50);

    parts.end(0);
    parts.run(20);
    let click = parts.halls[0].phones[0].worst_click(400.0);
    assert!(click < 600.0, "{click}");
    parts.halls[0].phones[1].voice = Voice::Tone(400.0);
    parts.run(50);

    let phone = &parts.halls[0].phones[0];
    assert!(parts.halls[0].room.parts.is_none(), "it is whole again");
    assert!(phone.level_of(400.0).abs() < 0.1);
}

#[test]
fn a_group_reaches_over_parts_and_stays_among_its_own() {
    let mut parts = Parts::new(2, 4);
    let aside = GroupId::new(1).unwrap();
    let hearing = Hearing::NOTHING.with(aside, 0.0);
    for (at, hz) in [(0, 440.0), (1, 900.0), (0, 1_500.0), (1, 2_100.0)] {
        parts.halls[at].admit(fine(Codec::Pcmu), Voice::Tone(hz));
    }
    for hall in &mut parts.halls {
        hall.slot_mut(1).set_seat(Seat { group: aside, hearing, ..Seat::default() });
    }

    parts.run(100);

    let heard = |at: usize, phone: usize, hz: f32| parts.halls[at].phones[phone].level_of(hz);
    assert!(heard(0, 0, 900.0).abs() < 0.5 && heard(1, 0, 440.0).abs() < 0.5);
    assert!(heard(0, 1, 2_100.0).abs() < 0.5 && heard(1, 1, 1_500.0).abs() < 0.5);
    for (at, phone, hz) in [(0, 0, 1_500.0), (0, 0, 2_100.0), (1, 1, 440.0), (0, 1, 900.0)] {
        assert!(heard(at, phone, hz) < -45.0, "{at} {phone} {hz}");
    }
}
