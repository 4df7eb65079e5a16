//! A repair under other rules gives rows the places that they have today, in all partitions that they leave and come to, whatever happens meanwhile.

use lakebed::hour::Place;
use lakebed::ledger::{Counts, Operation};
use lakebed::repair::{Request, repair};
use serde_json::Value;

use super::super::support::outcome::{Ledgers, assert_leftovers_are_of_dead_attempts, leftovers};
use super::super::support::{AT, Answer, Lake};
use super::placements::{Hook, ONLY_X, ONLY_Y, at_each_put, hooked};
use super::scatter::{BY_PAGE, lake, newest_intake, objects, rows, told};
use super::{refused, snapshot};

/// A lake of three objects; the rows of the first two share partitions, those of the third are alone.
pub(super) fn landed(extra: &str) -> Lake {
    let lake = lake(extra);
    lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.land("12", "b", &rows(&[("3", "10", "x"), ("4", "10", "y")]));
    lake.land("13", "c", &rows(&[("5", "13", "z")]));
    lake.run(0);
    lake
}

pub(super) fn by_rules(lake: &Lake, rules: &str) {
    lake.configure(&format!("{BY_PAGE}{rules}"));
}

/// A lake in which rows of page x belong to no page by now.
pub(super) fn by_only_y() -> Lake {
    let lake = landed("");
    by_rules(&lake, ONLY_Y);
    lake
}

pub(super) fn repaired(lake: &Lake, more: &[&str]) -> Answer {
    lake.lakebed(&[&["repair", "shop.clicks", "2026-11-19T10/p=x", "--output", "json"], more].concat())
}

/// Rows by partition, what is in quarantine, and what the ledgers say where anything is.
fn content(lake: &Lake) -> [Vec<String>; 3] {
    let (seen, mut ledgers) = told(lake);
    ledgers.retain(|line| !line.ends_with(": "));
    let has_quarantine = lake.path(".lakebed/quarantine").exists();
    let sql = "SELECT reason, object FROM shop.clicks_quarantine WHERE resolved IS NULL ORDER BY object, byte_offset";
    let bad = if has_quarantine { lake.query(sql) } else { Vec::new() };
    [seen, bad.iter().map(Value::to_string).collect(), ledgers]
}

/// What all ledgers count, in all.
fn counts(lake: &Lake) -> Counts {
    let all: Counts = Ledgers::of(lake).heads().map(|head| head.counts).sum();
    assert!(all.balance(), "{all:?}");
    all
}

#[test]
fn rows_go_where_they_belong_today_with_all_partitions_that_share_their_objects() {
    for rules in [ONLY_Y, "[table.columns.page]\nallowed = [\"y\", \"z\"]", "[table.columns.at]\nfrom = \"time\""] {
        let (lake, expected) = (landed(""), landed(rules));
        let (before, of_c) = (snapshot(lake.folder.path()), "z 2026-11-19-13: 5");
        by_rules(&lake, rules);
        let configured = snapshot(lake.folder.path());
        let planned = repaired(&lake, &["--dry-run"]).json(0);
        assert_eq!(planned["action"], "would repair");
        let others: Vec<&Value> = planned["others"].as_array().unwrap().iter().map(|other| &other["values"]["p"]).collect();
        assert!(others.contains(&&"y".into()) && !others.contains(&&"z".into()), "{rules}: {planned}");
        assert!(snapshot(lake.folder.path()) == configured && configured != before, "a dry run changes nothing");
        let text = lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10/p=x", "--dry-run"]).stdout;
        assert!(text.contains("and p=y/at_hour=2026-11-19-11, as rows of its objects have other places today: now, 1 "), "{text}");

        let done = repaired(&lake, &[]).json(0);
        assert_eq!((&done["action"], done["failures"].to_string().as_str()), (&"repaired".into(), "[]"), "{done}");
        let without_c = |content: [Vec<String>; 3]| {
            content.map(|mut lines| (lines.retain(|line| !line.ends_with(": 5") && !line.contains("c=")), lines).1)
        };
        let seen = content(&lake);
        assert!(seen[0].contains(&of_c.to_string()), "{rules}: what shares nothing with them is left: {seen:?}");
        assert_eq!(without_c(seen), without_c(content(&expected)), "{rules}");
        assert_eq!((counts(&lake).read, counts(&lake).quarantined), (5, if rules.contains("allowed = [\"y\", \"z\"]") { 2 } else { 0 }));
        let ledgers = Ledgers::of(&lake);
        assert!(ledgers.heads().filter(|head| head.partition.to_string().starts_with("p=z")).all(|head| head.version == 1));
        assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true));
        let (code, words) = (1, ["a repair moved rows between this partition and others"]);
        refused(&lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10/p=y"]), code, &words);
        assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending");
        assert_eq!(repaired(&lake, &[]).json(0)["action"], "nothing to repair");
        assert_eq!(Ledgers::of(&lake).0.len(), ledgers.0.len(), "{rules}: a repetition and a run change nothing");
        lake.run(0);
        assert_eq!(leftovers(&lake), Vec::<String>::new(), "{rules}");
        assert!(!std::fs::read_to_string(newest_intake(&lake)).unwrap().contains("moving"));
        // And back, under the rules of before, of whichever partition that has rows of them.
        by_rules(&lake, "");
        let place = if rules.contains("time") { "2026-11-19T12/p=y" } else { "2026-11-19T11/p=y" };
        let done = lake.lakebed(&["repair", "shop.clicks", place, "--output", "json"]).json(0);
        assert_eq!(done["failures"].to_string(), "[]", "{done}");
        assert_eq!(repaired(&lake, &[]).code, 0);
        assert_eq!(content(&lake)[0], content(&landed(""))[0], "{rules}");
    }
}

#[test]
fn what_was_written_over_is_taken_in_as_it_is_and_what_is_gone_or_unknown_is_not_touched() {
    let lake = landed("");
    let before = told(&lake);
    let object = lake.path("landing/2026/11/19/12/a");
    let whole = std::fs::read(&object).unwrap();
    std::fs::remove_file(&object).unwrap();
    refused(
        &repaired(&lake, &[]),
        1,
        &["1 object that it has rows or records of is not in the landing any more: 2026/11/19/12/a", "nothing was changed"],
    );
    assert_eq!(told(&lake), before);
    std::fs::write(&object, rows(&[("1", "10", "x"), ("9", "09", "y")])).unwrap();
    assert_eq!(repaired(&lake, &[]).json(0)["objects"]["changed"], 1);
    let seen = ["x 2026-11-19-10: 1 3", "y 2026-11-19-09: 9", "y 2026-11-19-10: 4", "z 2026-11-19-13: 5"];
    assert_eq!(told(&lake).0, seen);
    assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending");
    std::fs::write(&object, whole).unwrap();
    repaired(&lake, &[]).json(0);
    assert_eq!(told(&lake).0, before.0);
    lake.run(0);
    let intakes = lake.path(".lakebed/intake");
    std::fs::rename(&intakes, lake.path("kept")).unwrap();
    for more in [&["--dry-run"][..], &[]] {
        refused(&repaired(&lake, more), 1, &["the intake that says which rows of object", "is lost; nothing was changed", "--from-merged"]);
    }
    std::fs::rename(lake.path("kept"), &intakes).unwrap();
    assert_eq!(repaired(&lake, &[]).json(0)["action"], "nothing to repair");
}

#[test]
fn what_a_rollback_took_out_of_another_partition_stays_out_unless_its_rows_move() {
    let lake = landed("");
    lake.land("12", "d", &rows(&[("6", "11", "y"), ("7", "12", "y")]));
    lake.run(0);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T11/p=y"]).code, 0);
    by_rules(&lake, ONLY_Y);
    repaired(&lake, &[]).json(0);
    let seen = ["null 2026-11-19-10: 1 3", "y 2026-11-19-10: 4", "y 2026-11-19-11: 2", "y 2026-11-19-12: 7", "z 2026-11-19-13: 5"];
    assert_eq!(told(&lake).0, seen);
    assert_eq!(objects(&lake.run(0)), "4 landed 3 merged 0 rejected 1 held 0 pending");
    by_rules(&lake, ONLY_X);
    lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10/p=__HIVE_DEFAULT_PARTITION__", "--output", "json"]).json(0);
    // Of the rolled back object rows move now, to one place each.
    let seen = ["null 2026-11-19-10: 4", "null 2026-11-19-11: 2 6", "null 2026-11-19-12: 7", "x 2026-11-19-10: 1 3", "z 2026-11-19-13: 5"];
    assert_eq!(told(&lake).0, seen);
    assert_eq!(objects(&lake.run(0)), "4 landed 4 merged 0 rejected 0 held 0 pending");
}

/// The repair, in which `hook` happens between what it writes into the state location. Says why it was not done.
pub(super) async fn repair_with(lake: &Lake, hook: Hook) -> Result<(), String> {
    let app = hooked(lake, hook).await;
    // What a redrive of the same clock left has the first ids.
    (0..1000).for_each(|_| drop(app.clock.new_id()));
    let place: Place = "2026-11-19T10/p=x".parse().unwrap();
    let request = Request { table: "shop.clicks".into(), place, from_merged: false, dry_run: false };
    let done = repair(&app, &request).await.map_err(|e| e.to_string())?;
    if done.failures.is_empty() { Ok(()) } else { Err(done.failures.join("; ")) }
}

/// Whoever comes next after a repair that died before put `end`. False if it did not die. Says whether it had begun to move, and did.
async fn dies(end: usize, next: &[&str], context: &str) -> Option<(bool, bool)> {
    let lake = landed("");
    let before = content(&lake);
    by_rules(&lake, ONLY_Y);
    if repair_with(&lake, Box::new(move |put: usize, _: &str| put < end)).await.is_ok() {
        return None;
    }
    let begun = lake.path(".lakebed/moves").exists();
    let of_x = |lake: &Lake| Ledgers::of(lake).heads().find(|head| head.partition.to_string().starts_with("p=x/")).unwrap().clone();
    let was = of_x(&lake).version;
    let answer = lake.lakebed(next);
    assert_eq!(answer.code, 0, "{context}: {}{}", answer.stdout, answer.stderr);
    let seen = content(&lake);
    let expected = ["null 2026-11-19-10: 1 3", "y 2026-11-19-10: 4", "y 2026-11-19-11: 2", "z 2026-11-19-13: 5"];
    let moved = seen[0] == expected;
    assert!(moved || seen == before, "{context}: all is as before, or done: {seen:?}");
    assert_eq!(counts(&lake), Counts { read: 5, merged: 5, ..Counts::default() }, "{context}");
    if moved && was < 3 {
        assert_eq!(of_x(&lake).retired.len(), 1, "{context}: what readers may have begun with stays, be it swept");
    }
    assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending");
    assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true), "{context}");
    assert!(!std::fs::read_to_string(newest_intake(&lake)).unwrap().contains("moving"), "{context}");
    assert_eq!(content(&lake), seen, "{context}: it was ended before");
    assert_leftovers_are_of_dead_attempts(&lake, context);
    repaired(&lake, &[]).json(0);
    assert_eq!(content(&lake)[0], expected, "{context}");
    Some((begun, moved))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_dies_anywhere_is_ended_as_a_whole_by_whoever_comes_next() {
    let (mut end, mut undone, mut ended) = (0, 0, 0);
    let other = ["repair", "shop.clicks", "2026-11-19T13/p=z", "--from-merged"];
    let nexts: [&[&str]; 5] = [&["run", "--at", AT], &["sweep"], &["redrive", "shop.clicks"], &other, &["run", "--at", AT]];
    while let Some((begun, moved)) = dies(end, nexts[end % 5], &format!("dead from put {end} on, then {:?}", nexts[end % 5])).await {
        undone += usize::from(!moved);
        ended += usize::from(begun && moved);
        end += 1;
    }
    assert!(end > 20 && undone > 2 && ended > 10, "{end} puts, {undone} as before, {ended} ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_object_that_is_merged_meanwhile_is_there_once() {
    let wanted = ["null 2026-11-19-10: 1 3 6", "y 2026-11-19-10: 4", "y 2026-11-19-11: 2 7", "z 2026-11-19-13: 5"];
    let meanwhile = |lake: &Lake| {
        lake.land("12", "late", &rows(&[("6", "10", "x"), ("7", "11", "y")]));
        assert_eq!(objects(&lake.run(0)), "4 landed 4 merged 0 rejected 0 held 0 pending");
    };
    let check = |lake: &Lake, done: Result<(), String>, context: &str| {
        assert_eq!(objects(&lake.run(0)), "4 landed 4 merged 0 rejected 0 held 0 pending", "{context}");
        assert_eq!(counts(lake), Counts { read: 7, merged: 7, ..Counts::default() }, "{context}");
        assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true), "{context}");
        if done.is_err() {
            repaired(lake, &[]).json(0);
            lake.run(0);
        }
        assert_eq!(told(lake).0, wanted, "{context}");
        assert_leftovers_are_of_dead_attempts(lake, context);
    };
    let lives = |lake: &Lake, done: Result<(), String>, context: &str| {
        assert_eq!(done, Ok(()), "{context}");
        check(lake, done, context);
    };
    assert!(at_each_put(by_only_y, None, meanwhile, repair_with, lives).await > 20);
    assert!(at_each_put(by_only_y, Some(3), meanwhile, repair_with, check).await > 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn repairs_by_different_rules_at_once_place_each_row_once() {
    let meanwhile = |lake: &Lake| {
        by_rules(lake, ONLY_X);
        lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10/p=y", "--output", "json"]).json(0);
    };
    let check = |lake: &Lake, done: Result<(), String>, context: &str| {
        assert_eq!(counts(lake), Counts { read: 5, merged: 5, ..Counts::default() }, "{context}, then {done:?}");
        lake.run(0);
        let by_x = ["null 2026-11-19-10: 4", "null 2026-11-19-11: 2", "x 2026-11-19-10: 1 3", "z 2026-11-19-13: 5"];
        let by_y = ["null 2026-11-19-10: 1 3", "y 2026-11-19-10: 4", "y 2026-11-19-11: 2", "z 2026-11-19-13: 5"];
        let seen = told(lake).0;
        assert!(seen == by_x || seen == by_y, "{context}, then {done:?}: {seen:?}");
        let moves = Ledgers::of(lake).0.into_values().filter(|version| version.operation == Operation::Move).count();
        assert!(moves >= 4, "{context}: {moves}");
        assert_leftovers_are_of_dead_attempts(lake, context);
    };
    assert!(at_each_put(by_only_y, None, meanwhile, repair_with, check).await > 20);
}
