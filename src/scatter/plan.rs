//! What a run has to do with the objects of a table whose rows scatter, from what landed and what was taken in. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Intake, Taken};
use crate::error::Result;
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::standardize::{Damage, Outcome};

/// Landed objects of closed hours by what has to be done with them.
#[derive(Debug, Default, PartialEq)]
pub struct Sorted {
    /// To be read; with it what was known of the object, and does not count any more.
    pub new: Vec<(LandedObject, Option<Taken>)>,
    /// Some partitions may lack their share.
    pub begun: Vec<Taken>,
    /// Some partitions have their share, and what it was taken of is gone.
    pub stuck: Vec<Taken>,
    /// Keys of objects whose content changed since: what was taken in stays.
    pub changed: Vec<String>,
}

/// What of the begun objects can still be had.
pub struct There<'a> {
    /// True if its staged file is in the queue.
    pub staged: &'a dyn Fn(&Taken) -> bool,
    /// The key that an object's staged file has under today's columns and rules.
    pub key: &'a dyn Fn(&LandedObject) -> String,
    /// Partitions whose ledgers cannot be read now.
    pub unreadable: &'a BTreeSet<PartitionId>,
}

/// Sorts them. `heads` are the newest versions of the partitions that the intakes name.
///
/// | the object | in its hour's intake | then |
/// |---|---|---|
/// | any | no | read it |
/// | any | done, with this content | leave it |
/// | another content | done, set aside as a whole | read it: none of its rows are in the table |
/// | another content | done | report it as changed, leave it |
/// | staged or there, under the rules that it was begun with | begun | go on with what was begun |
/// | there, and the rules are others | begun | read it: if its rows have the places that were written down, it goes on |
/// | another content | begun, no partition has a share | read it: nothing of it is in the table |
/// | another content, or gone | begun, a partition has its share | report it: what the others lack is gone |
/// | any | begun, and it cannot be told who has a share | leave it for a later run |
///
/// # Errors
/// `Data` if an intake names what is no partition.
pub fn sort_out(
    landed: &[LandedObject],
    intakes: &BTreeMap<Hour, Intake>,
    heads: &BTreeMap<PartitionId, LedgerVersion>,
    there: &There<'_>,
) -> Result<Sorted> {
    let mut sorted = Sorted::default();
    for object in landed {
        match intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)) {
            None => sorted.new.push((object.clone(), None)),
            Some(taken) if !taken.done => sorted.go_on(object.hour, taken, Some(object), heads, there)?,
            Some(taken) if taken.is(object) => {}
            Some(taken) if taken.set_aside.is_some() => sorted.new.push((object.clone(), Some(taken.clone()))),
            Some(_) => sorted.changed.push(object.key.clone()),
        }
    }
    let keys: BTreeSet<&str> = landed.iter().map(|object| object.key.as_str()).collect();
    for intake in intakes.values() {
        for taken in intake.objects.iter().filter(|taken| !taken.done && !keys.contains(taken.key.as_str())) {
            sorted.go_on(intake.hour, taken, None, heads, there)?;
        }
    }
    Ok(sorted)
}

impl Sorted {
    fn go_on(
        &mut self,
        hour: Hour,
        taken: &Taken,
        object: Option<&LandedObject>,
        heads: &BTreeMap<PartitionId, LedgerVersion>,
        there: &There<'_>,
    ) -> Result<()> {
        // Whether such a partition has its share is not known: the object waits.
        if taken.partitions()?.iter().any(|partition| there.unreadable.contains(partition)) {
            return Ok(());
        }
        let Taken { key, etag, size, .. } = taken.clone();
        let begun = LandedObject { key, etag, size, hour, path_values: BTreeMap::new() };
        // What was made by other rules is not used: they may hide by now what they did not then.
        let same_rules = (there.key)(&begun) == taken.staged;
        match object {
            _ if same_rules && (there.staged)(taken) => self.begun.push(taken.clone()),
            Some(object) if same_rules && taken.is(object) => self.begun.push(taken.clone()),
            Some(object) if taken.is(object) || !taken.is_begun(heads)? => self.new.push((object.clone(), Some(taken.clone()))),
            None if !taken.is_begun(heads)? => {}
            _ => self.stuck.push(taken.clone()),
        }
        Ok(())
    }
}

/// What was found of an object that was read.
pub struct Placed<'a> {
    /// What became of its records.
    pub outcome: &'a Outcome,
    /// Its rows by partition.
    pub shares: &'a BTreeMap<PartitionId, u64>,
    /// Rows without a time that can be theirs.
    pub untimed: u64,
    /// A hash of which row belongs where.
    pub placement: &'a str,
}

/// What is written down of an object that was read: `home` is the partition of its arrival hour, `staged` the key of its staged file,
/// `before` what was known of it.
pub fn taken(object: &LandedObject, found: Placed<'_>, home: PartitionId, staged: String, before: Option<&Taken>) -> Taken {
    let LandedObject { key, etag, size, .. } = object.clone();
    let Placed { outcome, shares, untimed, placement } = found;
    let (tally, placement) = (outcome.tally, placement.to_string());
    let mut shares: BTreeMap<String, u64> = shares.iter().map(|(partition, rows)| (partition.to_string(), *rows)).collect();
    // Where it was set aside before, its records are there to be replaced.
    let replaces = before.is_some_and(|before| before.done);
    if tally.rejected + tally.dropped > 0 || shares.is_empty() || replaces {
        shares.entry(home.to_string()).or_insert(0);
    }
    let set_aside = match &outcome.damage {
        Some(Damage::Rejected(reason)) => Some(reason.clone()),
        Some(Damage::Empty) => Some("it holds no records".to_string()),
        Some(Damage::Partly(_)) | None => None,
    };
    let (read, rejected, dropped) = (tally.read, tally.rejected, tally.dropped);
    Taken { key, etag, size, read, rejected, dropped, untimed, shares, placement, home, staged, set_aside, done: false }
}

/// The objects of an hour with these, each in place of what was known of it; where something else is known by now, that stays.
pub fn with(known: Option<&Intake>, new: &[(Taken, Option<Taken>)]) -> Vec<Taken> {
    let mut objects: BTreeMap<String, Taken> =
        known.iter().flat_map(|intake| &intake.objects).map(|taken| (taken.key.clone(), taken.clone())).collect();
    for (taken, before) in new {
        if objects.get(&taken.key) == before.as_ref() {
            objects.insert(taken.key.clone(), taken.clone());
        }
    }
    objects.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::testing;
    use crate::ledger::testing::{partition, source, version};
    use crate::standardize::Tally;

    fn landed(name: &str) -> LandedObject {
        testing::landed("14", name)
    }

    /// What is written down of an object of ten rows in 13.
    fn entry(object: &LandedObject, done: bool) -> Taken {
        let outcome = Outcome { tally: Tally { read: 10, rows: 10, ..Tally::default() }, damage: None };
        let placed = Placed { outcome: &outcome, shares: &BTreeMap::from([(partition("13"), 10)]), untimed: 0, placement: "" };
        let taken = taken(object, placed, partition("14"), key(object), None);
        Taken { done, ..taken }
    }

    fn key(object: &LandedObject) -> String {
        format!("{} {}", object.key, object.etag)
    }

    fn intakes(objects: Vec<Taken>) -> BTreeMap<Hour, Intake> {
        let intake = Intake {
            format: 1,
            table: crate::catalog::TableName { database: "shop".into(), name: "clicks".into() },
            hour: landed("a").hour,
            version: 1,
            attempt: String::new(),
            run: String::new(),
            at: "2026-11-19T20:00:00Z".parse().unwrap(),
            objects,
        };
        BTreeMap::from([(intake.hour, intake)])
    }

    /// The decision in words, where a staged file is there or not, and 13 has its share or not.
    fn check(known: Option<Taken>, object: Option<LandedObject>, staged: bool, begun: bool, expected: &str) {
        let heads = if begun { BTreeMap::from([(partition("13"), version("13", 1, vec![source("14", "a")]))]) } else { BTreeMap::new() };
        let intakes = known.map_or_else(BTreeMap::new, |taken| intakes(vec![taken]));
        let there = There { staged: &|_| staged, key: &key, unreadable: &BTreeSet::new() };
        let sorted = sort_out(&object.into_iter().collect::<Vec<_>>(), &intakes, &heads, &there).unwrap();
        let Sorted { new, begun, stuck, changed } = sorted;
        let told = format!("{} new, {} begun, {} stuck, {} changed", new.len(), begun.len(), stuck.len(), changed.len());
        assert_eq!(told, expected);
    }

    #[test]
    fn each_object_is_decided_on_by_what_was_taken_in() {
        let (a, changed) = (landed("a"), LandedObject { etag: "f".into(), ..landed("a") });
        let known = |done| Some(entry(&landed("a"), done));
        check(None, Some(a.clone()), false, false, "1 new, 0 begun, 0 stuck, 0 changed");
        check(known(true), Some(a.clone()), false, true, "0 new, 0 begun, 0 stuck, 0 changed");
        check(known(true), Some(changed.clone()), false, true, "0 new, 0 begun, 0 stuck, 1 changed");
        let aside = Some(Taken { set_aside: Some("bad".into()), ..entry(&a, true) });
        check(aside.clone(), Some(a.clone()), false, true, "0 new, 0 begun, 0 stuck, 0 changed");
        check(aside, Some(changed.clone()), false, true, "1 new, 0 begun, 0 stuck, 0 changed");
        check(known(false), Some(a.clone()), false, true, "0 new, 1 begun, 0 stuck, 0 changed");
        check(known(false), Some(changed.clone()), true, true, "0 new, 1 begun, 0 stuck, 0 changed");
        check(known(false), Some(changed.clone()), false, true, "0 new, 0 begun, 1 stuck, 0 changed");
        check(known(false), Some(changed), false, false, "1 new, 0 begun, 0 stuck, 0 changed");
        check(known(false), None, true, true, "0 new, 1 begun, 0 stuck, 0 changed");
        check(known(false), None, false, true, "0 new, 0 begun, 1 stuck, 0 changed");
        check(known(false), None, false, false, "0 new, 0 begun, 0 stuck, 0 changed");
        let rules = Taken { staged: "by other rules".into(), ..entry(&a, false) };
        for begun in [false, true] {
            check(Some(rules.clone()), Some(a.clone()), true, begun, "1 new, 0 begun, 0 stuck, 0 changed");
        }
        check(Some(rules), Some(LandedObject { size: 7, ..a }), true, true, "0 new, 0 begun, 1 stuck, 0 changed");
    }

    #[test]
    fn what_became_no_row_counts_in_the_partition_of_the_arrival_hour() {
        let (object, rows) = (landed("a"), BTreeMap::from([(partition("13"), 3)]));
        let told = |rejected: u64, damage: Option<Damage>, rows: &BTreeMap<PartitionId, u64>, before: Option<Taken>| {
            let count = rows.values().sum::<u64>();
            let outcome = Outcome { tally: Tally { read: count + rejected, rows: count, rejected, ..Tally::default() }, damage };
            let placed = Placed { outcome: &outcome, shares: rows, untimed: 0, placement: "" };
            let taken = taken(&object, placed, partition("14"), key(&object), before.as_ref());
            let records = |hour: &str| taken.records(&partition(hour)).map_or("-".to_string(), |records| records.to_string());
            format!("{} {} {}", records("13"), records("14"), taken.set_aside.is_some())
        };
        let none = BTreeMap::new();
        assert_eq!(told(0, None, &rows, None), "3 - false");
        assert_eq!(told(2, None, &rows, None), "3 2 false");
        assert_eq!(told(2, Some(Damage::Partly("cut".into())), &rows, None), "3 2 false");
        assert_eq!(told(0, None, &rows, Some(entry(&object, true))), "3 0 false", "what was set aside is replaced");
        assert_eq!(told(0, None, &rows, Some(entry(&object, false))), "3 - false");
        assert_eq!(told(5, Some(Damage::Rejected("bad".into())), &none, None), "- 5 true");
        assert_eq!(told(0, Some(Damage::Empty), &none, None), "- 0 true");
        assert_eq!(told(0, None, &none, None), "- 0 false");
    }

    #[test]
    fn what_somebody_else_wrote_down_meanwhile_stays() {
        let (a, b) = (entry(&landed("a"), false), entry(&landed("b"), false));
        let theirs = Taken { done: true, ..a.clone() };
        let known = intakes(vec![theirs.clone()]);
        let known = known.values().next();
        assert_eq!(with(None, &[(a.clone(), None)]), std::slice::from_ref(&a));
        assert_eq!(with(known, &[(a.clone(), None), (b.clone(), None)]), [theirs.clone(), b]);
        let again = Taken { etag: "f".into(), ..a };
        assert_eq!(with(known, &[(again.clone(), Some(theirs))]), [again]);
    }
}
