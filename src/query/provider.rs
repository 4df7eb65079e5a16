//! One catalog table as a DataFusion table: the catalog says which partitions a query needs, and only their files are opened.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue, project_schema};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::listing::helpers::expr_applicable_for_cols;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use futures::{StreamExt, TryStreamExt};

use super::filters::partition_filter;
use super::folder::Folder;
use crate::catalog::{Catalog, FileFormat as StoredFormat, Partition, Table, limits};
use crate::error::Error;
use crate::layout::DEFAULT_PARTITION;
use crate::schema::Column;

/// How many folders are listed at once.
const LISTINGS: usize = 16;

/// A table of the catalog. Its partitions are asked for anew by each scan.
pub struct CatalogTable {
    catalog: Arc<dyn Catalog>,
    table: Table,
    schema: TableSchema,
}

/// A partition and its values, typed as the keys are declared.
struct Typed {
    partition: Partition,
    values: Vec<ScalarValue>,
}

impl CatalogTable {
    /// The table as the catalog defined it when it was read; its columns come first, then its partition keys.
    pub fn new(catalog: Arc<dyn Catalog>, table: Table) -> Self {
        let columns = Schema::new(table.columns.iter().map(field).collect::<Vec<_>>());
        let keys: Vec<FieldRef> = table.partition_keys.iter().map(field).collect();
        let schema = TableSchema::builder(Arc::new(columns)).with_table_partition_cols(keys).build();
        Self { catalog, table, schema }
    }

    /// What is not a plain table of Parquet folders would be answered with too few rows or too many.
    fn refuse_unreadable(&self) -> Result<()> {
        let Table { name, format, parameters, .. } = &self.table;
        let managed = ["table_type", "spark.sql.sources.provider"].into_iter().find_map(|key| parameters.get(key));
        let other = managed.filter(|kind| ["ICEBERG", "DELTA", "HUDI"].contains(&kind.to_uppercase().as_str()));
        let what = match (format, other) {
            (StoredFormat::Other(format), _) => format!("its files are {format}"),
            (_, Some(kind)) => format!("it is a table of {kind}"),
            _ => return limits::check_registered(&self.table).map_err(external),
        };
        let advice = "the local engine reads plain Parquet tables; ask Athena with --engine athena";
        Err(external(Error::config(format!("table {name} cannot be read here: {what}; {advice}"))))
    }

    /// True if the filter can be decided from the values of a partition alone.
    fn is_about_partitions(&self, filter: &Expr) -> bool {
        let keys: Vec<&str> = self.table.partition_keys.iter().map(|key| key.name.as_str()).collect();
        !keys.is_empty() && expr_applicable_for_cols(&keys, filter)
    }

    /// The partitions that the filters on keys may leave over.
    async fn partitions(&self, filters: &[Expr]) -> Result<Vec<Typed>> {
        let Table { name, location, partition_keys, columns, format, .. } = &self.table;
        let partitions = if partition_keys.is_empty() {
            // A table without keys is one folder.
            let (location, columns, format) = (location.clone(), columns.clone(), format.clone());
            vec![Partition { values: vec![], location, columns, format, parameters: Default::default() }]
        } else {
            self.catalog.partitions(name, &partition_filter(partition_keys, filters)).await.map_err(external)?
        };
        partitions.into_iter().map(|partition| self.typed(partition)).collect()
    }

    fn typed(&self, partition: Partition) -> Result<Typed> {
        let refused = |why: String| {
            let Partition { values, .. } = &partition;
            external(Error::data(format!("partition {values:?} of table {} {why}; correct it in the catalog", self.table.name)))
        };
        let keys = &self.table.partition_keys;
        if partition.values.len() != keys.len() {
            return Err(refused(format!("has {} values for {} keys", partition.values.len(), keys.len())));
        }
        let one = |(key, value): (&Column, &String)| {
            typed_value(key, value)
                .map_err(|_| refused(format!("has `{value}` for key `{}`, which is not of type {:?}", key.name, key.hive)))
        };
        let values = keys.iter().zip(&partition.values).map(one).collect::<Result<_>>()?;
        Ok(Typed { partition, values })
    }

    /// The partitions that the filters on keys leave over.
    fn prune(&self, state: &dyn Session, partitions: Vec<Typed>, filters: &[Expr]) -> Result<Vec<Typed>> {
        let Some(filter) = conjunction(filters.iter().filter(|filter| self.is_about_partitions(filter)).cloned()) else {
            return Ok(partitions);
        };
        if partitions.is_empty() {
            return Ok(partitions);
        }
        let keys = Arc::new(Schema::new(self.schema.table_partition_cols().clone()));
        let columns = (0..keys.fields().len())
            .map(|key| ScalarValue::iter_to_array(partitions.iter().map(|partition| partition.values[key].clone())))
            .collect::<Result<Vec<_>>>()?;
        let filter = state.create_physical_expr(filter, &DFSchema::try_from(keys.clone())?)?;
        let wanted = filter.evaluate(&RecordBatch::try_new(keys, columns)?)?.into_array(partitions.len())?;
        // NULL is not true: the partition goes, as a row would.
        let wanted = wanted.as_boolean().iter().map(|wanted| wanted == Some(true));
        Ok(partitions.into_iter().zip(wanted).filter_map(|(partition, wanted)| wanted.then_some(partition)).collect())
    }

    /// The files of the partitions, in their order.
    async fn files(&self, state: &dyn Session, partitions: Vec<Typed>) -> Result<Vec<PartitionedFile>> {
        let root = Folder::of(&self.table.location)?;
        let store = state.runtime_env().object_store(root.store())?;
        let (root, store) = (&root, &store);
        let listings = partitions.into_iter().map(|Typed { partition, values }| async move {
            let files = root.below(&self.table.location, &partition.location)?.parquet_files(store.as_ref()).await?;
            let with_values = |file| PartitionedFile::new_from_meta(file).with_partition_values(values.clone());
            Ok::<_, DataFusionError>(files.into_iter().map(with_values).collect::<Vec<_>>())
        });
        let files: Vec<_> = futures::stream::iter(listings).buffered(LISTINGS).try_collect().await?;
        Ok(files.into_iter().flatten().collect())
    }
}

#[async_trait]
impl TableProvider for CatalogTable {
    fn schema(&self) -> SchemaRef {
        self.schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.is_about_partitions(filter) {
            true => TableProviderFilterPushDown::Exact,
            // Row groups without a match are skipped, so a row that is left may still not match.
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.refuse_unreadable()?;
        let partitions = self.prune(state, self.partitions(filters).await?, filters)?;
        let files = self.files(state, partitions).await?;
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(project_schema(&self.schema(), projection)?)));
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let source = Arc::new(ParquetSource::new(self.schema.clone()));
        let config = FileScanConfigBuilder::new(Folder::of(&self.table.location)?.store().clone(), source)
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        let mut options = state.table_options().parquet.clone();
        options.global = state.config_options().execution.parquet.clone();
        ParquetFormat::new().with_options(options).create_physical_plan(state, config).await
    }
}

impl fmt::Debug for CatalogTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogTable").field("table", &self.table).finish_non_exhaustive()
    }
}

fn field(column: &Column) -> FieldRef {
    Arc::new(Field::new(&column.name, column.hive.arrow_type(), true))
}

fn typed_value(key: &Column, value: &str) -> Result<ScalarValue> {
    match value {
        DEFAULT_PARTITION => ScalarValue::try_from(&key.hive.arrow_type()),
        value => ScalarValue::try_from_string(value.to_string(), &key.hive.arrow_type()),
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
