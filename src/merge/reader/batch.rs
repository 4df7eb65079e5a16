//! How many rows of a file are read at once: so few that they fit memory, however long some of them are.

use parquet::basic::Type;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::offset_index::OffsetIndexMetaData;

/// Most rows of a batch.
const ROWS: usize = 1024;

/// Bytes of a batch, about, beside those of its largest page.
const BYTES: u64 = 8 << 20;

/// Most bytes of a page that a batch may have beside [`BYTES`]: those of one long record.
const LONGEST: u64 = 64 << 20;

/// True if some batch of [`ROWS`] rows may be too large, so that the places of the pages have to be known. `columns` are the numbers of
/// the leaves that are read.
pub fn may_be_large(metadata: &ParquetMetaData, columns: &[usize]) -> bool {
    metadata.row_groups().iter().any(|group| columns.iter().map(|&column| bytes(group.column(column))).sum::<u64>() > BYTES)
}

/// Rows to be read at once of those columns, so that no batch of them is much larger than [`BYTES`] and a long record.
pub fn rows_at_once(metadata: &ParquetMetaData, columns: &[usize]) -> usize {
    let places = metadata.offset_index();
    let groups = metadata.row_groups().iter().enumerate();
    groups.map(|(at, group)| rows_of(group, places.map(|places| places[at].as_slice()), columns)).min().unwrap_or(ROWS)
}

fn rows_of(group: &RowGroupMetaData, places: Option<&[OffsetIndexMetaData]>, columns: &[usize]) -> usize {
    let rows = u64::try_from(group.num_rows()).unwrap_or(0).max(1);
    // Of texts it is known how many bytes each page holds; of anything else, and without an index, only what a row has on the average.
    let (mut texts, mut usual) = (Vec::new(), 0);
    for &column in columns {
        let about = places.and_then(|places| places.get(column)).and_then(|index| Pages::of(index, rows));
        match about {
            Some(pages) => texts.push(pages),
            None => usual += bytes(group.column(column)).div_ceil(rows),
        }
    }
    let longest: u64 = texts.iter().map(|pages| pages.largest()).sum();
    let fits = |at_once: &usize| {
        let most: u64 = texts.iter().map(|pages| pages.most_of(*at_once as u64)).sum();
        most + usual * *at_once as u64 <= BYTES + longest.min(LONGEST)
    };
    std::iter::successors(Some(ROWS), |rows| (*rows > 1).then_some(rows / 2)).find(fits).unwrap_or(1)
}

/// Bytes of a column's values in memory, about.
fn bytes(column: &ColumnChunkMetaData) -> u64 {
    let known = column.unencoded_byte_array_data_bytes().filter(|_| column.column_type() == Type::BYTE_ARRAY);
    let values = column.num_values().saturating_mul(8);
    u64::try_from(known.unwrap_or_else(|| column.uncompressed_size().max(values))).unwrap_or(0)
}

/// The pages of a column of texts: of each the first row, and its bytes. Behind the last one the end.
struct Pages(Vec<(u64, u64)>);

impl Pages {
    fn of(index: &OffsetIndexMetaData, rows: u64) -> Option<Self> {
        let bytes = index.unencoded_byte_array_data_bytes()?.iter();
        let firsts = index.page_locations().iter().map(|page| page.first_row_index);
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let pages = firsts.zip(bytes).map(|(first, bytes)| (number(first), number(*bytes)));
        Some(Self(pages.chain([(rows, 0)]).collect()))
    }

    fn largest(&self) -> u64 {
        self.0.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0)
    }

    /// Bytes that so many rows one after the other have at the most: those of all pages that they may be in.
    fn most_of(&self, rows: u64) -> u64 {
        let (mut end, mut sum, mut most) = (0, 0, 0);
        for pair in self.0.windows(2) {
            let [(_, bytes), (next, _)] = pair else { continue };
            // They begin with the last row of the page, and so reach as far as they can.
            let reach = next.saturating_sub(1) + rows;
            while end < self.0.len() && self.0[end].0 < reach {
                sum += self.0[end].1;
                end += 1;
            }
            most = most.max(sum);
            sum -= bytes;
        }
        most
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BinaryArray, Int64Array, ListArray, RecordBatch};
    use arrow::datatypes::Int64Type;
    use bytes::Bytes;
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::{PageIndexPolicy, ParquetMetaDataReader};

    use super::*;

    /// Rows at once of a column, with the page index and without it.
    fn at_once(column: ArrayRef) -> (usize, usize) {
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        let file = Bytes::from(writer.into_inner().unwrap());
        let about = |policy| ParquetMetaDataReader::new().with_page_index_policy(policy).parse_and_finish(&file).unwrap();
        let (with, without) = (about(PageIndexPolicy::Required), about(PageIndexPolicy::Skip));
        if !may_be_large(&without, &[0]) {
            assert_eq!(rows_at_once(&without, &[0]), ROWS);
        }
        (rows_at_once(&with, &[0]), rows_at_once(&without, &[0]))
    }

    /// Texts of these lengths, each so many times.
    fn texts(lengths: &[(usize, usize)]) -> ArrayRef {
        let one = |length: usize, at: usize| (length > 0).then(|| [&at.to_be_bytes()[..], &vec![7; length]].concat());
        let all = lengths.iter().flat_map(|&(length, times)| std::iter::repeat_n(length, times)).enumerate();
        Arc::new(all.map(|(at, length)| one(length, at)).collect::<BinaryArray>())
    }

    #[test]
    fn the_longer_the_texts_the_fewer_are_read_at_once() {
        assert_eq!(at_once(texts(&[])), (ROWS, ROWS));
        assert_eq!(at_once(texts(&[(0, 5000)])), (ROWS, ROWS));
        assert_eq!(at_once(texts(&[(100, 20_000)])), (ROWS, ROWS));
        for (length, rows) in [(64 << 10, 64), (1 << 20, 4), (4 << 20, 1), (20 << 20, 1)] {
            let (with, without) = at_once(texts(&[(length, (40 << 20) / length)]));
            assert!(with >= rows && with <= 2 * rows && without == rows, "{length} bytes: {with} {without}");
        }
    }

    #[test]
    fn one_long_text_among_short_ones_is_read_with_them_and_many_are_not() {
        assert_eq!(at_once(texts(&[(100, 9000), (20 << 20, 1), (100, 9000)])).0, ROWS);
        let (with, without) = at_once(texts(&[(100, 90_000), (4 << 20, 20), (100, 90_000)]));
        assert!(with <= 4 && without == ROWS, "only the places of the pages tell: {with} {without}");
    }

    #[test]
    fn the_same_text_again_and_again_takes_the_room_of_each() {
        // The file has it once.
        let text = vec![7u8; 100 << 10];
        let same: BinaryArray = (0..2000).map(|_| Some(text.as_slice())).collect();
        assert!(at_once(Arc::new(same)).0 <= 256);
    }

    #[test]
    fn long_lists_of_numbers_are_read_a_few_at_once() {
        let items = Int64Array::from_iter_values(0..3 << 17);
        let list = |_| Some(items.iter().collect::<Vec<_>>());
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>((0..8).map(list));
        assert_eq!(at_once(Arc::new(lists)), (2, 2));
    }
}
