//! Files of this encoder beside those that the parquet library's own writer makes of the same rows.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

mod index;
mod large;
mod weave;

fn field(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(field("element", item)))
}

fn map(value: DataType) -> DataType {
    let entries = DataType::Struct(vec![Field::new("key", DataType::Utf8, false), field("value", value)].into());
    DataType::Map(Arc::new(Field::new("key_value", entries, false)), false)
}

/// Texts at all places that texts can be in, and what is between them.
fn schema() -> SchemaRef {
    let part = DataType::Struct(vec![field("text", DataType::Utf8), field("number", DataType::Int64)].into());
    let parts = DataType::Struct(vec![field("part", part.clone()), field("name", DataType::Utf8)].into());
    Arc::new(Schema::new(vec![
        field("text", DataType::Utf8),
        field("number", DataType::Int32),
        field("parts", parts),
        field("items", list(part.clone())),
        field("lists", list(list(DataType::Utf8))),
        field("texts", map(DataType::Utf8)),
        field("by_name", map(part)),
        Field::new("always", DataType::Utf8, false),
        field("others", list(DataType::Struct(others().into()))),
        field("other", DataType::Struct(others().into())),
    ]))
}

/// All types that are no texts.
fn others() -> Vec<Field> {
    vec![
        field("flag", DataType::Boolean),
        field("byte", DataType::Int8),
        field("short", DataType::Int16),
        field("float", DataType::Float32),
        field("double", DataType::Float64),
        field("price", DataType::Decimal128(9, 2)),
        field("sum", DataType::Decimal128(18, 2)),
        field("huge", DataType::Decimal128(38, 10)),
        field("day", DataType::Date32),
        field("time", DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))),
        field("bytes", DataType::Binary),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        2 => Just(json!("")),
        4 => "[ab]{1,2}".prop_map(Value::from),
        4 => "[a-c]{7,18}".prop_map(Value::from),
        2 => ".{0,30}".prop_map(Value::from),
        1 => "[xé😀\u{10ffff}]{20,70}".prop_map(Value::from),
    ]
}

fn or_null(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    prop_oneof![1 => Just(Value::Null), 4 => value]
}

fn part() -> impl Strategy<Value = Value> {
    or_null((text(), any::<Option<i64>>()).prop_map(|(text, number)| json!({"text": text, "number": number})))
}

fn many(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    or_null(proptest::collection::vec(value, 0..4).prop_map(Value::from))
}

fn entries(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let entries = proptest::collection::vec(("[a-z]{0,9}", value), 0..4);
    or_null(entries.prop_map(|entries| entries.into_iter().collect::<serde_json::Map<_, _>>().into()))
}

/// A struct of all types that are no texts.
fn other() -> impl Strategy<Value = Value> {
    let few = || prop_oneof![Just(0i64), Just(-1), -3i64..3, -99_999i64..99_999];
    let fractions = || prop_oneof![few().prop_map(|value| value as f64 / 8.0), Just(-0.0f64)];
    let numbers = (any::<bool>(), any::<Option<i8>>(), any::<Option<i16>>(), fractions(), fractions(), few(), few(), few());
    let rest = (0i32..20_000, 0i64..1_000_000_000_000_000, proptest::collection::vec(any::<u8>(), 0..40));
    or_null((numbers, rest).prop_map(|((flag, byte, short, float, double, price, sum, huge), (day, time, bytes))| {
        let day = chrono::DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap().date_naive().to_string();
        let time = chrono::DateTime::from_timestamp_micros(time).unwrap().to_rfc3339();
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({"flag": flag, "byte": byte, "short": short, "float": float, "double": double, "price": price, "sum": sum, "huge": huge,
               "day": day, "time": time, "bytes": bytes})
    }))
}

fn row() -> impl Strategy<Value = Value> {
    let parts = or_null((part(), text()).prop_map(|(part, name)| json!({"part": part, "name": name})));
    let row = (text(), any::<Option<i32>>(), parts, many(part()), many(many(text())), entries(text()), entries(part()), ".{0,9}");
    (row, many(other()), other()).prop_map(|((text, number, parts, items, lists, texts, by_name, always), others, other)| {
        json!({"text": text, "number": number, "parts": parts, "items": items, "lists": lists, "texts": texts, "by_name": by_name,
               "always": always, "others": others, "other": other})
    })
}

fn batch(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = arrow::json::ReaderBuilder::new(schema.clone()).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(schema.clone()))
}

fn small() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).unwrap()))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(None)
        .set_statistics_truncate_length(Some(11))
        .set_column_index_truncate_length(Some(9))
}

/// The file that this encoder makes of some batches.
fn ours(schema: &SchemaRef, batches: &[RecordBatch], properties: WriterProperties) -> Bytes {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut encoder = Encoder::new(schema.clone(), properties, 2).unwrap();
    runtime.block_on(async {
        for batch in batches {
            encoder.write(batch).await.unwrap();
        }
        encoder.finish().await.unwrap();
    });
    encoder.take().unwrap().concat().into()
}

fn theirs(schema: &SchemaRef, batches: &[RecordBatch], properties: WriterProperties) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).unwrap();
    batches.iter().for_each(|batch| writer.write(batch).unwrap());
    writer.into_inner().unwrap().into()
}

fn rows_of(schema: &SchemaRef, file: &Bytes) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file.clone()).unwrap();
    let batches: Vec<RecordBatch> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
    let read = arrow::compute::concat_batches(&batches.first().map_or(schema.clone(), RecordBatch::schema), &batches).unwrap();
    RecordBatch::try_new(schema.clone(), read.columns().to_vec()).unwrap()
}

fn about(file: &Bytes) -> ParquetMetaData {
    let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(false);
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).with_metadata_options(Some(options));
    reader.parse_and_finish(file).unwrap()
}

/// What is known about the chunks of both files is the same, and about the pages where they are the same.
fn compare_chunks(ours: &ParquetMetaData, theirs: &ParquetMetaData, same_pages: bool) {
    assert_eq!(ours.num_row_groups(), theirs.num_row_groups());
    for (group, (our_group, their_group)) in ours.row_groups().iter().zip(theirs.row_groups()).enumerate() {
        assert_eq!(our_group.num_rows(), their_group.num_rows());
        for (leaf, (our_chunk, their_chunk)) in our_group.columns().iter().zip(their_group.columns()).enumerate() {
            let name = our_chunk.column_path().string();
            assert_eq!(our_chunk.column_path(), their_chunk.column_path());
            assert_eq!(our_chunk.statistics(), their_chunk.statistics(), "{name}");
            assert_eq!(our_chunk.num_values(), their_chunk.num_values(), "{name}");
            assert_eq!(our_chunk.compression_codec(), their_chunk.compression_codec(), "{name}");
            assert_eq!(our_chunk.unencoded_byte_array_data_bytes(), their_chunk.unencoded_byte_array_data_bytes(), "{name}");
            assert_eq!(our_chunk.definition_level_histogram(), their_chunk.definition_level_histogram(), "{name}");
            assert_eq!(our_chunk.repetition_level_histogram(), their_chunk.repetition_level_histogram(), "{name}");
            // In lists the library takes rows for places, and may call a page with values one without.
            if same_pages && our_chunk.column_descr().max_rep_level() == 0 {
                assert_eq!(our_chunk.page_encoding_stats(), their_chunk.page_encoding_stats(), "{name}");
                assert_eq!(our_chunk.encodings_mask(), their_chunk.encodings_mask(), "{name}");
                assert_eq!(ours.column_index().unwrap()[group][leaf], theirs.column_index().unwrap()[group][leaf], "{name}");
                let pages = |about: &ParquetMetaData| {
                    let index = &about.offset_index().unwrap()[group][leaf];
                    let rows: Vec<i64> = index.page_locations().iter().map(|page| page.first_row_index).collect();
                    (rows, index.unencoded_byte_array_data_bytes().cloned())
                };
                assert_eq!(pages(ours), pages(theirs), "{name}");
            }
        }
    }
}

/// The pages of the first column have the rows, the nulls and the bounds that the index says.
fn check_pages(about: &ParquetMetaData, rows: &RecordBatch) {
    let texts = rows.column(0).as_string::<i32>();
    let mut begin = 0;
    for (group, row_group) in about.row_groups().iter().enumerate() {
        let (index, offsets) = (&about.column_index().unwrap()[group][0], &about.offset_index().unwrap()[group][0]);
        let firsts: Vec<i64> = offsets.page_locations().iter().map(|page| page.first_row_index).collect();
        for (page, first) in firsts.iter().enumerate() {
            let end = firsts.get(page + 1).copied().unwrap_or(row_group.num_rows());
            let texts = texts.slice(begin + *first as usize, (end - first) as usize);
            let values: Vec<&str> = texts.iter().flatten().collect();
            assert_eq!(index.null_count(page), Some(texts.null_count() as i64));
            assert_eq!(index.is_null_page(page), values.is_empty());
            let parquet::file::page_index::column_index::ColumnIndexMetaData::BYTE_ARRAY(index) = index else { panic!() };
            let bounds = (index.min_value(page), index.max_value(page));
            let least = values.iter().min().map(|end| bounds::shorter_least(end.as_bytes(), Some(9), bounds::Cut::Text).0);
            let greatest = values.iter().max().map(|end| bounds::shorter_greatest(end.as_bytes(), Some(9), bounds::Cut::Text).0);
            assert_eq!(bounds, (least.as_deref(), greatest.as_deref()));
        }
        begin += row_group.num_rows() as usize;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn rows_and_statistics_are_those_of_the_library(rows in proptest::collection::vec(row(), 1..60), snappy in any::<bool>()) {
        let schema = schema();
        // A batch is a page, so that the library's are the same ones.
        let batches: Vec<RecordBatch> = rows.chunks(8).map(|rows| batch(&schema, rows)).collect();
        let properties = || match snappy {
            true => small().set_compression(Compression::SNAPPY).set_data_page_row_count_limit(8).build(),
            false => small().set_data_page_row_count_limit(8).build(),
        };
        let (ours, theirs) = (ours(&schema, &batches, properties()), theirs(&schema, &batches, properties()));
        prop_assert_eq!(rows_of(&schema, &ours), rows_of(&schema, &theirs));
        compare_chunks(&about(&ours), &about(&theirs), true);
    }

    #[test]
    fn small_pages_and_dictionaries_hold_the_same_rows(
        rows in proptest::collection::vec(row(), 1..60),
        size in 1usize..20,
        page_rows in 1usize..20,
        (page, dictionary, row_group) in (1usize..300, 1usize..300, 200usize..20_000),
        runs in proptest::collection::vec(0usize..20, 0..12),
    ) {
        let schema = schema();
        let batches: Vec<RecordBatch> = rows.chunks(size).map(|rows| batch(&schema, rows)).collect();
        let limits = || small().set_data_page_row_count_limit(page_rows).set_data_page_size_limit(page)
            .set_dictionary_page_size_limit(dictionary);
        let all = arrow::compute::concat_batches(&schema, &batches).unwrap();
        let file = ours(&schema, &batches, limits().set_max_row_group_bytes(Some(row_group)).build());
        prop_assert_eq!(&rows_of(&schema, &file), &all);
        check_pages(&about(&file), &all);
        index::check(&file, &all);
        index::check_selection(&file, &all, &runs);
        let file = ours(&schema, &batches, limits().set_max_row_group_bytes(None).build());
        check_pages(&about(&file), &all);
        index::check(&file, &all);
        index::check_selection(&file, &all, &runs);
        compare_chunks(&about(&file), &about(&theirs(&schema, &batches, limits().build())), false);
    }
}

#[test]
fn a_full_dictionary_is_kept_and_plain_pages_follow() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("text", DataType::Utf8)]));
    let rows: Vec<Value> = (0..100).map(|i| json!({"text": format!("the text with number {}", i / 2)})).collect();
    let batches = [batch(&schema, &rows)];
    let file = ours(&schema, &batches, small().set_dictionary_page_size_limit(500).build());
    assert_eq!(rows_of(&schema, &file), batches[0]);
    let chunk = about(&file).row_group(0).column(0).clone();
    let pages: Vec<(Encoding, i32)> = chunk.page_encoding_stats().unwrap().iter().map(|stat| (stat.encoding, stat.count)).collect();
    assert_eq!(pages, [(Encoding::PLAIN, 1), (Encoding::RLE_DICTIONARY, 1), (Encoding::PLAIN, 1)]);
    assert!(chunk.dictionary_page_offset().unwrap() < chunk.data_page_offset());
}

#[test]
fn a_column_of_nulls_and_a_slice_of_a_batch_are_written() {
    let schema = schema();
    let nothing = json!({"always": ""});
    let rows: Vec<Value> =
        (0..20).map(|i| if i == 19 { json!({"always": "x", "items": [{"text": "y"}]}) } else { nothing.clone() }).collect();
    let batches = [batch(&schema, &rows).slice(3, 10), batch(&schema, &rows).slice(10, 10)];
    let file = ours(&schema, &batches, small().build());
    assert_eq!(rows_of(&schema, &file), arrow::compute::concat_batches(&schema, &batches).unwrap());
    compare_chunks(&about(&file), &about(&theirs(&schema, &batches, small().build())), false);
}

#[test]
fn what_is_no_number_is_not_in_the_statistics() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("double", DataType::Float64)]));
    let column = |values: Vec<f64>| vec![Arc::new(arrow::array::Float64Array::from(values)) as arrow::array::ArrayRef];
    for (values, ends) in [
        (vec![f64::NAN, 1.0, -0.0, f64::NAN], Some((-0.0f64, 1.0f64))),
        (vec![0.0, f64::NAN], Some((-0.0, 0.0))),
        (vec![f64::NAN, f64::NAN], None),
    ] {
        let batches = [RecordBatch::try_new(schema.clone(), column(values)).unwrap()];
        for sparing in [false, true] {
            let properties = || small().set_dictionary_enabled(!sparing).build();
            let (ours, theirs) = (ours(&schema, &batches, properties()), theirs(&schema, &batches, properties()));
            let (ours, theirs) = (about(&ours), about(&theirs));
            compare_chunks(&ours, &theirs, true);
            let statistics = ours.row_group(0).column(0).statistics().unwrap();
            let bits = |bytes: Option<&[u8]>| bytes.map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()).to_bits());
            assert_eq!(
                bits(statistics.min_bytes_opt()).zip(bits(statistics.max_bytes_opt())),
                ends.map(|(a, b)| (a.to_bits(), b.to_bits()))
            );
        }
    }
}

#[tokio::test]
async fn a_batch_of_other_columns_is_refused() {
    let (schema, other) = (schema(), Arc::new(Schema::new(vec![field("text", DataType::Utf8)])));
    let mut encoder = Encoder::new(schema, small().build(), 1).unwrap();
    let refused = encoder.write(&batch(&other, &[json!({"text": "a"})])).await.unwrap_err();
    assert!(refused.to_string().contains("a batch has other columns than its file"), "{refused}");
}

#[test]
fn the_file_says_whether_a_column_may_be_null() {
    let schema = |nullable| -> SchemaRef {
        let texts = DataType::List(Arc::new(field("element", DataType::Utf8)));
        Arc::new(Schema::new(vec![
            Field::new("text", DataType::Utf8, nullable),
            Field::new("number", DataType::Int64, nullable),
            Field::new("texts", texts, nullable),
        ]))
    };
    let full = [json!({"text": "a", "number": 1, "texts": ["b", null]}), json!({"text": "", "number": 2, "texts": []})];
    let empty = [json!({"text": "c", "number": 3, "texts": ["d"]}), json!({})];
    for (file, batches) in [
        (schema(true), vec![batch(&schema(false), &full), batch(&schema(true), &empty), batch(&schema(false), &full)]),
        (schema(false), vec![batch(&schema(true), &full), batch(&schema(false), &full)]),
    ] {
        let written = ours(&file, &batches, small().build());
        let of_file = |batch: &RecordBatch| RecordBatch::try_new(file.clone(), batch.columns().to_vec()).unwrap();
        let all = arrow::compute::concat_batches(&file, &batches.iter().map(of_file).collect::<Vec<_>>()).unwrap();
        assert_eq!(rows_of(&file, &written), all);
        compare_chunks(&about(&written), &about(&theirs(&file, &[all], small().build())), false);
    }
    let mut encoder = Encoder::new(schema(false), small().build(), 1).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(encoder.write(&batch(&schema(true), &empty))).unwrap_err();
    assert!(refused.to_string().contains("'text' is declared as non-nullable but contains null values"), "{refused}");
}

#[test]
fn types_that_cannot_be_encoded_are_refused_before_any_row() {
    let item = || Arc::new(field("element", DataType::Utf8));
    let deep = |structs: usize| (0..structs).fold(DataType::Utf8, |inner, _| DataType::Struct(vec![field("inner", inner)].into()));
    let cases = [
        (deep(253), None),
        (deep(254), Some("column \"column\" has more than")),
        (list(list(DataType::Int32)), None),
        (DataType::LargeList(item()), Some("lakebed does not write the type of \"column\"")),
        (list(DataType::FixedSizeList(item(), 2)), Some("lakebed does not write the type of \"element\"")),
    ];
    for (data_type, expected) in cases {
        let schema: SchemaRef = Arc::new(Schema::new(vec![field("column", data_type.clone())]));
        let refused = Encoder::new(schema.clone(), small().build(), 1).err().map(|e| e.to_string());
        let as_expected = match expected {
            None => refused.is_none(),
            Some(reason) => refused.as_ref().is_some_and(|e| e.contains(reason)),
        };
        assert!(as_expected, "{data_type:.80}: {refused:?}");
    }
}
