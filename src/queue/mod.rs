//! The queue: landed objects that were standardized as they came, each in a staged file, until a merge takes them.
//!
//! A staged file is a shortcut and never the truth. Its name says which object it is of, with which content, and by which columns and
//! rules it was made; a merge that finds the very name reads it, and reads the landed object in every other case.

pub mod read;
pub mod stage;

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::catalog::TableName;
use crate::config::{Privacy, TableConfig};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout;
use crate::schema::{TableSchema, fingerprint};
use crate::standardize::{Damage, Outcome, Tally};
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
    damage: Option<Damage>,
    /// The key of the file with the rejects, if there are any.
    rejects: Option<String>,
}

impl Head {
    fn new(object: &LandedObject, outcome: &Outcome, rejects: Option<String>) -> Self {
        let Tally { read, rows, rejected, dropped, warned, .. } = outcome.tally;
        let LandedObject { key, etag, size, .. } = object.clone();
        Self { key, etag, size, read, rows, rejected, dropped, warned, damage: outcome.damage.clone(), rejects }
    }

    fn outcome(&self) -> Outcome {
        let Self { read, rows, rejected, dropped, warned, .. } = *self;
        let tally = Tally { read, rows, rejected, dropped, warned, ..Tally::default() };
        Outcome { tally, damage: self.damage.clone() }
    }

    fn is_of(&self, object: &LandedObject) -> bool {
        (&self.key, &self.etag, self.size) == (&object.key, &object.etag, object.size)
    }
}

/// What of a table, beside the object, decides what a staged file holds.
#[derive(Debug, Clone)]
pub struct Recipe {
    table: TableName,
    digest: Sha256,
}

impl Recipe {
    /// The columns, the rules and the settings of a table, the longest record that is read, and the version of lakebed.
    pub fn new(config: &TableConfig, schema: &TableSchema, record: usize) -> Self {
        let TableConfig { format, unwrap, new_columns, rules, max_ratio, keep_raw, .. } = config;
        let settings = format!("{format:?} {unwrap:?} {new_columns:?} {rules:?} {max_ratio:?} {keep_raw:?} {record}");
        let mut digest = Sha256::new();
        for part in [env!("CARGO_PKG_VERSION"), &fingerprint(&schema.columns), &settings] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        for rule in rules.values() {
            // The key itself, which its Debug form does not show.
            if let Some(Privacy::HmacSha256(key)) = &rule.privacy {
                digest.update(key.bytes());
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
fn source(key: &str) -> String {
    hex(&Sha256::digest(key), 16)
}

fn hex(digest: &[u8], bytes: usize) -> String {
    digest.iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

/// What waits in the queue of one table.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    /// The keys of each source's files.
    files: BTreeMap<String, BTreeSet<String>>,
}

impl Queue {
    /// Lists it.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be read.
    pub async fn list(state: &Root, table: &TableName) -> Result<Self> {
        let folder = layout::queue_root(table);
        let failed = |e| Error::unavailable(format!("cannot list {}: {e}; run again once it can be read", state.url_of(&folder)));
        let prefix = parse(folder.trim_end_matches('/'))?;
        let mut listing = state.store().list(Some(&prefix));
        let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let Some(object) = listing.try_next().await.map_err(failed)? {
            let key = object.location.to_string();
            if let Some((_, source)) = layout::parse_queue_key(table, &key) {
                files.entry(source.to_string()).or_default().insert(key);
            }
        }
        Ok(Self { files })
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The key of the staged file that holds what this object becomes by this recipe, if there is one.
    pub fn staged(&self, recipe: &Recipe, object: &LandedObject) -> Option<String> {
        let key = recipe.staged_key(object);
        self.files.get(&source(&object.key)).is_some_and(|files| files.contains(&key)).then_some(key)
    }

    /// Removes all files of these objects, which must be in a ledger. What cannot be removed is for a later run.
    pub async fn remove<'k>(&self, state: &Root, merged: impl Iterator<Item = &'k str>) {
        for key in merged.filter_map(|key| self.files.get(&source(key))).flatten() {
            if let Err(e) = state.remove(key).await {
                tracing::warn!("cannot remove a staged file that is merged: {e}");
            }
        }
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
            Recipe::new(&config.unwrap().tables[0], &schema(names), 1000).staged_key(object)
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
}
