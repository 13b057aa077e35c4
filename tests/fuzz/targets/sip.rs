//! Any datagram: no panic, and what is understood reads the same after printing.

#![no_main]

use std::fmt::Display;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use plenary::sip::headers::{
    CSeq, CallId, ContentType, Event, FieldError, Join, MaxForwards, MinSe, NameAddr, RAck, Reason,
    Replaces, RetryAfter, SessionExpires, SubscriptionState, TargetDialog, Via,
};
use plenary::sip::transport::{note_source, response_target};
use plenary::sip::{Limits, Message, Name, Uri};

fuzz_target!(|data: &[u8]| {
    match Message::parse(&Bytes::copy_from_slice(data), &Limits::default()) {
        Ok(message) => {
            assert_eq!(reread(&message), message);
            read_values(&message);
            answer(&message);
        }
        Err(error) => {
            if let Some(response) = error.response() {
                assert!(response.headers.via().is_ok());
                assert!(response.print().ends_with(b"Content-Length: 0\r\n\r\n"));
            }
        }
    }
});

/// Full names and added blanks may make a message longer than the limits.
fn reread(message: &Message) -> Message {
    let big = 1 << 24;
    let limits = Limits { message: big, head: big, headers: big, line: big, uri: big, body: big };
    Message::parse(&message.print(), &limits).expect("what we print is a message")
}

/// Any value may stand in any header.
fn read_values(message: &Message) {
    for header in &message.headers {
        let value = header.value();
        same(value, NameAddr::parse);
        same(value, Via::parse);
        same(value, CSeq::parse);
        same(value, MaxForwards::parse);
        same(value, ContentType::parse);
        same(value, RAck::parse);
        same(value, Reason::parse);
        same(value, RetryAfter::parse);
        same(value, Event::parse);
        same(value, SubscriptionState::parse);
        same(value, SessionExpires::parse);
        same(value, MinSe::parse);
        if std::str::from_utf8(value).is_ok() {
            // A Call-ID is bytes; as text it is only for people.
            same(value, CallId::parse);
            same(value, Replaces::parse);
            same(value, Join::parse);
            same(value, TargetDialog::parse);
        }
        for address in message.headers.addresses(&header.name).flatten() {
            read_uri(&address.uri);
        }
    }
}

/// What a typed view prints, it reads as itself.
fn same<T: Display + PartialEq + std::fmt::Debug>(
    value: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, FieldError>,
) {
    if let Ok(field) = parse(value) {
        let printed = field.to_string();
        assert_eq!(parse(printed.as_bytes()).as_ref(), Ok(&field), "{printed}");
    }
}

fn read_uri(uri: &Uri) {
    assert!(uri.is_equivalent(uri));
    assert_eq!(Uri::parse(uri.as_str().as_bytes()).as_ref(), Ok(uri));
    let with = uri.with_param("transport", Some("tcp"));
    assert_eq!(with.param("transport").is_some(), uri.is_sip());
    assert_eq!(with.without_param("transport").param("transport"), None);
    assert!(!uri.without_headers().has_headers());
    let _ = (uri.user_plain(), uri.scheme());
    let more = uri.with_header("Replaces", "a;b=\"\u{e9}%?&=@");
    let added = usize::from(uri.is_sip());
    assert_eq!(more.headers().count(), uri.headers().count() + added);
}

fn answer(message: &Message) {
    let source = ([192, 0, 2, 1], 5060).into();
    let mut noted = message.clone();
    note_source(&mut noted.headers, source).expect("a message that was read has a Via");
    assert_eq!(noted.headers.vias().count(), message.headers.vias().count());
    let _ = response_target(&noted.headers.via().expect("it is still there"), source);
    noted.headers.add_to_tag("t");
    assert!(noted.headers.to().expect("it is still there").tag().is_some());
    assert!(noted.headers.contains(&Name::To));
}
