//! A repair that moves rows and did not end, or was undone: what others say and do by then.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lakebed::ledger::{LedgerVersion, Operation};
use lakebed::pipeline::{self, Request};
use serde_json::{Value, json};

use super::super::support::outcome::Ledgers;
use super::super::support::{AT, Lake, files};
use super::placements::{Hook, ONLY_X, ONLY_Y, hiding_run, hooked, hooked_run};
use super::places::{by_only_y, by_rules, landed, repair_with, repaired};
use super::scatter::{BY_PAGE, lake, newest_intake, objects, row, rows, told};
use super::{refused, snapshot};

/// Settings by which all that arrives in an hour is in one partition, with the keys of [`BY_PAGE`].
const SCATTERS_NO_MORE: &str = "partition_by = \"p=y/at_hour=!{timestamp:yyyy-MM-dd-HH}\"\n";

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

/// What a failure says.
fn told_of(failure: &Value) -> &str {
    failure["error"].as_str().unwrap()
}

/// The failures of a run whose move cannot be ended: of the hour 12, of the move, and of the partition that more came for.
fn stuck(run: &Value) -> [Value; 3] {
    let failures: [Value; 3] = run["failures"].as_array().unwrap().clone().try_into().unwrap();
    assert!(told_of(&failures[0]).starts_with("what arrived in 2026-11-19T12 is not taken in: "), "{failures:?}");
    failures
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
            let [of_hour, of_move, of_partition] = stuck(&run);
            assert!(told_of(&of_move).starts_with("a repair that moves rows between 4 partitions (p=__HIVE_DEFAULT_"), "{of_move}");
            assert!(told_of(&of_hour).contains(if is_lost { "is gone; restore it" } else { "cannot be read" }), "{of_hour}");
            assert_eq!(of_partition["partition"], "p=y/at_hour=2026-11-19-11", "attempt {attempt}");
            assert!(told_of(&of_partition).contains("a repair is moving rows into it or out of it, and cannot be ended"), "{of_partition}");
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

#[test]
fn a_lost_intake_after_some_partitions_were_made_anew_is_told_with_these_and_holds_nothing_back_once_it_is_there() {
    let lake = by_only_y();
    let (catalog, intake) = (lake.path(".lakebed/catalog.db"), lake.path(".lakebed/intake/shop.clicks/2026-11-19T12"));
    let shown = std::fs::read(&catalog).unwrap();
    repaired(&lake, &[]).json(0);
    // As if it had died when the first partition had its version.
    let first = "p=y/at_hour=2026-11-19-11";
    let moved = |version: &LedgerVersion| version.operation == Operation::Move && version.partition.to_string() != first;
    let gone: Vec<PathBuf> = Ledgers::of(&lake).0.into_iter().filter(|(_, version)| moved(version)).map(|(file, _)| file).collect();
    assert_eq!(gone.len(), 3);
    gone.into_iter()
        .chain([lake.path(".lakebed/moves/shop.clicks/00000000000000000003.json")])
        .for_each(|file| std::fs::remove_file(file).unwrap());
    std::fs::write(&catalog, shown).unwrap();
    let intakes = files(&intake);
    std::fs::remove_dir_all(&intake).unwrap();
    lake.land("14", "d", &rows(&[("7", "14", "y"), ("8", "11", "y")]));
    for attempt in 1..=3 {
        let run = lake.run(3);
        let [_, of_move, of_partition] = stuck(&run);
        let words = [
            "a repair that moves rows between 4 partitions (",
            "p=x/at_hour=2026-11-19-10",
            first,
            "may be in the table twice or not at all",
        ];
        assert!(words.iter().all(|word| told_of(&of_move).contains(word)), "{of_move}");
        assert_eq!(
            (&of_partition["partition"], &of_partition["failing"]),
            (&first.into(), &Value::Null),
            "attempt {attempt}: {of_partition}"
        );
        assert!(told_of(&of_partition).contains("cannot be ended: the intake of 2026-11-19T12 is gone; restore it"), "{of_partition}");
    }
    std::fs::create_dir_all(&intake).unwrap();
    intakes.into_iter().for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
    assert_eq!(objects(&lake.run(0)), "4 landed 4 merged 0 rejected 0 held 0 pending");
    assert_eq!(told(&lake).0, [MOVED[0], MOVED[1], "y 2026-11-19-11: 2 8", "y 2026-11-19-14: 7", MOVED[3]]);
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
    assert_eq!(of_null(&lake), ["closed", "closed", "late 0"], "rows that were moved into it are its first");
}

/// Where the rows of [`by_only_y`] that belong to no page go.
const NULL: &str = "2026-11-19T10/p=__HIVE_DEFAULT_PARTITION__";

/// The states of that partition by `partitions` and `status`, and how many late objects it has.
fn of_null(lake: &Lake) -> [String; 3] {
    let is_null = |partition: &&Value| partition.to_string().contains("__HIVE_DEFAULT_PARTITION__");
    let partitions = lake.partitions();
    let of_catalog = partitions.iter().find(is_null).unwrap();
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let hour = status[0]["hours"].as_array().unwrap().iter().find(is_null).unwrap();
    [&of_catalog["state"], &hour["state"]]
        .map(|state| state.as_str().unwrap().to_string())
        .into_iter()
        .chain([format!("late {}", hour["late"])])
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_only_closed_was_never_merged_and_what_follows_is_its_first() {
    // As an undone move leaves it: all but the partition's closing version is taken away again.
    let lake = by_only_y();
    repair_with(&lake, Box::new(|_, path: &str| !path.starts_with("moves/") || path.contains("00000001.json"))).await.unwrap_err();
    let closing: Vec<PathBuf> = Ledgers::of(&lake).0.into_iter().filter(|(_, version)| version.is_void()).map(|(file, _)| file).collect();
    let [closing] = closing.as_slice() else { panic!("{closing:?}") };
    lake.land("12", "late", &rows(&[("6", "10", "y")]));
    std::fs::remove_dir_all(lake.path(".lakebed/moves")).unwrap();
    for (file, bytes) in files(&lake.path(".lakebed/intake")) {
        if String::from_utf8_lossy(&bytes).contains("moving") {
            std::fs::remove_file(file).unwrap();
        }
    }
    by_rules(&lake, "");
    lake.run(0);
    refused(&lake.lakebed(&["rollback", "shop.clicks", NULL]), 2, &["it was never merged"]);
    for more in [&[][..], &["--from-merged"]] {
        refused(&lake.lakebed(&[&["repair", "shop.clicks", NULL], more].concat()), 2, &["was never merged, so there is nothing to repair"]);
    }
    refused(&lake.lakebed(&["redrive", "shop.clicks", "--hour", NULL]), 2, &["nothing was merged for 2026-11-19T10"]);

    lake.land("12", "null", row("7", "2026-11-19T10:30:00Z", "x").replace("\"x\"", "null").as_bytes());
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["partitions"][0]["action"], "created", "{run}");
    assert_eq!(of_null(&lake), ["closed", "closed", "late 0"]);
    assert_eq!(told(&lake).0[0], "null 2026-11-19-10: 7");
    refused(&lake.lakebed(&["rollback", "shop.clicks", NULL]), 1, &["there is no generation to go back to"]);
    lake.land("12", "null-2", row("8", "2026-11-19T10:30:00Z", "x").replace("\"x\"", "null").as_bytes());
    assert_eq!(lake.run(0)["tables"][0]["partitions"][0]["action"], "amended");
    assert_eq!(of_null(&lake), ["amended(1)", "amended(1)", "late 1"]);

    // A lakebed before this one took the generation of the closing version for one that was live.
    let newest = closing.with_file_name("00000000000000000003.json");
    let mut version: Value = serde_json::from_slice(&std::fs::read(&newest).unwrap()).unwrap();
    let void: Value = serde_json::from_slice(&std::fs::read(closing).unwrap()).unwrap();
    let retired = json!({"location": void["generation"]["location"], "files": [], "at": void["at"]});
    version["retired"].as_array_mut().unwrap().insert(0, retired);
    std::fs::write(&newest, version.to_string()).unwrap();
    refused(&lake.lakebed(&["rollback", "shop.clicks", NULL, "--to", "g00000001"]), 1, &["g00000001-", "nothing was merged yet"]);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", NULL]).code, 0);
    assert_eq!(told(&lake).0[0], "null 2026-11-19-10: 7");
    version["retired"].as_array_mut().unwrap().truncate(1);
    std::fs::remove_file(closing.with_file_name("00000000000000000004.json")).unwrap();
    std::fs::write(&newest, version.to_string()).unwrap();
    refused(&lake.lakebed(&["rollback", "shop.clicks", NULL]), 1, &["there is no generation to go back to", "nothing was merged yet"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_was_only_closed_is_no_hour_that_is_done() {
    let lake = lake("");
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    lake.run(0);
    // As a run leaves it that died before the first partition had its share.
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger")).unwrap();
    std::fs::remove_dir_all(lake.path("lake")).unwrap();
    std::fs::remove_file(lake.path(".lakebed/catalog.db")).unwrap();
    by_rules(&lake, ONLY_X);
    // The next one dies between the closing of the partitions and the new places.
    let app = hooked(&lake, Box::new(|_, path: &str| !(path.starts_with("intake/") && path.contains("00000003.json")))).await;
    let request = Request { table: None, at: AT.parse().unwrap(), since: None, dry_run: false, until: None };
    drop(pipeline::run(&app, &request).await);
    assert!(Ledgers::of(&lake).heads().all(|head| head.is_void()) && Ledgers::of(&lake).0.len() > 1, "{:?}", Ledgers::of(&lake).0);
    std::fs::remove_file(object).unwrap();
    let run = lake.run(1);
    assert!(Ledgers::of(&lake).heads().all(|head| head.is_void()), "{run}");
    assert_eq!((lake.partitions(), lake.rows()), (vec![], vec![]), "{run}");
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
    lake.configure(SCATTERS_NO_MORE);
    let back = |to: &str| lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10", "--to", to]);
    refused(&back("g00000001"), 1, &["a repair moved rows between this partition and others"]);
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

#[test]
fn a_table_that_was_made_anew_with_other_settings_goes_back_behind_no_move() {
    let lake = landed("");
    by_rules(&lake, ONLY_Y);
    repaired(&lake, &[]).json(0);
    lake.land("12", "late", &rows(&[("6", "10", "y")]));
    lake.run(0);
    std::fs::remove_file(lake.path(".lakebed/catalog.db")).unwrap();
    lake.configure(SCATTERS_NO_MORE);
    lake.run(0);
    let back = |to: &str| lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10", "--to", to]);
    refused(&back("g00000001"), 1, &["a repair moved rows between this partition and others"]);
    let closing = lake.path(".lakebed/ledger/shop.clicks/p=y/at_hour=2026-11-19-10/00000000000000000003.json");
    let bytes = std::fs::read(&closing).unwrap();
    std::fs::remove_file(&closing).unwrap();
    refused(&back("g00000001"), 1, &["ledger version 3 is gone", "restore the state location"]);
    std::fs::write(&closing, bytes).unwrap();
    assert_eq!(back("g00000003").code, 0, "to what the move made of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_partitions_still_need_of_the_queue_stays_also_where_the_configuration_scatters_no_more() {
    let lake = lake("");
    let object = lake.land("12", "a", &rows(&[("1", "10", "x"), ("2", "11", "y")]));
    let app = hooked(&lake, Box::new(|_, path: &str| !path.starts_with("ledger/shop.clicks/p=y/"))).await;
    let request = Request { table: None, at: AT.parse().unwrap(), since: None, dry_run: false, until: None };
    drop(pipeline::run(&app, &request).await);
    let staged = files(&lake.path(".lakebed/queue"));
    assert_eq!((staged.len(), told(&lake).1), (1, vec!["p=x/at_hour=2026-11-19-10: a=1".to_string()]));
    lake.configure(SCATTERS_NO_MORE);
    lake.set("grace", "0s");
    assert_eq!(lake.lakebed(&["sweep"]).code, 0);
    assert_eq!(files(&lake.path(".lakebed/queue")), staged);
    std::fs::remove_file(object).unwrap();
    lake.configure(BY_PAGE);
    lake.run(0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1", "y 2026-11-19-11: 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_of_which_it_cannot_be_told_whether_it_is_whole_goes_nowhere() {
    let lake = lake("");
    for object in ["a", "b"] {
        lake.land("12", object, &rows(&[(&format!("{object}1"), "10", "x"), (&format!("{object}2"), "11", "y")]));
    }
    lake.run(0);
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    std::fs::remove_dir_all(lake.path(".lakebed/ledger/shop.clicks/p=y")).unwrap();
    // One of their partitions holds something else of both than their shares.
    let (head, bytes) = files(&lake.path(".lakebed/ledger/shop.clicks/p=x")).into_iter().next_back().unwrap();
    let mut version: Value = serde_json::from_slice(&bytes).unwrap();
    version["sources"].as_array_mut().unwrap().iter_mut().for_each(|source| source["counts"]["read"] = 2.into());
    std::fs::write(head, version.to_string()).unwrap();
    let summary = hiding_run(&lake, "intake/shop.clicks/2026-11-19T12/00000000000000000002.json").await;
    let lines: Vec<String> = summary.failures.iter().map(|failure| failure.line()).collect();
    assert!(lines.len() == 1 && lines[0].contains("what arrived in 2026-11-19T12 is not taken in"), "{lines:?}");
    assert!(!lake.path(".lakebed/ledger/shop.clicks/p=y").exists());
}
