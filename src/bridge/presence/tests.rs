//! What is told of how users are: documents are parsed back and held against RFC 3863 and RFC 4480.

use api::control::Command;
use roxmltree::Document;
use serde_json::json;

use super::*;
use crate::bridge::lines::tests::{subscribe, take, told};
use crate::bridge::registrations::tests::{Phone, authorization};
use crate::bridge::scene::{SDP, header, response};

const DESK: &str = "Contact: <sip:desk@10.0.0.7:5070>\r\n";

#[test]
fn a_user_is_open_while_it_is_registered_and_on_the_phone_while_it_is_in_a_call() {
    let mut phone = Phone::new();
    let first = watch(&mut phone);
    take(&mut phone.scene, &first);

    phone.lines = DESK;
    phone.register("alice", "alice");
    let event = phone.scene.told("presence.updated");
    let registered = told(&mut phone.scene);
    let [invite] = phone.ring(["desk"]);
    phone.scene.say(response(&invite, (200, "d"), SDP));
    let in_call = told(&mut phone.scene);
    phone.scene.say(bye(&invite));
    let after = told(&mut phone.scene);
    phone.lines = "Contact: *\r\nExpires: 0\r\n";
    phone.register("alice", "alice");
    let gone = told(&mut phone.scene);

    assert_eq!((&event["user"], &event["status"]), (&json!("alice"), &json!("open")));
    let said = [&first, &registered, &in_call, &after, &gone].map(|notify| read(notify));
    let open = ("open".to_owned(), vec![], None);
    let closed = ("closed".to_owned(), vec![], None);
    let busy = ("open".to_owned(), vec!["on-the-phone".to_owned()], None);
    assert_eq!(said, [closed.clone(), open.clone(), busy, open, closed]);
    assert!(registered.contains("Content-Type: application/pidf+xml\r\n"), "{registered}");
}

#[test]
fn what_a_phone_publishes_is_told_until_it_expires() {
    let mut phone = Phone::new();
    phone.lines = DESK;
    phone.register("alice", "alice");

    let published = publish_as(&mut phone, "alice", ("alice", "Expires: 60\r\n"), BODY);
    let updated = phone.scene.told("presence.updated");
    let deadline = phone.scene.deadline.unwrap();
    let notify = watch(&mut phone);
    phone.scene.wait(std::time::Duration::from_mins(1));

    assert!(published.starts_with("SIP/2.0 200 "), "{published}");
    assert_eq!(header(&published, "Expires"), "60");
    assert!(!header(&published, "SIP-ETag").is_empty());
    assert_eq!((&updated["note"], &updated["activities"]), (&json!("<gone>"), &json!(["away"])));
    let told = ("open".to_owned(), vec!["away".to_owned()], Some("<gone>".to_owned()));
    assert_eq!(read(&notify), told);
    assert!(deadline <= phone.scene.now);
    assert_eq!(phone.scene.told("presence.updated")["note"], json!(null));
}

#[test]
fn nobody_publishes_for_somebody_else() {
    let mut phone = Phone::new();

    let unproven = publish(&mut phone, "alice", "", BODY);
    let other = publish_as(&mut phone, "bob", ("alice", ""), BODY);

    assert!(unproven.starts_with("SIP/2.0 401 "), "{unproven}");
    assert!(other.starts_with("SIP/2.0 403 "), "{other}");
    assert!(phone.scene.names().is_empty(), "{:?}", phone.scene.names());
}

#[test]
fn a_publication_that_is_not_there_is_412() {
    let mut phone = Phone::new();

    let refused = publish_as(&mut phone, "alice", ("alice", "SIP-If-Match: x\r\n"), "");

    assert!(refused.starts_with("SIP/2.0 412 Conditional Request Failed\r\n"), "{refused}");
}

#[test]
fn what_the_api_says_counts_more_until_it_is_taken_back() {
    let mut phone = Phone::new();
    phone.lines = DESK;
    phone.register("alice", "alice");
    publish_as(&mut phone, "alice", ("alice", ""), BODY);
    let set = |phone: &mut Phone, body: serde_json::Value| {
        let (user, body) = ("alice".to_owned(), serde_json::from_value(body).unwrap());
        phone.scene.ask(|reply| Command::SetPresence { user, body, reply })
    };

    let said = set(&mut phone, json!({"status": "closed", "note": "Back on Monday"})).unwrap();
    let told = phone.scene.names();
    let again = set(&mut phone, json!({"status": "closed", "note": "Back on Monday"}));
    let untold = phone.scene.names();
    let back = set(&mut phone, json!({})).unwrap();
    let query = PageQuery::default();
    let list = phone.scene.ask(|reply| Command::ListPresence { query, reply }).unwrap().items;

    assert_eq!(
        (said.status, said.note.as_deref()),
        (PresenceStatus::Closed, Some("Back on Monday"))
    );
    assert_eq!((told, untold), (vec!["presence.updated"], vec![]));
    assert_eq!(again.unwrap(), said);
    assert_eq!((back.status, back.note.as_deref()), (PresenceStatus::Open, Some("<gone>")));
    let users: Vec<&str> = list.iter().map(|presence| presence.user.as_str()).collect();
    assert_eq!(users, ["bob", "alice"]);
    let unknown = phone.scene.ask(|reply| Command::Presence { user: "carol".to_owned(), reply });
    assert!(unknown.is_err());
}

const BODY: &str = "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" \
    xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" \
    entity=\"sip:alice@plenary\"><tuple id=\"t\"><status><basic>open</basic></status></tuple>\
    <note>&lt;gone&gt;</note><dm:person id=\"p\"><r:activities><r:away/></r:activities></dm:person>\
    </presence>";

/// What a PUBLISH for `user` is answered with.
fn publish(phone: &mut Phone, user: &str, lines: &str, body: &str) -> String {
    phone.scene.calls += 1;
    let (call, length) = (phone.scene.calls, body.len());
    let kind = if body.is_empty() { "" } else { "Content-Type: application/pidf+xml\r\n" };
    phone.scene.say(format!(
        "PUBLISH sip:{user}@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKp{call}\r\n\
         From: <sip:{user}@plenary>;tag=p{call}\r\nTo: <sip:{user}@plenary>\r\n\
         Call-ID: publish{call}@10.0.0.1\r\nCSeq: 1 PUBLISH\r\nMax-Forwards: 70\r\n\
         Event: presence\r\n{lines}{kind}Content-Length: {length}\r\n\r\n{body}"
    ));
    phone.scene.sent("SIP/2.0 ").to_owned()
}

/// The same with the password of another user.
fn publish_as(phone: &mut Phone, by: &str, (user, lines): (&str, &str), body: &str) -> String {
    let challenged = publish(phone, user, "", body);
    let line = authorization(&challenged, "PUBLISH", by);
    publish(phone, user, &format!("{line}{lines}"), body)
}

/// A stranger follows how Alice is; gives the first NOTIFY.
fn watch(phone: &mut Phone) -> String {
    let mut answer = subscribe(&mut phone.scene, "presence", ("watcher", "alice"), "");
    assert!(answer[0].starts_with("SIP/2.0 200 "), "{answer:?}");
    answer.remove(1)
}

fn bye(invite: &str) -> String {
    let ours = header(invite, "From").split_once(";tag=").unwrap().1;
    let call_id = header(invite, "Call-ID");
    format!(
        "BYE sip:us@10.0.0.254 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKbye\r\n\
         From: <sip:alice@plenary>;tag=d\r\nTo: <sip:hall@10.0.0.254>;tag={ours}\r\n\
         Call-ID: {call_id}\r\nCSeq: 7 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Status, activities and note of a NOTIFY.
fn read(notify: &str) -> (String, Vec<String>, Option<String>) {
    let document = Document::parse(notify.split_once("\r\n\r\n").unwrap().1).unwrap();
    let presence = document.root_element();
    assert_eq!(presence.attribute("entity"), Some("sip:alice@10.0.0.254"));
    let all = |namespace: &'static str, name: &'static str| {
        presence.descendants().filter(move |node| node.has_tag_name((namespace, name)))
    };
    let pidf = "urn:ietf:params:xml:ns:pidf";
    let text = |name| all(pidf, name).next().and_then(|node| node.text()).map(str::to_owned);
    let lists = all("urn:ietf:params:xml:ns:pidf:rpid", "activities");
    let activities = lists.flat_map(|list| list.children());
    let activities = activities.map(|activity| activity.tag_name().name().to_owned()).collect();
    (text("basic").unwrap(), activities, text("note"))
}
