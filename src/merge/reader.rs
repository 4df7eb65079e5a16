//! Reads the files of a generation, whose names and sizes the ledger knows.

mod batch;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{Field, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};

use crate::error::{Error, Result};
use crate::ledger::{DataFile, Generation};
use crate::store::{Root, parse, refusal};

/// Bytes at a file's end that are fetched at once: footers are mostly smaller.
const FOOTER: usize = 64 << 10;

/// One Parquet file in an object store.
struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
}

fn external(e: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(e))
}

impl AsyncFileReader for ObjectReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        self.store.get_range(&self.path, range).map_err(external).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) }.boxed()
    }

    fn get_metadata<'a>(&'a mut self, _: Option<&'a ArrowReaderOptions>) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        let size = self.size;
        let reader = ParquetMetaDataReader::new().with_prefetch_hint(Some(FOOTER));
        async move { reader.load_and_finish(self, size).await.map(Arc::new) }.boxed()
    }
}

/// Rows that a file's footer says it has.
///
/// # Errors
/// What is wrong with the file, as the rest of a sentence.
pub async fn footer_rows(root: &Root, path: &str) -> std::result::Result<(u64, u64), String> {
    let path = parse(path).map_err(|e| e.to_string())?;
    let size = root.store().head(&path).await.map_err(|e| format!("cannot be read back: {e}"))?.size;
    let mut reader = ObjectReader { store: Arc::clone(root.store()), path, size };
    let metadata = reader.get_metadata(None).await.map_err(|e| format!("has no readable footer: {e}"))?;
    Ok((size, u64::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)))
}

/// All that a file's footer says of it; with `pages` also where its pages are and what is in them.
///
/// # Errors
/// `Unavailable` if it cannot be read.
pub async fn metadata(root: &Root, location: &str, file: &DataFile, pages: bool) -> Result<ParquetMetaData> {
    let policy = if pages { PageIndexPolicy::Optional } else { PageIndexPolicy::Skip };
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    let parser = ParquetMetaDataReader::new().with_page_index_policy(policy).with_metadata_options(Some(options));
    let mut reader = object(root, location, file)?;
    let read = parser.with_prefetch_hint(Some(FOOTER)).load_and_finish(&mut reader, file.bytes).await;
    read.map_err(|e| unreadable(location, file)(e.to_string()))
}

/// The rows of a generation in the columns of `schema`: by name, null where the files have no such column. Other columns are not read.
pub fn read_generation(root: &Root, generation: &Generation, schema: &SchemaRef) -> impl Stream<Item = Result<RecordBatch>> + use<> {
    read_row_groups(root, generation, None, schema)
}

/// As [`read_generation`], of each file only the row groups of these numbers, if any are given.
pub fn read_row_groups(
    root: &Root,
    generation: &Generation,
    row_groups: Option<Range<usize>>,
    schema: &SchemaRef,
) -> impl Stream<Item = Result<RecordBatch>> + use<> {
    let (root, wanted, location) = (root.clone(), schema.clone(), generation.location.clone());
    let open = move |file| open_file(root.clone(), location.clone(), file, row_groups.clone(), wanted.clone());
    let schema = schema.clone();
    futures::stream::iter(generation.files.clone()).then(open).try_flatten().map(move |batch| conform(&batch?, &schema))
}

fn unreadable(location: &str, file: &DataFile) -> impl Fn(String) -> Error + use<> {
    let url = format!("{location}{}", file.name);
    move |e| refusal::failed(&format!("cannot read {url}, which the ledger names"), &e, "run again, and if the file is gone restore it")
}

fn object(root: &Root, location: &str, file: &DataFile) -> Result<ObjectReader> {
    let folder = root.path_of(location).ok_or_else(|| unreadable(location, file)("it is outside of its location".into()))?;
    let path = parse(&format!("{folder}{}", file.name))?;
    Ok(ObjectReader { store: Arc::clone(root.store()), path, size: file.bytes })
}

async fn open_file(
    root: Root,
    location: String,
    file: DataFile,
    row_groups: Option<Range<usize>>,
    schema: SchemaRef,
) -> Result<impl Stream<Item = Result<RecordBatch>>> {
    let failed = unreadable(&location, &file);
    let failed_to_read = |e: ParquetError| failed(e.to_string());
    let (mut reader, about) = (object(&root, &location, &file)?, metadata(&root, &location, &file, false).await?);
    let about = ArrowReaderMetadata::try_new(Arc::new(about), ArrowReaderOptions::new()).map_err(failed_to_read)?;
    let names = about.schema().fields().iter().enumerate();
    let wanted = names.filter(|(_, field)| schema.index_of(field.name()).is_ok()).map(|(index, _)| index).collect::<Vec<_>>();
    let mask = ProjectionMask::roots(about.parquet_schema(), wanted);
    let leaves: Vec<usize> = (0..about.parquet_schema().num_columns()).filter(|leaf| mask.leaf_included(*leaf)).collect();
    let rows = if batch::may_be_large(about.metadata(), &leaves) {
        let known = ParquetMetaData::clone(about.metadata());
        let mut pages = ParquetMetaDataReader::new_with_metadata(known).with_page_index_policy(PageIndexPolicy::Optional);
        pages.load_page_index(&mut reader).await.map_err(failed_to_read)?;
        batch::rows_at_once(&pages.finish().map_err(failed_to_read)?, &leaves)
    } else {
        batch::rows_at_once(about.metadata(), &leaves)
    };
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, about).with_batch_size(rows);
    let builder = match row_groups {
        Some(some) => builder.with_row_groups(some.collect()),
        None => builder,
    };
    let stream = builder.with_projection(mask).build().map_err(|e| failed(e.to_string()))?;
    Ok(stream.map_err(move |e| failed(e.to_string())))
}

fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    by_name(batch, schema).map_err(|e| {
        Error::data(format!("the live files do not fit the table's columns: {e}; restore the columns that they were merged with"))
    })
}

/// The rows of a batch in the columns of `schema`: by name, null where the batch has no such column.
///
/// # Errors
/// A value does not fit: that is an error and not a null.
pub fn by_name(batch: &RecordBatch, schema: &SchemaRef) -> std::result::Result<RecordBatch, ArrowError> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &Arc<Field>| match batch.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
        Some(column) => cast_with_options(column, field.data_type(), &exact),
        None => Ok(arrow::array::new_null_array(field.data_type(), batch.num_rows())),
    };
    let columns = schema.fields().iter().map(column).collect::<std::result::Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), columns)
}
