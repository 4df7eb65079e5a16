//! For any sequence of good and bad records in any framing: every record is accounted for, at its place, with its bytes.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::error::Kind;
use crate::standardize::rows::BATCH_ROWS;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Record {
    Good,
    /// A whole JSON object that the table does not take.
    Misfit(&'static [u8]),
    /// No JSON, but it begins like an object and ends in `}`.
    Broken(&'static [u8]),
    /// JSON and no object.
    Other(&'static [u8]),
}

fn record() -> impl Strategy<Value = Record> {
    use Record::{Broken, Good, Misfit, Other};
    prop_oneof![
        6 => Just(Good),
        2 => prop::sample::select(vec![
            Misfit(br#"{"n":"many"}"#),
            Misfit(br#"{"n":-1}"#),
            Misfit(br#"{"n":[],"tags":[{"}":"{"},{"a":1}]}"#),
            Misfit(b"{\"n\":1,\"s\":\"\xFF\xFE\"}"),
            Misfit(br#"{"n":1,"s":"\ud83d"}"#),
        ]),
        2 => prop::sample::select(vec![
            Broken(br#"{"n":7,}"#),
            Broken(br#"{"n":7,"s":{"a":1}"#),
            Broken(br#"{"n":7,"tags":[{"a":1},{"b":2}}"#),
            Broken(br#"{"n" 7}"#),
        ]),
        1 => prop::sample::select(vec![Other(br#""text""#), Other(b"\"\"")]),
    ]
}

/// The object's bytes. Without anything between records, what follows a broken one must be recognizable: an object.
fn object(records: &[Record], between: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut after_broken = false;
    for (number, record) in records.iter().enumerate() {
        match record {
            Record::Good => bytes.extend_from_slice(format!("{{\"s\":\"{}\",\"n\":{number}}}", "é".repeat(number % 40)).as_bytes()),
            Record::Other(_) if after_broken && !between.contains('\n') => bytes.extend_from_slice(br#"{"n":[]}"#),
            Record::Misfit(text) | Record::Broken(text) | Record::Other(text) => bytes.extend_from_slice(text),
        }
        after_broken = matches!(record, Record::Broken(_)) || after_broken && matches!(record, Record::Other(_));
        bytes.extend_from_slice(between.as_bytes());
    }
    bytes
}

proptest! {
    #[test]
    fn every_record_is_a_row_or_a_reject_at_its_place(
        records in prop::collection::vec(record(), 0..60),
        between in prop::sample::select(vec!["", "\n", "\r\n", " ", "\u{feff}", "\n\n"]),
    ) {
        let plan = plan("n bigint, s string, tags array<string>", "[table.columns.n]\nmin = 0\n");
        let bytes = object(&records, between);
        let done = standardized(&plan, bytes.clone());
        let rows: Vec<i64> = done.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
        let wanted = records.iter().enumerate().filter(|(_, record)| **record == Record::Good);
        prop_assert_eq!(done.read as usize, rows.len() + done.rejects.len());
        prop_assert_eq!(rows, wanted.map(|(number, _)| number as i64).collect::<Vec<_>>());
        let mut end = 0;
        for reject in &done.rejects {
            let start = reject.offset as usize;
            prop_assert!(start >= end && reject.length > 0);
            end = start + reject.length as usize;
            prop_assert_eq!(&bytes[start..end], reject.raw.as_deref().unwrap());
        }
    }
}

#[test]
fn rows_stay_in_order_over_the_edges_of_batches() {
    let plan = plan("n bigint", "");
    let count = 2 * BATCH_ROWS + 5;
    let text: String = (0..count).map(|n| format!("{{\"n\":{n}}}{}", if n % 1000 == 7 { "{\"n\":\"x\"}" } else { "" })).collect();
    let done = standardized(&plan, text);
    let rows: Vec<i64> = done.batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    assert!(done.batches.len() == 3 && rows.iter().copied().eq(0..count as i64));
    assert_eq!(done.rejects.len(), (0..count).filter(|n| n % 1000 == 7).count());
}

#[test]
fn a_batch_takes_little_more_memory_than_its_values() {
    let plan = plan("n bigint, s string, tags array<struct<a:int>>, m map<string,double>", "");
    let record = |n: usize| match n % 10 {
        0 => format!(r#"{{"n":{n},"s":null,"tags":[{{"a":1}},{{}}],"m":{{"k{n:05}":0.5}}}}"#),
        _ => format!(r#"{{"n":{n},"s":"text {n:05}","tags":[{{"a":{n}}}],"m":{{}}}}"#),
    };
    // As many as make vectors that double have half of their room to spare.
    let done = standardized(&plan, (0..16_500).map(record).collect::<String>());
    let [batch] = &done.batches[..] else { panic!("{} batches", done.batches.len()) };
    let (room, values) = batch.columns().iter().fold((0, 0), |(room, values), column| {
        (room + column.get_array_memory_size(), values + column.to_data().get_slice_memory_size().unwrap())
    });
    assert!(room * 10 <= values * 12, "{room} bytes for {values}");
}

#[test]
fn short_records_make_no_large_batches_of_many_columns() {
    let columns: Vec<String> = (0..500).map(|n| format!("c{n} double")).collect();
    let done = standardized(&plan(&columns.join(", "), ""), "{}".repeat(10_000));
    let rows: Vec<usize> = done.batches.iter().map(|batch| batch.num_rows()).collect();
    assert_eq!((rows.iter().sum::<usize>(), rows.iter().max()), (10_000, Some(&((16 << 20) / (500 * 16)))));
}

#[test]
fn what_others_wrote_about_a_record_is_told_before_what_is_wrong_with_it() {
    let error = r#"{"attemptsMade":"4","errorCode":"Lambda.X","rawData":"e30="}"#;
    let bad_row = r#"{"id":[],"data":{},"schema":"iglu:com.snowplowanalytics.snowplow.badrows/size_violation/jsonschema/1-0-0"}"#;
    let reject = "[table.evolution]\nnew_columns = \"reject\"\n";
    let required = "[table.columns.id]\nrequired = true\n";
    for settings in ["", reject, required, &format!("{required}{reject}")] {
        check("id int", settings, error, &[&format!("@0 firehose_error  {error}")]);
        check("id int", settings, bad_row, &[&format!("@0 snowplow_bad_row  {bad_row}")]);
    }
}

/// A store that gives nothing.
struct Fails;

impl Stored for Fails {
    fn size(&self) -> u64 {
        100
    }

    fn read_at(&self, _: u64, _: usize) -> std::io::Result<Bytes> {
        Err(std::io::Error::other("the connection broke"))
    }
}

#[test]
fn a_store_that_fails_is_no_fault_of_the_object() {
    for format in ["json", "snowplow-tsv", "cloudwatch-logs", "parquet"] {
        let stored: Arc<dyn Stored> = Arc::new(Fails);
        let plan = plan("id int", &format!("format = \"{format}\"\n"));
        let failed = standardize(&plan, &stored, Limits::within(1 << 30, 1 << 30), &mut |_| Ok(())).unwrap_err();
        assert_eq!((failed.kind(), failed.to_string().as_str()), (Kind::Unavailable, "the connection broke: make it readable"), "{format}");
    }
}
