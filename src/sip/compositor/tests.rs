use super::*;

const T0: Duration = Duration::from_mins(10);

struct Phone {
    now: Instant,
    compositor: Compositor,
    etags: u32,
}

impl Phone {
    #[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
    fn new() -> Self {
        let options = CompositorOptions {
            min: Duration::from_mins(1),
            max: Duration::from_hours(1),
            publications: 3,
            of_a_user: 2,
            size: 1000,
        };
        Self { now: Instant::now(), compositor: Compositor::new(options), etags: 0 }
    }

    /// What a PUBLISH is answered: the new SIP-ETag, or the status.
    fn publish(&mut self, user: &str, lines: &str, body: &str) -> Result<String, u16> {
        let request = publication(user, lines, body);
        self.etags += 1;
        let etag = format!("e{}", self.etags);
        let published = self.compositor.publish(self.now, user, (&request, etag));
        let headers = published.map_err(|rejection| rejection.status.code())?;
        let etag = headers.into_iter().find(|(name, _)| name == "SIP-ETag");
        Ok(etag.map(|(_, etag)| etag).unwrap_or_default())
    }

    fn note(&self) -> Option<String> {
        self.compositor.of("alice").note
    }
}

fn publication(user: &str, lines: &str, body: &str) -> Message {
    let kind = if body.is_empty() || lines.contains("Content-Type") {
        ""
    } else {
        "Content-Type: application/pidf+xml\r\n"
    };
    let text = format!(
        "PUBLISH sip:{user}@plenary SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKp\r\n\
         From: <sip:{user}@plenary>;tag=p\r\nTo: <sip:{user}@plenary>\r\nCall-ID: p\r\n\
         CSeq: 1 PUBLISH\r\nMax-Forwards: 70\r\nEvent: presence\r\n{lines}{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Message::parse(&text.into_bytes().into(), &crate::sip::Limits::default()).unwrap()
}

fn said(note: &str) -> String {
    format!(
        "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"a\"><note>{note}</note></presence>"
    )
}

#[test]
fn a_publication_is_made_changed_refreshed_and_taken_back() {
    let mut phone = Phone::new();

    let made = phone.publish("alice", "Expires: 600\r\n", &said("hello")).unwrap();
    let first = phone.note();
    let changed = phone.publish(
        "alice",
        &format!("SIP-If-Match: {made}\r\nExpires: 600\r\n"),
        &said("again"),
    );
    let changed = changed.unwrap();
    let second = phone.note();
    phone.now += T0 / 2;
    let kept = phone
        .publish("alice", &format!("SIP-If-Match: {changed}\r\nExpires: 600\r\n"), "")
        .unwrap();
    phone.now += T0 / 2;
    let expired = phone.compositor.expire(phone.now);
    let third = phone.note();
    phone.publish("alice", &format!("SIP-If-Match: {kept}\r\nExpires: 0\r\n"), "").unwrap();

    assert_eq!((first.as_deref(), second.as_deref()), (Some("hello"), Some("again")));
    assert_eq!((expired, third.as_deref()), (Vec::new(), Some("again")), "it was refreshed");
    assert!(phone.note().is_none() && phone.compositor.is_empty());
    assert!(made != changed && changed != kept);
}

#[test]
fn what_is_named_must_be_there() {
    let mut phone = Phone::new();
    let made = phone.publish("alice", "Expires: 600\r\n", &said("hello")).unwrap();
    let named = format!("SIP-If-Match: {made}\r\n");

    let unknown = phone.publish("alice", "SIP-If-Match: x\r\n", "");
    let of_another = phone.publish("bob", &named, "");
    phone.now += T0;
    let late = phone.publish("alice", &named, "");
    let expired = phone.compositor.expire(phone.now);

    assert_eq!([unknown, of_another, late], [Err(412), Err(412), Err(412)]);
    assert_eq!(expired, ["alice"]);
    assert!(phone.compositor.is_empty() && phone.compositor.deadline().is_none());
}

#[test]
fn what_cannot_be_taken_is_refused() {
    let mut phone = Phone::new();
    let long = said(&"x".repeat(1000));

    for (lines, body, status) in [
        ("", "", 400),
        ("", "<presence", 400),
        ("Expires: soon\r\n", &said("x"), 400),
        ("Expires: 30\r\n", &said("x"), 423),
        ("Content-Type: text/plain\r\n", "x", 415),
        ("", &long, 413),
    ] {
        assert_eq!(phone.publish("alice", lines, body), Err(status), "{lines}{body:.40}");
    }
    assert!(phone.compositor.is_empty());
}

#[test]
fn publications_are_bounded() {
    let mut phone = Phone::new();

    for note in ["1", "2", "3"] {
        phone.publish("alice", "", &said(note)).unwrap();
    }
    let of_alice = phone.compositor.len();
    phone.publish("bob", "", &said("4")).unwrap();

    assert_eq!((of_alice, phone.note().as_deref()), (2, Some("3")));
    assert_eq!(phone.publish("carl", "", &said("5")), Err(503));
    assert!(phone.publish("alice", "SIP-If-Match: e3\r\n", "").is_ok(), "it is none more");
}
