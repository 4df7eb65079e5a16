//! A landed object into rows of the table and rejected records, with every record accounted for.

pub mod columns;
pub mod decode;
pub mod decompress;
pub mod frame;
pub mod plan;
pub mod reject;
pub mod rules;
pub mod scalar;
pub mod scan;
pub mod unwrap;

use std::ops::Range;

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::error::{Error, Result};
use decode::{Decoder, Fail};
use frame::Resync;
pub use plan::Plan;
use reject::{Code, Reason, Reject};
use scan::Cursor;
use unwrap::Wrapped;

/// A batch is closed after this many rows, or this many bytes of records.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 64 << 20;

/// Most bytes of one record: Firehose takes 1,000 KiB, and what a transformation returns is 6 MB at most.
const RECORD_BYTES: usize = 64 << 20;

/// What the allocator adds to the three blocks of a reject, about.
const ALLOCATIONS: usize = 48;

/// What one landed object became.
#[derive(Debug)]
pub struct Standardized {
    /// The rows, in the order of the records.
    pub batches: Vec<RecordBatch>,
    /// The records that became no rows, in their order.
    pub rejects: Vec<Reject>,
    /// Records found; always the rows and the rejects together.
    pub read: u64,
    /// Values that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
    /// Why the object as a whole is not what it should be, if it is not.
    pub damage: Option<Damage>,
}

/// What is wrong with a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// It could not be read to its end; what could be read is in the rows.
    Partly(String),
    /// None of it became rows.
    Rejected(String),
}

/// Standardizes one object from its bytes as stored. At most `limit` bytes are decompressed.
///
/// # Errors
/// `Unavailable` if what the object becomes takes more than `limit` bytes of memory: nothing of it counts then. `Internal` if the columns
/// could not be built. Bad input is no error: it comes back as rejects.
pub fn standardize(plan: &Plan, stored: Bytes, limit: u64) -> Result<Standardized> {
    let read = decompress::decompress(stored.clone(), limit);
    let mut done = Reader::new(plan, &read.bytes, limit).read_all()?;
    let bad = bad_records(&done, read.bytes.len());
    let good = done.read - done.rejects.len() as u64;
    if exceeds(bad, good, plan.max_ratio) {
        drop(done);
        done = set_aside(plan, &read.bytes, limit, bad, good)?;
    }
    if let Some(why) = read.damage {
        done.read += 1;
        let reason = Reason::new(Code::DamagedObject, "", why.clone());
        done.rejects.push(Reject { offset: read.bytes.len() as u64, raw: stored.to_vec(), reason });
        done.damage = Some(if done.batches.is_empty() {
            Damage::Rejected(format!("{why}; land it again under the same name, and the next run takes it in"))
        } else {
            Damage::Partly(format!("{why}; the records before that are in the table"))
        });
    }
    Ok(done)
}

/// How many records are bad, as far as one can tell: bytes that are no JSON may hold many records that nothing known separates, so
/// where they are a hundred times as many as a record of the object has, they count as that many records.
fn bad_records(done: &Standardized, bytes: usize) -> u64 {
    let good = done.read - done.rejects.len() as u64;
    let rejected: usize = done.rejects.iter().map(|reject| reject.raw.len()).sum();
    let usual = (bytes.saturating_sub(rejected) as u64).checked_div(good).unwrap_or(0).max(1);
    let held = |reject: &Reject| match reject.raw.len() as u64 / usual {
        many @ 100.. if good > 0 && reject.reason.code == Code::Malformed => many,
        _ => 1,
    };
    done.rejects.iter().map(held).sum()
}

fn exceeds(bad: u64, good: u64, max_ratio: f64) -> bool {
    bad > 0 && bad as f64 / (bad + good) as f64 > max_ratio
}

/// All records of the object as rejects: those that became rows too, so that the object can be redriven as a whole.
fn set_aside(plan: &Plan, bytes: &[u8], limit: u64, bad: u64, good: u64) -> Result<Standardized> {
    let why = format!(
        "{bad} of its {} records are bad, more than [table.quarantine] max_ratio allows; correct the schema or the ratio, then land it again",
        bad + good
    );
    let mut reader = Reader::new(plan, bytes, limit);
    reader.set_aside = true;
    let mut done = reader.read_all()?;
    done.damage = Some(Damage::Rejected(why));
    Ok(done)
}

/// Calls `each` with every JSON document of an object, of whatever kind; what is not JSON is passed over.
pub fn documents(bytes: &[u8], mut each: impl FnMut(&[u8])) {
    let (mut resync, mut open) = (Resync::default(), Vec::new());
    let mut pos = frame::skip_between(bytes, 0);
    while pos < bytes.len() {
        let mut cursor = Cursor::new(bytes, pos);
        let end = match cursor.skip_value(&mut open) {
            Ok(_) => {
                each(&bytes[pos..cursor.pos]);
                cursor.pos
            }
            Err(_) => resync.next(bytes, pos),
        };
        pos = frame::skip_between(bytes, end);
    }
}

/// Reads the records of one object.
struct Reader<'p, 'b> {
    plan: &'p Plan,
    bytes: &'b [u8],
    /// The whole object is UTF-8, so that no record needs a look of its own.
    is_text: bool,
    /// Good records are rejected too.
    set_aside: bool,
    decoder: Decoder<'p>,
    batch_start: usize,
    resync: Resync,
    open: Vec<u8>,
    /// Bytes that the rows and rejects so far take, and how many they may.
    held: u64,
    limit: u64,
    done: Standardized,
}

impl<'p, 'b> Reader<'p, 'b> {
    fn new(plan: &'p Plan, bytes: &'b [u8], limit: u64) -> Self {
        let done = Standardized { batches: Vec::new(), rejects: Vec::new(), read: 0, warned: 0, damage: None };
        let is_text = simdutf8::basic::from_utf8(bytes).is_ok();
        let (resync, decoder) = (Resync::default(), Decoder::new(plan));
        Self { plan, bytes, is_text, set_aside: false, decoder, batch_start: 0, resync, open: Vec::new(), held: 0, limit, done }
    }

    fn read_all(mut self) -> Result<Standardized> {
        let mut pos = frame::skip_between(self.bytes, 0);
        while pos < self.bytes.len() && self.held <= self.limit {
            let end = match &self.plan.unwrap {
                Some(field) => self.wrapped(pos, field),
                None => self.record(pos),
            };
            if self.decoder.rows >= BATCH_ROWS || end - self.batch_start >= BATCH_BYTES {
                self.close_batch(end)?;
            }
            pos = frame::skip_between(self.bytes, end);
        }
        self.close_batch(pos)?;
        self.done.warned = self.decoder.warned;
        if self.held > self.limit {
            return Err(Error::unavailable(format!(
                "its records take more than {} bytes of memory, a quarter of [lake] memory: raise that",
                self.limit
            )));
        }
        Ok(self.done)
    }

    /// Reads the records in the array `field` of the document that begins at `start`, and says where the document ends.
    fn wrapped(&mut self, start: usize, field: &str) -> usize {
        match unwrap::elements(self.bytes, start, field, &mut self.open) {
            Ok(Wrapped { records: Ok(records), end }) => {
                for record in records {
                    self.record(record.start);
                }
                end
            }
            Ok(Wrapped { records: Err(reason), end }) => {
                self.done.read += 1;
                self.reject(start..end, reason);
                end
            }
            Err(syntax) => {
                self.done.read += 1;
                self.malformed(start, &syntax)
            }
        }
    }

    /// Reads the record that begins at `start` into a row or a reject, and says where it ends.
    fn record(&mut self, start: usize) -> usize {
        self.done.read += 1;
        if self.bytes[start] != b'{' {
            return self.no_object(start);
        }
        match self.decoder.record(self.bytes, start) {
            Ok(end) => {
                self.accept(start..end);
                end
            }
            Err(Fail::Value(reason)) => self.misfit(start, *reason),
            Err(Fail::Syntax(syntax)) => self.malformed(start, &syntax),
        }
    }

    fn accept(&mut self, record: Range<usize>) {
        if record.len() > RECORD_BYTES {
            self.decoder.take_back();
            self.reject(record, Reason::new(Code::TooLarge, "", format!("the record has more than {RECORD_BYTES} bytes")));
        } else if !self.is_text && simdutf8::basic::from_utf8(&self.bytes[record.clone()]).is_err() {
            self.decoder.take_back();
            self.reject(record, Reason::new(Code::NotText, "", "the record is not UTF-8".into()));
        } else if self.set_aside {
            self.decoder.take_back();
            self.reject(record, Reason::new(Code::SetAside, "", "the record is good; too many others of its object are not".into()));
        }
    }

    /// Rejects a record that is JSON and does not fit. Its end is not known yet, as reading stopped at the value at fault.
    fn misfit(&mut self, start: usize, reason: Reason) -> usize {
        let mut cursor = Cursor::new(self.bytes, start);
        match cursor.skip_value(&mut self.open) {
            Ok(_) => {
                self.reject(start..cursor.pos, reason);
                cursor.pos
            }
            Err(syntax) => self.malformed(start, &syntax),
        }
    }

    /// Rejects a document that is no object: another JSON value, or no JSON at all.
    fn no_object(&mut self, start: usize) -> usize {
        let mut cursor = Cursor::new(self.bytes, start);
        match cursor.skip_value(&mut self.open) {
            Ok(_) => {
                let reason = Reason::new(Code::NotAnObject, "", "the document is JSON but no object, so it has no columns".into());
                self.reject(start..cursor.pos, reason);
                cursor.pos
            }
            Err(syntax) => self.malformed(start, &syntax),
        }
    }

    fn malformed(&mut self, start: usize, syntax: &scan::Syntax) -> usize {
        let end = self.resync.next(self.bytes, start);
        let detail = format!("not JSON from byte {} of the record on: {} is needed there", syntax.at - start, syntax.wanted);
        let record = start..start + frame::trim_end(&self.bytes[start..end]).len();
        self.reject(record, Reason::new(Code::Malformed, "", detail));
        end
    }

    fn reject(&mut self, record: Range<usize>, reason: Reason) {
        let texts = reason.column.capacity() + reason.detail.capacity();
        self.held += (record.len() + texts + size_of::<Reject>() + ALLOCATIONS) as u64;
        self.done.rejects.push(Reject { offset: record.start as u64, raw: self.bytes[record].to_vec(), reason });
    }

    fn close_batch(&mut self, end: usize) -> Result<()> {
        self.batch_start = end;
        if self.decoder.rows == 0 {
            return Ok(());
        }
        let columns = self.decoder.finish().and_then(|columns| RecordBatch::try_new(self.plan.schema.clone(), columns));
        let batch = columns.map_err(|e| Error::internal(format!("rows do not form a batch: {e}; please report this")))?;
        self.held += batch.get_array_memory_size() as u64;
        self.done.batches.push(batch);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
