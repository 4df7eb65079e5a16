//! What a value of each Parquet type becomes in a column of each type of a table.

use arrow::array::{
    AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Int8Array, LargeStringArray,
    StringViewArray, Time32MillisecondArray, Time64NanosecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, UInt8Array,
    UInt64Array,
};
use arrow::datatypes::i256;

use super::*;

#[test]
fn integers_of_every_width_are_exact_or_refused() {
    let bytes = || -> ArrayRef { Arc::new(Int8Array::from(vec![Some(-128), None, Some(127)])) };
    for hive in ["tinyint", "smallint", "int", "bigint"] {
        becomes(bytes(), hive, &["-128", "null", "127"]);
    }
    becomes(bytes(), "double", &["-128.0", "null", "127.0"]);
    becomes(bytes(), "string", &["\"-128\"", "null", "\"127\""]);
    becomes(bytes(), "decimal(5,2)", &["-128.00", "null", "127.00"]);
    becomes(Arc::new(UInt8Array::from(vec![255])), "smallint", &["255"]);
    becomes(Arc::new(UInt8Array::from(vec![255, 7])), "tinyint", &["7", "!type_mismatch {\"v\":255}"]);
    let unsigned = || -> ArrayRef { Arc::new(UInt64Array::from(vec![u64::MAX, 9_223_372_036_854_775_807])) };
    becomes(unsigned(), "bigint", &["9223372036854775807", "!type_mismatch {\"v\":18446744073709551615}"]);
    becomes(unsigned(), "decimal(20,0)", &["18446744073709551615", "9223372036854775807"]);
    becomes(unsigned(), "string", &["\"18446744073709551615\"", "\"9223372036854775807\""]);
    let long = || -> ArrayRef { Arc::new(Int64Array::from(vec![i64::MIN, 1_795_082_400_123, 5])) };
    becomes(long(), "bigint", &["-9223372036854775808", "1795082400123", "5"]);
    becomes(long(), "int", &["5", "!type_mismatch {\"v\":-9223372036854775808}", "!type_mismatch {\"v\":1795082400123}"]);
    becomes(
        long(),
        "timestamp",
        &["\"2026-11-19T10:00:00.123Z\"", "\"1970-01-01T00:00:05Z\"", "!type_mismatch {\"v\":-9223372036854775808}"],
    );
    becomes(Arc::new(Int64Array::from(vec![1])), "boolean", &["!type_mismatch {\"v\":1}"]);
    becomes(Arc::new(Int32Array::from(vec![1])), "date", &["!type_mismatch {\"v\":1}"]);
    becomes(Arc::new(Int64Array::from(vec![1])), "array<int>", &["!type_mismatch {\"v\":1}"]);
}

#[test]
fn floats_keep_their_value_and_what_is_no_number() {
    let single = || -> ArrayRef { Arc::new(Float32Array::from(vec![0.1, 2.0])) };
    becomes(single(), "float", &["0.1", "2.0"]);
    becomes(single(), "double", &["0.10000000149011612", "2.0"]);
    becomes(single(), "string", &["\"0.1\"", "\"2.0\""]);
    becomes(single(), "int", &["2", "!type_mismatch {\"v\":0.1}"]);
    becomes(Arc::new(Float64Array::from(vec![1e300, 1.5])), "float", &["1.5", "!type_mismatch {\"v\":1e300}"]);
    becomes(Arc::new(Float64Array::from(vec![1e20, 0.25])), "decimal(4,2)", &["0.25", "!type_mismatch {\"v\":1e20}"]);
    let special = || -> ArrayRef { Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0])) };
    becomes(special(), "string", &["\"NaN\"", "\"Infinity\"", "\"-Infinity\"", "\"-0.0\""]);
    becomes(
        special(),
        "bigint",
        &["0", "!type_mismatch {\"v\":\"NaN\"}", "!type_mismatch {\"v\":\"Infinity\"}", "!type_mismatch {\"v\":\"-Infinity\"}"],
    );
    for hive in ["double", "float"] {
        let plan = plan(&format!("v {hive}"));
        let mut object = ColumnarObject::open(file(vec![("v", special())]), &plan, LIMIT).unwrap();
        let (links, batch, mut decoder) = (object.links(), object.next().unwrap().unwrap(), Decoder::new(&plan));
        (0..4).for_each(|row| decoder.columnar(&links, &batch, row).unwrap());
        let column = arrow::compute::cast(&decoder.finish().unwrap()[0], &DataType::Float64).unwrap();
        let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(
            bits(column.as_primitive::<arrow::datatypes::Float64Type>().values()),
            bits(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0])
        );
    }
}

#[test]
fn decimals_are_exact_at_any_scale() {
    let decimal = || -> ArrayRef { Arc::new(Decimal128Array::from(vec![1999, -50]).with_precision_and_scale(10, 2).unwrap()) };
    becomes(decimal(), "decimal(10,2)", &["19.99", "-0.50"]);
    becomes(decimal(), "decimal(38,10)", &["19.9900000000", "-0.5000000000"]);
    becomes(decimal(), "decimal(3,2)", &["-0.50", "!type_mismatch {\"v\":19.99}"]);
    becomes(decimal(), "decimal(10,1)", &["-0.5", "!type_mismatch {\"v\":19.99}"]);
    becomes(decimal(), "string", &["\"19.99\"", "\"-0.50\""]);
    becomes(decimal(), "int", &["!type_mismatch {\"v\":19.99}", "!type_mismatch {\"v\":-0.50}"]);
    let whole: ArrayRef = Arc::new(Decimal128Array::from(vec![1200]).with_precision_and_scale(10, 2).unwrap());
    becomes(whole, "int", &["12"]);
    let wide = i256::from_string("1234567890123456789012345678901234567890").unwrap();
    let wide = || -> ArrayRef { Arc::new(Decimal256Array::from(vec![wide, i256::from_i128(5)]).with_precision_and_scale(50, 1).unwrap()) };
    becomes(wide(), "decimal(38,1)", &["0.5", "!type_mismatch {\"v\":123456789012345678901234567890123456789.0}"]);
    becomes(wide(), "string", &["\"123456789012345678901234567890123456789.0\"", "\"0.5\""]);
}

#[test]
fn times_of_every_unit_and_zone() {
    let millis = || TimestampMillisecondArray::from(vec![1_795_082_400_123, -1]);
    becomes(Arc::new(millis()), "timestamp", &["\"2026-11-19T10:00:00.123Z\"", "\"1969-12-31T23:59:59.999Z\""]);
    becomes(Arc::new(millis()), "string", &["\"2026-11-19T10:00:00.123\"", "\"1969-12-31T23:59:59.999\""]);
    becomes(Arc::new(millis().with_timezone("UTC")), "string", &["\"2026-11-19T10:00:00.123Z\"", "\"1969-12-31T23:59:59.999Z\""]);
    becomes(Arc::new(millis().with_timezone("+05:30")), "timestamp", &["\"2026-11-19T10:00:00.123Z\"", "\"1969-12-31T23:59:59.999Z\""]);
    becomes(
        Arc::new(millis()),
        "bigint",
        &["!type_mismatch {\"v\":\"2026-11-19T10:00:00.123\"}", "!type_mismatch {\"v\":\"1969-12-31T23:59:59.999\"}"],
    );
    becomes(
        Arc::new(TimestampMillisecondArray::from(vec![i64::MAX])),
        "timestamp",
        &["!type_mismatch {\"v\":\"+292278994-08-17T07:12:55.807\"}"],
    );
    let nanos = || TimestampNanosecondArray::from(vec![1_795_082_400_123_456_789, -1]);
    becomes(Arc::new(nanos()), "timestamp", &["\"2026-11-19T10:00:00.123456Z\"", "\"1969-12-31T23:59:59.999999Z\""]);
    becomes(Arc::new(nanos()), "string", &["\"2026-11-19T10:00:00.123456789\"", "\"1969-12-31T23:59:59.999999999\""]);
    let micros = TimestampMicrosecondArray::from(vec![253_402_300_799_999_999, -62_135_596_800_000_000, 0]);
    becomes(Arc::new(micros), "timestamp", &["\"9999-12-31T23:59:59.999999Z\"", "\"0001-01-01T00:00:00Z\"", "\"1970-01-01T00:00:00Z\""]);
    let days = || -> ArrayRef { Arc::new(Date32Array::from(vec![20_776, -1, 2_932_897])) };
    becomes(days(), "string", &["\"2026-11-19\"", "\"1969-12-31\"", "\"+10000-01-01\""]);
    becomes(Arc::new(Date32Array::from(vec![20_776, -719_528])), "date", &["\"2026-11-19\"", "!type_mismatch {\"v\":\"0000-01-01\"}"]);
    becomes(Arc::new(Date32Array::from(vec![20_776])), "timestamp", &["!type_mismatch {\"v\":\"2026-11-19\"}"]);
    becomes(Arc::new(Time32MillisecondArray::from(vec![50_706_007])), "string", &["\"14:05:06.007\""]);
    becomes(Arc::new(Time64NanosecondArray::from(vec![50_706_000_000_001, 0])), "string", &["\"14:05:06.000000001\"", "\"00:00:00\""]);
    becomes(
        texts(&["2026-11-19T10:00:00.5+01:00", "soon"]),
        "timestamp",
        &["\"2026-11-19T09:00:00.500Z\"", "!type_mismatch {\"v\":\"soon\"}"],
    );
}

#[test]
fn texts_and_bytes() {
    becomes(texts(&["é\n\"\\\u{1}", ""]), "string", &[r#""é\n\"\\\u0001""#, "\"\""]);
    becomes(texts(&["äöü", "abcd"]), "varchar(3)", &["\"äöü\"", "!type_mismatch {\"v\":\"abcd\"}"]);
    becomes(texts(&["12", "1.5"]), "int", &["12", "!type_mismatch {\"v\":\"1.5\"}"]);
    becomes(texts(&["TRUE", "1"]), "boolean", &["true", "!type_mismatch {\"v\":\"1\"}"]);
    becomes(texts(&["AP8=", "*"]), "binary", &["\"00ff\"", "!type_mismatch {\"v\":\"*\"}"]);
    becomes(texts(&["[1]"]), "array<int>", &["!type_mismatch {\"v\":\"[1]\"}"]);
    becomes(Arc::new(LargeStringArray::from(vec!["large"])), "string", &["\"large\""]);
    becomes(Arc::new(StringViewArray::from(vec!["a view of more than twelve bytes"])), "string", &["\"a view of more than twelve bytes\""]);
    let dictionary: DictionaryArray<Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
    becomes(Arc::new(dictionary), "string", &["\"a\"", "null", "\"a\""]);
    let bytes = || -> ArrayRef { Arc::new(BinaryArray::from(vec![&b"\x00\xff"[..], b"12"])) };
    becomes(bytes(), "binary", &["\"00ff\"", "\"3132\""]);
    becomes(bytes(), "string", &["\"12\"", "!not_utf8 {\"v\":\"AP8=\"}"]);
    becomes(bytes(), "int", &["12", "!not_utf8 {\"v\":\"AP8=\"}"]);
    becomes(Arc::new(BooleanArray::from(vec![true, false])), "boolean", &["true", "false"]);
    becomes(Arc::new(BooleanArray::from(vec![true])), "string", &["\"true\""]);
    becomes(Arc::new(BooleanArray::from(vec![true])), "int", &["!type_mismatch {\"v\":true}"]);
    becomes(Arc::new(NullArray::new(2)), "int", &["null", "null"]);
}
