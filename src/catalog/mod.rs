//! The catalog port: databases, tables and partitions as Glue knows them, and the values that travel through it.

pub mod drift;
pub mod filter;
pub mod glue;
pub mod limits;
pub mod local;
pub(crate) mod pace;
pub mod reconcile;

use std::collections::BTreeMap;

use async_trait::async_trait;

use self::filter::Filter;
use crate::error::{Error, Kind, Result};
use crate::schema::{Column, is_name};

/// Free-form text properties of a table or partition.
pub type Parameters = BTreeMap<String, String>;

/// A table's two-part name, `database.name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    /// Database, lower case.
    pub database: String,
    /// Table, lower case.
    pub name: String,
}

/// What readers are told that the files are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FileFormat {
    /// Parquet, by Hive's input format and SerDe of it.
    #[default]
    Parquet,
    /// Something else, named for people.
    Other(String),
}

/// A table as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: TableName,
    /// Columns that the files hold.
    pub columns: Vec<Column>,
    /// Partition keys, in path order.
    pub partition_keys: Vec<Column>,
    /// URL of the table's root, with a trailing slash.
    pub location: String,
    /// What its files are. Whatever it is told, a catalog that writes the table makes it Parquet.
    pub format: FileFormat,
    /// False if the catalog calls it a table whose files go with it when it is dropped (`MANAGED_TABLE`). An update leaves that as it is.
    pub external: bool,
    /// Table properties.
    pub parameters: Parameters,
    /// The catalog's version of this table: grows with every update; where it begins is the catalog's. Ignored by `create_table`.
    pub version: u64,
}

/// One partition as the catalog holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// One value a key, unescaped, in the order of the table's keys.
    pub values: Vec<String>,
    /// URL of the live generation's folder, with a trailing slash.
    pub location: String,
    /// The columns that the partition's files really have.
    pub columns: Vec<Column>,
    /// What its files are, as for [`Table::format`].
    pub format: FileFormat,
    /// Partition properties, `lakebed.*` among them.
    pub parameters: Parameters,
}

/// What a batch call says of one entry that it refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryError {
    /// The partition it is about.
    pub values: Vec<String>,
    /// What can be done about it: `Unavailable` may go through a little later, `Conflict` says that the partition is not as it was thought
    /// to be, anything else stays refused.
    pub kind: Kind,
    /// Why it was refused.
    pub message: String,
}

/// The Data Catalog: Glue, or the embedded one.
///
/// Batch calls answer for each entry on its own, as Glue does inside an HTTP 200: an `Ok` with entries in it is a partial failure.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Creates a database; one that exists already is left as it is.
    async fn ensure_database(&self, database: &str) -> Result<()>;

    /// The table, or `None` if there is no such table.
    async fn table(&self, name: &TableName) -> Result<Option<Table>>;

    /// All tables, ordered by name.
    async fn tables(&self) -> Result<Vec<Table>>;

    /// Creates a table. A table of that name that exists already is a `Conflict`.
    async fn create_table(&self, table: &Table) -> Result<()>;

    /// Replaces the table's definition if its version is still `table.version`; otherwise a `Conflict`.
    async fn update_table(&self, table: &Table) -> Result<()>;

    /// The partitions of a table that pass the filter, ordered by values.
    async fn partitions(&self, name: &TableName, filter: &Filter) -> Result<Vec<Partition>>;

    /// Those of the partitions asked for that exist.
    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>>;

    /// Creates partitions of a table that was read from this catalog; one that exists already is an entry error.
    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>>;

    /// Replaces partitions of a table that was read from this catalog, but for parameters that the new ones do not name: those are
    /// others', and stay. A partition that does not exist is an entry error.
    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>>;
}

impl TableName {
    /// Reads `database.table`.
    ///
    /// # Errors
    /// `Config` unless both parts are lower-case letters, digits and `_`, at most 255 of them (Glue's limit).
    pub fn parse(text: &str) -> Result<Self> {
        match text.split_once('.') {
            Some((database, name)) if is_name(database) && is_name(name) => Ok(Self { database: database.into(), name: name.into() }),
            _ => Err(crate::error::Error::config(format!(
                "`{text}` is not a table's name; write database.table in lower-case letters, digits and `_`, such as shop.clicks"
            ))),
        }
    }
}

impl serde::Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&<String as serde::Deserialize>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for TableName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.database, self.name)
    }
}

/// The table as the catalog has it by now, for whoever had it before.
///
/// # Errors
/// `Unavailable` if it is not there any more; those of [`Catalog::table`].
pub async fn still_there(catalog: &dyn Catalog, name: &TableName) -> Result<Table> {
    let gone = || Error::unavailable(format!("{name}: the table was dropped meanwhile; the next run makes it"));
    catalog.table(name).await?.ok_or_else(gone)
}
