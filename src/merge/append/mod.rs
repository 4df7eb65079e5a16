//! What is live goes into the next generation as it is encoded, so that late rows cost what they are and not what their hour is.

pub mod plan;

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::CompressionCodec;
use parquet::column::writer::ColumnCloseResult;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::page_index::column_index::ColumnIndexMetaData;

use self::plan::{Again, Fate, LiveFile};
use super::encode::{Closed, Encoder};
use super::reader;
use super::writer::{Shape, codec};
use crate::error::Result;
use crate::layout;
use crate::ledger::{DataFile, Generation};
use crate::store::copies::Begun;
use crate::store::{Root, parse};

/// Files that are copied at the same time.
const COPIES: usize = 8;

/// What becomes of the live rows in the next generation.
#[derive(Debug, Clone)]
pub enum Live {
    /// There are none.
    None,
    /// They come from what landed once more.
    Replaced,
    /// All are encoded again.
    Encoded(Again),
    /// Their files are taken over as they are encoded.
    Carried(Box<Carried>),
}

/// How the files of a generation go into the next one.
#[derive(Debug, Clone)]
pub struct Carried {
    root: Root,
    generation: Generation,
    /// Bytes of a row group of a new file.
    row_group: u64,
    /// How many files, from the first on, are copied whole.
    whole: usize,
    /// The last file, if it is not copied whole.
    tail: Option<Tail>,
}

/// A file that rows are appended to.
#[derive(Debug, Clone)]
pub struct Tail {
    root: Root,
    path: String,
    file: DataFile,
    metadata: ParquetMetaData,
    /// How many row groups, from the first on, are copied.
    copied: usize,
}

impl Live {
    /// What becomes of each file of the generation whose rows they are.
    pub fn files(&self, generation: &Generation) -> Vec<LiveFile> {
        let fate = |at: usize, file: &DataFile| match self {
            Self::None | Self::Replaced => Fate::Replaced,
            Self::Encoded(why) => Fate::Encoded(*why),
            Self::Carried(carried) => carried.fate(at, file),
        };
        generation.files.iter().enumerate().map(|(at, file)| LiveFile { fate: fate(at, file), file: file.clone() }).collect()
    }

    /// The files that are taken over.
    pub fn carried(&self) -> Option<&Carried> {
        match self {
            Self::Carried(carried) => Some(carried),
            Self::None | Self::Replaced | Self::Encoded(_) => None,
        }
    }
}

impl Carried {
    /// Decides what becomes of a generation's files, which have the table's present columns. If they are encoded in another way than new
    /// files are, all rows are to be encoded again.
    ///
    /// # Errors
    /// `Unavailable` if the last file cannot be read.
    pub async fn plan(root: &Root, generation: &Generation, schema: &SchemaRef, shape: &Shape) -> Result<Live> {
        let Some(last) = generation.files.last() else { return Ok(Live::None) };
        let full = plan::is_full(last.bytes, shape.row_group_size);
        let metadata = reader::metadata(root, &generation.location, last, !full).await?;
        if !encoded_alike(&metadata, schema, shape) {
            return Ok(Live::Encoded(Again::Encoding));
        }
        if !full && !has_page_index(&metadata) {
            return Ok(Live::Encoded(Again::Index));
        }
        let path = format!("{}{}", root.path_of(&generation.location).unwrap_or_default(), last.name);
        let sizes = metadata.row_groups().iter().map(|group| u64::try_from(group.compressed_size()).unwrap_or(0));
        let copied = plan::copied(&sizes.collect::<Vec<_>>());
        let tail = (!full).then(|| Tail { root: root.clone(), path, file: last.clone(), metadata, copied });
        let whole = generation.files.len() - usize::from(tail.is_some());
        let (root, generation, row_group) = (root.clone(), generation.clone(), shape.row_group_size);
        Ok(Live::Carried(Box::new(Self { root, generation, row_group, whole, tail })))
    }

    /// What becomes of file number `at`.
    fn fate(&self, at: usize, file: &DataFile) -> Fate {
        match &self.tail {
            Some(tail) if at == self.whole => Fate::Appended { copied: tail.copied, again: tail.metadata.num_row_groups() - tail.copied },
            _ if plan::is_full(file.bytes, self.row_group) => Fate::Full,
            _ => Fate::Behind,
        }
    }

    /// The rows that are to be encoded again, in front of the late ones.
    pub fn rows(&self, schema: &SchemaRef) -> impl Stream<Item = Result<RecordBatch>> + use<> {
        let tail = self.tail.as_ref().filter(|tail| tail.copied < tail.metadata.num_row_groups());
        let again = tail.map_or(0..0, |tail| tail.copied..tail.metadata.num_row_groups());
        let last = tail.and(self.generation.files.last()).cloned();
        let generation = Generation { files: last.into_iter().collect(), ..self.generation.clone() };
        reader::read_row_groups(&self.root, &generation, Some(again), schema)
    }

    /// Copies the files that go whole into `folder` of their location, and hands on them and the last one.
    ///
    /// # Errors
    /// `Unavailable` if a file cannot be copied.
    pub async fn copy(self, folder: &str) -> Result<(Vec<DataFile>, Option<Tail>)> {
        let copies = futures::stream::iter(0..self.whole).map(|index| self.copy_whole(index, folder));
        let files = copies.buffered(COPIES).try_collect().await?;
        Ok((files, self.tail))
    }

    async fn copy_whole(&self, index: usize, folder: &str) -> Result<DataFile> {
        let from = self.root.path_of(&self.generation.location).unwrap_or_default();
        let (file, name) = (&self.generation.files[index], layout::part_file(index));
        self.root.copy(&format!("{from}{}", file.name), file.bytes, &format!("{folder}{name}")).await?;
        Ok(DataFile { name, ..file.clone() })
    }
}

impl Tail {
    /// Copies the file whole into `folder` of its location as file number `index`, as there are no rows to append.
    ///
    /// # Errors
    /// `Unavailable` if it cannot be copied.
    pub async fn copy(&self, folder: &str, index: usize) -> Result<DataFile> {
        let file = DataFile { name: layout::part_file(index), ..self.file.clone() };
        self.root.copy(&self.path, file.bytes, &format!("{folder}{}", file.name)).await?;
        Ok(file)
    }

    /// Begins `path` of its location with the row groups that are copied, without their bytes passing through here. `None` if the store
    /// cannot do that; then they are to be [fetched](Self::append_to).
    ///
    /// # Errors
    /// `Unavailable` if it cannot be copied.
    pub async fn begin(&self, path: &str) -> Result<Option<Begun>> {
        match self.front() {
            Some(end) => self.root.begin_with(&self.path, end, path).await,
            None => Ok(None),
        }
    }

    /// Where the row groups that are copied end, if a new file has all their columns in the same places: one behind the other from the
    /// beginning on.
    fn front(&self) -> Option<u64> {
        let mut columns = self.metadata.row_groups().iter().take(self.copied).flat_map(RowGroupMetaData::columns);
        let next = |end: u64, column: &ColumnChunkMetaData| {
            let (start, length) = column.byte_range();
            (start == end).then_some(start + length)
        };
        columns.try_fold(MAGIC, next).filter(|end| *end > MAGIC)
    }

    /// Numbers of the row groups that are copied.
    pub fn row_groups(&self) -> Range<usize> {
        0..self.copied
    }

    /// Appends a row group to another file and says how many rows it has. Its bytes are fetched at once, and neither unpacked nor decoded,
    /// unless they are in their place [already](Self::begin).
    ///
    /// # Errors
    /// What failed.
    pub async fn append_to(&self, encoder: &mut Encoder, row_group: usize, in_place: bool) -> std::io::Result<u64> {
        let group = self.metadata.row_group(row_group);
        let columns = self.columns(row_group).into_iter();
        let columns: Vec<Closed> = if in_place {
            columns.map(|result| Closed { pages: Vec::new(), result }).collect()
        } else {
            let (path, range) = (parse(&self.path).map_err(std::io::Error::other)?, range_of(group));
            let bytes = self.root.store().get_range(&path, range.clone()).await.map_err(std::io::Error::other)?;
            let cut = |result: ColumnCloseResult| Ok(Closed { pages: vec![part_of(&bytes, range.start, &result.metadata)?], result });
            columns.map(cut).collect::<std::io::Result<_>>()?
        };
        encoder.append(columns).await.map_err(std::io::Error::other)?;
        Ok(u64::try_from(group.num_rows()).unwrap_or(0))
    }

    /// What is known about the columns of a row group. Offsets are those that they have in this file.
    fn columns(&self, row_group: usize) -> Vec<ColumnCloseResult> {
        let group = self.metadata.row_group(row_group);
        let bounds = self.metadata.column_index().map(|index| &index[row_group]);
        let places = self.metadata.offset_index().map(|index| &index[row_group]);
        let known = |index: &ColumnIndexMetaData| !matches!(index, ColumnIndexMetaData::NONE);
        let column = |(at, column): (usize, &ColumnChunkMetaData)| ColumnCloseResult {
            bytes_written: u64::try_from(column.compressed_size()).unwrap_or(0),
            rows_written: u64::try_from(group.num_rows()).unwrap_or(0),
            metadata: column.clone(),
            bloom_filter: None,
            column_index: bounds.map(|columns| columns[at].clone()).filter(known),
            offset_index: places.map(|columns| columns[at].clone()),
        };
        group.columns().iter().enumerate().map(column).collect()
    }
}

/// A Parquet file begins with four bytes that say that it is one.
const MAGIC: u64 = 4;

/// Where the pages of a row group are in their file.
fn range_of(group: &RowGroupMetaData) -> Range<u64> {
    let ranges = || group.columns().iter().map(ColumnChunkMetaData::byte_range);
    let start = ranges().map(|(start, _)| start).min().unwrap_or(0);
    start..ranges().map(|(start, length)| start + length).max().unwrap_or(0)
}

/// The bytes of a column, of bytes of its file of which the first is at `start` there.
fn part_of(bytes: &Bytes, start: u64, column: &ColumnChunkMetaData) -> std::io::Result<Bytes> {
    let (first, length) = column.byte_range();
    let place = |at: u64| at.checked_sub(start).and_then(|at| usize::try_from(at).ok()).filter(|at| *at <= bytes.len());
    match (place(first), place(first + length)) {
        (Some(first), Some(end)) => Ok(bytes.slice(first..end)),
        _ => Err(std::io::Error::other(format!("column {} is not in its row group", column.column_path()))),
    }
}

/// True if a file has the columns that a new one gets, in the same types and order, and the same codec.
fn encoded_alike(metadata: &ParquetMetaData, schema: &SchemaRef, shape: &Shape) -> bool {
    let columns = ArrowSchemaConverter::new().with_coerce_types(true).convert(schema);
    let same = |columns: parquet::schema::types::SchemaDescriptor| columns.root_schema() == metadata.file_metadata().schema();
    let wanted = CompressionCodec::from(codec(shape.compression));
    let chunks = || metadata.row_groups().iter().flat_map(|group| group.columns());
    columns.is_ok_and(same) && chunks().all(|column| column.compression_codec() == wanted)
}

/// True if the places of all pages are known, which a row group takes along.
fn has_page_index(metadata: &ParquetMetaData) -> bool {
    metadata.num_row_groups() == 0 || metadata.column_index().is_some() && metadata.offset_index().is_some()
}

#[cfg(test)]
mod tests;
