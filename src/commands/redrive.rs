//! `lakebed redrive`: quarantined records once more, into their own hour.

use super::answer;
use crate::app::App;
use crate::cli::{Output, RedriveArgs};
use crate::error::Result;
use crate::redrive::{self, Request};

/// Redrives the quarantined records of a table.
///
/// # Errors
/// As [`redrive::redrive`].
pub async fn run(app: &App, args: &RedriveArgs, output: Output) -> Result<u8> {
    let RedriveArgs { table, hour, reason, dry_run } = args.clone();
    let summary = redrive::redrive(app, &Request { table, place: hour, reason, dry_run }).await?;
    answer(output, &summary, || summary.to_text(), summary.failure_lines())?;
    Ok(summary.exit_code())
}
