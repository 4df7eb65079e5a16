//! Landed objects and a table's configuration for unit tests.

use std::path::Path;

use super::LandedObject;
use crate::config::{self, TableConfig};

/// An object of hour 2026-11-19T`hour` with the key `hour/name`, etag `e` and size 100.
pub(crate) fn landed(hour: &str, name: &str) -> LandedObject {
    let at = format!("2026-11-19T{hour}").parse().unwrap();
    LandedObject { key: format!("{hour}/{name}"), etag: "e".into(), size: 100, hour: at, path_values: Default::default(), came: None }
}

/// The table `shop.clicks` with these settings beside the defaults.
pub(crate) fn table(settings: &str) -> TableConfig {
    let minimal = "[[table]]\nname = \"shop.clicks\"\nlanding = \"landed\"\nlocation = \"lake\"\n";
    config::load(&format!("{minimal}{settings}"), Path::new("/"), &|_| None).unwrap().tables.remove(0)
}
