//! What a migration may not say, and why.

use crate::schema::{Column, HiveType, is_name};

/// Which list a column is in.
#[derive(Clone, Copy)]
pub(super) enum List<'a> {
    /// Columns that the files hold.
    Columns,
    /// Partition keys, after those columns.
    Keys(&'a [Column]),
}

impl List<'_> {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Columns => "the list of columns",
            Self::Keys(_) => "the list of partition keys",
        }
    }
}

/// Checks a column against those before it in its list.
pub(super) fn column(column: &Column, before: &[Column], list: List) -> Result<(), String> {
    let name = &column.name;
    if !is_name(name) {
        let short: String = name.chars().take(40).collect();
        return Err(format!("`{short}` cannot be a column's name; Athena takes 1 to 255 of the characters a-z, 0-9 and _"));
    }
    if before.iter().any(|other| other.name == *name) {
        return Err(format!("column `{name}` is there twice (upper and lower case are the same); leave one out"));
    }
    if let Some(comment) = &column.comment {
        column_comment(comment).map_err(|problem| format!("the comment of column `{name}` {problem}"))?;
    }
    let List::Keys(columns) = list else { return Ok(()) };
    if columns.iter().any(|other| other.name == *name) {
        return Err(format!(
            "`{name}` is a partition key and a column; leave it out of the columns: its value comes from the partition, not from the files"
        ));
    }
    let allowed = matches!(
        column.hive,
        HiveType::String
            | HiveType::Varchar(_)
            | HiveType::Char(_)
            | HiveType::TinyInt
            | HiveType::SmallInt
            | HiveType::Int
            | HiveType::BigInt
            | HiveType::Date
    );
    if allowed {
        return Ok(());
    }
    Err(format!(
        "partition key `{name}` has the type {}; use string, which Athena prunes best (or char, varchar, an integer type, date)",
        column.hive
    ))
}

/// Glue keeps 255 characters in one line.
fn column_comment(comment: &str) -> Result<(), String> {
    let characters = comment.chars().count();
    if characters > 255 {
        return Err(format!("has {characters} characters; Glue keeps at most 255"));
    }
    if comment.chars().any(|c| c.is_control() && c != '\t') {
        return Err("has a line break or another control character; Glue keeps one line".to_string());
    }
    Ok(())
}

/// Glue keeps 2048 characters, in several lines, for a table.
pub(super) fn table_comment(comment: Option<&str>) -> Result<(), String> {
    match comment.map_or(0, |text| text.chars().count()) {
        ..=2048 => Ok(()),
        characters => Err(format!("the table's comment has {characters} characters; Glue keeps at most 2048")),
    }
}

/// Checks one of `TBLPROPERTIES`.
pub(super) fn property(key: &str, value: &str) -> Result<(), String> {
    let is_set_to = |name: &str, to: &str| key.eq_ignore_ascii_case(name) && value.trim().eq_ignore_ascii_case(to);
    if is_set_to("projection.enabled", "true") {
        return Err("with projection.enabled Athena ignores the registered partitions, their locations and their columns, \
                    so it would not see what lakebed commits; leave partition projection out"
            .to_string());
    }
    if is_set_to("EXTERNAL", "false") {
        return Err("with EXTERNAL = FALSE a DROP TABLE in Hive or Spark deletes the data; leave it out".to_string());
    }
    if key.starts_with("lakebed.") {
        return Err(format!("the property `{key}` is one of lakebed's own; leave it out"));
    }
    if !(1..=255).contains(&key.len()) || value.len() > 512_000 {
        return Err("a property has a name of 1 to 255 bytes and a value of at most 512000".to_string());
    }
    Ok(())
}

/// Why a statement that does not start with `CREATE EXTERNAL TABLE` is not applied; takes its first words.
pub(super) fn refused_statement(words: &[String; 3]) -> String {
    let [first, second, third] = words.each_ref().map(String::as_str);
    let only = "this version applies CREATE EXTERNAL TABLE only";
    match (first, second) {
        ("the end" | "`;`", _) => "the migration holds no statement; write a CREATE EXTERNAL TABLE".to_string(),
        ("CREATE", "TABLE") => "only an external table can have files that lakebed writes; write CREATE EXTERNAL TABLE, \
                                with columns and without AS SELECT"
            .to_string(),
        ("CREATE", "DATABASE" | "SCHEMA") => format!("{only}; a missing database is created together with its first table"),
        ("CREATE", "EXTERNAL") => format!("expected TABLE after CREATE EXTERNAL, found {third}"),
        ("ALTER", _) => format!("ALTER {second} is not supported yet: {only}"),
        ("DROP" | "TRUNCATE", _) => format!("a migration never deletes, and {first} does; {only}"),
        ("MSCK", _) => format!("MSCK would register folders that no reader may see, and lakebed registers partitions itself; {only}"),
        ("INSERT" | "SELECT" | "WITH" | "UNLOAD" | "DELETE" | "UPDATE" | "MERGE" | "VALUES", _) => {
            format!("a migration changes the schema and never reads or writes rows, as {first} does; {only}")
        }
        _ => format!("a statement with {first} is not supported; {only}"),
    }
}

/// Why a clause that may start with `word` is not applied, if it is one that is known.
pub(super) fn refused_clause(word: &str) -> Option<String> {
    let reason = match word {
        "ROW" | "SERDE" | "INPUTFORMAT" => "lakebed writes Parquet only; write STORED AS PARQUET and leave out ROW FORMAT and SERDE",
        "CLUSTERED" | "SKEWED" | "SORTED" => {
            "buckets are not supported; leave out the clause, and let `sort_by` of the configuration order the rows"
        }
        "AS" | "LIKE" => "a migration lists the table's columns and carries no query; leave out AS SELECT and LIKE",
        "COMMENT" | "PARTITIONED" | "STORED" | "LOCATION" | "TBLPROPERTIES" => {
            return Some(format!(
                "{word} stands in the wrong place; the order is columns, COMMENT, PARTITIONED BY, STORED AS, LOCATION, TBLPROPERTIES"
            ));
        }
        _ => return None,
    };
    Some(reason.to_string())
}
