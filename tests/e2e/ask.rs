//! Routes that ask an HTTP endpoint, which is written by hand here.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{Authority, Bridge, Options, Peer, Value, idle_sdp, json};

/// A request as it came.
#[derive(Debug)]
struct Asked {
    line: String,
    headers: String,
    body: Value,
}

/// An endpoint that says this to each request; nothing is silence.
fn endpoint(answer: &'static str) -> (SocketAddr, Receiver<Asked>) {
    serve(move |stream, sender| serve_one(stream, answer, sender))
}

fn serve(
    one: impl Fn(TcpStream, &std::sync::mpsc::Sender<Asked>) + Send + 'static,
) -> (SocketAddr, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, (sender, asked)) = (listener.local_addr().unwrap(), channel());
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| one(stream, &sender)));
    (address, asked)
}

fn serve_one(stream: impl Read + Write, answer: &str, asked: &std::sync::mpsc::Sender<Asked>) {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0)
    {
    }
    let (line, headers) = head.split_once("\r\n").unwrap_or_default();
    let length = headers.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body = serde_json::from_slice(&body).unwrap_or_default();
    drop(asked.send(Asked { line: line.to_owned(), headers: headers.to_owned(), body }));
    if answer.is_empty() {
        // Silence until the bridge has had enough.
        drop(reader.read(&mut [0]));
        return;
    }
    drop(reader.get_mut().write_all(answer.as_bytes()));
    drop(reader.get_mut().flush());
}

fn bridge(ask: &str, more: &str) -> Bridge {
    let config = format!("[[routes]]\nname = \"asked\"\nsteps = [{{ ask = {{ {ask} }} }}]\n{more}");
    Bridge::start(Options { config, ..Options::default() })
}

/// Calls, and gives the status of the answer.
fn call(bridge: &Bridge) -> u16 {
    let mut peer = Peer::udp(bridge.sip);
    let dialog = peer.dialog(&bridge.uri("1234"));
    peer.send(&peer.request("INVITE", &dialog, "X-Account: 4711\r\n", &idle_sdp()));
    peer.wait_final("INVITE").status().unwrap()
}

const LOBBY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                     content-length: 30\r\n\r\n{\"steps\": [{\"room\": \"lobby\"}]}";

#[test]
fn an_endpoint_says_where_the_call_goes() {
    let (address, asked) = endpoint(LOBBY);
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let bridge = bridge(
        &format!(
            "url = \"http://{address}/where?x=1\", secret = \"{secret}\", headers = [\"X-Account\"]"
        ),
        "",
    );

    let status = call(&bridge);

    let joined = bridge.wait("participant.joined", |_| true);
    let Asked { line, headers, body } = asked.recv().unwrap();
    assert_eq!(status, 200);
    assert_eq!(bridge.get("/v1/rooms/lobby")["participants"], 1, "{joined}");
    assert_eq!(line, "POST /where?x=1 HTTP/1.1");
    let headers = headers.to_lowercase();
    for header in [
        "content-type: application/json",
        "webhook-id: ask_",
        "webhook-timestamp: ",
        "webhook-signature: v1,",
        &format!("host: {address}"),
    ] {
        assert!(headers.contains(header), "{header} in {headers}");
    }
    assert_eq!(body["type"], "route.asked");
    assert_eq!(body["data"]["callee"]["name"], "1234", "{body}");
    assert_eq!(body["data"]["headers"]["X-Account"], json!(["4711"]), "{body}");
    let shown = bridge.get("/v1/routes/asked");
    assert_eq!(shown["steps"][0]["ask"]["secret"], "…", "{shown}");
    let tested = bridge.post("/v1/routes/test", &json!({ "to": "1234" }));
    assert!(tested["asks"].as_str().is_some_and(|asks| asks.contains("/where")), "{tested}");
    assert!(asked.try_recv().is_err(), "a test asks nobody");
    let metrics = bridge.try_request("GET", "/metrics", None).text;
    assert!(metrics.contains("plenary_route_questions_total 1\n"), "{metrics}");
}

#[test]
fn what_is_no_answer_of_use_leads_to_the_fallback() {
    let long = {
        let mut text = "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n".to_owned();
        text.push_str(&" ".repeat(200_000));
        &*text.leak()
    };
    for (answer, reason) in [
        ("HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n", "status"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n",
            "status",
        ),
        ("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>", "invalid"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n{\"steps\": [", "broken"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "broken"),
        (long, "too_long"),
        ("", "timeout"),
    ] {
        let (address, _asked) = endpoint(answer);
        let fallback = "fallback = [{ reject = { status = 480, reason = \"Nobody knows\" } }]";
        let ask = format!("url = \"http://{address}/\", deadline_s = 1, {fallback}");
        let bridge = bridge(&ask, "");

        let status = call(&bridge);

        assert_eq!(status, 480, "{answer:.60}");
        let failed = bridge.wait("route.ask_failed", |_| true);
        assert_eq!(failed["data"]["reason"], reason, "{failed}");
        bridge.wait_log("an endpoint did not say where a call goes", 1);
    }
}

#[test]
fn an_endpoint_that_is_down_or_private_costs_a_503() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (live, asked) = endpoint(LOBBY);
    for (url, more, reason) in [
        (format!("http://{closed}/"), "", "unreachable"),
        (format!("http://{live}/"), "[ask]\nprivate_networks = []\n", "not_allowed"),
        ("http://nobody.invalid/".to_owned(), "", "host_not_found"),
    ] {
        let bridge = bridge(&format!("url = \"{url}\""), more);

        let status = call(&bridge);

        assert_eq!(status, 503, "{url}");
        let failed = bridge.wait("route.ask_failed", |_| true);
        assert_eq!(failed["data"]["reason"], reason, "{failed}");
    }
    assert!(asked.try_recv().is_err());
}

#[test]
fn over_tls_the_endpoint_must_prove_its_name() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    let ca = format!("[ask]\nca = \"{}\"\n", ours.path().display());
    for (authority, name, status, reason) in [
        (&ours, "localhost", 200, ""),
        (&ours, "elsewhere.test", 503, "tls"),
        (&stranger, "localhost", 503, "tls"),
    ] {
        let server = authority.server(&[name]);
        let (address, _asked) = serve(move |stream, sender| {
            let session = ServerConnection::new(Arc::<ServerConfig>::clone(&server)).unwrap();
            serve_one(StreamOwned::new(session, stream), LOBBY, sender);
        });
        let bridge = bridge(&format!("url = \"https://localhost:{}/\"", address.port()), &ca);

        assert_eq!(call(&bridge), status, "{name}");
        if status != 200 {
            let failed = bridge.wait("route.ask_failed", |_| true);
            assert_eq!(failed["data"]["reason"], reason, "{failed}");
        }
    }
}
