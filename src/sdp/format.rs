//! Payload types: which number stands for which codec, and what the parameters make of the encoder.
//!
//! A new codec is a row in [`NAMES`] and, if its number is fixed, in [`STATIC`].

use std::time::Duration;

use mixer::codec::{Codec, Encoding, Format, OpusOptions};

use crate::sdp::attribute::Fmtp;
use crate::sdp::session::Media;

/// What a payload type carries.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) enum Coding {
    /// Audio.
    Audio(Format),
    /// `telephone-event` (RFC 4733) at this clock in Hz.
    Events(u32),
    /// Comfort noise (RFC 3389) at this clock in Hz.
    Noise(u32),
}

/// Payload types with a fixed meaning (RFC 3551 §6). G.722 says 8000 for its 16 kHz (§4.5.2).
const STATIC: [(u8, Format); 5] = [
    (0, Format::usual(Codec::Pcmu)),
    (8, Format::usual(Codec::Pcma)),
    (9, Format::usual(Codec::G722)),
    (10, Format { codec: Codec::L16, clock_rate: 44_100, channels: 2 }),
    (11, Format { codec: Codec::L16, clock_rate: 44_100, channels: 1 }),
];

/// Encoding names (RFC 3551 §6, RFC 7587 §7).
const NAMES: [(&str, Codec); 5] = [
    ("PCMU", Codec::Pcmu),
    ("PCMA", Codec::Pcma),
    ("G722", Codec::G722),
    ("opus", Codec::Opus),
    ("L16", Codec::L16),
];

const EVENTS: &str = "telephone-event";
const NOISE: &str = "CN";
/// Its fixed number at 8 kHz (RFC 3389 §4).
const NOISE_8000: u8 = 13;

/// Numbers that most phones use; any other would do.
const CUSTOMARY: [(u8, Coding); 4] = [
    (NOISE_8000, Coding::Noise(8_000)),
    (111, Coding::Audio(Format::usual(Codec::Opus))),
    (101, Coding::Events(8_000)),
    (110, Coding::Events(48_000)),
];

/// RFC 3551 §6: free for dynamic assignment.
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

const TICK: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(60);

/// What an IPv6 packet of 1280 octets leaves for the payload.
const LARGEST_PAYLOAD: u32 = 1_280 - 40 - 8 - 12;

impl Coding {
    /// What a payload type of this m-line stands for: its rtpmap, else its fixed meaning.
    pub(super) fn of(media: &Media, payload_type: u8) -> Option<Self> {
        let Some(map) = media.rtpmap(payload_type) else {
            if payload_type == NOISE_8000 {
                return Some(Self::Noise(8_000));
            }
            let (_, format) = STATIC.iter().find(|(number, _)| *number == payload_type)?;
            return Some(Self::Audio(*format));
        };
        if map.encoding.eq_ignore_ascii_case(EVENTS) {
            return Some(Self::Events(map.clock_rate));
        }
        if map.encoding.eq_ignore_ascii_case(NOISE) {
            return Some(Self::Noise(map.clock_rate));
        }
        let (_, codec) = NAMES.iter().find(|(name, _)| map.encoding.eq_ignore_ascii_case(name))?;
        let format = match (codec, map.clock_rate) {
            // RFC 7587 §7 wants 48000/2; some write the channels otherwise or not at all.
            (Codec::Opus, 48_000) => Format { codec: *codec, clock_rate: 48_000, channels: 2 },
            // Some write the true 16000 for G.722; it cannot mean anything else.
            (Codec::G722, 16_000) => Format { codec: *codec, clock_rate: 8_000, channels: 1 },
            (Codec::Opus, _) => return None,
            (&codec, clock_rate) => Format { codec, clock_rate, channels: map.channels },
        };
        Some(Self::Audio(format))
    }

    /// The value of `a=rtpmap` after the number.
    pub(super) fn rtpmap(self) -> String {
        match self {
            Self::Events(clock_rate) => format!("{EVENTS}/{clock_rate}"),
            Self::Noise(clock_rate) => format!("{NOISE}/{clock_rate}"),
            Self::Audio(format) if format.channels > 1 => format!("{format}/{}", format.channels),
            Self::Audio(format) => format.to_string(),
        }
    }

    /// The value of `a=fmtp` after the number: what we would like to receive.
    pub(super) fn fmtp(self, opus: &OpusOptions) -> Option<String> {
        match self {
            Self::Events(_) => Some("0-15".to_owned()),
            Self::Audio(Format { codec: Codec::Opus, .. }) => opus_fmtp(opus),
            Self::Audio(_) | Self::Noise(_) => None,
        }
    }

    /// A number for our own offer that is not `taken`: the fixed, the customary, or the first free one.
    pub(super) fn number(self, taken: impl Fn(u8) -> bool) -> Option<u8> {
        let fixed = STATIC.iter().map(|&(number, format)| (number, Self::Audio(format)));
        let mut known = fixed.chain(CUSTOMARY).filter(|&(_, coding)| coding == self);
        let customary = |number| CUSTOMARY.iter().any(|&(known, _)| known == number);
        known
            .find(|&(number, _)| !taken(number))
            .map(|(number, _)| number)
            .or_else(|| DYNAMIC.into_iter().find(|&number| !taken(number) && !customary(number)))
    }
}

/// How to send `format` to the side that wrote this m-line: its `ptime` and `maxptime` else ours, its Opus parameters
/// within ours (RFC 7587 §6.1, where absent ones have the RFC's defaults).
pub(super) fn encoding(
    format: Format,
    media: &Media,
    payload_type: u8,
    ours: (Duration, OpusOptions),
) -> Encoding {
    let (ptime, opus) = ours;
    let wanted = media.ptime().unwrap_or(ptime).min(media.maxptime().unwrap_or(LONGEST));
    let fmtp = media.fmtp(payload_type);
    Encoding { format, ptime: packet_time(format, wanted), opus: opus_options(fmtp, opus) }
}

/// The longest packet time not over `wanted` that the codec can have: 10 to 60 ms in whole 10 ms, for Opus only what
/// is one frame (10, 20, 40, 60: RFC 6716 §2.1.4), for L16 what fits in a packet.
fn packet_time(format: Format, wanted: Duration) -> Duration {
    let possible = |ticks: &u32| match format.codec {
        Codec::Opus => matches!(ticks, 1 | 2 | 4 | 6),
        Codec::L16 => {
            let octets = format.clock_rate / 100 * u32::from(format.channels) * 2 * ticks;
            octets <= LARGEST_PAYLOAD
        }
        Codec::Pcmu | Codec::Pcma | Codec::G722 => true,
    };
    (1..=6)
        .rev()
        .find(|ticks| possible(ticks) && TICK * *ticks <= wanted)
        .map_or(TICK, |ticks| TICK * ticks)
}

fn opus_options(theirs: Fmtp<'_>, ours: OpusOptions) -> OpusOptions {
    let rate = theirs.number("maxplaybackrate").unwrap_or(48_000).clamp(8_000, 48_000);
    let bitrate = theirs.number("maxaveragebitrate").unwrap_or(510_000).clamp(6_000, 510_000);
    OpusOptions {
        max_playback_rate: rate.min(ours.max_playback_rate),
        bitrate: bitrate.min(ours.bitrate),
        fec: theirs.flag("useinbandfec"),
        dtx: theirs.flag("usedtx"),
        cbr: theirs.flag("cbr"),
        complexity: ours.complexity,
    }
}

/// Stereo is decoded but not asked for: a conference is mixed in mono, and mono is the default (RFC 7587 §6.1).
fn opus_fmtp(ours: &OpusOptions) -> Option<String> {
    let mut parameters = Vec::new();
    if ours.max_playback_rate < 48_000 {
        parameters.push(format!("maxplaybackrate={}", ours.max_playback_rate));
    }
    for (name, on) in [("useinbandfec", ours.fec), ("usedtx", ours.dtx), ("cbr", ours.cbr)] {
        if on {
            parameters.push(format!("{name}=1"));
        }
    }
    (!parameters.is_empty()).then(|| parameters.join(";"))
}
