//! What decoders read from and are read through: the stored bytes piece by piece, a look ahead, and a bound on what comes out.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::sniff::HEAD;
use super::{Limits, Stored, damage, ends_early};

/// What a decoder reads.
pub(super) type Input = Box<dyn BufRead + Send>;

/// Bytes fetched at once: few requests for a large object, and little memory for each that is read.
const CHUNK: u64 = 8 << 20;

/// What is held of a layer that another one reads.
const BUFFER: usize = 64 << 10;

/// Bytes that may come out whatever was stored: they fit into memory, and short objects may repeat one record a thousand times.
const FREE: u64 = 64 << 20;

/// A part of the stored bytes, read from its beginning or from any place in it.
pub(super) struct Source {
    stored: Arc<dyn Stored>,
    at: u64,
    end: u64,
    chunk: Bytes,
}

impl Source {
    pub(super) fn new(stored: Arc<dyn Stored>, range: Range<u64>) -> Self {
        Self { stored, at: range.start, end: range.end, chunk: Bytes::new() }
    }

    /// Goes on at `to`, a place of the object.
    pub(super) fn go_to(&mut self, to: u64) {
        match to.checked_sub(self.at) {
            Some(ahead) if ahead <= self.chunk.len() as u64 => self.chunk.advance(ahead as usize),
            _ => self.chunk = Bytes::new(),
        }
        self.at = to;
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.chunk.is_empty() && self.at < self.end {
            let most = if self.stored.in_memory().is_some() { u64::MAX } else { CHUNK };
            let length = usize::try_from(most.min(self.end - self.at)).unwrap_or(usize::MAX);
            let chunk = self.stored.read_at(self.at, length)?;
            if chunk.len() != length {
                let why = format!("the store gave {} bytes where {length} were asked for; run again", chunk.len());
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            }
            self.chunk = chunk;
        }
        Ok(&self.chunk)
    }

    fn consume(&mut self, amount: usize) {
        self.chunk.advance(amount);
        self.at += amount as u64;
    }
}

impl Read for Source {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        copy_buffered(self, out)
    }
}

fn copy_buffered(input: &mut impl BufRead, out: &mut [u8]) -> io::Result<usize> {
    let buffered = input.fill_buf()?;
    let length = buffered.len().min(out.len());
    out[..length].copy_from_slice(&buffered[..length]);
    input.consume(length);
    Ok(length)
}

/// A reader whose first bytes can be looked at. What stops it there comes after them, as it would have without the look.
pub(super) struct Ahead<R> {
    inner: R,
    buffer: Vec<u8>,
    held: Range<usize>,
    failed: Option<io::Error>,
}

impl<R: Read> Ahead<R> {
    pub(super) fn new(mut inner: R) -> Self {
        let (mut buffer, mut length, mut failed) = (vec![0; HEAD], 0, None);
        while length < HEAD && failed.is_none() {
            match inner.read(&mut buffer[length..]) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(e) => failed = Some(e),
            }
        }
        Self { inner, buffer, held: 0..length, failed }
    }

    /// The first bytes, before anything is read.
    pub(super) fn head(&self) -> &[u8] {
        &self.buffer[self.held.clone()]
    }
}

impl<R: Read> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.held.is_empty() {
            if let Some(e) = self.failed.take() {
                return Err(e);
            }
            self.buffer.resize(BUFFER, 0);
            self.held = 0..0;
            self.held = 0..self.inner.read(&mut self.buffer)?;
        }
        Ok(&self.buffer[self.held.clone()])
    }

    fn consume(&mut self, amount: usize) {
        self.held.start += amount;
    }
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match (self.held.is_empty(), self.failed.take()) {
            (true, Some(e)) => Err(e),
            (true, None) => self.inner.read(out),
            (false, failed) => {
                self.failed = failed;
                copy_buffered(self, out)
            }
        }
    }
}

/// What may come out of an object, worked out for its size.
pub(super) struct Bounds {
    /// Most bytes in one piece.
    pub(super) whole: u64,
    /// Most bytes of a layer.
    pub(super) most: u64,
    /// What is wrong with an object that has more.
    why: String,
}

impl Bounds {
    pub(super) fn new(limits: Limits, stored: u64) -> Self {
        let by_ratio = limits.ratio.saturating_mul(stored).max(FREE);
        let (most, why) = if by_ratio < limits.bytes {
            (by_ratio, format!("it is more than {} times as long when decompressed", limits.ratio))
        } else {
            (limits.bytes, format!("it has more than {} bytes when decompressed", limits.bytes))
        };
        Self { whole: limits.whole, most, why }
    }
}

/// A reader that stops at a bound, and that says again what damage stopped it.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    why: String,
    stopped: Option<String>,
}

impl<R: Read> Bounded<R> {
    pub(super) fn new(inner: R, bounds: &Bounds) -> Self {
        Self { inner, left: bounds.most, why: bounds.why.clone(), stopped: None }
    }

    fn read_within(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return match self.inner.read(&mut [0])? {
                0 => Ok(0),
                _ => Err(damage(self.why.clone())),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(out.len());
        let length = self.inner.read(&mut out[..most])?;
        self.left -= length as u64;
        Ok(length)
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        if let Some(why) = &self.stopped {
            return Err(damage(why.clone()));
        }
        let read = self.read_within(out);
        if let Err(e) = &read {
            self.stopped = super::Damage::of(e).map(ToString::to_string);
        }
        read
    }
}

/// Fills `out` as far as the input goes, and says how far.
pub(super) fn fill(input: &mut (impl Read + ?Sized), out: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < out.len() {
        match input.read(&mut out[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// The next `N` bytes of an input that must have them.
pub(super) fn array<const N: usize>(input: &mut (impl Read + ?Sized), codec: &str) -> io::Result<[u8; N]> {
    let mut out = [0; N];
    if fill(input, &mut out)? == N { Ok(out) } else { Err(ends_early(codec)) }
}

/// The next `N` bytes of an input that may end before them, but not among them.
pub(super) fn array_or_end<const N: usize>(input: &mut (impl Read + ?Sized), codec: &str) -> io::Result<Option<[u8; N]>> {
    let mut out = [0; N];
    match fill(input, &mut out)? {
        0 => Ok(None),
        length if length == N => Ok(Some(out)),
        _ => Err(ends_early(codec)),
    }
}

/// Passes over bytes that the input must have.
pub(super) fn skip(input: &mut (impl BufRead + ?Sized), mut length: u64, codec: &str) -> io::Result<()> {
    while length > 0 {
        let buffered = input.fill_buf()?.len();
        if buffered == 0 {
            return Err(ends_early(codec));
        }
        let passed = usize::try_from(length).unwrap_or(usize::MAX).min(buffered);
        input.consume(passed);
        length -= passed as u64;
    }
    Ok(())
}
