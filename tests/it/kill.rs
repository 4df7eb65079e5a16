//! P8, crash anywhere: a run that is killed at any moment is followed by one that brings the lake where it would have been.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lakebed::generate::{Part, Settings};

use crate::support::outcome::{Ledgers, Outcome, Snapshot, assert_leftovers_are_of_dead_attempts, leftovers};
use crate::support::seeded::Seeded;
use crate::support::{AT, Answer, LAKEBED, Lake};

/// Rounds for each of the situations.
const ROUNDS: u64 = 13;

/// A table that is ordered, which needs a spill folder, and without duplicates.
const ORDERED: &str = "[table.merge]\nsort_by = [\"collector_tstamp\"]\ndeduplicate_by = [\"event_id\"]";

/// A table whose rows scatter over the hours of their time.
const SCATTERED: &str = "time = \"collector_tstamp\"";

/// A table that takes the rows as they come.
const PLAIN: &str = "";

fn clicks(part: Part) -> Settings {
    Settings { hours: 4, objects_per_hour: 3, records: 3000, late: 0.25, bad: 0.02, duplicates: 0.02, part, ..Settings::default() }
}

/// A lake with a second configuration, of so little memory that ordering an hour spills some of it to disk: for runs, not for queries.
fn small_lake(settings: &str) -> Lake {
    let lake = Lake::new(settings);
    let text = std::fs::read_to_string(lake.path("lakebed.toml")).unwrap();
    std::fs::write(lake.path("small.toml"), text.replace("[lake]\n", "[lake]\nmemory = \"3000KiB\"\n")).unwrap();
    lake
}

const RUN: &[&str] = &["run", "--at", AT];

const REDRIVE: &[&str] = &["redrive", "shop.clicks"];

/// A lake before the command that is going to be killed, and what that makes of it when it is left alone.
struct Situation {
    name: &'static str,
    verb: &'static [&'static str],
    lake: Lake,
    before: Snapshot,
    undisturbed: Outcome,
    duration: Duration,
}

impl Situation {
    /// Everything has landed, nothing is merged.
    fn fresh(name: &'static str, settings: &str) -> Self {
        let lake = small_lake(settings);
        lake.generate(&clicks(Part::All));
        Self::measure(name, RUN, lake)
    }

    /// What came in time is merged, what came late has landed.
    fn amend(name: &'static str, settings: &str) -> Self {
        let lake = small_lake(settings);
        lake.generate(&clicks(Part::OnTime));
        assert!(start(RUN, &lake).wait().unwrap().success());
        lake.generate(&clicks(Part::Late));
        Self::measure(name, RUN, lake)
    }

    /// Many records are in quarantine, and fit by now.
    fn redrive(name: &'static str) -> Self {
        let lake = small_lake("[table.columns.sequence]\nmax = 4000");
        lake.generate(&clicks(Part::All));
        assert!(start(RUN, &lake).wait().unwrap().success());
        let loose = std::fs::read_to_string(lake.path("small.toml")).unwrap().replace("max = 4000", "");
        std::fs::write(lake.path("small.toml"), loose).unwrap();
        Self::measure(name, REDRIVE, lake)
    }

    fn measure(name: &'static str, verb: &'static [&'static str], lake: Lake) -> Self {
        let before = Snapshot::of(&lake);
        let timed = || {
            before.restore(&lake);
            let start = Instant::now();
            assert!(self::start(verb, &lake).wait().unwrap().success());
            start.elapsed()
        };
        let duration = timed().min(timed());
        assert_eq!(leftovers(&lake), [] as [String; 0], "{name}");
        Self { name, verb, undisturbed: Outcome::of(&lake), lake, before, duration }
    }

    fn round(&self, random: &mut Seeded, seen: &mut Seen) {
        self.before.restore(&self.lake);
        let mut history = Vec::new();
        // Every other time the run after the killed one is killed too.
        for _ in 0..=random.below(2) {
            let delay = self.duration * u32::try_from(random.below(1100)).unwrap() / 1000;
            let killed = kill_after(start(self.verb, &self.lake), delay);
            history.push(format!("{} after {} ms", if killed { "killed" } else { "done" }, delay.as_millis()));
            if killed {
                seen.note(&self.lake);
            }
        }
        let context = format!("{}, {}", self.name, history.join(", "));
        seen.rounds += 1;
        seen.killed += u64::from(history.iter().any(|one| one.starts_with("killed")));
        let summary = Answer::of(command(self.verb, &self.lake).output().unwrap()).json(0);
        assert_eq!(summary["failures"], serde_json::json!([]), "{context}");
        Outcome::of(&self.lake).assert_same(&self.undisturbed, &context);
        assert_leftovers_are_of_dead_attempts(&self.lake, &context);
    }
}

/// Where the kills hit.
#[derive(Default)]
struct Seen {
    rounds: u64,
    killed: u64,
    kinds: BTreeMap<&'static str, u64>,
    phases: BTreeSet<String>,
}

impl Seen {
    fn note(&mut self, lake: &Lake) {
        let kinds: BTreeSet<&str> = leftovers(lake).iter().map(|path| kind(path)).collect();
        self.phases.insert(format!("{} versions, {kinds:?}", Ledgers::of(lake).0.len()));
        for kind in kinds {
            *self.kinds.entry(kind).or_default() += 1;
        }
    }
}

fn kind(path: &str) -> &'static str {
    let begins = [
        ("lake/", "generation"),
        (".lakebed/quarantine/", "quarantine"),
        (".lakebed/ledger/", "ledger"),
        (".lakebed/queue/", "queue"),
        (".lakebed/intake/", "intake"),
        (".lakebed/spill-", "spill"),
        (".lakebed/probe-", "probe"),
        (".lakebed/catalog.db-journal", "journal"),
    ];
    begins.iter().find(|(begin, _)| path.starts_with(begin)).map_or("other", |(_, kind)| kind)
}

fn command(verb: &[&str], lake: &Lake) -> Command {
    let mut command = Command::new(LAKEBED);
    command.args(verb).args(["--output", "json", "--config"]).arg(lake.path("small.toml"));
    command
}

fn start(verb: &[&str], lake: &Lake) -> Child {
    command(verb, lake).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// True if the process was still alive when it was killed.
fn kill_after(mut child: Child, delay: Duration) -> bool {
    const SIGKILL: i32 = 9;
    std::thread::sleep(delay);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.signal() == Some(SIGKILL) || status.success(), "{status}");
    !status.success()
}

#[test]
fn a_run_killed_anywhere_is_made_good_by_the_next() {
    let situations = [
        Situation::fresh("fresh, ordered", ORDERED),
        Situation::fresh("fresh", PLAIN),
        Situation::amend("amend, ordered", ORDERED),
        Situation::amend("amend", PLAIN),
        Situation::fresh("fresh, scattered", SCATTERED),
        Situation::amend("amend, scattered", SCATTERED),
        Situation::redrive("redrive"),
    ];
    let (mut random, mut seen) = (Seeded(8), Seen::default());
    for situation in &situations {
        for _ in 0..ROUNDS {
            situation.round(&mut random, &mut seen);
        }
    }
    let Seen { rounds, killed, kinds, phases } = seen;
    assert!(killed * 3 >= rounds, "only {killed} of {rounds} rounds killed a live run");
    assert!(kinds.len() >= 2, "kills left only {kinds:?}");
    assert!(phases.len() >= 6, "kills hit only {phases:?}");
}
