//! Makes a row group of finished files without decoding them: pages of values go on as they are stored, and dictionaries become one.

use std::sync::Arc;

use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, Closed};
use super::stored::Stored;
use super::text::TextWriter;

/// One leaf of all rows of `files`, in their order. `is_text` says that it is of texts, which may have dictionaries.
///
/// # Errors
/// A file is not what it says.
pub fn leaf(number: usize, column: ColumnDescPtr, properties: &WriterPropertiesPtr, is_text: bool, files: &[Stored]) -> Result<Closed> {
    let chunks = || files.iter().flat_map(|file| file.chunks(number));
    if is_text {
        let mut writer = TextWriter::new(column, Arc::clone(properties));
        chunks().try_for_each(|chunk| writer.take_over(&chunk?))?;
        return writer.close();
    }
    let mut writer = Chunk::new(column, Arc::clone(properties));
    chunks().try_for_each(|chunk| writer.take_over(&chunk?))?;
    writer.close(&[], 0)
}
