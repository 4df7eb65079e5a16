//! An object's bytes as they were before Firehose compressed them, read in a stream and told by content, never by name.

mod gzip;
mod inflate;
mod input;
mod sniff;
mod snappy;
mod spare;
mod zip;
mod zstd;

use std::fmt;
use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::Bytes;

use input::{Ahead, Bounded, Bounds, Input, Source};
use sniff::{Codec, Form};

/// Times that an object may be compressed. Firehose compresses once, and what CloudWatch Logs sends is compressed before.
const LAYERS: usize = 3;

/// A good [`Limits::ratio`]. Deflate reaches 1032 to 1 at most, so no object that is compressed once is ever refused with gzip or ZIP;
/// a second layer over real data gains little, and over a bomb a thousand times more.
pub const RATIO: u64 = 2_000;

/// Random access to an object's bytes as stored.
pub trait Stored: Send + Sync {
    /// How many bytes the object has.
    fn size(&self) -> u64;

    /// The `length` bytes from `offset` on. Asked only for bytes that the object has, at most 8 MiB at a time unless they are in memory.
    ///
    /// # Errors
    /// Why the store did not give exactly these bytes. Readers hand it on unchanged.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;

    /// All bytes, if they are in memory already.
    fn in_memory(&self) -> Option<&Bytes> {
        None
    }
}

impl Stored for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let range = usize::try_from(offset).ok().and_then(|from| Some(from..from.checked_add(length)?));
        let range = range.filter(|range| range.end <= self.len());
        range.map(|range| self.slice(range)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn in_memory(&self) -> Option<&Bytes> {
        Some(self)
    }
}

/// How much may come out of one object.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes that come out in one piece, as [`Content::Whole`], where they were not in memory before.
    pub whole: u64,
    /// Most bytes that come out at all, of each layer.
    pub bytes: u64,
    /// Most bytes that come out for each stored one, of each layer; the first 64 MiB are free. [`RATIO`] is a good one.
    pub ratio: u64,
}

/// What an object holds, told by its content.
pub enum Content {
    /// Text, decompressed as it is read. A reader that returned an error is spent: it is not read further.
    Text(Box<dyn Read + Send>),
    /// Text that is in memory: an object that is not compressed, or small gzip of one member, which decompresses fastest in one piece.
    Whole(Bytes),
    /// Parquet: `PAR1` at both ends, read by ranges.
    Columnar,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Columnar => f.write_str("Columnar"),
        }
    }
}

/// Why an object cannot be read further: its content is not what it should be. All that came before was read.
///
/// It travels inside of an [`io::Error`]; [`Damage::of`] tells it from a failure of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    why: String,
    corrupt: bool,
}

impl Damage {
    /// The damage that an error reports; `None` if the store failed.
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// True if bytes are not those that were written, so that what came before, too, may be other than it was. False if some are
    /// missing, or not read, or too many.
    pub fn is_corrupt(&self) -> bool {
        self.corrupt
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl std::error::Error for Damage {}

fn damage(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damage { why: why.into(), corrupt: false })
}

fn corrupt(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damage { why: why.into(), corrupt: true })
}

fn ends_early(codec: &str) -> io::Error {
    damage(format!("{codec}: it ends before its end"))
}

/// Opens an object: plain text, gzip, ZIP, zstd and the three framings of Snappy, up to three of them within each other, or Parquet.
///
/// # Errors
/// A [`Damage`] if the object is of a kind that is not read; the store's failure. Damage further inside comes from the reader, once
/// everything before it was read.
pub fn open(stored: &Arc<dyn Stored>, limits: Limits) -> io::Result<Content> {
    open_stored(stored, &Bounds::new(limits, stored.size()), 0)
}

/// Opens what allows access at any place: the object itself, or what of it is in memory. `layers` were taken off already.
fn open_stored(stored: &Arc<dyn Stored>, bounds: &Bounds, layers: usize) -> io::Result<Content> {
    let mut source = Source::new(Arc::clone(stored), 0..stored.size());
    let codec = match sniff::sniff(source.fill_buf()?) {
        Form::Text => {
            return Ok(match stored.in_memory() {
                Some(bytes) if bytes.size() <= bounds.most => Content::Whole(bytes.clone()),
                _ => Content::Text(Box::new(Bounded::new(source, bounds))),
            });
        }
        Form::Parquet if layers == 0 && sniff::is_whole_parquet(&**stored)? => return Ok(Content::Columnar),
        Form::Parquet if layers == 0 => return Err(ends_early("parquet")),
        form => compressed(form, layers)?,
    };
    if codec == Codec::Gzip
        && let Some(bytes) = stored.in_memory()
        && let Some(out) = gzip::at_once(bytes, bounds.whole.min(bounds.most))
    {
        let out: Arc<dyn Stored> = Arc::new(out);
        return open_stored(&out, bounds, layers + 1);
    }
    let reader = match codec {
        Codec::Zip => Box::new(zip::Zip::open(stored, source)?),
        _ => decoder(codec, Box::new(source))?,
    };
    open_stream(reader, bounds, layers + 1)
}

/// Opens what came out of a decoder.
fn open_stream(reader: Box<dyn Read + Send>, bounds: &Bounds, layers: usize) -> io::Result<Content> {
    let ahead = Ahead::new(Bounded::new(reader, bounds));
    match sniff::sniff(ahead.head()) {
        Form::Text => Ok(Content::Text(Box::new(ahead))),
        form => open_stream(decoder(compressed(form, layers)?, Box::new(ahead))?, bounds, layers + 1),
    }
}

/// The codec of what is compressed and may be so at this depth.
fn compressed(form: Form, layers: usize) -> io::Result<Codec> {
    match form {
        Form::Compressed(_) if layers == LAYERS => Err(damage(format!("it is compressed more than {LAYERS} times"))),
        Form::Compressed(codec) => Ok(codec),
        Form::Orc => Err(damage("orc is not read; let Firehose deliver JSON or Parquet")),
        Form::Parquet | Form::Text => Err(damage("parquet is not read when it is compressed once more; land it as it is")),
    }
}

fn decoder(codec: Codec, input: Input) -> io::Result<Box<dyn Read + Send>> {
    Ok(match codec {
        Codec::Gzip => Box::new(gzip::Gzip::new(input)),
        Codec::Zip => Box::new(zip::Zip::stream(input)),
        Codec::Xerial => Box::new(snappy::Xerial::new(input)),
        Codec::Hadoop => Box::new(snappy::Hadoop::new(input)),
        Codec::Framed => Box::new(snappy::Framed::new(input)),
        Codec::Zstd => Box::new(zstd::Zstd::new(input)?),
    })
}

#[cfg(test)]
mod tests;
