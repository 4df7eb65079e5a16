//! A finished file, page by page as it is stored, so that a page can go into another file without being unpacked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, CompressionCodec, Encoding, Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{
    ColumnChunkMetaData, LevelHistogram, PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader,
};
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::page_index::offset_index::OffsetIndexMetaData;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::About;
use super::codec::unpack;
use super::{ends, hybrid};

/// Rows of a batch that is decoded.
const AT_ONCE: usize = 1024;

/// Structs within structs of a page's header; the format has three.
const DEEPEST: usize = 8;

/// A file in memory, with all that its footer says.
#[derive(Debug, Clone)]
pub struct Stored {
    bytes: Bytes,
    metadata: ParquetMetaData,
}

impl Stored {
    /// The file of these bytes. It must be known to be as it was written: what is stored in it goes on unseen.
    ///
    /// # Errors
    /// It is no Parquet file, or does not say where its pages are and what is in them.
    pub fn new(bytes: Bytes) -> Result<Self> {
        let options = ParquetMetaDataOptions::new().with_encoding_stats_as_mask(true);
        let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Required).with_metadata_options(Some(options));
        let metadata = reader.parse_and_finish(&bytes)?;
        Ok(Self { bytes, metadata })
    }

    /// What its footer says.
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// Its rows.
    pub fn rows(&self) -> usize {
        usize::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// Its rows, decoded.
    ///
    /// # Errors
    /// It is not what it says.
    pub fn decoded(&self) -> Result<Vec<RecordBatch>> {
        let read = || -> Result<Vec<RecordBatch>> {
            let batches = ParquetRecordBatchReaderBuilder::try_new(self.bytes.clone())?.with_batch_size(AT_ONCE).build()?;
            Ok(batches.collect::<std::result::Result<Vec<_>, _>>()?)
        };
        // The library panics on some damaged pages.
        let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(ParquetError::General("a page is damaged".to_string())));
        let whole = |batches: &Vec<RecordBatch>| batches.iter().map(RecordBatch::num_rows).sum::<usize>() == self.rows();
        read.and_then(|batches| match whole(&batches) {
            true => Ok(batches),
            false => Err(ParquetError::General("it has not as many rows as it says".to_string())),
        })
    }

    /// Its bytes.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// True if its pages can go into a file with these leaves and that codec as they are: all leaves are the same ones, and no other than
    /// those of texts have dictionaries.
    pub fn fits(&self, leaves: &SchemaDescriptor, codec: Compression) -> bool {
        let own = self.metadata.file_metadata().schema_descr();
        let kind = |schema: &SchemaDescriptor, leaf: usize| {
            let column = schema.column(leaf);
            (column.physical_type(), column.type_length(), column.max_def_level(), column.max_rep_level(), column.sort_order())
        };
        let chunks = || self.metadata.row_groups().iter().flat_map(|group| group.columns());
        let is_plain = |chunk: &ColumnChunkMetaData| chunk.dictionary_page_offset().is_none() || chunk.column_type() == Type::BYTE_ARRAY;
        own.num_columns() == leaves.num_columns()
            && (0..own.num_columns()).all(|leaf| kind(own, leaf) == kind(leaves, leaf))
            && chunks().all(|chunk| chunk.compression_codec() == CompressionCodec::from(codec) && is_plain(chunk))
    }

    /// The chunks of a leaf, one of each row group.
    ///
    /// # Errors
    /// A chunk is not where the footer says.
    pub fn chunks(&self, leaf: usize) -> impl Iterator<Item = Result<StoredChunk<'_>>> {
        (0..self.metadata.num_row_groups()).map(move |group| self.chunk(group, leaf))
    }

    fn chunk(&self, group: usize, leaf: usize) -> Result<StoredChunk<'_>> {
        let row_group = self.metadata.row_group(group);
        let column = row_group.column(leaf);
        let (start, length) = column.byte_range();
        let range = usize::try_from(start).ok().zip(usize::try_from(start.saturating_add(length)).ok());
        let (start, end) = range.filter(|(_, end)| *end <= self.bytes.len()).ok_or_else(|| broken(column, "is not in the file"))?;
        let index = self.metadata.column_index().map(|index| &index[group][leaf]);
        let places = self.metadata.offset_index().map(|index| &index[group][leaf]);
        let (index, places) = index.zip(places).ok_or_else(|| broken(column, "has no index"))?;
        Ok(StoredChunk { column, bytes: self.bytes.slice(start..end), rows: row_group.num_rows(), index, places })
    }
}

/// One leaf of one row group.
pub struct StoredChunk<'f> {
    column: &'f ColumnChunkMetaData,
    bytes: Bytes,
    rows: i64,
    index: &'f ColumnIndexMetaData,
    places: &'f OffsetIndexMetaData,
}

/// A page.
pub struct StoredPage {
    /// Its header and what is behind it.
    pub bytes: Bytes,
    /// Bytes of the header.
    header: usize,
    /// Bytes of what is behind the header, before it was compressed.
    pub body: usize,
    /// What is known about it.
    pub about: About,
}

impl StoredPage {
    /// Bytes of what is behind the header.
    pub fn packed(&self) -> usize {
        self.bytes.len() - self.header
    }

    /// What is behind the header, unpacked.
    ///
    /// # Errors
    /// It is not what the header says.
    pub fn unpacked(&self, codec: Compression) -> Result<Vec<u8>> {
        unpack(codec, &self.bytes[self.header..], self.body)
    }
}

impl StoredChunk<'_> {
    /// What the footer says of it.
    pub fn column(&self) -> &ColumnChunkMetaData {
        self.column
    }

    /// True if the column index says what is in its pages; else its statistics say it of all of them.
    pub fn is_indexed(&self) -> bool {
        !matches!(self.index, ColumnIndexMetaData::NONE)
    }

    /// The page of its dictionary, if it has one, and its pages of data.
    ///
    /// # Errors
    /// A page is none of version 1, or not what the indexes say.
    pub fn pages(&self) -> Result<(Option<StoredPage>, Vec<StoredPage>)> {
        let (mut dictionary, mut pages, mut at) = (None, Vec::new(), 0);
        while at < self.bytes.len() {
            let header = header(&self.bytes[at..]).ok_or_else(|| broken(self.column, "has a page without a header"))?;
            let end = at.checked_add(header.length).and_then(|end| end.checked_add(header.compressed));
            let end = end.filter(|end| *end <= self.bytes.len()).ok_or_else(|| broken(self.column, "ends within a page"))?;
            let bytes = self.bytes.slice(at..end);
            at = end;
            let page = |about| StoredPage { bytes, header: header.length, body: header.uncompressed, about };
            match header.kind {
                DATA => pages.push(page(self.about(&header, pages.len())?)),
                DICTIONARY if pages.is_empty() && dictionary.is_none() => {
                    dictionary = Some(page(About::new(header.encoding()?, header.values)))
                }
                _ => return Err(broken(self.column, "has a page of another version")),
            }
        }
        if pages.len() != self.places.page_locations().len() {
            return Err(broken(self.column, "has not as many pages as its index"));
        }
        Ok((dictionary, pages))
    }

    /// What is known about data page number `page`.
    fn about(&self, header: &Header, page: usize) -> Result<About> {
        let locations = self.places.page_locations();
        let first = locations.get(page).ok_or_else(|| broken(self.column, "has more pages than its index"))?.first_row_index;
        let next = locations.get(page + 1).map_or(self.rows, |next| next.first_row_index);
        // The library panics if it is asked of the index that there is none.
        let index = Some(self.index).filter(|_| self.is_indexed());
        let histogram = |found: &[i64]| (!found.is_empty()).then(|| LevelHistogram::from(found.to_vec()));
        let text_bytes = self.places.unencoded_byte_array_data_bytes().and_then(|all| all.get(page));
        let number = |count: i64| usize::try_from(count).map_err(|_| broken(self.column, "has an index without sense"));
        Ok(About {
            rows: number(next - first)?,
            nulls: index.and_then(|index| index.null_count(page)).map(number).transpose()?,
            text_bytes: text_bytes.map(|bytes| number(*bytes)).transpose()?,
            ends: ends::of_page(self.index, page),
            repetition: index.and_then(|index| index.repetition_level_histogram(page)).and_then(histogram),
            definition: index.and_then(|index| index.definition_level_histogram(page)).and_then(histogram),
            ..About::new(header.encoding()?, header.values)
        })
    }
}

/// A column is not what its file says.
pub fn broken(column: &ColumnChunkMetaData, what: &str) -> ParquetError {
    ParquetError::General(format!("column {} {what}", column.column_path()))
}

/// Kinds of pages (`PageType` of the format).
const DATA: u64 = 0;
const DICTIONARY: u64 = 2;

/// The header of a page (`PageHeader` of the format).
#[derive(Debug, PartialEq)]
struct Header {
    length: usize,
    kind: u64,
    uncompressed: usize,
    compressed: usize,
    values: usize,
    encoding: u64,
}

impl Header {
    fn encoding(&self) -> Result<Encoding> {
        match self.encoding {
            0 => Ok(Encoding::PLAIN),
            3 => Ok(Encoding::RLE),
            8 => Ok(Encoding::RLE_DICTIONARY),
            other => Err(ParquetError::General(format!("lakebed writes no pages of encoding {other}"))),
        }
    }
}

/// Reads a header: a struct in the compact protocol of Thrift.
fn header(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes;
    let (mut kind, mut uncompressed, mut compressed, mut of_page) = (None, None, None, None);
    fields(&mut rest, &mut |id, field, rest| {
        match (id, field) {
            (1, INTEGER) => kind = Some(integer(rest)?),
            (2, INTEGER) => uncompressed = Some(integer(rest)?),
            (3, INTEGER) => compressed = Some(integer(rest)?),
            (5 | 7, STRUCT) => of_page = Some(of_values(rest)?),
            _ => skip(field, rest, DEEPEST)?,
        }
        Some(())
    })?;
    let (values, encoding) = of_page?;
    let size = |size: u64| usize::try_from(size).ok();
    let (uncompressed, compressed, values) = (size(uncompressed?)?, size(compressed?)?, size(values)?);
    Some(Header { length: bytes.len() - rest.len(), kind: kind?, uncompressed, compressed, values, encoding })
}

/// The number of values and the encoding of a page of data or a dictionary.
fn of_values(rest: &mut &[u8]) -> Option<(u64, u64)> {
    let (mut values, mut encoding) = (None, None);
    fields(rest, &mut |id, field, rest| {
        match (id, field) {
            (1, INTEGER) => values = Some(integer(rest)?),
            (2, INTEGER) => encoding = Some(integer(rest)?),
            _ => skip(field, rest, DEEPEST)?,
        }
        Some(())
    })?;
    Some((values?, encoding?))
}

/// Types of fields in the compact protocol.
const INTEGER: u8 = 5;
const STRUCT: u8 = 12;

/// Takes the value of a field, given its number and its type, from the front.
type Take<'t> = &'t mut dyn FnMut(u64, u8, &mut &[u8]) -> Option<()>;

/// Hands each field of a struct on.
fn fields(rest: &mut &[u8], take: Take<'_>) -> Option<()> {
    let mut last = 0;
    loop {
        let byte = *rest.split_off_first()?;
        if byte == 0 {
            return Some(());
        }
        last = if byte >> 4 == 0 { integer(rest)? } else { last + u64::from(byte >> 4) };
        take(last, byte & 0x0f, rest)?;
    }
}

/// A number that is not negative.
fn integer(rest: &mut &[u8]) -> Option<u64> {
    hybrid::varint(rest).filter(|raw| raw & 1 == 0).map(|raw| raw >> 1)
}

fn skip(field: u8, rest: &mut &[u8], deepest: usize) -> Option<()> {
    match field {
        1 | 2 => Some(()),
        3 => rest.split_off_first().map(|_| ()),
        4..=6 => hybrid::varint(rest).map(|_| ()),
        7 => rest.split_off(..8).map(|_| ()),
        8 => {
            let length = usize::try_from(hybrid::varint(rest)?).ok()?;
            rest.split_off(..length).map(|_| ())
        }
        STRUCT if deepest > 0 => fields(rest, &mut |_, field, rest| skip(field, rest, deepest - 1)),
        // Lists, sets and maps are in no header.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A data page of 300 values, 4 bytes that were 1000, with a checksum and with statistics.
    const PAGE: [u8; 32] = [
        0x15, 0, 0x15, 0xd0, 0x0f, 0x15, 8, 0x15, 7, 0x1c, 0x15, 0xd8, 0x04, 0x15, 16, 0x15, 6, 0x15, 6, 0x1c, 0x38, 2, b'a', b'b', 0x16,
        1, 0x11, 0, 0, 0, 0xaa, 0xbb,
    ];

    #[test]
    fn headers_are_read_whatever_else_is_in_them() {
        let expected = Header { length: 30, kind: DATA, uncompressed: 1000, compressed: 4, values: 300, encoding: 8 };
        assert_eq!(header(&PAGE), Some(expected));
        for end in 0..30 {
            assert_eq!(header(&PAGE[..end]), None, "{end} bytes");
        }
        let deep: Vec<u8> = [0x1c].into_iter().cycle().take(100_000).collect();
        assert_eq!(header(&deep), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_header_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(header(&bytes).is_none_or(|header| header.length <= bytes.len()));
        }
    }
}
