//! ZIP by its directory, and from its beginning where the directory cannot be reached.

use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use flate2::Crc;

use super::inflate::Inflate;
use super::input::{self, Input, Source};
use super::{Stored, corrupt, damage, ends_early};

/// Signatures of the parts of an archive (PKWARE application note, 4.3).
const ENTRY: [u8; 4] = *b"PK\x03\x04";
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
const LISTED: [u8; 4] = *b"PK\x01\x02";
const SIGNATURE: [u8; 4] = *b"PK\x05\x05";
const EXTRA: [u8; 4] = *b"PK\x06\x08";
const END: [u8; 4] = *b"PK\x05\x06";
const END_64: [u8; 4] = *b"PK\x06\x06";
const LOCATOR_64: [u8; 4] = *b"PK\x06\x07";

/// Lengths of the fixed part of the end, of its 64-bit form and of the record that says where that is.
const END_LENGTH: usize = 22;
const END_64_LENGTH: usize = 56;
const LOCATOR_64_LENGTH: usize = 20;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// Flags of an entry: its data is encrypted; its lengths and its checksum follow its data.
const ENCRYPTED: u16 = 1;
const DESCRIBED: u16 = 8;

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// What a header says of an entry. Its name is of no use, and folders are entries without data.
#[derive(Debug, Clone, Copy)]
struct Header {
    flags: u16,
    method: u16,
    checksum: u32,
    compressed: u64,
    length: u64,
    /// Where its own header is, if the directory says so.
    offset: u64,
    /// Whether the lengths have 64 bits.
    wide: bool,
}

impl Header {
    /// Reads the fields from the flags on, which stand at the same distances in both kinds of header, and passes over what follows.
    fn read(fixed: &[u8], offset: Option<u32>, comment: u16, input: &mut (impl BufRead + ?Sized)) -> io::Result<Self> {
        input::skip(input, u16_at(fixed, 20).into(), "zip")?;
        let mut extras = vec![0; u16_at(fixed, 22).into()];
        if input::fill(input, &mut extras)? < extras.len() {
            return Err(ends_early("zip"));
        }
        input::skip(input, comment.into(), "zip")?;
        let [mut length, mut compressed] = [u32_at(fixed, 16).into(), u32_at(fixed, 12).into()];
        let mut offset = offset.unwrap_or_default().into();
        let wide = widen(&extras, [&mut length, &mut compressed, &mut offset]);
        Ok(Self { flags: u16_at(fixed, 0), method: u16_at(fixed, 2), checksum: u32_at(fixed, 8), compressed, length, offset, wide })
    }
}

/// Takes the fields that do not fit into 32 bits from the extra field for them; says whether there is one.
fn widen(mut extras: &[u8], fields: [&mut u64; 3]) -> bool {
    while extras.len() >= 4 {
        let (id, length) = (u16_at(extras, 0), usize::from(u16_at(extras, 2)));
        let end = extras.len().min(4 + length);
        if id == 1 {
            let mut values = extras[4..end].chunks_exact(8);
            for field in fields.into_iter().filter(|field| **field == u64::from(u32::MAX)) {
                *field = values.next().map_or(*field, |value| u64_at(value, 0));
            }
            return true;
        }
        extras = &extras[end..];
    }
    false
}

/// Where the directory is; `None` if the end of the object does not say so, as that of a cut one.
fn directory(stored: &dyn Stored) -> io::Result<Option<Range<u64>>> {
    let length = stored.size().min((END_LENGTH + usize::from(u16::MAX)) as u64);
    let from = stored.size() - length;
    let tail = stored.read_at(from, usize::try_from(length).unwrap_or_default())?;
    let ends_here = |at: &usize| tail.len() >= at + END_LENGTH && tail.len() == at + END_LENGTH + usize::from(u16_at(&tail, at + 20));
    let Some(end) = memchr::memmem::rfind_iter(&tail, &END).find(ends_here) else { return Ok(None) };
    let mut place = from + end as u64;
    let (mut size, mut start) = (u64::from(u32_at(&tail, end + 12)), u64::from(u32_at(&tail, end + 16)));
    let locator = end.checked_sub(LOCATOR_64_LENGTH).map(|at| &tail[at..end]).filter(|bytes| bytes.starts_with(&LOCATOR_64));
    if let Some(locator) = locator {
        place = u64_at(locator, 8);
        if place.checked_add(END_64_LENGTH as u64).is_none_or(|end| end > stored.size()) {
            return Ok(None);
        }
        let record = stored.read_at(place, END_64_LENGTH)?;
        if record.len() < END_64_LENGTH || !record.starts_with(&END_64) {
            return Ok(None);
        }
        (size, start) = (u64_at(&record, 40), u64_at(&record, 48));
    }
    // A directory that does not reach up to its end is that of another archive, put before or behind this one.
    Ok((start.checked_add(size) == Some(place)).then_some(start..place))
}

/// The data of one entry.
struct Body {
    header: Header,
    inflate: Option<Inflate>,
    /// Bytes of it that the input may still have.
    left: u64,
    used: u64,
    made: u64,
    crc: Crc,
}

impl Body {
    /// Decodes on; 0 is the end of the data.
    fn read(&mut self, input: &mut (dyn BufRead + Send), out: &mut [u8]) -> io::Result<usize> {
        let mut data = input.take(self.left);
        let made = match &mut self.inflate {
            Some(inflate) => inflate.read(&mut data, out)?,
            None => match data.read(out)? {
                0 if data.limit() > 0 => return Err(ends_early("zip")),
                made => made,
            },
        };
        self.used += self.left - data.limit();
        self.left = data.limit();
        self.made += made as u64;
        self.crc.update(&out[..made]);
        Ok(made)
    }

    /// Takes the checksum and the length from behind the data, where the header does not have them.
    fn read_descriptor(&mut self, input: &mut (dyn BufRead + Send)) -> io::Result<()> {
        let mut first: [u8; 4] = input::array(input, "zip")?;
        if first == DESCRIPTOR {
            first = input::array(input, "zip")?;
        }
        let narrow: [u8; 8] = input::array(input, "zip")?;
        self.header.checksum = u32::from_le_bytes(first);
        self.header.length = u32_at(&narrow, 4).into();
        // Nothing says for sure whether the lengths have 32 or 64 bits. The upper half of the compressed one is zero where the length
        // itself would stand, and behind a length of zero comes the next part.
        let fits = u64::from(u32_at(&narrow, 0)) == self.used && self.header.length == self.made;
        if !fits || (self.made == 0 && self.header.wide && input.fill_buf()?.first() == Some(&0)) {
            self.header.length = u64::from_le_bytes(input::array(input, "zip")?);
        }
        Ok(())
    }

    fn check(&self, number: u64) -> io::Result<()> {
        if self.header.length != self.made {
            return Err(corrupt(format!("zip: the length of entry {number} is wrong")));
        }
        if self.header.checksum != self.crc.sum() {
            return Err(corrupt(format!("zip: the checksum of entry {number} is wrong")));
        }
        Ok(())
    }
}

/// Where entries are found.
enum Entries {
    /// One after the other in the directory, which is the first source; their data is in the second one.
    Listed(Source, Source),
    /// One after the other from the beginning on.
    Met { input: Input, complete: bool },
}

/// The data of an archive's entries, one after the other in the order of its directory.
///
/// The directory is read as it is needed, so that its length takes no memory, and each entry counts, also if two have one name.
pub(super) struct Zip {
    entries: Entries,
    body: Option<Body>,
    number: u64,
}

impl Zip {
    /// Reads an object by its directory, or from its beginning if it has none at its end. `source` is the whole object.
    pub(super) fn open(stored: &Arc<dyn Stored>, source: Source) -> io::Result<Self> {
        let entries = match directory(&**stored)? {
            Some(range) => Entries::Listed(Source::new(Arc::clone(stored), range), source),
            None => return Ok(Self::stream(Box::new(source))),
        };
        Ok(Self { entries, body: None, number: 0 })
    }

    /// Reads from the beginning on.
    pub(super) fn stream(input: Input) -> Self {
        Self { entries: Entries::Met { input, complete: false }, body: None, number: 0 }
    }

    /// The header of the next entry, with the input at its data.
    fn next(&mut self) -> io::Result<Option<Header>> {
        match &mut self.entries {
            Entries::Met { input, complete } => next_met(input, complete),
            Entries::Listed(directory, data) => {
                let Some(signature) = input::array_or_end::<4>(directory, "zip")? else { return Ok(None) };
                if signature == SIGNATURE {
                    return Ok(None);
                }
                if signature != LISTED {
                    return Err(damage("zip: its directory is corrupt"));
                }
                let fixed: [u8; 42] = input::array(directory, "zip")?;
                let header = Header::read(&fixed[4..], Some(u32_at(&fixed, 38)), u16_at(&fixed, 28), directory)?;
                data.go_to(header.offset);
                let local: [u8; 30] = input::array(data, "zip")?;
                if local[..4] != ENTRY {
                    return Err(damage(format!("zip: entry {} is not where the directory says", self.number + 1)));
                }
                input::skip(data, u64::from(u16_at(&local, 26)) + u64::from(u16_at(&local, 28)), "zip")?;
                Ok(Some(header))
            }
        }
    }

    /// Begins with the data of an entry.
    fn begin(&mut self, header: Header) -> io::Result<()> {
        self.number += 1;
        let number = self.number;
        if header.flags & ENCRYPTED != 0 {
            return Err(damage(format!("zip: entry {number} is encrypted")));
        }
        let inflate = match header.method {
            STORED => None,
            DEFLATED => Some(Inflate::new("zip")),
            method => return Err(damage(format!("zip: entry {number} is compressed by method {method}; stored and deflated are read"))),
        };
        let open_ended = self.is_described(&header) && inflate.is_some();
        let left = if open_ended { u64::MAX } else { header.compressed };
        self.body = Some(Body { header, inflate, left, used: 0, made: 0, crc: Crc::new() });
        Ok(())
    }

    /// Whether the lengths of an entry stand behind its data, and not where it was found.
    fn is_described(&self, header: &Header) -> bool {
        matches!(self.entries, Entries::Met { .. }) && header.flags & DESCRIBED != 0
    }

    /// Checks an entry that was read to its end.
    fn finish(&mut self, mut body: Body) -> io::Result<()> {
        let described = self.is_described(&body.header);
        if let Entries::Met { input, .. } = &mut self.entries {
            if described {
                body.read_descriptor(input)?;
            } else {
                input::skip(input, body.left, "zip")?;
            }
        }
        body.check(self.number)
    }
}

/// The next entry from the beginning on, past all parts that are none.
fn next_met(input: &mut Input, complete: &mut bool) -> io::Result<Option<Header>> {
    loop {
        let Some(signature) = input::array_or_end::<4>(input, "zip")? else {
            return if *complete { Ok(None) } else { Err(ends_early("zip")) };
        };
        *complete = false;
        let rest: u64 = match signature {
            ENTRY => {
                let fixed: [u8; 26] = input::array(input, "zip")?;
                return Header::read(&fixed[2..], None, 0, input).map(Some);
            }
            LISTED => {
                let fixed: [u8; 42] = input::array(input, "zip")?;
                [24, 26, 28].iter().map(|at| u64::from(u16_at(&fixed, *at))).sum()
            }
            SIGNATURE => u16::from_le_bytes(input::array(input, "zip")?).into(),
            EXTRA => u32::from_le_bytes(input::array(input, "zip")?).into(),
            END_64 => u64::from_le_bytes(input::array(input, "zip")?),
            LOCATOR_64 => LOCATOR_64_LENGTH as u64 - 4,
            END => {
                let fixed: [u8; END_LENGTH - 4] = input::array(input, "zip")?;
                u16_at(&fixed, 16).into()
            }
            _ => return Err(damage("zip: something stands in it that is no part of an archive")),
        };
        input::skip(input, rest, "zip")?;
        *complete = signature == END;
    }
}

impl Read for Zip {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut body) = self.body.take() {
                let input: &mut (dyn BufRead + Send) = match &mut self.entries {
                    Entries::Met { input, .. } => input,
                    Entries::Listed(_, data) => data,
                };
                let made = body.read(input, out)?;
                if made > 0 {
                    self.body = Some(body);
                    return Ok(made);
                }
                self.finish(body)?;
            }
            match self.next()? {
                Some(header) => self.begin(header)?,
                None => return Ok(0),
            }
        }
    }
}
