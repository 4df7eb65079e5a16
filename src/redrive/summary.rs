//! What a redrive did, as a value: the JSON document of `redrive --output json`, and the lines that people read.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Request;
use super::plan::{Decision, Tries};
use crate::catalog::TableName;
use crate::error::{Error, Kind};
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion, Missing};
use crate::summary::{counted, told};

/// What was done to a partition, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Done {
    /// A new version is committed.
    #[serde(rename = "redriven")]
    Redriven,
    /// Nothing changed, and nothing was committed.
    #[serde(rename = "nothing to redrive")]
    Nothing,
    /// Nothing was done, only tried.
    #[serde(rename = "would redrive")]
    WouldRedrive,
}

/// A whole redrive.
#[derive(Debug, Serialize)]
pub struct RedriveSummary {
    /// ULID of the redrive, as ledger versions carry it.
    pub run: String,
    /// The table.
    pub table: TableName,
    /// Nothing was done, only tried.
    pub dry_run: bool,
    /// Only records with this reason.
    pub reason: Option<&'static str>,
    /// Partitions that have quarantined records of those asked for, or had.
    pub partitions: Vec<PartitionDone>,
    /// All of them.
    pub total: Tries,
    /// Firehose's error objects that no ledger had.
    pub errors: Vec<ErrorObject>,
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
    /// What failed.
    pub failures: Vec<Failure>,
}

/// What became of one partition.
#[derive(Debug, Serialize)]
pub struct PartitionDone {
    /// Keys and values, in path order.
    pub values: Map<String, Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// What was done.
    pub action: Done,
    /// The live generation.
    pub generation: String,
    /// The newest ledger version.
    pub ledger_version: u64,
    /// The records, by the reason that they had before.
    pub reasons: Vec<ReasonDone>,
    /// What became of all records of the partition, before the redrive and after it.
    pub records: Change,
    /// Objects that are not in the partition, or not wholly.
    pub missing: Vec<Missing>,
    /// Values of the new rows that break a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
}

/// What became of the records with one reason.
#[derive(Debug, Serialize)]
pub struct ReasonDone {
    /// The reason, as a code.
    pub reason: String,
    /// How many, and what became of them.
    #[serde(flatten)]
    pub tries: Tries,
}

/// Counts before and after.
#[derive(Debug, Serialize)]
pub struct Change {
    /// Before.
    pub before: Counts,
    /// After; none in a dry run.
    pub after: Option<Counts>,
}

/// One of Firehose's error objects, and what became of those of its records that belong to one partition.
#[derive(Debug, Serialize)]
pub struct ErrorObject {
    /// Keys and values of the partition, in path order.
    pub values: Map<String, Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// Its key, relative to the landing.
    pub object: String,
    /// What was done.
    pub action: Taken,
    /// What became of the records.
    pub records: Counts,
}

/// What was done to an error object, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Taken {
    /// It is one of the partition's objects now.
    #[serde(rename = "taken in")]
    In,
    /// Nothing was done, only tried.
    #[serde(rename = "would take in")]
    WouldTakeIn,
}

impl ErrorObject {
    /// What became of the records of `object` that belong to `partition`.
    pub fn new(partition: &PartitionId, object: &LandedObject, action: Taken, records: Counts) -> Self {
        let values = partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect();
        Self { values, partition: partition.to_string(), object: object.key.clone(), action, records }
    }

    fn line(&self) -> String {
        let Self { partition, object, action, records, .. } = self;
        let took = if *action == Taken::In { "took" } else { "would take" };
        format!("{took} error object {object} into {partition}: {}", told(*records))
    }
}

/// Something that failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The partition as a path, if it is about one.
    pub partition: Option<String>,
    /// What happened and what to do.
    pub error: String,
    #[serde(skip)]
    kind: Kind,
}

impl PartitionDone {
    /// What would be done, or that nothing is to be done.
    pub fn planned(head: &LedgerVersion, decision: Decision, dry_run: bool) -> Self {
        let action = if dry_run && decision.changes() { Done::WouldRedrive } else { Done::Nothing };
        let reasons = decision.reasons.into_iter().map(|(reason, tries)| ReasonDone { reason, tries }).collect();
        Self {
            values: head.partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect(),
            partition: head.partition.to_string(),
            action,
            generation: head.generation.id.to_string(),
            ledger_version: head.version,
            reasons,
            records: Change { before: head.counts, after: (!dry_run).then_some(head.counts) },
            missing: head.missing.clone(),
            warned: 0,
        }
    }

    /// What was done: `version` is committed behind `head`.
    pub fn done(head: &LedgerVersion, version: &LedgerVersion, decision: Decision, warned: u64) -> Self {
        let records = Change { before: head.counts, after: Some(version.counts) };
        Self { action: Done::Redriven, records, warned, ..Self::planned(version, decision, false) }
    }

    fn total(&self) -> Tries {
        self.reasons.iter().map(|done| done.tries).sum()
    }

    /// The headline, and a line for each reason.
    fn lines(&self) -> Vec<String> {
        let Self { partition, action, warned, .. } = self;
        let tries = self.total();
        let mut lines = vec![match (action, self.records.after) {
            (Done::Redriven, Some(after)) => {
                let duplicates = after.duplicates - self.records.before.duplicates;
                let merged = counted(after.merged - self.records.before.merged, "record");
                format!(
                    "redrove {partition}: {merged} moved into the table, {duplicates} repeat an event that is there, {} still in quarantine",
                    after.quarantined
                )
            }
            (Done::WouldRedrive, _) => {
                format!("would redrive {partition}: {} of {} fit today", tries.passes, counted(tries.records, "quarantined record"))
            }
            _ => format!(
                "nothing to redrive in {partition}: none of {} fits that did not before",
                counted(tries.records, "quarantined record")
            ),
        }];
        lines.extend(self.reasons.iter().map(ReasonDone::line));
        if *warned > 0 {
            lines.push(format!(
                "{partition}: {} a rule whose on_fail is warn or null",
                if *warned == 1 { "1 value breaks".to_string() } else { format!("{warned} values break") }
            ));
        }
        lines
    }
}

impl ReasonDone {
    fn line(&self) -> String {
        let Tries { records, passes, fails, not_kept, left, resolved } = self.tries;
        let others = [(not_kept, "not kept as they landed"), (left, "no columns and rules make a row of"), (resolved, "resolved before")];
        let told: BTreeMap<_, _> = others.into_iter().enumerate().filter(|(_, (count, _))| *count > 0).collect();
        let told: String = told.values().map(|(count, what)| format!(", {count} {what}")).collect();
        format!("  {}: {}, {passes} fit, {fails} do not{told}", self.reason, counted(records, "record"))
    }
}

impl RedriveSummary {
    /// The summary of a redrive that is about to begin.
    pub fn new(run: String, table: &TableName, request: &Request) -> Self {
        Self {
            run,
            table: table.clone(),
            dry_run: request.dry_run,
            reason: request.reason.map(|code| code.as_str()),
            partitions: Vec::new(),
            total: Tries::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Enters a partition; one that has no record of those asked for is left out.
    pub fn enter(&mut self, done: PartitionDone) {
        if done.reasons.is_empty() {
            return;
        }
        self.total = [self.total, done.total()].into_iter().sum();
        self.partitions.push(done);
    }

    /// Enters a failure.
    pub fn fail(&mut self, partition: Option<&PartitionId>, error: &Error) {
        let partition = partition.map(ToString::to_string);
        self.failures.push(Failure { partition, error: error.to_string(), kind: error.kind() });
    }

    /// The exit code: 0 done, 3 some partitions are done and some failed, 2 wrong configuration, 1 all failed otherwise.
    pub fn exit_code(&self) -> u8 {
        match self.failures.iter().map(|failure| failure.kind).collect::<Vec<_>>().as_slice() {
            [] => 0,
            _ if !self.partitions.is_empty() || !self.errors.is_empty() => 3,
            kinds if kinds.iter().all(|kind| *kind == Kind::Config) => 2,
            _ => 1,
        }
    }

    /// What failed, a line each.
    pub fn failure_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.failures.iter().map(|failure| match &failure.partition {
            Some(partition) => format!("{} {partition}: {}", self.table, failure.error),
            None => format!("{}: {}", self.table, failure.error),
        })
    }

    /// The summary for people.
    pub fn to_text(&self) -> String {
        let mut lines: Vec<String> = self.errors.iter().map(ErrorObject::line).collect();
        lines.extend(self.partitions.iter().flat_map(PartitionDone::lines));
        if lines.is_empty() && self.failures.is_empty() {
            let reason = self.reason.map_or_else(String::new, |reason| format!(" as {reason}"));
            lines.push(format!("nothing to redrive: no record is in quarantine{reason}"));
        }
        if self.total.not_kept > 0 {
            lines.push(format!(
                "the bytes of {} are not kept, or with private values replaced: `lakebed repair {} HOUR` reads what landed",
                counted(self.total.not_kept, "record"),
                self.table
            ));
        }
        if self.total.left > 0 {
            lines.push(format!(
                "{} not JSON objects of their own, or of damaged objects: land such objects once more, then `lakebed run`, or `lakebed repair` \
                 where they are in the table already",
                if self.total.left == 1 { "1 record is".to_string() } else { format!("{} records are", self.total.left) }
            ));
        }
        lines.extend(self.warnings.iter().cloned());
        lines.iter().map(|line| format!("{}: {line}\n", self.table)).collect()
    }
}
