//! The columns of a row group in parts that are encoded each on its own: every leaf of texts, and what else a column has.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedRowGroupWriter;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::Closed;
use super::levels::Levels;
use super::text::TextWriter;

/// A leaf has fewer definition levels: one takes a byte, and the last of those is not a level.
const MOST_LEVELS: i16 = 255;

/// Where a leaf of the file comes from.
pub struct Origin {
    column: usize,
    /// See [`Levels::of`]; `None` if it is no text.
    path: Option<Vec<usize>>,
}

impl Origin {
    /// True if it is of texts.
    pub fn is_text(&self) -> bool {
        self.path.is_some()
    }
}

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

/// Where the leaves of a file come from, in their order.
///
/// # Errors
/// A column is deeper than any that can be encoded, or of a type that lakebed does not write.
pub fn origins(schema: &SchemaRef, file: &SchemaDescriptor) -> Result<Vec<Origin>> {
    if let Some(deep) = file.columns().iter().find(|leaf| leaf.max_def_level() >= MOST_LEVELS) {
        // A path of hundreds of names helps nobody.
        let name = deep.path().parts().first().cloned().unwrap_or_default();
        return Err(ParquetError::General(format!("column {name:?} has more than {MOST_LEVELS} levels: declare it less deep")));
    }
    let mut origins = Vec::new();
    for (column, field) in schema.fields().iter().enumerate() {
        let mut paths = Vec::new();
        leaves_of(field, &mut Vec::new(), &mut paths)?;
        origins.extend(paths.into_iter().map(|path| Origin { column, path }));
    }
    same_count(origins.len(), file.num_columns())?;
    Ok(origins)
}

/// All parts of a row group whose leaves come from there and have these writers.
///
/// # Errors
/// There are more or fewer writers than leaves.
pub fn parts(
    origins: &[Origin],
    file: &SchemaDescriptor,
    properties: &WriterPropertiesPtr,
    writers: Vec<ArrowColumnWriter>,
) -> Result<Vec<Part>> {
    same_count(origins.len(), writers.len())?;
    let mut parts = Vec::new();
    let mut writers = writers.into_iter().enumerate();
    for leaves in origins.chunk_by(|a, b| a.column == b.column) {
        let (column, mut rest) = (leaves[0].column, Vec::new());
        for (origin, (leaf, writer)) in leaves.iter().zip(writers.by_ref()) {
            match origin.path.clone() {
                Some(path) => {
                    let writer = Box::new(TextWriter::new(file.column(leaf), Arc::clone(properties)));
                    parts.push(Part::Text { column, path, leaf, writer });
                }
                None => rest.push((leaf, writer)),
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Rest { column, leaves: rest });
        }
    }
    Ok(parts)
}

fn same_count(leaves: usize, wanted: usize) -> Result<()> {
    let other = || ParquetError::General(format!("there are {leaves} leaves where {wanted} are to be written: report it"));
    (leaves == wanted).then_some(()).ok_or_else(other)
}

/// Appends for each leaf of a field the way to it if it is a text, and `None` for any other.
fn leaves_of(field: &Field, path: &mut Vec<usize>, leaves: &mut Vec<Option<Vec<usize>>>) -> Result<()> {
    match field.data_type() {
        DataType::List(item) | DataType::Map(item, _) => leaves_of(item, path, leaves)?,
        DataType::Struct(fields) => {
            for (child, field) in fields.iter().enumerate() {
                path.push(child);
                leaves_of(field, path, leaves)?;
                path.pop();
            }
        }
        DataType::Utf8 => leaves.push(Some(path.clone())),
        other if other.is_nested() => {
            let name = field.name();
            return Err(ParquetError::General(format!("lakebed does not write the type of {name:?}, {other}: use a list, map or struct")));
        }
        _ => leaves.push(None),
    }
    Ok(())
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
                if let Some((field, array)) = without_texts(&field, batch.column(*column))? {
                    let computed = compute_leaves(&field, &array)?;
                    same_count(computed.len(), leaves.len())?;
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
fn without_texts(field: &FieldRef, array: &ArrayRef) -> Result<Option<(FieldRef, ArrayRef)>> {
    let named = |data_type| Arc::new(Field::new(field.name(), data_type, field.is_nullable()));
    let (offsets, nulls, kept) = match field.data_type() {
        DataType::Utf8 => return Ok(None),
        DataType::Struct(fields) => {
            let children = fields.iter().zip(array.as_struct().columns());
            let children = children.filter_map(|(field, child)| without_texts(field, child).transpose()).collect::<Result<Vec<_>>>()?;
            let (fields, children): (Vec<FieldRef>, Vec<ArrayRef>) = children.into_iter().unzip();
            if fields.is_empty() {
                return Ok(None);
            }
            let kept = StructArray::try_new(Fields::from(fields), children, array.nulls().cloned())?;
            return Ok(Some((named(kept.data_type().clone()), Arc::new(kept))));
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            (list.offsets(), list.nulls(), without_texts(item, list.values())?)
        }
        DataType::Map(entries, _) => {
            let map = array.as_map();
            (map.offsets(), map.nulls(), without_texts(entries, &(Arc::new(map.entries().clone()) as ArrayRef))?)
        }
        _ => return Ok(Some((Arc::clone(field), Arc::clone(array)))),
    };
    let Some((item, items)) = kept else { return Ok(None) };
    let kept = ListArray::try_new(item, offsets.clone(), items, nulls.cloned())?;
    Ok(Some((named(kept.data_type().clone()), Arc::new(kept))))
}
