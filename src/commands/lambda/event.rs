//! What an event asks a function of AWS Lambda for: told by its form, as every service has its own.

use chrono::{DateTime, Utc};
use serde_json::Value;
use url::form_urlencoded;

use crate::error::{Error, Result};
use crate::redrive;
use crate::repair;
use crate::standardize::reject::Code;

/// What an event asks for.
#[derive(Debug)]
pub enum Call {
    /// The scheduled job.
    Run {
        /// The time it is for, UTC.
        at: DateTime<Utc>,
        /// One table, or all.
        table: Option<String>,
    },
    /// One partition, made anew.
    Repair(repair::Request),
    /// Quarantined records, once more.
    Redrive(redrive::Request),
    /// Objects landed; if one of them fails, the call does.
    Objects(Vec<Landed>),
    /// The same in messages of SQS, each of which can fail on its own.
    Messages(Vec<Message>),
}

/// An object that landed, as an event names it.
#[derive(Debug)]
pub struct Landed {
    /// The bucket.
    pub bucket: String,
    /// The whole key, decoded.
    pub key: String,
}

/// One message of SQS.
#[derive(Debug)]
pub struct Message {
    /// By which the answer names it if it failed.
    pub id: String,
    /// It is of a queue that keeps an order (FIFO): none behind one that failed may be done before it.
    pub in_order: bool,
    /// The objects in it; none in one that only tests the connection.
    pub objects: Result<Vec<Landed>>,
}

/// Reads an event.
///
/// A scheduled event of EventBridge has its time in `time`. The input of an EventBridge Scheduler is free: `{}` is a run for `now`,
/// `{"time": "<aws.scheduler.scheduled-time>"}` one for the scheduled time, and `"table"` names one table. Notifications of S3 come as
/// they are, in messages of SQS, in notifications of SNS, in both, or as events of EventBridge (`Object Created`). An event of EventBridge
/// with the detail type `RepairRequested` is a repair, one with `RedriveRequested` a redrive.
///
/// # Errors
/// `Config` for every other event.
pub fn read(event: &Value, now: DateTime<Utc>) -> Result<Call> {
    let records = event["Records"].as_array().map_or(&[][..], Vec::as_slice);
    let is_queue = |record: &Value| record["eventSource"] == "aws:sqs";
    if !records.is_empty() && records.iter().all(is_queue) {
        return Ok(Call::Messages(records.iter().map(message).collect()));
    }
    if event["detail-type"] == "RepairRequested" {
        return repair_of(&event["detail"]).map(Call::Repair);
    }
    if event["detail-type"] == "RedriveRequested" {
        return redrive_of(&event["detail"]).map(Call::Redrive);
    }
    match objects(event)? {
        Some(objects) => Ok(Call::Objects(objects)),
        None => schedule(event, now),
    }
}

/// The detail of an event that asks for a repair: `{"table": "shop.clicks", "hour": "2026-11-19T14", "from_merged": false}`.
fn repair_of(detail: &Value) -> Result<repair::Request> {
    let wrong = || {
        Error::config(
            "the detail of a RepairRequested event is {\"table\": \"shop.clicks\", \"hour\": \"2026-11-19T14\"}, with \"from_merged\": true \
             where only the live rows are to be written once more",
        )
    };
    let fields = detail.as_object().ok_or_else(wrong)?;
    let known = |key: &String| ["table", "hour", "from_merged"].contains(&key.as_str());
    match (detail["table"].as_str(), detail["hour"].as_str(), fields.get("from_merged").unwrap_or(&Value::Bool(false))) {
        (Some(table), Some(hour), Value::Bool(from_merged)) if fields.keys().all(known) => {
            Ok(repair::Request { table: table.to_string(), place: hour.parse()?, from_merged: *from_merged, dry_run: false })
        }
        _ => Err(wrong()),
    }
}

/// The detail of an event that asks for a redrive: `{"table": "shop.clicks", "hour": "2026-11-19T14", "reason": "type_mismatch"}`.
fn redrive_of(detail: &Value) -> Result<redrive::Request> {
    let wrong = || {
        Error::config(
            "the detail of a RedriveRequested event is {\"table\": \"shop.clicks\"}, with \"hour\": \"2026-11-19T14\" for one hour alone, and with \
             \"reason\": \"type_mismatch\" for records that were rejected for that reason",
        )
    };
    let fields = detail.as_object().ok_or_else(wrong)?;
    let known = |key: &String| ["table", "hour", "reason"].contains(&key.as_str());
    let text = |key: &str| fields.get(key).map(|value| value.as_str().ok_or_else(wrong)).transpose();
    let (Some(table), hour, reason) = (text("table")?, text("hour")?, text("reason")?) else { return Err(wrong()) };
    if !fields.keys().all(known) {
        return Err(wrong());
    }
    let place = hour.map(str::parse).transpose()?;
    let reason = reason.map(|reason| Code::of(reason).ok_or_else(wrong)).transpose()?;
    Ok(redrive::Request { table: table.to_string(), place, reason, dry_run: false })
}

fn message(record: &Value) -> Message {
    let body = record["body"].as_str().unwrap_or_default();
    let objects = serde_json::from_str(body).map_err(|e| Error::config(format!("the message's body is not JSON: {e}")));
    let objects = objects.and_then(|body: Value| objects_in(&body)?.ok_or_else(|| unknown("a message of the queue")));
    let in_order = record["eventSourceARN"].as_str().is_some_and(|queue| queue.ends_with(".fifo"));
    Message { id: record["messageId"].as_str().unwrap_or_default().to_string(), in_order, objects }
}

fn objects_in(body: &Value) -> Result<Option<Vec<Landed>>> {
    // SNS puts what it was given, as text, into an envelope of its own, unless it delivers raw messages.
    match (body["Type"].as_str(), body["Message"].as_str()) {
        (Some("Notification"), Some(text)) => sns(text).map(Some),
        _ => objects(body),
    }
}

fn sns(text: &str) -> Result<Vec<Landed>> {
    let inner = serde_json::from_str(text).map_err(|e| Error::config(format!("the notification of SNS is not JSON: {e}")))?;
    objects(&inner)?.ok_or_else(|| unknown("a notification of SNS"))
}

/// The objects that an event tells of; `None` if it is none of such an event.
fn objects(event: &Value) -> Result<Option<Vec<Landed>>> {
    if event["source"] == "aws.s3" && event["detail-type"] == "Object Created" {
        let detail = &event["detail"];
        // EventBridge gives keys as they are.
        return Ok(Some(vec![landed(&detail["bucket"]["name"], detail["object"]["key"].as_str().map(str::to_string))?]));
    }
    if event["Event"] == "s3:TestEvent" {
        return Ok(Some(vec![]));
    }
    let Some(records) = event["Records"].as_array().filter(|records| !records.is_empty()) else { return Ok(None) };
    let mut found = Vec::new();
    for record in records {
        match (record["eventSource"].as_str(), record["EventSource"].as_str()) {
            (Some("aws:s3"), _) => found.extend(notified(record)?),
            (_, Some("aws:sns")) => found.extend(sns(record["Sns"]["Message"].as_str().unwrap_or_default())?),
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The object of one record of an S3 notification; `None` if it does not tell that an object was created.
fn notified(record: &Value) -> Result<Option<Landed>> {
    // The minor number grows with what is added (S3: "notification content structure").
    if !record["eventVersion"].as_str().is_some_and(|version| version.starts_with("2.")) {
        return Err(Error::config(format!("eventVersion {} of an S3 notification is not known; 2.x is", record["eventVersion"])));
    }
    let name = record["eventName"].as_str().unwrap_or_default();
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        return Ok(None);
    }
    let key = record["s3"]["object"]["key"].as_str().map(decoded);
    landed(&record["s3"]["bucket"]["name"], key).map(Some)
}

fn landed(bucket: &Value, key: Option<String>) -> Result<Landed> {
    match (bucket.as_str(), key) {
        (Some(bucket), Some(key)) if !bucket.is_empty() && !key.is_empty() => Ok(Landed { bucket: bucket.to_string(), key }),
        _ => Err(Error::config("an event of S3 names no bucket or no key")),
    }
}

/// A key as it is from the form that notifications have it in: `+` is a space, and everything else is percent-encoded, once.
fn decoded(key: &str) -> String {
    // `=` and `&` separate fields in forms; in a key they are themselves, where a sender left them as they are.
    let field = key.replace('=', "%3D").replace('&', "%26");
    form_urlencoded::parse(field.as_bytes()).map(|(key, _)| key.into_owned()).next().unwrap_or_default()
}

fn schedule(event: &Value, now: DateTime<Utc>) -> Result<Call> {
    let Value::Object(fields) = event else { return Err(unknown("the event")) };
    let scheduled = fields.get("detail-type").is_some_and(|kind| kind == "Scheduled Event");
    if !scheduled && fields.keys().any(|key| key != "time" && key != "table") {
        return Err(unknown("the event"));
    }
    let at = match fields.get("time") {
        None => now,
        Some(Value::String(time)) => time.parse().map_err(|_| unknown("the event's time"))?,
        Some(_) => return Err(unknown("the event's time")),
    };
    let table = match fields.get("table").filter(|_| !scheduled) {
        None => None,
        Some(Value::String(table)) => Some(table.clone()),
        Some(_) => return Err(unknown("the event's table")),
    };
    Ok(Call::Run { at, table })
}

fn unknown(what: &str) -> Error {
    Error::config(format!(
        "{what} is neither a schedule nor of an object that landed; let an EventBridge schedule call the function with the input \
         {{\"time\": \"<aws.scheduler.scheduled-time>\"}}, or S3 notify it of created objects"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn call(event: &Value) -> String {
        let one = |object: &Landed| format!("{} {}", object.bucket, object.key);
        let all = |objects: &[Landed]| objects.iter().map(one).collect::<Vec<_>>().join(", ");
        match read(event, "2026-11-19T15:21:00Z".parse().unwrap()) {
            Ok(Call::Run { at, table }) => format!("run {} {}", at.to_rfc3339(), table.unwrap_or_default()),
            Ok(Call::Repair(request)) => format!("{request:?}"),
            Ok(Call::Redrive(request)) => format!("{request:?}"),
            Ok(Call::Objects(objects)) => format!("objects {}", all(&objects)),
            Ok(Call::Messages(messages)) => {
                let told = |m: &Message| format!("{}: {}", m.id, m.objects.as_ref().map_or("refused".to_string(), |objects| all(objects)));
                messages.iter().map(told).collect::<Vec<_>>().join("; ")
            }
            Err(e) => format!("refused: {e}"),
        }
    }

    fn s3(name: &str, key: &str) -> Value {
        json!({"eventVersion": "2.3", "eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": "raw"}, "object": {"key": key, "size": 5}}})
    }

    fn sqs(id: &str, body: &Value) -> Value {
        json!({"messageId": id, "eventSource": "aws:sqs", "body": body.to_string()})
    }

    #[test]
    fn schedules_of_both_kinds_are_runs_for_their_time() {
        let rule = json!({
            "version": "0", "id": "b1", "detail-type": "Scheduled Event", "source": "aws.events", "account": "111122223333",
            "time": "2026-11-19T15:20:00Z", "region": "eu-central-1", "resources": ["arn:aws:events:…:rule/lake"], "detail": {}
        });
        assert_eq!(call(&rule), "run 2026-11-19T15:20:00+00:00 ");
        assert_eq!(call(&json!({"time": "2026-11-19T15:20:00Z", "table": "shop.clicks"})), "run 2026-11-19T15:20:00+00:00 shop.clicks");
        assert_eq!(call(&json!({})), "run 2026-11-19T15:21:00+00:00 ");
    }

    #[test]
    fn notifications_name_their_objects_however_they_come() {
        let put = json!({"Records": [s3("ObjectCreated:Put", "a/b+c%2Bd%3De.gz"), s3("ObjectRemoved:Delete", "x")]});
        let expected = "raw a/b c+d=e.gz";
        assert_eq!(call(&put), format!("objects {expected}"));
        let notification = json!({"Type": "Notification", "TopicArn": "arn", "Message": put.to_string()});
        let created = json!({
            "version": "0", "source": "aws.s3", "detail-type": "Object Created", "time": "2026-11-19T15:20:00Z",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": "a/b+c%20d.gz", "size": 5}, "reason": "PutObject"}
        });
        assert_eq!(call(&created), "objects raw a/b+c%20d.gz", "EventBridge does not encode keys");
        assert_eq!(
            call(&json!({"Records": [{"EventSource": "aws:sns", "Sns": {"Message": put.to_string()}}]})),
            format!("objects {expected}")
        );
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "raw"});
        assert_eq!(call(&test), "objects ");
        let queue = [
            sqs("1", &put),
            sqs("2", &notification),
            sqs("3", &created),
            sqs("4", &test),
            sqs("5", &json!({"a": 1})),
            sqs("6", &json!("x")),
        ];
        assert_eq!(
            call(&json!({"Records": queue})),
            format!("1: {expected}; 2: {expected}; 3: raw a/b+c%20d.gz; 4: ; 5: refused; 6: refused")
        );
    }

    #[test]
    fn a_repair_is_asked_for_by_its_detail() {
        let event =
            |detail: Value| call(&json!({"version": "0", "detail-type": "RepairRequested", "source": "shop.ops", "detail": detail}));
        let asked = event(json!({"table": "shop.clicks", "hour": "2026-11-19T14/page=books", "from_merged": true}));
        let place = "2026-11-19T14/page=books".parse().unwrap();
        let expected = repair::Request { table: "shop.clicks".into(), place, from_merged: true, dry_run: false };
        assert_eq!(asked, format!("{expected:?}"));
        assert!(event(json!({"table": "shop.clicks", "hour": "2026-11-19T14"})).contains("from_merged: false"));
        for wrong in [
            json!({}),
            json!({"table": "shop.clicks"}),
            json!({"table": "shop.clicks", "hour": "14"}),
            json!({"table": "shop.clicks", "hour": "2026-11-19T14", "from_merged": "no"}),
            json!({"table": "shop.clicks", "hour": "2026-11-19T14", "form_merged": true}),
        ] {
            assert!(event(wrong.clone()).starts_with("refused"), "{wrong}");
        }
    }

    #[test]
    fn an_event_asks_for_a_redrive() {
        let event = |detail: Value| call(&json!({"detail-type": "RedriveRequested", "source": "shop.ops", "detail": detail}));
        let request = |place: Option<&str>, reason| {
            let place = place.map(|place| place.parse().unwrap());
            format!("{:?}", redrive::Request { table: "shop.clicks".into(), place, reason, dry_run: false })
        };
        assert_eq!(event(json!({"table": "shop.clicks"})), request(None, None));
        let asked = json!({"table": "shop.clicks", "hour": "2026-11-19T14/page=books", "reason": "type_mismatch"});
        assert_eq!(event(asked), request(Some("2026-11-19T14/page=books"), Some(Code::Type)));
        for wrong in [
            json!({}),
            json!({"hour": "2026-11-19T14"}),
            json!({"table": "shop.clicks", "hour": "14"}),
            json!({"table": "shop.clicks", "reason": "bad"}),
            json!({"table": "shop.clicks", "reason": 1}),
            json!({"table": "shop.clicks", "dry_run": true}),
        ] {
            assert!(event(wrong.clone()).starts_with("refused"), "{wrong}");
        }
    }

    #[test]
    fn other_events_are_refused_and_not_taken_for_a_schedule() {
        let old = json!({"Records": [{"eventVersion": "1.0", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]});
        assert!(call(&old).contains("eventVersion \"1.0\""), "{}", call(&old));
        for event in [
            json!({"Records": []}),
            json!({"Records": [{"eventSource": "aws:kinesis"}]}),
            json!({"Records": [s3("ObjectCreated:Put", "")]}),
            json!({"time": 5}),
            json!({"time": "soon"}),
            json!({"table": 1}),
            json!([]),
            json!({"detail-type": "Object Deleted", "source": "aws.s3"}),
            json!({"detail-type": "RepairRequested", "source": "shop"}),
        ] {
            assert!(call(&event).starts_with("refused"), "{event}");
        }
    }
}
