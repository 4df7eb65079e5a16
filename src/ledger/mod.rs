//! The ledger of a partition: numbered, complete, immutable versions that say what the partition holds.

pub mod store;
#[cfg(test)]
pub(crate) mod testing;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{GenerationId, PartitionId};
use crate::schema::Column;

/// The stored format that this version of lakebed writes; it reads this one and all before it.
pub const FORMAT: u32 = 1;

/// One version of a partition's ledger. The newest one alone says all there is to know of the partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerVersion {
    /// Format number of this file, see [`FORMAT`].
    pub format: u32,
    /// The table.
    pub table: TableName,
    /// The partition.
    pub partition: PartitionId,
    /// Counts from 1; each version follows the one before it without a gap.
    pub version: u64,
    /// ULID of the attempt that committed this version.
    pub attempt: String,
    /// ULID of the run that the attempt belongs to.
    pub run: String,
    /// The time the run was made for (`--at`), UTC.
    pub at: DateTime<Utc>,
    /// What made this version.
    pub operation: Operation,
    /// The live files.
    pub generation: Generation,
    /// The files with the quarantined records of this partition; none while there has never been one.
    pub quarantine: Option<Generation>,
    /// The columns of the live files.
    pub columns: Vec<Column>,
    /// Fingerprint of the schema that the sources were standardized with.
    pub schema: String,
    /// All landed objects that are in this partition, ordered by key.
    pub sources: Vec<Source>,
    /// The sum over all sources.
    pub counts: Counts,
    /// Landed objects that ought to be here and are not, or not wholly, with the reason.
    pub missing: Vec<Missing>,
    /// Generations that are no longer live and not yet swept, oldest first.
    pub retired: Vec<Retired>,
}

/// What made a ledger version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The first merge of the partition.
    Create,
    /// Objects that came after the first merge.
    Amend,
}

/// A folder of immutable Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its name, which is also that of its folder.
    pub id: GenerationId,
    /// Absolute URL of the folder, with a trailing slash.
    pub location: String,
    /// Its files, in reading order.
    pub files: Vec<DataFile>,
}

/// One Parquet file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// File name in the generation's folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// One landed object in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Key relative to the landing location.
    pub key: String,
    /// Its arrival hour.
    pub hour: Hour,
    /// The object's entity tag when it was found.
    pub etag: String,
    /// Its size as stored, bytes.
    pub size: u64,
    /// It came after the first merge of the partition.
    pub late: bool,
    /// What became of its records.
    pub counts: Counts,
    /// Why the whole object was set aside, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
}

/// What became of the records of an object or of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Records found, broken ones included.
    pub read: u64,
    /// Rows in the live generation.
    pub merged: u64,
    /// Records in the quarantine.
    pub quarantined: u64,
    /// Records left out because an earlier one is the same event.
    pub duplicates: u64,
    /// Records left out by an explicit rule.
    pub dropped: u64,
}

/// A landed object that is not in the partition, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Key relative to the landing location.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// A generation that was live once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Absolute URL of its folder.
    pub location: String,
    /// Its files.
    pub files: Vec<DataFile>,
    /// The `at` of the version that retired it, UTC.
    pub at: DateTime<Utc>,
}

impl Counts {
    /// True if every record read is accounted for exactly once (promise P1).
    pub fn balance(&self) -> bool {
        self.read == self.merged + self.quarantined + self.duplicates + self.dropped
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            read: a.read + b.read,
            merged: a.merged + b.merged,
            quarantined: a.quarantined + b.quarantined,
            duplicates: a.duplicates + b.duplicates,
            dropped: a.dropped + b.dropped,
        })
    }
}

impl Generation {
    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The absolute URLs of its files, in reading order.
    pub fn urls(&self) -> impl Iterator<Item = String> + '_ {
        self.files.iter().map(|file| format!("{}{}", self.location, file.name))
    }
}

impl LedgerVersion {
    /// True if every landed object of the partition that is known is wholly in it.
    pub fn complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// The source of that key.
    pub fn source(&self, key: &str) -> Option<&Source> {
        self.sources.binary_search_by(|source| source.key.as_str().cmp(key)).ok().map(|index| &self.sources[index])
    }

    /// Checks this version against the one it follows, before it is written.
    ///
    /// | what | must hold |
    /// |---|---|
    /// | number | previous + 1, or 1 |
    /// | table, partition | the same as before |
    /// | sources | ordered by key, each once; none of the previous ones lost |
    /// | counts | each source balances; the sum is the total (P1) |
    /// | rows | the files of the generation hold `merged` rows, those of the quarantine `quarantined` |
    ///
    /// # Errors
    /// `Internal`, naming what does not hold; nothing may be written then.
    pub fn check(&self, previous: Option<&Self>) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::internal(format!(
                "{} {}: refused to commit version {}: {what}; nothing was changed, please report this",
                self.table, self.partition, self.version
            )))
        };
        if self.version != previous.map_or(1, |p| p.version + 1) {
            return refuse("it does not follow the version before it".into());
        }
        if let Some(previous) = previous {
            if (&self.table, &self.partition) != (&previous.table, &previous.partition) {
                return refuse("it is about another partition".into());
            }
            if let Some(lost) = previous.sources.iter().find(|source| self.source(&source.key).is_none()) {
                return refuse(format!("object {} would be lost", lost.key));
            }
        }
        if !self.sources.is_sorted_by(|a, b| a.key < b.key) {
            return refuse("an object is in it twice".into());
        }
        if let Some(source) = self.sources.iter().find(|source| !source.counts.balance()) {
            return refuse(format!("the records of {} do not add up: {:?}", source.key, source.counts));
        }
        if self.sources.iter().map(|source| source.counts).sum::<Counts>() != self.counts {
            return refuse("the sources do not add up to the total".into());
        }
        let quarantined = self.quarantine.as_ref().map_or(0, Generation::rows);
        if (self.generation.rows(), quarantined) != (self.counts.merged, self.counts.quarantined) {
            return refuse(format!("its files hold {} rows and {quarantined} quarantined, not {:?}", self.generation.rows(), self.counts));
        }
        Ok(())
    }

    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a ledger version has only text keys")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Data` if it is no ledger version or of a newer format than [`FORMAT`].
    pub fn from_json(bytes: &[u8], key: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken = |e: serde_json::Error| {
            Error::data(format!("ledger version {key} cannot be read: {e}; restore it from a backup of the state folder"))
        };
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.format > FORMAT {
            return Err(Error::config(format!(
                "ledger version {key} has format {}, this lakebed reads up to {FORMAT}; update lakebed",
                head.format
            )));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}
