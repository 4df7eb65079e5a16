//! `redrive` of Firehose's error objects where rows scatter: each record goes where its row belongs, once, whatever happens meanwhile.

use serde_json::{Value, json};

use super::super::support::Lake;
use super::super::support::outcome::{Ledgers, assert_leftovers_are_of_dead_attempts, leftovers};
use super::moved::{RULES, document, record, redriven};
use super::placements::at_each_put;
use super::redrive::{ERRORS, land_errors, millis, report};
use super::scatter::{BY_PAGE, lake, objects, rows, told};
use super::snapshot;

/// A lake with an error object of two arrival hours, whose records belong to three partitions and to that of their arrival hour. One breaks a
/// rule.
fn reported() -> Lake {
    let lake = lake(&format!("{ERRORS}{RULES}"));
    lake.land("12", "a", &rows(&[("1", "10", "x")]));
    lake.run(0);
    let home = r#"{"event_id":"home","sequence":1,"at":"2026-11-19T12:10:00Z"}"#.to_string();
    let of_12 = [record("a", "10", "x", "1"), record("b", "11", "y", "1"), home, record("d", "10", "x", "7")];
    let mut reports: String = of_12.iter().map(|record| report(Some(millis(12)), record.as_bytes())).collect();
    reports.push_str(&report(Some(millis(13)), record("c", "10", "x", "1").as_bytes()));
    land_errors(&lake, "13", &reports);
    lake
}

const IN_PLACE: [&str; 3] = ["null 2026-11-19-12: home", "x 2026-11-19-10: 1 a c", "y 2026-11-19-11: b"];

/// What was done to error objects: the hour of the partition, and what became of the records.
fn taken(done: &Value) -> Vec<String> {
    let line = |error: &Value| format!("{} {} {}", error["action"], error["values"]["at_hour"], error["records"]);
    done["errors"].as_array().unwrap().iter().map(line).collect()
}

#[test]
fn firehoses_error_objects_go_to_the_partitions_of_their_rows_once() {
    let lake = reported();
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending", "a run takes them for no data");
    let before = snapshot(lake.folder.path());
    let planned = document(&lake, &["--dry-run"]);
    assert_eq!(snapshot(lake.folder.path()), before, "a dry run writes nothing");
    let counts = |read, merged, quarantined, moved| json!({"read": read, "merged": merged, "quarantined": quarantined, "duplicates": 0, "dropped": 0, "moved": moved});
    let expected = [("12", counts(4, 1, 1, 2)), ("13", counts(1, 0, 0, 1))];
    let lines =
        |action: &str| expected.iter().map(|(hour, counts)| format!("\"{action}\" \"2026-11-19-{hour}\" {counts}")).collect::<Vec<_>>();
    assert_eq!(taken(&planned), lines("would take in"));
    let bound = |page: &str, hour: &str, rows: u64| json!({"values": {"p": page, "at_hour": format!("2026-11-19-{hour}")}, "rows": rows});
    assert_eq!(planned["would_move"], json!([bound("x", "10", 2), bound("y", "11", 1)]));
    let done = document(&lake, &[]);
    assert_eq!(taken(&done), lines("taken in"));
    assert_eq!(done["moved"].as_array().unwrap().len(), 2, "{done}");
    assert_eq!(told(&lake).0, IN_PLACE);
    assert_eq!(leftovers(&lake), Vec::<String>::new());
    let versions = Ledgers::of(&lake).0.len();
    assert_eq!(taken(&document(&lake, &[])), Vec::<String>::new());
    assert_eq!(objects(&lake.run(0)), "1 landed 1 merged 0 rejected 0 held 0 pending");
    assert_eq!(Ledgers::of(&lake).0.len(), versions, "a repetition and a run change nothing");
    for place in ["2026-11-19T12/p=__HIVE_DEFAULT_PARTITION__", "2026-11-19T10/p=x"] {
        assert_eq!(lake.lakebed(&["repair", "shop.clicks", place, "--output", "json"]).json(0)["failures"], json!([]));
        assert_eq!(told(&lake).0, IN_PLACE, "they are read again");
        lake.lakebed(&["repair", "shop.clicks", place, "--from-merged", "--output", "json"]).json(0);
    }
    lake.configure(&format!("{BY_PAGE}{ERRORS}"));
    document(&lake, &[]);
    assert_eq!(told(&lake).0, [IN_PLACE[0], "x 2026-11-19-10: 1 a c d", IN_PLACE[2]], "what failed is tried again");
    let read: u64 = Ledgers::of(&lake).heads().map(|head| head.counts.read - head.counts.moved).sum();
    assert_eq!((read, lake.rows().len()), (6, 6), "each record is accounted for once");
    lake.run(0);
    assert_eq!(leftovers(&lake), Vec::<String>::new());
}

#[test]
fn records_of_a_quarantine_and_of_an_error_object_meet_in_one_partition() {
    let lake = lake(&format!("{ERRORS}{RULES}"));
    lake.land("12", "a", &[rows(&[("1", "10", "x"), ("2", "11", "y")]), record("q", "10", "x", "7").into_bytes()].concat());
    lake.run(0);
    land_errors(&lake, "12", &report(Some(millis(12)), record("a", "10", "x", "1").as_bytes()));
    lake.configure(&format!("{BY_PAGE}{ERRORS}"));
    let done = document(&lake, &[]);
    assert_eq!(done["moved"].as_array().unwrap().len(), 1, "{done}");
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1 a q", "y 2026-11-19-11: 2"]);
    assert_eq!(leftovers(&lake), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lands_meets_records_of_an_error_object_that_wait() {
    let lake = reported();
    let hook = |_: usize, path: &str| !(path.starts_with("ledger/shop.clicks/p=x") || path.starts_with("ledger/shop.clicks/p=y"));
    assert!(!redriven(&lake, Box::new(hook)).await);
    assert_eq!(told(&lake).0, ["x 2026-11-19-10: 1"]);
    assert_eq!(Ledgers::of(&lake).heads().map(|head| head.counts.moved).sum::<u64>(), 3);
    lake.land("13", "late", &rows(&[("late", "10", "x"), ("other", "11", "y")]));
    assert_eq!(objects(&lake.run(0)), "2 landed 2 merged 0 rejected 0 held 0 pending");
    assert_eq!(told(&lake).0, [IN_PLACE[0], "x 2026-11-19-10: 1 a c late", "y 2026-11-19-11: b other"]);
    assert_leftovers_are_of_dead_attempts(&lake, "a redrive of an error object that died");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redrive_of_error_objects_that_dies_anywhere_is_ended_by_the_next_run_or_redrive() {
    let (mut end, mut waited) = (0, 0);
    loop {
        let lake = reported();
        if redriven(&lake, Box::new(move |put: usize, _: &str| put < end)).await {
            break;
        }
        let context = format!("dead from put {end} on");
        if end % 2 == 0 {
            lake.run(0);
            let heads = || Ledgers::of(&lake).heads().map(|head| head.counts.merged).sum::<u64>();
            waited += usize::from(heads() > 1);
            let missing: u64 = Ledgers::of(&lake).heads().map(|head| head.counts.moved).sum();
            let moved: u64 = Ledgers::of(&lake)
                .heads()
                .flat_map(|head| head.sources.clone())
                .filter(|of| of.key.contains("//"))
                .map(|of| of.counts.read)
                .sum();
            assert_eq!(moved, missing, "{context}: what was moved has arrived");
        }
        document(&lake, &[]);
        assert_eq!(told(&lake).0, IN_PLACE, "{context}");
        assert_leftovers_are_of_dead_attempts(&lake, &context);
        end += 1;
    }
    assert!(end > 5 && waited > 0, "{end} puts, {waited} with something moved");
}

#[tokio::test(flavor = "multi_thread")]
async fn redrives_at_the_same_time_take_each_reported_record_in_once() {
    let meanwhile = |lake: &Lake| {
        document(lake, &[]);
        lake.run(0);
    };
    let check = |lake: &Lake, is_done: bool, context: &str| {
        assert!(is_done, "{context}");
        document(lake, &[]);
        assert_eq!(told(lake).0, IN_PLACE, "{context}");
        assert_leftovers_are_of_dead_attempts(lake, context);
    };
    let puts = at_each_put(reported, None, meanwhile, redriven, check).await;
    assert!(puts > 5, "{puts} puts");
}
