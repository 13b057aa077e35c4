//! What is recorded of rooms, calls and legs.
//!
//! ```text
//!             pause, resume                     stop, the end of what is recorded, a fault
//!   Recording ◀───────────▶ Paused    either ─────────────────────────────────────────────▶ Finishing ─ Report ─▶ over
//! ```
//! The bridge says which voices go onto which track, and when; the media threads hand them to the recorder, which writes files.
//! Every track begins with the recording, so all of them, and the marks, are on one clock.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use api::archive::Record;
use api::control::ControlError;
use api::event::{Data, EventType};
use api::id::RecordingId;
use api::model::{
    self, CreateMark, LegId, Mark, MarkKind, RecordWhen, Recording, RecordingEnd, RecordingFormat,
    RecordingOptions, RecordingState, RoomId, Track, TrackFile, UpdateRecording,
};
use mixer::room::TICK;

use super::command::{Answer, conflict, no_such};
use super::playing::{Hearer, Then};
use super::{Bridge, Output, Place, Subject, Timer};
use crate::media::command::{Audience, Command, MAX_TAPES, TapeKey};
use crate::recorder::order::{Facts, Failure, Order, Report, Shape};
use crate::sounds::prompts::Language;

/// What may be recorded.
#[derive(Clone, Copy, Debug)]
pub struct RecordingSettings {
    /// Recordings at once.
    pub at_once: usize,
    /// How long one may be.
    pub max_length: Duration,
    /// Marks of one; more are counted, and dropped.
    pub marks: usize,
}

impl Default for RecordingSettings {
    /// 1,000 at once, 12 hours, 10,000 marks.
    fn default() -> Self {
        Self { at_once: 1_000, max_length: Duration::from_hours(12), marks: 10_000 }
    }
}

/// Recordings that are not over, and those that were until a moment ago.
#[derive(Debug, Default)]
pub(super) struct Recordings {
    ongoing: BTreeMap<RecordingId, Ongoing>,
    /// Until the store surely knows them as they are.
    over: BTreeMap<RecordingId, Recording>,
}

impl Recordings {
    /// True once the files of all of them are closed.
    pub(super) fn are_over(&self) -> bool {
        self.ongoing.is_empty()
    }
}

/// A recording that goes on, or whose files are being closed.
#[derive(Debug)]
pub(super) struct Ongoing {
    /// As the API shows it.
    view: Recording,
    of: Hearer,
    options: RecordingOptions,
    since: Instant,
    mix: Option<TapeKey>,
    /// Who has a track; false while they are elsewhere.
    voices: BTreeMap<LegId, (TapeKey, bool)>,
}

impl Ongoing {
    fn is_going_on(&self) -> bool {
        matches!(self.view.state, RecordingState::Recording | RecordingState::Paused)
    }

    fn is_written(&self) -> bool {
        self.view.state == RecordingState::Recording
    }

    fn length(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    fn mark(&mut self, now: Instant, mark: (MarkKind, Option<LegId>, Option<String>), most: usize) {
        let (kind, leg, label) = mark;
        if self.view.marks.len() < most {
            let at_ms = in_ms(self.length(now));
            self.view.marks.push(Mark { at_ms, kind, leg, label });
        } else {
            self.view.marks_dropped += 1;
        }
    }

    /// As it is told of, without its marks.
    fn told(&self, now: Instant) -> Recording {
        Recording { marks: Vec::new(), ..self.shown(now) }
    }

    fn shown(&self, now: Instant) -> Recording {
        let mut view = self.view.clone();
        if self.is_going_on() {
            view.duration_ms = in_ms(self.length(now));
        }
        view
    }

    fn subject(&self) -> Subject {
        subject(&self.view)
    }
}

impl Bridge {
    pub(super) fn api_create_recording(
        &mut self,
        of: &model::Audience,
        options: RecordingOptions,
    ) -> Answer<Recording> {
        let of = self.hearer(of)?;
        let most = self.settings.recordings.at_once;
        let going_on = self.recordings.ongoing.values().filter(|ongoing| ongoing.is_going_on());
        if going_on.clone().count() >= most {
            let detail = format!("{most} recordings go on; stop some, or raise recordings.at_once");
            return Err(ControlError::Busy { detail, retry_after_s: 10 });
        }
        if going_on.filter(|ongoing| ongoing.of == of).count() >= MAX_TAPES {
            let detail = format!("{MAX_TAPES} recordings of it go on already; stop some");
            return Err(conflict("too_many_recordings", detail));
        }
        let id = self.begin_recording(of, options, false);
        self.api_recording(id)
    }

    pub(super) fn api_live_recordings(&self) -> Vec<Recording> {
        let told = |view: &Recording| Recording { marks: Vec::new(), ..view.clone() };
        let over = self.recordings.over.values().map(told);
        let ongoing = self.recordings.ongoing.values().map(|ongoing| ongoing.told(self.now));
        let mut all: Vec<Recording> = over.chain(ongoing).collect();
        all.sort_by_key(|recording| std::cmp::Reverse(recording.id));
        all
    }

    pub(super) fn api_recording(&self, id: RecordingId) -> Answer<Recording> {
        let ongoing = self.recordings.ongoing.get(&id).map(|ongoing| ongoing.shown(self.now));
        let over = || self.recordings.over.get(&id).cloned();
        ongoing.or_else(over).ok_or_else(|| no_such("recording", id))
    }

    pub(super) fn api_update_recording(
        &mut self,
        id: RecordingId,
        body: UpdateRecording,
    ) -> Answer<Recording> {
        let ongoing = self.going_on(id)?;
        ongoing.options.notice = body.notice.unwrap_or(ongoing.options.notice);
        match body.paused {
            Some(true) if ongoing.is_written() => self.pause_recording(id),
            Some(false) if !ongoing.is_written() => self.resume_recording(id),
            Some(_) | None => {}
        }
        self.api_recording(id)
    }

    pub(super) fn api_mark_recording(
        &mut self,
        id: RecordingId,
        body: CreateMark,
    ) -> Answer<Recording> {
        let (now, most) = (self.now, self.settings.recordings.marks);
        self.going_on(id)?.mark(now, (MarkKind::Note, None, Some(body.label)), most);
        self.api_recording(id)
    }

    pub(super) fn api_stop_recording(&mut self, id: RecordingId) -> Answer<Recording> {
        self.going_on(id)?;
        self.end_recording(id, RecordingEnd::Stopped);
        self.api_recording(id)
    }

    pub(super) fn api_discard_recording(&mut self, id: RecordingId) -> Answer<()> {
        self.recordings.over.remove(&id);
        if self.recordings.ongoing.contains_key(&id) {
            return Err(conflict("recording_goes_on", "the recording goes on; stop it first"));
        }
        self.outputs.push_back(Output::Recorder(Order::Discard(id)));
        Ok(())
    }

    fn going_on(&mut self, id: RecordingId) -> Answer<&mut Ongoing> {
        let ongoing =
            self.recordings.ongoing.get_mut(&id).ok_or_else(|| no_such("recording", id))?;
        if ongoing.is_going_on() {
            return Ok(ongoing);
        }
        Err(conflict("recording_over", "the recording has ended; its files are being closed"))
    }

    fn begin_recording(
        &mut self,
        of: Hearer,
        options: RecordingOptions,
        automatic: bool,
    ) -> RecordingId {
        let id = RecordingId::new(self.unix_ms(), self.random());
        let (room, call, leg) = match of {
            Hearer::Room(room) | Hearer::Lobby(room) => (Some(room), None, None),
            Hearer::Call(call) => (None, Some(call), None),
            Hearer::Leg(leg) => (None, None, Some(leg)),
        };
        let room_name = room.and_then(|room| self.rooms.get(&room)).map(|room| room.name.clone());
        let view = Recording {
            id,
            room,
            room_name,
            call,
            leg,
            state: RecordingState::Recording,
            automatic,
            format: options.format,
            started_at: self.wall(),
            ended_at: None,
            duration_ms: 0,
            end_reason: None,
            detail: None,
            tracks: Vec::new(),
            marks: Vec::new(),
            marks_dropped: 0,
        };
        let (since, voices) = (self.now, BTreeMap::new());
        let body = description(&view);
        let ongoing = Ongoing { view, of, options, since, mix: None, voices };
        self.recordings.ongoing.insert(id, ongoing);
        self.outputs.push_back(Output::Recorder(Order::Begin { recording: id, since, body }));
        if let Some(mix) = self.mix_recorded(of).filter(|_| options.mix) {
            self.begin_mix(id, mix);
        }
        for leg in self.voices_in(of) {
            self.begin_voice(id, leg);
        }
        self.set_timer(self.settings.recordings.max_length, Timer::Recording(id));
        self.recording_happened(EventType::RecordingStarted, id);
        self.give_notice(id, "recording-started");
        id
    }

    /// Where all of it is heard.
    fn mix_recorded(&self, of: Hearer) -> Option<Audience> {
        let place = match of {
            Hearer::Room(room) => Place::Room(room),
            Hearer::Call(call) => Place::Call(call),
            Hearer::Lobby(_) | Hearer::Leg(_) => return None,
        };
        self.mix_of(place).map(Audience::Mix)
    }

    /// Whose voices are part of it now.
    fn voices_in(&self, of: Hearer) -> Vec<LegId> {
        let place = match of {
            Hearer::Room(room) => Place::Room(room),
            Hearer::Call(call) => Place::Call(call),
            Hearer::Leg(leg) => return vec![leg],
            Hearer::Lobby(_) => return Vec::new(),
        };
        let sits = |(_, leg): &(&LegId, &super::Leg)| leg.place == place && leg.joined_at.is_some();
        self.legs.iter().filter(sits).map(|(&leg, _)| leg).collect()
    }

    fn begin_mix(&mut self, id: RecordingId, of: Audience) {
        let tape = TapeKey(self.next_key());
        let Some(ongoing) = self.recordings.ongoing.get_mut(&id) else { return };
        let is_wav = ongoing.options.format == RecordingFormat::Wav;
        let rate = is_wav.then(|| ongoing.options.rate_hz.unwrap_or(MIX_HZ));
        let shape = Shape { format: ongoing.options.format, rate };
        let (since, name) = (ongoing.since, MIX.to_owned());
        ongoing.mix = Some(tape);
        ongoing.view.tracks.push(Track {
            name: name.clone(),
            leg: None,
            display_name: None,
            file: None,
        });
        self.outputs.push_back(Output::Recorder(Order::Track { recording: id, name, tape, shape }));
        self.tell_media(Command::Record { of, tape, since });
    }

    /// Writes what a leg says, if that is wanted, onto the track it has, or one of its own.
    fn begin_voice(&mut self, id: RecordingId, leg: LegId) {
        let key = TapeKey(self.next_key());
        let Some(ongoing) =
            self.recordings.ongoing.get_mut(&id).filter(|ongoing| ongoing.is_going_on())
        else {
            return;
        };
        let wanted = ongoing.options.tracks || ongoing.of == Hearer::Leg(leg);
        let Some(found) = self.legs.get(&leg).filter(|_| wanted) else { return };
        let is_new = !ongoing.voices.contains_key(&leg);
        let (tape, is_here) = ongoing.voices.entry(leg).or_insert((key, false));
        if std::mem::replace(is_here, true) {
            return;
        }
        let (tape, since, of) = (*tape, ongoing.since, Audience::Leg(found.media));
        let record = ongoing.is_written().then_some(Command::Record { of, tape, since });
        if is_new {
            let name = leg.to_string();
            ongoing.view.tracks.push(Track {
                name: name.clone(),
                leg: Some(leg),
                display_name: found.display_name.clone(),
                file: None,
            });
            let shape = Shape { format: ongoing.options.format, rate: ongoing.options.rate_hz };
            let track = Order::Track { recording: id, name, tape, shape };
            self.outputs.push_back(Output::Recorder(track));
            self.describe(id);
        }
        if let Some(record) = record {
            self.tell_media(record);
        }
    }

    /// A leg was seated: whoever records this place has its voice too.
    pub(super) fn record_seated(&mut self, leg: LegId, place: Place) {
        let of = Hearer::from(place);
        for id in self.recordings_of(of) {
            self.mark_recording(id, (MarkKind::Joined, Some(leg), None));
            self.begin_voice(id, leg);
        }
    }

    /// A leg has left a place, or is about to; where it is not there any more nothing can be told to it.
    pub(super) fn record_left(&mut self, leg: LegId, place: Place) {
        let of = Hearer::from(place);
        let media = self.legs.get(&leg).map(|leg| leg.media);
        for id in self.recordings_of(of) {
            self.mark_recording(id, (MarkKind::Left, Some(leg), None));
            let Some(ongoing) = self.recordings.ongoing.get_mut(&id) else { continue };
            let Some((tape, is_here)) = ongoing.voices.get_mut(&leg) else { continue };
            let (tape, was_here) = (*tape, std::mem::replace(is_here, false));
            if let Some(media) = media.filter(|_| was_here) {
                self.tell_media(Command::Unrecord { of: Audience::Leg(media), tape });
            }
        }
    }

    /// Something happened to a leg that recordings remember: those of itself, and of where it sits.
    pub(super) fn mark_leg(&mut self, leg: LegId, kind: MarkKind, label: Option<&str>) {
        if self.recordings.ongoing.is_empty() {
            return;
        }
        let place = self.legs.get(&leg).map(|leg| Hearer::from(leg.place));
        for of in place.into_iter().chain([Hearer::Leg(leg)]) {
            for id in self.recordings_of(of) {
                self.mark_recording(id, (kind, Some(leg), label.map(str::to_owned)));
            }
        }
    }

    fn mark_recording(&mut self, id: RecordingId, mark: (MarkKind, Option<LegId>, Option<String>)) {
        let (now, most) = (self.now, self.settings.recordings.marks);
        if let Some(ongoing) = self.recordings.ongoing.get_mut(&id) {
            ongoing.mark(now, mark, most);
        }
    }

    fn recordings_of(&self, of: Hearer) -> Vec<RecordingId> {
        let going_on = self
            .recordings
            .ongoing
            .iter()
            .filter(|(_, ongoing)| ongoing.of == of && ongoing.is_going_on());
        going_on.map(|(&id, _)| id).collect()
    }

    fn pause_recording(&mut self, id: RecordingId) {
        self.stop_writing(id);
        self.mark_recording(id, (MarkKind::Paused, None, None));
        if let Some(ongoing) = self.recordings.ongoing.get_mut(&id) {
            ongoing.view.state = RecordingState::Paused;
        }
        self.recording_happened(EventType::RecordingPaused, id);
        self.give_notice(id, "recording-paused");
    }

    fn resume_recording(&mut self, id: RecordingId) {
        let Some(ongoing) = self.recordings.ongoing.get_mut(&id) else { return };
        ongoing.view.state = RecordingState::Recording;
        let (of, mix, since) = (ongoing.of, ongoing.mix, ongoing.since);
        let here = ongoing.voices.iter().filter(|(_, (_, is_here))| *is_here);
        let here: Vec<_> = here.map(|(&leg, &(tape, _))| (leg, tape)).collect();
        if let (Some(of), Some(tape)) = (self.mix_recorded(of), mix) {
            self.tell_media(Command::Record { of, tape, since });
        }
        for (leg, tape) in here {
            if let Some(leg) = self.legs.get(&leg) {
                let of = Audience::Leg(leg.media);
                self.tell_media(Command::Record { of, tape, since });
            }
        }
        self.mark_recording(id, (MarkKind::Resumed, None, None));
        self.recording_happened(EventType::RecordingResumed, id);
        self.give_notice(id, "recording-resumed");
    }

    /// Takes every voice off its track.
    fn stop_writing(&mut self, id: RecordingId) {
        let Some(ongoing) = self.recordings.ongoing.get(&id) else { return };
        let mix = self.mix_recorded(ongoing.of).zip(ongoing.mix);
        let voices = ongoing.voices.iter().filter(|(_, (_, is_here))| *is_here);
        let voices = voices
            .filter_map(|(leg, &(tape, _))| Some((Audience::Leg(self.legs.get(leg)?.media), tape)));
        for (of, tape) in voices.chain(mix).collect::<Vec<_>>() {
            self.tell_media(Command::Unrecord { of, tape });
        }
    }

    /// Ends it; once its files are closed it is over.
    pub(super) fn end_recording(&mut self, id: RecordingId, why: RecordingEnd) {
        if !self.recordings.ongoing.get(&id).is_some_and(Ongoing::is_going_on) {
            return;
        }
        self.stop_writing(id);
        let (now, wall) = (self.now, self.wall());
        let Some(ongoing) = self.recordings.ongoing.get_mut(&id) else { return };
        ongoing.view.duration_ms = in_ms(ongoing.length(now));
        ongoing.view.ended_at = Some(wall);
        ongoing.view.end_reason = Some(why);
        ongoing.view.state = RecordingState::Finishing;
        let ticks = ongoing.length(now).as_nanos() / TICK.as_nanos();
        let ticks = u32::try_from(ticks).unwrap_or(u32::MAX);
        let body = description(&ongoing.view);
        let record = Record::Recording(Box::new(ongoing.view.clone()));
        self.timers.retain(|(_, timer)| *timer != Timer::Recording(id));
        self.set_timer(FINISH_PATIENCE, Timer::Recording(id));
        self.outputs.push_back(Output::Recorder(Order::Finish { recording: id, ticks, body }));
        self.outputs.push_back(Output::Record(record));
        self.give_notice(id, "recording-stopped");
    }

    /// It is as long as it may be, or nobody has closed its files.
    pub(super) fn recording_due(&mut self, id: RecordingId) {
        self.recordings.over.remove(&id);
        let Some(ongoing) = self.recordings.ongoing.get(&id) else { return };
        if ongoing.is_going_on() {
            return self.end_recording(id, RecordingEnd::TooLong);
        }
        self.finished(id, &[]);
    }

    /// Nobody is left, and the bridge stops: what was recorded of rooms that go on after that ends too.
    pub(super) fn end_recordings(&mut self) {
        let going_on = self.recordings.ongoing.iter().filter(|(_, ongoing)| ongoing.is_going_on());
        for id in going_on.map(|(&id, _)| id).collect::<Vec<_>>() {
            self.end_recording(id, RecordingEnd::Ended);
        }
    }

    /// What was recorded has ended.
    pub(super) fn recorded_gone(&mut self, of: Hearer) {
        for id in self.recordings_of(of) {
            self.end_recording(id, RecordingEnd::Ended);
        }
    }

    /// The recorder has something to tell.
    pub(super) fn recorder_told(&mut self, report: Report) {
        match report {
            Report::Failed { recording, failure } => {
                let (why, detail) = match failure {
                    Failure::DiskFull(detail) => (RecordingEnd::DiskFull, detail),
                    Failure::Disk(detail) => (RecordingEnd::DiskFailed, detail),
                    Failure::TooLong => {
                        (RecordingEnd::TooLong, "a file has the size its format allows".to_owned())
                    }
                };
                self.end_recording(recording, why);
                if let Some(ongoing) = self.recordings.ongoing.get_mut(&recording) {
                    ongoing.view.detail.get_or_insert(detail);
                }
            }
            Report::Finished { recording, tracks } => self.finished(recording, &tracks),
            Report::Recovered { body, tracks } => self.recovered(&body, &tracks),
        }
    }

    fn finished(&mut self, id: RecordingId, tracks: &[Facts]) {
        let Some(Ongoing { mut view, .. }) = self.recordings.ongoing.remove(&id) else { return };
        self.timers.retain(|(_, timer)| *timer != Timer::Recording(id));
        take_facts(&mut view, tracks);
        let fell_short = view.tracks.iter().any(|track| track.file.is_none());
        if fell_short {
            view.detail.get_or_insert_with(|| "a file could not be written".to_owned());
        }
        let whole = !fell_short
            && matches!(
                view.end_reason,
                Some(RecordingEnd::Stopped | RecordingEnd::Ended | RecordingEnd::TooLong)
            );
        view.state = if whole { RecordingState::Completed } else { RecordingState::Failed };
        let body = description(&view);
        self.outputs.push_back(Output::Recorder(Order::Describe { recording: id, body }));
        self.recording_over(view);
    }

    /// One that an earlier run did not finish, or of whose end the store may not have heard.
    fn recovered(&mut self, body: &str, tracks: &[Facts]) {
        let Ok(mut view) = serde_json::from_str::<Recording>(body) else { return };
        if view.is_over() {
            self.outputs.push_back(Output::Record(Record::Recording(Box::new(view))));
            return;
        }
        take_facts(&mut view, tracks);
        let longest = tracks.iter().map(|track| track.duration_ms).max().unwrap_or(0);
        view.duration_ms = view.duration_ms.max(longest);
        view.state = RecordingState::Completed;
        view.end_reason.get_or_insert(RecordingEnd::Interrupted);
        let length = Duration::from_millis(view.duration_ms);
        view.ended_at = view.ended_at.or_else(|| view.started_at.checked_add(length).ok());
        let (recording, body) = (view.id, description(&view));
        self.outputs.push_back(Output::Recorder(Order::Describe { recording, body }));
        self.recording_over(view);
    }

    fn recording_over(&mut self, view: Recording) {
        let kind = if view.state == RecordingState::Completed {
            EventType::RecordingCompleted
        } else {
            EventType::RecordingFailed
        };
        let told = Recording { marks: Vec::new(), ..view.clone() };
        self.recordings.over.insert(view.id, view.clone());
        self.set_timer(SETTLED_AFTER, Timer::Recording(view.id));
        self.outputs.push_back(Output::Record(Record::Recording(Box::new(view))));
        self.happened(kind, subject(&told), Data::of(&told));
    }

    /// Tells of a change, and has it remembered.
    fn recording_happened(&mut self, kind: EventType, id: RecordingId) {
        let Some(ongoing) = self.recordings.ongoing.get(&id) else { return };
        let (subject, data) = (ongoing.subject(), Data::of(&ongoing.told(self.now)));
        let record = Record::Recording(Box::new(ongoing.shown(self.now)));
        self.outputs.push_back(Output::Record(record));
        self.describe(id);
        self.happened(kind, subject, data);
    }

    fn describe(&mut self, recording: RecordingId) {
        let Some(ongoing) = self.recordings.ongoing.get(&recording) else { return };
        let body = description(&ongoing.view);
        self.outputs.push_back(Output::Recorder(Order::Describe { recording, body }));
    }

    /// Tells everybody who is recorded, if that is wanted.
    fn give_notice(&mut self, id: RecordingId, prompt: &str) {
        let Some(ongoing) =
            self.recordings.ongoing.get(&id).filter(|ongoing| ongoing.options.notice)
        else {
            return;
        };
        match ongoing.of {
            Hearer::Room(room) | Hearer::Lobby(room) => self.tell_room(room, &[prompt]),
            of @ (Hearer::Call(_) | Hearer::Leg(_)) => {
                self.prompt(of, vec![Language::default().named(prompt)], Then::Nothing);
            }
        }
    }

    // ---- rooms that are recorded by themselves ----

    /// Somebody came: a room whose settings say so is recorded from now on, and who comes into one that is, is told.
    pub(super) fn record_company(&mut self, id: RoomId, leg: LegId) {
        let has_begun = self.record_by_itself(id);
        let is_told = |id: &RecordingId| {
            self.recordings
                .ongoing
                .get(id)
                .is_some_and(|ongoing| ongoing.options.notice && ongoing.is_written())
        };
        if !has_begun && self.recordings_of(Hearer::Room(id)).iter().any(is_told) {
            self.tell_leg(leg, &["recording-started"], Then::Nothing);
        }
    }

    /// Begins what the settings of a room say, once for each time that people meet there.
    pub(super) fn record_by_itself(&mut self, id: RoomId) -> bool {
        let Some(room) = self.rooms.get(&id) else { return false };
        let wanted = match room.manners.recording.when {
            RecordWhen::Never => false,
            RecordWhen::Always => true,
            RecordWhen::Moderator => self.has_moderator(id),
        };
        if !wanted || room.company.was_recorded {
            return false;
        }
        let options = room.manners.recording.options();
        if let Some(room) = self.rooms.get_mut(&id) {
            room.company.was_recorded = true;
        }
        self.begin_recording(Hearer::Room(id), options, true);
        true
    }

    /// Somebody left: what began by itself ends with the last.
    pub(super) fn record_alone(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get(&id) else { return };
        if room.legs.iter().any(|leg| self.is_joined(*leg)) {
            return;
        }
        if let Some(room) = self.rooms.get_mut(&id) {
            room.company.was_recorded = false;
        }
        for recording in self.recordings_of(Hearer::Room(id)) {
            if self.recordings.ongoing.get(&recording).is_some_and(|ongoing| ongoing.view.automatic)
            {
                self.end_recording(recording, RecordingEnd::Ended);
            }
        }
    }
}

fn subject(view: &Recording) -> Subject {
    Subject { room: view.room, leg: view.leg, call: view.call }
}

/// What a folder says of its recording.
fn description(view: &Recording) -> String {
    serde_json::to_string(view).unwrap_or_default()
}

/// Gives each track its file.
fn take_facts(view: &mut Recording, facts: &[Facts]) {
    for track in &mut view.tracks {
        let is_its = |facts: &&Facts| {
            facts.file.rsplit_once('.').is_some_and(|(name, _)| name == track.name)
        };
        track.file = facts.iter().find(is_its).map(|facts| TrackFile {
            name: facts.file.clone(),
            octets: facts.octets,
            rate_hz: facts.rate,
            duration_ms: facts.duration_ms,
            sha256: facts.sha256.clone(),
            lost_ms: facts.lost_ms,
        });
    }
}

fn in_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The track of what all hear.
const MIX: &str = "mix";
/// Of a mix in WAV, Hz, unless it was said.
const MIX_HZ: u32 = 16_000;
/// How long a recording is remembered here once it is over.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// How long files are waited for.
const FINISH_PATIENCE: Duration = Duration::from_mins(10);

#[cfg(test)]
mod tests;
