//! Tells the bus what happened to a table, once the catalog shows it.

use crate::app::App;
use crate::catalog::Table;
use crate::error::Result;
use crate::events::{Event, Failed};
use crate::layout::Note;
use crate::summary::RunSummary;

/// Sends the events of what the notes say has happened, and forgets those notes. What fails is sent by the next run.
///
/// # Errors
/// As [`crate::events::EventSink::send`], [`crate::events::outbox::Outbox::due`] and `forget`.
pub async fn changes(app: &App, table: &Table, notes: Vec<Note>) -> Result<()> {
    let due = app.outbox.due(&app.ledgers, table, notes, app.clock.now()).await?;
    if !due.events.is_empty() {
        app.events.send(&due.events).await?;
    }
    for note in &due.notes {
        app.outbox.forget(&table.name, note).await?;
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
