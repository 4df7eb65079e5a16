//! What `docs/aws.md` lets a role do is all that the commands do: each call is held against the policies, with the resource that it is about.

use std::collections::BTreeSet;

use lakebed::generate::Settings;
use object_store::{ObjectStoreExt, PutPayload};
use serde_json::{Value, json};

use super::end_to_end::{PUTS, document};
use super::{AT, Bucketed, late_key};

/// Actions and the resources that they are allowed on; a resource may have `*` in it.
type Policy = Vec<(BTreeSet<String>, Vec<String>)>;

fn texts(list: &Value) -> impl Iterator<Item = String> + '_ {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_string())
}

/// The policies of the document, by the headings that they are below, for the account, buckets and bus of this lake.
fn policy(lake: &Bucketed, heading: &str) -> Policy {
    let account = &lake.account.account;
    let document = document();
    let section = document.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no heading `{heading}`"));
    let text = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let text = text.replace("acme-raw/clicks/", "acme-raw/click-stream/").replace("acme-raw", &format!("raw-{account}"));
    let text = text.replace("acme-lake", &format!("lake-{account}")).replace("123456789012", account);
    let text = text.replace("event-bus/default", "event-bus/lake");
    let policy: Value = serde_json::from_str(&text).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    statements.map(|statement| (texts(&statement["Action"]).collect(), texts(&statement["Resource"]).collect())).collect()
}

/// A policy of one statement.
fn of(actions: &[&str], resources: &[String]) -> (BTreeSet<String>, Vec<String>) {
    (actions.iter().map(|action| (*action).to_string()).collect(), resources.to_vec())
}

/// True if the resource is one of those that `pattern` means.
fn fits(pattern: &str, resource: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == resource,
        Some((start, rest)) => {
            resource.strip_prefix(start).is_some_and(|left| (0..=left.len()).any(|at| left.is_char_boundary(at) && fits(rest, &left[at..])))
        }
    }
}

/// The action that IAM has to allow for a call as the emulator counts it.
fn action(call: &str) -> &str {
    match call {
        "s3:LIST" => "s3:ListBucket",
        "s3:LIST-UPLOADS" => "s3:ListBucketMultipartUploads",
        "s3:GET" | "s3:HEAD" => "s3:GetObject",
        write if PUTS.contains(&write) => "s3:PutObject",
        "s3:DELETE" | "s3:DELETE-MANY" => "s3:DeleteObject",
        "s3:ABORT" => "s3:AbortMultipartUpload",
        other => other,
    }
}

/// What was called since the last time and is not allowed.
fn refused(lake: &Bucketed, policy: &Policy) -> Vec<String> {
    let allowed = |call: &str, resource: &str| {
        policy.iter().any(|(actions, resources)| actions.contains(action(call)) && resources.iter().any(|pattern| fits(pattern, resource)))
    };
    let needed = lake.account.needed();
    assert!(!needed.is_empty(), "nothing was called");
    needed.iter().filter(|(call, resource)| !allowed(call, resource)).map(|(call, resource)| format!("{call} {resource}")).collect()
}

#[test]
fn patterns_are_those_of_iam() {
    assert!(fits("arn:aws:s3:::a/*", "arn:aws:s3:::a/b/c") && fits("table/*/*", "table/shop/clicks") && fits("*", ""));
    assert!(!fits("arn:aws:s3:::a/*", "arn:aws:s3:::a") && !fits("arn:aws:s3:::a", "arn:aws:s3:::a/b") && !fits("x/*/y", "x/y"));
}

/// The statements of all policies in the document.
fn statements() -> Vec<Value> {
    let document = document();
    let blocks = document.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap());
    let documents = blocks.map(|block| serde_json::from_str::<Value>(block).unwrap_or_else(|e| panic!("{e}: {block}")));
    let policies: Vec<Value> = documents.filter(|document| !document["Statement"].is_null()).collect();
    assert!(policies.iter().all(|policy| policy["Version"] == "2012-10-17"));
    policies.iter().flat_map(|policy| policy["Statement"].as_array().unwrap().clone()).collect()
}

#[test]
fn every_trigger_that_the_document_recommends_has_what_it_needs() {
    let all = statements();
    for statement in &all {
        assert!(statement["Effect"] == "Allow" && statement["Sid"].is_string() && !statement["Action"].is_null(), "{statement}");
        assert!(!statement["Resource"].is_null() || statement["Action"] == json!(["sts:AssumeRole"]), "{statement}");
    }
    let needs = [
        (None, "sqs:ReceiveMessage"),
        (None, "sqs:DeleteMessage"),
        (None, "sqs:GetQueueAttributes"),
        (None, "lambda:InvokeFunction"),
        (Some("s3.amazonaws.com"), "sqs:SendMessage"),
        (Some("sns.amazonaws.com"), "sqs:SendMessage"),
        (Some("s3.amazonaws.com"), "sns:Publish"),
        (Some("scheduler.amazonaws.com"), "sts:AssumeRole"),
    ];
    for (principal, action) in needs {
        let is_it = |statement: &&Value| {
            let actions = statement["Action"].as_array().into_iter().flatten();
            statement["Principal"]["Service"].as_str() == principal && actions.into_iter().any(|one| one == action)
        };
        let found = all.iter().find(is_it).unwrap_or_else(|| panic!("nobody lets {principal:?} do {action}"));
        assert_eq!(principal.is_some(), found["Condition"].is_object(), "who is let in from outside is let in from one place: {found}");
    }
    // The function's own policy.
    let document = document();
    for source in
        ["s3.amazonaws.com     arn:aws:s3:::acme-raw", "sns.amazonaws.com    arn:aws:sns:", "events.amazonaws.com arn:aws:events:"]
    {
        assert!(document.contains(source), "{source}");
    }
    assert!(document.contains("'{\"EventBridgeConfiguration\": {}}'"));
}

/// A lake with a bus, and quarantined records in hours that were amended.
async fn lake() -> Bucketed {
    let lake = Bucketed::with("\n[events]\nbus = \"lake\"\n").await;
    lake.account.needed();
    lake
}

async fn land(lake: &Bucketed, seed: u64) {
    lake.lake.generate(&Settings { seed, hours: 2, objects_per_hour: 2, records: 300, bad: 0.05, ..Settings::default() });
    lake.upload().await;
    lake.account.needed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_policies_of_the_document_allow_every_call() {
    let lake = lake().await;
    let job = policy(&lake, "For `run`, `lambda`, `status` and `partitions`");
    let check = |arguments: &[&str], policy: &Policy| {
        let answer = lake.lakebed(arguments);
        assert_eq!(answer.code, 0, "{arguments:?}: {}", answer.stderr);
        let refused = refused(&lake, policy);
        assert!(refused.is_empty(), "{arguments:?} makes calls that docs/aws.md does not allow: {refused:?}");
    };
    let function = |event: &str| {
        let answers = lake.function("300", &[event]);
        assert!(answers[0]["response"].is_object(), "{answers}");
        let refused = refused(&lake, &job);
        assert!(refused.is_empty(), "the function makes calls for {event} that docs/aws.md does not allow: {refused:?}");
    };
    // The first hours with a quarantine, then others that amend them.
    for seed in [1, 2] {
        land(&lake, seed).await;
        check(&["run", "--at", AT], &job);
    }
    check(&["run", "--at", AT], &job);
    check(&["status"], &job);
    check(&["partitions", "shop.clicks"], &job);
    check(&["history", "shop.clicks", "2026-11-19T10"], &job);
    let query = policy(&lake, "For `query`");
    check(&["query", "SELECT count(DISTINCT event_id) FROM shop.clicks WHERE hour = '10'"], &query);
    check(&["redrive", "shop.clicks"], &job);
    check(&["repair", "shop.clicks", "2026-11-19T10", "--from-merged"], &job);
    check(&["rollback", "shop.clicks", "2026-11-19T10"], &job);
    check(&["sweep"], &job);
    lake.account.athena(&json!({"rows": [], "column_info": []}));
    let athena = policy(&lake, "For `query --engine athena`");
    check(&["query", "SELECT 1", "--engine", "athena"], &athena);
    land(&lake, 3).await;
    function(&format!("{{\"time\":\"{AT}\"}}"));
    let asked =
        json!({"source": "shop.ops", "detail-type": "RepairRequested", "detail": {"table": "shop.clicks", "hour": "2026-11-19T11"}});
    function(&asked.to_string());
    let late = late_key(&lake).await;
    lake.landing.store().put(&late, PutPayload::from_static(b"{\"event_id\":\"x\"}")).await.unwrap();
    lake.account.needed();
    let detail = json!({"bucket": {"name": format!("raw-{}", lake.account.account)}, "object": {"key": format!("click-stream/{late}")}});
    function(&json!({"source": "aws.s3", "detail-type": "Object Created", "detail": detail}).to_string());
    check(&["run", "--at", AT], &job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_only_looks_needs_no_action_that_writes() {
    let lake = lake().await;
    land(&lake, 1).await;
    assert_eq!(lake.lakebed(&["run", "--at", AT]).code, 0);
    land(&lake, 2).await;
    let mut reading = policy(&lake, "For `run`, `lambda`, `status` and `partitions`");
    let writes = |action: &String| {
        let (service, verb) = action.split_once(':').unwrap();
        match service {
            "glue" => ["Create", "Update", "BatchCreate", "BatchUpdate"].iter().any(|begin| verb.starts_with(begin)),
            "s3" => ["PutObject", "DeleteObject", "AbortMultipartUpload"].contains(&verb),
            _ => true,
        }
    };
    reading.iter_mut().for_each(|(actions, _)| actions.retain(|action| !writes(action)));
    let commands: [&[&str]; 8] = [
        &["run", "--at", AT, "--dry-run"],
        &["status"],
        &["partitions", "shop.clicks"],
        &["history", "shop.clicks", "2026-11-19T10"],
        &["redrive", "shop.clicks", "--dry-run"],
        &["repair", "shop.clicks", "2026-11-19T10", "--dry-run"],
        &["rollback", "shop.clicks", "2026-11-19T10", "--dry-run"],
        &["sweep", "--dry-run"],
    ];
    for arguments in commands {
        let answer = lake.lakebed(arguments);
        assert!(answer.code == 0 || arguments[0] == "rollback", "{arguments:?}: {}", answer.stderr);
        let refused = refused(&lake, &reading);
        assert!(refused.is_empty(), "{arguments:?} makes calls that docs/aws.md does not allow: {refused:?}");
    }
    let raw = format!("arn:aws:s3:::raw-{}", lake.account.account);
    let landing = format!("s3://raw-{}/click-stream/", lake.account.account);
    assert_eq!(lake.lakebed(&["infer", &landing]).code, 0);
    let below = format!("{raw}/click-stream/*");
    let infer = vec![of(&["s3:ListBucket"], std::slice::from_ref(&raw)), of(&["s3:GetObject"], std::slice::from_ref(&below))];
    assert_eq!(refused(&lake, &infer), [""; 0], "infer");
    assert_eq!(lake.lakebed(&["generate", "--to", &landing, "--records", "20"]).code, 0);
    assert_eq!(refused(&lake, &vec![of(&["s3:PutObject"], &[below])]), [""; 0], "generate");
}
