//! A repair that moves rows and did not end, or was undone: what others say and do by then.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lakebed::ledger::Operation;
use serde_json::Value;

use super::super::support::outcome::Ledgers;
use super::super::support::{Lake, files};
use super::placements::{Hook, ONLY_Y, hooked_run};
use super::places::{by_only_y, by_rules, landed, repair_with, repaired};
use super::scatter::{BY_PAGE, lake, objects, rows, told};
use super::{refused, snapshot};

const MOVED: [&str; 4] = ["null 2026-11-19-10: 1 3", "y 2026-11-19-10: 4", "y 2026-11-19-11: 2", "z 2026-11-19-13: 5"];

/// A repair of [`by_only_y`] that dies before the first put of which `dies` says so, from the number of files that its move has by then, and the path.
async fn dead(dies: fn(usize, &str) -> bool) -> Lake {
    let lake = by_only_y();
    let moves = AtomicUsize::new(0);
    let hook = move |_: usize, path: &str| {
        let lives = !dies(moves.load(Ordering::SeqCst), path);
        moves.fetch_add(usize::from(path.starts_with("moves/")), Ordering::SeqCst);
        lives
    };
    repair_with(&lake, Box::new(hook)).await.unwrap_err();
    lake
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_of_a_repair_that_did_not_end_that_it_is_ended_first() {
    let steps: [fn(usize, &str) -> bool; 6] = [
        |moves, path| moves == 1 && path.starts_with("intake/"),
        |moves, path| moves == 1 && path.starts_with("ledger/"),
        |moves, path| moves == 1 && path.starts_with("moves/"),
        |moves, path| moves == 2 && path.starts_with("intake/"),
        |moves, path| moves == 2 && path.starts_with("ledger/"),
        |moves, path| moves == 2 && path.starts_with("moves/"),
    ];
    for (step, dies) in steps.into_iter().enumerate() {
        let lake = dead(dies).await;
        let before = snapshot(lake.folder.path());
        for more in [&["--dry-run"][..], &["--dry-run", "--from-merged"]] {
            let words =
                ["a repair that moves rows between 4 partitions", "was cut off or is under way; `lakebed repair` ends it before anything"];
            refused(&repaired(&lake, more), 1, &words);
        }
        assert_eq!(snapshot(lake.folder.path()), before, "a dry run writes nothing, step {step}");
        let done = repaired(&lake, &[]).json(0);
        assert_eq!((done["failures"].to_string().as_str(), told(&lake).0), ("[]", MOVED.map(String::from).to_vec()), "step {step}");
        assert_eq!(repaired(&lake, &["--dry-run"]).json(0)["others"], Value::Array(vec![]), "step {step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_intake_of_a_repair_that_did_not_end_costs_what_that_moves_and_no_more() {
    let steps: [fn(usize, &str) -> bool; 2] =
        [|moves, path| moves == 2 && path.starts_with("intake/"), |moves, path| moves == 2 && path.starts_with("ledger/")];
    for (dies, is_lost) in steps.into_iter().flat_map(|dies| [(dies, true), (dies, false)]) {
        let lake = dead(dies).await;
        let intakes = files(&lake.path(".lakebed/intake/shop.clicks/2026-11-19T12"));
        match is_lost {
            true => std::fs::remove_dir_all(lake.path(".lakebed/intake/shop.clicks/2026-11-19T12")).unwrap(),
            false => std::fs::write(intakes.keys().next_back().unwrap(), "{").unwrap(),
        }
        lake.land("12", "late", &rows(&[("6", "12", "y")]));
        lake.land("14", "d", &rows(&[("7", "14", "y"), ("8", "11", "y")]));
        for attempt in 1..=2 {
            let run = lake.run(3);
            let failures = run["failures"].as_array().unwrap();
            let [of_hour, of_partition] = failures.as_slice() else { panic!("{failures:?}") };
            let told_of = |failure: &Value| failure["error"].as_str().unwrap().to_string();
            assert!(told_of(of_hour).starts_with("what arrived in 2026-11-19T12 is not taken in: "), "{of_hour}");
            assert!(told_of(of_hour).contains(if is_lost { "is gone; restore it" } else { "cannot be read" }), "{of_hour}");
            assert_eq!(of_partition["partition"], "p=y/at_hour=2026-11-19-11", "attempt {attempt}");
            assert!(told_of(of_partition).contains("a repair is moving rows into it or out of it, and cannot be ended"), "{of_partition}");
            assert_eq!(objects(&run), "5 landed 1 merged 0 rejected 0 held 4 pending");
            let seen = told(&lake).0;
            assert!(seen.contains(&"y 2026-11-19-14: 7".to_string()) && !seen.concat().contains('8'), "{seen:?}");
        }
        for (file, bytes) in intakes {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        assert_eq!(objects(&lake.run(0)), "5 landed 5 merged 0 rejected 0 held 0 pending");
        let all = [MOVED[0], MOVED[1], "y 2026-11-19-11: 2 8", "y 2026-11-19-12: 6", "y 2026-11-19-14: 7", MOVED[3]];
        assert_eq!(told(&lake).0, all);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_is_undone_leaves_no_partition_that_there_was_not() {
    let lake = Arc::new(by_only_y());
    let (moves, meanwhile) = (AtomicUsize::new(0), Arc::clone(&lake));
    let hook = move |_: usize, path: &str| {
        let is_of_moves = path.starts_with("moves/");
        let before = moves.fetch_add(usize::from(is_of_moves), Ordering::SeqCst);
        if is_of_moves && before == 0 {
            // The repair read this partition before, so the move is undone.
            meanwhile.land("12", "late", &rows(&[("6", "10", "y")]));
            meanwhile.run(0);
        }
        is_of_moves || before < 3
    };
    repair_with(&lake, Box::new(hook)).await.unwrap_err();
    by_rules(&lake, "");
    lake.run(0);
    assert!(Ledgers::of(&lake).heads().any(|head| head.is_void()), "the partition that rows were to go to was closed");
    assert!(Ledgers::of(&lake).0.values().all(|version| version.operation != Operation::Move));
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 3", "y 2026-11-19-10: 4 6", "y 2026-11-19-11: 2", "z 2026-11-19-13: 5"]);
    let pages: Vec<Value> = lake.partitions().iter().map(|partition| partition["values"]["p"].clone()).collect();
    assert_eq!(pages, ["x", "y", "y", "z"]);
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    assert!(!status.to_string().contains("__HIVE_DEFAULT_PARTITION__"), "{status}");
    assert_eq!(status[0]["foreign"], Value::Array(vec![]));
    by_rules(&lake, ONLY_Y);
    repaired(&lake, &[]).json(0);
    assert_eq!(told(&lake).0, [MOVED[0], "y 2026-11-19-10: 4 6", MOVED[2], MOVED[3]]);
    assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_judge_what_was_moved_since_by_what_was_written_down_before() {
    let lake = Arc::new(lake(""));
    lake.land("12", "a", &rows(&[("1", "11", "y"), ("2", "12", "y")]));
    let (happened, meanwhile) = (Arc::new(AtomicBool::new(false)), Arc::clone(&lake));
    let happens = Arc::clone(&happened);
    let hook: Hook = Box::new(move |_: usize, path: &str| {
        if path.starts_with("ledger/shop.clicks/p=y/at_hour=2026-11-19-12/") && !happens.swap(true, Ordering::SeqCst) {
            meanwhile.run(0);
            by_rules(&meanwhile, "[table.columns.at]\nfrom = \"time\"");
            meanwhile.lakebed(&["repair", "shop.clicks", "2026-11-19T12/p=y", "--output", "json"]).json(0);
        }
        true
    });
    let summary = hooked_run(&lake, hook).await;
    assert!(happened.load(Ordering::SeqCst));
    assert!(summary.failures.is_empty(), "{:?}", summary.failures);
    assert_eq!(told(&lake).0, ["y 2026-11-19-12: 1 2"]);
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
}

#[test]
fn other_settings_in_the_configuration_let_no_rollback_lead_back_behind_a_move_and_hide_nothing() {
    let lake = landed("");
    by_rules(&lake, ONLY_Y);
    repaired(&lake, &[]).json(0);
    lake.land("12", "late", &rows(&[("6", "10", "y")]));
    lake.run(0);
    lake.configure("partition_by = \"p=y/at_hour=!{timestamp:yyyy-MM-dd-HH}\"\n");
    let back = |to: &str| lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10", "--to", to]);
    refused(&back("g00000001"), 2, &["a repair moved rows between this partition and others"]);
    assert_eq!(back("g00000003").code, 0, "to what the move made of it");
    refused(&lake.lakebed(&["run"]), 2, &["the table was made with"]);
    for arguments in [&["status"][..], &["partitions", "shop.clicks"], &["sweep"], &["query", "SELECT count(*) FROM shop.clicks"]] {
        let answer = lake.lakebed(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}{}", answer.stdout, answer.stderr);
    }
    lake.configure(&format!("{BY_PAGE}{ONLY_Y}"));
    assert_eq!(told(&lake).0, MOVED);
    let unknown: Vec<PathBuf> = files(&lake.path(".lakebed/moves")).into_keys().collect();
    assert_eq!(unknown.len(), 3, "{unknown:?}");
}
