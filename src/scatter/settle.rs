//! Writes down what was taken in of each arrival hour, and counts it.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{FORMAT, Intake, Taken, of_object};
use super::moved::stands_apart;
use super::moves::end;
use super::store::{self, Committed};
use super::{Work, plan};
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::RACES;
use crate::summary::{TableDone, counted};

impl Work<'_> {
    /// Commits the next version of an hour's intake with the objects that `next` makes of what is known by then, unless those are known.
    ///
    /// # Errors
    /// `Conflict` if other runs keep being faster; otherwise as [`store::commit`].
    pub(super) async fn write_down(&mut self, hour: Hour, next: impl Fn(Option<&Intake>) -> Vec<Taken>) -> Result<()> {
        let name = &self.table.config.name;
        for _ in 0..RACES {
            let known = self.intakes.get(&hour);
            let objects = next(known);
            if known.map_or(objects.is_empty(), |known| known.objects == objects) {
                return Ok(());
            }
            if known.is_none() {
                store::begin(&self.app.state, name, hour, &mut self.begun, &self.app.clock.new_id()).await?;
            }
            let known = self.intakes.get(&hour);
            let next = Intake {
                format: FORMAT,
                table: name.clone(),
                hour,
                version: known.map_or(1, |known| known.version + 1),
                attempt: self.app.clock.new_id(),
                run: self.run.to_string(),
                at: self.request.at,
                objects,
            };
            let known = match store::commit(&self.app.state, &next, known).await? {
                Committed::Done => next,
                Committed::Lost(winner) => {
                    self.intakes.insert(hour, *winner);
                    continue;
                }
            };
            self.intakes.insert(hour, known);
            return Ok(());
        }
        Err(Error::conflict(format!("{name} {hour}: other runs kept changing what is taken in; run again later")))
    }

    /// Writes down which objects every partition has its share of.
    ///
    /// # Errors
    /// Why the state location cannot be written at all.
    pub(super) async fn settle(&mut self, done: &mut TableDone) -> Result<()> {
        for hour in self.intakes.keys().copied().collect::<Vec<_>>() {
            let open = |taken: &&Taken| !taken.done && !self.given_up.contains(&taken.key);
            let open: Vec<Taken> = self.intakes[&hour].objects.iter().filter(open).cloned().collect();
            let mut settled = Vec::new();
            for mut taken in open {
                if taken.lacks(&self.heads).is_err() {
                    let Some(now) = self.looked_at_anew(hour, &taken).await? else { continue };
                    taken = now;
                }
                match taken.lacks(&self.heads) {
                    Ok(None) => settled.push(taken),
                    Ok(Some(_)) => {}
                    Err(e) => {
                        self.fail(None, &e);
                        self.given_up.insert(taken.key.clone());
                    }
                }
            }
            if !settled.is_empty() {
                self.probe().await?;
            }
            let end = |taken: &Taken| match settled.contains(taken) {
                true => Taken { done: true, withdrawn: None, ..taken.clone() },
                false => taken.clone(),
            };
            match self.write_down(hour, |known| known.iter().flat_map(|known| &known.objects).map(end).collect()).await {
                Ok(()) => tell_untimed(self.table.config.time.as_deref(), settled.iter().map(|taken| taken.untimed).sum(), done),
                // What is in the table is there; the next run finds that it is.
                Err(e) => self.fail_hour(hour, &e),
            }
        }
        Ok(())
    }

    /// An object as its intake has it by now, with the newest versions of its partitions; `None` if it is done, or given up as these cannot be
    /// read. A repair may have moved its rows since the intake was read, or another run may have placed it anew.
    async fn looked_at_anew(&mut self, hour: Hour, before: &Taken) -> Result<Option<Taken>> {
        if let Err(e) = self.refresh(hour).await {
            self.fail_hour(hour, &e);
            // One of its partitions has something else than its share: no other one gets any.
            self.given_up.insert(before.key.clone());
            return Ok(None);
        }
        let now = self.intakes.get(&hour).and_then(|intake| intake.object(&before.key)).filter(|now| !now.done).cloned();
        if let Some(now) = &now {
            let partitions = BTreeSet::from_iter(now.partitions()?);
            self.looked_at.retain(|partition| !partitions.contains(partition));
            self.look_at(partitions.clone()).await;
            // Why is entered already, and the version that was read before says nothing now.
            if partitions.iter().any(|partition| self.unreadable.contains(partition)) {
                self.given_up.insert(before.key.clone());
                return Ok(None);
            }
        }
        Ok(now)
    }

    /// Counts the partitions that are as they should be, and tells of those that were rolled back.
    pub(super) fn count_hours(&self, done: &mut TableDone) {
        for head in self.heads.values() {
            if !head.held.is_empty() {
                let held = counted(head.held.len() as u64, "object");
                let until = match stands_apart(&self.table.config, head) {
                    true => "it is rolled forward again",
                    false => "`lakebed repair`, or until it is rolled forward again",
                };
                done.warnings.push(format!("{}: it was rolled back, and its rows of {held} stay out of it until {until}", head.partition));
            } else if let Some(rolled_back) = &head.rolled_back {
                done.warnings.push(format!("{}: {}", head.partition, rolled_back.to_text()));
            }
            let is_stuck = self.stuck.as_ref().is_some_and(|stuck| stuck.open.names(&head.partition));
            if !head.is_void() && !is_stuck {
                done.count_hour(&head.partition);
            }
        }
    }

    /// Where rows are that the intakes place elsewhere. A move that cannot be ended may have written down half of what it does.
    fn astray(&self) -> Vec<(PartitionId, Hour, String)> {
        let mut astray = plan::astray(&self.intakes, &self.heads);
        astray.retain(|(partition, ..)| !self.stuck.as_ref().is_some_and(|stuck| stuck.open.names(partition)));
        astray
    }

    /// Tells of partitions that have rows which the intakes place elsewhere: somebody put back old intakes or ledgers.
    ///
    /// A repair may be moving them, or another run may have placed them anew, and merged them, since this one looked. So only what is so while all that
    /// says it was read just now is told: what is read anew may not fit to what was read before.
    pub(super) async fn look_for_astray(&mut self) {
        let mut looked = BTreeSet::new();
        for _ in 0..RACES {
            let astray = self.astray();
            if astray.iter().all(|(partition, hour, _)| looked.contains(&(partition.clone(), *hour))) {
                break;
            }
            if let Err(e) = end::left(self.app, &self.table.config).await {
                self.fail(None, &e);
            }
            for hour in astray.iter().map(|(_, hour, _)| *hour).collect::<BTreeSet<Hour>>() {
                if let Err(e) = self.refresh(hour).await {
                    self.fail_hour(hour, &e);
                }
            }
            looked = astray.iter().map(|(partition, hour, _)| (partition.clone(), *hour)).collect();
            let partitions: BTreeSet<PartitionId> = astray.into_iter().map(|(partition, ..)| partition).collect();
            self.looked_at.retain(|partition| !partitions.contains(partition));
            self.look_at(partitions).await;
        }
        for (partition, hour, key) in self.astray() {
            if !looked.contains(&(partition.clone(), hour)) {
                continue;
            }
            let told = format!(
                "it has rows of object {key}, and by the intake of its hour none of them belong here: rows may be in the table twice; if old files \
                 were put into the state location, put back the newest ones"
            );
            self.fail(Some(&partition), &Error::data(told));
        }
    }
}

/// Counts the landed objects of closed hours, each once, however many partitions it feeds.
pub(super) fn count(
    closed: &[LandedObject],
    intakes: &BTreeMap<Hour, Intake>,
    heads: &BTreeMap<PartitionId, LedgerVersion>,
    done: &mut TableDone,
) -> Result<()> {
    for object in closed {
        let taken = intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)).filter(|taken| taken.done);
        let held = |taken: &Taken| taken.partitions().map(|all| all.iter().any(|id| is_held(heads.get(id), &taken.key)));
        match taken {
            None => done.objects.pending += 1,
            Some(taken) if taken.set_aside.is_some() && !taken.is(object) => done.objects.pending += 1,
            Some(taken) if taken.set_aside.is_some() => done.objects.rejected += 1,
            Some(taken) if held(taken)? => done.objects.held += 1,
            Some(_) => done.objects.merged += 1,
        }
    }
    Ok(())
}

/// Tells of objects whose content changed after they were merged.
pub(super) fn tell_changed(keys: &[String], done: &mut TableDone) {
    done.warnings.extend(keys.iter().map(|key| {
        format!(
            "object {key} was written again since it was merged; if its content changed, the new content is not in the table: land it under \
             another name if it is to be there beside the old one"
        )
    }));
}

/// Tells of rows that are in the partition of their arrival hour, because the column `time` tells no hour that can be theirs.
fn tell_untimed(time: Option<&str>, rows: u64, done: &mut TableDone) {
    if let Some(time) = time.filter(|_| rows > 0) {
        done.warnings.push(format!(
            "{} in the partition of the arrival hour: {time} is null there, or more than 365 days before or 24 hours after it",
            if rows == 1 { "1 row is".to_string() } else { format!("{rows} rows are") }
        ));
    }
}

/// Tells, of a dry run, that nobody knows yet which partitions the pending objects feed, beside those of open hours.
pub(super) fn tell_unread(open: u64, done: &mut TableDone) {
    let waiting = done.objects.pending - open;
    if waiting > 0 {
        let waiting = counted(waiting, "object");
        done.warnings.push(format!("{waiting} would be read; which partitions they feed shows when they are"));
    }
}

fn is_held(head: Option<&LedgerVersion>, key: &str) -> bool {
    head.is_some_and(|head| head.source(key).is_none() && of_object(head, key).is_some())
}
