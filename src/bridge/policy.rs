//! What media a trunk, or a user, is spoken to with: codecs, encryption, and how digits are sent.

use std::time::Duration;

use api::model::LegId;
use bytes::Bytes;
use mixer::codec::Format;
use serde::{Deserialize, Serialize};

use super::{Bridge, Place, SrtpPolicy};
use crate::media::command::Command;
use crate::sip::{Message, Method, Name};

/// Media with one trunk or user. What is not said is as the settings of media say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MediaRules {
    /// Codecs offered and accepted, best first; none: the usual ones.
    pub codecs: Vec<Format>,
    /// Whether media is encrypted with keys in the descriptions.
    pub srtp: Option<SrtpPolicy>,
    /// How digits are sent.
    pub dtmf: Dtmf,
}

/// How digits are sent. However they come, they are taken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtmf {
    /// By RFC 4733 where that was agreed to; what one party of a call presses goes to the other by INFO otherwise, if it takes that.
    #[default]
    Auto,
    /// By RFC 4733 or not at all.
    Rfc4733,
    /// By INFO with `application/dtmf-relay` (RFC 6086 §10.10 names the practice).
    Info,
}

/// Whether a phone takes INFO, as its Allow says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Infos {
    Taken,
    Refused,
}

impl Infos {
    pub(super) fn of(message: &Message) -> Self {
        let takes = message.headers.has_token(&Name::Allow, Method::Info.as_str());
        if takes { Self::Taken } else { Self::Refused }
    }
}

impl Bridge {
    /// Media with this user.
    pub(super) fn user_media(&self, user: &str) -> Option<&MediaRules> {
        let mut callers = self.settings.callers.iter();
        let own = callers.find(|rules| rules.users.iter().any(|pattern| pattern.matches(user)));
        own.map(|rules| &rules.media)
    }

    pub(super) fn media_rules_of(&self, leg: LegId) -> MediaRules {
        self.legs.get(&leg).map(|leg| leg.media_rules.clone()).unwrap_or_default()
    }

    /// What one party of a call has pressed goes to the others.
    pub(super) fn relay_digit(&mut self, from: LegId, digit: char, duration: Duration) {
        let Some(place @ Place::Call(_)) = self.legs.get(&from).map(|leg| leg.place) else {
            return;
        };
        for other in self.others_in(place, from) {
            let Some(leg) = self.legs.get(&other).filter(|leg| leg.is_up()) else { continue };
            match leg.media_rules.dtmf {
                Dtmf::Auto | Dtmf::Rfc4733 if leg.takes_events() => {
                    self.send_events(other, digit.into(), duration);
                }
                Dtmf::Auto if leg.infos == Infos::Refused => {}
                Dtmf::Auto | Dtmf::Info => self.send_infos(other, &digit.to_string(), duration),
                Dtmf::Rfc4733 => {}
            }
        }
    }

    /// Sends digits by RFC 4733.
    pub(super) fn send_events(&mut self, leg: LegId, digits: String, duration: Duration) {
        let Some(leg) = self.legs.get(&leg) else { return };
        let send = Command::SendDigits { leg: leg.media, digits, duration };
        self.tell_media(send);
    }

    /// Sends digits by INFO, each in a request of its own.
    pub(super) fn send_infos(&mut self, leg: LegId, digits: &str, duration: Duration) {
        let Some(session) = self.legs.get(&leg).and_then(|leg| leg.session) else { return };
        for digit in digits.chars() {
            let body = format!("Signal={digit}\r\nDuration={}\r\n", duration.as_millis());
            self.endpoint.info(self.now, session, "application/dtmf-relay", Bytes::from(body));
        }
    }
}

#[cfg(test)]
mod tests;
