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

/// Decompresses an object: gzip with one or several members, or no compression at all. At most `limit` bytes come out.
pub fn decompress(stored: Bytes, limit: u64) -> Decompressed {
    if !stored.starts_with(&[0x1f, 0x8b]) {
        return Decompressed { bytes: stored, damage: None };
    }
    let mut out = Vec::with_capacity(stored.len().saturating_mul(8).min(usize::try_from(limit).unwrap_or(usize::MAX)));
    let mut decoder = MultiGzDecoder::new(&*stored).take(limit + 1);
    let damage = match decoder.read_to_end(&mut out) {
        Ok(_) if out.len() as u64 > limit => {
            out.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            Some(format!("the object has more than {limit} bytes when decompressed, more than a quarter of [lake] memory"))
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
    fn a_bomb_stops_at_the_limit() {
        let read = decompress(gzip(&vec![b' '; 1 << 20]).into(), 1000);
        assert_eq!(read.bytes.len(), 1000);
        assert!(read.damage.unwrap().contains("more than 1000 bytes"));
    }
}
