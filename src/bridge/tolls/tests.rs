use api::control::Command;
use serde_json::json;

use super::*;
use crate::bridge::routes::Rule;
use crate::bridge::scene::{SDP, Scene, response};
use crate::bridge::{AccessSettings, Settings};
use crate::bridge_settings;
use crate::config::Config;

const NOON: &str = "2026-01-05T12:00:00Z";
const EVENING: &str = "2026-01-05T23:59:00Z";

fn at(text: &str, seconds: i64) -> Timestamp {
    let start: Timestamp = text.parse().unwrap();
    start + jiff::SignedDuration::from_secs(seconds)
}

fn leg(number: u64) -> LegId {
    LegId::new(number, u128::from(number))
}

fn of_anna() -> CallerLimits {
    CallerLimits { users: vec![Pattern::new("anna")], ..CallerLimits::default() }
}

/// Accounts under these limits, with a price of 0.60 for what begins with +49, 1.20 for +491, 0 for +49800.
fn tolls(limits: CallerLimits) -> (Tolls, Payers) {
    let prices = [("+49", 600_000), ("+491", 1_200_000), ("+49800", 0)];
    let prices = Prices::new(prices.map(|(prefix, price)| (prefix.to_owned(), price)));
    let tolls = Tolls::new(vec![limits], prices);
    let payers = tolls.payers(Some("anna"), "10.0.0.7".parse().unwrap());
    (tolls, payers)
}

fn begin(tolls: &mut Tolls, now: Timestamp, payers: &Payers, (id, number): (u64, &str)) {
    tolls.goes(leg(id), payers.clone(), number.to_owned());
    tolls.answered(now, leg(id));
}

fn limit(result: Result<(), Reached>) -> Option<Limit> {
    result.err().map(|reached| reached.limit)
}

#[test]
fn the_longest_prefix_is_the_price() {
    let (tolls, _) = tolls(of_anna());

    for (number, price) in
        [("+4930", 600_000), ("+4915", 1_200_000), ("+498001", 0), ("+43", 0), ("", 0), ("+4é", 0)]
    {
        assert_eq!(tolls.prices.of(number), price, "{number}");
    }
}

#[test]
fn calls_at_once_are_counted_until_they_end() {
    let (mut tolls, payers) = tolls(CallerLimits { max_calls: 2, ..of_anna() });
    let now = at(NOON, 0);

    let mut admitted = Vec::new();
    for id in 0..3 {
        let result = tolls.admit(now, &payers);
        if result.is_ok() {
            tolls.came(now, leg(id), payers.clone());
        }
        admitted.push(limit(result));
    }
    tolls.ended(now, leg(0));

    assert_eq!(admitted, [None, None, Some(Limit::MaxCalls)]);
    assert_eq!(limit(tolls.admit(now, &payers)), None);
}

#[test]
fn calls_of_a_minute_are_counted_by_a_window_that_moves() {
    let (mut tolls, payers) = tolls(CallerLimits { calls_per_minute: 2, ..of_anna() });

    let admitted =
        [0, 30, 59, 60, 61, 90].map(|second| limit(tolls.admit(at(NOON, second), &payers)));

    let too_many = Some(Limit::CallsPerMinute);
    assert_eq!(admitted, [None, None, too_many, None, too_many, None]);
}

#[test]
fn what_may_be_called_is_by_prefix_and_denied_counts_more() {
    let allowed = vec!["+49".to_owned(), "+43".to_owned()];
    let denied = vec!["+49900".to_owned()];
    let (mut tolls, payers) = tolls(CallerLimits { allowed, denied, ..of_anna() });

    for (number, is_allowed) in
        [("+4930", true), ("+4312", true), ("+49900123", false), ("+882", false), ("", false)]
    {
        let result = tolls.may_call(at(NOON, 0), &payers, number);

        assert_eq!(result.is_ok(), is_allowed, "{number}");
        assert!(result.err().is_none_or(|reached| reached.to.as_deref() == Some(number)));
    }
}

#[test]
fn minutes_of_a_day_run_for_each_call_and_end_them_all() {
    let (mut tolls, payers) = tolls(CallerLimits { minutes_per_day: 10, ..of_anna() });

    begin(&mut tolls, at(NOON, 0), &payers, (1, "+4930"));
    begin(&mut tolls, at(NOON, 120), &payers, (2, "+43"));
    let due = tolls.due();
    let before = tolls.used_up(at(NOON, 359)).len();
    let then: Vec<_> =
        tolls.used_up(at(NOON, 360)).into_iter().map(|(id, why)| (id, why.limit)).collect();
    tolls.ended(at(NOON, 360), leg(1));
    tolls.ended(at(NOON, 360), leg(2));

    assert_eq!(due, Some(at(NOON, 360)), "2 minutes of one, then 4 of each of two");
    assert_eq!(before, 0);
    assert_eq!(then, [(leg(1), Limit::MinutesPerDay), (leg(2), Limit::MinutesPerDay)]);
    assert_eq!(limit(tolls.may_call(at(NOON, 400), &payers, "+43")), Some(Limit::MinutesPerDay));
    assert_eq!(tolls.due(), None);
}

#[test]
fn money_of_a_day_runs_by_the_price_and_spares_what_is_free() {
    let (mut tolls, payers) = tolls(CallerLimits { spend_per_day: 3_000_000, ..of_anna() });

    begin(&mut tolls, at(NOON, 0), &payers, (1, "+4930"));
    begin(&mut tolls, at(NOON, 60), &payers, (2, "+4915"));
    begin(&mut tolls, at(NOON, 60), &payers, (3, "+498001"));
    let due = tolls.due();
    let over: Vec<_> =
        tolls.used_up(at(NOON, 140)).into_iter().map(|(id, why)| (id, why.limit)).collect();

    // 0.60 in the first minute, then 1.80 a minute for the other 2.40.
    assert_eq!(due, Some(at(NOON, 140)));
    assert_eq!(over, [(leg(1), Limit::SpendPerDay), (leg(2), Limit::SpendPerDay)]);
    assert_eq!(limit(tolls.may_call(at(NOON, 140), &payers, "+4930")), Some(Limit::SpendPerDay));
    assert_eq!(limit(tolls.may_call(at(NOON, 140), &payers, "+498001")), None);
}

#[test]
fn midnight_utc_begins_a_new_day_in_the_middle_of_a_call() {
    let (mut tolls, payers) = tolls(CallerLimits { minutes_per_day: 2, ..of_anna() });

    begin(&mut tolls, at(EVENING, 0), &payers, (1, "+4930"));
    let first = tolls.due();
    let over_midnight = tolls.used_up(at(EVENING, 60)).len();
    let second = tolls.due();
    let allowed = limit(tolls.may_call(at(EVENING, 179), &payers, "+43"));
    let over: Vec<_> = tolls.used_up(at(EVENING, 180)).into_iter().map(|(id, _)| id).collect();

    assert_eq!(first, Some(at(EVENING, 60)), "midnight");
    assert_eq!((over_midnight, second), (0, Some(at(EVENING, 180))));
    assert_eq!((allowed, over), (None, vec![leg(1)]));
    tolls.ended(at(EVENING, 180), leg(1));
    assert_eq!(limit(tolls.may_call(at(EVENING, 181), &payers, "+43")), Some(Limit::MinutesPerDay));
    assert_eq!(limit(tolls.may_call(at(EVENING, 60 + 86_400), &payers, "+43")), None);
}

#[test]
fn users_and_addresses_have_accounts_of_their_own() {
    let networks = vec!["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let limits = CallerLimits { networks, max_calls: 1, ..CallerLimits::default() };
    let mut tolls = Tolls::new(vec![limits], Prices::default());
    let now = at(NOON, 0);

    let mut scopes = Vec::new();
    for (id, address) in
        (0..).zip(["10.0.0.1", "10.0.0.2", "10.0.0.1", "2001:db8::1", "2001:db8::2", "192.0.2.1"])
    {
        let payers = tolls.payers(Some("bob"), address.parse().unwrap());
        let result = tolls.admit(now, &payers);
        scopes.push(result.as_ref().err().map(|reached| (reached.scope, reached.name.clone())));
        if result.is_ok() {
            tolls.came(now, leg(id), payers);
        }
    }

    let refused = |name: &str| Some((Scope::Source, name.to_owned()));
    let expected = [None, None, refused("10.0.0.1"), None, refused("2001:db8::"), None];
    assert_eq!(scopes, expected);
}

/// A bridge where everybody from 10.0.0.0/8 is limited and calls one who is elsewhere.
fn scene(limits: CallerLimits) -> Scene {
    Scene::new(settings(limits))
}

fn settings(limits: CallerLimits) -> Settings {
    let networks = vec!["10.0.0.0/8".parse().unwrap()];
    let route = json!({"name": "all", "destination": {"regex": "\\+.*"},
        "steps": [{"forward": "sip:$0@192.0.2.9"}]});
    let routes = vec![Rule::new(serde_json::from_value(route).unwrap()).unwrap()];
    let prices = Prices::new([("+".to_owned(), 1_000_000)]);
    let settings = bridge_settings(&Config::default(), 1);
    let access = AccessSettings::default();
    let callers = vec![CallerLimits { networks, ..limits }];
    Settings { access, callers, prices, routes, ..settings }
}

#[test]
fn a_caller_beyond_its_limits_is_forbidden_and_it_is_told() {
    let denied = vec!["+882".to_owned()];
    let mut scene = scene(CallerLimits { denied, max_calls: 1, ..CallerLimits::default() });

    scene.call("+8821");
    let denied = (scene.sent("SIP/2.0 403 ").to_owned(), scene.told("limit.reached"));
    scene.call("room");
    let second = scene.call("other");

    assert!(denied.0.starts_with("SIP/2.0 403 This number may not be called\r\n"), "{}", denied.0);
    assert_eq!(
        denied.1,
        json!({"scope": "source", "name": "10.0.0.1", "limit": "prefixes", "action": "refused",
            "sip": {"status": 403, "reason": "This number may not be called"},
            "source": "10.0.0.1", "to": "+8821"})
    );
    assert!(second.starts_with("SIP/2.0 403 No more calls at once\r\n"), "{second}");
    assert_eq!(scene.told("limit.reached")["limit"], "max_calls");
    assert_eq!(scene.told("room.join_rejected")["reason"], "max_calls");
}

#[test]
fn a_call_whose_money_is_used_up_is_hung_up_and_costs_from_the_answer_on() {
    let mut scene = scene(CallerLimits { spend_per_day: 2_000_000, ..CallerLimits::default() });

    scene.call("+49");
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (180, "c"), ""));
    scene.wait(Duration::from_secs(50));
    scene.say(response(&invite, (200, "c"), SDP));
    let answer = scene.sent("SIP/2.0 200 ").to_owned();
    scene.acknowledged(&answer);
    scene.wait(Duration::from_secs(119));
    let is_early = !scene.has_sent("BYE ");
    scene.wait(Duration::from_millis(1_001));

    assert!(is_early && scene.has_sent("BYE "), "{:?}", scene.sent);
    let told = scene.told("limit.reached");
    assert_eq!((&told["limit"], &told["action"]), (&json!("spend_per_day"), &json!("ended")));
    assert_eq!(scene.told("call.ended")["end_reason"], "limit_reached");
    let page = scene.ask(|reply| Command::Metrics { reply }).unwrap();
    let counted = "plenary_limits_reached_total{scope=\"source\",limit=\"spend_per_day\"} 1";
    assert!(page.contains(counted), "{page}");
}

#[test]
fn what_was_used_of_a_day_is_stored_and_a_restart_gives_no_new_one() {
    let limits = CallerLimits { minutes_per_day: 3, ..CallerLimits::default() };
    let mut scene = scene(limits.clone());
    scene.call("+49");
    let invite = scene.sent("INVITE ").to_owned();
    scene.say(response(&invite, (200, "c"), SDP));
    let answer = scene.sent("SIP/2.0 200 ").to_owned();
    scene.acknowledged(&answer);

    scene.wait(Duration::from_mins(2));
    let Some(Change::Put(kept)) = scene.stored.pop() else { panic!("nothing is stored") };
    let settings = settings(limits);
    let mut again = Scene::new(Settings { kept: vec![kept.clone()], ..settings.clone() });
    again.call("+49");
    let invite = again.sent("INVITE ").to_owned();
    again.say(response(&invite, (200, "c"), SDP));
    let answer = again.sent("SIP/2.0 200 ").to_owned();
    again.acknowledged(&answer);
    again.wait(Duration::from_secs(59));
    let is_early = !again.has_sent("BYE ");
    again.wait(Duration::from_secs(2));
    let yesterday = Document { body: kept.body.replace("\"day\":\"2", "\"day\":\"1"), ..kept };
    let mut on_another_day = Scene::new(Settings { kept: vec![yesterday], ..settings });
    on_another_day.call("+49");

    assert!(is_early && again.has_sent("BYE "), "{:?}", again.sent);
    assert_eq!(again.told("limit.reached")["limit"], "minutes_per_day");
    assert!(on_another_day.has_sent("INVITE "));
}
