//! What was left behind: by attempts that are dead, by sweeps that were cut off, by runs that had not to remove it.

use std::collections::BTreeSet;

use super::Sweeper;
use super::plan::{self, Times, Verdict};
use super::summary::{Kind, Removed, SweepSummary};
use crate::error::Result;
use crate::layout::{self, GenerationId, PartitionId};
use crate::queue;
use crate::scatter::moved::All;
use crate::store::Root;

/// A folder of a generation that the newest version of its partition does not name.
struct Found<'a> {
    root: &'a Root,
    /// Relative to the root.
    folder: String,
    partition: PartitionId,
    id: GenerationId,
    bytes: u64,
}

impl Found<'_> {
    fn url(&self) -> String {
        self.root.url_of(&self.folder)
    }
}

/// Removes generations that no version can need: of dead attempts, and of sweeps that were cut off.
pub(super) async fn generations(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let found = found(sweeper).await?;
    let mut judged = Vec::new();
    for found in found {
        match judge(sweeper, &found).await? {
            Verdict::Keep => {}
            _ => judged.push(found),
        }
    }
    if judged.is_empty() {
        return Ok(());
    }
    let partitions: BTreeSet<PartitionId> = judged.iter().map(|found| found.partition.clone()).collect();
    let registered = sweeper.registered(&Vec::from_iter(partitions)).await?;
    for found in judged {
        if registered.contains(&found.url()) {
            summary.warnings.push(sweeper.still_registered(&found.partition, &found.url()));
            continue;
        }
        match remove(sweeper, &found, summary.dry_run).await {
            Ok(Some(kind)) => summary.enter(sweeper.removed(kind, Some(&found.partition), found.url(), found.bytes)),
            Ok(None) => {}
            Err(e) => summary.failures.push(sweeper.failure(Some(&found.partition), &e)),
        }
    }
    Ok(())
}

/// The folders of generations that the newest versions do not name.
async fn found<'a>(sweeper: &'a Sweeper<'_>) -> Result<Vec<Found<'a>>> {
    let keys: Vec<&str> = sweeper.table.partition_keys.iter().map(|key| key.name.as_str()).collect();
    let mut all = Vec::new();
    let (state, name) = (&sweeper.app.state, &sweeper.table.name);
    // Redrives may be of a time in which the configuration was another one.
    let of_state = [layout::quarantine_root(name), layout::redriven_root(name), layout::moving_root(name)];
    let bases = of_state.into_iter().map(|base| (state, base)).chain([(&sweeper.location, String::new())]);
    for (root, base) in bases {
        let entries = root.everything(&base).await?;
        let below = entries.iter().filter_map(|entry| Some((entry.path.strip_prefix(&base)?, entry.bytes)));
        for ((partition, _), (id, bytes)) in plan::generations(below, &keys) {
            let folder = format!("{base}{}", layout::generation_folder(&partition, &id));
            let found = Found { root, folder, partition, id, bytes };
            if !sweeper.heads.get(&found.partition).is_some_and(|head| plan::names(head, &found.url())) {
                all.push(found);
            }
        }
    }
    Ok(all)
}

/// What the ledger says of a folder now.
async fn judge(sweeper: &Sweeper<'_>, found: &Found<'_>) -> Result<Verdict> {
    let (ledgers, table) = (&sweeper.app.ledgers, &sweeper.table.name);
    let made = ledgers.version(table, &found.partition, found.id.number).await?;
    let head = ledgers.head(table, &found.partition).await?;
    Ok(plan::verdict(&found.url(), &found.id, head.as_ref(), made.as_ref(), sweeper.times))
}

/// Removes a folder, once more judged right before; `None` if it has to stay by now.
async fn remove(sweeper: &Sweeper<'_>, found: &Found<'_>, dry_run: bool) -> Result<Option<Kind>> {
    let verdict = judge(sweeper, found).await?;
    match &verdict {
        Verdict::Keep => return Ok(None),
        _ if dry_run => {}
        Verdict::Swept(files) => sweeper.remove(&found.url(), files.iter().map(String::as_str)).await?,
        // Its attempt alone wrote there.
        Verdict::Dead => found.root.remove_folder(&found.folder).await?,
    }
    Ok(Some(if verdict == Verdict::Dead { Kind::Orphan } else { Kind::Retired }))
}

/// Removes files that dead attempts wrote on the way to a version of a ledger, an intake or a move: only on a local disk are there any.
pub(super) async fn names(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let (state, table) = (&sweeper.app.state, &sweeper.table.name);
    if !state.is_local() {
        return Ok(());
    }
    let intakes = state.everything(&layout::intake_root(table)).await?;
    let moves = state.everything(&layout::moves_root(table)).await?;
    for entry in state.everything(&layout::ledger_root(table)).await?.into_iter().chain(intakes).chain(moves) {
        if layout::parse_left_version(table, &entry.path).is_some_and(|attempt| sweeper.times.is_dead(attempt)) {
            let removed = sweeper.removed(Kind::Unfinished, None, state.url_of(&entry.path), entry.bytes);
            if !summary.dry_run
                && let Err(e) = state.remove_entry(&entry.path).await
            {
                summary.failures.push(sweeper.failure(None, &e));
                continue;
            }
            summary.enter(removed);
        }
    }
    Ok(())
}

/// Removes staged files past the grace whose objects a ledger names. A run removes them itself, if it comes to that.
pub(super) async fn staged(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let (state, table) = (&sweeper.app.state, &sweeper.table.name);
    let entries = state.everything(&layout::queue_root(table)).await?;
    // Of an object that scatters a ledger tells too little: others may lack their share. Runs remove those themselves, and none can run while the
    // configuration scatters no more.
    if entries.is_empty() || sweeper.scatters() {
        return Ok(());
    }
    let merged: BTreeSet<String> = sweeper.heads.values().flat_map(|head| &head.sources).map(|source| queue::source(&source.key)).collect();
    for entry in entries {
        let of_merged = layout::parse_queue_key(table, &entry.path).is_some_and(|(_, source)| merged.contains(source));
        if !of_merged || entry.changed > sweeper.times.retired {
            continue;
        }
        if !summary.dry_run
            && let Err(e) = state.remove_entry(&entry.path).await
        {
            summary.failures.push(sweeper.failure(None, &e));
            continue;
        }
        summary.enter(sweeper.removed(Kind::Staged, None, state.url_of(&entry.path), entry.bytes));
    }
    Ok(())
}

/// Removes what redrives moved and every partition has. Where rows scatter, runs do that.
pub(super) async fn moved(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let Sweeper { app, table, .. } = sweeper;
    if sweeper.config.scatters() {
        return Ok(());
    }
    let all = All::find(app, &table.name).await?;
    summary.failures.extend(all.unreadable.iter().map(|e| sweeper.failure(None, e)));
    for done in all.done(app, &table.name).await? {
        let bytes = match done.path.ends_with('/') {
            true => {
                Some(app.state.everything(&done.path).await?).filter(|all| !all.is_empty()).map(|all| all.iter().map(|one| one.bytes).sum())
            }
            false => app.state.size(&done.path).await?,
        };
        if !summary.dry_run {
            done.remove(&app.state).await?;
        }
        if let Some(bytes) = bytes {
            summary.enter(sweeper.removed(Kind::Redriven, Some(&done.home), app.state.url_of(&done.path), bytes));
        }
    }
    Ok(())
}

/// Gives up the uploads in parts of dead attempts.
pub(super) async fn uploads(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let (state, table) = (&sweeper.app.state, &sweeper.table.name);
    let queue = layout::queue_root(table);
    for (root, base) in [(&sweeper.location, String::new()), (state, layout::quarantine_root(table)), (state, queue.clone())] {
        for upload in root.unfinished(&base).await? {
            let place = upload.path.strip_prefix(&base).and_then(layout::parse_generation_path);
            let ours = if base == queue { true } else { place.as_ref().is_some_and(|(_, id)| sweeper.times.is_dead(&id.attempt)) };
            let old = upload.begun.is_some_and(|begun| begun < sweeper.times.dead);
            let url = root.url_of(&upload.path);
            // With its folder it is given up already.
            if !ours || !old || summary.removed.iter().any(|removed| removed.kind == Kind::Orphan && url.starts_with(&removed.location)) {
                continue;
            }
            let partition = place.map(|(partition, _)| partition);
            if !summary.dry_run
                && let Err(e) = root.give_up(&upload).await
            {
                summary.failures.push(sweeper.failure(partition.as_ref(), &e));
                continue;
            }
            summary.enter(sweeper.removed(Kind::Upload, partition.as_ref(), url, 0));
        }
    }
    Ok(())
}

/// Removes probes, spill folders and files on the way to a note of dead attempts, which are of no table.
pub(super) async fn passing(state: &Root, times: Times, summary: &mut SweepSummary) -> Result<()> {
    for (name, size) in state.top().await? {
        if !layout::parse_passing(&name).is_some_and(|attempt| times.is_dead(attempt)) {
            continue;
        }
        let bytes = if name.ends_with('/') { state.everything(&name).await?.iter().map(|entry| entry.bytes).sum() } else { size };
        if !summary.dry_run {
            if name.ends_with('/') { state.remove_folder(&name).await? } else { state.remove(&name).await? }
        }
        summary.enter(Removed { kind: Kind::Unfinished, table: None, partition: None, location: state.url_of(&name), bytes });
    }
    Ok(())
}
