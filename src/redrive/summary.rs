//! What a redrive did, as a value: the JSON document of `redrive --output json`, and the lines that people read.

use serde::Serialize;
use serde_json::{Map, Value};

use super::Request;
use super::plan::{Decision, Rows, Tries};
use crate::catalog::TableName;
use crate::error::{Error, Kind};
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion, Missing};
use crate::summary::told;
use crate::words::counted;

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
    /// Only records of this place.
    #[serde(skip)]
    place: Option<String>,
    /// Rows belong elsewhere than where they arrive.
    #[serde(skip)]
    scatters: bool,
    /// Partitions that have quarantined records of those asked for, or had.
    pub partitions: Vec<PartitionDone>,
    /// All of them.
    pub total: Tries,
    /// Firehose's error objects that no ledger had.
    pub errors: Vec<ErrorObject>,
    /// Partitions that got rows of records that were in the quarantine of another one.
    pub moved: Vec<MovedInto>,
    /// Of a dry run: rows by the partitions that would get them from others.
    #[serde(serialize_with = "by_partition")]
    pub would_move: Rows,
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
    /// Of a dry run: rows that would go to other partitions.
    #[serde(skip)]
    pub would_move: Rows,
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

/// A partition that got rows of records that were in the quarantine of another one.
#[derive(Debug, Serialize)]
pub struct MovedInto {
    /// Keys and values, in path order.
    pub values: Map<String, Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// The live generation.
    pub generation: String,
    /// The newest ledger version.
    pub ledger_version: u64,
    /// What became of the records.
    pub records: Counts,
}

impl MovedInto {
    /// What `version` has of the objects that it was made for.
    pub fn new(version: &LedgerVersion, objects: &[LandedObject]) -> Self {
        Self {
            values: values(&version.partition),
            partition: version.partition.to_string(),
            generation: version.generation.id.to_string(),
            ledger_version: version.version,
            records: objects.iter().filter_map(|object| version.source(&object.key)).map(|source| source.counts).sum(),
        }
    }

    fn line(&self) -> String {
        let Self { partition, records, .. } = self;
        format!("moved into {partition}, where they belong: {}", told(*records))
    }
}

fn by_partition<S: serde::Serializer>(rows: &Rows, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(|(partition, rows)| serde_json::json!({"values": values(partition), "rows": rows})))
}

fn values(partition: &PartitionId) -> Map<String, Value> {
    partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect()
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
        Self { values: values(partition), partition: partition.to_string(), object: object.key.clone(), action, records }
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
            values: values(&head.partition),
            partition: head.partition.to_string(),
            action,
            generation: head.generation.id.to_string(),
            ledger_version: head.version,
            reasons,
            records: Change { before: head.counts, after: (!dry_run).then_some(head.counts) },
            missing: head.missing.clone(),
            warned: 0,
            would_move: Rows::new(),
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
        let mut lines = vec![self.headline()];
        lines.extend(self.reasons.iter().map(ReasonDone::line));
        if self.warned > 0 {
            lines.push(format!("{} in the new rows, by rules whose on_fail is warn or null", counted(self.warned, "warning")));
        }
        lines
    }

    fn headline(&self) -> String {
        let Self { partition, action, records: Change { before, after }, .. } = self;
        let tries = self.total();
        let tried = counted(tries.records, "quarantined record");
        match (action, after) {
            (Done::Redriven, _) if tries.passes == 0 => {
                format!("none of {tried} of {partition} fits; the quarantine says now that it was tried")
            }
            (Done::Redriven, Some(after)) => format!(
                "redrove {partition}: {} moved into the table, {} left out as duplicates, {} still in quarantine",
                counted(after.merged - before.merged + after.moved - before.moved, "record"),
                after.duplicates - before.duplicates,
                after.quarantined
            ),
            (Done::WouldRedrive, _) if tries.passes == 0 => {
                format!("none of {tried} of {partition} fits today; the quarantine would say that it was tried")
            }
            (Done::WouldRedrive, _) => format!("would redrive {partition}: {} of {tried} would fit today", tries.passes),
            _ if tries.records == 0 => format!("nothing to redrive in {partition}: no record is in its quarantine any more"),
            _ => format!("nothing to redrive in {partition}: none of {tried} fits, as before"),
        }
    }
}

impl ReasonDone {
    fn line(&self) -> String {
        let Tries { records, passes, fails, not_kept, left, resolved } = self.tries;
        let others = [(not_kept, "not kept as they landed"), (left, "left alone"), (resolved, "resolved before")];
        let told: String = others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}")).collect();
        format!("  {}: {}, {passes} fit, {fails} do not{told}", self.reason, counted(records, "record"))
    }
}

impl RedriveSummary {
    /// The summary of a redrive that is about to begin.
    pub fn new(run: String, table: &TableName, scatters: bool, request: &Request) -> Self {
        Self {
            run,
            table: table.clone(),
            dry_run: request.dry_run,
            reason: request.reason.map(|code| code.as_str()),
            place: request.place.as_ref().map(ToString::to_string),
            scatters,
            partitions: Vec::new(),
            total: Tries::default(),
            errors: Vec::new(),
            moved: Vec::new(),
            would_move: Rows::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
        }
    }

    /// Enters a partition; one that has no record of those asked for is left out.
    pub fn enter(&mut self, mut done: PartitionDone) {
        if done.reasons.is_empty() {
            return;
        }
        self.would_move(std::mem::take(&mut done.would_move));
        self.total = [self.total, done.total()].into_iter().sum();
        self.partitions.push(done);
    }

    /// Enters rows that would go to other partitions.
    pub fn would_move(&mut self, rows: Rows) {
        rows.into_iter().for_each(|(partition, rows)| *self.would_move.entry(partition).or_default() += rows);
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
            _ if !self.partitions.is_empty() || !self.errors.is_empty() || !self.moved.is_empty() => 3,
            kinds if kinds.iter().all(|kind| *kind == Kind::Config) => 2,
            _ => 1,
        }
    }

    /// Where else to look for records.
    fn elsewhere(&self) -> &'static str {
        if self.scatters {
            "; records are in quarantine in the hour in which they arrived, wherever their rows belong: name that with --hour"
        } else {
            ""
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
        lines.extend(self.moved.iter().map(MovedInto::line));
        let would_move = |(partition, rows): (&PartitionId, &u64)| format!("would move {} into {partition}", counted(*rows, "row"));
        lines.extend(self.would_move.iter().map(would_move));
        if lines.is_empty() && self.failures.is_empty() {
            let reason = self.reason.map_or_else(String::new, |reason| format!(" as {reason}"));
            lines.push(match &self.place {
                None => format!("nothing to redrive: no record is in quarantine{reason}"),
                Some(place) => format!("nothing to redrive: no record is in the quarantine of {place}{reason}{}", self.elsewhere()),
            });
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
                "left alone, {}: broken JSON, all of a damaged object, or a document that would be several records. Land such an object once \
                 more, mended; only where `format` or `unwrap` was wrong does `lakebed repair` of its hour help",
                counted(self.total.left, "record")
            ));
        }
        lines.extend(self.warnings.iter().cloned());
        lines.iter().map(|line| format!("{}: {line}\n", self.table)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::version;

    fn summary(partitions: usize, failures: &[Kind]) -> RedriveSummary {
        let request = Request { table: "shop.clicks".into(), place: None, reason: None, dry_run: false };
        let head = version("14", 1, vec![]);
        let mut summary = RedriveSummary::new("01J".into(), &head.table, false, &request);
        for _ in 0..partitions {
            let reasons = [("rule_broken".to_string(), Tries { records: 2, fails: 1, left: 1, ..Tries::default() })].into();
            summary.enter(PartitionDone::planned(&head, Decision { redrive: Default::default(), reasons, news: 0 }, false));
        }
        failures.iter().for_each(|kind| summary.fail(Some(&head.partition), &Error::new(*kind, "no")));
        summary
    }

    #[test]
    fn partial_failure_is_never_success() {
        use Kind::{Config, Unavailable};
        for (partitions, failures, code) in [
            (0, &[][..], 0),
            (2, &[], 0),
            (1, &[Unavailable], 3),
            (0, &[Unavailable], 1),
            (0, &[Config], 2),
            (0, &[Config, Unavailable], 1),
        ] {
            assert_eq!(summary(partitions, failures).exit_code(), code, "{partitions} {failures:?}");
        }
        let line = "shop.clicks year=2026/month=11/day=19/hour=14: no";
        assert_eq!(summary(0, &[Unavailable]).failure_lines().collect::<Vec<_>>(), [line]);
    }

    #[test]
    fn people_are_told_what_became_of_each_reason_and_what_to_do() {
        assert_eq!(summary(0, &[]).to_text(), "shop.clicks: nothing to redrive: no record is in quarantine\n");
        let text = summary(1, &[]).to_text();
        let expected = [
            "shop.clicks: nothing to redrive in year=2026/month=11/day=19/hour=14: none of 2 quarantined records fits, as before",
            "shop.clicks:   rule_broken: 2 records, 0 fit, 1 do not, 1 left alone",
            "shop.clicks: left alone, 1 record: broken JSON, all of a damaged object, or a document that would be several records. Land such an object \
             once more, mended; only where `format` or `unwrap` was wrong does `lakebed repair` of its hour help",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    }
}
