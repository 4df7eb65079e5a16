//! What a run did with one partition.

use serde::Serialize;

use super::{Planned, counted};
use crate::catalog::TableName;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;

/// What happened to one partition.
#[derive(Debug, Serialize)]
pub struct PartitionDone {
    /// Keys and values, in path order.
    pub values: serde_json::Map<String, serde_json::Value>,
    /// Keys and values as a path.
    #[serde(skip)]
    partition: String,
    /// Of a dry run: why its objects are taken.
    #[serde(skip)]
    pub(super) why: String,
    /// `created`, `amended`, `merged by another run`; of a dry run `would create`, `would amend`.
    pub action: &'static str,
    /// The live generation.
    pub generation: Option<String>,
    /// The ledger version.
    pub ledger_version: Option<u64>,
    /// Rows in it.
    pub rows: u64,
    /// Its files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Every landed object that is known is wholly in it.
    pub complete: bool,
    /// Landed objects that this run merged, or would.
    pub objects: usize,
}

impl PartitionDone {
    /// What the partition's version says, if it has one.
    pub(super) fn of(partition: &PartitionId, version: Option<&LedgerVersion>, action: &'static str, objects: usize) -> Self {
        Self {
            values: partition.entries().iter().map(|entry| (entry.key.clone(), entry.value.clone().into())).collect(),
            partition: partition.to_string(),
            why: String::new(),
            action,
            generation: version.map(|version| version.generation.id.to_string()),
            ledger_version: version.map(|version| version.version),
            rows: version.map_or(0, |version| version.generation.rows()),
            files: version.map_or(0, |version| version.generation.files.len()),
            bytes: version.map_or(0, |version| version.generation.bytes()),
            complete: version.is_some_and(LedgerVersion::complete),
            objects,
        }
    }

    /// It for people, appended to a text; of a dry run with what is planned for its live files.
    pub(super) fn write(&self, table: &TableName, plan: Option<&Planned>, text: &mut String) {
        let Self { partition, why, action, rows, files, bytes, objects, .. } = self;
        if let Some(plan) = plan {
            text.push_str(&format!("{table}: {action} {partition} from {} ({why})\n", counted(*objects as u64, "object")));
            plan.file_lines(partition).iter().for_each(|line| text.push_str(&format!("{table}:   {line}\n")));
            return;
        }
        let incomplete = if self.complete { "" } else { ", incomplete" };
        text.push_str(&format!(
            "{table}: {action} {partition}: {} in {}, {bytes} bytes{incomplete}\n",
            counted(*rows, "row"),
            counted(*files as u64, "file")
        ));
    }
}
