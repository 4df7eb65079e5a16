//! What the quarantine keeps, record by record, and what each record would be today.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;

use super::plan::Plan;
use super::reject::{Code, Reason};
use super::rows::{Again, Piece, Rows};
use super::{CORRUPT, TOO_MANY, firehose_error};
use crate::error::{Error, Result};

/// One row of a quarantine.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept<'b> {
    /// Key of the landed object.
    pub object: &'b str,
    /// Bytes that the record has in it.
    pub length: u64,
    /// Why it was rejected; `None` for a code of another version of lakebed.
    pub reason: Option<Reason>,
    /// Its bytes.
    pub raw: Option<&'b [u8]>,
    /// Private values are replaced in `raw`; `None` if that is not known.
    pub redacted: Option<bool>,
    /// A redrive put it into the table.
    pub resolved: bool,
    /// A redrive tried it before. So it was a record when it landed, whatever its reason is since.
    pub tried: bool,
}

/// What a record of the quarantine is today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A row of the table.
    Row,
    /// None for the table, by the format's own rule.
    Dropped,
    /// Still no row, for this reason.
    Fails(Reason),
    /// Its bytes are not kept, or not as they landed.
    NotKept,
    /// No columns and rules make one row of it: it is no whole JSON object, or not one record, or its object is damaged.
    Left,
}

/// What becomes of an object as a whole, which its records depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Each record is what it is by itself.
    In,
    /// So many of its records are bad that the good ones are rejected too. What is none for the table is none all the same.
    SetAside,
    /// Its records are left.
    Damaged,
}

/// Which records a redrive tries, and how it enters what becomes of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Redrive {
    /// Only those that were rejected for this reason.
    pub reason: Option<Code>,
    /// Objects of which all records are tried.
    pub wholly: BTreeSet<String>,
    /// Objects with so many bad records that their good ones are rejected too.
    pub set_aside: BTreeSet<String>,
    /// Damaged objects, whose records are left.
    pub damaged: BTreeSet<String>,
    /// Fingerprint of the columns and rules.
    pub tried: String,
    /// When it is, microseconds since 1970, UTC.
    pub at: i64,
}

impl Redrive {
    /// True if a record is of those that the redrive is about.
    pub fn is_asked(&self, kept: &Kept<'_>) -> bool {
        self.reason.is_none_or(|code| kept.reason.as_ref().is_some_and(|reason| reason.code == code))
    }

    /// What becomes of an object.
    pub fn fate(&self, object: &str) -> Fate {
        match (self.damaged.contains(object), self.set_aside.contains(object)) {
            (true, _) => Fate::Damaged,
            (_, true) => Fate::SetAside,
            _ => Fate::In,
        }
    }

    fn tries(&self, kept: &Kept<'_>) -> bool {
        !kept.resolved && (self.is_asked(kept) || self.wholly.contains(kept.object))
    }
}

/// Why a record that fits goes on being rejected with the others of its object.
pub fn still_set_aside() -> Reason {
    Reason::new(Code::SetAside, "", TOO_MANY.to_string())
}

/// The rows of a quarantine.
pub struct Records<'b> {
    objects: &'b StringArray,
    lengths: &'b Int64Array,
    reasons: &'b StringArray,
    columns: &'b StringArray,
    details: &'b StringArray,
    raw: &'b BinaryArray,
    attempts: &'b Int32Array,
    resolved: &'b TimestampMicrosecondArray,
    redacted: &'b BooleanArray,
    tried: &'b StringArray,
}

impl<'b> Records<'b> {
    /// The rows of a batch with all columns of a quarantine.
    ///
    /// # Errors
    /// `Data` if it has other columns.
    pub fn of(batch: &'b RecordBatch) -> Result<Self> {
        let read = || -> Option<Self> {
            Some(Self {
                objects: batch.column_by_name("object")?.as_string_opt()?,
                lengths: batch.column_by_name("byte_length")?.as_primitive_opt::<Int64Type>()?,
                reasons: batch.column_by_name("reason")?.as_string_opt()?,
                columns: batch.column_by_name("column_name")?.as_string_opt()?,
                details: batch.column_by_name("detail")?.as_string_opt()?,
                raw: batch.column_by_name("raw")?.as_binary_opt()?,
                attempts: batch.column_by_name("attempts")?.as_primitive_opt::<Int32Type>()?,
                resolved: batch.column_by_name("resolved")?.as_primitive_opt::<TimestampMicrosecondType>()?,
                redacted: batch.column_by_name("redacted")?.as_boolean_opt()?,
                tried: batch.column_by_name("tried")?.as_string_opt()?,
            })
        };
        read().ok_or_else(|| Error::data("the quarantine's files have other columns than a quarantine has"))
    }

    /// Row `row`.
    pub fn get(&self, row: usize) -> Kept<'b> {
        let text = |column: &'b StringArray| if column.is_null(row) { "" } else { column.value(row) };
        Kept {
            object: text(self.objects),
            length: u64::try_from(self.lengths.value(row)).unwrap_or(0),
            reason: Code::of(text(self.reasons)).map(|code| Reason::new(code, text(self.columns), text(self.details).to_string())),
            raw: self.raw.is_valid(row).then(|| self.raw.value(row)),
            redacted: self.redacted.is_valid(row).then(|| self.redacted.value(row)),
            resolved: self.resolved.is_valid(row),
            tried: self.tried.is_valid(row),
        }
    }

    /// True if it is news that row `row` fails for this reason.
    pub fn is_new(&self, row: usize, reason: &Reason, tried: &str) -> bool {
        self.tried.is_null(row) || self.tried.value(row) != tried || self.get(row).reason.as_ref() != Some(reason)
    }
}

/// What the records of a batch are today; `None` for those that are not tried.
#[derive(Debug)]
pub struct Judged {
    /// One for each row of the batch.
    pub verdicts: Vec<Option<Verdict>>,
    /// The rows of those that are rows, in their order.
    pub rows: Vec<RecordBatch>,
    /// Values of these that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
}

/// Standardizes those records of a quarantine's batch once more that a redrive tries.
///
/// # Errors
/// `Data` if the batch is not of a quarantine, `Internal` if the columns could not be built.
pub fn judge(plan: &Plan, batch: &RecordBatch, redrive: &Redrive) -> Result<Judged> {
    let (records, mut pieces) = (Records::of(batch)?, Vec::new());
    let mut emit = |piece| {
        if let Piece::Rows(batch) = piece {
            pieces.push(batch);
        }
        Ok(())
    };
    let mut rows = Rows::new(plan, None, &mut emit);
    let mut verdicts = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let kept = records.get(row);
        verdicts.push(if redrive.tries(&kept) { Some(verdict(plan, &kept, redrive, &mut rows)?) } else { None });
    }
    let warned = rows.finish()?.warned;
    Ok(Judged { verdicts, rows: pieces, warned })
}

fn verdict(plan: &Plan, kept: &Kept<'_>, redrive: &Redrive, rows: &mut Rows<'_, '_>) -> Result<Verdict> {
    let Some(reason) = &kept.reason else { return Ok(Verdict::Left) };
    let is_corrupt = reason.code == Code::SetAside && reason.detail.starts_with(CORRUPT);
    // Where a record begins and ends was decided by what stood around it: without that, a part of one could pass for a whole one. What was
    // tried before was whole, and is only no JSON by the configuration of that redrive.
    let is_no_record = matches!(reason.code, Code::Malformed | Code::NotAnObject) && !kept.tried;
    let fate = redrive.fate(kept.object);
    if is_corrupt || is_no_record || reason.code == Code::DamagedObject || fate == Fate::Damaged {
        return Ok(Verdict::Left);
    }
    let as_it_landed = !kept.redacted.unwrap_or(plan.root.private);
    let Some(raw) = kept.raw.filter(|_| as_it_landed) else { return Ok(Verdict::NotKept) };
    // What stood among Firehose's reports and is none of them is Firehose's all the same, and never data.
    if reason.code == Code::FirehoseError && firehose_error::parse(raw).is_none() {
        return Ok(Verdict::Left);
    }
    Ok(match rows.again(raw, reason, kept.tried, (fate == Fate::SetAside).then_some(TOO_MANY))? {
        Again::Row => Verdict::Row,
        Again::Dropped => Verdict::Dropped,
        Again::Fails(reason) => Verdict::Fails(reason),
        Again::NotOne => Verdict::Left,
    })
}

/// The batch with what became of its records: those that are in the table now are resolved; those that fail, and failed in another way
/// or under other columns and rules before, have one attempt more and their newest reason.
///
/// # Errors
/// `Data` if the batch is not of a quarantine.
pub fn entered(batch: &RecordBatch, verdicts: &[Option<Verdict>], redrive: &Redrive) -> Result<RecordBatch> {
    let records = Records::of(batch)?;
    let news: Vec<Option<&Reason>> = verdicts.iter().enumerate().map(|(row, verdict)| records.news(row, verdict, redrive)).collect();
    let text = |old: &StringArray, new: &dyn Fn(&Reason) -> Option<String>| -> ArrayRef {
        let one = |(row, news): (usize, &Option<&Reason>)| match news {
            Some(reason) => new(reason),
            None => old.is_valid(row).then(|| old.value(row).to_string()),
        };
        Arc::new(news.iter().enumerate().map(one).collect::<StringArray>())
    };
    let attempts = |(row, news): (usize, &Option<&Reason>)| match news {
        Some(_) => Some(if records.attempts.is_valid(row) { records.attempts.value(row) } else { 0 }.saturating_add(1)),
        None => records.attempts.is_valid(row).then(|| records.attempts.value(row)),
    };
    let resolved = |(row, verdict): (usize, &Option<Verdict>)| match verdict {
        Some(Verdict::Row | Verdict::Dropped) => Some(redrive.at),
        _ => records.resolved.is_valid(row).then(|| records.resolved.value(row)),
    };
    let resolved: TimestampMicrosecondArray = verdicts.iter().enumerate().map(resolved).collect();
    let changed: [(&str, ArrayRef); 6] = [
        ("reason", text(records.reasons, &|reason| Some(reason.code.as_str().to_string()))),
        ("column_name", text(records.columns, &|reason| (!reason.column.is_empty()).then(|| reason.column.clone()))),
        ("detail", text(records.details, &|reason| Some(reason.detail.clone()))),
        ("attempts", Arc::new(news.iter().enumerate().map(attempts).collect::<Int32Array>())),
        ("resolved", Arc::new(resolved.with_timezone("UTC"))),
        ("tried", text(records.tried, &|_| Some(redrive.tried.clone()))),
    ];
    let mut columns = batch.columns().to_vec();
    for (name, column) in changed {
        let index = batch.schema().index_of(name).map_err(failed)?;
        columns[index] = column;
    }
    RecordBatch::try_new(batch.schema(), columns).map_err(failed)
}

impl Records<'_> {
    /// The reason that is to be entered for row `row`, if that is news.
    fn news<'v>(&self, row: usize, verdict: &'v Option<Verdict>, redrive: &Redrive) -> Option<&'v Reason> {
        match verdict {
            Some(Verdict::Fails(reason)) if self.is_new(row, reason, &redrive.tried) => Some(reason),
            _ => None,
        }
    }
}

fn failed(e: ArrowError) -> Error {
    Error::internal(format!("cannot enter what became of quarantined records: {e}"))
}
