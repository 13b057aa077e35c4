//! RFC 3264 by tables, and by two of us talking to each other.

use std::time::Duration;

use mixer::codec::{Codec, OpusOptions};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::*;
use crate::sdp::crypto::KeySeed;

const PCMU: Format = Format::usual(Codec::Pcmu);
const PCMA: Format = Format::usual(Codec::Pcma);
const G722: Format = Format::usual(Codec::G722);
const OPUS: Format = Format::usual(Codec::Opus);
const L16: Format = Format::usual(Codec::L16);
const CD: Format = Format { codec: Codec::L16, clock_rate: 44_100, channels: 2 };
const ALL: [Format; 6] = [OPUS, G722, PCMA, PCMU, L16, CD];

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";

#[test]
fn the_offer_names_everything_we_speak() {
    let mut ours = negotiation(&[OPUS, PCMU, L16]);

    let offer = text(&ours.offer(Direction::SendRecv));

    assert_eq!(
        offer,
        "v=0\r\no=- 7 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
        m=audio 20000 RTP/AVP 111 0 96 110 101 97\r\n\
        a=rtpmap:111 opus/48000/2\r\na=fmtp:111 useinbandfec=1\r\n\
        a=rtpmap:0 PCMU/8000\r\na=rtpmap:96 L16/16000\r\n\
        a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\n\
        a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
        a=rtpmap:97 telephone-event/16000\r\na=fmtp:97 0-15\r\n\
        a=ptime:20\r\na=maxptime:60\r\na=rtcp-mux\r\n\
        a=extmap:1/recvonly urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n\
        a=extmap:2/sendonly urn:ietf:params:rtp-hdrext:csrc-audio-level\r\na=sendrecv\r\n"
    );
}

#[test]
fn the_answer_keeps_their_order_and_their_numbers() {
    let offer = audio(
        "RTP/AVP 98 8 3 96 0 100 13 102",
        "a=rtpmap:98 G722/8000\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:100 telephone-event/8000\r\n\
        a=fmtp:100 0-16\r\na=rtpmap:102 telephone-event/48000\r\n",
    );

    let (answer, plan) =
        negotiation(&[PCMU, OPUS, G722]).answer(&offer, Direction::SendRecv).unwrap();

    assert!(text(&answer).contains("m=audio 20000 RTP/AVP 98 96 0 100 13 102\r\n"));
    assert_eq!(plan.receive, [(98, G722), (96, OPUS), (0, PCMU)]);
    assert_eq!((plan.send.0, plan.send.1.format), (98, G722));
    assert_eq!(plan.receive_events, [(100, 8_000), (102, 48_000)]);
    assert_eq!(plan.send_events, Some((100, 8_000)));
    assert_eq!((plan.receive_noise, plan.send_noise), (vec![13], Some(13)));
}

#[test]
fn comfort_noise_is_agreed_to_and_not_offered() {
    let offer = audio("RTP/AVP 0 13 96", "a=rtpmap:96 CN/16000\r\na=rtpmap:13 CN/8000\r\n");
    let lists = |numbers: &str, description: &[u8]| {
        text(description).contains(&format!("m=audio 20000 RTP/AVP {numbers}\r\n"))
    };
    let mut with = negotiation(&[PCMU, L16]);
    let mut without = Negotiation::new(Local { comfort_noise: false, ..local(&[PCMU, L16]) });
    assert!(lists("0 96 101 97", &with.offer(Direction::SendRecv)));

    let (answer, plan) = with.answer(&offer, Direction::SendRecv).unwrap();
    let (refusal, none) = without.answer(&offer, Direction::SendRecv).unwrap();

    assert!(lists("0 13 96", &answer) && text(&answer).contains("a=rtpmap:96 CN/16000\r\n"));
    assert_eq!((plan.receive_noise, plan.send_noise), (vec![13, 96], Some(13)));
    assert!(lists("0", &refusal));
    assert_eq!((none.receive_noise, none.send_noise), (vec![], None));
    // Once agreed it stays, with its numbers.
    let again = text(&with.offer(Direction::SendRecv));
    assert!(again.contains("a=rtpmap:13 CN/8000\r\na=rtpmap:96 CN/16000\r\n"), "{again}");
}

#[test]
fn events_are_sent_at_the_clock_of_the_codec_where_they_have_one() {
    let both = "a=rtpmap:96 opus/48000/2\r\na=rtpmap:100 telephone-event/8000\r\na=rtpmap:102 telephone-event/48000\r\n";
    let cases = [
        ("RTP/AVP 96 100 102", Some((102, 48_000))),
        ("RTP/AVP 96 100", Some((100, 8_000))),
        ("RTP/AVP 96", None),
    ];
    for (formats, expected) in cases {
        let (_, plan) =
            negotiation(&ALL).answer(&audio(formats, both), Direction::SendRecv).unwrap();

        assert_eq!(plan.send_events, expected, "{formats}");
    }
}

#[test]
fn fixed_and_dynamic_numbers_mean_the_right_codec() {
    let cases = [
        ("0", "", Some(PCMU)),
        ("8", "", Some(PCMA)),
        ("9", "", Some(G722)),
        ("9", "a=rtpmap:9 G722/16000\r\n", Some(G722)),
        ("10", "", Some(CD)),
        ("97", "a=rtpmap:97 l16/16000\r\n", Some(L16)),
        ("97", "a=rtpmap:97 L16/16000/2\r\n", None),
        ("97", "a=rtpmap:97 OPUS/48000\r\n", Some(OPUS)),
        ("97", "a=rtpmap:97 opus/48000 2\r\n", Some(OPUS)),
        ("97", "a=rtpmap:97 opus/16000/2\r\n", None),
        ("97", "a=rtpmap:97 PCMU/8000/1\r\n", Some(PCMU)),
        ("97", "a=rtpmap:97 PCMU/16000\r\n", None),
        ("0", "a=rtpmap:0 PCMA/8000\r\n", Some(PCMA)),
        ("97", "", None),
        ("200", "a=rtpmap:200 PCMU/8000\r\n", None),
        ("3", "", None),
    ];
    for (number, attributes, expected) in cases {
        let offer = audio(&format!("RTP/AVP {number}"), attributes);

        let answered = negotiation(&ALL).answer(&offer, Direction::SendRecv);

        let format = answered.map(|(_, plan)| plan.send.1.format);
        assert_eq!(format, expected.ok_or(Refusal::NoCommonCodec), "{number} {attributes}");
    }
}

#[test]
fn directions_are_answered_as_the_rfc_says() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let cases = [
        ("a=sendrecv", SendRecv, SendRecv, false),
        ("", SendRecv, SendRecv, false),
        ("a=sendonly", SendRecv, RecvOnly, true),
        ("a=recvonly", SendRecv, SendOnly, false),
        ("a=inactive", SendRecv, Inactive, true),
        ("c=IN IP4 0.0.0.0", SendRecv, RecvOnly, true),
        ("c=IN IP6 ::", SendRecv, RecvOnly, true),
        ("c=IN IP4 0.0.0.0\r\na=recvonly", SendRecv, Inactive, true),
        ("a=sendrecv", SendOnly, SendOnly, false),
        ("a=sendonly", SendOnly, Inactive, true),
        ("a=recvonly", SendOnly, SendOnly, false),
        ("a=sendrecv", Inactive, Inactive, false),
    ];
    for (theirs, wanted, expected, holds) in cases {
        let offer = audio("RTP/AVP 0", &format!("{theirs}\r\n"));

        let (answer, plan) = negotiation(&ALL).answer(&offer, wanted).unwrap();

        assert_eq!((plan.direction, plan.remote_holds), (expected, holds), "{theirs} {wanted}");
        assert!(text(&answer).ends_with(&format!("a={expected}\r\n")), "{theirs} {wanted}");
    }
}

#[test]
fn their_answer_tells_whether_they_hold_us_unless_we_did_not_ask() {
    use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
    let cases = [
        (SendRecv, "sendrecv", SendRecv, false),
        (SendRecv, "sendonly", RecvOnly, true),
        (SendRecv, "inactive", Inactive, true),
        (SendOnly, "recvonly", SendOnly, false),
        (SendOnly, "sendrecv", SendOnly, false),
        (SendOnly, "inactive", Inactive, true),
        (Inactive, "inactive", Inactive, false),
        (RecvOnly, "sendonly", RecvOnly, false),
    ];
    for (offered, answered, expected, holds) in cases {
        let mut ours = negotiation(&ALL);
        ours.offer(offered);

        let plan = ours.conclude(&audio("RTP/AVP 0", &format!("a={answered}\r\n"))).unwrap();

        assert_eq!((plan.direction, plan.remote_holds), (expected, holds), "{offered} {answered}");
    }
}

#[test]
fn other_streams_are_refused_in_their_places_and_stay_so() {
    let offer = format!(
        "{HEAD}m=video 5000 RTP/SAVPF 96 97\r\na=mid:v\r\nm=audio 4000 RTP/AVPF 0\r\na=mid:a\r\n\
        a=rtcp-fb:* nack\r\nm=image 6000 udptl t38\r\nm=audio 7000 RTP/AVP 8\r\n"
    );
    let refused = [
        "m=video 0 RTP/SAVPF 96 97",
        "m=audio 20000 RTP/AVPF 0",
        "m=image 0 udptl t38",
        "m=audio 0 RTP/AVP 8",
    ];
    let mut ours = negotiation(&[PCMU, PCMA]);

    let (answer, _) = ours.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
    let later = ours.offer(Direction::SendRecv);

    assert_eq!(media_lines(&answer), refused);
    assert!(!text(&answer).contains("rtcp-fb") && text(&answer).contains("a=mid:a\r\n"));
    let mut expected = refused;
    expected[1] = "m=audio 20000 RTP/AVPF 0 8 101";
    assert_eq!(media_lines(&later), expected);
}

#[test]
fn the_audio_stream_in_use_stays_in_use() {
    let second = format!("{HEAD}m=audio 4000 RTP/SAVP 0\r\nm=audio 4002 RTP/AVP 0\r\n");
    let both = second.replace("SAVP", "AVP");
    let gone = both.replace("m=audio 4002", "m=audio 0");
    let mut ours = negotiation(&ALL);

    let ports = [second, both, gone].map(|offer| {
        let (_, plan) = ours.answer(offer.as_bytes(), Direction::SendRecv).unwrap();
        plan.remote.port()
    });

    assert_eq!(ports, [4002, 4002, 4000]);
}

#[test]
fn what_cannot_be_agreed_is_refused_and_changes_nothing() {
    let malformed = crate::sdp::ParseError::NoVersion;
    let unusable = |address: &str| Refusal::Address(address.to_owned(), "IPv4");
    let without_connection = "v=0\r\nm=audio 4000 RTP/AVP 0\r\n".as_bytes().to_vec();
    let cases = [
        (b"hello".to_vec(), Refusal::Malformed(malformed), 400),
        (without_connection, Refusal::NoConnection, 400),
        (HEAD.as_bytes().to_vec(), Refusal::NoAudio, 488),
        (audio("RTP/AVP 18", ""), Refusal::NoCommonCodec, 488),
        (
            audio("RTP/AVP 101", "a=rtpmap:101 telephone-event/8000\r\n"),
            Refusal::NoCommonCodec,
            488,
        ),
        (
            audio("RTP/SAVP 0", ""),
            Refusal::Protocol("RTP/SAVP".to_owned(), "RTP/AVP or RTP/AVPF"),
            488,
        ),
        (audio("RTP/AVP 0", "c=IN IP4 pbx.example\r\n"), unusable("pbx.example"), 488),
        (audio("RTP/AVP 0", "c=IN IP4 224.2.1.1/127\r\n"), unusable("224.2.1.1"), 488),
        (audio("RTP/AVP 0", "c=IN IP6 2001:db8::1\r\n"), unusable("2001:db8::1"), 488),
    ];
    let mut ours = negotiation(&ALL);
    let (before, plan) = ours.answer(&audio("RTP/AVP 0", ""), Direction::SendRecv).unwrap();
    for (offer, expected, status) in cases {
        let refusal = ours.answer(&offer, Direction::SendRecv).unwrap_err();

        assert_eq!(refusal.status(), status, "{refusal}");
        assert_eq!(refusal, expected);
        assert_eq!(ours.plan(), Some(&plan));
    }
    let (after, _) = ours.answer(&audio("RTP/AVP 0", ""), Direction::SendRecv).unwrap();
    assert_eq!(before, after);
}

#[test]
fn the_version_rises_by_one_and_only_on_change() {
    let mut ours = negotiation(&[PCMU, PCMA]);
    let offer = audio("RTP/AVP 0", "");
    let hold = audio("RTP/AVP 0", "a=sendonly\r\n");

    let versions = [&offer, &offer, &hold, &hold, &offer].map(|offer| {
        let (answer, _) = ours.answer(offer, Direction::SendRecv).unwrap();
        version(&answer)
    });
    let offers = [Direction::SendRecv, Direction::SendRecv, Direction::SendOnly]
        .map(|direction| version(&ours.offer(direction)));

    assert_eq!(versions, [1, 1, 2, 2, 3]);
    assert_eq!(offers, [4, 4, 5]);
}

#[test]
fn a_refused_offer_leaves_the_old_session() {
    let mut ours = negotiation(&[PCMU]);
    let (_, plan) = ours.answer(&audio("RTP/AVP 0", ""), Direction::SendRecv).unwrap();

    ours.offer(Direction::SendOnly);
    assert_eq!(ours.plan(), Some(&plan), "until it is answered");
    ours.conclude(&audio("RTP/AVP 0", "a=recvonly\r\n")).unwrap();
    ours.abandon();

    assert_eq!(ours.plan(), Some(&plan));
    assert_eq!(ours.conclude(&audio("RTP/AVP 0", "")), Err(Refusal::NotOffered));
}

#[test]
fn what_we_answered_may_be_answered_when_it_is_said_again() {
    let mut ours = negotiation(&[OPUS, PCMU]);
    let (_, plan) = ours.answer(&audio("RTP/AVP 0", ""), Direction::SendRecv).unwrap();

    let same = ours.conclude(&audio("RTP/AVP 0", "")).unwrap();
    let moved = text(&audio("RTP/AVP 0", "")).replace("4000", "4002");
    let moved = ours.conclude(moved.as_bytes()).unwrap();

    assert_eq!(same, plan);
    assert_eq!((moved.remote.port(), moved.receive), (4002, plan.receive));
}

#[test]
fn an_answer_may_refuse_renumber_and_come_twice() {
    let mut ours = negotiation(&[OPUS, PCMU]);
    ours.offer(Direction::SendRecv);

    let port_zero = text(&audio("RTP/AVP 0", "")).replace("4000", "0");
    assert_eq!(ours.conclude(port_zero.as_bytes()), Err(Refusal::NoAudio));
    assert_eq!(ours.conclude(&audio("RTP/AVP 8", "")), Err(Refusal::NoCommonCodec));
    let early = ours.conclude(&audio("RTP/AVP 0", "")).unwrap();
    let last = ours.conclude(&audio("RTP/AVP 96", "a=rtpmap:96 opus/48000/2\r\n")).unwrap();

    assert_eq!(early.receive, [(0, PCMU)]);
    assert_eq!((last.send.0, last.send.1.format), (96, OPUS));
    assert_eq!(last.receive, [(111, OPUS), (96, OPUS)], "by our number, and by theirs to be safe");
}

#[test]
fn numbers_keep_their_meaning_in_later_offers() {
    let mut ours = negotiation(&[PCMU, OPUS]);
    let theirs = audio(
        "RTP/AVP 96 101",
        "a=rtpmap:96 telephone-event/48000\r\na=rtpmap:101 opus/48000/2\r\n",
    );
    ours.answer(&theirs, Direction::SendRecv).unwrap();

    let offer = ours.offer(Direction::SendRecv);

    assert_eq!(media_lines(&offer), ["m=audio 20000 RTP/AVP 101 0 96 97"]);
    assert!(text(&offer).contains("a=rtpmap:97 telephone-event/8000\r\n"));
}

#[test]
fn the_packet_time_is_theirs_within_what_the_codec_can() {
    let cases = [
        (PCMU, "", 20),
        (PCMU, "a=ptime:10", 10),
        (PCMU, "a=ptime:30", 30),
        (PCMU, "a=ptime:25", 20),
        (PCMU, "a=ptime:5", 10),
        (PCMU, "a=ptime:120", 60),
        (PCMU, "a=ptime:nonsense", 20),
        (PCMU, "a=ptime:60\r\na=maxptime:40", 40),
        (PCMU, "a=maxptime:10", 10),
        (OPUS, "a=ptime:30", 20),
        (OPUS, "a=ptime:50", 40),
        (OPUS, "a=ptime:60", 60),
        (L16, "a=ptime:60", 30),
        (CD, "a=ptime:20", 10),
    ];
    for (format, attributes, expected) in cases {
        let rtpmap = format!("a=rtpmap:97 {}\r\n{attributes}\r\n", Coding::Audio(format).rtpmap());

        let (answer, plan) =
            negotiation(&ALL).answer(&audio("RTP/AVP 97", &rtpmap), Direction::SendRecv).unwrap();

        assert_eq!(plan.send.1.ptime, Duration::from_millis(expected), "{format} {attributes}");
        assert!(text(&answer).contains(&format!("a=ptime:{expected}\r\n")));
    }
}

#[test]
fn opus_parameters_bound_the_encoder() {
    let ours = OpusOptions { bitrate: 32_000, ..opus() };
    let cases = [
        ("minptime=10", OpusOptions { fec: false, ..ours }),
        (
            "maxplaybackrate=16000; maxaveragebitrate=20000;useinbandfec=1",
            OpusOptions { max_playback_rate: 16_000, bitrate: 20_000, ..ours },
        ),
        (
            "maxaveragebitrate=1;maxplaybackrate=1;useinbandfec=1",
            OpusOptions { max_playback_rate: 8_000, bitrate: 6_000, ..ours },
        ),
        (
            "maxaveragebitrate=510000;stereo=1;sprop-stereo=1;usedtx=1;cbr=1;useinbandfec=0",
            OpusOptions { fec: false, dtx: true, cbr: true, ..ours },
        ),
    ];
    for (fmtp, expected) in cases {
        let offer =
            audio("RTP/AVP 97", &format!("a=rtpmap:97 opus/48000/2\r\na=fmtp:97 {fmtp}\r\n"));
        let local = Local { opus: ours, ..local(&ALL) };

        let (_, plan) = Negotiation::new(local).answer(&offer, Direction::SendRecv).unwrap();

        assert_eq!(plan.send.1.opus, expected, "{fmtp}");
    }
}

#[test]
fn what_we_ask_of_opus_is_written() {
    let opus = OpusOptions { max_playback_rate: 16_000, dtx: true, cbr: true, ..opus() };

    let offer = Negotiation::new(Local { opus, ..local(&[OPUS]) }).offer(Direction::SendRecv);

    assert!(
        text(&offer).contains("a=fmtp:111 maxplaybackrate=16000;useinbandfec=1;usedtx=1;cbr=1\r\n")
    );
}

#[test]
fn rtcp_goes_where_they_say() {
    let cases = [
        ("", Some("192.0.2.1:4001")),
        ("a=rtcp:5005", Some("192.0.2.1:5005")),
        ("a=rtcp:5005 IN IP4 192.0.2.2", Some("192.0.2.2:5005")),
        ("a=rtcp:5005 IN IP4 elsewhere.example", Some("192.0.2.1:5005")),
        ("a=rtcp:5005\r\na=rtcp-mux", None),
    ];
    for (attributes, expected) in cases {
        let offer = audio("RTP/AVP 0", &format!("{attributes}\r\n"));

        let (answer, plan) = negotiation(&ALL).answer(&offer, Direction::SendRecv).unwrap();

        assert_eq!(
            plan.remote_rtcp,
            expected.map(|address| address.parse().unwrap()),
            "{attributes}"
        );
        assert_eq!(text(&answer).contains("a=rtcp-mux\r\n"), expected.is_none(), "{attributes}");
    }
}

#[test]
fn ipv6_sessions_are_written_as_such() {
    let offer = text(&audio("RTP/AVP 0", "")).replace("IP4 192.0.2.1", "IP6 2001:db8::1");
    let mut ours =
        Negotiation::new(Local { address: "2001:db8::2".parse().unwrap(), ..local(&ALL) });

    let (answer, plan) = ours.answer(offer.as_bytes(), Direction::SendRecv).unwrap();

    assert_eq!(plan.remote, "[2001:db8::1]:4000".parse().unwrap());
    assert!(
        text(&answer).contains("o=- 7 1 IN IP6 2001:db8::2\r\ns=-\r\nc=IN IP6 2001:db8::2\r\n")
    );
}

#[test]
fn times_and_bundles_are_answered_in_kind() {
    let offer = text(&audio("RTP/AVP 0", "a=mid:0\r\n")).replace(
        "t=0 0\r\n",
        "t=2873397496 2873404696\r\na=group:LS 0 1\r\na=group:BUNDLE 0 1\r\n",
    );

    let (answer, _) = negotiation(&ALL).answer(offer.as_bytes(), Direction::SendRecv).unwrap();

    assert!(text(&answer).contains("t=2873397496 2873404696\r\na=group:BUNDLE 0\r\nm="));
}

#[test]
fn an_unrelated_parser_reads_our_offer() {
    let mut ours = negotiation(&ALL);

    let offer = text(&ours.offer(Direction::SendRecv));

    let read = sdp_rs::SessionDescription::try_from(offer.as_str()).unwrap();
    let media = &read.media_descriptions[0];
    assert_eq!(
        (media.media.port, media.media.fmt.as_str()),
        (20_000, "111 9 8 0 96 10 110 101 97 98")
    );
    let name = |attribute: &sdp_rs::lines::Attribute| {
        let sdp_rs::lines::Attribute::Rtpmap(map) = attribute else { return None };
        Some(format!("{} {}", map.payload_type, map.encoding_name))
    };
    let maps: Vec<String> = media.attributes.iter().filter_map(name).collect();
    assert_eq!(maps[..6], ["111 opus", "9 G722", "8 PCMA", "0 PCMU", "96 L16", "10 L16"]);
}

proptest! {
    #[test]
    fn an_answer_has_as_many_streams_as_the_offer(
        lines in prop::collection::vec(
            "m=(audio|video|image) (0|4000|6000/2) (RTP/AVP|RTP/AVPF|RTP/SAVP|udptl) [0-9]{1,3}( [0-9]{1,3}){0,3}\
            |a=rtpmap:(96|97|101) (opus/48000/2|L16/16000|telephone-event/8000|x)|a=fmtp:96 [a-z0-9=;]{0,20}\
            |a=(sendonly|inactive|rtcp-mux|mid:1|group:BUNDLE 1 2|ptime:[0-9.]{1,4}|rtcp:[0-9]{1,5})|c=IN IP4 (192.0.2.1|0.0.0.0|x)|t=[0-9 ]{0,9}",
            0..12,
        ),
        again in any::<bool>(),
    ) {
        let offer: String = HEAD.to_owned() + &lines.join("\r\n") + "\r\n";
        let mut ours = negotiation(&ALL);
        if again {
            ours.answer(&audio("RTP/AVP 0", ""), Direction::SendRecv).unwrap();
        }

        if let Ok((answer, plan)) = ours.answer(offer.as_bytes(), Direction::SendRecv) {
            let (offer, answer) = (Session::parse(offer.as_bytes()).unwrap(), Session::parse(&answer).unwrap());
            prop_assert_eq!(offer.media().len(), answer.media().len());
            for (offered, answered) in offer.media().iter().zip(answer.media()) {
                prop_assert_eq!(offered.kind(), answered.kind());
                prop_assert_eq!(offered.protocol(), answered.protocol());
                prop_assert!(offered.port() != 0 || answered.port() == 0);
            }
            prop_assert_eq!(answer.media().iter().filter(|media| media.port() != 0).count(), 1);
            prop_assert!(plan.receive.contains(&(plan.send.0, plan.send.1.format)));
        }
    }

    #[test]
    fn two_of_us_agree_on_the_same_stream(
        callers in subsequence(&ALL, 1..=6).prop_shuffle(),
        called in subsequence(&ALL, 1..=6).prop_shuffle(),
        directions in prop::collection::vec((direction(), direction(), any::<bool>()), 1..5),
    ) {
        let mut pair = [negotiation(&callers), negotiation(&called)];
        for (offered, wanted, swap) in directions {
            if swap {
                pair.reverse();
            }
            let [caller, callee] = &mut pair;
            let offer = caller.offer(offered);
            match callee.answer(&offer, wanted) {
                Err(refusal) => prop_assert_eq!(refusal, Refusal::NoCommonCodec),
                Ok((answer, theirs)) => {
                    let ours = caller.conclude(&answer).unwrap();

                    prop_assert_eq!(ours.direction, theirs.direction.reversed());
                    prop_assert!(theirs.receive.contains(&(ours.send.0, ours.send.1.format)));
                    prop_assert!(ours.receive.contains(&(theirs.send.0, theirs.send.1.format)));
                    prop_assert_eq!(ours.send_events, theirs.send_events);
                }
            }
        }
    }
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ])
}

fn opus() -> OpusOptions {
    OpusOptions { bitrate: 32_000, fec: true, ..OpusOptions::USUAL }
}

pub(super) fn local(codecs: &[Format]) -> Local {
    Local {
        session_id: 7,
        address: "198.51.100.1".parse().unwrap(),
        rtp_port: 20_000,
        codecs: codecs.to_vec(),
        ptime: Duration::from_millis(20),
        opus: opus(),
        csrc: true,
        comfort_noise: true,
        srtp: SrtpPolicy::Off,
        dtls: None,
        key_seed: KeySeed([7; 32]),
    }
}

fn negotiation(codecs: &[Format]) -> Negotiation {
    Negotiation::new(local(codecs))
}

/// One audio stream on port 4000.
fn audio(protocol_and_formats: &str, attributes: &str) -> Vec<u8> {
    format!("{HEAD}m=audio 4000 {protocol_and_formats}\r\n{attributes}").into_bytes()
}

fn text(description: &[u8]) -> String {
    String::from_utf8(description.to_vec()).unwrap()
}

fn media_lines(description: &[u8]) -> Vec<String> {
    text(description).lines().filter(|line| line.starts_with("m=")).map(str::to_owned).collect()
}

fn version(description: &[u8]) -> u64 {
    Session::parse(description).unwrap().origin().unwrap().version
}

const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
const LEVELS: &str = "urn:ietf:params:rtp-hdrext:csrc-audio-level";

#[test]
fn header_extensions_are_answered_with_their_ids_as_far_as_we_speak_them() {
    let offer = audio(
        "RTP/AVP 0",
        &format!(
            "a=extmap-allow-mixed\r\na=extmap:3 urn:ietf:params:rtp-hdrext:toffset\r\n\
            a=extmap:7/sendonly {LEVEL} vad=on\r\na=extmap:20 {LEVELS}\r\na=extmap:9 {LEVEL}\r\n"
        ),
    );
    for csrc in [true, false] {
        let (answer, plan) = Negotiation::new(Local { csrc, ..local(&ALL) })
            .answer(&offer, Direction::SendRecv)
            .unwrap();

        assert_eq!((plan.level_id, plan.levels_id), (Some(7), csrc.then_some(20)));
        let answer = text(&answer);
        let found: Vec<&str> =
            answer.lines().filter_map(|line| line.strip_prefix("a=extmap")).collect();
        let both = [format!(":7/recvonly {LEVEL} vad=on"), format!(":20/sendonly {LEVELS}")];
        assert_eq!(found, both[..=usize::from(csrc)]);
    }
}

#[test]
fn header_extensions_keep_their_ids_in_our_offers() {
    let mut ours = negotiation(&[PCMU]);
    let offer = audio("RTP/AVP 0", &format!("a=extmap:1 {LEVELS}\r\n"));
    ours.answer(&offer, Direction::SendRecv).unwrap();

    let offer = text(&ours.offer(Direction::SendRecv));

    assert!(offer.contains(&format!("a=extmap:2/recvonly {LEVEL}\r\n")), "{offer}");
    assert!(offer.contains(&format!("a=extmap:1/sendonly {LEVELS}\r\n")), "{offer}");
    // What is not answered, or with another id, is not agreed.
    let answer =
        audio("RTP/AVP 0", &format!("a=extmap:2/sendonly {LEVEL}\r\na=extmap:3 {LEVELS}\r\n"));
    let plan = ours.conclude(&answer).unwrap();
    assert_eq!((plan.level_id, plan.levels_id), (Some(2), None));
}

#[test]
fn header_extensions_of_the_session_count_for_the_stream() {
    let offer = format!("{HEAD}a=extmap:4 {LEVEL}\r\nm=audio 4000 RTP/AVP 0\r\n");

    let (_, plan) = negotiation(&ALL).answer(offer.as_bytes(), Direction::SendRecv).unwrap();

    assert_eq!(plan.level_id, Some(4));
}

#[test]
fn an_offer_with_keys_is_opportunistic_or_secure_as_the_policy_says() {
    for (policy, protocol, lines) in [
        (SrtpPolicy::Off, "RTP/AVP", 0),
        (SrtpPolicy::Accept, "RTP/AVP", 0),
        (SrtpPolicy::Offer, "RTP/AVP", 2),
        (SrtpPolicy::Require, "RTP/SAVP", 2),
    ] {
        let offer = secured(policy, 1).offer(Direction::SendRecv);

        assert!(text(&offer).contains(&format!("m=audio 20000 {protocol} ")), "{policy:?}");
        assert_eq!(crypto_lines(&offer).len(), lines, "{policy:?}");
    }
}

#[test]
fn what_is_encrypted_depends_on_both() {
    use SrtpPolicy::{Accept, Off, Offer, Require};
    let (safe, clear, refused) = (Ok(true), Ok(false), Err(488));
    let crypto = format!("a=crypto:4 {SUITE} inline:{KEY}\r\n");
    let unknown = "a=crypto:1 NEW_SUITE inline:abc\r\n".to_owned();
    let second = format!("{unknown}{crypto}");
    for (protocol, lines, off, offer, require) in [
        ("RTP/AVP", "", clear, clear, refused),
        ("RTP/AVP", &*crypto, clear, safe, safe),
        ("RTP/AVPF", &*crypto, clear, safe, safe),
        ("RTP/AVP", &*unknown, clear, clear, refused),
        ("RTP/SAVP", &*crypto, refused, safe, safe),
        ("RTP/SAVPF", &*second, refused, safe, safe),
        ("RTP/SAVP", &*unknown, refused, refused, refused),
        ("RTP/SAVP", "", refused, refused, refused),
        ("UDP/TLS/RTP/SAVPF", &*crypto, refused, refused, refused),
    ] {
        let description = audio(&format!("{protocol} 0"), lines);
        for (policy, expected) in [(Off, off), (Accept, offer), (Offer, offer), (Require, require)]
        {
            let answered = secured(policy, 1).answer(&description, Direction::SendRecv);

            let outcome = match &answered {
                Ok((answer, plan)) => {
                    let lines = crypto_lines(answer);
                    assert_eq!(lines.len(), usize::from(plan.srtp.is_some()));
                    assert!(lines.iter().all(|line| line.starts_with(&format!("4 {SUITE} "))));
                    Ok(plan.srtp.is_some())
                }
                Err(refusal) => Err(refusal.status()),
            };
            assert_eq!(outcome, expected, "{policy:?} {protocol} {lines}");
        }
    }
}

#[test]
fn an_answer_must_take_one_of_our_lines() {
    use SrtpPolicy::{Offer, Require};
    let gcm = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789Ag==";
    for (policy, protocol, line, is_secure) in [
        (Offer, "RTP/AVP", format!("2 {SUITE} inline:{KEY}"), Some(true)),
        (Offer, "RTP/AVP", format!("1 AEAD_AES_128_GCM inline:{gcm}"), Some(true)),
        (Offer, "RTP/AVP", format!("1 {SUITE} inline:{KEY}"), None),
        (Offer, "RTP/AVP", "2 NEW_SUITE inline:abc".to_owned(), None),
        (Offer, "RTP/AVP", String::new(), Some(false)),
        (Require, "RTP/SAVP", format!("2 {SUITE} inline:{KEY}"), Some(true)),
        (Require, "RTP/SAVP", String::new(), None),
        (Require, "RTP/AVP", String::new(), None),
    ] {
        let mut ours = secured(policy, 1);
        let offer = ours.offer(Direction::SendRecv);
        let line = if line.is_empty() { line } else { format!("a=crypto:{line}\r\n") };

        let plan = ours.conclude(&audio(&format!("{protocol} 0"), &line));

        let keys = plan.ok().map(|plan| plan.srtp);
        assert_eq!(keys.as_ref().map(Option::is_some), is_secure, "{policy:?} {line}");
        if let Some(Some(keys)) = keys {
            let sent = Crypto { tag: line[9..10].parse().unwrap(), key: keys.send }.to_string();
            assert!(crypto_lines(&offer).contains(&sent));
            assert!(line.contains(&Crypto { tag: 1, key: keys.receive }.to_string()[2..]));
        }
    }
}

#[test]
fn keys_stay_until_theirs_are_new() {
    let offer = |key: &str| audio("RTP/SAVP 0", &format!("a=crypto:1 {SUITE} inline:{key}\r\n"));
    let mut ours = secured(SrtpPolicy::Offer, 1);
    let (_, first) = ours.answer(&offer(KEY), Direction::SendRecv).unwrap();

    let (_, again) = ours.answer(&offer(KEY), Direction::SendOnly).unwrap();
    let reoffer = ours.offer(Direction::SendRecv);
    ours.abandon();
    let (_, renewed) = ours.answer(&offer(&KEY.replace('d', "e")), Direction::SendRecv).unwrap();

    assert_eq!(again.srtp, first.srtp);
    let kept = Crypto { tag: 1, key: first.srtp.clone().unwrap().send };
    assert_eq!(crypto_lines(&reoffer), [kept.to_string()]);
    assert!(text(&reoffer).contains(" RTP/SAVP "));
    let (before, now) = (first.srtp.unwrap(), renewed.srtp.unwrap());
    assert!(before.send != now.send && before.receive != now.receive);
}

#[test]
fn two_of_us_agree_on_each_others_keys() {
    for (caller, called, is_secure) in [
        (SrtpPolicy::Offer, SrtpPolicy::Offer, true),
        (SrtpPolicy::Offer, SrtpPolicy::Require, true),
        (SrtpPolicy::Require, SrtpPolicy::Offer, true),
        (SrtpPolicy::Offer, SrtpPolicy::Accept, true),
        (SrtpPolicy::Offer, SrtpPolicy::Off, false),
        (SrtpPolicy::Accept, SrtpPolicy::Offer, false),
    ] {
        let (mut near, mut far) = (secured(caller, 1), secured(called, 2));
        let offer = near.offer(Direction::SendRecv);

        let (answer, theirs) = far.answer(&offer, Direction::SendRecv).unwrap();
        let ours = near.conclude(&answer).unwrap();

        let swapped =
            theirs.srtp.map(|keys| mixer::srtp::Keys { send: keys.receive, receive: keys.send });
        assert_eq!(ours.srtp, swapped);
        assert_eq!(ours.srtp.is_some(), is_secure);
    }
}

#[test]
fn keys_stay_out_of_logs() {
    let mut ours = secured(SrtpPolicy::Require, 1);
    let line = format!("a=crypto:1 {SUITE} inline:{KEY}\r\n");
    let offer = audio("RTP/SAVP 0", &line);
    let answer = ours.answer(&offer, Direction::SendRecv).unwrap().0;

    let printed = format!("{ours:?} {:?}", Session::parse(&offer).unwrap());

    assert!(!printed.contains(KEY) && !printed.contains("inline"), "{printed}");
    assert!(crypto_lines(&answer).iter().all(|line| !printed.contains(line)));
}

const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";
const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

fn secured(srtp: SrtpPolicy, seed: u8) -> Negotiation {
    Negotiation::new(Local { srtp, key_seed: KeySeed([seed; 32]), ..local(&ALL) })
}

fn crypto_lines(description: &[u8]) -> Vec<String> {
    let session = Session::parse(description).unwrap();
    session.media()[0].attributes("crypto").map(str::to_owned).collect()
}
