//! Makes the catalog show what a run committed, and tells others of it.

use std::collections::{BTreeMap, BTreeSet};

use super::Request;
use crate::announce;
use crate::app::App;
use crate::catalog::Table;
use crate::catalog::reconcile::{self, Reconciled, Wanted};
use crate::config::TableConfig;
use crate::error::Result;
use crate::events::outbox::Due;
use crate::layout::{Note, PartitionId};
use crate::summary::{Failure, TableDone};

/// The partitions that a run looked at.
pub struct Seen {
    /// All of them.
    pub partitions: Vec<PartitionId>,
    /// Of those that were up to date, what their ledgers want registered.
    pub known: BTreeMap<PartitionId, Wanted>,
}

/// Makes the catalog say what the ledgers say, and tells others; false if the catalog cannot be made to.
pub async fn publish(
    app: &App,
    config: &TableConfig,
    table: &Table,
    seen: &Seen,
    request: &Request,
    done: &mut TableDone,
    failures: &mut Vec<Failure>,
) -> bool {
    let due = match register(app, config, table, seen, done, failures).await {
        Ok(due) => due,
        Err(e) => {
            done.unregistered();
            failures.push(Failure::new(&config.name, None, &e));
            return false;
        }
    };
    // Only now a receiver that queries at once sees what it was told of.
    if let Err(e) = announce::changes(app, &config.name, &due, request.until).await {
        failures.push(Failure::new(&config.name, None, &e));
    }
    true
}

/// Makes the catalog say what the ledgers say, and returns what others have to be told now.
async fn register(
    app: &App,
    config: &TableConfig,
    table: &Table,
    seen: &Seen,
    done: &mut TableDone,
    failures: &mut Vec<Failure>,
) -> Result<Vec<Due>> {
    let (catalog, ledgers, quarantine) = (&*app.catalog, &app.ledgers, app.quarantine_url(config));
    let notes = app.outbox.notes(&config.name).await?;
    // A table that was made anew, by this run or by one that did not get as far as here, may have ledgers from before its catalog was lost.
    let partitions: Vec<PartitionId> = match notes.iter().any(|note| matches!(note, Note::Columns(_))) {
        true => ledgers.partitions(&config.name).await?,
        false => seen.partitions.clone(),
    };
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let mut due = app.outbox.due(ledgers, table, notes, app.clock.now()).await;
    let none = BTreeMap::new();
    let url = quarantine.as_str();
    let show = async |some: &[PartitionId], known| reconcile::reconcile(catalog, ledgers, table, url, some, known).await;
    let left = left_behind(&due, &partitions);
    let reconciled = show(&partitions, &seen.known).await?;
    done.registered = reconciled.changed;
    done.warnings.extend(reconciled.warnings());
    // A run before this one may have committed others without registering them. If one of them cannot be, it alone fails.
    let together = show(&left.iter().cloned().collect::<Vec<_>>(), &none).await;
    let apart = if together.is_err() { left } else { BTreeSet::new() };
    done.warnings.extend(together.iter().flat_map(Reconciled::warnings));
    for partition in apart {
        match show(std::slice::from_ref(&partition), &none).await {
            Ok(reconciled) => done.warnings.extend(reconciled.warnings()),
            Err(e) => {
                failures.push(Failure::new(&config.name, Some(&partition), &e));
                due.retain(|due| !matches!(&due.note, Note::Version { partition: of, .. } if *of == partition));
            }
        }
    }
    Ok(due)
}

/// The partitions that others have to be told of and that are not looked at otherwise.
fn left_behind(due: &[Due], partitions: &[PartitionId]) -> BTreeSet<PartitionId> {
    let told = due.iter().filter(|due| !due.events.is_empty()).filter_map(|due| match &due.note {
        Note::Version { partition, .. } => Some(partition),
        Note::Columns(_) => None,
    });
    told.filter(|partition| !partitions.contains(partition)).cloned().collect()
}
