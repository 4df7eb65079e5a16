//! Migrations: one statement of Athena's DDL, read into a schema; and the statement that a schema is written as.

mod checks;
mod reader;
mod render;

pub use render::{escaped, render_create};

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::Token;

use crate::catalog::{Parameters, TableName};
use crate::error::{Error, Result};
use crate::schema::{Column, HiveType, TableSchema};
use checks::List;
use reader::Reader;

/// What `${table}` and `${location}` stand for in a migration; literal names and locations have to agree with them.
#[derive(Debug, Clone, Copy)]
pub struct Placeholders<'a> {
    /// The configured name of the table.
    pub table: &'a TableName,
    /// The configured location, a URL.
    pub location: &'a str,
}

/// What a migration does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `CREATE EXTERNAL TABLE`.
    CreateTable(CreateTable),
}

/// `CREATE EXTERNAL TABLE`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTable {
    /// Columns and partition keys.
    pub schema: TableSchema,
    /// `COMMENT` of the table, at most 2048 characters.
    pub comment: Option<String>,
    /// `TBLPROPERTIES`.
    pub parameters: Parameters,
}

/// Reads a migration: one statement, with comments and a final `;` if need be.
///
/// # Errors
/// `Config`, starting with the line and column, for whatever Athena's grammar, the catalog's limits or the configuration do not
/// allow, and for statements that lakebed does not apply.
pub fn parse(text: &str, names: &Placeholders) -> Result<Statement> {
    let filled = fill(text, names)?;
    let mut reader = Reader::new(&filled)?;
    let create = create_table(&mut reader, names)?;
    while reader.takes(&Token::SemiColon) {}
    if !reader.is_at_end() {
        return Err(reader.wrong_here("a migration holds one statement; put the next one into a file of its own"));
    }
    Ok(Statement::CreateTable(create))
}

/// The text with its placeholders filled in. The location may hold quotes, so it is escaped as the literal needs it.
fn fill(text: &str, names: &Placeholders) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        filled.push_str(before);
        let line = || text[..text.len() - after.len()].lines().count();
        let missing = || Error::config(format!("line {}: the `}}` of a `${{` is missing", line()));
        let (name, behind) = after.split_once('}').ok_or_else(missing)?;
        match name {
            "table" => filled.push_str(&names.table.to_string()),
            "location" => filled.push_str(&render::escaped(names.location)),
            other => {
                let other: String = other.chars().take(40).collect();
                let problem = format!("line {}: `${{{other}}}` is unknown; a migration has ${{table}} and ${{location}}", line());
                return Err(Error::config(problem));
            }
        }
        rest = behind;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn create_table(reader: &mut Reader, names: &Placeholders) -> Result<CreateTable> {
    if !reader.keywords(&[Keyword::CREATE, Keyword::EXTERNAL, Keyword::TABLE]) {
        return Err(reader.wrong_here(&checks::refused_statement(&reader.upcoming::<3>())));
    }
    reader.keywords(&[Keyword::IF, Keyword::NOT, Keyword::EXISTS]);
    table_name(reader, names.table)?;

    let mut schema = TableSchema { columns: Vec::new(), partition_keys: Vec::new() };
    schema.columns = column_list(reader, List::Columns)?;
    let place = reader.place();
    let comment = if reader.keywords(&[Keyword::COMMENT]) { Some(reader.literal("the table's comment")?) } else { None };
    checks::table_comment(comment.as_deref()).map_err(|problem| Reader::wrong_at(place, &problem))?;
    if reader.keywords(&[Keyword::PARTITIONED, Keyword::BY]) {
        schema.partition_keys = column_list(reader, List::Keys(&schema.columns))?;
    }
    stored_as_parquet(reader)?;
    table_location(reader, names.location)?;
    let parameters = properties(reader)?;
    Ok(CreateTable { schema, comment: comment.filter(|text| !text.is_empty()), parameters })
}

/// `[db.]t`, also in one pair of backticks, as `SHOW CREATE TABLE` prints it.
fn table_name(reader: &mut Reader, table: &TableName) -> Result<()> {
    let place = reader.place();
    let mut name = reader.name("the table's name or ${table}")?;
    while reader.takes(&Token::Period) {
        name.push('.');
        name.push_str(&reader.name("the table's name")?);
    }
    let lower = name.to_ascii_lowercase();
    if lower == table.name || lower == table.to_string() {
        return Ok(());
    }
    let problem = format!("the migration creates `{name}`, but the configured table is `{table}`; write ${{table}}");
    Err(Reader::wrong_at(place, &problem))
}

/// `(name type [COMMENT '…'], …)`.
fn column_list(reader: &mut Reader, list: List) -> Result<Vec<Column>> {
    reader.expect(&Token::LParen, list.name())?;
    let mut columns = Vec::new();
    loop {
        let place = reader.place();
        let column = column(reader)?;
        checks::column(&column, &columns, list).map_err(|problem| Reader::wrong_at(place, &problem))?;
        columns.push(column);
        if !reader.takes(&Token::Comma) {
            break;
        }
    }
    reader.expect(&Token::RParen, "the end of the list, or a comma and another column")?;
    Ok(columns)
}

/// `name type [COMMENT '…']`. sqlparser's own column types do not cover Hive's (`map<…>`, `struct<…>` with Hive's names, bare
/// `decimal`), so the type's text goes to [`HiveType::parse`].
fn column(reader: &mut Reader) -> Result<Column> {
    let name = reader.name("a column's name")?.to_ascii_lowercase();
    let place = reader.place();
    let text = reader.type_text();
    let hive = HiveType::parse(&text).map_err(|e| Reader::wrong_at(place, &format!("column `{name}`: {e}")))?;
    let comment = if reader.keywords(&[Keyword::COMMENT]) { Some(reader.literal("the column's comment")?) } else { None };
    Ok(Column { name, hive, comment: comment.filter(|text| !text.is_empty()) })
}

fn stored_as_parquet(reader: &mut Reader) -> Result<()> {
    reader.expect_keywords(&[Keyword::STORED, Keyword::AS], "STORED AS PARQUET")?;
    if reader.keywords(&[Keyword::PARQUET]) {
        return Ok(());
    }
    let [format] = reader.upcoming::<1>();
    Err(reader.wrong_here(&format!("lakebed writes Parquet only; write STORED AS PARQUET instead of STORED AS {format}")))
}

fn table_location(reader: &mut Reader, location: &str) -> Result<()> {
    reader.expect_keywords(&[Keyword::LOCATION], "LOCATION '${location}'")?;
    let place = reader.place();
    let written = reader.literal("the location, or '${location}'")?;
    if written.trim_end_matches('/') == location.trim_end_matches('/') {
        return Ok(());
    }
    let problem = format!("the migration's location is `{written}`, but the configured one is `{location}`; write '${{location}}'");
    Err(Reader::wrong_at(place, &problem))
}

/// `[TBLPROPERTIES ('k'='v', …)]`.
fn properties(reader: &mut Reader) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    if !reader.keywords(&[Keyword::TBLPROPERTIES]) {
        return Ok(parameters);
    }
    reader.expect(&Token::LParen, "the list of properties")?;
    loop {
        let place = reader.place();
        let key = reader.literal("a property's name")?;
        reader.expect(&Token::Eq, "the property's value")?;
        let value = reader.literal("the property's value")?;
        checks::property(&key, &value).map_err(|problem| Reader::wrong_at(place, &problem))?;
        if parameters.insert(key.clone(), value).is_some() {
            return Err(Reader::wrong_at(place, &format!("the property `{key}` is there twice; leave one out")));
        }
        if !reader.takes(&Token::Comma) {
            break;
        }
    }
    reader.expect(&Token::RParen, "the end of the properties, or a comma and another one")?;
    Ok(parameters)
}

#[cfg(test)]
mod tests;
