//! Whoever sends rubbish, or nothing, disturbs nobody: a tone is heard without a gap all the while, what happened is
//! counted, and the log says it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::secure::{Secure, secure, wait_end};
use crate::support::{Peer, SECOND, continuity, idle_sdp};

/// A bridge that loses its patience soon, with two phones that hear each other.
fn calm() -> Secure {
    let patience = "handshake_timeout = \"1s\"\nmessage_timeout = \"1s\"\nws_ping = \"1s\"\n";
    secure(patience, "[limits]\nconnections_per_source = 200\napi_connections_per_source = 1000\n")
}

/// Does `harm` while Anna listens to Bert, and keeps what it leaves until she has; both were there before and are after.
fn heard_during<T: Send>(secure: &Secure, harm: impl FnOnce() -> T + Send) {
    let bert = secure.scene.join("bert", "standup", 880);
    let anna = secure.scene.join("anna", "standup", 440);
    anna.call.expect(&[880], &[440]);

    let heard = thread::scope(|scope| {
        let harming = scope.spawn(harm);
        let heard = anna.call.hear(&[880], 4 * SECOND, Duration::ZERO);
        drop(harming.join().unwrap());
        heard
    });

    assert!(continuity(&heard) >= 0.98, "{heard}");
    anna.call.expect(&[880], &[440]);
    bert.call.expect(&[440], &[880]);
}

/// That this row of the metrics is above zero.
fn counted(secure: &Secure, row: &str) {
    let page = secure.scene.bridge.try_request("GET", "/metrics", None).text;
    let found = page.lines().find_map(|line| line.strip_prefix(row)?.trim().parse::<f64>().ok());
    assert!(found.is_some_and(|count| count > 0.0), "{row} in {page}");
}

#[test]
fn messages_that_trickle_in() {
    let secure = calm();
    let sip = secure.scene.bridge.sip;
    let (tls, ws, client) = (secure.tls, secure.ws, secure.authority.client());

    heard_during(&secure, || {
        let mut slow: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(sip).unwrap()).collect();
        for stream in &mut slow {
            stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/TCP ").unwrap();
        }
        let mut secure = Peer::tls(tls, &client);
        secure.send("INVITE sip:x SIP/2.0\r\nContent-Length: 10\r\n\r\nhalf");
        let mut half = TcpStream::connect(ws).unwrap();
        half.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").unwrap();
        for stream in &mut slow {
            drop(stream.write_all(b"x")); // one octet more, and then no more
        }
        slow.into_iter().for_each(wait_end);
        wait_end(half);
        secure.wait_closed();
    });

    assert!(secure.metric("tcp", "slow") && secure.metric("tls", "slow"));
    assert!(secure.metric("ws", "upgrade"));
    secure.scene.bridge.wait_log("a message took longer than sip.message_timeout", 51);
}

#[test]
fn garbage_in_front_of_messages_and_messages_that_are_too_large() {
    let secure = calm();
    let sip = secure.scene.bridge.sip;
    let (tls, client) = (secure.tls, secure.authority.client());

    heard_during(&secure, || {
        for garbage in
            [&b"\x00\x01\x02\r\n\r\n"[..], b"GET / HTTP/1.1\r\n\r\n", &vec![0xff; 70_000]]
        {
            let mut stream = TcpStream::connect(sip).unwrap();
            drop(stream.write_all(garbage));
            drop(stream.write_all(b"OPTIONS sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n"));
            wait_end(stream);
        }
        let mut large = Peer::tls(tls, &client);
        large.send("INVITE sip:x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n");
        large.wait_closed();
        for _ in 0..20 {
            let mut stream = TcpStream::connect(tls).unwrap();
            drop(stream.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x01, 0x00]));
            drop(stream.write_all(&vec![0x5a; 66_000]));
            wait_end(stream);
        }
    });

    assert!(secure.metric("tcp", "garbage") && secure.metric("tls", "garbage"));
    assert!(secure.metric("tls", "handshake"));
    secure.scene.bridge.wait_log("connection refused: no TLS", 20);
    secure.scene.bridge.wait_log("connection ended", 4);
}

#[test]
fn a_thousand_connections_that_say_nothing() {
    let secure = calm();
    let (sip, tls, ws) = (secure.scene.bridge.sip, secure.tls, secure.ws);
    allow_descriptors();

    heard_during(&secure, || {
        let open = |at: SocketAddr| move |_| TcpStream::connect(at).ok();
        let mut idle: Vec<TcpStream> = (0..400).filter_map(open(sip)).collect();
        idle.extend((0..300).filter_map(open(tls)));
        idle.extend((0..300).filter_map(open(ws)));
        assert!(idle.len() >= 900, "{}", idle.len());
        idle
    });

    assert!(secure.metric("tcp", "source"));
    secure.scene.bridge.wait_log("limits.connections_per_source is reached", 1);
    // Once the bridge has seen that they are gone, others come in again.
    let tries = (0..100_000).find(|_| is_let_in(sip));
    assert!(tries.is_some(), "nobody is let in any more");
}

#[test]
fn two_thousand_phones_over_tls() {
    let secure = secure("", "[limits]\nconnections_per_source = 2100\n");
    let (tls, client) = (secure.tls, secure.authority.client());
    allow_descriptors();

    heard_during(&secure, || {
        let is_there = |phone: &mut Peer| {
            phone.send("\r\n\r\n"); // RFC 5626 §3.5.1
            assert_eq!(phone.read_bytes(2), b"\r\n");
        };
        let mut phones = Vec::new();
        for _ in 0..2_000 {
            let mut phone = Peer::tls(tls, &client);
            is_there(&mut phone);
            phones.push(phone);
        }
        phones.iter_mut().for_each(is_there);
        let mut last = phones.pop().unwrap();
        last.call(&format!("sip:standup@{tls};transport=tls"), "", &idle_sdp());
        phones
    });
}

/// Whether a new connection gets a sign of life.
fn is_let_in(sip: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(sip).unwrap();
    stream.set_read_timeout(Some(SECOND)).unwrap();
    stream.write_all(b"\r\n\r\n").is_ok() && stream.read_exact(&mut [0; 2]).is_ok()
}

/// As many as the system lets this process have.
fn allow_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn websockets_that_break_their_rules() {
    let secure = calm();
    let (ws, wss, client) = (secure.ws, secure.wss, secure.authority.client());

    heard_during(&secure, || {
        // RFC 6455 §5.1 and §5.2: no mask, a reserved bit, an unknown opcode, a fragmented ping, text that is none.
        for frame in [
            &b"\x81\x05hello"[..],
            b"\xc1\x80\x00\x00\x00\x00",
            b"\x83\x80\x00\x00\x00\x00",
            b"\x09\x80\x00\x00\x00\x00",
            b"\x81\x82\x00\x00\x00\x00\xff\xfe",
            b"\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00",
        ] {
            let mut stream = upgraded(ws);
            drop(stream.write_all(frame));
            wait_end(stream);
        }
        for mut peer in [Peer::websocket(ws), Peer::secure_websocket(wss, &client)] {
            // It may be cut off before it has said all of it.
            drop(peer.try_send_frame(Frame::text("x".repeat(200_000))));
            peer.wait_closed();
        }
        let mut half = upgraded(ws);
        half.write_all(b"\x81\xfe\x10\x00\x00\x00\x00\x00INVITE").unwrap(); // 4096 octets are to come
        wait_end(half); // it answers no ping
    });

    assert!(secure.metric("ws", "garbage") && secure.metric("wss", "garbage"));
    secure.scene.bridge.wait_log("connection ended", 8);
}

/// A WebSocket up to its first frame.
fn upgraded(ws: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(ws).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: {ws}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: sip\r\n\r\n"
    )
    .unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer[9..], b"101");
    stream
}

#[test]
fn a_flood_of_datagrams_that_are_no_sip() {
    let secure = calm();
    let sip = secure.scene.bridge.sip;

    heard_during(&secure, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let kinds = [
            &b"\x00"[..],
            b"INVITE",
            b"INVITE sip:x SIP/2.0\r\nVia: \xff\r\n\r\n",
            b"SIP/2.0 999 \r\n\r\n",
            b"OPTIONS sip:x SIP/2.0\r\nContent-Length: -5\r\nCSeq: 99999999999 OPTIONS\r\n\r\n",
            &vec![b'A'; 60_000],
        ];
        for _ in 0..20_000 {
            for kind in kinds {
                drop(socket.send_to(kind, sip));
            }
        }
    });

    counted(&secure, "plenary_sip_malformed_total");
    let mut peer = Peer::udp(sip);
    let (mut dialog, _) = peer.call(&secure.scene.bridge.uri("standup"), "", &idle_sdp());
    peer.hang_up(&mut dialog);
}

#[test]
fn the_same_on_the_port_of_the_api() {
    let secure = calm();
    let bridge = &secure.scene.bridge;
    let api = bridge.api;

    heard_during(&secure, || {
        let mut idle: Vec<TcpStream> = Vec::new();
        for beginning in [&b""[..], b"GET /v1/rooms HT", b"\x16\x03\x01\xff", &vec![0x5a; 100_000]]
        {
            for _ in 0..100 {
                let mut stream = TcpStream::connect(api).unwrap();
                drop(stream.write_all(beginning));
                idle.push(stream);
            }
        }
        let mut half = TcpStream::connect(api).unwrap();
        let head = "POST /v1/rooms HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-of-the-tests\r\n\
                    Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"na";
        half.write_all(head.as_bytes()).unwrap();
        assert!(bridge.get("/v1/rooms")["items"].is_array()); // others are served meanwhile
        wait_end(half);
        idle
    });
}
