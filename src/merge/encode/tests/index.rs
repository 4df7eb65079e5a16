//! What the page index says of every leaf, beside the pages themselves and the rows that were written.

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{concat, filter, is_not_null, take_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, LevelHistogram, PageIndexPolicy, ParquetMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::PageLocation;
use parquet::file::serialized_reader::SerializedPageReader;

use super::*;

/// The offset index, the column index and the histograms of all leaves are those of the pages, which hold these rows.
pub fn check(file: &Bytes, rows: &RecordBatch) {
    let about = about(file);
    let mut begin = 0;
    for (group, row_group) in about.row_groups().iter().enumerate() {
        let count = row_group.num_rows() as usize;
        let rows = rows.slice(begin, count);
        begin += count;
        for (leaf, chunk) in row_group.columns().iter().enumerate() {
            let locations = about.offset_index().unwrap()[group][leaf].page_locations();
            let pages = pages(file, chunk, locations);
            let values = |page: usize| {
                let from = locations[page].first_row_index as usize;
                let to = locations.get(page + 1).map_or(count, |next| next.first_row_index as usize);
                assert!(from < to, "{}: page {page} has rows", chunk.column_path());
                let column = of_leaf(chunk, &about);
                let mut leaves = Vec::new();
                flatten(&rows.column(column).slice(from, to - from), &mut leaves);
                let first = (0..leaf).rfind(|other| of_leaf(&row_group.columns()[*other], &about) != column).map_or(0, |other| other + 1);
                (leaves.swap_remove(leaf - first), to - from)
            };
            check_leaf(chunk, &about.column_index().unwrap()[group][leaf], &pages, values);
        }
    }
    assert_eq!(begin, rows.num_rows());
}

/// The column that a leaf is of.
fn of_leaf(chunk: &ColumnChunkMetaData, about: &ParquetMetaData) -> usize {
    let columns = about.file_metadata().schema_descr().root_schema().get_fields();
    columns.iter().position(|column| column.name() == chunk.column_path().parts()[0]).unwrap()
}

/// The page of a chunk's dictionary.
pub fn dictionary(file: &Bytes, chunk: &ColumnChunkMetaData) -> Page {
    let at = chunk.dictionary_page_offset().unwrap();
    page(file.slice(at as usize..chunk.data_page_offset() as usize), chunk)
}

/// The page of a chunk that these bytes are, all of them.
fn page(bytes: Bytes, chunk: &ColumnChunkMetaData) -> Page {
    let alone = chunk.clone().into_builder().set_dictionary_page_offset(None).set_data_page_offset(0);
    let alone = alone.set_total_compressed_size(bytes.len() as i64).build().unwrap();
    let mut reader = SerializedPageReader::new(Arc::new(bytes), &alone, 0, None).unwrap();
    let page = reader.get_next_page().unwrap().unwrap();
    assert!(reader.get_next_page().unwrap().is_none(), "{}: nothing follows the page", chunk.column_path());
    page
}

/// The pages of a chunk, each read by its place in the offset index alone.
fn pages(file: &Bytes, chunk: &ColumnChunkMetaData, locations: &[PageLocation]) -> Vec<Page> {
    let name = chunk.column_path();
    let (start, length) = chunk.byte_range();
    assert_eq!(locations[0].offset, chunk.data_page_offset(), "{name}");
    assert_eq!(locations[0].first_row_index, 0, "{name}");
    let ends = locations.iter().map(|page| page.offset + i64::from(page.compressed_page_size));
    let nexts = locations[1..].iter().map(|page| page.offset).chain([(start + length) as i64]);
    assert!(ends.eq(nexts), "{name}: pages touch, up to the end of the chunk");

    let (mut pages, mut stored, mut plain) = (Vec::new(), 0, 0);
    let dictionary = chunk.dictionary_page_offset().map(|at| (at, chunk.data_page_offset() - at));
    for (at, size) in dictionary.into_iter().chain(locations.iter().map(|page| (page.offset, page.compressed_page_size.into()))) {
        let bytes = file.slice(at as usize..(at + size) as usize);
        let (uncompressed, compressed) = sizes(&bytes);
        stored += size;
        plain += size - compressed + uncompressed;
        let page = page(bytes, chunk);
        assert_eq!(page.buffer().len() as i64, uncompressed, "{name}");
        pages.push(page);
    }
    assert_eq!((stored, plain), (chunk.compressed_size(), chunk.uncompressed_size()), "{name}");
    if dictionary.is_some() {
        assert!(matches!(pages.remove(0), Page::DictionaryPage { .. }), "{name}");
    }
    assert!(pages.iter().all(|page| matches!(page, Page::DataPage { .. })), "{name}");
    assert_eq!(pages.iter().map(|page| i64::from(page.num_values())).sum::<i64>(), chunk.num_values(), "{name}");
    pages
}

/// The uncompressed and the compressed size of a page, from its header: fields 2 and 3 of a Thrift struct in the compact protocol.
fn sizes(header: &[u8]) -> (i64, i64) {
    let mut at = 0;
    let fields: Vec<i64> = (0..3)
        .map(|_| {
            assert_eq!(header[at], 0x15, "the next field is an i32");
            let end = at + 1 + header[at + 1..].iter().position(|byte| byte & 0x80 == 0).unwrap();
            let raw = header[at + 1..=end].iter().rev().fold(0, |raw, byte| raw << 7 | i64::from(byte & 0x7f));
            at = end + 1;
            (raw >> 1) ^ -(raw & 1)
        })
        .collect();
    (fields[1], fields[2])
}

/// Appends the values of each leaf below an array, without nulls.
fn flatten(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    let present: BooleanArray = is_not_null(array).unwrap();
    let array = filter(array, &present).unwrap();
    let all = |items: Vec<ArrayRef>, none: ArrayRef| {
        let items: Vec<&dyn Array> = items.iter().map(AsRef::as_ref).collect();
        if items.is_empty() { none } else { concat(&items).unwrap() }
    };
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|child| flatten(child, leaves)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let items = (0..list.len()).map(|row| list.value(row)).filter(|items| !items.is_empty());
            flatten(&all(items.collect(), list.values().slice(0, 0)), leaves);
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let items = (0..map.len()).map(|row| map.value(row)).filter(|items| !items.is_empty());
            flatten(&all(items.map(|items| Arc::new(items) as ArrayRef).collect(), Arc::new(map.entries().slice(0, 0))), leaves);
        }
        _ => leaves.push(array),
    }
}

/// `values` has the values of a page and its number of rows.
fn check_leaf(chunk: &ColumnChunkMetaData, index: &ColumnIndexMetaData, pages: &[Page], values: impl Fn(usize) -> (ArrayRef, usize)) {
    let column = chunk.column_descr();
    let name = chunk.column_path();
    assert!(!matches!(index, ColumnIndexMetaData::NONE), "{name} has a column index");
    let mut sums = [LevelHistogram::try_new(column.max_rep_level()), LevelHistogram::try_new(column.max_def_level())];
    for (page, read) in pages.iter().enumerate() {
        let (values, rows) = values(page);
        let found = [index.repetition_level_histogram(page), index.definition_level_histogram(page)];
        for (sum, found) in sums.iter_mut().zip(found) {
            assert_eq!(sum.is_some(), found.is_some_and(|found| !found.is_empty()), "{name}");
            if let (Some(sum), Some(found)) = (sum, found) {
                assert_eq!(found.iter().sum::<i64>(), i64::from(read.num_values()), "{name}");
                sum.add(&LevelHistogram::from(found.to_vec()));
            }
        }
        let [repetition, definition] = found;
        let begun = repetition.filter(|_| column.max_rep_level() > 0).map_or(i64::from(read.num_values()), |found| found[0]);
        assert_eq!(begun, rows as i64, "{name}: the rows of page {page}");
        if column.max_rep_level() > 0 {
            assert_eq!(first_level(read.buffer(), column.max_rep_level()), 0, "{name}: page {page} begins with a row");
        }
        let present = definition.filter(|_| column.max_def_level() > 0).map_or(begun, |found| found[found.len() - 1]);
        assert_eq!(present, values.len() as i64, "{name}: the values of page {page}");
        assert_eq!(index.null_count(page), Some(i64::from(read.num_values()) - present), "{name}");
        assert_eq!(index.is_null_page(page), values.is_empty(), "{name}");
        check_bounds(index, page, &values);
    }
    let of_chunk = [chunk.repetition_level_histogram(), chunk.definition_level_histogram()];
    assert_eq!(of_chunk.map(|found| found.cloned()), sums, "{name}");
}

/// The first of the levels that a page begins with.
fn first_level(page: &[u8], most: i16) -> u8 {
    // Behind the length, the header of a run or of packed groups, and then the level or the group.
    let header = page[4];
    let at = 5 + page[4..].iter().take_while(|byte| **byte & 0x80 != 0).count();
    let bits = hybrid::width(most as usize);
    if header & 1 == 0 { page[at] } else { page[at] & ((1u16 << bits) - 1) as u8 }
}

/// What a value that is no text is ordered by.
fn key(values: &ArrayRef, at: usize) -> i128 {
    match values.data_type() {
        DataType::Boolean => values.as_boolean().value(at).into(),
        DataType::Int8 => values.as_primitive::<Int8Type>().value(at).into(),
        DataType::Int16 => values.as_primitive::<Int16Type>().value(at).into(),
        DataType::Int32 => values.as_primitive::<Int32Type>().value(at).into(),
        DataType::Date32 => values.as_primitive::<Date32Type>().value(at).into(),
        DataType::Int64 => values.as_primitive::<Int64Type>().value(at).into(),
        DataType::Timestamp(..) => values.as_primitive::<TimestampMicrosecondType>().value(at).into(),
        DataType::Float32 => span::key_of_float(values.as_primitive::<Float32Type>().value(at)).unwrap(),
        DataType::Float64 => span::key_of_double(values.as_primitive::<Float64Type>().value(at)).unwrap(),
        _ => values.as_primitive::<Decimal128Type>().value(at),
    }
}

fn check_bounds(index: &ColumnIndexMetaData, page: usize, values: &ArrayRef) {
    macro_rules! within {
        ($index:expr, $value:expr) => {{
            let (least, greatest) = ($index.min_value(page).map($value), $index.max_value(page).map($value));
            (0..values.len()).filter(|at| values.is_valid(*at)).all(|at| {
                let value = key(values, at);
                least.is_some_and(|least| least <= value) && greatest.is_some_and(|greatest| value <= greatest)
            })
        }};
    }
    let within = match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) => {
            let (least, greatest) = (index.min_value(page), index.max_value(page));
            let within = |value: &[u8]| least.is_some_and(|least| least <= value) && greatest.is_some_and(|most| value <= most);
            match values.data_type() {
                DataType::Binary => values.as_binary::<i32>().iter().flatten().all(within),
                _ => values.as_string::<i32>().iter().flatten().map(str::as_bytes).all(within),
            }
        }
        ColumnIndexMetaData::BOOLEAN(index) => within!(index, |value: &bool| i128::from(*value)),
        ColumnIndexMetaData::INT32(index) => within!(index, |value: &i32| i128::from(*value)),
        ColumnIndexMetaData::INT64(index) => within!(index, |value: &i64| i128::from(*value)),
        ColumnIndexMetaData::FIXED_LEN_BYTE_ARRAY(index) => {
            within!(index, |value: &[u8]| i128::from_be_bytes(value.try_into().unwrap()))
        }
        ColumnIndexMetaData::FLOAT(index) => within!(index, |value: &f32| span::key_of_float(*value).unwrap()),
        ColumnIndexMetaData::DOUBLE(index) => within!(index, |value: &f64| span::key_of_double(*value).unwrap()),
        ColumnIndexMetaData::NONE | ColumnIndexMetaData::INT96(_) => panic!("no column of these tests is of another type"),
    };
    assert!(within, "values of page {page} are within its bounds");
}

/// A reader that goes by the page index finds these runs of rows, which are read and skipped in turns.
pub fn check_selection(file: &Bytes, rows: &RecordBatch, runs: &[usize]) {
    let mut indices: Vec<u32> = Vec::new();
    let (mut ranges, mut at) = (Vec::new(), 0);
    for (turn, run) in runs.iter().enumerate() {
        let end = (at + run).min(rows.num_rows());
        if turn % 2 == 0 && at < end {
            ranges.push(at..end);
            indices.extend(at as u32..end as u32);
        }
        at = end;
    }
    let selection = RowSelection::from_consecutive_ranges(ranges.into_iter(), rows.num_rows());
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file.clone(), options).unwrap();
    let batches: Vec<RecordBatch> = builder.with_row_selection(selection).build().unwrap().map(|batch| batch.unwrap()).collect();
    let read = arrow::compute::concat_batches(&batches.first().map_or(rows.schema(), RecordBatch::schema), &batches).unwrap();
    let read = RecordBatch::try_new(rows.schema(), read.columns().to_vec()).unwrap();
    assert_eq!(read, take_record_batch(rows, &UInt32Array::from(indices)).unwrap());
}
