//! What a sweep removed, as a value: the JSON document of `sweep --output json`, and the lines that people read.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::catalog::TableName;
use crate::error::Kind as ErrorKind;
use crate::store::cleaning::Freeing;
use crate::summary::Failure;
use crate::words::counted;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A generation that was live once, past its grace.
    Retired,
    /// A generation that an attempt wrote and did not commit.
    Orphan,
    /// A file on the way to a ledger version or a note, a probe or a spill folder of a dead attempt.
    Unfinished,
    /// A staged file whose object is merged.
    Staged,
    /// A file with rows that a redrive moved and every partition has, or what says that it moves some.
    Redriven,
    /// An upload in parts of a dead attempt. Its bytes are not known.
    Upload,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Retired => "retired generation",
            Self::Orphan => "generation of a dead attempt",
            Self::Unfinished => "file of a dead attempt",
            Self::Staged => "staged file",
            Self::Redriven => "what a redrive moved",
            Self::Upload => "unfinished upload",
        })
    }
}

/// Something that was removed, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// What it is.
    pub kind: Kind,
    /// The table; none for what is of no table.
    pub table: Option<TableName>,
    /// The partition, as a path, if it is of one.
    pub partition: Option<String>,
    /// Its URL; that of a folder ends in a slash.
    pub location: String,
    /// Bytes that are free then: those of files that have another name, such as in the live generation, are not.
    pub bytes: u64,
}

/// A whole sweep.
#[derive(Debug, Serialize)]
pub struct SweepSummary {
    /// ULID of the run.
    pub run: String,
    /// Nothing was removed, only looked for.
    pub dry_run: bool,
    /// The bytes that are free now, or would be.
    pub freed_bytes: u64,
    /// What was removed, or would be.
    pub removed: Vec<Removed>,
    /// What people should know although nothing failed.
    pub warnings: Vec<String>,
    /// What failed; the next sweep tries it again.
    pub failures: Vec<Failure>,
    /// What is free once more is gone.
    #[serde(skip)]
    pub freeing: Freeing,
}

impl SweepSummary {
    /// A sweep that has done nothing yet.
    pub fn new(run: String, dry_run: bool) -> Self {
        Self {
            run,
            dry_run,
            freed_bytes: 0,
            removed: Vec::new(),
            warnings: Vec::new(),
            failures: Vec::new(),
            freeing: Freeing::new(dry_run),
        }
    }

    /// Enters something that was removed, or would be.
    pub fn enter(&mut self, removed: Removed) {
        self.freed_bytes += removed.bytes;
        self.removed.push(removed);
    }

    /// The exit code: 0 done, 1 failed, 2 wrong configuration, 3 some of it done and some not.
    pub fn exit_code(&self) -> u8 {
        if self.failures.is_empty() {
            0
        } else if !self.removed.is_empty() {
            3
        } else if self.failures.iter().all(|failure| failure.kind() == ErrorKind::Config) {
            2
        } else {
            1
        }
    }

    /// The summary for people.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut kinds: BTreeMap<Kind, (usize, u64)> = BTreeMap::new();
        let verb = if self.dry_run { "would remove" } else { "removed" };
        for Removed { kind, location, bytes, .. } in &self.removed {
            text.push_str(&format!("{verb} {kind} {location}, {}\n", counted(*bytes, "byte")));
            let (count, sum) = kinds.entry(*kind).or_default();
            (*count, *sum) = (*count + 1, *sum + bytes);
        }
        let kinds: Vec<String> =
            kinds.iter().map(|(kind, (count, bytes))| format!("{kind}: {count}, {}", counted(*bytes, "byte"))).collect();
        let freed = counted(self.freed_bytes, "byte");
        text.push_str(&match (kinds.is_empty(), self.dry_run) {
            (true, _) => "nothing to remove\n".to_string(),
            (false, true) => format!("would free {freed} ({})\n", kinds.join("; ")),
            (false, false) => format!("freed {freed} ({})\n", kinds.join("; ")),
        });
        self.warnings.iter().for_each(|warning| text.push_str(&format!("{warning}\n")));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn the_text_sums_up_by_kind_and_a_failure_beside_something_done_is_a_partial_one() {
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let mut summary = SweepSummary::new("01J".into(), true);
        assert_eq!((summary.to_text().as_str(), summary.exit_code()), ("nothing to remove\n", 0));
        summary.failures.push(Failure::new(&name, None, &Error::unavailable("no")));
        assert_eq!(summary.exit_code(), 1);
        summary.failures[0] = Failure::new(&name, None, &Error::config("no"));
        assert_eq!(summary.exit_code(), 2);
        for (kind, bytes) in [(Kind::Retired, 5), (Kind::Orphan, 1), (Kind::Retired, 6)] {
            summary.enter(Removed { kind, table: None, partition: None, location: "file:///x/".into(), bytes });
        }
        let text = summary.to_text();
        assert!(text.starts_with("would remove retired generation file:///x/, 5 bytes\n"), "{text}");
        let sum = "would free 12 bytes (retired generation: 2, 11 bytes; generation of a dead attempt: 1, 1 byte)\n";
        assert!(text.ends_with(sum), "{text}");
        assert_eq!(summary.exit_code(), 3);
    }
}
