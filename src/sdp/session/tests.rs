//! What is read, what is kept, and what an unrelated parser says to it.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::sdp::attribute::{Direction, Host};

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

#[test]
fn odd_lines_cost_nothing_but_themselves() {
    let odd = [
        "x=1\r\ny=0\r\n",
        "a=early\r\nt=0 0\r\n",
        "b=AS:84\r\nc=IN IP4 192.0.2.1\r\n",
        "a=ptime: 20 \r\n",
        "a=framerate:x\r\n",
        "garbage without a type\r\n",
        "=\r\n",
        "a=\r\n",
        "i=\u{fffd}\r\n",
        "k=clear:x\r\nr=7d 1h 0 25h\r\nz=0 0\r\n",
        "\r\n\r\n",
    ];
    for odd in odd {
        let text = format!("{HEAD}{odd}m=audio 4000 RTP/AVP 0\r\n{odd}m=video 5000 RTP/AVP 96\r\n");

        let session = Session::parse(text.as_bytes()).unwrap();

        let ports: Vec<u16> = session.media().iter().map(Media::port).collect();
        assert_eq!(ports, [4000, 5000], "{odd:?}");
    }
}

#[test]
fn unknown_octets_are_printed_as_they_came() {
    let text = b"v=0\r\ns=caf\xe9 \r\nx=?\x00\xff\r\nm=audio 1 RTP/AVP 0\r\n a=indented\r\n";

    let session = Session::parse(text).unwrap();

    assert_eq!(session.print(), text.as_slice());
    assert_eq!(session.value('s'), None, "not UTF-8, so no text");
}

#[test]
fn line_ends_may_be_anything_and_the_last_may_be_missing() {
    for end in ["\r\n", "\n", "\r", "\r\r\n"] {
        let text = ["v=0", "s=-", "t=0 0", "m=audio 4000 RTP/AVP 8"].join(end);

        let session = Session::parse(text.as_bytes()).unwrap();

        assert_eq!(session.media()[0].formats(), ["8"], "{end:?}");
    }
}

#[test]
fn media_lines_are_read_in_every_usual_form() {
    let cases: [(&str, &str, u16, usize); 6] = [
        ("m=audio 6000/2 RTP/AVP 0 8", "RTP/AVP", 6000, 2),
        ("m=image 5000 udptl t38", "udptl", 5000, 1),
        ("m=audio 0 RTP/SAVP 0", "RTP/SAVP", 0, 1),
        ("m=audio  4000\tRTP/AVP  0  ", "RTP/AVP", 4000, 1),
        ("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "UDP/DTLS/SCTP", 9, 1),
        ("m=audio 4000 RTP/AVP", "RTP/AVP", 4000, 0),
    ];
    for (line, protocol, port, formats) in cases {
        let session = Session::parse(format!("{HEAD}{line}\r\n").as_bytes()).unwrap();

        let media = &session.media()[0];
        assert_eq!((media.protocol(), media.port()), (protocol, port), "{line}");
        assert_eq!(media.formats().len(), formats, "{line}");
    }
}

#[test]
fn what_cannot_be_a_description_is_refused() {
    let long = format!("{HEAD}a={}\r\n", "x".repeat(MAX_BYTES));
    let cases = [
        (String::new(), ParseError::NoVersion),
        ("\r\n\r\n".to_owned(), ParseError::NoVersion),
        ("v=1\r\n".to_owned(), ParseError::NoVersion),
        ("s=-\r\nv=0\r\n".to_owned(), ParseError::NoVersion),
        (format!("{HEAD}m=audio\r\n"), ParseError::MediaLine("m=audio".to_owned())),
        (format!("{HEAD}m=audio x RTP/AVP 0"), ParseError::MediaLine("m=audio x RTP/AVP 0".into())),
        (format!("{HEAD}m=audio 65536 A 0"), ParseError::MediaLine("m=audio 65536 A 0".into())),
        (format!("{HEAD}m=\u{e9} 1 A 0"), ParseError::MediaLine("m=\u{e9} 1 A 0".into())),
        (HEAD.to_owned() + &"m=a 1 b 0\n".repeat(MAX_MEDIA + 1), ParseError::TooManyMedia),
        (HEAD.to_owned() + &"a=x\n".repeat(MAX_LINES), ParseError::TooManyLines),
        (long.clone(), ParseError::TooLong(long.len())),
    ];
    for (text, expected) in cases {
        assert_eq!(Session::parse(text.as_bytes()), Err(expected));
    }
}

#[test]
fn origin_and_connection_are_read() {
    let cases = [
        ("IN IP4 192.0.2.7", Some(address("192.0.2.7"))),
        ("IN IP6 2001:db8::7", Some(address("2001:db8::7"))),
        ("IN IP4 224.2.1.1/127/3", Some(address("224.2.1.1"))),
        ("IN IP6 ::ffff:192.0.2.7", Some(address("192.0.2.7"))),
        ("IN IP4 pbx.example.com", Some(Host::Name("pbx.example.com".to_owned()))),
        ("IN IP4", None),
    ];
    for (value, expected) in cases {
        let text = format!("v=0\no=jdoe 2890844526 2890842807 {value}\nc={value}\n");

        let session = Session::parse(text.as_bytes()).unwrap();

        assert_eq!(session.connection(), expected, "{value}");
        let origin =
            session.origin().map(|origin| (origin.session_id, origin.version, origin.host));
        assert_eq!(origin, expected.map(|host| (2_890_844_526, 2_890_842_807, host)), "{value}");
    }
}

#[test]
fn attributes_are_read_in_their_odd_spellings_too() {
    let text = "v=0\r\ns=sendonly\r\na=group:BUNDLE a b\r\na=inactive \r\n\
        m=audio 4000 RTP/AVP 0 96 97 98\r\n\
        a=rtpmap:96 opus/48000/2\r\na=rtpmap:97 L16/16000 2\r\na=rtpmap: 98 foo\r\n\
        a=fmtp:96 maxplaybackrate=16000; UseInbandFEC=1;cbr\r\n\
        a=ptime: 30\r\na=maxptime:x\r\na=maxptime:60.0\r\n\
        a=RTCP:4005 IN IP4 192.0.2.9\r\na=rtcp-mux\r\na=mid:a\r\n";

    let session = Session::parse(text.as_bytes()).unwrap();

    let media = &session.media()[0];
    assert_eq!(session.direction(), Some(Direction::Inactive), "and s= is no attribute");
    assert_eq!(session.groups("bundle").collect::<Vec<_>>(), [["a", "b"]]);
    let map = media.rtpmap(96).unwrap();
    assert_eq!((map.encoding, map.clock_rate, map.channels), ("opus", 48_000, 2));
    assert_eq!(media.rtpmap(97).unwrap().channels, 2);
    assert_eq!(media.rtpmap(98), None);
    assert_eq!(media.fmtp(96).number("maxplaybackrate"), Some(16_000));
    assert!(media.fmtp(96).flag("useinbandfec") && !media.fmtp(96).flag("cbr"));
    assert_eq!(media.ptime(), Some(Duration::from_millis(30)));
    assert_eq!(media.maxptime(), Some(Duration::from_millis(60)));
    assert_eq!(
        media.rtcp().map(|rtcp| (rtcp.port, rtcp.host)),
        Some((4005, Some(address("192.0.2.9"))))
    );
    assert!(media.rtcp_mux());
    assert_eq!((media.mid(), media.direction()), (Some("a"), None));
}

#[test]
fn an_unrelated_parser_reads_the_same() {
    let offers = [
        format!(
            "{HEAD}m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
        ),
        format!(
            "{HEAD}m=audio 0 RTP/AVP 0\r\nm=video 6000/2 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        ),
        format!("{HEAD}m=image 5000 udptl t38\r\na=T38FaxVersion:0\r\nm=audio 4002 RTP/AVP 9\r\n"),
        HEAD.replace("IP4 192.0.2.1", "IP6 2001:db8::1") + "m=audio 4000 RTP/AVP 0\r\n",
    ];
    for text in offers {
        let theirs = sdp_rs::SessionDescription::try_from(text.as_str()).unwrap();

        let ours = Session::parse(text.as_bytes()).unwrap();

        let connection = theirs.connection.map(|c| Host::Address(c.connection_address.base));
        assert_eq!(ours.connection(), connection);
        assert_eq!(ours.media().len(), theirs.media_descriptions.len());
        for (ours, theirs) in ours.media().iter().zip(theirs.media_descriptions) {
            assert_eq!(ours.kind(), theirs.media.media.to_string());
            assert_eq!(ours.port(), theirs.media.port);
            assert_eq!(ours.formats().join(" "), theirs.media.fmt);
        }
    }
}

proptest! {
    #[test]
    fn any_octets_are_parsed_or_refused(octets in prop::collection::vec(any::<u8>(), 0..400)) {
        let parsed = Session::parse(&[b"v=0\n".as_slice(), &octets].concat());

        prop_assert!(parsed.is_err() || parsed.is_ok_and(|session| !session.lines().is_empty()));
    }

    #[test]
    fn printing_gives_back_what_was_parsed(
        lines in prop::collection::vec("[a-z]=[ -~]{0,30}|[ -~]{1,20}|m=(audio|video) [0-9]{1,4} RTP/AVP 0", 0..30),
    ) {
        let text: String = ["v=0".to_owned()].into_iter().chain(lines).map(|line| line + "\r\n").collect();

        if let Ok(session) = Session::parse(text.as_bytes()) {
            let printed = session.print();
            prop_assert_eq!(&printed, text.as_bytes());
            prop_assert_eq!(Session::parse(&printed), Ok(session));
        }
    }
}

fn address(text: &str) -> Host {
    Host::Address(text.parse::<IpAddr>().unwrap())
}

#[test]
fn the_address_for_sound_is_that_of_the_first_audio_in_use() {
    let cases = [
        ("c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n", Some("192.0.2.1")),
        (
            "c=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n",
            Some("2001:db8::1"),
        ),
        (
            "c=IN IP4 192.0.2.1\r\nm=audio 0 RTP/AVP 0\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP6 ::1\r\n",
            Some("::1"),
        ),
        ("c=IN IP6 ::ffff:192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\n", Some("192.0.2.1")),
        ("c=IN IP4 0.0.0.0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", None),
        ("c=IN IP4 phone.example\r\nm=audio 4000 RTP/AVP 0\r\n", None),
        ("m=audio 4000 RTP/AVP 0\r\n", None),
        ("c=IN IP4 192.0.2.1\r\nm=video 4000 RTP/AVP 0\r\n", None),
    ];
    for (lines, expected) in cases {
        let session = Session::parse(format!("v=0\r\n{lines}").as_bytes()).unwrap();

        assert_eq!(session.audio_address(), expected.map(|text| text.parse().unwrap()), "{lines}");
    }
}
