//! What a leg's far side asks of its port beside RTP: ICE finds it, and DTLS makes its keys.
//!
//! ```text
//!  STUN ─▶ Lite, or Full ── nominated ─▶ the latch        DTLS, if its source may speak ─▶ Dtls ── keys ─▶ Secure
//! ```
//! With ICE an address may speak when a check from there has passed. Without it the address of the SDP may, or the first
//! that does, since a NAT may stand between. Checks come and go for as long as the call lasts, and cost no allocation; a
//! handshake does, and 0.3 ms of the tick that it falls into.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mixer::srtp::Keys;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::socket::Socket;
use crate::webrtc::{
    Association, Check, Dtls, Fault, Full, Ice, IceOutput, Identity, Lite, Output,
};

/// Both agreements of a leg.
#[derive(Debug)]
pub(super) struct Web {
    ice: Option<Agent>,
    dtls: Dtls,
    identity: Arc<Identity>,
    dice: ChaCha12Rng,
    /// Of the SDP.
    announced: SocketAddr,
    /// Where their DTLS comes from, without ICE.
    peer: Option<SocketAddr>,
}

#[derive(Debug)]
enum Agent {
    Lite(Box<Lite>),
    Full(Box<Full>),
}

/// Who we are in DTLS, and what the agents of one leg are made with.
#[derive(Clone, Debug)]
pub(super) struct Means {
    pub(super) identity: Arc<Identity>,
    pub(super) seed: u64,
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
    /// It may flow no more: for so long they have not said that they want it.
    Lost(Duration),
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
        Means { identity, seed }: Means,
        association: &Association,
        announced: SocketAddr,
    ) -> Self {
        let mut dice = ChaCha12Rng::seed_from_u64(seed);
        Self {
            ice: association.ice.as_ref().map(|ice| Agent::new(now, ice, &mut dice)),
            dtls: Dtls::new(now, Arc::clone(&identity), association.clone()),
            identity,
            dice,
            announced,
            peer: None,
        }
    }

    /// Takes what offer/answer agreed now; a handshake begins if it is another association.
    pub(super) fn configure(&mut self, now: Instant, new: &Association, announced: SocketAddr) {
        match (&mut self.ice, &new.ice) {
            (Some(Agent::Lite(agent)), Some(Ice::Lite(ours))) => agent.restart(ours),
            (Some(Agent::Full(agent)), Some(Ice::Full { ours, theirs })) => {
                agent.configure(now, ours, theirs);
            }
            (agent, ice) => {
                *agent = ice.as_ref().map(|ice| Agent::new(now, ice, &mut self.dice));
            }
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

    /// When [`Self::handle_timeout`] is to be called for the sake of ICE, at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &self.ice {
            Some(Agent::Full(agent)) => agent.deadline(),
            Some(Agent::Lite(_)) | None => None,
        }
    }

    /// Takes what may be a check, and answers it, or the answer to one of ours.
    pub(super) fn handle_stun(
        &mut self,
        now: Instant,
        (from, bytes): (SocketAddr, &[u8]),
        wire: &mut Wire<'_>,
    ) -> Option<News> {
        let mut nominated = None;
        match self.ice.as_mut()? {
            Agent::Lite(agent) => {
                if let Check::Nominated(remote) = agent.handle_check(from, bytes, wire.room) {
                    nominated = Some(News::Nominated(remote));
                }
            }
            Agent::Full(agent) => agent.handle_packet(now, (from, bytes), wire.room),
        }
        if !wire.room.is_empty() {
            let _lost = wire.socket.send(from, wire.room);
        }
        // A client that had nobody to speak to begins.
        self.handle_timeout(now, wire).or(nominated)
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
        let found = self.check(now, wire);
        self.shake(now, wire).or(found)
    }

    /// Sends the checks that are due.
    fn check(&mut self, now: Instant, wire: &mut Wire<'_>) -> Option<News> {
        let Some(Agent::Full(agent)) = &mut self.ice else { return None };
        let mut news = None;
        loop {
            match agent.poll_output(now, wire.room) {
                IceOutput::Check(to) => {
                    let _lost = wire.socket.send(to, wire.room);
                }
                IceOutput::Nominated(remote) => news = Some(News::Nominated(remote)),
                IceOutput::Lost(since) => news = Some(News::Lost(since)),
                IceOutput::WaitUntil(_) => return news,
            }
        }
    }

    /// Does what is due of the handshake.
    fn shake(&mut self, now: Instant, wire: &mut Wire<'_>) -> Option<News> {
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
            Some(Agent::Lite(agent)) => agent.remote(),
            Some(Agent::Full(agent)) => agent.remote(),
            None => Some(self.peer.unwrap_or(self.announced)),
        }
    }

    fn may_speak(&mut self, from: SocketAddr) -> bool {
        match &self.ice {
            Some(Agent::Lite(agent)) => return agent.knows(from),
            Some(Agent::Full(agent)) => return agent.knows(from),
            None => {}
        }
        if self.peer.is_none() || from == self.announced && self.dtls.is_open() {
            self.peer = Some(from);
        }
        self.peer == Some(from)
    }
}

impl Agent {
    fn new(now: Instant, ice: &Ice, dice: &mut ChaCha12Rng) -> Self {
        match ice {
            Ice::Lite(ours) => Self::Lite(Box::new(Lite::new(ours.clone()))),
            Ice::Full { ours, theirs } => {
                let mut seed = [0; 32];
                dice.fill_bytes(&mut seed);
                Self::Full(Box::new(Full::new(now, ours, theirs, seed)))
            }
        }
    }
}
