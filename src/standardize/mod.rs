//! A landed object into rows of the table and rejected records, with every record accounted for.

pub mod cloudwatch;
pub mod codec;
pub mod columnar;
pub mod columns;
pub mod decode;
pub mod errors;
pub mod firehose_error;
pub mod frame;
pub mod kept;
pub mod lines;
pub mod members;
pub mod plan;
pub mod privacy;
pub mod reject;
mod resync;
pub mod rows;
pub mod rules;
pub mod scalar;
pub mod scan;
pub mod snowplow;
pub mod veil;
pub mod window;

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Format;
use crate::error::{Error, Result};
use codec::{Content, Stored};
use frame::Records;
pub use plan::Plan;
use reject::{Code, Reason, Reject};
use rows::Rows;
pub use rows::{Emit, Piece, Tally};
use window::Window;

/// How much of an object is held in memory at a time, bytes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes of one record.
    pub record: usize,
    /// Most bytes of a text that is decompressed at once, which is faster.
    pub whole: u64,
    /// Most bytes of rows and rejects that wait for the end of their object, where it shows whether they count. What becomes more
    /// than that is read twice.
    pub held: u64,
}

/// Most bytes of one record: Firehose takes 1,000 KiB, and what a transformation returns is 6 MB at most.
const RECORD: u64 = 64 << 20;

/// Most bytes that one object may have when decompressed: a Firehose buffer holds 128 MiB.
const OBJECT: u64 = 64 << 30;

impl Limits {
    /// The limits of an object that may take `need` bytes of `memory`, which it shares with others.
    pub fn within(need: u64, memory: u64) -> Self {
        let record = usize::try_from(RECORD.min(memory / 16)).unwrap_or(usize::MAX);
        Self { record, whole: need / 2, held: need / 2 }
    }

    fn codec(self) -> codec::Limits {
        codec::Limits { whole: self.whole, bytes: OBJECT, ratio: codec::RATIO }
    }
}

/// What became of one landed object.
#[derive(Debug)]
pub struct Outcome {
    /// Its records.
    pub tally: Tally,
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
    /// It holds no records. Firehose writes such objects, and nothing is missing then; but it may be one whose content is still to come.
    Empty,
}

/// One reading of an object.
struct Reading {
    tally: Tally,
    /// Bytes of its text, as far as it could be read.
    bytes: u64,
    /// Why it could not be read to its end.
    flaw: Option<Flaw>,
}

/// Why an object could not be read to its end.
struct Flaw {
    why: String,
    /// What was read of it may be other than what was written.
    corrupt: bool,
}

impl Flaw {
    fn of(why: String) -> Self {
        Self { why, corrupt: false }
    }
}

/// Why good records of an object are rejected with the others.
const TOO_MANY: &str = "the record is good; too many others of its object are not";
const CORRUPT: &str = "the record can be read, but its object is corrupt, so its values may be wrong";

/// Standardizes one object and hands what becomes of it to `emit`, piece by piece, in the order of its records.
///
/// # Errors
/// `Unavailable` if the object cannot be read from its store. `Internal` if the columns could not be built. What `emit` answers. Bad
/// input is no error: it comes as rejects.
pub fn standardize(plan: &Plan, stored: &Arc<dyn Stored>, limits: Limits, emit: &mut Emit<'_>) -> Result<Outcome> {
    let mut held = Held { pieces: Some(Vec::new()), memory: 0, limit: limits.held };
    let mut reading = read(plan, stored, limits, None, &mut |piece| {
        held.take(piece);
        Ok(())
    })?;
    let bad = reading.tally.bad(reading.bytes);
    let are_too_many = reading.tally.are_too_many(reading.bytes, plan.max_ratio);
    let is_corrupt = reading.flaw.as_ref().is_some_and(|flaw| flaw.corrupt);
    let set_aside = if is_corrupt { Some(CORRUPT) } else { are_too_many.then_some(TOO_MANY) };
    let too_many = too_many(bad, &reading.tally);
    match held.pieces.filter(|_| set_aside.is_none()) {
        Some(pieces) => pieces.into_iter().try_for_each(&mut *emit)?,
        None => reading = read(plan, stored, limits, set_aside, emit)?,
    }
    let mut damage = are_too_many.then_some(Damage::Rejected(too_many));
    if damage.is_none() && reading.tally.oversized > 0 {
        damage = Some(too_long(&reading.tally, limits));
    }
    if reading.flaw.is_none() && reading.tally.read == 0 {
        damage = Some(Damage::Empty);
    }
    if let Some(Flaw { why, .. }) = reading.flaw {
        emit(Piece::Rejects(vec![damaged(plan, stored, reading.bytes, limits, why.clone())?]))?;
        reading.tally.read += 1;
        reading.tally.rejected += 1;
        damage = Some(if reading.tally.rows == 0 {
            Damage::Rejected(format!("{why}; land it again under the same name, and the next run takes it in"))
        } else {
            Damage::Partly(format!(
                "{why}; the records before that are in the table: land it again under the same name, then `lakebed repair` its hour"
            ))
        });
    }
    Ok(Outcome { tally: reading.tally, damage })
}

/// Why an object with so many bad records is set aside.
fn too_many(bad: u64, tally: &Tally) -> String {
    let what = if bad == tally.rejected {
        format!("{bad} of its {} records are bad", bad + tally.rows)
    } else {
        format!("beside {} good records it has {} bytes that are no JSON, which is room for {bad}", tally.rows, tally.malformed_bytes)
    };
    format!("{what}, more than [table.quarantine] max_ratio allows; correct the schema or the ratio, then `lakebed redrive` takes it in")
}

/// What is wrong with an object that has records which could not be held: what they are is not known, and may be many.
fn too_long(tally: &Tally, limits: Limits) -> Damage {
    let why = format!(
        "{} of its records have more than {} bytes and stay in the landing alone; raise [lake] memory if that is less than 1 GiB and \
         `lakebed repair` the hour, or land them as records of their own",
        tally.oversized, limits.record
    );
    if tally.rows == 0 { Damage::Rejected(why) } else { Damage::Partly(why) }
}

/// Pieces that wait until their object was read to its end.
struct Held {
    /// `None` once they were too many.
    pieces: Option<Vec<Piece>>,
    memory: u64,
    limit: u64,
}

impl Held {
    fn take(&mut self, piece: Piece) {
        self.memory += piece.memory();
        match &mut self.pieces {
            Some(pieces) if self.memory <= self.limit => pieces.push(piece),
            pieces => *pieces = None,
        }
    }
}

/// Reads an object once. With `set_aside` all its records are rejected, so that it can be redriven as a whole.
fn read(plan: &Plan, stored: &Arc<dyn Stored>, limits: Limits, set_aside: Option<&'static str>, emit: &mut Emit<'_>) -> Result<Reading> {
    let mut rows = Rows::new(plan, set_aside, emit);
    let (bytes, flaw) = read_into(plan, stored, limits, &mut rows)?;
    Ok(Reading { tally: rows.finish()?, bytes, flaw })
}

/// Hands the records of an object to `rows`. Returns how many bytes of text could be read, and why not all of them.
fn read_into(plan: &Plan, stored: &Arc<dyn Stored>, limits: Limits, rows: &mut Rows<'_, '_>) -> Result<(u64, Option<Flaw>)> {
    let mut text = match codec::open(stored, limits.codec()) {
        Ok(Content::Columnar) => {
            let flaw = columnar::stored::read(stored, rows, plan, limits)?.map(Flaw::of);
            return Ok((stored.size(), flaw));
        }
        Ok(content) => window(content),
        Err(failure) => return Ok((0, Some(flaw(failure)?))),
    };
    rows.expect(text.ended().then(|| text.bytes().len()));
    match plan.format {
        Format::Parquet => {
            if !text.ended() {
                text.refill(0, 1);
            }
            if !text.bytes().is_empty() {
                let why = "it is no Parquet object, and format = \"parquet\" takes no others".to_string();
                return Ok((0, Some(Flaw::of(why))));
            }
        }
        Format::SnowplowTsv => lines::read(&mut text, rows, limits.record)?,
        Format::Json | Format::CloudwatchLogs => frame::read(&mut text, rows, plan.unwrap.as_deref(), limits.record)?,
    }
    let flaw = text.failure().map(flaw).transpose()?;
    Ok((text.base() + text.bytes().len() as u64, flaw))
}

/// The text of what was opened.
fn window(content: Content) -> Window {
    match content {
        Content::Whole(text) => Window::whole(text),
        Content::Text(source) => Window::of(source),
        Content::Columnar => Window::whole(Bytes::new()),
    }
}

/// What is wrong with the content; where the store failed, that is an error.
fn flaw(failure: io::Error) -> Result<Flaw> {
    match codec::Damage::of(&failure) {
        Some(damage) => Ok(Flaw { why: damage.to_string(), corrupt: damage.is_corrupt() }),
        None => Err(Error::unavailable(format!("{failure}: make it readable"))),
    }
}

/// The reject that keeps the bytes of a damaged object, if they are no more than a record may have.
fn damaged(plan: &Plan, stored: &Arc<dyn Stored>, offset: u64, limits: Limits, why: String) -> Result<Reject> {
    let reason = Reason::new(Code::DamagedObject, "", why);
    match usize::try_from(stored.size()).ok().filter(|length| *length <= limits.record) {
        Some(length) => {
            let bytes = stored.read_at(0, length).map_err(|e| Error::unavailable(format!("{e}: make it readable")))?;
            Ok(plan.reject(offset, &bytes, reason))
        }
        None => Ok(Reject { offset, length: stored.size(), raw: None, redacted: false, reason }),
    }
}

/// Calls `each` with every record of an object, of whatever kind, and with `None` for what is no JSON. Returns why the object could not
/// be read to its end, if it could not.
///
/// # Errors
/// `Unavailable` if the object cannot be read from its store.
pub fn documents(
    stored: &Arc<dyn Stored>,
    unwrap: Option<&str>,
    limits: Limits,
    each: &mut dyn FnMut(Option<&[u8]>),
) -> Result<Option<String>> {
    let mut text = match codec::open(stored, limits.codec()) {
        Ok(Content::Columnar) => return Ok(Some("parquet has no documents".to_string())),
        Ok(content) => window(content),
        Err(failure) => return flaw(failure).map(|flaw| Some(flaw.why)),
    };
    frame::read(&mut text, &mut Documents { each, open: Vec::new() }, unwrap, limits.record)?;
    text.failure().map(|failure| flaw(failure).map(|flaw| flaw.why)).transpose()
}

/// Hands records on as they are.
struct Documents<'e> {
    each: &'e mut dyn FnMut(Option<&[u8]>),
    open: Vec<u8>,
}

impl Records for Documents<'_> {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, scan::Syntax> {
        let mut cursor = scan::Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open).map(|_| cursor.pos)
    }

    fn accept(&mut self, _: u64, record: &[u8]) -> Result<()> {
        (self.each)(Some(record));
        Ok(())
    }

    fn take_back(&mut self) {}

    fn reject(&mut self, _: u64, _: &[u8], _: Reason) -> Result<()> {
        (self.each)(None);
        Ok(())
    }

    fn oversized(&mut self, _: u64, _: u64) -> Result<()> {
        (self.each)(None);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
