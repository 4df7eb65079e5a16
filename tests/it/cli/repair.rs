//! `repair`: an hour made anew from what landed, compared with what was there, and swapped in only where it differs.

use std::process::Stdio;

use serde_json::{Value, json};

use super::super::support::{AT, Answer, Lake};
use super::{gzip, ids, refused, snapshot};

const HOUR: &str = "2026-11-19T10";

fn repair(lake: &Lake, more: &[&str]) -> Answer {
    lake.lakebed(&[&["repair", "shop.clicks", HOUR], more].concat())
}

fn document(lake: &Lake, more: &[&str]) -> Value {
    repair(lake, &[more, &["--output", "json"]].concat()).json(0)
}

/// Version `number` of the hour's ledger.
fn ledger(lake: &Lake, number: u64) -> std::path::PathBuf {
    lake.path(&format!(".lakebed/ledger/shop.clicks/year=2026/month=11/day=19/hour=10/{number:020}.json"))
}

fn version(lake: &Lake, number: u64) -> Value {
    serde_json::from_slice(&std::fs::read(ledger(lake, number)).unwrap()).unwrap()
}

fn counts(read: u64, merged: u64, quarantined: u64) -> Value {
    json!({"read": read, "merged": merged, "quarantined": quarantined, "duplicates": 0, "dropped": 0})
}

#[test]
fn a_rule_that_was_wrong_is_made_good() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\",\"n\":2}");
    lake.land("10", "b", b"{\"id\":\"c\",\"n\":1}");
    lake.run(0);
    assert_eq!(ids(&lake), ["b", "c"]);
    lake.configure("[table.columns.n]\nmax = 10");
    let done = document(&lake, &[]);
    assert_eq!((&done["action"], &done["ledger_version"], &done["from_merged"]), (&json!("repaired"), &json!(2), &json!(false)));
    assert_eq!(done["records"], json!({"before": counts(3, 2, 1), "after": counts(3, 3, 0)}));
    assert_eq!(done["rows"], json!({"only_before": 0, "only_after": 1}));
    assert_eq!(done["objects"], json!({"unchanged": 2, "changed": 0, "held": 0, "new": 0}));
    let change = json!({"key": "2026/11/19/10/a", "why": "unchanged", "records": {"before": counts(2, 1, 1), "after": counts(2, 2, 0)}});
    assert_eq!(done["sources"], json!([change]));
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    assert_eq!(
        lake.query("SELECT count(*) AS n FROM shop.clicks_quarantine"),
        [json!({"n": 0})],
        "what is in the table is not in the quarantine"
    );
    let head = version(&lake, 2);
    assert_eq!((&head["operation"], &head["amended"]), (&json!("repair"), &json!(0)));
    assert_eq!(head["retired"].as_array().unwrap().len(), 2, "the rows and the quarantine that were live");
    assert!(head["sources"].as_array().unwrap().iter().all(|source| source["late"] == false), "{head}");
    assert_eq!(lake.partitions()[0]["in_catalog"], true);
    let again = lake.run(0);
    assert_eq!(again["tables"][0]["partitions"], json!([]), "a run has nothing to do after it");
}

#[test]
fn what_comes_out_the_same_is_not_committed() {
    let lake = Lake::small("[table.merge]\ndeduplicate_by = [\"id\"]");
    lake.land("10", "a", b"{\"id\":\"a\",\"x\":{\"y\":1}}{\"id\":\"b\"}{\"id\":");
    lake.run(0);
    lake.land("10", "b", b"{\"id\":\"a\"}{\"id\":\"c\",\"n\":3}");
    lake.run(0);
    let before = snapshot(&lake.path("lake"));
    let answer = repair(&lake, &[]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    let expected = "shop.clicks: nothing to repair in year=2026/month=11/day=19/hour=10: what came out is what is there, 3 rows\n";
    assert_eq!(answer.stdout, expected);
    assert!(!ledger(&lake, 3).exists());
    let files = |snapshot: super::Snapshot| snapshot.into_iter().filter(|(_, (bytes, _))| bytes.is_some()).collect::<Vec<_>>();
    assert_eq!(files(snapshot(&lake.path("lake"))), files(before), "what the attempt wrote is gone");

    lake.configure("[table.merge]\ndeduplicate_by = [\"id\"]\nsort_by = [\"id\"]\ncompression = \"snappy\"");
    assert_eq!(document(&lake, &[])["action"], "nothing to repair", "the rows are the same, in whatever order and form");
    let written = document(&lake, &["--from-merged"]);
    assert_eq!((&written["action"], &written["rows"]), (&json!("repaired"), &json!({"only_before": 0, "only_after": 0})));
    let (old, new) = (version(&lake, 2), version(&lake, 3));
    for kept in ["sources", "quarantine", "counts", "amended"] {
        assert_eq!(old[kept], new[kept], "{kept}");
    }
    assert_eq!(document(&lake, &["--from-merged"])["action"], "nothing to repair", "the files are as they are to be already");
    assert_eq!(ids(&lake), ["a", "b", "c"]);
}

#[test]
fn an_object_that_changed_or_is_new_is_taken_in() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}{\"id\":\"b\"}");
    lake.land("10", "b", b"{\"id\":\"c\"}");
    lake.run(0);
    lake.land("10", "a", b"{\"id\":\"a\"}{\"id\":\"d\"}{\"id\":\"e\"}");
    lake.land("10", "c", b"{\"id\":\"f\"}");
    lake.land("11", "d", b"{\"id\":\"of another hour\"}");
    let answer = repair(&lake, &[]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    let lines: Vec<&str> = answer.stdout.lines().collect();
    assert!(lines[0].starts_with("shop.clicks: repaired year=2026/month=11/day=19/hour=10: 5 rows in 1 file, "), "{}", lines[0]);
    assert_eq!(
        lines[1..],
        [
            "shop.clicks: before, 3 read, 3 merged, 0 quarantined, 0 duplicates, 0 dropped; after, 5 read, 5 merged, 0 quarantined, \
             0 duplicates, 0 dropped; 1 row gone, 3 rows new",
            "shop.clicks: object 2026/11/19/10/a, changed since it was merged: before, 2 read, 2 merged, 0 quarantined, 0 duplicates, \
             0 dropped; after, 3 read, 3 merged, 0 quarantined, 0 duplicates, 0 dropped",
            "shop.clicks: object 2026/11/19/10/c, new: 1 read, 1 merged, 0 quarantined, 0 duplicates, 0 dropped",
        ]
    );
    assert_eq!(ids(&lake), ["a", "c", "d", "e", "f"]);
    let late: Vec<_> = version(&lake, 2)["sources"].as_array().unwrap().iter().map(|source| source["late"].clone()).collect();
    assert_eq!(late, [false, false, true]);
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["warnings"], json!([]), "nothing is told to have changed any more");
    assert_eq!(document(&lake, &[])["action"], "nothing to repair");
}

#[test]
fn rows_whose_objects_are_gone_are_not_lost() {
    let lake = Lake::small("");
    for name in ["a", "b", "c"] {
        lake.land("10", name, format!("{{\"id\":\"{name}\"}}").as_bytes());
    }
    lake.run(0);
    for name in ["a", "c"] {
        std::fs::remove_file(lake.path("landing/2026/11/19/10").join(name)).unwrap();
    }
    lake.land("10", "d", b"{\"id\":\"d\"}");
    let before = snapshot(lake.folder.path());
    for more in [&[][..], &["--dry-run"]] {
        let words = ["2 objects", "2026/11/19/10/a, 2026/11/19/10/c", "nothing was changed", "--from-merged"];
        refused(&repair(&lake, more), 1, &words);
        assert_eq!(snapshot(lake.folder.path()), before);
    }
    assert_eq!(document(&lake, &["--from-merged"])["action"], "nothing to repair");
    assert_eq!(ids(&lake), ["a", "b", "c"]);
}

#[test]
fn what_a_rollback_took_out_is_taken_in() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    lake.land("10", "b", b"{\"id\":\"b\"}");
    lake.run(0);
    let (first, mut back) = (version(&lake, 1), version(&lake, 2));
    back["version"] = json!(3);
    back["operation"] = json!("rollback");
    back["held"] = json!([back["sources"][1]]);
    for field in ["generation", "sources", "counts"] {
        back[field] = first[field].clone();
    }
    std::fs::write(ledger(&lake, 3), back.to_string()).unwrap();
    let run = lake.run(0);
    assert_eq!((ids(&lake), &run["tables"][0]["objects"]["held"]), (vec!["a".to_string()], &json!(1)), "no run undoes it");
    let done = document(&lake, &[]);
    assert_eq!((&done["objects"]["held"], &done["sources"][0]["why"], &done["ledger_version"]), (&json!(1), &json!("held"), &json!(4)));
    assert_eq!(ids(&lake), ["a", "b"]);
    let head = version(&lake, 4);
    assert_eq!((&head["held"], &head["sources"][1]["late"]), (&json!([]), &json!(true)));
}

#[test]
fn a_dry_run_says_what_would_be_read_and_writes_nothing() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    lake.land("10", "a", b"{\"id\":\"A\"}{\"id\":\"B\"}");
    lake.land("10", "b", b"{\"id\":\"b\"}");
    let before = snapshot(lake.folder.path());
    let answer = repair(&lake, &["--dry-run"]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    let (objects, files) = answer.stdout.split_at(answer.stdout.rfind("shop.clicks: ").unwrap());
    assert!(files.starts_with("shop.clicks: left (its rows come from what landed): 1 live file, "), "{files}");
    assert_eq!(
        objects,
        "shop.clicks: would rebuild year=2026/month=11/day=19/hour=10 from 2 landed objects: 0 as they were merged, 1 changed since, \
         0 taken out by a rollback, 1 new\n\
         shop.clicks: object 2026/11/19/10/a, changed since it was merged\n\
         shop.clicks: object 2026/11/19/10/b, new\n"
    );
    let planned = document(&lake, &["--dry-run"]);
    assert_eq!((&planned["action"], &planned["rows"], &planned["records"]["after"]), (&json!("would repair"), &Value::Null, &Value::Null));
    let text = repair(&lake, &["--dry-run", "--from-merged"]).stdout;
    let would = "shop.clicks: would write the live 1 row of year=2026/month=11/day=19/hour=10 once more\n\
                 shop.clicks: encoded again (written once more, as asked): 1 live file, ";
    assert!(text.starts_with(would) && text.lines().count() == 2, "{text}");
    assert_eq!(snapshot(lake.folder.path()), before);
}

#[test]
fn what_is_still_missing_is_no_success() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let whole = gzip(b"{\"id\":\"b\",\"n\":2}{\"id\":\"c\",\"n\":3}");
    lake.land("10", "b.gz", &whole[..12]);
    lake.run(3);
    lake.land("10", "c", b"{\"id\":\"d\"}");
    let answer = repair(&lake, &["--output", "json"]);
    let done = answer.json(3);
    assert_eq!((&done["action"], &done["missing"][0]["key"]), (&json!("repaired"), &json!("2026/11/19/10/b.gz")));
    assert!(answer.stderr.contains("object 2026/11/19/10/b.gz is not wholly in the table"), "{}", answer.stderr);
    assert_eq!(repair(&lake, &["--from-merged", "--output", "json"]).json(3)["action"], "nothing to repair");
    lake.land("10", "b.gz", &whole);
    assert_eq!(document(&lake, &[])["missing"], json!([]));
    assert_eq!(ids(&lake), ["a", "b", "c", "d"]);
}

#[test]
fn what_cannot_be_repaired_is_told() {
    let lake = Lake::small("");
    refused(&repair(&lake, &[]), 2, &["was never merged", "lakebed run --since 2026-11-19T10"]);
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    refused(&lake.lakebed(&["repair", "shop.clicks", "2026-11-19T11"]), 2, &["hour=11", "was never merged"]);
    refused(&lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10/page=books"]), 2, &["is named like 2026-11-19T10"]);
    refused(&lake.lakebed(&["repair", "shop.click", HOUR]), 2, &["did you mean `shop.clicks`?"]);
}

#[test]
fn a_commit_that_the_catalog_does_not_show_yet_is_shown_by_repeating() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let catalog = std::fs::read(lake.path(".lakebed/catalog.db")).unwrap();
    lake.land("10", "b", b"{\"id\":\"b\"}");
    lake.lakebed(&["run", "--at", AT]);
    std::fs::write(lake.path(".lakebed/catalog.db"), catalog).unwrap();
    assert_eq!(ids(&lake), ["a"]);
    assert_eq!(document(&lake, &[])["action"], "nothing to repair");
    assert_eq!(ids(&lake), ["a", "b"]);
}

#[test]
fn repairs_and_runs_at_the_same_time_take_each_object_in_once() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let mut expected = vec!["a".to_string()];
    for round in 0..4 {
        let name = format!("b{round}");
        lake.land("10", &name, format!("{{\"id\":\"{name}\"}}").as_bytes());
        expected.push(name);
        let commands: [&[&str]; 4] =
            [&["repair", "shop.clicks", HOUR], &["run", "--at", AT], &["repair", "shop.clicks", HOUR], &["run", "--at", AT]];
        let start = |arguments: &&[&str]| lake.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let started: Vec<_> = commands.iter().map(start).collect();
        for one in started {
            let answer = Answer::of(one.wait_with_output().unwrap());
            assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
        }
        assert_eq!(ids(&lake), expected);
    }
    let newest = (1..).take_while(|number| ledger(&lake, *number).exists()).last().unwrap();
    let known = 1 + version(&lake, newest)["retired"].as_array().unwrap().len();
    let folders = std::fs::read_dir(lake.path("lake/year=2026/month=11/day=19/hour=10")).unwrap().count();
    assert_eq!(folders, known, "what lost a race is gone");
}

#[test]
fn the_rows_that_are_there_need_no_landing() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    std::fs::remove_dir_all(lake.path("landing")).unwrap();
    assert_eq!(document(&lake, &["--from-merged"])["action"], "nothing to repair");
    lake.configure("[table.merge]\ncompression = \"snappy\"");
    assert_eq!(document(&lake, &["--from-merged"])["action"], "repaired");
    assert_eq!(ids(&lake), ["a"]);
    refused(&repair(&lake, &[]), 2, &["the landing of shop.clicks", "is not a folder"]);
}

#[test]
fn what_a_repair_forgets_of_the_quarantine_is_said() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\",\"n\":2}{\"id\":\"c\",\"n\":8}{\"id\":\"d\"}");
    lake.run(0);
    assert_eq!(document(&lake, &[])["action"], "nothing to repair");
    lake.configure("[table.columns.n]\nmax = 6");
    assert_eq!(lake.lakebed(&["redrive", "shop.clicks"]).code, 0);
    let done = document(&lake, &[]);
    assert_eq!(
        (&done["rows"], &done["quarantine"]),
        (&json!({"only_before": 0, "only_after": 0}), &json!({"only_before": 2, "only_after": 2}))
    );
    lake.configure("[table.columns.n]\nmax = 5");
    assert_eq!(lake.lakebed(&["redrive", "shop.clicks"]).code, 0);
    let text = repair(&lake, &[]).stdout;
    let told = "0 rows gone, 0 rows new; of the quarantine, which does not keep `attempts` and `resolved`, 2 records gone, 2 new\n";
    assert!(text.contains(told), "{text}");
}
