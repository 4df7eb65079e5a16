//! The one error type: a kind that says what the caller can do, and a sentence that says what happened and what to do next.

pub mod aws;

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The command line or the configuration is wrong; running again without a change fails again.
    Config,
    /// Something outside could not be reached or refused the request; the same run may succeed later.
    Unavailable,
    /// Somebody else changed the same thing at the same time; the next run sees the new state.
    Conflict,
    /// The data is not what it has to be; a person must look at it.
    Data,
    /// A check of lakebed's own failed. Nothing was committed.
    Internal,
}

/// A failure, told in one sentence for people.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    about: Option<Box<About>>,
}

/// What a failure is about, for programs.
#[derive(Debug, Default, Serialize)]
pub struct About {
    /// Partitions, as paths.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<String>,
    /// Landed objects, as keys relative to the landing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind`; `message` is lower-case, names the object, hour or table, and says what to do next.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), about: None }
    }

    /// The same, about this partition and these landed objects.
    pub fn about(self, partition: impl fmt::Display, objects: impl IntoIterator<Item = String>) -> Self {
        let (partitions, objects) = (vec![partition.to_string()], objects.into_iter().collect());
        Self { about: Some(Box::new(About { partitions, objects })), ..self }
    }

    /// Wrong usage or configuration.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// A store, a file or a service that did not answer as it should.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message)
    }

    /// A lost race.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Kind::Conflict, message)
    }

    /// Data that a person must look at.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Kind::Data, message)
    }

    /// A broken promise inside lakebed.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Kind::Internal, message)
    }

    /// What the caller can do.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// It as a document for programs: `{"error": {kind, message, running_again_may_help, partitions, objects}}`.
    pub fn document(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Document<'e> {
            error: Told<'e>,
        }
        #[derive(Serialize)]
        struct Told<'e> {
            kind: Kind,
            message: &'e str,
            running_again_may_help: bool,
            #[serde(flatten)]
            about: Option<&'e About>,
        }
        let Self { kind, message, about } = self;
        Document { error: Told { kind: *kind, message, running_again_may_help: kind.may_pass(), about: about.as_deref() } }
    }
}

impl Kind {
    /// True if the same may succeed later without a change.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Unavailable | Self::Conflict | Self::Internal => true,
            Self::Config | Self::Data => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
