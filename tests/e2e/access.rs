//! Who may call: passwords asked of programs that other people wrote.

use crate::support::{Baresip, Bridge, Message, Options, Peer, Sipp, has_program, idle_sdp, json};

/// Nobody is let in without a password, and Alice has one.
fn bridge(extra: &str) -> Bridge {
    let config = format!("[sip]\nopen_to = []\nusers = [\"alice:secret\"]\n{extra}");
    Bridge::start(Options { config, ..Options::default() })
}

fn sipp(bridge: &Bridge, password: &str) -> Sipp {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    Sipp::new(&bridge.sip.to_string(), "standup", "digest.xml")
        .args(&["-au", "alice", "-ap", password, "-timeout", "30"])
}

#[test]
fn sipp_comes_in_with_its_password() {
    let bridge = bridge("digest = [\"MD5\"]\n");

    sipp(&bridge, "secret").args(&["-m", "20", "-r", "20"]).expect_success();

    assert_eq!(bridge.count("participant.joined", |_| true), 20);
    assert!(bridge.get("/v1/bans")["items"].as_array().unwrap().is_empty());
}

#[test]
fn who_guesses_is_banned_until_that_is_lifted_and_the_log_says_so() {
    let bridge = bridge("digest = [\"MD5\"]\n[limits]\nfailed_logins = 3\n");
    let uri = bridge.uri("standup");

    for _ in 0..3 {
        let mut peer = Peer::udp(bridge.sip);
        let challenged = |message: &Message| message.status() == Some(401);
        peer.send(&peer.request("INVITE", &peer.dialog(&uri), "", &idle_sdp()));
        let challenge = peer.wait(challenged).header("WWW-Authenticate").to_owned();
        let nonce = challenge.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        let guess = format!(
            "Authorization: Digest username=\"alice\", realm=\"plenary\", nonce=\"{nonce}\", uri=\"sip:x\", algorithm=MD5, \
             qop=auth, nc=00000001, cnonce=\"c\", response=\"00000000000000000000000000000000\"\r\n"
        );
        let dialog = peer.dialog(&uri);
        peer.send(&peer.request("INVITE", &dialog, &guess, &idle_sdp()));
        peer.wait(|message| challenged(message) && message.header("Call-ID") == dialog.call_id);
    }

    bridge.wait("security.ban_added", |event| event["data"]["address"] == "127.0.0.1");
    let bans = bridge.get("/v1/bans");
    assert_eq!(bans["items"][0]["failures"], json!(3), "{bans}");
    bridge.delete("/v1/bans/127.0.0.1");
    sipp(&bridge, "secret").args(&["-m", "1"]).expect_success();
    assert!(bridge.log().contains("authentication failed"), "{}", bridge.log());
}

#[test]
fn a_scanner_gets_no_answer_and_the_log_says_so() {
    let bridge = Bridge::start(Options::default());
    let uri = bridge.uri("standup");
    let mut peer = Peer::udp(bridge.sip);

    let scan = "User-Agent: friendly-scanner\r\n";
    peer.send(&peer.request("OPTIONS", &peer.dialog(&uri), scan, ""));
    let asked = peer.dialog(&uri);
    peer.send(&peer.request("OPTIONS", &asked, "", ""));
    let answer = peer.wait(|message| message.status().is_some());

    assert_eq!(answer.header("Call-ID"), asked.call_id, "only the second question is answered");
    assert!(bridge.log().contains("a scanner is ignored"), "{}", bridge.log());
    let metrics = bridge.try_request("GET", "/metrics", None).text;
    assert!(metrics.contains("plenary_scans_ignored_total 1"), "{metrics}");
}

#[test]
fn baresip_comes_in_with_its_password_and_is_heard() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let bridge = bridge("digest = [\"MD5\"]\n");
    let uri = bridge.uri("standup");
    let joined = || bridge.wait("participant.joined", |_| true)["leg"].as_str().unwrap().to_owned();

    let one = Baresip::call_with("alice", &uri, 660, ";auth_pass=secret");
    let first = joined();
    let two = Baresip::call_with("alice", &uri, 1000, ";auth_pass=secret");
    let second = joined();

    for leg in [first, second] {
        // Three seconds to record.
        bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
            stats["received"]["packets"].as_u64() > Some(150)
        });
    }
    let (one, two) = (one.finish(), two.finish());
    assert!(one.holds(1000) && two.holds(660), "{} {}", one.level_db(1000), two.level_db(660));
}
