//! Carries a merge out up to the commit: reads the sources in order, writes the new generation, accounts for every record.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use futures::channel::mpsc;
use futures::{SinkExt, StreamExt, TryStreamExt};

use super::account::Account;
use super::append::plan::Again;
use super::append::{Carried, Live};
use super::dedupe::Dedupe;
use super::feed::{Feed, Rows, send, write_rows};
use super::intake::{Intake, Part, Reading};
use super::order;
use super::reader::read_generation;
use super::redrive;
use super::runs::{self, Pieces};
use super::writer::{GenerationWriter, Shape};
use crate::catalog::drift::column_drift;
use crate::error::{Error, Kind, Result};
use crate::landing::LandedObject;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::{Counts, Generation, LedgerVersion, Missing, RedrivenFile, Source};
use crate::pipeline::{Limits, ManagedTable};
use crate::queue::Queue;
use crate::queue::redriven::Leaving;
use crate::schema::arrow_schema;
use crate::standardize::kept::Redrive;
use crate::standardize::reject;
use crate::store::{Root, refusal};

/// Batches that may wait between the reader and the writer.
const WAITING: usize = 2;

/// One attempt at a partition's next version.
pub struct Attempt<'a> {
    /// The table.
    pub table: &'a ManagedTable,
    /// The state location, which holds the quarantine.
    pub state: &'a Root,
    /// Memory and threads.
    pub limits: &'a Limits,
    /// The partition.
    pub partition: &'a PartitionId,
    /// The name of the generation to be written.
    pub id: GenerationId,
    /// The version that this one follows.
    pub previous: Option<&'a LedgerVersion>,
    /// Nothing that the version before holds is taken over: its rows and records come from what landed once more.
    pub afresh: bool,
    /// What is to be merged beside it.
    pub objects: &'a [LandedObject],
    /// Where some of it may be staged.
    pub queue: &'a Queue,
    /// Which quarantined records are tried once more, if any are.
    pub redrive: Option<&'a Arc<Redrive>>,
}

/// What an attempt has written, ready to be committed.
#[derive(Debug)]
pub struct Written {
    /// The new generation.
    pub generation: Generation,
    /// The new quarantine, or the previous one if nothing was added to it.
    pub quarantine: Option<Generation>,
    /// All sources, those of the previous version too, ordered by key.
    pub sources: Vec<Source>,
    /// Objects that are not in it, or not wholly.
    pub missing: Vec<Missing>,
    /// Files with rows that belong to other partitions.
    pub redriven: Vec<RedrivenFile>,
    /// Values that broke a rule whose `on_fail` is `warn` or `null`.
    pub warned: u64,
}

impl Attempt<'_> {
    /// Writes the files of the new generation. Nothing refers to them until the ledger does.
    ///
    /// # Errors
    /// `Unavailable` if none of the objects can be read or the store cannot be written; see also [`Dedupe`] and [`order::ordered`].
    pub async fn write(&self) -> Result<Written> {
        let written = self.write_files().await;
        // Before the commit: what is left in a spill folder is never that of a committed attempt.
        if !self.table.config.merge.sort_by.is_empty() {
            self.limits.sorted(&self.id.attempt);
        }
        written
    }

    async fn write_files(&self) -> Result<Written> {
        let schema = self.table.plan.schema.clone();
        let (sender, receiver) = mpsc::channel(WAITING);
        let live = self.live().await?;
        let carried = live.carried();
        let writer = tokio::spawn(write_rows(self.writer(schema.clone()), carried.cloned(), self.arranged(&schema, receiver)?));
        let read = self.read_sources(carried, sender).await;
        let written = writer.await.map_err(|e| Error::internal(format!("the writer stopped: {e}")))?;
        // A failed writer closes the channel, so its error is the cause of the reader's.
        let generation = written?;
        let account = read?;
        let quarantine = match account.quarantine {
            Some(writer) => Some(writer.finish().await?),
            None => self.previous.and_then(|version| version.quarantine.clone()),
        };
        let Account { sources, missing, redriven, warned, .. } = account;
        Ok(Written { generation, quarantine, sources: sources.into_values().collect(), missing, redriven, warned })
    }

    /// Removes what this attempt wrote; only for an attempt that is known not to be committed.
    pub async fn clean_up(&self) {
        let table = &self.table.config.name;
        let failed = |e: Error| tracing::warn!("cannot remove what attempt {} left: {e}", self.id.attempt);
        let folders = [
            (&self.table.location, layout::generation_folder(self.partition, &self.id)),
            (self.state, layout::quarantine_folder(table, self.partition, &self.id)),
        ];
        for (root, folder) in folders {
            root.remove_folder(&folder).await.unwrap_or_else(failed);
        }
        if self.table.scatter.is_none() {
            return;
        }
        let moving = layout::moving_folder(table, self.partition, &self.id);
        for folder in [layout::redriven_folder(table, self.partition, &self.id), moving] {
            self.state.remove_folder(&folder).await.unwrap_or_else(failed);
            self.state.remove_empty_around(&folder).unwrap_or_else(failed);
        }
    }

    fn writer(&self, schema: SchemaRef) -> GenerationWriter {
        let folder = layout::generation_folder(self.partition, &self.id);
        GenerationWriter::new(&self.table.location, &self.table.config.name, self.id.clone(), folder, schema, &self.shape())
    }

    pub(super) fn shape(&self) -> Shape {
        let merge = &self.table.config.merge;
        Shape {
            target_file_size: merge.target_file_size,
            row_group_size: merge.row_group_size.min(self.limits.memory / 8),
            compression: merge.compression,
            threads: self.limits.threads,
        }
    }

    /// Decides what becomes of the live files. To do so, the footer of the last one is read where nothing else decides.
    ///
    /// # Errors
    /// `Config` if their columns cannot be those that the table has now; as [`Carried::plan`].
    pub async fn live(&self) -> Result<Live> {
        let Some(previous) = self.base() else {
            return Ok(if self.previous.is_some() { Live::Replaced } else { Live::None });
        };
        self.refuse_other_columns(previous)?;
        // Without anything new the live rows are what is to be encoded.
        let asked = self.objects.is_empty() && self.redrive.is_none();
        let ordered = !self.table.config.merge.sort_by.is_empty();
        match () {
            () if asked => Ok(Live::Encoded(Again::Asked)),
            () if ordered => Ok(Live::Encoded(Again::Order)),
            () if previous.columns != self.table.schema.columns => Ok(Live::Encoded(Again::Columns)),
            () => Carried::plan(&self.table.location, &previous.generation, &self.table.plan.schema, &self.shape()).await,
        }
    }

    /// The rows in the order that the table wants.
    fn arranged(
        &self,
        schema: &SchemaRef,
        rows: mpsc::Receiver<Result<Rows>>,
    ) -> Result<futures::stream::BoxStream<'static, Result<Rows>>> {
        let by = &self.table.config.merge.sort_by;
        if by.is_empty() {
            return Ok(rows.boxed());
        }
        let task = self.limits.sorting(&self.id.attempt)?;
        let batches = rows.map(|rows| match rows? {
            Rows::Batch(batch) => Ok(batch),
            Rows::Staged(..) => Err(Error::internal("staged files have no order")),
        });
        Ok(order::ordered(task, schema, by, batches)?.map_ok(Rows::Batch).boxed())
    }

    /// Sends the rows of all sources down the channel, the live generation's first, and keeps the account.
    async fn read_sources(&self, carried: Option<&Carried>, mut rows: Feed) -> Result<Account> {
        let done = self.feed(carried, &mut rows).await;
        if let Err(e) = &done {
            // Whoever writes must not take the end of the rows for their completeness.
            let _ = rows.send(Err(Error::new(e.kind(), e.to_string()))).await;
        }
        done
    }

    async fn feed(&self, carried: Option<&Carried>, rows: &mut Feed) -> Result<Account> {
        let mut account = Account::default();
        let mut dedupe = self.dedupe()?;
        // Where there was one, readers have to see that records are gone from it.
        let quarantined = self.previous.is_some_and(|version| version.quarantine.is_some());
        if quarantined && (self.afresh || !self.replaced().is_empty()) {
            account.quarantine = Some(self.open_quarantine().await?);
        }
        if let Some(previous) = self.base() {
            account.sources = previous.sources.iter().map(|source| (source.key.clone(), source.clone())).collect();
            let again = |missing: &&Missing| !self.objects.iter().any(|object| object.key == missing.key);
            account.missing = previous.missing.iter().filter(again).cloned().collect();
            self.feed_live(&previous.generation, carried, &mut dedupe, rows).await?;
            if let Some(redrive) = self.redrive {
                self.feed_quarantined(redrive, &mut account, &mut dedupe, rows).await?;
            }
        }
        let (mut merged, reports) = (0, self.reports());
        let mut leaving = self.leaving(&reports);
        let mut waiting: VecDeque<(&[LandedObject], Pieces)> =
            self.runs().into_iter().map(|run| (&self.objects[run.objects], run.pieces)).collect();
        let mut again = runs::MOST.saturating_sub(waiting.iter().filter(|(_, pieces)| !pieces.is_empty()).count());
        while let Some((objects, pieces)) = waiting.pop_front() {
            let woven = self.feed_staged(objects, &pieces, &mut account, rows).await?;
            merged += woven as u64;
            let mut objects = &objects[woven..];
            if !pieces.is_empty() && objects.len() > 1 && again > 0 {
                // One of no use is read where it landed, and those behind it go on as they are.
                let (unusable, behind) = objects.split_at(1);
                objects = unusable;
                waiting.push_front((behind, self.pieces(behind)));
                again -= 1;
            }
            let mut intake = Intake::new(self.table, self.state, self.queue, objects, self.limits);
            while let Some(reading) = intake.next().await {
                merged += u64::from(self.take(reading, &mut account, &mut dedupe, &mut leaving, rows).await?);
                self.limits.progress.inc(1);
            }
        }
        if let Some(leaving) = leaving {
            account.redriven.extend(leaving.finish().await?);
        }
        account.missing.sort_by(|a, b| a.key.cmp(&b.key));
        match account.missing.first() {
            Some(first) if merged == 0 && !self.objects.is_empty() => {
                Err(refusal::failed(&format!("cannot read object {}", first.key), &first.reason, "then run again, or move it away"))
            }
            _ => Ok(account),
        }
    }

    /// Rows that were merged into columns that are gone, or of another type now, would lose values.
    fn refuse_other_columns(&self, previous: &LedgerVersion) -> Result<()> {
        let drift = column_drift(&previous.columns, &self.table.schema.columns);
        drift.other.first().map_or(Ok(()), |what| {
            Err(Error::config(format!(
                "the hour was merged with other columns than the table has now: {what}; put them back in the catalog"
            )))
        })
    }

    /// Sends those live rows that are to be encoded again, and remembers the events of all.
    async fn feed_live(&self, live: &Generation, carried: Option<&Carried>, dedupe: &mut Option<Dedupe>, rows: &mut Feed) -> Result<()> {
        let (root, schema) = (&self.table.location, &self.table.plan.schema);
        let Some(carried) = carried else {
            let mut all = Box::pin(read_generation(root, live, schema));
            while let Some(batch) = all.try_next().await? {
                if let Some(dedupe) = dedupe {
                    dedupe.keep(&batch)?;
                }
                send(rows, batch).await?;
            }
            return Ok(());
        };
        if let Some(dedupe) = dedupe {
            let keys = schema.project(dedupe.columns()).map_err(|e| Error::internal(format!("the columns of events: {e}")))?;
            let mut events = Box::pin(read_generation(root, live, &keys.into()));
            while let Some(batch) = events.try_next().await? {
                dedupe.remember(batch.columns())?;
            }
        }
        let mut again = Box::pin(carried.rows(schema));
        while let Some(batch) = again.try_next().await? {
            send(rows, batch).await?;
        }
        Ok(())
    }

    fn dedupe(&self) -> Result<Option<Dedupe>> {
        let schema = &self.table.plan.schema;
        let by = &self.table.config.merge.deduplicate_by;
        let columns = by
            .iter()
            .map(|name| schema.index_of(name).map_err(|_| Error::config(format!("deduplicate_by: the table has no column {name}"))));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        if columns.is_empty() {
            return Ok(None);
        }
        Dedupe::new(schema, columns, &self.id.attempt, self.limits.memory / 8).map(Some)
    }

    /// Sends an object's rows on, quarantines its rejects and enters what became of its records; false if it cannot be read now.
    async fn take(
        &self,
        mut reading: Reading,
        account: &mut Account,
        dedupe: &mut Option<Dedupe>,
        leaving: &mut Option<Leaving<'_>>,
        rows: &mut Feed,
    ) -> Result<bool> {
        let (object, key) = (reading.object.clone(), reading.object.key.clone());
        let (mut counts, mut begun) = (Counts::default(), false);
        while let Some(part) = reading.part().await {
            begun = true;
            match part {
                Part::Quarantined(batch) => self.quarantine(&mut account.quarantine).await?.write(&batch).await?,
                Part::Rows(all) => {
                    let batch = match leaving {
                        Some(leaving) if leaving.is_of(&object.key) => redrive::staying(leaving, &all, &object.key).await?,
                        _ => all.clone(),
                    };
                    counts.moved += (all.num_rows() - batch.num_rows()) as u64;
                    let kept = match dedupe {
                        Some(dedupe) => dedupe.filter(&batch)?,
                        None => batch.clone(),
                    };
                    counts.merged += kept.num_rows() as u64;
                    counts.duplicates += (batch.num_rows() - kept.num_rows()) as u64;
                    send(rows, kept).await?;
                }
            }
        }
        // What a redrive moved is missed by what lies below `moving/`, and no version lists it as missing: nobody can land it again.
        let has_to_be_in = begun || layout::parse_redriven_key(&object.key).is_some();
        match reading.outcome().await {
            // What it gave is sent already and is not all of it: this attempt cannot be made good.
            Err(e) if has_to_be_in || e.kind() != Kind::Unavailable => Err(Error::new(e.kind(), format!("object {}: {e}", object.key))),
            Err(e) => {
                account.missing.push(Missing { key: object.key, reason: e.to_string() });
                Ok(false)
            }
            Ok(outcome) => {
                account.enter(self.as_it_came(object), self.is_late(&key), counts, outcome);
                Ok(true)
            }
        }
    }

    /// The version whose rows and records are taken over.
    fn base(&self) -> Option<&LedgerVersion> {
        self.previous.filter(|_| !self.afresh)
    }

    /// True for what came after the first merge, and not for what is only read once more.
    pub(super) fn is_late(&self, key: &str) -> bool {
        let known = |version: &LedgerVersion| version.source(key).or(version.held(key)).filter(|_| self.afresh).map(|source| source.late);
        self.previous.is_some_and(|version| !version.is_void() && known(version).unwrap_or(true))
    }

    /// The object with the time that the ledger knows of it, as long as its content is the same: a copy put in its place did not come later.
    pub(super) fn as_it_came(&self, object: LandedObject) -> LandedObject {
        let known = self.previous.and_then(|version| version.source(&object.key).or(version.held(&object.key)));
        let known = known.filter(|source| (&source.etag, source.size) == (&object.etag, object.size));
        LandedObject { came: known.map_or(object.came, |source| source.came), ..object }
    }

    /// Keys of the objects that were set aside before and come again with another content.
    fn replaced(&self) -> BTreeSet<&str> {
        let set_aside = |key: &str| self.previous.is_some_and(|version| version.source(key).is_some());
        self.objects.iter().map(|object| object.key.as_str()).filter(|key| set_aside(key)).collect()
    }

    /// The quarantine's next generation, begun if it is not yet.
    pub(super) async fn quarantine<'w>(&self, writer: &'w mut Option<GenerationWriter>) -> Result<&'w mut GenerationWriter> {
        match writer {
            Some(open) => Ok(open),
            none => Ok(none.insert(self.open_quarantine().await?)),
        }
    }

    /// The quarantine's next generation, without rows.
    pub(super) fn quarantine_writer(&self, schema: &SchemaRef) -> GenerationWriter {
        let folder = layout::quarantine_folder(&self.table.config.name, self.partition, &self.id);
        GenerationWriter::new(self.state, &self.table.config.name, self.id.clone(), folder, schema.clone(), &self.shape())
    }

    /// Begins the quarantine's next generation with the previous one's rows, but those of replaced objects.
    async fn open_quarantine(&self) -> Result<GenerationWriter> {
        let replaced = self.replaced();
        let schema = arrow_schema(&reject::columns());
        let mut writer = self.quarantine_writer(&schema);
        if let Some(previous) = self.base().and_then(|version| version.quarantine.as_ref()) {
            let mut rows = Box::pin(read_generation(self.state, previous, &schema));
            while let Some(batch) = rows.try_next().await? {
                writer.write(&reject::without(&batch, &replaced).map_err(|e| Error::internal(format!("quarantine: {e}")))?).await?;
            }
        }
        Ok(writer)
    }
}
