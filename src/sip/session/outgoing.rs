//! A call that rings elsewhere, at one phone or at several: RFC 3261 §13.2, §16.6 and §16.7 as far as they are those of a
//! caller that forks by itself, and for redirections §8.1.3.4.
//!
//! ```text
//!  group ─▶ a branch each ─┬─2xx──▶ Established; the others: CANCEL, "Call completed elsewhere"
//!    ▲                     ├─6xx──▶ Over; the others: CANCEL
//!    │                     ├─3xx──▶ its best Contacts are branches in its place, the others groups to come
//!    └── no branch is left,┴─else─▶ noted, unless a better refusal was; the last one: Over
//!        or it rang long enough
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::established::{Established, Side};
use super::forks::{BranchId, Forks, Order};
use super::reliable::rack_of;
use super::template::{Template, Turn};
use super::timer::SessionTimer;
use super::{Ask, Refusal, State, Within, reason_of, sdp_of};
use crate::sip::dialog::{Dialog, DialogId, Identity};
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::{Event, Hunt, Invitation, SessionId, Target};
use crate::sip::headers::{Name, NameAddr};
use crate::sip::layer::RequestId;
use crate::sip::uri::Scheme;
use crate::sip::{Message, StatusCode, Uri};

/// INVITEs of ours of which none has been accepted.
#[derive(Debug)]
pub(super) struct Outgoing {
    template: Template,
    /// Whom it rings now.
    branches: Vec<Branch>,
    pub(super) forks: Forks,
    /// Everywhere the call went or will go.
    visited: Vec<Uri>,
    /// Where it goes next: all of a group at once.
    groups: VecDeque<Vec<Target>>,
    hunt: Hunt,
    /// The refusal to be reported if all fail.
    best: Option<Refusal>,
    /// The highest sequence number so far.
    sequence: u32,
    last: BranchId,
    redirects_left: usize,
    /// How long a group rings while another waits.
    patience: Option<Duration>,
    /// When this group has rung long enough.
    group_until: Option<Instant>,
    /// When we stop ringing.
    until: Instant,
}

/// An INVITE to one target.
#[derive(Debug)]
struct Branch {
    id: BranchId,
    request: RequestId,
    target: Target,
    sequence: u32,
    timer: SessionTimer,
    /// How often it was sent.
    invites: u32,
}

impl Outgoing {
    /// The Call-ID of the INVITE and of every dialog it makes.
    pub(super) fn call_id(&self) -> &str {
        &self.template.call_id
    }

    pub(super) fn new(now: Instant, core: &mut Core, id: SessionId, call: Invitation) -> Self {
        let Invitation { targets, patience, hunt, from, mut to, .. } = call;
        to.params.remove("tag");
        let own = || Identity::party(from.uri.user_plain().unwrap_or_default());
        let template = Template {
            identity: call.identity.unwrap_or_else(own),
            from: from.with_tag(&core.layer.new_tag()).to_string(),
            to: to.to_string(),
            call_id: core.layer.new_call_id(),
            headers: call.headers,
            offer: call.offer,
            account: call.account,
        };
        let mut outgoing = Self {
            template,
            branches: Vec::new(),
            forks: Forks::default(),
            visited: targets.iter().flatten().map(|to| to.uri.clone()).collect(),
            groups: targets.into_iter().filter(|group| !group.is_empty()).collect(),
            hunt,
            best: None,
            sequence: 0,
            last: BranchId::default(),
            redirects_left: core.layer.settings.redirects,
            patience,
            group_until: None,
            until: now + core.layer.settings.ring,
        };
        outgoing.call_next(now, core, id);
        outgoing
    }

    /// Says otherwise who we are, from the next message on.
    pub(super) fn identify(&mut self, identity: Identity) {
        self.template.identity = identity;
    }

    /// Notes that the INVITE, or an UPDATE before its answer, went out again under another name.
    pub(super) fn note_sent_again(&mut self, request: RequestId, again: RequestId) {
        if let Some(branch) = self.branches.iter_mut().find(|branch| branch.request == request) {
            branch.request = again;
            branch.sequence += 1;
            self.sequence = self.sequence.max(branch.sequence);
        } else {
            self.forks.note_sent_again(request, again);
        }
    }

    /// True if this is the INVITE to somebody whom it rings now.
    pub(super) fn is_ours(&self, request: RequestId) -> bool {
        self.branches.iter().any(|branch| branch.request == request)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.group_until.map_or(self.until, |group| group.min(self.until))
    }

    pub(super) fn handle_timeout(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
    ) -> State {
        if now < self.until {
            if self.group_until.is_some_and(|until| until <= now) {
                self.release_all(now, core, None);
                self.note_refusal(Refusal::of_status(StatusCode::REQUEST_TIMEOUT));
                self.call_next(now, core, id);
            }
            return State::Outgoing(self);
        }
        self.give_up(now, core, None);
        let refusal = Refusal::of_status(StatusCode::REQUEST_TIMEOUT);
        emit_failed(core, id, refusal);
        State::Over
    }

    /// Takes a response to an INVITE that [`Self::is_ours`].
    pub(super) fn handle_response(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        (request, response): (RequestId, Message),
    ) -> State {
        let Some(at) = self.position(request) else { return State::Outgoing(self) };
        match response.status() {
            Some(status) if status.is_provisional() => {
                self.progress(now, core, (id, at), (status, &response));
                State::Outgoing(self)
            }
            Some(status) if status.is_success() => self.establish(now, core, (id, at), response),
            Some(status) if status.is_redirection() => {
                self.redirect(now, core, (id, request), &response)
            }
            Some(StatusCode::SESSION_INTERVAL_TOO_SMALL) if self.bears_longer(at, &response) => {
                self.send_again(now, core, (id, at));
                State::Outgoing(self)
            }
            _ => self.fail(now, core, id, (request, Refusal::of_response(&response))),
        }
    }

    /// Takes the refusal of a branch, made here for want of one or not.
    pub(super) fn fail(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        (request, refusal): (RequestId, Refusal),
    ) -> State {
        self.leave(now, core, request);
        let status = refusal.status;
        let goes_on = match (status.code(), self.hunt) {
            (600.., _) => false,
            (300..=399 | 408 | 500..=599, _) | (_, Hunt::Refused) => true,
            (_, Hunt::Unreachable) => false,
        };
        if !goes_on {
            let why = format!("SIP;cause={};text=\"{}\"", status.code(), status.reason());
            self.give_up(now, core, Some(&why));
            emit_failed(core, id, refusal);
            return State::Over;
        }
        self.note_refusal(refusal);
        self.go_on(now, core, id)
    }

    /// The next group, once nobody is called any more; without one it has failed.
    fn go_on(mut self: Box<Self>, now: Instant, core: &mut Core, id: SessionId) -> State {
        if self.branches.is_empty() {
            self.call_next(now, core, id);
        }
        if self.branches.is_empty() {
            let nobody = || Refusal::of_status(StatusCode::TEMPORARILY_UNAVAILABLE);
            emit_failed(core, id, self.best.take().unwrap_or_else(nobody));
            return State::Over;
        }
        State::Outgoing(self)
    }

    fn call_next(&mut self, now: Instant, core: &mut Core, id: SessionId) {
        let Some(group) = self.groups.pop_front() else { return };
        self.call(now, core, id, group);
        self.time_group(now);
    }

    /// Only who is waited for makes a group impatient.
    fn time_group(&mut self, now: Instant) {
        let patience = self.patience.filter(|_| !self.groups.is_empty());
        self.group_until = patience.map(|patience| now + patience);
    }

    /// Calls all of these at once. Like the branches of a proxy they have one sequence number, so that a phone that is
    /// reached in two ways rings once (§8.2.2.2).
    fn call(&mut self, now: Instant, core: &mut Core, id: SessionId, group: Vec<Target>) {
        self.sequence += 1;
        let has_others = !self.groups.is_empty();
        for target in group {
            let timer = SessionTimer::new(core.layer.settings.min_se);
            let turn = Turn { to: &target, sequence: self.sequence, timer: &timer, has_others };
            let request = self.template.send(now, core, id, turn);
            self.last.0 += 1;
            self.branches.push(Branch {
                id: self.last,
                request,
                target,
                sequence: self.sequence,
                timer,
                invites: 1,
            });
        }
    }

    fn send_again(&mut self, now: Instant, core: &mut Core, (id, at): (SessionId, usize)) {
        let branch = &mut self.branches[at];
        self.forks.leave_branch(now, core, branch.id);
        branch.sequence += 1;
        branch.invites += 1;
        self.sequence = self.sequence.max(branch.sequence);
        let turn = Turn {
            to: &branch.target,
            sequence: branch.sequence,
            timer: &branch.timer,
            has_others: !self.groups.is_empty(),
        };
        branch.request = self.template.send(now, core, id, turn);
    }

    /// Takes the Min-SE of a 422 (RFC 4028 §7.3), if it makes a difference and not too many did before.
    fn bears_longer(&mut self, at: usize, response: &Message) -> bool {
        let branch = &mut self.branches[at];
        let min = response.headers.min_se().map(|min| min.interval);
        branch.timer.raise(min) && branch.invites < MAX_INVITES
    }

    /// Cancels; a 2xx that crosses the CANCEL is released when it comes.
    pub(super) fn give_up(mut self: Box<Self>, now: Instant, core: &mut Core, why: Option<&str>) {
        self.release_all(now, core, why);
    }

    fn release_all(&mut self, now: Instant, core: &mut Core, why: Option<&str>) {
        self.forks.leave_all(now, core);
        for branch in self.branches.drain(..) {
            core.layer.cancel(now, branch.request, why.map(str::to_owned));
        }
    }

    fn position(&self, request: RequestId) -> Option<usize> {
        self.branches.iter().position(|branch| branch.request == request)
    }

    /// Forgets a branch that has its final response.
    fn leave(&mut self, now: Instant, core: &mut Core, request: RequestId) {
        if let Some(at) = self.position(request) {
            let branch = self.branches.remove(at);
            self.forks.leave_branch(now, core, branch.id);
        }
    }

    /// §16.7 step 6. Of ways to one callee the last one tried knows best.
    fn note_refusal(&mut self, refusal: Refusal) {
        let is_better = match (&self.best, self.hunt) {
            (None, _) | (_, Hunt::Unreachable) => true,
            (Some(best), Hunt::Refused) => rank(refusal.status) < rank(best.status),
        };
        if is_better {
            self.best = Some(refusal);
        }
    }

    /// A request of the callee within an early dialog.
    pub(super) fn handle_request(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        id: SessionId,
        within: Within<'_>,
    ) -> State {
        match within.ask {
            Ask::Refresh => {
                super::established::accept_refresh(now, core, within, None);
            }
            // RFC 3261 §15 forbids the callee this; its branch is lost all the same.
            Ask::Bye => {
                core.reply_status(now, within.server, StatusCode::OK);
                self.forks.leave(now, core, within.dialog);
            }
            Ask::Update => self.forks.handle_offer(now, core, id, within),
            // We send no provisional responses.
            Ask::Prack => {
                core.reply_status(now, within.server, StatusCode::CALL_DOES_NOT_EXIST);
            }
            // RFC 3261 §14.2: our own INVITE is open.
            Ask::Reinvite => core.reply_status(now, within.server, StatusCode::REQUEST_PENDING),
        }
        State::Outgoing(self)
    }

    fn progress(
        &mut self,
        now: Instant,
        core: &mut Core,
        (id, at): (SessionId, usize),
        (status, response): (StatusCode, &Message),
    ) {
        if response.headers.to().is_ok_and(|to| to.tag().is_some()) {
            self.note_early(core, (id, at), response);
        }
        if let Some(rack) = rack_of(response) {
            let offer = self.template.offer_to(&self.branches[at].target);
            let order = self.forks.acknowledge_reliable(now, core, (response, rack), offer);
            if order == Order::Broken {
                return;
            }
        }
        let (reason, sdp) = (reason_of(response), sdp_of(response));
        let dialog = DialogId::of_response(response);
        core.emit(Event::Progress { session: id, status, reason, sdp, dialog });
    }

    fn note_early(&mut self, core: &mut Core, (id, at): (SessionId, usize), response: &Message) {
        if let Some(dialog) = self.dialog(core, at, response) {
            self.forks.note(core, (id, self.branches[at].id), dialog, response);
        }
    }

    /// The dialog that a response to a branch makes or belongs to.
    fn dialog(&self, core: &Core, at: usize, response: &Message) -> Option<Dialog> {
        let request = self.branches[at].request;
        let invite = core.layer.request_sent(request)?;
        let flow = core.layer.flow_of(request);
        let mut dialog = Dialog::of_response(invite, response, flow, &self.template.identity)?;
        dialog.account.clone_from(&self.template.account);
        Some(dialog)
    }

    fn establish(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        (id, at): (SessionId, usize),
        response: Message,
    ) -> State {
        let Some(dialog) = self.dialog(core, at, &response) else {
            // Not even an ACK can be sent; the callee gives up when it misses that.
            let refusal = Refusal::of_status(StatusCode::BAD_REQUEST);
            let request = self.branches[at].request;
            return self.fail(now, core, id, (request, refusal));
        };
        let Branch { request, target, sequence, timer, .. } = self.branches.remove(at);
        let dialog = core.dialogs.insert_for_session(dialog, id);
        let fork = self.forks.take(&dialog);
        self.release_all(now, core, Some(ELSEWHERE));
        let is_settled = !fork.exchange.is_open();
        let offer = self.template.offer_to(&target).cloned();
        // RFC 6337 §3.1.1: after a reliable answer, what the 2xx says is none.
        let sdp = if is_settled {
            fork.answer
        } else {
            sdp_of(&response).or_else(|| fork.told.filter(|_| offer.is_some()))
        };
        let mut established = Box::new(Established::new(dialog, Side::Caller, timer));
        established.timer.conclude(now, &response);
        established.updates.note(&response);
        let is_acknowledged = offer.is_some() || is_settled || sdp.is_none();
        established.description = fork.description.or(offer);
        established.owe_ack(request, sequence);
        if is_acknowledged {
            established.acknowledge(core, None);
        }
        if is_settled {
            established.exchange = fork.exchange.into_exchange(now + core.layer.settings.ring);
        }
        let (response, target) = (Box::new(response), Box::new(target));
        core.emit(Event::Answered { session: id, sdp, response, target });
        State::Established(established)
    }

    /// Calls the best Contacts of a 3xx in the place of who said it; the others have to wait, the better ones less long.
    fn redirect(
        mut self: Box<Self>,
        now: Instant,
        core: &mut Core,
        (id, request): (SessionId, RequestId),
        response: &Message,
    ) -> State {
        let mut groups = self.contacts_of(core, response);
        let Some(best) = groups.pop_front() else {
            return self.fail(now, core, id, (request, Refusal::of_response(response)));
        };
        self.leave(now, core, request);
        self.call(now, core, id, best);
        for group in groups.into_iter().rev() {
            self.groups.push_front(group);
        }
        if self.group_until.is_none() {
            self.time_group(now);
        }
        State::Outgoing(self)
    }

    /// The Contacts of a 3xx that were not tried yet, in groups, best first.
    fn contacts_of(&mut self, core: &Core, response: &Message) -> VecDeque<Vec<Target>> {
        let mut groups = VecDeque::new();
        if self.redirects_left == 0 {
            return groups;
        }
        self.redirects_left -= 1;
        let mut contacts: Vec<NameAddr> = response
            .headers
            .addresses(&Name::Contact)
            .filter_map(Result::ok)
            .filter(|contact| contact.uri.scheme() == Scheme::Sip)
            .take(core.layer.settings.forks)
            .collect();
        contacts.sort_by_key(|contact| std::cmp::Reverse(quality(contact)));
        for contacts in contacts.chunk_by(|one, other| quality(one) == quality(other)) {
            let mut group = Vec::new();
            for contact in contacts {
                if !self.visited.iter().any(|uri| uri.is_equivalent(&contact.uri)) {
                    self.visited.push(contact.uri.clone());
                    group.push(contact.uri.clone().into());
                }
            }
            if !group.is_empty() {
                groups.push_back(group);
            }
        }
        groups
    }
}

fn emit_failed(core: &mut Core, session: SessionId, refusal: Refusal) {
    let Refusal { status, reason, retry_after, .. } = refusal;
    core.emit(Event::Failed { session, status, reason, retry_after });
}

/// How little a refusal tells who called several phones: the lowest class first, in it what helps to call again, and last
/// what only says that nobody was there (§16.7 step 6).
fn rank(status: StatusCode) -> (u16, u8) {
    let within = match status.code() {
        401 | 407 | 415 | 420 | 484 => 0,
        408 | 480..=482 | 487 => 2,
        _ => 1,
    };
    (status.code() / 100, within)
}

/// The `q` of a Contact in thousandths; 1 if there is none (RFC 3261 §20.10).
fn quality(contact: &NameAddr) -> u32 {
    let Some(value) = contact.params.value("q") else { return 1000 };
    match value.split_once('.') {
        Some(("0", thousandths)) => {
            let digits: String = thousandths.chars().chain("000".chars()).take(3).collect();
            digits.parse().unwrap_or(0)
        }
        Some(("1", _)) => 1000,
        None if value == "1" => 1000,
        Some(_) | None => 0,
    }
}

/// INVITEs to one target: each proxy on the way may want a longer session interval.
const MAX_INVITES: u32 = 10;

/// RFC 3326 §3.1: not a missed call, since it was answered at another phone.
const ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";
