//! The whole way: what a Firehose stream is given is what awswrangler reads from the table, also while its hours are amended.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use futures::TryStreamExt;
use lakebed::generate::{Compression, Framing, Settings, objects};
use object_store::{ObjectMeta, ObjectStoreExt};
use serde_json::{Map, Value, json};

use super::Bucketed;
use crate::support::{Answer, files};

/// Columns of the example table that hold what the record has under the same name.
const COLUMNS: [&str; 18] = [
    "event_id",
    "event_name",
    "user_id",
    "session_id",
    "collector_tstamp",
    "device_tstamp",
    "page",
    "geo",
    "device",
    "items",
    "attributes",
    "metadata",
    "user_agent",
    "ip",
    "is_bot",
    "is_logged_in",
    "sequence",
    "engagement",
];

/// A Firehose stream's settings as its owner writes them, and the table's settings that go with them.
struct Landing {
    prefix: &'static str,
    timezone: &'static str,
    settings: &'static str,
}

/// Without expressions Firehose adds the path of the time on its own.
const PLAIN: Landing = Landing { prefix: "click-stream/", timezone: "UTC", settings: "" };

/// Folders as Hive names them, an hour ahead of UTC.
const ZONED: Landing = Landing {
    prefix: "click-stream/!{timestamp:'year='yyyy'/month='MM'/day='dd'/hour='HH}/",
    timezone: "Europe/Berlin",
    settings: "prefix = \"!{timestamp:'year='yyyy'/month='MM'/day='dd'/hour='HH}/\"\ntimezone = \"Europe/Berlin\"\n\
               error_prefix = \"errors/!{firehose:error-output-type}/\"",
};

const COMPRESSIONS: [&str; 5] = ["GZIP", "UNCOMPRESSED", "ZIP", "Snappy", "HADOOP_SNAPPY"];

/// Records that a stream is sent at a time: fifteen batches, one for each of the streams at each of three times.
fn batches() -> Vec<Vec<String>> {
    let settings =
        Settings { objects_per_hour: 15, records: 900, framing: Framing::Newline, compression: Compression::None, ..Settings::default() };
    let lines = |body: Vec<u8>| String::from_utf8(body).unwrap().lines().map(str::to_string).collect();
    objects(&settings).unwrap().map(|object| lines(object.body)).collect()
}

/// What the stream number `index` is made with.
fn destination(landing: &Landing, bucket: &str, index: usize) -> Value {
    let mut made = json!({
        "BucketARN": format!("arn:aws:s3:::{bucket}"),
        "Prefix": landing.prefix,
        "ErrorOutputPrefix": "click-stream/errors/!{firehose:error-output-type}/",
        "CustomTimeZone": landing.timezone,
        "CompressionFormat": COMPRESSIONS[index],
    });
    if index.is_multiple_of(2) {
        let delimiter = json!({"ParameterName": "Delimiter", "ParameterValue": "\\n"});
        let processor = json!({"Type": "AppendDelimiterToRecord", "Parameters": [delimiter]});
        made["ProcessingConfiguration"] = json!({"Enabled": true, "Processors": [processor]});
    }
    made
}

/// Sends one batch to each of the streams, where it arrives at `at`.
fn send(lake: &Bucketed, landing: &Landing, at: &str, batches: &[Vec<String>]) {
    let bucket = format!("raw-{}", lake.account.account);
    let stream = |(index, records): (usize, &Vec<String>)| {
        let name = format!("clicks.{}-2", COMPRESSIONS[index].to_lowercase());
        json!({"stream": name, "destination": destination(landing, &bucket, index), "records": records})
    };
    let streams: Vec<Value> = batches.iter().enumerate().map(stream).collect();
    let file = lake.lake.path("streams.json");
    std::fs::write(&file, serde_json::to_vec(&streams).unwrap()).unwrap();
    lake.account.arrival(at);
    let sent = lake.script("put_firehose.py", &[file.to_str().unwrap()]);
    assert_eq!(sent["sent"], batches.iter().map(Vec::len).sum::<usize>());
}

/// The row that a record of the stream has to become, as `read_glue.py` prints it.
fn row(record: &str, hour: &str) -> Value {
    let record: Value = serde_json::from_str(record).unwrap();
    let mut row: Map<String, Value> =
        COLUMNS.iter().map(|column| (column.to_string(), record.get(column).cloned().unwrap_or(Value::Null))).collect();
    for time in ["collector_tstamp", "device_tstamp"] {
        row[time] = row[time].as_str().map_or(Value::Null, |text| json!(format!("{}000+00:00", text.trim_end_matches('Z'))));
    }
    row["device"].as_object_mut().unwrap().entry("screen").or_insert(Value::Null);
    for item in row["items"].as_array_mut().into_iter().flatten() {
        item["price"] = json!(format!("{:.2}", item["price"].as_f64().unwrap()));
    }
    let consent = record.get("consent").map(|consent| json!({"consent": consent.to_string()}));
    row.insert("rescued".to_string(), consent.unwrap_or(json!({})));
    for (key, value) in [("year", "2026"), ("month", "11"), ("day", "19"), ("hour", hour)] {
        row.insert(key.to_string(), json!(value));
    }
    Value::Object(row)
}

/// awswrangler reads from an hour the rows that these records have to become, and no others.
fn assert_holds(lake: &Bucketed, hour: &str, records: &[Vec<String>]) {
    let mut wanted: Vec<Value> = records.iter().flatten().map(|record| row(record, hour)).collect();
    wanted.sort_by_key(|row| row["event_id"].to_string());
    let read = lake.script("read_glue.py", &["shop", "clicks", "hour", hour, "values"]);
    let there = read["values"].as_array().unwrap();
    assert_eq!(there.len(), wanted.len(), "rows of hour {hour}");
    for (there, wanted) in there.iter().zip(&wanted) {
        assert_eq!(there, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_firehose_is_given_is_what_awswrangler_reads() {
    for landing in [PLAIN, ZONED] {
        let lake = Bucketed::with(landing.settings).await;
        let batches = batches();
        let (tenth, eleventh) = batches.split_at(10);
        send(&lake, &landing, "2026-11-19T10:05:00Z", &tenth[..5]);
        send(&lake, &landing, "2026-11-19T10:59:59Z", &tenth[5..]);
        send(&lake, &landing, "2026-11-19T11:00:00Z", eleventh);
        let run = |at: &str| lake.lakebed(&["run", "--at", at, "--output", "json"]).json(0)["tables"][0].clone();
        // An hour after the last batch arrived.
        let first = run("2026-11-19T12:00:00Z");
        assert_eq!(first["objects"], json!({"landed": 15, "merged": 10, "rejected": 0, "pending": 5}), "{first}");
        assert_holds(&lake, "10", tenth);
        let second = run("2026-11-19T12:20:00Z");
        assert_eq!(second["objects"], json!({"landed": 15, "merged": 15, "rejected": 0, "pending": 0}), "{second}");
        assert_holds(&lake, "11", eleventh);
        assert_holds(&lake, "10", tenth);
    }
}

/// awswrangler, which reads two hours again and again.
struct Watch {
    process: Child,
    /// Grows with each read.
    reads: Arc<AtomicU64>,
    /// Gives the last line of its output.
    output: JoinHandle<String>,
}

impl Watch {
    fn start(lake: &Bucketed) -> Self {
        let mut command = lake.python("watch_glue.py", &["shop", "clicks", "10", "11"]);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let reads = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&reads);
        let output = std::thread::spawn(move || {
            let count = |line: std::io::Result<String>| {
                counter.fetch_add(1, Ordering::Relaxed);
                line.unwrap()
            };
            lines.map(count).last().unwrap_or_default()
        });
        Self { process, reads, output }
    }

    fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// What it has seen, with one more read.
    fn ended(mut self) -> Value {
        drop(self.process.stdin.take());
        let stdout = self.output.join().unwrap().into_bytes();
        let output = self.process.wait_with_output().unwrap();
        Answer::of(std::process::Output { stdout, ..output }).json(0)
    }
}

/// Amendments of the two hours that are read meanwhile, and reads, at least; and amendments at most, should the reader have ended.
const AMENDMENTS: u64 = 12;
const READS: u64 = 20;
const MOST: u64 = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_sees_each_amendment_wholly_or_not_at_all() {
    let lake = Bucketed::new().await;
    let mut committed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut watch: Option<Watch> = None;
    let mut round = 0;
    while round <= AMENDMENTS || (round <= MOST && watch.as_ref().is_none_or(|watch| watch.reads() < READS)) {
        // No event of one round is one of another.
        lake.lake.generate(&Settings { seed: 100 + round, hours: 2, objects_per_hour: 2, records: 40 + 2 * round, ..Settings::default() });
        lake.upload().await;
        let run = lake.run(0);
        let changed = run["tables"][0]["partitions"].as_array().unwrap();
        assert_eq!(changed.len(), 2, "{run}");
        for partition in changed {
            assert_eq!(partition["action"], if round == 0 { "created" } else { "amended" }, "{run}");
            let hour = partition["values"]["hour"].as_str().unwrap().to_string();
            committed.entry(hour).or_default().push(partition["rows"].as_u64().unwrap());
        }
        watch.get_or_insert_with(|| Watch::start(&lake));
        round += 1;
    }
    let seen = watch.unwrap().ended();
    eprintln!("awswrangler read {} times during {} amendments of two hours and saw {}", seen["reads"], round - 1, seen["totals"]);
    assert!(seen["reads"].as_u64().unwrap() > READS, "{seen}");
    for (hour, committed) in &committed {
        let seen: Vec<u64> = seen["totals"][hour].as_array().unwrap().iter().map(|total| total.as_u64().unwrap()).collect();
        assert!(seen.len() >= 3, "hour {hour} was seen with {seen:?} alone");
        assert!(seen.iter().all(|total| committed.contains(total)), "hour {hour}: {seen:?} of {committed:?}");
        assert!(seen.is_sorted_by(|before, after| before < after), "hour {hour} went back: {seen:?}");
        assert_eq!(seen.last(), committed.last(), "hour {hour}");
    }
}

/// The objects of a landing in a bucket: key, bytes and how they say they are encoded.
async fn landed(lake: &Bucketed) -> BTreeMap<String, (Vec<u8>, Option<String>)> {
    let store = lake.landing.store();
    let objects: Vec<ObjectMeta> = store.list(None).try_collect().await.unwrap();
    let mut landed = BTreeMap::new();
    for object in objects {
        let got = store.get(&object.location).await.unwrap();
        let encoding = got.attributes.get(&object_store::Attribute::ContentEncoding).map(|encoding| encoding.as_ref().to_string());
        landed.insert(object.location.to_string(), (got.bytes().await.unwrap().to_vec(), encoding));
    }
    landed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clickstream_is_the_same_in_a_bucket_as_in_a_folder() {
    let lake = Bucketed::new().await;
    let (folder, bucket) = (lake.lake.path("generated"), format!("s3://raw-{}/click-stream", lake.account.account));
    let generate = |to: &str, more: &[&str]| {
        let settings = ["--seed", "7", "--hours", "2", "--records", "300", "--late", "0.2", "--bad", "0.02", "--output", "json"];
        lake.lakebed(&[&["generate", "--to", to], &settings[..], more].concat())
    };
    for part in ["on-time", "late"] {
        let [here, there] = [folder.to_str().unwrap(), bucket.as_str()].map(|to| generate(to, &["--part", part]).json(0));
        assert_eq!(here, there);
    }
    // What is there already is replaced, in a bucket too.
    generate(&bucket, &[]).json(0);
    let wanted: BTreeMap<String, Vec<u8>> = files(&folder)
        .into_iter()
        .map(|(file, bytes)| (file.strip_prefix(&folder).unwrap().to_str().unwrap().to_string(), bytes))
        .collect();
    assert_eq!(wanted.len(), 24);
    let there = landed(&lake).await;
    assert!(there.values().all(|(_, encoding)| encoding.as_deref() == Some("gzip")), "as Firehose labels them");
    assert!(there.into_iter().map(|(key, (bytes, _))| (key, bytes)).eq(wanted), "the keys or bytes differ");
    assert_eq!(lake.run(0)["tables"][0]["objects"]["landed"], 24);

    let nowhere = generate("s3://no-such-bucket/clicks/", &[]);
    assert!(nowhere.code == 2 && nowhere.stderr.contains("s3://no-such-bucket/clicks/2026/11/19/10/"), "{}", nowhere.stderr);
    let impossible = generate("s3://no-such-bucket/clicks/", &["--duplicates", "2"]);
    assert!(impossible.code == 2 && !impossible.stderr.contains("no-such-bucket"), "{}", impossible.stderr);
}

/// What `docs/aws.md` says of calls and their numbers.
pub fn document() -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws.md")).unwrap()
}

/// Calls that write an object, or a part of one.
pub const PUTS: [&str; 7] = ["s3:PUT", "s3:COPY", "s3:BEGIN", "s3:PUT-PART", "s3:COPY-PART", "s3:COMPLETE", "s3:COMPLETE-NEW"];

/// The row of the document's table of requests: LIST, PUT, GET, Glue.
fn documented(run: &str) -> [u64; 4] {
    let document = document();
    let row = document.lines().find_map(|line| line.strip_prefix(&format!("| {run} |"))).unwrap_or_else(|| panic!("no row `{run}`"));
    let numbers: Vec<u64> = row.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
    numbers.try_into().unwrap()
}

/// Runs at `at`, and compares what that took with the document.
fn assert_requests(lake: &Bucketed, run: &str, at: &str) {
    lake.account.calls();
    assert_eq!(lake.lakebed(&["run", "--at", at]).code, 0);
    let calls = lake.account.calls();
    let sum = |of: &[&str]| calls.iter().filter(|(call, _)| of.contains(&call.as_str())).map(|(_, count)| count).sum::<u64>();
    let glue = calls.iter().filter(|(call, _)| call.starts_with("glue:")).map(|(_, count)| count).sum();
    let made = [sum(&["s3:LIST"]), sum(&PUTS) + sum(&["s3:DELETE-MANY"]), sum(&["s3:GET", "s3:HEAD"]), glue];
    let documented = documented(run);
    eprintln!("a run {run}: {made:?} LIST, PUT, GET, Glue; documented are {documented:?}");
    assert!(made.iter().zip(&documented).all(|(made, most)| made <= most), "{run}: {calls:?}, documented {documented:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_makes_no_more_requests_than_the_document_says() {
    let lake = Bucketed::new().await;
    let land = async |first_hour: &str, settings: Settings| {
        lake.lake.generate(&Settings { first_hour: first_hour.parse().unwrap(), ..settings });
        lake.upload().await;
    };
    land("2026-11-17T01", Settings { hours: 47, objects_per_hour: 1, records: 94, ..Settings::default() }).await;
    assert_eq!(lake.lakebed(&["run", "--at", "2026-11-19T00:30:00Z"]).code, 0);
    assert_requests(&lake, "with nothing to do", "2026-11-19T00:30:00Z");
    land("2026-11-19T00", Settings { records: 1200, ..Settings::default() }).await;
    assert_requests(&lake, "that merges one hour of 12 objects", "2026-11-19T01:30:00Z");
    land("2026-11-19T00", Settings { seed: 2, objects_per_hour: 1, records: 100, ..Settings::default() }).await;
    assert_requests(&lake, "that amends one hour with one late object", "2026-11-19T01:30:00Z");
}
