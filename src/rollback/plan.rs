//! Which generation a rollback goes back to, and the ledger version that does so. No I/O.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};

use crate::layout::{self, GenerationId};
use crate::ledger::{FORMAT, Generation, LedgerVersion, Operation, Retired, RolledBack, Source};
use crate::words::{are, counted};

/// What a rollback is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Nothing.
    Stay(Reason),
    /// Go back to the first of these generations whose files are all there.
    Back(Vec<GenerationId>),
}

/// Why there is nothing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The generation asked for is live.
    Live,
    /// No generation was asked for, and the partition was rolled back already: from this one.
    Back(GenerationId),
}

/// Why a rollback cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// No generation is retired.
    NoneRetired,
    /// The generation asked for is not among the retired ones, which are these.
    NotRetired(String, Vec<GenerationId>),
    /// This generation is of before the first merge.
    Void(GenerationId),
    /// The ledger has no version that wrote this generation.
    Unknown(GenerationId),
    /// Of this generation, this file is gone or has another size.
    Gone(GenerationId, String),
    /// Since this generation, a repair moved rows between this partition and others.
    Places(GenerationId),
    /// Since this generation, redrives moved so many records into other partitions.
    Moved(GenerationId, u64),
}

impl Refusal {
    /// True if it names a generation that there is not; otherwise there is none to go back to, or it cannot be gone back to.
    pub fn is_of_the_request(&self) -> bool {
        matches!(self, Self::NotRetired(..))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("it is live"),
            Self::Back(from) => write!(f, "it was rolled back from {from} already; to go on, name the generation with --to"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneRetired => f.write_str("there is no generation to go back to: none was retired, or all were swept"),
            Self::Void(generation) => {
                write!(f, "there is no generation to go back to: nothing was merged yet when {generation} was made")
            }
            Self::Unknown(generation) => {
                write!(f, "the ledger has no version that wrote {generation}; restore the state folder")
            }
            Self::NotRetired(asked, retired) => {
                let mut named: Vec<String> = retired.iter().map(ToString::to_string).collect();
                named.sort();
                let are = are(named.len() as u64);
                let named = if named.is_empty() { "none is left".to_string() } else { format!("there {are} {}", named.join(", ")) };
                write!(f, "there is no retired generation {asked}: it was swept, or there never was one; {named}")
            }
            Self::Places(generation) => write!(
                f,
                "cannot go back to {generation}: since then a repair moved rows between this partition and others, and they would be in the \
                 table twice or not at all; put the rules back that were in force and repair again"
            ),
            Self::Moved(generation, records) => write!(
                f,
                "cannot go back to {generation}: since then a redrive moved {} into other partitions, where they stay, and this one would \
                 have them in quarantine, or not taken in; `lakebed repair` makes it anew from what landed, which also brings back what an \
                 earlier rollback took out",
                counted(*records, "record")
            ),
            Self::Gone(generation, file) => {
                write!(f, "cannot go back to {generation}: {file} is gone or has another size; restore it from a copy")
            }
        }
    }
}

/// The retired generations of data, in the order in which they were retired. `quarantine` is the URL of the table's quarantine.
fn retired(head: &LedgerVersion, quarantine: &str) -> Vec<GenerationId> {
    let data = head.retired.iter().filter(|retired| !retired.location.starts_with(quarantine));
    data.filter_map(Retired::id).collect()
}

/// Decides where to go back to: `to`, which is a generation's name or the part of it before the dash; without it the generation that was
/// retired last.
///
/// | without `to` | then |
/// |---|---|
/// | what was retired last is older than what is live | it, or else the one retired before it |
/// | it is newer: a rollback retired it | nothing, so that a rollback that is repeated takes no second step |
///
/// # Errors
/// The refusal.
pub fn choose(head: &LedgerVersion, quarantine: &str, to: Option<&str>) -> Result<Choice, Refusal> {
    let (live, retired) = (&head.generation.id, retired(head, quarantine));
    let Some(to) = to else {
        return match retired.last() {
            None => Err(Refusal::NoneRetired),
            Some(last) if last.number > live.number => Ok(Choice::Stay(Reason::Back(last.clone()))),
            Some(_) => Ok(Choice::Back(retired.into_iter().rev().collect())),
        };
    };
    let named = |id: &GenerationId| id.to_string() == to || id.to_string().split('-').next() == Some(to);
    match retired.iter().find(|id| named(id)) {
        _ if named(live) => Ok(Choice::Stay(Reason::Live)),
        Some(id) => Ok(Choice::Back(vec![id.clone()])),
        None => Err(Refusal::NotRetired(to.to_string(), retired)),
    }
}

/// Who makes a version, and when.
#[derive(Debug, Clone)]
pub struct Made {
    /// ULID of the attempt.
    pub attempt: String,
    /// ULID of the run.
    pub run: String,
    /// Now, UTC.
    pub at: DateTime<Utc>,
}

/// What of `head` the version `target` lacks that a rollback cannot take out.
///
/// # Errors
/// The refusal.
pub fn keeps_what_moved(head: &LedgerVersion, target: &LedgerVersion) -> Result<(), Refusal> {
    match head.counts.moved.saturating_sub(target.counts.moved) {
        0 => Ok(()),
        moved => Err(Refusal::Moved(target.generation.id.clone(), moved)),
    }
}

/// The version that follows `head` and has the files of `target`, the version that its generation was written for. `state` is the URL of
/// the state location.
pub fn back(head: &LedgerVersion, target: &LedgerVersion, state: &str, made: Made) -> LedgerVersion {
    let number = head.version + 1;
    let quarantine = target.quarantine.clone().or_else(|| no_quarantine(head, state, number, &made.attempt));
    let live = |location: &str| location == target.generation.location || quarantine.as_ref().is_some_and(|q| q.location == location);
    let replaced = std::iter::once(&head.generation).chain(&head.quarantine);
    let replaced = replaced.map(|old| Retired { location: old.location.clone(), files: old.files.clone(), at: made.at });
    let retired = head.retired.iter().cloned().chain(replaced).filter(|retired| !live(&retired.location)).collect();
    let known: BTreeMap<&str, &Source> = head.sources.iter().chain(&head.held).map(|source| (source.key.as_str(), source)).collect();
    let held = known.into_values().filter(|source| target.source(&source.key).is_none()).cloned().collect();
    LedgerVersion {
        format: FORMAT,
        table: head.table.clone(),
        partition: head.partition.clone(),
        version: number,
        attempt: made.attempt,
        run: made.run,
        at: made.at,
        operation: Operation::Rollback,
        from_merged: false,
        rolled_back: stands(head, target, made.at),
        generation: target.generation.clone(),
        quarantine,
        columns: target.columns.clone(),
        schema: target.schema.clone(),
        sources: target.sources.clone(),
        counts: target.counts,
        held,
        amended: target.amended,
        missing: target.missing.clone(),
        retired,
        redriven: Vec::new(),
    }
}

/// What is to be known of the rollback as long as it stands: the newest generation that it went back from. Forward again to that one, it is
/// as it was when that was made, which may be on top of an older rollback.
fn stands(head: &LedgerVersion, target: &LedgerVersion, at: DateTime<Utc>) -> Option<RolledBack> {
    let left = head.rolled_back.as_ref().map(|before| &before.from);
    let from = left.into_iter().chain([&head.generation.id]).max_by_key(|id| id.number)?;
    let to = &target.generation.id;
    if to.number < from.number { Some(RolledBack { from: from.clone(), to: to.clone(), at }) } else { target.rolled_back.clone() }
}

/// The quarantine of a version that has none, after one that has: a generation without files. A partition is never taken out of the
/// catalog, so it has to show something, and the old one's records are of objects that are held.
fn no_quarantine(head: &LedgerVersion, state: &str, number: u64, attempt: &str) -> Option<Generation> {
    let old = head.quarantine.as_ref()?;
    if old.files.is_empty() {
        return Some(old.clone());
    }
    let id = GenerationId { number, attempt: attempt.to_string() };
    let location = format!("{state}{}", layout::quarantine_folder(&head.table, &head.partition, &id));
    Some(Generation { id, location, files: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::GenerationId;
    use crate::ledger::testing::{source, version};
    use crate::ledger::{Counts, DataFile};

    const QUARANTINE: &str = "file:///state/quarantine/shop.clicks/";

    fn made() -> Made {
        Made {
            attempt: "01J00000000000000000000009".into(),
            run: "01J00000000000000000000008".into(),
            at: "2026-11-20T08:00:00Z".parse().unwrap(),
        }
    }

    fn retire(version: &LedgerVersion) -> Retired {
        Retired { location: version.generation.location.clone(), files: version.generation.files.clone(), at: version.at }
    }

    /// Version 3 with objects a, b, c, and the two before it.
    fn three() -> [LedgerVersion; 3] {
        let sources = |names: &[&str]| names.iter().map(|name| source("14", name)).collect();
        let (one, two) = (version("14", 1, sources(&["a"])), version("14", 2, sources(&["a", "b"])));
        let three = LedgerVersion { retired: vec![retire(&one), retire(&two)], ..version("14", 3, sources(&["a", "b", "c"])) };
        [one, LedgerVersion { retired: vec![], ..two }, three]
    }

    fn go(head: &LedgerVersion, target: &LedgerVersion) -> LedgerVersion {
        let next = back(head, target, "file:///state/", made());
        next.check(Some(head)).unwrap();
        next
    }

    fn names(sources: &[Source]) -> String {
        sources.iter().map(|source| source.key.trim_start_matches("14/")).collect()
    }

    /// The choice as text: numbers of generations, or why not.
    fn check(head: &LedgerVersion, to: Option<&str>, expected: &str) {
        let said = match choose(head, QUARANTINE, to) {
            Ok(Choice::Back(ids)) => ids.iter().map(|id| format!("g{}", id.number)).collect::<Vec<_>>().join(" "),
            Ok(Choice::Stay(reason)) => reason.to_string(),
            Err(refusal) => refusal.to_string(),
        };
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn without_a_name_it_goes_to_what_was_retired_last_and_takes_no_second_step() {
        let [one, two, head] = three();
        check(&head, None, "g2 g1");
        check(&one, None, "there is no generation to go back to");
        let rolled_back = go(&head, &two);
        check(&rolled_back, None, "it was rolled back from g00000003-01J00000000000000000000000 already");
        let forward = go(&rolled_back, &head);
        check(&forward, None, "g2 g1");
        // What was merged onto the generation that was gone back to goes back there, and not to the one before.
        let retired = [rolled_back.retired.clone(), vec![retire(&two)]].concat();
        check(&LedgerVersion { retired, ..version("14", 5, vec![source("14", "a")]) }, None, "g2 g3 g1");
    }

    #[test]
    fn a_name_is_that_of_a_retired_generation_of_data() {
        let [_, _, mut head] = three();
        head.retired[1].location = format!("{QUARANTINE}hour=14/g00000002-01J00000000000000000000000/");
        check(&head, Some("g00000001"), "g1");
        check(&head, Some("g00000001-01J00000000000000000000000"), "g1");
        check(&head, Some("g00000003"), "it is live");
        check(&head, Some("g00000002"), "no retired generation g00000002: it was swept, or there never was one; there is g00000001-");
        check(&head, Some("g1"), "no retired generation g1");
        let location = format!("{QUARANTINE}hour=14/g00000002-01J00000000000000000000000/");
        head.retired = vec![Retired { location, ..head.retired[1].clone() }];
        check(&head, None, "there is no generation to go back to");
    }

    #[test]
    fn objects_that_came_later_are_held_until_it_goes_forward_again() {
        let [one, two, head] = three();
        let first = go(&head, &one);
        assert_eq!((names(&first.sources), names(&first.held), first.amended), ("a".into(), "bc".into(), 0));
        assert_eq!(first.retired, [retire(&two), Retired { at: made().at, ..retire(&head) }]);
        let second = go(&first, &two);
        assert_eq!((names(&second.sources), names(&second.held), second.amended), ("ab".into(), "c".into(), 1));
        let third = go(&second, &head);
        assert_eq!((names(&third.sources), names(&third.held), third.version), ("abc".into(), String::new(), 6));
        assert!(third.retired.iter().all(|retired| retired.location != third.generation.location));
    }

    #[test]
    fn a_rollback_stands_until_it_goes_forward_to_the_newest_generation_again() {
        let [one, two, head] = three();
        let told = |version: &LedgerVersion| version.rolled_back.as_ref().map(|back| (back.from.number, back.to.number));
        let first = go(&head, &one);
        assert_eq!((told(&first), first.state().as_str()), (Some((3, 1)), "rolled back"));
        let second = go(&first, &two);
        assert_eq!(told(&second), Some((3, 2)), "half of the way");
        let third = go(&second, &head);
        assert_eq!((told(&third), third.state().as_str()), (None, "amended(2)"));

        // What was merged behind a rollback is rolled back too, and what it was merged behind is out again where it is gone forward to.
        let sources = vec![source("14", "a"), source("14", "d")];
        let retired = [first.retired.clone(), vec![retire(&one)]].concat();
        let on_top =
            LedgerVersion { retired, held: first.held.clone(), rolled_back: first.rolled_back.clone(), ..version("14", 5, sources) };
        let back = go(&on_top, &one);
        assert_eq!(told(&back), Some((5, 1)));
        assert_eq!(told(&go(&back, &head)), Some((5, 3)), "d is not there");
        assert_eq!(told(&go(&back, &on_top)), Some((3, 1)), "b and c are not there");
    }

    fn quarantined(mut version: LedgerVersion, of: u64) -> LedgerVersion {
        let id = GenerationId { number: of, ..version.generation.id.clone() };
        let files = vec![DataFile { name: "part-00000.parquet".into(), rows: 1, bytes: 9 }];
        version.quarantine = Some(Generation { location: format!("{QUARANTINE}hour=14/{id}/"), id, files });
        let last = version.sources.last_mut().unwrap();
        last.counts = Counts { read: 11, merged: 10, quarantined: 1, ..Counts::default() };
        version.counts = version.sources.iter().map(|source| source.counts).sum();
        version
    }

    #[test]
    fn the_quarantine_goes_with_the_rows() {
        let [one, two, head] = three();
        let (two, head) = (quarantined(two, 2), quarantined(head, 2));
        // The same quarantine was live all the time.
        let same = go(&head, &two);
        assert_eq!(same.quarantine, two.quarantine);
        assert!(same.retired.iter().all(|retired| !retired.location.starts_with(QUARANTINE)), "{:?}", same.retired);
        // Before it there was none.
        let none = go(&head, &one);
        let empty = none.quarantine.clone().unwrap();
        assert!(empty.files.is_empty() && empty.location.starts_with(QUARANTINE) && empty.location.contains("/g00000004-"), "{empty:?}");
        assert!(none.retired.iter().any(|retired| retired.location == head.quarantine.as_ref().unwrap().location));
        let forward = go(&none, &two);
        assert_eq!((&forward.quarantine, forward.counts.quarantined), (&two.quarantine, 1));
        assert!(forward.retired.iter().any(|retired| retired.location == empty.location));
    }
}
