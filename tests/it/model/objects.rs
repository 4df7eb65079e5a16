//! Landed objects: their bytes, and what has to become of their records.

use std::io::Write;

use base64::Engine;
use lakebed::standardize::reject::Code;

use super::steps::{Content, Form, Record, Rules};

/// A row: id, number, and whether a field was rescued. The number tells it from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: Option<String>,
    pub number: u64,
    pub stranger: bool,
}

/// A record as it was written. Its number tells it from all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    record: Record,
    number: u64,
}

/// Why a record is in quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its number is a text.
    Type,
    /// Its id is not allowed.
    Rule,
    /// It is good, and too many others of its object are not.
    Aside,
    /// It can be read, and its object is corrupt.
    Corrupt,
    /// It is the object itself, which cannot be read to its end.
    Damaged,
}

impl Reason {
    pub fn code(self) -> Code {
        match self {
            Self::Type => Code::Type,
            Self::Rule => Code::Rule,
            Self::Aside | Self::Corrupt => Code::SetAside,
            Self::Damaged => Code::DamagedObject,
        }
    }
}

/// What is put into quarantine: a record, or without one the object itself, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub record: Option<Written>,
    pub raw: Vec<u8>,
    pub reason: Reason,
}

/// An object in the landing.
#[derive(Debug, Clone)]
pub struct Object {
    /// Grows each time that something is written.
    pub stamp: u64,
    pub bytes: Vec<u8>,
    records: Vec<Written>,
    form: Form,
    /// It is of Firehose's reports, which count one by one.
    is_report: bool,
}

/// What has to become of an object.
#[derive(Debug, Clone)]
pub struct Becomes {
    pub rows: Vec<Row>,
    pub rejects: Vec<Reject>,
    /// All of it is set aside; a new content is taken in by the next run.
    pub rejected: bool,
    /// It is told to be not wholly in the table.
    pub missing: bool,
}

impl Object {
    /// The object of a content, whose records are numbered from `stamp` on.
    pub fn new(content: &Content, stamp: u64) -> Self {
        let records = numbered(content.records.iter().cycle().take(content.records.len() * content.times), stamp);
        let text: String = records.iter().map(Written::text).collect();
        Self { stamp, bytes: stored(text.as_bytes(), content.form), records, form: content.form, is_report: false }
    }

    /// An object of Firehose's with a report of each record.
    pub fn reports(records: &[Record], stamp: u64) -> Self {
        let records = numbered(records.iter(), stamp);
        let raw = |record: &Written| base64::engine::general_purpose::STANDARD.encode(record.text());
        let report = |record| format!("{{\"attemptsMade\":4,\"errorCode\":\"Lambda.FunctionError\",\"rawData\":\"{}\"}}\n", raw(record));
        let text: String = records.iter().map(report).collect();
        Self { stamp, bytes: text.into(), records, form: Form::Plain, is_report: true }
    }

    /// The same content landed once more.
    pub fn again(&self, stamp: u64) -> Self {
        Self { stamp, ..self.clone() }
    }

    /// What docs/semantics.md says of it (P7), before duplicates are looked for.
    pub fn becomes(&self, rules: Rules) -> Becomes {
        let readable = if self.form == Form::Headless { &[][..] } else { &self.records[..] };
        let bad = readable.iter().filter(|record| record.becomes(rules).is_err()).count();
        let aside = if self.form == Form::Corrupt {
            Some(Reason::Corrupt)
        } else {
            (!self.is_report && rules.are_too_many(bad, readable.len())).then_some(Reason::Aside)
        };
        let (mut rows, mut rejects) = (Vec::new(), Vec::new());
        for record in readable {
            match record.becomes(rules).and_then(|row| aside.map_or(Ok(row), Err)) {
                Ok(row) => rows.push(row),
                Err(reason) => rejects.push(Reject { record: Some(record.clone()), raw: record.text().into(), reason }),
            }
        }
        let is_damaged = matches!(self.form, Form::Cut | Form::Headless | Form::Corrupt);
        if is_damaged {
            rejects.push(Reject { record: None, raw: self.bytes.clone(), reason: Reason::Damaged });
        }
        // Nothing of it is in the table, and not because of its records one by one.
        let rejected = aside.is_some() || rows.is_empty() && (is_damaged || rejects.is_empty());
        Becomes { rows, rejects, rejected, missing: is_damaged || aside.is_some() }
    }
}

fn numbered<'r>(records: impl Iterator<Item = &'r Record>, stamp: u64) -> Vec<Written> {
    records.enumerate().map(|(at, record)| Written { record: *record, number: number(stamp * 10_000 + at as u64) }).collect()
}

impl Rules {
    /// With so many bad records of all the good ones do not count either.
    pub fn are_too_many(self, bad: usize, all: usize) -> bool {
        bad * 10 > all * usize::from(self.ratio)
    }
}

impl Written {
    /// What it is by these rules: a row, or for which reason it is none.
    pub fn becomes(&self, rules: Rules) -> Result<Row, Reason> {
        let (id, stranger) = match self.record {
            Record::Bad => return Err(Reason::Type),
            Record::Id(id) | Record::Stranger(id) if id >= rules.ids => return Err(Reason::Rule),
            Record::Id(id) => (Some(id), false),
            Record::Stranger(id) => (Some(id), true),
            Record::NoId => (None, false),
        };
        Ok(Row { id: id.map(|id| format!("id-{id}")), number: self.number, stranger })
    }

    fn text(&self) -> String {
        let number = self.number;
        match self.record {
            Record::Id(id) => format!("{{\"id\":\"id-{id}\",\"n\":{number}}}"),
            Record::Stranger(id) => format!("{{\"id\":\"id-{id}\",\"n\":{number},\"more\":[1]}}"),
            Record::NoId => format!("{{\"n\":{number}}}"),
            Record::Bad => format!("{{\"n\":\"x{number}\"}}"),
        }
    }
}

/// Another number for each, without an order that would let a column of them become small (SplitMix64), and positive as a bigint.
fn number(of: u64) -> u64 {
    let mixed = (of ^ (of >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) >> 1
}

fn stored(text: &[u8], form: Form) -> Vec<u8> {
    if form == Form::Plain {
        return text.to_vec();
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text).unwrap();
    let mut bytes = encoder.finish().unwrap();
    // The last eight bytes are the checksum and the length of the text.
    let end = bytes.len() - 8;
    match form {
        Form::Cut => bytes.truncate(end),
        Form::Headless => bytes.truncate(10),
        Form::Corrupt => bytes[end] ^= 1,
        Form::Plain | Form::Gzip => {}
    }
    bytes
}
