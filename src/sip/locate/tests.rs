//! Zones and what is found in them. The first is the example of RFC 3263 §4.1.

use std::collections::BTreeMap;

use super::*;

/// What DNS says, as lines of a zone file without class and TTL.
const EXAMPLE: &str = "
    example.com NAPTR 50 50 s SIPS+D2T _sips._tcp.example.com
    example.com NAPTR 90 50 s SIP+D2T _sip._tcp.example.com
    example.com NAPTR 100 50 s SIP+D2U _sip._udp.example.com
    _sips._tcp.example.com SRV 0 1 5061 server1.example.com
    _sip._tcp.example.com SRV 0 1 5060 server1.example.com
    _sip._tcp.example.com SRV 1 2 5060 server2.example.com
    _sip._udp.example.com SRV 0 1 5060 server2.example.com
    server1.example.com A 192.0.2.1
    server2.example.com A 192.0.2.2
    server2.example.com A 192.0.2.3
    example.com A 192.0.2.9
    plain.example.com A 192.0.2.8
    v6.example.com A 2001:db8::1
    udp.example.com A 192.0.2.7
    _sip._udp.udp.example.com SRV 0 0 5070 server1.example.com
    _sip._tcp.tcp.example.com SRV 0 0 5080 server1.example.com
    host.example.com NAPTR 10 10 a SIP+D2T server2.example.com
    odd.example.com NAPTR 10 10 u E2U+sip odd.example.com
    odd.example.com NAPTR 10 20 s SIP+D2S _sip._sctp.example.com
    odd.example.com NAPTR 10 30 S sip+d2u _sip._udp.example.com
    gone.example.com A 192.0.2.6
    _sip._udp.gone.example.com SRV 0 0 0 .
    _sip._tcp.gone.example.com SRV 0 0 0 .
    _sips._tcp.gone.example.com SRV 0 0 0 .
    broken.example.com NAPTR 10 10 s SIP+D2U _sip._udp.nowhere.example.com
    broken.example.com NAPTR 20 10 s SIP+D2T _sip._tcp.example.com
";

#[test]
fn a_uri_leads_to_servers_as_the_rfc_says() {
    let everything = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let cases: [(&str, &[Transport], &str); 24] = [
        // NAPTR chooses among what we have.
        ("sip:example.com", &everything, "TLS 192.0.2.1:5061"),
        (
            "sip:example.com",
            &everything[..2],
            "TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, TCP 192.0.2.3:5060",
        ),
        ("sip:example.com", &everything[..1], "UDP 192.0.2.2:5060, UDP 192.0.2.3:5060"),
        ("sips:example.com", &everything[..1], "TLS 192.0.2.1:5061"),
        ("sip:host.example.com", &everything, "TCP 192.0.2.2:5060, TCP 192.0.2.3:5060"),
        ("sip:odd.example.com", &everything, "UDP 192.0.2.2:5060, UDP 192.0.2.3:5060"),
        (
            "sip:broken.example.com",
            &everything,
            "TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, TCP 192.0.2.3:5060",
        ),
        // No NAPTR: SRV of each transport, as we like them.
        ("sip:udp.example.com", &everything, "UDP 192.0.2.1:5070"),
        ("sip:tcp.example.com", &everything, "TCP 192.0.2.1:5080"),
        ("sip:gone.example.com", &everything, ""),
        // Neither: the host itself.
        ("sip:plain.example.com", &everything, "UDP 192.0.2.8:5060"),
        ("sip:plain.example.com", &everything[1..], "TCP 192.0.2.8:5060"),
        ("sips:plain.example.com", &everything, "TLS 192.0.2.8:5061"),
        ("sip:v6.example.com", &everything, "UDP [2001:db8::1]:5060"),
        ("sip:nowhere.example.com", &everything, ""),
        // A transport forbids NAPTR.
        ("sip:example.com;transport=udp", &everything, "UDP 192.0.2.2:5060, UDP 192.0.2.3:5060"),
        ("sip:example.com;transport=tls", &everything[..1], "TLS 192.0.2.1:5061"),
        ("sips:example.com;transport=tcp", &everything[..1], "TLS 192.0.2.1:5061"),
        ("sip:plain.example.com;transport=tcp", &everything, "TCP 192.0.2.8:5060"),
        // A port forbids SRV too.
        ("sip:example.com:5090", &everything, "UDP 192.0.2.9:5090"),
        ("sips:example.com:5090", &everything, "TLS 192.0.2.9:5090"),
        ("sip:example.com:5090;transport=tcp", &everything, "TCP 192.0.2.9:5090"),
        // An address forbids everything; maddr is one.
        ("sip:192.0.2.77;transport=tcp", &everything, "TCP 192.0.2.77:5060"),
        ("sip:example.com:5090;maddr=192.0.2.77", &everything, "UDP 192.0.2.77:5090"),
    ];
    for (uri, transports, expected) in cases {
        let (found, _) = locate(uri, transports, 8);
        assert_eq!(found, expected, "{uri} {transports:?}");
    }
}

#[test]
fn no_more_is_asked_than_is_needed() {
    let cases: [(&str, &[&str]); 6] = [
        (
            "sip:example.com",
            &[
                "NAPTR example.com",
                "SRV _sip._tcp.example.com",
                "A server1.example.com",
                "A server2.example.com",
            ],
        ),
        (
            "sip:plain.example.com",
            &[
                "NAPTR plain.example.com",
                "SRV _sip._udp.plain.example.com",
                "SRV _sip._tcp.plain.example.com",
                "A plain.example.com",
            ],
        ),
        (
            "sip:udp.example.com;transport=udp",
            &["SRV _sip._udp.udp.example.com", "A server1.example.com"],
        ),
        ("sip:example.com:5060", &["A example.com"]),
        ("sip:192.0.2.1", &[]),
        ("sip:example.com;transport=ws", &["A example.com"]),
    ];
    for (uri, expected) in cases {
        let (_, asked) = locate(uri, &[Transport::Udp, Transport::Tcp], 8);
        assert_eq!(asked, expected, "{uri}");
    }
}

#[test]
fn dns_that_is_silent_is_asked_three_times_at_most() {
    let mut locator = locator("sip:example.com", &[Transport::Udp, Transport::Tcp], 8);
    let mut asked = 0;

    let found = loop {
        match locator.poll_output() {
            Output::Ask(question) => {
                asked += 1;
                locator.handle_answer(&question, Answer::Silence);
            }
            Output::Found(found) => break found,
            Output::Waiting => panic!("everything was answered"),
        }
    };

    assert_eq!((asked, found.len()), (3, 0));
}

#[test]
fn what_is_taken_of_a_large_answer_is_limited() {
    let servers = (0..200).map(|n| Srv {
        priority: 0,
        weight: 1,
        port: n,
        target: format!("h{n}.example.com"),
    });
    let addresses: Vec<IpAddr> = (0..200).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    let mut locator = locator("sip:example.com;transport=udp", &[Transport::Udp], 4);
    let Output::Ask(question) = locator.poll_output() else { panic!("it has to ask") };

    locator.handle_answer(&question, Answer::Servers(servers.collect()));
    let mut hosts = Vec::new();
    while let Output::Ask(question) = locator.poll_output() {
        hosts.push(question);
    }
    for question in &hosts {
        locator.handle_answer(question, Answer::Addresses(addresses.clone()));
    }

    assert_eq!(hosts.len(), 4);
    let Output::Found(found) = locator.poll_output() else { panic!("all is known") };
    assert_eq!(found.len(), 4);
}

#[test]
fn answers_may_come_in_any_order_and_more_than_once() {
    let mut locator = locator("sip:example.com;transport=tcp", &[Transport::Udp], 8);
    let Output::Ask(service) = locator.poll_output() else { panic!("it has to ask") };
    locator.handle_answer(&service, zone()[&service].clone());
    let (Output::Ask(one), Output::Ask(two)) = (locator.poll_output(), locator.poll_output())
    else {
        panic!("it has to ask twice")
    };

    locator.handle_answer(&two, zone()[&two].clone());
    locator.handle_answer(&two, Answer::Nothing);
    locator.handle_answer(&service, Answer::Nothing);
    assert_eq!(locator.poll_output(), Output::Waiting);
    locator.handle_answer(&one, zone()[&one].clone());

    let Output::Found(found) = locator.poll_output() else { panic!("all is known") };
    assert_eq!(print(&found), "TCP 192.0.2.1:5060, TCP 192.0.2.2:5060, TCP 192.0.2.3:5060");
}

fn locator(uri: &str, transports: &[Transport], limit: usize) -> Locator {
    let wanted = Wanted::of_uri(&Uri::parse(uri.as_bytes()).unwrap()).unwrap();
    Locator::new(wanted, Reach { transports: transports.into(), limit }, 1)
}

/// What is found in the zone, and what was asked for it.
fn locate(uri: &str, transports: &[Transport], limit: usize) -> (String, Vec<String>) {
    let (zone, mut locator) = (zone(), locator(uri, transports, limit));
    let mut asked = Vec::new();
    loop {
        match locator.poll_output() {
            Output::Ask(question) => {
                let kind = match question {
                    Question::Services(_) => "NAPTR",
                    Question::Servers(_) => "SRV",
                    Question::Addresses(_) => "A",
                };
                asked.push(format!("{kind} {}", question.name()));
                let answer = zone.get(&question).cloned().unwrap_or(Answer::Nothing);
                locator.handle_answer(&question, answer);
            }
            Output::Found(found) => return (print(&found), asked),
            Output::Waiting => panic!("everything was answered"),
        }
    }
}

fn print(found: &[Destination]) -> String {
    let each = found.iter().map(|to| format!("{} {}", to.transport, to.peer));
    each.collect::<Vec<_>>().join(", ")
}

fn zone() -> BTreeMap<Question, Answer> {
    let mut zone = BTreeMap::new();
    for line in EXAMPLE.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u16>().unwrap();
        let name = words[0].to_owned();
        match words[1] {
            "NAPTR" => {
                let record = Naptr {
                    order: number(2),
                    preference: number(3),
                    flags: words[4].into(),
                    service: words[5].into(),
                    replacement: words[6].into(),
                };
                let entry = zone.entry(Question::Services(name));
                let Answer::Services(all) = entry.or_insert(Answer::Services(Vec::new())) else {
                    unreachable!()
                };
                all.insert(0, record); // their order in the answer means nothing
            }
            "SRV" => {
                let record = Srv {
                    priority: number(2),
                    weight: number(3),
                    port: number(4),
                    target: words[5].into(),
                };
                let entry = zone.entry(Question::Servers(name));
                let Answer::Servers(all) = entry.or_insert(Answer::Servers(Vec::new())) else {
                    unreachable!()
                };
                all.insert(0, record);
            }
            _ => {
                let entry = zone.entry(Question::Addresses(name));
                let Answer::Addresses(all) = entry.or_insert(Answer::Addresses(Vec::new())) else {
                    unreachable!()
                };
                all.push(words[2].parse().unwrap());
            }
        }
    }
    zone
}
