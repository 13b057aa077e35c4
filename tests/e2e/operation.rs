//! Starting, draining, stopping.

use std::process::Command;
use std::time::Duration;

use crate::support::{binary, json, scene};

#[test]
fn sigterm_hangs_up_and_exits_with_zero() {
    let mut scene = scene();
    let name = |index| format!("guest{index}");
    let calls: Vec<String> = (0..3)
        .map(|index| scene.join(&name(index), "standup", 440 + 200 * index).call.name().to_owned())
        .collect();

    scene.bridge.terminate();

    for call in calls {
        let ended = scene.phones.wait("ended", |event| event["call"] == call.as_str());
        assert_eq!(ended["by"], "them", "{ended}");
    }
    let status = scene.bridge.wait_exit(Duration::from_secs(30));
    assert_eq!(status.code(), Some(0), "{status}");
}

#[test]
fn an_idle_bridge_stops_at_once() {
    let mut scene = scene();

    scene.bridge.terminate();

    assert_eq!(scene.bridge.wait_exit(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_wrong_key_in_the_configuration_names_the_nearest() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("wrong-{}.toml", std::process::id()));
    std::fs::write(&file, "[rooms]\nauto_creat = \"*\"\n").unwrap();

    let output = Command::new(binary()).args(["check", "--config"]).arg(&file).output().unwrap();

    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!output.status.success());
    assert!(text.contains("auto_creat") && text.contains("auto_create"), "{text}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_draining_bridge_takes_no_calls() {
    let scene = scene();
    let anna = scene.join("anna", "standup", 440);
    let bert = scene.line("bert");

    scene.bridge.terminate();
    scene.bridge.wait("node.draining", |_| true);
    let late = bert.dial("late", &scene.bridge.uri("standup"), json!({}));

    assert_eq!(late.wait("failed")["status"], 503);
    anna.call.wait("ended");
}

#[test]
fn what_the_dashboard_and_the_alerts_ask_for_is_there() {
    let served = scene().bridge.try_request("GET", "/metrics", None).text;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
    for file in ["prometheus/alerts.yml", "grafana/dashboards/plenary.json"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let is_word = |letter: char| letter.is_ascii_lowercase() || letter == '_';
        let words = text.split(|letter| !is_word(letter));
        for name in words.filter(|word| word.starts_with("plenary_")) {
            let name = name.trim_end_matches("_bucket");
            assert!(served.contains(&format!("# TYPE {name} ")), "{file} asks for {name}");
        }
    }
}
