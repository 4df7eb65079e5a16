//! A stretch of an object's text in memory, refilled while it is read, so that an object may be larger than memory.

use std::io::{self, Read};

use bytes::Bytes;

/// Bytes that are read at a time, at least.
const CHUNK: usize = 1 << 20;

/// The stretch, and where the rest comes from.
pub struct Window {
    source: Option<Box<dyn Read + Send>>,
    /// All of the text, where it is in memory already; then `buffer` is empty.
    text: Bytes,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that are text; what is behind them is free space.
    filled: usize,
    /// Offset of the first byte in the object.
    base: u64,
    /// Why there is no more, if the source did not come to its end.
    failure: Option<io::Error>,
    chunk: usize,
}

impl Window {
    /// The whole text at once.
    pub fn whole(text: Bytes) -> Self {
        Self { text, source: None, buffer: Vec::new(), filled: 0, base: 0, failure: None, chunk: CHUNK }
    }

    /// Text that is read when it is asked for.
    pub fn of(source: Box<dyn Read + Send>) -> Self {
        Self { source: Some(source), ..Self::whole(Bytes::new()) }
    }

    /// As [`Self::of`], a few bytes at a time.
    #[cfg(test)]
    pub fn in_pieces(source: Box<dyn Read + Send>, chunk: usize) -> Self {
        Self { chunk, ..Self::of(source) }
    }

    /// The text in memory.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        if self.buffer.is_empty() { &self.text } else { &self.buffer[..self.filled] }
    }

    /// Offset of the first of these bytes in the object.
    #[inline]
    pub fn base(&self) -> u64 {
        self.base
    }

    /// True if nothing comes after these bytes.
    #[inline]
    pub fn ended(&self) -> bool {
        self.source.is_none()
    }

    /// Forgets the first `done` bytes and reads more behind the others: a piece at least, and as much as there is already, so that
    /// whoever reads a long record again and again reads it a few times at the most. At most `most` bytes are held.
    ///
    /// A source that fails ends the text there; [`Self::failure`] says why.
    pub fn refill(&mut self, done: usize, most: usize) {
        self.buffer.copy_within(done..self.filled, 0);
        self.filled -= done;
        self.base += done as u64;
        let wanted = (self.filled + self.chunk.max(self.filled)).min(most);
        if self.buffer.len() < wanted {
            self.buffer.reserve_exact(wanted - self.buffer.len());
            self.buffer.resize(wanted, 0);
        }
        let Some(source) = &mut self.source else { return };
        while self.filled < wanted {
            match source.read(&mut self.buffer[self.filled..wanted]) {
                Ok(0) => {
                    self.source = None;
                    return;
                }
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.failure = Some(e);
                    self.source = None;
                    return;
                }
            }
        }
    }

    /// Why the text ended before its end, if it did.
    pub fn failure(&mut self) -> Option<io::Error> {
        self.failure.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_done_stays_and_grows() {
        let mut window = Window::in_pieces(Box::new(io::Cursor::new(b"abcdefghijklmnop".to_vec())), 4);
        window.refill(0, 100);
        assert_eq!((window.bytes(), window.base(), window.ended()), (&b"abcd"[..], 0, false));
        window.refill(3, 100);
        assert_eq!((window.bytes(), window.base()), (&b"defgh"[..], 3));
        window.refill(0, 8);
        assert_eq!((window.bytes(), window.ended()), (&b"defghijk"[..], false));
        window.refill(8, 100);
        window.refill(0, 100);
        assert_eq!((window.bytes(), window.base(), window.ended()), (&b"lmnop"[..], 11, true));
        assert!(window.failure().is_none());
    }

    #[test]
    fn a_source_that_fails_keeps_what_it_gave() {
        struct Breaks(bool);
        impl Read for Breaks {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("broken"));
                }
                out[..3].copy_from_slice(b"abc");
                Ok(3)
            }
        }
        let mut window = Window::of(Box::new(Breaks(false)));
        window.refill(0, 100);
        assert_eq!((window.bytes(), window.ended()), (&b"abc"[..], true));
        assert_eq!(window.failure().unwrap().to_string(), "broken");
    }
}
