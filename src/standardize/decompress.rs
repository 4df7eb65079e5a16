//! An object's bytes as they were before Firehose compressed them, told by content and never by name.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

/// What an object holds.
#[derive(Debug)]
pub struct Decompressed {
    /// All bytes that could be read.
    pub bytes: Bytes,
    /// Why there are no more, if the object ends before its end.
    pub damage: Option<String>,
}

/// The first bytes of every gzip member: the magic number and the one method there is (RFC 1952).
const MEMBER: [u8; 3] = [0x1f, 0x8b, 8];

/// What a member has beside its data at least: a header of ten bytes, a checksum and a length of four each.
const MEMBER_OVERHEAD: usize = 18;

/// Decompresses an object: gzip with one or several members, or no compression at all. At most `limit` bytes come out.
pub fn decompress(stored: Bytes, limit: u64) -> Decompressed {
    if !stored.starts_with(&MEMBER[..2]) {
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        let damage = (stored.len() > most).then(|| too_large(limit));
        return Decompressed { bytes: stored.slice(..stored.len().min(most)), damage };
    }
    match at_once(&stored, limit) {
        Some(bytes) => Decompressed { bytes: bytes.into(), damage: None },
        None => in_stream(&stored, limit),
    }
}

fn too_large(limit: u64) -> String {
    format!("the object has more than {limit} bytes when decompressed, more than a quarter of [lake] memory")
}

/// All bytes of a whole object of one member, which is what Firehose writes; `None` for everything else.
///
/// libdeflate is about three times as fast as a streaming decoder. It does not say where a member ends, so this is only for objects
/// in which no second one can begin; the checksum and the length at the object's end are then the member's own.
pub fn at_once(stored: &[u8], limit: u64) -> Option<Vec<u8>> {
    let (body, length) = stored.split_last_chunk::<4>()?;
    let may_begin = |at: usize| stored.get(at + 3).is_some_and(|flags| flags & 0xe0 == 0);
    if stored.len() < MEMBER_OVERHEAD || memchr::memmem::find_iter(&body[1..], &MEMBER).any(|at| may_begin(at + 1)) {
        return None;
    }
    let length = u32::from_le_bytes(*length);
    // Deflate cannot do better than 1032 to 1: a length beyond that is not the real one, and no memory is given for it.
    if u64::from(length) > limit.min(stored.len() as u64 * 1032) {
        return None;
    }
    let mut out = vec![0; usize::try_from(length).ok()?];
    let written = libdeflater::Decompressor::new().gzip_decompress(stored, &mut out).ok()?;
    (written == out.len()).then_some(out)
}

/// What a streaming decoder reads up to the end or the first damage.
fn in_stream(stored: &[u8], limit: u64) -> Decompressed {
    let mut out = Vec::new();
    let mut decoder = MultiGzDecoder::new(stored).take(limit.saturating_add(1));
    let damage = match decoder.read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > limit => {
            out.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Some(too_large(limit))
        }
        Ok(_) => None,
        Err(e) => Some(format!("gzip: {e}")),
    };
    Decompressed { bytes: out.into(), damage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_members_are_read() {
        let stored = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        let read = decompress(stored.into(), 100);
        assert_eq!((&*read.bytes, read.damage), (&b"one two"[..], None));
    }

    #[test]
    fn members_that_are_alike_are_not_taken_for_one() {
        let member = gzip(b"the same");
        assert_eq!(at_once(&member, 100).as_deref(), Some(&b"the same"[..]));
        assert_eq!(at_once(&[member.clone(), member.clone()].concat(), 100), None);
        assert_eq!(&*decompress([member.clone(), member].concat().into(), 100).bytes, b"the samethe same");
    }

    #[test]
    fn what_is_not_gzip_is_left_as_it_is() {
        assert_eq!(&*decompress(Bytes::from_static(b"{}"), 100).bytes, b"{}");
        assert_eq!(&*decompress(Bytes::new(), 100).bytes, b"");
    }

    #[test]
    fn the_good_part_of_a_cut_object_is_kept() {
        let text: Vec<u8> = (0..50_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_string().into_bytes()).collect();
        let stored = gzip(&text);
        let read = decompress(stored[..stored.len() / 2].to_vec().into(), 1 << 30);
        assert!(read.damage.is_some());
        assert!(read.bytes.len() > text.len() / 4, "{}", read.bytes.len());
        assert!(text.starts_with(&read.bytes));
    }

    #[test]
    fn a_bomb_stops_at_the_limit_compressed_or_not() {
        for stored in [gzip(&vec![b' '; 1 << 20]), vec![b' '; 1 << 20]] {
            let read = decompress(stored.into(), 1000);
            assert_eq!(read.bytes.len(), 1000);
            assert!(read.damage.unwrap().contains("more than 1000 bytes"));
        }
        assert_eq!(decompress(vec![b' '; 1000].into(), 1000).damage, None);
        assert_eq!(decompress(gzip(&[b' '; 1000]).into(), 1000).damage, None);
    }
}
