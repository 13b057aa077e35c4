//! ICE in a description: RFC 8839 §5.
//!
//! Choices where the RFCs leave one:
//! - Who begins with an offer of ours is met by a full agent, which is controlling (RFC 8445 §6.1.1), and who begins with
//!   their own by a lite one: a caller checks us anyway. What it was at first it stays.
//! - Of their candidates those are read that can be paired with our only one: UDP, component 1, an address of its family
//!   (§6.1.2.2). A name, as browsers give it to hide an address (`….local`), is skipped: its host checks us.
//! - Trickled candidates are not read, and ours is complete with the one that it has.

use std::net::{IpAddr, SocketAddr};

use crate::sdp::session::{Media, Session};
use crate::webrtc::{Candidate, Credentials, Ice, Remote};

/// Ours, in an offer or an answer.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    pub(super) credentials: Credentials,
    pub(super) kind: Kind,
}

/// What it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It answers checks.
    Lite,
    /// It checks them.
    Full,
}

impl Agent {
    /// What is agreed with this agent of theirs.
    pub(super) fn meets(self, theirs: &Remote) -> Ice {
        match self.kind {
            Kind::Lite => Ice::Lite(self.credentials),
            Kind::Full => Ice::Full { ours: self.credentials, theirs: theirs.clone() },
        }
    }

    /// Ours of what was agreed.
    pub(super) fn of(agreed: &Ice) -> Self {
        let kind = match agreed {
            Ice::Lite(_) => Kind::Lite,
            Ice::Full { .. } => Kind::Full,
        };
        Self { credentials: agreed.ours().clone(), kind }
    }
}

/// What an m-line says of their agent, as far as it can be reached from `ours`; credentials may stand for the session.
pub(super) fn read(session: &Session, media: &Media, ours: IpAddr) -> Option<Remote> {
    let first = |name| {
        let own = media.attributes(name).next();
        own.or_else(|| session.attributes(name).next())
    };
    let credentials = Credentials::new(first("ice-ufrag")?, first("ice-pwd")?)?;
    let candidates = media.attributes("candidate").filter_map(candidate);
    let reachable = candidates.filter(|candidate| {
        let ip = candidate.address.ip();
        ip.is_ipv4() == ours.is_ipv4() && !ip.is_unspecified() && !ip.is_multicast()
    });
    Some(Remote {
        credentials,
        candidates: reachable.take(CANDIDATES_MAX).collect(),
        is_lite: session.attributes("ice-lite").next().is_some(),
    })
}

/// Foundation, component, transport, priority, address, port, `typ` and what follows (RFC 8839 §5.1).
fn candidate(value: &str) -> Option<Candidate> {
    let mut words = value.split_ascii_whitespace().skip(1);
    let (component, transport) = (words.next()?, words.next()?);
    let (priority, address) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    let is_ours = component == "1" && transport.eq_ignore_ascii_case("udp");
    let is_whole = words.next()? == "typ";
    let address = SocketAddr::new(address, port);
    (is_ours && is_whole).then_some(Candidate { address, priority })
}

/// Candidates that are read; a browser with two networks has about ten.
const CANDIDATES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::net::Ipv4Addr;

    use super::*;

    const IPV4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn theirs(ours: IpAddr, lines: &str) -> Option<Remote> {
        let text = format!(
            "v=0\r\na=ice-ufrag:Xk3q\r\na=ice-pwd:0123456789abcdef01234567\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n{lines}"
        );
        let session = Session::parse(text.as_bytes()).unwrap();
        read(&session, &session.media()[0], ours)
    }

    #[test]
    fn only_candidates_that_can_be_paired_with_ours_are_read() {
        let lines = "a=candidate:1 1 udp 2113937151 8f2b.local 53312 typ host\r\n\
            a=candidate:2 1 UDP 2113937150 192.0.2.1 4000 typ host generation 0\r\n\
            a=candidate:2 2 udp 2113937149 192.0.2.1 4001 typ host\r\n\
            a=candidate:3 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active\r\n\
            a=candidate:4 1 udp 1677729535 203.0.113.1 5000 typ srflx raddr 0.0.0.0 rport 0\r\n\
            a=candidate:5 1 udp 2113939711 2001:db8::1 6000 typ host\r\n\
            a=candidate:6 1 udp 1 0.0.0.0 6000 typ host\r\n\
            a=candidate:6 1 udp 1 224.0.0.1 6000 typ host\r\n\
            a=candidate:7 1 udp 99999999999 192.0.2.1 4002 typ host\r\n\
            a=candidate:8 1 udp 1 192.0.2.1 0 typ host\r\n\
            a=candidate:9 1 udp 1 192.0.2.1\r\n";

        let (four, six) = (theirs(IPV4, lines).unwrap(), theirs("::1".parse().unwrap(), lines));

        let candidate = |address: &str, priority| {
            let address = address.parse().unwrap();
            Candidate { address, priority }
        };
        let expected = [
            candidate("192.0.2.1:4000", 2_113_937_150),
            candidate("203.0.113.1:5000", 1_677_729_535),
        ];
        assert_eq!(four.candidates, expected);
        assert_eq!(six.unwrap().candidates, [candidate("[2001:db8::1]:6000", 2_113_939_711)]);
    }

    #[test]
    fn no_more_than_some_candidates_are_read() {
        let mut lines = String::new();
        for port in 1..=1_000 {
            write!(lines, "a=candidate:1 1 udp {port} 192.0.2.1 {port} typ host\r\n").unwrap();
        }

        assert_eq!(theirs(IPV4, &lines).unwrap().candidates.len(), CANDIDATES_MAX);
    }

    #[test]
    fn without_legal_credentials_there_is_no_agent() {
        for lines in ["a=ice-ufrag:x\r\n", "a=ice-pwd:short\r\n"] {
            assert_eq!(theirs(IPV4, lines), None, "{lines}");
        }
    }
}
