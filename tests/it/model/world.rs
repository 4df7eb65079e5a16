//! The lake itself: it is driven as the command line does it, and looked at through its ledgers, its catalog and queries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::prelude::SessionContext;
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::catalog::filter::Filter;
use lakebed::catalog::{Partition, TableName};
use lakebed::clock::Clock;
use lakebed::error::{Kind, Result};
use lakebed::events::outbox::Outbox;
use lakebed::ledger::store::LedgerStore;
use lakebed::store::Root;
use lakebed::{config, engine, pipeline, query, redrive, repair, rollback, sweep};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use ulid::Ulid;
use url::Url;

use super::breaking::{Line, Shelf, Store};
use super::objects::Row;
use super::reference::{FIRST_HOUR, Minute, Shown};
use super::steps::{Break, LOOSE, Rules, Settings, Verb};
use crate::support::Lake;

/// A clock that goes on when it is told to.
#[derive(Debug)]
pub struct Watch(Mutex<(DateTime<Utc>, u128)>);

impl Clock for Watch {
    fn now(&self) -> DateTime<Utc> {
        self.0.lock().unwrap().0
    }

    fn new_id(&self) -> String {
        let mut watch = self.0.lock().unwrap();
        watch.1 += 1;
        Ulid::from_parts(u64::try_from(watch.0.timestamp_millis()).unwrap(), watch.1).to_string()
    }
}

impl Watch {
    pub fn at(now: Minute) -> Self {
        Self(Mutex::new((instant(now), 0)))
    }

    pub fn set(&self, now: Minute) {
        self.0.lock().unwrap().0 = instant(now);
    }
}

/// The instant of a minute.
pub fn instant(minute: Minute) -> DateTime<Utc> {
    "2026-11-19T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minute)
}

/// The minute of an instant, in microseconds since 1970.
fn minute(micros: i64) -> Minute {
    (micros - instant(0).timestamp_micros()) / 60_000_000
}

fn hour_text(hour: usize) -> String {
    format!("2026-11-19T{:02}", FIRST_HOUR + hour as i64)
}

pub struct World {
    pub lake: Lake,
    clock: Arc<Watch>,
    /// For looking; what acts has one of its own, which dies with it.
    runtime: Runtime,
}

/// What came of a verb.
#[derive(Debug)]
pub struct Ended {
    /// Its document, or why it is refused; none if it died.
    pub answer: Option<std::result::Result<Value, (Kind, String)>>,
    /// A request did not go well.
    pub broke: bool,
}

impl Ended {
    /// It answered, and named no failure.
    pub fn says_done(&self) -> bool {
        matches!(&self.answer, Some(Ok(document)) if document.get("failures").is_none_or(|failures| failures == &serde_json::json!([])))
    }

    /// A run left an hour for a later one, because it failed before.
    pub fn waits(&self) -> bool {
        let Some(Ok(document)) = &self.answer else { return false };
        let failures = document["failures"].as_array().into_iter().flatten();
        failures.filter_map(|failure| failure["error"].as_str()).any(|error| error.ends_with("; not tried by this run"))
    }
}

/// What the catalog says and shows, by the lake's hours.
#[derive(Debug, Default)]
pub struct Seen {
    /// The table is in the catalog.
    pub exists: bool,
    pub data: BTreeMap<usize, Partition>,
    pub quarantine: BTreeMap<usize, Partition>,
    pub rows: BTreeMap<usize, Vec<Row>>,
    pub rejects: BTreeMap<usize, Vec<Shown>>,
}

pub fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The program, wired for the lake.
pub async fn open(lake: &Lake, clock: &Arc<Watch>, access: Access) -> App {
    let config = config::read(&lake.path("lakebed.toml")).unwrap();
    App::new(config, access, clock.clone(), ProgressBar::hidden()).await.unwrap()
}

/// Puts a line before its state location and its catalog.
pub fn behind(app: &mut App, line: &Line) {
    let url = Url::parse(&app.state.url_of("")).unwrap();
    app.state = Root::of_store(Arc::new(Store { store: Arc::clone(app.state.store()), line: line.clone() }), url);
    app.ledgers = LedgerStore::new(app.state.clone());
    app.outbox = Outbox::new(app.state.clone());
    app.catalog = Arc::new(Shelf { catalog: Arc::clone(&app.catalog), line: line.clone() });
}

impl World {
    pub fn new(settings: &Settings, now: Minute) -> Self {
        let world = Self { lake: Lake::small(""), clock: Arc::new(Watch::at(now)), runtime: runtime() };
        world.configure(settings, LOOSE);
        world
    }

    /// Writes the configuration.
    pub fn configure(&self, settings: &Settings, rules: Rules) {
        let errors = "error_prefix = \"errors/!{firehose:error-output-type}/\"";
        let mut table = format!("{errors}\nlookback = \"{}h\"\n[table.merge]\n", settings.lookback);
        if settings.deduplicate {
            table.push_str("deduplicate_by = [\"id\"]\n");
        }
        if settings.sort {
            table.push_str("sort_by = [\"id\"]\n");
        }
        if let Some(bytes) = settings.row_group {
            table.push_str(&format!("row_group_size = \"{bytes}\"\ntarget_file_size = \"{}\"\n", bytes * 2));
        }
        let ids: Vec<String> = (0..rules.ids).map(|id| format!("id-{id}")).collect();
        table.push_str(&format!("[table.quarantine]\nmax_ratio = {}\n", f64::from(rules.ratio) / 10.0));
        table.push_str(&format!("[table.columns.id]\nallowed = {ids:?}\n"));
        self.lake.configure(&table);
        self.lake.set("grace", &format!("{}h", settings.grace));
    }

    pub fn set_time(&self, now: Minute) {
        self.clock.set(now);
    }

    /// Writes or removes an object. What is written is another file, even if one of that name is there.
    pub fn land(&self, key: &str, bytes: Option<&[u8]>) {
        let (file, new) = (self.lake.path("landing").join(key), self.lake.path("new"));
        let Some(bytes) = bytes else { return std::fs::remove_file(file).unwrap() };
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    async fn app(&self, access: Access) -> App {
        open(&self.lake, &self.clock, access).await
    }

    /// Lets a verb act, until it breaks if it is to break.
    pub fn act(&self, verb: &Verb, at: Option<Break>) -> Ended {
        let (own, line) = (runtime(), Line::new(at));
        let answer = own.block_on(async {
            let mut app = self.app(if verb.only_looks() { Access::Read } else { Access::Write }).await;
            behind(&mut app, &line);
            tokio::select! {
                answer = act(&app, verb) => Some(answer.map_err(|e| (e.kind(), e.to_string()))),
                () = line.death() => None,
            }
        });
        own.shutdown_timeout(Duration::from_secs(60));
        Ended { answer, broke: line.broke() }
    }

    /// Looks at the catalog, and through it at all rows.
    pub fn look(&self) -> Seen {
        self.runtime.block_on(async {
            let app = self.app(Access::Read).await;
            let name = TableName::parse("shop.clicks").unwrap();
            if app.catalog.table(&name).await.unwrap().is_none() {
                return Seen::default();
            }
            let context = engine::local::session(&engine::Limits { memory: 256 << 20, threads: 1, spill: std::env::temp_dir() }).unwrap();
            query::register(&context, &app.catalog, &app.stores).await.unwrap();
            let data = by_hour(app.catalog.partitions(&name, &Filter::all()).await.unwrap());
            let mut seen = Seen { exists: true, data, ..Seen::default() };
            for (hours, batch) in batches(&context, "SELECT hour, id, n, rescued['more'] IS NOT NULL FROM shop.clicks").await {
                hours.into_iter().zip(rows(&batch)).for_each(|(hour, row)| seen.rows.entry(hour).or_default().push(row));
            }
            let name = lakebed::layout::quarantine_table(&name);
            if app.catalog.table(&name).await.unwrap().is_some() {
                seen.quarantine = by_hour(app.catalog.partitions(&name, &Filter::all()).await.unwrap());
                for (hours, batch) in
                    batches(&context, "SELECT hour, object, raw, reason, attempts, resolved FROM shop.clicks_quarantine").await
                {
                    hours.into_iter().zip(rejects(&batch)).for_each(|(hour, reject)| seen.rejects.entry(hour).or_default().push(reject));
                }
            }
            seen
        })
    }

    /// All files that hold what is committed, or may be: they are never changed.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folders = ["lake", ".lakebed/quarantine", ".lakebed/ledger"];
        folders.iter().flat_map(|folder| crate::support::files(&self.lake.path(folder))).collect()
    }
}

async fn act(app: &App, verb: &Verb) -> Result<Value> {
    let json = |value: serde_json::Result<Value>| value.unwrap();
    let table = "shop.clicks".to_string();
    match verb {
        Verb::Run { ago, since } => {
            let since = since.map(|hour| hour_text(hour).parse().unwrap());
            let at = app.clock.now() - TimeDelta::hours(*ago);
            let request = pipeline::Request { table: None, at, since, dry_run: false, until: None };
            pipeline::run(app, &request).await.map(|done| json(serde_json::to_value(done)))
        }
        Verb::Repair { hour, from_merged } => {
            let place = hour_text(*hour).parse().unwrap();
            let request = repair::Request { table, place, from_merged: *from_merged, dry_run: false };
            repair::repair(app, &request).await.map(|done| json(serde_json::to_value(done)))
        }
        Verb::Rollback { hour, to } => {
            let (place, to) = (hour_text(*hour).parse().unwrap(), to.map(|number| format!("g{number:08}")));
            let request = rollback::Request { table, place, to, dry_run: false };
            rollback::run(app, &request).await.map(|done| json(serde_json::to_value(done)))
        }
        Verb::Sweep => {
            let request = sweep::Request { table: None, dry_run: false };
            sweep::run(app, &request).await.map(|done| json(serde_json::to_value(done)))
        }
        Verb::Redrive { hour, reason, dry_run } => {
            let place = hour.map(|hour| hour_text(hour).parse().unwrap());
            let request = redrive::Request { table, place, reason: *reason, dry_run: *dry_run };
            redrive::redrive(app, &request).await.map(|done| json(serde_json::to_value(done)))
        }
    }
}

/// The lake's hour of a partition's last value.
pub fn hour_of(text: &str) -> usize {
    usize::try_from(text.parse::<i64>().unwrap() - FIRST_HOUR).unwrap()
}

fn by_hour(partitions: Vec<Partition>) -> BTreeMap<usize, Partition> {
    partitions.into_iter().map(|partition| (hour_of(partition.values.last().unwrap()), partition)).collect()
}

/// The batches of a query, each with the hours that its first column names.
async fn batches(context: &SessionContext, sql: &str) -> Vec<(Vec<usize>, RecordBatch)> {
    let mut result = query::run(context, sql).await.unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = result.next().await.unwrap() {
        let hours = texts(&batch, 0).into_iter().map(|text| hour_of(&text.unwrap())).collect();
        batches.push((hours, batch));
    }
    batches
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<Option<String>> {
    let texts = cast(batch.column(column), &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|text| text.map(str::to_string)).collect()
}

fn rows(batch: &RecordBatch) -> Vec<Row> {
    let (numbers, strangers) = (batch.column(2).as_primitive::<Int64Type>(), batch.column(3).as_boolean());
    let of = |(at, id)| Row { id, number: u64::try_from(numbers.value(at)).unwrap(), stranger: strangers.value(at) };
    texts(batch, 1).into_iter().enumerate().map(of).collect()
}

fn rejects(batch: &RecordBatch) -> Vec<Shown> {
    let bytes = cast(batch.column(2), &DataType::Binary).unwrap();
    let (bytes, attempts) = (bytes.as_binary::<i32>(), batch.column(4).as_primitive::<Int32Type>());
    let (reasons, resolved) = (texts(batch, 3), batch.column(5).as_primitive::<TimestampMicrosecondType>());
    let one = |(at, object): (usize, Option<String>)| Shown {
        object: object.unwrap(),
        raw: bytes.value(at).to_vec(),
        reason: reasons[at].clone().unwrap(),
        attempts: u32::try_from(if attempts.is_null(at) { 0 } else { attempts.value(at) }).unwrap(),
        resolved: resolved.is_valid(at).then(|| minute(resolved.value(at))),
    };
    texts(batch, 1).into_iter().enumerate().map(one).collect()
}
