//! What a run has to do with the objects of a table whose rows scatter, from what landed and what was taken in. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Intake, Taken, of_object};
use crate::error::Result;
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::plan::Decided;
use crate::merge::plan::why::Why;
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
    /// What was decided on each object that landed, or was begun, and why.
    pub decided: Vec<Decided>,
}

/// What of the begun objects can still be had.
pub struct There<'a> {
    /// True if its staged file is in the queue.
    pub staged: &'a dyn Fn(&Taken) -> bool,
    /// The key that an object's staged file has under today's columns and rules.
    pub key: &'a dyn Fn(&LandedObject) -> String,
    /// `[lake] memory` today, bytes.
    pub memory: u64,
    /// Partitions whose ledgers cannot be read now.
    pub unreadable: &'a BTreeSet<PartitionId>,
}

/// Sorts them. `heads` are the newest versions of the partitions that the intakes name.
///
/// | the object | in its hour's intake | then |
/// |---|---|---|
/// | any | no | read it |
/// | any | done, with this content | leave it |
/// | any | done, and a repair is moving its rows | leave it for a later run |
/// | another content | done, set aside as a whole | read it: none of its rows are in the table |
/// | another content | done | report it as changed, leave it |
/// | any | begun, and every partition has its share | leave it: it is as good as done, whatever the rules are today |
/// | staged or there, under the rules that it was begun with | begun | go on with what was begun |
/// | there, and the rules are others, or the memory is | begun | read it: if its rows have the places that were written down, it goes on |
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
        let why = match intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)) {
            None => sorted.take(object, None, Why::New),
            Some(taken) if !taken.done => match sorted.go_on(object.hour, taken, Some(object), heads, there)? {
                Some(why) => why,
                None => continue,
            },
            Some(taken) if taken.moving.is_some() => Why::Moving,
            Some(taken) if taken.is(object) && taken.set_aside.is_some() => Why::SetAside,
            Some(taken) if taken.is(object) && is_held(taken, heads)? => Why::Held,
            Some(taken) if taken.is(object) => Why::Merged,
            Some(taken) if taken.set_aside.is_some() => sorted.take(object, Some(taken), Why::Replaced),
            Some(_) => {
                sorted.changed.push(object.key.clone());
                Why::Changed
            }
        };
        sorted.decided.push(Decided { object: object.clone(), why });
    }
    let keys: BTreeSet<&str> = landed.iter().map(|object| object.key.as_str()).collect();
    for intake in intakes.values() {
        for taken in intake.objects.iter().filter(|taken| !taken.done && !keys.contains(taken.key.as_str())) {
            if let Some(why) = sorted.go_on(intake.hour, taken, None, heads, there)? {
                sorted.decided.push(Decided { object: taken.landed(intake.hour), why });
            }
        }
    }
    Ok(sorted)
}

/// True if a rollback took the object out of one of its partitions.
///
/// # Errors
/// `Data` if a partition cannot be read.
pub fn is_held(taken: &Taken, heads: &BTreeMap<PartitionId, LedgerVersion>) -> Result<bool> {
    let held = |head: &LedgerVersion| head.source(&taken.key).is_none() && of_object(head, &taken.key).is_some();
    Ok(taken.partitions()?.iter().any(|partition| heads.get(partition).is_some_and(held)))
}

impl Sorted {
    fn take(&mut self, object: &LandedObject, known: Option<&Taken>, why: Why) -> Why {
        self.new.push((object.clone(), known.cloned()));
        why
    }

    /// What becomes of an object that was begun; `None` of one that is gone, and of which nothing is in the table.
    fn go_on(
        &mut self,
        hour: Hour,
        taken: &Taken,
        object: Option<&LandedObject>,
        heads: &BTreeMap<PartitionId, LedgerVersion>,
        there: &There<'_>,
    ) -> Result<Option<Why>> {
        // Whether such a partition has its share is not known: the object waits.
        if taken.partitions()?.iter().any(|partition| there.unreadable.contains(partition)) {
            return Ok(Some(Why::Unreadable));
        }
        match taken.lacks(heads) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Some(Why::Merged)),
            // One has something else than its share; settling tells.
            Err(_) => return Ok(Some(Why::Stuck)),
        }
        let begun = taken.landed(hour);
        // What was made by other rules is not used: they may hide by now what they did not then.
        let same_rules = (there.key)(&begun) == taken.staged;
        let goes_on = |object: &LandedObject| same_rules && taken.memory == there.memory && taken.is(object);
        Ok(match object {
            _ if same_rules && (there.staged)(taken) || object.is_some_and(goes_on) => {
                self.begun.push(taken.clone());
                Some(Why::Begun)
            }
            Some(object) if taken.is(object) || !taken.is_begun(heads)? => Some(self.take(object, Some(taken), Why::Begun)),
            None if !taken.is_begun(heads)? => None,
            _ => {
                self.stuck.push(taken.clone());
                Some(Why::Stuck)
            }
        })
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
    /// `[lake] memory` that it was read with, bytes.
    pub memory: u64,
}

/// What is written down of an object that was read: `home` is the partition of its arrival hour, `staged` the key of its staged file,
/// `before` what was known of it.
pub fn taken(object: &LandedObject, found: Placed<'_>, home: PartitionId, staged: String, before: Option<&Taken>) -> Taken {
    let LandedObject { key, etag, size, .. } = object.clone();
    let Placed { outcome, shares, untimed, placement, memory } = found;
    let (tally, placement) = (outcome.tally, placement.to_string());
    let mut shares: BTreeMap<String, u64> = shares.iter().map(|(partition, rows)| (partition.to_string(), *rows)).collect();
    // Where it was set aside before, its records are there to be replaced, also if what was to replace them is itself placed anew.
    let replaces = before.is_some_and(|before| before.done || before.shares.contains_key(&home.to_string()));
    if tally.rejected + tally.dropped > 0 || shares.is_empty() || replaces {
        shares.entry(home.to_string()).or_insert(0);
    }
    let set_aside = match &outcome.damage {
        Some(Damage::Rejected(reason)) => Some(reason.clone()),
        Some(Damage::Empty) => Some("it holds no records".to_string()),
        Some(Damage::Partly(_)) | None => None,
    };
    let (read, rejected, dropped) = (tally.read, tally.rejected, tally.dropped);
    Taken {
        key,
        etag,
        size,
        read,
        rejected,
        dropped,
        untimed,
        shares,
        placement,
        home,
        staged,
        set_aside,
        memory,
        withdrawn: None,
        moving: None,
        done: false,
    }
}

/// True if an object that no intake names, and that `holders` have in their ledgers, is wholly there as it was read now: in exactly the
/// partitions of its rows, with their numbers. `heads` are the newest versions of all of these.
///
/// # Errors
/// `Data` if a partition cannot be read.
pub fn is_whole(taken: &Taken, holders: &BTreeSet<PartitionId>, heads: &BTreeMap<PartitionId, LedgerVersion>) -> Result<bool> {
    let all: BTreeSet<PartitionId> = taken.partitions()?.into_iter().collect();
    Ok(all == *holders && matches!(taken.lacks(heads), Ok(None)))
}

/// Partitions that have an object in their ledgers and get nothing of it by its hour's intake.
pub fn astray(intakes: &BTreeMap<Hour, Intake>, heads: &BTreeMap<PartitionId, LedgerVersion>) -> Vec<(PartitionId, Hour, String)> {
    let mut found = Vec::new();
    for (partition, head) in heads {
        let path = partition.to_string();
        for source in head.sources.iter().chain(&head.held) {
            let taken = intakes.get(&source.hour).and_then(|intake| intake.object(&source.key));
            if taken.is_some_and(|taken| !taken.shares.contains_key(&path)) {
                found.push((partition.clone(), source.hour, source.key.clone()));
            }
        }
    }
    found
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
    use crate::ledger::{Counts, Source};
    use crate::standardize::Tally;

    fn landed(name: &str) -> LandedObject {
        testing::landed("14", name)
    }

    /// What is written down of an object of ten rows in 13 and five in 12.
    fn entry(object: &LandedObject, done: bool) -> Taken {
        let outcome = Outcome { tally: Tally { read: 15, rows: 15, ..Tally::default() }, damage: None };
        let shares = BTreeMap::from([(partition("12"), 5), (partition("13"), 10)]);
        let placed = Placed { outcome: &outcome, shares: &shares, untimed: 0, placement: "", memory: 1 };
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

    /// 13 has its share of the object.
    fn in_13() -> BTreeMap<PartitionId, LedgerVersion> {
        BTreeMap::from([(partition("13"), version("13", 1, vec![source("14", "a")]))])
    }

    /// 12 and 13 have their shares.
    fn in_both() -> BTreeMap<PartitionId, LedgerVersion> {
        let five = Source { counts: Counts { read: 5, merged: 5, ..Counts::default() }, ..source("14", "a") };
        in_13().into_iter().chain([(partition("12"), version("12", 1, vec![five]))]).collect()
    }

    /// The decision in words, where a staged file is there or not, and 13 has its share or not.
    fn check(known: Option<Taken>, object: Option<LandedObject>, staged: bool, begun: bool, expected: &str) {
        check_with(known, object, staged, &if begun { in_13() } else { BTreeMap::new() }, expected);
    }

    fn check_with(
        known: Option<Taken>,
        object: Option<LandedObject>,
        staged: bool,
        heads: &BTreeMap<PartitionId, LedgerVersion>,
        expected: &str,
    ) {
        let intakes = known.map_or_else(BTreeMap::new, |taken| intakes(vec![taken]));
        let there = There { staged: &|_| staged, key: &key, memory: 1, unreadable: &BTreeSet::new() };
        let sorted = sort_out(&object.into_iter().collect::<Vec<_>>(), &intakes, heads, &there).unwrap();
        let Sorted { new, begun, stuck, changed, decided } = sorted;
        let told = format!("{} new, {} begun, {} stuck, {} changed", new.len(), begun.len(), stuck.len(), changed.len());
        let whys: Vec<Why> = decided.iter().map(|decided| decided.why).collect();
        let count = |of: fn(Why) -> bool| whys.iter().filter(|why| of(**why)).count();
        assert_eq!(count(Why::takes), new.len() + begun.len(), "what is taken is said to be: {whys:?}");
        assert_eq!(count(|why| why == Why::Changed), changed.len(), "{whys:?}");
        assert_eq!(count(|why| why == Why::Stuck), stuck.len(), "{whys:?}");
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
        check(aside.clone(), Some(changed.clone()), false, true, "1 new, 0 begun, 0 stuck, 0 changed");
        let moving = aside.map(|aside| Taken { moving: Some("01J".into()), ..aside });
        check(moving, Some(changed.clone()), false, true, "0 new, 0 begun, 0 stuck, 0 changed");
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
        check(Some(rules.clone()), Some(LandedObject { size: 7, ..a.clone() }), true, true, "0 new, 0 begun, 1 stuck, 0 changed");
        let memory = Some(Taken { memory: 2, ..entry(&a, false) });
        check(memory.clone(), Some(a.clone()), true, true, "0 new, 1 begun, 0 stuck, 0 changed");
        check(memory, Some(a.clone()), false, true, "1 new, 0 begun, 0 stuck, 0 changed");
        // Every partition has its share: nothing is to be done but to write that down.
        let changed = LandedObject { etag: "f".into(), ..a.clone() };
        for object in [Some(a), Some(changed), None] {
            for known in [known(false), Some(rules.clone())] {
                check_with(known, object.clone(), false, &in_both(), "0 new, 0 begun, 0 stuck, 0 changed");
            }
        }
    }

    #[test]
    fn an_object_whose_intake_is_lost_is_whole_only_if_all_agrees() {
        let (taken, heads) = (entry(&landed("a"), false), in_both());
        let whole =
            |taken: &Taken, holders: &[&str], heads| is_whole(taken, &holders.iter().map(|hour| partition(hour)).collect(), heads).unwrap();
        assert!(whole(&taken, &["12", "13"], &heads));
        let in_13 = in_13();
        assert!(!whole(&taken, &["13"], &in_13), "12 lacks its share: perhaps the rows were others then");
        assert!(!whole(&taken, &["12", "13", "15"], &heads), "15 has rows of it, too");
        assert!(!whole(&Taken { etag: "f".into(), ..taken.clone() }, &["12", "13"], &heads));
        let other = Taken { shares: taken.shares.keys().map(|partition| (partition.clone(), 7)).collect(), ..taken };
        assert!(!whole(&other, &["12", "13"], &heads));
    }

    #[test]
    fn a_partition_that_has_what_is_not_its_is_seen() {
        let found = |taken: Taken| {
            let astray = astray(&intakes(vec![taken]), &in_both());
            astray.into_iter().map(|(partition, _, key)| format!("{partition} {key}")).collect::<Vec<_>>()
        };
        let taken = entry(&landed("a"), false);
        assert!(found(taken.clone()).is_empty() && found(entry(&landed("b"), false)).is_empty());
        let elsewhere = Taken { shares: [(partition("12").to_string(), 15)].into(), ..taken };
        assert_eq!(found(elsewhere), [format!("{} 14/a", partition("13"))]);
    }

    #[test]
    fn what_became_no_row_counts_in_the_partition_of_the_arrival_hour() {
        let (object, rows) = (landed("a"), BTreeMap::from([(partition("13"), 3)]));
        let told = |rejected: u64, damage: Option<Damage>, rows: &BTreeMap<PartitionId, u64>, before: Option<Taken>| {
            let count = rows.values().sum::<u64>();
            let outcome = Outcome { tally: Tally { read: count + rejected, rows: count, rejected, ..Tally::default() }, damage };
            let placed = Placed { outcome: &outcome, shares: rows, untimed: 0, placement: "", memory: 1 };
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
        let begun = entry(&object, false);
        let replacing = Taken { shares: [(partition("14").to_string(), 0)].into_iter().chain(begun.shares.clone()).collect(), ..begun };
        assert_eq!(told(0, None, &rows, Some(replacing)), "3 0 false", "and still is where that is placed anew");
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
