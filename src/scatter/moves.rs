//! A repair that moves rows between partitions, as it is written down: what it makes of every partition, and how far that is. No I/O.

pub mod end;
pub mod log;

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::intake::{Intake, Taken};
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::{Counts, Generation, LedgerVersion, Operation};

/// The stored format that this version of lakebed writes; it reads this one and all before it.
pub const FORMAT: u32 = 1;

/// One version of what is written down of a table's moves. The newest one alone says whether one is open, and all that ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Format number of this file, see [`FORMAT`].
    pub format: u32,
    /// The table.
    pub table: TableName,
    /// Counts from 1; each version follows the one before it without a gap, over all moves of the table.
    pub version: u64,
    /// ULID of the attempt that committed this version, which may be somebody else's than the repair's.
    pub attempt: String,
    /// ULID of the move.
    pub id: String,
    /// ULID of the repair.
    pub run: String,
    /// When the repair was made, UTC.
    pub at: DateTime<Utc>,
    /// How far it is.
    pub state: State,
    /// What becomes of the partitions; of a move that is over nothing is told.
    pub partitions: Vec<Anew>,
    /// What becomes of the objects whose rows move.
    pub objects: Vec<Moved>,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All files are there. The partitions are being closed against other commits.
    Begun,
    /// It counts: whoever comes makes it so.
    Decided,
    /// It does not count: something else was committed to one of the partitions. Whoever comes takes back what is written down of it.
    Undone,
    /// Nothing is left to be done.
    Over,
}

/// A partition that is made anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anew {
    /// ULID of the version that closes it: the one before `version`, in which nothing changes.
    pub closed_by: String,
    /// The version that it gets.
    pub version: LedgerVersion,
}

/// An object whose rows get other places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// Its arrival hour.
    pub hour: Hour,
    /// What the hour's intake says of it.
    pub before: Taken,
    /// What it is to say.
    pub now: Taken,
}

impl Anew {
    /// The number of the version that is read before all others: what the partition is made anew of. 0 if there is none.
    pub fn previous(&self) -> u64 {
        self.version.version.saturating_sub(2)
    }

    /// The version that closes the partition: whoever read `previous`, and wants to create the version behind it, cannot. A partition
    /// that there was not yet is empty.
    pub fn closing(&self, previous: Option<&LedgerVersion>) -> LedgerVersion {
        let LedgerVersion { run, at, .. } = &self.version;
        if let Some(previous) = previous {
            return previous.swept(previous.retired.clone(), self.closed_by.clone(), run.clone(), *at);
        }
        let id = GenerationId { number: 1, attempt: self.closed_by.clone() };
        let folder = self.version.generation.location.trim_end_matches('/').rsplit_once('/').map_or("", |(folder, _)| folder);
        let generation = Generation { location: format!("{folder}/{id}/"), id, files: Vec::new() };
        LedgerVersion {
            version: 1,
            attempt: self.closed_by.clone(),
            operation: Operation::Create,
            from_merged: false,
            rolled_back: None,
            generation,
            quarantine: None,
            sources: Vec::new(),
            counts: Counts::default(),
            held: Vec::new(),
            missing: Vec::new(),
            retired: Vec::new(),
            ..self.version.clone()
        }
    }
}

impl Move {
    /// True until nothing is left to be done.
    pub fn is_open(&self) -> bool {
        self.state != State::Over
    }

    /// True if it is open and makes the partition anew: nobody else commits anything to it until then.
    pub fn names(&self, partition: &PartitionId) -> bool {
        self.is_open() && self.partitions.iter().any(|anew| anew.version.partition == *partition)
    }

    /// The partitions that it makes anew.
    pub fn made_anew(&self) -> Vec<PartitionId> {
        self.partitions.iter().map(|anew| anew.version.partition.clone()).collect()
    }

    /// The arrival hours of the objects whose rows move.
    pub fn hours(&self) -> BTreeSet<Hour> {
        self.objects.iter().map(|object| object.hour).collect()
    }

    /// The version that follows, with the move in another state.
    pub fn then(&self, state: State, attempt: String) -> Self {
        let mut next = Self { format: FORMAT, version: self.version + 1, state, attempt, ..self.clone() };
        if state == State::Over {
            next.partitions.clear();
            next.objects.clear();
        }
        next
    }

    /// The objects of an intake, in which those whose rows move are said to be moving; `None` if it says something else of one than it did.
    pub fn marked(&self, intake: &Intake) -> Option<Vec<Taken>> {
        let (ours, mut objects) = (self.of(intake.hour), intake.objects.clone());
        for moved in ours {
            let there = objects.iter_mut().find(|taken| taken.key == moved.before.key)?;
            let marked = self.mark(&moved.before);
            if *there != moved.before && *there != marked {
                return None;
            }
            *there = marked;
        }
        Some(objects)
    }

    /// The objects of an intake, in which those that are moving have their new places.
    pub fn placed(&self, intake: &Intake) -> Vec<Taken> {
        self.instead(intake, |moved| &moved.now)
    }

    /// The objects of an intake, in which those that are moving stay where they were.
    pub fn restored(&self, intake: &Intake) -> Vec<Taken> {
        self.instead(intake, |moved| &moved.before)
    }

    fn instead(&self, intake: &Intake, then: impl Fn(&Moved) -> &Taken) -> Vec<Taken> {
        let ours: Vec<&Moved> = self.of(intake.hour).collect();
        let instead = |taken: &Taken| {
            let moved = ours.iter().find(|moved| moved.before.key == taken.key && *taken == self.mark(&moved.before));
            moved.map_or(taken, |moved| then(moved)).clone()
        };
        intake.objects.iter().map(instead).collect()
    }

    fn of(&self, hour: Hour) -> impl Iterator<Item = &Moved> {
        self.objects.iter().filter(move |object| object.hour == hour)
    }

    fn mark(&self, before: &Taken) -> Taken {
        Taken { moving: Some(self.id.clone()), ..before.clone() }
    }

    /// Checks this version against the one it follows, before it is written.
    ///
    /// | what | must hold |
    /// |---|---|
    /// | number | previous + 1, or 1 |
    /// | state | begun where none is open, then decided or undone, then over |
    /// | partitions, objects | those that it was begun with, until it is over |
    /// | each partition | once, with a version that moves rows and has one before it that closes the partition |
    /// | each object | done before and after |
    /// | records | of an object whose rows move, the partitions have in all what was read, each its share (P1) |
    ///
    /// # Errors
    /// `Internal`, naming what does not hold; nothing may be written then.
    pub fn check(&self, previous: Option<&Self>) -> Result<()> {
        let refuse = |what: &str| {
            Err(Error::internal(format!(
                "{}: refused to write down a move of rows, version {}: {what}; nothing was changed, please report this",
                self.table, self.version
            )))
        };
        if self.version != previous.map_or(1, |previous| previous.version + 1) {
            return refuse("it does not follow the version before it");
        }
        match (previous.map_or(State::Over, |previous| previous.state), self.state) {
            (State::Over, State::Begun) => {}
            (State::Begun, State::Decided | State::Undone) => {
                let same =
                    |one: &Self, other: &Self| (&one.id, &one.partitions, &one.objects) == (&other.id, &other.partitions, &other.objects);
                return if previous.is_some_and(|previous| same(previous, self)) { Ok(()) } else { refuse("it is another move") };
            }
            (State::Decided | State::Undone, State::Over) => return Ok(()),
            _ => return refuse("it is not in that state"),
        }
        let partitions: BTreeSet<&PartitionId> = self.partitions.iter().map(|anew| &anew.version.partition).collect();
        let makes = |anew: &Anew| anew.version.operation == Operation::Move && anew.version.version > 1 && anew.version.table == self.table;
        if partitions.len() != self.partitions.len() || !self.partitions.iter().all(makes) {
            return refuse("a partition is not made anew by it");
        }
        let ends = |moved: &Moved| {
            let Moved { before, now, .. } = moved;
            before.key == now.key && before.done && now.done && before.moving.is_none() && now.moving.is_none()
        };
        if !self.objects.iter().all(ends) {
            return refuse("an object is not taken in wholly");
        }
        if let Some(lost) = self.objects.iter().find(|moved| !self.adds_up(&moved.now)) {
            return refuse(&format!("the records of {} do not add up", lost.now.key));
        }
        Ok(())
    }

    /// Checks the versions that the partitions get behind the `head` of each, as it is done once more when they are created: by then the move is
    /// decided, and nobody could take it back.
    ///
    /// # Errors
    /// `Internal`, naming what does not hold; nothing may be written then.
    pub fn check_versions<'h>(&self, head: impl Fn(&PartitionId) -> Option<&'h LedgerVersion>) -> Result<()> {
        for anew in &self.partitions {
            let (version, before) = (&anew.version, head(&anew.version.partition));
            let closing = anew.closing(before);
            closing.check(before)?;
            version.check(Some(&closing))?;
            let is_moved = |key: &str| self.objects.iter().any(|moved| moved.now.key == key);
            // What a redrive made of an object is read where that landed: with its rows that move, or with the error object.
            let reads = |key: &str| is_moved(key) || self.partitions.iter().any(|anew| anew.version.source(key).is_some());
            let moves = |key: &str| is_moved(key) || layout::parse_redriven_key(key).is_some_and(reads);
            let has = |key: &str| version.source(key).is_some() || version.held.iter().any(|held| held.key == key);
            let mut known = before.iter().flat_map(|before| before.sources.iter().chain(&before.held));
            if let Some(lost) = known.find(|source| !has(&source.key) && !moves(&source.key)) {
                let (table, partition) = (&self.table, &version.partition);
                return Err(Error::internal(format!(
                    "{table} {partition}: a move of rows would lose object {}; nothing was changed, please report this",
                    lost.key
                )));
            }
        }
        Ok(())
    }

    /// True if exactly the partitions that get something of an object have their shares of it.
    fn adds_up(&self, now: &Taken) -> bool {
        let has = |anew: &Anew| anew.version.source(&now.key).map(|source| source.counts.read);
        let all = self.partitions.iter().all(|anew| has(anew) == now.records(&anew.version.partition));
        all && now.shares.len() == self.partitions.iter().filter(|anew| has(anew).is_some()).count()
    }

    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a move has only text keys")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Data` if it is none, `Config` if it is of a newer format than [`FORMAT`].
    pub fn from_json(bytes: &[u8], key: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken =
            |e: serde_json::Error| Error::data(format!("{key} cannot be read: {e}; restore it from a backup of the state location"));
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.format > FORMAT {
            return Err(Error::config(format!("{key} has format {}, this lakebed reads up to {FORMAT}; update lakebed", head.format)));
        }
        serde_json::from_slice(bytes).map_err(broken)
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::ledger::Source;
    use crate::ledger::testing::{partition, source, version};
    use crate::scatter::intake::tests::taken as taken_in;

    fn taken(hour: &str, rows: u64) -> Taken {
        Taken { placement: hour.into(), ..taken_in("a", &[(hour, rows)], 0, true) }
    }

    fn anew(hour: &str, sources: Vec<Source>) -> Anew {
        let closed_by = "01J00000000000000000000009".to_string();
        Anew { closed_by, version: LedgerVersion { operation: Operation::Move, ..version(hour, 3, sources) } }
    }

    /// All ten rows of an object go from 12 to 13.
    fn begun() -> Move {
        let one = version("12", 1, vec![]);
        Move {
            format: FORMAT,
            table: one.table,
            version: 1,
            attempt: one.attempt.clone(),
            id: one.attempt,
            run: one.run,
            at: one.at,
            state: State::Begun,
            partitions: vec![anew("12", vec![]), anew("13", vec![source("14", "a")])],
            objects: vec![Moved { hour: "2026-11-19T14".parse().unwrap(), before: taken("12", 10), now: taken("13", 10) }],
        }
    }

    fn intake(objects: Vec<Taken>) -> Intake {
        let Move { table, attempt, run, at, objects: moved, .. } = begun();
        Intake { format: 2, table, hour: moved[0].hour, version: 1, attempt, run, at, objects }
    }

    #[test]
    fn a_move_is_begun_then_decided_or_undone_and_then_over() {
        let begun = begun();
        begun.check(None).unwrap();
        for state in [State::Decided, State::Undone] {
            let next = begun.then(state, "next".into());
            next.check(Some(&begun)).unwrap();
            let over = next.then(State::Over, "over".into());
            over.check(Some(&next)).unwrap();
            assert!(next.names(&partition("12")) && !next.names(&partition("14")) && !over.names(&partition("12")) && !over.is_open());
            Move { version: 4, ..begun.clone() }.check(Some(&over)).unwrap();
            assert!(begun.then(State::Over, "over".into()).check(Some(&begun)).is_err() && next.check(Some(&over)).is_err());
            assert!(Move { version: 2, ..begun.clone() }.check(Some(&begun)).is_err(), "one is open");
            assert!(Move { id: "other".into(), ..next }.check(Some(&begun)).is_err());
        }
    }

    #[test]
    fn rows_that_would_be_lost_or_doubled_are_refused() {
        let refused = |change: &dyn Fn(&mut Move), expected: &str| {
            let mut wrong = begun();
            change(&mut wrong);
            let told = wrong.check(None).unwrap_err().to_string();
            assert!(told.contains(expected), "{told}");
        };
        refused(&|wrong| wrong.partitions[0].version.sources = vec![source("14", "a")], "the records of 14/a do not add up");
        refused(&|wrong| drop(wrong.partitions.pop()), "the records of 14/a do not add up");
        refused(&|wrong| wrong.partitions[1].version.sources.clear(), "the records of 14/a do not add up");
        refused(&|wrong| wrong.partitions[1] = wrong.partitions[0].clone(), "a partition is not made anew by it");
        refused(&|wrong| wrong.objects[0].before.done = false, "an object is not taken in wholly");
    }

    #[test]
    fn what_an_intake_says_meanwhile_and_then() {
        let begun = begun();
        let other = Taken { key: "14/b".into(), ..taken("12", 3) };
        let known = intake(vec![taken("12", 10), other.clone()]);
        let marked = begun.marked(&known).unwrap();
        assert_eq!((marked[0].moving.as_ref(), &marked[1]), (Some(&begun.id), &other));
        let marked = intake(marked);
        assert_eq!(begun.marked(&marked).unwrap(), marked.objects, "it is done once");
        assert_eq!(begun.placed(&marked), [taken("13", 10), other.clone()]);
        assert_eq!(begun.restored(&marked), known.objects);
        assert_eq!(begun.placed(&known), known.objects, "nothing is placed that is not moving");
        assert_eq!(begun.marked(&intake(vec![Taken { etag: "f".into(), ..taken("12", 10) }, other.clone()])), None);
        assert_eq!(begun.marked(&intake(vec![other])), None);
    }

    #[test]
    fn a_partition_is_closed_by_a_version_in_which_nothing_changes() {
        let anew = anew("13", vec![source("14", "a")]);
        let previous = version("13", 1, vec![source("14", "a")]);
        let closing = anew.closing(Some(&previous));
        closing.check(Some(&previous)).unwrap();
        anew.version.check(Some(&closing)).unwrap();
        assert_eq!((&closing.sources, &closing.generation), (&previous.sources, &previous.generation));
        let first = Anew { version: LedgerVersion { version: 2, ..anew.version.clone() }, ..anew };
        let closing = first.closing(None);
        closing.check(None).unwrap();
        first.version.check(Some(&closing)).unwrap();
        assert_eq!((first.previous(), closing.generation.files.len(), closing.sources.len()), (0, 0, 0));
        let sibling = |version: &LedgerVersion| version.generation.location.rsplit_once("/g").unwrap().0.to_string();
        assert_eq!(sibling(&closing), sibling(&first.version));
    }
}
