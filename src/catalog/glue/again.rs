//! Which of Glue's refusals may go through a little later, whatever the SDK knows of them.

use aws_sdk_glue::config::interceptors::InterceptorContext;
use aws_sdk_glue::config::retry::{ClassifyRetry, RetryAction};

/// Codes that Glue's API reference calls passing, with HTTP status 400: so the SDK takes them for final.
pub(super) const PASSING: &[&str] = &["FederationSourceRetryableException", "OperationTimeoutException", "ResourceNotReadyException"];

/// Tells the SDK's client of these codes. Most operations do not have them in their models, so the answer itself is read.
#[derive(Debug)]
pub(super) struct Passing;

impl ClassifyRetry for Passing {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().is_some_and(|done| done.is_err());
        let body = context.response().filter(|_| failed).and_then(|response| response.body().bytes());
        match body.and_then(code) {
            Some(code) if PASSING.contains(&code.as_str()) => RetryAction::transient_error(),
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "passing refusals of Glue"
    }
}

/// The code in an answer of the JSON protocol; some services write a namespace before it and a URL behind.
fn code(body: &[u8]) -> Option<String> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = answer.get("__type").or_else(|| answer.get("code"))?.as_str()?;
    let code = code.rsplit('#').next()?.split(':').next()?;
    Some(code.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_found_in_each_form_of_it() {
        let check = |body: &str, expected: Option<&str>| assert_eq!(code(body.as_bytes()).as_deref(), expected, "{body}");
        check(r#"{"__type":"OperationTimeoutException","Message":"late"}"#, Some("OperationTimeoutException"));
        check(r#"{"__type":"com.amazonaws.glue#ResourceNotReadyException"}"#, Some("ResourceNotReadyException"));
        check(r#"{"code":"EntityNotFoundException:http://internal.amazon.com/"}"#, Some("EntityNotFoundException"));
        check("{}", None);
        check("<html>", None);
    }
}
