//! `lakebed run`: the scheduled job.

use super::answer;
use crate::app::App;
use crate::cli::{Output, RunArgs};
use crate::error::Result;
use crate::pipeline::{self, Request};

/// Runs the pipeline once.
///
/// # Errors
/// As [`pipeline::run`].
pub async fn run(app: &App, args: &RunArgs, output: Output) -> Result<u8> {
    let at = args.at.unwrap_or_else(|| app.clock.now());
    let request = Request { table: args.table.clone(), at, since: args.since, dry_run: args.dry_run, until: None };
    let summary = pipeline::run(app, &request).await?;
    answer(output, &summary, || summary.to_text(), summary.failure_lines())?;
    Ok(summary.exit_code())
}
