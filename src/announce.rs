//! Tells the bus what happened to a table, once the catalog shows it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::catalog::reconcile::reconcile;
use crate::catalog::{Table, TableName};
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::events::outbox::Due;
use crate::events::{Event, Failed};
use crate::layout::{Note, PartitionId};
use crate::summary::RunSummary;

/// Notes whose events are sent together.
const TOGETHER: usize = 10;

/// Makes the catalog say what the ledgers of these partitions say, then tells what happened to them. Returns what people should know.
///
/// # Errors
/// As [`reconcile`] and [`changes`]: what the ledgers say stands, and the next run goes on with the rest.
pub async fn partitions(app: &App, config: &TableConfig, table: &Table, partitions: &[PartitionId]) -> Result<Vec<String>> {
    let ours = |note: &&Note| matches!(note, Note::Version { partition, .. } if partitions.contains(partition));
    let notes = app.outbox.notes(&config.name).await?;
    let of_these = notes.iter().filter(ours).cloned().collect();
    // Before the ledgers are read for the catalog: so it shows all that is told of.
    let due = app.outbox.due(&app.ledgers, table, of_these, app.clock.now()).await;
    let quarantine = app.quarantine_url(config);
    let reconciled = reconcile(&*app.catalog, &app.ledgers, table, &quarantine, partitions, &BTreeMap::new()).await?;
    changes(app, &config.name, &due, None).await?;
    Ok(reconciled.warnings(&notes))
}

/// Sends the events of these notes and forgets them, some at a time, until `until`. What is left then, or fails, is sent by the next run.
///
/// # Errors
/// As [`crate::events::EventSink::send`].
pub async fn changes(app: &App, table: &TableName, due: &[Due], until: Option<DateTime<Utc>>) -> Result<()> {
    for some in due.chunks(TOGETHER) {
        if until.is_some_and(|until| app.clock.now() >= until) {
            return Err(Error::unavailable("the time for this run was over before all events were sent; the next run sends them"));
        }
        let events: Vec<Event> = some.iter().flat_map(|due| due.events.clone()).collect();
        if !events.is_empty() {
            app.events.send(&events).await?;
        }
        for Due { note, .. } in some {
            if let Err(e) = app.outbox.forget(table, note).await {
                tracing::warn!("an event that was sent will be sent again: {e}");
            }
        }
    }
    Ok(())
}

/// Sends the event of a run that did not do all that it should. If that fails, the log and the exit code still tell.
pub async fn failures(app: &App, summary: &RunSummary) {
    let failed = summary.failures.iter();
    let failed = failed.map(|f| Failed { table: f.table.clone(), partition: f.partition.clone(), error: f.error.clone() });
    let event = Event::of_failures(&summary.run, &summary.at, summary.exit_code(), failed);
    if let Err(e) = app.events.send(&[event]).await {
        tracing::error!("the event RunFailed is not sent: {e}");
    }
}
