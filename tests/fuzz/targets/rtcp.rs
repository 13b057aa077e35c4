//! Any RTCP datagram: no panic, and what we print of it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixer::rtcp::{self, ExtendedBlock, ExtendedReport, Packet};
use mixer::rtp::Ssrc;

fuzz_target!(|data: &[u8]| {
    for packet in rtcp::parse(data) {
        match packet {
            Packet::SenderReport { ssrc, info, blocks } => {
                for block in blocks {
                    let mut out = Vec::new();
                    rtcp::print_report(&mut out, ssrc, Some(&info), Some(&block));
                    let read = rtcp::parse(&out).next();
                    let Some(Packet::SenderReport { info: info_read, mut blocks, .. }) = read
                    else {
                        panic!("what we print is a report")
                    };
                    assert_eq!((info_read, blocks.next()), (info, Some(block)));
                }
            }
            Packet::ReceiverReport { blocks, .. } => assert!(blocks.count() < 32),
            Packet::Extended { ssrc, blocks } => {
                assert!(blocks.clone().count() <= data.len() / 4);
                for block in blocks {
                    read_again(ssrc, block);
                }
            }
            Packet::Description { chunks } => assert!(chunks.count() <= 31),
            Packet::Bye { .. } | Packet::Other { .. } => {}
        }
    }
});

fn read_again(ssrc: Ssrc, block: ExtendedBlock<'_>) {
    let mut report = ExtendedReport::default();
    match block {
        ExtendedBlock::ReferenceTime(time) => report.reference_time = Some(time),
        ExtendedBlock::LastReferences(mut references) => report.last_reference = references.next(),
        ExtendedBlock::VoipMetrics(metrics) => report.metrics = Some(metrics),
        ExtendedBlock::Other { .. } => return,
    }
    let mut out = Vec::new();
    rtcp::print_extended(&mut out, ssrc, &report);
    let mut read = ExtendedReport::default();
    if let Some(Packet::Extended { blocks, .. }) = rtcp::parse(&out).next() {
        for block in blocks {
            match block {
                ExtendedBlock::ReferenceTime(time) => read.reference_time = Some(time),
                ExtendedBlock::LastReferences(mut found) => read.last_reference = found.next(),
                ExtendedBlock::VoipMetrics(metrics) => read.metrics = Some(metrics),
                ExtendedBlock::Other { .. } => panic!("what we print is known"),
            }
        }
    }
    assert_eq!(read, report);
}
