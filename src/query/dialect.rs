//! Reads SQL as Athena does where DataFusion's planner wants it written differently.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Ident, Value, visit_expressions_mut};

use crate::catalog::TableName;
use crate::engine::local::{CATALOG, DATABASE};

/// The statement in a text.
pub(super) fn parse(state: &SessionState, sql: &str) -> Result<Statement> {
    let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
    name_fields(&mut statement);
    Ok(statement)
}

/// The tables of the catalog that a statement names; `None` if it asks what tables there are, or names something that none can be called.
pub(super) fn tables(state: &SessionState, statement: &Statement) -> Option<BTreeSet<TableName>> {
    let mut tables = BTreeSet::new();
    for reference in state.resolve_table_references(statement).ok()? {
        let (database, name) = (reference.schema().unwrap_or(DATABASE), reference.table());
        let is_function = reference.schema().is_none() && state.table_functions().contains_key(name);
        if is_function || reference.catalog().is_some_and(|catalog| catalog != CATALOG) {
            continue;
        }
        tables.insert(TableName::parse(&format!("{database}.{name}")).ok().filter(|_| database != "information_schema")?);
    }
    Some(tables)
}

/// True for statements that change rows, which may be refused without planning them.
pub(super) fn writes(statement: &Statement) -> bool {
    use datafusion::sql::sqlparser::ast::Statement as Sql;
    match statement {
        Statement::Statement(statement) => {
            matches!(**statement, Sql::Insert(_) | Sql::Update(_) | Sql::Delete(_) | Sql::Merge(_) | Sql::Truncate(_) | Sql::AlterTable(_))
        }
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) => true,
        Statement::Explain(_) | Statement::Reset(_) => false,
    }
}

/// `items[1].sku` is `items[1]['sku']`, which the planner knows.
fn name_fields(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let _ = visit_expressions_mut(statement, |expression| {
                if let Expr::CompoundFieldAccess { access_chain, .. } = expression {
                    access_chain.iter_mut().for_each(name_field);
                }
                ControlFlow::<()>::Continue(())
            });
        }
        Statement::Explain(explain) => name_fields(&mut explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => {}
    }
}

fn name_field(access: &mut AccessExpr) {
    if let AccessExpr::Dot(Expr::Identifier(Ident { value, quote_style, .. })) = access {
        let name = if quote_style.is_some() { value.clone() } else { value.to_lowercase() };
        *access = AccessExpr::Dot(Expr::value(Value::SingleQuotedString(name)));
    }
}

#[cfg(test)]
mod tests {
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn the_tables_of_a_statement_are_those_that_it_reads() {
        let state = SessionContext::new().state();
        let check = |sql: &str, expected: Option<&str>| {
            let named = tables(&state, &parse(&state, sql).unwrap());
            let told = named.map(|named| named.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            assert_eq!(told.as_deref(), expected, "{sql}");
        };
        check("SELECT 1", Some(""));
        check("SELECT * FROM Shop.Clicks c JOIN awsdatacatalog.shop.orders o ON c.id = o.id", Some("shop.clicks, shop.orders"));
        check("WITH a AS (SELECT * FROM shop.clicks) SELECT * FROM a WHERE n IN (SELECT n FROM b)", Some("default.b, shop.clicks"));
        check("SELECT * FROM generate_series(1, 3)", Some(""));
        check("DESCRIBE shop.clicks", Some("shop.clicks"));
        check("EXPLAIN SELECT * FROM shop.clicks", Some("shop.clicks"));
        check("SHOW TABLES", None);
        check("SELECT * FROM information_schema.columns", None);
        check("SELECT * FROM shop.\"Clicks\"", None);
    }
}
