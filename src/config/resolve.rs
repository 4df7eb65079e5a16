//! What the user wrote, turned into what the program needs: the lake, and the tables as a whole.

use std::path::Path;

use chrono::TimeDelta;

use super::choices::CATALOG;
use super::raw::{RawAthena, RawConfig, RawLake};
use super::{AthenaConfig, CatalogKind, Config, Lake, Location, TableConfig, places, table};
use crate::error::{Error, Result};

const MEMORY: u64 = 2 << 30;

/// More threads than any one machine has cores; each takes memory of its own.
const MOST_THREADS: usize = 1024;

pub(super) fn config(raw: RawConfig, base: &Path) -> Result<Config> {
    if raw.table.is_empty() {
        return Err(Error::config("no table is configured; add a [[table]] with name, landing and location"));
    }
    let lake = lake(&raw.lake, base)?;
    let key = raw.lake.hmac_key.as_ref();
    let tables: Vec<TableConfig> = raw
        .table
        .iter()
        .map(|raw| table::resolve(raw, base, key).map_err(|e| Error::config(format!("table `{}`: {e}", raw.name))))
        .collect::<Result<_>>()?;
    check_names(&tables)?;
    check_catalog(&lake, &tables)?;
    places::check(&lake.state, &tables)?;
    let athena = athena(&raw.athena, base)?;
    let bus = raw.events.bus.clone();
    if bus.as_deref().is_some_and(|bus| bus.trim().is_empty()) {
        return Err(Error::config(
            "`events.bus` is empty; name a bus of EventBridge, such as `default`, or remove it to log the events only",
        ));
    }
    Ok(Config { lake, tables, athena, bus })
}

fn athena(raw: &RawAthena, base: &Path) -> Result<AthenaConfig> {
    let output = raw.output.as_deref().map(|text| Location::parse(text, base)).transpose()?;
    match &output {
        Some(output) if output.bucket().is_none() => {
            Err(Error::config(format!("`athena.output` is `{output}`; Athena writes into buckets only, so use an s3:// prefix")))
        }
        _ => Ok(AthenaConfig { workgroup: raw.workgroup.clone().unwrap_or_else(|| "primary".to_string()), output }),
    }
}

fn lake(raw: &RawLake, base: &Path) -> Result<Lake> {
    let threads = match raw.threads.unwrap_or(0) {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        threads @ ..=MOST_THREADS => threads,
        threads => {
            return Err(Error::config(format!(
                "`lake.threads` is {threads}; at most {MOST_THREADS} make sense, 0 means one for each core"
            )));
        }
    };
    Ok(Lake {
        state: Location::parse(raw.state.as_deref().unwrap_or(".lakebed/"), base)?,
        catalog: CATALOG.or_first(raw.catalog.as_deref())?,
        memory: raw.memory.map_or(MEMORY, |size| size.0),
        threads,
        grace: raw.grace.map_or(TimeDelta::hours(24), |grace| grace.0),
        kms_key: raw.kms_key.clone(),
    })
}

/// Glue's readers reach buckets alone, and the embedded catalog is a local file.
fn check_catalog(lake: &Lake, tables: &[TableConfig]) -> Result<()> {
    let in_bucket = |location: &Location| location.bucket().is_some();
    match lake.catalog {
        CatalogKind::Local if in_bucket(&lake.state) => Err(Error::config(format!(
            "catalog = \"local\" is a file in the state folder, and the state is `{}`; set catalog = \"glue\", or a local state folder",
            lake.state
        ))),
        CatalogKind::Local => Ok(()),
        CatalogKind::Glue => {
            let what = tables.iter().map(|table| (format!("`location` of table `{}`", table.name), &table.location));
            let local = std::iter::once(("`lake.state`".to_string(), &lake.state)).chain(what).find(|(_, location)| !in_bucket(location));
            match local {
                Some((what, location)) => Err(Error::config(format!(
                    "catalog = \"glue\" is read by services that see buckets alone, and {what} is `{location}`; use an s3:// prefix there, \
                     or catalog = \"local\""
                ))),
                None => Ok(()),
            }
        }
    }
}

/// A table's quarantine is a table too, under a name of its own.
fn check_names(tables: &[TableConfig]) -> Result<()> {
    for (index, table) in tables.iter().enumerate() {
        if tables[..index].iter().any(|other| other.name == table.name) {
            return Err(Error::config(format!("table `{}` is configured twice; give one of them another name", table.name)));
        }
        let quarantine = format!("{}_quarantine", table.name);
        if tables.iter().any(|other| other.name.to_string() == quarantine) {
            return Err(Error::config(format!(
                "table `{quarantine}` has the name of the quarantine of `{}`; give it another name",
                table.name
            )));
        }
    }
    Ok(())
}
