//! A repair of what redrives moved: it reads the records where they landed, in all partitions that have rows of them, whatever happens meanwhile.

use lakebed::ledger::{Counts, LedgerVersion};
use serde_json::{Value, json};

use super::super::support::outcome::{Ledgers, assert_leftovers_are_of_dead_attempts, leftovers};
use super::super::support::{AT, Lake, files};
use super::moved::{IN_PLACE, RULES, document, quarantine, quarantined, record, redriven, redriven_after, whole_file};
use super::placements::at_each_put;
use super::places::{repair_with, repaired};
use super::redrive::{ERRORS, land_errors, millis, report};
use super::refused;
use super::scatter::{BY_PAGE, objects, rows, told};

/// What is in [`quarantined`] before anything is redriven.
const APART: [&str; 4] = ["x 2026-11-19-10: 1 4 5", "x 2026-11-19-13: 6 60", "y 2026-11-19-12: 2", "z 2026-11-19-12: 0 3 8 9"];

const X: &str = "2026-11-19T10/p=x";

/// A lake whose quarantined records were redriven.
fn in_place() -> Lake {
    let lake = quarantined("");
    document(&lake, &[]);
    lake
}

fn stricter(lake: &Lake) {
    lake.configure(&format!("{BY_PAGE}{RULES}"));
}

fn wider(lake: &Lake) {
    lake.configure(&format!("{BY_PAGE}{}", RULES.replace('5', "10")));
}

/// What all ledgers count, in all.
fn counts(lake: &Lake) -> Counts {
    let all: Counts = Ledgers::of(lake).heads().map(|head| head.counts).sum();
    assert!(all.balance(), "{all:?}");
    all
}

/// The newest versions that have rows of a redrive.
fn with_rows_of_redrives(lake: &Lake) -> Vec<LedgerVersion> {
    let is_one = |head: &&LedgerVersion| head.sources.iter().chain(&head.held).any(|source| source.key.contains("//"));
    Ledgers::of(lake).heads().filter(is_one).cloned().collect()
}

/// All is as it would be had the rules been so from the start.
fn assert_together(lake: &Lake, seen: &[&str], context: &str) {
    assert_eq!(told(lake).0, seen, "{context}");
    assert_eq!(with_rows_of_redrives(lake), [], "{context}");
    let all = counts(lake);
    assert_eq!((all.read, all.moved, all.resolved, all.merged + all.quarantined), (17, 0, 0, 17), "{context}");
    assert!(files(&lake.path(".lakebed/redriven")).is_empty() && files(&lake.path(".lakebed/moving")).is_empty(), "{context}");
    assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending", "{context}");
    assert_eq!(told(lake).0, seen, "{context}, and a run");
    assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true), "{context}");
}

#[test]
fn what_a_redrive_moved_is_read_where_it_landed_under_todays_rules() {
    for place in [X, "2026-11-19T11/p=y", "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__"] {
        let lake = in_place();
        let repair = |more: &[&str]| {
            let done = lake.lakebed(&[&["repair", "shop.clicks", place, "--output", "json"], more].concat()).json(0);
            assert_eq!(done["failures"], json!([]), "{done}");
            done
        };
        assert_eq!(repair(&["--dry-run"])["action"], "would repair");
        assert_eq!(repair(&[])["action"], "repaired");
        assert_together(&lake, &IN_PLACE, place);
        assert_eq!(quarantine(&lake), ["rule_broken null false", "type_mismatch null false"]);
        assert_eq!(repair(&[])["action"], "nothing to repair");
        lake.run(0);
        assert_eq!(leftovers(&lake), Vec::<String>::new());
        // What does not pass any more goes back, and a redrive under the rules that are right moves it again.
        stricter(&lake);
        repair(&[]);
        assert_eq!(told(&lake).0[..APART.len() - 1], APART[..APART.len() - 1], "{place}");
        assert_eq!(quarantine(&lake).len(), 7);
        wider(&lake);
        document(&lake, &[]);
        assert_eq!(told(&lake).0, IN_PLACE, "{place}");
        assert_eq!(counts(&lake).moved, 4);
        repair(&[]);
        assert_together(&lake, &IN_PLACE, place);
    }
}

#[test]
fn what_a_rollback_took_out_comes_back_and_nothing_is_there_twice() {
    let lake = in_place();
    lake.set("grace", "0s");
    lake.land("13", "late", &rows(&[("7", "10", "x")]));
    lake.run(0);
    for _ in 0..2 {
        assert_eq!(lake.lakebed(&["rollback", "shop.clicks", X, "--to", "g00000001"]).code, 0);
        assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5");
        assert_eq!(lake.lakebed(&["sweep"]).code, 0);
        let done = repaired(&lake, &[]).json(0);
        assert_eq!((&done["action"], done["failures"].to_string().as_str()), (&json!("repaired"), "[]"), "{done}");
        assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5 7 a c f");
        assert_eq!(lake.run(0)["tables"][0]["warnings"], json!([]));
        // Behind the repair there is nothing to go back to: the rows are elsewhere there.
        let back = lake.lakebed(&["rollback", "shop.clicks", X]);
        if back.code == 1 {
            assert!(back.stderr.contains("a repair moved rows between this partition and others"), "{}", back.stderr);
            break;
        }
    }
    assert_eq!(lake.lakebed(&["sweep"]).code, 0);
    assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5 7 a c f");
    assert_eq!(leftovers(&lake), Vec::<String>::new());
}

#[test]
fn what_waits_or_is_lost_on_its_way_is_in_the_landing_still() {
    for is_lost in [false, true] {
        let lake = quarantined("");
        let (file, _) = whole_file(&lake);
        if is_lost {
            std::fs::remove_file(file).unwrap();
        }
        let place = "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__";
        let done = lake.lakebed(&["repair", "shop.clicks", place, "--output", "json"]).json(0);
        assert_eq!(done["failures"], json!([]), "{done}");
        // The other arrival hour's waits still, and shares no object with it.
        lake.run(0);
        lake.lakebed(&["repair", "shop.clicks", "2026-11-19T13/p=__HIVE_DEFAULT_PARTITION__", "--output", "json"]).json(0);
        assert_together(&lake, &IN_PLACE, &format!("lost: {is_lost}"));
        assert_leftovers_are_of_dead_attempts(&lake, "a redrive that died, and a repair");
    }
}

#[test]
fn what_a_rollback_took_out_and_is_gone_keeps_its_way_back() {
    let lake = in_place();
    let late = lake.land("13", "late", &rows(&[("7", "10", "x")]));
    lake.run(0);
    let with_it = told(&lake).0;
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", X]).code, 0);
    let without = told(&lake).0;
    assert_ne!(with_it, without);
    let whole = std::fs::read(&late).unwrap();
    std::fs::remove_file(&late).unwrap();
    // Another partition is asked for.
    let place = "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__";
    let repair = || lake.lakebed(&["repair", "shop.clicks", place, "--output", "json"]);
    refused(
        &repair(),
        1,
        &["a rollback took 1 object out of it that is not in the landing any more, 2026/11/19/13/late for one", "nothing was changed"],
    );
    assert_eq!(told(&lake).0, without);
    std::fs::write(&late, whole).unwrap();
    assert_eq!(repair().json(0)["failures"], json!([]));
}

#[test]
fn rows_whose_object_is_gone_are_not_touched() {
    let lake = in_place();
    let object = lake.path("landing/2026/11/19/13/c");
    let whole = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    refused(
        &repaired(&lake, &[]),
        1,
        &["1 object that it has rows or records of is not in the landing any more: 2026/11/19/13/c", "nothing was changed"],
    );
    assert_eq!(told(&lake).0, IN_PLACE);
    std::fs::write(&object, whole).unwrap();
    repaired(&lake, &[]).json(0);
    assert_together(&lake, &IN_PLACE, "it is back");
}

/// Whoever comes next after a repair that died before put `end`; false if it did not die.
async fn dies(end: usize, lake: fn() -> Lake, next: &[&str], context: &str) -> bool {
    let lake = lake();
    if repair_with(&lake, Box::new(move |put: usize, _: &str| put < end)).await.is_ok() {
        return false;
    }
    let answer = lake.lakebed(next);
    assert_eq!(answer.code, 0, "{context}: {}{}", answer.stdout, answer.stderr);
    lake.run(0);
    assert_eq!(told(&lake).0, IN_PLACE, "{context}");
    let all = counts(&lake);
    assert_eq!(all.read - all.moved, 17, "{context}: {all:?}");
    assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending", "{context}");
    assert_leftovers_are_of_dead_attempts(&lake, context);
    repaired(&lake, &[]).json(0);
    assert_together(&lake, &IN_PLACE, context);
    true
}

/// A redrive died before the other partitions got their rows.
fn waiting() -> Lake {
    let lake = quarantined("");
    std::thread::scope(|scope| drop(scope.spawn(|| whole_file(&lake)).join().unwrap()));
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_dies_anywhere_leaves_each_row_once() {
    let nexts: [&[&str]; 4] = [&["run", "--at", AT], &["sweep"], &["redrive", "shop.clicks"], &["run", "--at", AT]];
    let mut end = 0;
    while dies(end, in_place, nexts[end % 4], &format!("dead from put {end} on, then {:?}", nexts[end % 4])).await {
        end += 1;
    }
    assert!(end > 20, "{end} puts");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_meanwhile_neither_doubles_nor_loses_a_row() {
    let check = |lake: &Lake, done: Result<(), String>, context: &str| {
        lake.run(0);
        assert_eq!(told(lake).0, IN_PLACE, "{context}, then {done:?}");
        let all = counts(lake);
        assert_eq!(all.read - all.moved, 17, "{context}, then {done:?}: {all:?}");
        assert_leftovers_are_of_dead_attempts(lake, context);
        repaired(lake, &[]).json(0);
        assert_together(lake, &IN_PLACE, context);
    };
    let runs = |lake: &Lake| drop(lake.lakebed(&["run", "--at", AT]));
    let redrives = |lake: &Lake| drop(lake.lakebed(&["redrive", "shop.clicks"]));
    assert!(at_each_put(waiting, None, runs, repair_with, check).await > 20);
    assert!(at_each_put(|| quarantined(""), None, redrives, repair_with, check).await > 2);
    assert!(at_each_put(waiting, Some(4), redrives, repair_with, check).await > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_moves_rows_on_meanwhile_does_not_move_what_a_repair_put_together() {
    let repairs = |lake: &Lake| drop(lake.lakebed(&["repair", "shop.clicks", "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__"]));
    let check = |lake: &Lake, _: bool, context: &str| {
        lake.run(0);
        document(lake, &[]);
        assert_eq!(told(lake).0, IN_PLACE, "{context}");
        let all = counts(lake);
        assert_eq!(all.read - all.moved, 17, "{context}: {all:?}");
        assert_leftovers_are_of_dead_attempts(lake, context);
    };
    assert!(at_each_put(|| quarantined(""), None, repairs, redriven, check).await > 5);
    assert!(at_each_put(waiting, None, repairs, async |lake: &Lake, hook| redriven_after(1000, lake, hook).await, check).await > 2);
    let run = async |lake: &Lake, hook| super::placements::hooked_run(lake, hook).await.failures.is_empty();
    assert!(at_each_put(waiting, None, repairs, run, check).await > 2);
}

#[test]
fn reports_of_firehose_are_read_again_and_their_rows_move_on_again() {
    let lake = quarantined(ERRORS);
    let reports = [(12, record("g", "10", "x", "7")), (13, record("h", "13", "x", "3")), (13, "{\"sequence\":\"q\"}".to_string())];
    let reports: String = reports.iter().map(|(hour, record)| report(Some(millis(*hour)), record.as_bytes())).collect();
    land_errors(&lake, "13", &reports);
    document(&lake, &[]);
    let seen = ["null 2026-11-19-12: home", "x 2026-11-19-10: 1 4 5 a c f g", "x 2026-11-19-13: 6 60 h"];
    let rest = ["y 2026-11-19-11: b", "y 2026-11-19-12: 2", "z 2026-11-19-12: 0 3 8 9"];
    let seen = [&seen[..], &rest[..]].concat();
    assert_eq!(told(&lake).0, seen);
    let before = counts(&lake);
    assert_eq!(before.read - before.moved, 20);
    for place in [X, "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__", "2026-11-19T13/p=__HIVE_DEFAULT_PARTITION__", X] {
        let done = lake.lakebed(&["repair", "shop.clicks", place, "--output", "json"]).json(0);
        assert_eq!(done["failures"], json!([]), "{done}");
        assert_eq!(told(&lake).0, seen, "{place}");
        let all = counts(&lake);
        assert_eq!((all.read - all.moved, all.quarantined), (20, 3), "{place}: {all:?}");
        lake.run(0);
        assert_eq!(leftovers(&lake), Vec::<String>::new(), "{place}");
        document(&lake, &[]);
        assert_eq!(told(&lake).0, seen, "{place}, and a run and a redrive");
    }
    let moved: Vec<Value> = with_rows_of_redrives(&lake).iter().map(|head| head.partition.to_string().into()).collect();
    assert_eq!(moved, ["p=x/at_hour=2026-11-19-10", "p=x/at_hour=2026-11-19-13"], "what landed as data is together");
}
