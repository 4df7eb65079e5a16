//! Glue with others in it: crawlers and people who change what lakebed registered, permissions that are missing, tables that are large.

use std::collections::BTreeSet;
use std::ops::Bound;

use aws_sdk_glue::Client;
use aws_sdk_glue::types::{Column, DatabaseInput, Partition, PartitionInput, StorageDescriptor, Table, TableInput};
use lakebed::catalog::filter::{Condition, Filter};
use lakebed::catalog::glue::GlueCatalog;
use lakebed::catalog::{Catalog, FileFormat, TableName};
use lakebed::error::Kind;
use lakebed::generate::Settings;
use lakebed::schema::HiveType;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::{Bucketed, late_key};
use crate::support::AT;
use crate::support::moto::Account;

/// A lake with some hours merged and registered.
async fn merged(hours: u32) -> (Bucketed, Client) {
    let lake = landed(hours).await;
    lake.run(0);
    let glue = Client::new(&lake.account.sdk());
    (lake, glue)
}

/// A lake in which some hours landed.
async fn landed(hours: u32) -> Bucketed {
    let lake = Bucketed::new().await;
    lake.lake.generate(&Settings { hours, objects_per_hour: 1, records: u64::from(hours) * 40, ..Settings::default() });
    lake.upload().await;
    lake
}

async fn partitions(glue: &Client) -> Vec<Partition> {
    let mut found = glue.get_partitions().database_name("shop").table_name("clicks").send().await.unwrap().partitions.unwrap();
    found.sort_by_key(|partition| partition.values.clone());
    found
}

/// Writes a partition as a crawler does: with its own idea of the storage, and no other parameters than its own.
async fn crawl_partition(glue: &Client, partition: &Partition, storage: StorageDescriptor) {
    let input = PartitionInput::builder().set_values(partition.values.clone()).storage_descriptor(storage);
    let input = input.parameters("UPDATED_BY_CRAWLER", "nightly").build();
    let update = glue.update_partition().database_name("shop").table_name("clicks").set_partition_value_list(partition.values.clone());
    update.partition_input(input).send().await.unwrap();
}

/// Writes the table as it is, changed.
async fn crawl_table(glue: &Client, change: impl FnOnce(&mut Table)) {
    crawl_table_as(glue, "clicks", "EXTERNAL_TABLE", change).await;
}

async fn crawl_table_as(glue: &Client, name: &str, kind: &str, change: impl FnOnce(&mut Table)) {
    let mut table = glue.get_table().database_name("shop").name(name).send().await.unwrap().table.unwrap();
    change(&mut table);
    let input = TableInput::builder().name(name).set_storage_descriptor(table.storage_descriptor);
    let input = input.set_partition_keys(table.partition_keys).set_parameters(table.parameters).table_type(kind).build();
    glue.update_table().database_name("shop").table_input(input.unwrap()).send().await.unwrap();
}

fn columns(table: &mut Table) -> &mut Vec<Column> {
    table.storage_descriptor.as_mut().unwrap().columns.as_mut().unwrap()
}

fn column(name: &str, hive: &str) -> Column {
    Column::builder().name(name).r#type(hive).build().unwrap()
}

fn warnings(run: &Value) -> Vec<&str> {
    run["tables"][0]["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_a_crawler_changed_is_set_back_and_told() {
    let (lake, glue) = merged(2).await;
    let before = partitions(&glue).await;
    let mut storage = before[0].storage_descriptor.clone().unwrap();
    storage.location = Some("s3://elsewhere/".into());
    storage.columns.as_mut().unwrap()[0] = column("event_id", "bigint");
    crawl_partition(&glue, &before[0], storage).await;

    let run = lake.run(0);
    assert_eq!(run["tables"][0]["registered"], true);
    let [told, advice] = warnings(&run)[..] else { panic!("{run}") };
    for part in ["hour=10 of shop.clicks was changed", "its location is s3://elsewhere/ instead of s3://", "column event_id is bigint"] {
        assert!(told.contains(part), "{told}");
    }
    assert!(advice.contains("leave no crawler") && advice.contains("lakebed partitions"), "{advice}");
    let after = partitions(&glue).await;
    assert_eq!(after[0].storage_descriptor, before[0].storage_descriptor);
    assert_eq!(after[0].parameters.as_ref().unwrap()["UPDATED_BY_CRAWLER"], "nightly", "what others noted stays");
    let again = lake.run(0);
    assert_eq!((&again["tables"][0]["registered"], warnings(&again)), (&json!(false), vec![]));

    // With lakebed's own parameters still there it is told too, for people as well.
    let mut storage = before[1].storage_descriptor.clone().unwrap();
    storage.serde_info = None;
    let input = PartitionInput::builder().set_values(before[1].values.clone()).storage_descriptor(storage);
    let update = glue.update_partition().database_name("shop").table_name("clicks").set_partition_value_list(before[1].values.clone());
    update.partition_input(input.set_parameters(before[1].parameters.clone()).build()).send().await.unwrap();
    let answer = lake.lakebed(&["run", "--at", AT]);
    assert!(answer.code == 0 && answer.stdout.contains("with SerDe none instead of Parquet"), "{}{}", answer.stdout, answer.stderr);
    assert_eq!(partitions(&glue).await[1].storage_descriptor, before[1].storage_descriptor);
}

/// Updates the partition as somebody does who keeps what is there: all but this change.
async fn change_partition(glue: &Client, table: &str, partition: &Partition, change: impl FnOnce(&mut StorageDescriptor)) {
    let mut storage = partition.storage_descriptor.clone().unwrap();
    change(&mut storage);
    let input = PartitionInput::builder().set_values(partition.values.clone()).storage_descriptor(storage);
    let update = glue.update_partition().database_name("shop").table_name(table).set_partition_value_list(partition.values.clone());
    update.partition_input(input.set_parameters(partition.parameters.clone()).build()).send().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_by_hand_is_told_although_the_hour_is_amended_in_the_same_run() {
    let (lake, glue) = merged(1).await;
    let before = partitions(&glue).await.remove(0);
    change_partition(&glue, "clicks", &before, |storage| {
        storage.location = Some("s3://elsewhere/".into());
        storage.columns.as_mut().unwrap()[0] = column("event_id", "bigint");
    })
    .await;
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    let run = lake.run(0);
    let [told, _] = warnings(&run)[..] else { panic!("{run}") };
    let location = before.storage_descriptor.unwrap().location.unwrap();
    for part in
        ["hour=10 of shop.clicks was changed", &format!("its location is s3://elsewhere/ instead of {location}"), "event_id is bigint"]
    {
        assert!(told.contains(part), "{told}");
    }
    assert_eq!(partitions(&glue).await[0].parameters.as_ref().unwrap()["lakebed.ledger_version"], "2");
    assert_eq!(warnings(&lake.run(0)), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_by_their_place_and_odd_types_are_told_of_partition_and_table() {
    let (lake, glue) = merged(1).await;
    let by_place = |storage: &mut StorageDescriptor| {
        let serde = storage.serde_info.as_mut().unwrap();
        serde.parameters.as_mut().unwrap().insert("parquet.column.index.access".into(), "true".into());
    };
    let before = partitions(&glue).await.remove(0);
    change_partition(&glue, "clicks", &before, by_place).await;
    let run = lake.run(0);
    let [told, _] = warnings(&run)[..] else { panic!("{run}") };
    assert!(told.contains("by their place (SerDe parameter parquet.column.index.access = true) instead of Parquet"), "{told}");
    assert_eq!(partitions(&glue).await[0].storage_descriptor, before.storage_descriptor);
    // A type that is none of Hive's hides the partition from no run.
    change_partition(&glue, "clicks", &before, |storage| storage.columns.as_mut().unwrap()[0] = column("event_id", "timestamptz")).await;
    let run = lake.run(0);
    let [told, _] = warnings(&run)[..] else { panic!("{run}") };
    assert!(told.contains("of a type that Hive does not have (column event_id: "), "{told}");
    assert_eq!(partitions(&glue).await[0].storage_descriptor, before.storage_descriptor);
    crawl_table(&glue, |table| by_place(table.storage_descriptor.as_mut().unwrap())).await;
    let answer = lake.lakebed(&["run", "--at", AT]);
    assert!(answer.code == 2 && answer.stderr.contains("parquet.column.index.access = true"), "{}: {}", answer.code, answer.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_whose_files_would_go_with_it_is_told_until_it_is_set_back() {
    let (lake, glue) = merged(1).await;
    let told = || {
        let run = lake.run(0);
        warnings(&run).join(" ")
    };
    crawl_table(&glue, |table| drop(table.parameters.as_mut().unwrap().insert("EXTERNAL".into(), "FALSE".into()))).await;
    for _ in 0..2 {
        assert!(told().contains("parameter EXTERNAL is `FALSE` instead of `TRUE`, whose files are removed"), "{}", told());
    }
    crawl_table(&glue, |table| drop(table.parameters.as_mut().unwrap().insert("EXTERNAL".into(), "TRUE".into()))).await;
    assert_eq!(told(), "");
    crawl_table_as(&glue, "clicks", "MANAGED_TABLE", |_| {}).await;
    assert!(told().contains("it is a MANAGED_TABLE, whose files are removed"), "{}", told());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_that_somebody_changed_is_told_or_refused() {
    let lake = Bucketed::new().await;
    lake.lake.generate(&Settings { hours: 2, objects_per_hour: 1, records: 400, bad: 0.03, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.run(0);
    let glue = Client::new(&lake.account.sdk());
    let quarantine = async |change: &dyn Fn(&mut Table)| crawl_table_as(&glue, "clicks_quarantine", "EXTERNAL_TABLE", change).await;
    quarantine(&|table| columns(table)[1] = column("byte_offset", "string")).await;
    for _ in 0..2 {
        let run = lake.run(0);
        let told = warnings(&run).join(" ");
        assert!(told.contains("clicks_quarantine in the catalog: column byte_offset is string instead of bigint; it is left so"), "{run}");
    }
    quarantine(&|table| {
        columns(table)[1] = column("byte_offset", "bigint");
        table.parameters.as_mut().unwrap().insert("projection.enabled".into(), "true".into());
    })
    .await;
    let run = lake.run(2);
    let failures = run["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "each hour with a quarantine is named: {run}");
    assert!(run.to_string().contains("table shop.clicks_quarantine has projection.enabled = true"), "{run}");
    quarantine(&|table| drop(table.parameters.as_mut().unwrap().remove("projection.enabled"))).await;
    assert_eq!(warnings(&lake.run(0)), Vec::<&str>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_no_ledger_knows_is_shown_as_such() {
    let (lake, glue) = merged(1).await;
    let ours = partitions(&glue).await.remove(0);
    let mut values = ours.values.clone().unwrap();
    values[3] = "ten".into();
    let mut storage = ours.storage_descriptor.unwrap();
    storage.location = storage.location.map(|location| location.replace("hour=10", "hour=ten"));
    let input = PartitionInput::builder().set_values(Some(values)).storage_descriptor(storage).build();
    glue.create_partition().database_name("shop").table_name("clicks").partition_input(input).send().await.unwrap();
    let listed = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    let states: Vec<(&str, &Value)> =
        listed.as_array().unwrap().iter().map(|line| (line["state"].as_str().unwrap(), &line["in_catalog"])).collect();
    assert_eq!(states, [("closed", &json!(true)), ("foreign", &json!(true))]);
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    assert_eq!(status[0]["foreign"], json!(["year=2026/month=11/day=19/hour=ten"]));
    let text = lake.lakebed(&["status"]).stdout;
    assert!(text.contains("partitions in the catalog that no ledger knows: 1, year=2026/month=11/day=19/hour=ten for one"), "{text}");
    let text = lake.lakebed(&["partitions", "shop.clicks"]).stdout;
    assert!(text.contains("no ledger knows it") && text.matches("in step").count() == 1, "{text}");
    assert!(lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"].as_u64().unwrap() > 0, "it has no files");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_somebody_deleted_is_registered_again_and_told() {
    let (lake, glue) = merged(2).await;
    let before = partitions(&glue).await;
    let delete = async |partition: &Partition| {
        let call = glue.delete_partition().database_name("shop").table_name("clicks");
        call.set_partition_values(partition.values.clone()).send().await.unwrap();
    };
    delete(&before[0]).await;
    let run = lake.run(0);
    let [told, _] = warnings(&run)[..] else { panic!("{run}") };
    assert!(told.contains("hour=10 was taken out of the catalog by something else"), "{told}");
    // Of an hour that changes in the same run too.
    delete(&before[0]).await;
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    let run = lake.run(0);
    let [told, _] = warnings(&run)[..] else { panic!("{run}") };
    assert!(told.contains("hour=10 was taken out of the catalog by something else"), "{told}");
    assert_eq!(partitions(&glue).await.len(), 2);
    assert_eq!(warnings(&lake.run(0)), Vec::<&str>::new());
    // A table that is made anew is told as that alone.
    glue.delete_table().database_name("shop").name("clicks").send().await.unwrap();
    let run = lake.run(0);
    assert!(!run.to_string().contains("taken out of the catalog"), "{run}");
    assert_eq!(partitions(&glue).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_the_catalog_lacks_is_no_foreign_change() {
    let (lake, glue) = merged(1).await;
    let older = partitions(&glue).await.remove(0);
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    assert_eq!(warnings(&lake.run(0)), Vec::<&str>::new());
    let input = PartitionInput::builder().set_values(older.values.clone()).set_storage_descriptor(older.storage_descriptor);
    let update = glue.update_partition().database_name("shop").table_name("clicks").set_partition_value_list(older.values);
    update.partition_input(input.set_parameters(older.parameters).build()).send().await.unwrap();
    let run = lake.run(0);
    assert_eq!((&run["tables"][0]["registered"], warnings(&run)), (&json!(true), vec![]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_a_crawler_changed_is_told_or_refused() {
    let (lake, glue) = merged(1).await;
    crawl_table(&glue, |table| columns(table).push(column("crawled", "double"))).await;
    let run = lake.run(0);
    let [told] = warnings(&run)[..] else { panic!("{run}") };
    assert!(told.contains("crawled double") && told.contains("leave no crawler"), "{told}");
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\",\"crawled\":2.5}")).await.unwrap();
    lake.run(0);
    assert_eq!(lake.query("SELECT crawled FROM shop.clicks WHERE event_id = 'x'")[0]["crawled"], 2.5);

    let refused = |says: &'static str| {
        let lake = &lake;
        move || {
            let answer = lake.lakebed(&["run", "--at", AT]);
            assert!(answer.code == 2 && answer.stderr.contains(says), "{}: {}", answer.code, answer.stderr);
        }
    };
    crawl_table(&glue, |table| columns(table)[0] = column("event_id", "bigint")).await;
    refused("column event_id is bigint instead of string; set it back")();
    crawl_table(&glue, |table| drop(columns(table).remove(0))).await;
    refused("column event_id string is gone")();
    crawl_table(&glue, |table| columns(table).insert(0, column("event_id", "string"))).await;
    lake.run(0);
    crawl_table(&glue, |table| table.storage_descriptor.as_mut().unwrap().serde_info = None).await;
    refused("with SerDe none instead of Parquet")();
    crawl_table(&glue, |table| table.parameters.as_mut().unwrap().retain(|key, _| !key.starts_with("lakebed."))).await;
    refused("ALTER TABLE shop.clicks SET TBLPROPERTIES ('lakebed.migration.0001_create.sql' = 'sha256:")();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_named_and_the_next_run_after_the_grant_goes_on() {
    let lake = landed(1).await;
    let refused = |action: &str, grants: &str| {
        lake.account.refuse(&[(action, "AccessDeniedException")]);
        let run = lake.run(2);
        let error = run["failures"][0]["error"].as_str().unwrap();
        for part in [&format!("allow {action} in IAM"), grants, "Insufficient Lake Formation permission(s)"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        lake.account.refuse(&[]);
    };
    refused("glue:GetTable", "DESCRIBE on the table; if there is no such table yet, CREATE_TABLE on its database");
    refused("glue:CreateTable", "CREATE_TABLE on the database and DATA_LOCATION_ACCESS");
    refused("glue:BatchGetPartition", "DESCRIBE and SELECT on the table");
    refused("glue:BatchCreatePartition", "ALTER and INSERT on the table and DATA_LOCATION_ACCESS");
    // What was committed stays, is not merged again, and is registered once it may be.
    let run = lake.run(0);
    assert_eq!((&run["tables"][0]["partitions"], &run["tables"][0]["registered"]), (&json!([]), &json!(true)));
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"late\"}")).await.unwrap();
    refused("glue:BatchUpdatePartition", "ALTER and INSERT on the table and DATA_LOCATION_ACCESS");
    let late = "SELECT count(*) AS n FROM shop.clicks WHERE event_id = 'late'";
    assert_eq!(lake.query(late)[0]["n"], 0);
    let run = lake.run(0);
    assert_eq!((&run["tables"][0]["partitions"], &run["tables"][0]["registered"]), (&json!([]), &json!(true)));
    assert_eq!(lake.query(late)[0]["n"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_asks_glue_for_the_partitions_that_it_reads() {
    let (lake, _) = merged(4).await;
    let check = |filter: &str, expression: Option<&str>| {
        lake.account.asked();
        let rows = lake.query(&format!("SELECT DISTINCT hour FROM shop.clicks WHERE {filter} ORDER BY hour"));
        let asked = lake.account.asked();
        let [question] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!(question.get("Expression").and_then(Value::as_str), expression, "{filter}");
        rows.as_array().unwrap().iter().map(|row| row["hour"].as_str().unwrap().to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(check("hour = '11'", Some("hour = '11'")), "11");
    assert_eq!(check("hour IN ('11', '12')", Some("hour IN ('11', '12')")), "11 12");
    assert_eq!(check("hour > '11' AND day = '19' AND event_id <> ''", Some("hour >= '11' AND day = '19'")), "12 13");
    assert_eq!(check("hour BETWEEN '10' AND '11' AND hour <> 'it''s'", Some("hour >= '10' AND hour <= '11'")), "10 11");
    assert_eq!(check("hour <> '11'", None), "10 12 13");
    assert_eq!(check("length(hour) = 3", None), "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_asks_glue_for_the_tables_that_it_names_alone() {
    let (lake, glue) = merged(1).await;
    glue.create_database().database_input(DatabaseInput::builder().name("others").build().unwrap()).send().await.unwrap();
    let storage = StorageDescriptor::builder().location("s3://others/").columns(column("at", "timestamp with time zone")).build();
    let odd = TableInput::builder().name("odd").storage_descriptor(storage).build().unwrap();
    glue.create_table().database_name("others").table_input(odd).send().await.unwrap();
    let asked = |sql: &str| {
        lake.account.calls();
        let answer = lake.lakebed(&["query", sql]);
        let calls: Vec<String> = lake.account.calls().into_keys().filter(|call| call.starts_with("glue:")).collect();
        (answer, calls.join(" "))
    };
    assert_eq!(asked("SELECT 1").1, "");
    let (answer, calls) = asked("SELECT count(*) FROM shop.clicks");
    assert_eq!((answer.code, calls.as_str()), (0, "glue:GetPartitions glue:GetTable"), "{}", answer.stderr);
    assert_eq!(asked("DESCRIBE shop.clicks").1, "glue:GetTable");
    let (answer, calls) = asked("SHOW TABLES");
    assert!(answer.stdout.contains("clicks") && !answer.stdout.contains("odd"), "{}", answer.stdout);
    assert_eq!(calls, "glue:GetDatabases glue:GetTables");
    let (answer, _) = asked("SELECT * FROM shop.click");
    assert!(answer.code == 2 && answer.stderr.contains("did you mean `shop.clicks`?"), "{}", answer.stderr);
    // What is left out of the list is told to who names it.
    let (answer, _) = asked("SELECT * FROM others.odd");
    assert!(answer.code == 1 && answer.stderr.contains("table others.odd in Glue: column at: "), "{}: {}", answer.code, answer.stderr);
}

/// A table by the hour.
fn by_hour() -> lakebed::catalog::Table {
    lakebed::catalog::Table {
        name: TableName::parse("shop.clicks").unwrap(),
        columns: vec![],
        partition_keys: vec![lakebed::schema::Column { name: "hour".into(), hive: HiveType::String, comment: None }],
        location: "s3://lake/clicks/".into(),
        format: FileFormat::Parquet,
        external: true,
        parameters: Default::default(),
        version: 0,
    }
}

#[tokio::test]
async fn what_was_written_although_no_answer_came_is_no_failure_of_glue() {
    let account = Account::new();
    let catalog = GlueCatalog::new(&account.hasty_sdk());
    // As many as there are attempts.
    account.lose("glue:CreateDatabase", 12);
    catalog.ensure_database("shop").await.unwrap();
    account.lose("glue:CreateTable", 12);
    let told = catalog.create_table(&by_hour()).await.unwrap_err();
    assert_eq!(told.kind(), Kind::Conflict, "somebody made it, and be it this call: {told}");
    let there = catalog.table(&by_hour().name).await.unwrap().unwrap();
    account.lose("glue:UpdateTable", 1);
    account.throttle("glue:UpdateTable", 12);
    let told = catalog.update_table(&there).await.unwrap_err();
    assert_eq!(told.kind(), Kind::Conflict, "{told}");
    assert!(catalog.table(&there.name).await.unwrap().unwrap().version > there.version);
    // What did not take effect is a failure.
    account.throttle("glue:UpdateTable", 100);
    assert_eq!(catalog.update_table(&catalog.table(&there.name).await.unwrap().unwrap()).await.unwrap_err().kind(), Kind::Unavailable);
}

#[tokio::test]
async fn glue_decides_what_it_can_and_lakebed_the_rest() {
    let account = Account::new();
    let catalog = GlueCatalog::new(&account.sdk());
    let table = by_hour();
    catalog.ensure_database("shop").await.unwrap();
    catalog.create_table(&table).await.unwrap();
    let partition = |hour: &str| lakebed::catalog::Partition {
        values: vec![hour.to_string()],
        location: format!("s3://lake/clicks/{hour}/"),
        columns: vec![],
        format: FileFormat::Parquet,
        parameters: Default::default(),
    };
    catalog.create_partitions(&table, &["08", "09", "10"].map(partition)).await.unwrap();
    let after = Filter::all().and(&table.partition_keys, "hour", Condition::Range(Bound::Excluded("08".into()), Bound::Unbounded));
    let expression = after.expression().unwrap();
    let glue = Client::new(&account.sdk());
    let ask = || glue.get_partitions().database_name("shop").table_name("clicks").expression(&expression).send();
    assert_eq!(ask().await.unwrap().partitions().len(), 3, "the emulator filters, and 08 is decided by lakebed");
    account.asked();
    assert_eq!(catalog.partitions(&table.name, &after).await.unwrap(), ["09", "10"].map(partition));
    assert_eq!(account.asked(), [json!({"Expression": expression})]);

    // A question that Glue refuses is asked without its condition.
    catalog.create_partitions(&table, &[partition("refused")]).await.unwrap();
    let refused = Filter::all().and(&table.partition_keys, "hour", Condition::OneOf(vec!["refused".into()]));
    account.asked();
    assert_eq!(catalog.partitions(&table.name, &refused).await.unwrap(), [partition("refused")]);
    let asked = account.asked();
    assert_eq!(asked.last().unwrap(), &json!({}), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_is_read_in_ten_segments_page_by_page() {
    let (lake, _) = merged(6).await;
    lake.account.page(1);
    lake.account.asked();
    assert_eq!(lake.query("SELECT count(DISTINCT hour) AS n FROM shop.clicks")[0]["n"], 6);
    let asked = lake.account.asked();
    let segments: BTreeSet<u64> = asked.iter().filter_map(|question| question.pointer("/Segment/SegmentNumber")?.as_u64()).collect();
    assert_eq!(segments.len(), 10, "{asked:?}");
    assert!(asked.len() > 20, "one without segments, one empty page of each, one page of one partition after the other: {asked:?}");
    let listed = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    assert!(listed.as_array().unwrap().len() == 6 && listed.as_array().unwrap().iter().all(|line| line["in_catalog"] == true), "{listed}");
}
