//! Makes a row group of finished files without decoding them: pages of values go on as they are stored, and dictionaries become one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, Closed};
use super::stored::Stored;
use super::text::TextWriter;

/// One leaf of all rows of `files`, in their order. `is_text` says that it is of texts, which may have dictionaries. `room` is what all leaves
/// together may have, in bytes; `None` if there is not enough.
///
/// # Errors
/// A file is not what it says.
pub fn leaf(
    number: usize,
    column: ColumnDescPtr,
    properties: &WriterPropertiesPtr,
    is_text: bool,
    files: &[Stored],
    room: &AtomicUsize,
) -> Result<Option<Closed>> {
    let chunks = || files.iter().flat_map(|file| file.chunks(number));
    let (mut texts, mut others) = (None, None);
    if is_text {
        texts = Some(TextWriter::new(column, Arc::clone(properties)));
    } else {
        others = Some(Chunk::new(column, Arc::clone(properties)));
    }
    let mut size = 0;
    for chunk in chunks() {
        let before = size;
        if let Some(writer) = &mut texts {
            writer.take_over(&chunk?)?;
            size = writer.size();
        } else if let Some(writer) = &mut others {
            writer.take_over(&chunk?)?;
            size = writer.size();
        }
        // A page that is compressed is smaller than it was before.
        let more = size.saturating_sub(before);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(more)).is_err() {
            return Ok(None);
        }
    }
    match (texts, others) {
        (Some(writer), _) => writer.close().map(Some),
        (None, writer) => writer.map(|writer| writer.close(&[], 0)).transpose(),
    }
}
