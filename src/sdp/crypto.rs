//! SDES: `a=crypto` (RFC 4568 §9), keys within the description.
//!
//! Lines that ask for what is not done here are skipped: unknown suites and key methods, an MKI (and with it several
//! keys), and session parameters, of which only those count as nothing that say so (`-…`) and the window size, a hint.
//! A lifetime is read over: the shortest that is in use, 2^20 packets, lasts for hours.

use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mixer::srtp::{MasterKey, Suite};
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

/// Whether media is encrypted (`media.srtp`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SrtpPolicy {
    /// Never.
    #[default]
    Off,
    /// Where the far side offers it, as `RTP/SAVP` or as `RTP/AVP` with keys (RFC 8643).
    Accept,
    /// So, and our own offers are `RTP/AVP` with keys.
    Offer,
    /// Always: `RTP/SAVP` is offered, and nothing is agreed to that would leave media readable.
    Require,
}

impl SrtpPolicy {
    /// The protocols that are spoken under it, with or without DTLS.
    pub(super) fn protocols(self, dtls: bool) -> &'static str {
        match (self, dtls) {
            (Self::Off, false) => "RTP/AVP or RTP/AVPF",
            (Self::Off, true) => "RTP/AVP, RTP/AVPF or UDP/TLS/RTP/SAVPF",
            (Self::Accept | Self::Offer | Self::Require, false) => {
                "RTP/AVP, RTP/AVPF, RTP/SAVP or RTP/SAVPF"
            }
            (Self::Accept | Self::Offer | Self::Require, true) => {
                "RTP/AVP, RTP/AVPF, RTP/SAVP, RTP/SAVPF or UDP/TLS/RTP/SAVPF"
            }
        }
    }
}

/// Random octets that keys are drawn from.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct KeySeed(pub [u8; 32]);

impl fmt::Debug for KeySeed {
    /// What follows from it is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySeed")
    }
}

/// One `a=crypto` line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Crypto {
    /// By which an answer tells what it took.
    pub(super) tag: u32,
    pub(super) key: MasterKey,
}

impl Crypto {
    /// What we offer: each suite with a key of its own.
    pub(super) fn offered(dice: &mut ChaCha12Rng) -> Vec<Self> {
        (1..).zip(OFFERED).map(|(tag, suite)| Self { tag, key: draw(dice, suite) }).collect()
    }

    /// Our answer to this line of theirs, under a new key.
    pub(super) fn answered(&self, dice: &mut ChaCha12Rng) -> Self {
        Self { tag: self.tag, key: draw(dice, self.key.suite()) }
    }

    /// Whether this line of an answer takes `ours`.
    pub(super) fn takes(&self, ours: &Self) -> bool {
        (self.tag, self.key.suite()) == (ours.tag, ours.key.suite())
    }

    /// Reads `1 AES_CM_128_HMAC_SHA1_80 inline:…|2^20 WSH=64`; `None` for what is to be skipped.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next().filter(|tag| tag.len() <= 9)?.parse().ok()?;
        let name = words.next()?;
        let suite = Suite::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))?;
        let (method, parameters) = words.next()?.split_once(':')?;
        let (key, rest) = parameters.split_once('|').unwrap_or((parameters, ""));
        let has_mki = rest.contains(':') || rest.contains(';');
        let is_hint = |word: &str| word.starts_with('-') || word.starts_with("WSH=");
        if !method.eq_ignore_ascii_case("inline") || has_mki || !words.all(is_hint) {
            return None;
        }
        let key = MasterKey::new(suite, &BASE64.decode(key).ok()?)?;
        Some(Self { tag, key })
    }
}

impl fmt::Display for Crypto {
    /// The value of the attribute, with its secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tag, key } = self;
        write!(f, "{tag} {} inline:{}", key.suite(), BASE64.encode(key.octets()))
    }
}

fn draw(dice: &mut ChaCha12Rng, suite: Suite) -> MasterKey {
    let mut octets = [0; MasterKey::MAX_LEN];
    let octets = &mut octets[..suite.master_len()];
    dice.fill_bytes(octets);
    MasterKey::new(suite, octets).expect("as long as the suite says")
}

/// Two, because an INVITE with more outgrows a datagram; every other suite is taken where it is offered.
const OFFERED: [Suite; 2] = [Suite::Aes128Gcm, Suite::Aes128CmSha1_80];

/// RFC 4568 wants the padding; not every phone writes it (RFC 6188 §5 does not either).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    #[test]
    fn lines_are_read_or_skipped_as_a_whole() {
        for (line, is_read) in [
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY", true),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20", true),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1048576", true),
            ("999999999 aes_cm_128_hmac_sha1_32  INLINE:KEY WSH=64 -X=1", true),
            ("1 AES_256_CM_HMAC_SHA1_80 inline:KEYKEYKEYAA==", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|1:4", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY|2^20|1:4;inline:KEY|2^20|2:4", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY KDR=1", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY UNENCRYPTED_SRTCP", false),
            ("1 AES_CM_128_HMAC_SHA1_80 uri:KEY", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:KEY0", false),
            ("1 AES_CM_128_HMAC_SHA1_80 inline:", false),
            ("1 F8_128_HMAC_SHA1_80 inline:KEY", false),
            ("1000000000 AES_CM_128_HMAC_SHA1_80 inline:KEY", false),
            ("x AES_CM_128_HMAC_SHA1_80 inline:KEY", false),
            ("1 AES_CM_128_HMAC_SHA1_80", false),
            ("", false),
        ] {
            assert_eq!(Crypto::parse(&line.replace("KEY", KEY)).is_some(), is_read, "{line}");
        }
    }

    #[test]
    fn every_suite_is_printed_as_it_is_read_with_or_without_padding() {
        for suite in Suite::ALL {
            let octets: Vec<u8> = (0..).take(suite.master_len()).collect();
            let crypto = Crypto { tag: 7, key: MasterKey::new(suite, &octets).unwrap() };

            let printed = crypto.to_string();

            assert_eq!(Crypto::parse(&printed), Some(crypto.clone()), "{suite}");
            assert_eq!(Crypto::parse(printed.trim_end_matches('=')), Some(crypto), "{suite}");
        }
    }
}
