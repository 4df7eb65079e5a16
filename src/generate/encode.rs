//! What stands between records, and how an object's bytes are compressed.

use libdeflater::{CompressionLvl, Compressor};

use super::settings::{Compression, Framing};

/// Bytes of text in each gzip member of [`Compression::GzipMembers`].
const MEMBER_BYTES: usize = 64 * 1024;

/// What follows every record.
pub(super) fn delimiter(framing: Framing) -> &'static [u8] {
    match framing {
        Framing::Concatenated => b"",
        Framing::Newline => b"\n",
        Framing::Crlf => b"\r\n",
    }
}

/// The text as an object's body.
pub(super) fn compress(text: Vec<u8>, compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => text,
        Compression::Gzip => gzip(&[&text]),
        Compression::GzipMembers => gzip(&text.chunks(MEMBER_BYTES).collect::<Vec<_>>()),
    }
}

/// One gzip member for each piece. libdeflate writes no time and no name into the header, and the same bytes on every machine.
fn gzip(pieces: &[&[u8]]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(6).expect("6 is one of libdeflate's levels"));
    let mut body = Vec::new();
    for piece in pieces {
        let start = body.len();
        body.resize(start + compressor.gzip_compress_bound(piece.len()), 0);
        let written = compressor.gzip_compress(piece, &mut body[start..]).expect("the bound is large enough");
        body.truncate(start + written);
    }
    body
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn members_are_cut_without_regard_to_records_and_read_back_as_one() {
        let text: Vec<u8> = (0..200_000u32).flat_map(u32::to_le_bytes).collect();
        let body = compress(text.clone(), Compression::GzipMembers);
        let (mut all, mut first) = (Vec::new(), Vec::new());
        flate2::read::MultiGzDecoder::new(body.as_slice()).read_to_end(&mut all).unwrap();
        flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut first).unwrap();
        assert!(all == text, "not the same bytes");
        assert_eq!(first, text[..MEMBER_BYTES]);
    }

    #[test]
    fn the_gzip_header_says_neither_time_nor_name() {
        let body = compress(b"{}".to_vec(), Compression::Gzip);
        assert_eq!(body[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }
}
