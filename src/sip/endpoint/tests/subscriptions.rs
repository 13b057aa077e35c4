//! SUBSCRIBE, and the NOTIFYs that follow: RFC 6665 §4.2.

use std::time::Duration;

use super::network::{Network, Weather, short};
use super::script::{connected, heard, peer, request, response, say};
use crate::sip::endpoint::{Event, Identity, Settings, SubscriptionId};
use crate::sip::headers::Name;
use crate::sip::{Message, StatusCode};

const SHORTLY: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_hours(2);
const CONFERENCE: &str = "Event: conference\r\n";

#[test]
fn a_subscription_is_granted_and_told_the_whole_at_once() {
    let mut net = Network::new(1, 1, Weather::FINE);

    let id = subscribe(&mut net, CONFERENCE);
    tell(&mut net, id, "<all/>");

    assert_eq!(heard(&net), ["200 SUBSCRIBE", "NOTIFY"]);
    let granted = &net.sent[0].2;
    assert_eq!(header(granted, &Name::Expires), "3600");
    assert!(header(granted, &Name::Contact).ends_with(";isfocus"));
    let notify = net.last_to(peer());
    assert_eq!(header(notify, &Name::Event), "conference");
    assert_eq!(header(notify, &Name::SubscriptionState), "active;expires=3600");
    assert_eq!(header(notify, &Name::ContentType), "application/conference-info+xml");
    assert!(header(notify, &Name::Contact).ends_with(";isfocus"));
    assert_eq!(notify.headers.to().unwrap().tag(), Some("peer"));
    assert_eq!(notify.body, "<all/>");
    assert_eq!(short(&net.events[0]), ["subscribing conference", "notify due whole"]);
}

#[test]
fn changes_that_come_fast_are_told_together_and_only_after_the_interval() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (id, _) = subscribed(&mut net, CONFERENCE);

    for _ in 0..3 {
        net.act(0, |endpoint, now| endpoint.note_news(now, id));
    }
    net.run(Duration::from_millis(499));
    let before = net.events[0].len();
    net.run(SHORTLY);

    assert_eq!(before, 0);
    assert_eq!(short(&net.events[0]), ["notify due"]);
}

#[test]
fn no_notify_goes_while_another_waits_for_its_answer() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let id = subscribe(&mut net, CONFERENCE);
    tell(&mut net, id, "one");

    net.act(0, |endpoint, now| endpoint.note_news(now, id));
    net.run(Duration::from_secs(3));
    let before = short(&net.events[0]);
    answer_notify(&mut net, 200);

    assert_eq!(before, ["subscribing conference", "notify due whole"]);
    assert_eq!(short(&net.events[0]).last().unwrap(), "notify due");
}

#[test]
fn a_refresh_is_granted_and_told_everything_again() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (id, tag) = subscribed(&mut net, CONFERENCE);

    let more = format!("{CONFERENCE}Expires: 600\r\n");
    say(&mut net, &request("SUBSCRIBE", ("r", &tag, 2), &more, ""));
    tell(&mut net, id, "again");

    assert_eq!(heard(&net), ["200 SUBSCRIBE", "NOTIFY"]);
    assert_eq!(short(&net.events[0]), ["notify due whole"]);
    let state = header(net.last_to(peer()), &Name::SubscriptionState);
    assert_eq!(state, "active;expires=600");
}

#[test]
fn an_unsubscribe_is_told_everything_for_the_last_time() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (id, tag) = subscribed(&mut net, CONFERENCE);

    let more = format!("{CONFERENCE}Expires: 0\r\n");
    say(&mut net, &request("SUBSCRIBE", ("r", &tag, 2), &more, ""));
    tell(&mut net, id, "last");

    let notify = net.last_to(peer());
    assert_eq!(header(notify, &Name::SubscriptionState), "terminated;reason=timeout");
    assert_eq!(notify.body, "last");
    assert_eq!(short(&net.events[0]), ["notify due whole", "unsubscribed"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_fetch_is_told_once() {
    let mut net = Network::new(1, 1, Weather::FINE);

    let id = subscribe(&mut net, &format!("{CONFERENCE}Expires: 0\r\n"));
    tell(&mut net, id, "once");

    assert_eq!(heard(&net), ["200 SUBSCRIBE", "NOTIFY"]);
    let state = header(net.last_to(peer()), &Name::SubscriptionState);
    assert_eq!(state, "terminated;reason=timeout");
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_subscription_that_nobody_refreshes_expires() {
    let mut net = Network::new(1, 1, Weather::FINE);
    subscribed(&mut net, &format!("{CONFERENCE}Expires: 60\r\n"));

    net.run(Duration::from_secs(61));

    let state = header(net.last_to(peer()), &Name::SubscriptionState);
    assert_eq!(state, "terminated;reason=timeout");
    assert_eq!(short(&net.events[0]), ["unsubscribed"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn the_user_ends_a_subscription_and_says_why() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (id, _) = subscribed(&mut net, CONFERENCE);

    net.act(0, |endpoint, now| endpoint.end_subscription(now, id, "noresource"));

    let state = header(net.last_to(peer()), &Name::SubscriptionState);
    assert_eq!(state, "terminated;reason=noresource");
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_subscriber_that_knows_nothing_of_it_is_forgotten() {
    for status in [481, 404] {
        let mut net = Network::new(1, 1, Weather::FINE);
        let id = subscribe(&mut net, CONFERENCE);
        tell(&mut net, id, "one");

        answer_notify(&mut net, status);

        assert_eq!(short(&net.events[0]).last().unwrap(), "unsubscribed", "{status}");
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn a_subscriber_that_never_answers_is_forgotten() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let id = subscribe(&mut net, CONFERENCE);
    tell(&mut net, id, "one");

    net.run(Duration::from_mins(2));

    assert_eq!(short(&net.events[0]).last().unwrap(), "unsubscribed");
    net.assert_empty();
}

#[test]
fn a_subscriber_in_trouble_is_told_everything_later_and_not_for_ever() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let id = subscribe(&mut net, CONFERENCE);
    tell(&mut net, id, "one");

    let mut dues = Vec::new();
    for _ in 0..4 {
        net.events[0].clear();
        answer_notify(&mut net, 503);
        net.run(Duration::from_secs(6));
        dues.push(short(&net.events[0]).concat());
        tell(&mut net, id, "more");
    }

    let due = "notify due whole";
    assert_eq!(dues, [due, due, due, "unsubscribed"]);
}

#[test]
fn what_cannot_be_granted_is_refused_with_what_could_be() {
    let refusals = [
        ("", 489, Name::AllowEvents, "conference, dialog, presence, refer"),
        ("Event: presence-x\r\n", 489, Name::AllowEvents, "conference, dialog, presence, refer"),
        ("Event: conference\r\nExpires: 30\r\n", 423, Name::MinExpires, "60"),
        (
            "Event: conference\r\nAccept: text/plain\r\n",
            406,
            Name::Accept,
            "application/conference-info+xml",
        ),
        ("Event: conference\r\nExpires: soon\r\n", 400, Name::CSeq, "1 SUBSCRIBE"),
    ];
    for (more, status, name, value) in refusals {
        let mut net = Network::new(1, 1, Weather::FINE);

        say(&mut net, &request("SUBSCRIBE", ("1", "", 1), more, ""));

        let answer = net.last_to(peer());
        assert_eq!(answer.status().unwrap().code(), status, "{more}");
        assert_eq!(header(answer, &name), value, "{more}");
        assert!(net.events[0].is_empty());
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn a_refused_subscription_leaves_nothing() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &request("SUBSCRIBE", ("1", "", 1), CONFERENCE, ""));
    let id = subscription(&net);
    net.act(0, |endpoint, now| {
        endpoint.answer_subscribe(now, id, Err(StatusCode::FORBIDDEN.into()));
    });

    assert_eq!(heard(&net), ["403 SUBSCRIBE"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn neither_one_source_nor_all_fill_the_table() {
    let settings = Settings { subscriptions_per_source: 1, ..Settings::default() };
    let mut net = Network::with_settings(1, (1, Weather::FINE), &settings);
    subscribed(&mut net, CONFERENCE);

    let other = request("SUBSCRIBE", ("2", "", 1), CONFERENCE, "").replace("scripted", "other");
    say(&mut net, &other);

    assert_eq!(heard(&net), ["503 SUBSCRIBE"]);
}

#[test]
fn a_subscription_within_a_call_shares_its_dialog_and_outlives_it() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = connected(&mut net);
    say(&mut net, &request("SUBSCRIBE", ("3", &tag, 2), CONFERENCE, ""));
    let id = subscription(&net);
    let of = match net.events[0].last() {
        Some(Event::Subscribing(subscribing)) => subscribing.session,
        event => panic!("expected SUBSCRIBE, found {event:?}"),
    };
    net.act(0, |endpoint, now| {
        endpoint.answer_subscribe(now, id, Ok(Identity::focus("room")));
        endpoint.notify(now, id, "one".into());
    });

    say(&mut net, &request("BYE", ("4", &tag, 3), "", ""));
    let counts = net.endpoints[0].counts();
    net.act(0, |endpoint, now| endpoint.end_subscription(now, id, "noresource"));

    assert_eq!(of, Some(session));
    assert_eq!((counts.sessions, counts.dialogs, counts.subscriptions), (0, 1, 1));
    assert_eq!(heard(&net), ["200 SUBSCRIBE", "NOTIFY", "200 BYE", "NOTIFY"]);
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn a_dialog_bears_few_subscriptions() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, tag) = connected(&mut net);

    for number in 2..7 {
        let more = format!("Event: conference;id={number}\r\n");
        let branch = number.to_string();
        say(&mut net, &request("SUBSCRIBE", (&branch, &tag, number), &more, ""));
        if let Some(Event::Subscribing(subscribing)) = net.events[0].last().cloned() {
            let id = subscribing.subscription;
            net.act(0, |endpoint, now| {
                endpoint.answer_subscribe(now, id, Ok(Identity::focus("room")));
            });
        }
    }

    assert_eq!(net.endpoints[0].counts().subscriptions, 4);
    assert_eq!(heard(&net).last().unwrap(), "503 SUBSCRIBE");
}

/// The scripted peer subscribes, and is granted it.
fn subscribe(net: &mut Network, more: &str) -> SubscriptionId {
    say(net, &request("SUBSCRIBE", ("1", "", 1), more, ""));
    let id = subscription(net);
    net.act(0, |endpoint, now| {
        endpoint.answer_subscribe(now, id, Ok(Identity::focus("room")));
    });
    id
}

/// As [`subscribe`], with the first NOTIFY told and taken, and all that forgotten but our tag.
fn subscribed(net: &mut Network, more: &str) -> (SubscriptionId, String) {
    let id = subscribe(net, more);
    tell(net, id, "first");
    answer_notify(net, 200);
    let tag = net.last_to(peer()).headers.from().unwrap().tag().unwrap().to_owned();
    net.forget();
    (id, tag)
}

fn tell(net: &mut Network, id: SubscriptionId, body: &'static str) {
    net.act(0, |endpoint, now| endpoint.notify(now, id, body.into()));
}

/// Answers the last NOTIFY.
fn answer_notify(net: &mut Network, status: u16) {
    let notify = net.last_to(peer()).clone();
    let text = response(&notify, (status, "peer"), &[], "");
    say(net, &text);
}

fn subscription(net: &Network) -> SubscriptionId {
    match net.events[0].last() {
        Some(Event::Subscribing(subscribing)) => subscribing.subscription,
        event => panic!("expected SUBSCRIBE, found {event:?}"),
    }
}

fn header(message: &Message, name: &Name) -> String {
    String::from_utf8(message.headers.first(name).unwrap().to_vec()).unwrap()
}
