//! DTLS-SRTP (RFC 5763, RFC 5764): a handshake that proves the certificate of the signalling, and exports SRTP keys.
//!
//! ```text
//!            their certificate          use_srtp, export
//!  Shaking ───────────────────▶ Trusted ────────────────▶ Done      what comes then repeats their last flight, or is nothing
//!     │ ▲ nonsense that ends the engine, a few times  │
//!     ├─┘                                             │
//!     └──── fingerprint, alert, deadline ────▶ Over ◀─┘
//! ```
//! [`dimpl`] speaks the protocol, 1.2 and 1.3, with ECDSA certificates alone. It neither renegotiates nor resumes, and nor
//! do we. One input, then [`Dtls::poll_output`] until [`Output::WaitUntil`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{DtlsCertificate, SecurityError, SrtpProfile};
use mixer::srtp::{Keys, MasterKey, Suite};

use super::{Association, Fingerprint, Role};

/// Who we are in every handshake: made once, when the process starts.
#[derive(Debug)]
pub struct Identity {
    certificate: DtlsCertificate,
    fingerprint: Fingerprint,
    /// For those whose address is proved by ICE already.
    proved: Arc<dimpl::Config>,
    /// For others: a cookie comes first (RFC 6347 §4.2.1).
    unproved: Arc<dimpl::Config>,
    timeout: Duration,
}

impl Identity {
    /// Takes a certificate and its key, both in DER; no handshake may take longer than `timeout`.
    ///
    /// # Errors
    ///
    /// What [`dimpl`] says of a timeout of zero.
    pub fn new(
        certificate: Vec<u8>,
        private_key: Vec<u8>,
        timeout: Duration,
    ) -> Result<Self, dimpl::Error> {
        let config = |cookie| {
            let config = dimpl::Config::builder().use_server_cookie(cookie);
            let config = config.handshake_timeout(timeout).flight_start_rto(FIRST_RETRY);
            config.flight_retries(RETRIES).build().map(Arc::new)
        };
        Ok(Self {
            fingerprint: Fingerprint::of(&certificate),
            proved: config(false)?,
            unproved: config(true)?,
            certificate: DtlsCertificate { certificate, private_key },
            timeout,
        })
    }

    /// Of our certificate, for the SDP.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// Why there will be no keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// They are not who the signalling says.
    #[error("the certificate of the DTLS handshake is not the one of a=fingerprint")]
    Fingerprint,
    /// Nothing came of it in time.
    #[error("the DTLS handshake took too long")]
    Timeout,
    /// They sent a fatal alert of this number.
    #[error("the DTLS handshake was refused with alert {0}")]
    Refused(u8),
    /// There is no common version, cipher or SRTP profile, or what comes is no handshake.
    #[error("the DTLS handshake failed")]
    Failed,
}

/// What a handshake wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Output {
    /// Send what is in the buffer now.
    Packet,
    /// The keys; there will be no others.
    Keys(Keys),
    /// It is over.
    Failed(Fault),
    /// Nothing until then, or until a packet comes.
    WaitUntil(Option<Instant>),
}

/// One association of a leg.
#[derive(Debug)]
pub struct Dtls {
    identity: Arc<Identity>,
    association: Association,
    engine: dimpl::Dtls,
    state: State,
    deadline: Instant,
    wake: Option<Instant>,
    /// How often the engine may yet be made anew.
    attempts: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Shaking,
    /// Their certificate is the right one.
    Trusted,
    Done,
    /// Told, or to be told, if there is a reason.
    Over(Option<Fault>),
}

impl Dtls {
    /// Begins; the time for it runs from now on.
    pub fn new(now: Instant, identity: Arc<Identity>, association: Association) -> Self {
        Self {
            engine: engine(now, &identity, &association),
            state: State::Shaking,
            deadline: now + identity.timeout,
            wake: None,
            attempts: ATTEMPTS,
            identity,
            association,
        }
    }

    /// What it was made for.
    pub fn association(&self) -> &Association {
        &self.association
    }

    /// Whether keys may still come of it.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Shaking | State::Trusted)
    }

    /// Whether [`Self::handle_timeout`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        match self.state {
            State::Over(fault) => fault.is_some(),
            State::Done => self.wake.is_some_and(|wake| now >= wake),
            State::Shaking | State::Trusted => {
                self.is_late(now) || self.wake.is_none_or(|wake| now >= wake)
            }
        }
    }

    /// Whether the time for it is over and there are no keys.
    pub fn is_late(&self, now: Instant) -> bool {
        self.is_open() && now >= self.deadline
    }

    /// Takes a datagram of theirs. Nonsense is skipped.
    pub fn handle_packet(&mut self, now: Instant, datagram: &[u8]) {
        if matches!(self.state, State::Over(_)) {
            return;
        }
        let result = self.engine.handle_timeout(now);
        let result = result.and_then(|()| self.engine.handle_packet(datagram));
        self.take(now, result);
    }

    /// Looks at the clock.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_late(now) {
            self.state = State::Over(Some(Fault::Timeout));
        }
        if matches!(self.state, State::Over(_)) || self.wake.is_some_and(|wake| now < wake) {
            return;
        }
        let result = self.engine.handle_timeout(now);
        self.take(now, result);
    }

    /// What is wanted next; `room` is filled with a packet, or with nothing that counts.
    #[expect(clippy::wildcard_enum_match_arm, reason = "dimpl may add outputs")]
    pub fn poll_output(&mut self, room: &mut Vec<u8>) -> Output {
        loop {
            if let State::Over(fault) = &mut self.state {
                return match fault.take() {
                    Some(fault) => Output::Failed(fault),
                    None => Output::WaitUntil(None),
                };
            }
            room.resize(room.capacity().clamp(ROOM, ROOM_MAX), 0);
            match self.engine.poll_output(room) {
                dimpl::Output::Packet(packet) => {
                    let len = packet.len();
                    room.truncate(len);
                    return Output::Packet;
                }
                dimpl::Output::BufferTooSmall { needed } if needed <= ROOM_MAX => {
                    room.resize(needed, 0);
                    room.reserve(needed);
                }
                dimpl::Output::BufferTooSmall { .. } => self.end(Fault::Failed),
                dimpl::Output::PeerCert(certificate) => {
                    let fingerprints = &self.association.fingerprints;
                    if fingerprints.iter().any(|known| known.is_of(certificate)) {
                        self.state = State::Trusted;
                    } else {
                        self.end(Fault::Fingerprint);
                    }
                }
                dimpl::Output::KeyingMaterial(material, profile) => {
                    if self.state != State::Trusted {
                        self.end(Fault::Fingerprint); // They showed none.
                    } else if let Some(keys) = keys(&material, profile, self.association.role) {
                        self.state = State::Done;
                        return Output::Keys(keys);
                    } else {
                        self.end(Fault::Failed);
                    }
                }
                dimpl::Output::Timeout(at) => {
                    self.wake = Some(at);
                    let at = if self.is_open() { at.min(self.deadline) } else { at };
                    return Output::WaitUntil(Some(at));
                }
                // Connected without keys means that they do not know use_srtp: the deadline ends that. Data is not for us,
                // and a closed association does not end a call: a BYE does.
                _ => {}
            }
        }
    }

    /// What the engine said: every error is its end.
    #[expect(clippy::wildcard_enum_match_arm, reason = "dimpl has many errors, and may add some")]
    fn take(&mut self, now: Instant, result: Result<(), dimpl::Error>) {
        let Err(error) = result else { return };
        if self.state == State::Done {
            self.state = State::Over(None); // The keys stay good.
            return;
        }
        match error {
            dimpl::Error::SecurityError(SecurityError::FatalAlert { description }) => {
                self.end(Fault::Refused(description));
            }
            dimpl::Error::Timeout(_) => self.end(Fault::Timeout),
            _ if self.attempts == 0 => self.end(Fault::Failed),
            // Who can forge a datagram shall not end a call by it.
            _ => {
                self.attempts -= 1;
                self.state = State::Shaking;
                self.wake = None;
                self.engine = engine(now, &self.identity, &self.association);
            }
        }
    }

    fn end(&mut self, fault: Fault) {
        self.state = State::Over(Some(fault));
    }
}

fn engine(now: Instant, identity: &Identity, association: &Association) -> dimpl::Dtls {
    let config = if association.ice.is_some() { &identity.proved } else { &identity.unproved };
    let mut engine = dimpl::Dtls::new_auto(Arc::clone(config), identity.certificate.clone(), now);
    engine.set_active(association.role == Role::Client);
    engine
}

/// RFC 5764 §4.2: both keys, then both salts, the client's first.
fn keys(material: &[u8], profile: SrtpProfile, role: Role) -> Option<Keys> {
    let (suite, key_len, salt_len) = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => (Suite::Aes128CmSha1_80, 16, 14),
        SrtpProfile::AEAD_AES_128_GCM => (Suite::Aes128Gcm, 16, 12),
        SrtpProfile::AEAD_AES_256_GCM => (Suite::Aes256Gcm, 32, 12),
        _ => return None,
    };
    let (keys, salts) = material.split_at_checked(2 * key_len)?;
    let part = |of: usize| {
        let key = keys.get(of * key_len..(of + 1) * key_len)?;
        let salt = salts.get(of * salt_len..(of + 1) * salt_len)?;
        MasterKey::new(suite, &[key, salt].concat())
    };
    let (client, server) = (part(0)?, part(1)?);
    Some(match role {
        Role::Client => Keys { send: client, receive: server },
        Role::Server => Keys { send: server, receive: client },
    })
}

/// Packets fit: those of the engine have 1,150 octets at most.
const ROOM: usize = 2_048;
/// A certificate must fit.
const ROOM_MAX: usize = 16_384;
/// The first flight is repeated after that; doubled each time (RFC 9147 §5.8.2 advises less than a second for such uses).
const FIRST_RETRY: Duration = Duration::from_millis(400);
const RETRIES: usize = 6;
/// Times that the engine is made anew.
const ATTEMPTS: u8 = 3;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A fresh certificate.
    pub(crate) fn identity() -> Arc<Identity> {
        identity_within(Duration::from_secs(20))
    }

    /// One whose handshakes may take so long.
    pub(crate) fn identity_within(timeout: Duration) -> Arc<Identity> {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec!["leg".to_owned()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        Arc::new(Identity::new(certificate.der().to_vec(), key.serialize_der(), timeout).unwrap())
    }

    #[expect(clippy::disallowed_methods, reason = "virtual time starts somewhere")]
    fn start() -> Instant {
        Instant::now()
    }

    /// Two ends and the datagrams between them.
    struct Pair {
        now: Instant,
        ends: [Dtls; 2],
        came: [Vec<Output>; 2],
        /// Datagrams to be lost yet.
        lost: usize,
    }

    impl Pair {
        /// The first is the client, and expects what `trusts` says.
        fn new(trusts: [&Identity; 2], is: [&Arc<Identity>; 2]) -> Self {
            let now = start();
            let end = |at: usize, role| {
                let fingerprints = vec![trusts[at].fingerprint().clone()];
                let association = Association { number: 1, role, fingerprints, ice: None };
                Dtls::new(now, Arc::clone(is[at]), association)
            };
            let ends = [end(0, Role::Client), end(1, Role::Server)];
            Self { now, ends, came: [Vec::new(), Vec::new()], lost: 0 }
        }

        /// Until nothing is left to be said or waited for, but `time` at most.
        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            let mut room = Vec::new();
            while self.now < end {
                let mut said = false;
                let mut due = Vec::new();
                for at in [0, 1] {
                    self.ends[at].handle_timeout(self.now);
                    loop {
                        match self.ends[at].poll_output(&mut room) {
                            Output::Packet if self.lost > 0 => self.lost -= 1,
                            Output::Packet => {
                                said = true;
                                self.ends[1 - at].handle_packet(self.now, &room);
                            }
                            Output::WaitUntil(at) => break due.extend(at),
                            output @ (Output::Keys(_) | Output::Failed(_)) => {
                                self.came[at].push(output);
                            }
                        }
                    }
                }
                if !said {
                    let Some(due) = due.into_iter().min() else { return };
                    self.now = self.now.max(due.min(end)) + Duration::from_millis(1);
                }
            }
        }

        fn keys(&self, at: usize) -> Option<&Keys> {
            self.came[at].iter().find_map(|output| match output {
                Output::Keys(keys) => Some(keys),
                Output::Packet | Output::Failed(_) | Output::WaitUntil(_) => None,
            })
        }
    }

    #[test]
    fn both_ends_come_to_the_same_keys() {
        let (one, other) = (identity(), identity());
        let mut pair = Pair::new([&other, &one], [&one, &other]);

        pair.run(Duration::from_secs(5));

        let (client, server) = (pair.keys(0).unwrap(), pair.keys(1).unwrap());
        assert_eq!((&client.send, &client.receive), (&server.receive, &server.send));
        assert_ne!(client.send, client.receive);
        assert!(!pair.ends[0].is_open() && !pair.ends[1].is_open());
    }

    #[test]
    fn lost_flights_are_repeated() {
        let (one, other) = (identity(), identity());
        for lost in 1..6 {
            let mut pair = Pair::new([&other, &one], [&one, &other]);
            pair.lost = lost;

            pair.run(Duration::from_secs(19));

            assert!(pair.keys(0).is_some() && pair.keys(1).is_some(), "{lost} lost");
        }
    }

    #[test]
    fn another_certificate_than_that_of_the_signalling_ends_it_without_keys() {
        let [one, other, thief] = [identity(), identity(), identity()];
        let mut pair = Pair::new([&other, &one], [&thief, &other]);

        pair.run(Duration::from_secs(30));

        assert_eq!(pair.came[1], [Output::Failed(Fault::Fingerprint)]);
        assert!(pair.keys(1).is_none());
    }

    #[test]
    fn nobody_there_is_told_after_the_time_for_it() {
        let (one, other) = (identity(), identity());
        let mut pair = Pair::new([&other, &one], [&one, &other]);
        pair.lost = usize::MAX;

        pair.run(Duration::from_secs(19));
        let before = pair.came.clone();
        pair.run(Duration::from_mins(1));

        assert!(before[0].is_empty() && before[1].is_empty(), "{before:?}");
        assert_eq!(pair.came[0], [Output::Failed(Fault::Timeout)]);
        assert_eq!(pair.came[1], [Output::Failed(Fault::Timeout)]);
    }

    #[test]
    fn garbage_before_and_after_changes_nothing() {
        let (one, other) = (identity(), identity());
        let mut pair = Pair::new([&other, &one], [&one, &other]);
        let now = pair.now;
        let garbage = |end: &mut Dtls| {
            for first in 20..64 {
                for len in [1, 13, 14, 40, 1_200] {
                    let mut datagram = vec![0xfe; len];
                    datagram[0] = first;
                    end.handle_packet(now, &datagram);
                }
            }
        };

        garbage(&mut pair.ends[1]);
        pair.run(Duration::from_secs(19));
        garbage(&mut pair.ends[1]);
        pair.run(Duration::from_secs(1));

        assert!(pair.keys(0).is_some() && pair.keys(1).is_some(), "{:?}", pair.came);
        assert_eq!((pair.came[0].len(), pair.came[1].len()), (1, 1));
    }

    #[test]
    fn the_material_is_cut_as_rfc_5764_says() {
        let material: Vec<u8> = (0..88).collect();
        for (profile, key, salt) in [
            (SrtpProfile::AES128_CM_SHA1_80, 16, 14),
            (SrtpProfile::AEAD_AES_128_GCM, 16, 12),
            (SrtpProfile::AEAD_AES_256_GCM, 32, 12),
        ] {
            let material = &material[..profile.keying_material_len()];

            let client = keys(material, profile, Role::Client).unwrap();
            let server = keys(material, profile, Role::Server).unwrap();

            let ours = [&material[..key], &material[2 * key..2 * key + salt]].concat();
            let theirs = [&material[key..2 * key], &material[2 * key + salt..]].concat();
            assert_eq!((client.send.octets(), client.receive.octets()), (&*ours, &*theirs));
            assert_eq!((server.send, server.receive), (client.receive, client.send));
            assert_eq!(keys(&material[1..], profile, Role::Client), None);
        }
    }
}
