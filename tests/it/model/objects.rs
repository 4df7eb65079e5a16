//! Landed objects: their bytes, and what has to become of their records.

use std::io::Write;

use super::steps::{Content, Form, Record};

/// A row: id, number, and whether a field was rescued. The number tells it from all others.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub id: Option<String>,
    pub number: u64,
    pub stranger: bool,
}

/// An object in the landing.
#[derive(Debug, Clone)]
pub struct Object {
    /// Grows each time that something is written.
    pub stamp: u64,
    pub bytes: Vec<u8>,
    records: Vec<(Option<Row>, Vec<u8>)>,
    form: Form,
}

/// What has to become of an object.
#[derive(Debug, Clone, Default)]
pub struct Becomes {
    pub rows: Vec<Row>,
    /// The bytes of each record in the quarantine.
    pub rejects: Vec<Vec<u8>>,
    /// All of it is set aside; a new content is taken in by the next run.
    pub rejected: bool,
    /// It is told to be not wholly in the table.
    pub missing: bool,
}

impl Object {
    /// The object of a content, whose records are numbered from `stamp` on.
    pub fn new(content: &Content, stamp: u64) -> Self {
        let all = content.records.iter().cycle().take(content.records.len() * content.times).enumerate();
        let records: Vec<_> = all.map(|(at, record)| written(*record, number(stamp * 10_000 + at as u64))).collect();
        let text: Vec<u8> = records.iter().flat_map(|(_, raw)| raw.clone()).collect();
        let bytes = stored(&text, content.form);
        Self { stamp, bytes, records, form: content.form }
    }

    /// The same content landed once more.
    pub fn again(&self, stamp: u64) -> Self {
        Self { stamp, ..self.clone() }
    }

    /// What docs/semantics.md says of it (P7), before duplicates are looked for.
    pub fn becomes(&self) -> Becomes {
        let raw = |records: &[(Option<Row>, Vec<u8>)]| records.iter().map(|(_, raw)| raw.clone()).collect::<Vec<_>>();
        let readable = if self.form == Form::Headless { &[][..] } else { &self.records[..] };
        let bad = readable.iter().filter(|(row, _)| row.is_none()).count();
        let too_many = bad * 2 > readable.len();
        let mut becomes = if too_many || self.form == Form::Corrupt {
            Becomes { rejects: raw(readable), rejected: true, missing: true, ..Becomes::default() }
        } else {
            let bad: Vec<_> = readable.iter().filter(|(row, _)| row.is_none()).cloned().collect();
            let rows: Vec<Row> = readable.iter().filter_map(|(row, _)| row.clone()).collect();
            Becomes { rejected: rows.is_empty(), rows, rejects: raw(&bad), missing: false }
        };
        if matches!(self.form, Form::Cut | Form::Headless | Form::Corrupt) {
            // The object itself, as it is stored.
            becomes.rejects.push(self.bytes.clone());
            becomes.missing = true;
        }
        becomes
    }
}

fn written(record: Record, number: u64) -> (Option<Row>, Vec<u8>) {
    let row = |id: Option<u8>, stranger| Some(Row { id: id.map(|id| format!("id-{id}")), number, stranger });
    match record {
        Record::Id(id) => (row(Some(id), false), format!("{{\"id\":\"id-{id}\",\"n\":{number}}}").into()),
        Record::Stranger(id) => (row(Some(id), true), format!("{{\"id\":\"id-{id}\",\"n\":{number},\"more\":[1]}}").into()),
        Record::NoId => (row(None, false), format!("{{\"n\":{number}}}").into()),
        Record::Bad => (None, format!("{{\"id\":\"bad\",\"n\":\"x{number}\"}}").into()),
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
