//! Stories of a table whose rows belong elsewhere: each record is in one place, whatever happens to the lake.
//!
//! The reference knows what landed, where a row belongs by its own values, and what each generation held while it was live. It knows nothing of how
//! lakebed comes to that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use lakebed::app::{Access, App};
use lakebed::catalog::TableName;
use lakebed::catalog::filter::Filter;
use lakebed::hour::Place;
use lakebed::layout::{parse_redriven_key, quarantine_table};
use lakebed::ledger::LedgerVersion;
use lakebed::{engine, pipeline, query, redrive, repair, rollback, sweep};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::breaking::Line;
use super::reference::Minute;
use super::steps::{Break, at_some_request};
use super::world::{Ended, Watch, behind, open, runtime};
use crate::support::outcome::{Ledgers, leftovers};
use crate::support::{Lake, files};

/// What is in the story of a scattering table.
#[derive(Debug, Clone)]
pub struct Story {
    /// Equal events are left out.
    deduplicate: bool,
    /// `[lake] grace`, hours.
    grace: i64,
    steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// An object lands, in one of two hours. Only a part of it is an object's if it is `cut`.
    Land { hour: u8, events: Vec<Event>, cut: bool },
    /// An object that landed lands once more under another name.
    Copy(usize),
    /// Somebody changes what records have to be.
    Rule(Rules),
    /// Minutes pass.
    Wait(Minute),
    /// Somebody does something, and it may break.
    Do(Verb, Option<Break>),
}

/// A record: its number, what a rule looks at, and what says where its row belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Event {
    sequence: u8,
    page: &'static str,
    hour: u8,
}

/// What records have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    /// Up to that a `sequence` is good.
    most: u8,
    /// Rows of other pages belong to none.
    only: Option<&'static str>,
}

const LOOSE: Rules = Rules { most: 9, only: None };

/// A `sequence` that is a text, and so is never good.
const BAD: u8 = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verb {
    Run,
    Redrive,
    Repair { at: usize, from_merged: bool },
    Rollback { at: usize, to: Option<u64> },
    Sweep,
}

const PAGES: [&str; 3] = ["x", "y", NONE];
const NONE: &str = "__HIVE_DEFAULT_PARTITION__";

/// An object that landed.
#[derive(Debug, Clone)]
struct Landed {
    hour: u8,
    first: usize,
    events: Vec<Event>,
    cut: bool,
}

/// What happened in stories, by what it was.
#[derive(Debug, Default)]
pub struct Told(pub BTreeMap<String, u64>);

/// What can be seen of the lake.
#[derive(Default)]
struct Seen {
    /// Of each partition the events in it, each with where it says that it belongs.
    rows: BTreeMap<String, Vec<(String, String)>>,
    /// Events that are in quarantine, and not resolved.
    bad: Vec<String>,
    /// The newest version of each partition that ever had anything.
    heads: BTreeMap<String, LedgerVersion>,
    /// All versions.
    versions: Vec<LedgerVersion>,
    /// The catalog shows what the ledgers say.
    in_step: bool,
    /// A move is under way, or rows that a redrive moved.
    moving: bool,
    /// A move is under way.
    is_open: bool,
}

struct Play {
    lake: Lake,
    clock: Arc<Watch>,
    runtime: Runtime,
    now: Minute,
    rules: Rules,
    deduplicate: bool,
    grace: i64,
    landed: Vec<Landed>,
    /// What each generation of data holds.
    generations: BTreeMap<String, Vec<String>>,
    seen: Seen,
    broken: bool,
    told: Told,
}

pub fn story(steps: usize) -> impl Strategy<Value = Story> {
    let grace = prop_oneof![2 => Just(0i64), 1 => Just(1), 1 => Just(24)];
    (any::<bool>(), grace, vec(scene(), steps / 3..=steps)).prop_map(|(deduplicate, grace, scenes)| Story {
        deduplicate,
        grace,
        steps: scenes.concat(),
    })
}

/// A few steps that belong together.
fn scene() -> impl Strategy<Value = Vec<Step>> {
    let waits = prop_oneof![4 => Just(5i64), 4 => Just(70), 1 => Just(25 * 60), 1 => Just(75 * 60)];
    prop_oneof![
        2 => land().prop_map(|land| vec![land]),
        1 => (0usize..8).prop_map(|of| vec![Step::Copy(of)]),
        2 => waits.prop_map(|minutes| vec![Step::Wait(minutes)]),
        1 => rules().prop_map(|rules| vec![Step::Rule(rules)]),
        3 => (land(), done(Just(Verb::Run))).prop_map(|(land, run)| vec![land, run]),
        4 => (strict(), land(), rules(), done(Just(Verb::Redrive)))
            .prop_map(|(strict, land, rules, redrive)| vec![Step::Rule(strict), land, Step::Do(Verb::Run, None), Step::Rule(rules), redrive]),
        3 => (rules(), done(repair())).prop_map(|(rules, repair)| vec![Step::Rule(rules), repair]),
        3 => (done(rollback()), done(Just(Verb::Sweep)), done(verb())).prop_map(|(back, sweep, verb)| vec![back, sweep, verb]),
        4 => done(verb()).prop_map(|verb| vec![verb]),
    ]
}

fn land() -> impl Strategy<Value = Step> {
    let hour = prop_oneof![3 => Just(10u8), 2 => Just(11), 1 => Just(12)];
    let event = (1..=BAD, prop::sample::select(PAGES.to_vec()), hour).prop_map(|(sequence, page, hour)| Event { sequence, page, hour });
    (12u8..14, vec(event, 1..6), prop::bool::weighted(0.1)).prop_map(|(hour, events, cut)| Step::Land { hour, events, cut })
}

fn rules() -> impl Strategy<Value = Rules> {
    let only = prop_oneof![4 => Just(None), 1 => Just(Some("x")), 1 => Just(Some("y"))];
    (prop_oneof![1 => Just(6u8), 2 => Just(9)], only).prop_map(|(most, only)| Rules { most, only })
}

fn strict() -> impl Strategy<Value = Rules> {
    prop_oneof![Just(2u8), Just(4)].prop_map(|most| Rules { most, only: None })
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![2 => Just(Verb::Run), 2 => Just(Verb::Redrive), 3 => repair(), 3 => rollback(), 2 => Just(Verb::Sweep)]
}

fn repair() -> impl Strategy<Value = Verb> {
    (0usize..16, prop::bool::weighted(0.2)).prop_map(|(at, from_merged)| Verb::Repair { at, from_merged })
}

fn rollback() -> impl Strategy<Value = Verb> {
    let to = prop_oneof![2 => Just(None), 1 => (1u64..6).prop_map(Some)];
    (0usize..16, to).prop_map(|(at, to)| Verb::Rollback { at, to })
}

fn done(verb: impl Strategy<Value = Verb>) -> impl Strategy<Value = Step> {
    (verb, prop::option::weighted(0.3, at_some_request())).prop_map(|(verb, at)| Step::Do(verb, at))
}

impl Event {
    fn is_good(&self, rules: Rules) -> bool {
        self.sequence <= rules.most
    }

    /// The partition of its row.
    fn place(&self, rules: Rules) -> String {
        let page = if rules.only.is_none_or(|only| only == self.page) { self.page } else { NONE };
        format!("p={page}/at_hour=2026-11-19-{}", self.hour)
    }

    fn text(&self, id: &str) -> String {
        let sequence = if self.sequence == BAD { json!("x") } else { json!(self.sequence) };
        let mut record = json!({"event_id": id, "sequence": sequence, "at": format!("2026-11-19T{}:30:00Z", self.hour)});
        if self.page != NONE {
            record["page"] = json!(self.page);
        }
        record.to_string()
    }
}

impl Landed {
    fn ids(&self) -> impl Iterator<Item = (String, &Event)> {
        self.events.iter().enumerate().map(|(at, event)| (format!("e{}", self.first + at), event))
    }

    fn home(&self) -> String {
        format!("p={NONE}/at_hour=2026-11-19-{}", self.hour)
    }
}

fn key(number: usize, landed: &Landed) -> String {
    format!("2026/11/19/{}/o{number:03}", landed.hour)
}

/// The landed object that a source is of.
fn of_landed(key: &str) -> &str {
    parse_redriven_key(key).unwrap_or(key)
}

/// Plays a story, and panics where the lake is not what it has to be.
pub fn play(story: &Story) -> Told {
    let lake = Lake::new("");
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (event_id string, sequence bigint, at timestamp, page string, rescued map<string,string>) \
         PARTITIONED BY (p string, at_hour string) STORED AS PARQUET LOCATION '${location}'",
    );
    let now = 20 * 60;
    let mut play = Play {
        lake,
        clock: Arc::new(Watch::at(now)),
        runtime: runtime(),
        now,
        rules: LOOSE,
        deduplicate: story.deduplicate,
        grace: story.grace,
        landed: Vec::new(),
        generations: BTreeMap::new(),
        seen: Seen::default(),
        broken: false,
        told: Told::default(),
    };
    play.configure();
    story.steps.iter().for_each(|step| play.step(step));
    play.end();
    play.told
}

impl Play {
    fn configure(&self) {
        let merge = if self.deduplicate { "[table.merge]\ndeduplicate_by = [\"event_id\"]\n" } else { "" };
        let only =
            self.rules.only.map_or_else(String::new, |page| format!("[table.columns.page]\nallowed = [\"{page}\"]\non_fail = \"null\"\n"));
        let partitions = "time = \"at\"\npartition_by = \"p=!{column:page}/at_hour=!{timestamp:yyyy-MM-dd-HH}\"\nlookback = \"1000h\"\n";
        let most = self.rules.most;
        self.lake
            .configure(&format!("{partitions}{merge}[table.quarantine]\nmax_ratio = 1.0\n[table.columns.sequence]\nmax = {most}\n{only}"));
        self.lake.set("grace", &format!("{}h", self.grace));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Land { hour, events, cut } => {
                let first = self.landed.iter().map(|landed| landed.first + landed.events.len()).max().unwrap_or(0);
                self.land(Landed { hour: *hour, first, events: events.clone(), cut: *cut });
            }
            Step::Copy(of) => {
                let copied = self.landed.get(*of).cloned();
                copied.into_iter().for_each(|landed| self.land(landed));
            }
            Step::Rule(rules) => {
                self.rules = *rules;
                self.configure();
            }
            Step::Wait(minutes) => {
                self.now += minutes;
                self.clock.set(self.now);
            }
            Step::Do(verb, at) => self.act(verb, at.clone()),
        }
    }

    /// Behind the records of each object stands one that is broken off, if it is cut.
    fn land(&mut self, landed: Landed) {
        let mut body: String = landed.ids().map(|(id, event)| event.text(&id)).collect();
        body.push_str(if landed.cut { "{\"event_id\":\"cut" } else { "" });
        let key = key(self.landed.len(), &landed);
        self.lake.land(&landed.hour.to_string(), key.rsplit('/').next().unwrap(), body.as_bytes());
        self.landed.push(landed);
    }

    /// The place and the path of the partition of a number, of those that there may be.
    fn place(&self, at: usize) -> (Place, String) {
        let paths: BTreeSet<String> = self.seen.heads.keys().cloned().collect();
        let path = paths.iter().nth(at % paths.len().max(1)).cloned().unwrap_or_else(|| format!("p=x/at_hour=2026-11-19-{}", 10 + at % 2));
        let (page, hour) = path.split_once("/at_hour=").unwrap();
        (format!("{}T{}/{page}", &hour[..10], &hour[11..]).parse().unwrap(), path)
    }

    fn act(&mut self, verb: &Verb, at: Option<Break>) {
        let (place, path) = match verb {
            Verb::Repair { at, .. } | Verb::Rollback { at, .. } => self.place(*at),
            _ => self.place(0),
        };
        let (own, line) = (runtime(), Line::new(at));
        let answer = own.block_on(async {
            let mut app = open(&self.lake, &self.clock, Access::Write).await;
            behind(&mut app, &line);
            tokio::select! {
                answer = go(&app, verb, place) => Some(answer.map_err(|e| (e.kind(), e.to_string()))),
                () = line.death() => None,
            }
        });
        own.shutdown_timeout(Duration::from_secs(60));
        let ended = Ended { answer, broke: line.broke() };
        self.told.note(if ended.broke { "broke" } else { "went on" });
        if ended.answer.is_none() {
            self.told.note("died");
        }
        let before = std::mem::take(&mut self.seen);
        self.seen = self.look();
        let new = |version: &&LedgerVersion| !before.versions.contains(version);
        let operations: Vec<String> = self.seen.versions.iter().filter(new).map(|version| format!("{:?}", version.operation)).collect();
        operations.into_iter().for_each(|operation| self.told.note(&operation));
        self.broken |= ended.broke;
        let is_done = !ended.broke && ended.says_done();
        self.check();
        if is_done {
            self.check_verb(verb, &path, &before, &ended);
        } else if !ended.broke {
            self.check_refusal(verb, &ended);
        }
    }

    fn look(&self) -> Seen {
        let mut seen = Seen { versions: Ledgers::of(&self.lake).0.into_values().collect(), ..Seen::default() };
        for head in Ledgers::of(&self.lake).heads().filter(|head| !head.is_void()) {
            seen.heads.insert(head.partition.to_string(), head.clone());
        }
        let newest = files(&self.lake.path(".lakebed/moves")).into_iter().next_back();
        let is_open = newest.is_some_and(|(_, bytes)| serde_json::from_slice::<Value>(&bytes).unwrap()["state"] != "over");
        // What a redrive wrote down that did not commit is as if it were not there.
        let committed = |path: &Path| seen.versions.iter().any(|version| path.to_string_lossy().contains(&version.attempt));
        seen.moving = is_open || files(&self.lake.path(".lakebed/moving")).keys().any(|path| committed(path));
        seen.is_open = is_open;
        self.runtime.block_on(async {
            let app = open(&self.lake, &self.clock, Access::Read).await;
            let name = TableName::parse("shop.clicks").unwrap();
            if app.catalog.table(&name).await.unwrap().is_none() {
                seen.in_step = seen.heads.is_empty();
                return;
            }
            let shown: BTreeSet<String> =
                app.catalog.partitions(&name, &Filter::all()).await.unwrap().into_iter().map(|entry| entry.location).collect();
            seen.in_step = seen.heads.values().map(|head| head.generation.location.clone()).collect::<BTreeSet<_>>() == shown;
            let context = engine::local::session(&engine::Limits { memory: 256 << 20, threads: 1, spill: std::env::temp_dir() }).unwrap();
            query::register(&context, &app.catalog, &app.stores).await.unwrap();
            let mut result = query::run(&context, "SELECT p, at_hour, event_id, page, at FROM shop.clicks").await.unwrap();
            while let Some(batch) = result.next().await.unwrap() {
                let [pages, hours, ids, values, times] = [0, 1, 2, 3, 4].map(|column| texts(&batch, column));
                let path = |page: &str, hour: &str| format!("p={}/at_hour={hour}", if page.is_empty() { NONE } else { page });
                for row in 0..batch.num_rows() {
                    let belongs = path(&values[row], &times[row][..13].replace('T', "-"));
                    seen.rows.entry(path(&pages[row], &hours[row])).or_default().push((ids[row].clone(), belongs));
                }
            }
            if app.catalog.table(&quarantine_table(&name)).await.unwrap().is_some() {
                let sql = "SELECT arrow_cast(raw, 'Utf8') FROM shop.clicks_quarantine WHERE resolved IS NULL";
                let mut result = query::run(&context, sql).await.unwrap();
                while let Some(batch) = result.next().await.unwrap() {
                    let records = texts(&batch, 0).into_iter().filter_map(|raw| serde_json::from_str::<Value>(&raw).ok());
                    seen.bad.extend(records.filter_map(|record| Some(record["event_id"].as_str()?.to_string())));
                }
            }
        });
        seen
    }

    /// What holds at every time.
    fn check(&mut self) {
        let Self { seen, landed, generations, .. } = self;
        for head in seen.heads.values() {
            // Nobody reads these from the landing but a repair, so a generation has them as long as no repair did.
            for held in head.held.iter().filter(|held| parse_redriven_key(&held.key).is_some()) {
                let has = |version: &&LedgerVersion| {
                    let is_retired = head.retired.iter().any(|retired| retired.location == version.generation.location);
                    version.partition == head.partition && is_retired && version.source(&held.key).is_some()
                };
                assert!(seen.versions.iter().any(|version| has(&version)), "{}: {} is nowhere", head.partition, held.key);
            }
        }
        if !seen.in_step {
            return;
        }
        for (path, head) in &seen.heads {
            let mut ids: Vec<String> = seen.rows.get(path).into_iter().flatten().map(|(id, _)| id.clone()).collect();
            ids.sort();
            let before = generations.entry(head.generation.location.clone()).or_insert_with(|| ids.clone());
            assert_eq!(*before, ids, "a generation of {path} is another one");
        }
        for (path, rows) in &seen.rows {
            rows.iter().for_each(|(id, belongs)| assert_eq!(belongs, path, "{id} is elsewhere"));
        }
        let sources = || seen.heads.values().flat_map(|head| &head.sources);
        let held: BTreeSet<&str> = seen.heads.values().flat_map(|head| &head.held).map(|held| of_landed(&held.key)).collect();
        let taken: BTreeSet<&str> = sources().map(|source| of_landed(&source.key)).chain(held.iter().copied()).collect();
        let mut copies: BTreeMap<String, (u64, bool)> = BTreeMap::new();
        for (number, landed) in landed.iter().enumerate() {
            let key = key(number, landed);
            for (id, _) in landed.ids() {
                let of_id = copies.entry(id).or_default();
                of_id.0 += u64::from(taken.contains(key.as_str()));
                of_id.1 |= held.contains(key.as_str());
            }
        }
        let (mut rows, mut bad) = (BTreeMap::<&str, u64>::new(), BTreeMap::<&str, u64>::new());
        seen.rows.values().flatten().for_each(|(id, _)| *rows.entry(id).or_default() += 1);
        for (path, rows) in seen.rows.iter().filter(|_| self.deduplicate) {
            let events: BTreeSet<&String> = rows.iter().map(|(id, _)| id).collect();
            assert_eq!(events.len(), rows.len(), "an event is twice in {path}");
        }
        seen.bad.iter().for_each(|id| *bad.entry(id).or_default() += 1);
        for (id, (copies, is_held)) in &copies {
            let (rows, bad) = (rows.get(id.as_str()).copied().unwrap_or_default(), bad.get(id.as_str()).copied().unwrap_or_default());
            let context = format!("{id}: {rows} rows and {bad} in quarantine, of {copies}; moving: {}", seen.moving);
            assert!(seen.is_open || rows + bad <= *copies, "twice: {context}");
            let is_there = if self.deduplicate { *copies == 0 || rows + bad > 0 } else { rows + bad == *copies };
            // What a run begins it may not have ended.
            assert!(is_there || *is_held || seen.moving || self.broken, "lost: {context}");
        }
    }

    /// What a verb that was done has to have done.
    fn check_verb(&mut self, verb: &Verb, path: &str, before: &Seen, ended: &Ended) {
        let document = ended.answer.as_ref().unwrap().as_ref().unwrap();
        let same = |one: &Seen, other: &Seen| {
            let of = |seen: &Seen| {
                let (mut rows, mut bad) = (seen.rows.clone(), seen.bad.clone());
                rows.values_mut().for_each(|rows| rows.sort());
                bad.sort();
                (rows, bad)
            };
            of(one) == of(other)
        };
        let was_whole = before.in_step && !before.moving;
        match verb {
            Verb::Run => {
                assert!(self.seen.in_step && !self.seen.moving, "a run ends what was begun: {document}");
                self.broken = false;
                self.check();
                let landed = self.landed.iter().enumerate().map(|(number, landed)| key(number, landed));
                let sources: BTreeSet<&str> =
                    self.seen.heads.values().flat_map(|head| head.sources.iter().chain(&head.held)).map(|of| of.key.as_str()).collect();
                landed.for_each(|key| assert!(sources.contains(key.as_str()), "{key} is not taken in: {document}"));
            }
            Verb::Redrive if self.seen.in_step => {
                let good: BTreeSet<String> =
                    self.landed.iter().flat_map(Landed::ids).filter(|(_, event)| event.is_good(self.rules)).map(|(id, _)| id).collect();
                let left: Vec<&String> = self.seen.bad.iter().filter(|id| good.contains(*id)).collect();
                assert!(left.is_empty(), "{left:?} pass by now: {document}");
            }
            Verb::Repair { from_merged: false, .. } => self.check_repair(path, before, document),
            Verb::Rollback { .. } if was_whole && self.seen.in_step => {
                let others = |seen: &Seen| {
                    let mut rows: BTreeMap<_, _> = seen.rows.clone().into_iter().filter(|(other, _)| other != path).collect();
                    rows.values_mut().for_each(|rows| rows.sort());
                    rows
                };
                // Its own are those of a generation that was live, as each generation's are.
                assert_eq!(others(before), others(&self.seen), "others stay: {document}");
            }
            Verb::Sweep | Verb::Repair { .. } if was_whole => assert!(same(before, &self.seen), "{verb:?} changes no row: {document}"),
            _ => {}
        }
    }

    /// The objects of a partition that was repaired are in it as they landed.
    fn check_repair(&self, path: &str, before: &Seen, document: &Value) {
        assert_eq!(self.seen.heads[path].held, [], "what was taken out is back: {document}");
        if !self.seen.in_step {
            return;
        }
        let Some(head) = before.heads.get(path) else { return };
        let known: BTreeSet<&str> = head.sources.iter().chain(&head.held).map(|source| of_landed(&source.key)).collect();
        let ids = |path: &str| self.seen.rows.get(path).into_iter().flatten().map(|(id, _)| id.as_str()).collect::<BTreeSet<&str>>();
        let own = ids(path);
        for (_, landed) in self.landed.iter().enumerate().filter(|(number, landed)| known.contains(key(*number, landed).as_str())) {
            for (id, event) in landed.ids() {
                let is_row = event.is_good(self.rules) && event.place(self.rules) == path;
                assert!(!is_row || own.contains(id.as_str()), "{id} belongs to {path}: {document}");
                let is_bad = !event.is_good(self.rules) && landed.home() == path;
                assert!(!is_bad || self.seen.bad.contains(&id), "{id} belongs to the quarantine of {path}: {document}");
            }
        }
    }

    fn check_refusal(&mut self, verb: &Verb, ended: &Ended) {
        if let Some(Err((_, why))) = &ended.answer {
            let name = format!("{verb:?}");
            self.told.note(&format!("refused: {}", name.split(' ').next().unwrap()));
            let known = [
                "never merged",
                "no generation to go back to",
                "no retired generation",
                "cannot go back to",
                "is not a folder",
                "is not made yet",
                "not in the catalog yet",
                "is not taken in wholly yet",
            ];
            assert!(known.iter().any(|words| why.contains(words)), "{verb:?}: {why}");
        } else {
            // Of what broke before, hours may wait.
            assert!(self.broken, "{verb:?}: {ended:?}");
        }
    }

    /// Whatever happened, at the end all that landed is in its place.
    fn end(&mut self) {
        let run = Step::Do(Verb::Run, None);
        // What was begun goes on under the rules that it was begun with, and no others.
        let made_good = [Step::Wait(75 * 60), run.clone(), run.clone()];
        let redriven = [Step::Rule(LOOSE), run.clone(), run.clone(), Step::Do(Verb::Redrive, None), run.clone()];
        [&made_good[..], &redriven[..]].concat().iter().for_each(|step| self.step(step));
        assert!(!self.broken, "whatever broke is made good");
        for at in 0..self.seen.heads.len() {
            self.step(&Step::Do(Verb::Repair { at, from_merged: false }, None));
        }
        [run.clone(), Step::Do(Verb::Sweep, None), Step::Wait(75 * 60), Step::Do(Verb::Sweep, None), run]
            .iter()
            .for_each(|step| self.step(step));
        assert!(self.seen.heads.values().all(|head| head.held.is_empty()), "nothing is held back");
        for (id, event) in self.landed.iter().flat_map(Landed::ids) {
            let rows = self.seen.rows.get(&event.place(LOOSE)).into_iter().flatten();
            assert_eq!(rows.filter(|(row, _)| *row == id).count() > 0, event.is_good(LOOSE), "{id} in its place");
            assert_eq!(self.seen.bad.contains(&id), !event.is_good(LOOSE), "{id} in the quarantine");
        }
        let mut left = leftovers(&self.lake);
        left.retain(|path| !path.ends_with('/'));
        assert_eq!(left, [] as [String; 0], "nothing is left behind");
    }
}

impl Told {
    fn note(&mut self, what: &str) {
        *self.0.entry(what.to_string()).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        other.0.into_iter().for_each(|(what, times)| *self.0.entry(what).or_default() += times);
    }

    /// Stories in which nothing happens show nothing.
    pub fn assert_enough(&self) {
        let wanted = [("Create", 20), ("Amend", 20), ("Repair", 3), ("Move", 20), ("Redrive", 20), ("Rollback", 5), ("Sweep", 10)];
        for (what, least) in wanted.into_iter().chain([("died", 10), ("broke", 30)]) {
            assert!(self.0.get(what).is_some_and(|times| *times >= least), "{what} fewer than {least} times: {self:?}");
        }
    }
}

fn texts(batch: &RecordBatch, column: usize) -> Vec<String> {
    let texts = cast(batch.column(column), &DataType::Utf8).unwrap();
    texts.as_string::<i32>().iter().map(|text| text.unwrap_or_default().to_string()).collect()
}

async fn go(app: &App, verb: &Verb, place: Place) -> lakebed::error::Result<Value> {
    let table = "shop.clicks".to_string();
    let told = |value: serde_json::Result<Value>| value.unwrap();
    match verb {
        Verb::Run => {
            let request = pipeline::Request { table: None, at: app.clock.now(), since: None, dry_run: false, until: None };
            pipeline::run(app, &request).await.map(|done| told(serde_json::to_value(done)))
        }
        Verb::Redrive => {
            let request = redrive::Request { table, place: None, reason: None, dry_run: false };
            redrive::redrive(app, &request).await.map(|done| told(serde_json::to_value(done)))
        }
        Verb::Repair { from_merged, .. } => {
            let request = repair::Request { table, place, from_merged: *from_merged, dry_run: false };
            repair::repair(app, &request).await.map(|done| told(serde_json::to_value(done)))
        }
        Verb::Rollback { to, .. } => {
            let request = rollback::Request { table, place, to: to.map(|number| format!("g{number:08}")), dry_run: false };
            rollback::run(app, &request).await.map(|done| told(serde_json::to_value(done)))
        }
        Verb::Sweep => {
            let request = sweep::Request { table: None, dry_run: false };
            sweep::run(app, &request).await.map(|done| told(serde_json::to_value(done)))
        }
    }
}
