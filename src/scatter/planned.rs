//! What a run would do with each landed object of a table whose rows scatter, and why. Nothing that landed is read.

use std::collections::{BTreeMap, BTreeSet};

use super::intake::{Intake, Taken};
use super::plan::{There, sort_out};
use super::settle;
use crate::app::App;
use crate::config::TableConfig;
use crate::error::Result;
use crate::hour::Hour;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::merge::plan::Decided;
use crate::merge::plan::why::Why;
use crate::queue::{Queue, Recipe};
use crate::schema::TableSchema;
use crate::summary::{Failure, Planned, TableDone};

/// What the decision is made from.
pub(super) struct Look<'a> {
    pub(super) app: &'a App,
    pub(super) config: &'a TableConfig,
    /// The columns as they are to be.
    pub(super) schema: &'a TableSchema,
    /// What is staged.
    pub(super) queue: &'a Queue,
    /// The newest of each hour.
    pub(super) intakes: &'a BTreeMap<Hour, Intake>,
}

impl Look<'_> {
    /// Decides on the objects of closed hours as a run does, and counts them; those of open hours wait. Which partitions they feed shows when they are read.
    ///
    /// # Errors
    /// `Data` if an intake names what is no partition.
    pub(super) async fn planned(
        &self,
        closed: &[LandedObject],
        open: &[LandedObject],
        done: &mut TableDone,
        failures: &mut Vec<Failure>,
    ) -> Result<Planned> {
        let (heads, unreadable) = self.heads(failures).await?;
        let recipe = Recipe::new(self.config, self.schema);
        let staged = |taken: &Taken| self.queue.has(&taken.key, &taken.staged);
        let key = |object: &LandedObject| recipe.staged_key(object);
        let there = There { staged: &staged, key: &key, memory: self.app.limits.memory, unreadable: &unreadable };
        let sorted = sort_out(closed, self.intakes, &heads, &there)?;
        settle::tell_changed(&sorted.changed, done);
        settle::count(closed, self.intakes, &heads, done)?;
        settle::tell_unread(open.len() as u64, done);
        let mut planned = Planned::default();
        sorted.decided.iter().for_each(|decided| planned.object(decided, None));
        open.iter().for_each(|object| planned.object(&Decided { object: object.clone(), why: Why::Open }, None));
        Ok(planned.in_order())
    }

    /// The newest versions of the partitions that the intakes name, and those that cannot be read.
    async fn heads(
        &self,
        failures: &mut Vec<Failure>,
    ) -> Result<(BTreeMap<PartitionId, crate::ledger::LedgerVersion>, BTreeSet<PartitionId>)> {
        let taken = self.intakes.values().flat_map(|intake| &intake.objects);
        let named: BTreeSet<&String> = taken.flat_map(|taken| taken.shares.keys()).collect();
        let named = named.into_iter().map(|path| path.parse()).collect::<Result<Vec<PartitionId>>>()?;
        let (mut heads, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
        let read = self.app.ledgers.each_head(&self.config.name, &named).await;
        for (partition, head) in named.into_iter().zip(read) {
            match head {
                Ok(head) => heads.extend(head.map(|head| (partition, head))),
                Err(e) => {
                    failures.push(Failure::new(&self.config.name, Some(&partition), &e));
                    unreadable.insert(partition);
                }
            }
        }
        Ok((heads, unreadable))
    }
}
