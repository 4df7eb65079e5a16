//! Late rows appended in a bucket, which copies what is live itself: it is neither fetched nor sent.

use std::path::PathBuf;

use futures::TryStreamExt;
use lakebed::config::Location;
use lakebed::generate::{Part, Settings};
use lakebed::store::{Aws, Stores};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::json;

use super::Bucketed;
use crate::support::Lake;
use crate::support::moto::Account;
use crate::support::python::{Reader, read_table};

/// Fetches the live files of the only partition into a local folder.
async fn fetched(lake: &Bucketed) -> Vec<PathBuf> {
    let partitions = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    let [partition] = partitions.as_array().unwrap().as_slice() else { panic!("{partitions}") };
    let location = Location::parse(partition["location"].as_str().unwrap(), std::path::Path::new("/")).unwrap();
    let root = Stores::with_buckets(Aws::of(lake.account.sdk(), None)).existing(&location, "the generation").unwrap();
    let mut files: Vec<_> = root.store().list(None).try_collect().await.unwrap();
    files.sort_by(|a: &object_store::ObjectMeta, b| a.location.cmp(&b.location));
    let mut local = Vec::new();
    for file in files {
        let path = lake.lake.path(&format!("fetched-{}-{}", partition["ledger_version"], file.location));
        std::fs::write(&path, root.store().get(&file.location).await.unwrap().bytes().await.unwrap()).unwrap();
        local.push(path);
    }
    local
}

/// Lands an hour in two parts. Returns the calls of S3 that the second part made, and checks that the files hold what a local lake
/// holds that got all of it on time.
async fn amended(merge: &str, records: u64, fail: f64) -> (std::collections::BTreeMap<String, u64>, u64, u64) {
    let all = Settings { records, objects_per_hour: 32, late: 0.04, bad: 0.001, ..Settings::default() };
    let (bucketed, on_time) = (Bucketed::with(merge).await, Lake::new(merge));
    bucketed.lake.generate(&Settings { part: Part::OnTime, ..all.clone() });
    bucketed.upload().await;
    bucketed.run(0);
    bucketed.lake.generate(&Settings { part: Part::Late, ..all.clone() });
    bucketed.upload().await;
    bucketed.account.calls();
    bucketed.account.moved();
    bucketed.account.fail(fail, 5);
    let mut run = bucketed.lakebed(&["run", "--at", crate::support::AT, "--output", "json"]);
    bucketed.account.fail(0.0, 0);
    if fail > 0.0 && run.code == 3 {
        run = bucketed.lakebed(&["run", "--at", crate::support::AT, "--output", "json"]);
    }
    let run = run.json(0);
    let (calls, (sent, received)) = (bucketed.account.calls(), bucketed.account.moved());
    let partition = &run["tables"][0]["partitions"][0];
    assert_eq!(partition["ledger_version"], json!(2), "{run}");
    on_time.generate(&all);
    on_time.run(0);
    let files = fetched(&bucketed).await;
    for reader in [Reader::DuckDb, Reader::PyArrow] {
        let read = |files: &[PathBuf]| read_table(reader, files, "event_id", 0);
        let (appended, at_once) = (read(&files), read(&on_time.live_files()));
        for what in ["rows", "schema", "digest"] {
            assert_eq!(appended[what], at_once[what], "{what}");
        }
    }
    assert_eq!(
        bucketed.query("SELECT count(*) AS rows FROM shop.clicks"),
        json!(on_time.query("SELECT count(*) AS rows FROM shop.clicks"))
    );
    let bytes = files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum::<u64>();
    eprintln!("{bytes} bytes are live, {sent} were sent and {received} received: {calls:?}");
    (calls, bytes, sent + received)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bytes_of_an_hour_stay_in_the_bucket() {
    let (calls, bytes, moved) = amended("", 100_000, 0.0).await;
    assert!(bytes > 6 << 20, "{bytes} bytes are too few for a part");
    assert!(moved < bytes / 4, "{moved} of {bytes} bytes were sent or received");
    let of = |call: &str| calls.get(call).copied().unwrap_or(0);
    assert_eq!((of("s3:BEGIN"), of("s3:COPY-PART"), of("s3:PUT-PART"), of("s3:COMPLETE-NEW")), (1, 1, 1, 1), "{calls:?}");
    assert_eq!(of("s3:ABORT"), 0, "{calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_parts_bears_failing_calls_and_lost_answers() {
    amended("", 100_000, 0.1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_an_upload_is_waited_for() {
    let account = Account::new();
    let bucket = account.bucket("lake").await;
    let location = Location::parse(&format!("s3://{bucket}/tables/"), std::path::Path::new("/")).unwrap();
    let root = Stores::with_buckets(Aws::of(account.hasty_sdk(), None)).created(&location, "the location").unwrap();
    let bytes = vec![7; 6 << 20];
    root.store().put(&lakebed::store::parse("from").unwrap(), PutPayload::from(bytes.clone())).await.unwrap();
    let mut begun = root.begin_with("from", bytes.len() as u64, "to").await.unwrap().unwrap();
    begun.put(b"late").await.unwrap();
    account.calls();
    // Any other attempt is given up after 30 seconds, which are 3 here.
    account.slow("s3:COMPLETE-NEW", 5);
    begun.finish().await.unwrap();
    let calls = account.calls();
    assert_eq!((calls.get("s3:COMPLETE-NEW"), calls.get("s3:HEAD")), (Some(&1), None), "{calls:?}");
    assert_eq!(root.size("to").await.unwrap(), Some(bytes.len() as u64 + 4));
}
