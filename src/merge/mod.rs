//! Merges landed objects into a partition: plan, write, commit; on a lost race, plan again.

mod account;
pub mod append;
pub mod dedupe;
pub mod encode;
pub mod execute;
mod feed;
pub mod intake;
pub mod order;
pub mod plan;
pub mod reader;
pub mod redrive;
pub mod runs;
mod staged;
pub mod writer;

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::events::outbox::Outbox;
use crate::landing::LandedObject;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::store::{Committed, LedgerStore};
use crate::ledger::{Counts, FORMAT, Generation, LedgerVersion, Operation, Retired};
use crate::pipeline::{Limits, ManagedTable};
use crate::queue::Queue;
use crate::scatter::moves::end::Ending;
use crate::scatter::store::Placements;
use crate::schema::fingerprint;
use crate::store::Root;
use append::plan::LiveFile;
use execute::{Attempt, Written};
use plan::{Action, PartitionPlan};

/// Lost races after which a run gives up on a partition; each one means that another run made progress there.
pub const RACES: usize = 5;

/// What a merge works with, beside the table.
pub struct Context<'a> {
    /// The state location.
    pub state: &'a Root,
    /// All ledgers.
    pub ledgers: &'a LedgerStore,
    /// What has to be told.
    pub outbox: &'a Outbox,
    /// Where attempt ids come from.
    pub clock: &'a dyn Clock,
    /// What is staged of the table.
    pub queue: &'a Queue,
    /// Where its rows scatter: the places that the merge counts on.
    pub placed: Option<&'a Placements>,
    /// Memory and threads.
    pub limits: &'a Limits,
    /// ULID of the run.
    pub run: &'a str,
    /// The time the run is made for, UTC.
    pub at: DateTime<Utc>,
}

/// What a merge did.
#[derive(Debug)]
pub enum Merged {
    /// A new version is committed.
    Committed {
        /// The version.
        version: Box<LedgerVersion>,
        /// The objects that it was made for: those planned, less what another run merged meanwhile.
        objects: Vec<LandedObject>,
        /// Values that broke a rule whose `on_fail` is `warn` or `null`.
        warned: u64,
    },
    /// Another run merged the same objects meanwhile; its version is given.
    ByAnother(Box<LedgerVersion>),
}

/// Merges what `plan` says into its partition.
///
/// # Errors
/// `Conflict` if other runs keep being faster; otherwise as [`Attempt::write`] and [`LedgerStore::commit`]. The partition is as it
/// was before then.
pub async fn merge(context: &Context<'_>, table: &ManagedTable, plan: &PartitionPlan) -> Result<Merged> {
    let mut current = Cow::Borrowed(plan);
    for _ in 0..RACES {
        let Action::Merge { previous, objects } = &current.action else {
            let head = context.ledgers.head(&table.config.name, &plan.partition).await?;
            return head
                .map(|head| Merged::ByAnother(Box::new(head)))
                .ok_or_else(|| Error::internal("a partition without a ledger is up to date"));
        };
        match attempt(context, table, &current, previous.as_deref(), objects).await? {
            Tried::Committed { version, warned } => return Ok(Merged::Committed { version, objects: objects.clone(), warned }),
            Tried::Lost(winner) => current = Cow::Owned(plan::plan(plan.partition.clone(), Some(*winner), objects.clone())),
        }
    }
    Err(Error::conflict(format!("{} {}: other runs kept changing it; run again later", table.config.name, plan.partition)))
}

enum Tried {
    Committed { version: Box<LedgerVersion>, warned: u64 },
    Lost(Box<LedgerVersion>),
}

async fn attempt(
    context: &Context<'_>,
    table: &ManagedTable,
    plan: &PartitionPlan,
    previous: Option<&LedgerVersion>,
    objects: &[LandedObject],
) -> Result<Tried> {
    let attempt = attempt_at(context, table, &plan.partition, previous, objects);
    let (version, warned) = write(context, &attempt, plan.action.operation().unwrap_or(Operation::Amend)).await?;
    if let Some(placed) = context.placed
        && let Err(e) = placed.hold().await
    {
        attempt.clean_up().await;
        return Err(e);
    }
    match finish(context, &attempt, &version).await? {
        Committed::Done => Ok(Tried::Committed { version: Box::new(version), warned }),
        Committed::Lost(winner) => Ok(Tried::Lost(winner)),
    }
}

/// An attempt at merging these objects into a partition, beside what `previous` holds.
fn attempt_at<'a>(
    context: &Context<'a>,
    table: &'a ManagedTable,
    partition: &'a PartitionId,
    previous: Option<&'a LedgerVersion>,
    objects: &'a [LandedObject],
) -> Attempt<'a> {
    let Context { state, limits, queue, .. } = *context;
    Attempt { table, state, limits, partition, id: next_id(context, previous), previous, afresh: false, objects, queue, redrive: None }
}

/// What a merge would do with the live files of its partition; nothing is written.
///
/// # Errors
/// As [`Attempt::live`].
pub async fn look(context: &Context<'_>, table: &ManagedTable, plan: &PartitionPlan) -> Result<Vec<LiveFile>> {
    match &plan.action {
        Action::Merge { previous: Some(previous), objects } => {
            let live = attempt_at(context, table, &plan.partition, Some(previous), objects).live().await?;
            Ok(live.files(&previous.generation))
        }
        Action::Merge { previous: None, .. } | Action::UpToDate => Ok(Vec::new()),
    }
}

/// The name of the generation that comes after `previous`.
pub fn next_id(context: &Context<'_>, previous: Option<&LedgerVersion>) -> GenerationId {
    GenerationId { number: previous.map_or(1, |version| version.version + 1), attempt: context.clock.new_id() }
}

/// Writes the files of an attempt. Returns the version that they make, which is not committed yet, and how many values broke a rule
/// whose `on_fail` is `warn` or `null`.
///
/// # Errors
/// As [`Attempt::write`]; what it wrote is removed then.
pub async fn write(context: &Context<'_>, attempt: &Attempt<'_>, operation: Operation) -> Result<(LedgerVersion, u64)> {
    match attempt.write().await {
        Ok(written) => {
            let warned = written.warned;
            Ok((next_version(context, attempt, operation, written), warned))
        }
        Err(e) => {
            attempt.clean_up().await;
            Err(e)
        }
    }
}

/// Commits the version that an attempt's files make, after a note of it. If the attempt is known to be lost, what it wrote is removed.
///
/// # Errors
/// As [`Ending::commit`].
pub async fn finish(context: &Context<'_>, attempt: &Attempt<'_>, version: &LedgerVersion) -> Result<Committed> {
    if let Err(e) = write_down(context, version).await {
        attempt.clean_up().await;
        return Err(e);
    }
    // If that fails it may be committed, so the files stay; a sweep removes what no ledger came to name.
    let Context { state, ledgers, outbox, clock, .. } = *context;
    let ending = Ending { state, ledgers, outbox, clock, location: &attempt.table.location };
    let committed = ending.commit(version, attempt.previous, true).await?;
    if let Committed::Lost(_) = committed {
        attempt.clean_up().await;
    }
    Ok(committed)
}

/// Writes down that a version has files with rows for other partitions, if it has. Before the version: once that is there, somebody has to know of
/// the files, be they lost.
///
/// # Errors
/// `Unavailable` if the state location cannot be written.
pub async fn write_down(context: &Context<'_>, version: &LedgerVersion) -> Result<()> {
    if !version.redriven.is_empty() {
        let key = layout::moving_key(&version.table, &version.partition, &version.generation.id);
        context.state.create(&key, Vec::new(), &version.attempt).await?;
    }
    Ok(())
}

/// The first version of a partition, with nothing in it: whoever saw that there was none cannot commit any more.
pub fn nothing(context: &Context<'_>, attempt: &Attempt<'_>) -> LedgerVersion {
    let location = attempt.table.location.url_of(&layout::generation_folder(attempt.partition, &attempt.id));
    let generation = Generation { id: attempt.id.clone(), location, files: Vec::new() };
    let (sources, missing, redriven) = (Vec::new(), Vec::new(), Vec::new());
    next_version(context, attempt, Operation::Create, Written { generation, quarantine: None, sources, missing, redriven, warned: 0 })
}

/// The version that the attempt's files make.
fn next_version(context: &Context<'_>, attempt: &Attempt<'_>, operation: Operation, written: Written) -> LedgerVersion {
    let table = attempt.table;
    let mut held = attempt.previous.map_or_else(Vec::new, |previous| previous.held.clone());
    held.retain(|held| written.sources.binary_search_by(|source| source.key.cmp(&held.key)).is_err());
    let mut retired = attempt.previous.map_or_else(Vec::new, |previous| previous.retired.clone());
    // What was only closed against other commits was never live.
    if let Some(previous) = attempt.previous.filter(|previous| !previous.is_void()) {
        let replaced = previous.quarantine.iter().filter(|old| Some(*old) != written.quarantine.as_ref());
        let gone = std::iter::once(&previous.generation).chain(replaced);
        retired.extend(gone.map(|old| Retired { location: old.location.clone(), files: old.files.clone(), at: context.at }));
    }
    let counts: Counts = written.sources.iter().map(|source| source.counts).sum();
    let rolled_back = attempt.previous.filter(|_| !attempt.afresh).and_then(|previous| {
        // What a redrive resolves now is there again; one that only noted what it tried changes no row.
        previous.rolled_back.clone().filter(|_| counts.resolved <= previous.counts.resolved)
    });
    LedgerVersion {
        format: FORMAT,
        table: table.config.name.clone(),
        partition: attempt.partition.clone(),
        version: attempt.id.number,
        attempt: attempt.id.attempt.clone(),
        run: context.run.to_string(),
        at: context.at,
        operation,
        from_merged: operation == Operation::Repair && !attempt.afresh,
        rolled_back,
        counts,
        generation: written.generation,
        quarantine: written.quarantine,
        columns: table.schema.columns.clone(),
        schema: fingerprint(&table.schema.columns),
        held,
        amended: attempt.previous.map_or(0, |previous| previous.amended) + u64::from(operation == Operation::Amend),
        sources: written.sources,
        missing: written.missing,
        retired,
        redriven: written.redriven,
    }
}
