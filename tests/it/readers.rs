//! What lakebed writes, judged by readers that are not lakebed's: DuckDB and pyarrow.

use std::path::PathBuf;
use std::process::Command;

use lakebed::generate::{Settings, Summary};
use serde_json::{Value, json};

use super::support::python::{Reader, python, read_table};
use super::support::{Answer, Lake, example};

/// The most that the run of an hour may take (promise P10), with the default of `[lake] memory`.
const MOST: u64 = 512 << 20;

/// An hour of the size that DESIGN §9 measures: 12 gzip objects with 300,000 records and nothing between them.
fn big_hour() -> Settings {
    Settings { objects_per_hour: 12, records: 300_000, bad: 0.001, duplicates: 0.01, ..Settings::default() }
}

/// The example's lake with that hour landed; `merge` is what its `[table.merge]` says.
fn landed(merge: &str) -> (Lake, Summary) {
    let text = std::fs::read_to_string(example("lakebed.toml")).unwrap();
    let rules = text.split_once("[table.columns").expect("the example has rules").1;
    let lake = Lake::new(&format!("{merge}\n[table.columns{rules}"));
    let landed = lake.generate(&big_hour());
    (lake, landed)
}

fn example_merge() -> String {
    let text = std::fs::read_to_string(example("lakebed.toml")).unwrap();
    let after = text.split_once("[table.merge]").expect("the example merges").1;
    format!("[table.merge]{}", after.split_once("\n[").expect("rules follow").0)
}

/// Runs, and checks that every record is accounted for as the generator counted, within the memory that it may take.
fn merged(lake: &Lake, landed: &Summary, duplicates: u64) {
    let (run, peak) = lake.measured_run(0);
    let table = &run["tables"][0];
    let rows = landed.records - landed.bad_records() - duplicates;
    let records = json!({"read": 300_000, "merged": rows, "quarantined": landed.bad_records(), "duplicates": duplicates, "dropped": 0});
    assert_eq!(table["records"], records);
    assert_eq!(table["objects"], json!({"landed": 12, "merged": 12, "rejected": 0, "pending": 0}));
    let [partition] = table["partitions"].as_array().unwrap().as_slice() else { panic!("{table}") };
    assert_eq!((&partition["rows"], &partition["action"], &partition["complete"]), (&json!(rows), &json!("created"), &json!(true)));
    assert!(peak < MOST, "the run had {} MB", peak >> 20);
}

/// Both readers' view of the live files, which must be the same.
fn agreed(files: &[PathBuf], order_by: &str, values: usize) -> Value {
    let read = |reader| {
        let files = files.to_vec();
        let order_by = order_by.to_string();
        std::thread::spawn(move || read_table(reader, &files, &order_by, values))
    };
    let [duckdb, pyarrow] = [Reader::DuckDb, Reader::PyArrow].map(read).map(|thread| thread.join().unwrap());
    assert_eq!(duckdb, pyarrow, "DuckDB (left) and pyarrow (right) read different things");
    duckdb
}

/// What DuckDB's SQL says of the live files, which are `t` in it: one row, as JSON.
fn duckdb(files: &[PathBuf], select: &str) -> Value {
    let script = "import duckdb, json, sys
t = duckdb.read_parquet(sys.argv[2:], hive_partitioning=False)
print(json.dumps(duckdb.sql(sys.argv[1]).fetchall()[0]))";
    let output = Command::new(python()).args(["-c", script, select]).args(files).output().unwrap();
    Answer::of(output).json(0)
}

/// The first rows and some sums, as `lakebed query` gives them, are those that the others read.
fn check_query(lake: &Lake, files: &[PathBuf], read: &Value) {
    let sums = lake.query(
        "SELECT count(*) AS n, count(user_id) AS users, max(sequence) AS s, sum(cardinality(items)) AS items, \
         count(DISTINCT page.url) AS pages, sum(CASE WHEN is_bot THEN 1 ELSE 0 END) AS bots, \
         CAST(max(collector_tstamp) AS bigint) AS last FROM shop.clicks",
    );
    let theirs = duckdb(
        files,
        "SELECT count(*), count(user_id), max(sequence), sum(len(items))::BIGINT, count(DISTINCT page.url), \
         sum(CASE WHEN is_bot THEN 1 ELSE 0 END)::BIGINT, epoch_us(max(collector_tstamp)) FROM t",
    );
    let row = &sums[0];
    let ours = ["n", "users", "s", "items", "pages", "bots", "last"].map(|name| row[name].clone());
    assert_eq!(json!(ours), theirs);
    let rows = lake.query("SELECT * FROM shop.clicks ORDER BY event_id LIMIT 3");
    for (ours, theirs) in rows.iter().zip(read["values"].as_array().unwrap()) {
        for name in ["event_id", "event_name", "user_id", "session_id", "page", "geo", "device", "user_agent", "is_bot", "sequence"] {
            assert_eq!(ours[name], theirs[name], "{name}");
        }
    }
}

#[test]
fn an_hour_as_it_lands_becomes_one_partition_that_others_read() {
    let (lake, landed) = landed("");
    merged(&lake, &landed, 0);
    let files = lake.live_files();
    let counted = duckdb(&files, "SELECT count(*), count(DISTINCT event_id) FROM t");
    let rows = landed.records - landed.bad_records();
    assert_eq!(counted, json!([rows, rows - landed.duplicates]));
}

#[test]
fn an_hour_in_order_and_without_duplicates_is_read_alike_by_all() {
    let (lake, landed) = landed(&example_merge());
    merged(&lake, &landed, landed.duplicates);
    let files = lake.live_files();
    let read = agreed(&files, "event_id", 3);
    assert_eq!(read["rows"], json!(landed.records - landed.bad_records() - landed.duplicates));
    let types = &read["schema"];
    let expected = [
        ("event_id", "string"),
        ("collector_tstamp", "timestamptz"),
        ("items", "array<struct<sku:string,name:string,price:decimal(10,2),quantity:int>>"),
        ("attributes", "map<string,string>"),
        ("sequence", "bigint"),
        ("engagement", "double"),
        ("is_bot", "boolean"),
    ];
    expected.iter().for_each(|(name, hive)| assert_eq!(types[name], *hive, "{name}"));
    check_query(&lake, &files, &read);
    let unordered = "SELECT count(*) FROM (SELECT collector_tstamp < lag(collector_tstamp) OVER () AS back FROM t) WHERE back";
    assert_eq!(duckdb(&files, unordered), json!([0]), "rows are in the order of sort_by");
}

/// One column of every type, with the extremes of each.
const EVERY_TYPE: &str = "CREATE EXTERNAL TABLE ${table} (id int, yes boolean, ti tinyint, si smallint, bi bigint, f float, d double, \
    price decimal(10,2), big decimal(38,0), s string, vc varchar(5), c char(3), bin binary, day_of date, at timestamp, \
    items array<struct<sku:string,price:decimal(4,2),tags:array<string>>>, \
    by_page map<string,struct<n:int,at:timestamp>>, rescued map<string,string>) \
    PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'";

const EVERY_VALUE: &str = r#"{"id":1,"yes":true,"ti":-128,"si":32767,"bi":9223372036854775807,"f":0.1,"d":1e300,"price":"-99999999.99",
 "big":99999999999999999999999999999999999999,"s":"é\u0000😀","vc":"äöüxy","c":"abc","bin":"AP8=","day_of":"0001-01-01",
 "at":"2026-11-19T14:05:06.123456789+01:00","items":[{"sku":"a","price":1.5,"tags":["x",null]},null,{}],
 "by_page":{"b":{"n":1,"at":0},"a":null},"New":{"x": [1]}}
{"id":2,"yes":false,"ti":127,"si":-32768,"bi":-9223372036854775808,"f":-16777216,"d":-0.0,"price":0.01,"big":-1,"s":"","vc":"",
 "c":"","bin":"","day_of":"9999-12-31","at":"1969-12-31T23:59:59.999999Z","items":[],"by_page":{}}
{"id":3}
{"id":4,"yes":null,"items":null,"by_page":null}"#;

#[test]
fn values_of_every_type_are_read_as_they_were_landed() {
    let lake = Lake::new("");
    lake.migration(EVERY_TYPE);
    lake.land("14", "clicks-1-2026-11-19-14-00-00-0f0e0d0c-0b0a-0908-0706-050403020100", EVERY_VALUE.as_bytes());
    lake.run(0);
    let read = agreed(&lake.live_files(), "id", 9);
    let types = json!({
        "id": "int", "yes": "boolean", "ti": "tinyint", "si": "smallint", "bi": "bigint", "f": "float", "d": "double",
        "price": "decimal(10,2)", "big": "decimal(38,0)", "s": "string", "vc": "string", "c": "string", "bin": "binary",
        "day_of": "date", "at": "timestamptz", "items": "array<struct<sku:string,price:decimal(4,2),tags:array<string>>>",
        "by_page": "map<string,struct<n:int,at:timestamptz>>", "rescued": "map<string,string>"
    });
    assert_eq!(read["schema"], types);
    let first = json!({
        "id": 1, "yes": true, "ti": -128, "si": 32767, "bi": i64::MAX, "f": f64::from(0.1f32), "d": 1e300, "price": "-99999999.99",
        "big": "99999999999999999999999999999999999999", "s": "é\u{0}😀", "vc": "äöüxy", "c": "abc", "bin": "00ff",
        "day_of": "0001-01-01", "at": "2026-11-19T13:05:06.123456Z",
        "items": [{"sku": "a", "price": "1.50", "tags": ["x", null]}, null, {"sku": null, "price": null, "tags": null}],
        "by_page": [["a", null], ["b", {"n": 1, "at": "1970-01-01T00:00:00.000000Z"}]], "rescued": [["New", "{\"x\": [1]}"]]
    });
    let second = json!({
        "id": 2, "yes": false, "ti": 127, "si": -32768, "bi": i64::MIN, "f": -16_777_216.0, "d": -0.0, "price": "0.01",
        "big": "-1", "s": "", "vc": "", "c": "", "bin": "", "day_of": "9999-12-31", "at": "1969-12-31T23:59:59.999999Z",
        "items": [], "by_page": [], "rescued": []
    });
    let nothing = |id: i32| {
        let mut row = types.clone();
        row.as_object_mut().unwrap().values_mut().for_each(|value| *value = Value::Null);
        (row["id"], row["rescued"]) = (json!(id), json!([]));
        row
    };
    assert_eq!(read["values"], json!([first, second, nothing(3), nothing(4)]));
}

#[test]
fn late_values_of_every_type_are_read_as_if_they_had_been_on_time() {
    let lakes = [Lake::new(""), Lake::new("")];
    let name = |part: usize| format!("clicks-1-2026-11-19-14-00-0{part}-0f0e0d0c-0b0a-0908-0706-050403020100");
    let (first, second) = EVERY_VALUE.split_once("{\"id\":2").unwrap();
    for (lake, late) in lakes.iter().zip([false, true]) {
        lake.migration(EVERY_TYPE);
        lake.land("14", &name(0), first.as_bytes());
        if late {
            lake.run(0);
        }
        lake.land("14", &name(1), format!("{{\"id\":2{second}").as_bytes());
        lake.run(0);
    }
    let [on_time, late] = lakes.map(|lake| agreed(&lake.live_files(), "id", 9));
    assert_eq!(late, on_time);
}
