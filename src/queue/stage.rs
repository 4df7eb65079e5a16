//! Standardizes one landed object into the queue.

use arrow::array::RecordBatch;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::spread::spread;
use super::{HEAD, Head, Queue, Recipe, Rejects, seal};
use crate::config::Compression;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout;
use crate::merge::encode::Encoder;
use crate::merge::intake::{Intake, Part, Reading};
use crate::merge::writer;
use crate::pipeline::{Limits, ManagedTable};
use crate::standardize::Outcome;
use crate::store::{Created, Root};

/// Most bytes of a landed object that is staged, as stored. Firehose buffers 128 MiB at the most.
const LARGEST: u64 = 128 << 20;

/// Most bytes of a staged file and of its rejects together. They are created and read at once, as whole objects. Firehose's buffers become
/// less than this.
const MOST: u64 = 16 << 20;

/// What came of staging an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// It is in the queue now.
    Staged,
    /// It was in the queue already.
    AlreadyThere,
    /// A run has to read it where it landed: it is too large for the queue, or not what it should be. What a run may make of such an
    /// object depends on the memory that it has.
    ForTheRun,
}

/// Standardizes `object` and puts what it becomes into the queue. It can be done any number of times at once: the file's name is
/// given by the object and what is made of it, and the first one stays.
///
/// # Errors
/// `Unavailable` if the object cannot be read or the state location cannot be written.
pub async fn stage(state: &Root, table: &ManagedTable, limits: &Limits, attempt: &str, object: LandedObject) -> Result<Staging> {
    let key = Recipe::new(&table.config, &table.schema).staged_key(&object);
    if object.size > LARGEST {
        return Ok(Staging::ForTheRun);
    }
    if state.exists(&key).await? {
        return Ok(Staging::AlreadyThere);
    }
    let (objects, queue) = ([object.clone()], Queue::default());
    let mut intake = Intake::new(table, state, &queue, &objects, limits);
    let reading = intake.next().await.ok_or_else(|| Error::internal("one object gives one reading"))?;
    if let Some(scatter) = &table.scatter {
        return Ok(spread(state, table, scatter, limits, attempt, reading).await?.1);
    }
    let mut made = Made::new(table)?;
    let Some(outcome) = made.take(reading).await? else { return Ok(Staging::ForTheRun) };
    let head = Head { batch: made.rows.batch(), ..Head::of(&object, outcome.tally) };
    made.put(state, &key, head, attempt).await
}

/// The rows and the rejects of an object, encoded.
pub(super) struct Made {
    pub(super) rows: File,
    rejects: Option<File>,
    compression: Compression,
}

impl Made {
    /// Nothing yet.
    pub(super) fn new(table: &ManagedTable) -> Result<Self> {
        let compression = table.config.merge.compression;
        Ok(Self { rows: File::new(table.plan.schema.clone(), compression)?, rejects: None, compression })
    }

    /// Creates the files, that of the rejects first: the other's existence says that the object is done.
    pub(super) async fn put(self, state: &Root, key: &str, mut head: Head, attempt: &str) -> Result<Staging> {
        if let Some(file) = self.rejects {
            let (key, batch) = (layout::staged_rejects_key(key, attempt), file.batch());
            state.create(&key, file.finish(None).await?, attempt).await?;
            head.rejects = Some(Rejects { key, batch });
        }
        if state.create(key, self.rows.finish(Some(&head)).await?, attempt).await? == Created::Yes {
            return Ok(Staging::Staged);
        }
        if let Some(rejects) = &head.rejects {
            state.remove(&rejects.key).await?;
        }
        Ok(Staging::AlreadyThere)
    }

    /// True if it is more than is staged.
    pub(super) fn is_too_much(&self) -> bool {
        self.rows.encoder.size() + self.rejects.as_ref().map_or(0, |file| file.encoder.size()) > MOST
    }

    /// Adds rejects.
    pub(super) async fn reject(&mut self, batch: &RecordBatch) -> Result<()> {
        let open = match &mut self.rejects {
            Some(open) => open,
            none => none.insert(File::new(batch.schema(), self.compression)?),
        };
        open.write(batch).await
    }

    /// Takes all of an object; `None` if it is for the run.
    async fn take(&mut self, mut reading: Reading) -> Result<Option<Outcome>> {
        while let Some(part) = reading.part().await {
            match part {
                Part::Rows(batch) => self.rows.write(&batch).await?,
                Part::Quarantined(batch) => self.reject(&batch).await?,
            }
            if self.is_too_much() {
                reading.give_up().await;
                return Ok(None);
            }
        }
        let outcome = reading.outcome().await?;
        Ok(Some(outcome).filter(|outcome| outcome.damage.is_none()))
    }
}

/// A file that is being made.
pub(super) struct File {
    encoder: Encoder,
    /// Rows of the smallest batch but the last, and of the last.
    smallest: Option<usize>,
    last: Option<usize>,
}

impl File {
    fn new(schema: arrow::datatypes::SchemaRef, compression: Compression) -> Result<Self> {
        Ok(Self { encoder: Encoder::new(schema, properties(compression), 1).map_err(failed)?, smallest: None, last: None })
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.smallest = self.smallest.into_iter().chain(self.last).min();
        self.last = Some(batch.num_rows());
        self.encoder.write(batch).await.map_err(failed)
    }

    /// Rows that may be read at once: so many are of two of the batches at the most, which memory was bounded for.
    fn batch(&self) -> usize {
        self.smallest.or(self.last).unwrap_or(1)
    }

    /// Its bytes, with `head` in its footer.
    async fn finish(mut self, head: Option<&Head>) -> Result<Vec<u8>> {
        if let Some(head) = head {
            let text = serde_json::to_string(head).map_err(|e| Error::internal(format!("cannot write a staged file's head: {e}")))?;
            self.encoder.note(KeyValue::new(HEAD.to_string(), text));
        }
        self.encoder.note(seal::blank());
        self.encoder.finish().await.map_err(failed)?;
        let mut file = self.encoder.take().map_err(failed)?.concat();
        if !seal::seal(&mut file) {
            return Err(Error::internal("a staged file has no room for its checksum"));
        }
        Ok(file)
    }
}

fn failed(e: ParquetError) -> Error {
    Error::internal(format!("cannot encode a staged file: {e}"))
}

/// As the hour's files are, so that pages can go into one as they are: values that are no texts have no dictionaries, as each file would
/// have one of its own; texts have one where it makes them a good deal smaller.
fn properties(compression: Compression) -> WriterProperties {
    writer::common(compression).set_dictionary_enabled(false).build()
}
