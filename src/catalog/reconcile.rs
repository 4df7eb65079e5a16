//! Makes the catalog say what the ledgers say: a pure difference, applied until it is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::drift::{ColumnDrift, ForeignChange, LEDGER_VERSION, changed_by_others, column_drift};
use super::{Catalog, EntryError, FileFormat, Parameters, Partition, Table, TableName};
use crate::error::{Error, Kind, Result};
use crate::layout::{self, Note, PartitionId};
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

/// What a ledger version wants the catalog to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The partition of the table.
    pub live: Partition,
    /// The partition of the quarantine; none while nothing has been quarantined.
    pub quarantine: Option<Partition>,
}

/// What has to change in the catalog for some partitions of one table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CatalogChange {
    /// Partitions that the catalog does not have.
    pub create: Vec<Partition>,
    /// Partitions that it has differently.
    pub update: Vec<Partition>,
    /// Of those to update, the values of the ones that something else than lakebed changed, and what it changed.
    pub foreign: Vec<(Vec<String>, Vec<String>)>,
}

/// What bringing the catalog in step came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Anything had to be changed.
    pub changed: bool,
    /// What something else than lakebed had changed, and was set back.
    pub foreign: Vec<ForeignChange>,
    /// Partitions of the table that the catalog did not have, and the versions that their ledgers have.
    pub missing: Vec<(PartitionId, u64)>,
}

impl CatalogChange {
    /// True if the catalog says what the ledgers say.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty() && self.update.is_empty()
    }

    fn values(&self) -> impl Iterator<Item = &Vec<String>> {
        self.create.iter().chain(&self.update).map(|partition| &partition.values)
    }
}

impl Wanted {
    /// What this version wants.
    pub fn of(version: &LedgerVersion) -> Self {
        let quarantine = version.quarantine.as_ref().map(|generation| entry(version, generation, reject::columns()));
        Self { live: entry(version, &version.generation, version.columns.clone()), quarantine }
    }
}

fn entry(version: &LedgerVersion, generation: &Generation, columns: Vec<Column>) -> Partition {
    let parameters: [(&str, String); 4] = [
        ("classification", "parquet".to_string()),
        ("lakebed.generation", generation.id.to_string()),
        (LEDGER_VERSION, version.version.to_string()),
        ("lakebed.rows", generation.rows().to_string()),
    ];
    let parameters = parameters.map(|(key, value)| (key.to_string(), value)).into();
    let (values, location) = (version.partition.values(), generation.location.clone());
    Partition { values, location, columns, format: FileFormat::Parquet, parameters }
}

/// The difference between what is wanted and what is there. Parameters that are not lakebed's own make none.
pub fn difference(wanted: Vec<Partition>, there: &[Partition]) -> CatalogChange {
    let there: BTreeMap<_, _> = there.iter().map(|partition| (&partition.values, partition)).collect();
    let mut change = CatalogChange::default();
    for partition in wanted {
        match there.get(&partition.values) {
            None => change.create.push(partition),
            Some(old) if says(old, &partition) => {}
            Some(old) => {
                let foreign = changed_by_others(&as_made(&partition, old), old);
                if !foreign.is_empty() {
                    change.foreign.push((partition.values.clone(), foreign));
                }
                change.update.push(partition);
            }
        }
    }
    change
}

/// What is wanted of a partition, in the columns that the lakebed had that registered it: those of a quarantine grew behind the others.
fn as_made(wanted: &Partition, there: &Partition) -> Partition {
    let columns = reject::columns();
    let is_quarantine = wanted.columns == columns && there.columns.len() >= reject::FIRST_COLUMNS;
    let same = |(one, other): (&Column, &Column)| (&one.name, &one.hive) == (&other.name, &other.hive);
    match is_quarantine && there.columns.len() < columns.len() && there.columns.iter().zip(&columns).all(same) {
        true => Partition { columns: there.columns.clone(), ..wanted.clone() },
        false => wanted.clone(),
    }
}

fn says(there: &Partition, wanted: &Partition) -> bool {
    let parameters = wanted.parameters.iter().all(|(key, value)| there.parameters.get(key) == Some(value));
    // Comments do not count: another version of lakebed may word those of the quarantine in another way.
    let columns = column_drift(&wanted.columns, &there.columns) == ColumnDrift::default();
    parameters && columns && (&there.location, &there.format) == (&wanted.location, &wanted.format)
}

impl Reconciled {
    /// What people should know of it. `notes` are those that the table had before: what a note is of may never have been registered.
    pub fn warnings(&self, notes: &[Note]) -> Vec<String> {
        let foreign = self.foreign.iter().map(|change| format!("{change}; it is set back to what its ledger says"));
        let deleted = self.missing.iter().filter(|(partition, version)| was_registered(notes, partition, *version));
        let deleted = deleted.map(|(partition, _)| {
            format!("partition {partition} was taken out of the catalog by something else than lakebed; it is registered again, as its ledger says")
        });
        let mut told: Vec<String> = foreign.chain(deleted).collect();
        if !told.is_empty() {
            told.push(
                "leave no crawler, and nothing else that alters partitions, on a table of lakebed; `lakebed partitions` shows what the \
                 ledgers and what the catalog say"
                    .to_string(),
            );
        }
        told
    }

    /// Something that is undone again and again is told once.
    fn enter(&mut self, name: &TableName, keys: &[Column], change: &CatalogChange) {
        for (values, changes) in &change.foreign {
            let partition = PartitionId::new(keys.iter().map(|key| key.name.clone()).zip(values.iter().cloned()));
            if !self.foreign.iter().any(|known| known.table == *name && known.partition == partition) {
                self.foreign.push(ForeignChange { table: name.clone(), partition, changes: changes.clone() });
            }
        }
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
/// # Errors
/// `Unavailable` if the catalog keeps refusing, naming the first partition and its reason.
pub async fn reconcile(
    catalog: &dyn Catalog,
    ledgers: &LedgerStore,
    table: &Table,
    quarantine_url: &str,
    partitions: &[PartitionId],
    known: &BTreeMap<PartitionId, Wanted>,
) -> Result<Reconciled> {
    let mut pair = Pair { catalog, table, quarantine_url, quarantine: None };
    let open = pair.unsettled(partitions, known).await?;
    let mut done = Reconciled::default();
    if open.is_empty() {
        return Ok(done);
    }
    let mut refused = String::new();
    for round in 0..ROUNDS {
        // What is refused or undone at once may go through a little later: the catalog is busy, or somebody else is at it.
        if round > 1 || !refused.is_empty() {
            tokio::time::sleep(PAUSE * 2u32.pow(round as u32)).await;
        }
        let wanted: Vec<Wanted> = ledgers.heads_of(&table.name, &open).await?.iter().map(Wanted::of).collect();
        let changes = pair.changes(&wanted.iter().collect::<Vec<_>>()).await?;
        if changes.iter().all(|(_, change)| change.is_empty()) {
            return Ok(done);
        }
        if !done.changed {
            done.missing = missing(table, &changes);
        }
        done.changed = true;
        for (table, change) in &changes {
            done.enter(&table.name, &table.partition_keys, change);
            if let Some(refusal) = apply(catalog, table, change).await? {
                refused = refusal;
            }
        }
    }
    // The next run finds no trace any more of those that went through.
    done.foreign.iter().for_each(|change| tracing::warn!("{change}"));
    let undone = done.foreign.first().map(ToString::to_string);
    let why = if refused.is_empty() { undone.unwrap_or_else(|| "it takes every change and shows another".to_string()) } else { refused };
    Err(Error::unavailable(format!("{}: the catalog does not take what the ledgers say: {why}; the data is safe, run again", table.name)))
}

/// The partitions of the table itself that are to be created, and their versions.
fn missing(table: &Table, changes: &[(Table, CatalogChange)]) -> Vec<(PartitionId, u64)> {
    let created = changes.iter().filter(|(of, _)| of.name == table.name).flat_map(|(_, change)| &change.create);
    let version = |partition: &Partition| partition.parameters.get(LEDGER_VERSION).and_then(|text| text.parse().ok()).unwrap_or(1);
    let keys = || table.partition_keys.iter().map(|key| key.name.clone());
    created.map(|partition| (PartitionId::new(keys().zip(partition.values.iter().cloned())), version(partition))).collect()
}

/// A table and its quarantine in the catalog.
struct Pair<'a> {
    catalog: &'a dyn Catalog,
    table: &'a Table,
    quarantine_url: &'a str,
    /// Once it is needed, and known to exist.
    quarantine: Option<Table>,
}

impl Pair<'_> {
    /// The partitions of which the catalog may say something else than their ledgers.
    async fn unsettled(&mut self, partitions: &[PartitionId], known: &BTreeMap<PartitionId, Wanted>) -> Result<Vec<PartitionId>> {
        let changes = self.changes(&known.values().collect::<Vec<_>>()).await?;
        let differing: BTreeSet<&Vec<String>> = changes.iter().flat_map(|(_, change)| change.values()).collect();
        let settled = |id: &&PartitionId| known.get(*id).is_some_and(|wanted| !differing.contains(&wanted.live.values));
        Ok(partitions.iter().filter(|id| !settled(id)).cloned().collect())
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
            let quarantine = match self.quarantine.take() {
                Some(quarantine) => quarantine,
                None => ensure_quarantine(self.catalog, self.table, self.quarantine_url).await?,
            };
            changes.push((quarantine.clone(), pending(self.catalog, &quarantine.name, rejects).await?));
            self.quarantine = Some(quarantine);
        }
        Ok(changes)
    }
}

async fn pending(catalog: &dyn Catalog, name: &TableName, wanted: Vec<Partition>) -> Result<CatalogChange> {
    let values: Vec<_> = wanted.iter().map(|partition| partition.values.clone()).collect();
    Ok(difference(wanted, &catalog.get_partitions(name, &values).await?))
}

/// Writes a change and returns what the catalog said of the first entry it refused.
async fn apply(catalog: &dyn Catalog, table: &Table, change: &CatalogChange) -> Result<Option<String>> {
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
        enter(catalog.create_partitions(table, batch).await)?;
    }
    for batch in change.update.chunks(BATCH) {
        enter(catalog.update_partitions(table, batch).await)?;
    }
    Ok(refused)
}

/// The quarantine's table, which is made if it does not exist.
async fn ensure_quarantine(catalog: &dyn Catalog, table: &Table, url: &str) -> Result<Table> {
    let name = layout::quarantine_table(&table.name);
    if let Some(there) = catalog.table(&name).await? {
        return with_all_columns(catalog, there).await;
    }
    let parameters: Parameters =
        [("EXTERNAL", "TRUE"), ("classification", "parquet")].map(|(key, value)| (key.to_string(), value.to_string())).into();
    let quarantine = Table {
        name,
        columns: reject::columns(),
        partition_keys: table.partition_keys.clone(),
        location: url.to_string(),
        format: FileFormat::Parquet,
        parameters,
        version: 0,
    };
    match catalog.create_table(&quarantine).await {
        Err(e) if e.kind() != Kind::Conflict => Err(e),
        _ => Ok(quarantine),
    }
}

/// A quarantine that an older lakebed made gets the columns that came since, behind those that it has: its files read as before.
async fn with_all_columns(catalog: &dyn Catalog, there: Table) -> Result<Table> {
    let ColumnDrift { appended, other } = column_drift(&there.columns, &reject::columns());
    if appended.is_empty() || !other.is_empty() {
        return Ok(there);
    }
    let columns = there.columns.iter().cloned().chain(appended).collect();
    let wider = Table { columns, ..there };
    match catalog.update_table(&wider).await {
        // Another run did it.
        Err(e) if e.kind() != Kind::Conflict => Err(e),
        _ => Ok(wider),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::local::LocalCatalog;
    use crate::layout::GenerationId;
    use crate::ledger::DataFile;
    use crate::ledger::testing::{partition, source, version};
    use crate::schema::HiveType;
    use crate::store::Root;

    fn names(partitions: &[Partition]) -> Vec<&str> {
        partitions.iter().map(|partition| partition.values.last().unwrap().as_str()).collect()
    }

    fn wanted() -> Partition {
        Wanted::of(&version("14", 2, vec![source("14", "a")])).live
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
        let [a, b, c] = ["13", "14", "15"].map(|hour| Wanted::of(&version(hour, 1, vec![source(hour, "a")])).live);
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
    fn what_others_noted_on_a_partition_makes_no_difference() {
        let mut there = wanted();
        there.parameters.insert("owner".into(), "shop".into());
        assert!(difference(vec![wanted()], std::slice::from_ref(&there)).is_empty());
        there.parameters.remove("lakebed.rows");
        let change = difference(vec![wanted()], &[there]);
        assert_eq!((change.update, change.foreign), (vec![wanted()], vec![]));
    }

    #[test]
    fn what_others_changed_on_a_partition_is_told_once_and_advice_given() {
        let there = Partition { location: "file:///elsewhere/".into(), ..wanted() };
        let change = difference(vec![wanted()], &[there]);
        assert_eq!(change.update, [wanted()]);
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let keys = ["year", "month", "day", "hour"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
        let mut done = Reconciled::default();
        assert_eq!(done.warnings(&[]), Vec::<String>::new());
        done.enter(&name, &keys, &change);
        done.enter(&name, &keys, &change);
        let [warning, advice] = &done.warnings(&[])[..] else { panic!("{done:?}") };
        let told = "partition year=2026/month=11/day=19/hour=14 of shop.clicks was changed by something else than lakebed: its location is \
                    file:///elsewhere/ instead of file:///lake/year=2026/month=11/day=19/hour=14/g00000002-01J00000000000000000000000/; it is \
                    set back to what its ledger says";
        assert_eq!(warning, told);
        assert!(advice.contains("leave no crawler"), "{advice}");
    }

    #[test]
    fn a_quarantine_that_an_older_lakebed_registered_is_brought_up_to_date_and_not_told() {
        let all = reject::columns();
        let wanted = Partition { columns: all.clone(), ..wanted() };
        let check = |change: &dyn Fn(&mut Partition), foreign: usize| {
            let mut there = wanted.clone();
            change(&mut there);
            let change = difference(vec![wanted.clone()], std::slice::from_ref(&there));
            assert_eq!((change.update.len(), change.foreign.len()), (1, foreign), "{:?} {:?}", there.columns, change.foreign);
        };
        for columns in reject::FIRST_COLUMNS..all.len() {
            check(&|there| there.columns.truncate(columns), 0);
        }
        check(&|there| there.columns.truncate(reject::FIRST_COLUMNS - 1), 1);
        check(&|there| drop(there.columns.remove(0)), 1);
        check(&|there| there.columns[1].hive = HiveType::String, 1);
        check(&|there| (there.columns.truncate(8), there.location.push('x')).0, 1);
        // The columns of a table are those of its ledger version.
        let table = Partition { columns: all[..8].to_vec(), ..wanted.clone() };
        let shorter = Partition { columns: all[..7].to_vec(), ..table.clone() };
        assert_eq!(difference(vec![table], &[shorter]).foreign.len(), 1);
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

    #[test]
    fn the_quarantine_is_a_partition_of_its_own_once_there_is_one() {
        let mut head = version("14", 1, vec![source("14", "a")]);
        assert_eq!(Wanted::of(&head).quarantine, None);
        let id = GenerationId { number: 1, attempt: "01J00000000000000000000000".into() };
        let files = vec![DataFile { name: "part-00000.parquet".into(), rows: 3, bytes: 9 }];
        head.quarantine = Some(Generation { id, location: "file:///state/quarantine/".into(), files });
        let partition = Wanted::of(&head).quarantine.unwrap();
        assert_eq!((partition.location.as_str(), &*partition.parameters["lakebed.rows"]), ("file:///state/quarantine/", "3"));
        assert_eq!((partition.columns, partition.values), (reject::columns(), wanted().values));
    }

    #[tokio::test]
    async fn a_quarantine_of_before_gets_the_columns_that_came_since() {
        let (catalog, _, table, _) = amended().await;
        let all = reject::columns();
        let quarantine = ensure_quarantine(&catalog, &table, "file:///quarantine/").await.unwrap();
        let old = Table { columns: all[..7].to_vec(), ..catalog.table(&quarantine.name).await.unwrap().unwrap() };
        catalog.update_table(&old).await.unwrap();
        for _ in 0..2 {
            assert_eq!(ensure_quarantine(&catalog, &table, "file:///quarantine/").await.unwrap().columns, all);
            assert_eq!(catalog.table(&quarantine.name).await.unwrap().unwrap().columns, all);
        }
        assert_eq!(catalog.table_versions(&quarantine.name).unwrap().len(), 3, "made, as it was before, and widened once");
    }

    /// A lake whose ledger of one hour has two versions.
    async fn amended() -> (LocalCatalog, LedgerStore, Table, [LedgerVersion; 2]) {
        let (catalog, ledgers) = (LocalCatalog::in_memory().unwrap(), LedgerStore::new(Root::in_memory()));
        let versions = [1, 2].map(|number| version("14", number, vec![source("14", "a")]));
        let [first, second] = &versions;
        ledgers.commit(first, None).await.unwrap();
        ledgers.commit(second, Some(first)).await.unwrap();
        let keys = ["year", "month", "day", "hour"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
        let table = Table {
            name: first.table.clone(),
            columns: vec![],
            partition_keys: keys.to_vec(),
            location: "file:///lake/".into(),
            format: FileFormat::Parquet,
            parameters: Parameters::new(),
            version: 0,
        };
        catalog.ensure_database("shop").await.unwrap();
        catalog.create_table(&table).await.unwrap();
        (catalog, ledgers, table, versions)
    }

    /// Brings in step what `registered` (a version, or nothing) is there of, with `known` read earlier; what the catalog says then.
    async fn in_step(registered: Option<usize>, known: Option<usize>) -> (Reconciled, Vec<String>) {
        let (catalog, ledgers, table, versions) = amended().await;
        if let Some(there) = registered {
            catalog.create_partitions(&table, &[Wanted::of(&versions[there - 1]).live]).await.unwrap();
        }
        let known = known.map(|version| (partition("14"), Wanted::of(&versions[version - 1]))).into_iter().collect();
        let done = reconcile(&catalog, &ledgers, &table, "file:///quarantine/", &[partition("14")], &known).await.unwrap();
        let there = catalog.get_partitions(&table.name, &[partition("14").values()]).await.unwrap();
        (done, there.into_iter().map(|partition| partition.parameters[LEDGER_VERSION].clone()).collect())
    }

    #[tokio::test]
    async fn what_was_read_earlier_may_end_the_work_and_is_never_written() {
        let check = async |registered, known, changed, version: &str| {
            let (done, there) = in_step(registered, known).await;
            assert_eq!((done.changed, done.foreign, there), (changed, vec![], vec![version.to_string()]), "{registered:?} {known:?}");
        };
        check(None, None, true, "2").await;
        check(None, Some(1), true, "2").await;
        check(Some(1), Some(2), true, "2").await;
        check(Some(2), Some(2), false, "2").await;
        // Another run committed and registered 2 since: it is not undone, not even for a moment.
        check(Some(2), Some(1), false, "2").await;
        // Another run committed 2 since, and is about to register it itself.
        check(Some(1), Some(1), false, "1").await;
    }
}
