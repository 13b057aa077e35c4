//! The bridge under test: its own process, ports, data folder and key.

use std::fs::File;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, EventLog, Response};

/// How a bridge is started, where it matters to a test.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Sections of its TOML file.
    pub config: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Where SIP is spoken, all on one port; nothing is 127.0.0.1.
    pub hosts: Vec<IpAddr>,
    /// A data folder that outlives it; nothing: one of its own.
    pub data: Option<PathBuf>,
}

#[derive(Debug)]
pub struct Bridge {
    child: Child,
    folder: PathBuf,
    pub sip: SocketAddr,
    pub api: SocketAddr,
    pub client: Client,
    events: Arc<EventLog>,
}

impl Bridge {
    /// Starts the binary and waits until it takes calls.
    pub fn start(options: Options) -> Self {
        let folder = fresh_folder();
        let (sip, api) = (free_port(), free_port());
        let config = folder.join("plenary.toml");
        let settings = format!("drain_grace = \"1s\"\n{}", options.config);
        std::fs::write(&config, settings).expect("the folder is ours");
        let log = File::create(folder.join("log")).expect("the folder is ours");
        let child = Command::new(binary())
            .arg("serve")
            .args(listeners(&options.hosts, sip))
            .args(["--rtp-ports", &rtp_ports(), "--public-ip", "127.0.0.1"])
            .args(["--api", &api.to_string(), "--api-key", KEY])
            .args(["--log", "info,plenary=debug"])
            .arg("--data")
            .arg(options.data.unwrap_or_else(|| folder.join("data")))
            .arg("--config")
            .arg(&config)
            .args(&options.arguments)
            .current_dir(&folder)
            .env_remove("RUST_LOG")
            .env_remove("PLENARY_RFC_TORTURE") // of the torture tests, no setting
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("the binary runs");
        let client = Client::new(format!("http://{api}"), KEY);
        let mut bridge = Self { child, folder, sip, api, client, events: Arc::default() };
        bridge.wait_until_ready(api);
        bridge.client.stream(None, Arc::clone(&bridge.events));
        bridge
    }

    /// The SIP address of a room or any other name here.
    pub fn uri(&self, name: &str) -> String {
        format!("sip:{name}@{}", self.sip)
    }

    /// Where SIP is spoken over IPv6, if it is.
    pub fn sip6(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), self.sip.port())
    }

    /// The process, for figures from /proc.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    // ---- HTTP ----

    pub fn get(&self, path: &str) -> Value {
        self.ok("GET", path, None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.ok("POST", path, Some(body))
    }

    pub fn put(&self, path: &str) -> Value {
        self.ok("PUT", path, None)
    }

    pub fn patch(&self, path: &str, body: &Value) -> Value {
        self.ok("PATCH", path, Some(body))
    }

    pub fn delete(&self, path: &str) -> Value {
        self.ok("DELETE", path, None)
    }

    /// Any answer, refusals included.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&Value>) -> Response {
        let body = body.map(Value::to_string);
        let answer = self.client.request(method, path, &[], body.as_deref());
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let answer = self.try_request(method, path, body);
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path} {body:?} was answered by {}: {}",
            answer.status,
            answer.text
        );
        answer.json()
    }

    /// Reads a resource until `wanted` accepts it: figures change without an event.
    pub fn get_until(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.get(path);
            if wanted(&found) {
                return found;
            }
            assert!(Instant::now() < deadline, "{path} is still {found}");
            thread::sleep(POLL);
        }
    }

    /// Waits until `/metrics` has this line.
    pub fn wait_metric(&self, line: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        let line = format!("\n{line}\n");
        while !self.try_request("GET", "/metrics", None).text.contains(&line) {
            assert!(Instant::now() < deadline, "the metrics never say:{line}");
            thread::sleep(POLL);
        }
    }

    /// Waits until so many NOTIFYs have been taken: there is no event of them.
    pub fn wait_notified(&self, times: usize) {
        let labels = "direction=\"in\",method=\"NOTIFY\",status=\"200\"";
        self.wait_metric(&format!("plenary_sip_responses_total{{{labels}}} {times}"));
    }

    // ---- events ----

    /// Waits for an event of this type that `wanted` accepts and that was not taken before.
    pub fn wait(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = self.events.take(|event| event["type"] == kind && wanted(event));
        found.unwrap_or_else(|told| panic!("no event {kind} came, but:\n{told}"))
    }

    /// Waits for an event of any type.
    pub fn wait_any(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.events.take(wanted).unwrap_or_else(|told| panic!("no such event came, but:\n{told}"))
    }

    /// Waits for an event about this leg.
    pub fn wait_leg(&self, kind: &str, leg: &str) -> Value {
        self.wait(kind, |event| event["leg"] == leg)
    }

    /// Waits for an event about the participant whose address has this user part.
    pub fn wait_participant(&self, kind: &str, user: &str) -> Value {
        let user = format!("sip:{user}@");
        self.wait(kind, |event| {
            event["data"]["uri"].as_str().is_some_and(|uri| uri.contains(&user))
        })
    }

    /// How many events of this type `wanted` accepts among all so far.
    pub fn count(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> usize {
        self.events.all().iter().filter(|event| event["type"] == kind && wanted(event)).count()
    }

    /// Every event so far.
    pub fn events(&self) -> Vec<Value> {
        self.events.all()
    }

    /// A second reader of the stream, from after `since` on.
    pub fn resume_stream(&self, since: u64) -> Arc<EventLog> {
        let log = Arc::default();
        self.client.stream(Some(since), Arc::clone(&log));
        log
    }

    // ---- the process ----

    /// SIGTERM.
    pub fn terminate(&self) {
        let status = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// SIGKILL: it cannot put anything in order.
    pub fn kill(&mut self) {
        self.child.kill().expect("it is our child");
        self.child.wait().expect("it is our child");
    }

    /// SIGHUP.
    pub fn read_again(&self) {
        let status = Command::new("kill").args(["-HUP", &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until its log says this so many times.
    pub fn wait_log(&self, text: &str, times: usize) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.log().matches(text).count() < times {
            assert!(Instant::now() < deadline, "the log does not say: {text}");
            thread::sleep(POLL);
        }
    }

    /// Waits for its end.
    pub fn wait_exit(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the bridge does not stop");
            thread::sleep(POLL);
        }
    }

    fn wait_until_ready(&mut self, api: SocketAddr) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                panic!("the bridge stopped at once: {status}\n{}", self.last_log());
            }
            let up = TcpStream::connect(api).is_ok()
                && self.client.request("GET", "/readyz", &[], None).is_ok_and(|a| a.status == 200);
            if up {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the bridge does not get ready:\n{}",
                self.last_log()
            );
            thread::sleep(POLL);
        }
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        let text = std::fs::read(self.folder.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    fn last_log(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(400)..].join("\n")
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            eprintln!("---- the bridge's log ----\n{}", self.last_log());
            eprintln!("---- its events ----\n{}", self.events.told());
            eprintln!("---- kept in {} ----", self.folder.display());
        } else {
            drop(std::fs::remove_dir_all(&self.folder));
        }
    }
}

/// The bridge of this build; `E2E_BRIDGE` names another, such as a release build.
pub fn binary() -> PathBuf {
    let other = std::env::var_os("E2E_BRIDGE");
    other.map_or_else(|| env!("CARGO_BIN_EXE_plenary").into(), PathBuf::from)
}

/// The arguments that have SIP spoken at these addresses.
fn listeners(hosts: &[IpAddr], sip: SocketAddr) -> Vec<String> {
    let hosts = if hosts.is_empty() { &[sip.ip()] } else { hosts };
    let address = |host: &IpAddr| SocketAddr::new(*host, sip.port()).to_string();
    let flags =
        |host| ["--sip-udp".to_owned(), address(host), "--sip-tcp".to_owned(), address(host)];
    hosts.iter().flat_map(flags).collect()
}

/// A folder of this test's own below the target folder.
pub fn fresh_folder() -> PathBuf {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let name = format!("e2e-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    folder
}

/// A port that is free for UDP and TCP on loopback, in both families where there are two.
///
/// Not one of those that the system gives away by itself: a phone could get it before it is used.
pub fn free_port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORT_LAST - PORT_FIRST;
    let offset = std::process::id().wrapping_mul(97) as u16 % count;
    for _ in 0..count {
        let next = NEXT.fetch_add(1, Ordering::Relaxed) % count;
        let port = PORT_FIRST + (offset + next) % count;
        let Ok(udp) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        let address = udp.local_addr().expect("it is bound");
        let in_use = |error: io::Error| error.kind() == io::ErrorKind::AddrInUse;
        let taken = |result: io::Result<()>| result.is_err_and(in_use);
        let v6 = ("::1", address.port());
        if !taken(TcpListener::bind(address).map(drop))
            && !taken(UdpSocket::bind(v6).map(drop))
            && !taken(TcpListener::bind(v6).map(drop))
        {
            return address;
        }
    }
    panic!("no port is free");
}

/// A block of ports for one bridge, out of those that the kernel does not hand out by itself.
fn rtp_ports() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let blocks = (RTP_LAST - RTP_FIRST) / RTP_BLOCK;
    let offset = std::process::id().wrapping_mul(7) as u16 % blocks;
    for _ in 0..blocks {
        let block = (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % blocks;
        let first = RTP_FIRST + block * RTP_BLOCK;
        // A bridge takes its ports in any order: a free sample means a free block.
        let free = |port| UdpSocket::bind(("127.0.0.1", port)).is_ok();
        if (first..first + RTP_BLOCK).step_by(16).all(free) {
            return format!("{first}-{}", first + RTP_BLOCK - 1);
        }
    }
    panic!("no block of ports is free for RTP");
}

const KEY: &str = "key-of-the-tests";
const PORT_FIRST: u16 = 6_000;
const PORT_LAST: u16 = 12_000;
const RTP_FIRST: u16 = 20_000;
/// From there on unit tests take theirs.
const RTP_LAST: u16 = 30_000;
const RTP_BLOCK: u16 = 400;
/// A process that starts or ends, or a figure that changes, tells nobody: this is asked at this pace.
const POLL: Duration = Duration::from_millis(20);
