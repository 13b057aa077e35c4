//! What mails say.

use serde_json::json;

use super::*;

fn settings() -> PostSettings {
    PostSettings {
        from: "Bridge <bridge@a.test>".parse().unwrap(),
        dial_in: vec!["sip:{room}@a.test".to_owned(), "+49 30 1, then {room}".to_owned()],
        time_zone: TimeZone::get("Europe/Berlin").unwrap(),
        alerts_to: Vec::new(),
        recordings_to: Vec::new(),
        page: "https://a.test/".to_owned(),
        queue: 1,
        give_up_after: Duration::from_hours(24),
        alert_after: Duration::ZERO,
        alert_interval: Duration::ZERO,
        seed: 1,
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn times_are_told_as_clocks_show_them() {
    let settings = settings();
    let start = at("2026-06-01T14:00:00Z");

    let within_a_day = settings.stretch(start, at("2026-06-01T14:45:00Z"));
    let over_midnight = settings.stretch(start, at("2026-06-01T22:30:00Z"));

    assert_eq!(within_a_day, "Monday, 1 June 2026, 16:00 to 16:45 (CEST)");
    assert_eq!(over_midnight, "Monday, 1 June 2026, 16:00 to Tuesday, 2 June 2026, 00:30 (CEST)");
}

#[test]
fn a_recording_is_told_with_its_length_and_where_it_is() {
    let data = Data::of(&json!({"id": "rec_1", "room": null, "duration_ms": 3_725_400,
        "size_bytes": 12_345_678, "content": "/v1/recordings/rec_1/content", "channels": 2}));
    let told = data.read::<RecordingTold>().unwrap();

    let paragraphs = settings().about_recording(&told, Some("board".to_owned()));

    let content = Content { subject: "", paragraphs, calendar: None, is_automatic: true };
    let expected = "Recording: rec_1\nRoom:      board\nLength:    1:02:05\nSize:      12.3 MB\n\
        Where:     https://a.test/v1/recordings/rec_1/content\n";
    assert_eq!(content.plain(), expected);
}

#[test]
fn one_mail_tells_of_many_trunks() {
    let alarm = |trunk: &str, state| Alarm {
        trunk: trunk.to_owned(),
        state,
        since: at("2026-06-01T14:00:00Z"),
        changes: 1,
        refused: Some(403),
    };
    let (a, b, c) = (alarm("a", State::Down), alarm("b", State::Down), alarm("c", State::Up));

    assert_eq!(subject_of(std::slice::from_ref(&a)), "Trunk a is down");
    assert_eq!(subject_of(&[a.clone(), b.clone()]), "2 trunks are down");
    assert_eq!(subject_of(&[a, b, c]), "News of 3 trunks, 2 of them down");
}
