//! Messages with random damage: nothing panics, and everything is forgotten in the end.

use std::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::network::{Network, Weather, invited, sdp};
use super::script::{called, invite, peer, request, response, tag};
use crate::sip::endpoint::{Event, Packet};

#[test]
fn damaged_messages_do_no_harm() {
    for seed in 0..40 {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut net = Network::new(1, seed, Weather::FINE);
        for text in conversation(&mut net) {
            for _ in 0..30 {
                hear(&mut net, damage(&text, &mut random));
            }
        }

        net.run(Duration::from_secs(1));
        hang_up_everything(&mut net);
        net.run(Duration::from_mins(10));

        net.assert_empty();
    }
}

/// One message of each kind, those within a dialog in a dialog that is there.
fn conversation(net: &mut Network) -> Vec<String> {
    let ours = called(net, Some("offer"));
    hear(net, invite("1", "", "").into_bytes());
    let session = invited(&net.events[0]);
    net.act(0, |endpoint, now| endpoint.answer(now, session, sdp("offer")));
    let tag = tag(net);
    let refer_to = "Refer-To: <sip:c@192.0.2.9?Replaces=a%3Bto-tag%3Db>\r\nRequire: norefersub\r\n";
    let event = "Event: refer;id=1\r\nSubscription-State: active;expires=9\r\n";
    vec![
        invite("9", "Record-Route: <sip:192.0.2.100;lr>\r\n", ""),
        request("ACK", ("2", &tag, 1), "", "answer"),
        request("INFO", ("3", &tag, 2), "", "Signal=1"),
        request("UPDATE", ("4", &tag, 3), "", ""),
        request("INVITE", ("5", &tag, 4), "Content-Type: application/sdp\r\n", "offer"),
        request("REFER", ("6", &tag, 5), refer_to, ""),
        request("NOTIFY", ("7", &tag, 6), event, "SIP/2.0 200 OK"),
        request("OPTIONS", ("8", "", 1), "", ""),
        request("CANCEL", ("9", "", 1), "", ""),
        response(&ours, (183, "a"), &[], "early"),
        response(&ours, (302, "a"), &[("Contact", "<sip:x@192.0.2.100>;q=0.5")], ""),
        response(&ours, (200, "a"), &[], "answer"),
        request("BYE", ("10", &tag, 7), "Reason: SIP;cause=200\r\n", ""),
    ]
}

/// Changes, drops, repeats or inserts a few bytes.
fn damage(text: &str, random: &mut ChaCha12Rng) -> Vec<u8> {
    const SPECIAL: &[u8] = b"\r\n\t ;,:<>\"@=?0123456789z\0\xff";
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..random.next_u32() % 4 {
        let at = random.next_u32() as usize % bytes.len().max(1);
        let byte = SPECIAL[random.next_u32() as usize % SPECIAL.len()];
        match random.next_u32() % 4 {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

fn hear(net: &mut Network, bytes: Vec<u8>) {
    let (transport, local) = (crate::sip::transport::Transport::Udp, super::network::address(0));
    let packet = Packet { transport, peer: peer(), local, bytes: bytes.into() };
    net.act(0, |endpoint, now| endpoint.handle_packet(now, packet));
}

fn hang_up_everything(net: &mut Network) {
    let sessions: Vec<_> = std::mem::take(&mut net.events[0])
        .into_iter()
        .filter_map(
            |event| if let Event::Invited(call) = event { Some(call.session) } else { None },
        )
        .chain([crate::sip::endpoint::SessionId(1)])
        .collect();
    for session in sessions {
        net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));
    }
}
