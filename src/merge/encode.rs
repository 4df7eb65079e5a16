//! Encodes batches as one Parquet file, the columns of a row group on all threads.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use futures::future::try_join_all;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

/// A file that is being encoded, in memory.
pub struct Encoder {
    file: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// A row group is closed once it has about this many bytes.
    row_group_bytes: usize,
    threads: usize,
    row_groups: usize,
    open: Option<RowGroup>,
}

impl Encoder {
    /// An empty file.
    ///
    /// # Errors
    /// The schema has a type that Parquet does not have.
    pub fn new(schema: SchemaRef, properties: WriterProperties, threads: usize) -> Result<Self> {
        let row_group_bytes = properties.max_row_group_bytes().unwrap_or(usize::MAX);
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(Self { file, factory, schema, row_group_bytes, threads, row_groups: 0, open: None })
    }

    /// Appends the rows of a batch.
    ///
    /// # Errors
    /// The batch is of another schema.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut rest = batch.clone();
        while rest.num_rows() > 0 {
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(RowGroup::new(&self.factory, self.row_groups, &self.schema)?),
            };
            let rows = open.room(self.row_group_bytes).clamp(1, rest.num_rows());
            open.write(rest.slice(0, rows), self.threads).await?;
            rest = rest.slice(rows, rest.num_rows() - rows);
            if open.bytes >= self.row_group_bytes || rest.num_rows() > 0 {
                self.close_row_group().await?;
            }
        }
        Ok(())
    }

    /// Bytes of the file so far, about.
    pub fn size(&self) -> u64 {
        (self.file.bytes_written() + self.open.as_ref().map_or(0, |open| open.bytes)) as u64
    }

    /// The bytes that are final and were not taken before.
    ///
    /// # Errors
    /// Never, as it is memory that they are in.
    pub fn take(&mut self) -> Result<Vec<u8>> {
        self.file.flush()?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Adds to what the footer says of the file.
    pub fn note(&mut self, about: KeyValue) {
        self.file.append_key_value_metadata(about);
    }

    /// Ends the file; its last bytes are then to be taken.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn finish(&mut self) -> Result<()> {
        self.close_row_group().await?;
        self.file.finish().map(drop)
    }

    async fn close_row_group(&mut self) -> Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let chunks = open.close(self.threads).await?;
        let mut row_group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut row_group)?;
        }
        row_group.close()?;
        self.row_groups += 1;
        Ok(())
    }
}

/// A row group that is being encoded.
struct RowGroup {
    schema: SchemaRef,
    /// The writers of the leaves of each column of the schema.
    columns: Arc<Vec<Mutex<Vec<ArrowColumnWriter>>>>,
    rows: usize,
    bytes: usize,
}

impl RowGroup {
    fn new(factory: &ArrowRowGroupWriterFactory, index: usize, schema: &SchemaRef) -> Result<Self> {
        let mut writers = factory.create_column_writers(index)?.into_iter();
        let leaves = |field: &Arc<arrow::datatypes::Field>| leaf_count(field.data_type());
        let columns = schema.fields().iter().map(|field| Mutex::new(writers.by_ref().take(leaves(field)).collect())).collect();
        Ok(Self { schema: schema.clone(), columns: Arc::new(columns), rows: 0, bytes: 0 })
    }

    /// How many more rows there is room for, by the rows that are there.
    fn room(&self, most: usize) -> usize {
        let row = self.bytes.checked_div(self.rows).unwrap_or(0).max(1);
        most.saturating_sub(self.bytes) / row
    }

    async fn write(&mut self, batch: RecordBatch, threads: usize) -> Result<()> {
        self.rows += batch.num_rows();
        let (schema, columns) = (self.schema.clone(), Arc::clone(&self.columns));
        let sizes = on_threads(threads, self.columns.len(), move |index| {
            let mut writers = columns[index].lock().unwrap_or_else(PoisonError::into_inner);
            let leaves = compute_leaves(schema.field(index), batch.column(index))?;
            leaves.iter().zip(writers.iter_mut()).try_for_each(|(leaf, writer)| writer.write(leaf))?;
            Ok(writers.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum::<usize>())
        });
        self.bytes = sizes.await?.into_iter().sum();
        Ok(())
    }

    /// The finished columns.
    async fn close(self, threads: usize) -> Result<Vec<ArrowColumnChunk>> {
        let count = self.columns.len();
        let columns = self.columns;
        let chunks = on_threads(threads, count, move |index| {
            let writers = std::mem::take(&mut *columns[index].lock().unwrap_or_else(PoisonError::into_inner));
            writers.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<_>>>()
        });
        Ok(chunks.await?.into_iter().flatten().collect())
    }
}

/// How many Parquet columns a type has.
fn leaf_count(data_type: &arrow::datatypes::DataType) -> usize {
    use arrow::datatypes::DataType::{List, Map, Struct};
    match data_type {
        List(item) | Map(item, _) => leaf_count(item.data_type()),
        Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        _ => 1,
    }
}

/// Does `work` for each of `count` indices on as many threads, and returns what came of it in the order of the indices.
async fn on_threads<T: Send + 'static>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
    let worker = |_| {
        let (work, next) = (Arc::clone(&work), Arc::clone(&next));
        tokio::task::spawn_blocking(move || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(done);
                }
                done.push((index, work(index)?));
            }
        })
    };
    let workers: Range<usize> = 0..threads.min(count);
    let stopped = |e| ParquetError::General(format!("encoding stopped: {e}"));
    let done: Vec<Result<Vec<(usize, T)>>> = try_join_all(workers.map(worker)).await.map_err(stopped)?;
    let mut all = Vec::with_capacity(count);
    for some in done {
        all.extend(some?);
    }
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}
