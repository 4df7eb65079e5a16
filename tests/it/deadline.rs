//! Runs that are cut off: what they had time for is shown and told, by themselves or by the next one before it merges anything.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::catalog::filter::Filter;
use lakebed::catalog::local::LocalCatalog;
use lakebed::catalog::{Catalog, EntryError, Partition, Table, TableName};
use lakebed::clock::Clock;
use lakebed::deadline::Deadline;
use lakebed::error::{Kind, Result};
use lakebed::events::{Event, EventSink};
use lakebed::pipeline::{self, Request};
use lakebed::summary::RunSummary;
use serde_json::Value;
use tokio::sync::Notify;
use ulid::Ulid;

use crate::support::{AT, Lake};

/// A clock that goes on by a minute with each id, of a run or an attempt; and says when so many were given.
struct Minutes {
    ids: AtomicU64,
    last: u64,
    reached: Notify,
}

/// Ids that all clocks gave.
static GIVEN: AtomicU64 = AtomicU64::new(0);

impl Minutes {
    fn until(last: u64) -> Arc<Self> {
        Arc::new(Self { ids: AtomicU64::new(0), last, reached: Notify::new() })
    }

    fn start() -> DateTime<Utc> {
        AT.parse().unwrap()
    }
}

impl Clock for Minutes {
    fn now(&self) -> DateTime<Utc> {
        Self::start() + TimeDelta::minutes(i64::try_from(self.ids.load(Ordering::SeqCst)).unwrap())
    }

    fn new_id(&self) -> String {
        if self.ids.fetch_add(1, Ordering::SeqCst) + 1 == self.last {
            self.reached.notify_one();
        }
        // No id comes twice, though each run has a clock of its own.
        let time = u64::try_from(self.now().timestamp_millis()).unwrap();
        Ulid::from_parts(time, u128::from(GIVEN.fetch_add(1, Ordering::SeqCst))).to_string()
    }
}

/// A bus that keeps what it is sent.
#[derive(Default)]
struct Bus(Mutex<Vec<(String, Value)>>);

#[async_trait]
impl EventSink for Bus {
    async fn send(&self, events: &[Event]) -> Result<()> {
        let told = events.iter().map(|event| (event.name().to_string(), serde_json::from_str(&event.detail()).unwrap()));
        self.0.lock().unwrap().extend(told);
        Ok(())
    }
}

/// Runs with so many minutes of time, until the clock gave `last` ids: then it is killed. Returns the summary if it came to one, and
/// the hours that were told of.
async fn call(lake: &Lake, minutes: i64, last: u64) -> (Option<RunSummary>, Vec<String>) {
    call_with(lake, minutes, last, |_| ()).await
}

/// As [`call`], with something changed about the program.
async fn call_with(lake: &Lake, minutes: i64, last: u64, change: impl FnOnce(&mut App)) -> (Option<RunSummary>, Vec<String>) {
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let clock = Minutes::until(last);
    let mut app = App::new(config, Access::Write, clock.clone(), ProgressBar::hidden()).await.unwrap();
    change(&mut app);
    let bus = Arc::new(Bus::default());
    app.events = bus.clone();
    let until = Some(Deadline::new(Minutes::start(), Minutes::start() + TimeDelta::minutes(minutes)));
    let request = Request { table: None, at: Minutes::start(), since: None, dry_run: false, until };
    let summary = tokio::select! {
        ended = pipeline::run(&app, &request) => Some(ended.unwrap()),
        () = clock.reached.notified() => None,
    };
    let told = bus.0.lock().unwrap();
    let hours = told.iter().filter(|(name, _)| name == "HourMerged");
    (summary, hours.map(|(_, detail)| format!("{} {}", detail["table"], detail["partition"]["hour"].as_str().unwrap())).collect())
}

/// The committed hours that the catalog has, and those that it has not.
fn hours(lake: &Lake, table: &str) -> (Vec<String>, Vec<String>) {
    let partitions = lake.lakebed(&["partitions", table, "--output", "json"]).json(0);
    let (shown, hidden): (Vec<_>, Vec<_>) = partitions.as_array().unwrap().iter().partition(|partition| partition["in_catalog"] == true);
    let names = |some: Vec<&Value>| some.iter().map(|partition| partition["values"]["hour"].as_str().unwrap().to_string()).collect();
    (names(shown), names(hidden))
}

/// A lake with an object in each of seven hours.
fn landed(settings: &str) -> Lake {
    let lake = Lake::small(settings);
    for hour in 10..17 {
        lake.land(&hour.to_string(), "a", format!("{{\"id\":\"{hour}\",\"n\":{hour},\"t\":\"2026-11-19T{hour}:00:00Z\"}}").as_bytes());
    }
    lake
}

/// A table whose rows go to the hour of their own time.
fn scattered() -> Lake {
    let lake = landed("time = \"t\"\n");
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (id string, n bigint, t timestamp, rescued map<string,string>) \
         PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'",
    );
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_has_time_for_some_hours_shows_and_tells_those_and_the_next_one_goes_on() {
    let lake = landed("");
    let (summary, told) = call(&lake, 8, u64::MAX).await;
    let summary = summary.unwrap();
    let lines: Vec<String> = summary.failure_lines().collect();
    assert_eq!((summary.exit_code(), told.len()), (3, 7 - lines.len()), "{lines:?}");
    assert!((1..7).contains(&told.len()), "{told:?}");
    assert!(lines.iter().all(|line| line.contains("the time for this run was over before this hour began")), "{lines:?}");
    assert!(lines.last().unwrap().contains("hour=16"), "{lines:?}");
    assert_eq!((hours(&lake, "shop.clicks").0.len(), hours(&lake, "shop.clicks").1), (told.len(), vec![]));
    let mut all = told;
    for _ in 0..7 {
        let (summary, told) = call(&lake, 8, u64::MAX).await;
        all.extend(told);
        if summary.unwrap().exit_code() == 0 {
            break;
        }
    }
    let expected: Vec<String> = (10..17).map(|hour| format!("\"shop.clicks\" {hour}")).collect();
    assert_eq!(all, expected, "each once, in their order");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_merged_before_it_was_killed_is_visible_before_the_next_one_merges_anything() {
    // Where rows scatter, objects are staged and written down before the first hour is merged, each under an id.
    let kinds: [(fn() -> Lake, _); 2] = [(|| landed(""), 3..12), (scattered, 21..34)];
    for (lake, ids) in kinds {
        let mut killed_with_hidden_hours = 0;
        for last in ids {
            let lake = lake();
            let (_, mut told) = call(&lake, 1000, last).await;
            let hidden = hours(&lake, "shop.clicks").1;
            killed_with_hidden_hours += usize::from(!hidden.is_empty());
            // The second id is that of the probe, without which nothing is merged.
            told.extend(call(&lake, 1000, 2).await.1);
            let (shown, hidden_still) = hours(&lake, "shop.clicks");
            assert_eq!((told.len(), hidden_still), (shown.len(), vec![]), "killed at id {last} with {hidden:?} hidden: {told:?}");
        }
        assert!(killed_with_hidden_hours > 3, "{killed_with_hidden_hours}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_has_much_to_do_shows_it_now_and_then() {
    // An hour is shown before another one is merged, once an eighth of the time is over since that was done: two minutes of 16, six of 48.
    // Where rows scatter, merging begins with the 25th id, and is not begun in the last quarter of the time. The hour after the next is killed.
    let kinds: [(fn() -> Lake, _, _, _); 2] = [(|| landed(""), 16, 7, 2), (scattered, 48, 32, 6)];
    for (lake, minutes, last, expected) in kinds {
        let lake = lake();
        let (_, told) = call(&lake, minutes, last).await;
        let names = |hours: std::ops::Range<usize>| hours.map(|hour| (10 + hour).to_string()).collect::<Vec<_>>();
        let of_all = (names(0..expected), names(expected..expected + 1));
        assert_eq!((told.len(), hours(&lake, "shop.clicks")), (expected, of_all));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_of_a_table_is_visible_though_another_one_takes_all_the_time() {
    let lake = landed("\n[[table]]\nname = \"shop.views\"\nlanding = \"views\"\nlocation = \"lake-views\"\n");
    let migration = std::fs::read_to_string(lake.path("migrations/shop.clicks/0001_create.sql")).unwrap();
    std::fs::create_dir_all(lake.path("migrations/shop.views")).unwrap();
    std::fs::write(lake.path("migrations/shop.views/0001_create.sql"), migration).unwrap();
    std::fs::create_dir_all(lake.path("views/2026/11/19/10")).unwrap();
    std::fs::create_dir_all(lake.path("views/2026/11/19/11")).unwrap();
    for hour in [10, 11] {
        std::fs::write(lake.path(&format!("views/2026/11/19/{hour}/a")), "{\"id\":\"x\"}").unwrap();
    }
    // The run, the table, the probe and seven hours; then the same of the other table, up to its second hour.
    let (_, told) = call(&lake, 1000, 1 + 2 + 7 + 2 + 2).await;
    assert_eq!((told.len(), hours(&lake, "shop.views")), (7, (vec![], vec!["10".to_string()])));
    lake.land("09", "a", b"{\"id\":\"9\"}");
    let (_, told) = call(&lake, 1000, 2).await;
    assert_eq!(told, ["\"shop.views\" 10"]);
    assert_eq!(hours(&lake, "shop.views"), (vec!["10".to_string()], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_before_anything_is_merged_counts_as_registered() {
    let lake = landed("");
    call(&lake, 1000, 5).await;
    // There is no time to merge anything more.
    let (summary, told) = call(&lake, 2, u64::MAX).await;
    let done = &summary.unwrap().tables[0];
    assert_eq!((told.len(), done.registered, done.partitions.len()), (1, true, 0));
}

/// A catalog that refuses the partitions of the first call that creates some.
struct Refusing {
    inner: Arc<dyn Catalog>,
    refused: AtomicBool,
}

#[async_trait]
impl Catalog for Refusing {
    async fn ensure_database(&self, database: &str) -> Result<()> {
        self.inner.ensure_database(database).await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        self.inner.table(name).await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        self.inner.tables().await
    }

    async fn create_table(&self, table: &Table) -> Result<()> {
        self.inner.create_table(table).await
    }

    async fn update_table(&self, table: &Table) -> Result<()> {
        self.inner.update_table(table).await
    }

    async fn partitions(&self, name: &TableName, filter: &Filter) -> Result<Vec<Partition>> {
        self.inner.partitions(name, filter).await
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        self.inner.get_partitions(name, values).await
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        if self.refused.swap(true, Ordering::SeqCst) {
            return self.inner.create_partitions(table, partitions).await;
        }
        let refuse = |one: &Partition| EntryError { values: one.values.clone(), kind: Kind::Config, message: "not yet".into() };
        Ok(partitions.iter().map(refuse).collect())
    }

    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        self.inner.update_partitions(table, partitions).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_that_was_refused_at_first_and_shown_at_the_end_is_done() {
    let lake = landed("");
    let refuse = |app: &mut App| {
        let inner = app.catalog.clone();
        app.catalog = Arc::new(Refusing { inner, refused: AtomicBool::new(false) });
    };
    // There is time for one hour, and right after it for showing it the first time.
    let (summary, told) = call_with(&lake, 5, u64::MAX, refuse).await;
    let summary = summary.unwrap();
    assert_eq!((hours(&lake, "shop.clicks"), told.len()), ((vec!["10".to_string()], vec![]), 1));
    let lines: Vec<String> = summary.failure_lines().collect();
    assert!(lines.len() == 6 && lines.iter().all(|line| line.contains("the time for this run was over")), "{lines:?}");
    assert_eq!(summary.exit_code(), 3, "some hours are done");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_showing_meets_with_is_told_once() {
    let lake = Lake::small("");
    for hour in 10..17 {
        lake.land(&hour.to_string(), "a", b"{\"id\":\"a\"}{\"n\":\"x\"}");
    }
    // The first hour is merged, and shown by the next call.
    call(&lake, 1000, 5).await;
    call(&lake, 1000, 2).await;
    let catalog = LocalCatalog::open(&lake.path(".lakebed/catalog.db")).unwrap();
    let name = TableName::parse("shop.clicks_quarantine").unwrap();
    let mut quarantine = catalog.table(&name).await.unwrap().unwrap();
    quarantine.columns.remove(1);
    catalog.update_table(&quarantine).await.unwrap();
    // Every second hour is shown at once.
    let (summary, _) = call(&lake, 16, u64::MAX).await;
    let warnings = &summary.unwrap().tables[0].warnings;
    let of = |text: &str| warnings.iter().filter(|warning| warning.contains(text)).count();
    assert_eq!((of("changed the table shop.clicks_quarantine"), of("leave no crawler")), (1, 1), "{warnings:?}");
}
