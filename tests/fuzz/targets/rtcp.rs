//! Any RTCP datagram: no panic, and what we print of it reads the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mixer::rtcp::{self, Packet};

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
            Packet::Description { .. } | Packet::Bye { .. } | Packet::Other { .. } => {}
        }
    }
});
