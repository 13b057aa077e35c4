//! MESSAGE: RFC 3428.

use super::network::{Network, Weather, short};
use super::script::{connected, heard, peer, request, response, say};
use crate::sip::endpoint::{Event, Settings, Text, TextedId};
use crate::sip::{StatusCode, headers::Name};

const PLAIN: &str = "Content-Type: text/plain\r\n";

#[test]
fn what_is_said_outside_of_any_session_is_handed_on_and_answered() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &request("MESSAGE", ("1", "", 1), PLAIN, "hello"));
    let text = texted(&net);
    net.act(0, |endpoint, now| endpoint.answer_text(now, text, Ok(StatusCode::ACCEPTED)));

    assert_eq!(short(&net.events[0]), ["texted hello"]);
    assert_eq!(heard(&net), ["202 MESSAGE"]);
    assert!(!net.last_to(peer()).headers.contains(&Name::Contact), "RFC 3428 section 4");
}

#[test]
fn what_is_said_within_a_session_belongs_to_it() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = connected(&mut net);

    say(&mut net, &request("MESSAGE", ("3", &tag, 2), PLAIN, "hello"));

    match net.events[0].last() {
        Some(Event::Texted(texted)) => assert_eq!(texted.session, Some(session)),
        event => panic!("expected MESSAGE, found {event:?}"),
    }
}

#[test]
fn we_say_something_within_a_session_in_the_name_of_its_author() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = connected(&mut net);

    let text = Text {
        author: Some("Anna".to_owned()),
        content_type: "text/plain".to_owned(),
        body: "hello".into(),
    };
    net.act(0, |endpoint, now| endpoint.text(now, session, text));
    let message = net.last_to(peer()).clone();
    say(&mut net, &response(&message, (200, "peer"), &[], ""));

    let from = message.headers.from().unwrap();
    assert_eq!(heard(&net), ["MESSAGE"]);
    assert_eq!((from.tag(), from.display.as_deref()), (Some(tag.as_str()), Some("Anna")));
    assert_eq!(message.body, "hello");
    assert_eq!(short(&net.events[0]), ["text answered 200"]);
}

#[test]
fn too_long_a_message_is_refused() {
    let settings = Settings { text: 4, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);

    say(&mut net, &request("MESSAGE", ("1", "", 1), PLAIN, "hello"));

    assert_eq!(heard(&net), ["413 MESSAGE"]);
    assert!(net.events[0].is_empty());
}

fn texted(net: &Network) -> TextedId {
    match net.events[0].last() {
        Some(Event::Texted(texted)) => texted.text,
        event => panic!("expected MESSAGE, found {event:?}"),
    }
}
