use proptest::prelude::*;

use super::*;
use crate::sip::headers::Name;

const INVITE: &[u8] = b"INVITE sip:room@bridge.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"A\" <sip:a@h>;tag=1\r\n\
    To: <sip:room@bridge.test>\r\n\
    Call-ID: x@h\r\n\
    CSeq: 1 INVITE\r\n\
    X-Odd: caf\xe9\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 4\r\n\r\nv=0\n";

#[test]
fn a_request_keeps_every_byte_of_its_values() {
    let message = parse(INVITE).unwrap();

    assert_eq!(message.method(), Some(&Method::Invite));
    assert_eq!(&message.headers.first(&Name::new("x-odd")).unwrap()[..], b"caf\xe9");
    assert_eq!(&message.body[..], b"v=0\n");
    assert_eq!(message.print(), moved_length());
}

#[test]
fn a_datagram_is_cut_at_its_content_length() {
    let message = parse(&[INVITE, b"trailing"].concat()).unwrap();

    assert_eq!(&message.body[..], b"v=0\n");
}

#[test]
fn without_content_length_the_rest_is_the_body() {
    let message = parse(&without("Content-Length")).unwrap();

    assert_eq!(&message.body[..], b"v=0\n");
}

#[test]
fn line_feeds_alone_and_line_ends_before_the_message_are_fine() {
    let lines = String::from_utf8_lossy(INVITE).replace("\r\n", "\n").replace('\u{fffd}', "e");

    let message = parse(format!("\r\n\r\n{lines}").as_bytes()).unwrap();

    assert_eq!(message.headers.len(), 8);
}

#[test]
fn each_missing_header_is_answered_with_400() {
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let error = parse(&without(name)).unwrap_err();

        assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST), "{name}");
        assert!(error.response().unwrap().headers.via().is_ok());
        assert!(!error.response().unwrap().headers.contains(&Name::new(name)));
    }
}

#[test]
fn without_via_nothing_is_answered() {
    assert_eq!(parse(&without("Via")).unwrap_err().status(), None);
}

#[test]
fn an_ack_is_never_answered() {
    let text = String::from_utf8_lossy(INVITE).replace("INVITE", "ACK").replace("Call-ID", "X");

    assert_eq!(parse(text.as_bytes()).unwrap_err().status(), None);
}

#[test]
fn the_answer_to_a_retransmission_has_the_same_tag() {
    let bad = without("Call-ID");

    let tag = |bytes: &[u8]| parse(bytes).unwrap_err().response().unwrap().headers.to().unwrap();

    assert!(tag(&bad).tag().is_some());
    assert_eq!(tag(&bad), tag(&bad));
}

#[test]
fn another_version_is_505_and_another_protocol_is_silence() {
    let with = |version| String::from_utf8_lossy(INVITE).replacen("SIP/2.0", version, 1);
    let status = |version| parse(with(version).as_bytes()).unwrap_err().status();

    assert_eq!(status("SIP/7.0"), Some(StatusCode::VERSION_NOT_SUPPORTED));
    assert_eq!(status("SIP/2"), Some(StatusCode::BAD_REQUEST));
    assert_eq!(status("HTTP/1.1"), None);
}

#[test]
fn limits_are_answered() {
    let small = Limits { headers: 6, ..Limits::default() };
    let uri = Limits { uri: 8, ..Limits::default() };
    let body = Limits { body: 3, ..Limits::default() };
    let whole = Limits { message: 64, ..Limits::default() };
    let status = |limits| {
        let error = Message::parse(&Bytes::from_static(INVITE), &limits).unwrap_err();
        error.status().unwrap().code()
    };

    assert_eq!([small, uri, body, whole].map(status), [513, 414, 413, 513]);
}

#[test]
fn a_status_line_may_lack_its_reason() {
    for line in ["SIP/2.0 183", "SIP/2.0 183 "] {
        let message = parse(response(line).as_bytes()).unwrap();

        assert_eq!(message.status(), Some(StatusCode::SESSION_PROGRESS));
    }
}

#[test]
fn an_odd_reason_is_kept() {
    let message = parse(response("SIP/2.0 486 Besetzt! = 2**3").as_bytes()).unwrap();

    assert!(message.print().starts_with(b"SIP/2.0 486 Besetzt! = 2**3\r\n"));
}

#[test]
fn bad_status_lines_are_dropped() {
    for line in
        ["SIP/2.0 4294967301 x", "SIP/2.0 99 x", "SIP/2.0 700 x", "SIP/2.0 2OO OK", "SIP/2.0"]
    {
        assert_eq!(parse(response(line).as_bytes()).unwrap_err().status(), None, "{line}");
    }
}

#[test]
fn a_response_has_what_the_request_had() {
    let request = parse(INVITE).unwrap();

    let busy = Message::response_to(&request, StatusCode::BUSY_HERE, None);

    for name in [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq] {
        assert_eq!(busy.headers.first(&name), request.headers.first(&name));
    }
    assert!(busy.print().starts_with(b"SIP/2.0 486 Busy Here\r\nVia: "));
}

#[test]
fn eight_thousand_headers_are_no_trouble() {
    let mut many = without("Content-Length");
    let end = many.len() - 6;
    many.splice(end..end, b"X: y\r\n".repeat(8_000));
    let limits = Limits { headers: 10_000, head: 65_535, ..Limits::default() };

    let message = Message::parse(&many.into(), &limits).unwrap();

    assert_eq!(message.headers.len(), 8_008);
}

proptest! {
    #[test]
    fn what_is_printed_reads_the_same(at in 0..INVITE.len(), bytes in prop::collection::vec(any::<u8>(), 0..4)) {
        let mut mutated = INVITE.to_vec();
        let end = (at + bytes.len()).min(mutated.len());
        mutated.splice(at..end, bytes);

        match parse(&mutated) {
            Ok(message) => prop_assert_eq!(parse(&message.print()).unwrap(), message),
            Err(error) => {
                if let Some(response) = error.response() {
                    prop_assert!(!response.print().is_empty());
                }
            }
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Message, ParseError> {
    Message::parse(&Bytes::copy_from_slice(bytes), &Limits::default())
}

fn without(name: &str) -> Vec<u8> {
    let lines = INVITE.split_inclusive(|&byte| byte == b'\n');
    lines
        .filter(|line| !line.starts_with(format!("{name}:").as_bytes()))
        .flatten()
        .copied()
        .collect()
}

/// The INVITE as we print it: Content-Length last is where it already stands.
fn moved_length() -> Bytes {
    Bytes::from_static(INVITE)
}

fn response(line: &str) -> String {
    format!(
        "{line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\n\
         To: <sip:b@h>;tag=2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n"
    )
}
