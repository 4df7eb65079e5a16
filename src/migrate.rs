//! Brings the catalog's table to what its migrations say.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate};
use sha2::{Digest, Sha256};

use crate::catalog::drift::{column_drift, not_external, told};
use crate::catalog::{Catalog, FileFormat, Parameters, Table, TableName};
use crate::config::{Compression, TableConfig};
use crate::error::{Error, Kind, Result};
use crate::hour::Hour;
use crate::landing::prefix::Prefix;
use crate::schema::ddl::{self, CreateTable, Placeholders, Statement};
use crate::schema::{Column, HiveType, TableSchema};

/// The table parameter that records an applied migration: this, then the file's name; the value is `sha256:` and 64 digits.
const APPLIED: &str = "lakebed.migration.";

/// The parameter that names the column of `time`; a table by the arrival's time has none.
const TIME: &str = "lakebed.time";
const ARRIVAL: &str = "arrival";

/// The parameter that has the expressions of the partition keys.
const PARTITION_BY: &str = "lakebed.partition_by";

/// What helps against every change that something else made to a table.
const RESTORE: &str = "set it back in Glue or Athena, or delete the table there (its files and ledgers stay) and run again, which makes it anew \
                       and registers all its partitions; leave no crawler on a table of lakebed";

/// One file of a table's migrations folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// File name, which orders the migrations: `0001_create.sql`.
    pub name: String,
    /// The DDL as it stands in the file.
    pub text: String,
}

impl Migration {
    fn checksum(&self) -> String {
        let digest = Sha256::digest(self.text.as_bytes());
        digest.iter().fold("sha256:".to_string(), |hex, byte| format!("{hex}{byte:02x}"))
    }
}

/// What has to be done to a table.
#[derive(Debug, Clone, PartialEq)]
pub enum MigrationPlan {
    /// All migrations are applied.
    UpToDate(Table),
    /// All migrations are applied, and something else than lakebed appended these columns since.
    Appended(Table, Vec<Column>),
    /// The table does not exist yet.
    Create(Table),
}

impl MigrationPlan {
    /// The table as it is, or will be.
    pub fn table(&self) -> &Table {
        match self {
            Self::UpToDate(table) | Self::Appended(table, _) | Self::Create(table) => table,
        }
    }

    /// What people should know of it although nothing fails.
    pub fn warnings(&self) -> Vec<String> {
        let appended = match self {
            Self::Appended(_, columns) => columns.iter().map(told).collect(),
            Self::UpToDate(_) | Self::Create(_) => Vec::new(),
        };
        let appended = (!appended.is_empty()).then(|| {
            format!(
                "something else than lakebed appended to the table's columns in the catalog: {}; what lands from now on fills them; leave no \
                 crawler on a table of lakebed, and if they are not wanted, remove them there",
                appended.join(", ")
            )
        });
        let owned = not_external(self.table()).map(|what| {
            format!(
                "something else than lakebed changed the table in the catalog: {what}; set it back in Glue (TableType EXTERNAL_TABLE, parameter \
                 EXTERNAL = TRUE), and drop the table with no tool that goes by it until then"
            )
        });
        appended.into_iter().chain(owned).collect()
    }
}

/// Reads the migrations of a table, in order.
///
/// # Errors
/// `Config` if the folder is missing or has no migration.
pub fn read(folder: &Path, table: &TableName) -> Result<Vec<Migration>> {
    let hint = "write one, for example with `lakebed infer`";
    let listing = std::fs::read_dir(folder)
        .map_err(|e| Error::config(format!("{table}: cannot read its migrations in `{}`: {e}; {hint}", folder.display())))?;
    let mut migrations = Vec::new();
    for entry in listing {
        let entry = entry.map_err(|e| Error::unavailable(format!("cannot list `{}`: {e}", folder.display())))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_migration(&name) {
            let text = std::fs::read_to_string(entry.path())
                .map_err(|e| Error::config(format!("cannot read migration `{}`: {e}", entry.path().display())))?;
            migrations.push(Migration { name, text });
        }
    }
    migrations.sort_by(|a, b| a.name.cmp(&b.name));
    if migrations.is_empty() {
        return Err(Error::config(format!("{table}: `{}` has no migration such as 0001_create.sql; {hint}", folder.display())));
    }
    Ok(migrations)
}

/// True for `<digits>_<name>.sql`.
fn is_migration(name: &str) -> bool {
    let stem = name.strip_suffix(".sql").and_then(|stem| stem.split_once('_'));
    stem.is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// Decides what to do, from the migrations and the table as the catalog has it. No I/O.
///
/// # Errors
/// `Config` if a migration was changed after it was applied, does not fit the configuration, or is of a kind that this version does
/// not apply; if the catalog's table is one that lakebed must not manage, or is no longer what the migrations made.
pub fn plan(config: &TableConfig, migrations: &[Migration], there: Option<Table>) -> Result<MigrationPlan> {
    let wanted = created(config, migrations)?;
    let Some(there) = there else { return Ok(MigrationPlan::Create(wanted)) };
    refuse_foreign(config, &there, &wanted)?;
    for migration in migrations {
        let applied = there.parameters.get(&format!("{APPLIED}{}", migration.name));
        if applied.is_some_and(|checksum| *checksum != migration.checksum()) {
            return Err(Error::config(format!(
                "{}: migration {} was changed after it was applied; restore the file, and put the change into a migration of its own",
                config.name, migration.name
            )));
        }
        if applied.is_none() {
            return Err(Error::config(format!(
                "{}: migration {} is not applied, and this version of lakebed only creates tables; remove it",
                config.name, migration.name
            )));
        }
    }
    let known = |name: &str| migrations.iter().any(|migration| migration.name == name);
    if let Some(lost) = there.parameters.keys().filter_map(|key| key.strip_prefix(APPLIED)).find(|name| !known(name)) {
        return Err(Error::config(format!(
            "{}: migration {lost} was applied and its file is gone; restore it in `{}`",
            config.name,
            config.migrations.display()
        )));
    }
    let appended = appended(config, &there, &wanted)?;
    Ok(if appended.is_empty() { MigrationPlan::UpToDate(there) } else { MigrationPlan::Appended(there, appended) })
}

/// The columns that something else than lakebed appended. Anything else that it changed is refused: rows would be written for columns that
/// the files of older partitions do not have, or have in another type.
fn appended(config: &TableConfig, there: &Table, made: &Table) -> Result<Vec<Column>> {
    let refuse = |what: &str, changes: String| {
        Err(Error::config(format!(
            "{}: something else than lakebed changed {what} in the catalog, and its migrations say otherwise: {changes}; {RESTORE}",
            config.name
        )))
    };
    let keys = column_drift(&made.partition_keys, &there.partition_keys);
    let more = keys.appended.iter().map(|key| format!("column {} is new", told(key)));
    let keys: Vec<String> = more.chain(keys.other).collect();
    if !keys.is_empty() {
        return refuse("the table's partition keys", keys.join(", "));
    }
    if let FileFormat::Other(format) = &there.format {
        return refuse("what the table's files are read as", format!("{format} instead of Parquet"));
    }
    let columns = column_drift(&made.columns, &there.columns);
    if !columns.other.is_empty() {
        return refuse("the table's columns", columns.other.join(", "));
    }
    Ok(columns.appended)
}

/// The table that the migrations make.
fn created(config: &TableConfig, migrations: &[Migration]) -> Result<Table> {
    let location = config.location.to_string();
    let mut table = None;
    let mut parameters = Parameters::new();
    for migration in migrations {
        let names = Placeholders { table: &config.name, location: &location };
        let statement = ddl::parse(&migration.text, &names)
            .map_err(|e| Error::new(e.kind(), format!("{}: migration {}: {e}", config.name, migration.name)))?;
        let Statement::CreateTable(create) = statement;
        if table.replace(create).is_some() {
            return Err(Error::config(format!(
                "{}: migration {} creates the table a second time; keep the first one only",
                config.name, migration.name
            )));
        }
        parameters.insert(format!("{APPLIED}{}", migration.name), migration.checksum());
    }
    let CreateTable { schema, comment, parameters: own } =
        table.ok_or_else(|| Error::config(format!("{}: no migration creates the table", config.name)))?;
    check_keys(config, &schema)?;
    parameters.extend(descriptor(config));
    parameters.extend(own);
    parameters.extend(mapping(config));
    parameters.extend([("EXTERNAL", "TRUE"), ("classification", "parquet")].map(|(key, value)| (key.to_string(), value.to_string())));
    parameters.extend(comment.map(|text| ("comment".to_string(), text)));
    Ok(Table {
        name: config.name.clone(),
        columns: schema.columns,
        partition_keys: schema.partition_keys,
        location,
        format: FileFormat::Parquet,
        external: true,
        parameters,
        version: 0,
    })
}

/// What other tools look for on a table of files, beside `classification`; nothing depends on it, and the migration may say otherwise.
fn descriptor(config: &TableConfig) -> [(String, String); 2] {
    let codec = match config.merge.compression {
        Compression::Zstd => "zstd",
        Compression::Snappy => "snappy",
    };
    [("compressionType", codec), ("typeOfData", "file")].map(|(key, value)| (key.to_string(), value.to_string()))
}

fn check_keys(config: &TableConfig, schema: &TableSchema) -> Result<()> {
    let declared: Vec<&str> = schema.partition_keys.iter().map(|key| key.name.as_str()).collect();
    let configured: Vec<&str> = config.partition_by.iter().map(|(key, _)| key.as_str()).collect();
    if declared == configured {
        return schema
            .partition_keys
            .iter()
            .zip(&config.partition_by)
            .try_for_each(|(key, (_, expression))| check_key(config, key, expression));
    }
    Err(Error::config(format!(
        "{}: the table is PARTITIONED BY ({}), and partition_by gives {}; make them the same, in the same order",
        config.name,
        declared.join(", "),
        configured.join(", ")
    )))
}

/// A value that does not fit its key's type would be committed, and no query could read the table any more.
fn check_key(config: &TableConfig, key: &Column, expression: &Prefix) -> Result<()> {
    let value = expression.format(Hour::of(DateTime::UNIX_EPOCH), &BTreeMap::new()).ok();
    let fits = match &key.hive {
        HiveType::String | HiveType::Varchar(_) | HiveType::Char(_) => true,
        HiveType::Date => value.is_some_and(|value| value.parse::<NaiveDate>().is_ok()),
        HiveType::TinyInt | HiveType::SmallInt | HiveType::Int | HiveType::BigInt => {
            value.is_some_and(|value| value.parse::<u32>().is_ok())
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::config(format!(
        "{}: partition key {} is declared {}, and the values that partition_by gives it need not be one; declare it string",
        config.name, key.name, key.hive
    )))
}

/// What decides which partition an object belongs to, as table parameters: with other settings the objects that were merged would be
/// merged again, into other partitions.
fn mapping(config: &TableConfig) -> Vec<(String, String)> {
    let keys = config.partition_by.iter().map(|(key, expression)| format!("{key}={}", expression.text()));
    let time = config.time.iter().map(|column| (TIME.to_string(), column.clone()));
    let always = [
        (PARTITION_BY.to_string(), keys.collect::<Vec<_>>().join("/")),
        ("lakebed.prefix".to_string(), config.prefix.text().to_string()),
        ("lakebed.timezone".to_string(), config.timezone.to_string()),
    ];
    always.into_iter().chain(time).collect()
}

/// True unless all that arrived in an hour is in one partition of the table, by the settings that it was made with.
pub fn made_to_scatter(table: &Table) -> bool {
    let expressions = table.parameters.get(PARTITION_BY);
    table.parameters.contains_key(TIME) || expressions.is_none_or(|expressions| expressions.contains("!{column:"))
}

/// Refuses to manage a table that another tool made, lies elsewhere, or that Athena would not read through its partitions.
fn refuse_foreign(config: &TableConfig, there: &Table, made: &Table) -> Result<()> {
    let refuse = |why: String| Err(Error::config(format!("{}: {why}", config.name)));
    if there.parameters.get("projection.enabled").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return refuse("partition projection is on, so Athena ignores registered partitions and would never see a merge; remove projection.enabled from the table".into());
    }
    let (was, wanted) = (there.parameters.get(TIME).map_or(ARRIVAL, String::as_str), config.time.as_deref().unwrap_or(ARRIVAL));
    if was != wanted && there.parameters.contains_key(PARTITION_BY) {
        return refuse(format!(
            "`time` is `{wanted}`, and the table was made with `{was}`: every landed object would be merged a second time, into other \
             partitions; restore it, or make a table of another name"
        ));
    }
    if let Some(lost) = lost_parameters(there, made) {
        return refuse(lost);
    }
    if there.location.trim_end_matches('/') != config.location.to_string().trim_end_matches('/') {
        return refuse(format!(
            "the catalog has it at {}, the configuration at {}; correct `location`, or if something else than lakebed moved the table in the \
             catalog, {RESTORE}",
            there.location, config.location
        ));
    }
    for (parameter, wanted) in mapping(config) {
        let setting = parameter.trim_start_matches("lakebed.");
        if let Some(was) = there.parameters.get(&parameter).filter(|was| **was != wanted) {
            return refuse(format!(
                "`{setting}` is `{wanted}`, and the table was made with `{was}`: every landed object would be merged a second time, into \
                 other partitions; restore it, or make a table of another name"
            ));
        }
    }
    Ok(())
}

/// What to say of a table that does not have the parameters that lakebed makes tables with. A migration that is the only one missing is not
/// lost: it is not applied.
fn lost_parameters(there: &Table, made: &Table) -> Option<String> {
    let is_ours = |key: &&String| key.starts_with("lakebed.");
    let applied = there.parameters.keys().any(|key| key.starts_with(APPLIED));
    let lost = |key: &&String| is_ours(key) && !there.parameters.contains_key(*key) && !(applied && key.starts_with(APPLIED));
    let lost: Vec<&String> = made.parameters.keys().filter(lost).collect();
    if lost.is_empty() {
        return None;
    }
    let quoted = |text: &str| format!("'{}'", ddl::escaped(text));
    let set: Vec<String> = lost.iter().map(|key| format!("{} = {}", quoted(key), quoted(&made.parameters[*key]))).collect();
    let what = if there.parameters.keys().any(|key| is_ours(&key)) {
        format!("parameters of the table that lakebed needs are gone from the catalog: {}; a crawler or a job replaced them", list(&lost))
    } else {
        "the catalog has a table of that name without any parameter of lakebed; if lakebed did not create it, choose another name; if a crawler \
         or a job replaced its parameters"
            .to_string()
    };
    Some(format!(
        "{what}; if the configuration and the migrations are still those of the table, put them back with ALTER TABLE {} SET TBLPROPERTIES \
         ({}), and leave no crawler on it",
        made.name,
        set.join(", ")
    ))
}

fn list(texts: &[&String]) -> String {
    texts.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(", ")
}

/// Creates the table, and its database if need be. True if this call created it, false if another run was faster.
///
/// # Errors
/// As the catalog's.
pub async fn create(catalog: &dyn Catalog, table: &Table) -> Result<bool> {
    catalog.ensure_database(&table.name.database).await?;
    match catalog.create_table(table).await {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == Kind::Conflict => Ok(false),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::table;

    const KEYS: &str = "year string, month string, day string, hour string";

    fn config() -> TableConfig {
        table("")
    }

    fn create(name: &str, columns: &str, keys: &str) -> Migration {
        let text = format!(
            "CREATE EXTERNAL TABLE ${{table}} ({columns}) COMMENT 'clicks' PARTITIONED BY ({keys}) STORED AS PARQUET LOCATION '${{location}}'"
        );
        Migration { name: name.into(), text }
    }

    fn first() -> Migration {
        create("0001_create.sql", "id bigint", KEYS)
    }

    fn made() -> Table {
        plan(&config(), &[first()], None).unwrap().table().clone()
    }

    #[track_caller]
    fn refused(migrations: &[Migration], there: Option<Table>, says: &str) {
        let error = plan(&config(), migrations, there).unwrap_err();
        assert_eq!(error.kind(), Kind::Config, "{error}");
        assert!(error.to_string().starts_with("shop.clicks: ") && error.to_string().contains(says), "{error}");
    }

    #[test]
    fn a_table_that_is_not_there_is_created_as_its_migration_says() {
        let MigrationPlan::Create(table) = plan(&config(), &[first()], None).unwrap() else { panic!("not created") };
        assert_eq!((table.name.to_string(), table.location.as_str(), table.columns.len()), ("shop.clicks".into(), "file:///lake/", 1));
        assert_eq!(table.partition_keys.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["year", "month", "day", "hour"]);
        assert!(table.parameters["lakebed.migration.0001_create.sql"].starts_with("sha256:"));
        assert_eq!((&*table.parameters["EXTERNAL"], &*table.parameters["comment"]), ("TRUE", "clicks"));
        assert_eq!((&*table.parameters["compressionType"], &*table.parameters["typeOfData"]), ("zstd", "file"));
    }

    #[test]
    fn a_table_whose_migrations_are_applied_is_left_as_it_is() {
        let there = Table { version: 4, ..made() };
        assert_eq!(plan(&config(), &[first()], Some(there.clone())).unwrap(), MigrationPlan::UpToDate(there));
    }

    #[test]
    fn migrations_and_table_must_tell_the_same_story() {
        refused(&[create("0001_create.sql", "id string", KEYS)], Some(made()), "0001_create.sql was changed after it was applied");
        refused(&[first(), create("0002_more.sql", "id bigint", KEYS)], None, "0002_more.sql creates the table a second time");
        refused(&[create("0009_other.sql", "id bigint", KEYS)], Some(made()), "0009_other.sql is not applied");
        let mut more = made();
        more.parameters.insert(format!("{APPLIED}0002_lost.sql"), "sha256:0".into());
        refused(&[first()], Some(more), "0002_lost.sql was applied and its file is gone");
        refused(&[], None, "no migration creates the table");
        refused(&[create("0001_create.sql", "id bigint", "day string")], None, "PARTITIONED BY (day), and partition_by gives year, month");
    }

    #[test]
    fn a_table_that_is_not_ours_is_refused() {
        let mut projected = made();
        projected.parameters.insert("projection.enabled".into(), "TRUE".into());
        refused(&[first()], Some(projected), "partition projection is on");
        let elsewhere = Table { location: "file:///elsewhere/".into(), ..made() };
        refused(
            &[first()],
            Some(elsewhere),
            "the catalog has it at file:///elsewhere/, the configuration at file:///lake/; correct `location`",
        );
        let unslashed = Table { location: "file:///lake".into(), ..made() };
        assert!(plan(&config(), &[first()], Some(unslashed)).is_ok());
        let mut foreign = made();
        foreign.parameters.retain(|key, _| !key.starts_with("lakebed."));
        refused(&[first()], Some(foreign), "lakebed did not create");
    }

    #[test]
    fn rows_that_were_merged_by_one_time_are_not_merged_by_another() {
        let by_column = table("time = \"at\"");
        let told = |config: &TableConfig, made: Table| plan(config, &[first()], Some(made)).map_err(|e| e.to_string());
        let columns = |config: &TableConfig| plan(config, &[first()], None).unwrap().table().clone();
        let (one, other) = (columns(&config()), columns(&by_column));
        assert!(told(&by_column, one).unwrap_err().contains("`time` is `at`, and the table was made with `arrival`"));
        assert!(told(&config(), other.clone()).unwrap_err().contains("`time` is `arrival`, and the table was made with `at`"));
        assert!(told(&table("time = \"when\""), other.clone()).unwrap_err().contains("`time` is `when`, and the table was made with `at`"));
        assert!(told(&by_column, other).is_ok());
    }

    #[test]
    fn parameters_that_a_crawler_replaced_are_named_with_the_statement_that_puts_them_back() {
        let without = |begin: &str| {
            let mut table = made();
            table.parameters.retain(|key, _| !key.starts_with(begin));
            Some(table)
        };
        let checksum = first().checksum();
        let statement = format!("ALTER TABLE shop.clicks SET TBLPROPERTIES ('lakebed.migration.0001_create.sql' = '{checksum}')");
        refused(&[first()], without(APPLIED), &statement);
        refused(&[first()], without(APPLIED), "gone from the catalog: lakebed.migration.0001_create.sql; a crawler");
        refused(&[first()], without("lakebed.timezone"), "('lakebed.timezone' = 'UTC')");
        refused(&[first()], without("lakebed."), "'lakebed.partition_by' = 'year=!{timestamp:yyyy}/");
        assert!(plan(&config(), &[first()], without("classification")).is_ok(), "what lakebed does not need may go");
    }

    fn columns(text: &str) -> Vec<Column> {
        let MigrationPlan::Create(table) = plan(&config(), &[create("0001_create.sql", text, KEYS)], None).unwrap() else { panic!() };
        table.columns
    }

    #[test]
    fn columns_that_somebody_appended_are_a_warning() {
        let plan = plan(&config(), &[first()], Some(Table { columns: columns("id bigint, x string, y double"), ..made() })).unwrap();
        assert_eq!(plan.table().columns.len(), 3, "the catalog's columns count");
        let [warning] = &plan.warnings()[..] else { panic!("{plan:?}") };
        assert!(warning.contains("appended to the table's columns in the catalog: x string, y double; what lands"), "{warning}");
        assert_eq!(MigrationPlan::UpToDate(made()).warnings(), Vec::<String>::new());
    }

    #[test]
    fn a_table_whose_files_would_go_with_it_is_a_warning() {
        let mut internal = made();
        internal.parameters.insert("EXTERNAL".into(), "FALSE".into());
        for there in [internal, Table { external: false, ..made() }] {
            let plan = plan(&config(), &[first()], Some(there)).unwrap();
            let [warning] = &plan.warnings()[..] else { panic!("{plan:?}") };
            assert!(warning.contains("whose files are removed with it when Hive or Spark drops it; set it back in Glue"), "{warning}");
        }
    }

    #[test]
    fn anything_else_that_somebody_changed_is_refused_column_by_column() {
        let check = |change: &dyn Fn(&mut Table), says: &str| {
            let mut table = made();
            change(&mut table);
            refused(&[first()], Some(table), says);
        };
        check(
            &|table| table.columns = columns("id string"),
            "its migrations say otherwise: column id is string instead of bigint; set it back",
        );
        check(&|table| table.columns = columns("other bigint"), "column id bigint is gone");
        check(&|table| table.columns = columns("x int, id bigint"), "column x int is new and not behind all others");
        check(
            &|table| drop(table.partition_keys.pop()),
            "the table's partition keys in the catalog, and its migrations say otherwise: column hour string is gone",
        );
        check(&|table| table.partition_keys[3].hive = HiveType::Int, "column hour is int instead of string");
        check(&|table| table.partition_keys.extend(columns("x int")), "column x int is new");
        check(&|table| table.format = FileFormat::Other("input format x".into()), "input format x instead of Parquet");
    }

    #[test]
    fn what_somebody_noted_on_a_table_and_its_columns_is_theirs() {
        let mut noted = made();
        noted.columns[0].comment = Some("the id".into());
        noted.partition_keys[0].comment = Some("UTC".into());
        noted.parameters.insert("owner".into(), "shop".into());
        assert_eq!(plan(&config(), &[first()], Some(noted.clone())).unwrap(), MigrationPlan::UpToDate(noted));
    }

    #[test]
    fn only_numbered_sql_files_are_migrations_and_they_come_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["0010_b.sql", "0002_a.sql", "README.md", "create.sql", "_x.sql", "0001.sql"];
        let error = read(folder.path(), &config().name).unwrap_err().to_string();
        assert!(error.contains("no migration such as 0001_create.sql"), "{error}");
        names.iter().for_each(|name| std::fs::write(folder.path().join(name), "x").unwrap());
        let found = read(folder.path(), &config().name).unwrap();
        assert_eq!(found.iter().map(|m| m.name.as_str()).collect::<Vec<_>>(), ["0002_a.sql", "0010_b.sql"]);
        assert_eq!(read(&folder.path().join("none"), &config().name).unwrap_err().kind(), Kind::Config);
    }
}
