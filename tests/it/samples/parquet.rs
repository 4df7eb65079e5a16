//! Parquet files of other writers, landed as Firehose's own format conversion lands them: every row is merged.

use bytes::Bytes;
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::json;

use super::{ALL, KEEP, counted, land, samples};

/// What they are compressed with is not read: see docs/formats.md.
const LZ4: [&str; 3] = ["hadoop_lz4_compressed_larger.parquet", "lz4_raw_compressed.parquet", "lz4_raw_compressed_larger.parquet"];

#[test]
fn every_row_of_files_of_other_writers_is_merged() {
    let mut landed = std::collections::BTreeMap::new();
    for set in ["parquet-testing/data", "arrow-testing/data/parquet"] {
        let Some(files) = samples(set) else { return };
        landed.extend(files.into_iter().filter(|(name, _)| name.ends_with(".parquet")));
    }
    let lake = land(ALL, KEEP, &landed);
    lake.run(3);
    let told = counted(&lake);
    let mut all = 0;
    for (name, bytes) in &landed {
        let rows = SerializedFileReader::new(Bytes::from(bytes.clone())).unwrap().metadata().file_metadata().num_rows() as u64;
        let expected = if LZ4.contains(&name.as_str()) { (1, 0) } else { (rows, rows) };
        assert_eq!(told[&name.replace('/', "-")], expected, "{name}");
        all += expected.1;
    }
    assert!(landed.len() >= 40 && all > 10_000, "{} files, {all} rows", landed.len());
    assert_eq!(lake.query("SELECT count(*) AS n FROM shop.clicks"), [json!({"n": all})]);
    let set_aside = lake.query("SELECT count(*) AS n FROM shop.clicks_quarantine WHERE detail LIKE '%compressed with LZ4%'");
    assert_eq!(set_aside, [json!({"n": 3})]);
    for value in [r#"{"a":{"1":true,"2":false}}"#, r#"[[["a","b"],["c"]],[null,["d"]]]"#] {
        let found = lake.query(&format!("SELECT count(*) AS n FROM shop.clicks WHERE rescued['a'] = '{value}'"));
        assert_eq!(found, [json!({"n": 1})], "{value}");
    }
}
