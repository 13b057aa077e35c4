//! Comfort noise (RFC 3389), heard and sent.

use super::hall::NOISE;
use super::*;
use crate::slot::StreamPlan;

const CODECS: [Codec; 3] = [Codec::Pcmu, Codec::Pcma, Codec::G722];
/// 1,000 ms.
const SECOND: usize = 50;

#[test]
fn a_pause_sounds_as_it_is_described_and_is_no_loss() {
    for codec in CODECS {
        for told in [45, 55] {
            let mut hall = Hall::new(3);
            hall.admit(Encoding::usual(codec), Voice::Tone(437.0));
            hall.admit(linear(16_000), Voice::Silence);
            hall.run(SECOND);

            hall.phones[0].voice = Voice::Pause(told);
            hall.run(3 * SECOND);

            let heard = &hall.phones[1].heard;
            let level = level::dbov(&heard[heard.len() - 16_000..]);
            assert!((level + f32::from(told)).abs() < 1.5, "{codec:?} {told}: {level}");
            let statistics = hall.slot(0).statistics(hall.now);
            assert_eq!((statistics.frames_concealed, statistics.packets_lost), (0, 0), "{codec:?}");
            assert!(!hall.slot(0).is_talking());
        }
    }
}

#[test]
fn a_word_after_a_pause_is_heard_at_once() {
    for codec in CODECS {
        let mut hall = Hall::new(3);
        hall.admit(Encoding::usual(codec), Voice::Tone(437.0));
        hall.admit(linear(16_000), Voice::Silence);
        for voice in [Voice::Pause(60), Voice::Tone(437.0), Voice::Pause(60)] {
            hall.run(SECOND);
            hall.phones[0].voice = voice;
        }
        hall.phones[1].heard.clear();

        hall.run(SECOND);
        let before = hall.phones[1].heard.len();
        hall.phones[0].voice = Voice::Tone(437.0);
        hall.run(20);

        let heard = &hall.phones[1].heard[before..];
        let loud = heard.chunks(320).position(|tick| level::dbov(tick) > -18.0);
        assert!(loud.is_some_and(|ticks| ticks <= 2), "{codec:?}: {loud:?}");
        assert!(hall.phones[1].level_of(911.0) < -40.0);
        assert_eq!(hall.slot(0).statistics(hall.now).frames_concealed, 0, "{codec:?}");
    }
}

#[test]
fn a_pause_that_is_not_described_any_more_ends_in_silence() {
    let mut hall = Hall::new(3);
    hall.admit(Encoding::usual(Codec::Pcmu), Voice::Pause(40));
    hall.admit(linear(8_000), Voice::Silence);
    hall.run(SECOND);
    let level =
        |hall: &Hall| level::dbov(&hall.phones[1].heard[hall.phones[1].heard.len() - 1_600..]);
    assert!(level(&hall) > -42.0);

    // Nothing more comes from phone 0.
    hall.phones[0].is_gone = true;
    hall.run(5 * SECOND);

    assert!(level(&hall) < -90.0);
}

#[test]
fn long_silence_is_sent_as_noise_where_it_is_agreed() {
    for codec in CODECS {
        let mut hall = Hall::new(3);
        hall.admit(Encoding::usual(codec), Voice::Silence);
        hall.admit(linear(16_000), Voice::Silence);
        let agreed = StreamPlan { send_noise: Some(NOISE), ..plan(Encoding::usual(codec)) };
        let now = hall.now;
        hall.slot_mut(0).configure(now, &agreed);

        hall.run(5 * SECOND);
        let packets = hall.phones[0].packets;
        let noises = std::mem::take(&mut hall.phones[0].noises);
        hall.phones[1].voice = Voice::Tone(911.0);
        hall.run(SECOND);

        // A second is coded; then a packet each 400 ms.
        assert!((60..66).contains(&packets), "{codec:?}: {packets}");
        assert!(noises.iter().all(|(_, payload)| payload == &[127]), "{noises:?}");
        let steps: Vec<i32> =
            noises.windows(2).map(|two| two[1].0.distance_from(two[0].0)).collect();
        assert!(steps.iter().all(|&step| step == 3_200), "{codec:?}: {steps:?}");
        let phone = &hall.phones[0];
        assert_eq!((phone.gaps, phone.markers), (0, 2), "{codec:?}");
        assert!(phone.level_of(911.0).abs() < 0.5 && phone.noises.is_empty(), "{codec:?}");
        assert!(hall.phones[1].noises.is_empty());
    }
}
