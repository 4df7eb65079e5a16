//! What bringing the catalog in step came to, and what people should know of it.

use std::collections::BTreeMap;

use super::super::drift::ForeignChange;
use crate::error::{Error, Kind};
use crate::layout::{Note, PartitionId};

/// What bringing the catalog in step came to.
#[derive(Debug, Default)]
pub struct Reconciled {
    /// Anything was written, and the catalog shows it.
    pub changed: bool,
    /// What something else than lakebed had changed on partitions, and was set back.
    pub foreign: Vec<ForeignChange>,
    /// What something else than lakebed changed on the table of the quarantine, if it was looked at; it is left so.
    pub quarantine: Option<String>,
    /// Partitions of the table that the catalog did not have, and the versions that their ledgers have.
    pub missing: Vec<(PartitionId, u64)>,
    /// Partitions that the catalog does not show as their ledgers say, of the table or of its quarantine, and why.
    pub refused: BTreeMap<PartitionId, Error>,
}

impl Reconciled {
    /// What people should know of it. `notes` are those that the table had before: what a note is of may never have been registered.
    pub fn warnings(&self, notes: &[Note]) -> Vec<String> {
        let foreign = self.foreign.iter().map(|change| match self.refused.contains_key(&change.partition) {
            true => format!("{change}; it could not be set back to what its ledger says"),
            false => format!("{change}; it is set back to what its ledger says"),
        });
        let deleted = self.missing.iter().filter(|(partition, version)| was_registered(notes, partition, *version));
        let deleted = deleted.map(|(partition, _)| {
            let then = if self.refused.contains_key(partition) { "could not be registered again" } else { "is registered again" };
            format!("partition {partition} was taken out of the catalog by something else than lakebed; it {then}, as its ledger says")
        });
        let mut told: Vec<String> = foreign.chain(deleted).chain(self.quarantine.clone()).collect();
        if !told.is_empty() {
            told.push(
                "leave no crawler, and nothing else that alters partitions, on a table of lakebed; `lakebed partitions` shows what the \
                 ledgers and what the catalog say"
                    .to_string(),
            );
        }
        told
    }

    /// Takes in what bringing other partitions in step came to.
    pub fn extend(&mut self, other: Self) {
        let Self { changed, foreign, quarantine, missing, refused } = other;
        self.changed |= changed;
        self.foreign.extend(foreign);
        self.missing.extend(missing);
        self.refused.extend(refused);
        self.quarantine = quarantine.or_else(|| self.quarantine.take());
    }

    /// Without what is known of partitions that are refused: whoever tries them again tells of that.
    pub fn without_refused(mut self) -> Self {
        self.foreign.retain(|change| !self.refused.contains_key(&change.partition));
        self.missing.retain(|(partition, _)| !self.refused.contains_key(partition));
        self.refused.clear();
        self
    }

    /// Enters a change that is about to be undone. Something that is undone again and again is told once.
    pub(super) fn undo(&mut self, change: ForeignChange) {
        if !self.foreign.iter().any(|known| (&known.table, &known.partition) == (&change.table, &change.partition)) {
            self.foreign.push(change);
        }
    }

    /// Enters a partition that stays as it is, and why. The first reason counts.
    pub(super) fn refuse(&mut self, partition: PartitionId, kind: Kind, why: &str) {
        let (kind, then) = match kind {
            Kind::Unavailable | Kind::Conflict => (Kind::Unavailable, "run again"),
            kind => (kind, "put that right, then run again"),
        };
        let error = Error::new(kind, format!("the catalog does not take what the ledgers say: {why}; the data is safe, {then}"));
        self.refused.entry(partition).or_insert(error);
    }
}

/// True if a partition whose ledger has this version was in the catalog once. A note of a version goes away only after that is registered,
/// and one of a table's columns is there while the table is made anew.
fn was_registered(notes: &[Note], partition: &PartitionId, version: u64) -> bool {
    let is_of = |note: &&Note| !matches!(note, Note::Version { partition: of, .. } if of != partition);
    match notes.iter().filter(is_of).collect::<Vec<_>>()[..] {
        [] => true,
        [Note::Version { version: noted, .. }] => *noted == version && version > 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::TableName;
    use crate::ledger::testing::partition;

    fn foreign() -> ForeignChange {
        let table = TableName { database: "shop".into(), name: "clicks".into() };
        ForeignChange { table, partition: partition("14"), changes: vec!["its location is s3://x/ instead of s3://y/".into()] }
    }

    #[test]
    fn what_others_changed_on_a_partition_is_told_once_and_advice_given() {
        let mut done = Reconciled::default();
        assert_eq!(done.warnings(&[]), Vec::<String>::new());
        done.undo(foreign());
        done.undo(foreign());
        let [warning, advice] = &done.warnings(&[])[..] else { panic!("{done:?}") };
        let told = "partition year=2026/month=11/day=19/hour=14 of shop.clicks was changed by something else than lakebed: its location is \
                    s3://x/ instead of s3://y/; it ";
        assert_eq!(*warning, format!("{told}is set back to what its ledger says"));
        assert!(advice.contains("leave no crawler"), "{advice}");
        done.refuse(partition("14"), Kind::Config, "no");
        assert_eq!(done.warnings(&[])[0], format!("{told}could not be set back to what its ledger says"));
    }

    #[test]
    fn what_is_refused_says_whether_running_again_helps() {
        let mut done = Reconciled::default();
        let mut check = |kind: Kind, hour: &str, expected: Kind, then: &str| {
            done.refuse(partition(hour), kind, "no");
            done.refuse(partition(hour), Kind::Internal, "another");
            let error = &done.refused[&partition(hour)];
            let told = format!("the catalog does not take what the ledgers say: no; the data is safe, {then}");
            assert_eq!((error.kind(), error.to_string()), (expected, told));
        };
        check(Kind::Unavailable, "10", Kind::Unavailable, "run again");
        check(Kind::Conflict, "11", Kind::Unavailable, "run again");
        check(Kind::Config, "12", Kind::Config, "put that right, then run again");
    }

    #[test]
    fn a_partition_that_was_registered_and_is_gone_is_told() {
        let done = |version| Reconciled { missing: vec![(partition("14"), version)], ..Reconciled::default() };
        let note = |hour: &str, version| Note::Version { partition: partition(hour), version, attempt: "01J".into() };
        let check = |version, notes: &[Note], expected: bool| {
            let told = done(version).warnings(notes).join(" ");
            assert_eq!(told.contains("hour=14 was taken out of the catalog by something else"), expected, "{version} {notes:?}: {told}");
        };
        check(1, &[], true);
        check(1, &[note("13", 1)], true);
        // Its first registration may never have been made, or not to the end.
        check(1, &[note("14", 1)], false);
        check(2, &[note("14", 1), note("14", 2)], false);
        check(2, &[note("14", 1)], false);
        check(2, &[note("14", 2)], true);
        check(2, &[Note::Columns("f".into())], false);
        check(2, &[Note::Columns("f".into()), note("14", 2)], false);
    }
}
