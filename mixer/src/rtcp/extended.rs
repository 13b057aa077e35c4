//! Extended reports (RFC 3611): VoIP metrics, and the round trip of who sends nothing.
//!
//! Blocks that are not known, or shorter than their kind needs, are stepped over.

use std::time::Duration;

use super::{NtpTime, print_packet, word};
use crate::rtp::Ssrc;

/// Iterates over the blocks of one extended report; stops where one does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExtendedBlocks<'a>(pub(super) &'a [u8]);

/// One block of an extended report.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ExtendedBlock<'a> {
    /// §4.4: the time at a receiver, so that it can learn its round trip.
    ReferenceTime(NtpTime),
    /// §4.5: answers to [`Self::ReferenceTime`].
    LastReferences(LastReferences<'a>),
    /// §4.7.
    VoipMetrics(VoipMetrics),
    /// Not for us.
    Other {
        /// BT.
        block_type: u8,
    },
}

/// Iterates over the sub-blocks of §4.5.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LastReferences<'a>(&'a [u8]);

/// When a receiver's time was last heard of (§4.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LastReference {
    /// Whose time.
    pub ssrc: Ssrc,
    /// [`NtpTime::middle`] of that time; 0 if none came.
    pub last: u32,
    /// Since it came, in 1/65,536 s.
    pub delay: u32,
}

/// How one source is received (§4.7). Durations are whole milliseconds, 65,535 at most.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VoipMetrics {
    /// The source.
    pub ssrc: Ssrc,
    /// Share of packets that never came, in 1/256.
    pub loss_rate: u8,
    /// Share of packets dropped because they came too late or too early, in 1/256.
    pub discard_rate: u8,
    /// Share lost or dropped within bursts, in 1/256.
    pub burst_density: u8,
    /// The same in gaps.
    pub gap_density: u8,
    /// Mean length of a burst.
    pub burst_duration: Duration,
    /// Mean length of a gap.
    pub gap_duration: Duration,
    /// Zero if not known.
    pub round_trip: Duration,
    /// From the network to the ear and from the mouth to the network, together.
    pub end_system_delay: Duration,
    /// dBm0 of speech; `None` if not known.
    pub signal_level: Option<i8>,
    /// dBm0 between speech; `None` if not known.
    pub noise_level: Option<i8>,
    /// Echo return loss, dB; `None` if not known.
    pub echo_loss: Option<u8>,
    /// Good packets in a row that end a burst.
    pub gap_min: u8,
    /// R of this segment, 0 to 100.
    pub r_factor: Option<u8>,
    /// R of the segment beyond, 0 to 100.
    pub external_r_factor: Option<u8>,
    /// Listening quality in tenths, 10 to 50.
    pub mos_listening: Option<u8>,
    /// Conversational quality in tenths, 10 to 50.
    pub mos_conversational: Option<u8>,
    /// Kind of concealment and of jitter buffer (§4.7.6).
    pub receiver: u8,
    /// Delay of the jitter buffer now.
    pub buffer: Duration,
    /// What it may be at this jitter.
    pub buffer_maximum: Duration,
    /// What it may be at all.
    pub buffer_ceiling: Duration,
}

/// §4.7.6: standard concealment and an adaptive jitter buffer of medium rate.
pub(crate) const RECEIVER_CONFIGURATION: u8 = 0b1111_1000;

impl<'a> Iterator for ExtendedBlocks<'a> {
    type Item = ExtendedBlock<'a>;

    fn next(&mut self) -> Option<ExtendedBlock<'a>> {
        let &[block_type, _, high, low, ..] = self.0 else { return None };
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((block, rest)) = self.0.split_at_checked(len) else {
            self.0 = &[];
            return None;
        };
        self.0 = rest;
        let body = &block[4..];
        let read = match block_type {
            REFERENCE_TIME => NtpTime::parse(body, 0).map(ExtendedBlock::ReferenceTime),
            LAST_REFERENCE => Some(ExtendedBlock::LastReferences(LastReferences(body))),
            VOIP_METRICS => VoipMetrics::parse(body).map(ExtendedBlock::VoipMetrics),
            _ => None,
        };
        Some(read.unwrap_or(ExtendedBlock::Other { block_type }))
    }
}

impl Iterator for LastReferences<'_> {
    type Item = LastReference;

    fn next(&mut self) -> Option<LastReference> {
        let (block, rest) = self.0.split_at_checked(12)?;
        self.0 = rest;
        Some(LastReference {
            ssrc: Ssrc::new(word(block, 0)?),
            last: word(block, 4)?,
            delay: word(block, 8)?,
        })
    }
}

impl VoipMetrics {
    fn parse(body: &[u8]) -> Option<Self> {
        let body: &[u8; VOIP_METRICS_LEN] = body.first_chunk()?;
        let milliseconds =
            |at: usize| Duration::from_millis(u16::from_be_bytes([body[at], body[at + 1]]).into());
        let known = |at: usize| Some(body[at]).filter(|&value| value != UNKNOWN);
        Some(Self {
            ssrc: Ssrc::new(word(body, 0)?),
            loss_rate: body[4],
            discard_rate: body[5],
            burst_density: body[6],
            gap_density: body[7],
            burst_duration: milliseconds(8),
            gap_duration: milliseconds(10),
            round_trip: milliseconds(12),
            end_system_delay: milliseconds(14),
            signal_level: known(16).map(u8::cast_signed),
            noise_level: known(17).map(u8::cast_signed),
            echo_loss: known(18),
            gap_min: body[19],
            r_factor: known(20),
            external_r_factor: known(21),
            mos_listening: known(22),
            mos_conversational: known(23),
            receiver: body[24],
            // 25 is reserved.
            buffer: milliseconds(26),
            buffer_maximum: milliseconds(28),
            buffer_ceiling: milliseconds(30),
        })
    }

    fn print(&self, out: &mut Vec<u8>) {
        let known = |value: Option<u8>| value.unwrap_or(UNKNOWN);
        print_block(out, VOIP_METRICS, |out| {
            out.extend(self.ssrc.number().to_be_bytes());
            out.extend([self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
            for duration in
                [self.burst_duration, self.gap_duration, self.round_trip, self.end_system_delay]
            {
                out.extend(milliseconds(duration).to_be_bytes());
            }
            out.extend([
                known(self.signal_level.map(i8::cast_unsigned)),
                known(self.noise_level.map(i8::cast_unsigned)),
                known(self.echo_loss),
                self.gap_min,
                known(self.r_factor),
                known(self.external_r_factor),
                known(self.mos_listening),
                known(self.mos_conversational),
                self.receiver,
                0,
            ]);
            for duration in [self.buffer, self.buffer_maximum, self.buffer_ceiling] {
                out.extend(milliseconds(duration).to_be_bytes());
            }
        });
    }
}

/// What one extended report of ours says.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ExtendedReport {
    /// Our time, to learn the round trip where we send no SR.
    pub reference_time: Option<NtpTime>,
    /// The answer to the far side's.
    pub last_reference: Option<LastReference>,
    /// How we receive.
    pub metrics: Option<VoipMetrics>,
}

/// Appends an extended report; nothing if it would say nothing.
pub fn print_extended(out: &mut Vec<u8>, ssrc: Ssrc, report: &ExtendedReport) {
    if *report == ExtendedReport::default() {
        return;
    }
    print_packet(out, EXTENDED, 0, |out| {
        out.extend(ssrc.number().to_be_bytes());
        if let Some(time) = report.reference_time {
            print_block(out, REFERENCE_TIME, |out| out.extend(time.octets()));
        }
        if let Some(last) = report.last_reference {
            print_block(out, LAST_REFERENCE, |out| {
                for word in [last.ssrc.number(), last.last, last.delay] {
                    out.extend(word.to_be_bytes());
                }
            });
        }
        if let Some(metrics) = report.metrics {
            metrics.print(out);
        }
    });
}

/// Appends one block whose body is whole words.
fn print_block(out: &mut Vec<u8>, block_type: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend([block_type, 0, 0, 0]);
    body(out);
    let words = u16::try_from((out.len() - start) / 4 - 1).unwrap_or(u16::MAX);
    out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
}

fn milliseconds(duration: Duration) -> u16 {
    u16::try_from(duration.as_millis()).unwrap_or(u16::MAX)
}

pub(super) const EXTENDED: u8 = 207;
const REFERENCE_TIME: u8 = 4;
const LAST_REFERENCE: u8 = 5;
const VOIP_METRICS: u8 = 7;
const VOIP_METRICS_LEN: usize = 32;
/// What §4.7 writes where it does not know.
const UNKNOWN: u8 = 127;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtcp::{Packet, parse};

    fn blocks(datagram: &[u8]) -> Vec<ExtendedBlock<'_>> {
        let Some(Packet::Extended { blocks, .. }) = parse(datagram).next() else {
            return Vec::new();
        };
        blocks.collect()
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed(
            rates: [u8; 4], burst: u16, gap: u16, level in -90_i8..0, r in 0_u8..=100,
            mos in 10_u8..=50, last: u32, delay: u32, time: u64,
        ) {
            let metrics = VoipMetrics {
                ssrc: Ssrc::new(7),
                loss_rate: rates[0],
                discard_rate: rates[1],
                burst_density: rates[2],
                gap_density: rates[3],
                burst_duration: Duration::from_millis(burst.into()),
                gap_duration: Duration::from_millis(gap.into()),
                signal_level: Some(level),
                gap_min: 16,
                r_factor: Some(r),
                mos_conversational: Some(mos),
                receiver: RECEIVER_CONFIGURATION,
                ..VoipMetrics::default()
            };
            let last_reference = LastReference { ssrc: Ssrc::new(7), last, delay };
            let time = NtpTime::parse(&time.to_be_bytes(), 0).unwrap();
            let mut out = Vec::new();

            print_extended(&mut out, Ssrc::new(1), &ExtendedReport {
                reference_time: Some(time),
                last_reference: Some(last_reference),
                metrics: Some(metrics),
            });

            let found = blocks(&out);
            prop_assert_eq!(found.len(), 3);
            prop_assert_eq!(&found[0], &ExtendedBlock::ReferenceTime(time));
            let ExtendedBlock::LastReferences(references) = found[1].clone() else {
                return Err(TestCaseError::fail("expected last references"));
            };
            prop_assert_eq!(references.collect::<Vec<_>>(), [last_reference]);
            prop_assert_eq!(&found[2], &ExtendedBlock::VoipMetrics(metrics));
        }

        #[test]
        fn any_blocks_are_read_without_panic_and_end(octets in prop::collection::vec(any::<u8>(), 0..400)) {
            let read = ExtendedBlocks(&octets).map(|block| match block {
                ExtendedBlock::LastReferences(references) => references.count(),
                ExtendedBlock::ReferenceTime(_)
                | ExtendedBlock::VoipMetrics(_)
                | ExtendedBlock::Other { .. } => 0,
            });

            prop_assert!(read.count() <= octets.len() / 4);
        }
    }

    #[test]
    fn an_unknown_or_short_block_is_stepped_over() {
        let mut datagram = vec![0x80, EXTENDED, 0, 6, 0, 0, 0, 1];
        datagram.extend([1, 0, 0, 1, 9, 9, 9, 9]); // loss run lengths
        datagram.extend([VOIP_METRICS, 0, 0, 0]); // cut short
        datagram.extend([REFERENCE_TIME, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
        datagram[3] = u8::try_from(datagram.len() / 4 - 1).unwrap();

        let found = blocks(&datagram);

        assert_eq!(found[0], ExtendedBlock::Other { block_type: 1 });
        assert_eq!(found[1], ExtendedBlock::Other { block_type: VOIP_METRICS });
        assert!(matches!(found[2], ExtendedBlock::ReferenceTime(_)));
    }

    #[test]
    fn who_has_nothing_to_say_sends_no_extended_report() {
        let mut out = Vec::new();

        print_extended(&mut out, Ssrc::new(1), &ExtendedReport::default());

        assert!(out.is_empty());
    }
}
