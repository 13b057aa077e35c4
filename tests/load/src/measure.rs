//! Load runs: building the legs, the measuring window, the report, the capacity search.

use crate::args::Args;
use crate::codec::{Codec, Decoder, OpusCfg, Track, encode_track};
use crate::engine::{self, Engine, LegSpec, Rec, Recording, ThreadSnap};
use crate::net;
use crate::procstat::{self, Machine, Proc};
use crate::stats::{mean, num, percentile};
use crate::uac::{Signal, Uac, UacCfg};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub struct Load {
    pub rooms: usize,
    pub per_room: usize,
    pub talkers: usize,
    pub codecs: Vec<Codec>,
    pub silence: String,
    pub voices: usize,
    pub wav: Option<String>,
    pub clip_s: f64,
    pub ptime: u32,
    pub opus: OpusCfg,
    pub probes: usize,
}

impl Load {
    pub fn from(a: &Args) -> Result<Load, String> {
        Load::with_rooms(a, 1)
    }
    pub fn with_rooms(a: &Args, rooms: usize) -> Result<Load, String> {
        let codecs: Result<Vec<Codec>, String> =
            a.str("codec", "pcmu").split(',').map(Codec::parse).collect();
        let l = Load {
            rooms: a.get("rooms", rooms)?,
            per_room: a.get("per-room", 3)?,
            talkers: a.get("talkers", 1)?,
            codecs: codecs?,
            silence: a.str("silence", "encoded"),
            voices: a.get("voices", 2)?,
            wav: a.opt("wav").map(|s| s.to_string()),
            clip_s: a.get("clip", 12.0)?,
            ptime: a.get("ptime", 20)?,
            opus: OpusCfg {
                bitrate: a.get("opus-bitrate", 24000)?,
                complexity: a.get("opus-complexity", 9)?,
            },
            probes: a.get("probe-legs", 8)?,
        };
        if !["encoded", "none", "noise"].contains(&l.silence.as_str()) {
            return Err("--silence is encoded, none or noise".into());
        }
        if l.ptime == 0 || l.ptime > 120 {
            return Err("--ptime out of range".into());
        }
        Ok(l)
    }
    pub fn legs(&self) -> usize {
        self.rooms * self.per_room
    }
    pub fn voice(&self, v: usize) -> Result<Vec<f32>, String> {
        match &self.wav {
            Some(p) => {
                let (r, x) = crate::signal::read_wav(p)?;
                Ok(crate::dsp::resample(&x, r, 16000))
            }
            None => Ok(crate::signal::speech(16000, self.clip_s, v as u64 + 1)),
        }
    }
    /// Legs are numbered room by room in turn: leg i is in room i % rooms, so the rooms fill
    /// evenly while calls are being placed.
    pub fn specs(&self) -> Result<Vec<LegSpec>, String> {
        let mut voices: HashMap<(Codec, usize), Arc<Track>> = HashMap::new();
        let mut quiet: HashMap<Codec, Arc<Track>> = HashMap::new();
        let used: HashSet<Codec> = self.codecs.iter().copied().collect();
        let nv = if self.wav.is_some() { 1 } else { self.voices.max(1) };
        let pcm: Result<Vec<Vec<f32>>, String> =
            if self.talkers > 0 { (0..nv).map(|v| self.voice(v)).collect() } else { Ok(vec![]) };
        let pcm = pcm?;
        let still = match self.silence.as_str() {
            "noise" => crate::signal::noise(16000, 4.0, -60.0, 5),
            _ => vec![0.0; 32000],
        };
        for c in used {
            for (v, x) in pcm.iter().enumerate() {
                voices.insert((c, v), Arc::new(encode_track(c, x, self.ptime, true, self.opus)?));
            }
            quiet.insert(c, Arc::new(encode_track(c, &still, self.ptime, true, self.opus)?));
        }
        let n = self.legs();
        // probe legs: the last members of the first rooms, so that they are listeners if any are
        let mut probe: HashSet<usize> = HashSet::new();
        for k in 0..self.probes.min(n) {
            let room = k % self.rooms;
            let back = k / self.rooms;
            if back < self.per_room {
                probe.insert((self.per_room - 1 - back) * self.rooms + room);
            }
        }
        Ok((0..n)
            .map(|i| {
                let (room, member) = (i % self.rooms, i / self.rooms);
                let codec = self.codecs[member % self.codecs.len()];
                let talker = member < self.talkers;
                let (track, hello, start) = if talker {
                    let t = voices[&(codec, (room + member) % nv)].clone();
                    let start = crate::signal::Rng(i as u64 + 5).next() as usize % t.frames.len();
                    (Some(t), None, start)
                } else if self.silence == "none" {
                    (None, Some(quiet[&codec].clone()), 0)
                } else {
                    let t = quiet[&codec].clone();
                    let start = i * 7 % t.frames.len();
                    (Some(t), None, start)
                };
                LegSpec {
                    codec,
                    track,
                    start,
                    hello,
                    rec: if probe.contains(&i) { Rec::Window(500) } else { Rec::No },
                    talker,
                    room,
                }
            })
            .collect())
    }
    pub fn json(&self) -> Value {
        json!({
            "rooms": self.rooms, "per_room": self.per_room, "talkers": self.talkers,
            "codecs": self.codecs.iter().map(|c| c.name()).collect::<Vec<_>>(),
            "silence": self.silence, "ptime_ms": self.ptime, "wav": self.wav.is_some(),
        })
    }
}

/// Outside the RTP ranges common servers are set to (10000-14999, 20000-59999), outside the
/// ephemeral range and the usual SIP ports: 6,700 legs.
const RTP_PORTS: &str = "15000-19998,1200-4998,5300-9998";

/// `rt`: real-time priority of the RTP threads unless --rt says otherwise
pub fn engine_cfg(a: &Args, ptime: u32, rt: i32) -> Result<engine::Cfg, String> {
    let mut ports = vec![];
    for r in a.str("rtp-ports", RTP_PORTS).split(',') {
        let (x, y) = r.split_once('-').ok_or("--rtp-ports: low-high[,low-high...]")?;
        let x: u16 = x.trim().parse().map_err(|_| "--rtp-ports: number")?;
        let y: u16 = y.trim().parse().map_err(|_| "--rtp-ports: number")?;
        if y < x + 3 {
            return Err("--rtp-ports: range too small".into());
        }
        ports.push((x, y));
    }
    let slots: u32 = a.get("slots", ptime)?;
    Ok(engine::Cfg {
        ip: crate::uac::ip(&a.str("local-ip", "127.0.0.1"))?,
        ports,
        ptime,
        slots: slots.max(1),
        threads: a.get("threads", 1)?,
        rt_prio: a.get("rt", rt)?,
        rtcp_socks: !a.flag("no-rtcp-sock"),
        rcvbuf: a.get("rcvbuf", 0)?,
        rx_every: a.get("rx-every", 2)?,
    })
}

pub fn uac_cfg(a: &Args, ptime: u32) -> Result<UacCfg, String> {
    let target = a.opt("target").ok_or("--target ip:port is needed")?;
    let target = target.parse().map_err(|_| format!("--target: not ip:port: {target}"))?;
    let ip = crate::uac::ip(&a.str("local-ip", "127.0.0.1"))?;
    Ok(UacCfg {
        target,
        uri: a.str("uri", &format!("sip:conf-{{room}}@{target}")),
        local: std::net::SocketAddrV4::new(ip, a.get("sip-port", 0)?),
        user: a.opt("user").map(|s| s.into()),
        password: a.opt("password").map(|s| s.into()),
        from_user: a.opt("from-user").map(|s| s.into()),
        setup_timeout_s: a.get("setup-timeout", 32.0)?,
        dtmf: !a.flag("no-dtmf"),
        rtcp_mux: a.flag("rtcp-mux"),
        ptime,
        room_base: a.get("room-base", 1)?,
        verbose: a.flag("verbose"),
        max_pending: a.get("max-pending", 1000)?,
    })
}

/// SIP or Janus, by the command line.
pub fn signal(a: &Args, eng: &Engine, ptime: u32) -> Result<Box<dyn Signal>, String> {
    if a.opt("janus").is_some() {
        Ok(Box::new(crate::janus::Janus::new(crate::janus::cfg(a, ptime)?, eng)?))
    } else {
        Ok(Box::new(Uac::new(uac_cfg(a, ptime)?, eng)?))
    }
}

pub fn pids(a: &Args) -> Result<Vec<i32>, String> {
    a.all("server-pid")
        .iter()
        .flat_map(|s| s.split(',').map(|x| x.to_string()).collect::<Vec<_>>())
        .map(|p| {
            let n: i32 = p.trim().parse().map_err(|_| format!("--server-pid: {p}"))?;
            if !std::path::Path::new(&format!("/proc/{n}/stat")).exists() {
                return Err(format!("--server-pid {n}: no such process"));
            }
            Ok(n)
        })
        .collect()
}

/// Scheduling of the generator itself.
pub fn own_placement(a: &Args) -> Result<(), String> {
    if let Some(l) = a.opt("cpus") {
        let v: Result<Vec<usize>, _> = l.split(',').map(|x| x.trim().parse()).collect();
        if !net::set_cpus(&v.map_err(|_| "--cpus: list of CPU numbers")?) {
            return Err("--cpus: not accepted".into());
        }
    }
    if let Some(n) = a.opt("nice") {
        let n: i32 = n.parse().map_err(|_| "--nice: number")?;
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, n) };
    }
    Ok(())
}

pub struct Measured {
    pub secs: f64,
    pub legs: Vec<usize>,
    pub snap: ThreadSnap,
    pub p0: Proc,
    pub p1: Proc,
    pub rss_max_kb: u64,
    pub cpu_per_s: Vec<f64>,
    pub m0: Machine,
    pub m1: Machine,
    pub gen_cpu_ns: i64,
    pub rtp_cpu_ns: i64,
    pub gen_ctx: i64,
    pub server_drops: u64,
    pub own_drops: u64,
    pub recs: Vec<(usize, Recording)>,
    pub ptimes: HashMap<usize, u32>,
}

fn own_ctx() -> i64 {
    unsafe {
        let mut r: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut r);
        r.ru_nvcsw + r.ru_nivcsw
    }
}

/// Open a window of `secs` and sample everything at its two ends.
pub fn measure(eng: &mut Engine, sig: &mut dyn Signal, pids: &[i32], secs: f64) -> Measured {
    let d0 = procstat::udp_drops();
    let start = net::mono() + 150_000_000;
    let off = net::real() - net::mono();
    let len = (secs * 1e9) as i64;
    eng.window(start + off, start + off + len);
    sig.pump(eng, start, false);
    let up0 = sig.up();
    let t0 = net::mono();
    let p0 = procstat::proc_sample(pids, true);
    let m0 = procstat::machine();
    let (g0, r0, c0) = (net::process_cpu(), eng.cpu(), own_ctx());
    let mut rss = p0.rss_kb;
    let mut cpu_per_s = vec![];
    let mut last = (t0, p0.cpu_ns);
    let mut k = 1;
    while start + k * 1_000_000_000 < start + len {
        sig.pump(eng, start + k * 1_000_000_000, false);
        let p = procstat::proc_sample(pids, false);
        let now = net::mono();
        rss = rss.max(p.rss_kb);
        cpu_per_s.push((p.cpu_ns - last.1) as f64 / (now - last.0) as f64);
        last = (now, p.cpu_ns);
        k += 1;
    }
    sig.pump(eng, start + len, false);
    let t1 = net::mono();
    let (g1, r1, c1) = (net::process_cpu(), eng.cpu(), own_ctx());
    let p1 = procstat::proc_sample(pids, true);
    let m1 = procstat::machine();
    rss = rss.max(p1.rss_kb);
    sig.pump(eng, start + len + 300_000_000, false);
    let snap = eng.snapshot();
    let recs = eng.take_recordings();
    let d1 = procstat::udp_drops();
    let up1: HashSet<usize> = sig.up().into_iter().collect();
    let legs: Vec<usize> = up0.into_iter().filter(|l| up1.contains(l)).collect();
    let srv: HashSet<u16> =
        legs.iter().filter_map(|l| eng.legs[*l].remote_addr()).map(|a| a.port()).collect();
    let own: HashSet<u16> = legs.iter().map(|l| eng.local_port(*l)).collect();
    let ptimes = legs.iter().filter_map(|l| sig.ptime(*l).map(|p| (*l, p))).collect();
    Measured {
        secs: (t1 - t0) as f64 / 1e9,
        legs,
        snap,
        p0,
        p1,
        rss_max_kb: rss,
        cpu_per_s,
        m0,
        m1,
        gen_cpu_ns: g1 - g0,
        rtp_cpu_ns: r1 - r0,
        gen_ctx: c1 - c0,
        server_drops: procstat::drops_diff(&d0, &d1, &srv),
        own_drops: procstat::drops_diff(&d0, &d1, &own),
        recs,
        ptimes,
    }
}

/// Figures drawn from a window.
pub struct Figures {
    pub json: Value,
    pub participants: usize,
    pub legs_below_99: usize,
    pub legs_lossy: usize,
    pub jitter_p99_ms: f64,
    pub server_cores: f64,
    pub gen_saturated: Option<String>,
    pub machine_idle: f64,
    pub text: String,
}

pub const LOSS_LIMIT: f64 = 0.005;

pub fn figures(eng: &Engine, m: &Measured, win_secs: f64, base_rss_kb: u64) -> Figures {
    let n = m.legs.len();
    let by: HashMap<usize, &engine::LegSnap> = m.snap.legs.iter().map(|l| (l.id, l)).collect();
    let mut frac = vec![];
    let (
        mut rx,
        mut tx,
        mut lost,
        mut gaps,
        mut dup,
        mut reord,
        mut ssrc,
        mut tsj,
        mut resets,
        mut opt,
        mut malf,
    ) = (0u64, 0u64, 0i64, 0u64, 0u64, 0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
    let (mut txerr, mut refused, mut asym, mut nots, mut bytes) = (0u64, 0u64, 0usize, 0u64, 0u64);
    let (mut below99, mut below95, mut zero, mut lossy) = (0, 0, 0, 0);
    let mut legj = vec![];
    let mut legjmax = 0.0f64;
    let mut maxgap = vec![];
    let mut tx_expected = 0.0;
    let mut rate_hz = vec![];
    let mut steps: HashMap<u32, usize> = HashMap::new();
    for id in &m.legs {
        let Some(l) = by.get(id) else { continue };
        let w = &l.win;
        let pt = *m.ptimes.get(id).unwrap_or(&eng.ptime);
        let exp = (win_secs * 1000.0 / pt as f64).max(1.0);
        // one packet of tolerance: the window may cut a packet interval
        let f = if w.recv as f64 >= exp - 1.0 {
            (w.recv as f64 / exp).max(1.0)
        } else {
            w.recv as f64 / exp
        };
        frac.push(f);
        rate_hz.push(w.recv as f64 / win_secs);
        rx += w.recv;
        tx += l.tx;
        bytes += w.bytes;
        lost += w.lost;
        gaps += w.gap_events;
        dup += w.dup;
        reord += w.reorder;
        ssrc += w.ssrc_changes;
        tsj += w.ts_jumps;
        resets += w.seq_resets;
        opt += w.other_pt;
        malf += w.malformed;
        txerr += l.tx_err;
        refused += l.refused;
        nots += l.no_ts;
        asym += l.asym as usize;
        if f < 0.99 {
            below99 += 1;
        }
        if f < 0.95 {
            below95 += 1;
        }
        if w.recv == 0 {
            zero += 1;
        }
        // a leg is lossy when packets are missing by number or simply did not come
        let miss = (1.0 - f).max(w.lost.max(0) as f64 / exp);
        if miss > LOSS_LIMIT {
            lossy += 1;
        }
        if w.recv > 1 {
            legj.push(w.sum_jitter_ns / (w.recv - 1) as f64 / 1e6);
            legjmax = legjmax.max(w.max_jitter_ns);
            maxgap.push(w.max_gap_ns as f64 / 1e6);
        }
        if eng.specs[*id].track.is_some() {
            tx_expected += win_secs * 1000.0 / eng.ptime as f64;
        }
        *steps.entry(l.step * 1000 / eng.specs[*id].codec.clock().max(1)).or_insert(0) += 1;
    }
    let cpu_ms = (m.p1.cpu_ns - m.p0.cpu_ns) as f64 / 1e6;
    let cores = cpu_ms / 1000.0 / m.secs;
    let per_part = if n > 0 { cpu_ms / (n as f64 * m.secs) } else { f64::NAN };
    let late_p99 = m.snap.late.pct(99.0) / 1e6;
    let late_max = m.snap.late.max() as f64 / 1e6;
    let rtp_cores = m.rtp_cpu_ns as f64 / 1e9 / m.secs;
    let tx_frac = if tx_expected > 0.0 { tx as f64 / tx_expected } else { 1.0 };
    let dt: u64 = (0..8).map(|i| m.m1.cpu[i] - m.m0.cpu[i]).sum();
    let share = |i: usize| (m.m1.cpu[i] - m.m0.cpu[i]) as f64 / dt.max(1) as f64;
    let ncpu = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } as f64;
    let hz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    // the idle time is kept exactly by the kernel, user and system time only by sampling at the
    // tick (which short bursts can dodge): busy is what is not idle of the wall time
    let idle_s = (m.m1.cpu[3] + m.m1.cpu[4] - m.m0.cpu[3] - m.m0.cpu[4]) as f64 / hz;
    let idle = (idle_s / (ncpu * m.secs)).min(1.0);
    let known = cpu_ms / 1000.0 / m.secs + m.gen_cpu_ns as f64 / 1e9 / m.secs;
    let mut sat: Vec<String> = vec![];
    if late_p99 > 5.0 {
        sat.push(format!("send schedule late: p99 {late_p99:.1} ms"));
    }
    if rtp_cores > 0.95 * eng.threads() as f64 {
        sat.push(format!("RTP threads use {rtp_cores:.2} of {} cores", eng.threads()));
    }
    if tx_frac < 0.995 {
        sat.push(format!("only {:.2} % of the packets due were sent", tx_frac * 100.0));
    }
    if m.own_drops > 0 {
        sat.push(format!("{} packets dropped in the generator's sockets", m.own_drops));
    }
    let gen_saturated = if sat.is_empty() { None } else { Some(sat.join("; ")) };
    let jp99 = m.snap.jitter.pct(99.0) / 1e6;
    // audio heard by the probe legs
    let probes: Vec<Value> =
        m.recs.iter().filter(|r| m.legs.contains(&r.0)).map(|(id, r)| probe(eng, *id, r)).collect();
    let deaf = probes.iter().filter(|p| p["expects_audio"] == true && p["heard"] == false).count();
    let rtt = |v: &Vec<f64>, p| num(percentile(v, p), 3);
    let per_rss = |kb: u64| num((kb as f64 - base_rss_kb as f64) / n.max(1) as f64, 2);
    let json = json!({
        "participants": n,
        "window_s": num(m.secs, 3),
        "server": {
            "cpu_ms_per_participant_second": num(per_part, 5),
            "cores_used": num(cores, 4),
            "participants_per_core": num(if cores > 0.0 { n as f64 / cores } else { f64::NAN }, 1),
            "user_share": num((m.p1.user_ms - m.p0.user_ms) / ((m.p1.user_ms - m.p0.user_ms) + (m.p1.sys_ms - m.p0.sys_ms)).max(1e-9), 3),
            "cpu_from_ticks_cores": num((m.p1.user_ms + m.p1.sys_ms - m.p0.user_ms - m.p0.sys_ms) / 1000.0 / m.secs, 4),
            "cores_per_second_min": num(m.cpu_per_s.iter().cloned().fold(f64::INFINITY, f64::min), 4),
            "cores_per_second_max": num(m.cpu_per_s.iter().cloned().fold(f64::NEG_INFINITY, f64::max), 4),
            "rss_kb_start": base_rss_kb, "rss_kb": m.p1.rss_kb, "rss_kb_max_seen": m.rss_max_kb, "hwm_kb": m.p1.hwm_kb,
            "rss_kb_per_participant": per_rss(m.p1.rss_kb),
            "rss_kb_total_over_participants": num(m.p1.rss_kb as f64 / n.max(1) as f64, 2),
            "rss_growth_kb_in_window": m.p1.rss_kb as i64 - m.p0.rss_kb as i64,
            "threads": m.p1.threads,
            "context_switches_per_s": num((m.p1.ctx as f64 - m.p0.ctx as f64) / m.secs, 1),
            "processes_alive": m.p1.alive,
            "socket_drops": m.server_drops,
        },
        "generator": {
            "cores_used": num(m.gen_cpu_ns as f64 / 1e9 / m.secs, 4),
            "rtp_threads": eng.threads(), "rtp_realtime": eng.realtime(),
            "rtp_cores_used": num(rtp_cores, 4),
            "cpu_ms_per_participant_second": num(m.gen_cpu_ns as f64 / 1e6 / (n.max(1) as f64 * m.secs), 5),
            "context_switches_per_s": num(m.gen_ctx as f64 / m.secs, 1),
            "late_ms": {"p50": num(m.snap.late.pct(50.0) / 1e6, 3), "p99": num(late_p99, 3), "max": num(late_max, 3)},
            "slots_late_over_one_interval": m.snap.slots_missed,
            "sent_of_due": num(tx_frac, 5),
            "send_errors": txerr, "connection_refused": refused,
            "socket_drops": m.own_drops, "without_kernel_timestamp": nots,
            "saturated": gen_saturated,
        },
        "machine": {
            "cpus": ncpu, "idle": num(idle, 4), "busy_cores": num((1.0 - idle) * ncpu, 3),
            "busy_cores_of_others": num(((1.0 - idle) * ncpu - known).max(0.0), 3),
            "sampled_user": num(share(0) + share(1), 4), "sampled_system": num(share(2), 4), "sampled_softirq": num(share(6), 4), "sampled_steal": num(share(7), 4),
            "context_switches_per_s": num((m.m1.ctxt - m.m0.ctxt) as f64 / m.secs, 1),
            "udp_in_errors": m.m1.udp_in_errors - m.m0.udp_in_errors,
            "udp_rcvbuf_errors": m.m1.udp_rcvbuf_errors - m.m0.udp_rcvbuf_errors,
            "udp_sndbuf_errors": m.m1.udp_sndbuf_errors - m.m0.udp_sndbuf_errors,
            "udp_no_ports": m.m1.udp_no_ports - m.m0.udp_no_ports,
        },
        "quality": {
            "packets_sent": tx, "packets_received": rx, "bytes_received": bytes,
            "received_of_expected": {"mean": num(mean(&frac), 5), "min": rtt(&frac, 0.0), "p1": rtt(&frac, 1.0), "p50": rtt(&frac, 50.0), "max": rtt(&frac, 100.0)},
            "packets_per_second_per_leg": {"min": rtt(&rate_hz, 0.0), "p50": rtt(&rate_hz, 50.0), "max": rtt(&rate_hz, 100.0)},
            "legs_below_99pct": below99, "legs_below_95pct": below95, "legs_receiving_nothing": zero,
            "legs_over_0_5pct_missing": lossy,
            "sequence_missing": lost, "gap_events": gaps, "duplicates": dup, "reordered": reord, "sequence_restarts": resets,
            "loss_fraction": num(lost.max(0) as f64 / (rx as f64 + lost.max(0) as f64).max(1.0), 6),
            "timestamp_jumps": tsj, "ssrc_changes": ssrc, "other_payload_type": opt, "malformed": malf,
            "timestamp_step_ms": steps.iter().map(|(k, v)| (k.to_string(), json!(v))).collect::<serde_json::Map<_, _>>(),
            "legs_heard_from_other_address": asym,
            "jitter_ms": {"p50": num(m.snap.jitter.pct(50.0) / 1e6, 4), "p99": num(jp99, 4), "max": num(legjmax / 1e6, 4)},
            "leg_mean_jitter_ms": {"p50": rtt(&legj, 50.0), "p99": rtt(&legj, 99.0), "max": rtt(&legj, 100.0)},
            "interarrival_deviation_ms": {"p50": num(m.snap.dev.pct(50.0) / 1e6, 4), "p99": num(m.snap.dev.pct(99.0) / 1e6, 4), "p99_9": num(m.snap.dev.pct(99.9) / 1e6, 4), "max": num(m.snap.dev.max() as f64 / 1e6, 3)},
            "longest_gap_ms": {"p50": rtt(&maxgap, 50.0), "p99": rtt(&maxgap, 99.0), "max": rtt(&maxgap, 100.0)},
        },
        "audio_probe": {"legs": probes, "legs_expected_audio_but_silent": deaf},
    });
    let text = format!(
        "participants {n}  window {:.1} s\n\
         server     {:.3} cores  {per_part:.4} CPU-ms per participant-second  {:.0} participants/core  RSS {:.1} MB ({:.1} kB/participant)  threads {}\n\
         generator  {:.3} cores  late p99 {late_p99:.2} ms max {late_max:.2} ms  sent {:.3} % of due{}\n\
         machine    {:.2} of {ncpu} cores busy ({:.2} by others)\n\
         received   {:.3} % of expected (worst leg {:.2} %)  legs < 99 %: {below99}  silent legs: {zero}\n\
         loss {lost} (gaps {gaps})  dup {dup}  reorder {reord}  ts jumps {tsj}  ssrc changes {ssrc}  server socket drops {}\n\
         jitter ms  p50 {:.3}  p99 {:.3}  max {:.3}   longest gap {:.1} ms\n\
         audio      {} probe legs, {deaf} silent though a talker is in the room\n",
        m.secs,
        cores,
        if cores > 0.0 { n as f64 / cores } else { f64::NAN },
        m.p1.rss_kb as f64 / 1024.0,
        (m.p1.rss_kb as f64 - base_rss_kb as f64) / n.max(1) as f64,
        m.p1.threads,
        m.gen_cpu_ns as f64 / 1e9 / m.secs,
        tx_frac * 100.0,
        gen_saturated
            .as_ref()
            .map(|s| format!("\n           GENERATOR SATURATED: {s}"))
            .unwrap_or_default(),
        (1.0 - idle) * ncpu,
        ((1.0 - idle) * ncpu - known).max(0.0),
        mean(&frac) * 100.0,
        percentile(&frac, 0.0) * 100.0,
        m.server_drops,
        m.snap.jitter.pct(50.0) / 1e6,
        jp99,
        legjmax / 1e6,
        percentile(&maxgap, 100.0),
        probes.len(),
    );
    Figures {
        json,
        participants: n,
        legs_below_99: below99,
        legs_lossy: lossy,
        jitter_p99_ms: jp99,
        server_cores: cores,
        gen_saturated,
        machine_idle: idle,
        text,
    }
}

/// Decode what a probe leg received and state its level.
fn probe(eng: &Engine, id: usize, r: &Recording) -> Value {
    let s = &eng.specs[id];
    let pt = eng.legs[id].pt.load(std::sync::atomic::Ordering::Acquire);
    let mut d = match Decoder::new(s.codec, 48000) {
        Ok(d) => d,
        Err(e) => return json!({"leg": id, "error": e}),
    };
    let mut pcm = vec![];
    for p in &r.pkts {
        if p.pt == pt {
            d.decode(&r.data[p.off as usize..p.off as usize + p.len as usize], &mut pcm);
        }
    }
    let f: Vec<f32> = pcm.iter().map(|v| *v as f32 / 32768.0).collect();
    let fs = s.codec.pcm_rate() as usize / 50;
    let lv: Vec<f64> = f.chunks_exact(fs).map(crate::dsp::rms_db).collect();
    let active = lv.iter().filter(|l| **l > -45.0).count();
    let room_talkers = eng
        .specs
        .iter()
        .enumerate()
        .filter(|(i, x)| x.room == s.room && x.talker && *i != id)
        .count();
    json!({
        "leg": id, "codec": s.codec.name(), "packets": r.pkts.len(),
        "expects_audio": room_talkers > 0,
        "heard": active * 10 > lv.len(),
        "active_share": num(active as f64 / lv.len().max(1) as f64, 3),
        "p95_level_dbfs": num(percentile(&lv, 95.0), 1),
    })
}

pub fn setup_json(sig: &dyn Signal, asked: usize) -> Value {
    let s = sig.setup_ms();
    let span = sig.setup_span();
    json!({
        "calls_asked": asked,
        "calls_answered": s.len(),
        "calls_up": sig.up().len(),
        "failures": sig.failures(),
        "ended_by_server": sig.dropped(),
        "setup_ms": {"p50": num(percentile(&s, 50.0), 2), "p99": num(percentile(&s, 99.0), 2), "max": num(percentile(&s, 100.0), 2)},
        "setup_rate_per_s": num(if span > 0.0 { (s.len() as f64 - 1.0).max(0.0) / span } else { f64::NAN }, 1),
        "signalling": sig.extra(),
    })
}

pub fn failed_count(sig: &dyn Signal) -> usize {
    sig.failures().iter().filter(|(k, _)| !k.starts_with("bye")).map(|x| x.1).sum()
}

/// Place calls and wait until all are decided.
pub fn place(eng: &mut Engine, sig: &mut dyn Signal, legs: &[usize], cps: f64) {
    sig.start(legs, cps);
    let limit = net::mono() + ((legs.len() as f64 / cps + 40.0) * 1e9) as i64;
    sig.pump(eng, limit, true);
}

/// Calls ended per second unless `--bye-rate` says otherwise.
pub const BYE_RATE: f64 = 500.0;

pub fn end_all(eng: &mut Engine, sig: &mut dyn Signal, rate: f64) {
    let up = sig.up();
    sig.hangup(eng, &up, rate);
    let limit = net::mono() + ((up.len() as f64 / rate + 7.0) * 1e9) as i64;
    sig.pump(eng, limit, true);
}

pub fn write_json(path: Option<&str>, v: &Value) -> Result<(), String> {
    if let Some(p) = path {
        std::fs::write(p, serde_json::to_string_pretty(v).unwrap() + "\n")
            .map_err(|e| format!("{p}: {e}"))?;
    }
    Ok(())
}

pub fn run(a: &Args) -> Result<Value, String> {
    let load = Load::from(a)?;
    let secs: f64 = a.get("seconds", 10.0)?;
    let warm: f64 = a.get("warmup", 3.0)?;
    let cps: f64 = a.get("cps", 50.0)?;
    let bye_rate: f64 = a.get("bye-rate", BYE_RATE)?;
    let pids = pids(a)?;
    own_placement(a)?;
    let path = a.opt("json").map(|s| s.to_string());
    let specs = load.specs()?;
    let n = specs.len();
    let mut eng = Engine::new(specs, engine_cfg(a, load.ptime, 10)?)?;
    let mut sig = signal(a, &eng, load.ptime)?;
    a.check()?;
    let base = procstat::proc_sample(&pids, false).rss_kb;
    let legs: Vec<usize> = (0..n).collect();
    place(&mut eng, sig.as_mut(), &legs, cps);
    let t = net::mono() + (warm * 1e9) as i64;
    sig.pump(&mut eng, t, false);
    let m = measure(&mut eng, sig.as_mut(), &pids, secs);
    let f = figures(&eng, &m, secs, base);
    let setup = setup_json(sig.as_ref(), n);
    end_all(&mut eng, sig.as_mut(), bye_rate);
    sig.pump(&mut eng, net::mono() + 500_000_000, false);
    let after = procstat::proc_sample(&pids, false);
    let v = json!({
        "tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": "run",
        "label": a.str("label", ""),
        "load": load.json(),
        "setup": setup,
        "window": f.json,
        "after_hangup": {"rss_kb": after.rss_kb, "threads": after.threads, "still_up": sig.up().len(), "failures": sig.failures()},
    });
    crate::say!(
        "calls {}/{} up, failures {:?}, setup ms p50 {} p99 {} max {}, {} calls/s",
        m.legs.len(),
        n,
        sig.failures(),
        v["setup"]["setup_ms"]["p50"],
        v["setup"]["setup_ms"]["p99"],
        v["setup"]["setup_ms"]["max"],
        v["setup"]["setup_rate_per_s"]
    );
    crate::say!("{}", f.text.trim_end());
    write_json(path.as_deref(), &v)?;
    Ok(v)
}

/// Why a step fails the quality thresholds (empty: it passes).
pub fn broken(f: &Figures, failures: usize, dropped: usize, jit_limit_ms: f64) -> Vec<String> {
    let mut why = vec![];
    if failures > 0 {
        why.push(format!("{failures} calls failed"));
    }
    if dropped > 0 {
        why.push(format!("{dropped} calls ended by the server"));
    }
    if f.participants > 0 && f.legs_lossy as f64 > 0.01 * f.participants as f64 {
        why.push(format!(
            "{} of {} legs miss more than 0.5 % of their packets",
            f.legs_lossy, f.participants
        ));
    }
    if f.jitter_p99_ms > jit_limit_ms {
        why.push(format!("receive jitter p99 {:.1} ms", f.jitter_p99_ms));
    }
    why
}

pub fn capacity(a: &Args) -> Result<Value, String> {
    let mut load = Load::from(a)?;
    let secs: f64 = a.get("seconds", 8.0)?;
    let warm: f64 = a.get("warmup", 2.0)?;
    let cps: f64 = a.get("cps", 100.0)?;
    let bye_rate: f64 = a.get("bye-rate", BYE_RATE)?;
    let max: usize = a.get("max", 2000)?;
    let first: usize = a.get("start", 100)?;
    let step: usize = a.get("step", 0)?;
    let factor: f64 = a.get("factor", 1.3)?;
    let fine: usize = a.get("refine", 2)?;
    let jl: f64 = a.get("jitter-limit", 20.0)?;
    let pids = pids(a)?;
    own_placement(a)?;
    let path = a.opt("json").map(|s| s.to_string());
    // rooms of --per-room participants; a leg's room is leg / per_room here, so that the
    // rooms fill one after the other while participants are added
    let per = load.per_room.max(1);
    // twice as many legs as needed: legs hung up while refining are not used again
    load.rooms = (2 * max).div_ceil(per);
    let mut specs = load.specs()?;
    // reorder: from room-interleaved to room-by-room
    let rooms = load.rooms;
    let mut v = Vec::with_capacity(specs.len());
    for r in 0..rooms {
        for k in 0..per {
            v.push(specs[k * rooms + r].clone());
        }
    }
    specs = v;
    for (i, s) in specs.iter_mut().enumerate() {
        s.rec = if i >= per && i < per + load.probes.min(per) || i < load.probes.min(per) {
            Rec::Window(500)
        } else {
            Rec::No
        };
    }
    let total = specs.len();
    let max = max.min(total);
    let mut eng = Engine::new(specs, engine_cfg(a, load.ptime, 10)?)?;
    let mut sig = signal(a, &eng, load.ptime)?;
    a.check()?;
    let base = procstat::proc_sample(&pids, false).rss_kb;
    let mut placed = 0usize;
    let mut live = 0usize;
    let mut target = first.min(max);
    let mut steps: Vec<Value> = vec![];
    let mut good: Option<(usize, f64)> = None;
    let mut bad: Option<(usize, Vec<String>, bool)> = None;
    let mut seen_fail = 0;
    let mut seen_drop = 0;
    let mut refine_left = fine;
    loop {
        if target > live {
            // legs once hung up are not used again; take fresh ones
            let add = (target - live).min(total - placed);
            let legs: Vec<usize> = (placed..placed + add).collect();
            placed += add;
            place(&mut eng, sig.as_mut(), &legs, cps);
        } else if target < live {
            let up = sig.up();
            let drop: Vec<usize> = up[target.min(up.len())..].to_vec();
            sig.hangup(&mut eng, &drop, 300.0);
            let lim = net::mono() + 8_000_000_000;
            sig.pump(&mut eng, lim, true);
        }
        live = sig.up().len();
        let t = net::mono() + (warm * 1e9) as i64;
        sig.pump(&mut eng, t, false);
        let m = measure(&mut eng, sig.as_mut(), &pids, secs);
        let f = figures(&eng, &m, secs, base);
        let nf = failed_count(sig.as_ref());
        let nd = sig.dropped();
        let why = broken(&f, nf - seen_fail, nd - seen_drop, jl);
        seen_fail = nf;
        seen_drop = nd;
        let limited = f.gen_saturated.clone();
        crate::say!(
            "{:5} participants: server {:.3} cores, machine idle {:.1} %, jitter p99 {:.2} ms, lossy legs {}, below 99 %: {} -> {}{}",
            f.participants,
            f.server_cores,
            f.machine_idle * 100.0,
            f.jitter_p99_ms,
            f.legs_lossy,
            f.legs_below_99,
            if why.is_empty() { "ok".to_string() } else { why.join("; ") },
            limited.as_ref().map(|g| format!(" [generator: {g}]")).unwrap_or_default()
        );
        steps.push(json!({"target": target, "participants": f.participants, "broken": why, "generator_saturated": limited, "window": f.json}));
        let ok = why.is_empty() && limited.is_none();
        if ok {
            good = Some((f.participants, f.server_cores));
        } else {
            bad = Some((f.participants, why, limited.is_some()));
        }
        let next = if ok {
            match &bad {
                // refining: between the best good and the least bad
                Some((b, ..)) if refine_left > 0 => {
                    refine_left -= 1;
                    (live + *b) / 2
                }
                Some(_) => break,
                None => {
                    if target >= max {
                        break;
                    }
                    (if step > 0 {
                        target + step
                    } else {
                        ((target as f64 * factor).ceil() as usize).max(target + per)
                    })
                    .min(max)
                }
            }
        } else {
            if refine_left == 0 {
                break;
            }
            refine_left -= 1;
            let g = good.map(|g| g.0).unwrap_or(0);
            (g + live) / 2
        };
        if next == live || next == 0 || (next > live && placed >= total) || target == next {
            break;
        }
        target = next;
    }
    end_all(&mut eng, sig.as_mut(), bye_rate);
    let (limit, reason) = match &bad {
        None => ("none", format!("not reached within --max {max}")),
        Some((n, why, limited)) => {
            if *limited && why.is_empty() {
                ("generator", format!("generator saturated at {n}"))
            } else if *limited {
                (
                    "server or generator",
                    format!(
                        "at {n}: {} (the generator was saturated too, so this may be the machine's limit)",
                        why.join("; ")
                    ),
                )
            } else {
                ("server", format!("at {n}: {}", why.join("; ")))
            }
        }
    };
    let v = json!({
        "tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": "capacity", "label": a.str("label", ""),
        "load": load.json(),
        "capacity": good.map(|g| g.0),
        "server_cores_at_capacity": good.map(|g| num(g.1, 3)),
        "limited_by": limit,
        "reason": reason,
        "setup": setup_json(sig.as_ref(), placed),
        "steps": steps,
    });
    crate::say!(
        "capacity {:?} ({} server cores), limited by {limit}: {reason}",
        good.map(|g| g.0),
        good.map(|g| format!("{:.3}", g.1)).unwrap_or_default()
    );
    write_json(path.as_deref(), &v)?;
    Ok(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn specs_fill_rooms_evenly_and_mark_talkers() {
        let l = Load {
            rooms: 4,
            per_room: 5,
            talkers: 2,
            codecs: vec![Codec::Pcmu, Codec::G722],
            silence: "encoded".into(),
            voices: 2,
            wav: None,
            clip_s: 1.0,
            ptime: 20,
            opus: OpusCfg::default(),
            probes: 8,
        };
        let s = l.specs().unwrap();
        assert_eq!(s.len(), 20);
        for r in 0..4 {
            assert_eq!(s.iter().filter(|x| x.room == r).count(), 5);
            assert_eq!(s.iter().filter(|x| x.room == r && x.talker).count(), 2);
            assert_eq!(s.iter().filter(|x| x.room == r && x.codec == Codec::G722).count(), 2);
        }
        let p: Vec<usize> =
            s.iter().enumerate().filter(|x| x.1.rec != Rec::No).map(|x| x.0).collect();
        assert_eq!(p.len(), 8);
        assert!(p.iter().all(|i| !s[*i].talker));
    }
}
