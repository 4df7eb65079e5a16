//! Which of the configured places must not lie in each other.

use super::{Location, TableConfig};
use crate::error::{Error, Result};

/// Refuses places that would make lakebed write into a landing, or read one thing as another.
pub(super) fn check(state: &Location, tables: &[TableConfig]) -> Result<()> {
    for table in tables {
        let (name, landing, location) = (&table.name, &table.landing, &table.location);
        if state.overlaps(landing) {
            return Err(Error::config(format!(
                "table `{name}`: its landing {landing} and the lake's state {state} overlap, and lakebed never writes into a landing; \
                 set `state` to a folder of its own, or `landing` to a deeper folder (and take that folder off `prefix`)"
            )));
        }
        if state.overlaps(location) {
            return Err(Error::config(format!(
                "table `{name}`: its location {location} and the lake's state {state} overlap, so that ledgers or staged files would be \
                 read as table data; set `state` or `location` to a folder of its own"
            )));
        }
        for other in tables {
            check_pair(table, other)?;
        }
    }
    Ok(())
}

fn check_pair(table: &TableConfig, other: &TableConfig) -> Result<()> {
    let (name, location, landing) = (&table.name, &table.location, &other.landing);
    if location.overlaps(landing) {
        let whose = if table.name == other.name { "its landing".to_string() } else { format!("the landing of `{}`", other.name) };
        return Err(Error::config(format!(
            "table `{name}`: its location {location} and {whose} {landing} overlap: what Firehose lands would be read as table data, and \
             lakebed never writes into a landing; set `location` to a folder of its own, or `landing` to a deeper folder (and take that \
             folder off `prefix`)"
        )));
    }
    if table.name != other.name && location.overlaps(&other.location) {
        return Err(Error::config(format!(
            "tables `{name}` and `{}` overlap: {location} and {}; give each table a folder of its own",
            other.name, other.location
        )));
    }
    Ok(())
}
