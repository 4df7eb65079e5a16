//! Rows of quarantined records that a redrive takes into other partitions: each object's in a file of its own, as in a staged file.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Field;

use super::spread::{Numbered, arrange};
use super::stage::{Made, Staging};
use super::{Head, HeadShare, read};
use crate::error::{Error, Result};
use crate::landing::LandedObject;
use crate::layout::{self, GenerationId, PartitionId};
use crate::ledger::RedrivenFile;
use crate::pipeline::ManagedTable;
use crate::scatter::place::{Places, Scatter};
use crate::standardize::Tally;
use crate::store::Root;

/// Bytes of rows in memory that make a file: it is created and read at once, as a whole.
const ENOUGH: u64 = 8 << 20;

/// Takes the rows out that belong to other partitions than the one whose quarantine their records are in.
pub struct Leaving<'a> {
    state: &'a Root,
    table: &'a ManagedTable,
    scatter: &'a Scatter,
    home: &'a PartitionId,
    id: &'a GenerationId,
    /// The landed objects of the records, by their keys.
    objects: &'a BTreeMap<String, LandedObject>,
    open: Option<Open<'a>>,
    written: Vec<RedrivenFile>,
}

/// Rows of one object that are not written yet.
struct Open<'a> {
    object: &'a LandedObject,
    places: Places<'a>,
    batches: Vec<Numbered>,
    bytes: u64,
}

impl<'a> Leaving<'a> {
    /// Nothing yet. `id` is the generation of `home` that the redrive writes.
    pub fn new(
        state: &'a Root,
        table: &'a ManagedTable,
        scatter: &'a Scatter,
        (home, id): (&'a PartitionId, &'a GenerationId),
        objects: &'a BTreeMap<String, LandedObject>,
    ) -> Self {
        Self { state, table, scatter, home, id, objects, open: None, written: Vec::new() }
    }

    /// True for the key of an object whose rows it can take out.
    pub fn is_of(&self, key: &str) -> bool {
        self.objects.contains_key(key)
    }

    /// Takes out of a batch the rows that belong elsewhere, each of which is of the object whose key has its number. Returns which rows stay.
    ///
    /// # Errors
    /// `Unavailable` if the state location cannot be written; otherwise as [`Places::of`].
    pub async fn take(&mut self, batch: &RecordBatch, keys: &[String]) -> Result<BooleanArray> {
        let (own, mut stay, mut first) = (self.home, Vec::with_capacity(keys.len()), 0);
        for same in keys.chunk_by(|one, other| one == other) {
            let rows = batch.slice(first, same.len());
            first += same.len();
            let open = self.opened(&same[0]).await?;
            let numbers = open.places.of(&rows)?;
            let home = open.places.partitions().iter().position(|partition| partition == own);
            let goes: BooleanArray = numbers.iter().map(|number| Some(Some(*number as usize) != home)).collect();
            stay.extend(goes.values().iter().map(|goes| !goes));
            if goes.true_count() > 0 {
                let leaving = filter_record_batch(&rows, &goes).map_err(|e| Error::internal(format!("cannot take out rows: {e}")))?;
                let numbers = numbers.into_iter().zip(goes.values().iter()).filter_map(|(number, goes)| goes.then_some(number)).collect();
                open.bytes += leaving.get_array_memory_size() as u64;
                open.batches.push((leaving, numbers));
            }
        }
        Ok(BooleanArray::from(stay))
    }

    /// The rows of that object, with room for more.
    async fn opened(&mut self, key: &str) -> Result<&mut Open<'a>> {
        if self.open.as_ref().is_some_and(|open| open.object.key != key || open.bytes >= ENOUGH) {
            self.write().await?;
        }
        let object = self.objects.get(key);
        let object = object.ok_or_else(|| Error::data(format!("the quarantine has records of {key}, which the ledger does not name")))?;
        let places = self.scatter.places(object);
        Ok(self.open.get_or_insert(Open { object, places, batches: Vec::new(), bytes: 0 }))
    }

    /// Writes what is left. Returns all that was written.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn finish(mut self) -> Result<Vec<RedrivenFile>> {
        self.write().await?;
        Ok(self.written)
    }

    async fn write(&mut self) -> Result<()> {
        let Some(Open { object, places, batches, bytes }) = self.open.take().filter(|open| !open.batches.is_empty()) else { return Ok(()) };
        let mut shares: BTreeMap<PartitionId, u64> = BTreeMap::new();
        for number in batches.iter().flat_map(|(_, numbers)| numbers) {
            *shares.entry(places.partitions()[*number as usize].clone()).or_default() += 1;
        }
        let mut made = Made::whole(self.table)?;
        let batch = arrange(&batches, places.partitions(), &mut made).await?;
        let rows = shares.values().sum();
        // In the order of the rows, which is that of the partitions and not that of their paths.
        let of_head: Vec<_> = shares.iter().map(|(partition, rows)| HeadShare { partition: partition.to_string(), rows: *rows }).collect();
        let LandedObject { key, etag, hour, path_values, .. } = object.clone();
        let (name, number) = (layout::part_file(self.written.len()), self.written.len());
        let file = format!("{}{name}", layout::redriven_folder(&self.table.config.name, self.home, self.id));
        let shares = shares.into_iter().map(|(partition, rows)| (partition.to_string(), rows)).collect();
        self.written.push(RedrivenFile { name, object: key.clone(), shares });
        let key = layout::redriven_key(&key, self.id, number);
        let object = LandedObject { key, etag, size: bytes, hour, path_values, came: None };
        let rules = &self.table.config.rules;
        let privacy = rules.iter().filter_map(|(column, rule)| Some((column.clone(), rule.privacy.as_ref()?.name().to_string()))).collect();
        let head =
            Head { batch, shares: of_head, privacy: Some(privacy), ..Head::of(&object, Tally { read: rows, rows, ..Tally::default() }) };
        match made.put(self.state, &file, head, &self.id.attempt).await? {
            Staging::Staged => Ok(()),
            _ => Err(Error::internal(format!("{file} is there before its attempt wrote it"))),
        }
    }
}

/// What a file says of its rows.
pub struct Known {
    /// The object that they are, but for its hour.
    pub key: String,
    /// The entity tag of the landed object whose records they are.
    pub etag: String,
    /// Bytes of the rows.
    pub size: u64,
    /// Rows by partition.
    pub shares: BTreeMap<String, u64>,
    /// The first of its columns that the table has no longer, or with another type.
    pub gone: Option<String>,
}

/// What the file of that key, which has that number, says of its rows, as a ledger version would; `None` if it is not there any more.
///
/// # Errors
/// As [`known`].
pub async fn stated(state: &Root, file: &str, number: usize) -> Result<Option<RedrivenFile>> {
    let Some((Head { key, shares, .. }, _)) = read::head_of(state, file).await? else { return Ok(None) };
    let shares = shares.into_iter().map(|share| (share.partition, share.rows)).collect();
    let object = layout::parse_redriven_key(&key).unwrap_or(&key).to_string();
    Ok(Some(RedrivenFile { name: layout::part_file(number), object, shares }))
}

/// What the file of that key says of its rows; `None` if it is not there any more.
///
/// # Errors
/// `Unavailable` if the state location cannot be read, `Data` if the file is of no use.
pub async fn known(state: &Root, table: &ManagedTable, file: &str) -> Result<Option<Known>> {
    let Some((Head { key, etag, size, shares, .. }, schema)) = read::head_of(state, file).await? else { return Ok(None) };
    let shares = shares.into_iter().map(|share| (share.partition, share.rows)).collect();
    let has = |field: &Field| table.plan.schema.field_with_name(field.name()).is_ok_and(|now| now.data_type() == field.data_type());
    let gone = schema.fields().iter().find(|field| !has(field)).map(|field| field.name().clone());
    Ok(Some(Known { key, etag, size, shares, gone }))
}
