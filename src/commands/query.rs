//! `lakebed query`: SQL over the tables of the catalog.

use std::io::Write;

use super::done_or_closed;
use crate::app::App;
use crate::cli::{Output, QueryArgs, RowFormat};
use crate::engine::{self, Limits};
use crate::error::Result;
use crate::query::{self, format};

/// Runs one query and prints its rows.
///
/// # Errors
/// As [`query::run`] and [`format::write`].
pub async fn run(app: &App, args: &QueryArgs, output: Output) -> Result<u8> {
    let limits = Limits { memory: app.limits.memory, threads: app.limits.threads, spill: std::env::temp_dir() };
    let context = engine::local::session(&limits)?;
    query::register(&context, &app.catalog).await?;
    let result = query::run(&context, &args.sql).await?;
    let form = match (args.format, output) {
        (Some(RowFormat::Table), _) | (None, Output::Text) => format::Format::Table,
        (Some(RowFormat::Csv), _) => format::Format::Csv,
        (Some(RowFormat::Json), _) | (None, Output::Json) => format::Format::Json,
    };
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    format::write(result, form, &mut out).await?;
    done_or_closed(out.flush())?;
    Ok(0)
}
