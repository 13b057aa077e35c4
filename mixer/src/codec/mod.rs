//! The codecs a leg may speak.

use std::fmt;
use std::time::Duration;

use g711::Law;

mod g711;
mod g722;
mod l16;
mod opus;

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

/// We cannot make this encoder or decoder.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("codec settings are not supported")]
pub struct Unsupported;

/// A payload is not of its codec.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("payload is malformed")]
pub struct Malformed;

/// The most audio taken from one packet (RFC 6716 §3); what a longer one carries is cut.
pub const MAX_PACKET: Duration = Duration::from_millis(120);

/// Samples that [`Decoder::follow`] wants beyond a lost packet.
pub(crate) const BEYOND: usize = g722::DELAY;

impl Format {
    /// The codec with its usual clock, mono where there is a choice: L16 at 16 kHz.
    pub const fn usual(codec: Codec) -> Self {
        let (clock_rate, channels) = match codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => (8_000, 1),
            Codec::Opus => (opus::RATE, 2),
            Codec::L16 => (16_000, 1),
        };
        Self { codec, clock_rate, channels }
    }

    /// Rate of the audio itself, Hz; not always the RTP clock (RFC 3551 §4.5.2).
    pub fn sample_rate(self) -> u32 {
        match self.codec {
            Codec::Pcmu | Codec::Pcma => 8_000,
            Codec::G722 => 16_000,
            Codec::Opus => opus::RATE,
            Codec::L16 => self.clock_rate,
        }
    }

    /// True if [`Decoder`] and [`Encoder`] can be made for it.
    pub fn is_supported(self) -> bool {
        match self.codec {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => self.clock_rate == 8_000,
            Codec::Opus => self.clock_rate == opus::RATE,
            Codec::L16 => {
                matches!(self.clock_rate, 8_000 | 16_000 | 44_100 | 48_000)
                    && matches!(self.channels, 1 | 2)
            }
        }
    }
}

impl OpusOptions {
    /// The whole band at 24 kbit/s, free to vary, without FEC.
    pub const USUAL: Self = Self {
        max_playback_rate: opus::RATE,
        bitrate: 24_000,
        fec: false,
        dtx: false,
        cbr: false,
        complexity: 5,
    };
}

impl Encoding {
    /// The usual format in packets of 20 ms.
    pub const fn usual(codec: Codec) -> Self {
        let ptime = Duration::from_millis(20);
        Self { format: Format::usual(codec), ptime, opus: OpusOptions::USUAL }
    }

    /// The packet interval really used: 10 to 60 ms in steps of 10, for Opus 10, 20, 40 or 60.
    pub fn interval(&self) -> Duration {
        let tens = (self.ptime.as_millis() / 10).clamp(1, 6);
        let ptime = Duration::from_millis(10) * u32::try_from(tens).unwrap_or(2);
        if self.format.codec == Codec::Opus { opus::interval(ptime) } else { ptime }
    }
}

/// True if an Opus payload carries a copy of the packet before it (RFC 6716 §2.1.7).
pub fn carries_fec(payload: &[u8]) -> bool {
    opus::carries_fec(payload)
}

/// Turns payloads of one codec into mono samples.
#[derive(Clone, Debug)]
pub struct Decoder {
    format: Format,
    state: DecoderState,
}

#[derive(Clone, Debug)]
enum DecoderState {
    G711(Law),
    G722(Box<g722::Decoder>),
    Opus(opus::Decoder),
    L16,
}

impl Decoder {
    /// A decoder in its first state.
    ///
    /// # Errors
    /// [`Unsupported`] for a clock or channel count that the codec does not have.
    pub fn new(format: Format) -> Result<Self, Unsupported> {
        if !format.is_supported() {
            return Err(Unsupported);
        }
        let state = match format.codec {
            Codec::Pcmu => DecoderState::G711(Law::Mu),
            Codec::Pcma => DecoderState::G711(Law::A),
            Codec::G722 => DecoderState::G722(Box::new(g722::Decoder::new())),
            Codec::Opus => DecoderState::Opus(opus::Decoder::new()?),
            Codec::L16 => DecoderState::L16,
        };
        Ok(Self { format, state })
    }

    /// What it decodes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Decodes one payload into `pcm`, which has room for [`MAX_PACKET`]; returns samples.
    ///
    /// # Errors
    /// [`Malformed`] if an Opus packet is not one. The decoder stays usable.
    pub fn decode(&mut self, payload: &[u8], pcm: &mut [i16]) -> Result<usize, Malformed> {
        Ok(match &mut self.state {
            DecoderState::G711(law) => law.decode(payload, pcm),
            DecoderState::G722(decoder) => decoder.decode(payload, pcm),
            DecoderState::Opus(decoder) => decoder.decode(payload, pcm)?,
            DecoderState::L16 => l16::decode(self.format.channels, payload, pcm),
        })
    }

    /// No more samples than these are in a payload; a guess would cost clearing memory that is not written to.
    pub(crate) fn most_samples(&self, payload: &[u8]) -> usize {
        match &self.state {
            DecoderState::G711(_) | DecoderState::L16 => payload.len(),
            DecoderState::G722(_) => 2 * payload.len(),
            DecoderState::Opus(_) => usize::MAX,
        }
    }

    /// Fills `pcm` for a lost packet from the copy that the one after it, `next`, may carry (RFC 6716 §2.1.7); false if
    /// there is none.
    pub fn recover(&mut self, next: Option<&[u8]>, pcm: &mut [i16]) -> bool {
        let DecoderState::Opus(decoder) = &mut self.state else { return false };
        let next = next.filter(|next| opus::may_carry_fec(next));
        next.is_some_and(|next| decoder.recover(next, pcm) == Ok(pcm.len()))
    }

    /// Fills `pcm` for a lost packet if the codec itself knows how; false if it does not.
    pub fn conceal(&mut self, pcm: &mut [i16]) -> bool {
        let DecoderState::Opus(decoder) = &mut self.state else { return false };
        decoder.conceal(pcm) == Ok(pcm.len())
    }

    /// Fills `pcm` for a lost packet by decoding the one before it again, so that the codec does not learn of the loss; false
    /// where that does not help.
    pub(crate) fn replay(&mut self, pcm: &mut [i16]) -> bool {
        let DecoderState::Opus(decoder) = &mut self.state else { return false };
        decoder.replay(pcm)
    }

    /// Takes `pcm`, made up by others for a lost packet, for what it said; `beyond` is what would have come next.
    pub(crate) fn follow(&mut self, pcm: &[i16], beyond: &[i16; BEYOND]) {
        match &mut self.state {
            DecoderState::G722(decoder) => decoder.follow(pcm, beyond),
            DecoderState::Opus(_) | DecoderState::G711(_) | DecoderState::L16 => {}
        }
    }

    /// True if the codec makes up for lost packets itself.
    pub fn conceals(&self) -> bool {
        matches!(self.state, DecoderState::Opus(_))
    }

    /// What the payload says about speech in it without being decoded; `None` if nothing.
    pub fn has_voice(&self, payload: &[u8]) -> Option<bool> {
        match &self.state {
            DecoderState::Opus(_) => opus::has_voice(payload),
            DecoderState::G722(decoder) => decoder.is_silence(payload).then_some(false),
            DecoderState::G711(law) => law.is_silence(payload).then_some(false),
            DecoderState::L16 => None,
        }
    }

    /// About how loud the payload is, dBov, without being decoded; `None` where that is not cheap to tell.
    pub(crate) fn estimate(&self, payload: &[u8]) -> Option<f32> {
        match &self.state {
            DecoderState::G722(decoder) => Some(decoder.estimate(payload)),
            DecoderState::Opus(_) | DecoderState::G711(_) | DecoderState::L16 => None,
        }
    }

    /// How many packets back what it decodes depends on, so that skipping them shows; 0 where each stands alone.
    pub(crate) fn memory(&self) -> usize {
        match &self.state {
            // Of what its predictors missed, 1/e is left after 32 ms: -60 dB after these 240 ms.
            DecoderState::G722(_) => 12,
            DecoderState::Opus(_) => 3,
            DecoderState::G711(_) | DecoderState::L16 => 0,
        }
    }
}

/// Turns mono samples into payloads of one codec; [`Clone::clone_from`] reuses memory.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    state: EncoderState,
}

#[derive(Clone, Debug)]
enum EncoderState {
    G711(Law),
    G722(Box<g722::Encoder>),
    Opus(opus::Encoder),
    L16,
}

impl Clone for Encoder {
    fn clone(&self) -> Self {
        Self { format: self.format, state: self.state.clone() }
    }

    fn clone_from(&mut self, source: &Self) {
        self.format = source.format;
        match (&mut self.state, &source.state) {
            (EncoderState::Opus(own), EncoderState::Opus(other)) => own.clone_from(other),
            (EncoderState::G722(own), EncoderState::G722(other)) => own.clone_from(other),
            (own, other) => *own = other.clone(),
        }
    }
}

impl Encoder {
    /// An encoder in its first state.
    ///
    /// # Errors
    /// [`Unsupported`] for a clock or channel count that the codec does not have.
    pub fn new(encoding: &Encoding) -> Result<Self, Unsupported> {
        let format = encoding.format;
        if !format.is_supported() {
            return Err(Unsupported);
        }
        let state = match format.codec {
            Codec::Pcmu => EncoderState::G711(Law::Mu),
            Codec::Pcma => EncoderState::G711(Law::A),
            Codec::G722 => EncoderState::G722(Box::new(g722::Encoder::new())),
            Codec::Opus => EncoderState::Opus(opus::Encoder::new(encoding.opus)?),
            Codec::L16 => EncoderState::L16,
        };
        Ok(Self { format, state })
    }

    /// Says how many of 100 packets get lost on the way; only Opus makes use of it.
    pub fn expect_loss(&mut self, percent: u8) {
        if let EncoderState::Opus(encoder) = &mut self.state {
            encoder.expect_loss(percent);
        }
    }

    /// Encodes one packet of samples; returns octets.
    pub fn encode(&mut self, pcm: &[i16], payload: &mut [u8]) -> usize {
        match &mut self.state {
            EncoderState::G711(law) => law.encode(pcm, payload),
            EncoderState::G722(encoder) => encoder.encode(pcm, payload),
            EncoderState::Opus(encoder) => encoder.encode(pcm, payload),
            EncoderState::L16 => l16::encode(self.format.channels, pcm, payload),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A sine of −12 dBov peak, starting at sample `from`.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "8192 fits, and tests are short"
    )]
    pub(crate) fn tone(hz: f32, rate: u32, from: usize, samples: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * f64::from(hz) / f64::from(rate);
        (from..from + samples).map(|i| ((i as f64 * step).sin() * 8192.0) as i16).collect()
    }

    #[test]
    fn level_of_1_khz_is_kept_within_a_tenth_of_a_decibel() {
        for codec in [Codec::Pcmu, Codec::Pcma, Codec::G722, Codec::L16, Codec::Opus] {
            let mut encoding = Encoding::usual(codec);
            encoding.opus.bitrate = 64_000;
            let rate = encoding.format.sample_rate();
            let mut encoder = Encoder::new(&encoding).unwrap();
            let mut decoder = Decoder::new(encoding.format).unwrap();
            let frame = rate as usize / 50;
            let mut heard = Vec::new();

            for i in 0..100 {
                let mut payload = [0; 2000];
                let mut pcm = [0; opus::MAX_SAMPLES];
                let octets = encoder.encode(&tone(1004.0, rate, i * frame, frame), &mut payload);
                let samples = decoder.decode(&payload[..octets], &mut pcm).unwrap();
                heard.extend_from_slice(&pcm[..samples]);
            }

            let tail = &heard[heard.len() / 2..];
            let energy: f64 = tail.iter().map(|&s| f64::from(s).powi(2)).sum();
            #[expect(clippy::cast_precision_loss, reason = "a second of samples")]
            let level = 10.0 * (energy / tail.len() as f64 / (8192.0_f64.powi(2) / 2.0)).log10();
            assert!(level.abs() < 0.1, "{codec:?}: {level} dB");
        }
    }
}
