//! Who is heard and how loud: the CSRC list (RFC 3550 §5.1), levels told to us (RFC 6464) and by us (RFC 6465).

use crate::support::{Bridge, Manner, Message, Options, Packet, Peer, Ports, Sound, sdp, tone};

#[test]
fn each_packet_names_who_is_heard_in_it_and_how_loud() {
    let bridge = Bridge::start(Options::default());
    let (_anna, anna) = join(&bridge, "", Says { ssrc: ANNA, hz: 440, level: None });
    let (_bert, _bert_talks) = join(&bridge, "", Says { ssrc: BERT, hz: 880, level: None });
    let wish = format!("a=extmap:5 {LEVELS}\r\n");
    let (_carl, carl) = join(&bridge, &wish, Says { ssrc: CARL, hz: 0, level: None });

    let heard_by_carl = until_named(&carl, &[ANNA, BERT]);
    let heard_by_anna = until_named(&anna, &[BERT]);

    // Two levels: one element with a head of one octet, in whole words.
    assert_eq!(heard_by_carl.extension, Some((0xBEDE, vec![0x51, LOUD, LOUD, 0])));
    assert_eq!(heard_by_anna.extension, None);
    let steady = |two: &[Packet]| {
        two[1].timestamp == two[0].timestamp.wrapping_add(160)
            && !two[1].marker
            && two[1].payload_type == 0
    };
    assert!(carl.receive(10).windows(2).all(steady));
    carl.expect(440);
    carl.expect(880);
}

#[test]
fn nobody_is_named_where_the_settings_say_so() {
    let config = "[media]\ncsrc = false\n".to_owned();
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let (_anna, _sound) = join(&bridge, "", Says { ssrc: ANNA, hz: 440, level: None });
    let wish = format!("a=extmap:5 {LEVELS}\r\n");
    let ((_carl, answer), carl) = join(&bridge, &wish, Says { ssrc: CARL, hz: 0, level: None });

    carl.expect(440);

    assert!(!answer.body().contains("extmap"), "{answer:?}");
    let packets = carl.receive(10);
    assert!(packets.iter().all(|p| p.sources.is_empty() && p.extension.is_none()));
}

#[test]
fn extensions_are_answered_with_their_ids_by_the_direction_that_is_ours() {
    let bridge = Bridge::start(Options::default());
    let wish = format!(
        "a=extmap-allow-mixed\r\na=extmap:1 urn:ietf:params:rtp-hdrext:toffset\r\n\
         a=extmap:3/sendonly {LEVEL} vad=on\r\na=extmap:200/sendrecv {LEVELS}\r\n"
    );

    let ((_carl, answer), sound) = join(&bridge, &wish, Says { ssrc: CARL, hz: 0, level: None });
    let (_anna, _sound) = join(&bridge, "", Says { ssrc: ANNA, hz: 440, level: None });

    let lines: Vec<&str> =
        answer.body().lines().filter(|line| line.starts_with("a=extmap")).collect();
    let expected =
        [format!("a=extmap:3/recvonly {LEVEL} vad=on"), format!("a=extmap:200/sendonly {LEVELS}")];
    assert_eq!(lines, expected);
    // An id above 14 takes a head of two octets.
    let packet = until_named(&sound, &[ANNA]);
    assert_eq!(packet.extension, Some((0x1000, vec![200, 1, LOUD, 0])));
}

/// One place in the mix: who says that others are louder is not mixed, but told to talk.
#[test]
fn what_a_phone_tells_of_its_level_is_believed_as_far_as_it_is_true() {
    let config = "[media]\ncontributors = 1\n".to_owned();
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let wish = format!("a=extmap:3 {LEVEL}\r\n");
    // Anna's packets say that they are silence.
    let (_anna, _sound) = join(&bridge, &wish, Says { ssrc: ANNA, hz: 440, level: Some(127) });
    let (_carl, carl) = join(&bridge, "", Says { ssrc: CARL, hz: 0, level: None });

    carl.expect(440);
    until_named(&carl, &[ANNA]);
    // Bert's that they are the loudest possible, and are silence.
    let (_bert, _sound) = join(&bridge, &wish, Says { ssrc: BERT, hz: 0, level: Some(0) });
    carl.receive(100);
    carl.expect(440);
    until_named(&carl, &[ANNA]);
}

/// What a peer sends; 0 Hz is silence.
struct Says {
    ssrc: u32,
    hz: u32,
    level: Option<u8>,
}

/// Calls with PCMU and these attributes; gives the answer.
fn join(bridge: &Bridge, attributes: &str, says: Says) -> ((Peer, Message), Sound) {
    let mut peer = Peer::udp(bridge.sip);
    let ports = Ports::bind([127, 0, 0, 1]);
    let (_, answer) = peer.call(&bridge.uri("standup"), "", &sdp(ports.address(), "0", attributes));
    let samples = if says.hz == 0 { vec![0; 8000] } else { tone(says.hz) };
    let extension =
        says.level.map_or_else(Vec::new, |level| vec![0xBE, 0xDE, 0, 1, 0x30, level, 0, 0]);
    let sound =
        ports.start_as(answer.media(), &samples, Manner { extension, ..Manner::of(says.ssrc) });
    ((peer, answer), sound)
}

/// Waits for a packet that names these, in any order.
fn until_named(sound: &Sound, sources: &[u32]) -> Packet {
    for _ in 0..20 {
        let last = sound.receive(10).pop().expect("ten came");
        let mut named = last.sources.clone();
        named.sort_unstable();
        if named == sources {
            return last;
        }
    }
    panic!("{sources:x?} are not named");
}

const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const LEVELS: &str = "urn:ietf:params:rtp-hdrext:csrc-audio-level";
const ANNA: u32 = 0x0a0a_0a0a;
const BERT: u32 = 0x0b0b_0b0b;
const CARL: u32 = 0x0c0c_0c0c;
/// Of [`tone`]: 16 dB below the peak of a full-scale sine.
const LOUD: u8 = 19;
