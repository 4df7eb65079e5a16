//! `lakebed run`: the scheduled job.

use super::{print, print_json};
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
    match output {
        Output::Json => print_json(&summary)?,
        Output::Text => print(&summary.to_text())?,
    }
    for failure in summary.failure_lines() {
        eprintln!("lakebed: {failure}");
    }
    Ok(summary.exit_code())
}
