//! Webhooks: the table of who is told of events, and what is asked of those who tell. A change is stored first, and in force
//! once it is. How events are delivered is the affair of the root crate.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::engine::general_purpose::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::archive::{Change, Desk, Document, DocumentKind, KeptDelivery};
use crate::control::{ControlError, Reply};
use crate::event::EventType;
use crate::id::WebhookId;
use crate::keeping::Keeping;
use crate::model::{Delivery, DisabledReason, Webhook};

/// The webhooks there are; cheap to clone, and the same for all clones.
#[derive(Clone, Debug)]
pub struct Webhooks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Mutex<BTreeMap<WebhookId, Arc<KeptWebhook>>>,
    keeping: Keeping,
    changes: watch::Sender<u64>,
    errands: mpsc::Sender<Errand>,
    figures: Mutex<Figures>,
}

/// A webhook as it is kept.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct KeptWebhook {
    /// Never reused.
    pub id: WebhookId,
    /// Where events are sent by POST.
    pub url: String,
    /// For people.
    pub description: String,
    /// Patterns of types; none: all.
    pub events: Vec<String>,
    /// Ids or names; none: all events.
    pub rooms: Vec<String>,
    /// Whether it is told.
    pub enabled: bool,
    /// Why the bridge has disabled it.
    pub disabled_reason: Option<DisabledReason>,
    /// What deliveries are signed with, the newest first; two at most.
    pub secrets: Vec<KeptSecret>,
    /// It is told of events after this one.
    pub since: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// Rises with each change.
    #[serde(skip)]
    pub revision: u64,
}

/// A secret as it is kept.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeptSecret {
    /// `whsec_…`.
    pub secret: String,
    /// Until when it is used beside the newest.
    pub until: Option<Timestamp>,
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeptSecret(until {:?})", self.until)
    }
}

/// Something to be delivered that somebody asks for.
#[derive(Debug)]
pub struct Errand {
    /// To whom.
    pub webhook: WebhookId,
    /// What, with its payload.
    pub delivery: Box<KeptDelivery>,
    /// Told once it is stored that it is due.
    pub reply: Reply<Delivery>,
}

/// What became of attempts, and what waits.
#[derive(Debug, Default)]
struct Figures {
    attempts: BTreeMap<&'static str, u64>,
    backlog: BTreeMap<WebhookId, usize>,
    lost: u64,
}

/// An empty table, and what is asked of those who deliver.
pub fn webhooks() -> (Webhooks, mpsc::Receiver<Errand>) {
    let (errands, asked) = mpsc::channel(ERRANDS);
    let shared = Shared {
        table: Mutex::default(),
        keeping: Keeping::default(),
        changes: watch::Sender::new(0),
        errands,
        figures: Mutex::default(),
    };
    (Webhooks(Arc::new(shared)), asked)
}

impl Webhooks {
    /// Takes up those that are kept; what cannot be read is not told.
    pub fn load(&self, documents: &[Document]) {
        let mut table = self.table();
        for document in documents.iter().filter(|one| one.kind == DocumentKind::Webhook) {
            match serde_json::from_str::<KeptWebhook>(&document.body) {
                Ok(kept) => {
                    let kept = KeptWebhook { revision: document.revision, ..kept };
                    table.insert(kept.id, Arc::new(kept));
                }
                Err(error) => {
                    tracing::error!(name = document.name, %error, "a webhook cannot be read");
                }
            }
        }
    }

    /// All there are, oldest first.
    pub fn all(&self) -> Vec<Arc<KeptWebhook>> {
        self.table().values().cloned().collect()
    }

    /// Changes whenever one of them does.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Notes how an attempt went: `delivered`, `retried`, `given_up` or `gone`.
    pub fn note_attempt(&self, outcome: &'static str) {
        *self.figures().attempts.entry(outcome).or_default() += 1;
    }

    /// Notes how many deliveries wait for this webhook.
    pub fn note_backlog(&self, webhook: WebhookId, waiting: usize) {
        self.figures().backlog.insert(webhook, waiting);
    }

    /// Notes that a webhook was so far behind that events it wanted are no longer kept.
    pub fn note_lost(&self) {
        self.figures().lost += 1;
    }

    /// Disables one that cannot be told.
    ///
    /// # Errors
    /// It is not there, or cannot be stored.
    pub async fn disable(
        &self,
        desk: &Desk,
        id: WebhookId,
        reason: DisabledReason,
    ) -> Result<(), ControlError> {
        let kept = self.read(id)?;
        let revision = kept.next_revision();
        let disabled_reason = Some(reason);
        let kept = KeptWebhook { enabled: false, disabled_reason, revision, ..kept };
        self.put(desk, kept).await.map(drop)
    }

    pub(crate) fn read(&self, id: WebhookId) -> Result<KeptWebhook, ControlError> {
        let found = self.table().get(&id).map(|kept| (**kept).clone());
        found.ok_or_else(|| ControlError::NotFound { what: "webhook", name: id.to_string() })
    }

    /// Has a webhook stored and takes it up.
    pub(crate) async fn put(
        &self,
        desk: &Desk,
        kept: KeptWebhook,
    ) -> Result<Webhook, ControlError> {
        let view = kept.view();
        let document = Document {
            kind: DocumentKind::Webhook,
            name: kept.id.to_string(),
            revision: kept.revision,
            body: serde_json::to_string(&kept).unwrap_or_default(),
        };
        let webhooks = self.clone();
        let then = move || {
            webhooks.table().insert(kept.id, Arc::new(kept));
            webhooks.0.changes.send_modify(|changes| *changes += 1);
        };
        self.0.keeping.change(desk, Change::Put(document), then).await?;
        Ok(view)
    }

    /// Has a webhook removed from the store, with its deliveries, and tells it no more.
    pub(crate) async fn remove(&self, desk: &Desk, id: WebhookId) -> Result<(), ControlError> {
        let webhooks = self.clone();
        let then = move || {
            webhooks.table().remove(&id);
            webhooks.figures().backlog.remove(&id);
            webhooks.0.changes.send_modify(|changes| *changes += 1);
        };
        let change = Change::Remove(DocumentKind::Webhook, id.to_string());
        self.0.keeping.change(desk, change, then).await
    }

    /// Has something delivered; the answer is given once it is stored that it is due.
    pub(crate) async fn deliver(&self, delivery: KeptDelivery) -> Result<Delivery, ControlError> {
        let (reply, answer) = Reply::channel();
        let webhook = delivery.delivery.webhook;
        let errand = Errand { webhook, delivery: Box::new(delivery), reply };
        self.0.errands.try_send(errand).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy {
                detail: format!("{ERRANDS} deliveries that were asked for wait; try again"),
                retry_after_s: 1,
            },
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        answer.await.unwrap_or(Err(ControlError::Stopping))
    }

    /// What `/metrics` shows of them.
    pub(crate) fn metrics(&self) -> String {
        let figures = self.figures();
        let mut page = String::new();
        let mut line = |text: &str| {
            page.push_str(text);
            page.push('\n');
        };
        let name = "plenary_webhook_attempts_total";
        line(&format!("# HELP {name} Attempts to deliver an event, by outcome."));
        line(&format!("# TYPE {name} counter"));
        for outcome in OUTCOMES {
            let count = figures.attempts.get(outcome).copied().unwrap_or_default();
            line(&format!("{name}{{outcome=\"{outcome}\"}} {count}"));
        }
        let name = "plenary_webhook_backlog";
        line(&format!("# HELP {name} Deliveries that wait, those that are tried again included."));
        line(&format!("# TYPE {name} gauge"));
        line(&format!("{name} {}", figures.backlog.values().sum::<usize>()));
        let name = "plenary_webhook_gaps_total";
        line(&format!("# HELP {name} Times a webhook was behind what is kept of the log."));
        line(&format!("# TYPE {name} counter"));
        line(&format!("{name} {}", figures.lost));
        page
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<WebhookId, Arc<KeptWebhook>>> {
        // Nothing panics while it is held; if something did, the table is whole all the same.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.0.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl KeptWebhook {
    /// Whether it wants events of this type.
    pub fn wants(&self, kind: EventType) -> bool {
        self.events.is_empty() || self.events.iter().any(|pattern| kind.is_like(pattern))
    }

    /// The keys to sign with now, the newest first.
    pub fn keys(&self, now: Timestamp) -> Vec<Vec<u8>> {
        let is_good = |secret: &&KeptSecret| secret.until.is_none_or(|until| now < until);
        let good = self.secrets.iter().filter(is_good);
        good.filter_map(|secret| key_of(&secret.secret)).collect()
    }

    /// As it is shown.
    pub(crate) fn view(&self) -> Webhook {
        Webhook {
            id: self.id,
            url: self.url.clone(),
            description: self.description.clone(),
            events: self.events.clone(),
            rooms: self.rooms.clone(),
            enabled: self.enabled,
            disabled_reason: self.disabled_reason,
            created_at: self.created_at,
            revision: self.revision,
        }
    }

    /// Signs with this secret from now on, and with the one before for so long as well.
    pub(crate) fn rotate(&mut self, secret: String, now: Timestamp, overlap_s: u32) {
        let until = now.checked_add(jiff::SignedDuration::from_secs(overlap_s.into())).ok();
        self.secrets.truncate(1);
        for before in &mut self.secrets {
            before.until = until;
        }
        self.secrets.insert(0, KeptSecret { secret, until: None });
    }

    pub(crate) fn next_revision(&self) -> u64 {
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0);
        now.max(self.revision + 1)
    }
}

/// What is delivered by a test: as an event, but in no log.
pub fn test_payload(delivery: &Delivery) -> String {
    json!({
        "id": delivery.event, "type": TEST, "time": delivery.time,
        "data": { "webhook": delivery.webhook },
    })
    .to_string()
}

/// The key in `whsec_…`: 24 to 64 octets in base64, padded or not.
pub fn key_of(secret: &str) -> Option<Vec<u8>> {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let base64 = GeneralPurpose::new(&alphabet::STANDARD, config);
    let key = base64.decode(secret.strip_prefix("whsec_")?).ok()?;
    (24..=64).contains(&key.len()).then_some(key)
}

/// A secret that was never given before.
pub(crate) fn new_secret() -> Result<String, ControlError> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| ControlError::Busy {
        detail: format!("no randomness for a new secret: {error}"),
        retry_after_s: 1,
    })?;
    let mut secret = "whsec_".to_owned();
    // Writing into a string cannot fail.
    write!(secret, "{}", STANDARD.encode(key)).unwrap_or_default();
    Ok(secret)
}

/// The type of what a test delivers.
pub const TEST: &str = "webhook.test";
/// What may become of an attempt.
const OUTCOMES: [&str; 4] = ["delivered", "retried", "given_up", "gone"];
/// Deliveries that are asked for and not yet taken.
const ERRANDS: usize = 64;
