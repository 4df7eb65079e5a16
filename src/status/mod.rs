//! The state of a table's hours, worked out from what landed and what the ledgers say. No I/O.

mod text;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::error::Result;
use crate::failing::{Record, Standing};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::landing::arrival::object_instant;
use crate::landing::cadence::{self, Silence};
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion, Missing, RolledBack, Source};
use crate::merge::plan;

/// The state of one table.
#[derive(Debug, Serialize, PartialEq)]
pub struct TableStatus {
    /// The table.
    pub table: TableName,
    /// It is in the catalog.
    pub in_catalog: bool,
    /// The end of the newest hour that is complete, UTC: how fresh the table is.
    pub fresh_until: Option<DateTime<Utc>>,
    /// Seconds since then.
    pub fresh_for: Option<i64>,
    /// Rows in all live generations.
    pub rows: u64,
    /// Records in the quarantine.
    pub quarantined: u64,
    /// Bytes of retired generations, which wait for a sweep.
    pub retired_bytes: u64,
    /// Its hours, oldest first; tables with more partition keys have several lines an hour.
    pub hours: Vec<HourStatus>,
    /// Spans of hours between the first and the last one in which nothing landed, oldest first.
    pub gaps: Vec<Gap>,
    /// Spans between two objects that are longer than `expect_every`, by the times in their names; without that setting none.
    pub silences: Vec<Silence>,
    /// Partitions that the catalog has and no ledger knows, as paths: readers see them beside lakebed's.
    pub foreign: Vec<String>,
}

/// Hours in a row in which nothing landed.
#[derive(Debug, Clone, Copy, Serialize, PartialEq, Eq)]
pub struct Gap {
    /// The first of them, UTC.
    pub from: Hour,
    /// The last of them, UTC.
    pub to: Hour,
    /// How many they are.
    pub hours: i64,
}

/// The state of one partition.
#[derive(Debug, Serialize, PartialEq)]
pub struct HourStatus {
    /// The hour that the partition is of, UTC: the arrival hour, or where a column's time counts that of its rows.
    pub hour: Hour,
    /// The arrival hours of its objects.
    #[serde(skip)]
    pub arrivals: BTreeSet<Hour>,
    /// The partition, as a path.
    pub partition: String,
    /// The values that tell it from the hour's other partitions, as a path: `page=books`. Empty where there are none.
    #[serde(skip)]
    pub beside: String,
    /// `open`: still filling. `waiting`: closed, and the next run merges it. `closed`: merged. `amended(n)`: late objects came n times.
    /// `rolled back`: what a rollback took out is not there again.
    pub state: String,
    /// Landed objects that are in no version yet. Only those of the look-back are known, and those of hours of which something is in the queue.
    pub pending: u64,
    /// Objects in the partition.
    pub merged: u64,
    /// Objects that came after the first merge.
    pub late: u64,
    /// Objects that a rollback took out; no run takes them in again.
    pub held: u64,
    /// The rollback that stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// Seconds from the hour's end to when its last object came after that: by the time in its name, and of an object that came after the first
    /// merge by when it came into the landing. `None` if all came in time.
    pub late_by: Option<i64>,
    /// What became of the records.
    pub records: Counts,
    /// Every landed object that is known is wholly in the table.
    pub complete: bool,
    /// What is not, and why.
    pub missing: Vec<Missing>,
    /// Rows that redrives moved here and that are not in it yet, and those of them whose file is gone.
    #[serde(flatten)]
    pub moving: Moving,
    /// Merging what is pending failed, or the catalog refuses to show what is merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// Rows that redrives moved to a partition, and that it lacks.
#[derive(Debug, Clone, Copy, Default, Serialize, PartialEq, Eq)]
pub struct Moving {
    /// All of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub moving: u64,
    /// Those whose file is gone.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How long an hour has been failing, and why.
#[derive(Debug, Serialize, PartialEq)]
pub struct Failing {
    /// Since when, and when it is tried again.
    #[serde(flatten)]
    pub standing: Standing,
    /// Why the last attempt failed.
    pub reason: String,
}

/// Works the state out.
///
/// # Errors
/// `Config` if a landed object's path lacks a value that the partition needs.
pub fn status(
    config: &TableConfig,
    registered: Option<&[PartitionId]>,
    heads: &[LedgerVersion],
    landed: &[LandedObject],
    failing: &BTreeMap<PartitionId, Record>,
    moving: &BTreeMap<PartitionId, Moving>,
    at: DateTime<Utc>,
) -> Result<TableStatus> {
    let mut hours: BTreeMap<(Hour, PartitionId), HourStatus> = BTreeMap::new();
    for head in heads {
        let arrival = || head.sources.iter().map(|source| source.hour).min().unwrap_or_else(|| Hour::of(head.at));
        let hour = Some(config.scatters())
            .filter(|scatters| *scatters)
            .and_then(|_| plan::hour_at(config, &head.partition))
            .unwrap_or_else(arrival);
        let came = |source: &Source| source.came.filter(|_| source.late);
        let late_by = head.sources.iter().filter_map(|source| delay(config, &source.key, source.hour, came(source))).max();
        hours.insert((hour, head.partition.clone()), HourStatus { late_by, ..of_head(hour, head) });
    }
    let known: BTreeMap<_, _> = heads.iter().map(|head| (&head.partition, head)).collect();
    for object in landed {
        let partition = plan::partition_of(config, object)?;
        // Of an object that scatters others may lack their share.
        if !config.scatters() && known.get(&partition).is_some_and(|head| head.source(&object.key).or(head.held(&object.key)).is_some()) {
            continue;
        }
        let closed = object.hour.is_closed(at, config.close_after);
        let came = object.came.filter(|_| known.contains_key(&partition));
        let entry = hours.entry((object.hour, partition.clone())).or_insert_with(|| unmerged(object.hour, &partition, closed));
        entry.pending += 1;
        entry.arrivals.insert(object.hour);
        entry.late_by = entry.late_by.max(delay(config, &object.key, object.hour, came));
        entry.complete = false;
    }
    for record in failing.values() {
        // A record is advice. What was committed after it counts.
        if known.get(&record.partition).is_some_and(|head| head.version > record.version) {
            continue;
        }
        let place = match hours.keys().find(|(_, partition)| *partition == record.partition) {
            Some(known) => known.clone(),
            None => (record.hour, record.partition.clone()),
        };
        let entry = hours.entry(place).or_insert_with(|| unmerged(record.hour, &record.partition, true));
        entry.failing = Some(Failing { standing: record.standing(), reason: record.reason.clone() });
        entry.complete = false;
    }
    enter_moving(&mut hours, moving, |partition| plan::hour_at(config, partition).unwrap_or_else(|| Hour::of(at)));
    for ((_, partition), hour) in &mut hours {
        hour.beside = beside_hour(config, partition);
    }
    let hours: Vec<HourStatus> = hours.into_values().collect();
    let fresh_until = newest_complete(&hours).map(Hour::end);
    Ok(TableStatus {
        table: config.name.clone(),
        in_catalog: registered.is_some(),
        foreign: registered.into_iter().flatten().filter(|id| !known.contains_key(id)).map(ToString::to_string).collect(),
        fresh_until,
        fresh_for: fresh_until.map(|until| (at - until).num_seconds().max(0)),
        retired_bytes: heads.iter().flat_map(|head| &head.retired).flat_map(|retired| &retired.files).map(|file| file.bytes).sum(),
        rows: heads.iter().map(|head| head.counts.merged).sum(),
        quarantined: heads.iter().map(|head| head.counts.quarantined).sum(),
        gaps: gaps(&hours),
        silences: silences(config, heads, landed),
        hours,
    })
}

/// Enters rows that are on their way, also to partitions that are not there yet.
fn enter_moving(
    hours: &mut BTreeMap<(Hour, PartitionId), HourStatus>,
    moving: &BTreeMap<PartitionId, Moving>,
    hour_at: impl Fn(&PartitionId) -> Hour,
) {
    for (partition, moving) in moving {
        let known = hours.keys().find(|(_, known)| known == partition).cloned();
        let (hour, partition) = known.unwrap_or_else(|| (hour_at(partition), partition.clone()));
        let entry = hours.entry((hour, partition.clone())).or_insert_with(|| unmerged(hour, &partition, true));
        (entry.moving, entry.complete) = (*moving, false);
    }
}

/// The newest arrival hour of which every partition is complete.
fn newest_complete(hours: &[HourStatus]) -> Option<Hour> {
    let mut complete: BTreeMap<Hour, bool> = BTreeMap::new();
    for (hour, arrival) in hours.iter().flat_map(|hour| hour.arrivals.iter().map(move |arrival| (hour, *arrival))) {
        *complete.entry(arrival).or_insert(true) &= hour.complete && hour.merged > 0;
    }
    complete.into_iter().rev().find(|(_, complete)| *complete).map(|(hour, _)| hour)
}

/// How much later than its hour's end an object is, in seconds: by its name, and by when it came, if that counts.
fn delay(config: &TableConfig, key: &str, hour: Hour, came: Option<DateTime<Utc>>) -> Option<i64> {
    let late = (object_instant(key, config.timezone).max(came)? - hour.end()).num_seconds();
    (late > 0).then_some(late)
}

/// Spans in which nothing landed although Firehose should have, as far as names tell.
fn silences(config: &TableConfig, heads: &[LedgerVersion], landed: &[LandedObject]) -> Vec<Silence> {
    let Some(every) = config.expect_every else { return Vec::new() };
    let taken_in = heads.iter().flat_map(|head| head.sources.iter().chain(&head.held)).map(|source| source.key.as_str());
    let keys = taken_in.chain(landed.iter().map(|object| object.key.as_str()));
    cadence::silences(keys, config.timezone, every)
}

/// The entries of a partition that are of keys in the path, or of columns.
fn beside_hour(config: &TableConfig, partition: &PartitionId) -> String {
    let entries = partition.entries().iter().zip(&config.partition_by);
    let beside = entries.filter(|(_, (_, expression))| !expression.is_of_time());
    beside.map(|(entry, _)| format!("{}={}", entry.key, entry.value)).collect::<Vec<_>>().join("/")
}

/// The arrival hours of what a partition has, or would have but for a rollback.
fn arrivals(hour: Hour, head: &LedgerVersion) -> BTreeSet<Hour> {
    let all: BTreeSet<Hour> = head.sources.iter().chain(&head.held).map(|source| source.hour).collect();
    if all.is_empty() { BTreeSet::from([hour]) } else { all }
}

fn of_head(hour: Hour, head: &LedgerVersion) -> HourStatus {
    HourStatus {
        hour,
        arrivals: arrivals(hour, head),
        partition: head.partition.to_string(),
        beside: String::new(),
        state: head.state(),
        pending: 0,
        merged: head.sources.len() as u64,
        late: head.sources.iter().filter(|source| source.late).count() as u64,
        held: head.held.len() as u64,
        rolled_back: head.rolled_back.clone(),
        late_by: None,
        records: head.counts,
        complete: head.complete(),
        missing: head.missing.clone(),
        moving: Moving::default(),
        failing: None,
    }
}

fn unmerged(hour: Hour, partition: &PartitionId, closed: bool) -> HourStatus {
    let state = if closed { "waiting" } else { "open" };
    HourStatus {
        hour,
        arrivals: BTreeSet::new(),
        partition: partition.to_string(),
        beside: String::new(),
        state: state.to_string(),
        pending: 0,
        merged: 0,
        late: 0,
        held: 0,
        rolled_back: None,
        late_by: None,
        records: Counts::default(),
        complete: false,
        missing: Vec::new(),
        moving: Moving::default(),
        failing: None,
    }
}

fn gaps(hours: &[HourStatus]) -> Vec<Gap> {
    let there: BTreeSet<Hour> = hours.iter().flat_map(|hour| hour.arrivals.iter().copied()).collect();
    let pairs = there.iter().zip(there.iter().skip(1));
    let gap = |(before, after): (&Hour, &Hour)| {
        let hours = (after.start() - before.end()).num_hours();
        (hours > 0).then(|| Gap { from: before.next(), to: Hour::of(after.start() - TimeDelta::hours(1)), hours })
    };
    pairs.filter_map(gap).collect()
}

impl LedgerVersion {
    /// `closed` after the first merge, `amended(n)` after n more; `rolled back` while what a rollback took out is not there again.
    pub fn state(&self) -> String {
        match self.amended {
            _ if !self.held.is_empty() || self.rolled_back.is_some() => "rolled back".to_string(),
            0 => "closed".to_string(),
            amended => format!("amended({amended})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::{landed, table};
    use crate::ledger::testing::{source, version};

    const AT: &str = "2026-11-19T16:10:00Z";

    fn of(heads: &[LedgerVersion], landed: &[LandedObject]) -> TableStatus {
        status(&table(""), Some(&[]), heads, landed, &BTreeMap::new(), &BTreeMap::new(), AT.parse().unwrap()).unwrap()
    }

    /// One line an hour: hour, state, merged, late, pending, complete.
    fn check(heads: &[LedgerVersion], landed: &[LandedObject], expected: &[&str]) {
        let lines = of(heads, landed)
            .hours
            .into_iter()
            .map(|h| format!("{} {} merged {} late {} pending {} {}", h.hour, h.state, h.merged, h.late, h.pending, h.complete));
        assert_eq!(lines.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn hours_are_open_waiting_closed_or_amended() {
        let late = crate::ledger::Source { late: true, ..source("13", "b") };
        let heads = [version("12", 1, vec![source("12", "a")]), version("13", 3, vec![source("13", "a"), late])];
        let landed = [landed("12", "a"), landed("13", "c"), landed("14", "a"), landed("14", "b"), landed("15", "a"), landed("16", "a")];
        check(
            &heads,
            &landed,
            &[
                "2026-11-19T12 closed merged 1 late 0 pending 0 true",
                "2026-11-19T13 amended(2) merged 2 late 1 pending 1 false",
                "2026-11-19T14 waiting merged 0 late 0 pending 2 false",
                "2026-11-19T15 open merged 0 late 0 pending 1 false",
                "2026-11-19T16 open merged 0 late 0 pending 1 false",
            ],
        );
        check(&[], &[], &[]);
    }

    #[test]
    fn an_hour_with_a_missing_object_is_not_complete() {
        let mut head = version("14", 1, vec![source("14", "a")]);
        head.missing.push(Missing { key: "14/b".into(), reason: "gzip: cut off".into() });
        check(std::slice::from_ref(&head), &[], &["2026-11-19T14 closed merged 1 late 0 pending 0 false"]);
        let text = of(&[head], &[]).to_text();
        assert!(text.contains("\n  14/b: gzip: cut off\n"), "{text}");
    }

    #[test]
    fn a_failing_hour_says_since_when_and_why_unless_something_was_committed_after_it() {
        let record = |hour: &str, version: u64| {
            let id = crate::ledger::testing::partition(hour);
            let record = crate::failing::testing::record(id.clone(), &format!("2026-11-19T{hour}"), version);
            (id, record)
        };
        let heads = [version("12", 2, vec![source("12", "a")]), version("13", 2, vec![source("13", "a")])];
        let failing = [record("12", 2), record("13", 1), record("14", 0)].into();
        let status = status(&table(""), Some(&[]), &heads, &[landed("14", "a")], &failing, &BTreeMap::new(), AT.parse().unwrap()).unwrap();
        let told: Vec<_> = status.hours.iter().map(|hour| (hour.state.as_str(), hour.failing.is_some(), hour.complete)).collect();
        assert_eq!(told, [("amended(1)", true, false), ("amended(1)", false, true), ("waiting", true, false)]);
        let line = "\n  failing since 2026-11-19T15:20Z, 1 attempt, the next one from 2026-11-19T15:20Z on: no\n";
        assert_eq!(status.to_text().matches(line).count(), 2, "{}", status.to_text());
    }

    #[test]
    fn freshness_rows_and_gaps_are_those_of_all_hours() {
        let mut second = version("14", 1, vec![source("14", "a"), source("14", "b")]);
        second.counts.quarantined = 3;
        let status = of(&[version("11", 1, vec![source("11", "a")]), second], &[landed("15", "a")]);
        assert_eq!((status.rows, status.quarantined), (30, 3));
        assert_eq!(status.fresh_until, Some("2026-11-19T15:00:00Z".parse().unwrap()));
        assert_eq!(status.fresh_for, Some(70 * 60));
        let told = |gap: &Gap| format!("{} to {}, {}", gap.from, gap.to, gap.hours);
        assert_eq!(status.gaps.iter().map(told).collect::<Vec<_>>(), ["2026-11-19T12 to 2026-11-19T13, 2"]);
        let text = status.to_text();
        assert!(
            text.starts_with(
                "shop.clicks: fresh until 2026-11-19T15:00Z (the newest complete hour ended 1 h 10 min ago), 30 rows, 3 quarantined\nhour "
            ),
            "{text}"
        );
        assert!(text.ends_with("nothing landed in 2 hours: 2026-11-19T12 to 2026-11-19T13\n"), "{text}");
    }

    #[test]
    fn an_hour_that_is_not_complete_is_not_fresh_and_what_is_held_does_not_wait() {
        let mut second = version("14", 3, vec![source("14", "a")]);
        second.held = vec![source("14", "b")];
        second.retired = vec![crate::ledger::Retired {
            location: "file:///lake/g/".into(),
            files: second.generation.files.clone(),
            at: AT.parse().unwrap(),
        }];
        let status = of(&[version("12", 1, vec![source("12", "a")]), second], &[landed("14", "a"), landed("14", "b"), landed("14", "c")]);
        assert_eq!((status.fresh_for, status.retired_bytes), (Some(3 * 3600 + 600), 1000));
        assert_eq!(status.fresh_until, Some("2026-11-19T13:00:00Z".parse().unwrap()));
        let hour = &status.hours[1];
        assert_eq!((hour.state.as_str(), hour.held, hour.pending, hour.complete), ("rolled back", 1, 1, false));
        let text = status.to_text();
        for words in ["ended 3 h 10 min ago", "  objects that a rollback took out: 1\n", "\n1000 bytes of retired generations wait"] {
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn an_hour_that_lacks_what_a_rollback_took_out_is_not_complete_though_nothing_waits() {
        let rolled_back = LedgerVersion { held: vec![source("14", "b")], ..version("14", 3, vec![source("14", "a")]) };
        let both = [landed("14", "a"), landed("14", "b")];
        check(std::slice::from_ref(&rolled_back), &both, &["2026-11-19T14 rolled back merged 1 late 0 pending 0 false"]);
        let status = of(&[rolled_back], &both);
        assert_eq!((status.fresh_until, status.fresh_for), (None, None));
        assert!(status.to_text().starts_with("shop.clicks: no hour is complete, 10 rows"), "{}", status.to_text());
    }

    #[test]
    fn what_came_after_the_first_merge_is_late_by_when_it_came() {
        let came = |time: &str| Some(format!("2026-11-19T{time}:00Z").parse().unwrap());
        let on_time = Source { came: came("15:40"), ..source("14", "a") };
        let late = Source { late: true, came: came("15:30"), ..source("14", "b") };
        let pending = |time| LandedObject { came: came(time), ..landed("14", "c") };
        let head = |sources| [version("14", 1, sources)];
        let by = |heads: &[LedgerVersion], landed: &[LandedObject]| of(heads, landed).hours[0].late_by;
        assert_eq!(by(&head(vec![on_time.clone()]), &[]), None, "a copy of what was merged at once was not late");
        assert_eq!(by(&head(vec![on_time, late.clone()]), &[]), Some(1800));
        assert_eq!(by(&head(vec![late]), &[pending("16:00")]), Some(3600));
        assert_eq!(by(&[], &[pending("16:00")]), None, "nothing was merged before it came");
        let early = Source { late: true, came: came("14:50"), ..source("14", "a") };
        assert_eq!(by(&head(vec![early]), &[]), None);
    }

    #[test]
    fn spans_in_which_nothing_landed_are_told_if_objects_are_expected_more_often() {
        let name = |time: &str| format!("clicks-1-2026-11-19-{time}-00-a9fa96af-e4e4-409f-bac3-1f804714faaa");
        let heads = [version("14", 1, vec![source("14", &name("14-00")), source("14", &name("14-30"))])];
        let waiting = [landed("15", &name("15-00"))];
        let with = |settings: &str| {
            status(&table(settings), Some(&[]), &heads, &waiting, &BTreeMap::new(), &BTreeMap::new(), AT.parse().unwrap()).unwrap()
        };
        assert_eq!(with("").silences, []);
        let status = with("expect_every = \"29m\"");
        assert_eq!(status.silences.len(), 2, "also between what is merged and what is not");
        let line =
            "nothing landed for longer than `expect_every` 2 times: 2026-11-19T14:00:00Z to 14:30:00Z, 2026-11-19T14:30:00Z to 15:00:00Z\n";
        assert!(status.to_text().ends_with(line), "{}", status.to_text());
    }

    #[test]
    fn lateness_is_also_what_names_tell() {
        let name = "clicks-1-2026-11-19-17-30-00-a9fa96af-e4e4-409f-bac3-1f804714faaa";
        let status = of(&[version("14", 1, vec![source("14", "a"), source("14", name)])], &[landed("15", "a")]);
        assert_eq!(status.hours.iter().map(|hour| hour.late_by).collect::<Vec<_>>(), [Some(9000), None]);
        assert!(status.to_text().contains("\n  the last object came 2 h 30 min after its end\n"));
    }

    #[test]
    fn a_table_without_anything_says_so() {
        let status = status(&table(""), None, &[], &[], &BTreeMap::new(), &BTreeMap::new(), AT.parse().unwrap()).unwrap();
        let text = "shop.clicks: nothing merged yet, 0 rows, 0 quarantined; not in the catalog yet, the first run creates it\n";
        assert_eq!((status.to_text().as_str(), status.gaps.len()), (text, 0));
    }
}
