//! DataFusion inside this process.

use std::sync::Arc;

use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::prelude::{SessionConfig, SessionContext};

use super::Limits;
use super::functions::{MapSubscript, element_at};
use crate::error::{Error, Result};

/// The catalog that Athena knows Glue's databases under: a query with three-part names runs in both places.
pub const CATALOG: &str = "awsdatacatalog";

/// The database of names without one, as in Athena.
pub const DATABASE: &str = "default";

/// The share of the memory that may hold footers of files read before: one part in this many.
const FOOTER_SHARE: usize = 16;

/// Most rows of a batch that was sorted, and bytes of memory for each.
const SORTED_ROWS: usize = 1024;
const SORTED_ROW: usize = 64 << 10;

/// A session that holds its buffers under the cap, spills the rest, reckons in UTC, and reads maps as Athena does.
///
/// # Errors
/// `Unavailable` if the spill folder cannot be made.
pub fn session(limits: &Limits) -> Result<SessionContext> {
    let failed = |e: &dyn std::fmt::Display| {
        let folder = limits.spill.display();
        Error::unavailable(format!("cannot use spill folder `{folder}`: {e}; check its permissions and the free space"))
    };
    std::fs::create_dir_all(&limits.spill).map_err(|e| failed(&e))?;
    let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
    let footers = memory / FOOTER_SHARE;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(FairSpillPool::new(memory - footers)))
        .with_metadata_cache_limit(footers)
        .with_temp_file_path(&limits.spill)
        .build_arc()
        .map_err(|e| failed(&e))?;
    let state = SessionStateBuilder::new()
        .with_config(settings(memory, limits.threads.max(1)))
        .with_runtime_env(runtime)
        // The first planner that knows an expression plans it: before the default ones.
        .with_expr_planners(vec![Arc::new(MapSubscript)])
        .with_default_features()
        .build();
    let context = SessionContext::new_with_state(state);
    context.register_udf(element_at());
    Ok(context)
}

/// What one sort runs in, under the cap.
///
/// # Errors
/// As [`session`].
pub fn sorting(limits: &Limits) -> Result<Arc<TaskContext>> {
    let context = session(limits)?;
    let memory = usize::try_from(limits.memory).unwrap_or(usize::MAX);
    // It holds rows in one half, and in the other what it compares them by while it merges them, which is as much if the keys are most of a row.
    let state = context.state_ref();
    // Of each run that it merges it holds so many rows.
    let config = state
        .read()
        .config()
        .clone()
        .with_batch_size((memory / SORTED_ROW).clamp(16, SORTED_ROWS))
        .with_sort_spill_reservation_bytes(memory / 2);
    *state.write().config_mut() = config;
    Ok(context.task_ctx())
}

fn settings(memory: usize, threads: usize) -> SessionConfig {
    let mut settings = SessionConfig::new()
        .with_target_partitions(threads)
        .with_information_schema(true)
        .with_default_catalog_and_schema(CATALOG, DATABASE);
    let options = settings.options_mut();
    // Each thread keeps this back to merge what it spilled; the default would be all of a small cap.
    options.execution.sort_spill_reservation_bytes = options.execution.sort_spill_reservation_bytes.min(memory / threads / 8);
    options.execution.time_zone = Some("UTC".to_string());
    options.execution.parquet.pushdown_filters = true;
    options.execution.parquet.pruning = true;
    options.sql_parser.enable_ident_normalization = true;
    settings
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::{ExecutionPlan, execute_stream};
    use futures::StreamExt;

    use super::*;

    fn spills(plan: &dyn ExecutionPlan) -> usize {
        let own = plan.metrics().and_then(|metrics| metrics.spill_count()).unwrap_or(0);
        own + plan.children().into_iter().map(|child| spills(child.as_ref())).sum::<usize>()
    }

    fn limits(folder: &tempfile::TempDir, memory: u64, threads: usize) -> Limits {
        Limits { memory, threads, spill: folder.path().join("a/spill") }
    }

    #[tokio::test]
    async fn an_order_of_more_than_the_cap_goes_through_the_spill_folder_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let context = session(&limits(&folder, 40 << 20, 1)).unwrap();
        // 700,000 texts of over 100 bytes: nearly twice the cap.
        let sql = "SELECT repeat(cast(value AS string), 20) AS text FROM generate_series(1, 700000) ORDER BY text";
        let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let mut rows = execute_stream(plan.clone(), context.task_ctx()).unwrap();
        let mut count = 0;
        while let Some(batch) = rows.next().await {
            count += batch.unwrap().num_rows();
        }
        assert_eq!(count, 700_000);
        assert!(spills(plan.as_ref()) > 0);
        drop((rows, plan, context));
        assert_eq!(std::fs::read_dir(folder.path().join("a/spill")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_session_counts_in_utc_and_its_threads_are_those_given() {
        let folder = tempfile::tempdir().unwrap();
        let context = session(&limits(&folder, 64 << 20, 2)).unwrap();
        assert_eq!(context.copied_config().target_partitions(), 2);
        let rows = context.sql("SHOW TIME ZONE").await.unwrap().collect().await.unwrap();
        assert!(arrow::util::pretty::pretty_format_batches(&rows).unwrap().to_string().contains("UTC"));
    }
}
