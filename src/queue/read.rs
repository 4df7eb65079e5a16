//! Reads a staged file back, as the parts that its object gave.

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{HEAD, Head};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::merge::intake::Part;
use crate::standardize::Outcome;
use crate::store::Root;

/// A staged file, fetched and found to be of the object that it is wanted for.
pub struct Staged {
    key: String,
    head: Head,
    rejects: Option<ParquetRecordBatchReader>,
    rows: ParquetRecordBatchReader,
}

impl Staged {
    /// Fetches it; `None` if it is not there any more.
    ///
    /// # Errors
    /// Why it cannot be used; the landed object is to be read then.
    pub async fn fetch(state: &Root, key: &str, object: &LandedObject) -> Result<Option<Self>> {
        let Some(bytes) = state.read(key).await? else { return Ok(None) };
        let rows = open(key, bytes)?;
        let metadata = rows.metadata().file_metadata().key_value_metadata();
        let head = metadata.and_then(|all| all.iter().find(|entry| entry.key == HEAD)).and_then(|entry| entry.value.as_deref());
        let head: Option<Head> = head.and_then(|text| serde_json::from_str(text).ok());
        let head = head
            .filter(|head| head.is_of(object))
            .ok_or_else(|| Error::data(format!("{key} does not say that it is of {}", object.key)))?;
        let rejects = match &head.rejects {
            None => None,
            Some(rejects) => match state.read(rejects).await? {
                None => return Ok(None),
                Some(bytes) => Some(built(rejects, open(rejects, bytes)?)?),
            },
        };
        Ok(Some(Self { key: key.to_string(), head, rejects, rows: built(key, rows)? }))
    }

    /// Hands its parts to `send`, the quarantined ones first.
    ///
    /// # Errors
    /// `Unavailable` if the file is broken, and what `send` answers.
    pub fn read(self, send: &mut dyn FnMut(Part) -> Result<()>) -> Result<Outcome> {
        let broken = |e: arrow::error::ArrowError| {
            Error::unavailable(format!("staged file {} cannot be read: {e}; remove it, and the landed object is read instead", self.key))
        };
        for batch in self.rejects.into_iter().flatten() {
            send(Part::Quarantined(batch.map_err(broken)?))?;
        }
        for batch in self.rows {
            send(Part::Rows(batch.map_err(broken)?))?;
        }
        Ok(self.head.outcome())
    }
}

fn open(key: &str, bytes: Bytes) -> Result<ParquetRecordBatchReaderBuilder<Bytes>> {
    ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| Error::data(format!("{key} is no Parquet file: {e}")))
}

fn built(key: &str, builder: ParquetRecordBatchReaderBuilder<Bytes>) -> Result<ParquetRecordBatchReader> {
    /// Rows of a batch, as many as decoding makes.
    const ROWS: usize = 8192;
    builder.with_batch_size(ROWS).build().map_err(|e| Error::data(format!("{key} cannot be read: {e}")))
}
