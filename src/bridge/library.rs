//! Sounds by name: those that are shipped, and those that were uploaded.
//!
//! ```text
//!  PUT ─▶ Output::Convert ─▶ Input::Converted ─▶ Output::Store ─▶ Input::Stored ─▶ it can be played
//! ```
//! The shell decodes a file and puts the sound on the disk beside the database; the store then says that it is there. All are held
//! in memory, ready to be mixed. Who plays one already goes on with it when it is replaced.

use std::collections::BTreeMap;

use api::archive::{Change, Document, DocumentKind};
use api::control::{ControlError, IfMatch, Reply};
use api::model::{Media, MediaOrigin, Page, PageQuery, Pcm};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::command::{Answer, conflict, invalid, no_such, page};
use super::keeping::{Deed, Later, unusable};
use super::{Bridge, Output};
use crate::media::command::Clip;
use crate::sounds::prompts;

/// Whether a file of this name belongs to a sound that is kept.
pub fn keeps_sound(kept: &[Document], file: &str) -> bool {
    let sounds = kept.iter().filter(|document| document.kind == DocumentKind::Media);
    sounds
        .filter_map(|document| serde_json::from_str::<Kept>(&document.body).ok())
        .any(|sound| sound.file == file)
}

/// Names an upload that is being converted.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct ConversionId(u64);

/// What may be kept.
#[derive(Clone, Debug, Default)]
pub struct SoundSettings {
    /// Octets of memory for all that is uploaded.
    pub memory: u64,
    /// What was found on the disk, by file.
    pub found: BTreeMap<String, Clip>,
}

/// All that can be played.
#[derive(Debug, Default)]
pub(super) struct Library {
    uploaded: BTreeMap<String, Sound>,
    /// Of what is shipped, what was asked for already.
    shipped: BTreeMap<String, Clip>,
    uploads: BTreeMap<ConversionId, Upload>,
    next: u64,
}

/// A sound that was uploaded.
#[derive(Debug)]
pub(super) struct Sound {
    kept: Kept,
    clip: Clip,
    revision: u64,
}

/// As the store keeps it.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Kept {
    name: String,
    /// In the folder of sounds.
    file: String,
    created_at: Timestamp,
}

#[derive(Debug)]
struct Upload {
    name: String,
    file: String,
    revision: u64,
    condition: IfMatch,
    reply: Reply<Media>,
}

impl Sound {
    fn octets(&self) -> u64 {
        octets(&self.clip)
    }

    fn view(&self) -> Media {
        Media {
            name: self.kept.name.clone(),
            origin: MediaOrigin::Uploaded,
            duration_ms: Some(u64::try_from(self.clip.duration().as_millis()).unwrap_or(u64::MAX)),
            rate_hz: Some(self.clip.rate()),
            octets: self.octets(),
            revision: self.revision,
            created_at: Some(self.kept.created_at),
        }
    }
}

impl Library {
    /// The sound of this name.
    pub(super) fn clip(&mut self, name: &str) -> Option<Clip> {
        if let Some(sound) = self.uploaded.get(name) {
            return Some(sound.clip.clone());
        }
        if let Some(clip) = self.shipped.get(name) {
            return Some(clip.clone());
        }
        let clip = prompts::read(name)?;
        self.shipped.insert(name.to_owned(), clip.clone());
        Some(clip)
    }

    fn exists(&self, name: &str) -> bool {
        self.uploaded.contains_key(name) || prompts::names().any(|shipped| shipped == name)
    }

    /// Of something that is shipped nothing is known before it was asked for.
    fn view(&self, name: &str) -> Option<Media> {
        if let Some(sound) = self.uploaded.get(name) {
            return Some(sound.view());
        }
        let name = prompts::names().find(|shipped| *shipped == name)?;
        let clip = self.shipped.get(name);
        Some(Media {
            name: name.to_owned(),
            origin: MediaOrigin::Shipped,
            duration_ms: clip
                .map(|clip| u64::try_from(clip.duration().as_millis()).unwrap_or(u64::MAX)),
            rate_hz: clip.map(Clip::rate),
            octets: clip.map_or(0, octets),
            revision: 0,
            created_at: None,
        })
    }

    /// Octets of all that is uploaded but this one.
    fn octets_beside(&self, name: &str) -> u64 {
        let others = self.uploaded.values().filter(|sound| sound.kept.name != name);
        others.map(Sound::octets).sum()
    }
}

impl Bridge {
    /// Takes up what is kept and was found on the disk.
    pub(super) fn open_library(&mut self) {
        for (revision, kept) in self.kept::<Kept>(DocumentKind::Media) {
            let Some(clip) = self.settings.sounds.found.remove(&kept.file) else {
                let why = format!("its file {} is missing or cannot be read", kept.file);
                unusable(DocumentKind::Media, &kept.name, &why);
                continue;
            };
            self.library.uploaded.insert(kept.name.clone(), Sound { kept, clip, revision });
        }
    }

    /// What these names stand for.
    pub(super) fn clips(&mut self, names: &[String]) -> Answer<Vec<Clip>> {
        let mut clips = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            let clip = self.library.clip(name).ok_or_else(|| {
                invalid(&format!("/media/{at}"), format!("there is no media of the name {name}"))
            })?;
            clips.push(clip);
        }
        Ok(clips)
    }

    pub(super) fn api_list_media(&self, query: &PageQuery) -> Answer<Page<Media>> {
        let mut names: Vec<String> = self.library.uploaded.keys().cloned().collect();
        names.extend(prompts::names().map(str::to_owned));
        names.sort_unstable();
        names.dedup();
        let page = page::page(query, names.into_iter(), String::clone)?;
        let items = page.items.iter().filter_map(|name| self.library.view(name)).collect();
        Ok(Page { items, next: page.next })
    }

    pub(super) fn api_media(&mut self, name: &str) -> Answer<Media> {
        self.library.clip(name);
        self.library.view(name).ok_or_else(|| no_such("media", name))
    }

    pub(super) fn api_media_content(&mut self, name: &str) -> Answer<Pcm> {
        let clip = self.library.clip(name).ok_or_else(|| no_such("media", name))?;
        Ok(Pcm { rate: clip.rate(), samples: clip.shared() })
    }

    /// Has a file converted; it can be played, and is answered, once it is stored.
    pub(super) fn api_put_media(
        &mut self,
        (name, condition): (String, IfMatch),
        sound: Bytes,
        reply: Reply<Media>,
    ) {
        if let Err(error) = self.may_put_media(&name, &condition) {
            return reply.send(Err(error));
        }
        let revision = self.next_revision();
        let file = format!("{name}.{revision}.wav");
        self.library.next += 1;
        let id = ConversionId(self.library.next);
        let upload = Upload { name, file: file.clone(), revision, condition, reply };
        self.library.uploads.insert(id, upload);
        self.outputs.push_back(Output::Convert { id, file, sound });
    }

    fn may_put_media(&self, name: &str, condition: &IfMatch) -> Answer<()> {
        if !is_media_name(name) {
            return Err(invalid("", MEDIA_NAME));
        }
        if self.library.uploads.len() >= MAX_UPLOADS {
            let detail = format!("{MAX_UPLOADS} uploads are being converted; try again");
            return Err(ControlError::Busy { detail, retry_after_s: 1 });
        }
        self.may_change_media(name, condition)
    }

    fn may_change_media(&self, name: &str, condition: &IfMatch) -> Answer<()> {
        let revision = self.library.uploaded.get(name).map_or(0, |sound| sound.revision);
        if !condition.allows(revision) {
            return Err(ControlError::Stale { what: "media", revision });
        }
        Ok(())
    }

    /// The shell has converted an upload, and put it on the disk.
    pub(super) fn converted(&mut self, id: ConversionId, answer: Result<Clip, String>) {
        let Some(upload) = self.library.uploads.remove(&id) else { return };
        let Upload { name, file, revision, condition, reply } = upload;
        let clip = match answer {
            Ok(clip) => clip,
            Err(why) => return reply.send(Err(invalid("", why))),
        };
        let taken = self.library.octets_beside(&name) + octets(&clip);
        let verdict = if taken > self.settings.sounds.memory {
            let detail = format!(
                "all uploaded media would take {taken} octets of memory; delete some, or raise sounds.memory"
            );
            Err(conflict("media_full", detail))
        } else {
            self.may_change_media(&name, &condition)
        };
        if let Err(error) = verdict {
            self.outputs.push_back(Output::Discard(file));
            return reply.send(Err(error));
        }
        let kept = Kept { name: name.clone(), file, created_at: self.wall() };
        let body = serde_json::to_string(&kept).unwrap_or_default();
        let document = Document { kind: DocumentKind::Media, name, revision, body };
        let sound = Box::new(Sound { kept, clip, revision });
        self.store(Change::Put(document), Deed::PutSound(sound, Later::new(reply)));
    }

    /// It is stored: from now on it is played.
    pub(super) fn put_sound(&mut self, sound: Sound) -> Media {
        let view = sound.view();
        let before = self.library.uploaded.insert(sound.kept.name.clone(), sound);
        self.discard(before);
        view
    }

    pub(super) fn api_delete_media(&mut self, name: String, condition: &IfMatch, reply: Reply<()>) {
        let allowed = match self.library.uploaded.contains_key(&name) {
            true => self.may_change_media(&name, condition),
            false if self.library.exists(&name) => {
                let detail = "this media is shipped; put one of the same name in its place instead";
                Err(conflict("media_shipped", detail))
            }
            false => Err(no_such("media", &name)),
        };
        match allowed {
            Ok(()) => {
                let change = Change::Remove(DocumentKind::Media, name);
                self.store(change, Deed::Remove(Later::new(reply)));
            }
            Err(error) => reply.send(Err(error)),
        }
    }

    pub(super) fn remove_sound(&mut self, name: &str) {
        let before = self.library.uploaded.remove(name);
        self.discard(before);
    }

    fn discard(&mut self, sound: Option<Sound>) {
        if let Some(sound) = sound {
            self.outputs.push_back(Output::Discard(sound.kept.file));
        }
    }
}

fn octets(clip: &Clip) -> u64 {
    clip.pcm().len() as u64 * 2
}

fn is_media_name(name: &str) -> bool {
    let known = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(known) && !name.starts_with('.')
}

const MEDIA_NAME: &str =
    "the name of media is expected to be 1 to 64 of A-Z a-z 0-9 - _ . and not to begin with a dot";
/// Uploads that are converted at once.
const MAX_UPLOADS: usize = 4;

#[cfg(test)]
mod tests;
