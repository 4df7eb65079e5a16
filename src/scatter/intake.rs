//! What was taken in of an arrival hour whose rows scatter: a numbered, complete, immutable version. No I/O.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::{LedgerVersion, Source};

/// The stored format that this version of lakebed writes; it reads this one and all before it.
pub const FORMAT: u32 = 2;

/// One version of what was taken in of an arrival hour. The newest one alone says all there is to know of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intake {
    /// Format number of this file, see [`FORMAT`].
    pub format: u32,
    /// The table.
    pub table: TableName,
    /// The arrival hour, UTC.
    pub hour: Hour,
    /// Counts from 1; each version follows the one before it without a gap.
    pub version: u64,
    /// ULID of the attempt that committed this version.
    pub attempt: String,
    /// ULID of the run that the attempt belongs to.
    pub run: String,
    /// The time the run was made for (`--at`), UTC.
    pub at: DateTime<Utc>,
    /// Landed objects of the hour, ordered by key.
    pub objects: Vec<Taken>,
}

/// A landed object, and what each partition gets of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// Key relative to the landing location.
    pub key: String,
    /// The object's entity tag when it was found.
    pub etag: String,
    /// Its size as stored, bytes.
    pub size: u64,
    /// Records found, broken ones included.
    pub read: u64,
    /// Records that were rejected.
    pub rejected: u64,
    /// Records that are none for the table, by the format's own rule.
    pub dropped: u64,
    /// Rows that have no time, or one that cannot be theirs; they are in the partition of the arrival hour.
    pub untimed: u64,
    /// Rows by partition, of all partitions whose ledgers name the object.
    pub shares: BTreeMap<String, u64>,
    /// A hash of which row belongs where.
    pub placement: String,
    /// The partition of the arrival hour, where the records that became no rows count.
    pub home: PartitionId,
    /// The key that its staged file has, or would have: it names the content, the columns and the rules that the shares are of.
    pub staged: String,
    /// Why the whole object was set aside, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<String>,
    /// `[lake] memory` of the run that read it, bytes: of what is not staged, it decides which records are too large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
    /// ULID of whoever withdrew it, because its rows have other places by now: no partition gets its share until it is entered anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<String>,
    /// It is done, and this is the id of the repair that is giving its rows other places: until that ends, nothing of this entry changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<String>,
    /// Every partition has its share.
    pub done: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Taken {
    /// True if the landed object is this one, with this content.
    pub fn is(&self, object: &LandedObject) -> bool {
        (&self.key, &self.etag, self.size) == (&object.key, &object.etag, object.size)
    }

    /// True if each record of the object has the same place in both.
    pub fn places_as(&self, other: &Self) -> bool {
        let places = |taken: &Self| (taken.read, taken.rejected, taken.dropped, taken.shares.clone(), taken.placement.clone());
        (&self.etag, self.size, &self.home) == (&other.etag, other.size, &other.home) && places(self) == places(other)
    }

    /// True if a partition may take in its share of `begun` under this entry, which is the newest of that object.
    pub fn lets(&self, begun: &Self) -> bool {
        self.withdrawn.is_none() && self.moving.is_none() && self.places_as(begun)
    }

    /// The object as it was when it was taken in, but for the values of its path.
    pub fn landed(&self, hour: Hour) -> LandedObject {
        let Self { key, etag, size, .. } = self.clone();
        LandedObject { key, etag, size, hour, path_values: BTreeMap::new(), came: None }
    }

    /// The partitions that get a share.
    ///
    /// # Errors
    /// `Data` if a partition cannot be read.
    pub fn partitions(&self) -> Result<Vec<PartitionId>> {
        self.shares.keys().map(|path| path.parse()).collect()
    }

    /// Records that count in a partition: its rows, and in that of the arrival hour what became no rows. `None` if it gets none.
    pub fn records(&self, partition: &PartitionId) -> Option<u64> {
        let rows = self.shares.get(&partition.to_string())?;
        Some(rows + if *partition == self.home { self.rejected + self.dropped } else { 0 })
    }

    /// What keeps the object from being done: a partition that does not have its share. `heads` are the newest versions.
    ///
    /// # Errors
    /// `Data` if a partition holds something else of the object than its share.
    pub fn lacks(&self, heads: &BTreeMap<PartitionId, LedgerVersion>) -> Result<Option<PartitionId>> {
        for partition in self.partitions()? {
            let Some(source) = heads.get(&partition).and_then(|head| self.had_by(head)) else { return Ok(Some(partition)) };
            let records = self.records(&partition).unwrap_or_default();
            if (&source.etag, source.size, source.counts.read) != (&self.etag, self.size, records) {
                return Err(Error::data(format!(
                    "{partition} holds {} records of object {}, and its share is {records}: it was taken in under other rules, or with other \
                     content; put back the rules or the content that it had, and run again",
                    source.counts.read, self.key
                )));
            }
        }
        Ok(None)
    }

    /// True if a partition has its share.
    pub fn is_begun(&self, heads: &BTreeMap<PartitionId, LedgerVersion>) -> Result<bool> {
        Ok(self.partitions()?.iter().any(|partition| heads.get(partition).is_some_and(|head| self.had_by(head).is_some())))
    }

    /// What a partition has of the object. That another content of it was set aside there is nothing.
    fn had_by<'h>(&self, head: &'h LedgerVersion) -> Option<&'h Source> {
        let aside = |source: &Source| source.rejected.is_some() && (&source.etag, source.size) != (&self.etag, self.size);
        of_object(head, &self.key).filter(|source| !aside(source))
    }

    /// Why this cannot follow what was known of the object before.
    fn breaks(&self, before: &Self) -> Option<&'static str> {
        let same =
            Self { done: before.done, withdrawn: before.withdrawn.clone(), moving: before.moving.clone(), ..self.clone() } == *before;
        // A redrive took records of it in.
        let came_in = Self { set_aside: before.set_aside.clone(), ..self.clone() } == *before && self.set_aside.is_none();
        match (before.done, self.done) {
            _ if self.moving.is_some() && !(self.done && before.done && same) => Some("is moved and would be changed"),
            _ if before.moving.is_some() && self.moving.is_some() && before.moving != self.moving => Some("is moved by another repair"),
            (_, false) if before.moving.is_some() => Some("is moved and would be taken in again"),
            // What it is then, the repair found out.
            (_, true) if before.moving.is_some() && self.moving.is_none() => None,
            (_, true) if self.withdrawn.is_some() => Some("is done and withdrawn"),
            (false, false) if before.withdrawn.is_none() && !self.places_as(before) => {
                Some("would be moved while partitions may be taking it in")
            }
            (true, true) if !same && !came_in => Some("is done and would be changed"),
            (true, false) if before.set_aside.is_none() => Some("is done and would be taken in again"),
            (false, true) if !same => Some("is done otherwise than it was begun"),
            _ => None,
        }
    }
}

/// What a partition has of an object, be it taken out by a rollback.
pub fn of_object<'h>(head: &'h LedgerVersion, key: &str) -> Option<&'h Source> {
    head.source(key).or(head.held(key))
}

impl Intake {
    /// The object of that key.
    pub fn object(&self, key: &str) -> Option<&Taken> {
        self.objects.binary_search_by(|object| object.key.as_str().cmp(key)).ok().map(|index| &self.objects[index])
    }

    /// Checks this version against the one it follows, before it is written.
    ///
    /// | what | must hold |
    /// |---|---|
    /// | number | previous + 1, or 1 |
    /// | table, hour | the same as before |
    /// | objects | ordered by key, each once; none of the previous ones lost |
    /// | done | an object that is done stays as it is, unless it was set aside as a whole and is no more, or is read again; what is done is as it was begun |
    /// | begun | its rows get other places only after it was withdrawn |
    /// | moving | what is done gets other places only after it was written down that a repair moves it, and nothing else happens to it meanwhile |
    /// | counts | the rows of all partitions, the rejected and the dropped records are what was read (P1) |
    /// | the arrival hour's partition | it gets a share if there are records without rows |
    ///
    /// # Errors
    /// `Internal`, naming what does not hold; nothing may be written then.
    pub fn check(&self, previous: Option<&Self>) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::internal(format!(
                "{} {}: refused to write down what was taken in, version {}: {what}; please report this",
                self.table, self.hour, self.version
            )))
        };
        if self.version != previous.map_or(1, |previous| previous.version + 1) {
            return refuse("it does not follow the version before it".into());
        }
        if previous.is_some_and(|previous| (&previous.table, previous.hour) != (&self.table, self.hour)) {
            return refuse("it is about another hour".into());
        }
        if !self.objects.is_sorted_by(|a, b| a.key < b.key) {
            return refuse("an object is in it twice".into());
        }
        for before in previous.iter().flat_map(|previous| &previous.objects) {
            match self.object(&before.key).map(|object| object.breaks(before)) {
                None => return refuse(format!("object {} would be lost", before.key)),
                Some(Some(what)) => return refuse(format!("object {} {what}", before.key)),
                Some(None) => {}
            }
        }
        for object in &self.objects {
            let rest = object.rejected + object.dropped;
            if object.read != object.shares.values().sum::<u64>() + rest {
                return refuse(format!("the records of {} do not add up", object.key));
            }
            if object.shares.is_empty() || (rest > 0 && object.records(&object.home).is_none()) {
                return refuse(format!("records of {} belong nowhere", object.key));
            }
        }
        Ok(())
    }

    /// The stored form.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("an intake has only text keys")
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// `Data` if it is no intake, `Config` if it is of a newer format than [`FORMAT`].
    pub fn from_json(bytes: &[u8], key: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let broken = |e: serde_json::Error| Error::data(format!("{key} cannot be read: {e}; restore it from a backup of the state folder"));
        let head: Head = serde_json::from_slice(bytes).map_err(broken)?;
        if head.format > FORMAT {
            return Err(Error::config(format!("{key} has format {}, this lakebed reads up to {FORMAT}; update lakebed", head.format)));
        }
        let intake: Self = serde_json::from_slice(bytes).map_err(broken)?;
        intake.objects.iter().try_for_each(|taken| taken.partitions().map(drop))?;
        Ok(intake)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ledger::testing::{partition, version};
    use crate::ledger::{Counts, testing};

    /// An object with these rows by hour and so many rejects, which arrived in 14.
    /// What was taken in of an object: so many rows of each hour.
    pub fn taken(name: &str, rows: &[(&str, u64)], rejected: u64, done: bool) -> Taken {
        let shares: BTreeMap<String, u64> = rows.iter().map(|(hour, rows)| (partition(hour).to_string(), *rows)).collect();
        Taken {
            key: format!("14/{name}"),
            etag: "e".into(),
            size: 100,
            read: shares.values().sum::<u64>() + rejected,
            rejected,
            dropped: 0,
            untimed: 0,
            shares,
            placement: "placement".into(),
            home: partition("14"),
            staged: "staged".into(),
            set_aside: None,
            memory: 0,
            withdrawn: None,
            moving: None,
            done,
        }
    }

    fn intake(version: u64, objects: Vec<Taken>) -> Intake {
        Intake {
            format: FORMAT,
            table: TableName { database: "shop".into(), name: "clicks".into() },
            hour: "2026-11-19T14".parse().unwrap(),
            version,
            attempt: "01J00000000000000000000000".into(),
            run: "01J00000000000000000000001".into(),
            at: "2026-11-19T20:00:00Z".parse().unwrap(),
            objects,
        }
    }

    fn refused(next: &Intake, previous: Option<&Intake>, expected: &str) {
        let told = next.check(previous).unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn what_does_not_add_up_or_forgets_is_refused() {
        let begun = taken("a", &[("13", 2), ("14", 3)], 1, false);
        let first = intake(1, vec![begun.clone()]);
        first.check(None).unwrap();
        let done = Taken { done: true, ..begun.clone() };
        let second = intake(2, vec![done.clone(), taken("b", &[("09", 1)], 0, false)]);
        second.check(Some(&first)).unwrap();
        refused(&intake(3, vec![]), Some(&first), "does not follow");
        refused(&intake(2, vec![]), Some(&first), "14/a would be lost");
        refused(&intake(1, vec![begun.clone(), begun.clone()]), None, "is in it twice");
        refused(&intake(1, vec![Taken { read: 7, ..begun.clone() }]), None, "do not add up");
        refused(&intake(1, vec![Taken { home: partition("15"), ..begun.clone() }]), None, "belong nowhere");
        refused(&intake(1, vec![taken("a", &[], 0, false)]), None, "belong nowhere");
        let other = taken("a", &[("12", 6)], 0, false);
        refused(&intake(2, vec![Taken { done: true, ..other.clone() }]), Some(&first), "done otherwise than it was begun");
        refused(&intake(2, vec![other.clone()]), Some(&first), "would be moved while partitions may be taking it in");
        let withdrawn = Taken { withdrawn: Some("by b".into()), ..begun.clone() };
        let second_thoughts = intake(2, vec![withdrawn.clone()]);
        second_thoughts.check(Some(&first)).unwrap();
        for next in [&begun, &other, &done, &Taken { withdrawn: Some("by c".into()), ..begun.clone() }] {
            intake(3, vec![next.clone()]).check(Some(&second_thoughts)).unwrap();
        }
        refused(&intake(3, vec![Taken { done: true, ..withdrawn }]), Some(&second_thoughts), "is done and withdrawn");
        refused(&intake(3, vec![begun, second.objects[1].clone()]), Some(&second), "would be taken in again");
        let changed = Taken { etag: "f".into(), ..done.clone() };
        refused(&intake(3, vec![changed, second.objects[1].clone()]), Some(&second), "is done and would be changed");
        let aside = intake(1, vec![Taken { set_aside: Some("bad".into()), ..done.clone() }]);
        intake(2, vec![other.clone()]).check(Some(&aside)).unwrap();
        let moving = |id: &str| Taken { moving: Some(id.into()), ..done.clone() };
        let moved = intake(2, vec![moving("a")]);
        moved.check(Some(&intake(1, vec![done.clone()]))).unwrap();
        for next in [Taken { done: true, ..other.clone() }, done.clone(), moving("a")] {
            intake(3, vec![next]).check(Some(&moved)).unwrap();
        }
        refused(&intake(3, vec![other.clone()]), Some(&moved), "is moved and would be taken in again");
        refused(&intake(3, vec![moving("b")]), Some(&moved), "is moved by another repair");
        refused(&intake(3, vec![Taken { etag: "f".into(), ..moving("a") }]), Some(&moved), "is moved and would be changed");
        refused(&intake(2, vec![moving("a")]), Some(&first), "is moved and would be changed");
        let came_in = intake(2, vec![done.clone()]);
        came_in.check(Some(&aside)).unwrap();
        refused(&intake(3, vec![other]), Some(&came_in), "would be taken in again");
        refused(&intake(2, vec![Taken { etag: "f".into(), ..done }]), Some(&aside), "is done and would be changed");
    }

    #[test]
    fn an_object_is_done_when_every_partition_has_its_share() {
        let object = taken("a", &[("13", 2), ("14", 3)], 1, false);
        let head = |hour: &str, read: u64| {
            let counts = Counts { read, merged: read, ..Counts::default() };
            (partition(hour), version(hour, 1, vec![Source { counts, ..testing::source("14", "a") }]))
        };
        let lacks = |heads: Vec<(PartitionId, LedgerVersion)>| match object.lacks(&heads.into_iter().collect()) {
            Ok(lacks) => lacks.map_or("nothing".to_string(), |partition| partition.to_string()),
            Err(e) => e.to_string(),
        };
        assert_eq!(lacks(vec![]), partition("13").to_string());
        assert_eq!(lacks(vec![head("13", 2)]), partition("14").to_string());
        assert_eq!(lacks(vec![head("13", 2), head("14", 4)]), "nothing");
        let mut held = head("14", 4);
        held.1.held = std::mem::take(&mut held.1.sources);
        assert_eq!(lacks(vec![head("13", 2), held]), "nothing", "no run undoes a rollback");
        let other = lacks(vec![head("13", 1), head("14", 4)]);
        assert!(other.contains("hour=13 holds 1 records of object 14/a, and its share is 2"), "{other}");
        let mut aside = head("14", 4);
        aside.1.sources[0] = Source { etag: "before".into(), rejected: Some("bad".into()), ..aside.1.sources[0].clone() };
        assert_eq!(lacks(vec![head("13", 2), aside.clone()]), partition("14").to_string(), "what was set aside is replaced");
        assert!(!object.is_begun(&[aside].into()).unwrap());
        let heads = BTreeMap::from([head("13", 2)]);
        assert!(object.is_begun(&heads).unwrap() && !object.is_begun(&BTreeMap::new()).unwrap());
    }
}
