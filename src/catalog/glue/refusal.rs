//! What Glue's refusals mean, and what to do about them: in IAM, in Lake Formation, in the configuration.

use aws_sdk_glue::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_glue::types::ErrorDetail;

use super::super::{EntryError, TableName};
use crate::error::{Error, Kind, aws};

pub(super) const NOT_FOUND: &[&str] = &["EntityNotFoundException"];
pub(super) const EXISTS: &[&str] = &["AlreadyExistsException"];

/// Codes of what Glue will never take as it is, and of limits that somebody has to raise.
const FINAL: &[&str] = &[INVALID, "GlueEncryptionException", "ResourceNumberLimitExceededException"];
pub(super) const INVALID: &str = "InvalidInputException";

/// What each action needs besides its permission in IAM where Lake Formation manages the catalog. AWS documents permissions of grants,
/// not of calls, so where it is not sure which of two an action needs, both are named.
const GRANTS: &[(&str, &str)] = &[
    ("glue:GetDatabase", "DESCRIBE on the database"),
    ("glue:GetDatabases", "DESCRIBE on the databases"),
    ("glue:CreateDatabase", "CREATE_DATABASE on the catalog"),
    ("glue:GetTable", "DESCRIBE on the table; if there is no such table yet, CREATE_TABLE on its database"),
    ("glue:GetTables", "DESCRIBE on the database and its tables"),
    ("glue:CreateTable", "CREATE_TABLE on the database and DATA_LOCATION_ACCESS on the table's location"),
    ("glue:UpdateTable", "ALTER on the table"),
    ("glue:GetPartitions", "DESCRIBE and SELECT on the table"),
    ("glue:BatchGetPartition", "DESCRIBE and SELECT on the table"),
    ("glue:BatchCreatePartition", "ALTER and INSERT on the table and DATA_LOCATION_ACCESS on its location"),
    ("glue:BatchUpdatePartition", "ALTER and INSERT on the table and DATA_LOCATION_ACCESS on its location"),
];

/// Why a call failed, and what to do about it.
pub(super) fn explain<E, R>(action: &str, what: &str, error: &SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug,
{
    aws::explain(action, what, error, |refusal| {
        let aws::Refusal { code, message } = refusal;
        if refusal.denied() {
            return Some(Error::config(format!("{what}: Glue refuses {action}: {message}; {}", allow(action))));
        }
        match code {
            "EntityNotFoundException" => {
                Some(Error::config(format!("{what} does not exist in the Glue Data Catalog: {message}; create it first")))
            }
            code if FINAL.contains(&code) => Some(Error::config(format!("{what}: Glue does not take it ({action}, {code}): {message}"))),
            "ConcurrentModificationException" => {
                Some(Error::conflict(format!("{what}: somebody else changed it ({action}): {message}; run again")))
            }
            _ => None,
        }
    })
}

/// What the role of the run lacks.
fn allow(action: &str) -> String {
    let grants = GRANTS.iter().find(|(known, _)| *known == action).map_or("what it is about", |(_, grants)| *grants);
    format!("allow {action} in IAM, and where Lake Formation manages the table, grant there {grants}; then run again")
}

/// What Glue says of one entry of a batch.
pub(super) fn entry_error(action: &str, name: &TableName, values: Vec<String>, detail: Option<ErrorDetail>) -> EntryError {
    let detail = detail.unwrap_or_else(|| ErrorDetail::builder().build());
    let refusal =
        aws::Refusal { code: detail.error_code().unwrap_or("no reason given"), message: detail.error_message().unwrap_or_default() };
    let (kind, message) = said(action, name, &values, refusal);
    EntryError { values, kind, message }
}

/// An entry that does not exist, in the same words.
pub(super) fn missing(action: &str, name: &TableName, values: &[String]) -> EntryError {
    let (kind, message) = said(action, name, values, aws::Refusal { code: NOT_FOUND[0], message: "" });
    EntryError { values: values.to_vec(), kind, message }
}

fn said(action: &str, name: &TableName, values: &[String], refusal: aws::Refusal<'_>) -> (Kind, String) {
    let what = format!("partition {} of table {name}", values.join("/"));
    let aws::Refusal { code, message } = refusal;
    match code {
        "AlreadyExistsException" => (Kind::Conflict, format!("{what} already exists; update it instead")),
        "EntityNotFoundException" => (Kind::Conflict, format!("{what} does not exist; create it instead")),
        _ if refusal.denied() => (Kind::Config, format!("{what}: Glue refuses {action}: {message}; {}", allow(action))),
        code => {
            let kind = match code {
                "ConcurrentModificationException" => Kind::Conflict,
                code if FINAL.contains(&code) => Kind::Config,
                _ => Kind::Unavailable,
            };
            (kind, format!("{what}: Glue does not take it ({action}, {code}): {message}").trim_end_matches([' ', ':']).to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_glue::error::ErrorMetadata;
    use aws_sdk_glue::operation::get_table::GetTableError;

    use super::*;

    #[test]
    fn what_is_denied_says_what_to_allow_and_to_grant() {
        let denied = ErrorMetadata::builder().code("AccessDeniedException").message("Insufficient Lake Formation permission(s)").build();
        let error: SdkError<GetTableError, ()> = SdkError::service_error(GetTableError::generic(denied), ());
        for (action, grants) in GRANTS {
            let told = explain(action, "table shop.clicks", &error);
            assert_eq!(told.kind(), Kind::Config);
            let expected = format!(
                "table shop.clicks: Glue refuses {action}: Insufficient Lake Formation permission(s); allow {action} in IAM, and where Lake \
                 Formation manages the table, grant there {grants}; then run again"
            );
            assert_eq!(told.to_string(), expected);
        }
    }

    #[test]
    fn each_entry_is_told_in_the_words_of_the_port() {
        let name = TableName { database: "shop".into(), name: "clicks".into() };
        let check = |code: &str, kind: Kind, says: &str| {
            let detail = ErrorDetail::builder().error_code(code).error_message("no").build();
            let error = entry_error("glue:BatchCreatePartition", &name, vec!["14".into()], Some(detail));
            assert!(error.message.starts_with("partition 14 of table shop.clicks") && error.message.contains(says), "{error:?}");
            assert_eq!(error.kind, kind, "{error:?}");
        };
        check("AlreadyExistsException", Kind::Conflict, "already exists");
        check("EntityNotFoundException", Kind::Conflict, "does not exist");
        check("ConcurrentModificationException", Kind::Conflict, "(glue:BatchCreatePartition, ConcurrentModificationException): no");
        check("AccessDeniedException", Kind::Config, "ALTER and INSERT on the table");
        check("InvalidInputException", Kind::Config, "does not take it (glue:BatchCreatePartition, InvalidInputException): no");
        check("ResourceNumberLimitExceededException", Kind::Config, "ResourceNumberLimitExceededException): no");
        check("GlueEncryptionException", Kind::Config, "GlueEncryptionException): no");
        check("InternalServiceException", Kind::Unavailable, "InternalServiceException): no");
        check("ThrottlingException", Kind::Unavailable, "ThrottlingException): no");
        assert!(missing("glue:BatchUpdatePartition", &name, &["14".into()]).message.contains("does not exist; create it"));
    }
}
