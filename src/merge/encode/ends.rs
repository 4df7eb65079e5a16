//! The least and the greatest value of a column of any type, in the bytes and the order that Parquet's statistics have for it.

use std::cmp::Ordering;

use parquet::basic::{BoundaryOrder, SortOrder, Type};
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::schema::types::ColumnDescriptor;

/// The least and the greatest of some values.
pub type Ends<'v> = (&'v [u8], &'v [u8]);

/// How two values of a column compare.
pub type Compare = fn(&[u8], &[u8]) -> Ordering;

/// How the values of a column compare (format specification, `ColumnOrder`); `None` if statistics have no order for them.
pub fn compare(column: &ColumnDescriptor) -> Option<Compare> {
    let compare: Compare = match (column.physical_type(), column.sort_order()) {
        (Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY | Type::BOOLEAN, SortOrder::UNSIGNED) => Ord::cmp,
        (Type::INT32, SortOrder::SIGNED) => {
            |a, b| a.first_chunk().map(|a| i32::from_le_bytes(*a)).cmp(&b.first_chunk().map(|b| i32::from_le_bytes(*b)))
        }
        (Type::INT64, SortOrder::SIGNED) => {
            |a, b| a.first_chunk().map(|a| i64::from_le_bytes(*a)).cmp(&b.first_chunk().map(|b| i64::from_le_bytes(*b)))
        }
        // Statistics have no NaN, and -0 stands for both zeros as the least value.
        (Type::FLOAT, SortOrder::SIGNED) => |a, b| float(a).total_cmp(&float(b)),
        (Type::DOUBLE, SortOrder::SIGNED) => |a, b| double(a).total_cmp(&double(b)),
        (Type::FIXED_LEN_BYTE_ARRAY, SortOrder::SIGNED) => signed,
        _ => return None,
    };
    Some(compare)
}

fn float(bytes: &[u8]) -> f32 {
    bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes))
}

fn double(bytes: &[u8]) -> f64 {
    bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes))
}

/// Decimals of the same length: two's complement, the most significant byte first.
fn signed(a: &[u8], b: &[u8]) -> Ordering {
    let sign = |value: &[u8]| value.first().map(|first| *first as i8);
    sign(a).cmp(&sign(b)).then_with(|| a.cmp(b))
}

/// The least and the greatest value of a page, as the column index has them.
pub fn of_page(index: &ColumnIndexMetaData, page: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    use ColumnIndexMetaData as Index;
    Some(match index {
        Index::NONE | Index::INT96(_) => return None,
        Index::BOOLEAN(index) => (vec![u8::from(*index.min_value(page)?)], vec![u8::from(*index.max_value(page)?)]),
        Index::INT32(index) => (index.min_value(page)?.to_le_bytes().to_vec(), index.max_value(page)?.to_le_bytes().to_vec()),
        Index::INT64(index) => (index.min_value(page)?.to_le_bytes().to_vec(), index.max_value(page)?.to_le_bytes().to_vec()),
        Index::FLOAT(index) => (index.min_value(page)?.to_le_bytes().to_vec(), index.max_value(page)?.to_le_bytes().to_vec()),
        Index::DOUBLE(index) => (index.min_value(page)?.to_le_bytes().to_vec(), index.max_value(page)?.to_le_bytes().to_vec()),
        Index::BYTE_ARRAY(index) | Index::FIXED_LEN_BYTE_ARRAY(index) => (index.min_value(page)?.to_vec(), index.max_value(page)?.to_vec()),
    })
}

/// The statistics of a chunk with so many slots without a value. The ends are those of its values, or beyond them if they are not `exact`.
pub fn statistics(column: &ColumnDescriptor, ends: Option<Ends<'_>>, exact: (bool, bool), nulls: usize) -> Statistics {
    macro_rules! of {
        ($variant:ident, $value:expr) => {{
            let (least, greatest) = ends.map_or((None, None), |(least, greatest)| ($value(least), $value(greatest)));
            let bounds = ValueStatistics::new(least, greatest, None, Some(nulls as u64), false);
            Statistics::$variant(bounds.with_min_is_exact(ends.is_some() && exact.0).with_max_is_exact(ends.is_some() && exact.1))
        }};
    }
    match column.physical_type() {
        Type::BOOLEAN => of!(Boolean, |bytes: &[u8]| bytes.first().map(|byte| *byte != 0)),
        Type::INT32 => of!(Int32, |bytes: &[u8]| bytes.first_chunk().map(|bytes| i32::from_le_bytes(*bytes))),
        Type::INT64 => of!(Int64, |bytes: &[u8]| bytes.first_chunk().map(|bytes| i64::from_le_bytes(*bytes))),
        Type::INT96 => of!(Int96, |_: &[u8]| None::<Int96>),
        Type::FLOAT => of!(Float, |bytes: &[u8]| Some(float(bytes))),
        Type::DOUBLE => of!(Double, |bytes: &[u8]| Some(double(bytes))),
        Type::BYTE_ARRAY => of!(ByteArray, |bytes: &[u8]| Some(ByteArray::from(bytes.to_vec()))),
        Type::FIXED_LEN_BYTE_ARRAY => of!(FixedLenByteArray, |bytes: &[u8]| Some(FixedLenByteArray::from(bytes.to_vec()))),
    }
}

/// The least and the greatest value of a chunk, and how those of its pages follow one another.
pub struct Range {
    compare: Option<Compare>,
    ends: Option<(Vec<u8>, Vec<u8>)>,
    /// Both are values of the chunk.
    exact: (bool, bool),
    last: Option<(Vec<u8>, Vec<u8>)>,
    grew: bool,
    shrank: bool,
}

impl Range {
    /// Without values. If they have no order, nothing is known of them.
    pub fn new(compare: Option<Compare>) -> Self {
        Self { compare, ends: None, exact: (true, true), last: None, grew: false, shrank: false }
    }

    /// Takes the ends of some values into account.
    pub fn include(&mut self, least: &[u8], greatest: &[u8], exact: (bool, bool)) {
        self.exact = (self.exact.0 && exact.0, self.exact.1 && exact.1);
        let Some(compare) = self.compare else { return };
        let (lowest, highest) = self.ends.get_or_insert_with(|| (least.to_vec(), greatest.to_vec()));
        if compare(least, lowest).is_lt() {
            least.clone_into(lowest);
        }
        if compare(greatest, highest).is_gt() {
            greatest.clone_into(highest);
        }
    }

    /// Takes the ends of the next page into account.
    pub fn follow(&mut self, least: &[u8], greatest: &[u8]) {
        let Some(compare) = self.compare else { return };
        if let Some((last_least, last_greatest)) = &self.last {
            let steps = [compare(least, last_least), compare(greatest, last_greatest)];
            self.grew |= steps.contains(&Ordering::Greater);
            self.shrank |= steps.contains(&Ordering::Less);
        }
        self.last = Some((least.to_vec(), greatest.to_vec()));
    }

    /// There are values that have no place in the order, or nobody says which they are: nothing is known of all.
    pub fn give_up(&mut self) {
        self.compare = None;
    }

    /// True unless it was [given up](Self::give_up).
    pub fn is_known(&self) -> bool {
        self.compare.is_some()
    }

    /// The least and the greatest value, and whether each of them is one of the chunk, if there were values and they are known.
    pub fn ends(&self) -> Option<(Ends<'_>, (bool, bool))> {
        let (least, greatest) = self.compare.and(self.ends.as_ref())?;
        Some(((least, greatest), self.exact))
    }

    /// As the column index says it; pages that are all the same ascend.
    pub fn boundary_order(&self) -> BoundaryOrder {
        match (self.grew, self.shrank) {
            (_, false) => BoundaryOrder::ASCENDING,
            (false, true) => BoundaryOrder::DESCENDING,
            (true, true) => BoundaryOrder::UNORDERED,
        }
    }
}

#[cfg(test)]
mod tests {
    use parquet::schema::parser::parse_message_type;
    use parquet::schema::types::SchemaDescriptor;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn values_compare_as_their_types_do() {
        let message = "message m { required int32 i; required int64 l; required float f; required double d; required boolean b;
            required binary t (UTF8); required fixed_len_byte_array(2) n (DECIMAL(4, 0)); required int96 o;
            required int32 u (INTEGER(32, false)); }";
        let schema = SchemaDescriptor::new(Arc::new(parse_message_type(message).unwrap()));
        let cases: [(usize, [Vec<u8>; 3]); 7] = [
            (0, [i32::MIN, -1, 256].map(|value| value.to_le_bytes().to_vec())),
            (1, [i64::MIN, -1, 256].map(|value| value.to_le_bytes().to_vec())),
            (2, [-1.5f32, -0.0, 0.0].map(|value| value.to_le_bytes().to_vec())),
            (3, [f64::NEG_INFINITY, 1e-300, 2.0].map(|value| value.to_le_bytes().to_vec())),
            (4, [vec![0], vec![1], vec![1]]),
            (5, ["", "a", "é"].map(|text| text.as_bytes().to_vec())),
            (6, [-256i16, -1, 3].map(|value| value.to_be_bytes().to_vec())),
        ];
        for (column, ascending) in cases {
            let column = schema.column(column);
            let compare = compare(&column).unwrap();
            assert!(ascending.is_sorted_by(|a, b| compare(a, b) != Ordering::Greater), "{}", column.name());
            assert_eq!(compare(&ascending[0], &ascending[2]), Ordering::Less, "{}", column.name());
            let found = statistics(&column, Some((&ascending[0], &ascending[2])), (true, false), 3);
            assert_eq!(
                (found.min_bytes_opt(), found.max_bytes_opt()),
                (Some(&ascending[0][..]), Some(&ascending[2][..])),
                "{}",
                column.name()
            );
            assert_eq!((found.min_is_exact(), found.max_is_exact(), found.null_count_opt()), (true, false, Some(3)), "{}", column.name());
            let found = statistics(&column, None, (true, true), 3);
            assert_eq!((found.min_bytes_opt(), found.min_is_exact(), found.null_count_opt()), (None, false, Some(3)), "{}", column.name());
        }
        assert!(compare(&schema.column(7)).is_none() && compare(&schema.column(8)).is_none(), "no order, or another one");
    }
}
