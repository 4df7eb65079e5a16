//! Rejects of a whole object, kept as rows of the quarantine, and tried once more under another plan.

use std::io::Write;

use super::*;
use crate::standardize::kept::{Redrive, Verdict, entered, judge};
use crate::standardize::reject::to_batch;
use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::Int32Type;

/// The object's quarantine.
fn quarantine(plan: &Plan, object: &[u8]) -> RecordBatch {
    to_batch("o", &standardized(plan, Bytes::copy_from_slice(object)).rejects).unwrap()
}

/// What becomes of the rejects of `before` under `after`, as `reason verdict`, then the rows.
fn again(before: &Plan, after: &Plan, object: impl AsRef<[u8]>) -> Vec<String> {
    let batch = quarantine(before, object.as_ref());
    let judged = judge(after, &batch, &Redrive::default()).unwrap();
    let reasons = batch["reason"].as_string::<i32>();
    let told = |verdict: &Verdict| match verdict {
        Verdict::Fails(reason) => format!("fails as {}", reason.code.as_str()),
        other => format!("{other:?}").to_lowercase(),
    };
    let verdicts =
        judged.verdicts.iter().zip(reasons).map(|(verdict, reason)| format!("{} {}", reason.unwrap(), told(verdict.as_ref().unwrap())));
    let mut lines: Vec<String> = verdicts.collect();
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    judged.rows.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    lines.extend(String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_string));
    lines
}

const COLUMNS: &str = "id string, n int, rescued map<string,string>";

#[test]
fn a_record_of_each_format_is_what_it_would_be_in_its_object() {
    let (strict, loose) = ("[table.columns.n]\nmax = 5\n", "");
    let check = |format: &str, object: &[u8], expected: &[&str]| {
        let plan = |rule: &str| plan(COLUMNS, &format!("{format}\n{rule}"));
        assert_eq!(again(&plan(strict), &plan(loose), object), expected, "{}", String::from_utf8_lossy(object));
        // The rows are those that the whole object gives.
        let mut whole: Vec<String> = lines(&standardized(&plan(loose), Bytes::copy_from_slice(object)));
        whole.retain(|line| line.starts_with('{'));
        assert_eq!(expected.iter().filter(|line| line.starts_with('{')).count(), whole.len());
    };
    let row = r#"{"id":"a","n":7,"rescued":{}}"#;
    check("", br#"{"id":"a","n":7}"#, &["rule_broken row", row]);
    check("", br#"[{"id":"a","n":7} , {"id":"a","n":"x"}]"#, &["rule_broken row", "type_mismatch fails as type_mismatch", row]);
    check("unwrap = \"r\"", br#"{"r":[{"id":"a","n":7}]}"#, &["rule_broken row", row]);
    let envelope = br#"{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"id":"a","message":"{\"n\":7}"},7]}"#;
    let of_event = r#"{"id":"a","n":7,"rescued":{"owner":"\"1\""}}"#;
    check("format = \"cloudwatch-logs\"", envelope, &["rule_broken row", "not_an_object left", of_event]);
    check("format = \"snowplow-tsv\"", b"{\"id\":\"a\",\"n\":7}\na\tb\n", &["rule_broken row", "not_snowplow fails as not_snowplow", row]);
}

#[test]
fn rows_of_parquet_come_back_as_they_were() {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    let columns: [(&str, ArrayRef); 3] = [
        ("id", Arc::new(StringArray::from(vec![Some("a"), Some("b")]))),
        ("n", Arc::new(Int64Array::from(vec![7, 1]))),
        ("x", Arc::new(StringArray::from(vec![None, Some("y")]))),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap();
    let mut writer = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let object = writer.into_inner().unwrap();
    let plan = |rule: &str| plan(COLUMNS, &format!("format = \"parquet\"\n{rule}"));
    let found = again(&plan("[table.columns.n]\nmax = 5\n"), &plan(""), object);
    assert_eq!(found, ["rule_broken row", r#"{"id":"a","n":7,"rescued":{}}"#], "a null in an unknown column says nothing");
}

#[test]
fn what_no_schema_makes_a_row_of_is_left() {
    let plain = plan(COLUMNS, "");
    let expected = ["not_an_object left", "malformed_json left"];
    assert_eq!(again(&plain, &plain, b"7 {\"id\":"), expected);
    // Two records were in the document: it is for a repair.
    let document = br#"{"r":[{"id":"a"},{"id":"b"}]}"#;
    let unwrapped = |field: &str| plan(COLUMNS, &format!("unwrap = \"{field}\""));
    assert_eq!(again(&unwrapped("s"), &unwrapped("r"), document), ["type_mismatch left"]);
    assert_eq!(again(&unwrapped("s"), &unwrapped("r"), br#"{"r":[{"id":"a"}]}"#)[0], "type_mismatch row");
    assert_eq!(again(&unwrapped("s"), &unwrapped("s"), document), ["type_mismatch fails as type_mismatch"]);
    // Of a corrupt object no value can be trusted.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(br#"{"id":"a","n":"x"}{"id":"b"}"#).unwrap();
    let mut corrupt = gzip.finish().unwrap();
    let end = corrupt.len() - 5;
    corrupt[end] ^= 1;
    let found = again(&plain, &plan("id string, n string", ""), corrupt);
    assert!(found.contains(&"object_set_aside left".to_string()) && found.contains(&"damaged_object left".to_string()), "{found:?}");
}

#[test]
fn what_was_a_record_is_tried_again_after_a_redrive_under_a_wrong_format() {
    let lines = "format = \"snowplow-tsv\"";
    let strict = plan(COLUMNS, &format!("{lines}\n[table.columns.id]\nrequired = true\n"));
    // Events with an application alone, one of them called `7`; and what was no record when it landed.
    let event = |application: &[u8]| [application, &[b'\t'; 130], b"\n"].concat();
    let object = [event(b"shop"), event(b"7"), b"{\"id\":\n".to_vec()].concat();
    let redrive = |tried: &str| Redrive { tried: tried.into(), at: 1, ..Redrive::default() };
    for wrong in ["", "unwrap = \"r\"", "format = \"cloudwatch-logs\"", "format = \"parquet\""] {
        let landed = quarantine(&strict, &object);
        let verdicts = judge(&plan(COLUMNS, wrong), &landed, &redrive("wrong")).unwrap().verdicts;
        let batch = entered(&landed, &verdicts, &redrive("wrong")).unwrap();
        let reasons = batch["reason"].as_string::<i32>().iter().map(Option::unwrap).collect::<Vec<_>>();
        assert_eq!(reasons, ["malformed_json", "not_an_object", "malformed_json"], "under {wrong}");
        let found = |batch: &RecordBatch| judge(&plan(COLUMNS, lines), batch, &redrive("right")).unwrap().verdicts;
        assert_eq!(found(&batch), [Some(Verdict::Row), Some(Verdict::Row), Some(Verdict::Left)], "{wrong} and then the right one");
        assert_eq!(found(&batch), found(&landed));
    }
}

#[test]
fn a_document_that_holds_records_by_now_is_left_to_a_repair() {
    let strict = |settings: &str| plan(COLUMNS, &format!("{settings}\n[table.columns.n]\nrequired = true\n"));
    let loose = |settings: &str| plan(COLUMNS, settings);
    let envelope = br#"{"messageType":"DATA_MESSAGE","owner":"1","logEvents":[{"id":"a","message":"{\"n\":7}"}]}"#;
    let control = br#"{"messageType":"CONTROL_MESSAGE","owner":"1","logEvents":[]}"#;
    let in_array = br#"{"id":"c","r":[{"id":"a","n":7}]}"#;
    let logs = "format = \"cloudwatch-logs\"";
    for (settings, object, expected) in
        [(logs, &envelope[..], "left"), (logs, control, "left"), ("unwrap = \"r\"", in_array, "left"), ("", in_array, "row")]
    {
        assert_eq!(again(&strict(""), &loose(settings), object)[0], format!("rule_broken {expected}"), "{settings}");
    }
    // A document that was refused as one stays one, whatever its record is refused for since.
    let mut batch = quarantine(&loose("unwrap = \"s\""), in_array);
    for (settings, tried, expected) in [("unwrap = \"r\"\n[table.columns.n]\nmax = 5", "1", "fails"), ("unwrap = \"r\"", "2", "row")] {
        let redrive = Redrive { tried: tried.into(), ..Redrive::default() };
        let judged = judge(&loose(settings), &batch, &redrive).unwrap();
        let told = format!("{:?}", judged.verdicts[0].as_ref().unwrap()).to_lowercase();
        assert!(told.starts_with(expected) && judged.rows.iter().all(|rows| rows["id"].as_string::<i32>().value(0) == "a"), "{told}");
        batch = entered(&batch, &judged.verdicts, &redrive).unwrap();
    }
}

#[test]
fn records_that_are_not_kept_as_they_landed_are_not_tried() {
    let private = |rule: &str| plan(COLUMNS, &format!("[table.columns.id]\nprivacy = \"drop\"\n{rule}"));
    let strict = private("[table.columns.n]\nmax = 5\n");
    let object = br#"{"id":"a","n":7}{"n":7}{"id":null,"n":8}"#;
    let row = r#"{"n":7,"rescued":{}}"#;
    assert_eq!(
        again(&strict, &private(""), object),
        ["rule_broken notkept", "rule_broken row", "rule_broken row", row, r#"{"n":8,"rescued":{}}"#],
        "what holds no private value is kept as it landed"
    );
    let nothing = plan(COLUMNS, "[table.quarantine]\nkeep_raw = false\n[table.columns.n]\nmax = 5\n");
    assert_eq!(again(&nothing, &plan(COLUMNS, ""), br#"{"n":7}"#), ["rule_broken notkept"]);
    // A quarantine of before says nothing of it.
    let old = quarantine(&plan(COLUMNS, "[table.columns.n]\nmax = 5\n"), br#"{"n":7}"#);
    let mut columns = old.columns().to_vec();
    let at = old.schema().index_of("redacted").unwrap();
    columns[at] = arrow::array::new_null_array(columns[at].data_type(), 1);
    let old = RecordBatch::try_new(old.schema(), columns).unwrap();
    let verdict = |plan: &Plan| judge(plan, &old, &Redrive::default()).unwrap().verdicts[0].clone().unwrap();
    assert_eq!((verdict(&plan(COLUMNS, "")), verdict(&private(""))), (Verdict::Row, Verdict::NotKept));
}

#[test]
fn what_fails_again_counts_once_under_the_same_columns_and_rules() {
    let plan = |max: u32| plan(COLUMNS, &format!("[table.columns.n]\nmax = {max}\n"));
    let mut batch = quarantine(&plan(1), br#"{"n":2}{"n":"x"}{"n":3}"#);
    let mut step = |max, tried: &str, at| {
        let redrive = Redrive { tried: tried.into(), at, ..Redrive::default() };
        let verdicts = judge(&plan(max), &batch, &redrive).unwrap().verdicts;
        let next = entered(&batch, &verdicts, &redrive).unwrap();
        let changed = next != batch;
        batch = concat_batches(&next.schema(), [&next]).unwrap();
        let attempts =
            batch["attempts"].as_primitive::<Int32Type>().iter().map(|count| count.map_or("-".to_string(), |count| count.to_string()));
        let resolved = batch["resolved"].as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        let at = resolved.iter().map(|at| at.map_or("-".to_string(), |at| at.to_string()));
        (changed, attempts.collect::<Vec<_>>().join(" "), at.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(step(1, "r1", 10), (true, "1 1 1".into(), "- - -".into()));
    assert_eq!(step(1, "r1", 20), (false, "1 1 1".into(), "- - -".into()));
    assert_eq!(step(2, "r2", 30), (true, "1 2 2".into(), "30 - -".into()));
    assert_eq!(step(9, "r3", 40), (true, "1 3 2".into(), "30 - 40".into()));
    assert_eq!(step(9, "r3", 50), (false, "1 3 2".into(), "30 - 40".into()));
}
