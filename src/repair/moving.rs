//! What a repair makes anew where rows scatter: a partition, or all partitions that objects feed whose rows have other places today.
//!
//! The rows of the objects of a partition cannot be told apart. So where one object's rows move, all objects of the partitions that it feeds, or
//! is to feed, are read, and where the rows of one of these move too, those of its partitions.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::apart::Apart;
use super::plan;
use crate::app::App;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::{self, LandedObject, discover};
use crate::layout::{self, PartitionId};
use crate::ledger::LedgerVersion;
use crate::merge::intake::{Intake as Reader, Reading};
use crate::merge::plan::{is_error_output, partition_of};
use crate::pipeline::ManagedTable;
use crate::queue::spread::{self, Spread};
use crate::queue::stage::Staging;
use crate::queue::{Queue, Recipe};
use crate::scatter::intake::Taken;
use crate::scatter::moves::{Move, Moved};
use crate::scatter::place::Scatter;
use crate::scatter::plan::{Placed, taken};
use crate::scatter::share::Share;
use crate::scatter::store::{self, Newest};
use crate::words::counted;

/// Requests under way at once when many objects are looked for.
const CONCURRENCY: usize = 16;

/// What is made anew, and of what.
pub struct Anew {
    /// The partition that the repair is asked for.
    asked: PartitionId,
    /// The partitions.
    pub partitions: BTreeSet<PartitionId>,
    /// Their newest versions, of those that have one.
    pub heads: BTreeMap<PartitionId, LedgerVersion>,
    /// What was written down of moves before all that.
    pub(super) latest: Option<Move>,
    /// All landed objects of these partitions, by their keys.
    objects: BTreeMap<String, Object>,
    /// What redrives did to the partitions.
    apart: Apart,
}

/// A landed object as it is today.
struct Object {
    landed: LandedObject,
    /// What its intake says of it.
    before: Taken,
    /// What is to be written down of it.
    now: Taken,
    /// It is in the queue.
    staged: bool,
}

impl Object {
    /// Its rows have other places than before.
    fn moves(&self) -> bool {
        !self.now.places_as(&self.before)
    }

    /// All partitions that have something of it, or are to get it.
    fn places(&self) -> Result<Vec<PartitionId>> {
        Ok([self.before.partitions()?, self.now.partitions()?].concat())
    }
}

impl Anew {
    /// Finds out what a repair of `asked` makes anew; `latest` is what is written down of moves. What is read is staged, unless it is only
    /// looked at.
    ///
    /// # Errors
    /// `Data` if objects of one of the partitions are gone from the landing, or if it is not written down which rows of theirs belong where;
    /// `Unavailable` if one cannot be read; `Conflict` if a run has not taken in one of them wholly.
    pub async fn find(app: &App, table: &ManagedTable, asked: &PartitionId, latest: Option<Move>, dry_run: bool) -> Result<Self> {
        let (name, asked) = (&table.config.name, asked.clone());
        let mut next = BTreeSet::from([asked.clone()]);
        let (partitions, heads, objects) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        let mut anew = Self { asked, partitions, heads, latest, objects, apart: Apart::default() };
        while !next.is_empty() {
            let partitions = Vec::from_iter(std::mem::take(&mut next));
            let heads = app.ledgers.heads_of(name, &partitions).await?;
            for head in &heads {
                anew.apart.enter(app, table, head).await?;
            }
            let sources = heads.iter().flat_map(|head| head.sources.iter().chain(&head.held));
            let mut unread: BTreeMap<String, Hour> = sources.map(|source| (landed_key(&source.key).to_string(), source.hour)).collect();
            unread.retain(|key, _| !anew.objects.contains_key(key) && !is_error_output(&table.config, key));
            let objects = anew.read(app, table, unread, dry_run).await?;
            anew.partitions.extend(partitions);
            anew.objects.extend(objects.into_iter().map(|object| (object.landed.key.clone(), object)));
            anew.heads.extend(heads.into_iter().map(|head| (head.partition.clone(), head)));
            next.extend(anew.apart.partitions().cloned());
            for object in anew.objects.values().filter(|object| anew.is_moved(object)) {
                next.extend(object.places()?);
            }
            next.retain(|partition| !anew.partitions.contains(partition));
        }
        anew.heads.values().try_for_each(|head| anew.refuse_lost(head))?;
        if anew.moves() {
            anew.heads.values().try_for_each(|head| anew.refuse_held(head))?;
        }
        Ok(anew)
    }

    /// True if rows move.
    pub fn moves(&self) -> bool {
        self.apart.moves() || self.objects.values().any(Object::moves)
    }

    /// True if redrives moved rows between the partitions, or may once more.
    pub(super) fn is_apart(&self) -> bool {
        !self.apart.is_empty()
    }

    /// True for an object whose rows have other places than before, or are to be where a redrive did not bring them.
    fn is_moved(&self, object: &Object) -> bool {
        object.moves() || self.apart.is_of(&object.landed.key)
    }

    /// The objects whose rows move.
    pub(super) fn moved(&self) -> Vec<Moved> {
        let moved = self.objects.values().filter(|object| self.is_moved(object));
        moved.map(|Object { landed, before, now, .. }| Moved { hour: landed.hour, before: before.clone(), now: now.clone() }).collect()
    }

    /// True for an object that a partition holds no longer, as rows of it are taken in anew, or are elsewhere.
    pub(super) fn takes(&self, key: &str) -> bool {
        // All partitions with rows of a redrive are made anew with the one that these left.
        layout::parse_redriven_key(key).is_some() || self.objects.get(key).is_some_and(|object| self.is_moved(object))
    }

    /// The landed objects that have something in a partition, or had.
    pub fn landed(&self, head: &LedgerVersion) -> Vec<LandedObject> {
        let path = head.partition.to_string();
        let is_of = |object: &&Object| {
            object.now.shares.contains_key(&path) || head.source(&object.landed.key).or(head.held(&object.landed.key)).is_some()
        };
        let mut landed: Vec<LandedObject> = self.objects.values().filter(is_of).map(|object| object.landed.clone()).collect();
        landed.extend_from_slice(self.apart.reports(&head.partition));
        landing::in_order(&mut landed);
        landed
    }

    /// What a partition is made anew of: its objects, and its shares of these. What a rollback took out of another partition than the one
    /// that is asked for stays out of it, unless its rows move.
    pub(super) fn shares(&self, partition: &PartitionId, table: &ManagedTable) -> Result<(Vec<LandedObject>, Queue)> {
        let Some(scatter) = &table.scatter else { return Err(Error::internal("a table whose rows do not scatter")) };
        let (path, head) = (partition.to_string(), self.heads.get(partition));
        let is_held = |key: &str| *partition != self.asked && head.is_some_and(|head| head.held(key).is_some());
        let stays_out = |object: &Object| !self.is_moved(object) && is_held(&object.landed.key);
        let ours = || self.objects.values().filter(|object| object.now.shares.contains_key(&path) && !stays_out(object));
        let share = |object: &Object| {
            let staged = object.staged.then(|| object.now.staged.clone());
            (object.landed.key.clone(), Share { staged, ..Share::of(scatter, &object.now, partition) })
        };
        let mut objects: Vec<LandedObject> = ours().map(|object| object.landed.clone()).collect();
        // Whose the rows of these are, shows when they are read once more.
        objects.extend(self.apart.reports(partition).iter().filter(|report| !is_held(&report.key)).cloned());
        landing::in_order(&mut objects);
        Ok((objects, Queue::of_shares(ours().map(share).collect())))
    }

    /// Reads those of the objects that are in the landing to their ends.
    async fn read(&self, app: &App, table: &ManagedTable, unread: BTreeMap<String, Hour>, dry_run: bool) -> Result<Vec<Object>> {
        let Some(scatter) = &table.scatter else { return Err(Error::internal("a table whose rows do not scatter")) };
        let hours = unread.values().copied().collect();
        let Newest { intakes, unreadable, .. } = store::newest(&app.state, &table.config.name, &hours).await?;
        if let Some(e) = unreadable.into_values().next() {
            return Err(e);
        }
        let found = futures::stream::iter(unread.keys()).map(|key| discover::landed(&table.landing, &table.config, key));
        let landed = found.buffered(CONCURRENCY).try_filter_map(|object| std::future::ready(Ok(object)));
        let (landed, none): (Vec<LandedObject>, _) = (landed.try_collect().await?, Queue::default());
        let mut reader = Reader::new(table, &app.state, &none, &landed, &app.limits);
        let mut objects = Vec::new();
        while let Some(reading) = reader.next().await {
            let object = reading.object.clone();
            let before = intakes.get(&object.hour).and_then(|intake| intake.object(&object.key));
            let before = match before {
                Some(before) => known(table, before).cloned(),
                None => Err(lost(table, &object.key)),
            };
            let read = match before {
                Ok(before) => place(app, table, scatter, reading, dry_run).await.map(|read| (before, read)),
                Err(e) => {
                    reading.give_up().await;
                    return Err(e);
                }
            };
            let (before, (spread, staged)) = read.map_err(|e| {
                Error::new(e.kind(), format!("{}: cannot read object {}: {e}; nothing was changed", table.config.name, object.key))
            })?;
            objects.push(object_of(app, table, object, before, &spread, staged)?);
        }
        Ok(objects)
    }

    /// No rollback leads back behind a repair that moves rows: what one took out must be in the landing, or nothing would bring it back.
    fn refuse_held(&self, head: &LedgerVersion) -> Result<()> {
        let keys: BTreeSet<&str> = head.held.iter().map(|held| landed_key(&held.key)).collect();
        let gone: Vec<String> =
            keys.into_iter().filter(|key| !self.objects.contains_key(*key) && !self.apart.has_report(key)).map(String::from).collect();
        let Some(first) = gone.first() else { return Ok(()) };
        let (are, back) = if gone.len() == 1 { ("is", "it") } else { ("are", "them") };
        Err(Error::data(format!(
            "{} {}: a rollback took {} out of it that {are} not in the landing any more, {first} for one, and behind a repair that moves rows no rollback brings \
             {back} back; nothing was changed: put {back} back, or roll the partition forward first",
            head.table,
            head.partition,
            counted(gone.len() as u64, "object")
        ))
        .about(&head.partition, gone))
    }

    /// Objects that a partition holds must be there, and it must be written down that it gets something of them.
    fn refuse_lost(&self, head: &LedgerVersion) -> Result<()> {
        let is_there = |key: &str| self.objects.contains_key(key) || self.apart.has_report(key);
        let gone: BTreeSet<&str> = head.sources.iter().map(|source| landed_key(&source.key)).filter(|key| !is_there(key)).collect();
        if !gone.is_empty() {
            return Err(plan::gone(&head.table, &head.partition, &gone.into_iter().map(String::from).collect::<Vec<_>>()));
        }
        let path = head.partition.to_string();
        let has = |key: &String| self.objects.get(key).is_none_or(|object| object.before.shares.contains_key(&path));
        match head.sources.iter().chain(&head.held).find(|source| !has(&source.key)) {
            Some(source) => Err(Error::data(format!(
                "{} {path}: it has rows of object {}, and by the intake of its hour none belong here; nothing was changed: put back the newest \
                 intakes, or let --from-merged write the rows that are there once more",
                head.table, source.key
            ))),
            None => Ok(()),
        }
    }
}

/// Reads an object; true if it is staged.
async fn place(app: &App, table: &ManagedTable, scatter: &Scatter, reading: Reading, dry_run: bool) -> Result<(Spread, bool)> {
    if dry_run {
        return Ok((spread::looked_at(scatter, reading).await?, false));
    }
    let (spread, staging) = spread::spread(&app.state, table, scatter, &app.limits, &app.clock.new_id(), reading).await?;
    Ok((spread, staging != Staging::ForTheRun))
}

/// What is written down of an object, if nothing is under way with it.
fn known<'t>(table: &ManagedTable, before: &'t Taken) -> Result<&'t Taken> {
    if before.done && before.moving.is_none() {
        return Ok(before);
    }
    Err(Error::conflict(format!(
        "{}: object {} is not taken in wholly yet, or another repair is moving its rows; nothing was changed, `lakebed run` first, then repair",
        table.config.name, before.key
    )))
}

fn lost(table: &ManagedTable, key: &str) -> Error {
    Error::data(format!(
        "{}: the intake that says which rows of object {key} belong where is lost; nothing was changed: put it back, or let --from-merged write \
         the rows that are there once more",
        table.config.name
    ))
}

/// The key of the landed object that a source is of.
fn landed_key(key: &str) -> &str {
    layout::parse_redriven_key(key).unwrap_or(key)
}

fn object_of(app: &App, table: &ManagedTable, landed: LandedObject, before: Taken, spread: &Spread, staged: bool) -> Result<Object> {
    let Spread { outcome, shares, untimed, placement } = spread;
    let placed = Placed { outcome, shares, untimed: *untimed, placement, memory: app.limits.memory };
    let (home, key) = (partition_of(&table.config, &landed)?, Recipe::new(&table.config, &table.schema).staged_key(&landed));
    let mut now = Taken { done: true, ..taken(&landed, placed, home, key, None) };
    let home = now.home.to_string();
    // It has a share without records where it was set aside once, and keeps it.
    if before.shares.contains_key(&home) {
        now.shares.entry(home).or_insert(0);
    }
    Ok(Object { landed, before, now, staged })
}
