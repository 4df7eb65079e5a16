//! P2 and P5: runs at the same time merge every object once, and the catalog follows the ledgers whatever it said before.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use lakebed::generate::{Part, Settings};
use rusqlite::Connection;
use serde_json::Value;

use crate::support::outcome::{Ledgers, Outcome, Snapshot, leftovers};
use crate::support::seeded::Seeded;
use crate::support::{AT, Answer, Lake};

const NOTHING: [String; 0] = [];

/// Seeded rounds for each number of processes.
const ROUNDS: u64 = 4;

const SETTINGS: &str = "[table.merge]\nsort_by = [\"collector_tstamp\"]\ndeduplicate_by = [\"event_id\"]";

fn clicks(part: Part) -> Settings {
    Settings { hours: 3, objects_per_hour: 3, records: 1800, late: 0.4, bad: 0.02, duplicates: 0.02, part, ..Settings::default() }
}

/// Lets `count` runs go at almost the same time. All must end well; `between` happens after the first half has started.
fn race(lake: &Lake, count: u64, random: &mut Seeded, between: impl FnOnce()) -> Vec<Value> {
    let start = |_| {
        std::thread::sleep(Duration::from_millis(random.below(25)));
        lake.command(&["run", "--at", AT, "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut runs: Vec<_> = (0..count / 2).map(start).collect();
    between();
    let start = |_| {
        std::thread::sleep(Duration::from_millis(random.below(25)));
        lake.command(&["run", "--at", AT, "--output", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    runs.extend((count / 2..count).map(start));
    runs.into_iter().map(|run| Answer::of(run.wait_with_output().unwrap()).json(0)).collect()
}

/// The runs' own accounts together: records read, and how often each partition was changed.
fn account(summaries: &[Value]) -> (u64, BTreeMap<String, u64>) {
    let mut changed = BTreeMap::new();
    let mut read = 0;
    for summary in summaries {
        assert_eq!(summary["failures"], serde_json::json!([]), "{summary}");
        let table = &summary["tables"][0];
        assert_eq!(table["objects"]["landed"], table["objects"]["merged"], "{summary}");
        assert_eq!(table["warnings"], serde_json::json!([]), "a run that was faster is nobody else's change: {summary}");
        read += table["records"]["read"].as_u64().unwrap();
        for partition in table["partitions"].as_array().unwrap() {
            if partition["action"] != "merged by another run" {
                *changed.entry(partition["values"].to_string()).or_default() += 1;
            }
        }
    }
    (read, changed)
}

/// Runs races from the state `before` and compares with what one run alone makes of it.
fn check_races(lake: &Lake, records: u64, seed: u64) {
    let before = Snapshot::of(lake);
    let alone = lake.run(0);
    let (expected, changed) = (Outcome::of(lake), account(&[alone]));
    assert_eq!(changed.0, records);
    let (mut random, mut lost) = (Seeded(seed), 0);
    for count in [2, 4] {
        for round in 0..ROUNDS {
            let context = format!("{count} runs, round {round}");
            before.restore(lake);
            let summaries = race(lake, count, &mut random, || {});
            Outcome::of(lake).assert_same(&expected, &context);
            assert_eq!(leftovers(lake), NOTHING, "{context}");
            assert_eq!(account(&summaries), changed, "{context}: an object was merged twice, or by nobody");
            lost += summaries.iter().filter(|summary| summary.to_string().contains("merged by another run")).count();
        }
    }
    assert!(lost > 0, "no run lost a race, so nothing was tested");
}

#[test]
fn runs_that_race_on_a_new_lake_merge_every_object_once() {
    let lake = Lake::new(SETTINGS);
    let landed = lake.generate(&clicks(Part::All));
    check_races(&lake, landed.records, 2);
}

#[test]
fn runs_that_race_to_amend_merge_every_late_object_once() {
    let lake = Lake::new(SETTINGS);
    lake.generate(&clicks(Part::OnTime));
    lake.run(0);
    let late = lake.generate(&clicks(Part::Late));
    check_races(&lake, late.records, 22);
}

#[test]
fn objects_that_land_during_a_race_are_merged_once() {
    let whole = Lake::new(SETTINGS);
    let landed = whole.generate(&clicks(Part::All));
    whole.run(0);
    let expected = Outcome::of(&whole);
    let mut random = Seeded(222);
    for round in 0..ROUNDS {
        let lake = Lake::new(SETTINGS);
        lake.generate(&clicks(Part::OnTime));
        let mut summaries = race(&lake, 4, &mut random, || drop(lake.generate(&clicks(Part::Late))));
        summaries.push(lake.run(0));
        let outcome = Outcome::of(&lake);
        assert_eq!(outcome.rows.len(), expected.rows.len(), "round {round}");
        assert_eq!((outcome.rows, outcome.quarantine), (expected.rows.clone(), expected.quarantine.clone()), "round {round}");
        assert_eq!(leftovers(&lake), NOTHING, "round {round}");
        assert_eq!(account(&summaries).0, landed.records, "round {round}");
    }
}

/// A lake with late objects merged; and its catalog before they were.
fn amended() -> (Lake, Vec<u8>) {
    let lake = Lake::new(SETTINGS);
    lake.generate(&clicks(Part::OnTime));
    lake.run(0);
    let older = std::fs::read(lake.path(".lakebed/catalog.db")).unwrap();
    lake.generate(&clicks(Part::Late));
    lake.run(0);
    (lake, older)
}

/// Damages the catalog; one run, made for the time `at`, must bring it in step and commit nothing.
fn check_step(at: &str, damage: impl FnOnce(&Lake, Vec<u8>)) {
    let (lake, older) = amended();
    let (expected, ledgers) = (Outcome::of(&lake), Ledgers::of(&lake).0);
    damage(&lake, older);
    let in_catalog = |lake: &Lake| {
        let answer = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]);
        answer.code == 0 && answer.json(0).as_array().unwrap().iter().all(|partition| partition["in_catalog"] == true)
    };
    let quarantined = |lake: &Lake| lake.lakebed(&["query", "SELECT raw FROM shop.clicks_quarantine", "--format", "csv"]).stdout;
    assert!(!in_catalog(&lake) || quarantined(&lake).lines().count() != expected.quarantine.len() + 1, "the damage did nothing");

    let summary = lake.lakebed(&["run", "--at", at, "--output", "json"]).json(0);
    assert_eq!((&summary["tables"][0]["registered"], &summary["tables"][0]["partitions"]), (&true.into(), &serde_json::json!([])));
    Outcome::of(&lake).assert_same(&expected, "after the run");
    assert!(Ledgers::of(&lake).0 == ledgers, "the run changed a ledger");
    assert_eq!(leftovers(&lake), NOTHING);
    let again = lake.lakebed(&["run", "--at", at, "--output", "json"]).json(0);
    assert_eq!(again["tables"][0]["registered"], false, "the catalog is not in step after one run");
}

fn change_catalog(lake: &Lake, sql: &str) {
    let changed = Connection::open(lake.path(".lakebed/catalog.db")).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

#[test]
fn a_partition_that_the_catalog_lost_is_registered_by_the_next_run() {
    check_step(AT, |lake, _| change_catalog(lake, "DELETE FROM partitions WHERE name = 'clicks' AND \"values\" LIKE '%\"11\"]'"));
}

#[test]
fn a_quarantine_that_the_catalog_lost_is_registered_by_the_next_run() {
    check_step(AT, |lake, _| {
        change_catalog(lake, "DELETE FROM partitions WHERE name = 'clicks_quarantine'");
        change_catalog(lake, "DELETE FROM tables WHERE name = 'clicks_quarantine'");
        change_catalog(lake, "DELETE FROM table_versions WHERE name = 'clicks_quarantine'");
    });
}

#[test]
fn a_partition_that_the_catalog_has_elsewhere_is_put_right_by_the_next_run() {
    check_step(AT, |lake, _| change_catalog(lake, "UPDATE partitions SET location = replace(location, '/g0', '/x0'), parameters = '{}'"));
}

#[test]
fn an_older_catalog_is_brought_in_step_by_the_next_run() {
    check_step(AT, |lake, older| std::fs::write(lake.path(".lakebed/catalog.db"), older).unwrap());
}

#[test]
fn a_lost_catalog_is_made_anew_by_the_next_run() {
    check_step(AT, |lake, _| std::fs::remove_file(lake.path(".lakebed/catalog.db")).unwrap());
}

#[test]
fn a_lost_catalog_is_made_anew_with_hours_that_the_look_back_does_not_reach() {
    check_step("2026-12-24T00:00:00Z", |lake, _| std::fs::remove_file(lake.path(".lakebed/catalog.db")).unwrap());
}
