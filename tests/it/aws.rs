//! The same job on S3 and the Glue Data Catalog, both emulated: what lands is merged, registered, and read by others.

mod append;
mod athena;
mod bucket;
mod catalog;
mod end_to_end;
mod events;
mod policies;
mod queue;
mod redrive;
mod refusals;
mod repair;
mod undo;

use std::collections::BTreeMap;
use std::path::Path;

use aws_sdk_glue::types::{PartitionInput, TableInput};
use futures::TryStreamExt;
use lakebed::config::Location;
use lakebed::generate::Settings;
use lakebed::store::{Aws, Root, Stores};
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use crate::support::moto::Account;
use crate::support::{AT, Answer, Lake, files, python};

/// A lake in buckets of an account that nobody else has. Its configuration and what is to land are in a local folder.
struct Bucketed {
    lake: Lake,
    account: Account,
    landing: Root,
}

impl Bucketed {
    async fn new() -> Self {
        Self::with("").await
    }

    /// As [`Self::new`], with more settings of the table.
    async fn with(settings: &str) -> Self {
        let (lake, account) = (Lake::new(""), Account::new());
        let [raw, tables] = [account.bucket("raw").await, account.bucket("lake").await];
        let config = format!(
            "[lake]\nthreads = 2\nstate = \"s3://{tables}/_lakebed/\"\ncatalog = \"glue\"\n\n[[table]]\nname = \"shop.clicks\"\n\
             landing = \"s3://{raw}/click-stream/\"\nlocation = \"s3://{tables}/shop/clicks/\"\n\
             {settings}\n"
        );
        std::fs::write(lake.path("lakebed.toml"), config).unwrap();
        let landing = Location::parse(&format!("s3://{raw}/click-stream/"), Path::new("/")).unwrap();
        let landing = Stores::with_buckets(Aws::of(account.sdk(), None)).created(&landing, "the landing").unwrap();
        Self { lake, account, landing }
    }

    fn lakebed(&self, arguments: &[&str]) -> Answer {
        Answer::of(self.lake.command(arguments).envs(self.account.environment()).output().unwrap())
    }

    fn run(&self, code: i32) -> Value {
        self.lakebed(&["run", "--at", AT, "--output", "json"]).json(code)
    }

    fn query(&self, sql: &str) -> Value {
        self.lakebed(&["query", sql, "--format", "json"]).json(0)
    }

    /// Lands what is in the local landing folder, and empties it.
    async fn upload(&self) {
        let folder = self.lake.path("landing");
        for (file, bytes) in files(&folder) {
            let key = file.strip_prefix(&folder).unwrap().to_str().unwrap().to_string();
            self.landing.store().put(&lakebed::store::parse(&key).unwrap(), PutPayload::from(bytes)).await.unwrap();
        }
        std::fs::remove_dir_all(folder).unwrap();
    }

    /// What the function answers when Lambda calls it with these events, each with so many seconds of time.
    fn function(&self, seconds: &str, events: &[&str]) -> Value {
        let program = self.lake.command(&["lambda"]);
        let mut arguments = vec![seconds];
        arguments.extend(events);
        arguments.extend(["--", program.get_program().to_str().unwrap()]);
        arguments.extend(program.get_args().map(|argument| argument.to_str().unwrap()));
        self.script("lambda_api.py", &arguments)
    }

    /// A script of `tests/it/python`, in this account.
    fn python(&self, name: &str, arguments: &[&str]) -> std::process::Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python").join(name);
        let mut command = std::process::Command::new(python::aws_python());
        command.arg(script).args(arguments).envs(self.account.environment());
        command
    }

    /// What such a script printed.
    fn script(&self, name: &str, arguments: &[&str]) -> Value {
        Answer::of(self.python(name, arguments).output().unwrap()).json(0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lands_in_a_bucket_is_merged_registered_and_read_by_others() {
    let lake = Bucketed::new().await;
    let made = lake.lake.generate(&Settings { hours: 2, objects_per_hour: 3, records: 600, late: 0.2, ..Settings::default() });
    lake.upload().await;
    let run = lake.run(0);
    let table = &run["tables"][0];
    assert_eq!((&table["created"], &table["records"]["read"]), (&json!(true), &json!(made.records)), "{run}");
    let rows = &table["records"]["merged"];
    assert_eq!(lake.query("SELECT count(*) AS n FROM shop.clicks")[0]["n"], *rows);
    assert_eq!(lake.run(0)["tables"][0]["partitions"], json!([]), "nothing is done twice");

    let partitions = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    let partitions = partitions.as_array().unwrap();
    assert!(partitions.len() >= 2 && partitions.iter().all(|partition| partition["in_catalog"] == true), "{partitions:?}");
    let mut by_hour = BTreeMap::new();
    for partition in partitions {
        by_hour.insert(partition["values"]["hour"].as_str().unwrap(), partition["rows"].as_u64().unwrap());
    }
    for (hour, rows) in by_hour {
        let read = lake.script("read_glue.py", &["shop", "clicks", "hour", hour]);
        assert_eq!(read["rows"], rows, "awswrangler reads hour {hour} as it is registered: {read}");
        let ours =
            lake.query(&format!("SELECT min(event_id) AS first, count(DISTINCT event_id) AS ids FROM shop.clicks WHERE hour = '{hour}'"));
        assert_eq!((&read["first"], &read["ids"]), (&ours[0]["first"], &ours[0]["ids"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_days_of_hours_are_registered_in_one_call_and_a_second_run_writes_nothing() {
    let lake = Bucketed::new().await;
    let made = lake.lake.generate(&Settings {
        first_hour: "2026-11-18T00".parse().unwrap(),
        hours: 48,
        objects_per_hour: 12,
        records: 5760,
        bad: 0.0,
        ..Settings::default()
    });
    lake.upload().await;
    lake.account.calls();
    let run = lake.lakebed(&["run", "--at", "2026-11-20T01:00:00Z", "--since", "2026-11-17T23", "--output", "json"]).json(0);
    assert_eq!(run["tables"][0]["records"]["read"], made.records);
    let calls = lake.account.calls();
    // All 48 of the table in one, and there is no quarantine.
    assert_eq!(calls["glue:BatchCreatePartition"], 1, "{calls:?}");
    assert!(!calls.contains_key("glue:BatchUpdatePartition"), "{calls:?}");

    lake.account.delay(0.05);
    let started = std::time::Instant::now();
    let run = lake.lakebed(&["run", "--at", "2026-11-20T01:00:00Z", "--output", "json"]).json(0);
    // The target is two seconds; what a busy machine takes is no failure.
    eprintln!("a run with nothing to do took {:?} with 50 ms for each request", started.elapsed());
    assert_eq!((&run["tables"][0]["partitions"], &run["tables"][0]["registered"]), (&json!([]), &json!(false)));
    let calls = lake.account.calls();
    // A version for each ledger, once; no look at a ledger for a partition that is registered.
    assert!(calls["s3:GET"] <= 48 + 2 && calls["s3:LIST"] <= 12, "{calls:?}");
    eprintln!("it made {calls:?}");
    let reads = [
        "s3:GET",
        "s3:LIST",
        "s3:HEAD",
        "glue:GetTable",
        "glue:GetTables",
        "glue:GetPartitions",
        "glue:BatchGetPartition",
        "glue:GetDatabase",
    ];
    assert!(calls.keys().all(|call| reads.contains(&call.as_str())), "{calls:?}");
}

/// The hours that Glue has of the table; none as long as it does not have the table.
async fn registered(lake: &Bucketed) -> Vec<String> {
    let glue = aws_sdk_glue::Client::new(&lake.account.sdk());
    let there = glue.get_partitions().database_name("shop").table_name("clicks").send().await;
    let mut hours: Vec<String> = there.iter().flat_map(|there| there.partitions()).map(|one| one.values()[3].clone()).collect();
    hours.sort();
    hours
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenth_of_all_calls_may_fail() {
    for seed in 1..=3 {
        let lake = Bucketed::new().await;
        let made = lake.lake.generate(&Settings { hours: 4, objects_per_hour: 4, records: 800, ..Settings::default() });
        lake.upload().await;
        lake.account.fail(0.1, seed);
        // The hours that each run left, and what it said.
        let (mut runs, mut left) = (0, Vec::new());
        loop {
            runs += 1;
            // An hour that fails again waits for a while.
            let at = format!("2026-11-19T{}:00:00Z", 17 + runs);
            let answer = lake.lakebed(&["run", "--at", &at, "--output", "json"]);
            lake.account.fail(0.0, 0);
            let there = registered(&lake).await;
            match answer.code {
                0 => break,
                3 if runs < 6 => left.push((there, answer.stderr)),
                1 if runs < 6 => assert_eq!(there, [""; 0], "seed {seed}, run {runs}: hours are done\n{}", answer.stderr),
                code => panic!("seed {seed}, run {runs}: {code}\n{}", answer.stderr),
            }
            lake.account.fail(0.1, seed * 100 + runs);
        }
        for (there, told) in left {
            for hour in registered(&lake).await.iter().filter(|hour| !there.contains(hour)) {
                assert!(told.contains(&format!("hour={hour}")), "seed {seed}: hour {hour} was left, and is not named: {told}");
            }
        }
        let table = &lake.query("SELECT count(*) AS n, count(DISTINCT event_id) AS ids FROM shop.clicks")[0];
        let bad: u64 = made.bad.values().sum();
        assert_eq!(table["n"], made.records - bad, "seed {seed} after {runs} runs");
        let partitions = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
        assert!(partitions.as_array().unwrap().iter().all(|partition| partition["in_catalog"] == true), "{partitions}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_noted_in_glue_stays_and_projection_is_refused() {
    let lake = Bucketed::new().await;
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 200, ..Settings::default() });
    lake.upload().await;
    lake.run(0);
    let glue = aws_sdk_glue::Client::new(&lake.account.sdk());
    let partition = || glue.get_partitions().database_name("shop").table_name("clicks").send();
    let there = partition().await.unwrap().partitions.unwrap().remove(0);
    let storage = there.storage_descriptor.as_ref().unwrap();
    assert_eq!(storage.serde_info().unwrap().serialization_library().unwrap().rsplit('.').next().unwrap(), "ParquetHiveSerDe");
    assert!(storage.location().unwrap().starts_with("s3://") && storage.location().unwrap().ends_with('/'), "{storage:?}");
    let noted = PartitionInput::builder()
        .set_values(there.values.clone())
        .set_storage_descriptor(there.storage_descriptor.clone())
        .set_parameters(there.parameters.clone())
        .parameters("owner", "shop")
        .build();
    let update = glue.update_partition().database_name("shop").table_name("clicks").set_partition_value_list(there.values.clone());
    update.partition_input(noted).send().await.unwrap();
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    lake.run(0);
    let there = partition().await.unwrap().partitions.unwrap().remove(0);
    let parameters = there.parameters.unwrap();
    assert_eq!((parameters["owner"].as_str(), parameters["lakebed.ledger_version"].as_str()), ("shop", "2"));

    let table = glue.get_table().database_name("shop").name("clicks").send().await.unwrap().table.unwrap();
    let projected = TableInput::builder()
        .name("clicks")
        .set_storage_descriptor(table.storage_descriptor)
        .set_partition_keys(table.partition_keys)
        .set_parameters(table.parameters)
        .parameters("projection.enabled", "true")
        .build()
        .unwrap();
    glue.update_table().database_name("shop").table_input(projected).send().await.unwrap();
    let answer = lake.lakebed(&["run", "--at", AT]);
    assert!(answer.code != 0 && answer.stderr.contains("projection.enabled = true"), "{}", answer.stderr);
}

/// A key in the hour of what landed first.
async fn late_key(lake: &Bucketed) -> object_store::path::Path {
    let first: object_store::ObjectMeta = lake.landing.store().list(None).try_next().await.unwrap().unwrap();
    lakebed::store::parse(&format!("{}-late", first.location)).unwrap()
}

#[tokio::test]
async fn an_upload_that_was_given_up_leaves_no_parts() {
    let account = Account::new();
    let bucket = account.bucket("lake").await;
    let location = Location::parse(&format!("s3://{bucket}/tables/"), Path::new("/")).unwrap();
    let root = Stores::with_buckets(Aws::of(account.sdk(), None)).created(&location, "the location").unwrap();
    for key in ["hour=1/g1/part", "hour=1/g2/part"] {
        let mut upload = root.store().put_multipart(&lakebed::store::parse(key).unwrap()).await.unwrap();
        upload.put_part(PutPayload::from_static(b"rows")).await.unwrap();
    }
    root.remove_folder("hour=1/g1/").await.unwrap();
    let left = aws_sdk_s3::Client::new(&account.sdk()).list_multipart_uploads().bucket(&bucket).send().await.unwrap();
    let keys: Vec<&str> = left.uploads().iter().filter_map(|upload| upload.key()).collect();
    assert_eq!(keys, ["tables/hour=1/g2/part"], "those of others stay");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_calls_the_function_and_its_time_is_enough_or_the_next_call_goes_on() {
    let lake = Bucketed::new().await;
    let made = lake.lake.generate(&Settings { hours: 3, objects_per_hour: 2, records: 300, ..Settings::default() });
    lake.upload().await;
    let schedule = format!("{{\"time\":\"{AT}\"}}");
    // No time at all: no hour is begun, and the function says what is left.
    let late = lake.function("-1", &[&schedule]);
    let told = late[0]["error"]["errorMessage"].as_str().unwrap();
    assert!(told.contains("hour=10") && told.contains("the time for this run was over"), "{late}");
    let rule = format!("{{\"detail-type\":\"Scheduled Event\",\"source\":\"aws.events\",\"time\":\"{AT}\",\"detail\":{{}}}}");
    let answers = lake.function("300", &[&schedule, &rule, r#"{"Records":[]}"#]);
    assert_eq!(answers[0]["response"]["tables"][0]["records"]["read"], made.records, "{answers}");
    assert_eq!(answers[1]["response"]["tables"][0]["partitions"], json!([]), "{answers}");
    assert!(answers[2]["error"]["errorMessage"].as_str().unwrap().contains("neither a schedule nor"), "{answers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_have_too_little_time_each_do_a_part_and_show_it() {
    let lake = Bucketed::with("\n[events]\nbus = \"lake\"\n").await;
    lake.lake.generate(&Settings { hours: 24, objects_per_hour: 1, records: 240, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    let schedule = "{\"time\":\"2026-11-20T20:00:00Z\"}";
    let (mut told, mut parts) = (Vec::new(), 0);
    for _ in 0..10 {
        lake.account.delay(0.05);
        let answer = lake.function("10", &[schedule])[0].clone();
        lake.account.delay(0.0);
        told.extend(lake.account.events().into_iter().filter(|(name, _)| name == "HourMerged"));
        let there = registered(&lake).await;
        if answer["response"].is_object() {
            break;
        }
        // A machine that is busy may be slower than the call allows for; then the next call shows what this one merged.
        if answer["killed"] != true {
            let why = answer["error"]["errorMessage"].as_str().unwrap_or_else(|| panic!("{answer}"));
            assert!(why.contains("the time for this run was over before this hour began"), "{why}");
            let late = why.contains("before all events were sent");
            assert!(late || told.len() == there.len(), "what is shown is told: {} of {}, {why}", told.len(), there.len());
            let partitions = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
            assert_eq!(partitions.as_array().unwrap().len(), there.len(), "what is merged is shown: {partitions}");
            parts += usize::from(!there.is_empty());
        }
    }
    assert!(parts > 0, "no call did a part");
    assert_eq!((told.len(), registered(&lake).await.len()), (24, 24));
}

#[tokio::test]
async fn athena_answers_with_rows_and_what_it_scanned() {
    let lake = Bucketed::new().await;
    let text = |value: &str| json!({"VarCharValue": value});
    let rows = json!([{"Data": [text("n"), text("name")]}, {"Data": [text("7"), text("a")]}, {"Data": [text("8"), {}]}]);
    let result = json!({"rows": rows, "column_info": [{"Name": "n", "Type": "bigint"}, {"Name": "name", "Type": "varchar"}]});
    lake.account.athena(&result);
    let answer = lake.lakebed(&["query", "SELECT n, name FROM shop.clicks", "--engine", "athena", "--format", "json"]);
    assert_eq!(answer.json(0), json!([{"n": 7, "name": "a"}, {"n": 8, "name": null}]));
    assert!(answer.stderr.contains("Athena scanned 0 bytes"), "{}", answer.stderr);
    let local = Lake::new("").lakebed(&["query", "SELECT 1", "--engine", "athena"]);
    assert!(local.code == 2 && local.stderr.contains("set catalog = \"glue\""), "{}", local.stderr);
}
