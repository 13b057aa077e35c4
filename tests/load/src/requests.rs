//! Signalling without sound: how many registrations, or calls that are hung up as soon as they are answered, a server takes a second.
//!
//! Open loop: each phone is due at its instant, whether or not the server keeps up. Phones answer a challenge and remember it, as phones do,
//! unless `--challenged` has each of them begin anew. What is lost is sent again after 500 ms, three times at most.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddrV4;
use std::os::fd::RawFd;

use serde_json::{Value, json};

use crate::args::Args;
use crate::measure::{pids, write_json};
use crate::net::{self, RecvCtx};
use crate::procstat;
use crate::sip::{self, Msg};
use crate::stats::{Hist, num};

/// What a phone does each time that it is due.
#[derive(Clone, Copy, PartialEq)]
pub enum Doing {
    Registers,
    Calls,
}

/// What a phone waits for.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Idle,
    Asked,
    Proved,
    Ending,
}

struct Phone {
    step: Step,
    /// Of the running registration or call, which is also its Call-ID.
    run: u64,
    sequence: u32,
    began: i64,
    sent_again: u32,
    challenge: Option<String>,
    count: u32,
    to: String,
    last: Vec<u8>,
}

struct Request<'a> {
    method: &'a str,
    /// The method that its branch is named by.
    transaction: &'a str,
    uri: &'a str,
    extra: &'a str,
    body: &'a str,
}

impl<'a> Request<'a> {
    fn bare(method: &'a str, uri: &'a str) -> Self {
        Request { method, transaction: method, uri, extra: "", body: "" }
    }
}

struct Load {
    doing: Doing,
    fd: RawFd,
    target: SocketAddrV4,
    local: SocketAddrV4,
    media: u16,
    uri: String,
    user: String,
    password: String,
    challenged: bool,
    phones: Vec<Phone>,
    by_run: HashMap<u64, usize>,
    again: VecDeque<(i64, usize, u64, u32)>,
    tally: Tally,
}

#[derive(Default)]
struct Tally {
    done: u64,
    challenges: u64,
    sent_again: u64,
    late: u64,
    failures: BTreeMap<String, u64>,
    took: Hist,
}

/// Runs one of them for `--seconds` at `--rate` a second.
pub fn run(doing: Doing, a: &Args) -> Result<Value, String> {
    let rate: f64 = a.get("rate", 500.0)?;
    let seconds: f64 = a.get("seconds", 10.0)?;
    let count: usize = a.get("phones", 1000)?;
    let pids = pids(a)?;
    let path = a.opt("json").map(str::to_string);
    let mut load = Load::new(doing, a, count)?;
    a.check()?;
    let before = procstat::proc_sample(&pids, false);
    let start = net::mono();
    load.drive(start, rate, (rate * seconds) as u64);
    let took = (net::mono() - start) as f64 / 1e9;
    let after = procstat::proc_sample(&pids, false);
    let tally = &load.tally;
    let cpu_us = (after.cpu_ns - before.cpu_ns) as f64 / 1e3 / tally.done.max(1) as f64;
    let name = if doing == Doing::Registers { "registrations" } else { "calls" };
    let ms = |percent| num(tally.took.pct(percent) / 1e6, 2);
    let value = json!({
        "tool": "plenary-load", "version": env!("CARGO_PKG_VERSION"), "mode": name, "label": a.str("label", ""),
        "asked_per_s": rate, "seconds": num(took, 2), "phones": count,
        "done": tally.done, "per_s": num(tally.done as f64 / took, 1),
        "challenges": tally.challenges, "sent_again": tally.sent_again, "not_due_in_time": tally.late,
        "failures": tally.failures, "took_ms": {"p50": ms(50.0), "p99": ms(99.0), "max": num(tally.took.max() as f64 / 1e6, 2)},
        "server": {"cpu_us_each": num(cpu_us, 1), "rss_kb": after.rss_kb},
    });
    crate::say!(
        "{} {name} in {:.1} s, {:.0}/s, {} challenges, {} sent again, {} not due in time, failures {:?}",
        tally.done,
        took,
        tally.done as f64 / took,
        tally.challenges,
        tally.sent_again,
        tally.late,
        tally.failures
    );
    crate::say!(
        "ms p50 {} p99 {} max {}; server {:.1} CPU-us each, {} kB",
        value["took_ms"]["p50"],
        value["took_ms"]["p99"],
        value["took_ms"]["max"],
        cpu_us,
        after.rss_kb
    );
    write_json(path.as_deref(), &value)?;
    Ok(value)
}

impl Load {
    fn new(doing: Doing, a: &Args, count: usize) -> Result<Load, String> {
        let target: SocketAddrV4 = a
            .opt("target")
            .ok_or("--target ip:port is missing")?
            .parse()
            .map_err(|_| "--target: ip:port expected")?;
        let ip = a.get("local-ip", *target.ip())?;
        let open = |port| net::udp(SocketAddrV4::new(ip, port), 8 << 20).map_err(|e| e.to_string());
        let fd = open(0)?;
        let default = match doing {
            Doing::Registers => format!("sip:{}", target.ip()),
            Doing::Calls => format!("sip:conf-{{leg}}@{target}"),
        };
        let idle = |_| Phone {
            step: Step::Idle,
            run: 0,
            sequence: 0,
            began: 0,
            sent_again: 0,
            challenge: None,
            count: 0,
            to: String::new(),
            last: Vec::new(),
        };
        Ok(Load {
            doing,
            fd,
            target,
            local: net::local(fd),
            // What the server says is never read.
            media: net::local(open(0)?).port(),
            uri: a.str("uri", &default),
            user: a.str("user", "user{leg}"),
            password: a.str("password", "secret"),
            challenged: a.flag("challenged"),
            phones: (0..count).map(idle).collect(),
            by_run: HashMap::new(),
            again: VecDeque::new(),
            tally: Tally::default(),
        })
    }

    fn drive(&mut self, start: i64, rate: f64, total: u64) {
        let mut context = RecvCtx::new();
        let target = net::to_sa(self.target);
        let mut begun = 0;
        loop {
            let now = net::mono();
            let due = (((now - start) as f64 / 1e9 * rate) as u64).min(total);
            while begun < due {
                self.begin(now, begun, &target);
                begun += 1;
            }
            self.receive(&mut context, &target);
            self.send_again(net::mono(), &target);
            if begun == total && self.by_run.is_empty() {
                return;
            }
            net::ppoll_in(self.fd, 200_000);
        }
    }

    fn begin(&mut self, now: i64, run: u64, target: &libc::sockaddr_in) {
        let at = (run % self.phones.len() as u64) as usize;
        if self.phones[at].step != Step::Idle {
            // Still busy with what it was due for last time.
            self.tally.late += 1;
            return;
        }
        let phone = &mut self.phones[at];
        (phone.step, phone.began, phone.run) = (Step::Asked, now, run + 1);
        phone.to.clear();
        if self.challenged {
            phone.challenge = None;
        }
        if phone.challenge.is_some() {
            phone.step = Step::Proved;
        }
        self.by_run.insert(run + 1, at);
        self.ask(now, at, target);
    }

    /// Sends the REGISTER or INVITE of this phone, with its proof if it was asked for one.
    fn ask(&mut self, now: i64, at: usize, target: &libc::sockaddr_in) {
        let (method, uri) = match self.doing {
            Doing::Registers => ("REGISTER", self.uri.clone()),
            Doing::Calls => ("INVITE", self.uri.replace("{leg}", &at.to_string())),
        };
        let body = match self.doing {
            Doing::Registers => String::new(),
            Doing::Calls => sip::sdp_offer(
                *self.local.ip(),
                self.media,
                crate::codec::Codec::Pcmu,
                20,
                true,
                false,
                at as u64,
                1,
            ),
        };
        self.phones[at].sequence += 1;
        let proof = self.prove(at, method, &uri);
        let extra = match self.doing {
            Doing::Registers => "Expires: 3600\r\n".to_string(),
            Doing::Calls => "Content-Type: application/sdp\r\n".to_string(),
        };
        let extra = &(proof + &extra);
        self.send(now, at, target, Request { extra, body: &body, ..Request::bare(method, &uri) });
    }

    fn prove(&mut self, at: usize, method: &str, uri: &str) -> String {
        let user = self.user.replace("{leg}", &at.to_string());
        let phone = &mut self.phones[at];
        let Some(challenge) = &phone.challenge else { return String::new() };
        phone.count += 1;
        let said =
            sip::digest(challenge, &user, &self.password, method, uri, "c0ffee", phone.count);
        format!("Authorization: {said}\r\n")
    }

    fn send(&mut self, now: i64, at: usize, target: &libc::sockaddr_in, request: Request<'_>) {
        let Request { method, transaction: branch, uri, extra, body } = request;
        let user = self.user.replace("{leg}", &at.to_string());
        let (local, phone) = (self.local, &self.phones[at]);
        let (run, sequence) = (phone.run, phone.sequence);
        // A phone's registrations are one after the other in the same Call-ID (RFC 3261 10.2).
        let (call, cseq) = match self.doing {
            Doing::Registers => (format!("r{at}"), sequence),
            Doing::Calls => (format!("c{run}"), sequence),
        };
        let to = match (self.doing, phone.to.is_empty()) {
            (Doing::Registers, _) => format!("<sip:{user}@{}>", self.target.ip()),
            (Doing::Calls, true) => format!("<{uri}>"),
            (Doing::Calls, false) => phone.to.clone(),
        };
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{run}-{branch}-{sequence};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{ip}>;tag=f{run}\r\nTo: {to}\r\nCall-ID: {call}-{ip}-{port}\r\nCSeq: {cseq} {method}\r\n\
             Contact: <sip:{user}@{local}>\r\n{extra}Content-Length: {length}\r\n\r\n{body}",
            ip = local.ip(),
            port = local.port(),
            length = body.len()
        );
        let _ = net::send_to(self.fd, text.as_bytes(), target);
        if method != "ACK" {
            let phone = &mut self.phones[at];
            phone.last = text.into_bytes();
            phone.sent_again = 0;
            self.again.push_back((now + 500_000_000, at, run, sequence));
        }
    }

    fn receive(&mut self, context: &mut RecvCtx, target: &libc::sockaddr_in) {
        while let Ok(count @ 1..) = context.recv(self.fd, 4096) {
            for index in 0..count {
                let (length, _) = context.got(index);
                if let Some(message) = Msg::parse(context.data(index, length.min(4096))) {
                    self.take(&message, target);
                }
            }
        }
    }

    fn take(&mut self, message: &Msg, target: &libc::sockaddr_in) {
        if message.method().is_some() {
            return; // A keep-alive or a NOTIFY: nobody asked.
        }
        let Some(status) = message.status() else { return };
        let Some((sequence, method)) = message.cseq() else { return };
        let run = message
            .get("via")
            .and_then(|via| via.split("branch=z9hG4bK").nth(1)?.split('-').next()?.parse().ok());
        let Some(&at) = run.and_then(|run: u64| self.by_run.get(&run)) else { return };
        if status < 200 || self.phones[at].sequence != sequence {
            return;
        }
        let now = net::mono();
        if method == "INVITE" {
            self.acknowledge(now, at, message, target);
        }
        match (self.phones[at].step, status) {
            (Step::Asked | Step::Proved, 401 | 407) => self.challenged(now, at, message, target),
            (Step::Asked | Step::Proved, 200) if self.doing == Doing::Calls => {
                let contact = sip::uri_of(message.get("contact").unwrap_or_default()).to_string();
                self.phones[at].step = Step::Ending;
                self.phones[at].sequence += 1;
                self.send(now, at, target, Request::bare("BYE", &contact));
            }
            (_, 200) => self.finish(now, at, None),
            _ => self.finish(now, at, Some(status.to_string())),
        }
    }

    fn challenged(&mut self, now: i64, at: usize, message: &Msg, target: &libc::sockaddr_in) {
        let asked: Vec<&str> =
            message.all("www-authenticate").chain(message.all("proxy-authenticate")).collect();
        let is_stale = asked.iter().any(|one| sip::param(one, "stale") == Some("true"));
        if self.phones[at].step == Step::Proved && !is_stale {
            return self.finish(now, at, Some("wrong password".into()));
        }
        self.tally.challenges += 1;
        let phone = &mut self.phones[at];
        (phone.challenge, phone.count, phone.step) = (sip::pick_challenge(&asked), 0, Step::Proved);
        phone.to.clear();
        self.ask(now, at, target);
    }

    /// ACK, with the tag that the answer brought; it is the same request's number.
    fn acknowledge(&mut self, now: i64, at: usize, message: &Msg, target: &libc::sockaddr_in) {
        self.phones[at].to = message.get("to").unwrap_or_default().to_string();
        // An ACK of what is not a 2xx belongs to the INVITE's transaction (RFC 3261 17.1.1.3).
        let (transaction, uri) = match message.status() {
            Some(200) => {
                ("ACK", sip::uri_of(message.get("contact").unwrap_or_default()).to_string())
            }
            _ => ("INVITE", self.uri.replace("{leg}", &at.to_string())),
        };
        self.send(now, at, target, Request { transaction, ..Request::bare("ACK", &uri) });
    }

    fn finish(&mut self, now: i64, at: usize, failure: Option<String>) {
        let phone = &mut self.phones[at];
        phone.step = Step::Idle;
        self.by_run.remove(&phone.run);
        match failure {
            None => {
                self.tally.done += 1;
                self.tally.took.add((now - phone.began).max(0) as u64);
            }
            Some(why) => *self.tally.failures.entry(why).or_default() += 1,
        }
    }

    fn send_again(&mut self, now: i64, target: &libc::sockaddr_in) {
        while let Some(&(due, at, run, sequence)) = self.again.front()
            && due <= now
        {
            self.again.pop_front();
            let phone = &mut self.phones[at];
            if phone.step == Step::Idle || (phone.run, phone.sequence) != (run, sequence) {
                continue;
            }
            if phone.sent_again == 3 {
                self.finish(now, at, Some("no answer".into()));
                continue;
            }
            phone.sent_again += 1;
            self.tally.sent_again += 1;
            let _ = net::send_to(self.fd, &phone.last, target);
            self.again.push_back((now + 500_000_000, at, run, sequence));
        }
    }
}
