//! Standardizes a landed object whose rows scatter: which partitions they belong to, and a staged file in which those of one stand
//! together.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;

use super::stage::{Made, Staging};
use super::{Head, HeadShare, Recipe, read};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::merge::intake::{Part, Reading};
use crate::pipeline::{Limits, ManagedTable};
use crate::scatter::place::{Places, Scatter};
use crate::standardize::Outcome;
use crate::store::Root;

/// What an object becomes, and where it belongs.
#[derive(Debug)]
pub struct Spread {
    /// What became of its records.
    pub outcome: Outcome,
    /// Rows by partition.
    pub shares: BTreeMap<PartitionId, u64>,
    /// Rows without a time that can be theirs.
    pub untimed: u64,
    /// A hash of which row belongs where: the same for two readings of an object if each of its rows has the same place.
    pub placement: String,
}

/// What the staged file of that key says of its object; `None` if it is not there.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` if the file is of no use.
pub async fn known(state: &Root, table: &ManagedTable, key: &str, object: &LandedObject) -> Result<Option<Spread>> {
    let Some((head, _)) = read::opened(state, key, object, &table.plan.schema).await? else { return Ok(None) };
    let shares: Result<BTreeMap<PartitionId, u64>> = head.shares.iter().map(|share| Ok((share.partition.parse()?, share.rows))).collect();
    Ok(Some(Spread { outcome: head.outcome(), shares: shares?, untimed: head.untimed, placement: head.placement.clone() }))
}

/// Reads an object to its end and stages it, unless it is too large for that or not what it should be.
///
/// # Errors
/// `Unavailable` if the object cannot be read; `Data` if its rows belong to too many partitions.
pub async fn spread(
    state: &Root,
    table: &ManagedTable,
    scatter: &Scatter,
    limits: &Limits,
    attempt: &str,
    reading: Reading,
) -> Result<(Spread, Staging)> {
    let object = reading.object.clone();
    let mut gathered = Gathered {
        places: scatter.places(&object),
        counts: Vec::new(),
        held: Some((Vec::new(), Made::new(table)?)),
        memory: 0,
        most: limits.memory / 4,
    };
    let outcome = gathered.all(reading).await?;
    let held = gathered.held.take().filter(|_| outcome.damage.is_none());
    let spread = gathered.spread(outcome);
    let Some((batches, mut made)) = held else { return Ok((spread, Staging::ForTheRun)) };
    let batch = arrange(&batches, gathered.places.partitions(), &mut made).await?;
    drop(batches);
    if made.is_too_much() {
        return Ok((spread, Staging::ForTheRun));
    }
    let shares = spread.shares.iter().map(|(partition, rows)| HeadShare { partition: partition.to_string(), rows: *rows }).collect();
    let (untimed, placement) = (spread.untimed, spread.placement.clone());
    let head = Head { batch, shares, untimed, placement, ..Head::of(&object, spread.outcome.tally) };
    let key = Recipe::new(&table.config, &table.schema).staged_key(&object);
    let staging = made.put(state, &key, head, attempt).await.unwrap_or_else(|e| {
        tracing::warn!("{e}; the object is read where it landed");
        Staging::ForTheRun
    });
    Ok((spread, staging))
}

/// As [`spread`], of an object that is only looked at: nothing is staged.
///
/// # Errors
/// As [`spread`].
pub async fn looked_at(scatter: &Scatter, reading: Reading) -> Result<Spread> {
    let object = reading.object.clone();
    let mut gathered = Gathered { places: scatter.places(&object), counts: Vec::new(), held: None, memory: 0, most: 0 };
    let outcome = gathered.all(reading).await?;
    Ok(gathered.spread(outcome))
}

/// A batch of rows, and the number of each one's partition.
pub(super) type Numbered = (RecordBatch, Vec<u32>);

/// What of an object was read so far.
struct Gathered<'a> {
    places: Places<'a>,
    /// Rows of each partition, by its number.
    counts: Vec<u64>,
    /// The rows, and the file that they are to go to; `None` once they are too many to be staged.
    held: Option<(Vec<Numbered>, Made)>,
    memory: u64,
    most: u64,
}

impl Gathered<'_> {
    /// Takes all of an object.
    async fn all(&mut self, mut reading: Reading) -> Result<Outcome> {
        while let Some(part) = reading.part().await {
            if let Err(e) = self.take(part).await {
                reading.give_up().await;
                return Err(e);
            }
        }
        reading.outcome().await
    }

    async fn take(&mut self, part: Part) -> Result<()> {
        match part {
            Part::Rows(batch) => {
                let numbers = self.places.of(&batch)?;
                self.counts.resize(self.places.partitions().len(), 0);
                for number in &numbers {
                    self.counts[*number as usize] += 1;
                }
                self.memory += batch.get_array_memory_size() as u64;
                if let Some((batches, _)) = &mut self.held {
                    batches.push((batch, numbers));
                }
            }
            Part::Quarantined(batch) => {
                if let Some((_, made)) = &mut self.held {
                    made.reject(&batch).await?;
                }
            }
        }
        if self.memory > self.most || self.held.as_ref().is_some_and(|(_, made)| made.is_too_much()) {
            self.held = None;
        }
        Ok(())
    }

    fn spread(&self, outcome: Outcome) -> Spread {
        let partitions = self.places.partitions();
        Spread {
            outcome,
            shares: partitions.iter().cloned().zip(self.counts.iter().copied()).collect(),
            untimed: self.places.untimed(),
            placement: self.places.placement(),
        }
    }
}

/// Writes the rows by partition, in the order of these; those of one stay in their order. Gives the number of rows that may be read at
/// once, as many as one of the batches had: memory was bounded for that.
pub(super) async fn arrange(batches: &[Numbered], partitions: &[PartitionId], made: &mut Made) -> Result<usize> {
    let mut rows: Vec<Vec<(usize, usize)>> = vec![Vec::new(); partitions.len()];
    for (index, (_, numbers)) in batches.iter().enumerate() {
        numbers.iter().enumerate().for_each(|(row, number)| rows[*number as usize].push((index, row)));
    }
    let all_but_last = &batches[..batches.len().saturating_sub(1)];
    let smallest = all_but_last.iter().map(|(batch, _)| batch.num_rows()).min();
    let at_once = smallest.or(batches.last().map(|(batch, _)| batch.num_rows())).unwrap_or(1).max(1);
    let mut order: Vec<usize> = (0..partitions.len()).collect();
    order.sort_by_key(|number| &partitions[*number]);
    let batches: Vec<&RecordBatch> = batches.iter().map(|(batch, _)| batch).collect();
    for some in order.iter().flat_map(|number| rows[*number].chunks(at_once)) {
        let some = interleave_record_batch(&batches, some).map_err(|e| Error::internal(format!("cannot arrange rows: {e}")))?;
        made.rows.write(&some).await?;
        if made.is_too_much() {
            break;
        }
    }
    Ok(at_once)
}
