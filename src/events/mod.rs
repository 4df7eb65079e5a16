//! What lakebed tells others: one event for each committed hour, for records set apart, for a table's columns, for a run that failed.

pub mod bridge;
pub mod outbox;

use std::collections::BTreeMap;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::catalog::{Table, TableName};
use crate::error::Result;
use crate::failing::Record;
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion, Missing, Operation, Source};

/// The form of the events' details; it grows when a field changes its meaning or goes away, not when one is added.
pub const FORMAT: u32 = 1;

/// Objects and failures that an event names one by one; an entry of EventBridge has 256 KiB at most, and this many fit.
const NAMED: usize = 50;

/// Bytes of the columns that an event lists, and those of one beside its name and type. An event has twice as many at most, for its columns
/// and for its partition keys; EventBridge takes 256 KiB.
const COLUMNS: usize = 100_000;
const AROUND: usize = "{\"name\":\"\",\"type\":\"\"},".len();

/// Bytes of a reason that an event repeats.
const REASON: usize = 1000;

/// Where events go: to a bus of EventBridge, or to the log alone.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Sends events; when it returns, all of them are taken. Some may have been taken when it fails.
    ///
    /// # Errors
    /// `Config` if the bus cannot be used as it is configured, `Unavailable` if it does not take them now.
    async fn send(&self, events: &[Event]) -> Result<()>;
}

/// The sink that writes events to the log, where no bus is configured.
#[derive(Debug)]
pub struct Log;

#[async_trait]
impl EventSink for Log {
    async fn send(&self, events: &[Event]) -> Result<()> {
        for event in events {
            tracing::info!("event {} {}", event.name(), event.detail());
        }
        Ok(())
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Event {
    /// A partition was merged for the first time.
    HourMerged(Hour),
    /// Objects came to a partition that was merged before.
    HourAmended(Hour),
    /// The objects that are new in a version of a partition have records in the quarantine.
    RecordsQuarantined(Quarantined),
    /// A table got its columns.
    SchemaEvolved(Schema),
    /// A run did not do all that it should.
    RunFailed(RunFailed),
    /// An hour that had been failing does not any more.
    HourHealed(Healed),
}

/// One version of a partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hour {
    format: u32,
    table: TableName,
    partition: BTreeMap<String, String>,
    /// Grows with each version; a receiver ignores what is not above the last one that it saw of the partition.
    ledger_version: u64,
    run: String,
    at: DateTime<Utc>,
    generation: String,
    location: String,
    objects: usize,
    /// Objects that the version before it had not.
    new_objects: usize,
    records: Counts,
    rows: u64,
    files: usize,
    bytes: u64,
    complete: bool,
    missing_objects: usize,
    /// The first of them.
    missing: Vec<Missing>,
}

/// Records of a partition that are in the quarantine.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Quarantined {
    format: u32,
    table: TableName,
    partition: BTreeMap<String, String>,
    ledger_version: u64,
    run: String,
    at: DateTime<Utc>,
    quarantine: TableName,
    location: Option<String>,
    /// Those of the objects that are new in this version.
    new_records: u64,
    /// All that the partition has.
    records: u64,
    /// Whole objects that were set aside, those of earlier versions too.
    objects_set_aside: usize,
}

/// The columns of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Schema {
    format: u32,
    table: TableName,
    /// Fingerprint of the columns, the same that ledger versions carry.
    schema: String,
    column_count: usize,
    /// Column names and Hive types, in order: the first ones of a table with very many.
    columns: Vec<ColumnType>,
    partition_keys: Vec<ColumnType>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ColumnType {
    name: String,
    #[serde(rename = "type")]
    hive: String,
}

/// A run that did not do all that it should.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunFailed {
    format: u32,
    run: String,
    at: String,
    /// What `lakebed run` ends with: 1 failed, 2 wrong configuration, 3 some hours done and some not.
    exit_code: u8,
    failure_count: usize,
    /// The first of them.
    failures: Vec<Failed>,
    /// Hours that fail too and were told of before.
    still_failing: usize,
}

/// A partition whose merge failed in runs before and that has nothing left to merge now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Healed {
    format: u32,
    table: TableName,
    partition: BTreeMap<String, String>,
    run: String,
    at: DateTime<Utc>,
    /// The time of the first run in which it failed.
    since: DateTime<Utc>,
    /// Attempts that failed.
    attempts: u32,
}

/// One failure of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failed {
    /// The table.
    pub table: TableName,
    /// The partition as a path, if it is about one.
    pub partition: Option<String>,
    /// What happened and what to do.
    pub error: String,
}

impl Event {
    /// The detail type, by which rules of EventBridge choose.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HourMerged(_) => "HourMerged",
            Self::HourAmended(_) => "HourAmended",
            Self::RecordsQuarantined(_) => "RecordsQuarantined",
            Self::SchemaEvolved(_) => "SchemaEvolved",
            Self::RunFailed(_) => "RunFailed",
            Self::HourHealed(_) => "HourHealed",
        }
    }

    /// The detail, as one line of JSON.
    pub fn detail(&self) -> String {
        serde_json::to_string(self).expect("events have text keys and no maps of other keys")
    }

    /// What there is to say of a version of a partition, from it and the one that it follows.
    pub fn of_version(version: &LedgerVersion, previous: Option<&LedgerVersion>) -> Vec<Self> {
        let hour = hour(version, previous);
        let mut events = match version.operation {
            // What a query finds is the same.
            Operation::Sweep => vec![],
            _ if version.is_void() => vec![],
            Operation::Create => vec![Self::HourMerged(hour)],
            // Nobody was told of the one before it.
            _ if previous.is_some_and(LedgerVersion::is_void) => vec![Self::HourMerged(hour)],
            _ => vec![Self::HourAmended(hour)],
        };
        let new_records: u64 = new_sources(version, previous).map(|source| source.counts.quarantined).sum();
        if new_records > 0 {
            events.push(Self::RecordsQuarantined(Quarantined {
                format: FORMAT,
                table: version.table.clone(),
                partition: values(&version.partition),
                ledger_version: version.version,
                run: version.run.clone(),
                at: version.at,
                quarantine: crate::layout::quarantine_table(&version.table),
                location: version.quarantine.as_ref().map(|generation| generation.location.clone()),
                new_records,
                records: version.counts.quarantined,
                objects_set_aside: version.sources.iter().filter(|source| source.rejected.is_some()).count(),
            }));
        }
        events
    }

    /// What there is to say of a table that was made.
    pub fn of_table(table: &Table) -> Self {
        let types = |columns: &[crate::schema::Column]| {
            let types = columns.iter().map(|column| ColumnType { name: column.name.clone(), hive: column.hive.to_string() });
            let fit = types.scan(0, |bytes, column| {
                *bytes += column.name.len() + column.hive.len() + AROUND;
                (*bytes <= COLUMNS).then_some(column)
            });
            fit.collect()
        };
        Self::SchemaEvolved(Schema {
            format: FORMAT,
            table: table.name.clone(),
            schema: crate::schema::fingerprint(&table.columns),
            column_count: table.columns.len(),
            columns: types(&table.columns),
            partition_keys: types(&table.partition_keys),
        })
    }

    /// What there is to say of a run with failures, made for the time `at`. Beside these `still_failing` hours fail that were told of before.
    pub fn of_failures(run: &str, at: &str, exit_code: u8, failures: impl ExactSizeIterator<Item = Failed>, still_failing: usize) -> Self {
        let failure_count = failures.len();
        let named = failures.take(NAMED).map(|failed| Failed { error: cut(failed.error), ..failed }).collect();
        let (run, at) = (run.to_string(), at.to_string());
        Self::RunFailed(RunFailed { format: FORMAT, run, at, exit_code, failure_count, failures: named, still_failing })
    }

    /// What there is to say of an hour that does not fail any more, in a run made for the time `at`, from what was known of its failures.
    pub fn of_healed(table: &TableName, run: &str, at: DateTime<Utc>, known: &Record) -> Self {
        Self::HourHealed(Healed {
            format: FORMAT,
            table: table.clone(),
            partition: values(&known.partition),
            run: run.to_string(),
            at,
            since: known.since,
            attempts: known.attempts,
        })
    }
}

fn hour(version: &LedgerVersion, previous: Option<&LedgerVersion>) -> Hour {
    let named = version.missing.iter().take(NAMED).cloned().map(|missing| Missing { reason: cut(missing.reason), ..missing });
    Hour {
        format: FORMAT,
        table: version.table.clone(),
        partition: values(&version.partition),
        ledger_version: version.version,
        run: version.run.clone(),
        at: version.at,
        generation: version.generation.id.to_string(),
        location: version.generation.location.clone(),
        objects: version.sources.len(),
        new_objects: new_sources(version, previous).count(),
        records: version.counts,
        rows: version.generation.rows(),
        files: version.generation.files.len(),
        bytes: version.generation.bytes(),
        complete: version.complete(),
        missing_objects: version.missing.len(),
        missing: named.collect(),
    }
}

/// The sources that the version before had not, or with another content.
fn new_sources<'v>(version: &'v LedgerVersion, previous: Option<&'v LedgerVersion>) -> impl Iterator<Item = &'v Source> {
    let before = move |source: &Source| previous.and_then(|previous| previous.source(&source.key));
    version.sources.iter().filter(move |source| before(source).is_none_or(|old| (&old.etag, old.size) != (&source.etag, source.size)))
}

fn values(partition: &PartitionId) -> BTreeMap<String, String> {
    partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
}

/// The beginning of a text that may be long.
fn cut(mut text: String) -> String {
    if text.len() > REASON {
        let end = (0..=REASON).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::{empty, source, version};

    #[test]
    fn of_a_partition_that_was_only_closed_nothing_is_told_and_what_follows_is_the_first() {
        let void = empty("14", 1);
        let names = |version: &LedgerVersion, previous: &LedgerVersion| {
            Event::of_version(version, Some(previous)).iter().map(Event::name).collect::<Vec<_>>()
        };
        assert_eq!(Event::of_version(&void, None), []);
        let swept = void.swept(vec![], "01J00000000000000000000009".into(), void.run.clone(), void.at);
        assert_eq!(Event::of_version(&swept, Some(&void)), []);
        for operation in [Operation::Amend, Operation::Move] {
            let filled = LedgerVersion { operation, ..version("14", 2, vec![source("14", "a")]) };
            assert_eq!(names(&filled, &void), ["HourMerged"]);
            assert_eq!(names(&LedgerVersion { operation, ..version("14", 3, vec![source("14", "a")]) }, &filled), ["HourAmended"]);
        }
    }
}
