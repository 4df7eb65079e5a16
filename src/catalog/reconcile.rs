//! Makes the catalog say what the ledgers say: a pure difference, applied until it is empty.

mod change;
mod outcome;
mod quarantine;

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;

use super::drift::{ForeignChange, changed_by_others, column_drift, shown};
use super::limits::check_registered;
use super::pace::Pace;
use super::{Catalog, EntryError, Partition, Table, TableName, still_there};
use crate::error::{Error, Kind, Result};
use crate::layout::PartitionId;
use crate::ledger::store::LedgerStore;

pub use change::{CatalogChange, Update, Wanted, difference};
pub use outcome::Reconciled;

/// Entries that one batch call may have (Glue: `BatchCreatePartition` and `BatchUpdatePartition`, 100).
const BATCH: usize = 100;

/// Times that a catalog that takes every change and shows another is brought in step; another writer of the same partitions costs one each.
const ROUNDS: usize = 5;

/// Ledger versions that are read at the same time.
const CONCURRENCY: usize = 16;

/// Brings the catalog in step with the ledgers of some partitions, the table's and its quarantine's.
///
/// Partitions have no compare-and-swap in Glue, so the ledger is the fence: after each write the ledgers are read again, and the
/// catalog too, until both agree; a slower writer that undoes a newer version is undone in turn.
///
/// `known` is what ledger heads wanted that were read earlier in the run, of some of the partitions. A version never changes, so where
/// the catalog says what a known one wants, this run owes the catalog nothing: whoever commits a newer version registers it, and whoever
/// overwrites that registration looks again afterwards. But nothing is written from what was known: by now the newest version may be
/// another, and readers would go back in time. What differs is asked of the ledgers again first.
///
/// What is refused for the moment is written again after the pauses of `pace`. What stays refused, or cannot be read, is named in the
/// result, partition by partition; it does not hold up the others.
///
/// # Errors
/// Those of reading the catalog, before anything is written; `Config` if readers would not see what is registered.
pub async fn reconcile(
    catalog: &dyn Catalog,
    ledgers: &LedgerStore,
    table: &Table,
    quarantine_url: &str,
    partitions: &[PartitionId],
    known: &BTreeMap<PartitionId, Wanted>,
    pace: Pace,
) -> Result<Reconciled> {
    check_registered(table)?;
    let pair = Pair { catalog, ledgers, table, quarantine_url, quarantine: None, done: Reconciled::default() };
    pair.reconcile(partitions, known, pace).await
}

/// A table and its quarantine in the catalog, and what was done to them.
struct Pair<'a> {
    catalog: &'a dyn Catalog,
    ledgers: &'a LedgerStore,
    table: &'a Table,
    quarantine_url: &'a str,
    /// Once it is needed: the table, or why it cannot be used.
    quarantine: Option<Result<Table, (Kind, String)>>,
    done: Reconciled,
}

/// Why the catalog refused some entries, by their values.
type Refusals = BTreeMap<Vec<String>, (Kind, String)>;

/// What came of writing changes.
#[derive(Default)]
struct Applied {
    /// What may go through later, or did although nobody was told.
    again: Refusals,
    /// The values of what is refused for good.
    for_good: BTreeSet<Vec<String>>,
    /// The catalog did not answer for as long as it is asked.
    is_down: bool,
}

impl Pair<'_> {
    async fn reconcile(mut self, partitions: &[PartitionId], known: &BTreeMap<PartitionId, Wanted>, mut pace: Pace) -> Result<Reconciled> {
        let mut open = self.unsettled(partitions, known).await?;
        let (mut late, mut refused) = (false, Refusals::new());
        for round in 0.. {
            let changes = match self.look(&open).await {
                // What was written by now is to be told of.
                Err(e) if round > 0 => {
                    let unread = open.iter().map(|id| (id.values(), (e.kind(), e.to_string())));
                    self.give_up(&open, &unread.collect());
                    break;
                }
                changes => changes?,
            };
            let differing: BTreeSet<&Vec<String>> = changes.iter().flat_map(|(_, change)| change.values()).collect();
            let before = open.len();
            open.retain(|id| differing.contains(&id.values()));
            self.done.changed |= round > 0 && open.len() < before;
            if open.is_empty() {
                break;
            }
            let busy = refused.values().any(|(kind, _)| *kind == Kind::Unavailable);
            if late || (round >= ROUNDS && !busy) {
                self.give_up(&open, &refused);
                break;
            }
            if round == 0 {
                self.check_again().await?;
                self.done.missing = self.missing(&changes);
            }
            self.find_foreign(&changes).await;
            let Applied { again, for_good, is_down } = self.apply(&changes).await;
            open.retain(|id| !for_good.contains(&id.values()));
            refused = again;
            // What is refused or undone at once may go through a little later: the catalog is busy, or somebody else is at it. If it was
            // asked long enough, it is read once more: of a call that failed the answer alone may be lost.
            late = is_down || ((round > 0 || !refused.is_empty()) && !pace.wait().await);
        }
        Ok(self.done)
    }

    /// The partitions of which the catalog may say something else than their ledgers.
    async fn unsettled(&mut self, partitions: &[PartitionId], known: &BTreeMap<PartitionId, Wanted>) -> Result<Vec<PartitionId>> {
        let changes = self.changes(&known.values().collect::<Vec<_>>()).await?;
        let differing: BTreeSet<&Vec<String>> = changes.iter().flat_map(|(_, change)| change.values()).collect();
        let settled = |id: &&PartitionId| known.get(*id).is_some_and(|wanted| !differing.contains(&wanted.live.values));
        Ok(partitions.iter().filter(|id| !settled(id)).cloned().collect())
    }

    /// What has to change for these partitions by what their ledgers say now.
    async fn look(&mut self, open: &[PartitionId]) -> Result<Vec<(Table, CatalogChange)>> {
        let mut wanted = Vec::new();
        for (id, head) in open.iter().zip(self.ledgers.each_head(&self.table.name, open).await) {
            match head {
                Ok(head) => wanted.extend(head.filter(|head| !head.is_void()).as_ref().map(Wanted::of)),
                Err(e) => drop(self.done.refused.entry(id.clone()).or_insert(e)),
            }
        }
        self.changes(&wanted.iter().collect::<Vec<_>>()).await
    }

    /// What has to change in the table, and in its quarantine if anything is wanted there.
    async fn changes(&mut self, wanted: &[&Wanted]) -> Result<Vec<(Table, CatalogChange)>> {
        let live: Vec<Partition> = wanted.iter().map(|wanted| wanted.live.clone()).collect();
        let rejects: Vec<Partition> = wanted.iter().filter_map(|wanted| wanted.quarantine.clone()).collect();
        let mut changes = Vec::new();
        if !live.is_empty() {
            changes.push((self.table.clone(), pending(self.catalog, &self.table.name, live).await?));
        }
        if !rejects.is_empty() {
            let values: Vec<Vec<String>> = rejects.iter().map(|partition| partition.values.clone()).collect();
            match self.quarantine_changes(rejects).await {
                Ok(change) => changes.push(change),
                // The rows of the table are not to wait for those of its quarantine.
                Err((kind, why)) => values.iter().for_each(|values| self.done.refuse(self.id(values), kind, &why)),
            }
        }
        Ok(changes)
    }

    async fn quarantine_changes(&mut self, rejects: Vec<Partition>) -> Result<(Table, CatalogChange), (Kind, String)> {
        let told = |e: Error| (e.kind(), e.to_string());
        let quarantine = match self.quarantine.take() {
            Some(known) => known,
            None => match quarantine::ensure(self.catalog, self.table, self.quarantine_url).await {
                Ok((table, changes)) => {
                    self.done.quarantine = changes;
                    Ok(table)
                }
                Err(e) => Err(told(e)),
            },
        };
        let quarantine = self.quarantine.insert(quarantine).clone()?;
        let change = pending(self.catalog, &quarantine.name, rejects).await.map_err(told)?;
        Ok((quarantine, change))
    }

    /// The table may have been changed since it was read.
    async fn check_again(&self) -> Result<()> {
        check_registered(&still_there(self.catalog, &self.table.name).await?)
    }

    /// The partitions of the table itself that are to be created, and their versions.
    fn missing(&self, changes: &[(Table, CatalogChange)]) -> Vec<(PartitionId, u64)> {
        let created = changes.iter().filter(|(of, _)| of.name == self.table.name).flat_map(|(_, change)| &change.create);
        created.map(|partition| (self.id(&partition.values), shown(partition).unwrap_or(1))).collect()
    }

    /// Finds what something else than lakebed changed on the partitions that are to be updated.
    async fn find_foreign(&mut self, changes: &[(Table, CatalogChange)]) {
        let updates = changes.iter().flat_map(|(table, change)| change.update.iter().map(move |update| (&table.name, update)));
        let (pair, updates) = (&*self, updates.collect::<Vec<_>>());
        let found = futures::stream::iter(updates).map(|(name, update)| async move {
            let partition = pair.id(&update.to.values);
            match pair.as_written(name, &partition, update).await {
                Ok(written) => Some(ForeignChange { table: name.clone(), partition, changes: changed_by_others(&written, &update.from) }),
                Err(e) => {
                    tracing::warn!(
                        "{name} {partition}: it is not known whether something else than lakebed changed it in the catalog: {e}"
                    );
                    None
                }
            }
        });
        let found: Vec<Option<ForeignChange>> = found.buffered(CONCURRENCY).collect().await;
        found.into_iter().flatten().filter(|foreign| !foreign.changes.is_empty()).for_each(|foreign| self.done.undo(foreign));
    }

    /// What lakebed wrote for the ledger version that a partition shows; if its ledger has none such, what is wanted now.
    async fn as_written(&self, name: &TableName, partition: &PartitionId, update: &Update) -> Result<Partition> {
        let Update { from, to } = update;
        let version = match shown(from) {
            Some(other) if Some(other) != shown(to) => self.ledgers.version(&self.table.name, partition, other).await?,
            _ => None,
        };
        let wanted = version.map(|version| Wanted::of(&version));
        if *name == self.table.name {
            return Ok(wanted.map_or_else(|| to.clone(), |wanted| wanted.live));
        }
        let mut wanted = wanted.and_then(|wanted| wanted.quarantine).unwrap_or_else(|| to.clone());
        // An older lakebed wrote the columns that quarantines had then.
        if column_drift(&from.columns, &wanted.columns).other.is_empty() {
            wanted.columns = from.columns.clone();
        }
        Ok(wanted)
    }

    /// Writes the changes. What is refused for good is entered.
    async fn apply(&mut self, changes: &[(Table, CatalogChange)]) -> Applied {
        let (mut applied, mut down) = (Applied::default(), None);
        for (table, change) in changes {
            let updates: Vec<Partition> = change.update.iter().map(|update| update.to.clone()).collect();
            let batches = change.create.chunks(BATCH).map(|batch| (batch, true)).chain(updates.chunks(BATCH).map(|batch| (batch, false)));
            for (batch, is_new) in batches {
                let answer = match (&down, is_new) {
                    // It was asked long enough whether it is there again.
                    (Some(why), _) => Err(Error::unavailable(String::clone(why))),
                    (None, true) => self.catalog.create_partitions(table, batch).await,
                    (None, false) => self.catalog.update_partitions(table, batch).await,
                };
                let errors = answer.unwrap_or_else(|e| {
                    down = down.take().or_else(|| (e.kind() == Kind::Unavailable).then(|| e.to_string()));
                    let one =
                        |partition: &Partition| EntryError { values: partition.values.clone(), kind: e.kind(), message: e.to_string() };
                    batch.iter().map(one).collect()
                });
                for EntryError { values, kind, message } in errors {
                    match kind {
                        Kind::Unavailable | Kind::Conflict => drop(applied.again.insert(values, (kind, message))),
                        _ => {
                            self.done.refuse(self.id(&values), kind, &message);
                            applied.for_good.insert(values);
                        }
                    }
                }
            }
        }
        Applied { is_down: down.is_some(), ..applied }
    }

    /// Enters the partitions that stay as they are.
    fn give_up(&mut self, open: &[PartitionId], refused: &Refusals) {
        for id in open {
            let foreign = self.done.foreign.iter().find(|change| change.partition == *id).map(ToString::to_string);
            let fought = || (Kind::Conflict, foreign.unwrap_or_else(|| "it takes every change and shows another".to_string()));
            let (kind, why) = refused.get(&id.values()).cloned().unwrap_or_else(fought);
            self.done.refuse(id.clone(), kind, &why);
        }
    }

    fn id(&self, values: &[String]) -> PartitionId {
        PartitionId::new(self.table.partition_keys.iter().map(|key| key.name.clone()).zip(values.iter().cloned()))
    }
}

async fn pending(catalog: &dyn Catalog, name: &TableName, wanted: Vec<Partition>) -> Result<CatalogChange> {
    let values: Vec<_> = wanted.iter().map(|partition| partition.values.clone()).collect();
    Ok(difference(wanted, &catalog.get_partitions(name, &values).await?))
}

#[cfg(test)]
mod tests;
