//! Records into rows and rejects, handed on piece by piece, with every record counted.

mod again;
mod tally;

pub use again::Again;
use arrow::array::RecordBatch;
pub use tally::Tally;

use super::columnar::{self, links::Links};
use super::columns;
use super::decode::{Decoder, Fail};
use super::frame::Records;
use super::plan::Plan;
use super::reject::{Code, Reason, Reject};
use super::scan::{Cursor, Syntax};
use super::{cloudwatch, firehose_error, frame, snowplow};
use crate::config::Format;
use crate::error::{Error, Result};

/// A batch is closed after this many rows, or this many bytes of records, or of rows without a value.
pub(super) const BATCH_ROWS: usize = 32768;
const BATCH_BYTES: usize = 16 << 20;

/// Room for a batch is made after so many rows, by what these take.
const SAMPLE: usize = 256;

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

/// What the value that was read last is, if it is accepted.
enum Last {
    /// The decoder's last row.
    Row,
    /// A record that is no row, for this reason.
    Misfit(Reason),
    /// An envelope of records.
    Envelope(cloudwatch::Kind),
}

/// Turns records into rows, and hands these on.
pub struct Rows<'p, 'e> {
    plan: &'p Plan,
    decoder: Decoder<'p>,
    /// Why good records are rejected too, if they are.
    set_aside: Option<&'static str>,
    /// What the value that was read last is.
    last: Last,
    open: Vec<u8>,
    /// The record that was made of a line or a log event.
    made: Vec<u8>,
    scratch: cloudwatch::Scratch,
    /// Bytes of the records in the batch.
    batch_bytes: usize,
    /// Most rows of a batch: short records may stand for rows of many columns.
    batch_rows: usize,
    /// Bytes of the text that are not read yet, about, if one knows.
    left: Option<usize>,
    rejects: Vec<Reject>,
    reject_bytes: usize,
    tally: Tally,
    /// Where rejects stand, and how long they are there, if what is read is not where they landed.
    pub(super) place: Option<(u64, u64)>,
    /// Where reasons go instead of rejects, if the records are of the quarantine and are kept already.
    reasons: Option<Vec<Reason>>,
    emit: &'e mut Emit<'e>,
}

impl<'p, 'e> Rows<'p, 'e> {
    /// Hands the pieces to `emit`; with `set_aside` good records are rejected too, for that reason.
    pub fn new(plan: &'p Plan, set_aside: Option<&'static str>, emit: &'e mut Emit<'e>) -> Self {
        Self {
            plan,
            decoder: Decoder::new(plan),
            set_aside,
            last: Last::Row,
            open: Vec::new(),
            made: Vec::new(),
            scratch: cloudwatch::Scratch::default(),
            batch_bytes: 0,
            batch_rows: (BATCH_BYTES / columns::nulls(plan.schema.fields()).max(1)).clamp(1, BATCH_ROWS),
            left: None,
            rejects: Vec::new(),
            reject_bytes: 0,
            tally: Tally::default(),
            place: None,
            reasons: None,
            emit,
        }
    }

    /// Says how many bytes of text there are, if one knows that before it is read.
    pub(super) fn expect(&mut self, bytes: Option<usize>) {
        self.left = bytes;
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
    fn enter(&mut self, mut reject: Reject) -> Result<()> {
        (reject.offset, reject.length) = self.place.unwrap_or((reject.offset, reject.length));
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

    /// Makes room for what the batch will be, if more comes like its first rows.
    fn make_room(&mut self) {
        let usual = (self.batch_bytes / SAMPLE).max(1);
        // Of a text that is read bit by bit the end is not known; where one batch was full, the next one may be.
        let more = self.left.unwrap_or(if self.tally.rows > 0 { BATCH_BYTES } else { 0 });
        self.decoder.make_room((more.min(BATCH_BYTES) / usual).min(self.batch_rows));
    }

    fn close_batch(&mut self) -> Result<()> {
        self.left = self.left.map(|left| left.saturating_sub(self.batch_bytes));
        self.batch_bytes = 0;
        if self.decoder.rows == 0 {
            return Ok(());
        }
        self.tally.rows += self.decoder.rows as u64;
        let columns = self.decoder.finish().and_then(|columns| RecordBatch::try_new(self.plan.schema.clone(), columns));
        let batch = columns.map_err(|e| Error::internal(format!("rows do not form a batch: {e}; please report this")))?;
        (self.emit)(Piece::Rows(batch))
    }

    /// Records that were found so far.
    pub(super) fn read_so_far(&self) -> u64 {
        self.tally.read
    }

    /// Counts a record that is none for the table.
    pub(super) fn drop_one(&mut self) {
        self.tally.read += 1;
        self.tally.dropped += 1;
    }

    /// Takes a line: an enriched event of Snowplow, or the JSON of one.
    ///
    /// # Errors
    /// As [`Records::accept`].
    pub fn line(&mut self, offset: u64, line: &[u8]) -> Result<()> {
        if let Some(rest) = line.strip_prefix(frame::BOM) {
            return self.line(offset + frame::BOM.len() as u64, rest);
        }
        if line.trim_ascii_start().starts_with(b"{") {
            let start = line.len() - line.trim_ascii_start().len();
            return match self.read_json(line, start) {
                Ok(end) if line[end..].trim_ascii().is_empty() => self.accept(offset, line),
                Ok(end) => {
                    self.take_back();
                    self.reject(offset, line, Reason::malformed(Syntax { at: end, wanted: "the end of the line" }, 0))
                }
                Err(syntax) => self.reject(offset, line, Reason::malformed(syntax, 0)),
            };
        }
        let mut made = std::mem::take(&mut self.made);
        made.clear();
        let plan = self.plan;
        let done = match snowplow::to_json(line, |name| plan.knows(name), &mut made) {
            Ok(()) => self.made_of(offset, line, &made),
            Err(reason) => self.reject(offset, line, reason),
        };
        self.made = made;
        done
    }

    /// Takes row `row` of a batch of a Parquet object, where it is row `number`.
    ///
    /// # Errors
    /// As [`Records::accept`].
    pub fn row(&mut self, links: &Links, batch: &RecordBatch, row: usize, number: u64) -> Result<()> {
        let reason = match self.decoder.columnar(links, batch, row) {
            Ok(()) if self.set_aside.is_none() => return self.count_row(batch.get_array_memory_size() / batch.num_rows().max(1)),
            Ok(()) => {
                self.decoder.take_back();
                set_aside(self.set_aside.unwrap_or_default())
            }
            Err(Fail::Value(reason)) => *reason,
            Err(Fail::Syntax(syntax)) => Reason::malformed(syntax, 0),
        };
        self.enter(self.plan.reject(number, &columnar::json_of(batch, row), reason))
    }

    /// Takes the record whose JSON was made of these bytes.
    fn made_of(&mut self, offset: u64, origin: &[u8], made: &[u8]) -> Result<()> {
        match self.read_json(made, 0) {
            Ok(_) => match self.refusal(made) {
                None => self.count_row(origin.len()),
                Some(reason) => self.reject(offset, origin, reason),
            },
            Err(syntax) => self.reject(offset, origin, Reason::malformed(syntax, 0)),
        }
    }

    /// The records of an envelope.
    fn envelope(&mut self, offset: u64, envelope: &[u8], kind: cloudwatch::Kind) -> Result<()> {
        let data = match kind {
            cloudwatch::Kind::Control => {
                self.drop_one();
                return Ok(());
            }
            cloudwatch::Kind::Other(reason) => return self.reject(offset, envelope, reason),
            cloudwatch::Kind::Data(data) => data,
        };
        let plan = self.plan;
        for event in data.events(envelope) {
            let mut made = std::mem::take(&mut self.made);
            made.clear();
            let (at, event) = (offset + event.start as u64, &envelope[event]);
            let written = data.write_record(event, |name| plan.knows(name), &mut self.scratch, &mut made);
            let done = match written {
                // What is kept of a log event is its record, as the envelope's part of it would be lost otherwise.
                Ok(()) => self.made_of(at, &made, &made),
                Err(reason) => self.reject(at, event, reason),
            };
            self.made = made;
            done?;
        }
        Ok(())
    }

    fn read_json(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        let reason = if bytes.get(start) == Some(&b'{') {
            match self.decoder.record(bytes, start) {
                Ok(end) => {
                    self.last = Last::Row;
                    return Ok(end);
                }
                Err(Fail::Value(reason)) => *reason,
                Err(Fail::Syntax(syntax)) => return Err(syntax),
            }
        } else {
            Reason::new(Code::NotAnObject, "", "the document is JSON but no object, so it has no columns".into())
        };
        let mut cursor = Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open)?;
        self.last = Last::Misfit(reason);
        Ok(cursor.pos)
    }

    /// Why the record that was read last is no row, if it is none; then it is taken back.
    fn refusal(&mut self, record: &[u8]) -> Option<Reason> {
        // A misfit may have failed before the decoder saw the names that make a record seem foreign.
        let seems_foreign = self.decoder.seems_foreign || matches!(self.last, Last::Misfit(_));
        let foreign = seems_foreign.then(|| foreign(record, self.plan)).flatten();
        let reason = match std::mem::replace(&mut self.last, Last::Row) {
            Last::Misfit(reason) => return Some(foreign.unwrap_or(reason)),
            _ if simdutf8::basic::from_utf8(record).is_err() => Reason::new(Code::NotText, "", "the record is not UTF-8".into()),
            _ => match foreign {
                Some(reason) => reason,
                None => set_aside(self.set_aside?),
            },
        };
        self.decoder.take_back();
        Some(reason)
    }

    /// Counts the decoder's last row, whose record has so many bytes.
    fn count_row(&mut self, bytes: usize) -> Result<()> {
        self.tally.read += 1;
        self.batch_bytes += bytes;
        if self.decoder.rows == SAMPLE {
            self.make_room();
        }
        if self.decoder.rows >= self.batch_rows || self.batch_bytes >= BATCH_BYTES {
            self.close_batch()?;
        }
        Ok(())
    }
}

/// Why a record that others wrote about a record is no data, if it is one.
fn foreign(record: &[u8], plan: &Plan) -> Option<Reason> {
    if snowplow::is_bad_row(record) {
        let detail = "a bad row, which Snowplow's pipeline wrote for an event that it refused";
        return Some(Reason::new(Code::SnowplowBadRow, "", detail.to_string()));
    }
    firehose_error::parse(record).map(|error| error.reason(plan.root.private))
}

fn set_aside(why: &str) -> Reason {
    Reason::new(Code::SetAside, "", why.to_string())
}

impl Records for Rows<'_, '_> {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        if self.plan.format != Format::CloudwatchLogs {
            return self.read_json(bytes, start);
        }
        let envelope = cloudwatch::read(&bytes[start..], 0, &mut self.open);
        let envelope = envelope.map_err(|syntax| Syntax { at: start + syntax.at, wanted: syntax.wanted })?;
        self.last = Last::Envelope(envelope.kind);
        Ok(start + envelope.end)
    }

    fn accept(&mut self, offset: u64, record: &[u8]) -> Result<()> {
        if let Last::Envelope(_) = self.last {
            return match std::mem::replace(&mut self.last, Last::Row) {
                Last::Envelope(kind) => self.envelope(offset, record, kind),
                _ => Ok(()),
            };
        }
        match self.refusal(record) {
            None => self.count_row(record.len()),
            Some(reason) => self.reject(offset, record, reason),
        }
    }

    fn take_back(&mut self) {
        if let Last::Row = std::mem::replace(&mut self.last, Last::Row) {
            self.decoder.take_back();
        }
    }

    fn reject(&mut self, offset: u64, record: &[u8], reason: Reason) -> Result<()> {
        if let Some(reasons) = &mut self.reasons {
            reasons.push(reason);
            return Ok(());
        }
        self.enter(self.plan.reject(offset, record, reason))
    }

    fn oversized(&mut self, offset: u64, length: u64) -> Result<()> {
        self.tally.oversized += 1;
        let detail = "the record has more bytes than a record may have; they stay in the landing only".to_string();
        self.enter(Reject { offset, length, raw: None, redacted: false, reason: Reason::new(Code::TooLarge, "", detail) })
    }
}
