//! Cryptographic contexts (RFC 3711 §3.2): one for what we send, one for what we receive.

use crate::rtp::{HEADER_LEN, Sequence};

use super::transform::{ENCRYPTED, Index, Kind, RTCP_HEADER, Transform};
use super::window::Streams;
use super::{Error, MasterKey, OVERHEAD_MAX};

/// Protects what we send under one key. It never protects two packets of the same number.
#[derive(Debug)]
pub struct Sender {
    rtp: Transform,
    rtcp: Transform,
    streams: Streams,
    /// Of the next SRTCP packet, whatever its SSRC.
    rtcp_index: u32,
}

/// Checks and opens what is received under one key.
#[derive(Debug)]
pub struct Receiver {
    rtp: Transform,
    rtcp: Transform,
    streams: Streams,
    rtcp_streams: Streams,
}

impl Sender {
    /// Begins with roll-over counter and SRTCP index 0 (RFC 4568 §6.4).
    pub fn new(key: &MasterKey) -> Self {
        Self::of(Kind::BOTH.map(|kind| Transform::derive(key, kind)))
    }

    pub(super) fn of([packets, reports]: [Transform; 2]) -> Self {
        Self { rtp: packets, rtcp: reports, streams: Streams::new(), rtcp_index: 0 }
    }

    /// Protects the RTP packet in the first `len` octets of `buffer`, and returns how many it has now.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if it is no RTP, [`Error::NoRoom`] unless [`OVERHEAD_MAX`] octets are free behind it,
    /// [`Error::Replayed`] for a number that was sent before, [`Error::UsedUp`] for one stream too many.
    pub fn protect(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let (packet, room) = with_room(buffer, len)?;
        let Head { ssrc, sequence, len: header } = Head::read(packet)?;
        let index = match self.streams.window(ssrc) {
            Some(window) => {
                let index = window.estimate(sequence).filter(|&index| window.is_new(index));
                index.ok_or(Error::Replayed)?
            }
            // An old stream that was forgotten and came back would be encrypted as it was before.
            None if self.streams.is_full() => return Err(Error::UsedUp),
            None => sequence.number().into(),
        };
        if index > RTP_INDEX_MAX {
            return Err(Error::UsedUp);
        }
        let tag = self.rtp.seal((ssrc, Index::Rtp(index)), packet, header)?;
        self.streams.note(ssrc, index);
        let tag = tag.as_slice();
        room[..tag.len()].copy_from_slice(tag);
        Ok(len + tag.len())
    }

    /// Protects the compound RTCP packet in the first `len` octets of `buffer`, and returns how many it has now.
    ///
    /// # Errors
    ///
    /// As [`Self::protect`], except that numbers are ours.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], len: usize) -> Result<usize, Error> {
        let (packet, room) = with_room(buffer, len)?;
        let ssrc = rtcp_ssrc(packet)?;
        if self.rtcp_index >= ENCRYPTED {
            return Err(Error::UsedUp);
        }
        let index = Index::Rtcp(self.rtcp_index);
        let tag = self.rtcp.seal((ssrc, index), packet, RTCP_HEADER)?;
        self.rtcp_index += 1;
        let (tag, word) = (tag.as_slice(), index.word());
        let (tag_at, word_at) = if self.rtcp.index_is_last() { (0, tag.len()) } else { (4, 0) };
        room[tag_at..tag_at + tag.len()].copy_from_slice(tag);
        room[word_at..word_at + 4].copy_from_slice(&word);
        Ok(len + tag.len() + 4)
    }
}

impl Receiver {
    /// Begins with roll-over counter 0 (RFC 4568 §6.4) and nothing seen.
    pub fn new(key: &MasterKey) -> Self {
        Self::of(Kind::BOTH.map(|kind| Transform::derive(key, kind)))
    }

    pub(super) fn of([packets, reports]: [Transform; 2]) -> Self {
        Self { rtp: packets, rtcp: reports, streams: Streams::new(), rtcp_streams: Streams::new() }
    }

    /// Makes an RTP packet of an SRTP packet, and returns how many octets it has.
    ///
    /// # Errors
    ///
    /// Anything but [`Error::NoRoom`]; then neither `packet` nor anything else has changed.
    pub fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let (packet, tag) = split_end(packet, self.rtp.tag_len())?;
        let Head { ssrc, sequence, len: header } = Head::read(packet)?;
        let index = match self.streams.window(ssrc) {
            Some(window) => {
                let index = window.estimate(sequence).filter(|&index| window.is_new(index));
                index.ok_or(Error::Replayed)?
            }
            None => sequence.number().into(),
        };
        if index > RTP_INDEX_MAX {
            return Err(Error::UsedUp);
        }
        self.rtp.open((ssrc, Index::Rtp(index)), packet, header, tag)?;
        self.streams.note(ssrc, index);
        Ok(packet.len())
    }

    /// Makes a compound RTCP packet of an SRTCP packet, and returns how many octets it has.
    ///
    /// # Errors
    ///
    /// As [`Self::unprotect`], and [`Error::NotEncrypted`].
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Error> {
        let tag_len = self.rtcp.tag_len();
        let (packet, end) = split_end(packet, tag_len + 4)?;
        let (tag, word) = if self.rtcp.index_is_last() {
            end.split_at(tag_len)
        } else {
            let (word, tag) = end.split_at(4);
            (tag, word)
        };
        let ssrc = rtcp_ssrc(packet)?;
        let word = word.iter().fold(0, |word, octet| word << 8 | u32::from(*octet));
        if word & ENCRYPTED == 0 {
            return Err(Error::NotEncrypted);
        }
        let index = word & !ENCRYPTED;
        if self.rtcp_streams.window(ssrc).is_some_and(|window| !window.is_new(index.into())) {
            return Err(Error::Replayed);
        }
        self.rtcp.open((ssrc, Index::Rtcp(index)), packet, RTCP_HEADER, tag)?;
        self.rtcp_streams.note(ssrc, index.into());
        Ok(packet.len())
    }
}

/// What an RTP header says in clear.
struct Head {
    ssrc: u32,
    sequence: Sequence,
    /// Octets before the payload.
    len: usize,
}

impl Head {
    /// Reads fixed header, CSRC count and extension length (RFC 3550 §5.1, §5.3.1).
    fn read(packet: &[u8]) -> Result<Self, Error> {
        let fixed = packet.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let mut len = HEADER_LEN + 4 * usize::from(fixed[0] & 0x0f);
        if fixed[0] & 0x10 != 0 {
            let words = packet.get(len + 2..len + 4).ok_or(Error::Truncated)?;
            len += 4 + 4 * usize::from(u16::from_be_bytes([words[0], words[1]]));
        }
        if packet.len() < len {
            return Err(Error::Truncated);
        }
        Ok(Self {
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            sequence: Sequence::new(u16::from_be_bytes([fixed[2], fixed[3]])),
            len,
        })
    }
}

fn rtcp_ssrc(packet: &[u8]) -> Result<u32, Error> {
    let head = packet.first_chunk::<RTCP_HEADER>().ok_or(Error::Truncated)?;
    Ok(u32::from_be_bytes([head[4], head[5], head[6], head[7]]))
}

fn with_room(buffer: &mut [u8], len: usize) -> Result<(&mut [u8], &mut [u8]), Error> {
    let (packet, room) = buffer.split_at_mut_checked(len).ok_or(Error::NoRoom)?;
    if room.len() < OVERHEAD_MAX { Err(Error::NoRoom) } else { Ok((packet, room)) }
}

fn split_end(packet: &mut [u8], end: usize) -> Result<(&mut [u8], &mut [u8]), Error> {
    let at = packet.len().checked_sub(end).ok_or(Error::Truncated)?;
    Ok(packet.split_at_mut(at))
}

/// 48 bits (RFC 3711 §3.2.1); at 50 packets a second they last for 178,000 years.
const RTP_INDEX_MAX: u64 = (1 << 48) - 1;
