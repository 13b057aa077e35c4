//! The directory of an organisation (LDAP, RFC 4511): who may log in with which password, and who is called what.
//!
//! ```text
//!  POST /v1/sessions ─▶ Inquiry::Login ──▶ bind as ourselves ─▶ find the user, one and no more ─▶ which groups? ─▶ bind as the user
//!  GET /v1/directory ─▶ Inquiry::Search ─▶ cache ─▶ bind as ourselves ─▶ search
//! ```
//! One task takes what is asked; each inquiry has a task and a connection of its own, and its time. A directory that is slow or gone is the
//! affair of those who ask it.

mod cache;
mod server;

use std::time::Instant;

use api::directory::{Inquiry, Unavailable};
use api::model::DirectoryEntry;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use self::cache::Cache;
pub(crate) use self::cache::CacheSettings;
pub(crate) use self::server::{Group, Names, Server};

/// Asks the directory for those who want to know.
#[derive(Debug)]
pub(crate) struct Clerk {
    pub(crate) inquiries: mpsc::Receiver<Inquiry>,
    pub(crate) server: Server,
    pub(crate) cache: CacheSettings,
}

/// What was found, to be remembered.
type Found = Option<(String, Vec<DirectoryEntry>)>;

impl Clerk {
    /// Works until nobody asks any more.
    pub(crate) async fn run(mut self) {
        let mut cache = Cache::new(self.cache);
        let mut asked: JoinSet<Found> = JoinSet::new();
        loop {
            tokio::select! {
                inquiry = self.inquiries.recv() => match inquiry {
                    Some(inquiry) => self.take(inquiry, (&mut cache, &mut asked)),
                    None => return,
                },
                Some(found) = asked.join_next() => match found {
                    Ok(Some((text, entries))) => cache.put(now(), text, entries),
                    Ok(None) => {}
                    Err(error) => warn!(%error, "a task that asked the directory failed"),
                },
            }
        }
    }

    fn take(&self, inquiry: Inquiry, (cache, asked): (&mut Cache, &mut JoinSet<Found>)) {
        let server = self.server.clone();
        let is_full = asked.len() >= AT_ONCE;
        let too_many = || Unavailable("too many ask it at once".to_owned());
        match inquiry {
            // Whoever asked may have gone away, which is nobody's fault.
            Inquiry::Login(_, reply) if is_full => drop(reply.send(Err(too_many().into()))),
            Inquiry::Login(credentials, reply) => {
                asked.spawn(async move {
                    drop(reply.send(server.log_in(credentials).await));
                    None
                });
            }
            Inquiry::Name(number, reply) => {
                // No text that is searched for has a new line.
                let key = format!("\n{number}");
                let name = |entries: &[DirectoryEntry]| Some(entries.first()?.name.clone());
                if let Some(entries) = cache.find(now(), &key) {
                    return drop(reply.send(name(&entries)));
                }
                if is_full {
                    return; // who calls goes without a name
                }
                asked.spawn(async move {
                    let found = server.who_has(&number).await.ok()?;
                    drop(reply.send(name(&found)));
                    Some((key, found))
                });
            }
            Inquiry::Search(text, limit, reply) => {
                let text = text.trim().to_lowercase();
                if let Some(mut entries) = cache.find(now(), &text) {
                    entries.truncate(limit);
                    return drop(reply.send(Ok(entries)));
                }
                if is_full {
                    return drop(reply.send(Err(too_many())));
                }
                asked.spawn(async move {
                    let found = server.search(&text, MOST).await;
                    let kept = found.as_ref().ok().map(|entries| (text, entries.clone()));
                    let shown = found.map(|entries| entries.into_iter().take(limit).collect());
                    drop(reply.send(shown));
                    kept
                });
            }
        }
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Inquiries at once; one more is answered at once that it cannot be asked.
const AT_ONCE: usize = 32;
/// Entries that are read for one search.
const MOST: usize = 50;
