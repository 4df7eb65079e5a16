//! What went wrong with a query, in one sentence for people.

use datafusion::common::{DataFusionError, TableReference};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::parser::ParserError;

use crate::engine::local::CATALOG;
use crate::error::{Error, Kind};

/// A message lists at most this many tables.
const TABLES_LISTED: usize = 20;

/// From this similarity on, a table is what was meant.
const SIMILAR: f64 = 0.8;

/// Why a statement could not be planned: a table that does not exist, or what DataFusion says.
pub(super) async fn unplanned(ctx: &SessionContext, statement: &Statement, error: &DataFusionError) -> Error {
    match unknown_table(ctx, statement).await {
        Some(name) => no_such_table(&name, &tables(ctx)),
        None => failure(error),
    }
}

/// The refusal of a statement that writes.
pub(super) fn writing() -> Error {
    Error::config("this statement would change something; a query may be SELECT, WITH, VALUES, EXPLAIN, SHOW or DESCRIBE")
}

/// The error of a query as one of this crate's.
pub(super) fn failure(error: &DataFusionError) -> Error {
    let root = error.find_root();
    if let Some(own) = own(root) {
        return Error::new(own.kind(), own.to_string());
    }
    let text = sentence(root);
    match root {
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => {
            Error::unavailable(format!("a file of the query cannot be read: {text}; run it again, and if it fails again check the store"))
        }
        DataFusionError::ParquetError(_) => Error::data(format!(
            "a file of the query is not the parquet that its table says: {text}; `lakebed partitions` names its folder, restore the file there"
        )),
        DataFusionError::ResourcesExhausted(_) => {
            Error::config(format!("the query needs more memory than `memory` allows: {text}; raise it or ask for less"))
        }
        DataFusionError::Internal(_) => Error::internal(format!("the query engine failed: {text}; write the query in another way")),
        _ => Error::new(Kind::Config, format!("the query cannot be run: {text}")),
    }
}

/// The crate's own error that travelled through DataFusion.
fn own(error: &DataFusionError) -> Option<&Error> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref(),
        _ => None,
    }
}

/// The message on one line, beginning in lower case, without DataFusion's own headings.
fn sentence(error: &DataFusionError) -> String {
    let message = match error {
        DataFusionError::SQL(inner, _) => match inner.as_ref() {
            ParserError::ParserError(text) | ParserError::TokenizerError(text) => text.clone(),
            ParserError::RecursionLimitExceeded => "it is nested too deeply".to_string(),
        },
        DataFusionError::Internal(text) => text.clone(),
        other => other.message().into_owned(),
    };
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    lower_first(line.trim_end_matches('.'))
}

/// An abbreviation keeps its capitals.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(letters).collect(),
        _ => text.to_string(),
    }
}

async fn unknown_table(ctx: &SessionContext, statement: &Statement) -> Option<String> {
    let state = ctx.state();
    for reference in state.resolve_table_references(statement).ok()? {
        let is_function = state.table_functions().contains_key(reference.table());
        if !is_function && ctx.table_provider(reference.clone()).await.is_err() {
            return Some(short(&reference));
        }
    }
    None
}

fn short(reference: &TableReference) -> String {
    match reference.schema() {
        Some(database) => format!("{database}.{}", reference.table()),
        None => reference.table().to_string(),
    }
}

/// The catalog's tables by `database.name`, ordered.
fn tables(ctx: &SessionContext) -> Vec<String> {
    let Some(lake) = ctx.catalog(CATALOG) else { return vec![] };
    let mut tables = Vec::new();
    for database in lake.schema_names().into_iter().filter(|name| name != "information_schema") {
        let names = lake.schema(&database).map(|schema| schema.table_names()).unwrap_or_default();
        tables.extend(names.into_iter().map(|name| format!("{database}.{name}")));
    }
    tables.sort();
    tables
}

fn no_such_table(name: &str, tables: &[String]) -> Error {
    if tables.is_empty() {
        return Error::config(format!("there is no table `{name}`: the catalog has no tables yet; make them with `lakebed run`"));
    }
    let meant = tables.iter().map(|table| (similarity(name, table), table)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match meant {
        Some((similarity, table)) if similarity >= SIMILAR => format!("; did you mean `{table}`?"),
        _ => ";".to_string(),
    };
    let listed = tables.iter().take(TABLES_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = tables.len().saturating_sub(TABLES_LISTED);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    Error::config(format!("there is no table `{name}`{hint} the tables are {listed}{rest}"))
}

/// How alike two names are, 0 to 1; one written without its database is compared without.
fn similarity(name: &str, table: &str) -> f64 {
    let bare = table.split_once('.').map_or(table, |(_, bare)| bare);
    strsim::jaro_winkler(name, if name.contains('.') { table } else { bare })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, tables: &[&str], message: &str) {
        let tables: Vec<String> = tables.iter().map(ToString::to_string).collect();
        assert_eq!(no_such_table(name, &tables).to_string(), message);
    }

    #[test]
    fn an_unknown_table_brings_the_known_ones() {
        let all = ["shop.clicks", "shop.orders"];
        check("shop.clickz", &all, "there is no table `shop.clickz`; did you mean `shop.clicks`? the tables are shop.clicks, shop.orders");
        check("clicks", &all, "there is no table `clicks`; did you mean `shop.clicks`? the tables are shop.clicks, shop.orders");
        check("x", &all, "there is no table `x`; the tables are shop.clicks, shop.orders");
        check("x", &[], "there is no table `x`: the catalog has no tables yet; make them with `lakebed run`");
    }

    #[test]
    fn a_message_is_one_line_in_lower_case() {
        assert_eq!(sentence(&DataFusionError::Plan("No field\n  named x.".to_string())), "no field named x");
        assert_eq!(sentence(&DataFusionError::Plan("SQL says no".to_string())), "SQL says no");
    }

    #[test]
    fn the_cause_is_found_under_what_carried_it() {
        let cause = DataFusionError::ResourcesExhausted("Failed to allocate 1 MB".to_string());
        let shared = DataFusionError::Shared(std::sync::Arc::new(cause.context("sort")));
        let says = "the query needs more memory than `memory` allows: failed to allocate 1 MB; raise it or ask for less";
        assert_eq!(failure(&shared).to_string(), says);
    }

    #[test]
    fn own_errors_keep_their_kind() {
        let own = DataFusionError::External(Box::new(Error::data("partition 7 is odd"))).context("scan");
        assert_eq!((failure(&own).kind(), failure(&own).to_string()), (Kind::Data, "partition 7 is odd".to_string()));
    }
}
