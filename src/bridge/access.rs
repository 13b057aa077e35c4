//! Who may call: networks that need no password, users that have one, and for a while nobody who guesses.
//!
//! ```text
//!  request                  ─▶ from a scanner?        nothing at all
//!          outside a dialog ─▶ from a banned address? nothing at all
//!                            ─▶ good credentials?     its user
//!                            ─▶ from an open network? somebody
//!                            ─▶ else                  401 with challenges, or 403 where there are no users
//! ```
//! A ban stops what is new from an address; calls that are up from there go on, and so does everybody else behind the same NAT
//! whose call is up. A scanner is known by what it calls itself, which says nothing about its address: that one is not banned for it,
//! since whoever sends one datagram in the name of another would have that one banned.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use api::event::{Data, EventType};
use api::model::{Ban, Page, PageQuery};
use jiff::Timestamp;
use rand_chacha::ChaCha12Rng;

use super::command::{Answer, no_such, page};
use super::users::{User, Wish};
use super::{Bridge, Network, Subject};
use crate::sip::digest::{Algorithm, Credentials, Gate, GateOptions, Verdict};
use crate::sip::endpoint::{Packet, Rejection};
use crate::sip::headers::Name;
use crate::sip::message::peek;
use crate::sip::{Limits, Message, Method, StatusCode};

/// Who may call and how often somebody may be wrong.
#[derive(Clone)]
pub struct AccessSettings {
    /// What users see when they are asked for their password.
    pub realm: String,
    /// Names and passwords.
    pub users: BTreeMap<String, String>,
    /// Networks whose callers need no password.
    pub open_to: Vec<Network>,
    /// Offered to users, best first.
    pub algorithms: Vec<Algorithm>,
    /// For how long a challenge can be answered.
    pub nonce_lifetime: Duration,
    /// Wrong passwords of one address within [`Self::ban`] that ban it.
    pub failures: u32,
    /// For how long; zero: nobody is banned.
    pub ban: Duration,
    /// Parts of what scanners call themselves in User-Agent, in small letters.
    pub scanners: Vec<String>,
}

impl std::fmt::Debug for AccessSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessSettings").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

impl Default for AccessSettings {
    /// No users, and everybody may call.
    fn default() -> Self {
        let everybody = ["0.0.0.0", "::"].map(|all| all.parse().map(|all| Network::new(all, 0)));
        Self {
            realm: "plenary".to_owned(),
            users: BTreeMap::new(),
            open_to: everybody.into_iter().flatten().collect(),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            nonce_lifetime: Duration::from_mins(5),
            failures: 10,
            ban: Duration::from_mins(10),
            scanners: Vec::new(),
        }
    }
}

/// The gate, and who was wrong at it.
#[derive(Debug)]
pub(super) struct Access {
    settings: AccessSettings,
    /// Those of the settings and those that are kept.
    pub(super) users: BTreeMap<String, User>,
    gate: Gate,
    guesses: BTreeMap<IpAddr, Guesses>,
    bans: BTreeMap<IpAddr, Banned>,
    /// When the log last said that one scans.
    scans: BTreeMap<IpAddr, Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Guesses {
    count: u32,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Banned {
    guesses: u32,
    since: Timestamp,
    until: Instant,
    expires: Timestamp,
}

/// Why a request is not taken as it is.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Denial {
    /// It has to say who sent it, or to say it with a newer nonce.
    Challenge { is_stale: bool },
    /// A user that does not exist, or a wrong password.
    Wrong { user: String },
    /// The user is who it says, and may not do that.
    Forbidden { user: String },
    /// From there nobody can call: there are no users.
    Closed,
}

impl Access {
    pub(super) fn new(now: Instant, settings: AccessSettings, dice: &mut ChaCha12Rng) -> Self {
        let options = GateOptions {
            realm: settings.realm.clone(),
            algorithms: settings.algorithms.clone(),
            lifetime: settings.nonce_lifetime,
            nonces: NONCES,
        };
        let gate = Gate::new(now, options, dice);
        let user = |(name, password): (&String, &String)| {
            (name.clone(), User::new(name, password, &settings.realm))
        };
        let users = settings.users.iter().map(user).collect();
        let settings = AccessSettings { users: BTreeMap::new(), ..settings };
        Self {
            settings,
            users,
            gate,
            guesses: BTreeMap::new(),
            bans: BTreeMap::new(),
            scans: BTreeMap::new(),
        }
    }

    /// What passwords belong to.
    pub(super) fn realm(&self) -> &str {
        &self.settings.realm
    }

    /// Who sent a request: a user, or somebody from an open network.
    fn judge(
        &mut self,
        now: Instant,
        (wish, request): (Wish, &Message),
        peer: IpAddr,
    ) -> Result<Option<String>, Denial> {
        let said = request
            .headers
            .all(&Name::Authorization)
            .filter_map(|value| Credentials::parse(value).ok())
            .find(|said| said.realm == self.settings.realm);
        let Some(said) = said else { return self.is_open(peer).map(|()| None) };
        let method = request.method().map_or("", Method::as_str);
        let secret = self.users.get(&said.username);
        let secret = secret.and_then(|user| user.secret(said.algorithm, &said.realm));
        match self.gate.check(now, peer, (method, secret), &said) {
            Verdict::Known => self.allow(wish, said.username).map(Some),
            Verdict::Stale => Err(Denial::Challenge { is_stale: true }),
            Verdict::Wrong => Err(Denial::Wrong { user: said.username }),
        }
    }

    fn allow(&self, wish: Wish, user: String) -> Result<String, Denial> {
        match self.users.get(&user) {
            Some(known) if known.may(wish) => Ok(user),
            _ => Err(Denial::Forbidden { user }),
        }
    }

    fn is_open(&self, peer: IpAddr) -> Result<(), Denial> {
        if self.settings.open_to.iter().any(|network| network.contains(peer)) {
            Ok(())
        } else if self.users.is_empty() {
            Err(Denial::Closed)
        } else {
            Err(Denial::Challenge { is_stale: false })
        }
    }

    /// Takes down a wrong password; true if that was one too many.
    fn note_guess(&mut self, now: Instant, peer: IpAddr) -> Option<u32> {
        let window = self.settings.ban;
        if window.is_zero() {
            return None;
        }
        if self.guesses.len() >= SOURCES && !self.guesses.contains_key(&peer) {
            self.guesses.retain(|_, guesses| now.duration_since(guesses.since) < window);
            if self.guesses.len() >= SOURCES {
                self.guesses.pop_first();
            }
        }
        let guesses = self.guesses.entry(peer).or_insert(Guesses { count: 0, since: now });
        if now.duration_since(guesses.since) >= window {
            *guesses = Guesses { count: 0, since: now };
        }
        guesses.count += 1;
        let count = guesses.count;
        (count >= self.settings.failures).then(|| {
            self.guesses.remove(&peer);
            count
        })
    }

    fn is_scanner(&self, agent: &[u8]) -> bool {
        let agent = String::from_utf8_lossy(agent).to_ascii_lowercase();
        self.settings.scanners.iter().any(|scanner| agent.contains(scanner.as_str()))
    }

    /// True if the log has not said for a while that somebody scans from there.
    fn note_scan(&mut self, now: Instant, peer: IpAddr) -> bool {
        let is_recent = |then: &Instant| now.duration_since(*then) < SCAN_LOG;
        if self.scans.get(&peer).is_some_and(is_recent) {
            return false;
        }
        if self.scans.len() >= SOURCES {
            self.scans.retain(|_, then| is_recent(then));
            if self.scans.len() >= SOURCES {
                self.scans.pop_first();
            }
        }
        self.scans.insert(peer, now);
        true
    }

    fn is_banned(&mut self, now: Instant, peer: IpAddr) -> bool {
        match self.bans.get(&peer) {
            Some(ban) if ban.until > now => true,
            Some(_) => {
                self.bans.remove(&peer);
                false
            }
            None => false,
        }
    }
}

impl Bridge {
    /// Whether whoever sent a request outside a dialog may, and which user that is if it says so; if not, what to answer.
    pub(super) fn identify(
        &mut self,
        request: &Message,
        peer: IpAddr,
    ) -> Result<Option<String>, Rejection> {
        let peer = peer.to_canonical();
        let user = self.access.judge(self.now, (Wish::Call, request), peer);
        user.map_err(|denial| self.denied(denial, peer))
    }

    /// The user who sent a request: whoever it comes from has to prove it.
    pub(super) fn identify_user(
        &mut self,
        request: &Message,
        peer: IpAddr,
    ) -> Result<String, Rejection> {
        let peer = peer.to_canonical();
        let unnamed = if self.access.users.is_empty() {
            Denial::Closed
        } else {
            Denial::Challenge { is_stale: false }
        };
        let user = self.access.judge(self.now, (Wish::Register, request), peer);
        let user = user.and_then(|user| user.ok_or(unnamed));
        user.map_err(|denial| self.denied(denial, peer))
    }

    /// As [`Self::identify`], but whoever says that it is a user has to prove it, even where others may ask without.
    pub(super) fn identify_claimed(
        &mut self,
        request: &Message,
        peer: IpAddr,
    ) -> Result<Option<String>, Rejection> {
        let proven = self.identify(request, peer)?;
        let from = request.headers.from().ok();
        let claimed = from.as_ref().and_then(|from| from.uri.user_plain());
        if proven.is_none() && claimed.is_some_and(|user| self.is_user(&user)) {
            return self.identify_user(request, peer).map(Some);
        }
        Ok(proven)
    }

    /// True if there is a user of this name.
    pub(super) fn is_user(&self, name: &str) -> bool {
        self.access.users.contains_key(name)
    }

    /// All users, by name.
    pub(super) fn user_names(&self) -> impl DoubleEndedIterator<Item = &String> {
        self.access.users.keys()
    }

    fn denied(&mut self, denial: Denial, peer: IpAddr) -> Rejection {
        self.counters.denied += 1;
        let is_stale = match denial {
            Denial::Challenge { is_stale } => is_stale,
            Denial::Closed => {
                tracing::debug!(%peer, "refused: there are no users, and sip.open_to does not let it call without");
                return Rejection::new(StatusCode::FORBIDDEN);
            }
            Denial::Forbidden { user } => {
                tracing::info!(%peer, user, "refused: this user may not do that");
                return Rejection::new(StatusCode::FORBIDDEN);
            }
            Denial::Wrong { user } => {
                self.counters.guesses += 1;
                tracing::warn!(%peer, user, "authentication failed");
                self.note_guess(peer);
                false
            }
        };
        let mut rejection = Rejection::new(StatusCode::UNAUTHORIZED);
        let challenges = self.access.gate.challenges(self.now, (peer, is_stale), &mut self.dice);
        rejection
            .headers
            .extend(challenges.map(|challenge| ("WWW-Authenticate".into(), challenge)));
        rejection
    }

    /// Somebody has guessed wrongly from there; one time too many, and nothing new is taken from there for a while.
    pub(super) fn note_guess(&mut self, peer: IpAddr) {
        if let Some(guesses) = self.access.note_guess(self.now, peer) {
            self.ban(peer, guesses);
        }
    }

    fn ban(&mut self, peer: IpAddr, guesses: u32) {
        let (now, time) = (self.now, self.access.settings.ban);
        let since = self.wall();
        let expires = since.checked_add(time).unwrap_or(Timestamp::MAX);
        let access = &mut self.access;
        if access.bans.len() >= SOURCES {
            access.bans.retain(|_, ban| ban.until > now);
            if access.bans.len() >= SOURCES {
                access.bans.pop_first();
            }
        }
        let banned = Banned { guesses, since, until: now + time, expires };
        access.bans.insert(peer, banned);
        self.counters.bans += 1;
        tracing::warn!(%peer, guesses, for_s = time.as_secs(), "banned");
        let data = Data::of(&view(peer, &banned));
        self.happened(EventType::SecurityBanAdded, Subject::default(), data);
    }

    /// True for what a scanner sends, and for something new from a banned address: it is as if it had not come.
    pub(super) fn ignores(&mut self, packet: &Packet) -> bool {
        let peer = packet.peer.ip().to_canonical();
        if !self.access.settings.scanners.is_empty()
            && let Some(agent) = peek::user_agent(&packet.bytes)
            && self.access.is_scanner(agent)
        {
            self.counters.scans += 1;
            if self.access.note_scan(self.now, peer) {
                let agent = String::from_utf8_lossy(&agent[..agent.len().min(AGENT)]);
                tracing::warn!(%peer, ?agent, "a scanner is ignored");
            }
            return true;
        }
        if self.access.bans.is_empty() || !self.access.is_banned(self.now, peer) {
            return false;
        }
        let is_new = Message::parse(&packet.bytes, &Limits::default()).map_or(true, |message| {
            let has_tag = message.headers.to().is_ok_and(|to| to.tag().is_some());
            message.method().is_some_and(|method| *method != Method::Ack) && !has_tag
        });
        self.counters.ignored += u64::from(is_new);
        is_new
    }

    pub(super) fn api_list_bans(&mut self, query: &PageQuery) -> Answer<Page<Ban>> {
        let now = self.now;
        self.access.bans.retain(|_, ban| ban.until > now);
        let bans = self.access.bans.iter().map(|(&peer, ban)| view(peer, ban));
        page::page(query, bans, |ban| ban.address)
    }

    pub(super) fn api_lift_ban(&mut self, address: IpAddr) -> Answer<()> {
        match self.access.bans.remove(&address.to_canonical()) {
            Some(_) => {
                tracing::info!(%address, "ban lifted");
                Ok(())
            }
            None => Err(no_such("ban", address)),
        }
    }
}

fn view(address: IpAddr, banned: &Banned) -> Ban {
    let &Banned { guesses, since, expires, .. } = banned;
    Ban { address, failures: guesses, created_at: since, expires_at: expires }
}

/// Nonces in use at once.
const NONCES: usize = 20_000;
/// Addresses that are watched, and that are banned, each.
const SOURCES: usize = 10_000;
/// The log says once in so long that somebody scans from an address.
const SCAN_LOG: Duration = Duration::from_mins(10);
/// Octets of what a scanner calls itself that the log shows.
const AGENT: usize = 80;

#[cfg(test)]
mod tests;
