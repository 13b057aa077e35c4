//! The whole vocabulary between the bridge and the recorder: data only.

use std::time::Instant;

use api::id::RecordingId;
use api::model::RecordingFormat;

use crate::media::command::TapeKey;

/// What the recorder is to do. Those for an unknown recording are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Order {
    /// Makes a folder for it, and notes that it is not finished.
    Begin {
        /// Which.
        recording: RecordingId,
        /// When its first tick is.
        since: Instant,
        /// JSON that describes it, for whoever finds the folder after a crash.
        body: String,
    },
    /// A track begins, with silence up to now.
    Track {
        /// Of which recording.
        recording: RecordingId,
        /// What it is called in the folder, without an ending.
        name: String,
        /// Where its sound comes from.
        tape: TapeKey,
        /// How it is written.
        shape: Shape,
    },
    /// What describes it has changed.
    Describe {
        /// Which.
        recording: RecordingId,
        /// As in [`Self::Begin`].
        body: String,
    },
    /// It ends; [`Report::Finished`] follows.
    Finish {
        /// Which.
        recording: RecordingId,
        /// So many ticks after its beginning.
        ticks: u32,
        /// As in [`Self::Begin`].
        body: String,
    },
    /// Its folder goes.
    Discard(RecordingId),
}

/// How a track is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shape {
    /// WAV or Ogg Opus.
    pub format: RecordingFormat,
    /// Samples in a second, Hz, of a WAV file; that of the first sound when absent.
    pub rate: Option<u32>,
}

/// What the recorder tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// A recording cannot go on; it is to be finished.
    Failed {
        /// Which.
        recording: RecordingId,
        /// Why.
        failure: Failure,
    },
    /// All of it is on the disk.
    Finished {
        /// Which.
        recording: RecordingId,
        /// What its tracks are, those that could be written.
        tracks: Vec<Facts>,
    },
    /// One that an earlier run did not finish is as whole as it can be.
    Recovered {
        /// What described it last.
        body: String,
        /// What its tracks are.
        tracks: Vec<Facts>,
    },
}

/// Why a recording cannot go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Failure {
    /// The disk is full, or nearly so.
    DiskFull(String),
    /// Something else that the disk said.
    Disk(String),
    /// A file would be longer than its format allows.
    TooLong,
}

/// A track that is on the disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Facts {
    /// What it is called, with its ending.
    pub file: String,
    /// Octets.
    pub octets: u64,
    /// Samples in a second, Hz.
    pub rate: u32,
    /// How long it lasts, milliseconds.
    pub duration_ms: u64,
    /// Of the file, hexadecimal.
    pub sha256: String,
    /// Sound that was lost because the disk was too slow, milliseconds.
    pub lost_ms: u64,
}
