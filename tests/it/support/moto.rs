//! AWS in a process beside the tests: moto, started once for all of them and gone with them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{AsyncSleep, Credentials, SharedAsyncSleep, SharedCredentialsProvider, Sleep};
use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use serde_json::json;

use super::python;

/// The region that everything is in.
pub const REGION: &str = "eu-central-1";

/// An account that one test has for itself.
#[derive(Debug, serde::Deserialize)]
pub struct Account {
    /// Its number, which makes names that are the same for all accounts, those of buckets, its own.
    pub account: String,
    key: String,
    secret: String,
    token: String,
}

impl Account {
    /// An account that nobody had before.
    pub fn new() -> Self {
        serde_json::from_value(ask(&json!({}))).expect("moto makes an account")
    }

    /// From now on this share of its requests fails: some are throttled, of others only the answer is lost.
    pub fn fail(&self, share: f64, seed: u64) {
        ask(&json!({"account": self.account, "fail": share, "seed": seed}));
    }

    /// From now on each of its requests takes so many seconds longer.
    pub fn delay(&self, seconds: f64) {
        ask(&json!({"account": self.account, "delay": seconds}));
    }

    /// From now on each call of this kind, such as `s3:COMPLETE-NEW`, takes so many seconds longer.
    pub fn slow(&self, call: &str, seconds: u64) {
        ask(&json!({"account": self.account, "slow": {call: seconds}}));
    }

    /// The next so many calls of this kind, such as `glue:CreateTable`, take effect, and their answers are lost.
    pub fn lose(&self, call: &str, times: u64) {
        ask(&json!({"account": self.account, "lost": {call: times}}));
    }

    /// The next calls of this kind, such as `athena:GetQueryExecution`, are answered with a `ThrottlingException`.
    pub fn throttle(&self, call: &str, times: u64) {
        ask(&json!({"account": self.account, "throttle": {call: times}}));
    }

    /// So often Athena says from now on that a query is running, before it is done.
    pub fn running(&self, times: u64) {
        ask(&json!({"account": self.account, "running": times}));
    }

    /// When what is sent to Firehose from now on arrives, such as `2026-11-19T10:05:00Z`.
    pub fn arrival(&self, at: &str) {
        ask(&json!({"account": self.account, "arrival": at}));
    }

    /// From now on each call of these, such as `glue:GetTable`, `s3:LIST` or of one bucket `s3:LIST raw`, is answered with its code, and no
    /// other; `s3:*` is all of S3.
    pub fn refuse(&self, calls: &[(&str, &str)]) {
        let calls: BTreeMap<_, _> = calls.iter().copied().collect();
        ask(&json!({"account": self.account, "refuse": calls}));
    }

    /// The next so many calls of this kind, such as `glue:GetTable`, are answered with this code.
    pub fn passing(&self, call: &str, code: &str, times: u64) {
        ask(&json!({"account": self.account, "passing": {call: (code, times)}}));
    }

    /// From now on entries of these calls, such as `BatchCreatePartition`, are refused on their own: those whose last value is this, with this
    /// code, so many times, -1 for always.
    pub fn entries(&self, refused: &[(&str, &str, &str, i64)]) {
        ask(&json!({"account": self.account, "entries": refused}));
    }

    /// From now on batches are refused as a whole that write a partition whose last value is this; none with an empty text.
    pub fn poison(&self, value: &str) {
        ask(&json!({"account": self.account, "poison": value}));
    }

    /// The next so many calls of `BatchGetPartition` come to none of their keys.
    pub fn unprocessed(&self, times: u64) {
        ask(&json!({"account": self.account, "unprocessed": times}));
    }

    /// From now on a page of what Athena answers has so many rows at most, the header among them.
    pub fn rows(&self, rows: u64) {
        ask(&json!({"account": self.account, "rows": rows}));
    }

    /// From now on queries in Athena fail, with this category and this reason.
    pub fn ends(&self, category: u64, reason: &str) {
        ask(&json!({"account": self.account, "ends": (category, reason)}));
    }

    /// What `StartQueryExecution` was asked since this was asked last.
    pub fn started(&self) -> Vec<serde_json::Value> {
        serde_json::from_value(ask(&json!({"account": self.account, "started": true}))).expect("moto keeps what was started")
    }

    /// From now on a page of partitions has so many at most, and the first one none.
    pub fn page(&self, partitions: u32) {
        ask(&json!({"account": self.account, "page": partitions}));
    }

    /// What `GetPartitions` was asked since this was asked last: `Expression` and `Segment` of each call.
    pub fn asked(&self) -> Vec<serde_json::Value> {
        serde_json::from_value(ask(&json!({"account": self.account, "asked": true}))).expect("moto keeps questions")
    }

    /// What Athena answers to the next query.
    pub fn athena(&self, result: &serde_json::Value) {
        ask(&json!({"account": self.account, "athena": result}));
    }

    /// What it called since this was asked last, in that order.
    pub fn order(&self) -> Vec<String> {
        serde_json::from_value(ask(&json!({"account": self.account, "order": true}))).expect("moto keeps the order of calls")
    }

    /// The objects that it has read since this was asked last, each as `/bucket/key`.
    pub fn read(&self) -> Vec<String> {
        serde_json::from_value(ask(&json!({"account": self.account, "read": true}))).expect("moto keeps what was read")
    }

    /// What IAM had to allow since this was asked last: calls, those of S3 by their kind, and ARNs.
    pub fn needed(&self) -> Vec<(String, String)> {
        serde_json::from_value(ask(&json!({"account": self.account, "needed": true}))).expect("moto keeps what was needed")
    }

    /// Calls of S3 that wrote since this was asked last, and their headers that say how.
    pub fn headers(&self) -> Vec<(String, BTreeMap<String, String>)> {
        serde_json::from_value(ask(&json!({"account": self.account, "headers": true}))).expect("moto keeps headers")
    }

    /// The bytes that it sent to S3 and received from there since this was asked last.
    pub fn moved(&self) -> (u64, u64) {
        serde_json::from_value(ask(&json!({"account": self.account, "moved": true}))).expect("moto counts bytes")
    }

    /// The next so many entries that it puts on a bus are refused, -1 for all.
    pub fn decline(&self, entries: i64) {
        ask(&json!({"account": self.account, "decline": entries}));
    }

    /// The events on its buses since this was asked last, each as its name and its detail.
    pub fn events(&self) -> Vec<(String, serde_json::Value)> {
        let events: Vec<serde_json::Value> =
            serde_json::from_value(ask(&json!({"account": self.account, "events": true}))).expect("moto keeps events");
        let one = |event: &serde_json::Value| {
            assert_eq!((&event["Source"], &event["EventBusName"]), (&json!("lakebed"), &json!("lake")), "{event}");
            let detail = serde_json::from_str(event["Detail"].as_str().expect("a detail is a text")).expect("a detail is JSON");
            (event["DetailType"].as_str().expect("a type is a text").to_string(), detail)
        };
        events.iter().map(one).collect()
    }

    /// How often it called what, such as `glue:GetTable` or `s3:PUT`, since this was asked last.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        serde_json::from_value(ask(&json!({"account": self.account, "calls": true}))).expect("moto counts calls")
    }

    /// The environment in which every AWS tool uses this account, of nothing but the emulator.
    pub fn environment(&self) -> [(&'static str, String); 7] {
        [
            ("AWS_ENDPOINT_URL", endpoint()),
            ("AWS_REGION", REGION.to_string()),
            ("AWS_DEFAULT_REGION", REGION.to_string()),
            ("AWS_ACCESS_KEY_ID", self.key.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.secret.clone()),
            ("AWS_SESSION_TOKEN", self.token.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_string()),
        ]
    }

    /// The configuration of a client of this account that talks to `endpoint`.
    pub fn sdk_at(&self, endpoint: &str) -> SdkConfig {
        let credentials = Credentials::new(&self.key, &self.secret, Some(self.token.clone()), None, "test");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new(REGION))
            .endpoint_url(endpoint)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// As [`Self::sdk`], and the client's pauses and timeouts are a tenth of what they are said to be.
    pub fn hasty_sdk(&self) -> SdkConfig {
        self.sdk().to_builder().sleep_impl(SharedAsyncSleep::new(Hasty)).build()
    }

    /// The configuration of a client of this account.
    pub fn sdk(&self) -> SdkConfig {
        self.sdk_at(&endpoint())
    }
}

impl Account {
    /// Makes a bucket and says its name: all accounts share their names.
    pub async fn bucket(&self, name: &str) -> String {
        let bucket = format!("{name}-{}", self.account);
        let place = BucketLocationConstraint::from(REGION);
        let place = CreateBucketConfiguration::builder().location_constraint(place).build();
        let client = aws_sdk_s3::Client::new(&self.sdk());
        client.create_bucket().bucket(&bucket).create_bucket_configuration(place).send().await.expect("moto makes buckets");
        bucket
    }
}

/// Sleeps a tenth of the time.
#[derive(Debug)]
struct Hasty;

impl AsyncSleep for Hasty {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration / 10))
    }
}

/// What the emulator's script answers; its own text says what may be asked.
fn ask(question: &serde_json::Value) -> serde_json::Value {
    let mut server = server().lock().unwrap_or_else(PoisonError::into_inner);
    let Server { input, output, .. } = &mut *server;
    writeln!(input, "{question}").expect("moto takes requests");
    let mut line = String::new();
    output.read_line(&mut line).expect("moto answers");
    serde_json::from_str(&line).unwrap_or_else(|e| panic!("moto did not answer {question}: {e}\n{line}"))
}

/// Where the emulator listens.
pub fn endpoint() -> String {
    server().lock().unwrap_or_else(PoisonError::into_inner).url.clone()
}

/// The server ends when its standard input does, so it ends with the process of the tests, however that ends.
struct Server {
    _process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    url: String,
}

fn server() -> &'static Mutex<Server> {
    static SERVER: OnceLock<Mutex<Server>> = OnceLock::new();
    SERVER.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python/moto_server.py");
        let mut process = Command::new(python::aws_python())
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("moto did not start: {e}"));
        let input = process.stdin.take().expect("it is a pipe");
        let mut output = BufReader::new(process.stdout.take().expect("it is a pipe"));
        let mut url = String::new();
        output.read_line(&mut url).expect("moto says where it listens");
        assert!(url.starts_with("http://127.0.0.1:"), "moto did not start: {url}");
        Mutex::new(Server { _process: process, input, output, url: url.trim_end().to_string() })
    })
}
