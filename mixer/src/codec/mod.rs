//! The codecs a leg may speak.

use std::fmt;
use std::time::Duration;

/// A codec by its RTP encoding name (RFC 3551, RFC 7587).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Codec {
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz audio on an 8 kHz RTP clock (RFC 3551 §4.5.2).
    G722,
    /// Opus on a 48 kHz RTP clock.
    Opus,
    /// 16-bit linear, network byte order (RFC 3551 §4.5.11).
    L16,
}

/// A codec with the numbers of its rtpmap.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Format {
    /// Which codec.
    pub codec: Codec,
    /// RTP clock in Hz, as in rtpmap (8000 for G.722).
    pub clock_rate: u32,
    /// Channels of rtpmap: 2 for Opus always, 1 or 2 for L16, else 1.
    pub channels: u8,
}

impl fmt::Display for Format {
    /// As in rtpmap without the channels: `PCMU/8000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.codec {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
            Codec::L16 => "L16",
        };
        write!(f, "{name}/{}", self.clock_rate)
    }
}

/// How to encode towards one leg; legs with equal encodings may share an encoder.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Encoding {
    /// Codec and clock.
    pub format: Format,
    /// Packet interval: 10 to 60 ms in steps of 10.
    pub ptime: Duration,
    /// Ignored unless the codec is Opus.
    pub opus: OpusOptions,
}

/// What the far side's fmtp (RFC 7587 §6.1) and our settings make of the Opus encoder.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct OpusOptions {
    /// Highest audio rate worth sending, Hz (`maxplaybackrate`).
    pub max_playback_rate: u32,
    /// Bits a second (`maxaveragebitrate` caps ours).
    pub bitrate: u32,
    /// In-band FEC wanted by the far side (`useinbandfec`).
    pub fec: bool,
    /// Discontinuous transmission wanted (`usedtx`).
    pub dtx: bool,
    /// Constant bit rate wanted (`cbr`).
    pub cbr: bool,
    /// 0 (cheap) to 10 (best).
    pub complexity: u8,
}
