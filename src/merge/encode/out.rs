//! The bytes of a file that is being made: pages that are finished go on as they are, and only what is between them is written.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::writer::SerializedRowGroupWriter;

use super::chunk::Closed;

/// What the parquet library writes to. All clones are the same.
#[derive(Clone, Default)]
pub struct Out(Arc<Mutex<Made>>);

#[derive(Default)]
struct Made {
    ready: Vec<Bytes>,
    written: Vec<u8>,
    /// Bytes of the file so far, those of finished pages included.
    end: u64,
    /// Where bytes of finished pages are still to come, how many, and the pages. The library keeps some bytes back, so it is not known when.
    pages: VecDeque<(u64, u64, Vec<Bytes>)>,
}

impl Made {
    fn seal(&mut self) {
        if !self.written.is_empty() {
            self.ready.push(std::mem::take(&mut self.written).into());
        }
    }

    /// Takes the next bytes of the file, and says how many.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let Some((start, length, pages)) = self.pages.front_mut() else {
            self.written.extend_from_slice(bytes);
            self.end += bytes.len() as u64;
            return bytes.len();
        };
        let (start, length) = (*start, *length);
        let (limit, stands_in) = if self.end < start { (start, false) } else { (start + length, true) };
        let count = bytes.len().min(usize::try_from(limit - self.end).unwrap_or(usize::MAX));
        if stands_in {
            let pages = std::mem::take(pages);
            self.seal();
            self.ready.extend(pages);
        } else {
            self.written.extend_from_slice(&bytes[..count]);
        }
        self.end += count as u64;
        if self.end == start + length {
            self.pages.pop_front();
        }
        count
    }
}

impl Out {
    fn made(&self) -> MutexGuard<'_, Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a leaf to its row group, at byte `at` of the file, and says how many bytes it has.
    ///
    /// # Errors
    /// It is not the next leaf of the row group, or its pages have not as many bytes as it says.
    pub fn append(&self, row_group: &mut SerializedRowGroupWriter<'_, Self>, at: usize, leaf: Closed) -> Result<usize> {
        let length = leaf.result.metadata.compressed_size();
        let length = u64::try_from(length).unwrap_or(0);
        let bytes: u64 = leaf.pages.iter().map(|page| page.len() as u64).sum();
        if !leaf.pages.is_empty() && bytes != length {
            return Err(ParquetError::General(format!("a column of {length} bytes has pages of {bytes}: report it")));
        }
        if length > 0 {
            self.made().pages.push_back((at as u64, length, leaf.pages));
        }
        row_group.append_column(&Blank, leaf.result)?;
        Ok(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// All that was not taken before, once the library kept nothing back.
    pub fn take(&self) -> Vec<Bytes> {
        let mut made = self.made();
        made.seal();
        std::mem::take(&mut made.ready)
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        Ok(self.made().take(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// As many zeros as anybody wants.
struct Blank;

impl Length for Blank {
    fn len(&self) -> u64 {
        u64::MAX
    }
}

impl ChunkReader for Blank {
    type T = std::io::Repeat;

    fn get_read(&self, _: u64) -> Result<Self::T> {
        Ok(std::io::repeat(0))
    }

    fn get_bytes(&self, _: u64, length: usize) -> Result<Bytes> {
        Ok(vec![0; length].into())
    }
}
