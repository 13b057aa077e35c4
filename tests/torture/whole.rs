//! Torture messages sent to the real bridge: what it answers, and that it is none the worse for it.
//!
//! Silence is shown by what is answered instead: a well-formed request that was sent afterwards.

use std::path::Path;

use plenary::sip::transport::Transport;
use serde_json::json;

use crate::bridge::{Bridge, Options};
use crate::outcome::{Case, Outcome};
use crate::peer::{Peer, Probed};
use crate::{message, ours, rfc};

#[test]
fn datagrams_are_answered_as_the_table_says() {
    answer_all(Transport::Udp);
}

#[test]
fn streams_are_answered_as_the_table_says() {
    answer_all(Transport::Tcp);
}

/// Each has a bridge of its own: some of them share a transaction.
#[test]
fn the_rfcs_own_messages_are_answered_as_the_table_says() {
    let Ok(folder) = std::env::var("PLENARY_RFC_TORTURE") else { return };

    let mut wrong = Vec::new();
    // It asks for sound at an address that only a machine without IPv6 has no way to.
    for case in rfc::CASES.iter().filter(|case| case.file != "v6_insdp") {
        let path = Path::new(&folder).join(case.file).with_extension("dat");
        let message = std::fs::read(&path).unwrap();
        for transport in [Transport::Udp, Transport::Tcp] {
            let bridge = Bridge::start(Options::default());
            let (finals, _) = exchange(&bridge, transport, case, &message);
            wrong.extend(wrong_answer(case, transport, &finals));
            assert_unharmed(&bridge, transport);
        }
    }

    assert_eq!(wrong, [""; 0]);
}

fn answer_all(transport: Transport) {
    let bridge = Bridge::start(Options::default());

    let mut wrong = Vec::new();
    for case in ours() {
        let (finals, probed) = exchange(&bridge, transport, case, &message(case));
        wrong.extend(wrong_answer(case, transport, &finals));
        let may_close =
            transport == Transport::Tcp && !matches!(case.over(transport), Outcome::Understood(_));
        if probed == Probed::Unanswered && !may_close {
            wrong.push(format!("{} over {transport}: no answer to the next request", case.file));
        }
    }

    assert_eq!(wrong, [""; 0]);
    assert_unharmed(&bridge, transport);
}

/// Sends the message; returns all final statuses that come back, and what became of a good request afterwards.
fn exchange(
    bridge: &Bridge,
    transport: Transport,
    case: &Case,
    message: &[u8],
) -> (Vec<u16>, Probed) {
    let expected = case.over(transport);
    let mut peer = Peer::new(bridge.sip, transport);

    peer.send(message);
    if expected.answer().is_some() {
        peer.wait_final();
    }
    let probed = if expected == Outcome::Waits {
        // A probe here would become part of the message. Another's shows that there was time to answer.
        let probed = Peer::new(bridge.sip, transport).probe();
        peer.end();
        probed
    } else {
        peer.probe()
    };
    (peer.finals, probed)
}

/// What is wrong with these answers. In a stream, those behind the first are to what followed the message.
fn wrong_answer(case: &Case, transport: Transport, finals: &[u16]) -> Option<String> {
    let expected = case.over(transport).answer();
    let to_it = if transport.is_reliable() { &finals[..finals.len().min(1)] } else { finals };
    let is_right = to_it.is_empty() == expected.is_none()
        && to_it.iter().all(|status| Some(*status) == expected);
    (!is_right).then(|| format!("{} over {transport}: {finals:?}, not {expected:?}", case.file))
}

fn assert_unharmed(bridge: &Bridge, transport: Transport) {
    assert_eq!(Peer::new(bridge.sip, transport).probe(), Probed::Answered);
    assert_eq!(bridge.get("/v1/legs")["items"], json!([]));
}
