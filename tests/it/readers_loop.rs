//! P3 while everything happens: readers that go through the catalog see each hour as it was or as it is, and never miss a file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::prelude::SessionContext;
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::clock::SystemClock;
use lakebed::config::Config;
use lakebed::engine::local::session;
use lakebed::layout::parse_redriven_key;
use lakebed::ledger::{Counts, Operation};
use lakebed::{config, engine, query};
use tokio::runtime::Builder;

use super::support::outcome::Ledgers;
use super::support::seeded::Seeded;
use super::support::{AT, Lake};

const HOURS: [&str; 3] = ["09", "10", "11"];

/// A query that takes no longer than this from its look into the catalog on finds its files. Sweeps come all the time.
const GRACE: Duration = Duration::from_secs(2);

/// How long the slow reader waits between the catalog and the files.
const PAUSE: Duration = Duration::from_millis(900);

/// Rounds of all verbs over all hours, and where rows scatter.
const ROUNDS: u64 = 4;
const SCATTERING_ROUNDS: u64 = 2;

/// The numbers of records that a rule may refuse begin here.
const HIGH: u64 = 1 << 40;

/// Such records in each object.
const HIGHS: u64 = 20;

/// Of each hour.
type State = BTreeMap<String, Held>;

/// What an hour holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// Rows, and the sum of their numbers.
    rows: (i64, i64),
    /// Records that are in quarantine, and that were until a redrive.
    rejects: (i64, i64),
}

/// What is in an object.
#[derive(Debug)]
struct Landed {
    /// Its arrival hour.
    hour: String,
    /// Of each hour the rows by whatever rules, and the sum of their numbers.
    rows: BTreeMap<String, (i64, i64)>,
    /// Rows of its arrival hour by some rules.
    highs: (i64, i64),
    /// Rows of another hour by these rules, where rows scatter. In quarantine they are in that of the arrival hour.
    away: Option<(String, (i64, i64))>,
}

/// What a reader saw, between two numbers of states that were known before and after.
struct Reading {
    from: usize,
    to: usize,
    state: State,
}

/// What the lake held after each verb.
#[derive(Default)]
struct History(Mutex<Vec<State>>);

impl History {
    fn known(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

/// The lake, and what is in each object that ever landed, by key and size.
struct Writer<'a> {
    lake: &'a Lake,
    /// The table's settings.
    table: &'a str,
    landed: BTreeMap<(String, u64), Landed>,
    history: &'a History,
    random: Seeded,
}

impl Landed {
    /// What an hour holds of it by its ledger, which says how many rows it has and not which.
    fn held(&self, hour: &str, counts: Counts) -> Held {
        let of = |count: u64| i64::try_from(count).unwrap();
        let rows = self.rows.get(hour).copied().unwrap_or_default();
        // One is bad by whatever rules.
        let (bad, highs) = match &self.away {
            _ if hour == self.hour => (1, self.highs),
            Some((away, rows)) if hour == away => (0, *rows),
            _ => (0, (0, 0)),
        };
        let high = match of(counts.merged) - rows.0 {
            0 => (0, 0),
            all if all == highs.0 => highs,
            some => panic!("{some} of {self:?}"),
        };
        let is_home = hour == self.hour;
        let away = self.away.as_ref().filter(|_| is_home).map_or(0, |(_, rows)| rows.0);
        // Where they are rows, of a redrive or of what landed, they are not in quarantine.
        let (few, many) = if is_home { (bad + highs.0 - high.0, bad + highs.0 - high.0 + away) } else { (0, 0) };
        let quarantined = of(counts.quarantined);
        assert!([few, many].contains(&quarantined) && of(counts.resolved) <= high.0 + away, "{self:?} {counts:?}");
        Held { rows: (rows.0 + high.0, rows.1 + high.1), rejects: (quarantined, of(counts.resolved)) }
    }
}

impl Landed {
    /// What a redrive moved of it.
    fn moved(&self, counts: Counts) -> Held {
        let (_, rows) = self.away.as_ref().unwrap();
        assert_eq!((counts.read, counts.merged), (HIGHS, HIGHS), "{self:?} {counts:?}");
        Held { rows: *rows, rejects: (0, 0) }
    }
}

impl std::iter::Sum for Held {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let add = |a: (i64, i64), b: (i64, i64)| (a.0 + b.0, a.1 + b.1);
        all.fold(Self::default(), |a, b| Self { rows: add(a.rows, b.rows), rejects: add(a.rejects, b.rejects) })
    }
}

impl Writer<'_> {
    /// Lands an object in the first of these hours, with some hundred rows of each of them, some high records and a bad one. Another one of
    /// the same name has another size.
    fn land(&mut self, hours: &[&str], name: &str) {
        self.land_with(hours, name, None);
    }

    /// As [`Self::land`], with high records of an hour that is none of the arrival, too.
    fn land_with(&mut self, hours: &[&str], name: &str, away: Option<&str>) {
        let (hour, mut body) = (hours[0], String::from("{\"id\":\"bad\",\"n\":\"x\"}"));
        let mut some = |hour: &str, count: u64, from: u64| {
            let numbers: Vec<i64> = (0..count).map(|_| (from + self.random.below(HIGH)) as i64).collect();
            body.extend(numbers.iter().map(|n| format!("{{\"id\":\"{name}\",\"n\":{n},\"at\":\"2026-11-19T{hour}:30:00Z\"}}")));
            (count as i64, numbers.iter().sum())
        };
        let highs = some(hour, HIGHS, HIGH);
        let away = away.map(|away| (away.to_string(), some(away, HIGHS, HIGH)));
        let rows = hours.iter().map(|hour| (hour.to_string(), some(hour, 200 + self.landed.len() as u64, 0))).collect();
        self.lake.land(hour, name, body.as_bytes());
        self.landed.insert((format!("2026/11/19/{hour}/{name}"), body.len() as u64), Landed { hour: hour.to_string(), rows, highs, away });
    }

    /// Lets high records be rows from now on, or not.
    fn allow_high(&self, allow: bool) {
        configure(self.lake, self.table, allow);
    }

    /// Does something, and notes what the ledgers say after it.
    fn go(&mut self, arguments: &[&str]) {
        let answer = self.lake.lakebed(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}", answer.stderr);
        let mut state = State::new();
        for head in Ledgers::of(self.lake).heads() {
            let hour = &head.partition.entries()[3].value;
            let held = head.sources.iter().map(|source| match parse_redriven_key(&source.key) {
                Some(key) => self.landed.iter().find(|((landed, _), _)| landed == key).unwrap().1.moved(source.counts),
                None => self.landed[&(source.key.clone(), source.size)].held(hour, source.counts),
            });
            state.insert(hour.clone(), held.sum());
        }
        self.history.0.lock().unwrap().push(state);
    }

    /// The live generation of an hour, and what made the newest version.
    fn newest(&self, hour: &str) -> (String, Operation) {
        let ledgers = Ledgers::of(self.lake);
        let head = ledgers.heads().find(|head| head.partition.entries()[3].value == hour).unwrap();
        (head.generation.id.to_string(), head.operation)
    }

    /// Every verb, on one hour.
    fn round(&mut self, round: u64, hour: &str) {
        let place = format!("2026-11-19T{hour}");
        let name = |what: &str| format!("{round}-{what}");
        let repair = ["repair", "shop.clicks", &place];
        self.land(&[hour], &name("late"));
        self.go(&RUN);
        self.allow_high(true);
        self.go(&["redrive", "shop.clicks", "--hour", &place]);
        let (newest, operation) = self.newest(hour);
        assert_eq!(operation, Operation::Redrive);
        self.go(&["rollback", "shop.clicks", &place]);
        self.land(&[hour], &name("after"));
        self.go(&RUN);
        self.go(&["rollback", "shop.clicks", &place, "--to", &newest]);
        self.go(&["sweep"]);
        self.allow_high(false);
        self.go(&repair);
        // Under a name that is there already.
        self.land(&[hour], &name("late"));
        self.go(&RUN);
        self.go(&repair);
        self.allow_high(true);
        self.go(&["redrive", "shop.clicks"]);
        self.go(&["repair", "shop.clicks", &place, "--from-merged"]);
        self.allow_high(false);
        self.go(&["sweep"]);
    }

    /// Every verb where rows scatter, with objects that belong to all hours.
    fn scattering_round(&mut self, round: u64, hour: &str) {
        let place = format!("2026-11-19T{hour}");
        let name = |what: &str| format!("{round}-{hour}-{what}");
        let repair = ["repair", "shop.clicks", &place];
        self.land_with(&["11", "09", "10"], &name("late"), Some("09"));
        self.go(&RUN);
        let (newest, _) = self.newest(hour);
        self.go(&["rollback", "shop.clicks", &place]);
        self.land(&["11", "10", "09"], &name("after"));
        self.land(&["10", "09"], &name("before"));
        self.go(&RUN);
        self.go(&["rollback", "shop.clicks", &place, "--to", &newest]);
        self.go(&["sweep"]);
        self.go(&["repair", "shop.clicks", &place, "--from-merged"]);
        self.land(&["11", "10"], &name("last"));
        self.go(&RUN);
        // Of one arrival hour: then each hour gets one version of it, which is there or not.
        self.allow_high(true);
        self.go(&["redrive", "shop.clicks", "--hour", "2026-11-19T11"]);
        self.go(&["sweep"]);
        self.go(&repair);
        self.allow_high(false);
        self.go(&repair);
        self.go(&["sweep"]);
    }
}

const RUN: [&str; 3] = ["run", "--at", AT];

/// A lake with the settings of a table.
fn lake(table: &str) -> Lake {
    let lake = Lake::new("");
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (id string, n bigint, at timestamp, rescued map<string,string>) \
         PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'",
    );
    configure(&lake, table, false);
    lake
}

/// Writes the configuration. Nobody else may be reading it.
fn configure(lake: &Lake, table: &str, allow_high: bool) {
    let rule = if allow_high { String::new() } else { format!("[table.columns.n]\nmax = {}\n", HIGH - 1) };
    lake.configure(&format!("{table}\n[table.merge]\nrow_group_size = \"4KiB\"\ntarget_file_size = \"8KiB\"\n{rule}"));
    lake.set("grace", &format!("{}s", GRACE.as_secs()));
}

/// The batches of a query. With a pause the files are opened that much later than they are looked up. `None` if it failed after it took
/// longer than it may, on a machine that is too busy.
async fn ask(context: &SessionContext, sql: &str, pause: Option<Duration>) -> Option<Vec<RecordBatch>> {
    let begun = Instant::now();
    let batches = async {
        let mut result = query::run(context, sql).await?;
        tokio::time::sleep(pause.unwrap_or_default()).await;
        let mut batches = Vec::new();
        while let Some(batch) = result.next().await? {
            batches.push(batch);
        }
        Ok::<_, lakebed::error::Error>(batches)
    };
    match batches.await {
        Err(_) if begun.elapsed() >= GRACE => None,
        batches => Some(batches.unwrap()),
    }
}

/// What both tables show.
async fn read(app: &App, pause: Option<Duration>) -> Option<State> {
    let context = session(&engine::Limits { memory: 256 << 20, threads: 2, spill: std::env::temp_dir() }).unwrap();
    query::register(&context, &app.catalog, &app.stores).await.unwrap();
    let rows = ask(&context, "SELECT hour, count(*), sum(n) FROM shop.clicks GROUP BY hour", pause).await?;
    let rejects =
        ask(&context, "SELECT hour, count(*) - count(resolved), count(resolved) FROM shop.clicks_quarantine GROUP BY hour", pause).await?;
    let mut state = State::new();
    for (hour, rows, sum) in rows.iter().flat_map(numbers) {
        state.entry(hour).or_default().rows = (rows, sum);
    }
    for (hour, rejects, resolved) in rejects.iter().flat_map(numbers) {
        state.entry(hour).or_default().rejects = (rejects, resolved);
    }
    Some(state)
}

/// The hour and the two numbers of each row.
fn numbers(batch: &RecordBatch) -> Vec<(String, i64, i64)> {
    let hours = cast(batch.column(0), &DataType::Utf8).unwrap();
    let number = |column: usize, at: usize| batch.column(column).as_primitive::<Int64Type>().value(at);
    hours.as_string::<i32>().iter().enumerate().map(|(at, hour)| (hour.unwrap().to_string(), number(1, at), number(2, at))).collect()
}

/// Reads again and again until it is told to stop.
fn readings(config: &Config, history: &History, stop: &AtomicBool, pause: Option<Duration>) -> Vec<Reading> {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut readings = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let from = history.known() - 1;
        let state = runtime.block_on(async {
            let app = App::new(config.clone(), Access::Read, Arc::new(SystemClock), ProgressBar::hidden()).await.unwrap();
            read(&app, pause).await
        });
        readings.extend(state.map(|state| Reading { from, to: history.known(), state }));
    }
    readings
}

/// Each hour of a reading must be as it was at one time while it was read. A verb that was under way then has the number `to`.
fn check(reading: &Reading, history: &[State]) {
    let during = &history[reading.from..history.len().min(reading.to + 1)];
    for hour in HOURS {
        let of = |state: &State| state.get(hour).copied().unwrap_or_default();
        let Held { rows, rejects } = of(&reading.state);
        let has = |wanted: &dyn Fn(Held) -> bool| during.iter().any(|state| wanted(of(state)));
        assert!(has(&|held| held.rows == rows), "hour {hour} never had {} rows whose sum is {} at that time", rows.0, rows.1);
        assert!(has(&|held| held.rejects == rejects), "hour {hour} never had (quarantined, resolved) {rejects:?} at that time");
    }
}

/// Lets two readers and a slow one read while a writer works on each hour again and again, and checks all that they saw. Returns that.
fn watched(lake: &Lake, table: &str, rounds: u64, work: fn(&mut Writer, u64, &str)) -> Vec<Reading> {
    let config = config::read(&lake.path("lakebed.toml")).unwrap();
    let (history, stop) = (History::default(), AtomicBool::new(false));
    let mut writer = Writer { lake, table, landed: BTreeMap::new(), history: &history, random: Seeded(33) };
    // The quarantine has to exist before it is read.
    HOURS.iter().for_each(|hour| writer.land(&[hour], "first"));
    writer.go(&RUN);
    let pauses = [None, None, Some(PAUSE)];
    let readings: Vec<Vec<Reading>> = std::thread::scope(|scope| {
        let (config, history, stop) = (&config, &history, &stop);
        let readers = pauses.map(|pause| scope.spawn(move || readings(config, history, stop, pause)));
        let work = scope.spawn(move || {
            for round in 0..rounds {
                HOURS.iter().for_each(|hour| work(&mut writer, round, hour));
            }
        });
        let worked = work.join();
        stop.store(true, Ordering::Relaxed);
        let readings = readers.map(|reader| reader.join().unwrap());
        worked.unwrap();
        readings.into()
    });
    let history = history.0.into_inner().unwrap();
    readings.iter().flatten().for_each(|reading| check(reading, &history));
    let seen = |readings: &[Reading]| readings.iter().map(|reading| reading.state.clone()).collect::<BTreeSet<_>>().len() as u64;
    let told: Vec<_> = readings.iter().map(|readings| (readings.len() as u64, seen(readings))).collect();
    let enough = |(readings, states): &(u64, u64)| *readings >= 12 * rounds && *states >= 4 * rounds;
    assert!(told[..2].iter().all(enough), "readings and states: {told:?}");
    assert!(told[2].1 >= 3 && versions(lake, Operation::Sweep) >= 3, "of the slow reader, and sweeps: {told:?}");
    readings.into_iter().flatten().collect()
}

/// Versions that a verb made.
fn versions(lake: &Lake, operation: Operation) -> usize {
    Ledgers::of(lake).0.into_values().filter(|version| version.operation == operation).count()
}

#[test]
fn readers_see_hours_as_they_were_or_as_they_are_whatever_is_done_meanwhile() {
    let lake = lake("");
    let readings = watched(&lake, "", ROUNDS, |writer, round, hour| writer.round(round, hour));
    let resolved = readings.iter().filter(|reading| reading.state.values().any(|held| held.rejects.1 > 0)).count();
    assert!(versions(&lake, Operation::Redrive) >= 24 && resolved >= 10, "resolved records were seen {resolved} times");
}

#[test]
fn readers_see_each_hour_wholly_where_objects_feed_several() {
    let table = "time = \"at\"";
    let lake = lake(table);
    let readings = watched(&lake, table, SCATTERING_ROUNDS, |writer, round, hour| writer.scattering_round(round, hour));
    // A reader may see an object in one hour and not yet in another, or, while a repair moves rows, in both. But all that it sees of an hour was
    // there at one time.
    assert!(versions(&lake, Operation::Move) >= 12 && versions(&lake, Operation::Redrive) >= 3);
    assert!(readings.iter().all(|reading| reading.state.len() == HOURS.len()));
}
