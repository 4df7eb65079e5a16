//! Late rows appended to what is live, beside lakes in which the same objects came on time, and judged by other readers.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use lakebed::generate::{Part, Settings};
use serde_json::{Value, json};

use super::support::Lake;
use super::support::python::{Reader, read_table, script};

/// What other readers find in the live files, by the file's indexes too.
fn found(lake: &Lake, id: &str) -> Value {
    let files = lake.live_files();
    let arguments: Vec<&OsStr> = std::iter::once(OsStr::new(id)).chain(files.iter().map(|file| file.as_os_str())).collect();
    let found: Value = serde_json::from_str(&script("appended.py", &arguments)).unwrap();
    assert_eq!(found["indexed"], json!(true));
    let mut times = BTreeMap::new();
    for id in texts(&found["ids"]) {
        *times.entry(id).or_insert(0) += 1;
    }
    for reader in ["duckdb", "pyarrow"] {
        let counted = found[reader].as_array().unwrap();
        assert!(counted.iter().all(|pair| times[pair[0].as_str().unwrap()] == pair[1]), "{reader} does not find all rows by filter");
    }
    found
}

fn texts(values: &Value) -> Vec<String> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_string()).collect()
}

fn inode(file: &std::path::Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(file).unwrap())
}

/// Lands an hour in two parts, and checks that the table is then as if all of it had come on time. Returns how many of the files that
/// were live before are live still.
fn same_as_on_time(merge: &str) -> usize {
    let all = Settings { records: 4_000, objects_per_hour: 8, late: 0.25, bad: 0.02, duplicates: 0.03, ..Settings::default() };
    let (in_parts, on_time) = (Lake::new(merge), Lake::new(merge));
    on_time.generate(&all);
    on_time.run(0);
    in_parts.generate(&Settings { part: Part::OnTime, ..all.clone() });
    in_parts.run(0);
    let before = found(&in_parts, "event_id");
    let files_before: Vec<u64> = in_parts.live_files().iter().map(|file| inode(file)).collect();
    in_parts.generate(&Settings { part: Part::Late, ..all });
    let run = in_parts.run(0);
    assert_eq!(run["tables"][0]["partitions"][0]["action"], "amended");
    let after = found(&in_parts, "event_id");
    let (early, both) = (texts(&before["ids"]), texts(&after["ids"]));
    assert!(early.len() < both.len() && both.starts_with(&early), "late rows are behind the others");
    for reader in [Reader::DuckDb, Reader::PyArrow] {
        let read = |lake: &Lake| read_table(reader, &lake.live_files(), "event_id", 0);
        let (appended, at_once) = (read(&in_parts), read(&on_time));
        for what in ["rows", "schema", "digest"] {
            assert_eq!(appended[what], at_once[what], "{what}");
        }
    }
    assert_eq!(in_parts.rows(), on_time.rows());
    let some = "SELECT event_id, sequence, page FROM shop.clicks WHERE collector_tstamp > (SELECT max(collector_tstamp) - INTERVAL '2' MINUTE \
                FROM shop.clicks) AND event_name <> 'nothing' ORDER BY event_id, sequence";
    assert_eq!(in_parts.query(some), on_time.query(some));
    let quarantine = "SELECT object, byte_offset, raw FROM shop.clicks_quarantine ORDER BY object, byte_offset";
    assert_eq!(in_parts.query(quarantine), on_time.query(quarantine));
    in_parts.live_files().iter().filter(|file| files_before.contains(&inode(file))).count()
}

#[test]
fn a_small_hour_grows_as_if_all_had_come_on_time() {
    assert_eq!(same_as_on_time(""), 0, "its file is appended to");
}

#[test]
fn a_large_hour_keeps_its_full_files() {
    let kept = same_as_on_time("[table.merge]\ntarget_file_size = \"64KiB\"\nrow_group_size = \"16KiB\"");
    assert!(kept > 1, "{kept} files were kept");
}

#[test]
fn events_are_compared_with_those_that_are_live() {
    same_as_on_time("[table.merge]\ndeduplicate_by = [\"event_id\"]\ntarget_file_size = \"128KiB\"\nrow_group_size = \"64KiB\"");
}

#[test]
fn many_late_objects_one_by_one_leave_few_row_groups() {
    let lake = Lake::small("[table.merge]\ndeduplicate_by = [\"id\"]");
    let mut expected = Vec::new();
    for at in 0..22 {
        let body = match at {
            7 => String::new(),
            9 => "{\"id\":\"x\",\"n\":\"no number\"}".to_string(),
            _ => (at * 10..at * 10 + 12).map(|n| format!("{{\"id\":\"{n}\",\"n\":{n},\"more\":[{at}]}}")).collect(),
        };
        if ![7, 9].contains(&at) {
            expected.extend((at * 10..at * 10 + 12).map(|n| n.to_string()).filter(|id| !expected.contains(id)).collect::<Vec<_>>());
        }
        lake.land("14", &format!("{at:02}"), body.as_bytes());
        let answer = lake.lakebed(&["run", "--at", super::support::AT, "--output", "json"]);
        assert!([0, 3].contains(&answer.code), "{}", answer.stderr);
    }
    let found = found(&lake, "id");
    assert_eq!(texts(&found["ids"]), expected);
    assert!(found["row_groups"].as_u64().unwrap() <= 10, "{}", found["row_groups"]);
    let sums = lake.query("SELECT count(*) AS rows, count(DISTINCT n) AS numbers, sum(n) AS sum FROM shop.clicks");
    let sum: u64 = expected.iter().map(|id| id.parse::<u64>().unwrap()).sum();
    assert_eq!(sums[0], json!({"rows": expected.len(), "numbers": expected.len(), "sum": sum}));
}
