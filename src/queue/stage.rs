//! Standardizes one landed object into the queue.

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::{HEAD, Head, Queue, Recipe};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout;
use crate::merge::encode::Encoder;
use crate::merge::intake::{Intake, Part, Reading};
use crate::pipeline::{Limits, ManagedTable};
use crate::standardize::{self, Outcome};
use crate::store::{Created, Root};

/// Most bytes of a staged file and of its rejects together. They are created at once, as whole objects; an object that becomes more
/// than this is left to the run, which reads it where it landed. Firehose's objects become a tenth of this.
const MOST: u64 = 64 << 20;

/// What came of staging an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// It is in the queue now.
    Staged,
    /// It was in the queue already.
    AlreadyThere,
    /// It is too large for the queue, and a run reads it where it landed.
    TooLarge,
}

/// Standardizes `object` and puts what it becomes into the queue. It can be done any number of times at once: the file's name is
/// given by the object and what is made of it, and the first one stays.
///
/// # Errors
/// `Unavailable` if the object cannot be read or the state location cannot be written.
pub async fn stage(state: &Root, table: &ManagedTable, limits: &Limits, attempt: &str, object: LandedObject) -> Result<Staging> {
    let recipe = Recipe::new(&table.config, &table.schema, standardize::Limits::record(limits.memory));
    let key = recipe.staged_key(&object);
    if state.exists(&key).await? {
        return Ok(Staging::AlreadyThere);
    }
    let objects = [object.clone()];
    let queue = Queue::default();
    let mut intake = Intake::new(table, state, &queue, &objects, limits);
    let reading = intake.next().await.ok_or_else(|| Error::internal("one object gives one reading"))?;
    let Some(files) = encode(table, reading, &object).await? else { return Ok(Staging::TooLarge) };
    let (rows, rejects, outcome) = files;
    let rejects_key = rejects.as_ref().map(|_| layout::staged_rejects_key(&key, attempt));
    if let (Some(rejects), Some(rejects_key)) = (rejects, &rejects_key) {
        state.create(rejects_key, finish(rejects, None).await?, attempt).await?;
    }
    let head = Head::new(&object, &outcome, rejects_key.clone());
    let created = state.create(&key, finish(rows, Some(&head)).await?, attempt).await?;
    if created == Created::AlreadyThere {
        if let Some(rejects_key) = &rejects_key {
            state.remove(rejects_key).await?;
        }
        return Ok(Staging::AlreadyThere);
    }
    Ok(Staging::Staged)
}

type Files = (Encoder, Option<Encoder>, Outcome);

/// The rows and the rejects of an object, encoded; `None` if they are too large.
async fn encode(table: &ManagedTable, mut reading: Reading, object: &LandedObject) -> Result<Option<Files>> {
    let failed = |e: ParquetError| Error::internal(format!("{}: cannot encode: {e}", object.key));
    let mut rows = Encoder::new(table.plan.schema.clone(), properties(), 1).map_err(failed)?;
    let mut rejects: Option<Encoder> = None;
    while let Some(part) = reading.part().await {
        match part {
            Part::Rows(batch) => rows.write(&batch).await.map_err(failed)?,
            Part::Quarantined(batch) => {
                let open = match &mut rejects {
                    Some(open) => open,
                    none => none.insert(Encoder::new(batch.schema(), properties(), 1).map_err(failed)?),
                };
                open.write(&batch).await.map_err(failed)?;
            }
        }
        if rows.size() + rejects.as_ref().map_or(0, Encoder::size) > MOST {
            return Ok(None);
        }
    }
    let outcome = reading.outcome().await?;
    Ok(Some((rows, rejects, outcome)))
}

/// The bytes of a file, with `head` in its footer.
async fn finish(mut file: Encoder, head: Option<&Head>) -> Result<Vec<u8>> {
    let failed = |e: ParquetError| Error::internal(format!("cannot encode a staged file: {e}"));
    if let Some(head) = head {
        let text = serde_json::to_string(head).map_err(|e| Error::internal(format!("cannot write a staged file's head: {e}")))?;
        file.note(KeyValue::new(HEAD.to_string(), text));
    }
    file.finish().await.map_err(failed)?;
    file.take().map_err(failed)
}

/// Quick to write and to read once; nobody searches in it, so it has no statistics.
fn properties() -> WriterProperties {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).expect("level 1 is valid"));
    WriterProperties::builder().set_compression(zstd).set_statistics_enabled(EnabledStatistics::None).build()
}
