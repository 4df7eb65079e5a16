//! `lakebed lambda`: the scheduled job as a function of AWS Lambda.

use chrono::{DateTime, TimeDelta, Utc};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

use crate::app::App;
use crate::error::{Error, Result};
use crate::pipeline::{self, Request};

/// No other hour is begun in the last part of a call's time: one in this many.
const LAST: i32 = 4;

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

/// One call: the summary of the run, or why not all of it was done. Then Lambda counts an error, and the schedule tries again.
async fn call(app: &App, event: &Value, deadline: Option<DateTime<Utc>>) -> std::result::Result<Value, Diagnostic> {
    let now = app.clock.now();
    let failed = |kind: &str, message: String| Diagnostic { error_type: kind.to_string(), error_message: message };
    let request = request(event, now, deadline).map_err(|e| failed("UnknownEvent", e.to_string()))?;
    let summary = pipeline::run(app, &request).await.map_err(|e| failed("RunFailed", e.to_string()))?;
    let text = serde_json::to_value(&summary).map_err(|e| failed("RunFailed", e.to_string()))?;
    tracing::info!("{text}");
    match summary.exit_code() {
        0 => Ok(text),
        _ => Err(failed("RunIncomplete", summary.failure_lines().collect::<Vec<_>>().join("; "))),
    }
}

/// What an event asks for.
///
/// A scheduled event of EventBridge has its time in `time`. The input of an EventBridge Scheduler is free: `{}` is a run for now,
/// `{"time": "<aws.scheduler.scheduled-time>"}` one for the scheduled time, and `"table"` names one table.
///
/// # Errors
/// `Config` for every other event.
fn request(event: &Value, now: DateTime<Utc>, deadline: Option<DateTime<Utc>>) -> Result<Request> {
    let unknown = || {
        Error::config(
            "the event is not a scheduled one; let an EventBridge schedule call the function, with the input {\"time\": \"<aws.scheduler.scheduled-time>\"}",
        )
    };
    let Value::Object(fields) = event else { return Err(unknown()) };
    let scheduled = fields.get("detail-type").is_some_and(|kind| kind == "Scheduled Event");
    if !scheduled && fields.keys().any(|key| key != "time" && key != "table") {
        return Err(unknown());
    }
    let at = match fields.get("time") {
        None => now,
        Some(Value::String(time)) => time.parse().map_err(|_| unknown())?,
        Some(_) => return Err(unknown()),
    };
    let table = match fields.get("table").filter(|_| !scheduled) {
        None => None,
        Some(Value::String(table)) => Some(table.clone()),
        Some(_) => return Err(unknown()),
    };
    let until = deadline.map(|deadline| deadline - (deadline - now).max(TimeDelta::zero()) / LAST);
    Ok(Request { table, at, since: None, dry_run: false, until })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(event: &Value) -> Option<String> {
        let [now, deadline] = ["2026-11-19T15:21:00Z", "2026-11-19T15:25:00Z"].map(|time| time.parse().unwrap());
        let request = request(event, now, Some(deadline)).ok()?;
        assert_eq!(request.until.unwrap().to_rfc3339(), "2026-11-19T15:24:00+00:00");
        Some(format!("{} {}", request.at.to_rfc3339(), request.table.unwrap_or_default()))
    }

    #[test]
    fn schedules_of_both_kinds_are_runs_for_their_time() {
        let rule = json!({
            "version": "0", "id": "b1", "detail-type": "Scheduled Event", "source": "aws.events", "account": "111122223333",
            "time": "2026-11-19T15:20:00Z", "region": "eu-central-1", "resources": ["arn:aws:events:…:rule/lake"], "detail": {}
        });
        assert_eq!(check(&rule).unwrap(), "2026-11-19T15:20:00+00:00 ");
        assert_eq!(
            check(&json!({"time": "2026-11-19T15:20:00Z", "table": "shop.clicks"})).unwrap(),
            "2026-11-19T15:20:00+00:00 shop.clicks"
        );
        assert_eq!(check(&json!({})).unwrap(), "2026-11-19T15:21:00+00:00 ");
    }

    #[test]
    fn other_events_are_refused_and_not_taken_for_a_schedule() {
        for event in [
            json!({"Records": []}),
            json!({"time": 5}),
            json!({"time": "soon"}),
            json!({"table": 1}),
            json!([]),
            json!({"detail-type": "Object Created"}),
        ] {
            assert_eq!(check(&event), None, "{event}");
        }
    }
}
