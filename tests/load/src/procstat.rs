//! Reading /proc: server processes, the machine, UDP counters.

use crate::net;
use std::collections::{HashMap, HashSet};
use std::fs;

#[derive(Clone, Debug, Default)]
pub struct Proc {
    pub cpu_ns: i64,
    pub user_ms: f64,
    pub sys_ms: f64,
    pub rss_kb: u64,
    pub hwm_kb: u64,
    pub threads: u64,
    /// voluntary + involuntary context switches of the threads alive now
    pub ctx: u64,
    pub alive: usize,
}

fn field(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find(|l| l.starts_with(name))
        .and_then(|l| l.split_whitespace().nth(1))
        .and_then(|v| v.parse().ok())
        .unwrap_or(0)
}

/// utime and stime of /proc/PID/stat in clock ticks.
pub fn stat_ticks(stat: &str) -> Option<(u64, u64)> {
    // the command name may contain spaces and parentheses: count from the last ')'
    let r = &stat[stat.rfind(')')? + 2..];
    let f: Vec<&str> = r.split_whitespace().collect();
    Some((f.get(11)?.parse().ok()?, f.get(12)?.parse().ok()?))
}

pub fn proc_sample(pids: &[i32], with_ctx: bool) -> Proc {
    let hz = unsafe { libc::sysconf(libc::_SC_CLK_TCK) } as f64;
    let mut p = Proc::default();
    for pid in pids {
        let Ok(st) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        p.alive += 1;
        let mut ms = 0.0;
        if let Some((u, s)) = stat_ticks(&st) {
            p.user_ms += u as f64 * 1000.0 / hz;
            p.sys_ms += s as f64 * 1000.0 / hz;
            ms = (u + s) as f64 * 1000.0 / hz;
        }
        // the process clock has ns resolution; the ticks are the fallback
        p.cpu_ns += net::pid_cpu(*pid).unwrap_or((ms * 1e6) as i64);
        if let Ok(s) = fs::read_to_string(format!("/proc/{pid}/status")) {
            p.rss_kb += field(&s, "VmRSS:");
            p.hwm_kb += field(&s, "VmHWM:");
            p.threads += field(&s, "Threads:");
        }
        if with_ctx && let Ok(d) = fs::read_dir(format!("/proc/{pid}/task")) {
            for t in d.flatten() {
                if let Ok(s) = fs::read_to_string(t.path().join("status")) {
                    p.ctx += field(&s, "voluntary_ctxt_switches:")
                        + field(&s, "nonvoluntary_ctxt_switches:");
                }
            }
        }
    }
    p
}

#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// jiffies: user, nice, system, idle, iowait, irq, softirq, steal
    pub cpu: [u64; 8],
    pub ctxt: u64,
    pub udp_in_errors: u64,
    pub udp_rcvbuf_errors: u64,
    pub udp_no_ports: u64,
    pub udp_sndbuf_errors: u64,
}

pub fn machine() -> Machine {
    let mut m = Machine::default();
    if let Ok(s) = fs::read_to_string("/proc/stat") {
        for l in s.lines() {
            if let Some(r) = l.strip_prefix("cpu ") {
                for (d, v) in m.cpu.iter_mut().zip(r.split_whitespace()) {
                    *d = v.parse().unwrap_or(0);
                }
            } else if let Some(r) = l.strip_prefix("ctxt ") {
                m.ctxt = r.trim().parse().unwrap_or(0);
            }
        }
    }
    if let Ok(s) = fs::read_to_string("/proc/net/snmp") {
        let u: Vec<&str> = s.lines().filter(|l| l.starts_with("Udp:")).collect();
        if u.len() == 2 {
            let get = |n: &str| -> u64 {
                u[0].split_whitespace()
                    .position(|x| x == n)
                    .and_then(|i| u[1].split_whitespace().nth(i))
                    .and_then(|v| v.parse().ok())
                    .unwrap_or(0)
            };
            m.udp_in_errors = get("InErrors");
            m.udp_rcvbuf_errors = get("RcvbufErrors");
            m.udp_no_ports = get("NoPorts");
            m.udp_sndbuf_errors = get("SndbufErrors");
        }
    }
    m
}

/// Sum of the per-socket drop counters of /proc/net/udp by local port.
pub fn udp_drops() -> HashMap<u16, u64> {
    let mut h = HashMap::new();
    let Ok(s) = fs::read_to_string("/proc/net/udp") else { return h };
    for l in s.lines().skip(1) {
        let f: Vec<&str> = l.split_whitespace().collect();
        if f.len() < 13 {
            continue;
        }
        if let (Some(p), Ok(d)) = (
            f[1].split(':').nth(1).and_then(|x| u16::from_str_radix(x, 16).ok()),
            f[12].parse::<u64>(),
        ) {
            *h.entry(p).or_insert(0) += d;
        }
    }
    h
}

pub fn drops_diff(a: &HashMap<u16, u64>, b: &HashMap<u16, u64>, ports: &HashSet<u16>) -> u64 {
    b.iter()
        .filter(|(p, _)| ports.contains(p))
        .map(|(p, d)| d.saturating_sub(*a.get(p).unwrap_or(&0)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn stat_with_odd_command_name() {
        let s = "123 (a b) c) S 1 2 3 4 5 6 7 8 9 10 777 888 0 0 20 0";
        assert_eq!(stat_ticks(s), Some((777, 888)));
    }
    #[test]
    fn own_process_is_measured() {
        let pid = std::process::id() as i32;
        let a = proc_sample(&[pid], true);
        let t = net::mono();
        let mut x = 0u64;
        while net::mono() - t < 300_000_000 {
            x = x.wrapping_add(1);
        }
        assert!(x > 0);
        let b = proc_sample(&[pid], true);
        let d = (b.cpu_ns - a.cpu_ns) as f64 / 1e6;
        assert!(d > 100.0, "{d}"); // other tests may run too: only a lower bound
        assert!(b.rss_kb > 500 && b.hwm_kb >= b.rss_kb && b.threads >= 1);
        let ticks = (b.user_ms + b.sys_ms) - (a.user_ms + a.sys_ms);
        assert!((ticks - d).abs() < 60.0 + 0.1 * d, "{ticks} {d}");
    }
}
