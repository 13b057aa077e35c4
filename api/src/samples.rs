//! One of each resource, as the `OpenAPI` document shows them and tests use them.

use jiff::Timestamp;

use crate::auth::Scope;
use crate::event::{Data, Event, EventType};
use crate::id::{CallId, EventId, LegId, NodeId, RoomId};
use crate::model::{
    ApiKey, ApiKeyId, Attempt, AudioGroup, AuditEntry, AuditId, Ban, BurstStats, Call, CallRecord,
    CallState, DelayStats, Delivery, DeliveryId, DeliveryState, Direction, DirectoryEntry,
    HeardGroup, Invitation, LeftReason, Leg, LegQuality, LegRecord, LegState, LegStats, Mark,
    MarkKind, Media, MediaOrigin, Message, MessageId, MessageState, Node, NodeState, NodeWorker,
    Participant, ParticipantState, Playback, PlaybackId, PlaybackPurpose, PlaybackState, Presence,
    PresenceStatus, Provisioned, QualityStats, ReceivedStats, Recording, RecordingEnd,
    RecordingFormat, RecordingId, RecordingState, RefusedJoins, Registration, RegistrationId,
    Relation, Role, Room, RoomEndReason, RoomManners, RoomMenu, RoomOrigin, RoomRecord,
    RoomRecording, RoomState, RoomTemplate, RoomToken, Route, RouteDestination, RouteLook,
    RouteOutcome, RouteSource, RouteStep, RouteTime, RouteTrace, RouteTrunk, SentStats, Session,
    Snapshot, Source, StreamQuality, StreamRecord, Trace, TraceEntry, Track, TrackFile, Trunk,
    TrunkGateway, TrunkState, User, Webhook, WebhookId, Weekday,
};

/// Milliseconds since 1970 at which the samples were made.
const MADE_MS: i64 = 1_767_261_600_000; // 2026-01-01T10:00:00Z

fn time(after_s: i64) -> Timestamp {
    Timestamp::from_millisecond(MADE_MS + after_s * 1000).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Id parts: the time of the samples, and something to tell one from the next.
fn parts(random: u128) -> (u64, u128) {
    (MADE_MS.unsigned_abs(), random)
}

fn room_id() -> RoomId {
    let (ms, random) = parts(0x1f3a_77c0_55aa_0001_9b01);
    RoomId::new(ms, random)
}

fn leg_id() -> LegId {
    let (ms, random) = parts(0x8d2e_0c1b_4e77_0002_c402);
    LegId::new(ms, random)
}

fn other_leg_id() -> LegId {
    let (ms, random) = parts(0x8d2e_0c1b_4e77_0003_c403);
    LegId::new(ms, random)
}

fn call_id() -> CallId {
    let (ms, random) = parts(0x4c77_91de_3310_0004_1704);
    CallId::new(ms, random)
}

/// An announcement that is heard in the room.
pub fn playback() -> Playback {
    let (ms, random) = parts(0x51aa_0c1b_4e77_0005_2105);
    Playback {
        id: PlaybackId::new(ms, random),
        room: Some(room_id()),
        call: None,
        leg: None,
        purpose: PlaybackPurpose::Announcement,
        state: PlaybackState::Playing,
        media: vec!["en.welcome".to_owned()],
        repeat: 1,
        gain_db: 0.0,
        duck_db: 20.0,
        position_ms: 640,
        duration_ms: 1_420,
        created_at: time(90),
        started_at: Some(time(90)),
        ended_at: None,
        end_reason: None,
    }
}

/// A recording that is over.
pub fn recording() -> Recording {
    let (ms, random) = parts(0x7f3e_0c1b_4e77_0006_3306);
    let file = |name: &str, octets, rate_hz| TrackFile {
        name: format!("{name}.wav"),
        octets,
        rate_hz,
        duration_ms: 60_000,
        sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        lost_ms: 0,
    };
    let leg = leg_id().to_string();
    Recording {
        id: RecordingId::new(ms, random),
        room: Some(room_id()),
        room_name: Some("board".to_owned()),
        call: None,
        leg: None,
        state: RecordingState::Completed,
        automatic: false,
        format: RecordingFormat::Wav,
        started_at: time(60),
        ended_at: Some(time(120)),
        duration_ms: 60_000,
        end_reason: Some(RecordingEnd::Stopped),
        detail: None,
        tracks: vec![
            Track {
                name: "mix".to_owned(),
                leg: None,
                display_name: None,
                file: Some(file("mix", 1_920_044, 16_000)),
            },
            Track {
                name: leg.clone(),
                leg: Some(leg_id()),
                display_name: Some("Anna".to_owned()),
                file: Some(file(&leg, 960_044, 8_000)),
            },
        ],
        marks: vec![Mark {
            at_ms: 12_340,
            kind: MarkKind::TalkStarted,
            leg: Some(leg_id()),
            label: None,
        }],
        marks_dropped: 0,
    }
}

/// A sound that somebody uploaded.
pub fn media() -> Media {
    Media {
        name: "jingle".to_owned(),
        origin: MediaOrigin::Uploaded,
        duration_ms: Some(4_000),
        rate_hz: Some(48_000),
        octets: 384_000,
        revision: MADE_MS.unsigned_abs(),
        created_at: Some(time(0)),
    }
}

/// A room in which a moderator is awaited.
fn manners() -> RoomManners {
    RoomManners {
        has_pin: true,
        has_moderator_pin: true,
        pin_attempts: 3,
        language: "en".to_owned(),
        wait_for_moderator: true,
        end_with_moderator: false,
        moderator_grace_s: 0,
        waiting_room: false,
        start_muted: false,
        enter_sound: "tone.enter".to_owned(),
        leave_sound: String::new(),
        announce_count: true,
        music_alone: String::new(),
        music_waiting: "music".to_owned(),
        music_held: String::new(),
        opens_at: None,
        closes_at: None,
        recording: RoomRecording::default(),
        menu: RoomMenu::default(),
    }
}

/// A sidebar of `main`.
fn group() -> AudioGroup {
    let heard = |group: &str, gain_db| HeardGroup { group: group.to_owned(), gain_db };
    AudioGroup {
        relation: Some(Relation::Sidebar),
        speaks_to: Some("aside".to_owned()),
        hears: vec![heard("aside", 0.0), heard("main", -20.0)],
        ducked_by: None,
        duck_db: 0.0,
    }
}

/// What rooms are made of in which a moderator is awaited.
pub fn template() -> RoomTemplate {
    RoomTemplate {
        name: "quiet".to_owned(),
        names: Some("team-*".to_owned()),
        locked: false,
        max_participants: Some(20),
        contributors: None,
        settings: manners(),
        groups: std::collections::BTreeMap::new(),
        revision: MADE_MS.unsigned_abs(),
        created_at: time(0),
    }
}

/// An open room with two people in it.
pub fn room() -> Room {
    Room {
        id: room_id(),
        name: "board".to_owned(),
        state: RoomState::Open,
        locked: false,
        ad_hoc: false,
        end_when_empty: false,
        max_participants: 20,
        contributors: 3,
        participants: 2,
        settings: manners(),
        groups: [("aside".to_owned(), group())].into(),
        floor: Some(leg_id()),
        kept: true,
        revision: 4,
        created_at: time(0),
        ended_at: None,
    }
}

/// Somebody who was dialled and speaks.
pub fn participant() -> Participant {
    Participant {
        leg: leg_id(),
        room: room_id(),
        state: ParticipantState::Joined,
        direction: Direction::Outbound,
        uri: "sip:bob@example.com".to_owned(),
        display_name: Some("Bob".to_owned()),
        role: Role::Speaker,
        muted: false,
        muted_by: None,
        hand_raised_at: None,
        returns_at: None,
        waiting_for: None,
        deaf: false,
        held: false,
        held_by: None,
        gain_in_db: 0.0,
        gain_out_db: 0.0,
        agc: false,
        noise_suppression: false,
        echo_suppression: false,
        group: None,
        coaching: None,
        supervision: None,
        talking: true,
        level_dbov: Some(-24),
        codec: Some("opus/48000".to_owned()),
        revision: 2,
        joined_at: Some(time(5)),
        left_at: None,
        left_reason: None,
        sip: None,
    }
}

/// The leg of [`participant`].
pub fn leg() -> Leg {
    Leg {
        id: leg_id(),
        call: Some(call_id()),
        room: Some(room_id()),
        direction: Direction::Outbound,
        state: LegState::Answered,
        from: "sip:board@192.0.2.10".to_owned(),
        to: "sip:bob@example.com".to_owned(),
        answered_by: None,
        display_name: Some("Bob".to_owned()),
        transport: "udp".to_owned(),
        sip_call_id: "a84b4c76e66710@192.0.2.10".to_owned(),
        codec: Some("opus/48000".to_owned()),
        srtp: Some("AEAD_AES_128_GCM".to_owned()),
        held: false,
        held_by: None,
        muted: false,
        transfer: None,
        quality: LegQuality {
            received: StreamQuality { mos: Some(4.37), degraded: None },
            sent: StreamQuality { mos: Some(4.37), degraded: None },
            at_delay_ceiling: false,
        },
        echo: None,
        created_at: time(1),
        answered_at: Some(time(5)),
        ended_at: None,
        end_reason: None,
        sip: None,
    }
}

/// Two parties that hear each other.
pub fn call() -> Call {
    Call {
        id: call_id(),
        state: CallState::Connected,
        legs: vec![leg_id(), other_leg_id()],
        created_at: time(1),
        connected_at: Some(time(5)),
        ended_at: None,
        end_reason: None,
        sip: None,
    }
}

/// The room, its participant and the call.
pub fn snapshot() -> Snapshot {
    Snapshot {
        rooms: vec![room()],
        participants: vec![participant()],
        calls: vec![call()],
        legs: vec![leg()],
        playbacks: vec![playback()],
    }
}

/// Somebody in the directory.
pub fn directory_entry() -> DirectoryEntry {
    DirectoryEntry {
        name: "Ada Lovelace".to_owned(),
        number: Some("+4930123456".to_owned()),
        mail: Some("ada@example.com".to_owned()),
    }
}

/// Somebody who has logged in.
pub fn session() -> Session {
    Session {
        token: "plenary_session_eyJ1c2Vy….Qm9h…".to_owned(),
        user: "ada".to_owned(),
        scopes: vec![Scope::RoomsRead, Scope::RoomsControl],
        expires_at: time(8 * 3600),
    }
}

/// An invitation to the room.
pub fn invitation() -> Invitation {
    Invitation {
        uid: "1f3a77c055aa00019b01@plenary".to_owned(),
        room: room_id(),
        to: vec!["ada@example.com".to_owned()],
        subject: "Board meeting".to_owned(),
        starts_at: time(3600),
        ends_at: time(7200),
    }
}

/// A token for the room.
pub fn room_token() -> RoomToken {
    RoomToken {
        token: "plenary_room_eyJyb29tIjoi….pK3x…".to_owned(),
        room: room_id(),
        scopes: vec![Scope::RoomsRead, Scope::EventsRead],
        expires_at: time(3600),
    }
}

/// Figures of a leg that fares well.
pub fn leg_stats() -> LegStats {
    let quality = QualityStats {
        r: Some(91.3),
        mos: Some(4.37),
        loss_percent: Some(0.0),
        late_percent: Some(0.0),
        delay_ms: Some(75.5),
        r_mean: Some(91.0),
        mos_mean: Some(4.36),
        r_min: Some(84.2),
        mos_min: Some(4.18),
        degraded: None,
    };
    LegStats {
        remote_rtp: Some("198.51.100.7:41000".to_owned()),
        round_trip_ms: Some(18.0),
        received: ReceivedStats {
            codec: Some("opus/48000".to_owned()),
            packets: 3000,
            octets: 240_000,
            packets_lost: 3,
            loss_percent: 0.1,
            jitter_ms: 1.5,
            frames_concealed: 3,
            level_dbov: Some(-24),
            bursts: BurstStats { gap_loss_percent: 0.1, gap_ms: 60_060.0, ..BurstStats::default() },
            quality: quality.clone(),
            ..ReceivedStats::default()
        },
        sent: SentStats {
            codec: Some("opus/48000".to_owned()),
            packets: 3001,
            octets: 241_000,
            packets_lost: Some(0),
            loss_percent: Some(0.0),
            jitter_ms: Some(2.0),
            quality,
            reported: None,
        },
        delay: DelayStats {
            network_ms: Some(9.0),
            buffer_ms: 40.0,
            buffer_target_ms: 40.0,
            mix_ms: 0.0,
            packet_ms: 26.5,
            total_ms: 75.5,
            at_ceiling: false,
        },
    }
}

/// A node whose first worker carries most.
pub fn node() -> Node {
    let (ms, random) = parts(0x71b0_2f6d_08c4_0006_e606);
    let worker = |worker, legs, busy, room_for_legs| NodeWorker {
        worker,
        legs,
        mixes: legs / 10,
        busy,
        slack: 0.98 - busy,
        ticks: 1_264_000,
        late_ticks: 0,
        room_for_legs,
    };
    Node {
        id: NodeId::new(ms, random),
        name: "bridge-1".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: NodeState::Ready,
        started_at: time(-3600),
        uptime_s: 3600,
        legs: 440,
        rooms: 44,
        calls: 0,
        room_for_legs: 4400,
        workers: vec![worker(0, 240, 0.06, 2300), worker(1, 200, 0.05, 2100)],
    }
}

/// What Alice wrote to the room.
pub fn message() -> Message {
    let (ms, random) = parts(0x5d11_20a3_7702_0008_3b08);
    Message {
        id: MessageId::new(ms, random),
        direction: Direction::Inbound,
        state: MessageState::Delivered,
        from: "sip:alice@example.com".to_owned(),
        to: "sip:board@192.0.2.1".to_owned(),
        room: Some(room_id()),
        content_type: "text/plain".to_owned(),
        body: Some("The figures are on the wall.".to_owned()),
        recipients: 1,
        delivered: 1,
        created_at: time(60),
        sip: None,
    }
}

/// Alice, in a call.
pub fn presence() -> Presence {
    Presence {
        user: "alice".to_owned(),
        status: PresenceStatus::Open,
        activities: vec!["on-the-phone".to_owned()],
        note: Some("Back on Monday".to_owned()),
        registered: true,
    }
}

/// A desk phone of Alice.
pub fn registration() -> Registration {
    let (ms, random) = parts(0x33aa_10f0_9e01_0006_2a06);
    Registration {
        id: RegistrationId::new(ms, random),
        user: "alice".to_owned(),
        contact: "sip:alice@192.0.2.10:5060".to_owned(),
        q: 1.0,
        transport: "udp".to_owned(),
        source: ([192, 0, 2, 10], 5060).into(),
        user_agent: "Desk 7".to_owned(),
        instance: None,
        path: Vec::new(),
        registered_at: time(0),
        expires_at: time(3600),
    }
}

/// A key for a screen in the lobby.
pub fn api_key() -> ApiKey {
    let (ms, random) = parts(0x6b01_44d2_91c0_0009_5d09);
    ApiKey {
        id: ApiKeyId::new(ms, random),
        name: "lobby screen".to_owned(),
        scopes: vec![Scope::RoomsRead, Scope::EventsRead],
        rooms: vec!["lobby".to_owned()],
        created_at: time(0),
        expires_at: None,
        revision: MADE_MS.unsigned_abs(),
    }
}

/// [`leg`], when it was over.
pub fn leg_record() -> LegRecord {
    let leg = leg();
    let stream = |packets| StreamRecord {
        packets,
        mos_mean: Some(4.36),
        mos_min: Some(4.18),
        loss_percent: Some(0.1),
        jitter_ms: Some(1.5),
    };
    LegRecord {
        id: leg.id,
        call: leg.call,
        room: leg.room,
        room_name: Some("board".to_owned()),
        direction: leg.direction,
        from: leg.from,
        to: leg.to,
        display_name: leg.display_name,
        user: None,
        trunk: Some("carrier".to_owned()),
        transport: leg.transport,
        sip_call_id: leg.sip_call_id,
        codec: leg.codec,
        srtp: leg.srtp,
        created_at: leg.created_at,
        answered_at: leg.answered_at,
        ended_at: time(65),
        duration_s: 60.0,
        end_reason: LeftReason::HungUp,
        sip: None,
        replaced: None,
        replaced_by: None,
        received: stream(3000),
        sent: stream(3001),
        round_trip_ms: Some(18.0),
    }
}

/// [`call`], when it was over.
pub fn call_record() -> CallRecord {
    let Call { id, legs, created_at, connected_at, sip, .. } = call();
    CallRecord {
        id,
        legs,
        created_at,
        connected_at,
        ended_at: time(65),
        duration_s: 60.0,
        end_reason: Some(LeftReason::HungUp),
        sip,
    }
}

/// [`room`], when it was over.
pub fn room_record() -> RoomRecord {
    let Room { id, name, created_at, .. } = room();
    RoomRecord {
        id,
        name,
        created_by: RoomOrigin::Api,
        first_leg: Some(leg_id()),
        created_at,
        ended_at: time(65),
        duration_s: 65.0,
        end_reason: RoomEndReason::Ended,
        participants: 2,
        peak_participants: 2,
        refused: vec![RefusedJoins { reason: "locked".to_owned(), count: 1 }],
    }
}

/// An endpoint that is told of who comes and goes.
pub fn webhook() -> Webhook {
    let (ms, random) = parts(0x5b21_90fe_7c44_0011_2f11);
    Webhook {
        id: WebhookId::new(ms, random),
        url: "https://example.com/plenary".to_owned(),
        description: "booking".to_owned(),
        events: vec!["participant.*".to_owned(), "room.ended".to_owned()],
        rooms: Vec::new(),
        enabled: true,
        disabled_reason: None,
        created_at: time(0),
        revision: MADE_MS.unsigned_abs(),
    }
}

/// What [`webhook`] was told of [`event`], at the second attempt.
pub fn delivery() -> Delivery {
    let (ms, random) = parts(0x5b21_90fe_7c44_0012_2f12);
    let event = event();
    Delivery {
        id: DeliveryId::new(ms, random),
        webhook: webhook().id,
        event: event.id,
        seq: Some(event.seq),
        kind: event.kind.as_str().to_owned(),
        room: event.room,
        state: DeliveryState::Delivered,
        time: event.time,
        next_attempt_at: None,
        attempts: vec![
            Attempt {
                at: time(5),
                duration_ms: 15_000,
                status: None,
                error: Some("timeout".to_owned()),
                response: "no answer in time".to_owned(),
            },
            Attempt {
                at: time(25),
                duration_ms: 41,
                status: Some(204),
                error: None,
                response: String::new(),
            },
        ],
    }
}

/// That a route was made.
pub fn audit_entry() -> AuditEntry {
    let (ms, random) = parts(0x7e33_55c1_0a90_0010_8e10);
    AuditEntry {
        id: AuditId::new(ms, random),
        time: time(0),
        key: Some(api_key().id),
        key_name: "provisioning".to_owned(),
        method: "POST".to_owned(),
        path: "/v1/routes".to_owned(),
        status: 201,
        request_id: "req_01JDC5E0000000000000000000".to_owned(),
        source: Some("192.0.2.7".to_owned()),
    }
}

/// A user with two phones.
pub fn user() -> User {
    User {
        name: "alice".to_owned(),
        display_name: Some("Alice".to_owned()),
        may_register: true,
        may_call: true,
        phones: 2,
        needs_password: false,
        source: Source::Api,
        revision: MADE_MS.unsigned_abs(),
    }
}

/// A carrier of which one gateway is down.
pub fn trunk() -> Trunk {
    let gateway = |uri: &str, state, round_trip_ms| {
        let uri = uri.to_owned();
        TrunkGateway { uri, priority: 10, weight: 1, state, round_trip_ms }
    };
    Trunk {
        name: "carrier".to_owned(),
        state: TrunkState::Up,
        gateways: vec![
            gateway("sip:sip1.carrier.example", TrunkState::Up, Some(12.5)),
            gateway("sip:sip2.carrier.example", TrunkState::Down, None),
        ],
        registers: true,
        registered_until: Some(time(600)),
        refused: None,
        calls: 3,
        max_calls: 30,
        config: None,
        source: Source::Settings,
        revision: 0,
    }
}

/// Calls of a carrier to one number by day: to a user, and to a room while she talks.
pub fn route() -> Route {
    let time = RouteTime {
        days: vec![Weekday::Mon, Weekday::Tue, Weekday::Wed, Weekday::Thu, Weekday::Fri],
        from: "08:00".to_owned(),
        to: "17:30".to_owned(),
        timezone: "Europe/Berlin".to_owned(),
    };
    let first =
        RouteStep { user: Some("anna".to_owned()), timeout_s: Some(20), ..RouteStep::default() };
    let second = RouteStep {
        room: Some("lobby".to_owned()),
        on: vec![RouteOutcome::Busy],
        ..RouteStep::default()
    };
    Route {
        name: "day".to_owned(),
        order: 10,
        source: RouteSource { trunk: Some("carrier".to_owned()), ..RouteSource::default() },
        destination: RouteDestination {
            exact: Some("+4930123456".to_owned()),
            ..RouteDestination::default()
        },
        times: vec![time],
        steps: vec![first, second],
    }
}

/// [`route`] as it is kept.
pub fn kept_route() -> Provisioned<Route> {
    Provisioned { item: route(), source: Source::Api, revision: MADE_MS.unsigned_abs() }
}

/// A call that this route takes.
pub fn route_trace() -> RouteTrace {
    let Route { name, steps, .. } = route();
    let why = "source.trunk is carrier; destination is +4930123456; within times[0]".to_owned();
    RouteTrace {
        route: Some(name.clone()),
        dialled: "+4930123456".to_owned(),
        from: Some("+4315551234".to_owned()),
        looked_at: vec![RouteLook { route: name, fits: true, why }],
        steps,
        asks: None,
        trunks: vec![RouteTrunk {
            step: 1,
            trunk: "carrier".to_owned(),
            number: "+4930123456".to_owned(),
            dialled: "030123456".to_owned(),
            from: "sip:+4930654321@carrier.example".to_owned(),
        }],
    }
}

/// A call that has just come in.
pub fn trace() -> Trace {
    let message = "INVITE sip:standup@192.0.2.1 SIP/2.0\r\nCall-ID: 1@192.0.2.10\r\n\r\n";
    let invite = TraceEntry {
        time: time(0),
        leg: leg_id(),
        summary: "INVITE sip:standup@192.0.2.1 SIP/2.0".to_owned(),
        direction: Some("received"),
        transport: Some("udp"),
        local: Some(([192, 0, 2, 1], 5060).into()),
        peer: Some(([192, 0, 2, 10], 5060).into()),
        text: Some(message.to_owned()),
    };
    let summary = "participant.joined".to_owned();
    let joined = TraceEntry { time: time(1), leg: leg_id(), summary, ..TraceEntry::default() };
    Trace { dropped: 0, entries: vec![invite, joined] }
}

/// A ban for ten minutes.
pub fn ban() -> Ban {
    let address = std::net::IpAddr::from([192, 0, 2, 66]);
    Ban { address, failures: 10, created_at: time(0), expires_at: time(600) }
}

/// [`participant`] joining [`room`].
pub fn event() -> Event {
    let (ms, random) = parts(0x33aa_10f0_9e01_0005_2a05);
    Event {
        id: EventId::new(ms, random),
        seq: 42,
        kind: EventType::ParticipantJoined,
        time: time(5),
        room: Some(room_id()),
        leg: Some(leg_id()),
        call: Some(call_id()),
        data: Data::of(&participant()),
        moved_out_of: None,
    }
}
