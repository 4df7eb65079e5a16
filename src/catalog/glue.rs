//! The AWS Glue Data Catalog behind the catalog port.

mod refusal;
mod shape;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::error::SdkError;
use aws_sdk_glue::operation::get_partitions::GetPartitionsError;
use aws_sdk_glue::types::{self, BatchUpdatePartitionRequestEntry, DatabaseInput, PartitionValueList, Segment};
use futures::future::try_join_all;

use self::refusal::{EXISTS, NOT_FOUND, entry_error, explain, missing};
use super::filter::Filter;
use super::limits::{check_name, check_partition, check_table};
use super::{Catalog, EntryError, Partition, Table, TableName};
use crate::error::aws::is;
use crate::error::{Error, Kind, Result};

/// Entries that one call may have: `BatchCreatePartition` and `BatchUpdatePartition`, `BatchGetPartition` and a page of `GetPartitions`,
/// a page of `GetTables`.
const WRITTEN: usize = 100;
const ASKED: usize = 1000;
const PAGE: i32 = 100;

/// Parts that the partitions of a table can be read in at the same time, the most that Glue has.
const SEGMENTS: i32 = 10;

/// A call that is throttled is made again this often at most, with a pause that grows to `SLOWEST`, but for no longer than `BUDGET`.
const ATTEMPTS: u32 = 12;
const SLOWEST: Duration = Duration::from_secs(10);
const BUDGET: Duration = Duration::from_secs(90);

/// Glue in one account and region.
#[derive(Debug, Clone)]
pub struct GlueCatalog {
    client: Client,
}

impl GlueCatalog {
    /// The catalog of the account and region that `sdk` names.
    pub fn new(sdk: &SdkConfig) -> Self {
        let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(SLOWEST);
        let timeout = TimeoutConfig::builder().operation_timeout(BUDGET).operation_attempt_timeout(BUDGET / 3).build();
        let config = aws_sdk_glue::config::Builder::from(sdk).retry_config(retry).timeout_config(timeout).build();
        Self { client: Client::from_conf(config) }
    }

    /// The table as Glue has it, with all that the port does not know.
    async fn raw_table(&self, name: &TableName) -> Result<Option<types::Table>> {
        match self.client.get_table().database_name(&name.database).name(&name.name).send().await {
            Ok(found) => Ok(found.table),
            Err(e) if is(&e, NOT_FOUND) => Ok(None),
            Err(e) => Err(explain("glue:GetTable", &format!("table {name}"), &e)),
        }
    }

    /// The tables of a database that can be ours. Views, and tables whose types Hive does not have, are not.
    async fn tables_of(&self, database: &str) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        let mut pages = self.client.get_tables().database_name(database).max_results(PAGE).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| explain("glue:GetTables", &format!("database `{database}`"), &e))?;
            for table in page.table_list() {
                let name = TableName { database: database.to_string(), name: table.name.clone() };
                tables.extend(shape::table(&name, table).ok());
            }
        }
        Ok(tables)
    }

    /// The partitions that fit an expression, as Glue has them.
    ///
    /// Most tables, and most of what a filter leaves over, are one page. If there is more, the table is large, and it is read from the
    /// start again in segments, all at the same time.
    async fn fitting(&self, name: &TableName, expression: Option<&str>) -> Result<Vec<types::Partition>, Refused> {
        let call = self.client.get_partitions().database_name(&name.database).table_name(&name.name).max_results(ASKED as i32);
        let call = call.set_expression(expression.map(str::to_string));
        let first = call.clone().send().await.map_err(Box::new)?;
        if first.next_token().unwrap_or_default().is_empty() {
            return Ok(first.partitions.unwrap_or_default());
        }
        let segments = (0..SEGMENTS).map(|number| {
            let call = call.clone();
            async move {
                let segment = Segment::builder()
                    .segment_number(number)
                    .total_segments(SEGMENTS)
                    .build()
                    .map_err(|e| Box::new(SdkError::construction_failure(e)))?;
                let mut pages = call.segment(segment).into_paginator().send();
                let mut found = Vec::new();
                // A page may be empty with more behind it; the last one says so.
                while let Some(page) = pages.next().await {
                    found.append(&mut page.map_err(Box::new)?.partitions.unwrap_or_default());
                }
                Ok::<_, Refused>(found)
            }
        });
        Ok(try_join_all(segments).await?.into_iter().flatten().collect())
    }

    /// Those of the partitions asked for that exist, as Glue has them.
    async fn raw_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<types::Partition>> {
        let key = |values: &Vec<String>| PartitionValueList::builder().set_values(Some(values.clone())).build();
        let keys = values.iter().map(key).collect::<Result<Vec<_>, _>>().map_err(|e| Error::internal(format!("table {name}: {e}")))?;
        let mut found = Vec::new();
        for some in keys.chunks(ASKED) {
            let mut asked = some.to_vec();
            // What Glue did not come to is asked again, as long as it comes to something.
            while !asked.is_empty() {
                let count = asked.len();
                let call = self.client.batch_get_partition().database_name(&name.database).table_name(&name.name);
                let answer = call.set_partitions_to_get(Some(asked)).send().await;
                let answer = answer.map_err(|e| explain("glue:BatchGetPartition", &format!("table {name}"), &e))?;
                found.extend(answer.partitions.unwrap_or_default());
                asked = answer.unprocessed_keys.unwrap_or_default();
                if asked.len() == count {
                    return Err(Error::unavailable(format!("table {name}: Glue does not answer for {count} partitions; run again")));
                }
            }
        }
        Ok(found)
    }

    async fn create_batch(&self, name: &TableName, batch: &[&Partition]) -> Result<Vec<EntryError>> {
        let inputs = batch.iter().map(|partition| shape::partition_input(partition, None)).collect::<Result<Vec<_>>>()?;
        let call = self.client.batch_create_partition().database_name(&name.database).table_name(&name.name);
        let (action, answer) = ("glue:BatchCreatePartition", call.set_partition_input_list(Some(inputs)).send().await);
        let answer = answer.map_err(|e| explain(action, &format!("table {name}"), &e))?;
        let refused = answer.errors.unwrap_or_default().into_iter();
        Ok(refused.map(|error| entry_error(action, name, error.partition_values.unwrap_or_default(), error.error_detail)).collect())
    }

    async fn update_batch(&self, name: &TableName, batch: &[(&Partition, types::Partition)]) -> Result<Vec<EntryError>> {
        let entry = |(partition, there): &(&Partition, types::Partition)| {
            let entry = BatchUpdatePartitionRequestEntry::builder().set_partition_value_list(Some(partition.values.clone()));
            let entry = entry.partition_input(shape::partition_input(partition, Some(there))?).build();
            entry.map_err(|e| Error::internal(format!("table {name}: {e}")))
        };
        let entries = batch.iter().map(entry).collect::<Result<Vec<_>>>()?;
        let call = self.client.batch_update_partition().database_name(&name.database).table_name(&name.name);
        let (action, answer) = (UPDATE, call.set_entries(Some(entries)).send().await);
        let answer = answer.map_err(|e| explain(action, &format!("table {name}"), &e))?;
        let refused = answer.errors.unwrap_or_default().into_iter();
        Ok(refused.map(|error| entry_error(action, name, error.partition_value_list.unwrap_or_default(), error.error_detail)).collect())
    }
}

#[async_trait]
impl Catalog for GlueCatalog {
    async fn ensure_database(&self, database: &str) -> Result<()> {
        check_name("database", database)?;
        let what = format!("database `{database}`");
        match self.client.get_database().name(database).send().await {
            Ok(_) => return Ok(()),
            Err(e) if is(&e, NOT_FOUND) => {}
            Err(e) => return Err(explain("glue:GetDatabase", &what, &e)),
        }
        let input = DatabaseInput::builder().name(database).build().map_err(|e| Error::internal(format!("{what}: {e}")))?;
        match self.client.create_database().database_input(input).send().await {
            Err(e) if !is(&e, EXISTS) => Err(explain("glue:CreateDatabase", &what, &e)),
            _ => Ok(()),
        }
    }

    async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        self.raw_table(name).await?.map(|table| shape::table(name, &table)).transpose()
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        let mut pages = self.client.get_databases().max_results(PAGE).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| explain("glue:GetDatabases", "the catalog", &e))?;
            for database in page.database_list {
                match self.tables_of(&database.name).await {
                    Ok(found) => tables.extend(found),
                    // Others' databases may be closed to us, or links to what is gone.
                    Err(e) if e.kind() == Kind::Config => tracing::warn!("{e}"),
                    Err(e) => return Err(e),
                }
            }
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    async fn create_table(&self, table: &Table) -> Result<()> {
        check_table(table)?;
        let name = &table.name;
        let call = self.client.create_table().database_name(&name.database).table_input(shape::table_input(table, None)?);
        match call.send().await {
            Ok(_) => Ok(()),
            Err(e) if is(&e, EXISTS) => Err(Error::conflict(format!("table {name} exists already in Glue; read it and update it"))),
            Err(e) if is(&e, NOT_FOUND) => {
                Err(Error::config(format!("database `{}` of table {name} does not exist; create it first", name.database)))
            }
            Err(e) => Err(explain("glue:CreateTable", &format!("table {name}"), &e)),
        }
    }

    async fn update_table(&self, table: &Table) -> Result<()> {
        check_table(table)?;
        let name = &table.name;
        let lost = |what: &str| Error::conflict(format!("table {name} {what} in Glue; read it again, then update it"));
        let there = self.raw_table(name).await?.ok_or_else(|| lost("does not exist"))?;
        if there.version_id.is_none() {
            return Err(Error::unavailable(format!("Glue says no version of table {name}, so it cannot be updated safely; run again")));
        }
        if shape::version(&there) != table.version {
            return Err(lost("was changed meanwhile"));
        }
        let call = self.client.update_table().database_name(&name.database).table_input(shape::table_input(table, Some(&there))?);
        match call.set_version_id(there.version_id.clone()).skip_archive(true).send().await {
            Ok(_) => Ok(()),
            Err(e) if is(&e, &["ConcurrentModificationException"]) => Err(lost("was changed meanwhile")),
            Err(e) if is(&e, NOT_FOUND) => Err(lost("does not exist")),
            Err(e) => Err(explain("glue:UpdateTable", &format!("table {name}"), &e)),
        }
    }

    async fn partitions(&self, name: &TableName, filter: &Filter) -> Result<Vec<Partition>> {
        let expression = filter.expression();
        let found = match self.fitting(name, expression.as_deref()).await {
            // A partition whose value is none of its key's type makes Glue refuse the whole question.
            Err(e) if expression.is_some() && is(&*e, NOT_DECIDED) => self.fitting(name, None).await,
            found => found,
        };
        let found = found.map_err(|e| explain("glue:GetPartitions", &format!("table {name}"), &*e))?;
        let wanted = found.iter().filter(|partition| filter.passes(partition.values()));
        let mut partitions = wanted.map(|partition| shape::partition(name, partition)).collect::<Result<Vec<_>>>()?;
        partitions.sort_by(|a, b| a.values.cmp(&b.values));
        Ok(partitions)
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        self.raw_partitions(name, values).await?.iter().map(|partition| shape::partition(name, partition)).collect()
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let (good, mut refused) = checked(table, partitions);
        for batch in good.chunks(WRITTEN) {
            refused.extend(self.create_batch(&table.name, batch).await?);
        }
        Ok(refused)
    }

    async fn update_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let (name, (good, mut refused)) = (&table.name, checked(table, partitions));
        let values: Vec<_> = good.iter().map(|partition| partition.values.clone()).collect();
        let mut there: BTreeMap<_, _> = BTreeMap::new();
        for partition in self.raw_partitions(name, &values).await? {
            there.insert(partition.values.clone().unwrap_or_default(), partition);
        }
        let mut updates = Vec::new();
        for partition in good {
            match there.remove(&partition.values) {
                Some(old) => updates.push((partition, old)),
                None => refused.push(missing(UPDATE, name, &partition.values)),
            }
        }
        for batch in updates.chunks(WRITTEN) {
            refused.extend(self.update_batch(name, batch).await?);
        }
        Ok(refused)
    }
}

/// Why Glue does not say which partitions there are.
type Refused = Box<SdkError<GetPartitionsError>>;

const UPDATE: &str = "glue:BatchUpdatePartition";

/// Codes of expressions that Glue cannot decide for this table.
const NOT_DECIDED: &[&str] = &["InvalidInputException", "InvalidStateException"];

/// The partitions that can be, and why the others cannot.
fn checked<'p>(table: &Table, partitions: &'p [Partition]) -> (Vec<&'p Partition>, Vec<EntryError>) {
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for partition in partitions {
        match check_partition(table, partition) {
            Ok(()) => good.push(partition),
            Err(message) => refused.push(EntryError { values: partition.values.clone(), message }),
        }
    }
    (good, refused)
}
