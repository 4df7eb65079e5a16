//! Feeds quarantined records that fit by now to the writer, and writes what became of all of them into the quarantine's next generation.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::TryStreamExt;

use super::account::Account;
use super::dedupe::Dedupe;
use super::execute::Attempt;
use super::feed::{Feed, send};
use super::plan::{is_error_output, landed};
use super::reader::read_generation;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::parse_redriven_key;
use crate::queue::redriven::Leaving;
use crate::schema::arrow_schema;
use crate::standardize::Plan;
use crate::standardize::kept::{Judged, Records, Redrive, Verdict, entered, judge};
use crate::standardize::reject::{self, Code};

/// What a redrive does to the records of one object.
#[derive(Default)]
struct Moved {
    merged: u64,
    duplicates: u64,
    dropped: u64,
    /// Rows that belong to other partitions.
    elsewhere: u64,
}

/// What the quarantine says of whole objects.
#[derive(Default)]
struct Objects {
    /// They lack something still, in the table and in the account of what is bad.
    wanting: BTreeSet<String>,
    /// Good records of them were set aside with the others, and may be in the table since.
    aside: BTreeSet<String>,
}

/// Why an object is missing of which a redrive took in a part.
const IN_PART: &str =
    "a redrive took in a part of it; `lakebed redrive` without --reason, or `lakebed repair`, takes in what is left and fits";

impl Attempt<'_> {
    /// Tries the records of the live quarantine that `redrive` is about: sends the rows of those that fit down the channel, behind all
    /// that is live, and enters them as resolved.
    ///
    /// # Errors
    /// `Unavailable` if the quarantine cannot be read or written; see also [`Dedupe`].
    pub(super) async fn feed_quarantined(
        &self,
        redrive: &Arc<Redrive>,
        account: &mut Account,
        dedupe: &mut Option<Dedupe>,
        rows: &mut Feed,
    ) -> Result<()> {
        let Some(live) = self.previous.and_then(|version| version.quarantine.as_ref()) else { return Ok(()) };
        let schema = arrow_schema(&reject::columns());
        let mut writer = self.quarantine_writer(&schema);
        let (mut moved, mut objects): (BTreeMap<String, Moved>, Objects) = Default::default();
        let landed = self.landed(account);
        let scatter = self.table.scatter.as_deref();
        let mut leaving = scatter.map(|scatter| Leaving::new(self.state, self.table, scatter, (self.partition, &self.id), &landed));
        let mut batches = Box::pin(read_generation(self.state, live, &schema));
        while let Some(batch) = batches.try_next().await? {
            let Judged { verdicts, rows: found, warned } = judged(&self.table.plan, &batch, redrive).await?;
            account.warned += warned;
            writer.write(&entered(&batch, &verdicts, redrive)?).await?;
            let fitting = enter(&batch, &verdicts, &mut moved, &mut objects)?;
            let mut fitting = fitting.into_iter();
            for batch in found {
                let keys: Vec<String> = fitting.by_ref().take(batch.num_rows()).collect();
                let (batch, keys) = match &mut leaving {
                    Some(leaving) => stay(leaving, &batch, keys, &mut moved).await?,
                    None => (batch, keys),
                };
                let keep = match dedupe {
                    Some(dedupe) => dedupe.keep(&batch)?,
                    None => BooleanArray::from(vec![true; batch.num_rows()]),
                };
                for (kept, key) in keep.values().iter().zip(keys) {
                    let moved = moved.entry(key).or_default();
                    if kept { moved.merged += 1 } else { moved.duplicates += 1 }
                }
                send(rows, filtered(&batch, &keep)?).await?;
            }
        }
        if let Some(leaving) = leaving {
            account.redriven = leaving.finish().await?;
        }
        account.quarantine = Some(writer);
        account.resolve(moved, &objects);
        Ok(())
    }

    /// Where rows scatter: Firehose's error objects among what is merged, by their keys. Whose their rows are, nobody knows before. What a
    /// redrive made of one has its places.
    pub(super) fn reports(&self) -> BTreeMap<String, LandedObject> {
        let is_report = |key: &str| parse_redriven_key(key).is_none() && is_error_output(&self.table.config, key);
        let reports = self.objects.iter().filter(|object| self.table.scatter.is_some() && is_report(&object.key));
        reports.map(|object| (object.key.clone(), object.clone())).collect()
    }

    /// Takes rows of such objects out that belong to other partitions, if there are any.
    pub(super) fn leaving<'l>(&'l self, reports: &'l BTreeMap<String, LandedObject>) -> Option<Leaving<'l>> {
        let scatter = self.table.scatter.as_deref().filter(|_| !reports.is_empty())?;
        Some(Leaving::new(self.state, self.table, scatter, (self.partition, &self.id), reports))
    }

    /// The landed objects of the records, by their keys, as they were taken in.
    fn landed(&self, account: &Account) -> BTreeMap<String, LandedObject> {
        account.sources.iter().map(|(key, source)| (key.clone(), landed(&self.table.config, source))).collect()
    }
}

/// Takes the rows of one object out that belong to other partitions. Returns those that stay.
pub(super) async fn staying(leaving: &mut Leaving<'_>, batch: &RecordBatch, key: &str) -> Result<RecordBatch> {
    let keys = vec![key.to_string(); batch.num_rows()];
    filtered(batch, &leaving.take(batch, &keys).await?)
}

/// Takes the rows out that belong to other partitions. Returns those that stay, with the keys of their objects.
async fn stay(
    leaving: &mut Leaving<'_>,
    batch: &RecordBatch,
    keys: Vec<String>,
    moved: &mut BTreeMap<String, Moved>,
) -> Result<(RecordBatch, Vec<String>)> {
    let stay = leaving.take(batch, &keys).await?;
    let mut staying = Vec::new();
    for (stays, key) in stay.values().iter().zip(keys) {
        if stays { staying.push(key) } else { moved.entry(key).or_default().elsewhere += 1 }
    }
    Ok((filtered(batch, &stay)?, staying))
}

fn filtered(batch: &RecordBatch, keep: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, keep).map_err(|e| Error::internal(format!("cannot leave out rows: {e}")))
}

/// Standardizes a batch of a quarantine on a thread of its own.
///
/// # Errors
/// As [`judge`].
pub async fn judged(plan: &Arc<Plan>, batch: &RecordBatch, redrive: &Arc<Redrive>) -> Result<Judged> {
    let (plan, batch, redrive) = (Arc::clone(plan), batch.clone(), Arc::clone(redrive));
    let work = tokio::task::spawn_blocking(move || judge(&plan, &batch, &redrive));
    work.await.map_err(|e| Error::internal(format!("standardizing stopped: {e}")))?
}

/// Enters which objects lack something still, and what is dropped. Returns the objects of the records that fit, in their order.
fn enter(
    batch: &RecordBatch,
    verdicts: &[Option<Verdict>],
    moved: &mut BTreeMap<String, Moved>,
    objects: &mut Objects,
) -> Result<Vec<String>> {
    let (records, mut fitting) = (Records::of(batch)?, Vec::new());
    for (row, verdict) in verdicts.iter().enumerate() {
        let kept = records.get(row);
        if kept.reason.as_ref().is_some_and(|reason| reason.code == Code::SetAside) {
            objects.aside.insert(kept.object.to_string());
        }
        let reason = if let Some(Verdict::Fails(reason)) = verdict { Some(reason) } else { kept.reason.as_ref() };
        let code = reason.map(|reason| reason.code);
        match verdict {
            Some(Verdict::Row) => fitting.push(kept.object.to_string()),
            Some(Verdict::Dropped) => moved.entry(kept.object.to_string()).or_default().dropped += 1,
            _ if !kept.resolved && matches!(code, Some(Code::SetAside | Code::TooLarge | Code::DamagedObject)) => {
                objects.wanting.insert(kept.object.to_string());
            }
            _ => {}
        }
    }
    Ok(fitting)
}

impl Account {
    /// Counts what was moved. An object that was set aside as a whole is so no longer once any of it is in the table, or nothing of it is in
    /// quarantine; it is missing no more if nothing of it is wanting. What lands under its name from then on is a changed object.
    fn resolve(&mut self, moved: BTreeMap<String, Moved>, objects: &Objects) {
        for (key, Moved { merged, duplicates, dropped, elsewhere }) in moved {
            let Some(source) = self.sources.get_mut(&key) else { continue };
            let counts = &mut source.counts;
            counts.merged += merged;
            counts.duplicates += duplicates;
            counts.dropped += dropped;
            counts.moved += elsewhere;
            let resolved = merged + duplicates + dropped + elsewhere;
            counts.quarantined = counts.quarantined.saturating_sub(resolved);
            counts.resolved += resolved;
            let is_in = resolved > dropped || counts.quarantined == 0;
            let came_in = is_in && source.rejected.take().is_some();
            match objects.wanting.contains(&key) {
                true if came_in => {
                    self.missing.iter_mut().filter(|missing| missing.key == key).for_each(|missing| missing.reason = IN_PART.to_string());
                }
                false if came_in || source.rejected.is_none() && objects.aside.contains(&key) => {
                    self.missing.retain(|missing| missing.key != key)
                }
                _ => {}
            }
        }
    }
}
