//! The SMTP server that takes what we send (RFC 5321, submission by RFC 6409), spoken to by lettre.
//!
//! With STARTTLS nothing but the greeting goes in clear: a server that does not offer it, or whose certificate proves nothing, is
//! sent neither password nor mail.

use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::time::timeout;

use super::letter::{Letter, LetterId};
use super::queue::{Closed, Outcome};

/// Where mail is handed in.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) security: Security,
    pub(crate) credentials: Option<Credentials>,
    /// How long connecting, and each answer, may take.
    pub(crate) timeout: Duration,
    /// What we call ourselves.
    pub(crate) hello: ClientId,
}

/// How the way there is secured.
#[derive(Clone)]
pub(crate) enum Security {
    /// Not at all.
    Clear,
    /// From the first octet on (RFC 8314).
    Tls(TlsParameters),
    /// Before anything of value is said (RFC 3207).
    StartTls(TlsParameters),
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Clear => "Clear",
            Self::Tls(_) => "Tls",
            Self::StartTls(_) => "StartTls",
        })
    }
}

/// What became of mails that were handed in together.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    pub(super) done: Vec<(LetterId, Outcome)>,
    /// Why there was no more.
    pub(super) closed: Option<(Closed, String)>,
}

impl Server {
    /// Hands these in, one after the other, until the server fails.
    pub(super) async fn send(self, letters: Vec<Letter>) -> Report {
        let mut report = Report::default();
        let mut open = None;
        for letter in letters {
            let mut connection = match open.take() {
                Some(connection) => connection,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(closed) => {
                        report.closed = Some(closed);
                        return report;
                    }
                },
            };
            match self.hand_in(&mut connection, &letter).await {
                Ok(outcome) => report.done.push((letter.id, outcome)),
                Err(why) => {
                    report.closed = Some((Closed::Unreachable, why));
                    return report;
                }
            }
            open = (!connection.has_broken()).then_some(connection);
        }
        if let Some(mut connection) = open {
            drop(timeout(self.timeout, connection.abort()).await);
        }
        report
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, (Closed, String)> {
        let unreachable = |error: Error| (Closed::Unreachable, told(&error));
        // Each answer has a time limit of its own; a server that drips has none the less only so long.
        let all = timeout(3 * self.timeout, async {
            let wrapper = match &self.security {
                Security::Tls(tls) => Some(tls.clone()),
                Security::Clear | Security::StartTls(_) => None,
            };
            let (server, limit) = ((self.host.as_str(), self.port), Some(self.timeout));
            let mut connection =
                AsyncSmtpConnection::connect_tokio1(server, limit, &self.hello, wrapper, None)
                    .await
                    .map_err(unreachable)?;
            if let Security::StartTls(tls) = &self.security {
                connection.starttls(tls.clone(), &self.hello).await.map_err(unreachable)?;
            }
            if let Some(credentials) = &self.credentials {
                let proved = connection.auth(DEFAULT_MECHANISMS, credentials).await;
                proved.map_err(|error| (refusal(&error), told(&error)))?;
            }
            Ok(connection)
        });
        all.await.unwrap_or_else(|_| Err((Closed::Unreachable, "no answer in time".to_owned())))
    }

    /// Hands one in. An error is the server's, not the mail's.
    async fn hand_in(
        &self,
        connection: &mut AsyncSmtpConnection,
        letter: &Letter,
    ) -> Result<Outcome, String> {
        let (Ok(from), Ok(to)) = (letter.from.parse(), letter.to.parse()) else {
            return Ok(Outcome::Refused("it has no address".to_owned()));
        };
        let Ok(envelope) = Envelope::new(Some(from), vec![to]) else {
            return Ok(Outcome::Refused("it has no address".to_owned()));
        };
        let sent = connection.send(&envelope, letter.text.as_bytes());
        match timeout(3 * self.timeout, sent).await {
            Ok(Ok(_)) => Ok(Outcome::Sent),
            // 421: it closes the connection, whatever we sent.
            Ok(Err(error)) if code(&error) == Some(421) => Err(told(&error)),
            Ok(Err(error)) if error.is_permanent() => Ok(Outcome::Refused(told(&error))),
            Ok(Err(error)) if error.is_transient() => Ok(Outcome::Later(told(&error))),
            Ok(Err(error)) => Err(told(&error)),
            Err(_) => Err("no answer in time".to_owned()),
        }
    }
}

/// Whether it is our password that is wrong, or the server for now.
fn refusal(error: &Error) -> Closed {
    let is_for_now = !error.is_permanent() && !error.is_client();
    if is_for_now { Closed::Unreachable } else { Closed::Unauthorised }
}

fn code(error: &Error) -> Option<u16> {
    error.status().map(u16::from)
}

/// What happened, down to its cause.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
