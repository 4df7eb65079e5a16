//! Snappy in the three framings there are: snappy-java's, Hadoop's and its own.

use std::io::{self, BufRead, Read};

use snap::raw::{Decoder, decompress_len, max_compress_len};

use super::input::{self, Input};
use super::{corrupt, damage, ends_early};

/// How a stream of snappy-java begins; a version and the oldest one that can read it follow, four bytes each.
pub(super) const XERIAL: [u8; 8] = *b"\x82SNAPPY\0";

/// How Snappy's own framing format begins: a chunk that says so.
pub(super) const FRAMED: [u8; 10] = *b"\xff\x06\0\0sNaPpY";

/// Most bytes of a block. Firehose's have 32 KiB in snappy-java's framing and 256 KiB in Hadoop's.
const BLOCK: usize = 64 << 20;

/// What one byte of a block can become at most: an element of three bytes copies up to 64.
const RATIO: usize = 22;

/// Whether these are the first frame and block of Hadoop's framing, which has no magic.
///
/// A frame is one write into Hadoop's stream: up to Firehose's buffer of 128 MiB, so its length begins with a byte that no text has. The
/// block's own length must fit to it, and a block begins with a literal, since there is nothing to copy yet. No bytes at all are the
/// frame of an empty stream.
pub(super) fn may_be_hadoop(head: &[u8]) -> bool {
    let Some((frame, rest)) = head.split_first_chunk() else { return false };
    let frame = u32::from_be_bytes(*frame) as usize;
    let Some((compressed, block)) = rest.split_first_chunk() else { return frame == 0 && rest.is_empty() };
    let compressed = u32::from_be_bytes(*compressed) as usize;
    let varint = block.iter().take(5).position(|byte| byte & 0x80 == 0);
    let (Some(last), Ok(length)) = (varint, decompress_len(block)) else { return false };
    head[0] < b'\t'
        && (1..=frame).contains(&length)
        && (1..=max_compress_len(frame)).contains(&compressed)
        && length <= compressed.saturating_mul(RATIO)
        && block.get(last + 1).is_some_and(|tag| tag & 3 == 0)
}

/// Blocks of an input, decoded one at a time.
struct Blocks {
    input: Input,
    decoder: Decoder,
    compressed: Vec<u8>,
    block: Vec<u8>,
    read: usize,
    number: u64,
}

impl Blocks {
    fn new(input: Input) -> Self {
        Self { input, decoder: Decoder::new(), compressed: Vec::new(), block: Vec::new(), read: 0, number: 0 }
    }

    /// Decodes the block in the next `compressed` bytes, which has at most `most`. Nothing is left of the one before.
    fn decode(&mut self, compressed: u32, most: usize) -> io::Result<()> {
        self.number += 1;
        self.read = 0;
        self.block.clear();
        let compressed = compressed as usize;
        if compressed > max_compress_len(BLOCK) {
            return Err(corrupt(format!("snappy: block {} states a length that no block has", self.number)));
        }
        let in_place = self.input.fill_buf()?.len() >= compressed;
        if !in_place {
            // Grows as bytes come, so that no memory is given for a length that is only stated.
            self.compressed.clear();
            if (&mut self.input).take(compressed as u64).read_to_end(&mut self.compressed)? < compressed {
                return Err(ends_early("snappy"));
            }
        }
        let bytes = if in_place { &self.input.fill_buf()?[..compressed] } else { &self.compressed };
        let length = decompress_len(bytes).ok().filter(|length| *length <= most.min(BLOCK).min(compressed.saturating_mul(RATIO)));
        self.block.resize(length.unwrap_or_default(), 0);
        let decoded = self.decoder.decompress(bytes, &mut self.block);
        if length.is_none() || decoded.ok() != length {
            self.block.clear();
            return Err(corrupt(format!("snappy: block {} is corrupt", self.number)));
        }
        if in_place {
            self.input.consume(compressed);
        }
        Ok(())
    }

    /// What is left of the block.
    fn take(&mut self, out: &mut [u8]) -> usize {
        let left = &self.block[self.read..];
        let length = left.len().min(out.len());
        out[..length].copy_from_slice(&left[..length]);
        self.read += length;
        length
    }
}

/// The framing of snappy-java's `SnappyOutputStream`: a header, then each block with its length. Streams put together repeat the header.
pub(super) struct Xerial(Blocks);

impl Xerial {
    pub(super) fn new(input: Input) -> Self {
        Self(Blocks::new(input))
    }
}

impl Read for Xerial {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.0.take(out);
            if length > 0 {
                return Ok(length);
            }
            let Some(begin) = input::array_or_end::<4>(&mut self.0.input, "snappy")? else { return Ok(0) };
            if begin != XERIAL[..4] {
                self.0.decode(u32::from_be_bytes(begin), BLOCK)?;
            } else if input::array::<12>(&mut self.0.input, "snappy")?[..4] != XERIAL[4..] {
                return Err(damage(format!("snappy: what follows its block {} is no header", self.0.number)));
            }
        }
    }
}

/// The framing of Hadoop's `BlockCompressorStream`: frames with their length decompressed, each of blocks with their length compressed.
pub(super) struct Hadoop {
    blocks: Blocks,
    frame: usize,
}

impl Hadoop {
    pub(super) fn new(input: Input) -> Self {
        Self { blocks: Blocks::new(input), frame: 0 }
    }
}

impl Read for Hadoop {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.blocks.take(out);
            if length > 0 {
                return Ok(length);
            }
            if self.frame > 0 {
                let compressed = u32::from_be_bytes(input::array(&mut self.blocks.input, "snappy")?);
                self.blocks.decode(compressed, self.frame)?;
                self.frame -= self.blocks.block.len();
            } else {
                let Some(frame) = input::array_or_end(&mut self.blocks.input, "snappy")? else { return Ok(0) };
                self.frame = u32::from_be_bytes(frame) as usize;
            }
        }
    }
}

/// Snappy's own framing format, with a checksum for each chunk.
pub(super) struct Framed(snap::read::FrameDecoder<Noting>);

/// Knows whether the input failed, and not what was read from it.
struct Noting {
    input: Input,
    failed: bool,
}

impl Read for Noting {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(out);
        self.failed = read.is_err();
        read
    }
}

impl Framed {
    pub(super) fn new(input: Input) -> Self {
        Self(snap::read::FrameDecoder::new(Noting { input, failed: false }))
    }
}

impl Read for Framed {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(out);
        read.map_err(|e| match e.kind() {
            _ if self.0.get_ref().failed => e,
            io::ErrorKind::UnexpectedEof => ends_early("snappy"),
            _ => corrupt("snappy: a chunk is corrupt"),
        })
    }
}
