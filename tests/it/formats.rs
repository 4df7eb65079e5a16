//! Formats and compressions as others write them, landed and run: what is in them is counted, typed and kept as promised.

mod cloudwatch;
mod codecs;
mod damage;
mod firehose;
mod parquet;
mod snowplow;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::support::{Lake, files};

/// The end of every migration.
const REST: &str = "PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'";

/// A lake whose table has these columns and `rescued`.
fn lake(columns: &str, settings: &str) -> Lake {
    let lake = Lake::new(settings);
    lake.migration(&format!("CREATE EXTERNAL TABLE ${{table}} ({columns}, rescued map<string,string>) {REST}"));
    lake
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What became of the records of each object, by its name, as the newest ledger versions have it. The counts balance, for each object
/// and together.
fn counts(lake: &Lake) -> BTreeMap<String, Value> {
    let is_version = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let versions = files(&lake.path(".lakebed/ledger")).into_iter().filter(|(path, _)| is_version(path));
    let newest: BTreeMap<PathBuf, Vec<u8>> = versions.map(|(path, text)| (path.parent().unwrap().into(), text)).collect();
    let mut found = BTreeMap::new();
    for text in newest.values() {
        let head: Value = serde_json::from_slice(text).unwrap();
        let mut read = 0;
        for source in head["sources"].as_array().unwrap() {
            let name = source["key"].as_str().unwrap().rsplit('/').next().unwrap();
            balance(&source["counts"]);
            read += source["counts"]["read"].as_u64().unwrap();
            found.insert(name.to_string(), source["counts"].clone());
        }
        balance(&head["counts"]);
        assert_eq!(head["counts"]["read"], read);
    }
    found
}

fn balance(counts: &Value) {
    let sum: u64 = ["merged", "quarantined", "duplicates", "dropped"].iter().map(|name| counts[name].as_u64().unwrap()).sum();
    assert_eq!(counts["read"], sum, "{counts}");
}

/// Counts of a run or an object without duplicates.
fn counted(read: u64, merged: u64, quarantined: u64, dropped: u64) -> Value {
    json!({"read": read, "merged": merged, "quarantined": quarantined, "duplicates": 0, "dropped": dropped})
}

/// Reason and bytes of all quarantined records, in the order of objects and places.
fn rejects(lake: &Lake) -> Vec<(String, String)> {
    let rows = lake.query("SELECT reason, raw FROM shop.clicks_quarantine ORDER BY object, byte_offset, reason");
    rows.iter().map(|row| (row["reason"].as_str().unwrap().to_string(), row["raw"].as_str().unwrap_or("-").to_string())).collect()
}
