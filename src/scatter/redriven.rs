//! Objects that redrives made of quarantined records whose rows belong to other partitions: which of them wait, and for whom.
//!
//! The ledger version of the partition that the records were in decides: it says that they moved, and the objects were there before it. So
//! an object counts if that version is of the very attempt that made it, and each partition that it names takes its share once, as of any
//! object. Their places never change, so no intake has them.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::intake::{Taken, of_object};
use super::share::Share;
use crate::app::App;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::{self, PartitionId};
use crate::ledger::{LedgerVersion, Source};
use crate::merge::plan::{Action, PartitionPlan, plan};
use crate::merge::{self, Merged};
use crate::pipeline::ManagedTable;
use crate::queue::{Queue, redriven};
use crate::store::parse;

/// An object that a redrive made, and that some partitions may lack.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The arrival hour of the records.
    pub hour: Hour,
    /// What each partition gets of it.
    pub taken: Taken,
    /// These partitions.
    pub partitions: Vec<PartitionId>,
}

/// What waits of a table, in the order in which it was made.
#[derive(Debug, Default)]
pub struct Redriven {
    /// The objects.
    pub waiting: Vec<Waiting>,
    /// Files that cannot be used, and why.
    pub unusable: Vec<Error>,
}

impl Waiting {
    /// The object as partitions take it in.
    pub fn object(&self) -> LandedObject {
        let Taken { key, etag, size, .. } = self.taken.clone();
        LandedObject { key, etag, size, hour: self.hour, path_values: BTreeMap::new() }
    }

    /// True if every partition has its share.
    fn is_done(&self, heads: &BTreeMap<PartitionId, LedgerVersion>) -> bool {
        self.partitions.iter().all(|id| heads.get(id).is_some_and(|head| of_object(head, &self.taken.key).is_some()))
    }
}

impl Redriven {
    /// Lists what redrives made and committed. What a redrive made that did not commit is as if it were not there.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be listed.
    pub async fn list(app: &App, managed: &ManagedTable) -> Result<Self> {
        let table = &managed.config.name;
        let folder = layout::redriven_root(table);
        let prefix = parse(folder.trim_end_matches('/'))?;
        let objects: Vec<_> = app.state.store().list(Some(&prefix)).try_collect().await.map_err(|e| app.state.unlisted(&folder, &e))?;
        // By the attempts, whose ids are in the order of time.
        let mut files: BTreeMap<(String, PartitionId, u64), Vec<(usize, String)>> = BTreeMap::new();
        for file in objects.into_iter().map(|object| object.location.to_string()) {
            if let Some((home, id, index)) = layout::parse_redriven_file(table, &file) {
                files.entry((id.attempt, home, id.number)).or_default().push((index, file));
            }
        }
        let mut found = Self::default();
        for ((attempt, home, version), mut files) in files {
            files.sort();
            match app.ledgers.version(table, &home, version).await {
                Ok(Some(made)) if made.attempt == attempt => found.enter(app, managed, &made, files).await,
                Ok(_) => {}
                Err(e) => found.unusable.push(e),
            }
        }
        Ok(found)
    }

    /// Enters the files of the redrive that committed version `made`.
    async fn enter(&mut self, app: &App, table: &ManagedTable, made: &LedgerVersion, files: Vec<(usize, String)>) {
        for (_, file) in files {
            match waiting(app, table, made, file).await {
                Ok(waiting) => self.waiting.extend(waiting),
                Err(e) => self.unusable.push(e),
            }
        }
    }

    /// The partitions that get something.
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.waiting.iter().flat_map(|waiting| waiting.partitions.iter().cloned()).collect()
    }

    /// Merges into each partition what it lacks. Returns the versions that came of it, and what failed.
    pub async fn merge(&self, app: &App, table: &ManagedTable, run: &str) -> (Vec<Merged>, Vec<(PartitionId, Error)>) {
        let (mut merged, mut failed) = (Vec::new(), Vec::new());
        for partition in self.partitions() {
            match self.merge_into(app, table, run, &partition).await {
                Ok(done) => merged.extend(done),
                Err(e) => failed.push((partition, e)),
            }
        }
        (merged, failed)
    }

    async fn merge_into(&self, app: &App, table: &ManagedTable, run: &str, partition: &PartitionId) -> Result<Option<Merged>> {
        let Some(scatter) = &table.scatter else { return Ok(None) };
        let ours: Vec<&Waiting> = self.waiting.iter().filter(|waiting| waiting.partitions.contains(partition)).collect();
        let share = |taken: &Taken| Share { staged: Some(taken.staged.clone()), ..Share::of(scatter, taken, partition) };
        let queue = Queue::of_shares(ours.iter().map(|waiting| (waiting.taken.key.clone(), share(&waiting.taken))).collect());
        let objects = ours.iter().map(|waiting| waiting.object()).collect();
        let plan = plan(partition.clone(), app.ledgers.head(&table.config.name, partition).await?, objects);
        if plan.action == Action::UpToDate {
            return Ok(None);
        }
        match merge::merge(&app.merging(&queue, run, app.clock.now()), table, &plan).await {
            Ok(merged) => Ok(Some(merged)),
            Err(e) => another(app, &table.config.name, &plan).await?.map_or(Err(e), |head| Ok(Some(Merged::ByAnother(Box::new(head))))),
        }
    }

    /// Removes the files of what every partition has.
    ///
    /// # Errors
    /// `Unavailable` if a ledger or the state location cannot be read.
    pub async fn remove_done(&self, app: &App, table: &TableName) -> Result<()> {
        let partitions = Vec::from_iter(self.partitions());
        let heads = app.ledgers.heads_of(table, &partitions).await?;
        let heads = heads.into_iter().map(|head| (head.partition.clone(), head)).collect();
        for waiting in &self.waiting {
            if waiting.is_done(&heads) {
                let file = &waiting.taken.staged;
                app.state.remove(file).await?;
                app.state.remove_empty_around(file)?;
            }
        }
        Ok(())
    }
}

/// The newest version of the plan's partition, if it has all that the plan is about: another run was faster, and the files are gone since.
///
/// # Errors
/// `Unavailable` if the ledger cannot be read.
pub async fn another(app: &App, table: &TableName, planned: &PartitionPlan) -> Result<Option<LedgerVersion>> {
    let Action::Merge { objects, .. } = &planned.action else { return Ok(None) };
    let head = app.ledgers.head(table, &planned.partition).await?;
    // An object that was set aside may have landed again with another content, which is not in the table then.
    let has = |source: &Source, object: &LandedObject| (&source.etag, source.size) == (&object.etag, object.size);
    let has_all =
        |head: &LedgerVersion| objects.iter().all(|object| of_object(head, &object.key).is_some_and(|source| has(source, object)));
    Ok(head.filter(has_all))
}

/// What waits in a file that the redrive made that committed version `made`; `None` if it is not there any more.
async fn waiting(app: &App, table: &ManagedTable, made: &LedgerVersion, file: String) -> Result<Option<Waiting>> {
    let broken = |e: Error| {
        let why = "rows that a redrive moved are in it alone; restore it from a backup of the state location";
        Error::new(e.kind(), format!("{e}: {why}"))
    };
    let Some(known) = redriven::known(&app.state, table, &file).await.map_err(broken)? else { return Ok(None) };
    if let Some(column) = known.gone {
        return Err(Error::config(format!(
            "rows that a redrive moved wait in {file}, and its column {column} is gone or of another type; put it back in the catalog"
        )));
    }
    let source = layout::parse_redriven_key(&known.key).and_then(|key| made.source(key));
    let source = source.ok_or_else(|| broken(Error::data(format!("{file} is not of the redrive that it lies with"))))?;
    let taken = Taken {
        key: known.key,
        etag: known.etag,
        size: known.size,
        read: known.shares.values().sum(),
        rejected: 0,
        dropped: 0,
        untimed: 0,
        shares: known.shares,
        placement: String::new(),
        home: made.partition.clone(),
        staged: file,
        set_aside: None,
        memory: 0,
        withdrawn: None,
        moving: None,
        done: false,
    };
    let partitions = taken.partitions().map_err(broken)?;
    Ok(Some(Waiting { hour: source.hour, taken, partitions }))
}
