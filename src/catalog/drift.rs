//! What somebody else changed in the catalog: columns against those that were made, a partition against what its ledger says.

use std::fmt;

use super::{FileFormat, Partition, Table, TableName};
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

/// The ledger version that a partition in the catalog says it shows.
pub fn shown(partition: &Partition) -> Option<u64> {
    partition.parameters.get(LEDGER_VERSION).and_then(|text| text.parse().ok())
}

/// What on a partition was changed by something else than lakebed, a sentence each; nothing if nothing was. `wanted` is what the ledger
/// version says that the partition shows, be it the newest or not; where there is none such, what the newest says.
///
/// A writer of lakebed writes a whole entry at once. So what carries a version's number and says something else than that version, or
/// carries none, is nobody's of lakebed. A parameter that is missing beside the version is not told: an older lakebed did not write it.
pub fn changed_by_others(wanted: &Partition, there: &Partition) -> Vec<String> {
    let mut changes = Vec::new();
    match shown(there) {
        None => changes.push(format!("it has no {LEDGER_VERSION}")),
        Some(found) if shown(wanted) != Some(found) => {
            changes.push(format!("its {LEDGER_VERSION} is {found}, which its ledger does not have"))
        }
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

/// Why a tool that drops the table would remove its files, too. Tables of lakebed are made as external ones: `TableType` and a parameter
/// say so, and where they differ, Hive and Spark go by either.
pub fn not_external(table: &Table) -> Option<String> {
    let parameter = table.parameters.get("EXTERNAL");
    let what = match parameter {
        _ if !table.external => "it is a MANAGED_TABLE".to_string(),
        Some(value) if value.eq_ignore_ascii_case("true") => return None,
        Some(value) => format!("its parameter EXTERNAL is `{value}` instead of `TRUE`"),
        None => "its parameter EXTERNAL is gone".to_string(),
    };
    Some(format!("{what}, whose files are removed with it when Hive or Spark drops it"))
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
    fn a_version_that_the_ledger_does_not_have_is_told() {
        check_partition(
            |p| drop(p.parameters.insert(LEDGER_VERSION.into(), "3".into())),
            "its lakebed.ledger_version is 3, which its ledger does not have",
        );
    }

    #[test]
    fn a_table_whose_files_go_with_it_is_told() {
        let check = |external: bool, parameter: Option<&str>, says: &str| {
            let parameters = parameter.map(|value| ("EXTERNAL".to_string(), value.to_string())).into_iter().collect();
            let name = TableName { database: "shop".into(), name: "clicks".into() };
            let (location, format) = ("s3://lake/".to_string(), FileFormat::Parquet);
            let table = Table { name, columns: vec![], partition_keys: vec![], location, format, external, parameters, version: 1 };
            let told = not_external(&table).unwrap_or_default();
            assert!(told.starts_with(says) && told.is_empty() == says.is_empty(), "{told}");
        };
        check(true, Some("TRUE"), "");
        check(true, Some("true"), "");
        check(true, Some("FALSE"), "its parameter EXTERNAL is `FALSE` instead of `TRUE`, whose files");
        check(true, None, "its parameter EXTERNAL is gone");
        check(false, Some("TRUE"), "it is a MANAGED_TABLE");
    }
}
