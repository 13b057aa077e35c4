//! What reading and printing a message costs.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use plenary::sip::{Limits, Message, StatusCode};

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sip");
    let limits = Limits::default();
    for (name, bytes) in [("phone", Bytes::from_static(PHONE)), ("pbx", Bytes::from_static(PBX))] {
        let message = Message::parse(&bytes, &limits).expect("the bench's message is well-formed");
        group.throughput(Throughput::Bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)));
        group.bench_function(format!("parse/{name}"), |bencher| {
            bencher.iter(|| Message::parse(black_box(&bytes), &limits));
        });
        group.bench_function(format!("print/{name}"), |bencher| {
            bencher.iter(|| black_box(&message).print());
        });
        group.bench_function(format!("respond/{name}"), |bencher| {
            bencher.iter(|| Message::response_to(black_box(&message), StatusCode::RINGING, None));
        });
    }
    group.finish();
}

/// Time must grow with the number of headers, not with its square.
fn many_headers(criterion: &mut Criterion) {
    let limits = Limits { headers: 10_000, head: 65_535, ..Limits::default() };
    for count in [1_000, 8_000] {
        let start = PHONE.len() - 4 - "Content-Length: 0".len();
        let bytes: Bytes =
            [&PHONE[..start], &b"X: y\r\n".repeat(count), &PHONE[start..]].concat().into();
        criterion.bench_function(&format!("sip/parse/{count}-headers"), |bencher| {
            bencher.iter(|| Message::parse(black_box(&bytes), &limits));
        });
    }
}

/// An INVITE as small phones send it.
const PHONE: &[u8] = b"INVITE sip:standup@bridge.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.7:5071;branch=z9hG4bK-524287-1;rport\r\n\
    Max-Forwards: 70\r\n\
    From: \"Ann\" <sip:ann@phones.test>;tag=a1b2c3\r\n\
    To: <sip:standup@bridge.test>\r\n\
    Call-ID: 3848276298220188511@phones.test\r\n\
    CSeq: 1 INVITE\r\n\
    Contact: <sip:ann@192.0.2.7:5071;transport=udp>\r\n\
    Content-Length: 0\r\n\r\n";

/// An INVITE as a PBX behind two proxies sends it, with its offer.
const PBX: &[u8] = b"INVITE sip:standup@192.0.2.1:5060 SIP/2.0\r\n\
    Record-Route: <sip:edge.carrier.test;lr;ftag=as58f4201b;did=1e2.c94>\r\n\
    Record-Route: <sip:core.carrier.test:5070;transport=tcp;lr>\r\n\
    Via: SIP/2.0/UDP 198.51.100.2:5060;branch=z9hG4bK8f1c.5f6d6d14.0\r\n\
    Via: SIP/2.0/TCP 198.51.100.3:5070;branch=z9hG4bK7a90.51c2aa7.1;received=198.51.100.3\r\n\
    Via: SIP/2.0/UDP 203.0.113.9:5060;received=203.0.113.9;branch=z9hG4bK5d4aef28;rport=5060\r\n\
    Max-Forwards: 68\r\n\
    From: \"Lee, Ann\" <sip:+15550100@pbx.test>;tag=as58f4201b\r\n\
    To: <sip:standup@bridge.test>\r\n\
    Contact: <sip:+15550100@203.0.113.9:5060>\r\n\
    Call-ID: 4a6b2f0c1d6e7f80123456789abcdef0@pbx.test:5060\r\n\
    CSeq: 102 INVITE\r\n\
    User-Agent: Some PBX 18.9\r\n\
    Date: Mon, 05 Jan 2026 10:00:00 GMT\r\n\
    Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, SUBSCRIBE, NOTIFY, INFO, PUBLISH, MESSAGE\r\n\
    Supported: replaces, timer\r\n\
    P-Asserted-Identity: \"Lee, Ann\" <sip:+15550100@pbx.test>\r\n\
    Session-Expires: 1800;refresher=uac\r\n\
    Content-Type: application/sdp\r\n\
    Content-Length: 270\r\n\r\n\
    v=0\r\no=root 1821 1821 IN IP4 203.0.113.9\r\ns=call\r\nc=IN IP4 203.0.113.9\r\nt=0 0\r\n\
    m=audio 14738 RTP/AVP 0 8 9 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:9 G722/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
    a=ptime:20\r\na=maxptime:150\r\na=sendrecv\r\n";

criterion_group!(benches, messages, many_headers);
criterion_main!(benches);
