//! Which partition a person names, and, if there is none, which there are instead.

use crate::app::App;
use crate::config::TableConfig;
use crate::error::{Error, Result};
use crate::failing::minute;
use crate::hour::{Hour, Place};
use crate::layout::PartitionId;
use crate::merge::plan::{hour_at, partition_at, told_at};
use crate::words::few;

/// Partitions of an hour that a message names.
const NAMED: usize = 20;

/// The partition that a person names.
///
/// # Errors
/// `Config` as [`partition_at`], with the partitions that there are in that hour.
pub async fn partition(app: &App, config: &TableConfig, place: &Place) -> Result<PartitionId> {
    match partition_at(config, place) {
        Ok(partition) => Ok(partition),
        Err(e) => match of_hour(app, config, place.hour).await? {
            there if there.is_empty() => Err(e),
            there => Err(Error::config(format!("{e}; in that hour there {}", listed(&there)))),
        },
    }
}

/// Why nothing can be done to a partition that was never merged; `what` is what was to be done.
///
/// # Errors
/// `Unavailable` if the ledgers cannot be read.
pub async fn never_merged(app: &App, config: &TableConfig, place: &Place, partition: &PartitionId, what: &str) -> Result<Error> {
    let (hour, now) = (place.hour, app.clock.now());
    let there = of_hour(app, config, hour).await?;
    // Where rows scatter, the hour is that of the rows, and they may come at any time.
    let next = if hour.start() > now && !config.scatters() {
        "that hour has not begun yet".to_string()
    } else if !hour.is_closed(now, config.close_after) && !config.scatters() {
        format!("that hour is still open, and `lakebed run` merges it from {} on", minute(hour.end() + config.close_after))
    } else if there.is_empty() {
        format!("`lakebed run --since {hour}` merges what landed in it, if anything did")
    } else {
        format!("in that hour there {}", listed(&there))
    };
    let told = format!("{} {partition}: it was never merged, so there is nothing to {what}; {next}", config.name);
    Ok(Error::config(told).about(partition, []))
}

/// The partitions of an hour that were merged, as people name them.
async fn of_hour(app: &App, config: &TableConfig, hour: Hour) -> Result<Vec<String>> {
    let mut partitions = app.ledgers.partitions(&config.name).await?;
    partitions.retain(|partition| hour_at(config, partition) == Some(hour));
    let heads = app.ledgers.heads_of(&config.name, &partitions).await?;
    Ok(heads.iter().filter(|head| !head.is_void()).map(|head| told_at(config, &head.partition)).collect())
}

fn listed(there: &[String]) -> String {
    format!("{} {}", crate::words::are(there.len() as u64), few(there, NAMED))
}
