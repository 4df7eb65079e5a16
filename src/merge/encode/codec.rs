//! Compresses pages and unpacks them, with what the codecs need kept for the next page.

use std::cell::RefCell;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};

/// More room than this is not kept for the next page.
const KEPT: usize = 4 << 20;

/// Bytes that a compressed one may become: a block of zstd has 128 KiB at the most and three bytes at the least.
const MOST_RATIO: usize = 1 << 16;

thread_local! {
    /// What zstd needs for its work, and room for what comes out: more than a page.
    static ZSTD: RefCell<Option<(zstd::bulk::Compressor<'static>, Vec<u8>)>> = const { RefCell::new(None) };
}

/// A page as it is stored.
///
/// # Errors
/// The codec is none that lakebed writes.
pub fn compress(codec: Compression, body: &[u8]) -> Result<Bytes> {
    let failed = |e: String| ParquetError::General(format!("cannot compress a page: {e}"));
    match codec {
        Compression::ZSTD(level) => ZSTD
            .with_borrow_mut(|zstd| {
                let (zstd, out) = match zstd {
                    Some(zstd) => zstd,
                    none => none.insert((zstd::bulk::Compressor::new(0)?, Vec::new())),
                };
                zstd.set_compression_level(level.compression_level())?;
                out.clear();
                out.reserve(zstd::zstd_safe::compress_bound(body.len()));
                zstd.compress_to_buffer(body, out)?;
                if out.capacity() > KEPT {
                    let mut page = std::mem::take(out);
                    page.shrink_to_fit();
                    return Ok(page.into());
                }
                Ok(Bytes::copy_from_slice(out))
            })
            .map_err(|e: std::io::Error| failed(e.to_string())),
        Compression::SNAPPY => snap::raw::Encoder::new().compress_vec(body).map(Bytes::from).map_err(|e| failed(e.to_string())),
        other => Err(failed(format!("lakebed writes no {other}"))),
    }
}

thread_local! {
    /// What zstd needs to unpack.
    static UNZSTD: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What was compressed to these bytes, which is known to be of `size` bytes.
///
/// # Errors
/// It is not.
pub fn unpack(codec: Compression, packed: &[u8], size: usize) -> Result<Vec<u8>> {
    let failed = |why: String| ParquetError::General(format!("cannot unpack a page: {why}"));
    // No codec makes more than this of a byte.
    if size / MOST_RATIO > packed.len() {
        return Err(failed(format!("{size} bytes are not in {}", packed.len())));
    }
    let mut body = Vec::with_capacity(size);
    match codec {
        Compression::ZSTD(_) => UNZSTD
            .with_borrow_mut(|zstd| {
                let zstd = match zstd {
                    Some(zstd) => zstd,
                    none => none.insert(zstd::bulk::Decompressor::new()?),
                };
                zstd.decompress_to_buffer(packed, &mut body)
            })
            .map(drop)
            .map_err(|e: std::io::Error| failed(e.to_string()))?,
        Compression::SNAPPY => {
            body.resize(size, 0);
            let length = snap::raw::Decoder::new().decompress(packed, &mut body).map_err(|e| failed(e.to_string()))?;
            body.truncate(length);
        }
        other => return Err(failed(format!("lakebed writes no {other}"))),
    }
    if body.len() != size {
        return Err(failed(format!("it has {} bytes and not {size}", body.len())));
    }
    Ok(body)
}
