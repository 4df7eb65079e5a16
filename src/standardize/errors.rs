//! Firehose's error objects: its reports of records that it could not deliver. The record in each one is standardized as an object of
//! its own, and belongs to the hour in which Firehose received it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use chrono::DateTime;

use super::codec::{self, Content, Stored};
use super::firehose_error::{self, ErrorRecord};
use super::frame::{self, Records};
use super::plan::Plan;
use super::reject::{Code, Reason};
use super::rows::{Emit, Rows};
use super::scan::{Cursor, Syntax};
use super::{Damage, Flaw, Limits, Outcome, documents, flaw, read_into, window};
use crate::error::{Error, Result};
use crate::hour::Hour;

/// The hours whose records an error object has reports of; `None` among them for what does not tell its hour. Empty if it has no report.
///
/// # Errors
/// `Unavailable` if the object cannot be read from its store, `Data` if it cannot be read to its end.
pub fn hours(stored: &Arc<dyn Stored>, limits: Limits) -> Result<BTreeSet<Option<Hour>>> {
    let (mut hours, mut has_report) = (BTreeSet::new(), false);
    let broken = documents(stored, None, limits, &mut |document| {
        let report = document.and_then(firehose_error::parse);
        has_report |= report.is_some();
        hours.insert(report.as_ref().and_then(hour_of));
    })?;
    match broken {
        Some(why) => Err(Error::data(format!("it cannot be read to its end: {why}"))),
        None => Ok(if has_report { hours } else { BTreeSet::new() }),
    }
}

/// When Firehose received the record.
fn hour_of(report: &ErrorRecord) -> Option<Hour> {
    report.arrival_millis.and_then(DateTime::from_timestamp_millis).map(Hour::of)
}

/// As [`super::standardize`], for an error object: the records of those reports whose hour is wanted. Rejects stand where the report
/// does. However many of the records are bad, the others count.
///
/// # Errors
/// As [`super::standardize`].
pub fn standardize(
    plan: &Plan,
    stored: &Arc<dyn Stored>,
    limits: Limits,
    wanted: &dyn Fn(Option<Hour>) -> bool,
    emit: &mut Emit<'_>,
) -> Result<Outcome> {
    let mut rows = Rows::new(plan, None, emit);
    let content = match codec::open(stored, limits.codec()) {
        Ok(Content::Columnar) => Err(Flaw::of("it is a Parquet object, and Firehose's reports are JSON".to_string())),
        Ok(content) => Ok(content),
        Err(failure) => Err(flaw(failure)?),
    };
    let broken = match content {
        Err(flaw) => Some(flaw),
        Ok(content) => {
            let mut text = window(content);
            frame::read(&mut text, &mut Reports { plan, limits, wanted, rows: &mut rows, open: Vec::new() }, None, limits.record)?;
            text.failure().map(flaw).transpose()?
        }
    };
    Ok(Outcome { tally: rows.finish()?, damage: broken.map(|flaw| Damage::Partly(flaw.why)) })
}

/// Takes the reports of an error object.
struct Reports<'r, 'p, 'e> {
    plan: &'p Plan,
    limits: Limits,
    wanted: &'r dyn Fn(Option<Hour>) -> bool,
    rows: &'r mut Rows<'p, 'e>,
    open: Vec<u8>,
}

impl Reports<'_, '_, '_> {
    /// The record that a report is about, which may be compressed, and may be several documents.
    fn take(&mut self, raw: Vec<u8>) -> Result<()> {
        let before = self.rows.read_so_far();
        let stored: Arc<dyn Stored> = Arc::new(Bytes::from(raw));
        let (_, broken) = read_into(self.plan, &stored, self.limits, self.rows)?;
        if let Some(Flaw { why, .. }) = broken {
            let raw = stored.in_memory().cloned().unwrap_or_default();
            return self.rows.reject(0, &raw, Reason::new(Code::DamagedObject, "", why));
        }
        if self.rows.read_so_far() == before {
            self.rows.drop_one();
        }
        Ok(())
    }
}

impl Records for Reports<'_, '_, '_> {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open).map(|_| cursor.pos)
    }

    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()> {
        let Some(report) = firehose_error::parse(record) else {
            let reason = Reason::new(Code::FirehoseError, "", "a record among Firehose's reports that is none of them".to_string());
            return self.reject(offset, record, reason);
        };
        if !(self.wanted)(hour_of(&report)) {
            return Ok(());
        }
        self.rows.place = Some((offset, record.len() as u64));
        let taken = self.take(report.raw);
        self.rows.place = None;
        taken
    }

    fn take_back(&mut self) {}

    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()> {
        if (self.wanted)(None) { self.rows.reject(offset, record, reason) } else { Ok(()) }
    }

    fn oversized(&mut self, offset: u64, length: u64) -> Result<()> {
        if (self.wanted)(None) { self.rows.oversized(offset, length) } else { Ok(()) }
    }
}
