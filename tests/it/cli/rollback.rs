//! `rollback`: back, forward, again, and never undone by a run.

use serde_json::{Value, json};

use super::super::support::{AT, Answer, Lake, files};
use super::{ids, refused, snapshot};

const HOUR: &str = "2026-11-19T14";

/// Hour 14 with object a, and then amended with object b: two rows, and a record in the quarantine.
fn amended() -> Lake {
    let lake = Lake::small("");
    lake.land("14", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    lake.land("14", "b", b"{\"id\":\"b\"}{\"id\":\"c\"}{\"id\":\"d\",\"n\":\"x\"}");
    lake.run(0);
    lake
}

fn rollback(lake: &Lake, more: &[&str]) -> Answer {
    lake.lakebed(&[&["rollback", "shop.clicks", HOUR], more].concat())
}

fn quarantined(lake: &Lake) -> Value {
    lake.query("SELECT count(*) AS n FROM shop.clicks_quarantine")[0]["n"].clone()
}

#[test]
fn an_hour_goes_back_and_no_run_undoes_it() {
    let lake = amended();
    let before = snapshot(lake.folder.path());
    let dry = rollback(&lake, &["--dry-run"]);
    assert_eq!((dry.code, dry.stderr.as_str()), (0, ""));
    assert!(dry.stdout.starts_with("shop.clicks: would roll back year=2026/month=11/day=19/hour=14 from g00000002-"), "{}", dry.stdout);
    assert!(dry.stdout.contains(": 1 row, 0 quarantined\n") && dry.stdout.ends_with("\n  2026/11/19/14/b\n"), "{}", dry.stdout);
    assert_eq!(snapshot(lake.folder.path()), before);

    assert_eq!((ids(&lake), quarantined(&lake)), (vec!["a".to_string(), "b".into(), "c".into()], json!(1)));
    let done = rollback(&lake, &["--output", "json"]).json(0);
    assert_eq!((&done["action"], &done["rows"], &done["ledger_version"]), (&json!("rolled back"), &json!(1), &json!(3)));
    assert_eq!((&done["held"], &done["dry_run"], &done["reason"]), (&json!(["2026/11/19/14/b"]), &json!(false), &Value::Null));
    assert!(done["to"].as_str().unwrap().starts_with("g00000001-"), "{done}");
    assert_eq!((ids(&lake), quarantined(&lake)), (vec!["a".to_string()], json!(0)));
    let partition = &lake.partitions()[0];
    assert_eq!((&partition["state"], &partition["in_catalog"]), (&json!("rolled back"), &json!(true)));

    let run = lake.run(0);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 2, "merged": 1, "rejected": 0, "held": 1, "pending": 0}));
    let warning = run["tables"][0]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("it was rolled back, and 1 object that landed stays out of it"), "{warning}");
    let text = lake.lakebed(&["run", "--at", AT]).stdout;
    assert!(text.contains("1 taken out by a rollback"), "{text}");
    // Once more is no second step.
    let before = snapshot(lake.folder.path());
    let again = rollback(&lake, &[]);
    assert!(again.code == 0 && again.stdout.contains("nothing to do"), "{} {}", again.stdout, again.stderr);
    assert!(again.stdout.contains("it was rolled back from g00000002-"), "{}", again.stdout);
    let names = |snapshot: &super::Snapshot| snapshot.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&snapshot(lake.folder.path())), names(&before));
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let hour = &status[0]["hours"][0];
    assert_eq!((&hour["state"], &hour["held"], &hour["pending"]), (&json!("rolled back"), &json!(1), &json!(0)));
    assert_eq!(ids(&lake), ["a"]);
}

#[test]
fn late_objects_amend_it_and_forward_is_a_rollback_too() {
    let lake = amended();
    assert_eq!(rollback(&lake, &[]).code, 0);
    lake.land("14", "e", b"{\"id\":\"e\"}{\"id\":\"f\"}{\"id\":\"g\",\"n\":\"x\"}");
    lake.run(0);
    assert_eq!((ids(&lake), quarantined(&lake)), (vec!["a".to_string(), "e".into(), "f".into()], json!(1)));
    let forward = rollback(&lake, &["--to", "g00000002", "--output", "json"]).json(0);
    assert_eq!(forward["held"], json!(["2026/11/19/14/e"]));
    assert_eq!((ids(&lake), quarantined(&lake)), (vec!["a".to_string(), "b".into(), "c".into()], json!(1)));
    lake.run(0);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    let live = rollback(&lake, &["--to", forward["to"].as_str().unwrap()]);
    assert!(live.code == 0 && live.stdout.contains("nothing to do") && live.stdout.contains(": it is live"), "{}", live.stdout);
    let objects = lake.query("SELECT object FROM shop.clicks_quarantine");
    assert_eq!(objects, [json!({"object": "2026/11/19/14/b"})]);
}

#[test]
fn what_is_not_there_is_refused() {
    let lake = amended();
    let refuse = |arguments: &[&str], words: &[&str]| refused(&lake.lakebed(&[&["rollback"], arguments].concat()), 2, words);
    refuse(&["shop.clicks", "2026-11-19T15"], &["hour=15: it was never merged"]);
    refuse(&["shop.clicks", "2026-11-19T14/page=x"], &["a partition of this table is named like 2026-11-19T14"]);
    refuse(&["shop.clicks", HOUR, "--to", "g00000007"], &["no retired generation g00000007", "there is g00000001-"]);
    refuse(&["shop.click", HOUR], &["did you mean `shop.clicks`?"]);
    let usage = lake.lakebed(&["rollback", "shop.clicks", "2026-11-19"]);
    assert!(usage.code == 2 && usage.stderr.contains("write it in UTC like 2026-11-19T14"), "{}", usage.stderr);
    let first = files(&lake.path("lake")).into_keys().find(|path| path.to_string_lossy().contains("g00000001-")).unwrap();
    std::fs::write(first, "other").unwrap();
    refused(&rollback(&lake, &[]), 1, &["cannot go back to g00000001-", "is gone or has another size"]);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    let single = Lake::small("");
    single.land("14", "a", b"{\"id\":\"a\"}");
    single.run(0);
    refused(&rollback(&single, &[]), 1, &["there is no generation to go back to"]);
}

#[test]
fn readers_see_the_hour_as_it_was_or_as_it_is() {
    let lake = amended();
    let reader = {
        let mut queries: Vec<_> =
            (0..8).map(|_| lake.command(&["query", "SELECT count(*) AS n FROM shop.clicks", "--format", "json"])).collect();
        std::thread::spawn(move || queries.iter_mut().map(|query| Answer::of(query.output().unwrap())).collect::<Vec<_>>())
    };
    for to in ["g00000001", "g00000002", "g00000001"] {
        assert_eq!(rollback(&lake, &["--to", to]).code, 0);
        assert_eq!(lake.lakebed(&["sweep"]).code, 0);
    }
    for seen in reader.join().unwrap() {
        let rows = seen.json(0);
        assert!(rows == json!([{"n": 1}]) || rows == json!([{"n": 3}]), "{rows}");
    }
}

#[test]
fn a_run_that_merges_counts_what_is_held() {
    let lake = amended();
    assert_eq!(rollback(&lake, &[]).code, 0);
    lake.land("14", "c", b"{\"id\":\"e\"}");
    let text = lake.lakebed(&["run", "--at", AT]).stdout;
    assert!(text.contains("of 3 landed objects 2 merged, 0 set aside, 1 taken out by a rollback, 0 pending\n"), "{text}");
}

#[test]
fn what_is_gone_from_the_landing_is_said_to_come_back_by_no_repair() {
    let lake = amended();
    std::fs::remove_file(lake.folder.path().join("landing/2026/11/19/14/b")).unwrap();
    let dry = rollback(&lake, &["--dry-run"]);
    let said = "1 of them is not in the landing any more, 2026/11/19/14/b for one: no repair brings that back";
    assert!(dry.stdout.contains(said), "{}", dry.stdout);
    let done = rollback(&lake, &["--output", "json"]).json(0);
    assert!(done["warnings"][0].as_str().unwrap().contains(said), "{done}");
    let ways: Vec<&str> = done["ways"].as_array().unwrap().iter().map(|way| way.as_str().unwrap()).collect();
    assert_eq!(ways, ["lakebed repair shop.clicks 2026-11-19T14", "lakebed rollback shop.clicks 2026-11-19T14 --to g00000002"]);

    // What alone has its rows stays, however old it is, until they are back.
    lake.set("grace", "0s");
    for _ in 0..2 {
        let swept = lake.lakebed(&["sweep", "--output", "json"]).json(0);
        let warning = swept["warnings"][0].as_str().unwrap();
        assert!(warning.contains("stays past its grace: 3 records that a rollback took out are in it alone"), "{swept}");
    }
    assert_eq!(rollback(&lake, &["--to", "g00000002"]).code, 0);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    assert_eq!(lake.lakebed(&["sweep", "--output", "json"]).json(0)["warnings"], json!([]));
}
