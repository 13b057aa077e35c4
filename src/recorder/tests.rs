//! Files on a real disk, from ticks to check-sums.

use std::fs::{self, File};
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use api::model::RecordingFormat;
use mixer::room::TICK;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::media::TapeEnd;
use crate::sounds;

const WAV: Shape = Shape { format: RecordingFormat::Wav, rate: None };
const OPUS: Shape = Shape { format: RecordingFormat::Opus, rate: None };

/// A recorder in a folder of its own.
struct Desk {
    folder: tempfile::TempDir,
    recorder: Recorder,
    reels: SyncSender<Reel>,
    reports: mpsc::Receiver<Report>,
    since: Instant,
}

fn desk_in(folder: tempfile::TempDir, keep_free: u64) -> Desk {
    let (reels, taken) = sync_channel(16);
    let (told, reports) = mpsc::channel(16);
    let options = Options { folder: folder.path().to_owned(), keep_free, keep_days: 0 };
    let recorder = Recorder::start(options, taken, told).unwrap();
    Desk { folder, recorder, reels, reports, since: read_clock() }
}

fn desk() -> Desk {
    desk_in(tempfile::tempdir().unwrap(), 0)
}

fn id() -> RecordingId {
    RecordingId::new(1_000, 7)
}

impl Desk {
    fn begin(&self) {
        let body = r#"{"what":"it is"}"#.to_owned();
        self.recorder.order(Order::Begin { recording: id(), since: self.since, body });
    }

    /// A track, and the end that a media thread has of it.
    fn track(&self, name: &str, key: u64, shape: Shape) -> TapeEnd {
        let (recording, name, tape) = (id(), name.to_owned(), TapeKey(key));
        self.recorder.order(Order::Track { recording, name, tape, shape });
        self.reel(key)
    }

    fn reel(&self, key: u64) -> TapeEnd {
        let (end, reel) = TapeEnd::new(TapeKey(key), self.since);
        self.reels.send(reel).unwrap();
        end
    }

    fn finish(&mut self, ticks: u32) -> Vec<order::Facts> {
        let body = "{}".to_owned();
        self.recorder.order(Order::Finish { recording: id(), ticks, body });
        match self.report() {
            Report::Finished { tracks, .. } => tracks,
            other @ (Report::Failed { .. } | Report::Recovered { .. }) => panic!("{other:?}"),
        }
    }

    fn report(&mut self) -> Report {
        self.reports.blocking_recv().unwrap()
    }

    fn read(&self, file: &str) -> mixer::play::Clip {
        let octets = fs::read(self.folder.path().join(id().to_string()).join(file)).unwrap();
        sounds::read(&octets, Duration::MAX).unwrap()
    }
}

/// 20 ms of a tone that is exactly periodic in it.
fn tone(rate: u32) -> Vec<i16> {
    let samples = u16::try_from(rate / 50).unwrap();
    let angle = |at| f64::from(at) / f64::from(samples) * 20.0 * std::f64::consts::TAU;
    #[expect(clippy::cast_possible_truncation, reason = "8,000 at most")]
    let sample = |at| (angle(at).sin() * 8_000.0) as i16;
    (0..samples).map(sample).collect()
}

/// Root of the mean square of each tick.
fn loudness(pcm: &[i16], rate: u32) -> Vec<f64> {
    let ticks = pcm.chunks(rate as usize / 50);
    let power = |tick: &[i16]| tick.iter().map(|&sample| f64::from(sample).powi(2)).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "hundreds")]
    ticks.map(|tick| (power(tick) / tick.len() as f64).sqrt()).collect()
}

#[test]
fn what_is_said_is_where_it_was_said_and_all_tracks_are_as_long() {
    let mut desk = desk();
    desk.begin();
    let mut mix = desk.track("mix", 1, Shape { rate: Some(16_000), ..WAV });
    let mut leg = desk.track("leg", 2, WAV);
    let pcm = tone(8_000);
    for tick in 10..20 {
        mix.write(desk.since + TICK * tick, &pcm);
        if tick > 14 {
            leg.write(desk.since + TICK * tick, &pcm);
        }
    }
    drop((mix, leg));

    let facts = desk.finish(30);

    assert_eq!(
        facts.iter().map(|facts| facts.file.as_str()).collect::<Vec<_>>(),
        ["mix.wav", "leg.wav"]
    );
    assert!(facts.iter().all(|facts| facts.duration_ms == 600 && facts.lost_ms == 0), "{facts:?}");
    let (mix, leg) = (desk.read("mix.wav"), desk.read("leg.wav"));
    assert_eq!((mix.rate(), leg.rate()), (16_000, 8_000));
    assert!(leg.pcm()[15 * 160..20 * 160] == pcm.repeat(5));
    for (clip, from) in [(mix, 10), (leg, 15)] {
        for (tick, loudness) in loudness(clip.pcm(), clip.rate()).into_iter().enumerate() {
            let is_said = (from + 1..20).contains(&tick);
            // A filter is a little late.
            assert!(
                tick == from || tick == 20 || is_said == (loudness > 4_000.0),
                "{tick}: {loudness}"
            );
        }
    }
    let file = fs::read(desk.folder.path().join(id().to_string()).join("mix.wav")).unwrap();
    let digest = Sha256::digest(&file);
    let hex = |octets: &[u8]| -> String {
        octets
            .iter()
            .flat_map(|octet| [octet >> 4, octet & 15])
            .filter_map(|half| char::from_digit(half.into(), 16))
            .collect()
    };
    let digest = hex(&digest);
    assert_eq!((facts[0].sha256.as_str(), facts[0].octets), (digest.as_str(), file.len() as u64));
}

#[test]
fn opus_is_heard_where_it_was_said_too() {
    let mut desk = desk();
    desk.begin();
    let mut mix = desk.track("mix", 1, OPUS);
    for tick in 50..100 {
        let rate = if tick < 75 { 8_000 } else { 48_000 };
        mix.write(desk.since + TICK * tick, &tone(rate));
        thread::yield_now();
    }
    drop(mix);

    let facts = desk.finish(200);

    assert!(facts[0].duration_ms.abs_diff(4_000) <= 20, "{facts:?}");
    let clip = desk.read("mix.opus");
    assert_eq!(clip.rate(), 48_000);
    for (tick, loudness) in loudness(clip.pcm(), 48_000).into_iter().enumerate() {
        match tick {
            52..=98 => assert!(loudness > 3_000.0, "{tick}: {loudness}"),
            0..=48 | 108.. => assert!(loudness < 50.0, "{tick}: {loudness}"),
            _ => {}
        }
    }
}

#[test]
fn parts_of_a_room_that_say_the_same_are_written_once() {
    let mut desk = desk();
    desk.begin();
    let mut first = desk.track("mix", 1, WAV);
    let mut second = desk.reel(1);
    let pcm = tone(8_000);
    for tick in 0..50 {
        if tick < 30 {
            first.write(desk.since + TICK * tick, &pcm);
        }
        if tick >= 20 {
            second.write(desk.since + TICK * tick, &pcm);
        }
    }
    drop((first, second));

    desk.finish(50);

    assert!(desk.read("mix.wav").pcm() == pcm.repeat(50));
}

#[test]
fn what_a_crash_leaves_can_be_played_and_is_told_at_the_next_start() {
    let before = desk();
    before.begin();
    let mut voice = before.track("mix", 1, WAV);
    let mut opus = before.track("leg", 2, OPUS);
    for tick in 0..150 {
        voice.write(before.since + TICK * tick, &tone(8_000));
        opus.write(before.since + TICK * tick, &tone(8_000));
    }
    let folder = before.folder.path().join(id().to_string());
    // As long as the sound is there, whatever the head says, a crash may come.
    while fs::metadata(folder.join("mix.wav")).map_or(0, |file| file.len()) < 40_000 {
        thread::yield_now();
    }
    while opus::duration_ms(&mut File::open(folder.join("leg.opus")).unwrap()).unwrap() < 1_900 {
        thread::yield_now();
    }
    let copy = tempfile::tempdir().unwrap();
    copy_all(before.folder.path(), copy.path());

    let mut after = desk_in(copy, 0);

    let Report::Recovered { body, tracks } = after.report() else { panic!("nothing was left") };
    assert_eq!(body, r#"{"what":"it is"}"#);
    let lengths: Vec<_> =
        tracks.iter().map(|facts| (facts.file.as_str(), facts.duration_ms)).collect();
    assert!(matches!(lengths[..], [("leg.opus", 1_900..), ("mix.wav", 2_400..)]), "{lengths:?}");
    let clip = after.read("mix.wav");
    assert!(clip.pcm()[..16_000] == tone(8_000).repeat(100));
    assert!(
        loudness(after.read("leg.opus").pcm(), 48_000)[5..90].iter().all(|&said| said > 3_000.0)
    );
    assert_eq!(fs::read_dir(after.folder.path().join(UNFINISHED)).unwrap().count(), 0);
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_all(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn a_disk_that_is_full_ends_it_and_what_there_is_stays() {
    let mut desk = desk_in(tempfile::tempdir().unwrap(), u64::MAX);
    desk.begin();

    let Report::Failed { failure, .. } = desk.report() else { panic!("it goes on") };

    let Failure::DiskFull(why) = failure else { panic!("{failure:?}") };
    assert!(why.contains("recordings.keep_free"), "{why}");
    assert_eq!(desk.finish(10), []);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said() {
    let mut desk = desk();
    fs::write(desk.folder.path().join(id().to_string()), "in the way").unwrap();

    desk.begin();

    let Report::Failed { failure, .. } = desk.report() else { panic!("it goes on") };
    assert!(matches!(failure, Failure::Disk(_)), "{failure:?}");
}

#[test]
fn what_is_discarded_is_gone() {
    let mut desk = desk();
    desk.begin();
    drop(desk.track("mix", 1, WAV));
    desk.finish(5);
    let folder = desk.folder.path().join(id().to_string());
    assert!(folder.join(DESCRIPTION).exists());

    desk.recorder.order(Order::Discard(id()));
    let Desk { recorder, folder: kept, .. } = desk;
    drop(recorder);

    assert!(!folder.exists() && kept.path().exists());
}
