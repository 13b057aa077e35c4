//! What is recorded of a room.

use super::hall::level;
use super::*;

/// All that was taken of one voice, or of the mix.
fn taken(hall: &Hall, slot: Option<u64>) -> Vec<i16> {
    let slot = slot.map(SlotId);
    hall.takes.iter().filter(|take| take.0 == slot).flat_map(|take| take.2.clone()).collect()
}

/// Two who talk and one who listens; nobody is recorded.
fn hall(codec: Codec) -> Hall {
    let mut hall = Hall::new(4);
    hall.admit(fine(codec), Voice::Tone(440.0));
    hall.admit(fine(codec), Voice::Tone(900.0));
    hall.admit(fine(codec), Voice::Silence);
    hall
}

#[test]
fn the_mix_has_everybody_and_a_track_has_one() {
    for codec in ALL {
        let mut hall = hall(codec);
        hall.room.set_recorded(true);
        hall.slot_mut(1).set_recorded(true);

        hall.run(100);

        let rate = hall.takes.last().unwrap().1;
        hall.takes.retain(|take| take.1 == rate); // A room begins at 8 kHz.
        let (mix, track) = (taken(&hall, None), taken(&hall, Some(1)));
        assert_eq!(mix.len() % (rate as usize / 50), 0);
        for (pcm, hz, is_there) in [
            (&mix, 440.0, true),
            (&mix, 900.0, true),
            (&track, 900.0, true),
            (&track, 440.0, false),
        ] {
            let level = level(&pcm[pcm.len() / 2..], rate, hz);
            assert!(
                if is_there { level > -1.0 } else { level < -45.0 },
                "{codec:?} {hz}: {level} dB"
            );
        }
        assert!(track.len() >= 95 * rate as usize / 50, "{} samples", track.len());
        assert_eq!(taken(&hall, Some(0)), []);
    }
}

#[test]
fn silence_is_not_taken() {
    let mut hall = hall(Codec::Pcmu);
    hall.slot_mut(2).set_recorded(true);

    hall.run(50);

    assert_eq!(hall.takes.len(), 0);
}

#[test]
fn who_is_muted_is_not_recorded() {
    let mut hall = hall(Codec::Pcmu);
    hall.slot_mut(0).set_recorded(true);
    hall.slot_mut(0).set_seat(Seat { muted: true, ..Seat::default() });

    hall.run(50);

    assert_eq!(hall.takes.len(), 0);
}

#[test]
fn who_finds_no_place_in_the_mix_has_a_track_all_the_same() {
    let mut hall = Hall::new(1);
    hall.admit(fine(Codec::Pcmu), Voice::Tone(440.0));
    hall.admit(fine(Codec::Pcmu), Voice::Scaled(900.0, 0.02));
    hall.room.set_recorded(true);
    hall.slot_mut(1).set_recorded(true);

    hall.run(100);

    let level_in = |of| level(&taken(&hall, of)[1_600..], 8_000, 900.0);
    assert!(level_in(Some(1)) > -36.0 && level_in(None) < -50.0);
}

#[test]
fn nothing_is_taken_any_more_once_that_is_said() {
    let mut hall = hall(Codec::Pcmu);
    hall.room.set_recorded(true);
    hall.slot_mut(0).set_recorded(true);
    hall.run(10);
    let before = hall.takes.len();

    hall.room.set_recorded(false);
    hall.slot_mut(0).set_recorded(false);
    hall.run(10);

    assert_eq!(hall.takes.len(), before);
    assert!(before > 10);
}
