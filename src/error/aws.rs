//! What AWS's services say when they do not do what they were asked, told apart in one way for all of them.

use aws_sdk_glue::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::Error;

/// Codes of requests whose signer may not do what they ask for. Several are in no service's model, so all are matched by text.
const DENIED: &[&str] = &["AccessDeniedException", "AccessDenied", "UnauthorizedException", "UnauthorizedOperation"];

/// Codes of requests whose signer is not known, or no longer.
const UNKNOWN_SIGNER: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
];

/// A refusal in a service's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'e> {
    /// The name of the exception, such as `ThrottlingException`.
    pub code: &'e str,
    /// What the service says of it, for people.
    pub message: &'e str,
}

impl<'e> Refusal<'e> {
    /// The service's answer, or `None` if it did not answer at all.
    pub fn of<E: ProvideErrorMetadata, R>(error: &'e SdkError<E, R>) -> Option<Self> {
        let service = error.as_service_error()?;
        Some(Self { code: service.code().unwrap_or("no code"), message: service.message().unwrap_or("no reason given") })
    }

    /// True if the signer of the request may not do what it asks for.
    pub fn denied(&self) -> bool {
        DENIED.contains(&self.code)
    }
}

/// True if the service answered with one of these codes.
pub fn is<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>, codes: &[&str]) -> bool {
    Refusal::of(error).is_some_and(|refusal| codes.contains(&refusal.code))
}

/// Why a request failed, and what to do about it: `action` in IAM's words (`glue:GetTable`), `what` it was about. `own` tells those
/// refusals whose meaning is the service's; the others are told as for every service.
pub fn explain<E, R>(action: &str, what: &str, error: &SdkError<E, R>, own: impl FnOnce(Refusal<'_>) -> Option<Error>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match Refusal::of(error) {
        None => Error::unavailable(format!("{what}: {action} did not answer: {}; run again", DisplayErrorContext(error))),
        Some(refusal) => own(refusal).unwrap_or_else(|| common(action, what, refusal)),
    }
}

fn common(action: &str, what: &str, refusal: Refusal<'_>) -> Error {
    let Refusal { code, message } = refusal;
    if refusal.denied() {
        return Error::config(format!("{what}: {action} is refused: {message}; allow the action in IAM"));
    }
    if UNKNOWN_SIGNER.contains(&code) {
        return Error::unavailable(format!("{what}: {action} is refused with {code}: {message}; renew the credentials, then run again"));
    }
    Error::unavailable(format!("{what}: {action} failed with {code}: {message}; run again"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_glue::error::ErrorMetadata;
    use aws_sdk_glue::operation::get_table::GetTableError;

    use super::*;
    use crate::error::Kind;

    fn answered(code: &str) -> SdkError<GetTableError, ()> {
        SdkError::service_error(GetTableError::generic(ErrorMetadata::builder().code(code).message("no").build()), ())
    }

    #[test]
    fn errors_say_what_the_caller_can_do() {
        let check = |error: &SdkError<GetTableError, ()>, kind: Kind, text: &str| {
            let told = explain("glue:GetTable", "table shop.clicks", error, |_| None);
            assert_eq!((told.kind(), told.to_string().as_str()), (kind, text));
        };
        let denied = "table shop.clicks: glue:GetTable is refused: no; allow the action in IAM";
        check(&answered("AccessDeniedException"), Kind::Config, denied);
        let unknown = "table shop.clicks: glue:GetTable is refused with ExpiredTokenException: no; renew the credentials, then run again";
        check(&answered("ExpiredTokenException"), Kind::Unavailable, unknown);
        let slow = "table shop.clicks: glue:GetTable failed with ThrottlingException: no; run again";
        check(&answered("ThrottlingException"), Kind::Unavailable, slow);
        let silent = explain("glue:GetTable", "table shop.clicks", &SdkError::<GetTableError, ()>::timeout_error("late"), |_| None);
        assert_eq!(silent.kind(), Kind::Unavailable);
        assert!(silent.to_string().starts_with("table shop.clicks: glue:GetTable did not answer: "), "{silent}");
    }

    #[test]
    fn a_service_tells_its_own_codes_itself() {
        let error = answered("InvalidInputException");
        assert!(is(&error, &["EntityNotFoundException", "InvalidInputException"]) && !is(&error, &["EntityNotFoundException"]));
        let own = |refusal: Refusal<'_>| (refusal.code == "InvalidInputException").then(|| Error::config(refusal.message));
        assert_eq!(explain("glue:GetTable", "x", &error, own).to_string(), "no");
        assert_eq!(explain("glue:GetTable", "x", &answered("Other"), own).kind(), Kind::Unavailable);
    }
}
