//! Objects that redrives made of quarantined records whose rows belong to other partitions: which of them wait, and for whom.
//!
//! The ledger version of the partition that the records were in decides: it says that they moved, and the objects were there before it. So
//! an object counts if that version is of the very attempt that made it, and each partition that it names takes its share once, as of any
//! object. Their places never change, so no intake has them.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Taken, of_object};
use super::moved::{All, Moved, in_it_alone};
use super::share::Share;
use super::store::Placements;
use crate::app::App;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::{LedgerVersion, Source};
use crate::merge::plan::{Action, PartitionPlan, plan};
use crate::merge::{self, Merged};
use crate::pipeline::ManagedTable;
use crate::queue::{Queue, redriven};

/// An object that a redrive made, and that some partitions lack.
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
    /// Files that cannot be used or are lost, with the partition that lacks them if it is about one, and why.
    pub unusable: Vec<(Option<PartitionId>, Error)>,
    /// All that is not known to be where it belongs, be it so or not.
    all: All,
}

impl Waiting {
    /// The object as partitions take it in.
    pub fn object(&self) -> LandedObject {
        let Taken { key, etag, size, .. } = self.taken.clone();
        LandedObject { key, etag, size, hour: self.hour, path_values: BTreeMap::new(), came: None }
    }
}

impl Redriven {
    /// Lists what redrives made and committed. What every partition has is not looked at, whatever became of its file.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be listed.
    pub async fn list(app: &App, managed: &ManagedTable) -> Result<Self> {
        let mut all = All::find(app, &managed.config.name).await?;
        let mut found = Self { unusable: std::mem::take(&mut all.unreadable).into_iter().map(|e| (None, e)).collect(), ..Self::default() };
        for moved in all.moved.iter().filter(|moved| !moved.lacking.is_empty()) {
            if !moved.is_there {
                let lost = |partition: &PartitionId| (Some(partition.clone()), moved.lost(&managed.config, partition));
                found.unusable.extend(moved.lacking.iter().map(lost));
                continue;
            }
            match waiting(app, managed, moved).await {
                Ok(waiting) => found.waiting.extend(waiting),
                Err(e) => found.unusable.push((None, e)),
            }
        }
        Ok(Self { all, ..found })
    }

    /// True if redrives moved nothing that is not known to be where it belongs.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The partitions that get something, or got it and may not be shown with it.
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.all.partitions()
    }

    /// Rows that wait in files that are there, by the partitions that lack them.
    pub fn rows(&self) -> BTreeMap<PartitionId, u64> {
        self.all.rows()
    }

    /// Merges into each partition what it lacks. Returns the versions that came of it, and what failed.
    pub async fn merge(&self, app: &App, table: &ManagedTable, run: &str) -> (Vec<Merged>, Vec<(PartitionId, Error)>) {
        let (mut merged, mut failed) = (Vec::new(), Vec::new());
        let partitions: BTreeSet<_> = self.waiting.iter().flat_map(|waiting| waiting.partitions.iter().cloned()).collect();
        for partition in partitions {
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
        let placed = Placements {
            state: app.state.clone(),
            table: table.config.name.clone(),
            objects: Vec::new(),
            redriven: Placements::redriven(ours.iter().map(|waiting| &waiting.taken)),
            ledgers: app.ledgers.clone(),
        };
        let context = merge::Context { placed: Some(&placed), ..app.merging(&queue, run, app.clock.now()) };
        match merge::merge(&context, table, &plan).await {
            Ok(merged) => Ok(Some(merged)),
            Err(e) => another(app, &table.config.name, &plan).await?.map_or(Err(e), |head| Ok(Some(Merged::ByAnother(Box::new(head))))),
        }
    }

    /// Removes the files of what every partition has.
    ///
    /// # Errors
    /// As [`All::remove_done`].
    pub async fn remove_done(&self, app: &App, table: &TableName) -> Result<()> {
        self.all.remove_done(app, table).await
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

/// What waits in a file; `None` if it is not there any more.
async fn waiting(app: &App, table: &ManagedTable, moved: &Moved) -> Result<Option<Waiting>> {
    let Moved { home, hour, file, key, shares, .. } = moved;
    let Some(known) = redriven::known(&app.state, table, file).await.map_err(|e| in_it_alone(&e))? else { return Ok(None) };
    if let Some(column) = known.gone {
        return Err(Error::config(format!(
            "rows that a redrive moved wait in {file}, and its column {column} is gone or of another type; put it back in the catalog"
        )));
    }
    let shares = shares.iter().map(|(partition, rows)| (partition.to_string(), *rows)).collect();
    if (&known.key, &known.shares) != (key, &shares) {
        return Err(in_it_alone(&Error::data(format!("{file} is not of the redrive that it lies with"))));
    }
    let taken = Taken {
        key: known.key,
        etag: known.etag,
        size: known.size,
        read: shares.values().sum(),
        rejected: 0,
        dropped: 0,
        untimed: 0,
        shares,
        placement: String::new(),
        home: home.clone(),
        staged: file.clone(),
        set_aside: None,
        memory: 0,
        withdrawn: None,
        moving: None,
        done: false,
    };
    Ok(Some(Waiting { hour: *hour, taken, partitions: moved.lacking.iter().cloned().collect() }))
}
