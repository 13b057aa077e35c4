//! What takes longer than a recorder may: the check-sums of recordings that are over, and what an earlier run left behind.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use api::id::RecordingId;
use sha2::{Digest as _, Sha256};

use super::order::{Facts, Report};
use super::{opus, wave};

/// A recording whose files are closed.
#[derive(Debug)]
pub(super) struct Closed {
    pub(super) recording: RecordingId,
    /// Each with the milliseconds that were lost.
    pub(super) tracks: Vec<(PathBuf, u64)>,
}

impl Closed {
    /// Has it on the disk for good, and tells what it is.
    pub(super) fn report(self) -> Report {
        let tracks = self.tracks.iter().filter_map(|(path, lost_ms)| facts(path, *lost_ms));
        Report::Finished { recording: self.recording, tracks: tracks.collect() }
    }
}

/// Finishes what lies in the folder of a recording that was not finished.
pub(super) fn recover(folder: &Path) -> io::Result<Report> {
    let body = fs::read_to_string(folder.join(super::DESCRIPTION))?;
    let mut tracks = Vec::new();
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if is_wave(&path) {
            wave::mend(&File::options().read(true).write(true).open(&path)?)?;
        }
        tracks.extend(facts(&path, 0));
    }
    Ok(Report::Recovered { body, tracks })
}

fn is_wave(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "wav")
}

/// What a whole file is; `None` if it is no track or cannot be read, which is logged.
fn facts(path: &Path, lost_ms: u64) -> Option<Facts> {
    let is_opus = path.extension().is_some_and(|ending| ending == "opus");
    if !is_opus && !is_wave(path) {
        return None;
    }
    let measured = measure(path, is_opus);
    if let Err(error) = &measured {
        tracing::error!(path = %path.display(), %error, "a recording cannot be read again");
    }
    let (octets, rate, duration_ms, sha256) = measured.ok()?;
    let file = path.file_name()?.to_str()?.to_owned();
    Some(Facts { file, octets, rate, duration_ms, sha256, lost_ms })
}

fn measure(path: &Path, is_opus: bool) -> io::Result<(u64, u32, u64, String)> {
    let mut file = File::open(path)?;
    file.sync_all()?;
    let sha256 = digest(&mut file)?;
    let octets = file.metadata()?.len();
    if is_opus {
        return Ok((octets, opus::RATE, opus::duration_ms(&mut file)?, sha256));
    }
    let rate = wave::rate(&file)?;
    Ok((octets, rate, wave::duration_ms(octets, rate), sha256))
}

fn digest(file: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let octets = file.read(&mut buffer)?;
        if octets == 0 {
            let hex = |octet: &u8| format!("{octet:02x}");
            return Ok(digest.finalize().iter().map(hex).collect());
        }
        digest.update(&buffer[..octets]);
    }
}
