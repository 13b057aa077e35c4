//! The media of one call: a thread that sends on absolute deadlines and one that receives.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::codec::{Codec, Decoder, Encoder};
use crate::command::Impairments;
use crate::echo::Echo;
use crate::hearing::{Chunk, Heard, Recording};
use crate::impair::Network;
use crate::random::Random;
use crate::tone::Generator;

/// Who is told of digits that come by RFC 4733.
pub type DigitSink = Box<dyn Fn(char) + Send>;

/// What a negotiation decided.
#[derive(Clone, Debug)]
pub struct Plan {
    pub remote: SocketAddr,
    pub send: Codec,
    pub receive: Vec<Codec>,
    pub send_events: Option<(u8, u32)>,
    pub receive_events: Vec<(u8, u32)>,
    pub ptime_ms: u32,
    /// Whether we may send.
    pub sends: bool,
}

/// Counted since the call began.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Statistics {
    pub sent: u64,
    pub received: u64,
    /// Not RTP, or of a type that was not agreed.
    pub rejected: u64,
    pub rtcp_received: u64,
    /// Addresses packets came from.
    pub sources: BTreeSet<SocketAddr>,
    pub ssrcs: BTreeSet<u32>,
    pub payload_types: BTreeSet<u8>,
    /// Sequence numbers skipped in the arriving stream.
    pub skipped: u64,
}

pub struct Media {
    shared: Arc<Mutex<State>>,
}

struct State {
    stopped: bool,
    generation: u64,
    socket: Arc<UdpSocket>,
    rtcp: Arc<UdpSocket>,
    plan: Option<Plan>,
    /// `false`: the user told us to send nothing at all.
    sending: bool,
    encoder: Option<(Codec, Encoder)>,
    decoders: Vec<(Codec, Decoder)>,
    generator: Generator,
    echo: Option<Echo>,
    burst: Option<Burst>,
    digits: VecDeque<Digit>,
    network: Network,
    recording: Recording,
    statistics: Statistics,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    last_received: Option<u16>,
    last_digit: Option<u32>,
    on_digit: DigitSink,
}

/// A tone burst whose start is timed.
struct Burst {
    frames_left: u32,
    generator: Generator,
    started: Option<Instant>,
}

struct Digit {
    event: u8,
    /// Milliseconds to send, and sent.
    duration_ms: u32,
    sent_ms: u32,
    ends_left: u32,
    timestamp: Option<u32>,
}

impl Media {
    pub fn start(ip: IpAddr, seed: u64, on_digit: DigitSink) -> io::Result<Self> {
        let (socket, rtcp) = bind_pair(ip)?;
        let mut random = Random::new(seed);
        let state = State {
            stopped: false,
            generation: 0,
            socket,
            rtcp,
            plan: None,
            sending: true,
            encoder: None,
            decoders: Vec::new(),
            generator: Generator::default(),
            echo: None,
            burst: None,
            digits: VecDeque::new(),
            network: Network::default(),
            recording: Recording::default(),
            statistics: Statistics::default(),
            ssrc: random.next() as u32,
            sequence: random.next() as u16,
            timestamp: random.next() as u32,
            marker: true,
            last_received: None,
            last_digit: None,
            on_digit,
        };
        let media = Self { shared: Arc::new(Mutex::new(state)) };
        media.receive_from_now_on();
        let shared = Arc::clone(&media.shared);
        thread::spawn(move || send_loop(&shared));
        Ok(media)
    }

    pub fn address(&self) -> SocketAddr {
        self.lock().socket.local_addr().expect("the socket is bound")
    }

    /// Receives and sends on a fresh port pair.
    pub fn move_port(&self) -> io::Result<()> {
        let (socket, rtcp) = bind_pair(self.address().ip())?;
        {
            let mut state = self.lock();
            state.socket = socket;
            state.rtcp = rtcp;
            state.generation += 1;
        }
        self.receive_from_now_on();
        Ok(())
    }

    /// Sends from a fresh port; what comes to the old one is heard as well.
    pub fn move_source(&self) -> io::Result<()> {
        let (socket, rtcp) = bind_pair(self.address().ip())?;
        {
            let mut state = self.lock();
            state.socket = socket;
            state.rtcp = rtcp;
        }
        self.receive_from_now_on();
        Ok(())
    }

    pub fn apply(&self, plan: Plan) {
        let mut state = self.lock();
        let known = std::mem::take(&mut state.decoders);
        state.decoders = known.into_iter().filter(|(c, _)| plan.receive.contains(c)).collect();
        let new =
            plan.receive.iter().filter(|codec| !state.decoders.iter().any(|d| d.0 == **codec));
        let new: Vec<_> = new.map(|codec| (codec.clone(), Decoder::new(codec.kind))).collect();
        state.decoders.extend(new);
        if state.encoder.as_ref().is_none_or(|(codec, _)| *codec != plan.send) {
            state.encoder = Some((plan.send.clone(), Encoder::new(plan.send.kind)));
            state.marker = true;
        }
        state.plan = Some(plan);
    }

    pub fn play(&self, tones_hz: &[f64], level_db: f64) {
        self.lock().generator.set(tones_hz, level_db);
    }

    /// Breaks what plays into syllables, or no more.
    pub fn babble(&self, seed: Option<u64>) {
        self.lock().generator.babble(seed);
    }

    /// Adds noise at this level, or no more.
    pub fn noise(&self, level_db: Option<f64>) {
        self.lock().generator.noise(level_db);
    }

    /// Returns what is heard so much later and at this level, or no more.
    pub fn echo(&self, path: Option<(u32, f64)>) {
        self.lock().echo = path.map(|(delay_ms, level_db)| Echo::new(delay_ms, level_db));
    }

    pub fn send(&self, sending: bool) {
        self.lock().sending = sending;
    }

    pub fn impair(&self, impairments: Impairments) {
        self.lock().network.set(impairments);
    }

    /// Queues a digit for RFC 4733. `false`: not a digit, or events were not agreed.
    pub fn digit(&self, digit: char, duration_ms: u32) -> bool {
        let mut state = self.lock();
        let agreed = state.plan.as_ref().is_some_and(|plan| plan.send_events.is_some());
        let Some(event) = DIGITS.find(digit.to_ascii_uppercase()).filter(|_| agreed) else {
            return false;
        };
        let event = event as u8;
        state.digits.push_back(Digit {
            event,
            duration_ms,
            sent_ms: 0,
            ends_left: 3,
            timestamp: None,
        });
        true
    }

    pub fn heard(&self, from: Instant, window: Duration, tones_hz: &[f64]) -> Heard {
        self.lock().recording.heard(from, window, tones_hz)
    }

    /// Starts a burst of 60 ms with the next packet.
    pub fn burst(&self) {
        let mut generator = Generator::default();
        generator.set(&[1000.0], -10.0);
        self.lock().burst = Some(Burst { frames_left: 3, generator, started: None });
    }

    /// When the packet left that began the last burst.
    pub fn burst_started(&self) -> Option<Instant> {
        self.lock().burst.as_ref().and_then(|burst| burst.started)
    }

    pub fn onset(&self, from: Instant) -> Option<Instant> {
        self.lock().recording.onset(from)
    }

    pub fn statistics(&self) -> Statistics {
        self.lock().statistics.clone()
    }

    pub fn plan(&self) -> Option<Plan> {
        self.lock().plan.clone()
    }

    fn receive_from_now_on(&self) {
        let (socket, rtcp, generation) = {
            let state = self.lock();
            (Arc::clone(&state.socket), Arc::clone(&state.rtcp), state.generation)
        };
        for (socket, rtp) in [(socket, true), (rtcp, false)] {
            let shared = Arc::clone(&self.shared);
            thread::spawn(move || receive_loop(&shared, &socket, generation, rtp));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no thread panics while it holds the media")
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.lock().stopped = true;
    }
}

/// Sends a tone to `target` in the format of `plan`, from a socket and an SSRC of its own.
pub fn intrude(plan: Plan, ip: IpAddr, tone_hz: f64, duration: Duration) {
    thread::spawn(move || {
        let Ok((socket, _)) = bind_pair(ip) else { return };
        let mut generator = Generator::default();
        generator.set(&[tone_hz], -10.0);
        let mut encoder = Encoder::new(plan.send.kind);
        let start = Instant::now();
        let mut sequence = 0_u16;
        while start.elapsed() < duration {
            let mut samples = vec![0; plan.send.sample_rate() as usize / 50];
            generator.fill(plan.send.sample_rate(), &mut samples);
            let timestamp = u32::from(sequence) * plan.send.clock_rate / 50;
            let mut packet =
                header(plan.send.payload_type, false, sequence, timestamp, 0x0bad_cafe);
            packet.extend(encoder.encode(&samples));
            drop(socket.send_to(&packet, plan.remote));
            sequence += 1;
            let next = start + Duration::from_millis(20) * u32::from(sequence);
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
}

fn send_loop(shared: &Mutex<State>) {
    let mut next = Instant::now();
    loop {
        let wake = {
            let mut state = shared.lock().expect("no thread panics while it holds the media");
            if state.stopped {
                return;
            }
            let now = Instant::now();
            if now >= next {
                let ptime = state.frame(now);
                next += ptime;
                if now > next + Duration::from_millis(500) {
                    next = now;
                }
            }
            state.flush(now);
            state.network.next().map_or(next, |packet| packet.min(next))
        };
        thread::sleep(wake.saturating_duration_since(Instant::now()));
    }
}

impl State {
    /// Makes one packet. Answers how long it lasts.
    fn frame(&mut self, now: Instant) -> Duration {
        let Some(plan) = self.plan.clone() else { return Duration::from_millis(20) };
        let ptime = Duration::from_millis(u64::from(plan.ptime_ms));
        let ticks = plan.send.clock_rate * plan.ptime_ms / 1000;
        let silent = !plan.sends || !self.sending || plan.remote.ip().is_unspecified();
        if silent {
            self.marker = true;
        } else if !self.digit_packet(now, &plan) {
            self.audio_packet(now, &plan);
        }
        self.timestamp = self.timestamp.wrapping_add(ticks);
        ptime
    }

    fn audio_packet(&mut self, now: Instant, plan: &Plan) {
        let rate = plan.send.sample_rate();
        let mut samples = vec![0; (rate * plan.ptime_ms / 1000) as usize];
        match &mut self.burst {
            Some(burst) if burst.frames_left > 0 => {
                burst.frames_left -= 1;
                burst.started.get_or_insert(now);
                burst.generator.fill(rate, &mut samples);
            }
            _ => self.generator.fill(rate, &mut samples),
        }
        if let Some(echo) = &mut self.echo {
            echo.say(rate, &mut samples);
        }
        let Some((codec, encoder)) = &mut self.encoder else { return };
        let payload = encoder.encode(&samples);
        let payload_type = codec.payload_type;
        self.emit(now, payload_type, self.timestamp, &payload);
    }

    /// RFC 4733 §2.5: the event repeats with a growing duration, its end three times.
    fn digit_packet(&mut self, now: Instant, plan: &Plan) -> bool {
        let (Some((number, rate)), Some(digit)) = (plan.send_events, self.digits.front_mut())
        else {
            return false;
        };
        let timestamp = *digit.timestamp.get_or_insert_with(|| {
            self.marker = true;
            self.timestamp
        });
        digit.sent_ms = (digit.sent_ms + plan.ptime_ms).min(digit.duration_ms.max(plan.ptime_ms));
        let ended = digit.sent_ms >= digit.duration_ms;
        let duration = (digit.sent_ms * rate / 1000).min(0xffff) as u16;
        let mut payload = vec![digit.event, if ended { 0x8a } else { 0x0a }];
        payload.extend(duration.to_be_bytes());
        if ended {
            digit.ends_left -= 1;
        }
        if digit.ends_left == 0 {
            self.digits.pop_front();
        }
        self.emit(now, number, timestamp, &payload);
        true
    }

    fn emit(&mut self, now: Instant, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mut packet = header(payload_type, self.marker, self.sequence, timestamp, self.ssrc);
        packet.extend(payload);
        self.marker = false;
        self.sequence = self.sequence.wrapping_add(1);
        self.network.push(now, packet);
    }

    fn flush(&mut self, now: Instant) {
        let Some(remote) = self.plan.as_ref().map(|plan| plan.remote) else { return };
        while let Some(packet) = self.network.pop(now) {
            if self.socket.send_to(&packet, remote).is_ok() {
                self.statistics.sent += 1;
            }
        }
    }

    /// Answers a sender report at once by a receiver report (RFC 3550 §6.4.2): nothing lost, no jitter, no delay.
    fn report(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let about = packet.get(4..8)?;
        let middle_of_ntp = packet.get(10..14)?;
        if packet[1] != SENDER_REPORT {
            return None;
        }
        let mut report = vec![0x81, RECEIVER_REPORT, 0, 7];
        report.extend(self.ssrc.to_be_bytes());
        report.extend(about);
        report.extend([0; 4]); // lost
        report.extend([0, 0]);
        report.extend(self.last_received.unwrap_or(0).to_be_bytes());
        report.extend([0; 4]); // jitter
        report.extend(middle_of_ntp);
        report.extend([0; 4]); // delay since
        Some(report)
    }

    fn receive(&mut self, at: Instant, source: SocketAddr, packet: &[u8]) {
        if self.take(at, source, packet).is_none() {
            self.statistics.rejected += 1;
        }
    }

    fn take(&mut self, at: Instant, source: SocketAddr, packet: &[u8]) -> Option<()> {
        if packet.len() < 12 || packet[0] >> 6 != 2 {
            return None;
        }
        let payload_type = packet[1] & 0x7f;
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let timestamp = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let payload = packet.get(12 + 4 * usize::from(packet[0] & 0x0f)..)?;
        self.statistics.sources.insert(source);
        self.statistics.ssrcs.insert(ssrc);
        self.statistics.payload_types.insert(payload_type);
        if let Some(last) = self.last_received.replace(sequence) {
            let step = sequence.wrapping_sub(last);
            if step > 1 && step < 1000 {
                self.statistics.skipped += u64::from(step) - 1;
            }
        }
        let plan = self.plan.as_ref()?;
        if plan.receive_events.iter().any(|(number, _)| *number == payload_type) {
            let event = *payload.first()?;
            if self.last_digit.replace(timestamp) != Some(timestamp) {
                (self.on_digit)(DIGITS.chars().nth(usize::from(event))?);
            }
            self.statistics.received += 1;
            return Some(());
        }
        let (codec, decoder) =
            self.decoders.iter_mut().find(|(codec, _)| codec.payload_type == payload_type)?;
        let samples = decoder.decode(payload)?;
        let (clock_rate, sample_rate) = (codec.clock_rate, codec.sample_rate());
        if let Some(echo) = &mut self.echo {
            echo.hear(sample_rate, &samples);
        }
        self.recording.push(Chunk { at, ssrc, timestamp, clock_rate, sample_rate, samples });
        self.statistics.received += 1;
        Some(())
    }
}

fn receive_loop(shared: &Mutex<State>, socket: &UdpSocket, generation: u64, rtp: bool) {
    let mut buffer = [0; 2048];
    loop {
        let received = socket.recv_from(&mut buffer);
        let at = Instant::now();
        let mut state = shared.lock().expect("no thread panics while it holds the media");
        if state.stopped || state.generation != generation {
            return;
        }
        match received {
            Ok((length, source)) if rtp => state.receive(at, source, &buffer[..length]),
            Ok((length, source)) => {
                state.statistics.rtcp_received += 1;
                if let Some(report) = state.report(&buffer[..length]) {
                    drop(socket.send_to(&report, source));
                }
            }
            // The read timeout, or an ICMP error about what was sent.
            Err(_) => {}
        }
    }
}

/// RTCP packet types (RFC 3550 §12.1).
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;

fn header(number: u8, marker: bool, sequence: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, number | if marker { 0x80 } else { 0 }];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet
}

/// An even port for RTP and its odd neighbour for RTCP.
fn bind_pair(ip: IpAddr) -> io::Result<(Arc<UdpSocket>, Arc<UdpSocket>)> {
    for _ in 0..200 {
        let socket = UdpSocket::bind((ip, 0))?;
        let port = socket.local_addr()?.port();
        if port % 2 != 0 || port == u16::MAX {
            continue;
        }
        let Ok(rtcp) = UdpSocket::bind((ip, port + 1)) else { continue };
        for socket in [&socket, &rtcp] {
            socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        }
        return Ok((Arc::new(socket), Arc::new(rtcp)));
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, "no free pair of ports"))
}

const DIGITS: &str = "0123456789*#ABCD";
