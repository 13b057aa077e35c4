//! Our messages: one for each kind of trouble that RFC 4475 and RFC 5118 name, and some more.

use crate::outcome::Outcome::{Dropped, Refused, Understood, Waits};
use crate::outcome::{BAD, Case, GONE, NO_USER, NOT_SERVED, OK, Outcome, STRAY};

type Seen = &'static [(&'static str, &'static str)];

const fn case(file: &'static str, trouble: &'static str, outcome: Outcome, seen: Seen) -> Case {
    Case { file, trouble, udp: outcome, tcp: outcome, seen }
}

const fn over_tcp(case: Case, tcp: Outcome) -> Case {
    Case { tcp, ..case }
}

/// RFC 4475 §3.1.1: valid and hard to read.
#[rustfmt::skip]
pub(crate) const VALID: &[Case] = &[
    case("blanks", "blanks, folds and odd case wherever the grammar lets them be", GONE, &[
        ("uri", "sip:standup@bridge.test;odd"), ("from.display", r#"Ann \ "Boss""#), ("from.tag", "a7"), ("to.tag", "b7"),
        ("cseq", "17 OPTIONS"), ("max-forwards", "70"), ("vias", "3"), ("via", "SIP/2.0/UDP 192.0.2.7:5071;branch=z9hG4bK-blanks;rport"),
        ("header Subject", ""), ("header X-Folded", "one two three"), ("header X-Commas", ",,;;,=,"),
        ("contact", "\"say \\\"hi\\\", all\" <sip:ann@192.0.2.7>;q=0.5;x"),
    ]),
    case("alphabet", "every character that tokens, users, parameters and quoted pairs may have", NOT_SERVED, &[
        ("method", "~Odd.method-1!%*_+`'"), ("uri.user", "a-_.!~*'()&=+$,;?/z"), ("to.display", "nul \0 bel \u{7} del \u{7f}"),
        ("to.uri", "sip:a?b,c/d;e@bridge.test"), ("from.display", "one.! two%* three_+`'~"), ("from.tag", ".!%*_+`'~-"),
        ("call-id", r#"al()<>:\"/[]?{}pha@x.!%*_+`'~"#), ("header x-.!%*_+`'~", "日本"),
    ]),
    case("escapes", "percent escapes in users and parameters", OK, &[
        ("uri.user", "sip%3Aann%40phones.test"), ("uri.plain", "sip:ann@phones.test"), ("to.uri", "sip:%73tand%75p@bridge.test"),
        ("contact.lr", "yes"),
    ]),
    case("escaped-null", "an escaped null character as user", OK, &[("uri.user", "a%00b"), ("from.uri", "sip:%00@phones.test")]),
    case("percent-method", "percent signs that are no escapes: another method, another header", NOT_SERVED, &[
        ("method", "OPT%49ONS"), ("from.display", "%41nn"), ("contacts", "0"), ("header Cont%61ct", "<sip:ann@192.0.2.7>"),
    ]),
    case("no-blank-display", "no blank between name and bracket", OK, &[("from.display", "Ann")]),
    case("long-values", "long names, values, tags, branches; many Vias", OK, &[("vias", "13"), ("contacts", "1")]),
    case("trailing-bytes", "a second message behind Content-Length: cut off in a datagram, next in a stream", OK, &[("body", "ab")]),
    case("semicolon-user", "a user part with semicolon and parameter", OK, &[
        ("uri.user", "standup;mode=x%40y"), ("uri.host", "bridge.test"), ("uri.params", "0"),
    ]),
    case("transports", "transports nobody has heard of, below the top Via", OK, &[("vias", "4")]),
    case("multipart", "a binary body of several parts", Understood(Some(404)), &[("body.len", "150"), ("content-type", "multipart/mixed;boundary=\"=cut=\"")]),
    case("odd-reason", "a reason phrase in another alphabet, with signs", STRAY, &[("status", "200"), ("reason", "= 6*7 да, конечно")]),
    case("empty-reason", "no reason phrase", STRAY, &[("status", "180"), ("reason", "")]),
    case("no-reason", "no blank before the missing reason phrase", STRAY, &[("status", "180"), ("reason", "")]),
    case("bare-cookie", "a branch that is the cookie and nothing else", OK, &[("via.unique", "no")]),
];

/// RFC 4475 §3.1.2: malformed, some of which is read all the same.
#[rustfmt::skip]
pub(crate) const MALFORMED: &[Case] = &[
    case("empty-params", "separators without anything between them in Via", BAD, &[]),
    over_tcp(case("length-too-large", "Content-Length larger than the datagram", BAD, &[]), Waits),
    case("length-negative", "a negative Content-Length", BAD, &[]),
    case("request-scalars", "numbers beyond 64 bits in a request", BAD, &[]),
    case("response-scalars", "numbers beyond 64 bits in a response", Dropped, &[]),
    case("open-quote", "a quoted string without end in To", BAD, &[]),
    case("bracketed-uri", "a Request-URI in brackets", BAD, &[]),
    case("blank-in-uri", "a blank within the Request-URI", BAD, &[]),
    case("double-blanks", "more than one blank in the request line", OK, &[("uri", "sip:standup@bridge.test")]),
    case("trailing-blanks", "blanks at the end of the request line", OK, &[("uri", "sip:standup@bridge.test")]),
    case("uri-headers", "headers in the Request-URI", BAD, &[]),
    case("bad-date", "a Date that is not in GMT, which nobody needs", OK, &[("header Date", "Sat, 01 Jan 2000 08:00:00 CET")]),
    case("contact-without-brackets", "a question mark in a Contact without brackets", Understood(Some(400)), &[("contact", "invalid")]),
    case("blanks-in-brackets", "blanks within the brackets of To", OK, &[("to.uri", "sip:standup@bridge.test"), ("to.display", "Stand up")]),
    case("loose-display", "a comma in a name without quotes", OK, &[("from.display", "Lee, Ann"), ("from.tag", "a1")]),
    case("version", "another version of SIP", Refused(505), &[]),
    case("broken-version", "a version that is no number", BAD, &[]),
    case("method-mismatch", "another method in CSeq", BAD, &[]),
    case("unknown-method-mismatch", "an unknown method, and another one in CSeq", BAD, &[]),
    case("big-status", "a status that is 200 in 32 bits", Dropped, &[]),
];

/// RFC 4475 §3.3 and §3.4: well-formed, and not what an endpoint can do.
#[rustfmt::skip]
pub(crate) const APPLICATION: &[Case] = &[
    case("missing", "no From, To and Call-ID", BAD, &[]),
    case("unknown-scheme", "a Request-URI of an unknown scheme", Understood(Some(416)), &[("uri", "neverHeardOf:some-opaque-thing")]),
    case("dotted-scheme", "a Request-URI that looks like another protocol's", Understood(Some(416)), &[("uri", "a+b.c-1://192.0.2.7:99/x")]),
    case("foreign-schemes", "other schemes in To, From and Contact", OK, &[
        ("to.uri", "urn:isbn:0451450523"), ("from.uri", "http://phones.test/ann"), ("contact", "<mailto:ann@phones.test>"),
    ]),
    case("require", "extensions that nobody has", Understood(Some(420)), &[("header Require", "fancy-thing, other-thing")]),
    case("unknown-type", "a body of an unknown type", Understood(Some(415)), &[("content-type", "application/x-nobody-knows")]),
    case("unknown-authorization", "an unknown authorization scheme that was not asked for", OK, &[("header Authorization", "Handshake firm=\"yes\"")]),
    case("repeated", "two of what may be there once", BAD, &[]),
    case("two-lengths", "two values of Content-Length", BAD, &[]),
    case("broadcast-response", "a response whose second Via is everyone", STRAY, &[("vias", "2")]),
    case("no-hops", "Max-Forwards of zero", OK, &[("max-forwards", "0")]),
    case("contact-param", "an unknown Contact parameter, without brackets", NO_USER, &[("contact", "<sip:ann@192.0.2.7>;odd")]),
    case("contact-uri-param", "an unknown parameter of the Contact's URI", NO_USER, &[("contact", "<sip:ann@192.0.2.7;odd>")]),
    case("contact-escaped-header", "an escaped header in a Contact", NO_USER, &[
        ("contact", "<sip:ann@192.0.2.7?Route=%3Csip:elsewhere.test%3E>"),
    ]),
    case("accept-unknown", "an Accept without anything we can make", OK, &[("header Accept", "text/x-nobody-knows")]),
    over_tcp(case("rfc2543", "no branch, no tag, no Max-Forwards, no Content-Length", OK, &[
        ("max-forwards", "none"), ("from.tag", ""), ("via.unique", "no"), ("body.len", "92"),
    ]), BAD),
];

/// RFC 5118: IPv6.
#[rustfmt::skip]
pub(crate) const IPV6: &[Case] = &[
    case("ipv6", "addresses in brackets in Request-URI, Via and Contact", OK, &[
        ("uri.host", "[2001:db8::b]"), ("via", "SIP/2.0/UDP [2001:db8::7]:5071;branch=z9hG4bK-ipv6;rport"), ("contact", "\"Ann\" <sip:ann@[2001:db8::7]>"),
    ]),
    case("ipv6-without-brackets", "a Request-URI whose address has no brackets", BAD, &[]),
    case("ipv6-port-inside", "what looks like a port is part of the address", OK, &[("uri.host", "[2001:db8::b:5070]"), ("uri.port", "none")]),
    case("ipv6-port-outside", "a port behind the brackets", OK, &[("uri.host", "[2001:db8::b]"), ("uri.port", "5070")]),
    case("ipv6-received-brackets", "received in brackets", OK, &[("via.received", "2001:db8::7:ff")]),
    case("ipv6-received-plain", "received without brackets", OK, &[("via.received", "2001:db8::7:ff")]),
    case("ipv6-sdp", "an address in SDP that no machine has a route to: on which link is not said", Understood(Some(488)), &[("content-type", "application/sdp"), ("body.len", "92")]),
    case("ipv6-mixed-vias", "both families in the Vias", GONE, &[("vias", "3")]),
    case("ipv6-mixed-sdp", "both families in one SDP", OK, &[("content-type", "application/sdp")]),
    case("ipv6-mapped", "addresses of IPv4 in those of IPv6", OK, &[("contact", "<sip:ann@[::ffff:192.0.2.7]>")]),
    case("ipv6-two-colons", "an address with an IPv4 tail", OK, &[("uri.host", "[2001:db8::c000:20b]")]),
    case("ipv6-three-colons", "the same as the grammar of RFC 3261 writes it", OK, &[("uri.host", "[2001:db8::c000:20b]")]),
];

/// What the field sends besides.
#[rustfmt::skip]
pub(crate) const FIELD: &[Case] = &[
    case("line-feeds", "line feeds without carriage returns", OK, &[("header X-Folded", "one two"), ("body", "a\nb")]),
    case("leading-line-ends", "line ends before the message", OK, &[]),
    case("compact", "every compact name", OK, &[("header Supported", "timer,100rel"), ("header Subject", "hi"), ("content-type", "text/plain"), ("body", "hi")]),
    case("latin-1", "Latin-1 in a display name and in an unknown header", OK, &[("from.display", "Jürgen Müller"), ("header X-City", "Köln")]),
    case("raw-null", "a null byte in an unknown header", OK, &[("header X-Null", "a\0b\u{7f}c")]),
    over_tcp(case("http", "a request of HTTP", Dropped, &[]), Dropped),
    over_tcp(case("noise", "random bytes", Dropped, &[]), Waits),
    over_tcp(case("line-ends-only", "a keep-alive", Dropped, &[]), Waits),
    case("broken-ack", "a malformed ACK, which is never answered", Dropped, &[]),
    case("no-via", "no Via: nowhere to answer to", Dropped, &[]),
    case("empty-via", "a Via without value: nowhere to answer to", Dropped, &[]),
    case("sequence-limit", "a sequence number of 2^31", BAD, &[]),
    case("sequence-highest", "the highest sequence number", OK, &[("cseq", "2147483647 OPTIONS")]),
    case("hops-256", "Max-Forwards beyond its range", BAD, &[]),
    case("no-colon", "a line that is no header", BAD, &[]),
    case("blank-in-name", "a header name of two words", BAD, &[]),
    over_tcp(case("no-length", "no Content-Length: fine in a datagram, the end of a stream", OK, &[("body", "whatever comes")]), BAD),
    case("tel-uri", "a telephone number as Request-URI", Understood(Some(416)), &[("uri", "tel:+15550100;phone-context=test"), ("from.uri", "tel:+15550199")]),
    case("service-urn", "a service as Request-URI", Understood(Some(416)), &[("uri", "urn:service:sos")]),
    case("display-brackets", "commas, brackets and quotes in quoted strings", OK, &[
        ("from.display", r#"Lee, Ann <ext. 7> "x""#), ("contacts", "2"), ("contact", r#""a, <b>" <sip:ann@192.0.2.7>;x="<,>""#),
    ]),
    case("lower-case-method", "a method in small letters is another method", NOT_SERVED, &[("method", "options")]),
    case("lower-case-version", "the version in small letters is the same version", OK, &[]),
    case("bad-port", "a port beyond 16 bits", BAD, &[]),
    over_tcp(case("no-end", "no empty line behind the headers", OK, &[("body.len", "0")]), Waits),
    case("first-line-folded", "a blank before the first header", BAD, &[]),
    case("timer-short", "a session interval below ours", Understood(Some(422)), &[("header Session-Expires", "89;refresher=uac")]),
    case("timer-garbage", "a session interval that is no number: the call goes on with ours", OK, &[("header Min-SE", "-1, 90")]),
    case("timer-huge", "a session interval of centuries, and a refresher that is nobody", OK, &[("header Session-Expires", "99999999999999999999 ; refresher=nobody")]),
    case("rack-garbage", "a PRACK for what never was", GONE, &[("header RAck", "-7 99999999999 INVITE ACK")]),
    case("rseq-garbage", "a reliable response without a number", STRAY, &[("header RSeq", "0, 4294967296")]),
    case("event-garbage", "a subscription to nothing that has a name", Understood(Some(489)), &[]),
    case("expires-garbage", "a subscription for less than no time", Understood(Some(400)), &[("header Event", "conference;id=;id")]),
    case("wordless", "a message of no type, for nobody", Understood(Some(404)), &[]),
    case("precondition", "preconditions, which we cannot meet", Understood(Some(420)), &[("header Require", "precondition")]),
    case("replaces-unknown", "a dialog to take over that is nobody's, its parameters folded, doubled and in odd case", Understood(Some(481)), &[("header Replaces", "x@y ;FROM-TAG=2;to-tag=1;to-tag=3 ;early-only=no")]),
    case("replaces-zero", "a dialog with no tags at all", Understood(Some(481)), &[("header Replaces", "x;to-tag=0;from-tag=0")]),
    case("replaces-twice", "two dialogs to take over", Understood(Some(400)), &[]),
    case("replaces-list", "two dialogs to take over in one line", Understood(Some(400)), &[]),
    case("replaces-and-join", "one dialog to take over and one to join", Understood(Some(400)), &[]),
    case("replaces-broken", "a dialog to take over without a tag of ours", Understood(Some(400)), &[]),
    case("replaces-long", "a dialog to take over with long tags", Understood(Some(481)), &[]),
    case("replaces-in-options", "OPTIONS that would take over a dialog", Understood(Some(400)), &[]),
    case("join-unknown", "a dialog to join that is nobody's", Understood(Some(481)), &[("header Join", "x@y;to-tag=1;from-tag=2;early-only")]),
    case("join-broken", "a dialog to join without Call-ID", Understood(Some(400)), &[]),
    case("target-dialog-unknown", "REFER that names a dialog that is nobody's", Understood(Some(403)), &[("header Target-Dialog", "x@y;remote-tag=2;local-tag=1")]),
    case("target-dialog-broken", "REFER whose Target-Dialog is none", Understood(Some(403)), &[]),
    case("refer-to-headers", "REFER to a URI with more headers than it may ask for", Understood(Some(403)), &[("header Refer-Sub", "false;x")]),
    case("refer-to-twice", "REFER to two at once", Understood(Some(400)), &[]),
];
