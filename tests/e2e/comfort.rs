//! Comfort noise (RFC 3389) on the wire: agreed to, heard, and sent.

use crate::support::{Bridge, Manner, Message, Options, Peer, Ports, Sound, sdp, tone};

#[test]
fn noise_that_a_phone_describes_is_heard_at_its_level() {
    let bridge = Bridge::start(Options::default());
    let noise = Manner { noise: Some(40), ..Manner::of(1) };
    let (_anna, answer, _sound) = join(&bridge, "0 13", &tone(440), noise);
    assert!(answer.body().contains("RTP/AVP 0 13\r\n"), "{answer:?}");
    let (_bert, _, bert) = join(&bridge, "0", &[0; 8000], Manner::of(2));

    for _ in 0..10 {
        let level = bert.level(25);
        if (level + 40.0).abs() < 2.0 {
            return;
        }
    }
    panic!("{} dBov is heard", bert.level(25));
}

#[test]
fn a_silent_room_is_told_by_noise_only_where_that_is_agreed() {
    let bridge = Bridge::start(Options::default());
    let (_anna, _, anna) = join(&bridge, "0 13", &[0; 8000], Manner::of(1));
    let (_bert, _, bert) = join(&bridge, "0", &[0; 8000], Manner::of(2));

    bert.receive(100);
    let packets = anna.receive(4);
    let plain = bert.receive(10);

    let steps = packets.windows(2).map(|two| {
        assert_eq!(two[1].sequence, two[0].sequence.wrapping_add(1));
        two[1].timestamp.wrapping_sub(two[0].timestamp)
    });
    assert!(steps.eq([3200; 3]), "{packets:?}");
    assert!(packets.iter().all(|p| p.payload_type == 13 && p.payload == [127] && !p.marker));
    assert!(plain.iter().all(|p| p.payload_type == 0 && p.payload.len() == 160));

    let (_carl, _, _carl_talks) = join(&bridge, "0", &tone(440), Manner::of(3));
    let words = std::iter::repeat_with(|| anna.receive(1).remove(0));
    let first = words.take(20).find(|packet| packet.payload_type == 0);
    assert!(first.is_some_and(|packet| packet.marker), "a word begins with a marker");
    anna.expect(440);
}

#[test]
fn noise_is_refused_where_the_settings_say_so() {
    let config = "[media]\ncomfort_noise = false\n".to_owned();
    let bridge = Bridge::start(Options { config, ..Options::default() });

    let (_anna, answer, _sound) = join(&bridge, "0 13", &tone(440), Manner::of(1));

    assert!(answer.body().contains("RTP/AVP 0\r\n"), "{answer:?}");
}

fn join(bridge: &Bridge, formats: &str, samples: &[i16], manner: Manner) -> (Peer, Message, Sound) {
    let mut peer = Peer::udp(bridge.sip);
    let ports = Ports::bind([127, 0, 0, 1]);
    let (_, answer) = peer.call(&bridge.uri("standup"), "", &sdp(ports.address(), formats, ""));
    let sound = ports.start_as(answer.media(), samples, manner);
    (peer, answer, sound)
}
