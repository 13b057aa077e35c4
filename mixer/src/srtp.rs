//! SRTP: RFC 3711 with the suites of RFC 4568 §6.2, RFC 6188 and RFC 7714, in place and without IO.
//!
//! ```text
//!                    ┌ labels 0 1 2 ▶ Transform for RTP  ┐
//!  MasterKey ─▶ AES-CM ┤                                   ├─▶ Sender: protect   Receiver: unprotect
//!                    └ labels 3 4 5 ▶ Transform for RTCP ┘            └── Streams: roll-over, replay ──┘
//! ```
//! Each direction has its own [`MasterKey`]. Choices where the RFCs leave one: no MKI, no key derivation rate, no SRTCP
//! without encryption, since none of them is ever agreed to.

mod context;
mod transform;
mod window;

use std::fmt;

use thiserror::Error;

pub use context::{Receiver, Sender};

/// How packets are encrypted and authenticated.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Suite {
    /// RFC 7714, 256-bit key.
    Aes256Gcm,
    /// RFC 7714, 128-bit key.
    Aes128Gcm,
    /// RFC 6188, 80-bit tag.
    Aes256CmSha1_80,
    /// RFC 4568 §6.2.1.
    Aes128CmSha1_80,
    /// RFC 6188, 32-bit tag for RTP.
    Aes256CmSha1_32,
    /// RFC 4568 §6.2.2: 32-bit tag for RTP.
    Aes128CmSha1_32,
}

impl Suite {
    /// Every suite, strongest authentication first.
    pub const ALL: [Self; 6] = [
        Self::Aes256Gcm,
        Self::Aes128Gcm,
        Self::Aes256CmSha1_80,
        Self::Aes128CmSha1_80,
        Self::Aes256CmSha1_32,
        Self::Aes128CmSha1_32,
    ];

    /// The crypto-suite of an SDP (RFC 4568 §6.2, RFC 6188 §4, RFC 7714 §14.1).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aes256Gcm => "AEAD_AES_256_GCM",
            Self::Aes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Octets of master key and master salt together, at most [`MasterKey::MAX_LEN`].
    pub const fn master_len(self) -> usize {
        self.key_len() + self.salt_len()
    }

    /// Octets of the encryption key.
    const fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm | Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 16,
            Self::Aes256Gcm | Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => 32,
        }
    }

    /// Octets of the salt.
    const fn salt_len(self) -> usize {
        match self {
            Self::Aes256Gcm | Self::Aes128Gcm => 12,
            Self::Aes256CmSha1_80
            | Self::Aes128CmSha1_80
            | Self::Aes256CmSha1_32
            | Self::Aes128CmSha1_32 => 14,
        }
    }
}

impl fmt::Display for Suite {
    /// As [`Suite::name`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The secret of one direction: master key and master salt, from which all session keys are derived.
#[derive(Clone, Eq, PartialEq)]
pub struct MasterKey {
    suite: Suite,
    octets: [u8; Self::MAX_LEN],
}

impl MasterKey {
    /// Longest key and salt of any suite.
    pub const MAX_LEN: usize = 46;

    /// Takes key and salt, one behind the other; `None` unless they have [`Suite::master_len`] octets.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let mut octets = [0; Self::MAX_LEN];
        if key_and_salt.len() != suite.master_len() {
            return None;
        }
        octets[..key_and_salt.len()].copy_from_slice(key_and_salt);
        Some(Self { suite, octets })
    }

    /// What it is a key for.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Key and salt, one behind the other.
    pub fn octets(&self) -> &[u8] {
        &self.octets[..self.suite.master_len()]
    }

    fn key(&self) -> &[u8] {
        &self.octets[..self.suite.key_len()]
    }

    fn salt(&self) -> &[u8] {
        &self.octets()[self.suite.key_len()..]
    }
}

impl fmt::Debug for MasterKey {
    /// Names the suite; the secret stays out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// The keys of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Keys {
    /// Of what we send.
    pub send: MasterKey,
    /// Of what we receive.
    pub receive: MasterKey,
}

/// Why a packet was not protected or not believed.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// It ends within its header or its tag.
    #[error("too short for its header and tag")]
    Truncated,
    /// The tag is not what the sender's key makes of it.
    #[error("not authentic")]
    NotAuthentic,
    /// It came before, or is too old to tell.
    #[error("replayed, or older than the replay window")]
    Replayed,
    /// SRTCP without the E flag.
    #[error("SRTCP without encryption")]
    NotEncrypted,
    /// [`OVERHEAD_MAX`] octets are needed behind the packet.
    #[error("no room for the tag")]
    NoRoom,
    /// More streams or packets than one key may protect (RFC 3711 §9.2).
    #[error("key used up")]
    UsedUp,
}

/// Octets that protection adds to a packet at most: the GCM tag and the SRTCP index.
pub const OVERHEAD_MAX: usize = 20;

#[cfg(test)]
mod tests;
