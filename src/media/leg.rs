//! One leg's sockets and what is known of its far side; its [`Slot`] sits in a room, or here while it is in none.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::time::{Duration, Instant, SystemTime};

use mixer::room::Take;
use mixer::rtcp::Contributors;
use mixer::rtp::{HEADER_LEN, Ssrc, is_rtcp};
use mixer::slot::{self, Slot};

use super::command::{Event, MediaKey, MixKey, Statistics, Stream, TapeKey};
use super::latch::{Latch, Verdict};
use super::outbox::Outbox;
use super::pace::Pace;
use super::pool::PortPair;
use super::secure::Secure;
use super::socket::{Clock, Datagram, Inbox, Socket};
use super::tape::Tape;
use super::web::{Means, News, Web, Wire};
use crate::webrtc::Kind;

/// A leg from open to close; it moves between workers whole.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) key: MediaKey,
    ports: Ports,
    latch: Latch,
    stream: Option<Stream>,
    /// Here if media is encrypted and there are keys.
    secure: Option<Box<Secure>>,
    /// Here if DTLS makes the keys.
    web: Option<Box<Web>>,
    /// Here if DTLS may make the keys.
    means: Option<Means>,
    /// One bit for each payload type that is accepted.
    accepted: u128,
    /// The RTP clock of what is received, Hz.
    rtp_clock: u32,
    pace: Pace,
    /// Here while in no mix.
    pub(super) slot: Option<Box<Slot>>,
    pub(super) mix: Option<MixKey>,
    /// Where what it says goes, if it is recorded.
    tapes: Vec<Tape>,
    /// Last RTP that counted, or since when some is expected.
    heard: Instant,
    /// The present silence was reported.
    silent: bool,
    /// Source of the last [`Event::Started`].
    started: Option<SocketAddr>,
    rejected: u64,
    unauthentic: u64,
    statistics_due: Instant,
}

/// The bound ports of a leg.
#[derive(Debug)]
pub(super) struct Ports {
    pair: PortPair,
    rtp: Socket,
    rtcp: Socket,
}

impl Ports {
    /// Binds both ports of a pair.
    ///
    /// # Errors
    /// As [`Socket::bind`].
    pub(super) fn bind(local: IpAddr, pair: PortPair) -> io::Result<Self> {
        Ok(Self {
            pair,
            rtp: Socket::bind(SocketAddr::new(local, pair.rtp()))?,
            rtcp: Socket::bind(SocketAddr::new(local, pair.rtcp()))?,
        })
    }

    pub(super) fn pair(&self) -> PortPair {
        self.pair
    }
}

/// What upkeep needs to know, and scratch space for it.
#[derive(Debug)]
pub(super) struct Upkeep<'a> {
    pub(super) clock: Clock,
    pub(super) silence_after: Duration,
    pub(super) inbox: &'a mut Inbox,
    pub(super) report: &'a mut Vec<u8>,
    pub(super) outbox: &'a mut Outbox,
}

impl Leg {
    /// A leg whose ports are bound.
    pub(super) fn new(
        now: Instant,
        key: MediaKey,
        (ports, slot): (Ports, Slot),
        means: Option<Means>,
    ) -> Self {
        Self {
            key,
            ports,
            latch: Latch::default(),
            stream: None,
            secure: None,
            web: None,
            means,
            accepted: 0,
            rtp_clock: 8000,
            pace: Pace::default(),
            slot: Some(Box::new(slot)),
            mix: None,
            tapes: Vec::new(),
            heard: now,
            silent: false,
            started: None,
            rejected: 0,
            unauthentic: 0,
            statistics_due: now + STATISTICS_EVERY,
        }
    }

    /// Records what it says, beside what is recorded already.
    pub(super) fn begin_track(&mut self, tape: Tape, slot: &mut Slot) {
        self.tapes.push(tape);
        slot.set_recorded(true);
    }

    /// Does so no more.
    pub(super) fn end_track(&mut self, tape: TapeKey, slot: &mut Slot) {
        self.tapes.retain(|recorded| recorded.key != tape);
        slot.set_recorded(!self.tapes.is_empty());
    }

    /// Takes what it said in a tick.
    pub(super) fn record(&mut self, take: &Take<'_>) {
        for tape in &mut self.tapes {
            tape.write(take);
        }
    }

    /// The ports, to let them rest after the leg.
    pub(super) fn pair(&self) -> PortPair {
        self.ports.pair
    }

    /// Takes what offer/answer agreed.
    pub(super) fn configure(&mut self, now: Instant, stream: Stream, slot: &mut Slot) {
        let was_expected = self.stream.as_ref().is_some_and(|stream| stream.plan.receives);
        if stream.plan.receives && !was_expected {
            self.heard = now;
            self.silent = false;
        }
        self.configure_security(now, &stream);
        if !self.has_ice() {
            self.latch.configure(stream.remote, stream.remote_rtcp);
        }
        self.settle(now);
        let types = stream.plan.receive.iter().map(|&(number, _)| number);
        let events = stream.plan.receive_events.iter().map(|&(number, _)| number);
        let noise = stream.plan.receive_noise.iter().copied();
        self.accepted = types.chain(events).chain(noise).fold(0, |bits, number| bits | bit(number));
        self.rtp_clock = stream.plan.receive.first().map_or(8000, |(_, format)| format.clock_rate);
        slot.configure(now, &stream.plan);
        self.stream = Some(stream);
    }

    /// Keys that DTLS has made stay while it makes others.
    fn configure_security(&mut self, now: Instant, stream: &Stream) {
        match (&mut self.web, &stream.dtls) {
            (Some(web), Some(association)) => web.configure(now, association, stream.remote),
            (web, association) => {
                let fresh = association.as_ref().zip(self.means.clone());
                let fresh = fresh
                    .map(|(association, means)| Web::new(now, means, association, stream.remote));
                let was_web = std::mem::replace(web, fresh.map(Box::new)).is_some();
                if was_web || web.is_some() {
                    self.secure = None;
                }
            }
        }
        match (&mut self.secure, &stream.srtp) {
            _ if stream.dtls.is_some() => {}
            (Some(secure), Some(keys)) => secure.rekey(keys),
            (secure, keys) => *secure = keys.clone().map(|keys| Box::new(Secure::new(*keys))),
        }
    }

    fn has_ice(&self) -> bool {
        self.web.as_ref().is_some_and(|web| web.has_ice())
    }

    /// Connects the socket to who is latched for good. Where there is ICE, checks may come from anywhere.
    fn settle(&mut self, now: Instant) {
        if !self.has_ice() {
            self.ports.rtp.connect(self.latch.settled(now));
        }
    }

    /// Whether it needs care while it is in no mix.
    pub(super) fn is_configured(&self) -> bool {
        self.stream.is_some()
    }

    /// Reads what waits on the RTP port, as far as something can wait; true if RTP of its own was among it.
    pub(super) fn receive(&mut self, slot: &mut Slot, upkeep: &mut Upkeep<'_>) -> bool {
        let mut heard = false;
        for _ in 0..DATAGRAMS_MAX {
            let Upkeep { clock, inbox, report, outbox, .. } = &mut *upkeep;
            let Some(datagram) = inbox.receive(&self.ports.rtp) else { break };
            if self.web.is_some() && Kind::of(datagram.bytes) != Kind::Rtp {
                self.handle_web(clock.now, datagram, report, outbox);
                continue;
            }
            let (now, arrived) = (clock.now, datagram.arrived);
            let fields = rhythm(datagram.bytes);
            heard |= self.handle_datagram(slot, datagram, *clock, outbox);
            if fields.is_some_and(|fields| self.pace.is_last(now, arrived, fields, self.rtp_clock))
            {
                break;
            }
        }
        self.drive_web(upkeep);
        heard
    }

    /// The socket that RTP comes to.
    pub(super) fn rtp_socket(&self) -> &Socket {
        &self.ports.rtp
    }

    fn handle_datagram(
        &mut self,
        slot: &mut Slot,
        datagram: Datagram<'_>,
        clock: Clock,
        outbox: &mut Outbox,
    ) -> bool {
        let Datagram { from, arrived, bytes } = datagram;
        let Some(bytes) = self.unprotect(bytes) else { return false };
        if is_rtcp(bytes) {
            if self.latch.source() == Some(from) {
                slot.receive_rtcp(arrived, arrival_wall(clock, arrived), bytes);
            }
            return false;
        }
        let (ssrc, is_valid) = self.glance(bytes);
        match self.latch.admit(clock.now, from, ssrc, is_valid) {
            Verdict::Rejected => {
                self.rejected += 1;
                return false;
            }
            Verdict::Latched if self.started != Some(from) => {
                self.started = Some(from);
                outbox.push(Event::Started { leg: self.key, from });
            }
            Verdict::Latched | Verdict::Known => {}
        }
        self.heard = clock.now;
        self.silent = false;
        // The slot counts what it does not take.
        let _counted = slot.receive(arrived, bytes);
        true
    }

    /// Takes what is for ICE or DTLS.
    fn handle_web(
        &mut self,
        now: Instant,
        Datagram { from, bytes, .. }: Datagram<'_>,
        room: &mut Vec<u8>,
        outbox: &mut Outbox,
    ) {
        let Some(web) = &mut self.web else { return };
        let wire = &mut Wire { socket: &self.ports.rtp, room };
        let news = match Kind::of(bytes) {
            Kind::Stun => web.handle_stun(now, (from, bytes), wire),
            Kind::Dtls => web.handle_dtls(now, (from, bytes), wire),
            Kind::Rtp | Kind::Other => {
                self.rejected += 1;
                None
            }
        };
        self.take_news(news, outbox);
    }

    /// Does what is due of ICE and DTLS: checks go out every 50 ms.
    fn drive_web(&mut self, upkeep: &mut Upkeep<'_>) {
        if let Some(web) = &mut self.web {
            let wire = &mut Wire { socket: &self.ports.rtp, room: upkeep.report };
            let news = web.handle_timeout(upkeep.clock.now, wire);
            self.take_news(news, upkeep.outbox);
        }
    }

    /// When it must be looked after at the latest, though its mix may rest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.web.as_ref().and_then(|web| web.deadline())
    }

    fn take_news(&mut self, news: Option<News>, outbox: &mut Outbox) {
        let leg = self.key;
        match news {
            Some(News::Nominated(remote)) => self.latch.configure(remote, None),
            Some(News::Keys(keys)) => {
                outbox.push(Event::Secured { leg, suite: keys.send.suite() });
                self.secure = Some(Box::new(Secure::new(keys)));
            }
            Some(News::Failed(fault)) => outbox.push(Event::HandshakeFailed { leg, fault }),
            Some(News::Lost(since)) => {
                self.latch.forget();
                outbox.push(Event::Silent { leg, since });
            }
            None => {}
        }
    }

    /// Whether nothing may be sent or heard that is not encrypted.
    fn must_be_secure(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.dtls.is_some())
    }

    /// What is in a datagram; a forged one is dropped before anything, the latch above all, learns of it.
    fn unprotect<'a>(&mut self, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        let must_be_secure = self.must_be_secure();
        let Some(secure) = &mut self.secure else {
            self.rejected += u64::from(must_be_secure);
            return (!must_be_secure).then_some(bytes);
        };
        let opened = secure.unprotect(bytes);
        self.unauthentic += u64::from(opened.is_err());
        opened.ok()
    }

    /// Looks only at what the latch needs: RTP version 2 with an accepted payload type, and its source.
    fn glance(&self, bytes: &[u8]) -> (Ssrc, bool) {
        let Some(header) = bytes.first_chunk::<HEADER_LEN>() else {
            return (Ssrc::default(), false);
        };
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        let is_valid = header[0] >> 6 == 2 && self.accepted & bit(header[1] & 0x7f) != 0;
        (Ssrc::new(ssrc), is_valid)
    }

    /// Makes the RTP packet in the first `len` octets of `room` what is to be sent, and tells its length.
    pub(super) fn protect(&mut self, room: &mut [u8], len: usize) -> Option<usize> {
        match &mut self.secure {
            Some(secure) => secure.protect(room, len).ok(),
            None => (!self.must_be_secure()).then_some(len),
        }
    }

    /// Sends one RTP packet, protected if it must be; one that the network does not take is lost, as packets may be.
    pub(super) fn send(&self, packet: &[u8]) {
        if let Some(to) = self.latch.rtp_target().filter(is_reachable) {
            let _lost = self.ports.rtp.send(to, packet);
        }
    }

    /// The socket, if it is connected to where RTP goes.
    pub(super) fn connected_socket(&self) -> Option<RawFd> {
        self.latch.rtp_target().and_then(|to| self.ports.rtp.connected_to(to))
    }

    /// Does what needs doing a few times a second: RTCP, silence, statistics, the socket's connection.
    pub(super) fn keep_up(
        &mut self,
        slot: &mut Slot,
        heard: Contributors<'_>,
        upkeep: &mut Upkeep<'_>,
    ) {
        let Clock { now, wall } = upkeep.clock;
        self.settle(now);
        self.receive_rtcp(slot, upkeep);
        upkeep.report.clear();
        if slot.poll_rtcp(now, wall, heard, upkeep.report) {
            self.send_rtcp(upkeep.report);
        }
        self.note_silence(upkeep);
        if slot.watch(now) || now >= self.statistics_due {
            self.statistics_due = now + STATISTICS_EVERY;
            let statistics = self.statistics(slot, now);
            upkeep.outbox.push(Event::Statistics { leg: self.key, statistics });
        }
    }

    fn receive_rtcp(&mut self, slot: &mut Slot, upkeep: &mut Upkeep<'_>) {
        for _ in 0..DATAGRAMS_MAX {
            let Some(datagram) = upkeep.inbox.receive(&self.ports.rtcp) else { return };
            let Datagram { from, arrived, bytes } = datagram;
            let Some(bytes) = self.unprotect(bytes) else { continue };
            if is_rtcp(bytes) && self.latch.admit_rtcp(from) {
                slot.receive_rtcp(arrived, arrival_wall(upkeep.clock, arrived), bytes);
            }
        }
    }

    fn send_rtcp(&mut self, report: &mut Vec<u8>) {
        let must_be_secure = self.must_be_secure();
        let is_ready = match &mut self.secure {
            Some(secure) => secure.protect_rtcp(report).is_ok(),
            None => !must_be_secure,
        };
        if !is_ready {
            return;
        }
        let (socket, to) = match self.latch.rtcp_target() {
            Some(to) => (&self.ports.rtcp, Some(to)),
            None => (&self.ports.rtp, self.latch.rtp_target()), // rtcp-mux
        };
        if let Some(to) = to.filter(is_reachable) {
            let _lost = socket.send(to, report);
        }
    }

    fn note_silence(&mut self, upkeep: &mut Upkeep<'_>) {
        let is_expected = self.stream.as_ref().is_some_and(|stream| stream.plan.receives);
        let since = upkeep.clock.now.saturating_duration_since(self.heard);
        if is_expected && !self.silent && since >= upkeep.silence_after {
            self.silent = true;
            upkeep.outbox.push(Event::Silent { leg: self.key, since });
        }
    }

    /// Passes on what the slot noticed.
    pub(super) fn report_events(&self, slot: &mut Slot, outbox: &mut Outbox) {
        while let Some(event) = slot.poll_event() {
            let leg = self.key;
            outbox.push(match event {
                slot::Event::Digit { digit, duration } => Event::Digit { leg, digit, duration },
                slot::Event::Talking(talking) => Event::Talking { leg, talking },
                slot::Event::Echo(path) => Event::Echo { leg, path },
                slot::Event::Played(id) => Event::Played { id, cut: false },
                slot::Event::TookFloor => match self.mix {
                    Some(mix) => Event::TookFloor { leg, mix },
                    None => continue, // It has left that mix since.
                },
            });
        }
    }

    /// Says BYE and the last statistics; the ports are free when the leg is dropped.
    pub(super) fn close(&mut self, slot: &mut Slot, upkeep: &mut Upkeep<'_>) {
        let Clock { now, wall } = upkeep.clock;
        self.report_events(slot, upkeep.outbox);
        if self.stream.is_some() {
            upkeep.report.clear();
            slot.goodbye(now, wall, upkeep.report);
            self.send_rtcp(upkeep.report);
        }
        let statistics = self.statistics(slot, now);
        upkeep.outbox.push_last(Event::Statistics { leg: self.key, statistics });
    }

    fn statistics(&self, slot: &Slot, now: Instant) -> Statistics {
        let own = slot.statistics(now);
        Statistics {
            codec: own.codec,
            remote: self.latch.source(),
            packets_received: own.packets_received,
            octets_received: own.octets_received,
            packets_sent: own.packets_sent,
            octets_sent: own.octets_sent,
            packets_lost: own.packets_lost,
            packets_late: own.packets_late,
            packets_duplicate: own.packets_duplicate,
            packets_rejected: own.packets_rejected + self.rejected,
            packets_unauthentic: self.unauthentic,
            jitter: own.jitter,
            frames_concealed: own.frames_concealed,
            buffer: own.buffer,
            buffer_target: own.buffer_target,
            far_loss: own.far_loss,
            far_jitter: own.far_jitter,
            round_trip: own.round_trip,
            level_dbov: own.level_dbov,
            vitals: own.vitals,
        }
    }
}

/// Sequence number and timestamp of an RTP packet, for [`Pace`].
fn rhythm(bytes: &[u8]) -> Option<(u16, u32)> {
    let header = bytes.first_chunk::<HEADER_LEN>().filter(|_| !is_rtcp(bytes))?;
    let sequence = u16::from_be_bytes([header[2], header[3]]);
    Some((sequence, u32::from_be_bytes([header[4], header[5], header[6], header[7]])))
}

fn bit(payload_type: u8) -> u128 {
    1 << (payload_type & 0x7f)
}

/// An SDP on hold the old way names 0.0.0.0.
fn is_reachable(to: &SocketAddr) -> bool {
    !to.ip().is_unspecified() && to.port() != 0
}

/// What the wall clock showed when a datagram arrived.
fn arrival_wall(clock: Clock, arrived: Instant) -> SystemTime {
    clock.wall - clock.now.saturating_duration_since(arrived)
}

/// Datagrams read from one port in one tick; a flood beyond that waits, and then the kernel drops it.
const DATAGRAMS_MAX: usize = 32;
/// Between two [`Event::Statistics`].
const STATISTICS_EVERY: Duration = Duration::from_secs(2);
