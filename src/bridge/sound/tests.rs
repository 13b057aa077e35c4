//! What becomes of legs whose media DTLS is to encrypt.

use api::model::LeftReason;

use crate::bridge::scene::{Scene, Talk};
use crate::bridge::{Input, Settings};
use crate::bridge_settings;
use crate::config::Config;
use crate::media::command::{Command, Event, Fault, MediaKey, Suite};
use crate::webrtc::Fingerprint;

/// A browser in a room, and the name of its media.
fn browser(fingerprint: Option<Fingerprint>) -> (Scene, String) {
    let settings = Settings { fingerprint, ..bridge_settings(&Config::default(), 1) };
    let mut scene = Scene::new(settings);
    let theirs = Fingerprint::of(b"theirs");
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n\
         c=IN IP4 0.0.0.0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
         a=fingerprint:{theirs}\r\na=setup:actpass\r\na=rtcp-mux\r\n"
    );
    let answer = scene.invite("hall", &sdp);
    (scene, answer)
}

fn joined() -> (Scene, Talk, MediaKey) {
    let (mut scene, answer) = browser(Some(Fingerprint::of(b"ours")));
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    let media = scene.told.iter().find_map(|command| {
        let Command::Configure { leg, stream } = command else { return None };
        stream.dtls.is_some().then_some(*leg)
    });
    let talk = scene.acknowledged(&answer);
    (scene, talk, media.unwrap())
}

#[test]
fn a_browser_is_refused_where_dtls_is_off() {
    let (_, answer) = browser(None);

    assert!(answer.starts_with("SIP/2.0 488 "), "{answer}");
    assert!(answer.contains("audio only by UDP/TLS/RTP/SAVPF"), "{answer}");
}

#[test]
fn how_a_leg_is_encrypted_is_known_once_there_are_keys() {
    let (mut scene, talk, leg) = joined();
    let before = scene.leg(talk.leg).srtp;

    scene.input(Input::Media(Event::Secured { leg, suite: Suite::Aes128Gcm }));

    assert_eq!(before, None);
    assert_eq!(scene.leg(talk.leg).srtp.as_deref(), Some("AEAD_AES_128_GCM"));
}

#[test]
fn a_browser_with_another_certificate_is_hung_up_on_with_the_reason() {
    for (fault, words) in [
        (
            Fault::Fingerprint,
            "the certificate of the DTLS handshake is not the one of a=fingerprint",
        ),
        (Fault::Timeout, "the DTLS handshake took too long"),
        (Fault::Refused(42), "the DTLS handshake was refused with alert 42"),
    ] {
        let (mut scene, talk, leg) = joined();

        scene.input(Input::Media(Event::HandshakeFailed { leg, fault }));

        assert_eq!(scene.names().last(), Some(&"room.ended"));
        assert!(scene.sent("BYE ").contains("text=\"Media could not be encrypted\""));
        let ended = scene.leg(talk.leg);
        assert_eq!(ended.end_reason, Some(LeftReason::HandshakeFailed));
        assert_eq!(ended.sip.unwrap().reason, words);
    }
}
