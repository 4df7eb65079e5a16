//! The least and the greatest of some numbers, by keys that are ordered as they are.

use parquet::basic::Type;
use parquet::schema::types::ColumnDescriptor;

/// The keys of the least and the greatest number.
#[derive(Default)]
pub struct Span(Option<(i128, i128)>);

impl Span {
    /// Takes a number into account, unless it has no place in the order.
    #[inline]
    pub fn note(&mut self, key: Option<i128>) {
        let Some(key) = key else { return };
        let (least, greatest) = self.0.get_or_insert((key, key));
        *least = (*least).min(key);
        *greatest = (*greatest).max(key);
    }

    /// The least and the greatest number as Parquet's statistics have them, if there was one.
    pub fn into_ends(self, column: &ColumnDescriptor) -> Option<(Vec<u8>, Vec<u8>)> {
        let (least, greatest) = self.0?;
        let is_float = matches!(column.physical_type(), Type::FLOAT | Type::DOUBLE);
        // Statistics have -0 for both zeros as the least value, and 0 as the greatest (format specification, "Statistics").
        let least = if is_float && least == 0 { MINUS_ZERO } else { least };
        let greatest = if is_float && greatest == MINUS_ZERO { 0 } else { greatest };
        Some((stored(least, column), stored(greatest, column)))
    }
}

/// The key of -0, which is the one before that of 0.
const MINUS_ZERO: i128 = -1;

/// The number with this key as the statistics of the column have it.
fn stored(key: i128, column: &ColumnDescriptor) -> Vec<u8> {
    match column.physical_type() {
        Type::BOOLEAN => vec![u8::from(key != 0)],
        Type::INT32 => (key as i32).to_le_bytes().to_vec(),
        Type::FLOAT => turned_float(key as i32).to_le_bytes().to_vec(),
        Type::DOUBLE => turned(key as i64).to_le_bytes().to_vec(),
        Type::FIXED_LEN_BYTE_ARRAY => {
            let bytes = key.to_be_bytes();
            bytes[bytes.len() - usize::try_from(column.type_length()).unwrap_or(0).min(bytes.len())..].to_vec()
        }
        _ => (key as i64).to_le_bytes().to_vec(),
    }
}

/// The key of a number with a fraction; `None` for what is none.
#[inline]
pub fn key_of_double(value: f64) -> Option<i128> {
    (!value.is_nan()).then(|| turned(value.to_bits() as i64).into())
}

/// As [`key_of_double`].
#[inline]
pub fn key_of_float(value: f32) -> Option<i128> {
    (!value.is_nan()).then(|| turned_float(value.to_bits() as i32).into())
}

/// Turns the order of negative numbers around, whose bits grow as they fall; twice is as they were.
#[inline]
fn turned(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

#[inline]
fn turned_float(bits: i32) -> i32 {
    if bits < 0 { bits ^ i32::MAX } else { bits }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_ordered_as_their_numbers(a in any::<f64>(), b in any::<f64>()) {
            if let (Some(x), Some(y)) = (key_of_double(a), key_of_double(b)) {
                prop_assert_eq!(x.cmp(&y), a.total_cmp(&b));
                prop_assert_eq!(turned(x as i64) as u64, a.to_bits());
            }
            let (a, b) = (a as f32, b as f32);
            if let (Some(x), Some(y)) = (key_of_float(a), key_of_float(b)) {
                prop_assert_eq!(x.cmp(&y), a.total_cmp(&b));
                prop_assert_eq!(turned_float(x as i32) as u32, a.to_bits());
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_place() {
        assert_eq!((key_of_double(f64::NAN), key_of_float(-f32::NAN)), (None, None));
        assert_eq!((key_of_double(-0.0), key_of_double(0.0)), (Some(MINUS_ZERO), Some(0)));
    }
}
