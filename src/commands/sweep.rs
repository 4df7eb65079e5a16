//! `lakebed sweep`: what is of no use any more, removed.

use super::{print, print_json};
use crate::app::App;
use crate::cli::{Output, SweepArgs};
use crate::error::Result;
use crate::sweep::{self, Request};

/// Sweeps one table or all.
///
/// # Errors
/// As [`sweep::run`].
pub async fn run(app: &App, args: &SweepArgs, output: Output) -> Result<u8> {
    let summary = sweep::run(app, &Request { table: args.table.clone(), dry_run: args.dry_run }).await?;
    match output {
        Output::Json => print_json(&summary)?,
        Output::Text => print(&summary.to_text())?,
    }
    for failure in &summary.failures {
        eprintln!("lakebed: {}", failure.line());
    }
    Ok(summary.exit_code())
}
