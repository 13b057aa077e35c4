//! Mail: invitations, alarms when a trunk is down, and word of recordings. One task, whose queue is bounded: a mail server that is slow,
//! full or gone is the affair of this task alone.
//!
//! ```text
//!  POST …/invitations ─▶ Mailroom ─┐
//!  EventLog ─▶ Reader ─▶ Alarms ───┴▶ Letter ─▶ Desk (kept until it is sent) ─▶ Queue ─▶ Server (SMTP)
//! ```
//! A mail is kept from when it is written until the server has taken it or it is given up, so a restart costs a repetition at most,
//! under the same Message-ID.

mod alarms;
mod calendar;
mod letter;
mod queue;
mod server;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api::archive::{Change, Desk, Document, DocumentKind};
use api::control::{Command, Control, ControlError};
use api::event::{Data, Event};
use api::events::{Cut, EventLog, Filter, Gone, Reader};
use api::id::RoomId;
use api::mail::{Mailroom, Order};
use api::model::Invitation;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lettre::message::Mailbox;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use self::alarms::{Alarm, Alarms, State};
use self::calendar::Meeting;
use self::letter::{Content, Letter, LetterId, Paragraph};
use self::queue::{Closed, Outcome, Queue, Verdict};
use self::server::Report;
pub(crate) use self::server::{Security, Server};

/// Writes mails and has them sent.
#[derive(Debug)]
pub(crate) struct PostOffice {
    pub(crate) orders: mpsc::Receiver<Order>,
    pub(crate) mailroom: Mailroom,
    pub(crate) log: EventLog,
    /// Events after this one are followed.
    pub(crate) since: u64,
    /// Knows which room has which name.
    pub(crate) control: Control,
    pub(crate) desk: Desk,
    pub(crate) server: Server,
    pub(crate) settings: PostSettings,
}

/// What mails say, and to whom.
#[derive(Clone, Debug)]
pub(crate) struct PostSettings {
    pub(crate) from: Mailbox,
    /// How to call, a way a line: `{room}` is the name of the room.
    pub(crate) dial_in: Vec<String>,
    /// Times are told as clocks show them there.
    pub(crate) time_zone: TimeZone,
    /// Who is told when a trunk is down.
    pub(crate) alerts_to: Vec<Mailbox>,
    /// Who is told that a recording is ready.
    pub(crate) recordings_to: Vec<Mailbox>,
    /// What the addresses of recordings begin with.
    pub(crate) page: String,
    /// Mails that may wait.
    pub(crate) queue: usize,
    pub(crate) give_up_after: Duration,
    /// How long a trunk has to be down.
    pub(crate) alert_after: Duration,
    /// The least time between two mails about one trunk.
    pub(crate) alert_interval: Duration,
    /// What the jitter is drawn from.
    pub(crate) seed: u64,
}

/// What of a trunk's event counts here.
#[derive(Debug, Deserialize)]
struct TrunkTold {
    name: String,
    #[serde(default)]
    refused: Option<u16>,
}

/// What of a recording's event counts here.
#[derive(Debug, Deserialize)]
struct RecordingTold {
    id: String,
    #[serde(default)]
    room: Option<RoomId>,
    duration_ms: u64,
    size_bytes: u64,
    /// Its path.
    content: String,
}

/// What an invitation says to each of those who are invited.
#[derive(Clone, Debug)]
struct Words {
    paragraphs: Vec<Paragraph>,
    /// The first way to call.
    location: String,
}

/// What the task works on.
#[derive(Debug)]
struct Work {
    queue: Queue,
    alarms: Alarms,
    /// Mails on their way, those of one connection.
    sending: JoinSet<Report>,
}

impl PostOffice {
    /// Works until the log is closed. What was not sent by then is after the next start.
    pub(crate) async fn run(mut self, kept: Vec<Document>) {
        let log = self.log.clone();
        let mut reader = open(&log, self.since);
        let mut work = self.take_up(kept);
        let closed = log.closed();
        tokio::pin!(closed);
        loop {
            self.send_due(&mut work).await;
            let wake = work.wake();
            tokio::select! {
                () = &mut closed => break,
                Some(order) = self.orders.recv() => self.invite(&mut work, order).await,
                Some(report) = work.sending.join_next() => match report {
                    Ok(report) => self.settle(&mut work, report),
                    Err(error) => {
                        warn!(%error, "a task that sent mail failed");
                        work.queue.handle_nothing();
                    }
                },
                event = next(&log, &mut reader) => match event {
                    Some(event) => self.handle_event(&mut work, &event).await,
                    None => break,
                },
                () = until(wake) => {}
            }
        }
        if let Ok(Some(Ok(report))) = timeout(GRACE, work.sending.join_next()).await {
            self.settle(&mut work, report);
        }
    }

    /// What was not sent before the last stop.
    fn take_up(&self, kept: Vec<Document>) -> Work {
        let settings = &self.settings;
        let mut queue = Queue::new(settings.queue, settings.give_up_after, settings.seed);
        for document in kept.into_iter().filter(|one| one.kind == DocumentKind::Letter) {
            match serde_json::from_str::<Letter>(&document.body) {
                Ok(letter) => queue.put(now(), letter),
                Err(error) => warn!(name = document.name, %error, "a mail cannot be read"),
            }
        }
        let alarms = Alarms::new(settings.alert_after, settings.alert_interval);
        Work { queue, alarms, sending: JoinSet::new() }
    }

    async fn send_due(&mut self, work: &mut Work) {
        let alarms = work.alarms.poll(now());
        if !alarms.is_empty() {
            self.tell_of_trunks(work, &alarms).await;
        }
        let letters = work.queue.poll(now());
        if !letters.is_empty() {
            work.sending.spawn(self.server.clone().send(letters));
        }
        self.mailroom.note_waiting(work.queue.len());
    }

    async fn handle_event(&mut self, work: &mut Work, event: &Event) {
        match event.kind.as_str() {
            kind @ ("trunk.up" | "trunk.down") => {
                if let Some(TrunkTold { name, refused }) = event.data.read() {
                    work.alarms.handle_change(now(), &name, kind == "trunk.up", refused);
                }
            }
            "recording.completed" => self.tell_of_recording(work, &event.data).await,
            _ => {}
        }
    }

    async fn invite(&mut self, work: &mut Work, order: Order) {
        let Order { room, invitation, reply } = order;
        if work.queue.space() < invitation.to.len() {
            let detail =
                "too many mails wait for the mail server; mail.queue allows more".to_owned();
            return reply.send(Err(ControlError::Busy { detail, retry_after_s: 60 }));
        }
        let made_at = now();
        let starts_at = invitation.starts_at.unwrap_or(made_at);
        let length = SignedDuration::from_mins(invitation.duration_min.into());
        let name = &room.room.name;
        let answer = Invitation {
            uid: format!("{}@{}", letter_id(made_at), self.settings.from.email.domain()),
            room: room.room.id,
            subject: invitation.subject.clone().unwrap_or_else(|| format!("Conference {name}")),
            to: invitation.to.clone(),
            starts_at,
            ends_at: starts_at.checked_add(length).unwrap_or(Timestamp::MAX),
        };
        let said = invitation.message.as_deref().unwrap_or_default();
        let words = Words {
            paragraphs: self.settings.invitation(&answer, name, (said, room.pin.as_deref())),
            location: self.settings.ways(name).into_iter().next().unwrap_or_default(),
        };
        let (first, settings) = (letter_id(made_at), &self.settings);
        let write = |(nth, to): (usize, &String)| {
            settings.letter_of_invitation((first.after(nth), made_at), to, (&answer, &words))
        };
        let letters: Vec<Letter> = answer.to.iter().enumerate().filter_map(write).collect();
        let detail = "the mails could not be stored; none is sent".to_owned();
        if letters.len() < answer.to.len() || !self.keep(&letters).await {
            return reply.send(Err(ControlError::Unstored { detail }));
        }
        info!(room = %answer.room, mails = letters.len(), "an invitation is to be sent");
        for letter in letters {
            work.queue.put(made_at, letter);
        }
        reply.send(Ok(answer));
    }

    async fn tell_of_trunks(&mut self, work: &mut Work, alarms: &[Alarm]) {
        let subject = subject_of(alarms);
        let paragraphs = alarms.iter().map(|alarm| self.settings.about_trunk(alarm)).collect();
        let content = Content { subject: &subject, paragraphs, calendar: None, is_automatic: true };
        let to = self.settings.alerts_to.clone();
        self.post(work, &to, &content).await;
    }

    async fn tell_of_recording(&mut self, work: &mut Work, data: &Data) {
        let Some(told) = data.read::<RecordingTold>() else { return };
        let room = match told.room {
            Some(id) => self.name_of(id).await,
            None => None,
        };
        let subject = match &room {
            Some(room) => format!("Recording of {room} is ready"),
            None => "A recording is ready".to_owned(),
        };
        let paragraphs = self.settings.about_recording(&told, room);
        let content = Content { subject: &subject, paragraphs, calendar: None, is_automatic: true };
        let to = self.settings.recordings_to.clone();
        self.post(work, &to, &content).await;
    }

    async fn name_of(&self, room: RoomId) -> Option<String> {
        let room = room.to_string();
        let found = self.control.ask(|reply| Command::Room { room, reply }).await;
        found.ok().map(|room| room.name)
    }

    /// Sends a mail that nobody waits for. What does not fit into the queue is lost; what cannot be stored is sent all the same.
    async fn post(&mut self, work: &mut Work, to: &[Mailbox], content: &Content<'_>) {
        for to in to {
            let made_at = now();
            let id = letter_id(made_at);
            let letter = Letter::write(id, made_at, (&self.settings.from, to), content);
            match letter {
                Ok(letter) if work.queue.space() > 0 => {
                    if !self.keep(std::slice::from_ref(&letter)).await {
                        warn!(%id, "a mail is not stored: it is lost if the bridge stops");
                    }
                    work.queue.put(made_at, letter);
                }
                Ok(_) => {
                    warn!(
                        "too many mails wait for the mail server: one is not sent; mail.queue allows more"
                    );
                    self.mailroom.note("lost");
                }
                Err(error) => warn!(%error, "a mail cannot be written"),
            }
        }
    }

    /// Has them stored; all or none.
    async fn keep(&self, letters: &[Letter]) -> bool {
        let put = |letter: &Letter| {
            self.desk.put(Change::Put(Document {
                kind: DocumentKind::Letter,
                name: letter.id.to_string(),
                revision: 0,
                body: serde_json::to_string(letter).unwrap_or_default(),
            }))
        };
        let taken: Vec<_> = letters.iter().map(put).collect();
        let mut are_stored = true;
        for taken in taken {
            are_stored &= match taken {
                Ok(stored) => matches!(stored.await, Ok(Ok(()))),
                Err(_) => false,
            };
        }
        if !are_stored {
            for letter in letters {
                self.forget(letter.id);
            }
        }
        are_stored
    }

    /// Nobody waits for it: what stays is sent once more after a restart.
    fn forget(&self, id: LetterId) {
        let removed = self.desk.put(Change::Remove(DocumentKind::Letter, id.to_string()));
        if let Err(error) = removed {
            warn!(%id, %error, "a mail that is over is still stored");
        }
    }

    fn settle(&self, work: &mut Work, report: Report) {
        let Report { done, closed } = report;
        if !done.is_empty() {
            work.queue.handle_open();
        }
        for (id, outcome) in done {
            let verdict = work.queue.handle_outcome(now(), id, &outcome);
            self.note(id, verdict, &outcome);
        }
        let Some((why, said)) = closed else { return };
        let (pause, given_up) = work.queue.handle_closed(now(), why);
        let pause_s = pause.as_secs();
        match why {
            Closed::Unreachable => warn!(said, pause_s, "the mail server takes nothing"),
            Closed::Unauthorised => {
                warn!(said, pause_s, "the mail server does not take mail.user and mail.password");
            }
        }
        self.mailroom.note("retried");
        for id in given_up {
            self.note(id, Verdict::GivenUp, &Outcome::Later(said.clone()));
        }
    }

    fn note(&self, id: LetterId, verdict: Verdict, outcome: &Outcome) {
        let said = match outcome {
            Outcome::Sent => "",
            Outcome::Later(said) | Outcome::Refused(said) => said,
        };
        match verdict {
            Verdict::Sent => {
                info!(%id, "a mail was sent");
                self.mailroom.note("sent");
                self.forget(id);
            }
            Verdict::Retried => {
                info!(%id, said, "a mail was not taken yet");
                self.mailroom.note("retried");
            }
            Verdict::GivenUp => {
                warn!(%id, said, "a mail is given up");
                self.mailroom.note("given_up");
                self.forget(id);
            }
        }
    }
}

impl Work {
    fn wake(&self) -> Option<Timestamp> {
        [self.queue.wake(), self.alarms.wake()].into_iter().flatten().min()
    }
}

impl PostSettings {
    /// What an invitation says.
    fn invitation(
        &self,
        invitation: &Invitation,
        room: &str,
        (said, pin): (&str, Option<&str>),
    ) -> Vec<Paragraph> {
        let mut rows = vec![
            ("What", invitation.subject.clone()),
            ("When", self.stretch(invitation.starts_at, invitation.ends_at)),
            ("Call", self.ways(room).join("\n")),
        ];
        rows.extend(pin.map(|pin| ("PIN", format!("{pin}, then #"))));
        let greeting = "You are invited to a conference.".to_owned();
        let said = Some(said.to_owned()).filter(|said| !said.trim().is_empty());
        let mut paragraphs: Vec<_> = said.map(Paragraph::Text).into_iter().collect();
        paragraphs.extend([Paragraph::Text(greeting), Paragraph::Table(rows)]);
        paragraphs
    }

    fn letter_of_invitation(
        &self,
        (id, made_at): (LetterId, Timestamp),
        to: &str,
        (invitation, words): (&Invitation, &Words),
    ) -> Option<Letter> {
        let to: Mailbox = to.parse().ok()?;
        let mut content = Content {
            subject: &invitation.subject,
            paragraphs: words.paragraphs.clone(),
            calendar: None,
            is_automatic: false,
        };
        let (description, attendee) = (content.plain(), to.email.to_string());
        let meeting = Meeting {
            uid: &invitation.uid,
            made_at,
            starts_at: invitation.starts_at,
            ends_at: invitation.ends_at,
            summary: &invitation.subject,
            description: &description,
            location: &words.location,
            organizer: self.from.email.as_ref(),
            attendee: &attendee,
        };
        content.calendar = Some(meeting.print());
        Letter::write(id, made_at, (&self.from, &to), &content).ok()
    }

    /// How to call a room.
    fn ways(&self, room: &str) -> Vec<String> {
        self.dial_in.iter().map(|way| way.replace("{room}", room)).collect()
    }

    fn about_trunk(&self, alarm: &Alarm) -> Paragraph {
        let state = match alarm.state {
            State::Down => "down: calls cannot go through it",
            State::Up => "up again",
            State::Unstable => "unstable: it comes and goes, and is up now",
        };
        let mut rows = vec![
            ("Trunk", alarm.trunk.clone()),
            ("State", state.to_owned()),
            ("Since", self.time(alarm.since)),
        ];
        if alarm.changes > 1 {
            rows.push(("Changes", format!("{} since the last mail about it", alarm.changes)));
        }
        let refused = alarm.refused.filter(|_| alarm.state == State::Down);
        rows.extend(refused.map(|status| ("Registration", format!("refused with {status}"))));
        Paragraph::Table(rows)
    }

    fn about_recording(&self, told: &RecordingTold, room: Option<String>) -> Vec<Paragraph> {
        let seconds = told.duration_ms / 1000;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let tenths = told.size_bytes / 100_000;
        let mut rows = vec![("Recording", told.id.clone())];
        rows.extend(room.map(|room| ("Room", room)));
        rows.push(("Length", format!("{hours}:{minutes:02}:{seconds:02}")));
        rows.push(("Size", format!("{}.{} MB", tenths / 10, tenths % 10)));
        rows.push(("Where", format!("{}{}", self.page.trim_end_matches('/'), told.content)));
        vec![Paragraph::Table(rows)]
    }

    fn time(&self, at: Timestamp) -> String {
        at.to_zoned(self.time_zone.clone()).strftime("%A, %-d %B %Y, %H:%M (%Z)").to_string()
    }

    fn stretch(&self, from: Timestamp, to: Timestamp) -> String {
        let (from, to) =
            (from.to_zoned(self.time_zone.clone()), to.to_zoned(self.time_zone.clone()));
        let (start, end) = (from.strftime("%A, %-d %B %Y, %H:%M"), to.strftime("%H:%M (%Z)"));
        if from.date() == to.date() {
            return format!("{start} to {end}");
        }
        format!("{start} to {}", to.strftime("%A, %-d %B %Y, %H:%M (%Z)"))
    }
}

fn subject_of(alarms: &[Alarm]) -> String {
    match alarms {
        [Alarm { trunk, state: State::Down, .. }] => format!("Trunk {trunk} is down"),
        [Alarm { trunk, state: State::Up, .. }] => format!("Trunk {trunk} is up again"),
        [Alarm { trunk, state: State::Unstable, .. }] => format!("Trunk {trunk} is unstable"),
        several => {
            let down = several.iter().filter(|alarm| alarm.state == State::Down).count();
            if down == several.len() {
                return format!("{down} trunks are down");
            }
            format!("News of {} trunks, {down} of them down", several.len())
        }
    }
}

fn letter_id(now: Timestamp) -> LetterId {
    let mut random = [0; 16];
    // Without randomness ids are only as unique as the clock, which is good enough to go on.
    let random = getrandom::fill(&mut random).map_or(0, |()| u128::from_ne_bytes(random));
    LetterId::new(u64::try_from(now.as_millisecond()).unwrap_or(0), random)
}

/// The next event; none when the log is closed.
async fn next(log: &EventLog, reader: &mut Reader) -> Option<Arc<Event>> {
    loop {
        match reader.next().await {
            Ok(event) => return Some(event),
            Err(Cut::Closed { .. }) => return None,
            Err(Cut::Slow { last } | Cut::Lost { last }) => *reader = open(log, last),
            Err(Cut::Unread { .. }) => sleep(PAUSE).await,
        }
    }
}

/// A reader from after this event on, or from the oldest that is kept.
fn open(log: &EventLog, after: u64) -> Reader {
    let mut place = Some(after);
    loop {
        match log.reader(place, Filter::default()) {
            Ok(reader) => return reader,
            Err(Gone::TooOld { oldest, .. }) => place = Some(oldest - 1),
            Err(Gone::Unknown { .. }) => place = None,
        }
    }
}

async fn until(at: Option<Timestamp>) {
    let Some(at) = at else { return pending().await };
    let left = Duration::try_from(at.duration_since(now())).unwrap_or_default();
    sleep(left.min(LONGEST_SLEEP)).await; // the wall clock may be set meanwhile
}

fn now() -> Timestamp {
    Timestamp::now()
}

/// Between two tries to read the log.
const PAUSE: Duration = Duration::from_secs(1);
/// How long mails under way may take once we stop.
const GRACE: Duration = Duration::from_secs(3);
const LONGEST_SLEEP: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests;
