//! The columns of a row group in parts that are encoded each on its own: every leaf of texts, and what else a column has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::Closed;
use super::levels::Levels;
use super::text::TextWriter;

/// Texts that are deeper than that are left to the library: their levels take more than a byte.
const MOST_LEVELS: i16 = 255;

/// A part of a column, which is encoded by one thread at a time.
pub enum Part {
    /// A leaf of texts.
    Text {
        /// The column.
        column: usize,
        /// See [`Levels::of`].
        path: Vec<usize>,
        /// The number of the leaf in the file.
        leaf: usize,
        /// Its writer.
        writer: Box<TextWriter>,
    },
    /// All leaves of a column that are no texts, by the numbers that they have in the file.
    Rest {
        /// The column.
        column: usize,
        /// See `Rest`.
        leaves: Vec<(usize, ArrowColumnWriter)>,
    },
}

/// A finished leaf.
pub enum Leaf {
    /// Of texts.
    Text(Box<Closed>),
    /// Of anything else.
    Other(Box<ArrowColumnChunk>),
}

/// All parts of a row group whose leaves have these writers.
pub fn parts(schema: &SchemaRef, file: &SchemaDescriptor, properties: &WriterPropertiesPtr, writers: Vec<ArrowColumnWriter>) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut writers = writers.into_iter().enumerate();
    for (column, field) in schema.fields().iter().enumerate() {
        let (mut paths, mut rest) = (Vec::new(), Vec::new());
        leaves_of(field.data_type(), &mut Vec::new(), &mut paths);
        for (path, (leaf, writer)) in paths.into_iter().zip(writers.by_ref()) {
            let about = file.column(leaf);
            match path.filter(|_| about.max_def_level() < MOST_LEVELS) {
                Some(path) => {
                    let writer = Box::new(TextWriter::new(about, Arc::clone(properties)));
                    parts.push(Part::Text { column, path, leaf, writer });
                }
                None => rest.push((leaf, writer)),
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Rest { column, leaves: rest });
        }
    }
    parts
}

/// Appends for each leaf of a type the way to it if it is a text, and `None` for any other.
fn leaves_of(data_type: &DataType, path: &mut Vec<usize>, leaves: &mut Vec<Option<Vec<usize>>>) {
    match data_type {
        DataType::List(item) | DataType::Map(item, _) => leaves_of(item.data_type(), path, leaves),
        DataType::Struct(fields) => {
            for (child, field) in fields.iter().enumerate() {
                path.push(child);
                leaves_of(field.data_type(), path, leaves);
                path.pop();
            }
        }
        DataType::Utf8 => leaves.push(Some(path.clone())),
        _ => leaves.push(None),
    }
}

impl Part {
    /// Appends the rows of a batch, and says about how many bytes the part has then.
    ///
    /// # Errors
    /// The batch is of another schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<usize> {
        match self {
            Self::Text { column, path, writer, .. } => {
                let (levels, texts) = Levels::of(batch.schema_ref().field(*column), batch.column(*column), path);
                writer.write(&levels, texts.as_string())?;
                Ok(writer.size())
            }
            Self::Rest { column, leaves } => {
                let field = Arc::clone(&batch.schema_ref().fields()[*column]);
                if let Some((field, array)) = without_texts(&field, batch.column(*column)) {
                    let computed = compute_leaves(&field, &array)?;
                    computed.iter().zip(leaves.iter_mut()).try_for_each(|(leaf, (_, writer))| writer.write(leaf))?;
                }
                Ok(leaves.iter().map(|(_, writer)| writer.get_estimated_total_bytes()).sum())
            }
        }
    }

    /// The finished leaves, each with its number in the file.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn close(self) -> Result<Vec<(usize, Leaf)>> {
        match self {
            Self::Text { leaf, writer, .. } => Ok(vec![(leaf, Leaf::Text(Box::new(writer.close()?)))]),
            Self::Rest { leaves, .. } => {
                leaves.into_iter().map(|(leaf, writer)| Ok((leaf, Leaf::Other(Box::new(writer.close()?))))).collect()
            }
        }
    }
}

impl Leaf {
    /// Appends the leaf to its row group.
    ///
    /// # Errors
    /// It is not the next leaf of the row group.
    pub fn append_to(self, row_group: &mut SerializedRowGroupWriter<'_, Vec<u8>>) -> Result<()> {
        match self {
            Self::Text(closed) => row_group.append_column(&closed.pages, closed.result),
            Self::Other(chunk) => chunk.append_to_row_group(row_group),
        }
    }
}

/// A column without its leaves of texts; `None` if there are no others. A map becomes a list of what is left of its entries, which has the
/// same levels.
fn without_texts(field: &FieldRef, array: &ArrayRef) -> Option<(FieldRef, ArrayRef)> {
    let named = |data_type| Arc::new(Field::new(field.name(), data_type, field.is_nullable()));
    match field.data_type() {
        DataType::Utf8 => None,
        DataType::Struct(fields) => {
            let children = fields.iter().zip(array.as_struct().columns()).filter_map(|(field, child)| without_texts(field, child));
            let (fields, children): (Vec<FieldRef>, Vec<ArrayRef>) = children.unzip();
            let fields = Fields::from(fields);
            let kept = || StructArray::new(fields.clone(), children, array.nulls().cloned());
            (!fields.is_empty()).then(|| (named(DataType::Struct(fields.clone())), Arc::new(kept()) as ArrayRef))
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (item, items) = without_texts(item, list.values())?;
            let kept = ListArray::new(Arc::clone(&item), list.offsets().clone(), items, list.nulls().cloned());
            Some((named(DataType::List(item)), Arc::new(kept)))
        }
        DataType::Map(entries, _) => {
            let map = array.as_map();
            let (item, items) = without_texts(entries, &(Arc::new(map.entries().clone()) as ArrayRef))?;
            let kept = ListArray::new(Arc::clone(&item), map.offsets().clone(), items, map.nulls().cloned());
            Some((named(DataType::List(item)), Arc::new(kept)))
        }
        _ => Some((Arc::clone(field), Arc::clone(array))),
    }
}
