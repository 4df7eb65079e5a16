//! Firehose's own reports of records that it could not deliver.

use serde_json::json;

use super::{counted, hex, lake, rejects};

/// One that failed in a function, and one that failed in a conversion.
const ERRORS: [&str; 2] = [
    r#"{"attemptsMade":4,"arrivalTimestamp":1795082400000,"errorCode":"Lambda.FunctionError","errorMessage":"timed out","attemptEndingTimestamp":1795082500000,"rawData":"eyJpZCI6ImEifQ==","lambdaArn":"arn:aws:lambda:eu-west-1:111122223333:function:shape"}"#,
    r#"{"attemptsMade":1,"arrivalTimestamp":1795082400000,"lastErrorCode":"DataFormatConversion.MalformedData","lastErrorMessage":"x","attemptEndingTimestamp":1795082500000,"rawData":"eyJpZCI6ImEifQ==","sequenceNumber":"49","subSequenceNumber":null,"dataCatalogTable":{"catalogId":null,"databaseName":"shop","tableName":"clicks","region":"eu-west-1","versionId":"LATEST","catalogArn":null}}"#,
];

const NAME: &str = "clicks-1-2026-11-19-10-00-00-0f0e0d0c-0b0a-0908-0706-050403020100";

#[test]
fn what_is_below_the_error_prefix_is_never_data() {
    for (prefix, settings) in [
        ("errors/processing-failed/2026/11/19/10", "error_prefix = \"errors/!{firehose:error-output-type}/\""),
        (
            "2026/11/19/10/errors/format-conversion-failed",
            "error_prefix = \"!{timestamp:yyyy/MM/dd/HH}/errors/!{firehose:error-output-type}/\"",
        ),
        ("2026/11/19/10/failed-processing-failed", "error_prefix = \"!{timestamp:yyyy/MM/dd/HH}/failed-!{firehose:error-output-type}/\""),
        // Without one, Firehose puts them beside the data, where no expression of the data leads.
        ("processing-failed/2026/11/19/10", ""),
    ] {
        let lake = lake("id string, n bigint", settings);
        lake.land("10", "a", b"{\"id\":\"a\"}");
        let folder = lake.path("landing").join(prefix);
        std::fs::create_dir_all(&folder).unwrap();
        for extension in ["", ".gz", ".json"] {
            std::fs::write(folder.join(format!("{NAME}{extension}")), ERRORS.join("\n")).unwrap();
        }
        let run = lake.run(0);
        assert_eq!(run["tables"][0]["objects"], json!({"landed": 1, "merged": 1, "rejected": 0, "pending": 0}), "{prefix}");
        assert_eq!(run["tables"][0]["records"], counted(1, 1, 0, 0), "{prefix}");
        let warned = !run["tables"][0]["warnings"].as_array().unwrap().is_empty();
        assert_eq!(warned, settings.is_empty(), "{prefix}: {run}");
    }
}

#[test]
fn error_records_among_the_data_are_quarantined() {
    let [function, conversion] = ERRORS;
    for settings in ["", "[table.evolution]\nnew_columns = \"reject\"\n", "[table.columns.id]\nrequired = true\n"] {
        let lake = lake("id string, n bigint", settings);
        lake.land("10", NAME, format!("{{\"id\":\"a\"}}{function}{{\"id\":\"b\"}}\n{conversion}\n{{\"id\":\"c\",\"n\":1}}").as_bytes());
        let run = lake.run(0);
        assert_eq!(run["tables"][0]["records"], counted(5, 3, 2, 0));
        let reason = |raw: &str| ("firehose_error".to_string(), hex(raw.as_bytes()));
        assert_eq!(rejects(&lake), [reason(function), reason(conversion)]);
        let details = lake.query("SELECT detail FROM shop.clicks_quarantine ORDER BY byte_offset");
        for (row, code) in details.iter().zip(["Lambda.FunctionError", "DataFormatConversion.MalformedData"]) {
            assert!(row["detail"].as_str().unwrap().ends_with(&format!("error code {code}")), "{row}");
        }
    }
}

/// Their `rawData` is the whole record in base64, private values and all.
#[test]
fn error_records_of_a_table_with_private_columns_stay_in_the_landing() {
    let lake = lake("id string, n bigint", "[table.columns.id]\nprivacy = \"drop\"\n");
    lake.land("10", NAME, [r#"{"id":"a"}"#, ERRORS[0]].concat().as_bytes());
    assert_eq!(lake.run(0)["tables"][0]["records"], counted(2, 1, 1, 0));
    assert_eq!(rejects(&lake), [("firehose_error".to_string(), "-".to_string())]);
}
