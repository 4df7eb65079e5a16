//! Ledger versions in an object store: read the newest, commit the next by creating it.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};

use super::LedgerVersion;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::layout::{self, PartitionId};
use crate::scatter::moves::log;
use crate::store::{Created, Root, parse};

/// Requests under way at once when many ledgers are read.
const CONCURRENCY: usize = 16;

/// The ledgers of all tables, below one state location.
#[derive(Debug, Clone)]
pub struct LedgerStore {
    root: Root,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// The version is in the ledger.
    Done,
    /// Another attempt wrote this number first; its version is given. Plan again from it.
    Lost(Box<LedgerVersion>),
}

impl LedgerStore {
    /// The ledgers below `root`, the state location.
    pub fn new(root: Root) -> Self {
        Self { root }
    }

    /// Makes sure that the store refuses to create a key twice: without that no commit is safe.
    ///
    /// # Errors
    /// `Config` if the second create of a key succeeds, `Unavailable` if the store cannot be written.
    pub async fn probe(&self, attempt: &str) -> Result<()> {
        let key = layout::probe_key(attempt);
        // What the first create answers does not matter: where its reply was lost and it was sent again, the key is there already.
        self.root.create(&key, b"first".to_vec(), attempt).await?;
        let second = self.root.create(&key, b"second".to_vec(), attempt).await;
        // Also if the second one failed: nothing of a probe is to stay.
        self.root.remove(&key).await?;
        if second? == Created::AlreadyThere {
            return Ok(());
        }
        Err(Error::config(format!(
            "the state location {} overwrites an object that exists when it is asked to create it; lakebed cannot commit safely there, choose another",
            self.root.url_of("")
        )))
    }

    /// The newest version of a partition's ledger, or `None` if it has never been merged.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read, `Data` if the version cannot.
    pub async fn head(&self, table: &TableName, partition: &PartitionId) -> Result<Option<LedgerVersion>> {
        let folder = format!("{}{partition}", layout::ledger_root(table));
        match self.newest(table, &folder).await?.get(partition) {
            Some(&version) => self.version(table, partition, version).await,
            None => Ok(None),
        }
    }

    /// The newest version of each of these partitions, in their order; one that cannot be read does not stop the others.
    pub async fn each_head(&self, table: &TableName, partitions: &[PartitionId]) -> Vec<Result<Option<LedgerVersion>>> {
        let mut folders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, folder) in folders_of(table, partitions).into_iter().enumerate() {
            folders.entry(folder).or_default().push(index);
        }
        let listings = futures::stream::iter(folders).map(|(folder, wanted)| async move { (self.newest(table, &folder).await, wanted) });
        let listings: Vec<_> = listings.buffered(CONCURRENCY).collect().await;
        let mut newest: Vec<Result<Option<u64>>> = partitions.iter().map(|_| Ok(None)).collect();
        for (listed, wanted) in listings {
            for index in wanted {
                newest[index] = match &listed {
                    Ok(versions) => Ok(versions.get(&partitions[index]).copied()),
                    Err(e) => Err(Error::new(e.kind(), e.to_string())),
                };
            }
        }
        let heads = futures::stream::iter(partitions.iter().cloned().zip(newest)).map(|(id, newest)| async move {
            match newest? {
                Some(version) => self.version(table, &id, version).await,
                None => Ok(None),
            }
        });
        heads.buffered(CONCURRENCY).collect().await
    }

    /// The newest versions of these partitions, in their order; those never merged are left out.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn heads_of(&self, table: &TableName, partitions: &[PartitionId]) -> Result<Vec<LedgerVersion>> {
        self.each_head(table, partitions).await.into_iter().filter_map(Result::transpose).collect()
    }

    /// The newest version of every partition of the table, ordered by partition.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn heads(&self, table: &TableName) -> Result<Vec<LedgerVersion>> {
        let newest = self.newest(table, layout::ledger_root(table).trim_end_matches('/')).await?;
        let heads = futures::stream::iter(newest).map(|(id, version)| async move { self.version(table, &id, version).await });
        let found: Vec<Option<LedgerVersion>> = heads.buffered(CONCURRENCY).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Every partition of the table that has a ledger, in order.
    ///
    /// # Errors
    /// `Unavailable` if the store cannot be read.
    pub async fn partitions(&self, table: &TableName) -> Result<Vec<PartitionId>> {
        let newest = self.newest(table, layout::ledger_root(table).trim_end_matches('/')).await?;
        Ok(newest.into_keys().collect())
    }

    /// Commits `next`, which must follow `previous`. This is the one moment in which data comes to exist (promise P5).
    ///
    /// Once a repair that moves rows closed the partition, nobody else commits anything to it until that ended. Behind a version that does not
    /// close it, this and the closing one are after the same number. So only behind one that may is it asked whether such a repair is
    /// under way, by whatever table: also one whose rows do not scatter any more.
    ///
    /// # Errors
    /// As [`Self::create`]; `Conflict` if a repair moves rows of the partition: nothing is committed, and the repair is to be ended first.
    pub async fn commit(&self, next: &LedgerVersion, previous: Option<&LedgerVersion>) -> Result<Committed> {
        next.check(previous)?;
        let is_asked = previous.is_some_and(LedgerVersion::may_close);
        if is_asked && log::newest(&self.root, &next.table).await?.is_some_and(|open| open.names(&next.partition)) {
            return Err(Error::conflict(format!(
                "{} {}: a repair is moving rows into it or out of it; nothing was committed, run again",
                next.table, next.partition
            )));
        }
        self.create(next, previous, &next.attempt).await
    }

    /// As [`Self::commit`], for the repair itself. Others may be creating the very same version: `by` is the ULID of whoever does it here.
    ///
    /// A reply may be lost on the way, so "already there" is a question, and so is a failure: the version is read back, and it is
    /// ours if it carries our attempt's id.
    ///
    /// # Errors
    /// `Internal` if `next` breaks an invariant; nothing is written then. `Unavailable` if the store cannot be written, or if it does
    /// not tell whether it was: then the version may be there, so its files must stay.
    pub async fn create(&self, next: &LedgerVersion, previous: Option<&LedgerVersion>, by: &str) -> Result<Committed> {
        next.check(previous)?;
        let key = layout::ledger_key(&next.table, &next.partition, next.version);
        let created = self.root.create(&key, next.to_json(), by).await;
        if matches!(created, Ok(Created::Yes)) {
            return Ok(Committed::Done);
        }
        match (self.version(&next.table, &next.partition, next.version).await, created) {
            (Ok(Some(there)), _) if there.attempt == next.attempt => Ok(Committed::Done),
            (Ok(Some(there)), _) => Ok(Committed::Lost(Box::new(there))),
            (_, Err(e)) | (Err(e), _) => Err(e),
            (Ok(None), _) => Err(Error::unavailable(format!("ledger version {key} is there and cannot be read; run again"))),
        }
    }

    /// One version of a partition's ledger, or `None` if there is none of that number.
    ///
    /// # Errors
    /// As [`Self::head`].
    pub async fn version(&self, table: &TableName, partition: &PartitionId, version: u64) -> Result<Option<LedgerVersion>> {
        let key = layout::ledger_key(table, partition, version);
        self.root.read(&key).await?.map(|bytes| LedgerVersion::from_json(&bytes, &key)).transpose()
    }

    /// The versions that wrote the retired generations that `head` lists.
    ///
    /// # Errors
    /// As [`Self::head`]; `Data` if one is gone.
    pub async fn wrote_retired(&self, head: &LedgerVersion) -> Result<Vec<LedgerVersion>> {
        let read = futures::stream::iter(head.wrote_retired()).map(|number| async move {
            let version = self.version(&head.table, &head.partition, number).await?;
            version.ok_or_else(|| {
                Error::data(format!("{} {}: ledger version {number} is gone; restore the state location", head.table, head.partition))
            })
        });
        read.buffered(CONCURRENCY).try_collect().await
    }

    /// The highest version number of each partition whose ledger lies in `folder`.
    async fn newest(&self, table: &TableName, folder: &str) -> Result<BTreeMap<PartitionId, u64>> {
        let prefix = parse(folder)?;
        let failed = |e: object_store::Error| self.root.unlisted(folder, &e);
        let mut listing = self.root.store().list(Some(&prefix));
        let mut newest = BTreeMap::new();
        while let Some(object) = listing.try_next().await.map_err(failed)? {
            if let Some((partition, version)) = layout::parse_ledger_key(table, object.location.as_ref()) {
                let highest = newest.entry(partition).or_insert(version);
                *highest = version.max(*highest);
            }
        }
        Ok(newest)
    }
}

/// Partitions of one folder, a day's hours for example, of which so many are wanted are listed with one request.
const TOGETHER: usize = 3;

/// The folder that tells the newest version of each partition: its own, or the one around it where several are wanted of that, and it
/// can have few others: two letters or digits, an hour's say, make no long list. The table's own is listed for no head.
fn folders_of(table: &TableName, partitions: &[PartitionId]) -> Vec<String> {
    let paths: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    let parent = |path: &'_ str| path.rsplit_once('/').map(|(parent, _)| parent.to_string());
    let mut wanted: BTreeMap<String, usize> = BTreeMap::new();
    let short = |path: &str| path.rsplit_once('=').is_some_and(|(_, value)| value.len() <= 2);
    for parent in paths.iter().filter(|path| short(path)).filter_map(|path| parent(path)) {
        *wanted.entry(parent).or_default() += 1;
    }
    let together = |parent: &String| wanted.get(parent).is_some_and(|&count| count >= TOGETHER);
    let folder = |path: String| match parent(&path).filter(|parent| short(&path) && together(parent)) {
        Some(parent) => format!("{}{parent}", layout::ledger_root(table)),
        None => format!("{}{path}", layout::ledger_root(table)),
    };
    paths.into_iter().map(folder).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::testing::partition;

    #[test]
    fn the_hours_of_a_day_are_listed_together() {
        let table = TableName::parse("shop.clicks").unwrap();
        let check = |hours: &[&str], expected: &[&str]| {
            let partitions: Vec<PartitionId> = hours.iter().map(|hour| partition(hour)).collect();
            let folders: Vec<String> =
                folders_of(&table, &partitions).iter().map(|folder| folder.replace("ledger/shop.clicks/year=2026/month=11/", "")).collect();
            assert_eq!(folders, expected);
        };
        check(&["01", "02", "03"], &["day=19"; 3]);
        check(&["01", "02"], &["day=19/hour=01", "day=19/hour=02"]);
        for apart in [["at=1", "at=2", "at=3"], ["c=eu/at=2026111914", "c=eu/at=2026111915", "c=eu/at=2026111916"]] {
            let partitions: Vec<PartitionId> = apart.map(|id| id.parse().unwrap()).into();
            assert_eq!(folders_of(&table, &partitions), apart.map(|id| format!("ledger/shop.clicks/{id}")));
        }
    }
}
