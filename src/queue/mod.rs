//! The queue: landed objects that were standardized as they came, each in a staged file, until a merge takes them.
//!
//! A staged file is a shortcut and never the truth. Its name says which object it is of, with which content, and by which columns and
//! rules it was made; a merge that finds the very name reads it, and reads the landed object in every other case. What is in the queue,
//! of use or not, leads runs to its hour, also where the look-back does not reach that any more.

pub mod read;
pub mod redriven;
mod seal;
pub mod spent;
pub mod spread;
pub mod stage;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalog::TableName;
use crate::config::{Privacy, TableConfig};
use crate::error::Result;
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::{self, PartitionId};
use crate::scatter::share::Share;
use crate::schema::{TableSchema, fingerprint};
use crate::standardize::{Outcome, Tally};
use crate::store::{Root, parse};

/// The key of the footer's metadata that holds [`Head`].
const HEAD: &str = "lakebed.staged";

/// What a staged file says of its object, in its footer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Head {
    /// Key relative to the landing location.
    key: String,
    etag: String,
    size: u64,
    read: u64,
    rows: u64,
    rejected: u64,
    dropped: u64,
    warned: u64,
    /// Rows that may be read at once: as many as decoding made at once at the least.
    batch: usize,
    rejects: Option<Rejects>,
    /// Where its rows scatter: the partitions that they belong to, in their order; the rows of one stand together.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shares: Vec<HeadShare>,
    /// Rows without a time that can be theirs.
    #[serde(default)]
    untimed: u64,
    /// See [`spread::Spread::placement`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    placement: String,
    /// Of rows that are nowhere else: the columns that were private when they were made, with their rules. `None` in files that were made
    /// before this was written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    privacy: Option<BTreeMap<String, String>>,
}

/// The rows of a staged file that belong to one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct HeadShare {
    partition: String,
    rows: u64,
}

/// The file with the rejects that belong to a staged file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Rejects {
    key: String,
    /// As [`Head::batch`].
    batch: usize,
}

impl Head {
    fn of(object: &LandedObject, tally: Tally) -> Self {
        let LandedObject { key, etag, size, .. } = object.clone();
        let Tally { read, rows, rejected, dropped, warned, .. } = tally;
        let (shares, placement, privacy) = (Vec::new(), String::new(), None);
        Self { key, etag, size, read, rows, rejected, dropped, warned, batch: 1, rejects: None, shares, untimed: 0, placement, privacy }
    }

    fn is_of(&self, object: &LandedObject) -> bool {
        (&self.key, &self.etag, self.size) == (&object.key, &object.etag, object.size)
    }

    /// The first of the rows that belong to a partition, and how many they are.
    fn rows_of(&self, partition: &PartitionId) -> (u64, u64) {
        let (partition, mut before) = (partition.to_string(), 0);
        for share in &self.shares {
            if share.partition == partition {
                return (before, share.rows);
            }
            before += share.rows;
        }
        (0, 0)
    }

    fn outcome(&self) -> Outcome {
        let Self { read, rows, rejected, dropped, warned, .. } = *self;
        Outcome { tally: Tally { read, rows, rejected, dropped, warned, ..Tally::default() }, damage: None }
    }
}

/// What of a table, beside the object, decides what a staged file holds.
#[derive(Debug, Clone)]
pub struct Recipe {
    table: TableName,
    digest: Sha256,
}

impl Recipe {
    /// The columns, the rules and the settings of a table, and the version of lakebed. How much memory there is does not count: what
    /// that decides is not staged.
    pub fn new(config: &TableConfig, schema: &TableSchema) -> Self {
        let TableConfig { format, unwrap, new_columns, rules, max_ratio, keep_raw, time, partition_by, .. } = config;
        let by: Vec<_> = partition_by.iter().map(|(key, value)| (key, value.text())).filter(|_| config.scatters()).collect();
        let settings = format!("{format:?} {unwrap:?} {new_columns:?} {rules:?} {max_ratio:?} {keep_raw:?} {time:?} {by:?}");
        let mut digest = Sha256::new();
        for part in [env!("CARGO_PKG_VERSION"), &fingerprint(&schema.columns), &settings] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        for rule in rules.values() {
            // Another key is another recipe. Its Debug form does not show it, and what is hashed here is not it but something made with it.
            if let Some(Privacy::HmacSha256(key)) = &rule.privacy
                && let Ok(mut made) = Hmac::<Sha256>::new_from_slice(key.bytes())
            {
                made.update(HEAD.as_bytes());
                digest.update(made.finalize().into_bytes());
            }
        }
        Self { table: config.name.clone(), digest }
    }

    /// The key of an object's staged file, below the state location.
    pub fn staged_key(&self, object: &LandedObject) -> String {
        let mut digest = self.digest.clone();
        digest.update(format!("{} {}", object.size, object.etag));
        layout::staged_key(&self.table, object.hour, &source(&object.key), &hex(&digest.finalize(), 8))
    }
}

/// The source id of a landed object: 128 bits of the SHA-256 of its key, relative to the landing.
pub(crate) fn source(key: &str) -> String {
    hex(&Sha256::digest(key), 16)
}

/// The first `bytes` of a digest, in hexadecimal digits.
pub(crate) fn hex(digest: &[u8], bytes: usize) -> String {
    digest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// Says in the queue that an object waits of which nothing is staged: a run has to read it where it landed, also if the look-back does not
/// reach its hour any more.
///
/// # Errors
/// `Unavailable` if the state location cannot be written.
pub async fn mark(state: &Root, table: &TableName, object: &LandedObject) -> Result<()> {
    let source = source(&object.key);
    // An object that lands again while a run takes in what it was before waits by itself.
    let content = hex(&Sha256::digest(format!("{}\n{}", object.etag, object.size)), 8);
    let key = layout::waiting_key(table, object.hour, &source, &content);
    // Whoever marks the object writes the same.
    state.create(&key, object.key.clone().into_bytes(), &source).await.map(|_| ())
}

/// Removes a staged file of an object that is of no use, after the queue says that the object waits all the same.
///
/// # Errors
/// `Unavailable` if the state location cannot be written.
pub async fn give_up(state: &Root, table: &TableName, key: &str, object: &LandedObject) -> Result<()> {
    mark(state, table, object).await?;
    state.remove(key).await
}

/// What waits of one object.
#[derive(Debug, Clone)]
struct Waiting {
    /// Its arrival hour.
    hour: Hour,
    /// The bytes of its files, by their keys.
    files: BTreeMap<String, u64>,
    /// When the last of them came, by the store, UTC.
    changed: DateTime<Utc>,
}

/// What waits in the queue of one table.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// What waits of each source.
    files: BTreeMap<String, Waiting>,
    /// What one partition takes of objects whose rows scatter, by their keys.
    shares: BTreeMap<String, Share>,
}

impl Queue {
    /// Lists it.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be read.
    pub async fn list(state: &Root, table: &TableName) -> Result<Self> {
        let folder = layout::queue_root(table);
        let failed = |e: object_store::Error| state.unlisted(&folder, &e);
        let prefix = parse(folder.trim_end_matches('/'))?;
        let mut listing = state.store().list(Some(&prefix));
        let mut files: BTreeMap<String, Waiting> = BTreeMap::new();
        while let Some(object) = listing.try_next().await.map_err(failed)? {
            let key = object.location.to_string();
            if let Some((hour, source)) = layout::parse_queue_key(table, &key) {
                let new = || Waiting { hour, files: BTreeMap::new(), changed: object.last_modified };
                let waiting = files.entry(source.to_string()).or_insert_with(new);
                waiting.changed = waiting.changed.max(object.last_modified);
                waiting.files.insert(key, object.size);
            }
        }
        Ok(Self { files, shares: BTreeMap::new() })
    }

    /// What one partition takes of the objects of these keys.
    pub fn of_shares(shares: BTreeMap<String, Share>) -> Self {
        Self { files: BTreeMap::new(), shares }
    }

    /// What the partition takes of an object whose rows scatter; `None` if it takes all of it.
    pub fn share(&self, object: &LandedObject) -> Option<&Share> {
        self.shares.get(&object.key)
    }

    /// True if that file is staged of the object of key `object`.
    pub fn has(&self, object: &str, staged: &str) -> bool {
        self.files.get(&source(object)).is_some_and(|waiting| waiting.files.contains_key(staged))
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The key of the staged file that holds what this object becomes by this recipe, if there is one.
    pub fn staged(&self, recipe: &Recipe, object: &LandedObject) -> Option<String> {
        let key = recipe.staged_key(object);
        self.has(&object.key, &key).then_some(key)
    }

    /// The bytes of that staged file.
    pub fn staged_size(&self, recipe: &Recipe, object: &LandedObject) -> Option<u64> {
        self.files.get(&source(&object.key)).and_then(|waiting| waiting.files.get(&recipe.staged_key(object))).copied()
    }

    /// The arrival hours of what waits.
    pub fn hours(&self) -> impl Iterator<Item = Hour> + '_ {
        self.files.values().map(|waiting| waiting.hour)
    }

    /// Forgets the files of an object: nobody removes them.
    pub fn leave(&mut self, key: &str) {
        self.files.remove(&source(key));
    }

    /// Forgets the files of all objects that arrived in an hour.
    pub fn leave_hour(&mut self, hour: Hour) {
        self.files.retain(|_, waiting| waiting.hour != hour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::landed;
    use crate::schema::{Column, HiveType};

    #[test]
    fn another_content_column_or_rule_is_another_staged_file_of_the_same_source() {
        let column = |name: &str| Column { name: name.into(), hive: HiveType::String, comment: None };
        let schema = |names: &[&str]| TableSchema { columns: names.iter().map(|name| column(name)).collect(), partition_keys: vec![] };
        let key = |settings: &str, names: &[&str], object: &LandedObject| {
            let config = crate::config::load(
                &format!(
                    "[lake]\nhmac_key = \"{}\"\n[[table]]\nname = \"shop.clicks\"\nlanding = \"l\"\nlocation = \"t\"\n{settings}",
                    if settings.contains("other") { "1123456789abcdef" } else { "0123456789abcdef" }
                ),
                std::path::Path::new("/etl"),
                &|_| None,
            );
            Recipe::new(&config.unwrap().tables[0], &schema(names)).staged_key(object)
        };
        let object = landed("14", "a");
        let hmac = "[table.columns.a]\nprivacy = \"hmac-sha256\"\n";
        let mut keys = vec![
            key("", &["a"], &object),
            key("", &["a", "b"], &object),
            key("unwrap = \"Records\"\n", &["a"], &object),
            key(hmac, &["a"], &object),
            key(&format!("{hmac}# other"), &["a"], &object),
            key("", &["a"], &LandedObject { etag: "f".into(), ..object.clone() }),
            key("", &["a"], &LandedObject { size: 7, ..object.clone() }),
        ];
        assert!(keys.iter().all(|key| key.starts_with(&format!("queue/shop.clicks/2026-11-19T14/{}-", source("14/a")))), "{keys:?}");
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), 7);
        assert_eq!(key("", &["a"], &object), key("lookback = \"3h\"\n", &["a"], &object), "what does not matter does not");
    }

    fn name() -> TableName {
        TableName { database: "shop".into(), name: "clicks".into() }
    }

    #[tokio::test]
    async fn a_staged_file_that_is_given_up_leaves_word_that_its_object_waits() {
        let (state, object) = (Root::in_memory(), landed("10", "a"));
        let key = layout::staged_key(&name(), object.hour, &source(&object.key), "0123456789abcdef");
        state.create(&key, b"broken".to_vec(), "").await.unwrap();
        give_up(&state, &name(), &key, &object).await.unwrap();
        give_up(&state, &name(), &key, &object).await.unwrap();
        let queue = Queue::list(&state, &name()).await.unwrap();
        assert!(!queue.has(&object.key, &key) && queue.hours().eq([object.hour]));
    }
}
