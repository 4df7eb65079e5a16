//! What a query's conditions say about partition keys alone, in the words of the catalog.

use std::ops::Bound;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};

use crate::catalog::filter::{Condition, Filter};
use crate::schema::Column;

/// A filter that every partition passes whose rows could fulfil the conditions. What is not a plain test of a key is left to the engine.
pub fn partition_filter(keys: &[Column], conditions: &[Expr]) -> Filter {
    let parts = conditions.iter().flat_map(split_conjunction);
    parts.filter_map(|part| test(keys, part)).fold(Filter::all(), |filter, (key, wanted)| filter.and(keys, &key.name, wanted))
}

fn test<'k>(keys: &'k [Column], condition: &Expr) -> Option<(&'k Column, Condition)> {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => match (test(keys, left)?, test(keys, right)?) {
            // Short lists come as one equality or the other.
            ((key, Condition::OneOf(mut values)), (other, Condition::OneOf(more))) if key == other => {
                values.extend(more);
                Some((key, Condition::OneOf(values)))
            }
            _ => None,
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match key_of(keys, left) {
            Some(key) => Some((key, compared(*op, literal(key, right)?)?)),
            None => {
                let key = key_of(keys, right)?;
                Some((key, compared(op.swap()?, literal(key, left)?)?))
            }
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let key = key_of(keys, expr)?;
            Some((key, Condition::OneOf(list.iter().map(|value| literal(key, value)).collect::<Option<_>>()?)))
        }
        Expr::Between(Between { expr, negated: false, low, high }) => {
            let key = key_of(keys, expr)?;
            Some((key, Condition::Range(Bound::Included(literal(key, low)?), Bound::Included(literal(key, high)?))))
        }
        _ => None,
    }
}

fn compared(operator: Operator, value: String) -> Option<Condition> {
    match operator {
        Operator::Eq => Some(Condition::OneOf(vec![value])),
        Operator::Lt => Some(Condition::Range(Bound::Unbounded, Bound::Excluded(value))),
        Operator::LtEq => Some(Condition::Range(Bound::Unbounded, Bound::Included(value))),
        Operator::Gt => Some(Condition::Range(Bound::Excluded(value), Bound::Unbounded)),
        Operator::GtEq => Some(Condition::Range(Bound::Included(value), Bound::Unbounded)),
        _ => None,
    }
}

fn key_of<'k>(keys: &'k [Column], expr: &Expr) -> Option<&'k Column> {
    let Expr::Column(column) = expr else { return None };
    keys.iter().find(|key| key.name == column.name)
}

/// A value of the key's own kind: a number against a text is another comparison than that of texts.
fn literal(key: &Column, expr: &Expr) -> Option<String> {
    let Expr::Literal(value, _) = expr else { return None };
    let is_text = key.hive.arrow_type() == DataType::Utf8;
    match value {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) if is_text => {
            Some(text.clone())
        }
        value if !is_text && value.data_type().is_integer() && !value.is_null() => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{cast, col, lit};

    use super::*;
    use crate::schema::HiveType;

    fn keys() -> Vec<Column> {
        let key = |(name, hive): (&str, HiveType)| Column { name: name.into(), hive, comment: None };
        [("day", HiveType::String), ("hour", HiveType::Int), ("at", HiveType::Date)].map(key).to_vec()
    }

    #[track_caller]
    fn check(condition: Expr, expression: Option<&str>) {
        assert_eq!(partition_filter(&keys(), std::slice::from_ref(&condition)).expression().as_deref(), expression, "{condition}");
    }

    #[test]
    fn plain_tests_of_keys_go_to_the_catalog_and_the_rest_stays() {
        check(col("day").eq(lit("a")).and(col("n").eq(lit(1))).and(lit(5).lt_eq(col("hour"))), Some("day = 'a'"));
        check(col("day").eq(lit("a")).or(col("day").eq(lit("b"))).or(col("day").eq(lit("c"))), Some("day IN ('a', 'b', 'c')"));
        check(col("day").in_list(vec![lit("a"), lit("b")], false), Some("day IN ('a', 'b')"));
        check(col("day").between(lit("a"), lit("b")), Some("day >= 'a' AND day <= 'b'"));
        check(col("hour").gt(lit(5i64)), None);
        for left in [
            col("day").eq(lit("a")).or(col("hour").eq(lit(1))),
            col("day").eq(lit("a")).or(col("n").eq(lit(1))),
            col("day").in_list(vec![lit("a"), lit("b")], true),
            col("day").in_list(vec![lit("a"), col("n")], false),
            col("day").not_between(lit("a"), lit("b")),
            col("day").not_eq(lit("a")),
            col("day").eq(lit(9)),
            col("day").eq(lit(ScalarValue::Utf8(None))),
            col("hour").eq(lit(ScalarValue::Int32(None))),
            cast(col("day"), DataType::Int64).eq(lit(9i64)),
            col("at").eq(lit("2026-11-19")),
            col("day").is_null(),
        ] {
            check(left, None);
        }
    }

    #[test]
    fn what_is_not_in_the_expression_is_still_tested() {
        let filter = partition_filter(&keys(), &[col("day").gt(lit("it's")), col("hour").lt(lit(5))]);
        let passes = |day: &str, hour: &str| filter.passes(&[day.to_string(), hour.to_string(), String::new()]);
        assert!(passes("it's so", "04") && !passes("it's", "04") && !passes("it's so", "05"));
    }
}
