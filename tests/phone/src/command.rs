//! What the phone is told, one JSON object a line: `{"id":1,"do":"call",…}`. `README.md` shows each.

use std::net::SocketAddr;

use serde::Deserialize;

/// A command and the number that its answer repeats.
#[derive(Debug, Deserialize)]
pub struct Order {
    #[serde(default)]
    pub id: u64,
    #[serde(flatten)]
    pub command: Command,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Opens a line: one UDP socket and one TCP listener on the same port.
    Open {
        line: String,
        #[serde(default = "any_port")]
        bind: SocketAddr,
        #[serde(flatten)]
        behaviour: Behaviour,
    },
    /// Replaces the behaviour of a line for calls to come.
    Behave {
        line: String,
        #[serde(flatten)]
        behaviour: Behaviour,
    },
    /// Makes the SIP of a line troublesome.
    Trouble {
        line: String,
        #[serde(flatten)]
        trouble: Trouble,
    },
    /// Places a call.
    Call(Dial),
    /// Answers a call that rings.
    Answer { call: String },
    /// Refuses a call that rings.
    Reject { call: String, status: u16 },
    /// Ends a call: CANCEL before the answer, BYE after it, 603 for one that rings here.
    Hangup { call: String },
    /// Plays these tones, or silence when there are none.
    Play {
        call: String,
        #[serde(default)]
        tones_hz: Vec<f64>,
        #[serde(default = "default_level")]
        level_db: f64,
        /// Breaks them into syllables and pauses, in the rhythm of this seed.
        babble: Option<u64>,
        /// Adds the noise of a fan at this level.
        noise_db: Option<f64>,
    },
    /// Returns what is heard, as a loudspeaker beside a microphone does; without `level_db` no more.
    Echo {
        call: String,
        #[serde(default)]
        delay_ms: u32,
        level_db: Option<f64>,
    },
    /// Stops or resumes sending RTP at all.
    Media { call: String, send: bool },
    Impair {
        call: String,
        #[serde(flatten)]
        impairments: Impairments,
    },
    /// Sends from a fresh port from now on, as after a NAT rebinding.
    SourcePort { call: String },
    /// A third party sends a tone to where this call's media goes.
    Intrude { call: String, tone_hz: f64, duration_ms: u64 },
    Hold {
        call: String,
        #[serde(default)]
        how: HoldStyle,
        #[serde(default)]
        method: OfferMethod,
    },
    Resume {
        call: String,
        #[serde(default)]
        method: OfferMethod,
    },
    /// Changes the session.
    Reinvite {
        call: String,
        #[serde(default)]
        new_port: bool,
        codecs: Option<Vec<String>>,
        #[serde(default)]
        late_offer: bool,
        #[serde(default)]
        method: OfferMethod,
    },
    Dtmf {
        call: String,
        digits: String,
        #[serde(default)]
        via: DigitPath,
        #[serde(default = "default_digit_ms")]
        duration_ms: u32,
    },
    /// Transfer: asks the far side to call `to`, or whom the call `replaces` is with, in its place.
    Refer {
        call: String,
        to: Option<String>,
        replaces: Option<String>,
        /// Whether reports are wanted (RFC 4488).
        #[serde(default = "yes")]
        reports: bool,
    },
    /// Any other request inside the dialog.
    Request {
        call: String,
        method: String,
        #[serde(default)]
        content_type: Option<String>,
        #[serde(default)]
        body: String,
    },
    /// OPTIONS outside any dialog.
    Options {
        line: String,
        to: String,
        #[serde(default)]
        transport: Transport,
    },
    /// Says what is heard in one window of time.
    Hear(Hear),
    /// Waits until the window matches what is expected.
    ListenFor(ListenFor),
    /// Mouth to ear: plays bursts on one call and finds them on another.
    Delay {
        from: String,
        to: String,
        #[serde(default = "default_bursts")]
        bursts: u32,
    },
    /// What a call counted.
    Statistics { call: String },
}

/// What a line does with calls and requests that come in.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct Behaviour {
    pub on_invite: OnInvite,
    /// Status for `reject`.
    pub status: u16,
    /// Where `redirect` points.
    pub contact: String,
    /// Time from the INVITE to the final answer.
    pub delay_ms: u64,
    /// Whether 180 precedes the final answer.
    pub ring: bool,
    pub codecs: Vec<String>,
    pub ptime_ms: u32,
    /// What plays once answered.
    pub tones_hz: Vec<f64>,
    pub on_refer: OnRefer,
    /// Status with which re-INVITE and UPDATE are refused; 0 accepts.
    pub refuse_offers: u16,
    /// Answers the INVITE when its CANCEL comes: the race of RFC 3261 §9.1.
    pub answer_on_cancel: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            on_invite: OnInvite::Answer,
            status: 480,
            contact: String::new(),
            delay_ms: 0,
            ring: true,
            codecs: vec!["PCMU".to_owned(), "PCMA".to_owned()],
            ptime_ms: 20,
            tones_hz: Vec::new(),
            on_refer: OnRefer::Accept,
            refuse_offers: 0,
            answer_on_cancel: false,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OnInvite {
    Answer,
    /// 183 with SDP and media, then the answer.
    EarlyMedia,
    Busy,
    Decline,
    Reject,
    Redirect,
    /// 180 and nothing more, until `answer` or `reject` is told.
    Ring,
    /// Not one response.
    Ignore,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum OnRefer {
    /// 202, places the call from the same line, NOTIFY of each step.
    Accept,
    /// 603.
    Refuse,
    /// 202, and then the call is reported as failed with 486 without being placed.
    Fail,
}

/// Troubles of the line's own making.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Trouble {
    /// So many ACKs for 2xx are not sent.
    pub lose_acks: u32,
    /// So many messages that come are thrown away.
    pub lose_incoming: u32,
    /// Each message is sent so many times more.
    pub repeat: u32,
}

#[derive(Debug, Deserialize)]
pub struct Dial {
    pub line: String,
    /// The name by which commands and events call it.
    pub call: String,
    pub to: String,
    #[serde(default)]
    pub transport: Transport,
    /// Codecs to offer, best first; default: those of the line.
    pub codecs: Option<Vec<String>>,
    /// What plays once answered.
    #[serde(default)]
    pub tones_hz: Vec<f64>,
    #[serde(default)]
    pub late_offer: bool,
    /// Header fields to add.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The call, of any line, whose far end is to put this one in its place.
    #[serde(default)]
    pub replaces: Option<String>,
    /// The call, of any line, whose conversation this one is to come into.
    #[serde(default)]
    pub join: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
}

/// What happens to the packets that a call sends.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Impairments {
    pub loss_percent: f64,
    /// Packets are late by 0 to this, in order.
    pub jitter_ms: f64,
    /// Packets that leave one packet late, behind their successor.
    pub reorder_percent: f64,
    pub duplicate_percent: f64,
    pub seed: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HoldStyle {
    #[default]
    Sendonly,
    Inactive,
    /// `c=IN IP4 0.0.0.0` (RFC 2543).
    Zero,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum OfferMethod {
    #[default]
    Invite,
    Update,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum DigitPath {
    /// RFC 4733.
    #[default]
    Rtp,
    /// SIP INFO with `application/dtmf-relay`.
    Info,
}

#[derive(Debug, Deserialize)]
pub struct Hear {
    pub call: String,
    pub tones_hz: Vec<f64>,
    #[serde(default = "default_window_ms")]
    pub window_ms: u64,
    /// Time between the command and the window; what is in flight then does not count.
    #[serde(default)]
    pub skip_ms: u64,
}

#[derive(Debug, Deserialize)]
pub struct ListenFor {
    pub call: String,
    /// Tones that must be there.
    #[serde(default)]
    pub present_hz: Vec<f64>,
    /// Tones that must not.
    #[serde(default)]
    pub absent_hz: Vec<f64>,
    #[serde(default = "default_match_ms")]
    pub window_ms: u64,
    #[serde(default = "default_timeout_ms")]
    pub timeout_ms: u64,
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn yes() -> bool {
    true
}

fn default_level() -> f64 {
    DEFAULT_LEVEL_DB
}

fn default_digit_ms() -> u32 {
    100
}

fn default_bursts() -> u32 {
    5
}

fn default_window_ms() -> u64 {
    1000
}

fn default_match_ms() -> u64 {
    400
}

fn default_timeout_ms() -> u64 {
    10_000
}

/// A tone's level unless told otherwise: dB below a full-scale sine.
pub const DEFAULT_LEVEL_DB: f64 = -16.0;
