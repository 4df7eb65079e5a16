//! Where the rows of an object belong is fixed before a partition gets any, whatever else runs, changes or is lost meanwhile.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::BoxStream;
use indicatif::ProgressBar;
use lakebed::app::{Access, App};
use lakebed::clock::FixedClock;
use lakebed::events::outbox::Outbox;
use lakebed::ledger::store::LedgerStore;
use lakebed::pipeline::{self, Request};
use lakebed::store::Root;
use lakebed::summary::RunSummary;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};
use serde_json::Value;
use url::Url;

use super::super::support::outcome::Outcome;
use super::super::support::{AT, Lake, files};
use super::scatter::{BY_PAGE, lake, newest_intake, objects, row, rows, told};

/// What happens before a put of that number, counted from 0, with its path. False is the end: nothing can be done in the store from then on.
pub(super) type Hook = Box<dyn Fn(usize, &str) -> bool + Send + Sync>;

/// A store in which something happens between its puts.
struct Hooked {
    store: Arc<dyn ObjectStore>,
    puts: AtomicUsize,
    hook: Hook,
    over: AtomicBool,
    /// What is at this path cannot be read or looked at, and is not known to be gone.
    hidden: Option<String>,
}

impl Hooked {
    fn check(&self) -> Result<()> {
        let over = || object_store::Error::Generic { store: "hooked", source: "it is over".into() };
        if self.over.load(Ordering::SeqCst) { Err(over()) } else { Ok(()) }
    }
}

impl fmt::Debug for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hooked {}", self.store)
    }
}

impl fmt::Display for Hooked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hooked {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for Hooked {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.check()?;
        if !(self.hook)(self.puts.fetch_add(1, Ordering::SeqCst), at.as_ref()) {
            self.over.store(true, Ordering::SeqCst);
        }
        self.check()?;
        self.store.put_opts(at, bytes, options).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.check()?;
        self.store.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.check()?;
        if self.hidden.as_deref() == Some(at.as_ref()) {
            return Err(object_store::Error::Generic { store: "hooked", source: "it is hidden".into() });
        }
        self.store.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.check() {
            Ok(()) => self.store.delete_stream(paths),
            Err(e) => Box::pin(futures::stream::once(std::future::ready(Err(e)))),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check()?;
        self.store.copy_opts(from, to, options).await
    }
}

/// A lake by the configuration as it is now, in which `hook` happens between what is written into the state location.
pub(super) async fn hooked(lake: &Lake, hook: Hook) -> App {
    hiding(lake, hook, None).await
}

/// As [`hooked`], and what is at the path `hidden` in the state location can be neither read nor looked at.
async fn hiding(lake: &Lake, hook: Hook, hidden: Option<String>) -> App {
    let config = lakebed::config::read(&lake.path("lakebed.toml")).unwrap();
    let clock = Arc::new(FixedClock::at(AT.parse().unwrap()));
    let mut app = App::new(config, Access::Write, clock, ProgressBar::hidden()).await.unwrap();
    let url = Url::parse(&app.state.url_of("")).unwrap();
    let store = Hooked { store: Arc::clone(app.state.store()), puts: AtomicUsize::new(0), hook, over: AtomicBool::new(false), hidden };
    app.state = Root::of_store(Arc::new(store), url);
    app.ledgers = LedgerStore::new(app.state.clone());
    app.outbox = Outbox::new(app.state.clone());
    app
}

/// A run in which `hook` happens between what it writes into the state location.
pub(super) async fn hooked_run(lake: &Lake, hook: Hook) -> RunSummary {
    run_of(&hooked(lake, hook).await).await
}

/// A run for which what is at the path `hidden` in the state location can be neither read nor looked at.
pub(super) async fn hiding_run(lake: &Lake, hidden: &str) -> RunSummary {
    run_of(&hiding(lake, Box::new(|_, _| true), Some(hidden.to_string())).await).await
}

async fn run_of(app: &App) -> RunSummary {
    // What a redrive of the same clock left has the first ids.
    (0..1000).for_each(|_| drop(app.clock.new_id()));
    let request = Request { table: None, at: AT.parse().unwrap(), since: None, dry_run: false, until: None };
    pipeline::run(app, &request).await.unwrap()
}

/// Does `act` in a lake of its own for each of its puts, with `meanwhile` right before that put, and then looks at what came of it with `check`.
/// With `dies`, so many puts after that all is over. Returns how many puts there were.
pub(super) async fn at_each_put<T>(
    lake: impl Fn() -> Lake,
    dies: Option<usize>,
    meanwhile: fn(&Lake),
    act: impl AsyncFn(&Lake, Hook) -> T,
    check: impl Fn(&Lake, T, &str),
) -> usize {
    let mut before = 0;
    loop {
        let lake = Arc::new(lake());
        let (happened, other) = (Arc::new(AtomicBool::new(false)), Arc::clone(&lake));
        let happens = Arc::clone(&happened);
        let hook = move |put: usize, _: &str| {
            if put == before {
                happens.store(true, Ordering::SeqCst);
                meanwhile(&other);
            }
            dies.is_none_or(|dies| put < before + dies)
        };
        let done = act(&lake, Box::new(hook)).await;
        if !happened.load(Ordering::SeqCst) {
            return before;
        }
        check(&lake, done, &format!("something else before put {before}, dies after it: {dies:?}"));
        // With an end each takes longer.
        before += if dies.is_some() { 2 } else { 1 };
    }
}

/// Rules under which rows of page y belong to no page.
pub(super) const ONLY_X: &str = "[table.columns.page]\nallowed = [\"x\"]\non_fail = \"null\"";

/// Rules under which rows of page x belong to no page.
pub(super) const ONLY_Y: &str = "[table.columns.page]\nallowed = [\"y\"]\non_fail = \"null\"";

/// The events of all rows.
fn ids(lake: &Lake) -> Vec<String> {
    let mut ids: Vec<String> =
        told(lake).0.iter().flat_map(|line| line.split_once(": ").unwrap().1.split(' ').map(str::to_string).collect::<Vec<_>>()).collect();
    ids.sort();
    ids
}

/// The binary's run by other rules, whatever comes of it.
fn run_by(lake: &Lake, extra: &str) -> Value {
    lake.configure(&format!("{BY_PAGE}{extra}"));
    let answer = lake.lakebed(&["run", "--at", AT, "--output", "json"]);
    serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{e}: {} {}", answer.stdout, answer.stderr))
}

/// What came of a run in which another one by other rules happens before a put: how often rows kept their places, and were moved.
#[derive(Default)]
struct Races {
    kept: usize,
    moved: usize,
}

impl Races {
    /// Another run before the put of this number; false if there is none.
    async fn race(&mut self, rules: &'static str, before: usize) -> bool {
        let lake = Arc::new(lake(""));
        lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y"), ("3", "12", "x"), ("4", "12", "y")]));
        let (happened, meanwhile) = (Arc::new(AtomicUsize::new(0)), Arc::clone(&lake));
        let happens = Arc::clone(&happened);
        let hook = move |put: usize, _: &str| {
            if put == before {
                happens.fetch_add(1, Ordering::SeqCst);
                run_by(&meanwhile, rules);
            }
            true
        };
        let summary = hooked_run(&lake, Box::new(hook)).await;
        let context = format!("another run by {rules} before put {before}: {:?}", summary.failures);
        // Where one of the two was cut short, it goes on under its own rules.
        let runs = [rules, "", rules].map(|rules| run_by(&lake, rules));
        assert_eq!(ids(&lake), ["1", "2", "3", "4"], "{context}");
        assert_eq!(objects(&runs[2]), "1 landed 1 merged 0 rejected 0 held 0 pending", "{context}: {}", runs[2]);
        assert_eq!(runs[2]["failures"], Value::Array(vec![]), "{context}");
        let nowhere: usize = told(&lake).0.iter().filter(|line| line.starts_with("null")).count();
        assert!(nowhere == 0 || nowhere == 2, "{context}: rows of one object have places by two rules: {:?}", told(&lake).0);
        *(if nowhere == 0 { &mut self.kept } else { &mut self.moved }) += 1;
        happened.load(Ordering::SeqCst) > 0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_with_different_rules_at_once_place_each_row_once() {
    for rules in [ONLY_X, ONLY_Y] {
        let (mut races, mut before) = (Races::default(), 0);
        while races.race(rules, before).await {
            before += 1;
        }
        assert!(races.moved > 1 && races.kept > 1 && before > 5, "{} moved, {} kept, {before} puts", races.moved, races.kept);
    }
}

#[test]
fn what_no_partition_has_yet_is_placed_anew_under_other_rules() {
    let lake = lake("");
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.run(0);
    // As a run leaves it that died before the first partition had its share.
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger")).unwrap();
    std::fs::remove_dir_all(lake.path("lake")).unwrap();
    run_by(&lake, ONLY_X);
    let again = run_by(&lake, ONLY_X);
    assert_eq!((again["failures"].to_string().as_str(), objects(&again).as_str()), ("[]", "1 landed 1 merged 0 rejected 0 held 0 pending"));
    assert_eq!(told(&lake).0, ["null 2026-11-19-11: 2", "x 2026-11-19-10: 1"]);
    let intake = std::fs::read_to_string(newest_intake(&lake)).unwrap();
    assert!(!intake.contains("withdrawn"), "{intake}");
}

#[test]
fn a_lost_intake_moves_nothing() {
    let land = || {
        let lake = lake("");
        lake.land("12", "a", &rows(&[("1", "10", "y"), ("2", "11", "y")]));
        lake.land("13", "b", &rows(&[("3", "10", "x"), ("4", "13", "y")]));
        lake.run(0);
        let expected = told(&lake);
        (lake, expected)
    };
    let lose = |lake: &Lake, what: &str| std::fs::remove_dir_all(lake.path(&format!(".lakebed/intake{what}"))).unwrap();
    for (what, told_of) in [("", vec!["12/a", "13/b"]), ("/shop.clicks/2026-11-19T12", vec!["12/a"])] {
        let (lake, expected) = land();
        lose(&lake, what);
        lake.configure(&format!("{BY_PAGE}{ONLY_X}"));
        let run = lake.run(3);
        let failures = run["failures"].to_string();
        for object in &told_of {
            let says = format!("{object} is in 2 partitions of the table already");
            assert!(failures.contains(&says), "without {what}: {failures}");
        }
        assert_eq!(run["failures"].as_array().unwrap().len(), told_of.len(), "{failures}");
        assert_eq!(told(&lake), expected, "without {what}");
        lake.configure(BY_PAGE);
        assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
        assert_eq!(told(&lake), expected, "made again from the ledgers");
    }
    // The newest hour's alone: that it was begun is known all the same.
    let (lake, expected) = land();
    lose(&lake, "/shop.clicks/2026-11-19T13");
    lake.configure(&format!("{BY_PAGE}{ONLY_X}"));
    assert!(lake.run(3)["failures"].to_string().contains("13/b is in 2 partitions of the table already"));
    assert_eq!(told(&lake), expected);
    // Also if all its rows would be elsewhere by now, and that one is the last hour.
    let lake = super::scatter::lake("");
    lake.land("12", "a", &rows(&[("1", "10", "y")]));
    lake.land("13", "b", &rows(&[("3", "10", "x"), ("4", "11", "x")]));
    lake.run(0);
    let expected = told(&lake);
    lose(&lake, "/shop.clicks/2026-11-19T13");
    lake.configure(&format!("{BY_PAGE}{ONLY_Y}"));
    assert!(lake.run(3)["failures"].to_string().contains("13/b is in 2 partitions of the table already"));
    assert_eq!(told(&lake), expected);
    lake.land("14", "c", &rows(&[("5", "10", "y")]));
    lake.run(3);
    let begun: Vec<_> = files(&lake.path(".lakebed/intake/shop.clicks/begun")).into_keys().collect();
    assert!(begun.len() == 1 && begun[0].ends_with("2026-11-19T14"), "{begun:?}");
    // Another content of an object is not taken in beside the one that is there.
    let (lake, expected) = land();
    lose(&lake, "");
    lake.land("12", "a", &rows(&[("5", "09", "z")]));
    assert!(lake.run(3)["failures"].to_string().contains("12/a is in 2 partitions"));
    assert_eq!(told(&lake), expected);
}

#[test]
fn what_lacks_nothing_is_done_whatever_the_rules_are() {
    let lake = lake("");
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.run(0);
    let expected = told(&lake);
    for content in [true, false] {
        std::fs::remove_file(newest_intake(&lake)).unwrap();
        lake.configure(&format!("{BY_PAGE}{ONLY_X}"));
        if content {
            std::fs::write(&object, rows(&[("9", "11", "y")])).unwrap();
        } else {
            std::fs::remove_file(&object).unwrap();
        }
        let run = lake.run(0);
        assert_eq!(told(&lake), expected);
        assert_eq!(run["tables"][0]["warnings"].to_string().contains("12/a was written again since it was merged"), content, "{run}");
    }
}

#[test]
fn an_intake_that_cannot_be_read_costs_its_hour_alone() {
    let lake = lake("");
    for hour in ["11", "12"] {
        lake.land(hour, "a", &rows(&[(&format!("{hour}-1"), "10", "x")]));
    }
    lake.run(0);
    let broken: PathBuf = files(&lake.path(".lakebed/intake")).into_keys().rfind(|file| file.to_str().unwrap().contains("T11")).unwrap();
    let whole = std::fs::read(&broken).unwrap();
    std::fs::write(&broken, "{").unwrap();
    for hour in ["11", "12", "13"] {
        lake.land(hour, "late", &rows(&[(&format!("{hour}-2"), "10", "y")]));
    }
    let run = lake.run(3);
    let failures = run["failures"].to_string();
    assert!(failures.contains("what arrived in 2026-11-19T11 is not taken in: intake/shop.clicks/2026-11-19T11/"), "{failures}");
    assert_eq!(run["failures"].as_array().unwrap().len(), 1, "{failures}");
    assert_eq!(objects(&run), "5 landed 3 merged 0 rejected 0 held 2 pending");
    assert_eq!(ids(&lake), ["11-1", "12-1", "12-2", "13-2"]);
    lake.lakebed(&["status"]);
    std::fs::write(&broken, whole).unwrap();
    assert_eq!(objects(&lake.run(0)), "5 landed 5 merged 0 rejected 0 held 0 pending");
    assert_eq!(ids(&lake), ["11-1", "11-2", "12-1", "12-2", "13-2"]);

    // One that cannot be written, as its folder is a file.
    lake.land("14", "a", &rows(&[("14", "10", "x")]));
    lake.land("15", "a", &rows(&[("15", "10", "x")]));
    std::fs::write(lake.path(".lakebed/intake/shop.clicks/2026-11-19T14"), "").unwrap();
    let failures = lake.run(3)["failures"].to_string();
    assert!(failures.contains("what arrived in 2026-11-19T14 is not taken in"), "{failures}");
    assert_eq!(ids(&lake), ["11-1", "11-2", "12-1", "12-2", "13-2", "15"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_written_down_hour_by_hour() {
    let lake = Arc::new(lake(""));
    for hour in ["10", "11", "12", "13"] {
        lake.land(hour, "a", &rows(&[(hour, "10", "x")]));
    }
    let (meanwhile, seen) = (Arc::clone(&lake), Arc::new(Mutex::new(Vec::new())));
    let notes = Arc::clone(&seen);
    let hook = move |_: usize, path: &str| {
        if let Some(hour) = path.strip_prefix("queue/shop.clicks/2026-11-19T") {
            let begun = meanwhile.path(".lakebed/intake/shop.clicks/begun");
            let intakes = files(&meanwhile.path(".lakebed/intake")).keys().filter(|file| !file.starts_with(&begun)).count();
            notes.lock().unwrap().push(format!("{} {intakes}", &hour[..2]));
        }
        true
    };
    assert!(hooked_run(&lake, Box::new(hook)).await.failures.is_empty());
    assert_eq!(*seen.lock().unwrap(), ["10 0", "11 0", "12 1", "13 2"]);
}

#[test]
fn other_memory_in_between_moves_no_record() {
    let land = || {
        let lake = lake("");
        let long = row("long", "2026-11-19T10:30:00Z", "x")
            .replace("\"sequence\"", &format!("\"more\":\"{}\",\"sequence\"", "z".repeat(1_500_000)));
        let mut cut = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        let body = [long.into_bytes(), rows(&[("1", "10", "x"), ("2", "11", "y"), ("3", "12", "x"), ("lost", "12", "x")])].concat();
        std::io::Write::write_all(&mut cut, &body).unwrap();
        let cut = cut.finish().unwrap();
        // What is damaged is not staged, so it is read once more for each partition.
        lake.land("12", "cut.gz", &cut[..cut.len() - 30]);
        lake.limit_memory("64MiB");
        lake.run(3);
        lake
    };
    let (whole, lake) = (land(), land());
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger/shop.clicks/p=__HIVE_DEFAULT_PARTITION__")).unwrap();
    let before = told(&lake).1;
    lake.configure(BY_PAGE);
    lake.limit_memory("16MiB");
    let failures = lake.run(3)["failures"].to_string();
    assert!(failures.contains("the columns, the rules or `memory` are not those any more"), "{failures}");
    assert_eq!(told(&lake).1, before);
    lake.configure(BY_PAGE);
    lake.limit_memory("64MiB");
    lake.run(3);
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
    Outcome::of(&lake).assert_same(&Outcome::of(&whole), "with the memory of before");
}
