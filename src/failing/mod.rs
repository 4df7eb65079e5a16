//! Hours that fail, to be merged or to be shown: what is known of each, and when a run tries it again. No I/O.
//!
//! A record is advice and never the truth: one that is lost costs one more attempt, and nothing else.

pub mod store;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Kind;
use crate::hour::Hour;
use crate::layout::PartitionId;

/// The stored form; what has another one is as if it were not there.
const FORMAT: u32 = 1;

/// The pause after the second failure in a row. Each one after it is twice as long, up to [`LONGEST`].
const PAUSE: TimeDelta = TimeDelta::minutes(5);

/// The longest pause.
const LONGEST: TimeDelta = TimeDelta::hours(6);

/// A partition whose merge failed, or that the catalog refuses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The partition.
    pub partition: PartitionId,
    /// The first arrival hour of what it lacks.
    pub hour: Hour,
    /// The time of the first run in which it failed, UTC.
    pub since: DateTime<Utc>,
    /// Attempts that failed one after the other.
    pub attempts: u32,
    /// The time of the run that tried it last, UTC.
    pub at: DateTime<Utc>,
    /// Runs for an earlier time do not try the same thing again, UTC.
    pub next: DateTime<Utc>,
    /// What can be done about the reason.
    pub kind: Kind,
    /// Why it failed last; no value of a record is in it.
    pub reason: String,
    /// Fingerprint of what was tried.
    pub tried: String,
    /// The ledger version that it had then; 0 if it had none.
    pub version: u64,
    /// Others were told that it fails, for a reason of this kind.
    pub told: bool,
    /// It is merged, and the catalog refuses to show it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refused: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_false(value: &bool) -> bool {
    !value
}

/// One attempt that failed.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// The partition.
    pub partition: PartitionId,
    /// The first arrival hour of what it lacks.
    pub hour: Hour,
    /// The time of the run, UTC.
    pub at: DateTime<Utc>,
    /// What can be done about the reason.
    pub kind: Kind,
    /// Why it failed.
    pub reason: String,
    /// Fingerprint of what was tried.
    pub tried: String,
    /// The partition's ledger version; 0 if it has none.
    pub version: u64,
    /// It is merged, and the catalog refused to show it.
    pub refused: bool,
}

/// Which partitions a run does not ask the catalog for, of those that nothing but notes leads to: it refused them before, and their next attempt
/// is not due.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// What is known of failing hours.
    pub hours: &'a BTreeMap<PartitionId, Record>,
    /// The time the run is made for, UTC.
    pub at: DateTime<Utc>,
    /// A person named the hours: all are tried.
    pub wanted: bool,
}

impl<'a> Refused<'a> {
    /// True if the partition is not to be tried now; `tried` says what would be.
    pub fn waits(&self, partition: &PartitionId, tried: &str) -> bool {
        self.hours.get(partition).is_some_and(|record| self.holds(record, tried))
    }

    /// All partitions that are not to be tried now for which `tried` would be.
    pub fn all(&self, tried: &str) -> impl Iterator<Item = &'a Record> {
        self.hours.values().filter(move |record| self.holds(record, tried))
    }

    fn holds(&self, record: &Record, tried: &str) -> bool {
        record.refused && !self.wanted && record.waits(self.at, tried)
    }
}

/// How long an hour has been failing, as people and programs are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// The time of the first run in which it failed, UTC.
    pub since: DateTime<Utc>,
    /// Attempts that failed.
    pub attempts: u32,
    /// Runs for an earlier time do not try it, unless something changed, UTC.
    pub next_attempt: DateTime<Utc>,
}

impl Standing {
    /// It for people: `failing since …, 3 attempts, the next one from … on`.
    pub fn to_text(&self) -> String {
        let Self { since, attempts, next_attempt } = self;
        let plural = if *attempts == 1 { "" } else { "s" };
        format!("failing since {}, {attempts} attempt{plural}, the next one from {} on", minute(*since), minute(*next_attempt))
    }
}

/// The stored form of a table's records.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    hours: Vec<Record>,
}

impl Record {
    /// What is known after an attempt that failed, from what was known before it.
    pub fn after(before: Option<&Self>, failed: Attempt) -> Self {
        let Attempt { partition, hour, at, kind, reason, tried, version, refused } = failed;
        let attempts = before.map_or(0, |before| before.attempts).saturating_add(1);
        Self {
            since: before.map_or(at, |before| before.since.min(at)),
            told: before.is_some_and(|before| before.told && before.kind == kind),
            next: at + pause(attempts),
            attempts,
            partition,
            hour,
            at,
            kind,
            reason,
            tried,
            version,
            refused,
        }
    }

    /// True if a run for the time `at` is not to try `tried` again. A run for a time before the last attempt cannot tell, and tries.
    pub fn waits(&self, at: DateTime<Utc>, tried: &str) -> bool {
        self.tried == tried && self.at <= at && at < self.next
    }

    /// How long it has been failing, and when it is tried again.
    pub fn standing(&self) -> Standing {
        Standing { since: self.since, attempts: self.attempts, next_attempt: self.next }
    }
}

/// From an attempt that failed to the next one. The run after the first failure tries again, whenever it comes: most causes are gone by
/// then, messages say "run again", and a call that Lambda makes again is for the same time.
fn pause(attempts: u32) -> TimeDelta {
    match attempts {
        0 | 1 => TimeDelta::zero(),
        more => PAUSE.checked_mul(1 << (more - 2).min(16)).unwrap_or(LONGEST).min(LONGEST),
    }
}

/// A time for people: `2026-11-19T20:05Z`.
pub fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// The bytes that records are stored as.
fn to_json(hours: &BTreeMap<PartitionId, Record>) -> Vec<u8> {
    let document = Document { format: FORMAT, hours: hours.values().cloned().collect() };
    serde_json::to_vec_pretty(&document).expect("records have text keys and no maps of other keys")
}

/// The newest record of each partition in these documents. What cannot be read is passed over.
fn newest(documents: impl IntoIterator<Item = bytes::Bytes>) -> BTreeMap<PartitionId, Record> {
    let documents = documents.into_iter().filter_map(|bytes| serde_json::from_slice::<Document>(&bytes).ok());
    let mut hours: BTreeMap<PartitionId, Record> = BTreeMap::new();
    for record in documents.filter(|document| document.format == FORMAT).flat_map(|document| document.hours) {
        let known = hours.get(&record.partition);
        if known.is_none_or(|known| (known.at, known.attempts, known.told) < (record.at, record.attempts, record.told)) {
            hours.insert(record.partition.clone(), record);
        }
    }
    hours
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// What is known after one attempt, in a run for 15:20.
    pub(crate) fn record(partition: PartitionId, hour: &str, version: u64) -> Record {
        let at = "2026-11-19T15:20:00Z".parse().unwrap();
        let (hour, kind) = (hour.parse().unwrap(), Kind::Unavailable);
        Record::after(None, Attempt { partition, hour, at, kind, reason: "no".into(), tried: "a".into(), version, refused: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        "2026-11-19T20:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(minutes)
    }

    fn attempt(minutes: i64, kind: Kind, tried: &str) -> Attempt {
        Attempt {
            partition: "day=1/hour=10".parse().unwrap(),
            hour: "2026-11-19T10".parse().unwrap(),
            at: at(minutes),
            kind,
            reason: "no".into(),
            tried: tried.into(),
            version: 0,
            refused: false,
        }
    }

    /// A record after attempts at these minutes.
    fn failed(minutes: &[i64]) -> Record {
        let attempts = minutes.iter().map(|&minutes| attempt(minutes, Kind::Unavailable, "a"));
        attempts.fold(None, |before: Option<Record>, failed| Some(Record::after(before.as_ref(), failed))).unwrap()
    }

    #[test]
    fn the_pause_doubles_from_minutes_to_hours() {
        let minutes: Vec<i64> = (1..=11).map(|attempts| pause(attempts).num_minutes()).collect();
        assert_eq!(minutes, [0, 5, 10, 20, 40, 80, 160, 320, 360, 360, 360]);
        assert_eq!(pause(u32::MAX), LONGEST);
    }

    #[test]
    fn an_hour_waits_until_it_is_due_or_something_changed() {
        let check = |minutes: &[i64], run: i64, tried: &str, waits: bool| {
            assert_eq!(failed(minutes).waits(at(run), tried), waits, "failed at {minutes:?}, a run at {run} with {tried}");
        };
        check(&[0], 0, "a", false);
        check(&[0], 1, "a", false);
        check(&[0, 1], 1, "a", true);
        check(&[0, 1], 5, "a", true);
        check(&[0, 1], 6, "a", false);
        check(&[0, 1], 1, "b", false);
        check(&[0, 1, 6], 15, "a", true);
        check(&[0, 1, 6], 16, "a", false);
        // A run for the past, after one for the future.
        check(&[0, 60_000], 10, "a", false);
    }

    #[test]
    fn what_the_catalog_refused_waits_unless_it_is_another_version_or_a_person_names_it() {
        let refused = Record { refused: true, ..failed(&[0, 1]) };
        let merging = Record { partition: "day=1/hour=11".parse().unwrap(), ..failed(&[0, 1]) };
        let hours: BTreeMap<_, _> = [refused, merging].map(|record| (record.partition.clone(), record)).into();
        let check = |hour: &str, minutes: i64, tried: &str, wanted: bool, waits: bool| {
            let refused = Refused { hours: &hours, at: at(minutes), wanted };
            let partition = format!("day=1/hour={hour}").parse().unwrap();
            assert_eq!(refused.waits(&partition, tried), waits, "{hour} at {minutes} with {tried}");
            assert_eq!(refused.all(tried).any(|record| record.partition == partition), waits);
        };
        check("10", 2, "a", false, true);
        check("10", 6, "a", false, false);
        check("10", 2, "b", false, false);
        check("10", 2, "a", true, false);
        check("11", 2, "a", false, false);
        check("12", 2, "a", false, false);
    }

    #[test]
    fn a_reason_is_told_once_until_it_is_one_of_another_kind() {
        let first = Record { told: true, ..failed(&[0]) };
        let same = Record::after(Some(&first), attempt(60, Kind::Unavailable, "b"));
        assert_eq!((same.told, same.attempts, same.since, same.at), (true, 2, at(0), at(60)));
        assert!(!Record::after(Some(&first), attempt(60, Kind::Config, "a")).told);
        assert!(!failed(&[0, 60]).told);
    }

    #[test]
    fn of_records_that_two_runs_left_the_newest_counts_and_what_is_no_record_does_not() {
        let document = |record: &Record| bytes::Bytes::from(to_json(&[(record.partition.clone(), record.clone())].into()));
        let (old, new) = (failed(&[0]), failed(&[0, 5]));
        let later = String::from_utf8(document(&new).to_vec()).unwrap().replacen("\"format\": 1", "\"format\": 2", 1);
        let documents = [document(&new), document(&old), "{".into(), bytes::Bytes::from(later)];
        assert_eq!(newest(documents).into_values().collect::<Vec<_>>(), [new]);
        assert!(newest([]).is_empty());
    }
}
