//! `lakebed infer`: a first migration from what landed.

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde_json::Value;

use super::{print, print_json};
use crate::catalog::TableName;
use crate::cli::{InferArgs, Output};
use crate::config::Location;
use crate::error::{Error, Result};
use crate::schema::ddl::render_create;
use crate::schema::infer::{Inference, Inferred};
use crate::schema::{Column, HiveType, TableSchema};
use crate::standardize::{Limits, codec::Stored, documents};
use crate::store::{Aws, Stores, refusal};
use crate::words::counted;

/// Most bytes of an object, as it landed, that is read for inference, and the memory for its text.
const OBJECT_LIMIT: u64 = 1 << 30;

/// The partition keys of the default `partition_by`.
const KEYS: [&str; 4] = ["year", "month", "day", "hour"];

/// What was read.
#[derive(Debug, Default)]
struct Seen {
    objects: u64,
    records: u64,
    skipped: u64,
    /// Objects that are damaged or too large: what could be read of them is in the records.
    unread: u64,
}

/// Reads all objects of a landing and prints the table they would make.
///
/// # Errors
/// `Config` if there is no such folder or no record in it, `Unavailable` if it cannot be read.
pub async fn run(args: &InferArgs, output: Output) -> Result<u8> {
    args.name.as_deref().map(TableName::parse).transpose()?;
    let location = Location::parse(&args.landing, Path::new("."))?;
    let stores = if location.bucket().is_some() { Stores::with_buckets(Aws::load(None).await) } else { Stores::default() };
    let landing = stores.existing(&location, "the landing")?;
    let mut inference = Inference::default();
    let mut seen = Seen::default();
    let limits = Limits::within(OBJECT_LIMIT, OBJECT_LIMIT);
    let failed = |e: object_store::Error| refusal::failed(&format!("cannot read {}", args.landing), &e, "run again once it can be read");
    let mut objects: Vec<_> = landing.store().list(None).try_collect::<Vec<_>>().await.map_err(failed)?;
    objects.retain(|object| !object.location.parts().any(|part| part.as_ref().starts_with(['.', '_'])));
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    for object in objects {
        if object.size > OBJECT_LIMIT {
            seen.unread += 1;
            continue;
        }
        let stored: Arc<dyn Stored> = Arc::new(landing.store().get(&object.location).await.map_err(failed)?.bytes().await.map_err(failed)?);
        seen.objects += 1;
        let damage = documents(&stored, args.unwrap.as_deref(), limits, &mut |record| add(&mut inference, record, &mut seen))?;
        seen.unread += u64::from(damage.is_some());
    }
    if seen.records == 0 {
        return Err(Error::config(format!(
            "{} has no JSON records in {} object{}; name the folder that Firehose writes to",
            args.landing,
            seen.objects,
            if seen.objects == 1 { "" } else { "s" }
        )));
    }
    let mut inferred = inference.finish();
    set_keys_apart(&mut inferred);
    let notes = notes(&inferred, &seen);
    let keys = KEYS.iter().map(|key| Column { name: (*key).to_string(), hive: HiveType::String, comment: None });
    let schema = TableSchema { columns: inferred.columns, partition_keys: keys.collect() };
    let ddl = render_create(&schema, args.name.as_deref().unwrap_or("${table}"), "${location}", &notes);
    match output {
        Output::Json => print_json(
            &serde_json::json!({"ddl": ddl, "notes": inferred.notes, "objects": seen.objects, "records": seen.records, "skipped": seen.skipped}),
        )?,
        Output::Text => print(&ddl)?,
    }
    Ok(0)
}

fn add(inference: &mut Inference, record: Option<&[u8]>, seen: &mut Seen) {
    match record.map(serde_json::from_slice) {
        // Firehose's own error output is no data, wherever it lies.
        Some(Ok(Value::Object(fields))) if !(fields.contains_key("rawData") && fields.contains_key("attemptsMade")) => {
            inference.add(&fields);
            seen.records += 1;
        }
        _ => seen.skipped += 1,
    }
}

/// A column named like a partition key cannot be in the table; its values go to `rescued`.
fn set_keys_apart(inferred: &mut Inferred) {
    for key in KEYS {
        if inferred.columns.iter().any(|column| column.name == key) {
            inferred.columns.retain(|column| column.name != key);
            inferred.notes.push(format!("{key} is a partition key; the field of that name goes to rescued"));
        }
    }
}

fn notes(inferred: &Inferred, seen: &Seen) -> Vec<String> {
    let told = |number: u64, what: &str, of: &str| match number {
        0 => String::new(),
        some => format!("; {} {of}", counted(some, what)),
    };
    let skipped = told(seen.skipped, "document", "passed over, as no record");
    let unread = told(seen.unread, "object", "not read to the end");
    let mut notes = vec![format!("from {} in {}{skipped}{unread}", counted(seen.records, "record"), counted(seen.objects, "object"))];
    notes.extend(inferred.notes.iter().cloned());
    notes
}
