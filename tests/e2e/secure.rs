//! SIP over TLS and WebSockets: calls, who is refused, and that those who are disturb nobody.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio_rustls::rustls::ClientConfig;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{
    Authority, Baresip, Options, Peer, SECOND, Scene, continuity, free_port, has_program, idle_sdp,
    json, scene_with,
};

/// A bridge with every transport.
pub(crate) struct Secure {
    pub(crate) scene: Scene,
    pub(crate) authority: Authority,
    pub(crate) tls: SocketAddr,
    pub(crate) ws: SocketAddr,
    pub(crate) wss: SocketAddr,
}

/// `sip` are further lines of that section, `rest` are further sections.
pub(crate) fn secure(sip: &str, rest: &str) -> Secure {
    let authority = Authority::new();
    let [tls, ws, wss] = [(); 3].map(|()| free_port());
    let own = authority.settings();
    let config = format!(
        "[sip]\ntls = \"{tls}\"\nws = \"{ws}\"\nwss = \"{wss}\"\n{own}{}\n{rest}",
        sip.replace("CA", &authority.path().display().to_string())
    );
    let scene = scene_with(Options { config, ..Options::default() });
    Secure { scene, authority, tls, ws, wss }
}

impl Secure {
    /// One phone of each kind, and the URI that it calls.
    fn peers(&self) -> [(Peer, String); 3] {
        let client = self.authority.client();
        [
            (Peer::tls(self.tls, &client), format!("sip:standup@{};transport=tls", self.tls)),
            (Peer::websocket(self.ws), format!("sip:standup@{};transport=ws", self.ws)),
            (Peer::secure_websocket(self.wss, &client), format!("sips:standup@{}", self.wss)),
        ]
    }

    pub(crate) fn metric(&self, transport: &str, reason: &str) -> bool {
        let page = self.scene.bridge.try_request("GET", "/metrics", None).text;
        let row = format!(
            "plenary_sip_connections_refused_total{{transport=\"{transport}\",reason=\"{reason}\"}} "
        );
        page.contains(&row)
    }
}

// ---- calls ----

#[test]
fn a_client_over_tls_and_a_phone_over_udp_hear_each_other() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let secure = secure("", "");
    let uri = format!("sip:standup@{};transport=tls", secure.tls);
    let bare = Baresip::call_over_tls("bare", &uri, 660, &secure.authority.path());
    let leg = secure.scene.joined("bare");

    let anna = secure.scene.join("anna", "standup", 440);

    anna.call.expect(&[660], &[440]);
    let heard = anna.call.hear(&[660], 2 * SECOND, Duration::ZERO);
    assert!(continuity(&heard) >= 0.98, "{heard}");
    assert_eq!(secure.scene.bridge.get(&format!("/v1/legs/{leg}"))["transport"], "tls");
    let tape = bare.finish();
    assert!(tape.holds(440), "{} dB", tape.level_db(440));
    secure.scene.bridge.wait_leg("leg.ended", &leg);
}

#[test]
fn what_the_bridge_asks_comes_on_the_connection_of_the_call() {
    let secure = secure("", "");
    let bridge = &secure.scene.bridge;
    for (mut peer, uri) in secure.peers() {
        let transport = peer.transport();

        let (_, answer) = peer.call(&uri, "", &idle_sdp());
        let joined = bridge.wait_participant("participant.joined", "raw");
        let leg = joined["leg"].as_str().unwrap();
        assert_eq!(
            bridge.get(&format!("/v1/legs/{leg}"))["transport"],
            transport.to_lowercase(),
            "{answer:?}"
        );
        bridge.put(&format!("/v1/legs/{leg}/hold"));
        let reinvite = peer.wait_request("INVITE");
        let contact = format!("Contact: <{}>\r\n", reinvite.target());
        peer.answer(&reinvite, 200, "", (&contact, &format!("{}a=recvonly\r\n", idle_sdp())));
        peer.wait_request("ACK");
        bridge.wait_leg("participant.held", leg);
        bridge.delete(&format!("/v1/legs/{leg}"));
        let bye = peer.wait_request("BYE");
        peer.answer(&bye, 200, "", (&contact, ""));

        for request in [&reinvite, &bye] {
            let via = format!("SIP/2.0/{transport} ");
            assert!(request.header("Via").starts_with(&via), "{request:?}");
        }
        let scheme = if uri.starts_with("sips") { "sips:" } else { "sip:" };
        assert!(answer.uri("Contact").starts_with(scheme), "{answer:?}");
        bridge.wait_leg("leg.ended", leg);
    }
}

#[test]
fn keep_alives_are_answered() {
    let secure = secure("ws_ping = \"1s\"\n", "");
    let [(mut tls, _), (mut ws, uri), _] = secure.peers();

    tls.send("\r\n\r\n");
    assert_eq!(tls.read_bytes(2), b"\r\n");
    ws.send("\r\n\r\n");
    assert_eq!(ws.read_frame(), Frame::text("\r\n"));
    ws.send_frame(Frame::Ping("here".into()));
    assert_eq!(ws.read_frame(), Frame::Pong("here".into()));
    assert!(matches!(ws.read_frame(), Frame::Ping(_)), "the bridge asks too");
    let options = ws.request("OPTIONS", &ws.dialog(&uri), "", "");
    ws.send_frame(Frame::binary(options));
    assert_eq!(ws.wait_final("OPTIONS").status(), Some(200));
}

#[test]
fn a_browser_that_gives_no_sign_of_life_is_forgotten() {
    let secure = secure("ws_ping = \"100ms\"\n", "");
    let _silent = Peer::websocket(secure.ws); // it reads nothing, so it answers nothing

    secure.scene.bridge.wait_log("connection ended", 1);
}

// ---- calling out ----

#[test]
fn a_call_over_tls_stays_on_the_connection_that_was_verified() {
    let secure = secure("", "");
    let bridge = &secure.scene.bridge;
    let (listener, leg) = dial(&secure, "localhost");
    let mut callee = Peer::tls_accepted(&listener, &secure.authority.server(&["localhost"]));

    let invite = callee.wait_request("INVITE");
    let local = callee.local;
    let contact = format!("Contact: <sip:bert@{local};transport=tls>\r\n");
    callee.answer(&invite, 200, "b", (&contact, &idle_sdp()));
    callee.wait_request("ACK");
    bridge.wait_leg("participant.joined", &leg);
    bridge.delete(&format!("/v1/legs/{leg}"));

    // The certificate does not name the address in the Contact: another connection would fail.
    callee.wait_request("BYE");
    assert!(invite.header("Via").starts_with("SIP/2.0/TLS "), "{invite:?}");
}

#[test]
fn who_is_called_over_tls_must_have_the_name_of_the_uri() {
    let secure = secure("", "");
    let stranger = Authority::new();
    for (host, server) in [
        ("127.0.0.1", secure.authority.server(&["localhost"])),
        ("localhost", secure.authority.server(&["elsewhere.test"])),
        ("localhost", stranger.server(&["localhost"])),
    ] {
        let (listener, leg) = dial(&secure, host);

        Peer::tls_accepted(&listener, &server).wait_closed();

        let left = secure.scene.bridge.wait_leg("participant.left", &leg);
        assert_eq!(left["data"]["sip"]["status"], 503, "{left}");
    }
    secure.scene.bridge.wait_log("no TLS with whom we call", 3);
}

/// A dial-out to a new listener at this name; its leg.
fn dial(secure: &Secure, host: &str) -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let to = json!({"to": format!("sip:bert@{host}:{port};transport=tls")});
    let participant = secure.scene.bridge.post("/v1/rooms/standup/participants", &to);
    (listener, participant["leg"].as_str().unwrap().to_owned())
}

#[test]
fn a_browser_cannot_be_called() {
    let secure = secure("", "");
    let to = json!({"to": "sip:bert@x.invalid;transport=ws"});

    let participant = secure.scene.bridge.post("/v1/rooms/standup/participants", &to);

    let leg = participant["leg"].as_str().unwrap();
    secure.scene.bridge.wait_leg("participant.left", leg);
}

// ---- certificates ----

#[test]
fn certificates_are_read_again_and_calls_go_on() {
    let secure = secure("", "");
    let bridge = &secure.scene.bridge;
    let other = Authority::new();
    let [(mut tls, uri), _, _] = secure.peers();
    let (mut dialog, _) = tls.call(&uri, "", &idle_sdp());

    secure.authority.replace(&other);
    bridge.read_again();
    bridge.wait_log("certificates were read again", 1);
    let mut late = Peer::tls(secure.tls, &other.client());
    late.call(&uri, "", &idle_sdp());
    secure.authority.spoil();
    bridge.read_again();
    bridge.wait_log("the former stay", 1);
    assert!(bridge.log().contains("cert.pem: "), "the log names the file");
    Peer::secure_websocket(secure.wss, &other.client());

    tls.hang_up(&mut dialog);
}

#[test]
fn who_shows_no_certificate_is_turned_away_where_one_is_required() {
    let secure = secure("tls_client_ca = \"CA\"\ntls_client = \"required\"\n", "");
    let uri = format!("sips:standup@{}", secure.tls);
    let mut known = Peer::tls(secure.tls, &secure.authority.client_with_certificate());
    let mut unknown = Peer::tls(secure.tls, &secure.authority.client());

    known.call(&uri, "", &idle_sdp());
    unknown.wait_closed();

    secure.scene.bridge.wait_log("connection refused: no TLS", 1);
    let row = "plenary_sip_connections_refused_total{transport=\"tls\",reason=\"handshake\"} 1";
    secure.scene.bridge.wait_metric(row);
    Peer::secure_websocket(secure.wss, &secure.authority.client()); // browsers are not asked
}

// ---- who is refused ----

#[test]
fn a_websocket_without_sip_or_from_a_strange_page_is_refused() {
    let secure = secure("", "");
    for (protocol, origin, status) in [
        ("sip", "", "101 "),
        ("sip", "http://127.0.0.1:8080", "101 "),
        ("sip", "https://evil.example", "403 "),
        ("xmpp", "", "400 "),
        ("", "", "400 "),
    ] {
        let header = |name: &str, value: &str| match value {
            "" => String::new(),
            value => format!("{name}: {value}\r\n"),
        };
        let mut stream = TcpStream::connect(secure.ws).unwrap();
        let (protocol, origin) =
            (header("Sec-WebSocket-Protocol", protocol), header("Origin", origin));
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {protocol}{origin}\r\n",
            secure.ws
        )
        .unwrap();

        let mut answer = vec![0; 13];
        stream.read_exact(&mut answer).unwrap();

        assert_eq!(&answer[9..], status.as_bytes(), "{protocol}{origin}");
    }
    assert!(secure.metric("ws", "upgrade"));
}

#[test]
fn one_address_gets_its_share_of_connections() {
    let secure = secure("", "[limits]\nconnections_per_source = 2\n");
    let _first = Peer::tcp(secure.scene.bridge.sip);
    let mut second = Peer::tls(secure.tls, &secure.authority.client());
    second.call(&format!("sips:standup@{}", secure.tls), "", &idle_sdp());

    let third = TcpStream::connect(secure.ws).unwrap();

    wait_end(third);
    secure.scene.bridge.wait_log("limits.connections_per_source is reached", 1);
    assert!(secure.metric("ws", "source"));
}

#[test]
fn garbage_and_the_slow_do_not_disturb_calls_that_stand() {
    let secure = secure("handshake_timeout = \"1s\"\n", "");
    let bert = secure.scene.join("bert", "standup", 880);
    let [(mut tls, uri), ..] = secure.peers();
    let (mut dialog, _) = tls.call(&uri, "", &idle_sdp());

    let (doors, client) = ([secure.tls, secure.ws, secure.wss], secure.authority.client());
    let heard = thread::scope(|scope| {
        scope.spawn(|| misbehave(doors, &client));
        let anna = secure.scene.join("anna", "standup", 440);
        anna.call.expect(&[880], &[440]);
        anna.call.hear(&[880], 3 * SECOND, Duration::ZERO)
    });

    assert!(continuity(&heard) >= 0.98, "{heard}");
    bert.call.expect(&[], &[880]);
    tls.hang_up(&mut dialog);
    for (transport, reason) in [
        ("tls", "handshake"),
        ("wss", "handshake"),
        ("ws", "upgrade"),
        ("tls", "garbage"),
        ("ws", "garbage"),
        ("wss", "garbage"),
    ] {
        assert!(secure.metric(transport, reason), "{transport} {reason}");
    }
}

/// Everything that a stranger may try, on every port.
fn misbehave([tls, ws, wss]: [SocketAddr; 3], client: &Arc<ClientConfig>) {
    for (address, beginning) in [(tls, &b"\x16\x03\x01"[..]), (ws, b"GET / HT"), (wss, b"\x16")] {
        let mut noisy = TcpStream::connect(address).unwrap();
        drop(noisy.write_all(&[0x5a; 4096]));
        let mut slow = TcpStream::connect(address).unwrap();
        slow.write_all(beginning).unwrap();
        wait_end(noisy);
        wait_end(slow); // after the handshake's time
    }
    let mut noisy = Peer::tls(tls, client);
    noisy.send("INVITE sip:x SIP/2.0\r\nContent-Length: -1\r\n\r\n");
    noisy.wait_closed();
    for mut peer in [Peer::websocket(ws), Peer::secure_websocket(wss, client)] {
        peer.send("no SIP at all"); // is dropped as a datagram would be
        peer.send_frame(Frame::text("x".repeat(100_000)));
        let Frame::Close(Some(close)) = peer.read_frame() else { panic!("it takes too much") };
        assert_eq!(close.code, CloseCode::Size);
    }
}

/// Waits until the bridge has closed a connection.
pub(crate) fn wait_end(mut stream: TcpStream) {
    stream.set_read_timeout(Some(20 * SECOND)).unwrap();
    if let Err(error) = stream.read_to_end(&mut Vec::new()) {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "it stays open");
    }
}
