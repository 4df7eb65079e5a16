//! Bringing the catalog in step, with a catalog that refuses and with others who change what it says.

use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::catalog::drift::LEDGER_VERSION;
use crate::catalog::filter::Filter;
use crate::catalog::local::LocalCatalog;
use crate::catalog::{FileFormat, Parameters};
use crate::ledger::testing::{empty, partition, source, version};
use crate::ledger::{Counts, LedgerVersion, Source};
use crate::schema::{Column, HiveType};
use crate::store::Root;

fn table() -> Table {
    let keys = ["year", "month", "day", "hour"].map(|name| Column { name: name.into(), hive: HiveType::String, comment: None });
    Table {
        name: TableName { database: "shop".into(), name: "clicks".into() },
        columns: vec![],
        partition_keys: keys.to_vec(),
        location: "file:///lake/".into(),
        format: FileFormat::Parquet,
        external: true,
        parameters: Parameters::new(),
        version: 0,
    }
}

/// A lake whose ledgers of some hours have two versions each.
async fn lake(hours: &[&str]) -> (LocalCatalog, LedgerStore, Vec<[LedgerVersion; 2]>) {
    let (catalog, ledgers) = (LocalCatalog::in_memory().unwrap(), LedgerStore::new(Root::in_memory()));
    let mut all = Vec::new();
    for hour in hours {
        let [first, second] = [1, 2].map(|number| version(hour, number, vec![source(hour, "a")]));
        ledgers.commit(&first, None).await.unwrap();
        ledgers.commit(&second, Some(&first)).await.unwrap();
        all.push([first, second]);
    }
    catalog.ensure_database("shop").await.unwrap();
    catalog.create_table(&table()).await.unwrap();
    (catalog, ledgers, all)
}

async fn bring(catalog: &dyn Catalog, ledgers: &LedgerStore, hours: &[&str]) -> Result<Reconciled> {
    let partitions: Vec<PartitionId> = hours.iter().map(|hour| partition(hour)).collect();
    reconcile(catalog, ledgers, &table(), "file:///quarantine/", &partitions, &BTreeMap::new(), Pace::default()).await
}

/// Which version the catalog shows of which hour.
async fn there(catalog: &LocalCatalog) -> Vec<String> {
    let all = catalog.partitions(&table().name, &Filter::all()).await.unwrap();
    all.iter().map(|one| format!("{} {}", one.values[3], one.parameters[LEDGER_VERSION])).collect()
}

/// Brings in step what `registered` (a version, or nothing) is there of, with `known` read earlier; what the catalog says then.
async fn in_step(registered: Option<usize>, known: Option<usize>) -> (Reconciled, Vec<String>) {
    let (catalog, ledgers, versions) = lake(&["14"]).await;
    if let Some(there) = registered {
        catalog.create_partitions(&table(), &[Wanted::of(&versions[0][there - 1]).live]).await.unwrap();
    }
    let known = known.map(|version| (partition("14"), Wanted::of(&versions[0][version - 1]))).into_iter().collect();
    let done = reconcile(&catalog, &ledgers, &table(), "file:///quarantine/", &[partition("14")], &known, Pace::default()).await.unwrap();
    (done, there(&catalog).await)
}

#[tokio::test]
async fn what_was_read_earlier_may_end_the_work_and_is_never_written() {
    let check = async |registered, known, changed, version: &str| {
        let (done, there) = in_step(registered, known).await;
        assert_eq!((done.changed, done.foreign, there), (changed, vec![], vec![format!("14 {version}")]), "{registered:?} {known:?}");
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

#[tokio::test]
async fn what_somebody_changed_is_told_although_the_hour_is_amended_meanwhile() {
    let told = async |change: &dyn Fn(&mut Partition)| {
        let (catalog, ledgers, versions) = lake(&["14"]).await;
        let mut older = Wanted::of(&versions[0][0]).live;
        change(&mut older);
        catalog.create_partitions(&table(), &[older]).await.unwrap();
        let done = bring(&catalog, &ledgers, &["14"]).await.unwrap();
        assert_eq!(there(&catalog).await, ["14 2"]);
        done.foreign.into_iter().flat_map(|foreign| foreign.changes).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(told(&|_| {}).await, "", "what lakebed wrote for an older version");
    assert_eq!(told(&|p| drop(p.parameters.remove("lakebed.rows"))).await, "", "what an older lakebed did not write");
    assert_eq!(told(&|p| drop(p.parameters.insert("owner".into(), "shop".into()))).await, "");
    let moved = told(&|p| p.location = "file:///x/".into()).await;
    assert!(moved.starts_with("its location is file:///x/ instead of file:///lake/") && moved.contains("/g00000001-"), "{moved}");
    let column = Column { name: "crawled".into(), hive: HiveType::BigInt, comment: None };
    assert_eq!(told(&|p| p.columns.push(column.clone())).await, "column crawled bigint is new");
    let unknown = told(&|p| drop(p.parameters.insert(LEDGER_VERSION.into(), "7".into()))).await;
    assert!(unknown.starts_with("its lakebed.ledger_version is 7, which its ledger does not have"), "{unknown}");
}

/// What the catalog says to one call.
enum Says {
    /// These hours are refused.
    Refused(Kind, &'static [&'static str]),
    /// The whole call fails.
    Fails(Kind),
    /// The call is taken, and its answer is lost.
    Lost,
}

/// A catalog that refuses what it is told to, call by call, and then nothing more.
struct Refusing {
    inner: LocalCatalog,
    /// Answers to the next calls that write partitions, the next one last.
    writes: Mutex<Vec<Says>>,
    /// Which of the next calls that read partitions fail, the next one last.
    reads: Mutex<Vec<bool>>,
}

impl Refusing {
    fn new(inner: LocalCatalog, mut writes: Vec<Says>) -> Self {
        writes.reverse();
        Self { inner, writes: Mutex::new(writes), reads: Mutex::default() }
    }

    /// Which of the partitions are to be written, and what is to be answered if that goes well.
    fn sorted(&self, partitions: &[Partition]) -> Result<(Vec<Partition>, Result<Vec<EntryError>>)> {
        match self.writes.lock().unwrap().pop() {
            None => Ok((partitions.to_vec(), Ok(vec![]))),
            Some(Says::Fails(kind)) => Err(Error::new(kind, "the call fails")),
            Some(Says::Lost) => Ok((partitions.to_vec(), Err(Error::unavailable("the answer is lost")))),
            Some(Says::Refused(kind, hours)) => {
                let (no, yes): (Vec<_>, Vec<_>) = partitions.iter().cloned().partition(|one| hours.contains(&&*one.values[3]));
                let error = |one: Partition| EntryError { values: one.values, kind, message: "no".into() };
                Ok((yes, Ok(no.into_iter().map(error).collect())))
            }
        }
    }
}

#[async_trait]
impl Catalog for Refusing {
    async fn ensure_database(&self, database: &str) -> Result<()> {
        self.inner.ensure_database(database).await
    }

    async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        self.inner.table(name).await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        self.inner.tables().await
    }

    async fn create_table(&self, table: &Table) -> Result<()> {
        self.inner.create_table(table).await
    }

    async fn update_table(&self, table: &Table) -> Result<()> {
        self.inner.update_table(table).await
    }

    async fn partitions(&self, name: &TableName, filter: &Filter) -> Result<Vec<Partition>> {
        self.inner.partitions(name, filter).await
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        if self.reads.lock().unwrap().pop() == Some(true) {
            return Err(Error::unavailable("it does not answer"));
        }
        self.inner.get_partitions(name, values).await
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let (yes, answer) = self.sorted(partitions)?;
        let mut no = self.inner.create_partitions(table, &yes).await?;
        no.extend(answer?);
        Ok(no)
    }

    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let (yes, answer) = self.sorted(partitions)?;
        let mut no = self.inner.update_partitions(table, &yes).await?;
        no.extend(answer?);
        Ok(no)
    }
}

fn refused(done: &Reconciled) -> Vec<(String, Kind)> {
    done.refused.iter().map(|(id, error)| (id.values().pop().unwrap(), error.kind())).collect()
}

#[tokio::test]
async fn what_is_refused_is_named_and_holds_up_nothing_else() {
    let hours = ["10", "11", "12"];
    let check = async |says: Vec<Says>, shown: &[&str], expected: &[(&str, Kind)]| {
        let (catalog, ledgers, _) = lake(&hours).await;
        let catalog = Refusing::new(catalog, says);
        let done = bring(&catalog, &ledgers, &hours).await.unwrap();
        let expected: Vec<(String, Kind)> = expected.iter().map(|(hour, kind)| (hour.to_string(), *kind)).collect();
        assert_eq!((there(&catalog.inner).await, refused(&done)), (shown.iter().map(ToString::to_string).collect(), expected));
        assert_eq!(done.changed, !shown.is_empty());
        assert!(catalog.writes.lock().unwrap().is_empty(), "not written again, or not to the end");
    };
    use Kind::{Config, Conflict, Unavailable};
    check(vec![Says::Refused(Config, &["11"])], &["10 2", "12 2"], &[("11", Config)]).await;
    // Once it is taken, be it the fifth time, it is there.
    let four = || Says::Refused(Unavailable, &["11"]);
    check(vec![four(), four(), four(), four(), four(), four()], &["10 2", "11 2", "12 2"], &[]).await;
    // A partition that never is as it was thought to be is given up sooner.
    let fights = (0..5).map(|_| Says::Refused(Conflict, &["11"])).collect();
    check(fights, &["10 2", "12 2"], &[("11", Unavailable)]).await;
    let all = |kind| hours.map(|hour| (hour, kind));
    check(vec![Says::Fails(Config)], &[], &all(Config)).await;
    check(vec![Says::Fails(Unavailable)], &[], &all(Unavailable)).await;
    check(vec![Says::Fails(Conflict)], &["10 2", "11 2", "12 2"], &[]).await;
}

#[tokio::test]
async fn what_was_written_is_no_failure_although_the_answer_was_lost() {
    let hours = ["10", "11"];
    let (catalog, ledgers, versions) = lake(&hours).await;
    catalog.create_partitions(&table(), &[Wanted::of(&versions[1][0]).live]).await.unwrap();
    // One is created, and the other one not updated any more: the catalog was asked long enough.
    let catalog = Refusing::new(catalog, vec![Says::Lost]);
    let done = bring(&catalog, &ledgers, &hours).await.unwrap();
    assert_eq!((there(&catalog.inner).await, refused(&done)), (vec!["10 2".into(), "11 1".into()], vec![("11".into(), Kind::Unavailable)]));
    assert!(done.changed && done.refused[&partition("11")].to_string().contains("the answer is lost"), "{done:?}");
    let catalog = Refusing::new(catalog.inner, vec![Says::Lost]);
    let done = bring(&catalog, &ledgers, &hours).await.unwrap();
    assert_eq!((there(&catalog.inner).await, refused(&done), done.changed), (vec!["10 2".into(), "11 2".into()], vec![], true));
}

#[tokio::test]
async fn what_was_set_back_is_told_although_reading_fails_then() {
    let (catalog, ledgers, versions) = lake(&["14"]).await;
    let moved = Partition { location: "file:///x/".into(), ..Wanted::of(&versions[0][1]).live };
    catalog.create_partitions(&table(), &[moved]).await.unwrap();
    let catalog = Refusing::new(catalog, vec![]);
    *catalog.reads.lock().unwrap() = vec![true, false];
    let done = bring(&catalog, &ledgers, &["14"]).await.unwrap();
    assert_eq!((done.foreign.len(), refused(&done)), (1, vec![("14".to_string(), Kind::Unavailable)]));
    // A catalog that cannot be read at all is an error.
    *catalog.reads.lock().unwrap() = vec![true];
    assert_eq!(bring(&catalog, &ledgers, &["14"]).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn nothing_is_written_for_a_table_whose_partitions_readers_make_up() {
    let (catalog, ledgers, _) = lake(&["14"]).await;
    let mut projected = catalog.table(&table().name).await.unwrap().unwrap();
    projected.parameters.insert("projection.enabled".into(), "true".into());
    catalog.update_table(&projected).await.unwrap();
    let error = bring(&catalog, &ledgers, &["14"]).await.unwrap_err();
    assert!(error.kind() == Kind::Config && error.to_string().contains("projection.enabled = true"), "{error}");
    assert!(there(&catalog).await.is_empty());
}

#[tokio::test]
async fn a_quarantine_that_cannot_be_used_does_not_hold_up_the_table() {
    let (catalog, ledgers, mut versions) = lake(&["14"]).await;
    let second = &mut versions[0][1];
    let bad = Source { counts: Counts { read: 10, quarantined: 10, ..Counts::default() }, ..source("14", "b") };
    let mut third = version("14", 3, vec![source("14", "a"), bad]);
    third.quarantine = Some(second.generation.clone());
    ledgers.commit(&third, Some(second)).await.unwrap();
    assert!(bring(&catalog, &ledgers, &["14"]).await.unwrap().refused.is_empty());
    let name = crate::layout::quarantine_table(&table().name);
    let mut projected = catalog.table(&name).await.unwrap().unwrap();
    projected.parameters.insert("projection.enabled".into(), "true".into());
    catalog.update_table(&projected).await.unwrap();
    let older = Wanted::of(second).live;
    catalog.update_partitions(&table(), &[older]).await.unwrap();
    for changed in [true, false] {
        let done = bring(&catalog, &ledgers, &["14"]).await.unwrap();
        assert_eq!((refused(&done), there(&catalog).await), (vec![("14".to_string(), Kind::Config)], vec!["14 3".to_string()]));
        assert_eq!(done.changed, changed);
        let told = done.refused[&partition("14")].to_string();
        assert!(told.contains("table shop.clicks_quarantine has projection.enabled = true"), "{told}");
    }
}

#[tokio::test]
async fn a_partition_that_was_only_closed_is_not_shown_until_something_is_in_it() {
    let (catalog, ledgers, _) = lake(&[]).await;
    let void = empty("14", 1);
    ledgers.commit(&void, None).await.unwrap();
    let brought = bring(&catalog, &ledgers, &["14"]).await.unwrap();
    assert_eq!((brought.changed, there(&catalog).await), (false, vec![]));
    ledgers.commit(&version("14", 2, vec![source("14", "a")]), Some(&void)).await.unwrap();
    bring(&catalog, &ledgers, &["14"]).await.unwrap();
    assert_eq!(there(&catalog).await, ["14 2"]);
}
