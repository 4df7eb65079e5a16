//! `redrive`: quarantined records once more, under today's columns and rules, into their own partition.

pub mod bound;
pub mod errors;
pub mod plan;
pub mod summary;

use std::sync::Arc;

use bound::Bound;
use futures::TryStreamExt;
use plan::{Decision, Findings, Rows};
use summary::{MovedInto, PartitionDone, RedriveSummary};

use crate::announce::{self, Shown};
use crate::app::App;
use crate::error::{Error, Result};
use crate::hour::Place;
use crate::layout::PartitionId;
use crate::ledger::store::Committed;
use crate::ledger::{LedgerVersion, Operation};
use crate::merge::execute::Attempt;
use crate::merge::reader::read_generation;
use crate::merge::redrive::judged;
use crate::merge::{self, Merged};
use crate::pipeline::{self, ManagedTable};
use crate::queue::Queue;
use crate::scatter::moves::end;
use crate::scatter::redriven::Redriven;
use crate::scatter::store;
use crate::schema::arrow_schema;
use crate::standardize::kept::Redrive;
use crate::standardize::reject::{self, Code};
use crate::words::counted;

/// What a redrive is asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The table.
    pub table: String,
    /// Only the partitions of this place; without it all.
    pub place: Option<Place>,
    /// Only records that were rejected for this reason.
    pub reason: Option<Code>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// Redrives the quarantined records of a table. What fails is in the summary: one partition that fails does not stop the others.
///
/// # Errors
/// `Config` if there is no such table or place; those of the stores if it cannot be begun.
pub async fn redrive(app: &App, request: &Request) -> Result<RedriveSummary> {
    let config = app.config.tables(Some(&request.table))?[0];
    let mut summary = RedriveSummary::new(app.clock.new_id(), &config.name, config.scatters(), request);
    let Some(table) = pipeline::existing(app, config).await? else {
        return Err(Error::config(format!("{} is not made yet, so there is nothing to redrive; `lakebed run` makes it", config.name)));
    };
    if !request.dry_run {
        if config.scatters() {
            end::left(app, config).await?;
        }
        app.ledgers.probe(&app.clock.new_id()).await?;
    }
    let work = Work { app, table: &table, request, run: summary.run.clone(), tried: plan::fingerprint_of(config, &table.schema) };
    // First, so that what does not fit of them is tried with the others, and a repetition finds all as it left it.
    let mut looked_at = work.take_in_errors(&mut summary).await?;
    let partitions = partitions_of(app, request).await?;
    if let Some(Place { hour, .. }) = &request.place
        && partitions.is_empty()
        && looked_at.is_empty()
        && summary.failures.is_empty()
        && summary.warnings.is_empty()
    {
        return Err(Error::config(format!(
            "{}: nothing was merged for {hour}, so there is nothing to redrive; `lakebed run --since {hour}` merges what landed in it",
            config.name
        )));
    }
    for (partition, head) in partitions {
        let done = match head {
            Ok(Some(head)) if head.quarantine.is_some() => work.partition(head).await,
            Ok(_) => continue,
            Err(e) => Err(e),
        };
        match done {
            Ok(done) => {
                if !looked_at.contains(&partition) {
                    looked_at.push(partition);
                }
                summary.enter(done);
            }
            Err(e) => summary.fail(Some(&partition), &e),
        }
    }
    let redriven = if config.scatters() { work.move_on(&mut summary, &mut looked_at).await } else { Redriven::default() };
    if !request.dry_run && !looked_at.is_empty() {
        match announce::partitions_of(app, &config.name, &looked_at).await {
            Ok(Shown { warnings, refused }) => {
                summary.warnings.extend(warnings);
                refused.iter().for_each(|(partition, e)| summary.fail(Some(partition), e));
            }
            Err(e) => summary.fail(None, &e),
        }
        if let Err(e) = redriven.remove_done(app, &config.name).await {
            tracing::warn!("what redrives moved stays though every partition has it: {e}");
        }
    }
    Ok(summary)
}

/// The partitions asked for that were merged, each with its newest version.
async fn partitions_of(app: &App, request: &Request) -> Result<Vec<(PartitionId, Result<Option<LedgerVersion>>)>> {
    let config = app.config.tables(Some(&request.table))?[0];
    let mut partitions = app.ledgers.partitions(&config.name).await?;
    if let Some(place) = &request.place {
        let fits = partitions.iter().map(|partition| plan::is_at(config, partition, place)).collect::<Result<Vec<_>>>()?;
        let mut fits = fits.into_iter();
        partitions.retain(|_| fits.next().unwrap_or(false));
    }
    let heads = app.ledgers.each_head(&config.name, &partitions).await;
    let is_void = |head: &Result<Option<LedgerVersion>>| matches!(head, Ok(Some(head)) if head.is_void());
    Ok(partitions.into_iter().zip(heads).filter(|(_, head)| !is_void(head)).collect())
}

/// What is the same for all partitions.
struct Work<'a> {
    app: &'a App,
    table: &'a ManagedTable,
    request: &'a Request,
    run: String,
    tried: String,
}

impl Work<'_> {
    /// Merges what redrives moved, this one and any that was cut off before, into the partitions that it belongs to. Returns what it was.
    async fn move_on(&self, summary: &mut RedriveSummary, looked_at: &mut Vec<PartitionId>) -> Redriven {
        let redriven = Redriven::list(self.app, self.table).await.unwrap_or_else(|e| {
            summary.fail(None, &e);
            Redriven::default()
        });
        redriven.unusable.iter().for_each(|(partition, e)| summary.fail(partition.as_ref(), e));
        if self.request.dry_run {
            let waiting = redriven.rows();
            let rows: u64 = waiting.values().sum();
            summary.would_move(waiting);
            let told = |rows| {
                format!("a redrive before this one was cut off: {rows} may wait for other partitions, and this one moves them there")
            };
            summary.warnings.extend((rows > 0).then(|| told(counted(rows, "row"))));
            return Redriven::default();
        }
        let (merged, failed) = redriven.merge(self.app, self.table, &self.run).await;
        for merged in &merged {
            if let Merged::Committed { version, objects, .. } = merged {
                summary.moved.push(MovedInto::new(version, objects));
            }
        }
        // One that was cut off may have committed what the catalog does not show.
        looked_at.extend(redriven.partitions());
        failed.iter().for_each(|(partition, e)| summary.fail(Some(partition), e));
        redriven
    }

    /// Redrives one partition, whose newest version is `head`.
    async fn partition(&self, mut head: LedgerVersion) -> Result<PartitionDone> {
        for _ in 0..merge::RACES {
            let (decision, would_move) = self.decide(&head).await?;
            if self.request.dry_run || !decision.changes() {
                let mut planned = PartitionDone::planned(&head, decision, self.request.dry_run);
                planned.would_move = would_move;
                return Ok(planned);
            }
            match self.commit(&head, &decision).await? {
                Tried::Committed { version, warned } => return Ok(PartitionDone::done(&head, &version, decision, warned)),
                Tried::Lost(winner) => head = *winner,
            }
        }
        Err(Error::conflict("runs kept changing it; redrive it again later"))
    }

    /// Tries all records that it may be about, and writes nothing. Says of a dry run how many rows would go to other partitions, too.
    async fn decide(&self, head: &LedgerVersion) -> Result<(Decision, Rows)> {
        let trial = Arc::new(plan::trial(head, self.request.reason, &self.tried, self.app.clock.now().timestamp_micros()));
        let (mut findings, mut bound) = (Findings::default(), Bound::new(self.table, head).filter(|_| self.request.dry_run));
        if let Some(live) = &head.quarantine {
            let mut batches = Box::pin(read_generation(&self.app.state, live, &arrow_schema(&reject::columns())));
            while let Some(batch) = batches.try_next().await? {
                let judged = judged(&self.table.plan, &batch, &trial).await?;
                findings.enter(&batch, &judged.verdicts, &trial)?;
                if let Some(bound) = &mut bound {
                    bound.enter(&batch, &judged, &trial)?;
                }
            }
        }
        let decision = findings.decide(Redrive::clone(&trial), self.table.config.max_ratio);
        let rows = bound.map_or_else(Rows::new, |bound| bound.decided(&decision.redrive));
        Ok((decision, rows))
    }

    async fn commit(&self, head: &LedgerVersion, decision: &Decision) -> Result<Tried> {
        let (app, queue, redrive) = (self.app, Queue::default(), Arc::new(decision.redrive.clone()));
        let context = app.merging(&queue, &self.run, app.clock.now());
        let attempt = Attempt {
            table: self.table,
            state: &app.state,
            limits: &app.limits,
            partition: &head.partition,
            id: merge::next_id(&context, Some(head)),
            previous: Some(head),
            afresh: false,
            objects: &[],
            queue: &queue,
            redrive: Some(&redrive),
        };
        let (version, warned) = merge::write(&context, &attempt, Operation::Redrive).await?;
        if self.table.scatter.is_some()
            && let Err(e) = store::come_in(&app.state, &version, &plan::came_in(head, &version)).await
        {
            attempt.clean_up().await;
            return Err(e);
        }
        match merge::finish(&context, &attempt, &version).await? {
            Committed::Done => Ok(Tried::Committed { version: Box::new(version), warned }),
            Committed::Lost(winner) => Ok(Tried::Lost(winner)),
        }
    }
}

enum Tried {
    Committed { version: Box<LedgerVersion>, warned: u64 },
    Lost(Box<LedgerVersion>),
}
