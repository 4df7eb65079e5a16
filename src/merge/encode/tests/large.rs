//! Many rows, with the properties of the files that merges write.

use arrow::array::{Array, ArrayRef, ListBuilder, StringArray, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::column::page::Page;

use super::*;

const ROWS: usize = 50_000;

/// The limit of a dictionary in the files of merges.
const DICTIONARY: usize = 256 << 10;

/// The number of the row with a list of very many items.
const LONGEST: usize = 30_000;

/// A text that is unlike the one before.
fn unlike(number: usize) -> String {
    format!("{:016x} {number}", (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn columns() -> RecordBatch {
    let texts = |text: &dyn Fn(usize) -> Option<String>| Arc::new((0..ROWS).map(text).collect::<StringArray>()) as ArrayRef;
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Field::new("element", DataType::Utf8, true));
    for row in 0..ROWS {
        let items = if row == LONGEST { 100_000 } else { row % 4 };
        (0..items).for_each(|item| lists.values().append_option((item % 7 != 3).then(|| unlike((row + item) % 70_000))));
        lists.append(row % 5 != 2 || row == LONGEST);
    }
    // Each of 1024 texts takes 256 bytes of the dictionary. The last row has the last of them.
    let exact = |row: usize| format!("{:0252}", if row == ROWS - 1 { 1023 } else { row % 1023 });
    let columns: [(&str, ArrayRef); 6] = [
        ("constant", texts(&|_| Some("always the same".into()))),
        ("few", texts(&|row| (row % 11 != 0).then(|| unlike(row % 300)))),
        ("many", texts(&|row| Some(unlike(row)))),
        ("nothing", texts(&|_| None)),
        ("lists", Arc::new(lists.finish())),
        ("exact", texts(&|row| Some(exact(row)))),
    ];
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect::<Vec<_>>();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.map(|(_, column)| column).to_vec()).unwrap()
}

/// As those of `merge::writer`.
fn properties(row_group: usize) -> WriterProperties {
    WriterProperties::builder()
        .set_dictionary_page_size_limit(DICTIONARY)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_coerce_types(true)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(Some(row_group))
        .build()
}

#[test]
fn many_rows_read_back_as_they_were() {
    let rows = columns();
    let batches: Vec<RecordBatch> = (0..ROWS).step_by(8192).map(|at| rows.slice(at, 8192.min(ROWS - at))).collect();
    for (row_group, groups) in [(128 << 20, 1..2), (1 << 20, 2..20)] {
        let file = ours(&rows.schema(), &batches, properties(row_group));
        assert_eq!(rows_of(&rows.schema(), &file), rows);
        index::check(&file, &rows);
        index::check_selection(&file, &rows, &[1, 7_000, 3, 22_990, 10, 1, 9_000, 2, 1]);
        assert!(groups.contains(&about(&file).num_row_groups()), "{}", about(&file).num_row_groups());
        if groups == (1..2) {
            check_dictionaries(&file);
        }
    }
}

/// Of one row group.
fn check_dictionaries(file: &Bytes) {
    let about = about(file);
    // Whether the column goes on without its dictionary, and how many texts and bytes that has.
    let found: Vec<(bool, usize, usize)> = about
        .row_group(0)
        .columns()
        .iter()
        .map(|chunk| {
            let first = index::dictionary(file, chunk);
            let is_plain = chunk.page_encoding_stats().unwrap()[1..].iter().any(|stat| stat.encoding == Encoding::PLAIN);
            let Page::DictionaryPage { buf, num_values, .. } = first else { panic!() };
            (is_plain, num_values as usize, buf.len())
        })
        .collect();
    assert_eq!(found[0], (false, 1, 4 + 15));
    assert_eq!((found[1].0, found[1].1), (false, 300));
    assert!(found[2].0 && found[2].2 >= DICTIONARY && found[2].2 < DICTIONARY + 64, "{found:?}");
    assert_eq!(found[3], (false, 0, 0));
    assert!(found[4].0 && found[4].2 >= DICTIONARY, "{found:?}");
    assert_eq!(found[5], (false, 1024, DICTIONARY));
}
