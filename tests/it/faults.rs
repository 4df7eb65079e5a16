//! A store that fails, and loses replies: what a commit answers is what the ledger says, and a run in the end gets there.

use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::catalog::TableName;
use lakebed::clock::FixedClock;
use lakebed::generate::Settings;
use lakebed::layout::{GenerationId, PartitionId};
use lakebed::ledger::store::{Committed, LedgerStore};
use lakebed::ledger::{Counts, FORMAT, Generation, LedgerVersion, Operation};
use lakebed::pipeline::{self, Request};
use lakebed::store::Root;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions,
    PutPayload, PutResult, Result,
};
use url::Url;

use crate::support::outcome::{Ledgers, Outcome, assert_leftovers_are_of_dead_attempts};
use crate::support::seeded::Seeded;
use crate::support::{AT, Lake};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is answered.
    Answered,
    /// It fails and has no effect.
    Refused,
    /// It has its effect, and the caller is told that it failed.
    ReplyLost,
}

/// Decides the fate of each request, and remembers what befell which.
#[derive(Debug)]
struct Schedule {
    random: Seeded,
    /// Requests of a hundred that do not go well.
    share: u64,
    faults: Vec<(&'static str, Fate)>,
}

/// A store with faults.
#[derive(Debug, Clone)]
struct Faulty {
    store: Arc<dyn ObjectStore>,
    schedule: Arc<Mutex<Schedule>>,
}

fn fault() -> Error {
    Error::Generic { store: "faulty", source: "the connection broke".into() }
}

impl Faulty {
    fn new(store: Arc<dyn ObjectStore>, seed: u64, share: u64) -> Self {
        Self { store, schedule: Arc::new(Mutex::new(Schedule { random: Seeded(seed), share, faults: Vec::new() })) }
    }

    fn fate(&self, request: &'static str) -> Fate {
        let mut schedule = self.schedule.lock().unwrap();
        let fate = match schedule.random.below(100) {
            below if below >= schedule.share => Fate::Answered,
            below if below % 2 == 0 => Fate::Refused,
            _ => Fate::ReplyLost,
        };
        if fate != Fate::Answered {
            schedule.faults.push((request, fate));
        }
        fate
    }

    /// The faults since the last call.
    fn faults(&self) -> Vec<(&'static str, Fate)> {
        std::mem::take(&mut self.schedule.lock().unwrap().faults)
    }

    async fn pass<T>(&self, request: &'static str, effect: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match self.fate(request) {
            Fate::Answered => effect.await,
            Fate::Refused => Err(fault()),
            Fate::ReplyLost => {
                let _ = effect.await;
                Err(fault())
            }
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.pass("put", self.store.put_opts(at, bytes, options)).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass("get", self.store.get_opts(at, options)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let faulty = self.clone();
        let one = move |path: Result<Path>| {
            let faulty = faulty.clone();
            async move {
                let mut done = faulty.store.delete_stream(stream::iter([path]).boxed());
                let effect = done.next().map(|done| done.unwrap_or_else(|| Err(fault())));
                faulty.pass("delete", effect).await
            }
        };
        paths.then(one).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fate("list") {
            Fate::Answered => self.store.list(prefix),
            // A listing that breaks off must not be taken for a whole one.
            _ => self.store.list(prefix).take(1).chain(stream::iter([Err(fault())])).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass("list", self.store.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass("copy", self.store.copy_opts(from, to, options)).await
    }
}

fn table() -> TableName {
    TableName::parse("shop.clicks").unwrap()
}

fn partition() -> PartitionId {
    "day=2026-11-19/hour=10".parse().unwrap()
}

/// The version after `previous`, without any object in it.
fn next(previous: Option<&LedgerVersion>, number: u128) -> LedgerVersion {
    let attempt = ulid::Ulid::from(number).to_string();
    let version = previous.map_or(1, |previous| previous.version + 1);
    let id = GenerationId { number: version, attempt: attempt.clone() };
    LedgerVersion {
        format: FORMAT,
        table: table(),
        partition: partition(),
        version,
        run: attempt.clone(),
        attempt,
        at: AT.parse().unwrap(),
        operation: if previous.is_some() { Operation::Amend } else { Operation::Create },
        generation: Generation { location: format!("memory:///{id}/"), id, files: Vec::new() },
        from_merged: false,
        rolled_back: None,
        quarantine: None,
        columns: Vec::new(),
        schema: String::new(),
        sources: Vec::new(),
        counts: Counts::default(),
        held: vec![],
        amended: 0,
        missing: Vec::new(),
        retired: Vec::new(),
        redriven: vec![],
    }
}

/// How often a commit whose create did not go well was answered all the same.
#[derive(Debug, Default)]
struct Answers {
    done_after_lost_reply: u64,
    lost_after_fault: u64,
    unknown: u64,
}

/// Three writers, each with its own idea of the newest version, commit through a faulty store; the store itself tells the truth.
async fn check_commits(seed: u64, answers: &mut Answers) {
    let truth = Root::in_memory();
    let faulty = Faulty::new(Arc::clone(truth.store()), seed, 20);
    let ledger = LedgerStore::new(Root::of_store(Arc::new(faulty.clone()), Url::parse("memory:///").unwrap()));
    let truth = LedgerStore::new(truth);
    let mut known: [Option<LedgerVersion>; 3] = [None, None, None];
    let mut random = Seeded(seed);
    let mut commits = 0;
    for number in 1..=60 {
        let writer = usize::try_from(random.below(3)).unwrap();
        let wanted = next(known[writer].as_ref(), number);
        faulty.faults();
        let answer = ledger.commit(&wanted, known[writer].as_ref()).await;
        let faults = faulty.faults();
        let head = truth.head(&table(), &partition()).await.unwrap();
        let is_head = head.as_ref() == Some(&wanted);
        commits += u64::from(is_head);
        match answer {
            Ok(Committed::Done) => {
                assert!(is_head, "seed {seed}: version {} is not there, after {faults:?}", wanted.version);
                answers.done_after_lost_reply += u64::from(faults.contains(&("put", Fate::ReplyLost)));
                known[writer] = Some(wanted);
            }
            Ok(Committed::Lost(winner)) => {
                assert!(!is_head && winner.attempt != wanted.attempt && winner.version == wanted.version, "seed {seed}: {faults:?}");
                answers.lost_after_fault += u64::from(!faults.is_empty());
                known[writer] = Some(*winner);
            }
            Err(e) => {
                assert!(faults.iter().any(|(request, _)| *request != "delete"), "seed {seed}: {e}, after {faults:?}");
                answers.unknown += 1;
                known[writer] = head;
            }
        }
    }
    // Each number was given once, and without a gap.
    assert_eq!(truth.head(&table(), &partition()).await.unwrap().map_or(0, |head| head.version), commits, "seed {seed}");
}

#[tokio::test]
async fn a_commit_answers_what_the_ledger_says() {
    let mut answers = Answers::default();
    for seed in 0..40 {
        check_commits(seed, &mut answers).await;
    }
    assert!(answers.done_after_lost_reply > 0 && answers.lost_after_fault > 0 && answers.unknown > 0, "{answers:?}");
}

#[tokio::test]
async fn a_lost_reply_to_a_create_alone_fails_no_commit() {
    let truth = Root::in_memory();
    for seed in 0..200 {
        let faulty = Faulty::new(Arc::clone(truth.store()), seed, 30);
        let ledger = LedgerStore::new(Root::of_store(Arc::new(faulty.clone()), Url::parse("memory:///").unwrap()));
        let head = LedgerStore::new(truth.clone()).head(&table(), &partition()).await.unwrap();
        let answer = ledger.commit(&next(head.as_ref(), u128::from(seed) + 1), head.as_ref()).await;
        if faulty.faults() == [("put", Fate::ReplyLost)] {
            assert_eq!(answer.unwrap(), Committed::Done, "seed {seed}");
            return;
        }
    }
    panic!("no seed lost only that reply");
}

/// The program, with the lake's state behind a store that has so many faults in a hundred requests.
async fn faulty_app(lake: &Lake, clock: &Arc<FixedClock>, seed: u64, share: u64) -> App {
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let mut app = App::new(config, Access::Write, clock.clone(), ProgressBar::hidden()).await.unwrap();
    let faulty = Faulty::new(Arc::clone(app.state.store()), seed, share);
    let url = Url::parse(&app.state.url_of("")).unwrap();
    app.state = Root::of_store(Arc::new(faulty), url);
    app.ledgers = LedgerStore::new(app.state.clone());
    app
}

/// A run over the lake whose state is behind a faulty store, some time after the one before; true if nothing failed.
async fn faulty_run(lake: &Lake, clock: &Arc<FixedClock>, seed: u64, run: u64) -> bool {
    let app = faulty_app(lake, clock, seed * 1000 + run, 6).await;
    // An hour that fails again and again is tried less often.
    let at = AT.parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(20) * i32::try_from(run).unwrap();
    let request = Request { table: None, at, since: None, dry_run: false, until: None };
    pipeline::run(&app, &request).await.is_ok_and(|summary| summary.failures.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_on_a_faulty_store_get_there_in_the_end() {
    let settings = "[table.merge]\nsort_by = [\"collector_tstamp\"]\ndeduplicate_by = [\"event_id\"]";
    let landed = Settings { hours: 3, objects_per_hour: 3, records: 900, bad: 0.02, duplicates: 0.02, ..Settings::default() };
    get_there(settings, &landed, |found, expected, context| found.assert_same(expected, context)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_scatter_on_a_faulty_store_get_there_in_the_end() {
    let settings = "time = \"collector_tstamp\"\n[table.merge]\ndeduplicate_by = [\"event_id\"]";
    let landed = Settings { hours: 2, objects_per_hour: 2, records: 400, bad: 0.02, duplicates: 0.02, ..Settings::default() };
    // What is taken in of one arrival hour does not wait for another one, so a partition may be amended more often.
    get_there(settings, &landed, |found, expected, context| {
        assert_eq!((&found.rows, &found.quarantine), (&expected.rows, &expected.quarantine), "{context}");
    })
    .await;
}

/// Runs over faulty stores, until one has nothing to complain of, make what one run over a good store makes.
async fn get_there(settings: &str, landed: &Settings, same: impl Fn(&Outcome, &Outcome, &str)) {
    let lake = Lake::new(settings);
    lake.generate(landed);
    lake.run(0);
    let expected = Outcome::of(&lake);
    let mut failed = 0;
    for seed in 0..8 {
        let lake = Lake::new(settings);
        lake.generate(landed);
        let clock = Arc::new(FixedClock::at(AT.parse().unwrap()));
        let mut runs = 0;
        while !faulty_run(&lake, &clock, seed, runs).await {
            runs += 1;
            assert!(runs < 100, "seed {seed}: still failing");
        }
        failed += runs;
        let context = format!("seed {seed}, after {runs} runs that failed");
        same(&Outcome::of(&lake), &expected, &context);
        // Telling others may have had to wait for a run that can read the ledgers.
        lake.run(0);
        assert_leftovers_are_of_dead_attempts(&lake, &context);
    }
    assert!(failed > 0, "no run met a fault");
}

/// A lake whose quarantine is full of records that fit by now, and in which error objects of Firehose wait.
fn redrivable() -> Lake {
    const ERRORS: &str = "error_prefix = \"errors/!{firehose:error-output-type}/\"\n";
    let lake = Lake::new(&format!("{ERRORS}[table.columns.sequence]\nmax = 4000"));
    lake.generate(&Settings { hours: 2, objects_per_hour: 2, records: 400, bad: 0.02, ..Settings::default() });
    let folder = lake.path("landing/errors/processing-failed");
    std::fs::create_dir_all(&folder).unwrap();
    let report = |arrival: &str, record: &str| {
        use base64::Engine;
        let raw = base64::engine::general_purpose::STANDARD.encode(record);
        format!("{{\"attemptsMade\":4,{arrival}\"errorCode\":\"X\",\"rawData\":\"{raw}\"}}\n")
    };
    let hour = lake.run(0)["tables"][0]["partitions"][0]["values"]["hour"].as_str().unwrap().to_string();
    let millis = format!("2026-11-19T{hour}:30:00Z").parse::<DateTime<Utc>>().unwrap().timestamp_millis();
    let known = format!("\"arrivalTimestamp\":{millis},");
    let reports = [report(&known, "{\"event_id\":\"a\"}"), report("", "{\"event_id\":\"b\"}{\"event_id\":[]}")].concat();
    std::fs::write(folder.join("clicks-1-2026-11-19-02-05-09-a9fa96af-e4e4-409f-bac3-1f804714faaa"), reports).unwrap();
    lake.configure(ERRORS);
    lake
}

/// True if nothing failed.
async fn redrive(app: &App) -> bool {
    let request = lakebed::redrive::Request { table: "shop.clicks".into(), place: None, reason: None, dry_run: false };
    lakebed::redrive::redrive(app, &request).await.is_ok_and(|summary| summary.failures.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn redrives_on_a_faulty_store_get_there_in_the_end() {
    let clock = || Arc::new(FixedClock::at(AT.parse().unwrap()));
    let undisturbed = redrivable();
    let before = Outcome::of(&undisturbed).rows.len();
    assert!(redrive(&faulty_app(&undisturbed, &clock(), 0, 0).await).await);
    let expected = Outcome::of(&undisturbed);
    assert!(expected.rows.len() > before + 50, "{} and {before}", expected.rows.len());
    let mut failed = 0;
    for seed in 0..6 {
        let (lake, clock) = (redrivable(), clock());
        let mut tries = 0;
        while !redrive(&faulty_app(&lake, &clock, seed * 1000 + tries, 6).await).await {
            tries += 1;
            assert!(tries < 100, "seed {seed}: still failing");
        }
        failed += tries;
        let context = format!("seed {seed}, after {tries} redrives that failed");
        Outcome::of(&lake).assert_same(&expected, &context);
        let versions = Ledgers::of(&lake).0.len();
        assert!(redrive(&faulty_app(&lake, &clock, 0, 0).await).await);
        assert_eq!(Ledgers::of(&lake).0.len(), versions, "{context}: a repetition changes nothing");
        lake.run(0);
        assert_leftovers_are_of_dead_attempts(&lake, &context);
    }
    assert!(failed > 0, "no redrive met a fault");
}

/// True if nothing failed.
async fn repair(app: &App, hour: &str) -> bool {
    let request =
        lakebed::repair::Request { table: "shop.clicks".into(), place: hour.parse().unwrap(), from_merged: false, dry_run: false };
    lakebed::repair::repair(app, &request).await.is_ok_and(|summary| summary.failures.is_empty())
}

/// A lake whose rows belong to other hours by now, and an hour whose repair moves them.
fn misplaced() -> (Lake, String) {
    let lake = Lake::new("time = \"collector_tstamp\"");
    lake.generate(&Settings { hours: 2, objects_per_hour: 2, records: 300, bad: 0.02, ..Settings::default() });
    let hour = lake.run(0)["tables"][0]["partitions"][0]["values"]["hour"].as_str().unwrap().to_string();
    lake.configure("time = \"collector_tstamp\"\n[table.columns.collector_tstamp]\nfrom = \"device_tstamp\"");
    (lake, format!("2026-11-19T{hour}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_that_move_rows_on_a_faulty_store_get_there_in_the_end() {
    let clock = || Arc::new(FixedClock::at(AT.parse().unwrap()));
    let (undisturbed, hour) = misplaced();
    let before = Outcome::of(&undisturbed);
    assert!(repair(&faulty_app(&undisturbed, &clock(), 0, 0).await, &hour).await);
    let expected = Outcome::of(&undisturbed);
    assert_eq!((expected.rows.len(), expected.quarantine.len()), (before.rows.len(), before.quarantine.len()));
    assert_ne!(expected.partitions, before.partitions);
    let mut failed = 0;
    for seed in 0..5 {
        let ((lake, hour), clock) = (misplaced(), clock());
        let mut tries = 0;
        while !repair(&faulty_app(&lake, &clock, seed * 1000 + tries, 3).await, &hour).await {
            tries += 1;
            assert!(tries < 200, "seed {seed}: still failing");
            faulty_run(&lake, &clock, seed + 100, tries % 20).await;
        }
        failed += tries;
        let context = format!("seed {seed}, after {tries} repairs that failed");
        lake.run(0);
        let found = Outcome::of(&lake);
        assert_eq!((&found.rows, &found.quarantine), (&expected.rows, &expected.quarantine), "{context}");
        let rows = |outcome: &Outcome| outcome.partitions.iter().filter_map(|partition| partition["rows"].as_u64()).collect::<Vec<_>>();
        assert_eq!(rows(&found), rows(&expected), "{context}");
        assert_leftovers_are_of_dead_attempts(&lake, &context);
    }
    assert!(failed > 0, "no repair met a fault");
}
