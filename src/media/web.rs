//! What a leg's far side asks of its port beside RTP: ICE checks are answered, and DTLS makes its keys.
//!
//! ```text
//!  STUN ─▶ Lite ── nominated ─▶ the latch        DTLS, if its source may speak ─▶ Dtls ── keys ─▶ Secure
//! ```
//! With ICE an address may speak when a check from there has passed. Without it the address of the SDP may, or the first
//! that does, since a NAT may stand between. Checks come for as long as the call lasts, and cost no allocation; a handshake
//! does, and 0.3 ms of the tick that it falls into.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use mixer::srtp::Keys;

use super::socket::Socket;
use crate::webrtc::{Association, Check, Dtls, Fault, Identity, Lite, Output};

/// Both agreements of a leg.
#[derive(Debug)]
pub(super) struct Web {
    ice: Option<Lite>,
    dtls: Dtls,
    identity: Arc<Identity>,
    /// Of the SDP.
    announced: SocketAddr,
    /// Where their DTLS comes from, without ICE.
    peer: Option<SocketAddr>,
}

/// What the leg must know.
#[derive(Debug)]
pub(super) enum News {
    /// Ours goes there from now on.
    Nominated(SocketAddr),
    /// Media may flow.
    Keys(Keys),
    /// It never will.
    Failed(Fault),
}

/// By what something is sent: the socket, and scratch space.
#[derive(Debug)]
pub(super) struct Wire<'a> {
    pub(super) socket: &'a Socket,
    pub(super) room: &'a mut Vec<u8>,
}

impl Web {
    /// Begins both.
    pub(super) fn new(
        now: Instant,
        identity: Arc<Identity>,
        association: &Association,
        announced: SocketAddr,
    ) -> Self {
        Self {
            ice: association.ice.clone().map(Lite::new),
            dtls: Dtls::new(now, Arc::clone(&identity), association.clone()),
            identity,
            announced,
            peer: None,
        }
    }

    /// Takes what offer/answer agreed now; a handshake begins if it is another association.
    pub(super) fn configure(&mut self, now: Instant, new: &Association, announced: SocketAddr) {
        match (&mut self.ice, &new.ice) {
            (Some(agent), Some(ours)) => agent.restart(ours),
            (agent, ours) => *agent = ours.clone().map(Lite::new),
        }
        if self.announced != announced {
            (self.announced, self.peer) = (announced, None);
        }
        let old = self.dtls.association();
        let same = (old.number, old.role) == (new.number, new.role);
        if !same || old.fingerprints != new.fingerprints {
            self.dtls = Dtls::new(now, Arc::clone(&self.identity), new.clone());
        }
    }

    /// Whether ICE, not the SDP, says where the far side is.
    pub(super) fn has_ice(&self) -> bool {
        self.ice.is_some()
    }

    /// Takes what may be a check, and answers it.
    pub(super) fn handle_stun(
        &mut self,
        now: Instant,
        (from, bytes): (SocketAddr, &[u8]),
        wire: &mut Wire<'_>,
    ) -> Option<News> {
        let check = self.ice.as_mut()?.handle_check(from, bytes, wire.room);
        if !wire.room.is_empty() {
            let _lost = wire.socket.send(from, wire.room);
        }
        match check {
            Check::Nominated(remote) => {
                // A client that had nobody to speak to begins.
                Some(self.handle_timeout(now, wire).unwrap_or(News::Nominated(remote)))
            }
            Check::Passed => self.handle_timeout(now, wire),
            Check::Ignored(_) | Check::Refused => None,
        }
    }

    /// Takes a datagram of DTLS, if its source may speak.
    pub(super) fn handle_dtls(
        &mut self,
        now: Instant,
        (from, bytes): (SocketAddr, &[u8]),
        wire: &mut Wire<'_>,
    ) -> Option<News> {
        if !self.may_speak(from) {
            return None;
        }
        self.dtls.handle_packet(now, bytes);
        self.drive(wire)
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, wire: &mut Wire<'_>) -> Option<News> {
        // Without an address there is nobody to begin with, but the time for it may be over.
        if !self.dtls.is_due(now) || self.remote().is_none() && !self.dtls.is_late(now) {
            return None;
        }
        self.dtls.handle_timeout(now);
        self.drive(wire)
    }

    fn drive(&mut self, wire: &mut Wire<'_>) -> Option<News> {
        let mut news = None;
        loop {
            match self.dtls.poll_output(wire.room) {
                Output::Packet => {
                    if let Some(to) = self.remote().filter(|to| !to.ip().is_unspecified()) {
                        let _lost = wire.socket.send(to, wire.room);
                    }
                }
                Output::Keys(keys) => news = Some(News::Keys(keys)),
                Output::Failed(fault) => news = Some(News::Failed(fault)),
                Output::WaitUntil(_) => return news,
            }
        }
    }

    fn remote(&self) -> Option<SocketAddr> {
        match &self.ice {
            Some(agent) => agent.remote(),
            None => Some(self.peer.unwrap_or(self.announced)),
        }
    }

    fn may_speak(&mut self, from: SocketAddr) -> bool {
        if let Some(agent) = &self.ice {
            return agent.knows(from);
        }
        if self.peer.is_none() || from == self.announced && self.dtls.is_open() {
            self.peer = Some(from);
        }
        self.peer == Some(from)
    }
}
