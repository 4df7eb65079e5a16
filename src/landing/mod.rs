//! What Firehose landed: prefix expressions, arrival hours, and the discovery of objects.

pub mod arrival;
pub mod cadence;
pub mod discover;
mod matching;
mod path_time;
pub mod prefix;
#[cfg(test)]
pub(crate) mod testing;
mod timestamp;

use std::collections::BTreeMap;

use crate::hour::Hour;

/// Brings objects into the order in which they are merged: that of hour and key.
pub fn in_order(objects: &mut [LandedObject]) {
    objects.sort_by(|a, b| (a.hour, &a.key).cmp(&(b.hour, &b.key)));
}

/// One file that Firehose landed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedObject {
    /// Key relative to the landing location.
    pub key: String,
    /// The store's entity tag at discovery.
    pub etag: String,
    /// Bytes as stored.
    pub size: u64,
    /// The UTC hour in its path or name: when Firehose received its oldest record.
    pub hour: Hour,
    /// Values of `!{partitionKeyFromQuery:…}` read back from the path.
    pub path_values: BTreeMap<String, String>,
}
