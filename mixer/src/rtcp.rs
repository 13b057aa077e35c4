//! RTCP on the wire (RFC 3550 §6): what a phone needs, tolerant of everything else.
//!
//! Parsing steps over packets it does not know and takes reduced-size RTCP (RFC 5506); printing always makes a
//! compound that starts with a report and carries a CNAME (§6.1). Extended reports (RFC 3611) follow them. [`Session`]
//! keeps the statistics of one leg.

mod extended;
mod names;
mod reception;
mod session;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use self::extended::RECEIVER_CONFIGURATION;
pub use self::extended::{
    ExtendedBlock, ExtendedBlocks, ExtendedReport, LastReference, LastReferences, VoipMetrics,
    print_extended,
};
pub use self::names::Contributors;
pub(crate) use self::names::{Named, Names};
pub use self::reception::Reception;
pub use self::session::{FarReport, Sent, Session};
use crate::rtp::{RtpTimestamp, Ssrc};

/// A 64-bit NTP time: seconds since 1900 and their fraction (RFC 3550 §4).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NtpTime(u64);

impl NtpTime {
    /// The wall clock in NTP's format; wraps in 2036, as NTP does.
    pub fn from_wall(wall: SystemTime) -> Self {
        let since = wall.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let seconds = since.as_secs().wrapping_add(SECONDS_1900_TO_1970);
        let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
        Self((seconds << 32) | fraction)
    }

    /// The middle 32 bits, which reports quote: units of 1/65,536 s, wrapping each 18 hours.
    pub fn middle(self) -> u32 {
        low_half(self.0 >> 16)
    }

    fn parse(octets: &[u8], at: usize) -> Option<Self> {
        Some(Self((u64::from(word(octets, at)?) << 32) | u64::from(word(octets, at + 4)?)))
    }

    fn octets(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }
}

/// What a sender says of itself (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct SenderInfo {
    /// Wall clock at sending.
    pub ntp: NtpTime,
    /// The same instant on the stream's clock.
    pub timestamp: RtpTimestamp,
    /// RTP packets sent, modulo 2³².
    pub packets: u32,
    /// Payload octets sent, modulo 2³².
    pub octets: u32,
}

/// What a receiver says of one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: Ssrc,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Lost in all; 24 bits with sign on the wire.
    pub cumulative_lost: i32,
    /// Highest sequence number, with the count of wraps above it.
    pub highest_sequence: u32,
    /// Interarrival jitter in clock units.
    pub jitter: u32,
    /// [`NtpTime::middle`] of the last sender report; 0 if none came.
    pub last_report: u32,
    /// Since that report, in 1/65,536 s.
    pub delay_since_report: u32,
}

/// One packet of a compound.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Packet<'a> {
    /// SR.
    SenderReport {
        /// Who reports.
        ssrc: Ssrc,
        /// Of itself.
        info: SenderInfo,
        /// Of others.
        blocks: Blocks<'a>,
    },
    /// RR.
    ReceiverReport {
        /// Who reports.
        ssrc: Ssrc,
        /// Of others.
        blocks: Blocks<'a>,
    },
    /// SDES.
    Description {
        /// Who is described; its sender comes first.
        chunks: Chunks<'a>,
    },
    /// BYE.
    Bye {
        /// The first source that leaves.
        ssrc: Ssrc,
    },
    /// XR (RFC 3611).
    Extended {
        /// Who reports.
        ssrc: Ssrc,
        /// Of itself and of others.
        blocks: ExtendedBlocks<'a>,
    },
    /// Well formed, but not for us: APP, feedback.
    Other {
        /// RTCP packet type.
        packet_type: u8,
    },
}

/// Iterates over the report blocks of one SR or RR.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = ReportBlock;

    fn next(&mut self) -> Option<ReportBlock> {
        let (block, rest) = self.0.split_at_checked(BLOCK_LEN)?;
        self.0 = rest;
        ReportBlock::parse(block)
    }
}

/// What an SDES says of one source (RFC 3550 §6.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Chunk<'a> {
    /// Who is described.
    pub ssrc: Ssrc,
    /// Canonical name, not checked to be UTF-8.
    pub cname: Option<&'a [u8]>,
}

/// Iterates over the chunks of one SDES; stops at the first that does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chunks<'a> {
    octets: &'a [u8],
    count: usize,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        self.count = self.count.checked_sub(1)?;
        let ssrc = Ssrc::new(word(self.octets, 0)?);
        let (cname, length) = items(&self.octets[4..]);
        // The zero that ends the items and what fills its word belong to the chunk.
        self.octets = self.octets.get(4 + (length / 4 + 1) * 4..).unwrap_or_default();
        Some(Chunk { ssrc, cname })
    }
}

/// Iterates over the packets of one datagram; stops at the first that does not hold.
#[derive(Clone, Debug)]
pub struct Packets<'a>(&'a [u8]);

/// Reads a datagram; never fails, what cannot be read yields nothing.
pub fn parse(datagram: &[u8]) -> Packets<'_> {
    Packets(datagram)
}

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let &[first, packet_type, high, low, ..] = self.0 else { return None };
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let (packet, rest) = self.0.split_at_checked(len)?;
        if first >> 6 != 2 || !(192..=223).contains(&packet_type) {
            self.0 = &[];
            return None;
        }
        self.0 = rest;
        let count = usize::from(first & 0x1f);
        let body = &packet[4..];
        Some(Self::read(packet_type, count, body).unwrap_or(Packet::Other { packet_type }))
    }
}

impl<'a> Packets<'a> {
    fn read(packet_type: u8, count: usize, body: &'a [u8]) -> Option<Packet<'a>> {
        if packet_type == DESCRIPTION && count == 0 {
            return None;
        }
        let ssrc = Ssrc::new(word(body, 0)?);
        match packet_type {
            SENDER_REPORT => {
                let info = SenderInfo {
                    ntp: NtpTime::parse(body, 4)?,
                    timestamp: RtpTimestamp::new(word(body, 12)?),
                    packets: word(body, 16)?,
                    octets: word(body, 20)?,
                };
                let blocks = Blocks(body.get(24..24 + count * BLOCK_LEN)?);
                Some(Packet::SenderReport { ssrc, info, blocks })
            }
            RECEIVER_REPORT => {
                let blocks = Blocks(body.get(4..4 + count * BLOCK_LEN)?);
                Some(Packet::ReceiverReport { ssrc, blocks })
            }
            DESCRIPTION => Some(Packet::Description { chunks: Chunks { octets: body, count } }),
            extended::EXTENDED => {
                Some(Packet::Extended { ssrc, blocks: ExtendedBlocks(&body[4..]) })
            }
            BYE if count > 0 => Some(Packet::Bye { ssrc }),
            _ => None,
        }
    }
}

/// Finds the CNAME among the items of a chunk, and how many octets they take.
fn items(octets: &[u8]) -> (Option<&[u8]>, usize) {
    let (mut rest, mut cname) = (octets, None);
    while let [kind, length, texts @ ..] = rest
        && *kind != 0
        && let Some((text, others)) = texts.split_at_checked(usize::from(*length))
    {
        if *kind == CNAME {
            cname = Some(text);
        }
        rest = others;
    }
    (cname, octets.len() - rest.len())
}

impl ReportBlock {
    fn parse(block: &[u8]) -> Option<Self> {
        let lost = word(block, 4)?;
        Some(Self {
            ssrc: Ssrc::new(word(block, 0)?),
            fraction_lost: lost.to_be_bytes()[0],
            cumulative_lost: (lost << 8).cast_signed() >> 8, // Extends the sign of 24 bits.
            highest_sequence: word(block, 8)?,
            jitter: word(block, 12)?,
            last_report: word(block, 16)?,
            delay_since_report: word(block, 20)?,
        })
    }

    fn print(&self, out: &mut Vec<u8>) {
        let [_, lost @ ..] = self.cumulative_lost.clamp(-0x80_0000, 0x7f_ffff).to_be_bytes();
        out.extend(self.ssrc.number().to_be_bytes());
        out.push(self.fraction_lost);
        out.extend(lost);
        for word in [self.highest_sequence, self.jitter, self.last_report, self.delay_since_report]
        {
            out.extend(word.to_be_bytes());
        }
    }
}

/// Appends an SR, or an RR when there is nothing to say of oneself.
pub fn print_report(
    out: &mut Vec<u8>,
    ssrc: Ssrc,
    info: Option<&SenderInfo>,
    block: Option<&ReportBlock>,
) {
    let packet_type = if info.is_some() { SENDER_REPORT } else { RECEIVER_REPORT };
    print_packet(out, packet_type, u8::from(block.is_some()), |out| {
        out.extend(ssrc.number().to_be_bytes());
        if let Some(info) = info {
            out.extend(info.ntp.octets());
            for word in [info.timestamp.units(), info.packets, info.octets] {
                out.extend(word.to_be_bytes());
            }
        }
        if let Some(block) = block {
            block.print(out);
        }
    });
}

/// Appends an SDES with the CNAMEs of its sender and of `others`: those that fit, so that a report stays one packet on the
/// way. A longer name than 255 octets is cut.
#[expect(single_use_lifetimes, reason = "an anonymous one in `impl` is not stable yet")]
pub fn print_cnames<'a>(
    out: &mut Vec<u8>,
    (ssrc, name): (Ssrc, &str),
    others: impl IntoIterator<Item = Chunk<'a>>,
) {
    let start = out.len();
    let mut count = 1;
    print_packet(out, DESCRIPTION, 0, |out| {
        print_cname(out, ssrc, name.as_bytes());
        for other in others {
            let end = out.len();
            print_cname(out, other.ssrc, other.cname.unwrap_or_default());
            if count == MAX_CHUNKS || out.len() - start > LONGEST_DESCRIPTION {
                out.truncate(end);
            } else {
                count += 1;
            }
        }
    });
    out[start] |= count;
}

fn print_cname(out: &mut Vec<u8>, ssrc: Ssrc, name: &[u8]) {
    let name = &name[..name.len().min(255)];
    out.extend(ssrc.number().to_be_bytes());
    out.push(CNAME);
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend(name);
    // At least one zero ends the chunk; more fill its last word.
    let zeros = 4 - (2 + name.len()) % 4;
    out.extend(&[0; 4][..zeros]);
}

/// Appends a BYE.
pub fn print_bye(out: &mut Vec<u8>, ssrc: Ssrc) {
    print_packet(out, BYE, 1, |out| out.extend(ssrc.number().to_be_bytes()));
}

/// Appends one packet whose body is whole words.
fn print_packet(out: &mut Vec<u8>, packet_type: u8, count: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([(2 << 6) | count, packet_type, 0, 0]);
    body(out);
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn word(octets: &[u8], at: usize) -> Option<u32> {
    let word = octets.get(at..at + 4)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}

/// The lower 32 bits.
fn low_half(wide: u64) -> u32 {
    u32::try_from(wide & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const CNAME: u8 = 1;
const BLOCK_LEN: usize = 24;
/// Five bits count them.
const MAX_CHUNKS: u8 = 31;
/// Octets; with the reports about it a compound stays below 1,200.
const LONGEST_DESCRIPTION: usize = 1_000;
const SECONDS_1900_TO_1970: u64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_octets_are_read_without_panic(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            for packet in parse(&octets) {
                if let Packet::SenderReport { blocks, .. } | Packet::ReceiverReport { blocks, .. } = packet {
                    prop_assert!(blocks.count() <= 31);
                } else if let Packet::Description { chunks } = packet {
                    prop_assert!(chunks.count() <= 31);
                }
            }
        }

        #[test]
        fn what_is_printed_is_parsed(
            fraction_lost: u8, cumulative_lost in -0x80_0000_i32..=0x7f_ffff, highest_sequence: u32,
            jitter: u32, packets: u32, name in "[ -~]{0,80}",
        ) {
            let ssrc = Ssrc::new(1);
            let block = ReportBlock {
                ssrc: Ssrc::new(2),
                fraction_lost,
                cumulative_lost,
                highest_sequence,
                jitter,
                ..ReportBlock::default()
            };
            let info = SenderInfo { packets, ..SenderInfo::default() };
            let mut out = Vec::new();

            print_report(&mut out, ssrc, Some(&info), Some(&block));
            let other = Chunk { ssrc: Ssrc::new(3), cname: Some(b"other") };
            print_cnames(&mut out, (ssrc, &name), [other]);
            print_bye(&mut out, ssrc);

            prop_assert_eq!(out.len() % 4, 0);
            let packets: Vec<_> = parse(&out).collect();
            let Packet::SenderReport { info: read, mut blocks, .. } = packets[0].clone() else {
                return Err(TestCaseError::fail("expected a sender report"));
            };
            prop_assert_eq!(read, info);
            prop_assert_eq!(blocks.next(), Some(block));
            let Packet::Description { chunks } = packets[1].clone() else {
                return Err(TestCaseError::fail("expected a description"));
            };
            let own = Chunk { ssrc, cname: Some(name.as_bytes()) };
            prop_assert_eq!(chunks.collect::<Vec<_>>(), [own, other]);
            prop_assert_eq!(&packets[2], &Packet::Bye { ssrc });
        }
    }

    #[test]
    fn an_unknown_packet_is_stepped_over() {
        let mut datagram = vec![0x80, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2];
        print_bye(&mut datagram, Ssrc::new(1));

        let packets: Vec<_> = parse(&datagram).collect();

        let expected = [Packet::Other { packet_type: 206 }, Packet::Bye { ssrc: Ssrc::new(1) }];
        assert_eq!(packets, expected);
    }

    #[test]
    fn names_that_do_not_fit_into_a_packet_are_left_out() {
        let name = [b'x'; 255];
        let others = (2..20).map(|ssrc| Chunk { ssrc: Ssrc::new(ssrc), cname: Some(&name) });
        let mut out = Vec::new();

        print_cnames(&mut out, (Ssrc::new(1), "bridge"), others);

        assert!(out.len() <= LONGEST_DESCRIPTION);
        let Some(Packet::Description { chunks }) = parse(&out).next() else { panic!("{out:?}") };
        let ssrcs: Vec<u32> = chunks.map(|chunk| chunk.ssrc.number()).collect();
        assert_eq!(ssrcs, [1, 2, 3, 4]);
    }

    #[test]
    fn unix_epoch_is_2_208_988_800_in_ntp() {
        let half = UNIX_EPOCH + Duration::from_millis(500);

        assert_eq!(NtpTime::from_wall(half).0, 2_208_988_800 << 32 | 1 << 31);
        assert_eq!(NtpTime::from_wall(half).middle(), 0x7e80_8000);
    }
}
