//! Snowplow's enriched events, against the wide rows that its own loader made of the same lines.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use super::super::samples::samples;
use super::{counted, hex};
use crate::support::Lake;

/// The lines, the wide rows and the bad rows of snowplow-rdb-loader's own tests.
struct Pair {
    lines: Vec<u8>,
    wide: Vec<u8>,
    bad: Vec<u8>,
}

fn pair() -> Option<Pair> {
    let mut files = samples("snowplow/widerow-json")?;
    let mut take = |name: &str| files.remove(name).unwrap();
    Some(Pair { lines: take("input-events"), wide: take("output-widerows"), bad: take("output-badrows") })
}

fn migration() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/snowplow/migrations/snowplow.events/0001_create.sql");
    std::fs::read_to_string(file).unwrap()
}

/// The example's table; `more` may add tables.
fn lake(more: &str) -> Lake {
    let lake = Lake::new(&format!("format = \"snowplow-tsv\"\n{more}"));
    lake.migration(&migration());
    lake
}

/// The wide rows by their event.
fn expected(wide: &[u8]) -> BTreeMap<String, Value> {
    let rows = serde_json::Deserializer::from_slice(wide).into_iter::<Value>().map(Result::unwrap);
    rows.map(|row| (row["event_id"].as_str().unwrap().to_string(), row)).collect()
}

/// A time as `lakebed query` prints it: without the digits beyond microseconds, and without zeros at the end of them.
fn micros(time: &Value) -> Value {
    let Some(text) = time.as_str() else { return Value::Null };
    let (seconds, fraction) = text.trim_end_matches('Z').split_once('.').unwrap();
    let micros = &format!("{fraction:0<6}")[..6];
    let digits = micros.strip_suffix("000").unwrap_or(micros);
    json!(format!("{seconds}.{digits}Z"))
}

/// An object with its names as columns have them.
fn lower(value: &Value) -> Value {
    match value {
        Value::Object(members) => members.iter().map(|(name, value)| (name.to_lowercase(), lower(value))).collect(),
        Value::Array(elements) => elements.iter().map(lower).collect(),
        other => other.clone(),
    }
}

/// Columns whose values are compared one by one.
const PLAIN: [&str; 12] = [
    "app_id",
    "platform",
    "event",
    "event_name",
    "event_version",
    "user_ipaddress",
    "domain_sessionidx",
    "page_url",
    "useragent",
    "mkt_campaign",
    "refr_medium",
    "event_fingerprint",
];

const TIMES: [&str; 3] = ["collector_tstamp", "etl_tstamp", "derived_tstamp"];

const ENTITIES: [&str; 3] = [
    "contexts_com_snowplowanalytics_snowplow_web_page_1",
    "contexts_com_snowplowanalytics_snowplow_ua_parser_context_1",
    "unstruct_event_com_snowplowanalytics_snowplow_link_click_1",
];

#[test]
fn enriched_events_become_the_wide_rows_of_snowplows_own_loader() {
    let Some(Pair { lines, wide, .. }) = pair() else { return };
    let lake = lake("");
    lake.land("10", "events", &lines);
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["records"], counted(50, 48, 2, 0));
    let bad = lake.query("SELECT reason, detail FROM shop.clicks_quarantine ORDER BY byte_offset");
    assert!(bad.len() == 2 && bad.iter().all(|row| row["reason"] == "not_snowplow"), "{bad:?}");
    let expected = expected(&wide);
    let rows = lake.query("SELECT * FROM shop.clicks");
    assert_eq!(rows.len(), expected.len());
    for row in &rows {
        let wide = &expected[row["event_id"].as_str().unwrap()];
        for name in PLAIN {
            assert_eq!(row[name], wide[name], "{name}");
        }
        for name in TIMES {
            assert_eq!(row[name], micros(&wide[name]), "{name}");
        }
        for name in ENTITIES {
            check_entity(name, &row[name], &lower(&wide[name]));
        }
        rescued(row, wide);
    }
}

/// What the row has is what the wide row has; a part that the wide row lacks is null.
fn check_entity(name: &str, own: &Value, wide: &Value) {
    match (own, wide) {
        (Value::Object(own), Value::Object(wide)) => {
            own.iter().for_each(|(part, value)| check_entity(part, value, wide.get(part).unwrap_or(&Value::Null)))
        }
        (Value::Array(own), Value::Array(wide)) if own.len() == wide.len() => {
            own.iter().zip(wide).for_each(|(own, wide)| check_entity(name, own, wide))
        }
        _ => assert_eq!(own, wide, "{name}"),
    }
}

/// False for what the tracker attached beside entities of the same schema that the pipeline made: wide rows do not have them.
fn is_first(name: &str) -> bool {
    !name.contains(['#', '.', '[']) && !ENTITIES.contains(&name)
}

/// Every entity without a column is in `rescued`, as it is in the wide row.
fn rescued(row: &Value, wide: &Value) {
    let rescued = row["rescued"].as_object().unwrap();
    let mut found = 0;
    for (name, text) in rescued.iter().filter(|(name, _)| is_first(name) && name.starts_with("contexts_")) {
        let value: Value = serde_json::from_str(text.as_str().unwrap()).unwrap();
        // Fields that the event does not have are null in a wide row, in one of the loader's schema.
        check_entity(name, &value, &wide[name]);
        found += 1;
    }
    let wanted = wide.as_object().unwrap().iter().filter(|(name, value)| name.starts_with("contexts_") && !value.is_null()).count();
    assert_eq!(found, wanted - 2, "two have columns: {rescued:?}");
}

#[test]
fn bad_rows_are_quarantined() {
    let Some(Pair { lines, bad, .. }) = pair() else { return };
    let lake = lake("");
    lake.land("10", "events", &lines);
    lake.land("10", "refused", &bad);
    assert_eq!(lake.run(3)["tables"][0]["objects"], json!({"landed": 2, "merged": 1, "rejected": 1, "pending": 0}));
    let kept = lake.query("SELECT reason, raw FROM shop.clicks_quarantine WHERE object LIKE '%/refused' ORDER BY byte_offset");
    let lines: Vec<&[u8]> = bad.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let expected: Vec<Value> = lines.iter().map(|line| json!({"reason": "snowplow_bad_row", "raw": hex(line)})).collect();
    assert_eq!((kept.len(), kept), (2, expected));
}

#[test]
fn the_json_of_the_analytics_sdk_gives_the_same_rows() {
    let Some(Pair { lines, wide, .. }) = pair() else { return };
    let lake =
        lake("[[table]]\nname = \"shop.wide\"\nlanding = \"landing2\"\nlocation = \"lake2\"\nmigrations = \"migrations/shop.clicks\"\n");
    lake.land("10", "events", &lines);
    let folder = lake.path("landing2/2026/11/19/10");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("rows"), &wide).unwrap();
    let run = lake.run(0);
    assert_eq!(run["tables"][1]["records"], counted(48, 48, 0, 0));
    let columns = "* EXCEPT (rescued)";
    for (one, other) in [("shop.clicks", "shop.wide"), ("shop.wide", "shop.clicks")] {
        let differ = lake.query(&format!("SELECT {columns} FROM {one} EXCEPT SELECT {columns} FROM {other}"));
        assert_eq!(differ, [] as [Value; 0], "{one} has rows that {other} has not");
    }
    let rescued = |table: &str| -> Vec<Value> {
        let rows = lake.query(&format!("SELECT event_id, rescued FROM {table} ORDER BY event_id"));
        // In a wide row every entity of the schema stands, null where the event has none.
        let is_something = |(name, text): &(&String, &Value)| *text != "null" && is_first(name);
        let parsed = |(name, text): (&String, &Value)| (name.clone(), without_nulls(serde_json::from_str(text.as_str().unwrap()).unwrap()));
        rows.iter().map(|row| row["rescued"].as_object().unwrap().iter().filter(is_something).map(parsed).collect()).collect()
    };
    assert_eq!(rescued("shop.clicks"), rescued("shop.wide"));
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(elements) => elements.into_iter().map(without_nulls).collect(),
        other => other,
    }
}
