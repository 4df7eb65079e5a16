//! The contract of the ledger's store: one function a behaviour, run on every kind of object store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use lakebed::catalog::TableName;
use lakebed::config::Location;
use lakebed::error::Kind;
use lakebed::layout::{self, GenerationId, PartitionId};
use lakebed::ledger::store::{Committed, LedgerStore};
use lakebed::ledger::{Counts, DataFile, FORMAT, Generation, LedgerVersion, Operation, Source};
use lakebed::scatter::moves::{Anew, Move, State, log};
use lakebed::store::{Aws, Created, Root, Stores};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions,
    PutPayload, PutResult,
};

use crate::support::moto::Account;

/// Attempts of all tests, so that no two are the same.
static ATTEMPTS: AtomicU64 = AtomicU64::new(1);

fn new_attempt() -> String {
    ulid::Ulid::from(u128::from(ATTEMPTS.fetch_add(1, Ordering::Relaxed))).to_string()
}

fn clicks() -> TableName {
    TableName { database: "shop".into(), name: "clicks".into() }
}

fn partition(hour: &str) -> PartitionId {
    format!("day=2026-11-19/hour={hour}").parse().unwrap()
}

fn source(key: &str) -> Source {
    Source {
        key: key.into(),
        hour: "2026-11-19T14".parse().unwrap(),
        etag: "e".into(),
        size: 1,
        late: false,
        counts: Counts { read: 3, merged: 2, duplicates: 1, ..Counts::default() },
        rejected: None,
        came: None,
    }
}

/// The version that follows `previous` in the partition of `hour` and has one source more, by an attempt of its own.
fn next(hour: &str, previous: Option<&LedgerVersion>, key: &str) -> LedgerVersion {
    let mut sources = previous.map_or_else(Vec::new, |version| version.sources.clone());
    sources.push(source(key));
    sources.sort_by(|a, b| a.key.cmp(&b.key));
    let counts: Counts = sources.iter().map(|source| source.counts).sum();
    let id = GenerationId { number: previous.map_or(1, |version| version.version + 1), attempt: new_attempt() };
    let files = vec![DataFile { name: "part-00000.parquet".into(), rows: counts.merged, bytes: 9 }];
    LedgerVersion {
        format: FORMAT,
        table: clicks(),
        partition: partition(hour),
        version: id.number,
        attempt: id.attempt.clone(),
        run: new_attempt(),
        at: "2026-11-19T20:00:00Z".parse().unwrap(),
        operation: if previous.is_some() { Operation::Amend } else { Operation::Create },
        generation: Generation { id, location: "file:///lake/g/".into(), files },
        from_merged: false,
        rolled_back: None,
        quarantine: None,
        columns: vec![],
        schema: String::new(),
        sources,
        counts,
        held: vec![],
        amended: 0,
        missing: vec![],
        retired: vec![],
        redriven: vec![],
    }
}

async fn committed(ledgers: &LedgerStore, hour: &str, count: usize) -> LedgerVersion {
    let mut last: Option<LedgerVersion> = None;
    for number in 0..count {
        let version = next(hour, last.as_ref(), &format!("k{number:03}"));
        assert_eq!(ledgers.commit(&version, last.as_ref()).await.unwrap(), Committed::Done);
        last = Some(version);
    }
    last.unwrap()
}

/// The keys of everything in a store.
async fn keys(root: &Root) -> Vec<String> {
    let all: Vec<ObjectMeta> = root.store().list(None).try_collect().await.unwrap();
    let mut keys: Vec<String> = all.into_iter().map(|object| object.location.to_string()).collect();
    keys.sort();
    keys
}

/// A partition that was never merged has no head, nor has a table.
pub async fn nothing_has_no_head(root: Root) {
    let ledgers = LedgerStore::new(root);
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), None);
    assert_eq!(ledgers.heads(&clicks()).await.unwrap(), []);
}

/// The head is the last version committed, whole; the one before it stays.
pub async fn versions_follow_one_another(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let first = next("14", None, "a");
    assert_eq!(ledgers.commit(&first, None).await.unwrap(), Committed::Done);
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(first.clone()));
    let second = next("14", Some(&first), "b");
    assert_eq!(ledgers.commit(&second, Some(&first)).await.unwrap(), Committed::Done);
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(second));
    let wanted = [1, 2].map(|number| layout::ledger_key(&clicks(), &partition("14"), number));
    assert_eq!(keys(&root).await, wanted, "and nothing else is left");
    let kept = root.read(&wanted[0]).await.unwrap().unwrap();
    assert_eq!(LedgerVersion::from_json(&kept, &wanted[0]).unwrap(), first);
}

/// Once a repair that moves rows closed a partition, nobody commits behind that until the repair ended, whatever table it is. Behind a version that
/// does not close it, whoever is first has the number.
pub async fn nobody_commits_behind_a_version_that_closes_the_partition(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let [first, other] = [committed(&ledgers, "14", 1).await, committed(&ledgers, "15", 1).await];
    let anew = |hour: &str, previous: Option<&LedgerVersion>| {
        let behind = LedgerVersion { version: previous.map_or(1, |previous| previous.version + 1), ..next(hour, previous, "x") };
        let version = LedgerVersion { operation: Operation::Move, ..next(hour, Some(&behind), "y") };
        Anew { closed_by: new_attempt(), version }
    };
    let partitions = vec![anew("14", Some(&first)), anew("15", Some(&other)), anew("16", None)];
    let (id, run, at) = (new_attempt(), new_attempt(), first.at);
    let format = lakebed::scatter::moves::FORMAT;
    let begun =
        Move { format, table: clicks(), version: 1, attempt: id.clone(), id, run, at, state: State::Begun, partitions, objects: vec![] };
    assert!(log::commit(&root, &begun, None).await.unwrap());
    let late = next("14", Some(&first), "b");
    assert_eq!(ledgers.commit(&late, Some(&first)).await.unwrap(), Committed::Done, "it is not closed");
    let closing = begun.partitions[0].closing(Some(&first));
    assert_eq!(ledgers.create(&closing, Some(&first), &new_attempt()).await.unwrap(), Committed::Lost(Box::new(late)));
    for (anew, previous) in [(&begun.partitions[1], Some(&other)), (&begun.partitions[2], None)] {
        let closing = anew.closing(previous);
        assert_eq!(ledgers.create(&closing, previous, &new_attempt()).await.unwrap(), Committed::Done);
        let hour = anew.version.partition.to_string().rsplit_once('=').unwrap().1.to_string();
        let late = next(&hour, Some(&closing), "b");
        let error = ledgers.commit(&late, Some(&closing)).await.unwrap_err();
        assert_eq!(
            (error.kind(), ledgers.head(&clicks(), &anew.version.partition).await.unwrap()),
            (Kind::Conflict, Some(closing.clone()))
        );
        assert!(error.to_string().contains("a repair is moving rows into it or out of it"), "{error}");
    }
    let undone = begun.then(State::Undone, new_attempt());
    assert!(log::commit(&root, &undone, Some(&begun)).await.unwrap());
    assert!(log::commit(&root, &undone.then(State::Over, new_attempt()), Some(&undone)).await.unwrap());
    let closing = begun.partitions[1].closing(Some(&other));
    assert_eq!(ledgers.commit(&next("15", Some(&closing), "b"), Some(&closing)).await.unwrap(), Committed::Done, "that is over");
}

/// More than nine versions are ordered by number and not by text.
pub async fn the_head_is_the_highest_number(root: Root) {
    let ledgers = LedgerStore::new(root);
    let last = committed(&ledgers, "14", 11).await;
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(last));
}

/// Who comes second with a number is told who was first, and changes nothing.
pub async fn the_second_of_a_number_loses(root: Root) {
    let ledgers = LedgerStore::new(root);
    let first = committed(&ledgers, "14", 1).await;
    let (winner, loser) = (next("14", Some(&first), "b"), next("14", Some(&first), "c"));
    assert_eq!(ledgers.commit(&winner, Some(&first)).await.unwrap(), Committed::Done);
    assert_eq!(ledgers.commit(&loser, Some(&first)).await.unwrap(), Committed::Lost(Box::new(winner.clone())));
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(winner));
}

/// A commit whose reply was lost is made again and found done.
pub async fn an_attempt_finds_its_own_commit(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let version = committed(&ledgers, "14", 1).await;
    assert_eq!(ledgers.commit(&version, None).await.unwrap(), Committed::Done);
    assert_eq!(keys(&root).await.len(), 1);
}

/// Many that count up in one ledger, each again from the winner's version when it loses, lose no count.
pub async fn a_racing_counter_loses_nothing(root: Root) {
    const TASKS: usize = 8;
    const EACH: usize = 10;
    let mut racers = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let ledgers = LedgerStore::new(root.clone());
        racers.spawn(async move {
            let mut head = ledgers.head(&clicks(), &partition("14")).await.unwrap();
            for number in 0..EACH {
                loop {
                    let version = next("14", head.as_ref(), &format!("{task}-{number}"));
                    match ledgers.commit(&version, head.as_ref()).await.unwrap() {
                        Committed::Done => break head = Some(version),
                        Committed::Lost(winner) => head = Some(*winner),
                    }
                }
            }
        });
    }
    racers.join_all().await;
    let head = LedgerStore::new(root.clone()).head(&clicks(), &partition("14")).await.unwrap().unwrap();
    assert_eq!((head.version, head.sources.len()), ((TASKS * EACH) as u64, TASKS * EACH));
    assert_eq!(head.counts.merged, 2 * (TASKS * EACH) as u64);
    assert_eq!(keys(&root).await.len(), TASKS * EACH);
}

/// What the refusal says, and a change that makes a version wrong.
type Wrong = (&'static str, fn(&mut LedgerVersion));

/// A version that breaks an invariant is refused as a fault of our own, and nothing is written.
pub async fn what_does_not_add_up_is_never_written(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let first = committed(&ledgers, "14", 2).await;
    let before = keys(&root).await;
    let wrong: [Wrong; 10] = [
        ("does not follow", |v| v.version += 1),
        ("does not follow", |v| v.version -= 1),
        ("another partition", |v| v.partition = partition("15")),
        ("object k000 would be lost", |v| {
            v.sources.remove(0);
        }),
        ("twice", |v| v.sources.push(source("k000"))),
        ("twice", |v| v.sources.push(source("a-key-that-is-not-in-its-place"))),
        ("the records of new do not add up", |v| v.sources[2].counts.read += 1),
        ("do not add up to the total", |v| v.counts.dropped += 1),
        ("its files hold 7 rows", |v| v.generation.files[0].rows += 1),
        ("and 4 quarantined", |v| {
            let files = vec![DataFile { name: "part-00000.parquet".into(), rows: 4, bytes: 1 }];
            v.quarantine = Some(Generation { files, ..v.generation.clone() });
        }),
    ];
    for (says, change) in wrong {
        let mut version = next("14", Some(&first), "new");
        change(&mut version);
        let error = ledgers.commit(&version, Some(&first)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Internal, "{error}");
        assert!(error.to_string().contains(says), "{says}: {error}");
    }
    let mut late = next("15", None, "a");
    late.version = 2;
    assert!(ledgers.commit(&late, None).await.is_err(), "a first version has the number 1");
    assert_eq!(keys(&root).await, before);
}

async fn put(root: &Root, key: &str, text: &str) {
    assert_eq!(root.create(key, text.as_bytes().to_vec(), &new_attempt()).await.unwrap(), Created::Yes);
}

/// A ledger that a newer lakebed wrote is left alone: the user is asked to update.
pub async fn a_newer_format_asks_for_an_update(root: Root) {
    let version = next("14", None, "a");
    let text = String::from_utf8(version.to_json()).unwrap().replace("\"format\": 4", "\"format\": 5");
    put(&root, &layout::ledger_key(&clicks(), &partition("14"), 1), &text).await;
    let ledgers = LedgerStore::new(root);
    let error = ledgers.head(&clicks(), &partition("14")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("has format 5, this lakebed reads up to 4; update lakebed"), "{error}");
    assert!(ledgers.commit(&version, None).await.is_err(), "nor is it taken for a lost race");
}

/// A version that is no JSON, or not that of a ledger, is named by its key.
pub async fn a_broken_version_is_named(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    for (hour, text) in [("14", "{\"format\": 2, "), ("15", "{\"format\": 2}"), ("16", "")] {
        let key = layout::ledger_key(&clicks(), &partition(hour), 1);
        put(&root, &key, text).await;
        let error = ledgers.head(&clicks(), &partition(hour)).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(error.to_string().contains(&key) && error.to_string().contains("backup"), "{error}");
    }
}

/// What a killed attempt left beside the versions is none of them.
pub async fn leftovers_of_a_dead_attempt_are_no_versions(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let leftover = |number| format!("{}.{}", layout::ledger_key(&clicks(), &partition("14"), number), new_attempt());
    put(&root, &leftover(1), "{").await;
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), None);
    let first = committed(&ledgers, "14", 1).await;
    put(&root, &leftover(2), "{").await;
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(first.clone()));
    assert_eq!(ledgers.heads(&clicks()).await.unwrap(), [first]);
}

/// Of several partitions the heads come ordered, those of other tables and of partitions with longer names left out.
pub async fn heads_are_those_of_all_partitions_of_one_table(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    let (b, a) = (committed(&ledgers, "15", 3).await, committed(&ledgers, "14", 1).await);
    let odd = committed(&ledgers, "1", 2).await;
    let other = LedgerVersion { table: TableName { name: "clicks_old".into(), ..clicks() }, ..next("14", None, "x") };
    ledgers.commit(&other, None).await.unwrap();
    assert_eq!(ledgers.heads(&clicks()).await.unwrap(), [odd.clone(), a.clone(), b.clone()]);
    assert_eq!(ledgers.heads(&other.table).await.unwrap(), [other]);
    let asked = [partition("15"), partition("16"), partition("1")];
    assert_eq!(ledgers.heads_of(&clicks(), &asked).await.unwrap(), [b, odd]);
    assert_eq!(ledgers.head(&clicks(), &partition("14")).await.unwrap(), Some(a));
}

/// Values that need escaping in a path read back.
pub async fn partitions_may_have_any_value(root: Root) {
    let ledgers = LedgerStore::new(root);
    for value in ["a/b=c", "50 %", "ü\"'*?", ".."] {
        let id = PartitionId::new([("page".to_string(), value.to_string())]);
        let version = LedgerVersion { partition: id.clone(), ..next("14", None, "a") };
        assert_eq!(ledgers.commit(&version, None).await.unwrap(), Committed::Done);
        assert_eq!(ledgers.head(&clicks(), &id).await.unwrap(), Some(version), "{value}");
    }
    assert_eq!(ledgers.heads(&clicks()).await.unwrap().len(), 4);
}

/// A store that creates once only passes the probe, which leaves nothing.
pub async fn the_probe_passes_and_leaves_nothing(root: Root) {
    let ledgers = LedgerStore::new(root.clone());
    ledgers.probe(&new_attempt()).await.unwrap();
    ledgers.probe(&new_attempt()).await.unwrap();
    assert_eq!(keys(&root).await, Vec::<String>::new());
}

/// A prefix of a bucket that nobody else has.
async fn bucket() -> Root {
    let account = Account::new();
    let bucket = account.bucket("state").await;
    let location = Location::parse(&format!("s3://{bucket}/my-state/"), std::path::Path::new("/")).unwrap();
    Stores::with_buckets(Aws::of(account.sdk(), None)).created(&location, "state").unwrap()
}

/// Runs each behaviour on a fresh local folder, on a fresh store in memory, and on a fresh prefix of a bucket.
macro_rules! stores {
    ($($behaviour:ident)*) => {
        mod local_disk {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $behaviour() {
                let folder = tempfile::Builder::new().prefix("my state ü").tempdir().unwrap();
                let location = super::Location::of_folder(&folder.path().join("state")).unwrap();
                super::$behaviour(super::Stores::default().created(&location, "state").unwrap()).await;
            })*
        }
        mod s3 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $behaviour() {
                super::$behaviour(super::bucket().await).await;
            })*
        }
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $behaviour() {
                super::$behaviour(super::Root::in_memory()).await;
            })*
        }
    };
}

stores! {
    nothing_has_no_head
    versions_follow_one_another
    the_head_is_the_highest_number
    nobody_commits_behind_a_version_that_closes_the_partition
    the_second_of_a_number_loses
    an_attempt_finds_its_own_commit
    a_racing_counter_loses_nothing
    what_does_not_add_up_is_never_written
    a_newer_format_asks_for_an_update
    a_broken_version_is_named
    leftovers_of_a_dead_attempt_are_no_versions
    heads_are_those_of_all_partitions_of_one_table
    partitions_may_have_any_value
    the_probe_passes_and_leaves_nothing
}

/// A store that overwrites where it is asked to create.
#[derive(Debug)]
struct Overwriting(InMemory);

impl std::fmt::Display for Overwriting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

type Stored<T> = object_store::Result<T>;

#[async_trait]
impl ObjectStore for Overwriting {
    async fn put_opts(&self, at: &Path, bytes: PutPayload, options: PutOptions) -> Stored<PutResult> {
        self.0.put_opts(at, bytes, PutOptions { mode: PutMode::Overwrite, ..options }).await
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Stored<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Stored<GetResult> {
        self.0.get_opts(at, options).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Stored<Path>>) -> BoxStream<'static, Stored<Path>> {
        self.0.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
        self.0.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn the_probe_refuses_a_store_that_overwrites() {
    let root = Root::of_store(Arc::new(Overwriting(InMemory::new())), "memory:///".parse().unwrap());
    let error = LedgerStore::new(root.clone()).probe(&new_attempt()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("overwrites an object that exists"), "{error}");
    assert_eq!(keys(&root).await, Vec::<String>::new());
}
