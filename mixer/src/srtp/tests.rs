//! The RFCs' vectors, a packet of libsrtp's, and properties: each packet once, as it was, or not at all.

use proptest::prelude::*;

use super::transform::{Kind, Transform};
use super::*;

#[test]
fn session_keys_are_derived_as_in_rfc_3711_b_3() {
    // A packet of zeros of an index of zeros is the keystream that key and salt make, so equal packets mean equal keys.
    let master = key(
        Suite::Aes128CmSha1_80,
        "E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6",
    );
    let derived = Transform::new(
        Suite::Aes128CmSha1_80,
        Kind::Rtp,
        (&hex("C61E7A93744F39EE10734AFE3FF7A087"), &hex("30CBBC08863D8C85D49DB34A9AE1")),
        &hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4").try_into().unwrap(),
    );

    assert_eq!(protected(Sender::new(&master), &PACKET), protected(with_rtp(derived), &PACKET));
}

#[test]
fn session_keys_are_derived_as_in_rfc_6188_7_4() {
    let master = key(
        Suite::Aes256CmSha1_80,
        "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6 3b04803de51ee7c96423ab5b78d2",
    );
    let derived = Transform::new(
        Suite::Aes256CmSha1_80,
        Kind::Rtp,
        (
            &hex("5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"),
            &hex("fa31791685ca444a9e07c6c64e93"),
        ),
        &hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05").try_into().unwrap(),
    );

    assert_eq!(protected(Sender::new(&master), &PACKET), protected(with_rtp(derived), &PACKET));
}

#[test]
fn the_keystream_is_that_of_rfc_3711_b_2() {
    let session = Transform::new(
        Suite::Aes128CmSha1_80,
        Kind::Rtp,
        (&hex("2B7E151628AED2A6ABF7158809CF4F3C"), &hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD")),
        &[0; 20],
    );
    let packet = [&[0x80][..], &[0; 11 + 48]].concat();

    let protected = protected(with_rtp(session), &packet);

    assert_eq!(
        protected[12..60],
        hex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB \
             41E95B3BB0A2E8DD477901E4FCA894C0")
    );
}

#[test]
fn packets_are_those_of_libsrtp() {
    let key = key(
        Suite::Aes128CmSha1_80,
        "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
    );
    let rtcp = hex("81c8000bcafebabe abababababababababababababababab");
    let mut sender = Sender::new(&key);
    protected_rtcp(&mut sender, &rtcp); // libsrtp begins to count SRTCP at 1.

    let secured_report = protected_rtcp(&mut sender, &rtcp);
    let secured =
        protected(sender, &hex("800f1234decafbadcafebabe abababababababababababababababab"));

    assert_eq!(
        secured,
        hex("800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb")
    );
    assert_eq!(
        secured_report,
        hex("81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798")
    );
}

#[test]
fn gcm_packets_are_those_of_rfc_7714() {
    let rtp = hex("8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e697320646976697361 \
         20696e207061727465732074726573");
    let report = hex("81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61 \
         deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let long: Vec<u8> = (0..32).collect();
    for (suite, key, secured, secured_report) in [
        (
            Suite::Aes128Gcm,
            &long[..16],
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 \
             899d7f27beb16a9152cf765ee4390cce",
            "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded \
             0bb9275bc84aa45896cf4d2fc5abf87245d9eade 800005d4",
        ),
        (
            Suite::Aes256Gcm,
            &long[..],
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b \
             7aa3db36dfffd6b0f9bb7878d7a76c13",
            "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de047 \
             6f1b6fad1d1eb30c4446839f57ff6f6cb26ac3be 800005d4",
        ),
    ] {
        let session = |kind| Transform::new(suite, kind, (key, b"Quid pro quo"), &[0; 20]);
        let mut sender = Sender::of(Kind::BOTH.map(session));
        for _ in 0..0x5d4 {
            protected_rtcp(&mut sender, &report);
        }

        assert_eq!(protected_rtcp(&mut sender, &report)[8..], hex(secured_report), "{suite}");
        assert_eq!(protected(sender, &rtp)[12..], hex(secured), "{suite}");
    }
}

#[test]
fn what_is_tampered_with_or_replayed_is_refused() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let packet = protect(&mut sender, &PACKET).unwrap();
        let report = protected_rtcp(&mut sender, &RTCP);

        for at in 0..packet.len() {
            let mut tampered = packet.clone();
            tampered[at] ^= 1;
            assert!(receiver.unprotect(&mut tampered).is_err(), "{suite} {at}");
        }
        for at in 0..report.len() {
            let mut tampered = report.clone();
            tampered[at] ^= 1;
            assert!(receiver.unprotect_rtcp(&mut tampered).is_err(), "{suite} {at}");
        }

        assert_eq!(unprotect(&mut receiver, &packet), Ok(PACKET.to_vec()), "{suite}");
        assert_eq!(unprotect(&mut receiver, &packet), Err(Error::Replayed), "{suite}");
        assert_eq!(receiver.unprotect_rtcp(&mut report.clone()), Ok(RTCP.len()), "{suite}");
        assert_eq!(receiver.unprotect_rtcp(&mut report.clone()), Err(Error::Replayed), "{suite}");
    }
}

#[test]
fn what_is_not_encrypted_is_refused() {
    let (mut sender, mut receiver) = pair(Suite::Aes128Gcm);
    let mut report = protected_rtcp(&mut sender, &RTCP);
    let end = report.len() - 4;

    report[end] &= 0x7f;

    assert_eq!(receiver.unprotect_rtcp(&mut report), Err(Error::NotEncrypted));
}

#[test]
fn a_number_is_protected_once_and_a_forgotten_stream_never_again() {
    let (mut sender, _) = pair(Suite::Aes128CmSha1_80);
    let of = |ssrc: u8| [&PACKET[..11], &[ssrc], &PACKET[12..]].concat();
    for ssrc in 0..8 {
        assert!(protect(&mut sender, &of(ssrc)).is_ok());
    }

    assert_eq!(protect(&mut sender, &of(0)), Err(Error::Replayed));
    assert_eq!(protect(&mut sender, &of(8)), Err(Error::UsedUp));
}

#[test]
fn a_packet_without_room_for_its_tag_is_refused() {
    let (mut sender, _) = pair(Suite::Aes128CmSha1_32);
    let mut buffer = PACKET;

    assert_eq!(sender.protect(&mut buffer, PACKET.len()), Err(Error::NoRoom));
    assert_eq!(sender.protect(&mut buffer, PACKET.len() + 1), Err(Error::NoRoom));
    assert_eq!(buffer, PACKET);
}

#[test]
fn keys_stay_out_of_logs() {
    let key = MasterKey::new(Suite::Aes128Gcm, &[0x41; 28]).unwrap();

    let printed = format!("{key:?} {:?} {:?}", Sender::new(&key), Receiver::new(&key));

    assert!(!printed.contains("65, 65") && !printed.contains("41414141"), "{printed}");
}

proptest! {
    /// Loss, reordering within the window and roll-over, by any suite and any header: each packet comes out as it went in.
    #[test]
    fn packets_survive_loss_disorder_and_roll_over(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        start in 0_u16..0x8000,
        steps in prop::collection::vec((1_u16..3_000, 0_usize..8), 1..120),
        csrcs in 0_u8..16,
        words in prop::option::of(0_u8..5),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let (mut sender, mut receiver) = pair(suite);
        let mut sequence = start;
        let mut sent = Vec::new();
        for &(step, _) in &steps {
            let packet = rtp(sequence, csrcs, words, &payload);
            sent.push((protect(&mut sender, &packet).unwrap(), packet));
            sequence = sequence.wrapping_add(step.min(if sent.len() % 5 == 0 { 3_000 } else { 3 }));
        }
        for (near, &(_, by)) in sent.chunks_mut(8).zip(&steps) {
            near.rotate_left(by % near.len());
        }
        let first = sent.first().map(|(_, packet)| packet[2..4].to_vec());
        // The first packet that comes is to say where the stream begins.
        prop_assume!(first.is_some_and(|octets| octets[0] < 0x80));
        let mut seen = 0;

        for (protected, packet) in &sent {
            match unprotect(&mut receiver, protected) {
                Ok(opened) => {
                    prop_assert_eq!(&opened, packet);
                    seen += 1;
                }
                // Beyond the window: jumps of thousands put a late packet there.
                Err(error) => prop_assert_eq!(error, Error::Replayed),
            }
            prop_assert_eq!(unprotect(&mut receiver, protected), Err(Error::Replayed));
        }
        prop_assert!(seen > 0);
    }

    /// Whatever a stranger sends is refused, and does not disturb the stream.
    #[test]
    fn noise_is_refused(
        suite in prop::sample::select(Suite::ALL.to_vec()),
        mut noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (mut sender, mut receiver) = pair(suite);

        prop_assert!(receiver.unprotect(&mut noise.clone()).is_err());
        prop_assert!(receiver.unprotect_rtcp(&mut noise).is_err());

        let packet = protect(&mut sender, &PACKET).unwrap();
        prop_assert_eq!(unprotect(&mut receiver, &packet), Ok(PACKET.to_vec()));
    }
}

/// An RTP packet of sequence number 0x1234 with 20 octets of payload.
const PACKET: [u8; 32] = [
    0x80, 0, 0x12, 0x34, 0, 0, 0, 1, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    13, 14, 15, 16, 17, 18, 19, 20,
];
/// An RTCP packet of the same stream.
const RTCP: [u8; 12] = [0x81, 201, 0, 2, 0xca, 0xfe, 0xba, 0xbe, 1, 2, 3, 4];

fn pair(suite: Suite) -> (Sender, Receiver) {
    let octets: Vec<u8> = (1..).take(suite.master_len()).collect();
    let key = MasterKey::new(suite, &octets).unwrap();
    (Sender::new(&key), Receiver::new(&key))
}

fn with_rtp(rtp: Transform) -> Sender {
    let any = key(Suite::Aes128Gcm, &"00".repeat(28));
    Sender::of([rtp, Transform::derive(&any, Kind::Rtcp)])
}

fn protect(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
    let len = sender.protect(&mut buffer, packet.len())?;
    buffer.truncate(len);
    Ok(buffer)
}

fn protected(mut sender: Sender, packet: &[u8]) -> Vec<u8> {
    protect(&mut sender, packet).unwrap()
}

fn protected_rtcp(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; OVERHEAD_MAX]].concat();
    let len = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(len);
    buffer
}

fn unprotect(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, Error> {
    let mut buffer = packet.to_vec();
    let len = receiver.unprotect(&mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

fn rtp(sequence: u16, csrcs: u8, extension: Option<u8>, payload: &[u8]) -> Vec<u8> {
    let mut packet = PACKET[..12].to_vec();
    packet[0] |= csrcs | u8::from(extension.is_some()) << 4;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet.extend(std::iter::repeat_n(7, 4 * usize::from(csrcs)));
    if let Some(words) = extension {
        packet.extend([0xbe, 0xde, 0, words]);
        packet.extend(std::iter::repeat_n(0, 4 * usize::from(words)));
    }
    packet.extend(payload);
    packet
}

fn key(suite: Suite, text: &str) -> MasterKey {
    MasterKey::new(suite, &hex(text)).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}
