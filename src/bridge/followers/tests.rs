//! Followers of a room, by what they are told: parsed back and held against the schema of RFC 4575 §5.

use std::time::Duration;

use api::control::{Command, IfMatch};
use roxmltree::{Document, Node};

use crate::bridge::scene::Scene;
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;

#[test]
fn a_follower_is_told_the_whole_room_first() {
    let mut scene = scene();
    scene.call("standup");

    let notify = follow(&mut scene, "standup");

    let document = parse(&notify);
    let info = document.root_element();
    assert_eq!(info.attribute("entity"), Some("sip:standup@10.0.0.254"));
    assert_eq!(info.attribute("state"), Some("full"));
    assert_eq!(info.attribute("version"), Some("1"));
    assert_eq!(text(&document, "user-count"), "1");
    assert_eq!(text(&document, "locked"), "false");
    assert_eq!(users(&document), [("sip:phone@10.0.0.1".to_owned(), "full".to_owned())]);
    assert_eq!(text(&document, "joining-method"), "dialed-in");
    let statuses: Vec<&str> = all(&document, "status").filter_map(|node| node.text()).collect();
    assert_eq!(
        statuses,
        ["sendrecv", "connected", "sendrecv"],
        "of the room, the phone, its sound"
    );
}

#[test]
fn who_joins_and_who_leaves_is_told_by_the_difference() {
    let mut scene = scene();
    scene.call("standup");
    let notify = follow(&mut scene, "standup");
    take(&mut scene, &notify);

    let tag = join(&mut scene, "bert", 20);
    let joined = told(&mut scene);
    take(&mut scene, &joined);
    scene.say(request("BYE", "bert", (20, 3), &tag));
    let left = told(&mut scene);

    let bert = "sip:bert@10.0.0.1";
    let (joined, left) = (parse(&joined), parse(&left));
    assert_eq!(version_and_state(&joined), ("2", "partial"));
    assert_eq!(users(&joined), [(bert.to_owned(), "full".to_owned())]);
    assert_eq!(text(&joined, "user-count"), "2");
    assert_eq!(version_and_state(&left), ("3", "partial"));
    assert_eq!(users(&left), [(bert.to_owned(), "deleted".to_owned())]);
    assert_eq!(text(&left, "disconnection-method"), "departed");
    assert_eq!(text(&left, "user-count"), "1");
}

#[test]
fn mute_hold_and_lock_are_told() {
    let mut scene = scene();
    scene.call("standup");
    let notify = follow(&mut scene, "standup");
    take(&mut scene, &notify);
    let leg = leg(&mut scene);

    scene.ask(|reply| Command::MuteLeg { leg, muted: true, reply }).unwrap();
    let muted = told(&mut scene);
    take(&mut scene, &muted);
    let room = "standup".to_owned();
    scene
        .ask(|reply| Command::LockRoom { room, locked: true, condition: IfMatch::default(), reply })
        .unwrap();
    let locked = told(&mut scene);

    let (muted, locked) = (parse(&muted), parse(&locked));
    let statuses: Vec<&str> = all(&muted, "status").filter_map(|node| node.text()).collect();
    assert_eq!(statuses, ["muted-via-focus", "recvonly"]);
    assert_eq!(text(&locked, "locked"), "true");
    assert!(users(&locked).is_empty());
}

#[test]
fn whoever_is_called_is_told_of_as_soon_as_that_begins() {
    let mut scene = scene();
    scene.call("standup");
    let notify = follow(&mut scene, "standup");
    take(&mut scene, &notify);

    let body = serde_json::from_str(r#"{"to": "sip:anna@10.0.0.9", "display_name": "A<n&n>a"}"#);
    let (room, body) = ("standup".to_owned(), body.unwrap());
    scene.ask(|reply| Command::Invite { room, body, reply }).unwrap();
    let called = told(&mut scene);

    let document = parse(&called);
    assert_eq!(users(&document), [("sip:anna@10.0.0.9".to_owned(), "full".to_owned())]);
    assert_eq!(text(&document, "display-text"), "A<n&n>a");
    assert_eq!(text(&document, "status"), "dialing-out");
    assert_eq!(text(&document, "joining-method"), "dialed-out");
}

#[test]
fn who_wants_to_be_anonymous_is() {
    let mut scene = scene();
    scene.headers = "Privacy: id;critical\r\n".to_owned();
    scene.call("standup");
    scene.headers.clear();

    let notify = follow(&mut scene, "standup");

    let (_, body) = notify.split_once("\r\n\r\n").unwrap();
    assert!(!body.contains("phone"), "{body}");
    let (entity, _) = users(&parse(&notify)).remove(0);
    assert!(entity.ends_with("@anonymous.invalid"), "{entity}");
}

#[test]
fn a_participant_follows_in_its_dialog_whatever_its_room_lets_in() {
    let mut scene = scene();
    let tag = join(&mut scene, "anna", 10);
    let room = "standup".to_owned();
    scene
        .ask(|reply| Command::LockRoom { room, locked: true, condition: IfMatch::default(), reply })
        .unwrap();

    let inside = subscribe(&mut scene, "standup", (10, 2), &tag);
    let outside = subscribe(&mut scene, "standup", (50, 1), "");

    assert!(inside[0].starts_with("SIP/2.0 200 "), "{inside:?}");
    assert!(inside[1].starts_with("NOTIFY "), "{inside:?}");
    assert!(outside[0].starts_with("SIP/2.0 403 "), "{outside:?}");
}

#[test]
fn a_participant_that_leaves_is_told_no_more() {
    let mut scene = scene();
    join(&mut scene, "bert", 20);
    let tag = join(&mut scene, "anna", 10);
    let notify = subscribe(&mut scene, "standup", (10, 2), &tag).remove(1);
    take(&mut scene, &notify);

    scene.say(request("BYE", "anna", (10, 3), &tag));

    let last = scene.sent.iter().find(|sent| sent.starts_with("NOTIFY ")).unwrap();
    assert!(last.contains("Subscription-State: terminated;reason=noresource\r\n"), "{last}");
}

#[test]
fn the_end_of_a_room_ends_its_subscriptions() {
    let mut scene = scene();
    let tag = join(&mut scene, "bert", 20);
    let notify = follow(&mut scene, "standup");
    take(&mut scene, &notify);

    scene.say(request("BYE", "bert", (20, 2), &tag));

    let last = scene.sent.iter().find(|sent| sent.starts_with("NOTIFY ")).unwrap();
    assert!(last.contains("Subscription-State: terminated;reason=noresource\r\n"), "{last}");
}

#[test]
fn nobody_follows_a_room_that_is_not_there() {
    let mut scene = scene();

    let answer = subscribe(&mut scene, "nowhere", (50, 1), "");

    assert!(answer[0].starts_with("SIP/2.0 404 "), "{answer:?}");
}

#[test]
fn whoever_may_not_call_may_not_follow() {
    let mut settings = settings();
    settings.access.open_to.clear();
    settings.access.users.insert("anna".to_owned(), "secret".to_owned());
    let mut scene = Scene::new(settings);

    let answer = subscribe(&mut scene, "standup", (50, 1), "");

    assert!(answer[0].starts_with("SIP/2.0 401 "), "{answer:?}");
}

#[test]
fn of_a_long_room_only_the_number_is_told() {
    let mut scene = Scene::new(Settings { roster: 1, ..settings() });
    join(&mut scene, "anna", 10);
    join(&mut scene, "bert", 20);

    let notify = follow(&mut scene, "standup");

    let document = parse(&notify);
    assert_eq!(text(&document, "user-count"), "2");
    assert!(users(&document).is_empty());
}

#[test]
fn two_phones_of_one_user_are_its_endpoints() {
    let mut scene = scene();
    join(&mut scene, "anna", 10);
    let tag = join(&mut scene, "anna", 20);
    let notify = follow(&mut scene, "standup");
    take(&mut scene, &notify);

    scene.say(request("BYE", "anna", (20, 3), &tag));
    let left = told(&mut scene);

    let (before, left) = (parse(&notify), parse(&left));
    assert_eq!(all(&before, "user").count(), 1);
    assert_eq!(all(&before, "endpoint").count(), 2);
    assert_eq!(users(&left), [("sip:anna@10.0.0.1".to_owned(), "full".to_owned())]);
    assert_eq!(all(&left, "endpoint").count(), 1);
}

fn settings() -> Settings {
    bridge_settings(&Config::default(), 1)
}

fn scene() -> Scene {
    Scene::new(settings())
}

/// A phone of this user joins the room "standup"; gives the To tag of its dialog.
fn join(scene: &mut Scene, user: &str, call: u32) -> String {
    scene.say(request("INVITE", user, (call, 1), ""));
    let answer = scene.sent.last().unwrap().clone();
    let to = answer.lines().find(|line| line.starts_with("To:")).unwrap();
    let tag = to[to.find(";tag=").unwrap()..].to_owned();
    scene.say(request("ACK", user, (call, 1), &tag));
    tag
}

fn request(method: &str, user: &str, (call, number): (u32, u32), tag: &str) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n\
               m=audio 4000 RTP/AVP 0\r\n";
    let body = if method == "INVITE" { sdp } else { "" };
    let length = body.len();
    format!(
        "{method} sip:standup@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK{method}{call}{number}\r\n\
         From: <sip:{user}@10.0.0.1>;tag=f{call}\r\nTo: <sip:standup@10.0.0.254>{tag}\r\n\
         Call-ID: call{call}@10.0.0.1\r\nCSeq: {number} {method}\r\nMax-Forwards: 70\r\n\
         Contact: <sip:{user}@10.0.0.1:5060>\r\nContent-Type: application/sdp\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// What a SUBSCRIBE is answered with.
fn subscribe(scene: &mut Scene, room: &str, (call, number): (u32, u32), tag: &str) -> Vec<String> {
    scene.say(format!(
        "SUBSCRIBE sip:{room}@10.0.0.254 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bKs{call}{number}\r\n\
         From: <sip:phone@10.0.0.1>;tag=f{call}\r\nTo: <sip:{room}@10.0.0.254>{tag}\r\n\
         Call-ID: call{call}@10.0.0.1\r\nCSeq: {number} SUBSCRIBE\r\nMax-Forwards: 70\r\n\
         Contact: <sip:phone@10.0.0.1:5060>\r\nEvent: conference\r\n\
         Accept: application/conference-info+xml\r\nContent-Length: 0\r\n\r\n"
    ));
    scene.sent.clone()
}

/// Follows a room from outside; gives the first NOTIFY.
fn follow(scene: &mut Scene, room: &str) -> String {
    let mut answer = subscribe(scene, room, (50, 1), "");
    assert!(answer[0].starts_with("SIP/2.0 200 "), "{answer:?}");
    answer.remove(1)
}

/// The NOTIFY that goes once the interval has passed.
fn told(scene: &mut Scene) -> String {
    let before = scene.sent.iter().filter(|sent| sent.starts_with("NOTIFY ")).count();
    assert_eq!(before, 0, "not before its time: {:?}", scene.sent);
    scene.now += Duration::from_millis(500);
    scene.input(Input::Timeout);
    scene.sent.iter().find(|sent| sent.starts_with("NOTIFY ")).unwrap().clone()
}

/// The follower answers a NOTIFY with 200.
fn take(scene: &mut Scene, notify: &str) {
    let header = |name: &str| {
        let value = notify.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap()
    };
    let [via, from, to, call_id, cseq] = ["Via", "From", "To", "Call-ID", "CSeq"].map(header);
    scene.say(format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
         CSeq: {cseq}\r\nContent-Length: 0\r\n\r\n"
    ));
}

fn leg(scene: &mut Scene) -> api::model::LegId {
    let query = api::model::LegQuery::default();
    scene.ask(|reply| Command::ListLegs { query, reply }).unwrap().items[0].id
}

/// The document of a NOTIFY, which must be as the schema says.
fn parse(notify: &str) -> Document<'_> {
    let (head, body) = notify.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Type: application/conference-info+xml\r\n"), "{head}");
    let document = Document::parse(body).unwrap();
    let strange: Vec<_> = document.descendants().filter(|node| !is_in_schema(node)).collect();
    assert!(strange.is_empty(), "{strange:?} in {body}");
    document
}

/// Whether the children of an element are such as its type allows, in the order of its sequence.
fn is_in_schema(node: &Node<'_, '_>) -> bool {
    if !node.is_element() {
        return true;
    }
    let parent = node.parent().map_or("", |parent| parent.tag_name().name());
    let sequence: &[&str] = match (parent, node.tag_name().name()) {
        (_, "conference-info") => &[
            "conference-description",
            "host-info",
            "conference-state",
            "users",
            "sidebars-by-ref",
            "sidebars-by-val",
        ],
        (_, "conference-description") => &[
            "display-text",
            "subject",
            "free-text",
            "keywords",
            "conf-uris",
            "service-uris",
            "maximum-user-count",
            "available-media",
        ],
        (_, "conf-uris" | "available-media" | "roles") => &["entry"],
        ("conf-uris", "entry") => &["uri", "display-text", "purpose", "modified"],
        ("available-media", "entry") => &["display-text", "type", "label", "status"],
        (_, "conference-state") => &["user-count", "active", "locked"],
        (_, "users") => &["user"],
        (_, "user") => {
            &["display-text", "associated-aors", "roles", "languages", "cascaded-focus", "endpoint"]
        }
        (_, "endpoint") => &[
            "display-text",
            "referred",
            "status",
            "joining-method",
            "joining-info",
            "disconnection-method",
            "disconnection-info",
            "media",
            "call-info",
        ],
        (_, "joining-info") => &["when", "reason", "by"],
        (_, "media") => &["display-text", "type", "label", "src-id", "status"],
        _ => &[],
    };
    let mut left = sequence.iter().peekable();
    node.children().filter(Node::is_element).all(|child| {
        let name = child.tag_name().name();
        while left.peek().is_some_and(|next| **next != name) {
            left.next();
        }
        left.peek().is_some()
            && child.tag_name().namespace() == Some("urn:ietf:params:xml:ns:conference-info")
    })
}

fn all<'a>(document: &'a Document<'_>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |node| node.tag_name().name() == name)
}

fn text(document: &Document<'_>, name: &str) -> String {
    let found = document.descendants().find(|node| node.tag_name().name() == name);
    found.and_then(|node| node.text()).unwrap_or_else(|| panic!("no {name}")).to_owned()
}

fn users(document: &Document<'_>) -> Vec<(String, String)> {
    let users = document.descendants().filter(|node| node.tag_name().name() == "user");
    let attribute = |node: &Node<'_, '_>, name| node.attribute(name).unwrap().to_owned();
    users.map(|user| (attribute(&user, "entity"), attribute(&user, "state"))).collect()
}

fn version_and_state<'a>(document: &'a Document<'_>) -> (&'a str, &'a str) {
    let info = document.root_element();
    (info.attribute("version").unwrap(), info.attribute("state").unwrap())
}
