use std::os::unix::fs::PermissionsExt as _;

use api::archive::{
    Change, Desk, EventQuery, EventSpan, KeptDelivery, Progress, Read, Record, StoreFailure,
    Unfinished,
};
use api::control::ControlError;
use api::event::{Data, EventType, Happened};
use api::events::{EventLog, Filter, Gone, LogSettings, first_seq};
use api::id::{ApiKeyId, AuditId, DeliveryId, LegId, RoomId};
use api::model::{
    AuditEntry, Delivery, DeliveryQuery, DeliveryState, LegRecord, Page, RecordQuery, RoomRecord,
};
use api::samples;
use jiff::Timestamp;

use super::*;
use postgres::Postgres;

#[path = "../../tests/e2e/support/postgres.rs"]
#[allow(clippy::disallowed_methods, dead_code, unreachable_pub, reason = "shared with tests/e2e")]
mod postgres;

/// A database of a test's own.
struct Home {
    place: Place,
    _folder: tempfile::TempDir,
    _server: Option<Postgres>,
}

impl Home {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { place: Place::Folder(folder.path().join("new")), _folder: folder, _server: None }
    }

    fn postgres() -> Self {
        let server = Postgres::start();
        Self { place: Place::Url(server.url()), _server: Some(server), ..Self::sqlite() }
    }

    async fn open(&self) -> Store {
        Store::open(&self.place).await.unwrap()
    }

    /// The numbers of the events that are stored.
    async fn span(&self) -> Option<EventSpan> {
        self.open().await.events().await.unwrap()
    }

    /// Opens it, and closes it when `work` is done and what it asked for is stored.
    async fn with<T>(&self, retention: Retention, work: impl AsyncFnOnce(&Desk) -> T) -> T {
        let (desk, writer, reader) = staff(self.open().await, retention);
        let working = async {
            let done = work(&desk).await;
            drop(desk);
            done
        };
        let (done, (), ()) = tokio::join!(working, writer.run(), reader.run());
        done
    }
}

/// The same tests on both databases.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test] async fn $name() { super::$name(super::Home::sqlite()).await; })+
        }
        mod on_postgres {
            $(#[tokio::test] async fn $name() { super::$name(super::Home::postgres()).await; })+
        }
    };
}

on_both!(
    what_is_put_is_there_when_it_is_opened_again,
    records_are_read_by_pages_newest_first,
    records_are_found_by_what_they_have,
    what_is_too_old_is_forgotten,
    rooms_are_found_by_their_name,
    the_log_goes_on_over_a_restart_and_is_read_beyond_the_ring,
    a_reader_that_resumes_gets_what_it_missed_over_a_restart,
    events_that_are_too_old_or_too_many_are_forgotten,
    what_a_webhook_is_still_to_be_told_is_there_after_a_restart,
);

fn document(name: &str, revision: u64) -> Document {
    let (name, body) = (name.to_owned(), format!("{{\"revision\":{revision}}}"));
    Document { kind: DocumentKind::Route, name, revision, body }
}

async fn what_is_put_is_there_when_it_is_opened_again(home: Home) {
    let removed = Change::Remove(DocumentKind::Route, "b".to_owned());
    let changes = [document("a", 1), document("b", 2), document("a", 3)].map(Change::Put);
    let put = async |desk: &Desk| {
        for change in changes.into_iter().chain([removed]) {
            desk.put(change).unwrap().await.unwrap().unwrap();
        }
    };

    home.with(FOR_GOOD, put).await;

    assert_eq!(home.open().await.documents().await.unwrap(), [document("a", 3)]);
}

/// Legs that began one millisecond after the other.
fn legs(count: u64) -> impl Iterator<Item = LegRecord> {
    (1..=count).map(|at| LegRecord { id: LegId::new(at, at.into()), ..samples::leg_record() })
}

fn note(desk: &Desk, legs: impl Iterator<Item = LegRecord>) {
    for leg in legs {
        desk.note(Record::Leg(Box::new(leg)));
    }
}

async fn read(desk: &Desk, query: RecordQuery) -> Page<LegRecord> {
    desk.read(|reply| Read::Legs(query, reply)).await.unwrap()
}

async fn records_are_read_by_pages_newest_first(home: Home) {
    home.with(FOR_GOOD, async |desk| note(desk, legs(7))).await;

    let pages = async |desk: &Desk| {
        let mut query = RecordQuery { limit: Some(3), ..RecordQuery::default() };
        let mut pages = Vec::new();
        loop {
            let page = read(desk, query.clone()).await;
            pages.push(page.items.iter().map(|leg| leg.id.random()).collect::<Vec<_>>());
            query.cursor = page.next;
            if query.cursor.is_none() {
                return pages;
            }
        }
    };
    let pages = home.with(FOR_GOOD, pages).await;

    assert_eq!(pages, [vec![7, 6, 5], vec![4, 3, 2], vec![1]]);
}

async fn records_are_found_by_what_they_have(home: Home) {
    let made = async |desk: &Desk| {
        let of_anna = |leg: LegRecord| LegRecord { user: Some("anna".to_owned()), ..leg };
        note(desk, legs(4).map(|leg| if leg.id.random() % 2 == 0 { of_anna(leg) } else { leg }));
        let key = Some(ApiKeyId::new(1, 1));
        for at in 1..=2 {
            let id = AuditId::new(at, 0);
            let entry = AuditEntry { id, key: key.filter(|_| at == 1), ..samples::audit_entry() };
            desk.note(Record::Audit(Box::new(entry)));
        }
    };
    home.with(FOR_GOOD, made).await;

    let asked = async |desk: &Desk| {
        let by = |user: &str| RecordQuery { user: Some(user.to_owned()), ..RecordQuery::default() };
        let anna = read(desk, by("anna")).await.items.len();
        let nobody = read(desk, by("' OR 1 = 1 --")).await.items.len();
        let since = Timestamp::from_millisecond(2).ok();
        let until = Timestamp::from_millisecond(4).ok();
        let within = read(desk, RecordQuery { since, until, ..RecordQuery::default() }).await;
        let key = Some(ApiKeyId::new(1, 1));
        let query = RecordQuery { key, ..RecordQuery::default() };
        let audit = desk.read(|reply| Read::Audit(query, reply)).await.unwrap().items.len();
        let one = desk.read(|reply| Read::Leg(LegId::new(1, 1), reply)).await.map(|leg| leg.id);
        let none = desk.read(|reply| Read::Leg(LegId::new(9, 9), reply)).await;
        (anna, nobody, within.items.len(), audit, one, none)
    };
    let (anna, nobody, within, audit, one, none) = home.with(FOR_GOOD, asked).await;

    assert_eq!((anna, nobody, within, audit), (2, 0, 2, 1));
    assert_eq!(one, Ok(LegId::new(1, 1)));
    assert!(matches!(none, Err(ControlError::NotFound { what: "leg", .. })), "{none:?}");
}

async fn what_is_too_old_is_forgotten(home: Home) {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap();
    let young = LegRecord { id: LegId::new(now, 1), ..samples::leg_record() };
    home.with(FOR_GOOD, async |desk| note(desk, legs(1200).chain([young.clone()]))).await;

    // What is there is looked through at start.
    let retention = Retention { legs: 1, ..FOR_GOOD };
    let left = home
        .with(retention, async |desk| {
            loop {
                let page = read(desk, RecordQuery::default()).await;
                if page.next.is_none() {
                    return page.items;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;

    assert_eq!(left, [young]);
}

async fn rooms_are_found_by_their_name(home: Home) {
    let made = async |desk: &Desk| {
        for (at, name) in [(1, "board"), (2, "lobby"), (3, "board")] {
            let (id, name) = (RoomId::new(at, 0), name.to_owned());
            let room = RoomRecord { id, name, ..samples::room_record() };
            desk.note(Record::Room(Box::new(room)));
        }
    };
    home.with(FOR_GOOD, made).await;

    let asked = async |desk: &Desk| {
        let query = RecordQuery { name: Some("board".to_owned()), ..RecordQuery::default() };
        let page = desk.read(|reply| Read::Rooms(query, reply)).await.unwrap();
        let one = desk.read(|reply| Read::Room(RoomId::new(2, 0), reply)).await.unwrap();
        (page.items.iter().map(|room| room.id).collect::<Vec<_>>(), one.name)
    };
    let found = home.with(FOR_GOOD, asked).await;

    assert_eq!(found, (vec![RoomId::new(3, 0), RoomId::new(1, 0)], "lobby".to_owned()));
}

/// The log of a run that begins at `unix_ms`, where so much is stored.
fn log_of(desk: &Desk, unix_ms: u64, stored: Option<EventSpan>) -> EventLog {
    let first_seq = first_seq(unix_ms, stored);
    EventLog::kept(LogSettings { capacity: 1, first_seq, seed: 7 }, desk.clone(), stored)
}

fn happened(kind: EventType, room: u64) -> Happened {
    let (time, data) = (Timestamp::UNIX_EPOCH, Data::of(&"x"));
    let room = Some(RoomId::new(room, 0));
    Happened { kind, time, room, leg: None, call: None, data }
}

async fn the_log_goes_on_over_a_restart_and_is_read_beyond_the_ring(home: Home) {
    let first = async |desk: &Desk| {
        let log = log_of(desk, 1, None);
        // More than the ring holds and than are read at once; the queue takes some thousands.
        for at in 0..21_000 {
            let kind = if at == 7 { EventType::RoomEnded } else { EventType::RoomCreated };
            log.push(happened(kind, at % 2));
            if at % 2000 == 0 {
                stored_up_to(&log, desk).await;
            }
        }
        stored_up_to(&log, desk).await;
        let page = log.page(None, 1, &Filter::default()).await.unwrap();
        assert_eq!(page.items[0].seq, 1, "the ring has lost it");
        log.newest()
    };
    let newest = home.with(FOR_GOOD, first).await;
    let stored = home.span().await;

    let second = async |desk: &Desk| {
        let log = log_of(desk, 1, stored);
        let next = log.push(happened(EventType::RoomUpdated, 1)).seq;
        let of = |filter: Filter| {
            let log = log.clone();
            async move {
                let (mut seqs, mut place) = (Vec::new(), None);
                loop {
                    let page = log.page(place, 500, &filter).await.unwrap();
                    seqs.extend(page.items.iter().map(|event| event.seq));
                    place = Some(page.last_seq);
                    if page.next.is_none() || seqs.len() >= 500 {
                        return seqs;
                    }
                }
            }
        };
        let ended = vec![EventType::RoomEnded];
        let by_kind = of(Filter { kinds: ended, ..Filter::default() }).await;
        let rooms = vec![RoomId::new(1, 0)];
        let by_room = of(Filter { rooms: rooms.clone(), ..Filter::default() }).await;
        let kinds = vec![EventType::RoomUpdated];
        let last = of(Filter { kinds, rooms, ..Filter::default() }).await;
        let page = log.page(Some(newest), 10, &Filter::default()).await.unwrap();
        let one = log.event(3).await.unwrap().map(|event| (event.seq, event.kind));
        (next, by_kind, by_room, last, page.items.len(), one)
    };
    let (next, by_kind, by_room, last, missed, one) = home.with(FOR_GOOD, second).await;

    assert!(next > newest, "{next}");
    assert_eq!(by_kind, [8]);
    assert_eq!((by_room.len(), by_room[..3].to_vec()), (500, vec![2, 4, 6]));
    assert_eq!((last, missed), (vec![next], 1));
    assert_eq!(one, Some((3, EventType::RoomCreated)));
}

/// Waits until all that was pushed is stored.
async fn stored_up_to(log: &EventLog, desk: &Desk) {
    let newest = log.newest();
    let query = EventQuery {
        after: newest - 1,
        before: newest + 1,
        limit: 1,
        room: None,
        leg: None,
        call: None,
    };
    while desk.read(|reply| Read::Events(query, reply)).await.unwrap().items.is_empty() {
        tokio::task::yield_now().await;
    }
}

async fn a_reader_that_resumes_gets_what_it_missed_over_a_restart(home: Home) {
    let first = async |desk: &Desk| {
        let log = log_of(desk, 1, None);
        for _ in 0..3 {
            log.push(happened(EventType::RoomCreated, 1));
        }
    };
    home.with(FOR_GOOD, first).await;
    let stored = home.span().await;

    let second = async |desk: &Desk| {
        let log = log_of(desk, 5_000_000_000, stored);
        let mut reader = log.reader(Some(1), Filter::default()).unwrap();
        let unknown = log.reader(Some(6_000_000_000), Filter::default()).map(drop);
        log.push(happened(EventType::RoomEnded, 1));
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(reader.next().await.unwrap().seq);
        }
        (seen, unknown)
    };
    let (seen, unknown) = home.with(FOR_GOOD, second).await;

    assert_eq!(seen, [2, 3, 5_000_000_000]);
    assert!(matches!(unknown, Err(Gone::Unknown { .. })), "{unknown:?}");
}

async fn events_that_are_too_old_or_too_many_are_forgotten(home: Home) {
    let made = async |desk: &Desk| {
        let log = log_of(desk, 1, None);
        for _ in 0..10 {
            log.push(happened(EventType::RoomCreated, 1)); // in 1970
        }
        let now = Timestamp::now();
        for _ in 0..10 {
            log.push(Happened { time: now, ..happened(EventType::RoomEnded, 1) });
        }
    };
    home.with(FOR_GOOD, made).await;

    let left = async |desk: &Desk, wanted: usize| {
        let query =
            EventQuery { after: 0, before: 100, limit: 100, room: None, leg: None, call: None };
        loop {
            let stretch = desk.read(|reply| Read::Events(query, reply)).await.unwrap();
            if stretch.items.len() == wanted {
                return stretch.oldest;
            }
            tokio::task::yield_now().await;
        }
    };
    let by_age = Retention { events: 1, ..FOR_GOOD };
    let young = home.with(by_age, async |desk| left(desk, 10).await).await;
    let by_count = Retention { most_events: 4, ..FOR_GOOD };
    let few = home.with(by_count, async |desk| left(desk, 4).await).await;

    assert_eq!((young, few), (Some(11), Some(17)));
}

async fn what_a_webhook_is_still_to_be_told_is_there_after_a_restart(home: Home) {
    let webhook = samples::delivery().webhook;
    let delivery = |at: u64, state: DeliveryState| KeptDelivery {
        delivery: Delivery { id: DeliveryId::new(at, 0), state, ..samples::delivery() },
        payload: Some("{}".into()),
        tries: 3,
    };
    let pending = delivery(2, DeliveryState::Pending);
    let cursor = Document {
        kind: DocumentKind::WebhookCursor,
        name: webhook.to_string(),
        revision: 9,
        body: "{}".to_owned(),
    };
    let made = async |desk: &Desk| {
        let deliveries = vec![delivery(1, DeliveryState::Delivered), pending.clone()];
        let progress = Progress { cursor: Some(cursor.clone()), deliveries };
        desk.advance(progress).unwrap().await.unwrap().unwrap();
    };
    home.with(FOR_GOOD, made).await;

    let found = async |desk: &Desk| {
        let unfinished = desk.read(|reply| Read::Unfinished(webhook, reply)).await.unwrap();
        let query =
            DeliveryQuery { state: Some(DeliveryState::Delivered), ..DeliveryQuery::default() };
        let read = |reply| Read::Deliveries(webhook, Box::new(query), reply);
        let delivered = desk.read(read).await.unwrap().items;
        let gone = Change::Remove(DocumentKind::Webhook, webhook.to_string());
        desk.put(gone).unwrap().await.unwrap().unwrap();
        let nothing = desk.read(|reply| Read::Unfinished(webhook, reply)).await.unwrap();
        (unfinished, delivered, nothing)
    };
    let (unfinished, delivered, nothing) = home.with(FOR_GOOD, found).await;

    assert_eq!(unfinished, Unfinished { cursor: Some(cursor), deliveries: vec![pending] });
    assert_eq!(delivered.iter().map(|one| one.id).collect::<Vec<_>>(), [DeliveryId::new(1, 0)]);
    assert_eq!(nothing, Unfinished::default());
}

#[tokio::test]
async fn a_page_out_of_many_takes_less_than_20_ms() {
    pages_are_quick(50_000).await;
}

#[tokio::test]
#[ignore = "it takes half a minute to fill the table"]
async fn a_page_out_of_a_million_takes_less_than_20_ms() {
    pages_are_quick(1_000_000).await;
}

async fn pages_are_quick(count: i64) {
    let home = Home::sqlite();
    let store = home.open().await;
    let body = serde_json::to_string(&samples::leg_record()).unwrap();
    let fill = "WITH RECURSIVE number(at) AS (SELECT 1 UNION ALL SELECT at + 1 FROM number WHERE at < $2) \
        INSERT INTO legs (id, user_name, body) \
        SELECT 'leg_' || printf('%026d', at), 'user' || (at % 500), $1 FROM number";
    sqlx::query(fill).bind(body).bind(count).execute(&store.pool).await.unwrap();
    let middle = Some(format!("leg_{:026}", count / 2));
    drop(store);

    let queries = [
        RecordQuery { limit: Some(50), ..RecordQuery::default() },
        RecordQuery { limit: Some(50), cursor: middle, ..RecordQuery::default() },
        RecordQuery { user: Some("user250".to_owned()), ..RecordQuery::default() },
    ];
    let fastest = async |desk: &Desk| {
        let mut fastest = Vec::new();
        for query in &queries {
            let mut took = Vec::new();
            for _ in 0..10 {
                let began = tokio::time::Instant::now();
                assert_eq!(read(desk, query.clone()).await.items.len(), 50);
                took.push(began.elapsed());
            }
            fastest.extend(took.into_iter().min());
        }
        fastest
    };
    let fastest = home.with(FOR_GOOD, fastest).await;

    assert!(fastest.iter().all(|took| took.as_millis() < 20), "{fastest:?}");
}

#[tokio::test]
async fn its_files_are_for_their_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("da ta?#%");

    let _store = Store::open(&Place::Folder(data.clone())).await.unwrap();

    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    let files: Vec<_> =
        std::fs::read_dir(&data).unwrap().flatten().map(|file| file.path()).collect();
    assert!(files.iter().any(|file| file.ends_with("plenary.db")), "{files:?}");
    assert!(files.iter().all(|file| mode(file) == 0o600), "{files:?}");
}

#[tokio::test]
async fn a_folder_belongs_to_one_bridge() {
    let home = Home::sqlite();
    let _first = home.open().await;

    let second = Store::open(&home.place).await;

    assert!(matches!(second, Err(StoreError::Taken(_))), "{second:?}");
}

#[tokio::test]
async fn a_database_of_a_later_version_is_left_alone() {
    let home = Home::sqlite();
    let store = home.open().await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (999, 'x', TRUE, x'00', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    drop(store);

    let refused = Store::open(&home.place).await;

    assert!(matches!(refused, Err(StoreError::Later(999))), "{refused:?}");
}

#[tokio::test]
async fn a_queue_that_is_full_refuses_at_once() {
    let (desk, _idle, _reader) = staff(Home::sqlite().open().await, FOR_GOOD);

    let put = |at: u32| desk.put(Change::Put(document(&at.to_string(), 1)));
    assert!((0..1024).all(|at| put(at).is_ok()));
    let refused = put(1024);

    assert!(matches!(refused, Err(StoreFailure::Full(1024))), "{refused:?}");
}

#[tokio::test]
async fn no_database_is_said_in_words_that_help() {
    let nowhere = Place::Url("postgres://nobody@127.0.0.1:1/none".to_owned());

    let error = Store::open(&nowhere).await.unwrap_err().to_string();

    assert!(error.contains("--database"), "{error}");
}

const FOR_GOOD: Retention = Retention {
    legs: 0,
    calls: 0,
    rooms: 0,
    audit: 0,
    events: 0,
    most_events: 0,
    deliveries: 0,
    recordings: 0,
};
