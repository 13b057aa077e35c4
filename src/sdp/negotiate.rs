//! Offer/answer of one leg: RFC 3264, with the clarifications of RFC 6337.
//!
//! ```text
//!            offer()                          conclude()
//!  standing ─────────▶ standing + our offer ────────────▶ new standing
//!     │ ▲                        └──────── abandon() ─────▶ the old one
//!     └─┘ answer(): new standing, or Refusal and the old one
//! ```
//!
//! Choices where the RFCs leave one:
//! - The answer keeps the offerer's order and payload types; our list is a filter.
//! - `RTP/AVPF` is answered in kind without any `a=rtcp-fb`, so that no feedback message is agreed: what is then left
//!   of it is RTP/AVP with freer RTCP timing (RFC 4585 §3.6).
//! - Keys stay over a re-INVITE, so that streams go on. Theirs being new, ours are too: a phone that begins its contexts
//!   anew counts roll-overs from zero again (RFC 4568 §6.4), and a key must not be used for the same number twice.
//! - What was agreed to be readable is not offered to be encrypted again.
//! - Of several audio m-lines the one in use stays, else the first usable one is taken.
//! - A host name as media address is refused with 488. Looking it up would put a DNS server in control of where media
//!   goes, and no phone writes one.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use mixer::codec::{Codec, Format};
use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;

use crate::sdp::attribute::{Direction, Host};
use crate::sdp::crypto::{Crypto, SrtpPolicy};
use crate::sdp::dtls::{self, Agreed, Protection, Setup};
use crate::sdp::extension::{Extension, Mapping};
use crate::sdp::format::{Coding, encoding};
use crate::sdp::local::{Audio, Frame, Local, Section};
use crate::sdp::plan::{MediaPlan, Refusal};
use crate::sdp::session::{Media, Session};

mod protection;

use protection::agreed;

/// The offers and answers of one leg: remembers the o-line, the m-lines and the plan in force.
#[derive(Clone, Debug)]
pub struct Negotiation {
    local: Local,
    version: u64,
    /// What the last description we sent said after its o-line.
    sent: Body,
    /// What each payload type last meant: RFC 3264 §8.3.2 lets none change its meaning within a session.
    numbers: BTreeMap<u8, Coding>,
    /// What each id of a header extension last meant (RFC 8285 §6 holds it to the same).
    mappings: BTreeMap<u8, Extension>,
    /// What our keys are drawn from.
    dice: ChaCha12Rng,
    /// Associations that there were.
    associations: u32,
    standing: Standing,
    offered: Option<Offered>,
}

/// A description after its o-line.
#[derive(Clone, Default, Eq, PartialEq)]
struct Body(String);

impl fmt::Debug for Body {
    /// Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body of {} octets", self.0.len())
    }
}

/// What offer and answer agreed.
#[derive(Clone, Debug, Default)]
struct Standing {
    sections: Vec<Section>,
    /// Our `a=crypto` line.
    crypto: Option<Crypto>,
    dtls: Option<dtls::Standing>,
    plan: Option<MediaPlan>,
}

/// Our offer that may yet be answered.
#[derive(Clone, Debug)]
struct Offered {
    codings: Vec<(u8, Coding)>,
    mappings: Vec<Mapping>,
    cryptos: Vec<Crypto>,
    /// Here if DTLS was offered.
    dtls: Option<dtls::Ours>,
    direction: Direction,
    before: Standing,
}

/// An audio m-line of theirs that we can use.
struct Usable<'a> {
    media: &'a Media,
    /// What they like best of that.
    send: (u8, Format),
    /// What both speak, in their order and with their numbers.
    codings: Vec<(u8, Coding)>,
    /// Header extensions that both speak.
    mappings: Vec<Mapping>,
    /// With their `a=crypto` line that we take, or what they say of DTLS.
    protection: Protection<Crypto>,
    remote: SocketAddr,
    remote_rtcp: Option<SocketAddr>,
    /// Theirs; an old hold by address counts.
    direction: Direction,
}

impl Negotiation {
    /// Starts with nothing agreed.
    pub fn new(local: Local) -> Self {
        let offers_dtls = local.dtls.as_ref().is_some_and(|dtls| dtls.offers);
        let protocol = match local.srtp {
            _ if offers_dtls => protection::DTLS[0],
            SrtpPolicy::Off | SrtpPolicy::Accept | SrtpPolicy::Offer => "RTP/AVP",
            SrtpPolicy::Require => "RTP/SAVP",
        };
        let mid = offers_dtls.then(|| "0".to_owned());
        let audio = Section::Audio { protocol: protocol.to_owned(), mid };
        Self {
            dice: ChaCha12Rng::from_seed(local.key_seed.0),
            associations: 0,
            local,
            version: 0,
            sent: Body::default(),
            numbers: BTreeMap::new(),
            mappings: BTreeMap::new(),
            standing: Standing { sections: vec![audio], ..Standing::default() },
            offered: None,
        }
    }

    /// What is agreed now.
    pub fn plan(&self) -> Option<&MediaPlan> {
        self.standing.plan.as_ref()
    }

    /// Makes our offer: all our codecs, the one in use first; m-lines once refused stay refused in their places.
    pub fn offer(&mut self, direction: Direction) -> Bytes {
        let codings = self.codings();
        let mappings = self.mappings();
        let dtls = self.offered_dtls();
        let cryptos = if dtls.is_some() { Vec::new() } else { self.cryptos() };
        let audio = Audio {
            codings: &codings,
            mappings: &mappings,
            cryptos: &cryptos,
            dtls: dtls.as_ref().and_then(|ours| self.lines(Setup::ActPass, ours.ice.as_ref())),
            direction,
            ptime: self.local.ptime,
            mux: true,
        };
        let frame = Frame::offer(self.mid().filter(|_| dtls.is_some()));
        let body = self.local.body(&frame, &self.standing.sections, &audio);
        self.numbers.extend(codings.iter().copied());
        self.note(&mappings);
        let before = self.standing.clone();
        self.offered = Some(Offered { codings, mappings, cryptos, dtls, direction, before });
        self.print(body)
    }

    /// Takes their answer to our last offer. May be called again for the same offer: the answers of 183 and 200 and of
    /// forks may differ, and the last one stands.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] where they refused our audio or their answer makes no sense; the old plan stands.
    pub fn conclude(&mut self, answer: &[u8]) -> Result<MediaPlan, Refusal> {
        let offered = self.offered.as_ref().ok_or(Refusal::NotOffered)?;
        let session = Session::parse(answer)?;
        let media = session.media().get(self.audio_index()).ok_or(Refusal::NoAudio)?;
        let mut theirs = self.usable(&session, media, Some(offered))?;
        let taken = theirs.protection.sdes();
        let crypto =
            offered.cryptos.iter().find(|ours| taken.is_some_and(|theirs| theirs.takes(ours)));
        let crypto = crypto.cloned();
        let dtls = theirs.protection.dtls().map(|theirs| {
            let ours = offered.dtls.as_ref().and_then(|ours| ours.ice.clone());
            self.associated(theirs, ours)
        });
        theirs.mappings.retain(|theirs| {
            offered
                .mappings
                .iter()
                .any(|ours| (ours.id, ours.extension) == (theirs.id, theirs.extension))
        });
        let plan = MediaPlan {
            direction: offered.direction.and(theirs.direction.reversed()),
            // Where we did not offer to send, their answer cannot tell whether they hold us.
            remote_holds: if offered.direction.sends() {
                !theirs.direction.receives()
            } else {
                self.plan().is_some_and(|plan| plan.remote_holds)
            },
            ..self.agree(
                &theirs,
                &receivable(&offered.codings, &theirs.codings),
                agreed(crypto.as_ref(), &theirs, dtls.as_ref()),
            )
        };
        self.note_association(dtls.as_ref());
        self.standing.crypto = crypto;
        self.standing.dtls = dtls;
        self.standing.plan = Some(plan.clone());
        Ok(plan)
    }

    /// Answers their offer; `wanted` is the most we want.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] with the status to send; the old plan stands.
    pub fn answer(
        &mut self,
        offer: &[u8],
        wanted: Direction,
    ) -> Result<(Bytes, MediaPlan), Refusal> {
        let session = Session::parse(offer)?;
        let (index, theirs) = self.choose(&session)?;
        let direction = theirs.direction.reversed().and(wanted);
        let remote_holds = !theirs.direction.receives();
        let crypto = theirs.protection.sdes().cloned().map(|theirs| self.own_crypto(&theirs));
        let dtls = theirs.protection.dtls().map(|theirs| {
            let ours = theirs.ice.is_some().then(|| self.own_agent(theirs));
            self.associated(theirs, ours)
        });
        let agent = dtls.as_ref().and_then(dtls::Standing::agent);
        let agreed = agreed(crypto.as_ref(), &theirs, dtls.as_ref());
        let agreed = self.agree(&theirs, &theirs.codings, agreed);
        let plan = MediaPlan { direction, remote_holds, ..agreed };

        let mut sections: Vec<Section> = session.media().iter().map(Section::refused).collect();
        sections[index] = Section::audio(theirs.media);
        let audio = Audio {
            codings: &theirs.codings,
            mappings: &theirs.mappings,
            cryptos: crypto.as_slice(),
            dtls: dtls
                .as_ref()
                .and_then(|dtls| self.lines(Setup::of(dtls.association.role), agent.as_ref())),
            direction,
            ptime: plan.send.1.ptime,
            mux: theirs.media.rtcp_mux(),
        };
        let body = self.local.body(&Frame::of(&session, theirs.media), &sections, &audio);

        self.numbers.extend(theirs.codings.iter().copied());
        self.note(&theirs.mappings);
        self.note_association(dtls.as_ref());
        self.standing = Standing { sections, crypto, dtls, plan: Some(plan.clone()) };
        // A refresh of the session offers the same again (RFC 4028 §7.4), and their answer may be another then.
        self.offered = Some(Offered {
            codings: theirs.codings,
            mappings: theirs.mappings,
            cryptos: self.standing.crypto.iter().cloned().collect(),
            dtls: self.standing.dtls.as_ref().map(dtls::Standing::again),
            direction,
            before: self.standing.clone(),
        });
        Ok((self.print(body), plan))
    }

    /// Forgets our last offer, because it was refused: what stood before stands again (RFC 3261 §14.1).
    pub fn abandon(&mut self) {
        if let Some(offered) = self.offered.take() {
            self.standing = offered.before;
        }
    }

    /// Everything we speak, with a number each: the one it has in this session, else a free one.
    fn codings(&self) -> Vec<(u8, Coding)> {
        let used = self.plan().map(|plan| plan.send.1.format);
        let rest = self.local.codecs.iter().copied().filter(|format| Some(*format) != used);
        let formats: Vec<Format> = used.into_iter().chain(rest).collect();
        let mut clocks: Vec<u32> = Vec::new();
        for format in &formats {
            if !clocks.contains(&format.clock_rate) {
                clocks.push(format.clock_rate);
            }
        }
        let wanted = formats.into_iter().map(Coding::Audio);
        // Comfort noise is not offered but where it is agreed already.
        let noise = self.numbers.values().filter(|coding| matches!(coding, Coding::Noise(_)));
        let noise: Vec<Coding> = noise
            .copied()
            .filter(|_| self.plan().is_some_and(|plan| !plan.receive_noise.is_empty()))
            .collect();
        let mut codings: Vec<(u8, Coding)> = Vec::new();
        for coding in wanted.chain(noise).chain(clocks.into_iter().map(Coding::Events)) {
            let taken = |number| {
                self.numbers.contains_key(&number)
                    || codings.iter().any(|&(used, _)| used == number)
            };
            let in_use = self.number_in_use(coding);
            let number = in_use
                .filter(|&number| codings.iter().all(|&(used, _)| used != number))
                .or_else(|| coding.number(taken));
            codings.extend(number.map(|number| (number, coding)));
        }
        codings
    }

    /// The header extensions that we speak, each with the id that it has in this session, else with a free one.
    fn mappings(&self) -> Vec<Mapping> {
        let mut mappings: Vec<Mapping> = Vec::new();
        for extension in Extension::ALL.into_iter().filter(|&known| self.speaks(known)) {
            let agreed = self.plan().and_then(|plan| match extension {
                Extension::Level => plan.level_id,
                Extension::Levels => plan.levels_id,
            });
            let known = || self.mappings.iter().find(|&(_, &known)| known == extension);
            let is_free = |id: &u8| {
                !self.mappings.contains_key(id) && mappings.iter().all(|used| used.id != *id)
            };
            let id =
                agreed.or_else(|| known().map(|(&id, _)| id)).or_else(|| (1..=14).find(is_free));
            mappings.extend(id.map(|id| Mapping::offered(id, extension)));
        }
        mappings
    }

    fn speaks(&self, extension: Extension) -> bool {
        match extension {
            Extension::Level => true,
            Extension::Levels => self.local.csrc,
        }
    }

    fn note(&mut self, mappings: &[Mapping]) {
        self.mappings.extend(mappings.iter().map(|mapping| (mapping.id, mapping.extension)));
    }

    fn number_in_use(&self, coding: Coding) -> Option<u8> {
        let plan = self.plan();
        let agreed = plan.and_then(|plan| match coding {
            Coding::Audio(format) => number_of(&plan.receive, format),
            Coding::Events(clock_rate) => number_of(&plan.receive_events, clock_rate),
            Coding::Noise(_) => None,
        });
        agreed.or_else(|| self.numbers.iter().find(|&(_, &known)| known == coding).map(|(&n, _)| n))
    }

    /// The name of our m-line in groups.
    fn mid(&self) -> Option<&str> {
        self.standing.sections.iter().find_map(|section| match section {
            Section::Audio { mid, .. } => mid.as_deref(),
            Section::Refused(_) => None,
        })
    }

    fn audio_index(&self) -> usize {
        let sections = &self.standing.sections;
        sections.iter().position(|section| matches!(section, Section::Audio { .. })).unwrap_or(0)
    }

    /// The m-line in use if it is still usable, else the first usable one, else why the first is not.
    fn choose<'a>(&self, session: &'a Session) -> Result<(usize, Usable<'a>), Refusal> {
        let current = self.audio_index();
        let mut all: Vec<(usize, &Media)> = session.media().iter().enumerate().collect();
        all.sort_by_key(|&(index, _)| index != current); // Stable: the others keep their order.
        let mut refusal = None;
        for (index, media) in all {
            match self.usable(session, media, None) {
                Ok(usable) => return Ok((index, usable)),
                Err(Refusal::NoAudio) => {}
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        Err(refusal.unwrap_or(Refusal::NoAudio))
    }

    /// What we can use of an m-line, in an answer to what was `offered`.
    fn usable<'a>(
        &self,
        session: &Session,
        media: &'a Media,
        offered: Option<&Offered>,
    ) -> Result<Usable<'a>, Refusal> {
        if !media.kind().eq_ignore_ascii_case("audio") || media.port() == 0 {
            return Err(Refusal::NoAudio);
        }
        let protection = self.protection(session, media, offered)?;
        let has_ice = protection.dtls().is_some_and(|theirs| theirs.ice.is_some());
        let codings = self.common(media);
        let send = *audio(&codings).first().ok_or(Refusal::NoCommonCodec)?;
        let host = media.connection().or_else(|| session.connection());
        let address = match host {
            // What a check comes from counts; this may be a name, of another family, or 0.0.0.0 (RFC 8839 §4.3.1).
            _ if has_ice => self.unspecified(),
            Some(host) => self.reachable(host)?,
            None => return Err(Refusal::NoConnection),
        };
        let direction = media.direction().or_else(|| session.direction()).unwrap_or_default();
        let mappings = Mapping::all(session, media);
        let spoken = mappings.iter().filter(|mapping| self.speaks(mapping.extension));
        Ok(Usable {
            media,
            send,
            codings,
            protection,
            mappings: spoken.filter_map(Mapping::answered).collect(),
            remote: SocketAddr::new(address, media.port()),
            remote_rtcp: self.remote_rtcp(media, address),
            // RFC 3264 §8.4: the old way to hold, "send nothing to me".
            direction: if address.is_unspecified() && !has_ice {
                direction.and(Direction::SendOnly)
            } else {
                direction
            },
        })
    }

    /// What this m-line and we have in common, in its order, each thing once.
    fn common(&self, media: &Media) -> Vec<(u8, Coding)> {
        let mut common: Vec<(u8, Coding)> = Vec::new();
        let numbers = media.formats().iter().filter_map(|format| format.parse().ok());
        for number in numbers.filter(|number| *number < 128_u8).take(128) {
            let Some(coding) = Coding::of(media, number) else { continue };
            let ours = match coding {
                Coding::Audio(format) => self.local.codecs.contains(&format),
                Coding::Events(_) => true,
                Coding::Noise(clock_rate) => {
                    let has_clock = |format: &Format| format.clock_rate == clock_rate;
                    self.local.comfort_noise && self.local.codecs.iter().any(has_clock)
                }
            };
            if ours && common.iter().all(|&(known, other)| known != number && other != coding) {
                common.push((number, coding));
            }
        }
        common
    }

    /// An unspecified address is made one of our family: nothing goes there anyway.
    fn reachable(&self, host: Host) -> Result<IpAddr, Refusal> {
        let family = if self.local.address.is_ipv4() { "IPv4" } else { "IPv6" };
        match host {
            Host::Address(address) if address.is_unspecified() => Ok(self.unspecified()),
            Host::Address(address)
                if address.is_multicast()
                    || address == IpAddr::V4(Ipv4Addr::BROADCAST)
                    || address.is_ipv4() != self.local.address.is_ipv4() =>
            {
                Err(Refusal::Address(address.to_string(), family))
            }
            Host::Address(address) => Ok(address),
            Host::Name(name) => Err(Refusal::Address(name, family)),
        }
    }

    fn unspecified(&self) -> IpAddr {
        match self.local.address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    /// `a=rtcp`, else the next port; an unusable `a=rtcp` address is ignored for the stream's own.
    fn remote_rtcp(&self, media: &Media, address: IpAddr) -> Option<SocketAddr> {
        if media.rtcp_mux() {
            return None;
        }
        let Some(rtcp) = media.rtcp().filter(|rtcp| rtcp.port != 0) else {
            return Some(SocketAddr::new(address, media.port().saturating_add(1)));
        };
        let own = rtcp.host.and_then(|host| self.reachable(host).ok());
        Some(SocketAddr::new(own.unwrap_or(address), rtcp.port))
    }

    /// The plan without its direction.
    fn agree(&self, theirs: &Usable<'_>, receive: &[(u8, Coding)], agreed: Agreed) -> MediaPlan {
        let (number, format) = theirs.send;
        let send_events = events(&theirs.codings);
        let ours = (self.local.ptime, self.local.opus);
        let same_clock =
            send_events.iter().find(|&&(_, clock_rate)| clock_rate == format.clock_rate);
        MediaPlan {
            remote: theirs.remote,
            remote_rtcp: theirs.remote_rtcp,
            send: (number, encoding(format, theirs.media, number, ours)),
            receive: audio(receive),
            receive_events: events(receive),
            send_events: same_clock.or_else(|| send_events.first()).copied(),
            receive_noise: noises(receive).map(|(number, _)| number).collect(),
            send_noise: noises(&theirs.codings)
                .find(|&(_, clock_rate)| {
                    has_no_pauses(format.codec) && clock_rate == format.clock_rate
                })
                .map(|(number, _)| number),
            level_id: theirs.id_of(Extension::Level),
            levels_id: theirs.id_of(Extension::Levels),
            srtp: agreed.srtp,
            dtls: agreed.dtls,
            direction: Direction::Inactive,
            remote_holds: false,
        }
    }

    /// Puts version and o-line before the body; the version rises by one when the body is another (RFC 3264 §8).
    fn print(&mut self, body: String) -> Bytes {
        if body != self.sent.0 {
            self.version += 1;
            self.sent.0 = body;
        }
        self.local.describe(self.version, &self.sent.0).into()
    }
}

impl Usable<'_> {
    fn id_of(&self, extension: Extension) -> Option<u8> {
        let found = self.mappings.iter().find(|mapping| mapping.extension == extension);
        found.map(|mapping| mapping.id)
    }
}

/// What may arrive after an answer: what is on both lists, by our numbers and, because many phones send by the numbers
/// of their own answer (RFC 3264 §6.1 allows them to differ), by theirs too where those mean nothing else.
fn receivable(ours: &[(u8, Coding)], theirs: &[(u8, Coding)]) -> Vec<(u8, Coding)> {
    let mut all: Vec<(u8, Coding)> = theirs
        .iter()
        .filter_map(|(_, coding)| ours.iter().find(|(_, known)| known == coding).copied())
        .collect();
    for &(number, coding) in theirs {
        if ours.iter().chain(&all).all(|&(known, _)| known != number) {
            all.push((number, coding));
        }
    }
    all
}

/// Codecs that comfort noise is made for: the others have no need of it, or pauses of their own.
fn has_no_pauses(codec: Codec) -> bool {
    match codec {
        Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
        Codec::Opus | Codec::L16 => false,
    }
}

fn number_of<T: PartialEq + Copy>(numbers: &[(u8, T)], wanted: T) -> Option<u8> {
    numbers.iter().find(|&&(_, known)| known == wanted).map(|&(number, _)| number)
}

fn audio(codings: &[(u8, Coding)]) -> Vec<(u8, Format)> {
    codings
        .iter()
        .filter_map(|&(number, coding)| match coding {
            Coding::Audio(format) => Some((number, format)),
            Coding::Events(_) | Coding::Noise(_) => None,
        })
        .collect()
}

/// telephone-event payload types with their clocks in Hz.
fn events(codings: &[(u8, Coding)]) -> Vec<(u8, u32)> {
    codings
        .iter()
        .filter_map(|&(number, coding)| match coding {
            Coding::Events(clock_rate) => Some((number, clock_rate)),
            Coding::Audio(_) | Coding::Noise(_) => None,
        })
        .collect()
}

/// Comfort noise payload types with their clocks in Hz.
fn noises(codings: &[(u8, Coding)]) -> impl Iterator<Item = (u8, u32)> {
    codings.iter().filter_map(|&(number, coding)| match coding {
        Coding::Noise(clock_rate) => Some((number, clock_rate)),
        Coding::Audio(_) | Coding::Events(_) => None,
    })
}

#[cfg(test)]
mod tests;
