//! Brings rows into the table's order, spilling to disk what does not fit into memory.

use std::sync::Arc;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::MemoryLimit;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{Stream, StreamExt, TryStreamExt};

use crate::error::{Error, Result};

/// The column that numbers the rows as they came, so that equal rows keep their order (promise P11). No table can have it: names of
/// columns begin with a letter or `_` and hold no `#`.
const SEQUENCE: &str = "#";

/// Most rows and bytes of a batch that is ordered.
const SMALL_ROWS: usize = 8192;
const SMALL_BYTES: usize = 1 << 20;

/// It has no more than one part in so many of the memory for ordering.
const SMALL_SHARE: usize = 16;

/// A stream of batches, read once.
struct Once {
    schema: SchemaRef,
    stream: std::sync::Mutex<Option<SendableRecordBatchStream>>,
}

impl std::fmt::Debug for Once {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("rows to be ordered")
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.stream.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        taken.unwrap_or_else(|| Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), futures::stream::empty())))
    }
}

/// The rows of `input` ordered by the columns of those names, nulls last, equal rows as they came.
///
/// # Errors
/// `Config` if there is no such column or it cannot be ordered; the stream fails as its input does, or if spilling fails.
pub fn ordered<S>(
    task: Arc<TaskContext>,
    schema: &SchemaRef,
    by: &[String],
    input: S,
) -> Result<impl Stream<Item = Result<RecordBatch>> + use<S>>
where
    S: Stream<Item = Result<RecordBatch>> + Send + 'static,
{
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::UInt64, false)));
    let numbered = Arc::new(Schema::new(fields));
    let wrong = |e: DataFusionError| Error::config(format!("sort_by: {e}; name columns that can be ordered"));
    let key = |name: &str| Ok(PhysicalSortExpr::new(col(name, &numbered)?, SortOptions { descending: false, nulls_first: false }));
    let keys: Vec<_> = by.iter().map(String::as_str).chain([SEQUENCE]).map(key).collect::<Result<_, DataFusionError>>().map_err(wrong)?;
    let ordering = LexOrdering::new(keys).ok_or_else(|| Error::internal("an order without columns"))?;
    let bytes = match task.memory_pool().memory_limit() {
        MemoryLimit::Finite(memory) => SMALL_BYTES.min(memory / SMALL_SHARE),
        _ => SMALL_BYTES,
    };
    let rows = RecordBatchStreamAdapter::new(numbered.clone(), number(input, numbered.clone(), bytes));
    let once = Once { schema: numbered.clone(), stream: std::sync::Mutex::new(Some(Box::pin(rows))) };
    let source = StreamingTableExec::try_new(numbered, vec![Arc::new(once)], None, [], false, None).map_err(wrong)?;
    let sorted = SortExec::new(ordering, Arc::new(source)).execute(0, task).map_err(wrong)?;
    let kept: Vec<usize> = (0..schema.fields().len()).collect();
    Ok(sorted.map_err(from_engine).map(move |batch| batch?.project(&kept).map_err(|e| Error::internal(e.to_string()))))
}

/// The batch in small ones with memory of their own: a sort holds the keys of a whole batch of each run that it merges, and what it counts of a
/// part that shares its memory with others is the whole. A batch has about so many `bytes`.
fn small(batch: &RecordBatch, bytes: usize) -> Result<Vec<RecordBatch>, DataFusionError> {
    let rows = batch.num_rows();
    let most = (bytes * rows / batch.get_array_memory_size().max(1)).clamp(1, SMALL_ROWS);
    let part = |from: usize| {
        let rows = UInt64Array::from_iter_values(from as u64..rows.min(from + most) as u64);
        Ok(take_record_batch(batch, &rows)?)
    };
    if rows <= most { Ok(vec![batch.clone()]) } else { (0..rows).step_by(most).map(part).collect() }
}

/// Adds the rows' numbers to the batches, which are made small.
fn number<S>(input: S, schema: SchemaRef, bytes: usize) -> impl Stream<Item = Result<RecordBatch, DataFusionError>>
where
    S: Stream<Item = Result<RecordBatch>> + Send,
{
    let mut next = 0u64;
    let own = |e| DataFusionError::External(Box::new(e));
    let small = input.map(move |batch| batch.map_err(own).and_then(|batch| small(&batch, bytes)));
    let small = small.map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>))).try_flatten();
    small.map(move |batch| {
        let batch = batch?;
        let numbers = UInt64Array::from_iter_values(next..next + batch.num_rows() as u64);
        next += batch.num_rows() as u64;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(numbers));
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    })
}

/// Our own failure comes back as it was; the engine's as one sentence.
fn from_engine(failure: DataFusionError) -> Error {
    match failure {
        DataFusionError::External(inner) => match inner.downcast::<Error>() {
            Ok(own) => *own,
            Err(other) => Error::unavailable(format!("cannot order the rows: {other}")),
        },
        DataFusionError::ResourcesExhausted(what) => {
            Error::config(format!("not enough memory to order the rows: {}; raise [lake] memory", what.lines().next().unwrap_or_default()))
        }
        other => Error::unavailable(format!("cannot order the rows: {other}; check the free space of the state folder, then run again")),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, StringArray};

    use super::*;
    use crate::engine::{Limits, local};

    /// Orders `count` texts of `length` bytes, in batches such as a decoder makes, in so many bytes of memory; each text is of different
    /// digits first.
    async fn texts(count: usize, length: usize, memory: u64) -> Result<Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let task = local::sorting(&Limits { memory, threads: 1, spill: folder.path().join("spill") })?;
        let schema = Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]));
        let rows = (16 << 20) / length;
        let text = move |n: usize| format!("{:012}{}", n * 7_919 % count, "x".repeat(length - 12));
        let batch = {
            let schema = schema.clone();
            move |from: usize| {
                let texts = StringArray::from_iter_values((from..count.min(from + rows)).map(text));
                Ok(RecordBatch::try_new(schema.clone(), vec![Arc::new(texts)]).unwrap())
            }
        };
        let input = futures::stream::iter((0..count).step_by(rows)).map(batch);
        let batches: Vec<RecordBatch> = ordered(task, &schema, &["text".to_string()], input)?.try_collect().await?;
        let texts = batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter());
        Ok(texts.map(|text| text.unwrap()[..12].to_string()).collect())
    }

    #[tokio::test]
    async fn texts_of_any_length_are_ordered_in_little_memory() {
        for (count, length) in [(400_000, 100), (200_000, 200), (100_000, 400), (40_000, 990), (10_000, 4_000)] {
            let found = texts(count, length, 32 << 20).await.unwrap_or_else(|e| panic!("{length}: {e}"));
            assert!(found.len() == count && found.is_sorted(), "{length}");
        }
        assert_eq!(texts(10_000, 200, 750 << 10).await.unwrap().len(), 10_000, "or in hardly any");
    }
}
