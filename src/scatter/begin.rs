//! Begins objects: reads what is new, stages it, and writes down what each partition is to get of it, some objects at a time.

use std::collections::{BTreeMap, BTreeSet};

use super::Work;
use super::intake::{Taken, of_object};
use super::moves::end::Ending;
use super::plan::{self, Placed, Sorted};
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::{self, LandedObject};
use crate::layout::PartitionId;
use crate::ledger::store::Committed;
use crate::merge;
use crate::merge::execute::Attempt;
use crate::merge::intake::Intake as Reader;
use crate::merge::plan::{Action, PartitionPlan, partition_of};
use crate::queue::Queue;
use crate::queue::spread::{self, Spread};
use crate::queue::stage::Staging;
use crate::words::{are, counted};

/// Objects that are read before they are written down: what a crash costs at the most.
const PORTION: usize = 500;

/// Objects of one hour that were read and are not written down yet, each with what was known of it.
#[derive(Default)]
struct Portion {
    hour: Option<Hour>,
    objects: Vec<(Taken, Option<Taken>)>,
    warned: u64,
}

/// What a run knows of new objects before it reads them.
#[derive(Default)]
struct Known {
    /// What was written down of them.
    before: BTreeMap<String, Option<Taken>>,
    /// Which partitions have some of them, although no intake names those.
    holders: BTreeMap<String, BTreeSet<PartitionId>>,
}

impl Work<'_> {
    /// Reads new objects, stages them and writes down what each partition is to get of them. What fails costs its object or its hour.
    pub(super) async fn begin(&mut self, sorted: Sorted) -> Result<()> {
        if !sorted.new.is_empty() || !sorted.begun.is_empty() {
            self.probe().await?;
        }
        self.take_back(&sorted.begun).await;
        self.staged.extend(sorted.begun.into_iter().filter(|taken| self.queue.has(&taken.key, &taken.staged)).map(|taken| taken.staged));
        let (known, new) = self.known_of(sorted.new).await;
        let new = self.due(new).await;
        self.app.limits.progress.set_length(new.len() as u64);
        let (mut portion, mut unread) = (Portion::default(), Vec::new());
        for object in new {
            let staged = self.queue.staged(&self.recipe, &object);
            let found = match &staged {
                Some(key) => spread::known(&self.app.state, self.table, key, &object).await,
                None => Ok(None),
            };
            match found {
                Ok(Some(spread)) => {
                    self.staged.extend(staged);
                    self.enter(&mut portion, &object, &spread, &known).await;
                }
                Ok(None) => unread.push(object),
                Err(e) => {
                    tracing::warn!("{e}; the object is read where it landed");
                    unread.push(object);
                }
            }
        }
        self.write_portion(&mut portion, &known).await;
        self.read(&unread, &known).await
    }

    /// Objects that were withdrawn and have their old places again: nobody gave them others.
    async fn take_back(&mut self, begun: &[Taken]) {
        let withdrawn = begun.iter().filter(|taken| taken.withdrawn.is_some());
        let back: Vec<_> = withdrawn.map(|taken| (Taken { withdrawn: None, ..taken.clone() }, Some(taken.clone()))).collect();
        for hour in self.intakes.keys().copied().collect::<Vec<_>>() {
            if let Err(e) = self.write_down(hour, |known| known.map_or_else(Vec::new, |known| plan::with(Some(known), &back))).await {
                self.fail_hour(hour, &e);
            }
        }
    }

    /// What is known of new objects, and those of them that may be read.
    async fn known_of(&mut self, new: Vec<(LandedObject, Option<Taken>)>) -> (Known, Vec<LandedObject>) {
        // This hour was begun, or a later one, or none at all: it may have had an intake that is lost.
        let is_lost = |object: &LandedObject| !self.intakes.contains_key(&object.hour) && self.last.is_none_or(|last| object.hour <= last);
        let lost: BTreeSet<String> =
            new.iter().map(|(object, _)| object).filter(|object| is_lost(object)).map(|object| object.key.clone()).collect();
        let (mut known, mut readable) = (Known::default(), Vec::new());
        let heads = if lost.is_empty() { Ok(Vec::new()) } else { self.app.ledgers.heads(&self.table.config.name).await };
        if let Err(e) = &heads {
            self.fail(
                None,
                &Error::new(
                    e.kind(),
                    format!(
                        "it cannot be told whether {} {} in the table already: {e}",
                        counted(lost.len() as u64, "object"),
                        are(lost.len() as u64)
                    ),
                ),
            );
        }
        let is_known = heads.is_ok();
        for head in heads.into_iter().flatten() {
            let held = head.sources.iter().chain(&head.held).filter(|source| lost.contains(&source.key));
            let keys: Vec<String> = held.map(|source| source.key.clone()).collect();
            if !keys.is_empty() {
                keys.into_iter().for_each(|key| known.holders.entry(key).or_default().extend([head.partition.clone()]));
                self.looked_at.insert(head.partition.clone());
                self.heads.insert(head.partition.clone(), head);
            }
        }
        for (object, before) in new {
            if is_known || !lost.contains(&object.key) {
                known.before.insert(object.key.clone(), before);
                readable.push(object);
            }
        }
        (known, readable)
    }

    /// Those that are to be read now: what could not be read before, and has not changed since, waits. It fails in the partition of its
    /// arrival hour.
    async fn due(&mut self, new: Vec<LandedObject>) -> Vec<LandedObject> {
        let (mut homes, mut due) = (BTreeMap::<PartitionId, Vec<LandedObject>>::new(), Vec::new());
        for object in new {
            match partition_of(&self.table.config, &object) {
                Ok(home) => homes.entry(home).or_default().push(object),
                Err(e) => self.fail(None, &e),
            }
        }
        self.look_at(homes.keys().cloned().collect()).await;
        let mut plans: Vec<_> = homes.into_iter().map(|(home, objects)| self.reading(home, objects)).collect();
        self.hold_back(&mut plans).await;
        for plan in plans {
            if let Action::Merge { objects, .. } = plan.action {
                due.extend(objects);
            }
        }
        landing::in_order(&mut due);
        due
    }

    /// Reading these objects, as something that may fail in the partition of their arrival hour.
    fn reading(&self, home: PartitionId, objects: Vec<LandedObject>) -> PartitionPlan {
        let previous = self.heads.get(&home).cloned().map(Box::new);
        let action = Action::Merge { previous, objects };
        PartitionPlan { partition: home, action, objects: Vec::new(), rolled_back: None }
    }

    /// Enters which objects could not be read.
    fn fail_reading(&mut self, unread: Vec<(LandedObject, Error)>) {
        let mut homes: BTreeMap<PartitionId, (Vec<LandedObject>, Error)> = BTreeMap::new();
        for (object, e) in unread {
            let told = Error::new(e.kind(), format!("cannot take in object {}: {e}", object.key));
            match partition_of(&self.table.config, &object) {
                Ok(home) => homes.entry(home).or_insert_with(|| (Vec::new(), told)).0.push(object),
                Err(e) => self.fail(None, &e),
            }
        }
        for (home, (objects, first)) in homes {
            let error = match objects.len() {
                1 => first,
                more => Error::new(first.kind(), format!("{first}; and {} more", more - 1)),
            };
            let failure = self.retries.failed(&self.reading(home, objects), &error);
            self.failures.push(failure);
        }
    }

    async fn read(&mut self, objects: &[LandedObject], known: &Known) -> Result<()> {
        let Some(scatter) = &self.table.scatter else { return Err(Error::internal("a table whose rows do not scatter")) };
        let (state, limits, none) = (&self.app.state, &self.app.limits, Queue::default());
        let mut reader = Reader::new(self.table, state, &none, objects, limits);
        let (mut portion, mut unread) = (Portion::default(), Vec::new());
        while let Some(reading) = reader.next().await {
            let object = reading.object.clone();
            if self.is_over() {
                reading.give_up().await;
                self.fail(
                    None,
                    &Error::unavailable(format!("the time for this run was over before object {} was read; run again", object.key)),
                );
                break;
            }
            match spread::spread(state, self.table, scatter, limits, &self.app.clock.new_id(), reading).await {
                Ok((spread, staging)) => {
                    if staging != Staging::ForTheRun {
                        self.staged.insert(self.recipe.staged_key(&object));
                    }
                    self.enter(&mut portion, &object, &spread, known).await;
                }
                Err(e) => unread.push((object, e)),
            }
            self.app.limits.progress.inc(1);
        }
        self.write_portion(&mut portion, known).await;
        self.fail_reading(unread);
        Ok(())
    }

    async fn enter(&mut self, portion: &mut Portion, object: &LandedObject, spread: &Spread, known: &Known) {
        let home = match partition_of(&self.table.config, object) {
            Ok(home) => home,
            Err(e) => return self.fail(None, &e),
        };
        if portion.hour != Some(object.hour) || portion.objects.len() >= PORTION {
            self.write_portion(portion, known).await;
            portion.hour = Some(object.hour);
        }
        let (key, memory) = (self.recipe.staged_key(object), self.app.limits.memory);
        let Spread { outcome, shares, untimed, placement } = spread;
        let before = known.before.get(&object.key).cloned().flatten();
        let taken = plan::taken(object, Placed { outcome, shares, untimed: *untimed, placement, memory }, home, key, before.as_ref());
        portion.warned += outcome.tally.warned;
        portion.objects.push((taken, before));
    }

    async fn write_portion(&mut self, portion: &mut Portion, known: &Known) {
        let Portion { hour, objects, warned } = std::mem::take(portion);
        let Some(hour) = hour else { return };
        match self.place(hour, objects, known).await {
            Ok(()) => self.warned += warned,
            Err(e) => self.fail_hour(hour, &e),
        }
    }

    /// Writes down the places of objects that were read.
    async fn place(&mut self, hour: Hour, objects: Vec<(Taken, Option<Taken>)>, known: &Known) -> Result<()> {
        let mut partitions = BTreeSet::new();
        for (taken, _) in &objects {
            partitions.extend(taken.partitions()?);
            partitions.insert(taken.home.clone());
        }
        self.look_at(partitions).await;
        let (mut new, mut moved, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
        for (mut taken, before) in objects {
            match &before {
                None => {
                    let holders = self.holders(&taken, known)?;
                    if holders.contains(&taken.home) {
                        // Where it was set aside once, its records there were replaced by none.
                        taken.shares.entry(taken.home.to_string()).or_insert(0);
                    }
                    let fits = holders.is_empty() || plan::is_whole(&taken, &holders, &self.heads)?;
                    if fits { new.push((taken, before)) } else { unknown.push((taken, holders)) }
                }
                Some(begun) if begun.done || taken.places_as(begun) => new.push((taken, before)),
                Some(begun) if begun.is_begun(&self.heads)? => self.give_up(begun),
                Some(begun) => moved.push((taken, begun.clone())),
            }
        }
        self.tell_lost(hour, unknown).await?;
        self.write_down(hour, |known| plan::with(known, &new)).await?;
        self.move_places(hour, moved).await
    }

    /// The partitions whose ledgers name an object that no intake names.
    fn holders(&self, taken: &Taken, known: &Known) -> Result<BTreeSet<PartitionId>> {
        let mut holders = known.holders.get(&taken.key).cloned().unwrap_or_default();
        let named = taken.partitions()?.into_iter().chain([taken.home.clone()]);
        holders.extend(named.filter(|id| self.heads.get(id).is_some_and(|head| of_object(head, &taken.key).is_some())));
        Ok(holders)
    }

    /// Tells of objects that are in the table otherwise than they would be today, although no intake names them.
    async fn tell_lost(&mut self, hour: Hour, objects: Vec<(Taken, BTreeSet<PartitionId>)>) -> Result<()> {
        if objects.is_empty() {
            return Ok(());
        }
        // Another run may have written them down, and merged them, since this one looked.
        self.refresh(hour).await?;
        for (taken, holders) in objects {
            if self.intakes.get(&hour).is_some_and(|intake| intake.object(&taken.key).is_some()) {
                continue;
            }
            let named: Vec<String> = holders.iter().take(3).map(ToString::to_string).collect();
            let lost = format!(
                "object {} is in {} of the table already ({}), not as it would be taken in today, and no intake says which of its rows belong where; nothing \
                 of it was changed: restore the folder `intake` from the newest backup of the state location; if there is only an older one, remove it \
                 whole, and the intakes are made again from the ledgers",
                taken.key,
                crate::words::counted(holders.len() as u64, "partition"),
                named.join(", ")
            );
            self.fail(None, &Error::data(lost));
            self.given_up.insert(taken.key);
        }
        Ok(())
    }

    /// Gives objects that were begun, and of which no partition has a share, other places.
    ///
    /// Another run may be about to commit a share by the old places. So they are withdrawn first: whoever asks from then on commits none. Then
    /// each partition gets a version: whoever asked before cannot commit behind the head that it read. If one of them has its share by
    /// then, the old places stay.
    async fn move_places(&mut self, hour: Hour, moved: Vec<(Taken, Taken)>) -> Result<()> {
        if moved.is_empty() {
            return Ok(());
        }
        let id = self.app.clock.new_id();
        let withdrawn = |before: &Taken| Taken { withdrawn: Some(id.clone()), ..before.clone() };
        let all: Vec<_> = moved.iter().map(|(_, before)| (withdrawn(before), Some(before.clone()))).collect();
        self.write_down(hour, |known| plan::with(known, &all)).await?;
        let ours = |work: &Self, before: &Taken| {
            work.intakes.get(&hour).and_then(|intake| intake.object(&before.key)).is_some_and(|now| *now == withdrawn(before))
        };
        // What another run wrote down meanwhile stays.
        let moved: Vec<_> = moved.into_iter().filter(|(_, before)| ours(self, before)).collect();
        let mut partitions = BTreeSet::new();
        for (_, before) in &moved {
            partitions.extend(before.partitions()?);
        }
        for partition in partitions {
            self.fence(&partition).await?;
        }
        let mut next = Vec::new();
        for (taken, before) in moved {
            let known = Some(withdrawn(&before));
            if before.is_begun(&self.heads)? {
                self.give_up(&before);
                next.push((before, known));
            } else {
                next.push((taken, known));
            }
        }
        self.write_down(hour, |known| plan::with(known, &next)).await
    }

    /// Makes sure that nobody commits behind a head of the partition that was read before now, by a version in which nothing changes.
    async fn fence(&mut self, partition: &PartitionId) -> Result<()> {
        let name = &self.table.config.name;
        let (queue, head) = (Queue::default(), self.app.ledgers.head(name, partition).await?);
        let context = self.app.merging(&queue, self.run, self.request.at);
        let id = merge::next_id(&context, head.as_ref());
        let (next, committed) = match &head {
            Some(head) => {
                let next = head.swept(head.retired.clone(), id.attempt, self.run.to_string(), self.request.at);
                let committed = Ending::of(self.app, &self.table.location).commit(&next, Some(head), false).await?;
                (next, committed)
            }
            None => {
                let (table, state, limits) = (self.table, &self.app.state, &self.app.limits);
                let attempt = Attempt {
                    table,
                    state,
                    limits,
                    partition,
                    id,
                    previous: None,
                    afresh: false,
                    objects: &[],
                    queue: &queue,
                    redrive: None,
                };
                let next = merge::nothing(&context, &attempt);
                let committed = merge::finish(&context, &attempt, &next).await?;
                (next, committed)
            }
        };
        // A version that somebody else created meanwhile does as well.
        let head = if let Committed::Lost(theirs) = committed { *theirs } else { next };
        self.looked_at.insert(partition.clone());
        self.merged.insert(partition.clone());
        self.heads.insert(partition.clone(), head);
        Ok(())
    }
}
