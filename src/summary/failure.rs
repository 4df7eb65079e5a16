//! What failed in a run.

use serde::Serialize;

use crate::catalog::TableName;
use crate::error::{Error, Kind};
use crate::failing::{Record, Standing};
use crate::hour::Hour;
use crate::layout::PartitionId;

/// Something that failed.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// The table.
    pub table: TableName,
    /// The partition, if it is about one.
    pub partition: Option<String>,
    /// What happened and what to do.
    pub error: String,
    /// How long an hour has been failing, if merging it does.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    failing: Option<Standing>,
    #[serde(skip)]
    kind: Kind,
    /// The first hour that a run has to look at to try it at once, for people who need to know.
    #[serde(skip)]
    since: Option<Hour>,
    /// Others were told of it by an earlier run.
    #[serde(skip)]
    told: bool,
}

impl Failure {
    /// A failure of a table or of one of its partitions.
    pub fn new(table: &TableName, partition: Option<&PartitionId>, error: &Error) -> Self {
        let (table, partition, error, kind) = (table.clone(), partition.map(ToString::to_string), error.to_string(), error.kind());
        Self { table, partition, error, failing: None, kind, since: None, told: false }
    }

    /// An hour that failed before and is not tried by this run.
    pub fn waiting(table: &TableName, known: &Record) -> Self {
        let reason = Error::new(known.kind, format!("{}; not tried by this run", known.reason));
        Self::new(table, Some(&known.partition), &reason).known(known)
    }

    /// The same, with what is known of the hour's failures.
    pub fn known(self, known: &Record) -> Self {
        // The run after the first failure tries again in any case.
        let since = (known.attempts > 1).then_some(known.hour);
        Self { failing: Some(known.standing()), since, told: known.told, ..self }
    }

    /// True if it is about this partition.
    pub fn is_of(&self, table: &TableName, partition: &PartitionId) -> bool {
        self.table == *table && self.partition.as_ref().is_some_and(|own| *own == partition.to_string())
    }

    /// True if others were told of it by an earlier run.
    pub fn was_told(&self) -> bool {
        self.told
    }

    /// What the caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// It for people, in one line.
    pub fn line(&self) -> String {
        let place = self.partition.as_ref().map_or_else(String::new, |partition| format!(" {partition}"));
        let standing = match (&self.failing, self.since) {
            (Some(failing), Some(since)) => format!(" ({}; `lakebed run --since {since}` tries at once)", failing.to_text()),
            _ => String::new(),
        };
        match self.partition {
            // What concerns a whole table begins with its name already where that matters.
            None if self.error.starts_with(&self.table.to_string()) => self.error.clone(),
            _ => format!("{}{place}: {}{standing}", self.table, self.error),
        }
    }
}
