//! The codecs the phone speaks: G.711, G.722 and L16 of its own, Opus through audiopus.

use std::fmt;

use audiopus::coder::{Decoder as OpusDecoder, Encoder as OpusEncoder};
use audiopus::{Application, Bitrate, Channels, SampleRate};

#[path = "../../load/src/g722.rs"]
#[allow(clippy::all, clippy::pedantic, clippy::use_self, reason = "linted where it lives")]
mod g722;

/// An entry of an SDP format list.
#[derive(Clone, Debug, PartialEq)]
pub struct Codec {
    pub kind: Kind,
    pub payload_type: u8,
    /// RTP clock.
    pub clock_rate: u32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Pcmu,
    Pcma,
    G722,
    Opus,
    L16,
}

impl Codec {
    /// By the name used in commands: `PCMU PCMA G722 opus L16 L16/8000 L16/48000`.
    pub fn named(name: &str) -> Option<Self> {
        let (kind, payload_type, clock_rate) = match name.to_ascii_lowercase().as_str() {
            "pcmu" => (Kind::Pcmu, 0, 8000),
            "pcma" => (Kind::Pcma, 8, 8000),
            "g722" => (Kind::G722, 9, 8000),
            "opus" => (Kind::Opus, 111, 48_000),
            "l16" | "l16/16000" => (Kind::L16, 112, 16_000),
            "l16/8000" => (Kind::L16, 113, 8000),
            "l16/48000" => (Kind::L16, 114, 48_000),
            _ => return None,
        };
        Some(Self { kind, payload_type, clock_rate })
    }

    /// By what SDP says; the static types of RFC 3551 need no rtpmap.
    pub fn described(payload_type: u8, rtpmap: Option<(&str, u32, u32)>) -> Option<Self> {
        let (name, clock_rate, channels) = match (rtpmap, payload_type) {
            (Some(rtpmap), _) => rtpmap,
            (None, 0) => ("PCMU", 8000, 1),
            (None, 8) => ("PCMA", 8000, 1),
            (None, 9) => ("G722", 8000, 1),
            (None, _) => return None,
        };
        let kind = match (name.to_ascii_lowercase().as_str(), clock_rate, channels) {
            ("pcmu", 8000, 1) => Kind::Pcmu,
            ("pcma", 8000, 1) => Kind::Pcma,
            ("g722", 8000, 1) => Kind::G722,
            ("opus", 48_000, 2) => Kind::Opus,
            ("l16", 8000 | 16_000 | 48_000, 1) => Kind::L16,
            _ => return None,
        };
        Some(Self { kind, payload_type, clock_rate })
    }

    pub fn same_format(&self, other: &Self) -> bool {
        self.kind == other.kind && self.clock_rate == other.clock_rate
    }

    /// The rtpmap value without the payload type.
    pub fn rtpmap(&self) -> String {
        match self.kind {
            Kind::Pcmu => "PCMU/8000".to_owned(),
            Kind::Pcma => "PCMA/8000".to_owned(),
            Kind::G722 => "G722/8000".to_owned(),
            Kind::Opus => "opus/48000/2".to_owned(),
            Kind::L16 => format!("L16/{}", self.clock_rate),
        }
    }

    /// Rate of the samples, which for G.722 is not the RTP clock.
    pub fn sample_rate(&self) -> u32 {
        if self.kind == Kind::G722 { 16_000 } else { self.clock_rate }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rtpmap().trim_end_matches("/2"))
    }
}

/// An encoder with its state.
pub enum Encoder {
    Pcmu,
    Pcma,
    G722(Box<g722::Encoder>),
    Opus(Box<OpusEncoder>),
    L16,
}

impl Encoder {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Pcmu => Self::Pcmu,
            Kind::Pcma => Self::Pcma,
            Kind::G722 => Self::G722(Box::new(g722::Encoder::new())),
            Kind::Opus => Self::Opus(Box::new(opus_encoder().expect("the settings are valid"))),
            Kind::L16 => Self::L16,
        }
    }

    pub fn encode(&mut self, samples: &[i16]) -> Vec<u8> {
        match self {
            Self::Pcmu => samples.iter().map(|&sample| pcmu(sample)).collect(),
            Self::Pcma => samples.iter().map(|&sample| pcma(sample)).collect(),
            Self::G722(encoder) => {
                let mut packet = Vec::with_capacity(samples.len() / 2);
                encoder.encode(samples, &mut packet);
                packet
            }
            Self::L16 => samples.iter().flat_map(|sample| sample.to_be_bytes()).collect(),
            Self::Opus(encoder) => {
                let mut packet = vec![0; 1275];
                let length = encoder.encode(samples, &mut packet).unwrap_or(0);
                packet.truncate(length);
                packet
            }
        }
    }
}

/// CELT alone: SILK takes a steady tone for noise, and conceals a lost packet of it as noise.
fn opus_encoder() -> audiopus::Result<OpusEncoder> {
    let mut encoder = OpusEncoder::new(SampleRate::Hz48000, Channels::Mono, Application::LowDelay)?;
    encoder.set_bitrate(Bitrate::BitsPerSecond(32_000))?;
    encoder.set_complexity(3)?;
    Ok(encoder)
}

/// A decoder with its state.
pub enum Decoder {
    Pcmu,
    Pcma,
    G722(Box<g722::Decoder>),
    Opus(Box<OpusDecoder>),
    L16,
}

impl Decoder {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::Pcmu => Self::Pcmu,
            Kind::Pcma => Self::Pcma,
            Kind::G722 => Self::G722(Box::new(g722::Decoder::new())),
            Kind::L16 => Self::L16,
            Kind::Opus => {
                let decoder = OpusDecoder::new(SampleRate::Hz48000, Channels::Mono);
                Self::Opus(Box::new(decoder.expect("the settings are valid")))
            }
        }
    }

    /// `None`: not a packet of this codec.
    pub fn decode(&mut self, payload: &[u8]) -> Option<Vec<i16>> {
        match self {
            Self::Pcmu => Some(payload.iter().map(|&code| from_pcmu(code)).collect()),
            Self::Pcma => Some(payload.iter().map(|&code| from_pcma(code)).collect()),
            Self::G722(decoder) => {
                let mut samples = Vec::with_capacity(payload.len() * 2);
                decoder.decode(payload, &mut samples);
                Some(samples)
            }
            Self::L16 if payload.len().is_multiple_of(2) => {
                let pairs = payload.chunks_exact(2);
                Some(pairs.map(|pair| i16::from_be_bytes([pair[0], pair[1]])).collect())
            }
            Self::L16 => None,
            Self::Opus(decoder) => {
                let mut samples = vec![0_i16; 5760];
                let packet = payload.try_into().ok()?;
                let output = (&mut samples).try_into().ok()?;
                let length = decoder.decode(Some(packet), output, false).ok()?;
                samples.truncate(length);
                Some(samples)
            }
        }
    }
}

/// G.711 µ-law, computed segment by segment.
fn pcmu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = i32::from(sample).abs().min(32_635) + 0x84;
    let exponent = (magnitude >> 7).ilog2();
    let mantissa = (magnitude >> (exponent + 3)) & 0x0f;
    !(sign | (exponent << 4) as u8 | mantissa as u8)
}

fn from_pcmu(code: u8) -> i16 {
    let code = !code;
    let exponent = (code >> 4) & 7;
    let magnitude = (((i32::from(code & 0x0f) << 3) + 0x84) << exponent) - 0x84;
    (if code & 0x80 == 0 { magnitude } else { -magnitude }) as i16
}

/// G.711 A-law.
fn pcma(sample: i16) -> u8 {
    let sign = if sample < 0 { 0 } else { 0x80 };
    let linear = i32::from(sample);
    let magnitude = (if linear < 0 { !linear } else { linear }) >> 4;
    let code = if magnitude < 16 {
        magnitude
    } else {
        let exponent = (magnitude >> 4).ilog2() as i32 + 1;
        (exponent << 4) | ((magnitude >> (exponent - 1)) & 0x0f)
    };
    (sign | code as u8) ^ 0x55
}

fn from_pcma(code: u8) -> i16 {
    let code = code ^ 0x55;
    let exponent = i32::from((code >> 4) & 7);
    let mantissa = i32::from(code & 0x0f) << 4;
    let magnitude = if exponent == 0 { mantissa + 8 } else { (mantissa + 0x108) << (exponent - 1) };
    (if code & 0x80 == 0 { -magnitude } else { magnitude }) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g711_keeps_a_sample_within_its_step() {
        for sample in (-32_000..32_000).step_by(37) {
            let tolerance = 24 + i32::from(sample as i16).abs() / 16;

            for heard in [from_pcmu(pcmu(sample as i16)), from_pcma(pcma(sample as i16))] {
                assert!((i32::from(heard) - sample).abs() <= tolerance, "{sample} became {heard}");
            }
        }
    }

    #[test]
    fn known_codes() {
        assert_eq!((pcmu(0), pcma(0)), (0xff, 0xd5));
        assert_eq!((from_pcmu(0x80), from_pcmu(0x00)), (32_124, -32_124));
        assert_eq!((from_pcma(0xaa), from_pcma(0x2a)), (32_256, -32_256));
    }
}
