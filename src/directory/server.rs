//! An LDAP server, spoken to by ldap3. What people type is escaped before it becomes a part of a filter (RFC 4515 §3).

use std::sync::Arc;
use std::time::Duration;

use api::auth::Scope;
use api::directory::{Credentials, LoginFault, Operator, Unavailable};
use api::model::DirectoryEntry;
use ldap3::adapters::EntriesOnly;
use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, SearchEntry, ldap_escape};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::rustls::ClientConfig;
use tracing::{info, warn};

/// The directory, and how it is laid out.
#[derive(Clone)]
pub(crate) struct Server {
    /// `ldap://` or `ldaps://`, with a host.
    pub(crate) url: String,
    /// Whether `ldap://` is secured before anything of value is said.
    pub(crate) starttls: bool,
    pub(crate) tls: Arc<ClientConfig>,
    /// Who we are there; empty: nobody.
    pub(crate) bind_dn: String,
    pub(crate) bind_password: String,
    /// Where people are.
    pub(crate) base: String,
    /// Finds one who logs in: `{user}`.
    pub(crate) user_filter: String,
    /// Finds people by a part of a name, or a number: `{text}`.
    pub(crate) search_filter: String,
    /// Finds who has a number: `{number}`.
    pub(crate) number_filter: String,
    /// Whether a group has somebody: `{dn}`, `{user}`.
    pub(crate) member_filter: String,
    pub(crate) names: Names,
    pub(crate) groups: Arc<[Group]>,
    /// How long an inquiry may take in all.
    pub(crate) timeout: Duration,
}

/// Names of attributes.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) user: String,
    pub(crate) name: String,
    pub(crate) number: String,
    pub(crate) mail: String,
}

/// What the members of a group may do.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) dn: String,
    pub(crate) scopes: Vec<Scope>,
}

/// A connection, and the task that drives it.
struct Line {
    ldap: Ldap,
    _driving: JoinSet<()>,
}

/// Passwords are in no log.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Server {
    /// Who this is, if the password is right, and what they may do.
    pub(super) async fn log_in(&self, credentials: Credentials) -> Result<Operator, LoginFault> {
        let answer = timeout(self.timeout, self.prove(&credentials)).await;
        let answer = answer.unwrap_or_else(|_| Err(late().into()));
        match &answer {
            Ok(_) => {}
            Err(fault @ LoginFault::Unavailable(_)) => warn!(%fault, "nobody can log in"),
            Err(fault) => info!(%fault, "a login is refused"),
        }
        answer
    }

    async fn prove(
        &self,
        Credentials { user, password }: &Credentials,
    ) -> Result<Operator, LoginFault> {
        if password.is_empty() {
            return Err(LoginFault::Refused); // RFC 4513 §5.1.2: a bind without a password proves nothing, and succeeds
        }
        let mut line = self.open().await?;
        let filter = self.user_filter.replace("{user}", &ldap_escape(user.as_str()));
        let found =
            line.search(&self.base, (&filter, ldap3::Scope::Subtree), &[&self.names.user], 2).await;
        let [entry] = found?.try_into().map_err(|_| LoginFault::Refused)?;
        let name = first(&entry, &self.names.user).unwrap_or_else(|| user.clone());
        let scopes = self.scopes_of(&mut line, (&entry.dn, &name)).await?;
        let bound = line.ldap.simple_bind(&entry.dn, password).await.map_err(unavailable)?;
        match bound.rc {
            SUCCESS if scopes.is_empty() => Err(LoginFault::NoScopes),
            SUCCESS => Ok(Operator { name, scopes }),
            BUSY | UNAVAILABLE => Err(Unavailable(bound.to_string()).into()),
            _ => Err(LoginFault::Refused),
        }
    }

    /// What the groups of somebody may do, all together.
    async fn scopes_of(
        &self,
        line: &mut Line,
        (dn, user): (&str, &str),
    ) -> Result<Vec<Scope>, Unavailable> {
        let filter = self.member_filter.replace("{dn}", &ldap_escape(dn));
        let filter = filter.replace("{user}", &ldap_escape(user));
        let mut scopes = Vec::new();
        for group in self.groups.iter() {
            let found = line.search(&group.dn, (&filter, ldap3::Scope::Base), &["1.1"], 1).await?;
            let new = group.scopes.iter().filter(|_| !found.is_empty()).copied();
            for scope in new {
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
        Ok(scopes)
    }

    /// Who is called like this, by name.
    pub(super) async fn search(
        &self,
        text: &str,
        most: usize,
    ) -> Result<Vec<DirectoryEntry>, Unavailable> {
        let filter = self.search_filter.replace("{text}", &ldap_escape(text));
        self.people(&filter, most).await
    }

    /// Who has this number, if it is one person's.
    pub(super) async fn who_has(&self, number: &str) -> Result<Vec<DirectoryEntry>, Unavailable> {
        let filter = self.number_filter.replace("{number}", &ldap_escape(number));
        let found = self.people(&filter, 2).await?;
        Ok(if found.len() == 1 { found } else { Vec::new() })
    }

    async fn people(&self, filter: &str, most: usize) -> Result<Vec<DirectoryEntry>, Unavailable> {
        let Names { name, number, mail, .. } = &self.names;
        let found = timeout(self.timeout, async {
            let mut line = self.open().await?;
            let wanted = [name.as_str(), number, mail];
            line.search(&self.base, (filter, ldap3::Scope::Subtree), &wanted, most).await
        });
        let found = found.await.unwrap_or_else(|_| Err(late()));
        let found = found.inspect_err(|fault| warn!(%fault, "nobody can be looked up"))?;
        let shown = |entry: SearchEntry| {
            let [number, mail] = [number, mail].map(|wanted| first(&entry, wanted));
            Some(DirectoryEntry { name: first(&entry, name)?, number, mail })
        };
        let mut entries: Vec<_> = found.into_iter().filter_map(shown).collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// A connection on which we have said who we are.
    async fn open(&self) -> Result<Line, Unavailable> {
        let settings = LdapConnSettings::new().set_config(Arc::clone(&self.tls));
        let settings = settings.set_starttls(self.starttls).set_conn_timeout(self.timeout);
        let opened = LdapConnAsync::with_settings(settings, &self.url).await;
        let (connection, mut ldap) = opened.map_err(unavailable)?;
        let mut driving = JoinSet::new();
        driving.spawn(async move {
            if let Err(error) = connection.drive().await {
                info!(%error, "a connection to the directory has ended");
            }
        });
        if !self.bind_dn.is_empty() {
            let bound = ldap.simple_bind(&self.bind_dn, &self.bind_password).await;
            let bound = bound.map_err(unavailable)?;
            if bound.rc != SUCCESS {
                let why = format!("it does not take directory.bind_dn: {bound}");
                return Err(Unavailable(why));
            }
        }
        Ok(Line { ldap, _driving: driving })
    }
}

impl Line {
    /// At most so many entries; a group or base that there is not has none.
    async fn search(
        &mut self,
        base: &str,
        (filter, scope): (&str, ldap3::Scope),
        wanted: &[&str],
        most: usize,
    ) -> Result<Vec<SearchEntry>, Unavailable> {
        let searching =
            self.ldap.streaming_search_with(EntriesOnly::new(), base, scope, filter, wanted);
        let mut searching = searching.await.map_err(unavailable)?;
        let mut found = Vec::new();
        while let Some(entry) = searching.next().await.map_err(unavailable)? {
            found.push(SearchEntry::construct(entry));
            if found.len() >= most {
                return Ok(found); // the connection ends with us
            }
        }
        let result = searching.finish().await;
        match result.rc {
            SUCCESS | NO_SUCH_OBJECT | SIZE_LIMIT => Ok(found),
            _ => Err(Unavailable(result.to_string())),
        }
    }
}

/// The first value; attributes are named without regard to case (RFC 4512 §2.5).
fn first(entry: &SearchEntry, name: &str) -> Option<String> {
    let of_name = entry.attrs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    of_name?.1.first().filter(|value| !value.is_empty()).cloned()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn unavailable(error: LdapError) -> Unavailable {
    if matches!(error, LdapError::Timeout { .. }) { late() } else { Unavailable(error.to_string()) }
}

fn late() -> Unavailable {
    Unavailable("no answer in time".to_owned())
}

/// Result codes (RFC 4511 §4.1.9).
const SUCCESS: u32 = 0;
const SIZE_LIMIT: u32 = 4;
const NO_SUCH_OBJECT: u32 = 32;
const BUSY: u32 = 51;
const UNAVAILABLE: u32 = 52;
