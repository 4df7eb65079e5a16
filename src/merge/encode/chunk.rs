//! A column's pages and what is known about them, up to the chunk of a row group.

use std::cell::RefCell;
use std::io::Read;

use bytes::{Buf, Bytes};
use parquet::basic::{Compression, Encoding, EncodingMask, PageType};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::bounds::{Bounds, Order, shorter_greatest, shorter_least};

/// Bytes of a page's header, about.
const HEADER: usize = 64;

/// A page before it is compressed.
pub struct Filled<'b> {
    /// Levels and values, as they are stored.
    pub body: &'b [u8],
    /// How the values are encoded.
    pub encoding: Encoding,
    /// Its slots, and how many of them have no value.
    pub slots: usize,
    /// See `slots`.
    pub nulls: usize,
    /// Its rows.
    pub rows: usize,
    /// Bytes of its texts.
    pub text_bytes: usize,
    /// Its least and greatest text.
    pub bounds: Bounds,
    /// How often each level occurs; `None` if there is only one.
    pub repetition: Option<LevelHistogram>,
    /// See `repetition`.
    pub definition: Option<LevelHistogram>,
}

/// A finished column of a row group.
pub struct Closed {
    /// Its pages.
    pub pages: Pages,
    /// What is known about them; offsets are from the first page on.
    pub result: ColumnCloseResult,
}

/// Pages one after the other, that of the dictionary first.
pub struct Pages(Vec<Bytes>);

impl Length for Pages {
    fn len(&self) -> u64 {
        self.0.iter().map(|page| page.len() as u64).sum()
    }
}

impl ChunkReader for Pages {
    type T = Rest;

    fn get_read(&self, start: u64) -> Result<Rest> {
        let mut rest = Rest { page: Bytes::new(), pages: self.0.clone().into_iter() };
        std::io::copy(&mut rest.by_ref().take(start), &mut std::io::sink())?;
        Ok(rest)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let mut bytes = Vec::with_capacity(length);
        self.get_read(start)?.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// What of the pages was not read yet.
pub struct Rest {
    page: Bytes,
    pages: std::vec::IntoIter<Bytes>,
}

impl Read for Rest {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        while self.page.is_empty() {
            match self.pages.next() {
                Some(page) => self.page = page,
                None => return Ok(0),
            }
        }
        let length = out.len().min(self.page.len());
        self.page.copy_to_slice(&mut out[..length]);
        Ok(length)
    }
}

/// The pages of a column of texts.
pub struct Chunk {
    column: ColumnDescPtr,
    properties: WriterPropertiesPtr,
    codec: Compression,
    /// The pages as they are stored.
    pages: Vec<Vec<u8>>,
    encodings: Vec<Encoding>,
    /// Bytes of the pages, as they are stored and before they were compressed.
    size: usize,
    uncompressed: usize,
    slots: usize,
    rows: usize,
    nulls: usize,
    text_bytes: usize,
    bounds: Bounds,
    order: Order,
    repetition: Option<LevelHistogram>,
    definition: Option<LevelHistogram>,
    column_index: ColumnIndexBuilder,
    offset_index: OffsetIndexBuilder,
}

impl Chunk {
    /// Without pages.
    pub fn new(column: ColumnDescPtr, properties: WriterPropertiesPtr) -> Self {
        let (repetition, definition) = (column.max_rep_level(), column.max_def_level());
        Self {
            codec: properties.compression(column.path()),
            pages: Vec::new(),
            encodings: Vec::new(),
            size: 0,
            uncompressed: 0,
            slots: 0,
            rows: 0,
            nulls: 0,
            text_bytes: 0,
            bounds: Bounds::default(),
            order: Order::default(),
            repetition: LevelHistogram::try_new(repetition),
            definition: LevelHistogram::try_new(definition),
            column_index: ColumnIndexBuilder::new(column.physical_type()),
            offset_index: OffsetIndexBuilder::new(),
            column,
            properties,
        }
    }

    /// Bytes of its pages.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Appends a page.
    ///
    /// # Errors
    /// The page has more slots or bytes than its header can say, or the codec is none that lakebed writes.
    pub fn push(&mut self, page: Filled<'_>) -> Result<()> {
        let slots = i32::try_from(page.slots).map_err(|_| too_large(page.slots, "places"))?;
        self.rows += page.rows;
        self.nulls += page.nulls;
        self.text_bytes += page.text_bytes;
        let most = self.properties.column_index_truncate_length();
        let (least, greatest) = match page.bounds.ends() {
            Some((least, greatest)) => {
                self.bounds.note(least);
                self.bounds.note(greatest);
                self.order.note(least, greatest);
                (shorter_least(least, most).0, shorter_greatest(greatest, most).0)
            }
            None => (Vec::new(), Vec::new()),
        };
        self.column_index.append(page.bounds.ends().is_none(), least, greatest, page.nulls as i64);
        self.column_index.append_histograms(&page.repetition, &page.definition);
        self.offset_index.append_row_count(page.rows as i64);
        self.offset_index.append_unencoded_byte_array_data_bytes(Some(page.text_bytes as i64));
        for (all, some) in [(&mut self.repetition, &page.repetition), (&mut self.definition, &page.definition)] {
            if let (Some(all), Some(some)) = (all, some) {
                all.add(some);
            }
        }
        let data_page = |buf| Page::DataPage {
            buf,
            num_values: slots.unsigned_abs(),
            encoding: page.encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        self.slots += page.slots;
        self.encodings.push(page.encoding);
        let stored = self.store(page.body, data_page)?;
        self.pages.push(stored);
        Ok(())
    }

    /// A page with its header, compressed.
    fn store(&mut self, body: &[u8], page: impl FnOnce(Bytes) -> Page) -> Result<Vec<u8>> {
        let buf = compress(self.codec, body)?;
        let mut sink = TrackedWrite::new(Vec::with_capacity(buf.len() + HEADER));
        let spec = SerializedPageWriter::new(&mut sink).write_page(CompressedPage::new(page(buf), body.len()))?;
        self.size += spec.compressed_size;
        self.uncompressed += spec.uncompressed_size;
        sink.into_inner()
    }

    /// The finished column, with the page of its dictionary and how many texts that has.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn close(mut self, dictionary: &[u8], texts: usize) -> Result<Closed> {
        let encoding = self.properties.dictionary_page_encoding();
        let page = |buf| Page::DictionaryPage { buf, num_values: texts as u32, encoding, is_sorted: false };
        let first = self.store(dictionary, page)?;
        let mut at = first.len() as i64;
        let data_at = at;
        for page in &self.pages {
            let length = i32::try_from(page.len()).map_err(|_| too_large(page.len(), "bytes"))?;
            self.offset_index.append_offset_and_size(at, length);
            at += page.len() as i64;
        }
        let mut stats = vec![PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding, count: 1 }];
        let same = self.encodings.chunk_by(|a, b| a == b);
        stats.extend(same.map(|run| PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: run[0], count: run.len() as i32 }));
        let encodings = [Encoding::RLE, encoding].into_iter().chain(self.encodings.iter().copied()).collect::<Vec<_>>();
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(self.codec)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(self.size as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.slots as i64)
            .set_data_page_offset(data_at)
            .set_dictionary_page_offset(Some(0))
            .set_statistics(self.statistics())
            .set_unencoded_byte_array_data_bytes(Some(self.text_bytes as i64))
            .set_repetition_level_histogram(self.repetition)
            .set_definition_level_histogram(self.definition)
            .build()?;
        self.column_index.set_boundary_order(self.order.boundary_order());
        let result = ColumnCloseResult {
            bytes_written: self.size as u64,
            rows_written: self.rows as u64,
            bloom_filter: None,
            metadata,
            column_index: Some(self.column_index.build()?),
            offset_index: Some(self.offset_index.build()),
        };
        Ok(Closed { pages: Pages(std::iter::once(first).chain(self.pages).map(Bytes::from).collect()), result })
    }

    fn statistics(&self) -> Statistics {
        let nulls = Some(self.nulls as u64);
        let Some((least, greatest)) = self.bounds.ends() else {
            return Statistics::ByteArray(ValueStatistics::new(None, None, None, nulls, false));
        };
        let most = self.properties.statistics_truncate_length();
        let ((least, least_cut), (greatest, greatest_cut)) = (shorter_least(least, most), shorter_greatest(greatest, most));
        let bounds = ValueStatistics::new(Some(ByteArray::from(least)), Some(ByteArray::from(greatest)), None, nulls, false);
        Statistics::ByteArray(bounds.with_min_is_exact(!least_cut).with_max_is_exact(!greatest_cut))
    }
}

/// A row is never parted, so that a page has as much as its largest row.
fn too_large(count: usize, what: &str) -> ParquetError {
    ParquetError::General(format!("a page of {count} {what} is more than Parquet can hold: split the record with the longest lists"))
}

thread_local! {
    /// What zstd needs for its work, and room for what comes out: more than a page.
    static ZSTD: RefCell<Option<(zstd::bulk::Compressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

fn compress(codec: Compression, body: &[u8]) -> Result<Bytes> {
    let failed = |e: String| ParquetError::General(format!("cannot compress a page: {e}"));
    match codec {
        Compression::ZSTD(level) => ZSTD
            .with_borrow_mut(|zstd| {
                let (zstd, out) = match zstd {
                    Some(zstd) => zstd,
                    none => none.insert((zstd::bulk::Compressor::new(0)?, Vec::new())),
                };
                zstd.set_compression_level(level.compression_level())?;
                out.clear();
                out.reserve(zstd::zstd_safe::compress_bound(body.len()));
                zstd.compress_to_buffer(body, out)?;
                Ok(Bytes::copy_from_slice(out))
            })
            .map_err(|e: std::io::Error| failed(e.to_string())),
        Compression::SNAPPY => snap::raw::Encoder::new().compress_vec(body).map(Bytes::from).map_err(|e| failed(e.to_string())),
        other => Err(failed(format!("lakebed writes no {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};
    use parquet::arrow::ArrowSchemaConverter;
    use parquet::file::properties::WriterProperties;

    use super::*;

    #[test]
    fn a_page_of_more_slots_than_its_header_can_say_is_refused() {
        let schema = ArrowSchemaConverter::new().convert(&Schema::new(vec![Field::new("text", DataType::Utf8, true)])).unwrap();
        let pages = [(i32::MAX as usize, true), (i32::MAX as usize + 1, false)];
        for (slots, fits) in pages {
            let mut chunk =
                Chunk::new(schema.column(0), Arc::new(WriterProperties::builder().set_compression(Compression::SNAPPY).build()));
            let (bounds, encoding) = (Bounds::default(), Encoding::PLAIN);
            let page =
                Filled { body: &[], encoding, slots, nulls: slots, rows: 1, text_bytes: 0, bounds, repetition: None, definition: None };
            let pushed = chunk.push(page).map_err(|e| e.to_string());
            assert_eq!(pushed.is_ok(), fits, "{pushed:?}");
            assert!(fits || pushed.is_err_and(|e| e.contains("a page of 2147483648 places")));
        }
    }
}
