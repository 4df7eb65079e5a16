//! The rows of a Parquet object, handed on as records of text are.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::ColumnarObject;
use crate::standardize::codec::Stored;

use crate::error::{Error, Result};
use crate::standardize::rows::Rows;
use crate::standardize::{Limits, Plan};

/// Most bytes that are asked of the store at a time.
const PIECE: usize = 8 << 20;

/// Hands the rows of a Parquet object to `rows`. Returns why it could not be read to its end, if it could not.
///
/// # Errors
/// `Unavailable` if the store failed. As [`crate::standardize::frame::Records::accept`].
pub fn read(stored: &Arc<dyn Stored>, rows: &mut Rows<'_, '_>, plan: &Plan, limits: Limits) -> Result<Option<String>> {
    let file = File { stored: Arc::clone(stored), failure: Arc::default() };
    let failure = Arc::clone(&file.failure);
    let read = each_row(file, rows, plan, limits)?;
    let failed = failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
    match failed {
        Some(failure) => Err(Error::unavailable(format!("{failure}: make it readable"))),
        None => Ok(read),
    }
}

/// The library panics on some damaged pages; that is damage of the object, and nothing of it is used any more.
fn guarded<T>(work: impl FnOnce() -> std::result::Result<T, String>) -> std::result::Result<T, String> {
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    done.unwrap_or_else(|_| Err("it is damaged in a way that the Parquet reader does not expect".to_string()))
}

fn each_row(file: File, rows: &mut Rows<'_, '_>, plan: &Plan, limits: Limits) -> Result<Option<String>> {
    let mut object = match guarded(|| ColumnarObject::open(file, plan, limits.whole)) {
        Ok(object) => object,
        Err(damage) => return Ok(Some(damage)),
    };
    let (links, mut number) = (object.links(), 0);
    loop {
        let batch = match guarded(|| object.next().transpose()) {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(None),
            Err(damage) => return Ok(Some(damage)),
        };
        for row in 0..batch.num_rows() {
            rows.row(&links, &batch, row, number)?;
            number += 1;
        }
    }
}

/// The object as the Parquet reader wants it. The reader tells all failures alike, so that of the store is kept aside.
struct File {
    stored: Arc<dyn Stored>,
    failure: Arc<std::sync::Mutex<Option<io::Error>>>,
}

impl File {
    fn fetch(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        if offset.saturating_add(length as u64) > self.stored.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.stored.read_at(offset, length).map_err(|failure| {
            let told = io::Error::new(failure.kind(), failure.to_string());
            *self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(failure);
            told
        })
    }
}

impl Length for File {
    fn len(&self) -> u64 {
        self.stored.size()
    }
}

impl ChunkReader for File {
    type T = BufReader<Part>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let file = Self { stored: Arc::clone(&self.stored), failure: Arc::clone(&self.failure) };
        Ok(BufReader::with_capacity(64 << 10, Part { file, at: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        if self.stored.in_memory().is_some() || length <= PIECE {
            return self.fetch(start, length).map_err(|e| ParquetError::External(Box::new(e)));
        }
        let mut out = Vec::new();
        while out.len() < length {
            let piece = self.fetch(start + out.len() as u64, PIECE.min(length - out.len()));
            out.extend_from_slice(&piece.map_err(|e| ParquetError::External(Box::new(e)))?);
        }
        Ok(out.into())
    }
}

/// A part of the object, read from its beginning.
struct Part {
    file: File,
    at: u64,
}

impl Read for Part {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let left = self.file.stored.size().saturating_sub(self.at);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(out.len()).min(PIECE);
        let piece = self.file.fetch(self.at, length)?;
        out[..length].copy_from_slice(&piece);
        self.at += length as u64;
        Ok(length)
    }
}
