//! Carries out a repair that moves rows: writes all generations, and then writes down that they are to be live, all or none.

use super::moving::Anew;
use crate::app::App;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::{GenerationId, PartitionId};
use crate::ledger::{LedgerVersion, Operation};
use crate::merge;
use crate::merge::execute::Attempt;
use crate::pipeline::ManagedTable;
use crate::queue::Queue;
use crate::scatter::moves::end::Ending;
use crate::scatter::moves::{self, FORMAT, Move, State, log};

/// A partition that is written and not committed.
struct Made<'a> {
    partition: &'a PartitionId,
    previous: Option<&'a LedgerVersion>,
    objects: Vec<LandedObject>,
    queue: Queue,
    id: GenerationId,
}

/// A repair that moves rows, under way.
pub struct Carry<'a> {
    /// The wired program.
    pub app: &'a App,
    /// The table.
    pub table: &'a ManagedTable,
    /// ULID of the repair.
    pub run: &'a str,
    /// What it makes anew.
    pub anew: &'a Anew,
}

impl<'a> Carry<'a> {
    /// Makes it so. Returns the versions, and how many values broke a rule whose `on_fail` is `warn` or `null`; `None` if another attempt
    /// was faster somewhere: then nothing was changed, and it has to be found out anew what is to be done.
    ///
    /// # Errors
    /// As [`merge::write`]; nothing was changed then. As [`Ending::end`]: then whoever changes the table next ends it.
    pub async fn out(&self) -> Result<Option<(Vec<LedgerVersion>, u64)>> {
        let Self { app, table, anew, .. } = *self;
        if anew.latest.as_ref().is_some_and(Move::is_open) {
            return Ok(None);
        }
        app.ledgers.probe(&app.clock.new_id()).await?;
        let (mut made, mut versions, mut warned) = (Vec::new(), Vec::new(), 0);
        for partition in &anew.partitions {
            let one = self.made(partition)?;
            match self.write(&one).await {
                Ok((version, values)) => {
                    versions.push(version);
                    warned += values;
                    made.push(one);
                }
                Err(e) => {
                    self.clean_up(&made).await;
                    return Err(e);
                }
            }
        }
        let begun = self.begun(&versions);
        if let Err(e) = begun.check_versions(|partition| anew.heads.get(partition)) {
            self.clean_up(&made).await;
            return Err(e);
        }
        // If it is not known whether that is there, the files stay: whoever changes the table next ends it, or a sweep removes them.
        if !log::commit(&app.state, &begun, anew.latest.as_ref()).await? {
            self.clean_up(&made).await;
            return Ok(None);
        }
        Ending::of(app, &table.location).end(&table.config.name).await?;
        let next = log::version(&app.state, &table.config.name, begun.version + 1).await?;
        if next.is_some_and(|next| next.state == State::Decided) {
            return Ok(Some((versions, warned)));
        }
        self.clean_up(&made).await;
        Ok(None)
    }

    /// What is written down before anything refers to what was written.
    fn begun(&self, versions: &[LedgerVersion]) -> Move {
        let anew = |version: &LedgerVersion| moves::Anew { closed_by: self.app.clock.new_id(), version: version.clone() };
        let id = self.app.clock.new_id();
        Move {
            format: FORMAT,
            table: self.table.config.name.clone(),
            version: self.anew.latest.as_ref().map_or(1, |latest| latest.version + 1),
            attempt: id.clone(),
            id,
            run: self.run.to_string(),
            at: self.app.clock.now(),
            state: State::Begun,
            partitions: versions.iter().map(anew).collect(),
            objects: self.anew.moved(),
        }
    }

    fn made(&self, partition: &'a PartitionId) -> Result<Made<'a>> {
        let (objects, queue) = self.anew.shares(partition, self.table)?;
        let previous = self.anew.heads.get(partition);
        // Before it comes the version that closes the partition.
        let id = GenerationId { number: previous.map_or(0, |head| head.version) + 2, attempt: self.app.clock.new_id() };
        Ok(Made { partition, previous, objects, queue, id })
    }

    fn attempt<'m>(&'m self, made: &'m Made<'_>) -> Attempt<'m> {
        Attempt {
            table: self.table,
            state: &self.app.state,
            limits: &self.app.limits,
            partition: made.partition,
            id: made.id.clone(),
            previous: made.previous,
            afresh: true,
            objects: &made.objects,
            queue: &made.queue,
            redrive: None,
        }
    }

    async fn write(&self, made: &Made<'_>) -> Result<(LedgerVersion, u64)> {
        let context = self.app.merging(&made.queue, self.run, self.app.clock.now());
        let attempt = self.attempt(made);
        let (mut version, warned) = merge::write(&context, &attempt, Operation::Move).await?;
        if let Err(e) = merge::write_down(&context, &version).await {
            attempt.clean_up().await;
            return Err(e);
        }
        version.held.retain(|held| !self.anew.takes(&held.key));
        if let Some(unread) = made.objects.iter().find(|object| version.source(&object.key).is_none()) {
            attempt.clean_up().await;
            let reason =
                version.missing.iter().find(|missing| missing.key == unread.key).map_or("it was not read", |missing| &missing.reason);
            return Err(Error::unavailable(format!(
                "{} {}: cannot read object {}, whose rows are in the table: {reason}; nothing was changed, repair again then",
                self.table.config.name, made.partition, unread.key
            )));
        }
        Ok((version, warned))
    }

    async fn clean_up(&self, made: &[Made<'_>]) {
        for made in made {
            self.attempt(made).clean_up().await;
        }
    }
}
