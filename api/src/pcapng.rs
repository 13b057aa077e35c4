//! A trace as a capture file (pcapng, draft-ietf-opsawg-pcapng): each message as a UDP datagram, whatever carried it.

use std::net::IpAddr;

use crate::model::{Trace, TraceEntry};

/// The media type of such a file.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.tcpdump.pcap";

/// The messages of a trace; what happened between them has no place in a capture.
pub(crate) fn write(trace: &Trace) -> Vec<u8> {
    let mut file = Vec::new();
    // Section header: byte order, version 1.0, length unknown.
    let mut section = 0x1a2b_3c4d_u32.to_le_bytes().to_vec();
    section.extend([1, 0, 0, 0]);
    section.extend([0xff; 8]);
    block(&mut file, 0x0a0d_0d0a, &section);
    // Interface 0: packets begin with IP; times in microseconds, which is the default.
    let mut interface = RAW.to_le_bytes().to_vec();
    interface.extend([0; 6]);
    block(&mut file, 1, &interface);
    for entry in &trace.entries {
        if let Some(packet) = packet(entry) {
            let time = u64::try_from(entry.time.as_microsecond()).unwrap_or(0);
            let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            let mut body = vec![0; 4];
            body.extend(high(time).to_le_bytes());
            body.extend(low(time).to_le_bytes());
            body.extend(length.to_le_bytes());
            body.extend(length.to_le_bytes());
            body.extend(packet);
            block(&mut file, 6, &body);
        }
    }
    file
}

/// A block: type, length, body padded to four octets, length again.
fn block(file: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let length = u32::try_from(12 + body.len() + padding).unwrap_or(u32::MAX);
    file.extend(kind.to_le_bytes());
    file.extend(length.to_le_bytes());
    file.extend(body);
    file.extend(std::iter::repeat_n(0, padding));
    file.extend(length.to_le_bytes());
}

fn packet(entry: &TraceEntry) -> Option<Vec<u8>> {
    let (local, peer) = (entry.local?, entry.peer?);
    let text = entry.text.as_ref()?.as_bytes();
    let (from, to) = if entry.direction == Some("sent") { (local, peer) } else { (peer, local) };
    let text = &text[..text.len().min(LONGEST)];
    let datagram = datagram((from.port(), to.port()), text);
    Some(match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let length = u16::try_from(20 + datagram.len()).ok()?;
            let mut packet = vec![0x45, 0];
            packet.extend(length.to_be_bytes());
            // No fragment, 64 hops, UDP.
            packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
            let sum = checksum(&packet);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
            packet.extend(datagram);
            packet
        }
        (from, to) => {
            let octets = |address: IpAddr| match address {
                IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
                IpAddr::V6(address) => address.octets(),
            };
            let mut packet = vec![0x60, 0, 0, 0];
            packet.extend(u16::try_from(datagram.len()).ok()?.to_be_bytes());
            packet.extend([17, 64]);
            packet.extend(octets(from));
            packet.extend(octets(to));
            packet.extend(datagram);
            packet
        }
    })
}

/// UDP without a checksum.
fn datagram((from, to): (u16, u16), text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + text.len()).unwrap_or(u16::MAX);
    let mut datagram = from.to_be_bytes().to_vec();
    datagram.extend(to.to_be_bytes());
    datagram.extend(length.to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(text);
    datagram
}

/// RFC 1071.
fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

fn high(time: u64) -> u32 {
    u32::try_from(time >> 32).unwrap_or(0)
}

fn low(time: u64) -> u32 {
    u32::try_from(time & 0xffff_ffff).unwrap_or(0)
}

/// `LINKTYPE_RAW`.
const RAW: u16 = 101;
/// What fits into one IP packet.
const LONGEST: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn blocks_say_their_length_twice_and_packets_their_addresses() {
        let file = write(&samples::trace());

        let mut rest = &file[..];
        let mut kinds = Vec::new();
        while let Some((head, _)) = rest.split_first_chunk::<8>() {
            let kind = u32::from_le_bytes(head[..4].try_into().unwrap());
            let length = u32::from_le_bytes(head[4..].try_into().unwrap()) as usize;
            assert_eq!(rest[length - 4..length], head[4..], "{kind}");
            kinds.push(kind);
            if kind == 6 {
                assert_eq!(checksum(&rest[28..48]), 0, "with its sum a header adds up to nothing");
                assert_eq!(rest[40..44], [192, 0, 2, 10]);
            }
            rest = &rest[length..];
        }
        assert_eq!(kinds, [0x0a0d_0d0a, 1, 6]);
        assert!(rest.is_empty());
    }
}
