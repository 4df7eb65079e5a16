//! Objects that are standardized as they land: staged by functions, taken by the next merge.

use std::path::Path;

use futures::TryStreamExt;
use lakebed::config::Location;
use lakebed::generate::Settings;
use lakebed::store::{Aws, Root, Stores};
use object_store::ObjectStoreExt;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};
use serde_json::{Value, json};

use super::{AT, Bucketed};
use crate::support::Lake;

/// The first hour, whose run makes the table, and the ones that are then staged.
async fn begun() -> (Bucketed, u64) {
    begun_with("", 800).await
}

async fn begun_with(settings: &str, records: u64) -> (Bucketed, u64) {
    let lake = Bucketed::with(settings).await;
    let settings = Settings { hours: 1, objects_per_hour: 1, records: 50, bad: 0.0, late: 0.0, ..Settings::default() };
    let first = lake.lake.generate(&Settings { first_hour: "2026-11-19T09".parse().unwrap(), ..settings });
    lake.upload().await;
    lake.run(0);
    let more = Settings { hours: 2, objects_per_hour: 4, records, bad: 0.05, duplicates: 0.02, ..Settings::default() };
    let second = lake.lake.generate(&more);
    lake.upload().await;
    (lake, first.records + second.records)
}

fn state(lake: &Bucketed) -> Root {
    let location = Location::parse(&format!("s3://lake-{}/_lakebed/", lake.account.account), Path::new("/")).unwrap();
    Stores::with_buckets(Aws::of(lake.account.sdk(), None)).created(&location, "the state").unwrap()
}

async fn keys(root: &Root, folder: &str) -> Vec<String> {
    let folder = lakebed::store::parse(folder).unwrap();
    let mut keys: Vec<String> = root.store().list(Some(&folder)).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    keys.sort();
    keys
}

/// The landed keys, and the notification of S3 about each.
async fn notifications(lake: &Bucketed) -> Vec<Value> {
    notifications_of(lake, "2026").await
}

/// As [`notifications`], of those in a folder.
async fn notifications_of(lake: &Bucketed, folder: &str) -> Vec<Value> {
    let landed = keys(&lake.landing, folder).await;
    let record = |key: &String| {
        let key = format!("click-stream/{key}").replace('=', "%3D");
        json!({"eventVersion": "2.1", "eventSource": "aws:s3", "eventName": "ObjectCreated:Put",
               "s3": {"bucket": {"name": format!("raw-{}", lake.account.account)}, "object": {"key": key}}})
    };
    landed.iter().map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_functions_staged_is_merged_as_if_it_had_been_read_where_it_landed() {
    let (lake, records) = begun().await;
    let records_of = notifications(&lake).await;
    let direct = json!({"Records": records_of[..3]}).to_string();
    let message = |id: usize, body: Value| json!({"messageId": id.to_string(), "eventSource": "aws:sqs", "body": body.to_string()});
    let mut messages: Vec<Value> = records_of.iter().enumerate().map(|(id, record)| message(id, json!({"Records": [record]}))).collect();
    messages.push(message(100, json!({"Service": "Amazon S3", "Event": "s3:TestEvent"})));
    messages.push(message(101, json!({"hello": 1})));
    let queue = json!({"Records": messages}).to_string();
    let in_order = |id: &str, body: Value| {
        let queue = "arn:aws:sqs:eu-central-1:111122223333:landed.fifo";
        json!({"messageId": id, "eventSource": "aws:sqs", "eventSourceARN": queue, "body": body.to_string()})
    };
    let first = json!({"Records": [records_of[0]]});
    let ordered = json!({"Records": [in_order("1", first.clone()), in_order("2", json!({"hello": 1})), in_order("3", first)]}).to_string();
    let created = json!({"source": "aws.s3", "detail-type": "Object Created", "detail": {
        "bucket": {"name": format!("raw-{}", lake.account.account)}, "object": {"key": "click-stream/errors/x"}}});
    let answers = lake.function("300", &[&direct, &queue, &created.to_string(), &ordered]);
    assert_eq!(answers[0]["response"]["objects"]["staged"], 3, "{answers}");
    assert_eq!(answers[1]["response"], json!({"batchItemFailures": [{"itemIdentifier": "101"}]}), "{answers}");
    assert_eq!(answers[2]["response"]["objects"]["not_data"], 1, "{answers}");
    let behind = json!([{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]);
    assert_eq!(answers[3]["response"]["batchItemFailures"], behind, "what is behind one that failed waits with it");

    let state = state(&lake);
    let staged = keys(&state, "queue").await;
    let rows = staged.iter().filter(|key| !key.contains("rejects")).count();
    assert_eq!(rows, records_of.len(), "one file for each object, however often it was told of: {staged:?}");
    lake.account.read();
    lake.account.calls();
    let run = lake.run(0);
    let done = &run["tables"][0];
    let read = lake.account.read();
    // The probe, the notes of two hours, and all that was staged.
    let deletes = lake.account.calls()["s3:DELETE-MANY"];
    assert!(staged.len() > 8 && deletes <= 4, "{deletes} requests to delete, of {} staged files", staged.len());
    assert!(read.iter().any(|key| key.contains("/queue/")) && !read.iter().any(|key| key.contains("/click-stream/")), "{read:?}");
    assert_eq!(keys(&state, "queue").await, Vec::<String>::new(), "what is merged leaves the queue");

    let plain = plain(800, |_| {});
    assert_eq!(done["records"], plain.1);
    assert!(done["records"]["quarantined"].as_u64().unwrap() > 0 && records > 800);
    compare(&lake, &plain.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staged_pages_go_into_the_hour_as_they_are() {
    let (lake, _) = begun_with("", 12_000).await;
    let notified = notifications(&lake).await;
    let answers = lake.function("300", &[&json!({"Records": notified}).to_string()]);
    assert_eq!(answers[0]["response"]["objects"]["staged"], notified.len(), "{answers}");
    let run = lake.run(0);
    let plain = plain(12_000, |_| {});
    assert_eq!(run["tables"][0]["records"], plain.1);
    compare(&lake, &plain.0);

    let table = Location::parse(&format!("s3://lake-{}/", lake.account.account), Path::new("/")).unwrap();
    let table = Stores::with_buckets(Aws::of(lake.account.sdk(), None)).created(&table, "the lake").unwrap();
    let merged = keys(&table, "shop").await.into_iter().filter(|key| key.contains("hour=10") && key.ends_with(".parquet"));
    for key in merged.collect::<Vec<_>>() {
        let file = table.read(&key).await.unwrap().unwrap();
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required);
        let about = reader.parse_and_finish(&file).unwrap();
        assert_eq!(about.num_row_groups(), 1);
        let pages = |name: &str| {
            let leaf = about.row_group(0).columns().iter().position(|column| column.column_path().string() == name).unwrap();
            about.offset_index().unwrap()[0][leaf].page_locations().len()
        };
        // Identifiers are carried over, object by object; names of events get one dictionary and one page.
        assert_eq!((pages("event_id"), pages("event_name")), (4, 1), "{key}");
    }
    let again = lake.lakebed(&["repair", "shop.clicks", "2026-11-19T10", "--output", "json"]).json(0);
    assert_eq!(again["action"], "nothing to repair", "what landed makes the same rows: {again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_functions_staged_of_rows_that_scatter_is_merged_share_by_share() {
    let by_time = "time = \"collector_tstamp\"";
    let (lake, records) = begun_with(by_time, 800).await;
    let notified = notifications(&lake).await;
    let answers = lake.function("300", &[&json!({"Records": notified}).to_string()]);
    assert_eq!(answers[0]["response"]["objects"]["staged"], notified.len(), "{answers}");
    lake.account.read();
    let run = lake.run(0);
    let again = lake.run(0);
    let read = lake.account.read();
    assert!(read.iter().any(|key| key.contains("/queue/")) && !read.iter().any(|key| key.contains("/click-stream/")), "{read:?}");
    assert_eq!(keys(&state(&lake), "queue").await, Vec::<String>::new(), "what is done leaves the queue");
    assert_eq!(run["tables"][0]["objects"]["merged"], notified.len(), "{run}");
    assert_eq!(again["tables"][0]["partitions"], json!([]), "{again}");
    assert_eq!(run["tables"][0]["records"]["read"].as_u64().unwrap() + 50, records);

    let plain = Lake::new(by_time);
    let first = Settings { hours: 1, objects_per_hour: 1, records: 50, bad: 0.0, late: 0.0, ..Settings::default() };
    plain.generate(&Settings { first_hour: "2026-11-19T09".parse().unwrap(), ..first });
    plain.generate(&Settings { hours: 2, objects_per_hour: 4, records: 800, bad: 0.05, duplicates: 0.02, ..Settings::default() });
    plain.run(0);
    compare(&lake, &plain);
}

/// The same landings, changed by `change`, in a folder, with no queue; and the counts of their second run.
fn plain(records: u64, change: impl Fn(&Lake)) -> (Lake, Value) {
    let lake = Lake::new("");
    let first = Settings { hours: 1, objects_per_hour: 1, records: 50, bad: 0.0, late: 0.0, ..Settings::default() };
    lake.generate(&Settings { first_hour: "2026-11-19T09".parse().unwrap(), ..first });
    lake.lakebed(&["run", "--at", AT]);
    lake.generate(&Settings { hours: 2, objects_per_hour: 4, records, bad: 0.05, duplicates: 0.02, ..Settings::default() });
    change(&lake);
    let run = lake.lakebed(&["run", "--at", AT, "--output", "json"]).json(0);
    let counts = run["tables"][0]["records"].clone();
    (lake, counts)
}

/// Both tables have the same rows.
fn compare(lake: &Bucketed, plain: &Lake) {
    for sql in [
        "SELECT * FROM shop.clicks ORDER BY event_id, collector_tstamp",
        "SELECT object, byte_offset, byte_length, reason, column_name, detail, raw FROM shop.clicks_quarantine ORDER BY object, byte_offset",
    ] {
        let plain = plain.lakebed(&["query", sql, "--format", "json"]).json(0);
        assert!(plain.as_array().unwrap().len() > 10);
        assert_eq!(lake.query(sql), plain, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_functions_stage_the_same_objects_at_once_and_each_is_there_once() {
    let (lake, _) = begun().await;
    let notifications = notifications(&lake).await;
    let all = json!({"Records": notifications}).to_string();
    let call = || {
        let answers = lake.function("300", &[&all, &all]);
        let staged = |index: usize| answers[index]["response"]["objects"]["staged"].as_u64().unwrap_or_else(|| panic!("{answers}"));
        staged(0) + staged(1)
    };
    let staged: u64 = std::thread::scope(|scope| {
        let functions: Vec<_> = (0..8).map(|_| scope.spawn(call)).collect();
        functions.into_iter().map(|function| function.join().unwrap()).sum()
    });
    // Two that make the same bytes at the same moment may both take the file for theirs.
    assert!((notifications.len() as u64..=64).contains(&staged), "{staged}");
    let files = keys(&state(&lake), "queue").await;
    let rows = files.iter().filter(|key| !key.contains("rejects")).count();
    assert!(rows == notifications.len() && files.len() <= 2 * rows, "those who came second leave nothing: {files:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_file_that_is_broken_or_of_another_content_is_not_used() {
    let (lake, _) = begun().await;
    let all = json!({"Records": notifications(&lake).await}).to_string();
    lake.function("300", &[&all]);
    let state = state(&lake);
    let staged: Vec<String> = keys(&state, "queue").await.into_iter().filter(|key| !key.contains("rejects")).collect();
    // One is no Parquet file any more, two are damaged within, and of another the object was landed again.
    let path = |index: usize| lakebed::store::parse(&staged[index]).unwrap();
    state.store().put(&path(0), "no parquet".into()).await.unwrap();
    for index in [1, 2] {
        let mut bytes = state.store().get(&path(index)).await.unwrap().bytes().await.unwrap().to_vec();
        let middle = bytes.len() / 4;
        bytes[middle..middle + 64].fill(0xa5);
        state.store().put(&path(index), bytes.into()).await.unwrap();
    }
    let landed = keys(&lake.landing, "2026").await;
    let key = landed.iter().find(|key| key.contains("/10/")).unwrap();
    let replaced = "{\"event_id\":\"replaced\"}";
    lake.landing.store().put(&lakebed::store::parse(key).unwrap(), replaced.into()).await.unwrap();
    // What shows only in the middle of an hour fails that hour, once.
    let runs = (1..=4).find(|_| lake.lakebed(&["run", "--at", AT]).code == 0);
    assert!(runs.is_some(), "a file that is broken is given up");
    let (plain, _) = plain(800, |lake| std::fs::write(lake.path("landing").join(key), replaced).unwrap());
    compare(&lake, &plain);
    assert_eq!(keys(&state, "queue").await, Vec::<String>::new());
}

/// Lands objects in an hour that is years before the look-back of every run, each with one record.
async fn land_long_ago(lake: &Bucketed, names: &[(&str, &[u8])]) {
    for (name, body) in names {
        let key = lakebed::store::parse(&format!("2020/03/01/10/{name}")).unwrap();
        lake.landing.store().put(&key, body.to_vec().into()).await.unwrap();
    }
}

/// What a run says of the objects that it looked at, and the state of each partition that it changed.
fn objects_of(run: &Value) -> (Value, Vec<Value>) {
    let table = &run["tables"][0];
    let states = table["partitions"].as_array().unwrap().iter().map(|partition| partition["action"].clone()).collect();
    (table["objects"].clone(), states)
}

/// The requests of a run that list the landing.
fn lists(lake: &Bucketed) -> u64 {
    lake.account.calls().get("s3:LIST").copied().unwrap_or_default()
}

async fn hours_of_before_the_look_back(settings: &str) {
    let lake = Bucketed::with(settings).await;
    let first = Settings { hours: 1, objects_per_hour: 1, records: 50, bad: 0.0, late: 0.0, ..Settings::default() };
    lake.lake.generate(&Settings { first_hour: "2026-11-19T09".parse().unwrap(), ..first });
    lake.upload().await;
    lake.run(0);
    lake.account.calls();
    lake.run(0);
    let usual = lists(&lake);

    land_long_ago(&lake, &[("a", b"{\"event_id\":\"a\"}"), ("b", b"{\"event_id\":\"b\"}")]).await;
    assert_eq!(objects_of(&lake.run(0)), (json!({"landed": 1, "merged": 1, "rejected": 0, "pending": 0}), vec![]), "nobody told of it");
    let told = notifications_of(&lake, "2020").await;
    let answers = lake.function("300", &[&json!({"Records": told[..1]}).to_string()]);
    assert_eq!(answers[0]["response"]["objects"]["staged"], 1, "{answers}");
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    let waiting = status[0]["hours"].as_array().unwrap().iter().find(|hour| hour["hour"] == "2020-03-01T10").cloned().unwrap_or_default();
    assert_eq!((&waiting["state"], &waiting["pending"], &waiting["complete"]), (&json!("waiting"), &json!(2), &json!(false)), "{status}");

    // Of the other one nobody told, and it is there.
    lake.account.calls();
    let run = lake.run(0);
    assert_eq!(objects_of(&run), (json!({"landed": 3, "merged": 3, "rejected": 0, "pending": 0}), vec![json!("created")]), "{run}");
    let state = state(&lake);
    assert_eq!(keys(&state, "queue").await, Vec::<String>::new());
    lake.account.calls();
    assert_eq!(lake.run(0)["tables"][0]["objects"]["landed"], 1, "the hour is not looked at any longer than it has to be");
    assert!(lists(&lake) <= usual, "and costs nothing more");

    // Late for an hour that was merged, and one of which nothing can be staged.
    land_long_ago(&lake, &[("c", b"{\"event_id\":\"c\"}"), ("d", b"\x1f\x8b\x08 no gzip")]).await;
    let told = notifications_of(&lake, "2020").await;
    let answers = lake.function("300", &[&json!({"Records": told[2..]}).to_string()]);
    let counts = &answers[0]["response"]["objects"];
    assert_eq!((&counts["staged"], &counts["left_to_the_run"]), (&json!(1), &json!(1)), "{answers}");
    // Of the damaged one the run says that it is not in the table.
    let run = lake.run(3);
    assert_eq!(objects_of(&run), (json!({"landed": 5, "merged": 4, "rejected": 1, "pending": 0}), vec![json!("amended")]), "{run}");
    assert_eq!(keys(&state, "queue").await, Vec::<String>::new());
    let ids = lake.query("SELECT event_id FROM shop.clicks WHERE year = '2020' ORDER BY event_id");
    assert_eq!(ids, json!([{"event_id": "a"}, {"event_id": "b"}, {"event_id": "c"}]));

    gone_and_landed_again(&lake, &state).await;
}

/// What becomes of an object of an old hour that is gone from the landing, and of one that was damaged and lands again.
async fn gone_and_landed_again(lake: &Bucketed, state: &Root) {
    // Told once more of what is merged: nothing of it stays in the queue, and nothing comes twice. What is gone may come back for the grace.
    land_long_ago(lake, &[("e", b"{\"event_id\":\"e\"}")]).await;
    let told = notifications_of(lake, "2020").await;
    lake.function("300", &[&json!({"Records": told}).to_string()]);
    lake.landing.store().delete(&lakebed::store::parse("2020/03/01/10/e").unwrap()).await.unwrap();
    let run = lake.run(0);
    assert_eq!(objects_of(&run), (json!({"landed": 5, "merged": 4, "rejected": 1, "pending": 0}), vec![]), "{run}");
    assert!(
        run["tables"][0]["warnings"]
            .to_string()
            .contains("the queue has something of objects of 2020-03-01T10 that are not in the landing now"),
        "{run}"
    );
    assert_eq!(keys(state, "queue").await.len(), 1);
    lake.lake.set("grace", "0s");
    lake.run(0);
    assert_eq!(keys(state, "queue").await, Vec::<String>::new());
    let run = lake.run(0);
    assert!(!run["tables"][0]["warnings"].to_string().contains("the queue has"), "{run}");

    // The damaged one lands again as it should be.
    land_long_ago(lake, &[("d", b"{\"event_id\":\"d\"}")]).await;
    let told = notifications_of(lake, "2020").await;
    lake.function("300", &[&json!({"Records": told}).to_string()]);
    // A run that looks elsewhere leaves what waits.
    lake.lakebed(&["run", "--at", AT, "--since", "2026-11-19T08", "--output", "json"]).json(0);
    assert_ne!(keys(state, "queue").await, Vec::<String>::new());
    assert_eq!(objects_of(&lake.run(0)).0, json!({"landed": 5, "merged": 5, "rejected": 0, "pending": 0}));
    assert_eq!(keys(state, "queue").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_of_an_hour_of_before_the_look_back_is_taken_in_by_the_next_run() {
    hours_of_before_the_look_back("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_one_whose_rows_scatter() {
    hours_of_before_the_look_back("time = \"collector_tstamp\"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_of_before_there_is_a_table_waits_for_the_run_that_makes_it() {
    let lake = Bucketed::new().await;
    land_long_ago(&lake, &[("a", b"{\"event_id\":\"a\"}")]).await;
    let told = notifications_of(&lake, "2020").await;
    let answers = lake.function("300", &[&json!({"Records": told}).to_string()]);
    assert_eq!(answers[0]["response"]["objects"]["left_to_the_run"], 1, "{answers}");
    let dry = lake.lakebed(&["run", "--at", AT, "--dry-run", "--output", "json"]).json(0);
    assert_eq!(objects_of(&dry).1, [json!("would create")], "{dry}");
    assert_eq!(objects_of(&lake.run(0)).1, [json!("created")]);
    assert_eq!(keys(&state(&lake), "queue").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rollback_took_out_of_such_an_hour_stays_out_and_leaves_the_queue() {
    let lake = Bucketed::new().await;
    let mut told = Vec::new();
    for (name, body) in [("a", b"{\"event_id\":\"a\"}"), ("b", b"{\"event_id\":\"b\"}")] {
        land_long_ago(&lake, &[(name, body)]).await;
        told = notifications_of(&lake, "2020").await;
        lake.function("300", &[&json!({"Records": told}).to_string()]);
        lake.run(0);
    }
    lake.lakebed(&["rollback", "shop.clicks", "2020-03-01T10", "--output", "json"]).json(0);
    let answers = lake.function("300", &[&json!({"Records": told}).to_string()]);
    assert_eq!(answers[0]["response"]["objects"]["staged"], 2, "{answers}");
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["objects"], json!({"landed": 2, "merged": 1, "rejected": 0, "held": 1, "pending": 0}), "{run}");
    assert_eq!(keys(&state(&lake), "queue").await, Vec::<String>::new());
    assert_eq!(lake.query("SELECT event_id FROM shop.clicks"), json!([{"event_id": "a"}]));
}
