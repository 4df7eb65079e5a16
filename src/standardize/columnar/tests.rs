//! Parquet files in; rows, rejects and errors out, as text.

mod hostile;
mod samples;
mod values;

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, DictionaryArray, FixedSizeListArray, Float64Array, Int32Array, Int64Array, Int64Builder, LargeListArray, ListArray,
    MapBuilder, NullArray, StringArray, StringBuilder, StructArray, TimestampMillisecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{Int8Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::*;
use crate::config::{ColumnRules, NewColumns, OnFail};
use crate::schema::{Column, HiveType, TableSchema};
use crate::standardize::decode::{Decoder, Fail};

const LIMIT: u64 = 1 << 30;

fn table(columns: &str) -> TableSchema {
    let column = |text: &str| {
        let (name, hive) = text.split_once(' ').unwrap();
        Column { name: name.into(), hive: HiveType::parse(hive).unwrap(), comment: None }
    };
    TableSchema { columns: columns.split(", ").map(column).collect(), partition_keys: vec![] }
}

/// A plan for columns such as `id bigint, page struct<url:string>`; unknown fields are rescued where there is a column for them.
fn plan(columns: &str) -> Plan {
    let unknown = if columns.contains("rescued ") { NewColumns::Rescue } else { NewColumns::Ignore };
    Plan::new(&table(columns), &BTreeMap::new(), unknown, 1.0).unwrap()
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn file_with(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

fn file(columns: Vec<(&str, ArrayRef)>) -> Bytes {
    file_with(&batch(columns), WriterProperties::default())
}

/// What a file becomes: its rows as JSON, its rejects as `!reason place record`, `warned` where a rule only warns.
fn rows(file: Bytes, plan: &Plan) -> Result<Vec<String>, String> {
    let mut object = ColumnarObject::open(file, plan, LIMIT)?;
    let links = object.links();
    let mut decoder = Decoder::new(plan);
    let (mut rows, mut rejects) = (Vec::new(), Vec::new());
    let mut read = 0;
    for batch in object.by_ref() {
        let batch = batch?;
        read += batch.num_rows() as u64;
        for row in 0..batch.num_rows() {
            match decoder.columnar(&links, &batch, row) {
                Ok(()) => {}
                Err(Fail::Value(reason)) => {
                    let raw = String::from_utf8(json_of(&batch, row)).unwrap();
                    serde_json::from_str::<serde_json::Value>(&raw).unwrap();
                    rejects.push(format!("!{} {} {raw}", reason.code.as_str(), reason.column));
                }
                Err(Fail::Syntax(syntax)) => panic!("{syntax:?}"),
            }
        }
        let good = decoder.rows;
        let out = RecordBatch::try_new(plan.schema.clone(), decoder.finish().unwrap()).unwrap();
        assert_eq!(out.num_rows(), good);
        rows.extend(lines(&out));
    }
    assert_eq!((read, read), (object.rows(), (rows.len() + rejects.len()) as u64), "every row is a row or a reject");
    rows.extend(rejects);
    rows.extend((decoder.warned > 0).then(|| format!("warned {}", decoder.warned)));
    Ok(rows)
}

fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_string).collect()
}

#[track_caller]
fn check(columns: &str, file: Bytes, expected: &[&str]) {
    assert_eq!(rows(file, &plan(columns)).unwrap(), expected, "{columns}");
}

/// The column `v` of a file in a table whose column `v` is of type `hive`: the values alone, `!` for a reject.
#[track_caller]
fn becomes(values: ArrayRef, hive: &str, expected: &[&str]) {
    let lines = rows(file(vec![("v", values)]), &plan(&format!("v {hive}"))).unwrap();
    let value = |line: &String| match line.strip_prefix("{\"v\":") {
        Some(rest) => rest.strip_suffix('}').unwrap().to_string(),
        None => line.replace(" v ", " "),
    };
    assert_eq!(lines.iter().map(value).collect::<Vec<_>>(), expected, "{hive}");
}

fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn list() -> ListArray {
    ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![]), Some(vec![Some(1 << 40)])])
}

fn map(entries: &[(&str, i64)]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for (key, value) in entries {
        builder.keys().append_value(key);
        builder.values().append_value(*value);
    }
    builder.append(true).unwrap();
    Arc::new(builder.finish())
}

fn object(fields: Vec<(&str, ArrayRef)>) -> ArrayRef {
    Arc::new(StructArray::from(batch(fields)))
}

#[test]
fn lists_maps_and_structs() {
    becomes(Arc::new(list()), "array<bigint>", &["[1,null]", "null", "[]", "[1099511627776]"]);
    becomes(Arc::new(list()), "array<string>", &["[\"1\",null]", "null", "[]", "[\"1099511627776\"]"]);
    becomes(Arc::new(list()), "string", &["\"[1,null]\"", "null", "\"[]\"", "\"[1099511627776]\""]);
    let (_, _, items, _) = list().into_parts();
    let field = Arc::new(Field::new("item", DataType::Int64, true));
    let large = LargeListArray::new(field.clone(), OffsetBuffer::new(vec![0i64, 2, 3].into()), items.clone(), None);
    becomes(Arc::new(large), "array<bigint>", &["[1,null]", "[1099511627776]"]);
    becomes(Arc::new(FixedSizeListArray::new(field, 3, items, None)), "array<bigint>", &["[1,null,1099511627776]"]);
    becomes(map(&[("a", 1), ("B", 2)]), "map<string,int>", &["{\"a\":1,\"B\":2}"]);
    becomes(map(&[("a", 1), ("b", 2), ("c", 3)]), "struct<b:int,a:string>", &["{\"b\":2,\"a\":\"1\"}"]);
    let point = || object(vec![("X", texts(&["1", "a"])), ("y", Arc::new(Int32Array::from(vec![None, Some(2)])))]);
    becomes(point(), "struct<x:string,y:int,z:int>", &["{\"x\":\"1\",\"y\":null,\"z\":null}", "{\"x\":\"a\",\"y\":2,\"z\":null}"]);
    becomes(point(), "map<string,string>", &["{\"X\":\"1\",\"y\":null}", "{\"X\":\"a\",\"y\":\"2\"}"]);
    becomes(point(), "string", &[r#""{\"X\":\"1\",\"y\":null}""#, r#""{\"X\":\"a\",\"y\":2}""#]);
    becomes(point(), "array<int>", &[r#"!type_mismatch {"v":{"X":"1","y":null}}"#, r#"!type_mismatch {"v":{"X":"a","y":2}}"#]);
}

#[test]
fn a_misfit_says_where_it_is_and_leaves_no_trace() {
    let file = || file(vec![("id", Arc::new(Int32Array::from(vec![7, 8, 9, 10]))), ("items", Arc::new(list()))]);
    check(
        "id int, items array<int>",
        file(),
        &[
            r#"{"id":7,"items":[1,null]}"#,
            r#"{"id":8,"items":null}"#,
            r#"{"id":9,"items":[]}"#,
            r#"!type_mismatch items[] {"id":10,"items":[1099511627776]}"#,
        ],
    );
    check(
        "items array<bigint>, id tinyint, more map<string,int>",
        file(),
        &[
            r#"{"items":[1,null],"id":7,"more":null}"#,
            r#"{"items":null,"id":8,"more":null}"#,
            r#"{"items":[],"id":9,"more":null}"#,
            r#"{"items":[1099511627776],"id":10,"more":null}"#,
        ],
    );
    let entry = file_of_maps();
    check("by map<string,tinyint>", entry, &[r#"!type_mismatch by{} {"by":{"secret":300}}"#]);
}

fn file_of_maps() -> Bytes {
    file(vec![("by", map(&[("secret", 300)]))])
}

#[test]
fn unknown_columns_are_kept_with_the_way_to_them() {
    let page = object(vec![("url", texts(&["/", "/a"])), ("Depth", Arc::new(Int64Array::from(vec![None, Some(3)])))]);
    let file = || {
        file(vec![
            ("Event-Id", texts(&["a", "b"])),
            ("event_id", texts(&["c", "d"])),
            ("page", page.clone()),
            ("at", Arc::new(TimestampMillisecondArray::from(vec![None, Some(0)]).with_timezone("UTC"))),
            ("n", Arc::new(Float64Array::from(vec![Some(f64::NAN), None]))),
        ])
    };
    check(
        "event_id string, page struct<url:string>, rescued map<string,string>",
        file(),
        &[
            r#"{"event_id":"a","page":{"url":"/"},"rescued":{"event_id":"\"c\"","n":"\"NaN\""}}"#,
            r#"{"event_id":"b","page":{"url":"/a"},"rescued":{"event_id":"\"d\"","page.Depth":"3","at":"\"1970-01-01T00:00:00Z\""}}"#,
        ],
    );
    check("event_id string", file(), &[r#"{"event_id":"a"}"#, r#"{"event_id":"b"}"#]);
    let strict = Plan::new(&table("event_id string, page string, n double"), &BTreeMap::new(), NewColumns::Reject, 1.0).unwrap();
    let lines = rows(file(), &strict).unwrap();
    assert!(lines.iter().all(|line| line.starts_with("!unknown_field event_id ")), "{lines:?}");
    let named = Plan::new(&table("a string"), &BTreeMap::new(), NewColumns::Reject, 1.0).unwrap();
    let sparse = super::tests::file(vec![("a", texts(&["1", "2"])), ("b", Arc::new(Int32Array::from(vec![None, Some(1)])))]);
    assert_eq!(rows(sparse, &named).unwrap(), [r#"{"a":"1"}"#, r#"!unknown_field b {"a":"2","b":1}"#]);
    check(
        "m map<string,int>, rescued map<string,string>",
        super::tests::file(vec![("m", map(&[("a", 1), ("a", 2)]))]),
        &[r#"{"m":{"a":1},"rescued":{"m.a":"2"}}"#],
    );
    let items: ArrayRef = Arc::new(ListArray::new(
        Arc::new(Field::new("item", page.data_type().clone(), true)),
        OffsetBuffer::from_lengths([2]),
        page.clone(),
        None,
    ));
    check(
        "items array<struct<url:string>>, rescued map<string,string>",
        super::tests::file(vec![("items", items)]),
        &[r#"{"items":[{"url":"/"},{"url":"/a"}],"rescued":{"items[1].Depth":"3"}}"#],
    );
}

#[test]
fn a_column_may_take_its_value_from_below_another() {
    let from = |path: &[&str]| ColumnRules { from: Some(path.iter().map(ToString::to_string).collect()), ..ColumnRules::default() };
    let rules = BTreeMap::from([("page_url".to_string(), from(&["page", "url"])), ("also".to_string(), from(&["page", "url"]))]);
    let schema = table("page string, page_url string, also int, rescued map<string,string>");
    let plan = Plan::new(&schema, &rules, NewColumns::Rescue, 1.0).unwrap();
    let page = object(vec![("url", texts(&["7"])), ("n", Arc::new(Int32Array::from(vec![1])))]);
    let whole = r#"{"page":"{\"url\":\"7\",\"n\":1}","page_url":"7","also":7,"rescued":{}}"#;
    assert_eq!(rows(file(vec![("Page", page)]), &plan).unwrap(), [whole]);
    let entries = map(&[("url", 7)]);
    assert_eq!(rows(file(vec![("page", entries)]), &plan).unwrap(), [r#"{"page":"{\"url\":7}","page_url":"7","also":7,"rescued":{}}"#]);
    assert_eq!(rows(file(vec![("page", texts(&["x"]))]), &plan).unwrap(), [r#"!type_mismatch page {"page":"x"}"#]);
    let only = Plan::new(
        &table("page_url string, rescued map<string,string>"),
        &BTreeMap::from([("page_url".into(), from(&["page", "url"]))]),
        NewColumns::Rescue,
        1.0,
    )
    .unwrap();
    let page = object(vec![("url", texts(&["7"])), ("n", Arc::new(Int32Array::from(vec![1])))]);
    assert_eq!(rows(file(vec![("page", page)]), &only).unwrap(), [r#"{"page_url":"7","rescued":{"page.n":"1"}}"#]);
}

#[test]
fn rules_hold_for_every_row() {
    let rule = |change: fn(&mut ColumnRules)| {
        let mut rules = ColumnRules::default();
        change(&mut rules);
        rules
    };
    let rules = BTreeMap::from([
        ("id".to_string(), rule(|r| r.required = true)),
        ("n".to_string(), rule(|r| (r.max, r.on_fail) = (Some(5.0), OnFail::Null))),
        ("t".to_string(), rule(|r| (r.max_length, r.on_fail) = (Some(1), OnFail::Warn))),
    ]);
    let plan = Plan::new(&table("id string, n int, t string"), &rules, NewColumns::Ignore, 1.0).unwrap();
    let ids: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("b")]));
    let file = file(vec![("id", ids), ("n", Arc::new(Int64Array::from(vec![5, 9, 6]))), ("t", texts(&["x", "yy", "zz"]))]);
    assert_eq!(
        rows(file, &plan).unwrap(),
        [r#"{"id":"a","n":5,"t":"x"}"#, r#"{"id":"b","n":null,"t":"zz"}"#, r#"!rule_broken id {"n":9,"t":"yy"}"#, "warned 2"]
    );
}

#[test]
fn rows_stay_in_order_over_pages_row_groups_and_batches() {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..5000));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(700))
        .set_data_page_row_count_limit(33)
        .set_write_batch_size(33)
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let file = file_with(&batch(vec![("id", ids)]), properties);
    let expected: Vec<String> = (0..5000).map(|id| format!("{{\"id\":{id}}}")).collect();
    assert_eq!(rows(file, &plan("id bigint")).unwrap(), expected);
}

#[test]
fn an_object_may_have_no_rows_and_no_known_column() {
    check("id bigint", file(vec![("id", Arc::new(Int64Array::from(Vec::<i64>::new())))]), &[]);
    check("id bigint", file(vec![("other", Arc::new(Int64Array::from(vec![1])))]), &[r#"{"id":null}"#]);
}
