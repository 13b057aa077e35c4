//! Our side of a session and how it is written: one audio m-line is ours, the others are refused in their places.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use mixer::codec::{Format, OpusOptions};

use crate::sdp::attribute::Direction;
use crate::sdp::crypto::{Crypto, KeySeed, SrtpPolicy};
use crate::sdp::dtls::{DtlsPolicy, Lines};
use crate::sdp::extension::Mapping;
use crate::sdp::format::Coding;
use crate::sdp::ice::Kind;
use crate::sdp::session::{Media, Session};

/// Our side of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Local {
    /// Identifies the session in our o-line; only the lower 62 bits are used (RFC 3264 §5).
    pub session_id: u64,
    /// Where we receive media; its family is the session's.
    pub address: IpAddr,
    /// Even RTP port; RTCP on the next one unless they agree to share.
    pub rtp_port: u16,
    /// What we speak, best first.
    pub codecs: Vec<Format>,
    /// Packet time that we ask for and send where the far side has no wish, 10 to 60 ms.
    pub ptime: Duration,
    /// Upper bounds of what we send, and what we ask for.
    pub opus: OpusOptions,
    /// Whether comfort noise is agreed to where they offer it.
    pub comfort_noise: bool,
    /// Whether they may be told who contributes to what they hear.
    pub csrc: bool,
    /// Whether media is encrypted with keys in the descriptions.
    pub srtp: SrtpPolicy,
    /// Whether it may be encrypted with keys that DTLS makes.
    pub dtls: Option<DtlsPolicy>,
    /// What our keys are drawn from; no two sessions may have the same.
    pub key_seed: KeySeed,
}

/// An m-line of the session, as we write it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Section {
    /// Ours; there is exactly one.
    Audio { protocol: String, mid: Option<String> },
    /// Refused: media, protocol, formats and mid as offered.
    Refused(String),
}

/// What we write into our m-line.
pub(super) struct Audio<'a> {
    pub(super) codings: &'a [(u8, Coding)],
    pub(super) mappings: &'a [Mapping],
    pub(super) direction: Direction,
    pub(super) ptime: Duration,
    pub(super) mux: bool,
    pub(super) cryptos: &'a [Crypto],
    pub(super) dtls: Option<Lines<'a>>,
}

/// What an answer takes over from the offer's session level.
pub(super) struct Frame<'a> {
    timing: &'a str,
    bundle: Option<&'a str>,
}

impl Local {
    /// `v=` and `o=`, with the lines that follow them in `body`.
    pub(super) fn describe(&self, version: u64, body: &str) -> String {
        let session_id = self.session_id & (u64::MAX >> 2);
        let family = self.family();
        format!("v=0\r\no=- {session_id} {version} IN {family} {}\r\n{body}", self.address)
    }

    /// The description after its o-line.
    pub(super) fn body(
        &self,
        frame: &Frame<'_>,
        sections: &[Section],
        audio: &Audio<'_>,
    ) -> String {
        let Frame { timing, bundle } = frame;
        let mut body = String::new();
        line(&mut body, format_args!("s=-"));
        line(&mut body, format_args!("c=IN {} {}", self.family(), self.address));
        line(&mut body, format_args!("t={timing}"));
        if let Some(mid) = bundle {
            line(&mut body, format_args!("a=group:BUNDLE {mid}"));
        }
        if let Some(ice) = audio.dtls.as_ref().and_then(|dtls| dtls.ice) {
            if ice.kind == Kind::Lite {
                line(&mut body, format_args!("a=ice-lite"));
            }
            line(&mut body, format_args!("a=ice-options:ice2"));
        }
        for section in sections {
            match section {
                Section::Refused(refused) => body.push_str(refused),
                Section::Audio { protocol, mid } => {
                    self.audio(&mut body, protocol, audio);
                    if let Some(mid) = mid {
                        line(&mut body, format_args!("a=mid:{mid}"));
                    }
                }
            }
        }
        body
    }

    fn audio(&self, body: &mut String, protocol: &str, audio: &Audio<'_>) {
        let numbers: Vec<String> =
            audio.codings.iter().map(|(number, _)| number.to_string()).collect();
        let numbers = numbers.join(" ");
        line(body, format_args!("m=audio {} {protocol} {numbers}", self.rtp_port));
        for (number, coding) in audio.codings {
            line(body, format_args!("a=rtpmap:{number} {}", coding.rtpmap()));
            if let Some(fmtp) = coding.fmtp(&self.opus) {
                line(body, format_args!("a=fmtp:{number} {fmtp}"));
            }
        }
        line(body, format_args!("a=ptime:{}", audio.ptime.as_millis()));
        line(body, format_args!("a=maxptime:60"));
        if audio.mux {
            line(body, format_args!("a=rtcp-mux"));
        }
        for crypto in audio.cryptos {
            line(body, format_args!("a=crypto:{crypto}"));
        }
        if let Some(dtls) = &audio.dtls {
            self.dtls(body, dtls);
        }
        for mapping in audio.mappings {
            line(body, format_args!("a=extmap:{mapping}"));
        }
        line(body, format_args!("a={}", audio.direction));
    }

    /// RFC 8122 §5, RFC 4145 §4; RFC 8839 §5.1 to §5.4: our one candidate, with the priority of RFC 8445 §5.1.2.1.
    fn dtls(&self, body: &mut String, dtls: &Lines<'_>) {
        line(body, format_args!("a=setup:{}", dtls.setup.name()));
        line(body, format_args!("a=fingerprint:{}", dtls.fingerprint));
        if let Some(ice) = dtls.ice {
            line(body, format_args!("a=ice-ufrag:{}", ice.credentials.ufrag));
            line(body, format_args!("a=ice-pwd:{}", ice.credentials.password));
            let (address, port) = (self.address, self.rtp_port);
            line(body, format_args!("a=candidate:1 1 udp 2130706431 {address} {port} typ host"));
            line(body, format_args!("a=end-of-candidates"));
        }
    }

    fn family(&self) -> &'static str {
        if self.address.is_ipv4() { "IP4" } else { "IP6" }
    }
}

impl Section {
    /// Our answer to `media`.
    pub(super) fn audio(media: &Media) -> Self {
        Self::Audio { protocol: media.protocol().to_owned(), mid: media.mid().map(str::to_owned) }
    }

    /// RFC 3264 §6: port 0, with the formats of the offer because at least one is needed.
    pub(super) fn refused(media: &Media) -> Self {
        let formats =
            if media.formats().is_empty() { "0".to_owned() } else { media.formats().join(" ") };
        let mut text = String::new();
        line(&mut text, format_args!("m={} 0 {} {formats}", media.kind(), media.protocol()));
        if let Some(mid) = media.mid() {
            line(&mut text, format_args!("a=mid:{mid}"));
        }
        Self::Refused(text)
    }
}

impl<'a> Frame<'a> {
    /// Of an offer: not bounded in time. A browser wants to hear of a group, if only of one (RFC 8829 §5.2.1).
    pub(super) fn offer(bundle: Option<&'a str>) -> Self {
        Self { timing: "0 0", bundle }
    }

    /// Of an answer that takes `audio`. RFC 3264 §6: its t-line is the offer's. RFC 9143 §7.3.3: a BUNDLE group of
    /// `audio` alone is in order where `audio` leads the offered one.
    pub(super) fn of(offer: &'a Session, audio: &Media) -> Self {
        let timing = offer.value('t').filter(|timing| is_timing(timing)).unwrap_or("0 0");
        let leads = |mid: &&str| Some(*mid) == audio.mid();
        let bundle = offer.groups("BUNDLE").find_map(|group| group.first().copied().filter(leads));
        Self { timing, bundle }
    }
}

fn is_timing(timing: &str) -> bool {
    let mut words = timing.split(' ');
    let number = |word: &str| !word.is_empty() && word.bytes().all(|octet| octet.is_ascii_digit());
    words.clone().count() == 2 && words.all(number)
}

fn line(text: &mut String, content: fmt::Arguments<'_>) {
    write!(text, "{content}\r\n").expect("a string takes any text");
}
