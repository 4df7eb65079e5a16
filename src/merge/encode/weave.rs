//! Makes a row group of finished files without decoding them: pages of values go on as they are stored, and dictionaries become one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::errors::Result;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::schema::types::ColumnDescPtr;

use super::chunk::{Chunk, Closed};
use super::leaf::LeafWriter;
use super::stored::{Stored, StoredChunk};

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
    let mut leaf = match is_text {
        true => Leaf::Texts(LeafWriter::new(column, Arc::clone(properties))),
        false => Leaf::Others(Chunk::new(column, Arc::clone(properties))),
    };
    for chunk in files.iter().flat_map(|file| file.chunks(number)) {
        let before = leaf.size();
        leaf.take_over(&chunk?)?;
        // A page that is compressed is smaller than it was before.
        let more = leaf.size().saturating_sub(before);
        if room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| room.checked_sub(more)).is_err() {
            return Ok(None);
        }
    }
    leaf.close().map(Some)
}

/// A leaf that is being put together.
enum Leaf {
    Texts(LeafWriter),
    Others(Chunk),
}

impl Leaf {
    fn take_over(&mut self, stored: &StoredChunk<'_>) -> Result<()> {
        match self {
            Self::Texts(writer) => writer.take_over(stored),
            Self::Others(chunk) => chunk.take_over(stored),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Texts(writer) => writer.size(),
            Self::Others(chunk) => chunk.size(),
        }
    }

    fn close(self) -> Result<Closed> {
        match self {
            Self::Texts(writer) => writer.close(),
            Self::Others(chunk) => chunk.close(&[], 0),
        }
    }
}
