//! Tells the bus what happened to a table, once the catalog shows it.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::events::outbox::Due;
use crate::events::{Event, Failed};
use crate::summary::RunSummary;

/// Notes whose events are sent together.
const TOGETHER: usize = 10;

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
