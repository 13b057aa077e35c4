//! All lines and calls, and the one thread's worth of logic that moves them.

mod answers;
mod orders;
mod requests;

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::Input;
use crate::call::{BURST_PAUSE, Call};
use crate::codec::Codec;
use crate::command::{Behaviour, Hear, ListenFor, Order, Transport, Trouble};
use crate::hearing::Heard;
use crate::random::Random;
use crate::sip;
use crate::transactions::{Client, Due, LINGER, Served};
use crate::transport::{Flow, Sockets};

pub struct Phone {
    inputs: Sender<Input>,
    random: Random,
    lines: BTreeMap<String, Line>,
    calls: BTreeMap<String, Call>,
    clients: Vec<Client>,
    served: Vec<Served>,
    timers: Vec<(Instant, Timer)>,
}

struct Line {
    sockets: Sockets,
    behaviour: Behaviour,
    trouble: Trouble,
    incoming: u32,
}

enum Timer {
    Answer { call: String },
    Hear { id: u64, from: Instant, hear: Hear },
    Listen { id: u64, until: Instant, listen: ListenFor },
    Delay(Measurement),
}

/// A delay measurement under way.
struct Measurement {
    id: u64,
    from: String,
    to: String,
    bursts_left: u32,
    delays_ms: Vec<f64>,
    missed: u32,
}

type Outcome = Result<(), String>;

impl Phone {
    pub fn new(inputs: Sender<Input>) -> Self {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seed = clock.as_nanos() as u64 ^ (u64::from(std::process::id()) << 32);
        Self {
            inputs,
            random: Random::new(seed),
            lines: BTreeMap::new(),
            calls: BTreeMap::new(),
            clients: Vec::new(),
            served: Vec::new(),
            timers: Vec::new(),
        }
    }

    pub fn next_deadline(&self) -> Instant {
        let retries = self.clients.iter().map(|client| &client.retry);
        let retries = retries.chain(self.served.iter().filter_map(|served| served.retry.as_ref()));
        let retries = retries.map(|retry| retry.next.unwrap_or(retry.deadline));
        let timers = self.timers.iter().map(|(at, _)| *at);
        retries.chain(timers).min().unwrap_or_else(|| Instant::now() + Duration::from_secs(1))
    }

    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Order(Ok(Order { id, command })) => match self.obey(id, command) {
                Ok(true) => tell(json!({"event": "done", "id": id})),
                Ok(false) => {}
                Err(error) => tell(json!({"event": "error", "id": id, "error": error})),
            },
            Input::Order(Err(error)) => tell(json!({"event": "error", "id": 0, "error": error})),
            Input::Message { line, flow, bytes } => self.handle_message(&line, flow, &bytes),
            Input::Digit { call, digit } => {
                tell(json!({"event": "digit", "call": call, "digit": digit, "via": "rtp"}));
            }
            Input::Leave => {}
        }
    }

    /// Hangs up what is left, without waiting for answers.
    pub fn leave(&mut self) {
        for call in self.calls.keys().cloned().collect::<Vec<_>>() {
            drop(self.hang_up(&call));
        }
    }

    pub fn handle_time(&mut self, now: Instant) {
        self.repeat_requests(now);
        self.repeat_answers(now);
        let (due, later) = self.timers.drain(..).partition(|(at, _)| *at <= now);
        self.timers = later;
        let due: Vec<(Instant, Timer)> = due;
        for (_, timer) in due {
            self.fire(now, timer);
        }
    }

    fn repeat_requests(&mut self, now: Instant) {
        let mut lost = Vec::new();
        let mut index = 0;
        while index < self.clients.len() {
            let client = &mut self.clients[index];
            match client.retry.due(now) {
                Due::Nothing => index += 1,
                Due::SendAgain => {
                    let (line, flow, bytes) =
                        (client.line.clone(), client.flow, client.bytes.clone());
                    self.send(&line, flow, &bytes);
                    index += 1;
                }
                Due::GiveUp => lost.push(self.clients.remove(index)),
            }
        }
        for client in lost.into_iter().filter(|client| !client.answered) {
            self.conclude_request(&client, 408, None);
        }
    }

    fn repeat_answers(&mut self, now: Instant) {
        let mut again = Vec::new();
        for served in &mut self.served {
            match served.retry.as_mut().map(|retry| retry.due(now)) {
                Some(Due::SendAgain) => {
                    again.push((served.line.clone(), served.flow, served.response.clone()));
                }
                Some(Due::GiveUp) => {
                    served.retry = None;
                    tell(
                        json!({"event": "ack_missing", "line": served.line, "sip_call_id": served.call_id}),
                    );
                }
                Some(Due::Nothing) | None => {}
            }
        }
        for (line, flow, bytes) in again {
            self.send(&line, flow, &bytes);
        }
        self.served.retain(|served| served.retry.is_some() || now < served.since + LINGER);
    }

    fn fire(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::Answer { call } => drop(self.answer(&call)),
            Timer::Hear { id, from, hear } => {
                let window = Duration::from_millis(hear.window_ms);
                match self.calls.get(&hear.call) {
                    Some(call) => {
                        let heard = call.media.heard(from, window, &hear.tones_hz);
                        tell(
                            json!({"event": "heard", "id": id, "call": hear.call, "heard": heard}),
                        );
                    }
                    None => tell(
                        json!({"event": "error", "id": id, "error": "the call ended while listening"}),
                    ),
                }
            }
            Timer::Listen { id, until, listen } => self.listen(now, id, until, listen),
            Timer::Delay(measurement) => self.measure(now, measurement),
        }
    }

    fn listen(&mut self, now: Instant, id: u64, until: Instant, listen: ListenFor) {
        let Some(call) = self.calls.get(&listen.call) else {
            tell(json!({"event": "error", "id": id, "error": "the call ended while listening"}));
            return;
        };
        let window = Duration::from_millis(listen.window_ms);
        let tones: Vec<f64> = listen.present_hz.iter().chain(&listen.absent_hz).copied().collect();
        let heard = call.media.heard(now.checked_sub(window).unwrap_or(now), window, &tones);
        let matched = matches(&heard, listen.present_hz.len());
        if matched || now >= until {
            let event = json!({"event": "heard", "id": id, "call": listen.call, "matched": matched, "heard": heard});
            tell(event);
        } else {
            let again = now + Duration::from_millis(50);
            self.timers.push((again, Timer::Listen { id, until, listen }));
        }
    }

    /// One step: takes the result of the last burst and starts the next.
    fn measure(&mut self, now: Instant, mut measurement: Measurement) {
        let (Some(from), Some(to)) =
            (self.calls.get(&measurement.from), self.calls.get(&measurement.to))
        else {
            let id = measurement.id;
            tell(json!({"event": "error", "id": id, "error": "a call ended while measuring"}));
            return;
        };
        if let Some(started) = from.media.burst_started() {
            match to.media.onset(started) {
                Some(heard) => {
                    measurement.delays_ms.push((heard - started).as_secs_f64() * 1000.0);
                }
                None => measurement.missed += 1,
            }
        }
        if measurement.bursts_left == 0 {
            measurement.delays_ms.sort_by(f64::total_cmp);
            let delays = &measurement.delays_ms;
            let median = delays.get(delays.len() / 2);
            tell(json!({
                "event": "delay", "id": measurement.id, "median_ms": median,
                "max_ms": delays.last(), "delays_ms": delays, "missed": measurement.missed,
            }));
            return;
        }
        measurement.bursts_left -= 1;
        from.media.burst();
        self.timers.push((now + BURST_PAUSE, Timer::Delay(measurement)));
    }

    fn line(&mut self, name: &str) -> Result<&mut Line, String> {
        self.lines.get_mut(name).ok_or_else(|| format!("no line {name}"))
    }

    fn call(&mut self, name: &str) -> Result<&mut Call, String> {
        self.calls.get_mut(name).ok_or_else(|| format!("no call {name}"))
    }

    fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.random.token())
    }
}

/// Where a request of this dialog goes: the first route, else the target, else where it came from.
fn next_hop(call: &Call) -> Flow {
    if call.flow.transport == Transport::Tcp {
        return call.flow;
    }
    let hop = call.routes.first().and_then(|route| sip::uri(route));
    let hop = hop.as_deref().unwrap_or(&call.target);
    match sip::address(hop) {
        Some((peer, true)) => Flow { transport: Transport::Tcp, peer },
        Some((peer, false)) => Flow { transport: Transport::Udp, peer },
        None => call.flow,
    }
}

/// The first `present` tones must be there, the others not.
fn matches(heard: &Heard, present: usize) -> bool {
    heard.tones.iter().enumerate().all(|(index, tone)| tone.present == (index < present))
}

fn codecs_named(names: &[String]) -> Result<Vec<Codec>, String> {
    names.iter().map(|name| Codec::named(name).ok_or_else(|| format!("no codec {name}"))).collect()
}

/// One telephone-event for each RTP clock (RFC 4733 §2.6).
fn events_for(codecs: &[Codec]) -> Vec<(u8, u32)> {
    let mut rates: Vec<u32> = codecs.iter().map(|codec| codec.clock_rate).collect();
    rates.sort_unstable();
    rates.dedup();
    rates.into_iter().zip(101..).map(|(rate, number)| (number, rate)).collect()
}

/// One event to standard output.
fn tell(event: Value) {
    let mut output = std::io::stdout().lock();
    // A reader that went away is no reason to stop; standard input tells that soon.
    drop(writeln!(output, "{event}").and_then(|()| output.flush()));
}
