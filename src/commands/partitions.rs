//! `lakebed partitions`: what the ledgers say of each partition, and whether the catalog agrees.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{print, print_json};
use crate::app::App;
use crate::catalog::filter::Filter;
use crate::catalog::{Partition, Table};
use crate::cli::{Output, PartitionsArgs};
use crate::error::{Error, Result};
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;

/// One partition, as `--output json` shows it.
#[derive(Debug, Serialize, PartialEq)]
struct Line {
    values: Map<String, Value>,
    location: String,
    generation: Option<String>,
    ledger_version: Option<u64>,
    rows: Option<u64>,
    files: Option<usize>,
    bytes: Option<u64>,
    /// `closed`, `amended(n)`; `foreign` for a partition that no ledger knows.
    state: String,
    /// The catalog has the partition with this location.
    in_catalog: bool,
}

/// Shows the partitions of one table.
///
/// # Errors
/// `Config` if there is no such table; those of ledgers and catalog.
pub async fn run(app: &App, args: &PartitionsArgs, output: Output) -> Result<u8> {
    let config = app.config.tables(Some(&args.table))?[0];
    let mut heads = app.ledgers.heads(&config.name).await?;
    heads.retain(|head| !head.is_void());
    let Some(table) = app.catalog.table(&config.name).await? else {
        return Err(Error::config(format!("table {} is not in the catalog yet; the first `lakebed run` creates it", config.name)));
    };
    let registered = app.catalog.partitions(&config.name, &Filter::all()).await?;
    let lines = lines(&table, &heads, &registered);
    match output {
        Output::Json => print_json(&lines)?,
        Output::Text => print(&text(&lines))?,
    }
    Ok(0)
}

fn lines(table: &Table, heads: &[LedgerVersion], registered: &[Partition]) -> Vec<Line> {
    let mut catalog: BTreeMap<_, _> = registered.iter().map(|partition| (partition.values.clone(), partition)).collect();
    let mut lines: Vec<Line> = heads.iter().map(|head| of_ledger(head, catalog.remove(&head.partition.values()))).collect();
    lines.extend(catalog.into_values().map(|partition| foreign(table, partition)));
    lines
}

impl Line {
    /// Keys and values as people write them.
    fn path(&self) -> String {
        let entries = self.values.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
        entries.collect::<Vec<_>>().join("/")
    }
}

fn named(partition: &PartitionId) -> Map<String, Value> {
    partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect()
}

fn of_ledger(head: &LedgerVersion, registered: Option<&Partition>) -> Line {
    let generation = &head.generation;
    Line {
        values: named(&head.partition),
        location: generation.location.clone(),
        generation: Some(generation.id.to_string()),
        ledger_version: Some(head.version),
        rows: Some(generation.rows()),
        files: Some(generation.files.len()),
        bytes: Some(generation.bytes()),
        state: head.state(),
        in_catalog: registered.is_some_and(|partition| partition.location == generation.location),
    }
}

fn foreign(table: &Table, partition: &Partition) -> Line {
    let keys = table.partition_keys.iter().map(|key| key.name.clone());
    let values = PartitionId::new(keys.zip(partition.values.iter().cloned()));
    Line {
        values: named(&values),
        location: partition.location.clone(),
        generation: None,
        ledger_version: None,
        rows: None,
        files: None,
        bytes: None,
        state: "foreign".to_string(),
        in_catalog: true,
    }
}

fn text(lines: &[Line]) -> String {
    if lines.is_empty() {
        return "no partitions yet\n".to_string();
    }
    let number = |value: Option<u64>| value.map_or_else(|| "-".to_string(), |value| value.to_string());
    let width = lines.iter().map(|line| line.path().chars().count()).max().unwrap_or(0);
    let mut text =
        format!("{:<width$} {:<12} {:>7} {:>12} {:>6} {:>14}  catalog\n", "partition", "state", "version", "rows", "files", "bytes");
    for line in lines {
        let catalog = match (line.ledger_version, line.in_catalog) {
            (None, _) => "no ledger knows it: readers see it beside lakebed's",
            (Some(_), true) => "in step",
            (Some(_), false) => "behind: the next run registers it",
        };
        text.push_str(&format!(
            "{:<width$} {:<12} {:>7} {:>12} {:>6} {:>14}  {catalog}\n",
            line.path(),
            line.state,
            number(line.ledger_version),
            number(line.rows),
            number(line.files.map(|files| files as u64)),
            number(line.bytes),
        ));
    }
    text
}
