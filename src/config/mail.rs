//! `[mail]`: the server that mail is handed to, and what is sent to whom.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};

use super::units::Switch;
use super::wire::{duration, list, text};

/// Mail.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// Where it is handed in; off: none is sent.
    #[serde(with = "text")]
    pub server: Switch<MailServer>,
    /// How the way there is secured.
    pub tls: MailTls,
    /// Roots of its certificate, PEM; empty: the system's.
    pub ca: PathBuf,
    /// Who we are there; empty: it does not ask.
    pub user: String,
    /// What proves it.
    pub password: String,
    /// Whose mails they are.
    pub from: String,
    /// How rooms are called, a way a line; none: by SIP at this host.
    #[serde(with = "list")]
    pub dial_in: Vec<String>,
    /// Times are told as clocks show them there.
    pub time_zone: String,
    /// Who is told when a trunk is down.
    #[serde(with = "list")]
    pub alerts_to: Vec<String>,
    /// How long it has to be.
    #[serde(with = "duration")]
    pub alert_after: Duration,
    /// The least time between two mails about one trunk.
    #[serde(with = "duration")]
    pub alert_interval: Duration,
    /// Who is told that a recording is ready.
    #[serde(with = "list")]
    pub recordings_to: Vec<String>,
    /// What links in mails begin with.
    pub page: String,
    /// How long connecting, and each answer, may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// For how long a mail is tried.
    #[serde(with = "duration")]
    pub give_up_after: Duration,
    /// Mails that may wait.
    pub queue: usize,
    /// Mails that a key of the API may have sent in an hour.
    pub per_hour: u32,
}

/// How the way to the mail server is secured.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// By STARTTLS, or nothing is sent.
    StartTls,
    /// From the first octet on.
    Tls,
    /// Not at all.
    Off,
}

impl MailTls {
    /// The usual port.
    fn port(self) -> u16 {
        match self {
            Self::StartTls => 587,
            Self::Tls => 465,
            Self::Off => 25,
        }
    }
}

/// A mail server: `smtp.example.com`, with a port where it is not the usual one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MailServer {
    /// Its name or address.
    pub host: String,
    port: Option<u16>,
}

impl fmt::Display for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match self.port {
            Some(port) => write!(f, "{host}:{port}"),
            None => f.write_str(&host),
        }
    }
}

impl FromStr for MailServer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            format!(
                "expected a host as in \"smtp.example.com\" or \"smtp.example.com:587\", found {text:?}"
            )
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| expected())?))
            }
            _ => (text, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_of_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b':');
        if host.is_empty() || !host.bytes().all(is_of_host) {
            return Err(expected());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

impl Mail {
    /// The server's port.
    pub fn port(&self, server: &MailServer) -> u16 {
        server.port.unwrap_or_else(|| self.tls.port())
    }

    /// Whose mails they are, if that can be read.
    pub fn sender(&self) -> Option<Mailbox> {
        mailbox(&self.from)
    }

    /// What these addresses are.
    pub fn mailboxes(addresses: &[String]) -> Vec<Mailbox> {
        addresses.iter().filter_map(|address| mailbox(address)).collect()
    }

    pub(super) fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        let address = "addresses as in ops@example.com or \"Plenary <plenary@example.com>\"";
        let are_good = |all: &[String]| all.iter().all(|address| mailbox(address).is_some());
        let is_off = self.server == Switch::Off;
        expect(is_off || self.sender().is_some(), "mail.from", address);
        expect(are_good(&self.alerts_to), "mail.alerts_to", address);
        expect(are_good(&self.recordings_to), "mail.recordings_to", address);
        expect(
            self.user.is_empty() == self.password.is_empty(),
            "mail.user",
            "mail.password beside it",
        );
        let is_safe = self.tls != MailTls::Off || self.password.is_empty();
        expect(is_safe, "mail.tls", "starttls or tls, or mail.password would go in clear text");
        let is_zone = TimeZone::get(&self.time_zone).is_ok();
        expect(is_zone, "mail.time_zone", "a time zone as in Europe/Berlin");
        let is_page = self.page.is_empty() || self.page.starts_with("http");
        expect(is_page, "mail.page", "a URL as in https://conference.example.com");
        expect(self.timeout >= Duration::from_secs(1), "mail.timeout", "at least 1s");
        expect(self.give_up_after >= Duration::from_mins(1), "mail.give_up_after", "at least 1m");
        expect(self.alert_interval >= Duration::from_secs(1), "mail.alert_interval", "at least 1s");
        expect(self.queue >= 1, "mail.queue", "at least 1");
        expect(self.per_hour >= 1, "mail.per_hour", "at least 1");
    }
}

/// An address with or without a name; ASCII, since few servers take others.
fn mailbox(text: &str) -> Option<Mailbox> {
    let mailbox: Mailbox = text.parse().ok()?;
    let address: &str = mailbox.email.as_ref();
    address.is_ascii().then_some(mailbox)
}

/// The password is in no log.
impl fmt::Debug for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mail").field("server", &self.server).finish_non_exhaustive()
    }
}
