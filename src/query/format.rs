//! The rows of a query as text: a table for people, CSV or JSON for programs.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonArray, NullableEncoder, WriterBuilder, make_encoder};
use arrow::json::{Encoder, EncoderFactory, EncoderOptions};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use arrow::util::pretty::pretty_format_batches_with_options;

use super::QueryResult;
use crate::error::{Error, Result};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A drawn table, for people; of a long result the first [`TABLE_ROWS`] rows.
    Table,
    /// A header and one line a row. NULL is empty, an empty text is `""`, nested values are JSON.
    Csv,
    /// One document: an array with an object a row. Decimals are texts, so that they stay exact.
    Json,
}

/// The most rows that a drawn table has: it has to be in memory as a whole.
pub const TABLE_ROWS: usize = 10_000;

/// A timestamp without a zone is in UTC, as everything is; one with a zone prints its own offset, `Z` for UTC.
const UTC_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Writes all rows, as they come.
///
/// # Errors
/// Those of [`QueryResult::next`], and `Unavailable` if `out` cannot be written.
pub async fn write(mut result: QueryResult, format: Format, out: &mut dyn Write) -> Result<()> {
    match format {
        Format::Table => write_table(&mut result, out).await?,
        Format::Csv => write_csv(&mut result, out).await?,
        Format::Json => write_json(&mut result, out).await?,
    }
    out.flush().map_err(|e| unwritten(&e))
}

async fn write_table(result: &mut QueryResult, out: &mut dyn Write) -> Result<()> {
    // Without rows there is still a header.
    let mut batches = vec![RecordBatch::new_empty(result.schema())];
    let mut room = TABLE_ROWS;
    let mut more = false;
    while let Some(batch) = result.next().await? {
        let taken = batch.num_rows().min(room);
        room -= taken;
        more = batch.num_rows() > taken;
        batches.push(batch.slice(0, taken));
        if more {
            break;
        }
    }
    let options = text_options().with_null("NULL");
    let table = pretty_format_batches_with_options(&batches, &options).map_err(|e| unprintable(&e))?;
    writeln!(out, "{table}").map_err(|e| unwritten(&e))?;
    if more {
        writeln!(out, "the first {TABLE_ROWS} rows; write csv or json for all").map_err(|e| unwritten(&e))?;
    }
    Ok(())
}

async fn write_csv(result: &mut QueryResult, out: &mut dyn Write) -> Result<()> {
    let mut lines = Vec::new();
    for (index, field) in result.schema().fields().iter().enumerate() {
        next_cell(index, &mut lines);
        quote(field.name(), &mut lines);
    }
    lines.push(b'\n');
    while let Some(batch) = result.next().await? {
        csv_lines(&printable(&batch).map_err(|e| unprintable(&e))?, &mut lines).map_err(|e| unprintable(&e))?;
        out.write_all(&lines).map_err(|e| unwritten(&e))?;
        lines.clear();
    }
    out.write_all(&lines).map_err(|e| unwritten(&e))
}

async fn write_json(result: &mut QueryResult, out: &mut dyn Write) -> Result<()> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_format(UTC_FORMAT.to_string())
        .with_encoder_factory(Arc::new(ExactDecimals))
        .build::<_, JsonArray>(out);
    while let Some(batch) = result.next().await? {
        writer.write(&printable(&batch).map_err(|e| unprintable(&e))?).map_err(|e| unprintable(&e))?;
    }
    writer.finish().map_err(|e| unprintable(&e))?;
    writeln!(writer.into_inner()).map_err(|e| unwritten(&e))
}

/// One line a row, of columns that are [`printable`].
fn csv_lines(batch: &RecordBatch, lines: &mut Vec<u8>) -> Result<(), ArrowError> {
    let (text, json) = (text_options(), json_options());
    let schema = batch.schema_ref();
    let mut columns = schema.fields().iter().zip(batch.columns());
    let mut cells = columns.try_fold(Vec::new(), |mut cells, (field, column)| {
        cells.push(Cells::of(field, column, &text, &json)?);
        Ok::<_, ArrowError>(cells)
    })?;
    for row in 0..batch.num_rows() {
        for (index, cells) in cells.iter_mut().enumerate() {
            next_cell(index, lines);
            cells.write(row, lines)?;
        }
        lines.push(b'\n');
    }
    Ok(())
}

/// The cells of a column of a CSV file.
enum Cells<'a> {
    Plain(&'a ArrayRef, ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>, Vec<u8>),
}

impl<'a> Cells<'a> {
    fn of(field: &'a FieldRef, column: &'a ArrayRef, text: &FormatOptions<'a>, json: &'a EncoderOptions) -> Result<Self, ArrowError> {
        match column.data_type().is_nested() {
            true => Ok(Self::Nested(make_encoder(field, column.as_ref(), json)?, Vec::new())),
            false => Ok(Self::Plain(column, ArrayFormatter::try_new(column.as_ref(), text)?)),
        }
    }

    fn write(&mut self, row: usize, lines: &mut Vec<u8>) -> Result<(), ArrowError> {
        match self {
            Self::Plain(column, cells) if column.is_valid(row) => quote(&cells.value(row).try_to_string()?, lines),
            Self::Nested(cells, json) if !cells.is_null(row) => {
                json.clear();
                cells.encode(row, json);
                quote(&String::from_utf8_lossy(json), lines);
            }
            _ => {}
        }
        Ok(())
    }
}

fn next_cell(index: usize, lines: &mut Vec<u8>) {
    if index > 0 {
        lines.push(b',');
    }
}

/// A text as RFC 4180 has it; an empty one in quotes, because nothing is NULL.
fn quote(text: &str, lines: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        lines.extend_from_slice(text.as_bytes());
        return;
    }
    lines.push(b'"');
    lines.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    lines.push(b'"');
}

fn text_options<'a>() -> FormatOptions<'a> {
    FormatOptions::new().with_display_error(true).with_timestamp_format(Some(UTC_FORMAT))
}

fn json_options() -> EncoderOptions {
    EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_timestamp_format(UTC_FORMAT.to_string())
        .with_encoder_factory(Arc::new(ExactDecimals))
}

/// Encodes decimals as texts: most readers of JSON make a float of a number.
#[derive(Debug)]
struct ExactDecimals;

impl EncoderFactory for ExactDecimals {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        if !array.data_type().is_decimal() {
            return Ok(None);
        }
        let text = ArrayFormatter::try_new(array, &FormatOptions::new().with_display_error(true))?;
        Ok(Some(NullableEncoder::new(Box::new(Quoted(text)), array.nulls().cloned())))
    }
}

struct Quoted<'a>(ArrayFormatter<'a>);

impl Encoder for Quoted<'_> {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        // Digits, a sign and a point need no escape.
        out.extend_from_slice(format!("\"{}\"", self.0.value(row)).as_bytes());
    }
}

/// The batch with the keys of its maps as texts: the keys of a JSON object are texts.
fn printable(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(printable_field).collect();
    let columns = batch.columns().iter().zip(&fields).map(|(column, field)| match column.data_type() == field.data_type() {
        true => Ok(column.clone()),
        false => cast(column, field.data_type()),
    });
    let schema: SchemaRef = Arc::new(Schema::new(fields.clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(schema, columns.collect::<Result<_, _>>()?, &options)
}

fn printable_field(field: &FieldRef) -> FieldRef {
    Arc::new(field.as_ref().clone().with_data_type(printable_type(field.data_type())))
}

fn printable_type(of: &DataType) -> DataType {
    match of {
        DataType::List(element) => DataType::List(printable_field(element)),
        DataType::LargeList(element) => DataType::LargeList(printable_field(element)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(printable_field).collect()),
        DataType::Map(entry, sorted) => DataType::Map(printable_entry(entry), *sorted),
        other => other.clone(),
    }
}

fn printable_entry(entry: &FieldRef) -> FieldRef {
    let DataType::Struct(fields) = entry.data_type() else { return entry.clone() };
    let [key, value] = fields.as_ref() else { return entry.clone() };
    let key = match key.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => key.clone(),
        _ => Arc::new(Field::new(key.name(), DataType::Utf8, false)),
    };
    let fields = DataType::Struct([key, printable_field(value)].into_iter().collect());
    Arc::new(entry.as_ref().clone().with_data_type(fields))
}

fn unprintable(error: &ArrowError) -> Error {
    match error {
        ArrowError::IoError(text, _) => unwritten(text),
        other => Error::config(format!("a column of the result cannot be written as text: {other}; leave it out or cast it to text")),
    }
}

fn unwritten(error: &impl std::fmt::Display) -> Error {
    Error::unavailable(format!("the result cannot be written: {error}; check what it is written to"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Limits, local::session};

    async fn written(sql: &str, format: Format) -> String {
        let folder = tempfile::tempdir().unwrap();
        let ctx = session(&Limits { memory: 64 << 20, threads: 1, spill: folder.path().to_path_buf() }).unwrap();
        let mut out = Vec::new();
        write(crate::query::run(&ctx, sql).await.unwrap(), format, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    async fn check(sql: &str, format: Format, expected: &str) {
        assert_eq!(written(sql, format).await, expected, "{sql}");
    }

    const EVERY: &str =
        "SELECT 1 AS n, cast('12.30' AS decimal(38,2)) AS price, 'a,\"b\"' AS text, '' AS empty, cast(NULL AS int) AS nothing,
        to_timestamp('2026-11-19T14:00:00.5Z') AS at, date '2026-11-19' AS day, true AS yes";

    #[tokio::test]
    async fn csv_has_a_header_and_tells_null_from_empty() {
        let expected = "n,price,text,empty,nothing,at,day,yes\n\
            1,12.30,\"a,\"\"b\"\"\",\"\",,2026-11-19T14:00:00.500Z,2026-11-19,true\n";
        check(EVERY, Format::Csv, expected).await;
        check("SELECT 1 AS n WHERE false", Format::Csv, "n\n").await;
    }

    #[tokio::test]
    async fn json_is_one_document_with_nulls_and_exact_decimals() {
        let expected = "[{\"n\":1,\"price\":\"12.30\",\"text\":\"a,\\\"b\\\"\",\"empty\":\"\",\"nothing\":null,\
            \"at\":\"2026-11-19T14:00:00.500Z\",\"day\":\"2026-11-19\",\"yes\":true}]\n";
        check(EVERY, Format::Json, expected).await;
        check("SELECT 1 AS n WHERE false", Format::Json, "[]\n").await;
    }

    #[tokio::test]
    async fn nested_values_are_json_in_csv_too() {
        let sql = "SELECT map([1], [cast('0.10' AS decimal(3,2))]) AS m, make_array(1, NULL) AS l, named_struct('a', NULL, 'b', 'x') AS s";
        let cells = "{\"1\":\"0.10\"}|[1,null]|{\"a\":null,\"b\":\"x\"}";
        let csv = cells.split('|').map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect::<Vec<_>>().join(",");
        // One-element lists of plain values have a comma, objects have quotes: all are quoted.
        check(sql, Format::Csv, &format!("m,l,s\n{csv}\n")).await;
        let json = cells.split('|').zip(["m", "l", "s"]).map(|(cell, name)| format!("\"{name}\":{cell}")).collect::<Vec<_>>().join(",");
        check(sql, Format::Json, &format!("[{{{json}}}]\n")).await;
    }

    #[tokio::test]
    async fn a_timestamp_of_another_zone_keeps_its_offset() {
        let sql = "SELECT cast('2026-11-19T14:00:00Z' AS timestamp) AT TIME ZONE 'Europe/Berlin' AS at";
        check(sql, Format::Csv, "at\n2026-11-19T14:00:00+01:00\n").await;
    }

    #[tokio::test]
    async fn a_table_is_drawn_with_its_header_even_when_empty_and_ends_at_its_limit() {
        let expected = "+---+------+\n| n | x    |\n+---+------+\n| 1 | NULL |\n+---+------+\n";
        check("SELECT 1 AS n, NULL AS x", Format::Table, expected).await;
        check("SELECT 1 AS n WHERE false", Format::Table, "+---+\n| n |\n+---+\n+---+\n").await;
        let long = written("SELECT value FROM generate_series(1, 10001)", Format::Table).await;
        assert_eq!(long.lines().count(), TABLE_ROWS + 5);
        assert!(long.ends_with("the first 10000 rows; write csv or json for all\n"));
    }

    #[tokio::test]
    async fn rows_without_columns_are_rows() {
        check("SELECT 1 AS n FROM generate_series(1, 2)", Format::Json, "[{\"n\":1},{\"n\":1}]\n").await;
    }
}
