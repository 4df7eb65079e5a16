//! What redrives took out of the objects of partitions that are made anew, and what they took in of Firehose's error objects.
//!
//! Rows that a redrive moved are in other partitions as objects of their own, which no landed object is. A repair drops these and reads the
//! records where they landed. So it makes all partitions anew that have such rows of an object, or wait for them, with the one that they left.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::App;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::landing::discover::error_object;
use crate::layout::{self, PartitionId};
use crate::ledger::{LedgerVersion, Operation, RedrivenFile, Source};
use crate::merge::plan::{is_error_output, landed, partition_of};
use crate::pipeline::ManagedTable;

/// What is known of it, partition by partition.
#[derive(Default)]
pub(super) struct Apart {
    /// By the key of the object whose records they were: the partition that rows left, and those that have them or wait for them.
    moved: BTreeMap<String, BTreeSet<PartitionId>>,
    /// Firehose's error objects that are in a partition, or were taken out of it, as they are in the landing.
    reports: BTreeMap<PartitionId, Vec<LandedObject>>,
}

impl Apart {
    /// Enters what the newest version of a partition says, and those before it.
    ///
    /// # Errors
    /// `Unavailable` if a ledger or the landing cannot be read; `Data` if the ledger does not tell where rows went.
    pub(super) async fn enter(&mut self, app: &App, table: &ManagedTable, head: &LedgerVersion) -> Result<()> {
        for RedrivenFile { object, shares, .. } in taken_out(app, head).await? {
            let partitions = self.moved.entry(object).or_default();
            partitions.insert(head.partition.clone());
            for path in shares.keys() {
                partitions.insert(path.parse()?);
            }
        }
        for source in head.sources.iter().chain(&head.held) {
            if let Some(object) = layout::parse_redriven_key(&source.key) {
                // The object that the rows are to their partition has the hour of the one that they left.
                let left = partition_of(&table.config, &landed(&table.config, &Source { key: object.to_string(), ..source.clone() }))?;
                self.moved.entry(object.to_string()).or_default().extend([left, head.partition.clone()]);
            } else if is_error_output(&table.config, &source.key) {
                let there = error_object(&table.landing, &source.key, source.hour).await?;
                self.reports.entry(head.partition.clone()).or_default().extend(there);
            }
        }
        Ok(())
    }

    /// True if redrives did nothing to the partitions.
    pub(super) fn is_empty(&self) -> bool {
        self.moved.is_empty() && self.reports.is_empty()
    }

    /// True if rows have to be put together again that a redrive took apart.
    pub(super) fn moves(&self) -> bool {
        !self.moved.is_empty()
    }

    /// True for an object that a redrive moved rows of.
    pub(super) fn is_of(&self, key: &str) -> bool {
        self.moved.contains_key(key)
    }

    /// All partitions that rows were moved from or to.
    pub(super) fn partitions(&self) -> impl Iterator<Item = &PartitionId> {
        self.moved.values().flatten()
    }

    /// The error objects of a partition.
    pub(super) fn reports(&self, partition: &PartitionId) -> &[LandedObject] {
        self.reports.get(partition).map_or(&[], Vec::as_slice)
    }

    /// True if an error object of that key is in the landing, and some partition has it.
    pub(super) fn has_report(&self, key: &str) -> bool {
        self.reports.values().flatten().any(|object| object.key == key)
    }
}

/// The files with all rows that are moved out of a partition, since it was last made anew with others.
async fn taken_out(app: &App, head: &LedgerVersion) -> Result<Vec<RedrivenFile>> {
    let (mut files, mut version) = (Vec::new(), head.clone());
    while version.counts.moved > 0 {
        files.append(&mut version.redriven);
        if version.version == 1 || version.operation == Operation::Move {
            break;
        }
        let number = version.version - 1;
        let before = app.ledgers.version(&head.table, &head.partition, number).await?;
        version = before.ok_or_else(|| {
            Error::data(format!("{} {}: ledger version {number} is gone; restore the state location", head.table, head.partition))
        })?;
    }
    if files.iter().flat_map(|file| file.shares.values()).sum::<u64>() == head.counts.moved {
        return Ok(files);
    }
    Err(Error::data(format!(
        "{} {}: a lakebed before this one moved records from it to other partitions, and did not write down which; nothing was changed, let \
         --from-merged write the rows that are there once more",
        head.table, head.partition
    )))
}
