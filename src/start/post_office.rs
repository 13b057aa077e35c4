//! Who sends mail, if anybody: what the settings say, as the post office knows it.

use std::net::IpAddr;
use std::path::Path;

use api::archive::{Desk, Document, DocumentKind};
use api::control::Control;
use api::events::EventLog;
use api::mail::{Mailroom, mailroom};
use jiff::tz::TimeZone;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use tokio::task::JoinSet;

use super::StartError;
use crate::config::{Config, Mail, MailServer, MailTls};
use crate::mail::{PostOffice, PostSettings, Security, Server};

/// What was to be sent before the last stop.
pub(super) fn letters(kept: &[Document]) -> Vec<Document> {
    kept.iter().filter(|document| document.kind == DocumentKind::Letter).cloned().collect()
}

/// The way to the post office, which is at work then.
pub(super) fn open(
    (config, seed): (&Config, u64),
    (log, control, desk): (&EventLog, &Control, &Desk),
    (letters, tasks): (Vec<Document>, &mut JoinSet<()>),
) -> Result<Mailroom, StartError> {
    let mail = &config.mail;
    let (Some(at), Some(from)) = (mail.server.set(), mail.sender()) else {
        return Ok(Mailroom::closed());
    };
    let (mailroom, orders) = mailroom(mail.per_hour);
    let office = PostOffice {
        orders,
        mailroom: mailroom.clone(),
        log: log.clone(),
        since: log.newest(),
        control: control.clone(),
        desk: desk.clone(),
        server: server(mail, at)?,
        settings: PostSettings {
            from,
            dial_in: dial_in(config),
            time_zone: TimeZone::get(&mail.time_zone).unwrap_or(TimeZone::UTC),
            alerts_to: Mail::mailboxes(&mail.alerts_to),
            recordings_to: Mail::mailboxes(&mail.recordings_to),
            page: mail.page.clone(),
            queue: mail.queue,
            give_up_after: mail.give_up_after,
            alert_after: mail.alert_after,
            alert_interval: mail.alert_interval,
            seed,
        },
    };
    tasks.spawn(office.run(letters));
    Ok(mailroom)
}

fn server(mail: &Mail, at: &MailServer) -> Result<Server, StartError> {
    let security = match mail.tls {
        MailTls::StartTls => Security::StartTls(tls(mail, at)?),
        MailTls::Tls => Security::Tls(tls(mail, at)?),
        MailTls::Off => Security::Clear,
    };
    let has_user = !mail.user.is_empty();
    Ok(Server {
        host: at.host.clone(),
        port: mail.port(at),
        security,
        credentials: has_user.then(|| Credentials::new(mail.user.clone(), mail.password.clone())),
        timeout: mail.timeout,
        hello: ClientId::Domain(node_name()),
    })
}

fn tls(mail: &Mail, at: &MailServer) -> Result<TlsParameters, StartError> {
    let failed =
        |error: &dyn std::fmt::Display| StartError::Mail(format!("{}: {error}", mail.ca.display()));
    let mut builder = TlsParameters::builder(at.host.clone());
    if mail.ca.as_os_str().is_empty() {
        builder = builder.certificate_store(CertificateStore::Default);
    } else {
        let pem = std::fs::read(Path::new(&mail.ca)).map_err(|error| failed(&error))?;
        let roots = Certificate::from_pem(&pem).map_err(|error| failed(&error))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
    }
    builder.build().map_err(|error| failed(&error))
}

/// How rooms are called where the settings do not say.
fn dial_in(config: &Config) -> Vec<String> {
    if !config.mail.dial_in.is_empty() {
        return config.mail.dial_in.clone();
    }
    let host = match config.public_ip.set() {
        Some(IpAddr::V6(ip)) => format!("[{ip}]"),
        Some(IpAddr::V4(ip)) => ip.to_string(),
        None => node_name(),
    };
    vec![format!("sip:{{room}}@{host}")]
}

fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
