//! Reads a staged file back, as the parts that its object gave.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::ParquetMetaData;

use super::{HEAD, Head, Rejects, seal};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::merge::encode::stored::Stored;
use crate::merge::intake::Part;
use crate::merge::reader::by_name;
use crate::scatter::share::Share;
use crate::standardize::Outcome;
use crate::store::Root;

/// A staged file, fetched and found to be of the object that it is wanted for.
pub struct Staged {
    key: String,
    head: Head,
    share: Option<Share>,
    /// None if they count in another partition.
    rejects: Option<Rejected>,
    rows: ParquetRecordBatchReader,
    schema: SchemaRef,
}

impl Staged {
    /// Fetches it, or a partition's share of it; `None` if it is not there any more.
    ///
    /// # Errors
    /// Why it cannot be used; the landed object is to be read then.
    pub async fn fetch(state: &Root, key: &str, object: &LandedObject, schema: &SchemaRef, share: Option<&Share>) -> Result<Option<Self>> {
        match opened(state, key, object, schema).await? {
            Some((head, rows)) => Self::of(state, key, head, rows, schema, share).await,
            None => Ok(None),
        }
    }

    /// Fetches a partition's share of what is nowhere else: its rows get the columns of `schema` by name, whatever the file has.
    ///
    /// # Errors
    /// As [`Self::fetch`], but for other columns.
    pub async fn fetch_by_name(
        state: &Root,
        key: &str,
        object: &LandedObject,
        schema: &SchemaRef,
        share: Option<&Share>,
    ) -> Result<Option<Self>> {
        match opened_anyhow(state, key, object).await? {
            Some((head, rows)) => Self::of(state, key, head, rows, schema, share).await,
            None => Ok(None),
        }
    }

    async fn of(
        state: &Root,
        key: &str,
        head: Head,
        rows: ParquetRecordBatchReaderBuilder<Bytes>,
        schema: &SchemaRef,
        share: Option<&Share>,
    ) -> Result<Option<Self>> {
        let rows = match share {
            None => rows,
            Some(share) => {
                let (before, count) = head.rows_of(&share.partition);
                let number = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
                rows.with_offset(number(before)).with_limit(number(count))
            }
        };
        let rejects = match share.is_none_or(|share| share.rest.is_some()) {
            false => None,
            true => match Rejected::of(state, &head).await? {
                None => return Ok(None),
                some => some,
            },
        };
        let rows = built(key, rows, head.batch)?;
        Ok(Some(Self { key: key.to_string(), head, share: share.cloned(), rejects, rows, schema: schema.clone() }))
    }

    /// The columns that were private when its rows were made, with their rules, if that is known.
    pub fn privacy(&self) -> Option<&BTreeMap<String, String>> {
        self.head.privacy.as_ref()
    }

    /// Hands its parts to `send`, the quarantined ones first.
    ///
    /// # Errors
    /// `Data` if the file is broken, and what `send` answers.
    pub fn read(self, send: &mut dyn FnMut(Part) -> Result<()>) -> Result<Outcome> {
        if let Some(mut rejects) = self.rejects {
            while let Some(batch) = rejects.batch()? {
                send(Part::Quarantined(batch))?;
            }
        }
        let (mut batches, mut rows) = (self.rows, 0);
        while let Some(batch) = next(&self.key, &mut batches)? {
            rows += batch.num_rows() as u64;
            let batch = by_name(&batch, &self.schema).map_err(|e| {
                let what = format!("staged file {} does not fit the table's columns: {e}", self.key);
                Error::data(format!("{what}; restore the columns that it was made with"))
            })?;
            send(Part::Rows(batch))?;
        }
        let wanted = self.share.as_ref().map_or(self.head.rows, |share| self.head.rows_of(&share.partition).1);
        if rows != wanted {
            return Err(Error::data(format!("staged file {} has not as many rows as it says", self.key)));
        }
        match &self.share {
            Some(share) => share.outcome(&self.head.key, self.head.outcome(), rows),
            None => Ok(self.head.outcome()),
        }
    }
}

/// A staged file that is not decoded.
#[derive(Debug)]
pub struct Whole {
    head: Head,
    /// The file, which is as it was written.
    pub file: Stored,
}

impl Whole {
    /// Fetches it; `None` if it is not there any more.
    ///
    /// # Errors
    /// As [`Staged::fetch`].
    pub async fn fetch(state: &Root, key: &str, object: &LandedObject) -> Result<Option<Self>> {
        state.read(key).await?.map(|bytes| Self::of(key, bytes, object)).transpose()
    }

    /// As [`Self::fetch`], on this thread, of a location on the local disk.
    ///
    /// # Errors
    /// As [`Staged::fetch`].
    pub fn read(state: &Root, key: &str, object: &LandedObject) -> Result<Option<Self>> {
        state.read_file(key)?.map(|bytes| Self::of(key, bytes, object)).transpose()
    }

    fn of(key: &str, bytes: Bytes, object: &LandedObject) -> Result<Self> {
        whole(key, &bytes)?;
        let file = Stored::new(bytes).map_err(|e| Error::data(format!("staged file {key} is no Parquet file: {e}")))?;
        let head = head(key, file.metadata(), object)?;
        if file.rows() as u64 != head.rows {
            return Err(Error::data(format!("staged file {key} has not as many rows as it says")));
        }
        Ok(Self { head, file })
    }

    /// The rejects that belong to it; `None` if they are not there any more.
    ///
    /// # Errors
    /// As [`Staged::fetch`].
    pub async fn rejects(&self, state: &Root) -> Result<Option<Rejected>> {
        Rejected::of(state, &self.head).await
    }

    /// What became of its object.
    pub fn outcome(&self) -> Outcome {
        self.head.outcome()
    }
}

/// The rejects of an object that are still to be read.
pub struct Rejected {
    key: String,
    /// Without any, there is no file.
    batches: Option<ParquetRecordBatchReader>,
    /// How many they are.
    left: u64,
}

impl std::fmt::Debug for Rejected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} records of {}", self.left, self.key)
    }
}

impl Rejected {
    async fn of(state: &Root, head: &Head) -> Result<Option<Self>> {
        let left = head.rejected;
        let Some(Rejects { key, batch }) = &head.rejects else { return Ok(Some(Self { key: head.key.clone(), batches: None, left })) };
        let Some(bytes) = state.read(key).await? else { return Ok(None) };
        let batches = Some(built(key, open(key, bytes)?, *batch)?);
        Ok(Some(Self { key: key.clone(), batches, left }))
    }

    /// True if there are none, and should be none.
    pub fn is_empty(&self) -> bool {
        self.batches.is_none() && self.left == 0
    }

    /// The next of them; `None` after the last.
    ///
    /// # Errors
    /// `Data` if the file is broken, or has not as many as it should.
    pub fn batch(&mut self) -> Result<Option<RecordBatch>> {
        let next = match &mut self.batches {
            Some(batches) => next(&self.key, batches)?,
            None => None,
        };
        match next {
            Some(batch) => {
                self.left = self.left.wrapping_sub(batch.num_rows() as u64);
                Ok(Some(batch))
            }
            None if self.left == 0 => Ok(None),
            None => Err(Error::data(format!("there are not as many rejects in {} as were staged", self.key))),
        }
    }
}

/// What the footer of the file of that key says, and its columns; `None` if it is not there any more.
///
/// # Errors
/// `Unavailable` if it cannot be read, `Data` if it is damaged.
pub(super) async fn head_of(state: &Root, key: &str) -> Result<Option<(Head, SchemaRef)>> {
    let Some(bytes) = state.read(key).await? else { return Ok(None) };
    let rows = open(key, bytes)?;
    let head = stored_head(rows.metadata()).ok_or_else(|| Error::data(format!("staged file {key} does not say what it is of")))?;
    Ok(Some((head, rows.schema().clone())))
}

/// What a staged file says of its object, and its rows; `None` if it is not there any more.
///
/// # Errors
/// As [`Staged::fetch`].
pub(super) async fn opened(
    state: &Root,
    key: &str,
    object: &LandedObject,
    schema: &SchemaRef,
) -> Result<Option<(Head, ParquetRecordBatchReaderBuilder<Bytes>)>> {
    let opened = opened_anyhow(state, key, object).await?;
    if opened.as_ref().is_some_and(|(_, rows)| rows.schema().fields() != schema.fields()) {
        return Err(Error::data(format!("staged file {key} has other columns than the table")));
    }
    Ok(opened)
}

/// As [`opened`], whatever columns it has.
async fn opened_anyhow(state: &Root, key: &str, object: &LandedObject) -> Result<Option<(Head, ParquetRecordBatchReaderBuilder<Bytes>)>> {
    let Some(bytes) = state.read(key).await? else { return Ok(None) };
    let rows = open(key, bytes)?;
    Ok(Some((head(key, rows.metadata(), object)?, rows)))
}

/// What the footer of a staged file says of its object.
///
/// # Errors
/// `Data` if it is of another one.
fn head(key: &str, footer: &ParquetMetaData, object: &LandedObject) -> Result<Head> {
    let of_object = stored_head(footer).filter(|head| head.is_of(object));
    of_object.ok_or_else(|| Error::data(format!("staged file {key} does not say that it is of {}", object.key)))
}

fn stored_head(footer: &ParquetMetaData) -> Option<Head> {
    let metadata = footer.file_metadata().key_value_metadata()?;
    let head = metadata.iter().find(|entry| entry.key == HEAD)?.value.as_deref()?;
    serde_json::from_str(head).ok()
}

fn next(key: &str, batches: &mut ParquetRecordBatchReader) -> Result<Option<RecordBatch>> {
    let broken = |why: &str| Error::data(format!("staged file {key} cannot be read: {why}"));
    // The library panics on some damaged pages; nothing of the file is used any more then.
    let next = catch_unwind(AssertUnwindSafe(|| batches.next())).map_err(|_| broken("it is damaged"))?;
    next.transpose().map_err(|e| broken(&e.to_string()))
}

fn open(key: &str, bytes: Bytes) -> Result<ParquetRecordBatchReaderBuilder<Bytes>> {
    whole(key, &bytes)?;
    let opened = catch_unwind(|| ParquetRecordBatchReaderBuilder::try_new(bytes));
    let opened = opened.map_err(|_| Error::data(format!("staged file {key} is damaged")))?;
    opened.map_err(|e| Error::data(format!("staged file {key} is no Parquet file: {e}")))
}

/// # Errors
/// `Data` if it is not as it was written.
fn whole(key: &str, bytes: &[u8]) -> Result<()> {
    seal::is_whole(bytes).then_some(()).ok_or_else(|| Error::data(format!("staged file {key} is damaged: its checksum is another one")))
}

fn built(key: &str, builder: ParquetRecordBatchReaderBuilder<Bytes>, batch: usize) -> Result<ParquetRecordBatchReader> {
    builder.with_batch_size(batch.max(1)).build().map_err(|e| Error::data(format!("staged file {key} cannot be read: {e}")))
}
