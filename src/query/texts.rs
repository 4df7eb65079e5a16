//! The rows of an engine that answers in texts, as a result like any other.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use super::QueryResult;
use crate::engine::athena::Answer;
use crate::error::{Error, Result};

/// Whole numbers, floats and booleans become what they are; all else stays the text that Athena writes, decimals and times too.
///
/// # Errors
/// Never on its own: a value that is not of its column's type is an error of the result.
pub fn result(answer: Answer) -> Result<QueryResult> {
    let field = |(name, kind): &(String, String)| Field::new(name, data_type(kind), true);
    let schema = Arc::new(Schema::new(answer.columns.iter().map(field).collect::<Vec<_>>()));
    let of = Arc::clone(&schema);
    let batches = answer.pages.map(move |page| {
        let batch = page.and_then(|page| batch(&of, &page));
        batch.map_err(|e| DataFusionError::External(Box::new(e)))
    });
    Ok(QueryResult { stream: Box::pin(RecordBatchStreamAdapter::new(schema, batches)) })
}

/// Athena's names of types (`GetQueryResults`, `ColumnInfo`).
fn data_type(kind: &str) -> DataType {
    match kind {
        "tinyint" | "smallint" | "integer" | "bigint" => DataType::Int64,
        "float" | "real" | "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

fn batch(schema: &SchemaRef, rows: &[Vec<Option<String>>]) -> Result<RecordBatch> {
    let columns = schema.fields().iter().enumerate().map(|(index, field)| {
        let texts = rows.iter().map(|row| row.get(index).and_then(Option::as_deref));
        column(field, texts)
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|e| Error::internal(format!("rows of Athena: {e}")))
}

fn column<'t>(field: &Field, texts: impl Iterator<Item = Option<&'t str>>) -> Result<ArrayRef> {
    fn parsed<'t, T: std::str::FromStr>(field: &Field, texts: impl Iterator<Item = Option<&'t str>>) -> Result<Vec<Option<T>>> {
        let one = |text: &str| {
            text.parse().map_err(|_| Error::data(format!("column {} of the result holds what is no {}", field.name(), field.data_type())))
        };
        texts.map(|text| text.map(one).transpose()).collect()
    }
    Ok(match field.data_type() {
        DataType::Int64 => Arc::new(Int64Array::from(parsed(field, texts)?)),
        DataType::Float64 => Arc::new(Float64Array::from(parsed(field, texts)?)),
        DataType::Boolean => Arc::new(BooleanArray::from(parsed(field, texts)?)),
        _ => Arc::new(StringArray::from(texts.collect::<Vec<_>>())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(columns: &[(&str, &str)], rows: &[&[Option<&str>]]) -> String {
        let owned = |text: &Option<&str>| text.map(str::to_string);
        let page = rows.iter().map(|row| row.iter().map(owned).collect()).collect();
        let columns = columns.iter().map(|(name, kind)| (name.to_string(), kind.to_string())).collect();
        let answer = Answer { columns, pages: futures::stream::iter([Ok(page)]).boxed(), scanned: 0, dollars: 0.0 };
        let mut out = Vec::new();
        match super::super::format::write(result(answer).unwrap(), super::super::format::Format::Json, &mut out).await {
            Ok(()) => String::from_utf8(out).unwrap().split_whitespace().collect(),
            Err(e) => e.to_string(),
        }
    }

    #[tokio::test]
    async fn texts_become_what_their_columns_are() {
        let columns = [("n", "bigint"), ("x", "double"), ("b", "boolean"), ("d", "decimal(10,2)"), ("m", "map")];
        let rows: [&[Option<&str>]; 2] = [&[Some("7"), Some("NaN"), Some("true"), Some("1.50"), Some("{a=1}")], &[None; 5]];
        let row = r#"{"n":7,"x":null,"b":true,"d":"1.50","m":"{a=1}"}"#;
        let nulls = r#"{"n":null,"x":null,"b":null,"d":null,"m":null}"#;
        assert_eq!(check(&columns, &rows).await, format!("[{row},{nulls}]"));
        let wrong = check(&[("n", "bigint")], &[&[Some("seven")]]).await;
        assert!(wrong.contains("column n of the result holds what is no Int64") && !wrong.contains("seven"), "{wrong}");
    }
}
