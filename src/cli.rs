//! The command line as clap types; nothing is decided here.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::generate::{Compression, Framing, Part};
use crate::hour::{Hour, Place};
use crate::standardize::reject::Code;

/// Keeps plain Parquet tables complete, right-sized and correct, from what Amazon Data Firehose lands.
#[derive(Debug, Parser)]
#[command(name = "lakebed", version, max_term_width = 100)]
pub struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "PATH", default_value = "lakebed.toml")]
    pub config: PathBuf,
    /// Text for people, or one JSON document for programs.
    #[arg(long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// `--output`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    Text,
    /// One JSON document.
    Json,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Merge what landed in closed hours and register it: the scheduled job.
    Run(RunArgs),
    /// Rebuild one hour from what landed, under today's schema and rules.
    Repair(RepairArgs),
    /// Try quarantined records once more, under today's columns and rules, and put what fits into its own hour.
    Redrive(RedriveArgs),
    /// Show hours, their state and what became of their records.
    Status(TableArgs),
    /// Show what the ledger and the catalog say of each partition.
    Partitions(PartitionsArgs),
    /// Show what was done to an hour, when and why, and which generations there are to go back to.
    History(HistoryArgs),
    /// Query the tables of the catalog.
    Query(QueryArgs),
    /// Take an hour back to a generation that was live before.
    Rollback(RollbackArgs),
    /// Remove what is of no use any more: retired generations past their grace, what dead attempts left.
    Sweep(SweepArgs),
    /// Run as a function of AWS Lambda that a schedule calls.
    Lambda,
    /// Print a first migration made from what landed.
    Infer(InferArgs),
    /// Write a clickstream as Firehose would land it.
    Generate(GenerateArgs),
}

/// `lakebed run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Only this table.
    #[arg(long)]
    pub table: Option<String>,
    /// Run as if it were this time, such as 2026-11-19T15:20:00Z [default: now].
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub at: Option<DateTime<Utc>>,
    /// Look at all hours from this one on, such as 2026-11-01T00, instead of the look-back (backfill).
    #[arg(long, value_name = "HOUR")]
    pub since: Option<Hour>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// Reads `--at`.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    text.parse().map_err(|_| "write it in UTC like 2026-11-19T15:20:00Z".to_string())
}

/// `lakebed repair`.
#[derive(Debug, Clone, Args)]
pub struct RepairArgs {
    /// The table.
    pub table: String,
    /// The hour, such as 2026-11-19T14, or 2026-11-19T14/page=books where a table has more partition keys (null is page=).
    pub hour: Place,
    /// Write the rows that are there once more, and read nothing that landed.
    #[arg(long)]
    pub from_merged: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// `lakebed redrive`.
#[derive(Debug, Clone, Args)]
pub struct RedriveArgs {
    /// The table.
    pub table: String,
    /// Only this hour, such as 2026-11-19T14, or 2026-11-19T14/page=books where a table has more partition keys (null is page=) [default: all hours].
    #[arg(long, value_name = "HOUR")]
    pub hour: Option<Place>,
    /// Only records that were rejected for this reason, such as type_mismatch.
    #[arg(long, value_name = "REASON", value_parser = reason)]
    pub reason: Option<Code>,
    /// Only say what would fit.
    #[arg(long)]
    pub dry_run: bool,
}

/// Reads `--reason`.
fn reason(text: &str) -> Result<Code, String> {
    Code::of(text).ok_or_else(|| format!("it is one of {}", Code::ALL.map(Code::as_str).join(", ")))
}

/// A table, or all.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// Only this table.
    pub table: Option<String>,
}

/// `lakebed partitions`.
#[derive(Debug, Args)]
pub struct PartitionsArgs {
    /// The table.
    pub table: String,
}

/// `lakebed history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// The table.
    pub table: String,
    /// The hour, such as 2026-11-19T14, or 2026-11-19T14/page=books where a table has more partition keys (null is page=).
    #[arg(value_name = "HOUR")]
    pub hour: Place,
}

/// `lakebed rollback`.
#[derive(Debug, Clone, Args)]
pub struct RollbackArgs {
    /// The table.
    pub table: String,
    /// The hour, such as 2026-11-19T14, or 2026-11-19T14/page=books where a table has more partition keys (null is page=).
    #[arg(value_name = "HOUR")]
    pub hour: Place,
    /// The generation to go back to, such as g00000003 [default: the one that was retired last].
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<String>,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

/// `lakebed sweep`.
#[derive(Debug, Args)]
pub struct SweepArgs {
    /// Only this table.
    pub table: Option<String>,
    /// Only this table, as `run` has it.
    #[arg(long = "table", value_name = "TABLE", conflicts_with = "table")]
    pub named: Option<String>,
    /// Only say what would be removed.
    #[arg(long)]
    pub dry_run: bool,
}

impl SweepArgs {
    /// The table, however it was named.
    pub fn table(&self) -> Option<&str> {
        self.table.as_deref().or(self.named.as_deref())
    }
}

/// `lakebed query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT, EXPLAIN, SHOW or DESCRIBE; tables are named database.table.
    pub sql: String,
    /// How the rows are printed [default: table, or json with --output json].
    #[arg(long, value_enum)]
    pub format: Option<RowFormat>,
    /// What runs the query: lakebed itself, or Athena, which costs money for what it scans.
    #[arg(long, value_enum, default_value_t = Engine::Local)]
    pub engine: Engine,
}

/// `query --engine`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// DataFusion in this process.
    Local,
    /// Athena, as `[athena]` says.
    Athena,
}

/// `query --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RowFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values with a header.
    Csv,
    /// One array of objects.
    Json,
}

/// `lakebed infer`.
#[derive(Debug, Args)]
pub struct InferArgs {
    /// The folder that Firehose writes to.
    pub landing: String,
    /// Write this table name instead of ${table}.
    #[arg(long, value_name = "DATABASE.TABLE")]
    pub name: Option<String>,
    /// The records are in this array of each document.
    #[arg(long, value_name = "FIELD")]
    pub unwrap: Option<String>,
}

/// `lakebed generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// The folder or s3:// prefix to write to; objects that are there already are replaced.
    #[arg(long, value_name = "DIR|s3://…")]
    pub to: String,
    /// The same seed gives the same objects, byte for byte.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The first hour, UTC.
    #[arg(long, value_name = "HOUR", default_value = "2026-11-19T10")]
    pub first_hour: Hour,
    /// How many hours.
    #[arg(long, default_value_t = 1)]
    pub hours: u32,
    /// Objects in each hour.
    #[arg(long, default_value_t = 12)]
    pub objects_per_hour: u32,
    /// Records in all hours together.
    #[arg(long, default_value_t = 12_000)]
    pub records: u64,
    /// The Firehose stream's name, which begins the objects' names.
    #[arg(long, default_value = "clicks")]
    pub stream: String,
    /// Share of objects that arrive after their hour has closed, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub late: f64,
    /// Share of records that are broken or do not fit the table, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub bad: f64,
    /// Share of records that are delivered twice, 0 to 1.
    #[arg(long, default_value_t = 0.0)]
    pub duplicates: f64,
    /// What stands between records: concatenated, newline or crlf.
    #[arg(long, default_value = "concatenated")]
    pub framing: Framing,
    /// gzip, gzip-members (several members an object) or none.
    #[arg(long, default_value = "gzip")]
    pub compression: Compression,
    /// Which objects to write: all, on-time or late.
    #[arg(long, default_value = "all")]
    pub part: Part,
}
