//! `lakebed history`: what was done to one partition, and what there is to go back to.

use futures::{StreamExt, TryStreamExt, stream};

use super::{print, print_json};
use crate::app::App;
use crate::cli::{HistoryArgs, Output};
use crate::error::Result;
use crate::ledger::LedgerVersion;
use crate::named;
use crate::rollback::history::history;

/// Ledger versions that are read at the same time.
const AT_ONCE: usize = 16;

/// Shows the history of one partition.
///
/// # Errors
/// `Config` if there is no such table or partition, or it was never merged; those of the ledgers.
pub async fn run(app: &App, args: &HistoryArgs, output: Output) -> Result<u8> {
    let config = app.config.tables(Some(&args.table))?[0];
    let partition = named::partition(app, config, &args.hour).await?;
    let Some(head) = app.ledgers.head(&config.name, &partition).await?.filter(|head| !head.is_void()) else {
        return Err(named::never_merged(app, config, &args.hour, &partition, "tell").await?);
    };
    let read = stream::iter(1..head.version).map(|number| app.ledgers.version(&config.name, &partition, number));
    let older: Vec<Option<LedgerVersion>> = read.buffered(AT_ONCE).try_collect().await?;
    let versions: Vec<LedgerVersion> = older.into_iter().flatten().chain([head]).collect();
    let Some(history) = history(&versions, &app.quarantine_url(&config.name), app.config.lake.grace) else {
        return Err(named::never_merged(app, config, &args.hour, &partition, "tell").await?);
    };
    match output {
        Output::Json => print_json(&history)?,
        Output::Text => print(&history.to_text(app.clock.now()))?,
    }
    Ok(0)
}
