//! The ledger of a partition: numbered, complete, immutable versions that say what the partition holds.

pub mod held;
pub mod store;
mod stored;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{self, GenerationId, PartitionId};
use crate::schema::Column;

/// The stored format that this version of lakebed writes; it reads this one and all before it.
pub const FORMAT: u32 = 4;

/// One version of a partition's ledger. The newest one alone says all there is to know of the partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerVersion {
    /// Format number of this file, see [`FORMAT`].
    pub format: u32,
    /// The table.
    pub table: TableName,
    /// The partition.
    pub partition: PartitionId,
    /// Counts from 1; each version follows the one before it without a gap.
    pub version: u64,
    /// ULID of the attempt that committed this version.
    pub attempt: String,
    /// ULID of the run that the attempt belongs to.
    pub run: String,
    /// The time the run was made for (`--at`), UTC.
    pub at: DateTime<Utc>,
    /// What made this version.
    pub operation: Operation,
    /// Of a repair: the rows that were there were written once more, and nothing that landed was read.
    #[serde(default, skip_serializing_if = "is_not")]
    pub from_merged: bool,
    /// The rollback that stands: what it took out is not there again. Versions behind it have it too, until one makes the partition anew from
    /// what landed, puts quarantined records into it, or takes it forward again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// The live files.
    pub generation: Generation,
    /// The files with the quarantined records of this partition; none while there has never been one.
    pub quarantine: Option<Generation>,
    /// The columns of the live files.
    pub columns: Vec<Column>,
    /// Fingerprint of the schema that the sources were standardized with.
    pub schema: String,
    /// All landed objects that are in this partition, ordered by key.
    pub sources: Vec<Source>,
    /// The sum over all sources.
    pub counts: Counts,
    /// Landed objects that a rollback took out of the partition, ordered by key, as they were counted in it. No run takes them in again;
    /// a repair does.
    #[serde(default)]
    pub held: Vec<Source>,
    /// How often objects came to the partition after its first merge.
    #[serde(default)]
    pub amended: u64,
    /// Landed objects that ought to be here and are not, or not wholly, with the reason.
    pub missing: Vec<Missing>,
    /// Generations that are no longer live and not yet swept, oldest first.
    pub retired: Vec<Retired>,
    /// The files, in their order, with the rows that this version took out for other partitions. Those after it do not list them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redriven: Vec<RedrivenFile>,
}

/// A rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolledBack {
    /// The newest generation that it went back from.
    pub from: GenerationId,
    /// The one that it went back to.
    pub to: GenerationId,
    /// When, UTC.
    pub at: DateTime<Utc>,
}

/// A file with rows that other partitions get, each as an object of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedrivenFile {
    /// File name in the folder below `redriven/` that the version's generation has.
    pub name: String,
    /// Key of the landed object whose records the rows were.
    pub object: String,
    /// Rows by partition.
    pub shares: BTreeMap<String, u64>,
}

/// What made a ledger version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// The first merge of the partition, or a version that only closes one that there was not.
    Create,
    /// Objects that came after the first merge.
    Amend,
    /// All of it made anew from what landed.
    Repair,
    /// All of it made anew from what landed, where rows have other places than before: they left other partitions, or went there.
    Move,
    /// Quarantined records that pass by now were moved into the table.
    Redrive,
    /// Back to a generation that was retired.
    Rollback,
    /// Retired generations were removed.
    Sweep,
}

/// A folder of immutable Parquet files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// Its name, which is also that of its folder.
    pub id: GenerationId,
    /// Absolute URL of the folder, with a trailing slash.
    pub location: String,
    /// Its files, in reading order.
    pub files: Vec<DataFile>,
}

/// One Parquet file of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFile {
    /// File name in the generation's folder.
    pub name: String,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

/// One landed object in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Key relative to the landing location.
    pub key: String,
    /// Its arrival hour.
    pub hour: Hour,
    /// The object's entity tag when it was found.
    pub etag: String,
    /// Its size as stored, bytes.
    pub size: u64,
    /// It came after the first merge of the partition.
    pub late: bool,
    /// What became of its records.
    pub counts: Counts,
    /// Why the whole object was set aside, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// When it came into the landing, by the store, UTC, as it was found when it was taken in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub came: Option<DateTime<Utc>>,
}

/// What became of the records of an object or of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Records found, broken ones included.
    pub read: u64,
    /// Rows in the live generation.
    pub merged: u64,
    /// Records in the quarantine.
    pub quarantined: u64,
    /// Records left out because an earlier one is the same event.
    pub duplicates: u64,
    /// Records left out by an explicit rule.
    pub dropped: u64,
    /// Of all these, records that were in the quarantine until a redrive; it goes on listing them, as resolved.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resolved: u64,
    /// Records whose rows belong to other partitions, which have them as objects of their own: resolved ones, and where rows scatter those of
    /// Firehose's error objects.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub moved: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
fn is_not(flag: &bool) -> bool {
    !*flag
}

/// A landed object that is not in the partition, or not wholly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Key relative to the landing location.
    pub key: String,
    /// Why.
    pub reason: String,
}

impl RolledBack {
    /// It for people.
    pub fn to_text(&self) -> String {
        let Self { from, to, .. } = self;
        let undone = "a repair does, a redrive that resolves something, or a rollback forward again; `lakebed history` shows what there is";
        format!("it was rolled back from {from} to {to}, which no run undoes: {undone}")
    }
}

/// A generation that was live once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retired {
    /// Absolute URL of its folder.
    pub location: String,
    /// Its files.
    pub files: Vec<DataFile>,
    /// The `at` of the version that retired it, UTC.
    pub at: DateTime<Utc>,
}

impl Counts {
    /// True if every record read is accounted for exactly once (promise P1).
    pub fn balance(&self) -> bool {
        self.read == self.merged + self.quarantined + self.duplicates + self.dropped + self.moved
    }
}

impl std::iter::Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            read: a.read + b.read,
            merged: a.merged + b.merged,
            quarantined: a.quarantined + b.quarantined,
            duplicates: a.duplicates + b.duplicates,
            dropped: a.dropped + b.dropped,
            resolved: a.resolved + b.resolved,
            moved: a.moved + b.moved,
        })
    }
}

impl Generation {
    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The absolute URLs of its files, in reading order.
    pub fn urls(&self) -> impl Iterator<Item = String> + '_ {
        self.files.iter().map(|file| format!("{}{}", self.location, file.name))
    }
}

impl LedgerVersion {
    /// True if every landed object of the partition that is known is wholly in it: none is missing, and no rollback took one out.
    pub fn complete(&self) -> bool {
        self.missing.is_empty() && self.held.is_empty()
    }

    /// True if nothing was ever in the partition: its first version was made so that nobody could commit behind what was read before it.
    /// Such a partition is neither shown nor told of.
    pub fn is_void(&self) -> bool {
        let Self { generation, quarantine, sources, held, missing, .. } = self;
        let has_none = sources.is_empty() && held.is_empty() && missing.is_empty() && quarantine.is_none();
        has_none && generation.files.is_empty() && generation.id.number == 1
    }

    /// True if this may be the version with which a repair that moves rows closed the partition: then nobody but the repair commits the next.
    pub fn may_close(&self) -> bool {
        self.operation == Operation::Sweep || self.is_void()
    }

    /// The source of that key.
    pub fn source(&self, key: &str) -> Option<&Source> {
        of_key(&self.sources, key)
    }

    /// The object of that key, if a rollback took it out.
    pub fn held(&self, key: &str) -> Option<&Source> {
        of_key(&self.held, key)
    }

    /// Checks this version against the one it follows, before it is written.
    ///
    /// | what | must hold |
    /// |---|---|
    /// | number | previous + 1, or 1 |
    /// | table, partition | the same as before |
    /// | sources, held | ordered by key, each once; none of the previous ones lost, unless rows move to other partitions: then the intakes say where they are |
    /// | create | it is the first, or the one before it only closed the partition |
    /// | rollback | the generation is one that the previous version retired |
    /// | sweep | nothing changes but what is retired |
    /// | redrive | the sources stay, with as many records as before; what one has no longer in quarantine is resolved |
    /// | moved | what other partitions have since a redrive stays theirs; the files with what this version moves hold as many rows |
    /// | counts | each source balances; the sum is the total (P1) |
    /// | rows | the files of the generation hold `merged` rows, those of the quarantine those that are in quarantine and those that are resolved |
    ///
    /// # Errors
    /// `Internal`, naming what does not hold; nothing may be written then.
    pub fn check(&self, previous: Option<&Self>) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::internal(format!(
                "{} {}: refused to commit version {}: {what}; nothing was changed, please report this",
                self.table, self.partition, self.version
            )))
        };
        if self.version != previous.map_or(1, |p| p.version + 1) {
            return refuse("it does not follow the version before it".into());
        }
        if let Some(previous) = previous {
            if (&self.table, &self.partition) != (&previous.table, &previous.partition) {
                return refuse("it is about another partition".into());
            }
            let known = |source: &&Source| self.source(&source.key).or(self.held(&source.key)).is_some();
            let is_lost = |source: &&Source| self.operation != Operation::Move && !known(source);
            if let Some(lost) = previous.sources.iter().chain(&previous.held).find(is_lost) {
                return refuse(format!("object {} would be lost", lost.key));
            }
            if let Some(what) = self.breaks(previous) {
                return refuse(what.into());
            }
        }
        let once = |sources: &[Source]| sources.is_sorted_by(|a, b| a.key < b.key);
        if !once(&self.sources) || !once(&self.held) || self.held.iter().any(|held| self.source(&held.key).is_some()) {
            return refuse("an object is in it twice".into());
        }
        if let Some(source) = self.sources.iter().find(|source| !source.counts.balance()) {
            return refuse(format!("the records of {} do not add up: {:?}", source.key, source.counts));
        }
        if self.sources.iter().map(|source| source.counts).sum::<Counts>() != self.counts {
            return refuse("the sources do not add up to the total".into());
        }
        let moves = self.counts.moved.saturating_sub(previous.map_or(0, |previous| previous.counts.moved));
        let is_named = |(index, file): (usize, &RedrivenFile)| file.name == layout::part_file(index);
        if self.redriven.iter().flat_map(|file| file.shares.values()).sum::<u64>() != moves
            || !self.redriven.iter().enumerate().all(is_named)
        {
            return refuse(format!(
                "it moves {moves} records to other partitions, and its files for them hold others: {:?}",
                self.redriven
            ));
        }
        let quarantined = self.quarantine.as_ref().map_or(0, Generation::rows);
        if (self.generation.rows(), quarantined) != (self.counts.merged, self.counts.quarantined + self.counts.resolved) {
            return refuse(format!("its files hold {} rows and {quarantined} quarantined, not {:?}", self.generation.rows(), self.counts));
        }
        Ok(())
    }

    /// What this version does to the one before it that its operation must not do.
    fn breaks(&self, previous: &Self) -> Option<&'static str> {
        let kept = |version: &Self| {
            let of = |Source { key, counts, .. }: &Source| (key.clone(), counts.read, counts.quarantined + counts.resolved);
            version.sources.iter().map(of).collect::<Vec<_>>()
        };
        let unresolved = |source: &Source| previous.source(&source.key).is_some_and(|old| old.counts.resolved > source.counts.resolved);
        // Other partitions have these rows: whoever takes them back into the quarantine would have them twice after the next redrive.
        let brings_back = self.operation != Operation::Move && self.counts.moved < previous.counts.moved;
        match self.operation {
            Operation::Create if !previous.is_void() => Some("the partition was created before"),
            _ if brings_back => Some("it takes back records that other partitions have"),
            Operation::Rollback if previous.retired.iter().all(|retired| retired.location != self.generation.location) => {
                Some("it goes back to a generation that was not retired")
            }
            Operation::Redrive if kept(self) != kept(previous) => Some("a redrive changes what was read"),
            Operation::Redrive if self.sources.iter().any(unresolved) => Some("a redrive takes back what was resolved"),
            Operation::Sweep => {
                let Self { version, attempt, run, at, operation, from_merged, retired, .. } = previous.clone();
                let (redriven, format) = (previous.redriven.clone(), previous.format);
                let same = Self { version, attempt, run, at, operation, from_merged, retired, redriven, format, ..self.clone() };
                let shrinks = self.retired.iter().all(|retired| previous.retired.contains(retired));
                (same != *previous || !shrinks).then_some("a sweep changes more than what is retired")
            }
            _ => None,
        }
    }

    /// The version behind this one that changes nothing but what is retired.
    pub fn swept(&self, retired: Vec<Retired>, attempt: String, run: String, at: DateTime<Utc>) -> Self {
        let (version, operation, from_merged) = (self.version + 1, Operation::Sweep, false);
        Self { format: FORMAT, version, attempt, run, at, operation, from_merged, retired, redriven: Vec::new(), ..self.clone() }
    }
}

fn of_key<'s>(sources: &'s [Source], key: &str) -> Option<&'s Source> {
    sources.binary_search_by(|source| source.key.as_str().cmp(key)).ok().map(|index| &sources[index])
}

#[cfg(test)]
mod tests {
    use super::testing::{empty, source, version};
    use super::*;

    fn counted(name: &str, counts: Counts) -> Source {
        Source { counts, ..source("14", name) }
    }

    /// A version with so many rows in its quarantine.
    fn quarantined(number: u64, rows: u64, operation: Operation, sources: Vec<Source>) -> LedgerVersion {
        let version = version("14", number, sources);
        let files = vec![DataFile { name: "part-00000.parquet".into(), rows, bytes: 9 }];
        let quarantine = Generation { location: "file:///state/quarantine/".into(), files, ..version.generation.clone() };
        LedgerVersion { quarantine: Some(quarantine), operation, ..version }
    }

    #[test]
    fn a_redrive_moves_records_and_neither_finds_nor_loses_one() {
        let first = Counts { read: 10, merged: 6, quarantined: 4, ..Counts::default() };
        let moved = Counts { merged: 7, duplicates: 1, quarantined: 2, resolved: 2, ..first };
        let one = quarantined(1, 4, Operation::Create, vec![counted("a", first)]);
        one.check(None).unwrap();
        let two = quarantined(2, 4, Operation::Redrive, vec![counted("a", moved)]);
        two.check(Some(&one)).unwrap();
        let refused = |rows, counts, more: Vec<Source>| {
            let next = quarantined(3, rows, Operation::Redrive, [vec![counted("a", counts)], more].concat());
            next.check(Some(&two)).unwrap_err().to_string()
        };
        let lost = Counts { quarantined: 1, resolved: 2, merged: 8, ..moved };
        let found = Counts { read: 11, quarantined: 3, ..moved };
        let back = Counts { merged: 6, quarantined: 3, resolved: 1, ..moved };
        for (rows, counts, more, says) in [
            (2, moved, vec![], "its files hold 7 rows and 2 quarantined"),
            (3, lost, vec![], "a redrive changes what was read"),
            (5, found, vec![], "a redrive changes what was read"),
            (4, moved, vec![source("14", "b")], "a redrive changes what was read"),
            (4, back, vec![], "a redrive takes back what was resolved"),
        ] {
            let told = refused(rows, counts, more);
            assert!(told.contains(says), "{says}: {told}");
        }
    }

    #[test]
    fn what_other_partitions_have_since_a_redrive_stays_theirs() {
        let moved = Counts { read: 10, merged: 6, quarantined: 1, resolved: 3, moved: 3, ..Counts::default() };
        let one = quarantined(1, 4, Operation::Redrive, vec![counted("a", moved)]);
        let file = |rows: u64| {
            let shares = [(super::testing::partition("13").to_string(), rows)].into();
            vec![RedrivenFile { name: "part-00000.parquet".into(), object: "14/a".into(), shares }]
        };
        for operation in [Operation::Repair, Operation::Redrive, Operation::Amend] {
            let back = quarantined(2, 4, operation, vec![counted("a", Counts { quarantined: 2, moved: 2, ..moved })]);
            assert!(back.check(Some(&one)).unwrap_err().to_string().contains("takes back records that other partitions have"));
            let next = quarantined(2, 4, operation, vec![counted("a", Counts { quarantined: 0, resolved: 4, moved: 4, ..moved })]);
            LedgerVersion { redriven: file(1), ..next.clone() }.check(Some(&one)).unwrap();
            let misnamed = vec![RedrivenFile { name: "part-00001.parquet".into(), ..file(1).remove(0) }];
            for redriven in [vec![], file(2), misnamed] {
                let told = LedgerVersion { redriven, ..next.clone() }.check(Some(&one)).unwrap_err().to_string();
                assert!(told.contains("it moves 1 records to other partitions, and its files for them hold others"), "{told}");
            }
        }
        let named = LedgerVersion { redriven: file(3), ..one };
        named.check(None).unwrap();
        let swept = named.swept(vec![], "01J00000000000000000000009".into(), named.run.clone(), named.at);
        assert_eq!(swept.redriven, vec![], "those after it do not list them");
        swept.check(Some(&named)).unwrap();
    }

    #[test]
    fn only_a_repair_that_moves_rows_leaves_an_object_out() {
        let one = version("14", 1, vec![source("14", "a"), source("14", "b")]);
        for operation in [Operation::Repair, Operation::Redrive, Operation::Amend, Operation::Rollback] {
            let next = LedgerVersion { operation, ..version("14", 2, vec![source("14", "a")]) };
            assert!(next.check(Some(&one)).unwrap_err().to_string().contains("object 14/b would be lost"));
        }
        LedgerVersion { operation: Operation::Move, ..version("14", 2, vec![source("14", "a")]) }.check(Some(&one)).unwrap();
    }

    #[test]
    fn what_closes_a_partition_changes_nothing_in_it_and_is_void_if_there_was_none() {
        let void = empty("14", 1);
        let swept = |of: &LedgerVersion| of.swept(vec![], "01J00000000000000000000009".into(), of.run.clone(), of.at);
        let full = version("14", 1, vec![source("14", "a")]);
        let unread = LedgerVersion { missing: vec![Missing { key: "14/a".into(), reason: "gone".into() }], ..void.clone() };
        let emptied = empty("14", 3);
        for (made, is_void, may_close) in [
            (&void, true, true),
            (&swept(&void), true, true),
            (&full, false, false),
            (&swept(&full), false, true),
            (&unread, false, false),
            (&emptied, false, false),
        ] {
            assert_eq!((made.is_void(), made.may_close()), (is_void, may_close), "{made:?}");
            let first = LedgerVersion { operation: Operation::Create, ..version("14", made.version + 1, made.sources.clone()) };
            assert_eq!(first.check(Some(made)).is_ok(), is_void, "the partition is created once: {made:?}");
        }
    }

    #[test]
    fn versions_without_resolved_records_are_stored_as_before() {
        let stored = |counts| String::from_utf8(version("14", 1, vec![counted("a", counts)]).to_json()).unwrap();
        let plain = Counts { read: 1, merged: 1, ..Counts::default() };
        assert!(!stored(plain).contains("resolved"));
        let text = stored(Counts { resolved: 1, ..plain });
        assert!(text.contains("\"resolved\": 1"), "{text}");
        assert_eq!(LedgerVersion::from_json(text.as_bytes(), "k").unwrap().counts.resolved, 1);
    }
}
