//! Records that could not be standardized: the reason, the place, the bytes; and their form as a table.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use super::scan::Syntax;
use crate::schema::{Column, HiveType, arrow_schema};

/// Why a record is in the quarantine. The text form is what the column `reason` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The bytes are not JSON.
    Malformed,
    /// The document is JSON and no object.
    NotAnObject,
    /// The bytes, or an escape in them, are not UTF-8.
    NotText,
    /// A value does not fit its column's type.
    Type,
    /// A value breaks a rule of its column.
    Rule,
    /// A field that the table does not have, where such fields are refused.
    UnknownField,
    /// It nests too deep.
    TooDeep,
    /// It has too many bytes.
    TooLarge,
    /// The object cannot be read to its end.
    DamagedObject,
    /// Too many of the object's records are bad: all of it is set aside.
    SetAside,
    /// The line is no enriched event of Snowplow.
    NotSnowplow,
    /// The record is a bad row, which Snowplow's pipeline wrote for an event that it refused.
    SnowplowBadRow,
    /// The document is no envelope of CloudWatch Logs.
    NotCloudwatch,
    /// The record is one that Firehose wrote for a record that it could not deliver.
    FirehoseError,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Malformed,
        Self::NotAnObject,
        Self::NotText,
        Self::Type,
        Self::Rule,
        Self::UnknownField,
        Self::TooDeep,
        Self::TooLarge,
        Self::DamagedObject,
        Self::SetAside,
        Self::NotSnowplow,
        Self::SnowplowBadRow,
        Self::NotCloudwatch,
        Self::FirehoseError,
    ];

    /// The code with that text form.
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// The text form.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed_json",
            Self::NotAnObject => "not_an_object",
            Self::NotText => "not_utf8",
            Self::Type => "type_mismatch",
            Self::Rule => "rule_broken",
            Self::UnknownField => "unknown_field",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::DamagedObject => "damaged_object",
            Self::SetAside => "object_set_aside",
            Self::NotSnowplow => "not_snowplow",
            Self::SnowplowBadRow => "snowplow_bad_row",
            Self::NotCloudwatch => "not_cloudwatch_logs",
            Self::FirehoseError => "firehose_error",
        }
    }
}

/// Why one record was rejected. Never holds a value of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The kind.
    pub code: Code,
    /// The column, or the place below it (`items[].price`); empty where no column is at fault.
    pub column: String,
    /// A sentence's rest: what is wrong with the column or the record.
    pub detail: String,
}

impl Reason {
    /// A reason.
    pub fn new(code: Code, column: &str, detail: String) -> Self {
        Self { code, column: column.to_string(), detail }
    }

    /// The reason of a record that begins at `start` and is not JSON, for what is wrong in it.
    pub fn malformed(syntax: Syntax, start: usize) -> Self {
        let detail = format!("not JSON from byte {} of the record on: {} is needed there", syntax.at - start, syntax.wanted);
        Self::new(Code::Malformed, "", detail)
    }
}

/// One rejected record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Offset of its first byte in the object, decompressed.
    pub offset: u64,
    /// How many bytes it has there; of a damaged object as stored.
    pub length: u64,
    /// Its bytes as they stand in the object, decompressed, or of a damaged object as stored; with `null` in place of private values if
    /// only that is kept, `None` if nothing is.
    pub raw: Option<Vec<u8>>,
    /// Private values were replaced in `raw`.
    pub redacted: bool,
    /// Why.
    pub reason: Reason,
}

impl Reject {
    /// Bytes of memory that it takes, about.
    pub fn memory(&self) -> u64 {
        // What an allocator adds to each of the three blocks.
        const ALLOCATIONS: usize = 48;
        let texts = self.reason.column.capacity() + self.reason.detail.capacity();
        (self.raw.as_ref().map_or(0, Vec::capacity) + texts + size_of::<Self>() + ALLOCATIONS) as u64
    }
}

/// The columns of every quarantine table, beside the partition keys of the table it belongs to.
pub fn columns() -> Vec<Column> {
    let column = |name: &str, hive: HiveType, comment: &str| Column { name: name.into(), hive, comment: Some(comment.into()) };
    vec![
        column("object", HiveType::String, "key of the landed object, relative to the landing location"),
        column("byte_offset", HiveType::BigInt, "where the record begins in the object, decompressed"),
        column("byte_length", HiveType::BigInt, "how many bytes the record has in the object"),
        column("reason", HiveType::String, "why the record was rejected, as a code"),
        column("column_name", HiveType::String, "the column at fault, or the place below it"),
        column("detail", HiveType::String, "what is wrong, without any value of the record"),
        column("raw", HiveType::Binary, "the record as it landed, its private values replaced by null; null if it is not kept"),
        column("attempts", HiveType::Int, "how many redrives found that it still does not fit, each under other columns or rules"),
        column("resolved", HiveType::Timestamp, "when a redrive put it into the table; null while it is not there"),
        column("redacted", HiveType::Boolean, "whether private values are replaced in raw"),
        column("tried", HiveType::String, "fingerprint of the columns and rules that the last redrive tried it with"),
    ]
}

/// The rows of a quarantine that are of none of these objects.
///
/// # Errors
/// If the batch is not of a quarantine.
pub fn without(batch: &RecordBatch, objects: &BTreeSet<&str>) -> Result<RecordBatch, ArrowError> {
    if objects.is_empty() {
        return Ok(batch.clone());
    }
    let keys = batch.column(batch.schema().index_of("object")?).as_string_opt::<i32>();
    let keys = keys.ok_or_else(|| ArrowError::SchemaError("the column object is no text".to_string()))?;
    let keep: BooleanArray = keys.iter().map(|key| Some(key.is_none_or(|key| !objects.contains(key)))).collect();
    filter_record_batch(batch, &keep)
}

/// Rejects, and bytes of them, that make one batch. A column of a batch holds 2 GiB at the most.
const BATCH_REJECTS: usize = 1024;
const BATCH_BYTES: usize = 64 << 20;

/// The rejects in pieces that fit a batch each.
pub fn batches(rejects: &[Reject]) -> impl Iterator<Item = &[Reject]> {
    let mut bytes = 0;
    let fits = move |one: &Reject, next: &Reject| {
        bytes += one.raw.as_ref().map_or(0, Vec::len);
        let together = bytes + next.raw.as_ref().map_or(0, Vec::len) <= BATCH_BYTES;
        bytes *= usize::from(together);
        together
    };
    rejects.chunk_by(fits).flat_map(|piece| piece.chunks(BATCH_REJECTS))
}

/// Rejected records of one object as rows of the quarantine table.
///
/// # Errors
/// Only if there are more than 2 GiB of them.
pub fn to_batch(object: &str, rejects: &[Reject]) -> Result<RecordBatch, ArrowError> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let text = |pick: &dyn Fn(&Reject) -> Option<String>| -> ArrayRef { Arc::new(rejects.iter().map(pick).collect::<StringArray>()) };
    let offsets: Int64Array = rejects.iter().map(|r| Some(number(r.offset))).collect();
    let lengths: Int64Array = rejects.iter().map(|r| Some(number(r.length))).collect();
    // With room for exactly these bytes: growing would take up to twice as much.
    let bytes = rejects.iter().map(|r| r.raw.as_ref().map_or(0, Vec::len)).sum();
    let mut raw = BinaryBuilder::with_capacity(rejects.len(), bytes);
    rejects.iter().for_each(|r| raw.append_option(r.raw.as_deref()));
    RecordBatch::try_new(
        arrow_schema(&columns()),
        vec![
            text(&|_| Some(object.to_string())),
            Arc::new(offsets),
            Arc::new(lengths),
            text(&|r| Some(r.reason.code.as_str().to_string())),
            text(&|r| (!r.reason.column.is_empty()).then(|| r.reason.column.clone())),
            text(&|r| Some(r.reason.detail.clone())),
            Arc::new(raw.finish()),
            new_null_array(&DataType::Int32, rejects.len()),
            new_null_array(&HiveType::Timestamp.arrow_type(), rejects.len()),
            Arc::new(rejects.iter().map(|r| r.raw.as_ref().map(|_| r.redacted)).collect::<BooleanArray>()),
            new_null_array(&DataType::Utf8, rejects.len()),
        ],
    )
}
