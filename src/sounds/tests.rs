use api::wav;

use super::*;

const LONGEST: Duration = Duration::from_mins(1);

/// A second of 440 Hz at half of what is possible.
#[expect(clippy::cast_possible_truncation, reason = "at half of what is possible")]
fn tone(rate: u32) -> Vec<i16> {
    let step = std::f64::consts::TAU * 440.0 / f64::from(rate);
    (0..rate).map(|at| (f64::from(at) * step).sin().mul_add(16_384.0, 0.0) as i16).collect()
}

#[test]
fn what_is_written_is_read_again() {
    let pcm = tone(16_000);

    let clip = read(&wav::print(16_000, &pcm), LONGEST).unwrap();

    assert_eq!((clip.rate(), clip.pcm()), (16_000, &pcm[..]));
}

#[test]
fn other_rates_come_to_the_next_higher_one() {
    for (from, to) in
        [(8_000, 8_000), (11_025, 16_000), (22_050, 48_000), (44_100, 48_000), (96_000, 48_000)]
    {
        let clip = read(&wav::print(from, &tone(from)), LONGEST).unwrap();

        assert_eq!(clip.rate(), to);
        let off = clip.duration().abs_diff(Duration::from_secs(1));
        assert!(off < Duration::from_millis(5), "{from}: {off:?}");
        let level = mixer::level::dbov(clip.pcm());
        assert!((level + 9.0).abs() < 0.5, "{from}: {level}");
    }
}

#[test]
fn stereo_becomes_mono() {
    let mut file = wav::head(8_000, 32_000).to_vec();
    file[22] = 2; // channels
    file[28..32].copy_from_slice(&32_000_u32.to_le_bytes());
    file[32] = 4; // octets of a frame
    for sample in tone(8_000) {
        file.extend(sample.to_le_bytes());
        file.extend(0_i16.to_le_bytes());
    }

    let clip = read(&file, LONGEST).unwrap();

    assert_eq!(clip.duration(), Duration::from_secs(1));
    assert!((mixer::level::dbov(clip.pcm()) + 15.0).abs() < 0.5);
}

#[test]
fn what_cannot_be_played_says_why() {
    let long = wav::print(8_000, &tone(8_000));

    assert!(matches!(read(b"no sound at all", LONGEST), Err(SoundFault::Unreadable(_))));
    assert!(read(&[], LONGEST).is_err());
    assert_eq!(read(&wav::print(8_000, &[]), LONGEST), Err(SoundFault::Empty));
    let short = Duration::from_millis(500);
    assert_eq!(read(&long, short), Err(SoundFault::TooLong(short)));
    assert_eq!(read(&wav::print(2_000, &tone(2_000)), LONGEST), Err(SoundFault::Rate(2_000)));
}

#[test]
fn a_file_that_breaks_off_is_played_as_far_as_it_goes() {
    let file = wav::print(8_000, &tone(8_000));

    let clip = read(&file[..8_044], LONGEST).unwrap();

    assert!(clip.duration() >= Duration::from_millis(400), "{:?}", clip.duration());
}
