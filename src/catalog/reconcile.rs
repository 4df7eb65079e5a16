//! Makes the catalog say what the ledgers say: a pure difference, applied until it is empty.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Catalog, EntryError, Parameters, Partition, Table, TableName};
use crate::error::{Error, Kind, Result};
use crate::layout::{self, PartitionId};
use crate::ledger::store::LedgerStore;
use crate::ledger::{Generation, LedgerVersion};
use crate::schema::Column;
use crate::standardize::reject;

/// Entries that one batch call may have (Glue: `BatchCreatePartition` and `BatchUpdatePartition`, 100).
const BATCH: usize = 100;

/// Times that the catalog is brought in step before giving up; another writer of the same partitions costs one each.
const ROUNDS: usize = 5;

/// Pause before the second round, doubled with each one.
const PAUSE: Duration = Duration::from_millis(50);

/// What has to change in the catalog for some partitions of one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CatalogChange {
    /// Partitions that the catalog does not have.
    pub create: Vec<Partition>,
    /// Partitions that it has differently.
    pub update: Vec<Partition>,
}

impl CatalogChange {
    /// True if the catalog says what the ledgers say.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty()
    }
}

/// A partition of the table as its ledger wants it.
pub fn live(version: &LedgerVersion) -> Partition {
    entry(version, &version.generation, version.columns.clone())
}

/// A partition of the quarantine as the ledger wants it; none while nothing has been quarantined.
pub fn quarantined(version: &LedgerVersion) -> Option<Partition> {
    version.quarantine.as_ref().map(|generation| entry(version, generation, reject::columns()))
}

fn entry(version: &LedgerVersion, generation: &Generation, columns: Vec<Column>) -> Partition {
    let parameters: [(&str, String); 4] = [
        ("classification", "parquet".to_string()),
        ("lakebed.generation", generation.id.to_string()),
        ("lakebed.ledger_version", version.version.to_string()),
        ("lakebed.rows", generation.rows().to_string()),
    ];
    let parameters = parameters.map(|(key, value)| (key.to_string(), value)).into();
    Partition { values: version.partition.values(), location: generation.location.clone(), columns, parameters }
}

/// The difference between what is wanted and what is there. Parameters that are not lakebed's own stay as they are.
pub fn difference(wanted: Vec<Partition>, there: &[Partition]) -> CatalogChange {
    let there: BTreeMap<_, _> = there.iter().map(|partition| (&partition.values, partition)).collect();
    let mut change = CatalogChange::default();
    for mut partition in wanted {
        match there.get(&partition.values) {
            None => change.create.push(partition),
            Some(old) => {
                let mut parameters = old.parameters.clone();
                parameters.append(&mut partition.parameters);
                partition.parameters = parameters;
                if partition != **old {
                    change.update.push(partition);
                }
            }
        }
    }
    change
}

/// Brings the catalog in step with the ledgers of some partitions, the table's and its quarantine's.
///
/// Partitions have no compare-and-swap in Glue, so the ledger is the fence: after each write the ledgers are read again, and the
/// catalog too, until both agree; a slower writer that undoes a newer version is undone in turn.
///
/// Returns true if anything had to be changed.
///
/// # Errors
/// `Unavailable` if the catalog keeps refusing, naming the first partition and its reason.
pub async fn reconcile(
    catalog: &dyn Catalog,
    ledgers: &LedgerStore,
    table: &Table,
    quarantine_url: &str,
    partitions: &[PartitionId],
) -> Result<bool> {
    let mut changed = false;
    let mut refused = String::new();
    for round in 0..ROUNDS {
        // What is refused or undone at once may go through a little later: the catalog is busy, or somebody else is at it.
        if round > 1 || !refused.is_empty() {
            tokio::time::sleep(PAUSE * 2u32.pow(round as u32)).await;
        }
        let heads = ledgers.heads_of(&table.name, partitions).await?;
        let bad: Vec<Partition> = heads.iter().filter_map(quarantined).collect();
        let quarantine = layout::quarantine_table(&table.name);
        if !bad.is_empty() {
            ensure_quarantine(catalog, table, &quarantine, quarantine_url).await?;
        }
        let data = pending(catalog, &table.name, heads.iter().map(live).collect()).await?;
        let rejects = pending(catalog, &quarantine, bad).await?;
        if data.is_empty() && rejects.is_empty() {
            return Ok(changed);
        }
        changed = true;
        for (name, change) in [(&table.name, &data), (&quarantine, &rejects)] {
            if let Some(refusal) = apply(catalog, name, change).await? {
                refused = refusal;
            }
        }
    }
    let why = if refused.is_empty() { "it takes every change and shows another" } else { &refused };
    Err(Error::unavailable(format!("{}: the catalog does not take what the ledgers say: {why}; the data is safe, run again", table.name)))
}

async fn pending(catalog: &dyn Catalog, name: &TableName, wanted: Vec<Partition>) -> Result<CatalogChange> {
    if wanted.is_empty() {
        return Ok(CatalogChange::default());
    }
    let values: Vec<_> = wanted.iter().map(|partition| partition.values.clone()).collect();
    Ok(difference(wanted, &catalog.get_partitions(name, &values).await?))
}

/// Writes a change and returns what the catalog said of the first entry it refused.
async fn apply(catalog: &dyn Catalog, name: &TableName, change: &CatalogChange) -> Result<Option<String>> {
    let mut refused = None;
    let mut enter = |answer: Result<Vec<EntryError>>| match answer {
        Ok(errors) => {
            let told = errors.first().map(|error| format!("{}: {}", error.values.join("/"), error.message));
            refused = refused.take().or(told);
            Ok(())
        }
        // Somebody else is at it: the next round looks at what came of that.
        Err(e) if e.kind() == Kind::Conflict => {
            refused = Some(e.to_string());
            Ok(())
        }
        Err(e) => Err(e),
    };
    for batch in change.create.chunks(BATCH) {
        enter(catalog.create_partitions(name, batch).await)?;
    }
    for batch in change.update.chunks(BATCH) {
        enter(catalog.update_partitions(name, batch).await)?;
    }
    Ok(refused)
}

async fn ensure_quarantine(catalog: &dyn Catalog, table: &Table, name: &TableName, url: &str) -> Result<()> {
    if catalog.table(name).await?.is_some() {
        return Ok(());
    }
    let parameters: Parameters =
        [("EXTERNAL", "TRUE"), ("classification", "parquet")].map(|(key, value)| (key.to_string(), value.to_string())).into();
    let quarantine = Table {
        name: name.clone(),
        columns: reject::columns(),
        partition_keys: table.partition_keys.clone(),
        location: url.to_string(),
        parameters,
        version: 0,
    };
    match catalog.create_table(&quarantine).await {
        Err(e) if e.kind() != crate::error::Kind::Conflict => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::GenerationId;
    use crate::ledger::DataFile;
    use crate::ledger::testing::{source, version};
    use crate::schema::HiveType;

    fn names(partitions: &[Partition]) -> Vec<&str> {
        partitions.iter().map(|partition| partition.values.last().unwrap().as_str()).collect()
    }

    fn wanted() -> Partition {
        live(&version("14", 2, vec![source("14", "a")]))
    }

    #[test]
    fn a_partition_says_which_version_of_the_ledger_it_shows() {
        let partition = wanted();
        assert_eq!(partition.values, ["2026", "11", "19", "14"]);
        assert!(partition.location.ends_with("/hour=14/g00000002-01J00000000000000000000000/"));
        assert_eq!(partition.parameters["lakebed.ledger_version"], "2");
        assert_eq!(partition.parameters["lakebed.rows"], "10");
        assert_eq!(partition.parameters["classification"], "parquet");
    }

    #[test]
    fn what_is_missing_is_created_what_differs_is_updated_and_the_rest_left() {
        let [a, b, c] = ["13", "14", "15"].map(|hour| live(&version(hour, 1, vec![source(hour, "a")])));
        let old = Partition { location: "file:///elsewhere/".into(), ..c.clone() };
        let foreign = Partition { values: vec!["x".into()], ..a.clone() };
        let change = difference(vec![a, b.clone(), c.clone()], &[b, old, foreign]);
        assert_eq!((names(&change.create), names(&change.update)), (vec!["13"], vec!["15"]));
        assert_eq!(change.update[0].location, c.location);
        assert!(!change.is_empty() && difference(vec![c.clone()], &[c]).is_empty());
        assert!(difference(vec![], &[wanted()]).is_empty());
    }

    #[test]
    fn other_columns_are_a_difference() {
        let column = Column { name: "id".into(), hive: HiveType::BigInt, comment: None };
        let there = Partition { columns: vec![column], ..wanted() };
        assert_eq!(difference(vec![wanted()], &[there]).update, [wanted()]);
    }

    #[test]
    fn what_others_noted_on_a_partition_stays_and_no_difference_comes_of_it() {
        let mut there = wanted();
        there.parameters.insert("owner".into(), "shop".into());
        assert!(difference(vec![wanted()], std::slice::from_ref(&there)).is_empty());
        there.parameters.insert("lakebed.rows".into(), "9".into());
        let change = difference(vec![wanted()], &[there]);
        assert_eq!(change.update[0].parameters["owner"], "shop");
        assert_eq!(change.update[0].parameters["lakebed.rows"], "10");
    }

    #[test]
    fn the_quarantine_is_a_partition_of_its_own_once_there_is_one() {
        let mut head = version("14", 1, vec![source("14", "a")]);
        assert_eq!(quarantined(&head), None);
        let id = GenerationId { number: 1, attempt: "01J00000000000000000000000".into() };
        let files = vec![DataFile { name: "part-00000.parquet".into(), rows: 3, bytes: 9 }];
        head.quarantine = Some(Generation { id, location: "file:///state/quarantine/".into(), files });
        let partition = quarantined(&head).unwrap();
        assert_eq!((partition.location.as_str(), &*partition.parameters["lakebed.rows"]), ("file:///state/quarantine/", "3"));
        assert_eq!((partition.columns, partition.values), (reject::columns(), wanted().values));
    }
}
