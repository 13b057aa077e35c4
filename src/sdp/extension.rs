//! RTP header extensions: `a=extmap` (RFC 8285 §5 to §7), for the two that tell levels.

use std::fmt;

use crate::sdp::attribute::Direction;
use crate::sdp::session::{Media, Session};

/// A header extension that we speak, each in one direction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extension {
    /// They tell how loud what they send is (RFC 6464).
    Level,
    /// We tell how loud those are whom they hear (RFC 6465).
    Levels,
}

/// An `a=extmap` line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Mapping {
    pub(super) id: u8,
    pub(super) extension: Extension,
    /// Who uses it, as the describing side sees it.
    direction: Direction,
    /// `vad=on` or `vad=off` (RFC 6464 §4). The flag itself is not looked at here.
    vad: Option<&'static str>,
}

impl Extension {
    pub(super) const ALL: [Self; 2] = [Self::Level, Self::Levels];

    fn uri(self) -> &'static str {
        match self {
            Self::Level => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::Levels => "urn:ietf:params:rtp-hdrext:csrc-audio-level",
        }
    }

    /// Who uses it, as we see it.
    fn direction(self) -> Direction {
        match self {
            Self::Level => Direction::RecvOnly,
            Self::Levels => Direction::SendOnly,
        }
    }
}

impl Mapping {
    /// What `media` maps and we speak, with its own lines before the session's; each id and each extension once.
    pub(super) fn all(session: &Session, media: &Media) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let lines = media.attributes("extmap").chain(session.attributes("extmap"));
        for mapping in lines.filter_map(Self::parse) {
            let is_new =
                |known: &Self| known.id != mapping.id && known.extension != mapping.extension;
            if all.iter().all(is_new) {
                all.push(mapping);
            }
        }
        all
    }

    /// One that we offer.
    pub(super) fn offered(id: u8, extension: Extension) -> Self {
        Self { id, extension, direction: extension.direction(), vad: None }
    }

    /// Our answer to it; `None` where its direction leaves nothing that we do (RFC 8285 §6).
    pub(super) fn answered(&self) -> Option<Self> {
        let direction = self.extension.direction();
        let agreed = self.direction.reversed().and(direction) == direction;
        agreed.then(|| Self { direction, ..self.clone() })
    }

    /// Reads `2/sendonly urn:… attributes`.
    fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let id = words.next()?;
        let uri = words.next()?;
        let (id, direction) = match id.split_once('/') {
            Some((id, direction)) => (id, Direction::parse(direction)?),
            None => (id, Direction::SendRecv),
        };
        // 0 is padding; 15 means something else in a short head; from 4096 on it is a mere proposal.
        let id = id.parse().ok().filter(|id| !matches!(id, 0 | 15))?;
        let extension = Extension::ALL.into_iter().find(|known| known.uri() == uri)?;
        let vad = words.find_map(|word| VAD.into_iter().find(|known| *known == word));
        Some(Self { id, extension, direction, vad })
    }
}

impl fmt::Display for Mapping {
    /// The value of the attribute.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.id, self.direction, self.extension.uri())?;
        self.vad.map_or(Ok(()), |vad| write!(f, " {vad}"))
    }
}

const VAD: [&str; 2] = ["vad=on", "vad=off"];

#[cfg(test)]
mod tests {
    use super::*;

    const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";

    #[test]
    fn an_answer_keeps_id_and_vad_and_says_what_we_do() {
        for (offer, answer) in [
            ("1 LEVEL", Some("1/recvonly LEVEL")),
            ("14/sendonly LEVEL vad=on", Some("14/recvonly LEVEL vad=on")),
            ("255/sendrecv LEVEL  foo vad=off", Some("255/recvonly LEVEL vad=off")),
            ("1/recvonly LEVEL", None),
            ("1/inactive LEVEL", None),
            ("0 LEVEL", None),
            ("15 LEVEL", None),
            ("4096 LEVEL", None),
            ("1/both LEVEL", None),
            ("1", None),
            ("", None),
            ("1 urn:ietf:params:rtp-hdrext:toffset", None),
        ] {
            let found = Mapping::parse(&offer.replace("LEVEL", LEVEL));

            let found = found.and_then(|mapping| mapping.answered());
            assert_eq!(
                found.map(|mapping| mapping.to_string()),
                answer.map(|answer| answer.replace("LEVEL", LEVEL)),
                "{offer}"
            );
        }
    }
}
