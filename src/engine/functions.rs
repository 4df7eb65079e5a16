//! Functions that mean something else in Athena than in DataFusion, with Athena's meaning.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::functions::core::get_field;
use datafusion::functions_nested::extract::array_element_udf;
use datafusion::functions_nested::map_extract::map_extract_udf;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, GetFieldAccess, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility, lit,
};

/// `element_at`, which replaces DataFusion's.
pub(super) fn element_at() -> ScalarUDF {
    ScalarUDF::new_from_impl(ElementAt { signature: Signature::user_defined(Volatility::Immutable) })
}

/// `map[key]` is the value or NULL, for keys of every type, constant or not; DataFusion takes constant keys of the exact type.
#[derive(Debug)]
pub(super) struct MapSubscript;

impl ExprPlanner for MapSubscript {
    fn plan_field_access(&self, access: RawFieldAccessExpr, schema: &DFSchema) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let of = access.expr.get_type(schema)?;
        let Some([key_type, _]) = key_and_value(&of) else { return Ok(PlannerResult::Original(access)) };
        let key = match access.field_access {
            GetFieldAccess::NamedStructField { name } => lit(name),
            GetFieldAccess::ListIndex { key } => *key,
            GetFieldAccess::ListRange { .. } => return plan_err!("a map has no ranges; use one key"),
        };
        let value = match key {
            Expr::Literal(key, _) => get_field().call(vec![access.expr, lit(key.cast_to(key_type)?)]),
            key => element_at().call(vec![access.expr, key.cast_to(key_type, schema)?]),
        };
        Ok(PlannerResult::Planned(value))
    }
}

/// `element_at(map, key)` is the value or NULL, `element_at(array, n)` the n-th element, as in Trino; DataFusion's own gives a
/// list and takes maps only.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ElementAt {
    signature: Signature,
}

/// The types of a map's keys and values, `None` for other types.
fn key_and_value(of: &DataType) -> Option<[&DataType; 2]> {
    let DataType::Map(entry, _) = of else { return None };
    let DataType::Struct(fields) = entry.data_type() else { return None };
    let [key, value] = fields.as_ref() else { return None };
    Some([key.data_type(), value.data_type()])
}

impl ElementAt {
    /// What does the work for a container of this type.
    fn inner(of: &DataType) -> Arc<ScalarUDF> {
        if key_and_value(of).is_some() { map_extract_udf() } else { array_element_udf() }
    }
}

impl ScalarUDFImpl for ElementAt {
    fn name(&self) -> &str {
        "element_at"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types {
            [of @ DataType::Map(..), _] => Self::inner(of).inner().coerce_types(types),
            [of @ (DataType::List(_) | DataType::LargeList(_) | DataType::Null), _] => Ok(vec![of.clone(), DataType::Int64]),
            _ => plan_err!("element_at takes a map and a key, or an array and a position"),
        }
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.first().and_then(key_and_value) {
            Some([_, value]) => Ok(value.clone()),
            None => array_element_udf().inner().return_type(types),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let of = args.args.first().map(ColumnarValue::data_type).unwrap_or(DataType::Null);
        let rows = args.number_rows;
        let found = Self::inner(&of).inner().invoke_with_args(args)?;
        match key_and_value(&of) {
            // One list of exactly one value, which may be NULL, a row.
            Some(_) => Ok(ColumnarValue::Array(found.into_array(rows)?.as_list::<i32>().values().clone())),
            None => Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::display::array_value_to_string;

    use crate::engine::{Limits, local::session};

    async fn check(expression: &str, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let context = session(&Limits { memory: 64 << 20, threads: 1, spill: folder.path().to_path_buf() }).unwrap();
        let values =
            "SELECT map([arrow_cast(7, 'Int32'), arrow_cast(8, 'Int32')], ['seven', NULL]) AS m, 8 AS k, make_array('a', 'b') AS l";
        // The column keeps the expression from being computed while it is planned.
        let sql = format!("SELECT {expression} FROM ({values} FROM generate_series(1, 1))");
        let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
        let text: Vec<String> = batches.iter().map(|batch| array_value_to_string(batch.column(0), 0).unwrap()).collect();
        assert_eq!(text, [expected], "{expression}");
    }

    #[tokio::test]
    async fn a_map_subscript_is_the_value_or_null() {
        check("m[7]", "seven").await;
        check("m[8]", "").await;
        check("m[9] IS NULL", "true").await;
        check("m[k] IS NULL", "true").await;
        check("m[k - 1]", "seven").await;
        check("m['7']", "seven").await;
    }

    #[tokio::test]
    async fn element_at_takes_maps_and_arrays() {
        check("element_at(m, 7)", "seven").await;
        check("element_at(m, 9) IS NULL", "true").await;
        check("element_at(l, 2)", "b").await;
        check("element_at(l, -1)", "b").await;
        check("element_at(l, 3) IS NULL", "true").await;
        check("element_at(map(['x'], [1]), 'x')", "1").await;
    }

    #[tokio::test]
    async fn array_subscripts_stay_as_they_are() {
        check("l[1]", "a").await;
        check("array_to_string(l[1:2], '-')", "a-b").await;
    }
}
