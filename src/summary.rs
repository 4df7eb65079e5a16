//! What a run did, as a value: the JSON document of `run --output json`, and the lines that people read.

mod failure;
mod partition;
pub mod planned;

use std::collections::BTreeSet;

use chrono::{DateTime, SecondsFormat, Utc};
pub use failure::Failure;
pub use partition::PartitionDone;
pub use planned::Planned;
use serde::Serialize;

use crate::announce::Others;
use crate::catalog::TableName;
use crate::error::{Error, Kind};
use crate::landing::LandedObject;
use crate::landing::discover::Discovery;
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion, Operation};
use crate::merge::plan::why::Why;
use crate::merge::plan::{Action, PartitionPlan};
use crate::migrate::MigrationPlan;
use crate::pipeline::{Request, strangers};
use crate::retry::Retries;
pub use crate::words::counted;

/// A whole run.
#[derive(Debug, Serialize)]
pub struct RunSummary {
    /// ULID of the run.
    pub run: String,
    /// The time the run was made for, UTC.
    pub at: String,
    /// Nothing was done, only planned.
    pub dry_run: bool,
    /// The tables, in the configuration's order; those that failed as a whole are missing.
    pub tables: Vec<TableDone>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// What is known of the tables' failing hours, to be noted for later runs.
    #[serde(skip)]
    pub retries: Vec<Retries>,
    /// Once what earlier runs left of all tables was shown: what people should know of those whose turn was still to come.
    #[serde(skip)]
    pub others: Others,
}

/// What happened to one table.
#[derive(Debug, Serialize)]
pub struct TableDone {
    /// The table.
    pub table: TableName,
    /// The run created it.
    pub created: bool,
    /// The catalog had to be brought in step with the ledgers.
    pub registered: bool,
    /// Landed objects of the hours looked at.
    pub objects: Objects,
    /// Records of the objects that this run merged.
    pub records: Counts,
    /// Partitions that changed, or would.
    pub partitions: Vec<PartitionDone>,
    /// Of a dry run: what would be done with each file, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Planned>,
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
    /// Partitions that are as they should be after the run, as paths.
    #[serde(skip)]
    hours_done: BTreeSet<String>,
    /// Of the pending objects, those of open hours.
    #[serde(skip)]
    open: u64,
    /// What is in the log already.
    #[serde(skip)]
    logged: BTreeSet<String>,
}

/// Landed objects by what became of them.
#[derive(Debug, Default, Serialize)]
pub struct Objects {
    /// Found in the hours looked at.
    pub landed: u64,
    /// In a partition, by this run or an earlier one.
    pub merged: u64,
    /// In a partition's ledger as set aside: all their records are in the quarantine.
    pub rejected: u64,
    /// Taken out of a partition by a rollback.
    #[serde(skip_serializing_if = "is_zero")]
    pub held: u64,
    /// Not in a partition yet: their hour is open, or they could not be read.
    pub pending: u64,
}

impl RunSummary {
    /// A run that has done nothing yet.
    pub fn new(run: String, request: &Request) -> Self {
        let (at, dry_run) = (rfc3339(request.at), request.dry_run);
        Self { run, at, dry_run, tables: Vec::new(), failures: Vec::new(), retries: Vec::new(), others: None }
    }

    /// Enters what happened to a table, and what was to be known of it before its turn.
    pub fn enter(&mut self, mut done: TableDone) {
        done.warn(self.others.as_mut().and_then(|others| others.remove(&done.table)).unwrap_or_default());
        self.tables.push(done);
    }

    /// The exit code: 0 done, 1 failed, 2 wrong configuration, 3 some hours done and some not.
    pub fn exit_code(&self) -> u8 {
        if self.failures.is_empty() {
            0
        } else if self.tables.iter().any(|table| !table.hours_done.is_empty()) {
            3
        } else if self.failures.iter().all(|failure| failure.kind() == Kind::Config) {
            2
        } else {
            1
        }
    }

    /// The summary for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            table.write(self.dry_run, &mut text);
        }
        text
    }

    /// What failed, a line each.
    pub fn failure_lines(&self) -> impl Iterator<Item = String> + '_ {
        self.failures.iter().map(Failure::line)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// What became of records, as a list.
pub fn told(counts: Counts) -> String {
    let Counts { read, merged, quarantined, duplicates, dropped, moved, .. } = counts;
    let moved = if moved > 0 { format!(", {moved} of other partitions") } else { String::new() };
    format!("{read} read, {merged} merged, {quarantined} quarantined, {}, {dropped} dropped{moved}", counted(duplicates, "duplicate"))
}

/// What to say of so many values that broke a rule and are in the table, or null there.
pub fn warning(values: u64) -> Option<String> {
    let breaks = if values == 1 { "breaks" } else { "break" };
    (values > 0).then(|| format!("{} {breaks} a rule whose on_fail is warn or null", counted(values, "value")))
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl TableDone {
    /// A table of which only the landed objects are known.
    pub fn new(table: &TableName, discovery: &Discovery) -> Self {
        Self {
            table: table.clone(),
            created: false,
            registered: false,
            objects: Objects { landed: discovery.objects.len() as u64, ..Objects::default() },
            records: Counts::default(),
            partitions: Vec::new(),
            plan: None,
            warnings: strangers(discovery).into_iter().collect(),
            hours_done: BTreeSet::new(),
            open: 0,
            logged: BTreeSet::new(),
        }
    }

    /// Enters what people should know, each sentence once however often a run meets with it.
    pub fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// Logs what the run tries once more before it tells of it, each sentence once.
    pub fn log_once(&mut self, line: String) {
        if !self.logged.contains(&line) {
            tracing::warn!("{line}");
            self.logged.insert(line);
        }
    }

    /// Enters the objects of hours that are still open.
    pub fn set_open(&mut self, objects: u64) {
        self.open = objects;
        self.objects.pending = objects;
    }

    /// Enters what earlier runs did with the landed objects.
    pub fn count_known(&mut self, plans: &[PartitionPlan]) {
        for plan in plans {
            let [merged, changed, rejected, held] =
                [Why::Merged, Why::Changed, Why::SetAside, Why::Held].map(|why| plan.of(why).count() as u64);
            self.objects.merged += merged + changed;
            self.objects.rejected += rejected;
            self.objects.held += held;
            if held > 0 {
                self.warnings.push(format!(
                    "{}: it was rolled back, and {} that landed {} out of it until `lakebed repair`",
                    plan.partition,
                    counted(held, "object"),
                    if held == 1 { "stays" } else { "stay" }
                ));
            } else if let Some(rolled_back) = &plan.rolled_back {
                self.warnings.push(format!("{}: {}", plan.partition, rolled_back.to_text()));
            }
            if plan.action == Action::UpToDate {
                self.count_hour(&plan.partition);
            }
            for LandedObject { key, .. } in plan.of(Why::Changed) {
                self.warnings.push(format!(
                    "object {key} was written again since it was merged; if its content changed, the new content is not in the table until `lakebed repair`"
                ));
            }
        }
    }

    /// Enters a partition that is as it should be.
    pub fn count_hour(&mut self, partition: &PartitionId) {
        self.hours_done.insert(partition.to_string());
    }

    /// Enters what would be done, and why.
    pub fn tell_plans(&mut self, migration: &MigrationPlan, plans: &[PartitionPlan], planned: Planned) {
        self.plan = Some(planned);
        if matches!(migration, MigrationPlan::Create(_)) {
            self.warnings.push("the table does not exist yet and would be created".to_string());
        }
        for plan in plans {
            let Action::Merge { previous, objects } = &plan.action else { continue };
            let action = if plan.action.operation() == Some(Operation::Create) { "would create" } else { "would amend" };
            self.objects.pending += objects.len() as u64;
            let mut would = PartitionDone::of(&plan.partition, previous.as_deref(), action, objects.len());
            would.why = planned::reasons(&plan.objects);
            self.partitions.push(would);
        }
    }

    /// Enters a committed partition: `merged` are those of the planned objects that this run merged itself.
    pub fn enter(
        &mut self,
        plan: &PartitionPlan,
        merged: &[LandedObject],
        version: &LedgerVersion,
        warned: u64,
        failures: &mut Vec<Failure>,
    ) {
        self.count_planned(plan, version);
        self.warnings.extend(warning(warned).map(|broken| format!("{}: {broken}", version.partition)));
        self.enter_share(merged, version, failures);
    }

    /// Enters a committed partition, and not the objects: of a table whose rows scatter each of them may feed several.
    pub fn enter_share(&mut self, merged: &[LandedObject], version: &LedgerVersion, failures: &mut Vec<Failure>) {
        let sources: Vec<_> = merged.iter().filter_map(|object| version.source(&object.key)).collect();
        self.records = [self.records, sources.iter().map(|source| source.counts).sum()].into_iter().sum();
        for missing in version.missing.iter().filter(|missing| merged.iter().any(|object| object.key == missing.key)) {
            let error = Error::data(format!("object {} is not wholly in the table: {}", missing.key, missing.reason));
            failures.push(Failure::new(&version.table, Some(&version.partition), &error));
        }
        let action = if version.operation == Operation::Create { "created" } else { "amended" };
        self.partitions.push(PartitionDone::of(&version.partition, Some(version), action, sources.len()));
    }

    /// Enters a partition that another run merged first.
    pub fn enter_other(&mut self, plan: &PartitionPlan, version: &LedgerVersion) {
        self.count_planned(plan, version);
        self.enter_other_share(version);
    }

    /// As [`Self::enter_other`], and not the objects.
    pub fn enter_other_share(&mut self, version: &LedgerVersion) {
        self.partitions.push(PartitionDone::of(&version.partition, Some(version), "merged by another run", 0));
    }

    /// Enters that the catalog does not show what was committed: none of the hours is done then.
    pub fn unregistered(&mut self) {
        self.hours_done.clear();
    }

    /// Enters that the catalog does not show this partition as its ledger says.
    pub fn not_registered(&mut self, partition: &PartitionId) {
        self.hours_done.remove(&partition.to_string());
    }

    /// Counts the planned objects by what became of them, whichever run did it.
    fn count_planned(&mut self, plan: &PartitionPlan, version: &LedgerVersion) {
        let Action::Merge { objects, .. } = &plan.action else { return };
        let sources: Vec<_> = objects.iter().filter_map(|object| version.source(&object.key)).collect();
        let rejected = sources.iter().filter(|source| source.rejected.is_some()).count() as u64;
        self.objects.merged += sources.len() as u64 - rejected;
        self.objects.rejected += rejected;
        self.objects.pending += (objects.len() - sources.len()) as u64;
        self.count_hour(&plan.partition);
    }

    fn write(&self, dry_run: bool, text: &mut String) {
        let Self { table, objects, records, .. } = self;
        if self.created {
            text.push_str(&format!("{table}: created the table\n"));
        }
        for done in &self.partitions {
            done.write(table, self.plan.as_ref(), text);
        }
        if self.partitions.is_empty() && !self.registered {
            text.push_str(&format!("{table}: {}\n", self.nothing()));
        } else if !dry_run {
            let held = if objects.held > 0 { format!("{} taken out by a rollback, ", objects.held) } else { String::new() };
            text.push_str(&format!(
                "{table}: {} read, {} merged, {} quarantined, {}, {} dropped; of {} {} merged, {} set aside, {held}{} pending\n",
                counted(records.read, "record"),
                records.merged,
                records.quarantined,
                counted(records.duplicates, "duplicate"),
                records.dropped,
                counted(objects.landed, "landed object"),
                objects.merged,
                objects.rejected,
                objects.pending
            ));
        }
        if self.partitions.is_empty() && self.registered {
            text.push_str(&format!("{table}: brought the catalog in step with the ledgers\n"));
        }
        for line in self.plan.iter().flat_map(Planned::left_lines) {
            text.push_str(&format!("{table}: {line}\n"));
        }
        for warning in &self.warnings {
            text.push_str(&format!("{table}: {warning}\n"));
        }
    }

    /// Why no partition changed.
    fn nothing(&self) -> String {
        let Objects { landed, merged, rejected, held, pending } = self.objects;
        if landed == 0 {
            return "nothing to do, no object landed in the hours looked at".to_string();
        }
        let failed = pending - self.open.min(pending);
        let head = if failed > 0 { "nothing was merged" } else { "nothing to do" };
        let states = [
            (merged, "merged"),
            (rejected, "set aside"),
            (held, "taken out by a rollback"),
            (self.open, "in hours that are still open"),
            (failed, "failed"),
        ];
        let told = states.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!("{count} {state}"));
        format!("{head}, of {}: {}", counted(landed, "landed object"), told.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::landed;
    use crate::ledger::testing::{partition, source, version};
    use crate::ledger::{Missing, Source};
    use crate::merge::plan;

    fn name() -> TableName {
        TableName { database: "shop".into(), name: "clicks".into() }
    }

    fn summary(hours_done: &[usize], failures: &[Kind]) -> RunSummary {
        let request = Request { table: None, at: "2026-11-19T20:00:00Z".parse().unwrap(), since: None, dry_run: false, until: None };
        let mut summary = RunSummary::new("01J".into(), &request);
        let table = |hours: &usize| {
            let hours_done = (0..*hours).map(|hour| hour.to_string()).collect();
            TableDone { hours_done, ..TableDone::new(&name(), &Discovery::default()) }
        };
        summary.tables = hours_done.iter().map(table).collect();
        summary.failures = failures.iter().map(|kind| Failure::new(&name(), None, &Error::new(*kind, "no"))).collect();
        summary
    }

    #[test]
    fn partial_failure_is_never_success() {
        use Kind::{Config, Conflict, Data, Internal, Unavailable};
        let check = |hours: &[usize], failures: &[Kind], code: u8| {
            assert_eq!(summary(hours, failures).exit_code(), code, "{hours:?} {failures:?}");
        };
        check(&[], &[], 0);
        check(&[3, 0], &[], 0);
        for kind in [Config, Conflict, Data, Internal, Unavailable] {
            check(&[1], &[kind], 3);
            check(&[0, 2], &[kind], 3);
            check(&[0], &[kind], if kind == Config { 2 } else { 1 });
        }
        check(&[], &[Config, Config], 2);
        check(&[0], &[Config, Unavailable], 1);
    }

    #[test]
    fn a_committed_hour_with_a_missing_object_is_done_and_a_failure() {
        let aside = Source { rejected: Some("gzip".into()), ..source("14", "b") };
        let mut committed = version("14", 1, vec![source("14", "a"), aside]);
        for key in ["14/b", "14/c"] {
            committed.missing.push(Missing { key: key.into(), reason: "gzip: cut off".into() });
        }
        let objects = ["a", "b", "c"].map(|name| landed("14", name)).to_vec();
        let plan = plan::plan(partition("14"), None, objects.clone());
        let mut summary = summary(&[0], &[]);
        summary.tables[0].enter(&plan, &objects, &committed, 0, &mut summary.failures);
        let Objects { merged, rejected, pending, .. } = summary.tables[0].objects;
        assert_eq!((merged, rejected, pending, summary.exit_code()), (1, 1, 1, 3));
        let lines: Vec<String> = summary.failure_lines().collect();
        assert!(lines[0].contains("hour=14") && lines[0].contains("14/b is not wholly in the table: gzip: cut off"), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }

    #[test]
    fn what_is_known_already_counts_as_done() {
        let plan = plan::plan(partition("14"), Some(version("14", 1, vec![source("14", "a")])), vec![landed("14", "a")]);
        let mut summary = summary(&[0], &[Kind::Unavailable]);
        summary.tables[0].count_known(&[plan]);
        assert_eq!((summary.tables[0].objects.merged, summary.exit_code()), (1, 3));
    }
}
