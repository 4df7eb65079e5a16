//! `rollback` and `sweep` on S3 and Glue.

use futures::TryStreamExt;
use lakebed::config::Location;
use lakebed::generate::Settings;
use lakebed::store::{Aws, Root, Stores};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::{Bucketed, late_key};

/// One hour that was amended; retired generations have no grace.
async fn amended() -> Bucketed {
    let lake = Bucketed::new().await;
    lake.lake.set("grace", "0s");
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.run(0);
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    lake.run(0);
    lake
}

fn rows(lake: &Bucketed) -> Value {
    lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"].clone()
}

async fn location(lake: &Bucketed) -> String {
    let glue = aws_sdk_glue::Client::new(&lake.account.sdk());
    let there = glue.get_partitions().database_name("shop").table_name("clicks").send().await.unwrap().partitions.unwrap().remove(0);
    there.storage_descriptor.unwrap().location.unwrap()
}

fn table(lake: &Bucketed) -> Root {
    let location = Location::parse(&format!("s3://lake-{}/shop/clicks/", lake.account.account), std::path::Path::new("/")).unwrap();
    Stores::with_buckets(Aws::of(lake.account.sdk(), None)).created(&location, "the location").unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_moves_the_partition_in_glue() {
    let lake = amended().await;
    let (all, newer) = (rows(&lake), location(&lake).await);
    assert!(newer.contains("/g00000002-"), "{newer}");
    let done = lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10", "--output", "json"]).json(0);
    let older = location(&lake).await;
    assert!(older.ends_with(&format!("/{}/", done["to"].as_str().unwrap())) && older.contains("/g00000001-"), "{older} {done}");
    assert_eq!((rows(&lake), &done["held"].as_array().unwrap().len()), (json!(all.as_u64().unwrap() - 1), &1));
    assert_eq!(lake.run(0)["tables"][0]["objects"]["held"], 1);
    assert_eq!(location(&lake).await, older);
    assert_eq!(lake.lakebed(&["rollback", "shop.clicks", "2026-11-19T10", "--to", "g00000002"]).code, 0);
    assert_eq!((location(&lake).await, rows(&lake)), (newer, all));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_swapped_where_readers_make_partitions_up() {
    let lake = amended().await;
    let before = location(&lake).await;
    let glue = aws_sdk_glue::Client::new(&lake.account.sdk());
    let there = glue.get_table().database_name("shop").name("clicks").send().await.unwrap().table.unwrap();
    let projected = aws_sdk_glue::types::TableInput::builder().name("clicks").set_storage_descriptor(there.storage_descriptor);
    let projected = projected.set_partition_keys(there.partition_keys).table_type("EXTERNAL_TABLE").set_parameters(there.parameters);
    let projected = projected.parameters("projection.enabled", "true").build().unwrap();
    glue.update_table().database_name("shop").table_input(projected).send().await.unwrap();
    for command in
        [&["rollback", "shop.clicks", "2026-11-19T10"][..], &["repair", "shop.clicks", "2026-11-19T10"], &["redrive", "shop.clicks"]]
    {
        let answer = lake.lakebed(command);
        assert!(answer.code == 2 && answer.stderr.contains("projection.enabled = true"), "{command:?} {}: {}", answer.code, answer.stderr);
    }
    let ledger = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    assert_eq!((&ledger[0]["ledger_version"], location(&lake).await), (&json!(2), before), "nothing was committed either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_removes_files_and_old_uploads() {
    let lake = amended().await;
    let (all, table) = (rows(&lake), table(&lake));
    let partition = "year=2026/month=11/day=19/hour=10";
    let foreign = ["notes", "year=2026/part"].map(str::to_string);
    let dead = format!("{partition}/g00000002-01J00000000000000000000000/part-00000.parquet");
    for key in foreign.iter().chain([&dead]) {
        let mut upload = table.store().put_multipart(&lakebed::store::parse(key).unwrap()).await.unwrap();
        upload.put_part(PutPayload::from_static(b"rows")).await.unwrap();
    }
    let done = lake.lakebed(&["sweep", "--output", "json"]).json(0);
    let kinds: Vec<&str> = done["removed"].as_array().unwrap().iter().map(|removed| removed["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["retired", "upload"], "{done}");
    let left = aws_sdk_s3::Client::new(&lake.account.sdk()).list_multipart_uploads().bucket(format!("lake-{}", lake.account.account));
    let left = left.send().await.unwrap();
    let mut left: Vec<&str> = left.uploads().iter().filter_map(|upload| upload.key()).collect();
    left.sort_unstable();
    assert_eq!(left, foreign.each_ref().map(|key| format!("shop/clicks/{key}")), "those of others stay");
    let objects: Vec<_> = table.store().list(None).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert!(!objects.is_empty() && objects.iter().all(|key: &String| key.contains("/g00000002-")), "{objects:?}");
    assert_eq!(rows(&lake), all);
    assert_eq!(lake.lakebed(&["sweep"]).stdout, "nothing to remove\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_and_a_redrive_name_all_that_the_catalog_refuses() {
    let lake = Bucketed::with("[table.columns.event_id]\nmax_length = 40\n").await;
    lake.lake.set("grace", "0s");
    let text = format!("{{\"event_id\":\"x\"}}{{\"event_id\":\"{}\"}}", "y".repeat(60));
    for (hour, name) in [("10", "a"), ("11", "a"), ("12", "a"), ("10", "b"), ("11", "b"), ("12", "b")] {
        let key = lakebed::store::parse(&format!("2026/11/19/{hour}/{name}")).unwrap();
        lake.landing.store().put(&key, PutPayload::from(text.clone().into_bytes())).await.unwrap();
        if hour == "12" {
            lake.run(0);
        }
    }
    // Somebody noted wrong numbers of rows, and they cannot be corrected where Glue refuses it.
    let glue = aws_sdk_glue::Client::new(&lake.account.sdk());
    let there = glue.get_partitions().database_name("shop").table_name("clicks").send().await.unwrap().partitions.unwrap();
    for partition in there {
        let input = aws_sdk_glue::types::PartitionInput::builder().set_values(partition.values.clone());
        let input = input.set_storage_descriptor(partition.storage_descriptor).set_parameters(partition.parameters);
        let input = input.parameters("lakebed.rows", "7").build();
        let update = glue.update_partition().database_name("shop").table_name("clicks").set_partition_value_list(partition.values);
        update.partition_input(input).send().await.unwrap();
    }
    let refused = ["10", "11"].map(|hour| ("BatchUpdatePartition", hour, "AccessDeniedException", -1));
    lake.account.entries(&refused);
    let named = |done: &Value| {
        let failures = done["failures"].as_array().unwrap().iter();
        failures.map(|failure| failure["partition"].as_str().unwrap().rsplit('=').next().unwrap().to_string()).collect::<Vec<_>>().join(" ")
    };
    let done = lake.lakebed(&["sweep", "--output", "json"]).json(3);
    let removed: Vec<&str> = done["removed"].as_array().unwrap().iter().map(|removed| removed["location"].as_str().unwrap()).collect();
    assert_eq!(named(&done), "10 11", "{done}");
    assert!(removed.iter().all(|location| location.contains("hour=12")) && !removed.is_empty(), "{done}");
    let file = lake.lake.path("lakebed.toml");
    let settings = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, settings.replace("max_length = 40", "max_length = 80")).unwrap();
    let done = lake.lakebed(&["redrive", "shop.clicks", "--output", "json"]).json(3);
    assert_eq!(named(&done), "10 11", "{done}");
    lake.account.entries(&[]);
    lake.run(0);
    let done = lake.lakebed(&["sweep", "--output", "json"]).json(0);
    assert!(done["removed"].to_string().contains("hour=10"), "what the first sweep left goes then: {done}");
}
