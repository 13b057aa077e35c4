//! What the bridge may be told at start.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use api::archive::Document;
use api::model::TrunkConfig;
use mixer::codec::{Format, OpusOptions};

use super::recording::RecordingSettings;
use super::{
    AccessSettings, AskSettings, CallerLimits, HepSettings, Prices, Rule, SoundSettings,
    TraceSettings, TrunkFault, TrunkSettings,
};
use crate::sdp::SrtpPolicy;
use crate::sip::compositor::CompositorOptions;
use crate::sip::registrar::RegistrarOptions;
use crate::webrtc::Fingerprint;

/// Settings of the bridge; each is a key of the configuration.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Settings {
    /// What the API calls this node.
    pub node_name: String,
    /// Callable names that make a room when nobody has: `*`, `conf-*`, or nothing.
    pub auto_create: Pattern,
    /// Networks whose callers may make a room by calling.
    pub auto_create_from: Vec<Network>,
    /// The name that makes a new room whenever it is called; nothing: none does.
    pub factory: String,
    /// Instant messages that are remembered.
    pub messages: usize,
    /// Octets that one may say.
    pub message_size: usize,
    /// Messages a second from phones; one more is told 503.
    pub messages_per_second: u32,
    /// How long a message waits for a phone of its user; zero: not at all.
    pub message_wait: Duration,
    /// Users that a conference-info document tells; of a longer room it tells the number.
    pub roster: usize,
    /// Who may call.
    pub access: AccessSettings,
    /// How long users are registered, and how often.
    pub registrar: RegistrarOptions,
    /// What phones may publish.
    pub compositor: CompositorOptions,
    /// What is uploaded to be played.
    pub sounds: SoundSettings,
    /// What may be recorded.
    pub recordings: RecordingSettings,
    /// Carriers and PBXs.
    pub trunks: Vec<TrunkSettings>,
    /// What callers may do.
    pub callers: Vec<CallerLimits>,
    /// What calls of theirs cost.
    pub prices: Prices,
    /// Where calls that come in go.
    pub routes: Vec<Rule>,
    /// How endpoints are asked where calls go.
    pub ask: AskSettings,
    /// Whether a directory knows the names of callers.
    pub caller_names: bool,
    /// Users, those of the settings included.
    pub max_users: usize,
    /// Reads a trunk that is made over the API as one of the settings is read.
    pub read_trunk: fn(&TrunkConfig) -> Result<TrunkSettings, TrunkFault>,
    /// Trunks, those of the settings included.
    pub max_trunks: usize,
    /// What the store has of users, trunks and routes.
    pub kept: Vec<Document>,
    /// How much of calls is kept for reading.
    pub trace: TraceSettings,
    /// How SIP messages are copied to a collector of HEP3; `None`: not at all.
    pub hep: Option<HepSettings>,
    /// Rooms open at once.
    pub max_rooms: usize,
    /// Legs at once, dialling included.
    pub max_legs: usize,
    /// Pairs of ports for media, one a leg.
    pub port_pairs: usize,
    /// Media threads.
    pub media_workers: usize,
    /// Share of its time that a media thread may be busy and take one more leg, 0 to 1.
    pub media_load: f32,
    /// New calls a second from outside; one more is told 503.
    pub calls_per_second: u32,
    /// How long a call may last; zero: for ever.
    pub max_duration: Duration,
    /// Seats of a room that does not say.
    pub max_participants: u32,
    /// Audio groups of a room, main included.
    pub groups_per_room: usize,
    /// How many are mixed at once in a room that does not say.
    pub contributors: u32,
    /// Whether a participant of whom nothing is said is brought to the loudness of the others.
    pub agc: bool,
    /// Whether such a participant is freed from noise.
    pub noise_suppression: bool,
    /// Whether the echo that such a participant returns is held back.
    pub echo_suppression: bool,
    /// Codecs offered and accepted, best first.
    pub codecs: Vec<Format>,
    /// Packet interval we ask for.
    pub ptime: Duration,
    /// Upper bounds of the Opus we send.
    pub opus: OpusOptions,
    /// Whether comfort noise is agreed to where it is offered.
    pub comfort_noise: bool,
    /// Whether legs are told who contributes to what they hear.
    pub csrc: bool,
    /// Whether media is encrypted.
    pub srtp: SrtpPolicy,
    /// Of our certificate, if DTLS may encrypt it.
    pub fingerprint: Option<Fingerprint>,
    /// How long a phone may ring where the caller does not say.
    pub ring_timeout: Duration,
    /// How long a transfer may go without news.
    pub transfer_timeout: Duration,
    /// Whether a phone's REFER is carried out.
    pub transfer_by_phones: bool,
    /// Whether a call may take over or join another by naming its dialog.
    pub takeover: bool,
    /// How long calls may go on after a drain began.
    pub drain_grace: Duration,
    /// Ended legs, calls and rooms kept for reading, each.
    pub history: usize,
    /// Local addresses to bind media to; the first of a family serves it.
    pub media_addresses: Vec<IpAddr>,
}

/// Names with at most one `*` for any characters: `*`, `conf-*`, or nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pattern(String);

impl Pattern {
    /// Takes the pattern as configured; the empty one matches nothing.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        match self.0.split_once('*') {
            Some((start, end)) => {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            }
            None => !self.0.is_empty() && self.0 == name,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.matches('*').count() > 1 {
            return Err(format!("expected at most one * in a pattern, found {text}"));
        }
        Ok(Self::new(text))
    }
}

/// A network in CIDR notation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `bits` beyond the family's width are cut to it.
    pub fn new(address: IpAddr, bits: u8) -> Self {
        let width = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits: bits.min(width) }
    }

    /// Whether every address of its family lies in it.
    pub fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether `address` lies in it; IPv4 mapped into IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same_prefix(network.to_bits().into(), address.to_bits().into(), 32 - self.bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same_prefix(network.to_bits(), address.to_bits(), 128 - self.bits)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a network as in 10.0.0.0/8 or fc00::/7, found {text}");
        let (address, bits) = text.split_once('/').ok_or_else(expected)?;
        let address: IpAddr = address.parse().map_err(|_| expected())?;
        let bits = bits.parse().map_err(|_| expected())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if bits > width { Err(expected()) } else { Ok(Self { address, bits }) }
    }
}

fn same_prefix(one: u128, other: u128, host_bits: u8) -> bool {
    (one ^ other).checked_shr(host_bits.into()).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_around_its_star() {
        for (pattern, name, fits) in [
            ("*", "any", true),
            ("conf-*", "conf-7", true),
            ("conf-*", "con", false),
            ("a*a", "a", false),
            ("", "", false),
            ("exact", "exact", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn a_network_contains_its_addresses_only() {
        let ten = Network::new("10.0.0.0".parse().expect("an address"), 8);
        let local = Network::new("fe80::".parse().expect("an address"), 10);
        let all = Network::new("0.0.0.0".parse().expect("an address"), 0);

        assert!(ten.contains("10.9.8.7".parse().expect("an address")));
        assert!(ten.contains("::ffff:10.9.8.7".parse().expect("an address")));
        assert!(!ten.contains("11.0.0.1".parse().expect("an address")));
        assert!(local.contains("fe80::1".parse().expect("an address")));
        assert!(all.contains("192.0.2.1".parse().expect("an address")));
    }
}
