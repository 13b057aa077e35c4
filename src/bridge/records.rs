//! What is remembered of legs, calls and rooms that are over: told to the store, which nobody waits for.

use api::archive::Record;
use api::model::{
    Call, CallRecord, LeftReason, Leg as LegView, LegRecord, RefusedJoins, RoomEndReason,
    RoomRecord, StreamRecord,
};
use jiff::Timestamp;

use super::leg::Leg;
use super::room::Room;
use super::{Bridge, Draining, Output, quality};

impl Bridge {
    /// A leg is over, as `view` shows it.
    pub(super) fn remember_leg(&mut self, leg: &Leg, view: &LegView) {
        let room = view.room.and_then(|room| self.rooms.get(&room));
        let trunk = self.trunk_of(leg.id).and_then(|trunk| self.trunk_name(trunk));
        let stats = quality::stats(&leg.statistics);
        let ended_at = view.ended_at.unwrap_or_else(|| self.wall());
        let record = LegRecord {
            id: view.id,
            call: view.call,
            room: view.room,
            room_name: room.map(|room| room.name.clone()),
            direction: view.direction,
            from: view.from.clone(),
            to: view.to.clone(),
            display_name: view.display_name.clone(),
            user: leg.user.clone(),
            trunk: trunk.map(ToOwned::to_owned),
            transport: view.transport.clone(),
            sip_call_id: view.sip_call_id.clone(),
            codec: view.codec.clone(),
            srtp: view.srtp.clone(),
            created_at: view.created_at,
            answered_at: view.answered_at,
            ended_at,
            duration_s: seconds(view.answered_at, ended_at),
            end_reason: view.end_reason.unwrap_or(LeftReason::Failed),
            sip: view.sip.clone(),
            replaced: leg.replaced,
            replaced_by: leg.replaced_by,
            received: StreamRecord {
                packets: stats.received.packets,
                mos_mean: stats.received.quality.mos_mean,
                mos_min: stats.received.quality.mos_min,
                loss_percent: Some(stats.received.loss_percent + stats.received.late_percent),
                jitter_ms: Some(stats.received.jitter_ms),
            },
            sent: StreamRecord {
                packets: stats.sent.packets,
                mos_mean: stats.sent.quality.mos_mean,
                mos_min: stats.sent.quality.mos_min,
                loss_percent: stats.sent.loss_percent,
                jitter_ms: stats.sent.jitter_ms,
            },
            round_trip_ms: stats.round_trip_ms,
        };
        self.outputs.push_back(Output::Record(Record::Leg(Box::new(record))));
    }

    /// A room is over. Where the bridge stops, those whose last participant leaves end with it.
    pub(super) fn remember_room(&mut self, room: &Room, reason: RoomEndReason) {
        let ended_at = self.wall();
        let is_stopping = matches!(self.draining, Draining::HangingUp | Draining::Done);
        let refused = room.book.refused.iter();
        let record = RoomRecord {
            id: room.id,
            name: room.name.clone(),
            created_by: room.created_by,
            first_leg: room.book.first_leg,
            created_at: room.created_at,
            ended_at,
            duration_s: seconds(Some(room.created_at), ended_at),
            end_reason: if is_stopping { RoomEndReason::Shutdown } else { reason },
            participants: room.book.joined,
            peak_participants: room.book.peak,
            refused: refused
                .map(|(reason, count)| RefusedJoins { reason: reason.clone(), count: *count })
                .collect(),
        };
        self.outputs.push_back(Output::Record(Record::Room(Box::new(record))));
    }

    /// A two-party call is over, as `view` shows it.
    pub(super) fn remember_call(&mut self, view: &Call) {
        let ended_at = view.ended_at.unwrap_or_else(|| self.wall());
        let record = CallRecord {
            id: view.id,
            legs: view.legs.clone(),
            created_at: view.created_at,
            connected_at: view.connected_at,
            ended_at,
            duration_s: seconds(view.connected_at, ended_at),
            end_reason: view.end_reason,
            sip: view.sip.clone(),
        };
        self.outputs.push_back(Output::Record(Record::Call(Box::new(record))));
    }
}

fn seconds(since: Option<Timestamp>, until: Timestamp) -> f64 {
    since.map_or(0.0, |since| until.duration_since(since).as_secs_f64().max(0.0))
}

#[cfg(test)]
mod tests {
    use api::control::{Command, IfMatch};
    use std::time::Duration;

    use super::*;
    use api::model::RoomOrigin;

    use crate::bridge::Input;
    use crate::bridge::scene::Scene;
    use crate::bridge_settings;
    use crate::config::Config;

    fn scene() -> Scene {
        Scene::new(bridge_settings(&Config::default(), 1))
    }

    fn legs(scene: &Scene) -> Vec<LegRecord> {
        let leg = |record: &Record| match record {
            Record::Leg(leg) => Some((**leg).clone()),
            Record::Call(_)
            | Record::Room(_)
            | Record::Audit(_)
            | Record::Recording(_)
            | Record::Event(_) => None,
        };
        scene.records.iter().filter_map(leg).collect()
    }

    #[test]
    fn a_leg_that_is_over_is_remembered_with_what_it_was() {
        let mut scene = scene();
        let talk = scene.joined("standup");
        scene.wait(Duration::from_secs(90));

        scene.within(&talk, ("BYE", 2), "");

        let [record] = legs(&scene).try_into().unwrap();
        assert_eq!((record.id, record.end_reason), (talk.leg, LeftReason::HungUp));
        assert_eq!(record.room_name.as_deref(), Some("standup"));
        assert_eq!(record.codec.as_deref(), Some("PCMU/8000"));
        assert!((record.duration_s - 90.0).abs() < 0.1, "{}", record.duration_s);
    }

    #[test]
    fn both_legs_and_their_call_are_remembered() {
        let mut scene = scene();
        let [anna, bob] = scene.connected(["anna", "bob"]);

        scene.within(&anna, ("BYE", 2), "");

        let reasons = legs(&scene).into_iter().map(|leg| (leg.id, leg.end_reason, leg.call));
        let calls: Vec<_> = scene
            .records
            .iter()
            .filter_map(|record| if let Record::Call(call) = record { Some(call) } else { None })
            .collect();
        assert_eq!(calls.len(), 1, "{:?}", scene.records);
        let call = Some(calls[0].id);
        let expected =
            [(anna.leg, LeftReason::HungUp, call), (bob.leg, LeftReason::PeerLeft, call)];
        assert_eq!(reasons.collect::<Vec<_>>(), expected);
        assert_eq!(calls[0].legs, [anna.leg, bob.leg]);
    }

    #[test]
    fn a_room_that_is_over_is_remembered_with_who_was_in_it_and_who_was_refused() {
        let mut scene = scene();
        let first = scene.joined("standup");
        let second = scene.joined("standup");
        scene.within(&second, ("BYE", 2), "");
        let third = scene.joined("standup");
        let room = "standup".to_owned();
        scene
            .ask(|reply| Command::LockRoom {
                room,
                locked: true,
                condition: IfMatch::default(),
                reply,
            })
            .unwrap();
        scene.call("standup");

        scene.within(&third, ("BYE", 2), "");
        scene.within(&first, ("BYE", 2), "");

        let rooms = scene
            .records
            .iter()
            .filter_map(|record| if let Record::Room(room) = record { Some(room) } else { None });
        let [room] = rooms.collect::<Vec<_>>().try_into().unwrap();
        assert_eq!((room.created_by, room.end_reason), (RoomOrigin::Caller, RoomEndReason::Empty));
        assert_eq!((room.participants, room.peak_participants), (3, 2));
        assert_eq!(room.first_leg, Some(first.leg));
        assert_eq!(room.refused, [RefusedJoins { reason: "locked".to_owned(), count: 1 }]);
    }

    #[test]
    fn rooms_that_are_open_when_the_bridge_stops_end_with_it() {
        let mut scene = scene();
        let body =
            serde_json::from_value(serde_json::json!({"name": "board", "end_when_empty": true}))
                .unwrap();
        scene.ask(|reply| Command::CreateRoom { body, reply }).unwrap();

        scene.input(Input::Drain);

        let is_it = |record: &Record| matches!(record, Record::Room(room) if room.end_reason == RoomEndReason::Shutdown);
        assert!(scene.records.iter().any(is_it), "{:?}", scene.records);
    }

    #[test]
    fn a_caller_that_is_refused_is_remembered_too() {
        let mut scene = scene();
        let body = serde_json::from_value(serde_json::json!({"name": "shut", "locked": true}));
        scene.ask(|reply| Command::CreateRoom { body: body.unwrap(), reply }).unwrap();

        let refused = scene.call("shut");

        assert!(!refused.starts_with("SIP/2.0 200 "), "{refused}");
        assert!(legs(&scene).iter().all(|leg| leg.answered_at.is_none()));
    }
}
