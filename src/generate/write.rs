//! Writes a generated clickstream into a local folder.

use std::fs;
use std::path::Path;

use super::{GeneratedObject, Settings, Summary, objects};
use crate::error::{Error, Result};

/// Makes a clickstream and writes it below `folder`, which is made if it is missing. An object that is there already is replaced.
///
/// Each object is written whole under a hidden name at the top of `folder` and then moved to its key, so that nobody finds half
/// of one.
///
/// # Errors
/// `Config` if the settings cannot be met, `Unavailable` if the folder cannot be written.
pub fn write_to(folder: &Path, settings: &Settings) -> Result<Summary> {
    let mut summary = Summary::default();
    for object in objects(settings)? {
        write_object(folder, &object)?;
        summary.add(&object);
    }
    Ok(summary)
}

fn write_object(folder: &Path, object: &GeneratedObject) -> Result<()> {
    let target = folder.join(&object.key);
    let failed = |e: std::io::Error| {
        Error::unavailable(format!("cannot write `{}`: {e}; free space or fix permissions, then run again", target.display()))
    };
    let (hour, name) = object.key.rsplit_once('/').unwrap_or(("", &object.key));
    fs::create_dir_all(folder.join(hour)).map_err(failed)?;
    let whole = folder.join(format!(".{name}.tmp"));
    fs::write(&whole, &object.body).and_then(|()| fs::rename(&whole, &target)).map_err(failed)
}
