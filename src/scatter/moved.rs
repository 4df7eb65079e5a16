//! What redrives moved: which files hold rows for other partitions, which of these lack theirs, and which files are lost.
//!
//! The ledger version of the partition that the records were in names its files. That it did is written down beside it, and stays so until
//! every partition has its rows: a file that is gone is missed.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;

use super::intake::of_object;
use crate::app::App;
use crate::catalog::TableName;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::{LedgerVersion, RedrivenFile};
use crate::merge::plan::is_error_output;
use crate::queue::redriven;
use crate::status::Moving;
use crate::store::{Root, parse};
use crate::summary::counted;

/// True if no landed object tells which of a partition's rows belong there: a redrive moved records into it or out of it, or took in objects
/// of Firehose's with errors.
pub fn stands_apart(config: &TableConfig, head: &LedgerVersion) -> bool {
    let mut sources = head.sources.iter().chain(&head.held);
    let is_apart = |key: &str| layout::parse_redriven_key(key).is_some() || is_error_output(config, key);
    head.counts.moved > 0 || sources.any(|source| is_apart(&source.key))
}

/// A file with rows that a redrive moved.
#[derive(Debug, Clone)]
pub struct Moved {
    /// The partition in whose quarantine the records were.
    pub home: PartitionId,
    /// The generation of it that the redrive wrote.
    pub id: GenerationId,
    /// The arrival hour of the records.
    pub hour: Hour,
    /// The file's key, below the state location.
    pub file: String,
    /// The key of the object that it is to the partitions that get its rows.
    pub key: String,
    /// Its rows, by the partitions that get them.
    pub shares: BTreeMap<PartitionId, u64>,
    /// It is there.
    pub is_there: bool,
    /// Those partitions that did not have theirs when it was looked for.
    pub lacking: BTreeSet<PartitionId>,
}

/// What is known of all that redrives moved, and that is not known to be where it belongs.
#[derive(Debug, Default)]
pub struct All {
    /// The files, in the order in which they were made.
    pub moved: Vec<Moved>,
    /// What cannot be read, and why.
    pub unreadable: Vec<Error>,
    /// What says so of the redrives that this is about: nobody knows whether anything of them is lost.
    unknown: BTreeSet<String>,
}

/// A file of a redrive, or the folder of what says that it moves rows, that is of no use any more.
#[derive(Debug)]
pub struct Done {
    /// The partition in whose quarantine the records were.
    pub home: PartitionId,
    /// Below the state location; that of a folder ends in a slash.
    pub path: String,
    /// It was there when it was looked for.
    is_there: bool,
}

/// A redrive: the partition, the generation that it wrote, and its files by their numbers. They are in the order of time.
type Redrives = BTreeMap<(String, PartitionId, u64), BTreeMap<usize, String>>;

impl Moved {
    /// Rows that a partition waits for.
    pub fn rows_for(&self, partition: &PartitionId) -> u64 {
        self.shares.get(partition).copied().filter(|_| self.lacking.contains(partition)).unwrap_or_default()
    }

    /// That a partition lacks rows and the file is gone, with what to do.
    pub fn lost(&self, table: &TableName, partition: &PartitionId) -> Error {
        let (rows, object) = (counted(self.rows_for(partition), "row"), layout::parse_redriven_key(&self.key).unwrap_or(&self.key));
        Error::data(format!(
            "it lacks {rows} that a redrive moved here from {}: {} is gone. Restore it from a backup of the state location, and run again; if there \
             is none, land these records of object {object} again under another name (the quarantine there lists them as resolved, Firehose's \
             reports have them still). Once this is done for all files that the redrive lost, and none of its others is left in {}, remove {}",
            self.home,
            self.file,
            layout::redriven_folder(table, &self.home, &self.id),
            layout::moving_key(table, &self.home, &self.id)
        ))
    }
}

impl All {
    /// Finds what redrives moved and committed. What a redrive wrote that did not commit is as if it were not there.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be listed.
    pub async fn find(app: &App, table: &TableName) -> Result<Self> {
        let (mut found, state) = (Self::default(), &app.state);
        for ((attempt, home, version), files) in redrives(state, table).await? {
            match app.ledgers.version(table, &home, version).await {
                Ok(Some(made)) if made.attempt == attempt => found.enter(state, &made, files).await,
                Ok(_) => {}
                Err(e) => found.unreadable.push(e),
            }
        }
        found.look_at_ledgers(app, table).await;
        if found.look_for_files(state, table).await {
            found.look_at_ledgers(app, table).await;
        }
        Ok(found)
    }

    /// Enters who lacks rows. Always behind a look at the files: whoever removes one has seen that all have their rows.
    async fn look_at_ledgers(&mut self, app: &App, table: &TableName) {
        let partitions = Vec::from_iter(self.partitions());
        let heads = app.ledgers.each_head(table, &partitions).await;
        let heads: BTreeMap<PartitionId, Option<LedgerVersion>> =
            partitions.into_iter().zip(heads).filter_map(|(partition, head)| Some((partition, head.ok()?))).collect();
        for moved in &mut self.moved {
            // Of a ledger that cannot be read it is told where it is wanted; here nothing is known to be lost by it.
            let has = |head: &Option<LedgerVersion>| head.as_ref().is_some_and(|head| of_object(head, &moved.key).is_some());
            let lacks = |partition: &PartitionId| heads.get(partition).map_or(moved.is_there, |head| !has(head));
            moved.lacking = moved.shares.keys().filter(|partition| lacks(partition)).cloned().collect();
        }
    }

    /// Looks for the files that were not listed and that somebody lacks rows of: they may have been written since. Of the others each partition
    /// has its rows. True if there are such files.
    async fn look_for_files(&mut self, state: &Root, table: &TableName) -> bool {
        let (unlisted, mut moved): (Vec<Moved>, Vec<Moved>) =
            std::mem::take(&mut self.moved).into_iter().partition(|moved| !moved.is_there && !moved.lacking.is_empty());
        let is_any = !unlisted.is_empty();
        for one in unlisted {
            match state.exists(&one.file).await {
                Ok(is_there) => moved.push(Moved { is_there, ..one }),
                Err(e) => {
                    self.unreadable.push(e);
                    self.unknown.insert(layout::moving_folder(table, &one.home, &one.id));
                }
            }
        }
        // The files of a redrive in their order, as they were.
        moved.sort_by(|one, other| (&one.id.attempt, &one.home, &one.file).cmp(&(&other.id.attempt, &other.home, &other.file)));
        self.moved = moved;
        is_any
    }

    /// Enters the files of the redrive that committed version `made`.
    async fn enter(&mut self, state: &Root, made: &LedgerVersion, files: BTreeMap<usize, String>) {
        let id = &made.generation.id;
        let folder = layout::redriven_folder(&made.table, &made.partition, id);
        let before = self.unreadable.len();
        for (index, RedrivenFile { name, object, shares }) in self.named(state, made, &files).await {
            let (file, is_there) = (format!("{folder}{name}"), files.contains_key(&index));
            let shares = shares.iter().map(|(path, rows)| Ok((path.parse()?, *rows))).collect::<Result<BTreeMap<_, _>>>();
            let of_redrive = || made.source(&object).ok_or_else(|| Error::data(format!("{file} is not of the redrive that it lies with")));
            match shares.and_then(|shares| Ok((shares, of_redrive()?.hour))) {
                Ok((shares, hour)) => self.moved.push(Moved {
                    home: made.partition.clone(),
                    id: id.clone(),
                    hour,
                    key: layout::redriven_key(&object, id, index),
                    file,
                    shares,
                    is_there,
                    lacking: BTreeSet::new(),
                }),
                Err(e) => self.unreadable.push(e),
            }
        }
        if self.unreadable.len() > before {
            self.unknown.insert(layout::moving_folder(&made.table, &made.partition, id));
        }
    }

    /// The files that a version names, by their numbers; of one that names none what those say that are there.
    async fn named(&mut self, state: &Root, made: &LedgerVersion, files: &BTreeMap<usize, String>) -> Vec<(usize, RedrivenFile)> {
        let mut named: Vec<_> = made.redriven.iter().cloned().enumerate().collect();
        if named.is_empty() {
            for (index, file) in files {
                match redriven::stated(state, file, *index).await {
                    Ok(stated) => named.extend(stated.map(|stated| (*index, stated))),
                    Err(e) => self.unreadable.push(in_it_alone(&e)),
                }
            }
        }
        named
    }

    /// The partitions that get something, or got it.
    pub fn partitions(&self) -> BTreeSet<PartitionId> {
        self.moved.iter().flat_map(|moved| moved.shares.keys().cloned()).collect()
    }

    /// Rows that wait in files that are there, by the partitions that lack them.
    pub fn rows(&self) -> BTreeMap<PartitionId, u64> {
        let waits = |(partition, Moving { moving, lost })| (moving > lost).then_some((partition, moving - lost));
        self.moving().into_iter().filter_map(waits).collect()
    }

    /// Rows that wait or are lost, by the partitions that lack them.
    pub fn moving(&self) -> BTreeMap<PartitionId, Moving> {
        let mut all: BTreeMap<PartitionId, Moving> = BTreeMap::new();
        for (moved, partition) in self.moved.iter().flat_map(|moved| moved.lacking.iter().map(move |partition| (moved, partition))) {
            let (of, rows) = (all.entry(partition.clone()).or_default(), moved.rows_for(partition));
            of.moving += rows;
            of.lost += if moved.is_there { 0 } else { rows };
        }
        all
    }

    /// What is of no use any more, as the ledgers are now: files of which every partition has its rows, and then what says that they move.
    ///
    /// # Errors
    /// `Unavailable` if a ledger cannot be read.
    pub async fn done(&self, app: &App, table: &TableName) -> Result<Vec<Done>> {
        let partitions = Vec::from_iter(self.partitions());
        let heads = app.ledgers.heads_of(table, &partitions).await?;
        let heads: BTreeMap<&PartitionId, &LedgerVersion> = heads.iter().map(|head| (&head.partition, head)).collect();
        let (mut done, mut ended) = (Vec::new(), BTreeMap::<String, (&PartitionId, bool)>::new());
        for Moved { home, id, file, key, shares, is_there, .. } in &self.moved {
            let is_done = shares.keys().all(|id| heads.get(id).is_some_and(|head| of_object(head, key).is_some()));
            ended.entry(layout::moving_folder(table, home, id)).or_insert((home, true)).1 &= is_done;
            done.extend(is_done.then(|| Done { home: home.clone(), path: file.clone(), is_there: *is_there }));
        }
        // At the end, so that no file is left that nobody would look for.
        let over = ended.into_iter().filter(|(folder, (_, ended))| *ended && !self.unknown.contains(folder));
        done.extend(over.map(|(path, (home, _))| Done { home: home.clone(), path, is_there: true }));
        Ok(done)
    }

    /// Removes what is of no use any more.
    ///
    /// # Errors
    /// `Unavailable` if a ledger or the state location cannot be read or written.
    pub async fn remove_done(&self, app: &App, table: &TableName) -> Result<()> {
        for done in self.done(app, table).await? {
            done.remove(&app.state).await?;
        }
        Ok(())
    }
}

impl Done {
    /// Removes it; what is not there any more is no error.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be written.
    pub async fn remove(&self, state: &Root) -> Result<()> {
        match self.path.ends_with('/') {
            true => state.remove_folder(&self.path).await?,
            false if self.is_there => state.remove(&self.path).await?,
            false => {}
        }
        state.remove_empty_around(&self.path)
    }
}

/// What to do about a file that is there and cannot be read.
pub(super) fn in_it_alone(e: &Error) -> Error {
    Error::new(e.kind(), format!("{e}: rows that a redrive moved are in it alone; restore it from a backup of the state location"))
}

/// All redrives of which there is a file, or of which it is written down that they moved rows, committed or not.
async fn redrives(state: &Root, table: &TableName) -> Result<Redrives> {
    let mut found = Redrives::new();
    for key in listed(state, &layout::moving_root(table)).await? {
        if let Some((home, id)) = layout::parse_moving_key(table, &key) {
            found.entry((id.attempt, home, id.number)).or_default();
        }
    }
    for file in listed(state, &layout::redriven_root(table)).await? {
        if let Some((home, id, index)) = layout::parse_redriven_file(table, &file) {
            found.entry((id.attempt, home, id.number)).or_default().insert(index, file);
        }
    }
    Ok(found)
}

async fn listed(state: &Root, folder: &str) -> Result<Vec<String>> {
    let prefix = parse(folder.trim_end_matches('/'))?;
    let objects: Vec<_> = state.store().list(Some(&prefix)).try_collect().await.map_err(|e| state.unlisted(folder, &e))?;
    Ok(objects.into_iter().map(|object| object.location.to_string()).collect())
}
