//! `lakebed rollback`: one partition, back to a generation that was live before.

use super::answer;
use crate::app::App;
use crate::cli::{Output, RollbackArgs};
use crate::error::Result;
use crate::rollback::{self, Request};

/// Rolls one partition back.
///
/// # Errors
/// As [`rollback::run`].
pub async fn run(app: &App, args: &RollbackArgs, output: Output) -> Result<u8> {
    let RollbackArgs { table, hour, to, dry_run } = args.clone();
    let done = rollback::run(app, &Request { table, place: hour, to, dry_run }).await?;
    answer(output, &done, || done.to_text(), std::iter::empty())?;
    Ok(0)
}
