//! Intakes in an object store: read the newest, commit the next by creating it.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::intake::Intake;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::hour::Hour;
use crate::layout;
use crate::store::{Created, Root, parse};

/// Requests under way at once when many hours are read.
const CONCURRENCY: usize = 16;

/// What became of a commit.
#[derive(Debug, PartialEq)]
pub enum Committed {
    /// The version is there.
    Done,
    /// Another attempt wrote this number first; its version is given.
    Lost(Box<Intake>),
}

/// The newest intake of each of these hours that has one. Hours that follow each other are listed with one request.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` if an intake cannot.
pub async fn newest(state: &Root, table: &TableName, hours: &BTreeSet<Hour>) -> Result<BTreeMap<Hour, Intake>> {
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return Ok(BTreeMap::new()) };
    let folder = layout::intake_root(table);
    let failed = |e| Error::unavailable(format!("cannot list {}: {e}; run again once it can be read", state.url_of(&folder)));
    let prefix = parse(folder.trim_end_matches('/'))?;
    // Names are in the order of time, so that what is older than the first hour is not listed.
    let before = parse(&format!("{folder}{first}"))?;
    let mut listing = state.store().list_with_offset(Some(&prefix), &before);
    let mut versions: BTreeMap<Hour, u64> = BTreeMap::new();
    while let Some(object) = listing.try_next().await.map_err(failed)? {
        let Some((hour, version)) = layout::parse_intake_key(table, object.location.as_ref()) else { continue };
        if hour <= *last && hours.contains(&hour) {
            let highest = versions.entry(hour).or_insert(version);
            *highest = version.max(*highest);
        }
    }
    drop(listing);
    let read = |(hour, version)| async move {
        let found = self::version(state, table, hour, version).await?;
        Ok::<_, Error>(found.map(|intake| (hour, intake)))
    };
    let found: Vec<_> = futures::stream::iter(versions).map(read).buffered(CONCURRENCY).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

/// One version of an hour's intake, or `None` if there is none of that number.
///
/// # Errors
/// As [`newest`].
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
