//! Copies of SIP messages for a collector: what a receiver of HEP3 reads of a call.

use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::time::Duration;

use crate::support::{Bridge, Options, Peer, idle_sdp};

/// A datagram of HEP3, its values by their types.
type Chunks = BTreeMap<u16, Vec<u8>>;

#[test]
fn a_collector_gets_every_message_of_a_call_without_its_secrets() {
    let collector = UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let config = format!(
        "[hep]\ncollector = \"{}\"\ncapture_id = 7\npassword = \"open\"\n",
        collector.local_addr().unwrap()
    );
    let bridge = Bridge::start(Options { config, ..Options::default() });

    for mut peer in [Peer::udp(bridge.sip), Peer::tcp(bridge.sip)] {
        let secret = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:MTIzNDU2Nzg5\r\n";
        let (mut dialog, _) = peer.call(&bridge.uri("standup"), "", &(idle_sdp() + secret));
        peer.hang_up(&mut dialog);

        let mut told = Vec::new();
        while told.last().is_none_or(|line: &String| line != "SIP/2.0 BYE") {
            let chunks = receive(&collector);
            let text = String::from_utf8(chunks[&15].clone()).unwrap();
            let sequence = text.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap();
            let method = sequence.split(' ').nth(1).unwrap();
            told.push(format!("{} {method}", text.split(' ').next().unwrap()));

            let is_sent = text.starts_with("SIP/2.0");
            let (from, to) =
                if is_sent { (bridge.sip, peer.local) } else { (peer.local, bridge.sip) };
            assert_eq!(chunks[&1], [2]);
            assert_eq!(chunks[&2], [if peer.transport() == "UDP" { 17 } else { 6 }]);
            assert_eq!(
                (&chunks[&3][..], &chunks[&4][..]),
                (&[127, 0, 0, 1][..], &[127, 0, 0, 1][..])
            );
            assert_eq!(chunks[&7], from.port().to_be_bytes());
            assert_eq!(chunks[&8], to.port().to_be_bytes());
            assert_eq!(chunks[&11], [1]);
            assert_eq!(chunks[&12], [0, 0, 0, 7]);
            assert_eq!(chunks[&14], b"open");
            assert_eq!(chunks[&17], dialog.call_id.as_bytes());
            assert!(!text.contains("MTIzNDU2Nzg5"), "{text}");
        }
        told.dedup();
        let expected = ["INVITE INVITE", "SIP/2.0 INVITE", "ACK ACK", "BYE BYE", "SIP/2.0 BYE"];
        assert_eq!(told, expected);
    }

    let metrics = bridge.try_request("GET", "/metrics", None).text;
    let count = |name: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("it is counted");
        line.trim().parse().unwrap()
    };
    assert!(count("plenary_hep_packets_total ") >= 12, "{metrics}");
    assert_eq!(count("plenary_hep_packets_lost_total "), 0);
}

/// Reads a datagram as the format says.
fn receive(collector: &UdpSocket) -> Chunks {
    let mut buffer = vec![0; 65_535];
    let length = collector.recv(&mut buffer).expect("a datagram comes");
    let number = |at: usize| u16::from_be_bytes([buffer[at], buffer[at + 1]]);
    assert_eq!(&buffer[..4], b"HEP3");
    assert_eq!(usize::from(number(4)), length);
    let (mut chunks, mut at) = (Chunks::new(), 6);
    while at < length {
        let end = at + usize::from(number(at + 4));
        assert_eq!(number(at), 0, "no vendor");
        chunks.insert(number(at + 2), buffer[at + 6..end].to_vec());
        at = end;
    }
    assert_eq!(at, length);
    chunks
}
