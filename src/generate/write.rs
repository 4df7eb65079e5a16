//! Writes a generated clickstream into a local folder or a bucket.

use std::fs;
use std::path::Path;

use object_store::{Attribute, Attributes, Error as StoreError, PutPayload};

use super::{Compression, GeneratedObject, Settings, Summary, objects};
use crate::error::{Error, Result};
use crate::store::{Root, parse};

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

/// Makes a clickstream and puts it into a bucket, below `root`: the same keys and bytes as [`write_to`] writes. An object that is
/// there already is replaced.
///
/// The objects have the Content-Type and Content-Encoding that Firehose gives its own (floci-io/floci issue 2410).
///
/// # Errors
/// `Config` if the settings cannot be met, there is no such bucket or it may not be written, `Unavailable` if it does not answer.
pub async fn upload_to(root: &Root, settings: &Settings) -> Result<Summary> {
    let mut labels = Attributes::new();
    labels.insert(Attribute::ContentType, "application/octet-stream".into());
    if settings.compression != Compression::None {
        labels.insert(Attribute::ContentEncoding, "gzip".into());
    }
    let mut summary = Summary::default();
    for object in objects(settings)? {
        summary.add(&object);
        let put = root.store().put_opts(&parse(&object.key)?, PutPayload::from(object.body), labels.clone().into()).await;
        put.map_err(|e| refused(&root.url_of(&object.key), &e))?;
    }
    Ok(summary)
}

fn refused(url: &str, error: &StoreError) -> Error {
    match error {
        StoreError::NotFound { .. } => Error::config(format!("cannot write {url}: {error}; create the bucket or correct --to")),
        StoreError::PermissionDenied { .. } | StoreError::Unauthenticated { .. } => {
            Error::config(format!("may not write {url}: {error}; allow s3:PutObject in IAM, and the bucket's key in KMS"))
        }
        _ => Error::unavailable(format!("cannot write {url}: {error}; run again once it can be written")),
    }
}
