//! Events on their way to webhooks: a task for each webhook, so that none waits for another, and one that starts and stops them.
//!
//! ```text
//!  EventLog ─▶ Reader ─▶ Courier ─▶ POST, signed ─▶ endpoint
//!                          │  ▲ └─▶ Desk: deliveries and cursor
//!  /v1/webhooks ─▶ Office ─┴──┘ settings, errands
//! ```
//! What is delivered, and when, is decided by the [`courier`]; here are the sockets, the clock and the store. An event that a webhook
//! cannot take yet waits in the log.

mod courier;

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use api::archive::{Desk, Progress, Read, Unfinished};
use api::control::{Command, Control, ControlError, Reply};
use api::event::{Event, EventType};
use api::events::{Cut, EventLog, Filter, Gone, Reader};
use api::id::{DeliveryId, RoomId, WebhookId};
use api::model::Delivery;
use api::webhooks::{KeptWebhook, Webhooks};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use self::courier::{Answered, Courier, Errand, Input, Output, Settings};
use crate::bridge::AskUrl;
use crate::post::{Client, Fault, Post};
use crate::signature::signed;

/// Starts and stops those who deliver.
#[derive(Debug)]
pub(crate) struct Office {
    pub(crate) webhooks: Webhooks,
    pub(crate) errands: mpsc::Receiver<api::webhooks::Errand>,
    pub(crate) log: EventLog,
    /// Knows which room has which name.
    pub(crate) control: Control,
    pub(crate) desk: Desk,
    pub(crate) client: Client,
    pub(crate) settings: OfficeSettings,
}

/// How webhooks are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OfficeSettings {
    /// How long an attempt may take.
    pub(crate) timeout: Duration,
    /// Attempts at once for each webhook.
    pub(crate) at_once: usize,
    /// A webhook that has taken nothing for so long is disabled.
    pub(crate) disable_after: Duration,
    /// What the jitter is drawn from.
    pub(crate) seed: u64,
}

/// The way to the task of a webhook.
#[derive(Debug)]
struct Route {
    errands: mpsc::Sender<api::webhooks::Errand>,
    webhook: watch::Sender<Arc<KeptWebhook>>,
}

impl Office {
    /// Works until the log is closed. What was not delivered by then is after the next start.
    pub(crate) async fn run(mut self) {
        let (mut changes, log) = (self.webhooks.changes(), self.log.clone());
        let (mut routes, mut tasks) = (BTreeMap::new(), JoinSet::new());
        let mut working = BTreeSet::new();
        let closed = log.closed();
        tokio::pin!(closed);
        loop {
            self.see_to(&mut routes, &mut working, &mut tasks);
            tokio::select! {
                () = &mut closed => break,
                Ok(()) = changes.changed() => {}
                Some(ended) = tasks.join_next() => match ended {
                    Ok(webhook) => drop(working.remove(&webhook)),
                    Err(error) => warn!(%error, "the task of a webhook failed"),
                },
                Some(errand) = self.errands.recv() => pass_on(&routes, errand),
            }
        }
        routes.clear();
        while tasks.join_next().await.is_some() {}
    }

    /// Each enabled webhook has one task, which knows of its last change.
    fn see_to(
        &self,
        routes: &mut BTreeMap<WebhookId, Route>,
        working: &mut BTreeSet<WebhookId>,
        tasks: &mut JoinSet<WebhookId>,
    ) {
        let enabled: BTreeMap<_, _> = self
            .webhooks
            .all()
            .into_iter()
            .filter(|webhook| webhook.enabled)
            .map(|webhook| (webhook.id, webhook))
            .collect();
        routes.retain(|id, _| enabled.contains_key(id) && working.contains(id));
        for (id, webhook) in enabled {
            if let Some(route) = routes.get(&id) {
                route.webhook.send_if_modified(|known| {
                    let is_news = known.revision != webhook.revision;
                    *known = webhook;
                    is_news
                });
            } else if working.insert(id) {
                let (errands, taken) = mpsc::channel(ERRANDS);
                let (told, known) = watch::channel(webhook);
                routes.insert(id, Route { errands, webhook: told });
                tasks.spawn(self.round(known, taken).run());
            }
            // One that is about to end is started again once it has.
        }
    }

    fn round(
        &self,
        webhook: watch::Receiver<Arc<KeptWebhook>>,
        errands: mpsc::Receiver<api::webhooks::Errand>,
    ) -> Round {
        Round {
            webhook,
            errands,
            webhooks: self.webhooks.clone(),
            log: self.log.clone(),
            control: self.control.clone(),
            desk: self.desk.clone(),
            client: self.client.clone(),
            settings: self.settings,
            rooms: BTreeMap::new(),
            asked: Vec::new(),
        }
    }
}

fn pass_on(routes: &BTreeMap<WebhookId, Route>, errand: api::webhooks::Errand) {
    let Some(route) = routes.get(&errand.webhook) else {
        let detail = "the webhook is disabled: enable it first".to_owned();
        return errand.reply.send(Err(ControlError::Conflict { code: "webhook_disabled", detail }));
    };
    if let Err(error) = route.errands.try_send(errand) {
        let detail = "too many deliveries were asked for; try again".to_owned();
        error.into_inner().reply.send(Err(ControlError::Busy { detail, retry_after_s: 1 }));
    }
}

/// The task of one webhook.
struct Round {
    webhook: watch::Receiver<Arc<KeptWebhook>>,
    errands: mpsc::Receiver<api::webhooks::Errand>,
    webhooks: Webhooks,
    log: EventLog,
    control: Control,
    desk: Desk,
    client: Client,
    settings: OfficeSettings,
    /// Names of the rooms that were asked for.
    rooms: BTreeMap<RoomId, String>,
    /// Who waits until what was asked for is stored.
    asked: Vec<(DeliveryId, Reply<Delivery>)>,
}

/// What is under way.
#[derive(Default)]
struct UnderWay {
    attempts: JoinSet<(DeliveryId, Answered)>,
    /// The deliveries that are being stored, and what the store will say of them.
    saving: Option<(Vec<Delivery>, oneshot::Receiver<bool>)>,
    saves: JoinSet<()>,
}

impl Round {
    async fn run(mut self) -> WebhookId {
        let webhook = Arc::clone(&self.webhook.borrow());
        let settings = Settings {
            at_once: self.settings.at_once,
            disable_after: self.settings.disable_after,
            seed: self.settings.seed,
        };
        let Some(unfinished) = self.unfinished(webhook.id).await else { return webhook.id };
        let mut courier = Courier::new((webhook.id, webhook.since), settings, unfinished, now());
        let mut reader = self.open(courier.place());
        let mut under_way = UnderWay::default();
        courier.handle_input(now(), Input::Timeout);
        let mut ends_at = None;
        loop {
            let wake = self.work_off(&mut courier, &mut under_way).await;
            if courier.is_done() || ends_at.is_some_and(|at| at <= Instant::now()) {
                self.webhooks.note_backlog(webhook.id, 0);
                return webhook.id;
            }
            let input = tokio::select! {
                errand = self.errands.recv(), if ends_at.is_none() => match errand {
                    Some(errand) => {
                        self.asked.push((errand.delivery.delivery.id, errand.reply));
                        Input::Errand(errand.delivery)
                    }
                    None => Input::Stop,
                },
                Some(answered) = under_way.attempts.join_next() => match answered {
                    Ok((id, answered)) => Input::Answered(id, answered),
                    Err(error) => { warn!(%error, "an attempt failed"); continue }
                },
                is_stored = stored(&mut under_way.saving) => {
                    self.answer(under_way.saving.take(), is_stored);
                    Input::Saved(is_stored)
                }
                event = next(&self.log, &mut reader, &self.webhooks), if courier.wants_more() => match event {
                    Some(event) if self.wants(&event).await => Input::Event(event),
                    Some(event) => Input::Passed(event.seq),
                    None => Input::Stop,
                },
                () = until(wake) => Input::Timeout,
                () = sleep_until(ends_at.unwrap_or_else(Instant::now)), if ends_at.is_some() => Input::Timeout,
            };
            if matches!(input, Input::Stop) {
                ends_at.get_or_insert_with(|| Instant::now() + GRACE);
            }
            courier.handle_input(now(), input);
        }
    }

    /// What there is to go on with; none once nobody wants to know.
    async fn unfinished(&self, webhook: WebhookId) -> Option<Unfinished> {
        loop {
            match self.desk.read(|reply| Read::Unfinished(webhook, reply)).await {
                Ok(unfinished) => return Some(unfinished),
                Err(ControlError::Stopping) => return None,
                Err(error) => warn!(%error, "a webhook waits for the store"),
            }
            sleep(PAUSE).await;
            if self.errands.is_closed() {
                return None;
            }
        }
    }

    fn open(&self, after: u64) -> Reader {
        open(&self.log, after, &self.webhooks)
    }

    /// Does what the courier says; gives the time it wants to be woken at.
    async fn work_off(
        &mut self,
        courier: &mut Courier,
        under_way: &mut UnderWay,
    ) -> Option<Timestamp> {
        loop {
            match courier.poll_output() {
                Output::Attempt(errand) => {
                    let webhook = Arc::clone(&self.webhook.borrow());
                    let (client, patience) = (self.client.clone(), self.settings.timeout);
                    under_way.attempts.spawn(attempt(client, webhook, *errand, patience));
                }
                Output::Save(progress) => self.save(progress, under_way),
                Output::Disable(reason) => {
                    let id = self.webhook.borrow().id;
                    warn!(webhook = %id, ?reason, "a webhook is disabled");
                    if let Err(error) = self.webhooks.disable(&self.desk, id, reason).await {
                        warn!(webhook = %id, %error, "a webhook cannot be disabled");
                    }
                }
                Output::Count(outcome) => self.webhooks.note_attempt(outcome),
                Output::WaitUntil(wake) => {
                    let id = self.webhook.borrow().id;
                    self.webhooks.note_backlog(id, courier.backlog());
                    return wake;
                }
            }
        }
    }

    fn save(&self, progress: Progress, under_way: &mut UnderWay) {
        let deliveries = progress.deliveries.iter().map(|kept| kept.delivery.clone()).collect();
        let (told, done) = oneshot::channel();
        let taken = self.desk.advance(progress);
        while under_way.saves.try_join_next().is_some() {}
        under_way.saves.spawn(async move {
            let is_stored = match taken {
                Ok(stored) => matches!(stored.await, Ok(Ok(()))),
                Err(_) => false,
            };
            told.send(is_stored).ok(); // whoever waited may have stopped
        });
        under_way.saving = Some((deliveries, done));
    }

    /// Tells those who asked for one of these deliveries.
    fn answer(&mut self, saved: Option<(Vec<Delivery>, oneshot::Receiver<bool>)>, is_stored: bool) {
        let Some((deliveries, _)) = saved else { return };
        for delivery in deliveries {
            let Some(at) = self.asked.iter().position(|(id, _)| *id == delivery.id) else {
                continue;
            };
            let (_, reply) = self.asked.swap_remove(at);
            let detail =
                "it could not be stored; it is delivered all the same if it can be".to_owned();
            let answer =
                if is_stored { Ok(delivery) } else { Err(ControlError::Unstored { detail }) };
            reply.send(answer);
        }
    }

    /// Whether the webhook wants this event: by its type, and its room by id or by name.
    async fn wants(&mut self, event: &Event) -> bool {
        let webhook = Arc::clone(&self.webhook.borrow());
        if !webhook.wants(event.kind) {
            return false;
        }
        if webhook.rooms.is_empty() {
            return true;
        }
        for room in [event.room, event.moved_out_of].into_iter().flatten() {
            let name = self.name_of(room).await;
            let is_it =
                |wanted: &String| Some(wanted) == name.as_ref() || *wanted == room.to_string();
            if webhook.rooms.iter().any(is_it) {
                return true;
            }
        }
        false
    }

    /// What a room is or was called: the bridge knows those of this run, the log those of earlier ones.
    async fn name_of(&mut self, room: RoomId) -> Option<String> {
        if let Some(known) = self.rooms.get(&room) {
            return Some(known.clone());
        }
        let asked = room.to_string();
        let name = match self.control.ask(|reply| Command::Room { room: asked, reply }).await {
            Ok(room) => room.name,
            Err(_) => self.made_as(room).await?,
        };
        if self.rooms.len() >= ROOMS {
            self.rooms.pop_first(); // the oldest
        }
        self.rooms.insert(room, name.clone());
        Some(name)
    }

    async fn made_as(&self, room: RoomId) -> Option<String> {
        #[derive(Deserialize)]
        struct Made {
            name: String,
        }

        let kinds = vec![EventType::RoomCreated];
        let filter = Filter { rooms: vec![room], kinds, ..Filter::default() };
        let page = self.log.page(None, 1, &filter).await.ok()?;
        page.items.first()?.data.read::<Made>().map(|made| made.name)
    }
}

/// The next event; none when the log is closed.
async fn next(log: &EventLog, reader: &mut Reader, webhooks: &Webhooks) -> Option<Arc<Event>> {
    loop {
        match reader.next().await {
            Ok(event) => return Some(event),
            Err(Cut::Closed { .. }) => return None,
            Err(Cut::Slow { last } | Cut::Lost { last }) => *reader = open(log, last, webhooks),
            Err(Cut::Unread { .. }) => sleep(PAUSE).await,
        }
    }
}

/// A reader from after this event on, or from the oldest that is kept.
fn open(log: &EventLog, after: u64, webhooks: &Webhooks) -> Reader {
    let mut place = Some(after);
    loop {
        match log.reader(place, Filter::default()) {
            Ok(reader) => return reader,
            Err(Gone::TooOld { asked, oldest }) => {
                warn!(asked, oldest, "a webhook is so far behind that events for it are lost");
                webhooks.note_lost();
                place = Some(oldest - 1);
            }
            Err(Gone::Unknown { .. }) => place = None,
        }
    }
}

/// One attempt, within its time.
async fn attempt(
    client: Client,
    webhook: Arc<KeptWebhook>,
    errand: Errand,
    patience: Duration,
) -> (DeliveryId, Answered) {
    let (began, since) = (now(), Instant::now());
    let Errand { delivery, event, payload } = errand;
    let body = Bytes::copy_from_slice(payload.as_bytes());
    let headers = signed(&webhook.keys(began), (&event.to_string(), began.as_second()), &body);
    let answer = match AskUrl::parse(&webhook.url) {
        Some(url) => {
            let post = Post { url, headers, body, answer_size: SNIPPET };
            timeout(patience, client.post(post)).await
        }
        None => Ok(Err(Fault::HostNotFound)),
    };
    let (status, response) = match answer {
        Ok(Ok(answer)) => (Ok(answer.status), String::from_utf8_lossy(&answer.body).into_owned()),
        Ok(Err(fault)) => (Err(code(&fault)), fault.to_string()),
        Err(_) => (Err("timeout"), "no answer in time".to_owned()),
    };
    if !matches!(status, Ok(200..=299)) {
        info!(webhook = %webhook.id, %delivery, ?status, "an event was not taken by a webhook");
    }
    (delivery, Answered { began, took: since.elapsed(), status, response })
}

fn code(fault: &Fault) -> &'static str {
    match fault {
        Fault::HostNotFound => "host_not_found",
        Fault::NotAllowed(_) => "not_allowed",
        Fault::Unreachable(_) => "unreachable",
        Fault::Tls(_) => "tls",
        Fault::Broken(_) => "broken",
    }
}

async fn stored(saving: &mut Option<(Vec<Delivery>, oneshot::Receiver<bool>)>) -> bool {
    match saving {
        Some((_, done)) => done.await.unwrap_or(false),
        None => pending().await,
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

/// Deliveries that are asked for and not yet taken by the task.
const ERRANDS: usize = 16;
/// Octets of an answer that are kept.
const SNIPPET: usize = 1000;
/// Rooms whose names are remembered.
const ROOMS: usize = 10_000;
/// Between two tries to reach the store.
const PAUSE: Duration = Duration::from_secs(1);
/// How long attempts under way may take once we stop; those that are cut off are made again after the next start.
const GRACE: Duration = Duration::from_secs(3);
const LONGEST_SLEEP: Duration = Duration::from_mins(1);
