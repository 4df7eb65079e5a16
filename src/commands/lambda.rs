//! `lakebed lambda`: the scheduled job, and the standardizing of objects as they land, as a function of AWS Lambda.

mod event;
mod objects;

use chrono::{DateTime, Utc};
use event::{Call, Message};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use objects::Objects;
use serde_json::{Value, json};

use crate::app::App;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::pipeline::{self, Request};
use crate::redrive;
use crate::repair;

/// Answers calls until Lambda ends the process.
///
/// # Errors
/// `Unavailable` if Lambda does not answer, above all outside of Lambda.
pub async fn run(app: &App) -> Result<u8> {
    // The library panics without it.
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err(Error::config(
            "`lakebed lambda` is started by AWS Lambda, as the bootstrap of a function; use `lakebed run` elsewhere",
        ));
    }
    let answer = service_fn(|event: LambdaEvent<Value>| async move {
        let deadline = DateTime::from_timestamp_millis(i64::try_from(event.context.deadline).unwrap_or(i64::MAX));
        call(app, &event.payload, deadline).await
    });
    lambda_runtime::run(answer).await.map_err(|e| Error::unavailable(format!("Lambda does not answer: {e}")))?;
    Ok(0)
}

/// What a call answers: what was done, or why not all of it. Then Lambda counts an error, and what called tries again.
type Answer = std::result::Result<Value, Diagnostic>;

/// One call.
async fn call(app: &App, event: &Value, deadline: Option<DateTime<Utc>>) -> Answer {
    let now = app.clock.now();
    let until = deadline.map(|end| Deadline::new(now, end));
    match event::read(event, now).map_err(|e| failed("UnknownEvent", e.to_string()))? {
        Call::Run { at, table } => run_once(app, &Request { table, at, since: None, dry_run: false, until }).await,
        Call::Repair(request) => repair_once(app, &request).await,
        Call::Redrive(request) => redrive_once(app, &request).await,
        Call::Objects(landed) => {
            let mut objects = Objects::new(app, until);
            objects.stage(&landed).await.map_err(|e| failed("ObjectFailed", e.to_string()))?;
            Ok(objects.summary())
        }
        Call::Messages(messages) => Ok(messages_of(app, until, messages).await),
    }
}

fn failed(kind: &str, message: String) -> Diagnostic {
    Diagnostic { error_type: kind.to_string(), error_message: message }
}

async fn run_once(app: &App, request: &Request) -> Answer {
    let summary = pipeline::run(app, request).await.map_err(|e| failed("RunFailed", e.to_string()))?;
    answer(&summary, summary.exit_code(), summary.failure_lines(), "RunIncomplete")
}

async fn repair_once(app: &App, request: &repair::Request) -> Answer {
    let summary = repair::repair(app, request).await.map_err(|e| failed("RepairFailed", e.to_string()))?;
    answer(&summary, summary.exit_code(), summary.failure_lines(), "RepairIncomplete")
}

async fn redrive_once(app: &App, request: &redrive::Request) -> Answer {
    let summary = redrive::redrive(app, request).await.map_err(|e| failed("RedriveFailed", e.to_string()))?;
    answer(&summary, summary.exit_code(), summary.failure_lines(), "RedriveIncomplete")
}

/// What a verb did, as the call's answer; an error of that kind if not all of it was done.
fn answer(summary: &impl serde::Serialize, exit_code: u8, failures: impl Iterator<Item = String>, incomplete: &str) -> Answer {
    let text = serde_json::to_value(summary).map_err(|e| failed(incomplete, e.to_string()))?;
    tracing::info!("{text}");
    match exit_code {
        0 => Ok(text),
        _ => Err(failed(incomplete, failures.collect::<Vec<_>>().join("; "))),
    }
}

/// Stages the objects of each message. Those that failed come again, and in the end go where the queue sends what nobody can take. Where the
/// queue keeps an order, all behind one that failed come again with it
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html>).
async fn messages_of(app: &App, until: Option<Deadline>, messages: Vec<Message>) -> Value {
    let mut objects = Objects::new(app, until);
    let mut failures = Vec::new();
    let mut stopped = false;
    for Message { id, in_order, objects: landed } in messages {
        let error = match landed {
            // One before it failed, and it is not to overtake that.
            _ if stopped => None,
            Ok(landed) => match objects.stage(&landed).await {
                Ok(()) => continue,
                Err(e) => Some(e),
            },
            Err(e) => Some(e),
        };
        error.iter().for_each(|e| tracing::error!("message {id}: {e}"));
        failures.push(json!({"itemIdentifier": id}));
        stopped |= in_order;
    }
    tracing::info!("{}", objects.summary());
    json!({"batchItemFailures": failures})
}
