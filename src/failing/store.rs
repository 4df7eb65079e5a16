//! The records of failing hours in the state location: one document a table, replaced by a new one whenever it changes.

use std::collections::BTreeMap;

use super::{Record, newest, to_json};
use crate::catalog::TableName;
use crate::error::Result;
use crate::layout::{self, PartitionId};
use crate::store::Root;

/// What earlier runs noted of a table's failing hours.
#[derive(Debug, Default)]
pub struct Noted {
    /// The newest record of each partition.
    pub hours: BTreeMap<PartitionId, Record>,
    /// Where they are, below the state location. More than one where two runs ended at the same time.
    keys: Vec<String>,
}

impl Noted {
    /// Reads it; `top` is what lies in the state location itself.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be read.
    pub async fn read(state: &Root, table: &TableName, top: &[(String, u64)]) -> Result<Self> {
        let keys: Vec<String> = top.iter().map(|(key, _)| key).filter(|key| layout::is_failing(table, key)).cloned().collect();
        let mut documents = Vec::new();
        for key in &keys {
            documents.extend(state.read(key).await?);
        }
        Ok(Self { hours: newest(documents), keys })
    }

    /// Makes `hours` what is noted, under a new `id`. The old documents go only then: being cut off in between brings a record back, and
    /// loses none.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be written.
    pub async fn replace(&self, state: &Root, table: &TableName, hours: &BTreeMap<PartitionId, Record>, id: &str) -> Result<()> {
        if !hours.is_empty() {
            state.create(&layout::failing_key(table, id), to_json(hours), id).await?;
        }
        for key in &self.keys {
            state.remove(key).await?;
        }
        Ok(())
    }
}
