use api::control::Command;

use super::*;
use crate::bridge::Settings;
use crate::bridge::scene::Scene;
use crate::bridge_settings;
use crate::config::Config;

fn scene(trace: TraceSettings) -> Scene {
    let settings = bridge_settings(&Config::default(), 1);
    Scene::new(Settings { trace, ..settings })
}

fn usual() -> TraceSettings {
    TraceSettings { entries: 100, memory: 1 << 20 }
}

fn legs(scene: &mut Scene) -> Vec<LegId> {
    let query = api::model::LegQuery { state: Some("all".to_owned()), ..Default::default() };
    let page = scene.ask(|reply| Command::ListLegs { query, reply }).unwrap();
    page.items.into_iter().map(|leg| leg.id).collect()
}

fn trace(scene: &mut Scene, leg: LegId) -> Trace {
    scene.ask(|reply| Command::LegTrace { leg, reply }).unwrap()
}

#[test]
fn a_call_is_told_in_the_order_in_which_it_went() {
    let mut scene = scene(usual());
    let answer = scene.call("standup");
    let tag = answer.split("To: ").nth(1).unwrap().split(";tag=").nth(1).unwrap();
    let tag = format!(";tag={}", tag.split("\r\n").next().unwrap());
    scene.request("ACK", "standup", 1, &tag);
    scene.request("BYE", "standup", 1, &tag);
    let leg = legs(&mut scene)[0];

    let trace = trace(&mut scene, leg);

    let told: Vec<String> = trace
        .entries
        .iter()
        .map(|entry| {
            let way = entry.direction.unwrap_or("-");
            format!("{way} {}", entry.summary.split(' ').next().unwrap())
        })
        .collect();
    let messages: Vec<&String> = told.iter().filter(|entry| !entry.starts_with('-')).collect();
    assert_eq!(
        messages,
        [
            "received INVITE",
            "sent SIP/2.0",
            "sent SIP/2.0",
            "received ACK",
            "received BYE",
            "sent SIP/2.0"
        ]
    );
    assert!(told.contains(&"- participant.joined".to_owned()), "{told:?}");
    assert_eq!(trace.entries[0].peer, Some("10.0.0.1:5060".parse().unwrap()));
    assert_eq!(trace.entries[0].local, Some("10.0.0.254:5060".parse().unwrap()));
}

#[test]
fn what_nobody_may_know_is_not_kept() {
    let kept = redacted(
        b"Authorization: Digest username=\"a\", RESPONSE=\"0badcafe\", nc=1\r\n\r\n\
          a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\na=ice-pwd:secret\r\n\
          Signal=5\r\nDuration=160\r\nresponse=\"open",
    );

    let kept = String::from_utf8_lossy(&kept).into_owned();
    for secret in ["0badcafe", "c2VjcmV0", "secret", "=5", "open"] {
        assert!(!kept.contains(secret), "{kept}");
    }
    assert!(kept.contains("|2^20") && kept.contains("nc=1") && kept.contains("Duration=160"));
}

#[test]
fn a_ring_is_bounded_and_so_are_all_together() {
    let mut scene = scene(TraceSettings { entries: 3, memory: 12_000 });
    for _ in 0..40 {
        scene.call("standup");
    }
    let legs = legs(&mut scene);

    let kept: Vec<Trace> = legs
        .into_iter()
        .map(|leg| trace(&mut scene, leg))
        .filter(|trace| !trace.entries.is_empty())
        .collect();

    assert!((1..30).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().all(|trace| trace.entries.len() == 3 && trace.dropped > 0));
}

#[test]
fn what_is_no_call_leaves_no_trace() {
    let mut traces = Traces::new(usual());
    let mark = || Entry {
        at: start(),
        what: What::Mark { kind: EventType::LegAnswered, detail: String::new() },
    };

    traces.note(b"x", false, mark());
    let before = traces.held;
    traces.note(b"x", true, mark());

    assert_eq!((before, traces.rings.len()), (0, 1));
}

#[expect(clippy::disallowed_methods, reason = "virtual time has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}
