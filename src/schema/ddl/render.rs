//! A schema written as the statement that creates it.

use crate::schema::{Column, HiveType, TableSchema};

/// Words that Athena's DDL takes as names only in backticks
/// (<https://docs.aws.amazon.com/athena/latest/ug/reserved-words.html>).
const RESERVED: &str = "all alter and array as authorization between bigint binary boolean both by case cashe cast char column conf \
    constraint commit create cross cube current current_date current_timestamp cursor database date dayofweek decimal delete describe \
    distinct div double drop else end exchange exists extended external extract false fetch float floor following for foreign from full \
    function grant group grouping having if import in inner insert int integer intersect interval into is join lateral left less like \
    local macro map more none not null numeric of on only or order out outer over partialscan partition percent preceding precision \
    preserve primary procedure range reads reduce regexp references revoke right rlike rollback rollup row rows select set smallint start \
    table tablesample then time timestamp to transform trigger true truncate unbounded union uniquejoin update user using utc_timestamp \
    values varchar views when where window with";

/// The statement that creates the table, one column a line, with `comments` as `--` lines above it. [`super::parse`] reads it back.
///
/// `table` and `location` stand in it as given: names, or `${table}` and `${location}`.
pub fn render_create(schema: &TableSchema, table: &str, location: &str, comments: &[String]) -> String {
    let mut text = String::new();
    for line in comments.iter().flat_map(|comment| comment.lines()) {
        // What looks like a placeholder would be taken for one.
        text += &format!("-- {}\n", line.replace("${", "$ {"));
    }
    text += &format!("CREATE EXTERNAL TABLE {table} (\n{}\n)\n", column_lines(&schema.columns));
    if !schema.partition_keys.is_empty() {
        text += &format!("PARTITIONED BY (\n{}\n)\n", column_lines(&schema.partition_keys));
    }
    text += &format!("STORED AS PARQUET\nLOCATION '{}';\n", escaped(location));
    text
}

fn column_lines(columns: &[Column]) -> String {
    let lines: Vec<String> = columns.iter().map(|column| format!("  {}", column_line(column))).collect();
    lines.join(",\n")
}

fn column_line(column: &Column) -> String {
    let definition = format!("{} {}", name(&column.name), type_text(&column.hive));
    match &column.comment {
        // `\{` is `{` to the tokenizer, and keeps `${` from being a placeholder.
        Some(comment) => format!("{definition} COMMENT '{}'", escaped(comment).replace("${", "$\\{")),
        None => definition,
    }
}

/// The type with those of its field names in backticks that need them.
fn type_text(hive: &HiveType) -> String {
    match hive {
        HiveType::Array(element) => format!("array<{}>", type_text(element)),
        HiveType::Map(key, value) => format!("map<{},{}>", type_text(key), type_text(value)),
        HiveType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|(field, hive)| format!("{}:{}", name(field), type_text(hive))).collect();
            format!("struct<{}>", fields.join(","))
        }
        primitive => primitive.to_string(),
    }
}

/// Hive's names start with a letter or digit, but `1e5` and `10l` are numbers to it, so a leading digit is quoted too.
fn name(name: &str) -> String {
    let bare = name.starts_with(|c: char| c.is_ascii_lowercase()) && !RESERVED.split_ascii_whitespace().any(|word| word == name);
    if bare { name.to_string() } else { format!("`{name}`") }
}

/// A text as it stands between single quotes.
pub fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
