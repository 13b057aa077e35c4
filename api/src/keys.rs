//! The keys that are let in: of each only its SHA-256 is held, and kept. A change is stored first, and in force once it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

use crate::archive::{Change, Desk, Document, DocumentKind};
use crate::auth::Scope;
use crate::control::ControlError;
use crate::id::ApiKeyId;
use crate::keeping::Keeping;
use crate::model::ApiKey;
use crate::tokens::{Claims, SessionClaims};

pub(crate) type KeyDigest = [u8; 32];

/// The keys that are let in; cheap to clone, and the same for all clones.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    table: Arc<Mutex<Inner>>,
    keeping: Keeping,
}

#[derive(Debug, Default)]
struct Inner {
    /// A digest cannot be chosen by who sends a key, so how long it takes to find tells nothing.
    by_digest: BTreeMap<KeyDigest, Arc<Entry>>,
    /// Those that can be changed here.
    by_id: BTreeMap<ApiKeyId, Kept>,
    /// Told of each change.
    changes: watch::Sender<()>,
}

/// What a key may do.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// `None`: one that was given at start.
    pub(crate) id: Option<ApiKeyId>,
    pub(crate) name: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) rooms: Arc<[String]>,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Entry {
    /// Of somebody who has logged in.
    pub(crate) fn of(claims: &SessionClaims) -> Self {
        Self {
            id: None,
            name: claims.user.clone(),
            scopes: claims.scopes.clone(),
            rooms: Arc::default(),
            expires_at: Timestamp::from_second(claims.expires).ok().or(Some(Timestamp::MIN)),
        }
    }

    /// Whether it has this right.
    pub(crate) fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }

    /// Whether its time is over.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires_at.is_some_and(|at| at <= Timestamp::now())
    }
}

/// A key as it is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Kept {
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
    digest: String,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) rooms: Vec<String>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(skip)]
    pub(crate) revision: u64,
}

impl Keys {
    /// One key that may do everything.
    pub fn admin(key: &str) -> Self {
        Self::default().with(key, &[Scope::Admin])
    }

    /// The key with this SHA-256 may do everything.
    pub fn admin_digest(digest: [u8; 32]) -> Self {
        Self::default().with_digest(digest, &[Scope::Admin])
    }

    /// Adds a key with its scopes.
    #[must_use]
    pub fn with(self, key: &str, scopes: &[Scope]) -> Self {
        self.with_digest(digest(key), scopes)
    }

    fn with_digest(self, digest: KeyDigest, scopes: &[Scope]) -> Self {
        let entry = Entry {
            id: None,
            name: "first".to_owned(),
            scopes: scopes.to_vec(),
            rooms: Arc::default(),
            expires_at: None,
        };
        self.inner().by_digest.insert(digest, Arc::new(entry));
        self
    }

    /// Takes up those keys that are kept; what cannot be read is not let in.
    pub fn load(&self, documents: &[Document]) {
        let mut inner = self.inner();
        for document in documents.iter().filter(|one| one.kind == DocumentKind::ApiKey) {
            match serde_json::from_str::<Kept>(&document.body) {
                Ok(kept) => inner.put(Kept { revision: document.revision, ..kept }),
                Err(error) => tracing::error!(name = document.name, %error, "a key cannot be read"),
            }
        }
    }

    /// The key of this digest.
    pub(crate) fn find(&self, digest: &KeyDigest) -> Option<Arc<Entry>> {
        self.inner().by_digest.get(digest).cloned()
    }

    /// The key that made a token; one that was given at start stays as long as we do.
    pub(crate) fn maker_of(&self, claims: &Claims) -> Option<Arc<Entry>> {
        let inner = self.inner();
        match claims.key {
            Some(id) => {
                let digest = from_hex(&inner.by_id.get(&id)?.digest)?;
                let entry = inner.by_digest.get(&digest).cloned();
                entry.filter(|entry| !entry.has_expired())
            }
            None => inner.by_digest.values().find(|entry| entry.id.is_none()).cloned(),
        }
    }

    /// What a token may: what it says, as far as its maker may.
    pub(crate) fn vouch(&self, claims: &Claims) -> Option<Arc<Entry>> {
        let maker = self.maker_of(claims)?;
        let scopes =
            claims.scopes.iter().copied().filter(|scope| maker.id.is_none() || maker.may(*scope));
        let own = Timestamp::from_second(claims.expires).ok()?;
        Some(Arc::new(Entry {
            id: maker.id,
            name: format!("{} (room token)", maker.name),
            scopes: scopes.collect(),
            rooms: Arc::new([claims.room.to_string()]),
            expires_at: Some(maker.expires_at.map_or(own, |at| at.min(own))),
        }))
    }

    /// Changes whenever a key does.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.inner().changes.subscribe()
    }

    /// Those that can be changed here, oldest first.
    pub(crate) fn all(&self) -> Vec<Kept> {
        self.inner().by_id.values().cloned().collect()
    }

    pub(crate) fn read(&self, id: ApiKeyId) -> Result<Kept, ControlError> {
        let found = self.inner().by_id.get(&id).cloned();
        found.ok_or_else(|| ControlError::NotFound { what: "api_key", name: id.to_string() })
    }

    /// Has a key stored and takes it up.
    pub(crate) async fn put(&self, desk: &Desk, kept: Kept) -> Result<ApiKey, ControlError> {
        let view = kept.view();
        let document = Document {
            kind: DocumentKind::ApiKey,
            name: kept.id.to_string(),
            revision: kept.revision,
            body: serde_json::to_string(&kept).unwrap_or_default(),
        };
        let keys = self.clone();
        let then = move || keys.inner().put(kept);
        self.keeping.change(desk, Change::Put(document), then).await?;
        Ok(view)
    }

    /// Has a key removed from the store and lets it in no more.
    pub(crate) async fn remove(&self, desk: &Desk, id: ApiKeyId) -> Result<(), ControlError> {
        let keys = self.clone();
        let change = Change::Remove(DocumentKind::ApiKey, id.to_string());
        self.keeping.change(desk, change, move || keys.inner().remove(id)).await
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; if something did, the table is whole all the same.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put(&mut self, kept: Kept) {
        let Some(digest) = from_hex(&kept.digest) else { return };
        let entry = Entry {
            id: Some(kept.id),
            name: kept.name.clone(),
            scopes: kept.scopes.clone(),
            rooms: kept.rooms.clone().into(),
            expires_at: kept.expires_at,
        };
        self.by_digest.insert(digest, Arc::new(entry));
        self.by_id.insert(kept.id, kept);
        self.changes.send_replace(());
    }

    fn remove(&mut self, id: ApiKeyId) {
        if let Some(digest) = self.by_id.remove(&id).and_then(|kept| from_hex(&kept.digest)) {
            self.by_digest.remove(&digest);
        }
        self.changes.send_replace(());
    }
}

impl Kept {
    /// A new key, and the text of it that nobody will see again.
    pub(crate) fn new(name: String, scopes: Vec<Scope>) -> Result<(Self, String), ControlError> {
        let mut random = [0; 48];
        getrandom::fill(&mut random).map_err(|error| ControlError::Busy {
            detail: format!("no randomness for a new key: {error}"),
            retry_after_s: 1,
        })?;
        let key = format!("plenary_{}", to_hex(&random[..32]));
        let now = Timestamp::now();
        let unix_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let number = random[32..].iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
        let kept = Self {
            id: ApiKeyId::new(unix_ms, number),
            name,
            digest: to_hex(&digest(&key)),
            scopes,
            rooms: Vec::new(),
            created_at: now,
            expires_at: None,
            revision: unix_ms,
        };
        Ok((kept, key))
    }

    /// As it is shown.
    pub(crate) fn view(&self) -> ApiKey {
        ApiKey {
            id: self.id,
            name: self.name.clone(),
            scopes: self.scopes.clone(),
            rooms: self.rooms.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revision: self.revision,
        }
    }
}

pub(crate) fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

fn to_hex(octets: &[u8]) -> String {
    octets.iter().flat_map(|octet| [octet >> 4, octet & 15]).map(hex_digit).collect()
}

fn hex_digit(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('0')
}

fn from_hex(text: &str) -> Option<KeyDigest> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16)?).ok()).collect();
    let octets: Vec<u8> = digits?.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    octets.try_into().ok()
}
