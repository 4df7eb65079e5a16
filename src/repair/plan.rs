//! What a repair of a partition reads, and why; or why it must not begin. No I/O.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::{self, PartitionId};
use crate::ledger::{LedgerVersion, Source};
use crate::words::counted;

/// Objects that a refusal names; it counts all of them.
const NAMED: usize = 5;

/// What a repair has to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Make all of it anew from these objects, in the order of hour and key.
    Rebuild(Vec<Taken>),
    /// Write the rows that are live once more, as the files are to be today. Nothing that landed is read.
    Reencode,
    /// Leave it as it is: the objects of these keys are in the partition and not in the landing any more.
    Refuse(Vec<String>),
}

/// A landed object that a repair reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The object.
    pub object: LandedObject,
    /// Why it is read.
    pub why: Why,
}

/// Why a repair reads an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Why {
    /// It is in the partition, with this content.
    Unchanged,
    /// It is in the partition, with another content.
    Changed,
    /// A rollback took it out of the partition.
    Held,
    /// It is not in the partition yet.
    New,
}

impl Why {
    /// The reason as documents have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Held => "held",
            Self::New => "new",
        }
    }
}

/// Decides what to do with a partition, from its newest version and all objects of it that are in the landing.
///
/// | the object | then |
/// |---|---|
/// | landed | read it, whatever the ledger says of it |
/// | in the partition, not landed | refuse: its rows would be lost |
/// | held by a rollback, not landed | leave it held |
/// | there as what a redrive made of it | it is the landed object's, as if that were there |
///
/// With `from_merged` what landed does not matter.
pub fn plan(head: &LedgerVersion, landed: Vec<LandedObject>, from_merged: bool) -> Action {
    if from_merged {
        return Action::Reencode;
    }
    let keys: BTreeSet<&str> = landed.iter().map(|object| object.key.as_str()).collect();
    // What a redrive made of an object is read with that, and whoever knows which landed saw to it that it is there.
    let is_gone = |key: &&String| !keys.contains(key.as_str()) && layout::parse_redriven_key(key).is_none();
    let gone: Vec<String> = head.sources.iter().map(|source| &source.key).filter(is_gone).cloned().collect();
    if !gone.is_empty() {
        return Action::Refuse(gone);
    }
    let is_among = |sources: &[Source], key: &str| sources.iter().any(|source| layout::parse_redriven_key(&source.key) == Some(key));
    let why = |object: &LandedObject| match head.source(&object.key) {
        Some(source) if (&source.etag, source.size) != (&object.etag, object.size) => Why::Changed,
        _ if head.held(&object.key).is_some() || is_among(&head.held, &object.key) => Why::Held,
        Some(_) => Why::Unchanged,
        None if is_among(&head.sources, &object.key) => Why::Unchanged,
        None => Why::New,
    };
    Action::Rebuild(landed.into_iter().map(|object| Taken { why: why(&object), object }).collect())
}

/// The objects to be read.
///
/// # Errors
/// `Data`, with what to do, if the repair must not begin.
pub fn taken(head: &LedgerVersion, action: Action) -> Result<Vec<Taken>> {
    match action {
        Action::Rebuild(taken) => Ok(taken),
        Action::Reencode => Ok(vec![]),
        Action::Refuse(gone) => Err(self::gone(&head.table, &head.partition, &gone)),
    }
}

/// Why a repair must not begin: objects that a partition holds are gone.
pub fn gone(table: &TableName, partition: &PartitionId, gone: &[String]) -> Error {
    let mut named = gone.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if gone.len() > NAMED {
        named.push_str(&format!(" and {} more", gone.len() - NAMED));
    }
    let (are, back) = if gone.len() == 1 { ("is", "it") } else { ("are", "them") };
    Error::data(format!(
        "{table} {partition}: {} that it has rows or records of {are} not in the landing any more: {named}; nothing was changed: put {back} \
         back, or let --from-merged write the rows that are there once more",
        counted(gone.len() as u64, "object")
    ))
    .about(partition, gone.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing::landed;
    use crate::ledger::testing::{source, version};

    fn check(landed: Vec<LandedObject>, expected: &str) {
        let head = LedgerVersion {
            held: vec![source("14", "h"), source("14", "i")],
            ..version("14", 2, vec![source("14", "a"), source("14", "b")])
        };
        let told = match taken(&head, plan(&head, landed, false)) {
            Ok(taken) => taken.iter().map(|taken| format!("{} {:?}", taken.object.key, taken.why)).collect::<Vec<_>>().join(", "),
            Err(e) => e.to_string(),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn all_that_landed_is_read_and_what_is_gone_stops_it() {
        let changed = LandedObject { etag: "f".into(), ..landed("14", "b") };
        check(vec![landed("14", "a"), changed, landed("14", "c"), landed("14", "h")], "14/a Unchanged, 14/b Changed, 14/c New, 14/h Held");
        check(
            vec![landed("14", "b")],
            "1 object that it has rows or records of is not in the landing any more: 14/a; nothing was changed: put it back",
        );
        check(
            vec![],
            "2 objects that it has rows or records of are not in the landing any more: 14/a, 14/b; nothing was changed: put them back",
        );
        let head = version("14", 1, ["a", "b", "c", "d", "e", "f", "g"].map(|name| source("14", name)).into());
        let refused = taken(&head, plan(&head, vec![], false)).unwrap_err().to_string();
        assert!(refused.contains("14/a, 14/b, 14/c, 14/d, 14/e and 2 more"), "{refused}");
        assert_eq!(plan(&head, vec![], true), Action::Reencode, "what landed does not matter");
    }

    #[test]
    fn what_a_redrive_made_of_an_object_is_of_that_object() {
        let of = |name: &str| source("14", &format!("{name}//g00000002-01J00000000000000000000000/0"));
        let head = LedgerVersion { held: vec![of("b")], ..version("14", 2, vec![of("a")]) };
        let told = taken(&head, plan(&head, vec![landed("14", "a"), landed("14", "b"), landed("14", "c")], false)).unwrap();
        assert_eq!(told.iter().map(|taken| taken.why).collect::<Vec<_>>(), [Why::Unchanged, Why::Held, Why::New]);
        assert_eq!(taken(&head, plan(&head, vec![], false)).unwrap(), vec![], "whoever knows what landed refuses it");
    }
}
