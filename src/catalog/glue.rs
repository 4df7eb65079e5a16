//! The AWS Glue Data Catalog behind the catalog port.

mod again;
mod refusal;
mod shape;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_glue::Client;
use aws_sdk_glue::config::retry::{RetryPartition, TokenBucket};
use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::operation::get_partitions::GetPartitionsError;
use aws_sdk_glue::types::{self, BatchUpdatePartitionRequestEntry, DatabaseInput, PartitionValueList, Segment};
use futures::StreamExt;
use futures::future::try_join_all;

use self::again::Passing;
use self::refusal::{EXISTS, INVALID, NOT_FOUND, entry_error, explain, missing};
use super::filter::Filter;
use super::limits::{check_name, check_partition, check_table};
use super::pace::Pace;
use super::{Catalog, EntryError, Partition, Table, TableName};
use crate::error::aws::{Refusal, is};
use crate::error::{Error, Kind, Result};

/// Entries that one call may have: `BatchCreatePartition` and `BatchUpdatePartition`, `BatchGetPartition` and a page of `GetPartitions`,
/// a page of `GetTables`.
const WRITTEN: usize = 100;
const ASKED: usize = 1000;
const PAGE: i32 = 100;

/// Parts that the partitions of a table can be read in at the same time, the most that Glue has.
const SEGMENTS: i32 = 10;

/// Databases whose tables are listed at the same time.
const LISTINGS: usize = 8;

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
        // The SDK's own way is to stop trying again altogether once many calls failed; a warm function would go on with that.
        let partition = RetryPartition::custom("lakebed").token_bucket(TokenBucket::unlimited()).build();
        let config = aws_sdk_glue::config::Builder::from(sdk).retry_config(retry).retry_classifier(Passing).timeout_config(timeout);
        let config = config.retry_partition(partition);
        Self { client: Client::from_conf(config.build()) }
    }

    /// The table as Glue has it, with all that the port does not know.
    async fn raw_table(&self, name: &TableName) -> Result<Option<types::Table>> {
        match self.client.get_table().database_name(&name.database).name(&name.name).send().await {
            Ok(found) => Ok(found.table),
            Err(e) if is(&e, NOT_FOUND) => Ok(None),
            Err(e) => Err(explain("glue:GetTable", &format!("table {name}"), &e)),
        }
    }

    /// Why a call that writes a table failed. If its answer alone was lost, the table is not as it was, and somebody wrote it: `before` is the
    /// version that it had, `None` if there was none.
    async fn read_back(&self, name: &TableName, before: Option<u64>, failed: Error) -> Error {
        if failed.kind() != Kind::Unavailable {
            return failed;
        }
        match self.raw_table(name).await {
            Ok(Some(_)) if before.is_none() => exists(name),
            Ok(Some(there)) if before != Some(shape::version(&there)) => changed(name),
            _ => failed,
        }
    }

    /// The tables of a database that can be read. Those whose types Hive does not have cannot; who names one is told.
    async fn tables_of(&self, database: &str) -> Result<Vec<Table>> {
        let mut tables = Vec::new();
        let mut pages = self.client.get_tables().database_name(database).max_results(PAGE).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| explain("glue:GetTables", &format!("database `{database}`"), &e))?;
            for table in page.table_list() {
                let name = TableName { database: database.to_string(), name: table.name.clone() };
                match shape::table(&name, table) {
                    Ok(table) => tables.push(table),
                    Err(e) => tracing::info!("left out of the list of tables: {e}"),
                }
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
        let (mut found, mut pace) = (Vec::new(), Pace::default());
        for some in keys.chunks(ASKED) {
            let mut asked = some.to_vec();
            // What Glue did not come to is asked again; if it came to nothing, after a pause.
            while !asked.is_empty() {
                let count = asked.len();
                let call = self.client.batch_get_partition().database_name(&name.database).table_name(&name.name);
                let answer = call.set_partitions_to_get(Some(asked)).send().await;
                let answer = answer.map_err(|e| explain("glue:BatchGetPartition", &format!("table {name}"), &e))?;
                found.extend(answer.partitions.unwrap_or_default());
                asked = answer.unprocessed_keys.unwrap_or_default();
                if asked.len() == count && !pace.wait().await {
                    return Err(Error::unavailable(format!("table {name}: Glue does not answer for {count} partitions; run again")));
                }
            }
        }
        Ok(found)
    }

    /// Writes partitions, as many in a call as it may have. If Glue does not take a call because of what is in it, each half of its entries is
    /// written on its own, so that in the end only those are refused that it does not take.
    async fn write(&self, name: &TableName, entries: &[Entry<'_>]) -> Result<Vec<EntryError>> {
        let mut refused = Vec::new();
        let mut batches: Vec<&[Entry<'_>]> = entries.chunks(WRITTEN).rev().collect();
        while let Some(batch) = batches.pop() {
            let (action, answer) = self.write_batch(name, batch).await?;
            match (answer, batch) {
                (Answered::Entries(errors), _) => refused.extend(errors),
                (Answered::Invalid(detail), [Entry { partition, .. }]) => {
                    refused.push(entry_error(action, name, partition.values.clone(), Some(detail)));
                }
                (Answered::Invalid(_), batch) => {
                    let (left, right) = batch.split_at(batch.len() / 2);
                    batches.extend([right, left]);
                }
            }
        }
        Ok(refused)
    }

    /// Writes entries of one kind, and says with which action.
    async fn write_batch(&self, name: &TableName, batch: &[Entry<'_>]) -> Result<(&'static str, Answered)> {
        let inputs = batch.iter().map(|entry| shape::partition_input(entry.partition, entry.there.as_ref())).collect::<Result<Vec<_>>>()?;
        if batch.iter().all(|entry| entry.there.is_none()) {
            let call = self.client.batch_create_partition().database_name(&name.database).table_name(&name.name);
            return match call.set_partition_input_list(Some(inputs)).send().await {
                Ok(answer) => {
                    let refused = answer.errors.unwrap_or_default().into_iter();
                    let one = |e: types::PartitionError| entry_error(CREATE, name, e.partition_values.unwrap_or_default(), e.error_detail);
                    Ok((CREATE, Answered::Entries(refused.map(one).collect())))
                }
                Err(e) => Ok((CREATE, invalid(&e).ok_or_else(|| explain(CREATE, &format!("table {name}"), &e))?)),
            };
        }
        let entry = |(entry, input): (&Entry<'_>, _)| {
            let values = entry.partition.values.clone();
            let built = BatchUpdatePartitionRequestEntry::builder().set_partition_value_list(Some(values)).partition_input(input).build();
            built.map_err(|e| Error::internal(format!("table {name}: {e}")))
        };
        let updates = batch.iter().zip(inputs).map(entry).collect::<Result<Vec<_>>>()?;
        let call = self.client.batch_update_partition().database_name(&name.database).table_name(&name.name);
        match call.set_entries(Some(updates)).send().await {
            Ok(answer) => {
                let refused = answer.errors.unwrap_or_default().into_iter();
                let one = |e: types::BatchUpdatePartitionFailureEntry| {
                    entry_error(UPDATE, name, e.partition_value_list.unwrap_or_default(), e.error_detail)
                };
                Ok((UPDATE, Answered::Entries(refused.map(one).collect())))
            }
            Err(e) => Ok((UPDATE, invalid(&e).ok_or_else(|| explain(UPDATE, &format!("table {name}"), &e))?)),
        }
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
            // Its answer alone may be lost.
            Err(e) if !is(&e, EXISTS) && self.client.get_database().name(database).send().await.is_err() => {
                Err(explain("glue:CreateDatabase", &what, &e))
            }
            _ => Ok(()),
        }
    }

    async fn table(&self, name: &TableName) -> Result<Option<Table>> {
        self.raw_table(name).await?.map(|table| shape::table(name, &table)).transpose()
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        let mut databases = Vec::new();
        let mut pages = self.client.get_databases().max_results(PAGE).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| explain("glue:GetDatabases", "the catalog", &e))?;
            databases.extend(page.database_list.into_iter().map(|database| database.name));
        }
        let listings: Vec<_> = databases.iter().map(|database| self.tables_of(database)).collect();
        let listings: Vec<_> = futures::stream::iter(listings).buffered(LISTINGS).collect().await;
        let mut tables = Vec::new();
        for listed in listings {
            match listed {
                Ok(found) => tables.extend(found),
                // Others' databases may be closed to us, or links to what is gone.
                Err(e) if e.kind() == Kind::Config => tracing::warn!("{e}"),
                Err(e) => return Err(e),
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
            Err(e) if is(&e, EXISTS) => Err(exists(name)),
            Err(e) if is(&e, NOT_FOUND) => {
                Err(Error::config(format!("database `{}` of table {name} does not exist; create it first", name.database)))
            }
            Err(e) => Err(self.read_back(name, None, explain("glue:CreateTable", &format!("table {name}"), &e)).await),
        }
    }

    async fn update_table(&self, table: &Table) -> Result<()> {
        check_table(table)?;
        let name = &table.name;
        let gone = || lost(name, "does not exist");
        let there = self.raw_table(name).await?.ok_or_else(gone)?;
        if there.version_id.is_none() {
            return Err(Error::unavailable(format!("Glue says no version of table {name}, so it cannot be updated safely; run again")));
        }
        if shape::version(&there) != table.version {
            return Err(changed(name));
        }
        let call = self.client.update_table().database_name(&name.database).table_input(shape::table_input(table, Some(&there))?);
        match call.set_version_id(there.version_id.clone()).skip_archive(true).send().await {
            Ok(_) => Ok(()),
            Err(e) if is(&e, &["ConcurrentModificationException"]) => Err(changed(name)),
            Err(e) if is(&e, NOT_FOUND) => Err(gone()),
            Err(e) => Err(self.read_back(name, Some(table.version), explain("glue:UpdateTable", &format!("table {name}"), &e)).await),
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
        let mut partitions: Vec<Partition> = wanted.map(shape::partition).collect();
        partitions.sort_by(|a, b| a.values.cmp(&b.values));
        Ok(partitions)
    }

    async fn get_partitions(&self, name: &TableName, values: &[Vec<String>]) -> Result<Vec<Partition>> {
        Ok(self.raw_partitions(name, values).await?.iter().map(shape::partition).collect())
    }

    async fn create_partitions(&self, table: &Table, partitions: &[Partition]) -> Result<Vec<EntryError>> {
        let (good, mut refused) = checked(table, partitions);
        let entries: Vec<Entry<'_>> = good.into_iter().map(|partition| Entry { partition, there: None }).collect();
        refused.extend(self.write(&table.name, &entries).await?);
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
                Some(old) => updates.push(Entry { partition, there: Some(old) }),
                None => refused.push(missing(UPDATE, name, &partition.values)),
            }
        }
        refused.extend(self.write(name, &updates).await?);
        Ok(refused)
    }
}

fn exists(name: &TableName) -> Error {
    Error::conflict(format!("table {name} exists already in Glue; read it and update it"))
}

fn changed(name: &TableName) -> Error {
    lost(name, "was changed meanwhile")
}

fn lost(name: &TableName, what: &str) -> Error {
    Error::conflict(format!("table {name} {what} in Glue; read it again, then update it"))
}

/// Why Glue does not say which partitions there are.
type Refused = Box<SdkError<GetPartitionsError>>;

const CREATE: &str = "glue:BatchCreatePartition";
const UPDATE: &str = "glue:BatchUpdatePartition";

/// A partition that is to be written, and what Glue has in its place.
struct Entry<'p> {
    partition: &'p Partition,
    there: Option<types::Partition>,
}

/// What Glue says to a batch.
enum Answered {
    /// Which entries it refuses.
    Entries(Vec<EntryError>),
    /// It does not take the call because of what is in it, and nothing of it was done.
    Invalid(types::ErrorDetail),
}

fn invalid<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> Option<Answered> {
    let refusal = Refusal::of(error).filter(|refusal| refusal.code == INVALID)?;
    Some(Answered::Invalid(types::ErrorDetail::builder().error_code(refusal.code).error_message(refusal.message).build()))
}

/// Codes of expressions that Glue cannot decide for this table.
const NOT_DECIDED: &[&str] = &["InvalidInputException", "InvalidStateException"];

/// The partitions that can be, and why the others cannot.
fn checked<'p>(table: &Table, partitions: &'p [Partition]) -> (Vec<&'p Partition>, Vec<EntryError>) {
    let (mut good, mut refused) = (Vec::new(), Vec::new());
    for partition in partitions {
        match check_partition(table, partition) {
            Ok(()) => good.push(partition),
            Err(message) => refused.push(EntryError { values: partition.values.clone(), kind: Kind::Config, message }),
        }
    }
    (good, refused)
}
