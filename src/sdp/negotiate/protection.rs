//! How media is protected: by what stands in the descriptions, or by what they say of DTLS.

use mixer::srtp;

use super::{Negotiation, Offered, Usable};
use crate::sdp::crypto::{Crypto, SrtpPolicy};
use crate::sdp::dtls::{self, Agreed, Lines, Ours, Protection, Setup, Theirs};
use crate::sdp::ice::{Agent, Kind};
use crate::sdp::plan::Refusal;
use crate::sdp::session::{Media, Session};
use crate::webrtc::Credentials;

impl Negotiation {
    /// The line that stands, or what we offer at first.
    pub(super) fn cryptos(&mut self) -> Vec<Crypto> {
        if self.standing.plan.is_some() {
            return self.standing.crypto.iter().cloned().collect();
        }
        match self.local.srtp {
            SrtpPolicy::Off | SrtpPolicy::Accept => Vec::new(),
            SrtpPolicy::Offer | SrtpPolicy::Require => Crypto::offered(&mut self.dice),
        }
    }

    /// Our answer to this line of theirs: under the key in use, unless theirs is new.
    pub(super) fn own_crypto(&mut self, theirs: &Crypto) -> Crypto {
        let keys = self.plan().and_then(|plan| plan.srtp.as_ref());
        match keys.filter(|keys| keys.receive == theirs.key) {
            Some(keys) => Crypto { tag: theirs.tag, key: keys.send.clone() },
            None => theirs.answered(&mut self.dice),
        }
    }

    /// Whether to offer DTLS, and ICE with it: what stands, or what we offer at first.
    pub(super) fn offered_dtls(&mut self) -> Option<Ours> {
        if self.standing.plan.is_some() {
            return self.standing.dtls.as_ref().map(dtls::Standing::again);
        }
        let offers = self.local.dtls.as_ref().is_some_and(|dtls| dtls.offers);
        offers.then(|| Ours {
            ice: Some(Agent { credentials: Credentials::draw(&mut self.dice), kind: Kind::Full }),
        })
    }

    /// Our agent towards theirs: the one in use, with new credentials if theirs are new.
    pub(super) fn own_agent(&mut self, theirs: &Theirs) -> Agent {
        let before = self.standing.dtls.as_ref();
        let agent = before.and_then(dtls::Standing::agent);
        let goes_on = before.is_some_and(|before| before.goes_on(theirs));
        if let Some(agent) = agent.clone().filter(|_| goes_on) {
            return agent;
        }
        let kind = agent.map_or(Kind::Lite, |agent| agent.kind);
        Agent { credentials: Credentials::draw(&mut self.dice), kind }
    }

    pub(super) fn associated(&self, theirs: &Theirs, ours: Option<Agent>) -> dtls::Standing {
        let (before, next) = (self.standing.dtls.as_ref(), self.associations.wrapping_add(1));
        dtls::Standing::after(before, theirs, ours, next)
    }

    pub(super) fn note_association(&mut self, dtls: Option<&dtls::Standing>) {
        self.associations = dtls.map_or(self.associations, |dtls| dtls.association.number);
    }

    /// What our m-line says of DTLS, where it may speak of it.
    pub(super) fn lines<'a>(&'a self, setup: Setup, ice: Option<&'a Agent>) -> Option<Lines<'a>> {
        let policy = self.local.dtls.as_ref()?;
        Some(Lines { fingerprint: &policy.fingerprint, setup, ice })
    }

    /// How this m-line is protected, in an answer as was `offered`.
    pub(super) fn protection(
        &self,
        session: &Session,
        media: &Media,
        offered: Option<&Offered>,
    ) -> Result<Protection<Crypto>, Refusal> {
        let is_dtls = is_protocol(media, &DTLS);
        let takes_dtls =
            self.local.dtls.is_some() && offered.is_none_or(|offered| offered.dtls.is_some());
        if is_dtls && takes_dtls {
            return Theirs::read(session, media, self.local.address).map(Protection::Dtls);
        }
        if offered.is_some_and(|offered| offered.dtls.is_some()) {
            return Err(Refusal::NotEncrypted);
        }
        match self.secure(media, offered.map(|offered| &*offered.cryptos)) {
            Ok(Some(crypto)) => Ok(Protection::Sdes(crypto)),
            Ok(None) => Ok(Protection::Clear),
            // Browsers of old, and some gateways, name the profile of SDES.
            Err(_)
                if takes_dtls
                    && is_protocol(media, &SECURE)
                    && Theirs::is_there(session, media) =>
            {
                Theirs::read(session, media, self.local.address).map(Protection::Dtls)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The line of theirs that we take, in an answer one that takes `offered`; none where media may stay readable.
    pub(super) fn secure(
        &self,
        media: &Media,
        offered: Option<&[Crypto]>,
    ) -> Result<Option<Crypto>, Refusal> {
        let policy = self.local.srtp;
        let is_secure = is_protocol(media, &SECURE);
        let is_spoken = is_protocol(media, &PLAIN) || is_secure && policy != SrtpPolicy::Off;
        if !is_spoken {
            let spoken = policy.protocols(self.local.dtls.is_some());
            return Err(Refusal::Protocol(media.protocol().to_owned(), spoken));
        }
        if policy == SrtpPolicy::Off {
            return Ok(None);
        }
        let fits = |theirs: &Crypto| {
            offered.is_none_or(|offered| offered.iter().any(|ours| theirs.takes(ours)))
        };
        let found = media.attributes("crypto").filter_map(Crypto::parse).find(fits);
        // Who answers with another line than one of ours encrypts what we could not read.
        let is_promised = offered.is_some_and(|offered| !offered.is_empty())
            && media.attributes("crypto").next().is_some();
        if found.is_none() && (is_secure || is_promised || policy == SrtpPolicy::Require) {
            return Err(Refusal::NotEncrypted);
        }
        Ok(found)
    }
}

pub(super) fn agreed(
    ours: Option<&Crypto>,
    theirs: &Usable<'_>,
    dtls: Option<&dtls::Standing>,
) -> Agreed {
    Agreed {
        srtp: ours.zip(theirs.protection.sdes()).map(|(ours, theirs)| srtp::Keys {
            send: ours.key.clone(),
            receive: theirs.key.clone(),
        }),
        dtls: dtls.map(|dtls| Box::new(dtls.association.clone())),
    }
}

fn is_protocol(media: &Media, known: &[&str]) -> bool {
    known.iter().any(|known| media.protocol().eq_ignore_ascii_case(known))
}

/// RFC 3551 and RFC 4585.
const PLAIN: [&str; 2] = ["RTP/AVP", "RTP/AVPF"];
/// RFC 3711 and RFC 5124.
const SECURE: [&str; 2] = ["RTP/SAVP", "RTP/SAVPF"];
/// RFC 5764 §8.
pub(super) const DTLS: [&str; 2] = ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"];

#[cfg(test)]
mod tests;
