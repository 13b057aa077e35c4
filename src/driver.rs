//! The shell: the only module where sockets, threads, the clock and the bridge meet.
//!
//! One task owns the bridge. It waits for a packet, a command, news of the media threads, a look-up or the bridge's own
//! deadline, gives it to the bridge, and does what the bridge answers. Nothing it does can wait: sends are tried, media commands
//! that find a full queue stay here in order.

use std::collections::VecDeque;
use std::future::pending;
use std::time::{Duration, Instant, SystemTime};

use api::archive::{self, StoreFailure, Stored};
use api::control;
use api::directory::Directory;
use api::event::{Event, EventType};
use api::events::EventLog;
use api::id::LegId;
use api::model::SipFailure;
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep_until;
use tracing::{info, warn};

use crate::ask::Asker;
use crate::bridge::{
    AskFault, Bridge, ChangeId, Clock, ConversionId, Input, Output, QuestionId, ResolveId,
};
use crate::media::command::Clip;
use crate::media::{self, Media, QueueFull};
use crate::net::{self, Collector, Net, Resolver};
use crate::recorder::Recorder;
use crate::recorder::order::Report;
use crate::shelf::Shelf;
use crate::sip::locate;

/// How often the clock readings are taken anew.
const CLOCK: Duration = Duration::from_mins(1);
/// An input that takes the bridge longer than this is worth a look.
const SLOW: Duration = Duration::from_millis(50);
/// Names of callers that are asked for at once.
const NAMES: usize = 64;

/// Everything the bridge talks to.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) bridge: Bridge,
    pub(crate) net: Net,
    pub(crate) packets: mpsc::Receiver<net::Event>,
    pub(crate) resolver: Resolver,
    /// Where copies of SIP messages go.
    pub(crate) collector: Option<Collector>,
    /// Questions to DNS at once; one more counts as not answered.
    pub(crate) questions: usize,
    pub(crate) media: Media,
    pub(crate) media_events: media::Events,
    pub(crate) asker: Asker,
    /// Who knows the names of callers.
    pub(crate) directory: Directory,
    pub(crate) commands: mpsc::Receiver<control::Command>,
    pub(crate) log: EventLog,
    pub(crate) store: archive::Desk,
    pub(crate) shelf: Shelf,
    pub(crate) recorder: Recorder,
    pub(crate) reports: mpsc::Receiver<Report>,
    /// Changes each time that the bridge shall drain.
    pub(crate) stop: watch::Receiver<u32>,
}

/// What the driver keeps beside its parts.
#[derive(Debug)]
struct Desk {
    /// Questions to DNS that are not answered yet.
    look_ups: JoinSet<(ResolveId, locate::Question, locate::Answer)>,
    /// As many as the bridge lets be open.
    questions: JoinSet<(QuestionId, Result<Bytes, AskFault>)>,
    /// Callers whose names are asked for; as many as the directory's queue takes.
    names: JoinSet<Option<(LegId, String)>>,
    /// Uploads that are converted; the bridge bounds them.
    uploads: JoinSet<(ConversionId, Result<Clip, String>)>,
    /// Media commands that found a full queue, in order.
    waiting: VecDeque<media::command::Command>,
    /// What the store has not answered yet; the bridge bounds them.
    stores: JoinSet<(ChangeId, Stored)>,
    meters: bool,
    drained: bool,
}

impl Driver {
    /// Runs until the bridge is drained.
    pub(crate) async fn run(mut self) {
        let mut desk = Desk {
            look_ups: JoinSet::new(),
            questions: JoinSet::new(),
            names: JoinSet::new(),
            uploads: JoinSet::new(),
            waiting: VecDeque::new(),
            stores: JoinSet::new(),
            meters: false,
            drained: false,
        };
        let mut watchers = self.log.level_readers();
        let mut clock = tokio::time::interval(CLOCK);
        loop {
            let deadline = self.work_off(&mut desk);
            if desk.drained {
                return;
            }
            let input = tokio::select! {
                Some(event) = self.packets.recv() => match self.net.handle_event(event) {
                    Some(net::Event::Packet(packet)) => Input::Packet(packet),
                    Some(net::Event::Failed(transport, peer)) => Input::TransmitFailed(transport, peer),
                    Some(net::Event::Refused(transport, refusal)) => Input::Refused(transport, refusal),
                    Some(net::Event::Closed((transport, peer, _), _)) => Input::Closed(transport, peer),
                    Some(net::Event::Connected(..)) | None => continue,
                },
                Ok(event) = self.media_events.recv() => Input::Media(event),
                Some(report) = self.reports.recv() => Input::Recorder(report),
                Some(command) = self.commands.recv() => Input::Command(command),
                Some(answered) = desk.look_ups.join_next() => match answered {
                    Ok((id, question, answer)) => Input::Resolved(id, question, answer),
                    Err(error) => { warn!(%error, "look-up task failed"); continue }
                },
                Some(told) = desk.questions.join_next() => match told {
                    Ok((id, answer)) => Input::Told(id, answer),
                    Err(error) => { warn!(%error, "question task failed"); continue }
                },
                Some(named) = desk.names.join_next() => match named {
                    Ok(Some((leg, name))) => Input::Named(leg, name),
                    Ok(None) => continue,
                    Err(error) => { warn!(%error, "a task that asked for a name failed"); continue }
                },
                Some(converted) = desk.uploads.join_next() => match converted {
                    Ok((upload, answer)) => Input::Converted(upload, answer),
                    Err(error) => { warn!(%error, "a task that converted a sound failed"); continue }
                },
                Some(stored) = desk.stores.join_next() => match stored {
                    Ok((change, answer)) => Input::Stored(change, answer),
                    Err(error) => { warn!(%error, "a task that waited for the store failed"); continue }
                },
                Ok(()) = watchers.changed() => {
                    desk.switch_meters(*watchers.borrow_and_update() > 0);
                    continue;
                }
                _ = clock.tick() => Input::Clock(read_clock()),
                Ok(()) = self.stop.changed() => {
                    info!("draining: no new calls; those that are up may end");
                    Input::Drain
                }
                () = until(deadline) => Input::Timeout,
                // Commands wait for the media threads: look again soon.
                () = until(Some(now() + Duration::from_millis(2))), if !desk.waiting.is_empty() => continue,
            };
            let began = now();
            self.bridge.handle_input(began, input);
            let took = now() - began;
            if took > SLOW {
                warn!(?took, "the bridge was slow to handle one input");
            }
        }
    }

    /// Does what the bridge says; gives the instant it wants to be woken at.
    fn work_off(&mut self, desk: &mut Desk) -> Option<Instant> {
        self.send_waiting(desk);
        loop {
            match self.bridge.poll_output() {
                Output::Transmit(transmit) => self.net.send(transmit),
                Output::Capture(packet) => {
                    if !self.collector.as_ref().is_some_and(|collector| collector.send(&packet)) {
                        self.bridge.note_capture_lost();
                    }
                }
                Output::Resolve { id, question } => self.ask_dns(desk, id, question),
                Output::Ask(question) => {
                    desk.questions.spawn(self.asker.clone().ask(*question));
                }
                Output::LookUp { leg, number } => self.ask_name(desk, leg, number),
                Output::Convert { id, file, sound } => {
                    desk.uploads.spawn(convert(self.shelf.clone(), id, (file, sound)));
                }
                Output::Discard(file) => self.shelf.clone().discard_later(file),
                Output::Media(command) => {
                    desk.waiting.push_back(command);
                    self.send_waiting(desk);
                }
                Output::Recorder(order) => self.recorder.order(order),
                Output::Store(id, change) => desk.keep(id, self.store.put(change)),
                Output::Record(record) => self.store.note(record),
                Output::Happened(happened) => tell_log(&self.log.push(happened)),
                Output::Levels(levels) => self.log.publish_levels(&levels),
                Output::Drained => desk.drained = true,
                Output::WaitUntil(at) => return at,
            }
        }
    }

    /// DNS may take its time: nobody waits for it here.
    fn ask_dns(&self, desk: &mut Desk, id: ResolveId, question: locate::Question) {
        let is_full = desk.look_ups.len() >= self.questions;
        let resolver = self.resolver.clone();
        desk.look_ups.spawn(async move {
            if is_full {
                warn!(
                    "too many questions to DNS at once: one is not asked; dns.questions allows more"
                );
                return (id, question, locate::Answer::Silence);
            }
            let answer = resolver.ask(&question).await;
            (id, question, answer)
        });
    }

    /// A caller who finds too many before it goes without a name.
    fn ask_name(&self, desk: &mut Desk, leg: LegId, number: String) {
        if desk.names.len() < NAMES {
            let directory = self.directory.clone();
            desk.names.spawn(async move { Some((leg, directory.name_of(number).await?)) });
        }
    }

    /// Media commands go out in order; a full queue is tried again, since none may be lost.
    fn send_waiting(&mut self, desk: &mut Desk) {
        while let Some(command) = desk.waiting.pop_front() {
            if let Err(QueueFull(command)) = self.media.try_send(command) {
                desk.waiting.push_front(*command);
                return;
            }
        }
    }
}

impl Desk {
    /// Waits for the store beside everything else.
    fn keep(&mut self, id: ChangeId, taken: Result<oneshot::Receiver<Stored>, StoreFailure>) {
        self.stores.spawn(async move {
            match taken {
                Ok(stored) => (id, stored.await.unwrap_or_else(|_| Err(StoreFailure::stopped()))),
                Err(failure) => (id, Err(failure)),
            }
        });
    }

    /// Levels are measured only while somebody watches.
    fn switch_meters(&mut self, on: bool) {
        if self.meters != on {
            self.meters = on;
            self.waiting.push_back(media::command::Command::Meters { on });
        }
    }
}

/// One line for each event, in the span of its leg; numbers and addresses of people stay out of it.
fn tell_log(event: &Event) {
    let told: Told = event.data.read().unwrap_or_default();
    let call_id = told.sip_call_id;
    let _span = event.leg.map(|leg| tracing::info_span!("leg", %leg, call_id).entered());
    if event.kind == EventType::RouteAskFailed {
        warn!(
            route = told.route,
            reason = told.reason,
            detail = told.detail,
            "an endpoint did not say where a call goes: its route's fallback is taken"
        );
    }
    info!(
        seq = event.seq,
        room = event.room.map(tracing::field::display),
        call = event.call.map(tracing::field::display),
        reason = told.left_reason.or(told.end_reason).or(told.reason),
        status = told.sip.as_ref().map(|sip| sip.status),
        why = told.sip.map(|sip| sip.reason),
        "{}",
        event.kind.as_str()
    );
}

/// What the log tells of an event beside what is on its envelope.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Told {
    sip_call_id: Option<String>,
    left_reason: Option<String>,
    end_reason: Option<String>,
    reason: Option<String>,
    sip: Option<SipFailure>,
    route: Option<String>,
    detail: Option<String>,
}

/// Decoding and writing take their time, and what somebody uploads may be anything: a decoder that panics says no more than
/// that it cannot be read.
async fn convert(
    shelf: Shelf,
    id: ConversionId,
    (file, sound): (String, Bytes),
) -> (ConversionId, Result<Clip, String>) {
    let converted = spawn_blocking(move || shelf.put(&file, &sound)).await;
    (id, converted.unwrap_or_else(|_| Err("the sound cannot be decoded".to_owned())))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// The one reader of the monotonic clock on the signalling side.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clock so that the core need not"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Both clocks at once.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell reads the clock so that the core need not"
)]
pub(crate) fn read_clock() -> Clock {
    let wall = Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH);
    Clock { instant: now(), wall }
}
