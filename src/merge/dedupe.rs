//! Leaves out rows that are the same event as an earlier one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::row::{RowConverter, SortField};
use siphasher::sip128::SipHasher13;

use crate::error::{Error, Result};

/// Bytes that one remembered event takes: the hash, and the free space that a hash set keeps.
const EVENT_BYTES: u64 = 40;

/// Remembers the events seen so far by a 128-bit hash of their columns.
#[derive(Debug)]
pub struct Dedupe {
    columns: Vec<usize>,
    converter: RowConverter,
    hasher: SipHasher13,
    seen: HashSet<u128>,
    memory: u64,
}

impl Dedupe {
    /// Compares by `columns` (indices). `secret` keys the hash, so that nobody can craft two events that look the same.
    /// At most `memory` bytes are used.
    ///
    /// # Errors
    /// `Config` if a column's type cannot be compared.
    pub fn new(schema: &arrow::datatypes::Schema, columns: Vec<usize>, secret: &str, memory: u64) -> Result<Self> {
        let fields = columns.iter().map(|&index| SortField::new(schema.field(index).data_type().clone())).collect();
        let converter = RowConverter::new(fields)
            .map_err(|e| Error::config(format!("deduplicate_by: {e}; name columns of types that can be compared")))?;
        let mut key = [0u8; 16];
        for (slot, byte) in key.iter_mut().zip(secret.bytes().rev()) {
            *slot = byte;
        }
        Ok(Self { columns, converter, hasher: SipHasher13::new_with_key(&key), seen: HashSet::new(), memory })
    }

    /// The rows of `batch` that are no repetition, in their order. Rows whose columns are all null are never one.
    ///
    /// # Errors
    /// `Config` if the partition has more events than the memory allows.
    pub fn filter(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keep = self.keep(batch)?;
        if keep.true_count() == batch.num_rows() {
            return Ok(batch.clone());
        }
        filter_record_batch(batch, &keep).map_err(broken)
    }

    /// Which rows of `batch` are no repetition.
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub fn keep(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let keys: Vec<_> = self.columns.iter().map(|&index| Arc::clone(batch.column(index))).collect();
        self.remember(&keys)
    }

    /// The columns that events are compared by.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Remembers rows, of which there are only the columns that are compared, and says which of them are no repetition.
    ///
    /// # Errors
    /// As [`Self::filter`].
    pub fn remember(&mut self, keys: &[ArrayRef]) -> Result<BooleanArray> {
        let rows = self.converter.convert_columns(keys).map_err(broken)?;
        let unknown = |row: usize| keys.iter().all(|column| column.is_null(row));
        let keep: BooleanArray = (0..rows.num_rows())
            .map(|row| Some(unknown(row) || self.seen.insert(self.hasher.hash(rows.row(row).as_ref()).as_u128())))
            .collect();
        if self.seen.len() as u64 * EVENT_BYTES > self.memory {
            return Err(Error::config(format!(
                "the partition has more than {} events, too many to find duplicates among with this memory; raise [lake] memory",
                self.seen.len()
            )));
        }
        Ok(keep)
    }
}

fn broken(e: arrow::error::ArrowError) -> Error {
    Error::internal(format!("cannot compare rows: {e}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    fn batch(rows: &[(Option<&str>, i64)]) -> RecordBatch {
        let schema = Schema::new(vec![Field::new("id", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
        let ids: StringArray = rows.iter().map(|(id, _)| *id).collect();
        let numbers: Int64Array = rows.iter().map(|(_, n)| Some(*n)).collect();
        RecordBatch::try_new(Arc::new(schema), vec![Arc::new(ids), Arc::new(numbers)]).unwrap()
    }

    fn kept(dedupe: &mut Dedupe, rows: &[(Option<&str>, i64)]) -> Vec<i64> {
        dedupe.filter(&batch(rows)).unwrap().column(1).as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn the_first_of_two_stays_within_and_across_batches() {
        let mut dedupe = Dedupe::new(&batch(&[]).schema(), vec![0], "01J", 1 << 20).unwrap();
        assert_eq!(kept(&mut dedupe, &[(Some("a"), 1), (Some("b"), 2), (Some("a"), 3)]), [1, 2]);
        assert_eq!(kept(&mut dedupe, &[(Some("b"), 4), (Some("c"), 5)]), [5]);
    }

    #[test]
    fn events_without_an_id_are_all_kept() {
        let mut dedupe = Dedupe::new(&batch(&[]).schema(), vec![0], "01J", 1 << 20).unwrap();
        assert_eq!(kept(&mut dedupe, &[(None, 1), (None, 2)]), [1, 2]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut dedupe = Dedupe::new(&batch(&[]).schema(), vec![0], "01J", 50).unwrap();
        let error = dedupe.filter(&batch(&[(Some("a"), 1), (Some("b"), 2)])).unwrap_err();
        assert!(error.to_string().contains("raise [lake] memory"), "{error}");
    }
}
