//! Makes one Parquet file of batches, or of finished files, the columns of a row group on all threads.

mod bounds;
mod chunk;
mod codec;
mod columns;
mod dictionary;
mod ends;
mod hybrid;
mod levels;
pub mod stored;
mod text;
mod weave;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use futures::future::try_join_all;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::ChunkReader;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};

use chunk::Closed;
use columns::{Leaf, Origin, Part};
use stored::Stored;

/// A file that is being encoded, in memory.
pub struct Encoder {
    file: SerializedFileWriter<Vec<u8>>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// See [`columns::origins`].
    origins: Vec<Origin>,
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
    /// The schema has a type that Parquet does not have or lakebed does not write.
    pub fn new(schema: SchemaRef, properties: WriterProperties, threads: usize) -> Result<Self> {
        let row_group_bytes = properties.max_row_group_bytes().unwrap_or(usize::MAX);
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        let origins = columns::origins(&schema, file.schema_descr())?;
        Ok(Self { file, factory, schema, origins, row_group_bytes, threads, row_groups: 0, open: None })
    }

    /// Appends the rows of a batch. Whether a column may be null is what the file says of it, not the batch.
    ///
    /// # Errors
    /// The batch has columns of other types, or nulls where the file has none.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let of_file = RecordBatch::try_new_with_options(self.schema.clone(), batch.columns().to_vec(), &options);
        let mut rest = of_file.map_err(|e| ParquetError::General(format!("a batch has other columns than its file: {e}")))?;
        while rest.num_rows() > 0 {
            let open = match &mut self.open {
                Some(open) => open,
                none => {
                    let writers = self.factory.create_column_writers(self.row_groups)?;
                    let parts = columns::parts(&self.origins, self.file.schema_descr(), self.file.properties(), writers)?;
                    none.insert(RowGroup::new(parts))
                }
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

    /// Appends a row group of another file as it is encoded there. `columns` says what is known about its columns, in their order and with
    /// the offsets that they have in `source`. Rows that were written before end their own row group first.
    ///
    /// # Errors
    /// The columns are others than those of this file, or `source` is shorter than they are.
    pub async fn append(&mut self, source: &(impl ChunkReader + 'static), columns: Vec<ColumnCloseResult>) -> Result<()> {
        self.close_row_group().await?;
        self.row_group(|row_group| columns.into_iter().try_for_each(|column| row_group.append_column(source, column)))
    }

    /// Appends the rows of files that [fit](Stored::fits) as a row group, with their pages as they are stored there; as several, if one would be
    /// much too large. Rows that were written before end their own row group first.
    ///
    /// # Errors
    /// A file is not what it says; what was made of it is of no use then.
    pub async fn weave(&mut self, files: Vec<Stored>) -> Result<()> {
        self.close_row_group().await?;
        let files: Arc<[Stored]> = files.into_iter().filter(|file| file.rows() > 0).collect();
        let mut waiting: Vec<Range<usize>> = std::iter::once(0..files.len()).collect();
        while let Some(some) = waiting.pop().filter(|some| !some.is_empty()) {
            // Texts that share no dictionary any more take more room than they did in their files.
            let most = if some.len() > 1 { self.row_group_bytes.saturating_mul(2) } else { usize::MAX };
            match self.woven(Arc::clone(&files), some.clone(), most).await? {
                Some(leaves) => {
                    self.file.inner_mut().reserve(leaves.iter().map(|leaf| leaf.result.bytes_written as usize).sum());
                    self.row_group(|row_group| leaves.into_iter().try_for_each(|leaf| row_group.append_column(&leaf.pages, leaf.result)))?;
                }
                None => {
                    let middle = some.start + some.len() / 2;
                    waiting.extend([middle..some.end, some.start..middle]);
                }
            }
        }
        Ok(())
    }

    /// The leaves of some of the files; `None` if all of them together have more than so many bytes.
    async fn woven(&self, files: Arc<[Stored]>, some: Range<usize>, most: usize) -> Result<Option<Vec<Closed>>> {
        let (leaves, properties) = (self.file.schema_descr(), Arc::clone(self.file.properties()));
        let leaves: Vec<_> = self.origins.iter().enumerate().map(|(leaf, origin)| (leaves.column(leaf), origin.is_text())).collect();
        let room = AtomicUsize::new(most);
        let work = move |leaf: usize| {
            let (column, is_text) = &leaves[leaf];
            weave::leaf(leaf, Arc::clone(column), &properties, *is_text, &files[some.clone()], &room)
        };
        Ok(on_threads(self.threads, self.origins.len(), work).await?.into_iter().collect())
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
        let open_bytes = open.bytes;
        let leaves = open.close(self.threads).await?;
        // All of it at once, not twice as much again and again.
        self.file.inner_mut().reserve(open_bytes);
        self.row_group(|row_group| leaves.into_iter().try_for_each(|leaf| leaf.append_to(row_group)))
    }

    /// Adds a row group with the columns that `fill` appends.
    fn row_group(&mut self, fill: impl FnOnce(&mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<()>) -> Result<()> {
        let mut row_group = self.file.next_row_group()?;
        fill(&mut row_group)?;
        row_group.close()?;
        self.row_groups += 1;
        Ok(())
    }
}

/// A row group that is being encoded.
struct RowGroup {
    parts: Arc<Vec<Mutex<Option<Part>>>>,
    rows: usize,
    bytes: usize,
}

impl RowGroup {
    fn new(parts: Vec<Part>) -> Self {
        Self { parts: Arc::new(parts.into_iter().map(|part| Mutex::new(Some(part))).collect()), rows: 0, bytes: 0 }
    }

    /// How many more rows there is room for, by the rows that are there.
    fn room(&self, most: usize) -> usize {
        let row = self.bytes.checked_div(self.rows).unwrap_or(0).max(1);
        most.saturating_sub(self.bytes) / row
    }

    async fn write(&mut self, batch: RecordBatch, threads: usize) -> Result<()> {
        self.rows += batch.num_rows();
        let parts = Arc::clone(&self.parts);
        let sizes = on_threads(threads, self.parts.len(), move |index| {
            let mut part = parts[index].lock().unwrap_or_else(PoisonError::into_inner);
            part.as_mut().map_or(Ok(0), |part| part.write(&batch))
        });
        self.bytes = sizes.await?.into_iter().sum();
        Ok(())
    }

    /// The finished leaves, in their order.
    async fn close(self, threads: usize) -> Result<Vec<Leaf>> {
        let parts = self.parts;
        let closed = on_threads(threads, parts.len(), move |index| {
            let part = parts[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            part.map_or(Ok(Vec::new()), Part::close)
        });
        let mut leaves: Vec<(usize, Leaf)> = closed.await?.into_iter().flatten().collect();
        leaves.sort_unstable_by_key(|(leaf, _)| *leaf);
        Ok(leaves.into_iter().map(|(_, leaf)| leaf).collect())
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

#[cfg(test)]
mod tests;
