//! Firehose's own error records: what it writes, below the error prefix, for a record that it could not process or deliver.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::members::{Members, text_of};
use super::reject::{Code, Reason};

/// Most characters of an error code that are kept.
const CODE_LENGTH: usize = 64;

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A record that Firehose could not process, with what went wrong.
///
/// Which members there are, and their names, differ by what failed: <https://docs.aws.amazon.com/firehose/latest/dev/basic-deliver.html> and the
/// objects that were seen. So names are compared without case, and numbers may be texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorRecord {
    /// Firehose's code of the error (`errorCode` or `lastErrorCode`), at most 64 characters; each one outside of `[A-Za-z0-9._-]` is `_`.
    pub code: String,
    /// What Firehose says about it. May hold values of the record.
    pub message: Option<String>,
    /// How often it was tried.
    pub attempts: u64,
    /// When Firehose received the record, in milliseconds since 1970.
    pub arrival_millis: Option<i64>,
    /// The ARN of the function that transforms records, if that is what failed.
    pub lambda_arn: Option<String>,
    /// The record as the producer sent it.
    pub raw: Vec<u8>,
}

impl ErrorRecord {
    /// Why it is not data. Where the table has private columns, one of them may be what looks like the error code.
    pub fn reason(&self, has_private: bool) -> Reason {
        let code = if has_private { String::new() } else { format!(", with the error code {}", self.code) };
        Reason::new(Code::FirehoseError, "", format!("Firehose's report of a record that it could not deliver{code}"))
    }
}

/// Reads an error record of Firehose: an object with a `rawData` in base64, `attemptsMade`, and an error code; `None` for every other
/// record.
pub fn parse(record: &[u8]) -> Option<ErrorRecord> {
    // Almost no record is one, so most are told by a search for a letter that is rare, without reading them.
    let names_raw_data = |at: usize| at >= 2 && record.get(at - 2..at + 5).is_some_and(|name| name.eq_ignore_ascii_case(b"rawdata"));
    if !memchr::memchr2_iter(b'w', b'W', record).any(names_raw_data) {
        return None;
    }
    let mut open = Vec::new();
    let mut members = Members::new(record, 0, &mut open)?;
    let (mut raw, mut attempts, mut code, mut last_code, mut message, mut arrival, mut lambda) = (None, None, None, None, None, None, None);
    while let Some(member) = members.read().ok()? {
        let slot = match member.key.raw.to_ascii_lowercase().as_slice() {
            b"rawdata" => &mut raw,
            b"attemptsmade" => &mut attempts,
            b"errorcode" => &mut code,
            b"lasterrorcode" => &mut last_code,
            b"errormessage" | b"lasterrormessage" => &mut message,
            b"arrivaltimestamp" => &mut arrival,
            b"lambdaarn" => &mut lambda,
            _ => continue,
        };
        slot.get_or_insert(&record[member.value]);
    }
    Some(ErrorRecord {
        code: safe_code(&text_of(code.or(last_code)?)?),
        message: message.and_then(string),
        attempts: u64::try_from(number(attempts?)?).ok()?,
        arrival_millis: arrival.and_then(number),
        lambda_arn: lambda.and_then(string),
        raw: BASE64.decode(text_of(raw?)?).ok()?,
    })
}

/// A code without anything that could be a value of someone's record.
fn safe_code(code: &[u8]) -> String {
    let safe = |b: u8| if b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-') { char::from(b) } else { '_' };
    code.iter().take(CODE_LENGTH).map(|b| safe(*b)).collect()
}

fn string(value: &[u8]) -> Option<String> {
    String::from_utf8(text_of(value)?.into_owned()).ok()
}

/// A whole number, which may be written as a text.
fn number(value: &[u8]) -> Option<i64> {
    let text = text_of(value);
    std::str::from_utf8(text.as_deref().unwrap_or(value)).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(record: &str) -> Option<String> {
        parse(record.as_bytes()).map(|found| {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
            let arrival = or_none(found.arrival_millis.map(|millis| millis.to_string()));
            let raw = String::from_utf8_lossy(&found.raw).into_owned();
            format!("{} | {} | {} | {arrival} | {} | {raw}", found.code, or_none(found.message), found.attempts, or_none(found.lambda_arn))
        })
    }

    #[test]
    fn the_forms_that_firehose_writes_are_read() {
        let cases = [
            // A function that failed, as documented: numbers are texts.
            (
                r#"{"attemptsMade":"3","arrivalTimestamp":"1763561106123","errorCode":"Lambda.FunctionError","errorMessage":"timed out","attemptEndingTimestamp":"1763561200000","rawData":"eyJhIjoxfQ==","lambdaArn":"arn:aws:lambda:eu-west-1:111122223333:function:shape"}"#,
                "Lambda.FunctionError | timed out | 3 | 1763561106123 | arn:aws:lambda:eu-west-1:111122223333:function:shape | {\"a\":1}",
            ),
            // The same as it was seen: another order, numbers, `lambdaARN`.
            (
                r#"{"rawData":"eyJhIjoxfQ==","errorCode":"Lambda.ProcessingFailedStatus","errorMessage":"set to \"failed\"","attemptsMade":1,"arrivalTimestamp":1763561106123,"attemptEndingTimestamp":1763561200000,"lambdaARN":"arn:x"}"#,
                "Lambda.ProcessingFailedStatus | set to \"failed\" | 1 | 1763561106123 | arn:x | {\"a\":1}",
            ),
            // A conversion of formats.
            (
                r#" {"attemptsMade":1,"arrivalTimestamp":1763561106123,"lastErrorCode":"DataFormatConversion.ParseError","lastErrorMessage":"not JSON","attemptEndingTimestamp":1763561200000,"rawData":"e2E=","sequenceNumber":"49","subSequenceNumber":null,"dataCatalogTable":{"catalogId":null,"databaseName":"shop","tableName":"clicks","region":"eu-west-1","versionId":"LATEST","catalogArn":null}}"#,
                "DataFormatConversion.ParseError | not JSON | 1 | 1763561106123 | - | {a",
            ),
            // Decompression: the code is a sentence.
            (
                r#"{"attemptsMade":0,"arrivalTimestamp":1763561106123,"errorCode":"Decompression failed.","errorMessage":null,"rawData":"AQI"}"#,
                "Decompression_failed. | - | 0 | 1763561106123 | - | \u{1}\u{2}",
            ),
            // An HTTP endpoint; names in other cases, slashes escaped, an empty record, no time of arrival.
            (
                r#"{"AttemptsMade":5,"ERRORCODE":"HttpEndpoint.Unreachable","RawData":"Pz8\/","EventId":"1"}"#,
                "HttpEndpoint.Unreachable | - | 5 | - | - | ???",
            ),
            (r#"{"attemptsMade":1,"errorCode":"X","rawData":"","arrivalTimestamp":"2026-11-19"}"#, "X | - | 1 | - | - | "),
        ];
        for (record, expected) in cases {
            assert_eq!(check(record.trim_start()).as_deref(), Some(expected), "{record}");
        }
    }

    #[test]
    fn other_records_are_not_taken_for_errors() {
        for record in [
            "",
            "7",
            "[]",
            "{}",
            r#"{"rawData":"e30=","attemptsMade":1}"#,
            r#"{"rawData":"e30=","errorCode":"X"}"#,
            r#"{"attemptsMade":1,"errorCode":"X"}"#,
            r#"{"rawData":"not base64!","attemptsMade":1,"errorCode":"X"}"#,
            r#"{"rawData":{"a":1},"attemptsMade":1,"errorCode":"X"}"#,
            r#"{"rawData":"e30=","attemptsMade":"often","errorCode":"X"}"#,
            r#"{"rawData":"e30=","attemptsMade":-1,"errorCode":"X"}"#,
            r#"{"rawData":"e30=","attemptsMade":1,"errorCode":17}"#,
            r#"{"inner":{"rawData":"e30=","attemptsMade":1,"errorCode":"X"}}"#,
            r#"{"rawData":"e30=","attemptsMade":1,"errorCode":"X""#,
        ] {
            assert_eq!(check(record), None, "{record}");
        }
    }

    #[test]
    fn the_reason_holds_the_code_and_nothing_else() {
        let record =
            format!(r#"{{"rawData":"e30=","attemptsMade":1,"errorCode":"{}","errorMessage":"jane@example.com"}}"#, "a b@c".repeat(30));
        let reason = parse(record.as_bytes()).unwrap().reason(false);
        assert!(!parse(record.as_bytes()).unwrap().reason(true).detail.contains("code"), "a private column may have that name");
        let code = "a_b_c".repeat(12) + "a_b_";
        assert_eq!(reason.detail, format!("Firehose's report of a record that it could not deliver, with the error code {code}"));
        assert_eq!((reason.code.as_str(), code.len()), ("firehose_error", 64));
    }
}
