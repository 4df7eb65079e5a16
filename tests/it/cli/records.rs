//! Bad records: in every framing and compression they keep their place and their bytes, and cost nothing but themselves.

use lakebed::generate::{Compression, Framing, Settings};
use serde_json::{Value, json};

use super::super::support::{Lake, example};
use super::{RUN, hex, ids, unzip};

/// The rules of the example's table.
fn rules() -> String {
    let text = std::fs::read_to_string(example("lakebed.toml")).unwrap();
    text[text.find("[table.merge]").unwrap()..].to_string()
}

/// Every quarantined row holds exactly the bytes that stand at its offset of the object, decompressed.
fn check_bytes(lake: &Lake) -> usize {
    let rows = lake.query("SELECT object, byte_offset, byte_length, raw, reason, detail FROM shop.clicks_quarantine");
    for row in &rows {
        let object = unzip(&std::fs::read(lake.path("landing").join(row["object"].as_str().unwrap())).unwrap());
        let number = |name: &str| usize::try_from(row[name].as_u64().unwrap()).unwrap();
        let bytes = &object[number("byte_offset")..][..number("byte_length")];
        assert_eq!(row["raw"], hex(bytes), "{row}");
        assert!(!row["reason"].as_str().unwrap().is_empty() && !row["detail"].as_str().unwrap().is_empty(), "{row}");
    }
    rows.len()
}

#[test]
fn bad_records_are_found_in_every_framing_and_compression() {
    let mut told: Vec<Value> = Vec::new();
    for framing in [Framing::Concatenated, Framing::Newline, Framing::Crlf] {
        for compression in [Compression::Gzip, Compression::GzipMembers, Compression::None] {
            let lake = Lake::new(&rules());
            let settings =
                Settings { framing, compression, records: 600, objects_per_hour: 3, bad: 0.1, duplicates: 0.05, ..Settings::default() };
            let made = lake.generate(&settings);
            let run = lake.run(0);
            let records = run["tables"][0]["records"].clone();
            assert_eq!(
                (&records["read"], &records["quarantined"]),
                (&600.into(), &made.bad_records().into()),
                "{framing:?} {compression:?}"
            );
            assert_eq!(records["duplicates"], made.duplicates, "{framing:?} {compression:?}");
            assert_eq!(check_bytes(&lake) as u64, made.bad_records());
            told.push(records);
        }
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[test]
fn unknown_fields_are_rescued() {
    let lake = Lake::small("");
    lake.land("10", "a", br#"{"id":"a","colour":"red","size":{"w":1}}{"ID":"b"}"#);
    lake.run(0);
    let rows = lake.query("SELECT id, rescued FROM shop.clicks ORDER BY id");
    assert_eq!(rows, [json!({"id": "a", "rescued": {"colour": "\"red\"", "size": "{\"w\":1}"}}), json!({"id": "b", "rescued": {}})]);
}

#[test]
fn a_rule_may_take_the_value_or_only_warn() {
    for (on_fail, n) in [("null", Value::Null), ("warn", json!(11))] {
        let lake = Lake::small(&format!("[table.columns.n]\nmax = 10\non_fail = \"{on_fail}\""));
        lake.land("10", "a", br#"{"id":"a","n":11}{"id":"b","n":10}"#);
        let answer = lake.lakebed(&RUN);
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        assert!(answer.stdout.contains("hour=10: 1 value breaks a rule whose on_fail is warn or null"), "{}", answer.stdout);
        assert_eq!(lake.query("SELECT n FROM shop.clicks ORDER BY id"), [json!({"n": n}), json!({"n": 10})]);
    }
}

#[test]
fn an_object_with_too_many_bad_records_is_set_aside_whole() {
    let lake = Lake::small("");
    lake.land("10", "a", br#"{"id":"a"}"#);
    lake.land("10", "b", b"{\"id\":\"b\"}\n{\"id\":\"c\",\"n\":\"x\"}\n42\n");
    let run = lake.run(3);
    let error = run["failures"][0]["error"].as_str().unwrap();
    assert!(error.contains("10/b") && error.contains("2 of its 3 records are bad") && error.contains("max_ratio"), "{error}");
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 2, "merged": 1, "rejected": 1, "pending": 0}));
    assert_eq!(ids(&lake), ["a"]);
    let reasons = lake.query("SELECT reason FROM shop.clicks_quarantine ORDER BY byte_offset");
    assert_eq!(reasons, ["object_set_aside", "type_mismatch", "not_an_object"].map(|reason| json!({"reason": reason})));
    assert_eq!(check_bytes(&lake), 3);
}

#[test]
fn hours_without_a_good_record_are_hours_too() {
    let lake = Lake::small("[table.quarantine]\nmax_ratio = 1");
    lake.land("10", "empty", b"");
    lake.land("11", "white", b" \r\n\t\n");
    lake.land("12", "bad", b"what\nis this");
    lake.land("13", "good", br#"{"id":"a"}"#);
    let run = lake.run(0);
    let rows: Vec<&Value> = run["tables"][0]["partitions"].as_array().unwrap().iter().map(|partition| &partition["rows"]).collect();
    assert_eq!(rows, [0, 0, 0, 1]);
    assert_eq!((ids(&lake), check_bytes(&lake)), (vec!["a".to_string()], 1));
    assert!(lake.lakebed(&RUN).stdout.contains("nothing to do"));
}

#[test]
fn records_are_unwrapped_from_the_array_that_the_configuration_names() {
    let lake = Lake::small("unwrap = \"Records\"");
    lake.land("10", "a", br#"{"v":1,"Records":[{"id":"a","n":1},{"id":"b","n":"two"}, {"id":"c"}]}{"Records":[]}{"other":[]}"#);
    let run = lake.run(0);
    let records = &run["tables"][0]["records"];
    assert_eq!((&records["read"], &records["merged"], &records["quarantined"]), (&json!(4), &json!(2), &json!(2)));
    assert_eq!(ids(&lake), ["a", "c"]);
    check_bytes(&lake);
}
