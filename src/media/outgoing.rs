//! Packets on their way out: collected while rooms are mixed, and sent together.
//!
//! Mixing and the kernel's network code each stay in the processor's caches that way. What is encrypted is so just before
//! it is sent, where it lies: every packet has room behind it.

use std::ops::Range;

use mixer::room::{Sink, SlotId, Take};
use mixer::srtp::OVERHEAD_MAX;

use super::legs::{Legs, place_of};
use super::ring::{Departures, Target};
use super::socket::Socket;

/// Packets that wait to be sent, one after the other in one piece of memory.
#[derive(Debug)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    packets: Vec<Packet>,
    /// Sends many at once.
    departures: Option<Departures>,
}

/// Whose packet lies where.
#[derive(Debug)]
struct Packet {
    slot: SlotId,
    at: Range<usize>,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            bytes: Vec::with_capacity(PACKETS_MAX * USUAL_PACKET),
            packets: Vec::with_capacity(PACKETS_MAX),
            departures: None,
        }
    }
}

impl Outgoing {
    /// The end into which a room's tick puts the packets of `legs`.
    pub(super) fn sink<'a>(&'a mut self, legs: &'a mut Legs) -> impl Sink {
        Collector { outgoing: self, legs }
    }

    /// From now on sends many at once.
    pub(super) fn set_departures(&mut self, departures: Departures) {
        self.departures = Some(departures);
    }

    /// Has the socket of a leg known, or forgotten before it is closed.
    pub(super) fn know(&mut self, slot: SlotId, socket: Option<&Socket>) {
        if let Some(departures) = &mut self.departures {
            departures.know(place_of(slot), socket.map(Socket::raw));
        }
    }

    /// Sends what waits; what a leg that is gone was to get is dropped.
    pub(super) fn flush(&mut self, legs: &mut Legs) {
        self.protect(legs);
        let Self { bytes, packets, departures } = self;
        let packet = |at: usize| &bytes[packets[at].at.clone()];
        let all = (0..packets.len()).filter_map(|at| Some((at, legs.at(packets[at].slot)?)));
        if let Some(departures) = departures {
            let by_connection = all.filter_map(|(at, leg)| {
                let socket = leg.connected_socket();
                if socket.is_none() {
                    leg.send(packet(at));
                }
                let place = place_of(packets[at].slot);
                Some((at, Target { place, socket: socket? }, packet(at)))
            });
            for &at in departures.send(by_connection) {
                if let Some(leg) = legs.at(packets[at].slot) {
                    leg.send(packet(at));
                }
            }
        } else {
            all.for_each(|(at, leg)| leg.send(packet(at)));
        }
        self.packets.clear();
        self.bytes.clear();
    }

    /// Encrypts what must be; a packet that cannot be is dropped.
    fn protect(&mut self, legs: &mut Legs) {
        let Self { bytes, packets, .. } = self;
        packets.retain_mut(|Packet { slot, at }| {
            let room = &mut bytes[at.start..at.end + OVERHEAD_MAX];
            let len = legs.at_mut(*slot).and_then(|leg| leg.protect(room, at.len()));
            at.end = at.start + len.unwrap_or(0);
            len.is_some()
        });
    }
}

/// [`Outgoing`] with the legs to send by when it is full.
#[derive(Debug)]
struct Collector<'a> {
    outgoing: &'a mut Outgoing,
    legs: &'a mut Legs,
}

impl Sink for Collector<'_> {
    fn send(&mut self, slot: SlotId, header: &[u8], payload: &[u8]) {
        let Self { outgoing, legs } = self;
        if outgoing.packets.len() == PACKETS_MAX {
            outgoing.flush(legs);
        }
        let bytes = &mut outgoing.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(header);
        bytes.extend_from_slice(payload);
        outgoing.packets.push(Packet { slot, at: start..bytes.len() });
        bytes.extend_from_slice(&[0; OVERHEAD_MAX]);
    }

    fn record(&mut self, take: Take<'_>) {
        if let Some(leg) = take.slot.and_then(|slot| self.legs.at_mut(slot)) {
            leg.record(&take);
        }
    }
}

/// Packets that are collected at most: with 20 ms of telephone sound each, they fit the first-level cache.
pub(super) const PACKETS_MAX: usize = 128;
/// 20 ms of G.711 with its header, and to spare.
const USUAL_PACKET: usize = 256;
