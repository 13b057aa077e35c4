//! What both kinds of ICE agent have (RFC 8445, RFC 8839): credentials, what offer and answer agreed, and the answers to
//! checks.

use std::fmt;
use std::net::SocketAddr;

use rand_core::Rng;

use super::stun::{Refusal, Request};

/// A user fragment and a password (RFC 8839 §5.4).
#[derive(Clone, Eq, PartialEq)]
pub struct Credentials {
    /// Names the agent.
    pub ufrag: String,
    /// Whoever knows it has read the signalling.
    pub password: String,
}

impl Credentials {
    /// New ones: 48 bits of name, 144 of secret; at least 24 and 128 are asked for.
    pub fn draw(dice: &mut impl Rng) -> Self {
        Self { ufrag: letters(dice, 8), password: letters(dice, 24) }
    }

    /// As read; `None` unless both have a legal length and only legal letters.
    pub fn new(ufrag: &str, password: &str) -> Option<Self> {
        let is_legal = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'+' || octet == b'/';
        let fits = |text: &str, least: usize| {
            (least..=256).contains(&text.len()) && text.bytes().all(is_legal)
        };
        (fits(ufrag, 4) && fits(password, 22))
            .then(|| Self { ufrag: ufrag.to_owned(), password: password.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    /// The secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

fn letters(dice: &mut impl Rng, count: usize) -> String {
    let letter = |_| char::from(LETTERS[usize::from(dice.next_u32().to_le_bytes()[0] & 63)]);
    (0..count).map(letter).collect()
}

/// What offer and answer agreed: who is called is offered a full agent, who calls is answered by a lite one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ice {
    /// They check us; these are our credentials.
    Lite(Credentials),
    /// We check them.
    Full {
        /// Our credentials.
        ours: Credentials,
        /// Whom to check, and where.
        theirs: Remote,
    },
}

impl Ice {
    /// Our credentials.
    pub fn ours(&self) -> &Credentials {
        match self {
            Self::Lite(ours) | Self::Full { ours, .. } => ours,
        }
    }
}

/// What the far side says of its agent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Remote {
    /// Its credentials.
    pub credentials: Credentials,
    /// Where it may be, those that can be reached from our address.
    pub candidates: Vec<Candidate>,
    /// It answers checks and sends none.
    pub is_lite: bool,
}

/// A place where the far side may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// Where.
    pub address: SocketAddr,
    /// How much it likes it there, most first.
    pub priority: u32,
}

/// Our credentials, as checks of theirs must know them.
#[derive(Debug)]
pub(super) struct Ours {
    now: Credentials,
    /// Of before the last restart (RFC 8445 §9): checks of then still pass, so that sound goes on.
    before: Option<Credentials>,
}

/// Which credentials a check knew.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Era {
    Now,
    BeforeRestart,
}

impl Ours {
    pub(super) fn new(ours: Credentials) -> Self {
        Self { now: ours, before: None }
    }

    /// Takes new credentials; the same ones again are nothing, and false.
    pub(super) fn restart(&mut self, new: &Credentials) -> bool {
        let is_new = self.now != *new;
        if is_new {
            self.before = Some(std::mem::replace(&mut self.now, new.clone()));
        }
        is_new
    }

    /// Writes the answer to a check; `None` if that is a refusal. Whether roles conflict is asked once it is known that the
    /// check is theirs.
    pub(super) fn answer(
        &self,
        (from, request): (SocketAddr, &Request<'_>),
        conflicts: impl FnOnce() -> bool,
        answer: &mut Vec<u8>,
    ) -> Option<Era> {
        let (password, era) = match self.authenticate(request) {
            Ok(known) => known,
            Err(why) => {
                request.refuse(why, None, answer);
                return None;
            }
        };
        let refusal = if !request.is_understood() {
            Some(Refusal::UnknownAttribute)
        } else if conflicts() {
            Some(Refusal::RoleConflict)
        } else {
            None
        };
        if let Some(why) = refusal {
            request.refuse(why, Some(password), answer);
            return None;
        }
        request.accept(from, password, answer);
        Some(era)
    }

    /// The password of the request's user: USERNAME is our fragment, a colon and theirs (RFC 8445 §7.2.2).
    fn authenticate(&self, request: &Request<'_>) -> Result<(&[u8], Era), Refusal> {
        let named = |ours: &Credentials| {
            let rest = request.username.and_then(|name| name.strip_prefix(ours.ufrag.as_bytes()));
            rest.is_some_and(|rest| rest.starts_with(b":"))
        };
        let before = self.before.as_ref().map(|before| (before, Era::BeforeRestart));
        let all = [Some((&self.now, Era::Now)), before];
        let known = all.into_iter().flatten().find(|(ours, _)| named(ours));
        // Who is nobody is told no more than who has the wrong password, and after the same work.
        let password = known.map_or(&[][..], |(ours, _)| ours.password.as_bytes());
        request.authenticate(password)?;
        known.map(|(_, era)| (password, era)).ok_or(Refusal::Unauthenticated)
    }
}

/// RFC 8839 §5.1.1: what fragments and passwords are made of.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;

    const PASSWORD: &str = "a password of 22 signs";

    #[test]
    fn credentials_are_legal_and_never_the_same() {
        let mut dice = ChaCha12Rng::from_seed([1; 32]);

        let (one, other) = (Credentials::draw(&mut dice), Credentials::draw(&mut dice));

        assert_ne!(one, other);
        assert_eq!(Credentials::new(&one.ufrag, &one.password), Some(one));
        assert_eq!(Credentials::new("abc", PASSWORD), None);
        assert_eq!(Credentials::new("four", "too short"), None);
    }
}
