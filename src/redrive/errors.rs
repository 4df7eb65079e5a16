//! Firehose's error objects: which of them a redrive takes in, and into which partitions.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::bound;
use super::plan::Rows;
use super::summary::{ErrorObject, RedriveSummary, Taken};
use super::{Work, plan};
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::landing::discover::{ErrorObjects, error_objects};
use crate::layout::PartitionId;
use crate::ledger::{Counts, LedgerVersion};
use crate::merge::intake::fetch;
use crate::merge::plan::why::Why;
use crate::merge::plan::{Action, PartitionPlan, partition_of, same_partition};
use crate::merge::{self, Merged};
use crate::queue::Queue;
use crate::standardize::reject::Code;
use crate::standardize::{Limits, Piece, Tally, errors};
use crate::words::counted;

/// Firehose tries this long to deliver a record before it reports it: the longest retry duration that a stream may have is two hours, and
/// deliveries to S3 are tried for a day.
const REPORTED_WITHIN: TimeDelta = TimeDelta::hours(24);

/// Error objects by the partition that some of their records belong to.
type Placed = BTreeMap<PartitionId, Vec<LandedObject>>;

impl Work<'_> {
    /// Takes in the error objects that no ledger has yet, or says what would become of them. Returns the partitions that they are in.
    ///
    /// # Errors
    /// `Unavailable` if the landing cannot be listed.
    pub(super) async fn take_in_errors(&self, summary: &mut RedriveSummary) -> Result<Vec<PartitionId>> {
        let config = &self.table.config;
        let is_asked = self.request.reason.is_none_or(|code| code == Code::FirehoseError);
        if config.error_prefix.is_none() || !is_asked {
            return Ok(Vec::new());
        }
        let now = self.app.clock.now();
        let (from, to) = match &self.request.place {
            Some(place) => (place.hour, Hour::of(place.hour.start() + REPORTED_WITHIN)),
            None => (Hour::of(now - config.lookback), Hour::of(now)),
        };
        let ErrorObjects { objects, untimed } = error_objects(&self.table.landing, config, from, to).await?;
        let why = "neither path nor name tells when it was written; name it as Firehose does, or move it away if it is none of Firehose's";
        summary.warnings.extend(left_alone(&untimed, why));
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        if config.partition_by.iter().any(|(_, expression)| !expression.path_keys().is_empty()) {
            let why = "`partition_by` needs a value of the path, which error objects do not have";
            summary.warnings.push(format!("left alone {} of Firehose: {why}", counted(objects.len() as u64, "error object")));
            return Ok(Vec::new());
        }
        let placed = self.placed(objects, summary).await?;
        let partitions: Vec<PartitionId> = placed.keys().cloned().collect();
        let heads = self.app.ledgers.each_head(&config.name, &partitions).await;
        let mut taken = Vec::new();
        for ((partition, objects), head) in placed.into_iter().zip(heads) {
            let done = match head {
                Ok(head) => self.take_in(&partition, head, objects, summary).await,
                Err(e) => Err(e),
            };
            match done {
                Ok(()) => taken.push(partition),
                Err(e) => summary.fail(Some(&partition), &e),
            }
        }
        Ok(taken)
    }

    /// Reads the objects, to know which partitions their records belong to. Hours that are still open are left for later.
    async fn placed(&self, objects: Vec<LandedObject>, summary: &mut RedriveSummary) -> Result<Placed> {
        let (config, now) = (&self.table.config, self.app.clock.now());
        let (mut placed, mut open, mut without_report) = (Placed::new(), 0, Vec::new());
        for object in objects {
            let hours = match self.hours(&object).await {
                Ok(hours) => hours,
                Err(e) => {
                    summary.fail(None, &Error::new(e.kind(), format!("error object {}: {e}; it is left alone", object.key)));
                    continue;
                }
            };
            if hours.is_empty() {
                without_report.push(object.key);
                continue;
            }
            let mut of_object: BTreeMap<PartitionId, LandedObject> = BTreeMap::new();
            for hour in hours.into_iter().map(|hour| hour.unwrap_or(object.hour)) {
                let object = LandedObject { hour, ..object.clone() };
                let partition = partition_of(config, &object)?;
                if let Some(place) = &self.request.place
                    && !plan::is_at(config, &partition, place)?
                {
                    continue;
                }
                if hour.is_closed(now, config.close_after) {
                    of_object.entry(partition).or_insert(object);
                } else {
                    open += 1;
                }
            }
            of_object.into_iter().for_each(|(partition, object)| placed.entry(partition).or_default().push(object));
        }
        summary.warnings.extend(left_alone(&without_report, "no report of Firehose's is in it; if it is data, correct `error_prefix`"));
        if open > 0 {
            summary
                .warnings
                .push("Firehose's error objects have records of hours that are still open; redrive them once they are closed".into());
        }
        Ok(placed)
    }

    fn limits(&self) -> Limits {
        Limits::within(self.app.limits.memory / 2, self.app.limits.memory)
    }

    async fn hours(&self, object: &LandedObject) -> Result<BTreeSet<Option<Hour>>> {
        let (stored, limits) = (fetch(&self.table.landing, object).await?, self.limits());
        let work = tokio::task::spawn_blocking(move || errors::hours(&stored, limits));
        work.await.map_err(|e| Error::internal(format!("reading stopped: {e}")))?
    }

    /// Takes objects into their partition, but for those that are in it already.
    async fn take_in(
        &self,
        partition: &PartitionId,
        head: Option<LedgerVersion>,
        objects: Vec<LandedObject>,
        summary: &mut RedriveSummary,
    ) -> Result<()> {
        let plan = merge::plan::plan(partition.clone(), head, objects);
        summary.warnings.extend(plan.of(Why::Held).map(|LandedObject { key, .. }| {
            format!("{partition}: it was rolled back, and the records of error object {key} stay out of it until `lakebed repair`")
        }));
        summary.warnings.extend(plan.of(Why::Changed).map(|LandedObject { key, .. }| {
            format!(
                "{partition}: error object {key} was written again since it was taken in; what is in it now comes in with `lakebed repair`"
            )
        }));
        let Action::Merge { objects, .. } = &plan.action else { return Ok(()) };
        if self.request.dry_run {
            for object in objects {
                let (records, would_move) = self.counts(partition, object).await?;
                summary.would_move(would_move);
                summary.errors.push(ErrorObject::new(partition, object, Taken::WouldTakeIn, records));
            }
            return Ok(());
        }
        self.merge(&plan, summary).await
    }

    async fn merge(&self, plan: &PartitionPlan, summary: &mut RedriveSummary) -> Result<()> {
        let queue = Queue::default();
        let context = self.app.merging(&queue, &self.run, self.app.clock.now());
        // Where another one was faster, it tells what it did.
        if let Merged::Committed { version, objects, .. } = merge::merge(&context, self.table, plan).await? {
            for object in &objects {
                let source = version.source(&object.key);
                summary.errors.extend(source.map(|source| ErrorObject::new(&plan.partition, object, Taken::In, source.counts)));
            }
            let missing = version.missing.iter().filter(|missing| objects.iter().any(|object| object.key == missing.key));
            for missing in missing {
                let error = Error::data(format!("object {} is not wholly in the table: {}", missing.key, missing.reason));
                summary.fail(Some(&plan.partition), &error);
            }
        }
        Ok(())
    }

    /// What would become of the records of an object that are of an arrival hour of `home`, and the rows that would go to other partitions.
    async fn counts(&self, home: &PartitionId, object: &LandedObject) -> Result<(Counts, Rows)> {
        let (stored, limits) = (fetch(&self.table.landing, object).await?, self.limits());
        let (plan, config, object) = (self.table.plan.clone(), self.table.config.clone(), object.clone());
        let (scatter, home) = (self.table.scatter.clone(), home.clone());
        let work = tokio::task::spawn_blocking(move || {
            let (mut places, mut elsewhere) = (scatter.as_ref().map(|scatter| scatter.places(&object)), Rows::new());
            let mut emit = |piece| match (piece, &mut places) {
                (Piece::Rows(batch), Some(places)) => bound::count(places, &batch, &home, &mut elsewhere),
                _ => Ok(()),
            };
            let outcome = errors::standardize(&plan, &stored, limits, &|hour| same_partition(&config, &object, hour), &mut emit)?;
            Ok::<_, Error>((outcome.tally, elsewhere))
        });
        let (tally, elsewhere) = work.await.map_err(|e| Error::internal(format!("standardizing stopped: {e}")))??;
        let moved = elsewhere.values().sum();
        let Tally { read, rows, rejected: quarantined, dropped, .. } = tally;
        Ok((Counts { read, merged: rows - moved, quarantined, dropped, moved, ..Counts::default() }, elsewhere))
    }
}

/// What to say of objects that are left alone for the same reason.
fn left_alone(keys: &[String], why: &str) -> Option<String> {
    let first = keys.first()?;
    let others = match keys.len() {
        1 => String::new(),
        many => format!(", and {}", counted(many as u64 - 1, "other object")),
    };
    Some(format!("left alone error object {first}{others}: {why}"))
}
