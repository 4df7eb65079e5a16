//! Parquet objects by another writer, beside JSON in the same hour.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::support::python::script;
use super::{counted, counts, lake};
use crate::support::files;

const COLUMNS: &str = "id string, n bigint, at timestamp, price decimal(10,2), page struct<url:string,depth:int>, tags array<string>, \
                       attributes map<string,string>";

const ROWS: u64 = 3_000;

/// Files of [`ROWS`] rows by pyarrow, by their name.
fn written() -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    script("write_parquet.py", &[folder.path().as_os_str(), ROWS.to_string().as_ref()]);
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_string();
    files(folder.path()).into_iter().map(|(path, bytes)| (name(&path), bytes)).collect()
}

/// A row as `write_parquet.py` describes it.
fn row(n: u64) -> Value {
    let (seconds, micros) = (n, n);
    let fraction = if micros % 1000 == 0 { format!("{:03}", micros / 1000) } else { format!("{micros:06}") };
    let fraction = if micros == 0 { String::new() } else { format!(".{fraction}") };
    let at = format!("2026-11-19T10:{:02}:{:02}{fraction}Z", seconds / 60, seconds % 60);
    let price = json!(format!("{}.{:02}", n / 100, n % 100));
    json!({
        "id": format!("e{n}"), "n": n, "at": at,
        "price": if n.is_multiple_of(7) { Value::Null } else { price },
        "page": if n.is_multiple_of(11) { Value::Null } else { json!({"url": format!("/p/{}", n % 5), "depth": n % 3}) },
        "tags": if n.is_multiple_of(13) { Value::Null } else { (0..n % 4).map(|tag| format!("t{tag}")).collect() },
        "attributes": if n.is_multiple_of(2) { json!({}) } else { json!({"source": format!("s{}", n % 3)}) },
        "rescued": {"extra": n.is_multiple_of(2).to_string()},
    })
}

#[test]
fn parquet_and_json_land_in_one_hour() {
    let lake = lake(COLUMNS, "");
    let files = written();
    for (number, (name, bytes)) in files.iter().enumerate() {
        // The name does not matter.
        lake.land("10", if number == 1 { "rows.gz" } else { name }, bytes);
    }
    let record = |n: u64| {
        row(n)
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, _)| *name != "rescued")
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect::<Value>()
    };
    let text: String = (0..ROWS)
        .map(|n| {
            let mut record = record(n);
            record["extra"] = json!(n % 2 == 0);
            record.to_string()
        })
        .collect();
    lake.land("10", "text.parquet", text.as_bytes());
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["records"], counted(4 * ROWS, 4 * ROWS, 0, 0));
    assert!(counts(&lake).values().all(|counts| *counts == counted(ROWS, ROWS, 0, 0)));
    let rows = lake.query("SELECT id, n, at, CAST(price AS varchar) AS price, page, tags, attributes, rescued FROM shop.clicks ORDER BY n");
    assert_eq!(rows.len() as u64, 4 * ROWS);
    for (number, found) in rows.iter().enumerate() {
        assert_eq!(*found, row(number as u64 / 4));
    }
}

#[test]
fn a_row_that_does_not_fit_is_quarantined_with_its_number_and_its_json() {
    let lake = lake("id string, n tinyint", "");
    let files = written();
    lake.land("10", "rows", &files["flat-snappy.parquet"]);
    lake.land("10", "good", b"{\"id\":\"a\"}");
    lake.configure("[table.quarantine]\nmax_ratio = 1\n");
    assert_eq!(lake.run(0)["tables"][0]["records"], counted(ROWS + 1, 129, ROWS - 128, 0));
    let rejects = lake
        .query("SELECT byte_offset, reason, column_name, arrow_cast(raw, 'Utf8') AS raw FROM shop.clicks_quarantine ORDER BY 1 LIMIT 1");
    assert_eq!(
        (&rejects[0]["byte_offset"], &rejects[0]["reason"], &rejects[0]["column_name"]),
        (&json!(128), &json!("type_mismatch"), &json!("n"))
    );
    let raw: Value = serde_json::from_str(rejects[0]["raw"].as_str().unwrap()).unwrap();
    assert_eq!((&raw["id"], &raw["n"], &raw["tags"]), (&json!("e128"), &json!(128), &json!([])));
}

#[test]
fn a_table_of_parquet_takes_no_text() {
    let lake = lake(COLUMNS, "format = \"parquet\"\n");
    let files = written();
    lake.land("10", "rows", &files["flat-snappy.parquet"]);
    lake.land("10", "text", b"{\"id\":\"a\"}");
    let half = &files["nested-zstd.parquet"];
    lake.land("10", "half", &half[..half.len() / 2]);
    lake.land("10", "nothing", b"");
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 4, "merged": 1, "rejected": 3, "pending": 0}));
    assert_eq!(run["tables"][0]["records"], counted(ROWS + 2, ROWS, 2, 0));
    let errors: Vec<&str> = run["failures"].as_array().unwrap().iter().map(|failure| failure["error"].as_str().unwrap()).collect();
    assert!(errors.iter().any(|error| error.contains("/text") && error.contains("no Parquet object")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("/half") && error.contains("parquet: it ends before its end")), "{errors:?}");
}
