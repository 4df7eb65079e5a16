//! SQL over the catalog's tables, read only.

mod dialect;
mod explain;
mod filters;
mod folder;
pub mod format;
pub mod provider;
pub mod texts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionContext};
use futures::StreamExt;
use url::Url;

use crate::catalog::{Catalog, Table};
use crate::config::Location;
use crate::engine::local::CATALOG;
use crate::error::{Error, Result};
use crate::store::Stores;
use provider::CatalogTable;

/// The rows of a query, which come as they are made.
pub struct QueryResult {
    stream: SendableRecordBatchStream,
}

impl QueryResult {
    /// The columns of the rows.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next rows, or `None` after the last.
    ///
    /// # Errors
    /// `Config` if the query cannot be computed, `Unavailable` or `Data` if a file cannot be read.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        self.stream.next().await.transpose().map_err(|e| explain::failure(&e))
    }
}

/// Makes each table of the catalog known to the session, under its database: `shop.clicks`.
///
/// # Errors
/// Those of the catalog.
pub async fn register(ctx: &SessionContext, catalog: &Arc<dyn Catalog>, stores: &Stores) -> Result<()> {
    add(ctx, catalog, stores, catalog.tables().await?)
}

/// As [`register`], of the tables that a statement names alone. If it asks what there is, or names one that is not there, all are made known:
/// they are the answer, or what was meant.
///
/// # Errors
/// Those of the catalog.
pub async fn register_named(ctx: &SessionContext, catalog: &Arc<dyn Catalog>, stores: &Stores, sql: &str) -> Result<()> {
    let state = ctx.state();
    // What is no statement is refused when it is run.
    let Ok(statement) = dialect::parse(&state, sql) else { return Ok(()) };
    let Some(names) = dialect::tables(&state, &statement) else { return register(ctx, catalog, stores).await };
    let mut tables = Vec::new();
    for name in names {
        match catalog.table(&name).await? {
            Some(table) => tables.push(table),
            None => return register(ctx, catalog, stores).await,
        }
    }
    add(ctx, catalog, stores, tables)
}

fn add(ctx: &SessionContext, catalog: &Arc<dyn Catalog>, stores: &Stores, tables: Vec<Table>) -> Result<()> {
    let mut databases: BTreeMap<String, MemorySchemaProvider> = BTreeMap::new();
    for table in tables {
        // A table whose location is no URL, or in no store that is known, is refused when it is read.
        if let Ok(location) = Location::parse(&table.location, Path::new("/"))
            && let Ok(Some(bucket)) = stores.whole_bucket(&location)
        {
            let url = Url::parse(&bucket.url_of("")).map_err(|e| Error::internal(format!("{location}: {e}")))?;
            ctx.register_object_store(&url, Arc::clone(bucket.store()));
        }
        let name = table.name.clone();
        let provider = Arc::new(CatalogTable::new(catalog.clone(), table));
        let database = databases.entry(name.database).or_default();
        database.register_table(name.name, provider).map_err(|e| explain::failure(&e))?;
    }
    let lake = ctx.catalog(CATALOG).ok_or_else(|| Error::internal(format!("the session has no catalog `{CATALOG}`")))?;
    for (name, database) in databases {
        lake.register_schema(&name, Arc::new(database)).map_err(|e| explain::failure(&e))?;
    }
    Ok(())
}

/// Runs one statement that only reads: SELECT, WITH, VALUES, EXPLAIN, SHOW or DESCRIBE.
///
/// # Errors
/// `Config` if the statement is wrong, writes, or names a table that does not exist.
pub async fn run(ctx: &SessionContext, sql: &str) -> Result<QueryResult> {
    let state = ctx.state();
    let statement = dialect::parse(&state, sql).map_err(|e| explain::failure(&e))?;
    let plan = match state.statement_to_plan(statement.clone()).await {
        Ok(plan) => plan,
        // What must not run needs no advice on how to write it.
        Err(_) if dialect::writes(&statement) => return Err(explain::writing()),
        Err(e) => return Err(explain::unplanned(ctx, &statement, &e).await),
    };
    let read_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(&plan).map_err(|_| explain::writing())?;
    let rows = async { ctx.execute_logical_plan(plan).await?.execute_stream().await };
    Ok(QueryResult { stream: rows.await.map_err(|e| explain::failure(&e))? })
}
