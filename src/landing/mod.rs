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

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::hour::Hour;

/// Brings objects into the order in which they are merged: that of hour and key.
pub fn in_order(objects: &mut [LandedObject]) {
    objects.sort_by(|a, b| (a.hour, &a.key).cmp(&(b.hour, &b.key)));
}

/// The hours that are looked at: a span, and some of before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// The first hour of the span.
    pub from: Hour,
    /// The last one.
    pub to: Hour,
    /// Hours before it.
    pub older: BTreeSet<Hour>,
}

impl Hours {
    /// The hours `from` to `to`, both included.
    pub fn span(from: Hour, to: Hour) -> Self {
        Self { from, to, older: BTreeSet::new() }
    }

    /// A span, and those of `others` that are before it.
    pub fn and_before(from: Hour, to: Hour, others: impl Iterator<Item = Hour>) -> Self {
        Self { from, to, older: others.filter(|hour| *hour < from).collect() }
    }

    /// True if the hour is one of those before the span, or is not before it.
    pub fn reach(&self, hour: Hour) -> bool {
        hour >= self.from || self.older.contains(&hour)
    }

    /// True if the hour is looked at.
    pub fn has(&self, hour: Hour) -> bool {
        hour <= self.to && self.reach(hour)
    }

    /// True if one of the hours `first` to `last` is looked at.
    fn meet(&self, first: Hour, last: Hour) -> bool {
        (first <= self.to && self.from <= last) || (first <= last && self.older.range(first..=last).next().is_some())
    }
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
    /// When it came into the landing, by the store, UTC; `None` where that was not asked.
    pub came: Option<DateTime<Utc>>,
}
