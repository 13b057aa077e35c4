//! HTTP as a client of the bridge meets it, and its event stream.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{WebSocket, client};

/// A client with the admin key.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    key: String,
    agent: ureq::Agent,
}

#[derive(Clone, Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The body as it came.
    pub text: String,
}

/// All that the event stream said; an event is taken once.
#[derive(Debug, Default)]
pub struct EventLog {
    events: Mutex<Vec<(Value, bool)>>,
    news: Condvar,
}

impl Client {
    pub fn new(base: String, key: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(5)))
            .build();
        Self { base, key: key.to_owned(), agent: config.into() }
    }

    /// A WebSocket to the event log, past its `ready`.
    pub fn websocket(&self) -> WebSocket<TcpStream> {
        let address = self.base.strip_prefix("http://").unwrap();
        let mut request = format!("ws://{address}/v1/ws").into_client_request().unwrap();
        let bearer = format!("Bearer {}", self.key).parse().unwrap();
        request.headers_mut().insert("authorization", bearer);
        let (mut socket, _) = client(request, TcpStream::connect(address).unwrap()).unwrap();
        assert!(socket.read().unwrap().to_text().unwrap().contains("ready"));
        socket
    }

    /// The same bridge with another key, or none.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Sends a request. `body` is sent as it is, as JSON.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Response, ureq::Error> {
        let mut request =
            http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        if !self.key.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.key));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                self.agent.run(request.body(body.to_owned())?)?
            }
            None => self.agent.run(request.body(())?)?,
        };
        let headers = answer
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("").to_owned()))
            .collect();
        let text = answer.body_mut().read_to_string()?;
        Ok(Response { status: answer.status().as_u16(), headers, text })
    }

    /// Puts a file there.
    pub fn upload(&self, path: &str, file: &[u8]) -> Result<Response, ureq::Error> {
        let request = self
            .agent
            .put(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/octet-stream");
        let mut answer = request.send(file)?;
        let text = answer.body_mut().read_to_string()?;
        Ok(Response { status: answer.status().as_u16(), headers: Vec::new(), text })
    }

    /// The file that is there.
    pub fn download(&self, path: &str) -> Result<Vec<u8>, ureq::Error> {
        let request = self
            .agent
            .get(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key));
        request.call()?.body_mut().read_to_vec()
    }

    /// Reads `/v1/events/stream` until it ends. `since`: number of the last event already known.
    pub fn stream(&self, since: Option<u64>, log: Arc<EventLog>) {
        let mut request = self
            .agent
            .get(format!("{}/v1/events/stream", self.base))
            .header("authorization", format!("Bearer {}", self.key))
            .header("accept", "text/event-stream");
        if let Some(since) = since {
            request = request.header("last-event-id", since.to_string());
        }
        let answer = request.call().expect("the event stream opens");
        assert_eq!(answer.status().as_u16(), 200, "the event stream is refused");
        thread::spawn(move || read_events(BufReader::new(answer.into_body().into_reader()), &log));
    }
}

impl Response {
    /// The body as JSON; null when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl EventLog {
    /// Waits for an event that `wanted` accepts and that was not taken before.
    pub fn take(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.events.lock().expect("not poisoned");
        loop {
            let found = events.iter_mut().find(|(event, taken)| !*taken && wanted(event));
            if let Some((event, taken)) = found {
                *taken = true;
                return Ok(event.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(events);
                return Err(self.told());
            }
            events = self.news.wait_timeout(events, left).expect("not poisoned").0;
        }
    }

    /// Every event so far, taken or not.
    pub fn all(&self) -> Vec<Value> {
        let events = self.events.lock().expect("not poisoned");
        events.iter().map(|(event, _)| event.clone()).collect()
    }

    /// For a failure's message.
    pub fn told(&self) -> String {
        self.all().iter().map(|event| format!("  {event}")).collect::<Vec<_>>().join("\n")
    }
}

/// The unnamed messages of a stream of server-sent events, each one event of the log in one line of JSON.
fn read_events(reader: impl BufRead, log: &EventLog) {
    let (mut data, mut named) = (String::new(), false);
    for line in reader.lines().map_while(Result::ok) {
        if let Some(value) = line.strip_prefix("data:") {
            value.trim().clone_into(&mut data);
        } else if line.starts_with("event:") {
            named = true;
        } else if line.is_empty() {
            if !data.is_empty() && !named {
                let event = serde_json::from_str(&data).expect("events are JSON");
                log.events.lock().expect("not poisoned").push((event, false));
                log.news.notify_all();
            }
            data.clear();
            named = false;
        }
    }
}

/// How long an event may take: beyond any timer of SIP.
const PATIENCE: Duration = Duration::from_secs(40);
