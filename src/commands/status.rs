//! `lakebed status`: the hours of the tables.

use chrono::TimeDelta;

use super::{print, print_json};
use crate::app::App;
use crate::catalog::Table;
use crate::catalog::filter::Filter;
use crate::cli::{Output, TableArgs};
use crate::config::TableConfig;
use crate::error::Result;
use crate::failing::store::Noted;
use crate::hour::Hour;
use crate::landing::Hours;
use crate::landing::discover::find;
use crate::layout::PartitionId;
use crate::queue::Queue;
use crate::scatter;
use crate::scatter::moved::All;
use crate::status::{TableStatus, status};
use crate::sweep::retired::retired_bytes;

/// Shows the state of one table or of all.
///
/// # Errors
/// `Config` if there is no such table; those of the landing, the ledgers and the catalog.
pub async fn run(app: &App, args: &TableArgs, output: Output) -> Result<u8> {
    let mut tables = Vec::new();
    for config in app.config.tables(args.table.as_deref())? {
        tables.push(of_table(app, config).await?);
    }
    match output {
        Output::Json => print_json(&tables)?,
        Output::Text => print(&tables.iter().map(TableStatus::to_text).collect::<Vec<_>>().join("\n"))?,
    }
    Ok(0)
}

async fn of_table(app: &App, config: &TableConfig) -> Result<TableStatus> {
    let now = app.clock.now();
    let landing = app.stores.existing(&config.landing, &format!("the landing of {}", config.name))?;
    // Firehose may be an hour ahead of this clock; what it landed there is seen too.
    let (from, to) = (Hour::of(now - config.lookback), Hour::of(now + TimeDelta::hours(1)));
    let queue = Queue::list(&app.state, &config.name).await?;
    let landed = find(&landing, config, &Hours::and_before(from, to, queue.hours())).await?.objects;
    let landed = scatter::not_done(&app.state, config, landed).await?;
    let mut heads = app.ledgers.heads(&config.name).await?;
    heads.retain(|head| !head.is_void());
    let registered = match app.catalog.table(&config.name).await? {
        Some(table) => Some(registered(app, &table).await?),
        None => None,
    };
    let noted = Noted::read(&app.state, &config.name, &app.state.top().await?).await?;
    let moved = if config.scatters() { All::find(app, &config.name).await? } else { All::default() };
    moved.unreadable.iter().for_each(|e| tracing::warn!("{}: {e}", config.name));
    let told = status(config, registered.as_deref(), &heads, &landed, &noted.hours, &moved.moving(), now)?;
    Ok(TableStatus { retired_bytes: retired_bytes(app, config, &heads), ..told })
}

async fn registered(app: &App, table: &Table) -> Result<Vec<PartitionId>> {
    let partitions = app.catalog.partitions(&table.name, &Filter::all()).await?;
    let keys = || table.partition_keys.iter().map(|key| key.name.clone());
    Ok(partitions.into_iter().map(|partition| PartitionId::new(keys().zip(partition.values))).collect())
}
