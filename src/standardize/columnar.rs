//! Parquet objects: which of a file's columns fill which of the table's, and the file's rows batch by batch.
//!
//! A file is read by Parquet's own types, as other readers of it do. The Arrow schema that some writers add to it is left out of account.
//!
//! A value of the column's own type is taken as it is. Any other is read as a JSON record with the same value would be (`json`), so it fits
//! exactly, or is cut or rounded as documented there, or is refused. What JSON has no word for:
//!
//! - A null says nothing: in an unknown column it is neither kept nor refused.
//! - Bytes go into `binary` as they are, and elsewhere are the text that they are in UTF-8, or refused. A text goes into `binary` by base64.
//! - A float in a `double` column is the same number; elsewhere it is the shortest decimal that means it.
//! - Times are cut to microseconds, INT96 already as it is read. A time without a zone is UTC.
//! - A time of day is a text, `14:05:06.007`. An INTERVAL cannot be read: the object is refused.
//!
//! The `parquet` crate panics at some damaged pages (levels and dictionary indices that contradict the page's size). Whoever decodes an
//! object has to run it where a panic costs that object alone.

pub mod json;
pub mod limits;
pub mod links;
pub mod stored;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Type as Physical};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use super::plan::Plan;
pub use json::json_of;
use links::Links;

/// Most rows of a batch, and most bytes if the rows of a row group have about the same size.
const BATCH_ROWS: u64 = 1024;
const BATCH_BYTES: u64 = 64 << 20;

/// One Parquet object: an iterator over its rows as batches.
///
/// An error says what is wrong with the object from the row on that would have come next; nothing comes after it.
pub struct ColumnarObject {
    reader: ParquetRecordBatchReader,
    links: Arc<Links>,
    /// Rows by the footer, and how many of them were read.
    rows: u64,
    read: u64,
    ended: bool,
}

impl ColumnarObject {
    /// Opens an object. None of its row groups may have more than `limit` bytes, decompressed.
    ///
    /// # Errors
    /// What is wrong with the object, as the rest of a sentence about it: it is no Parquet, or damaged, or claims more than can be right, or
    /// was written in a way that cannot be read here.
    pub fn open<R: ChunkReader + 'static>(reader: R, plan: &Plan, limit: u64) -> Result<Self, String> {
        limits::check_footer(&reader)?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&reader).map_err(|e| says("its Parquet footer is broken", &e))?;
        limits::check_metadata(&metadata)?;
        check_codecs(&metadata)?;
        limits::check_pages(&reader, &metadata, limit)?;
        let rows = metadata.row_groups().iter().map(|group| group.num_rows().unsigned_abs()).sum();
        if rows != metadata.file_metadata().num_rows().unsigned_abs() {
            return Err("the row counts in its Parquet footer contradict each other".into());
        }
        let metadata = typed(Arc::new(metadata))?;
        let links = Arc::new(Links::new(&plan.root, metadata.schema().fields()));
        let batch_rows = batch_rows(metadata.metadata());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(reader, metadata).with_batch_size(batch_rows);
        let reader = builder.build().map_err(|e| says("it cannot be read as Parquet", &e))?;
        Ok(Self { reader, links, rows, read: 0, ended: false })
    }

    /// What the columns of the file are for.
    pub fn links(&self) -> Arc<Links> {
        self.links.clone()
    }

    /// Rows that the footer promises.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

impl Iterator for ColumnarObject {
    type Item = Result<RecordBatch, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.reader.next() {
            Some(Ok(batch)) => {
                self.read += batch.num_rows() as u64;
                Some(Ok(batch))
            }
            Some(Err(e)) => {
                self.ended = true;
                Some(Err(says(&format!("it is damaged behind row {} of {}", self.read, self.rows), &e)))
            }
            None => {
                self.ended = true;
                let whole = self.read == self.rows;
                (!whole).then(|| Err(format!("it holds {} rows, and its footer promises {}", self.read, self.rows)))
            }
        }
    }
}

/// An error of the library behind what it means. It is cut, and holds no control characters, as it may quote the file.
fn says(what: &str, error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    let text: String = text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect();
    format!("{what} ({text})")
}

/// Firehose writes Snappy by default, GZIP or nothing on request.
fn check_codecs(metadata: &ParquetMetaData) -> Result<(), String> {
    for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
        let codec = column.compression();
        if !matches!(codec, Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::GZIP(_) | Compression::ZSTD(_)) {
            let name = codec.to_string();
            let name = name.split('(').next().unwrap_or_default();
            return Err(format!(
                "it is compressed with {name}, which lakebed cannot read; write it with SNAPPY, GZIP, ZSTD or UNCOMPRESSED"
            ));
        }
    }
    Ok(())
}

/// Rows per batch: fewer where they are large.
fn batch_rows(metadata: &ParquetMetaData) -> usize {
    let fitting = metadata.row_groups().iter().map(|group| {
        let bytes: u64 = group.columns().iter().map(|column| column.uncompressed_size().unsigned_abs()).sum();
        let row = bytes / group.num_rows().unsigned_abs().max(1);
        BATCH_BYTES / row.max(1)
    });
    usize::try_from(fitting.min().unwrap_or(BATCH_ROWS).clamp(1, BATCH_ROWS)).unwrap_or(1)
}

/// The types that the columns are read as.
fn typed(metadata: Arc<ParquetMetaData>) -> Result<ArrowReaderMetadata, String> {
    let wrong = |e| says("its Parquet types cannot be read", &e);
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let plain = ArrowReaderMetadata::try_new(metadata.clone(), options.clone()).map_err(wrong)?;
    let mut leaves = metadata.file_metadata().schema_descr().columns().iter().map(|column| column.physical_type());
    let fields = plain.schema().fields().iter().map(|field| read_as(field, &mut leaves)).collect::<Result<Fields, _>>()?;
    ArrowReaderMetadata::try_new(metadata, options.with_schema(Arc::new(Schema::new(fields)))).map_err(wrong)
}

/// Texts and binary are read as views, so that one entry of a dictionary that many rows have takes its memory once. INT96 is read as
/// microseconds: in 64 bits nanoseconds reach from 1677 to 2262 alone, and what is beyond would silently become another time.
fn read_as(field: &Arc<Field>, leaves: &mut dyn Iterator<Item = Physical>) -> Result<Arc<Field>, String> {
    let data_type = match field.data_type() {
        DataType::List(element) => DataType::List(read_as(element, leaves)?),
        DataType::Map(entry, sorted) => DataType::Map(read_as(entry, leaves)?, *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| read_as(field, leaves)).collect::<Result<Fields, _>>()?),
        leaf => match (leaf, leaves.next()) {
            (DataType::Utf8, _) => DataType::Utf8View,
            (DataType::Binary, _) => DataType::BinaryView,
            (DataType::Timestamp(..), Some(Physical::INT96)) => DataType::Timestamp(TimeUnit::Microsecond, None),
            (DataType::Interval(_), _) => {
                return Err(format!("its column {} is an INTERVAL, which no column type of a table holds", field.name()));
            }
            (other, _) => other.clone(),
        },
    };
    Ok(Arc::new(field.as_ref().clone().with_data_type(data_type)))
}

#[cfg(test)]
mod tests;
