//! Reads SQL as Athena does where DataFusion's planner wants it written differently.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{AccessExpr, Expr, Ident, Value, visit_expressions_mut};

/// The statement in a text.
pub(super) fn parse(state: &SessionState, sql: &str) -> Result<Statement> {
    let mut statement = state.sql_to_statement(sql, &state.config_options().sql_parser.dialect)?;
    name_fields(&mut statement);
    Ok(statement)
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
