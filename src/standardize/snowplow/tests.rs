//! Lines of events into records: against the rows that Snowplow's own loader made of them, and column by column.

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value, json};

use super::*;

/// An object of whose members with one name the first one counts, as it does in the decoder.
struct Record(Value);

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct First;
        impl<'de> Visitor<'de> for First {
            type Value = Map<String, Value>;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut found = Map::new();
                while let Some((key, value)) = members.next_entry()? {
                    found.entry::<String>(key).or_insert(value);
                }
                Ok(found)
            }
        }
        deserializer.deserialize_map(First).map(|members| Self(members.into()))
    }
}

fn record(line: &str) -> Result<Value, Reason> {
    let mut out = Vec::new();
    to_json(line.as_bytes(), |_| true, &mut out).map(|()| serde_json::from_slice::<Record>(&out).unwrap().0)
}

/// A line with these columns filled in.
fn line(filled: &[(&str, &str)]) -> String {
    let text = |name: &str| filled.iter().find(|(filled, _)| *filled == name).map_or("", |(_, text)| text);
    COLUMNS.map(|(name, _)| text(name)).join("\t")
}

/// Checks that the good lines are the wide rows, all of them, and gives the reasons of the others.
fn compare(lines: &str, rows: &str) -> Vec<Reason> {
    let parsed = rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
    let mut rows: BTreeMap<String, Value> = parsed.map(|row| (row["event_id"].as_str().unwrap().to_string(), row)).collect();
    let mut refused = Vec::new();
    for line in lines.lines() {
        match record(line) {
            // Objects are equal if they have the same keys with equal values, in whatever order.
            Ok(found) => assert_eq!(Some(&found), rows.remove(found["event_id"].as_str().unwrap()).as_ref()),
            Err(reason) => refused.push(reason),
        }
    }
    assert!(rows.is_empty(), "no line became {:?}", rows.keys());
    refused
}

#[test]
fn lines_become_the_wide_rows_of_snowplows_loader() {
    assert_eq!(compare(include_str!("samples/events.tsv"), include_str!("samples/wide.jsonl")), vec![]);
}

#[test]
fn all_sample_lines_become_the_wide_rows_of_snowplows_loader() {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("LAKEBED_SAMPLES").map_or(default, Into::into).join("snowplow/widerow-json");
    let (Ok(lines), Ok(rows)) =
        (std::fs::read_to_string(folder.join("input-events")), std::fs::read_to_string(folder.join("output-widerows")))
    else {
        eprintln!("SKIPPED: no Snowplow samples in {}; set LAKEBED_SAMPLES to the folder of sample data", folder.display());
        return;
    };
    assert_eq!((lines.lines().count(), rows.lines().count()), (50, 48));
    let refused: Vec<String> =
        compare(&lines, &rows).into_iter().map(|reason| format!("{}: {}", reason.code.as_str(), reason.detail)).collect();
    let expected = [130, 129].map(|n| format!("not_snowplow: the line has {n} columns, and an enriched event of Snowplow has 131"));
    assert_eq!(refused, expected);
}

#[test]
fn a_line_with_another_number_of_columns_is_refused_for_it() {
    let good = line(&[("event_id", "e1")]);
    for (text, count) in [(String::new(), 1), ("{\"a\":1}".into(), 1), (good[1..].into(), 130), (format!("{good}\t"), 132)] {
        let reason = record(&text).unwrap_err();
        assert_eq!((reason.code, reason.column.as_str()), (Code::NotSnowplow, ""));
        assert_eq!(reason.detail, format!("the line has {count} columns, and an enriched event of Snowplow has 131"));
    }
}

#[test]
fn values_keep_every_digit_and_character() {
    let cases = [
        ("app_id", "a\"b\\c\u{1}é😀", r#""a\"b\\c\u0001é😀""#),
        ("app_id", "42", r#""42""#),
        ("domain_sessionidx", "12345678901234567890123", "12345678901234567890123"),
        ("tr_total", "19.990", "19.990"),
        ("geo_latitude", "-1.0E-7", "-1.0E-7"),
        ("br_cookies", "1", "true"),
        ("dvce_ismobile", "0", "false"),
        ("etl_tstamp", "2021-10-15 09:05:38.755054266", r#""2021-10-15T09:05:38.755054266Z""#),
        ("true_tstamp", "2021-10-15 09:05:38", r#""2021-10-15T09:05:38Z""#),
    ];
    for (column, text, expected) in cases {
        let mut out = Vec::new();
        to_json(line(&[(column, text)]).as_bytes(), |_| false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), format!("{{\"{column}\":{expected}}}"));
    }
}

#[test]
fn an_empty_column_is_null_where_the_table_knows_it() {
    let mut out = Vec::new();
    let knows = |name: &[u8]| matches!(name, b"app_id" | b"geo_latitude" | b"contexts" | b"unstruct_event");
    to_json(format!("{}\r\n", line(&[("platform", "web")])).as_bytes(), knows, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), r#"{"app_id":null,"platform":"web","geo_latitude":null}"#);
}

#[test]
fn what_a_column_cannot_hold_is_refused_by_its_name_and_not_by_its_value() {
    let cases = [
        ("domain_sessionidx", &["secret", "+1", "01", "1 ", ".5", "NaN", "1,5"][..], "type_mismatch holds a text that is no JSON number"),
        ("br_cookies", &["true", "2", "01"], "type_mismatch holds a text that is neither 0 nor 1"),
        (
            "derived_tstamp",
            &["2021-10-15", "2021-10-15T09:05:38Z", "2021-10-15 09:05:38.", "2021-10-15 09:05:38Z", "2021-10-15 09:05:38.1x", "1634288738"],
            "type_mismatch holds a text that is no time as Snowplow writes it, `yyyy-MM-dd HH:mm:ss`",
        ),
        (
            "contexts",
            &["secret", "[]", r#"{"schema":"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0","data":{}}"#],
            "not_snowplow holds no self-describing JSON with an array of self-describing entities",
        ),
        (
            "unstruct_event",
            &["{", "{}", r#"{"schema":"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0","data":{"a":1}}"#],
            "not_snowplow holds no self-describing JSON with a self-describing event",
        ),
    ];
    for (column, texts, expected) in cases {
        for text in texts {
            let reason = record(&line(&[(column, text)])).unwrap_err();
            assert_eq!(
                (reason.column.as_str(), format!("{} {}", reason.code.as_str(), reason.detail).as_str()),
                (column, expected),
                "{text}"
            );
        }
    }
}

/// The cell of a column with entities, each given by its schema and data.
fn contexts(entities: &[(&str, &str)]) -> String {
    let entities: Vec<String> = entities.iter().map(|(schema, data)| format!(r#"{{"schema":"{schema}","data":{data}}}"#)).collect();
    format!(r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1","data":[{}]}}"#, entities.join(" , "))
}

#[test]
fn entities_of_one_schema_are_one_array_and_a_second_one_if_both_columns_have_some() {
    let cart = |version: &str| format!("iglu:com.acme/Cart/jsonschema/{version}");
    let tracker = contexts(&[(&cart("1-0-0"), "{\"n\":1}"), ("iglu:com.acme/user/jsonschema/2-0-0", "7"), (&cart("1-1-0"), "2e400")]);
    let derived = contexts(&[("iglu:com.acme/user/jsonschema/1-0-0", "[]"), (&cart("1-0-0"), "null")]);
    let mut out = Vec::new();
    to_json(line(&[("contexts", &tracker), ("derived_contexts", &derived)]).as_bytes(), |_| false, &mut out).unwrap();
    let expected = r#"{"contexts_com_acme_cart_1":[null],"contexts_com_acme_cart_1":[{"n":1},2e400],"contexts_com_acme_user_1":[[]],"contexts_com_acme_user_2":[7]}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    assert_eq!(record(&line(&[("contexts", &contexts(&[]))])).unwrap()["app_id"], Value::Null);
}

#[test]
fn schemas_give_the_names_of_the_analytics_sdks() {
    let cases = [
        ("iglu:org.w3/PerformanceTiming/jsonschema/1-0-0", Some("contexts_org_w3_performance_timing_1")),
        ("iglu:com.Acme-Corp/linkClick/jsonschema/12-3-4", Some("contexts_com_acme_corp_link_click_12")),
        ("iglu:com.acme/HTTPHeader_Old.form/jsonschema/1-0-0", Some("contexts_com_acme_httpheader_old_form_1")),
        (r"iglu:com.acme\/aBcD\/jsonschema\/1-0-0", Some("contexts_com_acme_a_bc_d_1")),
        ("iglu:com.acme/cart/jsonschema/1-0", None),
        ("iglu:com.acme/cart/jsonschema/1-0-0-0", None),
        ("iglu:com.acme/cart/jsonschema/x-0-0", None),
        ("iglu:com.acme/cart/jsonschema", None),
        ("iglu:com.acme/cart/jsonschema/1-0-0/x", None),
        ("iglu:com.acme//jsonschema/1-0-0", None),
        ("iglu:com.acme/c art/jsonschema/1-0-0", None),
        ("com.acme/cart/jsonschema/1-0-0", None),
    ];
    for (schema, expected) in cases {
        let found = record(&line(&[("contexts", &contexts(&[(schema, "{}")]))]));
        match expected {
            Some(name) => assert_eq!(found.unwrap()[name], json!([{}]), "{schema}"),
            None => assert_eq!(found.unwrap_err().column, "contexts", "{schema}"),
        }
    }
}

#[test]
fn self_describing_json_is_strict() {
    let event = |data: &str| format!(r#"{{"schema":"iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0","data":{data}}}"#);
    let good = r#" {"data" : {"a":"}"}, "schema":"iglu:com.acme/e/jsonschema/1-0-0"}"#;
    assert_eq!(record(&line(&[("unstruct_event", &event(good))])).unwrap()["unstruct_event_com_acme_e_1"], json!({"a": "}"}));
    for data in [
        r#"{"schema":"iglu:com.acme/e/jsonschema/1-0-0"}"#,
        r#"{"data":{}}"#,
        r#"{"schema":"iglu:com.acme/e/jsonschema/1-0-0","data":{},"data":{}}"#,
        r#"{"schema":"iglu:com.acme/e/jsonschema/1-0-0","data":{},"more":1}"#,
        r#"{"schema":7,"data":{}}"#,
        r#"[{"schema":"iglu:com.acme/e/jsonschema/1-0-0","data":{}}]"#,
        "null",
    ] {
        assert!(record(&line(&[("unstruct_event", &event(data))])).is_err(), "{data}");
    }
    for cell in [
        format!("{}x", event(good)),
        event(good).replace("unstruct_event", "contexts"),
        event(good).replace("1-0-0\",\"data\":", "2-0-0\",\"data\":"),
    ] {
        assert!(record(&line(&[("unstruct_event", &cell)])).is_err(), "{cell}");
    }
}

#[test]
fn entities_without_end_are_no_burden() {
    let many: Vec<String> = (0..20_000).map(|n| format!("iglu:com.acme/c{n}/jsonschema/1-0-0")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|schema| (schema.as_str(), "{}")).collect();
    assert_eq!(record(&line(&[("contexts", &contexts(&many))])).unwrap().as_object().unwrap().len(), 128 + 20_000);
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    let mut out = Vec::new();
    let cell = contexts(&[("iglu:com.acme/deep/jsonschema/1-0-0", &deep)]);
    to_json(line(&[("contexts", &cell)]).as_bytes(), |_| false, &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), format!("{{\"contexts_com_acme_deep_1\":[{deep}]}}"));
}

#[test]
fn bad_rows_are_told_from_other_records() {
    let yes = [
        r#"{"schema":"iglu:com.snowplowanalytics.snowplow.badrows/schema_violations/jsonschema/2-0-0","data":{"payload":"x"}}"#,
        r#"{"data":null,"schema":"iglu:com.snowplowanalytics.snowplow.badrows\/size_violation\/jsonschema\/1-0-0"} "#,
    ];
    let no = [
        "",
        "7",
        "{}",
        r#"["iglu:com.snowplowanalytics.snowplow.badrows/x"]"#,
        r#"{"schema":"iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0","data":[]}"#,
        r#"{"schema":"iglu:com.snowplowanalytics.snowplow.badrows/x/jsonschema/1-0-0"}"#,
        r#"{"data":{"schema":"iglu:com.snowplowanalytics.snowplow.badrows/x/jsonschema/1-0-0","data":1}}"#,
        r#"{"schema":"see iglu:com.snowplowanalytics.snowplow.badrows/x","data":1}"#,
    ];
    for (records, expected) in [(&yes[..], true), (&no[..], false)] {
        for record in records {
            assert_eq!(is_bad_row(record.as_bytes()), expected, "{record}");
        }
    }
}

#[test]
fn the_example_table_has_a_column_for_each_of_an_event() {
    use crate::schema::ddl::{Placeholders, Statement, parse};
    let table = crate::catalog::TableName::parse("snowplow.events").unwrap();
    let text = include_str!("../../../examples/snowplow/migrations/snowplow.events/0001_create.sql");
    let Statement::CreateTable(create) = parse(text, &Placeholders { table: &table, location: "file:///lake/snowplow/events/" }).unwrap();
    for (name, form) in COLUMNS {
        let column = create.schema.columns.iter().find(|column| column.name == name).map(|column| column.hive.to_string());
        let fits: &[&str] = match form {
            Form::Text => &["string"],
            Form::Number => &["int", "double"],
            Form::Flag => &["boolean"],
            Form::Time => &["timestamp"],
            Form::Contexts | Form::Event => {
                assert_eq!(column, None, "{name}");
                continue;
            }
        };
        assert!(fits.contains(&column.unwrap().as_str()), "{name}");
    }
    let others = &create.schema.columns[128..];
    assert_eq!(others.iter().filter(|column| column.name.starts_with("contexts_")).count(), 2);
    assert_eq!((others.len(), others.last().unwrap().name.as_str()), (4, "rescued"));
}
