//! What each step from a landed object to a Parquet file costs on one object of clicks, in bytes of JSON for each second.
//!
//! How to run it and what the steps are: `docs/performance.md`.

#![allow(clippy::unwrap_used, reason = "a bench says what went wrong by failing")]

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use lakebed::catalog::TableName;
use lakebed::config::{Compression as Codec, NewColumns};
use lakebed::error::Result;
use lakebed::generate::{self, Compression, Settings};
use lakebed::layout::{self, GenerationId, PartitionId};
use lakebed::merge::writer::{GenerationWriter, Shape};
use lakebed::schema::ddl::{self, Placeholders, Statement};
use lakebed::standardize::codec::{self, Content, Stored};
use lakebed::standardize::frame::{self, Records};
use lakebed::standardize::reject::Reason;
use lakebed::standardize::scan::{self, Syntax};
use lakebed::standardize::window::Window;
use lakebed::standardize::{self, Limits, Piece, Plan};
use lakebed::store::Root;
use tokio::runtime::Runtime;

/// Records of the object: as many as one of the twelve of `benches/peers` has.
const RECORDS: u64 = 25_000;

/// Records where each bench runs once, to show that it works.
const FEW_RECORDS: u64 = 1_000;

/// Samples of each bench.
const SAMPLES: usize = 20;

/// The columns that `benches/peers` writes.
const MIGRATION: &str = include_str!("peers/migrations/shop.clicks/0001_create.sql");

/// What snappy-java writes in front: its magic, a version, and the oldest version that can read it.
const XERIAL: &[u8] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";

/// Bytes of text in a block of snappy-java's, as Firehose writes them.
const XERIAL_BLOCK: usize = 32 << 10;

/// So much memory that an object of this size is never read twice or in parts.
const MEMORY: u64 = 1 << 30;

fn main() {
    // Cargo says `--bench` in `cargo bench`, and nothing in `cargo test`.
    let records = if std::env::args().any(|argument| argument == "--bench") { RECORDS } else { FEW_RECORDS };
    let mut criterion = Criterion::default().sample_size(SAMPLES).configure_from_args();
    let clicks = Clicks { text: object(records, Compression::None), records };
    // What only one group needs is made when it is run, so that a profile of another has none of it.
    inflate(&mut criterion, &clicks);
    frame(&mut criterion, &clicks);
    decode(&mut criterion, &clicks);
    encode(&mut criterion, &clicks);
    criterion.final_summary();
}

/// The text of the object.
struct Clicks {
    text: Bytes,
    records: u64,
}

impl Clicks {
    fn throughput(&self) -> Throughput {
        Throughput::Bytes(self.text.len() as u64)
    }
}

/// The same text for every compression, and the same in every run.
fn object(records: u64, compression: Compression) -> Bytes {
    let settings = Settings { objects_per_hour: 1, records, compression, ..Settings::default() };
    generate::objects(&settings).unwrap().next().unwrap().body.into()
}

fn limits() -> Limits {
    Limits::within(MEMORY, MEMORY)
}

/// Takes the compression off, in pieces as framing asks for them.
fn inflate(criterion: &mut Criterion, clicks: &Clicks) {
    let made = |compression| object(clicks.records, compression);
    let objects: [(&str, &dyn Fn() -> Bytes, u64); 5] = [
        ("gzip", &|| made(Compression::Gzip), MEMORY),
        ("gzip-streamed", &|| made(Compression::Gzip), 0),
        ("gzip-members", &|| made(Compression::GzipMembers), MEMORY),
        ("snappy", &|| xerial(&clicks.text), MEMORY),
        ("zstd", &|| zstd::encode_all(&clicks.text[..], 1).unwrap().into(), MEMORY),
    ];
    let mut group = criterion.benchmark_group("inflate");
    group.throughput(clicks.throughput());
    for (name, object, whole) in objects {
        let limits = codec::Limits { whole, bytes: MEMORY, ratio: codec::RATIO };
        let stored = LazyCell::new(|| {
            let stored: Arc<dyn Stored> = Arc::new(object());
            let at_once = matches!(codec::open(&stored, limits).unwrap(), Content::Whole(_));
            assert_eq!(at_once, name == "gzip", "{name}: only small gzip of one member comes out in one piece");
            assert_eq!(inflated(&stored, limits), clicks.text.len() as u64, "{name}");
            stored
        });
        group.bench_function(name, |bencher| {
            let stored = &*stored;
            bencher.iter(|| inflated(stored, limits));
        });
    }
    group.finish();
}

/// How many bytes come out.
fn inflated(stored: &Arc<dyn Stored>, limits: codec::Limits) -> u64 {
    let mut window = match codec::open(stored, limits).unwrap() {
        Content::Whole(text) => Window::whole(text),
        Content::Text(source) => Window::of(source),
        Content::Columnar => panic!("the object is text"),
    };
    while !window.ended() {
        window.refill(window.bytes().len(), usize::MAX);
    }
    assert!(window.failure().is_none(), "the object is whole");
    window.base() + black_box(window.bytes()).len() as u64
}

fn xerial(text: &[u8]) -> Bytes {
    let mut out = XERIAL.to_vec();
    for block in text.chunks(XERIAL_BLOCK) {
        let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
        out.extend(u32::try_from(block.len()).unwrap().to_be_bytes());
        out.extend(block);
    }
    out.into()
}

/// Finds where the records begin and end, and passes over what is in them.
fn frame(criterion: &mut Criterion, clicks: &Clicks) {
    let whole = || Window::whole(clicks.text.clone());
    let streamed = || Window::of(Box::new(Cursor::new(clicks.text.clone())));
    let mut group = criterion.benchmark_group("frame");
    group.throughput(clicks.throughput());
    group.bench_function("whole", |bencher| bencher.iter(|| assert_eq!(framed(whole()), clicks.records)));
    group.bench_function("streamed", |bencher| bencher.iter(|| assert_eq!(framed(streamed()), clicks.records)));
    group.finish();
}

/// How many records there are.
fn framed(mut window: Window) -> u64 {
    let mut count = Count::default();
    frame::read(&mut window, &mut count, None, limits().record).unwrap();
    count.records
}

/// Counts good records; there are no others.
#[derive(Default)]
struct Count {
    records: u64,
    open: Vec<u8>,
}

impl Records for Count {
    fn read(&mut self, bytes: &[u8], start: usize) -> std::result::Result<usize, Syntax> {
        let mut cursor = scan::Cursor::new(bytes, start);
        cursor.skip_value(&mut self.open).map(|_| cursor.pos)
    }

    fn accept(&mut self, _: u64, _: &[u8]) -> Result<()> {
        self.records += 1;
        Ok(())
    }

    fn take_back(&mut self) {}

    fn reject(&mut self, offset: u64, _: &[u8], _: Reason) -> Result<()> {
        panic!("the record at {offset} is good")
    }

    fn oversized(&mut self, offset: u64, _: u64) -> Result<()> {
        panic!("the record at {offset} is short")
    }
}

/// Makes rows of the text, framing included.
fn decode(criterion: &mut Criterion, clicks: &Clicks) {
    let (plan, stored) = (plan(), stored(clicks));
    let mut group = criterion.benchmark_group("decode");
    group.throughput(clicks.throughput());
    group.bench_function("clicks", |bencher| {
        bencher.iter(|| {
            let outcome = standardize::standardize(&plan, &stored, limits(), &mut |piece| {
                black_box(piece);
                Ok(())
            });
            assert_eq!(outcome.unwrap().tally.rows, clicks.records);
        });
    });
    group.finish();
}

/// Writes the rows as Parquet into memory, and reads the footer back as every writer of a generation does.
fn encode(criterion: &mut Criterion, clicks: &Clicks) {
    let (plan, runtime) = (plan(), Runtime::new().unwrap());
    let batches = LazyCell::new(|| batches(&plan, clicks));
    let mut group = criterion.benchmark_group("encode");
    group.throughput(clicks.throughput());
    for (name, compression) in [("zstd", Codec::Zstd), ("snappy", Codec::Snappy)] {
        let shape = Shape { target_file_size: 512 << 20, row_group_size: 128 << 20, compression, threads: 1 };
        group.bench_function(name, |bencher| {
            let batches = &*batches;
            bencher.iter(|| assert_eq!(runtime.block_on(written(&plan, batches, &shape)), clicks.records));
        });
    }
    group.finish();
}

/// The rows of the text.
fn batches(plan: &Plan, clicks: &Clicks) -> Vec<RecordBatch> {
    let mut batches = Vec::new();
    let keep = &mut |piece| {
        let Piece::Rows(batch) = piece else { panic!("all records are good") };
        batches.push(batch);
        Ok(())
    };
    standardize::standardize(plan, &stored(clicks), limits(), keep).unwrap();
    batches
}

/// How many rows were written.
async fn written(plan: &Plan, batches: &[RecordBatch], shape: &Shape) -> u64 {
    let id = GenerationId { number: 1, attempt: "01KAE4M5RS0000000000000000".into() };
    let folder = layout::generation_folder(&PartitionId::new([("hour".into(), "10".into())]), &id);
    let mut writer = GenerationWriter::new(&Root::in_memory(), &table(), id, folder, Arc::clone(&plan.schema), shape);
    for batch in batches {
        writer.write(batch).await.unwrap();
    }
    writer.finish().await.unwrap().files.iter().map(|file| file.rows).sum()
}

fn table() -> TableName {
    TableName::parse("shop.clicks").unwrap()
}

fn stored(clicks: &Clicks) -> Arc<dyn Stored> {
    Arc::new(clicks.text.clone())
}

/// As `benches/peers/bare.toml` has it: no rules beside the types, and every field has its column.
fn plan() -> Plan {
    let names = Placeholders { table: &table(), location: "memory:///" };
    let Statement::CreateTable(create) = ddl::parse(MIGRATION, &names).unwrap();
    Plan::new(&create.schema, &BTreeMap::new(), NewColumns::Reject, 0.0).unwrap()
}
