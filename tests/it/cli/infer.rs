//! `infer`: a first migration that `run` accepts, from clean and from odd data.

use super::super::support::{Lake, example, files};
use super::{ids, refused};

/// Infers a migration from the lake's landing and puts it in place.
fn migrate(lake: &Lake) -> String {
    let answer = lake.lakebed(&["infer", lake.path("landing").to_str().unwrap()]);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    lake.migration(&answer.stdout);
    answer.stdout
}

#[test]
fn the_example_runs_on_its_inferred_migration() {
    let lake = Lake::new("");
    let landing = example("landing");
    for (file, bytes) in files(&landing) {
        let to = lake.path("landing").join(file.strip_prefix(&landing).unwrap());
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    let ddl = migrate(&lake);
    assert!(ddl.contains("CREATE EXTERNAL TABLE ${table}") && ddl.contains("event_id string"), "{ddl}");
    let run = lake.run(0);
    // Of the 40 bad ones, only truncated records, records that are not UTF-8 and documents that are no objects fit no schema.
    let records = &run["tables"][0]["records"];
    assert_eq!((&records["read"], &records["quarantined"], &records["merged"]), (&8000.into(), &20.into(), &7980.into()));
    assert_eq!(lake.query("SELECT count(*) AS n FROM shop.clicks WHERE page.url IS NULL OR collector_tstamp IS NULL")[0]["n"], 0);
}

#[test]
fn odd_data_gives_a_table_that_takes_all_of_it() {
    let lake = Lake::small("");
    let records = [
        r#"{"id":"01","Mixed Case":1,"größe":2.5,"nested":{"a":{"b":[1,2]},"empty":{}},"list":[],"hour":"x","order":1}"#,
        r#"{"id":"02","mixed case":"two","größe":3,"nested":{"a":{"b":[]},"empty":{}},"list":[{"k":1},{"j":"t"}],"select":true}"#,
        r#"{"id":"03","big":123456789012345678901234567890,"neg":-1,"list":[null],"nested":null,"when":"2026-11-19T10:00:00Z"}"#,
        r#"{"id":"04","big":1,"neg":9223372036854775807,"":"no name","when":"yesterday","tags":["a",1,{"x":2}],"only_null":null}"#,
        r#"{"ID":"05","9lives":9,"a.b":"dot","a-b":"dash","deep":{"1":{"2":{"3":{"4":"5"}}}}}"#,
    ];
    lake.land("10", "odd", records.join("\n").as_bytes());
    lake.land("10", "empty", b"");
    lake.land("10", "white", b" \r\n\t");
    let ddl = migrate(&lake);
    let run = lake.run(0);
    let counts = &run["tables"][0]["records"];
    assert_eq!(
        (&counts["merged"], &counts["quarantined"]),
        (&5.into(), &0.into()),
        "{ddl}\n{:?}",
        lake.query("SELECT * FROM shop.clicks_quarantine")
    );
    assert_eq!(ids(&lake), ["01", "02", "03", "04", "05"]);
    let merged = files(&lake.path("lake")).into_iter().find(|(file, _)| file.extension().is_some_and(|extension| extension == "parquet"));
    lake.land("10", "parquet", &merged.unwrap().1);
    assert!(migrate(&lake).contains("; 1 object not read to the end"), "an object without documents is not passed over in silence");
}

#[test]
fn a_folder_without_records_is_refused() {
    let lake = Lake::small("");
    let landing = lake.path("landing");
    let text = landing.to_str().unwrap();
    refused(&lake.lakebed(&["infer", text]), 2, &["has no JSON records in 0 objects", "the folder that Firehose writes to"]);
    lake.land("10", "a", b" \n");
    refused(&lake.lakebed(&["infer", text]), 2, &["has no JSON records in 1 object"]);
    refused(&lake.lakebed(&["infer", lake.path("nope").to_str().unwrap()]), 2, &["nope", "is not a folder"]);
    refused(&lake.lakebed(&["infer", text, "--name", "clicks"]), 2, &["`clicks` is not a table's name", "shop.clicks"]);
}
