//! What the events say, held against what may happen and against what the API says.

use std::collections::BTreeMap;

use api::event::{EventType, Happened};
use api::model::{LegId, Participant, ParticipantState, RoomId};
use serde_json::Value;

/// A participant as the events tell it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    room: Option<RoomId>,
    ringing: bool,
    joined: bool,
    talking: bool,
    muted: bool,
    held: bool,
    ended: bool,
}

impl Seen {
    /// Joining and moving tell the whole state.
    fn arrive(&mut self, event: &Happened) {
        (self.joined, self.room) = (true, event.room);
        self.muted = field(event, "muted") == true;
        self.held = field(event, "held") == true;
    }
}

/// The state of the world by its events alone.
#[derive(Debug, Default)]
pub struct Ledger {
    legs: BTreeMap<LegId, Seen>,
    rooms: BTreeMap<RoomId, bool>,
    floors: BTreeMap<RoomId, Value>,
    history: Vec<String>,
    kinds: BTreeMap<EventType, usize>,
    expired: usize,
}

impl Ledger {
    /// Every event so far, one line each.
    pub fn history(&self) -> &[String] {
        &self.history
    }

    /// How often each kind of event came.
    pub fn kinds(&self) -> &BTreeMap<EventType, usize> {
        &self.kinds
    }

    /// Legs that ended because nobody refreshed them.
    pub fn expired(&self) -> usize {
        self.expired
    }

    /// Takes one event; stops the test when it contradicts those before.
    pub fn take(&mut self, event: &Happened) {
        let line =
            format!("{} {:?} {:?} {}", event.time, event.room, event.leg, event.kind.as_str());
        self.history.push(line);
        *self.kinds.entry(event.kind).or_default() += 1;
        let ends = event.kind == EventType::LegEnded;
        self.expired += usize::from(ends && field(event, "end_reason") == "session_expired");
        match event.kind {
            EventType::RoomCreated => {
                let before = self.rooms.insert(event.room.unwrap(), true);
                assert!(before.is_none(), "room made twice");
            }
            EventType::RoomEnded => {
                let before = self.rooms.insert(event.room.unwrap(), false);
                assert_eq!(before, Some(true), "room ended that was not open");
                let inside = self.legs.values().any(|leg| leg.room == event.room && !leg.ended);
                assert!(!inside, "room ended with people in it");
            }
            EventType::RoomFloorChanged => {
                let (now, before) = (field(event, "floor"), field(event, "previous"));
                let known = self.floors.insert(event.room.unwrap(), now.clone());
                assert_eq!(known.unwrap_or_default(), before, "who had the floor");
                assert_ne!(now, before, "the floor changed to where it was");
            }
            _ => {}
        }
        if let (Some(leg), Some(room)) = (event.leg, event.room) {
            assert!(self.rooms.contains_key(&room), "{leg} in a room nobody made");
        }
        if let Some(leg) = event.leg {
            self.leg(leg, event);
        }
    }

    fn leg(&mut self, id: LegId, event: &Happened) {
        use EventType as E;
        let leg = self.legs.entry(id).or_default();
        let transfer = matches!(
            event.kind,
            E::LegTransferProgress | E::LegTransferCompleted | E::LegTransferFailed
        );
        assert!(!leg.ended || transfer, "{id}: {} after its end", event.kind.as_str());
        match event.kind {
            E::ParticipantDialing => {
                leg.room = event.room;
                leg.muted = field(event, "muted") == true;
            }
            E::ParticipantRinging => {
                assert!(
                    leg.room.is_some() && !leg.joined && !leg.ringing,
                    "{id} rings out of turn"
                );
                leg.ringing = true;
            }
            E::ParticipantWaiting => {
                assert!(!leg.joined, "{id} waits and has joined");
                leg.room = event.room;
                leg.muted = field(event, "muted") == true;
                leg.held = field(event, "held") == true;
            }
            E::ParticipantJoined => {
                assert!(!leg.joined, "{id} joined twice");
                leg.arrive(event);
            }
            E::ParticipantMoved => {
                assert!(!leg.talking, "{id} moved while talking");
                leg.arrive(event);
            }
            E::ParticipantTalkStarted => {
                assert!(
                    leg.joined && !leg.talking && !leg.held && !leg.muted,
                    "{id} {leg:?} talks"
                );
                leg.talking = true;
            }
            E::ParticipantTalkEnded => {
                assert!(leg.talking, "{id} stopped talking twice");
                leg.talking = false;
            }
            E::ParticipantMuted | E::ParticipantUnmuted => {
                let muted = event.kind == E::ParticipantMuted;
                assert_ne!(leg.muted, muted, "{id} muted or unmuted twice");
                leg.muted = muted;
            }
            E::ParticipantHeld | E::ParticipantResumed => {
                let held = event.kind == E::ParticipantHeld;
                assert_ne!(leg.held, held, "{id} held or resumed twice");
                leg.held = held;
            }
            E::ParticipantLeft => {
                assert!(leg.room.is_some(), "{id} left and was never in");
                assert!(!leg.talking, "{id} left while talking");
                leg.room = None;
            }
            E::LegEnded => {
                assert!(leg.room.is_none(), "{id} ended and never left");
                leg.ended = true;
            }
            _ => {}
        }
    }

    /// Whether an open room has this id by the events.
    pub fn open_rooms(&self) -> Vec<RoomId> {
        self.rooms.iter().filter(|(_, open)| **open).map(|(room, _)| *room).collect()
    }

    /// Holds what the API lists for `room` against the events.
    pub fn compare(&self, room: RoomId, listed: &[Participant]) {
        let known = self.legs.iter().filter(|(_, leg)| leg.room == Some(room));
        let known: BTreeMap<LegId, Seen> = known.map(|(id, leg)| (*id, *leg)).collect();
        let ids: Vec<LegId> = listed.iter().rev().map(|one| one.leg).collect();
        assert_eq!(known.keys().copied().collect::<Vec<_>>(), ids, "roster of {room}");
        for one in listed {
            let seen = known[&one.leg];
            assert_eq!(seen.joined, one.state == ParticipantState::Joined, "{}", one.leg);
            assert_eq!(seen.talking, one.talking, "{} talking", one.leg);
            assert_eq!(seen.held, one.held, "{} held", one.leg);
        }
    }

    /// Every leg that was ever told of has ended.
    pub fn assert_all_ended(&self) {
        for (id, leg) in &self.legs {
            assert!(leg.ended, "{id} never ended: {leg:?}");
        }
    }
}

/// A field of what the event tells; null if there is none.
fn field(event: &Happened, name: &str) -> Value {
    let data: Value = event.data.read().unwrap();
    data[name].clone()
}
