//! Mail: what is asked of those who send it. How it is written, and brought to a server, is the affair of the root crate.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::buckets::{Buckets, Rate};
use crate::control::{ControlError, Reply};
use crate::error::ApiError;
use crate::gate::Principal;
use crate::model::{CreateInvitation, DialIn, Invitation};

/// The way to those who send mail; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Mailroom(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    orders: mpsc::Sender<Order>,
    /// Mails that a key may still have sent.
    rates: Mutex<Buckets<Principal>>,
    figures: Mutex<Figures>,
}

/// Somebody is to be invited.
#[derive(Debug)]
pub struct Order {
    /// To what.
    pub room: DialIn,
    /// Whom, and when.
    pub invitation: CreateInvitation,
    /// Told once it is stored that the mails are due.
    pub reply: Reply<Invitation>,
}

/// What became of mails, and what waits.
#[derive(Debug, Default)]
struct Figures {
    outcomes: BTreeMap<&'static str, u64>,
    waiting: usize,
}

/// A room for mail in which each key has so many sent an hour, and what is asked of those who send it.
pub fn mailroom(mails_per_hour: u32) -> (Mailroom, mpsc::Receiver<Order>) {
    let (orders, asked) = mpsc::channel(ORDERS);
    let burst = f64::from(mails_per_hour);
    let rate = Rate { per_second: burst / 3600.0, burst };
    let rates = Mutex::new(Buckets::new(rate, MAX_PRINCIPALS));
    (Mailroom(Some(Arc::new(Shared { orders, rates, figures: Mutex::default() }))), asked)
}

impl Mailroom {
    /// One from which nothing is sent.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Notes how an attempt went: `sent`, `retried`, `given_up` or `lost`.
    pub fn note(&self, outcome: &'static str) {
        if let Some(shared) = &self.0 {
            *shared.figures().outcomes.entry(outcome).or_default() += 1;
        }
    }

    /// Notes how many mails wait.
    pub fn note_waiting(&self, waiting: usize) {
        if let Some(shared) = &self.0 {
            shared.figures().waiting = waiting;
        }
    }

    /// Whether mail is sent at all.
    pub(crate) fn expect_open(&self) -> Result<(), ControlError> {
        let detail = "no mail is sent from here: set mail.server".to_owned();
        self.0.as_ref().map(drop).ok_or(ControlError::Conflict { code: "no_mail", detail })
    }

    /// Has the mails written and kept.
    pub(crate) async fn invite(
        &self,
        whose: Principal,
        room: DialIn,
        invitation: CreateInvitation,
    ) -> Result<Invitation, ApiError> {
        self.expect_open()?;
        let Some(shared) = &self.0 else { return Err(ControlError::Stopping.into()) };
        let count = u32::try_from(invitation.to.len()).unwrap_or(u32::MAX);
        shared.take(whose, count)?;
        let (reply, answer) = Reply::channel();
        let sent = shared.orders.try_send(Order { room, invitation, reply });
        sent.map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ControlError::Busy {
                detail: "too many invitations at once; try again".to_owned(),
                retry_after_s: 1,
            },
            mpsc::error::TrySendError::Closed(_) => ControlError::Stopping,
        })?;
        Ok(answer.await.unwrap_or(Err(ControlError::Stopping))?)
    }

    /// What `/metrics` shows of it; nothing where no mail is sent.
    pub(crate) fn metrics(&self) -> String {
        let Some(shared) = &self.0 else { return String::new() };
        let figures = shared.figures();
        let name = "plenary_mails_total";
        let count = |outcome| {
            let count = figures.outcomes.get(outcome).copied().unwrap_or_default();
            format!("{name}{{outcome=\"{outcome}\"}} {count}\n")
        };
        let sent = OUTCOMES.map(count).concat();
        let (queue, waiting) = ("plenary_mails_waiting", figures.waiting);
        format!(
            "# HELP {name} Mails, by what became of an attempt to send one.\n# TYPE {name} counter\n{sent}\
            # HELP {queue} Mails that wait, those that are tried again included.\n# TYPE {queue} gauge\n{queue} {waiting}\n"
        )
    }
}

impl Shared {
    fn take(&self, whose: Principal, count: u32) -> Result<(), ApiError> {
        // Nothing panics while it is held; if something did, the buckets are whole all the same.
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = rates.take_some(&whose, count, Instant::now());
        taken.map(drop).map_err(|spent| ApiError::TooManyMails(spent.wait))
    }

    fn figures(&self) -> MutexGuard<'_, Figures> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Invitations that are asked for and not yet taken.
const ORDERS: usize = 16;
/// Keys whose rates are counted at once.
const MAX_PRINCIPALS: usize = 1_000;
const OUTCOMES: [&str; 4] = ["sent", "retried", "given_up", "lost"];
