//! What was said in a call, for whoever has to find out why it went wrong: its SIP messages and what happened, on one time axis.
//!
//! One ring for each Call-ID, made by its INVITE; the oldest ring goes when all together hold too much. Secrets are
//! overwritten before anything is kept: keys of media, proofs of passwords, digits.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use api::event::EventType;
use api::model::{CallId, LegId, Trace, TraceEntry};
use bytes::Bytes;

use super::command::{Answer, no_such};
use super::hep::Captured;
use super::signal::wire_name;
use super::{Bridge, Clock, Output};
use crate::sip::endpoint::{LocalAddress as _, Packet, Transmit};
use crate::sip::message::peek;
use crate::sip::transport::Transport;

/// How much of calls is kept for reading.
#[derive(Clone, Copy, Debug)]
pub struct TraceSettings {
    /// Messages and marks of one Call-ID; zero: nothing is kept of any.
    pub entries: usize,
    /// Octets of all together.
    pub memory: usize,
}

/// All rings.
#[derive(Debug)]
pub(super) struct Traces {
    settings: TraceSettings,
    rings: BTreeMap<Bytes, Ring>,
    /// Call-IDs in the order of their first INVITE.
    order: VecDeque<Bytes>,
    held: usize,
}

#[derive(Debug, Default)]
struct Ring {
    entries: VecDeque<Entry>,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Message { way: Way, transport: Transport, local: SocketAddr, peer: SocketAddr, text: Box<[u8]> },
    Mark { kind: EventType, detail: String },
}

/// Which way a message went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Received,
    Sent,
}

impl Traces {
    pub(super) fn new(settings: TraceSettings) -> Self {
        Self { settings, rings: BTreeMap::new(), order: VecDeque::new(), held: 0 }
    }

    fn note(&mut self, call_id: &[u8], is_first: bool, entry: Entry) {
        if self.settings.entries == 0 {
            return;
        }
        if !self.rings.contains_key(call_id) {
            if !is_first {
                return;
            }
            let call_id = Bytes::copy_from_slice(call_id);
            self.held += RING + 2 * call_id.len();
            self.order.push_back(call_id.clone());
            self.rings.insert(call_id, Ring::default());
        }
        let Some(ring) = self.rings.get_mut(call_id) else { return };
        self.held += entry.size();
        ring.entries.push_back(entry);
        if ring.entries.len() > self.settings.entries
            && let Some(oldest) = ring.entries.pop_front()
        {
            ring.dropped += 1;
            self.held -= oldest.size();
        }
        while self.held > self.settings.memory
            && let Some(oldest) = self.order.pop_front()
        {
            let ring = self.rings.remove(&oldest).unwrap_or_default();
            let entries: usize = ring.entries.iter().map(Entry::size).sum();
            self.held -= entries + RING + 2 * oldest.len();
        }
    }
}

impl Entry {
    fn size(&self) -> usize {
        let more = match &self.what {
            What::Message { text, .. } => text.len(),
            What::Mark { detail, .. } => detail.len(),
        };
        size_of::<Self>() + more
    }

    fn view(&self, leg: LegId, clock: Clock) -> TraceEntry {
        let entry = TraceEntry { time: clock.at(self.at), leg, ..TraceEntry::default() };
        match &self.what {
            What::Message { way, transport, local, peer, text } => {
                let text = String::from_utf8_lossy(text).into_owned();
                TraceEntry {
                    summary: text.lines().next().unwrap_or_default().to_owned(),
                    direction: Some(match way {
                        Way::Received => "received",
                        Way::Sent => "sent",
                    }),
                    transport: Some(wire_name(*transport)),
                    local: Some(*local),
                    peer: Some(*peer),
                    text: Some(text),
                    ..entry
                }
            }
            What::Mark { kind, detail } => {
                let summary = format!("{} {detail}", kind.as_str()).trim_end().to_owned();
                TraceEntry { summary, ..entry }
            }
        }
    }
}

impl Bridge {
    pub(super) fn trace_received(&mut self, packet: &Packet) {
        let Packet { transport, peer, local, bytes } = packet;
        let local = SocketAddr::new(self.local.towards(peer.ip()), local.port());
        self.trace_message((Way::Received, *transport), (local, *peer), bytes);
    }

    pub(super) fn trace_sent(&mut self, sent: &Transmit) {
        let Transmit { transport, peer, bytes, .. } = sent;
        let address = self.local.towards(peer.ip());
        let local = SocketAddr::new(address, self.endpoint.port_of(*transport, address));
        self.trace_message((Way::Sent, *transport), (local, *peer), bytes);
    }

    fn trace_message(
        &mut self,
        (way, transport): (Way, Transport),
        (local, peer): (SocketAddr, SocketAddr),
        bytes: &Bytes,
    ) {
        self.capture_message((way, transport), (local, peer), bytes);
        let Some(call_id) = peek::call_id(bytes) else { return };
        let text = redacted(&bytes[..bytes.len().min(LONGEST)]);
        let what = What::Message { way, transport, local, peer, text };
        let is_first = bytes.starts_with(b"INVITE ");
        self.traces.note(call_id, is_first, Entry { at: self.now, what });
    }

    /// Copies a message to the collector, if there is one.
    fn capture_message(
        &mut self,
        (way, transport): (Way, Transport),
        (local, peer): (SocketAddr, SocketAddr),
        text: &Bytes,
    ) {
        let at = self.wall();
        let (from, to) = match way {
            Way::Received => (peer, local),
            Way::Sent => (local, peer),
        };
        let capture = self.capture.as_mut();
        let copy = capture.and_then(|own| own.copy(Captured { at, transport, from, to, text }));
        self.outputs.extend(copy.map(Output::Capture));
    }

    /// Notes what happened to a leg among its messages.
    pub(super) fn trace_mark(&mut self, call_id: &str, kind: EventType, detail: String) {
        if matches!(kind, EventType::ParticipantTalkStarted | EventType::ParticipantTalkEnded) {
            return; // they would push all else out
        }
        let what = What::Mark { kind, detail };
        self.traces.note(call_id.as_bytes(), false, Entry { at: self.now, what });
    }

    pub(super) fn api_leg_trace(&self, id: LegId) -> Answer<Trace> {
        let call_id = self.call_id_of(id).ok_or_else(|| no_such("leg", id))?;
        Ok(self.trace_of(&[(id, call_id)]))
    }

    pub(super) fn api_call_trace(&self, id: CallId) -> Answer<Trace> {
        if !self.calls.contains_key(&id) && !self.history.calls.contains_key(&id) {
            return Err(no_such("call", id));
        }
        let live = self.legs.values().filter(|leg| leg.call == Some(id));
        let live = live.map(|leg| (leg.id, leg.sip_call_id.clone()));
        let ended = self.history.legs.values().filter(|(leg, _)| leg.call == Some(id));
        let ended = ended.map(|(leg, _)| (leg.id, leg.sip_call_id.clone()));
        let legs: Vec<_> = live.chain(ended).collect();
        Ok(self.trace_of(&legs))
    }

    fn call_id_of(&self, id: LegId) -> Option<String> {
        let live = self.legs.get(&id).map(|leg| leg.sip_call_id.clone());
        live.or_else(|| self.history.legs.get(&id).map(|(leg, _)| leg.sip_call_id.clone()))
    }

    fn trace_of(&self, legs: &[(LegId, String)]) -> Trace {
        let mut trace = Trace::default();
        for (leg, call_id) in legs {
            let Some(ring) = self.traces.rings.get(call_id.as_bytes()) else { continue };
            trace.dropped += ring.dropped;
            trace.entries.extend(ring.entries.iter().map(|entry| entry.view(*leg, self.clock)));
        }
        trace.entries.sort_by_key(|entry| entry.time);
        trace
    }
}

/// A copy in which what nobody else may know is overwritten; as long as before.
pub(super) fn redacted(text: &[u8]) -> Box<[u8]> {
    let mut copy: Box<[u8]> = text.into();
    for at in memchr::memchr2_iter(b':', b'=', text) {
        let named = |(name, _): &&(&[u8], _)| {
            let name_at = (at + 1).checked_sub(name.len());
            name_at.is_some_and(|start| text[start..=at].eq_ignore_ascii_case(name))
        };
        let Some((_, ends)) = SECRETS.iter().find(named) else { continue };
        let start = at + 1 + usize::from(text.get(at + 1) == Some(&b'"'));
        let end = text[start..].iter().position(|octet| ends.contains(octet));
        copy[start..end.map_or(text.len(), |end| start + end)].fill(b'*');
    }
    copy
}

/// What stands before a secret, up to a colon or an equals sign, and what ends it: keys of SDES and ICE, proofs of passwords,
/// digits in INFO.
const SECRETS: [(&[u8], &[u8]); 4] = [
    (b"inline:", b"|; \r\n"),
    (b"ice-pwd:", b"\r\n"),
    (b"response=", b"\"\r\n"),
    (b"signal=", b"\r\n"),
];
/// Octets that are kept of one message.
const LONGEST: usize = 16_384;
/// What a ring costs before it holds anything.
const RING: usize = 160;

#[cfg(test)]
mod tests;
