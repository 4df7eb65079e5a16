//! A column's pages and what is known about them, up to the chunk of a row group.

use bytes::Bytes;
use parquet::basic::{Compression, ConvertedType, Encoding, EncodingMask, PageType, Type};
use parquet::column::page::{CompressedPage, Page, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, LevelHistogram, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;

use super::bounds::{Cut, shorter_greatest, shorter_least};
use super::codec::compress;
use super::ends::{self, Range};
use super::stored::{StoredChunk, StoredPage, broken};

/// Bytes of a page's header, about.
const HEADER: usize = 64;

/// What is known about a page beside its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct About {
    /// How the values are encoded.
    pub encoding: Encoding,
    /// Its slots, and how many of them have no value, if that is known.
    pub slots: usize,
    /// See `slots`.
    pub nulls: Option<usize>,
    /// Its rows.
    pub rows: usize,
    /// Bytes of its texts, where it has texts.
    pub text_bytes: Option<usize>,
    /// Its least and greatest value; of a stored page what is shown of them.
    pub ends: Option<(Vec<u8>, Vec<u8>)>,
    /// How often each level occurs; `None` if there is only one.
    pub repetition: Option<LevelHistogram>,
    /// See `repetition`.
    pub definition: Option<LevelHistogram>,
}

impl About {
    /// A page of so many slots of which nothing else is known.
    pub fn new(encoding: Encoding, slots: usize) -> Self {
        Self { encoding, slots, nulls: None, rows: 0, text_bytes: None, ends: None, repetition: None, definition: None }
    }

    /// True if it has no value.
    fn is_empty(&self) -> bool {
        self.nulls == Some(self.slots)
    }
}

/// A finished column of a row group.
pub struct Closed {
    /// Its pages one after the other, that of the dictionary first; none if nobody has to write them.
    pub pages: Vec<Bytes>,
    /// What is known about them; offsets are counted from anywhere before the first page.
    pub result: ColumnCloseResult,
}

/// The pages of a column in one row group.
pub struct Chunk {
    column: ColumnDescPtr,
    properties: WriterPropertiesPtr,
    codec: Compression,
    /// The pages as they are stored.
    pages: Vec<Bytes>,
    /// Encodings of the pages in the order in which they come up, and how many have each.
    encodings: Vec<(Encoding, i32)>,
    /// Bytes of the pages, as they are stored and before they were compressed.
    size: usize,
    uncompressed: usize,
    slots: usize,
    rows: usize,
    nulls: usize,
    text_bytes: Option<usize>,
    range: Range,
    /// How the ends of pages and of all of them are cut where they are shown.
    cut: Cut,
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
            text_bytes: (column.physical_type() == Type::BYTE_ARRAY).then_some(0),
            range: Range::new(ends::compare(&column)),
            cut: match (column.physical_type(), column.converted_type()) {
                (Type::BYTE_ARRAY, ConvertedType::UTF8) => Cut::Text,
                (Type::BYTE_ARRAY, _) => Cut::Bytes,
                _ => Cut::Never,
            },
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

    /// True if it has no page yet.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// The codec of its pages.
    pub fn codec(&self) -> Compression {
        self.codec
    }

    /// Appends a page, given as it is before it is compressed.
    ///
    /// # Errors
    /// The page has more slots or bytes than its header can say, or the codec is none that lakebed writes.
    pub fn push(&mut self, body: &[u8], about: &About) -> Result<()> {
        let slots = i32::try_from(about.slots).map_err(|_| too_large(about.slots, "places"))?;
        let (most, cut) = (self.properties.column_index_truncate_length(), self.cut);
        // Without them, readers take the page for one without values.
        if about.ends.is_none() && !about.is_empty() {
            self.column_index.to_invalid();
        }
        let shown = about.ends.as_ref().map(|(least, greatest)| {
            self.range.include(least, greatest, (true, true));
            self.range.follow(least, greatest);
            (shorter_least(least, most, cut).0, shorter_greatest(greatest, most, cut).0)
        });
        self.enter(about, shown);
        let encoding = about.encoding;
        let data_page = |buf| Page::DataPage {
            buf,
            num_values: slots.unsigned_abs(),
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let stored = self.store(body, data_page)?;
        self.pages.push(stored.into());
        Ok(())
    }

    /// Appends a page as it is stored elsewhere. What its chunk says of its ends is to be [included](Self::include), too.
    pub fn splice(&mut self, page: &StoredPage) {
        if let Some((least, greatest)) = &page.about.ends {
            self.range.follow(least, greatest);
        }
        // Without it, readers take the page for one without values.
        if page.about.ends.is_none() && !page.about.is_empty() {
            self.column_index.to_invalid();
        }
        self.enter(&page.about, page.about.ends.clone());
        self.size += page.bytes.len();
        self.uncompressed += page.bytes.len() - page.packed() + page.body;
        self.pages.push(page.bytes.clone());
    }

    /// Takes over all pages of a chunk without a dictionary as they are stored.
    ///
    /// # Errors
    /// As [`StoredChunk::pages`]; or it has a dictionary.
    pub fn take_over(&mut self, stored: &StoredChunk<'_>) -> Result<()> {
        let (dictionary, pages) = stored.pages()?;
        if dictionary.is_some() {
            return Err(broken(stored.column(), "has a dictionary"));
        }
        pages.iter().for_each(|page| self.splice(page));
        self.include(stored);
        Ok(())
    }

    /// Takes into account what a stored chunk says of its values, whose pages were appended as they are.
    pub fn include(&mut self, stored: &StoredChunk<'_>) {
        let statistics = stored.column().statistics();
        let ends = statistics.and_then(|found| found.min_bytes_opt().zip(found.max_bytes_opt()));
        let exact = statistics.map_or((false, false), |found| (found.min_is_exact(), found.max_is_exact()));
        let nulls = statistics.and_then(|found| found.null_count_opt());
        if !stored.is_indexed() {
            // Of its pages neither is known.
            self.nulls += nulls.and_then(|nulls| usize::try_from(nulls).ok()).unwrap_or(0);
            self.add_levels(stored.column().repetition_level_histogram(), stored.column().definition_level_histogram());
        }
        match ends {
            Some((least, greatest)) => self.range.include(least, greatest, exact),
            None if nulls == u64::try_from(stored.column().num_values()).ok() => {}
            // Some of the values have no place in the order, or nobody says which they are.
            None => self.range.give_up(),
        }
    }

    fn enter(&mut self, about: &About, shown: Option<(Vec<u8>, Vec<u8>)>) {
        let nulls = about.nulls.unwrap_or(0);
        self.rows += about.rows;
        self.nulls += nulls;
        self.slots += about.slots;
        self.text_bytes = self.text_bytes.zip(about.text_bytes).map(|(all, some)| all + some);
        let (least, greatest) = shown.unwrap_or_default();
        self.column_index.append(about.is_empty(), least, greatest, nulls as i64);
        self.column_index.append_histograms(&about.repetition, &about.definition);
        self.offset_index.append_row_count(about.rows as i64);
        self.offset_index.append_unencoded_byte_array_data_bytes(about.text_bytes.map(|bytes| bytes as i64));
        self.add_levels(about.repetition.as_ref(), about.definition.as_ref());
        match self.encodings.iter_mut().find(|(encoding, _)| *encoding == about.encoding) {
            Some((_, count)) => *count += 1,
            None => self.encodings.push((about.encoding, 1)),
        }
    }

    fn add_levels(&mut self, repetition: Option<&LevelHistogram>, definition: Option<&LevelHistogram>) {
        for (all, some) in [(&mut self.repetition, repetition), (&mut self.definition, definition)] {
            if let (Some(all), Some(some)) = (all, some) {
                all.add(some);
            }
        }
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

    /// The finished column, with the page of its dictionary and how many texts that has, if any page looks texts up there.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn close(mut self, dictionary: &[u8], texts: usize) -> Result<Closed> {
        let encoding = self.properties.dictionary_page_encoding();
        let looks_up = self.encodings.iter().any(|(encoding, _)| *encoding == Encoding::RLE_DICTIONARY);
        let mut stats = Vec::with_capacity(1 + self.encodings.len());
        if looks_up {
            let page = |buf| Page::DictionaryPage { buf, num_values: texts as u32, encoding, is_sorted: false };
            let first = self.store(dictionary, page)?;
            self.pages.insert(0, first.into());
            stats.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding, count: 1 });
        }
        let mut at = 0;
        let mut data_at = 0;
        for (place, page) in self.pages.iter().enumerate() {
            let length = i32::try_from(page.len()).map_err(|_| too_large(page.len(), "bytes"))?;
            if looks_up && place == 0 {
                data_at = i64::from(length);
            } else {
                self.offset_index.append_offset_and_size(at, length);
            }
            at += i64::from(length);
        }
        let of_data =
            |(encoding, count): &(Encoding, i32)| PageEncodingStats { page_type: PageType::DATA_PAGE, encoding: *encoding, count: *count };
        stats.extend(self.encodings.iter().map(of_data));
        let encodings = [Encoding::RLE].into_iter().chain(stats.iter().map(|stat| stat.encoding)).collect::<Vec<_>>();
        let statistics = self.statistics();
        let metadata = ColumnChunkMetaData::builder(self.column.clone())
            .set_compression(self.codec)
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(self.size as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.slots as i64)
            .set_data_page_offset(data_at)
            .set_dictionary_page_offset(looks_up.then_some(0))
            .set_statistics(statistics)
            .set_unencoded_byte_array_data_bytes(self.text_bytes.map(|bytes| bytes as i64))
            .set_repetition_level_histogram(self.repetition)
            .set_definition_level_histogram(self.definition)
            .build()?;
        self.column_index.set_boundary_order(self.range.boundary_order());
        let known = self.range.is_known() && self.column_index.valid();
        let result = ColumnCloseResult {
            bytes_written: self.size as u64,
            rows_written: self.rows as u64,
            bloom_filter: None,
            metadata,
            column_index: if known { Some(self.column_index.build()?) } else { None },
            offset_index: Some(self.offset_index.build()),
        };
        Ok(Closed { pages: self.pages, result })
    }

    fn statistics(&self) -> Statistics {
        let Some(((least, greatest), exact)) = self.range.ends() else {
            return ends::statistics(&self.column, None, (false, false), self.nulls);
        };
        let (most, cut) = (self.properties.statistics_truncate_length(), self.cut);
        let ((least, least_cut), (greatest, greatest_cut)) = (shorter_least(least, most, cut), shorter_greatest(greatest, most, cut));
        let exact = (exact.0 && !least_cut, exact.1 && !greatest_cut);
        ends::statistics(&self.column, Some((&least, &greatest)), exact, self.nulls)
    }
}

/// A row is never parted, so that a page has as much as its largest row.
fn too_large(count: usize, what: &str) -> ParquetError {
    ParquetError::General(format!("a page of {count} {what} is more than Parquet can hold: split the record with the longest lists"))
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
            let about = About { nulls: Some(slots), rows: 1, text_bytes: Some(0), ..About::new(Encoding::PLAIN, slots) };
            let pushed = chunk.push(&[], &about).map_err(|e| e.to_string());
            assert_eq!(pushed.is_ok(), fits, "{pushed:?}");
            assert!(fits || pushed.is_err_and(|e| e.contains("a page of 2147483648 places")));
        }
    }
}
