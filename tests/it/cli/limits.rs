//! What is too much for one hour, or would be wrong for all: the hour fails alone, and the wrong setting is refused.

use serde_json::json;

use super::super::support::{Answer, Lake, files};
use super::{RUN, gzip, ids, one_message, refused};

#[test]
fn an_hour_that_needs_too_much_memory_fails_alone() {
    let lake = Lake::small("[table.merge]\ndeduplicate_by = [\"id\"]");
    lake.limit_memory("1MiB");
    for hour in ["09", "12"] {
        lake.land(hour, "a", b"{\"id\":\"a\"}");
    }
    for object in 0..10 {
        let records: String = (0..1000).map(|n| format!("{{\"id\":\"{object}-{n}\"}}")).collect();
        lake.land("10", &format!("o{object}"), records.as_bytes());
    }
    let answer = lake.lakebed(&["run", "--at", super::super::support::AT, "--output", "json"]);
    one_message(&answer.stderr, &["hour=10", "too many to find duplicates among", "raise [lake] memory"]);
    let run = answer.json(3);
    assert_eq!(run["failures"][0]["partition"], "year=2026/month=11/day=19/hour=10");
    let hours: Vec<_> = lake.partitions().iter().map(|line| (line["values"]["hour"].clone(), line["in_catalog"].clone())).collect();
    assert_eq!(hours, [(json!("09"), json!(true)), (json!("12"), json!(true))]);
    assert!(!files(&lake.path("lake")).keys().any(|path| path.to_string_lossy().contains("hour=10")), "nothing half-made is left");
}

#[test]
fn an_object_whose_records_take_more_memory_than_there_is_is_read_twice() {
    let lake = Lake::small("[table.quarantine]\nmax_ratio = 1");
    lake.limit_memory("8MiB");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    // A reject takes about 200 bytes of memory, so these are about 20 MB.
    lake.land("10", "scalars", ["0 ".repeat(100_000).as_str(), "{\"id\":\"b\"}"].concat().as_bytes());
    let run = lake.run(0);
    let expected = json!({"read": 100_002, "merged": 2, "quarantined": 100_000, "duplicates": 0, "dropped": 0});
    assert_eq!(run["tables"][0]["records"], expected);
    assert_eq!(ids(&lake), ["a", "b"]);
    let kept = lake.query("SELECT count(*) AS n, count(DISTINCT byte_offset) AS places FROM shop.clicks_quarantine");
    assert_eq!(kept, [json!({"n": 100_000, "places": 100_000})], "each of them once");
}

#[test]
fn a_damaged_object_that_takes_more_memory_than_there_is_is_entered_whole() {
    let lake = Lake::small("");
    lake.limit_memory("8MiB");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    // More than half of the records are bad, so that good ones that were handed on would have to be taken back.
    let bytes = gzip("{}{}{}0 0 0 0 ".repeat(10_000).as_bytes());
    lake.land("10", "cut", &bytes[..bytes.len() - 4]);
    let run = lake.run(3);
    let error = run["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("10/cut") && error.contains("gzip"), "{error}");
    let expected = json!({"read": 70_002, "merged": 1, "quarantined": 70_001, "duplicates": 0, "dropped": 0});
    assert_eq!(run["tables"][0]["records"], expected, "each of its records, and its damaged end");
    assert_eq!(ids(&lake), ["a"]);
    let reasons = lake.query("SELECT reason, count(*) AS n FROM shop.clicks_quarantine GROUP BY reason ORDER BY reason");
    let expected = [("damaged_object", 1), ("not_an_object", 40_000), ("object_set_aside", 30_000)];
    assert_eq!(reasons, expected.map(|(reason, n)| json!({"reason": reason, "n": n})));
}

/// A record has at most a sixteenth of the half of the memory that is for objects.
#[test]
fn a_record_that_is_too_large_stays_in_the_landing() {
    let lake = Lake::small("");
    lake.limit_memory("16MiB");
    let long = format!("{{\"id\":\"long\",\"x\":\"{}\"}}", "x".repeat(3 << 20));
    let records = ["{\"id\":\"a\"}", &long, "{\"id\":\"b\"}\n", &long, "\n{\"id\":\"c\"}"].concat();
    lake.land("10", "plain", records.as_bytes());
    lake.land("10", "packed", &gzip(records.as_bytes()));
    let run = lake.run(3);
    // What could not be held may have been many records, so the hour is not complete.
    let failure = run["failures"][0]["error"].as_str().unwrap();
    assert!(failure.contains("2 of its records have more than 1048576 bytes and stay in the landing alone"), "{failure}");
    assert_eq!(run["tables"][0]["records"], json!({"read": 10, "merged": 6, "quarantined": 4, "duplicates": 0, "dropped": 0}));
    assert_eq!(ids(&lake), ["a", "a", "b", "b", "c", "c"]);
    let kept =
        lake.query("SELECT byte_offset, byte_length, raw, reason FROM shop.clicks_quarantine WHERE object LIKE '%/packed' ORDER BY 1");
    let large = |offset: usize| json!({"byte_offset": offset, "byte_length": long.len(), "raw": null, "reason": "too_large"});
    assert_eq!(kept, [large(10), large(10 + long.len() + 11)]);
}

#[test]
fn an_object_that_loses_nearly_all_records_is_set_aside() {
    let lake = Lake::small("");
    let good = "{\"id\":\"a\",\"n\":1}";
    lake.land("10", "separated", [good; 1000].join(";").as_bytes());
    lake.land("10", "whole", [good; 3].concat().as_bytes());
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"]["rejected"], 1);
    assert_eq!(ids(&lake), ["a", "a", "a"]);
    assert_eq!(lake.partitions()[0]["rows"], 3);
}

#[test]
fn settings_that_would_merge_every_object_again_are_refused() {
    let lake = Lake::small("");
    lake.land("10", "a", b"{\"id\":\"a\"}");
    lake.run(0);
    for (setting, was) in
        [("timezone = \"Europe/Berlin\"", "UTC"), ("prefix = \"!{timestamp:yyyy/MM/dd}/!{timestamp:HH}/\"", "yyyy/MM/dd/HH")]
    {
        lake.configure(setting);
        refused(&lake.lakebed(&RUN), 2, &["shop.clicks", was, "every landed object would be merged a second time", "restore it"]);
    }
    lake.configure("");
    assert_eq!(ids(&lake), ["a"]);
}

#[test]
fn partition_keys_that_need_not_fit_their_type_are_refused() {
    let lake = Lake::small(
        "prefix = \"!{partitionKeyFromQuery:page}/!{timestamp:yyyy/MM/dd/HH}/\"\npartition_by = \"page=!{partitionKeyFromQuery:page}/hour=!{timestamp:yyyyMMddHH}\"",
    );
    let ddl = |page: &str, hour: &str| {
        format!(
            "CREATE EXTERNAL TABLE ${{table}} (id string, rescued map<string,string>) PARTITIONED BY (page {page}, hour {hour}) STORED AS PARQUET LOCATION '${{location}}'"
        )
    };
    lake.migration(&ddl("bigint", "string"));
    refused(&lake.lakebed(&RUN), 2, &["partition key page is declared bigint", "declare it string"]);
    lake.migration(&ddl("string", "date"));
    refused(&lake.lakebed(&RUN), 2, &["partition key hour is declared date", "declare it string"]);
    lake.migration(&ddl("string", "int"));
    lake.run(0);
}

#[test]
fn a_ledger_that_cannot_be_read_stops_its_own_hour_alone() {
    let lake = Lake::small("");
    for hour in ["09", "10", "11"] {
        lake.land(hour, "a", b"{\"id\":\"a\"}");
    }
    lake.run(0);
    let ledger = lake.path(".lakebed/ledger/shop.clicks/year=2026/month=11/day=19/hour=10/00000000000000000001.json");
    std::fs::write(&ledger, "{").unwrap();
    for hour in ["09", "10", "11"] {
        lake.land(hour, "b", b"{\"id\":\"b\"}");
    }
    let answer = lake.lakebed(&RUN);
    assert_eq!(answer.code, 3, "{}", answer.stdout);
    one_message(&answer.stderr, &["hour=10", "00000000000000000001.json", "restore it"]);
    assert_eq!(answer.stdout.matches("amended").count(), 2, "{}", answer.stdout);
    assert_eq!(ids(&lake), ["a", "a", "a", "b", "b"]);
}

#[test]
fn generating_into_a_bucket_needs_a_region() {
    let lake = Lake::small("");
    let mut command = lake.command(&["generate", "--to", "s3://acme-raw/clicks/"]);
    for (name, value) in
        [("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_CONFIG_FILE", "/dev/null"), ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")]
    {
        command.env(name, value);
    }
    command.env_remove("AWS_REGION").env_remove("AWS_DEFAULT_REGION").env_remove("AWS_PROFILE");
    refused(&Answer::of(command.output().unwrap()), 2, &["s3://acme-raw/clicks/", "set AWS_REGION"]);
}
