//! Whole objects through standardizing: columns, settings and bytes in; rows and rejected records out, as text.

mod accounting;
mod errors;
mod kept;
mod privacy;
mod types;
mod values;

use std::path::Path;

use super::*;
use crate::config;
use crate::schema::{Column, HiveType, TableSchema};
use arrow::array::RecordBatch;
use bytes::Bytes;

/// A plan for columns such as `id bigint, page struct<url:string>`, with the settings of a table in `lakebed.toml`. Unless they are
/// set, `max_ratio` is 1, and unknown fields are left out where there is no column `rescued`.
fn plan(columns: &str, settings: &str) -> Plan {
    let column = |text: &str| {
        let (name, hive) = text.split_once(' ').unwrap();
        Column { name: name.into(), hive: HiveType::parse(hive).unwrap(), comment: None }
    };
    let schema = TableSchema { columns: columns.split(", ").map(column).collect(), partition_keys: vec![] };
    let minimal = "[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake\"\n";
    let table = config::load(&format!("{minimal}{settings}"), Path::new("/"), &|_| None).unwrap().tables.remove(0);
    let set = |key: &str| settings.contains(key);
    let new_columns =
        if columns.contains("rescued ") || set("new_columns") { table.new_columns } else { crate::config::NewColumns::Ignore };
    let plan = Plan::new(&schema, &table.rules, new_columns, if set("max_ratio") { table.max_ratio } else { 1.0 }).unwrap();
    Plan { format: table.format, unwrap: table.unwrap, keep_raw: table.keep_raw, ..plan }
}

/// What one object became.
#[derive(Debug)]
struct Standardized {
    batches: Vec<RecordBatch>,
    rejects: Vec<Reject>,
    read: u64,
    warned: u64,
    damage: Option<Damage>,
}

/// Standardizes an object that may take as much memory as it likes.
fn standardized(plan: &Plan, object: impl Into<Bytes>) -> Standardized {
    let object: Bytes = object.into();
    let stored: Arc<dyn Stored> = Arc::new(object);
    let (mut batches, mut rejects) = (Vec::new(), Vec::new());
    let outcome = standardize(plan, &stored, Limits::within(1 << 30, 1 << 30), &mut |piece| {
        match piece {
            Piece::Rows(batch) => batches.push(batch),
            Piece::Rejects(some) => rejects.extend(some),
        }
        Ok(())
    });
    let Outcome { tally, damage } = outcome.unwrap();
    assert_eq!((tally.rows, tally.rejected), (batches.iter().map(|batch| batch.num_rows() as u64).sum(), rejects.len() as u64));
    assert_eq!(tally.read, tally.rows + tally.rejected + tally.dropped, "every record is accounted for");
    Standardized { batches, rejects, read: tally.read, warned: tally.warned, damage }
}

/// What came out, line by line: the rows as JSON, the rejects as `@offset reason column bytes` (`-` if not kept), then damage and warnings.
fn lines(done: &Standardized) -> Vec<String> {
    let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    done.batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.finish().unwrap();
    let mut out: Vec<String> = String::from_utf8(writer.into_inner()).unwrap().lines().map(str::to_string).collect();
    assert_eq!(done.read, (out.len() + done.rejects.len()) as u64, "every record is a row or a reject");
    for Reject { offset, raw, reason, .. } in &done.rejects {
        let raw = raw.as_deref().unwrap_or(b"-");
        out.push(format!("@{offset} {} {} {}", reason.code.as_str(), reason.column, String::from_utf8_lossy(raw)));
    }
    out.extend(done.damage.as_ref().map(|damage| format!("{damage:?}")));
    out.extend((done.warned > 0).then(|| format!("warned {}", done.warned)));
    out
}

#[track_caller]
fn check(columns: &str, settings: &str, object: impl AsRef<[u8]>, expected: &[&str]) {
    let object = object.as_ref();
    let done = standardized(&plan(columns, settings), Bytes::copy_from_slice(object));
    assert_eq!(lines(&done), expected, "{columns}: {}", String::from_utf8_lossy(object));
}

#[test]
fn unknown_fields_are_kept_with_the_way_to_them() {
    let columns =
        "id int, page struct<url:string>, items array<struct<sku:string>>, by map<string,struct<n:int>>, rescued map<string,string>";
    let record = concat!(
        r#"{"id":1,"New Field":{"a":[1, 2]},"page":{"url":"u","x":"y"},"#,
        r#""items":[{"sku":"s"},{"x":1.50}],"by":{"k":{"n":1,"o":null}},"rescued":"z"}"#
    );
    let row = concat!(
        r#"{"id":1,"page":{"url":"u"},"items":[{"sku":"s"},{"sku":null}],"by":{"k":{"n":1}},"#,
        r#""rescued":{"New Field":"{\"a\":[1, 2]}","page.x":"\"y\"","items[1].x":"1.50","by{}.o":"null","rescued":"\"z\""}}"#
    );
    check(columns, "", record, &[row]);
    check("id int, rescued map<string,string>", "", r#"{"id":1}"#, &[r#"{"id":1,"rescued":{}}"#]);
}

#[test]
fn of_two_fields_with_one_name_the_first_counts_and_the_other_is_kept() {
    let columns = "id int, user_agent string, rescued map<string,string>";
    let twice = r#"{"id":1,"ID":2,"id":3,"User-Agent":"a","user_agent":"b","x":1,"x":2,"x":3}"#;
    let row = concat!(r#"{"id":1,"user_agent":"a","rescued":{"ID":"2","id":"3","#, r#""user_agent":"\"b\"","x":"1","x#2":"2","x#3":"3"}}"#);
    check(columns, "", twice, &[row]);
    let again = r#"{"id":1,"id":2,"id":3,"x#2":1,"x":2,"x":3}"#;
    check("id int, rescued map<string,string>", "", again, &[r#"{"id":1,"rescued":{"id":"2","id#2":"3","x#2":"1","x":"2","x#3":"3"}}"#]);
    check("id int", "", twice, &[r#"{"id":1}"#]);
    let map = r#"{"m":{"a":1,"A":2,"a":3}}"#;
    check("m map<string,int>, rescued map<string,string>", "", map, &[r#"{"m":{"a":1,"A":2},"rescued":{"m.a":"3"}}"#]);
    let null_first = r#"{"id":null,"id":2}"#;
    check("id int, rescued map<string,string>", "", null_first, &[r#"{"id":null,"rescued":{"id":"2"}}"#]);
}

#[test]
fn keys_of_maps_have_types_and_equal_ones_are_told_by_value() {
    use arrow::util::display::array_value_to_string;
    let object = Bytes::from_static(br#"{"m":{"7":"a","07":"b","8":null}}{"m":{"x":"a"}}"#);
    let done = standardized(&plan("m map<int,string>, rescued map<string,string>", ""), object);
    let texts: Vec<String> = done.batches[0].columns().iter().map(|column| array_value_to_string(column, 0).unwrap()).collect();
    assert_eq!(texts, ["{7: a, 8: }", "{m.07: \"b\"}"]);
    assert_eq!((done.rejects[0].offset, &*done.rejects[0].reason.column), (33, "m{}"));
}

#[test]
fn a_record_has_a_greatest_length() {
    let object = format!("{{\"n\":1}}{{\"n\":2,\"x\":\"{}\"}}{{\"n\":3}}", "x".repeat(RECORD as usize));
    let done = standardized(&plan("n int", ""), object);
    let [reject] = done.rejects.as_slice() else { panic!("{} rejects", done.rejects.len()) };
    assert_eq!((done.read, reject.offset, reject.reason.code, reject.length), (3, 7, Code::TooLarge, RECORD + 14));
}

#[test]
fn a_hundred_thousand_fields_of_one_record_are_read_in_no_time() {
    let began = std::time::Instant::now();
    let fields: Vec<String> = (0..100_000).map(|n| format!("\"k{}\":{n}", n % 50_000)).collect();
    let record = format!("{{\"m\":{{{}}},{}}}", fields.join(","), fields.join(","));
    let done = standardized(&plan("m map<string,int>, rescued map<string,string>", ""), record);
    let text = &lines(&done)[0];
    assert!(text.contains("\"k49999\":49999}") && text.contains("\"k7#2\":\"50007\"") && text.contains("\"m.k7\":\"50007\""));
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

#[test]
fn a_column_takes_its_value_from_another_place() {
    let columns = "page_url string, page struct<title:string>, page_text string, rescued map<string,string>";
    let from = "[table.columns.page_url]\nfrom = \"page.url\"\n[table.columns.page_text]\nfrom = \"page\"\n";
    let record = r#"{"page":{"title":"T","url":"u","x":1},"page_url":"other"}"#;
    let row = concat!(
        r#"{"page_url":"u","page":{"title":"T"},"page_text":"{\"title\":\"T\",\"url\":\"u\",\"x\":1}","#,
        r#""rescued":{"page.url":"\"u\"","page.x":"1","page_url":"\"other\""}}"#
    );
    check(columns, from, record, &[row]);
    let alone = "[table.columns.url]\nfrom = \"a.b.url\"\n";
    check(
        "url string, rescued map<string,string>",
        alone,
        r#"{"a":{"b":{"url":1,"c":2},"d":3}}"#,
        &[r#"{"url":"1","rescued":{"a.b.c":"2","a.d":"3"}}"#],
    );
    check("url string", alone, r#"{"a":null}{"a":{"b":[]}}"#, &[r#"{"url":null}"#, r#"@10 type_mismatch a.b {"a":{"b":[]}}"#]);
}

#[test]
fn a_broken_rule_quarantines_nulls_or_warns() {
    let rules: &[(&str, &str, &str, &str)] = &[
        ("int", "required = true", "1", "null"),
        ("int", "min = 0", "0", "-1"),
        ("bigint", "max = 9007199254740992", "9007199254740992", "9007199254740993"),
        ("double", "min = 0.5", "0.5", "0.4"),
        ("decimal(5,2)", "max = 9.99", "9.99", "10"),
        ("string", "pattern = \"^[a-z]+$\"", "\"abc\"", "\"a1\""),
        ("string", "allowed = [\"a\", \"b\"]", "\"b\"", "\"B\""),
        ("int", "allowed = [1, 2]", "2", "3"),
        ("string", "max_length = 2", "\"äö\"", "\"abc\""),
    ];
    for (hive, rule, fits, breaks) in rules {
        let (column, object) = (format!("v {hive}"), format!("{{\"v\":{fits}}}{{\"v\":{breaks}}}"));
        let settings = |on_fail: &str| format!("[table.columns.v]\n{rule}\non_fail = \"{on_fail}\"\n");
        let (good, second) = (format!("{{\"v\":{fits}}}"), format!("{{\"v\":{breaks}}}"));
        let reject = format!("@{} rule_broken v {second}", good.len());
        let shown = if hive.starts_with("decimal") { second.replace("10", "10.00") } else { second.clone() };
        check(&column, &settings("quarantine"), &object, &[&good, &reject]);
        check(&column, &settings("null"), &object, &[&good, "{\"v\":null}", "warned 1"]);
        check(&column, &settings("warn"), &object, &[&good, &shown, "warned 1"]);
    }
    let missing = "[table.columns.v]\nrequired = true\nmin = 1\n";
    check("v int", missing, "{}", &["@0 rule_broken v {}"]);
    check("v int", &missing.replace("required = true\n", ""), "{}", &["{\"v\":null}"]);
}

#[test]
fn warnings_are_of_rows_and_not_of_rejects() {
    let settings = "[table.columns.a]\nmin = 0\non_fail = \"warn\"\n[table.columns.b]\nrequired = true\n";
    let object = r#"{"a":-1}{"a":-1,"b":1}"#;
    check("a int, b int", settings, object, &[r#"{"a":-1,"b":1}"#, r#"@0 rule_broken b {"a":-1}"#, "warned 1"]);
    check("a int, b int", settings, b"{\"a\":-1,\"b\":1,\"c\":\"\xFF\"}", &["@0 not_utf8  {\"a\":-1,\"b\":1,\"c\":\"\u{fffd}\"}"]);
}

#[test]
fn unknown_fields_are_left_out_or_refused_on_request() {
    let record = r#"{"id":1,"page":{"x":2}}"#;
    let set = |word: &str| format!("[table.evolution]\nnew_columns = \"{word}\"\n");
    check("id int, page struct<url:string>", &set("ignore"), record, &[r#"{"id":1,"page":{"url":null}}"#]);
    check("id int, page struct<url:string>", &set("reject"), record, &[&format!("@0 unknown_field page.x {record}")]);
    check("id int", &set("reject"), r#"{"id":1,"id":2}{"id":3}"#, &[r#"{"id":3}"#, r#"@0 unknown_field id {"id":1,"id":2}"#]);
}

#[test]
fn records_are_found_in_every_framing() {
    let rows = [r#"{"n":1}"#, r#"{"n":2}"#];
    let (a, b) = (rows[0], rows[1]);
    for object in [
        format!("{a}{b}"),
        format!("{a}\n{b}\n"),
        format!("{a}\r\n{b}"),
        format!("\u{feff}{a}\n\u{feff}{b}\u{feff}"),
        format!("\n\n {a}\t{b} \n\n"),
        "{\n  \"n\": 1\n}\n{\n  \"n\" : 2 }".to_string(),
    ] {
        check("n int", "", object, &rows);
    }
    check("n int", "", "", &["Empty"]);
    check("n int", "", " \r\n\u{feff}\n", &["Empty"]);
}

#[test]
fn a_broken_record_costs_itself_and_nothing_else() {
    for broken in [r#"{"n":7,}"#, r#"{"n" 7}"#, r#"{"n":07}"#, r#"{"n":{"m":1}"#, "{\"n\":\"a\u{1}\"}", r#"{"n":tru}"#] {
        for between in ["", "\n", "\r\n"] {
            let object = format!("{{\"n\":1}}{between}{broken}{between}{{\"n\":2}}{between}");
            let reject = format!("@{} malformed_json  {broken}", 7 + between.len());
            check("n int", "", object, &[r#"{"n":1}"#, r#"{"n":2}"#, &reject]);
        }
    }
    check("n int", "", "{\"n\":1}{\"n\":", &[r#"{"n":1}"#, "@7 malformed_json  {\"n\":"]);
    check("n int", "", "{\"n\":\"cut\n{\"n\":2}", &[r#"{"n":2}"#, "@0 malformed_json  {\"n\":\"cut"]);
    check("n int", "", "\u{c}\n{\"n\":2}", &[r#"{"n":2}"#, "@0 malformed_json  \u{c}"]);
}

#[test]
fn documents_that_are_no_objects_are_rejected_one_by_one() {
    let object = "1 \"a\" null{\"n\":1}[[{\"n\":2}]]true";
    let rejects = ["@0 not_an_object  1", "@2 not_an_object  \"a\"", "@6 not_an_object  null"];
    check("n int", "", object, &[&[r#"{"n":1}"#][..], &rejects, &["@18 not_an_object  [{\"n\":2}]", "@28 not_an_object  true"]].concat());
}

#[test]
fn text_that_is_no_text_is_rejected_wherever_it_stands() {
    let object = b"{\"s\":\"a\xFFb\"}{\"s\":\"ok\"}{\"s\":\"c\",\"x\":\"\xC3\"}{\"\xFF\":1}";
    let columns = "s string, rescued map<string,string>";
    let done = standardized(&plan(columns, ""), Bytes::from_static(object));
    assert_eq!(lines(&done)[0], r#"{"s":"ok","rescued":{}}"#);
    let rejects: Vec<_> = done.rejects.iter().map(|r| (r.offset, r.reason.code, r.raw.as_deref().unwrap())).collect();
    assert_eq!(rejects[0], (0, Code::NotText, &b"{\"s\":\"a\xFFb\"}"[..]));
    assert_eq!(rejects[1], (21, Code::NotText, &b"{\"s\":\"c\",\"x\":\"\xC3\"}"[..]));
    assert_eq!(rejects[2], (38, Code::NotText, &b"{\"\xFF\":1}"[..]));
    let half = r#"{"s":"\udc00"}"#;
    check("s string", "", half, &[&format!("@0 not_utf8 s {half}")]);
    check("m map<string,int>", "", r#"{"m":{"\ud800":1}}"#, &[r#"@0 not_utf8 m{} {"m":{"\ud800":1}}"#]);
    check(columns, "", r#"{"\ud800":1}"#, &[r#"@0 not_utf8  {"\ud800":1}"#]);
    check(columns, "", r#"{"x":"\ud800"}"#, &[r#"{"s":null,"rescued":{"x":"\"\\ud800\""}}"#]);
}

#[test]
fn nesting_has_a_limit_and_no_depth_overflows_the_stack() {
    for levels in [200, 100_000] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        for (value, code, column) in [("x", "too_deep", ""), ("s", "too_deep", "s"), ("n", "type_mismatch", "n")] {
            let record = format!("{{\"{value}\":{open}{close}}}");
            check("n int, s string", "", &record, &[&format!("@0 {code} {column} {record}")]);
        }
        check("n int", "", format!("[{open}{close}]"), &[&format!("@1 not_an_object  {open}{close}")]);
        let unclosed = format!("{{\"x\":{open}");
        check("n int", "", &unclosed, &[&format!("@0 malformed_json  {unclosed}")]);
    }
    let fits = format!("{{\"n\":1,\"x\":{}1{}}}", "[".repeat(127), "]".repeat(127));
    check("n int", "", fits, &[r#"{"n":1}"#]);
}

#[test]
fn wrapped_records_are_taken_out_of_their_array() {
    let object = r#"{"v":1,"Records":[{"n":1},{"n":"x"},7]}{"Records":[]}{"n":3}{"Records":[{"n":4}]}"#;
    let expected =
        [r#"{"n":1}"#, r#"{"n":4}"#, r#"@26 type_mismatch n {"n":"x"}"#, "@36 not_an_object  7", r#"@53 type_mismatch  {"n":3}"#];
    check("n int", "unwrap = \"Records\"\n", object, &expected);
}

#[test]
fn an_object_with_too_many_bad_records_is_set_aside_whole() {
    let settings = "[table.quarantine]\nmax_ratio = 0.5\n";
    check("n int", settings, r#"{"n":1}{"n":"x"}"#, &[r#"{"n":1}"#, r#"@7 type_mismatch n {"n":"x"}"#]);
    let done = standardized(&plan("n int", settings), Bytes::from_static(br#"{"n":1}{"n":"x"}7"#));
    let [good, misfit, number, why] = &lines(&done)[..] else { panic!("{:?}", lines(&done)) };
    assert_eq!((&**good, &**misfit), (r#"@0 object_set_aside  {"n":1}"#, r#"@7 type_mismatch n {"n":"x"}"#));
    assert_eq!(number, "@16 not_an_object  7");
    assert!(why.starts_with("Rejected(\"2 of its 3 records are bad"), "{why}");
}

#[test]
fn of_a_damaged_object_the_readable_part_becomes_rows() {
    use std::io::Write;
    let text: String = (0..20_000u32).map(|n| format!("{{\"n\":{},\"x\":\"{:x}\"}}", n, n.wrapping_mul(2_654_435_761))).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    let whole = encoder.finish().unwrap();
    let cut = Bytes::copy_from_slice(&whole[..whole.len() / 2]);
    let done = standardized(&plan("n int", ""), cut.clone());
    let rows: usize = done.batches.iter().map(RecordBatch::num_rows).sum();
    assert!(rows > 5_000, "{rows}");
    assert_eq!(done.read, (rows + done.rejects.len()) as u64);
    let last = done.rejects.last().unwrap();
    assert_eq!((last.reason.code, last.raw.as_deref().unwrap()), (Code::DamagedObject, &*cut));
    assert!(matches!(done.damage, Some(Damage::Partly(_))));

    let nothing = Bytes::from_static(b"\x1f\x8bnothing");
    let done = standardized(&plan("n int", ""), nothing.clone());
    assert_eq!((done.read, done.rejects[0].raw.as_deref().unwrap()), (1, &*nothing));
    assert!(matches!(done.damage, Some(Damage::Rejected(_))));
}
