//! How records stand in an object: line breaks of every kind, none, arrays, broken lines, members of gzip.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ALL, KEEP, land, land_inferred, run, samples};

/// One file of a set.
fn one(files: &BTreeMap<String, Vec<u8>>, name: &str) -> BTreeMap<String, Vec<u8>> {
    BTreeMap::from([(name.to_string(), files[name].clone())])
}

/// A file, how many rows it has, and reason and text of its other records.
type Kept = (&'static str, u64, &'static [(&'static str, &'static str)]);

const DUCKDB: &[Kept] = &[
    ("arr.json", 0, &[("not_an_object", "4"), ("not_an_object", "\"hello\"")]),
    ("array_of_empty_arrays.json", 0, &[("not_an_object", "[]"), ("not_an_object", "[]"), ("not_an_object", "[\n\n  ]")]),
    ("different_schemas.ndjson", 5, &[]),
    ("duplicate_column_names.json", 1, &[]),
    ("duplicate_key.ndjson", 5, &[]),
    ("empty.ndjson", 0, &[]),
    ("empty_array.json", 0, &[]),
    ("empty_no_newline.json", 0, &[]),
    ("example_n.ndjson", 5, &[]),
    ("example_r.ndjson", 5, &[]),
    ("example_rn.ndjson", 5, &[]),
    ("example_rn.ndjson.gz", 5, &[]),
    ("inconsistent_schemas.ndjson", 5, &[]),
    ("malformed/array_comma_malformed.json", 0, &[("malformed_json", ",\n]")]),
    // Nothing was read of the array that lacks its end; that it lacks it is told.
    ("malformed/empty_array_malformed.json", 0, &[("malformed_json", "")]),
    ("malformed/empty_array_trailing.json", 0, &[("not_an_object", "42")]),
    ("map_of_nulls.jsonl", 100, &[]),
    ("multiple_objects_per_line.ndjson", 5, &[]),
    ("projection_pushdown_example.json", 1, &[]),
    ("simple_map.jsonl", 100, &[]),
    ("simple_timestamp.json", 1, &[]),
    ("timestamp_example.json", 1, &[]),
    ("top_level_array.json", 2, &[]),
    ("top_level_two_arrays.json", 4, &[]),
    ("trailing_content.ndjson", 3, &[("malformed_json", "TRAILER")]),
    ("union.ndjson", 3, &[]),
    ("unterminated_quotes.ndjson", 4, &[("malformed_json", "{\"id\":3,\"name\":\"The Firm}")]),
    ("whitespace_only.json", 0, &[]),
    ("with_list.json", 5, &[]),
    ("with_uuid.json", 5, &[]),
];

// Holds once the elements of a top-level array are its records.
#[test]
fn every_framing_of_duckdbs_files_gives_its_records() {
    let Some(files) = samples("duckdb-json") else { return };
    assert_eq!(files.keys().collect::<Vec<_>>(), DUCKDB.iter().map(|(name, _, _)| *name).collect::<Vec<_>>());
    let lake = land(ALL, KEEP, &files);
    let outcomes = run(&lake, &files);
    for (name, rows, rejects) in DUCKDB {
        assert_eq!((outcomes[name].merged, outcomes[name].reasons()), (*rows, rejects.to_vec()), "{name}");
    }
}

#[test]
fn line_breaks_of_every_kind_and_none_give_the_same_rows() {
    let Some(files) = samples("duckdb-json") else { return };
    let names = ["O Brother, Where Art Thou?", "Home for the Holidays", "The Firm", "Broadcast News", "Raising Arizona"];
    let films: Vec<Value> = names.iter().zip(1..).map(|(name, id)| json!({"id": id, "name": name, "rescued": {}})).collect();
    let same = ["example_n.ndjson", "example_r.ndjson", "example_rn.ndjson", "example_rn.ndjson.gz", "multiple_objects_per_line.ndjson"];
    for name in same {
        let file = one(&files, name);
        let lake = land_inferred("", None, &file);
        run(&lake, &file);
        assert_eq!(lake.query("SELECT id, name, rescued FROM shop.clicks ORDER BY id"), films, "{name}");
    }
}

/// The rows of one file in the table that is inferred from it.
fn rows(files: &BTreeMap<String, Vec<u8>>, name: &str, sql: &str) -> Vec<Value> {
    let file = one(files, name);
    let lake = land_inferred(ALL, None, &file);
    run(&lake, &file);
    lake.query(sql)
}

// Holds once the elements of a top-level array are its records.
#[test]
fn values_of_duckdbs_files_are_kept() {
    let Some(files) = samples("duckdb-json") else { return };
    let check = |name: &str, columns: &str, expected: Value| {
        let found = rows(&files, name, &format!("SELECT {columns} FROM shop.clicks"));
        assert_eq!(Value::from(found), expected, "{name}");
    };
    check("duplicate_column_names.json", "id, rescued", json!([{"id": 42, "rescued": {"Id": "43", "iD": "44", "ID": "45"}}]));
    let ids = |ids: [&str; 5]| Value::from(ids.map(|id| json!({"id": id})).to_vec());
    check("inconsistent_schemas.ndjson", "id", ids(["1", "2", "[3]", "4", "5"]));
    check("simple_timestamp.json", "ts", json!([{"ts": ["2022-06-01T06:41:58Z", "2021-08-21T08:26:55.500Z", "2009-11-15T21:58:54.636Z"]}]));
    check("timestamp_example.json", "createdat", json!([{"createdat": "2023-02-07T19:12:28Z"}]));
    check("projection_pushdown_example.json", "databaseid, number", json!([{"databaseid": 4_117_388_031u64, "number": 6105}]));
    check(
        "union.ndjson",
        "data",
        json!([
            {"data": {"name": "Frank", "age": null, "veteran": null}},
            {"data": {"name": null, "age": 5, "veteran": null}},
            {"data": {"name": null, "age": null, "veteran": false}},
        ]),
    );
    check("with_list.json", "count(*) AS n, sum(cardinality(name)) AS words", json!([{"n": 5, "words": 15}]));
    check("simple_map.jsonl", "count(*) AS n", json!([{"n": 100}]));
    let third = rows(&files, "duplicate_key.ndjson", "SELECT id, name, rescued FROM shop.clicks WHERE id = 3");
    assert_eq!(third, [json!({"id": 3, "name": "The Firm", "rescued": {"id": "42"}})]);
    let arrays = rows(&files, "top_level_two_arrays.json", "SELECT conclusion, count(*) AS n FROM shop.clicks GROUP BY 1");
    assert_eq!(arrays, [json!({"conclusion": "cancelled", "n": 4})]);
}

#[test]
fn all_members_of_a_gzip_file_are_read() {
    let Some(files) = samples("gzip-framing") else { return };
    assert_eq!(files.keys().collect::<Vec<_>>(), ["bgzf.gz", "concat.gz"]);
    let lake = land(ALL, KEEP, &files);
    for (name, outcome) in run(&lake, &files) {
        // What is in them is no JSON. All of it is one broken record, to its last line, which is in the last member.
        assert_eq!((outcome.read, outcome.count("malformed_json")), (1, 1), "{name}");
        assert_eq!(outcome.rejects[0].2, outcome.bytes.trim_ascii_end(), "{name}");
        assert!(outcome.bytes.len() > files[name].len(), "{name}");
    }
}
