//! What is too much for one hour, or would be wrong for all: the hour fails alone, and the wrong setting is refused.

use serde_json::json;

use super::super::support::{Lake, files};
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
fn an_object_whose_records_take_too_much_memory_waits_for_more() {
    let lake = Lake::small("[table.quarantine]\nmax_ratio = 1");
    lake.limit_memory("8MiB");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    lake.land("10", "scalars", "0 ".repeat(100_000).as_bytes());
    let answer = lake.lakebed(&RUN);
    assert_eq!(answer.code, 3);
    one_message(&answer.stderr, &["10/scalars", "its records take more than 2097152 bytes of memory", "raise that"]);
    assert_eq!(ids(&lake), ["a"]);
    lake.configure("[table.quarantine]\nmax_ratio = 1");
    assert_eq!(lake.run(0)["tables"][0]["records"]["quarantined"], 100_000);
}

#[test]
fn a_damaged_object_that_takes_too_much_memory_is_not_entered_in_part() {
    let lake = Lake::small("");
    lake.limit_memory("8MiB");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    // The bad records alone fit into the memory; the good ones with them, once the object is set aside, do not.
    let bytes = gzip("{}{}{}0 0 0 0 ".repeat(1_900).as_bytes());
    lake.land("10", "cut", &bytes[..bytes.len() - 4]);
    let answer = lake.lakebed(&RUN);
    assert_eq!(answer.code, 3);
    one_message(&answer.stderr, &["10/cut", "of memory, a quarter of [lake] memory: raise that"]);
    assert_eq!(ids(&lake), ["a"]);
    lake.configure("");
    let records = &lake.run(3)["tables"][0]["records"];
    assert_eq!(records["read"], 13_301, "each of its records, and its damaged end");
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
fn generating_into_a_bucket_is_refused() {
    let lake = Lake::small("");
    refused(&lake.lakebed(&["generate", "--to", "s3://acme-raw/clicks/"]), 2, &["s3://acme-raw/clicks/", "local folders only"]);
}
