//! Watchers of a user, by what they are told: parsed back and held against the schema of RFC 4235 §4.

use std::time::Duration;

use roxmltree::{Document, Node};

use crate::bridge::registrations::tests::{Phone, authorization};
use crate::bridge::scene::{SDP, Scene, header, response};

#[test]
fn a_call_to_a_user_is_told_from_its_first_to_its_last_state() {
    let mut phone = registered();
    let first = watch(&mut phone.scene, "");
    take(&mut phone.scene, &first);

    let [invite] = phone.ring(["desk"]);
    let trying = told(&mut phone.scene);
    phone.scene.say(response(&invite, (180, "d"), ""));
    let early = told(&mut phone.scene);
    phone.scene.say(response(&invite, (200, "d"), SDP));
    let confirmed = told(&mut phone.scene);
    let ours = header(&invite, "From").split_once(";tag=").unwrap().1.to_owned();
    phone.scene.say(bye(header(&invite, "Call-ID"), &ours));
    let terminated = told(&mut phone.scene);

    let documents = [&first, &trying, &early, &confirmed, &terminated];
    let states = ["", "trying", "early", "confirmed", "terminated"];
    for (version, (document, state)) in documents.into_iter().zip(states).enumerate() {
        let document = parse(document);
        let info = document.root_element();
        assert_eq!(info.attribute("entity"), Some("sip:alice@10.0.0.254"));
        assert_eq!(info.attribute("version"), Some(&*version.to_string()));
        let scope = if version == 0 { "full" } else { "partial" };
        assert_eq!(info.attribute("state"), Some(scope));
        assert_eq!(text(&document, "state"), state);
        let directions = all(&document, "dialog").map(|node| node.attribute("direction"));
        assert!(directions.into_iter().all(|direction| direction == Some("recipient")));
    }
    let ids = documents[1..].iter().map(|document| attribute(document, "dialog", "id"));
    let ids: Vec<String> = ids.collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(attribute(&terminated, "state", "event"), "local-bye");
}

#[test]
fn strangers_see_no_names_of_calls_and_no_parties() {
    for (is_known, named) in [(false, false), (true, true)] {
        let mut phone = registered();
        let [invite] = phone.ring(["desk"]);
        phone.scene.say(response(&invite, (180, "d"), ""));

        let notify =
            if is_known { watch_as_alice(&mut phone.scene) } else { watch(&mut phone.scene, "") };

        let document = parse(&notify);
        let dialog = all(&document, "dialog").next().unwrap();
        let call_id = header(&invite, "Call-ID");
        let ours = header(&invite, "From").split_once(";tag=").unwrap().1;
        let expected = named.then_some([call_id, "d", ours]);
        let attributes = ["call-id", "local-tag", "remote-tag"];
        let told = attributes.map(|name| dialog.attribute(name));
        assert_eq!(told, expected.map_or([None; 3], |all| all.map(Some)), "{notify}");
        assert_eq!(all(&document, "remote").count(), usize::from(named));
        assert_eq!(text(&document, "state"), "early");
        assert_eq!(text(&document, "identity"), "sip:alice@10.0.0.254");
    }
}

#[test]
fn a_refusal_a_cancel_and_an_answer_elsewhere_end_a_dialog_as_they_should() {
    for (status, event, code) in
        [(486, "rejected", "486"), (603, "rejected", "603"), (500, "error", "")]
    {
        let mut phone = registered();
        let first = watch(&mut phone.scene, "");
        take(&mut phone.scene, &first);
        let [invite] = phone.ring(["desk"]);
        let trying = told(&mut phone.scene);
        take(&mut phone.scene, &trying);

        phone.scene.say(response(&invite, (status, "d"), ""));
        let ended = told(&mut phone.scene);

        assert_eq!(attribute(&ended, "state", "event"), event);
        assert_eq!(attribute(&ended, "state", "code"), code, "{ended}");
    }
}

#[test]
fn a_phone_that_calls_from_where_it_is_registered_is_the_initiator() {
    let mut phone = registered();
    phone.scene.peer = "10.0.0.7:5070".parse().unwrap();
    let first = watch(&mut phone.scene, "");
    take(&mut phone.scene, &first);

    phone.scene.say(invite_from("alice", "1"));
    let confirmed = told(&mut phone.scene);
    phone.scene.say(invite_from("bob", "2"));

    assert_eq!(attribute(&confirmed, "dialog", "direction"), "initiator");
    assert_eq!(text(&parse(&confirmed), "state"), "confirmed");
    assert!(!phone.scene.has_sent("NOTIFY "), "it is not registered as Bob");
}

#[test]
fn whoever_says_that_it_is_the_user_must_prove_it_and_others_must_name_one() {
    let mut phone = registered();

    let claimed = subscribe(&mut phone.scene, "dialog", ("alice", "alice"), "");
    let unknown = subscribe(&mut phone.scene, "dialog", ("watcher", "carol"), "");

    assert!(claimed[0].starts_with("SIP/2.0 401 "), "{claimed:?}");
    assert!(unknown[0].starts_with("SIP/2.0 404 "), "{unknown:?}");
}

#[test]
fn a_subscription_that_ends_is_told_everything_once_more_and_then_nothing() {
    let mut phone = registered();
    let first = watch(&mut phone.scene, "");
    take(&mut phone.scene, &first);

    let last = watch(&mut phone.scene, "Expires: 0\r\n");
    take(&mut phone.scene, &last);
    phone.ring(["desk"]);
    phone.scene.wait(Duration::from_millis(500));

    assert!(last.contains("Subscription-State: terminated;reason=timeout\r\n"), "{last}");
    let told = phone.scene.sent.iter().filter(|sent| sent.starts_with("NOTIFY ")).count();
    assert_eq!(told, 1, "the first subscription stands");
}

/// Alice's desk phone is registered.
fn registered() -> Phone {
    let mut phone = Phone::new();
    phone.lines = "Contact: <sip:desk@10.0.0.7:5070>\r\n";
    phone.register("alice", "alice");
    phone
}

/// What a SUBSCRIBE of one user to a package of another is answered with.
pub(in crate::bridge) fn subscribe(
    scene: &mut Scene,
    package: &str,
    (from, user): (&str, &str),
    lines: &str,
) -> Vec<String> {
    scene.calls += 1;
    let call = scene.calls;
    scene.say(format!(
        "SUBSCRIBE sip:{user}@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKw{call}\r\n\
         From: <sip:{from}@plenary>;tag=w{call}\r\nTo: <sip:{user}@10.0.0.254>\r\n\
         Call-ID: watch{call}@10.0.0.1\r\nCSeq: 1 SUBSCRIBE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:watcher@10.0.0.1:5060>\r\nEvent: {package}\r\n\
         {lines}Content-Length: 0\r\n\r\n"
    ));
    scene.sent.clone()
}

/// A stranger follows Alice; gives the first NOTIFY.
fn watch(scene: &mut Scene, lines: &str) -> String {
    let mut answer = subscribe(scene, "dialog", ("watcher", "alice"), lines);
    assert!(answer[0].starts_with("SIP/2.0 200 "), "{answer:?}");
    answer.remove(1)
}

fn watch_as_alice(scene: &mut Scene) -> String {
    let challenged = subscribe(scene, "dialog", ("alice", "alice"), "").remove(0);
    let line = authorization(&challenged, "SUBSCRIBE", "alice");
    let mut answer = subscribe(scene, "dialog", ("alice", "alice"), &line);
    assert!(answer[0].starts_with("SIP/2.0 200 "), "{answer:?}");
    answer.remove(1)
}

/// The NOTIFY that goes once the interval has passed; it is taken.
pub(in crate::bridge) fn told(scene: &mut Scene) -> String {
    if !scene.has_sent("NOTIFY ") {
        scene.wait(Duration::from_millis(500));
    }
    let notify = scene.sent("NOTIFY ").to_owned();
    take(scene, &notify);
    notify
}

pub(in crate::bridge) fn take(scene: &mut Scene, notify: &str) {
    scene.say(response(notify, (200, "n"), ""));
}

fn bye(call_id: &str, ours: &str) -> String {
    format!(
        "BYE sip:us@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKbye\r\n\
         From: <sip:alice@plenary>;tag=d\r\nTo: <sip:hall@10.0.0.254>;tag={ours}\r\n\
         Call-ID: {call_id}\r\nCSeq: 7 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

fn invite_from(user: &str, call: &str) -> String {
    let length = SDP.len();
    format!(
        "INVITE sip:hall@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.7:5070;branch=z9hG4bKi{call}\r\n\
         From: <sip:{user}@plenary>;tag=i{call}\r\nTo: <sip:hall@10.0.0.254>\r\n\
         Call-ID: initiated{call}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:desk@10.0.0.7:5070>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{SDP}"
    )
}

fn parse(message: &str) -> Document<'_> {
    Document::parse(message.split_once("\r\n\r\n").unwrap().1).unwrap()
}

fn all<'a>(document: &'a Document<'_>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |node| node.has_tag_name((NAMESPACE, name)))
}

fn text(document: &Document<'_>, name: &str) -> String {
    all(document, name).next().and_then(|node| node.text()).unwrap_or_default().to_owned()
}

/// An attribute of the first element of this name.
fn attribute(message: &str, element: &str, name: &str) -> String {
    let document = parse(message);
    let found = all(&document, element).next().unwrap_or_else(|| panic!("{message}"));
    found.attribute(name).unwrap_or_default().to_owned()
}

const NAMESPACE: &str = "urn:ietf:params:xml:ns:dialog-info";
