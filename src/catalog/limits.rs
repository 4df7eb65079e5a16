//! What the Glue Data Catalog refuses, refused before it is asked: the embedded catalog holds nothing that Glue would not.

use super::{Partition, Table};
use crate::error::{Error, Result};
use crate::schema::Column;

/// Longest partition value, in bytes: the limit of Glue's `PartitionValueList` members.
const MAX_VALUE_BYTES: usize = 1024;

/// Longest name of a database or table: Glue's limit.
const MAX_NAME_BYTES: usize = 255;

/// Glue folds names to lower case and Athena reads only `[a-z0-9_]`; a name that would change is refused.
///
/// # Errors
/// `Config`, naming the name.
pub fn check_name(what: &str, name: &str) -> Result<()> {
    let plain = name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if plain && (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    Err(Error::config(format!("{what} name `{name}` is not allowed; use 1 to {MAX_NAME_BYTES} of the characters a-z, 0-9 and _")))
}

/// A table's names, and that no column is a partition key too.
///
/// # Errors
/// `Config`, naming the table.
pub fn check_table(table: &Table) -> Result<()> {
    check_name("database", &table.name.database)?;
    check_name("table", &table.name.name)?;
    match key_among(&table.partition_keys, &table.columns) {
        None => Ok(()),
        Some(key) => Err(Error::config(format!("table {} has `{key}` as a column and as a partition key; keep one of them", table.name))),
    }
}

/// A partition of `table`: its values, and that it lists no key among its columns. The error is the text of an entry error.
///
/// # Errors
/// What is wrong with it.
pub fn check_partition(table: &Table, partition: &Partition) -> Result<(), String> {
    let (given, keys) = (partition.values.len(), table.partition_keys.len());
    if given != keys {
        return Err(format!("table {} has {keys} partition keys, the partition {given} values; give one value a key", table.name));
    }
    for (key, value) in table.partition_keys.iter().zip(&partition.values) {
        if value.is_empty() || value.len() > MAX_VALUE_BYTES {
            let bytes = value.len();
            return Err(format!("value of partition key `{}` has {bytes} bytes; it must have 1 to {MAX_VALUE_BYTES}", key.name));
        }
    }
    match key_among(&table.partition_keys, &partition.columns) {
        None => Ok(()),
        Some(key) => Err(format!("partition lists its key `{key}` among its columns; leave the key out")),
    }
}

/// With partition projection Athena makes partitions up from the table's properties and does not look at those that are registered, so it
/// would not find a generation.
///
/// # Errors
/// `Config` if the table has it.
pub fn check_registered(table: &Table) -> Result<()> {
    match table.parameters.get("projection.enabled") {
        Some(value) if value.eq_ignore_ascii_case("true") => Err(Error::config(format!(
            "table {name} has projection.enabled = true: Athena then makes its partitions up and ignores those that are registered, so it \
             would not find the live files; run ALTER TABLE {name} SET TBLPROPERTIES ('projection.enabled' = 'false') in Athena",
            name = table.name
        ))),
        _ => Ok(()),
    }
}

fn key_among<'a>(keys: &'a [Column], columns: &[Column]) -> Option<&'a str> {
    let listed = |key: &&Column| columns.iter().any(|column| column.name.eq_ignore_ascii_case(&key.name));
    keys.iter().find(listed).map(|key| key.name.as_str())
}
