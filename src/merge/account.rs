//! What became of the records of each source, kept while they are read.

use std::collections::BTreeMap;

use super::writer::GenerationWriter;
use crate::landing::LandedObject;
use crate::ledger::{Counts, Missing, RedrivenFile, Source};
use crate::standardize::{Damage, Outcome};

/// The account of the sources, kept while they are read.
#[derive(Default)]
pub(super) struct Account {
    pub(super) sources: BTreeMap<String, Source>,
    pub(super) missing: Vec<Missing>,
    pub(super) redriven: Vec<RedrivenFile>,
    pub(super) quarantine: Option<GenerationWriter>,
    pub(super) warned: u64,
}

impl Account {
    /// Enters what became of an object, whose rows are counted already.
    pub(super) fn enter(&mut self, object: LandedObject, late: bool, rows: Counts, outcome: Outcome) {
        let LandedObject { key, hour, etag, size, came, .. } = object;
        let counts = Counts { read: outcome.tally.read, quarantined: outcome.tally.rejected, dropped: outcome.tally.dropped, ..rows };
        let mut rejected = None;
        match outcome.damage {
            Some(Damage::Rejected(reason)) => {
                self.missing.push(Missing { key: key.clone(), reason: reason.clone() });
                rejected = Some(reason);
            }
            Some(Damage::Partly(reason)) => self.missing.push(Missing { key: key.clone(), reason }),
            Some(Damage::Empty) => rejected = Some("it holds no records".to_string()),
            None => {}
        }
        self.warned += outcome.tally.warned;
        self.sources.insert(key.clone(), Source { key, hour, etag, size, late, counts, rejected, came });
    }
}
