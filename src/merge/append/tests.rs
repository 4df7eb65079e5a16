//! Files that were appended to, beside the files that they were made of.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection, RowSelector};
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy};
use serde_json::{Value, json};

use super::*;
use crate::catalog::TableName;
use crate::config::Compression;
use crate::layout::GenerationId;
use crate::merge::writer::GenerationWriter;

const SHAPE: Shape = Shape { target_file_size: 1 << 20, row_group_size: 256 << 10, compression: Compression::Zstd, threads: 2 };

fn schema() -> SchemaRef {
    let field = |name: &str, data_type| Field::new(name, data_type, true);
    let part = DataType::Struct(vec![field("text", DataType::Utf8), field("number", DataType::Int64)].into());
    let entries = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), field("value", part.clone())].into());
    Arc::new(Schema::new(vec![
        field("id", DataType::Int64),
        field("text", DataType::Utf8),
        field("nothing", DataType::Float64),
        field("items", DataType::List(Arc::new(field("element", part)))),
        field("by_name", DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)),
    ]))
}

/// Rows with the numbers of `ids`.
fn batch(ids: Range<i64>) -> RecordBatch {
    let value = |id: i64| match id % 5 {
        0 => json!({"id": id}),
        1 => json!({"id": id, "text": "", "items": [], "by_name": {}}),
        rest => {
            let parts: Vec<Value> = (0..rest).map(|n| json!({"text": format!("t{}", id * n), "number": n})).collect();
            json!({"id": id, "text": format!("text {id}"), "items": [parts[0], null], "by_name": {"a": parts[1], "b": null}})
        }
    };
    let rows: Vec<Value> = ids.map(value).collect();
    let mut decoder = arrow::json::ReaderBuilder::new(schema()).with_batch_size(rows.len()).build_decoder().unwrap();
    decoder.serialize(&rows).unwrap();
    decoder.flush().unwrap().unwrap()
}

/// The lake's folder, and the generations that are written into it.
struct Folder {
    root: Root,
    written: u64,
    shape: Shape,
}

impl Folder {
    fn new(shape: Shape) -> Self {
        Self { root: Root::in_memory(), written: 0, shape }
    }

    async fn write(&mut self, carried: Option<Carried>, batches: &[RecordBatch]) -> Generation {
        self.written += 1;
        let id = GenerationId { number: self.written, attempt: "01J".into() };
        let name = TableName::parse("shop.clicks").unwrap();
        let mut writer = GenerationWriter::new(&self.root, &name, id, format!("g{}/", self.written), schema(), &self.shape);
        if let Some(carried) = carried {
            let again: Vec<RecordBatch> = carried.rows(&schema()).try_collect().await.unwrap();
            writer.carry(carried).await.unwrap();
            for batch in &again {
                writer.write(batch).await.unwrap();
            }
        }
        for batch in batches {
            writer.write(batch).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    async fn plan(&self, live: &Generation) -> Option<Carried> {
        Carried::plan(&self.root, live, &schema(), &self.shape).await.unwrap().carried().cloned()
    }

    async fn append(&mut self, live: &Generation, late: &[RecordBatch]) -> Generation {
        let carried = self.plan(live).await;
        assert!(carried.is_some());
        self.write(carried, late).await
    }

    async fn rows(&self, live: &Generation) -> RecordBatch {
        let batches: Vec<RecordBatch> = reader::read_generation(&self.root, live, &schema()).try_collect().await.unwrap();
        concat_batches(&schema(), &batches).unwrap()
    }

    async fn about(&self, live: &Generation, file: usize) -> ParquetMetaData {
        reader::metadata(&self.root, &live.location, &live.files[file], true).await.unwrap()
    }

    async fn bytes(&self, live: &Generation, file: usize) -> Bytes {
        self.root.read(&format!("g{}/{}", live.id.number, live.files[file].name)).await.unwrap().unwrap()
    }
}

/// What is said of a chunk, but where its indexes are.
fn chunk(column: &ColumnChunkMetaData) -> ColumnChunkMetaData {
    let none = column.clone().into_builder().set_column_index_offset(None).set_column_index_length(None);
    none.set_offset_index_offset(None).set_offset_index_length(None).build().unwrap()
}

/// A file says of its first row groups all that the file says whose they were.
fn assert_taken_along(new: &ParquetMetaData, old: &ParquetMetaData) {
    for (at, group) in old.row_groups().iter().enumerate() {
        let taken = new.row_group(at);
        assert_eq!(
            (taken.num_rows(), taken.total_byte_size(), taken.ordinal()),
            (group.num_rows(), group.total_byte_size(), group.ordinal())
        );
        assert_eq!((taken.file_offset(), taken.sorting_columns()), (group.file_offset(), group.sorting_columns()));
        let chunks = |group: &parquet::file::metadata::RowGroupMetaData| group.columns().iter().map(chunk).collect::<Vec<_>>();
        assert_eq!(chunks(taken), chunks(group));
        assert!(taken.columns().iter().all(|column| column.page_encoding_stats().is_some() && column.statistics().is_some()));
        assert_eq!(new.column_index().unwrap()[at], old.column_index().unwrap()[at]);
        assert_eq!(new.offset_index().unwrap()[at], old.offset_index().unwrap()[at]);
    }
}

/// Every twentieth run of ten rows, read by the places of pages.
fn some_rows(file: &Bytes) -> RecordBatch {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap();
    let runs = (0..rows / 200).flat_map(|_| [RowSelector::skip(190), RowSelector::select(10)]);
    let read = builder.with_row_selection(RowSelection::from_iter(runs)).build().unwrap();
    let batches: Vec<RecordBatch> = read.map(Result::unwrap).collect();
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

#[tokio::test]
async fn what_was_known_about_live_rows_stays_known() {
    let mut folder = Folder::new(SHAPE);
    let live = folder.write(None, &[batch(0..3_000)]).await;
    let new = folder.append(&live, &[batch(3_000..3_500)]).await;
    assert_eq!(new.files.len(), 1);
    let (old, about) = (folder.about(&live, 0).await, folder.about(&new, 0).await);
    assert_eq!((about.num_row_groups(), about.file_metadata().num_rows()), (old.num_row_groups() + 1, 3_500));
    assert_taken_along(&about, &old);
    let (before, after) = (old.file_metadata(), about.file_metadata());
    assert_eq!((after.created_by(), after.schema()), (before.created_by(), before.schema()));
    let said: Vec<_> = after.key_value_metadata().unwrap().iter().filter(|about| about.key == "lakebed.generation").collect();
    assert_eq!(said[0].value.as_deref(), Some(new.id.to_string().as_str()));
    assert_eq!(said.len(), 1);
    let data = usize::try_from(about.row_group(old.num_row_groups()).file_offset().unwrap()).unwrap();
    assert_eq!(folder.bytes(&new, 0).await[..data], folder.bytes(&live, 0).await[..data], "bytes are copied as they are");
    assert_eq!(folder.rows(&new).await, batch(0..3_500));
    let ids = |rows: &RecordBatch| rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    let some = some_rows(&folder.bytes(&new, 0).await);
    assert_eq!(ids(&some), (0..3_400).filter(|id| id % 200 >= 190).collect::<Vec<i64>>());
}

#[tokio::test]
async fn full_files_are_left_whole_and_late_rows_come_behind_them() {
    let mut folder = Folder::new(Shape { row_group_size: 16 << 10, target_file_size: 64 << 10, ..SHAPE });
    let batches: Vec<RecordBatch> = (0..40).map(|at| batch(at * 500..at * 500 + 500)).collect();
    let live = folder.write(None, &batches).await;
    let full = live.files.iter().filter(|file| plan::is_full(file.bytes, 16 << 10)).count();
    assert!(full > 1, "{:?}", live.files);
    let new = folder.append(&live, &[batch(20_000..20_100)]).await;
    for at in 0..full {
        assert_eq!((&new.files[at], folder.bytes(&new, at).await), (&live.files[at], folder.bytes(&live, at).await));
    }
    assert_eq!(new.files.len(), full + 1);
    let again = folder.append(&new, &[batch(20_100..20_200)]).await;
    assert_eq!(again.files.len(), full + 1, "the small file behind them grows");
    assert_eq!(folder.rows(&again).await, batch(0..20_200));
}

#[tokio::test]
async fn many_appends_leave_few_row_groups() {
    let mut folder = Folder::new(SHAPE);
    let mut live = folder.write(None, &[]).await;
    let mut most = 0;
    for at in 0..30 {
        live = folder.append(&live, &[batch(at * 100..at * 100 + 100)]).await;
        most = most.max(folder.about(&live, 0).await.num_row_groups());
    }
    assert!((plan::MOST_ROW_GROUPS..=plan::MOST_ROW_GROUPS + 3).contains(&most), "{most}");
    assert_eq!(live.files.len(), 1);
    assert_eq!(folder.rows(&live).await, batch(0..3_000));
}

#[tokio::test]
async fn without_late_rows_the_files_are_the_same() {
    let mut folder = Folder::new(SHAPE);
    for rows in [vec![], vec![batch(0..100)]] {
        let live = folder.write(None, &rows).await;
        let new = folder.append(&live, &[]).await;
        assert_eq!(new.files, live.files);
        assert_eq!(folder.bytes(&new, 0).await, folder.bytes(&live, 0).await);
    }
}

#[tokio::test]
async fn files_of_another_form_are_not_appended_to() {
    let mut folder = Folder::new(SHAPE);
    let live = folder.write(None, &[batch(0..100)]).await;
    let snappy = Shape { compression: Compression::Snappy, ..SHAPE };
    let fewer: SchemaRef = schema().project(&[0, 1]).unwrap().into();
    for (schema, shape) in [(&schema(), &snappy), (&fewer, &SHAPE)] {
        let planned = Carried::plan(&folder.root, &live, schema, shape).await.unwrap();
        let fates: Vec<Fate> = planned.files(&live).into_iter().map(|file| file.fate).collect();
        assert_eq!((planned.carried().is_none(), fates), (true, vec![Fate::Encoded(Again::Encoding)]));
    }
    let gone = Generation { location: "memory:///g9/".into(), ..live };
    let error = Carried::plan(&folder.root, &gone, &schema(), &SHAPE).await.unwrap_err();
    assert!(error.to_string().contains("which the ledger names"), "{error}");
}
