//! Symmetric RTP: whose packets count, and where ours go.
//!
//! SDP says where the far side *receives*. Behind a NAT its packets come from elsewhere, and only there can it be
//! reached. The rule:
//!
//! 1. Until a source is latched, ours go to the address of the SDP. The first valid RTP packet latches its source,
//!    wherever it comes from.
//! 2. For [`SETTLES_AFTER`] a packet from the very address of the SDP takes over from any other source, so that who
//!    raced the true sender with forged packets loses. Nothing takes over from the address of the SDP.
//! 3. Packets from elsewhere are rejected. The latch opens again when a re-INVITE brings a new address, or when the
//!    source was silent for [`REOPENS_AFTER`] and a packet continues its SSRC: a NAT that forgot its binding.
//!
//! RTCP counts from the address of the RTP source or of the SDP, and ours follows it to the port it comes from.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mixer::rtp::Ssrc;

/// Where a leg's packets come from and go to.
#[derive(Debug, Default)]
pub(super) struct Latch {
    /// Of the SDP.
    announced: Option<SocketAddr>,
    source: Option<Source>,
    rtcp: Option<SocketAddr>,
    rtcp_latched: bool,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    address: SocketAddr,
    ssrc: Ssrc,
    since: Instant,
    heard: Instant,
}

/// What a packet's origin means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// From the latched source.
    Known,
    /// The source is latched by this packet: ours go there from now on.
    Latched,
    /// From a stranger.
    Rejected,
}

impl Latch {
    /// Takes the addresses of an SDP; opens the latch when the RTP address is a new one.
    pub(super) fn configure(&mut self, media: SocketAddr, rtcp: Option<SocketAddr>) {
        if self.announced != Some(media) {
            self.announced = Some(media);
            self.source = None;
            self.rtcp_latched = false;
        }
        if !self.rtcp_latched {
            self.rtcp = rtcp;
        }
    }

    /// Knows nobody any more: nothing counts and nothing goes anywhere, until there is a new address.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Judges an RTP packet; `is_valid` says that its version and payload type are right.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        from: SocketAddr,
        ssrc: Ssrc,
        is_valid: bool,
    ) -> Verdict {
        if let Some(source) = &mut self.source
            && source.address == from
        {
            source.heard = now;
            if is_valid {
                source.ssrc = ssrc;
            }
            return Verdict::Known;
        }
        if !is_valid || self.announced.is_none() || !self.may_latch(now, from, ssrc) {
            return Verdict::Rejected;
        }
        self.source = Some(Source { address: from, ssrc, since: now, heard: now });
        self.rtcp_latched = false;
        Verdict::Latched
    }

    fn may_latch(&self, now: Instant, from: SocketAddr, ssrc: Ssrc) -> bool {
        let Some(source) = &self.source else { return true };
        let is_young = now.saturating_duration_since(source.since) < SETTLES_AFTER;
        if self.announced == Some(from) && (is_young || self.is_silent(now)) {
            return true;
        }
        self.is_silent(now) && source.ssrc == ssrc
    }

    /// The source that nobody else can take over from now: a socket may be connected to it.
    pub(super) fn settled(&self, now: Instant) -> Option<SocketAddr> {
        let source = self.source.filter(|_| !self.is_silent(now))?;
        let is_old = now.saturating_duration_since(source.since) >= SETTLES_AFTER;
        (is_old || self.announced == Some(source.address)).then_some(source.address)
    }

    /// The latched source has said nothing for so long that another may continue.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.source
            .is_some_and(|source| now.saturating_duration_since(source.heard) >= REOPENS_AFTER)
    }

    /// Judges an RTCP packet from the RTCP port; with rtcp-mux the RTP source counts.
    pub(super) fn admit_rtcp(&mut self, from: SocketAddr) -> bool {
        let known = self.source.is_some_and(|source| source.address.ip() == from.ip())
            || self.announced.is_some_and(|announced| announced.ip() == from.ip())
            || self.rtcp.is_some_and(|rtcp| rtcp.ip() == from.ip());
        if known && !self.rtcp_latched {
            self.rtcp = Some(from);
            self.rtcp_latched = true;
        }
        known
    }

    /// Where RTP goes.
    pub(super) fn rtp_target(&self) -> Option<SocketAddr> {
        self.source.map(|source| source.address).or(self.announced)
    }

    /// Where RTCP goes when it has a port of its own; before any came, beside the RTP source.
    pub(super) fn rtcp_target(&self) -> Option<SocketAddr> {
        let mut rtcp = self.rtcp?;
        if let (false, Some(source)) = (self.rtcp_latched, &self.source) {
            rtcp.set_ip(source.address.ip());
        }
        Some(rtcp)
    }

    /// The latched source.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        self.source.map(|source| source.address)
    }
}

/// A source that was silent for this long may have moved.
pub(super) const REOPENS_AFTER: Duration = Duration::from_secs(3);

/// How long the announced address may take over from a source that came first.
pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    const PHONE: Ssrc = Ssrc::new(1);
    const THIEF: Ssrc = Ssrc::new(666);

    fn at(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    fn configured() -> Latch {
        let mut latch = Latch::default();
        latch.configure(at("192.0.2.1:4000"), Some(at("192.0.2.1:4001")));
        latch
    }

    #[test]
    fn a_phone_behind_a_nat_is_sent_to_where_it_comes_from() {
        let mut latch = configured();

        let verdict = latch.admit(start(), at("198.51.100.1:9000"), PHONE, true);

        assert_eq!(verdict, Verdict::Latched);
        assert_eq!(latch.rtp_target(), Some(at("198.51.100.1:9000")));
        assert_eq!(latch.rtcp_target(), Some(at("198.51.100.1:4001")));
    }

    #[test]
    fn a_latched_stream_cannot_be_stolen() {
        let mut latch = configured();
        latch.admit(start(), at("198.51.100.1:9000"), PHONE, true);

        for ssrc in [PHONE, THIEF] {
            let verdict = latch.admit(start(), at("203.0.113.6:6"), ssrc, true);
            assert_eq!(verdict, Verdict::Rejected);
        }

        assert_eq!(latch.rtp_target(), Some(at("198.51.100.1:9000")));
    }

    #[test]
    fn the_announced_address_takes_over_from_who_raced_it_and_keeps() {
        let mut latch = configured();
        latch.admit(start(), at("203.0.113.6:6"), THIEF, true);

        let phone = latch.admit(start(), at("192.0.2.1:4000"), PHONE, true);
        let thief = latch.admit(start(), at("203.0.113.6:6"), THIEF, true);

        assert_eq!((phone, thief), (Verdict::Latched, Verdict::Rejected));
    }

    #[test]
    fn a_source_from_elsewhere_settles_with_time() {
        let (now, mut latch) = (start(), configured());
        let phone = at("198.51.100.1:9000");
        latch.admit(now, phone, PHONE, true);
        let early = latch.settled(now);
        latch.admit(now + SETTLES_AFTER, phone, PHONE, true);

        let announced = latch.admit(now + SETTLES_AFTER, at("192.0.2.1:4000"), THIEF, true);

        assert_eq!((early, announced), (None, Verdict::Rejected));
        assert_eq!(latch.settled(now + SETTLES_AFTER), Some(phone));
    }

    #[test]
    fn junk_does_not_latch() {
        let mut latch = configured();

        assert_eq!(latch.admit(start(), at("203.0.113.6:6"), THIEF, false), Verdict::Rejected);
        assert_eq!(latch.source(), None);
    }

    #[test]
    fn a_nat_that_rebinds_is_followed_after_silence_with_the_same_ssrc_only() {
        let now = start();
        let mut latch = configured();
        latch.admit(now, at("198.51.100.1:9000"), PHONE, true);
        let later = now + REOPENS_AFTER;

        let thief = latch.admit(later, at("203.0.113.6:6"), THIEF, true);
        let phone = latch.admit(later, at("198.51.100.1:9001"), PHONE, true);

        assert_eq!((thief, phone), (Verdict::Rejected, Verdict::Latched));
    }

    #[test]
    fn a_new_address_opens_the_latch_and_the_same_does_not() {
        let mut latch = configured();
        latch.admit(start(), at("198.51.100.1:9000"), PHONE, true);

        latch.configure(at("192.0.2.1:4000"), None);
        let same = latch.source();
        latch.configure(at("192.0.2.1:5000"), None);

        assert!(same.is_some());
        assert_eq!(latch.rtp_target(), Some(at("192.0.2.1:5000")));
    }

    #[test]
    fn who_is_forgotten_is_neither_heard_nor_sent_to_until_there_is_an_address() {
        let mut latch = configured();
        latch.admit(start(), at("192.0.2.1:4000"), PHONE, true);

        latch.forget();
        let forgotten = latch.admit(start(), at("192.0.2.1:4000"), PHONE, true);
        let targets = (latch.rtp_target(), latch.rtcp_target());
        latch.configure(at("192.0.2.1:4000"), None);

        assert_eq!((forgotten, targets), (Verdict::Rejected, (None, None)));
        assert_eq!(latch.rtp_target(), Some(at("192.0.2.1:4000")));
    }

    #[test]
    fn rtcp_of_strangers_is_rejected_and_ours_follows_the_phones() {
        let mut latch = configured();
        latch.admit(start(), at("198.51.100.1:9000"), PHONE, true);

        assert!(!latch.admit_rtcp(at("203.0.113.6:7")));
        assert!(latch.admit_rtcp(at("198.51.100.1:9007")));
        assert_eq!(latch.rtcp_target(), Some(at("198.51.100.1:9007")));
    }
}
