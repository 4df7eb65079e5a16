//! `lakebed repair`: one hour, made anew from what landed.

use super::{print, print_json};
use crate::app::App;
use crate::cli::{Output, RepairArgs};
use crate::error::Result;
use crate::repair::{self, Request};

/// Repairs one partition.
///
/// # Errors
/// As [`repair::repair`].
pub async fn run(app: &App, args: &RepairArgs, output: Output) -> Result<u8> {
    let RepairArgs { table, hour, from_merged, dry_run } = args.clone();
    let summary = repair::repair(app, &Request { table, place: hour, from_merged, dry_run }).await?;
    match output {
        Output::Json => print_json(&summary)?,
        Output::Text => print(&summary.to_text())?,
    }
    for failure in summary.failure_lines() {
        eprintln!("lakebed: {failure}");
    }
    Ok(summary.exit_code())
}
