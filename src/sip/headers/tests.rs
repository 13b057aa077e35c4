use proptest::prelude::*;

use super::*;
use crate::sip::method::Method;

#[test]
fn lists_run_over_lines_and_commas() {
    let mut headers = Headers::new();
    headers.push(Name::Supported, "timer, , 100rel");
    headers.push(Name::new("k"), "replaces");

    let items: Vec<_> = headers.items(&Name::Supported).collect();

    assert_eq!(items, [&b"timer"[..], b"100rel", b"replaces"]);
    assert!(headers.has_token(&Name::Supported, "TIMER"));
}

#[test]
fn replace_keeps_the_place_and_leaves_one() {
    let mut headers = Headers::new();
    for (name, value) in [("a-1", "x"), ("Subject", "1"), ("b-2", "y"), ("s", "2")] {
        headers.push(Name::new(name), value);
    }

    headers.replace(Name::Subject, "3");
    headers.replace(Name::Event, "refer");

    let values: Vec<_> = headers.iter().map(|header| &header.value()[..]).collect();
    assert_eq!(values, [&b"x"[..], b"3", b"y", b"refer"]);
}

#[test]
fn a_value_cannot_start_another_header() {
    let mut headers = Headers::new();

    headers.push(Name::Subject, "hi\r\nRoute: <sip:evil>\n x");

    assert_eq!(headers.first(&Name::Subject).unwrap(), "hi Route: <sip:evil> x");
}

#[test]
fn names_with_commas_brackets_and_quotes_are_names() {
    let cases: [(&[u8], &str, &str); 7] = [
        (br#""Smith, A" <sip:a@h>"#, "Smith, A", "sip:a@h"),
        (br#""Smith, Alice <x>"<sip:a@h>;tag=1"#, "Smith, Alice <x>", "sip:a@h"),
        (br#""The \"Man\"; <b>" <sip:a@h>"#, "The \"Man\"; <b>", "sip:a@h"),
        (b"Bell, Alexander <sip:a@h>;tag=43", "Bell, Alexander", "sip:a@h"),
        (b"caller<sip:a@h;lr>", "caller", "sip:a@h;lr"),
        (b"J\xfcrgen < tel:+1 >", "J\u{fc}rgen", "tel:+1"),
        (b"\"J\xc3\xbcrgen\" <urn:service:sos>", "J\u{fc}rgen", "urn:service:sos"),
    ];

    for (value, display, uri) in cases {
        let address = NameAddr::parse(value).unwrap();
        assert_eq!((address.display.as_deref(), address.uri.as_str()), (Some(display), uri));
    }
}

#[test]
fn parameters_without_brackets_are_the_headers() {
    let address = NameAddr::parse(b"sip:a@h;tag=1").unwrap();

    assert_eq!((address.uri.as_str(), address.tag()), ("sip:a@h", Some("1")));
    assert_eq!(address.to_string(), "<sip:a@h>;tag=1");
}

#[test]
fn broken_addresses_are_refused() {
    let bad: [&[u8]; 9] = [
        b"",
        b"\"Mr. J <sip:a@h>",
        b"<sip:a@h",
        b"sip:a@h?x=y",
        b"<sip:a@h> x",
        b"a\"b\" <sip:a@h>",
        b"\"a\"b\" <sip:a@h>",
        b"<>",
        b"*",
    ];

    for value in bad {
        assert!(NameAddr::parse(value).is_err(), "{}", scan::text(value));
    }
}

#[test]
fn vias_may_have_blanks_everywhere() {
    let via = Via::parse(
        b"SIP  /   2.0\r\n /UDP\r\n    [2001:db8::1] : 5070 ;\r\n branch = z9hG4bK1 ; rport",
    )
    .unwrap();

    assert_eq!(via.to_string(), "SIP/2.0/UDP [2001:db8::1]:5070;branch=z9hG4bK1;rport");
    assert_eq!(via.unique_branch(), Some("z9hG4bK1"));
    assert!(via.wants_rport() && via.rport().is_none());
}

#[test]
fn received_may_lack_its_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let value = format!("SIP/2.0/UDP h;received={received};branch=z9hG4bK");

        let via = Via::parse(value.as_bytes()).unwrap();

        assert_eq!(via.received(), Some("2001:db8::9:255".parse().unwrap()));
        assert_eq!(via.unique_branch(), None, "a cookie alone is no branch");
    }
}

#[test]
fn broken_vias_are_refused() {
    for value in [
        "",
        "SIP/2.0/UDP",
        "SIP/2.0 h",
        "SIP/2.0/UDP ;branch=x",
        "SIP/2.0/U P h",
        ";",
        "SIP/2.0/UDP h:x",
    ] {
        assert!(Via::parse(value.as_bytes()).is_err(), "{value}");
    }
}

#[test]
fn sequence_numbers_end_below_two_to_the_31() {
    let cseq = CSeq::parse(b"0009\r\n  INVITE").unwrap();

    assert_eq!(cseq, CSeq { number: 9, method: Method::Invite });
    assert!(CSeq::parse(b"2147483647\tBYE").is_ok());
    for value in ["2147483648 BYE", "36893488147419103232 BYE", "-1 BYE", "1", "BYE", "1 B E"] {
        assert!(CSeq::parse(value.as_bytes()).is_err(), "{value}");
    }
}

#[test]
fn small_fields_print_what_they_read() {
    assert_eq!(MaxForwards::parse(b"0068").unwrap(), MaxForwards(68));
    assert!(MaxForwards::parse(b"256").is_err());
    assert!(ContentType::parse(b"Application / SDP ; charset=x").unwrap().is("application/sdp"));
    assert!(ContentType::parse(b"sdp").is_err());
    assert_eq!(Reason::parse(b"Q.850 ;cause=16;text=\"a;b\"").unwrap().cause(), Some(16));
    assert_eq!(Reason::new("SIP", 200, "x").to_string(), "SIP;cause=200;text=\"x\"");
    assert_eq!(RAck::parse(b"776656 1 INVITE").unwrap().to_string(), "776656 1 INVITE");
    assert_eq!(RetryAfter::parse(b"120 (busy; very);duration=5").unwrap().delay.as_secs(), 120);
    assert_eq!(Event::parse(b"refer;id=93809824").unwrap().id(), Some("93809824"));
    assert!(SubscriptionState::parse(b"Terminated;reason=noresource").unwrap().is_terminated());
    let expires = SessionExpires::parse(b" 1800 ; Refresher=UAS;x").unwrap();
    assert_eq!((expires.interval.as_secs(), expires.refresher()), (1800, Some(Refresher::Uas)));
    assert_eq!(expires.to_string(), "1800;Refresher=UAS;x");
    assert_eq!(SessionExpires::parse(b"90;refresher=me").unwrap().refresher(), None);
    assert_eq!(MinSe::parse(b"99999999999;x").unwrap().interval.as_secs(), u64::from(u32::MAX));
    assert!(SessionExpires::parse(b"-1").is_err() && MinSe::parse(b"1.5").is_err());
    let replaces = Replaces::parse(b"a@b;from-tag=f;to-tag=t;early-only").unwrap();
    assert_eq!(replaces.to_string(), "a@b;to-tag=t;from-tag=f;early-only");
}

#[test]
fn a_tag_is_added_once() {
    let cases = [
        ("\"A\" <sip:a@h;x=y>", "\"A\" <sip:a@h;x=y>;tag=1"),
        ("sip:a@h", "sip:a@h;tag=1"),
        ("sip:a@h ;x=\"open", "sip:a@h ;tag=1;x=\"open"),
        ("<sip:a@h>;tag=", "<sip:a@h>;tag=1;tag="),
        ("<sip:a@h>;TAG=9", "<sip:a@h>;TAG=9"),
    ];

    for (value, tagged) in cases {
        let mut headers = Headers::new();
        headers.push(Name::To, value);
        headers.add_to_tag("1");
        headers.add_to_tag("2");
        assert_eq!(headers.first(&Name::To).unwrap(), tagged);
    }
}

proptest! {
    #[test]
    fn addresses_read_back_as_they_print(value in "[\"<>sip:@;,=ab \\\\é]{0,32}") {
        if let Ok(address) = NameAddr::parse(value.as_bytes()) {
            prop_assert_eq!(NameAddr::parse(address.to_string().as_bytes()).unwrap(), address);
        }
    }

    #[test]
    fn any_display_name_survives(display in "[^\r\n]{1,16}") {
        let address = NameAddr::new("sip:a@h".parse().unwrap()).with_display(&*display);

        let read = NameAddr::parse(address.to_string().as_bytes()).unwrap();

        prop_assert_eq!(read.display.unwrap(), display);
    }
}
