//! What is written down of a table's moves, in an object store: the newest version, and the next one by creating it.

use futures::TryStreamExt;

use super::Move;
use crate::catalog::TableName;
use crate::error::{Error, Result};
use crate::layout;
use crate::store::{Created, Root, parse};

/// The newest version; `None` if no rows were ever moved.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` or `Config` if the version cannot.
pub async fn newest(state: &Root, table: &TableName) -> Result<Option<Move>> {
    let folder = layout::moves_root(table);
    let prefix = parse(folder.trim_end_matches('/'))?;
    let mut listing = state.store().list(Some(&prefix));
    let mut newest = None;
    while let Some(object) = listing.try_next().await.map_err(|e| state.unlisted(&folder, &e))? {
        newest = newest.max(layout::parse_move_key(table, object.location.as_ref()));
    }
    match newest {
        Some(number) => version(state, table, number).await,
        None => Ok(None),
    }
}

/// The version of that number, or `None` if there is none.
///
/// # Errors
/// As [`newest`].
pub async fn version(state: &Root, table: &TableName, version: u64) -> Result<Option<Move>> {
    let key = layout::move_key(table, version);
    state.read(&key).await?.map(|bytes| Move::from_json(&bytes, &key)).transpose()
}

/// Commits `next`, which must follow `previous`; false if another attempt wrote this number first. "Already there" is a question, and so
/// is a failure: it is ours if it carries our attempt's id.
///
/// # Errors
/// `Internal` if `next` breaks an invariant; nothing is written then. `Unavailable` if the store cannot be written, or does not tell.
pub async fn commit(state: &Root, next: &Move, previous: Option<&Move>) -> Result<bool> {
    next.check(previous)?;
    let key = layout::move_key(&next.table, next.version);
    let created = state.create(&key, next.to_json(), &next.attempt).await;
    if matches!(created, Ok(Created::Yes)) {
        return Ok(true);
    }
    match (version(state, &next.table, next.version).await, created) {
        (Ok(Some(there)), _) => Ok(there.attempt == next.attempt),
        (_, Err(e)) | (Err(e), _) => Err(e),
        (Ok(None), _) => Err(Error::unavailable(format!("{key} is there and cannot be read; run again"))),
    }
}
