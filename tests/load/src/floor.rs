//! The cheapest userspace UDP reflectors: what a bridge cannot undercut with kernel sockets.

use crate::args::Args;
use crate::engine::Engine;
use crate::measure::{self, Load};
use crate::net;
use crate::procstat;
use crate::uac::{Signal, Static};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;
use std::process::{Command, Stdio};

pub const MODES: [&str; 4] = ["epoll", "tick", "shared", "shared-tick"];

/// Child process: print the ports, reflect until stdin closes.
pub fn reflector(a: &Args) -> Result<(), String> {
    let legs: usize = a.get("legs", 100)?;
    let mode = a.str("mode", "epoll");
    let ptime: i64 = a.get("ptime", 20)?;
    let ip: Ipv4Addr = crate::uac::ip(&a.str("local-ip", "127.0.0.1"))?;
    a.check()?;
    net::raise_nofile(legs as u64 + 64)?;
    // end with the parent
    std::thread::spawn(|| {
        let mut b = [0u8; 64];
        let mut si = std::io::stdin();
        while let Ok(n) = si.read(&mut b) {
            if n == 0 {
                break;
            }
        }
        std::process::exit(0);
    });
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    let count = if mode.starts_with("shared") { 1 } else { legs };
    let mut fds = vec![];
    let mut line = String::new();
    for _ in 0..count {
        let fd = net::udp(SocketAddrV4::new(ip, 0), if count == 1 { 16 << 20 } else { 0 })
            .map_err(|e| e.to_string())?;
        if count == 1 {
            net::setopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 16 << 20);
        }
        line.push_str(&format!(" {}", net::local(fd).port()));
        fds.push(fd);
    }
    println!("PORTS{line}");
    let _ = std::io::stdout().flush();
    match mode.as_str() {
        "epoll" => by_epoll(&fds),
        "tick" => by_tick(&fds, ptime),
        "shared" => shared(fds[0], false),
        "shared-tick" => shared(fds[0], true),
        _ => Err(format!("--mode is one of {MODES:?}")),
    }
}

/// Take one packet from a socket and send it back; the first packet fixes the peer.
#[inline]
fn bounce(fd: RawFd, connected: &mut bool, buf: &mut [u8]) -> bool {
    unsafe {
        if *connected {
            let n = libc::recv(fd, buf.as_mut_ptr() as *mut _, buf.len(), libc::MSG_DONTWAIT);
            if n <= 0 {
                return false;
            }
            libc::send(
                fd,
                buf.as_ptr() as *const _,
                n as usize,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            );
        } else {
            let mut sa: libc::sockaddr_in = std::mem::zeroed();
            let mut l = size_of_val(&sa) as u32;
            let n = libc::recvfrom(
                fd,
                buf.as_mut_ptr() as *mut _,
                buf.len(),
                libc::MSG_DONTWAIT,
                &mut sa as *mut _ as *mut _,
                &mut l,
            );
            if n <= 0 {
                return false;
            }
            libc::connect(fd, &sa as *const _ as *const libc::sockaddr, l);
            *connected = true;
            libc::send(
                fd,
                buf.as_ptr() as *const _,
                n as usize,
                libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            );
        }
        true
    }
}

fn by_epoll(fds: &[RawFd]) -> Result<(), String> {
    unsafe {
        let ep = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        for (i, fd) in fds.iter().enumerate() {
            let mut e = libc::epoll_event { events: libc::EPOLLIN as u32, u64: i as u64 };
            libc::epoll_ctl(ep, libc::EPOLL_CTL_ADD, *fd, &mut e);
        }
        let mut ev: Vec<libc::epoll_event> = vec![libc::epoll_event { events: 0, u64: 0 }; 512];
        let mut conn = vec![false; fds.len()];
        let mut buf = [0u8; 2048];
        loop {
            let n = libc::epoll_wait(ep, ev.as_mut_ptr(), ev.len() as i32, -1);
            for e in ev.iter().take(n.max(0) as usize) {
                let i = e.u64 as usize;
                bounce(fds[i], &mut conn[i], &mut buf);
            }
        }
    }
}

/// As a mixer does: wake each packet interval and visit every socket once.
fn by_tick(fds: &[RawFd], ptime: i64) -> Result<(), String> {
    let mut conn = vec![false; fds.len()];
    let mut buf = [0u8; 2048];
    let mut t = net::mono();
    loop {
        t += ptime * 1_000_000;
        net::sleep_until(t);
        for (i, fd) in fds.iter().enumerate() {
            bounce(*fd, &mut conn[i], &mut buf);
        }
    }
}

fn shared(fd: RawFd, tick: bool) -> Result<(), String> {
    const B: usize = 128;
    unsafe {
        if !tick {
            let fl = libc::fcntl(fd, libc::F_GETFL);
            libc::fcntl(fd, libc::F_SETFL, fl & !libc::O_NONBLOCK);
        }
        let mut bufs = vec![[0u8; 2048]; B];
        let mut names: Vec<libc::sockaddr_in> = vec![std::mem::zeroed(); B];
        let mut iov: Vec<libc::iovec> = (0..B)
            .map(|i| libc::iovec { iov_base: bufs[i].as_mut_ptr() as *mut _, iov_len: 2048 })
            .collect();
        let mut msg: Vec<libc::mmsghdr> = (0..B)
            .map(|i| {
                let mut m: libc::mmsghdr = std::mem::zeroed();
                m.msg_hdr.msg_iov = &mut iov[i];
                m.msg_hdr.msg_iovlen = 1;
                m.msg_hdr.msg_name = &mut names[i] as *mut _ as *mut _;
                m.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
                m
            })
            .collect();
        let mut t = net::mono();
        loop {
            for i in 0..B {
                iov[i].iov_len = 2048;
                msg[i].msg_hdr.msg_namelen = size_of::<libc::sockaddr_in>() as u32;
            }
            let fl = if tick { libc::MSG_DONTWAIT } else { libc::MSG_WAITFORONE };
            let n = libc::recvmmsg(fd, msg.as_mut_ptr(), B as u32, fl, std::ptr::null_mut());
            if n <= 0 {
                if tick {
                    t += 5_000_000; // every 5 ms
                    let now = net::mono();
                    if t < now {
                        t = now;
                    }
                    net::sleep_until(t);
                }
                continue;
            }
            for i in 0..n as usize {
                iov[i].iov_len = msg[i].msg_len as usize;
            }
            let mut done = 0;
            while done < n {
                let k =
                    libc::sendmmsg(fd, msg.as_mut_ptr().add(done as usize), (n - done) as u32, 0);
                if k <= 0 {
                    break;
                }
                done += k;
            }
        }
    }
}

fn one(a: &Args, mode: &str) -> Result<Value, String> {
    let legs: usize = a.get("legs", 500)?;
    let secs: f64 = a.get("seconds", 10.0)?;
    let warm: f64 = a.get("warmup", 2.0)?;
    let mut load = Load::from(a)?;
    load.rooms = 1;
    load.per_room = legs;
    load.talkers = legs;
    load.probes = 0;
    let codec = load.codecs[0];
    let exe = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut child = Command::new(exe)
        .args([
            "reflector",
            "--legs",
            &legs.to_string(),
            "--mode",
            mode,
            "--ptime",
            &load.ptime.to_string(),
        ])
        .args(["--local-ip", &a.str("local-ip", "127.0.0.1")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let r = (|| -> Result<Value, String> {
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .map_err(|e| e.to_string())?;
        let ports: Vec<u16> = line
            .strip_prefix("PORTS")
            .ok_or("reflector did not start")?
            .split_whitespace()
            .filter_map(|p| p.parse().ok())
            .collect();
        let ip: Ipv4Addr = crate::uac::ip(&a.str("local-ip", "127.0.0.1"))?;
        let pid = [child.id() as i32];
        let mut eng = Engine::new(load.specs()?, measure::engine_cfg(a, load.ptime, 10)?)?;
        a.check()?;
        let base = procstat::proc_sample(&pid, false).rss_kb;
        let mut sig = Static {
            remotes: ports.iter().map(|p| SocketAddrV4::new(ip, *p)).collect(),
            pt: codec.pt(),
            started: vec![],
        };
        let all: Vec<usize> = (0..legs).collect();
        sig.start(&all, 0.0);
        sig.pump(&mut eng, 0, true);
        net::sleep_until(net::mono() + (warm * 1e9) as i64);
        let m = measure::measure(&mut eng, &mut sig, &pid, secs);
        let f = measure::figures(&eng, &m, secs, base);
        sig.hangup(&mut eng, &all, 1.0);
        crate::say!(
            "floor {mode:12} {legs} legs {}: {} CPU-ms per participant-second, {} participants/core (server {:.3} cores, machine idle {:.1} %, received {} of expected)",
            codec.name(),
            f.json["server"]["cpu_ms_per_participant_second"],
            f.json["server"]["participants_per_core"],
            f.server_cores,
            f.machine_idle * 100.0,
            f.json["quality"]["received_of_expected"]["mean"],
        );
        if let Some(g) = &f.gen_saturated {
            crate::say!("  GENERATOR SATURATED: {g}");
        }
        Ok(json!({"mode": mode, "legs": legs, "codec": codec.name(), "window": f.json}))
    })();
    // the child ends when its stdin closes; end it for certain by its own id
    drop(child.stdin.take());
    let _ = child.kill();
    let _ = child.wait();
    r
}

pub fn run(a: &Args) -> Result<Value, String> {
    let mode = a.str("mode", "all");
    let path = a.opt("json").map(|s| s.to_string());
    measure::own_placement(a)?;
    let modes: Vec<&str> = if mode == "all" { MODES.to_vec() } else { mode.split(',').collect() };
    for m in &modes {
        if !MODES.contains(m) {
            return Err(format!("--mode is one of {MODES:?} or all"));
        }
    }
    let mut v = vec![];
    for m in modes {
        v.push(one(a, m)?);
    }
    let v = json!({"tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": "floor", "label": a.str("label", ""), "floors": v});
    measure::write_json(path.as_deref(), &v)?;
    Ok(v)
}
