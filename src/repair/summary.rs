//! What a repair did, as a value: the JSON document of `repair --output json`, and the lines that people read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::compare::Difference;
use super::plan::{Taken, Why};
use crate::catalog::TableName;
use crate::layout::{self, PartitionId};
use crate::ledger::{Counts, LedgerVersion, Missing, Source};
use crate::merge::append::plan::LiveFile;
use crate::summary::{Planned, told};
use crate::words::counted;

/// Sources whose differences are lines of text; the document has all of them.
const NAMED: usize = 20;

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Done {
    /// A new version is committed.
    #[serde(rename = "repaired")]
    Repaired,
    /// What came out is what is live; nothing was committed.
    #[serde(rename = "nothing to repair")]
    Nothing,
    /// Nothing was done, only planned.
    #[serde(rename = "would repair")]
    WouldRepair,
}

/// A whole repair.
#[derive(Debug, Serialize)]
pub struct RepairSummary {
    /// ULID of the repair, as ledger versions carry it.
    pub run: String,
    /// The table.
    pub table: TableName,
    /// Keys and values of the partition, in path order.
    pub values: Map<String, Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// What was done.
    pub action: Done,
    /// The live rows were written once more, and nothing that landed was read.
    pub from_merged: bool,
    /// The live generation.
    pub generation: String,
    /// The newest ledger version.
    pub ledger_version: u64,
    /// Files of the live generation.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What was read, or would be.
    pub objects: Objects,
    /// What became of the records before, and after; nothing is known of after in a dry run.
    pub records: Change<Counts>,
    /// Rows that only one of the two has.
    pub rows: Option<Rows>,
    /// The same of the quarantine; none where it is not made anew.
    pub quarantine: Option<Rows>,
    /// Objects that are not as they were: with another content, new, or counted otherwise.
    pub sources: Vec<SourceChange>,
    /// Of a dry run: what would be done with each file, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Planned>,
    /// Where rows have other places than before: the other partitions that are made anew with this one, because they go there or come from
    /// there.
    pub others: Vec<Other>,
    /// Objects that are not in the partition, or not wholly.
    pub missing: Vec<Missing>,
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
    /// What failed after the commit; the next run makes it good.
    pub failures: Vec<String>,
}

/// Another partition that is made anew.
#[derive(Debug, Serialize)]
pub struct Other {
    /// Keys and values, in path order.
    pub values: Map<String, Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// The newest ledger version; none if there is none yet.
    pub ledger_version: Option<u64>,
    /// What became of its records before, and after; nothing is known of after in a dry run.
    pub records: Change<Counts>,
}

/// Landed objects by why they are read.
#[derive(Debug, Default, Serialize)]
pub struct Objects {
    /// In the partition, with this content.
    pub unchanged: u64,
    /// In the partition, with another content.
    pub changed: u64,
    /// Taken out by a rollback.
    pub held: u64,
    /// Not in the partition yet.
    pub new: u64,
}

/// Something before the repair and after it.
#[derive(Debug, Serialize)]
pub struct Change<T> {
    /// Before; none of what was not there.
    pub before: Option<T>,
    /// After; none in a dry run.
    pub after: Option<T>,
}

/// Rows that only one of two generations has; the same row may be there many times.
#[derive(Debug, Serialize)]
pub struct Rows {
    /// Only the one before.
    pub only_before: u64,
    /// Only the one after.
    pub only_after: u64,
}

/// An object that is not as it was.
#[derive(Debug, Serialize)]
pub struct SourceChange {
    /// Its key, relative to the landing.
    pub key: String,
    /// Why it was read.
    pub why: Why,
    /// What became of its records.
    pub records: Change<Counts>,
}

impl RepairSummary {
    /// What would be done to the partition of `head`, or, before it is done, what is the same either way.
    pub fn planned(run: String, head: &LedgerVersion, taken: &[Taken], from_merged: bool) -> Self {
        let count = |why: Why| taken.iter().filter(|taken| taken.why == why).count() as u64;
        let [unchanged, changed, held, new] = [Why::Unchanged, Why::Changed, Why::Held, Why::New].map(count);
        Self {
            run,
            table: head.table.clone(),
            values: head.partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect(),
            partition: head.partition.to_string(),
            action: Done::WouldRepair,
            from_merged,
            generation: head.generation.id.to_string(),
            ledger_version: head.version,
            files: head.generation.files.len(),
            bytes: head.generation.bytes(),
            objects: Objects { unchanged, changed, held, new },
            records: Change { before: Some(head.counts), after: None },
            rows: None,
            quarantine: None,
            sources: taken.iter().filter(|taken| taken.why != Why::Unchanged).map(|taken| source_change(taken, head, None)).collect(),
            plan: None,
            others: Vec::new(),
            missing: head.missing.clone(),
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Enters what would be done with each landed object and each live file. What a rollback took out and did not land any more stays out.
    pub fn looked_at(&mut self, head: &LedgerVersion, taken: &[Taken], files: Vec<LiveFile>) {
        let mut planned = Planned::default();
        for Taken { object, why } in taken {
            planned.object_as(&object.key, object.hour, Some(&head.partition), ("taken", why.as_str()));
        }
        // Of rows that a redrive moved the object is read that they are of.
        let landed = |key: &str| layout::parse_redriven_key(key).unwrap_or(key).to_string();
        let is_read = |held: &&Source| self.from_merged || taken.iter().any(|taken| taken.object.key == landed(&held.key));
        for Source { key, hour, .. } in head.held.iter().filter(|held| !is_read(held)) {
            planned.object_as(&landed(key), *hour, Some(&head.partition), ("left", "held, and not in the landing any more"));
        }
        planned.files(&head.partition, files, &[]);
        self.plan = Some(planned.in_order());
    }

    /// Enters all partitions that are made anew; `heads` are the newest versions before.
    pub fn moving(&mut self, partitions: &BTreeSet<PartitionId>, heads: &BTreeMap<PartitionId, LedgerVersion>) {
        for partition in partitions.iter().filter(|partition| partition.to_string() != self.partition) {
            let head = heads.get(partition);
            self.others.push(Other {
                values: partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect(),
                partition: partition.to_string(),
                ledger_version: head.map(|head| head.version),
                records: Change { before: head.map(|head| head.counts), after: None },
            });
        }
    }

    /// Enters the versions that are committed.
    pub fn moved(&mut self, versions: &[LedgerVersion]) {
        for other in &mut self.others {
            if let Some(version) = versions.iter().find(|version| version.partition.to_string() == other.partition) {
                other.ledger_version = Some(version.version);
                other.records.after = Some(version.counts);
            }
        }
    }

    /// Enters how the quarantine differs.
    pub fn in_quarantine(&mut self, rows: Difference) {
        self.quarantine = (!self.from_merged).then_some(Rows { only_before: rows.only_before, only_after: rows.only_after });
    }

    /// Enters what came out: `after` is committed, or as good as `head`.
    pub fn done(self, action: Done, head: &LedgerVersion, after: &LedgerVersion, taken: &[Taken], rows: Difference) -> Self {
        let live = if action == Done::Repaired { after } else { head };
        let changes = taken.iter().map(|taken| source_change(taken, head, Some(after)));
        let same = |change: &SourceChange| change.why == Why::Unchanged && change.records.before == change.records.after;
        Self {
            action,
            generation: live.generation.id.to_string(),
            ledger_version: live.version,
            files: live.generation.files.len(),
            bytes: live.generation.bytes(),
            records: Change { before: Some(head.counts), after: Some(after.counts) },
            rows: Some(Rows { only_before: rows.only_before, only_after: rows.only_after }),
            sources: changes.filter(|change| !same(change)).collect(),
            missing: after.missing.clone(),
            ..self
        }
    }

    /// The exit code: 0 done, 3 done and something is missing or failed.
    pub fn exit_code(&self) -> u8 {
        if self.failure_lines().next().is_none() { 0 } else { 3 }
    }

    /// What failed, a line each; of a dry run nothing.
    pub fn failure_lines(&self) -> impl Iterator<Item = String> + '_ {
        let missing = self.missing.iter().filter(|_| self.action != Done::WouldRepair);
        let missing = missing.map(|missing| format!("object {} is not wholly in the table: {}", missing.key, missing.reason));
        missing.chain(self.failures.iter().cloned()).map(|line| format!("{} {}: {line}", self.table, self.partition))
    }

    /// The summary for people.
    pub fn to_text(&self) -> String {
        let mut lines = vec![self.headline()];
        if self.action == Done::Repaired {
            lines.push(self.comparison());
        }
        if self.action != Done::Nothing {
            lines.extend(self.sources.iter().take(NAMED).map(SourceChange::line));
            lines.extend(
                (self.sources.len() > NAMED).then(|| format!("and {}", counted((self.sources.len() - NAMED) as u64, "other object"))),
            );
        }
        lines.extend(self.plan.iter().flat_map(|plan| plan.file_lines(&self.partition).into_iter().chain(plan.left_lines())));
        lines.extend(self.others.iter().map(Other::line));
        lines.extend(self.warnings.iter().cloned());
        lines.iter().map(|line| format!("{}: {line}\n", self.table)).collect()
    }

    fn headline(&self) -> String {
        let Self { partition, objects: Objects { unchanged, changed, held, new }, .. } = self;
        let rows = |counts: Option<Counts>| counted(counts.map_or(0, |counts| counts.merged), "row");
        match self.action {
            Done::Nothing => format!("nothing to repair in {partition}: what came out is what is there, {}", rows(self.records.before)),
            Done::Repaired => {
                format!(
                    "repaired {partition}: {} in {}, {} bytes",
                    rows(self.records.after),
                    counted(self.files as u64, "file"),
                    self.bytes
                )
            }
            Done::WouldRepair if self.from_merged => format!("would write the live {} of {partition} once more", rows(self.records.before)),
            Done::WouldRepair => format!(
                "would rebuild {partition} from {}: {unchanged} as they were merged, {changed} changed since, {held} taken \
                 out by a rollback, {new} new",
                counted(unchanged + changed + held + new, "landed object")
            ),
        }
    }

    fn comparison(&self) -> String {
        let Some(Rows { only_before, only_after }) = self.rows else { return String::new() };
        let counts = |counts: Option<Counts>| counts.map_or_else(|| "nothing".to_string(), told);
        format!(
            "before, {}; after, {}; {} gone, {} new",
            counts(self.records.before),
            counts(self.records.after),
            counted(only_before, "row"),
            counted(only_after, "row")
        ) + &self.of_quarantine()
    }

    /// What a repair forgets is told, where that is all that differs.
    fn of_quarantine(&self) -> String {
        match &self.quarantine {
            Some(Rows { only_before, only_after }) if only_before + only_after > 0 => {
                let gone = counted(*only_before, "record");
                format!("; of the quarantine, which does not keep `attempts` and `resolved`, {gone} gone, {only_after} new")
            }
            _ => String::new(),
        }
    }
}

impl Other {
    fn line(&self) -> String {
        let Self { partition, records: Change { before, after }, .. } = self;
        let counts = |counts: Option<Counts>| counts.map_or_else(|| "nothing".to_string(), told);
        match after {
            None => format!("and {partition}, as rows of its objects have other places today: now, {}", counts(*before)),
            Some(_) => format!("and {partition}, as rows had other places: before, {}; after, {}", counts(*before), counts(*after)),
        }
    }
}

impl SourceChange {
    fn line(&self) -> String {
        let Self { key, why, records } = self;
        let why = match why {
            Why::Unchanged => "",
            Why::Changed => ", changed since it was merged",
            Why::Held => ", taken out by a rollback before",
            Why::New => ", new",
        };
        match (records.before, records.after) {
            (_, None) => format!("object {key}{why}"),
            (None, Some(after)) => format!("object {key}{why}: {}", told(after)),
            (Some(before), Some(after)) => format!("object {key}{why}: before, {}; after, {}", told(before), told(after)),
        }
    }
}

fn source_change(taken: &Taken, head: &LedgerVersion, after: Option<&LedgerVersion>) -> SourceChange {
    let key = taken.object.key.clone();
    let before = head.source(&key).map(|source| source.counts);
    let after = after.and_then(|after| after.source(&key)).map(|source| source.counts);
    SourceChange { records: Change { before, after }, why: taken.why, key }
}
