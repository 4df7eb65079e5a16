//! The leaves of a row group, which are encoded each on its own.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use parquet::errors::{ParquetError, Result};
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::SchemaDescriptor;

use super::chunk::Closed;
use super::leaf::LeafWriter;
use super::levels::Levels;

/// A leaf has fewer definition levels: one takes a byte, and the last of those is not a level.
const MOST_LEVELS: i16 = 255;

/// Where a leaf of the file comes from.
#[derive(Clone)]
pub struct Origin {
    column: usize,
    /// See [`Levels::of`].
    path: Vec<usize>,
    is_text: bool,
}

impl Origin {
    /// True if it is of texts.
    pub fn is_text(&self) -> bool {
        self.is_text
    }
}

/// A leaf, which is encoded by one thread at a time.
pub struct Leaf {
    origin: Origin,
    writer: LeafWriter,
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
        leaves_of(field, column, &mut Vec::new(), &mut origins)?;
    }
    let (leaves, wanted) = (origins.len(), file.num_columns());
    let other = || ParquetError::General(format!("there are {leaves} leaves where {wanted} are to be written: report it"));
    (leaves == wanted).then_some(origins).ok_or_else(other)
}

/// The leaves of a row group that come from there.
pub fn leaves(origins: &[Origin], file: &SchemaDescriptor, properties: &WriterPropertiesPtr) -> Vec<Leaf> {
    let leaf = |(leaf, origin): (usize, &Origin)| Leaf {
        origin: origin.clone(),
        writer: LeafWriter::new(file.column(leaf), Arc::clone(properties)),
    };
    origins.iter().enumerate().map(leaf).collect()
}

/// Appends the leaves of a field.
fn leaves_of(field: &Field, column: usize, path: &mut Vec<usize>, leaves: &mut Vec<Origin>) -> Result<()> {
    match field.data_type() {
        DataType::List(item) | DataType::Map(item, _) => leaves_of(item, column, path, leaves)?,
        DataType::Struct(fields) => {
            for (child, field) in fields.iter().enumerate() {
                path.push(child);
                leaves_of(field, column, path, leaves)?;
                path.pop();
            }
        }
        DataType::Utf8 => leaves.push(Origin { column, path: path.clone(), is_text: true }),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..)
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Microsecond, _)
        | DataType::Binary => leaves.push(Origin { column, path: path.clone(), is_text: false }),
        other => {
            let name = field.name();
            return Err(ParquetError::General(format!("lakebed does not write the type of {name:?}, {other}: use another one")));
        }
    }
    Ok(())
}

impl Leaf {
    /// Appends the rows of a batch, and says about how many bytes the leaf has then.
    ///
    /// # Errors
    /// The batch is of another schema.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<usize> {
        let Origin { column, path, .. } = &self.origin;
        let (levels, values) = Levels::of(batch.schema_ref().field(*column), batch.column(*column), path);
        self.writer.write(&levels, &values)?;
        Ok(self.writer.size())
    }

    /// The finished leaf.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn close(self) -> Result<Closed> {
        self.writer.close()
    }
}
