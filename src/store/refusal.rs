//! What it means that a store does not do what it was asked: a bucket's refusal for good is told from what may go through later.

use std::fmt::Display;

use crate::error::Error;

/// Why something could not be done; `what` says what, in words such as `cannot read s3://lake/x`. `Config` where a bucket would refuse
/// it again, else `Unavailable`, and `next` says what to do then.
pub fn failed(what: &str, error: &dyn Display, next: &str) -> Error {
    let error = final_name(&error.to_string());
    if let Some((_, advice)) = IN_THE_WAY.iter().find(|(words, _)| error.contains(words)) {
        return Error::unavailable(format!("{what}: {error}; {advice}"));
    }
    match advice(&error) {
        Some(advice) => Error::config(format!("{what}: {error}; {advice}")),
        None => Error::unavailable(format!("{what}: {error}; {next}")),
    }
}

/// What neither space nor permissions help against on a local disk, by the system's words, and what does.
const IN_THE_WAY: [(&str, &str); 2] = [
    ("Not a directory (os error", "a file is where a folder has to be: move it away, then run again"),
    ("Is a directory (os error", "a folder is where a file has to be: move it away, then run again"),
];

/// The error with the name that a file is to have: on a local disk it is written under that and `#1`, or another number.
fn final_name(error: &str) -> String {
    let mut parts = error.split('#');
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |told, part| {
        let rest = part.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let is_temporary = told.ends_with(".parquet") && rest.len() < part.len();
        if is_temporary { told + rest } else { told + "#" + part }
    })
}

/// Refusals that do not go away by themselves, by S3's codes, and what to do about them. The first that an error names counts
/// (<https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>).
const REFUSALS: [(&[&str], &str); 8] = [
    (&["NoSuchBucket"], "create the bucket, or correct its name in the configuration"),
    (&["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"], ELSEWHERE),
    (
        &["ExpiredToken", "ExpiredTokenException", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch"],
        "renew the credentials, or correct them",
    ),
    (&["RequestTimeTooSkewed"], "set this machine's clock: S3 refuses requests whose time is off by more than 15 minutes"),
    (
        &["KMS.NotFoundException", "KMS.DisabledException", "KMS.KMSInvalidStateException", "KMS.InvalidKeyUsageException"],
        "correct `kms_key`, or enable the key in KMS",
    ),
    (&["InvalidObjectState"], "the object is archived: restore it, and keep archiving rules off this prefix"),
    (&["KeyTooLongError"], "S3 takes keys of up to 1024 bytes: choose a shorter location or state, or partitions by shorter values"),
    (&["AccessDenied", "AllAccessDisabled", "AccountProblem"], FORBIDDEN),
];

const ELSEWHERE: &str = "the bucket is in another region: set AWS_REGION to it, and keep all buckets of one configuration in one region";
const FORBIDDEN: &str = "allow it in IAM and in the bucket's policy, and the key in KMS";

/// What to do about a refusal that does not go away by itself; `None` if this is none. Such an error may have come through several
/// layers, so its words count: S3's document, as one client tells it, or the code as the other one does.
pub fn advice(error: &str) -> Option<&'static str> {
    let says = |code: &&str| error.contains(&format!("<Code>{code}</Code>")) || error.contains(&format!("\"{code}\""));
    // The SDK's words, for want of a code.
    if error.contains("CredentialsNotLoaded") || error.contains("no providers in chain provided credentials") {
        return Some("it needs AWS credentials, and none are configured: set AWS_PROFILE or run with a role");
    }
    let named = REFUSALS.iter().find(|(codes, _)| codes.iter().any(says)).map(|(_, advice)| *advice);
    // The answer to a HEAD has no document.
    let by_status =
        || [("403", FORBIDDEN), ("301", ELSEWHERE)].into_iter().find(|(status, _)| error.contains(&format!("status code: {status}")));
    named.or_else(|| by_status().map(|(_, advice)| advice))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn what_is_in_the_way_is_to_be_moved_away() {
        let error = "Unable to open file /lake/hour=10/g1/part-00000.parquet#1: Not a directory (os error 20)";
        let told = failed("cannot write to file:///lake/", &error, "free space or fix permissions").to_string();
        let expected =
            "part-00000.parquet: Not a directory (os error 20); a file is where a folder has to be: move it away, then run again";
        assert!(told.ends_with(expected), "{told}");
        assert_eq!(final_name("a#1 of b.parquet#x and c.parquet#12: no"), "a#1 of b.parquet#x and c.parquet: no");
    }

    #[test]
    fn what_would_be_refused_again_is_a_matter_of_configuration() {
        let status =
            |text: &str| format!("Error performing GET http://s3/lake?list-type=2 in 2ms - Server returned non-2xx status code: {text}");
        let document = |code: &str| format!("<?xml?><Error><Code>{code}</Code><Message>no</Message></Error>");
        let sdk = |code: &str| format!("unhandled error ({code}): Error {{ code: \"{code}\", message: \"no\" }}");
        let cases = [
            (status(&format!("404 Not Found: {}", document("NoSuchBucket"))), Kind::Config, "create the bucket, or correct its name"),
            (status(&format!("403 Forbidden: {}", document("AccessDenied"))), Kind::Config, "allow it in IAM"),
            (status("403 Forbidden: "), Kind::Config, "allow it in IAM"),
            (sdk("AccessDenied"), Kind::Config, "allow it in IAM"),
            (sdk("NoSuchBucket"), Kind::Config, "create the bucket"),
            (status(&format!("301 Moved Permanently: {}", document("PermanentRedirect"))), Kind::Config, "in another region"),
            (status("301 Moved Permanently: "), Kind::Config, "in another region"),
            (status(&format!("400 Bad Request: {}", document("AuthorizationHeaderMalformed"))), Kind::Config, "in another region"),
            (status(&format!("400 Bad Request: {}", document("ExpiredToken"))), Kind::Config, "renew the credentials"),
            (status(&format!("403 Forbidden: {}", document("InvalidAccessKeyId"))), Kind::Config, "renew the credentials"),
            (status(&format!("403 Forbidden: {}", document("RequestTimeTooSkewed"))), Kind::Config, "clock"),
            (status(&format!("403 Forbidden: {}", document("InvalidObjectState"))), Kind::Config, "archived"),
            (status(&format!("400 Bad Request: {}", document("KMS.DisabledException"))), Kind::Config, "`kms_key`"),
            (status(&format!("400 Bad Request: {}", document("KeyTooLongError"))), Kind::Config, "1024 bytes"),
            ("dispatch failure: CredentialsNotLoaded(..)".to_string(), Kind::Config, "needs AWS credentials"),
            (sdk("SlowDown"), Kind::Unavailable, "; run again"),
            (status(&format!("503 Slow Down: {}", document("SlowDown"))), Kind::Unavailable, "; run again"),
            ("no answer for the key AccessDenied/403/NoSuchBucket".to_string(), Kind::Unavailable, "; run again"),
        ];
        for (error, kind, told) in cases {
            let failed = failed("cannot list s3://lake/", &error, "run again");
            assert_eq!(failed.kind(), kind, "{failed}");
            assert!(failed.to_string().starts_with("cannot list s3://lake/: ") && failed.to_string().contains(told), "{failed}");
        }
    }
}
