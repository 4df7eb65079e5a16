//! Stages the objects that one call is about.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::event::Landed;
use crate::app::App;
use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::landing::discover;
use crate::pipeline::{self, ManagedTable};
use crate::queue;
use crate::queue::stage::{Staging, stage};

/// The objects of one call, staged one after the other, each within all of the memory.
pub struct Objects<'a> {
    app: &'a App,
    /// The call's time.
    until: Option<Deadline>,
    /// The tables that objects were of; `None` for one that does not exist yet.
    tables: HashMap<TableName, Option<ManagedTable>>,
    counts: Counts,
}

/// What became of the objects.
#[derive(Debug, Default, Serialize)]
struct Counts {
    /// In the queue by this call.
    staged: u64,
    /// In the queue before.
    staged_before: u64,
    /// Left to the scheduled run, which the queue tells of them: too large to be staged, damaged, or of a table that the run has to make.
    left_to_the_run: u64,
    /// In no table's landing, or gone, or Firehose's error output.
    not_data: u64,
}

impl<'a> Objects<'a> {
    /// No objects yet.
    pub fn new(app: &'a App, until: Option<Deadline>) -> Self {
        Self { app, until, tables: HashMap::new(), counts: Counts::default() }
    }

    /// Stages these objects, each for every table whose landing it is in. One that fails does not stop the others.
    ///
    /// # Errors
    /// `Unavailable` if one cannot be read or staged now, or if the time is over; all of them may be tried again.
    pub async fn stage(&mut self, objects: &[Landed]) -> Result<()> {
        let mut staged = Ok(());
        for object in objects {
            let tables: Vec<_> = self.app.config.tables.iter().filter_map(|table| Some((table, key_in(table, object)?))).collect();
            self.counts.not_data += u64::from(tables.is_empty());
            for (table, key) in tables {
                staged = staged.and(self.stage_one(table, key).await);
            }
        }
        staged
    }

    async fn stage_one(&mut self, table: &TableConfig, key: &str) -> Result<()> {
        let now = self.app.clock.now();
        if self.until.is_some_and(|until| !until.may_begin(now)) {
            return Err(Error::unavailable(format!("{}: the time for this call was over before {key} was begun", table.name)));
        }
        if !self.tables.contains_key(&table.name) {
            self.tables.insert(table.name.clone(), pipeline::existing(self.app, table).await?);
        }
        let managed = self.tables.get(&table.name).and_then(Option::as_ref);
        let landing = match managed {
            Some(managed) => managed.landing.clone(),
            None => self.app.stores.existing(&table.landing, &format!("the landing of {}", table.name))?,
        };
        let Some(object) = discover::landed(&landing, table, key).await? else {
            self.counts.not_data += 1;
            return Ok(());
        };
        let (state, limits) = (&self.app.state, &self.app.limits);
        let staging = match managed {
            Some(managed) => stage(state, managed, limits, &self.app.clock.new_id(), object.clone()).await,
            None => Ok(Staging::ForTheRun),
        };
        if staging.is_err() {
            // S3 may not tell of it again.
            queue::mark(state, &table.name, &object).await?;
        }
        match staging? {
            Staging::Staged => self.counts.staged += 1,
            Staging::AlreadyThere => self.counts.staged_before += 1,
            Staging::ForTheRun => {
                // By the time that it runs, the look-back may not reach the hour any more.
                queue::mark(state, &table.name, &object).await?;
                self.counts.left_to_the_run += 1;
            }
        }
        Ok(())
    }

    /// What became of them so far.
    pub fn summary(&self) -> Value {
        json!({"objects": self.counts})
    }
}

/// The key of an object relative to a table's landing, if it is in there.
fn key_in<'o>(table: &TableConfig, object: &'o Landed) -> Option<&'o str> {
    let (bucket, prefix) = table.landing.bucket()?;
    object.key.strip_prefix(&prefix).filter(|key| bucket == object.bucket && !key.is_empty())
}
