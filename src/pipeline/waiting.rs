//! What waits in the queue, once a run has merged: what of it is of no use any more is removed.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::App;
use crate::catalog::TableName;
use crate::error::Result;
use crate::hour::Hour;
use crate::landing::Hours;
use crate::layout::PartitionId;
use crate::queue::Queue;
use crate::queue::spent::Content;

/// Removes what waited of objects that the ledgers of these partitions name: they are merged, by whichever run, or a rollback holds them. Returns
/// the hours of what waits of objects that do not lie in the landing.
///
/// # Errors
/// Those of the ledgers.
pub async fn remove_merged(
    app: &App,
    table: &TableName,
    queue: &Queue,
    hours: &Hours,
    there: &BTreeMap<String, Content>,
    partitions: &[PartitionId],
) -> Result<BTreeSet<Hour>> {
    if queue.is_empty() {
        return Ok(BTreeSet::new());
    }
    let heads = app.ledgers.heads_of(table, partitions).await?;
    let merged = heads.iter().flat_map(|head| &head.sources);
    let merged = merged.map(|source| (source.key.as_str(), Some((source.etag.clone(), source.size))));
    let held = heads.iter().flat_map(|head| &head.held).map(|source| (source.key.as_str(), None));
    let spent = queue.spent(hours, there, merged.chain(held), app.clock.now() - app.config.lake.grace);
    Queue::remove(&app.state, &spent.keys).await;
    Ok(spent.gone)
}
