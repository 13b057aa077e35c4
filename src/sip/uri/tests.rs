use proptest::prelude::*;

use super::*;

#[test]
fn every_part_is_found() {
    let uri = uri("sips:al%20ice:pw@Example.COM:5071;transport=tcp;lr?Subject=hi%20there&a=b");

    assert_eq!(uri.scheme(), Scheme::Sips);
    assert_eq!(uri.user(), Some("al%20ice"));
    assert_eq!(uri.user_plain().as_deref(), Some("al ice"));
    assert_eq!(uri.password(), Some("pw"));
    assert_eq!(uri.host(), Host::parse(b"example.com").as_ref());
    assert_eq!(uri.port(), Some(5071));
    assert_eq!(uri.param("Transport"), Some("tcp"));
    assert_eq!(uri.param("lr"), Some(""));
    assert_eq!(uri.param("maddr"), None);
    assert_eq!(uri.headers().next().unwrap(), ("Subject".into(), "hi there".into()));
}

#[test]
fn ipv6_hosts_stand_in_brackets() {
    let with_port = uri("sip:a@[2001:db8::10]:5070;lr");

    assert_eq!(with_port.host().unwrap().address(), Some("2001:db8::10".parse().unwrap()));
    assert_eq!(with_port.port(), Some(5070));
    assert_eq!(uri("sip:[2001:db8::10:5070]").port(), None);
    assert_eq!(uri("sip:[2001:db8:::192.0.2.1]").host(), uri("sip:[2001:db8::192.0.2.1]").host());
}

#[test]
fn semicolons_and_questions_may_be_the_users() {
    let semi = uri("sip:room;par=u%40h@example.com");
    let question = uri("sip:what?,/;;*@example.com;x");

    assert_eq!((semi.user(), semi.params().count()), (Some("room;par=u%40h"), 0));
    assert_eq!((question.user(), question.params().count()), (Some("what?,/;;*"), 1));
}

#[test]
fn other_schemes_are_opaque() {
    let tel = uri("tel:+12015550123;phone-context=x");

    assert_eq!(tel.scheme(), Scheme::Tel);
    assert_eq!(tel.after_scheme(), "+12015550123;phone-context=x");
    assert_eq!(uri("urn:service:sos").scheme(), Scheme::Other);
    assert_eq!(tel.with_param("lr", None), tel);
}

#[test]
fn what_is_no_uri_is_refused() {
    let bad = [
        "",
        "sip:",
        "sip:@",
        "alice",
        "<sip:a@h>",
        "sip:a b@h",
        "sip:a@h:",
        "sip:a@h:65536",
        "sip:2001:db8::10",
        "sip:a@[::1",
        "sip:a@[::g]",
        "sip:a@h/x",
        "1a:b",
        "tel:",
        "sip:a@b@c",
        "sip:a@h:-1",
        "sip:a@h\r\n",
    ];

    for text in bad {
        assert!(Uri::parse(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_become_escapes() {
    assert_eq!(Uri::parse(b"sip:J\xfcrgen@h").unwrap().as_str(), "sip:J%FCrgen@h");
}

#[test]
fn equivalent_as_the_rfc_lists_them() {
    let same = [
        ("sip:%61bc@host;lr", "sip:abc@HOST;lr"),
        ("sip:a@h;Transport=TCP", "sip:a@h;transport=tcp"),
        ("sip:a@h;newparam=5", "sip:a@h;security=on"),
        ("sip:a@h;x=1;lr;y", "sip:a@h;lr;y;x=1"),
        ("sip:a@h?A=1&B=2", "sip:a@h?b=2&a=1"),
        ("sip:a@h;x=1;x=2", "sip:a@h;x=2;x=1"),
        ("sip:a@h;%6C%72", "sip:a@h;LR"),
        ("sip:[2001:DB8:0::1]", "sip:[2001:db8::1]"),
        ("TEL:+1", "tel:+1"),
    ];

    for (one, other) in same {
        assert!(uri(one).is_equivalent(&uri(other)), "{one} {other}");
    }
}

#[test]
fn different_as_the_rfc_lists_them() {
    let different = [
        ("SIP:ALICE@h", "sip:alice@h"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a@h", "sip:a@h:5060"),
        ("sip:a@h", "sip:a@h;transport=udp"),
        ("sip:a@h", "sip:a@h;maddr=h"),
        ("sip:a@h;x=1", "sip:a@h;x=2"),
        ("sip:a@h;x=1;x=2", "sip:a@h;x=1"),
        ("sip:a@h", "sip:a@h?Subject=x"),
        ("sip:a%40b@h", "sip:a@h"),
        ("sip:a@h", "sip:a:@h"),
        ("tel:+1", "tel:+2"),
        ("sip:+1@h", "tel:+1"),
    ];

    for (one, other) in different {
        assert!(!uri(one).is_equivalent(&uri(other)), "{one} {other}");
    }
}

#[test]
fn thousands_of_params_compare_in_no_time() {
    let mut params: Vec<_> = (0..20_000).map(|n| format!(";p{n}")).collect();
    let one = uri(&format!("sip:a@h{}", params.concat()));
    params.reverse();
    let other = uri(&format!("sip:a@h{}", params.concat()));

    assert!(one.is_equivalent(&other));
}

#[test]
fn params_come_and_go() {
    let plain = uri("sip:a@h?x=y");

    let with = plain.with_param("transport", Some("tcp")).with_param("lr", None);

    assert_eq!(with.as_str(), "sip:a@h;transport=tcp;lr?x=y");
    assert_eq!(with.without_param("TRANSPORT").as_str(), "sip:a@h;lr?x=y");
    assert_eq!(with.without_headers().as_str(), "sip:a@h;transport=tcp;lr");
}

#[test]
fn headers_are_added_escaped_and_read_back() {
    let replaces = "a;b=@h \"%;to-tag=1;from-tag=\u{e9}";

    let one = uri("sip:bob@h:5080;transport=tcp").with_header("Replaces", replaces);
    let two = one.with_header("Require", "replaces");

    let escaped = "sip:bob@h:5080;transport=tcp?Replaces=a%3Bb%3D%40h%20%22%25%3Bto-tag%3D1%3B\
                   from-tag%3D%C3%A9&Require=replaces";
    assert_eq!(two.as_str(), escaped);
    let headers: Vec<_> = two.headers().collect();
    assert_eq!(headers[0], ("Replaces".into(), replaces.into()));
    assert_eq!(headers[1], ("Require".into(), "replaces".into()));
    assert_eq!(uri("tel:1").with_header("a", "b").as_str(), "tel:1");
    assert_eq!(uri("sip:h?").with_header("a", "b").as_str(), "sip:h?a=b");
}

proptest! {
    #[test]
    fn parts_never_panic_and_text_is_kept(text in "(sips?|tel|x):[a@:;?=\\[\\]&%0-9.é]{0,24}") {
        if let Ok(uri) = Uri::parse(text.as_bytes()) {
            prop_assert_eq!(uri.as_str(), text);
            prop_assert!(uri.is_equivalent(&uri));
            let with = uri.with_param("lr", None);
            prop_assert_eq!(with.is_sip(), with.param("lr").is_some());
            prop_assert!(!uri.without_headers().has_headers());
        }
    }

    #[test]
    fn any_user_survives_escaping(user in ".{1,12}") {
        let made = Uri::sip(Some(&user), &Host::parse(b"h").unwrap(), Some(5060));

        prop_assert_eq!(made.user_plain().unwrap(), user);
    }
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}
