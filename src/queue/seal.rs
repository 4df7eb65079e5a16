//! The checksum of a staged file, in its own footer: pages go from it into an hour's file unseen, so that damage has to show before.

use libdeflater::Crc;
use parquet::file::metadata::KeyValue;

/// The key of the footer's metadata that holds the checksum: CRC-32, in hexadecimal digits, of the file with [`BLANK`] in its place.
const KEY: &str = "lakebed.crc32";

const BLANK: &str = "--------";

/// What stands between a key and a value of eight bytes (Thrift, compact protocol: a field behind the last, a string, its length).
const BETWEEN: &[u8] = &[0x18, 8];

/// What the footer is to say, behind all else, before the file is [sealed](seal).
pub fn blank() -> KeyValue {
    KeyValue::new(KEY.to_string(), BLANK.to_string())
}

/// Puts the checksum into a file that has [`blank`] in its footer; false if it has not.
pub fn seal(file: &mut [u8]) -> bool {
    let Some(place) = place(file).filter(|place| &file[*place..place + BLANK.len()] == BLANK.as_bytes()) else { return false };
    let sum = sum(file, place);
    file[place..place + BLANK.len()].copy_from_slice(sum.as_bytes());
    true
}

/// True if the file is as it was sealed.
pub fn is_whole(file: &[u8]) -> bool {
    place(file).is_some_and(|place| sum(file, place).as_bytes() == &file[place..place + BLANK.len()])
}

fn sum(file: &[u8], place: usize) -> String {
    let mut crc = Crc::new();
    for part in [&file[..place], BLANK.as_bytes(), &file[place + BLANK.len()..]] {
        crc.update(part);
    }
    format!("{:08x}", crc.sum())
}

/// Where the checksum is: behind its key, which is the last of the footer's metadata. Nothing behind that is anybody's text.
fn place(file: &[u8]) -> Option<usize> {
    let place = memchr::memmem::rfind(file, KEY.as_bytes())? + KEY.len();
    let place = place + file.get(place..)?.starts_with(BETWEEN).then_some(BETWEEN.len())?;
    (place + BLANK.len() <= file.len()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_other_byte_anywhere_breaks_the_seal() {
        let mut file = b"pages, and lakebed.crc32 in a key ".to_vec();
        file.extend(KEY.as_bytes().iter().chain(BETWEEN).chain(BLANK.as_bytes()).chain(b"\0and so on"));
        assert!(!is_whole(&file) && seal(&mut file) && is_whole(&file));
        assert!(!seal(&mut file), "it is sealed");
        for at in 0..file.len() {
            for bit in 0..8 {
                file[at] ^= 1 << bit;
                assert!(!is_whole(&file), "bit {bit} of byte {at}");
                file[at] ^= 1 << bit;
            }
            assert!(!is_whole(&file[..at]), "{at} bytes");
        }
        for none in [&b""[..], KEY.as_bytes(), b"no seal"] {
            assert!(!is_whole(none) && !seal(&mut none.to_vec()));
        }
    }
}
