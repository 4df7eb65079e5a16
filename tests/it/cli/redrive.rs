//! `redrive`: quarantined records once more, into their own hour, with what became of them in the quarantine and in the ledger.

use std::process::Stdio;

use serde_json::{Value, json};

use super::super::support::{AT, Answer, Lake};
use super::{gzip, ids, refused, snapshot};

const HOUR: &str = "2026-11-19T10";

fn redrive(lake: &Lake, more: &[&str]) -> Answer {
    lake.lakebed(&[&["redrive", "shop.clicks"], more].concat())
}

fn document(lake: &Lake, more: &[&str]) -> Value {
    redrive(lake, &[more, &["--output", "json"]].concat()).json(0)
}

/// The versions of an hour's ledger, oldest first.
fn versions(lake: &Lake, hour: &str) -> Vec<Value> {
    let file = |number: u64| lake.path(&format!(".lakebed/ledger/shop.clicks/year=2026/month=11/day=19/hour={hour}/{number:020}.json"));
    let read = |number| std::fs::read(file(number)).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap());
    (1..).map_while(read).collect()
}

fn head(lake: &Lake, hour: &str) -> Value {
    versions(lake, hour).pop().unwrap()
}

/// `records passes fails not_kept left resolved` of one reason, or of all.
fn tries(of: &Value) -> String {
    ["records", "passes", "fails", "not_kept", "left", "resolved"].map(|name| of[name].to_string()).join(" ")
}

/// The reasons of the only partition, a line each.
fn reasons(done: &Value) -> Vec<String> {
    let [partition] = done["partitions"].as_array().unwrap().as_slice() else { panic!("{done}") };
    let line = |reason: &Value| format!("{} {}", reason["reason"].as_str().unwrap(), tries(reason));
    partition["reasons"].as_array().unwrap().iter().map(line).collect()
}

/// The records in quarantine, resolved ones too: reason, attempts, whether resolved.
fn quarantine(lake: &Lake) -> Vec<String> {
    let sql = "SELECT reason, attempts, resolved IS NOT NULL AS resolved FROM shop.clicks_quarantine ORDER BY object, byte_offset";
    let line = |row: &Value| format!("{} {} {}", row["reason"].as_str().unwrap(), row["attempts"], row["resolved"]);
    lake.query(sql).iter().map(line).collect()
}

/// An hour with two objects: two records break a rule, one has another type, one is no JSON.
fn with_bad_records() -> Lake {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\",\"n\":2}{\"id\":\"c\",\"n\":\"x\"}{\"id\":\"d\"}");
    lake.land("10", "b", b"{\"id\":\"e\",\"n\":50}{\"id\":\"f\"}{\"id\":\"g\"}\n{\"id\":\n");
    lake.run(0);
    assert_eq!(ids(&lake), ["b", "d", "f", "g"]);
    lake
}

#[test]
fn what_fits_by_now_goes_into_its_hour_and_is_resolved() {
    let lake = with_bad_records();
    lake.configure("[table.columns.n]\nmax = 10");
    let before = snapshot(lake.folder.path());
    let planned = document(&lake, &["--dry-run"]);
    assert_eq!((&planned["dry_run"], &planned["partitions"][0]["action"]), (&json!(true), &json!("would redrive")));
    let expected = ["malformed_json 1 0 0 0 1 0", "rule_broken 2 1 1 0 0 0", "type_mismatch 1 0 1 0 0 0"];
    assert_eq!(reasons(&planned), expected);
    assert_eq!(tries(&planned["total"]), "4 1 2 0 1 0");
    assert_eq!(snapshot(lake.folder.path()), before, "a dry run writes nothing");

    let done = document(&lake, &[]);
    assert_eq!((reasons(&done), &done["partitions"][0]["action"]), (reasons(&planned), &json!("redriven")));
    assert_eq!(ids(&lake), ["a", "b", "d", "f", "g"]);
    assert_eq!(quarantine(&lake), ["rule_broken null true", "type_mismatch 1 false", "rule_broken 1 false", "malformed_json null false"]);
    let version = head(&lake, "10");
    let counts = json!({"read": 8, "merged": 5, "quarantined": 3, "duplicates": 0, "dropped": 0, "resolved": 1});
    assert_eq!((&version["operation"], &version["counts"], &version["amended"]), (&json!("redrive"), &counts, &json!(0)));
    assert_eq!(lake.partitions()[0]["in_catalog"], true);
    let status = lake.lakebed(&["status", "shop.clicks", "--output", "json"]).json(0);
    assert_eq!(status[0]["quarantined"], 3, "what is resolved is not in quarantine");

    let again = redrive(&lake, &[]);
    assert_eq!((again.code, again.stderr.as_str()), (0, ""));
    assert!(again.stdout.contains("nothing to redrive in year=2026/month=11/day=19/hour=10"), "{}", again.stdout);
    assert!(again.stdout.contains("  rule_broken: 1 record, 0 fit, 1 do not, 1 resolved before\n"), "{}", again.stdout);
    assert_eq!(versions(&lake, "10").len(), 2, "repeating it commits nothing");
    lake.configure("[table.columns.n]\nmax = 60");
    assert_eq!(tries(&document(&lake, &[])["total"]), "3 1 1 0 1 1");
    assert_eq!(quarantine(&lake), ["rule_broken null true", "type_mismatch 2 false", "rule_broken 1 true", "malformed_json null false"]);
    assert_eq!(ids(&lake), ["a", "b", "d", "e", "f", "g"]);
    assert_eq!(lake.run(0)["tables"][0]["partitions"], json!([]), "a run has nothing to do after it");
}

#[test]
fn records_that_fill_several_batches_are_each_counted_once() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    let pad = "x".repeat(1 << 20);
    let record = |at: usize| match at % 2 {
        0 => format!("{{\"id\":\"{at:02}\",\"n\":7,\"pad\":\"{pad}\"}}"),
        _ => format!("{{\"id\":\"{at:02}\",\"n\":2}}"),
    };
    lake.land("10", "a", (0..40).map(record).collect::<String>().as_bytes());
    lake.run(0);
    assert_eq!(ids(&lake).len(), 20);
    lake.configure("[table.columns.n]\nmax = 10");
    assert_eq!(tries(&document(&lake, &[])["total"]), "20 20 0 0 0 0");
    let mut all = ids(&lake);
    all.sort();
    assert_eq!(all, (0..40).map(|at| format!("{at:02}")).collect::<Vec<_>>());
}

#[test]
fn a_repair_after_it_has_the_same_rows() {
    let lake = with_bad_records();
    lake.configure("[table.columns.n]\nmax = 10");
    document(&lake, &[]);
    let repair = || lake.lakebed(&["repair", "shop.clicks", HOUR, "--output", "json"]).json(0);
    let repaired = repair();
    assert_eq!((&repaired["action"], &repaired["rows"]), (&json!("repaired"), &json!({"only_before": 0, "only_after": 0})));
    assert_eq!(quarantine(&lake), ["type_mismatch null false", "rule_broken null false", "malformed_json null false"]);
    assert_eq!(repair()["action"], "nothing to repair");
    assert_eq!(ids(&lake), ["a", "b", "d", "f", "g"]);
}

#[test]
fn a_reason_and_an_hour_select() {
    let lake = with_bad_records();
    lake.land("11", "a", b"{\"id\":\"h\",\"n\":8}{\"id\":\"i\"}");
    lake.run(0);
    lake.configure("[table.columns.n]\nmax = 60");
    assert_eq!(reasons(&document(&lake, &["--hour", HOUR, "--reason", "type_mismatch"])), ["type_mismatch 1 0 1 0 0 0"]);
    assert_eq!(ids(&lake), ["b", "d", "f", "g", "i"]);
    assert_eq!(reasons(&document(&lake, &["--hour", HOUR, "--reason", "rule_broken"])), ["rule_broken 2 2 0 0 0 0"]);
    assert_eq!(ids(&lake), ["a", "b", "d", "e", "f", "g", "i"]);
    assert_eq!(versions(&lake, "11").len(), 1);
    document(&lake, &["--hour", "2026-11-19T11"]);
    assert_eq!(ids(&lake), ["a", "b", "d", "e", "f", "g", "h", "i"]);
    let nothing = redrive(&lake, &["--reason", "too_deep"]);
    assert_eq!(nothing.stdout, "shop.clicks: nothing to redrive: no record is in quarantine as too_deep\n");
    refused(&redrive(&lake, &["--hour", "2026-11-19T12"]), 2, &["nothing was merged for 2026-11-19T12"]);
    refused(&redrive(&lake, &["--hour", "2026-11-19T10/page=books"]), 2, &["`page` is no partition key"]);
    let unknown = redrive(&lake, &["--reason", "bad"]);
    assert!(unknown.code == 2 && unknown.stderr.contains("type_mismatch, rule_broken"), "{}", unknown.stderr);
}

#[test]
fn a_redriven_record_that_repeats_an_event_is_a_duplicate_and_order_holds() {
    let merge = "[table.merge]\ndeduplicate_by = [\"id\"]\nsort_by = [\"id\"]\n";
    let lake = Lake::small(&format!("{merge}[table.columns.n]\nmax = 5"));
    lake.land("10", "a", b"{\"id\":\"c\"}{\"id\":\"b\",\"n\":7}{\"id\":\"c\",\"n\":8}{\"id\":\"d\"}{\"id\":\"b\",\"n\":9}{\"id\":\"e\"}");
    lake.run(0);
    lake.configure(merge);
    document(&lake, &[]);
    assert_eq!(lake.query("SELECT id, n FROM shop.clicks").iter().map(|row| row["id"].clone()).collect::<Vec<_>>(), ["b", "c", "d", "e"]);
    assert_eq!(lake.query("SELECT n FROM shop.clicks WHERE id = 'b'"), [json!({"n": 7})]);
    let counts = json!({"read": 6, "merged": 4, "quarantined": 0, "duplicates": 2, "dropped": 0, "resolved": 3});
    assert_eq!(head(&lake, "10")["sources"][0]["counts"], counts);
}

#[test]
fn an_object_that_was_set_aside_comes_in_once_enough_of_it_fits() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\",\"n\":8}{\"id\":\"c\",\"n\":\"x\"}{\"id\":\"d\"}");
    lake.land("10", "b", b"{\"id\":\"e\"}");
    lake.run(3);
    assert_eq!(ids(&lake), ["e"]);
    let aside = document(&lake, &["--dry-run"]);
    assert_eq!(reasons(&aside), ["object_set_aside 1 0 1 0 0 0", "rule_broken 2 0 2 0 0 0", "type_mismatch 1 0 1 0 0 0"]);
    lake.configure("[table.columns.n]\nmax = 7");
    document(&lake, &[]);
    let version = head(&lake, "10");
    assert_eq!((ids(&lake), &version["missing"]), (vec!["a".to_string(), "d".into(), "e".into()], &json!([])));
    assert_eq!(version["sources"][0]["rejected"], Value::Null);
    lake.land("10", "a", b"{\"id\":\"a\"}");
    let run = lake.run(0);
    assert!(
        run["tables"][0]["warnings"].to_string().contains("lakebed repair"),
        "its rows are there, so another content is no new object: {run}"
    );
    assert_eq!(ids(&lake), ["a", "d", "e"]);
}

#[test]
fn an_object_that_comes_in_reason_by_reason_lacks_nothing_in_the_end() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\",\"n\":8}{\"id\":\"c\",\"n\":\"x\"}{\"id\":\"d\"}");
    lake.run(3);
    lake.configure("");
    let missing = || head(&lake, "10")["missing"].clone();
    let told = missing()[0]["reason"].as_str().unwrap().to_string();
    assert!(told.contains("`lakebed redrive` takes it in"), "what is the same under the same name is not taken in again: {told}");
    document(&lake, &["--reason", "rule_broken"]);
    let told = missing()[0]["reason"].as_str().unwrap().to_string();
    assert!(told.contains("`lakebed repair`") && !told.contains("land it again"), "another content is a changed object now: {told}");
    assert_eq!((ids(&lake), head(&lake, "10")["sources"][0]["rejected"].clone()), (vec!["a".to_string(), "b".into()], Value::Null));
    document(&lake, &["--reason", "object_set_aside"]);
    assert_eq!((ids(&lake).len(), missing()), (3, json!([])), "a record of another type is in quarantine, and nothing is missing");
    assert_eq!(document(&lake, &[])["partitions"][0]["action"], "redriven");
    assert_eq!(document(&lake, &[])["partitions"][0]["action"], "nothing to redrive");
}

#[test]
fn what_is_no_record_by_today_is_none_in_an_object_that_stays_set_aside_too() {
    let lake = Lake::small("unwrap = \"r\"");
    let data = |id: &str, n: &str| {
        format!("{{\"messageType\":\"DATA_MESSAGE\",\"logEvents\":[{{\"id\":\"{id}\",\"message\":\"{{\\\"n\\\":{n}}}\"}}]}}")
    };
    let control = "{\"messageType\":\"CONTROL_MESSAGE\",\"logEvents\":[]}";
    lake.land("10", "a", [control, &data("a", "7"), &data("b", "true"), &data("c", "true")].concat().as_bytes());
    lake.run(3);
    lake.configure("format = \"cloudwatch-logs\"");
    let planned = document(&lake, &["--dry-run"]);
    assert_eq!(reasons(&planned), ["type_mismatch 4 1 3 0 0 0"]);
    assert_eq!(reasons(&document(&lake, &[])), reasons(&planned));
    let version = head(&lake, "10");
    let counts = json!({"read": 4, "merged": 0, "quarantined": 3, "duplicates": 0, "dropped": 1, "resolved": 1});
    assert_eq!((&version["counts"], version["missing"].as_array().unwrap().len()), (&counts, 1));
    assert_eq!(reasons(&document(&lake, &[])), ["object_set_aside 1 0 1 0 0 0", "type_mismatch 2 0 2 0 0 1"]);
    lake.configure("format = \"cloudwatch-logs\"\n[table.quarantine]\nmax_ratio = 1.0");
    document(&lake, &[]);
    assert_eq!((ids(&lake), &head(&lake, "10")["missing"]), (vec!["a".to_string()], &json!([])));
}

#[test]
fn an_object_without_a_record_for_the_table_is_set_aside_no_more() {
    let lake = Lake::small("unwrap = \"r\"");
    lake.land("10", "a", b"{\"messageType\":\"CONTROL_MESSAGE\",\"logEvents\":[]}");
    lake.land("10", "b", b"{\"r\":[{\"id\":\"b\"}]}");
    lake.run(3);
    lake.configure("format = \"cloudwatch-logs\"");
    document(&lake, &[]);
    let version = head(&lake, "10");
    assert_eq!((&version["missing"], &version["sources"][0]["rejected"]), (&json!([]), &Value::Null));
}

#[test]
fn a_redrive_under_a_wrong_format_takes_nothing_away_from_the_next() {
    let right = "format = \"snowplow-tsv\"\n[table.quarantine]\nmax_ratio = 1.0\n";
    let lake = Lake::small(&format!("{right}[table.columns.id]\nrequired = true"));
    let event = [&b"shop"[..], &[b'\t'; 130], b"\n"].concat();
    lake.land("10", "a", &[&event[..], b"{\"id\":\n", b"{\"id\":\"a\"}\n"].concat());
    lake.run(0);
    lake.configure("[table.quarantine]\nmax_ratio = 1.0\n");
    assert_eq!(reasons(&document(&lake, &[])), ["malformed_json 1 0 0 0 1 0", "rule_broken 1 0 1 0 0 0"]);
    assert_eq!(quarantine(&lake), ["malformed_json 1 false", "malformed_json null false"]);
    lake.configure(right);
    assert_eq!(reasons(&document(&lake, &[])), ["malformed_json 2 1 0 0 1 0"]);
    assert_eq!(quarantine(&lake), ["malformed_json 1 true", "malformed_json null false"]);
    assert_eq!(lake.query("SELECT count(*) AS n, count(id) AS ids FROM shop.clicks"), [json!({"n": 2, "ids": 1})]);
}

#[test]
fn a_damaged_object_is_left_to_be_landed_again() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    let mut whole = gzip(b"{\"id\":\"a\",\"n\":7}{\"id\":\"b\"}{\"id\":\"c\"}");
    let end = whole.len() - 6;
    whole[end] ^= 0xff;
    lake.land("10", "a.gz", &whole);
    lake.land("10", "b", b"{\"id\":\"d\"}");
    lake.run(3);
    lake.configure("");
    let answer = redrive(&lake, &["--output", "json"]).json(0);
    assert_eq!(answer["total"]["left"], answer["total"]["records"], "{answer}");
    assert_eq!((versions(&lake, "10").len(), ids(&lake)), (1, vec!["d".to_string()]));
}

#[test]
fn what_is_not_kept_as_it_landed_is_left_to_a_repair() {
    let lake = Lake::small("[table.columns.n]\nmax = 5\n[table.columns.id]\nprivacy = \"hmac-sha256\"");
    lake.set("hmac_key", "0123456789abcdef");
    lake.land("10", "a", b"{\"id\":\"jane\",\"n\":7}{\"n\":8}{\"n\":1}{\"n\":2}");
    lake.run(0);
    lake.configure("[table.columns.n]\nmax = 10\n[table.columns.id]\nprivacy = \"hmac-sha256\"");
    lake.set("hmac_key", "0123456789abcdef");
    let answer = redrive(&lake, &[]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    assert!(answer.stdout.contains("  rule_broken: 2 records, 1 fit, 0 do not, 1 not kept as they landed\n"), "{}", answer.stdout);
    assert!(answer.stdout.contains("`lakebed repair shop.clicks HOUR` reads what landed"), "{}", answer.stdout);
    assert_eq!(lake.query("SELECT count(*) AS n, count(id) AS ids FROM shop.clicks"), [json!({"n": 3, "ids": 0})]);
}

#[test]
fn a_rollback_goes_back_behind_it_with_its_quarantine() {
    let lake = with_bad_records();
    lake.configure("[table.columns.n]\nmax = 10");
    document(&lake, &[]);
    lake.lakebed(&["rollback", "shop.clicks", HOUR, "--output", "json"]).json(0);
    assert_eq!((ids(&lake).len(), quarantine(&lake).len()), (4, 4));
    assert_eq!(head(&lake, "10")["counts"]["resolved"], Value::Null);
    document(&lake, &[]);
    assert_eq!(ids(&lake), ["a", "b", "d", "f", "g"]);
}

#[test]
fn late_objects_and_a_redrive_go_on_from_one_another() {
    let lake = with_bad_records();
    lake.configure("[table.columns.n]\nmax = 10");
    document(&lake, &[]);
    lake.land("10", "c", b"{\"id\":\"h\",\"n\":11}{\"id\":\"i\"}");
    lake.run(0);
    assert_eq!(quarantine(&lake).len(), 5);
    assert_eq!(quarantine(&lake)[0], "rule_broken null true", "an amendment takes the history along");
    lake.configure("");
    document(&lake, &[]);
    assert_eq!(ids(&lake), ["a", "b", "d", "e", "f", "g", "h", "i"]);
    assert_eq!(head(&lake, "10")["counts"]["resolved"], 3);
}

#[test]
fn redrives_and_runs_at_the_same_time_take_each_record_in_once() {
    let lake = Lake::small("[table.columns.n]\nmax = 5");
    lake.land("10", "a", b"{\"id\":\"a\"}{\"id\":\"b\",\"n\":7}");
    lake.run(0);
    let mut expected = vec!["a".to_string(), "b".to_string()];
    for max in [10, 20, 30] {
        lake.configure(&format!("[table.columns.n]\nmax = {max}"));
        let name = format!("c{max}");
        lake.land("10", &name, format!("{{\"id\":\"{name}\"}}{{\"id\":\"{name}x\",\"n\":{}}}", max + 1).as_bytes());
        let commands: [&[&str]; 4] = [&["redrive", "shop.clicks"], &["run", "--at", AT], &["redrive", "shop.clicks"], &["run", "--at", AT]];
        let start = |arguments: &&[&str]| lake.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let started: Vec<_> = commands.iter().map(start).collect();
        for one in started {
            let answer = Answer::of(one.wait_with_output().unwrap());
            assert_eq!(answer.code, 0, "{}{}", answer.stdout, answer.stderr);
        }
        expected.push(name);
        assert_eq!(ids(&lake), expected);
        expected.push(format!("c{max}x"));
        expected.sort();
    }
}

/// A report of Firehose's of a record that arrived so many milliseconds after 1970, if it says so.
pub(super) fn report(arrival: Option<i64>, record: &[u8]) -> String {
    use base64::Engine;
    let raw = base64::engine::general_purpose::STANDARD.encode(record);
    let arrival = arrival.map_or_else(String::new, |millis| format!("\"arrivalTimestamp\":{millis},"));
    format!("{{\"attemptsMade\":4,{arrival}\"errorCode\":\"Lambda.FunctionError\",\"errorMessage\":\"timed out\",\"rawData\":\"{raw}\"}}\n")
}

/// Lands an error object that is named after 2026-11-19T`hour`:05:09, and returns its key.
pub(super) fn land_errors(lake: &Lake, hour: &str, reports: &str) -> String {
    let key = format!("errors/processing-failed/clicks-1-2026-11-19-{hour}-05-09-a9fa96af-e4e4-409f-bac3-1f804714faaa");
    let file = lake.path("landing").join(&key);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, reports).unwrap();
    key
}

pub(super) const ERRORS: &str = "error_prefix = \"errors/!{firehose:error-output-type}/\"\nlookback = \"100000h\"\n";

/// 2026-11-19T`hour`:30, in milliseconds since 1970.
pub(super) fn millis(hour: i64) -> i64 {
    1_795_046_400_000 + hour * 3_600_000 + 1_800_000
}

#[test]
fn firehoses_error_objects_go_into_the_hours_of_their_records_once() {
    let lake = Lake::small(&format!("{ERRORS}[table.columns.n]\nmax = 5"));
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let reports = [
        report(Some(millis(10)), b"{\"id\":\"b\",\"n\":1}{\"id\":\"c\",\"n\":7}"),
        report(Some(millis(11)), &gzip(b"{\"id\":\"d\"}")),
        report(None, b"{\"id\":\"e\"}"),
        report(Some(millis(10)), b""),
        "{\"manifest\":1}\n".to_string(),
    ];
    let key = land_errors(&lake, "12", &reports.concat());
    assert_eq!(lake.run(0)["tables"][0]["partitions"], json!([]), "a run takes them for no data");
    let before = snapshot(lake.folder.path());
    let told = |done: &Value| {
        let line = |error: &Value| {
            format!("{} {} {}", error["action"].as_str().unwrap(), error["values"]["hour"].as_str().unwrap(), error["records"])
        };
        done["errors"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    };
    let counts = |read, merged, quarantined, dropped| json!({"read": read, "merged": merged, "quarantined": quarantined, "duplicates": 0, "dropped": dropped});
    let expected = [("10", counts(3, 1, 1, 1)), ("11", counts(1, 1, 0, 0)), ("12", counts(2, 1, 1, 0))];
    let lines = |action: &str| expected.iter().map(|(hour, counts)| format!("{action} {hour} {counts}")).collect::<Vec<_>>();
    assert_eq!(told(&document(&lake, &["--dry-run"])), lines("would take in"));
    assert_eq!(snapshot(lake.folder.path()), before);
    assert_eq!(told(&document(&lake, &[])), lines("taken in"));
    assert_eq!(ids(&lake), ["a", "b", "d", "e"]);
    let hours = lake.query("SELECT id, hour FROM shop.clicks WHERE id IN ('b', 'd', 'e') ORDER BY id");
    assert_eq!(hours.iter().map(|row| row["hour"].clone()).collect::<Vec<_>>(), ["10", "11", "12"]);
    assert_eq!(versions(&lake, "11")[0]["operation"], "create");
    assert_eq!(head(&lake, "10")["sources"][1]["key"], json!(key));
    let rejects = lake.query("SELECT object, reason, arrow_cast(raw, 'Utf8') AS raw FROM shop.clicks_quarantine ORDER BY reason");
    assert_eq!(rejects[0]["reason"], "firehose_error");
    assert_eq!((&rejects[1]["object"], &rejects[1]["raw"]), (&json!(key), &json!("{\"id\":\"c\",\"n\":7}")));

    let versions_of = |hour: &str| versions(&lake, hour).len();
    let known = ["10", "11", "12"].map(versions_of);
    let again = document(&lake, &[]);
    assert_eq!((told(&again), ["10", "11", "12"].map(versions_of)), (vec![], known), "repeating it changes nothing");
    lake.configure(ERRORS);
    assert_eq!(tries(&document(&lake, &["--hour", HOUR])["total"]), "1 1 0 0 0 0");
    assert_eq!(ids(&lake), ["a", "b", "c", "d", "e"]);
    let repair = |hour: &str| lake.lakebed(&["repair", "shop.clicks", hour, "--output", "json"]).json(0);
    assert_eq!(repair(HOUR)["rows"], json!({"only_before": 0, "only_after": 0}), "a repair takes them in again");
    assert_eq!((repair(HOUR)["action"].clone(), ids(&lake).len()), (json!("nothing to repair"), 5));
    lake.land("11", "late", b"{\"id\":\"f\"}");
    lake.run(0);
    assert_eq!(ids(&lake), ["a", "b", "c", "d", "e", "f"]);
    std::fs::remove_file(lake.path("landing").join(&key)).unwrap();
    refused(&lake.lakebed(&["repair", "shop.clicks", HOUR]), 1, &["errors/processing-failed/", "nothing was changed"]);
}

/// The warnings of a redrive, which must be as many as these and say each of these.
fn warned(done: &Value, expected: &[&[&str]]) {
    let told: Vec<&str> = done["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (warning, words) in told.iter().zip(expected) {
        assert!(words.iter().all(|word| warning.contains(word)), "{words:?}: {warning}");
    }
}

#[test]
fn error_objects_that_are_passed_over_are_told_with_what_to_do() {
    let lake = Lake::small(ERRORS);
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let key = land_errors(&lake, "10", &report(Some(millis(10)), b"{\"id\":\"b\"}"));
    document(&lake, &[]);
    assert_eq!(ids(&lake), ["a", "b"]);
    // Written again.
    land_errors(&lake, "10", &[report(Some(millis(10)), b"{\"id\":\"b\"}"), report(Some(millis(10)), b"{\"id\":\"c\"}")].concat());
    for more in [&["--dry-run"][..], &[]] {
        warned(&document(&lake, more), &[&["hour=10", &key, "was written again", "`lakebed repair`"]]);
    }
    lake.lakebed(&["repair", "shop.clicks", HOUR, "--output", "json"]).json(0);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
    warned(&document(&lake, &[]), &[]);
    // Taken out by a rollback.
    let first = versions(&lake, "10")[0]["generation"]["id"].as_str().unwrap().to_string();
    lake.lakebed(&["rollback", "shop.clicks", HOUR, "--to", &first, "--output", "json"]).json(0);
    for _ in 0..2 {
        warned(&document(&lake, &[]), &[&["hour=10", &key, "rolled back", "`lakebed repair`"]]);
    }
    assert_eq!(ids(&lake), ["a"]);
    lake.lakebed(&["repair", "shop.clicks", HOUR, "--output", "json"]).json(0);
    warned(&document(&lake, &[]), &[]);
    // No reports, and no time.
    std::fs::write(lake.path("landing").join(key.replace("-10-05-09-", "-10-05-10-")), "{\"manifest\":1}").unwrap();
    std::fs::write(lake.path("landing/errors/processing-failed/one"), report(Some(millis(10)), b"{\"id\":\"d\"}")).unwrap();
    std::fs::write(lake.path("landing/errors/processing-failed/two"), "").unwrap();
    let untimed = ["left alone error object errors/processing-failed/one:", "name it as Firehose does"];
    warned(&document(&lake, &["--hour", HOUR]), &[&untimed, &["-10-05-10-", "no report of Firehose's", "`error_prefix`"]]);
    assert_eq!(ids(&lake), ["a", "b", "c"]);
}

#[test]
fn another_error_prefix_or_time_zone_takes_no_error_record_in_twice() {
    let lake = Lake::small(ERRORS);
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    // Of two records one does not tell when it arrived. The folder is of the hour before the one in the name.
    let name = "2026/11/19/09/clicks-1-2026-11-19-10-05-09-a9fa96af-e4e4-409f-bac3-1f804714faaa";
    let file = lake.path("landing/errors/processing-failed").join(name);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, [report(None, b"{\"id\":\"b\"}"), report(Some(millis(12)), b"{\"id\":\"c\"}")].concat()).unwrap();
    document(&lake, &[]);
    let dated = ERRORS.replace("-type}/", "-type}/!{timestamp:yyyy/MM/dd/HH}/");
    for errors in [&dated, "error_prefix = \"errors/\"\nlookback = \"100000h\"\n"] {
        lake.configure(errors);
        assert_eq!((&document(&lake, &[])["errors"], ids(&lake)), (&json!([]), vec!["a".to_string(), "b".into(), "c".into()]));
    }
    lake.configure(&format!("{ERRORS}timezone = \"America/New_York\""));
    refused(&redrive(&lake, &[]), 2, &["`timezone` is `America/New_York`", "every landed object would be merged a second time"]);
}

#[test]
fn error_objects_that_cannot_be_placed_are_told() {
    let keyed = "prefix = \"c=!{partitionKeyFromQuery:c}/!{timestamp:yyyy/MM/dd/HH}/\"\npartition_by = \"c=!{partitionKeyFromQuery:c}/at=!{timestamp:yyyyMMddHH}\"\n";
    let lake = Lake::new(&format!("{ERRORS}{keyed}"));
    lake.migration(
        "CREATE EXTERNAL TABLE ${table} (id string, rescued map<string,string>) PARTITIONED BY (c string, at string) \
         STORED AS PARQUET LOCATION '${location}'",
    );
    let folder = lake.path("landing/c=eu/2026/11/19/10");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), "{\"id\":\"a\"}").unwrap();
    lake.run(0);
    land_errors(&lake, "10", &report(Some(millis(10)), b"{\"id\":\"b\"}"));
    let done = document(&lake, &[]);
    assert_eq!((&done["errors"], ids(&lake).len()), (&json!([]), 1));
    assert!(done["warnings"][0].as_str().unwrap().contains("left alone 1 error object of Firehose"), "{done}");
}

#[test]
fn a_damaged_error_object_is_left_alone_and_told() {
    let lake = Lake::small(ERRORS);
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    let key = land_errors(&lake, "10", "");
    let whole = gzip(report(Some(millis(10)), b"{\"id\":\"b\"}").as_bytes());
    std::fs::write(lake.path("landing").join(&key), &whole[..whole.len() / 2]).unwrap();
    let answer = redrive(&lake, &["--output", "json"]);
    assert_eq!(answer.code, 1, "{}{}", answer.stdout, answer.stderr);
    assert!(answer.stderr.contains(&key) && answer.stderr.contains("it is left alone"), "{}", answer.stderr);
    assert_eq!(ids(&lake), ["a"]);
}
