//! What the user wrote, resolved into what the program needs; all validation happens here and none of the I/O.

mod choices;
mod hmac_key;
mod keys;
pub mod location;
mod partition_by;
mod places;
mod raw;
mod resolve;
mod rules;
mod table;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use chrono_tz::Tz;
use regex::Regex;

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::landing::prefix::Prefix;
pub use hmac_key::HmacKey;
use keys::nearest;
pub use location::Location;

/// Reads the configuration file; relative paths in it start at its folder. The only I/O of this module.
///
/// # Errors
/// `Config` if there is no such file or what it says is wrong.
pub fn read(path: &Path) -> Result<Config> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Error::config(format!(
            "there is no `{shown}`; this command needs `lakebed.toml`: run it in the folder that has it, or name another file with --config"
        )),
        _ => Error::config(format!("cannot read `{shown}`: {e}; make it a readable text file, or name another with --config")),
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    load(&text, base, &|name| std::env::var(name).ok()).map_err(|e| Error::config(format!("{shown}: {e}")))
}

/// Resolves the text of a `lakebed.toml` that lies in the folder `base`; `env` gives the values of `${NAME}`.
///
/// # Errors
/// `Config`, naming the key or the table, and what is allowed there.
pub fn load(text: &str, base: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config> {
    resolve::config(keys::read(text, env)?, base)
}

/// A whole `lakebed.toml`, resolved.
#[derive(Debug, Clone)]
pub struct Config {
    /// Settings of the lake.
    pub lake: Lake,
    /// The managed tables, in the file's order.
    pub tables: Vec<TableConfig>,
    /// How Athena is asked.
    pub athena: AthenaConfig,
    /// `events.bus`: the bus of EventBridge that events are sent to, by name or ARN; without one they are only logged.
    pub bus: Option<String>,
}

/// `[athena]`.
#[derive(Debug, Clone)]
pub struct AthenaConfig {
    /// The workgroup that queries run in.
    pub workgroup: String,
    /// Where Athena writes results; without it the workgroup says so.
    pub output: Option<Location>,
}

impl Config {
    /// The tables that a command is about: the one named, or all.
    ///
    /// # Errors
    /// `Config` if there is no table of that name.
    pub fn tables(&self, name: Option<&str>) -> Result<Vec<&TableConfig>> {
        let Some(name) = name else { return Ok(self.tables.iter().collect()) };
        if let Some(table) = self.tables.iter().find(|table| table.name.to_string() == name) {
            return Ok(vec![table]);
        }
        let known: Vec<_> = self.tables.iter().map(|table| table.name.to_string()).collect();
        let meant = nearest(name, known.iter().map(String::as_str)).map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
        Err(Error::config(format!("there is no table `{name}` in the configuration; {meant}it has {}", known.join(", "))))
    }
}

/// `[lake]`.
#[derive(Debug, Clone)]
pub struct Lake {
    /// Where ledgers, queue, quarantine and the embedded catalog are.
    pub state: Location,
    /// Which catalog the tables are registered in.
    pub catalog: CatalogKind,
    /// Hard cap for buffers, bytes.
    pub memory: u64,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// How long a retired generation stays.
    pub grace: TimeDelta,
    /// The KMS key of objects that are written to buckets; without one the bucket's own encryption counts.
    pub kms_key: Option<String>,
}

/// `catalog = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogKind {
    /// The embedded catalog, `catalog.db` in the state folder.
    Local,
    /// The AWS Glue Data Catalog of the account and region that AWS's tools are configured with.
    Glue,
}

/// `[[table]]`.
#[derive(Debug, Clone)]
pub struct TableConfig {
    /// `database.name`.
    pub name: TableName,
    /// The prefix that Firehose writes to.
    pub landing: Location,
    /// Firehose's prefix expression, below `landing`.
    pub prefix: Prefix,
    /// Firehose's error prefix expression; what lies there is never data.
    pub error_prefix: Option<Prefix>,
    /// The stream's CustomTimeZone: the zone of the time in paths and names.
    pub timezone: Tz,
    /// What an object holds.
    pub format: Format,
    /// The records are in this array of each document.
    pub unwrap: Option<String>,
    /// The table's root.
    pub location: Location,
    /// The folder with the table's migrations.
    pub migrations: PathBuf,
    /// Partition keys and the expression that gives each its value, in path order.
    pub partition_by: Vec<(String, Prefix)>,
    /// The timestamp column, or the field of a struct column, whose UTC hour is that of the row; without one it is the arrival hour.
    pub time: Option<String>,
    /// How long after its end an hour closes.
    pub close_after: TimeDelta,
    /// How far back a run looks for landed objects.
    pub lookback: TimeDelta,
    /// Firehose's own cadence; a longer gap between objects is reported.
    pub expect_every: Option<TimeDelta>,
    /// Who reads the table.
    pub consumers: BTreeSet<Consumer>,
    /// Unknown fields.
    pub new_columns: NewColumns,
    /// Merge settings.
    pub merge: Merge,
    /// Rules by column name.
    pub rules: BTreeMap<String, ColumnRules>,
    /// Share of a landed object's records that may be quarantined; above it the whole object is set aside. 0 to 1.
    pub max_ratio: f64,
    /// What the quarantine keeps of a record's bytes.
    pub keep_raw: KeepRaw,
}

impl TableConfig {
    /// True if a row's own values decide which partition it belongs to, so that one object may feed several.
    pub fn scatters(&self) -> bool {
        self.time.is_some() || self.partition_by.iter().any(|(_, value)| !value.columns().is_empty())
    }
}

/// One of `consumers = […]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consumer {
    /// Amazon Athena.
    Athena,
    /// Amazon QuickSight, through Athena.
    QuickSight,
    /// Redshift Spectrum: no Zstandard, fewer schema changes.
    Spectrum,
}

/// `format = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON documents, concatenated or delimited.
    Json,
    /// Snowplow's enriched events, a line each.
    SnowplowTsv,
    /// Envelopes of CloudWatch Logs, with log events in them.
    CloudwatchLogs,
    /// Parquet objects only, as Firehose's record format conversion writes them.
    Parquet,
}

/// `[table.evolution] new_columns = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewColumns {
    /// Into the map column `rescued`, as JSON text.
    Rescue,
    /// Left out.
    Ignore,
    /// The record is quarantined.
    Reject,
}

/// `[table.merge]`.
#[derive(Debug, Clone)]
pub struct Merge {
    /// A merged file is closed once it has about this many bytes.
    pub target_file_size: u64,
    /// A row group is closed once it has about this many bytes, encoded.
    pub row_group_size: u64,
    /// Columns that the rows of a partition are ordered by.
    pub sort_by: Vec<String>,
    /// Columns that say that two rows are the same event; the first one stays.
    pub deduplicate_by: Vec<String>,
    /// Parquet codec.
    pub compression: Compression,
}

/// `compression = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard: the default.
    Zstd,
    /// Snappy, which Redshift Spectrum documents.
    Snappy,
}

/// `[table.columns.<name>]`.
#[derive(Debug, Clone, Default)]
pub struct ColumnRules {
    /// Another place in the record: keys from the top.
    pub from: Option<Vec<String>>,
    /// Null and missing are refused.
    pub required: bool,
    /// Smallest value, inclusive, of a numeric column.
    pub min: Option<f64>,
    /// Largest value, inclusive, of a numeric column.
    pub max: Option<f64>,
    /// What a text must match somewhere; anchor it with `^` and `$` for the whole.
    pub pattern: Option<Regex>,
    /// The only texts or numbers (as text) allowed.
    pub allowed: Option<Vec<String>>,
    /// Most characters of a text.
    pub max_length: Option<usize>,
    /// What happens to a value that breaks a rule.
    pub on_fail: OnFail,
    /// What stands in the table in place of the value.
    pub privacy: Option<Privacy>,
}

/// `on_fail = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    /// The record goes to the quarantine.
    #[default]
    Quarantine,
    /// The value becomes null.
    Null,
    /// The value stays and is counted.
    Warn,
}

/// `privacy = "…"`: what a value becomes once its rules were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Privacy {
    /// Null.
    Drop,
    /// A fixed text.
    Redact,
    /// The address of a network: IPv4 to 24 bits, IPv6 to 48.
    TruncateIp,
    /// HMAC-SHA256 under this key, as lower-case hexadecimal digits.
    HmacSha256(HmacKey),
}

/// The name of the rule that makes HMACs.
pub const HMAC: &str = "hmac-sha256";

impl Privacy {
    /// As it is written in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Redact => "redact",
            Self::TruncateIp => "truncate-ip",
            Self::HmacSha256(_) => HMAC,
        }
    }
}

/// `[table.quarantine] keep_raw = …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepRaw {
    /// All bytes, those of private values too.
    Whole,
    /// The bytes with `null` in place of private values; nothing where these cannot be told from the others.
    Redacted,
    /// No bytes.
    Never,
}

#[cfg(test)]
mod tests;
