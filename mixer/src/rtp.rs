//! RTP packets (RFC 3550 §5.1) and the arithmetic of their wrapping numbers.

mod extension;
mod mixed;

use std::fmt;
use std::time::Duration;

pub use extension::{AudioLevel, Extension};
pub use mixed::{Heard, MAX_SOURCES, MixedHeader, Naming, Sources};
use rtp_rs::{RtpReader, RtpReaderError};
use thiserror::Error;

/// Octets of the header that [`Header::print`] writes: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;

/// A 16-bit sequence number; compares by distance only, because it wraps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Sequence(u16);

impl Sequence {
    /// Takes the number as it is on the wire.
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number as it goes on the wire.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The number of the packet after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How many packets this one is ahead of `earlier`; below zero if it is behind.
    ///
    /// The shorter way round wins, so the result is in −32,768..=32,767.
    pub const fn distance_from(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A 32-bit media time in units of the stream's clock; compares by distance only, because it wraps.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct RtpTimestamp(u32);

impl RtpTimestamp {
    /// Takes the number as it is on the wire.
    pub const fn new(units: u32) -> Self {
        Self(units)
    }

    /// The number as it goes on the wire.
    pub const fn units(self) -> u32 {
        self.0
    }

    /// This time moved forward by `units` of the clock.
    #[must_use]
    pub const fn plus(self, units: u32) -> Self {
        Self(self.0.wrapping_add(units))
    }

    /// How many clock units this time is ahead of `earlier`; below zero if it is behind.
    pub const fn distance_from(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// How many units of a clock of `rate` Hz a duration lasts, rounded down, modulo 2³².
    pub fn units_of(duration: Duration, rate: u32) -> u32 {
        let nanos_per_second = 1_000_000_000;
        let units = duration.as_nanos() * u128::from(rate) / nanos_per_second;
        let wrapped = units % (u128::from(u32::MAX) + 1);
        u32::try_from(wrapped).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for RtpTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A synchronisation source: names the sender of a stream within one session.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ssrc(u32);

impl Ssrc {
    /// Takes the number as it is on the wire.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number as it goes on the wire.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What is said about a payload: the fixed header without CSRC and extension.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// First packet of a talk spurt (RFC 3551 §4.1), or of an event (RFC 4733 §2.5.1.1).
    pub marker: bool,
    /// Payload type, 0 to 127.
    pub payload_type: u8,
    /// Rises by one for each packet.
    pub sequence: Sequence,
    /// Time of the first sample.
    pub timestamp: RtpTimestamp,
    /// Who sends.
    pub ssrc: Ssrc,
}

impl Header {
    /// Writes version 2, no padding, no extension, no CSRC.
    pub fn print(&self) -> [u8; HEADER_LEN] {
        let mut octets = [0; HEADER_LEN];
        self.write(&mut octets);
        octets
    }

    #[inline]
    fn write(&self, octets: &mut [u8; HEADER_LEN]) {
        octets[0] = 2 << 6;
        octets[1] = (u8::from(self.marker) << 7) | (self.payload_type & 0x7f);
        octets[2..4].copy_from_slice(&self.sequence.0.to_be_bytes());
        octets[4..8].copy_from_slice(&self.timestamp.0.to_be_bytes());
        octets[8..12].copy_from_slice(&self.ssrc.0.to_be_bytes());
    }
}

/// One received RTP packet; padding and CSRCs are stepped over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// The fixed header.
    pub header: Header,
    /// What is said beside the payload; without elements if there is none.
    pub extension: Extension<'a>,
    /// What it carries, without padding.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads one datagram.
    ///
    /// # Errors
    /// [`ParseError`] says which part of the header does not hold.
    #[inline] // To return it by way of memory costs as much as all the rest.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, ParseError> {
        let reader = RtpReader::new(datagram)?;
        let header = Header {
            marker: reader.mark(),
            payload_type: reader.payload_type(),
            sequence: Sequence(reader.sequence_number().into()),
            timestamp: RtpTimestamp(reader.timestamp()),
            ssrc: Ssrc(reader.ssrc()),
        };
        let extension = reader.extension().map(|(profile, octets)| Extension::new(profile, octets));
        Ok(Self { header, extension: extension.unwrap_or_default(), payload: reader.payload() })
    }
}

/// Why a datagram is not RTP.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ParseError {
    /// Shorter than its header says.
    #[error("expected an RTP header, found {0} octets")]
    Truncated(usize),
    /// Not version 2.
    #[error("expected RTP version 2, found {0}")]
    Version(u8),
    /// The padding count is zero or larger than the packet.
    #[error("expected padding within the packet, found a count of {0}")]
    Padding(u8),
}

impl From<RtpReaderError> for ParseError {
    fn from(error: RtpReaderError) -> Self {
        match error {
            RtpReaderError::BufferTooShort(len) => Self::Truncated(len),
            RtpReaderError::HeadersTruncated { buffer_len, .. } => Self::Truncated(buffer_len),
            RtpReaderError::UnsupportedVersion(version) => Self::Version(version),
            RtpReaderError::PaddingLengthInvalid(count) => Self::Padding(count),
        }
    }
}

/// Tells RTCP from RTP on one port (RFC 5761 §4): packet types 192 to 223 are RTCP.
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, 192..=223, ..] if first >> 6 == 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn sequence_distance_undoes_steps(start: u16, steps in -32_768_i32..=32_767) {
            let end = Sequence::new(start.wrapping_add_signed(i16::try_from(steps).unwrap()));

            prop_assert_eq!(i32::from(end.distance_from(Sequence::new(start))), steps);
        }

        #[test]
        fn timestamp_distance_undoes_plus(start: u32, units in 0..=i32::MAX) {
            let start = RtpTimestamp::new(start);
            let end = start.plus(units.cast_unsigned());

            prop_assert_eq!(end.distance_from(start), units);
            prop_assert_eq!(start.distance_from(end), -units);
        }

        #[test]
        fn what_is_printed_is_parsed(
            marker: bool, payload_type in 0_u8..128, sequence: u16, timestamp: u32, ssrc: u32,
            payload in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let header = Header {
                marker,
                payload_type,
                sequence: Sequence::new(sequence),
                timestamp: RtpTimestamp::new(timestamp),
                ssrc: Ssrc::new(ssrc),
            };
            let datagram = [&header.print()[..], &payload].concat();

            let packet = Packet::parse(&datagram).unwrap();

            let extension = Extension::default();
            prop_assert_eq!(packet, Packet { header, extension, payload: &payload });
        }

        #[test]
        fn any_octets_are_parsed_or_refused(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(packet) = Packet::parse(&octets) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= octets.len());
            }
        }
    }

    #[test]
    fn padding_csrc_and_extension_are_stepped_over() {
        let mut datagram = vec![0xb1, 0x80, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]; // P, X, one CSRC.
        datagram.extend([9, 9, 9, 9]);
        datagram.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
        datagram.extend(*b"voice\0\0\x03");

        let packet = Packet::parse(&datagram).unwrap();

        assert_eq!(packet.payload, b"voice");
        assert!(packet.header.marker);
    }

    #[test]
    fn twenty_milliseconds_are_160_units_at_8_khz() {
        assert_eq!(RtpTimestamp::units_of(Duration::from_millis(20), 8_000), 160);
    }

    #[test]
    fn rtcp_is_told_from_rtp_by_its_packet_type() {
        assert!(is_rtcp(&[0x80, 200, 0, 6]));
        assert!(!is_rtcp(&[0x80, 0x80 | 8, 0, 6]));
        assert!(!is_rtcp(&[0x80]));
    }
}
