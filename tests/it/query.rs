//! SQL over a catalog's tables: what comes out of files of all ages, and that only the files asked for are opened.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema};
use lakebed::catalog::local::LocalCatalog;
use lakebed::catalog::{Catalog, FileFormat, Parameters, Partition, Table, TableName};
use lakebed::engine::{Limits, local::session};
use lakebed::error::{Error, Kind, Result};
use lakebed::query::format::{Format, write};
use lakebed::query::{register, run};
use lakebed::schema::HiveType::{self, BigInt, Decimal, Double, Float, Int, String as Text, Timestamp};
use lakebed::schema::{Column, HiveType::Struct};
use lakebed::store::Stores;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

/// A lake with one table, `shop.clicks`, in a folder of its own.
struct Lake {
    folder: tempfile::TempDir,
    catalog: Arc<dyn Catalog>,
    table: Table,
}

fn columns(list: &[(&str, HiveType)]) -> Vec<Column> {
    list.iter().map(|(name, hive)| Column { name: (*name).to_string(), hive: hive.clone(), comment: None }).collect()
}

fn map(key: HiveType, value: HiveType) -> HiveType {
    HiveType::Map(Box::new(key), Box::new(value))
}

fn array(element: HiveType) -> HiveType {
    HiveType::Array(Box::new(element))
}

fn record(fields: &[(&str, HiveType)]) -> HiveType {
    Struct(fields.iter().map(|(name, hive)| ((*name).to_string(), hive.clone())).collect())
}

/// Writes rows, one JSON object a line, as a Parquet file with these columns.
fn write_parquet(path: &Path, columns: &[Column], rows: &str) {
    let fields: Vec<Field> = columns.iter().map(|c| Field::new(&c.name, c.hive.arrow_type(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let properties = WriterProperties::builder().set_coerce_types(true).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema.clone(), Some(properties)).unwrap();
    for batch in arrow::json::ReaderBuilder::new(schema).build(Cursor::new(rows)).unwrap() {
        writer.write(&batch.unwrap()).unwrap();
    }
    writer.close().unwrap();
}

impl Lake {
    async fn new(list: &[(&str, HiveType)], keys: &[(&str, HiveType)]) -> Self {
        let folder = tempfile::Builder::new().prefix("my lake ü").tempdir().unwrap();
        let location = format!("{}shop/clicks/", url::Url::from_directory_path(folder.path()).unwrap());
        let catalog: Arc<dyn Catalog> = Arc::new(LocalCatalog::in_memory().unwrap());
        let name = TableName { database: "shop".to_string(), name: "clicks".to_string() };
        let (columns, partition_keys) = (columns(list), columns(keys));
        let format = FileFormat::Parquet;
        let table = Table { name, columns, partition_keys, location, format, external: true, parameters: Parameters::new(), version: 1 };
        catalog.ensure_database("shop").await.unwrap();
        catalog.create_table(&table).await.unwrap();
        Self { folder, catalog, table }
    }

    /// Registers a partition whose only file has these columns and rows. `%` and `/` in values are escaped as Hive does.
    async fn add(&self, values: &[&str], list: &[(&str, HiveType)], rows: &str) {
        let names = self.table.partition_keys.iter().zip(values);
        let path: String = names.map(|(key, v)| format!("{}={}/", key.name, v.replace('%', "%25").replace('/', "%2F"))).collect();
        let file = self.folder.path().join(format!("shop/clicks/{path}g00000001-a/part-00000.parquet"));
        write_parquet(&file, &columns(list), rows);
        self.register_only(values, &format!("{path}g00000001-a/")).await;
    }

    async fn register_only(&self, values: &[&str], folder: &str) {
        let one = Partition {
            values: values.iter().map(ToString::to_string).collect(),
            location: format!("{}{folder}", self.table.location),
            columns: vec![],
            format: FileFormat::Parquet,
            parameters: Parameters::new(),
        };
        assert_eq!(self.catalog.create_partitions(&self.table, &[one]).await.unwrap(), []);
    }

    async fn csv(&self, sql: &str) -> Result<String> {
        let spill = tempfile::tempdir().unwrap();
        let ctx = session(&Limits { memory: 64 << 20, threads: 2, spill: spill.path().to_path_buf() })?;
        register(&ctx, &self.catalog, &Stores::default()).await?;
        let mut out = Vec::new();
        write(run(&ctx, sql).await?, Format::Csv, &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }

    /// The rows, without the header, one line each.
    async fn check(&self, sql: &str, rows: &[&str]) {
        let csv = self.csv(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(csv.lines().skip(1).collect::<Vec<_>>(), rows, "{sql}");
    }

    async fn refused(&self, sql: &str) -> Error {
        self.csv(sql).await.expect_err(sql)
    }
}

/// Three hours of a day, keys as texts.
async fn three_hours() -> Lake {
    let list = [("n", BigInt)];
    let lake = Lake::new(&list, &[("day", Text), ("hour", Text)]).await;
    for (hour, rows) in [("08", "{\"n\":1}"), ("09", "{\"n\":2}\n{\"n\":3}"), ("10", "{\"n\":4}")] {
        lake.add(&["2026-11-19", hour], &list, rows).await;
    }
    lake
}

#[tokio::test]
async fn a_query_for_one_hour_opens_only_that_hours_file() {
    let lake = three_hours().await;
    let filters = [
        "day = '2026-11-19' AND hour = '09'",
        "hour > '08' AND hour < '10'",
        "day || 'T' || hour = '2026-11-19T09'",
        "hour LIKE '%9' AND n > 0",
        "cast(hour AS int) IN (9, 11) AND day < '2027'",
        "(hour = '09' OR hour = '11') AND (n = 2 OR day = '2026-11-19')",
        "cast(day || 'T' || hour || ':00:00Z' AS timestamp) = timestamp '2026-11-19T09:00:00Z'",
    ];
    for filter in filters {
        let plan = lake.csv(&format!("EXPLAIN SELECT n FROM shop.clicks WHERE {filter}")).await.unwrap();
        let named: Vec<&str> = ["hour=08", "hour=09", "hour=10"].into_iter().filter(|hour| plan.contains(&format!("{hour}/g0"))).collect();
        assert_eq!(named, ["hour=09"], "{filter}: {plan}");
        assert_eq!(plan.matches("part-00000.parquet").count(), 1, "{filter}: {plan}");
    }
    lake.check("SELECT n, hour FROM shop.clicks WHERE hour = '09' ORDER BY n", &["2,09", "3,09"]).await;
    lake.check("SELECT sum(n), count(*) FROM shop.clicks WHERE hour <> '09'", &["5,2"]).await;
    lake.check("SELECT hour, count(*) FROM shop.clicks GROUP BY hour ORDER BY hour", &["08,1", "09,2", "10,1"]).await;
}

#[tokio::test]
async fn filters_that_are_known_late_hold_too() {
    let lake = three_hours().await;
    lake.check("SELECT n FROM shop.clicks WHERE hour = (SELECT max(hour) FROM shop.clicks)", &["4"]).await;
    lake.check("SELECT n FROM shop.clicks WHERE hour IN (SELECT hour FROM shop.clicks WHERE n = 1)", &["1"]).await;
    lake.check("SELECT a.n FROM shop.clicks a JOIN shop.clicks b ON a.hour = b.hour AND b.n = 4", &["4"]).await;
    lake.check("SELECT count(*) FROM shop.clicks WHERE day < cast(now() AS string) AND random() < 2", &["4"]).await;
    lake.check("SELECT n FROM shop.clicks WHERE hour < '10' ORDER BY n DESC LIMIT 1", &["3"]).await;
    lake.check("SELECT count(*) FROM (SELECT n FROM shop.clicks WHERE n > 1 AND hour > '08' LIMIT 2)", &["2"]).await;
}

#[tokio::test]
async fn a_table_without_keys_is_one_folder() {
    let list = [("n", BigInt)];
    let lake = Lake::new(&list, &[]).await;
    write_parquet(&lake.folder.path().join("shop/clicks/part-00000.parquet"), &columns(&list), "{\"n\":1}\n{\"n\":2}");
    lake.check("SELECT sum(n) FROM shop.clicks WHERE n > 1", &["2"]).await;
    lake.check("SELECT n FROM shop.clicks WHERE now() IS NULL", &[]).await;
}

#[tokio::test]
async fn no_partition_and_no_file_are_no_rows() {
    let lake = three_hours().await;
    lake.check("SELECT n FROM shop.clicks WHERE hour = '23'", &[]).await;
    lake.check("SELECT count(*) FROM shop.clicks WHERE hour = '23'", &["0"]).await;
    lake.register_only(&["2026-11-19", "11"], "day=2026-11-19/hour=11/g00000001-a/").await;
    lake.check("SELECT count(*) FROM shop.clicks", &["4"]).await;
    let empty = Lake::new(&[("n", BigInt)], &[("hour", Text)]).await;
    lake.check("SELECT n FROM shop.clicks WHERE n < 0", &[]).await;
    empty.check("SELECT count(*) FROM shop.clicks WHERE hour > '1'", &["0"]).await;
}

#[tokio::test]
async fn hidden_files_are_not_read() {
    let lake = three_hours().await;
    let folder = lake.folder.path().join("shop/clicks/day=2026-11-19/hour=08/g00000001-a");
    for name in ["_part.parquet", ".part.parquet", "part.parquet.tmp", "_SUCCESS"] {
        std::fs::write(folder.join(name), "not parquet").unwrap();
    }
    lake.check("SELECT n FROM shop.clicks WHERE hour = '08'", &["1"]).await;
}

#[tokio::test]
async fn partition_values_have_the_type_of_their_key() {
    let list = [("n", BigInt)];
    let lake = Lake::new(&list, &[("day", HiveType::Date), ("hour", Int)]).await;
    lake.add(&["2026-11-19", "08"], &list, "{\"n\":1}").await;
    lake.add(&["2026-11-19", "10"], &list, "{\"n\":2}").await;
    lake.add(&["2026-11-20", "__HIVE_DEFAULT_PARTITION__"], &list, "{\"n\":3}").await;
    lake.check("SELECT n, hour + 1 FROM shop.clicks WHERE hour > 8", &["2,11"]).await;
    lake.check("SELECT n, hour FROM shop.clicks WHERE hour IS NULL AND day = date '2026-11-20'", &["3,"]).await;
    lake.register_only(&["2026-11-20", "noon"], "x/").await;
    let error = lake.refused("SELECT n FROM shop.clicks").await;
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.to_string().contains("[\"2026-11-20\", \"noon\"]") && error.to_string().contains("`hour`"), "{error}");
}

#[tokio::test]
async fn values_that_are_escaped_in_the_path_are_found() {
    let list = [("n", BigInt)];
    let lake = Lake::new(&list, &[("page", Text)]).await;
    lake.add(&["a/b 100%"], &list, "{\"n\":1}").await;
    lake.check("SELECT n, page FROM shop.clicks WHERE page = 'a/b 100%'", &["1,a/b 100%"]).await;
}

/// The table after years: wider types, more columns, more fields.
async fn evolved() -> Lake {
    let page = |more: &[(&str, HiveType)]| record(&[&[("url", Text)], more].concat());
    let item = |more: &[(&str, HiveType)]| record(&[&[("sku", Text)], more].concat());
    let now = [
        ("id", Text),
        ("n", BigInt),
        ("ratio", Double),
        ("price", Decimal(12, 2)),
        ("page", page(&[("title", Text), ("depth", BigInt)])),
        ("items", array(item(&[("count", Int)]))),
        ("attributes", map(Text, Text)),
        ("at", Timestamp),
    ];
    let then = [
        ("n", Int),
        ("old", Text),
        ("price", Decimal(5, 2)),
        ("ratio", Float),
        ("page", page(&[])),
        ("items", array(item(&[]))),
        ("id", Text),
    ];
    let lake = Lake::new(&now, &[("hour", Text)]).await;
    let old_row =
        "{\"n\":1,\"old\":\"x\",\"price\":\"1.50\",\"ratio\":0.5,\"page\":{\"url\":\"/a\"},\"items\":[{\"sku\":\"s1\"}],\"id\":\"a\"}";
    let new_row = "{\"id\":\"b\",\"n\":3000000000,\"ratio\":1.5,\"price\":\"1234567890.25\",\"page\":{\"url\":\"/b\",\"title\":\"B\",\"depth\":2},
        \"items\":[{\"sku\":\"s2\",\"count\":7},{\"sku\":\"s3\"}],\"attributes\":{\"utm_source\":\"mail\",\"x\":null},\"at\":\"2026-11-19T14:00:00.123456Z\"}";
    lake.add(&["08"], &then, old_row).await;
    lake.add(&["09"], &now, &new_row.replace('\n', " ")).await;
    lake
}

#[tokio::test]
async fn old_files_read_as_the_table_is_now() {
    let lake = evolved().await;
    let every = "SELECT id, n, ratio, price, page, items, attributes, at FROM shop.clicks ORDER BY hour";
    let old = "a,1,0.5,1.50,\"{\"\"url\"\":\"\"/a\"\",\"\"title\"\":null,\"\"depth\"\":null}\",\"[{\"\"sku\"\":\"\"s1\"\",\"\"count\"\":null}]\",,";
    let new = "b,3000000000,1.5,1234567890.25,\"{\"\"url\"\":\"\"/b\"\",\"\"title\"\":\"\"B\"\",\"\"depth\"\":2}\",\
        \"[{\"\"sku\"\":\"\"s2\"\",\"\"count\"\":7},{\"\"sku\"\":\"\"s3\"\",\"\"count\"\":null}]\",\
        \"{\"\"utm_source\"\":\"\"mail\"\",\"\"x\"\":null}\",2026-11-19T14:00:00.123456Z";
    lake.check(every, &[old, new]).await;
}

#[tokio::test]
async fn filters_on_columns_hold_for_files_of_every_age() {
    let lake = evolved().await;
    let checks = [
        ("n < 3000000000", "a"),
        ("n = 3000000000", "b"),
        ("price = 1.5", "a"),
        ("ratio > 1", "b"),
        ("at IS NULL", "a"),
        ("at > timestamp '2026-11-19T00:00:00Z'", "b"),
        ("page.title IS NULL", "a"),
        ("page.depth = 2", "b"),
        ("attributes['utm_source'] = 'mail'", "b"),
        ("attributes['utm_source'] IS NULL", "a"),
        ("items[1].count = 7", "b"),
        ("n = 1 OR hour = '10'", "a"),
    ];
    for (filter, id) in checks {
        lake.check(&format!("SELECT id FROM shop.clicks WHERE {filter}"), &[id]).await;
    }
}

#[tokio::test]
async fn nested_values_are_reached_as_in_athena() {
    let lake = evolved().await;
    let sql = |what: &str| format!("SELECT {what} FROM shop.clicks ORDER BY hour");
    lake.check(&sql("attributes['utm_source'] || '!'"), &["", "mail!"]).await;
    lake.check(&sql("attributes['missing'], attributes['x']"), &[",", ","]).await;
    lake.check(&sql("element_at(attributes, 'utm_source'), element_at(attributes, 'missing')"), &[",", "mail,"]).await;
    lake.check(&sql("attributes['utm_' || 'source'], attributes[lower(upper('x') || hour)]"), &[",", "mail,"]).await;
    lake.check(&sql("element_at(items, 1).sku, element_at(items, -1)['sku']"), &["s1,s1", "s2,s3"]).await;
    lake.check(&sql("page.url, page['url'] AS u, upper(page.title)"), &["/a,/a,", "/b,/b,B"]).await;
    lake.check(&sql("items[1].sku, items[2].sku, items[1].count, cardinality(items)"), &["s1,,,1", "s2,s3,7,2"]).await;
    lake.check(&sql("date_trunc('hour', at), extract(hour FROM at)"), &[",", "2026-11-19T14:00:00Z,14"]).await;
}

#[tokio::test]
async fn maps_with_other_keys_and_values_are_written() {
    let list = [("m", map(Int, record(&[("a", Decimal(4, 2))])))];
    let lake = Lake::new(&list, &[("hour", Text)]).await;
    let file = lake.folder.path().join("shop/clicks/h/g/part-00000.parquet");
    write_parquet(&file, &columns(&list), "{\"m\":null}");
    lake.register_only(&["1"], "h/g/").await;
    lake.check("SELECT m, map([7], [named_struct('a', m[1].a)]) FROM shop.clicks", &[",\"{\"\"7\"\":{\"\"a\"\":null}}\""]).await;
}

#[tokio::test]
async fn the_catalog_can_be_looked_at() {
    let lake = three_hours().await;
    let tables = lake.csv("SHOW TABLES").await.unwrap();
    assert!(tables.contains("awsdatacatalog,shop,clicks,BASE TABLE"), "{tables}");
    lake.check("DESCRIBE shop.clicks", &["n,Int64,YES", "day,Utf8,YES", "hour,Utf8,YES"]).await;
    lake.check("SELECT count(*) FROM awsdatacatalog.SHOP.Clicks AS c WHERE C.HOUR = '09'", &["2"]).await;
    lake.check("WITH x(n) AS (VALUES (1), (2)) SELECT sum(n) FROM x", &["3"]).await;
}

#[tokio::test]
async fn whatever_would_change_something_is_refused() {
    let lake = three_hours().await;
    let target = lake.folder.path().join("copy.csv");
    let copy = format!("COPY shop.clicks TO '{}' STORED AS PARQUET", target.display());
    let writes = [
        "CREATE TABLE x AS SELECT 1",
        "CREATE VIEW v AS SELECT 1",
        "CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'",
        "DROP TABLE shop.clicks",
        "INSERT INTO shop.clicks VALUES (1, 'a', 'b')",
        "DELETE FROM shop.clicks",
        "SET datafusion.execution.time_zone = 'CET'",
        "EXPLAIN ANALYZE INSERT INTO shop.clicks VALUES (1, 'a', 'b')",
        &copy,
        "SELECT 1; SELECT 2",
    ];
    for sql in writes {
        assert_eq!(lake.refused(sql).await.kind(), Kind::Config, "{sql}");
    }
    assert!(!target.exists());
    let error = lake.refused("DROP TABLE shop.clicks").await.to_string();
    assert!(error.contains("a query may be SELECT"), "{error}");
}

#[tokio::test]
async fn what_is_wrong_with_a_query_is_said_in_one_sentence() {
    let lake = three_hours().await;
    let checks = [
        ("SELECT n FROM shop.click", "there is no table `shop.click`; did you mean `shop.clicks`? the tables are shop.clicks"),
        ("SELECT n FROM clicks", "there is no table `clicks`; did you mean `shop.clicks`? the tables are shop.clicks"),
        ("SELECT m FROM shop.clicks", "the query cannot be run: no field named m"),
        ("SELEKT 1", "the query cannot be run: expected: an SQL statement, found: SELEKT"),
        ("SELECT nofunction(n) FROM shop.clicks", "the query cannot be run: invalid function 'nofunction'"),
        ("SELECT 1 / 0", "the query cannot be run: divide by zero"),
    ];
    for (sql, says) in checks {
        let error = lake.refused(sql).await;
        assert_eq!(error.kind(), Kind::Config, "{sql}");
        assert!(error.to_string().starts_with(says), "{sql}: {error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    std::fs::write(lake.folder.path().join("shop/clicks/day=2026-11-19/hour=08/g00000001-a/part-00000.parquet"), "junk").unwrap();
    assert_eq!(lake.refused("SELECT sum(n) FROM shop.clicks").await.kind(), Kind::Data);
}
