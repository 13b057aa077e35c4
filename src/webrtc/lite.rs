//! A lite ICE agent (RFC 8445 §2.5): it has one address, answers checks, and sends none.
//!
//! ```text
//!  check with our password ─▶ its source may speak ─ USE-CANDIDATE ─▶ ours goes there
//! ```
//! Whoever knows the password from the signalling proves by it that it is the far side, and that it can receive there: an
//! address must do so before anything else of it is looked at. Consent (RFC 7675) is their right to be answered; a full
//! agent that hears no answer stops to send.
//!
//! Choices where the RFCs leave one: the last to be nominated counts, since a browser that changes its network nominates
//! anew. But of two that are nominated by each of their checks, as RFC 5245 allowed, the one of the higher priority does
//! (RFC 5245 §8.1.1.2). After a restart checks of before still pass, so that sound goes on until another pair is nominated.

use std::net::SocketAddr;

use super::ice::{Credentials, Ours};
use super::stun::{Control, ParseError, Request};

/// What became of a check.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Check {
    /// It was none: nothing is to be sent.
    Ignored(ParseError),
    /// It was refused; the answer says why.
    Refused,
    /// Its source may speak; the answer says where it was seen.
    Passed,
    /// So, and ours goes there from now on, to another place than before.
    Nominated(SocketAddr),
}

/// Our end of the agreement.
#[derive(Debug)]
pub struct Lite {
    ours: Ours,
    /// Sources of checks that passed, the latest first.
    valid: [Option<SocketAddr>; VALID_MAX],
    chosen: Option<Chosen>,
}

/// The pair that was nominated.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    remote: SocketAddr,
    priority: u32,
    /// Its last check nominated it again.
    insists: bool,
}

impl Lite {
    /// Waits for checks with these credentials of ours.
    pub fn new(ours: Credentials) -> Self {
        Self { ours: Ours::new(ours), valid: [None; VALID_MAX], chosen: None }
    }

    /// Takes new credentials (RFC 8445 §9); the same ones again are nothing.
    pub fn restart(&mut self, ours: &Credentials) {
        if self.ours.restart(ours)
            && let Some(chosen) = &mut self.chosen
        {
            chosen.insists = false;
        }
    }

    /// Takes what may be a check, and writes what is to be sent back to where it came from.
    pub fn handle_check(&mut self, from: SocketAddr, bytes: &[u8], answer: &mut Vec<u8>) -> Check {
        answer.clear();
        let request = match Request::parse(bytes) {
            Ok(request) => request,
            Err(error) => return Check::Ignored(error),
        };
        // Who is lite decides nothing.
        let conflicts = |theirs| theirs == Some(Control::Controlled);
        let theirs = request.control.map(|(control, _)| control);
        if self.ours.answer((from, &request), || conflicts(theirs), answer).is_none() {
            return Check::Refused;
        }
        self.note_valid(from);
        if self.choose(from, &request) { Check::Nominated(from) } else { Check::Passed }
    }

    /// Whether this source has proved that it is the far side.
    pub fn knows(&self, source: SocketAddr) -> bool {
        self.valid.contains(&Some(source))
            || self.chosen.is_some_and(|chosen| chosen.remote == source)
    }

    /// Where ours goes: to the nominated pair, or before that to whose check passed last.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.chosen.map(|chosen| chosen.remote).or(self.valid[0])
    }

    fn note_valid(&mut self, from: SocketAddr) {
        let at = self.valid.iter().position(|known| *known == Some(from));
        let at = at.unwrap_or(VALID_MAX - 1);
        self.valid[at] = Some(from);
        self.valid[..=at].rotate_right(1);
    }

    /// Notes a nomination; true if ours goes elsewhere now.
    fn choose(&mut self, from: SocketAddr, request: &Request<'_>) -> bool {
        if let Some(chosen) = &mut self.chosen
            && chosen.remote == from
        {
            chosen.insists = request.nominates;
            return false;
        }
        let is_weaker = |chosen: Chosen| chosen.insists && chosen.priority > request.priority;
        if !request.nominates || self.chosen.is_some_and(is_weaker) {
            return false;
        }
        self.chosen = Some(Chosen { remote: from, priority: request.priority, insists: true });
        true
    }
}

/// Addresses of one far side that are known at once: some networks, each with IPv4 and IPv6.
const VALID_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::stun::tests::{CONTROLLED, NOMINATES, STRANGE, check, priority};
    use super::*;

    const USER: &str = "ours:theirs";
    const PASSWORD: &str = "a password of 22 signs";

    fn agent() -> Lite {
        Lite::new(Credentials { ufrag: "ours".to_owned(), password: PASSWORD.to_owned() })
    }

    fn at(port: u16) -> SocketAddr {
        ([192, 0, 2, 1], port).into()
    }

    fn hear(agent: &mut Lite, port: u16, bytes: &[u8]) -> Check {
        agent.handle_check(at(port), bytes, &mut Vec::new())
    }

    #[test]
    fn a_source_may_speak_after_its_check_and_is_sent_to_when_nominated() {
        let mut agent = agent();

        let strangers = agent.knows(at(1));
        let passed = hear(&mut agent, 1, &check(USER, PASSWORD, &[]));
        let other = hear(&mut agent, 2, &check(USER, PASSWORD, &[]));
        let before = agent.remote();
        let nominated = hear(&mut agent, 1, &check(USER, PASSWORD, &[NOMINATES]));

        assert!(!strangers && agent.knows(at(1)) && agent.knows(at(2)));
        assert_eq!((passed, other), (Check::Passed, Check::Passed));
        assert_eq!((before, nominated), (Some(at(2)), Check::Nominated(at(1))));
        assert_eq!(agent.remote(), Some(at(1)));
    }

    #[test]
    fn consent_is_answered_and_changes_nothing() {
        let mut agent = agent();
        hear(&mut agent, 1, &check(USER, PASSWORD, &[NOMINATES]));
        let mut answer = Vec::new();

        for _ in 0..100 {
            let fresh = check(USER, PASSWORD, &[]);
            assert_eq!(agent.handle_check(at(1), &fresh, &mut answer), Check::Passed);
            assert!(answer.starts_with(&[1, 1]));
        }

        assert_eq!(agent.remote(), Some(at(1)));
    }

    #[test]
    fn who_does_not_know_the_password_is_told_so_and_stays_a_stranger() {
        let mut agent = agent();
        let mut answer = Vec::new();
        let nobody = "nobody:theirs";
        for (user, password) in [(USER, "another"), (nobody, PASSWORD), (nobody, ""), ("ours", "")]
        {
            let forged = check(user, password, &[NOMINATES]);

            let result = agent.handle_check(at(1), &forged, &mut answer);

            assert_eq!(result, Check::Refused, "{user} {password}");
            assert!(answer.starts_with(&[1, 0x11]) && answer.len() <= forged.len());
        }
        assert!(!agent.knows(at(1)) && agent.remote().is_none());
    }

    #[test]
    fn what_is_no_check_is_not_answered() {
        let (mut agent, mut answer) = (agent(), vec![1]);

        let result = agent.handle_check(at(1), b"\0\x01 not stun at all", &mut answer);

        assert_eq!(result, Check::Ignored(ParseError::Malformed));
        assert!(answer.is_empty());
    }

    #[test]
    fn a_lite_agent_decides_nothing() {
        let mut agent = agent();

        let result = hear(&mut agent, 1, &check(USER, PASSWORD, &[CONTROLLED]));
        let strange = hear(&mut agent, 1, &check(USER, PASSWORD, &[STRANGE]));

        assert_eq!((result, strange), (Check::Refused, Check::Refused));
        assert!(!agent.knows(at(1)));
    }

    #[test]
    fn of_two_that_both_insist_the_higher_priority_counts() {
        let mut agent = agent();
        let low = check(USER, PASSWORD, &[NOMINATES, priority(&[0, 0, 0, 1])]);
        let high = check(USER, PASSWORD, &[NOMINATES, priority(&[0, 0, 0, 2])]);

        let first = hear(&mut agent, 1, &low);
        let second = hear(&mut agent, 2, &high);
        let again = hear(&mut agent, 1, &low);

        assert_eq!(first, Check::Nominated(at(1)));
        assert_eq!((second, again), (Check::Nominated(at(2)), Check::Passed));
    }

    #[test]
    fn a_browser_on_another_network_is_followed() {
        let mut agent = agent();
        let cable = [NOMINATES, priority(&[9, 0, 0, 0])];
        hear(&mut agent, 1, &check(USER, PASSWORD, &cable));

        hear(&mut agent, 1, &check(USER, PASSWORD, &[priority(&[9, 0, 0, 0])]));
        let moved = hear(&mut agent, 2, &check(USER, PASSWORD, &[NOMINATES]));

        assert_eq!(moved, Check::Nominated(at(2)));
    }

    #[test]
    fn after_a_restart_both_passwords_pass_and_the_new_pair_is_taken() {
        let mut agent = agent();
        let old = check(USER, PASSWORD, &[NOMINATES, priority(&[9, 0, 0, 0])]);
        hear(&mut agent, 1, &old);
        let new = Credentials { ufrag: "anew".to_owned(), password: "other".to_owned() };

        agent.restart(&new);
        let kept = agent.remote();
        let still = hear(&mut agent, 1, &check(USER, PASSWORD, &[]));
        let moved = hear(&mut agent, 2, &check("anew:theirs", "other", &[NOMINATES]));

        assert_eq!((kept, still), (Some(at(1)), Check::Passed));
        assert_eq!(moved, Check::Nominated(at(2)));
    }

    #[test]
    fn a_flood_of_sources_is_bounded() {
        let mut agent = agent();

        for port in 1..1_000 {
            hear(&mut agent, port, &check(USER, PASSWORD, &[]));
        }

        let known = (1..1_000).filter(|&port| agent.knows(at(port))).count();
        assert_eq!(known, VALID_MAX);
        assert!(agent.knows(at(999)));
    }
}
