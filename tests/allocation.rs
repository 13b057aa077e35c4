//! The steady state of a media thread allocates nothing: sockets, jitter buffers, mixing, RTCP, statistics, meters, SRTP and
//! ICE.
#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait")]
#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "samples and their times are small"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mixer::codec::{Codec, Encoder, Encoding, Format, OpusOptions};
use mixer::rtp::{Header, RtpTimestamp, Sequence, Ssrc};
use mixer::srtp::{MasterKey, OVERHEAD_MAX, Sender, Suite};
use plenary::media::command::{Command, Event, MediaKey, MixKey, SrtpKeys, Stream, StreamPlan};
use plenary::media::{Events, Io, Media, Options};
use plenary::webrtc::{Candidate, Credentials, Full, IceOutput, Remote};

/// Counts what media threads ask for, then does what the system does.
struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// What one test does is not to be counted by another.
static ALONE: Mutex<()> = Mutex::new(());

// SAFETY: every call is passed on unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts if this is a media thread; its name is the kernel's, since asking Rust for it may allocate.
fn note() {
    let mut name = [0_u8; 16];
    // SAFETY: `PR_GET_NAME` writes up to 16 octets.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    if name.starts_with(b"media-") {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets this thread, which plays the phones, come before usual programs where that is permitted.
fn be_punctual() {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the pointer is to `parameters`, which is only read; 0 is the calling thread.
    unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
}

#[test]
fn a_media_thread_allocates_nothing_while_people_talk_in_turns() {
    let _alone = ALONE.lock().unwrap();
    be_punctual();
    // The last mix is in two parts.
    let cases =
        [(Io::Plain, 1, 800, 31_700), (Io::Auto, 1, 800, 31_800), (Io::Plain, 2, 0, 31_600)];
    for (io, workers, spread_above, first_port) in cases {
        let ports = first_port..=first_port + 99;
        let workers = workers.try_into().ok();
        let options = Options { ports, workers, spread_above, seed: 1, io, ..Options::default() };
        let (mut media, mut events) = Media::start(&options).unwrap();
        let codecs = [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::L16, Codec::Opus, Codec::Pcma];
        let mut phones: Vec<Phone> = codecs
            .iter()
            .enumerate()
            .map(|(number, &codec)| Phone::new(&mut media, &mut events, number as u64, codec))
            .collect();
        media.try_send(Command::Meters { on: true }).unwrap();

        // On a busy machine packets come late, and a jitter buffer takes memory for more of them: not the steady state.
        let mut windows = (0..WINDOWS).map(|window| {
            ALLOCATIONS.store(0, Ordering::Relaxed);
            let mut told = 0;
            for round in window * ROUNDS..(window + 1) * ROUNDS {
                let talker = round / 60 % phones.len();
                for (number, phone) in phones.iter_mut().enumerate() {
                    phone.say(round, number == talker || number == round / 45 % 6);
                }
                phones[0].wait();
                told += std::iter::from_fn(|| events.try_recv()).count();
            }
            assert!(told > ROUNDS / 10, "there were events to tell: {told}");
            ALLOCATIONS.load(Ordering::Relaxed)
        });

        assert!(windows.any(|allocations| allocations == 0), "{io:?}, {spread_above}");
    }
}

#[test]
fn agents_that_ask_each_other_for_consent_allocate_nothing() {
    let _alone = ALONE.lock().unwrap();
    let run = || {
        let mut pair = Agents::new();
        pair.run(Duration::from_secs(2));
        let checks = pair.checks;
        ALLOCATIONS.store(0, Ordering::Relaxed);
        pair.run(Duration::from_mins(10));
        (pair.checks - checks, ALLOCATIONS.load(Ordering::Relaxed))
    };

    let (checks, allocations) =
        thread::Builder::new().name("media-ice".to_owned()).spawn(run).unwrap().join().unwrap();

    assert!((180..=320).contains(&checks), "{checks} checks");
    assert_eq!(allocations, 0);
}

/// Two full agents that reach each other at once.
struct Agents {
    now: Instant,
    ends: [Full; 2],
    room: Vec<u8>,
    answer: Vec<u8>,
    /// How many went either way.
    checks: usize,
}

impl Agents {
    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn new() -> Self {
        let now = Instant::now();
        let credentials = ["us", "them"]
            .map(|name| Credentials { ufrag: format!("{name}--"), password: name.repeat(12) });
        let end = |at: usize| {
            let candidates = vec![Candidate { address: PLACES[1 - at], priority: 1 }];
            let credentials = (credentials[at].clone(), credentials[1 - at].clone());
            let theirs = Remote { credentials: credentials.1, candidates, is_lite: false };
            Full::new(now, &credentials.0, &theirs, [u8::try_from(at).unwrap(); 32])
        };
        let [room, answer] = [(); 2].map(|()| Vec::with_capacity(2_048));
        Self { now, ends: [end(0), end(1)], room, answer, checks: 0 }
    }

    fn run(&mut self, time: Duration) {
        let Self { now, ends, room, answer, checks } = self;
        for _ in 0..time.as_millis() / 20 {
            *now += Duration::from_millis(20);
            for at in [0, 1] {
                let [one, other] = &mut *ends;
                let (from, to) = if at == 0 { (one, other) } else { (other, one) };
                loop {
                    match from.poll_output(*now, room) {
                        IceOutput::Check(_) => *checks += 1,
                        IceOutput::Nominated(_) => continue,
                        IceOutput::Lost(_) => panic!("they hear each other"),
                        IceOutput::WaitUntil(_) => break,
                    }
                    to.handle_packet(*now, (PLACES[at], room), answer);
                    room.clone_from(answer);
                    from.handle_packet(*now, (PLACES[1 - at], room), answer);
                }
            }
        }
    }
}

const PLACES: [SocketAddr; 2] = [
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4_000),
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 4_000),
];

/// Rounds of 20 ms in which everybody speaks, RTCP comes and statistics are told.
const ROUNDS: usize = 300;
const WINDOWS: usize = 8;

struct Phone {
    rtp: UdpSocket,
    bridge: SocketAddr,
    format: Format,
    secure: Option<Sender>,
    voice: Vec<Vec<u8>>,
    silence: Vec<Vec<u8>>,
}

impl Phone {
    /// A leg with its phone, in the one mix.
    fn new(media: &mut Media, events: &mut Events, number: u64, codec: Codec) -> Self {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let leg = MediaKey(number);
        media.try_send(Command::Open { leg, local }).unwrap();
        let rtp_port = loop {
            match events.try_recv() {
                Some(Event::Opened { leg: opened, rtp_port }) if opened == leg => break rtp_port,
                Some(_) => {}
                None => thread::yield_now(),
            }
        };
        let rtp = UdpSocket::bind((local, 0)).unwrap();
        rtp.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let format = Format::usual(codec);
        let encoding = Encoding { format, ptime: Duration::from_millis(20), opus: OPUS };
        let key = KEYS[number as usize % KEYS.len()].map(|suite| {
            MasterKey::new(suite, &[7; MasterKey::MAX_LEN][..suite.master_len()]).unwrap()
        });
        let stream = Stream {
            remote: rtp.local_addr().unwrap(),
            remote_rtcp: None,
            plan: StreamPlan::both_ways(PAYLOAD_TYPE, encoding),
            srtp: key.clone().map(|key| Box::new(SrtpKeys { send: key.clone(), receive: key })),
            dtls: None,
        };
        media.try_send(Command::Configure { leg, stream }).unwrap();
        media.try_send(Command::Join { leg, mix: MixKey(1), contributors: 3 }).unwrap();
        Self {
            rtp,
            bridge: SocketAddr::new(local, rtp_port),
            format,
            secure: key.as_ref().map(Sender::new),
            voice: packets(encoding, 8_000.0),
            silence: packets(encoding, 0.0),
        }
    }

    fn say(&mut self, round: usize, talks: bool) {
        let payload = &if talks { &self.voice } else { &self.silence }[round % PACKETS];
        let header = Header {
            marker: false,
            payload_type: PAYLOAD_TYPE,
            sequence: Sequence::new(u16::try_from(round).unwrap()),
            timestamp: RtpTimestamp::new(
                u32::try_from(round).unwrap() * self.format.clock_rate / 50,
            ),
            ssrc: Ssrc::new(7),
        };
        let mut packet = header.print().to_vec();
        packet.extend_from_slice(payload);
        if let Some(sender) = &mut self.secure {
            let len = packet.len();
            packet.resize(len + OVERHEAD_MAX, 0);
            let len = sender.protect(&mut packet, len).unwrap();
            packet.truncate(len);
        }
        self.rtp.send_to(&packet, self.bridge).unwrap();
    }

    /// Until the next packet of the bridge: its tick is the clock of this test.
    fn wait(&self) {
        while let Err(error) = self.rtp.recv(&mut [0; 2048]) {
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
        }
    }
}

/// Payloads of a buzz.
fn packets(encoding: Encoding, amplitude: f64) -> Vec<Vec<u8>> {
    let rate = encoding.format.sample_rate() as usize;
    let mut encoder = Encoder::new(&encoding).unwrap();
    let packet = |number: usize| {
        let sample = |at: usize| {
            let time = (number * rate / 50 + at) as f64 / rate as f64;
            ((time * 200.0 * std::f64::consts::TAU).sin() * amplitude) as i16
        };
        let samples: Vec<i16> = (0..rate / 50).map(sample).collect();
        let mut payload = vec![0; 1500];
        let len = encoder.encode(&samples, &mut payload);
        payload.truncate(len);
        payload
    };
    (0..PACKETS).map(packet).collect()
}

const OPUS: OpusOptions = OpusOptions { fec: true, complexity: 0, ..OpusOptions::USUAL };
/// One leg after the other.
const KEYS: [Option<Suite>; 3] = [None, Some(Suite::Aes128CmSha1_80), Some(Suite::Aes128Gcm)];
const PAYLOAD_TYPE: u8 = 96;
const PACKETS: usize = 100;
