//! Landed objects, fetched and standardized on all threads under the memory cap, and handed over in their order.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;

use super::plan::{is_error_output, same_partition};
use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::error::{Error, Kind, Result};
use crate::landing::LandedObject;
use crate::layout;
use crate::pipeline::{Limits, ManagedTable};
use crate::queue::read::Staged;
use crate::queue::{Queue, Recipe, give_up};
use crate::scatter::share::Share;
use crate::standardize::codec::Stored;
use crate::standardize::veil::veiled;
use crate::standardize::{self, Outcome, Piece, Plan, errors, reject};
use crate::store::{Root, parse};

/// Parts of one object that may wait for their turn, beside those that it holds itself.
const WAITING: usize = 2;

/// Objects up to this size are fetched at once, larger ones piece by piece.
const AT_ONCE: u64 = 32 << 20;

/// Bytes of a piece.
const PIECE: u64 = 8 << 20;

/// What an object takes in memory at the least, and as a multiple of its size: text compresses to a tenth or so, and becomes rows
/// of about its own size.
const LEAST: u64 = 32 << 20;
const GROWTH: u64 = 32;

/// The memory that objects share is counted in units of this many bytes, as a semaphore has few permits.
const UNIT: u64 = 1 << 20;

/// A part of what an object became.
#[derive(Debug)]
pub enum Part {
    /// Rows of the table.
    Rows(RecordBatch),
    /// Rows of its quarantine.
    Quarantined(RecordBatch),
}

/// An object that is being read.
pub struct Reading {
    /// Which one.
    pub object: LandedObject,
    parts: mpsc::Receiver<Part>,
    outcome: JoinHandle<Result<Outcome>>,
}

impl Reading {
    /// The next part; `None` once there are no more.
    pub async fn part(&mut self) -> Option<Part> {
        self.parts.recv().await
    }

    /// Takes no more of it, and waits until nobody works on it any more.
    pub async fn give_up(self) {
        drop(self.parts);
        // That its rows are not taken is no failure.
        let _ = self.outcome.await;
    }

    /// What became of it, after its last part.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be read. If it gave a part before that, what it gave is not all.
    pub async fn outcome(self) -> Result<Outcome> {
        let key = &self.object.key;
        self.outcome.await.map_err(|e| Error::internal(format!("{key}: standardizing stopped: {e}")))?
    }
}

/// Reads objects ahead of whoever takes them, as many at a time as there are threads and memory for.
pub struct Intake<'a> {
    landing: Root,
    state: &'a Root,
    plan: Arc<Plan>,
    queue: &'a Queue,
    recipe: Recipe,
    config: Arc<TableConfig>,
    waiting: std::slice::Iter<'a, LandedObject>,
    underway: VecDeque<Reading>,
    ahead: usize,
    /// `[lake] memory`, and the half of it that objects share.
    memory: u64,
    shared: u64,
    budget: Arc<Semaphore>,
}

impl<'a> Intake<'a> {
    /// Reads `objects` with half of the memory between them: from the queue those that are staged there, the others where they landed.
    pub fn new(table: &ManagedTable, state: &'a Root, queue: &'a Queue, objects: &'a [LandedObject], limits: &Limits) -> Self {
        let memory = limits.memory;
        let shared = memory / 2;
        Self {
            landing: table.landing.clone(),
            state,
            plan: Arc::clone(&table.plan),
            queue,
            recipe: Recipe::new(&table.config, &table.schema),
            config: Arc::new(table.config.clone()),
            waiting: objects.iter(),
            underway: VecDeque::new(),
            // One more than threads, so that none waits while the first object's last rows are written.
            ahead: limits.threads + 1,
            memory,
            shared,
            budget: Arc::new(Semaphore::new(units(shared) as usize)),
        }
    }

    /// The next object, in their order.
    pub async fn next(&mut self) -> Option<Reading> {
        while self.underway.len() < self.ahead {
            let Some(object) = self.waiting.as_slice().first() else { break };
            let need = object.size.saturating_mul(GROWTH).clamp(LEAST, self.shared.max(LEAST));
            let Ok(permit) = Arc::clone(&self.budget).try_acquire_many_owned(units(need).min(units(self.shared))) else { break };
            self.waiting.next();
            self.underway.push_back(self.start(object.clone(), need, permit));
        }
        self.underway.pop_front()
    }

    fn start(&self, object: LandedObject, need: u64, permit: OwnedSemaphorePermit) -> Reading {
        let (sender, parts) = mpsc::channel(WAITING);
        let (landing, state, plan, found) = (self.landing.clone(), self.state.clone(), Arc::clone(&self.plan), object.clone());
        let share = self.queue.share(&object).cloned();
        let staged = share.as_ref().map_or_else(|| self.queue.staged(&self.recipe, &object), |share| share.staged.clone());
        let limits = standardize::Limits::within(need, self.memory);
        let config = Arc::clone(&self.config);
        let outcome = tokio::spawn(async move {
            let _permit = permit;
            if layout::parse_redriven_key(&found.key).is_some() {
                return read_redriven(&state, staged, &found, &plan, share.as_ref(), &sender).await;
            }
            if let Some(key) = staged
                && let Some(outcome) = read_staged(&state, (&config.name, &key), &found, &plan, share.as_ref(), &sender).await?
            {
                return Ok(outcome);
            }
            let stored = fetch(&landing, &found).await?;
            let work = move || {
                let mut emit = |piece| parts_of(&found.key, piece, &mut |part| send(&sender, part));
                if is_error_output(&config, &found.key) {
                    return errors::standardize(&plan, &stored, limits, &|hour| same_partition(&config, &found, hour), &mut emit);
                }
                let mut narrow = share.as_ref().map(|share| share.narrow(&found));
                let outcome = standardize::standardize(&plan, &stored, limits, &mut |piece| {
                    parts_of(&found.key, piece, &mut |part| match &mut narrow {
                        Some(narrow) => narrow.part(part)?.map_or(Ok(()), |part| send(&sender, part)),
                        None => send(&sender, part),
                    })
                })?;
                match narrow {
                    Some(narrow) => narrow.outcome(outcome),
                    None => Ok(outcome),
                }
            };
            tokio::task::spawn_blocking(work).await.map_err(stopped)?
        });
        Reading { object, parts, outcome }
    }
}

/// Hands a piece on, rejects as rows of the quarantine.
fn parts_of(object: &str, piece: Piece, send: &mut dyn FnMut(Part) -> Result<()>) -> Result<()> {
    match piece {
        Piece::Rows(batch) => send(Part::Rows(batch)),
        Piece::Rejects(rejects) => {
            let failed = |e| Error::internal(format!("{object}: cannot quarantine: {e}"));
            let batches = reject::batches(&rejects).map(|some| reject::to_batch(object, some).map_err(failed));
            let batches = batches.collect::<Result<Vec<_>>>()?;
            // Sending may wait, and they are not to be in memory twice meanwhile.
            drop(rejects);
            batches.into_iter().try_for_each(|batch| send(Part::Quarantined(batch)))
        }
    }
}

fn send(sender: &mpsc::Sender<Part>, part: Part) -> Result<()> {
    sender.blocking_send(part).map_err(|_| Error::internal("nobody takes the rows"))
}

fn stopped(e: tokio::task::JoinError) -> Error {
    Error::internal(format!("standardizing stopped: {e}"))
}

/// Reads an object that a redrive made. It is nowhere else.
///
/// # Errors
/// `Unavailable` if it is not there any more: then every partition has its share, or somebody removed it. `Data` if it is damaged.
async fn read_redriven(
    state: &Root,
    file: Option<String>,
    object: &LandedObject,
    plan: &Arc<Plan>,
    share: Option<&Share>,
    sender: &mpsc::Sender<Part>,
) -> Result<Outcome> {
    let file = file.ok_or_else(|| Error::internal(format!("{} has no file", object.key)))?;
    let staged = Staged::fetch_by_name(state, &file, object, &plan.schema, share).await;
    let staged = staged.map_err(|e| Error::new(e.kind(), format!("{e}; restore it from a backup of the state location, and run again")))?;
    let staged = staged.ok_or_else(|| Error::unavailable(format!("{file} is not there any more; run again")))?;
    let (sender, plan, privacy) = (sender.clone(), Arc::clone(plan), staged.privacy().cloned());
    // A rule is about what is merged from then on, and these rows are merged now.
    let work = move || {
        staged.read(&mut |part| match part {
            Part::Rows(rows) => send(&sender, Part::Rows(veiled(&plan, privacy.as_ref(), rows)?)),
            other => send(&sender, other),
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(stopped)?
}

/// Reads what is staged of an object; `None` if that went away meanwhile or is of no use: what landed is the truth then.
///
/// # Errors
/// `Unavailable` if the staged file turns out to be broken after some of it was sent. It is removed, so that it is not read again.
async fn read_staged(
    state: &Root,
    (table, key): (&TableName, &str),
    object: &LandedObject,
    plan: &Plan,
    share: Option<&Share>,
    sender: &mpsc::Sender<Part>,
) -> Result<Option<Outcome>> {
    let staged = match Staged::fetch(state, key, object, &plan.schema, share).await {
        Ok(Some(staged)) => staged,
        Ok(None) => return Ok(None),
        Err(e) => {
            tracing::warn!("{e}; the object is read where it landed");
            return Ok(None);
        }
    };
    let sender = sender.clone();
    let work = move || {
        let mut begun = false;
        let read = staged.read(&mut |part| {
            begun = true;
            send(&sender, part)
        });
        (begun, read)
    };
    match tokio::task::spawn_blocking(work).await.map_err(stopped)? {
        (_, Ok(outcome)) => Ok(Some(outcome)),
        (false, Err(e)) if e.kind() == Kind::Data => {
            tracing::warn!("{e}; the object is read where it landed");
            Ok(None)
        }
        (true, Err(e)) if e.kind() == Kind::Data => {
            give_up(state, table, key, object).await?;
            Err(Error::unavailable(format!("{e}; it is removed, so run again, and what landed is read instead")))
        }
        (_, Err(e)) => Err(e),
    }
}

/// Whole units in `bytes`, at least one.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes / UNIT).unwrap_or(u32::MAX).max(1)
}

/// Only the content that was found: what is written over it meanwhile is for a later run.
fn same(etag: &str) -> GetOptions {
    GetOptions { if_match: Some(etag.to_string()), ..GetOptions::default() }
}

/// The bytes of an object; a large one is fetched piece by piece, by a thread that may wait.
///
/// # Errors
/// `Unavailable` if it cannot be read, or is another one by now.
pub async fn fetch(landing: &Root, object: &LandedObject) -> Result<Arc<dyn Stored>> {
    let path = parse(&object.key)?;
    if object.size > AT_ONCE {
        let (store, runtime) = (Arc::clone(landing.store()), Handle::current());
        let piece = Mutex::new((0, Bytes::new()));
        return Ok(Arc::new(InPieces { store, path, size: object.size, etag: object.etag.clone(), runtime, piece }));
    }
    let unreadable = |e: object_store::Error| Error::unavailable(format!("{e}: make it readable"));
    let found = landing.store().get_opts(&path, same(&object.etag)).await.map_err(unreadable)?;
    Ok(Arc::new(found.bytes().await.map_err(unreadable)?))
}

/// An object that is fetched piece by piece, by a thread that may wait.
struct InPieces {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    /// All pieces are of this version of the object.
    etag: String,
    runtime: Handle,
    /// The piece that was fetched last, and its offset.
    piece: Mutex<(u64, Bytes)>,
}

impl InPieces {
    fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        let options = GetOptions { range: Some(GetRange::Bounded(range)), ..same(&self.etag) };
        let piece = async { self.store.get_opts(&self.path, options).await?.bytes().await };
        self.runtime.block_on(piece).map_err(io::Error::other)
    }
}

impl Stored for InPieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = self.size.min(offset.saturating_add(length as u64));
        if offset >= end {
            return Ok(Bytes::new());
        }
        if end - offset >= PIECE {
            return self.fetch(offset..end);
        }
        let mut last = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        let (start, piece) = &mut *last;
        if offset < *start || end > *start + piece.len() as u64 {
            (*start, *piece) = (offset, self.fetch(offset..self.size.min(offset + PIECE))?);
        }
        let within = usize::try_from(offset - *start).unwrap_or(usize::MAX);
        Ok(piece.slice(within..within + usize::try_from(end - offset).unwrap_or(usize::MAX)))
    }
}
