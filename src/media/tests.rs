//! The media threads with real sockets on the loopback: small phones talk, listen, and wait for events.

mod secure;
mod spread;
mod web;

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use mixer::codec::{Codec, Encoding, Format, OpusOptions};
use mixer::rtcp;
use mixer::rtp::{Header, Packet, RtpTimestamp, Sequence, Ssrc};
use mixer::srtp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::timeout;

use super::command::{Command, Event, MediaKey, MixKey, Stream, StreamPlan, WorkerReport};
use super::{Events, Io, Media, Options, QueueFull, backend};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TICK: Duration = Duration::from_millis(20);
const PCMU: Format = Format::usual(Codec::Pcmu);
const PATIENCE: Duration = Duration::from_secs(10);

/// The media threads, and the events that nobody has asked for yet.
struct Bench {
    media: Media,
    events: Events,
    seen: VecDeque<Event>,
    runtime: tokio::runtime::Runtime,
}

impl Bench {
    fn new(options: &Options) -> Self {
        let (media, events) = Media::start(options).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { media, events, seen: VecDeque::new(), runtime }
    }

    fn with_workers(ports: std::ops::RangeInclusive<u16>, workers: usize) -> Self {
        let workers = workers.try_into().ok();
        Self::new(&Options { ports, workers, seed: 1, ..Options::default() })
    }

    fn send(&mut self, command: Command) {
        self.media.try_send(command).unwrap();
    }

    /// Sends, as the driver does, again and again while the queue is full.
    fn insist(&mut self, command: Command) {
        let mut refused = self.media.try_send(command).err();
        while let Some(QueueFull(command)) = refused {
            std::thread::yield_now();
            refused = self.media.try_send(*command).err();
        }
    }

    /// Waits for the first event that `wanted` makes something of.
    fn wait<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let known = self.seen.iter().enumerate().find_map(|(i, e)| wanted(e).map(|t| (i, t)));
        if let Some((index, found)) = known {
            self.seen.remove(index);
            return found;
        }
        loop {
            let next = self.runtime.block_on(async { timeout(PATIENCE, self.events.recv()).await });
            let event = next.expect("an event in time").unwrap();
            match wanted(&event) {
                Some(found) => return found,
                None => self.seen.push_back(event),
            }
        }
    }

    /// Everything that has come by now.
    fn so_far(&mut self) -> &VecDeque<Event> {
        while let Some(event) = self.events.try_recv() {
            self.seen.push_back(event);
        }
        &self.seen
    }

    fn open(&mut self, leg: u64) -> Result<u16, String> {
        let leg = MediaKey(leg);
        self.send(Command::Open { leg, local: LOOPBACK });
        self.wait(|event| {
            if let Event::OpenFailed { leg: failed, reason } = event {
                return (*failed == leg).then(|| Err(reason.clone()));
            }
            let Event::Opened { leg: opened, rtp_port } = event else { return None };
            (*opened == leg).then_some(Ok(*rtp_port))
        })
    }

    /// A phone whose leg is open, configured and, with a mix, seated.
    fn phone(&mut self, leg: u64, mix: Option<u64>) -> Phone {
        let port = self.open(leg).unwrap();
        let phone = Phone::new(leg, port);
        self.send(Command::Configure { leg: MediaKey(leg), stream: phone.stream() });
        if let Some(mix) = mix {
            self.join(leg, mix);
        }
        phone
    }

    fn join(&mut self, leg: u64, mix: u64) {
        self.send(Command::Join { leg: MediaKey(leg), mix: MixKey(mix), contributors: 3 });
    }
}

/// A PCMU phone with a tone for a voice.
struct Phone {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    bridge: SocketAddr,
    header: Header,
    secure: Option<(srtp::Sender, srtp::Receiver)>,
    hz: f64,
    heard: Vec<f64>,
    /// Number of the last packet, and how often it did not follow the one before.
    last: Option<Sequence>,
    gaps: usize,
    /// Payloads of telephone-event packets.
    events: Vec<(RtpTimestamp, Vec<u8>)>,
}

impl Phone {
    fn new(leg: u64, port: u16) -> Self {
        let ssrc = Ssrc::new(u32::try_from(leg).unwrap());
        Self {
            rtp: socket(),
            rtcp: socket(),
            bridge: SocketAddr::new(LOOPBACK, port),
            header: Header { ssrc, sequence: Sequence::new(65_530), ..Header::default() },
            secure: None,
            hz: 0.0,
            heard: Vec::new(),
            last: None,
            gaps: 0,
            events: Vec::new(),
        }
    }

    fn saying(mut self, hz: f64) -> Self {
        self.hz = hz;
        self
    }

    fn stream(&self) -> Stream {
        let opus = OpusOptions { complexity: 0, ..OpusOptions::USUAL };
        Stream {
            remote: self.rtp.local_addr().unwrap(),
            remote_rtcp: Some(self.rtcp.local_addr().unwrap()),
            plan: StreamPlan {
                receive_events: vec![(101, 8_000)],
                send_events: Some((101, 8_000)),
                ..StreamPlan::both_ways(0, Encoding { format: PCMU, ptime: TICK, opus })
            },
            srtp: None,
            dtls: None,
        }
    }

    fn send(&mut self, payload_type: u8, payload: &[u8]) {
        let header = Header { payload_type, ..self.header };
        self.header.sequence = self.header.sequence.next();
        let mut datagram = [&header.print()[..], payload].concat();
        if let Some((sender, _)) = &mut self.secure {
            let len = datagram.len();
            datagram.resize(len + srtp::OVERHEAD_MAX, 0);
            let len = sender.protect(&mut datagram, len).unwrap();
            datagram.truncate(len);
        }
        self.rtp.send_to(&datagram, self.bridge).unwrap();
    }

    /// Sends the next 20 ms of its tone.
    fn talk(&mut self) {
        let start = f64::from(self.header.timestamp.units());
        let voice: Vec<u8> = (0..160)
            .map(|i| ulaw(8_000.0 * ((start + f64::from(i)) * self.hz * TAU / 8_000.0).sin()))
            .collect();
        self.send(0, &voice);
        self.header.timestamp = self.header.timestamp.plus(160);
    }

    /// Takes in what comes until `end`.
    fn listen(&mut self, end: Instant) {
        let mut datagram = [0; 2_048];
        while let Some(mut len) = receive_until(&self.rtp, end, &mut datagram) {
            if let Some((_, receiver)) = &mut self.secure {
                let Ok(opened) = receiver.unprotect(&mut datagram[..len]) else { continue };
                len = opened;
            }
            let packet = Packet::parse(&datagram[..len]).unwrap();
            let sequence = packet.header.sequence;
            self.gaps += usize::from(self.last.is_some_and(|last| last.next() != sequence));
            self.last = Some(sequence);
            match packet.header.payload_type {
                101 => self.events.push((packet.header.timestamp, packet.payload.to_vec())),
                _ => self.heard.extend(packet.payload.iter().map(|&code| linear(code))),
            }
        }
    }

    /// Whether a tone was heard in the last quarter second.
    fn hears(&self, hz: f64) -> bool {
        let recent = &self.heard[self.heard.len().saturating_sub(2_000)..];
        goertzel(recent, hz) > 1_000.0
    }
}

fn socket() -> UdpSocket {
    UdpSocket::bind((LOOPBACK, 0)).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "phones talk in real time")]
fn now() -> Instant {
    Instant::now()
}

/// Waits to the microsecond, which a socket's own timeout does not: phones that are slow by a jiffy drift.
fn receive_until(socket: &UdpSocket, end: Instant, datagram: &mut [u8]) -> Option<usize> {
    receive_from_until(socket, end, datagram).map(|(len, _)| len)
}

fn receive_from_until(
    socket: &UdpSocket,
    end: Instant,
    datagram: &mut [u8],
) -> Option<(usize, SocketAddr)> {
    let left = Timespec::try_from(end.saturating_duration_since(now())).unwrap();
    let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)).unwrap();
    if ready == 0 { None } else { socket.recv_from(datagram).ok() }
}

/// Lets phones talk and listen for `ticks` of 20 ms.
fn converse(phones: &mut [&mut Phone], ticks: u32) {
    let start = now();
    for tick in 1..=ticks {
        for phone in &mut *phones {
            phone.talk();
        }
        let end = start + TICK * tick;
        for phone in &mut *phones {
            phone.listen(end);
        }
    }
}

/// Amplitude of one frequency in 8 kHz audio.
fn goertzel(samples: &[f64], hz: f64) -> f64 {
    let step = hz * TAU / 8_000.0;
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (sample + 2.0 * step.cos() * one - two, one);
    }
    let power = one * one + two * two - 2.0 * step.cos() * one * two;
    let count = u32::try_from(samples.len().max(1)).unwrap();
    2.0 * power.max(0.0).sqrt() / f64::from(count)
}

/// G.711 µ-law, written from the figure in the recommendation.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 8,000")]
fn ulaw(sample: f64) -> u8 {
    let sign = if sample < 0.0 { 0x80 } else { 0 };
    let magnitude = (sample.abs() as u32).min(32_635) + 132;
    let exponent = 24 - magnitude.leading_zeros();
    let mantissa = (magnitude >> (exponent + 3)) & 0xf;
    !(sign | u8::try_from((exponent << 4) | mantissa).unwrap())
}

fn linear(code: u8) -> f64 {
    let code = !code;
    let magnitude =
        ((f64::from(code & 0xf) * 2.0 + 33.0) * f64::from(1_u32 << ((code >> 4) & 7))) - 33.0;
    if code & 0x80 == 0 { magnitude * 4.0 } else { magnitude * -4.0 }
}

#[test]
fn two_legs_hear_each_other_and_not_themselves() {
    let ports = 30_000..=30_099;
    two_legs_converse(Bench::new(&Options { ports, io: Io::Plain, ..Options::default() }));
}

#[test]
fn io_uring_carries_sound_as_well() {
    if backend::choose(Io::Uring).is_ok() {
        let ports = 31_500..=31_599;
        two_legs_converse(Bench::new(&Options { ports, io: Io::Uring, ..Options::default() }));
    }
}

fn two_legs_converse(mut bench: Bench) {
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);

    converse(&mut [&mut alice, &mut bob], 50);

    assert!(alice.hears(1_000.0) && !alice.hears(440.0));
    assert!(bob.hears(440.0) && !bob.hears(1_000.0));
    let from = alice.rtp.local_addr().unwrap();
    bench.wait(|event| (*event == Event::Started { leg: MediaKey(1), from }).then_some(()));
}

#[test]
fn legs_of_different_workers_meet_in_one_mix_and_part_again() {
    let mut bench = Bench::with_workers(30_100..=30_199, 2);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(2)).saying(1_000.0);
    let mut carol = bench.phone(3, Some(1)).saying(1_500.0);

    converse(&mut [&mut alice, &mut bob, &mut carol], 40);
    let apart = (bob.hears(440.0), carol.hears(440.0));
    for (leg, mix) in [(1, 2), (1, 1), (1, 2), (3, 2)] {
        bench.join(leg, mix);
    }
    converse(&mut [&mut alice, &mut bob, &mut carol], 50);

    assert_eq!(apart, (false, true));
    assert!(bob.hears(440.0) && bob.hears(1_500.0));
    assert!(alice.hears(1_000.0) && alice.hears(1_500.0));
}

#[test]
fn a_third_party_can_neither_speak_nor_listen() {
    let mut bench = Bench::with_workers(30_200..=30_299, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    converse(&mut [&mut alice, &mut bob], 20);
    let mut thief = Phone::new(1, alice.bridge.port()).saying(2_000.0);
    thief.header = alice.header;

    converse(&mut [&mut alice, &mut bob, &mut thief], 50);

    assert!(thief.heard.is_empty());
    assert!(bob.hears(440.0) && !bob.hears(2_000.0));
    assert!(alice.hears(1_000.0));
}

#[test]
fn a_phone_behind_a_nat_is_reached_where_it_comes_from() {
    let mut bench = Bench::with_workers(30_300..=30_399, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    alice.rtp = socket(); // Another port than its SDP says.

    converse(&mut [&mut alice, &mut bob], 50);

    assert!(alice.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn a_reinvite_moves_the_media() {
    let mut bench = Bench::with_workers(30_400..=30_499, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    converse(&mut [&mut alice, &mut bob], 20);
    alice.rtp = socket();
    bench.send(Command::Configure { leg: MediaKey(1), stream: alice.stream() });
    alice.heard.clear();

    converse(&mut [&mut alice, &mut bob], 50);

    assert!(alice.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn the_range_runs_out_and_says_so() {
    let mut bench = Bench::with_workers(30_500..=30_503, 2);
    let opened = [bench.open(1), bench.open(2)];

    let refused = bench.open(3);

    assert!(opened.iter().all(Result::is_ok));
    assert!(refused.unwrap_err().contains("range"));
}

#[test]
fn a_closed_leg_says_bye_and_its_last_statistics() {
    let mut bench = Bench::with_workers(30_600..=30_699, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    converse(&mut [&mut alice, &mut bob], 50);

    bench.send(Command::Close { leg: MediaKey(1) });

    let statistics = bench.wait(|event| {
        let Event::Statistics { leg: MediaKey(1), statistics } = event else { return None };
        Some(statistics.clone())
    });
    bench.wait(|event| (*event == Event::Closed { leg: MediaKey(1) }).then_some(()));
    assert_eq!(statistics.remote, Some(alice.rtp.local_addr().unwrap()));
    assert!(statistics.packets_received >= 48, "{statistics:?}");
    assert!(statistics.packets_sent >= 45 && statistics.packets_lost == 0, "{statistics:?}");
    // On a busy machine a report may have been due before.
    let (mut datagram, mut has_bye) = ([0; 2_048], false);
    while !has_bye {
        let len = receive_until(&alice.rtcp, now() + PATIENCE, &mut datagram).unwrap();
        let packets: Vec<rtcp::Packet<'_>> = rtcp::parse(&datagram[..len]).collect();
        assert!(matches!(packets[0], rtcp::Packet::SenderReport { .. }));
        let rtcp::Packet::Description { mut chunks } = packets[1].clone() else {
            panic!("{packets:?}");
        };
        assert!(chunks.next().is_some_and(|own| own.cname.is_some()));
        has_bye = packets.iter().any(|packet| matches!(packet, rtcp::Packet::Bye { .. }));
    }
}

/// The event queue is so short that most events wait in the backlog; commands usually find theirs full, too.
#[test]
fn hundreds_hang_up_at_once_and_the_others_talk_on() {
    let (ports, workers) = (32_000..=32_699, 1.try_into().ok());
    let (command_queue, event_queue) = (16, 16);
    let options = Options { ports, workers, command_queue, event_queue, ..Options::default() };
    let mut bench = Bench::new(&options);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let crowd: Vec<u64> = (10..310).collect();
    let phones: Vec<Phone> = crowd.iter().map(|&leg| bench.phone(leg, Some(1 + leg % 9))).collect();
    converse(&mut [&mut alice, &mut bob], 10);

    std::thread::scope(|scope| {
        scope.spawn(|| converse(&mut [&mut alice, &mut bob], 50));
        for &leg in &crowd {
            bench.insist(Command::Close { leg: MediaKey(leg) });
        }
    });

    for &leg in &crowd {
        // Its last statistics come before it is closed, and none after.
        bench.wait(|event| {
            matches!(event, Event::Statistics { leg: of, .. } if of.0 == leg).then_some(())
        });
        bench.wait(|event| (*event == Event::Closed { leg: MediaKey(leg) }).then_some(()));
    }
    drop(phones);
    assert!(alice.hears(1_000.0) && bob.hears(440.0));
    assert_eq!((alice.gaps, bob.gaps), (0, 0));
}

#[test]
fn reports_reach_the_phone_and_its_own_are_read() {
    let mut bench = Bench::with_workers(30_700..=30_799, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    converse(&mut [&mut alice], 5);
    let mut datagram = [0; 2_048];
    let len = receive_until(&alice.rtcp, now() + PATIENCE, &mut datagram).unwrap();
    let Some(rtcp::Packet::SenderReport { ssrc, info, .. }) = rtcp::parse(&datagram[..len]).next()
    else {
        panic!("expected a sender report");
    };
    let mut answer = Vec::new();
    let block = rtcp::ReportBlock {
        ssrc,
        fraction_lost: 64,
        last_report: info.ntp.middle(),
        ..rtcp::ReportBlock::default()
    };
    rtcp::print_report(&mut answer, alice.header.ssrc, None, Some(&block));

    alice.rtcp.send_to(&answer, SocketAddr::new(LOOPBACK, alice.bridge.port() + 1)).unwrap();

    let statistics = bench.wait(|event| {
        let Event::Statistics { statistics, .. } = event else { return None };
        statistics.far_loss.is_some().then(|| statistics.clone())
    });
    assert!(statistics.far_loss.is_some_and(|loss| (loss - 0.25).abs() < 0.01));
    assert!(statistics.round_trip.is_some_and(|time| time < Duration::from_millis(500)));
}

#[test]
fn a_digit_is_reported_once_and_digits_are_sent() {
    let mut bench = Bench::with_workers(30_800..=30_899, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    converse(&mut [&mut alice, &mut bob], 10);
    for payload in [[5, 10, 0, 160], [5, 10, 1, 64], [5, 138, 1, 224], [5, 138, 1, 224]] {
        alice.send(101, &payload);
        bob.talk();
        alice.listen(now() + TICK);
    }
    let digits = "7#".to_owned();
    let duration = Duration::from_millis(100);
    bench.send(Command::SendDigits { leg: MediaKey(2), digits, duration });

    converse(&mut [&mut bob], 40);

    let digit = bench.wait(|event| {
        let Event::Digit { leg, digit, duration } = event else { return None };
        Some((*leg, *digit, *duration))
    });
    assert_eq!(digit, (MediaKey(1), '5', Duration::from_millis(60)));
    assert!(!bench.so_far().iter().any(|event| matches!(event, Event::Digit { .. })));
    let ends = bob.events.iter().filter(|(_, payload)| payload[1] & 0x80 != 0);
    let keys: Vec<u8> = ends.map(|(_, payload)| payload[0]).collect();
    assert_eq!(keys, [7, 7, 7, 11, 11, 11]);
}

#[test]
fn silence_is_reported_once_a_pause() {
    let silence_after = Duration::from_millis(300);
    let ports = 30_900..=30_999;
    let mut bench = Bench::new(&Options { ports, silence_after, ..Options::default() });
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    converse(&mut [&mut alice], 5);

    let since = bench.wait(|event| {
        let Event::Silent { since, .. } = event else { return None };
        Some(*since)
    });
    alice.listen(now() + silence_after * 2);

    assert!(since >= silence_after);
    assert!(!bench.so_far().iter().any(|event| matches!(event, Event::Silent { .. })));
}

#[test]
fn a_mix_that_nobody_speaks_in_sleeps_until_the_first_packet() {
    let ports = 31_400..=31_499;
    let asleep_after = Duration::from_millis(200);
    let mut bench = Bench::new(&Options { ports, asleep_after, ..Options::default() });
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1));
    converse(&mut [&mut alice, &mut bob], 20);
    let quiet = Duration::from_millis(300);
    while receive_until(&bob.rtp, now() + quiet, &mut [0; 2_048]).is_some() {}

    alice.talk();
    let woken = receive_until(&bob.rtp, now() + PATIENCE, &mut [0; 2_048]);
    converse(&mut [&mut alice, &mut bob], 20);

    assert!(woken.is_some());
    assert!(bob.hears(440.0));
}

#[test]
fn idle_workers_sleep() {
    let mut bench = Bench::with_workers(31_000..=31_099, 2);
    let port = bench.open(1).unwrap();
    bench.send(Command::Close { leg: MediaKey(1) });
    bench.wait(|event| (*event == Event::Closed { leg: MediaKey(1) }).then_some(()));
    let before = wake_ups();
    let silence = Phone::new(9, port).rtp;

    receive_until(&silence, now() + Duration::from_millis(500), &mut [0; 8]);

    // Other tests run beside this one in the same process: nextest gives each its own.
    if std::env::var_os("NEXTEST").is_some() {
        assert!(wake_ups() - before <= 4, "{}", wake_ups() - before);
    }
}

/// How often the media threads of this process went to sleep by themselves.
fn wake_ups() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let status = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    status
        .filter(|status| status.starts_with("Name:\tmedia-"))
        .filter_map(|status| {
            let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

#[test]
fn opening_does_not_wait_for_a_tick() {
    let mut bench = Bench::with_workers(31_100..=31_299, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    converse(&mut [&mut alice], 5);

    let mut times: Vec<Duration> = (10..50)
        .map(|leg| {
            let asked = now();
            bench.open(leg).unwrap();
            now() - asked
        })
        .collect();

    times.sort_unstable();
    assert!(times[20] < Duration::from_millis(5), "{times:?}");
}

#[test]
fn junk_from_the_network_changes_nothing() {
    let mut bench = Bench::with_workers(31_300..=31_399, 1);
    let mut alice = bench.phone(1, Some(1)).saying(440.0);
    let mut bob = bench.phone(2, Some(1)).saying(1_000.0);
    let stranger = socket();
    for len in 0..200_usize {
        let junk: Vec<u8> = (0..len).map(|i| (i * 37 + len * 11).to_le_bytes()[0] | 0x80).collect();
        for port in [alice.bridge.port(), alice.bridge.port() + 1] {
            stranger.send_to(&junk, (LOOPBACK, port)).unwrap();
        }
    }

    converse(&mut [&mut alice, &mut bob], 50);

    assert!(alice.hears(1_000.0) && bob.hears(440.0));
}

#[test]
fn a_worker_says_how_much_time_is_left() {
    let mut bench = Bench::with_workers(31_900..=31_999, 2);
    let mut alice = bench.phone(1, Some(9)).saying(440.0);
    converse(&mut [&mut alice], 60);

    let busy = bench.wait(|event| report(event).filter(|report| report.active_legs > 0.5));
    bench.send(Command::Close { leg: MediaKey(1) });
    let idle = bench.wait(|event| report(event).filter(|report| report.legs == 0));

    assert_eq!((busy.worker, busy.legs), (idle.worker, 1));
    assert!(busy.busy > 0.0 && busy.latest_end > busy.latest_start, "{busy:?}");
    assert!(busy.slack() < 1.0, "{busy:?}");
}

fn report(event: &Event) -> Option<WorkerReport> {
    if let Event::Worker(report) = event { Some(report.clone()) } else { None }
}
