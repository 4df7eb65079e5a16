//! What a bus of EventBridge is told, and that nothing is lost on the way there.

use lakebed::generate::Settings;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::{AT, Bucketed, late_key};

const BUS: &str = "\n[events]\nbus = \"lake\"\n";

fn names(events: &[(String, Value)]) -> Vec<&str> {
    events.iter().map(|(name, _)| name.as_str()).collect()
}

/// `hour version` of each event that is about an hour.
fn hours(events: &[(String, Value)]) -> Vec<String> {
    let hours = events.iter().filter(|(name, _)| name.starts_with("Hour"));
    hours.map(|(_, detail)| format!("{} {}", detail["partition"]["hour"].as_str().unwrap(), detail["ledger_version"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_commit_is_told_once_its_hour_is_registered() {
    let lake = Bucketed::with(BUS).await;
    lake.lake.generate(&Settings { hours: 12, objects_per_hour: 1, records: 600, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    // Some entries are refused inside of an HTTP 200.
    lake.account.decline(4);
    lake.account.order();
    let run = lake.run(0);
    let order = lake.account.order();
    let place = |call: &str| order.iter().position(|made| made == call).unwrap();
    assert!(place("glue:BatchCreatePartition") < place("events:PutEvents"), "who is told finds it registered: {order:?}");
    let events = lake.account.events();
    let mut expected = vec!["HourMerged"; run["tables"][0]["partitions"].as_array().unwrap().len()];
    expected.push("SchemaEvolved");
    let mut told = names(&events);
    told.sort_unstable();
    assert_eq!(told, expected, "one for each hour, and one for the table");
    let schema = &events.iter().find(|(name, _)| name == "SchemaEvolved").unwrap().1;
    assert_eq!((&schema["table"], &schema["columns"][0]), (&json!("shop.clicks"), &json!({"name": "event_id", "type": "string"})));
    let rows: u64 = events.iter().filter_map(|(_, detail)| detail["rows"].as_u64()).sum();
    assert_eq!(rows, run["tables"][0]["records"]["merged"].as_u64().unwrap());

    lake.run(0);
    assert_eq!(lake.account.events(), [], "what was told is not told again");

    let late = "{\"event_id\":\"x\"}{\"event_id\":";
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(late.as_bytes())).await.unwrap();
    lake.run(0);
    let events = lake.account.events();
    assert_eq!(names(&events), ["HourAmended", "RecordsQuarantined"]);
    assert_eq!((&events[0].1["ledger_version"], &events[0].1["new_objects"]), (&json!(2), &json!(1)));
    assert_eq!((&events[1].1["new_records"], &events[1].1["quarantine"]), (&json!(1), &json!("shop.clicks_quarantine")));
    assert!(!events[1].1.to_string().contains("event_id"), "no value of a record is in an event: {events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bus_does_not_take_is_sent_by_the_next_run() {
    let lake = Bucketed::with(BUS).await;
    lake.lake.generate(&Settings { hours: 2, objects_per_hour: 1, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.account.decline(-1);
    let answer = lake.lakebed(&["run", "--at", AT, "--output", "json"]);
    let run = answer.json(3);
    assert!(run["failures"][0]["error"].as_str().unwrap().contains("the next run sends them"), "{run}");
    let mut merged: Vec<String> = run["tables"][0]["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| format!("{} 1", partition["values"]["hour"].as_str().unwrap()))
        .collect();
    merged.sort();
    assert_eq!(lake.account.events(), []);
    lake.account.decline(0);
    // Its look-back does not reach the hours any more.
    let later = lake.lakebed(&["run", "--at", "2026-12-19T20:00:00Z", "--output", "json"]).json(0);
    assert_eq!(later["tables"][0]["objects"]["landed"], 0);
    let mut told = hours(&lake.account.events());
    told.sort();
    assert_eq!(told, merged);
    lake.run(0);
    assert_eq!(lake.account.events(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_failed_says_what_and_why() {
    let lake = Bucketed::with(BUS).await;
    lake.lake.generate(&Settings { hours: 1, objects_per_hour: 2, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.landing.store().put(&late_key(&lake).await, PutPayload::from_static(b"\x1f\x8bnot gzip")).await.unwrap();
    let run = lake.run(3);
    let events = lake.account.events();
    let (_, failed) = events.iter().find(|(name, _)| name == "RunFailed").unwrap();
    assert_eq!((&failed["run"], &failed["exit_code"], &failed["failure_count"]), (&run["run"], &json!(3), &json!(1)));
    assert_eq!(failed["failures"][0]["error"], run["failures"][0]["error"]);
    let (_, merged) = events.iter().find(|(name, _)| name == "HourMerged").unwrap();
    assert_eq!((&merged["complete"], &merged["missing_objects"]), (&json!(false), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_that_was_committed_and_not_registered_is_both_registered_and_told_later() {
    let lake = Bucketed::with(BUS).await;
    lake.lake.generate(&Settings { hours: 2, objects_per_hour: 1, records: 100, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.account.refuse(&[("glue:BatchCreatePartition", "AccessDeniedException")]);
    let run = lake.run(2);
    assert_eq!(run["tables"][0]["partitions"].as_array().unwrap().len(), 2, "what is committed is in the summary: {run}");
    // The table is there, and its hours are not.
    assert_eq!(names(&lake.account.events()), ["SchemaEvolved", "RunFailed"], "nothing is told that a receiver would not find");
    lake.account.refuse(&[]);
    // Its look-back does not reach the hours any more: the notes lead there.
    lake.lakebed(&["run", "--at", "2026-12-19T20:00:00Z"]);
    let events = lake.account.events();
    let mut told = names(&events);
    told.sort_unstable();
    assert_eq!(told, ["HourHealed", "HourHealed", "HourMerged", "HourMerged"], "{events:?}");
    let partitions = lake.lakebed(&["partitions", "shop.clicks", "--output", "json"]).json(0);
    assert!(partitions.as_array().unwrap().iter().all(|partition| partition["in_catalog"] == true), "{partitions}");
}
