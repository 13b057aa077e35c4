//! RTP engine: one or a few threads, each visiting its legs once per packet interval at a
//! fixed, drift-free time, sending one packet and taking what has arrived. Arrival times come
//! from the kernel (SO_TIMESTAMPNS), so the visit times do not disturb the jitter figures.

use crate::codec::{Codec, Track};
use crate::net::{self, RecvCtx};
use crate::rtp::{self, Rx, RxWin};
use crate::stats::Hist;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicI64, AtomicU8, AtomicU32, AtomicU64, Ordering::*,
};
use std::sync::mpsc::{Receiver, Sender, channel};

pub const IDLE: u8 = 0;
pub const RUN: u8 = 1;
pub const STOP: u8 = 2;

/// What the signalling side tells the RTP thread about one leg.
pub struct Shared {
    pub ctl: AtomicU8,
    pub pt: AtomicU8,
    pub remote: AtomicU64,
    pub fd: AtomicI32,
    pub port: AtomicU32,
    /// RTP packets received so far (any time)
    pub rx_total: AtomicU32,
}

impl Shared {
    fn new() -> Self {
        Shared {
            ctl: AtomicU8::new(IDLE),
            pt: AtomicU8::new(0),
            remote: AtomicU64::new(0),
            fd: AtomicI32::new(-1),
            port: AtomicU32::new(0),
            rx_total: AtomicU32::new(0),
        }
    }
    pub fn set_remote(&self, a: SocketAddrV4) {
        self.remote.store(pack(a), Release);
    }
    pub fn remote_addr(&self) -> Option<SocketAddrV4> {
        let v = self.remote.load(Acquire);
        if v == 0 { None } else { Some(unpack(v)) }
    }
}

fn pack(a: SocketAddrV4) -> u64 {
    (u32::from(*a.ip()) as u64) << 16 | a.port() as u64
}
fn unpack(v: u64) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::from((v >> 16) as u32), v as u16)
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Rec {
    /// headers only
    No,
    /// keep payloads of the measuring window, at most this many packets
    Window(usize),
    /// keep everything from the first packet, with the exact send times
    All,
}

/// What a leg sends, fixed before the engine starts.
#[derive(Clone)]
pub struct LegSpec {
    pub codec: Codec,
    pub track: Option<Arc<Track>>,
    /// first frame of the track
    pub start: usize,
    /// when there is no track: packets of silence sent at the start, then nothing
    pub hello: Option<Arc<Track>>,
    pub rec: Rec,
    pub talker: bool,
    pub room: usize,
}

#[derive(Clone, Debug)]
pub struct RecPkt {
    pub arr: i64,
    pub seq: u16,
    pub pt: u8,
    pub ssrc: u32,
    pub off: u32,
    pub len: u16,
}

#[derive(Default, Clone)]
pub struct Recording {
    pub pkts: Vec<RecPkt>,
    pub data: Vec<u8>,
    /// (frame number since start, CLOCK_REALTIME ns) of each packet sent
    pub tx: Vec<(u32, i64)>,
}

struct Leg {
    id: usize,
    started: bool,
    stopped: bool,
    fd: RawFd,
    remote_raw: u64,
    sa: libc::sockaddr_in,
    connected: bool,
    asym: bool,
    pt: u8,
    ssrc: u32,
    seq: u16,
    ts: u32,
    step: u32,
    clock: u32,
    frame: usize,
    sent_frames: u32,
    spec: LegSpec,
    rx: Rx,
    tx_win: u64,
    tx_err: u64,
    refused: u64,
    no_ts: u64,
    rec: Recording,
}

#[derive(Clone, Debug)]
pub struct LegSnap {
    pub id: usize,
    pub tx: u64,
    pub tx_err: u64,
    pub refused: u64,
    pub asym: bool,
    pub no_ts: u64,
    pub step: u32,
    pub win: RxWin,
}

pub struct ThreadSnap {
    pub legs: Vec<LegSnap>,
    pub jitter: Hist,
    pub dev: Hist,
    pub late: Hist,
    pub slots_missed: u64,
}

enum Cmd {
    Window(i64, i64),
    Snap(Sender<ThreadSnap>),
    TakeRec(Sender<Vec<(usize, Recording)>>),
}

pub struct Cfg {
    pub ip: Ipv4Addr,
    /// even RTP ports are taken from these ranges in order
    pub ports: Vec<(u16, u16)>,
    pub ptime: u32,
    pub slots: u32,
    pub threads: usize,
    pub rt_prio: i32,
    pub rtcp_socks: bool,
    pub rcvbuf: i32,
    /// take received packets every so many packet intervals
    pub rx_every: u32,
}

pub struct Engine {
    pub legs: Arc<Vec<Shared>>,
    pub specs: Vec<LegSpec>,
    cmd: Vec<Sender<Cmd>>,
    stop: Arc<AtomicBool>,
    join: Vec<std::thread::JoinHandle<()>>,
    cpu_clocks: Arc<Vec<AtomicI64>>,
    rt_ok: Arc<AtomicBool>,
    fds: Vec<RawFd>,
    cfg: Cfg,
    next_port: (usize, u32),
    pub ptime: u32,
}

impl Engine {
    pub fn new(specs: Vec<LegSpec>, cfg: Cfg) -> Result<Engine, String> {
        let n = specs.len();
        net::raise_nofile(n as u64 * 2 + 256)?;
        let legs: Arc<Vec<Shared>> = Arc::new((0..n).map(|_| Shared::new()).collect());
        let stop = Arc::new(AtomicBool::new(false));
        let threads = cfg.threads.max(1);
        let clocks: Arc<Vec<AtomicI64>> =
            Arc::new((0..threads).map(|_| AtomicI64::new(0)).collect());
        let rt_ok = Arc::new(AtomicBool::new(cfg.rt_prio > 0));
        let mut join = vec![];
        let mut cmd = vec![];
        let base = net::mono() + 5_000_000;
        for t in 0..threads {
            let (tx, rx) = channel();
            cmd.push(tx);
            let l = legs.clone();
            let st = stop.clone();
            let ck = clocks.clone();
            let ro = rt_ok.clone();
            let mine: Vec<(usize, LegSpec)> = specs
                .iter()
                .enumerate()
                .filter(|(i, _)| i % threads == t)
                .map(|(i, s)| (i, s.clone()))
                .collect();
            let (ptime, slots, prio, rx_every) =
                (cfg.ptime, cfg.slots, cfg.rt_prio, cfg.rx_every.clamp(1, 8));
            join.push(
                std::thread::Builder::new()
                    .name(format!("rtp{t}"))
                    .spawn(move || {
                        run(l, mine, ptime, slots, prio, rx_every, base, rx, st, &ck[t], &ro)
                    })
                    .map_err(|e| e.to_string())?,
            );
        }
        let next_port = (0, cfg.ports[0].0 as u32 & !1);
        let ptime = cfg.ptime;
        Ok(Engine {
            legs,
            specs,
            cmd,
            stop,
            join,
            cpu_clocks: clocks,
            rt_ok,
            fds: vec![],
            cfg,
            next_port,
            ptime,
        })
    }

    /// Create the socket of a leg; returns its port.
    pub fn open(&mut self, leg: usize) -> Result<u16, String> {
        let old = self.legs[leg].port.load(Acquire);
        if old != 0 {
            return Ok(old as u16);
        }
        let mut tries = 0;
        loop {
            if self.next_port.1 + 1 > self.cfg.ports[self.next_port.0].1 as u32 {
                let r = (self.next_port.0 + 1) % self.cfg.ports.len();
                self.next_port = (r, (self.cfg.ports[r].0 as u32 + 1) & !1);
            }
            let p = self.next_port.1 as u16;
            self.next_port.1 += 2;
            tries += 1;
            if tries > 40000 {
                return Err("no free RTP port pair in the ranges".into());
            }
            let fd = match net::udp(SocketAddrV4::new(self.cfg.ip, p), self.cfg.rcvbuf) {
                Ok(f) => f,
                Err(e) if e.raw_os_error() == Some(libc::EADDRINUSE) => continue,
                Err(e) => return Err(format!("RTP socket: {e}")),
            };
            if self.cfg.rtcp_socks {
                match net::udp(SocketAddrV4::new(self.cfg.ip, p + 1), 1) {
                    Ok(f) => self.fds.push(f),
                    Err(_) => {
                        unsafe { libc::close(fd) };
                        continue;
                    }
                }
            }
            net::setopt(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1);
            self.fds.push(fd);
            self.legs[leg].fd.store(fd, Release);
            self.legs[leg].port.store(p as u32, Release);
            return Ok(p);
        }
    }

    pub fn start_leg(&self, leg: usize, remote: SocketAddrV4, pt: u8) {
        let s = &self.legs[leg];
        s.set_remote(remote);
        s.pt.store(pt, Release);
        s.ctl.store(RUN, Release);
    }
    pub fn stop_leg(&self, leg: usize) {
        self.legs[leg].ctl.store(STOP, Release);
    }

    /// Open a measuring window [w0, w1) in CLOCK_REALTIME ns; both should lie ahead.
    pub fn window(&self, w0: i64, w1: i64) {
        for c in &self.cmd {
            let _ = c.send(Cmd::Window(w0, w1));
        }
    }
    pub fn snapshot(&self) -> ThreadSnap {
        let mut all = ThreadSnap {
            legs: vec![],
            jitter: Hist::new(),
            dev: Hist::new(),
            late: Hist::new(),
            slots_missed: 0,
        };
        let rxs: Vec<Receiver<ThreadSnap>> = self
            .cmd
            .iter()
            .map(|c| {
                let (tx, rx) = channel();
                let _ = c.send(Cmd::Snap(tx));
                rx
            })
            .collect();
        for r in rxs {
            if let Ok(s) = r.recv_timeout(std::time::Duration::from_secs(20)) {
                all.legs.extend(s.legs);
                all.jitter.merge(&s.jitter);
                all.dev.merge(&s.dev);
                all.late.merge(&s.late);
                all.slots_missed += s.slots_missed;
            }
        }
        all.legs.sort_by_key(|l| l.id);
        all
    }
    pub fn take_recordings(&self) -> Vec<(usize, Recording)> {
        let mut v = vec![];
        for c in &self.cmd {
            let (tx, rx) = channel();
            let _ = c.send(Cmd::TakeRec(tx));
            if let Ok(r) = rx.recv_timeout(std::time::Duration::from_secs(20)) {
                v.extend(r);
            }
        }
        v.sort_by_key(|x| x.0);
        v
    }
    /// CPU time of the RTP threads, ns
    pub fn cpu(&self) -> i64 {
        let mut s = 0;
        for c in self.cpu_clocks.iter() {
            let id = c.load(Acquire);
            if id != 0 {
                let mut t: libc::timespec = unsafe { std::mem::zeroed() };
                unsafe { libc::clock_gettime(id as libc::clockid_t, &mut t) };
                s += t.tv_sec * 1_000_000_000 + t.tv_nsec;
            }
        }
        s
    }
    /// whether the RTP threads run at real-time priority
    pub fn realtime(&self) -> bool {
        self.rt_ok.load(Acquire)
    }
    pub fn threads(&self) -> usize {
        self.join.len()
    }
    pub fn local_port(&self, leg: usize) -> u16 {
        self.legs[leg].port.load(Acquire) as u16
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop.store(true, Release);
        for j in self.join.drain(..) {
            let _ = j.join();
        }
        for f in self.fds.drain(..) {
            unsafe { libc::close(f) };
        }
    }
}

/// Spread legs over the packet interval: the golden-ratio sequence is even for every prefix.
pub fn slot_of(leg: usize, slots: u32) -> usize {
    let f = ((leg as f64 + 1.0) * 0.618_033_988_749_894_9).fract();
    ((f * slots as f64) as usize).min(slots as usize - 1)
}

#[allow(clippy::too_many_arguments, reason = "a thread entry: what it owns, spelled out")]
fn run(
    shared: Arc<Vec<Shared>>,
    specs: Vec<(usize, LegSpec)>,
    ptime: u32,
    slots: u32,
    prio: i32,
    rx_every: u32,
    base: i64,
    cmd: Receiver<Cmd>,
    stop: Arc<AtomicBool>,
    cpu: &AtomicI64,
    rt_ok: &AtomicBool,
) {
    unsafe {
        let mut id: libc::clockid_t = 0;
        if libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) == 0 {
            cpu.store(id as i64, Release);
        }
    }
    net::small_timer_slack();
    if prio > 0 && !net::realtime(prio) {
        rt_ok.store(false, Release);
    }
    let mut by_slot: Vec<Vec<u32>> = vec![vec![]; slots as usize];
    let mut legs: Vec<Leg> = Vec::with_capacity(specs.len());
    for (k, (id, spec)) in specs.into_iter().enumerate() {
        by_slot[slot_of(id, slots)].push(k as u32);
        let mut r = crate::signal::Rng(id as u64 * 7919 + 17);
        legs.push(Leg {
            id,
            started: false,
            stopped: false,
            fd: -1,
            remote_raw: 0,
            sa: unsafe { std::mem::zeroed() },
            connected: false,
            asym: false,
            pt: 0,
            ssrc: r.next() as u32,
            seq: r.next() as u16,
            ts: r.next() as u32,
            step: spec.codec.ts_step(ptime),
            clock: spec.codec.clock(),
            frame: spec.start,
            sent_frames: 0,
            spec,
            rx: Rx::default(),
            tx_win: 0,
            tx_err: 0,
            refused: 0,
            no_ts: 0,
            rec: Recording::default(),
        });
    }
    let frame_ns = ptime as i64 * 1_000_000;
    let slot_ns = frame_ns / slots as i64;
    let (mut w0, mut w1) = (i64::MAX, i64::MAX);
    let (mut hj, mut hd, mut late) = (Hist::new(), Hist::new(), Hist::new());
    let mut missed = 0u64;
    let mut ctx = RecvCtx::new();
    let mut out = [0u8; 2048];
    let mut tick: i64 = 0;
    let rt_off = net::real() - net::mono();
    while !stop.load(Relaxed) {
        let sched = base + tick * slot_ns;
        let mut now = net::mono();
        if now < sched {
            net::sleep_until(sched);
            now = net::mono();
        }
        let now_rt = now + rt_off;
        if now_rt >= w0 && now_rt < w1 {
            let l = (now - sched).max(0);
            late.add(l as u64);
            if l > frame_ns {
                missed += 1;
            }
        }
        while let Ok(c) = cmd.try_recv() {
            match c {
                Cmd::Window(a, b) => {
                    w0 = a;
                    w1 = b;
                    hj.clear();
                    hd.clear();
                    late.clear();
                    missed = 0;
                    for l in &mut legs {
                        l.rx.reset_window();
                        l.tx_win = 0;
                        l.tx_err = 0;
                        l.refused = 0;
                        l.no_ts = 0;
                        if let Rec::Window(_) = l.spec.rec {
                            l.rec = Recording::default();
                        }
                    }
                }
                Cmd::Snap(tx) => {
                    let _ = tx.send(ThreadSnap {
                        legs: legs
                            .iter()
                            .map(|l| LegSnap {
                                id: l.id,
                                tx: l.tx_win,
                                tx_err: l.tx_err,
                                refused: l.refused,
                                asym: l.asym,
                                no_ts: l.no_ts,
                                step: l.rx.step,
                                win: l.rx.win.clone(),
                            })
                            .collect(),
                        jitter: hj.clone(),
                        dev: hd.clone(),
                        late: late.clone(),
                        slots_missed: missed,
                    });
                }
                Cmd::TakeRec(tx) => {
                    let mut v = vec![];
                    for l in &mut legs {
                        if l.spec.rec != Rec::No {
                            v.push((l.id, std::mem::take(&mut l.rec)));
                        }
                    }
                    let _ = tx.send(v);
                }
            }
        }
        for &k in &by_slot[(tick % slots as i64) as usize] {
            let l = &mut legs[k as usize];
            let s = &shared[l.id];
            let ctl = s.ctl.load(Acquire);
            if ctl == IDLE {
                continue;
            }
            if ctl == STOP {
                if !l.stopped {
                    drain(l, s, &mut ctx, w0, w1, &mut hj, &mut hd);
                    l.stopped = true;
                }
                continue;
            }
            if !l.started {
                l.started = true;
                l.fd = s.fd.load(Acquire);
                l.pt = s.pt.load(Acquire);
            } else if l.stopped {
                l.stopped = false; // taken up again
            }
            let rr = s.remote.load(Relaxed);
            if rr != l.remote_raw {
                l.remote_raw = rr;
                l.sa = net::to_sa(unpack(rr));
                l.pt = s.pt.load(Acquire);
                if l.connected {
                    net::disconnect(l.fd);
                    l.connected = false;
                }
            }
            // send
            let src = match &l.spec.track {
                Some(t) => {
                    if l.frame >= t.frames.len() {
                        if t.looped {
                            l.frame = 0;
                        } else {
                            l.frame = t.frames.len() - 1; // tracks end in silence
                        }
                    }
                    let p = Some(t.frame(l.frame));
                    l.frame += 1;
                    p
                }
                None => match &l.spec.hello {
                    Some(h) if (l.sent_frames as usize) < 10 => {
                        Some(h.frame(l.sent_frames as usize % h.frames.len()))
                    }
                    _ => None,
                },
            };
            if let Some(p) = src {
                rtp::write_header(&mut out, l.pt, l.sent_frames == 0, l.seq, l.ts, l.ssrc);
                out[12..12 + p.len()].copy_from_slice(p);
                let b = &out[..12 + p.len()];
                let stamp = if l.spec.rec == Rec::All { net::real() } else { 0 };
                let r = if l.connected { net::send(l.fd, b) } else { net::send_to(l.fd, b, &l.sa) };
                if r < 0 {
                    if -r as i32 == libc::ECONNREFUSED {
                        l.refused += 1;
                        // the error belongs to an earlier packet; this one was not sent
                        let r2 = if l.connected {
                            net::send(l.fd, b)
                        } else {
                            net::send_to(l.fd, b, &l.sa)
                        };
                        if r2 < 0 {
                            l.tx_err += 1;
                        } else if now_rt >= w0 && now_rt < w1 {
                            l.tx_win += 1;
                        }
                    } else {
                        l.tx_err += 1;
                    }
                } else if now_rt >= w0 && now_rt < w1 {
                    l.tx_win += 1;
                }
                if stamp != 0 {
                    l.rec.tx.push((l.sent_frames, stamp));
                }
            }
            l.sent_frames += 1;
            l.seq = l.seq.wrapping_add(1);
            l.ts = l.ts.wrapping_add(l.step);
            // arrival times come from the kernel, so a few packets may wait in the socket
            if l.sent_frames % rx_every == l.id as u32 % rx_every || !l.connected {
                drain(l, s, &mut ctx, w0, w1, &mut hj, &mut hd);
            }
        }
        tick += 1;
    }
}

#[allow(clippy::too_many_arguments, reason = "a thread entry: what it owns, spelled out")]
#[inline]
fn drain(
    l: &mut Leg,
    s: &Shared,
    ctx: &mut RecvCtx,
    w0: i64,
    w1: i64,
    hj: &mut Hist,
    hd: &mut Hist,
) {
    let want = if l.spec.rec == Rec::No { 12 } else { 4096 };
    let mut spins = 0;
    loop {
        spins += 1;
        if spins > 100 {
            break;
        }
        let n = match ctx.recv(l.fd, want) {
            Ok(n) => n,
            Err(e) => {
                if e == libc::ECONNREFUSED {
                    l.refused += 1;
                    continue;
                }
                break;
            }
        };
        for k in 0..n {
            one(l, ctx, k, want, w0, w1, hj, hd);
        }
        if n < net::BATCH {
            break;
        }
    }
    s.rx_total.store(l.rx.total as u32, Relaxed);
}

#[allow(clippy::too_many_arguments, reason = "a thread entry: what it owns, spelled out")]
#[inline]
fn one(
    l: &mut Leg,
    ctx: &RecvCtx,
    k: usize,
    want: usize,
    w0: i64,
    w1: i64,
    hj: &mut Hist,
    hd: &mut Hist,
) {
    let (len, mut ts) = ctx.got(k);
    if ts == 0 {
        ts = net::real();
        l.no_ts += 1;
    }
    let in_win = ts >= w0 && ts < w1;
    let have = len.min(want);
    let b = ctx.data(k, have);
    let Some(h) = rtp::parse(b) else {
        if in_win && !(have >= 2 && (192..=223).contains(&b[1])) {
            l.rx.win.malformed += 1;
        }
        return;
    };
    if !l.connected {
        // once the server is seen to send from the address it announced, connect: cheaper
        if ctx.from(k) == net::from_sa(&l.sa) {
            if net::connect(l.fd, net::from_sa(&l.sa)) {
                l.connected = true;
            }
        } else {
            l.asym = true;
        }
    }
    if h.pt != l.pt && in_win {
        l.rx.win.other_pt += 1;
    }
    // comfort noise and events share the sequence space: tracked alike
    l.rx.packet(&h, len, ts, l.clock, in_win, hj, hd);
    let keep = match l.spec.rec {
        Rec::No => false,
        Rec::All => true,
        Rec::Window(max) => in_win && l.rec.pkts.len() < max,
    };
    if keep {
        let p = rtp::payload(b);
        let off = l.rec.data.len() as u32;
        l.rec.data.extend_from_slice(p);
        l.rec.pkts.push(RecPkt {
            arr: ts,
            seq: h.seq,
            pt: h.pt,
            ssrc: h.ssrc,
            off,
            len: p.len() as u16,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn slots_are_even() {
        for n in [40usize, 200, 1000, 5000] {
            let mut c = [0usize; 20];
            for i in 0..n {
                c[slot_of(i, 20)] += 1;
            }
            let (mn, mx) = (c.iter().min().unwrap(), c.iter().max().unwrap());
            assert!(mx - mn <= 4, "{n}: {mn}..{mx}");
        }
    }
    #[test]
    fn pack_roundtrip() {
        let a: SocketAddrV4 = "127.1.2.3:65000".parse().unwrap();
        assert_eq!(unpack(pack(a)), a);
    }
}
