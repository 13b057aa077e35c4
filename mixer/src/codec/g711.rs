//! G.711 µ-law and A-law: what was decoded encodes to the same octet again.
//!
//! The only exception is µ-law 0x7F, "negative zero", which comes back as 0xFF, zero.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "14-, 13- and 8-bit ranges as commented; TryFrom has no place in const functions and inner loops"
)]

/// One of the two laws.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Law {
    /// North America and Japan.
    Mu,
    /// The rest of the world.
    A,
}

impl Law {
    /// The octet for silence.
    #[cfg(test)]
    pub(crate) fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }

    /// Decodes as many octets as fit; one octet, one sample at 8 kHz.
    pub(crate) fn decode(self, payload: &[u8], pcm: &mut [i16]) -> usize {
        let table = match self {
            Self::Mu => &MU_TO_LINEAR,
            Self::A => &A_TO_LINEAR,
        };
        for (sample, &octet) in pcm.iter_mut().zip(payload) {
            *sample = table[usize::from(octet)];
        }
        payload.len().min(pcm.len())
    }

    /// True if no sample is further from zero than the law's smallest step.
    pub(crate) fn is_silence(self, payload: &[u8]) -> bool {
        // Without a branch for each octet this is some ten instructions.
        let (ignored, rest) = match self {
            Self::Mu => (0x81, 0xFF), // ±0 and ±8
            Self::A => (0x80, 0xD5),  // ±8
        };
        payload.iter().fold(0, |unlike, octet| unlike | ((octet | ignored) ^ rest)) == 0
    }

    /// Encodes as many samples as fit.
    pub(crate) fn encode(self, pcm: &[i16], payload: &mut [u8]) -> usize {
        match self {
            Self::Mu => {
                for (octet, &sample) in payload.iter_mut().zip(pcm) {
                    *octet = compress_mu(sample);
                }
            }
            Self::A => {
                for (octet, &sample) in payload.iter_mut().zip(pcm) {
                    *octet = compress_a(sample);
                }
            }
        }
        pcm.len().min(payload.len())
    }
}

static MU_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = expand_mu(octet as u8);
        octet += 1;
    }
    table
};

static A_TO_LINEAR: [i16; 256] = {
    let mut table = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        table[octet] = expand_a(octet as u8);
        octet += 1;
    }
    table
};

const fn expand_mu(octet: u8) -> i16 {
    let inverted = !octet;
    let exponent = (inverted >> 4) & 7;
    let step = 8_i16 << exponent;
    let magnitude = (0x80 << exponent) + step * (inverted & 15) as i16 + step / 2 - 132;
    if octet < 0x80 { -magnitude } else { magnitude }
}

const fn expand_a(octet: u8) -> i16 {
    let plain = octet ^ 0x55;
    let exponent = (plain >> 4) & 7;
    let mantissa = (plain & 15) as i16;
    let magnitude = match exponent {
        0 => (mantissa << 4) + 8,
        _ => (((mantissa + 16) << 4) + 8) << (exponent - 1),
    };
    if plain & 0x80 == 0 { -magnitude } else { magnitude }
}

/// µ-law sees the upper 14 bits.
fn compress_mu(sample: i16) -> u8 {
    let sample = i32::from(sample >> 2);
    let magnitude = (sample ^ (sample >> 31)) + 33; // 33 is where the first segment begins.
    let code = floating(magnitude.min(0x1FFF)) - floating(32);
    (!code ^ (sample >> 31 & 0x80)) as u8
}

/// A-law sees the upper 13 bits, of which the lowest never decides.
fn compress_a(sample: i16) -> u8 {
    let sample = i32::from(sample >> 4);
    let magnitude = sample ^ (sample >> 31);
    let code = if magnitude < 16 { magnitude } else { floating(magnitude) - floating(8) };
    ((code | 0x80) ^ (sample >> 31 & 0x80) ^ 0x55) as u8
}

/// The exponent of a number and behind it the first four bits of its mantissa: segment and step of both laws.
///
/// Unlike a table this leaves the cache to others, and the processor does several at once.
#[expect(clippy::cast_precision_loss, reason = "13 bits")]
fn floating(magnitude: i32) -> i32 {
    ((magnitude as f32).to_bits() >> (f32::MANTISSA_DIGITS - 5)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_octet_survives_decoding_and_encoding() {
        for law in [Law::Mu, Law::A] {
            for octet in 0..=255 {
                let mut sample = [0];
                let mut again = [0];

                law.decode(&[octet], &mut sample);
                law.encode(&sample, &mut again);

                let expected = if (law, octet) == (Law::Mu, 0x7F) { 0xFF } else { octet };
                assert_eq!(again, [expected], "{law:?} {octet:#x}");
            }
        }
    }

    #[test]
    fn encoding_picks_the_nearest_octet() {
        for law in [Law::Mu, Law::A] {
            for sample in i16::MIN..=i16::MAX {
                let mut octet = [0];
                let mut decoded = [0];

                law.encode(&[sample], &mut octet);
                law.decode(&octet, &mut decoded);

                let error = (i32::from(sample) - i32::from(decoded[0])).abs();
                assert!(
                    error <= 16 + i32::from(sample).abs() / 16 || sample.unsigned_abs() > 32_000
                );
            }
        }
    }

    #[test]
    fn known_values_of_the_recommendation() {
        let mut pcm = [0; 4];

        Law::Mu.decode(&[0x80, 0x00, 0xFF, 0xFE], &mut pcm);
        assert_eq!(pcm, [32_124, -32_124, 0, 8]);
        Law::A.decode(&[0xAA, 0x2A, 0xD5, 0x55], &mut pcm);
        assert_eq!(pcm, [32_256, -32_256, 8, -8]);
    }

    #[test]
    fn silence_encodes_to_the_idle_octet() {
        for law in [Law::Mu, Law::A] {
            let mut octet = [0];
            law.encode(&[0], &mut octet);
            assert_eq!(octet, [law.silence()]);
        }
    }
}
