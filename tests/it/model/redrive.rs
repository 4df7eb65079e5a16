//! What a redrive has to do, by what the documents say of it.

use std::collections::{BTreeMap, BTreeSet};

use lakebed::standardize::reject::Code;

use super::objects::Reason;
use super::reference::{Answer, Kept, Lake, Operation, Plan, Quarantine, Tries, Version};
use super::steps::HOURS;

impl Lake {
    pub fn redrive(&self, hour: Option<usize>, reason: Option<Code>, dry_run: bool) -> Plan {
        if !self.exists || hour.is_some_and(|hour| self.hours[hour].versions.is_empty()) {
            return Plan::nothing(Answer::Wrong);
        }
        let (mut tries, mut plan) = (BTreeMap::new(), Plan::nothing(Answer::Done));
        for number in (0..HOURS).filter(|number| hour.is_none_or(|hour| hour == *number)) {
            let Some(head) = self.hours[number].head().filter(|head| head.quarantine.is_some()) else { continue };
            let (found, next) = self.redriven(number, head, reason);
            tries.extend(found.map(|tries| (number, (tries, next.is_some()))));
            if !dry_run {
                plan.next.extend(next.map(|next| (number, next)));
                plan.shown.insert(number);
            }
        }
        Plan { answer: Answer::Redrive(tries), ..plan }
    }

    /// What a redrive makes of the records of an hour that have that reason, if there are any, and the version after it, if it changes anything.
    fn redriven(&self, hour: usize, head: &Version, reason: Option<Code>) -> (Option<Tries>, Option<Version>) {
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
        self.order(&mut next.rows);
        next.retired = self.retired(hour, &next, self.now);
        (Some(tries).filter(|tries| tries.records + tries.resolved > 0), Some(next).filter(|_| tries.passes + news > 0))
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
