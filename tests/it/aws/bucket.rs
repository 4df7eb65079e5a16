//! What a bucket is told on the wire, and what becomes of a run that it throttles or refuses.

use std::collections::BTreeMap;
use std::path::Path;

use lakebed::config::Location;
use lakebed::generate::{Part, Settings};
use lakebed::store::{Aws, Stores};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::Value;

use super::{AT, Bucketed};
use crate::support::moto::Account;

const KEY: &str = "alias/lake";

/// A lake that writes under a KMS key, with an hour that is live and late objects that landed since.
async fn late(settings: &str, records: u64) -> Bucketed {
    let lake = Bucketed::with(settings).await;
    lake.lake.set("kms_key", KEY);
    let all = Settings { records, objects_per_hour: 32, late: 0.04, bad: 0.0, ..Settings::default() };
    lake.lake.generate(&Settings { part: Part::OnTime, ..all.clone() });
    lake.upload().await;
    lake.account.headers();
    lake.run(0);
    encrypted(&lake, &["s3:PUT"]);
    lake.lake.generate(&Settings { part: Part::Late, ..all });
    lake.upload().await;
    lake.account.headers();
    lake
}

/// Checks that what was written since the last time is under the key, with these calls among others. Returns the headers of each call.
fn encrypted(lake: &Bucketed, calls: &[&str]) -> Vec<(String, BTreeMap<String, String>)> {
    let made = lake.account.headers();
    for call in calls {
        assert!(made.iter().any(|(made, _)| made == call), "no {call} in {made:?}");
    }
    for (call, headers) in &made {
        let told = |name: &str| headers.get(name).map_or("", String::as_str);
        let key = (told("x-amz-server-side-encryption"), told("x-amz-server-side-encryption-aws-kms-key-id"));
        // Parts are encrypted as their upload was begun; S3 refuses to be told again.
        let expected = if call.contains("PART") { ("", "") } else { ("aws:kms", KEY) };
        assert_eq!(key, expected, "{call} {headers:?}");
    }
    made
}

async fn unfinished(lake: &Bucketed) -> Vec<String> {
    let uploads = aws_sdk_s3::Client::new(&lake.account.sdk()).list_multipart_uploads().bucket(format!("lake-{}", lake.account.account));
    uploads.send().await.unwrap().uploads().iter().map(|upload| upload.key().unwrap().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_refused_leaves_no_parts_and_one_that_is_throttled_goes_through() {
    let lake = late("", 100_000).await;
    lake.account.refuse(&[("s3:COMPLETE-NEW", "AccessDenied")]);
    for call in ["s3:LIST-UPLOADS", "s3:ABORT"] {
        lake.account.throttle(call, 4);
    }
    let answer = lake.lakebed(&["run", "--at", AT, "--output", "json"]);
    let run = answer.json(2);
    let failed = run["failures"][0]["error"].as_str().unwrap();
    assert!(failed.contains("allow it in IAM") && !failed.contains("free space"), "{failed}");
    assert_eq!(unfinished(&lake).await, [""; 0], "its parts cost money");

    lake.account.refuse(&[]);
    for call in ["s3:BEGIN", "s3:COPY-PART", "s3:PUT-PART", "s3:COMPLETE-NEW"] {
        lake.account.throttle(call, 4);
    }
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["partitions"][0]["ledger_version"], 2, "{run}");
    let begun = encrypted(&lake, &["s3:BEGIN", "s3:COPY-PART", "s3:PUT-PART"]).into_iter().find(|(call, _)| call == "s3:BEGIN").unwrap().1;
    // S3 then makes one checksum of the whole object, and wants those of the parts from nobody.
    assert_eq!((begun["x-amz-checksum-algorithm"].as_str(), begun["x-amz-checksum-type"].as_str()), ("CRC32", "FULL_OBJECT"));
    assert_eq!(unfinished(&lake).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_of_whole_files_are_encrypted_too() {
    let lake = late("[table.merge]\ntarget_file_size = \"64KiB\"\nrow_group_size = \"16KiB\"", 4_000).await;
    lake.run(0);
    encrypted(&lake, &["s3:PUT", "s3:COPY"]);
}

#[tokio::test]
async fn an_upload_that_is_gone_already_is_given_up() {
    let account = Account::new();
    let bucket = account.bucket("lake").await;
    let location = Location::parse(&format!("s3://{bucket}/tables/"), Path::new("/")).unwrap();
    let root = Stores::with_buckets(Aws::of(account.sdk(), None)).created(&location, "the location").unwrap();
    let mut upload = root.store().put_multipart(&lakebed::store::parse("hour=1/g1/part").unwrap()).await.unwrap();
    upload.put_part(PutPayload::from_static(b"rows")).await.unwrap();
    // As where the answer to the first attempt was lost.
    account.refuse(&[("s3:ABORT", "NoSuchUpload")]);
    root.remove_folder("hour=1/g1/").await.unwrap();
}

/// What a run says in the end.
fn told(lake: &Bucketed) -> (i32, Value, String) {
    let answer = lake.lakebed(&["run", "--at", AT, "--output", "json"]);
    (answer.code, serde_json::from_str(&answer.stdout).unwrap_or_default(), answer.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_be_refused_again_is_told_as_a_matter_of_configuration() {
    let lake = Bucketed::new().await;
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    let landing = format!("s3:GET raw-{}", lake.account.account);
    let denied = "allow it in IAM and in the bucket's policy, and the key in KMS";
    let cases = [
        ("s3:LIST", "AccessDenied", "cannot list", denied),
        ("s3:GET", "AccessDenied", "cannot read s3://lake-", denied),
        (&landing, "AccessDenied", "cannot read object 2026/", denied),
        ("s3:PUT", "AccessDenied", "cannot write", denied),
        ("s3:*", "NoSuchBucket", "cannot list", "create the bucket, or correct its name in the configuration"),
    ];
    for (call, code, what, advice) in cases {
        lake.account.refuse(&[(call, code)]);
        let started = std::time::Instant::now();
        let (exit, run, stderr) = told(&lake);
        assert_eq!(exit, 2, "{call} {code}: {run} {stderr}");
        assert!(stderr.contains(what) && stderr.contains(advice) && !stderr.contains("run again"), "{call} {code}: {stderr}");
        assert!(started.elapsed().as_secs() < 30, "{call} {code} was tried again in vain");
    }
    lake.account.refuse(&[]);
    // It failed several times, and is tried again at once only because somebody asks.
    assert_eq!(lake.lakebed(&["run", "--at", AT, "--since", "2026-11-19T10"]).code, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_does_not_exist_is_named() {
    for key in ["landing", "state", "location"] {
        let lake = Bucketed::new().await;
        lake.lake.generate(&Settings { hours: 1, objects_per_hour: 1, records: 20, bad: 0.0, late: 0.0, ..Settings::default() });
        lake.upload().await;
        let file = lake.lake.path("lakebed.toml");
        let settings = std::fs::read_to_string(&file).unwrap();
        let bucket = format!("{}-{}", if key == "landing" { "raw" } else { "lake" }, lake.account.account);
        let line = settings.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        std::fs::write(&file, settings.replace(line, &line.replace(&bucket, "no-such-bucket"))).unwrap();
        let (exit, run, stderr) = told(&lake);
        assert_eq!(exit, 2, "{key}: {run} {stderr}");
        assert!(stderr.contains("s3://no-such-bucket/") && stderr.contains("create the bucket, or correct its name"), "{key}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_no_path_can_be_keeps_no_other_from_being_merged() {
    let lake = Bucketed::new().await;
    let made = lake.lake.generate(&Settings { hours: 2, objects_per_hour: 2, records: 200, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    let (client, bucket) = (aws_sdk_s3::Client::new(&lake.account.sdk()), format!("raw-{}", lake.account.account));
    let odd = ["click-stream//x", "click-stream/2026/11/19/11//x", "click-stream/2026/11/19/11/../x", "click-stream/2026/11/19/10/a\tb"];
    for key in odd {
        client.put_object().bucket(&bucket).key(key).body(b"{}".to_vec().into()).send().await.unwrap();
    }
    let run = lake.run(0);
    let table = &run["tables"][0];
    assert_eq!(
        (&table["objects"]["merged"], &table["records"]["read"]),
        (&serde_json::json!(4), &serde_json::json!(made.records)),
        "{run}"
    );
    let warnings = table["warnings"].to_string();
    assert!(warnings.contains("4 entries fit neither `prefix` nor `error_prefix`"), "{warnings}");
    assert_eq!(lake.run(0)["tables"][0]["partitions"], serde_json::json!([]), "the store's own listing tells the same of the others");
}
