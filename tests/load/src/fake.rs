//! `plenary-load fakebridge`: a small single-threaded SIP bridge to test this tool with, with faults on request.

use crate::args::Args;
use crate::codec::{Codec, Decoder, Encoder};
use crate::net;
use crate::rtp;
use crate::signal::{Rng, to_i16};
use crate::sip::{self, Msg};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::os::fd::RawFd;

pub struct Cfg {
    pub listen: SocketAddrV4,
    pub rate: u32,
    pub extra_frames: usize,
    pub loss: f64,
    pub dup: f64,
    pub reorder: f64,
    pub echo: bool,
    pub gain: f32,
    pub auth: Option<(String, String)>,
    pub auth_alg: String,
    pub reject: f64,
    pub lose_sip: f64,
    pub reinvite_after: f64,
    pub hangup_after: f64,
    pub seconds: f64,
    pub burn_us: u64,
}

/// Streaming factor-2 rate change with a fixed group delay.
struct Half {
    h: Vec<f32>,
    z: Vec<f32>,
}
impl Half {
    fn new() -> Half {
        const N: i32 = 31;
        let h: Vec<f32> = (-N..=N)
            .map(|k| {
                let t = k as f64 * 0.5 * 0.97;
                let s = if k == 0 {
                    1.0
                } else {
                    (std::f64::consts::PI * t).sin() / (std::f64::consts::PI * t)
                };
                let w = (std::f64::consts::PI * k as f64 / (2.0 * (N + 1) as f64)).cos().powi(2);
                (0.5 * 0.97 * s * w) as f32
            })
            .collect();
        let n = h.len();
        Half { h, z: vec![0.0; n] }
    }
    fn step(&mut self, v: f32) -> f32 {
        self.z.rotate_right(1);
        self.z[0] = v;
        self.h.iter().zip(&self.z).map(|(a, b)| a * b).sum()
    }
    fn up(&mut self, x: &[f32]) -> Vec<f32> {
        let mut o = Vec::with_capacity(x.len() * 2);
        for v in x {
            o.push(self.step(v * 2.0));
            o.push(self.step(0.0));
        }
        o
    }
    fn down(&mut self, x: &[f32]) -> Vec<f32> {
        x.chunks_exact(2)
            .map(|c| {
                let y = self.step(c[0]);
                self.step(c[1]);
                y
            })
            .collect()
    }
}

struct Part {
    call_id: String,
    room: String,
    fd: RawFd,
    remote: libc::sockaddr_in,
    codec: Codec,
    pt: u8,
    dec: Decoder,
    enc: Encoder,
    up: Half,
    down: Half,
    q: VecDeque<Vec<f32>>,
    primed: bool,
    seq: u16,
    ts: u32,
    ssrc: u32,
    held: Option<Vec<u8>>,
    sip_peer: SocketAddrV4,
    ok: String,
    acked: bool,
    ok_at: i64,
    ok_int: i64,
    invite: Msg,
    tag: String,
    up_at: i64,
    reinvited: bool,
}

pub fn cfg(a: &Args) -> Result<Cfg, String> {
    Ok(Cfg {
        listen: a.str("listen", "127.0.0.1:5099").parse().map_err(|_| "--listen ip:port")?,
        rate: a.get("mix-rate", 8000)?,
        extra_frames: a.get("extra-frames", 1)?,
        loss: a.get("loss", 0.0)?,
        dup: a.get("dup", 0.0)?,
        reorder: a.get("reorder", 0.0)?,
        echo: a.flag("echo"),
        gain: 10f32.powf(a.get("gain-db", 0.0f32)? / 20.0),
        auth: a
            .opt("auth")
            .and_then(|s| s.split_once(':').map(|(u, p)| (u.to_string(), p.to_string()))),
        auth_alg: a.str("auth-alg", "MD5"),
        reject: a.get("reject", 0.0)?,
        lose_sip: a.get("lose-sip", 0.0)?,
        reinvite_after: a.get("reinvite-after", 0.0)?,
        hangup_after: a.get("hangup-after", 0.0)?,
        seconds: a.get("seconds", 0.0)?,
        burn_us: a.get("burn-us", 0)?,
    })
}

struct Bridge {
    c: Cfg,
    sip: RawFd,
    parts: Vec<Part>,
    by_id: HashMap<String, usize>,
    rng: Rng,
}

pub fn run(c: Cfg) -> Result<(), String> {
    net::raise_nofile(16384).or_else(|_| net::raise_nofile(4096))?;
    let fd = net::udp(c.listen, 4 << 20).map_err(|e| format!("{}: {e}", c.listen))?;
    let mut b = Bridge { c, sip: fd, parts: vec![], by_id: HashMap::new(), rng: Rng(1) };
    eprintln!("fakebridge on {}", net::local(fd));
    let t0 = net::mono();
    let mut next = t0 + 20_000_000;
    let mut buf = vec![0u8; 65536];
    loop {
        loop {
            let now = net::mono();
            if now >= next {
                break;
            }
            if net::ppoll_in(fd, next - now) {
                b.sip_in(&mut buf);
            }
        }
        b.tick();
        next += 20_000_000;
        let el = (net::mono() - t0) as f64 / 1e9;
        if b.c.seconds > 0.0 && el > b.c.seconds {
            return Ok(());
        }
    }
}

impl Bridge {
    fn send(&mut self, to: SocketAddrV4, s: &str) {
        if self.rng.f() < self.c.lose_sip {
            return;
        }
        let _ = net::send_to(self.sip, s.as_bytes(), &net::to_sa(to));
    }

    fn sip_in(&mut self, buf: &mut [u8]) {
        loop {
            let mut sa: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            let mut sl = size_of_val(&sa) as u32;
            let n = unsafe {
                libc::recvfrom(
                    self.sip,
                    buf.as_mut_ptr() as *mut _,
                    buf.len(),
                    libc::MSG_DONTWAIT,
                    &mut sa as *mut _ as *mut _,
                    &mut sl,
                )
            };
            if n <= 0 {
                return;
            }
            if self.rng.f() < self.c.lose_sip {
                continue;
            }
            if let Some(m) = Msg::parse(&buf[..n as usize]) {
                self.on_sip(m, net::from_sa(&sa));
            }
        }
    }

    fn reply(m: &Msg, code: &str, tag: &str, extra: &str, body: &str, me: SocketAddrV4) -> String {
        let mut s = format!("SIP/2.0 {code}\r\n");
        for v in m.all("via") {
            s.push_str(&format!("Via: {v}\r\n"));
        }
        s.push_str(&format!("From: {}\r\n", m.get("from").unwrap_or("")));
        let to = m.get("to").unwrap_or("");
        if sip::tag(to).is_some() || tag.is_empty() {
            s.push_str(&format!("To: {to}\r\n"));
        } else {
            s.push_str(&format!("To: {to};tag={tag}\r\n"));
        }
        s.push_str(&format!(
            "Call-ID: {}\r\nCSeq: {}\r\nContact: <sip:fake@{me}>\r\n{extra}",
            m.get("call-id").unwrap_or(""),
            m.get("cseq").unwrap_or("")
        ));
        if !body.is_empty() {
            s.push_str("Content-Type: application/sdp\r\n");
        }
        s.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        s
    }

    fn on_sip(&mut self, m: Msg, from: SocketAddrV4) {
        let me = self.c.listen;
        let Some(id) = m.get("call-id").map(|s| s.to_string()) else { return };
        let Some(method) = m.method().map(|s| s.to_string()) else {
            // response to our re-INVITE: acknowledge
            if m.status() == Some(200)
                && m.cseq().map(|c| c.1) == Some("INVITE")
                && let Some(&i) = self.by_id.get(&id)
            {
                let cs = m.cseq().unwrap().0;
                let s = self.in_dialog(i, "ACK", cs, "");
                self.send(from, &s);
            }
            return;
        };
        match method.as_str() {
            "INVITE" => {
                if let Some(&i) = self.by_id.get(&id) {
                    let s = self.parts[i].ok.clone(); // retransmission
                    self.send(from, &s);
                    return;
                }
                let tag = format!("{:x}", self.rng.next() >> 20);
                if let Some((u, p)) = self.c.auth.clone() {
                    let ok = m.get("authorization").map(|h| {
                        let ch = format!(
                            "Digest realm=\"fake\", nonce=\"n1\", algorithm={}, qop=\"auth\"",
                            self.c.auth_alg
                        );
                        let cn = sip::param(h, "cnonce").unwrap_or("").to_string();
                        let nc = u32::from_str_radix(sip::param(h, "nc").unwrap_or("0"), 16)
                            .unwrap_or(0);
                        let want = sip::digest(
                            &ch,
                            &u,
                            &p,
                            "INVITE",
                            sip::param(h, "uri").unwrap_or(""),
                            &cn,
                            nc,
                        );
                        sip::param(&want, "response") == sip::param(h, "response")
                    });
                    if ok != Some(true) {
                        let s = Self::reply(
                            &m,
                            "401 Unauthorized",
                            &tag,
                            &format!(
                                "WWW-Authenticate: Digest realm=\"fake\", nonce=\"n1\", algorithm={}, qop=\"auth\"\r\n",
                                self.c.auth_alg
                            ),
                            "",
                            me,
                        );
                        self.send(from, &s);
                        return;
                    }
                }
                if self.rng.f() < self.c.reject {
                    let s = Self::reply(&m, "503 Service Unavailable", &tag, "", "", me);
                    self.send(from, &s);
                    return;
                }
                let Some(off) = sip::parse_sdp(&m.body) else { return };
                let cands =
                    [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::Opus, Codec::L16(self.c.rate)];
                let found = cands
                    .iter()
                    .filter(|c| !(**c == Codec::G722 && self.c.rate != 16000))
                    .find_map(|c| off.pt_for(*c).map(|pt| (*c, pt)));
                let Some((codec, pt)) = found else {
                    let s = Self::reply(&m, "488 Not Acceptable Here", &tag, "", "", me);
                    self.send(from, &s);
                    return;
                };
                let s = Self::reply(&m, "100 Trying", "", "", "", me);
                self.send(from, &s);
                let Ok(fd) = net::udp(SocketAddrV4::new(*me.ip(), 0), 0) else { return };
                let port = net::local(fd).port();
                let sdp = format!(
                    "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {port} RTP/AVP {pt}\r\na=rtpmap:{pt} {1}\r\na=ptime:20\r\na=sendrecv\r\n",
                    me.ip(),
                    codec.rtpmap()
                );
                let ok = Self::reply(&m, "200 OK", &tag, "", &sdp, me);
                self.send(from, &ok);
                let user = m
                    .uri()
                    .unwrap_or("")
                    .trim_start_matches("sip:")
                    .split('@')
                    .next()
                    .unwrap_or("")
                    .to_string();
                let seed = self.rng.next();
                let now = net::mono();
                self.by_id.insert(id.clone(), self.parts.len());
                self.parts.push(Part {
                    call_id: id,
                    room: user,
                    fd,
                    remote: net::to_sa(off.addr),
                    codec,
                    pt,
                    dec: Decoder::new(codec, self.c.rate).unwrap(),
                    enc: Encoder::new(codec, self.c.rate, 24000, 5).unwrap(),
                    up: Half::new(),
                    down: Half::new(),
                    q: VecDeque::new(),
                    primed: false,
                    seq: seed as u16,
                    ts: (seed >> 16) as u32,
                    ssrc: (seed >> 32) as u32,
                    held: None,
                    sip_peer: from,
                    ok,
                    acked: false,
                    ok_at: now + 500_000_000,
                    ok_int: 500_000_000,
                    invite: m,
                    tag,
                    up_at: now,
                    reinvited: false,
                });
            }
            "ACK" => {
                if let Some(&i) = self.by_id.get(&id) {
                    self.parts[i].acked = true;
                }
            }
            "BYE" => {
                let s = Self::reply(&m, "200 OK", "", "", "", me);
                self.send(from, &s);
                self.remove(&id);
            }
            _ => {
                let s = Self::reply(&m, "200 OK", "x", "", "", me);
                self.send(from, &s);
            }
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(i) = self.by_id.remove(id) {
            unsafe { libc::close(self.parts[i].fd) };
            self.parts.swap_remove(i);
            if i < self.parts.len() {
                let moved = self.parts[i].call_id.clone();
                self.by_id.insert(moved, i);
            }
        }
    }

    fn in_dialog(&self, i: usize, method: &str, cseq: u32, body: &str) -> String {
        let p = &self.parts[i];
        let me = self.c.listen;
        let ct = p.invite.get("contact").map(sip::uri_of).unwrap_or("");
        let mut s = format!(
            "{method} {ct} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKf{cseq}{method}{}\r\nMax-Forwards: 70\r\nFrom: {};tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:fake@{me}>\r\n",
            p.tag,
            p.invite.get("to").unwrap_or(""),
            p.tag,
            p.invite.get("from").unwrap_or(""),
            p.call_id
        );
        if !body.is_empty() {
            s.push_str("Content-Type: application/sdp\r\n");
        }
        s.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        s
    }

    fn tick(&mut self) {
        let now = net::mono();
        if self.c.burn_us > 0 {
            // known CPU use per participant and tick, to test the CPU figures
            let end = net::thread_cpu() + (self.c.burn_us * self.parts.len() as u64 * 1000) as i64;
            while net::thread_cpu() < end {}
        }
        // SIP timers
        let mut out = vec![];
        let mut gone = vec![];
        for i in 0..self.parts.len() {
            let p = &mut self.parts[i];
            if !p.acked && now >= p.ok_at && p.ok_int < 8_000_000_000 {
                p.ok_int *= 2;
                p.ok_at = now + p.ok_int;
                out.push((p.sip_peer, p.ok.clone()));
            }
            let age = (now - p.up_at) as f64 / 1e9;
            if self.c.reinvite_after > 0.0 && age > self.c.reinvite_after && !p.reinvited {
                p.reinvited = true;
                let peer = p.sip_peer;
                let port = net::local(p.fd).port();
                let sdp = format!(
                    "v=0\r\no=- 1 2 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {port} RTP/AVP {1}\r\na=rtpmap:{1} {2}\r\n",
                    self.c.listen.ip(),
                    p.pt,
                    p.codec.rtpmap()
                );
                out.push((peer, self.in_dialog(i, "OPTIONS", 100, "")));
                out.push((peer, self.in_dialog(i, "INVITE", 101, &sdp)));
                out.push((peer, self.in_dialog(i, "UPDATE", 102, "")));
                out.push((peer, self.in_dialog(i, "INFO", 103, "")));
                continue;
            }
            if self.c.hangup_after > 0.0 && age > self.c.hangup_after {
                let peer = p.sip_peer;
                let id = p.call_id.clone();
                out.push((peer, self.in_dialog(i, "BYE", 200, "")));
                gone.push(id);
            }
        }
        for (a, s) in out {
            self.send(a, &s);
        }
        for id in gone {
            self.remove(&id);
        }
        // receive
        let fl = (self.c.rate / 50) as usize;
        let mut buf = [0u8; 4096];
        for p in &mut self.parts {
            loop {
                let n = unsafe {
                    libc::recv(p.fd, buf.as_mut_ptr() as *mut _, buf.len(), libc::MSG_DONTWAIT)
                };
                if n <= 0 {
                    break;
                }
                let b = &buf[..n as usize];
                let Some(h) = rtp::parse(b) else { continue };
                if h.pt != p.pt {
                    continue;
                }
                let mut pcm = vec![];
                p.dec.decode(rtp::payload(b), &mut pcm);
                let f: Vec<f32> = pcm.iter().map(|v| *v as f32 / 32768.0).collect();
                let f = if p.codec.clock() == 8000 && p.codec != Codec::G722 && self.c.rate == 16000
                {
                    p.up.up(&f)
                } else {
                    f
                };
                if f.len() == fl {
                    p.q.push_back(f);
                }
            }
            while p.q.len() > 4 + self.c.extra_frames {
                p.q.pop_front();
            }
            if !p.primed && p.q.len() > self.c.extra_frames {
                p.primed = true;
            }
        }
        // mix
        let mut sums: HashMap<String, Vec<f32>> = HashMap::new();
        let mut own: Vec<Option<Vec<f32>>> = Vec::with_capacity(self.parts.len());
        for p in &mut self.parts {
            let f = if p.primed { p.q.pop_front() } else { None };
            if let Some(f) = &f {
                let s = sums.entry(p.room.clone()).or_insert_with(|| vec![0.0; fl]);
                for (a, b) in s.iter_mut().zip(f) {
                    *a += b;
                }
            }
            own.push(f);
        }
        let zero = vec![0.0f32; fl];
        for (p, f) in self.parts.iter_mut().zip(&own) {
            let s = sums.get(&p.room).unwrap_or(&zero);
            let mut y: Vec<f32> = s.clone();
            if let (Some(f), false) = (f, self.c.echo) {
                for (a, b) in y.iter_mut().zip(f) {
                    *a -= b;
                }
            }
            let mut y: Vec<f32> = y.iter().map(|v| v * self.c.gain).collect();
            if p.codec.clock() == 8000 && p.codec != Codec::G722 && self.c.rate == 16000 {
                y = p.down.down(&y);
            }
            let pcm: Vec<i16> = y.iter().map(|v| to_i16(*v)).collect();
            let mut pkt = vec![0u8; 12];
            rtp::write_header(&mut pkt, p.pt, false, p.seq, p.ts, p.ssrc);
            let _ = p.enc.encode(&pcm, &mut pkt);
            p.seq = p.seq.wrapping_add(1);
            p.ts = p.ts.wrapping_add(p.codec.ts_step(20));
            if self.rng.f() < self.c.loss {
                continue;
            }
            if self.c.reorder > 0.0 && p.held.is_none() && self.rng.f() < self.c.reorder {
                p.held = Some(pkt);
                continue;
            }
            net::send_to(p.fd, &pkt, &p.remote);
            if let Some(h) = p.held.take() {
                net::send_to(p.fd, &h, &p.remote);
            }
            if self.c.dup > 0.0 && self.rng.f() < self.c.dup {
                net::send_to(p.fd, &pkt, &p.remote);
            }
        }
    }
}
