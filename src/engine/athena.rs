//! Athena, which reads the same tables where they are: one statement at a time, with what it scanned and cost.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_sdk_athena::Client;
use aws_sdk_athena::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_athena::operation::get_query_results::GetQueryResultsOutput;
use aws_sdk_athena::types::{
    QueryExecution, QueryExecutionContext, QueryExecutionState, ResultConfiguration, ResultReuseByAgeConfiguration,
    ResultReuseConfiguration, StatementType,
};
use futures::StreamExt;
use futures::stream::BoxStream;

use crate::config::AthenaConfig;
use crate::error::{Error, Result, aws};

/// Pauses between two questions whether a query is done: the first, and the longest. Athena answers 100 of them a second.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(3);

/// A call that is throttled is made again this often at most, half a minute in all: the limits are those of the whole account, and a query that runs
/// costs what it costs whether it is waited for or not.
const ATTEMPTS: u32 = 12;

/// Rows of a page, the most that there may be.
const PAGE: i32 = 1000;

/// Dollars for a terabyte scanned, in most regions, and the least that counts for a query (aws.amazon.com/athena/pricing, 2026).
const DOLLARS: f64 = 5.0;
const LEAST: u64 = 10_000_000;

/// Athena in one account and region.
#[derive(Debug)]
pub struct Athena<'a> {
    client: Client,
    config: &'a AthenaConfig,
}

/// What a query gave.
pub struct Answer {
    /// Name and type of each column, in Athena's words.
    pub columns: Vec<(String, String)>,
    /// Rows, page by page: a text for each value, none for NULL.
    pub pages: BoxStream<'static, Result<Vec<Vec<Option<String>>>>>,
    /// Bytes that Athena read.
    pub scanned: u64,
    /// What the scan cost, at the price of most regions.
    pub dollars: f64,
}

/// What a statement costs. One that describes, shows or explains reads nothing, and costs nothing then.
fn dollars(scanned: u64, kind: Option<&StatementType>) -> f64 {
    let least = if scanned > 0 || kind == Some(&StatementType::Dml) { LEAST } else { 0 };
    scanned.max(least) as f64 / 1e12 * DOLLARS
}

impl<'a> Athena<'a> {
    /// Athena of the account and region that `sdk` names.
    pub fn new(sdk: &SdkConfig, config: &'a AthenaConfig) -> Self {
        let retry = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_max_backoff(LONGEST);
        Self { client: Client::from_conf(aws_sdk_athena::config::Builder::from(sdk).retry_config(retry).build()), config }
    }

    /// Runs one statement to its end. If `stop` ends first, the query is cancelled.
    ///
    /// # Errors
    /// `Config` if Athena does not take the statement or may not read the tables, `Unavailable` if it fails on its own or is cancelled.
    pub async fn run(&self, sql: &str, stop: impl Future<Output = ()>) -> Result<Answer> {
        if !only_reads(sql) {
            return Err(Error::config(
                "only SELECT, WITH, VALUES, EXPLAIN, SHOW and DESCRIBE are sent to Athena; write with migrations and runs",
            ));
        }
        let id = self.start(sql).await?;
        let done = tokio::select! {
            done = self.wait(&id) => done?,
            () = stop => return Err(self.cancel(&id).await),
        };
        let scanned = done.statistics().and_then(|s| s.data_scanned_in_bytes()).unwrap_or(0).unsigned_abs();
        let first = results(&self.client, &id, None).await?;
        let metadata = first.result_set().and_then(|set| set.result_set_metadata());
        let column = |info: &aws_sdk_athena::types::ColumnInfo| (info.name().to_string(), info.r#type().to_string());
        let columns = metadata.map(|metadata| metadata.column_info().iter().map(column).collect()).unwrap_or_default();
        // The first row of a query's first page is the header; what describes or shows has none.
        let header = usize::from(done.statement_type() == Some(&StatementType::Dml));
        let (client, next) = (self.client.clone(), first.next_token.clone());
        let rest = futures::stream::try_unfold((client, id, next), |(client, id, next)| async move {
            let Some(token) = next else { return Ok(None) };
            let page = results(&client, &id, Some(token)).await?;
            let next = page.next_token.clone();
            Ok(Some((rows(&page, 0), (client, id, next))))
        });
        let pages = futures::stream::iter([Ok(rows(&first, header))]).chain(rest).boxed();
        Ok(Answer { columns, pages, scanned, dollars: dollars(scanned, done.statement_type()) })
    }

    async fn start(&self, sql: &str) -> Result<String> {
        // A check must not be answered from before the change that it checks.
        let reuse = ResultReuseByAgeConfiguration::builder().enabled(false).build();
        let context = QueryExecutionContext::builder().catalog("AwsDataCatalog").build();
        let call =
            self.client.start_query_execution().query_string(sql).query_execution_context(context).work_group(&self.config.workgroup);
        let call = call.result_reuse_configuration(ResultReuseConfiguration::builder().result_reuse_by_age_configuration(reuse).build());
        let output = self.config.output.as_ref().map(|output| ResultConfiguration::builder().output_location(output.to_string()).build());
        let started = call.set_result_configuration(output).send().await.map_err(|e| explain("athena:StartQueryExecution", &e))?;
        started.query_execution_id.ok_or_else(|| Error::internal("Athena started a query and did not name it"))
    }

    /// Cancels a query, and says what came of it.
    async fn cancel(&self, id: &str) -> Error {
        match self.client.stop_query_execution().query_execution_id(id).send().await {
            Ok(_) => Error::unavailable(format!("query {id} was cancelled{}", self.scanned_of(id).await)),
            Err(e) => {
                let why = explain("athena:StopQueryExecution", &e);
                Error::new(why.kind(), format!("query {id} could not be cancelled and goes on in Athena: {why}"))
            }
        }
    }

    /// What a query that was cancelled scanned, which has its price all the same; nothing if Athena does not tell.
    async fn scanned_of(&self, id: &str) -> String {
        let found = self.client.get_query_execution().query_execution_id(id).send().await.ok().and_then(|found| found.query_execution);
        let scanned = found.as_ref().and_then(QueryExecution::statistics).and_then(|statistics| statistics.data_scanned_in_bytes());
        let kind = found.as_ref().and_then(QueryExecution::statement_type);
        let told = |bytes: u64| format!("; Athena had scanned {bytes} bytes, about ${:.6}", dollars(bytes, kind));
        scanned.map(|bytes| told(bytes.unsigned_abs())).unwrap_or_default()
    }

    async fn wait(&self, id: &str) -> Result<QueryExecution> {
        let mut pause = FIRST;
        loop {
            let found = self.client.get_query_execution().query_execution_id(id).send().await;
            let found = match found {
                Ok(found) => found,
                Err(e) => {
                    // What nobody waits for any more would go on, and cost what it scans.
                    let why = explain("athena:GetQueryExecution", &e);
                    return Err(Error::new(why.kind(), format!("{why}; {}", self.cancel(id).await)));
                }
            };
            let execution = found.query_execution.ok_or_else(|| Error::internal(format!("Athena does not know its query {id}")))?;
            let status = execution.status();
            match status.and_then(|status| status.state()) {
                Some(QueryExecutionState::Succeeded) => return Ok(execution),
                Some(QueryExecutionState::Failed | QueryExecutionState::Cancelled) => return Err(failure(id, &execution)),
                // It may also go back from running to queued.
                _ => tokio::time::sleep(pause).await,
            }
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }
}

async fn results(client: &Client, id: &str, token: Option<String>) -> Result<GetQueryResultsOutput> {
    let call = client.get_query_results().query_execution_id(id).max_results(PAGE).set_next_token(token);
    call.send().await.map_err(|e| explain("athena:GetQueryResults", &e))
}

/// True for the statements that change nothing, by their first word; `EXPLAIN ANALYZE` runs what it explains.
fn only_reads(sql: &str) -> bool {
    let text = without_comments(sql);
    let mut words = text.split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty()).map(str::to_ascii_uppercase);
    match words.next().as_deref() {
        Some("EXPLAIN") => words.all(|word| word != "ANALYZE"),
        Some(first) => ["SELECT", "WITH", "VALUES", "SHOW", "DESCRIBE", "DESC"].contains(&first),
        None => false,
    }
}

/// A statement with a space for each comment. What looks like one in a quoted text is taken for one: the first words have none before them.
fn without_comments(sql: &str) -> String {
    let (mut text, mut rest) = (String::new(), sql);
    while let Some(at) = rest.find("--").into_iter().chain(rest.find("/*")).min() {
        text.push_str(&rest[..at]);
        text.push(' ');
        let end = if rest[at..].starts_with("--") { "\n" } else { "*/" };
        rest = rest[at + 2..].split_once(end).map_or("", |(_, after)| after);
    }
    text + rest
}

fn rows(page: &GetQueryResultsOutput, header: usize) -> Vec<Vec<Option<String>>> {
    let rows = page.result_set().map(|set| set.rows()).unwrap_or_default();
    rows.iter().skip(header).map(|row| row.data().iter().map(|datum| datum.var_char_value.clone()).collect()).collect()
}

/// Why a query did not succeed. Athena says whose fault it is: 1 its own, 2 the user's, 3 others'.
fn failure(id: &str, execution: &QueryExecution) -> Error {
    let status = execution.status();
    let error = status.and_then(|status| status.athena_error());
    let reason = status.and_then(|status| status.state_change_reason()).or(error.and_then(|error| error.error_message()));
    let reason = reason.unwrap_or("no reason given");
    let category = error.and_then(|error| error.error_category());
    let numbers = [("category", category), ("error type", error.and_then(|error| error.error_type()))];
    let numbers: Vec<String> = numbers.iter().filter_map(|(what, number)| number.map(|number| format!("{what} {number}"))).collect();
    let numbers = if numbers.is_empty() { String::new() } else { format!(" ({})", numbers.join(", ")) };
    match category {
        Some(2) => Error::config(format!("Athena refuses query {id}{numbers}: {reason}")),
        _ => Error::unavailable(format!("query {id} failed in Athena{numbers}: {reason}; run it again")),
    }
}

fn explain<E, R>(action: &str, error: &SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    aws::explain(action, "the query", error, |refusal| match refusal.code {
        "InvalidRequestException" => Some(Error::config(format!(
            "Athena does not take the query: {}; if it misses a place for results, set [athena] output or use a workgroup that has one",
            refusal.message
        ))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_costs_something() {
        let dml = Some(&StatementType::Dml);
        let cases = [(0, dml), (1, dml), (30_000_000, dml), (0, Some(&StatementType::Utility)), (0, Some(&StatementType::Ddl)), (1, None)];
        let told = cases.map(|(scanned, kind)| format!("{:.6}", dollars(scanned, kind)));
        assert_eq!(told, ["0.000050", "0.000050", "0.000150", "0.000000", "0.000000", "0.000050"]);
    }

    #[test]
    fn what_writes_is_not_sent() {
        for sql in [
            "SELECT 1",
            " (select 1)",
            "with a as (select 1) select * from a",
            "SHOW PARTITIONS shop.clicks",
            "explain select 1",
            "VALUES 1",
            "/* c */ SELECT 1",
            "-- DROP TABLE a\n/* b\n */select 1",
        ] {
            assert!(only_reads(sql), "{sql}");
        }
        for sql in [
            "DROP TABLE shop.clicks",
            "insert into a select 1",
            "EXPLAIN ANALYZE insert into a select 1",
            "EXPLAIN/**/ANALYZE insert into a select 1",
            "EXPLAIN /* c */ANALYZE insert into a select 1",
            "",
            "-- c\nDROP TABLE a",
            "/* SELECT */ DROP TABLE a",
            "/* SELECT 1",
        ] {
            assert!(!only_reads(sql), "{sql}");
        }
    }
}
