//! Intakes in an object store: read the newest, commit the next by creating it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::intake::{FORMAT, Intake, Taken};
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout::{self, PartitionId};
use crate::ledger::store::LedgerStore;
use crate::ledger::{LedgerVersion, Source};
use crate::scatter::moves::log;
use crate::store::{Created, Root, parse};

/// Requests under way at once when many hours are read.
const CONCURRENCY: usize = 16;

/// Lost races after which it is given up.
const RACES: usize = 5;

/// What became of a commit.
#[derive(Debug, PartialEq)]
pub enum Committed {
    /// The version is there.
    Done,
    /// Another attempt wrote this number first; its version is given.
    Lost(Box<Intake>),
}

/// What is known of some arrival hours.
#[derive(Debug, Default)]
pub struct Newest {
    /// The newest intake of each hour that has one.
    pub intakes: BTreeMap<Hour, Intake>,
    /// Hours whose intake cannot be read, and why.
    pub unreadable: BTreeMap<Hour, Error>,
    /// The last hour, be it none of these, that has an intake or was begun.
    pub last: Option<Hour>,
    /// The hours that are said to be begun.
    pub begun: BTreeSet<Hour>,
}

/// The newest intake of each of these hours that has one. Hours that follow each other are listed with one request. An intake that
/// cannot be read does not stop the others.
///
/// # Errors
/// `Unavailable` if the state location cannot be listed.
pub async fn newest(state: &Root, table: &TableName, hours: &BTreeSet<Hour>) -> Result<Newest> {
    let mut found = Newest::default();
    let Some(first) = hours.first() else { return Ok(found) };
    let folder = layout::intake_root(table);
    let failed = |e: object_store::Error| state.unlisted(&folder, &e);
    let prefix = parse(folder.trim_end_matches('/'))?;
    // Names are in the order of time, so that what is older than the first hour is not listed.
    let before = parse(&format!("{folder}{first}"))?;
    let mut listing = state.store().list_with_offset(Some(&prefix), &before);
    let mut versions: BTreeMap<Hour, u64> = BTreeMap::new();
    while let Some(object) = listing.try_next().await.map_err(failed)? {
        if let Some(hour) = layout::parse_begun_key(table, object.location.as_ref()) {
            found.begun.insert(hour);
            found.last = found.last.max(Some(hour));
        }
        let Some((hour, version)) = layout::parse_intake_key(table, object.location.as_ref()) else { continue };
        found.last = found.last.max(Some(hour));
        if hours.contains(&hour) {
            let highest = versions.entry(hour).or_insert(version);
            *highest = version.max(*highest);
        }
    }
    drop(listing);
    let read = |(hour, version)| async move { (hour, self::version(state, table, hour, version).await) };
    let all: Vec<_> = futures::stream::iter(versions).map(read).buffered(CONCURRENCY).collect().await;
    for (hour, read) in all {
        match read {
            Ok(intake) => found.intakes.extend(intake.map(|intake| (hour, intake))),
            Err(e) => {
                found.unreadable.insert(hour, e);
            }
        }
    }
    Ok(found)
}

/// Says that an hour is begun, before its first intake is written: if that alone is lost, it shows. `known` are the hours that are said to be
/// begun; those before this one are not needed any more.
///
/// # Errors
/// `Unavailable` if the state location cannot be written.
pub async fn begin(state: &Root, table: &TableName, hour: Hour, known: &mut BTreeSet<Hour>, attempt: &str) -> Result<()> {
    if known.contains(&hour) {
        return Ok(());
    }
    state.create(&layout::begun_key(table, hour), Vec::new(), attempt).await?;
    known.insert(hour);
    let last = known.last().copied();
    for before in known.iter().copied().filter(|hour| Some(*hour) < last).collect::<Vec<_>>() {
        match state.remove(&layout::begun_key(table, before)).await {
            Ok(()) => drop(known.remove(&before)),
            // It does no harm, and goes with the next one.
            Err(e) => tracing::warn!("that {before} was begun stays written down: {e}"),
        }
    }
    Ok(())
}

/// The newest intake of an hour, if it is newer than this version.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` or `Config` if an intake cannot.
pub async fn newer(state: &Root, table: &TableName, hour: Hour, than: u64) -> Result<Option<Intake>> {
    let mut newest = None;
    let mut next = than + 1;
    while let Some(intake) = version(state, table, hour, next).await? {
        newest = Some(intake);
        next += 1;
    }
    Ok(newest)
}

/// The places that a run counts on when it merges objects into a partition.
#[derive(Debug)]
pub struct Placements {
    /// The state location.
    pub state: Root,
    /// The table.
    pub table: TableName,
    /// The objects, their arrival hours, and the versions of the intakes that say so.
    pub objects: Vec<(Hour, u64, Taken)>,
    /// Where rows come from that redrives moved: the partitions, and the versions that took these out.
    pub redriven: BTreeSet<(PartitionId, u64)>,
    /// All ledgers.
    pub ledgers: LedgerStore,
}

impl Placements {
    /// Makes sure that they have the same places still. It must be asked after the head was read that a commit follows, and before the
    /// commit: whoever gives an object another place withdraws it first, and then makes every such head an old one.
    ///
    /// # Errors
    /// `Conflict` if an object is placed otherwise meanwhile; `Unavailable` or `Data` if an intake cannot be read.
    pub async fn hold(&self) -> Result<()> {
        self.hold_redriven().await?;
        let hours: BTreeMap<Hour, u64> = self.objects.iter().map(|(hour, version, _)| (*hour, *version)).collect();
        let read = |(hour, version)| async move { Ok::<_, Error>((hour, newer(&self.state, &self.table, hour, version).await?)) };
        let newer: BTreeMap<Hour, Option<Intake>> = futures::stream::iter(hours).map(read).buffered(CONCURRENCY).try_collect().await?;
        for (hour, _, taken) in &self.objects {
            let Some(Some(intake)) = newer.get(hour) else { continue };
            if !intake.object(&taken.key).is_some_and(|now| now.lets(taken)) {
                return Err(Error::conflict(format!(
                    "another run, with other columns or rules, gives rows of object {} other places meanwhile; nothing was committed, run again",
                    taken.key
                )));
            }
        }
        Ok(())
    }
}

impl Placements {
    /// What redrives made, some of which `taken` may be, counts on the versions that took its rows out alone.
    pub fn redriven<'t>(taken: impl Iterator<Item = &'t Taken>) -> BTreeSet<(PartitionId, u64)> {
        taken.filter_map(|taken| Some((taken.home.clone(), layout::parse_redriven(&taken.key)?.1.number))).collect()
    }

    /// Makes sure that no repair puts rows of redrives together again with what they were taken out of. A repair that is under way is open, and one
    /// that is over made the partition anew: if the head was read behind what it makes of this one, either shows.
    async fn hold_redriven(&self) -> Result<()> {
        if self.redriven.is_empty() {
            return Ok(());
        }
        let open = log::newest(&self.state, &self.table).await?;
        for (home, version) in &self.redriven {
            let is_made_anew = open.as_ref().is_some_and(|open| open.names(home));
            if is_made_anew || self.ledgers.is_made_anew_since(&self.table, home, *version).await? {
                return Err(Error::conflict(format!(
                    "a repair makes {home} anew meanwhile, with rows that a redrive moved from there; nothing was committed, run again"
                )));
            }
        }
        Ok(())
    }
}

/// Writes down that objects that were set aside as a whole, each given as its partition has it, are so no more. From then on nobody takes in
/// another content of them.
///
/// # Errors
/// `Conflict` if another content of one is taken in already, or if other runs keep being faster; otherwise as [`commit`].
pub async fn come_in(state: &Root, made: &LedgerVersion, objects: &[&Source]) -> Result<()> {
    let hours: BTreeSet<Hour> = objects.iter().map(|source| source.hour).collect();
    let Newest { mut intakes, unreadable, .. } = newest(state, &made.table, &hours).await?;
    if let Some((_, e)) = unreadable.into_iter().next() {
        return Err(e);
    }
    for hour in hours {
        let Some(mut known) = intakes.remove(&hour) else { continue };
        for _ in 0..RACES {
            let next = entered(&known, made, objects)?;
            if next.objects == known.objects {
                break;
            }
            known = match commit(state, &next, Some(&known)).await? {
                Committed::Done => next,
                Committed::Lost(winner) => *winner,
            };
        }
        if entered(&known, made, objects)?.objects != known.objects {
            return Err(Error::conflict(format!("{} {hour}: other runs kept changing what is taken in; run again later", made.table)));
        }
    }
    Ok(())
}

/// The intake that follows: these objects are set aside no more, or, where that is not written down yet, done.
fn entered(known: &Intake, made: &LedgerVersion, objects: &[&Source]) -> Result<Intake> {
    let LedgerVersion { attempt, run, at, .. } = made.clone();
    let mut next = Intake { format: FORMAT, version: known.version + 1, attempt, run, at, ..known.clone() };
    for taken in &mut next.objects {
        let Some(source) = objects.iter().find(|source| source.key == taken.key) else { continue };
        if (&taken.etag, taken.size) != (&source.etag, source.size) {
            return Err(Error::conflict(format!("another run takes in other content of object {}; redrive again later", taken.key)));
        }
        // All partitions may have their shares, and the run that took it in died before it wrote that down.
        if !taken.done && taken.lacks(&BTreeMap::from([(made.partition.clone(), made.clone())]))?.is_none() {
            (taken.done, taken.withdrawn) = (true, None);
            continue;
        }
        if !taken.done {
            let (key, hour) = (&taken.key, source.hour);
            return Err(Error::conflict(format!(
                "the run that took in object {key} did not end: `lakebed run --since {hour}`, then redrive again"
            )));
        }
        if taken.moving.is_some() {
            return Err(Error::conflict(format!("a repair is moving rows of object {}; redrive again later", taken.key)));
        }
        taken.set_aside = None;
    }
    Ok(next)
}

/// One version of an hour's intake, or `None` if there is none of that number.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` or `Config` if the intake cannot.
async fn version(state: &Root, table: &TableName, hour: Hour, version: u64) -> Result<Option<Intake>> {
    let key = layout::intake_key(table, hour, version);
    state.read(&key).await?.map(|bytes| Intake::from_json(&bytes, &key)).transpose()
}

/// Commits `next`, which must follow `previous`. "Already there" is a question, and so is a failure: it is ours if it carries our
/// attempt's id.
///
/// # Errors
/// `Internal` if `next` breaks an invariant; nothing is written then. `Unavailable` if the store cannot be written, or does not tell.
pub async fn commit(state: &Root, next: &Intake, previous: Option<&Intake>) -> Result<Committed> {
    next.check(previous)?;
    let key = layout::intake_key(&next.table, next.hour, next.version);
    let created = state.create(&key, next.to_json(), &next.attempt).await;
    if matches!(created, Ok(Created::Yes)) {
        return Ok(Committed::Done);
    }
    match (version(state, &next.table, next.hour, next.version).await, created) {
        (Ok(Some(there)), _) if there.attempt == next.attempt => Ok(Committed::Done),
        (Ok(Some(there)), _) => Ok(Committed::Lost(Box::new(there))),
        (_, Err(e)) | (Err(e), _) => Err(e),
        (Ok(None), _) => Err(Error::unavailable(format!("{key} is there and cannot be read; run again"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;
    use crate::store::Stores;

    #[tokio::test]
    async fn an_hour_is_begun_only_once_it_is_written_down_and_an_older_one_that_stays_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = Stores::default().existing(&Location::of_folder(folder.path()).unwrap(), "the folder").unwrap();
        let (table, attempt) = (TableName::parse("shop.clicks").unwrap(), "01J00000000000000000000000");
        let hours = ["2026-11-19T10", "2026-11-19T11", "2026-11-19T12"].map(|hour| hour.parse::<Hour>().unwrap());
        let mut known = BTreeSet::new();
        // A file is where the folder is to be.
        let begun = folder.path().join("intake/shop.clicks/begun");
        std::fs::create_dir_all(begun.parent().unwrap()).unwrap();
        std::fs::write(&begun, "").unwrap();
        for _ in 0..2 {
            begin(&state, &table, hours[0], &mut known, attempt).await.unwrap_err();
        }
        std::fs::remove_file(&begun).unwrap();
        begin(&state, &table, hours[0], &mut known, attempt).await.unwrap();
        assert!(state.exists(&layout::begun_key(&table, hours[0])).await.unwrap());
        // What cannot be removed: a folder is where the file was.
        std::fs::remove_file(begun.join(hours[0].to_string())).unwrap();
        std::fs::create_dir_all(begun.join(hours[0].to_string()).join("x")).unwrap();
        begin(&state, &table, hours[1], &mut known, attempt).await.unwrap();
        assert_eq!(Vec::from_iter(known.clone()), hours[..2]);
        std::fs::remove_dir_all(begun.join(hours[0].to_string())).unwrap();
        begin(&state, &table, hours[2], &mut known, attempt).await.unwrap();
        assert_eq!(Vec::from_iter(known), hours[2..]);
        assert!(!state.exists(&layout::begun_key(&table, hours[1])).await.unwrap());
    }
}
