//! Gateways that are found by DNS: NAPTR, SRV and A of a real name server, sipp at the other end.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::support::{
    Authority, Bridge, Dns, Options, Peer, RunningSipp, Sipp, Value, free_port, has_program, json,
};

/// A bridge that asks a name server with these records; `gwN.test` are this machine.
fn bridge(records: &[String]) -> (Bridge, Dns) {
    for program in ["sipp", "dnsmasq"] {
        assert!(has_program(program), "install {program} (Debian: sip-tester, dnsmasq-base)");
    }
    let hosts = ["gw1", "gw2"].map(|host| format!("host-record={host}.test,127.0.0.1"));
    let dns = Dns::start(&[records, &hosts].concat());
    let bridge = Bridge::start(Options { config: dns.setting(), ..Options::default() });
    (bridge, dns)
}

#[test]
fn srv_leads_past_a_gateway_that_is_dead_and_one_that_is_overloaded() {
    let [dead, busy, live] = [(); 3].map(|()| free_port().port());
    let _busy = Sipp::callee_at(busy, "busy.xml").args(&["-t", "t1"]).start();
    let _live = gateway(live, "t1");
    let (bridge, _dns) = bridge(&[
        format!("srv-host=_sip._tcp.carrier.test,gw1.test,{dead},1,1"),
        format!("srv-host=_sip._tcp.carrier.test,gw1.test,{busy},2,1"),
        format!("srv-host=_sip._tcp.carrier.test,gw2.test,{live},3,1"),
    ]);

    let first = call(&bridge, "sip:bob@carrier.test;transport=tcp");
    let second = call(&bridge, "sip:bob@carrier.test;transport=tcp");

    assert_eq!(tried(&bridge, &first), [dead, busy, live]);
    assert_eq!(tried(&bridge, &second), [live], "those that failed are tried last");
    hang_up(&bridge, &first);
    hang_up(&bridge, &second);
}

#[test]
fn naptr_chooses_tcp_and_srv_the_port() {
    let [udp, tcp] = [(); 2].map(|()| free_port().port());
    let _live = gateway(tcp, "t1");
    let (bridge, _dns) = bridge(&[
        "naptr-record=carrier.test,10,10,s,SIP+D2T,,_sip._tcp.carrier.test".to_owned(),
        "naptr-record=carrier.test,20,10,s,SIP+D2U,,_sip._udp.carrier.test".to_owned(),
        format!("srv-host=_sip._udp.carrier.test,gw1.test,{udp},1,1"),
        format!("srv-host=_sip._tcp.carrier.test,gw1.test,{tcp},1,1"),
    ]);

    let leg = call(&bridge, "sip:bob@carrier.test");

    let invites = invites(&bridge, &leg);
    assert_eq!(invites.len(), 1, "{invites:#?}");
    assert_eq!(invites[0]["transport"], "tcp");
    assert_eq!(tried(&bridge, &leg), [tcp]);
    hang_up(&bridge, &leg);
}

#[test]
fn calls_are_spread_by_weight() {
    let [heavy, light] = [(); 2].map(|()| free_port().port());
    let _gateways = [gateway(heavy, "u1"), gateway(light, "u1")];
    let (bridge, _dns) = bridge(&[
        format!("srv-host=_sip._udp.carrier.test,gw1.test,{heavy},1,80"),
        format!("srv-host=_sip._udp.carrier.test,gw2.test,{light},1,20"),
    ]);

    let mut calls: BTreeMap<u16, u32> = BTreeMap::new();
    for _ in 0..40 {
        let leg = call(&bridge, "sip:bob@carrier.test");
        for port in tried(&bridge, &leg) {
            *calls.entry(port).or_default() += 1;
        }
        hang_up(&bridge, &leg);
    }

    assert_eq!(calls.values().sum::<u32>(), 40, "{calls:?}");
    assert!(calls[&heavy] > calls[&light] && calls[&light] > 0, "{calls:?}");
}

#[test]
fn a_trunk_registers_and_calls_by_the_name_of_its_carrier() {
    let live = free_port().port();
    let _live = gateway(live, "u1");
    let srv = format!("srv-host=_sip._udp.carrier.test,gw1.test,{live},1,1");
    let dns = Dns::start(&[srv, "host-record=gw1.test,127.0.0.1".to_owned()]);
    let trunk =
        "[[trunks]]\nname = \"carrier\"\ngateways = [\"sip:carrier.test\"]\ncheck = \"0s\"\n";
    let config = dns.setting() + trunk;
    let bridge = Bridge::start(Options { config, ..Options::default() });

    let body = json!({ "to": "1234", "trunk": "carrier" });
    let dialled = bridge.post("/v1/rooms/standup/participants", &body);
    let leg = dialled["leg"].as_str().unwrap().to_owned();
    bridge.wait_leg("participant.joined", &leg);

    assert_eq!(tried(&bridge, &leg), [live]);
    hang_up(&bridge, &leg);
}

#[test]
fn names_that_do_not_exist_are_told_at_once() {
    let (bridge, _dns) = bridge(&[]);

    let dialled = bridge.post("/v1/rooms/standup/participants", &json!({ "to": "sip:b@no.test" }));

    let ended = bridge.wait_leg("leg.ended", dialled["leg"].as_str().unwrap());
    assert_eq!(ended["data"]["end_reason"], "unreachable", "{ended}");
    assert_eq!(ended["data"]["sip"]["status"], 503, "{ended}");
}

#[test]
fn a_certificate_must_name_the_domain_that_was_asked_for_and_not_its_server() {
    assert!(has_program("dnsmasq"), "install dnsmasq (Debian: dnsmasq-base)");
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let dns = Dns::start(&[
        format!("srv-host=_sips._tcp.carrier.test,gw1.test,{port},1,1"),
        "host-record=gw1.test,127.0.0.1".to_owned(),
    ]);
    let roots = format!("[sip]\ntls_ca = \"{}\"\n", authority.path().display());
    let config = dns.setting() + &roots;
    let bridge = Bridge::start(Options { config, ..Options::default() });
    let dial = || {
        let body = json!({ "to": "sip:bob@carrier.test;transport=tls" });
        let dialled = bridge.post("/v1/rooms/standup/participants", &body);
        dialled["leg"].as_str().unwrap().to_owned()
    };

    let leg = dial();
    Peer::tls_accepted(&listener, &authority.server(&["gw1.test"])).wait_closed();
    let left = bridge.wait_leg("participant.left", &leg);
    dial();
    let invite =
        Peer::tls_accepted(&listener, &authority.server(&["carrier.test"])).wait_request("INVITE");

    assert_eq!(left["data"]["sip"]["status"], 503, "{left}");
    assert!(invite.header("Via").starts_with("SIP/2.0/TLS "), "{invite:?}");
}

/// A gateway that takes every call; `transport` as sipp names it.
fn gateway(port: u16, transport: &str) -> RunningSipp {
    Sipp::callee_at(port, "uas").args(&["-t", transport]).start()
}

/// Calls into a room and waits until the call is up.
fn call(bridge: &Bridge, uri: &str) -> String {
    let dialled = bridge.post("/v1/rooms/standup/participants", &json!({ "to": uri }));
    let leg = dialled["leg"].as_str().unwrap().to_owned();
    bridge.wait_leg("participant.joined", &leg);
    leg
}

fn hang_up(bridge: &Bridge, leg: &str) {
    bridge.delete(&format!("/v1/legs/{leg}"));
    bridge.wait_leg("leg.ended", leg);
}

/// Each INVITE that was sent, retransmissions included.
fn invites(bridge: &Bridge, leg: &str) -> Vec<Value> {
    let trace = bridge.get(&format!("/v1/legs/{leg}/trace"));
    let entries = trace["entries"].as_array().unwrap().iter();
    let is_invite = |entry: &&Value| {
        entry["direction"] == "sent"
            && entry["summary"].as_str().is_some_and(|line| line.starts_with("INVITE "))
    };
    entries.filter(is_invite).cloned().collect()
}

/// The ports that were tried, one after the other.
fn tried(bridge: &Bridge, leg: &str) -> Vec<u16> {
    let port = |invite: &Value| {
        let peer = invite["peer"].as_str().unwrap();
        peer.rsplit_once(':').unwrap().1.parse().unwrap()
    };
    let mut ports: Vec<u16> = invites(bridge, leg).iter().map(port).collect();
    ports.dedup();
    ports
}
