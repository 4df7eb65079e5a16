//! `lakebed generate`: a clickstream as Firehose would land it.

use std::path::Path;

use super::{print, print_json};
use crate::cli::{GenerateArgs, Output};
use crate::config::Location;
use crate::error::Result;
use crate::generate::{Settings, upload_to, write_to};
use crate::store::{Aws, Stores};
use crate::words::counted;

/// Writes the objects and says what they hold.
///
/// # Errors
/// As [`write_to`] for a folder, as [`upload_to`] for a bucket.
pub async fn run(args: &GenerateArgs, output: Output) -> Result<u8> {
    let settings = Settings {
        seed: args.seed,
        first_hour: args.first_hour,
        hours: args.hours,
        objects_per_hour: args.objects_per_hour,
        records: args.records,
        stream: args.stream.clone(),
        late: args.late,
        bad: args.bad,
        duplicates: args.duplicates,
        framing: args.framing,
        compression: args.compression,
        part: args.part,
    };
    let to = Location::parse(&args.to, Path::new("."))?;
    let summary = match to.folder() {
        Some(folder) => write_to(&folder, &settings)?,
        None => {
            let stores = Stores::with_buckets(Aws::load(None).await);
            upload_to(&stores.created(&to, "the place to write to")?, &settings).await?
        }
    };
    match output {
        Output::Json => print_json(&summary)?,
        Output::Text => print(&format!(
            "wrote {} ({}, {} of JSON) with {} to {}: {} bad, {}; {}\n",
            counted(summary.objects, "object"),
            counted(summary.bytes, "byte"),
            summary.json_bytes,
            counted(summary.records, "record"),
            args.to,
            summary.bad_records(),
            counted(summary.duplicates, "duplicate"),
            counted(summary.late_objects, "late object")
        ))?,
    }
    Ok(0)
}
