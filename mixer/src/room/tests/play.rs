//! Prompts, announcements and music, as they are heard.

use super::*;
use crate::codec::tests::tone;
use crate::play::{Clip, Play, PlayId, Steer};

const PROMPT: PlayId = PlayId(1);

fn clip(hz: f32, rate: u32, ticks: usize) -> Clip {
    Clip::new(rate, tone(hz, rate, 0, ticks * rate as usize / 50)).unwrap()
}

fn looped(hz: f32, rate: u32) -> Play {
    Play { times: None, ..Play::once(clip(hz, rate, 50)) }
}

/// Each with a tone of its own, and a listener.
fn hall(codec: Codec) -> Hall {
    let mut hall = Hall::new(4);
    hall.admit(fine(codec), Voice::Tone(440.0));
    hall.admit(fine(codec), Voice::Tone(900.0));
    hall.admit(fine(codec), Voice::Silence);
    hall
}

fn assert_hears(phone: &hall::Phone, hz: f32) {
    let level = phone.level_of(hz);
    assert!(level.abs() < 0.5, "{hz} Hz at {level} dB");
}

fn assert_silent(phone: &hall::Phone, hz: f32) {
    let level = phone.level_of(hz);
    assert!(level < -45.0, "{hz} Hz at {level} dB");
}

#[test]
fn what_is_played_to_a_room_everybody_hears_beside_the_others() {
    for codec in ALL {
        let mut hall = hall(codec);
        hall.room.play(PROMPT, looped(1_500.0, 16_000));

        hall.run(100);

        for phone in &hall.phones {
            assert_hears(phone, 1_500.0);
        }
        assert_hears(&hall.phones[0], 900.0);
        assert_silent(&hall.phones[0], 440.0);
        assert_hears(&hall.phones[2], 440.0);
    }
}

#[test]
fn an_empty_conversation_hears_music_and_none_after_it() {
    let mut hall = Hall::new(4);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Silence);
    hall.room.play(PROMPT, looped(1_500.0, 8_000));

    hall.run(60);
    assert_hears(&hall.phones[0], 1_500.0);
    assert!(hall.room.is_playing());
    hall.room.steer(PROMPT, Steer::Stop);
    hall.run(60);

    assert_silent(&hall.phones[0], 1_500.0);
    assert!(!hall.room.is_playing());
    assert_eq!(hall.room.poll_played(), Some(PROMPT));
    assert_eq!(hall.phones[0].gaps, 0);
}

#[test]
fn what_is_played_to_one_nobody_else_hears() {
    for codec in [Codec::Pcmu, Codec::Opus] {
        let mut hall = hall(codec);
        hall.slot_mut(2).play(PROMPT, looped(1_500.0, 16_000));

        hall.run(100);

        assert_hears(&hall.phones[2], 1_500.0);
        assert_hears(&hall.phones[2], 440.0);
        assert_silent(&hall.phones[0], 1_500.0);
        assert_silent(&hall.phones[1], 1_500.0);
    }
}

#[test]
fn who_is_deaf_hears_what_is_played_to_them_alone() {
    let mut hall = hall(Codec::G722);
    hall.slot_mut(2).set_seat(Seat { deaf: true, ..Seat::default() });
    hall.slot_mut(2).play(PROMPT, looped(1_500.0, 16_000));

    hall.run(100);

    assert_hears(&hall.phones[2], 1_500.0);
    assert_silent(&hall.phones[2], 440.0);
}

#[test]
fn after_a_prompt_of_their_own_one_is_sent_what_the_others_are_sent_again() {
    let mut hall = hall(Codec::Pcmu);
    hall.admit(fine(Codec::Pcmu), Voice::Silence);
    hall.slot_mut(2).play(PROMPT, Play::once(clip(1_500.0, 8_000, 20)));

    hall.run(21);
    let events = std::iter::from_fn(|| hall.slot_mut(2).poll_event());
    assert_eq!(events.collect::<Vec<_>>(), [Event::Played(PROMPT)]);
    hall.run(60);

    let encoders = hall.room.outlets.used().count();
    assert_eq!(encoders, 3, "two who talk, and the group of those who listen");
    assert_eq!(hall.phones[2].gaps, 0);
}

#[test]
fn music_is_mixed_at_its_rate_if_somebody_can_hear_that() {
    for (codec, rate) in [(Codec::Pcmu, 8_000), (Codec::G722, 16_000), (Codec::Opus, 48_000)] {
        let mut hall = Hall::new(4);
        hall.admit(fine(codec), Voice::Silence);
        hall.room.play(PROMPT, looped(1_500.0, 48_000));

        hall.run(100);

        assert_eq!(hall.room.rate(), rate);
        assert_hears(&hall.phones[0], 1_500.0);
    }
}

#[test]
fn voices_are_lowered_while_something_else_is_to_be_understood() {
    let mut hall = hall(Codec::Pcmu);
    hall.room.set_duck(-20.0);
    hall.room.play(PROMPT, looped(1_500.0, 8_000));

    hall.run(60);

    let level = hall.phones[2].level_of(440.0);
    assert!((level + 20.0).abs() < 1.0, "{level}");
    assert_hears(&hall.phones[2], 1_500.0);
    hall.room.set_duck(0.0);
    hall.run(60);
    assert_hears(&hall.phones[2], 440.0);
}

#[test]
fn a_prompt_does_not_change_a_bit_of_who_talks_to_the_others() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcma), Voice::Noise(12_000));
    hall.admit(Encoding::usual(Codec::Pcma), Voice::Silence);
    hall.admit(Encoding::usual(Codec::Pcma), Voice::Silence);
    hall.slot_mut(1).play(PROMPT, looped(1_500.0, 8_000));

    hall.run(50);

    let said = hall.phones[0].said.clone();
    assert!(contains(&said, &hall.phones[2].heard[320..4_000]));
}
