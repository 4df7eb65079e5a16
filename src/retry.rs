//! Failing hours: which of them a run tries again, what it notes of those that fail, and that those are told of that do not any more.

mod refused;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};

use crate::app::App;
use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::error::{Error, Kind, Result};
use crate::events::Event;
use crate::failing::store::Noted;
use crate::failing::{Attempt, Record, minute};
use crate::hour::Hour;
use crate::landing::{Hours, LandedObject};
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::plan::{Action, PartitionPlan};
use crate::pipeline::Request;
use crate::queue::{self, Queue, Recipe};
use crate::schema::TableSchema;
use crate::summary::Failure;

/// The failing hours of one table, as one run meets them.
#[derive(Debug)]
pub struct Retries {
    table: TableName,
    /// The time the run is made for, UTC.
    at: DateTime<Utc>,
    /// The hours that the run looks at.
    looked_at: Hours,
    close_after: TimeDelta,
    /// A person named the hours: all are tried.
    wanted: bool,
    recipe: Recipe,
    /// What is staged: one of these that turned out to be broken is not read again.
    queue: Queue,
    /// All that a merge depends on beside its objects and the recipe.
    settings: String,
    /// What earlier runs noted, once it is read.
    noted: Option<Noted>,
    /// What is known now.
    hours: BTreeMap<PartitionId, Record>,
    /// The partitions that the catalog was asked for, or that wait until it is.
    asked_for: BTreeSet<PartitionId>,
    /// Of the hours that do not fail in this run: those whose ledger lists an object that was never read, and that object.
    lacking: Vec<(PartitionId, String)>,
}

impl Retries {
    /// Nothing is known yet. `queue` is what is staged, `hours` are those that the run looks at.
    pub fn new(config: &TableConfig, schema: &TableSchema, memory: u64, queue: &Queue, request: &Request, hours: &Hours) -> Self {
        Self {
            queue: queue.clone(),
            table: config.name.clone(),
            at: request.at,
            looked_at: hours.clone(),
            close_after: config.close_after,
            wanted: request.since.is_some(),
            recipe: Recipe::new(config, schema),
            settings: format!("{config:?} {memory}"),
            noted: None,
            hours: BTreeMap::new(),
            asked_for: BTreeSet::new(),
            lacking: Vec::new(),
        }
    }

    /// Reads what earlier runs noted, unless that is done. `top` is what lies in the state location itself. If it cannot be read,
    /// all hours are tried.
    async fn read(&mut self, app: &App, top: &[(String, u64)]) {
        if self.noted.is_some() {
            return;
        }
        match Noted::read(&app.state, &self.table, top).await {
            Ok(noted) => {
                for (partition, record) in &noted.hours {
                    self.hours.entry(partition.clone()).or_insert_with(|| record.clone());
                }
                self.noted = Some(noted);
            }
            Err(e) => tracing::warn!("{}: it is not known which hours fail: {e}", self.table),
        }
    }

    /// Takes those plans away that are not to be tried now, and returns them with their failures. `top` is what lies in the state location
    /// itself.
    pub async fn hold_back(&mut self, app: &App, plans: &mut Vec<PartitionPlan>, top: &[(String, u64)]) -> Vec<(Failure, PartitionPlan)> {
        self.read(app, top).await;
        let failures: Vec<_> = plans.iter().map(|plan| self.waiting(plan).map(|known| Failure::waiting(&self.table, known))).collect();
        let (mut held, all) = (Vec::new(), std::mem::take(plans));
        for (plan, failure) in all.into_iter().zip(failures) {
            match failure {
                Some(failure) => held.push((failure, plan)),
                None => plans.push(plan),
            }
        }
        held
    }

    /// The record of a partition that is not to be tried now.
    fn waiting(&self, plan: &PartitionPlan) -> Option<&Record> {
        let Action::Merge { previous, objects } = &plan.action else { return None };
        let record = self.hours.get(&plan.partition).filter(|record| !record.refused && !self.wanted)?;
        record.waits(self.at, &self.fingerprint(version(previous.as_deref()), objects.iter())).then_some(record)
    }

    /// What a merge of these objects depends on: the same again would fail again, unless the cause lies outside.
    fn fingerprint<'o>(&self, version: u64, objects: impl Iterator<Item = &'o LandedObject>) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("{} {version}", self.settings));
        for object in objects {
            digest.update(self.recipe.staged_key(object));
            digest.update([u8::from(self.queue.staged(&self.recipe, object).is_some())]);
        }
        queue::hex(&digest.finalize(), 8)
    }

    /// Enters that a merge failed, and returns the failure.
    pub fn failed(&mut self, plan: &PartitionPlan, error: &Error) -> Failure {
        let failure = Failure::new(&self.table, Some(&plan.partition), error);
        match &plan.action {
            // A lost race says nothing of the hour: another run got on with it.
            Action::Merge { previous, objects } if error.kind() != Kind::Conflict => {
                let tried: Vec<&LandedObject> = objects.iter().collect();
                failure.known(self.enter(&plan.partition, version(previous.as_deref()), &tried, (error.kind(), error.to_string())))
            }
            _ => failure,
        }
    }

    /// Enters the objects of a committed version that could not be read: the next runs try to add them.
    pub fn committed(&mut self, version: &LedgerVersion, objects: &[LandedObject]) {
        let reason = |object: &LandedObject| {
            let missing = version.missing.iter().find(|missing| missing.key == object.key)?;
            version.source(&object.key).is_none().then_some(&missing.reason)
        };
        let unread: Vec<&LandedObject> = objects.iter().filter(|object| reason(object).is_some()).collect();
        if let Some((object, reason)) = unread.first().and_then(|object| Some((object, reason(object)?))) {
            let reason = format!("cannot read object {}: {reason}", object.key);
            self.enter(&version.partition, version.version, &unread, (Kind::Unavailable, reason));
        }
    }

    fn enter(&mut self, partition: &PartitionId, version: u64, objects: &[&LandedObject], (kind, reason): (Kind, String)) -> &Record {
        let attempt = Attempt {
            partition: partition.clone(),
            hour: objects.iter().map(|object| object.hour).min().unwrap_or_else(|| Hour::of(self.at)),
            at: self.at,
            kind,
            reason,
            tried: self.fingerprint(version, objects.iter().copied()),
            version,
            refused: false,
        };
        let record = Record::after(self.hours.get(partition), attempt);
        self.hours.entry(partition.clone()).insert_entry(record).into_mut()
    }

    /// Tells of the hours that failed before and not in this run, which looked at them; `failures` are those of the run, `is_open` is true for a
    /// partition that lacks something of an arrival hour all the same, `top` is what lies in the state location itself. An hour is not good
    /// again while its ledger lists an object that was never read: if that was moved away, no run tries it any more, and its records are
    /// lacking all the same.
    ///
    /// # Errors
    /// As [`crate::events::EventSink::send`]; the next run tells of them then.
    pub async fn heal(
        &mut self,
        app: &App,
        run: &str,
        top: Vec<(String, u64)>,
        failures: &[Failure],
        is_open: impl Fn(&PartitionId, Hour) -> bool,
    ) -> Result<()> {
        self.read(app, &top).await;
        let fails = |record: &Record| {
            is_open(&record.partition, record.hour) || failures.iter().any(|failure| failure.is_of(&self.table, &record.partition))
        };
        let quiet = self.hours.values().filter(|record| self.was_tried(record) && !fails(record));
        let quiet: Vec<PartitionId> = quiet.map(|record| record.partition.clone()).collect();
        let mut healed = Vec::new();
        for (partition, head) in quiet.iter().zip(app.ledgers.each_head(&self.table, &quiet).await) {
            match head.map(|head| head.and_then(|head| unread(&head).map(str::to_string))) {
                Ok(None) => healed.push(partition.clone()),
                Ok(Some(key)) => self.lacking.push((partition.clone(), key)),
                Err(e) => tracing::warn!("{} {partition}: it is not known whether it is good again: {e}", self.table),
            }
        }
        let events: Vec<Event> = healed.iter().map(|id| Event::of_healed(&self.table, run, self.at, &self.hours[id])).collect();
        if !events.is_empty() {
            app.events.send(&events).await?;
        }
        self.hours.retain(|partition, _| !healed.contains(partition));
        Ok(())
    }

    /// What people should know of hours that are not good again although nothing failed: those of which an object is gone that was never
    /// read, and those that no run looks at any more.
    pub fn warnings(&self) -> impl Iterator<Item = String> + '_ {
        let lacking = self.lacking.iter().map(|(partition, key)| {
            format!(
                "{partition}: object {key} could not be read when its hour was merged, and is not there any more; land it again, or let \
                 `lakebed repair` make the hour of what is there"
            )
        });
        // A run that a person sent elsewhere does not know where the others look.
        let is_given_up = |record: &&Record| !self.wanted && !self.looked_at.reach(record.hour) && !record.refused;
        let given_up = self.hours.values().filter(is_given_up).map(|record| {
            let Record { partition, hour, since, .. } = record;
            format!(
                "{partition}: it has been failing since {}, and no run looks at it any more; `lakebed run --since {hour}` does",
                minute(*since)
            )
        });
        lacking.chain(given_up)
    }

    /// Notes what is known now for later runs; `told` if others were told of the run's failures.
    pub async fn note(mut self, app: &App, failures: &[Failure], told: bool) {
        for record in self.hours.values_mut() {
            record.told |= told && failures.iter().any(|failure| failure.is_of(&self.table, &record.partition));
        }
        let noted = self.noted.unwrap_or_default();
        if noted.hours == self.hours {
            return;
        }
        if let Err(e) = noted.replace(&app.state, &self.table, &self.hours, &app.clock.new_id()).await {
            tracing::warn!("{}: which hours fail is not noted as it is now: {e}", self.table);
        }
    }
}

/// Tells that a partition is good again that had been failing, and forgets it. If it had not, or an object of it could not be read this time
/// either, nothing is done.
///
/// # Errors
/// As [`crate::events::EventSink::send`], and if the ledger cannot be read, or the state location cannot be read or written: the next run that looks at the hour does it.
pub async fn repaired(app: &App, table: &TableName, run: &str, partition: &PartitionId) -> Result<()> {
    let noted = Noted::read(&app.state, table, &app.state.top().await?).await?;
    let mut hours = noted.hours.clone();
    let Some(known) = hours.remove(partition) else { return Ok(()) };
    if app.ledgers.head(table, partition).await?.is_some_and(|head| unread(&head).is_some()) {
        return Ok(());
    }
    app.events.send(&[Event::of_healed(table, run, app.clock.now(), &known)]).await?;
    noted.replace(&app.state, table, &hours, &app.clock.new_id()).await
}

/// The first object that the ledger lists as missing because it was never read. Of one that was read in part the rest is not tried again.
fn unread(head: &LedgerVersion) -> Option<&str> {
    head.missing.iter().map(|missing| missing.key.as_str()).find(|key| head.source(key).is_none())
}

fn version(previous: Option<&LedgerVersion>) -> u64 {
    previous.map_or(0, |version| version.version)
}
