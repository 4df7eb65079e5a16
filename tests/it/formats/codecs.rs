//! Compressions by encoders that are not ours: told by content, whatever the name says, and read back exactly.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::support::python::script;
use super::super::support::seeded::Seeded;
use super::{counted, counts, lake};
use crate::support::{Lake, files};

/// Records of about 2 MB: many blocks of every codec, and texts of all lengths that do not compress to nothing.
pub(super) fn records() -> Vec<(String, String)> {
    let mut random = Seeded(41);
    let words = ["landing", "Straße", "\u{1F600}", "partition", "hour", "of", "\\", "\"quoted\"", "a\tb", "{", "}\n{", "日本"];
    let mut text = || -> String {
        let length = random.below(24);
        (0..length).map(|_| format!("{} {:x} ", words[random.below(words.len() as u64) as usize], random.below(1 << 40))).collect()
    };
    (0..9_000).map(|n| (format!("e{n}"), text())).collect()
}

/// They, as they land: one behind the other, sometimes with a line break between.
pub(super) fn text(records: &[(String, String)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, (id, text)) in records.iter().enumerate() {
        out.extend_from_slice(json!({"id": id, "n": n, "t": text}).to_string().as_bytes());
        out.extend_from_slice(["", "\n", "\r\n"][n % 3].as_bytes());
    }
    out
}

/// A text in every compression that the script writes, by the file's name.
pub(super) fn encoded(text: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let (source, out) = (folder.path().join("text"), folder.path().join("out"));
    std::fs::write(&source, text).unwrap();
    script("encode_snappy.py", &[out.as_os_str(), source.as_os_str()]);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    files(&out).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

pub(super) const COLUMNS: &str = "id string, n bigint, t string";

/// Of each object the first records are in the table, as many as `merged` says for each, with the values of the source.
pub(super) fn check_rows(lake: &Lake, records: &[(String, String)], merged: &[u64]) {
    let sql = "SELECT n, min(id) AS id, count(*) AS objects, count(DISTINCT id) AS ids, count(DISTINCT t) AS texts, min(t) AS t \
               FROM shop.clicks GROUP BY n ORDER BY n";
    let rows = lake.query(sql);
    assert_eq!(rows.len() as u64, *merged.iter().max().unwrap());
    for (n, row) in rows.iter().enumerate() {
        let (id, text) = &records[n];
        let objects = merged.iter().filter(|merged| **merged > n as u64).count();
        assert_eq!(*row, json!({"n": n, "id": id, "objects": objects, "ids": 1, "texts": 1, "t": text}));
    }
}

#[test]
fn every_codec_is_told_by_content_and_read_back_exactly() {
    let records = records();
    let text = text(&records);
    assert!(text.len() > 2_000_000, "{}", text.len());
    let lake = lake(COLUMNS, "");
    let wrong = ["gz", "snappy", "zip", "parquet", "json", "zst", "hsnappy"];
    let mut names = Vec::new();
    for (number, (name, bytes)) in encoded(&text).into_iter().filter(|(name, _)| !name.starts_with("raw")).enumerate() {
        let stem = name.split('.').next().unwrap();
        let landed = if number % 2 == 0 { stem.to_string() } else { format!("{stem}.{}", wrong[number % wrong.len()]) };
        lake.land("10", &landed, &bytes);
        names.push(landed);
    }
    lake.land("10", "plain.gz", &text);
    names.push("plain.gz".to_string());
    let each = records.len() as u64;
    let all = each * names.len() as u64;
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["records"], counted(all, all, 0, 0));
    assert_eq!(counts(&lake), names.iter().map(|name| (name.clone(), counted(each, each, 0, 0))).collect::<BTreeMap<_, Value>>());
    check_rows(&lake, &records, &vec![each; names.len()]);
}

/// A bare block of Snappy has no mark by which it could be told, and Firehose writes none.
#[test]
fn bare_blocks_of_snappy_are_set_aside() {
    let lake = lake(COLUMNS, "");
    lake.land("10", "good", b"{\"id\":\"a\"}");
    for (name, bytes) in encoded(&text(&records())).into_iter().filter(|(name, _)| name.starts_with("raw")) {
        lake.land("10", &name, &bytes);
    }
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 3, "merged": 1, "rejected": 2, "pending": 0}));
    assert_eq!(run["tables"][0]["records"]["merged"], 1);
}
