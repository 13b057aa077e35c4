//! Torture messages: what is read from each, and which status refuses it; here at message level, in
//! `whole` by the real bridge on real sockets.
//!
//! The RFCs' own messages run too where the environment variable `PLENARY_RFC_TORTURE` names a folder with
//! them, as `<name>.dat`.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../e2e/support/bridge.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    clippy::print_stderr,
    missing_docs,
    reason = "shared with the end-to-end tests"
)]
mod bridge;
#[path = "../e2e/support/client.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_in_result,
    missing_docs,
    reason = "shared with the end-to-end tests"
)]
mod client;
mod outcome;
mod peer;
mod rfc;
mod table;
mod whole;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use plenary::sip::headers::{FieldError, NameAddr};
use plenary::sip::message::Problem;
use plenary::sip::transport::{Frame, Framer};
use plenary::sip::{Limits, Message, Name, ParseError, Start};

use outcome::{Case, Outcome};

#[test]
fn datagrams_become_what_the_table_says() {
    for case in ours() {
        expect_datagram(case, &message(case));
    }
}

#[test]
fn streams_become_what_the_table_says() {
    for case in ours() {
        expect_stream(case, &message(case));
    }
}

#[test]
fn values_are_what_the_table_says() {
    for case in ours().filter(|case| matches!(case.udp, Outcome::Understood(_))) {
        let message = datagram(&message(case)).unwrap();
        for (what, value) in case.seen {
            assert_eq!(seen(&message, what), *value, "{}: {what}", case.file);
        }
    }
}

#[test]
fn what_is_understood_reads_the_same_after_printing() {
    for case in ours().filter(|case| matches!(case.udp, Outcome::Understood(_))) {
        let message = datagram(&message(case)).unwrap();
        assert_eq!(datagram(&message.print()).unwrap(), message, "{}", case.file);
    }
}

#[test]
fn every_message_is_in_the_table_once() {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut cases: Vec<_> = ours().map(|case| case.file.to_owned()).collect();

    files.sort();
    cases.sort();

    assert_eq!(files, cases);
    assert!(ours().all(|case| !case.trouble.is_empty()));
}

#[test]
fn the_rfcs_own_messages_become_what_the_table_says() {
    let Ok(folder) = std::env::var("PLENARY_RFC_TORTURE") else { return };

    for case in rfc::CASES {
        let path = Path::new(&folder).join(case.file).with_extension("dat");
        let bytes = Bytes::from(std::fs::read(&path).unwrap());
        expect_datagram(case, &bytes);
        expect_stream(case, &bytes);
    }
}

fn ours() -> impl Iterator<Item = &'static Case> {
    [table::VALID, table::MALFORMED, table::APPLICATION, table::IPV6, table::FIELD]
        .into_iter()
        .flatten()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture/messages")
}

fn message(case: &Case) -> Bytes {
    std::fs::read(folder().join(case.file).with_extension("sip")).unwrap().into()
}

fn datagram(bytes: &Bytes) -> Result<Message, ParseError> {
    Message::parse(bytes, &Limits::default())
}

fn expect_datagram(case: &Case, bytes: &Bytes) {
    assert_eq!(found(datagram(bytes), case.udp), case.udp, "{} in a datagram", case.file);
}

fn expect_stream(case: &Case, bytes: &Bytes) {
    let mut framer = Framer::new(Limits::default());
    framer.push(bytes);
    let frame =
        std::iter::from_fn(|| framer.poll()).find(|frame| !matches!(frame, Ok(Frame::Ping)));

    let found = match frame {
        None => Outcome::Waits,
        Some(Ok(Frame::Message(bytes))) => found(datagram(&bytes), case.tcp),
        Some(Ok(Frame::Ping)) => unreachable!("pings are passed over"),
        Some(Err(error)) => found(Err(error), case.tcp),
    };

    assert_eq!(found, case.tcp, "{} in a stream", case.file);
}

/// What the message layer made of it; what the bridge then answers is for another test.
fn found(result: Result<Message, ParseError>, expected: Outcome) -> Outcome {
    match result {
        Ok(_) if matches!(expected, Outcome::Understood(_)) => expected,
        Ok(_) => Outcome::Understood(None),
        Err(error) => error.status().map_or(Outcome::Dropped, |status| {
            assert_answerable(&error);
            Outcome::Refused(status.code())
        }),
    }
}

/// A refusal is a message that its recipient can read, but for headers that the request lacked or broke.
fn assert_answerable(error: &ParseError) {
    let response = error.response().unwrap();
    match datagram(&response.print()) {
        Ok(read) => assert_eq!(read.status(), response.status()),
        Err(error) => assert!(
            matches!(
                error.problem(),
                Problem::Field(FieldError::Missing(_) | FieldError::Invalid { .. })
            ),
            "{error}"
        ),
    }
}

/// Reads one thing from a message as text.
fn seen(message: &Message, what: &str) -> String {
    let headers = &message.headers;
    let (subject, part) = what.split_once([' ', '.']).unwrap_or((what, ""));
    match subject {
        "header" => text(headers.first(&Name::new(part)).unwrap()),
        "status" => message.status().unwrap().to_string(),
        "reason" => match &message.start {
            Start::Response { reason, .. } => text(reason),
            Start::Request { .. } => unreachable!("requests have no reason"),
        },
        "method" => message.method().unwrap().to_string(),
        "uri" => seen_uri(message, part),
        "from" => seen_address(&headers.from().unwrap(), part),
        "to" => seen_address(&headers.to().unwrap(), part),
        "contact" => headers
            .contact()
            .map_or_else(|_| "invalid".to_owned(), |contact| seen_address(&contact, part)),
        "contacts" => headers.addresses(&Name::Contact).count().to_string(),
        "cseq" => headers.cseq().unwrap().to_string(),
        "call-id" => headers.call_id().unwrap().to_string(),
        "max-forwards" => headers
            .max_forwards()
            .unwrap()
            .map_or_else(|| "none".to_owned(), |hops| hops.to_string()),
        "content-type" => headers.content_type().unwrap().unwrap().to_string(),
        "vias" => headers.vias().flatten().count().to_string(),
        "via" => seen_via(message, part),
        "body" if part == "len" => message.body.len().to_string(),
        "body" => text(&message.body),
        other => unreachable!("the table asks for {other}"),
    }
}

fn seen_uri(message: &Message, part: &str) -> String {
    let uri = message.uri().unwrap();
    match part {
        "" => uri.to_string(),
        "user" => uri.user().unwrap().to_owned(),
        "plain" => uri.user_plain().unwrap().into_owned(),
        "host" => uri.host().unwrap().to_string(),
        "port" => uri.port().map_or_else(|| "none".to_owned(), |port| port.to_string()),
        "params" => uri.params().count().to_string(),
        other => unreachable!("the table asks for uri.{other}"),
    }
}

fn seen_address(address: &NameAddr, part: &str) -> String {
    match part {
        "" => address.to_string(),
        "display" => address.display.clone().unwrap_or_default(),
        "uri" => address.uri.to_string(),
        "tag" => address.tag().unwrap_or_default().to_owned(),
        "lr" => if address.uri.param("lr").is_some() { "yes" } else { "no" }.to_owned(),
        other => unreachable!("the table asks for an address's {other}"),
    }
}

fn seen_via(message: &Message, part: &str) -> String {
    let via = message.headers.via().unwrap();
    match part {
        "" => via.to_string(),
        "unique" => if via.unique_branch().is_some() { "yes" } else { "no" }.to_owned(),
        "received" => via.received().unwrap().to_string(),
        other => unreachable!("the table asks for via.{other}"),
    }
}

/// UTF-8, or else Latin-1.
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec())
        .unwrap_or_else(|_| bytes.iter().copied().map(char::from).collect())
}
