//! Deflate, as gzip and ZIP hold it, with everything that comes before its damage.

use std::io::{self, BufRead};

use flate2::{Decompress, FlushDecompress, Status};

use super::{corrupt, ends_early};

/// A deflate stream that is being read (RFC 1951).
///
/// flate2's own readers throw away what one call decoded before it met the damage; this one gives it out first.
pub(super) struct Inflate {
    state: Decompress,
    codec: &'static str,
    ended: bool,
    corrupt: bool,
    /// Why there is no more input; it comes behind what is decoded already.
    failed: Option<io::Error>,
}

impl Inflate {
    /// `codec` is the format that damage is reported for.
    pub(super) fn new(codec: &'static str) -> Self {
        Self { state: Decompress::new(false), codec, ended: false, corrupt: false, failed: None }
    }

    /// Makes ready for the next stream.
    pub(super) fn reset(&mut self) {
        self.state.reset(false);
        self.ended = false;
        self.corrupt = false;
    }

    /// Reads on; 0 is the end of the stream, behind which the input stands then. `out` is not empty.
    pub(super) fn read(&mut self, input: &mut (impl BufRead + ?Sized), out: &mut [u8]) -> io::Result<usize> {
        while !self.ended {
            if self.corrupt {
                return Err(corrupt(format!("{}: the data is corrupt", self.codec)));
            }
            let chunk = match &self.failed {
                Some(_) => &[],
                None => input.fill_buf().unwrap_or_else(|e| {
                    self.failed = Some(e);
                    &[]
                }),
            };
            let no_more = chunk.is_empty();
            let before = (self.state.total_in(), self.state.total_out());
            let status = self.state.decompress(chunk, out, FlushDecompress::None);
            let used = (self.state.total_in() - before.0) as usize;
            let made = (self.state.total_out() - before.1) as usize;
            input.consume(used);
            match status {
                Ok(Status::StreamEnd) => self.ended = true,
                Ok(_) if made == 0 && no_more => return Err(self.failed.take().unwrap_or_else(|| ends_early(self.codec))),
                Ok(_) => self.corrupt = made == 0 && used == 0,
                Err(_) => self.corrupt = true,
            }
            if made > 0 {
                return Ok(made);
            }
        }
        self.failed.take().map_or(Ok(0), Err)
    }
}
