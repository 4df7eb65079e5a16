//! What bytes are, told by how they begin.

use std::io;

use super::{Stored, snappy};

/// How much of the beginning tells everything.
pub(super) const HEAD: usize = 32;

/// What bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Text, or nothing known.
    Text,
    /// Something that is to be decompressed first.
    Compressed(Codec),
    /// Parquet, whole or cut.
    Parquet,
    /// ORC.
    Orc,
}

/// How bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// RFC 1952, one or several members.
    Gzip,
    /// The PKWARE application note, one or several entries.
    Zip,
    /// The stream of snappy-java, which Firehose calls Snappy.
    Xerial,
    /// The blocks of Hadoop, which Firehose calls HADOOP_SNAPPY.
    Hadoop,
    /// Snappy's own framing format.
    Framed,
    /// RFC 8878.
    Zstd,
}

/// What begins with `head`.
pub(super) fn sniff(head: &[u8]) -> Form {
    let codec = match head {
        [0x1f, 0x8b, ..] => Codec::Gzip,
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Codec::Zip,
        _ if head.starts_with(&snappy::XERIAL) => Codec::Xerial,
        _ if head.starts_with(&snappy::FRAMED) => Codec::Framed,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Codec::Zstd,
        [b'P', b'A', b'R', b'1', rest @ ..] if is_binary(rest) => return Form::Parquet,
        [b'O', b'R', b'C', rest @ ..] if is_binary(rest) => return Form::Orc,
        _ if snappy::may_be_hadoop(head) => Codec::Hadoop,
        _ => return Form::Text,
    };
    Form::Compressed(codec)
}

/// Letters alone are no magic: a line of text may begin with them. What follows them in a binary file has bytes that no text has.
fn is_binary(rest: &[u8]) -> bool {
    rest[..rest.len().min(HEAD)].iter().any(|byte| *byte < b' ' && !byte.is_ascii_whitespace())
}

/// Whether what begins as Parquet also ends as such.
pub(super) fn is_whole_parquet(stored: &dyn Stored) -> io::Result<bool> {
    // The shortest Parquet file has its magic twice and the length of its footer.
    Ok(stored.size() >= 12 && stored.read_at(stored.size() - 4, 4)? == b"PAR1"[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_their_beginning() {
        let compressed = Form::Compressed;
        let cases: [(&[u8], Form); 20] = [
            (b"", Form::Text),
            (b"{\"a\":1}", Form::Text),
            (b"\xef\xbb\xbf[", Form::Text),
            (b" \n{", Form::Text),
            (b"\x1f", Form::Text),
            (b"\x1f\x8b", compressed(Codec::Gzip)),
            (b"PK\x03\x04", compressed(Codec::Zip)),
            (b"PK\x05\x06", compressed(Codec::Zip)),
            (b"PKG,1", Form::Text),
            (b"\x82SNAPPY\0\0\0\0\x01", compressed(Codec::Xerial)),
            (b"\xff\x06\0\0sNaPpY", compressed(Codec::Framed)),
            (b"\x28\xb5\x2f\xfd\x04", compressed(Codec::Zstd)),
            (b"\x5a\x2a\x4d\x18\0\0\0\0", compressed(Codec::Zstd)),
            (b"PAR1\x15\x04", Form::Parquet),
            (b"PAR1,PAR2\n1,2\n", Form::Text),
            (b"ORC\x0a\x06\x08", Form::Orc),
            (b"ORCHID\tred\r\n", Form::Text),
            (b"\0\0\0\x02\0\0\0\x04\x02\x04{}", compressed(Codec::Hadoop)),
            (b"\0\0\0\0", compressed(Codec::Hadoop)),
            (b"\0{\0\"\0a\0\"\0:\x001\0}", Form::Text),
        ];
        for (head, form) in cases {
            assert_eq!(sniff(head), form, "{head:?}");
        }
    }
}
