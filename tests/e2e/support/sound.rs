//! RTP by hand: PCMU out, anything in, at the pace of the packets that come.

use std::f64::consts::TAU;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// An RTP and an RTCP port, next to each other.
#[derive(Debug)]
pub struct Ports {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

/// A stream that runs until it is dropped: for each packet that comes, one goes out.
#[derive(Debug)]
pub struct Sound {
    shared: Arc<Shared>,
    rtcp: UdpSocket,
    thread: Option<JoinHandle<()>>,
}

/// A packet that came.
#[derive(Clone, Debug)]
pub struct Packet {
    pub ssrc: u32,
    pub sequence: u16,
    /// Who is heard in it (RFC 3550 §5.1).
    pub sources: Vec<u32>,
    /// The octets of its header extension with their "defined by profile".
    pub extension: Option<(u16, Vec<u8>)>,
    pub marker: bool,
    pub payload_type: u8,
    pub timestamp: u32,
    pub payload: Vec<u8>,
    pub from: SocketAddr,
}

/// What else a packet of ours says.
#[derive(Clone, Debug)]
pub struct Manner {
    pub ssrc: u32,
    /// A whole header extension.
    pub extension: Vec<u8>,
    /// After ten packets comfort noise of this level instead.
    pub noise: Option<u8>,
}

impl Manner {
    /// Plain, from this source.
    pub fn of(ssrc: u32) -> Self {
        Self { ssrc, extension: Vec::new(), noise: None }
    }
}

#[derive(Debug)]
struct Shared {
    packets: Mutex<Vec<Packet>>,
    news: Condvar,
    stop: AtomicBool,
}

impl Ports {
    pub fn bind(ip: impl Into<IpAddr>) -> Self {
        let ip = ip.into();
        loop {
            let rtp = UdpSocket::bind((ip, 0)).unwrap();
            let port = rtp.local_addr().unwrap().port();
            if port.is_multiple_of(2)
                && let Ok(rtcp) = UdpSocket::bind((ip, port + 1))
            {
                return Self { rtp, rtcp };
            }
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.rtp.local_addr().unwrap()
    }

    /// Sends these samples of 8 kHz to the bridge, over and over, as PCMU.
    pub fn start(self, bridge: SocketAddr, samples: &[i16]) -> Sound {
        self.start_as(bridge, samples, Manner::of(OUR_SSRC))
    }

    pub fn start_as(self, bridge: SocketAddr, samples: &[i16], manner: Manner) -> Sound {
        let payloads: Vec<Vec<u8>> = samples
            .chunks_exact(FRAME)
            .map(|frame| frame.iter().map(|sample| compress(*sample)).collect())
            .collect();
        let shared = Arc::new(Shared {
            packets: Mutex::default(),
            news: Condvar::new(),
            stop: AtomicBool::new(false),
        });
        let Self { rtp, rtcp } = self;
        rtp.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        rtcp.connect(SocketAddr::new(bridge.ip(), bridge.port() + 1)).unwrap();
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || run(&rtp, bridge, (&payloads, &manner), &theirs));
        Sound { shared, rtcp, thread: Some(thread) }
    }
}

impl Sound {
    /// Waits for so many packets more and gives them.
    pub fn receive(&self, count: usize) -> Vec<Packet> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut packets = self.shared.packets.lock().unwrap();
        packets.clear();
        while packets.len() < count {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} packets came", packets.len());
            packets = self.shared.news.wait_timeout(packets, left).unwrap().0;
        }
        packets.clone()
    }

    /// Waits until a tone is heard in half a second of PCMU.
    pub fn expect(&self, hz: u32) {
        for _ in 0..20 {
            let packets = self.receive(25);
            let samples: Vec<i16> = packets
                .iter()
                .flat_map(|packet| &packet.payload)
                .map(|&octet| expand(octet))
                .collect();
            if level_db(&samples, hz) > -30.0 {
                return;
            }
        }
        panic!("{hz} Hz is not heard");
    }

    /// The level of so many packets of PCMU, dB below a full-scale square wave.
    pub fn level(&self, packets: usize) -> f64 {
        let packets = self.receive(packets);
        let samples: Vec<f64> =
            packets.iter().flat_map(|p| &p.payload).map(|&octet| expand(octet).into()).collect();
        let power = samples.iter().map(|s| s * s).sum::<f64>() / samples.len().max(1) as f64;
        10.0 * (power / 32_768.0_f64.powi(2)).max(1e-12).log10()
    }

    /// Reports this share of the bridge's packets as lost (RFC 3550 §6.4.2), in 256ths.
    pub fn report_loss(&self, of: &Packet, fraction: u8) {
        let mut report = vec![0x81, 201, 0, 7];
        report.extend(OUR_SSRC.to_be_bytes());
        report.extend(of.ssrc.to_be_bytes());
        report.extend([fraction, 0, 0, 9]);
        report.extend(u32::from(of.sequence).to_be_bytes());
        report.extend([0; 12]); // jitter, last report, delay since
        report.extend([0x81, 202, 0, 3]);
        report.extend(OUR_SSRC.to_be_bytes());
        report.extend([1, 2, b'h', b'i', 0, 0, 0, 0]); // CNAME, end
        self.rtcp.send(&report).unwrap();
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn run(
    rtp: &UdpSocket,
    bridge: SocketAddr,
    (payloads, manner): (&[Vec<u8>], &Manner),
    shared: &Shared,
) {
    let mut buffer = [0; 2048];
    let mut sequence = 0_u16;
    for turn in 0_usize.. {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        let voice = &payloads[turn % payloads.len()][..];
        let said = match manner.noise.filter(|_| turn >= 10) {
            None => Some((0, voice.to_vec())),
            Some(level) => turn.is_multiple_of(10).then(|| (13, vec![level])),
        };
        if let Some((payload_type, payload)) = said {
            let has_extension = !manner.extension.is_empty();
            let mut packet = vec![0x80 | u8::from(has_extension) << 4, payload_type];
            packet.extend(sequence.to_be_bytes());
            packet.extend((turn as u32 * FRAME as u32).to_be_bytes());
            packet.extend(manner.ssrc.to_be_bytes());
            packet.extend(&manner.extension);
            packet.extend(&payload);
            rtp.send_to(&packet, bridge).unwrap();
            sequence = sequence.wrapping_add(1);
        }
        // Nothing comes while the bridge does not send yet: then go on at a walk.
        let Ok((length, from)) = rtp.recv_from(&mut buffer) else { continue };
        shared.packets.lock().unwrap().push(read(&buffer[..length], from));
        shared.news.notify_all();
    }
}

fn read(packet: &[u8], from: SocketAddr) -> Packet {
    let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
    let mut at = 12 + 4 * usize::from(packet[0] & 15);
    let sources = (12..at).step_by(4).map(word).collect();
    let extension = (packet[0] & 0x10 != 0).then(|| {
        let start = at + 4;
        at = start + 4 * (word(at) as u16 as usize);
        ((word(start - 4) >> 16) as u16, packet[start..at].to_vec())
    });
    Packet {
        ssrc: word(8),
        sequence: word(0) as u16,
        sources,
        extension,
        marker: packet[1] & 0x80 != 0,
        payload_type: packet[1] & 0x7f,
        timestamp: word(4),
        payload: packet[at..].to_vec(),
        from,
    }
}

/// A second of a tone at 8 kHz, −16 dB below full scale.
pub fn tone(hz: u32) -> Vec<i16> {
    let step = TAU * f64::from(hz) / 8000.0;
    (0..8000).map(|index| ((f64::from(index) * step).sin() * 5193.0) as i16).collect()
}

/// A file of some seconds of a tone: WAV, mono, 16 bits, 8 kHz.
pub fn wav(hz: u32, seconds: u32) -> Vec<u8> {
    let octets = seconds * 16_000;
    let mut file = b"RIFF".to_vec();
    file.extend((octets + 36).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend(b"\x02\0\x10\0data");
    file.extend(octets.to_le_bytes());
    let second = tone(hz);
    let samples = (0..seconds).flat_map(|_| second.iter());
    file.extend(samples.flat_map(|sample| sample.to_le_bytes()));
    file
}

/// A second of what a voice is made of: pulses at 120 Hz that start and stop four times.
pub fn buzz() -> Vec<i16> {
    let is_on = |index: i32| index % 66 < 7 && index % 2000 < 1500;
    (0..8000).map(|index| if is_on(index) { 12_000 } else { -800 }).collect()
}

/// Level of a tone in samples of 8 kHz, dB below a full-scale sine.
fn level_db(samples: &[i16], hz: u32) -> f64 {
    let (mut real, mut imaginary) = (0.0, 0.0);
    for (index, &sample) in samples.iter().enumerate() {
        let angle = TAU * f64::from(hz) * index as f64 / 8000.0;
        real += f64::from(sample) * angle.cos();
        imaginary += f64::from(sample) * angle.sin();
    }
    let amplitude = 2.0 * f64::hypot(real, imaginary) / samples.len().max(1) as f64;
    20.0 * (amplitude / 32_768.0).max(1e-6).log10()
}

/// G.711 µ-law.
fn expand(octet: u8) -> i16 {
    let octet = !octet;
    let (exponent, mantissa) = (octet >> 4 & 7, i16::from(octet & 15));
    let magnitude = ((mantissa * 8 + 132) << exponent) - 132;
    if octet & 0x80 == 0 { magnitude } else { -magnitude }
}

fn compress(sample: i16) -> u8 {
    let distance = |octet: &u8| (i32::from(expand(*octet)) - i32::from(sample)).abs();
    (0..=255).min_by_key(distance).expect("there are octets")
}

/// Samples of 20 ms.
const FRAME: usize = 160;
const OUR_SSRC: u32 = 0x5eed_0001;
