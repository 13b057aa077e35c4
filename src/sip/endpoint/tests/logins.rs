//! Challenges that we answer: RFC 3261 §22.

use std::sync::Arc;
use std::time::Duration;

use super::network::{Network, Weather, sdp, short};
use super::script::{heard, peer, response, say};
use crate::sip::Message;
use crate::sip::digest::Account;
use crate::sip::endpoint::{Invitation, SessionId};
use crate::sip::headers::Name;

const ASK: &[(&str, &str)] =
    &[("Proxy-Authenticate", "Digest realm=\"c\", nonce=\"1\", qop=\"auth\"")];

/// Endpoint 0 calls the scripted peer, which knows it.
fn call(net: &mut Network) -> (SessionId, Message) {
    let account = Account { username: "us".to_owned(), password: "secret".to_owned() };
    let invitation = super::network::invitation(0, 99, Some("offer"));
    let invitation = Invitation { account: Some(Arc::new(account)), ..invitation };
    let session = net.act(0, |endpoint, now| endpoint.invite(now, invitation));
    (session, net.last_to(peer()).clone())
}

fn number(message: &Message) -> u32 {
    message.headers.cseq().unwrap().number
}

#[test]
fn an_invite_that_is_challenged_goes_out_again_and_its_ack_knows_the_password_too() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, invite) = call(&mut net);

    say(&mut net, &response(&invite, (407, "a"), ASK, ""));
    let again = net.last_to(peer()).clone();
    say(&mut net, &response(&again, (200, "b"), &[], "answer"));
    let ack = net.last_to(peer()).clone();
    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));
    let bye = net.last_to(peer()).clone();
    say(&mut net, &response(&bye, (407, "b"), ASK, ""));
    let bye_again = net.last_to(peer()).clone();
    say(&mut net, &response(&bye_again, (200, "b"), &[], ""));
    net.run(Duration::from_secs(40));

    assert_eq!(heard(&net)[..6], ["INVITE", "ACK", "INVITE", "ACK", "BYE", "BYE"]);
    assert_eq!(short(&net.events[0]), ["answered answer"]);
    let numbers = [&invite, &again, &ack, &bye, &bye_again].map(number);
    assert_eq!(numbers, [1, 2, 2, 3, 4]);
    let proof = |message: &Message| message.headers.first(&Name::ProxyAuthorization).cloned();
    assert!(proof(&invite).is_none() && proof(&again).is_some() && proof(&bye_again).is_some());
    assert_eq!(proof(&ack), proof(&again));
    assert_eq!(again.headers.call_id(), invite.headers.call_id());
    net.assert_empty();
}

#[test]
fn a_password_that_is_not_taken_is_told_and_tried_once() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, invite) = call(&mut net);

    say(&mut net, &response(&invite, (407, "a"), ASK, ""));
    let again = net.last_to(peer()).clone();
    let other = [("Proxy-Authenticate", "Digest realm=\"c\", nonce=\"2\", qop=\"auth\"")];
    say(&mut net, &response(&again, (407, "a"), &other, ""));
    net.run(Duration::from_secs(40));

    assert_eq!(short(&net.events[0]), ["failed 407"]);
    assert_eq!(heard(&net).iter().filter(|sent| *sent == "INVITE").count(), 2);
    net.assert_empty();
}

#[test]
fn without_an_account_a_challenge_is_a_refusal() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let invite = super::script::called(&mut net, Some("offer"));

    say(&mut net, &response(&invite, (407, "a"), ASK, ""));
    net.run(Duration::from_secs(40));

    assert_eq!(short(&net.events[0]), ["failed 407"]);
}

#[test]
fn a_lost_ack_of_a_challenge_is_sent_again() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (_, invite) = call(&mut net);
    let challenge = response(&invite, (407, "a"), ASK, "");
    say(&mut net, &challenge);
    net.forget();

    say(&mut net, &challenge);

    assert_eq!(heard(&net), ["ACK"]);
    assert!(short(&net.events[0]).is_empty());
}

#[test]
fn a_call_that_was_given_up_is_not_tried_again() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, invite) = call(&mut net);
    say(&mut net, &response(&invite, (180, "a"), &[], ""));

    net.act(0, |endpoint, now| endpoint.hang_up(now, session, None));
    say(&mut net, &response(&invite, (407, "a"), ASK, ""));
    net.run(Duration::from_secs(100));

    assert_eq!(heard(&net).iter().filter(|sent| *sent == "INVITE").count(), 1);
    net.assert_empty();
}

#[test]
fn a_change_of_the_session_is_answered_too() {
    let mut net = Network::new(1, 1, Weather::FINE);
    let (session, invite) = call(&mut net);
    say(&mut net, &response(&invite, (200, "b"), &[], "answer"));
    let changed = net.act(0, |endpoint, now| endpoint.reinvite(now, session, Some(sdp("new"))));
    let reinvite = net.last_to(peer()).clone();

    say(
        &mut net,
        &response(
            &reinvite,
            (401, "b"),
            &[("WWW-Authenticate", "Digest realm=\"c\", nonce=\"1\"")],
            "",
        ),
    );
    let again = net.last_to(peer()).clone();
    say(&mut net, &response(&again, (200, "b"), &[], "changed"));

    assert!(changed.is_ok() && again.headers.contains(&Name::Authorization));
    assert_eq!((number(&reinvite), number(&again), number(net.last_to(peer()))), (2, 3, 3));
    assert_eq!(short(&net.events[0]), ["answered answer", "reoffer answered changed"]);
}
