//! What each type of column takes, alone and within others.

use super::*;

/// A type, values that fit it with what they become, and values that do not.
type Fits = (&'static str, &'static [(&'static str, &'static str)], &'static [&'static str]);

const TYPES: &[Fits] = &[
    (
        "boolean",
        &[("true", "true"), ("false", "false"), ("\"TRUE\"", "true"), ("\"f\\u0061lse\"", "false")],
        &["1", "\"yes\"", "\"\"", "{}", "[true]"],
    ),
    ("tinyint", &[("-128", "-128"), ("\"127\"", "127"), ("1e2", "100"), ("-0", "0")], &["128", "1.5", "\"x\"", "true", "[]"]),
    ("smallint", &[("32767", "32767"), ("\"-32768\"", "-32768")], &["32768", "\"\"", "{}"]),
    ("int", &[("2147483647", "2147483647"), ("\"12\"", "12"), ("3.0", "3")], &["2147483648", "\" 12\"", "\"1-2\"", "false"]),
    (
        "bigint",
        &[("9223372036854775807", "9223372036854775807"), ("\"-9223372036854775808\"", "-9223372036854775808")],
        &["9223372036854775808", "1e19", "1e2147483647", "\"0e2147483647x\"", "0.1"],
    ),
    ("float", &[("1.5", "1.5"), ("\"2.5\"", "2.5"), ("7", "7.0")], &["1e39", "\"inf\"", "\"abc\"", "true"]),
    (
        "double",
        &[("0.1", "0.1"), ("\"-1e300\"", "-1.0e300"), ("18446744073709551616", "1.8446744073709552e19")],
        &["1e400", "\"1,5\"", "{}", "[1]"],
    ),
    ("decimal(5,2)", &[("19.99", "19.99"), ("\"-5\"", "-5.00"), ("1e2", "100.00")], &["1000", "0.001", "\"1 \"", "true", "{}"]),
    ("decimal(38,0)", &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")], &["1e38", "0.5"]),
    (
        "string",
        &[("\"a\\u00e9\\n\"", "\"aé\\n\""), ("1.50", "\"1.50\""), ("{\"b\": [1]}", "\"{\\\"b\\\": [1]}\""), ("true", "\"true\"")],
        &["\"\\ud800\""],
    ),
    ("varchar(3)", &[("\"äöü\"", "\"äöü\""), ("12", "\"12\"")], &["\"abcd\"", "1234"]),
    ("char(2)", &[("\"a\"", "\"a\"")], &["\"abc\"", "[1]"]),
    ("binary", &[("\"AP8=\"", "\"00ff\""), ("\"\"", "\"\"")], &["\"AP8\"", "\"*\"", "1"]),
    ("date", &[("\"2026-11-19\"", "\"2026-11-19\"")], &["\"2026-02-30\"", "20451", "\"2026-11-19T00:00\""]),
    (
        "timestamp",
        &[
            ("\"2026-11-19T14:05:06.123456+01:00\"", "\"2026-11-19T13:05:06.123456Z\""),
            ("1795082400123", "\"2026-11-19T10:00:00.123Z\""),
            ("1795082400.5", "\"2026-11-19T10:00:00.500Z\""),
        ],
        &["\"yesterday\"", "1e30", "true", "\"2026-11-19\""],
    ),
    ("array<int>", &[("[1,null, \"2\"]", "[1,null,2]"), ("[]", "[]")], &["[1,true]", "{}", "1", "\"[1]\""]),
    ("map<string,int>", &[("{\"a\":1,\"B\":null}", "{\"a\":1,\"B\":null}"), ("{}", "{}")], &["{\"a\":\"x\"}", "[]", "1"]),
    ("map<varchar(1),string>", &[("{\"7\":1}", "{\"7\":\"1\"}")], &["{\"xx\":\"y\"}"]),
    (
        "struct<a:int,b:string>",
        &[("{\"B\":\"x\"}", "{\"a\":null,\"b\":\"x\"}"), ("{}", "{\"a\":null,\"b\":null}")],
        &["{\"a\":[]}", "[]", "\"x\"", "false"],
    ),
];

#[test]
fn every_type_takes_what_fits_and_nothing_else() {
    for (hive, fits, misfits) in TYPES {
        let column = format!("v {hive}");
        for (value, becomes) in fits.iter().chain([&("null", "null")]) {
            check(&column, "", format!("{{\"v\":{value}}}"), &[&format!("{{\"v\":{becomes}}}")]);
        }
        check(&column, "", "{}", &["{\"v\":null}"]);
        for value in *misfits {
            let record = format!("{{\"v\":{value}}}");
            let done = standardized(&plan(&column, ""), record.clone());
            let [reject] = done.rejects.as_slice() else { panic!("{hive} takes {value}: {:?}", lines(&done)) };
            let code = if value.contains("ud800") { Code::NotText } else { Code::Type };
            assert_eq!((reject.offset, reject.raw.as_deref().unwrap(), reject.reason.code), (0, record.as_bytes(), code), "{hive} {value}");
            assert!(reject.reason.column.starts_with('v'), "{hive} {value}: {}", reject.reason.column);
        }
    }
}

#[test]
fn nested_values_keep_their_shape_and_a_misfit_says_where_it_is() {
    let columns = "id int, items array<struct<sku:string,price:decimal(4,2),tags:array<string>>>, by map<string,struct<n:int>>";
    let good = r#"{"id":1,"items":[{"sku":"a","price":1.5,"tags":["x",null]},null,{}],"by":{"k":{"n":1},"l":null}}"#;
    let row = r#"{"id":1,"items":[{"sku":"a","price":1.50,"tags":["x",null]},null,{"sku":null,"price":null,"tags":null}],"by":{"k":{"n":1},"l":null}}"#;
    let deep = r#"{"id":2,"items":[{"sku":"b"},{"price":1.005}]}"#;
    let entry = r#"{"id":3,"by":{"secret":{"n":"x"}}}"#;
    let expected = [
        row.to_string(),
        row.to_string(),
        format!("@96 type_mismatch items[].price {deep}"),
        format!("@142 type_mismatch by{{}}.n {entry}"),
    ];
    check(columns, "", format!("{good}{deep}{entry}{good}"), &expected.each_ref().map(String::as_str));
}
