//! What holds for every object, whatever is in it.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use lakebed::config::Format;
use lakebed::standardize::codec::{self, Content, RATIO, Stored};
use lakebed::standardize::reject::{Code, Reject};
use lakebed::standardize::{Damage, Limits, Piece, Plan, Tally, standardize};

/// Most bytes of memory that what came out may take for a byte of text, and for a piece besides: the shortest row is `{}`, and has a
/// value for each column.
const PER_BYTE: u64 = 512;
const PER_PIECE: u64 = 8 << 20;

/// Longest text that is read more than once: a short object may be the compressed form of a very long one.
const LONGEST: u64 = 16 << 20;

/// An object that is read from a store.
pub(super) struct Remote(pub(super) Bytes);

impl Stored for Remote {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        assert!(length <= 8 << 20, "{length} bytes are asked for at once");
        assert!(offset + length as u64 <= self.size(), "{length} bytes at {offset} are asked for of {}", self.size());
        self.0.read_at(offset, length)
    }
}

/// The object in memory, and in a store.
pub(super) fn both(object: &[u8]) -> [Arc<dyn Stored>; 2] {
    let bytes = Bytes::copy_from_slice(object);
    [Arc::new(bytes.clone()), Arc::new(Remote(bytes))]
}

/// What an object became.
struct Done {
    rows: RecordBatch,
    rejects: Vec<Reject>,
    tally: Tally,
    damage: Option<Damage>,
}

fn standardized(plan: &Plan, stored: &Arc<dyn Stored>, limits: Limits, text: u64) -> Done {
    let (mut batches, mut rejects, mut memory) = (Vec::new(), Vec::new(), 0);
    let outcome = standardize(plan, stored, limits, &mut |piece| {
        let taken = piece.memory();
        memory += taken.saturating_sub(PER_PIECE);
        match piece {
            Piece::Rows(batch) => batches.push(batch),
            Piece::Rejects(some) => rejects.extend(some),
        }
        Ok(())
    });
    let outcome = outcome.unwrap();
    assert!(memory <= text * PER_BYTE, "{memory} bytes of memory for {text} bytes of text");
    let rows = concat_batches(&plan.schema, &batches).unwrap();
    Done { rows, rejects, tally: outcome.tally, damage: outcome.damage }
}

/// The text of an object, and whether that is all of it; `None` of Parquet.
fn text(stored: &Arc<dyn Stored>) -> Option<(Vec<u8>, bool)> {
    let limits = codec::Limits { whole: 0, bytes: LONGEST, ratio: RATIO };
    match codec::open(stored, limits) {
        Ok(Content::Columnar) => None,
        Ok(Content::Whole(text)) => Some((text.into(), true)),
        Ok(Content::Text(mut reader)) => {
            let mut text = Vec::new();
            let is_whole = reader.read_to_end(&mut text).is_ok();
            Some((text, is_whole))
        }
        Err(_) => Some((Vec::new(), false)),
    }
}

/// Standardizes an object in two ways, and checks what holds. Answers what became of it.
pub(super) fn check(plan: &Plan, object: &[u8], record: usize) -> String {
    let [near, far] = both(object);
    let text = text(&near);
    if text.as_ref().is_some_and(|(text, _)| text.len() as u64 == LONGEST) {
        return "a long text".into();
    }
    let length = text.as_ref().map_or(object.len() * 16, |(text, _)| text.len()).max(object.len()) as u64;
    // Of Parquet it is the longest row group. Gzip is not decompressed at once: that takes codes which no encoder writes, and the stream
    // does not; the target of decompression alone compares the two.
    let whole = if text.is_some() { 0 } else { 1 << 20 };
    let held = standardized(plan, &near, Limits { record, whole, held: 1 << 30 }, length);
    let streamed = standardized(plan, &far, Limits { record, whole, held: 0 }, length);
    assert_eq!(held.tally, streamed.tally, "in memory, and read piece by piece");
    assert_eq!(held.damage, streamed.damage, "in memory, and read piece by piece");
    for (held, streamed) in held.rejects.iter().zip(&streamed.rejects) {
        assert_eq!(held, streamed, "in memory, and read piece by piece");
    }
    assert!(held.rows == streamed.rows, "rows differ in memory, and read piece by piece");
    balances(&held);
    // How much of a damaged text can be read may depend on the steps that it is read in.
    places(plan, &held, text.as_ref().filter(|(_, is_whole)| *is_whole).map(|(text, _)| text.as_slice()));
    outcome(&held)
}

fn balances(done: &Done) {
    let tally = done.tally;
    assert_eq!(tally.read, tally.rows + tally.rejected + tally.dropped, "{tally:?}");
    assert_eq!((tally.rows, tally.rejected), (done.rows.num_rows() as u64, done.rejects.len() as u64));
    assert!(!matches!(done.damage, Some(Damage::Rejected(_))) || tally.rows == 0, "{tally:?}, {:?}", done.damage);
}

/// Rejects stand in the object's order where they are said to stand.
fn places(plan: &Plan, done: &Done, text: Option<&[u8]>) {
    let mut end = 0;
    let mut last = None;
    for reject in done.rejects.iter().filter(|reject| reject.reason.code != Code::DamagedObject) {
        assert!(last < Some(reject.offset), "{last:?} is before {}", reject.offset);
        last = Some(reject.offset);
        let Some(text) = text else {
            continue;
        };
        // Of a log event the record is kept that was made of it.
        if plan.format == Format::CloudwatchLogs {
            assert!(reject.offset <= text.len() as u64);
            continue;
        }
        // What is cut where a record is wanted has a reject without bytes.
        let is_there = reject.length > 0 || reject.offset == text.len() as u64;
        assert!(reject.offset >= end && is_there, "{} bytes at {}, behind {end}", reject.length, reject.offset);
        end = reject.offset + reject.length;
        let stands = &text[reject.offset as usize..end as usize];
        if let Some(raw) = reject.raw.as_deref().filter(|_| !plan.root.private) {
            assert!(stands == raw, "{} bytes at {} are others: {}", reject.length, reject.offset, raw.escape_ascii());
        }
    }
}

/// What an object became, without numbers.
fn outcome(done: &Done) -> String {
    let reasons: BTreeSet<String> = done
        .rejects
        .iter()
        .map(|reject| format!("{} {} {}", reject.reason.code.as_str(), reject.reason.column, coarse(&reject.reason.detail)))
        .collect();
    let damage = done.damage.as_ref().map(|damage| coarse(&format!("{damage:?}")));
    format!("{} {} {} {reasons:?} {damage:?}", done.tally.rows.min(2), done.tally.dropped.min(1), done.tally.warned.min(1))
}

/// A message without its numbers and without what it quotes.
pub(super) fn coarse(message: &str) -> String {
    let told: String = message.split('`').step_by(2).collect();
    told.chars().filter(|c| !c.is_ascii_digit()).take(200).collect()
}
