//! What somebody else changed in the catalog: columns against those that were made, a partition against what its ledger says.

use std::fmt;

use super::{FileFormat, Partition, TableName};
use crate::layout::PartitionId;
use crate::schema::Column;

/// The partition parameter with the number of the ledger version that the partition shows.
pub const LEDGER_VERSION: &str = "lakebed.ledger_version";

/// How columns in the catalog differ from those that were made. Comments do not count.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ColumnDrift {
    /// New ones behind all others: files without them read as before.
    pub appended: Vec<Column>,
    /// Everything else, a sentence each: gone, of another type, new between others, in another order.
    pub other: Vec<String>,
}

/// Compares the columns that were `made` with those that are there.
pub fn column_drift(made: &[Column], there: &[Column]) -> ColumnDrift {
    let mut drift = ColumnDrift::default();
    for column in made {
        match there.iter().find(|other| other.name == column.name) {
            None => drift.other.push(format!("column {} is gone", told(column))),
            Some(other) if other.hive != column.hive => {
                drift.other.push(format!("column {} is {} instead of {}", column.name, other.hive, column.hive));
            }
            Some(_) => {}
        }
    }
    let is_made = |column: &Column| made.iter().any(|other| other.name == column.name);
    let end = there.iter().rposition(is_made).map_or(0, |last| last + 1);
    let between = there[..end].iter().filter(|column| !is_made(column));
    drift.other.extend(between.map(|column| format!("column {} is new and not behind all others", told(column))));
    drift.appended = there[end..].to_vec();
    let names = |columns: &[Column]| columns.iter().map(|column| column.name.clone()).collect::<Vec<_>>();
    if drift.other.is_empty() && names(made) != names(&there[..end]) {
        drift.other.push("the columns are in another order".to_string());
    }
    drift
}

/// A column as DDL has it: `n bigint`.
pub fn told(column: &Column) -> String {
    format!("{} {}", column.name, column.hive)
}

/// What on a partition was changed by something else than lakebed, a sentence each; nothing if nothing was.
///
/// A writer of lakebed writes a whole entry at once. So an entry with another version's number is that version's: an older one that is
/// not replaced yet, or a newer one of a run that was faster. Only what carries this version's number and says something else, or
/// carries none, is nobody's of lakebed. A parameter that is missing beside the version is not told: an older lakebed did not write it.
pub fn changed_by_others(wanted: &Partition, there: &Partition) -> Vec<String> {
    let version = |partition: &Partition| partition.parameters.get(LEDGER_VERSION).and_then(|text| text.parse::<u64>().ok());
    let mut changes = Vec::new();
    match version(there) {
        None => changes.push(format!("it has no {LEDGER_VERSION}")),
        found if found != version(wanted) => return changes,
        Some(_) => {}
    }
    if there.location != wanted.location {
        changes.push(format!("its location is {} instead of {}", there.location, wanted.location));
    }
    if let FileFormat::Other(format) = &there.format {
        changes.push(format!("its files are said to be {format} instead of Parquet"));
    }
    let drift = column_drift(&wanted.columns, &there.columns);
    changes.extend(drift.appended.iter().map(|column| format!("column {} is new", told(column))));
    changes.extend(drift.other);
    for (key, value) in &wanted.parameters {
        if let Some(found) = there.parameters.get(key).filter(|found| *found != value && *key != LEDGER_VERSION) {
            changes.push(format!("{key} is `{found}` instead of `{value}`"));
        }
    }
    changes
}

/// A partition of a table of lakebed that something else changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChange {
    /// The table, or its quarantine.
    pub table: TableName,
    /// The partition.
    pub partition: PartitionId,
    /// What was changed and to what, a sentence each.
    pub changes: Vec<String>,
}

impl fmt::Display for ForeignChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {} of {} was changed by something else than lakebed: {}", self.partition, self.table, self.changes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Parameters;
    use crate::schema::HiveType::{BigInt, Double, String as Text};

    fn columns(names: &str) -> Vec<Column> {
        let column = |text: &str| {
            let (name, hive) = text.split_once(' ').unwrap_or((text, "bigint"));
            let hive = if hive == "string" {
                Text
            } else if hive == "double" {
                Double
            } else {
                BigInt
            };
            Column { name: name.to_string(), hive, comment: None }
        };
        names.split(", ").map(column).collect()
    }

    #[track_caller]
    fn check(there: &str, appended: &str, other: &str) {
        let drift = column_drift(&columns("a, b string"), &columns(there));
        assert_eq!(drift.appended.iter().map(told).collect::<Vec<_>>().join(", "), appended);
        assert_eq!(drift.other.join(", "), other);
    }

    #[test]
    fn columns_that_somebody_changed_are_told_one_by_one() {
        check("a, b string", "", "");
        check("a, b string, c, d string", "c bigint, d string", "");
        check("a, b", "", "column b is bigint instead of string");
        check("a", "", "column b string is gone");
        check("b string, a", "", "the columns are in another order");
        check("a, c, b string", "", "column c bigint is new and not behind all others");
        check("a string, c", "c bigint", "column a is string instead of bigint, column b string is gone");
        check("c", "c bigint", "column a bigint is gone, column b string is gone");
    }

    fn partition() -> Partition {
        let parameters = [(LEDGER_VERSION, "2"), ("lakebed.rows", "10")].map(|(key, value)| (key.to_string(), value.to_string()));
        Partition {
            values: vec!["14".into()],
            location: "s3://lake/g2/".into(),
            columns: columns("a, b string"),
            format: FileFormat::Parquet,
            parameters: parameters.into(),
        }
    }

    #[track_caller]
    fn check_partition(change: impl FnOnce(&mut Partition), expected: &str) {
        let mut there = partition();
        change(&mut there);
        assert_eq!(changed_by_others(&partition(), &there).join(", "), expected);
    }

    #[test]
    fn what_somebody_changed_on_a_partition_is_told() {
        check_partition(|_| {}, "");
        check_partition(|p| p.location = "s3://x/".into(), "its location is s3://x/ instead of s3://lake/g2/");
        check_partition(
            |p| p.columns = columns("a double, c"),
            "column c bigint is new, column a is double instead of bigint, column b string is gone",
        );
        check_partition(|p| p.columns[0].comment = Some("x".into()), "");
        check_partition(|p| p.format = FileFormat::Other("ORC".into()), "its files are said to be ORC instead of Parquet");
        check_partition(|p| drop(p.parameters.insert("lakebed.rows".into(), "9".into())), "lakebed.rows is `9` instead of `10`");
        check_partition(|p| drop(p.parameters.insert("owner".into(), "shop".into())), "");
        check_partition(|p| p.parameters = Parameters::new(), "it has no lakebed.ledger_version");
        check_partition(|p| drop(p.parameters.insert(LEDGER_VERSION.into(), "two".into())), "it has no lakebed.ledger_version");
    }

    #[test]
    fn another_version_is_a_writer_of_lakebed_that_was_faster_or_slower() {
        for version in ["1", "3"] {
            check_partition(
                |p| {
                    p.parameters.insert(LEDGER_VERSION.into(), version.into());
                    p.location = "s3://lake/g/".into();
                },
                "",
            );
        }
    }
}
