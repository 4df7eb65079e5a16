//! What a redrive has to do, by what the documents say of it.

use std::collections::{BTreeMap, BTreeSet};

use lakebed::standardize::reject::Code;

use super::objects::Reason;
use super::reference::{Answer, FIRST_HOUR, Kept, Lake, Operation, Plan, Quarantine, Redrive, Tries, Version, hour_of};
use super::steps::HOURS;

impl Lake {
    pub fn redrive(&self, hour: Option<usize>, reason: Option<Code>, dry_run: bool) -> Plan {
        let (mut told, mut plan) = (Redrive::default(), Plan::nothing(Answer::Done));
        for number in (0..HOURS).filter(|number| hour.is_none_or(|hour| hour == *number)) {
            let in_reach = |number| hour.is_some() || (self.from()..=hour_of(self.now)).contains(&(FIRST_HOUR + number as i64));
            let reports = &self.hours[number].reports;
            let has_reports = reason.is_none() && in_reach(number) && !reports.is_empty();
            let is_closed = self.is_closed(number, self.now);
            told.warns |= has_reports && !is_closed;
            let taken = if has_reports && is_closed { self.take_in(number, &mut told) } else { None };
            // What does not fit of these is tried with the others.
            let after = taken.clone().filter(|_| !dry_run).map(|version| {
                let mut after = self.clone();
                after.hours[number].versions.push(version);
                after
            });
            let redriven = after.as_ref().unwrap_or(self).redriven(number, reason);
            if let Some((tries, next)) = &redriven {
                told.tries.extend(Some((number, (*tries, next.is_some()))).filter(|_| tries.records + tries.resolved > 0));
            }
            if dry_run {
                continue;
            }
            if redriven.is_some() || has_reports && is_closed {
                plan.shown.insert(number);
            }
            if taken.is_some() {
                plan.instead.extend(self.redriven(number, reason).and_then(|(_, next)| Some((number, next?))));
            }
            let next: Vec<Version> = taken.into_iter().chain(redriven.and_then(|(_, next)| next)).collect();
            plan.next.extend(Some((number, next)).filter(|(_, next)| !next.is_empty()));
        }
        let is_there = |hour: usize| !self.hours[hour].versions.is_empty() || plan.shown.contains(&hour) || told.taken > 0 || told.warns;
        if !self.exists || hour.is_some_and(|hour| !is_there(hour)) {
            return Plan::nothing(Answer::Wrong);
        }
        Plan { answer: Answer::Redrive(told), ..plan }
    }

    /// The first hour that a redrive looks for error objects in.
    fn from(&self) -> i64 {
        hour_of(self.now - self.settings.lookback * 60)
    }

    /// The version with the error objects of an hour that it does not have yet, if there are any.
    fn take_in(&self, hour: usize, told: &mut Redrive) -> Option<Version> {
        let head = self.hours[hour].head();
        let known = |key: &String| head.is_some_and(|head| head.sources.contains_key(key) || head.held.contains_key(key));
        let objects: Vec<_> = self.hours[hour].reports.iter().filter(|(key, _)| !known(key)).collect();
        told.taken += objects.len();
        let operation = if head.is_some() { Operation::Amend } else { Operation::Create };
        (!objects.is_empty()).then(|| self.written(hour, head, &objects, operation, self.now))
    }

    /// What a redrive makes of the quarantined records of an hour that have that reason, and the version after it, if it changes anything.
    fn redriven(&self, hour: usize, reason: Option<Code>) -> Option<(Tries, Option<Version>)> {
        let head = self.hours[hour].head().filter(|head| head.quarantine.is_some())?;
        let number = self.hours[hour].versions.len() as u64 + 1;
        let quarantine = Some(Quarantine { generation: number, has_files: true });
        let mut next = Version { operation: Operation::Redrive, generation: number, quarantine, written_anew: false, ..head.clone() };
        let stays: BTreeMap<&String, Stays> = head.sources.keys().map(|key| (key, self.stays(head, key))).collect();
        let (mut tries, mut news, mut came) = (Tries::default(), 0, BTreeSet::new());
        let asked = |kept: &&mut Kept| reason.is_none_or(|reason| kept.reject.reason.code() == reason);
        for kept in next.rejects.iter_mut().filter(asked) {
            if kept.resolved.is_some() {
                tries.resolved += 1;
                continue;
            }
            tries.records += 1;
            let stays = stays[&kept.object];
            let tried = kept.reject.record.as_ref().filter(|_| kept.reject.reason != Reason::Corrupt && stays != Stays::Damaged);
            let Some(record) = tried else {
                tries.left += 1;
                continue;
            };
            match record.becomes(self.rules).and_then(|row| if stays == Stays::Aside { Err(Reason::Aside) } else { Ok(row) }) {
                Ok(row) => {
                    tries.passes += 1;
                    kept.resolved = Some(self.now);
                    let counts = &mut next.sources.get_mut(&kept.object).unwrap().counts;
                    (counts.quarantined, counts.resolved) = (counts.quarantined - 1, counts.resolved + 1);
                    self.add(&mut next.rows, row, counts);
                    came.insert(kept.object.clone());
                }
                Err(reason) => {
                    tries.fails += 1;
                    if kept.tried != Some(self.rules) || kept.reject.reason != reason {
                        (kept.tried, kept.reject.reason, kept.attempts) = (Some(self.rules), reason, kept.attempts + 1);
                        news += 1;
                    }
                }
            }
        }
        let lacks = |kept: &Kept| kept.resolved.is_none() && matches!(kept.reject.reason, Reason::Aside | Reason::Damaged);
        for key in came {
            next.sources.get_mut(&key).unwrap().rejected = false;
            if next.rejects.iter().all(|kept| kept.object != key || !lacks(kept)) {
                next.missing.remove(&key);
            }
        }
        if tries.passes > 0 {
            next.rolled_back = None;
        }
        self.order(&mut next.rows);
        next.retired = self.retired(hour, &next, self.now);
        Some((tries, Some(next).filter(|_| tries.passes + news > 0)))
    }

    /// Whether an object that was set aside as a whole stays so: it depends on all of its records.
    fn stays(&self, head: &Version, key: &String) -> Stays {
        let of_it: Vec<&Kept> = head.rejects.iter().filter(|kept| kept.object == *key && kept.resolved.is_none()).collect();
        let bad = of_it.iter().filter(|kept| kept.reject.record.as_ref().is_none_or(|record| record.becomes(self.rules).is_err()));
        if !head.sources[key].rejected {
            Stays::In
        } else if of_it.iter().any(|kept| kept.reject.reason == Reason::Damaged) {
            Stays::Damaged
        } else if self.rules.are_too_many(bad.count(), of_it.len()) {
            Stays::Aside
        } else {
            Stays::In
        }
    }
}

/// What an object was set aside for that it still is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// Nothing: each of its records is what it is.
    In,
    Aside,
    Damaged,
}
