//! The embedded catalog: databases, tables and partitions in one SQLite file that several processes may use at once.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use serde_json::{from_str, to_string};

use super::filter::Filter;
use super::limits::{check_name, check_partition, check_table};
use super::{Catalog, EntryError, FileFormat, Parameters, Partition, Table, TableName};
use crate::error::{Error, Kind, Result};
use crate::schema::Column;

/// The format that this version writes, and the newest that it reads.
const FORMAT: i64 = 1;

/// How long a call waits for another process that holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);

/// `table_versions` keeps every definition that a table ever had, in order; `tables` says which one counts.
const SCHEMA: &str = "
    CREATE TABLE meta (format INTEGER NOT NULL) STRICT;
    CREATE TABLE databases (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE tables (
        database TEXT NOT NULL REFERENCES databases, name TEXT NOT NULL, version INTEGER NOT NULL,
        PRIMARY KEY (database, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE table_versions (
        database TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, definition TEXT NOT NULL,
        PRIMARY KEY (database, name, version)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE partitions (
        database TEXT NOT NULL, name TEXT NOT NULL, \"values\" TEXT NOT NULL,
        location TEXT NOT NULL, columns TEXT NOT NULL, parameters TEXT NOT NULL,
        PRIMARY KEY (database, name, \"values\"), FOREIGN KEY (database, name) REFERENCES tables
    ) STRICT, WITHOUT ROWID;";

const SELECT_TABLES: &str =
    "SELECT t.database, t.name, t.version, v.definition FROM tables t JOIN table_versions v USING (database, name, version)";

const SELECT_PARTITIONS: &str = "SELECT \"values\", location, columns, parameters FROM partitions WHERE database = ?1 AND name = ?2";

/// The catalog of a lake that has no Glue.
///
/// Its calls block the thread inside async functions on purpose: the file is local, a call takes milliseconds, and only
/// another process in the middle of a write makes it wait.
#[derive(Debug)]
pub struct LocalCatalog {
    connection: Mutex<Connection>,
    /// What messages call the catalog: the path of its file.
    file: String,
}

/// What `table_versions` holds of a table, beside the name and the version in its key.
#[derive(Serialize, Deserialize)]
struct Definition {
    columns: Vec<Column>,
    partition_keys: Vec<Column>,
    location: String,
    parameters: Parameters,
}

impl LocalCatalog {
    /// Opens the catalog in the file `path`, and makes the file if there is none; its folder must exist.
    ///
    /// An existing catalog is only read.
    ///
    /// # Errors
    /// `Config` if the file is something else or of a newer lakebed, `Unavailable` if it is locked or cannot be used.
    pub fn open(path: &Path) -> Result<Self> {
        let file = path.display().to_string();
        let connection = Connection::open(path).map_err(|e| explain(&file, &e))?;
        Self::prepare(connection, file)
    }

    /// A catalog that is gone when it is dropped, for tests.
    ///
    /// # Errors
    /// `Internal` if SQLite does not start.
    pub fn in_memory() -> Result<Self> {
        let file = ":memory:".to_string();
        let connection = Connection::open_in_memory().map_err(|e| explain(&file, &e))?;
        Self::prepare(connection, file)
    }

    /// Every definition that the table ever had, oldest first; empty if there is no such table.
    ///
    /// # Errors
    /// `Unavailable` if the file cannot be read, `Data` if it is damaged.
    pub fn table_versions(&self, name: &TableName) -> Result<Vec<Table>> {
        let connection = self.lock();
        let sql = "SELECT database, name, version, definition FROM table_versions WHERE database = ?1 AND name = ?2 ORDER BY version";
        self.read_tables(&connection, sql, params![name.database, name.name])
    }

    fn prepare(mut connection: Connection, file: String) -> Result<Self> {
        set_up(&mut connection).map_err(|e| explain(&file, &e))?.map_err(|found| foreign(&file, found))?;
        Ok(Self { connection: Mutex::new(connection), file })
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        // A panic in a call rolled its transaction back, so the connection is still good.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction that holds the write lock from its start: nobody else writes between its reads and writes.
    fn write<T>(&self, work: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let mut connection = self.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(|e| self.explain(e))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(|e| self.explain(e))?;
        Ok(done)
    }

    /// Applies `change` to each partition in one transaction; a partition that is refused does not undo the others.
    fn write_partitions(&self, name: &TableName, partitions: &[Partition], change: &str, unchanged: &str) -> Result<Vec<EntryError>> {
        self.write(|transaction| {
            let table = self.must_exist(transaction, name)?;
            let mut statement = transaction.prepare(change).map_err(|e| self.explain(e))?;
            let mut refused = Vec::new();
            for partition in partitions {
                let refusal = match check_partition(&table, partition) {
                    Err(message) => Some((Kind::Config, message)),
                    Ok(()) => {
                        let (values, columns, parameters) =
                            (json(&partition.values)?, json(&partition.columns)?, json(&partition.parameters)?);
                        let row = params![name.database, name.name, values, partition.location, columns, parameters];
                        let changed = statement.execute(row).map_err(|e| self.explain(e))?;
                        (changed == 0).then(|| (Kind::Conflict, format!("partition {values} of table {name} {unchanged}")))
                    }
                };
                refused.extend(refusal.map(|(kind, message)| EntryError { values: partition.values.clone(), kind, message }));
            }
            Ok(refused)
        })
    }

    fn find(&self, connection: &Connection, name: &TableName) -> Result<Option<Table>> {
        let sql = format!("{SELECT_TABLES} WHERE t.database = ?1 AND t.name = ?2");
        Ok(self.read_tables(connection, &sql, params![name.database, name.name])?.pop())
    }

    fn must_exist(&self, connection: &Connection, name: &TableName) -> Result<Table> {
        self.find(connection, name)?.ok_or_else(|| {
            Error::config(format!("table {name} does not exist in catalog `{}`; create it with its first migration", self.file))
        })
    }

    fn read_tables(&self, connection: &Connection, sql: &str, params: impl rusqlite::Params) -> Result<Vec<Table>> {
        let mut statement = connection.prepare(sql).map_err(|e| self.explain(e))?;
        let mut rows = statement.query(params).map_err(|e| self.explain(e))?;
        let mut tables = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.explain(e))? {
            let read = || Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?, row.get::<_, String>(3)?));
            let (database, name, version, definition) = read().map_err(|e: rusqlite::Error| self.explain(e))?;
            let name = TableName { database, name };
            let Definition { columns, partition_keys, location, parameters } =
                from_str(&definition).map_err(|e| self.damaged(&format!("table {name}"), &e))?;
            let (format, version) = (FileFormat::Parquet, version.unsigned_abs());
            tables.push(Table { name, columns, partition_keys, location, format, external: true, parameters, version });
        }
        Ok(tables)
    }

    fn read_partitions(&self, connection: &Connection, name: &TableName, more: &str, key: Option<&str>) -> Result<Vec<Partition>> {
        let mut statement = connection.prepare_cached(&format!("{SELECT_PARTITIONS}{more}")).map_err(|e| self.explain(e))?;
        let mut rows = match key {
            Some(key) => statement.query(params![name.database, name.name, key]),
            None => statement.query(params![name.database, name.name]),
        }
        .map_err(|e| self.explain(e))?;
        let mut partitions = Vec::new();
        while let Some(row) = rows.next().map_err(|e| self.explain(e))? {
            let read = || Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?));
            let (values, location, columns, parameters) = read().map_err(|e: rusqlite::Error| self.explain(e))?;
            let damaged = |e| self.damaged(&format!("partition {values} of table {name}"), &e);
            partitions.push(Partition {
                values: from_str(&values).map_err(damaged)?,
                location,
                columns: from_str(&columns).map_err(damaged)?,
                format: FileFormat::Parquet,
                parameters: from_str(&parameters).map_err(damaged)?,
            });
        }
        Ok(partitions)
    }

    fn explain(&self, error: rusqlite::Error) -> Error {
        explain(&self.file, &error)
    }

    fn damaged(&self, what: &str, error: &serde_json::Error) -> Error {
        Error::data(format!("{what} cannot be read from catalog `{}`: {error}; {REBUILD}", self.file))
    }
}

#[async_trait]
impl Catalog for LocalCatalog {
    async fn ensure_database(&self, database: &str) -> Result<()> {
        check_name("database", database)?;
        let known = self.lock().query_row("SELECT 1 FROM databases WHERE name = ?1", [database], |_| Ok(())).optional();
        if known.map_err(|e| self.explain(e))?.is_some() {
            return Ok(());
        }
        self.write(|transaction| {
            let sql = "INSERT INTO databases (name) VALUES (?1) ON CONFLICT DO NOTHING";
            transaction.execute(sql, [database]).map(|_| ()).map_err(|e| self.explain(e))
        })
    }

    async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        self.find(&self.lock(), name)
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        self.read_tables(&self.lock(), &format!("{SELECT_TABLES} ORDER BY t.database, t.name"), [])
    }

    async fn create_table(&self, table: &Table) -> Result<()> {
        check_table(table)?;
        let name = &table.name;
        self.write(|transaction| {
            let mut known = transaction.prepare("SELECT 1 FROM databases WHERE name = ?1").map_err(|e| self.explain(e))?;
            if !known.exists([&name.database]).map_err(|e| self.explain(e))? {
                return Err(Error::config(format!("database `{}` of table {name} does not exist; create it first", name.database)));
            }
            let sql = "INSERT INTO tables (database, name, version) VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING";
            match transaction.execute(sql, params![name.database, name.name]).map_err(|e| self.explain(e))? {
                0 => Err(Error::conflict(format!("table {name} exists already in catalog `{}`; read it and update it", self.file))),
                _ => self.add_version(transaction, table, 1),
            }
        })
    }

    async fn update_table(&self, table: &Table) -> Result<()> {
        check_table(table)?;
        let name = &table.name;
        let lost = |what: String| Error::conflict(format!("table {name} {what} in catalog `{}`; read it again, then update it", self.file));
        self.write(|transaction| {
            let current = self.find(transaction, name)?.ok_or_else(|| lost("does not exist".to_string()))?;
            if current.version != table.version {
                return Err(lost(format!("is at version {}, not {},", current.version, table.version)));
            }
            let next = number(current.version)? + 1;
            let sql = "UPDATE tables SET version = ?3 WHERE database = ?1 AND name = ?2";
            transaction.execute(sql, params![name.database, name.name, next]).map_err(|e| self.explain(e))?;
            self.add_version(transaction, table, next)
        })
    }

    async fn partitions(&self, name: &TableName, filter: &Filter) -> Result<Vec<Partition>> {
        let connection = self.lock();
        self.must_exist(&connection, name)?;
        let mut partitions = self.read_partitions(&connection, name, "", None)?;
        partitions.retain(|partition| filter.passes(&partition.values));
        partitions.sort_by(|a, b| a.values.cmp(&b.values));
        Ok(partitions)
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        let connection = self.lock();
        self.must_exist(&connection, name)?;
        let mut found = Vec::new();
        for one in values {
            found.append(&mut self.read_partitions(&connection, name, " AND \"values\" = ?3", Some(&json(one)?))?);
        }
        Ok(found)
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let sql = "INSERT INTO partitions (database, name, \"values\", location, columns, parameters)
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
        self.write_partitions(&table.name, partitions, sql, "already exists; update it instead")
    }

    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let sql = "UPDATE partitions SET location = ?4, columns = ?5, parameters = json_patch(parameters, ?6)
                   WHERE database = ?1 AND name = ?2 AND \"values\" = ?3";
        self.write_partitions(&table.name, partitions, sql, "does not exist; create it instead")
    }
}

impl LocalCatalog {
    fn add_version(&self, transaction: &Transaction<'_>, table: &Table, version: i64) -> Result<()> {
        let Table { name, columns, partition_keys, location, parameters, .. } = table.clone();
        let definition = json(&Definition { columns, partition_keys, location, parameters })?;
        let sql = "INSERT INTO table_versions (database, name, version, definition) VALUES (?1, ?2, ?3, ?4)";
        let row = params![name.database, name.name, version, definition];
        transaction.execute(sql, row).map(|_| ()).map_err(|e| self.explain(e))
    }
}

/// A file that SQLite reads but that is not a catalog of this version.
enum Foreign {
    /// Of a newer lakebed.
    Newer(i64),
    /// Of another program.
    Other,
}

/// Makes the tables of an empty file; of any other, only reads the format.
fn set_up(connection: &mut Connection) -> rusqlite::Result<Result<(), Foreign>> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    if is_empty(connection)? {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if is_empty(&transaction)? {
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("INSERT INTO meta (format) VALUES (?1)", [FORMAT])?;
        }
        transaction.commit()?;
    }
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'databases', 'tables', 'table_versions', 'partitions')";
    if connection.query_row(sql, [], |row| row.get::<_, i64>(0))? < 5 {
        return Ok(Err(Foreign::Other));
    }
    let format: i64 = connection.query_row("SELECT format FROM meta", [], |row| row.get(0))?;
    Ok(if format > FORMAT { Err(Foreign::Newer(format)) } else { Ok(()) })
}

fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

const REBUILD: &str = "move the file away and run again: it is made anew from the ledgers";

fn foreign(file: &str, found: Foreign) -> Error {
    match found {
        Foreign::Newer(format) => Error::config(format!(
            "catalog `{file}` has format {format}, this lakebed knows formats up to {FORMAT}; use the newer lakebed that wrote it"
        )),
        Foreign::Other => not_a_catalog(file),
    }
}

fn not_a_catalog(file: &str) -> Error {
    Error::config(format!("`{file}` is not a lakebed catalog; move the file away or correct `state` in the configuration"))
}

fn explain(file: &str, error: &rusqlite::Error) -> Error {
    let unavailable = |what: &str| Error::unavailable(format!("catalog `{file}` {what}: {error}"));
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => not_a_catalog(file),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            let seconds = BUSY_TIMEOUT.as_secs();
            unavailable(&format!("was locked by another process for {seconds} s; let that process finish, then run again"))
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            unavailable("cannot be opened; check that its folder exists and that this user may read and write both")
        }
        Some(ErrorCode::ReadOnly) => unavailable("cannot be written; give this user write permission for the file and its folder"),
        Some(ErrorCode::DiskFull) => unavailable("cannot grow because the disk is full; free space, then run again"),
        Some(ErrorCode::SystemIoFailure) => unavailable("could not be read or written; check its disk, then run again"),
        Some(ErrorCode::DatabaseCorrupt) => Error::data(format!("catalog `{file}` is damaged; {REBUILD}: {error}")),
        _ => Error::internal(format!("catalog `{file}` did not answer as it should; report this with the message: {error}")),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    to_string(value).map_err(|e| Error::internal(format!("a catalog entry cannot be written as json: {e}")))
}

fn number(version: u64) -> Result<i64> {
    i64::try_from(version).map_err(|_| Error::internal(format!("table version {version} is beyond what the catalog can count")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::HiveType;

    fn column(name: &str) -> Column {
        Column { name: name.to_string(), hive: HiveType::String, comment: None }
    }

    fn clicks() -> Table {
        let name = TableName { database: "shop".to_string(), name: "clicks".to_string() };
        let (columns, partition_keys) = (vec![column("id")], vec![column("day")]);
        let (location, format) = ("file:///lake/".to_string(), FileFormat::Parquet);
        Table { name, columns, partition_keys, location, format, external: true, parameters: Parameters::new(), version: 1 }
    }

    async fn filled(path: &Path) -> LocalCatalog {
        let catalog = LocalCatalog::open(path).unwrap();
        catalog.ensure_database("shop").await.unwrap();
        catalog.create_table(&clicks()).await.unwrap();
        catalog
    }

    fn check_refused(path: &Path, kind: Kind, says: &str) {
        let error = LocalCatalog::open(path).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains(path.to_str().unwrap()), "{error}");
    }

    #[tokio::test]
    async fn a_run_with_nothing_to_do_leaves_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        drop(filled(&path).await);
        let state = || (std::fs::metadata(&path).unwrap().modified().unwrap(), std::fs::read(&path).unwrap());
        let before = state();
        std::thread::sleep(Duration::from_millis(20));

        let catalog = LocalCatalog::open(&path).unwrap();
        catalog.ensure_database("shop").await.unwrap();
        assert_eq!(catalog.tables().await.unwrap().len(), 1);
        assert!(catalog.partitions(&clicks().name, &Filter::all()).await.unwrap().is_empty());
        drop(catalog);

        assert!(state() == before, "the file was written");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "something lies beside the file");
    }

    #[tokio::test]
    async fn every_version_of_a_table_is_kept_in_order() {
        let catalog = LocalCatalog::in_memory().unwrap();
        catalog.ensure_database("shop").await.unwrap();
        let mut table = clicks();
        catalog.create_table(&table).await.unwrap();
        table.columns.push(column("page"));
        catalog.update_table(&table).await.unwrap();

        let versions = catalog.table_versions(&table.name).unwrap();
        let told: Vec<_> = versions.iter().map(|t| (t.version, t.columns.len())).collect();
        assert_eq!(told, [(1, 1), (2, 2)]);
        assert_eq!(catalog.table(&table.name).await.unwrap().as_ref(), versions.last());
    }

    #[tokio::test]
    async fn files_that_are_no_catalog_of_this_version_are_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let text = folder.path().join("text.db");
        std::fs::write(&text, "not a database, but long enough to have a header of one hundred bytes".repeat(20)).unwrap();
        check_refused(&text, Kind::Config, "is not a lakebed catalog");

        let other = folder.path().join("other.db");
        Connection::open(&other).unwrap().execute_batch("CREATE TABLE meta (format INTEGER)").unwrap();
        check_refused(&other, Kind::Config, "is not a lakebed catalog");

        let newer = folder.path().join("newer.db");
        filled(&newer).await.lock().execute("UPDATE meta SET format = 2", []).unwrap();
        check_refused(&newer, Kind::Config, "has format 2");

        check_refused(&folder.path().join("missing/catalog.db"), Kind::Unavailable, "check that its folder exists");
    }

    #[tokio::test]
    async fn a_file_that_stays_locked_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.db");
        let catalog = filled(&path).await;
        let holder = Connection::open(&path).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        catalog.lock().busy_timeout(Duration::from_millis(10)).unwrap();

        let error = catalog.ensure_database("other").await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable);
        assert!(error.to_string().contains("locked by another process"), "{error}");
        holder.execute_batch("COMMIT").unwrap();
        catalog.ensure_database("other").await.unwrap();
    }
}
