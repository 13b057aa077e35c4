//! What survives a restart, or a kill, on both databases.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use crate::support::{
    Baresip, Bridge, Options, Postgres, Sipp, Value, fresh_folder, has_program, json,
};

/// Where bridges keep their things, one after the other.
#[derive(Debug)]
struct Kept {
    data: PathBuf,
    postgres: Option<Postgres>,
}

impl Kept {
    fn sqlite() -> Self {
        Self::new(None)
    }

    fn postgres() -> Self {
        Self::new(Some(Postgres::start()))
    }

    fn new(postgres: Option<Postgres>) -> Self {
        Self { data: fresh_folder().join("data"), postgres }
    }

    fn bridge(&self) -> Bridge {
        self.bridge_with("")
    }

    fn bridge_with(&self, config: &str) -> Bridge {
        let url = self.postgres.as_ref().map(Postgres::url);
        let arguments = url.map_or_else(Vec::new, |url| vec!["--database".to_owned(), url]);
        let (config, data) = (config.to_owned(), Some(self.data.clone()));
        Bridge::start(Options { config, arguments, data, ..Options::default() })
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.data));
    }
}

/// The same test on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $name() { super::$name(&super::Kept::sqlite()); })+
        }
        mod postgres {
            $(#[test] fn $name() { super::$name(&super::Kept::postgres()); })+
        }
    };
}

on_both!(
    what_was_acknowledged_survives_a_kill_in_the_middle_of_writes,
    users_trunks_and_keys_are_there_after_a_restart,
    what_is_over_and_who_commanded_it_is_there_after_a_restart,
);

fn what_was_acknowledged_survives_a_kill_in_the_middle_of_writes(kept: &Kept) {
    let mut bridge = kept.bridge();
    let acknowledged = Mutex::new(BTreeMap::new());
    let removed = Mutex::new(BTreeMap::new());
    let (client, pid) = (&bridge.client, bridge.pid().to_string());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let (acknowledged, removed) = (&acknowledged, &removed);
            scope.spawn(move || {
                for number in 0.. {
                    let name = format!("{writer}-{number}");
                    let room = format!("room-{number}");
                    let body = json!({"name": name, "steps": [{"room": room}]}).to_string();
                    let made = client.request("POST", "/v1/routes", &[], Some(&body));
                    let Ok(made) = made.filter(201) else { return };
                    acknowledged.lock().unwrap().insert(name.clone(), made["revision"].clone());
                    if number % 3 == 0 {
                        removed.lock().unwrap().insert(name.clone(), false);
                        let path = format!("/v1/routes/{name}");
                        let gone = client.request("DELETE", &path, &[], None);
                        let Ok(_) = gone.filter(204) else { return };
                        acknowledged.lock().unwrap().remove(&name);
                        removed.lock().unwrap().insert(name, true);
                    }
                }
            });
        }
        while acknowledged.lock().unwrap().len() < 80 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        // With requests under way.
        std::process::Command::new("kill").args(["-KILL", &pid]).status().unwrap();
    });
    bridge.kill();

    let again = kept.bridge();
    let mut found = BTreeMap::new();
    let mut path = "/v1/routes?limit=500".to_owned();
    loop {
        let page = again.get(&path);
        for route in page["items"].as_array().unwrap() {
            let name = route["name"].as_str().unwrap().to_owned();
            found.insert(name, route["revision"].clone());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/routes?limit=500&cursor={next}");
    }

    let (acknowledged, removed) =
        (acknowledged.into_inner().unwrap(), removed.into_inner().unwrap());
    assert!(acknowledged.len() >= 80 - 4, "each of four may have ended one more");
    for (name, revision) in &acknowledged {
        let is_there = found.get(name) == Some(revision);
        // Whose end was asked for and not answered may be either way.
        assert!(is_there || removed.contains_key(name), "{name} was acknowledged and is lost");
    }
    for (name, _) in removed.iter().filter(|(_, is_answered)| **is_answered) {
        assert!(!found.contains_key(name), "the end of {name} was acknowledged and is lost");
    }
    let beyond = found.keys().filter(|name| !acknowledged.contains_key(*name)).count();
    assert!(beyond <= 4, "{beyond} are there that nobody was told of");
}

fn users_trunks_and_keys_are_there_after_a_restart(kept: &Kept) {
    assert!(has_program("sipp"), "install sipp (Debian: sip-tester)");
    let config = "[sip]\ndigest = [\"MD5\"]\n"; // what sipp can answer
    let mut bridge = kept.bridge_with(config);
    bridge.post("/v1/users", &json!({"name": "alice", "password": "secret"}));
    let trunk = json!({"name": "carrier", "gateways": ["sip:127.0.0.1:9"], "check": "0s",
        "username": "4930", "password": "kept from view"});
    bridge.post("/v1/trunks", &trunk);
    let body = json!({"name": "reader", "scopes": ["rooms:read"]});
    let key = bridge.post("/v1/api_keys", &body)["key"].as_str().unwrap().to_owned();
    bridge.kill();

    let again = kept.bridge_with(config);
    Sipp::new(&again.sip.to_string(), "alice", "register.xml")
        .args(&["-au", "alice", "-ap", "secret", "-timeout", "30", "-m", "1"])
        .expect_success();
    let reader = again.client.with_key(&key);
    let status = |method, path| reader.request(method, path, &[], None).unwrap().status;

    assert_eq!((status("GET", "/v1/rooms"), status("GET", "/v1/users")), (200, 403));
    let trunk = again.get("/v1/trunks/carrier");
    assert_eq!(trunk["config"]["username"], "4930", "{trunk}");
    assert!(!trunk.to_string().contains("kept from view"), "{trunk}");
    assert_eq!(again.get("/v1/users/alice")["source"], "api");
    again.delete("/v1/users/alice");
    let gone = again.try_request("GET", "/v1/users/alice", None);
    assert_eq!(gone.json()["code"], "user_not_found", "{}", gone.text);
}

fn what_is_over_and_who_commanded_it_is_there_after_a_restart(kept: &Kept) {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let mut bridge = kept.bridge();
    let caller = Baresip::call("anna", &bridge.uri("standup"), 440);
    let leg = bridge.wait_participant("participant.joined", "anna")["leg"].clone();
    let leg = leg.as_str().unwrap();
    bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
        stats["received"]["packets"].as_u64() > Some(50)
    });
    caller.finish();
    bridge.wait_leg("leg.ended", leg);
    bridge.post("/v1/rooms", &json!({"name": "board"}));
    bridge.terminate();
    bridge.wait_exit(std::time::Duration::from_secs(20));

    let again = kept.bridge();
    let record = again.get(&format!("/v1/records/legs/{leg}"));
    let list = again.get("/v1/records/legs?limit=1");
    let csv = again.try_request("GET", "/v1/records/legs?format=csv", None);
    let audit = again.get("/v1/audit");

    assert_eq!(
        (&record["room_name"], &record["end_reason"]),
        (&json!("standup"), &json!("hung_up"))
    );
    assert_eq!(record["codec"], "PCMU/8000", "{record}");
    assert!(record["received"]["packets"].as_u64() > Some(0), "{record}");
    assert_eq!(list["items"][0]["id"], leg, "{list}");
    assert_eq!(csv.text.lines().count(), 2, "{}", csv.text);
    let first = &audit["items"][0];
    assert_eq!((&first["path"], &first["status"]), (&json!("/v1/rooms"), &json!(201)), "{audit}");
}

/// Reads an answer of this status.
trait Filter {
    fn filter(self, status: u16) -> Result<Value, ()>;
}

impl<E> Filter for Result<crate::support::Response, E> {
    fn filter(self, status: u16) -> Result<Value, ()> {
        let answer = self.map_err(drop)?;
        if answer.status == status { Ok(answer.json()) } else { Err(()) }
    }
}

#[test]
fn a_database_that_is_down_refuses_changes_and_lets_calls_go_on() {
    assert!(has_program("baresip"), "install baresip (Debian: baresip-core)");
    let mut kept = Kept::postgres();
    let bridge = kept.bridge();
    let body = json!({"name": "late", "steps": [{"room": "lobby"}]});

    kept.postgres.as_mut().unwrap().stop();
    let refused = bridge.try_request("POST", "/v1/routes", Some(&body));
    let caller = Baresip::call("anna", &bridge.uri("standup"), 440);
    bridge.wait_participant("participant.joined", "anna");
    kept.postgres.as_mut().unwrap().start_again();
    let taken = bridge.try_request("POST", "/v1/routes", Some(&body));

    caller.finish();
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.json()["code"], "store_unavailable", "{}", refused.text);
    assert_eq!(taken.status, 201, "{}", taken.text);
}
