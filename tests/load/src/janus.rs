//! Janus AudioBridge: plain-RTP participants through the HTTP API.

use crate::args::Args;
use crate::engine::Engine;
use crate::net;
use crate::uac::{Signal, St};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

pub struct Cfg {
    pub host: String,
    pub path: String,
    pub rate: u32,
    pub room_base: u64,
    pub ip: String,
    pub admin_key: Option<String>,
    pub prebuffer: Option<i64>,
    pub timeout_s: f64,
    pub verbose: bool,
    pub complexity: Option<i64>,
}

pub fn cfg(a: &Args, _ptime: u32) -> Result<Cfg, String> {
    let u = match a.opt("janus") {
        Some("yes") | None => "http://127.0.0.1:8088/janus",
        Some(u) => u,
    };
    let r = u.strip_prefix("http://").ok_or("--janus: an http:// address")?;
    let (h, p) = r.split_once('/').unwrap_or((r, "janus"));
    Ok(Cfg {
        host: h.to_string(),
        path: format!("/{}", p.trim_end_matches('/')),
        rate: a.get("janus-rate", 16000)?,
        room_base: a.get("room-base", 71000)?,
        ip: a.str("local-ip", "127.0.0.1"),
        admin_key: a.opt("janus-admin-key").map(|s| s.into()),
        prebuffer: a.opt("janus-prebuffer").and_then(|s| s.parse().ok()),
        timeout_s: a.get("setup-timeout", 32.0)?,
        verbose: a.flag("verbose"),
        complexity: a.opt("janus-complexity").and_then(|s| s.parse().ok()),
    })
}

/// One keep-alive HTTP/1.1 connection.
struct Http {
    host: String,
    c: Option<BufReader<TcpStream>>,
}

impl Http {
    fn new(host: &str) -> Http {
        Http { host: host.into(), c: None }
    }
    fn req(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<Value, String> {
        for attempt in 0..2 {
            match self.once(method, path, body) {
                Ok(v) => return Ok(v),
                Err(e) => {
                    self.c = None;
                    if attempt == 1 {
                        return Err(e);
                    }
                }
            }
        }
        unreachable!()
    }
    fn once(&mut self, method: &str, path: &str, body: Option<&str>) -> Result<Value, String> {
        let er = |e: std::io::Error| format!("janus http: {e}");
        if self.c.is_none() {
            let s = TcpStream::connect(&self.host).map_err(er)?;
            s.set_nodelay(true).map_err(er)?;
            s.set_read_timeout(Some(Duration::from_secs(60))).map_err(er)?;
            self.c = Some(BufReader::new(s));
        }
        let c = self.c.as_mut().unwrap();
        let b = body.unwrap_or("");
        let mut r = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        if body.is_some() {
            r.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                b.len()
            ));
        }
        r.push_str("\r\n");
        r.push_str(b);
        c.get_mut().write_all(r.as_bytes()).map_err(er)?;
        let mut line = String::new();
        if c.read_line(&mut line).map_err(er)? == 0 {
            return Err("janus http: connection closed".into());
        }
        let (mut len, mut chunked) = (None, false);
        loop {
            let mut h = String::new();
            c.read_line(&mut h).map_err(er)?;
            let h = h.trim();
            if h.is_empty() {
                break;
            }
            let l = h.to_ascii_lowercase();
            if let Some(v) = l.strip_prefix("content-length:") {
                len = v.trim().parse::<usize>().ok();
            } else if l.starts_with("transfer-encoding:") && l.contains("chunked") {
                chunked = true;
            }
        }
        let mut out = vec![];
        if chunked {
            loop {
                let mut s = String::new();
                c.read_line(&mut s).map_err(er)?;
                let n = usize::from_str_radix(s.trim(), 16).map_err(|e| e.to_string())?;
                let mut b = vec![0; n + 2];
                c.read_exact(&mut b).map_err(er)?;
                if n == 0 {
                    break;
                }
                out.extend_from_slice(&b[..n]);
            }
        } else {
            out.resize(len.unwrap_or(0), 0);
            c.read_exact(&mut out).map_err(er)?;
        }
        serde_json::from_slice(&out)
            .map_err(|e| format!("janus http: {e}: {}", String::from_utf8_lossy(&out)))
    }
}

struct Call {
    st: St,
    handle: u64,
    t0: i64,
    setup_ns: i64,
}

pub struct Janus {
    cfg: Cfg,
    http: Http,
    session: u64,
    calls: Vec<Call>,
    by_handle: HashMap<u64, usize>,
    events: Receiver<Value>,
    stop: Arc<AtomicBool>,
    queue: VecDeque<usize>,
    cps: f64,
    next: i64,
    hq: VecDeque<usize>,
    hrate: f64,
    hnext: i64,
    fails: BTreeMap<String, usize>,
    dropped: usize,
    joining: usize,
    rooms: Vec<usize>,
    made: BTreeSet<u64>,
    first: i64,
    last: i64,
    ctl_handle: u64,
}

impl Janus {
    pub fn new(cfg: Cfg, eng: &Engine) -> Result<Janus, String> {
        let mut http = Http::new(&cfg.host);
        let r = http.req(
            "POST",
            &cfg.path,
            Some(&json!({"janus": "create", "transaction": "s"}).to_string()),
        )?;
        let session = r["data"]["id"].as_u64().ok_or(format!("janus: no session: {r}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (tx, events) = channel();
        let (host, path, st) =
            (cfg.host.clone(), format!("{}/{session}?maxev=50", cfg.path), stop.clone());
        std::thread::spawn(move || {
            let mut h = Http::new(&host);
            while !st.load(Ordering::Relaxed) {
                match h.req("GET", &path, None) {
                    Ok(Value::Array(v)) => {
                        for e in v {
                            if tx.send(e).is_err() {
                                return;
                            }
                        }
                    }
                    Ok(v) => {
                        if tx.send(v).is_err() {
                            return;
                        }
                    }
                    Err(_) => {
                        if st.load(Ordering::Relaxed) {
                            return;
                        }
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
            }
        });
        let mut j = Janus {
            http,
            session,
            calls: (0..eng.specs.len())
                .map(|_| Call { st: St::New, handle: 0, t0: 0, setup_ns: 0 })
                .collect(),
            by_handle: HashMap::new(),
            events,
            stop,
            queue: VecDeque::new(),
            cps: 20.0,
            next: 0,
            hq: VecDeque::new(),
            hrate: 100.0,
            hnext: 0,
            fails: BTreeMap::new(),
            dropped: 0,
            joining: 0,
            rooms: eng.specs.iter().map(|s| s.room).collect(),
            made: BTreeSet::new(),
            first: 0,
            last: 0,
            ctl_handle: 0,
            cfg,
        };
        j.ctl_handle = j.attach()?;
        Ok(j)
    }

    fn post(&mut self, handle: Option<u64>, v: Value) -> Result<Value, String> {
        let p = match handle {
            Some(h) => format!("{}/{}/{h}", self.cfg.path, self.session),
            None => format!("{}/{}", self.cfg.path, self.session),
        };
        if self.cfg.verbose {
            eprintln!(">>> {p} {v}");
        }
        let r = self.http.req("POST", &p, Some(&v.to_string()))?;
        if self.cfg.verbose {
            eprintln!("<<< {r}");
        }
        Ok(r)
    }

    fn attach(&mut self) -> Result<u64, String> {
        let r = self.post(
            None,
            json!({"janus": "attach", "plugin": "janus.plugin.audiobridge", "transaction": "a"}),
        )?;
        r["data"]["id"].as_u64().ok_or(format!("janus: attach: {r}"))
    }

    fn fail(&mut self, i: usize, why: String) {
        if self.calls[i].st == St::Inviting {
            self.joining -= 1;
        }
        self.calls[i].st = St::Failed;
        *self.fails.entry(why).or_insert(0) += 1;
    }

    fn room_id(&self, i: usize) -> u64 {
        self.cfg.room_base + self.rooms[i] as u64
    }

    fn ensure_room(&mut self, id: u64) -> Result<(), String> {
        if self.made.contains(&id) {
            return Ok(());
        }
        let mut b = json!({"request": "create", "room": id, "description": "plenary-load", "sampling_rate": self.cfg.rate,
            "allow_rtp_participants": true, "record": false, "audiolevel_event": false, "permanent": false, "is_private": true});
        if let Some(k) = &self.cfg.admin_key {
            b["admin_key"] = json!(k);
        }
        if let Some(p) = self.cfg.prebuffer {
            b["default_prebuffering"] = json!(p);
        }
        let h = self.ctl_handle;
        let r = self.post(Some(h), json!({"janus": "message", "transaction": "c", "body": b}))?;
        let d = &r["plugindata"]["data"];
        if d["audiobridge"] == "created" || d["error_code"] == 486 {
            self.made.insert(id);
            Ok(())
        } else {
            Err(format!("janus: create room: {r}"))
        }
    }

    fn join(&mut self, eng: &mut Engine, i: usize) {
        let t0 = net::mono();
        let id = self.room_id(i);
        let port = match eng.open(i) {
            Ok(p) => p,
            Err(e) => return self.fail(i, e),
        };
        if let Err(e) = self.ensure_room(id) {
            return self.fail(i, e);
        }
        // room creation is not part of the set-up time
        let t0 = if net::mono() - t0 > 0 { net::mono() } else { t0 };
        let h = match self.attach() {
            Ok(h) => h,
            Err(e) => return self.fail(i, e),
        };
        let codec = eng.specs[i].codec;
        let mut body = json!({"request": "join", "room": id, "display": format!("load{i}"), "muted": false, "codec": codec.name(),
            "rtp": {"ip": self.cfg.ip, "port": port, "payload_type": codec.pt(), "fec": false}});
        if let Some(c) = self.cfg.complexity {
            body["quality"] = json!(c);
        }
        self.by_handle.insert(h, i);
        self.calls[i] = Call { st: St::Inviting, handle: h, t0, setup_ns: 0 };
        self.joining += 1;
        if self.first == 0 {
            self.first = t0;
        }
        match self.post(
            Some(h),
            json!({"janus": "message", "transaction": format!("j{i}"), "body": body}),
        ) {
            Ok(r) if r["janus"] == "ack" => {}
            Ok(r) => self.on_event(eng, &r),
            Err(e) => self.fail(i, e),
        }
    }

    fn on_event(&mut self, eng: &mut Engine, e: &Value) {
        let Some(h) = e["sender"].as_u64() else { return };
        let Some(&i) = self.by_handle.get(&h) else { return };
        let d = &e["plugindata"]["data"];
        if d["audiobridge"] == "joined"
            && d.get("rtp").is_some()
            && self.calls[i].st == St::Inviting
        {
            let now = net::mono();
            let ip = d["rtp"]["ip"].as_str().unwrap_or("127.0.0.1");
            let mut ip: std::net::Ipv4Addr = ip.parse().unwrap_or(std::net::Ipv4Addr::LOCALHOST);
            if ip.is_unspecified() {
                ip = std::net::Ipv4Addr::LOCALHOST;
            }
            let port = d["rtp"]["port"].as_u64().unwrap_or(0) as u16;
            if port == 0 {
                return self.fail(i, "no RTP port".into());
            }
            self.joining -= 1;
            self.calls[i].st = St::Up;
            self.calls[i].setup_ns = now - self.calls[i].t0;
            self.last = self.last.max(now);
            eng.start_leg(i, SocketAddrV4::new(ip, port), eng.specs[i].codec.pt());
        } else if d.get("error").is_some() && self.calls[i].st == St::Inviting {
            let why = d["error"].as_str().unwrap_or("error").chars().take(80).collect();
            self.fail(i, why);
        } else if (e["janus"] == "detached" || e["janus"] == "hangup") && self.calls[i].st == St::Up
        {
            self.calls[i].st = St::Done;
            self.dropped += 1;
            eng.stop_leg(i);
        }
    }
}

impl Signal for Janus {
    fn start(&mut self, legs: &[usize], cps: f64) {
        if self.queue.is_empty() {
            self.next = net::mono();
        }
        self.cps = cps.max(0.1);
        self.queue.extend(legs.iter().copied());
    }
    fn pump(&mut self, eng: &mut Engine, until: i64, early: bool) {
        loop {
            let now = net::mono();
            while !self.queue.is_empty() && self.next <= net::mono() {
                let i = self.queue.pop_front().unwrap();
                self.join(eng, i);
                self.next += (1e9 / self.cps) as i64;
                if let Ok(e) = self.events.try_recv() {
                    self.on_event(eng, &e);
                }
            }
            while !self.hq.is_empty() && self.hnext <= net::mono() {
                let i = self.hq.pop_front().unwrap();
                if self.calls[i].st == St::Up {
                    eng.stop_leg(i);
                    self.calls[i].st = St::Done;
                    let h = self.calls[i].handle;
                    let _ = self.post(Some(h), json!({"janus": "detach", "transaction": "d"}));
                }
                self.hnext += (1e9 / self.hrate) as i64;
            }
            let tmo = (self.cfg.timeout_s * 1e9) as i64;
            if self.joining > 0 {
                let late: Vec<usize> = (0..self.calls.len())
                    .filter(|i| self.calls[*i].st == St::Inviting && now - self.calls[*i].t0 > tmo)
                    .collect();
                for i in late {
                    self.fail(i, "timeout".into());
                }
            }
            if early && self.pending() == 0 {
                return;
            }
            if now >= until {
                return;
            }
            let mut next = until.min(now + 50_000_000);
            if !self.queue.is_empty() {
                next = next.min(self.next);
            }
            if !self.hq.is_empty() {
                next = next.min(self.hnext);
            }
            let d = (next - net::mono()).max(0);
            if let Ok(e) = self.events.recv_timeout(Duration::from_nanos(d as u64)) {
                if self.cfg.verbose {
                    eprintln!("=== {e}");
                }
                self.on_event(eng, &e);
            }
        }
    }
    fn pending(&self) -> usize {
        self.queue.len() + self.joining + self.hq.len()
    }
    fn up(&self) -> Vec<usize> {
        (0..self.calls.len()).filter(|i| self.calls[*i].st == St::Up).collect()
    }
    fn hangup(&mut self, _eng: &mut Engine, legs: &[usize], rate: f64) {
        if self.hq.is_empty() {
            self.hnext = net::mono();
        }
        self.hrate = rate.max(1.0);
        self.queue.clear();
        self.hq.extend(legs.iter().copied());
    }
    fn setup_ms(&self) -> Vec<f64> {
        self.calls.iter().filter(|c| c.setup_ns > 0).map(|c| c.setup_ns as f64 / 1e6).collect()
    }
    fn failures(&self) -> BTreeMap<String, usize> {
        self.fails.clone()
    }
    fn dropped(&self) -> usize {
        self.dropped
    }
    fn setup_span(&self) -> f64 {
        if self.last == 0 { 0.0 } else { (self.last - self.first) as f64 / 1e9 }
    }
    fn extra(&self) -> Value {
        json!({"janus_rooms": self.made.len(), "sampling_rate": self.cfg.rate})
    }
}

impl Drop for Janus {
    fn drop(&mut self) {
        let h = self.ctl_handle;
        for id in self.made.clone() {
            let mut b = json!({"request": "destroy", "room": id});
            if let Some(k) = &self.cfg.admin_key {
                b["admin_key"] = json!(k);
            }
            let _ = self.post(Some(h), json!({"janus": "message", "transaction": "x", "body": b}));
        }
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.post(None, json!({"janus": "destroy", "transaction": "e"}));
    }
}
