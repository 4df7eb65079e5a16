//! Small numbers as Parquet packs them: a hybrid of runs and groups of eight (format specification, "RLE/Bit-Packing Hybrid").

use std::ops::Range;

/// Values of a packed group.
const GROUP: usize = 8;

/// A number whose bytes are all 1.
const ONES: u64 = 0x0101_0101_0101_0101;

/// Most groups behind one header: known writers write no more, as the header is one byte then.
const GROUPS: usize = 63;

/// Bits that a number up to `most` needs.
pub fn width(most: usize) -> u32 {
    usize::BITS - most.leading_zeros()
}

/// Appends levels, each of at most `width` bits, and counts how often each occurs.
///
/// They mostly are all the same, or few different ones, so they are taken by groups.
pub fn append_levels(levels: &[u8], width: u32, counts: &mut [i64], out: &mut Vec<u8>) {
    let (groups, rest) = levels.as_chunks::<GROUP>();
    let alike = |group: &[u8; GROUP]| u64::from_le_bytes(*group) == u64::from(group[0]) * ONES;
    let mut mixed = Vec::with_capacity(GROUP * GROUPS);
    let mut at = 0;
    while at < groups.len() {
        let same = if alike(&groups[at]) { groups[at..].iter().take_while(|group| **group == groups[at]).count() } else { 0 };
        // A run takes two bytes, a group as many as a level has bits.
        if same > 1 {
            pack(&mixed, width, out);
            mixed.clear();
            let level = groups[at][0];
            counts[usize::from(level)] += (same * GROUP) as i64;
            repeat(level.into(), same * GROUP, width, out);
            at += same;
        } else {
            if mixed.len() == GROUP * GROUPS {
                pack(&mixed, width, out);
                mixed.clear();
            }
            groups[at].iter().for_each(|level| counts[usize::from(*level)] += 1);
            mixed.extend(groups[at].iter().map(|level| u32::from(*level)));
            at += 1;
        }
    }
    rest.iter().for_each(|level| counts[usize::from(*level)] += 1);
    mixed.extend(rest.iter().map(|level| u32::from(*level)));
    pack(&mixed, width, out);
}

/// Appends numbers, each of at most `width` bits; `width` is at most 32.
pub fn append(values: &[u32], width: u32, out: &mut Vec<u8>) {
    let (mut packed, mut at) = (0, 0);
    while let Some(run) = next_run(values, at) {
        // A run gives what the open group still lacks.
        let lacks = (GROUP - (run.start - packed) % GROUP) % GROUP;
        if run.len() >= lacks + GROUP {
            pack(&values[packed..run.start + lacks], width, out);
            repeat(values[run.start], run.len() - lacks, width, out);
            packed = run.end;
        }
        at = run.end;
    }
    pack(&values[packed..], width, out);
}

/// The next numbers from `from` on that all are the same, as many as a group has or more.
fn next_run(values: &[u32], from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        // As many have one of these halves of a group wholly among them, wherever they begin.
        let [first, rest @ ..] = values.get(at..)?.first_chunk::<{ GROUP / 2 }>()?;
        if rest.iter().fold(0, |other, value| other | (value ^ first)) != 0 {
            at += GROUP / 2;
            continue;
        }
        let start = at - values[from..at].iter().rev().take_while(|value| *value == first).count();
        let end = at + values[at..].iter().take_while(|value| *value == first).count();
        if end - start >= GROUP {
            return Some(start..end);
        }
        at = end;
    }
}

fn repeat(value: u32, count: usize, width: u32, out: &mut Vec<u8>) {
    header((count as u64) << 1, out);
    out.extend_from_slice(&value.to_le_bytes()[..width.div_ceil(8) as usize]);
}

/// Appends groups, the last one filled with zeros.
fn pack(values: &[u32], width: u32, out: &mut Vec<u8>) {
    for groups in values.chunks(GROUP * GROUPS) {
        let count = groups.len().div_ceil(GROUP);
        header((count as u64) << 1 | 1, out);
        let (whole, rest) = groups.as_chunks::<GROUP>();
        whole.iter().for_each(|group| pack_group(group, width, out));
        if !rest.is_empty() {
            let mut group = [0; GROUP];
            group[..rest.len()].copy_from_slice(rest);
            pack_group(&group, width, out);
        }
    }
}

/// Appends one group, which takes as many bytes as a number has bits.
#[inline]
fn pack_group(group: &[u32; GROUP], width: u32, out: &mut Vec<u8>) {
    if width <= 16 {
        let word = |half: &[u32]| half.iter().rev().fold(0u64, |word, value| word << width | u64::from(*value));
        let (low, high) = group.split_at(GROUP / 2);
        let bits = u128::from(word(low)) | u128::from(word(high)) << (4 * width);
        // All 16 bytes are written at once, and those behind the group taken back.
        out.extend_from_slice(&bits.to_le_bytes());
        out.truncate(out.len() - size_of::<u128>() + width as usize);
        return;
    }
    let (mut word, mut bits) = (0u64, 0);
    for value in group {
        word |= u64::from(*value) << bits;
        bits += width;
        if bits >= 32 {
            out.extend_from_slice(&(word as u32).to_le_bytes());
            word >>= 32;
            bits -= 32;
        }
    }
    out.extend_from_slice(&word.to_le_bytes()[..bits as usize / 8]);
}

/// Appends booleans, a byte each, as bits.
pub fn append_bits(values: &[u8], out: &mut Vec<u8>) {
    out.extend(values.chunks(GROUP).map(|group| group.iter().rev().fold(0, |bits, value| bits << 1 | value)));
}

/// Appends the first `count` numbers, each of `width` bits, at most 32; `None` if `bytes` hold fewer.
pub fn read<T: Clone>(mut bytes: &[u8], count: usize, width: u32, number: impl Fn(u32) -> T, out: &mut Vec<T>) -> Option<()> {
    let end = out.len() + count;
    while out.len() < end {
        let lacks = end - out.len();
        let header = varint(&mut bytes)?;
        let times = usize::try_from(header >> 1).ok()?;
        if header & 1 == 0 {
            let (value, rest) = bytes.split_at_checked(width.div_ceil(8) as usize)?;
            bytes = rest;
            let value = value.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
            out.resize(out.len() + times.min(lacks), number(value));
        } else {
            let (groups, rest) = bytes.split_at_checked(times.checked_mul(width as usize)?)?;
            bytes = rest;
            unpack(groups, times.saturating_mul(GROUP).min(lacks), width, &number, out);
        }
    }
    Some(())
}

/// Appends the first `count` numbers of packed groups, which hold as many.
fn unpack<T>(groups: &[u8], count: usize, width: u32, number: &impl Fn(u32) -> T, out: &mut Vec<T>) {
    let mask = (1u64 << width) - 1;
    out.extend((0..count).map(|at| {
        let bit = at * width as usize;
        let rest = &groups[bit / 8..];
        // A number of 32 bits that begins at the last bit of a byte ends within the fifth byte.
        let word = rest
            .first_chunk::<8>()
            .map_or_else(|| rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)), |word| u64::from_le_bytes(*word));
        number((word >> (bit % 8) & mask) as u32)
    }));
}

/// Takes a number of seven bits for each byte from the front.
pub fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A number in as many bytes as it needs, seven bits in each.
fn header(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The first `count` numbers, read as the format says.
    fn read(mut bytes: &[u8], count: usize, width: u32) -> Vec<u32> {
        let mut values = Vec::new();
        while values.len() < count {
            let (mut header, mut shift) = (0u64, 0);
            loop {
                let byte = bytes[0];
                bytes = &bytes[1..];
                header |= u64::from(byte & 0x7f) << shift;
                shift += 7;
                if byte < 0x80 {
                    break;
                }
            }
            let count = (header >> 1) as usize;
            if header & 1 == 0 {
                let (value, rest) = bytes.split_at(width.div_ceil(8) as usize);
                let value = value.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte));
                values.extend(std::iter::repeat_n(value, count));
                bytes = rest;
            } else {
                let (groups, rest) = bytes.split_at(count * width as usize);
                let bit = |at: usize| u32::from(groups[at / 8] >> (at % 8) & 1);
                let value = |at: usize| (0..width as usize).fold(0, |value, i| value | bit(at * width as usize + i) << i);
                values.extend((0..count * GROUP).map(value));
                bytes = rest;
            }
        }
        assert!(bytes.is_empty(), "{} bytes follow", bytes.len());
        values.truncate(count);
        values
    }

    /// What [`super::read`] makes of them.
    fn taken(bytes: &[u8], count: usize, width: u32) -> Option<Vec<u32>> {
        let mut values = Vec::new();
        super::read(bytes, count, width, |value| value, &mut values).map(|()| values)
    }

    #[test]
    fn what_ends_early_is_not_read() {
        let mut out = Vec::new();
        append(&[1, 2, 3, 4, 5, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7], 3, &mut out);
        assert_eq!(taken(&out, 25, 3).map(|values| values.len()), Some(25));
        for end in 0..out.len() {
            assert_eq!(taken(&out[..end], 25, 3), None, "{end} bytes");
        }
        assert_eq!(taken(&[0xff; 12], 1, 3), None, "a header without an end");
        assert_eq!(taken(&[0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2], 9, 32), None, "more groups than bytes");
    }

    #[test]
    fn a_long_run_takes_a_few_bytes() {
        let mut out = Vec::new();
        append(&[1u32; 20_000], 1, &mut out);
        assert_eq!(out, [0xc0, 0xb8, 0x02, 1]);
    }

    #[test]
    fn levels_are_written_as_numbers_are_and_counted() {
        for runs in [vec![(1, 3), (0, 1), (1, 30), (0, 7), (2, 1), (1, 600), (0, 1)], vec![(0, 9)], vec![(3, 8)], vec![(1, 20_000)], vec![]]
        {
            let mut levels: Vec<u8> = runs.iter().flat_map(|(level, run)| std::iter::repeat_n(*level, *run)).collect();
            levels.extend((0..999).map(|i: u32| (i % 2 * 3) as u8));
            let (mut out, mut counts) = (Vec::new(), [0; 4]);
            append_levels(&levels, 2, &mut counts, &mut out);
            assert_eq!(read(&out, levels.len(), 2), levels.iter().map(|level| u32::from(*level)).collect::<Vec<_>>());
            let count = |wanted: u8| levels.iter().filter(|level| **level == wanted).count() as i64;
            assert_eq!(counts, [count(0), count(1), count(2), count(3)]);
        }
    }

    #[test]
    fn numbers_without_bits_are_runs() {
        let mut out = Vec::new();
        append(&[0u32; 3], width(0), &mut out);
        assert_eq!(out, [3], "one group of no bytes");
        assert_eq!((width(0), width(1), width(2), width(255), width(256)), (0, 1, 2, 8, 9));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(runs in proptest::collection::vec((any::<u32>(), 1usize..40), 0..60), width in 1u32..=32) {
            let value = |raw: u32| raw >> (32 - width);
            let values: Vec<u32> = runs.iter().flat_map(|(raw, run)| std::iter::repeat_n(value(*raw), *run)).collect();
            let mut out = Vec::new();
            append(&values, width, &mut out);
            prop_assert_eq!(taken(&out, values.len(), width), Some(values.clone()));
            prop_assert_eq!(read(&out, values.len(), width), values);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..60), count in 0usize..3000, width in 0u32..=32) {
            prop_assert!(taken(&bytes, count, width).is_none_or(|values| values.len() == count));
        }

        #[test]
        fn many_single_numbers_are_read(values in proptest::collection::vec(0u32..1000, 0..2000)) {
            let mut out = Vec::new();
            append(&values, 10, &mut out);
            prop_assert_eq!(taken(&out, values.len(), 10), Some(values.clone()));
            prop_assert_eq!(read(&out, values.len(), 10), values);
        }
    }
}
