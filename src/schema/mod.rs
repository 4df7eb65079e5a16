//! A table's schema: Hive column types, their text, their Arrow form, and the DDL they come from.

pub mod ddl;
pub mod hive;

pub use hive::HiveType;

use serde::{Deserialize, Serialize};

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
