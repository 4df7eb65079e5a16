//! Row groups that are made of finished files, beside the rows that those files were made of.

use arrow::array::{ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use parquet::basic::Type;

use super::*;

/// A file with these batches, as it is staged.
fn staged(schema: &SchemaRef, batches: &[RecordBatch], properties: WriterProperties) -> Stored {
    Stored::new(ours(schema, batches, properties)).unwrap()
}

/// The file that is made of those files, some at a time.
fn woven(schema: &SchemaRef, pieces: Vec<Vec<Stored>>, properties: WriterProperties) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut encoder = Encoder::new(schema.clone(), properties, 2).unwrap();
    runtime.block_on(async {
        for piece in pieces.into_iter().filter(|piece| piece.iter().any(|file| file.rows() > 0)) {
            encoder.weave(piece).await.unwrap();
        }
        encoder.finish().await.unwrap();
    });
    encoder.take().unwrap().concat().into()
}

/// What is said of the chunks is what is said of those that all rows were encoded into.
fn compare(woven: &Bytes, encoded: &Bytes) {
    let (woven, encoded) = (about(woven), about(encoded));
    assert_eq!((woven.num_row_groups(), encoded.num_row_groups()), (1, 1));
    for (found, expected) in woven.row_group(0).columns().iter().zip(encoded.row_group(0).columns()) {
        let name = found.column_path().string();
        assert_eq!(found.num_values(), expected.num_values(), "{name}");
        assert_eq!(found.unencoded_byte_array_data_bytes(), expected.unencoded_byte_array_data_bytes(), "{name}");
        assert_eq!(found.definition_level_histogram(), expected.definition_level_histogram(), "{name}");
        assert_eq!(found.repetition_level_histogram(), expected.repetition_level_histogram(), "{name}");
        let (found, expected) = (found.statistics().unwrap(), expected.statistics().unwrap());
        if woven.file_metadata().schema_descr().column(0).max_rep_level() == 0 {
            assert_eq!(found.null_count_opt(), expected.null_count_opt(), "{name}");
        }
        match found.physical_type() {
            // What is cut is no longer known to be exact.
            Type::BYTE_ARRAY => {
                assert!(found.min_bytes_opt() <= expected.min_bytes_opt(), "{name}");
                assert!(found.max_bytes_opt() >= expected.max_bytes_opt(), "{name}");
            }
            // Where the library says nothing of a part, nothing is known of the whole.
            _ if found.min_bytes_opt().is_none() => {}
            _ => assert_eq!((found.min_bytes_opt(), found.max_bytes_opt()), (expected.min_bytes_opt(), expected.max_bytes_opt()), "{name}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn all_rows_are_there_in_their_order(
        rows in proptest::collection::vec(row(), 1..60),
        files in proptest::collection::vec(0usize..20, 1..6),
        (page_rows, page, dictionary) in (1usize..30, 30usize..500, 1usize..400),
        (of_file, kept) in (1usize..30, 1usize..400),
        (snappy, looks_up) in (any::<bool>(), any::<bool>()),
        runs in proptest::collection::vec(0usize..20, 0..12),
    ) {
        let schema = schema();
        let all = batch(&schema, &rows);
        let codec = |properties: WriterPropertiesBuilder| match snappy {
            true => properties.set_compression(Compression::SNAPPY),
            false => properties,
        };
        let of_staged = || {
            let limits = codec(small()).set_dictionary_enabled(false).set_data_page_row_count_limit(page_rows).set_data_page_size_limit(page);
            // A small one is given up within a file: pages with and without follow one another.
            limits.set_dictionary_page_size_limit(if looks_up { 1 << 20 } else { dictionary }).build()
        };
        let of_file = || codec(small()).set_data_page_row_count_limit(of_file).set_dictionary_page_size_limit(kept).build();
        let (mut made, mut at) = (Vec::new(), 0);
        for size in files.iter().copied().chain([rows.len()]) {
            let size = size.min(rows.len() - at);
            made.push(staged(&schema, &[all.slice(at, size)], of_staged()));
            at += size;
        }
        let descr = about(&ours(&schema, &[], of_file())).file_metadata().schema_descr().clone();
        let codec = of_file().compression(descr.column(0).path());
        prop_assert!(made.iter().all(|file| file.fits(&descr, codec)));
        let file = woven(&schema, vec![made.clone()], of_file());
        prop_assert_eq!(&rows_of(&schema, &file), &all);
        index::check(&file, &all);
        index::check_selection(&file, &all, &runs);
        compare(&file, &ours(&schema, std::slice::from_ref(&all), of_file()));
        let (front, back) = made.split_at(made.len() / 2);
        let file = woven(&schema, vec![front.to_vec(), back.to_vec()], of_file());
        prop_assert_eq!(&rows_of(&schema, &file), &all);
        index::check(&file, &all);
    }
}

/// Values of all other kinds, some of them without an order.
fn others(count: usize) -> RecordBatch {
    let numbers: Vec<Option<f64>> = (0..count).map(|i| (i % 3 > 0).then_some(if i % 7 == 0 { f64::NAN } else { i as f64 - 9.5 })).collect();
    let nothing: Vec<f64> = vec![f64::NAN; count];
    let decimals = (0..count).map(|i| (i % 5 > 0).then_some((i as i128 - 20) * 10i128.pow(25)));
    let decimals: Decimal128Array = decimals.collect();
    let lists = OffsetBuffer::from_lengths((0..count).map(|i| i % 4));
    let items = Int64Array::from_iter((0..lists[count] as i64).map(|i| (i % 3 > 0).then_some(i - 5)));
    RecordBatch::try_from_iter_with_nullable([
        ("flag", Arc::new(BooleanArray::from_iter((0..count).map(|i| (i % 4 > 0).then_some(i % 3 == 0)))) as ArrayRef, true),
        ("number", Arc::new(Float64Array::from(numbers)), true),
        ("nothing", Arc::new(Float64Array::from(nothing)), true),
        ("decimal", Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()), true),
        ("items", Arc::new(ListArray::new(Arc::new(field("element", DataType::Int64)), lists, Arc::new(items), None)), true),
        ("text", Arc::new(StringArray::from_iter_values((0..count).map(|i| format!("text {}", i % 6)))), false),
    ])
    .unwrap()
}

#[test]
fn values_that_are_no_texts_go_on_with_what_is_known_of_them() {
    let all = others(100);
    let schema = all.schema();
    let limits = || small().set_dictionary_enabled(false).set_data_page_row_count_limit(13).build();
    let files = [0..30, 30..31, 31..31, 31..100].map(|rows: Range<usize>| staged(&schema, &[all.slice(rows.start, rows.len())], limits()));
    let file = woven(&schema, vec![files.to_vec()], limits());
    assert_eq!(rows_of(&schema, &file), all);
    let (found, expected) = (about(&file), about(&ours(&schema, std::slice::from_ref(&all), limits())));
    for (leaf, (found, expected)) in found.row_group(0).columns().iter().zip(expected.row_group(0).columns()).enumerate() {
        let name = found.column_path().string();
        let (found, expected) = (found.statistics().unwrap(), expected.statistics().unwrap());
        let ends =
            |of: &parquet::file::statistics::Statistics| (of.min_bytes_opt().map(<[u8]>::to_vec), of.max_bytes_opt().map(<[u8]>::to_vec));
        // One of the files has only NaN in them: nothing is said of all.
        let known = !matches!(name.as_str(), "nothing");
        assert_eq!(ends(found), if known { ends(expected) } else { (None, None) }, "{name}");
        assert_eq!(found.null_count_opt(), expected.null_count_opt(), "{name}, leaf {leaf}");
    }
    let decimal = found.row_group(0).column(3).statistics().unwrap();
    assert!(decimal.min_bytes_opt().is_some_and(|least| least[0] >= 0x80), "the least is negative");
}

#[test]
fn what_other_columns_codecs_or_dictionaries_have_does_not_fit() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("text", DataType::Utf8), field("number", DataType::Int64)]));
    let rows = [batch(&schema, &[json!({"text": "a", "number": 1}), json!({"text": "a", "number": 1})])];
    let leaves = |schema: &SchemaRef| about(&ours(schema, &[], small().build())).file_metadata().schema_descr().clone();
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1).unwrap());
    let file = |properties: WriterPropertiesBuilder| staged(&schema, &rows, properties.build());
    let plain = || small().set_dictionary_enabled(false);
    assert!(file(plain()).fits(&leaves(&schema), zstd));
    assert!(!file(plain()).fits(&leaves(&schema), Compression::SNAPPY));
    assert!(!file(small()).fits(&leaves(&schema), zstd), "numbers have a dictionary");
    for other in [vec![field("text", DataType::Utf8)], vec![field("text", DataType::Utf8), field("number", DataType::Int32)]] {
        assert!(!file(plain()).fits(&leaves(&Arc::new(Schema::new(other))), zstd));
    }
}

#[test]
fn texts_that_hardly_repeat_are_staged_without_a_dictionary() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("text", DataType::Utf8)]));
    let made = |different: usize| {
        let rows: Vec<Value> = (0..1000).map(|i| json!({"text": format!("a text with number {}", i % different)})).collect();
        let batches = [batch(&schema, &rows)];
        let file = ours(&schema, &batches, small().set_dictionary_enabled(false).build());
        assert_eq!(rows_of(&schema, &file), batches[0]);
        index::check(&file, &batches[0]);
        about(&file).row_group(0).column(0).dictionary_page_offset().is_some()
    };
    assert_eq!([1, 10, 400, 800, 1000].map(made), [true, true, true, false, false]);
}

#[test]
fn texts_that_share_no_dictionary_make_more_row_groups_and_not_a_larger_one() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("text", DataType::Utf8)]));
    let text = |file: usize, i: usize| json!({"text": format!("{file:04} {} {}", i % 3, "x".repeat(90))});
    let rows: Vec<Value> = (0..40).flat_map(|file| (0..200).map(move |i| text(file, i))).collect();
    let all = batch(&schema, &rows);
    let of_staged = || small().set_compression(Compression::SNAPPY).set_dictionary_enabled(false).build();
    let files: Vec<Stored> = (0..40).map(|file| staged(&schema, &[all.slice(file * 200, 200)], of_staged())).collect();
    let bytes: usize = files.iter().map(Stored::size).sum();
    let of_file = |row_group| {
        let limits = small().set_compression(Compression::SNAPPY).set_dictionary_page_size_limit(1000);
        limits.set_data_page_size_limit(2000).set_max_row_group_bytes(Some(row_group)).build()
    };
    for (row_group, most) in [(20 * bytes, 1), (bytes / 8, 40), (10, 40)] {
        let file = woven(&schema, vec![files.clone()], of_file(row_group));
        assert_eq!(rows_of(&schema, &file), all);
        index::check(&file, &all);
        let groups = about(&file).num_row_groups();
        assert!((1..=most).contains(&groups) && (groups > 1 || most == 1), "{groups} row groups of {row_group} bytes");
    }
}

#[test]
fn damage_is_an_error_and_no_panic() {
    let schema = schema();
    let rows: Vec<Value> = (0..40).map(|i| json!({"always": format!("{}", i % 3), "text": "x", "items": [{"text": "y"}, null]})).collect();
    let file = ours(&schema, &[batch(&schema, &rows)], small().set_dictionary_enabled(false).build());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut refused = 0;
    for at in 4..file.len() {
        let mut bytes = file.to_vec();
        bytes[at] ^= 0x15;
        // Whoever has a file here has seen its checksum; all the same nobody may fall over it.
        let parsed = std::panic::catch_unwind(|| Stored::new(bytes.into()));
        let Ok(Ok(damaged)) = parsed else { continue };
        let mut encoder = Encoder::new(schema.clone(), small().build(), 1).unwrap();
        refused += u32::from(runtime.block_on(encoder.weave(vec![damaged])).is_err());
    }
    assert!(refused > 50, "{refused} were refused");
}
