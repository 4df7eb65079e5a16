//! What a subscription of CloudWatch Logs sends through Firehose.

use serde_json::{Value, json};

use super::{counted, counts, gzip, lake, rejects};

fn envelope(events: &[(u64, &str)]) -> String {
    let events: Vec<Value> =
        events.iter().map(|(n, message)| json!({"id": n.to_string(), "timestamp": 1_795_082_400_000 + n, "message": message})).collect();
    json!({"messageType": "DATA_MESSAGE", "owner": "111122223333", "logGroup": "/aws/lambda/shop", "logStream": "x",
        "subscriptionFilters": ["all"], "logEvents": events})
    .to_string()
}

fn control() -> String {
    let event =
        json!({"id": "", "timestamp": 1_795_082_400_000u64, "message": "CWL CONTROL MESSAGE: Checking health of destination Firehose."});
    json!({"messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": "", "subscriptionFilters": [], "logEvents": [event]})
        .to_string()
}

const SETTINGS: &str = "format = \"cloudwatch-logs\"\n[table.columns.log_group]\nfrom = \"logGroup\"\n[table.quarantine]\nmax_ratio = 1\n";

/// Structured and plain messages, control messages, one record that is no envelope and one event that is no object.
fn landed() -> (String, Vec<String>) {
    let first = envelope(&[(1, "{\"level\":\"info\",\"order\":7}\n"), (2, "END RequestId: 7"), (3, "{\"level\":\"warn\",\"cut")]);
    let second = envelope(&[(4, "  {\"level\":\"error\",\"order\":{\"no\":8},\"id\":\"own\"}")]);
    let broken = envelope(&[(5, "x")]).replace("[{\"", "[7,{\"");
    let other = "{\"level\":\"info\"}".to_string();
    let envelopes = vec![control(), first, other, second, control(), broken];
    (envelopes.concat(), envelopes)
}

#[test]
fn envelopes_in_every_nesting_of_gzip_give_the_same_records() {
    let (text, envelopes) = landed();
    let members: Vec<u8> = envelopes.iter().flat_map(|envelope| gzip(envelope.as_bytes())).collect();
    let with_lines: Vec<u8> = envelopes.iter().flat_map(|envelope| [gzip(envelope.as_bytes()), b"\n".to_vec()].concat()).collect();
    let lake = lake("id string, `timestamp` timestamp, level string, message string, log_group string, `order` string", SETTINGS);
    let objects = [
        ("plain", text.clone().into_bytes()),
        ("members", members.clone()),
        ("lines", with_lines),
        ("twice", gzip(&members)),
        ("whole", gzip(text.as_bytes())),
    ];
    for (name, bytes) in &objects {
        lake.land("10", name, bytes);
    }
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["records"], counted(5 * 9, 5 * 5, 5 * 2, 5 * 2));
    let counts = counts(&lake);
    assert!(objects.iter().all(|(name, _)| counts[*name] == counted(9, 5, 2, 2)), "{counts:?}");
    let rows = lake
        .query("SELECT count(*) AS n, id, \"timestamp\", level, message, log_group, \"order\" FROM shop.clicks GROUP BY ALL ORDER BY id");
    let row = |n: u64, level: Value, order: Value, message: &str| {
        let time = format!("2026-11-19T10:00:00.00{n}Z");
        json!({"n": 5, "id": n.to_string(), "timestamp": time, "level": level, "message": message, "log_group": "/aws/lambda/shop", "order": order})
    };
    let expected = [
        row(1, json!("info"), json!("7"), "{\"level\":\"info\",\"order\":7}\n"),
        row(2, Value::Null, Value::Null, "END RequestId: 7"),
        row(3, Value::Null, Value::Null, "{\"level\":\"warn\",\"cut"),
        row(4, json!("error"), json!("{\"no\":8}"), "  {\"level\":\"error\",\"order\":{\"no\":8},\"id\":\"own\"}"),
        row(5, Value::Null, Value::Null, "x"),
    ];
    assert_eq!(rows, expected);
    let reasons = lake.query("SELECT reason, byte_offset, count(*) AS n FROM shop.clicks_quarantine GROUP BY 1, 2 ORDER BY 2");
    let not_envelope = text.find("}{\"level\":\"info\"}").unwrap() + 1;
    let not_object = text.rfind("[7,").unwrap() + 1;
    let expected = [("not_cloudwatch_logs", not_envelope), ("not_an_object", not_object)];
    assert_eq!(reasons, expected.map(|(reason, at)| json!({"reason": reason, "byte_offset": at, "n": 5})));
}

#[test]
fn without_a_column_for_the_text_its_members_take_its_place() {
    let lake = lake("id string, level string, `order` bigint", "format = \"cloudwatch-logs\"\n");
    lake.land(
        "10",
        "a",
        envelope(&[(1, "{\"level\":\"info\",\"order\":7,\"more\":[1]}"), (2, "END"), (3, "{\"order\":\"x\"}")]).as_bytes(),
    );
    let run = lake.run(0);
    assert_eq!(run["tables"][0]["records"], counted(3, 2, 1, 0));
    let rows =
        lake.query("SELECT id, level, \"order\", rescued['more'] AS more, rescued['message'] AS message FROM shop.clicks ORDER BY id");
    assert_eq!(
        rows,
        [
            json!({"id": "1", "level": "info", "order": 7, "more": "[1]", "message": null}),
            json!({"id": "2", "level": null, "order": null, "more": null, "message": "\"END\""}),
        ]
    );
    let [(reason, raw)] = &rejects(&lake)[..] else { panic!() };
    let raw: Vec<u8> = raw.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
    let kept: Value = serde_json::from_slice(&raw).unwrap();
    assert_eq!((reason.as_str(), &kept["logGroup"], &kept["order"]), ("type_mismatch", &json!("/aws/lambda/shop"), &json!("x")));
}
