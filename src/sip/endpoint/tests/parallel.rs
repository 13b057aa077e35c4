//! Calls that ring at several phones at once: RFC 3261 §16.6 and §16.7, RFC 3326.

use std::time::Duration;

use super::network::{Network, Weather, invitation, sdp, short};
use super::script::{peer, response, say};
use crate::sip::endpoint::{Event, Invitation, SessionId, Target};
use crate::sip::headers::Name;
use crate::sip::{Message, Method, Uri};

const LONG: Duration = Duration::from_secs(100);

#[test]
fn the_first_who_answers_has_the_call_and_the_others_are_told_that_somebody_has() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b", "c"], &["d"]]);
    let [a, b, c] = ["a", "b", "c"].map(|phone| invite_to(&net, phone));

    say(&mut net, &response(&a, (180, "a"), &[], ""));
    say(&mut net, &response(&b, (180, "b"), &[], ""));
    say(&mut net, &response(&c, (100, "c"), &[], ""));
    net.forget();
    say(&mut net, &response(&b, (200, "b"), &[], "answer"));

    assert_eq!(short(&net.events[0]), ["answered answer"]);
    let mut told = said(&net);
    told.sort();
    assert_eq!(told, ["ACK b", "CANCEL a", "CANCEL c"]);
    let reason = "SIP;cause=200;text=\"Call completed elsewhere\"";
    let cancel = sent(&net, &Method::Cancel, "a");
    assert_eq!(cancel.headers.first(&Name::Reason).unwrap(), reason);
    say(&mut net, &response(&a, (487, "a"), &[], ""));
    say(&mut net, &response(&c, (487, "c"), &[], ""));
    net.run(LONG);
    assert_eq!(net.endpoints[0].counts().dialogs, 1);
    assert_eq!(net.endpoints[0].counts().client_transactions, 0);
}

#[test]
fn branches_of_a_call_differ_in_what_tells_them_apart_only() {
    let mut net = Network::new(1, 1, Weather::FINE);

    call(&mut net, &[&["a", "b"]]);

    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    let [one, other] = [&a, &b].map(|invite| &invite.headers);
    assert_eq!(one.call_id(), other.call_id());
    assert_eq!((one.first(&Name::From), one.first(&Name::CSeq)), {
        (other.first(&Name::From), other.first(&Name::CSeq))
    });
    assert_ne!(one.first(&Name::Via), other.first(&Name::Via));
    assert_eq!(a.body, b.body);
}

#[test]
fn an_answer_that_comes_late_is_acknowledged_and_ended() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"]]);
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    say(&mut net, &response(&a, (180, "a"), &[], ""));
    net.forget();

    say(&mut net, &response(&b, (200, "b"), &[], "answer b"));
    say(&mut net, &response(&a, (200, "a"), &[], "answer a"));

    assert_eq!(short(&net.events[0]), ["answered answer b"]);
    assert_eq!(said(&net), ["CANCEL a", "ACK b", "ACK a", "BYE a"]);
    assert_eq!(net.endpoints[0].counts().dialogs, 1);
}

#[test]
fn who_answers_before_a_cancel_may_go_out_to_another_silences_it_all_the_same() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"]]);
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    say(&mut net, &response(&b, (200, "b"), &[], "answer"));
    net.forget();

    say(&mut net, &response(&a, (180, "a"), &[], ""));

    assert_eq!(said(&net), ["CANCEL a"]);
    assert_eq!(short(&net.events[0]), [""; 0]);
}

#[test]
fn a_6xx_ends_all() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"], &["c"]]);
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    say(&mut net, &response(&a, (180, "a"), &[], ""));
    net.forget();

    say(&mut net, &response(&b, (603, "b"), &[], ""));

    assert_eq!(short(&net.events[0]), ["failed 603"]);
    assert_eq!(said(&net), ["ACK b", "CANCEL a"]);
    let cancel = sent(&net, &Method::Cancel, "a");
    assert_eq!(cancel.headers.first(&Name::Reason).unwrap(), "SIP;cause=603;text=\"Decline\"");
}

#[test]
fn of_all_refusals_the_best_is_told() {
    for (refusals, best) in [
        ([486, 408, 480], "failed 486"),
        ([503, 500, 480], "failed 480"),
        ([404, 486, 488], "failed 404"),
        ([500, 404, 484], "failed 484"),
        ([408, 480, 503], "failed 408"),
        ([503, 500, 302], "failed 302"),
    ] {
        let mut net = Network::new(1, 1, Weather::FINE);
        call(&mut net, &[&["a", "b"], &["c"]]);

        for (phone, status) in ["a", "b", "c"].into_iter().zip(refusals) {
            let invite = invite_to(&net, phone);
            let contact: &[(&str, &str)] =
                if status == 302 { &[("Contact", "<sip:a@192.0.2.100:5060>")] } else { &[] };
            say(&mut net, &response(&invite, (status, phone), contact, ""));
        }

        assert_eq!(short(&net.events[0]), [best], "{refusals:?}");
        net.run(LONG);
        net.assert_empty();
    }
}

#[test]
fn the_next_group_rings_once_all_of_one_have_refused() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"], &["c"]]);
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));

    say(&mut net, &response(&a, (486, "a"), &[], ""));
    let early = has_invited(&net, "c");
    say(&mut net, &response(&b, (480, "b"), &[], ""));

    assert!(!early && has_invited(&net, "c"));
    let c = invite_to(&net, "c");
    assert_eq!(c.headers.cseq().unwrap().number, 2);
    say(&mut net, &response(&c, (200, "c"), &[], "answer"));
    assert_eq!(short(&net.events[0]), ["answered answer"]);
}

#[test]
fn a_group_of_which_nobody_says_anything_gives_way_soon() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"], &["c"]]);
    let b = invite_to(&net, "b");
    say(&mut net, &response(&b, (100, ""), &[], ""));

    net.run(Duration::from_secs(5));
    let early = has_invited(&net, "c");
    say(&mut net, &response(&b, (486, "b"), &[], ""));
    let then = has_invited(&net, "c");
    net.run(Duration::from_secs(33));

    assert!(!early, "b is there");
    assert!(then, "a is not");
    assert_eq!(said(&net).iter().filter(|said| *said == "INVITE a").count(), 4);
    assert_eq!(said(&net).iter().filter(|said| *said == "INVITE c").count(), 7);
    assert_eq!(short(&net.events[0]), ["failed 486"]);
}

#[test]
fn a_group_that_rings_for_long_gives_way_to_one_that_waits() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let groups = groups(&[&["a", "b"], &["c"]]);
    let patience = Some(Duration::from_secs(20));
    let call = Invitation { targets: groups, patience, ..invitation(0, 99, Some("offer")) };
    net.act(0, |endpoint, now| endpoint.invite(now, call));
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    say(&mut net, &response(&a, (180, "a"), &[], ""));
    say(&mut net, &response(&b, (486, "b"), &[], ""));
    net.forget();

    net.run(Duration::from_secs(19));
    let early = said(&net);
    net.run(Duration::from_secs(2));
    let c = invite_to(&net, "c");
    say(&mut net, &response(&c, (180, "c"), &[], ""));
    net.run(Duration::from_secs(100));

    assert_eq!(early, [""; 0]);
    assert!(said(&net).contains(&"CANCEL a".to_owned()));
    assert!(!said(&net).contains(&"CANCEL c".to_owned()), "nobody waits for c");
    assert_eq!(short(&net.events[0]), ["progress 180 -"]);
}

#[test]
fn a_phone_that_redirects_is_followed_while_the_others_ring() {
    let mut net = Network::new(1, 1, Weather::FINE);
    call(&mut net, &[&["a", "b"]]);
    let [a, b] = ["a", "b"].map(|phone| invite_to(&net, phone));
    say(&mut net, &response(&b, (180, "b"), &[], ""));

    let contacts = "<sip:mobile@192.0.2.100>, <sip:office@192.0.2.100>;q=0.5";
    say(&mut net, &response(&a, (302, "a"), &[("Contact", contacts)], ""));
    let early = has_invited(&net, "office");
    let mobile = invite_to(&net, "mobile");
    say(&mut net, &response(&mobile, (486, "m"), &[], ""));
    say(&mut net, &response(&b, (486, "b"), &[], ""));
    let office = invite_to(&net, "office");
    say(&mut net, &response(&office, (200, "o"), &[], "answer"));

    assert!(!early);
    assert_eq!(short(&net.events[0]), ["progress 180 -", "answered answer"]);
}

#[test]
fn each_phone_may_be_offered_its_own_and_who_answered_is_told() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let mut groups = groups(&[&["desk", "web"]]);
    groups[0][1].offer = Some(sdp("offer of a browser"));
    let call = Invitation { targets: groups, ..invitation(0, 99, Some("offer")) };
    net.act(0, |endpoint, now| endpoint.invite(now, call));
    let [desk, web] = ["desk", "web"].map(|phone| invite_to(&net, phone));

    say(&mut net, &response(&web, (200, "w"), &[], "answer"));

    assert_eq!((&desk.body[..], &web.body[..]), (&b"offer"[..], &b"offer of a browser"[..]));
    let Some(Event::Answered { target, .. }) = net.events[0].last() else { panic!("no answer") };
    assert_eq!(target.uri.user(), Some("web"));
    assert_eq!(target.offer, Some(sdp("offer of a browser")));
}

#[test]
fn what_one_phone_said_early_is_not_the_answer_of_another() {
    for (answers, expected) in [("a", "answered early"), ("b", "answered -")] {
        let mut net = Network::new(1, 1, Weather::FINE);
        call(&mut net, &[&["a", "b"]]);
        let a = invite_to(&net, "a");
        say(&mut net, &response(&a, (183, "a"), &[], "early"));

        let invite = invite_to(&net, answers);
        say(&mut net, &response(&invite, (200, answers), &[], ""));

        assert_eq!(short(&net.events[0]), ["progress 183 early", expected]);
    }
}

#[test]
fn a_call_to_nobody_fails() {
    let mut net = Network::new(1, 1, Weather::FINE);

    call(&mut net, &[&[], &[]]);

    assert_eq!(short(&net.events[0]), ["failed 480"]);
    net.assert_empty();
}

/// Endpoint 0 calls phones of the scripted peer, a group after the other.
fn call(net: &mut Network, phones: &[&[&str]]) -> SessionId {
    let call = Invitation { targets: groups(phones), ..invitation(0, 99, Some("offer")) };
    net.act(0, |endpoint, now| endpoint.invite(now, call))
}

fn groups(phones: &[&[&str]]) -> Vec<Vec<Target>> {
    let target = |phone: &&str| {
        Target::from(Uri::parse(format!("sip:{phone}@{}", peer()).as_bytes()).expect("a URI"))
    };
    phones.iter().map(|group| group.iter().map(target).collect()).collect()
}

fn invite_to(net: &Network, phone: &str) -> Message {
    sent(net, &Method::Invite, phone)
}

/// The last message of this method that went to a phone.
fn sent(net: &Network, method: &Method, phone: &str) -> Message {
    let found = net.sent.iter().rev().find(|(_, _, sent)| {
        sent.method() == Some(method) && sent.uri().and_then(Uri::user) == Some(phone)
    });
    found.unwrap_or_else(|| panic!("no {method} to {phone}")).2.clone()
}

fn has_invited(net: &Network, phone: &str) -> bool {
    said(net).contains(&format!("INVITE {phone}"))
}

/// All requests in short.
fn said(net: &Network) -> Vec<String> {
    let line = |sent: &Message| Some(format!("{} {}", sent.method()?, sent.uri()?.user()?));
    net.sent.iter().filter_map(|(_, _, sent)| line(sent)).collect()
}
