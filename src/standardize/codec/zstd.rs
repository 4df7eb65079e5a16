//! Zstandard of one or several frames.

use std::io::{self, BufRead, Read};

use ::zstd::stream::raw::{DParameter, Decoder, Operation};

use super::input::Input;
use super::{corrupt, ends_early};

/// The longest distance that a frame may look back, as a power of two: 128 MiB, what the zstd command itself reads without being asked to
/// take more. It is the memory that a frame takes.
const WINDOW_LOG: u32 = 27;

/// Frames one after the other; those to be skipped are skipped.
pub(super) struct Zstd {
    input: Input,
    decoder: Decoder<'static>,
    /// Bytes that the decoder wants to have at once; none at the end of a frame.
    wants: usize,
    /// Whether the decoder may hold more than there was room for.
    holds: bool,
}

impl Zstd {
    pub(super) fn new(input: Input) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { input, decoder, wants: 0, holds: false })
    }
}

impl Read for Zstd {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            // No more than the decoder wants, which is one block: a call that meets damage loses what it decoded before.
            let chunk = if self.holds { &[] } else { self.input.fill_buf()? };
            if chunk.is_empty() && !self.holds {
                return if self.wants == 0 { Ok(0) } else { Err(ends_early("zstd")) };
            }
            let chunk = &chunk[..chunk.len().min(self.wants.max(1))];
            let status = self.decoder.run_on_buffers(chunk, out).map_err(|e| corrupt(format!("zstd: it is corrupt: {e}")))?;
            self.input.consume(status.bytes_read);
            self.wants = status.remaining;
            self.holds = status.bytes_written == out.len() && self.wants > 0;
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
        }
    }
}
