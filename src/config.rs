//! Settings: a TOML file, the environment and flags, each stronger than the one before.
//!
//! `plenary.sample.toml` explains every key and holds the defaults; a test keeps the two together. The name of a key
//! is also that of its environment variable (`sip.udp`: `PLENARY_SIP_UDP`) and, where there is one, of its flag
//! (`--sip-udp`). An unknown key is an error that names the nearest known one.

mod callers;
mod directory;
mod explain;
mod mail;
mod sources;
mod trunk;
mod units;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use api::model::Route;
use figment::Figment;
use figment::providers::{Format as _, Toml};
use serde::{Deserialize, Serialize};

pub use callers::{Caller, media_rules, prices};
pub use directory::{Directory, DirectoryGroup};
pub use explain::Loaded;
pub use mail::{Mail, MailServer, MailTls};
pub use sources::{ConfigError, Flags};
pub use trunk::{Gateway, Headers, Trunk};
pub use units::{
    Auto, CodecName, DatabaseUrl, DigestName, Listeners, MediaSrtp, NameServer, Origin, PortRange,
    Secret, Switch, User,
};

use wire::{duration, list, text};

use crate::bridge::{MAX_ROUTES, Network, Pattern, Rule};

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What SDP, Contact and Via advertise; otherwise the address that routes to the peer.
    #[serde(with = "text")]
    pub public_ip: Auto<IpAddr>,
    /// Networks that reach us by our own address all the same.
    #[serde(with = "list")]
    pub local_networks: Vec<Network>,
    /// For RTP and RTCP.
    #[serde(with = "text")]
    pub rtp_ports: PortRange,
    /// Where HTTP is served.
    pub api: SocketAddr,
    /// First admin key; otherwise made at the first start.
    #[serde(with = "text")]
    pub api_key: Auto<Secret>,
    /// Origins whose pages may use the API.
    #[serde(with = "list")]
    pub api_cors: Vec<Origin>,
    /// Folder for what must survive a restart.
    pub data: PathBuf,
    /// Postgres, if what must survive a restart is not to be in the folder.
    #[serde(with = "text")]
    pub database: Auto<DatabaseUrl>,
    /// How long calls may go on after SIGTERM.
    #[serde(with = "duration")]
    pub drain_grace: Duration,
    /// Filter of `tracing`.
    pub log: String,
    /// For people or for machines.
    pub log_format: LogFormat,
    /// Carriers and PBXs.
    pub trunks: Vec<Trunk>,
    /// Where calls that come in go.
    pub routes: Vec<Route>,
    /// What those who call may do.
    pub callers: Vec<Caller>,
    /// What a minute costs, by what a number begins with.
    pub prices: BTreeMap<String, f64>,
    /// Signalling.
    pub sip: Sip,
    /// How names are resolved.
    pub dns: Dns,
    /// Audio.
    pub media: Media,
    /// How rooms come to be.
    pub rooms: Rooms,
    /// What is refused beyond.
    pub limits: Limits,
    /// How endpoints are asked where calls go.
    pub ask: Ask,
    /// How webhooks are told of events.
    pub webhooks: Webhooks,
    /// What is sent by mail.
    pub mail: Mail,
    /// Who knows people and their passwords.
    pub directory: Directory,
    /// What may be uploaded to be played.
    pub sounds: Sounds,
    /// What may be recorded, and for how long it is kept.
    pub recordings: Recordings,
    /// What is remembered.
    pub events: Events,
    /// What is kept for good, and for how long.
    pub records: Records,
    /// Copies of SIP messages.
    pub hep: Hep,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Whether a peer must show a certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificate {
    /// One that is shown must be good.
    Optional,
    /// Without one there is no connection.
    Required,
}

/// How media threads talk to the kernel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaIo {
    /// What is cheaper here.
    Auto,
    /// A system call for each packet.
    Plain,
    /// `io_uring`, or no start.
    IoUring,
}

/// Reliable provisional responses (RFC 3262).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prack {
    /// Neither asked for nor sent.
    Off,
    /// Where the phone wants them.
    Supported,
    /// Of every phone.
    Required,
}

/// Signalling.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// UDP listeners.
    pub udp: Listeners,
    /// TCP listeners.
    pub tcp: Listeners,
    /// TLS listeners.
    pub tls: Listeners,
    /// WebSocket listeners.
    pub ws: Listeners,
    /// Listeners for WebSockets inside TLS.
    pub wss: Listeners,
    /// Our certificate and those between it and a root, PEM; empty: none.
    pub tls_certificate: PathBuf,
    /// Its private key, PEM; empty: none.
    pub tls_key: PathBuf,
    /// Roots of the certificates that peers show on `tls`, PEM; empty: none is asked for.
    pub tls_client_ca: PathBuf,
    /// What happens to those who show none.
    pub tls_client: ClientCertificate,
    /// Roots of those we call over TLS, PEM; empty: the system's.
    pub tls_ca: PathBuf,
    /// Pages that may open a WebSocket: origins, `*`, `self`.
    #[serde(with = "list")]
    pub ws_origins: Vec<String>,
    /// How often the far side of a WebSocket is asked for a sign of life.
    #[serde(with = "duration")]
    pub ws_ping: Duration,
    /// How long TLS may take before SIP, and the request for a WebSocket.
    #[serde(with = "duration")]
    pub handshake_timeout: Duration,
    /// How long a message over TCP or TLS may take from its first octet to its last.
    #[serde(with = "duration")]
    pub message_timeout: Duration,
    /// User-Agent and Server headers.
    pub user_agent: String,
    /// What users see when they are asked for their password, and what it belongs to.
    pub realm: String,
    /// Who may call from anywhere.
    #[serde(with = "list")]
    pub users: Vec<User>,
    /// How long a registration lasts where the phone does not say.
    #[serde(with = "duration")]
    pub registration_expires: Duration,
    /// The shortest that a phone may ask for.
    #[serde(with = "duration")]
    pub registration_min: Duration,
    /// The longest that it gets.
    #[serde(with = "duration")]
    pub registration_max: Duration,
    /// Networks whose callers need no password.
    #[serde(with = "list")]
    pub open_to: Vec<Network>,
    /// Digest algorithms offered, best first.
    #[serde(with = "list")]
    pub digest: Vec<DigestName>,
    /// For how long a challenge can be answered.
    #[serde(with = "duration")]
    pub nonce_lifetime: Duration,
    /// For how long an address is banned; zero: never.
    #[serde(with = "duration")]
    pub ban_time: Duration,
    /// Parts of what scanners call themselves in User-Agent.
    #[serde(with = "list")]
    pub scanners: Vec<String>,
    /// Whether phones behind a NAT are answered where their messages come from.
    pub nat: bool,
    /// For how long a peer without TCP gets large requests by UDP at once.
    #[serde(with = "duration")]
    pub udp_only_time: Duration,
    /// How long a server may say nothing at all before another one is asked.
    #[serde(with = "duration")]
    pub silence_timeout: Duration,
    /// How long a phone may ring where the request does not say.
    #[serde(with = "duration")]
    pub ring_timeout: Duration,
    /// How long a TCP or TLS connection may stay silent.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Whether a phone's REFER is carried out.
    pub transfer_by_phones: bool,
    /// Whether a call may take over (Replaces) or join (Join) another by naming its dialog.
    pub takeover: bool,
    /// How long a transfer may go without news.
    #[serde(with = "duration")]
    pub transfer_timeout: Duration,
    /// How long a call stands without a refresh.
    #[serde(with = "duration")]
    pub session_expires: Duration,
    /// The shortest such time that a phone may ask for.
    #[serde(with = "duration")]
    pub min_se: Duration,
    /// Whether provisional responses are acknowledged.
    pub prack: Prack,
    /// How long a message waits for a phone of its user; zero: not at all.
    #[serde(with = "duration")]
    pub message_wait: Duration,
    /// The shortest time that a phone may subscribe for.
    #[serde(with = "duration")]
    pub subscription_min: Duration,
    /// The longest that it gets, and what it gets that does not say.
    #[serde(with = "duration")]
    pub subscription_max: Duration,
    /// The time from one NOTIFY of a subscription to the next, at least.
    #[serde(with = "duration")]
    pub notify_interval: Duration,
}

/// How names are resolved.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Name servers; none: the system's.
    #[serde(with = "list")]
    pub servers: Vec<NameServer>,
    /// How long a question may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Questions at once.
    pub questions: usize,
    /// Answers kept.
    pub cache: usize,
    /// The longest that the absence of a record is kept.
    #[serde(with = "duration")]
    pub negative_ttl: Duration,
    /// Servers of a name that a request tries.
    pub hosts: usize,
    /// For how long one that failed is tried last.
    #[serde(with = "duration")]
    pub down_time: Duration,
}

/// Audio.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent settings")]
pub struct Media {
    /// Media threads; otherwise one a core.
    #[serde(with = "text")]
    pub workers: Auto<NonZeroUsize>,
    /// Legs of a media thread, or as much work as theirs, beyond which who joins its rooms may be seated on another.
    pub spread_above: usize,
    /// How packets are sent and received.
    pub io: MediaIo,
    /// Offered and accepted, best first.
    #[serde(with = "list")]
    pub codecs: Vec<CodecName>,
    /// Packet time that is asked for: 10 to 60 ms in steps of 10.
    #[serde(with = "duration")]
    pub ptime: Duration,
    /// The jitter buffer never goes below.
    #[serde(with = "duration")]
    pub jitter_min: Duration,
    /// The jitter buffer never stays above.
    #[serde(with = "duration")]
    pub jitter_ceiling: Duration,
    /// MOS below which a leg sounds bad: 1.0 to 4.4.
    pub quality_degraded: f32,
    /// MOS above which it sounds well again; at least `quality_degraded`.
    pub quality_recovered: f32,
    /// For how long either has to last.
    #[serde(with = "duration")]
    pub quality_patience: Duration,
    /// A leg without RTP for this long is hung up; zero: never.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// A room from whose legs no RTP came for this long is sent single packets instead of a stream; zero: never.
    #[serde(with = "duration")]
    pub sleep_after: Duration,
    /// How many are mixed at once in a room that does not say.
    pub contributors: u32,
    /// Whether everybody is brought to the same loudness who does not say otherwise.
    pub agc: bool,
    /// Whether everybody is freed from noise who does not say otherwise.
    pub noise_suppression: bool,
    /// Whether echoes are held back where the API does not say otherwise.
    pub echo_suppression: bool,
    /// Whether comfort noise is agreed to where it is offered.
    pub comfort_noise: bool,
    /// Whether legs are told who is in the mix that they hear.
    pub csrc: bool,
    /// Whether RTP is encrypted with keys from the SDP.
    pub srtp: MediaSrtp,
    /// Whether DTLS may make keys for RTP, and ICE is answered: without it no browser can join.
    pub dtls: bool,
    /// How long a handshake may take before the leg is hung up.
    #[serde(with = "duration")]
    pub dtls_timeout: Duration,
    /// 0 (cheap) to 10 (best).
    pub opus_complexity: u8,
    /// Bits a second, 6000 to 510000.
    pub opus_bitrate: u32,
    /// Whether senders are asked for in-band FEC.
    pub opus_fec: bool,
}

/// How rooms come to be.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rooms {
    /// Callable names that make a room when nobody has.
    #[serde(with = "text")]
    pub auto_create: Pattern,
    /// Networks whose callers may make a room so.
    #[serde(with = "list")]
    pub auto_create_from: Vec<Network>,
    /// The name that makes a new room whenever it is called; nothing: none does.
    pub factory: String,
}

/// What is refused beyond.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Octets of a SIP message.
    pub message_size: usize,
    /// Header lines of a SIP message.
    pub headers: usize,
    /// SIP transactions at once, each way.
    pub transactions: usize,
    /// SIP dialogs at once.
    pub dialogs: usize,
    /// TCP, TLS and WebSocket connections at once.
    pub connections: usize,
    /// Those of them that one address may open; of IPv6, one /64.
    pub connections_per_source: usize,
    /// HTTP connections that one address may have open; of IPv6, one /64.
    pub api_connections_per_source: usize,
    /// HTTP requests a second of one key; 0 is no limit.
    pub api_requests_per_second: u32,
    /// Event streams and WebSockets of the API at once.
    pub api_streams: usize,
    /// Those of them that one key may have open.
    pub api_streams_per_key: usize,
    /// Legs at once, ringing ones included.
    pub legs: usize,
    /// Share of its time that a media thread may be busy and take one more leg.
    pub media_load: f32,
    /// Rooms at once.
    pub rooms: usize,
    /// Participants of a room that does not say.
    pub participants_per_room: u32,
    /// Audio groups of a room, `main` included: 1 to 32.
    pub groups_per_room: usize,
    /// New calls a second from outside.
    pub calls_per_second: u32,
    /// How long a call may last; zero: for ever.
    #[serde(with = "duration")]
    pub max_duration: Duration,
    /// Users, those of the settings included.
    pub users: usize,
    /// Trunks, those of the settings included.
    pub trunks: usize,
    /// Registrations at once.
    pub registrations: usize,
    /// Phones of one user at once; one more takes the place of the one that was refreshed longest ago.
    pub phones_per_user: usize,
    /// SIP messages and events kept of each call for `/v1/legs/{leg}/trace`; 0: none.
    pub trace_entries: usize,
    /// Octets of all traces together.
    pub trace_memory: usize,
    /// Wrong passwords from one address within `sip.ban_time` that ban it.
    pub failed_logins: u32,
    /// Octets that an instant message may say.
    pub message_body: usize,
    /// Instant messages that are remembered.
    pub messages: usize,
    /// Instant messages a second from phones.
    pub messages_per_second: u32,
    /// Subscriptions (SUBSCRIBE) at once.
    pub subscriptions: usize,
    /// Those of them that one address may hold.
    pub subscriptions_per_source: usize,
    /// What phones have published (PUBLISH) at once.
    pub publications: usize,
    /// Octets that one may say.
    pub publication_body: usize,
    /// Users that subscribers of a room are told one by one.
    pub roster: usize,
}

/// How endpoints are asked where calls go.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Questions open at once.
    pub at_once: usize,
    /// Octets of an answer.
    pub answer_size: usize,
    /// Networks that are not public and may be asked all the same.
    #[serde(with = "list")]
    pub private_networks: Vec<Network>,
    /// Roots of their certificates, PEM; empty: the system's.
    pub ca: PathBuf,
}

/// What may be uploaded to be played.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sounds {
    /// Octets of an upload.
    pub upload_size: usize,
    /// How long one may last.
    #[serde(with = "duration")]
    pub max_length: Duration,
    /// Octets of memory for all of them.
    pub memory: u64,
}

/// What a WAV file can just hold at 48 kHz.
const LONGEST_RECORDING: Duration = Duration::from_hours(12);

/// Rooms, calls and legs as files.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recordings {
    /// Recordings at once.
    pub at_once: usize,
    /// How long one may be.
    #[serde(with = "duration")]
    pub max_length: Duration,
    /// Marks of one; more are dropped.
    pub marks: usize,
    /// Octets of the disk that are left free.
    pub keep_free: u64,
    /// For how many days they are kept; 0: for good.
    pub keep_days: u32,
}

/// Who is told of events by HTTP.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Webhooks {
    /// How long an attempt may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Attempts at once for each.
    pub at_once: usize,
    /// One that has taken nothing for so many days is disabled.
    pub disable_after_days: u32,
    /// Networks that are not public and may be told all the same.
    #[serde(with = "list")]
    pub private_networks: Vec<Network>,
    /// Roots of their certificates, PEM; empty: the system's.
    pub ca: PathBuf,
}

/// What is remembered.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Events {
    /// Events kept in memory for clients that resume.
    pub log_size: usize,
    /// Ended legs, calls and rooms kept for reading, each.
    pub history: usize,
}

/// For how many days what is kept; 0: for good.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Records {
    /// Legs that are over.
    pub legs_days: u32,
    /// Two-party calls that are over.
    pub calls_days: u32,
    /// Rooms that are over.
    pub rooms_days: u32,
    /// Commands that came over the API.
    pub audit_days: u32,
    /// Events of the log.
    pub events_days: u32,
    /// How many of them at most; 0: no limit.
    pub events: u64,
    /// What webhooks were told.
    pub deliveries_days: u32,
}

/// Copies of SIP messages for a collector.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hep {
    /// Its UDP address.
    #[serde(with = "text")]
    pub collector: Switch<SocketAddr>,
    /// The number of this node there.
    pub capture_id: u32,
    /// What it asks for; empty: nothing.
    pub password: String,
}

impl std::fmt::Debug for Hep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hep").field("collector", &self.collector).finish_non_exhaustive()
    }
}

impl Default for Config {
    /// What `plenary.sample.toml` says.
    fn default() -> Self {
        Figment::from(Toml::string(SAMPLE))
            .extract()
            .expect("the sample is complete; a test reads it")
    }
}

/// The sample file: defaults, and what each key means.
const SAMPLE: &str = include_str!("../plenary.sample.toml");

impl Media {
    fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        expect(!self.codecs.is_empty(), "media.codecs", "at least one codec");
        expect(is_ptime(self.ptime), "media.ptime", "10ms to 60ms in steps of 10ms");
        expect(
            self.jitter_min <= self.jitter_ceiling,
            "media.jitter_min",
            "at most media.jitter_ceiling",
        );
        expect(
            self.jitter_ceiling >= Duration::from_millis(20),
            "media.jitter_ceiling",
            "at least 20ms",
        );
        expect(
            (1.0..=4.4).contains(&self.quality_degraded),
            "media.quality_degraded",
            "1.0 to 4.4",
        );
        expect(
            (self.quality_degraded..=4.4).contains(&self.quality_recovered),
            "media.quality_recovered",
            "media.quality_degraded to 4.4",
        );
        expect(!self.dtls_timeout.is_zero(), "media.dtls_timeout", "at least 1s");
        expect(self.contributors >= 1, "media.contributors", "at least 1");
        expect(self.opus_complexity <= 10, "media.opus_complexity", "0 to 10");
        expect(
            (6_000..=510_000).contains(&self.opus_bitrate),
            "media.opus_bitrate",
            "6000 to 510000",
        );
    }
}

impl Config {
    /// What types alone cannot say: each complaint as key and expectation.
    fn complaints(&self) -> Vec<(&'static str, String)> {
        let Self { media, limits, events, sip, ask, dns, hep, .. } = self;
        let mut complaints = Vec::new();
        let mut expect = |holds: bool, key: &'static str, expected: &str| {
            if !holds {
                let expected = expected.strip_prefix("expected ").unwrap_or(expected);
                complaints.push((key, format!("expected {expected}")));
            }
        };
        let length = self.recordings.max_length;
        expect(length <= LONGEST_RECORDING, "recordings.max_length", "at most 12 hours");
        for trunk in &self.trunks {
            if let Some((_, expected)) = trunk.complaint() {
                expect(false, "trunks", &format!("{expected} in trunk \"{}\"", trunk.name));
            }
        }
        for expected in self.callers.iter().filter_map(Caller::complaint) {
            expect(false, "callers", expected);
        }
        let are_money = self.prices.values().all(|price| callers::is_money(*price));
        expect(are_money, "prices", "0 to 1000000 a minute");
        let names: BTreeSet<&str> = self.trunks.iter().map(|trunk| trunk.name.as_str()).collect();
        expect(names.len() == self.trunks.len(), "trunks", "each name once");
        let mut routes = BTreeSet::new();
        for route in &self.routes {
            match Rule::new(route.clone()) {
                Err(fault) => {
                    let at = format!("{fault} at {} of route \"{}\"", fault.pointer, route.name);
                    expect(false, "routes", &at);
                }
                Ok(rule) => {
                    let at = format!("trunks that there are in route \"{}\"", route.name);
                    expect(rule.trunks().all(|(_, trunk)| names.contains(trunk)), "routes", &at);
                }
            }
            expect(routes.insert(route.name.as_str()), "routes", "each name once");
        }
        expect(routes.len() <= MAX_ROUTES, "routes", &format!("at most {MAX_ROUTES}"));
        sip.expect_sane(&mut expect);
        dns.expect_sane(&mut expect);
        media.expect_sane(&mut expect);
        limits.expect_sane(&mut expect);
        expect(ask.at_once >= 1, "ask.at_once", "at least 1");
        self.webhooks.expect_sane(&mut expect);
        self.mail.expect_sane(&mut expect);
        self.directory.expect_sane(&mut expect);
        let sizes = 1_024..=1 << 20;
        expect(sizes.contains(&ask.answer_size), "ask.answer_size", "1024 to 1048576");
        expect(events.log_size >= 1, "events.log_size", "at least 1");
        let days = self.records.deliveries_days;
        expect(days == 0 || days >= 4, "records.deliveries_days", "0, or at least 4");
        expect(events.history >= 1, "events.history", "at least 1");
        expect(hep.password.len() <= 255, "hep.password", "at most 255 octets");
        complaints
    }

    /// What works but will surprise: one sentence each, for the log and for `plenary check`.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.rtp_ports.pairs() < self.limits.legs {
            warnings.push(format!(
                "rtp_ports = {} has room for {} legs, limits.legs allows {}: further calls will be refused; widen rtp_ports",
                self.rtp_ports,
                self.rtp_ports.pairs(),
                self.limits.legs
            ));
        }
        if !self.api.ip().is_loopback() {
            warnings.push(format!(
                "api = {} is reachable from outside without TLS: put a TLS proxy in front",
                self.api
            ));
        }
        let open = |network: &Network| network.is_everything();
        if self.rooms.auto_create_from.iter().any(open)
            && !self.rooms.auto_create.as_str().is_empty()
        {
            warnings.push(
                "rooms.auto_create_from lets anybody make rooms: strangers will meet here"
                    .to_owned(),
            );
        }
        if self.directory.url.starts_with("ldap:") && !self.directory.starttls {
            warnings.push(
                "directory.starttls = false sends the passwords of who logs in in clear text"
                    .to_owned(),
            );
        }
        if self.public_ip == Auto::Set(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) {
            warnings.push(
                "public_ip = 0.0.0.0 puts every call on hold: give the real address or \"auto\""
                    .to_owned(),
            );
        }
        warnings
    }
}

impl Sip {
    fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        let listeners = [&self.udp, &self.tcp, &self.tls, &self.ws, &self.wss];
        expect(
            listeners.iter().any(|listeners| !listeners.0.is_empty()),
            "sip.udp",
            "a listener in sip.udp, sip.tcp, sip.tls, sip.ws or sip.wss",
        );
        self.expect_certificates(expect);
        expect(
            is_header_text(&self.user_agent),
            "sip.user_agent",
            "visible ASCII characters and blanks",
        );
        expect(!self.realm.is_empty(), "sip.realm", "some text");
        expect(!self.digest.is_empty(), "sip.digest", "at least one algorithm");
        expect(!self.nonce_lifetime.is_zero(), "sip.nonce_lifetime", "at least 1s");
        expect(
            self.registration_min >= Duration::from_secs(1),
            "sip.registration_min",
            "at least 1s",
        );
        expect(
            (self.registration_min..=self.registration_max).contains(&self.registration_expires),
            "sip.registration_expires",
            "sip.registration_min to sip.registration_max",
        );
        expect(!self.ring_timeout.is_zero(), "sip.ring_timeout", "at least 1s");
        expect(!self.idle_timeout.is_zero(), "sip.idle_timeout", "at least 1s");
        expect(!self.transfer_timeout.is_zero(), "sip.transfer_timeout", "at least 1s");
        expect(self.min_se >= Duration::from_secs(90), "sip.min_se", "at least 90s (RFC 4028)");
        expect(
            (Duration::from_secs(1)..=self.subscription_max).contains(&self.subscription_min),
            "sip.subscription_min",
            "1s to sip.subscription_max",
        );
        expect(self.session_expires >= self.min_se, "sip.session_expires", "at least sip.min_se");
    }

    /// What `tls`, `ws` and `wss` need.
    fn expect_certificates(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        let is_set = |path: &PathBuf| !path.as_os_str().is_empty();
        let (certificate, key) = (is_set(&self.tls_certificate), is_set(&self.tls_key));
        let both = "sip.tls_certificate and sip.tls_key beside it";
        expect(self.tls.0.is_empty() || certificate && key, "sip.tls", both);
        expect(self.wss.0.is_empty() || certificate && key, "sip.wss", both);
        expect(!certificate || key, "sip.tls_certificate", "sip.tls_key beside it");
        expect(!key || certificate, "sip.tls_key", "sip.tls_certificate beside it");
        expect(
            self.tls_client == ClientCertificate::Optional || is_set(&self.tls_client_ca),
            "sip.tls_client_ca",
            "a PEM file, since sip.tls_client is required",
        );
        let is_origin =
            |origin: &String| matches!(origin.as_str(), "*" | "self") || origin.contains("://");
        expect(
            self.ws_origins.iter().all(is_origin),
            "sip.ws_origins",
            "\"*\", \"self\" or origins as in https://phone.example.com",
        );
        expect(!self.ws_ping.is_zero(), "sip.ws_ping", "at least 1s");
        expect(!self.handshake_timeout.is_zero(), "sip.handshake_timeout", "at least 1s");
        expect(!self.message_timeout.is_zero(), "sip.message_timeout", "at least 1s");
    }
}

impl Dns {
    fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        expect(self.timeout >= Duration::from_millis(100), "dns.timeout", "at least 100ms");
        expect(self.questions >= 1, "dns.questions", "at least 1");
        expect((1..=64).contains(&self.hosts), "dns.hosts", "1 to 64");
    }
}

impl Webhooks {
    fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        expect(self.timeout >= Duration::from_secs(1), "webhooks.timeout", "at least 1s");
        expect(self.disable_after_days >= 1, "webhooks.disable_after_days", "at least 1");
        expect(self.at_once >= 1, "webhooks.at_once", "at least 1");
    }
}

impl Limits {
    fn expect_sane(&self, expect: &mut impl FnMut(bool, &'static str, &str)) {
        expect(
            (1_500..=1 << 20).contains(&self.message_size),
            "limits.message_size",
            "1500 to 1048576",
        );
        expect(self.headers >= 20, "limits.headers", "at least 20");
        expect(self.transactions >= 1, "limits.transactions", "at least 1");
        expect(self.dialogs >= 1, "limits.dialogs", "at least 1");
        expect(self.connections >= 1, "limits.connections", "at least 1");
        expect(self.connections_per_source >= 1, "limits.connections_per_source", "at least 1");
        let connections = self.api_connections_per_source;
        expect(connections >= 1, "limits.api_connections_per_source", "at least 1");
        expect(self.legs >= 1, "limits.legs", "at least 1");
        expect(
            self.media_load > 0.0 && self.media_load <= 1.0,
            "limits.media_load",
            "more than 0, at most 1",
        );
        expect(self.rooms >= 1, "limits.rooms", "at least 1");
        expect(self.participants_per_room >= 1, "limits.participants_per_room", "at least 1");
        expect((1..=32).contains(&self.groups_per_room), "limits.groups_per_room", "1 to 32");
        expect(self.calls_per_second >= 1, "limits.calls_per_second", "at least 1");
        expect(self.failed_logins >= 1, "limits.failed_logins", "at least 1");
        expect(self.registrations >= 1, "limits.registrations", "at least 1");
        expect(self.phones_per_user >= 1, "limits.phones_per_user", "at least 1");
    }
}

fn is_ptime(ptime: Duration) -> bool {
    let milliseconds = ptime.as_millis();
    (10..=60).contains(&milliseconds) && milliseconds.is_multiple_of(10)
}

fn is_header_text(text: &str) -> bool {
    !text.trim().is_empty() && text.bytes().all(|octet| matches!(octet, b' '..=b'~'))
}

#[cfg(test)]
mod tests;
