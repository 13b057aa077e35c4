//! The folder of sounds: what was uploaded, converted once, as WAV files that anybody can play.
//!
//! A file is there whole or not at all. What the store does not know of was being put there when the bridge was stopped, and goes.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use api::wav;
use mixer::play::Clip;

use crate::sounds;

/// Where sounds lie. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shelf {
    folder: PathBuf,
    longest: Duration,
}

impl Shelf {
    /// Makes the folder (mode 0700) if there is none. No sound may be longer than `longest`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn new(folder: PathBuf, longest: Duration) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, longest })
    }

    /// All that lies there and can be played; the name of what is not `wanted` is taken off.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub(crate) fn load(&self, wanted: impl Fn(&str) -> bool) -> io::Result<BTreeMap<String, Clip>> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if !wanted(name) {
                fs::remove_file(&path)?;
                continue;
            }
            match read(&path) {
                Ok(clip) => {
                    found.insert(name.to_owned(), clip);
                }
                Err(error) => {
                    tracing::error!(path = %path.display(), error, "a sound cannot be read");
                }
            }
        }
        Ok(found)
    }

    /// Converts an upload and puts it there under `name`; it survives a loss of power. Waits for the disk.
    ///
    /// # Errors
    /// Says what to do about it.
    pub(crate) fn put(&self, name: &str, upload: &[u8]) -> Result<Clip, String> {
        let clip = sounds::read(upload, self.longest).map_err(|fault| fault.to_string())?;
        self.write(name, &clip).map_err(|error| format!("the sound cannot be kept: {error}"))?;
        Ok(clip)
    }

    fn write(&self, name: &str, clip: &Clip) -> io::Result<()> {
        let unfinished = self.folder.join(format!("{name}.unfinished"));
        let written = write_whole(&unfinished, &wav::print(clip.rate(), clip.pcm()))
            .and_then(|()| fs::rename(&unfinished, self.folder.join(name)))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if written.is_err() {
            drop(fs::remove_file(&unfinished));
        }
        written
    }

    /// Takes a file away that nobody knows any more. Nobody waits for it.
    pub(crate) fn discard_later(self, name: String) {
        tokio::task::spawn_blocking(move || self.discard(&name));
    }

    fn discard(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.folder.join(name)) {
            tracing::warn!(name, %error, "the file of a sound cannot be removed");
        }
    }
}

fn read(path: &Path) -> Result<Clip, String> {
    let file = fs::read(path).map_err(|error| error.to_string())?;
    sounds::read(&file, Duration::MAX).map_err(|fault| fault.to_string())
}

fn write_whole(path: &Path, octets: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload() -> Vec<u8> {
        wav::print(8_000, &[1_000; 8_000])
    }

    #[test]
    fn what_is_put_there_is_found_again_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("sounds"), Duration::from_secs(2)).unwrap();
        let clip = shelf.put("a.1.wav", &upload()).unwrap();
        shelf.put("b.2.wav", &upload()).unwrap();
        fs::write(folder.path().join("sounds/c.3.wav.unfinished"), "half").unwrap();

        let found = shelf.load(|name| name == "a.1.wav").unwrap();

        assert_eq!(found, BTreeMap::from([("a.1.wav".to_owned(), clip)]));
        assert_eq!(fs::read_dir(folder.path().join("sounds")).unwrap().count(), 1);
        shelf.discard("a.1.wav");
        assert!(shelf.load(|_| true).unwrap().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(folder.path().join("sounds"), Duration::from_secs(2)).unwrap();
        fs::remove_dir(folder.path().join("sounds")).unwrap();

        let refused = shelf.put("a.1.wav", &upload()).unwrap_err();

        assert!(refused.starts_with("the sound cannot be kept"), "{refused}");
        assert!(shelf.put("a.1.wav", b"nonsense").unwrap_err().starts_with("expected WAV"));
    }
}
