//! What the media threads report, and what it does to legs.

use std::net::IpAddr;
use std::time::Duration;

use api::event::{EventType, Level};
use api::model::{LeftReason, LegId, MarkKind, SipFailure};
use bytes::Bytes;
use serde_json::json;

use crate::media::command::{EchoPath, Event, Fault, MediaKey, MixKey};

use super::leg::{self, Dial, Key, KeySource, Stage};
use super::{Bridge, Output, quality};

/// A phone that sends a digit both by RFC 4733 and INFO does so within this time.
const BOTH_WAYS: Duration = Duration::from_millis(600);

impl Bridge {
    pub(super) fn handle_media(&mut self, event: Event) {
        match event {
            Event::Opened { leg, rtp_port } => self.opened(leg, rtp_port),
            Event::OpenFailed { leg, reason } => self.open_failed(leg, &reason),
            Event::Started { leg, from } => {
                if let Some(leg) = self.leg_of(leg) {
                    leg.statistics.remote = Some(from);
                }
            }
            Event::Secured { leg, suite } => {
                self.counters.handshakes += 1;
                if let Some(leg) = self.leg_of(leg) {
                    leg.srtp = Some(suite.name());
                }
            }
            Event::HandshakeFailed { leg, fault } => self.handshake_failed(leg, fault),
            Event::Digit { leg, digit, duration } => {
                if let Some(leg) = self.media.get(&leg).copied() {
                    self.pressed(leg, digit, duration, KeySource::Rtp);
                }
            }
            Event::Talking { leg, talking } => self.talks(leg, talking),
            Event::TookFloor { leg, mix } => self.took_floor(leg, mix),
            Event::Echo { leg, path } => self.echoes(leg, path),
            Event::Played { id, cut } => self.played(id, cut),
            Event::Silent { leg, since } => self.fell_silent(leg, since),
            Event::Statistics { leg, statistics } => self.measured(leg, statistics),
            Event::Levels(levels) => self.levels(levels.as_slice()),
            Event::Closed { leg } => {
                self.media.remove(&leg);
                self.counters.closed(leg);
            }
            Event::Worker(report) => {
                self.capacity.handle_report(self.now, &report);
                self.counters.worker(report);
            }
        }
    }

    fn leg_of(&mut self, media: MediaKey) -> Option<&mut leg::Leg> {
        self.media.get(&media).and_then(|leg| self.legs.get_mut(leg))
    }

    fn opened(&mut self, media: MediaKey, rtp_port: u16) {
        enum Then {
            Answer(Option<Bytes>, IpAddr),
            Invite(Dial, IpAddr),
        }
        let Some(leg) = self.leg_of(media) else { return };
        let id = leg.id;
        let then = match &leg.stage {
            Stage::Answering { offer, address } => Then::Answer(offer.clone(), *address),
            Stage::Opening { dial, address } => Then::Invite(dial.clone(), *address),
            Stage::Resolving { .. }
            | Stage::Waiting(_)
            | Stage::Dialing
            | Stage::Ringing
            | Stage::Confirming
            | Stage::Up => return,
        };
        match then {
            Then::Answer(offer, address) if self.waits_in(id).is_some() => {
                self.caller_waits(id, offer.as_ref(), (address, rtp_port));
            }
            Then::Answer(offer, address) => {
                self.answer_caller(id, offer.as_ref(), address, rtp_port);
            }
            Then::Invite(dial, address) => self.send_invite(id, &dial, address, rtp_port),
        }
    }

    fn open_failed(&mut self, media: MediaKey, reason: &str) {
        let Some(id) = self.media.remove(&media) else { return };
        self.counters.ports_exhausted += 1;
        if self.legs.get(&id).is_some_and(leg::Leg::is_inbound_pending) {
            self.refuse_caller(id, 503, reason);
        } else {
            let sip = SipFailure { status: 503, reason: reason.to_owned() };
            self.end_leg(id, LeftReason::Overloaded, Some(sip));
        }
    }

    /// A key was pressed; the second report of one press is dropped.
    pub(super) fn pressed(
        &mut self,
        id: LegId,
        digit: char,
        duration: Duration,
        source: KeySource,
    ) {
        let now = self.now;
        let Some(leg) = self.legs.get_mut(&id) else { return };
        let twice = leg.last_key.is_some_and(|last| {
            last.digit == digit
                && last.source != source
                && now.saturating_duration_since(last.at) < BOTH_WAYS
        });
        if twice {
            leg.last_key = None;
            return;
        }
        leg.last_key = Some(Key { digit, source, at: now });
        let in_room = leg.place.room().is_some();
        self.counters.digits += 1;
        if self.gate_key(id, digit) {
            return; // a PIN is nobody else's business
        }
        self.relay_digit(id, digit, duration);
        self.mark_leg(id, MarkKind::Dtmf, Some(digit.encode_utf8(&mut [0; 4])));
        let data = json!({
            "digit": digit, "duration_ms": duration.as_millis(), "source": source.as_str(),
        });
        if in_room {
            self.participant_happened(EventType::ParticipantDtmf, id, data);
            self.menu_key(id, digit);
        } else {
            self.leg_happened(EventType::LegDtmf, id, data);
        }
    }

    fn talks(&mut self, media: MediaKey, talking: bool) {
        let Some(leg) = self.leg_of(media) else { return };
        if leg.talking == talking || !leg.is_up() || (talking && leg.seat().muted) {
            return;
        }
        leg.talking = talking;
        let id = leg.id;
        let kind = if talking {
            EventType::ParticipantTalkStarted
        } else {
            EventType::ParticipantTalkEnded
        };
        self.participant_happened(kind, id, json!({}));
        let mark = if talking { MarkKind::TalkStarted } else { MarkKind::TalkEnded };
        self.mark_leg(id, mark, None);
    }

    fn took_floor(&mut self, media: MediaKey, mix: MixKey) {
        let Some(leg) = self.leg_of(media).filter(|leg| leg.is_up()) else { return };
        let (id, place) = (leg.id, leg.place);
        // On its way here the leg may have moved on.
        if let Some(room) = place.room().filter(|_| self.mix_of(place) == Some(mix)) {
            self.give_floor(room, Some(id));
        }
    }

    fn echoes(&mut self, media: MediaKey, path: Option<EchoPath>) {
        let Some(leg) = self.leg_of(media).filter(|leg| leg.is_up()) else { return };
        let known = std::mem::replace(&mut leg.echo, path);
        let id = leg.id;
        match (known, path) {
            (None, Some(path)) => {
                self.counters.echoes += 1;
                let data = json!({
                    "delay_ms": quality::ms(path.delay), "level_db": path.level_db,
                });
                self.leg_happened(EventType::LegEchoDetected, id, data);
            }
            (Some(_), None) => self.leg_happened(EventType::LegEchoCleared, id, json!({})),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn fell_silent(&mut self, media: MediaKey, since: Duration) {
        let Some(leg) = self.leg_of(media) else { return };
        if !leg.is_up() || leg.hold.by().is_some() {
            return;
        }
        let id = leg.id;
        self.counters.media_timeouts += 1;
        self.leg_happened(EventType::LegMediaTimeout, id, json!({ "silent_s": since.as_secs() }));
        self.end_leg(id, LeftReason::MediaTimeout, None);
    }

    /// There will be no media that could be believed: nothing is left to be held.
    fn handshake_failed(&mut self, media: MediaKey, fault: Fault) {
        self.counters.handshakes_failed += 1;
        let Some(id) = self.leg_of(media).map(|leg| leg.id) else { return };
        let sip = SipFailure { status: 488, reason: fault.to_string() };
        self.end_leg(id, LeftReason::HandshakeFailed, Some(sip));
    }

    fn measured(&mut self, media: MediaKey, statistics: crate::media::command::Statistics) {
        let Some(id) = self.media.get(&media).copied() else { return };
        self.counters.measured(media, &statistics);
        if let Some(leg) = self.legs.get_mut(&id) {
            leg.level = statistics.level_dbov;
            let before = std::mem::replace(&mut leg.statistics, statistics).vitals;
            self.quality_changed(id, &before);
        } else if let Some((_, stats)) = self.history.legs.get_mut(&id) {
            *stats = quality::stats(&statistics);
        }
    }

    fn levels(&mut self, levels: &[(MediaKey, i8)]) {
        let mut seen = Vec::with_capacity(levels.len());
        for &(media, dbov) in levels {
            if let Some(leg) = self.leg_of(media) {
                leg.level = Some(dbov);
                seen.push(Level { leg: leg.id, room: leg.place.room(), dbov });
            }
        }
        self.outputs.push_back(Output::Levels(seen));
    }
}

#[cfg(test)]
mod tests;
