//! What the suites do to one packet whose index is known: AES-CM with HMAC-SHA1 (RFC 3711 §4), or AES-GCM (RFC 7714).

use std::fmt;

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use aes::{Aes128, Aes256};
use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, Nonce};
use ctr::CtrCore;
use ctr::flavors::Ctr128BE;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{Error, MasterKey, Suite};

/// Which half of a session the keys are for, and with it what is derived.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Index {
    /// Roll-over counter and sequence number, 48 bits.
    Rtp(u64),
    /// SRTCP index, 31 bits.
    Rtcp(u32),
}

impl Kind {
    pub(super) const BOTH: [Self; 2] = [Self::Rtp, Self::Rtcp];
}

impl Index {
    /// What the packet is authenticated with: the roll-over counter, or E flag and SRTCP index as on the wire.
    pub(super) fn word(self) -> [u8; 4] {
        match self {
            Self::Rtp(index) => {
                let [_, _, roll_over @ .., _, _] = index.to_be_bytes();
                roll_over
            }
            Self::Rtcp(index) => (index | ENCRYPTED).to_be_bytes(),
        }
    }

    fn number(self) -> u64 {
        match self {
            Self::Rtp(index) => index,
            Self::Rtcp(index) => index.into(),
        }
    }
}

/// The session keys of one direction, for RTP or for RTCP.
pub(super) enum Transform {
    Cm { aes: Aes, salt: [u8; CM_SALT], mac: Hmac<Sha1>, tag_len: usize },
    Gcm { aead: Gcm, salt: [u8; GCM_SALT] },
}

pub(super) enum Aes {
    Aes128(Aes128),
    Aes256(Aes256),
}

pub(super) enum Gcm {
    Aes128(Aes128Gcm),
    Aes256(Aes256Gcm),
}

/// A tag of the suite's length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    octets: [u8; TAG_MAX],
    len: usize,
}

impl Tag {
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.octets[..self.len]
    }
}

impl fmt::Debug for Transform {
    /// Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cm { .. } => "Cm { .. }",
            Self::Gcm { .. } => "Gcm { .. }",
        })
    }
}

impl Transform {
    /// Derives the session keys (RFC 3711 §4.3; RFC 7714 §11 keeps the labels).
    pub(super) fn derive(master: &MasterKey, kind: Kind) -> Self {
        let first = match kind {
            Kind::Rtp => 0,
            Kind::Rtcp => 3,
        };
        let prf = Aes::new(master.key());
        let derived = |label: u8, octets: &mut [u8]| {
            let mut iv = [0; 16];
            iv[..master.salt().len()].copy_from_slice(master.salt());
            iv[7] ^= first + label;
            octets.fill(0);
            prf.apply_keystream(iv, octets);
        };
        let (mut key, mut auth, mut salt) = ([0; 32], [0; SHA1_KEY], [0; CM_SALT]);
        let (key, salt) = (&mut key[..master.key().len()], &mut salt[..master.salt().len()]);
        derived(0, key);
        derived(1, &mut auth);
        derived(2, salt);
        Self::new(master.suite(), kind, (key, salt), &auth)
    }

    /// Takes session keys; key and salt have the suite's lengths.
    pub(super) fn new(
        suite: Suite,
        kind: Kind,
        (key, salt): (&[u8], &[u8]),
        auth: &[u8; SHA1_KEY],
    ) -> Self {
        let tag_len = match (suite, kind) {
            (Suite::Aes256Gcm | Suite::Aes128Gcm, _) => {
                return Self::Gcm { aead: Gcm::new(key), salt: padded(salt) };
            }
            // RFC 4568 §6.2.2: the short tag is for RTP alone.
            (Suite::Aes256CmSha1_32 | Suite::Aes128CmSha1_32, Kind::Rtp) => 4,
            (
                Suite::Aes256CmSha1_80
                | Suite::Aes128CmSha1_80
                | Suite::Aes256CmSha1_32
                | Suite::Aes128CmSha1_32,
                _,
            ) => 10,
        };
        let mac = Hmac::new(&padded(auth).into()); // HMAC itself pads a short key with zeros.
        Self::Cm { aes: Aes::new(key), salt: padded(salt), mac, tag_len }
    }

    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Cm { tag_len, .. } => *tag_len,
            Self::Gcm { .. } => TAG_MAX,
        }
    }

    /// Whether the SRTCP index stands behind the tag: RFC 7714 §9.2 turns the order round.
    pub(super) fn index_is_last(&self) -> bool {
        matches!(self, Self::Gcm { .. })
    }

    /// Encrypts what follows the first `header` octets of `packet`, and makes the tag.
    pub(super) fn seal(
        &self,
        (ssrc, index): (u32, Index),
        packet: &mut [u8],
        header: usize,
    ) -> Result<Tag, Error> {
        match self {
            Self::Cm { aes, salt, mac, tag_len } => {
                aes.apply_keystream(cm_iv(salt, ssrc, index), &mut packet[header..]);
                let full = mac.clone().chain_update(&*packet).chain_update(index.word());
                let mut octets = [0; TAG_MAX];
                octets.copy_from_slice(&full.finalize().into_bytes()[..TAG_MAX]);
                Ok(Tag { octets, len: *tag_len })
            }
            Self::Gcm { aead, salt } => {
                let (header, payload) = packet.split_at_mut(header);
                let octets = with_aad(header, index, |aad| {
                    aead.seal(gcm_iv(salt, ssrc, index), aad, payload)
                })?;
                Ok(Tag { octets, len: TAG_MAX })
            }
        }
    }

    /// Checks the tag, and only then decrypts what follows the first `header` octets of `packet`.
    pub(super) fn open(
        &self,
        (ssrc, index): (u32, Index),
        packet: &mut [u8],
        header: usize,
        tag: &[u8],
    ) -> Result<(), Error> {
        match self {
            Self::Cm { aes, salt, mac, .. } => {
                let full = mac.clone().chain_update(&*packet).chain_update(index.word());
                full.verify_truncated_left(tag).map_err(|_| Error::NotAuthentic)?;
                aes.apply_keystream(cm_iv(salt, ssrc, index), &mut packet[header..]);
                Ok(())
            }
            Self::Gcm { aead, salt } => {
                let (header, payload) = packet.split_at_mut(header);
                with_aad(header, index, |aad| {
                    aead.open(gcm_iv(salt, ssrc, index), (aad, tag), payload)
                })
            }
        }
    }
}

impl Aes {
    /// `key` has 16 or 32 octets.
    fn new(key: &[u8]) -> Self {
        if key.len() == 16 {
            Self::Aes128(Aes128::new(&padded(key).into()))
        } else {
            Self::Aes256(Aes256::new(&padded(key).into()))
        }
    }

    fn apply_keystream(&self, iv: [u8; 16], octets: &mut [u8]) {
        match self {
            Self::Aes128(aes) => apply_keystream(aes, iv, octets),
            Self::Aes256(aes) => apply_keystream(aes, iv, octets),
        }
    }
}

impl Gcm {
    /// `key` has 16 or 32 octets.
    fn new(key: &[u8]) -> Self {
        if key.len() == 16 {
            Self::Aes128(Aes128Gcm::new(&padded(key).into()))
        } else {
            Self::Aes256(Aes256Gcm::new(&padded(key).into()))
        }
    }

    fn seal(
        &self,
        iv: [u8; GCM_SALT],
        aad: &[u8],
        octets: &mut [u8],
    ) -> Result<[u8; TAG_MAX], Error> {
        let iv = Nonce::from(iv);
        let tag = match self {
            Self::Aes128(gcm) => gcm.encrypt_inout_detached(&iv, aad, octets.into()),
            Self::Aes256(gcm) => gcm.encrypt_inout_detached(&iv, aad, octets.into()),
        };
        // Only 64 GiB would be too long.
        tag.map(Into::into).map_err(|_| Error::UsedUp)
    }

    fn open(
        &self,
        iv: [u8; GCM_SALT],
        (aad, tag): (&[u8], &[u8]),
        octets: &mut [u8],
    ) -> Result<(), Error> {
        let iv = Nonce::from(iv);
        let tag = <[u8; TAG_MAX]>::try_from(tag).map_err(|_| Error::Truncated)?.into();
        let opened = match self {
            Self::Aes128(gcm) => gcm.decrypt_inout_detached(&iv, aad, octets.into(), &tag),
            Self::Aes256(gcm) => gcm.decrypt_inout_detached(&iv, aad, octets.into(), &tag),
        };
        opened.map_err(|_| Error::NotAuthentic)
    }
}

/// Counter mode; the counter's 16 bits (RFC 3711 §4.1.1) do not overflow within a datagram.
fn apply_keystream<C: BlockCipherEncrypt<BlockSize = U16>>(
    aes: &C,
    iv: [u8; 16],
    octets: &mut [u8],
) {
    CtrCore::<&C, Ctr128BE>::inner_iv_init(aes, &iv.into()).apply_keystream_partial(octets.into());
}

/// RFC 3711 §4.1.1: salt, SSRC and index, each at its place.
fn cm_iv(salt: &[u8; CM_SALT], ssrc: u32, index: Index) -> [u8; 16] {
    let salt = u128::from_be_bytes(padded(salt));
    (salt ^ u128::from(ssrc) << 64 ^ u128::from(index.number()) << 16).to_be_bytes()
}

/// RFC 7714 §8.1 and §9.1: the same without the counter.
fn gcm_iv(salt: &[u8; GCM_SALT], ssrc: u32, index: Index) -> [u8; GCM_SALT] {
    let number = u128::from(ssrc) << 48 | u128::from(index.number());
    let mut iv = *salt;
    for (octet, number) in iv.iter_mut().zip(&number.to_be_bytes()[16 - GCM_SALT..]) {
        *octet ^= number;
    }
    iv
}

/// RFC 7714 §8.2 and §9.2: the header is authenticated, for RTCP the word with the index too.
fn with_aad<T>(header: &[u8], index: Index, act: impl FnOnce(&[u8]) -> T) -> T {
    match index {
        Index::Rtp(_) => act(header),
        Index::Rtcp(_) => {
            let mut aad = [0; RTCP_HEADER + 4];
            aad[..RTCP_HEADER].copy_from_slice(&header[..RTCP_HEADER]);
            aad[RTCP_HEADER..].copy_from_slice(&index.word());
            act(&aad)
        }
    }
}

/// `octets` at the start of an array that is long enough for them.
fn padded<const N: usize>(octets: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array[..octets.len()].copy_from_slice(octets);
    array
}

/// Octets of an RTCP packet that stay readable: its first header and SSRC.
pub(super) const RTCP_HEADER: usize = 8;
/// E flag of SRTCP.
pub(super) const ENCRYPTED: u32 = 1 << 31;
/// Longest tag: GCM.
const TAG_MAX: usize = 16;
/// RFC 3711 §5.2.
const SHA1_KEY: usize = 20;
const CM_SALT: usize = 14;
const GCM_SALT: usize = 12;
