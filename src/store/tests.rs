use std::os::unix::fs::PermissionsExt as _;

use api::archive::{Change, Desk, Read, Record, StoreFailure};
use api::control::ControlError;
use api::id::{ApiKeyId, AuditId, LegId};
use api::model::{AuditEntry, LegRecord, Page, RecordQuery};
use api::samples;

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
        let since = jiff::Timestamp::from_millisecond(2).ok();
        let until = jiff::Timestamp::from_millisecond(4).ok();
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
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
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

const FOR_GOOD: Retention = Retention { legs: 0, calls: 0, audit: 0 };
