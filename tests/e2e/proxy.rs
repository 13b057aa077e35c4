//! Behind Kamailio: what is said in a dialog goes by its route set, and a user is called by the Path of its registration.

use std::net::SocketAddr;

use crate::support::{
    Authority, Baresip, Bridge, Kamailio, Options, Sipp, Value, free_port, has_program, json,
};

/// A bridge, and a proxy before it that also knows a phone.
struct Site {
    bridge: Bridge,
    proxy: Kamailio,
    phone: u16,
}

fn site(config: impl Fn(&str) -> String) -> Site {
    for program in ["kamailio", "baresip", "sipp"] {
        assert!(
            has_program(program),
            "install {program} (Debian: kamailio, baresip-core, sip-tester)"
        );
    }
    let (place, phone) = (Kamailio::place(), free_port());
    let config = config(&place.to_string());
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let proxy = Kamailio::start(place, bridge.sip, phone);
    Site { bridge, proxy, phone: phone.port() }
}

impl Site {
    /// As [`requests_by`] the proxy.
    fn assert_by_proxy(&self, leg: &str) -> Vec<String> {
        requests_by(&self.bridge, leg, self.proxy.address)
    }
}

/// The requests that were sent of a leg. Every message of it went to the proxy or came from there.
fn requests_by(bridge: &Bridge, leg: &str, proxy: SocketAddr) -> Vec<String> {
    let trace = bridge.get(&format!("/v1/legs/{leg}/trace"));
    let entries = trace["entries"].as_array().unwrap().iter();
    let messages: Vec<&Value> = entries.filter(|entry| entry["peer"].is_string()).collect();
    for message in &messages {
        assert_eq!(message["peer"], proxy.to_string(), "{message}");
    }
    let sent = messages.into_iter().filter(|message| message["direction"] == "sent");
    let methods = sent.filter_map(|message| message["summary"].as_str()?.split(' ').next());
    methods.filter(|method| !method.starts_with("SIP/")).map(ToOwned::to_owned).collect()
}

#[test]
fn a_caller_through_a_proxy_is_held_and_hung_up_by_the_route_set() {
    let site = site(|_| String::new());
    let uri = format!("sip:standup@{}", site.proxy.address);

    let caller = Baresip::call("anna", &uri, 440);
    let joined = site.bridge.wait_participant("participant.joined", "anna");
    let leg = joined["leg"].as_str().unwrap();
    site.bridge.put(&format!("/v1/legs/{leg}/hold"));
    site.bridge.wait_leg("leg.reinvited", leg);
    site.bridge.delete(&format!("/v1/legs/{leg}"));
    site.bridge.wait_leg("leg.ended", leg);
    drop(caller);

    assert_eq!(site.assert_by_proxy(leg), ["INVITE", "ACK", "BYE"]);
}

#[test]
fn a_callee_through_a_proxy_gets_ack_and_bye_by_the_route_set() {
    for transport in ["udp", "tcp"] {
        let site = site(|proxy| {
            format!(
                "[[trunks]]\nname = \"proxy\"\ngateways = [\"sip:{proxy};transport={transport}\"]\ncheck = \"0s\"\n"
            )
        });
        let callee = Sipp::callee_at(site.phone, "proxied_callee.xml");
        let callee =
            std::thread::spawn(|| callee.args(&["-m", "1", "-timeout", "30"]).expect_success());

        let body = json!({ "to": "sip:phone@anywhere", "trunk": "proxy" });
        let dialled = site.bridge.post("/v1/rooms/standup/participants", &body);
        let leg = dialled["leg"].as_str().unwrap();
        site.bridge.wait_leg("participant.joined", leg);
        site.bridge.delete(&format!("/v1/legs/{leg}"));
        site.bridge.wait_leg("leg.ended", leg);

        callee.join().unwrap();
        assert_eq!(site.assert_by_proxy(leg), ["INVITE", "ACK", "BYE"]);
    }
}

#[test]
fn a_call_over_tls_to_a_proxy_stays_on_its_connection() {
    for program in ["kamailio", "sipp"] {
        assert!(has_program(program), "install {program} (Debian: kamailio, sip-tester)");
    }
    let authority = Authority::new();
    let (places, phone) = ((Kamailio::place(), Kamailio::place()), free_port());
    let config = format!(
        "[sip]\ntls_ca = \"{}\"\n\
         [[trunks]]\nname = \"proxy\"\ngateways = [\"sip:localhost:{};transport=tls\"]\ncheck = \"0s\"\n",
        authority.path().display(),
        places.1.port()
    );
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let proxy = Kamailio::start_secure(places, bridge.sip, phone, &authority);
    let callee = Sipp::callee_at(phone.port(), "proxied_callee.xml");
    let callee =
        std::thread::spawn(|| callee.args(&["-m", "1", "-timeout", "30"]).expect_success());

    let body = json!({ "to": "sip:phone@anywhere", "trunk": "proxy" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap();
    bridge.wait_leg("participant.joined", leg);
    bridge.delete(&format!("/v1/legs/{leg}"));
    bridge.wait_leg("leg.ended", leg);

    callee.join().unwrap();
    let sent = requests_by(&bridge, leg, proxy.secure);
    assert_eq!(sent, ["INVITE", "ACK", "BYE"]);
}

#[test]
fn a_caller_through_a_proxy_that_speaks_tls_to_us_is_held_and_hung_up_over_it() {
    for program in ["kamailio", "baresip"] {
        assert!(has_program(program), "install {program} (Debian: kamailio, baresip-core)");
    }
    let authority = Authority::new();
    let (places, tls) = ((Kamailio::place(), Kamailio::place()), free_port());
    let config = format!("[sip]\ntls = \"{tls}\"\n{}", authority.settings());
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let proxy = Kamailio::start_secure(places, tls, free_port(), &authority);

    let caller = Baresip::call("anna", &format!("sip:standup@{}", proxy.address), 440);
    let joined = bridge.wait_participant("participant.joined", "anna");
    let leg = joined["leg"].as_str().unwrap();
    bridge.put(&format!("/v1/legs/{leg}/hold"));
    bridge.wait_leg("leg.reinvited", leg);
    bridge.delete(&format!("/v1/legs/{leg}"));
    bridge.wait_leg("leg.ended", leg);
    drop(caller);

    let trace = bridge.get(&format!("/v1/legs/{leg}/trace"));
    let invite = &trace["entries"][0];
    let connection = invite["peer"].as_str().unwrap().parse().unwrap();
    assert_eq!(invite["transport"], "tls", "{trace}");
    assert_eq!(requests_by(&bridge, leg, connection), ["INVITE", "ACK", "BYE"]);
}

#[test]
fn a_user_that_registered_through_a_proxy_is_called_through_it() {
    let config = "[sip]\nusers = [\"alice:secret\"]\ndigest = [\"MD5\"]\n";
    let site = site(|_| config.to_owned());
    let registrar = site.bridge.sip.to_string();
    let account = format!(";auth_pass=secret;outbound=\"sip:{}\"", site.proxy.address);

    let alice = Baresip::registered("alice", &registrar, 660, &account);
    site.bridge.wait("registration.added", |event| event["data"]["user"] == "alice");
    let registrations = site.bridge.get("/v1/registrations?user=alice");
    let body = json!({ "to": "sip:alice@plenary" });
    let dialled = site.bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap();
    site.bridge.wait_leg("participant.joined", leg);
    site.bridge.get_until(&format!("/v1/legs/{leg}/stats"), |stats| {
        stats["received"]["packets"].as_u64() > Some(50)
    });
    site.bridge.delete(&format!("/v1/legs/{leg}"));
    site.bridge.wait_leg("leg.ended", leg);
    drop(alice);

    let path = registrations["items"][0]["path"].to_string();
    assert!(path.contains(&site.proxy.address.to_string()), "{registrations}");
    assert_eq!(site.assert_by_proxy(leg), ["INVITE", "ACK", "BYE"]);
}
