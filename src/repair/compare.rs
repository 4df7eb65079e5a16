//! The rows that two generations do not have in common, counted within a bound of memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use futures::TryStreamExt;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::error::{Error, Result};
use crate::ledger::Generation;
use crate::merge::reader::read_generation;
use crate::store::Root;

/// Bytes that one remembered row takes: its hash and count, and the free space that a hash map keeps.
const ROW_BYTES: u64 = 80;

/// How the rows of two generations differ. The same row may be there many times, and each one counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Difference {
    /// Rows that only the first one has.
    pub only_before: u64,
    /// Rows that only the second one has.
    pub only_after: u64,
    /// Both have the same rows in the same order.
    pub same_order: bool,
}

impl Difference {
    /// Both have the same rows, in whatever order.
    pub fn same_rows(&self) -> bool {
        self.only_before + self.only_after == 0
    }
}

/// Compares the rows of two generations below `root` by the columns of `schema`, by 128-bit hashes that are keyed with `secret`.
/// At most `memory` bytes are used: where the hashes are more, the files are read several times, each time for a share of them.
///
/// # Errors
/// `Unavailable` if a file cannot be read.
pub async fn compare(
    root: &Root,
    schema: &SchemaRef,
    before: &Generation,
    after: &Generation,
    secret: &str,
    memory: u64,
) -> Result<Difference> {
    let turns = ((before.rows() + after.rows()) * ROW_BYTES).div_ceil(memory.max(ROW_BYTES)).max(1);
    let mut hashes = Hashes::new(schema, secret)?;
    let mut difference = Difference::default();
    for turn in 0..turns {
        let mut seen: HashMap<u128, i64> = HashMap::new();
        let mut orders = [SipHasher13::new(), SipHasher13::new()];
        for ((generation, step), order) in [(before, 1), (after, -1)].into_iter().zip(&mut orders) {
            let mut rows = Box::pin(read_generation(root, generation, schema));
            while let Some(batch) = rows.try_next().await? {
                for hash in hashes.of(&batch)? {
                    std::hash::Hasher::write_u128(order, hash);
                    if hash % u128::from(turns) == u128::from(turn) {
                        count(&mut seen, hash, step);
                    }
                }
            }
        }
        difference.only_before += seen.values().filter(|count| **count > 0).sum::<i64>().unsigned_abs();
        difference.only_after += seen.values().filter(|count| **count < 0).sum::<i64>().unsigned_abs();
        difference.same_order = orders[0].finish128().as_u128() == orders[1].finish128().as_u128();
    }
    Ok(difference)
}

/// Counts a row; what is even takes no memory.
fn count(seen: &mut HashMap<u128, i64>, hash: u128, step: i64) {
    match seen.entry(hash) {
        Entry::Vacant(entry) => drop(entry.insert(step)),
        Entry::Occupied(mut entry) => {
            *entry.get_mut() += step;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

struct Hashes {
    converter: RowConverter,
    hasher: SipHasher13,
}

impl Hashes {
    fn new(schema: &SchemaRef, secret: &str) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let converter = RowConverter::new(fields).map_err(|e| Error::internal(format!("cannot compare rows: {e}")))?;
        let mut key = [0u8; 16];
        for (slot, byte) in key.iter_mut().zip(secret.bytes().rev()) {
            *slot = byte;
        }
        Ok(Self { converter, hasher: SipHasher13::new_with_key(&key) })
    }

    fn of(&mut self, batch: &RecordBatch) -> Result<Vec<u128>> {
        let rows = self.converter.convert_columns(batch.columns()).map_err(|e| Error::internal(format!("cannot compare rows: {e}")))?;
        Ok(rows.iter().map(|row| self.hasher.hash(row.as_ref()).as_u128()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Compression;
    use crate::layout::GenerationId;
    use crate::merge::writer::{GenerationWriter, Shape};
    use arrow::array::{Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field, Schema};
    use std::sync::Arc;

    async fn generation(root: &Root, number: u64, rows: &[i64]) -> Generation {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let shape = Shape { target_file_size: 1 << 20, row_group_size: 1 << 20, compression: Compression::Zstd, threads: 1 };
        let table = crate::catalog::TableName { database: "shop".into(), name: "clicks".into() };
        let id = GenerationId { number, attempt: "01J00000000000000000000000".into() };
        let mut writer = GenerationWriter::new(root, &table, id, format!("g{number}/"), schema.clone(), &shape);
        let batch = RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(rows.to_vec()))]).unwrap();
        writer.write(&batch).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn rows_are_counted_as_often_as_they_are_there_within_any_memory() {
        let root = Root::in_memory();
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let mut number = 0;
        for (before, after, expected) in [
            (vec![1, 2, 2, 3], vec![1, 2, 2, 3], (0, 0, true)),
            (vec![1, 2, 2, 3], vec![2, 3, 1, 2], (0, 0, false)),
            (vec![1, 2, 2, 3], vec![1, 2, 3, 4, 5], (1, 2, false)),
            (vec![], vec![7, 7], (0, 2, false)),
        ] {
            for memory in [1, 200, 1 << 20] {
                number += 2;
                let (one, other) = (generation(&root, number, &before).await, generation(&root, number + 1, &after).await);
                let found = compare(&root, &schema, &one, &other, "secret", memory).await.unwrap();
                assert_eq!((found.only_before, found.only_after, found.same_order), expected, "{before:?} {after:?} in {memory}");
            }
        }
    }
}
