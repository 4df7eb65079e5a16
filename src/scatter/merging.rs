//! Merges into each partition its shares of the objects that were begun.

use std::collections::BTreeMap;

use super::Work;
use super::intake::Taken;
use super::redriven::{self, Waiting};
use super::share::Share;
use super::store::Placements;
use crate::announce::NowAndThen;
use crate::catalog::Table;
use crate::deadline;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{self, PartitionId};
use crate::merge::plan::{Action, PartitionPlan, plan};
use crate::merge::{self, Merged};
use crate::queue::Queue;
use crate::summary::TableDone;

/// Objects that a partition gets a share of, with their arrival hours.
type Shared = Vec<(Hour, Taken)>;

impl Work<'_> {
    /// Merges into each partition what it lacks. Where the time ends, what is merged is shown now and then; `table` is the table as the
    /// catalog has it.
    pub(super) async fn merge(&mut self, table: &Table, done: &mut TableDone) -> Result<()> {
        let (mut wanted, mut begun_otherwise) = (BTreeMap::<PartitionId, Shared>::new(), Vec::new());
        for intake in self.intakes.values() {
            for taken in intake.objects.iter().filter(|taken| !taken.done && !self.given_up.contains(&taken.key)) {
                // Its shares are by other columns or rules, and it was not read anew: today's rows would not fit them.
                if taken.withdrawn.is_some() || self.recipe.staged_key(&self.landed(intake.hour, taken)) != taken.staged {
                    begun_otherwise.push(taken.key.clone());
                    continue;
                }
                for partition in taken.partitions()? {
                    wanted.entry(partition).or_default().push((intake.hour, taken.clone()));
                }
            }
        }
        for key in begun_otherwise {
            self.fail(
                None,
                &Error::unavailable(format!("object {key} was begun by other columns or rules, and is not read anew yet; run again")),
            );
        }
        for Waiting { hour, taken, partitions } in &self.redriven.waiting {
            self.staged.insert(taken.staged.clone());
            for partition in partitions {
                wanted.entry(partition.clone()).or_default().push((*hour, taken.clone()));
            }
        }
        // With those that have all that redrives moved there: before its files go, the catalog shows it.
        self.look_at(wanted.keys().cloned().chain(self.redriven.partitions()).collect()).await;
        let mut plans = Vec::new();
        for (partition, objects) in &wanted {
            let landed = objects.iter().map(|(hour, taken)| self.landed(*hour, taken)).collect();
            let plan = plan(partition.clone(), self.heads.get(partition).cloned(), landed);
            if plan.action != Action::UpToDate && !self.unreadable.contains(partition) {
                plans.push(plan);
            }
        }
        self.hold_back(&mut plans).await;
        let mut so_far = NowAndThen::new(self.app, table, self.request.until);
        for plan in plans {
            if let Some(e) = self.stuck.as_ref().and_then(|stuck| stuck.at(&plan.partition)) {
                // Nothing was tried: it is the turn of this partition as soon as the repair is ended.
                self.fail(Some(&plan.partition), &e);
                continue;
            }
            so_far.show(&mut self.retries, done).await;
            if self.is_over() {
                self.fail(Some(&plan.partition), &deadline::too_late());
                continue;
            }
            self.merge_one(&plan, &wanted[&plan.partition], done).await;
        }
        Ok(())
    }

    async fn merge_one(&mut self, plan: &PartitionPlan, objects: &[(Hour, Taken)], done: &mut TableDone) {
        let Some(scatter) = &self.table.scatter else { return };
        let share = |taken: &Taken| {
            let staged = Some(taken.staged.clone()).filter(|key| self.staged.contains(key));
            Share { staged, ..Share::of(scatter, taken, &plan.partition) }
        };
        let queue = Queue::of_shares(objects.iter().map(|(_, taken)| (taken.key.clone(), share(taken))).collect());
        // What a redrive moved has its places for good, unless a repair puts it together again.
        let placed = objects.iter().filter(|(_, taken)| layout::parse_redriven_key(&taken.key).is_none());
        let version = |hour: &Hour| self.intakes.get(hour).map_or(0, |intake| intake.version);
        let placed = Placements {
            state: self.app.state.clone(),
            table: self.table.config.name.clone(),
            objects: placed.map(|(hour, taken)| (*hour, version(hour), taken.clone())).collect(),
            redriven: Placements::redriven(objects.iter().map(|(_, taken)| taken)),
            ledgers: self.app.ledgers.clone(),
        };
        let context = merge::Context { placed: Some(&placed), ..self.app.merging(&queue, self.run, self.request.at) };
        let version = match merge::merge(&context, self.table, plan).await {
            Ok(Merged::Committed { version, objects, .. }) => {
                done.enter_share(&objects, &version, &mut self.failures);
                self.retries.committed(&version, &objects);
                version
            }
            Ok(Merged::ByAnother(version)) => {
                done.enter_other_share(&version);
                version
            }
            Err(e) => match redriven::another(self.app, &self.table.config.name, plan).await {
                Ok(Some(head)) => {
                    done.enter_other_share(&head);
                    Box::new(head)
                }
                _ => return self.failures.push(self.retries.failed(plan, &e)),
            },
        };
        self.merged.insert(plan.partition.clone());
        self.heads.insert(plan.partition.clone(), *version);
    }
}
