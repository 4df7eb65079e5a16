//! The ways in which a generated record can be bad.

use std::fmt;

/// Why no table can take a generated record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BadKind {
    /// The JSON object ends behind one of its nested objects; its own end is missing.
    Truncated,
    /// A whole JSON object whose first item has the quantity `"many"`.
    WrongType,
    /// A whole JSON object whose `event_id` is null.
    MissingId,
    /// A text holds bytes that are not UTF-8.
    InvalidUtf8,
    /// A whole JSON document that is not an object: a number or a text.
    NotAnObject,
    /// A whole JSON object whose `event_id` is not a UUID.
    NotAUuid,
}

impl BadKind {
    /// Every kind, in the order in which they take turns.
    pub const ALL: &[Self] = &[Self::Truncated, Self::WrongType, Self::MissingId, Self::InvalidUtf8, Self::NotAnObject, Self::NotAUuid];

    /// The kinds that are JSON objects from `{` to `}` all the same: only a table's types and rules tell that they are bad.
    pub const WHOLE_OBJECTS: &[Self] = &[Self::WrongType, Self::MissingId, Self::NotAUuid];

    /// The kind's name, such as `invalid-utf8`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::WrongType => "wrong-type",
            Self::MissingId => "missing-id",
            Self::InvalidUtf8 => "invalid-utf8",
            Self::NotAnObject => "not-an-object",
            Self::NotAUuid => "not-a-uuid",
        }
    }
}

impl fmt::Display for BadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
