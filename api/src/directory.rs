//! The directory of an organisation: who may log in, and who is called what. How it is asked is the affair of the root crate.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::auth::Scope;
use crate::buckets::{Buckets, Rate, Spent};
use crate::control::ControlError;
use crate::error::ApiError;
use crate::model::DirectoryEntry;

/// The way to the directory; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Directory(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    inquiries: mpsc::Sender<Inquiry>,
    guesses: Mutex<Guesses>,
    /// How long a session lasts, seconds.
    session_s: u32,
}

/// Something to ask of it.
#[derive(Debug)]
pub enum Inquiry {
    /// Who this is, if the password is right.
    Login(Credentials, oneshot::Sender<Result<Operator, LoginFault>>),
    /// What who has this number is called.
    Name(String, oneshot::Sender<Option<String>>),
    /// Who is called like this: at most so many.
    Search(String, usize, oneshot::Sender<Result<Vec<DirectoryEntry>, Unavailable>>),
}

/// A name and a password.
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// As it was typed.
    pub user: String,
    /// The same.
    pub password: String,
}

/// The password is in no log.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// Somebody who has proved who they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Operator {
    /// As the directory writes it.
    pub name: String,
    /// What their groups may.
    pub scopes: Vec<Scope>,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum LoginFault {
    /// There is no such user, or another password.
    #[error("user or password is wrong")]
    Refused,
    /// None of their groups may do anything here.
    #[error("none of this user's groups may use the API")]
    NoScopes,
    /// Nobody knows.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// The directory says nothing.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("the directory cannot be asked: {0}")]
pub struct Unavailable(pub String);

/// Logins, by where they came from and by whom they named.
#[derive(Debug)]
struct Guesses {
    of_source: Buckets<IpAddr>,
    of_user: Buckets<String>,
}

/// A way to the directory, and what is asked of it.
pub fn directory(session_s: u32) -> (Directory, mpsc::Receiver<Inquiry>) {
    let (inquiries, asked) = mpsc::channel(INQUIRIES);
    let guesses = Mutex::new(Guesses {
        of_source: Buckets::new(OF_SOURCE, MAX_SOURCES),
        of_user: Buckets::new(OF_USER, MAX_USERS),
    });
    (Directory(Some(Arc::new(Shared { inquiries, guesses, session_s }))), asked)
}

impl Directory {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether there is one.
    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// How long a session lasts, seconds.
    pub(crate) fn session_s(&self) -> u32 {
        self.0.as_ref().map_or(0, |shared| shared.session_s)
    }

    /// Who this is; who guesses has to wait longer and longer.
    pub(crate) async fn log_in(
        &self,
        source: IpAddr,
        credentials: Credentials,
    ) -> Result<Operator, ApiError> {
        let shared = self.shared()?;
        shared
            .take(source, &credentials.user)
            .map_err(|spent| ApiError::TooManyLogins(spent.wait))?;
        let (reply, answer) = oneshot::channel();
        shared.ask(Inquiry::Login(credentials, reply))?;
        answer.await.unwrap_or_else(|_| Err(stopped().into())).map_err(ApiError::Login)
    }

    /// What who has this number is called, if that is known in time.
    pub async fn name_of(&self, number: String) -> Option<String> {
        let (reply, answer) = oneshot::channel();
        self.0.as_ref()?.ask(Inquiry::Name(number, reply)).ok()?;
        answer.await.ok().flatten()
    }

    /// Who is called like this.
    pub(crate) async fn search(
        &self,
        text: String,
        limit: usize,
    ) -> Result<Vec<DirectoryEntry>, ApiError> {
        let shared = self.shared()?;
        let (reply, answer) = oneshot::channel();
        shared.ask(Inquiry::Search(text, limit, reply))?;
        let found = answer.await.unwrap_or_else(|_| Err(stopped()));
        found.map_err(|fault| ApiError::Login(fault.into()))
    }

    fn shared(&self) -> Result<&Shared, ControlError> {
        let detail = "there is no directory: set directory.url".to_owned();
        self.0.as_deref().ok_or(ControlError::Conflict { code: "no_directory", detail })
    }
}

impl Shared {
    fn take(&self, source: IpAddr, user: &str) -> Result<(), Spent> {
        let now = Instant::now();
        // Nothing panics while it is held; if something did, the buckets are whole all the same.
        let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
        guesses.of_source.take(&source, now)?;
        guesses.of_user.take(&user.to_lowercase(), now).map(drop)
    }

    fn ask(&self, inquiry: Inquiry) -> Result<(), ControlError> {
        self.inquiries.try_send(inquiry).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy {
                detail: "too many ask the directory; try again".to_owned(),
                retry_after_s: 1,
            },
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })
    }
}

fn stopped() -> Unavailable {
    Unavailable("the bridge is stopping".to_owned())
}

/// What is asked and not yet taken up.
const INQUIRIES: usize = 64;
/// Logins from one address (of IPv6: one /64): ten at once, then one in ten seconds.
const OF_SOURCE: Rate = Rate { per_second: 0.1, burst: 10.0 };
/// Logins that name one user, from wherever: twenty at once, then one in ten seconds.
const OF_USER: Rate = Rate { per_second: 0.1, burst: 20.0 };
/// Sources and users whose logins are counted at once.
const MAX_SOURCES: usize = 10_000;
const MAX_USERS: usize = 10_000;
