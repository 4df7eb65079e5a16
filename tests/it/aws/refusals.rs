//! Glue that refuses single entries, whole batches and calls, for a while or for good: what can be registered is, and the rest is named.

use aws_sdk_glue::Client;
use lakebed::generate::Settings;
use serde_json::{Value, json};

use super::Bucketed;
use crate::support::AT;

/// A lake with a bus in which the hours from 10 on landed, without anything for the quarantine.
async fn landed(hours: u32) -> Bucketed {
    let lake = Bucketed::with("\n[events]\nbus = \"lake\"\n").await;
    lake.lake.generate(&Settings {
        hours,
        objects_per_hour: 1,
        records: u64::from(hours) * 20,
        bad: 0.0,
        late: 0.0,
        ..Settings::default()
    });
    lake.upload().await;
    lake.account.calls();
    lake
}

/// The hours that are registered.
async fn registered(lake: &Bucketed) -> String {
    let glue = Client::new(&lake.account.sdk());
    let found = glue.get_partitions().database_name("shop").table_name("clicks").send().await.unwrap().partitions.unwrap();
    let mut hours: Vec<String> = found.iter().map(|partition| partition.values().last().unwrap().clone()).collect();
    hours.sort();
    hours.join(" ")
}

/// The hours that failed, and what a run said of the first one.
fn failures(run: &Value) -> (String, String) {
    let failures = run["failures"].as_array().unwrap();
    let hours: Vec<&str> = failures.iter().map(|failure| failure["partition"].as_str().unwrap().rsplit('=').next().unwrap()).collect();
    (hours.join(" "), failures.first().map(|failure| failure["error"].as_str().unwrap().to_string()).unwrap_or_default())
}

/// The events since this was asked last, with their hours.
fn events(lake: &Bucketed) -> Vec<String> {
    let one = |(name, detail): (String, Value)| match detail["partition"]["hour"].as_str() {
        Some(hour) => format!("{name} {hour}"),
        None => name,
    };
    lake.account.events().into_iter().map(one).filter(|event| event != "SchemaEvolved").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_hour_holds_up_no_other() {
    let lake = landed(3).await;
    lake.account.entries(&[("BatchCreatePartition", "11", "InvalidInputException", -1)]);
    let run = lake.run(3);
    let (hours, why) = failures(&run);
    assert_eq!((hours.as_str(), registered(&lake).await.as_str()), ("11", "10 12"), "{run}");
    for part in ["the catalog does not take what the ledgers say", "InvalidInputException", "not this one", "the data is safe"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(run["tables"][0]["registered"], true);
    assert_eq!(lake.account.calls()["glue:BatchCreatePartition"], 1, "what is refused for good is not written again");
    assert_eq!(events(&lake), ["HourMerged 10", "HourMerged 12", "RunFailed"]);
    // The hours that come then are told, and the one that is left is named.
    lake.lake.generate(&Settings {
        first_hour: "2026-11-19T13".parse().unwrap(),
        hours: 1,
        objects_per_hour: 1,
        records: 20,
        bad: 0.0,
        late: 0.0,
        ..Settings::default()
    });
    lake.upload().await;
    assert_eq!(failures(&lake.run(3)).0, "11");
    assert_eq!((registered(&lake).await.as_str(), events(&lake)), ("10 12 13", vec!["HourMerged 13".to_string()]), "11 was told of before");
    lake.account.entries(&[]);
    let run = lake.run(0);
    assert_eq!((registered(&lake).await.as_str(), &run["tables"][0]["registered"]), ("10 11 12 13", &json!(true)));
    assert_eq!(events(&lake), ["HourMerged 11", "HourHealed 11"]);
}

/// What a run at this time answers.
fn run_at(lake: &Bucketed, at: &str, more: &[&str], code: i32) -> Value {
    lake.lakebed(&[&["run", "--at", at, "--output", "json"], more].concat()).json(code)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_hour_that_stays_refused_is_told_once_and_tried_less_and_less_often() {
    let lake = landed(1).await;
    lake.account.entries(&[("BatchCreatePartition", "10", "InvalidInputException", -1)]);
    lake.run(2);
    assert_eq!(events(&lake), ["RunFailed"]);
    // No run looks at it any more but for its note; it is tried, and waits for five minutes.
    let run = run_at(&lake, "2026-11-25T20:00:00Z", &[], 2);
    let failure = &run["failures"][0];
    assert_eq!((&failure["attempts"], &failure["since"]), (&json!(2), &json!("2026-11-19T20:00:00Z")), "{run}");
    lake.account.calls();
    let run = run_at(&lake, "2026-11-25T20:04:00Z", &[], 2);
    assert!(failures(&run).1.contains("put that right, then run again; not tried by this run"), "{run}");
    assert_eq!((failures(&run).0.as_str(), lake.account.calls().get("glue:BatchCreatePartition")), ("10", None), "{run}");
    let told = lake.lakebed(&["run", "--at", "2026-11-25T20:04:00Z"]).stderr;
    assert!(told.contains("failing since 2026-11-19T20:00Z, 2 attempts") && told.contains("`lakebed run --since 2026-11-19T10`"), "{told}");
    let status = lake.lakebed(&["status", "--output", "json"]).json(0);
    assert_eq!(status[0]["hours"][0]["failing"]["attempts"], 2, "{status}");
    let run = run_at(&lake, "2026-11-25T20:05:00Z", &[], 2);
    assert_eq!((&run["failures"][0]["attempts"], lake.account.calls()["glue:BatchCreatePartition"]), (&json!(3), 1), "{run}");
    assert_eq!(events(&lake), [""; 0], "it is known that it fails");
    // A person who put it right does not have to wait.
    lake.account.entries(&[]);
    assert_eq!(failures(&run_at(&lake, "2026-11-25T20:06:00Z", &[], 2)).0, "10");
    run_at(&lake, "2026-11-25T20:06:00Z", &["--since", "2026-11-19T10"], 0);
    assert_eq!((registered(&lake).await.as_str(), events(&lake)), ("10", vec!["HourMerged 10".to_string(), "HourHealed 10".to_string()]));
    run_at(&lake, "2026-11-25T20:07:00Z", &[], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_hour_of_a_table_that_was_made_anew_leads_no_run_to_all_others() {
    let lake = landed(3).await;
    lake.run(0);
    Client::new(&lake.account.sdk()).delete_table().database_name("shop").name("clicks").send().await.unwrap();
    lake.account.entries(&[("BatchCreatePartition", "11", "InvalidInputException", -1)]);
    let ledgers = || lake.account.read().into_iter().filter(|key| key.contains("/ledger/")).count();
    for at in ["2026-11-25T20:00:00Z", "2026-11-25T20:01:00Z"] {
        ledgers();
        assert_eq!(failures(&run_at(&lake, at, &[], 2)).0, "11");
        assert!(ledgers() >= 3, "all are looked at");
    }
    assert_eq!(registered(&lake).await, "10 12");
    let run = run_at(&lake, "2026-11-25T20:02:00Z", &[], 2);
    assert!(failures(&run).0 == "11" && failures(&run).1.contains("not tried by this run"), "{run}");
    assert_eq!(ledgers(), 0);
    lake.account.entries(&[]);
    run_at(&lake, "2026-11-25T20:30:00Z", &[], 0);
    assert_eq!(registered(&lake).await, "10 11 12");
    ledgers();
    run_at(&lake, "2026-11-25T20:31:00Z", &[], 0);
    assert_eq!(ledgers(), 0, "nothing leads there any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_answer_is_not_asked_for_each_partition_alone() {
    let lake = landed(4).await;
    lake.account.refuse(&[("glue:BatchCreatePartition", "AccessDeniedException")]);
    lake.run(2);
    lake.account.refuse(&[("glue:BatchGetPartition", "AccessDeniedException")]);
    lake.account.calls();
    let run = run_at(&lake, "2026-11-25T20:00:00Z", &[], 2);
    assert_eq!((failures(&run).0.as_str(), lake.account.calls()["glue:BatchGetPartition"]), ("10 11 12 13", 1), "{run}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entry_that_makes_glue_refuse_the_whole_call_holds_up_no_other() {
    let lake = landed(5).await;
    lake.account.poison("13");
    let run = lake.run(3);
    assert_eq!((failures(&run).0.as_str(), registered(&lake).await.as_str()), ("13", "10 11 12 14"), "{run}");
    // All, the left half and the right one, of that the left and the right one, and of that again.
    assert!(lake.account.calls()["glue:BatchCreatePartition"] <= 7);
    lake.account.poison("");
    lake.run(0);
    assert_eq!(registered(&lake).await, "10 11 12 13 14");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_good_has_the_exit_code_of_what_has_to_be_put_right() {
    for code in ["InvalidInputException", "AccessDeniedException", "ResourceNumberLimitExceededException", "GlueEncryptionException"] {
        let lake = landed(1).await;
        lake.account.entries(&[("BatchCreatePartition", "10", code, -1)]);
        let run = lake.run(2);
        assert_eq!(failures(&run).0, "10", "{run}");
        assert_eq!((&run["tables"][0]["registered"], lake.account.calls()["glue:BatchCreatePartition"]), (&json!(false), 1), "{code}");
    }
    // As a whole call, too, and every hour is named.
    let lake = landed(2).await;
    lake.account.refuse(&[("glue:BatchCreatePartition", "AccessDeniedException")]);
    let (hours, why) = failures(&lake.run(2));
    assert!(hours == "10 11" && why.contains("allow glue:BatchCreatePartition in IAM"), "{hours}: {why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_for_the_moment_is_written_again() {
    for (code, times) in [("ThrottlingException", 7), ("InternalServiceException", 4), ("OperationTimeoutException", 4)] {
        let lake = landed(2).await;
        lake.account.entries(&[("BatchCreatePartition", "11", code, times)]);
        lake.run(0);
        assert_eq!(registered(&lake).await, "10 11", "{code}");
        assert_eq!(lake.account.calls()["glue:BatchCreatePartition"], times as u64 + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn codes_that_glue_calls_passing_are_tried_again() {
    let lake = landed(1).await;
    for (call, code) in [
        ("glue:GetTable", "OperationTimeoutException"),
        ("glue:CreateTable", "ResourceNotReadyException"),
        ("glue:BatchGetPartition", "FederationSourceRetryableException"),
        ("glue:BatchCreatePartition", "ThrottlingException"),
    ] {
        lake.account.passing(call, code, 3);
    }
    lake.run(0);
    let calls = lake.account.calls();
    assert!(calls["glue:GetTable"] > 3 && calls["glue:CreateTable"] == 4 && calls["glue:BatchCreatePartition"] == 4, "{calls:?}");
    // What is final stays so.
    lake.account.passing("glue:GetTable", "GlueEncryptionException", 1);
    lake.run(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_glue_does_not_come_to_are_asked_for_again() {
    let lake = landed(2).await;
    lake.account.unprocessed(3);
    lake.run(0);
    assert_eq!(registered(&lake).await, "10 11");
    lake.account.calls();
    lake.account.unprocessed(2);
    let run = lake.run(0);
    assert_eq!((&run["tables"][0]["registered"], lake.account.calls()["glue:BatchGetPartition"]), (&json!(false), 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rollback_of_a_refused_partition_says_so_and_does_it_once_it_may() {
    let lake = landed(1).await;
    lake.run(0);
    lake.lake.generate(&Settings { seed: 2, hours: 1, objects_per_hour: 1, records: 20, bad: 0.0, late: 0.0, ..Settings::default() });
    lake.upload().await;
    lake.run(0);
    events(&lake);
    lake.account.entries(&[("BatchUpdatePartition", "10", "AccessDeniedException", -1)]);
    let rollback = ["rollback", "shop.clicks", "2026-11-19T10"];
    let refused = lake.lakebed(&rollback);
    for part in ["hour=10", "allow glue:BatchUpdatePartition in IAM"] {
        assert!(refused.code == 2 && refused.stderr.contains(part), "{}: {}", refused.code, refused.stderr);
    }
    assert_eq!(events(&lake), Vec::<String>::new());
    lake.account.entries(&[]);
    assert_eq!(lake.lakebed(&["run", "--at", AT]).code, 0);
    assert!(events(&lake).iter().any(|event| event == "HourAmended 10"), "told once the catalog shows it");
}
