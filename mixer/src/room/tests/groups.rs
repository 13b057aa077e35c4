//! Sidebars, whispering, listening in and interpreters, as they are heard.

use super::*;
use crate::codec::tests::tone;
use crate::play::{Clip, Play, PlayId};

const MAIN: GroupId = GroupId::MAIN;

fn group(number: usize) -> GroupId {
    GroupId::new(number).unwrap()
}

/// Phones that say 440, 900, 1,500 and 2,100 Hz, as many as there are codecs.
fn hall(codecs: &[Codec]) -> Hall {
    let mut hall = Hall::new(4);
    for (codec, hz) in codecs.iter().zip(TONES) {
        hall.admit(fine(*codec), Voice::Tone(hz));
    }
    hall
}

const TONES: [f32; 4] = [440.0, 900.0, 1_500.0, 2_100.0];

fn sits(hall: &mut Hall, phone: u64, group: GroupId, hearing: Hearing) {
    hall.slot_mut(phone).set_seat(Seat { group, hearing, ..Seat::default() });
}

/// Holds who hears whom: a row for each phone, a letter for each voice, `x` for what is heard.
fn assert_heard(hall: &Hall, rows: &[&str]) {
    for (phone, row) in hall.phones.iter().zip(rows) {
        for (hz, letter) in TONES.into_iter().zip(row.chars()) {
            let level = phone.level_of(hz);
            let is_right = if letter == 'x' { level.abs() < 0.5 } else { level < -45.0 };
            assert!(is_right, "{rows:?}: {hz} Hz at {level} dB in the row {row}");
        }
    }
}

#[test]
fn a_sidebar_is_heard_by_those_in_it_alone() {
    for codec in ALL {
        let mut hall = hall(&[codec; 4]);
        let aside = Hearing::NOTHING.with(group(1), 0.0);
        sits(&mut hall, 2, group(1), aside);
        sits(&mut hall, 3, group(1), aside);

        hall.run(100);

        assert_heard(&hall, &["-x--", "x---", "---x", "--x-"]);
    }
}

#[test]
fn a_coach_is_heard_by_one_and_hears_all() {
    let mut hall = hall(&[Codec::Pcmu, Codec::Opus, Codec::G722]);
    let (agent, coach) = (1, 2);
    sits(&mut hall, agent, MAIN, Hearing::MAIN.with(group(1), 0.0));
    sits(&mut hall, coach, group(1), Hearing::MAIN);

    hall.run(100);

    assert_heard(&hall, &["-x-", "x-x", "xx-"]);
}

#[test]
fn who_listens_in_is_heard_by_nobody_and_named_to_nobody() {
    let mut hall = hall(&[Codec::Pcmu; 3]);
    sits(&mut hall, 2, group(7), Hearing::MAIN);

    hall.run(100);

    assert_heard(&hall, &["-x-", "x--", "xx-"]);
    let named = |phone: usize| -> Vec<u32> {
        hall.phones[phone].named.iter().map(|(ssrc, _)| *ssrc).collect()
    };
    assert_eq!((named(0), named(1), named(2)), (vec![1], vec![0], vec![0, 1]));
}

#[test]
fn an_interpreter_lowers_the_others_for_those_who_listen_to_her() {
    let mut hall = hall(&[Codec::Pcmu, Codec::Pcmu]);
    hall.admit(fine(Codec::Pcmu), Voice::Silence);
    let hearing = Hearing::MAIN.with(group(1), 0.0).ducked_by(group(1), 20.0);
    sits(&mut hall, 2, MAIN, hearing);
    sits(&mut hall, 1, group(1), Hearing::MAIN);

    hall.run(100);

    let level = hall.phones[2].level_of(440.0);
    assert!((level + 20.0).abs() < 0.5, "{level}");
    assert!(hall.phones[2].level_of(900.0).abs() < 0.5);
    hall.phones[1].voice = Voice::Silence;
    hall.run(150);
    assert!(hall.phones[2].level_of(440.0).abs() < 0.5, "as loud as before in her pauses");
}

#[test]
fn who_hears_a_group_softly_hears_it_so_and_not_themselves() {
    let mut hall = hall(&[Codec::Pcmu, Codec::L16, Codec::Pcmu]);
    sits(&mut hall, 1, group(1), Hearing::NOTHING.with(MAIN, -12.0).with(group(1), -6.0));
    sits(&mut hall, 2, group(1), Hearing::NOTHING.with(group(1), 0.0));

    hall.run(100);

    let phone = &hall.phones[1];
    for (hz, expected) in [(440.0, -12.0), (1_500.0, -6.0)] {
        let level = phone.level_of(hz);
        assert!((level - expected).abs() < 0.5, "{hz}: {level}");
    }
    assert!(phone.level_of(900.0) < -45.0);
}

#[test]
fn each_group_has_its_own_places() {
    let mut hall = Hall::new(1);
    for hz in TONES {
        hall.admit(fine(Codec::Pcmu), Voice::Scaled(hz, 0.5));
    }
    hall.phones[3].voice = Voice::Scaled(TONES[3], 0.9);
    for phone in [2, 3] {
        sits(&mut hall, phone, group(1), Hearing::NOTHING.with(group(1), 0.0));
    }

    hall.run(100);

    let hears = |phone: usize, hz: f32| hall.phones[phone].level_of(hz) > -12.0;
    assert!(hears(2, TONES[3]), "the louder of the sidebar");
    assert!(hears(0, TONES[1]) || hears(1, TONES[0]), "the louder of the others");
}

#[test]
fn an_announcement_is_heard_by_all_however_they_hear() {
    let mut hall = hall(&[Codec::Pcmu; 3]);
    sits(&mut hall, 1, group(1), Hearing::NOTHING.with(group(1), 0.0));
    sits(&mut hall, 2, group(2), Hearing::NOTHING.with(MAIN, -20.0));
    let clip = Clip::new(8_000, tone(2_100.0, 8_000, 0, 8_000)).unwrap();
    hall.room.play(PlayId(1), Play { times: None, ..Play::once(clip) });

    hall.run(100);

    for phone in &hall.phones {
        let level = phone.level_of(2_100.0);
        assert!(level.abs() < 0.5, "{level}");
    }
}

#[test]
fn those_who_hear_alike_share_an_encoder() {
    let mut hall = Hall::new(4);
    hall.admit(fine(Codec::Opus), Voice::Tone(440.0));
    for _ in 0..12 {
        hall.admit(fine(Codec::Opus), Voice::Silence);
    }
    for phone in 7..13 {
        sits(&mut hall, phone, MAIN, Hearing::NOTHING.with(MAIN, -6.0));
    }

    hall.run(60);

    assert_eq!(hall.room.outlets.used().count(), 3, "who talks, who hears all, who hears softly");
    let level = hall.phones[9].level_of(440.0);
    assert!((level + 6.0).abs() < 0.5, "{level}");
}

#[test]
fn who_changes_groups_clicks_for_nobody_and_loses_no_packet() {
    let mut hall = hall(&[Codec::Pcmu]);
    hall.admit(fine(Codec::Pcmu), Voice::Silence);
    hall.admit(fine(Codec::Pcmu), Voice::Silence);
    let aside = Hearing::NOTHING.with(group(1), 0.0);
    sits(&mut hall, 2, group(1), aside);
    hall.run(30);

    for round in 0..6 {
        let (to, hearing) = if round % 2 == 0 { (group(1), aside) } else { (MAIN, Hearing::MAIN) };
        sits(&mut hall, 0, to, hearing);
        hall.run(30);
    }

    assert_heard(&hall, &["-", "x", "-"]);
    for phone in &hall.phones {
        assert_eq!(phone.gaps, 0);
        let click = phone.worst_click(440.0);
        assert!(click < 700.0, "{click}");
    }
}

#[test]
fn who_hangs_up_in_a_sidebar_clicks_for_nobody() {
    let mut hall = Hall::new(4);
    for voice in [Voice::Silence, Voice::Silence, Voice::Tone(440.0)] {
        hall.admit(fine(Codec::Pcmu), voice);
    }
    for phone in 1..3 {
        sits(&mut hall, phone, group(1), Hearing::NOTHING.with(group(1), 0.0));
    }
    hall.run(30);

    hall.room.unseat(SlotId(2));
    hall.phones.truncate(2);
    hall.run(20);

    let click = hall.phones[1].worst_click(440.0);
    assert!(click < 700.0, "{click}");
    assert!(hall.phones[0].level_of(440.0) < -45.0);
}

/// Twice the listeners cost no more encoders, each group one, each talker one.
#[test]
fn what_is_encoded_grows_with_groups_and_talkers_and_not_with_members() {
    let encoders = |groups: u64, members: u64| {
        let mut hall = Hall::new(4);
        for seat in 0..groups * members {
            let talks = seat < groups;
            let voice = if talks { Voice::Tone(440.0) } else { Voice::Silence };
            hall.admit(fine(Codec::Pcmu), voice);
            let own = group(usize::try_from(seat % groups).unwrap() + 1);
            let hearing = Hearing::NOTHING.with(own, 0.0).with(MAIN, -20.0);
            sits(&mut hall, seat, own, hearing);
        }
        hall.run(60);
        hall.room.outlets.used().count()
    };

    assert_eq!(encoders(2, 5), 4);
    assert_eq!(encoders(2, 20), 4);
    assert_eq!(encoders(6, 5), 12);
}
