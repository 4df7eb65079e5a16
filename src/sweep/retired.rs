//! Retired generations past their grace: first no ledger names them any more, then they are removed.
//!
//! In this order a rollback can never win a generation whose files are going: both have to commit the next version, and whoever is second
//! sees what the first one did. A sweep that is cut off between its commit and the removal leaves folders that the ledger wrote once and
//! does not list any more, and the next one finds them by that ([`super::plan::Verdict::Swept`]).

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};

use super::summary::{Kind, SweepSummary};
use super::{Sweeper, plan};
use crate::announce::{self, Shown};
use crate::app::App;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::layout::{self, PartitionId};
use crate::ledger::held::{Holder, holders};
use crate::ledger::store::Committed;
use crate::ledger::{DataFile, LedgerVersion, Retired};
use crate::merge::RACES;
use crate::merge::plan::told_at;
use crate::scatter::moves::end::Ending;
use crate::store::cleaning::{Freeing, Places};
use crate::words::counted;

/// Objects that are looked for in the landing at the same time.
const CONCURRENCY: usize = 16;

/// Removes the retired generations of a table that are past their grace.
///
/// # Errors
/// Those of the ledgers and the catalog; what fails for one partition is in the summary.
pub(super) async fn sweep(sweeper: &Sweeper<'_>, summary: &mut SweepSummary) -> Result<()> {
    let mut due = Vec::new();
    for head in sweeper.heads.values() {
        let gone = sweeper.due(head).await?;
        match sweeper.spare(head, gone).await {
            Ok((gone, kept)) => {
                summary.warnings.extend(kept.iter().map(|(holder, _)| sweeper.is_kept(&head.partition, holder)));
                due.extend((!gone.is_empty()).then_some((head, gone)));
            }
            Err(e) => summary.failures.push(sweeper.failure(Some(&head.partition), &e)),
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    let partitions: Vec<PartitionId> = due.iter().map(|(head, _)| head.partition.clone()).collect();
    let registered = sweeper.registered(&partitions).await?;
    let mut taken = Vec::new();
    for (head, gone) in due {
        let (gone, kept) = plan::apart(gone, &registered);
        summary.warnings.extend(kept.iter().map(|retired| sweeper.still_registered(&head.partition, &retired.location)));
        match sweeper.take(head, &gone, summary).await {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => taken.push((head.partition.clone(), gone)),
            Err(e) => summary.failures.push(sweeper.failure(Some(&head.partition), &e)),
        }
    }
    remove(sweeper, taken, summary).await
}

/// Removes what no ledger lists any more, after a look at what the catalog says by now.
async fn remove(sweeper: &Sweeper<'_>, mut taken: Vec<(PartitionId, Vec<Retired>)>, summary: &mut SweepSummary) -> Result<()> {
    if taken.is_empty() {
        return Ok(());
    }
    let partitions: Vec<PartitionId> = taken.iter().map(|(partition, _)| partition.clone()).collect();
    if !summary.dry_run {
        let Shown { warnings, refused } = announce::partitions(sweeper.app, &sweeper.table, &partitions).await?;
        summary.warnings.extend(warnings);
        summary.failures.extend(refused.iter().map(|(partition, e)| sweeper.failure(Some(partition), e)));
        // The catalog may still point to what was live before.
        taken.retain(|(partition, _)| !refused.contains_key(partition));
    }
    let registered = sweeper.registered(&partitions).await?;
    for (partition, gone) in taken {
        let (gone, kept) = plan::apart(gone, &registered);
        summary.warnings.extend(kept.iter().map(|retired| sweeper.still_registered(&partition, &retired.location)));
        for Retired { location, files, .. } in gone {
            let mut removed = freed(&sweeper.places, &location, &files, &mut summary.freeing);
            if !summary.dry_run
                && let Err(e) = sweeper.remove(&location, files.iter().map(|file| file.name.as_str())).await
            {
                removed = Err(e);
            }
            match removed {
                Ok(bytes) => summary.enter(sweeper.removed(Kind::Retired, Some(&partition), location, bytes)),
                Err(e) => summary.failures.push(sweeper.failure(Some(&partition), &e)),
            }
        }
    }
    Ok(())
}

/// What is free once these files of a generation are gone.
fn freed(places: &Places, location: &str, files: &[DataFile], freeing: &mut Freeing) -> Result<u64> {
    let (root, folder) = places.of(location)?;
    let paths: Vec<(String, u64)> = files.iter().map(|file| (format!("{folder}{}", file.name), file.bytes)).collect();
    Ok(freeing.of(root, paths.iter().map(|(path, bytes)| (path.as_str(), *bytes))))
}

/// Bytes that are free once all that these versions list as retired is gone; where it is not to be found, as the ledgers have it.
pub fn retired_bytes(app: &App, config: &TableConfig, heads: &[LedgerVersion]) -> u64 {
    let location = app.stores.existing(&config.location, &format!("the location of {}", config.name)).ok();
    let (places, mut freeing) = (Places::new(location.into_iter().chain([app.state.clone()]).collect()), Freeing::new(true));
    let named = |files: &[DataFile]| files.iter().map(|file| file.bytes).sum();
    let bytes = |Retired { location, files, .. }: &Retired| freed(&places, location, files, &mut freeing).unwrap_or_else(|_| named(files));
    heads.iter().flat_map(|head| &head.retired).map(bytes).sum()
}

impl Sweeper<'_> {
    /// The retired generations of a partition that are past their grace.
    async fn due(&self, head: &LedgerVersion) -> Result<Vec<Retired>> {
        if head.retired.iter().all(|retired| retired.at > self.times.retired) {
            return Ok(Vec::new());
        }
        let mut since = vec![head.clone()];
        while let Some(oldest) = since.last().filter(|oldest| !self.times.is_settled(oldest)) {
            match self.app.ledgers.version(&head.table, &head.partition, oldest.version - 1).await? {
                Some(version) => since.push(version),
                None => return Ok(Vec::new()),
            }
        }
        Ok(plan::due(head, &since, self.times))
    }

    /// Sets apart what may go of these, and what has to stay: rows that a rollback took out, and that nobody reads from what landed, are in
    /// it alone.
    async fn spare(&self, head: &LedgerVersion, due: Vec<Retired>) -> Result<(Vec<Retired>, Vec<(Holder, Vec<Retired>)>)> {
        if due.is_empty() || head.held.is_empty() {
            return Ok((due, Vec::new()));
        }
        let only_here = self.only_here(head).await?;
        if only_here.is_empty() {
            return Ok((due, Vec::new()));
        }
        let wrote = self.app.ledgers.wrote_retired(head).await?;
        Ok(plan::spare(due, holders(head, &wrote, |held| only_here.contains(&held.key))))
    }

    /// The keys of what a rollback took out and is not in the landing: what a redrive moved never was, other objects are gone.
    async fn only_here(&self, head: &LedgerVersion) -> Result<BTreeSet<String>> {
        let landing = self.app.stores.existing(&self.config.landing, &format!("the landing of {}", head.table))?;
        let is_there = |key: String| {
            let landing = landing.clone();
            async move {
                let is_there = layout::parse_redriven_key(&key).is_none() && landing.exists(&key).await?;
                Ok::<_, Error>((key, is_there))
            }
        };
        let held = stream::iter(head.held.iter().map(|held| held.key.clone())).map(is_there).buffered(CONCURRENCY);
        held.try_filter_map(|(key, is_there)| async move { Ok((!is_there).then_some(key)) }).try_collect().await
    }

    fn is_kept(&self, partition: &PartitionId, Holder { id, records, .. }: &Holder) -> String {
        let (table, place, to) = (&self.table.name, told_at(self.config, partition), id.short());
        let them = if *records == 1 { "is" } else { "are" };
        let records = counted(*records, "record");
        format!(
            "{table} {partition}: {id} stays past its grace: {records} that a rollback took out {them} in it alone, as their objects are not in the landing or a redrive \
             moved them here; `lakebed rollback {table} {place} --to {to}` brings back what is in it, and `lakebed repair {table} {place}` what landed"
        )
    }

    /// Commits a version that does not list these any more, and returns those that it took out itself. A dry run takes all.
    async fn take(&self, head: &LedgerVersion, gone: &[Retired], summary: &SweepSummary) -> Result<Vec<Retired>> {
        for retired in gone {
            self.places.of(&retired.location)?;
        }
        if gone.is_empty() || summary.dry_run {
            return Ok(gone.to_vec());
        }
        self.app.ledgers.probe(&self.app.clock.new_id()).await?;
        let (mut head, mut gone) = (head.clone(), gone.to_vec());
        for _ in 0..RACES {
            let (next, taken) = plan::without(&head, &gone, self.app.clock.new_id(), summary.run.clone(), self.times.now);
            if taken.is_empty() {
                return Ok(taken);
            }
            // Nothing is told of it: what a query finds is the same.
            match Ending::of(self.app, &self.location).commit(&next, Some(&head), false).await? {
                Committed::Done => return Ok(taken),
                Committed::Lost(winner) => {
                    head = *winner;
                    // A rollback may have taken something out meanwhile.
                    gone = self.spare(&head, gone).await?.0;
                }
            }
        }
        Err(Error::conflict("other runs kept changing it; the next sweep goes on"))
    }
}
