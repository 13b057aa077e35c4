//! The session timer of a call: RFC 4028.
//!
//! ```text
//!  2xx ──▶ running ──half the interval, if we refresh: UPDATE or re-INVITE──▶ 2xx ──▶ running
//!             └── 32 s or a third of the interval before its end ──▶ BYE
//! ```

use std::time::{Duration, Instant};

use crate::sip::headers::{Headers, MinSe, Name, Refresher, SessionExpires};
use crate::sip::layer::Reply;
use crate::sip::{Message, Method};

/// What a call has agreed about its refreshes.
#[derive(Debug)]
pub(super) struct SessionTimer {
    /// The largest Min-SE of this call, ours included.
    min: Duration,
    running: Option<Running>,
}

/// An interval that began with the last 2xx.
#[derive(Clone, Copy, Debug)]
struct Running {
    interval: Duration,
    refresher: End,
    refresh: Option<Instant>,
    end: Instant,
}

/// An end of the dialog.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Us,
    Peer,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Due {
    Refresh,
    Expiry,
}

impl SessionTimer {
    pub(super) fn new(min: Duration) -> Self {
        Self { min, running: None }
    }

    /// Asks for a timer with an INVITE that begins a call (§7.1): who refreshes is left to the callee.
    pub(super) fn ask_first(&self, wanted: Duration, headers: &mut Headers) {
        self.ask(&SessionExpires::new(wanted.max(self.min), None), headers);
    }

    /// Asks to go on as agreed, with each request that refreshes the session (§7.4).
    pub(super) fn ask_again(&self, headers: &mut Headers) {
        let Some(Running { interval, refresher, .. }) = self.running else { return };
        let refresher = match refresher {
            End::Us => Refresher::Uac,
            End::Peer => Refresher::Uas,
        };
        self.ask(&SessionExpires::new(interval.max(self.min), Some(refresher)), headers);
    }

    fn ask(&self, expires: &SessionExpires, headers: &mut Headers) {
        headers.push(Name::SessionExpires, expires.to_string());
        headers.push(Name::MinSe, MinSe::new(self.min).to_string());
    }

    /// Notes what a 422 wants (§7.3); false if that is what we asked for already.
    pub(super) fn raise(&mut self, min: Option<Duration>) -> bool {
        let raised = min.filter(|min| *min > self.min);
        self.min = raised.unwrap_or(self.min);
        raised.is_some()
    }

    /// Agrees as who answers `request` with a 2xx (§9).
    pub(super) fn accept(
        &mut self,
        now: Instant,
        wanted: Duration,
        request: &Message,
        reply: Reply,
    ) -> Reply {
        let headers = &request.headers;
        self.raise(headers.min_se().map(|min| min.interval));
        let asked = headers.session_expires();
        let most = wanted.max(self.min);
        let interval = asked.as_ref().map_or(most, |asked| asked.interval.min(most)).max(self.min);
        let is_able = knows_timer(headers);
        let asked = asked.and_then(|asked| asked.refresher());
        let kept = self.running.map(|running| running.refresher);
        // Table 2: who does not know of timers is refreshed by us.
        let refresher = match asked {
            _ if !is_able => End::Us,
            Some(Refresher::Uas) => End::Us,
            Some(Refresher::Uac) => End::Peer,
            None => kept.unwrap_or(End::Peer),
        };
        self.start(now, interval, refresher);
        let refresher = match refresher {
            End::Us => Refresher::Uas,
            End::Peer => Refresher::Uac,
        };
        let expires = SessionExpires::new(interval, Some(refresher)).to_string();
        let reply = reply.header(Name::SessionExpires, expires);
        if is_able { reply.header(Name::Require, "timer") } else { reply }
    }

    /// Takes what the 2xx to a request of ours agrees (§7.2); without Session-Expires there is no timer.
    pub(super) fn conclude(&mut self, now: Instant, response: &Message) {
        let Some(expires) = response.headers.session_expires() else {
            self.running = None;
            return;
        };
        let refresher = match expires.refresher() {
            Some(Refresher::Uas) => End::Peer,
            Some(Refresher::Uac) | None => End::Us,
        };
        self.start(now, expires.interval.max(FLOOR), refresher);
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let Running { refresh, end, .. } = self.running?;
        Some(refresh.map_or(end, |refresh| refresh.min(end)))
    }

    /// What is due now; each refresh once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Due> {
        let running = self.running.as_mut()?;
        if running.end <= now {
            return Some(Due::Expiry);
        }
        running.refresh.take_if(|refresh| *refresh <= now).map(|_| Due::Refresh)
    }

    /// After a refresh that failed: tries again after half of the time that is left, while that is worth it.
    pub(super) fn postpone(&mut self, now: Instant) {
        let Some(running) = self.running.as_mut().filter(|own| own.refresher == End::Us) else {
            return;
        };
        let pause = running.end.saturating_duration_since(now) / 2;
        running.refresh = (pause >= SHORTEST_PAUSE).then(|| now + pause);
    }

    fn start(&mut self, now: Instant, interval: Duration, refresher: End) {
        let margin = (interval / 3).min(MARGIN);
        let refresh = (refresher == End::Us).then(|| now + interval / 2);
        let end = now + interval.saturating_sub(margin);
        self.running = Some(Running { interval, refresher, refresh, end });
    }
}

/// What a 422 to this request says (§9): the interval it wants is shorter than `min`.
pub(in crate::sip) fn refuse_interval(
    request: &Message,
    method: &Method,
    min: Duration,
) -> Option<Reply> {
    let headers = &request.headers;
    let is_concerned = matches!(method, Method::Invite | Method::Update) && knows_timer(headers);
    let expires = headers.session_expires().filter(|_| is_concerned)?;
    let reply = Reply::new(crate::sip::StatusCode::SESSION_INTERVAL_TOO_SMALL);
    (expires.interval < min).then(|| reply.header(Name::MinSe, MinSe::new(min).to_string()))
}

fn knows_timer(headers: &Headers) -> bool {
    headers.has_token(&Name::Supported, "timer") || headers.has_token(&Name::Require, "timer")
}

/// How long before its end a session is ended (§10), unless a third of its interval is less.
const MARGIN: Duration = Duration::from_secs(32);

/// The shortest interval that a 2xx can make us keep: Min-SE forbids less than 90 s, but some write a minute.
const FLOOR: Duration = Duration::from_secs(30);

/// A refresh that has less time before it than this would hardly be answered in time.
const SHORTEST_PAUSE: Duration = Duration::from_secs(4);
