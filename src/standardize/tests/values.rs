//! `docs/values.md` is true: every row of its tables, run through standardizing.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;

use super::plan;
use crate::schema::HiveType;

const PAGE: &str = include_str!("../../../docs/values.md");

/// What the one record of an object becomes: a row, or a reject with this code.
fn standardized(columns: &str, object: Vec<u8>) -> Result<RecordBatch, String> {
    let mut done = super::standardized(&plan(columns, ""), object);
    match (done.batches.pop(), done.rejects.pop()) {
        (Some(row), None) if done.batches.is_empty() && row.num_rows() == 1 => Ok(row),
        (None, Some(reject)) if done.rejects.is_empty() => Err(reject.reason.code.as_str().to_string()),
        other => panic!("not one record: {other:?}"),
    }
}

/// A table of the page: the types or headings it stands under, and its rows as texts of cells.
struct Table<'p> {
    heading: &'p str,
    header: Vec<&'p str>,
    rows: Vec<Vec<&'p str>>,
}

fn tables(page: &str) -> Vec<Table<'_>> {
    let (mut heading, mut found, mut inside): (_, Vec<Table<'_>>, _) = ("", Vec::new(), false);
    for line in page.lines() {
        if let Some(text) = line.strip_prefix("## ") {
            heading = text;
        }
        let Some(cells) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            inside &= line.starts_with("|---");
            continue;
        };
        let cells = cells.split(" | ").collect();
        match found.last_mut() {
            Some(table) if inside => table.rows.push(cells),
            _ => found.push(Table { heading, header: cells, rows: Vec::new() }),
        }
        inside = true;
    }
    found
}

/// The first code of a cell.
fn code(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap_or_else(|| panic!("no code in {cell}"))
}

/// The bytes that a cell stands for: `⟨FF⟩` is a byte, `⟨3×ab⟩` is `ababab`.
fn spell_out(text: &str) -> Vec<u8> {
    let mut pieces = text.split('⟨');
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (inner, rest) = piece.split_once('⟩').unwrap_or_else(|| panic!("no ⟩ in {text}"));
        match inner.split_once('×') {
            Some((count, repeated)) => out.extend(repeated.repeat(count.parse().unwrap()).into_bytes()),
            None => out.extend(inner.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap())),
        }
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

/// Compares a cell such as `` `1` the nearest `` or `` quarantined: `too_deep` `` with what came out, which is shown by `show`.
fn differs(cell: &str, what: &str, done: Result<RecordBatch, String>, show: impl Fn(&RecordBatch) -> String) -> Option<String> {
    let expected = String::from_utf8(spell_out(code(cell))).unwrap();
    let expected = if cell.starts_with("quarantined: ") { Err(expected) } else { Ok(expected) };
    let shown = done.map(|row| show(&row));
    (shown != expected).then(|| format!("{what}: {shown:.200?}, and the page says {expected:.200?}"))
}

/// The one value of a column: texts and nested values as JSON, others as they print.
fn show_value(column: &ArrayRef) -> String {
    if column.is_null(0) {
        return "null".to_string();
    }
    let plain = |column: &ArrayRef| array_value_to_string(column, 0).unwrap().replace("inf", "Infinity");
    let is_json = column.data_type().is_nested() || matches!(column.data_type(), DataType::Utf8 | DataType::Binary);
    let row = RecordBatch::try_from_iter([("v", column.clone())]).unwrap();
    // JSON has texts for keys and nothing else; a map with other keys is shown as it prints.
    let json = is_json.then(|| show_row(&row)).flatten();
    json.map_or_else(|| plain(column), |text| text[r#"{"v":"#.len()..text.len() - 1].to_string())
}

fn show_row(row: &RecordBatch) -> Option<String> {
    let mut writer = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow::json::writer::LineDelimited>(Vec::new());
    writer.write(row).and_then(|()| writer.finish()).ok()?;
    Some(String::from_utf8(writer.into_inner()).unwrap().trim_end().to_string())
}

#[test]
fn every_value_of_the_page_becomes_what_the_page_says() {
    let (mut wrong, mut types) = (Vec::new(), Vec::new());
    for table in tables(PAGE).iter().filter(|table| table.header == ["JSON in the record", "what the column holds"]) {
        let hive = code(table.heading);
        types.push(hive);
        for row in &table.rows {
            let [value, expected] = row.as_slice() else { panic!("{row:?}") };
            let object = [&b"{\"v\":"[..], &spell_out(code(value)), b"}"].concat();
            let done = standardized(&format!("v {hive}"), object);
            wrong.extend(differs(expected, &format!("{hive} {value}"), done, |row| show_value(row.column(0))));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    let parsed: Vec<HiveType> = types.iter().map(|text| HiveType::parse(text).unwrap()).collect();
    let is_there = |kind: &HiveType| parsed.iter().any(|hive| std::mem::discriminant(hive) == std::mem::discriminant(kind));
    for text in "boolean tinyint smallint int bigint float double decimal(1,0) string varchar(1) char(1) binary date timestamp \
                 array<int> map<int,int> struct<a:int>"
        .split_whitespace()
    {
        assert!(is_there(&HiveType::parse(text).unwrap()), "the page has no table for {text}");
    }
}

#[test]
fn every_record_of_the_page_becomes_what_the_page_says() {
    let mut wrong = Vec::new();
    let all = tables(PAGE);
    let table = all.iter().find(|table| table.header == ["columns", "record", "row"]).unwrap();
    assert!(table.rows.len() > 30);
    for row in &table.rows {
        let [columns, record, expected] = row.as_slice() else { panic!("{row:?}") };
        let done = standardized(code(columns), spell_out(code(record)));
        wrong.extend(differs(expected, &format!("{columns} {record}"), done, |row| show_row(row).unwrap()));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
