//! The SIP side: places, holds and ends the calls over one UDP socket.

use crate::engine::Engine;
use crate::net;
use crate::sip::{self, Msg};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::RawFd;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum St {
    New,
    Inviting,
    Up,
    Byeing,
    Done,
    Failed,
}

/// What any signalling back end (SIP, Janus, none) offers the measuring code.
pub trait Signal {
    /// queue legs to be set up at `cps` calls per second from now on
    fn start(&mut self, legs: &[usize], cps: f64);
    /// work until CLOCK_MONOTONIC `until`, or until nothing is pending when `early`
    fn pump(&mut self, eng: &mut Engine, until: i64, early: bool);
    fn pending(&self) -> usize;
    fn up(&self) -> Vec<usize>;
    fn hangup(&mut self, eng: &mut Engine, legs: &[usize], rate: f64);
    /// (leg, ms) of successful set-ups
    fn setup_ms(&self) -> Vec<f64>;
    /// reason -> count
    fn failures(&self) -> BTreeMap<String, usize>;
    /// legs ended by the server
    fn dropped(&self) -> usize;
    /// packet interval the server announced for a leg, if any
    fn ptime(&self, _leg: usize) -> Option<u32> {
        None
    }
    fn extra(&self) -> serde_json::Value {
        serde_json::Value::Null
    }
    /// seconds from the first INVITE to the last 200
    fn setup_span(&self) -> f64;
}

pub struct UacCfg {
    pub target: SocketAddrV4,
    pub uri: String,
    pub local: SocketAddrV4,
    pub user: Option<String>,
    pub password: Option<String>,
    pub from_user: Option<String>,
    pub setup_timeout_s: f64,
    pub dtmf: bool,
    pub rtcp_mux: bool,
    pub ptime: u32,
    pub room_base: usize,
    pub verbose: bool,
    pub max_pending: usize,
}

struct Call {
    st: St,
    call_id: String,
    from_tag: String,
    to: String,
    uri: String,
    remote_target: String,
    routes: Vec<String>,
    dest: SocketAddrV4,
    cseq: u32,
    branch: String,
    /// last INVITE or BYE, for retransmission
    req: String,
    ack: String,
    last_answer: Option<(u32, String, String)>, // (cseq, method, response) of the last in-dialog request
    auth: Option<(bool, String)>,               // proxy?, challenge
    auth_tries: u32,
    nc: u32,
    interval: i64,
    generation: u32,
    t0: i64,
    deadline: i64,
    got_provisional: bool,
    setup_ns: i64,
    ptime: Option<u32>,
    sdp_ver: u32,
    rseq: u32,
    refused_bye: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Tm {
    Retx,
    Deadline,
}

pub struct Uac {
    cfg: UacCfg,
    fd: RawFd,
    calls: Vec<Call>,
    by_id: HashMap<String, usize>,
    timers: BinaryHeap<Reverse<(i64, usize, u32, Tm)>>,
    queue: VecDeque<usize>,
    cps: f64,
    next_call: i64,
    hq: VecDeque<usize>,
    hrate: f64,
    next_bye: i64,
    fails: BTreeMap<String, usize>,
    dropped: usize,
    inviting: usize,
    byeing: usize,
    run_id: u64,
    retrans: u64,
    ok_retrans: u64,
    in_dialog: BTreeMap<String, u64>,
    auth_challenges: u64,
    first_invite: i64,
    last_ok: i64,
    buf: Vec<u8>,
    rooms: Vec<usize>,
}

const T1: i64 = 500_000_000;
const T2: i64 = 4_000_000_000;

impl Uac {
    pub fn new(cfg: UacCfg, eng: &Engine) -> Result<Uac, String> {
        let fd =
            net::udp(cfg.local, 8 << 20).map_err(|e| format!("SIP socket {}: {e}", cfg.local))?;
        net::setopt(fd, libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, 4 << 20);
        let mut cfg = cfg;
        cfg.local = net::local(fd);
        let run_id = (net::real() as u64) ^ ((std::process::id() as u64) << 40);
        let rooms = eng.specs.iter().map(|s| s.room).collect();
        let calls = (0..eng.specs.len())
            .map(|_| Call {
                st: St::New,
                call_id: String::new(),
                from_tag: String::new(),
                to: String::new(),
                uri: String::new(),
                remote_target: String::new(),
                routes: vec![],
                dest: cfg.target,
                cseq: 1,
                branch: String::new(),
                req: String::new(),
                ack: String::new(),
                last_answer: None,
                auth: None,
                auth_tries: 0,
                nc: 0,
                interval: T1,
                generation: 0,
                t0: 0,
                deadline: 0,
                got_provisional: false,
                setup_ns: 0,
                ptime: None,
                sdp_ver: 1,
                rseq: 0,
                refused_bye: false,
            })
            .collect();
        Ok(Uac {
            cfg,
            fd,
            calls,
            by_id: HashMap::new(),
            timers: BinaryHeap::new(),
            queue: VecDeque::new(),
            cps: 50.0,
            next_call: 0,
            hq: VecDeque::new(),
            hrate: 200.0,
            next_bye: 0,
            fails: BTreeMap::new(),
            dropped: 0,
            inviting: 0,
            byeing: 0,
            run_id,
            retrans: 0,
            ok_retrans: 0,
            in_dialog: BTreeMap::new(),
            auth_challenges: 0,
            first_invite: 0,
            last_ok: 0,
            buf: vec![0; 65536],
            rooms,
        })
    }

    fn caller(&self, i: usize) -> String {
        self.cfg
            .from_user
            .clone()
            .or(self.cfg.user.clone())
            .unwrap_or_else(|| format!("load{i}"))
            .replace("{leg}", &i.to_string())
    }
    fn auth_user(&self, i: usize) -> String {
        self.cfg.user.clone().unwrap_or_default().replace("{leg}", &i.to_string())
    }

    fn send(&self, i: usize, s: &str) {
        let sa = net::to_sa(self.calls[i].dest);
        if self.cfg.verbose {
            eprintln!(">>> {}\n{s}", self.calls[i].dest);
        }
        let _ = net::send_to(self.fd, s.as_bytes(), &sa);
    }
    fn send_addr(&self, a: SocketAddrV4, s: &str) {
        if self.cfg.verbose {
            eprintln!(">>> {a}\n{s}");
        }
        let _ = net::send_to(self.fd, s.as_bytes(), &net::to_sa(a));
    }

    fn branch(&self, i: usize) -> String {
        format!("z9hG4bK{:x}-{i}-{}", self.run_id, self.calls[i].rseq)
    }

    fn request(
        &mut self,
        i: usize,
        method: &str,
        cseq: u32,
        branch: &str,
        body: Option<String>,
    ) -> String {
        let user = self.caller(i);
        let auth = self.calls[i].auth.clone();
        let ruri = if self.calls[i].remote_target.is_empty() {
            self.calls[i].uri.clone()
        } else {
            self.calls[i].remote_target.clone()
        };
        let mut s = String::with_capacity(1200);
        let l = self.cfg.local;
        s.push_str(&format!(
            "{method} {ruri} SIP/2.0\r\nVia: SIP/2.0/UDP {l};branch={branch};rport\r\n"
        ));
        for r in &self.calls[i].routes {
            s.push_str(&format!("Route: {r}\r\n"));
        }
        let c = &self.calls[i];
        s.push_str(&format!(
            "Max-Forwards: 70\r\nFrom: <sip:{user}@{l}>;tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContact: <sip:{user}@{l}>\r\nUser-Agent: plenary-load\r\n",
            c.from_tag, c.to, c.call_id
        ));
        if let Some((proxy, ch)) = auth
            && method != "CANCEL"
        {
            if method != "ACK" {
                self.calls[i].nc += 1;
            }
            let nc = self.calls[i].nc.max(1);
            let h = sip::digest(
                &ch,
                &self.auth_user(i),
                self.cfg.password.as_deref().unwrap_or(""),
                if method == "ACK" { "INVITE" } else { method },
                &ruri,
                &format!("{:x}{i:x}", self.run_id),
                nc,
            );
            s.push_str(if proxy { "Proxy-Authorization: " } else { "Authorization: " });
            s.push_str(&h);
            s.push_str("\r\n");
        }
        if method == "INVITE" {
            s.push_str("Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY\r\n");
        }
        match body {
            Some(b) => s.push_str(&format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{b}",
                b.len()
            )),
            None => s.push_str("Content-Length: 0\r\n\r\n"),
        }
        s
    }

    fn invite(&mut self, eng: &mut Engine, i: usize) {
        let now = net::mono();
        let port = match eng.open(i) {
            Ok(p) => p,
            Err(e) => {
                self.fail(eng, i, &format!("local: {e}"));
                return;
            }
        };
        let body = sip::sdp_offer(
            *self.cfg.local.ip(),
            port,
            eng.specs[i].codec,
            self.cfg.ptime,
            self.cfg.dtmf,
            self.cfg.rtcp_mux,
            self.run_id >> 8,
            self.calls[i].sdp_ver,
        );
        self.calls[i].rseq += 1;
        let br = self.branch(i);
        self.calls[i].branch = br.clone();
        let cseq = self.calls[i].cseq;
        let m = self.request(i, "INVITE", cseq, &br, Some(body));
        let c = &mut self.calls[i];
        c.req = m;
        c.interval = T1;
        c.got_provisional = false;
        c.generation += 1;
        if c.t0 == 0 {
            c.t0 = now;
            c.deadline = now + (self.cfg.setup_timeout_s * 1e9) as i64;
            self.inviting += 1;
            if self.first_invite == 0 {
                self.first_invite = now;
            }
        }
        c.st = St::Inviting;
        let (g, d) = (c.generation, c.deadline);
        self.timers.push(Reverse((now + T1, i, g, Tm::Retx)));
        self.timers.push(Reverse((d, i, g, Tm::Deadline)));
        let s = std::mem::take(&mut self.calls[i].req);
        self.send(i, &s);
        self.calls[i].req = s;
    }

    fn new_call(&mut self, eng: &mut Engine, i: usize) {
        let room = self.rooms[i] + self.cfg.room_base;
        let uri =
            self.cfg.uri.replace("{room}", &room.to_string()).replace("{leg}", &i.to_string());
        let id = format!("{:x}-{i}@{}", self.run_id, self.cfg.local.ip());
        let c = &mut self.calls[i];
        c.call_id = id.clone();
        c.from_tag = format!("{:x}f{i}", self.run_id & 0xffffff);
        c.to = format!("<{uri}>");
        c.uri = uri;
        self.by_id.insert(id, i);
        self.invite(eng, i);
    }

    fn fail(&mut self, eng: &Engine, i: usize, why: &str) {
        if self.calls[i].st == St::Inviting {
            self.inviting -= 1;
        }
        self.calls[i].st = St::Failed;
        self.calls[i].generation += 1;
        eng.stop_leg(i);
        *self.fails.entry(why.to_string()).or_insert(0) += 1;
    }

    fn bye(&mut self, i: usize) {
        let now = net::mono();
        self.calls[i].cseq += 1;
        self.calls[i].rseq += 1;
        let br = self.branch(i);
        let cs = self.calls[i].cseq;
        let m = self.request(i, "BYE", cs, &br, None);
        let c = &mut self.calls[i];
        if c.st != St::Byeing {
            self.byeing += 1;
        }
        c.branch = br;
        c.st = St::Byeing;
        c.req = m;
        c.interval = T1;
        c.generation += 1;
        let g = c.generation;
        self.timers.push(Reverse((now + T1, i, g, Tm::Retx)));
        self.timers.push(Reverse((now + 6_000_000_000, i, g, Tm::Deadline)));
        let s = self.calls[i].req.clone();
        self.send(i, &s);
    }

    fn on_timer(&mut self, eng: &mut Engine, i: usize, t: Tm, now: i64) {
        match (self.calls[i].st, t) {
            (St::Inviting, Tm::Retx) => {
                if self.calls[i].got_provisional {
                    return;
                }
                let s = self.calls[i].req.clone();
                self.send(i, &s);
                self.retrans += 1;
                let c = &mut self.calls[i];
                c.interval *= 2;
                let (n, g) = (now + c.interval, c.generation);
                self.timers.push(Reverse((n, i, g, Tm::Retx)));
            }
            (St::Inviting, Tm::Deadline) => {
                if self.calls[i].got_provisional {
                    let (cs, br) = (self.calls[i].cseq, self.calls[i].branch.clone());
                    let s = self.request(i, "CANCEL", cs, &br, None);
                    self.send(i, &s);
                }
                self.fail(eng, i, "timeout");
            }
            (St::Byeing, Tm::Retx) => {
                let s = self.calls[i].req.clone();
                self.send(i, &s);
                self.retrans += 1;
                let c = &mut self.calls[i];
                c.interval = (c.interval * 2).min(T2);
                let (n, g) = (now + c.interval, c.generation);
                self.timers.push(Reverse((n, i, g, Tm::Retx)));
            }
            (St::Byeing, Tm::Deadline) => {
                self.byeing -= 1;
                self.calls[i].st = St::Done;
                *self.fails.entry("bye timeout".into()).or_insert(0) += 1;
            }
            _ => {}
        }
    }

    fn on_msg(&mut self, eng: &mut Engine, b: &[u8], from: SocketAddrV4) {
        let Some(m) = Msg::parse(b) else { return };
        if self.cfg.verbose {
            eprintln!("<<< {from}\n{}", String::from_utf8_lossy(b));
        }
        let Some(id) = m.get("call-id") else { return };
        let call = self.by_id.get(id).copied();
        if let Some(code) = m.status() {
            if let Some(i) = call {
                self.on_response(eng, i, code, &m);
            }
        } else {
            self.on_request(eng, call, &m, from);
        }
    }

    fn on_response(&mut self, eng: &mut Engine, i: usize, code: u16, m: &Msg) {
        let Some((cseq, method)) = m.cseq() else { return };
        if method == "INVITE" {
            if code < 200 {
                if self.calls[i].st == St::Inviting && cseq == self.calls[i].cseq && code >= 100 {
                    self.calls[i].got_provisional = true;
                }
                return;
            }
            if code < 300 {
                if self.calls[i].st == St::Inviting && cseq == self.calls[i].cseq {
                    self.answered(eng, i, m);
                } else if matches!(self.calls[i].st, St::Up | St::Byeing)
                    && !self.calls[i].ack.is_empty()
                {
                    // retransmitted 200: the ACK was lost or is late
                    self.ok_retrans += 1;
                    let s = self.calls[i].ack.clone();
                    self.send(i, &s);
                } else if self.calls[i].st == St::Failed {
                    // late answer to a call given up: acknowledge and end it
                    self.calls[i].to = m.get("to").unwrap_or("").to_string();
                    if let Some(c) = m.get("contact") {
                        self.calls[i].remote_target = sip::uri_of(c).to_string();
                    }
                    self.calls[i].rseq += 1;
                    let br = self.branch(i);
                    let s = self.request(i, "ACK", cseq, &br, None);
                    self.send(i, &s);
                    self.bye(i);
                }
                return;
            }
            // final failure: ACK within the transaction
            if cseq != self.calls[i].cseq && self.calls[i].st == St::Inviting {
                // answer to an earlier attempt (retransmitted 401)
                self.ack_failure(i, m, cseq);
                return;
            }
            self.ack_failure(i, m, cseq);
            if self.calls[i].st != St::Inviting {
                return;
            }
            if (code == 401 || code == 407)
                && self.cfg.user.is_some()
                && self.calls[i].auth_tries < 2
            {
                let h = if code == 401 { "www-authenticate" } else { "proxy-authenticate" };
                let ch: Vec<&str> = m.all(h).collect();
                if let Some(c) = sip::pick_challenge(&ch) {
                    self.auth_challenges += 1;
                    let k = &mut self.calls[i];
                    k.auth = Some((code == 407, c));
                    k.auth_tries += 1;
                    k.nc = 0;
                    k.cseq += 1;
                    self.invite(eng, i);
                    return;
                }
            }
            self.fail(eng, i, &format!("{code}"));
        } else if method == "BYE"
            && self.calls[i].st == St::Byeing
            && cseq == self.calls[i].cseq
            && code >= 200
        {
            if (code == 401 || code == 407) && self.cfg.user.is_some() && !self.calls[i].refused_bye
            {
                let h = if code == 401 { "www-authenticate" } else { "proxy-authenticate" };
                let ch: Vec<&str> = m.all(h).collect();
                if let Some(c) = sip::pick_challenge(&ch) {
                    self.calls[i].auth = Some((code == 407, c));
                    self.calls[i].nc = 0;
                    self.calls[i].refused_bye = true;
                    self.bye(i);
                    return;
                }
            }
            self.byeing -= 1;
            self.calls[i].st = St::Done;
            self.calls[i].generation += 1;
            if code >= 300 {
                *self.fails.entry(format!("bye {code}")).or_insert(0) += 1;
            }
        }
    }

    fn ack_failure(&mut self, i: usize, m: &Msg, cseq: u32) {
        let l = self.cfg.local;
        let via = m.get("via").unwrap_or("");
        let br = via
            .split(';')
            .find_map(|p| p.trim().strip_prefix("branch="))
            .unwrap_or(&self.calls[i].branch)
            .to_string();
        let user = self.caller(i);
        let c = &self.calls[i];
        let s = format!(
            "ACK {} SIP/2.0\r\nVia: SIP/2.0/UDP {l};branch={br};rport\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@{l}>;tag={}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n",
            c.uri,
            c.from_tag,
            m.get("to").unwrap_or(""),
            c.call_id
        );
        self.send(i, &s);
    }

    fn answered(&mut self, eng: &mut Engine, i: usize, m: &Msg) {
        let now = net::mono();
        self.inviting -= 1;
        {
            let c = &mut self.calls[i];
            c.setup_ns = now - c.t0;
            c.to = m.get("to").unwrap_or("").to_string();
            if let Some(ct) = m.get("contact") {
                c.remote_target = sip::uri_of(ct).to_string();
            }
            // route set: Record-Route in reverse (each header may hold several)
            let mut rr: Vec<String> = m
                .all("record-route")
                .flat_map(|h| h.split(','))
                .map(|s| s.trim().to_string())
                .collect();
            rr.reverse();
            c.routes = rr;
            if let Some(r) = c.routes.first() {
                if let Some(a) = sip::uri_addr(sip::uri_of(r)) {
                    c.dest = a;
                }
            } else if let Some(a) = sip::uri_addr(&c.remote_target)
                && !a.ip().is_unspecified()
            {
                c.dest = a;
            }
            c.st = St::Up;
            c.generation += 1;
            c.rseq += 1;
        }
        self.last_ok = self.last_ok.max(now);
        let br = self.branch(i);
        let cseq = self.calls[i].cseq;
        let ack = self.request(i, "ACK", cseq, &br, None);
        self.send(i, &ack);
        self.calls[i].ack = ack;
        self.calls[i].req = String::new();
        let codec = eng.specs[i].codec;
        match sip::parse_sdp(&m.body) {
            Some(s) if s.addr.port() != 0 => match s.pt_for(codec) {
                Some(pt) => {
                    self.calls[i].ptime = s.ptime;
                    let mut a = s.addr;
                    if a.ip().is_unspecified() {
                        a.set_ip(*self.calls[i].dest.ip());
                    }
                    eng.start_leg(i, a, pt);
                }
                None => self.bad_answer(eng, i, "codec not accepted"),
            },
            Some(_) => self.bad_answer(eng, i, "media refused (port 0)"),
            None => self.bad_answer(eng, i, "no usable SDP in 200"),
        }
    }

    fn bad_answer(&mut self, eng: &Engine, i: usize, why: &str) {
        *self.fails.entry(why.to_string()).or_insert(0) += 1;
        eng.stop_leg(i);
        self.bye(i);
    }

    fn reply(
        &self,
        m: &Msg,
        from: SocketAddrV4,
        code: &str,
        extra: &str,
        body: Option<&str>,
        i: Option<usize>,
    ) -> String {
        let mut s = format!("SIP/2.0 {code}\r\n");
        for (n, v) in &m.headers {
            match n.as_str() {
                "via" => {
                    // fill in rport so that a server behind an odd port hears us
                    if v.contains(";rport") && !v.contains(";rport=") {
                        let v2 = v.replacen(
                            ";rport",
                            &format!(";rport={};received={}", from.port(), from.ip()),
                            1,
                        );
                        s.push_str(&format!("Via: {v2}\r\n"));
                    } else {
                        s.push_str(&format!("Via: {v}\r\n"));
                    }
                }
                "from" => s.push_str(&format!("From: {v}\r\n")),
                "to" => {
                    if sip::tag(v).is_some() {
                        s.push_str(&format!("To: {v}\r\n"));
                    } else {
                        let t = i
                            .map(|i| self.calls[i].from_tag.clone())
                            .unwrap_or_else(|| format!("{:x}", self.run_id));
                        s.push_str(&format!("To: {v};tag={t}\r\n"));
                    }
                }
                "call-id" => s.push_str(&format!("Call-ID: {v}\r\n")),
                "cseq" => s.push_str(&format!("CSeq: {v}\r\n")),
                "record-route" => s.push_str(&format!("Record-Route: {v}\r\n")),
                _ => {}
            }
        }
        s.push_str(&format!(
            "Contact: <sip:load@{}>\r\nUser-Agent: plenary-load\r\n{extra}",
            self.cfg.local
        ));
        match body {
            Some(b) => s.push_str(&format!(
                "Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{b}",
                b.len()
            )),
            None => s.push_str("Content-Length: 0\r\n\r\n"),
        }
        s
    }

    fn on_request(&mut self, eng: &mut Engine, call: Option<usize>, m: &Msg, from: SocketAddrV4) {
        let Some(method) = m.method().map(|s| s.to_string()) else { return };
        if method == "ACK" {
            return;
        }
        *self.in_dialog.entry(method.clone()).or_insert(0) += 1;
        let Some(i) = call else {
            let s = if method == "OPTIONS" || method == "NOTIFY" {
                self.reply(
                    m,
                    from,
                    "200 OK",
                    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY\r\n",
                    None,
                    None,
                )
            } else {
                self.reply(m, from, "481 Call/Transaction Does Not Exist", "", None, None)
            };
            self.send_addr(from, &s);
            return;
        };
        let cs = m.cseq().map(|c| c.0).unwrap_or(0);
        if let Some((c, mm, s)) = &self.calls[i].last_answer
            && *c == cs
            && *mm == method
        {
            let s = s.clone();
            self.send_addr(from, &s);
            return;
        }
        let s = match method.as_str() {
            "INVITE" | "UPDATE" => {
                let mut body = None;
                let offer = !m.body.trim().is_empty();
                if offer
                    && let Some(o) = sip::parse_sdp(&m.body)
                    && let Some(pt) = o.pt_for(eng.specs[i].codec)
                {
                    let mut a = o.addr;
                    if a.ip().is_unspecified() {
                        a.set_ip(*from.ip());
                    }
                    if a.port() != 0 {
                        eng.legs[i].pt.store(pt, std::sync::atomic::Ordering::Release);
                        eng.legs[i].set_remote(a);
                    }
                }
                if offer || method == "INVITE" {
                    self.calls[i].sdp_ver += 1;
                    body = Some(sip::sdp_offer(
                        *self.cfg.local.ip(),
                        eng.local_port(i),
                        eng.specs[i].codec,
                        self.cfg.ptime,
                        self.cfg.dtmf,
                        self.cfg.rtcp_mux,
                        self.run_id >> 8,
                        self.calls[i].sdp_ver,
                    ));
                }
                let mut extra = String::from(
                    "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY\r\n",
                );
                if let Some(se) = m.get("session-expires") {
                    extra.push_str(&format!("Session-Expires: {se}\r\n"));
                }
                self.reply(m, from, "200 OK", &extra, body.as_deref(), Some(i))
            }
            "BYE" => {
                let s = self.reply(m, from, "200 OK", "", None, Some(i));
                match self.calls[i].st {
                    St::Up => {
                        self.dropped += 1;
                        self.calls[i].st = St::Done;
                        self.calls[i].generation += 1;
                        eng.stop_leg(i);
                    }
                    St::Byeing => {
                        self.byeing -= 1;
                        self.calls[i].st = St::Done;
                        self.calls[i].generation += 1;
                    }
                    _ => {}
                }
                s
            }
            _ => self.reply(m, from, "200 OK", "", None, Some(i)),
        };
        self.send_addr(from, &s);
        self.calls[i].last_answer = Some((cs, method, s));
    }
}

impl Signal for Uac {
    fn start(&mut self, legs: &[usize], cps: f64) {
        if self.queue.is_empty() {
            self.next_call = net::mono();
        }
        self.cps = cps.max(0.1);
        self.queue.extend(legs.iter().copied());
    }

    fn pump(&mut self, eng: &mut Engine, until: i64, early: bool) {
        loop {
            let mut now = net::mono();
            // incoming first, in bounded batches
            for _ in 0..256 {
                let mut sa: libc::sockaddr_in = unsafe { std::mem::zeroed() };
                let mut sl = size_of_val(&sa) as u32;
                let n = unsafe {
                    libc::recvfrom(
                        self.fd,
                        self.buf.as_mut_ptr() as *mut _,
                        self.buf.len(),
                        libc::MSG_DONTWAIT,
                        &mut sa as *mut _ as *mut libc::sockaddr,
                        &mut sl,
                    )
                };
                if n < 0 {
                    let e = net::errno();
                    if e == libc::ECONNREFUSED || e == libc::EINTR {
                        continue;
                    }
                    break;
                }
                let b = self.buf[..n as usize].to_vec();
                self.on_msg(eng, &b, net::from_sa(&sa));
            }
            now = now.max(net::mono());
            while let Some(Reverse((t, i, g, k))) = self.timers.peek().copied() {
                if t > now {
                    break;
                }
                self.timers.pop();
                if self.calls[i].generation == g {
                    self.on_timer(eng, i, k, now);
                }
            }
            let mut burst = 0;
            while !self.queue.is_empty() && self.next_call <= now && burst < 64 {
                if self.inviting >= self.cfg.max_pending {
                    self.next_call = now + 1_000_000;
                    break;
                }
                let i = self.queue.pop_front().unwrap();
                self.new_call(eng, i);
                self.next_call += (1e9 / self.cps) as i64;
                burst += 1;
            }
            while !self.hq.is_empty() && self.next_bye <= now {
                let i = self.hq.pop_front().unwrap();
                if self.calls[i].st == St::Up {
                    eng.stop_leg(i);
                    self.bye(i);
                }
                self.next_bye += (1e9 / self.hrate) as i64;
            }
            if early && self.pending() == 0 {
                return;
            }
            if now >= until {
                return;
            }
            let mut next = until;
            if let Some(Reverse((t, ..))) = self.timers.peek() {
                next = next.min(*t);
            }
            if !self.queue.is_empty() {
                next = next.min(self.next_call);
            }
            if !self.hq.is_empty() {
                next = next.min(self.next_bye);
            }
            let d = next - net::mono();
            if d > 0 {
                net::ppoll_in(self.fd, d);
            }
        }
    }
    fn pending(&self) -> usize {
        self.queue.len() + self.inviting + self.byeing + self.hq.len()
    }
    fn up(&self) -> Vec<usize> {
        (0..self.calls.len()).filter(|i| self.calls[*i].st == St::Up).collect()
    }
    fn hangup(&mut self, _eng: &mut Engine, legs: &[usize], rate: f64) {
        if self.hq.is_empty() {
            self.next_bye = net::mono();
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
    fn ptime(&self, leg: usize) -> Option<u32> {
        self.calls[leg].ptime
    }
    fn extra(&self) -> serde_json::Value {
        serde_json::json!({
            "sip_retransmissions": self.retrans,
            "retransmitted_200": self.ok_retrans,
            "auth_challenges": self.auth_challenges,
            "server_requests": self.in_dialog,
        })
    }
    fn setup_span(&self) -> f64 {
        if self.last_ok == 0 { 0.0 } else { (self.last_ok - self.first_invite) as f64 / 1e9 }
    }
}

impl Drop for Uac {
    fn drop(&mut self) {
        unsafe { libc::close(self.fd) };
    }
}

/// No signalling: the remote addresses are known (floor measurement).
pub struct Static {
    pub remotes: Vec<SocketAddrV4>,
    pub pt: u8,
    pub started: Vec<usize>,
}
impl Signal for Static {
    fn start(&mut self, legs: &[usize], _cps: f64) {
        self.started.extend(legs);
    }
    fn pump(&mut self, eng: &mut Engine, until: i64, early: bool) {
        let todo: Vec<usize> = self.started.clone();
        for i in todo {
            if eng.local_port(i) == 0 && eng.open(i).is_ok() {
                eng.start_leg(i, self.remotes[i % self.remotes.len()], self.pt);
            }
        }
        if !early {
            net::sleep_until(until);
        }
    }
    fn pending(&self) -> usize {
        0
    }
    fn up(&self) -> Vec<usize> {
        self.started.clone()
    }
    fn hangup(&mut self, eng: &mut Engine, legs: &[usize], _rate: f64) {
        for i in legs {
            eng.stop_leg(*i);
        }
    }
    fn setup_ms(&self) -> Vec<f64> {
        vec![]
    }
    fn failures(&self) -> BTreeMap<String, usize> {
        BTreeMap::new()
    }
    fn dropped(&self) -> usize {
        0
    }
    fn setup_span(&self) -> f64 {
        0.0
    }
}

pub fn ip(s: &str) -> Result<Ipv4Addr, String> {
    s.parse().map_err(|_| format!("not an IPv4 address: {s}"))
}
