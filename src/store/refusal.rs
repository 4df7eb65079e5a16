//! What it means that a store does not do what it was asked: a bucket's refusal for good is told from what may go through later.

use std::fmt::Display;

use crate::error::Error;

/// Why something could not be done; `what` says what, in words such as `cannot read s3://lake/x`. `Config` where a bucket would refuse
/// it again, else `Unavailable`, and `next` says what to do then.
pub fn failed(what: &str, error: &dyn Display, next: &str) -> Error {
    let error = error.to_string();
    match advice(&error) {
        Some(advice) => Error::config(format!("{what}: {error}; {advice}")),
        None => Error::unavailable(format!("{what}: {error}; {next}")),
    }
}

/// What to do about a refusal that does not go away by itself; `None` if this is none. Such an error may have come through several
/// layers, so its words count: S3's document, as one client tells it, or the code as the other one does.
pub fn advice(error: &str) -> Option<&'static str> {
    let says = |code: &str| error.contains(&format!("<Code>{code}</Code>")) || error.contains(&format!("\"{code}\""));
    if says("NoSuchBucket") {
        Some("create the bucket, or correct its name in the configuration")
    } else if says("AccessDenied") || error.contains("status code: 403") {
        Some("allow it in IAM and in the bucket's policy, and the key in KMS")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

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
