//! A table's schema: Hive column types, their text, their Arrow form, and the DDL they come from.

pub mod ddl;
pub mod hive;
pub mod infer;
#[cfg(test)]
pub(crate) mod testing;

pub use hive::HiveType;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One column, as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Lower case, `[a-z0-9_]`.
    pub name: String,
    /// The Hive type; its text form is what the catalog stores.
    #[serde(rename = "type")]
    pub hive: HiveType,
    /// One line, at most 255 characters (Glue's limit).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The columns of a table: those in its files, and the partition keys that are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema {
    /// Columns that the files hold, in the table's order.
    pub columns: Vec<Column>,
    /// Partition keys, in path order.
    pub partition_keys: Vec<Column>,
}

impl TableSchema {
    /// The Arrow schema of the table's files: all columns can be null, partition keys are not among them.
    pub fn arrow(&self) -> SchemaRef {
        arrow_schema(&self.columns)
    }

    /// Where among `columns` the one of that (lower case) name is.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }
}

/// The Arrow schema of files that hold these columns; all of them can be null.
pub fn arrow_schema(columns: &[Column]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|c| Field::new(&c.name, c.hive.arrow_type(), true)).collect::<Vec<_>>()))
}

/// What tells two lists of columns apart: the first 16 hexadecimal digits of the SHA-256 of one line a column, `name type` and a
/// line feed, in order. Comments do not count. Ledgers and staged files keep it, so it must never change.
pub fn fingerprint(columns: &[Column]) -> String {
    let mut hash = Sha256::new();
    for column in columns {
        hash.update(format!("{} {}\n", column.name, column.hive));
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// True for names that Glue, Athena and Hive all take without quoting or folding: 1 to 255 of `[a-z0-9_]`.
pub fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::*;

    fn columns(list: &[(&str, &str)]) -> Vec<Column> {
        let column = |(name, text): &(&str, &str)| Column { name: name.to_string(), hive: HiveType::parse(text).unwrap(), comment: None };
        list.iter().map(column).collect()
    }

    #[test]
    fn the_arrow_schema_has_the_files_columns_only() {
        let schema =
            TableSchema { columns: columns(&[("id", "bigint"), ("name", "string")]), partition_keys: columns(&[("day", "string")]) };
        let arrow = schema.arrow();
        assert_eq!(arrow.fields().len(), 2);
        assert_eq!(arrow.field(0), &Field::new("id", DataType::Int64, true));
        assert_eq!(schema.column_index("name"), Some(1));
        assert_eq!(schema.column_index("day"), None);
    }

    #[test]
    fn the_fingerprint_is_of_names_types_and_order_and_never_changes() {
        let list = [("id", "bigint"), ("rescued", "map<string,string>")];
        let mut some = columns(&list);
        // printf 'id bigint\nrescued map<string,string>\n' | sha256sum
        assert_eq!(fingerprint(&some), "e0c41080ca8e4124");
        some[0].comment = Some("the event".into());
        assert_eq!(fingerprint(&some), "e0c41080ca8e4124");
        some.reverse();
        assert_ne!(fingerprint(&some), "e0c41080ca8e4124");
        assert_eq!(fingerprint(&[]), "e3b0c44298fc1c14");
    }
}
