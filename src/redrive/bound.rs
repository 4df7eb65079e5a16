//! Where rows would go that a dry run finds to fit.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use super::plan::Rows;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::ledger::LedgerVersion;
use crate::merge::plan::landed;
use crate::pipeline::ManagedTable;
use crate::scatter::place::{Places, Scatter};
use crate::standardize::kept::{Fate, Judged, Records, Redrive, Verdict};

/// What of a partition's quarantine would go to others, where rows scatter.
pub struct Bound<'a> {
    scatter: &'a Scatter,
    home: &'a PartitionId,
    /// The landed objects of the records, by their keys.
    objects: BTreeMap<&'a str, LandedObject>,
    /// Rows of the records that it is about, by their objects.
    rows: BTreeMap<String, Rows>,
}

impl<'a> Bound<'a> {
    /// Nothing yet of the partition whose newest version is `head`; `None` if its rows are its own.
    pub fn new(table: &'a ManagedTable, head: &'a LedgerVersion) -> Option<Self> {
        let objects = head.sources.iter().map(|source| (source.key.as_str(), landed(&table.config, source))).collect();
        Some(Self { scatter: table.scatter.as_deref()?, home: &head.partition, objects, rows: BTreeMap::new() })
    }

    /// Enters what came of trying the records of a batch of the quarantine.
    ///
    /// # Errors
    /// `Data` if the batch is not of a quarantine, or has records of an object that the ledger does not name; see also [`Places::of`].
    pub fn enter(&mut self, batch: &RecordBatch, judged: &Judged, trial: &Redrive) -> Result<()> {
        let records = Records::of(batch)?;
        let fits = judged.verdicts.iter().enumerate().filter(|(_, verdict)| matches!(verdict, Some(Verdict::Row)));
        let kept: Vec<_> = fits.map(|(row, _)| records.get(row)).collect();
        let mut kept = kept.as_slice();
        for rows in &judged.rows {
            let (of_rows, rest) = kept.split_at(rows.num_rows());
            kept = rest;
            let mut first = 0;
            for same in of_rows.chunk_by(|one, other| one.object == other.object && trial.is_asked(one) == trial.is_asked(other)) {
                let (key, some) = (same[0].object, rows.slice(first, same.len()));
                first += same.len();
                if trial.is_asked(&same[0]) {
                    let object = self.objects.get(key);
                    let object = object
                        .ok_or_else(|| Error::data(format!("the quarantine has records of {key}, which the ledger does not name")))?;
                    count(&mut self.scatter.places(object), &some, self.home, self.rows.entry(key.to_string()).or_default())?;
                }
            }
        }
        Ok(())
    }

    /// The rows that would go, once it is decided what becomes of whole objects.
    pub fn decided(self, redrive: &Redrive) -> Rows {
        let mut all = Rows::new();
        let going = self.rows.into_iter().filter(|(object, _)| redrive.fate(object) == Fate::In);
        going.flat_map(|(_, rows)| rows).for_each(|(partition, rows)| *all.entry(partition).or_default() += rows);
        all
    }
}

/// Adds rows to those of the partitions that they belong to, but for those of `home`.
///
/// # Errors
/// As [`Places::of`].
pub fn count(places: &mut Places<'_>, rows: &RecordBatch, home: &PartitionId, all: &mut Rows) -> Result<()> {
    for number in places.of(rows)? {
        let partition = &places.partitions()[number as usize];
        if partition != home {
            *all.entry(partition.clone()).or_default() += 1;
        }
    }
    Ok(())
}
