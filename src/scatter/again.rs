//! What a repair of one partition reads of objects that feed others, too: its own shares, with the places that were written down.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt};

use super::share::Share;
use super::store::{self, Newest};
use crate::app::App;
use crate::error::{Error, Result};
use crate::landing::{self, LandedObject, discover};
use crate::layout;
use crate::ledger::LedgerVersion;
use crate::merge::plan::is_error_output;
use crate::pipeline::ManagedTable;
use crate::queue::Queue;

/// Requests under way at once when many objects are looked for.
const CONCURRENCY: usize = 16;

/// Objects that a refusal names; it counts all of them.
const NAMED: usize = 5;

/// Those of the objects that a partition's ledger names that are in the landing, as they are now, in the order of hour and key.
///
/// # Errors
/// `Unavailable` if the landing cannot be read.
pub async fn landed_of(table: &ManagedTable, head: &LedgerVersion) -> Result<Vec<LandedObject>> {
    let known = || head.sources.iter().chain(&head.held);
    let is_apart = |key: &str| layout::parse_redriven_key(key).is_some() || is_error_output(&table.config, key);
    if head.counts.moved > 0 || known().any(|source| is_apart(&source.key)) {
        return Err(Error::data(format!(
            "{} {}: a redrive moved records between it and other partitions, or took in Firehose's error objects, and what landed would give them their places anew; nothing was \
             changed, let --from-merged write the rows that are there once more",
            head.table, head.partition
        )));
    }
    let found = futures::stream::iter(known().map(|source| &source.key))
        .map(|key| discover::landed(&table.landing, &table.config, key))
        .buffered(CONCURRENCY);
    let mut landed: Vec<LandedObject> = found.try_filter_map(|object| std::future::ready(Ok(object))).try_collect().await?;
    landing::in_order(&mut landed);
    Ok(landed)
}

/// The partition's shares of these objects.
///
/// # Errors
/// `Data` if an object has another content than it was taken in with, or if it is not written down what of it belongs here; those of
/// [`store::newest`].
pub async fn shares(app: &App, table: &ManagedTable, head: &LedgerVersion, objects: &[&LandedObject]) -> Result<Queue> {
    let Some(scatter) = &table.scatter else { return Err(Error::internal("a table whose rows do not scatter")) };
    let hours: BTreeSet<_> = objects.iter().map(|object| object.hour).collect();
    let Newest { intakes, unreadable, .. } = store::newest(&app.state, &table.config.name, &hours).await?;
    if let Some((_, e)) = unreadable.into_iter().next() {
        return Err(e);
    }
    let (mut shares, mut wrong) = (BTreeMap::new(), Vec::new());
    let path = head.partition.to_string();
    for object in objects {
        match intakes.get(&object.hour).and_then(|intake| intake.object(&object.key)).filter(|taken| taken.shares.contains_key(&path)) {
            None => wrong.push(format!("{} (the intake that says what of it belongs here is lost)", object.key)),
            Some(taken) if !taken.is(object) => wrong.push(format!("{} (its content is another one than was taken in)", object.key)),
            Some(taken) => {
                shares.insert(object.key.clone(), Share::of(scatter, taken, &head.partition));
            }
        }
    }
    if wrong.is_empty() {
        return Ok(Queue::of_shares(shares));
    }
    let more = if wrong.len() > NAMED { format!(" and {} more", wrong.len() - NAMED) } else { String::new() };
    wrong.truncate(NAMED);
    Err(Error::data(format!(
        "{} {path}: other partitions have rows of its objects, and those of {}{more} cannot be told apart any more; nothing was changed: put back \
         what was lost or written over, or let --from-merged write the rows that are there once more",
        head.table,
        wrong.join(", ")
    )))
}
