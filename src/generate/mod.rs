//! A seeded clickstream as Firehose lands it, with late objects, bad records and duplicates on request, and a count of what it made.
//!
//! Equal [`Settings`] make equal bytes on every machine. Records are concatenated, compressed and named as in the Firehose
//! developer guide ("Amazon S3 object name format", "Data delivery").

mod bad;
mod encode;
mod event;
mod plan;
mod random;
mod settings;
mod vocabulary;
mod write;

use std::collections::BTreeMap;

pub use bad::BadKind;
pub use settings::{Compression, Framing, Part, Settings};
pub use write::{upload_to, write_to};

use crate::error::Result;
use crate::hour::Hour;
use plan::{Nature, Plan};

/// One object, ready to be landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedObject {
    /// Key relative to the landing location.
    pub key: String,
    /// The object's bytes, compressed.
    pub body: Vec<u8>,
    /// The arrival hour that its key says.
    pub hour: Hour,
    /// True if it arrives after its hour has closed.
    pub late: bool,
    /// Its records, bad ones and duplicates included.
    pub records: u64,
    /// Its bad records by kind.
    pub bad: BTreeMap<BadKind, u64>,
    /// Its records that repeat an earlier one of the hour, in this object or one made before.
    pub duplicates: u64,
    /// Bytes before compression.
    pub json_bytes: u64,
}

/// What a clickstream holds; the numbers that an import of it has to arrive at.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Objects.
    pub objects: u64,
    /// Records, bad ones and duplicates included.
    pub records: u64,
    /// Bad records by kind.
    pub bad: BTreeMap<BadKind, u64>,
    /// Records that repeat an earlier one of their hour.
    pub duplicates: u64,
    /// Objects that arrive after their hour has closed.
    pub late_objects: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Bytes before compression.
    pub json_bytes: u64,
}

impl Summary {
    /// Counts one more object.
    pub fn add(&mut self, object: &GeneratedObject) {
        self.objects += 1;
        self.records += object.records;
        for (kind, count) in &object.bad {
            *self.bad.entry(*kind).or_default() += count;
        }
        self.duplicates += object.duplicates;
        self.late_objects += u64::from(object.late);
        self.bytes += object.body.len() as u64;
        self.json_bytes += object.json_bytes;
    }

    /// Bad records of all kinds.
    pub fn bad_records(&self) -> u64 {
        self.bad.values().sum()
    }
}

/// Makes the objects of a clickstream, hour by hour, one at a time: no more than one object is in memory.
///
/// # Errors
/// `Config` if the settings cannot be met.
pub fn objects(settings: &Settings) -> Result<impl Iterator<Item = GeneratedObject> + use<>> {
    settings.check()?;
    let (plan, part) = (Plan::new(settings), settings.part);
    Ok((0..settings.objects()).filter_map(move |object| {
        let wanted = match part {
            Part::All => true,
            Part::OnTime => !plan.is_late(object),
            Part::Late => plan.is_late(object),
        };
        wanted.then(|| make(&plan, object))
    }))
}

fn make(plan: &Plan, object: u64) -> GeneratedObject {
    let settings = plan.settings();
    let (mut bad, mut duplicates) = (BTreeMap::new(), 0);
    let records = plan.records_of(object);
    let count = records.end - records.start;
    let mut text = Vec::with_capacity(count as usize * 850);
    for record in records {
        let (source, kind) = match plan.nature(record) {
            Nature::Good => (record, None),
            Nature::CopyOf(original) => {
                duplicates += 1;
                (original, None)
            }
            Nature::Bad(kind) => {
                *bad.entry(kind).or_default() += 1;
                (record, Some(kind))
            }
        };
        event::write(&mut text, plan.event_random(source), plan.collected_at(source), kind);
        text.extend_from_slice(encode::delimiter(settings.framing));
    }
    GeneratedObject {
        key: plan.key(object),
        hour: plan.hour_of(object),
        late: plan.is_late(object),
        records: count,
        bad,
        duplicates,
        json_bytes: text.len() as u64,
        body: encode::compress(text, settings.compression),
    }
}

#[cfg(test)]
mod tests;
