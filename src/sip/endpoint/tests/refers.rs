//! REFER and the reports that follow it.

use std::time::Duration;

use super::network::{Network, Weather, address, referred, short, uri};
use super::script::{connected, heard, peer, request, response, say, tag};
use crate::sip::StatusCode;
use crate::sip::headers::Name;

const SHORTLY: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_mins(5);

#[test]
fn a_refer_is_accepted_and_its_call_reported_to_the_end() {
    let (mut net, ours, _) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.refer(now, ours, uri(7), None));
    net.run(SHORTLY);
    let refer = referred(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer_refer(now, refer, StatusCode::ACCEPTED));
    net.run(SHORTLY);
    for status in [StatusCode::RINGING, StatusCode::OK] {
        net.act(1, |endpoint, now| endpoint.notify_refer(now, refer, status, None));
        net.run(SHORTLY);
    }

    let expected = [
        "refer answered 202",
        "refer progress 100",
        "refer progress 180",
        "refer progress 200 last",
    ];
    assert_eq!(short(&net.events[0]), expected);
    assert_eq!(short(&net.events[1]), ["referred sip:u7@192.0.2.8:5060"]);
    assert!(net.endpoints.iter().all(|endpoint| endpoint.counts().refers == 0));
}

#[test]
fn reports_outlive_the_call_they_came_with() {
    let (mut net, ours, _) = Network::connected(1);
    net.act(0, |endpoint, now| endpoint.refer(now, ours, uri(7), None));
    net.run(SHORTLY);
    let refer = referred(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer_refer(now, refer, StatusCode::ACCEPTED));
    net.run(SHORTLY);

    net.act(0, |endpoint, now| endpoint.hang_up(now, ours, None));
    net.run(SHORTLY);
    let in_between = net.endpoints[0].counts();
    net.act(1, |endpoint, now| endpoint.notify_refer(now, refer, StatusCode::BUSY_HERE, None));
    net.run(LONG);

    assert_eq!((in_between.sessions, in_between.dialogs), (0, 1));
    assert_eq!(short(&net.events[0]).last().unwrap(), "refer progress 486 last");
    net.assert_empty();
}

#[test]
fn a_declined_refer_is_over() {
    let (mut net, ours, _) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.refer(now, ours, uri(7), None));
    net.run(SHORTLY);
    let refer = referred(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer_refer(now, refer, StatusCode::DECLINE));
    net.run(SHORTLY);

    assert_eq!(short(&net.events[0]), ["refer answered 603"]);
    assert!(net.endpoints.iter().all(|endpoint| endpoint.counts().refers == 0));
}

#[test]
fn subscriptions_expire_on_both_sides() {
    let (mut net, ours, _) = Network::connected(1);
    net.act(0, |endpoint, now| endpoint.refer(now, ours, uri(7), None));
    net.run(SHORTLY);
    let refer = referred(&net.events[1]);
    net.act(1, |endpoint, now| endpoint.answer_refer(now, refer, StatusCode::ACCEPTED));

    net.run(LONG);

    assert_eq!(short(&net.events[0]).last().unwrap(), "refer progress 408 last");
    assert!(net.endpoints.iter().all(|endpoint| endpoint.counts().refers == 0));
}

#[test]
fn a_refer_nobody_decides_on_is_forgotten() {
    let (mut net, ours, _) = Network::connected(1);

    net.act(0, |endpoint, now| endpoint.refer(now, ours, uri(7), None));
    net.run(LONG);

    assert_eq!(short(&net.events[0]), ["refer answered 408"]);
    assert!(net.endpoints.iter().all(|endpoint| endpoint.counts().refers == 0));
}

#[test]
fn a_refer_outside_any_dialog_makes_one() {
    let mut net = Network::new(1, 1, Weather::FINE);

    say(&mut net, &request("REFER", ("1", "", 1), "Refer-To: <sip:c@192.0.2.9>\r\n", ""));
    let refer = referred(&net.events[0]);
    net.act(0, |endpoint, now| {
        endpoint.answer_refer(now, refer, StatusCode::ACCEPTED);
        endpoint.notify_refer(now, refer, StatusCode::OK, None);
    });

    assert_eq!(heard(&net), ["202 REFER", "NOTIFY", "NOTIFY"]);
    let notify = net.last_to(peer());
    let header = |name| String::from_utf8(notify.headers.first(&name).unwrap().to_vec()).unwrap();
    assert_eq!(header(Name::Event), "refer;id=1");
    assert_eq!(header(Name::SubscriptionState), "terminated;reason=noresource");
    assert_eq!(header(Name::ContentType), "message/sipfrag;version=2.0");
    assert_eq!(notify.body, "SIP/2.0 200 OK\r\n");
    assert_eq!(notify.headers.to().unwrap().tag(), Some("peer"));
    net.run(LONG);
    net.assert_empty();
}

#[test]
fn refer_sub_false_asks_for_silence() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, dialog_tag) = connected(&mut net);

    let more = "Refer-To: <sip:c@192.0.2.9>\r\nRefer-Sub: false\r\n";
    say(&mut net, &request("REFER", ("3", &dialog_tag, 2), more, ""));
    let refer = referred(&net.events[0]);
    net.act(0, |endpoint, now| {
        endpoint.answer_refer(now, refer, StatusCode::OK);
        endpoint.notify_refer(now, refer, StatusCode::OK, None);
    });

    assert_eq!(heard(&net), ["200 REFER"]);
    assert_eq!(net.last_to(peer()).headers.first(&Name::ReferSub).unwrap(), "false");
    assert_eq!(tag(&net), dialog_tag);
    assert_eq!(net.endpoints[0].counts().refers, 0);
}

#[test]
fn a_notify_before_the_202_counts_and_another_id_does_not() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, tag) = connected(&mut net);
    net.act(0, |endpoint, now| endpoint.refer(now, session, uri(7), None));
    let refer = net.last_to(peer()).clone();
    let id = refer.headers.cseq().unwrap().number;
    let notify = |branch: &str, sequence: u32, id: u32, state: &str, fragment: &str| {
        let more = format!("Event: refer;id={id}\r\nSubscription-State: {state}\r\n");
        request("NOTIFY", (branch, &tag, sequence), &more, fragment)
    };

    say(&mut net, &notify("3", 2, id, "active", "SIP/2.0 180 Ringing\r\n"));
    say(&mut net, &notify("4", 3, id + 1, "active", "SIP/2.0 200 OK\r\n"));
    say(&mut net, &response(&refer, (202, "peer"), &[], ""));
    say(&mut net, &notify("5", 4, id, "terminated", "SIP/2.0 200 OK\r\n"));

    assert_eq!(heard(&net), ["REFER", "200 NOTIFY", "481 NOTIFY", "200 NOTIFY"]);
    let expected = ["refer progress 180", "refer answered 202", "refer progress 200 last"];
    assert_eq!(short(&net.events[0]), expected);
}

#[test]
fn a_refer_without_a_call_is_481() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let nobody = crate::sip::endpoint::SessionId(77);

    net.act(0, |endpoint, now| endpoint.refer(now, nobody, uri(7), None));

    assert_eq!(short(&net.events[0]), ["refer answered 481"]);
    assert_eq!(net.log_to(address(7)), [""; 0]);
}
