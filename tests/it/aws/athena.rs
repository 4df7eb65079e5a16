//! `lakebed query --engine athena` where Athena is slow, throttles, or is not waited for.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bucketed;
use crate::support::Answer;

const QUERY: [&str; 6] = ["query", "SELECT count(*) AS n FROM shop.clicks", "--engine", "athena", "--format", "json"];

/// One row with the number 7.
fn seven() -> Value {
    let row = |text: &str| json!({"Data": [{"VarCharValue": text}]});
    json!({"rows": [row("n"), row("7")], "column_info": [{"Name": "n", "Type": "bigint"}]})
}

#[tokio::test]
async fn a_query_is_waited_for_although_asking_for_it_is_throttled() {
    let lake = Bucketed::new().await;
    lake.account.athena(&seven());
    lake.account.running(2);
    // More than the SDK's own three attempts.
    lake.account.throttle("athena:GetQueryExecution", 5);
    lake.account.throttle("athena:StartQueryExecution", 1);
    lake.account.throttle("athena:GetQueryResults", 1);
    assert_eq!(lake.lakebed(&QUERY).json(0), json!([{"n": 7}]));
    let calls = lake.account.calls();
    // Throttled five times, running twice, done.
    let polls = calls["athena:GetQueryExecution"];
    assert_eq!((polls, calls["athena:StartQueryExecution"], calls["athena:GetQueryResults"]), (8, 2, 2), "{calls:?}");
    assert!(!calls.contains_key("athena:StopQueryExecution"), "{calls:?}");
}

#[tokio::test]
async fn ctrl_c_cancels_the_query_in_athena() {
    let lake = Bucketed::new().await;
    lake.account.running(u64::from(u32::MAX));
    lake.account.throttle("athena:StopQueryExecution", 1);
    let mut command = lake.lake.command(&QUERY);
    command.envs(lake.account.environment()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let waiting = command.spawn().unwrap();
    let started = Instant::now();
    while !lake.account.calls().contains_key("athena:GetQueryExecution") {
        assert!(started.elapsed() < Duration::from_secs(60), "the query is never asked for");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &waiting.id().to_string()]).status().unwrap().success());
    let answer = Answer::of(waiting.wait_with_output().unwrap());
    assert_eq!((answer.code, answer.stdout.as_str()), (1, ""), "{}", answer.stderr);
    let scanned = " was cancelled; Athena had scanned 30000000 bytes, about $0.000150";
    let id = answer.stderr.trim_end().strip_prefix("lakebed: query ").and_then(|text| text.strip_suffix(scanned));
    let id = id.unwrap_or_else(|| panic!("{}", answer.stderr));
    assert_eq!(lake.account.calls().get("athena:StopQueryExecution"), Some(&2), "throttled, and done");

    lake.account.running(0);
    let athena = aws_sdk_athena::Client::new(&lake.account.sdk());
    let there = athena.get_query_execution().query_execution_id(id).send().await.unwrap().query_execution.unwrap();
    assert_eq!(there.status().unwrap().state().unwrap().as_str(), "CANCELLED");
}

#[tokio::test]
async fn a_query_is_sent_as_the_configuration_says_and_never_answered_from_before() {
    let lake = Bucketed::new().await;
    lake.account.athena(&seven());
    let asked = |settings: &str| {
        let file = lake.lake.path("lakebed.toml");
        let config = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{config}{settings}")).unwrap();
        lake.lakebed(&QUERY).json(0);
        lake.account.started().remove(0)
    };
    let plain = asked("");
    assert_eq!((&plain["QueryString"], &plain["WorkGroup"]), (&json!(QUERY[1]), &json!("primary")), "{plain}");
    assert_eq!(plain["ResultReuseConfiguration"]["ResultReuseByAgeConfiguration"]["Enabled"], json!(false), "{plain}");
    assert_eq!(plain.get("ResultConfiguration"), None, "the workgroup says where");
    lake.account.athena(&seven());
    let set = asked("\n[athena]\nworkgroup = \"primary\"\noutput = \"s3://results/lakebed/\"\n");
    assert_eq!(set["ResultConfiguration"]["OutputLocation"], json!("s3://results/lakebed/"), "{set}");
}

#[tokio::test]
async fn an_answer_of_several_pages_has_one_header() {
    let lake = Bucketed::new().await;
    let row = |text: String| json!({"Data": [{"VarCharValue": text}]});
    let rows: Vec<Value> = std::iter::once("n".to_string()).chain((1..=5).map(|n| n.to_string())).map(row).collect();
    lake.account.athena(&json!({"rows": rows, "column_info": [{"Name": "n", "Type": "bigint"}]}));
    lake.account.rows(2);
    let answer = lake.lakebed(&QUERY).json(0);
    assert_eq!(answer, json!([{"n": 1}, {"n": 2}, {"n": 3}, {"n": 4}, {"n": 5}]));
    assert_eq!(lake.account.calls()["athena:GetQueryResults"], 3);
}

#[tokio::test]
async fn whose_fault_it_is_decides_the_exit_code_and_is_told() {
    let lake = Bucketed::new().await;
    for (category, code, says) in [(1, 1, "failed in Athena"), (2, 2, "Athena refuses query"), (3, 1, "failed in Athena")] {
        lake.account.ends(category, "no such column");
        let answer = lake.lakebed(&QUERY);
        let told = format!("(category {category}, error type {category}001): no such column");
        assert!(answer.code == code && answer.stderr.contains(says) && answer.stderr.contains(&told), "{}: {}", answer.code, answer.stderr);
    }
}
