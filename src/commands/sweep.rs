//! `lakebed sweep`: what is of no use any more, removed.

use super::answer;
use crate::app::App;
use crate::cli::{Output, SweepArgs};
use crate::error::Result;
use crate::summary::Failure;
use crate::sweep::{self, Request};

/// Sweeps one table or all.
///
/// # Errors
/// As [`sweep::run`].
pub async fn run(app: &App, args: &SweepArgs, output: Output) -> Result<u8> {
    let summary = sweep::run(app, &Request { table: args.table().map(str::to_string), dry_run: args.dry_run }).await?;
    answer(output, &summary, || summary.to_text(), summary.failures.iter().map(Failure::line))?;
    Ok(summary.exit_code())
}
