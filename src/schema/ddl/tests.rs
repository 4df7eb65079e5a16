//! Statements in, schemas and refusals out.

use proptest::prelude::*;

use super::*;
use crate::schema::testing;

const CLICKS: &str = "CREATE EXTERNAL TABLE ${table} (id bigint, name string) STORED AS PARQUET LOCATION '${location}'";

fn table() -> TableName {
    TableName { database: "shop".into(), name: "clicks".into() }
}

fn read(text: &str) -> Result<CreateTable> {
    let Statement::CreateTable(create) = parse(text, &Placeholders { table: &table(), location: "s3://acme-lake/shop/clicks/" })?;
    Ok(create)
}

/// The schema that a statement makes, as one line.
fn check(text: &str, expected: &str) {
    let create = read(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let list = |columns: &[Column]| {
        let line = |c: &Column| {
            let comment = c.comment.as_ref().map(|text| format!(" -- {text}")).unwrap_or_default();
            format!("{} {}{comment}", c.name, c.hive)
        };
        columns.iter().map(line).collect::<Vec<_>>().join("; ")
    };
    let schema = &create.schema;
    assert_eq!(format!("{} | {}", list(&schema.columns), list(&schema.partition_keys)), expected, "{text}");
}

fn refused(text: &str, because: &str) {
    match read(text) {
        Ok(_) => panic!("was read: {text}"),
        Err(e) => assert!(e.to_string().contains(because), "{text}: {e}"),
    }
}

/// A statement with other columns, or with something else before `STORED AS PARQUET`.
fn with(columns: &str, clauses: &str) -> String {
    format!("CREATE EXTERNAL TABLE ${{table}} ({columns}) {clauses} STORED AS PARQUET LOCATION '${{location}}'")
}

#[test]
fn a_whole_statement_is_read() {
    let create = read(
        r#"-- clicks of the shop
        create External table IF NOT EXISTS `shop`.Clicks ( /* what
          Firehose brings */
          Id            BIGINT COMMENT 'the event''s id, it\'s unique',
          `_page`       struct<url: string, `date`:date, tags:array<map<string,array<int>>>>,
          price         decimal(10, 2) comment "a \"price\"", -- in EUR
          rescued       map<string, string>
        )
        COMMENT 'two
lines'
        PARTITIONED BY (year string COMMENT 'UTC', month string, hour int)
        STORED AS PARQUET
        LOCATION 's3://acme-lake/shop/clicks'
        TBLPROPERTIES ('parquet.compression' = 'ZSTD', "projection.enabled"='false');
        "#,
    )
    .unwrap();
    let column = |name: &str, text: &str, comment: Option<&str>| Column {
        name: name.into(),
        hive: HiveType::parse(text).unwrap(),
        comment: comment.map(String::from),
    };
    assert_eq!(
        create.schema.columns,
        [
            column("id", "bigint", Some("the event's id, it's unique")),
            column("_page", "struct<url:string,date:date,tags:array<map<string,array<int>>>>", None),
            column("price", "decimal(10,2)", Some("a \"price\"")),
            column("rescued", "map<string,string>", None),
        ]
    );
    assert_eq!(
        create.schema.partition_keys,
        [column("year", "string", Some("UTC")), column("month", "string", None), column("hour", "int", None)]
    );
    assert_eq!(create.comment.as_deref(), Some("two\nlines"));
    let parameters: Vec<_> = create.parameters.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(parameters, ["parquet.compression=ZSTD", "projection.enabled=false"]);
}

#[test]
fn names_and_locations_come_from_the_configuration_or_agree_with_it() {
    check(CLICKS, "id bigint; name string | ");
    check(&CLICKS.replace("${table}", "`${table}`"), "id bigint; name string | ");
    check(&CLICKS.replace("${table}", "clicks"), "id bigint; name string | ");
    check(&CLICKS.replace("${table}", "`shop.clicks`"), "id bigint; name string | ");
    check(&CLICKS.replace("${location}", "s3://acme-lake/shop/clicks"), "id bigint; name string | ");
    refused(
        &CLICKS.replace("${table}", "shop.views"),
        "line 1, column 23: the migration creates `shop.views`, but the configured table is `shop.clicks`",
    );
    refused(&CLICKS.replace("${table}", "other.clicks"), "`other.clicks`");
    refused(
        &CLICKS.replace("${location}", "s3://acme-lake/shop/click"),
        "the migration's location is `s3://acme-lake/shop/click`, but the configured one is `s3://acme-lake/shop/clicks/`",
    );
    refused(&format!("\n\n{}", CLICKS.replace("${table}", "${tabel}")), "line 3: `${tabel}` is unknown");
    refused(&CLICKS.replace("${table}", "${table"), "`${table (id");
    refused(&CLICKS.replace("${location}'", "${location"), "the `}` of a `${` is missing");
}

#[test]
fn a_location_with_quotes_is_filled_in_as_it_is() {
    let location = r"file:///home/o'neil/a\b/";
    let names = Placeholders { table: &table(), location };
    assert!(parse(CLICKS, &names).is_ok());
}

#[test]
fn types_end_where_the_column_ends() {
    check(&with("a struct<comment:string> COMMENT 'x', b array<array<int>>", ""), "a struct<comment:string> -- x; b array<array<int>> | ");
    check(&with("comment string comment '', b /* , */ decimal /* of */ ( 5 , 1 )", ""), "comment string; b decimal(5,1) | ");
    check(&with("a struct<`0x1f`:int,1e5:int>,`1` int, date date", ""), "a struct<0x1f:int,1e5:int>; 1 int; date date | ");
    refused(&with("a big int", ""), "column `a`: cannot read the type `big int`");
    refused(&with("a, b int", ""), "column `a`: cannot read the type ``");
    refused(&with("a array<int, b string", ""), "column `a`: cannot read the type `array<int, b string`");
    refused(&with("a int>>, b string", ""), "column `a`");
    refused(&with("a string NOT NULL", ""), "the type ends here");
    refused(&with("a struct<b:int COMMENT 'x'>", ""), "no comments of struct fields");
    refused(&with("\n a text", ""), "line 2, column 4: column `a`: cannot read the type `text`");
}

#[test]
fn columns_and_keys_are_checked() {
    refused(&with("", ""), "expected a column's name, found `)`");
    refused(&with("a int,", ""), "expected a column's name, found `)`");
    refused(&with("'a' int", ""), "expected a column's name, found `'a'`");
    refused(&with("a int, A string", ""), "column `a` is there twice");
    refused(&with("`a-b` int", ""), "`a-b` cannot be a column's name");
    refused(&with("`é` int", ""), "cannot be a column's name");
    refused(&with(&format!("{} int", "a".repeat(256)), ""), "1 to 255");
    refused(&with(&format!("a int COMMENT '{}'", "x".repeat(256)), ""), "256 characters; Glue keeps at most 255");
    refused(&with("a int COMMENT 'x\ny'", ""), "the comment of column `a` has a line break");
    refused(&with("a int COMMENT x", ""), "expected the column's comment, in quotes, found X");
    refused(&with("a int", &format!("COMMENT '{}'", "x".repeat(2049))), "at most 2048");
    refused(&with("day int", "PARTITIONED BY (Day string)"), "`day` is a partition key and a column");
    refused(&with("a int", "PARTITIONED BY (day string, day int)"), "column `day` is there twice");
    refused(&with("a int", "PARTITIONED BY (at timestamp)"), "partition key `at` has the type timestamp; use string");
    refused(&with("a int", "PARTITIONED BY (p double)"), "use string");
    check(
        &with("a int", "PARTITIONED BY (p string, q char(2), r varchar(3), s tinyint, t bigint, u date)"),
        "a int | p string; q char(2); r varchar(3); s tinyint; t bigint; u date",
    );
}

#[test]
fn other_formats_and_clauses_are_refused() {
    refused(&with("a int", "ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'"), "write STORED AS PARQUET and leave out ROW FORMAT");
    refused(&CLICKS.replace("PARQUET", "ORC"), "instead of STORED AS ORC");
    refused(&CLICKS.replace("PARQUET", "INPUTFORMAT 'x' OUTPUTFORMAT 'y'"), "write STORED AS PARQUET");
    refused(&with("a int", "CLUSTERED BY (a) INTO 4 BUCKETS"), "buckets are not supported");
    refused(&with("a int", "PARTITIONED BY (b int) COMMENT 'late'"), "COMMENT stands in the wrong place");
    refused("CREATE EXTERNAL TABLE ${table} (a int) LOCATION '${location}'", "LOCATION stands in the wrong place");
    refused("CREATE EXTERNAL TABLE ${table} (a int) STORED AS PARQUET", "at the end: expected LOCATION '${location}', found the end");
    refused("CREATE EXTERNAL TABLE ${table} (a int) STORED AS PARQUET LOCATION 's3://x", "Unterminated string");
    refused("CREATE EXTERNAL TABLE ${table} LIKE shop.views", "leave out AS SELECT and LIKE");
}

#[test]
fn properties_are_checked() {
    let property = |list: &str| format!("{CLICKS} TBLPROPERTIES ({list})");
    refused(&property("'projection.enabled' = 'TRUE'"), "Athena ignores the registered partitions");
    refused(&property("'EXTERNAL'='FALSE'"), "deletes the data");
    refused(&property("'lakebed.generation'='x'"), "one of lakebed's own");
    refused(&property("'a'='x','a'='y'"), "`a` is there twice");
    refused(&property("''='x'"), "1 to 255 bytes");
    refused(&property("a='x'"), "a property's name, in quotes");
    refused(&property("'a' 'x'"), "`=`: the property's value");
    refused(&property(""), "a property's name");
}

#[test]
fn other_statements_are_refused_with_the_reason() {
    refused("", "holds no statement");
    refused("-- nothing\n;", "holds no statement");
    refused("CREATE TABLE t (a int)", "write CREATE EXTERNAL TABLE");
    refused("CREATE TABLE t AS SELECT 1", "without AS SELECT");
    refused("CREATE DATABASE shop", "a missing database is created");
    refused("CREATE OR REPLACE VIEW v AS SELECT 1", "CREATE EXTERNAL TABLE only");
    refused("ALTER TABLE clicks ADD COLUMNS (a int)", "not supported yet: this version applies CREATE EXTERNAL TABLE only");
    refused("DROP TABLE clicks", "never deletes");
    refused("MSCK REPAIR TABLE clicks", "lakebed registers partitions itself");
    refused("INSERT INTO clicks SELECT 1", "never reads or writes rows");
    refused("UNLOAD (SELECT 1) TO 's3://x'", "never reads or writes rows");
    refused(&format!("{CLICKS};\nALTER TABLE clicks ADD COLUMNS (a int)"), "line 2, column 1: a migration holds one statement");
    refused(&format!("{CLICKS} {CLICKS}"), "a migration holds one statement");
    check(&format!("{CLICKS};; -- done"), "id bigint; name string | ");
}

#[test]
fn a_schema_is_written_with_one_column_a_line() {
    let create =
        read(&with("id bigint COMMENT 'it\\'s', `date` date, p struct<`_a`:int,user:string>", "PARTITIONED BY (year string)")).unwrap();
    let notes = ["`x` is null\neverywhere".to_string(), "costs ${amount}".to_string()];
    let text = render_create(&create.schema, "${table}", "${location}", &notes);
    let expected = r"-- `x` is null
-- everywhere
-- costs $ {amount}
CREATE EXTERNAL TABLE ${table} (
  id bigint COMMENT 'it\'s',
  `date` date,
  p struct<`_a`:int,`user`:string>
)
PARTITIONED BY (
  year string
)
STORED AS PARQUET
LOCATION '${location}';
";
    assert_eq!(text, expected);
    assert_eq!(read(&text).unwrap().schema, create.schema);
}

proptest! {
    #[test]
    fn every_schema_is_read_back_from_its_statement(schema in testing::table_schema(), note in "\\PC{0,30}") {
        let text = render_create(&schema, "${table}", "${location}", &[note]);
        prop_assert_eq!(read(&text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?.schema, schema);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(CREATE |EXTERNAL |TABLE |\\$\\{table\\}|\\(|\\)|a |int|<|>|,|'|`|COMMENT |;|--|/\\*|STORED AS PARQUET |LOCATION ){0,30}") {
        let _ = read(&text);
    }
}
