//! Files that are damaged, or made to do harm: an error each, and little memory.

use parquet::data_type::{Int32Type, Int96, Int96Type};
use parquet::file::properties::{WriterPropertiesPtr, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

fn small() -> Bytes {
    let columns = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..50)) as ArrayRef),
        ("name", Arc::new(StringArray::from_iter_values((0..50).map(|n| format!("name {}", n % 7))))),
    ];
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(20)).set_compression(Compression::SNAPPY).build();
    file_with(&batch(columns), properties)
}

#[track_caller]
fn refused(file: impl Into<Bytes>, says: &str) {
    let why = rows(file.into(), &plan("id bigint")).unwrap_err();
    assert!(why.contains(says), "{why}");
}

#[test]
fn what_is_no_parquet_is_an_error() {
    for file in [&b""[..], b"PAR1", b"{\"id\":1}", b"PAR1PAR1", b"PAR1 and no end of it", b"a text of some length that is not Parquet"] {
        refused(file, "it is not Parquet");
    }
    refused(&b"PAR1\0\0\0\0PAR1"[..], "footer is broken");
    refused(&b"PAR1\x09\0\0\0PAR1"[..], "footer is broken");
    refused(&b"PAR1\xff\xff\xff\x7fPAR1"[..], "its Parquet footer has 2147483647 bytes, more than 16777216");
    refused(&b"PAR1\0\0\0\0PARE"[..], "encrypted");
}

#[test]
fn a_file_that_is_cut_is_an_error() {
    let whole = small();
    let plan = plan("id bigint, name string");
    assert_eq!(rows(whole.clone(), &plan).unwrap().len(), 50);
    for length in 0..whole.len() {
        rows(whole.slice(..length), &plan).unwrap_err();
    }
}

#[test]
fn a_changed_footer_is_an_error_or_other_rows_and_never_a_panic() {
    let whole = small();
    let tail = &whole[whole.len() - 8..];
    let footer = whole.len() - 8 - u32::from_le_bytes(tail[..4].try_into().unwrap()) as usize;
    let plan = plan("id bigint, name string");
    for at in footer..whole.len() {
        for flip in [0x01, 0x04, 0x40, 0x80, 0xff] {
            let mut changed = whole.to_vec();
            changed[at] ^= flip;
            let _ = rows(changed.into(), &plan);
        }
    }
}

#[test]
fn a_damaged_page_costs_the_rows_behind_it() {
    let mut bytes = small().to_vec();
    let at = bytes.len() / 2;
    bytes[at..at + 8].fill(0xff);
    let plan = plan("id bigint, name string");
    let errors: Vec<String> = match ColumnarObject::open(Bytes::from(bytes), &plan, LIMIT) {
        Ok(object) => object.filter_map(Result::err).collect(),
        Err(why) => vec![why],
    };
    assert_eq!(errors.len(), 1, "{errors:?}");
}

/// Thrift's compact protocol, as far as a footer needs it.
fn footer(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0x15, 2, 0x19, 0xfc];
    let mut count = elements.len();
    while count >= 0x80 {
        out.push((count & 0x7f) as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
    out.extend(elements.concat());
    // No rows, no row groups, the end.
    out.extend([0x16, 0, 0x19, 0x0c, 0]);
    let length = u32::try_from(out.len()).unwrap();
    [b"PAR1".to_vec(), out, length.to_le_bytes().to_vec(), b"PAR1".to_vec()].concat()
}

/// A group of one child; its repetition is optional.
fn group() -> Vec<u8> {
    vec![0x35, 2, 0x18, 1, b'a', 0x15, 2, 0]
}

#[test]
fn types_may_not_nest_without_end() {
    let leaf = vec![0x15, 2, 0x25, 2, 0x18, 1, b'a', 0];
    let nested = |depth: usize| [vec![group(); depth], vec![leaf.clone()]].concat();
    refused(footer(&nested(100_000)), "nest deeper than 128 levels");
    refused(footer(&nested(128)), "nest deeper than 128 levels");
    assert_eq!(rows(footer(&nested(100)).into(), &plan("id bigint")).unwrap(), Vec::<String>::new());
}

#[test]
fn a_row_group_may_not_be_larger_than_allowed_once_decompressed() {
    let zeros: ArrayRef = Arc::new(StringArray::from(vec!["0".repeat(4 << 20)]));
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default())).build();
    let file = file_with(&batch(vec![("id", zeros)]), properties);
    assert!(file.len() < 10_000);
    let why = ColumnarObject::open(file.clone(), &plan("id string"), 1 << 20).err().unwrap();
    assert!(
        why.contains("one of its row groups has") && why.ends_with("bytes decompressed, more than 1048576: raise [lake] memory"),
        "{why}"
    );
    assert!(ColumnarObject::open(file, &plan("id string"), 8 << 20).is_ok());
}

#[test]
fn elements_that_take_no_room_in_the_file_are_limited() {
    let count = 20_000_000;
    let items = ListArray::new(
        Arc::new(Field::new("item", DataType::Null, true)),
        OffsetBuffer::from_lengths([count]),
        Arc::new(NullArray::new(count)),
        None,
    );
    let file = file(vec![("id", Arc::new(items))]);
    assert!(file.len() < 1_000_000);
    refused(file, "claims 20000000 elements in");
}

#[test]
fn one_long_text_that_many_rows_share_takes_its_memory_once() {
    let text = "x".repeat(1 << 20);
    let keys = arrow::array::Int8Array::from(vec![0; 4096]);
    let shared: ArrayRef = Arc::new(DictionaryArray::<Int8Type>::new(keys, texts(&[&text])));
    let properties = WriterProperties::builder().set_dictionary_page_size_limit(8 << 20).build();
    let file = file_with(&batch(vec![("id", shared)]), properties);
    let object = ColumnarObject::open(file, &plan("id string"), LIMIT).unwrap();
    for batch in object {
        assert!(batch.unwrap().get_array_memory_size() < 16 << 20);
    }
}

fn written(message: &str, write: impl FnOnce(&mut SerializedFileWriter<&mut Vec<u8>>)) -> Bytes {
    let mut out = Vec::new();
    let properties: WriterPropertiesPtr = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut out, Arc::new(parse_message_type(message).unwrap()), properties).unwrap();
    write(&mut writer);
    writer.close().unwrap();
    out.into()
}

#[test]
fn int96_reaches_beyond_what_nanoseconds_hold() {
    let file = written("message m { required int96 t; }", |writer| {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        let time = |julian: u32, nanos: u64| {
            let mut value = Int96::new();
            value.set_data((nanos & 0xffff_ffff) as u32, (nanos >> 32) as u32, julian);
            value
        };
        // 9999-12-31, 0001-01-01 and 1970-01-01 with nanoseconds.
        let values = [time(5_373_484, 86_399_999_999_999), time(1_721_426, 0), time(2_440_588, 1_999)];
        column.typed::<Int96Type>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    });
    check(
        "t timestamp",
        file,
        &[r#"{"t":"9999-12-31T23:59:59.999999Z"}"#, r#"{"t":"0001-01-01T00:00:00Z"}"#, r#"{"t":"1970-01-01T00:00:00.000001Z"}"#],
    );
}

#[test]
fn types_that_cannot_be_read_are_named() {
    let interval = written("message m { optional fixed_len_byte_array(12) id (INTERVAL); }", |_| {});
    refused(interval, "its column id is an INTERVAL");
    let long = written("message m { optional fixed_len_byte_array(100000) id; }", |_| {});
    refused(long, "values of its column id have 100000 bytes each, more than 65536");
}

#[test]
fn fewer_rows_than_promised_are_noticed() {
    let file = written("message m { required int32 id; }", |writer| {
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int32Type>().write_batch(&[1, 2, 3], None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    });
    let mut more = file.to_vec();
    // The counts of the row group and of the file, as Thrift writes a 3.
    for (at, _) in file.windows(2).enumerate().skip(file.len() / 3).filter(|(_, pair)| *pair == [0x16, 6]) {
        more[at + 1] = 8;
    }
    let why = rows(more.into(), &plan("id bigint")).unwrap_err();
    assert!(why.contains("and its footer promises 4") || why.contains("damaged"), "{why}");
}

#[test]
fn a_page_of_gzip_may_not_hold_more_than_it_claims() {
    let zeros: ArrayRef = Arc::new(StringArray::from(vec!["0".repeat(4 << 20)]));
    for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
        let properties = WriterProperties::builder()
            .set_compression(Compression::GZIP(Default::default()))
            .set_dictionary_enabled(false)
            .set_writer_version(version)
            .build();
        let mut file = file_with(&batch(vec![("id", Arc::clone(&zeros))]), properties).to_vec();
        assert_eq!(rows(file.clone().into(), &plan("id string")).unwrap().len(), 1);
        // The size in the page's header is the only number of this length near the text's; 1 takes its place, as long.
        let varint = |size: u32| [0, 7, 14, 21].map(|shift| ((size * 2) >> shift) as u8 & 0x7F | u8::from(shift < 21) << 7);
        let at = (4u32 << 20..(4 << 20) + 100).find_map(|size| file[..60].windows(4).position(|bytes| bytes == varint(size)));
        file[at.unwrap()..][..4].copy_from_slice(&varint(1));
        let why = rows(file.into(), &plan("id string")).unwrap_err();
        assert_eq!(why, "a page of its column id holds more bytes than its header says", "{version:?}");
    }
}
