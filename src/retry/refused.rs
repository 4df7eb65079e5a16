//! Hours that are merged and that the catalog refuses to show: noted, told of once and tried less and less often, as those whose merge fails.

use std::collections::BTreeMap;

use super::Retries;
use crate::app::App;
use crate::error::Error;
use crate::failing::{Attempt, Record, Refused};
use crate::hour::Hour;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::summary::Failure;

impl Retries {
    /// What is known of refused hours, by this run or by earlier ones; `top` is what lies in the state location itself.
    pub async fn refused(&mut self, app: &App, top: &[(String, u64)]) -> Refused<'_> {
        self.read(app, top).await;
        Refused { hours: &self.hours, at: self.at, wanted: self.wanted }
    }

    /// Enters which partitions the catalog was asked for, all that wait among them, so that those that it does not refuse any more are good
    /// again.
    pub fn asked_for(&mut self, partitions: impl IntoIterator<Item = PartitionId>) {
        self.asked_for.extend(partitions);
    }

    /// The failures of partitions that the catalog refused before and is not asked for by this run.
    pub fn still_refused(&self, partitions: &[PartitionId]) -> Vec<Failure> {
        partitions.iter().filter_map(|partition| self.hours.get(partition)).map(|record| Failure::waiting(&self.table, record)).collect()
    }

    /// Enters that the catalog refuses these partitions, and returns the failures; `failures` are those that the run has by now. `tried` says
    /// what was tried of a partition that only its notes led to. One that the run looks at in any case does so every time.
    pub async fn not_shown(
        &mut self,
        app: &App,
        refused: BTreeMap<PartitionId, Error>,
        failures: &[Failure],
        tried: impl Fn(&PartitionId) -> Option<String>,
    ) -> Vec<Failure> {
        let partitions: Vec<PartitionId> = refused.keys().cloned().collect();
        let heads = app.ledgers.each_head(&self.table, &partitions).await;
        let mut told = Vec::new();
        for ((partition, error), head) in refused.into_iter().zip(heads) {
            let failure = Failure::new(&self.table, Some(&partition), &error);
            // What is known of its merge is not to be lost: that is what its next attempt hangs on.
            if failures.iter().any(|failure| failure.is_of(&self.table, &partition)) {
                told.push(failure);
                continue;
            }
            let record = self.refusal(&partition, &error, head.ok().flatten().as_ref(), tried(&partition));
            told.push(failure.known(&record));
            self.hours.insert(partition, record);
        }
        told
    }

    fn refusal(&self, partition: &PartitionId, error: &Error, head: Option<&LedgerVersion>, tried: Option<String>) -> Record {
        let hour = head.and_then(|head| head.sources.iter().map(|source| source.hour).min());
        let attempt = Attempt {
            partition: partition.clone(),
            hour: hour.unwrap_or_else(|| Hour::of(self.at)),
            at: self.at,
            kind: error.kind(),
            reason: error.to_string(),
            tried: tried.clone().unwrap_or_default(),
            version: head.map_or(0, |head| head.version),
            refused: true,
        };
        let record = Record::after(self.hours.get(partition), attempt);
        match tried {
            Some(_) => record,
            None => Record { next: self.at, ..record },
        }
    }

    /// True if the run knows by now whether the hour of this record fails.
    pub(super) fn was_tried(&self, record: &Record) -> bool {
        match record.refused {
            true => self.asked_for.contains(&record.partition),
            false => self.looked_at.reach(record.hour) && record.hour.is_closed(self.at, self.close_after),
        }
    }
}
