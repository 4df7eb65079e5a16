//! Feeds staged files to the writer as they are, wherever their rows need neither an order nor a look.

use std::ops::Range;

use futures::stream::BoxStream;
use futures::{SinkExt, StreamExt};
use parquet::arrow::ArrowSchemaConverter;
use parquet::schema::types::SchemaDescriptor;

use super::account::Account;
use super::encode::on_threads;
use super::encode::stored::Stored;
use super::execute::Attempt;
use super::feed::{Feed, Rows};
use super::runs::{self, Pieces, Run};
use super::writer::codec;
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::ledger::Counts;
use crate::queue::read::{Rejected, Whole};
use crate::queue::{Recipe, give_up};

impl Attempt<'_> {
    /// The objects in runs, in their order: those whose staged files can go on as they are, in pieces that are put together at once, and
    /// what is between them.
    pub(super) fn runs(&self) -> Vec<Run> {
        runs::runs(&self.sizes(self.objects), self.leaves().map_or(0, |leaves| leaves.num_columns()), self.shape().row_group_size)
    }

    /// The pieces of objects that follow one another in a run.
    pub(super) fn pieces(&self, objects: &[LandedObject]) -> Pieces {
        let leaves = self.leaves().map_or(0, |leaves| leaves.num_columns());
        runs::pieces(&self.sizes(objects), leaves as u64, self.shape().row_group_size)
    }

    /// The bytes of the staged file of each object that has one which can go on as it is.
    fn sizes(&self, objects: &[LandedObject]) -> Vec<Option<u64>> {
        let merge = &self.table.config.merge;
        let looked_at = !merge.sort_by.is_empty() || !merge.deduplicate_by.is_empty() || self.table.scatter.is_some();
        let recipe = Recipe::new(&self.table.config, &self.table.schema);
        objects.iter().map(|object| self.queue.staged_size(&recipe, object).filter(|_| !looked_at)).collect()
    }

    /// Sends the staged files of these objects down the channel, each piece at once, and enters them. Says how many objects that were: it
    /// ends at one whose file is gone or of no use, which is then to be read where it landed.
    pub(super) async fn feed_staged(
        &self,
        objects: &[LandedObject],
        pieces: &[Range<usize>],
        account: &mut Account,
        rows: &mut Feed,
    ) -> Result<usize> {
        let Some(leaves) = self.leaves().filter(|_| !pieces.is_empty()) else { return Ok(0) };
        let recipe = Recipe::new(&self.table.config, &self.table.schema);
        let mut done = 0;
        for piece in pieces {
            let mut fetched = self.fetched(&recipe, &objects[piece.clone()]).await;
            let (mut files, mut all, first) = (Vec::new(), true, done);
            while let Some(found) = fetched.next().await {
                let whole = found.filter(|whole| whole.file.fits(&leaves, codec(self.table.config.merge.compression)));
                // One object's at a time: they may be many times its rows.
                let rejects = match &whole {
                    Some(whole) => usable(whole.rejects(self.state).await),
                    None => None,
                };
                let (Some(whole), Some(rejects)) = (whole, rejects) else {
                    all = false;
                    break;
                };
                files.push(self.enter(&objects[done], whole, rejects, account).await?);
                done += 1;
                self.limits.progress.inc(1);
            }
            drop(fetched);
            let (written, is_written) = futures::channel::oneshot::channel();
            rows.send(Ok(Rows::Staged(files, written))).await.map_err(|_| Error::internal("the writer stopped early"))?;
            // No two pieces are in memory at once. If the writer fails, it says so at the end.
            if let Ok(Some(unusable)) = is_written.await {
                return Err(self.unusable(&recipe, &objects[first + unusable]).await);
            }
            if !all {
                break;
            }
        }
        Ok(done)
    }

    /// Removes the staged file of an object, which cannot be read though it is as it was written: what landed is read by the next attempt.
    async fn unusable(&self, recipe: &Recipe, object: &LandedObject) -> Error {
        let key = recipe.staged_key(object);
        match give_up(self.state, &self.table.config.name, &key, object).await {
            Ok(()) => Error::unavailable(format!("{key} cannot be read, and is removed: run again, and what landed is read instead")),
            Err(e) => Error::unavailable(format!("{key} cannot be read; remove it, and run again: {e}")),
        }
    }

    /// The staged file of each object, in their order; `None` where what landed is to be read instead.
    async fn fetched<'f>(&'f self, recipe: &'f Recipe, objects: &'f [LandedObject]) -> BoxStream<'f, Option<Whole>> {
        if !self.state.is_local() {
            let fetch = objects.iter().map(move |object| self.fetch(recipe, object));
            return futures::stream::iter(fetch).buffered(2 * self.limits.threads).boxed();
        }
        let key = |object: &LandedObject| Some((self.queue.staged(recipe, object)?, object.clone()));
        let (state, wanted): (_, Vec<_>) = (self.state.clone(), objects.iter().map(key).collect());
        let read = move |index: usize| Ok(wanted[index].as_ref().and_then(|(key, object)| usable(Whole::read(&state, key, object))));
        let stopped = |e| {
            tracing::warn!("reading staged files stopped: {e}; the objects are read where they landed");
            vec![None]
        };
        let read = on_threads(self.limits.threads, objects.len(), read).await.unwrap_or_else(stopped);
        futures::stream::iter(read).boxed()
    }

    /// The staged file of an object; `None` if what landed is to be read instead.
    async fn fetch(&self, recipe: &Recipe, object: &LandedObject) -> Option<Whole> {
        let key = self.queue.staged(recipe, object)?;
        let (state, object) = (self.state.clone(), object.clone());
        let fetched = tokio::spawn(async move { Whole::fetch(&state, &key, &object).await }).await;
        usable(fetched.unwrap_or_else(|e| Err(Error::internal(format!("reading a staged file stopped: {e}")))))
    }

    /// Enters an object with what its staged file says of it, and writes its rejects into the quarantine.
    async fn enter(&self, object: &LandedObject, whole: Whole, rejects: Rejected, account: &mut Account) -> Result<Stored> {
        let outcome = whole.outcome();
        let mut rejects = Some(rejects).filter(|rejects| !rejects.is_empty());
        while let Some(mut some) = rejects.take() {
            let read = tokio::task::spawn_blocking(move || some.batch().map(|batch| batch.map(|batch| (batch, some)))).await;
            let read = read.map_err(|e| Error::internal(format!("reading records stopped: {e}")))?;
            let Some((batch, rest)) = read.map_err(|e| Error::unavailable(format!("{e}; run again")))? else { break };
            rejects = Some(rest);
            self.quarantine(&mut account.quarantine).await?.write(&batch).await?;
        }
        let counts = Counts { merged: outcome.tally.rows, ..Counts::default() };
        account.enter(self.as_it_came(object.clone()), self.is_late(&object.key), counts, outcome);
        Ok(whole.file)
    }

    /// The leaves of the table's files; `None` if they cannot be encoded at all, which the writer says.
    fn leaves(&self) -> Option<SchemaDescriptor> {
        ArrowSchemaConverter::new().with_coerce_types(true).convert(&self.table.plan.schema).ok()
    }
}

/// What is there of a staged file and can be used; what landed is the truth in every other case.
fn usable<T>(found: Result<Option<T>>) -> Option<T> {
    found.unwrap_or_else(|e| {
        tracing::warn!("{e}; the object is read where it landed");
        None
    })
}
