//! Opus towards a phone that loses packets: what its reports change.

use mixer::codec::{Codec, Decoder, Format};

use crate::support::{Bridge, Options, Packet, Peer, Ports, Sound, buzz, sdp, tone};

#[test]
fn reported_loss_brings_fec_that_repairs_a_lost_packet() {
    let bridge = Bridge::start(Options::default());
    let _speaker = join(&bridge, "0", "");
    let (_listener, sound) = join(&bridge, "111 0", &format!("{OPUS};useinbandfec=1\r\n"));
    let clean = sound.receive(50);
    assert!(clean.iter().all(is_celt), "no speech coder on a clean path");

    sound.report_loss(&clean[49], 26);

    let packets = wait_for_speech_coder(&sound);
    let pairs: Vec<usize> =
        (10..packets.len() - 1).filter(|&index| carries_fec(&packets[index + 1])).collect();
    assert!(pairs.len() > 20, "{} of {} packets carry FEC", pairs.len(), packets.len());
    let mean = |next: Next| {
        let each = pairs.iter().map(|index| likeness(&packets, *index, next));
        each.sum::<f64>() / pairs.len() as f64
    };
    let (repaired, guessed) = (mean(Next::Used), mean(Next::Ignored));
    assert!(repaired > 0.9, "what is repaired is not what was lost: {repaired}");
    assert!(repaired > guessed + 0.05, "a guess does as well: {repaired}, {guessed}");
}

#[test]
fn who_does_not_want_fec_gets_none() {
    let bridge = Bridge::start(Options::default());
    let _speaker = join(&bridge, "0", "");
    let (_listener, sound) = join(&bridge, "111 0", &format!("{OPUS}\r\n"));
    let clean = sound.receive(25);

    sound.report_loss(&clean[24], 26);

    let packets = wait_for_speech_coder(&sound);
    assert!(!packets.iter().any(carries_fec));
}

/// Calls with these formats, speaking.
fn join(bridge: &Bridge, formats: &str, attributes: &str) -> (Peer, Sound) {
    let mut peer = Peer::udp(bridge.sip);
    let ports = Ports::bind([127, 0, 0, 1]);
    let offer = sdp(ports.address(), formats, attributes);
    let (_, answer) = peer.call(&bridge.uri("standup"), "", &offer);
    let first = formats.split(' ').next().unwrap();
    assert!(answer.body().contains(&format!("RTP/AVP {first}")), "{answer:?}");
    let samples = if first == "0" { buzz() } else { tone(440) };
    let sound = ports.start(answer.media(), &samples);
    (peer, sound)
}

/// Waits until no packet comes from the MDCT coder any more; gives two seconds of packets.
fn wait_for_speech_coder(sound: &Sound) -> Vec<Packet> {
    for _ in 0..40 {
        if sound.receive(10).iter().all(|packet| !is_celt(packet)) {
            let packets = sound.receive(100);
            assert!(packets.iter().all(|packet| !is_celt(packet)));
            assert!(
                packets.windows(2).all(|two| two[1].sequence == two[0].sequence.wrapping_add(1))
            );
            return packets;
        }
    }
    panic!("reports of loss change nothing");
}

/// Whether a lost packet is made up for from the next, or only from those before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    Used,
    Ignored,
}

/// How alike a packet is, decoded and made up for: the correlation of both.
fn likeness(packets: &[Packet], lost: usize, next: Next) -> f64 {
    let decoded = |last: &dyn Fn(&mut Decoder, &mut [i16])| {
        let format = Format::usual(Codec::Opus);
        let mut decoder = Decoder::new(format).unwrap();
        let mut pcm = vec![0; 5760];
        for packet in &packets[lost.saturating_sub(10)..lost] {
            decoder.decode(&packet.payload, &mut pcm).unwrap();
        }
        last(&mut decoder, &mut pcm[..960]);
        pcm[..960].iter().map(|sample| f64::from(*sample)).collect::<Vec<_>>()
    };
    let whole = decoded(&|decoder, pcm| {
        let mut room = vec![0; 5760];
        decoder.decode(&packets[lost].payload, &mut room).unwrap();
        pcm.copy_from_slice(&room[..960]);
    });
    let made_up = decoded(&|decoder, pcm| {
        let next = Some(&*packets[lost + 1].payload).filter(|_| next == Next::Used);
        assert!(decoder.recover(next, pcm) || decoder.conceal(pcm));
    });
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let norm = (product(&whole, &whole) * product(&made_up, &made_up)).sqrt();
    if norm == 0.0 { 0.0 } else { product(&whole, &made_up) / norm }
}

/// RFC 6716 §3.1: configurations 16 to 31.
fn is_celt(packet: &Packet) -> bool {
    packet.payload[0] >> 3 >= 16
}

/// RFC 6716 §4.2.3: in a frame of 20 ms of the speech coder the second bit says that a copy of the last one follows.
fn carries_fec(packet: &Packet) -> bool {
    packet.payload[0].is_multiple_of(4) && packet.payload[1] & 0x40 != 0
}

const OPUS: &str = "a=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10";
