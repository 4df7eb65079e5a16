//! `lakebed history`: what was done to one partition, and what there is to go back to.

use futures::{StreamExt, TryStreamExt, stream};

use super::{print, print_json};
use crate::app::App;
use crate::cli::{HistoryArgs, Output};
use crate::error::{Error, Result};
use crate::ledger::LedgerVersion;
use crate::merge::plan::partition_at;
use crate::rollback::history::history;
use crate::rollback::plan::Refusal;

/// Ledger versions that are read at the same time.
const AT_ONCE: usize = 16;

/// Shows the history of one partition.
///
/// # Errors
/// `Config` if there is no such table or partition, or it was never merged; those of the ledgers.
pub async fn run(app: &App, args: &HistoryArgs, output: Output) -> Result<u8> {
    let config = app.config.tables(Some(&args.table))?[0];
    let partition = partition_at(config, &args.hour)?;
    let never = || Error::config(format!("{} {partition}: {}", config.name, Refusal::NeverMerged));
    let head = app.ledgers.head(&config.name, &partition).await?.filter(|head| !head.is_void()).ok_or_else(never)?;
    let read = stream::iter(1..head.version).map(|number| app.ledgers.version(&config.name, &partition, number));
    let older: Vec<Option<LedgerVersion>> = read.buffered(AT_ONCE).try_collect().await?;
    let versions: Vec<LedgerVersion> = older.into_iter().flatten().chain([head]).collect();
    let history = history(&versions, &app.quarantine_url(&config.name), app.config.lake.grace).ok_or_else(never)?;
    match output {
        Output::Json => print_json(&history)?,
        Output::Text => print(&history.to_text(app.clock.now()))?,
    }
    Ok(0)
}
