//! The contract of the `Catalog` port: one function a behaviour, run on every catalog.

use std::ops::Bound;
use std::sync::Arc;

use lakebed::catalog::filter::{Condition, Filter};
use lakebed::catalog::glue::GlueCatalog;
use lakebed::catalog::local::LocalCatalog;
use lakebed::catalog::{Catalog, EntryError, FileFormat, Parameters, Partition, Table, TableName};
use lakebed::error::Kind;
use lakebed::schema::{Column, HiveType};

use crate::support::moto::Account;

fn column(name: &str, hive: HiveType) -> Column {
    Column { name: name.to_string(), hive, comment: None }
}

fn name(database: &str, name: &str) -> TableName {
    TableName { database: database.to_string(), name: name.to_string() }
}

/// A table with one column of each kind of type, a comment, and two partition keys.
fn clicks() -> Table {
    let attributes = HiveType::Map(Box::new(HiveType::String), Box::new(HiveType::String));
    let item = HiveType::Struct(vec![("sku".to_string(), HiveType::String), ("price".to_string(), HiveType::Decimal(10, 2))]);
    let mut id = column("event_id", HiveType::String);
    id.comment = Some("\"one\" of a kind, it's 100 % unique".to_string());
    Table {
        name: name("shop", "clicks"),
        columns: vec![id, column("attributes", attributes), column("items", HiveType::Array(Box::new(item)))],
        partition_keys: vec![column("day", HiveType::String), column("hour", HiveType::Int)],
        location: "file:///lake/shop/clicks/".to_string(),
        format: FileFormat::Parquet,
        external: true,
        parameters: Parameters::from([("classification".to_string(), "parquet".to_string())]),
        version: 77,
    }
}

fn partition(day: &str, hour: &str) -> Partition {
    Partition {
        values: vec![day.to_string(), hour.to_string()],
        location: format!("file:///lake/shop/clicks/day={day}/hour={hour}/g00000001-a/"),
        columns: clicks().columns,
        format: FileFormat::Parquet,
        parameters: Parameters::from([("lakebed.generation".to_string(), "1".to_string())]),
    }
}

/// The table as the catalog has it after its creation.
async fn with_clicks(catalog: &dyn Catalog) -> Table {
    catalog.ensure_database("shop").await.unwrap();
    catalog.create_table(&clicks()).await.unwrap();
    read(catalog).await
}

async fn read(catalog: &dyn Catalog) -> Table {
    catalog.table(&clicks().name).await.unwrap().unwrap()
}

async fn all(catalog: &dyn Catalog) -> Vec<Partition> {
    catalog.partitions(&clicks().name, &Filter::all()).await.unwrap()
}

#[track_caller]
fn check_entry_errors(errors: &[EntryError], kind: Kind, expected: &[(&[&str], &str)]) {
    assert_eq!(errors.len(), expected.len(), "{errors:?}");
    for (error, (values, says)) in errors.iter().zip(expected) {
        assert_eq!((error.values.iter().map(String::as_str).collect::<Vec<_>>(), error.kind), (values.to_vec(), kind), "{error:?}");
        assert!(error.message.contains(says), "{error:?}");
    }
}

#[track_caller]
fn check_none(errors: &[EntryError]) {
    assert_eq!(errors, []);
}

/// A database can be made again and again.
pub async fn databases_are_ensured(catalog: &dyn Catalog) {
    catalog.ensure_database("shop").await.unwrap();
    catalog.ensure_database("shop").await.unwrap();
    catalog.create_table(&clicks()).await.unwrap();
    catalog.ensure_database("shop").await.unwrap();
    assert_eq!(catalog.tables().await.unwrap().len(), 1);
}

/// What was put in comes out, types, comments and parameters as they were; the version is the catalog's.
pub async fn a_table_reads_back_as_created(catalog: &dyn Catalog) {
    let there = with_clicks(catalog).await;
    assert_eq!(there, Table { version: there.version, ..clicks() });
    assert_ne!(there.version, clicks().version);
}

/// A table that is not there is `None`, also in a database that is not there.
pub async fn a_missing_table_is_none(catalog: &dyn Catalog) {
    assert_eq!(catalog.table(&name("nowhere", "clicks")).await.unwrap(), None);
    with_clicks(catalog).await;
    assert_eq!(catalog.table(&name("shop", "orders")).await.unwrap(), None);
}

/// A second creation is a conflict and changes nothing.
pub async fn a_table_is_created_once(catalog: &dyn Catalog) {
    let there = with_clicks(catalog).await;
    let other = Table { location: "file:///elsewhere/".to_string(), ..clicks() };
    assert_eq!(catalog.create_table(&other).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(read(catalog).await, there);
}

/// A table needs its database.
pub async fn a_table_without_its_database_is_refused(catalog: &dyn Catalog) {
    assert!(catalog.create_table(&clicks()).await.is_err());
    assert!(catalog.tables().await.unwrap().is_empty());
}

/// Names that the Data Catalog would fold are refused.
pub async fn names_are_lower_case(catalog: &dyn Catalog) {
    assert_eq!(catalog.ensure_database("Shop").await.unwrap_err().kind(), Kind::Config);
    catalog.ensure_database("shop").await.unwrap();
    for wrong in ["Clicks", "click-s", "clicks.raw", ""] {
        let error = catalog.create_table(&Table { name: name("shop", wrong), ..clicks() }).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{wrong}");
    }
}

/// Tables come ordered by database and name.
pub async fn tables_are_ordered(catalog: &dyn Catalog) {
    for (database, table) in [("shop", "orders"), ("shop", "clicks"), ("ads", "views")] {
        catalog.ensure_database(database).await.unwrap();
        catalog.create_table(&Table { name: name(database, table), ..clicks() }).await.unwrap();
    }
    let names: Vec<String> = catalog.tables().await.unwrap().iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["ads.views", "shop.clicks", "shop.orders"]);
}

/// An update replaces the whole definition, and the version grows with each.
pub async fn an_update_replaces_the_definition(catalog: &dyn Catalog) {
    let mut table = with_clicks(catalog).await;
    for round in 0..3 {
        table.columns.push(column(&format!("referrer_{round}"), HiveType::String));
        table.parameters = Parameters::from([("k".to_string(), "v".to_string())]);
        catalog.update_table(&table).await.unwrap();
        let there = read(catalog).await;
        assert!(there.version > table.version, "{} after {}", there.version, table.version);
        assert_eq!(there, Table { version: there.version, ..table });
        table = there;
    }
}

/// An update of a version that somebody replaced meanwhile, or of no table at all, is a conflict and changes nothing.
pub async fn a_stale_update_is_a_conflict(catalog: &dyn Catalog) {
    catalog.ensure_database("shop").await.unwrap();
    assert_eq!(catalog.update_table(&clicks()).await.unwrap_err().kind(), Kind::Conflict);
    let first = with_clicks(catalog).await;
    catalog.update_table(&first).await.unwrap();
    let stale = Table { location: "file:///elsewhere/".to_string(), ..first };
    assert_eq!(catalog.update_table(&stale).await.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(read(catalog).await.location, clicks().location);
}

/// Partitions read back as they were put in, ordered by values.
pub async fn partitions_read_back_in_order(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let given = [partition("2026-11-20", "00"), partition("2026-11-19", "a b/ü=\"%'"), partition("2026-11-19", "13")];
    check_none(&catalog.create_partitions(&table, &given).await.unwrap());
    let [c, b, a] = given;
    assert_eq!(all(catalog).await, [a, b, c]);
}

/// A filter leaves over what its own rules say, whatever of it the catalog decides: texts by their bytes, numbers as numbers.
pub async fn partitions_are_filtered_by_their_keys(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let values =
        [("2026-11-18", "23"), ("2026-11-19", "09"), ("2026-11-19", "10"), ("it's", "9"), ("ü", "7"), ("__HIVE_DEFAULT_PARTITION__", "8")];
    let given = values.map(|(day, hour)| partition(day, hour));
    check_none(&catalog.create_partitions(&table, &given).await.unwrap());
    check_filters(catalog, &table.partition_keys).await;
    // One value that is no number, and the catalog may not be able to decide anything about hours.
    catalog.create_partitions(&table, &[partition("2026-11-19", "ten")]).await.unwrap();
    check_filters(catalog, &table.partition_keys).await;
}

async fn check_filters(catalog: &dyn Catalog, keys: &[Column]) {
    use Bound::{Excluded, Included, Unbounded};
    let one_of = |values: &[&str]| Condition::OneOf(values.iter().map(ToString::to_string).collect());
    let range = |from: Bound<&str>, to: Bound<&str>| Condition::Range(from.map(str::to_string), to.map(str::to_string));
    let cases: [(&[(&str, Condition)], &str); 10] = [
        (&[("day", one_of(&["2026-11-18"]))], "2026-11-18 23"),
        (&[("day", one_of(&["2026-11-19"])), ("hour", one_of(&["9", "11"]))], "2026-11-19 09"),
        (&[("hour", range(Included("9"), Excluded("23")))], "2026-11-19 09, 2026-11-19 10, it's 9"),
        (&[("hour", range(Excluded("9"), Unbounded))], "2026-11-18 23, 2026-11-19 10"),
        (&[("hour", range(Unbounded, Included("8")))], "__HIVE_DEFAULT_PARTITION__ 8, ü 7"),
        (&[("day", range(Included("2026-11-19"), Excluded("it's"))), ("hour", range(Unbounded, Excluded("10")))], "2026-11-19 09"),
        (&[("day", one_of(&["it's", "ü"]))], "it's 9, ü 7"),
        (&[("day", one_of(&["__HIVE_DEFAULT_PARTITION__"]))], ""),
        (&[("day", one_of(&[]))], ""),
        (&[("hour", one_of(&["ten"]))], ""),
    ];
    for (tests, expected) in cases {
        let filter = tests.iter().fold(Filter::all(), |filter, (key, wanted)| filter.and(keys, key, wanted.clone()));
        let found = catalog.partitions(&clicks().name, &filter).await.unwrap();
        let found: Vec<String> = found.iter().map(|partition| partition.values.join(" ")).collect();
        assert_eq!(found.join(", "), expected, "{filter:?}");
    }
}

/// Of the partitions asked for, those come that exist.
pub async fn partitions_are_found_by_values(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let (a, b) = (partition("2026-11-19", "13"), partition("2026-11-19", "14"));
    catalog.create_partitions(&table, &[a.clone(), b.clone()]).await.unwrap();
    let missing = partition("2026-11-19", "15").values;
    assert_eq!(catalog.get_partitions(&table.name, &[missing, b.values.clone()]).await.unwrap(), [b]);
    assert!(catalog.get_partitions(&table.name, &[]).await.unwrap().is_empty());
}

/// A partition that is there already is an error of its entry; the others are created, the old one stays.
pub async fn creating_twice_is_an_entry_error(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let (a, b) = (partition("2026-11-19", "13"), partition("2026-11-19", "14"));
    catalog.create_partitions(&table, std::slice::from_ref(&a)).await.unwrap();
    let again = Partition { location: "file:///elsewhere/".to_string(), ..a.clone() };
    let errors = catalog.create_partitions(&table, &[again, b.clone(), b.clone()]).await.unwrap();
    check_entry_errors(&errors, Kind::Conflict, &[(&["2026-11-19", "13"], "already exists"), (&["2026-11-19", "14"], "already exists")]);
    assert_eq!(all(catalog).await, [a, b]);
}

/// An update replaces a partition whole; one that is not there is an error of its entry.
pub async fn updating_replaces_whole(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let a = partition("2026-11-19", "13");
    catalog.create_partitions(&table, std::slice::from_ref(&a)).await.unwrap();
    let parameters = Parameters::from([("lakebed.generation".to_string(), "2".to_string())]);
    let next = Partition { location: "file:///g2/".to_string(), columns: vec![], parameters, ..a };
    let errors = catalog.update_partitions(&table, &[partition("2026-11-19", "14"), next.clone()]).await.unwrap();
    check_entry_errors(&errors, Kind::Conflict, &[(&["2026-11-19", "14"], "does not exist")]);
    assert_eq!(all(catalog).await, [next]);
}

/// Parameters that an update does not name are others', and stay.
pub async fn updating_keeps_what_others_noted(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let mut noted = partition("2026-11-19", "13");
    noted.parameters.insert("owner \"of\" it".to_string(), "it's null".to_string());
    catalog.create_partitions(&table, std::slice::from_ref(&noted)).await.unwrap();
    let parameters = [("lakebed.generation", "2"), ("lakebed.rows", "")].map(|(key, value)| (key.to_string(), value.to_string()));
    let next = Partition { parameters: parameters.into(), ..noted.clone() };
    check_none(&catalog.update_partitions(&table, std::slice::from_ref(&next)).await.unwrap());
    noted.parameters.extend(next.parameters);
    assert_eq!(all(catalog).await, [noted]);
}

/// A partition has one value a key, of 1 to 1024 bytes, and does not list its keys as columns.
pub async fn partitions_that_cannot_be_are_entry_errors(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let mut few = partition("2026-11-19", "13");
    few.values.pop();
    let (empty, long) = (partition("2026-11-19", ""), partition("2026-11-19", &"h".repeat(1025)));
    let mut listed = partition("2026-11-19", "14");
    listed.columns.push(column("hour", HiveType::Int));
    let longest = partition("2026-11-19", &"h".repeat(1024));

    let given = [few, empty, long.clone(), listed, longest.clone()];
    let errors = catalog.create_partitions(&table, &given).await.unwrap();
    let long_values: Vec<&str> = long.values.iter().map(String::as_str).collect();
    let expected: [(&[&str], &str); 4] =
        [(&["2026-11-19"], "one value a key"), (&["2026-11-19", ""], "`hour`"), (&long_values, "1024"), (&["2026-11-19", "14"], "`hour`")];
    check_entry_errors(&errors, Kind::Config, &expected);
    assert_eq!(all(catalog).await, [longest]);
}

/// More partitions than one call of Glue may have are created, updated and found all the same.
pub async fn many_partitions_at_once(catalog: &dyn Catalog) {
    let table = with_clicks(catalog).await;
    let given: Vec<Partition> = (0..1001).map(|number| partition("2026-11-19", &format!("{number:04}"))).collect();
    let values: Vec<Vec<String>> = given.iter().map(|partition| partition.values.clone()).collect();
    check_none(&catalog.create_partitions(&table, &given).await.unwrap());
    let mut found = catalog.get_partitions(&table.name, &values).await.unwrap();
    found.sort_by(|a, b| a.values.cmp(&b.values));
    assert_eq!(found, given);
    let errors = catalog.create_partitions(&table, &[&given[..100], &given[500..501]].concat()).await.unwrap();
    assert_eq!(errors.len(), 101);
    let next = |one: &Partition| Partition { location: format!("{}next/", one.location), ..one.clone() };
    let mut moved: Vec<Partition> = given[..201].iter().map(next).collect();
    moved.insert(150, partition("2026-11-20", "00"));
    let errors = catalog.update_partitions(&table, &moved).await.unwrap();
    check_entry_errors(&errors, Kind::Conflict, &[(&["2026-11-20", "00"], "does not exist")]);
    moved.remove(150);
    assert_eq!(all(catalog).await, [&moved, &given[201..]].concat());
}

/// The partitions of a table that is not there are an error, not an empty list.
pub async fn partitions_need_their_table(catalog: &dyn Catalog) {
    let missing = Table { name: name("shop", "orders"), ..clicks() };
    assert!(catalog.partitions(&missing.name, &Filter::all()).await.is_err());
    assert!(catalog.get_partitions(&missing.name, &[vec!["13".to_string()]]).await.is_err());
    assert!(catalog.create_partitions(&missing, &[partition("2026-11-19", "13")]).await.is_err());
    assert!(catalog.update_partitions(&missing, &[partition("2026-11-19", "13")]).await.is_err());
}

/// Many updaters that race over several handles lose no update: each counts one up, again after a conflict.
pub async fn racing_updates_lose_none(handles: &[Arc<dyn Catalog>]) {
    const UPDATERS: usize = 24;
    let table = with_clicks(handles[0].as_ref()).await.name;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..UPDATERS {
        let (catalog, table) = (handles[racer % handles.len()].clone(), table.clone());
        racers.spawn(async move {
            while !count_up(catalog.as_ref(), &table).await {
                tokio::task::yield_now().await;
            }
        });
    }
    racers.join_all().await;

    let end = handles[0].table(&table).await.unwrap().unwrap();
    assert_eq!(end.parameters["count"], UPDATERS.to_string());
}

/// True if the update went through, false after a conflict.
async fn count_up(catalog: &dyn Catalog, name: &TableName) -> bool {
    let mut table = catalog.table(name).await.unwrap().unwrap();
    let count: usize = table.parameters.get("count").map_or(0, |text| text.parse().unwrap());
    table.parameters.insert("count".to_string(), (count + 1).to_string());
    match catalog.update_table(&table).await {
        Ok(()) => true,
        Err(error) if error.kind() == Kind::Conflict => false,
        Err(error) => panic!("{error}"),
    }
}

/// Of many that create the same partition, over several handles, exactly one does.
pub async fn racing_creations_have_one_winner(handles: &[Arc<dyn Catalog>]) {
    let table = with_clicks(handles[0].as_ref()).await;
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..16 {
        let (catalog, table) = (handles[racer % handles.len()].clone(), table.clone());
        let one = Partition { location: format!("file:///g{racer}/"), ..partition("2026-11-19", "13") };
        racers.spawn(async move { catalog.create_partitions(&table, std::slice::from_ref(&one)).await.unwrap().is_empty().then_some(one) });
    }
    let winners: Vec<Partition> = racers.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(all(handles[0].as_ref()).await, winners);
}

/// Glue in an account that nobody else has.
fn glue() -> GlueCatalog {
    GlueCatalog::new(&Account::new().sdk())
}

/// Runs each behaviour on a fresh catalog in memory, on a fresh one in a file, and on Glue.
macro_rules! catalogs {
    ($($behaviour:ident)*) => {
        mod local_file {
            $(#[tokio::test]
            async fn $behaviour() {
                let folder = tempfile::tempdir().unwrap();
                super::$behaviour(&super::LocalCatalog::open(&folder.path().join("catalog.db")).unwrap()).await;
            })*
        }
        mod glue {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&super::glue()).await;
            })*
        }
        mod local_memory {
            $(#[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&super::LocalCatalog::in_memory().unwrap()).await;
            })*
        }
    };
}

catalogs! {
    databases_are_ensured
    a_table_reads_back_as_created
    a_missing_table_is_none
    a_table_is_created_once
    a_table_without_its_database_is_refused
    names_are_lower_case
    tables_are_ordered
    an_update_replaces_the_definition
    a_stale_update_is_a_conflict
    partitions_read_back_in_order
    partitions_are_filtered_by_their_keys
    partitions_are_found_by_values
    creating_twice_is_an_entry_error
    updating_replaces_whole
    updating_keeps_what_others_noted
    partitions_that_cannot_be_are_entry_errors
    many_partitions_at_once
    partitions_need_their_table
}

fn two_handles(folder: &tempfile::TempDir) -> [Arc<dyn Catalog>; 2] {
    let path = folder.path().join("catalog.db");
    [(); 2].map(|()| Arc::new(LocalCatalog::open(&path).unwrap()) as Arc<dyn Catalog>)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn local_racing_updates_lose_none() {
    racing_updates_lose_none(&two_handles(&tempfile::tempdir().unwrap())).await;
}

/// The batches are as large as Glue lets them be, no old version of a table is kept, and one entry that is refused refuses no other.
#[tokio::test]
async fn glue_is_called_as_seldom_as_it_can_be() {
    let account = Account::new();
    let catalog = GlueCatalog::new(&account.sdk());
    let mut table = with_clicks(&catalog).await;
    table.parameters.insert("k".to_string(), "v".to_string());
    catalog.update_table(&table).await.unwrap();
    let given: Vec<Partition> = (0..1001).map(|number| partition("2026-11-19", &number.to_string())).collect();
    let values: Vec<Vec<String>> = given.iter().map(|partition| partition.values.clone()).collect();
    account.calls();
    catalog.create_partitions(&table, &given[..201]).await.unwrap();
    catalog.get_partitions(&table.name, &values).await.unwrap();
    catalog.update_partitions(&table, &given[..101]).await.unwrap();
    catalog.update_table(&read(&catalog).await).await.unwrap();
    let calls = account.calls();
    let count = |call: &str| calls.get(call).copied().unwrap_or(0);
    assert_eq!([count("glue:BatchCreatePartition"), count("glue:BatchUpdatePartition")], [3, 2], "{calls:?}");
    assert_eq!(count("glue:BatchGetPartition"), 2 + 1, "1001, and what is there of those to update: {calls:?}");
    assert_eq!([count("glue:UpdateTable"), count("glue:UpdateTable-ARCHIVED")], [1, 0], "{calls:?}");

    account.poison("77");
    let errors = catalog.update_partitions(&table, &given[..100]).await.unwrap();
    check_entry_errors(&errors, Kind::Config, &[(&["2026-11-19", "77"], "InvalidInputException")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn glue_racing_creations_have_one_winner() {
    let glue = glue();
    racing_creations_have_one_winner(&[Arc::new(glue.clone()), Arc::new(glue)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn local_racing_creations_have_one_winner() {
    racing_creations_have_one_winner(&two_handles(&tempfile::tempdir().unwrap())).await;
}
