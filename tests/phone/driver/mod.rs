//! Drives the test phone from Rust: one process, any number of lines and calls.
//!
//! Shared by the phone's own tests and by `tests/e2e`, so it uses nothing but std and `serde_json`.

use std::cell::Cell;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// A command that comes before usual programs, as a telephone must, where that is permitted: a busy machine is not the
/// bridge's fault.
pub fn punctual(program: impl AsRef<OsStr>) -> Command {
    static PERMITTED: LazyLock<bool> = LazyLock::new(|| {
        let tried = Command::new("chrt").args(REAL_TIME).arg("true").stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    });
    if !*PERMITTED {
        return Command::new(program);
    }
    let mut command = Command::new("chrt");
    command.args(REAL_TIME).arg(program);
    command
}

/// `SCHED_FIFO` at its lowest priority, which the media threads have as well.
const REAL_TIME: [&str; 2] = ["--fifo", "1"];

/// A phone process.
#[derive(Debug)]
pub struct Phones {
    child: Child,
    stdin: Mutex<ChildStdin>,
    log: Arc<Log>,
    next: Cell<u64>,
}

/// What the phone said; an event is taken once.
#[derive(Debug, Default)]
struct Log {
    events: Mutex<Vec<(Value, bool)>>,
    news: Condvar,
}

/// A line: where calls start and arrive.
#[derive(Clone, Debug)]
pub struct Line<'p> {
    phones: &'p Phones,
    name: String,
    uri: String,
}

/// A call on a line.
#[derive(Clone, Debug)]
pub struct Call<'p> {
    phones: &'p Phones,
    name: String,
}

impl Phones {
    /// Starts the binary at `path`.
    pub fn start(path: &Path) -> Self {
        let mut child = punctual(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", path.display()));
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let log = Arc::new(Log::default());
        let writer = Arc::clone(&log);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("the phone speaks JSON");
                writer.events.lock().expect("not poisoned").push((event, false));
                writer.news.notify_all();
            }
        });
        Self { child, stdin: Mutex::new(stdin), log, next: Cell::new(1) }
    }

    /// Opens a line with the given behaviour (see `Behaviour` in the phone).
    pub fn line(&self, name: &str, behaviour: Value) -> Line<'_> {
        let mut order = behaviour;
        order["do"] = "open".into();
        order["line"] = name.into();
        self.order(order);
        let opened = self.wait("opened", |event| event["line"] == name);
        Line { phones: self, name: name.to_owned(), uri: text(&opened["uri"]) }
    }

    /// Gives an order and waits for its answer. Panics when the phone reports an error.
    pub fn order(&self, order: Value) -> Value {
        let answer = self.try_order(order.clone());
        assert_ne!(answer["event"], "error", "{order} was answered by {answer}\n{}", self.told());
        answer
    }

    /// As `order`, but an error is an answer too.
    pub fn try_order(&self, mut order: Value) -> Value {
        let id = self.next.replace(self.next.get() + 1);
        order["id"] = id.into();
        let mut stdin = self.stdin.lock().expect("not poisoned");
        writeln!(stdin, "{order}").expect("the phone listens");
        drop(stdin);
        self.take(&format!("the answer to {order}"), |event| {
            event["id"] == id && event["event"] != "opened"
        })
    }

    /// Waits for an event of this kind that `wanted` accepts and that was not taken before.
    pub fn wait(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.take(kind, |event| event["event"] == kind && wanted(event))
    }

    /// As `wait`, for any of these kinds.
    pub fn wait_any(&self, kinds: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        self.take(&kinds.join(" or "), |event| {
            kinds.iter().any(|kind| event["event"] == *kind) && wanted(event)
        })
    }

    /// Whether an event of this kind came that was not taken.
    pub fn seen(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> bool {
        let events = self.log.events.lock().expect("not poisoned");
        events.iter().any(|(event, taken)| !taken && event["event"] == kind && wanted(event))
    }

    /// Fails when the phone's SIP or SDP library disliked anything it was sent.
    pub fn assert_no_objections(&self) {
        for kind in ["sip_error", "sdp_error"] {
            assert!(!self.seen(kind, |_| true), "the phone objects:\n{}", self.told());
        }
    }

    /// Everything the phone said, for a failure's message.
    pub fn told(&self) -> String {
        let events = self.log.events.lock().expect("not poisoned");
        events.iter().map(|(event, _)| format!("  {event}")).collect::<Vec<_>>().join("\n")
    }

    #[allow(clippy::disallowed_methods, reason = "a test waits in real time")]
    fn take(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.log.events.lock().expect("not poisoned");
        loop {
            let found = events.iter_mut().find(|(event, taken)| !*taken && wanted(event));
            if let Some((event, taken)) = found {
                *taken = true;
                return event.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(events);
                panic!("the phone never told: {what}. It told:\n{}", self.told());
            }
            events = self.log.news.wait_timeout(events, left).expect("not poisoned").0;
        }
    }
}

impl Drop for Phones {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl<'p> Line<'p> {
    /// Where it can be called.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Replaces its behaviour for calls to come.
    pub fn behave(&self, mut behaviour: Value) {
        behaviour["do"] = "behave".into();
        behaviour["line"] = self.name.as_str().into();
        self.phones.order(behaviour);
    }

    /// Makes its SIP troublesome: `lose_acks`, `lose_incoming`, `repeat`.
    pub fn trouble(&self, mut trouble: Value) {
        trouble["do"] = "trouble".into();
        trouble["line"] = self.name.as_str().into();
        self.phones.order(trouble);
    }

    /// Places a call and comes back at once. `options` are those of the phone's `call`.
    pub fn dial(&self, name: &str, to: &str, options: Value) -> Call<'p> {
        let mut order = options;
        order["do"] = "call".into();
        order["line"] = self.name.as_str().into();
        order["call"] = name.into();
        order["to"] = to.into();
        self.phones.order(order);
        Call { phones: self.phones, name: name.to_owned() }
    }

    /// Places a call that plays a tone, and waits for the answer.
    pub fn call(&self, name: &str, to: &str, tone_hz: u32, options: Value) -> Call<'p> {
        let mut options = options;
        options["tones_hz"] = json!([tone_hz]);
        let call = self.dial(name, to, options);
        call.wait("answered");
        call
    }

    /// Waits for the next call that comes in.
    pub fn incoming(&self) -> Call<'p> {
        let event = self.phones.wait("incoming", |event| event["line"] == self.name.as_str());
        Call { phones: self.phones, name: text(&event["call"]) }
    }

    /// As `incoming`, with what the INVITE said.
    pub fn incoming_event(&self) -> (Call<'p>, Value) {
        let event = self.phones.wait("incoming", |event| event["line"] == self.name.as_str());
        (Call { phones: self.phones, name: text(&event["call"]) }, event)
    }
}

impl<'p> Call<'p> {
    /// By its name.
    pub fn named(phones: &'p Phones, name: &str) -> Self {
        Self { phones, name: name.to_owned() }
    }

    /// The name it has in orders and events.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits for an event of this call.
    pub fn wait(&self, kind: &str) -> Value {
        self.wait_for(kind, |_| true)
    }

    /// Waits for an event of this call that `wanted` accepts.
    pub fn wait_for(&self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.phones.wait(kind, |event| event["call"] == self.name.as_str() && wanted(event))
    }

    /// Gives an order about this call.
    pub fn order(&self, what: &str, mut options: Value) -> Value {
        options["do"] = what.into();
        options["call"] = self.name.as_str().into();
        self.phones.order(options)
    }

    /// Plays one tone from now on.
    pub fn play(&self, tone_hz: u32) {
        self.order("play", json!({"tones_hz": [tone_hz]}));
    }

    /// Plays silence.
    pub fn hush(&self) {
        self.order("play", json!({}));
    }

    /// Hangs up, whatever the state.
    pub fn hang_up(&self) {
        self.order("hangup", json!({}));
    }

    /// Waits until a whole window holds all of `present` and none of `absent`; fails after 10 s.
    pub fn expect(&self, present: &[u32], absent: &[u32]) {
        let order = json!({"present_hz": present, "absent_hz": absent});
        let heard = self.order("listen_for", order);
        assert_eq!(
            heard["matched"],
            true,
            "{} should hear {present:?} and not {absent:?}: {}\n{}",
            self.name,
            heard["heard"],
            self.phones.told()
        );
    }

    /// What it hears in the window of time that begins `skip` from now.
    pub fn hear(&self, tones_hz: &[u32], window: Duration, skip: Duration) -> Value {
        let (window, skip) = (window.as_millis() as u64, skip.as_millis() as u64);
        let order = json!({"tones_hz": tones_hz, "window_ms": window, "skip_ms": skip});
        self.order("hear", order)["heard"].clone()
    }

    /// What it counted.
    pub fn statistics(&self) -> Value {
        self.order("statistics", json!({}))["statistics"].clone()
    }
}

/// Mouth to ear from one call to another, of bursts in silence.
pub fn delay(from: &Call<'_>, to: &Call<'_>, bursts: u32) -> Value {
    let order = json!({"do": "delay", "from": from.name, "to": to.name, "bursts": bursts});
    from.phones.order(order)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// How long an event may take: beyond any timer of SIP.
const PATIENCE: Duration = Duration::from_secs(40);
