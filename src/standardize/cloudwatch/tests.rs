//! Envelopes into records: text in, text out.

use super::*;

/// The records of one document, for a table that knows these names.
fn records(document: &str, known: &[&str]) -> Vec<String> {
    let Envelope { end, kind } = read(document.as_bytes(), 0, &mut Vec::new()).unwrap();
    assert_eq!(&document[end..], "", "the document is read to its end");
    let mut scratch = Scratch::default();
    let knows = |name: &[u8]| known.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    match kind {
        Kind::Control => vec!["control".into()],
        Kind::Other(reason) => vec![format!("{}: {}", reason.code.as_str(), reason.detail)],
        Kind::Data(data) => {
            let record = |event: Range<usize>| {
                let mut out = Vec::new();
                match data.write_record(&document.as_bytes()[event], knows, &mut scratch, &mut out) {
                    Ok(()) => String::from_utf8(out).unwrap(),
                    Err(reason) => reason.detail,
                }
            };
            data.events(document.as_bytes()).map(record).collect()
        }
    }
}

/// An envelope around log events.
fn envelope(events: &str) -> String {
    format!(r#"{{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logEvents":[{events}]}}"#)
}

/// The record of a log event with this message, behind the envelope's members and the id.
fn record(message: &str, known: &[&str]) -> String {
    let event = format!(r#"{{"id":"7","message":{message}}}"#);
    let found = records(&envelope(&event), known).remove(0);
    let inner = found.strip_prefix(r#"{"owner":"1","logGroup":"g","id":"7""#).unwrap().strip_suffix('}').unwrap();
    serde_json::from_str::<serde::de::IgnoredAny>(&found).unwrap();
    inner.to_string()
}

#[test]
fn each_log_event_is_a_record_with_the_members_of_its_envelope() {
    let document = r#"{"messageType":"DATA_MESSAGE","owner":"111122223333","logGroup":"/aws/lambda/shop","logStream":"2026/11/19/[$LATEST]x",
        "subscriptionFilters":["all"],"logEvents":[ {"id":"1","timestamp":1763561106123,"message":"START\n"} ,
        {"id":"2","timestamp":1763561106124,"message":"END","extractedFields":{"level":"INFO"}}],"policyLevel":"ACCOUNT_LEVEL_POLICY"}"#;
    let shared = r#""owner":"111122223333","logGroup":"/aws/lambda/shop","logStream":"2026/11/19/[$LATEST]x","subscriptionFilters":["all"],"policyLevel":"ACCOUNT_LEVEL_POLICY""#;
    let expected = [
        format!(r#"{{{shared},"id":"1","timestamp":1763561106123,"message":"START\n"}}"#),
        format!(r#"{{{shared},"id":"2","timestamp":1763561106124,"message":"END","extractedFields":{{"level":"INFO"}}}}"#),
    ];
    assert_eq!(records(document, &[]), expected);
    assert_eq!(records(document, &["message"]), expected);
    assert_eq!(records(r#"{"logEvents":[{}],"messageType":"DATA_MESSAGE"}"#, &[]), ["{}"]);
    assert_eq!(records(&envelope(""), &[]), Vec::<String>::new());
}

#[test]
fn a_message_that_is_an_object_takes_the_place_of_its_text() {
    let cases = [
        (r#""{\"level\":\"info\",\"n\":1.50}""#, r#","level":"info","n":1.50"#),
        (r#"" \n{ \"a\" : [ 1 ] , \"b\" : null }\r\n""#, r#","a" : [ 1 ],"b" : null"#),
        (r#""\u007b\"a\":\"\\ud83d\\ude00 \ud83d\ude00 \\\"q\\\"\"}""#, r#","a":"\ud83d\ude00 😀 \"q\"""#),
        (r#""{\"id\":\"inner\",\"message\":\"hi\"}""#, r#","id":"inner","message":"hi""#),
        (r#""{}""#, ""),
    ];
    for (message, expected) in cases {
        assert_eq!(record(message, &["id", "level"]), expected, "{message}");
    }
}

#[test]
fn with_a_column_for_the_message_only_the_members_of_other_columns_are_taken_out_of_it() {
    let known = ["id", "timestamp", "Message", "level", "a b"];
    let cases = [
        (r#""{\"level\":\"info\",\"n\":1}""#, r#","level":"info""#),
        (r#""{\"id\":\"inner\",\"TimeStamp\":1,\"message\":\"hi\",\"loggroup\":2}""#, ""),
        (r#""{\"l\\u0065vel\":1,\"LEVEL\":2,\"a b\":3,\"\\ud800\":4}""#, r#","l\u0065vel":1,"LEVEL":2,"a b":3"#),
        (r#""{}""#, ""),
    ];
    for (message, expected) in cases {
        assert_eq!(record(message, &known), format!(r#","message":{message}{expected}"#), "{message}");
    }
}

#[test]
fn every_other_message_stays_as_it_is() {
    let deep = format!(r#""{{\"a\":{}{}}}""#, "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
    let deepest = "[".repeat(100_000);
    let bottomless = format!(r#""{{\"a\":{deepest}""#);
    let texts = [
        r#""""#,
        r#""plain {\"a\":1}""#,
        r#""{\"a\":1""#,
        r#""{\"a\":1} and more""#,
        r#""{\"a\":1}{\"b\":2}""#,
        r#""{'a':1}""#,
        r#""[1]""#,
        r#""{\"a\":\"\ud800\"}""#,
        r#"{"a":1}"#,
        "7",
        "null",
        deep.as_str(),
        bottomless.as_str(),
    ];
    for text in texts {
        for known in [&[][..], &["message", "a"]] {
            assert_eq!(record(text, known), format!(r#","message":{text}"#), "{text}");
        }
    }
    assert_eq!(record(r#""{\"a\":1}","message":"second""#, &[]), r#","message":"second","a":1"#);
    let shallow = format!(r#""{{\"a\":{}{}}}""#, "[".repeat(MAX_DEPTH - 1), "]".repeat(MAX_DEPTH - 1));
    assert!(!record(&shallow, &[]).contains("message"));
}

#[test]
fn what_is_no_log_event_is_refused_alone() {
    let found = records(&envelope(r#"{"id":"1"},7,[],"x",{"id":"2"}"#), &[]);
    let refused = "the log event is JSON but no object, so it has no columns";
    assert_eq!(found, [r#"{"owner":"1","logGroup":"g","id":"1"}"#, refused, refused, refused, r#"{"owner":"1","logGroup":"g","id":"2"}"#]);
}

#[test]
fn documents_are_told_apart_by_their_type() {
    let cases = [
        (
            r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logEvents":[{"id":"","message":"health"}]}"#,
            "control",
        ),
        (r#"{"m\u0065ssageType":"CONTROL\u005fMESSAGE"}"#, "control"),
        (
            r#"{"messageType":"DATA_MESSAGE"}"#,
            "not_cloudwatch_logs: the document is a DATA_MESSAGE of CloudWatch Logs without an array logEvents",
        ),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":{}}"#,
            "not_cloudwatch_logs: the document is a DATA_MESSAGE of CloudWatch Logs without an array logEvents",
        ),
        (
            r#"{"messageType":"SECRET","logEvents":[]}"#,
            "not_cloudwatch_logs: the document's messageType is neither DATA_MESSAGE nor CONTROL_MESSAGE",
        ),
        (
            r#"{"messageType":1,"logEvents":[]}"#,
            "not_cloudwatch_logs: the document is no envelope of CloudWatch Logs: it has no text messageType",
        ),
        (r#"{"a":1}"#, "not_cloudwatch_logs: the document is no envelope of CloudWatch Logs: it has no text messageType"),
        (
            r#"{"messageType":"DATA_MESSAGE","logEvents":[],"logEvents":[{}]}"#,
            "not_cloudwatch_logs: the document has messageType or logEvents twice",
        ),
        ("[{}]", "not_an_object: the document is JSON but no envelope of CloudWatch Logs, which is an object"),
        ("7", "not_an_object: the document is JSON but no envelope of CloudWatch Logs, which is an object"),
    ];
    for (document, expected) in cases {
        assert_eq!(records(document, &[]), [expected], "{document}");
    }
}

#[test]
fn documents_end_where_the_next_one_begins_and_broken_ones_are_told() {
    let two = envelope("{}").repeat(2);
    let first = read(two.as_bytes(), 0, &mut Vec::new()).unwrap();
    assert_eq!(first.end, two.len() / 2);
    let second = read(two.as_bytes(), first.end, &mut Vec::new()).unwrap();
    let Kind::Data(data) = second.kind else { panic!("it holds log events") };
    assert_eq!(data.events(two.as_bytes()).map(|event| &two[event]).collect::<Vec<_>>(), ["{}"]);
    for broken in
        ["{", "", "nope", r#"{"messageType":"DATA_MESSAGE","logEvents":[{}"#, r#"{"messageType":"DATA_MESSAGE","logEvents":[{},]}"#]
    {
        assert!(read(broken.as_bytes(), 0, &mut Vec::new()).is_err(), "{broken}");
    }
}

#[test]
fn a_hundred_thousand_log_events_are_no_burden() {
    let event = r#"{"id":"1","message":"{\"a\":1}"}"#;
    let document = envelope(&vec![event; 100_000].join(","));
    let found = records(&document, &[]);
    assert_eq!((found.len(), found[99_999].as_str()), (100_000, r#"{"owner":"1","logGroup":"g","id":"1","a":1}"#));
}
