//! Payloads of real services: their records are counted, and their values are those that serde_json reads.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{ALL, KEEP, judged, land, land_inferred, run, samples, sorted, unzip};
use crate::support::Lake;

/// One of simdjson's files, in the table that is inferred from it.
fn payload(name: &str, unwrap: Option<&str>) -> Option<(Lake, Value)> {
    let mut files = samples("simdjson")?;
    files.retain(|file, _| file == name);
    let lake = land_inferred("", unwrap, &files);
    run_all(&lake, &files, unwrap);
    Some((lake, serde_json::from_slice(&files[name]).unwrap()))
}

/// Runs a lake; with `unwrap` the bytes around the records are not in the account of [`run`], so that only the counts are looked at.
fn run_all(lake: &Lake, files: &BTreeMap<String, Vec<u8>>, unwrap: Option<&str>) {
    if unwrap.is_none() {
        run(lake, files);
        return;
    }
    let records = lake.run(0)["tables"][0]["records"].clone();
    assert_eq!((&records["read"], &records["quarantined"]), (&records["merged"], &json!(0)));
}

#[test]
fn no_digit_of_twitters_ids_is_lost() {
    let Some((lake, document)) = payload("twitter.json", Some("statuses")) else { return };
    let statuses = document["statuses"].as_array().unwrap();
    let expected = statuses.iter().map(|status| {
        json!({"id": status["id"], "id_str": status["id_str"], "author": status["user"]["id"],
               "original": status["retweeted_status"]["id"], "text": status["text"]})
    });
    let rows =
        lake.query("SELECT id, id_str, \"user\"['id'] AS author, retweeted_status['id'] AS original, text FROM shop.clicks ORDER BY id");
    assert_eq!(rows.len(), 100);
    let beyond =
        |row: &Value| row["id"].as_u64().filter(|id| *id > 1 << 53).is_some_and(|id| row["id_str"].as_str() == Some(&id.to_string()));
    assert!(rows.iter().all(beyond), "ids beyond 2^53, with every digit");
    assert_eq!(sorted(rows), sorted(expected));
}

// Holds once the elements of a top-level array are its records.
#[test]
fn githubs_events_are_read_from_their_array() {
    let Some((lake, document)) = payload("github_events.json", None) else { return };
    let expected =
        document.as_array().unwrap().iter().map(|event| json!({"id": event["id"], "type": event["type"], "repo": event["repo"]["name"]}));
    let rows = lake.query("SELECT id, type, repo['name'] AS repo FROM shop.clicks");
    assert_eq!((rows.len(), sorted(rows)), (30, sorted(expected)));
}

#[test]
fn apaches_jobs_are_unwrapped() {
    let Some((lake, document)) = payload("apache_builds.json", Some("jobs")) else { return };
    let rows = lake.query("SELECT name, url, color FROM shop.clicks");
    assert_eq!((rows.len(), sorted(rows)), (875, sorted(document["jobs"].as_array().unwrap().clone())));
}

#[test]
fn names_in_cyrillic_stay_as_they_are() {
    let Some((lake, document)) = payload("repeat.json", Some("result")) else { return };
    let rows = lake.query("SELECT id, name FROM shop.clicks");
    assert_eq!((rows.len(), sorted(rows)), (100, sorted(document["result"].as_array().unwrap().clone())));
}

// Holds once the elements of a top-level array are its records.
#[test]
fn ten_thousand_doubles_are_the_nearest_ones() {
    let Some(files) = samples("simdjson") else { return };
    let numbers = &files["numbers.json"];
    let wrapped = BTreeMap::from([("numbers".to_string(), [b"{\"v\":", numbers.as_slice(), b"}"].concat())]);
    let lake = land("", &KEEP.replace("(rescued", "(v array<double>, rescued"), &wrapped);
    run(&lake, &wrapped);
    let row = lake.query("SELECT v FROM shop.clicks")[0]["v"].clone();
    assert_eq!(row, serde_json::from_slice::<Value>(numbers).unwrap());
    // As it stands, its elements are records that are no objects.
    let bare = BTreeMap::from([("numbers".to_string(), numbers.clone())]);
    let lake = land(ALL, KEEP, &bare);
    assert_eq!(run(&lake, &bare)["numbers"].count("not_an_object"), 10_001);
}

// Holds once the elements of a top-level array are its records.
#[test]
fn lines_that_are_arrays_are_kept_element_by_element() {
    let Some(mut files) = samples("simdjson") else { return };
    files.retain(|name, _| name == "amazon_cellphones.ndjson");
    let lake = land(ALL, KEEP, &files);
    let outcome = run(&lake, &files).remove("amazon_cellphones.ndjson").unwrap();
    let elements = judged(&outcome.bytes).unwrap();
    let kept = outcome.rejects.iter().map(|(_, _, raw)| serde_json::from_slice::<Value>(raw).unwrap());
    assert_eq!((outcome.read, elements.len()), (7137, 7137));
    assert!(kept.eq(elements), "every element is in the quarantine, in its order");
}

#[test]
fn events_between_bulk_actions_are_told_from_them() {
    let Some(files) = samples("gharchive") else { return };
    let events: Vec<Value> = judged(&unzip(&files["gharchive-bulk.json.gz"])).unwrap();
    let (actions, events): (Vec<Value>, Vec<Value>) = events.into_iter().partition(|event| event.get("index").is_some());
    let lake = land_inferred("", None, &files);
    let outcome = run(&lake, &files).remove("gharchive-bulk.json.gz").unwrap();
    assert_eq!((outcome.read, outcome.merged, actions.len(), events.len()), (200, 200, 100, 100));
    let counts = lake.query("SELECT count(id) AS events, count(*) - count(id) AS actions, count(org) AS orgs FROM shop.clicks");
    assert_eq!(counts, [json!({"events": 100, "actions": 100, "orgs": 25})]);
    // What events carry differs from type to type, so it is a map; its numbers are texts there.
    let rows = lake.query("SELECT id, type, actor['id'] AS actor, payload['push_id'] AS push FROM shop.clicks WHERE id IS NOT NULL");
    let push = |event: &Value| event["payload"].get("push_id").map(Value::to_string);
    let expected =
        events.iter().map(|event| json!({"id": event["id"], "type": event["type"], "actor": event["actor"]["id"], "push": push(event)}));
    assert_eq!(sorted(rows), sorted(expected));
    let first = lake.query("SELECT created_at FROM shop.clicks WHERE id = '2549961020'");
    assert_eq!(first, [json!({"created_at": "2015-02-01T00:00:00.000010Z"})]);
}

// Holds once the elements of a top-level array are its records.
#[test]
fn clickstream_records_are_counted_and_their_data_is_kept() {
    let Some(files) = samples("aws-clickstream") else { return };
    assert_eq!(files.len(), 54);
    let lake = land_inferred(ALL, None, &files);
    let (mut data, mut others) = (Vec::new(), Vec::new());
    for (name, outcome) in run(&lake, &files) {
        let (objects, rest): (Vec<Value>, Vec<Value>) = judged(&outcome.bytes).unwrap().into_iter().partition(Value::is_object);
        assert_eq!(
            (outcome.merged, outcome.rejects.len(), outcome.count("not_an_object")),
            (objects.len() as u64, rest.len(), rest.len()),
            "{name}"
        );
        data.extend(objects.iter().filter_map(|object| object.get("data").filter(|data| !data.is_null()).cloned()));
        others.extend(rest);
    }
    assert_eq!(others, [json!("abc")]);
    // A text in `data` stays as it is, and an object becomes its JSON text.
    let text = |value: &Value| if let Value::String(text) = value { text.clone() } else { value.to_string() };
    let expected = data.iter().map(text);
    let found = lake.query("SELECT data FROM shop.clicks WHERE data IS NOT NULL");
    let compact = |row: &Value| {
        let text = row["data"].as_str().unwrap().to_string();
        let object = serde_json::from_str::<Value>(&text).ok().filter(Value::is_object);
        object.map_or(text, |object| object.to_string())
    };
    assert_eq!(sorted(found.iter().map(|row| compact(row).into())), sorted(expected.map(Value::from)));
    let names = lake.query("SELECT name FROM shop.clicks WHERE address IS NOT NULL ORDER BY age");
    assert_eq!(names, [json!({"name": "刘先生"}), json!({"name": "李先生"})]);
}

#[test]
fn trigger_payloads_are_rows_whole_and_unwrapped() {
    let Some(mut files) = samples("lambda-events") else { return };
    assert_eq!(files.len(), 25);
    let lake = land_inferred("", None, &files);
    assert!(run(&lake, &files).values().all(|outcome| (outcome.read, outcome.merged) == (1, 1)));

    let records = |bytes: &[u8]| judged(bytes).unwrap()[0].get("Records").and_then(Value::as_array).cloned().unwrap_or_default();
    files.retain(|_, bytes| !records(bytes).is_empty());
    let expected: Vec<Value> = files.values().flat_map(|bytes| records(bytes)).collect();
    assert_eq!((files.len(), expected.len()), (12, 14));
    let lake = land_inferred("", Some("Records"), &files);
    run_all(&lake, &files, Some("Records"));
    let rows = lake.query("SELECT eventsource, messageid, body, s3['object']['key'] AS key FROM shop.clicks");
    let source = |record: &Value| record.get("eventSource").or(record.get("EventSource")).cloned().unwrap_or_default();
    // Bodies that are objects and not texts become their JSON text.
    let body = |record: &Value| match &record["body"] {
        Value::Object(object) => serde_json::to_string(object).unwrap().into(),
        other => other.clone(),
    };
    let expected = expected.iter().map(|record| {
        json!({"eventsource": source(record), "messageid": record["messageId"], "body": body(record), "key": record["s3"]["object"]["key"]})
    });
    assert_eq!(sorted(rows), sorted(expected));
}
