//! `redrive` where rows scatter: quarantined records go to the partitions where their rows belong, each once, whatever happens meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use lakebed::redrive::{Request, redrive};
use serde_json::{Value, json};

use super::super::support::outcome::{Ledgers, Outcome, assert_leftovers_are_of_dead_attempts, leftovers};
use super::super::support::{Lake, files};
use super::placements::{at_each_put, hiding_run, hooked, hooked_run};
use super::scatter::{BY_PAGE, lake, newest_intake, objects, row, rows, told};
use super::{refused, snapshot};

pub(super) const RULES: &str = "[table.columns.sequence]\nmax = 5";

/// A record with this sequence.
pub(super) fn record(id: &str, hour: &str, page: &str, sequence: &str) -> String {
    row(id, &format!("2026-11-19T{hour}:30:00Z"), page).replace("\"sequence\":1", &format!("\"sequence\":{sequence}"))
}

/// A lake with two arrival hours whose quarantines have records for three partitions and one for that of the arrival hour. One breaks the
/// corrected rule too, and one has another type.
pub(super) fn quarantined(extra: &str) -> Lake {
    let lake = lake(&format!("{extra}{RULES}"));
    let good = [("1", "10", "x"), ("2", "12", "y"), ("3", "12", "z"), ("8", "12", "z"), ("9", "12", "z")];
    let home = r#"{"event_id":"home","sequence":7,"at":"2026-11-19T12:10:00Z"}"#;
    let bad = [record("a", "10", "x", "7"), record("b", "11", "y", "8"), record("c", "10", "x", "9"), home.to_string()].concat();
    lake.land("12", "a", &[rows(&good), bad.into_bytes()].concat());
    let still = [record("d", "10", "x", "50"), record("e", "10", "x", "\"x\"")].concat();
    lake.land("12", "b", &[rows(&[("4", "10", "x"), ("5", "10", "x"), ("0", "12", "z")]), still.into_bytes()].concat());
    lake.land("13", "c", &[rows(&[("6", "13", "x"), ("60", "13", "x")]), record("f", "10", "x", "6").into_bytes()].concat());
    lake.run(0);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 4 5", "x 2026-11-19-13: 6 60", "y 2026-11-19-12: 2", "z 2026-11-19-12: 0 3 8 9"]);
    lake.configure(&format!("{BY_PAGE}{extra}{}", RULES.replace('5', "10")));
    lake
}

/// What is in [`quarantined`] once all that fits is in the table.
pub(super) const IN_PLACE: [&str; 6] = [
    "null 2026-11-19-12: home",
    "x 2026-11-19-10: 1 4 5 a c f",
    "x 2026-11-19-13: 6 60",
    "y 2026-11-19-11: b",
    "y 2026-11-19-12: 2",
    "z 2026-11-19-12: 0 3 8 9",
];

pub(super) fn document(lake: &Lake, more: &[&str]) -> Value {
    lake.lakebed(&[&["redrive", "shop.clicks", "--output", "json"], more].concat()).json(0)
}

/// The records in quarantine, resolved ones too: reason, attempts, whether resolved.
pub(super) fn quarantine(lake: &Lake) -> Vec<String> {
    let sql = "SELECT reason, attempts, resolved IS NOT NULL AS resolved FROM shop.clicks_quarantine ORDER BY object, byte_offset";
    lake.query(sql).iter().map(|row| format!("{} {} {}", row["reason"].as_str().unwrap(), row["attempts"], row["resolved"])).collect()
}

const RESOLVED: &str = "rule_broken null true";

#[test]
fn quarantined_records_go_to_the_partitions_of_their_rows_and_are_resolved() {
    let lake = quarantined("");
    let before = snapshot(lake.folder.path());
    let planned = document(&lake, &["--dry-run"]);
    let total = |of: &Value| ["records", "passes", "fails", "resolved"].map(|name| of["total"][name].as_u64().unwrap());
    assert_eq!(total(&planned), [7, 5, 2, 0]);
    let bound = |page: &str, hour: &str, rows: u64| json!({"values": {"p": page, "at_hour": format!("2026-11-19-{hour}")}, "rows": rows});
    assert_eq!(planned["would_move"], json!([bound("x", "10", 3), bound("y", "11", 1)]));
    let text = lake.lakebed(&["redrive", "shop.clicks", "--dry-run"]).stdout;
    assert!(text.contains("would move 3 rows into p=x/at_hour=2026-11-19-10\n"), "{text}");
    let of_hour = document(&lake, &["--dry-run", "--hour", "2026-11-19T13", "--reason", "rule_broken"]);
    assert_eq!(of_hour["would_move"], json!([bound("x", "10", 1)]));
    assert_eq!(snapshot(lake.folder.path()), before, "a dry run writes nothing");

    let done = document(&lake, &[]);
    assert_eq!((total(&done), done["partitions"].as_array().unwrap().len()), ([7, 5, 2, 0], 2), "{done}");
    assert_eq!(done["would_move"], json!([]));
    let moved = done["moved"].as_array().unwrap();
    let moved: Vec<String> =
        moved.iter().map(|into| format!("{} {} {}", into["values"]["p"], into["values"]["at_hour"], into["records"]["merged"])).collect();
    assert_eq!(moved, ["\"x\" \"2026-11-19-10\" 3", "\"y\" \"2026-11-19-11\" 1"]);
    assert_eq!(told(&lake).0, IN_PLACE);
    let expected = [RESOLVED, RESOLVED, RESOLVED, RESOLVED, "rule_broken 1 false", "type_mismatch 1 false", RESOLVED];
    assert_eq!(quarantine(&lake), expected);
    let ledgers = Ledgers::of(&lake);
    let home = ledgers.heads().find(|head| head.partition.to_string() == "p=__HIVE_DEFAULT_PARTITION__/at_hour=2026-11-19-12").unwrap();
    let counts = json!({"read": 6, "merged": 1, "quarantined": 2, "duplicates": 0, "dropped": 0, "resolved": 4, "moved": 3});
    assert_eq!(serde_json::to_value(home.counts).unwrap(), counts);
    assert_eq!(leftovers(&lake), Vec::<String>::new());
    assert!(lake.partitions().iter().all(|partition| partition["in_catalog"] == true));

    let versions = ledgers.0.len();
    assert_eq!(total(&document(&lake, &[])), [2, 0, 2, 5]);
    assert_eq!(objects(&lake.run(0)), "3 landed 3 merged 0 rejected 0 held 0 pending");
    assert_eq!(Ledgers::of(&lake).0.len(), versions, "a repetition and a run change nothing");
    lake.configure(BY_PAGE);
    document(&lake, &["--hour", "2026-11-19T12", "--reason", "rule_broken"]);
    assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5 a c d f", "what failed again is tried again");
    assert_eq!(leftovers(&lake), Vec::<String>::new());
}

#[test]
fn events_are_compared_where_they_belong_and_order_holds() {
    let merge = "[table.merge]\ndeduplicate_by = [\"event_id\"]\nsort_by = [\"event_id\"]\n";
    let lake = lake(&format!("{merge}{RULES}"));
    let bad = [record("1", "10", "x", "7"), record("0", "10", "x", "7"), record("0", "10", "x", "8"), record("0", "11", "x", "8")].concat();
    lake.land(
        "12",
        "a",
        &[rows(&[("1", "10", "x"), ("2", "10", "x"), ("3", "10", "x"), ("4", "10", "x"), ("5", "12", "x")]), bad.into_bytes()].concat(),
    );
    lake.run(0);
    lake.configure(&format!("{BY_PAGE}{merge}"));
    let done = document(&lake, &[]);
    assert_eq!((&done["moved"][0]["records"]["merged"], &done["moved"][0]["records"]["duplicates"]), (&json!(1), &json!(2)), "{done}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 0 1 2 3 4", "x 2026-11-19-11: 0", "x 2026-11-19-12: 5"]);
    let order = lake.query("SELECT event_id FROM shop.clicks WHERE at_hour = '2026-11-19-10'");
    assert_eq!(order.iter().map(|row| row["event_id"].as_str().unwrap()).collect::<String>(), "01234");
}

/// The redrive, in which `hook` happens between what it writes into the state location; true if nothing failed.
pub(super) async fn redriven(lake: &Lake, hook: super::placements::Hook) -> bool {
    redriven_after(0, lake, hook).await
}

/// As [`redriven`], with other ids than the first ones: so many are of somebody before it.
pub(super) async fn redriven_after(ids: usize, lake: &Lake, hook: super::placements::Hook) -> bool {
    let app = hooked(lake, hook).await;
    (0..ids).for_each(|_| drop(app.clock.new_id()));
    let request = Request { table: "shop.clicks".into(), place: None, reason: None, dry_run: false };
    redrive(&app, &request).await.is_ok_and(|summary| summary.failures.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_that_dies_anywhere_is_ended_by_the_next_run_or_redrive() {
    let whole = quarantined("");
    document(&whole, &[]);
    let expected = Outcome::of(&whole);
    for (next, mut end) in [("run", 0), ("redrive", 0)] {
        let mut waited = 0;
        loop {
            let lake = quarantined("");
            if redriven(&lake, Box::new(move |put: usize, _: &str| put < end)).await {
                break;
            }
            let context = format!("dead from put {end} on, then a {next}");
            if next == "run" {
                waited += usize::from(!files(&lake.path(".lakebed/redriven")).is_empty());
                let resolved = Ledgers::of(&lake).heads().map(|head| head.counts.resolved).sum::<u64>();
                lake.run(0);
                assert_eq!(lake.rows().len() as u64, 10 + resolved, "{context}: what is resolved is in the table");
            }
            document(&lake, &[]);
            let found = Outcome::of(&lake);
            assert_eq!((&found.rows, found.quarantine.len()), (&expected.rows, 7), "{context}");
            assert_eq!(quarantine(&lake), quarantine(&whole), "{context}");
            assert_leftovers_are_of_dead_attempts(&lake, &context);
            end += 1;
        }
        assert!(end > 5 && (next != "run" || waited > 1), "{end} puts, {waited} with something left");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redrives_and_runs_at_the_same_time_move_each_record_once() {
    let meanwhile = |lake: &Lake| {
        lake.land("12", "late", &rows(&[("7", "10", "x"), ("8", "11", "y")]));
        document(lake, &[]);
        lake.run(0);
    };
    let check = |lake: &Lake, is_done: bool, context: &str| {
        assert!(is_done, "{context}");
        document(lake, &[]);
        let seen = told(lake).0;
        assert_eq!((seen[1].as_str(), seen[3].as_str()), ("x 2026-11-19-10: 1 4 5 7 a c f", "y 2026-11-19-11: 8 b"), "{context}");
        assert_eq!(quarantine(lake).iter().filter(|line| *line == RESOLVED).count(), 5, "{context}");
        assert_leftovers_are_of_dead_attempts(lake, context);
    };
    let puts = at_each_put(|| quarantined(""), None, meanwhile, redriven, check).await;
    assert!(puts > 5, "{puts} puts");
}

#[test]
fn what_moved_is_waited_for_while_its_file_is_damaged_and_the_others_go_on() {
    let lake = quarantined("");
    let (kept, expected) = (whole_file(&lake), IN_PLACE);
    assert_eq!(moving(&lake), ["x 2026-11-19T10 closed 3 null false", "y 2026-11-19T11 waiting 1 null false"]);
    let text = lake.lakebed(&["status"]).stdout;
    assert!(text.contains("\n  rows that a redrive moved here, which the next run merges: 3\n"), "{text}");
    std::fs::write(&kept.0, "PAR1").unwrap();
    lake.land("13", "late", &rows(&[("7", "13", "x")]));
    let failures = lake.run(3)["failures"].to_string();
    assert!(failures.contains("rows that a redrive moved are in it alone; restore it from a backup"), "{failures}");
    assert_eq!(told(&lake).0[2], "x 2026-11-19-13: 6 60 7");
    std::fs::write(&kept.0, kept.1).unwrap();
    lake.run(0);
    let seen = told(&lake).0;
    assert_eq!((seen[1].as_str(), seen[3].as_str()), (expected[1], expected[3]));
}

#[test]
fn what_waits_gets_the_columns_that_the_table_has_by_then() {
    let lake = quarantined("");
    whole_file(&lake);
    lake.configure(BY_PAGE);
    // The catalog is made anew of the ledgers, with other columns.
    let made_with = |sequence: &str, later: &str| {
        std::fs::remove_file(lake.path(".lakebed/catalog.db")).unwrap();
        lake.migration(&format!(
            "CREATE EXTERNAL TABLE ${{table}} (event_id string, {sequence}collector_tstamp timestamp, at timestamp, page string, \
             rescued map<string,string>{later}) PARTITIONED BY (p string, at_hour string) STORED AS PARQUET LOCATION '${{location}}'"
        ));
    };
    for other in ["", "sequence string, "] {
        made_with(other, "");
        let failures = lake.run(3)["failures"].to_string();
        assert!(failures.contains("its column sequence is gone or of another type; put it back in the catalog"), "{failures}");
        assert!(!files(&lake.path(".lakebed/redriven")).is_empty());
    }
    made_with("sequence bigint, ", ", later bigint");
    lake.run(0);
    assert_eq!(told(&lake).0, IN_PLACE);
    let moved = lake.query("SELECT page, later FROM shop.clicks WHERE event_id IN ('a', 'b') ORDER BY event_id");
    assert_eq!(json!(moved), json!([{"page": "x", "later": null}, {"page": "y", "later": null}]));
    assert!(files(&lake.path(".lakebed/redriven")).is_empty());
    assert_leftovers_are_of_dead_attempts(&lake, "a redrive that died, and other columns");
}

/// What `status` says of rows that are on their way: the page, the hour, its state, how many they are, and how many are lost; whether it is complete.
fn moving(lake: &Lake) -> Vec<String> {
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let of_hour = |hour: &Value| {
        let page = hour["partition"].as_str().unwrap()[2..].split('/').next().unwrap().to_string();
        let text = |name: &str| hour[name].as_str().unwrap().to_string();
        format!("{page} {} {} {} {} {}", text("hour"), text("state"), hour["moving"], hour["lost"], hour["complete"])
    };
    status[0]["hours"].as_array().unwrap().iter().filter(|hour| !hour["moving"].is_null()).map(of_hour).collect()
}

/// What is left in the state location that nothing accounts for.
fn left_behind(lake: &Lake) -> Vec<String> {
    leftovers(lake).into_iter().filter(|path| path.starts_with(".lakebed")).collect()
}

/// The failures of a run or a redrive, a line each.
fn failures(done: &Value) -> Vec<String> {
    let line = |failure: &Value| format!("{} {}", failure["partition"].as_str().unwrap_or("-"), failure["error"].as_str().unwrap());
    done["failures"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn rows_that_are_lost_on_their_way_are_missed_until_they_are_back() {
    let lake = quarantined("");
    let (file, whole) = whole_file(&lake);
    std::fs::remove_file(&file).unwrap();
    let name = file.strip_prefix(lake.path(".lakebed")).unwrap().to_str().unwrap().to_string();
    for redrives in [false, true, false] {
        let told_of = match redrives {
            true => failures(&lake.lakebed(&["redrive", "shop.clicks", "--output", "json"]).json(3)),
            false => failures(&lake.run(3)),
        };
        let [of_x, of_y] = told_of.as_slice() else { panic!("{told_of:?}") };
        assert!(of_x.starts_with("p=x/at_hour=2026-11-19-10 it lacks 2 rows that a redrive moved here from p=__HIVE_"), "{of_x}");
        assert!(of_y.starts_with("p=y/at_hour=2026-11-19-11 it lacks 1 row that a redrive moved here"), "{of_y}");
        assert!(
            of_x.contains(&format!("{name} is gone. Restore it from a backup")) && of_x.contains("If object 2026/11/19/12/a is not"),
            "{of_x}"
        );
        let folder = name.rsplit_once("part-").unwrap().0;
        assert!(of_x.contains(&format!("none of its others is left in {folder}, remove moving/")), "{of_x}");
        assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5 f", "the others go on");
    }
    assert_eq!(moving(&lake), ["x 2026-11-19T10 amended(1) 2 2 false", "y 2026-11-19T11 waiting 1 1 false"]);
    let (state, lost) = (files(&lake.path(".lakebed")), lake);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, whole).unwrap();
    lost.run(0);
    assert_eq!(told(&lost).0, IN_PLACE);
    assert_eq!(left_behind(&lost), Vec::<String>::new());

    // Without a backup it is given up by the removal of what says that they move.
    let lake = quarantined("");
    std::fs::remove_file(whole_file(&lake).0).unwrap();
    let told_of = failures(&lake.run(3));
    let says = told_of[0].rsplit(", remove ").next().unwrap();
    assert!(state.keys().any(|path| path.ends_with("moving")) && says.starts_with("moving/shop.clicks/p=__HIVE_"), "{told_of:?}");
    std::fs::remove_file(lake.path(&format!(".lakebed/{says}"))).unwrap();
    lake.run(0);
}

#[test]
fn a_file_that_is_lost_is_missed_also_after_a_run_that_could_not_look_for_it() {
    let lake = lake(RULES);
    for (object, bad) in [("a", record("a", "10", "x", "7")), ("b", record("b", "11", "y", "8"))] {
        lake.land("12", object, &[rows(&[(object.to_uppercase().as_str(), "12", "z")]), bad.into_bytes()].concat());
    }
    lake.run(0);
    lake.configure(BY_PAGE);
    whole_file(&lake);
    let [of_a, of_b] = Vec::from_iter(files(&lake.path(".lakebed/redriven")).into_keys()).try_into().unwrap();
    std::fs::remove_file(&of_b).unwrap();
    let hidden = of_b.strip_prefix(lake.path(".lakebed")).unwrap().to_str().unwrap();
    let summary = tokio::runtime::Runtime::new().unwrap().block_on(hiding_run(&lake, hidden));
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    assert_eq!((told(&lake).0, of_a.exists()), (vec!["x 2026-11-19-10: a".to_string(), "z 2026-11-19-12: A B".into()], false));
    for _ in 0..2 {
        let failed = failures(&lake.run(3));
        assert!(failed.len() == 1 && failed[0].starts_with("p=y/at_hour=2026-11-19-11 it lacks 1 row"), "{failed:?}");
    }
    // Nobody looks for a file whose rows are where they belong.
    let done = of_a.strip_prefix(lake.path(".lakebed")).unwrap().to_str().unwrap();
    let summary = tokio::runtime::Runtime::new().unwrap().block_on(hiding_run(&lake, done));
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    assert!(summary.failures[0].line().contains("it lacks 1 row"), "{:?}", summary.failures);
}

#[test]
fn a_file_that_is_lost_while_it_is_merged_makes_no_version_that_lacks_it_for_good() {
    let lake = Arc::new(quarantined(""));
    let (file, whole) = whole_file(&lake);
    lake.land("12", "late", &rows(&[("late", "11", "y")]));
    let meanwhile = Arc::clone(&lake);
    let hook = move |_: usize, path: &str| {
        if path.starts_with("ledger/shop.clicks/p=x/") {
            std::fs::remove_dir_all(meanwhile.path(".lakebed/redriven")).unwrap();
        }
        true
    };
    let summary = tokio::runtime::Runtime::new().unwrap().block_on(hooked_run(&lake, Box::new(hook)));
    assert_eq!(summary.failures.len(), 1, "{:?}", summary.failures);
    let failed = failures(&lake.run(3));
    assert!(failed.len() == 1 && failed[0].starts_with("p=y/at_hour=2026-11-19-11 it lacks 1 row"), "{failed:?}");
    assert_eq!(told(&lake).0[3], "y 2026-11-19-11: late", "what landed goes on");
    assert!(Ledgers::of(&lake).0.values().all(|version| version.missing.is_empty()));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, whole).unwrap();
    assert_eq!(lake.run(0)["tables"][0]["warnings"], json!([]));
    assert_eq!((told(&lake).0[3].as_str(), left_behind(&lake)), ("y 2026-11-19-11: b late", vec![]));
}

#[test]
fn what_every_partition_has_is_removed_whatever_became_of_its_file() {
    for (damaged, written_down) in [(true, true), (true, false), (false, true)] {
        let lake = quarantined("");
        whole_file(&lake);
        let mut kept = files(&lake.path(".lakebed/redriven"));
        kept.values_mut().for_each(|bytes| *bytes = b"PAR1".to_vec());
        if !damaged {
            kept.clear();
        }
        if written_down {
            kept.extend(files(&lake.path(".lakebed/moving")));
        }
        lake.run(0);
        assert_eq!(told(&lake).0, IN_PLACE);
        assert_eq!(left_behind(&lake), Vec::<String>::new());
        // As if the run had died before it removed them.
        let put_back = || {
            for (path, bytes) in &kept {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, bytes).unwrap();
            }
        };
        put_back();
        let versions = Ledgers::of(&lake).0.len();
        lake.run(0);
        assert_eq!((Ledgers::of(&lake).0.len(), left_behind(&lake)), (versions, Vec::<String>::new()), "{damaged} {written_down}");
        put_back();
        document(&lake, &[]);
        assert_eq!(left_behind(&lake), Vec::<String>::new(), "{damaged} {written_down}");
    }
}

/// Settings by which all that arrives in an hour is in one partition, with the keys of [`BY_PAGE`].
const SCATTERS_NO_MORE: &str = "partition_by = \"p=x/at_hour=!{timestamp:yyyy-MM-dd-HH}\"\n";

fn of_moved(lake: &Lake) -> [BTreeMap<PathBuf, Vec<u8>>; 2] {
    [".lakebed/redriven", ".lakebed/moving"].map(|folder| files(&lake.path(folder)))
}

/// What a sweep removes, or would: a line for each, with the kind, the partition and the bytes.
fn swept(lake: &Lake, more: &[&str]) -> Vec<String> {
    let done = lake.lakebed(&[&["sweep", "shop.clicks", "--output", "json"], more].concat()).json(0);
    let text = |of: &Value, name: &str| of[name].as_str().unwrap().to_string();
    let line = |of: &Value| format!("{} {} {}", text(of, "kind"), text(of, "partition"), of["bytes"]);
    done["removed"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn where_rows_scatter_no_more_a_sweep_removes_what_is_done_of_a_redrive_and_nothing_that_waits() {
    let lake = quarantined("");
    whole_file(&lake);
    let waiting = of_moved(&lake);
    let sweep = |more: &[&str]| {
        lake.configure(SCATTERS_NO_MORE);
        let mut swept = swept(&lake, more);
        swept.retain(|line| line.starts_with("redriven "));
        lake.configure(&format!("{BY_PAGE}{}", RULES.replace('5', "10")));
        swept
    };
    assert_eq!((sweep(&[]), of_moved(&lake)), (vec![], waiting.clone()));
    lake.run(0);
    assert_eq!(of_moved(&lake).map(|files| files.len()), [0, 0]);
    // As if the run had died before it removed them.
    for (path, bytes) in waiting.iter().flatten() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let planned = sweep(&["--dry-run"]);
    assert_eq!(of_moved(&lake), waiting);
    let homes = ["12", "13"].map(|hour| format!("redriven p=__HIVE_DEFAULT_PARTITION__/at_hour=2026-11-19-{hour}"));
    let sizes: Vec<usize> = waiting[0].values().map(Vec::len).collect();
    let [one, other] = homes;
    let expected = [format!("{one} {}", sizes[0]), format!("{other} {}", sizes[1]), format!("{one} 0"), format!("{other} 0")];
    assert_eq!(planned, expected, "the files, and then what says that they move");
    assert_eq!(sweep(&[]), planned);
    assert_eq!(of_moved(&lake).map(|files| files.len()), [0, 0]);
    assert_eq!((sweep(&[]), told(&lake).0), (vec![], IN_PLACE.map(String::from).to_vec()));
}

#[test]
fn a_sweep_removes_what_moves_of_a_redrive_that_did_not_commit_and_of_no_other() {
    let committed = quarantined("");
    whole_file(&committed);
    let before = of_moved(&committed);
    swept(&committed, &[]);
    assert_eq!((of_moved(&committed), before.each_ref().map(|files| files.len())), (before, [2, 2]));
    for scatters in [true, false] {
        let dead = quarantined("");
        let hook = |_: usize, path: &str| !path.starts_with("ledger/shop.clicks/p=__HIVE_");
        assert!(!tokio::runtime::Runtime::new().unwrap().block_on(redriven(&dead, Box::new(hook))));
        assert_eq!(of_moved(&dead).map(|files| files.len()), [1, 1]);
        if !scatters {
            dead.configure(SCATTERS_NO_MORE);
        }
        swept(&dead, &[]);
        assert_eq!(of_moved(&dead).map(|files| files.len()), [0, 0], "scatters: {scatters}");
        dead.configure(&format!("{BY_PAGE}{}", RULES.replace('5', "10")));
        document(&dead, &[]);
        assert_eq!(told(&dead).0, IN_PLACE);
    }
}

#[test]
fn files_that_no_version_names_are_merged_all_the_same() {
    let lake = quarantined("");
    let (file, whole) = whole_file(&lake);
    // As a version was before it named its files.
    for (path, bytes) in files(&lake.path(".lakebed/ledger")) {
        if let Ok(mut version) = serde_json::from_slice::<Value>(&bytes) {
            version.as_object_mut().unwrap().remove("redriven");
            std::fs::write(path, version.to_string()).unwrap();
        }
    }
    std::fs::remove_dir_all(lake.path(".lakebed/moving")).unwrap();
    std::fs::write(&file, "PAR1").unwrap();
    let failed = failures(&lake.run(3)).concat();
    assert!(failed.contains("rows that a redrive moved are in it alone; restore it from a backup"), "{failed}");
    std::fs::write(&file, whole).unwrap();
    lake.run(0);
    let rows = lake.query("SELECT event_id FROM shop.clicks WHERE event_id IN ('a', 'b', 'c', 'f') ORDER BY event_id");
    assert_eq!(rows.iter().map(|row| row["event_id"].as_str().unwrap()).collect::<String>(), "abcf");
    assert!(files(&lake.path(".lakebed/redriven")).is_empty());
}

#[test]
fn what_became_private_while_rows_wait_is_replaced_in_them() {
    let lake = quarantined("");
    let secret = record("secret", "10", "x", "7").replace("\"page\"", "\"Event_ID\":\"also\",\"more\":7,\"page\"");
    lake.configure(&format!("{BY_PAGE}{RULES}"));
    lake.land("12", "d", &[rows(&[("00", "10", "x")]), secret.into_bytes()].concat());
    lake.run(0);
    lake.configure(&format!("{BY_PAGE}{}", RULES.replace('5', "10")));
    let (_, file) = whole_file(&lake);
    assert!(String::from_utf8_lossy(&file).contains(r#""privacy":{}"#), "it says that nothing was private");
    let private = "[table.columns.event_id]\nprivacy = \"redact\"\n";
    lake.configure(&format!("{BY_PAGE}{private}{}", RULES.replace('5', "10")));
    lake.run(0);
    let of_x = lake.query("SELECT event_id, rescued['more'] AS more, rescued['Event_ID'] AS also FROM shop.clicks WHERE at_hour = '2026-11-19-10' ORDER BY 1, 2");
    let told: Vec<String> = of_x.iter().map(|row| format!("{} {} {}", row["event_id"], row["more"], row["also"])).collect();
    let plain = ["\"00\"", "\"1\"", "\"4\"", "\"5\""].map(|id| format!("{id} null null"));
    let moved = ["\"7\"", "null", "null", "null"].map(|more| format!("\"[redacted]\" {more} null"));
    assert_eq!(told, [plain.as_slice(), moved.as_slice()].concat(), "what is in the table stays as it is");
}

/// Makes it as if a redrive died before any other partition got its rows. Returns one of the files that they are in, and what is in it.
pub(super) fn whole_file(lake: &Lake) -> (PathBuf, Vec<u8>) {
    let ended = tokio::runtime::Runtime::new().unwrap().block_on(async {
        let hook = |_: usize, path: &str| !(path.starts_with("ledger/shop.clicks/p=x") || path.starts_with("ledger/shop.clicks/p=y"));
        redriven(lake, Box::new(hook)).await
    });
    assert!(!ended);
    let seen = told(lake).0;
    assert!(!seen.concat().contains('f'), "{seen:?}");
    files(&lake.path(".lakebed/redriven")).into_iter().next().unwrap()
}

#[test]
fn an_object_that_was_set_aside_comes_in_and_another_content_of_it_does_not() {
    let lake = lake(RULES);
    let body = [record("a", "10", "x", "7"), record("b", "11", "y", "8"), record("c", "10", "x", "\"x\"")].concat();
    let object = lake.land("12", "a", body.as_bytes());
    assert_eq!(objects(&lake.run(3)), "1 landed 0 merged 1 rejected 0 held 0 pending");
    lake.configure(BY_PAGE);
    document(&lake, &[]);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: a", "y 2026-11-19-11: b"]);
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
    std::fs::write(&object, rows(&[("9", "09", "x")])).unwrap();
    let warnings = lake.run(0)["tables"][0]["warnings"].to_string();
    assert!(warnings.contains("12/a was written again since it was merged"), "{warnings}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: a", "y 2026-11-19-11: b"]);
}

#[test]
fn an_object_whose_run_did_not_end_is_settled_by_the_redrive_that_takes_it_in() {
    let lake = lake(RULES);
    let body = [record("a", "10", "x", "7"), record("b", "11", "y", "8"), record("c", "10", "x", "\"x\"")].concat();
    lake.land("12", "a", body.as_bytes());
    lake.run(3);
    // As if the run had died before it wrote down that its partition has it.
    std::fs::remove_file(newest_intake(&lake)).unwrap();
    lake.configure(BY_PAGE);
    document(&lake, &[]);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: a", "y 2026-11-19-11: b"]);
    let intake = std::fs::read_to_string(newest_intake(&lake)).unwrap();
    assert!(intake.contains("\"done\": true") && !intake.contains("set_aside"), "{intake}");
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
}

#[test]
fn what_other_partitions_have_is_not_taken_back_into_the_quarantine() {
    let lake = quarantined("");
    document(&lake, &[]);
    let home = "2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__";
    refused(&lake.lakebed(&["rollback", "shop.clicks", home]), 1, &["a redrive moved 3 records into other partitions, where they stay"]);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10/p=x"]).code, 0);
    document(&lake, &[]);
    lake.run(0);
    assert_eq!(told(&lake).0[1], "x 2026-11-19-10: 1 4 5", "no run and no redrive undoes a rollback");
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10/p=x", "--to", "g00000002"]).code, 0);
    assert_eq!(told(&lake).0, IN_PLACE);
    let from_merged = lake.lakebed(&["repair", "shop.clicks", home, "--from-merged", "--output", "json"]).json(0);
    assert_eq!(from_merged["records"]["before"], from_merged["records"]["after"]);
    assert_eq!(told(&lake).0, IN_PLACE);
}
