//! Makes one Parquet file of batches, or of finished files, the columns of a row group on all threads.

mod bounds;
mod chunk;
mod codec;
mod columns;
mod dictionary;
mod ends;
mod hybrid;
mod leaf;
mod levels;
mod out;
pub mod stored;
mod span;
mod weave;

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

pub use chunk::Closed;
use columns::{Leaf, Origin};
use out::Out;
use stored::Stored;

/// A file that is being encoded, in memory.
pub struct Encoder {
    file: SerializedFileWriter<Out>,
    out: Out,
    schema: SchemaRef,
    /// See [`columns::origins`].
    origins: Vec<Origin>,
    /// A row group is closed once it has about this many bytes.
    row_group_bytes: usize,
    threads: usize,
    open: Option<RowGroup>,
}

impl Encoder {
    /// An empty file.
    ///
    /// # Errors
    /// The schema has a type that Parquet does not have or lakebed does not write.
    pub fn new(schema: SchemaRef, properties: WriterProperties, threads: usize) -> Result<Self> {
        let row_group_bytes = properties.max_row_group_bytes().unwrap_or(usize::MAX);
        let out = Out::default();
        let writer = ArrowWriter::try_new(out.clone(), schema.clone(), Some(properties))?;
        let (file, _) = writer.into_serialized_writer()?;
        let origins = columns::origins(&schema, file.schema_descr())?;
        Ok(Self { file, out, schema, origins, row_group_bytes, threads, open: None })
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
                none => none.insert(RowGroup::new(columns::leaves(&self.origins, self.file.schema_descr(), self.file.properties()))),
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

    /// Appends a row group of another file as it is encoded there: its columns in their order, each with its bytes, or with none if nobody has to
    /// write them. Rows that were written before end their own row group first.
    ///
    /// # Errors
    /// The columns are others than those of this file.
    pub async fn append(&mut self, columns: Vec<Closed>) -> Result<()> {
        self.close_row_group().await?;
        self.append_leaves(columns)
    }

    /// Appends the rows of files that [fit](Stored::fits) as a row group, with their pages as they are stored there; as several, if one would be
    /// much too large. Rows that were written before end their own row group first. A file whose pages cannot go on as they are is decoded. Returns
    /// the number of the first file that cannot be decoded either; what was made is of no use then.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub async fn weave(&mut self, files: Vec<Stored>) -> Result<Option<usize>> {
        let (numbers, files): (Vec<usize>, Vec<Stored>) = files.into_iter().enumerate().filter(|(_, file)| file.rows() > 0).unzip();
        let files: Arc<[Stored]> = files.into();
        let mut waiting: Vec<Range<usize>> = std::iter::once(0..files.len()).collect();
        while let Some(some) = waiting.pop().filter(|some| !some.is_empty()) {
            // Texts that share no dictionary any more take more room than they did in their files.
            let most = if some.len() > 1 { self.row_group_bytes.saturating_mul(2) } else { usize::MAX };
            match self.woven(Arc::clone(&files), some.clone(), most).await {
                Ok(Some(leaves)) => {
                    self.close_row_group().await?;
                    self.append_leaves(leaves)?;
                }
                Err(_) if some.len() == 1 => {
                    if self.write_decoded(&files[some.start]).await.is_err() {
                        return Ok(Some(numbers[some.start]));
                    }
                }
                // It shows in smaller parts which file it is.
                Ok(None) | Err(_) => {
                    let middle = some.start + some.len() / 2;
                    waiting.extend([middle..some.end, some.start..middle]);
                }
            }
        }
        // They are very many blocks of memory: they are given back while others are written.
        tokio::task::spawn_blocking(move || drop(files));
        Ok(None)
    }

    async fn write_decoded(&mut self, file: &Stored) -> Result<()> {
        for batch in file.decoded()? {
            self.write(&batch).await?;
        }
        Ok(())
    }

    /// The leaves of some of the files; `None` if all of them together have more than so many bytes.
    async fn woven(&self, files: Arc<[Stored]>, some: Range<usize>, most: usize) -> Result<Option<Vec<Closed>>> {
        let (leaves, properties) = (self.file.schema_descr(), Arc::clone(self.file.properties()));
        let leaves: Vec<_> = self.origins.iter().enumerate().map(|(leaf, origin)| (leaves.column(leaf), origin.is_text())).collect();
        let room = AtomicUsize::new(most);
        let rows: usize = files[some.clone()].iter().map(Stored::rows).sum();
        let work = move |leaf: usize| {
            let (column, is_text) = &leaves[leaf];
            weave::leaf(leaf, Arc::clone(column), &properties, *is_text, &files[some.clone()], &room)
        };
        let leaves: Option<Vec<Closed>> = on_threads(self.threads, self.origins.len(), work).await?.into_iter().collect();
        if leaves.iter().flatten().any(|leaf| leaf.result.rows_written != rows as u64) {
            return Err(ParquetError::General(format!("a file has not the {rows} rows in each column that it says")));
        }
        Ok(leaves)
    }

    /// Bytes of the file so far, about.
    pub fn size(&self) -> u64 {
        (self.file.bytes_written() + self.open.as_ref().map_or(0, |open| open.bytes)) as u64
    }

    /// The bytes that are final and were not taken before.
    ///
    /// # Errors
    /// Never, as it is memory that they are in.
    pub fn take(&mut self) -> Result<Vec<Bytes>> {
        self.file.flush()?;
        Ok(self.out.take())
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
        let leaves = open.close(self.threads).await?;
        self.append_leaves(leaves)
    }

    /// Adds a row group of finished leaves.
    fn append_leaves(&mut self, leaves: Vec<Closed>) -> Result<()> {
        let mut at = self.file.bytes_written();
        let mut row_group = self.file.next_row_group()?;
        for leaf in leaves {
            at += self.out.append(&mut row_group, at, leaf)?;
        }
        row_group.close().map(drop)
    }
}

/// A row group that is being encoded.
struct RowGroup {
    leaves: Arc<Vec<Mutex<Option<Leaf>>>>,
    rows: usize,
    bytes: usize,
}

impl RowGroup {
    fn new(leaves: Vec<Leaf>) -> Self {
        Self { leaves: Arc::new(leaves.into_iter().map(|leaf| Mutex::new(Some(leaf))).collect()), rows: 0, bytes: 0 }
    }

    /// How many more rows there is room for, by the rows that are there.
    fn room(&self, most: usize) -> usize {
        let row = self.bytes.checked_div(self.rows).unwrap_or(0).max(1);
        most.saturating_sub(self.bytes) / row
    }

    async fn write(&mut self, batch: RecordBatch, threads: usize) -> Result<()> {
        self.rows += batch.num_rows();
        let leaves = Arc::clone(&self.leaves);
        let sizes = on_threads(threads, self.leaves.len(), move |index| {
            let mut leaf = leaves[index].lock().unwrap_or_else(PoisonError::into_inner);
            leaf.as_mut().map_or(Ok(0), |leaf| leaf.write(&batch))
        });
        self.bytes = sizes.await?.into_iter().sum();
        Ok(())
    }

    /// The finished leaves, in their order.
    async fn close(self, threads: usize) -> Result<Vec<Closed>> {
        let leaves = self.leaves;
        let closed = on_threads(threads, leaves.len(), move |index| {
            let leaf = leaves[index].lock().unwrap_or_else(PoisonError::into_inner).take();
            leaf.map(Leaf::close).transpose()
        });
        Ok(closed.await?.into_iter().flatten().collect())
    }
}

/// Does `work` for each of `count` indices on as many threads, and returns what came of it in the order of the indices.
///
/// The threads are new ones: glibc gives those that begin one after the other memory in different places, and they do not wait for each other there.
/// Threads that are at hand already share a place as often as not.
pub(super) async fn on_threads<T: Send + 'static>(
    threads: usize,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let stopped = |e: &dyn std::fmt::Display| ParquetError::General(format!("work stopped: {e}"));
    let all = move || {
        let next = AtomicUsize::new(0);
        let worker = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok(done);
                }
                done.push((index, work(index)?));
            }
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(worker)).collect();
            let ended = |worker: ScopedJoinHandle<'_, _>| worker.join().unwrap_or_else(|_| Err(stopped(&"a thread panicked")));
            workers.into_iter().map(ended).collect::<Vec<Result<Vec<(usize, T)>>>>()
        })
    };
    let done = tokio::task::spawn_blocking(all).await.map_err(|e| stopped(&e))?;
    let mut all = Vec::with_capacity(count);
    for some in done {
        all.extend(some?);
    }
    all.sort_unstable_by_key(|(index, _)| *index);
    Ok(all.into_iter().map(|(_, value)| value).collect())
}

#[cfg(test)]
mod tests;
