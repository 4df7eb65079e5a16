//! Gzip of one or several members: as a stream, and in one piece where that can be.

use std::io::{self, BufRead, Read};

use bytes::Bytes;
use flate2::Crc;

use super::inflate::Inflate;
use super::input::{self, Input};
use super::spare::Text;
use super::{corrupt, damage};

/// The first bytes of every gzip member: the magic number and the one method there is (RFC 1952).
const MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// What a member has beside its data at least: a header of ten bytes, a checksum and a length of four each.
const MEMBER_OVERHEAD: usize = 18;

/// All bytes of a whole object of one member, which is what Firehose writes; `None` for everything else.
///
/// libdeflate is at least twice as fast as a streaming decoder. It does not say where a member ends, so this is only for objects in
/// which no second one can begin; the checksum and the length at the object's end are then the member's own. The search for a second
/// one takes less than a hundredth of the time.
pub(super) fn at_once(stored: &[u8], limit: u64) -> Option<Bytes> {
    let (body, length) = stored.split_last_chunk::<4>()?;
    let may_begin = |at: usize| stored.get(at + 3).is_some_and(|flags| flags & 0xe0 == 0);
    if stored.len() < MEMBER_OVERHEAD || memchr::memmem::find_iter(&body[1..], &MEMBER).any(|at| may_begin(at + 1)) {
        return None;
    }
    let length = u32::from_le_bytes(*length);
    // An empty member's checksum and length are zeros, and so are the last bytes of much that is no gzip.
    if length == 0 {
        return None;
    }
    // Deflate cannot do better than 1032 to 1: a length beyond that is not the real one, and no memory is given for it.
    if u64::from(length) > limit.min(stored.len() as u64 * 1032) {
        return None;
    }
    let mut out = Text::new(usize::try_from(length).ok()?)?;
    let written = libdeflater::Decompressor::new().gzip_decompress(stored, out.bytes()).ok()?;
    (written == out.bytes().len()).then(|| out.into_bytes())
}

/// Members one after the other, each with its own checksum and length.
///
/// Zeros behind a member pad a file to the blocks of a medium, as gzip itself takes them; line breaks come from Firehose, which can put
/// one between records that are gzip themselves, as those of CloudWatch Logs.
pub(super) struct Gzip {
    input: Input,
    inflate: Inflate,
    crc: Crc,
    members: u64,
    inside: bool,
}

impl Gzip {
    pub(super) fn new(input: Input) -> Self {
        Self { input, inflate: Inflate::new("gzip"), crc: Crc::new(), members: 0, inside: false }
    }

    /// Passes over the header of the next member; `false` if there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while self.members > 0 {
            let padding = self.input.fill_buf()?;
            let length = padding.iter().position(|byte| !matches!(byte, 0 | b'\n' | b'\r')).unwrap_or(padding.len());
            if length == 0 {
                break;
            }
            self.input.consume(length);
        }
        let Some([first]) = input::array_or_end(&mut self.input, "gzip")? else { return Ok(false) };
        let fixed: [u8; 9] = if first == MEMBER[0] { input::array(&mut self.input, "gzip")? } else { [0; 9] };
        let flags = fixed[2];
        if fixed[..2] != MEMBER[1..] || flags & 0xe0 != 0 {
            return Err(damage(match self.members {
                0 => "gzip: its header is not one that gzip has".to_owned(),
                members => format!("gzip: what follows its member {members} is not gzip"),
            }));
        }
        if flags & 4 != 0 {
            let length = u16::from_le_bytes(input::array(&mut self.input, "gzip")?);
            input::skip(&mut self.input, length.into(), "gzip")?;
        }
        for text in [8, 16] {
            if flags & text != 0 {
                while input::array(&mut self.input, "gzip")? != [0] {}
            }
        }
        // The header's own checksum guards nothing that is used.
        if flags & 2 != 0 {
            input::skip(&mut self.input, 2, "gzip")?;
        }
        self.inflate.reset();
        self.crc.reset();
        self.members += 1;
        self.inside = true;
        Ok(true)
    }

    /// Checks what stands behind a member's data.
    fn finish(&mut self) -> io::Result<()> {
        let checksum = u32::from_le_bytes(input::array(&mut self.input, "gzip")?);
        let length = u32::from_le_bytes(input::array(&mut self.input, "gzip")?);
        if checksum != self.crc.sum() {
            return Err(corrupt("gzip: the checksum is wrong"));
        }
        if length != self.crc.amount() {
            return Err(corrupt("gzip: the length is wrong"));
        }
        self.inside = false;
        Ok(())
    }
}

impl Read for Gzip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.inside || self.begin()? {
            let length = self.inflate.read(&mut self.input, out)?;
            if length > 0 {
                self.crc.update(&out[..length]);
                return Ok(length);
            }
            self.finish()?;
        }
        Ok(0)
    }
}
