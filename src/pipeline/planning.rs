//! What a run does with each partition that it looks at, and, told before it does it, with each object and each live file.

use std::collections::BTreeMap;

use futures::StreamExt;

use super::{ManagedTable, managed_at};
use crate::app::App;
use crate::catalog::Table;
use crate::catalog::reconcile::Wanted;
use crate::config::TableConfig;
use crate::error::Result;
use crate::landing::LandedObject;
use crate::layout::PartitionId;
use crate::merge::append::plan::LiveFile;
use crate::merge::plan::why::Why;
use crate::merge::plan::{self, Action, Decided, Grouped, PartitionPlan};
use crate::merge::{self, Context};
use crate::retry::Retries;
use crate::store::Root;
use crate::summary::{Failure, Planned, TableDone};

/// Partitions whose live files are looked at at the same time.
const CONCURRENCY: usize = 8;

/// What a run does with the partitions of a table.
pub struct Planning {
    /// Those whose ledgers could be read, but those that are not to be tried now.
    pub plans: Vec<PartitionPlan>,
    /// What the ledgers want registered of those that are up to date.
    pub known: BTreeMap<PartitionId, Wanted>,
    /// Objects that are in no plan, and their partitions.
    left: Vec<(Decided, Option<PartitionId>)>,
}

impl Planning {
    /// Plans each partition. One whose ledger cannot be read fails alone; its objects wait.
    pub async fn of(app: &App, config: &TableConfig, grouped: Grouped, done: &mut TableDone, failures: &mut Vec<Failure>) -> Self {
        let partitions: Vec<PartitionId> = grouped.closed.keys().cloned().collect();
        let heads = app.ledgers.each_head(&config.name, &partitions).await;
        let mut planning = Self { plans: Vec::new(), known: BTreeMap::new(), left: Vec::new() };
        planning.leave(Why::Open, None, grouped.open);
        for ((partition, objects), head) in grouped.closed.into_iter().zip(heads) {
            match head {
                Ok(head) => {
                    let wanted = head.as_ref().map(Wanted::of);
                    let plan = plan::plan(partition, head, objects);
                    let known = wanted.filter(|_| plan.action == Action::UpToDate);
                    planning.known.extend(known.map(|wanted| (plan.partition.clone(), wanted)));
                    planning.plans.push(plan);
                }
                Err(e) => {
                    done.objects.pending += objects.len() as u64;
                    failures.push(Failure::new(&config.name, Some(&partition), &e));
                    planning.leave(Why::Unreadable, Some(&partition), objects);
                }
            }
        }
        done.count_known(&planning.plans);
        planning
    }

    fn leave(&mut self, why: Why, partition: Option<&PartitionId>, objects: Vec<LandedObject>) {
        self.left.extend(objects.into_iter().map(|object| (Decided { object, why }, partition.cloned())));
    }

    /// Leaves a partition as it is although there is something to do.
    fn give_up(&mut self, plan: PartitionPlan, failure: Failure, done: &mut TableDone, failures: &mut Vec<Failure>) {
        failures.push(failure);
        for mut decided in plan.objects {
            if decided.why.takes() {
                done.objects.pending += 1;
                decided.why = Why::Waiting;
            }
            self.left.push((decided, Some(plan.partition.clone())));
        }
    }

    /// True if there is something to do.
    pub fn has_work(&self) -> bool {
        self.plans.iter().any(|plan| plan.action != Action::UpToDate)
    }

    /// Leaves those partitions that are not to be tried now; `top` is what lies in the state location itself.
    pub async fn hold_back(
        &mut self,
        app: &App,
        retries: &mut Retries,
        top: &[(String, u64)],
        done: &mut TableDone,
        failures: &mut Vec<Failure>,
    ) {
        for (failure, plan) in retries.hold_back(app, &mut self.plans, top).await {
            self.give_up(plan, failure, done, failures);
        }
    }

    /// What is done with each object and each live file, and why, as `table` is to be. Of live files those footers are read that decide; a
    /// partition where that fails would fail.
    ///
    /// # Errors
    /// What stops the table as a whole.
    pub async fn planned(
        &mut self,
        app: &App,
        config: &TableConfig,
        (table, landing): (&Table, Root),
        context: &Context<'_>,
        done: &mut TableDone,
        failures: &mut Vec<Failure>,
    ) -> Result<Planned> {
        let mut planned = Planned::default();
        if self.plans.iter().any(|plan| matches!(&plan.action, Action::Merge { previous: Some(_), .. })) {
            let location = app.stores.existing(&config.location, &format!("the location of {}", config.name))?;
            let managed = managed_at(config, table, landing, location)?;
            for (plan, files) in self.look(context, &managed).await {
                match files {
                    Ok(files) => {
                        planned.files(&plan.partition, files, &config.merge.deduplicate_by);
                        self.plans.push(plan);
                    }
                    Err(e) => {
                        let failure = Failure::new(&config.name, Some(&plan.partition), &e);
                        self.give_up(plan, failure, done, failures);
                    }
                }
            }
        }
        for plan in &self.plans {
            plan.objects.iter().for_each(|decided| planned.object(decided, Some(&plan.partition)));
        }
        self.left.iter().for_each(|(decided, partition)| planned.object(decided, partition.as_ref()));
        Ok(planned.in_order())
    }

    /// Takes the plans out, with what becomes of the live files of each.
    async fn look(&mut self, context: &Context<'_>, table: &ManagedTable) -> Vec<(PartitionPlan, Result<Vec<LiveFile>>)> {
        let looks = std::mem::take(&mut self.plans).into_iter().map(|plan| async {
            let files = merge::look(context, table, &plan).await;
            (plan, files)
        });
        futures::stream::iter(looks).buffered(CONCURRENCY).collect().await
    }
}
