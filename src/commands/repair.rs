//! `lakebed repair`: one hour, made anew from what landed.

use super::answer;
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
    answer(output, &summary, || summary.to_text(), summary.failure_lines())?;
    Ok(summary.exit_code())
}
