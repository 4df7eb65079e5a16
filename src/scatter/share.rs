//! What one partition takes of a landed object: its own rows, and in the arrival's partition what became no rows.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use super::intake::Taken;
use super::place::{Places, Scatter};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::merge::intake::Part;
use crate::standardize::{Outcome, Tally};

/// A partition's share of one object.
#[derive(Debug, Clone)]
pub struct Share {
    /// Which partition each row belongs to.
    pub scatter: Arc<Scatter>,
    /// The partition.
    pub partition: PartitionId,
    /// Rows of it that the object is known to have.
    pub rows: u64,
    /// Records that became no rows, where they count here; with them what is wrong with the object as a whole.
    pub rest: Option<u64>,
    /// The hash of which row of the object belongs where.
    pub placement: String,
    /// The key of its staged file, below the state location, if there is one.
    pub staged: Option<String>,
}

impl Share {
    /// A partition's share of an object that is written down, from what landed.
    pub fn of(scatter: &Arc<Scatter>, taken: &Taken, partition: &PartitionId) -> Self {
        Self {
            scatter: Arc::clone(scatter),
            rows: taken.shares.get(&partition.to_string()).copied().unwrap_or_default(),
            rest: Some(taken.rejected + taken.dropped).filter(|_| *partition == taken.home),
            placement: taken.placement.clone(),
            partition: partition.clone(),
            staged: None,
        }
    }

    /// Picks the share out of all that the object becomes.
    pub fn narrow<'a>(&'a self, object: &'a LandedObject) -> Narrow<'a> {
        Narrow { share: self, object, places: self.scatter.places(object), rows: 0 }
    }

    /// What of an object's outcome counts here, where `rows` of its rows were found.
    ///
    /// # Errors
    /// `Data` if what counts here is not what was counted before: other partitions count on that.
    pub fn outcome(&self, object: &str, whole: Outcome, rows: u64) -> Result<Outcome> {
        let Tally { rejected, dropped, .. } = whole.tally;
        let rest = self.rest.map(|_| rejected + dropped);
        if (rows, rest) != (self.rows, self.rest) {
            return Err(moved(object));
        }
        if rest.is_none() {
            return Ok(Outcome { tally: Tally { read: rows, rows, ..Tally::default() }, damage: None });
        }
        let tally = Tally { read: rows + rejected + dropped, rows, rejected, dropped, ..Tally::default() };
        Ok(Outcome { tally, damage: whole.damage })
    }
}

fn moved(object: &str) -> Error {
    Error::data(format!(
        "by today's rules, columns or `memory` records of {object} have other places than were written down when it was taken in, and rows would be \
         lost or doubled; nothing was changed, put back what is different since"
    ))
}

/// Picks a share out of the parts of its object.
pub struct Narrow<'a> {
    share: &'a Share,
    object: &'a LandedObject,
    places: Places<'a>,
    rows: u64,
}

impl Narrow<'_> {
    /// What of a part belongs to the share.
    ///
    /// # Errors
    /// As [`Places::of`].
    pub fn part(&mut self, part: Part) -> Result<Option<Part>> {
        let Part::Rows(batch) = part else { return Ok(Some(part).filter(|_| self.share.rest.is_some())) };
        let numbers = self.places.of(&batch)?;
        let ours = self.places.partitions().iter().position(|partition| *partition == self.share.partition);
        let keep: BooleanArray = numbers.iter().map(|number| Some(Some(*number as usize) == ours)).collect();
        let count = keep.true_count();
        self.rows += count as u64;
        if count == 0 {
            return Ok(None);
        }
        let kept = filter_record_batch(&batch, &keep).map_err(|e| Error::internal(format!("object {}: {e}", self.object.key)))?;
        Ok(Some(Part::Rows(kept)))
    }

    /// As [`Share::outcome`], at the object's end.
    ///
    /// # Errors
    /// As [`Share::outcome`].
    pub fn outcome(self, whole: Outcome) -> Result<Outcome> {
        if self.places.placement() != self.share.placement {
            return Err(moved(&self.object.key));
        }
        self.share.outcome(&self.object.key, whole, self.rows)
    }
}
