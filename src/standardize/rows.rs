//! Records into rows and rejects, handed on piece by piece, with every record counted.

use arrow::array::RecordBatch;

use super::decode::{Decoder, Fail};
use super::frame::Records;
use super::plan::Plan;
use super::reject::{Code, Reason, Reject};
use super::scan::{Cursor, Syntax};
use crate::error::{Error, Result};

/// A batch is closed after this many rows, or this many bytes of records.
pub(super) const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 16 << 20;

/// Rejects are handed on after this many, or this many bytes of them.
const REJECTS: usize = 1024;
const REJECT_BYTES: usize = 8 << 20;

/// A part of what an object became.
#[derive(Debug)]
pub enum Piece {
    /// Rows, in the order of the records.
    Rows(RecordBatch),
    /// Records that became no rows, in their order.
    Rejects(Vec<Reject>),
}

impl Piece {
    /// Bytes of memory that it takes, about.
    pub fn memory(&self) -> u64 {
        match self {
            Self::Rows(batch) => batch.get_array_memory_size() as u64,
            Self::Rejects(rejects) => rejects.iter().map(Reject::memory).sum(),
        }
    }
}

/// Takes the pieces of an object, in their order.
pub type Emit<'e> = dyn FnMut(Piece) -> Result<()> + 'e;

/// What became of the records of an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records found.
    pub read: u64,
    /// Records that became rows.
    pub rows: u64,
    /// Records that were rejected.
    pub rejected: u64,
    /// Records that are none for the table, by the format's own rule.
    pub dropped: u64,
    /// Values that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
    /// Bytes of the rejected records, and of those among them that are no JSON.
    pub rejected_bytes: u64,
    /// See `rejected_bytes`.
    pub malformed_bytes: u64,
    malformed: u64,
}

impl Tally {
    /// How many records are bad in an object of `bytes` bytes, as far as one can tell: bytes that are no JSON may hold many records
    /// that nothing known separates, so where they have room for a hundred records of the object, they count as that many.
    pub fn bad(&self, bytes: u64) -> u64 {
        let usual = bytes.saturating_sub(self.rejected_bytes).checked_div(self.rows).unwrap_or(0).max(1);
        match self.malformed_bytes / usual {
            many @ 100.. if self.rows > 0 => self.rejected - self.malformed + many.max(self.malformed),
            _ => self.rejected,
        }
    }
}

/// Turns records into rows, and hands these on.
pub struct Rows<'p, 'e> {
    plan: &'p Plan,
    decoder: Decoder<'p>,
    /// Good records are rejected too.
    set_aside: bool,
    /// Why the value that was read last is no row, if it is none.
    misfit: Option<Reason>,
    open: Vec<u8>,
    /// Bytes of the records in the batch.
    batch_bytes: usize,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    tally: Tally,
    emit: &'e mut Emit<'e>,
}

impl<'p, 'e> Rows<'p, 'e> {
    /// Hands the pieces to `emit`; with `set_aside` good records are rejected too.
    pub fn new(plan: &'p Plan, set_aside: bool, emit: &'e mut Emit<'e>) -> Self {
        let (decoder, tally) = (Decoder::new(plan), Tally::default());
        Self { plan, decoder, set_aside, misfit: None, open: Vec::new(), batch_bytes: 0, rejects: Vec::new(), reject_bytes: 0, tally, emit }
    }

    /// Hands on what is left, and says what became of the records.
    ///
    /// # Errors
    /// As [`Records::accept`].
    pub fn finish(mut self) -> Result<Tally> {
        self.close_batch()?;
        self.close_rejects()?;
        self.tally.warned = self.decoder.warned;
        Ok(self.tally)
    }

    /// Enters a reject, and hands it on with others.
    fn enter(&mut self, reject: Reject) -> Result<()> {
        self.tally.read += 1;
        self.tally.rejected += 1;
        self.tally.rejected_bytes += reject.length;
        if reject.reason.code == Code::Malformed {
            self.tally.malformed += 1;
            self.tally.malformed_bytes += reject.length;
        }
        self.reject_bytes += usize::try_from(reject.memory()).unwrap_or(usize::MAX);
        self.rejects.push(reject);
        if self.rejects.len() >= REJECTS || self.reject_bytes >= REJECT_BYTES {
            self.close_rejects()?;
        }
        Ok(())
    }

    fn close_rejects(&mut self) -> Result<()> {
        self.reject_bytes = 0;
        match std::mem::take(&mut self.rejects) {
            none if none.is_empty() => Ok(()),
            some => (self.emit)(Piece::Rejects(some)),
        }
    }

    fn close_batch(&mut self) -> Result<()> {
        self.batch_bytes = 0;
        if self.decoder.rows == 0 {
            return Ok(());
        }
        self.tally.rows += self.decoder.rows as u64;
        let columns = self.decoder.finish().and_then(|columns| RecordBatch::try_new(self.plan.schema.clone(), columns));
        let batch = columns.map_err(|e| Error::internal(format!("rows do not form a batch: {e}; please report this")))?;
        (self.emit)(Piece::Rows(batch))
    }
}

impl Records for Rows<'_, '_> {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        self.misfit = if bytes.get(start) == Some(&b'{') {
            match self.decoder.record(bytes, start) {
                Ok(end) => {
                    self.misfit = None;
                    return Ok(end);
                }
                Err(Fail::Value(reason)) => Some(*reason),
                Err(Fail::Syntax(syntax)) => return Err(syntax),
            }
        } else {
            Some(Reason::new(Code::NotAnObject, "", "the document is JSON but no object, so it has no columns".into()))
        };
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open).map(|_| cursor.pos)
    }

    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()> {
        let reason = match self.misfit.take() {
            Some(reason) => reason,
            None => {
                let reason = if simdutf8::basic::from_utf8(record).is_err() {
                    Reason::new(Code::NotText, "", "the record is not UTF-8".into())
                } else if self.set_aside {
                    Reason::new(Code::SetAside, "", "the record is good; too many others of its object are not".into())
                } else {
                    self.tally.read += 1;
                    self.batch_bytes += record.len();
                    if self.decoder.rows >= BATCH_ROWS || self.batch_bytes >= BATCH_BYTES {
                        self.close_batch()?;
                    }
                    return Ok(());
                };
                self.decoder.take_back();
                reason
            }
        };
        self.reject(offset, record, reason)
    }

    fn take_back(&mut self) {
        if self.misfit.take().is_none() {
            self.decoder.take_back();
        }
    }

    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()> {
        self.enter(self.plan.reject(offset, record, reason))
    }

    fn oversized(&mut self, offset: u64, length: u64) -> Result<()> {
        let detail = "the record has more bytes than a record may have; they stay in the landing only".to_string();
        self.enter(Reject { offset, length, raw: None, reason: Reason::new(Code::TooLarge, "", detail) })
    }
}
