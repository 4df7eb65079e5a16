//! The promises, by their numbers; P2 and P8 are held by `races` and `kill`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use flate2::{Compression, write::GzEncoder};
use lakebed::generate::{Part, Settings};
use serde_json::{Value, json};

use super::support::python::{Reader, read_table};
use super::support::{Lake, files};

/// Two hours with bad records and duplicates, one of four objects late.
fn two_hours() -> Settings {
    Settings { hours: 2, objects_per_hour: 4, records: 800, bad: 0.02, duplicates: 0.05, late: 0.25, ..Settings::default() }
}

const MERGE: &str = "[table.merge]\ndeduplicate_by = [\"event_id\"]\nsort_by = [\"collector_tstamp\"]\n\
                     [table.columns.event_id]\nrequired = true\npattern = \"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$\"\n";

/// The ledger heads of a lake, as JSON, by partition.
fn heads(lake: &Lake) -> Vec<Value> {
    let is_version = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    let versions = files(&lake.path(".lakebed/ledger")).into_iter().filter(|(path, _)| is_version(path));
    let newest: BTreeMap<PathBuf, Vec<u8>> = versions.map(|(path, text)| (path.parent().unwrap().into(), text)).collect();
    newest.values().map(|text| serde_json::from_slice(text).unwrap()).collect()
}

fn sum(counts: &Value) -> u64 {
    ["merged", "quarantined", "duplicates", "dropped"].iter().map(|name| counts[name].as_u64().unwrap()).sum()
}

fn record(id: u32) -> String {
    format!("{{\"id\":\"e{id}\",\"n\":{id}}}")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A table's files as they stand: path and content.
fn live(lake: &Lake) -> BTreeMap<PathBuf, Vec<u8>> {
    lake.live_files().into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

/// Nothing lost: records read = rows merged + rows quarantined + duplicates dropped + records dropped by an explicit rule, per
/// object and per partition; checked before every commit and stored in the ledger.
#[test]
fn p1_nothing_lost() {
    let lake = Lake::new(MERGE);
    let landed = lake.generate(&two_hours());
    let run = lake.run(0);
    let records = &run["tables"][0]["records"];
    assert_eq!((records["read"].as_u64(), records["quarantined"].as_u64()), (Some(800), Some(landed.bad_records())));
    assert_eq!((records["duplicates"].as_u64(), sum(records)), (Some(landed.duplicates), 800));
    for head in heads(&lake) {
        assert_eq!(sum(&head["counts"]), head["counts"]["read"].as_u64().unwrap());
        for source in head["sources"].as_array().unwrap() {
            assert_eq!(sum(&source["counts"]), source["counts"]["read"].as_u64().unwrap(), "{source}");
        }
        let rows: u64 = head["generation"]["files"].as_array().unwrap().iter().map(|file| file["rows"].as_u64().unwrap()).sum();
        assert_eq!(head["counts"]["merged"], json!(rows));
    }
    let counted = lake.query("SELECT (SELECT count(*) FROM shop.clicks) AS rows, (SELECT count(*) FROM shop.clicks_quarantine) AS bad");
    assert_eq!(counted, [json!({"rows": records["merged"], "bad": landed.bad_records()})]);
}

/// Atomic partitions: a reader that goes through the catalog sees a partition as it was before a merge or after it, never between.
/// Files are never overwritten, never added to a live location, never deleted while a query may still read them.
#[test]
fn p3_atomic_partitions() {
    let lake = Lake::small("");
    lake.land("14", "clicks-a", record(1).as_bytes());
    lake.run(0);
    let before = live(&lake);
    let old = lake.partitions()[0].clone();
    let reader = {
        let command = || lake.command(&["query", "SELECT count(*) AS n FROM shop.clicks", "--format", "json"]);
        let mut queries: Vec<_> = (0..6).map(|_| command()).collect();
        std::thread::spawn(move || queries.iter_mut().map(|query| query.output().unwrap()).collect::<Vec<_>>())
    };
    lake.land("14", "clicks-b", [record(2), record(3)].concat().as_bytes());
    lake.run(0);
    for seen in reader.join().unwrap() {
        let seen = String::from_utf8(seen.stdout).unwrap();
        let rows: Value = serde_json::from_str(&seen).unwrap();
        assert!(rows == json!([{"n": 1}]) || rows == json!([{"n": 3}]), "{rows}");
    }
    let new = lake.partitions()[0].clone();
    let folder = |partition: &Value| PathBuf::from(partition["location"].as_str().unwrap().strip_prefix("file://").unwrap());
    assert_eq!(files(&folder(&old)), before, "the old generation is there, unchanged and with no file more");
    assert_ne!(folder(&old), folder(&new));
    assert_eq!(folder(&old).parent(), folder(&new).parent(), "generations are siblings");
    assert_eq!((lake.query("SELECT n FROM shop.clicks").len(), files(&folder(&new)).len()), (3, 1));
}

/// Late is normal: an object that arrives after its hour was merged ends up in that hour as if it had been on time.
#[test]
fn p4_late_is_normal() {
    let (on_time, in_parts) = (Lake::new(MERGE), Lake::new(MERGE));
    on_time.generate(&two_hours());
    on_time.run(0);
    in_parts.generate(&Settings { part: Part::OnTime, ..two_hours() });
    in_parts.run(0);
    let early = in_parts.rows().len();
    in_parts.generate(&Settings { part: Part::Late, ..two_hours() });
    let run = in_parts.run(0);
    assert!(run["tables"][0]["partitions"].as_array().unwrap().iter().all(|partition| partition["action"] == "amended"), "{run}");
    assert!(in_parts.rows().len() > early);
    assert_eq!(in_parts.rows(), on_time.rows());
    assert!(heads(&in_parts).iter().any(|head| head["operation"] == "amend"));
}

/// One commit point: only a ledger version makes data exist. The catalog is a projection of the ledgers and can be rebuilt from
/// them; a gap between the two is closed by the next run.
#[test]
fn p5_one_commit_point() {
    let lake = Lake::new(MERGE);
    lake.generate(&two_hours());
    lake.run(0);
    let (rows, partitions) = (lake.rows(), lake.partitions());
    for file in files(&lake.path(".lakebed")).into_keys().filter(|path| path.to_string_lossy().contains("catalog.db")) {
        std::fs::remove_file(file).unwrap();
    }
    let run = lake.run(0);
    assert_eq!((&run["tables"][0]["registered"], &run["tables"][0]["records"]["read"]), (&json!(true), &json!(0)));
    assert_eq!((lake.rows(), lake.partitions()), (rows, partitions));
    let folder = lake.live_files()[0].parent().unwrap().with_file_name("g00000009-01J00000000000000000000000");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(&lake.live_files()[0], folder.join("part-00000.parquet")).unwrap();
    let again = lake.run(0);
    assert_eq!((&again["tables"][0]["registered"], lake.partitions()), (&json!(false), partitions_of(&lake)));
}

fn partitions_of(lake: &Lake) -> Vec<Value> {
    let location = |head: &Value| head["generation"]["location"].clone();
    let wanted: Vec<Value> = heads(lake).iter().map(location).collect();
    let there = lake.partitions();
    assert_eq!(there.iter().map(|partition| partition["location"].clone()).collect::<Vec<_>>(), wanted);
    there
}

/// Readable always: no schema change leaves a registered partition that Athena's rules cannot read.
#[test]
fn p6_readable_always() {
    let lake = Lake::small("");
    lake.land("14", "clicks-a", record(1).as_bytes());
    lake.run(0);
    let other = "CREATE EXTERNAL TABLE ${table} (id string, n struct<a:int>, rescued map<string,string>) \
                 PARTITIONED BY (year string, month string, day string, hour string) STORED AS PARQUET LOCATION '${location}'";
    lake.migration(other);
    lake.land("14", "clicks-b", record(2).as_bytes());
    let refused = lake.run(2);
    assert!(refused["failures"][0]["error"].as_str().unwrap().contains("was changed after it was applied"), "{refused}");
    assert_eq!(lake.query("SELECT id, n FROM shop.clicks"), [json!({"id": "e1", "n": 1})]);
    let read = read_table(Reader::PyArrow, &lake.live_files(), "id", 1);
    assert_eq!(read["schema"], json!({"id": "string", "n": "bigint", "rescued": "map<string,string>"}));
}

/// Bad input never stops good input: a bad record costs itself, a bad object costs itself; both keep their bytes, their place
/// (object, byte offset) and a reason.
#[test]
fn p7_bad_input_never_stops_good_input() {
    let lake = Lake::small("");
    let bad = "{\"id\":\"e2\",\"n\":\"many\"}";
    lake.land("14", "clicks-a", [&record(1), bad, &record(3)].concat().as_bytes());
    let damaged = b"\x1f\x8bno gzip at all";
    lake.land("14", "clicks-b", damaged);
    let run = lake.run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 2, "merged": 1, "rejected": 1, "pending": 0}));
    assert_eq!(lake.query("SELECT n FROM shop.clicks ORDER BY n"), [json!({"n": 1}), json!({"n": 3})]);
    let quarantined = lake.query(
        "SELECT object, byte_offset, byte_length, reason, column_name, encode(raw, 'hex') AS raw, hour \
         FROM shop.clicks_quarantine ORDER BY object",
    );
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        quarantined,
        [
            json!({"object": "2026/11/19/14/clicks-a", "byte_offset": record(1).len(), "byte_length": bad.len(),
                "reason": "type_mismatch", "column_name": "n", "raw": hex(bad.as_bytes()), "hour": "14"}),
            json!({"object": "2026/11/19/14/clicks-b", "byte_offset": 0, "byte_length": damaged.len(),
                "reason": "damaged_object", "column_name": null, "raw": hex(damaged), "hour": "14"}),
        ]
    );
}

/// Careful deletes: only what a ledger lists is deleted, after the grace period; never from a listing alone. A run deletes nothing
/// that was committed, and nothing that it does not know; what a sweep deletes is held by `cli::sweep`.
#[test]
fn p9_careful_deletes() {
    let lake = Lake::small("");
    lake.land("14", "clicks-a", record(1).as_bytes());
    lake.run(0);
    let generation = lake.live_files()[0].parent().unwrap().to_path_buf();
    let foreign = [
        generation.with_file_name("g00000002-01J00000000000000000000000").join("part-00000.parquet"),
        lake.path("lake/notes.txt"),
        lake.path(".lakebed/ledger/shop.clicks/year=2026/notes.txt"),
    ];
    for path in &foreign {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "somebody else's").unwrap();
    }
    let before: Vec<_> = [lake.path("landing"), lake.path("lake"), lake.path(".lakebed/ledger")].iter().map(|path| files(path)).collect();
    lake.land("14", "clicks-b", record(2).as_bytes());
    lake.run(0);
    lake.run(0);
    for (path, content) in before.iter().flatten() {
        assert_eq!(std::fs::read(path).ok().as_ref(), Some(content), "{}", path.display());
    }
    let retired = &heads(&lake)[0]["retired"];
    assert_eq!(retired[0]["location"], json!(format!("file://{}/", generation.display())), "what may go later is listed");
}

/// Bounded: memory stays under the configured cap whatever the input; a record, an object, a nesting depth, a decompression ratio
/// each have a limit with a clear error.
#[test]
fn p10_bounded() {
    let lake = Lake::small("");
    lake.limit_memory("128MiB");
    let spaces = gzip(&vec![b' '; 16 << 20]);
    // A gigabyte in one object, and a quarter of one: both are more than there is memory.
    lake.land("14", "clicks-large", &[gzip(record(1).as_bytes()), spaces.repeat(64), gzip(record(2).as_bytes())].concat());
    lake.land("14", "clicks-plain", &[record(3).into_bytes(), vec![b' '; 256 << 20], record(4).into_bytes()].concat());
    let bomb = gzip(&gzip(&vec![b' '; 256 << 20]));
    lake.land("14", "clicks-bomb", &bomb);
    lake.land("14", "clicks-deep", format!("{{\"x\":{}{}}}{}", "[".repeat(100_000), "]".repeat(100_000), record(5)).as_bytes());
    let long = format!("{{\"id\":\"{}\"}}", "x".repeat(16 << 20));
    lake.land("14", "clicks-long", [&record(6), &long, &record(7)].map(String::as_bytes).concat().as_slice());
    let (run, peak) = lake.measured_run(3);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 5, "merged": 4, "rejected": 1, "pending": 0}));
    assert_eq!(lake.query("SELECT n FROM shop.clicks ORDER BY n"), [1, 2, 3, 4, 5, 6, 7].map(|n| json!({"n": n})));
    let [bomb_told, long_told] = run["failures"].as_array().unwrap().as_slice() else { panic!("{run}") };
    for (failure, words) in [
        (bomb_told, ["clicks-bomb", "more than 2000 times as long when decompressed"]),
        (long_told, ["clicks-long", "1 of its records have more than 8388608 bytes"]),
    ] {
        let error = failure["error"].as_str().unwrap();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    let rejects = lake.query("SELECT reason, byte_length, raw IS NULL AS gone FROM shop.clicks_quarantine ORDER BY object");
    let expected = [("damaged_object", bomb.len(), false), ("too_deep", 200_006, false), ("too_large", long.len(), true)];
    assert_eq!(rejects, expected.map(|(reason, length, gone)| json!({"reason": reason, "byte_length": length, "gone": gone})));
    // The program itself, without any object, has about 60 MB, and the allocator keeps blocks that were freed.
    assert!(peak < (128 + 160) << 20, "the run had {} MB", peak >> 20);
}

/// Deterministic: same input, same configuration: the same rows in the same order.
#[test]
fn p11_deterministic() {
    let digests = [1, 2].map(|_| {
        let lake = Lake::new(MERGE);
        lake.generate(&two_hours());
        lake.run(0);
        let read = read_table(Reader::PyArrow, &lake.live_files(), "event_id", 0);
        (read["rows"].clone(), read["digest_in_order"].clone())
    });
    assert_eq!(digests[0], digests[1]);
}

/// Honest exit: partial failure is never success: exit code, summary and events say which hours failed and why.
#[test]
fn p12_honest_exit() {
    let lake = Lake::small("");
    lake.land("13", "clicks-a", record(1).as_bytes());
    lake.land("14", "clicks-b", record(2).as_bytes());
    lake.land("14", "clicks-c", &gzip(record(3).repeat(9).as_bytes())[..20]);
    let run = lake.run(3);
    let [failure] = run["failures"].as_array().unwrap().as_slice() else { panic!("{run}") };
    assert_eq!(failure["partition"], "year=2026/month=11/day=19/hour=14");
    assert!(failure["error"].as_str().unwrap().contains("2026/11/19/14/clicks-c is not wholly in the table: gzip: "), "{failure}");
    let complete: Vec<&Value> = run["tables"][0]["partitions"].as_array().unwrap().iter().map(|p| &p["complete"]).collect();
    assert_eq!(complete, [&json!(true), &json!(false)]);

    let broken = Lake::small("[table.columns.nothing]\nrequired = true\n");
    broken.land("14", "clicks-a", record(1).as_bytes());
    let refused = broken.run(2);
    assert!(refused["failures"][0]["error"].as_str().unwrap().contains("the table has no column nothing"), "{refused}");
    let unreadable = Lake::small("");
    std::fs::remove_dir_all(unreadable.path("landing")).unwrap();
    assert_eq!(unreadable.lakebed(&["run"]).code, 2);
    let text = lake.lakebed(&["run", "--at", super::support::AT, "--since", "2026-11-20T00"]);
    assert_eq!((text.code, text.stdout.as_str()), (2, ""));
}
