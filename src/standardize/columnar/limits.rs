//! What a Parquet file may claim before it is decoded: its footer and page headers are read for sizes and nesting alone.
//!
//! A file of a few kilobytes can claim pages of gigabytes or types nested a million deep, and the decoder would believe it. Footer and headers
//! are in Thrift's compact protocol (`parquet.thrift` of apache/parquet-format names the fields).

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, ConvertedType};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::Type;

/// Deepest nesting of types, as for JSON records.
const MAX_DEPTH: usize = 128;

/// Most columns without parts.
const MAX_COLUMNS: usize = 10_000;

/// Most bytes of the footer: in memory it takes a multiple of that.
const MAX_FOOTER: u64 = 16 << 20;

/// Most bytes of a value of a type of fixed length.
const MAX_FIXED: usize = 64 << 10;

/// Memory that the elements of one column's lists and maps may take in a row group, unless they have a sixteenth of it in the file.
const ELEMENTS: u64 = 256 << 20;

const NOT_PARQUET: &str = "it is not Parquet: its end is no Parquet footer";
const BROKEN_FOOTER: &str = "its Parquet footer is broken";

/// Checks the footer before it is parsed.
pub fn check_footer<R: ChunkReader>(reader: &R) -> Result<(), String> {
    let size = reader.len();
    if size < 12 {
        return Err(NOT_PARQUET.into());
    }
    let ends = |start, length| reader.get_bytes(start, length).map_err(|e| format!("it cannot be read ({e})"));
    let (head, tail) = (ends(0, 4)?, ends(size - 8, 8)?);
    if tail[4..] == *b"PARE" {
        return Err("its Parquet footer is encrypted, which lakebed cannot read".into());
    }
    if head[..] != *b"PAR1" || tail[4..] != *b"PAR1" {
        return Err(NOT_PARQUET.into());
    }
    let length = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    if length > MAX_FOOTER {
        return Err(format!("its Parquet footer has {length} bytes, more than {MAX_FOOTER}"));
    }
    let start = (size - 8).checked_sub(length).ok_or(BROKEN_FOOTER)?;
    let footer = reader.get_bytes(start, usize::try_from(length).map_err(|_| BROKEN_FOOTER)?).map_err(|_| BROKEN_FOOTER)?;
    match depth(&mut Thrift(&footer)) {
        Some(depth) if depth <= MAX_DEPTH => Ok(()),
        Some(_) => Err(format!("its Parquet types nest deeper than {MAX_DEPTH} levels")),
        None => Err(BROKEN_FOOTER.into()),
    }
}

/// How deep the schema of a footer nests. It is a list of all types in depth-first order, each with the number of its children.
fn depth(footer: &mut Thrift<'_>) -> Option<usize> {
    let (mut id, mut deepest) = (0, 0);
    let mut open: Vec<i64> = Vec::new();
    while let Some((field, kind)) = footer.field(id)? {
        id = field;
        if (field, kind) != (2, LIST) {
            footer.skip(kind, 0)?;
            continue;
        }
        let (count, kind) = footer.list()?;
        for _ in 0..count {
            if kind != STRUCT {
                return None;
            }
            let [children] = footer.child_integers([5])?;
            while open.last() == Some(&0) {
                open.pop();
            }
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            open.push(children.max(0));
            deepest = deepest.max(open.len());
        }
    }
    Some(deepest)
}

/// Checks what the parsed footer says of types and places.
pub fn check_metadata(metadata: &ParquetMetaData) -> Result<(), String> {
    let schema = metadata.file_metadata().schema_descr();
    if schema.num_columns() > MAX_COLUMNS {
        return Err(format!("it has {} columns, more than {MAX_COLUMNS}", schema.num_columns()));
    }
    check_maps(schema.root_schema())?;
    for column in schema.columns() {
        let length = usize::try_from(column.type_length()).unwrap_or(0);
        if length > MAX_FIXED {
            return Err(format!("values of its column {} have {length} bytes each, more than {MAX_FIXED}", column.path().string()));
        }
    }
    let negative = |group: &RowGroupMetaData| group.num_rows() < 0 || group.columns().len() != schema.num_columns();
    if metadata.file_metadata().num_rows() < 0 || metadata.row_groups().iter().any(negative) {
        return Err(BROKEN_FOOTER.into());
    }
    Ok(())
}

/// The entries of a map must be a group: the decoder takes that for granted.
fn check_maps(of: &Type) -> Result<(), String> {
    if of.is_primitive() {
        return Ok(());
    }
    let info = of.get_basic_info();
    let is_map = matches!(info.converted_type(), ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE);
    for part in of.get_fields() {
        match (is_map, part.is_primitive()) {
            (true, true) => return Err(format!("its column {} is a map without entries", info.name())),
            (true, false) => part.get_fields().iter().try_for_each(|part| check_maps(part))?,
            (false, _) => check_maps(part)?,
        }
    }
    Ok(())
}

/// Checks the pages of a file before they are decompressed. A row group may have `limit` bytes, decompressed.
pub fn check_pages<R: ChunkReader>(reader: &R, metadata: &ParquetMetaData, limit: u64) -> Result<(), String> {
    for group in metadata.row_groups() {
        let mut bytes = 0u64;
        for column in group.columns() {
            let name = column.column_path().string();
            let pages =
                pages(reader, column, limit.saturating_sub(bytes)).ok_or_else(|| format!("the pages of its column {name} are broken"))?;
            if pages.is_more {
                return Err(format!("a page of its column {name} holds more bytes than its header says"));
            }
            bytes = bytes.saturating_add(pages.bytes);
            let width = u64::try_from(column.column_descr().type_length()).unwrap_or(0).max(16);
            let elements = pages.values.saturating_mul(width);
            if column.column_descr().max_rep_level() > 0 && elements > ELEMENTS.max(pages.bytes.saturating_mul(16)) {
                return Err(format!("its column {name} claims {} elements in {} bytes", pages.values, pages.bytes));
            }
        }
        if bytes > limit {
            return Err(format!("one of its row groups has {bytes} bytes decompressed, more than {limit}: raise [lake] memory"));
        }
    }
    Ok(())
}

/// What the headers of a column's pages say together.
struct Pages {
    bytes: u64,
    values: u64,
    /// A page has more bytes than its header says.
    is_more: bool,
}

/// Reads no further once there are more than `limit` bytes, or one page has more than it should.
fn pages<R: ChunkReader>(reader: &R, column: &ColumnChunkMetaData, limit: u64) -> Option<Pages> {
    let start = u64::try_from(column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset())).ok()?;
    let length = u64::try_from(column.compressed_size()).ok()?;
    if start.checked_add(length)? > reader.len() {
        return None;
    }
    let chunk = reader.get_bytes(start, usize::try_from(length).ok()?).ok()?;
    let (mut rest, mut pages) = (&chunk[..], Pages { bytes: 0, values: 0, is_more: false });
    while !rest.is_empty() && !pages.is_more && pages.bytes <= limit {
        let mut header = Thrift(rest);
        let (mut id, mut sizes, mut levels) = (0, [0i64; 4], 0);
        while let Some((field, kind)) = header.field(id)? {
            id = field;
            match (field, kind) {
                (2 | 3, I32) => sizes[usize::from(field.unsigned_abs())] = header.integer()?,
                // The data page of either kind has the number of its values first.
                (5, STRUCT) => pages.values += u64::try_from(header.child_integers([1])?[0]).ok()?,
                // That of version 2 has the lengths of its levels too, which stand in front and are not compressed.
                (8, STRUCT) => {
                    let [values, definition, repetition] = header.child_integers([1, 5, 6])?;
                    pages.values += u64::try_from(values).ok()?;
                    levels = usize::try_from(definition.checked_add(repetition)?).ok()?;
                }
                _ => header.skip(kind, 0)?,
            }
        }
        let (claimed, stored) = (u64::try_from(sizes[2]).ok()?, usize::try_from(sizes[3]).ok()?);
        let page;
        (page, rest) = header.0.split_at_checked(stored)?;
        pages.bytes = pages.bytes.checked_add(claimed)?;
        pages.is_more =
            pages.bytes <= limit && matches!(column.compression(), Compression::GZIP(_)) && inflates_beyond(page.get(levels..)?, claimed);
    }
    Some(pages)
}

/// True if more than `claimed` bytes come out of gzip. The decoder of pages would take all of them; those of the other codecs stop there.
fn inflates_beyond(page: &[u8], claimed: u64) -> bool {
    let mut text = MultiGzDecoder::new(page).take(claimed.saturating_add(1));
    // What is not gzip is found by the decoder before it has more.
    io::copy(&mut text, &mut io::sink()).is_ok_and(|bytes| bytes > claimed)
}

const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// Bytes in Thrift's compact protocol; every method returns `None` where they are not that.
struct Thrift<'a>(&'a [u8]);

impl Thrift<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    /// Number and type of the next field of a struct, behind field `last`; `Some(None)` at its end.
    #[expect(clippy::option_option, reason = "the end of a struct is not the end of the bytes")]
    fn field(&mut self, last: i16) -> Option<Option<(i16, u8)>> {
        let head = self.byte()?;
        if head == 0 {
            return Some(None);
        }
        let id = match head >> 4 {
            0 => i16::try_from(self.integer()?).ok()?,
            delta => last.checked_add(i16::from(delta))?,
        };
        Some(Some((id, head & 0x0f)))
    }

    /// Number and type of the elements of a list.
    fn list(&mut self) -> Option<(u64, u8)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Some((count, head & 0x0f))
    }

    /// Reads a whole struct and returns the integers that are its fields `wanted`, 0 for those it does not have.
    fn child_integers<const N: usize>(&mut self, wanted: [i16; N]) -> Option<[i64; N]> {
        let (mut id, mut found) = (0, [0; N]);
        while let Some((field, kind)) = self.field(id)? {
            id = field;
            match wanted.iter().position(|wanted| *wanted == field) {
                Some(index) if kind == I32 => found[index] = self.integer()?,
                _ => self.skip(kind, 0)?,
            }
        }
        Some(found)
    }

    fn pass(&mut self, count: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > 32 {
            return None;
        }
        match kind {
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            8 => {
                let length = self.varint()?;
                self.pass(length)
            }
            LIST | 10 => {
                let (count, kind) = self.list()?;
                // A boolean takes a byte in a list, and none as a field.
                let kind = if matches!(kind, 1 | 2) { 3 } else { kind };
                (0..count).try_for_each(|_| self.skip(kind, depth + 1))
            }
            STRUCT => {
                let mut id = 0;
                while let Some((field, kind)) = self.field(id)? {
                    id = field;
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}
